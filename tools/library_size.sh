#!/bin/sh
# How large the C library is, and what of it is of each instruction set.
#   tools/library_size.sh BUILD    where CMake built it
set -eu
build=$1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
strip -o "$work/stripped" "$build/libpynngraph.so"
printf 'libpynngraph.so, stripped: %d kB\n' $(($(wc -c <"$work/stripped") / 1000))
find "$build" -path '*objects.dir*/isa/*.o' | sort | while read -r object; do
    name=$(basename "$object" | sed 's/\.c\.o$//')
    size "$object" | awk -v name="$name" 'NR == 2 && $1 > 1000 { printf "    %-8s %5d kB\n", name, $1 / 1000 }'
done
