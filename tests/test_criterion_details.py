"""Criterions: samples and batches of any size, kinks, extremes, wrong arguments; and beside PyTorch."""

import numpy as np
import pytest
from module_cases import CRITERIONS, sample
from op_cases import draw
from samples import normal
from tolerances import EXACT, SAME_MATHS, assert_close, assert_trees_close, relative
from trees import leaves, tree_map

import pynngraph as nn
from pynngraph import errors

X = normal(4, 3)
SIGNS = np.where(normal(4, 3, seed=5) > 0, 1.0, -1.0)

# Their mean is over the first dim, whatever it is; or all they are given is one pair.
NOT_OF_SAMPLES = {"MarginRanking", "DistanceRatio"}
OF_A_PAIR = {"L1HingeEmbedding"}


def cases(without):
    kept = [case for case in CRITERIONS if case.name not in without]
    return pytest.mark.parametrize("case", kept, ids=[case.name for case in kept])


@cases(NOT_OF_SAMPLES)
def test_one_sample_is_a_batch_of_one(case, rng):
    one, batch = case.build(), case.build()
    whole = draw([case.input, case.target], rng)
    first = tree_map(lambda leaf: np.array(leaf[:1]), whole)
    alone = [sample(entry, 0) for entry in whole]
    assert one.forward(*alone) == pytest.approx(batch.forward(*first), rel=1e-12)
    for got, expected in zip(leaves(one.backward(*alone)), leaves(batch.backward(*first)), strict=True):
        assert_close(got, expected[0], SAME_MATHS)


@cases(OF_A_PAIR)
def test_a_batch_of_nothing_costs_nothing(case, rng):
    criterion = case.build()
    whole = draw([case.input, case.target], rng)
    nothing = tree_map(lambda leaf: np.array(leaf[:0]), whole)
    assert criterion.forward(*nothing) == 0
    assert_trees_close(criterion.backward(*nothing), nothing[0], EXACT)


@cases(())
def test_evaluation_changes_nothing_and_methods_of_torch7_give_the_same(case, rng):
    criterion, twin = case.build(), case.build().evaluate()
    input, target = draw([case.input, case.target], rng)
    loss, gradient = criterion.forward(input, target), criterion.backward(input, target)
    assert twin.updateOutput(input, target) == loss
    assert_trees_close(twin.updateGradInput(input, target), gradient, EXACT)


SIZE_AVERAGE = ["SoftMargin", "Margin", "HingeEmbedding", "CosineEmbedding", "MarginRanking", "MultiMargin",
                "MultiLabelMargin", "WeightedMSE", "ClassSimplex", "DistanceRatio", "MultiLabelSoftMargin",
                "SpatialAutoCropMSE"]  # fmt: skip
NUMBERS = {"CosineEmbedding": 6, "MarginRanking": 6, "MultiMargin": 6, "MultiLabelMargin": 6, "DistanceRatio": 6}


@pytest.mark.parametrize("name", SIZE_AVERAGE)
def test_a_sum_is_the_mean_times_what_it_is_of(name, rng):
    case = next(case for case in CRITERIONS if case.name == name)
    criterion = case.build()
    input, target = draw([case.input, case.target], rng)
    mean, gradient = criterion.forward(input, target), criterion.backward(input, target)
    count = NUMBERS.get(name, leaves(input)[0].size)
    criterion.sizeAverage = False
    assert criterion.forward(input, target) == pytest.approx(count * mean)
    assert_trees_close(criterion.backward(input, target), tree_map(lambda leaf: count * leaf, gradient), SAME_MATHS)


# ---- kinks: gradients of Torch7 ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("criterion", "x", "target", "gradient"),
    [
        (nn.AbsCriterion(False), [0.0, 2.0, -2.0], [0.0, 2.0, 1.0], [1, 1, -1]),
        (nn.SmoothL1Criterion(False), [1.0, -1.0, 0.5, 0.0, -3.0], np.zeros(5), [1, -1, 0.5, 0, -1]),
        (nn.MarginCriterion(1), [1.0, -1.0, 0.0], [1.0, -1.0, 1.0], [0, 0, -1 / 3]),
        (nn.L1Cost(), [0.0, -0.0, 3.0, -3.0], np.zeros(1), [0, 0, 1, -1]),
        (nn.DistKLDivCriterion(False), [-1.0, -np.inf, -2.0], [0.5, 0.0, -1.0], [-0.5, 0, 0]),
    ],
    ids=("Abs", "SmoothL1", "Margin", "L1Cost", "DistKLDiv"),
)
def test_gradients_at_kinks_are_those_of_torch7(criterion, x, target, gradient):
    x, target = np.array(x), np.array(target)
    assert np.isfinite(criterion.forward(x, target))
    assert_close(criterion.backward(x, target), np.array(gradient, float), SAME_MATHS)


def test_pairs_at_the_margin_have_a_gradient():
    x = [np.array([1.0, 3.0]), np.array([0.0, 0.0])]
    ranking = nn.MarginRankingCriterion(1)
    assert ranking.forward(x, np.ones(2)) == 0
    assert_trees_close(ranking.backward(x, np.ones(2)), [np.array([-0.5, 0]), np.array([0.5, 0])], EXACT)
    hinge = nn.L1HingeEmbeddingCriterion(4)
    assert hinge.forward(x, np.array(-1.0)) == 0
    assert_trees_close(hinge.backward(x, np.array(-1.0)), [np.array([-1.0, -1]), np.array([1.0, 1])], EXACT)
    far = nn.L1HingeEmbeddingCriterion(3)
    assert far.forward(x, np.array(-1.0)) == 0
    assert_trees_close(far.backward(x, np.array(-1.0)), [np.zeros(2), np.zeros(2)], EXACT)
    assert far.forward(x, np.array(1.0)) == 4


def test_one_order_may_be_wanted_of_all_pairs():
    x = [X, X[::-1].copy()]
    all_alike, each = nn.MarginRankingCriterion(0.5), nn.MarginRankingCriterion(0.5)
    for target in (np.array(-1.0), np.array([-1.0])):
        assert all_alike.forward(x, target) == each.forward(x, np.full_like(X, -1))
        assert_trees_close(all_alike.backward(x, target), each.backward(x, np.full_like(X, -1)), EXACT)


# ---- extremes ------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_logistic_losses_of_large_numbers_are_those_numbers(dtype):
    x = np.array([300.0, -300.0], dtype)
    soft = nn.SoftMarginCriterion().type(dtype)
    assert soft.forward(x, np.array([-1, 1], dtype)) == 300
    assert_close(soft.backward(x, np.array([-1, 1], dtype)), np.array([0.5, -0.5], dtype), EXACT)
    labels = nn.MultiLabelSoftMarginCriterion().type(dtype)
    assert labels.forward(x, np.array([0, 1], dtype)) == 300
    assert_close(labels.backward(x, np.array([0, 1], dtype)), np.array([0.5, -0.5], dtype), EXACT)
    ratio = nn.DistanceRatioCriterion().type(dtype)
    assert ratio.forward([x, -x]) == 300


def test_divergence_counts_nothing_where_the_target_is_nothing():
    criterion = nn.DistKLDivCriterion()
    x, target = np.log(np.array([0.25, 0.75])), np.array([0.0, 1.0])
    assert criterion.forward(x, target) == pytest.approx(-np.log(0.75) / 2)
    assert np.isnan(criterion.forward(np.array([np.nan, 0.0]), np.array([1.0, 1.0])))


# ---- without a target ----------------------------------------------------------------------------


def test_what_needs_no_target_takes_none_and_is_a_node_of_its_input():
    for criterion, input in ((nn.L1Cost(), X), (nn.DistanceRatioCriterion(), [X, -X])):
        loss = criterion.forward(input)
        gradient = criterion.backward(input)
        assert criterion.forward(input, np.zeros(1)) == loss
        assert_trees_close(criterion.backward(input, np.zeros(1)), gradient, EXACT)
        assert criterion.updateOutput(input) == loss
        assert_trees_close(criterion.updateGradInput(input), gradient, EXACT)
        node = nn.Identity()()
        g = nn.gModule([node], [criterion(node)])
        assert g.forward(input)[0] == loss
        assert_trees_close(g.backward(input, np.ones(1)), gradient, EXACT)


def test_the_last_loss_is_kept_and_may_be_set():
    criterion = nn.AbsCriterion()
    assert criterion.output is None
    loss = criterion.forward(X, -X)
    assert criterion.output == loss
    criterion.output = 3.0
    assert criterion.output == 3.0


def test_a_criterion_that_computes_nothing_says_so():
    class Nothing(nn.Criterion):
        pass

    with pytest.raises(errors.GraphError, match="Nothing defines neither lower nor updateOutput"):
        Nothing().forward(X, X)


# ---- criterions of classes -----------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["int32", "uint8", "float64"])
@pytest.mark.parametrize(
    "criterion", [nn.ClassSimplexCriterion(3), nn.MultiMarginCriterion()], ids=("ClassSimplex", "MultiMargin")
)
def test_classes_are_of_any_integer_dtype_or_whole_reals(criterion, dtype):
    target = np.array([0, 2, 1, 1])
    loss = criterion.forward(X, target)
    assert criterion.forward(X, target.astype(dtype)) == loss
    assert criterion.forward(X, target[:, None].astype(dtype)) == loss


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("kind", [nn.ClassNLLCriterion, nn.CrossEntropyCriterion, nn.MultiMarginCriterion])
def test_targets_may_be_integers_in_one_call_and_reals_in_the_next(kind, dtype):
    criterion, x, target = kind().type(dtype), X.astype(dtype), np.array([0, 2, 1, 1])
    losses = [criterion.forward(x, target.astype(kind)) for kind in (np.int64, dtype, np.int64, dtype)]
    assert losses == losses[:1] * 4


def test_the_corners_of_the_simplex_are_equally_far_apart():
    for n in (2, 3, 7):
        corners = nn.ClassSimplexCriterion(n).simplex
        expected = np.where(np.eye(n), 1, -1 / (n - 1))
        assert_close(corners @ corners.T, expected, SAME_MATHS)
        assert not corners[:, -1].any()


def test_predictions_of_the_simplex_are_the_nearest_corners():
    criterion = nn.ClassSimplexCriterion(4).float()
    noise = 0.1 * normal(4, 4).astype(np.float32)
    assert (criterion.getTopPrediction(criterion.simplex + noise) == np.arange(4)).all()
    assert (criterion.getTopPrediction(criterion.simplex[2]) == [2]).all()
    assert_close(criterion.getPredictions(noise), noise @ criterion.simplex.T, SAME_MATHS)


def test_pixels_of_the_ignored_class_count_nothing():
    x = normal(2, 3, 4, 5)
    target = np.zeros((2, 4, 5), int)
    target[1] = 2
    criterion, first = nn.SpatialClassNLLCriterion(None, True, 2), nn.SpatialClassNLLCriterion()
    assert criterion.forward(x, target) == pytest.approx(first.forward(x[:1], target[:1]))
    gradient = criterion.backward(x, target)
    assert not gradient[1].any()
    assert gradient[0].any()


def test_labels_end_at_the_first_one_below_zero():
    criterion, other = nn.MultiLabelMarginCriterion(), nn.MultiLabelMarginCriterion()
    assert criterion.forward(X[0], np.array([2, -1, 1])) == other.forward(X[0], np.array([2, -1, -1]))
    assert_close(criterion.backward(X[0], np.array([2, -1, 1])), other.backward(X[0], np.array([2, -1, -1])), EXACT)
    assert criterion.forward(X[0], np.array([-1, -1, -1])) == 0
    assert criterion.forward(X[0], np.array([0, 1, 2])) == 0


# ---- made of others ------------------------------------------------------------------------------


def test_weights_of_criterions_may_be_set_and_criterions_added():
    criterion = nn.MultiCriterion().add(nn.MSECriterion())
    assert criterion.forward(X, -X) == pytest.approx((4 * X * X).mean())
    criterion.add(nn.AbsCriterion(), 3)
    assert criterion.forward(X, -X) == pytest.approx((4 * X * X).mean() + 6 * abs(X).mean())
    criterion.weights = (0.5, 1)
    assert criterion.forward(X, -X) == pytest.approx((2 * X * X).mean() + 2 * abs(X).mean())


def test_a_table_may_have_entries_that_no_criterion_wants():
    criterion = nn.ParallelCriterion().add(nn.MSECriterion())
    x = [X, [X[0], (X[1],)]]
    assert criterion.forward(x, [X]) == 0
    assert_trees_close(criterion.backward(x, [X]), tree_map(np.zeros_like, x), EXACT)


def test_criterions_may_nest():
    inner = nn.ParallelCriterion().add(nn.MSECriterion()).add(nn.AbsCriterion(), 2)
    outer = nn.ParallelCriterion().add(inner, 3).add(nn.MSECriterion())
    x, target = [[X, X], X], [[-X, -X], 0 * X]
    assert outer.forward(x, target) == pytest.approx(3 * ((4 * X * X).mean() + 4 * abs(X).mean()) + (X * X).mean())


def test_a_module_in_a_criterion_gets_no_gradients_of_its_parameters():
    linear = nn.Linear(3, 2)
    criterion = nn.ModuleCriterion(nn.MSECriterion(), linear)
    target = normal(4, 2)
    assert criterion.forward(X, target) == pytest.approx(((linear.forward(X) - target) ** 2).mean())
    gradient = criterion.backward(X, target)
    assert_close(gradient, 2 * (linear.forward(X) - target) @ linear.weight / 8, SAME_MATHS)
    assert not linear.gradWeight.any()


def test_only_the_target_may_go_through_a_module():
    criterion = nn.ModuleCriterion(nn.MSECriterion(), None, nn.Square())
    assert criterion.forward(X, X) == pytest.approx(((X - X * X) ** 2).mean())
    assert_close(criterion.backward(X, X), (X - X * X) / 6, SAME_MATHS)


def test_the_penalty_is_added_to_the_gradient_and_kept():
    penalty = nn.L1Penalty(0.25, True)
    net = nn.Sequential().add(nn.Linear(3, 5)).add(penalty)
    assert penalty.loss is None
    hidden = net.forward(X)
    assert penalty.loss == pytest.approx(0.25 * abs(hidden).mean())
    gradient = net.backward(X, np.zeros_like(hidden))
    assert_close(gradient, 0.25 / hidden.size * np.sign(hidden) @ net.get(0).weight, SAME_MATHS)
    alone = nn.L1Penalty(2, False, False)
    alone.forward(X)
    assert_close(alone.backward(X, 5 * X), 2 * np.sign(X), EXACT)


# ---- errors --------------------------------------------------------------------------------------

WRONG = {
    "alike": (nn.AbsCriterion, X, X[:2], ValueError, r"\(4, 3\).*\(2, 3\)|\(2, 3\).*\(4, 3\)"),
    "pair": (nn.L1HingeEmbeddingCriterion, X, np.ones(1), ValueError, "a list of 2 arrays"),
    "weights": (lambda: nn.WeightedMSECriterion(np.ones(2)), X, X, ValueError, r"weights of shape \(2,\).*\(4, 3\)"),
    "crop": (nn.SpatialAutoCropMSECriterion, np.ones((1, 3, 3)), np.ones((1, 3, 2)), ValueError, "no smaller"),
    "crop of rows": (nn.SpatialAutoCropMSECriterion, X, X, ValueError, "images"),
    "pixels": (nn.SpatialClassNLLCriterion, np.ones((1, 3, 2, 2)), np.zeros((1, 2, 3), int), ValueError,
               r"\(1, 2, 3\)"),
    "too few": (lambda: nn.ParallelCriterion().add(nn.MSECriterion()).add(nn.MSECriterion()), [X], [X, X], ValueError,
                "2 criterions, its input 1 entries"),
    "too few targets": (lambda: nn.ParallelCriterion().add(nn.MSECriterion()).add(nn.MSECriterion()), [X, X], [X],
                        ValueError, "2 criterions, its target 1 entries"),
    "none": (nn.MultiCriterion, X, X, ValueError, "no criterions"),
    "class": (nn.MultiMarginCriterion, X, np.array([0, 1, 2, 3]), ValueError, "classes: index 3, element 3"),
    "class below": (nn.MultiMarginCriterion, X, np.array([0, 1, 2, -1]), ValueError, "classes: index -1, element 3"),
    "class in part": (nn.MultiMarginCriterion, X, np.array([0, 0.5, 2, 1]), ValueError, "element 1 is not a whole"),
    "classes": (nn.MultiMarginCriterion, X, np.array([0, 1]), ValueError, r"shape \(4,\), got \(2,\)"),
    "rows of classes": (nn.MultiMarginCriterion, np.ones((2, 3, 4)), np.array([0, 1]), ValueError, "for each class"),
    "labels": (nn.MultiLabelMarginCriterion, X, np.zeros((4, 2), int), ValueError, r"shape \(4, 3\), got \(4, 2\)"),
    "label": (nn.MultiLabelMarginCriterion, X, np.full((4, 3), 3), ValueError, "3 classes"),
    "corner": (lambda: nn.ClassSimplexCriterion(3), X, np.array([0, 1, 2, 3]), ValueError, "3"),
}  # fmt: skip


@pytest.mark.parametrize(("build", "x", "target", "error", "text"), WRONG.values(), ids=WRONG)
def test_wrong_inputs_and_targets_are_errors_and_the_criterion_can_be_used_again(build, x, target, error, text):
    criterion = build()
    for _ in range(2):
        with pytest.raises(error, match=text) as caught:
            criterion.forward(x, target)
        assert isinstance(caught.value, errors.Error)


@pytest.mark.parametrize(
    ("build", "text"),
    [
        (lambda: nn.ClassSimplexCriterion(1), "two classes"),
        (lambda: nn.MultiMarginCriterion(3), "1 or 2"),
        (lambda: nn.MultiMarginCriterion(1, np.ones((2, 2))), "weights of MultiMarginCriterion"),
        (lambda: nn.MultiLabelSoftMarginCriterion(["a"]), "weights of MultiLabelSoftMarginCriterion"),
        (lambda: nn.MultiCriterion().add(nn.MSECriterion), "MultiCriterion takes modules.*write MSECriterion"),
        (lambda: nn.ModuleCriterion(nn.MSECriterion(), 3), "ModuleCriterion takes modules, got int"),
    ],
)
def test_wrong_arguments_are_errors(build, text):
    with pytest.raises(errors.Error, match=text):
        build()


def test_weights_go_with_the_dtype_and_may_be_written():
    criterion = nn.WeightedMSECriterion([1.0, 2.0, 3.0]).float()
    assert criterion.weight.dtype == np.float32
    criterion.weight = np.zeros(3)
    assert criterion.forward(X.astype(np.float32), X.astype(np.float32)) == pytest.approx((X * X).mean(), rel=1e-6)
    assert criterion.parameters() == ([], [])
    margins = nn.MultiMarginCriterion(1, [1.0, 2.0, 0.0])
    assert (margins.weights == [1, 2, 0]).all()
    assert nn.MultiMarginCriterion().weights is None


# ---- beside PyTorch ------------------------------------------------------------------------------

PEERS = {
    "Abs": (nn.AbsCriterion, "L1Loss", {}, (6, 5), "real"),
    "SmoothL1": (nn.SmoothL1Criterion, "SmoothL1Loss", {}, (6, 5), "real"),
    "SmoothL1-sum": (lambda: nn.SmoothL1Criterion(False), "SmoothL1Loss", {"reduction": "sum"}, (3, 2, 4), "real"),
    "SoftMargin": (nn.SoftMarginCriterion, "SoftMarginLoss", {}, (6, 5), "sign"),
    "HingeEmbedding": (lambda: nn.HingeEmbeddingCriterion(0.5), "HingeEmbeddingLoss", {"margin": 0.5}, (7,), "sign"),
    "MultiMargin": (lambda: nn.MultiMarginCriterion(1, None, 0.7), "MultiMarginLoss", {"margin": 0.7}, (6, 5), "class"),
    "MultiMargin-2": (lambda: nn.MultiMarginCriterion(2), "MultiMarginLoss", {"p": 2}, (6, 5), "class"),
    "MultiLabelMargin": (nn.MultiLabelMarginCriterion, "MultiLabelMarginLoss", {}, (6, 5), "labels"),
    "MultiLabelSoftMargin": (nn.MultiLabelSoftMarginCriterion, "MultiLabelSoftMarginLoss", {}, (6, 5), "bit"),
    "DistKLDiv": (lambda: nn.DistKLDivCriterion(False), "KLDivLoss", {"reduction": "sum"}, (6, 5), "unit"),
    "SpatialClassNLL": (nn.SpatialClassNLLCriterion, "NLLLoss", {}, (2, 5, 4, 3), "pixel"),
    "CrossEntropy": (nn.CrossEntropyCriterion, "CrossEntropyLoss", {}, (6, 5), "class"),
    "BCE": (nn.BCECriterion, "BCELoss", {}, (6, 5), "bit"),
}  # fmt: skip


@pytest.mark.parametrize(("build", "name", "options", "shape", "kind"), PEERS.values(), ids=PEERS)
def test_losses_and_gradients_are_pytorchs(build, name, options, shape, kind, rng):
    torch = pytest.importorskip("torch")
    targets = {
        "real": lambda: rng.standard_normal(shape),
        "sign": lambda: rng.choice([-1.0, 1.0], shape),
        "bit": lambda: rng.choice([0.0, 1.0], shape),
        "unit": lambda: rng.uniform(0, 1, shape),
        "class": lambda: rng.integers(shape[1], size=shape[0]),
        "pixel": lambda: rng.integers(shape[1], size=(shape[0], *shape[2:])),
        "labels": lambda: np.where(np.arange(shape[1]) < 2, rng.permuted(np.tile(np.arange(5), (6, 1)), axis=1), -1),
    }
    for _ in range(5):
        x, target = rng.standard_normal(shape), targets[kind]()
        x = 1 / (1 + np.exp(-x)) if name == "BCELoss" else x
        peer = torch.tensor(x, requires_grad=True)
        loss = getattr(torch.nn, name)(**options)(peer, torch.tensor(target))
        loss.backward()
        criterion = build()
        assert criterion.forward(x, target) == pytest.approx(loss.item(), rel=1e-10)
        assert_close(criterion.backward(x, target), peer.grad.numpy(), relative(1e-10, 1e-5))


PAIRS = {
    "MarginRanking": (lambda: nn.MarginRankingCriterion(0.3), "MarginRankingLoss", {"margin": 0.3}, (7,)),
    "CosineEmbedding": (lambda: nn.CosineEmbeddingCriterion(0.1), "CosineEmbeddingLoss", {"margin": 0.1}, (7, 4)),
}


@pytest.mark.parametrize(("build", "name", "options", "shape"), PAIRS.values(), ids=PAIRS)
def test_losses_and_gradients_of_pairs_are_pytorchs(build, name, options, shape, rng):
    torch = pytest.importorskip("torch")
    for _ in range(5):
        pair, target = [rng.standard_normal(shape), rng.standard_normal(shape)], rng.choice([-1.0, 1.0], 7)
        peers = [torch.tensor(x, requires_grad=True) for x in pair]
        loss = getattr(torch.nn, name)(**options)(*peers, torch.tensor(target))
        loss.backward()
        criterion = build()
        assert criterion.forward(pair, target) == pytest.approx(loss.item(), rel=1e-10)
        expected = [peer.grad.numpy() for peer in peers]
        assert_trees_close(criterion.backward(pair, target), expected, relative(1e-10, 1e-5))


# ---- one sample, and its target as a number --------------------------------------------------------


@pytest.mark.parametrize("sign", [1, -1, 1.0, np.int64(-1), np.float32(1)])
@pytest.mark.parametrize(("make", "input"), [
    (lambda: nn.HingeEmbeddingCriterion(1), np.array([0.3])),
    (lambda: nn.CosineEmbeddingCriterion(0.1), [np.array([1.0, 2]), np.array([2.0, 1])]),
    (lambda: nn.L1HingeEmbeddingCriterion(3), [np.array([1.0, 2]), np.array([2.0, 1])]),
    (lambda: nn.MarginRankingCriterion(0.5), [np.array([0.3]), np.array([0.2])]),
], ids=["hinge", "cosine", "l1", "ranking"])  # fmt: skip
def test_a_sign_may_be_a_number(make, input, sign):
    array = np.array([float(sign)])
    criterion, other = make(), make()
    assert criterion.forward(input, sign) == other.forward(input, array)
    assert_trees_close(criterion.backward(input, sign), other.backward(input, array), EXACT)
    assert criterion.updateOutput(input, sign) == other.output
    assert_trees_close(criterion.updateGradInput(input, sign), other.backward(input, array), EXACT)
