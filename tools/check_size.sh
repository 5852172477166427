#!/bin/sh
# How large the shared library is without its symbols, and whether it has outgrown its limit.
#   tools/check_size.sh BUILD    where CMake built it
#
# The limit follows the size down: lower it when the library became smaller. It holds for GCC on
# x86-64, where four instruction sets are in it.
set -eu
cd "$(dirname "$0")/.."
limit=1500000
library=$1/libpynngraph.so

stripped=$(mktemp)
trap 'rm -f "$stripped"' EXIT
strip -o "$stripped" "$library"
bytes=$(wc -c <"$stripped")
echo "$library, stripped: $bytes bytes, of at most $limit"
size -A "$1"/CMakeFiles/objects.dir/csrc/isa/*.o 2>/dev/null \
    | awk '/\.o +:$/ { name = $1; sub(".*/", "", name) } /^\.text/ { printf "    %-16s%9d bytes of code\n", name, $2 }'
if [ "$bytes" -gt "$limit" ] && [ "$(uname -m)" = x86_64 ]; then
    echo "It has grown. What is large: nm --size-sort -S $library"
    exit 1
fi
