#!/usr/bin/env bash
# qhook leaves SQLite's settings as they are: synchronous=FULL, and the journal mode that
# the database has. WAL, which is faster, is therefore set here before. Needs Python 3 and
# curl. It listens on all addresses, which cannot be set.
#
#   HOOK=whsec_… serve.sh WORK DATA PORT
set -euo pipefail
export DATA="$2" PORT="$3" RUST_LOG=qhook=warn
python3 -c 'import sqlite3, sys; sqlite3.connect(sys.argv[1]).execute("PRAGMA journal_mode = WAL")' \
  "$DATA/qhook.db"
(
  for _ in {1..100}; do
    if curl -sf -o /dev/null "http://127.0.0.1:$PORT/health"; then
      echo "listening on port $PORT path=/webhooks/stripe"
      break
    fi
    sleep 0.1
  done
) &
exec "$1/bin/qhook" start --config "$(dirname "$0")/qhook.yaml"
