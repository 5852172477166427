"""Calls that are wrong in any way, in any order: an error of ours or the right answer, and nothing is broken after."""

import contextlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from samples import normal, seed_graph
from tolerances import EXACT, SAME_MATHS, assert_close, assert_trees_close
from trees import as_lists, is_table, leaves, nesting, tree_map

import pynngraph as nn
from pynngraph import errors

X, Y, G = normal(4, 3), normal(4, 3, seed=8), normal(4, 2, seed=9)
LR = 0.5
METHODS = ("forward", "backward", "without gradInput", "updateGradInput", "accGradParameters", "backwardUpdate")


# ---- nets, each with its mathematics in NumPy ----------------------------------------------------


class OwnScale(nn.Module):
    """y = w x, in Python."""

    def __init__(self):
        self.weight = np.array([1.0, -2.0, 0.5])

    def updateOutput(self, input):
        if input.shape[-1:] != (3,):
            raise errors.ShapeError("rows of 3 are wanted")
        return self.weight * input

    def updateGradInput(self, input, gradOutput):
        return self.weight * gradOutput

    def accGradParameters(self, input, gradOutput, scale=1.0):
        self.gradWeight += scale * (input * gradOutput).reshape(-1, 3).sum(0)


def outer(g, x):
    return np.atleast_2d(g).T @ np.atleast_2d(x)


def rows(g):
    return np.atleast_2d(g).sum(0)


class Sum:
    """Two inputs, one output."""

    good, grad = [X, Y], normal(4, 5)

    def __init__(self):
        self.net = seed_graph()

    def output(self, input):
        (w, b, v, c), (x, y) = self.net.parameters()[0], input
        return x @ w.T + b + y @ v.T + c

    def gradients(self, input, g):
        (w, _, v, _), (x, y) = self.net.parameters()[0], input
        return [g @ w, g @ v], [outer(g, x), rows(g), outer(g, y), rows(g)]


class Nested:
    """(x, (y, z)) to [tanh(linear(x)), [y z]]."""

    good, grad = (X, [Y, X + Y]), [G, (Y,)]

    def __init__(self):
        root = nn.Identity()()
        left, right = root.split(2)
        product = nn.CMulTable()(right.split(2))
        self.net = nn.gModule([root], [nn.Tanh()(nn.Linear(3, 2)(left)), nn.nest([product])])

    def output(self, input):
        (w, b), (x, (y, z)) = self.net.parameters()[0], input
        return [np.tanh(x @ w.T + b), [y * z]]

    def gradients(self, input, g):
        (w, b), (x, (y, z)), (g, (h,)) = self.net.parameters()[0], input, g
        g = g * (1 - np.tanh(x @ w.T + b) ** 2)
        return [g @ w, [h * z, h * y]], [outer(g, x), rows(g)]


class Own:
    """A module in Python at two nodes, then a Linear."""

    good, grad = X, G

    def __init__(self):
        node, scale = nn.Identity()(), OwnScale()
        self.net = nn.gModule([node], [nn.Linear(3, 2)(nn.CAddTable()([scale(nn.Tanh()(node)), scale(node)]))])

    def output(self, x):
        s, w, b = self.net.parameters()[0]
        return s * (np.tanh(x) + x) @ w.T + b

    def gradients(self, x, g):
        s, w, _ = self.net.parameters()[0]
        below, y = g @ w, np.tanh(x)
        return below * s * (2 - y * y), [rows(below * (y + x)), outer(g, s * (y + x)), rows(g)]


class Kept(Sum):
    """Every step is watched."""

    def __init__(self):
        super().__init__()
        self.net.keep()


class NoInput:
    """Parameters alone."""

    good, grad = [], normal(4, 3)

    def __init__(self):
        self.net = nn.gModule([], [nn.CMulTable()([nn.Parameters(4, 3)(), nn.Parameters(4, 3)()])])

    def output(self, input):
        v, w = self.net.parameters()[0]
        return v * w

    def gradients(self, input, g):
        v, w = self.net.parameters()[0]
        return [], [g * w, g * v]


SUBJECTS = {subject.__name__: subject for subject in (Sum, Nested, Own, Kept, NoInput)}


# ---- odd things ----------------------------------------------------------------------------------


class Refusing:
    """Raises whenever it is looked at."""

    def __array__(self, *arguments, **keywords):
        raise ValueError

    def __eq__(self, other):
        raise ValueError

    __hash__ = None


class MyList(list):
    pass


def node():
    return nn.Identity()()


def itself():
    tree = [X]
    tree.append(tree)
    return tree


def deep(depth):
    tree = X
    for _ in range(depth):
        tree = [tree]
    return tree


def read_only(x):
    x = x.copy()
    x.flags.writeable = False
    return x


def unaligned(x):
    raw = np.zeros(x.nbytes + 1, np.uint8)
    shifted = raw[1:].view(x.dtype).reshape(x.shape)
    shifted[...] = x
    return shifted


# Arrays that may be right, and all that cannot be.
ARRAYS = {
    "copy": np.copy, "Fortran": np.asfortranarray, "every other": lambda x: np.repeat(x, 2, 1)[:, ::2],
    "backwards": lambda x: x[::-1].copy()[::-1], "read-only": read_only, "unaligned": unaligned,
    "broadcast": lambda x: np.broadcast_to(x[:1], x.shape), "subclass": lambda x: x.view(np.memmap),
    "fewer rows": lambda x: x[:2], "no rows": lambda x: x[:0], "one row": lambda x: x[:1], "a vector": lambda x: x[0],
    "NaN": lambda x: x * np.nan, "infinite": lambda x: x + np.inf,
}  # fmt: skip
WRONG = {
    "another width": lambda: normal(4, 7), "no width": lambda: np.zeros((4, 0)), "3 dims": lambda: normal(2, 4, 3),
    "12 dims": lambda: np.ones((1,) * 12), "0 dims": lambda: np.array(1.5), "big-endian": lambda: X.astype(">f8"),
    "float32": lambda: X.astype(np.float32), "float16": lambda: X.astype(np.float16), "indices": lambda: X.astype(int),
    "longdouble": lambda: X.astype(np.longdouble), "complex": lambda: X.astype(complex), "bool": lambda: X > 0,
    "objects": lambda: X.astype(object), "text in an array": lambda: X.astype(str), "rows of objects": lambda:
    np.array([X, None], dtype=object), "dates": lambda: np.zeros((4, 3), "M8[s]"), "uint64": lambda:
    np.full((4, 3), 2**64 - 1, np.uint64), "structured": lambda: np.zeros(4, [("a", float)]), "masked": lambda:
    np.ma.masked_array(X, X > 0), "None": lambda: None, "text": lambda: "x", "bytes": lambda: b"x",
    "float": lambda: 1.5, "int": lambda: 1, "large int": lambda: 10**30, "bool itself": lambda: True,
    "NumPy scalar": lambda: np.float64(1.5),
    "dict": lambda: {"x": X}, "set": lambda: {1}, "generator": lambda: iter([X]), "module": nn.Tanh,
    "node": node, "class": lambda: nn.Tanh, "memoryview": lambda: memoryview(X), "refusing": Refusing,
    "Ellipsis": lambda: ..., "itself": itself, "deep": lambda: deep(99), "deeper": lambda: deep(5000),
    "empty": list, "empty tuple": tuple, "subclass": lambda: MyList([X, Y]), "floats": lambda: [1.0, 2.0],
}  # fmt: skip
MISSHAPEN = st.sampled_from([*WRONG.values()]).map(lambda make: make())


@st.composite
def trees_like(draw, good):
    """Something in place of a table: the table, with odd arrays, with wrong things, or nested in another way."""
    way = draw(st.integers(0, 5))
    if way == 0:
        return draw(MISSHAPEN)
    if way == 1:
        return draw(st.recursive(MISSHAPEN | st.just(X), lambda inner: st.lists(inner, max_size=3), max_leaves=4))
    if not is_table(good):
        return draw(st.sampled_from([*ARRAYS.values()]))(good) if way < 4 else good
    entries = [draw(trees_like(entry)) if draw(st.booleans()) else entry for entry in good]
    if way == 2:
        entries = draw(st.permutations(entries)) if draw(st.booleans()) else entries[: draw(st.integers(0, 2))]
    return draw(st.sampled_from((list, tuple)))(entries)


# ---- what may come of a call ---------------------------------------------------------------------


def base_types(tree):
    """The same table without subclasses of list and tuple."""
    return [list, tuple][isinstance(tree, tuple)](map(base_types, tree)) if is_table(tree) else tree


def state(net):
    return [np.copy(array) for arrays in net.parameters() for array in arrays]


def checked_call(subject, method, input, grad, scale=1.0):
    """Make a call; whether it was accepted. Then its answer is right; else it was an error and changed nothing."""
    net, before = subject.net, state(subject.net)
    count = len(before) // 2
    if method == "without gradInput":
        method, keywords = "backward", {"gradInput": False}
    else:
        keywords = {}
    more = {"forward": (), "updateGradInput": (grad,), "backwardUpdate": (grad, LR)}.get(method, (grad, scale))
    try:
        found = getattr(net, method)(input, *more, **keywords)
    except errors.Error:
        assert_trees_close(state(net), before, EXACT)
        return False
    plain = as_lists(tree_map(np.array, input))
    if method == "forward":
        assert_trees_close(as_lists(found), subject.output(plain), SAME_MATHS)
        assert_trees_close(state(net), before, EXACT)
        return True
    data, kept = before[:count], before[count:]
    after = state(net)
    for parameter, value in zip(net.parameters()[0], data, strict=True):
        parameter[...] = value  # the gradients are those at the parameters from before
    of_input, of_parameters = subject.gradients(plain, as_lists(tree_map(np.array, grad)))
    if method == "accGradParameters" or keywords:
        assert found is None
    else:
        assert nesting(found) == nesting(base_types(input))
        assert_trees_close(as_lists(found), of_input, SAME_MATHS)
    if method in ("backward", "accGradParameters"):
        kept = [g + scale * new for g, new in zip(kept, of_parameters, strict=True)]
    elif method == "backwardUpdate":
        data = [p - LR * g for p, g in zip(data, of_parameters, strict=True)]
    assert_trees_close(after, data + kept, SAME_MATHS)
    return True


def check_it_answers(subject):
    """A good pass is accepted and right."""
    for method in METHODS:
        subject.net.zeroGradParameters()
        assert checked_call(subject, method, subject.good, subject.grad)


@settings(max_examples=2 * settings.default.max_examples)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # NumPy's, on infinite numbers
@pytest.mark.parametrize("make", SUBJECTS.values(), ids=SUBJECTS)
@given(data=st.data())
def test_wrong_calls_in_any_order(make, data):
    subject = make()
    for _ in range(data.draw(st.integers(1, 5))):
        method = data.draw(st.sampled_from((*METHODS, "clearState")))
        if method == "clearState":
            subject.net.clearState()
            continue
        is_good = [data.draw(st.booleans()) for _ in range(2)]
        input = subject.good if is_good[0] else data.draw(trees_like(subject.good))
        grad = subject.grad if is_good[1] else data.draw(trees_like(subject.grad))
        checked_call(subject, method, input, grad, data.draw(st.sampled_from((1.0, 0, -0.5, 2))))
    subject = same_kind(subject)
    check_it_answers(subject)


def same_kind(subject):
    """The subject with finite parameters again: those of a step by NaN are not to be compared."""
    for arrays in subject.net.parameters():
        for array in arrays:
            if not np.isfinite(array).all():
                array[...] = normal(*array.shape)
    return subject


@pytest.mark.parametrize("wrong", WRONG.values(), ids=WRONG)
@pytest.mark.parametrize("make", SUBJECTS.values(), ids=SUBJECTS)
def test_each_wrong_thing_in_each_place_is_an_error_of_ours(make, wrong):
    subject = make()
    thing = wrong()
    for method in METHODS:
        subject.net.forward(subject.good)
        for place in range(-1, len(leaves(subject.good))):
            checked_call(subject, method, with_entry(subject.good, place, thing), subject.grad)
        if method == "forward":
            continue
        subject.net.forward(subject.good)
        for place in range(-1, len(leaves(subject.grad))):
            assert not checked_call(subject, method, subject.good, with_entry(subject.grad, place, thing))
    check_it_answers(subject)


def with_entry(tree, place, thing):
    """A table with something in place of one leaf; of all of it for -1."""
    if place < 0:
        return thing
    count = iter(range(len(leaves(tree))))
    return tree_map(lambda leaf: thing if next(count) == place else leaf, tree)


# ---- lists that change between calls -------------------------------------------------------------


@pytest.mark.parametrize("change", [
    lambda table: table.append(X), lambda table: table.pop(), lambda table: table.clear(),
    lambda table: table.reverse(), lambda table: table.__setitem__(0, Y + 1), lambda table: table.__setitem__(0, [X]),
    lambda table: table.__setitem__(1, None), lambda table: table.append(table),
], ids=("append", "pop", "clear", "reverse", "another", "nested", "None", "itself"))  # fmt: skip
@pytest.mark.parametrize("method", METHODS[1:])
def test_an_input_list_that_changed_since_the_forward_is_an_error(change, method):
    subject = Sum()
    table = [X, Y]
    subject.net.forward(table)
    change(table)
    assert not checked_call(subject, method, table, subject.grad)
    assert checked_call(subject, "backward", [X, Y], subject.grad)
    check_it_answers(subject)


def test_lists_that_were_given_back_may_be_changed():
    subject = Nested()
    subject.net.forward(subject.good)
    for answer in (subject.net.output, subject.net.backward(subject.good, subject.grad)):
        if isinstance(answer, list):
            answer[1].append(answer)
            answer.clear()
        else:
            answer[1].clear()
    check_it_answers(subject)


def test_an_array_that_changed_in_place_since_the_forward_is_an_error_where_it_shows():
    subject = Sum()
    x = X.copy()
    subject.net.forward([x, Y])
    x.shape = (2, 6)
    assert not checked_call(subject, "backward", [x, Y], subject.grad)
    x.shape = (4, 3)
    x += 1
    with contextlib.suppress(errors.DataError):
        assert nesting(subject.net.backward([x, Y], subject.grad)) == nesting([x, Y])
    check_it_answers(subject)


# ---- the wrong order -----------------------------------------------------------------------------


@pytest.mark.parametrize("make", SUBJECTS.values(), ids=SUBJECTS)
@pytest.mark.parametrize("method", METHODS[1:])
def test_backward_without_a_forward_of_its_own_is_an_error(make, method):
    subject, other = make(), make()
    other.net.forward(other.good)
    assert not checked_call(subject, method, subject.good, subject.grad)
    subject.net.forward(subject.good)
    subject.net.clearState()
    assert not checked_call(subject, method, subject.good, subject.grad)
    check_it_answers(subject)


@pytest.mark.parametrize("make", [Sum, Nested, Own])
@pytest.mark.parametrize("other", [Sum, Nested, Own])
@pytest.mark.parametrize("method", METHODS[1:])
def test_a_gradoutput_or_an_input_of_another_net_is_an_error(make, other, method):
    subject = make()
    subject.net.forward(subject.good)
    for input, grad in ((other.good, subject.grad), (subject.good, other.grad)):
        assert checked_call(subject, method, input, grad) == (make is other)
        subject.net.forward(subject.good)
    check_it_answers(subject)


@pytest.mark.parametrize("scale", [None, "x", X, 1j], ids=("None", "text", "array", "complex"))
@pytest.mark.parametrize("method", ["backward", "accGradParameters", "backwardUpdate", "accUpdateGradParameters"])
def test_a_scale_that_is_no_number_changes_nothing(scale, method):
    subject = Sum()
    subject.net.forward(subject.good)
    before = state(subject.net)
    with pytest.raises((TypeError, ValueError)):
        getattr(subject.net, method)(subject.good, subject.grad, scale)
    assert_trees_close(state(subject.net), before, EXACT)
    check_it_answers(subject)


@pytest.mark.parametrize("call", [
    lambda net, rate: net.backwardUpdate([X, Y], normal(4, 5), rate),
    lambda net, rate: net.updateParameters(rate),
], ids=("backwardUpdate", "updateParameters"))  # fmt: skip
def test_a_learning_rate_that_fits_some_parameters_only_changes_none(call):
    subject = Sum()
    subject.net.forward(subject.good)
    subject.net.backward(subject.good, subject.grad)
    before = state(subject.net)
    with pytest.raises((TypeError, ValueError)):
        call(subject.net, np.ones(3))
    assert_trees_close(state(subject.net), before, EXACT)


@pytest.mark.parametrize("arguments", [(), (X,), (X, G, 1.0, 2.0, 3.0)], ids=len)
def test_too_few_or_too_many_arguments_are_pythons_error(arguments):
    subject = Own()
    subject.net.forward(subject.good)
    with pytest.raises(TypeError):
        subject.net.backward(*arguments)
    check_it_answers(subject)


def test_an_input_in_the_memory_of_a_parameter_or_of_an_answer_is_just_numbers():
    node, linear = nn.Identity()(), nn.Linear(3, 3)
    net = nn.gModule([node], [linear(node)])
    expected = linear.weight @ linear.weight.T + linear.bias
    assert_close(net.forward(linear.weight), expected, SAME_MATHS)
    net.zeroGradParameters()
    assert_close(net.backward(linear.weight, linear.weight), linear.weight @ linear.weight, SAME_MATHS)
    assert_close(linear.gradWeight, linear.weight.T @ linear.weight, SAME_MATHS)
    kept = linear.gradWeight.copy()
    net.forward(X)
    grad = normal(4, 3)
    net.backward(X, grad)
    assert_close(linear.gradWeight, kept + grad.T @ X, SAME_MATHS)


# ---- calls from inside of a run ------------------------------------------------------------------


class Meddling(nn.Module):
    """Does something to the net that it is in, forward or backward."""

    def __init__(self, when, action):
        self.when, self.action = when, action

    def meddle(self, when):
        if when == self.when:
            with contextlib.suppress(errors.Error):
                self.action()

    def updateOutput(self, input):
        self.meddle("forward")
        return input

    def updateGradInput(self, input, gradOutput):
        self.meddle("backward")
        return gradOutput


OTHER = [normal(4, 3, seed=10), normal(4, 2, seed=11)]
ACTIONS = {
    "forward": lambda g: g.forward(Y),
    "backward": lambda g: g.backward(X, OTHER),
    "updateGradInput": lambda g: g.updateGradInput(X, OTHER),
    "accGradParameters": lambda g: g.accGradParameters(X, OTHER),
    "clearState": lambda g: g.clearState(),
    "getParameters": lambda g: g.getParameters(),
    "keep": lambda g: g.keep(),
    "clone": lambda g: g.clone(),
    "evaluate": lambda g: g.evaluate(),
    "replace": lambda g: g.replace(lambda module: module),
    "hook": lambda g: g.outputs[0].onForward(print),
}
UNDER_RUN = [
    pytest.param(when, action, id=f"{name} in {when}")
    for when in ("forward", "backward")
    for name, action in ACTIONS.items()
]


@pytest.mark.parametrize(("when", "action"), UNDER_RUN)
def test_what_a_module_does_to_the_net_that_it_is_in_does_not_touch_the_run(when, action):
    node, linear = nn.Identity()(), nn.Linear(3, 2)
    meddling = Meddling(when, lambda: action(g))
    g = nn.gModule([node], [nn.MulConstant(2)(node), linear(meddling(nn.Tanh()(node)))])
    grads = [Y, G]
    g.forward(X)
    y = np.tanh(X)
    assert_trees_close(g.forward(X), [2 * X, y @ linear.weight.T + linear.bias], SAME_MATHS)
    assert_close(g.backward(X, grads), 2 * Y + G @ linear.weight * (1 - y**2), SAME_MATHS)
    assert_close(linear.gradWeight, G.T @ y, SAME_MATHS)


def test_containers_in_very_many_containers_answer_or_raise_an_error_of_ours():
    net = nn.Tanh()
    for _ in range(1000):
        net = nn.Sequential(net)
    with contextlib.suppress(errors.Error):
        assert_close(net.forward(X), np.tanh(X), SAME_MATHS)


def test_a_number_of_parts_may_be_a_numpy_integer_but_not_a_truth():
    with pytest.raises(errors.GraphError):
        nn.Identity()().split(True)
    assert len(nn.Identity()().split(np.int64(2))) == 2


def test_a_name_that_is_no_text_is_taken_as_text_or_refused():
    node = nn.Identity()()
    with contextlib.suppress(errors.Error):
        node.annotate(name=3)
    assert "Identity" in node.label()
