"""Modules that draw: what is drawn, how often, and that seeds fix it."""

import io

import numpy as np
import pytest
from philox import philox
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


@pytest.mark.parametrize("build", ["WhiteNoise(0, 1)", "RReLU()", "SpatialDropout()", "Dropout(0.3)"])
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


# ---- the generator -------------------------------------------------------------------------------

# Random123's kat_vectors, philox4x32 10: counter, key, numbers.
KNOWN = [
    ("00000000 00000000 00000000 00000000", "00000000 00000000", "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
    ("ffffffff ffffffff ffffffff ffffffff", "ffffffff ffffffff", "408f276d 41c83b0e a20bc7c6 6d5451fd"),
    ("243f6a88 85a308d3 13198a2e 03707344", "a4093822 299f31d0", "d16cfe09 94fdcceb 5001e420 24126ea1"),
]


@pytest.mark.parametrize(("counter", "key", "numbers"), KNOWN)
def test_the_oracle_is_philox_as_published(counter, key, numbers):
    counter, key, numbers = ([int(word, 16) for word in words.split()] for words in (counter, key, numbers))
    assert philox(counter, key).tolist() == numbers


def fractions(count, seed):
    """What one run draws, evenly between 0 and 1: the slopes of a RReLU."""
    nn.manualSeed(seed)
    return -nn.RReLU(0, 1).forward(np.full(count, -1.0))


def test_numbers_are_even():
    u = fractions(1 << 20, 6)
    assert abs(u.mean() - 0.5) < 4 * np.sqrt(1 / 12 / u.size)
    assert abs(u.var() - 1 / 12) < 4 * np.sqrt(1 / 180 / u.size)
    for bits in (8, 12):
        for shift in (0, 7, 32 - bits):  # of the number's first bits, some of the middle, the last
            bins = (u * 2.0 ** (bits + shift)).astype(np.int64) % 2**bits
            chi_square(np.bincount(bins, minlength=2**bits))


def test_pairs_of_numbers_are_even():
    """At all distances within a group of counters, and to the next ones."""
    u = (fractions(1 << 20, 7) * 16).astype(np.int64)
    for lag in (*range(1, 35), 64, 1024):
        chi_square(np.bincount(16 * u[:-lag] + u[lag:], minlength=256))


def chi_square(counts):
    """Five standard deviations around what even chances give."""
    expected = counts.sum() / counts.size
    found, freedom = ((counts - expected) ** 2).sum() / expected, counts.size - 1
    assert abs(found - freedom) < 5 * np.sqrt(2 * freedom)


def test_numbers_of_other_runs_and_other_ops_have_nothing_to_do_with_each_other():
    nn.manualSeed(8)
    x = np.full(1 << 18, -1.0)
    net = nn.ConcatTable(nn.RReLU(0, 1), nn.RReLU(0, 1))
    runs = [*map(np.copy, net.forward(x)), *map(np.copy, net.forward(x))]
    for place, one in enumerate(runs):
        for other in runs[:place]:
            for lag in (0, 1, 2, 4, 32):
                correlation = np.corrcoef(one[lag:], other[: one.size - lag])[0, 1]
                assert abs(correlation) < 5 / np.sqrt(one.size)


def test_masks_are_drawn_again_on_the_way_back():
    nn.manualSeed(9)
    x = np.ones((40, 50, 7))
    first, second = nn.Dropout(0.4), nn.Dropout(0.2)
    net = nn.Sequential(nn.Transpose((0, 2)), first, nn.Transpose((0, 1)), second, nn.MulConstant(2))
    y = net.forward(x).copy()
    gradient = net.backward(x, np.ones(y.shape))
    assert_close(gradient, y.transpose(2, 0, 1), EXACT)
    assert_close(net.backward(x, np.ones(y.shape)), gradient, EXACT)
    assert 0.4 < (y == 0).mean() < 0.6


def test_dropout_keeps_no_mask():
    x = np.ones(100_000)
    net = nn.Sequential(nn.Tanh(), nn.Dropout(0.5), nn.Tanh())
    arena = nn.summary(net, x, io.StringIO()).memory.arena
    # What Tanh, Dropout and the other Tanh gave, and a gradient.
    assert arena < 4.1 * x.nbytes


@pytest.mark.parametrize("build", [lambda: nn.SpatialDropout(1), lambda: nn.VolumetricDropout(-0.1),
                                   lambda: nn.WhiteNoise(0, -1)])  # fmt: skip
def test_a_wrong_argument_is_an_error(build):
    with pytest.raises(ShapeError):
        build()


@pytest.mark.parametrize(("module", "shape"), [(nn.SpatialDropout(), (2, 3)), (nn.VolumetricDropout(), (1, 2, 3))])
def test_an_array_without_planes_is_an_error(module, shape):
    with pytest.raises(ShapeError, match="planes of"):
        module.forward(np.ones(shape))
