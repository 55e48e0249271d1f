#!/usr/bin/env bash
# Installs what package.json pins into the folder WORK, unless just that is there. All
# rivals in Node have the same packages, so that they can share one WORK.
#
#   install.sh WORK
#
# better-sqlite3 brings a binary or compiles one, which needs a C++ compiler, make,
# python3 and the headers of Node.
set -euo pipefail
cd "$(dirname "$0")"
mkdir -p "$1"
cmp -s package.json "$1/installed.json" && exit 0
cp package.json "$1/package.json"
cd "$1"
npm install --no-package-lock --no-audit --no-fund --loglevel=error
cp package.json installed.json
