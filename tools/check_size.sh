#!/bin/sh
# How large the shared library is without its symbols, and whether it has outgrown its limit.
#   tools/check_size.sh BUILD    where CMake built it
#
# The limit follows the size down: lower it when the library became smaller. It holds for GCC on
# x86-64, where four instruction sets are in it.
set -eu
cd "$(dirname "$0")/.."
limit=1490000
library=$1/libpynngraph.so

stripped=$(mktemp)
trap 'rm -f "$stripped"' EXIT
strip -o "$stripped" "$library"
bytes=$(wc -c <"$stripped")
tools/library_size.sh "$1"
if [ "$bytes" -gt "$limit" ] && [ "$(uname -m)" = x86_64 ]; then
    echo "It has grown to $bytes bytes, of at most $limit. What is large: nm --size-sort -S $library"
    exit 1
fi
