#!/bin/sh
# All that can be tested for aarch64 without such a machine: the C tests, and the cases of every op that
# tests/cases_file.py writes, cross-built and run by qemu-user.
#   tools/check_arm.sh PYTHON
set -eu
cd "$(dirname "$0")/.."
cc=aarch64-linux-gnu-gcc
run=$(command -v qemu-aarch64-static || command -v qemu-aarch64 || true)

tools/c_tests.sh neon
if [ -z "$run" ] || ! command -v "$cc" >/dev/null; then
    exit 0 # said above
fi
library=build/neon/libpynngraph.a
[ -e "$library" ] || library="build/neon/*.o"
# shellcheck disable=SC2086  # several files
"$cc" -std=c11 -O1 -Wall -Wextra -Werror -static -Icsrc/include -o build/neon/run_cases \
    tests/c/run_cases.c $library -lm -pthread
"$1" tests/cases_file.py build/neon/cases
for isa in neon scalar; do
    PYNNGRAPH_ISA=$isa "$run" build/neon/run_cases build/neon/cases
done
