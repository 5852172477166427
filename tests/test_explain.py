"""What a plan tells of itself: steps, fusion and why not, bytes, multiply-adds, memory; and that nothing changes."""

import io

import numpy as np
import pytest
from tolerances import EXACT, assert_close

import pynngraph as nn
from pynngraph import errors

ROWS = 16


def explained(module, *arguments):
    return nn.explain(module, *arguments, seconds=0.01, file=io.StringIO())


def layers():
    return nn.Sequential(nn.Linear(8, 32), nn.Tanh(), nn.Linear(32, 4))


def test_steps_name_their_modules_in_order_and_fused_ones_both(capsys):
    found = nn.explain(layers(), np.ones((ROWS, 8)), np.ones((ROWS, 4)), seconds=0.01)
    forward = [step.nodes for step in found.steps if not step.backward]
    assert forward == [("Linear(8 -> 32)", "Tanh"), ("Linear(32 -> 4)",)]
    assert {node for step in found.steps if step.backward for node in step.nodes} == {
        "Linear(8 -> 32)", "Tanh", "Linear(32 -> 4)"}  # fmt: skip
    assert capsys.readouterr().out == f"{found}\n"
    assert all(step.measured > 0 for step in found.steps)
    assert found.forward > 0
    assert found.backward > 0


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_bytes_and_multiply_adds_are_those_of_the_arrays(dtype):
    found = explained(layers().type(dtype), np.ones((ROWS, 8), dtype))
    size = np.dtype(dtype).itemsize
    first, second = found.steps[:2]
    assert (first.multiply_adds, second.multiply_adds) == (ROWS * 32 * 8, ROWS * 4 * 32)
    # x, W, b and y, each once
    assert second.bytes == size * (ROWS * 32 + 32 * 4 + 4 + ROWS * 4)
    add = explained(nn.CAddTable().type(dtype), [np.ones((5, 3), dtype)] * 3).steps[0]
    assert (add.bytes, add.multiply_adds) == (size * 4 * 15, 0)
    half = explained(nn.Sequential(nn.Narrow(1, 0, 3), nn.Tanh()).type(dtype), np.ones((5, 6), dtype)).steps[0]
    assert half.bytes == size * 2 * 15  # of the part that is read, not of all


def test_indices_count_with_their_own_size():
    net = nn.LookupTable(100, 4).float()
    assert explained(net, np.arange(10)).steps[0].bytes == 10 * 8 + 10 * 4 * 4 + 10 * 4 * 4


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda: nn.Sequential(nn.Tanh(), nn.Tanh()), "not made by a product"),
        (lambda: nn.Sequential(nn.Linear(8, 8), nn.Narrow(1, 0, 3), nn.Tanh()), "another part"),
        (lambda: nn.Sequential(nn.Linear(8, 8), nn.Tanh(), nn.Sigmoid()), "ends with another function"),
    ],
)
def test_what_is_not_fused_says_why(make, reason):
    found = explained(make(), np.ones((ROWS, 8)))
    place = next(place for place, step in enumerate(found.steps) if reason in step.unfused)
    assert any(
        line.startswith("not fused: ") and f"f{place}" in line and reason in line for line in str(found).split("\n")
    )


def test_weights_of_several_products_are_packed_in_a_step_that_says_so():
    layer = nn.Linear(8, 8)
    packed, first, second = explained(nn.Sequential(layer, layer), np.ones((ROWS, 8))).steps[:3]
    assert packed.text == "linear: 8 x 8, weights packed for several products"
    assert packed.nodes == first.nodes == ("Linear(8 -> 8)",)
    assert "weights packed before" in first.text
    assert "weights packed before" in second.text


def test_memory_is_told_by_what_it_is_for():
    net, x = layers(), np.ones((ROWS, 8))
    found = explained(net, x)
    memory = found.memory
    plan = net.execution_apart().prepared(x).plan
    assert memory.arena == plan.arena_size
    assert memory.kept == 8 * ROWS * 32  # tanh's output, which its derivative and the second layer want
    assert max(memory.kept, memory.backward) <= memory.arena <= sum(memory[1:4]) + 64 * 8
    assert memory.work <= memory.forward + memory.backward


def test_the_engine_tells_the_same_in_words():
    plan = layers().execution_apart().prepared(np.ones((ROWS, 8))).plan
    text = plan.describe()
    costs = [*plan.step_costs(False), *plan.step_costs(True)]
    for cost in costs:
        assert cost.text in text
    assert f"forward: {len(plan.step_costs(False))} steps" in text
    assert "measured" not in text
    assert text.splitlines()[-1].startswith("arena: ")


def test_nothing_changes():
    net = nn.Sequential(nn.Linear(8, 8), nn.Dropout(0.5))
    x = np.ones((ROWS, 8))
    nn.manualSeed(3)
    net.forward(x)
    expected = net.forward(x).copy()
    nn.manualSeed(3)
    net.forward(x)
    explained(net, x, np.ones((ROWS, 8)))
    assert not any(gradient.any() for gradient in net.parameters()[1])
    assert_close(net.forward(x), expected, EXACT)


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (([1],), errors.Error),
        ((layers(), np.ones((2, 7))), errors.ShapeError),
        ((layers(), np.ones((2, 8)), np.ones((2, 5))), errors.ShapeError),
    ],
)
def test_wrong_arguments(arguments, error):
    with pytest.raises(error):
        nn.explain(*arguments, *([np.ones(1)] * (2 - len(arguments))))
    with pytest.raises(errors.DataError, match="seconds"):
        nn.explain(layers(), np.ones((2, 8)), seconds=0)
