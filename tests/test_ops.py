"""Every op of the registry, run by itself on the engine, against NumPy."""

import numerical
import numpy as np
import pytest
from op_cases import OP_CASES, Input, draw
from op_runner import DTYPES, run_case, run_program
from tolerances import EXACT, NUMERICAL, SINGLE, assert_close

from pynngraph._engine import OPS

rows = pytest.mark.parametrize("case", OP_CASES, ids=[case.name for case in OP_CASES])
dtypes = pytest.mark.parametrize("dtype", DTYPES, ids=("float64", "float32"))


def reference(case, inputs):
    """All outputs by NumPy in float64."""
    answer = case.reference(*[x.astype(np.float64) if x.dtype.kind == "f" else x for x in inputs])
    return answer if isinstance(answer, tuple) else (answer,)


@dtypes
@rows
def test_forward_is_that_of_numpy(case, dtype):
    run = run_case(case, dtype)
    for output, expected in zip(run.outputs, reference(case, run.inputs), strict=True):
        rounded = expected.astype(dtype)
        assert_close(output, rounded, case.forward)


@dtypes
@rows
def test_backward_is_the_numerical_derivative(case, dtype):
    run = run_case(case, dtype)
    inputs = [x.astype(np.float64) if x.dtype.kind == "f" else x for x in run.inputs]
    weights = [np.zeros_like(g) if k in case.passes_none else g for k, g in enumerate(run.grad_outputs)]
    places = [k for k, x in enumerate(inputs) if x.dtype.kind == "f"]
    expected = numerical.gradient(lambda: list(reference(case, inputs)), [inputs[k] for k in places], weights)
    for place, gradient in zip(places, expected, strict=True):
        wanted = np.zeros_like(gradient) if place in case.no_gradient else case.factor * gradient
        tolerance = NUMERICAL if dtype is np.float64 else SINGLE
        assert_close(run.grad_inputs[place].astype(np.float64), wanted, tolerance, dtype, what=f"input {place}")


@rows
def test_float32_gradients_are_those_of_float64(case):
    double, single = run_case(case, np.float64), run_case(case, np.float32)
    for got, expected in zip(single.grad_inputs, double.grad_inputs, strict=True):
        if got is not None:
            assert_close(got, expected.astype(np.float32), SINGLE)


ELEMENTWISE = [case for case in OP_CASES if OPS[case.op].family.startswith("unary")]


def special(dtype):
    """Numbers at the edges of a dtype."""
    info = np.finfo(dtype)
    positive = [
        0,
        info.smallest_subnormal,
        info.tiny,
        info.eps,
        1,
        20,
        88,
        89,
        104,
        700,
        710,
        746,
        1e4,
        info.max / 4,
        info.max,
        np.inf,
    ]
    return np.array([np.nan, *positive, *(-x for x in positive)]).astype(dtype)


@dtypes
@pytest.mark.parametrize("case", ELEMENTWISE, ids=[case.name for case in ELEMENTWISE])
def test_numbers_at_the_edges_give_what_ieee_754_says(case, dtype):
    x = special(dtype)
    run = run_program(
        lambda program, values: program.op(OPS[case.op], values, case.ints, case.nums),
        [x],
        dtype,
        np.random.default_rng(1),
    )
    with np.errstate(all="ignore"):
        (expected,) = reference(case, [x])
        assert_close(run.outputs[0], expected.astype(dtype), case.forward)


@dtypes
def test_to_index_makes_indices_of_whole_reals(dtype, rng):
    x, target = draw([Input((6, 5), "log"), Input((6,), "index", 5)], rng, dtype)

    def through_reals(program, values):
        index = program.op(OPS["to_index"], values[1:])
        return program.op(OPS["nll"], [values[0], *index], (1, -100), (), 2)

    def straight(program, values):
        return program.op(OPS["nll"], values, (1, -100), (), 2)

    runs = [run_program(build, [x, t], dtype, np.random.default_rng(1))
            for build, t in ((through_reals, target.astype(dtype)), (straight, target))]  # fmt: skip
    assert_close(runs[0].outputs[0], runs[1].outputs[0], EXACT)
    assert_close(runs[0].grad_inputs[0], runs[1].grad_inputs[0], EXACT)
    assert not runs[0].grad_inputs[1].any()
