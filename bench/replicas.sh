#!/usr/bin/env bash
# How many deliveries and how many calls a second `tributary serve` manages on a ledger
# in a file, and on one in PostgreSQL with one, two and four replicas. Every delivery is
# a payment of its own, answered 200 after a commit that waited for the disk; every call
# goes to our own sandbox on loopback. It starts and ends what it needs on ports and in
# folders of its own; nothing leaves the machine.
#
#   bench/replicas.sh [SECONDS] [CONNECTIONS] [ROUNDS]     default 10, 64 and 2
#
# With RATE=10 the calls are those of a destination that takes ten a second, which is how
# well several replicas keep one rate; no deliveries are sent then.
#
# It needs the release binary (cargo build --release), PostgreSQL's programs and curl.
set -euo pipefail
cd "$(dirname "$0")/.."

seconds="${1:-10}"
connections="${2:-64}"
rounds="${3:-2}"
binary="$(realpath "${TRIBUTARY:-target/release/tributary}")"
programs="$(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | sort -rV | head -1)"
[ -x "$binary" ] || { echo "build it first: cargo build --release" >&2; exit 2; }
[ -x "$programs/initdb" ] || { echo "PostgreSQL is missing: apt-get install postgresql" >&2; exit 2; }
cargo bench --quiet --locked --bench deliver --no-run
deliver=(cargo bench --quiet --locked --bench deliver --)

work="$(mktemp -d)"
running=()
stop() {
  for pid in "${running[@]}"; do kill "$pid" 2>/dev/null || true; done
  for pid in "${running[@]}"; do wait "$pid" 2>/dev/null || true; done
  running=()
}
finish() {
  stop
  rm -rf "$work"
}
trap finish EXIT

export OPS=operator-token-0123456789 PK=pk SK=sk_0123456789 HOOK=whsec_0123456789
as_user=()
if [ "$(id -u)" = 0 ]; then
  chmod 755 "$work"
  as_user=(setpriv --reuid=postgres --regid=postgres --init-groups --)
fi

# A new folder with a server where it takes one; sets `url`.
fresh() {
  folder="$work/$1"
  rm -rf "$folder"
  mkdir "$folder"
  url="sqlite:ledger.db"
  [ "$2" = 0 ] && return
  [ "$(id -u)" = 0 ] && chown postgres "$folder"
  (cd "$folder" && "${as_user[@]}" "$programs/initdb" -D "$folder/pg" -U tributary -E UTF8 \
    --locale=C.UTF-8 -A trust >/dev/null)
  (cd "$folder" && exec "${as_user[@]}" "$programs/postgres" -D "$folder/pg" -k "$folder" \
    -p 5432 -c listen_addresses= >"$folder/pg.log" 2>&1) &
  running+=($!)
  until "$programs/pg_isready" -q -h "$folder" -p 5432; do sleep 0.1; done
  url="postgres://tributary@${folder//\//%2F}:5432/postgres"
}

# A sandbox, whose port is in `sandbox`.
sandbox() {
  "$binary" sandbox --listen 127.0.0.1:0 --auto-customers >"$folder/sandbox.log" 2>&1 &
  running+=($!)
  until sandbox=$(grep -om1 '127\.0\.0\.1:[0-9]*' "$folder/sandbox.log"); do sleep 0.1; done
}

# The configuration, with so many calls a second.
configure() {
  cat >"$folder/tributary.toml" <<TOML
[ledger]
url = "$url"
[http]
public = "127.0.0.1:0"
admin = "127.0.0.1:0"
[[http.tokens]]
name = "ops"
role = "operator"
token = { env = "OPS" }
[destinations.ps]
base_url = "http://$sandbox"
public_key = { env = "PK" }
secret_key = { env = "SK" }
requests_per_second = $1
burst = 10
max_in_flight = 32
mirror_every_minutes = 0
[sources.stripe]
provider = "stripe"
destination = "ps"
secrets = [{ env = "HOOK" }]
forward_from = "2025-01-01"
TOML
}

# Starts so many services; where they listen is in `places`.
serve() {
  places=()
  local one log
  for one in $(seq "$1"); do
    log="$folder/serve$one.log"
    : >"$log"
    (cd "$folder" && exec "$binary" --config tributary.toml serve >"$log" 2>&1) &
    running+=($!)
    until grep -q '"listening"' "$log"; do sleep 0.1; done
    places+=("http://$(grep '"listening"' "$log" | grep -o '"public":"[^"]*"' | cut -d'"' -f4)")
  done
}

calls() {
  curl -s "http://$sandbox/sandbox/state" | grep -o '"calls": *[0-9]*' | grep -o '[0-9]*$'
}

# A call a second, so that hardly more than intake is measured.
deliveries() {
  fresh deliveries "$1"
  sandbox
  configure 1
  serve "$(($1 > 0 ? $1 : 1))"
  HOOK=$HOOK "${deliver[@]}" --seconds "$seconds" --connections "$connections" \
    "${places[@]/%//webhooks/stripe}"
  stop
}

forwards() {
  fresh forwards "$1"
  sandbox
  configure "${RATE:-1000}"
  awk -v rows="$(((seconds + 10) * ${RATE:-1200}))" 'BEGIN {
    print "payment_id,customer_key,amount,currency,occurred_at"
    for (n = 0; n < rows; n++)
      printf "txn_%d,cust_%d,%d,USD,2026-01-01T00:00:00Z\n", n, n % 500, 100 + n
  }' >"$folder/sales.csv"
  (cd "$folder" && "$binary" --config tributary.toml import sales.csv --source stripe \
    >/dev/null 2>"$folder/import.log")
  serve "$(($1 > 0 ? $1 : 1))"
  sleep 3
  local before began after ended
  before=$(calls) began=$(date +%s%N)
  sleep "$seconds"
  after=$(calls) ended=$(date +%s%N)
  awk -v calls="$((after - before))" -v ns="$((ended - began))" \
    'BEGIN { printf "%.2f calls a second\n", calls * 1e9 / ns }'
  stop
}

for round in $(seq "$rounds"); do
  for replicas in 0 1 2 4; do
    name="PostgreSQL, $replicas replicas"
    [ "$replicas" = 0 ] && name="a file"
    [ -n "${RATE:-}" ] || echo "round $round, $name: $(deliveries "$replicas")"
    echo "round $round, $name: $(forwards "$replicas")"
  done
done
