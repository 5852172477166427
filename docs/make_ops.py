"""Write docs/ops.md from the registry of ops, or check that it is up to date (--check)."""

from __future__ import annotations

import sys
from pathlib import Path

from pynngraph._engine import OPS, OpInfo

PAGE = Path(__file__).resolve().parent / "ops.md"

HEAD = """# Ops

The primitive ops that programs are made of, from `csrc/ops.def`; `python docs/make_ops.py` writes this page. What the
families share is in `csrc/family.h`. `ints` and `nums` are attributes, given with the op; n is "any number".

| op | family | inputs | outputs | ints | nums | what it computes |
|---|---|---|---|---|---|---|
"""


def row(op: OpInfo) -> str:
    """One line of the table."""
    many = {-1: "n"}
    inputs = str(op.min_inputs)
    if op.max_inputs != op.min_inputs:
        inputs += f" … {many.get(op.max_inputs, op.max_inputs)}"
    outputs, ints = many.get(op.n_outputs, op.n_outputs), many.get(op.n_ints, op.n_ints)
    formula = op.formula.replace("|", "\\|")
    return f"| `{op.name}` | {op.family} | {inputs} | {outputs} | {ints} | {op.n_nums} | {formula} |\n"


def main() -> int:
    """Write or check the page."""
    text = HEAD + "".join(map(row, OPS.values()))
    if "--check" not in sys.argv:
        PAGE.write_text(text, encoding="utf-8")
        return 0
    if PAGE.exists() and PAGE.read_text(encoding="utf-8") == text:
        return 0
    print(f"{PAGE.name} is out of date: run python docs/make_ops.py", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
