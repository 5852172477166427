"""Pooling: against PyTorch on drawn shapes, NaN, undoing it, wrong arguments."""

import numpy as np
import pytest
from tolerances import EXACT, SAME_MATHS, assert_close

import pynngraph as nn

torch = pytest.importorskip("torch")
functional = torch.nn.functional


def compare(module, function, x, rng, tolerance=SAME_MATHS):
    """Output and gradient beside those of a function of PyTorch."""
    theirs = torch.tensor(x, requires_grad=True)
    expected = function(theirs)
    g = rng.standard_normal(expected.shape).astype(x.dtype)
    expected.backward(torch.tensor(g))
    assert_close(module.forward(x), expected.detach().numpy(), tolerance)
    assert_close(module.backward(x, g), theirs.grad.numpy(), max(tolerance, SAME_MATHS, key=lambda t: t.float64))


def drawn(seed, dims):
    """A shape of so many dims, windows, strides and padding for it, and rounding."""
    rng = np.random.default_rng(seed)
    window = rng.integers(1, 5, dims)
    stride = rng.integers(1, 4, dims)
    padding = np.array([int(rng.integers(0, k // 2 + 1)) for k in window])
    shape = (*rng.integers(1, 4, 2), *(window + rng.integers(0, 40 if dims < 3 else 8, dims)))
    return rng, tuple(map(int, shape)), window.tolist(), stride.tolist(), padding.tolist(), bool(rng.integers(2))


SEEDS = pytest.mark.parametrize("seed", range(40))
DTYPES = pytest.mark.parametrize("dtype", ["float32", "float64"])


@DTYPES
@SEEDS
def test_spatial_max_pooling_is_that_of_pytorch(seed, dtype):
    rng, shape, (kH, kW), (dH, dW), (padH, padW), ceil = drawn(seed, 2)
    module = nn.SpatialMaxPooling(kW, kH, dW, dH, padW, padH).type(dtype)
    x = rng.standard_normal(shape).astype(dtype)
    function = lambda t: functional.max_pool2d(t, (kH, kW), (dH, dW), (padH, padW), ceil_mode=ceil)  # noqa: E731
    compare(module.ceil() if ceil else module.floor(), function, x, rng, EXACT)


@SEEDS
def test_spatial_dilated_max_pooling_is_that_of_pytorch(seed):
    rng, shape, (kH, kW), (dH, dW), (padH, padW), ceil = drawn(seed, 2)
    dilationH, dilationW = map(int, rng.integers(1, 4, 2))
    x = rng.standard_normal((*shape[:2], shape[2] + 3 * kH, shape[3] + 3 * kW))
    module = nn.SpatialDilatedMaxPooling(kW, kH, dW, dH, padW, padH, dilationW, dilationH)
    function = lambda t: functional.max_pool2d(  # noqa: E731
        t, (kH, kW), (dH, dW), (padH, padW), (dilationH, dilationW), ceil_mode=ceil
    )
    compare(module.ceil() if ceil else module, function, x, rng, EXACT)


@DTYPES
@SEEDS
def test_spatial_average_pooling_is_that_of_pytorch(seed, dtype):
    rng, shape, (kH, kW), (dH, dW), (padH, padW), ceil = drawn(seed, 2)
    include = bool(seed % 2)
    module = nn.SpatialAveragePooling(kW, kH, dW, dH, padW, padH).type(dtype)
    module = module.setCountIncludePad() if include else module.setCountExcludePad()
    x = rng.standard_normal(shape).astype(dtype)
    function = lambda t: functional.avg_pool2d(t, (kH, kW), (dH, dW), (padH, padW), ceil, include)  # noqa: E731
    compare(module.ceil() if ceil else module, function, x, rng)


@SEEDS
def test_volumetric_max_pooling_is_that_of_pytorch(seed):
    rng, shape, (kT, kH, kW), (dT, dH, dW), (padT, padH, padW), ceil = drawn(seed, 3)
    module = nn.VolumetricMaxPooling(kT, kW, kH, dT, dW, dH, padT, padW, padH)
    x = rng.standard_normal(shape)
    function = lambda t: functional.max_pool3d(  # noqa: E731
        t, (kT, kH, kW), (dT, dH, dW), (padT, padH, padW), ceil_mode=ceil
    )
    compare(module.ceil() if ceil else module, function, x, rng, EXACT)


@SEEDS
def test_volumetric_average_pooling_is_that_of_pytorch(seed):
    rng, shape, (kT, kH, kW), (dT, dH, dW), _, ceil = drawn(seed, 3)
    module = nn.VolumetricAveragePooling(kT, kW, kH, dT, dW, dH)
    function = lambda t: functional.avg_pool3d(t, (kT, kH, kW), (dT, dH, dW), 0, ceil)  # noqa: E731
    compare(module.ceil() if ceil else module, function, rng.standard_normal(shape), rng)


@SEEDS
def test_temporal_max_pooling_is_that_of_pytorch(seed):
    rng, shape, (k,), (d,), _, _ = drawn(seed, 1)
    x = rng.standard_normal((shape[0], shape[2], 37))
    function = lambda t: functional.max_pool1d(t.transpose(1, 2), k, d).transpose(1, 2)  # noqa: E731
    compare(nn.TemporalMaxPooling(k, d), function, x, rng, EXACT)


@SEEDS
def test_adaptive_pooling_is_that_of_pytorch(seed):
    rng, shape, *_ = drawn(seed, 2)
    height, width = map(int, rng.integers(1, 30, 2))
    x = rng.standard_normal(shape)
    compare(nn.SpatialAdaptiveMaxPooling(width, height), lambda t: functional.adaptive_max_pool2d(t, (height, width)),
            x, rng, EXACT)  # fmt: skip
    compare(nn.SpatialAdaptiveAveragePooling(width, height),
            lambda t: functional.adaptive_avg_pool2d(t, (height, width)), x, rng)  # fmt: skip


@SEEDS
def test_undoing_max_pooling_is_that_of_pytorch(seed):
    rng, shape, window, *_ = drawn(seed, 2)
    kH, kW = window
    pool = nn.SpatialMaxPooling(kW, kH)
    x = rng.standard_normal(shape)

    def function(t):
        y, places = functional.max_pool2d(t, window, return_indices=True)
        return functional.max_unpool2d(y, places, window, output_size=t.shape)

    compare(nn.Sequential(pool, nn.SpatialMaxUnpooling(pool)), function, x, rng, EXACT)


def test_a_pooling_that_was_run_by_itself_is_undone(rng):
    pool = nn.SpatialMaxPooling(2, 2)
    undo = nn.SpatialMaxUnpooling(pool)
    for shape in ((2, 3, 6, 8), (2, 3, 6, 9), (2, 3, 6, 9), (3, 7, 4)):
        x = rng.standard_normal(shape)
        compare(pool, lambda t: functional.max_pool2d(t, 2), x, rng, EXACT)
        places = functional.max_pool2d(torch.tensor(x), 2, return_indices=True)[1]
        function = lambda t: functional.max_unpool2d(t, places, 2, output_size=shape[-2:])  # noqa: B023, E731
        compare(undo, function, 3 * pool.forward(x), rng, EXACT)


def test_several_poolings_are_undone_each_by_its_own(rng):
    first, second = nn.SpatialMaxPooling(2, 2), nn.SpatialMaxPooling(3, 3)
    net = nn.Sequential(first, second, nn.SpatialMaxUnpooling(second), nn.SpatialMaxUnpooling(first))
    x = rng.standard_normal((2, 3, 14, 13))

    def function(t):
        y, inner = functional.max_pool2d(t, 2, return_indices=True)
        z, outer = functional.max_pool2d(y, 3, return_indices=True)
        return functional.max_unpool2d(functional.max_unpool2d(z, outer, 3, output_size=y.shape), inner, 2,
                                       output_size=t.shape)  # fmt: skip

    compare(net, function, x, rng, EXACT)
    compare(net.clone(), function, x, rng, EXACT)


# ---- at random places ----------------------------------------------------------------------------


def test_regions_are_drawn_at_each_forward_until_they_are_fixed(rng):
    module = nn.SpatialFractionalMaxPooling(2, 2, 9, 9)
    x = rng.standard_normal((4, 3, 30, 30))
    nn.manualSeed(1)
    first, second = module.forward(x).copy(), module.forward(x).copy()
    assert (first != second).any()
    assert any((first[0, 0] == plane[0]).mean() < 1 for plane in first)
    nn.manualSeed(1)
    assert_close(module.forward(x), first, EXACT)
    module.fixPoolingRegions()
    fixed = module.forward(x).copy()
    assert_close(module.forward(x), fixed, EXACT)
    assert_close(module.clone().forward(x), fixed, EXACT)
    module.fixPoolingRegions(False)
    assert (module.forward(x) != fixed).any()


def test_regions_reach_from_end_to_end():
    x = np.zeros((1, 7, 9))
    x[0, 0, 0], x[0, -1, -1] = 1, 2
    for _ in range(20):
        y = nn.SpatialFractionalMaxPooling(2, 3, 4, 3).forward(x)
        assert (y[0, 0, 0], y[0, -1, -1], y.sum()) == (1, 2, 3)


def test_ratios_are_rounded_down():
    module = nn.SpatialFractionalMaxPooling(2, 2, 0.7, 0.55)
    assert module.forward(np.zeros((2, 3, 11, 9))).shape == (2, 3, 6, 6)


def test_wrong_sizes_of_regions_are_refused():
    for arguments, message in (((1, 2, 3, 3), "poolSizeW of"), ((2, 2.5, 3, 3), "poolSizeH of"),
                               ((2, 2, 0.5, 3), "or ratios"), ((2, 2, 2.5, 3), "outW of")):  # fmt: skip
        with pytest.raises(nn.errors.ShapeError, match=message):
            nn.SpatialFractionalMaxPooling(*arguments)
    with pytest.raises(nn.errors.ShapeError, match="cannot put 4 different windows of 2 along dim 1"):
        nn.SpatialFractionalMaxPooling(2, 2, 3, 4).forward(np.zeros((1, 4, 9)))


# ---- norms, and some of all ----------------------------------------------------------------------


def test_the_gradient_of_a_norm_of_zero_is_zero():
    for power in (2, 3, 1.5):
        module = nn.FeatureLPPooling(2, 1, power)
        x = np.array([0.0, 0.0, 3.0])
        module.forward(x)
        assert_close(module.backward(x, np.ones(2)), np.array([0.0, 0.0, 1.0]), SAME_MATHS)


@pytest.mark.parametrize(("build", "message"), [
    (lambda: nn.FeatureLPPooling(1, 1, 2), "width of FeatureLPPooling must be from 2 to 16"),
    (lambda: nn.FeatureLPPooling(2, 5, 2), "stride of FeatureLPPooling"),
    (lambda: nn.TemporalDynamicKMaxPooling(0), "minK of"),
    (lambda: nn.FeatureLPPooling(2, 1, 2, True).forward(np.zeros(3)), r"expects \(rows, features, ...\)"),
    (lambda: nn.TemporalDynamicKMaxPooling(4).forward(np.zeros((3, 2))), "takes 4 frames"),
    (lambda: nn.TemporalDynamicKMaxPooling(1).forward(np.zeros(3)), r"expects \(frames, features\)"),
])  # fmt: skip
def test_wrong_arguments_of_these_are_refused(build, message):
    with pytest.raises(nn.errors.ShapeError, match=message):
        build()


# ---- odd numbers ---------------------------------------------------------------------------------


@DTYPES
def test_nan_and_infinities(dtype):
    x = np.array([[[1, np.nan, 3, 4, -np.inf, -np.inf, np.inf, 0, np.nan, -np.inf]]], dtype)
    y = nn.SpatialMaxPooling(2, 1).type(dtype).forward(x)
    assert_close(y, np.array([[[np.nan, 4, -np.inf, np.inf, np.nan]]], dtype), EXACT)


@pytest.mark.parametrize("module", [nn.SpatialMaxPooling(2, 2), nn.SpatialAveragePooling(2, 2),
                                    nn.SpatialAdaptiveMaxPooling(2, 1), nn.SpatialAdaptiveAveragePooling(1, 3)],
                         ids=str)  # fmt: skip
def test_an_empty_batch_gives_an_empty_one(module):
    x = np.empty((0, 3, 4, 5))
    y = module.forward(x)
    assert y.shape[:2] == (0, 3)
    assert module.backward(x, y).shape == x.shape


def test_output_sizes_after_ceil_leave_out_windows_in_nothing():
    # As large as rounding up says, the last window would begin behind the end.
    assert nn.SpatialMaxPooling(1, 1, 3, 3).ceil().forward(np.zeros((1, 5, 5))).shape == (1, 2, 2)


# ---- wrong arguments -----------------------------------------------------------------------------


@pytest.mark.parametrize("build", [
    lambda: nn.SpatialMaxPooling(0, 2), lambda: nn.SpatialMaxPooling(2, 2.5), lambda: nn.SpatialMaxPooling(2, 2, 0, 1),
    lambda: nn.TemporalMaxPooling(-1), lambda: nn.VolumetricMaxPooling(1, 1, None),
    lambda: nn.SpatialDilatedMaxPooling(2, 2, 1, 1, 0, 0, -1, 1), lambda: nn.SpatialAveragePooling(2, 2, 1, 1, -1),
    lambda: nn.SpatialAdaptiveMaxPooling(0, 2), lambda: nn.SpatialAdaptiveAveragePooling(2, "2"),
])  # fmt: skip
def test_arguments_that_are_no_sizes_are_refused(build):
    with pytest.raises(nn.errors.ShapeError, match="must be a whole number, at least"):
        build()


def test_too_much_padding_is_refused():
    with pytest.raises(nn.errors.ShapeError, match="at most half its window: padW is 2, kW 3"):
        nn.SpatialMaxPooling(3, 3, 1, 1, 2, 1)


@pytest.mark.parametrize(("module", "shape", "message"), [
    (nn.SpatialMaxPooling(3, 3), (1, 2, 5), r"windows of \(3, 3\), too large for an array of shape \(1, 2, 5\)"),
    (nn.SpatialMaxPooling(3, 3), (5, 5), r"expects \(planes, height, width\) or \(rows, planes, height, width\)"),
    (nn.TemporalMaxPooling(3), (2, 2), "too large"),
    (nn.VolumetricMaxPooling(1, 1, 1), (2, 2, 2), "expects"),
    (nn.SpatialDilatedMaxPooling(2, 1, 1, 1, 1, 0, 3, 1), (1, 1, 2), "nothing but padding"),
    (nn.SpatialAdaptiveMaxPooling(2, 2), (1, 0, 2), "too large"),
])  # fmt: skip
def test_inputs_that_do_not_fit_are_refused(module, shape, message):
    with pytest.raises(nn.errors.ShapeError, match=message):
        module.forward(np.zeros(shape))


def test_what_cannot_be_undone_is_refused():
    with pytest.raises(nn.errors.ShapeError, match="takes a SpatialMaxPooling"):
        nn.SpatialMaxUnpooling(nn.TemporalMaxPooling(2))
    with pytest.raises(nn.errors.ShapeError, match="as large as their strides"):
        nn.SpatialMaxUnpooling(nn.SpatialMaxPooling(3, 3, 2, 2))
    with pytest.raises(nn.errors.StateError, match="must come before it"):
        nn.SpatialMaxUnpooling(nn.SpatialMaxPooling(2, 2)).forward(np.zeros((1, 2, 2)))
    pool = nn.SpatialMaxPooling(2, 2)
    net = nn.Sequential(pool, nn.SpatialMaxPooling(2, 1),
                        nn.SpatialMaxUnpooling(pool))  # fmt: skip
    with pytest.raises(nn.errors.ShapeError, match="expects what its pooling gave"):
        net.forward(np.zeros((1, 4, 4)))
