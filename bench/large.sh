#!/usr/bin/env bash
# What a ledger of millions of payments costs beside a small one: how soon it takes a
# delivery after a start and after a kill, intake and what a call takes side by side, and
# how much memory. It imports sales that are due, with ids in no order, into one ledger,
# and a few into another; each measure runs on both in turn.
#
#   bench/large.sh [ROWS] [SECONDS] [ROUNDS]     default 1000000, 4 and 3
#
# It needs what `cargo build --release` makes, Python 3 and curl. Nothing leaves the
# machine. A million rows take some 2 GB of the disk and a few minutes.
set -euo pipefail
cd "$(dirname "$0")/.."

rows="${1:-1000000}"
seconds="${2:-4}"
rounds="${3:-3}"
# Enough that calls do not run out while they are measured.
small=10000
source bench/common.sh
deliver="$(built deliver)"

# A ledger with so many sales that are due, in a folder of this name.
made() {
  fresh "$1"
  sandbox
  configure sqlite:ledger.db 1 1 1
  awk -v rows="$2" 'BEGIN {
    print "payment_id,customer_key,amount,currency,occurred_at"
    for (n = 0; n < rows; n++) {
      id = (n * 1103515245 + 12345) % 2147483648
      printf "ch_%010d%04d,customer-%05d,%d,USD,2026-%02d-%02dT%02d:00:00Z\n", \
        id, n % 10000, (n * 7919) % 10000, 100 + n % 99900, 1 + n % 10, 1 + n % 28, n % 24
    }
  }' >"$folder/sales.csv"
  import_sales
  rm "$folder/sales.csv"
  stop
}

# Starts a service on the ledger of a folder that is there, with the rate, the burst and
# the calls in flight.
on() {
  folder="$work/$1"
  watched=()
  sandbox
  configure sqlite:ledger.db "$2" "$3" "$4"
  serve 1
}

value() { grep -o "$2=[0-9]*" <<<"$1" | cut -d= -f2; }

# Milliseconds from the start of the process until a delivery is recorded.
first_200() {
  folder="$work/$1"
  sandbox
  configure sqlite:ledger.db 1 1 1
  sed -i "s/^public = .*/public = \"127.0.0.1:$2\"/" "$folder/tributary.toml"
  (cd "$folder" && exec python3 "$OLDPWD/bench/first_200.py" "$2" "$binary" \
    --config tributary.toml serve)
  stop
}

echo "importing $rows payments" >&2
begun="$(date +%s)"
made many "$rows"
echo "imported in $(($(date +%s) - begun)) s" >&2
made few "$small"
bytes="$(stat -c %s "$work/many/ledger.db")"
echo "the ledger of $rows: $((bytes / 1048576)) MiB, $((bytes / rows)) bytes a payment of a file"

for round in $(seq "$rounds"); do
  for name in few many; do
    on "$name" 1 1 1
    told="$("$deliver" --seconds "$seconds" "${watched[@]}" "${places[0]}")"
    stop
    echo "round $round, intake, $name: $told"
    declare "${name}_rate=$(value "$told" per_s)"
  done
  echo "round $round, intake: $((many_rate * 100 / few_rate)) of a hundred"
done

# What a call takes of the processor, while the rate is all that is waited for.
for round in $(seq "$rounds"); do
  for name in few many; do
    on "$name" 500 50 32
    pid="${watched[1]}"
    sleep 1
    before="$(awk '{print $14 + $15}' "/proc/$pid/stat")"
    calls_before="$(calls)"
    sleep "$seconds"
    used=$(($(awk '{print $14 + $15}' "/proc/$pid/stat") - before))
    called=$(($(calls) - calls_before))
    peak="$(awk '/VmHWM/ {print $2}' "/proc/$pid/status")"
    stop
    each=$((used * 10000 / (called > 0 ? called : 1)))
    echo "round $round, calls, $name: $called calls, $each us each, at most $((peak / 1024)) MiB"
    declare "${name}_each=$each"
  done
  echo "round $round, calls: $((many_each * 100 / few_each)) of a hundred"
done

port="$(free_port)"
for name in few many; do
  echo "start, $name: $(for _ in $(seq "$rounds"); do first_200 "$name" "$port"; done | tr '\n' ' ')ms"
  # Killed while it takes all it can.
  on "$name" 1 1 1
  "$deliver" --seconds 2 "${places[0]}" >/dev/null 2>&1 &
  load=$!
  sleep 2
  kill -9 "${watched[1]}"
  wait "$load" 2>/dev/null || true
  stop
  echo "after a kill, $name: $(first_200 "$name" "$port") ms"
done

fresh idle
sandbox
configure sqlite:ledger.db 1 1 1
watched=()
serve 1
sleep 3
echo "idle on an empty ledger: $(awk '/VmRSS/ {print $2}' "/proc/${watched[1]}/status") KiB"
