"""Batch and layer normalisation: against PyTorch, and what becomes of running statistics."""

import copy

import numpy as np
import pytest
from samples import COPIES
from tolerances import SAME_MATHS, assert_close

import pynngraph as nn

torch = pytest.importorskip("torch")

KINDS = {
    "BatchNormalization": (nn.BatchNormalization, "BatchNorm1d", 0),
    "SpatialBatchNormalization": (nn.SpatialBatchNormalization, "BatchNorm2d", 2),
    "VolumetricBatchNormalization": (nn.VolumetricBatchNormalization, "BatchNorm3d", 3),
}
BATCH = np.array([[1.0, -2.0, 0.5], [3.0, 0.0, 0.5], [2.0, 5.0, -1.0]])


def statistics(module):
    return [module.running_mean.copy(), module.running_var.copy()]


def moved(batch, momentum=0.1, times=1):
    """What running statistics are after so many forwards of a batch."""
    part = (1 - momentum) ** times
    return [(1 - part) * batch.mean(0), part + (1 - part) * batch.var(0, ddof=1)]


def assert_statistics(module, expected):
    for got, wanted in zip(statistics(module), expected, strict=True):
        assert_close(got, wanted, SAME_MATHS)


# ---- PyTorch -------------------------------------------------------------------------------------


@pytest.mark.parametrize("affine", [True, False])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seed", range(6))
def test_training_and_evaluation_are_those_of_pytorch(kind, affine, seed):
    rng = np.random.default_rng(seed)
    cls, name, n_dims = KINDS[kind]
    channels = int(rng.integers(1, 40))
    module = cls(channels, 1e-3, 0.3, affine)
    other = getattr(torch.nn, name)(channels, 1e-3, 0.3, affine).double()
    if affine:
        module.bias = rng.standard_normal(channels)
        other.weight.data, other.bias.data = torch.tensor(module.weight), torch.tensor(module.bias)
    for train in (True, True, False):
        shape = (int(rng.integers(2, 150 if n_dims == 0 else 5)), channels, *rng.integers(1, 9, n_dims))
        x, g = 3 * rng.standard_normal(shape) + 2, rng.standard_normal(shape)
        (module.training if train else module.evaluate)()
        other.train(train)
        module.zeroGradParameters()
        other.zero_grad()
        theirs = torch.tensor(x, requires_grad=True)
        y = other(theirs)
        y.backward(torch.tensor(g))
        assert_close(module.forward(x), y.detach().numpy(), SAME_MATHS)
        assert_close(module.backward(x, g), theirs.grad.numpy(), SAME_MATHS)
        assert_statistics(module, [other.running_mean.numpy(), other.running_var.numpy()])
        if affine:
            assert_close(module.gradWeight, other.weight.grad.numpy(), SAME_MATHS)
            assert_close(module.gradBias, other.bias.grad.numpy(), SAME_MATHS)


@pytest.mark.parametrize("shape", [(7,), (4, 7)])
def test_layer_normalization_is_that_of_pytorch(shape, rng):
    x = rng.standard_normal(shape)
    expected = torch.nn.functional.layer_norm(torch.tensor(x), (7,), eps=1e-3 / 7).numpy()
    assert_close(nn.LayerNormalization(7, 0, 1e-3).forward(x), expected, SAME_MATHS)


def test_large_means_cost_no_digits(rng):
    x = (1e4 + rng.standard_normal((64, 3, 8, 8))).astype(np.float32)
    y = nn.SpatialBatchNormalization(3, 0, None, False).float().forward(x)
    wide = x.astype(np.float64)
    expected = (wide - wide.mean((0, 2, 3), keepdims=True)) / wide.std((0, 2, 3), keepdims=True)
    assert np.abs(y - expected).max() < 1e-3  # half a unit in the last place of the mean


# ---- running statistics --------------------------------------------------------------------------


def test_each_forward_in_training_moves_statistics_once():
    module = nn.BatchNormalization(3)
    for times in (1, 2, 3):
        module.forward(BATCH)
        module.backward(BATCH, BATCH)
        module.backward(BATCH, BATCH)
        assert_statistics(module, moved(BATCH, times=times))
    before = statistics(module)
    module.evaluate().forward(BATCH)
    module.backward(BATCH, BATCH)
    assert_statistics(module, before)


def test_a_module_at_two_nodes_moves_them_at_each():
    module, node = nn.BatchNormalization(3), nn.Identity()()
    nn.gModule([node], [nn.CAddTable()([module(node), module(node)])]).forward(BATCH)
    assert_statistics(module, moved(BATCH, times=2))


class Twice(nn.Module):
    """What it gives is known only when it has run."""

    def updateOutput(self, input):
        return 2 * input

    def updateGradInput(self, input, gradOutput):
        return 2 * gradOutput


class Failing(Twice):
    def updateOutput(self, input):
        raise RuntimeError("no")


def test_finding_out_about_modules_in_python_moves_nothing_more():
    module = nn.BatchNormalization(3)
    net = nn.Sequential(module, Twice(), Twice())
    net.forward(BATCH)
    assert_statistics(module, moved(BATCH))
    net.forward(BATCH)
    assert_statistics(module, moved(BATCH, times=2))


def test_a_forward_that_fails_moves_nothing():
    module = nn.BatchNormalization(3)
    with pytest.raises(RuntimeError):
        nn.Sequential(module, Failing()).forward(BATCH)
    net = nn.gModule([a := nn.Identity()(), b := nn.Identity()()], [nn.LookupTable(2, 1)(b), module(a)])
    with pytest.raises(nn.errors.DataError):
        net.forward([BATCH, np.array([5])])
    assert_statistics(module, [np.zeros(3), np.ones(3)])


class Inside(nn.BatchNormalization):
    """Calls the lowering of the class that it derives from, which is run once more for backward."""

    def updateOutput(self, input):
        return super().updateOutput(input)


def test_a_forward_that_is_run_once_more_moves_nothing():
    module, node = Inside(3), nn.Identity()()
    net = nn.gModule([node], [module(node), module(nn.MulConstant(2)(node))])
    net.forward(BATCH)
    before = statistics(module)
    net.backward(BATCH, [BATCH, BATCH])
    assert_statistics(module, before)
    plain = nn.BatchNormalization(3)
    plain.forward(BATCH)
    plain.forward(2 * BATCH)
    assert_statistics(plain, before)


def test_looking_at_a_graph_moves_nothing():
    node = nn.Identity()()
    module = nn.BatchNormalization(3)
    net = nn.gModule([node], [module(node)])
    nn.summary(net, BATCH)
    assert_statistics(module, [np.zeros(3), np.ones(3)])


def test_B11_a_batch_of_one_leaves_the_variance():
    module = nn.BatchNormalization(3)
    row = BATCH[:1]
    assert_close(module.forward(row), np.broadcast_to(module.bias, (1, 3)), SAME_MATHS)
    assert not module.backward(row, row).any()
    assert_statistics(module, [0.1 * row[0], np.ones(3)])


@pytest.mark.parametrize(("cls", "shape"), [(nn.BatchNormalization, (0, 3)),
                                            (nn.SpatialBatchNormalization, (0, 3, 2, 2)),
                                            (nn.SpatialBatchNormalization, (2, 3, 0, 2))])  # fmt: skip
def test_an_empty_batch_leaves_all(cls, shape):
    module = cls(3)
    x = np.ones(shape)
    assert module.forward(x).shape == shape
    assert module.backward(x, x).shape == shape
    assert_statistics(module, [np.zeros(3), np.ones(3)])
    assert not module.gradWeight.any()


def test_equal_numbers_without_eps_give_the_bias():
    module = nn.BatchNormalization(2, 0)
    x = np.full((4, 2), 3.0)
    assert not module.forward(x).any()
    assert not module.backward(x, x).any()


@pytest.mark.parametrize("copier", COPIES.values(), ids=COPIES)
def test_copies_have_statistics_of_their_own(copier):
    module = nn.BatchNormalization(3)
    module.forward(BATCH)
    twin = copier(module)
    assert_statistics(twin, moved(BATCH))
    twin.forward(BATCH)
    assert_statistics(module, moved(BATCH))
    assert_statistics(twin, moved(BATCH, times=2))


def test_statistics_can_be_shared():
    module = nn.BatchNormalization(3)
    twin = module.clone("weight", "running_mean", "running_var")
    module.forward(BATCH)
    twin.forward(BATCH)
    assert_statistics(module, moved(BATCH, times=2))
    assert_statistics(twin, statistics(module))


def test_statistics_follow_the_dtype_and_can_be_assigned():
    module = nn.BatchNormalization(3).float()
    module.forward(BATCH.astype(np.float32))
    assert module.running_mean.dtype == np.float32
    module.running_var = [4, 4, 4]
    y = module.evaluate().forward(np.zeros((1, 3), np.float32))
    expected = -module.running_mean / np.sqrt(np.float32(4 + 1e-5)) * module.weight
    assert_close(y[0], expected, SAME_MATHS)
    with pytest.raises(nn.errors.ShapeError):
        module.running_mean = np.zeros(2)
    module.reset()
    assert_statistics(module, [np.zeros(3, np.float32), np.ones(3, np.float32)])


def test_statistics_are_no_parameters():
    module = nn.BatchNormalization(3)
    assert len(module.parameters()[0]) == 2
    assert module.getParameters()[0].size == 6
    assert nn.BatchNormalization(3, None, None, False).parameters() == ([], [])


# ---- one sample, wrong arguments -----------------------------------------------------------------


@pytest.mark.parametrize(("kind", "size"), [("BatchNormalization", ()), ("SpatialBatchNormalization", (2, 3)),
                                            ("VolumetricBatchNormalization", (2, 1, 3))])  # fmt: skip
def test_B12_a_sample_is_evaluated_as_in_a_batch(kind, size, rng):
    module = KINDS[kind][0](3).evaluate()
    module.running_mean = rng.standard_normal(3)
    x = rng.standard_normal((3, *size))
    assert_close(module.forward(x), copy.copy(module.forward(x[None]))[0], SAME_MATHS)


@pytest.mark.parametrize("shape", [(3,), (2, 4), (2, 3, 4), ()])
def test_inputs_of_other_shapes_are_refused(shape):
    with pytest.raises(nn.errors.ShapeError, match=r"expects \(rows, 3\)"):
        nn.BatchNormalization(3).forward(np.ones(shape))


def test_wrong_arguments_are_refused():
    for size in (0, -1, 2.5, None):
        with pytest.raises(nn.errors.ShapeError, match="whole number of features"):
            nn.BatchNormalization(size)
        with pytest.raises(nn.errors.ShapeError, match="whole number of features"):
            nn.LayerNormalization(size)
    with pytest.raises(nn.errors.ShapeError, match=r"expects \(3,\) or \(rows, 3\)"):
        nn.LayerNormalization(3).forward(np.ones((3, 4)))
    module = nn.BatchNormalization(3)
    module.bias = None
    with pytest.raises(nn.errors.ShapeError, match="lost its weight or its bias"):
        module.forward(BATCH)
