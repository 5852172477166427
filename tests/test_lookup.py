"""LookupTable: indices of all kinds, those that are none, padding, limited norms."""

import numpy as np
import pytest
from tolerances import EXACT, ROUNDED, SUMS, assert_close

import pynngraph as nn
from pynngraph import errors

INDEX = np.array([[0, 3, 3], [4, 0, 2]])


def ones(table, index):
    """The table's gradient for a gradient of ones."""
    table.zeroGradParameters()
    table.backward(index, np.ones_like(table.forward(index)))
    return table.gradWeight[:, 0]


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int32", "uint64", ">i4", "float64"])
def test_indices_are_of_any_integer_dtype_or_whole_reals(dtype):
    table = nn.LookupTable(5, 2)
    index = INDEX.astype(dtype)
    assert_close(table.forward(index), table.weight[INDEX], EXACT)
    gradient = table.backward(index, np.ones((2, 3, 2)))
    assert gradient.shape == INDEX.shape
    assert not gradient.any()


@pytest.mark.parametrize("shape", [(), (1,), (0,), (2, 0), (2, 1, 3)])
def test_indices_have_any_number_of_dims(shape):
    table = nn.LookupTable(5, 2)
    index = np.full(shape, 4)
    assert_close(table.forward(index), table.weight[index], EXACT)
    assert_close(ones(table, index), np.array([0, 0, 0, 0, index.size], float), EXACT)


def test_there_is_room_for_one_more_dim():
    with pytest.raises(errors.ShapeError, match="fewer than 8 dims"):
        nn.LookupTable(5, 2).forward(np.zeros((1,) * 8, int))


def test_an_index_that_comes_often_gets_all_gradients():
    assert_close(ones(nn.LookupTable(5, 2), INDEX), np.array([2, 0, 1, 2, 1], float), EXACT)


@pytest.mark.parametrize("bad", [5, -1, 2**40])
@pytest.mark.parametrize("maxNorm", [None, 0.1])
def test_an_index_of_no_row_is_an_error_that_says_which_and_where(bad, maxNorm):
    table = nn.LookupTable(5, 2, 0, maxNorm)
    weight = table.weight.copy()
    g = nn.Sequential(nn.Identity(), table)
    index = INDEX.copy()
    index[1, 1] = bad
    message = rf"LookupTable\(5 x 2\) in Sequential\[1\] index {bad}, element 4 of its input, .* from 0 to 4"
    with pytest.raises(errors.DataError, match=message):
        g.forward(index)
    assert_close(table.weight, weight, EXACT)


def test_reals_that_are_not_whole_are_an_error():
    with pytest.raises(errors.DataError, match="not a whole number"):
        nn.LookupTable(5, 2).forward(np.array([0.5]))


def test_the_row_of_padding_gets_no_gradient():
    table = nn.LookupTable(5, 2, 4)
    assert_close(ones(table, INDEX), np.array([2, 0, 1, 0, 1], float), EXACT)
    table.setPadding(0)
    assert_close(ones(table, INDEX), np.array([2, 0, 1, 2, 1], float), EXACT)


@pytest.mark.parametrize("p", [None, 1, 2, 3.5])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_rows_that_are_looked_up_are_scaled_down_to_the_largest_norm(p, dtype):
    table = nn.LookupTable(5, 3, 0, 2.0, p).type(dtype)
    table.weight[...] = np.arange(15).reshape(5, 3) / 3
    before = table.weight.astype(np.float64)
    norms = (np.abs(before) ** (p or 2)).sum(1) ** (1 / (p or 2))
    expected = before.copy()
    for row in np.unique(INDEX):
        if norms[row] > 2:
            expected[row] *= 2 / (norms[row] + 1e-7)
    output = table.forward(INDEX)
    assert_close(table.weight, expected.astype(dtype), SUMS)
    assert_close(output, table.weight[INDEX], EXACT)
    assert_close(table.weight[1], before[1].astype(dtype), EXACT, what="a row that is not looked up")
    assert_close(table.forward(INDEX), output, ROUNDED)


def test_in_a_graph_norms_are_limited_before_the_lookup():
    node = nn.Identity()()
    table = nn.LookupTable(5, 3, 0, 1.0)
    g = nn.gModule([node], [nn.Sum(0)(table(node))])
    assert_close(g.forward(INDEX[0]), table.weight[INDEX[0]].sum(0), SUMS)
    assert (np.linalg.norm(table.weight[INDEX[0]], axis=1) <= 1).all()
    g.backward(INDEX[0], np.ones(3))
    assert_close(table.gradWeight[:, 0], np.array([1, 0, 0, 2, 0], float), EXACT)
    twin = g.clone()
    assert_close(twin.forward(INDEX[0]), g.forward(INDEX[0]), EXACT)


def test_a_norm_is_positive_and_sizes_are():
    with pytest.raises(errors.ShapeError, match="positive"):
        nn.LookupTable(5, 2, 0, 1, 0)
    with pytest.raises(errors.ShapeError, match="at least 1"):
        nn.LookupTable(0, 2)


def test_the_seed_fixes_the_table_and_reset_its_spread():
    nn.manualSeed(1)
    first = nn.LookupTable(200, 50)
    nn.manualSeed(1)
    assert_close(nn.LookupTable(200, 50).weight, first.weight, EXACT)
    assert 0.9 < first.weight.std() < 1.1
    first.reset(0.1)
    assert 0.09 < first.weight.std() < 0.11


def test_an_input_that_is_both_index_and_shared_table_adds_up():
    """Two tables with one weight: encoder and decoder."""
    table = nn.LookupTable(5, 2)
    twin = table.clone("weight", "gradWeight")
    both = nn.ParallelTable(table, twin)
    output = both.forward([INDEX[0], INDEX[1]])
    both.zeroGradParameters()
    both.backward([INDEX[0], INDEX[1]], [np.ones_like(y) for y in output])
    assert_close(table.gradWeight[:, 0], np.array([2, 0, 1, 2, 1], float), EXACT)
