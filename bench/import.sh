#!/usr/bin/env bash
# How fast `tributary import` is beside `sqlite3 .import` of the same file into one
# table with a unique key. It makes the file, runs both in alternation on fresh
# databases, and prints the ratios and our peak memory. It needs the release binary,
# `sqlite3` and GNU time; nothing leaves the machine.
#
#   bench/import.sh [ROWS] [ROUNDS]     default 1000000 rows, 3 rounds
set -euo pipefail
cd "$(dirname "$0")/.."

rows="${1:-1000000}"
rounds="${2:-3}"
binary="${TRIBUTARY:-target/release/tributary}"
[ -x "$binary" ] || { echo "build it first: cargo build --release" >&2; exit 2; }
for tool in sqlite3 /usr/bin/time; do
  command -v "$tool" >/dev/null || {
    echo "$tool is missing: apt-get install sqlite3 time" >&2
    exit 2
  }
done

work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
binary="$(realpath "$binary")"
cd "$work"

cat > tributary.toml <<'TOML'
[ledger]
url = "sqlite:ledger.db"
[destinations.partnerstack]
public_key = { env = "PK" }
secret_key = { env = "SK" }
mode = "test"
[sources.shop]
provider = "chargebee"
destination = "partnerstack"
secrets = [{ env = "HOOK" }]
TOML

# Ids as providers make them: in no order. A linear congruence visits each number
# once, so that no id comes twice.
awk -v rows="$rows" 'BEGIN {
  print "payment_id,customer_key,amount,currency,occurred_at"
  for (n = 0; n < rows; n++) {
    id = (n * 1103515245 + 12345) % 2147483648
    printf "txn_%010d%04d,cust_%d,%d,USD,2025-%02d-%02dT%02d:%02d:%02dZ\n", \
      id, n % 10000, (n * 7919) % 20000, 100 + (n * 37) % 99900, \
      1 + n % 12, 1 + n % 28, n % 24, n % 60, (n * 7) % 60
  }
}' > sales.csv

ms() { date +%s%3N; }

rival() {
  rm -f rival.db*
  local begun; begun="$(ms)"
  sqlite3 rival.db <<'SQL'
PRAGMA journal_mode = WAL;
CREATE TABLE payments (payment_id TEXT PRIMARY KEY, customer_key TEXT, amount INTEGER,
                       currency TEXT, occurred_at TEXT);
.mode csv
.import --skip 1 sales.csv payments
SQL
  took=$(( $(ms) - begun ))
}

ours() {
  local begun; begun="$(ms)"
  /usr/bin/time -f '%M' -o memory "$binary" import sales.csv --source shop >/dev/null 2>told ||
    { cat told >&2; exit 1; }
  took=$(( $(ms) - begun ))
  memory="$(tail -1 memory)"
}

rate() { echo $(( rows * 1000 / $1 )); }
ratio() { printf '%d.%02d' $(( $1 / $2 )) $(( $1 * 100 / $2 % 100 )); }

for round in $(seq "$rounds"); do
  rival; theirs=$took
  rm -f ledger.db*
  ours; new=$took; new_memory=$memory
  ours; known=$took; known_memory=$memory
  echo "round $round: sqlite3 .import $(rate $theirs) rows/s;" \
    "new rows $(rate $new) rows/s, ratio $(ratio $theirs $new), peak $(( new_memory / 1024 )) MiB;" \
    "known rows $(rate $known) rows/s, ratio $(ratio $theirs $known), peak $(( known_memory / 1024 )) MiB"
done
