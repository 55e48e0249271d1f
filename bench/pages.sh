#!/usr/bin/env bash
# How long each page of a ledger with many payments takes, and the most memory that
# `serve` had meanwhile. It imports payments of 30,000 customers in three currencies
# over 397 days, gives two thirds of the customers one of 200 partners, serves, waits
# until the days that are over have segments, and asks for each address three times;
# the third time is told, by the clock and by what the process had of a processor. It needs the release binary, `sqlite3` and `curl`; nothing
# leaves the machine.
#
#   bench/pages.sh [ROWS] [FOLDER]      default 1000000 rows, a folder that is removed
#
# A folder that is named stays, and the ledger that stands in it is used again.
set -euo pipefail
cd "$(dirname "$0")/.."

rows="${1:-1000000}"
binary="$(realpath "${TRIBUTARY:-target/release/tributary}")"
[ -x "$binary" ] || { echo "build it first: cargo build --release" >&2; exit 2; }
for tool in sqlite3 curl; do
  command -v "$tool" >/dev/null || { echo "$tool is missing" >&2; exit 2; }
done

pid=""
if [ $# -ge 2 ]; then
  work="$2"
  mkdir -p "$work"
  trap '[ -z "$pid" ] || kill "$pid"' EXIT
else
  work="$(mktemp -d)"
  trap '[ -z "$pid" ] || kill "$pid"; rm -rf "$work"' EXIT
fi
cd "$work"

export BENCH_TOKEN=only-for-this-bench-0123456789
admin="127.0.0.1:${ADMIN_PORT:-18081}"
cat > tributary.toml <<TOML
[ledger]
url = "sqlite:ledger.db"
[http]
public = "127.0.0.1:${PUBLIC_PORT:-18080}"
admin = "$admin"
[[http.tokens]]
name = "bench"
role = "operator"
token = { env = "BENCH_TOKEN" }
[destinations.partnerstack]
public_key = { env = "BENCH_TOKEN" }
secret_key = { env = "BENCH_TOKEN" }
mode = "test"
base_url = "http://127.0.0.1:9"
[sources.shop]
provider = "chargebee"
destination = "partnerstack"
secrets = [{ env = "BENCH_TOKEN" }]
TOML

if [ ! -e ledger.db ]; then
  # Ids as providers make them: in no order. A linear congruence visits each number
  # once, so that no id comes twice; days and customers hang together by nothing.
  awk -v rows="$rows" -v now="$(date +%s)" 'BEGIN {
    split("USD EUR JPY", currency, " ")
    print "payment_id,customer_key,amount,currency,occurred_at"
    for (n = 0; n < rows; n++) {
      id = (n * 1103515245 + 12345) % 2147483648
      at = now - (1 + id % 397) * 86400 - id % 86399
      printf "txn_%010d%04d,cust_%d,%d,%s,%s\n", id, n % 10000, (n * 7919) % 30000, \
        100 + (n * 37) % 99900, currency[1 + int(n / 7) % 3], \
        strftime("%Y-%m-%dT%H:%M:%SZ", at, 1)
    }
  }' > sales.csv
  "$binary" import sales.csv --source shop --no-forward >/dev/null 2>told ||
    { cat told >&2; exit 1; }
  sqlite3 ledger.db "
    INSERT INTO customers (destination, customer, customer_by, partner)
    SELECT DISTINCT destination, customer, 'key', 'partner_' || (length(customer) + payment % 200)
    FROM payments WHERE customer IS NOT NULL AND customer NOT LIKE '%3' AND payment % 3 < 2
    GROUP BY destination, customer"
fi

"$binary" serve 2>serve.log &
pid=$!
for _ in $(seq 600); do
  curl -sf "http://$admin/readyz" >/dev/null && break
  sleep 0.1
done
made() {
  sqlite3 ledger.db "SELECT count(*) FROM customer_segments WHERE form > 0" 2>/dev/null || echo 0
}
before=-1
begun="$(date +%s)"
while [ "$(made)" != "$before" ]; do
  before="$(made)"
  sleep 10
done
echo "$rows payments, $before segments after $(( $(date +%s) - begun )) s"

# What all threads had of the processors so far, in microseconds.
processor() { cat "/proc/$pid"/task/*/schedstat | awk '{s += $1} END {printf "%d", s / 1000}'; }

page() {
  local took="" begun=0
  for _ in 1 2 3; do
    begun="$(processor)"
    took="$(curl -s -o answer -w '%{http_code} %{time_total}' \
      -H "Authorization: Bearer $BENCH_TOKEN" "http://$admin$1")"
  done
  [ "${took%% *}" = 200 ] || echo "$1 answers ${took%% *}" >&2
  printf '%-42s %7.1f ms %7.1f ms of processor %9d bytes\n' "$1" \
    "$(echo "${took##* } 1000" | awk '{print $1 * $2}')" \
    "$(echo "$(processor) $begun" | awk '{print ($1 - $2) / 1000}')" "$(wc -c < answer)"
}
for range in 30d 90d 365d all; do page "/?range=$range"; done
for range in 30d 90d 365d all; do page "/customers?range=$range"; done
for range in 30d 90d 365d all; do page "/partners?range=$range"; done
page "/customers?range=90d&partner=partner_50"
page "/customers?range=90d&q=cust_77"
for by in month day source partner customer; do page "/report?range=365d&by=$by"; done
page "/report?range=365d&by=customer&basis=sale"
page "/payments"
page "/payments?state=ignored"
page "/payments?customer=cust_77"
page "/payments?q=txn_0000"
page "/unattributed"
page "/imports"
page "/api/v1/summary"
page "/api/v1/report?by=customer"
echo "$(grep VmHWM "/proc/$pid/status" | awk '{print $2 / 1024}') MiB at most"
page "/report.csv?by=customer"
echo "$(grep VmHWM "/proc/$pid/status" | awk '{print $2 / 1024}') MiB at most, with a file of all customers of all days"
