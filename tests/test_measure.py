"""What a run costs: times of steps, the ops that they are for, multiply-adds."""

import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pynngraph import errors
from pynngraph._engine import (
    GRAD_INPUTS,
    GRAD_PARAMS,
    INDEX,
    OPS,
    REAL,
    EngineFailure,
    Plan,
    Program,
    StepTime,
    addresses,
)

ROWS, FEATURES, OUT = 64, 48, 32


def layer(dtype=np.float64, rows=ROWS, features=FEATURES, out=OUT, *, bias=True, backward=True):
    """A plan of tanh(x) W' + b with arrays bound to it, and these arrays."""
    program = Program()
    x = program.input(REAL)
    params = [program.param((out, features), has_grad=True)] + [program.param((out,), has_grad=True)] * bias
    (h,) = program.op(OPS["tanh"], [x])
    (y,) = program.op(OPS["linear"], [h, *params])
    program.output(y)
    program.seal()
    plan = Plan(program, np.dtype(dtype), [(rows, features)], backward=backward)
    rng = np.random.default_rng(0)
    arrays = {name: rng.standard_normal(shape).astype(dtype) for name, shape in
              {"x": (rows, features), "y": (rows, out), "g": (rows, out), "dx": (rows, features)}.items()}  # fmt: skip
    data = [rng.standard_normal(plan.shape(p)).astype(dtype) for p in params]
    grads = [np.zeros_like(array) for array in data]
    plan.inputs.bind([arrays["x"]])
    plan.outputs.bind([arrays["y"]])
    plan.bind_params(addresses([*data, *grads]))
    plan.grad_outputs.bind([arrays["g"]])
    plan.grad_inputs.bind([arrays["dx"]])
    return plan, (arrays, data, grads)


def both(plan):
    return [*plan.step_times(False), *plan.step_times(True)]


# ---- switching -----------------------------------------------------------------------------------


def test_without_measuring_there_are_steps_and_no_times():
    plan, _arrays = layer()
    plan.forward(0)
    plan.backward(1.0, GRAD_INPUTS | GRAD_PARAMS)
    assert plan.step_times(False) == [StepTime((0,), 0.0, 0), StepTime((1,), 0.0, 0)]
    assert [step.ops for step in plan.step_times(True)] == [(1, 0), (1,), (1,)]
    assert all(step.seconds == step.runs == 0 for step in both(plan))


def test_sums_grow_only_while_measuring_is_on():
    plan, _arrays = layer()
    plan.forward(0)
    plan.measure(True)
    start = time.perf_counter()
    for _ in range(5):
        plan.forward(0)
    wall = time.perf_counter() - start
    measured = plan.step_times(False)
    assert [step.runs for step in measured] == [5, 5]
    assert all(step.seconds > 0 for step in measured)
    assert sum(step.seconds for step in measured) <= wall
    assert all(step.runs == 0 for step in plan.step_times(True))

    plan.forward(0)
    more = plan.step_times(False)
    assert [step.runs for step in more] == [6, 6]
    assert all(later.seconds > earlier.seconds for later, earlier in zip(more, measured, strict=True))

    plan.measure(False)
    plan.forward(0)
    plan.backward(1.0, GRAD_INPUTS)
    assert plan.step_times(False) == more
    assert all(step.runs == 0 for step in plan.step_times(True))


@pytest.mark.parametrize("off_between", [True, False])
def test_switching_on_starts_from_zero(off_between):
    plan, _arrays = layer()
    plan.measure(True)
    plan.forward(0)
    plan.backward(1.0, GRAD_INPUTS)
    if off_between:
        plan.measure(False)
    plan.measure(True)
    assert all(step.seconds == step.runs == 0 for step in both(plan))
    plan.forward(0)
    assert [step.runs for step in plan.step_times(False)] == [1, 1]


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_measured_runs_give_the_same_numbers(dtype):
    results = []
    for measured in (False, True):
        plan, (arrays, _data, grads) = layer(dtype)
        plan.measure(measured)
        plan.forward(0)
        plan.backward(0.5, GRAD_INPUTS | GRAD_PARAMS)
        results.append([arrays["y"], arrays["dx"], *grads])
    for plain, timed in zip(*results, strict=True):
        np.testing.assert_array_equal(plain, timed)


class Sleeping:
    """A host step that takes its time."""

    seconds = 0.01
    has_parameters = False

    def infer(self, shapes):
        return shapes

    def forward(self, inputs):
        time.sleep(self.seconds)
        return inputs


def test_the_time_of_a_step_is_its_own():
    step = Sleeping()
    plan = planned(lambda program, inputs: program.op(OPS["tanh"], program.host(step, inputs, 1)))
    x, y = np.ones((4, 6), np.float32), np.empty((4, 6), np.float32)
    plan.inputs.bind([x])
    plan.outputs.bind([y])
    plan.measure(True)
    for _ in range(3):
        plan.forward(0)
    times = plan.step_times(False)
    assert [one.ops for one in times] == [(0,), (1,), (1,)]  # the output is read again: a copy
    assert times[0].seconds >= 3 * Sleeping.seconds > times[1].seconds + times[2].seconds


def test_a_plan_without_backward_has_no_backward_steps():
    plan, _arrays = layer(backward=False)
    plan.measure(True)
    plan.forward(0)
    assert [step.runs for step in plan.step_times(False)] == [1, 1]
    assert plan.step_times(True) == []


# ---- masks ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mask", "n_both", "n_linear"),
    [(GRAD_PARAMS, 0, 2), (GRAD_INPUTS, 1, 0), (GRAD_INPUTS | GRAD_PARAMS, 1, 2), (0, 0, 0)],
)
def test_a_backward_runs_the_steps_of_what_it_is_asked_for(mask, n_both, n_linear):
    plan, _arrays = layer()
    plan.forward(0)
    plan.measure(True)
    for _ in range(2):
        plan.backward(1.0, mask)
    steps = plan.step_times(True)
    assert sum(step.runs for step in steps if step.ops == (1, 0)) == 2 * n_both
    assert sum(step.runs for step in steps if step.ops == (1,)) == 2 * n_linear
    assert all((step.seconds > 0) == (step.runs > 0) for step in steps)


# ---- the ops that steps are for ------------------------------------------------------------------


def planned(build, n_inputs=1, shape=(4, 6)):
    """The plan of a program: `build(program, inputs)` gives its outputs."""
    program = Program()
    for value in build(program, [program.input(REAL) for _ in range(n_inputs)]):
        program.output(value)
    program.seal()
    return Plan(program, np.dtype(np.float32), [shape] * n_inputs)


def ops_of(plan):
    return tuple([step.ops for step in plan.step_times(backward)] for backward in (False, True))


def test_a_copy_of_an_output_belongs_to_the_op_that_made_it():
    def build(program, inputs):
        y = program.op(OPS["tanh"], inputs)  # its backward reads it again: the caller gets a copy
        return [*y, *program.op(OPS["exp"], y)]

    forward, backward = ops_of(planned(build))
    assert forward == [(0,), (1,), (0,), (1,)]
    assert backward == [(0,), (1,), (0,)]


def test_zeros_around_the_gradient_of_a_part_belong_to_the_part():
    def build(program, inputs):
        return program.op(OPS["narrow"], program.op(OPS["tanh"], inputs), [1, 0, 2])

    assert ops_of(planned(build)) == ([(0,), (1,)], [(1,), (1,), (0,)])


def test_adding_to_the_gradient_of_a_parameter_belongs_to_the_op_that_completes_it():
    def build(program, inputs):
        param = program.param((4, 6), has_grad=True)
        y = program.op(OPS["add"], [*inputs, param])
        return program.op(OPS["mul"], [*y, param])

    assert ops_of(planned(build)) == ([(0,), (1,)], [(1,), (0,), (0,)])


def test_steps_for_no_op_are_copies_of_inputs_and_zeros():
    forward, backward = ops_of(planned(lambda _program, inputs: inputs[:1], n_inputs=2))
    assert forward == [()]
    assert backward == [(), ()]


# ---- multiply-adds -------------------------------------------------------------------------------


@given(rows=st.integers(0, 9), features=st.integers(1, 9), out=st.integers(1, 9), bias=st.booleans())
def test_multiply_adds_of_a_product(rows, features, out, bias):
    plan, (arrays, data, _grads) = layer(rows=rows, features=features, out=out, bias=bias)
    products = arrays["x"][:, None, :] * data[0][None, :, :]  # what is summed: one a multiply-add
    assert plan.multiply_adds(1) == products.size
    assert plan.multiply_adds(0) == 0


@given(batch=st.integers(0, 3), sizes=st.tuples(*[st.integers(0, 5)] * 3), ta=st.booleans(), tb=st.booleans())
def test_multiply_adds_of_a_batch_of_products(batch, sizes, ta, tb):
    n, k, m = sizes
    program = Program()
    inputs = [program.input(REAL) for _ in range(2)]
    (y,) = program.op(OPS["matmul"], inputs, (int(ta), int(tb)))
    program.output(y)
    program.seal()
    shapes = [(batch, k, n) if ta else (batch, n, k), (batch, m, k) if tb else (batch, k, m)]
    assert Plan(program, np.dtype("float64"), shapes).multiply_adds(0) == batch * n * k * m


def test_multiply_adds_of_one_row():
    program = Program()
    x, weight = program.input(REAL), program.param((5, 3), has_grad=False)
    program.output(*program.op(OPS["linear"], [x, weight]))
    program.seal()
    assert Plan(program, np.dtype(np.float32), [(3,)]).multiply_adds(0) == 15


def test_multiply_adds_do_not_overflow():
    program = Program()
    x, weight = program.input(REAL), program.param((1 << 28, 1 << 28), has_grad=False)
    program.output(*program.op(OPS["linear"], [x, weight]))
    program.seal()
    plan = Plan(program, np.dtype(np.float32), [(1 << 28, 1 << 28)], backward=False)
    assert plan.multiply_adds(0) == 2**64 - 1


def test_all_other_ops_do_none():
    def build(program, inputs):
        outputs = program.op(OPS["add"], [*inputs] * 20)
        return outputs + program.op(OPS["mse"], inputs, [1])

    plan = planned(build, n_inputs=2)
    assert [plan.multiply_adds(op) for op in range(plan.program.n_ops)] == [0, 0]


# ---- errors --------------------------------------------------------------------------------------


@pytest.mark.parametrize("op", [-1, 2, 2**62])
def test_no_such_op(op):
    plan, _arrays = layer()
    with pytest.raises(EngineFailure) as failure:
        plan.multiply_adds(op)
    assert failure.value.exception is errors.Error


class Asking:
    """A host step that asks its plan, in the middle of a run."""

    plan = None
    fails = False
    answers = ()

    has_parameters = False

    def infer(self, shapes):
        return shapes

    def forward(self, inputs):
        calls = (lambda: self.plan.measure(True), lambda: self.plan.measure(False), lambda: self.plan.step_times(False))
        self.answers = []
        for call in calls:
            with pytest.raises(errors.StateError) as raised:
                call()
            self.answers.append(str(raised.value))
        if self.fails:
            raise ZeroDivisionError
        return inputs


def test_a_run_under_way_is_not_disturbed_and_counts_as_far_as_it_came():
    step = Asking()
    program = Program()
    hosted = program.host(step, [program.input(REAL)], 1)
    program.output(*program.op(OPS["tanh"], hosted))
    program.seal()
    step.plan = plan = Plan(program, np.dtype(np.float64), [(4,)], backward=False)
    x, y = np.ones(4), np.empty(4)
    plan.inputs.bind([x])
    plan.outputs.bind([y])
    plan.measure(True)
    plan.forward(0)
    assert len(step.answers) == 3
    assert all("is running already" in answer for answer in step.answers)
    np.testing.assert_allclose(y, np.tanh(x))
    step.fails = True
    with pytest.raises(ZeroDivisionError):
        plan.forward(0)
    assert [(one.ops, one.runs) for one in plan.step_times(False)] == [((0,), 2), ((1,), 1)]


def test_an_index_input_takes_part():
    program = Program()
    x, t = program.input(REAL), program.input(INDEX)
    loss = program.op(OPS["nll"], [x, t], [1, -100], n_outputs=2)[0]
    program.output(loss)
    program.seal()
    plan = Plan(program, np.dtype(np.float64), [(2, 3), (2,)])
    assert {step.ops for step in both(plan)} == {(0,)}
