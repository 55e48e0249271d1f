#!/usr/bin/env bash
#   install.sh WORK
set -euo pipefail
exec "$(dirname "$0")/../npm-install.sh" "$1"
