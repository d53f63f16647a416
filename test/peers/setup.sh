#!/bin/sh
# Makes .tools/peers: Python with the oracles of the tests. Needs python3 (3.10 or newer) and a package index.
set -eu
cd "$(dirname "$0")/../.."
want=$(cat test/peers/requirements.txt)
have=.tools/peers/requirements.txt
if [ -f "$have" ] && [ "$want" = "$(cat "$have")" ]; then exit 0; fi
rm -rf .tools/peers
python3 -m venv .tools/peers
.tools/peers/bin/pip install --quiet --disable-pip-version-check -r test/peers/requirements.txt
cp test/peers/requirements.txt "$have"
