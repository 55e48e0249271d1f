#!/usr/bin/env bash
#   HOOK=whsec_… serve.sh WORK DATA PORT
set -euo pipefail
# Node looks for packages beside the file that asks for them.
cp "$(dirname "$0")/server.js" "$1/fastify-plain.js"
export NODE_ENV=production
exec node "$1/fastify-plain.js" "$2" "$3"
