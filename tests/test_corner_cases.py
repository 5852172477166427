"""What users seldom meet: attributes that were taken away or set by hand, limits of caches, failures of the engine."""

from types import SimpleNamespace

import numpy as np
import pytest
from samples import mlp, normal
from tolerances import EXACT, SUMS, TRANSCENDENTAL, assert_close, relative

import pynngraph as nn
from pynngraph import errors
from pynngraph._engine import EngineFailure, Plan
from pynngraph.nn import execution, host
from pynngraph.nn.pooling import _LastInput
from pynngraph.tree import LEAF

X = normal(4, 3)


@pytest.mark.parametrize(("module", "input"), [
    (nn.Mul(), X), (nn.Add(3), X), (nn.CMul(3), X), (nn.Linear(3, 2), X), (nn.LookupTable(3, 2), np.array([0, 2])),
], ids=lambda value: type(value).__name__)  # fmt: skip
def test_a_module_that_has_lost_its_parameter_says_so(module, input):
    module.forward(input)
    setattr(module, "bias" if isinstance(module, nn.Add) else "weight", None)
    with pytest.raises(errors.ShapeError, match=f"{type(module).__name__}.* has no (weight|bias) any more"):
        module.forward(input)


def test_the_default_dtype_can_be_asked_for():
    assert nn.getdefaulttensortype() == "float64"
    nn.setdefaulttensortype("float32")
    assert nn.getdefaulttensortype() == "float32"


def test_none_for_a_gradient_makes_it_zeros():
    net = nn.Linear(3, 2)
    net.gradWeight = np.ones((2, 3))
    net.gradWeight = None
    assert_close(net.gradWeight, np.zeros((2, 3)), EXACT)


@pytest.mark.parametrize("count", [0, -1, 1.5, "x"])
def test_the_number_of_plans_is_a_whole_number_from_1(count):
    with pytest.raises(errors.StateError, match=r"maxPlans of Linear.* must be a whole number from 1"):
        nn.Linear(3, 2).maxPlans = count


def test_results_can_be_set_by_hand():
    net = nn.Tanh()
    net.output, net.gradInput = X, 2 * X
    assert net.output is X
    assert_close(net.gradInput, 2 * X, EXACT)
    net.forward(X)
    net.clearState()
    assert net.output is None


@pytest.mark.parametrize("value", [1j, "x"])
def test_parameters_take_real_numbers(value):
    net = nn.Mul()
    with pytest.raises(errors.DTypeError, match="the weight of Mul takes real numbers"):
        net.weight = [value]


def test_constants_are_real():
    with pytest.raises(errors.DTypeError, match="the value of Constant takes real numbers, got complex ones"):
        nn.Constant(1j)


def test_more_changes_of_a_net_than_are_remembered(monkeypatch):
    monkeypatch.setattr(execution, "MAX_FINGERPRINTS", 3)
    net = nn.Sequential(nn.MulConstant(1), nn.Tanh())
    for factor in (*range(1, 12), 1, 2):
        net.get(0).constant_scalar = float(factor)
        assert_close(net.forward(X), np.tanh(factor * X), TRANSCENDENTAL)


def test_more_shapes_of_a_module_in_python_than_are_remembered(monkeypatch):
    monkeypatch.setattr(host, "MAX_RESULTS", 2)

    class Doubled(nn.Module):
        def updateOutput(self, input):
            return np.concatenate([input, input])

        def updateGradInput(self, input, gradOutput):
            return gradOutput[: len(input)] + gradOutput[len(input) :]

    net = nn.Sequential(Doubled(), nn.MulConstant(2))
    for rows in (1, 2, 3, 4, 1, 5, 2):
        assert_close(net.forward(X[:1].repeat(rows, 0)), 2 * X[:1].repeat(2 * rows, 0), EXACT)


def test_a_failure_of_the_engine_on_the_way_back_is_an_error_and_changes_nothing(monkeypatch):
    net = mlp()
    x = normal(2, net.get(0).weight.shape[1])
    y = net.forward(x)
    before = net.getParameters()[1].copy()

    def fail(*_):
        raise EngineFailure(errors.DataError, "the engine says so", 0)

    with monkeypatch.context() as patch:
        patch.setattr(Plan, "backward", fail)
        with pytest.raises(errors.DataError, match="the engine says so"):
            net.backward(x, np.ones_like(y))
    assert_close(net.getParameters()[1], before, EXACT)
    assert net.backward(x, np.ones_like(y)).shape == x.shape


def test_the_gradient_of_an_output_of_indices_is_not_looked_at():
    net = nn.ConcatTable(nn.Identity(), nn.LookupTable(3, 2))
    index = np.array([0, 2, 0])
    indices, rows = net.forward(index)
    assert (indices == index).all()
    net.backward(index, ["whatever", np.ones_like(rows)])
    assert_close(net.get(1).gradWeight, np.array([[2.0, 2], [0, 0], [1, 1]]), EXACT)


def test_a_parameter_used_both_as_it_is_and_normalised():
    linear = nn.Linear(3, 2, False)
    weight = linear.weight.copy()
    net = nn.ConcatTable(linear, nn.WeightNorm(linear), linear)
    first, second, third = net.forward(X)
    assert_close(second, first, relative(1e-3, 1e-3))  # as Torch7, it adds 1e-4 to the square of a norm
    assert_close(third, first, EXACT)
    assert_close(first, X @ weight.T, SUMS)


def test_a_module_may_not_leave_another_shape_in_a_buffer():
    class Kept(nn.Module):
        def __init__(self):
            self.add_cell("last", np.zeros(2), has_grad=False)

        def lower(self, b, input):
            x = b.array(input)
            b.update(self._buffers["last"], x)
            return b.op("identity", [x])

    assert_close(Kept().forward(np.ones(2)), np.ones(2), EXACT)
    with pytest.raises(errors.Error):
        Kept().forward(np.ones(3))


def test_a_buffer_cannot_become_indices():
    class Kept(nn.Module):
        def __init__(self):
            self.add_cell("last", np.zeros(2), has_grad=False)

        def lower(self, b, input):
            b.update(self._buffers["last"], b.array(input))
            return b.constant(np.zeros(1))

    net = Kept()
    with pytest.raises(errors.DTypeError, match=r"a buffer cannot become value .* which holds indices"):
        net.forward(np.array([1, 2]))


def test_a_module_that_changes_while_it_is_lowered_is_lowered_again():
    class Restless(nn.Module):
        def __init__(self):
            self.times = 0

        def lower(self, b, input):
            self.times += 1
            return b.op("mul_constant", [b.array(input)], nums=[self.times])

    net = Restless()
    for times in range(1, 4):
        assert_close(net.forward(X), times * X, EXACT)


def test_a_transfer_function_names_an_op_of_the_engine():
    with pytest.raises(TypeError, match="the engine has no op 'nothing'"):

        class Wrong(nn.nn.transfer.Unary, op="nothing"):
            pass


@pytest.mark.parametrize("kernel", [np.ones((2, 3)), np.ones((3, 3, 3)), np.ones(4)])
def test_kernels_of_normalisations_have_odd_sizes(kernel):
    with pytest.raises(errors.ShapeError, match="must have one or two odd sizes"):
        nn.SpatialSubtractiveNormalization(1, kernel)


def test_normalisations_look_at_the_number_of_planes():
    with pytest.raises(errors.ShapeError, match=r"expects 3 planes, got shape \(2, 4, 4\)"):
        nn.SpatialSubtractiveNormalization(3, np.ones((3, 3))).forward(np.ones((2, 4, 4)))
    with pytest.raises(errors.DataError, match="must have a sum above 0"):
        nn.SpatialSubtractiveNormalization(3, -np.ones((3, 3)))


def test_steps_of_programs_that_nothing_comes_back_to():
    """What a graph's site would get, if no run comes to it; the step that tells a pooling's last input."""
    net = nn.Tanh()
    assert net._execution._input_of(SimpleNamespace(number=9), LEAF, [X]) is None
    step = _LastInput(nn.SpatialMaxPooling(2, 2), "a graph")
    assert step.backward([], 1.0, 3) == []
    assert not step.has_parameters


def test_layer_normalization_takes_what_was_put_in_place_of_its_parameters():
    x = np.array([[1.0, 3.0], [5.0, 1.0]])
    net = nn.LayerNormalization(2)
    net.modules[1] = nn.CMul(1)
    net.modules[1].weight[...] = 3
    np.testing.assert_allclose(net.forward(x), [[-3, 3], [3, -3]], rtol=1e-6)
    net = nn.LayerNormalization(2)
    net.get(1).weight = None
    with pytest.raises(errors.ShapeError, match="has no weight any more"):
        net.forward(x)
