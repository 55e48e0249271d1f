#!/usr/bin/env bash
#   HOOK=whsec_… [WORKERS=1] serve.sh WORK DATA PORT
set -euo pipefail
export DATA="$2" PORT="$3" PYTHONDONTWRITEBYTECODE=1
exec "$1/bin/python" "$(dirname "$0")/server.py"
