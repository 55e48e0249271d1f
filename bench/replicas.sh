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
source bench/common.sh
deliver="$(built deliver)"

# An empty ledger: on a file for none, else on a server; where it is, is in `url`.
ledger() {
  fresh "$1"
  url="sqlite:ledger.db"
  [ "$2" = 0 ] || postgres
}

# A call a second, so that hardly more than intake is measured.
deliveries() {
  ledger deliveries "$1"
  sandbox
  configure "$url" 1 10 32
  serve "$(($1 > 0 ? $1 : 1))"
  "$deliver" --seconds "$seconds" --connections "$connections" "${places[@]}" >"$work/line"
  stop
}

forwards() {
  ledger forwards "$1"
  sandbox
  configure "$url" "${RATE:-1000}" 10 32
  backlog "$(((seconds + 10) * ${RATE:-1200}))"
  serve "$(($1 > 0 ? $1 : 1))"
  sleep 3
  local before began after ended
  before=$(calls) began=$(date +%s%N)
  sleep "$seconds"
  after=$(calls) ended=$(date +%s%N)
  awk -v calls="$((after - before))" -v ns="$((ended - began))" \
    'BEGIN { printf "%.2f calls a second\n", calls * 1e9 / ns }' >"$work/line"
  stop
}

for round in $(seq "$rounds"); do
  for replicas in 0 1 2 4; do
    name="PostgreSQL, $replicas replicas"
    [ "$replicas" = 0 ] && name="a file"
    if [ -z "${RATE:-}" ]; then
      deliveries "$replicas"
      echo "round $round, $name: $(cat "$work/line")"
    fi
    forwards "$replicas"
    echo "round $round, $name: $(cat "$work/line")"
  done
done
