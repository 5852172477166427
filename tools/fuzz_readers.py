"""Damaged files of models, by the thousand, for the readers in Python: .t7, binary and as text, and .safetensors.

    python tools/fuzz_readers.py SECONDS [SEED]

A damaged file must be refused as such, or be read. What is read and is a model must take the input that the whole one
takes, or refuse it with an error of the package's own. Whatever else comes is a finding: the file is left in
build/fuzz, and the exit code is 1. Numbers of cases are those of the seed: the same seed does the same again.
"""

from __future__ import annotations

import random
import re
import resource
import signal
import sys
import tempfile
import time
import traceback
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

import numpy as np  # noqa: E402
from test_t7_models import RUNNING, T7  # noqa: E402
from tqdm import tqdm  # noqa: E402

import pynngraph as nn  # noqa: E402
from pynngraph.errors import Error  # noqa: E402

MEMORY = 6 << 30  # of address space: a length out of a damaged file must not be believed
PATIENCE = 20  # seconds for a file

NUMBERS = (-(1 << 63), -(1 << 31), -2, -1, 0, 1, 2, 3, 4, 7, 8, 255, 1 << 20, (1 << 31) - 1, 1 << 40, (1 << 63) - 1)
TEXTS = (b"-1", b"0", b"1", b"2", b"3.5", b"1e400", b"nan", b"null", b"true", b"[]", b"{}", b'""', b'"x"', b"9" * 30)


class Whole(NamedTuple):
    """A file that is right, and an input of its model."""

    name: str
    data: bytes
    input: Any


def corpus(folder: Path) -> list[Whole]:
    """The models that Torch7 saved, as they are and written anew in all the ways there are."""
    files = []
    for case in RUNNING:
        path = T7 / f"{case.name}.t7"
        input = case.input("evalInput", case.spec["passes"][0])
        files.append(Whole(path.name, path.read_bytes(), input))
        model = nn.load(path)
        for name, options in (("text.t7", {"ascii": True}), ("model.safetensors", {"input": input})):
            nn.save(folder / name, model, **options)
            files.append(Whole(f"{case.name}.{name}", (folder / name).read_bytes(), input))
    return files


def damaged(data: bytes, draw: random.Random) -> bytes:
    """The data with some damage."""
    for _ in range(draw.choice((1, 1, 1, 2, 4))):
        data = draw.choice((_byte, _whole_number, _real_number, _text, _text, _cut, _again))(data, draw)
    return data


def _byte(data: bytes, draw: random.Random) -> bytes:
    place = draw.randrange(len(data))
    return data[:place] + bytes([draw.randrange(256)]) + data[place + 1 :]


def _whole_number(data: bytes, draw: random.Random) -> bytes:
    """One of 4 or 8 bytes: a tag, a length, a place among objects, a size."""
    size = draw.choice((4, 8))
    number = draw.choice(NUMBERS) % (1 << 8 * size)
    place = draw.randrange(max(1, len(data) - size))
    return data[:place] + number.to_bytes(size, "little") + data[place + size :]


def _real_number(data: bytes, draw: random.Random) -> bytes:
    number = np.float64(draw.choice((0.5, -1.0, 0.0, 1e300, np.nan, np.inf, 3.0, -2.0)))
    place = draw.randrange(max(1, len(data) - 8))
    return data[:place] + number.tobytes() + data[place + 8 :]


def _text(data: bytes, draw: random.Random) -> bytes:
    """A word or a number in text: a name, a class, a value."""
    words = [word.span() for word in re.finditer(rb"[A-Za-z_]\w{2,}|(?<=[ :,\[\n])-?\d+(?:\.\d+)?", data)]
    if not words:
        return _byte(data, draw)
    start, end = draw.choice(words)
    other = draw.choice(words)
    return data[:start] + draw.choice((data[slice(*other)], draw.choice(TEXTS))) + data[end:]


def _cut(data: bytes, draw: random.Random) -> bytes:
    start = draw.randrange(len(data))
    return data[:start] + data[min(len(data), start + draw.choice((1, 4, 8, 20, len(data)))) :]


def _again(data: bytes, draw: random.Random) -> bytes:
    start = draw.randrange(len(data))
    part = data[start : start + draw.choice((1, 4, 8, 40))]
    place = draw.randrange(len(data))
    return data[:place] + part + data[place:]


class Slow(BaseException):
    """A file that takes too long; no handler of exceptions takes it for one of the reader's."""


def _too_slow(*_: object) -> None:
    raise Slow


def outcome(path: Path, input: Any) -> str:
    """What becomes of a file: refused, run, or an error of the package when run."""
    signal.alarm(PATIENCE)
    try:
        try:
            value = nn.load(path)
        except Error:
            return "refused"
        if not isinstance(value, nn.Module):
            return "read"
        try:
            repr(value)
            value.forward(input)
        except (Error, MemoryError):  # sizes may be large and right
            return "read, does not run"
        return "run"
    finally:
        signal.alarm(0)


def main() -> int:
    """Damage files for so long; 1 if something was found."""
    seconds = float(sys.argv[1])
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else time.time_ns() % 1_000_000
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    signal.signal(signal.SIGALRM, _too_slow)
    findings = ROOT / "build" / "fuzz"
    counts: dict[str, int] = {}
    found = 0
    with tempfile.TemporaryDirectory() as name, np.errstate(all="ignore"):
        folder = Path(name)
        files = corpus(folder)
        print(f"the readers of models in Python, {len(files)} whole files, seed {seed}:")
        end, case = time.monotonic() + seconds, 0
        with tqdm(total=round(seconds), unit="s", disable=None) as bar:
            while time.monotonic() < end:
                draw = random.Random(f"{seed}/{case}")  # noqa: S311 - it draws damages
                whole = draw.choice(files)
                path = folder / f"damaged{Path(whole.name).suffix}"
                path.write_bytes(damaged(whole.data, draw))
                try:
                    what = outcome(path, whole.input)
                except (Exception, Slow):  # noqa: BLE001 - that is what is looked for
                    what, found = "FOUND", found + 1
                    findings.mkdir(parents=True, exist_ok=True)
                    kept = findings / f"{seed}-{case}-{whole.name}"
                    kept.write_bytes(path.read_bytes())
                    tqdm.write(f"{kept.relative_to(ROOT)}\n{traceback.format_exc(limit=-4)}")
                counts[what] = counts.get(what, 0) + 1
                case += 1
                bar.update(round(seconds - max(0.0, end - time.monotonic())) - bar.n)
    print(f"{case} files: " + ", ".join(f"{count} {what}" for what, count in sorted(counts.items())))
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
