#!/bin/sh
# Whether the library compiles as it is for small systems: without threads, files, a clock and vectors. What is
# left may want functions of ISO C alone.
#   tools/check_embedded.sh [COMPILER FLAGS...]    this machine's, and arm-none-eabi-gcc where there is one
set -eu
cd "$(dirname "$0")/.."
if [ $# = 0 ]; then
    "$0" "${CC:-cc}"
    command -v arm-none-eabi-gcc >/dev/null && "$0" arm-none-eabi-gcc -mcpu=cortex-m7 -mthumb
    exit 0
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
flags="-std=c11 -Os -ffreestanding -fno-stack-protector -U_FORTIFY_SOURCE -ffp-contract=off -Wall -Wextra
    -Werror -Wno-unused-parameter -Wno-unused-function -Icsrc/include -DPNNG_NO_THREADS -DPNNG_NO_FILE
    -DPNNG_NO_CLOCK -DPNNG_DISABLE_SSE2 -DPNNG_DISABLE_AVX2 -DPNNG_DISABLE_AVX512 -DPNNG_DISABLE_NEON"
# shellcheck disable=SC2086  # flags are separate words
find csrc -name '*.c' | xargs -P "${JOBS:-2}" -I{} sh -c \
    'source=$1; shift; "$@" -c "$source" -o "$0/$(echo "$source" | tr / _).o"' "$work" {} "$@" $flags
tools=${1%gcc}
[ "$tools" = arm-none-eabi- ] || tools=
"${tools}ld" -r -o "$work/all" "$work"/*.o
wanted=$("${tools}nm" -u "$work/all" | awk '{ print $NF }' | grep -Evx \
    'mem(cmp|cpy|move|set)|str(chr|cmp|len|tod|toll)|v?snprintf|malloc|free|getenv|localeconv|pow|sqrtf?|_GLOBAL_.*|__(cpu_|aeabi_).*' || true)
if [ -n "$wanted" ]; then
    echo "a library for small systems wants more than ISO C:"
    echo "$wanted"
    exit 1
fi
"${tools}size" "$work/all" | awk -v c="$1" 'NR == 2 { printf "plain C alone, by %s -Os: %d kB of code and constants\n", c, $1 / 1000 }'
