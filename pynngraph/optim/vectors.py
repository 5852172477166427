"""The arrays of a step: parameters, their gradient, and what is kept between steps, all alike."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np

from .. import memory
from .._engine import optim_step
from ..errors import DataError, DTypeError, ShapeError

Array: TypeAlias = "np.ndarray[Any, Any]"
Function: TypeAlias = Callable[[Array], tuple[float, Array]]

DTYPES = (np.dtype(np.float32), np.dtype(np.float64))


def check_parameters(x: Any) -> None:
    """Raise what is wrong with x as an array that a step shall change in place."""
    if isinstance(x, np.ndarray) and x.dtype in DTYPES and x.flags.carray:
        return
    if not isinstance(x, np.ndarray):
        message = f"the parameters are one array, as from getParameters(), got {type(x).__name__}"
        raise DTypeError(message)
    if x.dtype not in DTYPES:
        message = f"the parameters are float32 or float64, got {x.dtype}: use x.astype(numpy.float64)"
        raise DTypeError(message)
    if not x.flags.writeable:
        message = "the parameters are changed in place, and this array is read-only: ask getParameters() again"
        raise DataError(message)
    message = f"the parameters are changed in place and must be contiguous, got strides {x.strides}: use x.copy()"
    raise DataError(message)


def like(x: Array, array: Any, what: str) -> Array:
    """An array of x's dtype and shape, as the engine reads it; or an error that calls it ``what``."""
    if not isinstance(array, np.ndarray) or array.dtype != x.dtype:
        kind = f"dtype {array.dtype}" if isinstance(array, np.ndarray) else type(array).__name__
        message = f"{what} is an array of the parameters' dtype {x.dtype}, got {kind}"
        raise DTypeError(message)
    if array.shape != x.shape:
        message = f"{what} has the parameters' shape {x.shape}, got {array.shape}"
        raise ShapeError(message)
    return array if array.flags.c_contiguous and array.flags.aligned else np.array(array, order="C")


def kept(x: Array, state: dict[str, Any], name: str, first: float = 0) -> Array:
    """What an earlier step left under a name; full of `first` before the first."""
    array: Array | None = state.get(name)
    if array is None:
        array = memory.empty(x.shape, x.dtype)
        array.fill(first)
        return array
    like(x, array, f"state[{name!r}]")
    if not array.flags.carray:
        message = f"state[{name!r}] is changed in place: it must be contiguous and writable"
        raise DataError(message)
    return array


def evaluate(feval: Function, x: Array) -> tuple[float, Array]:
    """The loss and the gradient at x, checked."""
    check_parameters(x)
    loss, gradient = feval(x)
    return loss, like(x, gradient, "the gradient")


def add(x: Array, factor: float, y: Array) -> None:
    """Add factor y to x, in place."""
    optim_step("sgd", x, (y, None, None, None), -factor, 0, 0, 0, 0)
