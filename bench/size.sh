#!/usr/bin/env bash
# What the program and what it keeps take: the binary, a service that nobody asks anything,
# and a delivery with its payment on disk, by what it is of; with BUILD=1 how long a build
# from nothing takes as well.
#
#   bench/size.sh [SECONDS]     default 5, in which signed Stripe charges of 2.7 kB come
#
# It needs what `cargo build --release` makes, and sqlite3. Nothing leaves the machine, but
# for what a build takes from the registry where it is not there yet.
set -euo pipefail
cd "$(dirname "$0")/.."

seconds="${1:-5}"
source bench/common.sh
deliver="$(built deliver)"

if [ "${BUILD:-}" = 1 ]; then
  cargo fetch --locked --quiet
  begun="$(date +%s)"
  CARGO_TARGET_DIR="$work/target" cargo build --release --locked --quiet --bin tributary
  echo "a build from nothing: $(($(date +%s) - begun)) s on $(nproc) processors"
  binary="$work/target/release/tributary"
fi
echo "the binary: $(stat -c %s "$binary") bytes"

fresh ledger
sandbox
configure sqlite:ledger.db 1 1 1
serve 1
sleep 3
echo "a service that nobody asks anything, in KiB:" \
  "$(awk '/^(VmRSS|RssAnon|RssFile)/ { printf "%s %s ", $1, $2 }' "/proc/${watched[1]}/status")"
"$deliver" --seconds "$seconds" "${watched[@]}" "${places[0]}" >/dev/null
stop
ledger="$folder/ledger.db"
sqlite3 "$ledger" "PRAGMA wal_checkpoint(TRUNCATE)" >/dev/null
deliveries="$(sqlite3 "$ledger" "SELECT count(*) FROM deliveries")"
echo "a delivery with its payment: $(($(stat -c %s "$ledger") / deliveries)) bytes on disk," \
  "of $deliveries"
sqlite3 -separator ' ' "$ledger" \
  "SELECT '    ' || name, sum(pgsize) / $deliveries AS bytes FROM dbstat
   GROUP BY name HAVING bytes >= 10 ORDER BY bytes DESC"
