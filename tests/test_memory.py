"""Arrays that start at a cache line: which ones, and that nobody can tell but by their address."""

from __future__ import annotations

import copy
import pickle
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import pynngraph as nn
from pynngraph import memory

if TYPE_CHECKING:
    from collections.abc import Callable

MANY_ROWS, DEPTH, COLS = 100, 160, 48


def _starts_at_a_line(array: np.ndarray[Any, Any]) -> bool:
    return array.ctypes.data % memory.LINE == 0


@pytest.mark.parametrize("dtype", ["float32", "float64", "int64"])
@pytest.mark.parametrize("shape", [(), (0,), (7,), (memory.SMALL,), (3, 5, 777), (0, 9999)])
def test_arrays_are_plain(shape: tuple[int, ...], dtype: str) -> None:
    """They are like NumPy's, whatever was in that memory before."""
    for made in (memory.empty(shape, dtype), memory.zeros(shape, dtype)):
        assert type(made) is np.ndarray
        assert (made.shape, made.dtype) == (shape, np.dtype(dtype))
        assert made.flags.c_contiguous
        assert made.flags.writeable
        assert _starts_at_a_line(made) or made.nbytes < memory.SMALL
        made.fill(1)
    assert not memory.zeros(shape, dtype).any()
    ones = memory.copy(made.T, "float32")
    assert ones.flags.c_contiguous
    assert ones.dtype == np.float32
    np.testing.assert_array_equal(ones, made.T)


def test_arrays_can_be_made_read_only_and_writable_again() -> None:
    """As NumPy's own can."""
    array = memory.zeros((1000,), "float32")
    array.setflags(write=True)
    array.flags.writeable = False
    with pytest.raises(ValueError, match="read-only"):
        array[0] = 1
    array.flags.writeable = True
    array[0] = 1


def test_views_hold_the_array() -> None:
    """Not what it lies in: otherwise an array with views would look as if nobody held it."""
    array = memory.empty((1000,), "float32")
    assert array[3:].reshape(-1).base is array


@pytest.mark.parametrize(
    "change",
    [
        lambda layer: layer,
        lambda layer: layer.type("float32"),
        copy.deepcopy,
        lambda layer: layer.clone(),
        lambda layer: layer.clone("weight"),
        lambda layer: pickle.loads(pickle.dumps(layer)),  # noqa: S301 - its own
    ],
    ids=["new", "converted", "copied", "cloned", "cloned, weight shared", "loaded"],
)
def test_parameters_and_their_gradients(change: Callable[[Any], Any]) -> None:
    """However a module came about."""
    layer = change(nn.Linear(DEPTH, COLS))
    for array in (layer.weight, layer.gradWeight, *layer.getParameters()):
        assert _starts_at_a_line(array)


def test_outputs_and_gradients_of_inputs() -> None:
    """Those of the first run, and large fresh ones while an older one is held, be it by a view of it alone."""
    layer = nn.Linear(DEPTH, COLS)
    rng = np.random.default_rng(0)
    kept, expected = [], []
    for _ in range(3):
        x = rng.standard_normal((MANY_ROWS, DEPTH))
        y = layer.forward(x)
        dx = layer.updateGradInput(x, np.ones_like(y))
        assert _starts_at_a_line(y)
        assert _starts_at_a_line(dx)
        kept.append(y[1:])
        expected.append(y[1:].copy())
        del y, dx
    for view, values in zip(kept, expected, strict=True):
        np.testing.assert_array_equal(view, values)


def test_what_optimisers_keep() -> None:
    """They are as long as the parameters."""
    x, state = memory.zeros((1000,), "float32"), {}
    nn.optim.adam(lambda x: (0.0, np.ones_like(x)), x, {}, state)
    assert _starts_at_a_line(state["m"])
    assert _starts_at_a_line(state["v"])
