#!/usr/bin/env bash
# Needs Python 3.11 or later, with venv.
#
#   install.sh WORK
set -euo pipefail
cd "$(dirname "$0")"
mkdir -p "$1"
cmp -s requirements.txt "$1/installed.txt" && exit 0
python3 -m venv "$1"
"$1/bin/pip" install --quiet --disable-pip-version-check -r requirements.txt
cp requirements.txt "$1/installed.txt"
