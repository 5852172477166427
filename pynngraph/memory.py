"""Arrays that start at a cache line.

NumPy's start 16 bytes behind one as a rule, so that each load of a 64-byte vector reaches into two lines: products of
few rows then take up to 1.6 times as long.
"""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

from ._engine import LINE, aligned

if TYPE_CHECKING:
    from collections.abc import Callable

    from ._engine import Array, Shape

SMALL = 512  # bytes; it does not show below
BRIEF = 1 << 15  # bytes; what is made in less time than these is not worth 2 us for each new array


def empty(shape: Shape, dtype: Any, least: int = SMALL) -> Array:
    """Like np.empty; `least` is how many bytes are worth it."""
    return _aligned(np.empty, shape, np.dtype(dtype), least)


def zeros(shape: Shape, dtype: Any) -> Array:
    """Like np.zeros."""
    return _aligned(np.zeros, shape, np.dtype(dtype), SMALL)


def copy(array: Array, dtype: Any = None) -> Array:
    """Copy an array, row by row, to one of a dtype, its own by default."""
    result = empty(array.shape, array.dtype if dtype is None else dtype)
    result[...] = array
    return result


def _aligned(allocate: Callable[..., Array], shape: Shape, dtype: np.dtype[Any], least: int) -> Array:
    size = prod(shape) * dtype.itemsize
    return aligned(allocate(size + LINE, np.uint8), shape, dtype) if size >= least else allocate(shape, dtype)
