"""Arrays that start at a cache line.

NumPy's start 16 bytes behind one as a rule, so that each load of a 64-byte vector reaches into two lines: products of
few rows then take up to 1.6 times as long.
"""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from ._engine import Array, Shape

LINE = 64
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
    return np.asarray(_Part(allocate(size + LINE, np.uint8), shape, dtype)) if size >= least else allocate(shape, dtype)


class _Part:
    """A part of memory, for an array to be made of.

    A view of an array's view holds the array, so that nobody would know whether the view is held as well: answers are
    made anew where they are. A view of what is made of this one holds it.
    """

    __slots__ = ("__array_interface__", "memory")

    def __init__(self, memory: Array, shape: Shape, dtype: np.dtype[Any]) -> None:
        self.memory = memory
        address = memory.__array_interface__["data"][0]
        data = (address + -address % LINE, False)
        self.__array_interface__ = {"version": 3, "shape": shape, "typestr": dtype.str, "data": data}
