#!/bin/sh
# Damaged files by the thousand, for the loader of models in C; tools/fuzz_readers.py does those in Python.
#   tools/fuzz.sh SECONDS [SEED]
# The input that ends it is left in build/fuzz/fuzz-input.
set -eu
cd "$(dirname "$0")/.."
seconds=$1
seed=${2:-$(date +%s)}
mkdir -p build
unset MAKEFLAGS MAKELEVEL # CMake's make is not a part of the one that called
cmake -S . -B build/fuzz -DCMAKE_BUILD_TYPE=Debug -DPNNG_SANITIZE=address,undefined -DPNNG_ISAS= \
    -DPNNG_THREADS=OFF >build/fuzz.log 2>&1 || { cat build/fuzz.log; exit 1; }
cmake --build build/fuzz --parallel "${JOBS:-2}" --target fuzz_model >build/fuzz.log 2>&1 \
    || { cat build/fuzz.log; exit 1; }
root=$PWD
cd build/fuzz
echo "the loader of models in C, seed $seed:"
UBSAN_OPTIONS=print_stacktrace=1 ./fuzz_model "$seconds" "$seed" "$root"/tests/c/models/*.safetensors \
    "$root"/examples/c/net.safetensors
