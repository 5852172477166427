"""A call like the last one takes a short way: whatever comes, it must answer as a first call does."""

from copy import deepcopy

import numpy as np
import pytest
from tolerances import EXACT, ROUNDED, assert_close

import pynngraph as nn


def two_inputs():
    a, b = nn.Identity()(), nn.Identity()()
    return nn.gModule([a, b], [nn.CMulTable()([nn.Linear(3, 4)(a), nn.Linear(3, 4)(b)])])


def arrays(seed):
    rng = np.random.default_rng(seed)
    return [rng.standard_normal((2, 3)), rng.standard_normal((2, 3))]


def misaligned(x):
    room = np.empty(x.nbytes + 1, np.uint8)
    shifted = room[1:].view(x.dtype).reshape(x.shape)
    shifted[...] = x
    return shifted


def read_only(x):
    x.flags.writeable = False
    return x


# What a second call may bring, made of plain arrays; each means the same numbers as these.
ALIKE = {
    "other arrays": lambda pair: pair,
    "a tuple": tuple,
    "one array twice": lambda pair: [pair[0], pair[0]],
    "columns first": lambda pair: [pair[0], np.asfortranarray(pair[1])],
    "every second row": lambda pair: [np.repeat(pair[0], 2, axis=0)[::2], pair[1]],
    "misaligned": lambda pair: [pair[0], misaligned(pair[1])],
    "read-only": lambda pair: [pair[0], read_only(pair[1])],
    "other sizes": lambda pair: [np.vstack([x, x]) for x in pair],
    "no rows": lambda pair: [x[:0] for x in pair],
    "one sample": lambda pair: [x[0] for x in pair],
}


@pytest.mark.parametrize("name", ALIKE)
def test_a_second_call_answers_as_a_first(name):
    g = two_inputs()
    fresh = deepcopy(g)
    first = arrays(0)
    g.forward(first)
    g.backward(first, np.ones((2, 4)))
    g.zeroGradParameters()
    for seed in (1, 2):  # a third call comes after one of its own kind
        second = ALIKE[name](arrays(seed))
        expected = fresh.forward(second)
        grad_output = np.full_like(expected, seed)
        fresh.clearState().zeroGradParameters()
        g.zeroGradParameters()
        assert_close(g.forward(second), fresh.forward(second), EXACT)
        got, wanted = g.backward(second, grad_output), fresh.backward(second, grad_output)
        assert type(got) is type(second)
        for place in range(2):
            assert_close(got[place], wanted[place], EXACT)
        for gradient, other in zip(g.parameters()[1], fresh.parameters()[1], strict=True):
            assert_close(gradient, other, EXACT)


# A second call that is wrong, and the error.
WRONG = {
    "one array": (lambda pair: pair[0], nn.errors.StructureError),
    "three arrays": (lambda pair: [*pair, pair[0]], nn.errors.StructureError),
    "a table inside": (lambda pair: [pair[0], [pair[1]]], nn.errors.StructureError),
    "another dtype": (lambda pair: [pair[0], pair[1].astype(np.float32)], nn.errors.DTypeError),
    "another byte order": (lambda pair: [pair[0], pair[1].astype(">f8")], nn.errors.DTypeError),
    "a list of numbers": (lambda pair: [pair[0], [1.0, 2.0, 3.0]], nn.errors.Error),
    "None": (lambda pair: [pair[0], None], nn.errors.DTypeError),
    "a masked array": (lambda pair: [pair[0], np.ma.masked_array(pair[1])], nn.errors.DTypeError),
    "wrong sizes": (lambda pair: [pair[0], pair[1][:, :2]], nn.errors.ShapeError),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_second_call_leaves_the_first_as_it_was(name):
    make, error = WRONG[name]
    g = two_inputs()
    first, grad_output = arrays(0), np.ones((2, 4))
    g.forward(first)
    expected = [x.copy() for x in g.backward(first, grad_output)]
    for _ in range(2):
        with pytest.raises(error):
            g.forward(make(arrays(1)))  # these arrays are gone when backward runs
    got = g.backward(first, grad_output)
    for place in range(2):
        assert_close(got[place], expected[place], EXACT)


@pytest.mark.parametrize("wrong", [np.ones((2, 5)), np.ones((2, 4), np.float32), [np.ones((2, 4))], None])
def test_a_wrong_gradient_after_a_right_one_changes_nothing(wrong):
    g = two_inputs()
    x = arrays(0)
    g.forward(x)
    g.backward(x, np.ones((2, 4)))
    before = [gradient.copy() for gradient in g.parameters()[1]]
    with pytest.raises(nn.errors.Error):
        g.backward(x, wrong)
    for gradient, expected in zip(g.parameters()[1], before, strict=True):
        assert_close(gradient, expected, EXACT)


def test_an_input_reshaped_in_place_is_seen():
    net = nn.Tanh()
    x = np.linspace(-1, 1, 6).reshape(2, 3)
    net.forward(x)
    net.backward(x, np.ones((2, 3)))
    x.resize((3, 2), refcheck=False)
    assert net.forward(x).shape == (3, 2)
    x.resize((6,), refcheck=False)
    with pytest.raises(nn.errors.ShapeError, match="reshaped in place"):
        net.backward(x, np.ones((3, 2)))


@pytest.mark.filterwarnings("ignore:Setting the strides:DeprecationWarning")
@pytest.mark.parametrize("make", [lambda: nn.Linear(4, 4), lambda: nn.Sequential(nn.Tanh(), nn.Tanh())])
def test_an_input_turned_about_in_place_is_seen(make):
    net, x = make(), np.random.default_rng(0).standard_normal((4, 4))
    net.forward(x)
    x.strides = x.strides[::-1]
    assert_close(net.forward(x), net.clone().forward(x.copy()), EXACT)


CHANGED_IN_PLACE = {
    "reshaped": lambda out: out.resize((16,), refcheck=False),
    "turned about": lambda out: setattr(out, "strides", out.strides[::-1]),
    "read-only": lambda out: out.setflags(write=False),
}


@pytest.mark.filterwarnings("ignore:Setting the strides:DeprecationWarning")
@pytest.mark.parametrize("change", CHANGED_IN_PLACE.values(), ids=CHANGED_IN_PLACE)
def test_an_output_changed_in_place_is_not_used_again(change):
    net = nn.Tanh()
    x = np.linspace(-1, 1, 16).reshape(4, 4)
    expected = net.forward(x).copy()
    out = net.forward(x)
    change(out)
    del out
    for _ in range(2):
        got = net.forward(x)
        assert got.flags.writeable
        assert_close(got, expected, EXACT)


def test_a_call_that_goes_the_long_way_after_all_draws_no_second_seed():
    net, x = nn.Dropout(0.5), np.ones(100)

    def drawn(second):
        nn.manualSeed(3)
        return [net.forward(each).copy() for each in (x, second, x)]

    for got, expected in zip(drawn(misaligned(x)), drawn(x.copy()), strict=True):
        assert_close(got, expected, EXACT)


@pytest.mark.parametrize("again", [True, False], ids=("the same array", "another array"))
def test_B10_results_that_are_held_stay(again):
    net = nn.Tanh()
    x = np.linspace(-1, 1, 6).reshape(2, 3)
    out = net.forward(x)
    grad = net.backward(x, np.ones((2, 3)))
    kept = out.copy(), grad.copy()
    other = x if again else x + 1
    if again:
        x += 1
    net.forward(other)
    net.backward(other, np.ones((2, 3)))
    assert_close(out, kept[0], EXACT)
    assert_close(grad, kept[1], EXACT)


def test_indices_take_the_short_way_too():
    table = nn.LookupTable(5, 2)
    assert_close(table.forward(np.array([0, 4])), table.weight[[0, 4]], EXACT)
    assert_close(table.forward(np.array([3, 3])), table.weight[[3, 3]], EXACT)
    with pytest.raises(nn.errors.DataError, match="is not of the table"):
        table.forward(np.array([0, 5]))
    with pytest.raises(nn.errors.StateError, match="after a forward that failed"):
        table.backward(np.array([0, 5]), np.ones((2, 2)))
    assert_close(table.forward(np.array([1, 2])), table.weight[[1, 2]], EXACT)


CHANGES = {
    "evaluate": (lambda net: net.evaluate(), np.tanh),
    "a weight moves": (lambda net: net.getParameters()[0].fill(0.5), lambda x: np.tanh(0.5 * x)),
    "a module is replaced": (lambda net: net.replace(lambda m: nn.Abs() if type(m) is nn.Tanh else m), np.abs),
    "a module is added": (lambda net: net.add(nn.MulConstant(2.0)), lambda x: 2 * np.tanh(x)),
    "float32": (lambda net: net.float(), np.tanh),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_change_of_the_module_between_calls_is_seen(name):
    change, expected = CHANGES[name]
    net = nn.Sequential(nn.Mul(), nn.Tanh(), nn.Identity() if name != "evaluate" else nn.Dropout(0.5))
    net.modules[0].weight[...] = 1
    x = np.linspace(-1, 1, 6)
    for _ in range(2):
        net.forward(x)
    change(net)
    x = x.astype(net.dtype)
    got = net.forward(x)
    assert got.dtype == net.dtype
    assert_close(got, expected(x), ROUNDED)
