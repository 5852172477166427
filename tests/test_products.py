"""Products, sums and repeated arrays: sizes that fit and those that do not, memory layouts, batches."""

import numpy as np
import pytest
from samples import normal
from tolerances import CANCELLING, EXACT, LONG_SUMS, SAME_MATHS, assert_close

import pynngraph as nn
from pynngraph import errors

SHAPES = {
    (nn.MM, ((2, 3), (2, 3))): r"cannot multiply matrices of shapes \(2, 3\) and \(2, 3\)",
    (nn.MM, ((2, 3), (1, 3, 2))): r"two matrices, or two batches .* \(2, 3\) and \(1, 3, 2\)",
    (nn.MM, ((3,), (3,))): "two matrices",
    (nn.MM, ((2, 2, 3), (4, 3, 2))): r"as many matrices, got shapes \(2, 2, 3\) and \(4, 3, 2\)",
    (nn.MV, ((2, 3), (2,))): r"shape \(2, 3\) with vectors of shape \(2,\)",
    (nn.MV, ((4, 2, 3), (3,))): r"\(4, 2, 3\) with vectors of shape \(3,\)",
    (nn.MV, ((4, 2, 3), (5, 3))): r"\(4, 2, 3\) with vectors of shape \(5, 3\)",
    (nn.DotProduct, ((2, 3), (2, 4))): r"entry 0 is \(2, 3\), entry 1 is \(2, 4\)",
    (nn.DotProduct, ((2, 3, 4), (2, 3, 4))): r"vectors \(n,\) or rows of them .* got shape \(2, 3, 4\)",
}


def in_graph(module, count):
    """A graph of nothing but the module, whose input is an array or a list."""
    nodes = [nn.Identity()() for _ in range(count)]
    return nn.gModule(nodes, [module(nodes if count > 1 else nodes[0])])


@pytest.mark.parametrize(("kind", "shapes"), SHAPES, ids=lambda value: getattr(value, "__name__", None) or str(value))
def test_factors_that_do_not_fit_are_an_error_with_a_place(kind, shapes):
    g = in_graph(kind(), 2)
    with pytest.raises(errors.ShapeError, match=SHAPES[kind, shapes]) as raised:
        g.forward([np.ones(shape) for shape in shapes])
    assert f"{kind.__name__} at test_products.py:" in str(raised.value)


@pytest.mark.parametrize(
    ("module", "shape", "message"),
    [
        (nn.Squeeze(2), (3, 1), r"no dim 2 in its input of shape \(3, 1\)"),
        (nn.Squeeze(-3), (3, 1), "no dim -3"),
        (nn.Unsqueeze(3), (3, 1), r"insert a dim at 3 into its input of shape \(3, 1\)"),
        (nn.Unsqueeze(0, 3), (3, 1), r"at least 3 dims, got shape \(3, 1\)"),
        (nn.Replicate(2, 3), (3, 1), "insert a dim at 3"),
        (nn.Transpose([0, 2]), (3, 1), r"no dim 2 in its input of shape \(3, 1\)"),
        (nn.Sum(2), (3, 1), r"no dim 2 in its input of shape \(3, 1\)"),
        (nn.Mean(2), (3, 1), r"no dim 2 in its input of shape \(3, 1\)"),
        (nn.CMul(2, 4), (3, 4), r"weight of shape \(2, 4\), which does not fit an input of shape \(3, 4\)"),
        (nn.CAdd(3), (3, 4), r"bias of shape \(3,\), which does not fit an input of shape \(3, 4\)"),
        (nn.Add(3), (3, 4), r"bias of shape \(3,\)"),
    ],
    ids=repr,
)
def test_shapes_that_do_not_fit_are_an_error(module, shape, message):
    with pytest.raises(errors.ShapeError, match=message):
        in_graph(module, 1).forward(np.ones(shape))


@pytest.mark.parametrize(
    "build",
    [lambda: nn.Replicate(-1), lambda: nn.CMul(0), nn.CAdd, lambda: nn.Add(0), lambda: nn.Transpose([1])],
)
def test_arguments_that_make_no_sense_are_an_error(build):
    with pytest.raises(errors.ShapeError):
        build()


@pytest.mark.parametrize("batch", [(), (3,), (1,), (0,)])
@pytest.mark.parametrize(
    "sizes", [(1, 1, 1), (1, 70, 33), (40, 1, 33), (40, 70, 1), (33, 70, 40), (5, 0, 3), (0, 2, 3)]
)
@pytest.mark.parametrize("flags", [(False, False), (False, True), (True, False), (True, True)])
@pytest.mark.parametrize("turned", [False, True], ids=("rows", "columns"))
def test_products_of_any_size_and_layout_are_those_of_numpy(batch, sizes, flags, turned, rng):
    n, k, m = sizes
    shapes = [(k, n) if flags[0] else (n, k), (m, k) if flags[1] else (k, m)]
    net = nn.MM(*flags)
    if turned:  # the arrays are transposes, with columns that are contiguous
        shapes = [shape[::-1] for shape in shapes]
        net = nn.Sequential(nn.ParallelTable(nn.Transpose([-2, -1]), nn.Transpose([-2, -1])), net)
    a, b = (rng.standard_normal((*batch, *shape)) for shape in shapes)
    left, right = (x.swapaxes(-1, -2) if flag != turned else x for x, flag in zip((a, b), flags, strict=True))
    output = net.forward([a, b])
    assert_close(output, left @ right, LONG_SUMS)
    g = rng.standard_normal(output.shape)
    for got, expected, flag in zip(
        net.backward([a, b], g), (g @ right.swapaxes(-1, -2), left.swapaxes(-1, -2) @ g), flags, strict=True
    ):
        assert_close(got, expected.swapaxes(-1, -2) if flag != turned else expected, LONG_SUMS)


def test_an_array_times_its_transpose_gets_both_gradients(rng):
    x, g = rng.standard_normal((4, 5)), rng.standard_normal((4, 4))
    for product in (
        lambda node: nn.MM(False, True)([node, node]),
        lambda node: nn.MM()([node, nn.Transpose([0, 1])(node)]),
    ):
        node = nn.Identity()()
        net = nn.gModule([node], [product(node)])
        assert_close(net.forward(x), x @ x.T, SAME_MATHS)
        assert_close(net.backward(x, g), (g + g.T) @ x, SAME_MATHS)


def test_an_array_and_its_transpose_in_one_op(rng):
    x, g = rng.standard_normal((2, 3, 3))
    node = nn.Identity()()
    net = nn.gModule([node], [nn.CMulTable()([node, nn.Transpose([0, 1])(node), node])])
    assert_close(net.forward(x), x * x.T * x, SAME_MATHS)
    assert_close(net.backward(x, g), 2 * g * x * x.T + (g * x * x).T, SAME_MATHS)


def test_attention_over_an_encoder_is_that_of_numpy(rng):
    """Scores by products with the decoder's state, a softmax, the weighted sum: the graph of many decoders."""
    encoder, state = nn.Identity()(), nn.Identity()()
    scores = nn.Squeeze(2)(nn.MM()([encoder, nn.Unsqueeze(2)(state)]))
    weights = nn.SoftMax()(scores)
    context = nn.Sum(1)(nn.CMulTable()([encoder, nn.Replicate(6, 2)(weights)]))
    other = nn.Squeeze(1)(nn.MM()([nn.Unsqueeze(1)(weights), encoder]))
    g = nn.gModule([encoder, state], [context, other])
    for batch in (3, 1, 5):
        x, h = rng.standard_normal((batch, 4, 6)), rng.standard_normal((batch, 6))
        e = np.exp(np.einsum("btf,bf->bt", x, h))
        expected = np.einsum("btf,bt->bf", x, e / e.sum(1, keepdims=True))
        first, second = g.forward([x, h])
        assert_close(first, expected, SAME_MATHS)
        assert_close(second.reshape(expected.shape), expected, SAME_MATHS)
        along = rng.standard_normal(first.shape)
        both = g.backward([x, h], [along, np.zeros_like(second)])
        for got, wanted in zip(
            both, g.backward([x, h], [np.zeros_like(first), along.reshape(second.shape)]), strict=True
        ):
            assert_close(got, wanted, SAME_MATHS)


def test_views_of_a_sum_or_a_product_share_one_program():
    """Another batch size must not lower again."""
    shapers = [nn.Sum(1), nn.Replicate(3, 1), nn.Transpose([0, 1]), nn.Unsqueeze(1), nn.Squeeze()]
    for module in (*shapers, nn.CMul(1, 6), nn.CAdd(6), nn.Mul(), nn.Add(6)):
        net = nn.Sequential(module)
        net.forward(normal(4, 6))
        lowered = []
        module.__dict__["lower"] = lambda b, x, kept=module.lower, seen=lowered: (seen.append(1), kept(b, x))[1]
        net.forward(normal(5, 6))
        assert not lowered, f"{module!r} was lowered again"


@pytest.mark.parametrize(("shape", "expected"), [((1, 1), (1,)), ((1, 3, 1), (3,)), ((), ()), ((1,), (1,))])
def test_squeeze_keeps_one_dim_as_torch7_does(shape, expected):
    module = nn.Squeeze()
    x = np.ones(shape)
    assert module.forward(x).shape == expected
    assert module.backward(x, np.ones(expected)).shape == shape


def test_what_moves_numbers_moves_indices_too():
    index = np.array([[0, 1, 2], [2, 1, 0]])
    table = nn.LookupTable(3, 2)
    for mover, expected in (
        (nn.Transpose([0, 1]), index.T),
        (nn.Replicate(2, 1), np.stack([index] * 2, 1)),
        (nn.Replicate(2, -1), np.stack([index] * 2, -1)),
        (nn.Unsqueeze(0), index[None]),
        (nn.Contiguous(), index),
        (nn.Copy(), index),
    ):
        assert_close(nn.Sequential(mover, table).forward(index), table.weight[expected], EXACT)


def test_sums_of_nothing_are_zero_and_their_mean_is_not_a_number():
    x = np.zeros((3, 0))
    assert_close(nn.Sum(1).forward(x), np.zeros(3), EXACT)
    assert np.isnan(nn.Mean(1).forward(x)).all()
    assert nn.Sum(1).forward(np.zeros((0, 3))).shape == (0,)


def test_a_parameter_serves_input_after_input(rng):
    scale, add = nn.CMul(1, 6), nn.Add(1, True)
    for shape in ((4, 6), (1, 6), (6,), (2, 3, 2)):
        x = rng.standard_normal(shape)
        assert_close(scale.forward(x), (x.reshape(-1, 6) * scale.weight).reshape(shape), CANCELLING)
        assert_close(add.forward(x), x + add.bias, EXACT)


def test_mm_wants_a_pair():
    with pytest.raises(errors.StructureError, match="list of 2 arrays"):
        nn.MM().forward([np.ones((2, 2))] * 3)
