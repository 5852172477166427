"""Count the instructions of a few kernels under callgrind and compare with those recorded.

A kernel that got slower without a reason shows without a stopwatch, and on a busy machine.

Usage: python tools/count_instructions.py BUILD [--record], BUILD being where the library was built.
With --record the counts become those of tests/instruction_counts.json. They depend on the compiler:
with another one than that of the record nothing is compared.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TypeAlias

ROOT = Path(__file__).resolve().parent.parent
RECORD = ROOT / "tests" / "instruction_counts.json"
DRIVER = ROOT / "tests" / "c" / "count_instructions.c"
ISAS = ("scalar", "sse2", "avx2")  # valgrind knows no AVX-512
TOLERANCE = 0.03

Counts: TypeAlias = "dict[str, dict[str, int]]"  # by instruction set and kernel


def main() -> int:
    """Count, then compare or record."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n\n")[0])
    parser.add_argument("build", type=Path, help="where tools/c_tests.sh built the library")
    parser.add_argument("--record", action="store_true", help="take the counts as those to compare with")
    options = parser.parse_args()
    recorded = json.loads(RECORD.read_text(encoding="utf-8")) if RECORD.exists() else {}
    reason = why_not(recorded, record=options.record)
    if reason:
        print(f"SKIPPED: {reason}")
        return 1 if options.record else 0
    with tempfile.TemporaryDirectory() as folder:
        program = build(options.build, Path(folder))
        counts = {isa: count(program, isa, Path(folder)) for isa in ISAS}
    if options.record:
        document = {"compiler": compiler(), "counts": counts}
        RECORD.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
        print(f"{sum(map(len, counts.values()))} counts written to {RECORD.relative_to(ROOT)}")
        return 0
    return compare(recorded["counts"], counts)


def why_not(recorded: dict[str, str], *, record: bool) -> str:
    """Say why nothing can be counted or compared here, or nothing."""
    if platform.machine() not in {"x86_64", "AMD64"}:
        return f"instructions are counted on x86-64 only, this is {platform.machine()}"
    if shutil.which("valgrind") is None:
        return "counting instructions needs valgrind (sudo apt install valgrind)"
    if record:
        return ""
    if not recorded:
        return f"there are no counts: record them with {' '.join(sys.argv)} --record"
    if recorded["compiler"] != compiler():
        return f"instructions were counted with {recorded['compiler']}, this is {compiler()}"
    return ""


def compiler() -> str:
    """Name the compiler and its version."""
    command = [*os.environ.get("CC", "cc").split(), "--version"]
    text = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()[0]
    # Debian's cc and gcc are one.
    return re.sub(r"^cc\b", "gcc", text)


def build(library: Path, folder: Path) -> Path:
    """Link the driver with the library as it was built, by CMake or without."""
    archive = library / "libpynngraph.a"
    objects = [archive] if archive.exists() else sorted(library.glob("csrc_*.o"))
    if not objects:
        sys.exit(f"there is no library in {library}: run tools/c_tests.sh release")
    program = folder / "count_instructions"
    command = [*os.environ.get("CC", "cc").split(), "-std=c11", "-O2", f"-I{ROOT / 'csrc/include'}"]
    command += ["-o", str(program), str(DRIVER), *map(str, objects), "-lm", "-pthread"]
    subprocess.run(command, check=True)
    return program


def count(program: Path, isa: str, folder: Path) -> dict[str, int]:
    """Run the driver under callgrind: each call of its function `counted` is dumped apart."""
    prefix = folder / f"{isa}.out"
    command = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={prefix}", "--collect-atstart=no"]
    command += ["--toggle-collect=counted", "--dump-after=counted", str(program)]
    settings = {**os.environ, "PYNNGRAPH_ISA": isa, "PYNNGRAPH_NUM_THREADS": "1"}
    run = subprocess.run(command, check=False, capture_output=True, text=True, env=settings)
    if run.returncode:
        sys.exit(f"{' '.join(command)}\n{run.stderr}")
    names = run.stdout.splitlines()
    totals = [total_of(Path(f"{prefix}.{number}")) for number in range(1, len(names) + 1)]
    return dict(zip(names, totals, strict=True))


def total_of(dump: Path) -> int:
    """Return the instructions of one dump."""
    found = re.search(r"^(?:summary|totals): (\d+)", dump.read_text(encoding="utf-8"), re.MULTILINE)
    if found is None:
        sys.exit(f"{dump} has no total")
    return int(found[1])


def compare(recorded: Counts, counts: Counts) -> int:
    """Print what differs by more than the tolerance; the exit status says whether anything does."""
    differing = 0
    for isa in ISAS:
        before, now = recorded.get(isa, {}), counts[isa]
        for name in {**before, **now}:
            if name in before and name in now and abs(now[name] / before[name] - 1) <= TOLERANCE:
                continue
            differing += 1
            old, new = (f"{found[name]:,}" if name in found else "none" for found in (before, now))
            change = f" ({now[name] / before[name] - 1:+.1%})" if name in before and name in now else ""
            print(f"{isa}, {name}: {old} instructions recorded, {new} counted{change}")
    if differing:
        print("More is a regression. If the change is meant: make record-instructions")
        return 1
    print(f"{sum(map(len, counts.values()))} counts of instructions are within {TOLERANCE:.0%} of those recorded")
    return 0


if __name__ == "__main__":
    sys.exit(main())
