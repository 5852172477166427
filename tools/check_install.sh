#!/bin/sh
# Install the C library into a scratch folder; build and run the examples against it as a user would, shared and static.
#   tools/check_install.sh BUILD    where CMake built it
set -eu
cd "$(dirname "$0")/.."
if ! command -v pkg-config >/dev/null; then
    echo "SKIPPED: the check of the installed library needs pkg-config (sudo apt install pkg-config)"
    exit 0
fi
prefix=$(mktemp -d)
trap 'rm -rf "$prefix"' EXIT
cmake --install "$1" --prefix "$prefix" >/dev/null
pc=$(find "$prefix" -name pynngraph.pc)
export PKG_CONFIG_PATH="${pc%/*}"
library=${PKG_CONFIG_PATH%/pkgconfig}
export LD_LIBRARY_PATH="$library"
net=examples/c/net.safetensors
data=examples/c/data.csv

# run_all OPTION: build by what pkg-config says, and run.
run_all() {
    # shellcheck disable=SC2046  # flags are separate words
    for program in tests/c/header_test.c examples/c/*.c; do
        "${CC:-cc}" -std=c11 "$program" -o "$prefix/program" \
            $(pkg-config --define-variable=prefix="$prefix" --cflags --libs "$@" pynngraph) -lm
        case $program in
        */infer.c) arguments="$net $data" ;;
        */train.c) arguments="$net $data $prefix/tuned.safetensors 2" ;;
        */realtime.c) arguments="$net 1000" ;;
        *) arguments= ;;
        esac
        # shellcheck disable=SC2086
        "$prefix/program" $arguments >/dev/null
    done
    if command -v "${CXX:-c++}" >/dev/null; then
        # shellcheck disable=SC2046
        "${CXX:-c++}" -std=c++17 examples/cpp/infer.cpp -o "$prefix/program" \
            $(pkg-config --define-variable=prefix="$prefix" --cflags --libs "$@" pynngraph)
        "$prefix/program" "$net" >/dev/null
    fi
}

run_all
rm "$library"/libpynngraph.so*
run_all --static
