"""What was once wrong and is easily made wrong again: memory that goes away, code that comes back."""

import numpy as np
import pytest
from tolerances import CANCELLING, EXACT, assert_close

import pynngraph as nn
from pynngraph import errors


@pytest.mark.parametrize("size", [2, 3, 8, 33, 64])
@pytest.mark.parametrize("odd", [lambda g: g.T, lambda g: g[::-1], lambda g: g[:, ::-1]], ids=("F", "rows", "columns"))
def test_gradoutputs_of_any_layout_live_until_the_run_is_over(size, odd, rng):
    linear = nn.Linear(size, size)
    net = nn.Sequential(nn.Linear(size, size), linear)
    x = rng.standard_normal((size, size))
    grad = odd(rng.standard_normal((size, size)))
    hidden = net.get(0).forward(x)
    net.forward(x)
    net.zeroGradParameters()
    found = net.backward(x, grad)
    assert_close(linear.gradWeight, grad.T @ hidden, CANCELLING)
    assert_close(found, grad @ linear.weight @ net.get(0).weight, CANCELLING)


@pytest.mark.parametrize("move", [lambda net: net.getParameters(), lambda net: net.float()], ids=("flat", "float"))
def test_a_parameter_that_moves_during_a_run_does_no_harm(move):
    class Mover(nn.Module):
        moves = False

        def updateOutput(self, input):
            if Mover.moves:
                move(net)
            return input

    net = nn.Sequential(Mover(), nn.Linear(300, 300))
    x = np.ones((2, 300))
    expected = net.forward(x).copy()
    Mover.moves = True
    assert_close(net.forward(x), expected, EXACT)


class Doubling(nn.Module):
    """Gives one array again and again, as modules of Torch7 do."""

    def __init__(self):
        self.buffer = np.zeros(3)

    def updateOutput(self, input):
        self.buffer[...] = 2 * input
        return self.buffer

    def updateGradInput(self, input, gradOutput):
        return 2 * gradOutput


def test_a_python_module_may_write_to_its_output_again():
    module, x = Doubling(), nn.Identity()()
    once = module(x)
    g = nn.gModule([x], [once, module(once)])
    for _ in range(2):
        first, second = g.forward(np.ones(3))
        assert_close(first, np.full(3, 2.0), EXACT)
        assert_close(second, np.full(3, 4.0), EXACT)


def test_a_module_that_calls_the_net_that_it_is_in_is_an_error():
    class Caller(nn.Module):
        def updateOutput(self, input):
            return net.forward(input[:1]) if len(input) > 1 else input

    net = nn.Sequential(Caller(), nn.MulConstant(2))
    with pytest.raises(errors.StateError, match="running already"):
        net.forward(np.ones((4, 3)))
    assert_close(net.forward(np.ones((1, 3))), np.full((1, 3), 2.0), EXACT)


def test_a_python_subclass_sees_changes_of_what_it_derives_from():
    class Quiet(nn.Dropout):
        def updateOutput(self, input):
            return super().updateOutput(input)

    class Scaled(nn.MulConstant):
        def updateOutput(self, input):
            return super().updateOutput(input)

    dropout, x = Quiet(0.5), np.ones(64)
    assert (dropout.forward(x) == 0).any()
    assert_close(dropout.evaluate().forward(x), x, EXACT)
    scaled = Scaled(2)
    scaled.forward(x)
    scaled.constant_scalar = 7.0
    assert_close(scaled.forward(x), 7 * x, EXACT)


def test_a_python_subclass_of_a_module_works_at_two_nodes(rng):
    class Layer(nn.Linear):
        def updateOutput(self, input):
            return super().updateOutput(input)

    def graph(layer):
        x = nn.Identity()()
        return nn.gModule([x], [nn.CMulTable()([nn.Tanh()(layer(x)), layer(nn.Tanh()(x))])])

    plain = nn.Linear(3, 3)
    layer = Layer(3, 3)
    layer.weight, layer.bias = plain.weight, plain.bias
    expected, found = graph(plain), graph(layer)
    for _ in range(2):
        x, g = rng.standard_normal((2, 4, 3))
        assert_close(found.forward(x), expected.forward(x), CANCELLING)
        expected.zeroGradParameters()
        found.zeroGradParameters()
        assert_close(found.backward(x, g), expected.backward(x, g), CANCELLING)
        assert_close(layer.gradWeight, plain.gradWeight, CANCELLING)
        assert_close(layer.gradBias, plain.gradBias, CANCELLING)


def test_a_python_criterion_may_take_tables():
    class Apart(nn.Criterion):
        def updateOutput(self, input, target):
            return float((input[0] - input[1] - target).sum())

        def updateGradInput(self, input, target):
            return [np.ones_like(input[0]), -np.ones_like(input[1])]

    criterion, x = Apart(), [np.ones(2), np.zeros(2)]
    assert criterion.forward(x, np.zeros(2)) == 2.0
    first, second = criterion.backward(x, np.zeros(2))
    assert_close(first, np.ones(2), EXACT)
    assert_close(second, -np.ones(2), EXACT)


def test_many_lengths_keep_few_programs():
    split = nn.SplitTable(0)
    for length in range(1, 100):
        assert len(split.forward(np.ones(length))) == length
    assert all(len(programs) <= 32 for programs in split._execution._programs.values())


def test_rows_of_a_criterion_with_dims_of_one_share_a_program():
    criterion = nn.CrossEntropyCriterion()
    for rows in range(2, 40):
        target = np.zeros((rows, 1, 1), int)
        assert criterion.forward(np.zeros((rows, 3, 1, 1)), target) == pytest.approx(np.log(3))
    assert sum(map(len, criterion._execution._programs.values())) == 1


def test_parts_of_a_vector_become_read_only_too():
    net = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    net.getParameters()
    part, _ = net.get(1).getParameters()
    net.float()
    with pytest.raises(ValueError, match="read-only"):
        part[0] = 1


def test_a_list_assigned_to_modules_is_watched():
    net = nn.Sequential()
    net.modules = [nn.MulConstant(3)]
    net.forward(np.ones(1))
    net.modules[0] = nn.MulConstant(5)
    assert_close(net.forward(np.ones(1)), np.full(1, 5.0), EXACT)


def test_attributes_with_a_default_in_the_class_are_watched():
    class Scale(nn.Module):
        factor = 2.0

        def lower(self, b, input):
            return b.op("mul_constant", [b.array(input)], nums=[self.factor])

    scale = Scale()
    scale.forward(np.ones(1))
    scale.factor = 5.0
    assert_close(scale.forward(np.ones(1)), np.full(1, 5.0), EXACT)


@pytest.mark.parametrize("edit", [
    lambda g: g.modules.__setitem__(1, nn.Sigmoid()),
    lambda g: g.add(nn.Linear(2, 2)),
    lambda g: g.insert(nn.Linear(2, 2), 0),
    lambda g: g.remove(0),
], ids=("replaced", "added", "inserted", "removed"))  # fmt: skip
def test_editing_the_modules_of_a_graph_is_an_error(edit):
    x = nn.Identity()()
    g = nn.gModule([x], [nn.Tanh()(x)])
    with pytest.raises(errors.GraphError, match="replace"):
        edit(g) or g.forward(np.ones(2))


class BothWays(nn.Module):
    """Goes backward by one method."""

    def __init__(self):
        self.weight = np.full(2, 3.0)

    def updateOutput(self, input):
        return self.weight * input

    def backward(self, input, gradOutput, scale=1.0):
        self.gradWeight += scale * gradOutput * input
        return gradOutput * self.weight


def test_B6_only_backward_serves_both_halves():
    module, x, g = BothWays(), np.array([1.0, 2.0]), np.ones(2)
    module.forward(x)
    assert_close(module.updateGradInput(x, g), np.full(2, 3.0), EXACT)
    assert_close(module.gradWeight, np.zeros(2), EXACT)
    module.accGradParameters(x, g, 0.5)
    assert_close(module.gradWeight, 0.5 * x, EXACT)


def test_a_backward_that_fails_leaves_gradients_as_they_were():
    class Failing(Doubling):
        def updateGradInput(self, input, gradOutput):
            raise KeyError(gradOutput.shape)

    net = nn.Sequential(Failing(), nn.Linear(3, 2))
    x = np.ones(3)
    net.forward(x)
    before = net.get(1).gradWeight.copy()
    with pytest.raises(KeyError):
        net.backward(x, np.ones(2))
    assert_close(net.get(1).gradWeight, before, EXACT)


def test_a_forward_that_failed_is_named_by_the_backward_after_it():
    criterion, x = nn.ClassNLLCriterion(), np.zeros((1, 3))
    criterion.forward(x, np.array([2]))
    with pytest.raises(errors.DataError):
        criterion.forward(x, np.array([9]))
    with pytest.raises(errors.StateError, match="failed"):
        criterion.backward(x, np.array([2]))


def test_a_container_inside_itself_is_an_error():
    net = nn.Sequential()
    net.add(net)
    with pytest.raises(errors.GraphError, match="contains itself"):
        net.forward(np.ones(2))


def test_sizes_may_be_numpy_integers():
    x = np.ones((2, 6))
    assert nn.View(np.int64(3), np.int64(2)).forward(x).shape == (2, 3, 2)
    assert nn.Reshape(np.int64(6)).forward(x).shape == (2, 6)


def test_a_misaligned_target_is_taken():
    raw = np.zeros(17, np.uint8)
    target = raw[1:].view(np.int64)
    assert not target.flags.aligned
    assert nn.ClassNLLCriterion().forward(np.zeros((2, 3)), target) == 0.0


def test_gradinput_is_a_list_or_tuple_as_the_question():
    add, x = nn.CAddTable(), np.ones(2)
    add.forward([x, x])
    assert isinstance(add.backward((x, x), x), tuple)
    assert isinstance(add.backward([x, x], x), list)


def test_arrays_and_modules_do_not_mix_in_arithmetic():
    with pytest.raises(errors.GraphError, match="an array"):
        np.ones(3) - nn.Tanh()


def test_a_change_while_a_plan_is_made_is_seen_by_the_next_call():
    dropout = nn.Dropout(0.5)

    class Meddling(nn.Module):
        """Does while it is lowered what another thread may do then."""

        def lower(self, b, input):
            dropout.train = not dropout.train
            return b.op("identity", [b.array(input)])

    net = nn.Sequential(dropout, Meddling())
    x = np.ones((20, 20))
    assert (net.forward(x) == 0).any()
    assert not dropout.train
    net.remove()
    assert_close(net.forward(x), x, EXACT)
    net.add(Meddling())
    assert_close(net.forward(x), x, EXACT)
    assert dropout.train
    assert (net.forward(x) == 0).any()


def test_containers_very_deep_in_containers_are_printed_shortened_and_not_cloned():
    net = nn.Tanh()
    for _ in range(2000):
        net = nn.Sequential(net)
    assert repr(net).startswith("nn.Sequential {\n  [input -> (0) -> output]\n  (0): nn.Sequential {")
    for call in (net.clone, lambda: net.forward(np.ones(2))):
        with pytest.raises(errors.GraphError, match="too deep for Python"):
            call()
