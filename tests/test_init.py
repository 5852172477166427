"""Initial weights: distributions, shapes, and what is no array of weights."""

import numpy as np
import pytest

import pynngraph as nn
from pynngraph import init
from pynngraph.errors import DTypeError, ShapeError

WIDE = (200, 30, 3, 5)  # 450 inputs, 3000 outputs

SPREADS = [
    (init.xavier_normal, {}, np.sqrt(2 / 3450)),
    (init.xavier_uniform, {"gain": 2}, 2 * np.sqrt(2 / 3450)),
    (init.kaiming_normal, {}, np.sqrt(2 / 450)),
    (init.kaiming_normal, {"mode": "fan_out", "nonlinearity": "tanh"}, 5 / 3 / np.sqrt(3000)),
    (init.kaiming_uniform, {"a": 0.5}, np.sqrt(2 / 1.25 / 450)),
    (init.kaiming_uniform, {"nonlinearity": "relu"}, np.sqrt(2 / 450)),
    (init.normal, {"mean": 3, "std": 0.5}, 0.5),
    (init.uniform, {"low": -1, "high": 1}, 1 / np.sqrt(3)),
]


@pytest.mark.parametrize(("draw", "options", "spread"), SPREADS)
def test_the_spread_is_that_of_the_scheme(draw, options, spread):
    nn.manualSeed(2)
    weight = np.empty(WIDE)
    assert draw(weight, **options) is weight
    assert abs(weight.std() / spread - 1) < 0.02
    assert abs(weight.mean() - options.get("mean", 0)) < 5 * spread / np.sqrt(weight.size)
    if "uniform" in draw.__name__:
        assert np.abs(weight).max() <= spread * np.sqrt(3) * (1 + 1e-12)


@pytest.mark.parametrize("shape", [(5, 12), (12, 5), (4, 3, 2, 2), (3, 3)])
def test_orthogonal_rows_or_columns(shape):
    weight = init.orthogonal(np.empty(shape), 2).reshape(shape[0], -1)
    small = weight @ weight.T if weight.shape[0] <= weight.shape[1] else weight.T @ weight
    assert np.allclose(small, 4 * np.eye(len(small)))


def test_orthogonal_matrices_are_evenly_distributed():
    """Without the signs that are drawn too, elements of the diagonal would all be of one sign."""
    nn.manualSeed(1)
    signs = [np.sign(init.orthogonal(np.empty((2, 2)))[0, 0]) for _ in range(200)]
    assert abs(sum(signs)) < 5 * np.sqrt(200)


def test_weights_of_a_module_are_written_at_once():
    nn.manualSeed(3)
    layer = nn.Linear(3, 2).float()
    init.constant(layer.weight, 2)
    assert layer.weight.dtype == np.float32
    assert (layer.forward(np.ones(3, np.float32)) - layer.bias == 6).all()


def test_sparse_and_eye():
    assert ((init.sparse(np.empty((20, 7)), 0.25) == 0).sum(0) == 5).all()
    assert (init.eye(np.empty((3, 2))) == np.eye(3, 2)).all()


def test_gains():
    assert init.calculate_gain("relu") == np.sqrt(2)
    assert init.calculate_gain("leaky_relu") == np.sqrt(2 / 1.0001)
    assert init.calculate_gain("sigmoid") == 1


@pytest.mark.parametrize(("call", "error"), [
    (lambda: init.xavier_normal(np.empty(3)), ShapeError),
    (lambda: init.kaiming_normal(np.empty((3, 3)), mode="fan"), ShapeError),
    (lambda: init.calculate_gain("step"), ShapeError),
    (lambda: init.eye(np.empty((1, 2, 3))), ShapeError),
    (lambda: init.sparse(np.empty((2, 2)), 2), ShapeError),
    (lambda: init.normal([1.0]), DTypeError),
    (lambda: init.constant(np.empty(2, int), 1), DTypeError),
])  # fmt: skip
def test_what_cannot_be_is_an_error(call, error):
    with pytest.raises(error):
        call()


def test_frozen_weights_stay():
    layer = nn.Linear(3, 2).freeze()
    with pytest.raises(ValueError, match="read-only"):
        init.constant(layer.weight, 2)
