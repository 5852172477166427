"""Criterions: classes of any integer dtype, what is ignored, nothing at all, and in graphs."""

import numpy as np
import pytest
from samples import normal
from tolerances import EXACT, SAME_MATHS, assert_close, relative

import pynngraph as nn
from pynngraph import errors

X = normal(4, 3)
TARGET = np.array([0, 2, 1, 1])
CLASSIFIERS = pytest.mark.parametrize("kind", [nn.ClassNLLCriterion, nn.CrossEntropyCriterion])


@CLASSIFIERS
@pytest.mark.parametrize("dtype", ["int8", "uint8", "int16", "int32", "uint32", "int64", "uint64", ">i4", "float64"])
def test_classes_are_of_any_integer_dtype_or_whole_reals(kind, dtype):
    expected = kind()
    loss = expected.forward(X, TARGET)
    criterion = kind()
    assert criterion.forward(X, TARGET.astype(dtype)) == loss
    assert_close(criterion.backward(X, TARGET.astype(dtype)), expected.backward(X, TARGET), EXACT)


@CLASSIFIERS
@pytest.mark.parametrize("shape", [(4, 1), (1, 4)])
def test_classes_may_be_a_column_or_a_row(kind, shape):
    assert kind().forward(X, TARGET.reshape(shape)) == kind().forward(X, TARGET)


@CLASSIFIERS
@pytest.mark.parametrize("target", [2, np.int64(2), np.array(2), np.array([2])], ids=("int", "scalar", "0-d", "1-d"))
def test_one_sample_takes_one_class(kind, target):
    criterion, batch = kind(), kind()
    assert criterion.forward(X[0], target) == batch.forward(X[:1], np.array([2]))
    assert_close(criterion.backward(X[0], target), batch.backward(X[:1], np.array([2]))[0], EXACT)


@pytest.mark.parametrize("average", [True, False])
def test_rows_of_the_ignored_class_count_nothing(average):
    criterion = nn.ClassNLLCriterion(None, average, 1)
    assert criterion.forward(X, TARGET) == pytest.approx(nn.ClassNLLCriterion(None, average).forward(X[:2], TARGET[:2]))
    gradient = criterion.backward(X, TARGET)
    assert not gradient[2:].any()
    assert gradient[:2].any()


@pytest.mark.parametrize("average", [True, False])
@pytest.mark.parametrize("weights", [None, np.ones(3)], ids=("plain", "weights"))
def test_where_all_is_ignored_loss_and_gradient_are_zero(weights, average):
    criterion = nn.ClassNLLCriterion(weights, average, 7)
    target = np.full(4, 7)
    assert criterion.forward(X, target) == 0
    assert_close(criterion.backward(X, target), np.zeros_like(X), EXACT)


@CLASSIFIERS
def test_where_all_weighs_nothing_loss_and_gradient_are_zero(kind):
    criterion = kind(np.zeros(3))
    assert criterion.forward(X, TARGET) == 0
    assert_close(criterion.backward(X, TARGET), np.zeros_like(X), EXACT)


@pytest.mark.parametrize("criterion", [nn.MSECriterion, nn.ClassNLLCriterion, nn.CrossEntropyCriterion])
def test_a_batch_of_none_has_no_loss(criterion):
    criterion = criterion()
    target = X[:0] if isinstance(criterion, nn.MSECriterion) else TARGET[:0]
    assert criterion.forward(X[:0], target) == 0
    assert criterion.backward(X[:0], target).shape == (0, 3)


def test_weights_go_with_the_dtype_and_are_seen_when_written():
    criterion = nn.ClassNLLCriterion(np.array([1.0, 2.0, 3.0]))
    first = criterion.forward(X, TARGET)
    assert criterion.float().weights.dtype == np.float32
    assert criterion.forward(X.astype(np.float32), TARGET) == pytest.approx(first, rel=1e-5)
    criterion.double().weights[...] = 1
    assert criterion.forward(X, TARGET) == nn.ClassNLLCriterion().forward(X, TARGET)
    assert criterion.parameters() == ([], [])


def test_updateoutput_and_updategradinput_are_forward_and_backward():
    criterion = nn.MSECriterion()
    assert criterion.updateOutput(X, -X) == criterion.forward(X, -X)
    assert_close(criterion.updateGradInput(X, -X), criterion.backward(X, -X), EXACT)


def test_crossentropy_of_images_of_one_pixel_is_that_of_rows():
    criterion, rows = nn.CrossEntropyCriterion(), nn.CrossEntropyCriterion()
    assert criterion.forward(X[:, :, None, None], TARGET) == rows.forward(X, TARGET)
    gradient = criterion.backward(X[:, :, None, None], TARGET)
    assert_close(gradient, rows.backward(X, TARGET)[:, :, None, None], EXACT)


def test_a_criterion_checks_the_arrays_of_backward():
    criterion = nn.MSECriterion()
    criterion.forward(X, -X)
    with pytest.raises(errors.DataError):
        criterion.backward(X, X)
    with pytest.raises(errors.StructureError):
        criterion.backward([X], -X)


def test_a_gradient_that_is_held_is_not_overwritten():
    criterion = nn.MSECriterion()
    criterion.forward(X, -X)
    held = criterion.backward(X, -X)
    kept = held.copy()
    criterion.forward(-X, X)
    criterion.backward(-X, X)
    assert_close(held, kept, EXACT)


def test_a_graph_with_a_loss_trains_as_net_and_criterion_do():
    node, target = nn.Identity()(), nn.Identity()()
    linear = nn.Linear(3, 3)
    g = nn.gModule([node, target], [nn.CrossEntropyCriterion()([linear(node), target])])
    net, criterion = nn.Sequential().add(linear.clone()), nn.CrossEntropyCriterion()
    loss = g.forward([X, TARGET])
    assert_close(loss, np.array([criterion.forward(net.forward(X), TARGET)]), SAME_MATHS)
    g.backward([X, TARGET], np.ones(1))
    net.backward(X, criterion.backward(net.output, TARGET))
    assert_close(linear.gradWeight, net.get(0).gradWeight, SAME_MATHS)
    assert_close(linear.gradBias, net.get(0).gradBias, SAME_MATHS)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_probabilities_of_zero_and_one_have_a_finite_loss(dtype):
    """As in Torch7: a number that is right has no gradient, one that is wrong a large one."""
    criterion = nn.BCECriterion().type(dtype)
    x, target = np.array([0, 1, 0, 1], dtype), np.array([0, 1, 1, 0], dtype)
    assert criterion.forward(x, target) == pytest.approx(-np.log(1e-12) / 2, rel=1e-3)
    gradient = criterion.backward(x, target)
    assert_close(gradient[:2], np.zeros(2, dtype), EXACT)
    assert_close(gradient[2:], np.array([-1e12, 1e12], dtype) / 4, relative(1e-4, 1e-4))


@pytest.mark.parametrize("criterion", [nn.MarginCriterion(0.5), nn.HingeEmbeddingCriterion(0.5)])
def test_sums_of_margins_are_their_means_times_the_number_of_elements(criterion):
    target = np.where(X > 0.3, 1.0, -1.0)
    mean = criterion.forward(X, target)
    gradient = criterion.backward(X, target)
    criterion.sizeAverage = False
    assert criterion.forward(X, target) == pytest.approx(X.size * mean)
    assert_close(criterion.backward(X, target), X.size * gradient, SAME_MATHS)
    assert criterion.forward(X[:0], target[:0]) == 0


@pytest.mark.parametrize("target", [np.array(-1.0), np.array([-1.0])])
def test_one_pair_has_a_cosine_too(target):
    pair = [X[0], X[1]]
    criterion, batch = nn.CosineEmbeddingCriterion(-1), nn.CosineEmbeddingCriterion(-1)
    assert criterion.forward(pair, target) == batch.forward([x[None] for x in pair], np.array([-1.0]))
    for got, expected in zip(
        criterion.backward(pair, target), batch.backward([x[None] for x in pair], np.array([-1.0])), strict=True
    ):
        assert_close(got, expected[0], SAME_MATHS)


def test_at_the_margin_a_pair_that_belongs_apart_has_a_gradient():
    criterion = nn.HingeEmbeddingCriterion(2)
    x = np.array([2.0, 2.5, 1.5])
    assert criterion.forward(x, -np.ones(3)) == pytest.approx(0.5 / 3)
    assert_close(criterion.backward(x, -np.ones(3)), np.array([-1, 0, -1]) / 3, SAME_MATHS)


def test_targets_in_a_graph_get_zeros():
    for criterion in (nn.BCECriterion(), nn.MarginCriterion(), nn.HingeEmbeddingCriterion()):
        loss = nn.ModuleFromCriterion(criterion)
        x, target = np.full((2, 2), 0.3), np.ones((2, 2))
        loss.forward([x, target])
        gradient, of_target = loss.backward([x, target], np.ones(1))
        assert gradient.any()
        assert not of_target.any()
