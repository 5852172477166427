"""Check what no formatter sees: white space, characters, line lengths, and the layers of the code.

Usage: python tools/check_text.py [--list-c]. With --list-c it prints the C files instead, for
clang-format.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
C = (".c", ".h", ".inc", ".def")
TEXT = (*C, ".py", ".pyi", ".md", ".toml", ".txt", ".in", ".sh", ".cfg", ".yml", ".yaml")
# A checkout may belong to another user than the one who checks it, e.g. in a container.
TRUST = ("-c", "safe.directory=*")


class Rule(NamedTuple):
    """A pattern that no line of some files may match."""

    files: str  # a regular expression for the path
    pattern: str
    message: str


RULES = (
    Rule(r"(?<!Makefile)$", r"\t", "a tab"),
    Rule(r"", r"[ \t\r]$", "white space at the end of the line"),
    Rule(r"\.(c|h|inc|def)$", r"[^\x00-\x7f]", "a character outside of ASCII in C"),
    Rule(r"\.(c|h|inc)$", r"^.{101,}", "longer than 100 columns"),
    Rule(r"", "[\u200b-\u200f\u202a-\u202e\u2060\ufeff]", "an invisible character"),
    Rule(r"^csrc/", r"#include .*Python\.h", "the engine knows nothing of Python"),
    Rule(
        r"^pynngraph/(?!_engine\.py)",
        r"^\s*(from|import) .*\b(_pynngraph|cffi)\b",
        "only _engine.py knows ffi",
    ),
)


def files() -> list[Path]:
    """Return the project's text files: those that git has or would add."""
    command = ["git", *TRUST, "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    paths = (Path(name) for name in sorted(set(listed.split("\0"))) if name)
    named = ("Makefile", "LICENSE", "run", ".clang-format", ".gitignore", ".gitattributes")
    return [p for p in paths if (p.suffix in TEXT or p.name in named) and (ROOT / p).is_file()]


def complaints(path: Path) -> list[str]:
    """Return what is wrong with one file, a line each."""
    data = (ROOT / path).read_bytes()
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        return [f"{path}: not UTF-8: {error}"]
    rules = [rule for rule in RULES if re.search(rule.files, path.as_posix())]
    found = [
        f"{path}:{number}: {rule.message}"
        for number, line in enumerate(text.split("\n"), 1)
        for rule in rules
        if re.search(rule.pattern, line)
    ]
    if text and not text.endswith("\n"):
        found.append(f"{path}: no newline at the end")
    if text.endswith("\n\n"):
        found.append(f"{path}: empty lines at the end")
    return found


def main() -> int:
    """Print what is wrong; the exit status says whether anything is."""
    if sys.argv[1:] == ["--list-c"]:
        print(*(path for path in files() if path.suffix in C and path.suffix != ".def"), sep="\n")
        return 0
    found = [line for path in files() for line in complaints(path)]
    for line in found:
        print(line)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
