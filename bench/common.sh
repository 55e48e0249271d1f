# What the benchmarks that start services share; they source it. Everything that is
# started listens on loopback, has its files below `work`, and is ended with the script.

binary="$(realpath "${TRIBUTARY:-target/release/tributary}")"
[ -x "$binary" ] || { echo "build it first: cargo build --release" >&2; exit 2; }
programs="$(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | sort -rV | head -1 || true)"

export OPS=operator-token-0123456789 PK=pk SK=sk_0123456789 HOOK=whsec_0123456789

work="$(mktemp -d "${TMPDIR:-/var/tmp}/tributary-bench-XXXXXX")"
# Processes that were started, in this order; what stands before one that is told to be
# slow; those whose use is counted.
running=() slowly=() watched=()
stop() {
  local at
  for ((at = ${#running[@]} - 1; at >= 0; at--)); do
    # What delays fsync goes when what it delays has gone.
    if [ "$(cat "/proc/${running[at]}/comm" 2>/dev/null)" = strace ]; then
      pkill -P "${running[at]}" || true
    else
      kill "${running[at]}" 2>/dev/null || true
    fi
    wait "${running[at]}" 2>/dev/null || true
  done
  running=()
}
finish() {
  stop
  rm -rf "$work"
}
trap finish EXIT

# PostgreSQL does not run as root.
as_user=()
if [ "$(id -u)" = 0 ]; then
  chmod 755 "$work"
  as_user=(setpriv --reuid=postgres --regid=postgres --init-groups --)
fi

# An empty folder of this name, in `folder`.
fresh() {
  folder="$work/$1"
  rm -rf "$folder"
  mkdir "$folder"
}

# A port of loopback that nobody has.
free_port() {
  python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}

# Waits until a log says a word.
until_said() {
  local tries
  for tries in $(seq 300); do
    grep -q "$2" "$1" 2>/dev/null && return
    sleep 0.1
  done
  echo "nothing listens:" >&2
  tail -5 "$1" >&2
  return 1
}

# The path of a program of benches/.
built() {
  cargo bench --quiet --locked --bench "$1" --no-run --message-format=json |
    grep -o "\"executable\":\"[^\"]*/$1-[^\"]*\"" | cut -d'"' -f4
}

# A server of its own in `folder`; where a ledger on it is, is in `url`.
postgres() {
  [ -x "$programs/initdb" ] || {
    echo "PostgreSQL is missing: apt-get install postgresql" >&2
    return 1
  }
  server="$folder/server"
  mkdir "$server"
  [ "$(id -u)" = 0 ] && chown postgres "$server"
  (cd "$server" && "${as_user[@]}" "$programs/initdb" -D "$server/data" -U postgres -E UTF8 \
    --locale=C.UTF-8 -A trust >/dev/null)
  (cd "$server" && exec "${as_user[@]}" "$programs/postgres" -D "$server/data" -k "$server" \
    -p 5432 -c listen_addresses= >"$server/log" 2>&1) &
  running+=($!)
  watched+=(--pid $!)
  until "$programs/pg_isready" -q -h "$server" -p 5432; do sleep 0.1; done
  url="postgres://postgres@${server//\//%2F}:5432/postgres"
}

# A sandbox with these options, whose port is in `sandbox`.
sandbox() {
  "$binary" sandbox --listen 127.0.0.1:0 --auto-customers "$@" >"$folder/sandbox.log" 2>&1 &
  running+=($!)
  until_said "$folder/sandbox.log" '127\.0\.0\.1:[0-9]' || return 1
  sandbox="$(grep -om1 '127\.0\.0\.1:[0-9]*' "$folder/sandbox.log")"
}

# The configuration of a ledger, with so many calls a second, of which so many at once,
# and so many in flight.
configure() {
  cat >"$folder/tributary.toml" <<TOML
[ledger]
url = "$1"
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
requests_per_second = $2
burst = $3
max_in_flight = $4
mirror_every_minutes = 0
[sources.stripe]
provider = "stripe"
destination = "ps"
secrets = [{ env = "HOOK" }]
forward_from = "2025-01-01"
TOML
}

# Starts so many services; where they take deliveries is in `places`.
serve() {
  places=()
  local one log
  for one in $(seq "$1"); do
    log="$folder/serve$one.log"
    : >"$log"
    (cd "$folder" && exec "${slowly[@]}" "$binary" --config tributary.toml serve \
      >"$log" 2>&1) &
    running+=($!)
    watched+=(--pid $!)
    until_said "$log" '"listening"' || return 1
    places+=("http://$(grep '"listening"' "$log" | grep -o '"public":"[^"]*"' |
      cut -d'"' -f4)/webhooks/stripe")
  done
}

# Records the sales that stand in `sales.csv` of the folder.
import_sales() {
  (cd "$folder" && "$binary" --config tributary.toml import sales.csv --source stripe \
    >/dev/null 2>"$folder/import.log") ||
    { tail -3 "$folder/import.log" >&2; return 1; }
}

# So many sales of 500 customers that wait to be sent, by a file.
backlog() {
  awk -v rows="$1" 'BEGIN {
    print "payment_id,customer_key,amount,currency,occurred_at"
    for (n = 0; n < rows; n++)
      printf "txn_%d,cust_%d,%d,USD,2026-01-01T00:00:00Z\n", n, n % 500, 100 + n
  }' >"$folder/sales.csv"
  import_sales
}

# How many calls the sandbox has had.
calls() {
  curl -s "http://$sandbox/sandbox/state" | grep -o '"calls": *[0-9]*' | grep -o '[0-9]*$'
}
