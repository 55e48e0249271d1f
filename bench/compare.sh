#!/usr/bin/env bash
# Durable intake of webhooks side by side: `tributary serve`, the least that axum can do,
# and what somebody would build or take instead (rivals/, each with its own words on how
# it is made). All receive the same signed Stripe charges of 2.7 kB, each its own, over
# the same connections, and answer 200 after a commit that waited for the disk; axum only
# reads the body. In each round each of them runs once, on an empty folder, one after
# another; ratios are of one round, and the one in the middle of all rounds is told.
#
#   bench/compare.sh [SECONDS] [ROUNDS] [NAME…]     default 5, 3 and all
#
# Names: bare, ours, ours-again (90 of 100 deliveries came before), ours-postgres, express,
# fastify, fastify-plain, fastapi, stripe-sync-engine, qhook; and ours-slow, fastify-slow,
# fastify-plain-slow, for which each fsync takes 2 ms longer (needs strace).
# CONNECTIONS=64, and RIVALS=folder says where rivals are installed.
#
# It needs what `cargo build --release` makes, and of rivals that are named Node 20 with a
# C++ compiler, Python 3, PostgreSQL's programs, curl. Nothing leaves the machine, but for
# what installs the rivals. It ends what it started.
set -euo pipefail
cd "$(dirname "$0")/.."

seconds="${1:-5}"
rounds="${2:-3}"
connections="${CONNECTIONS:-64}"
names=("${@:3}")
[ ${#names[@]} -gt 0 ] || names=(bare ours ours-again fastify fastify-plain express fastapi \
  ours-postgres stripe-sync-engine qhook ours-slow fastify-slow fastify-plain-slow)
source bench/common.sh
deliver="$(built deliver)"
bare="$(built bare)"
rivals="$(realpath -m "${RIVALS:-target/rivals}")"

# Ours on a ledger; a call a second goes to a sandbox, so that hardly more than intake
# is measured.
ours() {
  sandbox && configure "$1" 1 1 1 && serve 1 && place="${places[0]}"
}

# A rival of a folder of rivals/, which is installed where it is not yet; who has several
# there is told which.
rival() {
  local port
  port="$(free_port)"
  "bench/rivals/$1/install.sh" "$rivals/$1" >&2 || return 1
  mkdir "$folder/data"
  "${slowly[@]}" "bench/rivals/$1/serve.sh" "$rivals/$1" "$folder/data" "$port" "${@:2}" \
    >"$folder/log" 2>&1 &
  running+=($!)
  watched+=(--pid $!)
  until_said "$folder/log" listening && place="http://127.0.0.1:$port/webhooks/stripe"
}

# Runs one of them once; prints what was sent and what it took.
run() {
  fresh "$1"
  watched=() slowly=() place=""
  # Who commits once for each request takes in one connection with each of them.
  local again=0 name="$1" warm=3
  if [ "${name%-slow}" != "$name" ]; then
    name="${name%-slow}" warm=10
    command -v strace >/dev/null || { echo "strace is missing" >&2; return 1; }
    slowly=(strace -f --seccomp-bpf -e trace=fsync,fdatasync \
      -e inject=fsync,fdatasync:delay_exit=2000 -o /dev/null)
  fi
  case "$name" in
    bare)
      local port
      port="$(free_port)"
      "$bare" "$port" >"$folder/log" 2>&1 &
      running+=($!)
      watched+=(--pid $!)
      until_said "$folder/log" listening &&
        place="http://127.0.0.1:$port/webhooks/stripe"
      ;;
    ours) ours "sqlite:ledger.db" ;;
    ours-again)
      again=90
      ours "sqlite:ledger.db"
      ;;
    ours-postgres) postgres && ours "$url" ;;
    stripe-sync-engine)
      postgres &&
        DATABASE_URL="postgresql://postgres@localhost/postgres?host=$server" rival node "$name"
      ;;
    express | fastify | fastify-plain) rival node "$name" ;;
    fastapi | qhook) rival "$name" ;;
    *) echo "no such name: $1" >&2; return 1 ;;
  esac
  # Where one step failed nothing listens.
  [ -n "$place" ] || return 1
  "$deliver" --seconds "$seconds" --warm "$warm" --connections "$connections" --again "$again" \
    "${watched[@]}" "$place" || echo "    (of these some failed)" >&2
  stop
}

told="$work/told"
for round in $(seq "$rounds"); do
  for name in "${names[@]}"; do
    run "$name" >"$work/line" || { echo "$name: could not be run" >&2; stop; continue; }
    line="$(cat "$work/line")"
    echo "round $round, $name: $line"
    echo "round=$round name=$name $line" >>"$told"
  done
done

# The one in the middle of what the rounds say.
awk -v names="${names[*]}" '
  function middle(list,    parts, n, i, j, held) {
    n = split(list, parts, " ")
    for (i = 2; i <= n; i++)
      for (j = i; j > 1 && parts[j - 1] + 0 > parts[j] + 0; j--) {
        held = parts[j]; parts[j] = parts[j - 1]; parts[j - 1] = held
      }
    return n ? parts[int((n + 1) / 2)] : ""
  }
  function over(ours, theirs,    list, round) {
    list = ""
    for (round = 1; round <= rounds; round++)
      if (rate[round, ours] && rate[round, theirs])
        list = list " " rate[round, ours] / rate[round, theirs]
    return list == "" ? "" : sprintf("%.2f", middle(list))
  }
  {
    split("", field)
    for (i = 1; i <= NF; i++) { split($i, pair, "="); field[pair[1]] = pair[2] }
    name = field["name"]; round = field["round"]
    if (round > rounds) rounds = round
    rate[round, name] = field["per_s"]
    for (what in field) all[name, what] = all[name, what] " " field[what]
  }
  END {
    print ""
    print "| what answers | a second | of bare axum | ours to it | p50, p99, longest ms | processor, µs each | written, kB each | memory, MiB |"
    print "|---|---|---|---|---|---|---|---|"
    split(names, list, " ")
    for (i = 1; i in list; i++) {
      name = list[i]
      if (all[name, "per_s"] == "") continue
      against = name ~ /-slow$/ ? "ours-slow" : name == "stripe-sync-engine" ? "ours-postgres" : "ours"
      printf "| %s | %d | %s | %s | %.1f, %.1f, %.0f | %.0f | %.1f | %.0f |\n", name, \
        middle(all[name, "per_s"]), over(name, "bare"), \
        name ~ /^ours/ ? (name == "ours" || name == "ours-slow" ? "" : over("ours", name)) : over(against, name), \
        middle(all[name, "p50_us"]) / 1000, middle(all[name, "p99_us"]) / 1000, \
        middle(all[name, "max_us"]) / 1000, middle(all[name, "cpu_ns"]) / 1000, \
        middle(all[name, "written_b"]) / 1000, middle(all[name, "peak_kib"]) / 1024
    }
  }' "$told"
