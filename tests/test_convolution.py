"""Convolutions beside PyTorch, how they start, and what they refuse."""

import numpy as np
import pytest
from tolerances import LONG_SUMS, assert_close

import pynngraph as nn
from pynngraph.errors import Error, ShapeError


def _drawn(rng, low, high, n):
    return tuple(int(k) for k in rng.integers(low, high + 1, n))


@pytest.mark.parametrize("seed", range(40))
@pytest.mark.parametrize("space", [2, 3])
@pytest.mark.parametrize("full", [False, True], ids=("convolution", "full"))
def test_random_sizes_give_what_pytorch_gives(full, space, seed):
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(seed)
    ins, outs, batch = _drawn(rng, 1, 20, 3)
    kernel, steps, padding, dilation = (_drawn(rng, *range_, space) for range_ in ((1, 4), (1, 3), (0, 2), (1, 2)))
    kernel = tuple(max(k, p + 1) for k, p in zip(kernel, padding, strict=True))
    sizes = tuple(d * k + int(n) for d, k, n in zip(dilation, kernel, rng.integers(0, 9, space), strict=True))
    name = ("Spatial" if space == 2 else "Volumetric") + ("Full" if full else "Dilated") + "Convolution"
    # Torch names the last dim first, but for time.
    order = [1, 0] if space == 2 else [0, 2, 1]
    settings = [kernel, steps, padding, tuple(s - 1 for s in steps) if full else dilation]
    layer = getattr(nn, name)(ins, outs, *(setting[k] for setting in settings for k in order))
    function = getattr(torch.nn.functional, f"conv{'_transpose' if full else ''}{space}d")
    x = rng.standard_normal((batch, ins, *sizes))
    tensors = [torch.tensor(array, requires_grad=True) for array in (x, layer.weight, layer.bias)]
    extra = {"output_padding": settings[3]} if full else {"dilation": dilation}
    wanted = function(*tensors, stride=steps, padding=padding, **extra)
    assert_close(layer.forward(x), wanted.detach().numpy(), LONG_SUMS)
    g = rng.standard_normal(wanted.shape)
    wanted.backward(torch.tensor(g))
    layer.zeroGradParameters()
    found = [layer.backward(x, g), layer.gradWeight, layer.gradBias]
    for got, tensor in zip(found, tensors, strict=True):
        assert_close(got, tensor.grad.numpy(), LONG_SUMS)


LAYERS = {
    "SpatialConvolution": (lambda: nn.SpatialConvolution(4, 50, 3, 2), 24),
    "SpatialConvolutionMM": (lambda: nn.SpatialConvolutionMM(4, 50, 3, 2), 24),
    "SpatialFullConvolution": (lambda: nn.SpatialFullConvolution(4, 50, 3, 2), 24),
    "SpatialDepthWiseConvolution": (lambda: nn.SpatialDepthWiseConvolution(40, 5, 3, 2), 240),
    "SpatialConvolutionLocal": (lambda: nn.SpatialConvolutionLocal(4, 5, 6, 7, 3, 2), 24),
    "SpatialSubSampling": (lambda: nn.SpatialSubSampling(500, 3, 2), 6),
    "SpatialConvolutionMap": (lambda: nn.SpatialConvolutionMap(nn.tables.full(7, 50), 3, 2), 42),
    "TemporalConvolution": (lambda: nn.TemporalConvolution(4, 100, 3), 12),
    "TemporalRowConvolution": (lambda: nn.TemporalRowConvolution(200, 3), 600),
    "TemporalSubSampling": (lambda: nn.TemporalSubSampling(500, 3), 3),
    "VolumetricConvolution": (lambda: nn.VolumetricConvolution(4, 20, 2, 3, 2), 48),
    "VolumetricFullConvolution": (lambda: nn.VolumetricFullConvolution(4, 20, 2, 3, 2), 48),
}


@pytest.mark.parametrize(("build", "inputs"), LAYERS.values(), ids=LAYERS)
def test_parameters_start_as_in_torch7(build, inputs):
    nn.manualSeed(1)
    layer = build()
    for stdv, limit in ((None, inputs**-0.5), (0.1, 0.1 * 3**0.5)):
        layer.reset(stdv)
        for parameter in layer.parameters()[0]:
            assert abs(parameter).max() <= limit
        weight = layer.weight
        assert abs(weight).max() > 0.95 * limit
        assert abs(weight.mean()) < 0.15 * limit


def test_weights_of_a_table_start_by_how_many_planes_an_output_has():
    nn.manualSeed(1)
    layer = nn.SpatialConvolutionMap([[0, 0], *([k, 1] for k in range(100))], 5, 5)
    assert abs(layer.weight[0]).max() > 0.15
    assert abs(layer.weight[1:]).max() <= 500**-0.5 / 5**0.5 + 1e-12


def test_connections_are_those_of_torch7():
    assert nn.tables.full(3, 2).tolist() == [[0, 0], [1, 0], [2, 0], [0, 1], [1, 1], [2, 1]]
    assert nn.tables.oneToOne(3).tolist() == [[0, 0], [1, 1], [2, 2]]
    table = nn.tables.random(7, 5, 3)
    assert table[:, 1].tolist() == [k for k in range(5) for _ in range(3)]
    assert all(len(set(table[table[:, 1] == k, 0].tolist())) == 3 for k in range(5))


WRONG = {
    "no planes": lambda: nn.SpatialConvolution(0, 4, 3, 3),
    "kernel of no size": lambda: nn.SpatialConvolution(3, 4, 0, 3),
    "kernel of a part": lambda: nn.SpatialConvolution(3, 4, 3.5, 3),
    "no step": lambda: nn.SpatialConvolution(3, 4, 3, 3, 0),
    "negative padding": lambda: nn.SpatialConvolution(3, 4, 3, 3, 1, 1, -1),
    "no dilation": lambda: nn.SpatialDilatedConvolution(3, 4, 3, 3, 1, 1, 0, 0, 0, 1),
    "as much extra as a step": lambda: nn.SpatialFullConvolution(3, 4, 3, 3, 2, 2, 0, 0, 2, 0),
    "extra time": lambda: nn.VolumetricFullConvolution(3, 4, 1, 3, 3, 1, 2, 2, 0, 0, 0, 1),
    "image smaller than the kernel": lambda: nn.SpatialConvolutionLocal(3, 4, 2, 9, 3, 3),
    "no connections": lambda: nn.SpatialConvolutionMap(np.zeros((0, 2)), 3, 3),
    "connections of three": lambda: nn.SpatialConvolutionMap([[0, 0, 0]], 3, 3),
    "plane -1": lambda: nn.SpatialFullConvolutionMap([[0, -1]], 3, 3),
    "a part of a plane": lambda: nn.SpatialConvolutionMap([[0.5, 1]], 3, 3),
    "more connections than planes": lambda: nn.tables.random(3, 4, 5),
}


@pytest.mark.parametrize("build", WRONG.values(), ids=WRONG)
def test_wrong_arguments_are_refused(build):
    with pytest.raises(ShapeError):
        build()


REFUSED = {
    "planes": (lambda: nn.SpatialConvolution(3, 4, 3, 3), (2, 5, 9, 9), "expects 3 planes, got 5"),
    "dims": (lambda: nn.SpatialConvolution(3, 4, 3, 3), (9, 9), "3 dims"),
    "small": (lambda: nn.SpatialConvolution(3, 4, 3, 3), (3, 2, 9), "too small for the kernel"),
    "small full": (lambda: nn.SpatialFullConvolution(3, 4, 1, 1, 1, 1, 2, 2), (3, 2, 9), "too small"),
    "local": (
        lambda: nn.SpatialConvolutionLocal(3, 4, 5, 5, 3, 3),
        (3, 5, 6),
        r"expects an input of shape \(3, 5, 5\)",
    ),
    "frames": (lambda: nn.TemporalConvolution(3, 4, 5), (4, 3), "windows of 5 frames, got 4"),
    "features": (lambda: nn.TemporalConvolution(3, 4, 5), (9, 4), r"frames, 3\)"),
    "frames dims": (lambda: nn.TemporalSubSampling(3, 2), (3,), "2 dims"),
}


@pytest.mark.parametrize(("build", "shape", "message"), REFUSED.values(), ids=REFUSED)
def test_wrong_inputs_are_refused_and_nothing_is_broken(build, shape, message):
    layer = build()
    with pytest.raises(ShapeError, match=message):
        layer.forward(np.zeros(shape))
    assert type(layer).__name__ in str(layer)


def test_a_full_convolution_refuses_sizes_that_it_cannot_look_at():
    layer = nn.SpatialFullConvolution(3, 4, 3, 3, 2, 2)
    with pytest.raises(ShapeError, match="at least 2 dims"):
        layer.forward([np.zeros((3, 5, 5)), np.zeros(4)])


def test_a_layer_without_weight_says_so():
    layer = nn.SpatialConvolution(3, 4, 3, 3)
    layer.weight = None
    with pytest.raises(Error, match="no weight"):
        layer.forward(np.zeros((3, 5, 5)))


def test_steps_beyond_the_image_cost_nothing():
    layer = nn.SpatialConvolution(3, 4, 2, 3, 2**31 - 1, 2**31 - 1)
    x = np.ones((3, 4, 5))
    g = layer.backward(x, np.ones_like(layer.forward(x)))
    assert_close(g[:, :3, :2], layer.weight.sum(0), LONG_SUMS)
    assert not g[:, 3:].any()
    assert not g[:, :, 2:].any()


@pytest.mark.parametrize("build", [
    lambda: nn.SpatialConvolution(3, 4, 3, 3, 2, 2, 1, 1),
    lambda: nn.SpatialDepthWiseConvolution(3, 2, 3, 3),
    lambda: nn.SpatialFullConvolution(3, 4, 3, 3, 2, 2),
    lambda: nn.SpatialConvolutionLocal(3, 4, 5, 5, 3, 3),
])  # fmt: skip
def test_an_empty_batch_gives_empty_arrays_and_no_gradients(build):
    layer, x = build(), np.zeros((0, 3, 5, 5))
    y = layer.forward(x)
    assert y.shape[0] == 0
    layer.zeroGradParameters()
    assert layer.backward(x, y).shape == x.shape
    assert not any(gradient.any() for gradient in layer.parameters()[1])
