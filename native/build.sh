#!/bin/sh
# Builds the native library from this folder:
#
#   sh native/build.sh OUTPUT      with gcc, for this machine and its tests
#   sh native/build.sh             what is committed: src/runtime/native/linux-x64.so, by zig (pip install
#                                  ziglang==0.17.1; ZIG names the command) against glibc 2.17, so that it loads
#                                  on any Linux since 2014; beside it the SHA-256 of the sources it was built from
set -eu
cd "$(dirname "$0")"
committed=../src/runtime/native/linux-x64
out=${1:-$committed.so}
if [ $# -gt 0 ]; then cc=${CC:-gcc}; else cc="${ZIG:-python3 -m ziglang} cc -target x86_64-linux-gnu.2.17"; fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# Products may become fused multiply-adds; nothing else that changes a result is allowed to the compiler.
flags="-std=gnu11 -O2 -fPIC -fvisibility=hidden -ffp-contract=fast -fno-math-errno -fno-trapping-math
  -fno-sanitize=all -fno-builtin -Wall -Wextra -Wno-psabi -Wno-ignored-attributes ${CFLAGS:-}"
wide="-mavx512f -mavx512bw -mavx512dq -mavx512vl -mfma -mprefer-vector-width=512"
$cc $flags $wide -DVL=16 -c engine.c -o "$work/engine16.o"
$cc $flags -mavx2 -mfma -DVL=8 -c engine.c -o "$work/engine8.o"
$cc $flags -c native.c -o "$work/native.o"
# nodelete: a process that ends unloads its libraries while threads of a team still sleep, or spin, in this one's code.
$cc -shared -Wl,-z,nodelete ${LDFLAGS:--s} ${CFLAGS:-} -o "$out" "$work/native.o" "$work/engine16.o" "$work/engine8.o" -lm -lpthread
if [ $# -eq 0 ]; then
  cat build.sh native.c engine.c *.h | sha256sum | cut -c1-64 > "$committed.sha256"
fi
