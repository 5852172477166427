#!/bin/sh
# What the library shows to a linker, and what it wants from one.
#   tools/check_symbols.sh BUILD    where CMake built it
set -eu
cd "$(dirname "$0")/.."
build=$1
status=0

# complain TEXT: report what stands on standard input, if anything does.
complain() {
    found=$(cat)
    if [ -n "$found" ]; then
        echo "$1"
        echo "$found" | sed 's/^/    /'
        status=1
    fi
}

# Without versions, and the names of versions (A).
defined() { nm "$@" --defined-only | awk 'NF >= 3 && $2 != "A" { sub("@.*", "", $NF); print $NF }' | sort -u; }
undefined() { nm "$@" --undefined-only | awk 'NF >= 2 { print $NF }' | sort -u; }

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
sed '/^#/d' csrc/include/pynngraph.h | grep -o '\bPNNG_API [^(]*(' | grep -o 'pnng_[a-z0-9_]*($' \
    | tr -d '(' | sort -u >"$work/declared"
defined -g "$build/libpynngraph.a" >"$work/static"
defined -D "$build/libpynngraph.so" >"$work/shared"
undefined -g "$build/libpynngraph.a" >"$work/wanted"

grep -v '^pnng_' "$work/static" >"$work/out" || true
complain "libpynngraph.a defines globals that are not pnng_*:" <"$work/out"
comm -13 "$work/declared" "$work/shared" >"$work/out"
complain "libpynngraph.so exports what pynngraph.h does not declare:" <"$work/out"
comm -23 "$work/declared" "$work/shared" >"$work/out"
complain "pynngraph.h declares what libpynngraph.so does not export:" <"$work/out"
grep -Ex '_*(abort|exit|_exit|v?f?printf(_chk)?|f?puts|putchar|fwrite|perror|stdout|stderr)' \
    "$work/wanted" >"$work/out" || true
complain "the library prints or ends the program:" <"$work/out"

nm -D --defined-only "$build/libpynngraph.so" | grep ' T ' | grep -v '@@PYNNGRAPH_0$' >"$work/out" || true
complain "libpynngraph.so exports symbols without a version:" <"$work/out"

for module in pynngraph/_pynngraph*.so; do
    [ -e "$module" ] || continue
    defined -D "$module" | grep -vx 'PyInit__pynngraph' >"$work/out" || true
    complain "$module exports more than its init:" <"$work/out"
done

for program in "$build/libpynngraph.so" "$build/embed" "$build/infer"; do
    [ -e "$program" ] || continue
    readelf -d "$program" | sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p' \
        | grep -Ev '^(libc|libm|libpthread|ld-linux[a-z0-9_-]*)\.so' >"$work/out" || true
    complain "$program needs more than libc, libm and pthreads:" <"$work/out"
done
exit $status
