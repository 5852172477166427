"""Modules that draw: what is drawn, how often, and that seeds fix it."""

import numpy as np
import pytest
from samples import python
from tolerances import CANCELLING, EXACT, assert_close

import pynngraph as nn
from pynngraph.errors import ShapeError

DROPOUTS = [
    (nn.SpatialDropout, (40, 50, 2, 3)),
    (nn.SpatialDropout, (2000, 2, 3)),
    (nn.VolumetricDropout, (40, 50, 2, 1, 3)),
]


@pytest.mark.parametrize(("kind", "shape"), DROPOUTS, ids=["batch", "one", "volumes"])
def test_whole_planes_are_dropped_and_others_stay(kind, shape):
    nn.manualSeed(3)
    module, x = kind(0.3), np.ones(shape)
    y = module.forward(x).reshape(2000, -1)
    assert set(np.unique(y)) == {0.0, 1.0}
    assert (y == y[:, :1]).all()
    assert abs(y[:, 0].mean() - 0.7) < 5 * np.sqrt(0.21 / 2000)
    assert_close(module.backward(x, np.full(shape, 2.0)).reshape(2000, -1), 2 * y, EXACT)
    module.evaluate()
    assert_close(module.forward(x), np.full(shape, 0.7), EXACT)
    assert_close(module.backward(x, np.ones(shape)), np.full(shape, 0.7), EXACT)


def test_stochastic_inference_drops_in_evaluation():
    nn.manualSeed(1)
    module = nn.SpatialDropout(0.5, True).evaluate()
    assert set(np.unique(module.forward(np.ones((50, 2, 2))))) == {0.0, 1.0}


def test_dropout_of_empty_planes():
    assert nn.SpatialDropout().forward(np.ones((2, 0, 3))).shape == (2, 0, 3)
    assert nn.SpatialDropout().forward(np.ones((0, 2, 2, 3))).shape == (0, 2, 2, 3)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_whitenoise_is_normal(dtype):
    nn.manualSeed(4)
    module = nn.WhiteNoise(0.5, 2).type(np.dtype(dtype).name)
    noise = module.forward(np.zeros(100000, dtype)).astype(np.float64)
    assert abs(noise.mean() - 0.5) < 5 * 2 / np.sqrt(1e5)
    assert abs(noise.std() - 2) < 5 * 2 / np.sqrt(2e5)
    assert abs(np.mean(noise > 2.5) - 0.158655) < 5 * np.sqrt(0.13 / 1e5)
    assert_close(module.backward(np.zeros(100000, dtype), np.ones(100000, dtype)), np.ones(100000, dtype), EXACT)


def test_slopes_of_rrelu_are_even_and_kept_for_the_way_back():
    nn.manualSeed(5)
    module, x = nn.RReLU(0.2, 0.6), np.full(100000, -1.0)
    slopes = -module.forward(x).copy()
    assert 0.2 <= slopes.min() < 0.2001
    assert 0.5999 < slopes.max() <= 0.6
    assert abs(slopes.mean() - 0.4) < 5 * 0.4 / np.sqrt(12e5)
    assert_close(module.backward(x, np.ones(100000)), slopes, EXACT)


@pytest.mark.parametrize("build", ["WhiteNoise(0, 1)", "RReLU()", "SpatialDropout()"])
def test_numbers_drawn_depend_neither_on_threads_nor_on_the_instruction_set(build, tmp_path):
    code = (
        "import sys, numpy as np, pynngraph as nn; nn.manualSeed(7); "
        f"x = np.full((3, 5, 200, 301), -1.0); np.save(sys.argv[1], nn.{build}.forward(x))"
    )
    answers = []
    for isa, threads in [*((isa, 1) for isa in nn.cpu_info().available), (nn.cpu_info().available[-1], 3)]:
        path = tmp_path / f"{isa}-{threads}.npy"
        done = python("-c", code, str(path), PYNNGRAPH_ISA=isa, PYNNGRAPH_NUM_THREADS=str(threads))
        assert done.returncode == 0, done.stderr
        answers.append(np.load(path))
    for answer in answers[1:]:
        # Normal numbers come out of a logarithm, whose last bits are not the same everywhere.
        assert_close(answer, answers[0], CANCELLING if "White" in build else EXACT)
    assert_close(answers[-1], answers[-2], EXACT, what="threads")


@pytest.mark.parametrize("build", [lambda: nn.SpatialDropout(1), lambda: nn.VolumetricDropout(-0.1),
                                   lambda: nn.WhiteNoise(0, -1)])  # fmt: skip
def test_a_wrong_argument_is_an_error(build):
    with pytest.raises(ShapeError):
        build()


@pytest.mark.parametrize(("module", "shape"), [(nn.SpatialDropout(), (2, 3)), (nn.VolumetricDropout(), (1, 2, 3))])
def test_an_array_without_planes_is_an_error(module, shape):
    with pytest.raises(ShapeError, match="planes of"):
        module.forward(np.ones(shape))
