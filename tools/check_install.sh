#!/bin/sh
# Install the C library into a scratch folder; build and run the example against it as a user would.
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
for program in tests/c/header_test.c examples/c/embed.c; do
    [ -e "$program" ] || continue
    # shellcheck disable=SC2046  # flags are separate words
    "${CC:-cc}" -std=c11 "$program" -o "$prefix/program" \
        $(pkg-config --define-variable=prefix="$prefix" --cflags --libs pynngraph) -lm
    LD_LIBRARY_PATH="${PKG_CONFIG_PATH%/pkgconfig}" "$prefix/program" >/dev/null
done
