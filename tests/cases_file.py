"""The rows of op_cases.py as a file that tests/c/run_cases.c reads, where there is no Python.

Numbers are little-endian, 8 bytes each: int64, or float64. A text is its length and its bytes, filled up with zeros to
a whole number of 8. The file is "PNNGCASE", the number of cases, and for each: name, op; dtype (0: float32); numbers of
inputs, ints, nums and outputs; ints; nums; the seed; for the outputs and then for the gradients: measure (0: of each
element, 1: of the array) and largest relative error. Then arrays: inputs, what the outputs should be, gradients of
outputs, what the gradients of inputs should be. An array is its kind (0: reals, 1: indices, 2: there is none), the
number of dims, dims, elements.

As a script: python cases_file.py FILE
"""

import pathlib
import struct
import sys

import numpy as np
from op_cases import OP_CASES, SEED
from op_runner import DTYPES, run_case, run_program
from tolerances import SINGLE

from pynngraph._engine import OPS

MEASURES = ("element", "array")


def _text(text):
    data = text.encode("ascii")
    return struct.pack("<q", len(data)) + data + b"\0" * (-len(data) % 8)


def _array(array):
    if array is None:
        return struct.pack("<q", 2)
    array = np.asarray(array)
    kind = int(array.dtype.kind == "i")
    head = struct.pack(f"<{array.ndim + 2}q", kind, array.ndim, *array.shape)
    return head + np.ascontiguousarray(array, "<i8" if kind else "<f8").tobytes()


def _tolerance(tolerance, dtype):
    return struct.pack("<qd", MEASURES.index(tolerance.measure), tolerance.bound(dtype))


class _Given:
    """In the place of a generator: arrays that are there already, as if drawn."""

    def __init__(self, arrays):
        self._arrays = iter(arrays)

    def standard_normal(self, _shape):
        return next(self._arrays)


def _expected(case, run):
    """Outputs by NumPy; gradients by this machine's engine, which test_ops.py compares with differences. In float64."""
    inputs = [x.astype(np.float64) if x.dtype.kind == "f" else x for x in run.inputs]
    outputs = case.reference(*inputs)

    def build(program, values):
        return program.op(OPS[case.op], values, case.ints, case.nums, case.n_outputs)

    gradients = run_program(build, inputs, np.float64, _Given(run.grad_outputs)).grad_inputs
    return outputs if isinstance(outputs, tuple) else (outputs,), gradients


def record(case, dtype):
    """One case as bytes."""
    run = run_case(case, dtype)
    outputs, gradients = _expected(case, run)
    counts = (len(run.inputs), len(case.ints), len(case.nums), len(outputs))
    parts = [
        _text(case.name),
        _text(case.op),
        struct.pack("<5q", int(dtype is np.float64), *counts),
        struct.pack(f"<{len(case.ints)}q{len(case.nums)}d", *case.ints, *case.nums),
        struct.pack("<q", SEED),
        _tolerance(case.forward, dtype),
        _tolerance(case.backward if dtype is np.float64 else SINGLE, dtype),
        *map(_array, run.inputs),
        *(_array(np.asarray(y).astype(dtype)) for y in outputs),
        *map(_array, run.grad_outputs),
        *map(_array, gradients),
    ]
    return b"".join(parts)


def write(path, cases=OP_CASES):
    """All cases in both dtypes."""
    records = [record(case, dtype) for case in cases for dtype in DTYPES]
    pathlib.Path(path).write_bytes(b"PNNGCASE" + struct.pack("<q", len(records)) + b"".join(records))


if __name__ == "__main__":
    write(sys.argv[1])
