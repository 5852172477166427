#!/bin/sh
# Build and run the C tests, without Python, in build/KIND.
#   tools/c_tests.sh release    as shipped
#   tools/c_tests.sh sanitize   with assertions, under AddressSanitizer and UBSan
#   tools/c_tests.sh tsan       those that start threads, under ThreadSanitizer
#   tools/c_tests.sh neon       for aarch64, run by qemu-user
# CMake does it where it is installed; otherwise the compiler is called directly.
set -eu
cd "$(dirname "$0")/.."
kind=$1
build=build/$kind
cc=${CC:-cc}
optimise="-O2 -DNDEBUG"
link=
run=
cmake_options=
tests=

case $kind in
release) ;;
sanitize)
    optimise="-O1 -g -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer"
    cmake_options="-DCMAKE_BUILD_TYPE=Debug -DPNNG_SANITIZE=address,undefined -DPNNG_WERROR=ON"
    ;;
tsan)
    optimise="-O1 -g -fsanitize=thread -fno-omit-frame-pointer"
    cmake_options="-DCMAKE_BUILD_TYPE=Debug -DPNNG_SANITIZE=thread -DPNNG_WERROR=ON"
    # Children of a fork start threads of their own here, which it wants to be told.
    export TSAN_OPTIONS="die_after_fork=0 halt_on_error=1"
    tests="test_plan test_threads"
    ;;
neon)
    cc=aarch64-linux-gnu-gcc
    run=$(command -v qemu-aarch64-static || command -v qemu-aarch64 || true)
    for tool in "$cc:gcc-aarch64-linux-gnu" "${run:-qemu-aarch64-static}:qemu-user-static"; do
        if ! command -v "${tool%%:*}" >/dev/null; then
            echo "SKIPPED: the NEON tests need ${tool%%:*} (sudo apt install ${tool#*:})"
            exit 0
        fi
    done
    # Linked statically, the tests need nothing else of the other system.
    link=-static
    cmake_options="-DCMAKE_C_COMPILER=$cc -DCMAKE_SYSTEM_NAME=Linux -DCMAKE_SYSTEM_PROCESSOR=aarch64
        -DCMAKE_CROSSCOMPILING_EMULATOR=$run -DCMAKE_EXE_LINKER_FLAGS=-static
        -DCMAKE_CXX_COMPILER=NOTFOUND -DPNNG_WERROR=ON"
    ;;
*)
    echo "usage: $0 release|sanitize|tsan|neon" >&2
    exit 2
    ;;
esac

mkdir -p "$build"
if command -v cmake >/dev/null; then
    unset MAKEFLAGS MAKELEVEL # CMake's make is not a part of the one that called
    # shellcheck disable=SC2086  # options are separate words
    cmake -S . -B "$build" $cmake_options >"$build.log" 2>&1 \
        || { cat "$build.log"; exit 1; }
    # shellcheck disable=SC2086
    cmake --build "$build" --parallel "${JOBS:-2}" ${tests:+--target $tests} >"$build.log" 2>&1 \
        || { cat "$build.log"; exit 1; }
    cd "$build"
    exec ctest --output-on-failure ${tests:+-R "^($(echo "$tests" | tr ' ' '|'))\$"}
fi

version=$(sed -n 's/^version = "\([0-9.]*\)"$/\1/p' pyproject.toml)
flags="-std=c11 $optimise -ffp-contract=off -Wall -Wextra -Wno-unused-parameter
    -Wno-unused-function -Icsrc -Icsrc/include -DPNNG_VERSION=\"$version\""
rm -rf "$build"
mkdir -p "$build"
# One object a source; xargs keeps two compilers busy and fails when one of them does.
# shellcheck disable=SC2086  # flags are separate words
find csrc -name '*.c' | xargs -P "${JOBS:-2}" -I{} sh -c \
    'source=$1; shift; "$@" -c "$source" -o "$0/$(echo "$source" | tr / _).o"' \
    "$build" {} "$cc" $flags
failed=
net="examples/c/net.safetensors"
for test in tests/c/*_test.c tests/c/test_*.c examples/c/*.c; do
    [ -e "$test" ] || continue
    name=$(basename "$test" .c)
    case " ${tests:-$name} " in *" $name "*) ;; *) continue ;; esac
    # shellcheck disable=SC2086
    "$cc" $flags $link -o "$build/$name" "$test" "$build"/*.o -lm -pthread
    case $name in
    infer) arguments="$net examples/c/data.csv" ;;
    train) arguments="$net examples/c/data.csv $build/tuned.safetensors 20" ;;
    realtime) arguments="$net 1000" ;;
    *) arguments= ;;
    esac
    # shellcheck disable=SC2086
    if $run "$build/$name" $arguments >"$build/$name.log" 2>&1; then
        echo "$name: passed"
    else
        cat "$build/$name.log"
        echo "$name: FAILED"
        failed="$failed $name"
    fi
done
[ -z "$failed" ]
