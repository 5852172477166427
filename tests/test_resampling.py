"""Padding and upsampling: against PyTorch on drawn shapes, and what cannot be done."""

import numpy as np
import pytest
from test_pooling import compare
from tolerances import EXACT, SINGLE

import pynngraph as nn

torch = pytest.importorskip("torch")
functional = torch.nn.functional
SEEDS = pytest.mark.parametrize("seed", range(20))


@SEEDS
@pytest.mark.parametrize(("cls", "mode"), [(nn.SpatialZeroPadding, "constant"),
                                           (nn.SpatialReflectionPadding, "reflect"),
                                           (nn.SpatialReplicationPadding, "replicate")])  # fmt: skip
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_spatial_padding_is_that_of_pytorch(cls, mode, dtype, seed):
    rng = np.random.default_rng(seed)
    shape = tuple(map(int, (*rng.integers(1, 4, 2), *rng.integers(4, 40, 2))))
    pads = list(map(int, rng.integers(-1 if mode == "constant" else 0, 4, 4)))
    module = cls(*pads).type(dtype)
    compare(module, lambda t: functional.pad(t, pads, mode), rng.standard_normal(shape).astype(dtype), rng, EXACT)


@SEEDS
def test_volumetric_replication_padding_is_that_of_pytorch(seed):
    rng = np.random.default_rng(seed)
    pads = list(map(int, rng.integers(0, 3, 6)))
    x = rng.standard_normal((2, 3, *rng.integers(1, 6, 3)))
    compare(nn.VolumetricReplicationPadding(*pads), lambda t: functional.pad(t, pads, "replicate"), x, rng, EXACT)


@SEEDS
@pytest.mark.parametrize("n_dims", [2, 3])
def test_upsampling_is_that_of_pytorch(n_dims, seed):
    rng = np.random.default_rng(seed)
    factor = int(rng.integers(1, 5))
    x = rng.standard_normal((2, 3, *rng.integers(1, 8, n_dims)))
    compare(nn.UpSampling(factor), lambda t: functional.interpolate(t, scale_factor=factor), x, rng, EXACT)
    mode = ("bilinear", "trilinear")[n_dims - 2]
    sizes = [int(size * factor) for size in x.shape[2:]]
    compare(nn.UpSampling(factor, mode),
            lambda t: functional.interpolate(t, sizes, mode=mode, align_corners=True), x, rng, SINGLE)  # fmt: skip


@SEEDS
def test_spatial_upsampling_is_that_of_pytorch(seed):
    rng = np.random.default_rng(seed)
    factor = int(rng.integers(1, 5))
    x = rng.standard_normal((2, 3, *rng.integers(1, 20, 2)))
    compare(
        nn.SpatialUpSamplingNearest(factor), lambda t: functional.interpolate(t, scale_factor=factor), x, rng, EXACT
    )
    sizes = [int(size * factor) for size in x.shape[2:]]
    compare(nn.SpatialUpSamplingBilinear(factor),
            lambda t: functional.interpolate(t, sizes, mode="bilinear", align_corners=True), x, rng,
            SINGLE)  # fmt: skip


@pytest.mark.parametrize("factor", [1, 2, 3])
def test_pixel_shuffle_is_that_of_pytorch(factor, rng):
    module = nn.PixelShuffle(factor)
    for shape in ((2, 2 * factor**2, 3, 5), (factor**2, 2, 1), (3, 2 * factor**2, 3, 5)):
        compare(module, lambda t: functional.pixel_shuffle(t, factor), rng.standard_normal(shape), rng, EXACT)


@pytest.mark.parametrize("module", [nn.SpatialZeroPadding(1), nn.SpatialReflectionPadding(1),
                                    nn.SpatialUpSamplingNearest(2), nn.SpatialUpSamplingBilinear(2),
                                    nn.PixelShuffle(1), nn.Padding(1, 2)],
                         ids=str)  # fmt: skip
def test_an_empty_batch_gives_an_empty_one(module):
    x = np.empty((0, 3, 4, 5))
    y = module.forward(x)
    assert len(y) == 0
    assert module.backward(x, y).shape == x.shape


@pytest.mark.parametrize(("module", "shape", "message"), [
    (nn.SpatialZeroPadding(-2), (1, 4, 5), "pads the height of 4 by -2 and -2, which cannot be done"),
    (nn.SpatialReflectionPadding(0, 3, 0, 0), (1, 4, 3), "pads the width of 3 by 0 and 3"),
    (nn.SpatialReplicationPadding(1), (1, 4, 0), "pads the width of 0"),
    (nn.SpatialZeroPadding(1), (4, 5), r"expects \(planes, height, width\)"),
    (nn.VolumetricReplicationPadding(1), (1, 4, 5), r"expects \(planes, depth, height, width\)"),
    (nn.Padding(2, 1), (4, 5), "has no dim 2"),
    (nn.Padding(1, 1, 2, 0, 4), (2, 3, 3), "has no place 4"),
    (nn.SpatialUpSamplingNearest(2), (4, 5), "expects"),
    (nn.SpatialUpSamplingNearest(2), (1, 0, 5), "as small as"),
    (nn.SpatialUpSamplingBilinear(2), (4, 5), "expects"),
    (nn.UpSampling(2), (3, 4, 5), "expects"),
    (nn.UpSampling({"oheight": 2, "owidth": 2}, "linear"), (1, 1, 2, 2, 2), "needs odepth"),
    (nn.PixelShuffle(2), (3, 2, 2), "planes in multiples of 4"),
])  # fmt: skip
def test_inputs_that_do_not_fit_are_refused(module, shape, message):
    with pytest.raises(nn.errors.ShapeError, match=message):
        module.forward(np.zeros(shape))


@pytest.mark.parametrize(("build", "message"), [
    (lambda: nn.SpatialZeroPadding(1.5), "pad_l of SpatialZeroPadding must be a whole number"),
    (lambda: nn.VolumetricReplicationPadding(1, "2"), "pright of"),
    (lambda: nn.Padding("a", 1), "dim of Padding"),
    (lambda: nn.SpatialUpSamplingNearest(0), "at least 1"),
    (lambda: nn.SpatialUpSamplingNearest(1.5), "whole factor"),
    (lambda: nn.SpatialUpSamplingBilinear({"oheight": 2}), "needs sizes of at least 1, oheight, owidth"),
    (lambda: nn.UpSampling({"oheight": 2, "owidth": 2}), "needs a factor, not sizes"),
    (lambda: nn.UpSampling({"oheight": 2, "owidth": 2, "odepth": 0}, "linear"), "needs sizes"),
    (lambda: nn.PixelShuffle(None), "whole factor"),
])  # fmt: skip
def test_wrong_arguments_are_refused(build, message):
    with pytest.raises(nn.errors.ShapeError, match=message):
        build()
