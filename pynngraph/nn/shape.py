"""Modules that show the same numbers in another shape, or some of them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from operator import index
from typing import TYPE_CHECKING, Any, TypeVar

from ..errors import ShapeError
from .module import Module

if TYPE_CHECKING:
    from .._engine import Shape
    from .lowering import Builder, Values

SelfView = TypeVar("SelfView", bound="View")

# Sizes that the engine finds out: inferred from the others, and kept from the input at that place.
INFER = -1
KEEP = -2


def _sizes(sizes: Sequence[int | Sequence[int]]) -> tuple[int, ...]:
    """Sizes given one by one or as one sequence."""
    if len(sizes) == 1 and isinstance(sizes[0], Sequence):
        return tuple(map(index, sizes[0]))
    return tuple(map(index, sizes))  # type: ignore[arg-type]


class Reshape(Module):
    """The same elements in order, in another shape.

    Parameters
    ----------
    sizes
        The new sizes, one by one or as one tuple.
    batchMode
        True: the first dim of the input is a batch and stays. False: the input is reshaped whole. None, or left out: it
        is a batch unless it has just as many elements as the sizes ask for and a first dim other than 1.

    Examples
    --------
    >>> import numpy as np, pynngraph as nn
    >>> nn.Reshape(3, 2).forward(np.zeros((4, 6))).shape
    (4, 3, 2)
    """

    def __init__(self, *sizes: int | Sequence[int], batchMode: bool | None = None) -> None:
        # Torch7 takes the flag as the last positional argument.
        last: Any = sizes[-1] if sizes else 0
        if last is None or isinstance(last, bool):
            sizes, batchMode = sizes[:-1], last
        self.sizes = _sizes(sizes)
        self.batchMode = batchMode
        if any(size < 0 for size in self.sizes):
            message = f"sizes of Reshape must not be negative, got {self.sizes}: see View for -1"
            raise ShapeError(message)

    def lower(self, b: Builder, input: Values) -> Values:
        """An alias."""
        x = b.array(input)
        return b.op("reshape", [x], ints=b.choose(self._target, x))

    def _target(self, shape: Shape) -> tuple[int, ...]:
        fits = math.prod(shape) == math.prod(self.sizes) and bool(shape) and shape[0] != 1
        if self.batchMode is False or (self.batchMode is None and (fits or not shape)):
            return self.sizes
        return (KEEP, *self.sizes)

    def describe(self) -> str:
        """The sizes."""
        return f"({', '.join(map(str, self.sizes))})"


class View(Module):
    """The same elements in order, in another shape; one size may be -1.

    Parameters
    ----------
    sizes
        The new sizes, one by one or as one tuple; -1 for one that follows from the others.

    What the input has beyond those elements is a batch, which comes first. With :meth:`setNumInputDims` the dims before
    the last n are the batch.

    Examples
    --------
    >>> import numpy as np, pynngraph as nn
    >>> nn.View(3, 2).forward(np.zeros((4, 6))).shape
    (4, 3, 2)
    >>> nn.View(-1, 3).forward(np.zeros((4, 6))).shape
    (8, 3)
    """

    def __init__(self, *sizes: int | Sequence[int]) -> None:
        self.resetSize(*sizes)
        self.numInputDims: int | None = None

    def setNumInputDims(self: SelfView, numInputDims: int) -> SelfView:
        """Say how many dims one sample has."""
        self.numInputDims = numInputDims
        return self

    def resetSize(self: SelfView, *sizes: int | Sequence[int]) -> SelfView:
        """Set other sizes."""
        new = _sizes(sizes)
        if any(size < INFER for size in new) or new.count(INFER) > 1:
            message = f"View takes sizes of which one may be -1, got {new}"
            raise ShapeError(message)
        self.sizes = new
        return self

    def lower(self, b: Builder, input: Values) -> Values:
        """An alias."""
        x = b.array(input)
        return b.op("reshape", [x], ints=b.choose(self._target, x))

    def _target(self, shape: Shape) -> tuple[int, ...]:
        n_sample = len(shape) if self.numInputDims is None else min(self.numInputDims, len(shape))
        n_batch = len(shape) - n_sample
        known = math.prod(size for size in self.sizes if size != INFER)
        elements = math.prod(shape[n_batch:])
        if elements % known if known else elements:
            message = f"{self.label()} cannot show an input of shape {shape}"
            raise ShapeError(message)
        batch = math.prod(shape[:n_batch])
        if INFER in self.sizes:
            if batch == 1 and n_batch == 0:
                return self.sizes
            return (KEEP if n_batch == 1 else batch, *self.sizes)
        batch *= elements // known if known else 1
        if batch == 1 and n_batch == 0:
            return self.sizes
        # The batch is whatever is left, so that the same program serves batches of any size.
        return (INFER, *self.sizes) if batch and known else (batch, *self.sizes)

    def describe(self) -> str:
        """The sizes."""
        return f"({', '.join(map(str, self.sizes))})"


class Narrow(Module):
    """A range along one dim.

    Parameters
    ----------
    dimension
        The dim, counted from 0; negative from the end.
    offset
        Where the range begins, counted from 0; negative from the end.
    length
        How long it is; -1 reaches to the end, -2 to one before it, and so on.

    Examples
    --------
    >>> import numpy as np, pynngraph as nn
    >>> nn.Narrow(0, 1, 2).forward(np.arange(4.0))
    array([1., 2.])
    """

    def __init__(self, dimension: int, offset: int, length: int = 1) -> None:
        self.dimension = dimension
        self.index = offset
        self.length = length

    def lower(self, b: Builder, input: Values) -> Values:
        """An alias."""
        return b.op("narrow", [b.array(input)], ints=[self.dimension, self.index, self.length])

    def describe(self) -> str:
        """Dim, offset, length."""
        return f"({self.dimension}, {self.index}, {self.length})"


class Select(Module):
    """One index along one dim, which goes.

    Parameters
    ----------
    dimension
        The dim, counted from 0; negative from the end.
    index
        Which, counted from 0; negative from the end.

    Examples
    --------
    >>> import numpy as np, pynngraph as nn
    >>> nn.Select(0, -1).forward(np.array([[1.0, 2.0], [3.0, 4.0]]))
    array([3., 4.])
    """

    def __init__(self, dimension: int, index: int) -> None:
        self.dimension = dimension
        self.index = index

    def lower(self, b: Builder, input: Values) -> Values:
        """An alias."""
        return b.op("select", [b.array(input)], ints=[self.dimension, self.index])

    def describe(self) -> str:
        """Dim and index."""
        return f"({self.dimension}, {self.index})"


__all__ = ["Narrow", "Reshape", "Select", "View"]
