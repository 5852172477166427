"""Run one op on the engine, by itself: what test_ops.py and test_isa.py do with each row of op_cases.py.

As a script it runs all rows and writes what came to a file: python op_runner.py FILE
"""

import sys
from typing import NamedTuple

import numpy as np
from op_cases import OP_CASES, SEED, draw
from samples import python

from pynngraph._engine import GRAD_INPUTS, INDEX, OPS, REAL, Plan, Program

DTYPES = (np.float64, np.float32)


class Run(NamedTuple):
    """Arrays of one forward and one backward."""

    inputs: list
    outputs: list
    grad_outputs: list
    grad_inputs: list  # None where there is none


def run_program(build, inputs, dtype, rng):
    """Run the program that `build(program, input values)` makes and gives the output values of."""
    program = Program()
    values = [program.input(INDEX if x.dtype.kind == "i" else REAL) for x in inputs]
    results = build(program, values)
    for value in results:
        program.output(value)
    program.seal()
    plan = Plan(program, np.dtype(dtype), [x.shape for x in inputs])
    inputs = [np.ascontiguousarray(x) for x in inputs]
    outputs = [np.empty(plan.shape(value), dtype) for value in results]
    grad_outputs = [rng.standard_normal(y.shape).astype(dtype) for y in outputs]
    grad_inputs = [np.empty_like(x) if x.dtype.kind == "f" else None for x in inputs]
    plan.inputs.bind(inputs)
    plan.outputs.bind(outputs)
    plan.grad_outputs.bind(grad_outputs)
    plan.grad_inputs.bind(grad_inputs)
    plan.forward(SEED)
    plan.backward(1.0, GRAD_INPUTS)
    return Run(inputs, outputs, grad_outputs, grad_inputs)


def run_case(case, dtype):
    """Run a row on numbers that are the same each time."""
    rng = np.random.default_rng(1)

    def build(program, values):
        return program.op(OPS[case.op], values, case.ints, case.nums, case.n_outputs)

    return run_program(build, draw(list(case.inputs), rng, dtype), dtype, rng)


def run_all(path, **variables):
    """What all rows give in a process of its own, with environment variables; `path` is a file for that."""
    done = python(__file__, str(path), **variables)
    assert done.returncode == 0, done.stderr
    with np.load(path) as file:
        return {key: file[key] for key in file.files}


def main(path):
    """Run all rows in both dtypes; write outputs and gradients."""
    results = {}
    for case in OP_CASES:
        for dtype in DTYPES:
            run = run_case(case, dtype)
            arrays = [*run.outputs, *(g for g in run.grad_inputs if g is not None)]
            for place, array in enumerate(arrays):
                kind = "output" if place < len(run.outputs) else "gradient"
                results[f"{case.name}/{np.dtype(dtype).name}/{kind}/{place}"] = array
    np.savez(path, **results)


if __name__ == "__main__":
    main(sys.argv[1])
