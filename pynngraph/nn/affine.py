"""Modules that multiply with a parameter, or add one, element by element."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from .. import random
from ..errors import ShapeError
from .module import Module
from .shape import as_sizes

if TYPE_CHECKING:
    from .._engine import Shape, Value
    from .lowering import Builder, Values


class _Affine(Module):
    """Base of modules with one parameter, which is repeated to the shape of the input."""

    op: ClassVar[str]
    cell: ClassVar[str]
    size: tuple[int, ...]

    def __init__(self, *sizes: int | Sequence[int]) -> None:
        self.size = as_sizes(sizes)
        if not self.size or any(size < 1 for size in self.size):
            message = f"{type(self).__name__} needs sizes of at least 1, got {self.size}"
            raise ShapeError(message)
        self.add_cell(self.cell, np.empty(self.size, self.dtype))
        self.reset()

    def reset(self, stdv: float | None = None) -> None:
        """Draw the parameter evenly from ±stdv sqrt(3), or without stdv from ±1/sqrt(n), n its number of elements."""
        data = self._writable(self._cells[self.cell])
        random.draw_parameter(data, data.size, stdv)

    def lower(self, b: Builder, input: Values) -> Values:
        """The parameter in the input's shape, and one op."""
        x = b.array(input)
        if self.cell not in self._cells:
            message = f"{b.where()} has no {self.cell} any more"
            raise ShapeError(message)
        return b.op(self.op, [x, self._repeated(b, x)])

    def _repeated(self, b: Builder, x: Value) -> Value:
        cell = self._cells[self.cell]
        value = b.param(cell)
        sizes, repeats = b.choose(partial(self._fit, b.where()), x)
        if sizes != cell.data.shape:
            value = b.op("reshape", [value], ints=sizes)
        return b.op("expand", [value, x]) if repeats else value

    def _fit(self, where: str, shape: Shape) -> tuple[Shape, bool]:
        """Sizes that the parameter can be repeated from, and whether it must be."""
        n = math.prod(self.size)
        if n == math.prod(shape):
            return shape, False
        if len(self.size) == len(shape):
            if all(mine in (1, theirs) for mine, theirs in zip(self.size, shape, strict=True)):
                return self.size, True
        elif n == 1:
            return (1,) * len(shape), True
        elif math.prod(shape[1:]) == n:
            return (1, *shape[1:]), True
        message = f"{where} has a {self.cell} of shape {self.size}, which does not fit an input of shape {shape}"
        raise ShapeError(message)

    def describe(self) -> str:
        """The sizes."""
        return f"({', '.join(map(str, self.size))})"


class CMul(_Affine):
    """y = w x, element by element.

    Parameters
    ----------
    sizes
        The sizes of w, one by one or as one tuple.

    Shapes: input with as many elements as ``weight``; or with as many dims, where sizes of 1 are repeated; or a batch
    of such. ``weight`` starts evenly drawn from ±1/sqrt(n), n its number of elements.

    Examples
    --------
    >>> import numpy as np, pynngraph as nn
    >>> scale = nn.CMul(1, 3)
    >>> scale.weight = np.array([[1.0, 2.0, 3.0]])
    >>> scale.forward(np.ones((2, 3)))
    array([[1., 2., 3.],
           [1., 2., 3.]])
    """

    op = "mul"
    cell = "weight"


class CAdd(_Affine):
    """y = x + b, element by element.

    Parameters
    ----------
    sizes
        The sizes of b, one by one or as one tuple.

    Shapes: input with as many elements as ``bias``; or with as many dims, where sizes of 1 are repeated; or a batch
    of such. ``bias`` starts evenly drawn from ±1/sqrt(n), n its number of elements.

    Examples
    --------
    >>> import numpy as np, pynngraph as nn
    >>> shift = nn.CAdd(2, 1)
    >>> shift.bias = np.array([[1.0], [2.0]])
    >>> shift.forward(np.zeros((2, 3)))
    array([[1., 1., 1.],
           [2., 2., 2.]])
    """

    op = "add"
    cell = "bias"


class Mul(_Affine):
    """y = w x, w a single number.

    Shapes: input any; ``weight`` (1,), evenly drawn from ±1.

    Examples
    --------
    >>> import numpy as np, pynngraph as nn
    >>> scale = nn.Mul()
    >>> scale.weight = np.array([2.0])
    >>> scale.forward(np.ones((2, 2)))
    array([[2., 2.],
           [2., 2.]])
    """

    op = "mul"
    cell = "weight"

    def __init__(self) -> None:
        super().__init__(1)

    def describe(self) -> str:
        """Nothing."""
        return ""


class Add(_Affine):
    """y = x + b.

    Parameters
    ----------
    inputSize
        How many elements a sample has.
    scalar
        True for one number b that is added to all elements, of however many.

    Shapes: input (inputSize,) or a batch of arrays of so many elements; ``bias`` (inputSize,), or (1,), evenly drawn
    from ±1/sqrt(n), n its number of elements.

    Examples
    --------
    >>> import numpy as np, pynngraph as nn
    >>> shift = nn.Add(2)
    >>> shift.bias = np.array([1.0, 2.0])
    >>> shift.forward(np.zeros((3, 2)))
    array([[1., 2.],
           [1., 2.],
           [1., 2.]])
    """

    op = "add"
    cell = "bias"

    def __init__(self, inputSize: int, scalar: bool = False) -> None:
        self.scalar = scalar
        super().__init__(1 if scalar else inputSize)


__all__ = ["Add", "CAdd", "CMul", "Mul"]
