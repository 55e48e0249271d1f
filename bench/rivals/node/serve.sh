#!/usr/bin/env bash
# Serves the rival of this name: express, fastify, fastify-plain or stripe-sync-engine.
#
#   HOOK=whsec_… serve.sh WORK DATA PORT NAME
set -euo pipefail
# Node looks for packages beside the file that asks for them.
cp "$(dirname "$0")"/*.js "$1"
export NODE_ENV=production
exec node "$1/$4.js" "$2" "$3"
