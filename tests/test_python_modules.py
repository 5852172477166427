"""Modules written in Python, on NumPy arrays: anywhere that other modules may be."""

import numpy as np
import pytest
from samples import COPIES, normal
from tolerances import EXACT, SAME_MATHS, assert_close, assert_trees_close
from trees import nesting

import pynngraph as nn
from pynngraph import errors

X, G = normal(4, 3), normal(4, 3, seed=8)


class Scale(nn.Module):
    """y = w x, with a parameter; counts its calls."""

    def __init__(self, value=2.0):
        self.weight = np.array([value])
        self.calls = []

    def updateOutput(self, input):
        self.calls.append("updateOutput")
        return self.weight * input

    def updateGradInput(self, input, gradOutput):
        self.calls.append("updateGradInput")
        return self.weight * gradOutput

    def accGradParameters(self, input, gradOutput, scale=1):
        self.calls.append("accGradParameters")
        self.gradWeight += scale * (input * gradOutput).sum()


class OnlyBackward(nn.Module):
    """y = x^2 with a parameterless `backward`."""

    def updateOutput(self, input):
        return input**2

    def backward(self, input, gradOutput, scale=1):
        return 2 * input * gradOutput


class ForwardBackward(nn.Module):
    """y = x^2 by `forward` and `backward`."""

    def forward(self, input):
        return input**2

    def backward(self, input, gradOutput, scale=1):
        return 2 * input * gradOutput


class Remembering(nn.Module):
    """y = x^2 with something kept from forward for backward."""

    def updateOutput(self, input):
        self.kept = input
        return input**2

    def updateGradInput(self, input, gradOutput):
        return 2 * self.kept * gradOutput


class Swap(nn.Module):
    """(a, [b]) to [b, (a, a)]: tables in and out."""

    def updateOutput(self, input):
        a, (b,) = input
        return [b.copy(), (a.copy(), 3 * a)]

    def updateGradInput(self, input, gradOutput):
        gb, (ga, ga3) = gradOutput
        return (ga + 3 * ga3, [gb])


class Positive(nn.Module):
    """The rows whose sum is positive: the output's shape depends on the numbers."""

    def updateOutput(self, input):
        return input[input.sum(1) > 0]

    def updateGradInput(self, input, gradOutput):
        full = np.zeros_like(input)
        full[input.sum(1) > 0] = gradOutput
        return full


class Failing(nn.Module):
    """Raises what it is told to, where it is told to."""

    def __init__(self):
        self.forward_error = self.backward_error = None

    def updateOutput(self, input):
        if self.forward_error:
            raise self.forward_error
        return 2 * input

    def updateGradInput(self, input, gradOutput):
        if self.backward_error:
            raise self.backward_error
        return 2 * gradOutput


SQUARES = (OnlyBackward, ForwardBackward, Remembering)


def in_sequential(module):
    return nn.Sequential().add(nn.MulConstant(3)).add(module).add(nn.Tanh())


def in_graph(module):
    node = nn.Identity()()
    return nn.gModule([node], [nn.Tanh()(module(nn.MulConstant(3)(node)))])


def in_fork(module):
    fork = nn.ConcatTable().add(module).add(nn.MulConstant(0))
    return nn.Sequential().add(nn.MulConstant(3)).add(fork).add(nn.CAddTable()).add(nn.Tanh())


PLACES = pytest.mark.parametrize("place", [in_sequential, in_graph, in_fork])


@PLACES
@pytest.mark.parametrize("kind", SQUARES)
def test_B6_however_it_is_written_it_works_anywhere(place, kind):
    net = place(kind())
    y = np.tanh(9 * X**2)
    assert_close(net.forward(X), y, SAME_MATHS)
    assert_close(net.backward(X, G), G * (1 - y**2) * 18 * X, SAME_MATHS)
    assert_close(net.forward(X[:2]), y[:2], SAME_MATHS)
    assert_close(net.backward(X[:2], G[:2]), (G * (1 - y**2) * 18 * X)[:2], SAME_MATHS)


@pytest.mark.parametrize("kind", SQUARES)
def test_it_works_by_itself(kind):
    module = kind()
    assert_close(module.forward(X), X**2, EXACT)
    assert_close(module.backward(X, G), 2 * X * G, SAME_MATHS)


@PLACES
def test_parameters_take_part(place):
    module = Scale()
    net = place(module)
    y = np.tanh(6 * X)
    assert_close(net.forward(X), y, SAME_MATHS)
    net.zeroGradParameters()
    assert_close(net.backward(X, G, 0.5), G * (1 - y**2) * 6, SAME_MATHS)
    assert_close(module.gradWeight, np.array([0.5 * (G * (1 - y**2) * 3 * X).sum()]), SAME_MATHS)
    flat, _ = net.getParameters()
    flat[...] = 1
    assert_close(net.forward(X), np.tanh(3 * X), SAME_MATHS)


@PLACES
def test_each_method_is_called_once(place):
    module = Scale()
    net = place(module)
    net.forward(X)
    assert module.calls == ["updateOutput"]
    net.backward(X, G)
    assert sorted(module.calls[1:]) == ["accGradParameters", "updateGradInput"]
    net.forward(X)
    assert module.calls.count("updateOutput") == 2


def test_B6_the_two_halves_of_backward_apart():
    module = Scale()
    net = in_graph(module)
    net.forward(X)
    net.updateGradInput(X, G)
    assert "accGradParameters" not in module.calls
    assert not module.gradWeight.any()
    net.accGradParameters(X, G, 0.5)
    assert module.gradWeight.any()


def test_B6_a_backward_that_does_both_adds_nothing_when_gradinput_alone_is_wanted():
    class Both(nn.Module):
        def __init__(self):
            self.weight = np.ones(1)

        def updateOutput(self, input):
            return self.weight * input

        def backward(self, input, gradOutput, scale=1):
            self.gradWeight += scale * (input * gradOutput).sum()
            return self.weight * gradOutput

    module = Both()
    net = in_graph(module)
    net.forward(X)
    expected = net.updateGradInput(X, G)
    assert not module.gradWeight.any()
    assert_close(net.backward(X, G), expected, EXACT)
    assert module.gradWeight.all()


def test_tables_in_and_out():
    a, b = X, normal(2)
    net = nn.Sequential().add(Swap()).add(nn.Identity())
    assert_trees_close(net.forward((a, [b])), [b, (a, 3 * a)], EXACT)
    found = net.backward((a, [b]), [b, (G, G)])
    assert_trees_close(found, (4 * G, [b]), EXACT)


def test_tables_in_a_graph():
    first, second = nn.Identity()(), nn.Identity()()
    left, right = Swap()([first, [second]]).split(2)
    g = nn.gModule([first, second], [left, nn.CAddTable()(right)])
    out = g.forward([X, G])
    assert_trees_close(out, [G, 4 * X], SAME_MATHS)
    assert_trees_close(g.backward([X, G], [X, G]), [4 * G, X], SAME_MATHS)


@pytest.mark.parametrize("where", [lambda m: m, in_sequential, in_graph], ids=("alone", "sequential", "graph"))
def test_shapes_of_outputs_may_change_with_the_numbers(where):
    net = where(Positive())
    for x in (X, -X, np.abs(X), X[:2], -np.abs(X), X):
        output = net.forward(x)
        rows = x.sum(1) > 0
        assert output.shape == (rows.sum(), 3)
        found = net.backward(x, np.ones_like(output))
        assert nesting(found) == x.shape
        assert not found[~rows].any()
        assert found[rows].all()


@PLACES
@pytest.mark.parametrize("direction", ["forward", "backward"])
@pytest.mark.parametrize("exception", [ZeroDivisionError("mine"), KeyboardInterrupt(), errors.ShapeError("mine")],
                         ids=("built-in", "interrupt", "one of ours"))  # fmt: skip
def test_what_it_raises_is_what_the_caller_gets_and_nothing_breaks(place, direction, exception):
    module = Failing()
    net = place(module)
    expected = net.forward(X).copy()
    gradient = net.backward(X, G).copy()
    setattr(module, f"{direction}_error", exception)
    net.forward(X) if direction == "backward" else None
    with pytest.raises(type(exception)) as raised:
        net.forward(X) if direction == "forward" else net.backward(X, G)
    assert raised.value is exception
    setattr(module, f"{direction}_error", None)
    assert_close(net.forward(X), expected, EXACT)
    assert_close(net.backward(X, G), gradient, EXACT)


@pytest.mark.parametrize("answer", [None, "text", 1j * np.ones(3), np.ones(3, int), [], [None]],
                         ids=("None", "text", "complex", "integers", "nothing", "list of None"))  # fmt: skip
def test_an_output_that_is_none_is_an_error_of_ours_or_works(answer):
    class Odd(nn.Module):
        def updateOutput(self, input):
            return answer

        def updateGradInput(self, input, gradOutput):
            return input

    net = nn.Sequential().add(Odd()).add(nn.Tanh())
    with pytest.raises(errors.Error):
        net.forward(X)


@pytest.mark.parametrize("answer", [np.ones((2, 2)), [np.ones((4, 3))]], ids=("another shape", "a list"))
def test_a_gradinput_of_another_shape_is_an_error_that_names_the_module(answer):
    class Odd(nn.Module):
        def updateOutput(self, input):
            return input + 1

        def updateGradInput(self, input, gradOutput):
            return answer

    net = nn.Sequential().add(nn.Tanh()).add(Odd())
    net.forward(X)
    with pytest.raises(errors.Error, match="Odd"):
        net.backward(X, G)


def test_no_gradient_stands_for_zeros():
    class Cut(nn.Module):
        def updateOutput(self, input):
            return 1.0 * input

        def updateGradInput(self, input, gradOutput):
            return None

    net = nn.Sequential().add(nn.Tanh()).add(Cut())
    net.forward(X)
    assert_close(net.backward(X, G), np.zeros_like(X), EXACT)


def test_a_module_without_methods_says_what_to_define():
    class Nothing(nn.Module):
        pass

    with pytest.raises(errors.Error, match="updateOutput"):
        Nothing().forward(X)


def test_a_module_without_a_backward_says_what_to_define():
    class Half(nn.Module):
        def updateOutput(self, input):
            return 2 * input

    for net in (Half(), in_sequential(Half())):
        net.forward(X)
        with pytest.raises(errors.Error, match="updateGradInput"):
            net.backward(X, G)


def test_one_module_at_two_nodes_is_called_twice():
    module = Scale(2.0)
    node = nn.Identity()()
    g = nn.gModule([node], [nn.CMulTable()([module(node), module(nn.Tanh()(node))])])
    t = np.tanh(X)
    assert_close(g.forward(X), 4 * X * t, SAME_MATHS)
    g.zeroGradParameters()
    assert_close(g.backward(X, G), 4 * G * (t + X * (1 - t**2)), SAME_MATHS)
    assert_close(module.gradWeight, np.array([(4 * G * X * t).sum()]), SAME_MATHS)


def test_it_may_use_other_modules_inside():
    class Inner(nn.Module):
        def __init__(self):
            self.net = nn.Sequential().add(nn.Linear(3, 3)).add(nn.Tanh())

        def updateOutput(self, input):
            return self.net.forward(input)

        def updateGradInput(self, input, gradOutput):
            return self.net.updateGradInput(input, gradOutput)

        def accGradParameters(self, input, gradOutput, scale=1):
            self.net.accGradParameters(input, gradOutput, scale)

    module = Inner()
    net = nn.Sequential().add(module).add(nn.MulConstant(2))
    assert_close(net.forward(X), 2 * module.net.forward(X), SAME_MATHS)
    net.forward(X)
    expected = module.net.backward(X, 2 * G)
    assert_close(net.backward(X, G), expected, SAME_MATHS)


def test_a_subclass_may_call_what_it_derives_from():
    class Doubled(nn.Linear):
        def updateOutput(self, input):
            return 2 * super().updateOutput(input)

        def updateGradInput(self, input, gradOutput):
            return super().updateGradInput(input, 2 * gradOutput)

        def accGradParameters(self, input, gradOutput, scale=1):
            super().accGradParameters(input, gradOutput, 2 * scale)

    module = Doubled(3, 2)
    net = nn.Sequential().add(module).add(nn.Identity())
    assert_close(net.forward(X), 2 * (X @ module.weight.T + module.bias), SAME_MATHS)
    g = normal(4, 2)
    net.zeroGradParameters()
    assert_close(net.backward(X, g), 2 * g @ module.weight, SAME_MATHS)
    assert_close(module.gradWeight, 2 * g.T @ X, SAME_MATHS)
    assert_close(module.gradBias, 2 * g.sum(0), SAME_MATHS)


def test_it_may_write_into_what_it_gets_without_harm():
    class Rude(nn.Module):
        def updateOutput(self, input):
            input *= 2
            return input

        def updateGradInput(self, input, gradOutput):
            gradOutput *= 2
            return gradOutput

    x, g = X.copy(), G.copy()
    fork = nn.ConcatTable().add(Rude()).add(nn.Identity())
    assert_trees_close(fork.forward(x), [2 * X, X], EXACT)
    assert_close(fork.backward(x, [g, g]), 3 * G, SAME_MATHS)
    assert_close(x, X, EXACT)
    assert_close(g, G, EXACT)


def test_it_may_keep_what_it_gets():
    class Keeping(nn.Module):
        def __init__(self):
            self.seen = []

        def updateOutput(self, input):
            self.seen.append(input)
            return 2 * input

    module = Keeping()
    net = in_sequential(module)
    net.forward(X)
    net.forward(G)
    assert_close(module.seen[0], 3 * X, SAME_MATHS)
    assert_close(module.seen[1], 3 * G, SAME_MATHS)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_it_gets_arrays_of_the_modules_dtype(dtype):
    class Telling(nn.Module):
        def updateOutput(self, input):
            self.told = input.dtype
            return input.astype(np.float64)

        def updateGradInput(self, input, gradOutput):
            assert gradOutput.dtype == input.dtype
            return gradOutput

    net = nn.Sequential().add(Telling()).add(nn.Tanh()).type(dtype)
    x = X.astype(dtype)
    assert net.forward(x).dtype == dtype
    assert net.get(0).told == dtype
    assert net.backward(x, x).dtype == dtype


def test_random_choices_before_it_are_made_once():
    net = nn.Sequential().add(nn.Dropout(0.5)).add(OnlyBackward()).add(nn.Identity())
    x = np.ones((20, 3))
    output = net.forward(x)
    gradient = net.backward(x, x)
    assert ((output == 0) == (gradient == 0)).all()
    assert 0 < (output == 0).sum() < output.size


def test_evaluate_reaches_it():
    class Telling(nn.Module):
        def updateOutput(self, input):
            return input + (1 if self.train else 0)

    net = nn.Sequential().add(Telling()).add(nn.Identity())
    assert_close(net.forward(X), X + 1, EXACT)
    assert_close(net.evaluate().forward(X), X, EXACT)


@pytest.mark.parametrize("copier", COPIES.values(), ids=COPIES)
def test_it_can_be_copied(copier):
    net = in_graph(Scale())
    expected = net.forward(X)
    twin = copier(net)
    assert_close(twin.forward(X), expected, EXACT)
    twin.parameters()[0][0][...] = 0
    assert_close(net.forward(X), expected, EXACT)


def test_integers_reach_it_as_they_are():
    class Embedding(nn.Module):
        def __init__(self):
            self.weight = normal(5, 2)

        def updateOutput(self, input):
            return self.weight[input]

        def updateGradInput(self, input, gradOutput):
            return None

        def accGradParameters(self, input, gradOutput, scale=1):
            np.add.at(self.gradWeight, input, scale * gradOutput)

    net = nn.Sequential().add(Embedding()).add(nn.Tanh())
    words = np.array([0, 4, 4])
    assert_close(net.forward(words), np.tanh(net.get(0).weight[words]), SAME_MATHS)
    net.zeroGradParameters()
    assert net.backward(words, np.ones((3, 2))).shape == words.shape
    assert net.get(0).gradWeight[4].all()
    assert not net.get(0).gradWeight[1:4].any()


class Distance(nn.Criterion):
    """sum |x - t|, a criterion in Python."""

    def updateOutput(self, input, target):
        return abs(input - target).sum()

    def updateGradInput(self, input, target):
        return np.sign(input - target)


def test_a_criterion_in_python_works_by_itself_and_as_a_node():
    assert Distance().forward(X, G) == pytest.approx(abs(X - G).sum())
    criterion = Distance()
    criterion.forward(X, G)
    assert_close(criterion.backward(X, G), np.sign(X - G), EXACT)
    node, target = nn.Identity()(), nn.Identity()()
    g = nn.gModule([node, target], [nn.MulConstant(2)(Distance()([node, target]))])
    assert_close(g.forward([X, G]), np.array([2 * abs(X - G).sum()]), SAME_MATHS)
    assert_trees_close(g.backward([X, G], np.ones(1)), [2 * np.sign(X - G), np.zeros_like(G)], EXACT)


def test_a_module_that_calls_the_net_that_it_is_in_is_an_error_of_ours():
    class Loop(nn.Module):
        def updateOutput(self, input):
            return self.around[0].forward(input)

    module = Loop()
    module.around = [nn.Sequential().add(module)]
    with pytest.raises((errors.Error, RecursionError)):
        module.around[0].forward(X)
