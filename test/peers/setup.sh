#!/bin/sh
# Makes .tools/peers (oracles of the tests) or, with "bench", .tools/bench (peers of `dmn bench --peers`):
# throw-away Python environments. Needs python3 (3.10 or newer) and a package index.
set -eu
cd "$(dirname "$0")/../.."
case "${1:-tests}" in
  bench) place=.tools/bench; list=test/peers/requirements-bench.txt ;;
  *) place=.tools/peers; list=test/peers/requirements.txt ;;
esac
if [ -f "$place/requirements.txt" ] && cmp -s "$list" "$place/requirements.txt"; then exit 0; fi
rm -rf "$place"
python3 -m venv "$place"
"$place/bin/pip" install --quiet --disable-pip-version-check -r "$list"
cp "$list" "$place/requirements.txt"
