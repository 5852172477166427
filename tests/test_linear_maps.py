"""Linear maps other than Linear, distances and clusters: what the rows of module_cases.py do not show."""

import numpy as np
import pytest
from samples import COPIES, normal
from tolerances import EXACT, SAME_MATHS, assert_close, assert_trees_close

import pynngraph as nn
from pynngraph.errors import DataError, ShapeError, StructureError

X = np.ones((2, 3))
KEYS = np.array([0, 1])

WRONG = [
    (lambda: nn.Bilinear(3, 2, 4), [X, np.ones((3, 2))], ShapeError, "expects"),
    (lambda: nn.Bilinear(3, 2, 4), [np.ones(3), np.ones(2)], ShapeError, "expects"),
    (lambda: nn.PartialLinear(4, 2), X, ShapeError, "4"),
    (lambda: nn.Euclidean(4, 2), X, ShapeError, "4 features"),
    (lambda: nn.Euclidean(3, 2), np.ones((2, 2, 3)), ShapeError, "one sample"),
    (lambda: nn.Cosine(4, 2), X, ShapeError, "4"),
    (nn.Normalize, np.ones((2, 2, 3)), ShapeError, "one sample"),
    (lambda: nn.PairwiseDistance(2), [X, np.ones((3, 3))], ShapeError, "one shape"),
    (lambda: nn.SparseLinear(5, 2), X, ShapeError, "pairs"),
    (lambda: nn.SparseLinear(5, 2), np.array([[5.0, 1.0]]), DataError, "index 5"),
    (lambda: nn.SparseLinear(5, 2), np.array([[0.5, 1.0]]), DataError, "whole number"),
    (lambda: nn.IndexLinear(5, 2), X, StructureError, "keys, values"),
    (lambda: nn.IndexLinear(5, 2), [KEYS, np.ones(3)], ShapeError, "as many values"),
    (lambda: nn.IndexLinear(5, 2), [np.ones(2), np.ones(2)], ShapeError, "integers"),
    (lambda: nn.IndexLinear(5, 2), [KEYS, np.ones(2), np.array([1])], ShapeError, "sizes of 1"),
    (lambda: nn.IndexLinear(5, 2, False, 4), [KEYS, np.ones(2)], DataError, "5 features"),
    (lambda: nn.Kmeans(2, 4), X, ShapeError, "rows, 4"),
]


@pytest.mark.parametrize(("build", "input", "error", "text"), WRONG, ids=range(len(WRONG)))
def test_a_wrong_input_is_an_error_that_says_so(build, input, error, text):
    module = build()
    with pytest.raises(error, match=text) as raised:
        module.forward(input)
    assert type(module).__name__ in str(raised.value)


WRONG_ARGUMENTS = [
    lambda: nn.Bilinear(0, 1, 1),
    lambda: nn.PartialLinear(2, 0),
    lambda: nn.LinearWeightNorm(2, 1.5),
    lambda: nn.SparseLinear(0, 1),
    lambda: nn.IndexLinear(1, 0),
    lambda: nn.Euclidean(0, 1),
    lambda: nn.WeightedEuclidean(1, -1),
    lambda: nn.Cosine(1, 0),
    lambda: nn.Normalize(0),
    lambda: nn.PairwiseDistance(0.5),
    lambda: nn.PairwiseDistance(np.inf),
    lambda: nn.Kmeans(0, 1),
]


@pytest.mark.parametrize("build", WRONG_ARGUMENTS, ids=range(len(WRONG_ARGUMENTS)))
def test_a_wrong_argument_is_an_error(build):
    with pytest.raises(ShapeError):
        build()


# ---- partial -------------------------------------------------------------------------------------


def test_a_partition_can_change_from_call_to_call():
    module, x = nn.PartialLinear(3, 6), normal(2, 3)
    module.bias = normal(1, 6)
    whole = module.forward(x).copy()
    for places in ([1, 5], [4, 0], [2], []):
        module.setPartition(places)
        assert_close(module.forward(x), whole[:, places], SAME_MATHS)
        assert module.partition.tolist() == places
        module.zeroGradParameters()
        module.backward(x, np.ones((2, len(places))))
        touched = np.isin(np.arange(6), places)
        assert module.gradWeight[touched].all()
        assert not module.gradWeight[~touched].any()
    module.resetPartition()
    assert module.partition is None
    assert_close(module.forward(x), whole, EXACT)


@pytest.mark.parametrize(
    ("places", "error"), [([6], DataError), ([-1], DataError), ([[1]], ShapeError), ([0.5], ShapeError)]
)
def test_a_partition_has_indices_of_outputs(places, error):
    module = nn.PartialLinear(3, 6)
    with pytest.raises(error, match="partition"):
        module.setPartition(np.array(places))


def test_copies_have_the_partition():
    module, x = nn.PartialLinear(3, 6), normal(2, 3)
    module.setPartition([1, 5])
    for copier in COPIES.values():
        assert_close(copier(module).forward(x), module.forward(x), EXACT)


# ---- weight normalization ------------------------------------------------------------------------


@pytest.mark.parametrize("bias", [True, False])
def test_linearweightnorm_from_and_to_linear(bias):
    linear, x = nn.Linear(3, 4, bias), normal(2, 3)
    module = nn.LinearWeightNorm.fromLinear(linear)
    assert isinstance(module, nn.Linear)
    assert_close(module.forward(x), linear.forward(x), SAME_MATHS)
    assert_close(module.weight, linear.weight, SAME_MATHS)
    back = module.toLinear()
    assert type(back) is nn.Linear
    assert_close(back.forward(x), linear.forward(x), SAME_MATHS)


# ---- sparse inputs -------------------------------------------------------------------------------


def pairs(rng, n, size):
    return np.stack([rng.integers(size, size=n).astype(float), rng.standard_normal(n)], 1)


def dense(rows, size):
    x = np.zeros((len(rows), size))
    for k, row in enumerate(rows):
        np.add.at(x[k], row[:, 0].astype(int), row[:, 1])
    return x


@pytest.mark.parametrize("form", ["list", "array", "one"])
def test_sparselinear_is_linear_of_what_is_dense(form, rng):
    module, linear = nn.SparseLinear(7, 3), nn.Linear(7, 3)
    linear.weight, linear.bias = module.weight, module.bias
    rows = [pairs(rng, n, 7) for n in ((3, 1, 6) if form == "list" else (4, 4, 4))]
    input = rows if form == "list" else np.stack(rows)
    if form == "one":
        rows, input = rows[:1], rows[0]
    x = dense(rows, 7)
    output = linear.forward(x)
    g = rng.standard_normal(output.shape)
    of_x = linear.backward(x, g, 0.5)
    shown = output[0] if form == "one" else output
    assert_close(module.forward(input), shown, SAME_MATHS)
    gradient = module.backward(input, g[0] if form == "one" else g, 0.5)
    parts = [gradient] if form == "one" else list(gradient)
    for k, part in enumerate(parts):
        assert not part[:, 0].any()
        assert_close(part[:, 1], of_x[k][rows[k][:, 0].astype(int)], SAME_MATHS)
    assert_trees_close(module.parameters()[1], linear.parameters()[1], SAME_MATHS)


def test_sparselinear_without_gradients_of_the_input():
    module = nn.SparseLinear(7, 3, False)
    x = np.array([[2.0, 0.5]])
    module.forward(x)
    assert not module.backward(x, np.ones(3)).any()
    assert module.gradWeight[:, 2].all()


@pytest.mark.parametrize("form", ["lists", "sizes", "one"])
def test_indexlinear_is_linear_of_what_is_dense(form, rng):
    module, linear = nn.IndexLinear(7, 3, True), nn.Linear(7, 3)
    linear.weight, linear.bias = module.weight.T, module.bias
    rows = [pairs(rng, n, 7) for n in ((4,) if form == "one" else (3, 0, 6))]
    keys, values = [row[:, 0].astype(int) for row in rows], [row[:, 1].copy() for row in rows]
    if form == "lists":
        input = [keys, values]
    elif form == "one":
        input = [keys[0], values[0]]
    else:
        input = [np.concatenate(keys), np.concatenate(values), np.array([3, 0, 6])]
    x = dense(rows, 7)
    output = linear.forward(x)
    g = rng.standard_normal(output.shape)
    of_x = linear.backward(x, g, 0.5)
    wanted = [of_x[k][key] for k, key in enumerate(keys)]
    assert_close(module.forward(input), output[0] if form == "one" else output, SAME_MATHS)
    gradient = module.backward(input, g[0] if form == "one" else g, 0.5)
    if form == "lists":
        assert_trees_close(gradient[1], wanted, SAME_MATHS)
    else:
        assert_close(gradient[1], np.concatenate(wanted), SAME_MATHS)
    assert_close(module.gradWeight, linear.gradWeight.T, SAME_MATHS)
    assert_close(module.gradBias, linear.gradBias, SAME_MATHS)


def test_indexlinear_gives_values_no_gradient_unless_asked():
    module = nn.IndexLinear(7, 3, weight=np.ones((7, 3)), bias=np.zeros(3))
    input = [KEYS, np.ones(2)]
    assert_close(module.forward(input), np.full(3, 2.0), EXACT)
    assert not any(part.any() for part in module.backward(input, np.ones(3)))


def test_indexlinear_normalizes_by_the_largest_value_seen():
    module = nn.IndexLinear(3, 2, True, normalize=True)
    module.weight[:, 3:] = [[0.5, 1, 2], [0, 1, 1], [0, 1, 1]]
    module.bias = np.zeros(2)
    first, second = [np.array([0]), np.array([4.0])], [np.array([0]), np.array([-2.0])]
    assert_close(module.forward(first), np.array([1.5, 3.0]), EXACT)
    assert_close(module.weight[0, :3], np.array([4, 0.25, 1]), EXACT)
    assert_close(module.forward(second), np.array([0.0, 0.0]), EXACT)
    assert_close(module.backward(second, np.ones(2))[1], np.array([3 / 4]), EXACT)
    assert_close(module.gradWeight[0], np.array([0.0, 0, 0, 3, 0, 0]), EXACT)
    module.evaluate()
    larger = [np.array([0]), np.array([8.0])]
    assert_close(module.forward(larger), np.array([1.5, 3.0]), EXACT)
    assert not module.backward(larger, np.ones(2))[1].any()
    assert module.weight[0, 0] == 4


# ---- distances -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "module", [nn.Euclidean(3, 2), nn.WeightedEuclidean(3, 2)], ids=["Euclidean", "WeightedEuclidean"]
)
def test_gradients_at_distance_zero_are_zero(module):
    x = module.weight[:, 0].copy()
    assert module.forward(x)[0] == 0
    assert not module.backward(x, np.array([1.0, 0.0])).any()


@pytest.mark.parametrize("p", [2, 3])
def test_gradients_of_pairs_at_distance_zero_are_zero(p):
    module, x = nn.PairwiseDistance(p), [X, X.copy()]
    module.forward(x)
    assert not any(part.any() for part in module.backward(x, np.ones(2)))


@pytest.mark.parametrize("p", [1, 1.5, 2, 3, np.inf])
def test_gradients_of_norms_at_zero_are_finite(p):
    module, x = nn.Normalize(p), np.zeros((1, 3))
    module.forward(x)
    assert np.isfinite(module.backward(x, np.ones((1, 3)))).all()


def test_resets_draw_from_what_torch7_draws_from():
    wide = nn.Euclidean(4, 20000)
    for limit, stdv in ((0.5, None), (0.3 * np.sqrt(3), 0.3)):
        wide.reset(stdv)
        assert limit * 0.99 < np.abs(wide.weight).max() <= limit
    cosine = nn.Cosine(20000, 4)
    for limit, stdv in ((0.5, None), (0.3, 0.3)):
        cosine.reset(stdv)
        assert limit * 0.99 < np.abs(cosine.weight).max() <= limit
    bilinear = nn.Bilinear(4, 5000, 1)
    bilinear.reset()
    assert 0.495 < np.abs(bilinear.weight).max() <= 0.5
    weighted = nn.WeightedEuclidean(2, 2)
    weighted.diagCov = np.zeros((2, 2))
    weighted.reset()
    assert (weighted.diagCov == 1).all()


# ---- clusters ------------------------------------------------------------------------------------


def blobs(rng):
    return np.concatenate([rng.standard_normal((50, 2)) * 0.1 + centre for centre in ((0, 0), (5, 0), (0, 5))])


@pytest.mark.parametrize("begin", ["initRandom", "initKmeansPlus"])
def test_kmeans_begins_with_rows(begin, rng):
    module, x = nn.Kmeans(3, 2), blobs(rng)
    getattr(module, begin)(x)
    assert all((x == row).all(1).any() for row in module.weight)


def test_kmeans_finds_clusters(rng):
    module, x = nn.Kmeans(3, 2), blobs(rng)
    nn.manualSeed(1)
    module.initKmeansPlus(x, 0.7)
    losses = []
    for _ in range(5):
        found = module.forward(x)
        losses.append(module.loss)
        module.zeroGradParameters()
        assert not module.backward(x, np.zeros(150)).any()
        module.updateParameters(1)
    assert losses[-1] < losses[0]
    assert_close(np.sort(module.weight, 0), np.sort([x[k : k + 50].mean(0) for k in (0, 50, 100)], 0), SAME_MATHS)
    assert [len(set(found[k : k + 50])) for k in (0, 50, 100)] == [1, 1, 1]
    assert {type(copier(module)) for copier in COPIES.values()} == {nn.Kmeans}


def test_kmeans_takes_a_scale_of_its_own():
    module = nn.Kmeans(1, 1, 0.5)
    module.weight = np.zeros((1, 1))
    x = np.array([[2.0], [4.0]])
    module.forward(x)
    module.backward(x, np.zeros(2), 7.0)
    assert_close(module.gradWeight, np.array([[-1.5]]), EXACT)
    assert module.loss == 6


def test_kmeans_cannot_begin_with_nothing():
    with pytest.raises(DataError, match="has none"):
        nn.Kmeans(2, 2).initRandom(np.zeros((0, 2)))
    with pytest.raises(DataError, match="share"):
        nn.Kmeans(2, 2).initKmeansPlus(np.zeros((3, 2)), 2)
