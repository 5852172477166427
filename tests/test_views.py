"""Random chains of modules that only move numbers, and an op on what they give: strides of all sorts."""

import numerical
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tolerances import CANCELLING, EXACT, NUMERICAL, assert_close
from trees import nesting, random_like

import pynngraph as nn

# A chain is a list of steps; a step is a module and what it does in NumPy.


def narrow(draw, shape):
    dim = draw(st.integers(0, len(shape) - 1))
    length = draw(st.integers(1, shape[dim]))
    offset = draw(st.integers(0, shape[dim] - length))
    place = (slice(None),) * dim + (slice(offset, offset + length),)
    dim -= len(shape) * draw(st.booleans())  # the same dim, counted from the end
    return nn.Narrow(dim, offset, length), lambda x: x[place]


def select(draw, shape):
    if len(shape) == 1:
        return identity(draw, shape)
    dim = draw(st.integers(0, len(shape) - 1))
    index = draw(st.integers(-shape[dim], shape[dim] - 1))
    return nn.Select(dim, index), lambda x: np.take(x, index, dim)


def view(draw, shape):
    size = int(np.prod(shape))
    first = draw(st.sampled_from([k for k in range(1, size + 1) if size % k == 0]))
    sizes = draw(st.sampled_from([(first, -1), (-1,), (1, size), (first, size // first, 1)]))
    return nn.View(*sizes), lambda x: x.reshape(sizes)


def split_and_join(draw, shape):
    dim = draw(st.integers(0, len(shape) - 1))
    if len(shape) == 1:
        return identity(draw, shape)
    to = draw(st.integers(0, len(shape) - 2))
    module = nn.Sequential().add(nn.SplitTable(dim)).add(nn.JoinTable(to))
    return module, lambda x: np.concatenate([np.take(x, k, dim) for k in range(x.shape[dim])], to)


def twice(draw, shape):
    dim = draw(st.integers(0, len(shape) - 1))
    fork = nn.ConcatTable().add(nn.Identity()).add(nn.MulConstant(2))
    return nn.Sequential().add(fork).add(nn.JoinTable(dim)), lambda x: np.concatenate([x, 2 * x], dim)


def transpose(draw, shape):
    first, second = (draw(st.integers(-len(shape), len(shape) - 1)) for _ in range(2))
    return nn.Transpose([first, second]), lambda x: x.swapaxes(first, second)


def replicate(draw, shape):
    if len(shape) > 4:
        return identity(draw, shape)
    dim, times = draw(st.integers(-1, len(shape))), draw(st.integers(1, 3))
    return nn.Replicate(times, dim), lambda x: np.stack([x] * times, dim)


def squeeze(draw, shape):
    dim = draw(st.integers(0, len(shape) - 1))
    if len(shape) == 1 or shape[dim] != 1:
        return nn.Squeeze(dim), lambda x: x
    return nn.Squeeze(dim), lambda x: x.squeeze(dim)


def total(draw, shape):
    dim = draw(st.integers(-len(shape), len(shape) - 1))
    return nn.Sum(dim, None, False, False), lambda x: x.sum(dim, keepdims=True)


def identity(draw, shape):
    return nn.Identity(), lambda x: x


STEPS = (narrow, select, view, split_and_join, twice, transpose, replicate, squeeze, total, identity)


def softmax(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


ENDS = {
    "nothing": (nn.Identity, lambda x: x),
    "elementwise": (nn.Tanh, np.tanh),
    "table": (lambda: nn.Sequential().add(nn.ConcatTable().add(nn.Tanh()).add(nn.Identity())).add(nn.CMulTable()),
              lambda x: np.tanh(x) * x),
    "softmax": (lambda: nn.Sequential().add(nn.View(1, -1)).add(nn.SoftMax()), lambda x: softmax(x.reshape(1, -1))),
}  # fmt: skip


@st.composite
def chains(draw):
    """A module, its NumPy, and the shape of its input."""
    shape = tuple(draw(st.lists(st.integers(1, 4), min_size=1, max_size=4)))
    net, steps = nn.Sequential(), []
    x = np.zeros(shape)
    for step in draw(st.lists(st.sampled_from(STEPS), max_size=5)):
        module, function = step(draw, x.shape)
        x = function(x)
        net.add(module)
        steps.append(function)
    module, function = ENDS[draw(st.sampled_from(sorted(ENDS)))]
    net.add(module())
    return net, [*steps, function], shape


def run(functions, x):
    for function in functions:
        x = function(x)
    return x


@given(chain=chains(), seed=st.integers(0, 100))
def test_chains_of_views_do_as_numpy(chain, seed):
    net, functions, shape = chain
    rng = np.random.default_rng(seed)
    x = rng.standard_normal(shape)
    output = net.forward(x)
    assert_close(output, run(functions, x), CANCELLING)
    weights = random_like(output, rng)
    found = net.backward(x, weights)
    assert nesting(found) == shape
    (expected,) = numerical.gradient(lambda: run(functions, x), [x], weights)
    assert_close(found, expected, NUMERICAL)


@given(chain=chains(), seed=st.integers(0, 100))
def test_linears_take_arrays_of_any_strides(chain, seed):
    net, functions, shape = chain
    rng = np.random.default_rng(seed)
    x = rng.standard_normal(shape)
    middle = run(functions, x)
    rows = middle.reshape(-1, middle.shape[-1])
    linear = nn.Linear(rows.shape[1], 3)
    whole = nn.Sequential().add(net).add(nn.View(-1, rows.shape[1])).add(linear)
    g = rng.standard_normal((len(rows), 3))
    assert_close(whole.forward(x), rows @ linear.weight.T + linear.bias, CANCELLING)
    whole.zeroGradParameters()
    found = whole.backward(x, g)
    net.forward(x)
    assert_close(found, net.backward(x, (g @ linear.weight).reshape(middle.shape)), CANCELLING)
    assert_close(linear.gradWeight, g.T @ rows, CANCELLING)


def test_views_copy_nothing_that_they_need_not(rng):
    """The plan of a chain of aliases and one op has one step each way, or two."""
    net = nn.Sequential().add(nn.Narrow(0, 0, 2)).add(nn.View(-1)).add(nn.Tanh())
    x = rng.standard_normal((4, 3))
    output = net.forward(x)
    assert_close(output, np.tanh(x[:2].ravel()), CANCELLING)
    found = net.backward(x, np.ones(6))
    assert_close(found[2:], np.zeros((2, 3)), EXACT)


@pytest.mark.parametrize("dim", [0, 1, 2])
def test_dropout_takes_slices(dim, rng):
    """The gradient of a slice lies inside that of the whole, with gaps between its rows."""
    net = nn.Sequential().add(nn.Narrow(dim, 1, 2)).add(nn.Dropout(0.5))
    x = rng.uniform(1, 2, (4, 3, 5))
    kept = tuple(slice(1, 3) if d == dim else slice(None) for d in range(3))
    mask = net.forward(x) / x[kept]
    gradient = rng.standard_normal(mask.shape)
    expected = np.zeros_like(x)
    expected[kept] = gradient * mask
    assert_close(net.backward(x, gradient), expected, CANCELLING)


@pytest.mark.parametrize("table", ["CAddTable", "CMulTable", "CMaxTable"])
def test_elementwise_steps_take_arrays_that_are_transposed(table, rng):
    a, b = nn.Identity()(), nn.Identity()()
    turned = nn.Transpose((0, 1))(a)
    together = getattr(nn, table)()([nn.Square()(turned), b, turned, turned])
    g = nn.gModule([a, b], [nn.Transpose((0, 1))(together)])
    x, y, grad = rng.random((35, 20)), rng.random((20, 35)), rng.random((35, 20))

    entries = [x.T**2, y, x.T, x.T]
    best = np.argmax(entries, axis=0)
    rest = [np.prod(entries[:k] + entries[k + 1 :], axis=0) for k in range(4)]
    value, slopes = {
        "CAddTable": (sum(entries), [1, 1, 1, 1]),
        "CMulTable": (np.prod(entries, axis=0), rest),
        "CMaxTable": (np.max(entries, axis=0), [best == k for k in range(4)]),
    }[table]
    assert_close(g.forward([x, y]), value.T, CANCELLING)
    grad_x, grad_y = g.backward([x, y], grad)
    assert_close(grad_x, ((2 * x.T * slopes[0] + slopes[2] + slopes[3]) * grad.T).T, CANCELLING)
    assert_close(grad_y, slopes[1] * grad.T, CANCELLING)


def test_arrays_larger_than_the_caches(rng):
    room = nn.cpu_info().l3_bytes
    if room > 64 << 20:
        pytest.skip("takes too much memory here")
    x, y, grad = (rng.random(room // 16 + 3) for _ in range(3))
    for module, value, gradients in (
        (nn.CAddTable(), x + y, [grad, grad]),
        (nn.CMulTable(), x * y, [grad * y, grad * x]),
        (nn.CSubTable(), x - y, [grad, -grad]),
    ):
        np.testing.assert_array_equal(module.forward([x, y]), value)
        np.testing.assert_array_equal(module.backward([x, y], grad), gradients)
    square = nn.Square()
    np.testing.assert_array_equal(square.forward(x), x * x)
    np.testing.assert_array_equal(square.backward(x, grad), 2 * grad * x)
