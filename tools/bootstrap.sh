#!/bin/sh
# Make the virtual environment that all targets use, or say what has to be installed first.
#   tools/bootstrap.sh PYTHON VENV
set -eu
python=$1
venv=$2

if ! command -v "$python" >/dev/null 2>&1; then
    echo "pynngraph needs Python 3.10 or later; '$python' was not found." >&2
    echo "  sudo apt install python3 python3-venv python3-dev build-essential" >&2
    exit 1
fi
if ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 10))'; then
    echo "pynngraph needs Python 3.10 or later; $("$python" --version 2>&1) is too old." >&2
    echo "Another one is named by, for instance:  make PYTHON=python3.11 ..." >&2
    exit 1
fi

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
missing=
if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
    echo "Python's venv module is incomplete (package python3-venv)." >&2
    missing="$missing python3-venv"
fi
echo '#include <pthread.h>' >"$work/try.c"
if ! "${CC:-cc}" -c "$work/try.c" -o "$work/try.o" >/dev/null 2>&1; then
    echo "There is no C compiler that works as '${CC:-cc}' (package build-essential)." >&2
    missing="$missing build-essential"
fi
header=$("$python" -c 'import sysconfig; print(sysconfig.get_path("include") + "/Python.h")')
if ! [ -e "$header" ]; then
    echo "$header is missing (package python3-dev)." >&2
    missing="$missing python3-dev"
fi
if [ -n "$missing" ]; then
    echo "  sudo apt install$missing" >&2
    exit 1
fi

"$python" -m venv "$venv"
