#!/usr/bin/env bash
# How well a backlog is forwarded: calls a second against a destination that takes 50 ms
# for each, with 1, 8, 32 and 64 in flight, as a share of what those could do at best, which
# is 1,000 calls a second at the most, because no more can be configured; the same of a
# sender that writes nothing down and only waits for answers; and how well a rate is kept, 10
# and 100 calls a second: all of them by the time, and the most in any second. The
# destination is our own sandbox.
#
#   bench/forward.sh [SECONDS]     default 20; a rate of 10 is looked at three times as long
#
# It needs the release binary (cargo build --release) and curl; nothing leaves the machine.
set -euo pipefail
cd "$(dirname "$0")/.."

seconds="${1:-20}"
source bench/common.sh

# Forwards for so many seconds with so many calls a second at the most, so many in flight,
# and these options of the sandbox; prints the calls a second and the most in one second.
forward() {
  local until at
  fresh forward
  sandbox "${@:4}"
  configure sqlite:ledger.db "$2" 5 "$3"
  backlog "$(($1 * 20 * $3 < $1 * $2 ? $1 * 20 * $3 + 5000 : $1 * $2 + 5000))"
  serve 1
  sleep 3
  : >"$folder/calls"
  until=$(($(date +%s%N) + $1 * 1000000000))
  while at=$(date +%s%N) && [ "$at" -lt "$until" ]; do
    echo "$at $(calls)" >>"$folder/calls"
    sleep 0.05
  done
  # Of two looks a second or less apart the difference is no more than a second's calls.
  awk '{
      at[NR] = $1 / 1e9; calls[NR] = $2
      for (first = first ? first : 1; at[NR] - at[first] > 1; first++) {}
      if (calls[NR] - calls[first] > most) most = calls[NR] - calls[first]
    }
    END { printf "%.2f %d\n", (calls[NR] - calls[1]) / (at[NR] - at[1]), most }' \
    "$folder/calls" >"$work/line"
  stop
}

# The answers a second that a sender with so many connections gets from the same sandbox:
# refusals, which take as long.
bare() {
  local refused
  fresh bare
  sandbox --fault latency:50-50=1
  refused="$("$deliver" --seconds "$1" --warm 0 --connections "$2" \
    "http://$sandbox/api/v2/transactions" | grep -o 'refused=[0-9]*' || true)"
  stop
  bare="$(awk -v of="${refused#refused=}" -v time="$1" 'BEGIN { print of / time }')"
}

deliver="$(built deliver)"
echo "| in flight | calls a second | of the ideal | a bare sender | of it |"
echo "|---|---|---|---|---|"
for flying in 1 8 32 64; do
  bare "$(((seconds + 1) / 2))" "$flying"
  forward "$seconds" 1000 "$flying" --fault latency:50-50=1
  read -r rate _ <"$work/line"
  awk -v flying="$flying" -v rate="$rate" -v bare="$bare" \
    'BEGIN {
      ideal = flying * 20 < 1000 ? flying * 20 : 1000
      bare = bare < 1000 ? bare : 1000
      printf "| %d | %.1f | %.3f | %.1f | %.3f |\n", flying, rate, rate / ideal, bare, rate / bare
    }'
done
echo
echo "| calls a second allowed | made | of those allowed | most in a second |"
echo "|---|---|---|---|"
for allowed in 10 100; do
  forward "$((allowed == 10 ? 3 * seconds : seconds))" "$allowed" 32
  read -r rate most <"$work/line"
  awk -v allowed="$allowed" -v rate="$rate" -v most="$most" \
    'BEGIN { printf "| %d | %.2f | %.3f | %d |\n", allowed, rate, rate / allowed, most }'
done
