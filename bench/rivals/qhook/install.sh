#!/usr/bin/env bash
# qhook 0.6.1, compiled with the versions that it was released with.
#
#   install.sh WORK
set -euo pipefail
[ -x "$1/bin/qhook" ] && exit 0
mkdir -p "$1"
cargo install qhook --version 0.6.1 --locked --root "$1"
