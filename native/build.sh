#!/bin/sh
# Builds src/runtime/native/linux-x64.so from this folder, and writes beside it the SHA-256 of the sources.
#   sh native/build.sh [output]      CC="zig cc -target x86_64-linux-gnu.2.17" for the binary that is committed
set -eu
here=$(cd "$(dirname "$0")" && pwd)
out=${1:-$here/../src/runtime/native/linux-x64.so}
cc=${CC:-gcc}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# Products may become fused multiply-adds; nothing else that changes a result is allowed to the compiler.
flags="-std=gnu11 -O3 -fPIC -fvisibility=hidden -ffp-contract=fast -fno-math-errno -fno-trapping-math -Wall -Wextra \
  -Wno-psabi ${CFLAGS:-}"
cd "$here"
$cc $flags -mavx512f -mavx512bw -mavx512dq -mavx512vl -mfma -mprefer-vector-width=512 -DVL=16 -c engine.c -o "$work/e16.o"
$cc $flags -mavx2 -mfma -DVL=8 -c engine.c -o "$work/e8.o"
$cc $flags -c native.c -o "$work/native.o"
$cc -shared ${LDFLAGS:--s} ${CFLAGS:-} -o "$out" "$work/native.o" "$work/e16.o" "$work/e8.o" -lm -lpthread
