"""Norms and distances."""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from .. import random
from ..errors import ShapeError
from .module import CellArray, Module, positive_sizes
from .product import pair_of_rows

if TYPE_CHECKING:
    from .._engine import Shape, Value
    from .lowering import Builder, Values


def _sum(b: Builder, x: Value, dim: int, *, keep: bool = False) -> Value:
    return b.op("reduce_sum", [x], ints=[dim, int(keep)], nums=[1.0])


def _with_slope(b: Builder, value: Value, x: Value, slope: Value) -> Value:
    """`value` as it is, with the derivative `slope` by x: a zero is added, which has it."""
    zero = b.op("mul", [b.op("sub", [x, b.op("detach", [x])]), b.op("detach", [slope])])
    return b.op("add", [b.op("detach", [value]), zero])


def _to_power(b: Builder, x: Value, p: float) -> Value:
    """|x|^p."""
    if p == 2:
        return b.op("square", [x])
    if p % 2:
        x = b.op("abs", [x])
    if p == 1:
        return x
    return b.op("mul", [x, x, x]) if p == 3 else b.op("power", [x], nums=[p])


def _check_rows(where: str, shape: Shape) -> bool:
    """Whether it is a batch; an error if it is neither that nor one sample."""
    if len(shape) not in (1, 2):
        message = f"{where} expects one sample (n,) or a batch of them (rows, n), got shape {shape}"
        raise ShapeError(message)
    return len(shape) == 2


class Normalize(Module):
    """y = x / (sum_k |x_k|^p + eps)^(1/p): each row divided by its norm.

    Parameters
    ----------
    p
        Which norm; ``inf`` for the largest |x_k|, to which eps is added.
    eps
        A small number that keeps the norm from 0.

    Shapes: (n,) or (rows, n); the output has the input's.

    Examples
    --------
    >>> import numpy as np, pynngraph as nn
    >>> nn.Normalize(1).forward(np.array([[1.0, 3.0], [0.0, -2.0]]))
    array([[ 0.25,  0.75],
           [ 0.  , -1.  ]])
    """

    def __init__(self, p: float = 2, eps: float | None = 1e-10) -> None:
        if not p > 0:
            message = f"the norm of Normalize must be positive, got {p}"
            raise ShapeError(message)
        self.p = float(p)
        self.eps = 1e-10 if eps is None else float(eps)

    def lower(self, b: Builder, input: Values) -> Values:
        """A norm and a quotient."""
        x = b.array(input)
        b.choose(partial(_check_rows, b.where()), x)
        if self.p == math.inf:
            norm = b.op("reduce_max", [b.op("abs", [x])], ints=[-1, 1])
        else:
            norm = _sum(b, self._powers(b, x), -1, keep=True)
        norm = b.op("add_constant", [norm], nums=[self.eps])
        if self.p == 2:
            norm = b.op("sqrt", [norm])
        elif self.p not in (1, math.inf):
            norm = b.op("power", [norm], nums=[1 / self.p])
        return b.op("div", [x, b.op("expand", [norm, x])])

    def _powers(self, b: Builder, x: Value) -> Value:
        """|x|^p; below 2 with the derivative p x (|x| + eps)^(p - 2), as in Torch7, which is 0 at 0."""
        powers = _to_power(b, x, self.p)
        if self.p >= 2:
            return powers
        size = b.op("add_constant", [b.op("abs", [x])], nums=[self.eps])
        slope = b.op("mul", [b.op("power", [size], nums=[self.p - 2]), b.op("mul_constant", [x], nums=[self.p])])
        return _with_slope(b, powers, x, slope)

    def describe(self) -> str:
        """Which norm."""
        return f"({self.p:g})"


class Euclidean(Module):
    """y_j = |w_j - x|, the distance to each column of a matrix.

    Parameters
    ----------
    inputSize, outputSize
        Features of input and output.

    Shapes: input (inputSize,) or (rows, inputSize); output (outputSize,) or (rows, outputSize); ``weight`` (inputSize,
    outputSize), evenly drawn from ±1/sqrt(inputSize). In gradients a distance y counts as y + 1e-7, as in Torch7, so
    that they are 0 where it is 0.

    Examples
    --------
    >>> import numpy as np, pynngraph as nn
    >>> layer = nn.Euclidean(2, 2)
    >>> layer.weight = np.array([[3.0, 0.0], [4.0, 1.0]])
    >>> layer.forward(np.zeros(2))
    array([5., 1.])
    """

    def __init__(self, inputSize: int, outputSize: int) -> None:
        positive_sizes(type(self).__name__, inputSize, outputSize)
        self.add_cell("weight", np.empty((inputSize, outputSize), self.dtype))
        self.reset()

    def reset(self, stdv: float | None = None) -> None:
        """Draw evenly from ±stdv sqrt(3), or ±1/sqrt(inputSize) without stdv."""
        weight = self._writable(self._cells["weight"])
        random.draw_parameter(weight, len(weight), stdv)

    def lower(self, b: Builder, input: Values) -> Values:
        """Differences, and their lengths."""
        x = b.array(input)
        rows = b.choose(partial(self._rows, b.where()), x)
        difference = self._spread(b, "weight", rows)
        sizes = (self.weight.shape[0], 1) if rows is None else (rows, self.weight.shape[0], 1)
        column = b.op("reshape", [x], ints=sizes)
        difference = b.op("sub", [difference, b.op("expand", [column, difference])])
        difference = self._weighted(b, difference, rows)
        return b.op("root", [_sum(b, b.op("square", [difference]), -2)], nums=[1e-7])

    def _spread(self, b: Builder, name: str, rows: int | None) -> Value:
        """A parameter, once for each row."""
        value = b.param(self._cells[name])
        return value if rows is None else b.op("replicate", [value], ints=[0, rows])

    def _weighted(self, b: Builder, difference: Value, rows: int | None) -> Value:
        return difference

    def _rows(self, where: str, shape: Shape) -> int | None:
        """How many rows a batch has; None for one sample."""
        is_batch = _check_rows(where, shape)
        if shape[-1] != self.weight.shape[0]:
            message = f"{where} expects {self.weight.shape[0]} features, got shape {shape}"
            raise ShapeError(message)
        return shape[0] if is_batch else None

    def describe(self) -> str:
        """Sizes."""
        return "({} -> {})".format(*self.weight.shape)


class WeightedEuclidean(Euclidean):
    """y_j = |c_j (w_j - x)|, the distance to each column of a matrix, with a weight for each coordinate of each.

    Parameters
    ----------
    inputSize, outputSize
        Features of input and output.

    Shapes: input (inputSize,) or (rows, inputSize); output (outputSize,) or (rows, outputSize); ``weight`` and
    ``diagCov``, the c, both (inputSize, outputSize). ``weight`` starts evenly drawn from ±1/sqrt(inputSize),
    ``diagCov`` as ones. In gradients a distance y counts as y + 1e-7, as in Torch7.

    Examples
    --------
    >>> import numpy as np, pynngraph as nn
    >>> layer = nn.WeightedEuclidean(2, 1)
    >>> layer.weight = np.array([[3.0], [2.0]])
    >>> layer.diagCov = np.array([[1.0], [2.0]])
    >>> layer.forward(np.zeros(2))
    array([5.])
    """

    diagCov = CellArray("diagCov", grad=False)
    gradDiagCov = CellArray("diagCov", grad=True)

    def __init__(self, inputSize: int, outputSize: int) -> None:
        positive_sizes("WeightedEuclidean", inputSize, outputSize)
        for name in ("weight", "diagCov"):
            self.add_cell(name, np.empty((inputSize, outputSize), self.dtype))
        self.reset()

    def reset(self, stdv: float | None = None) -> None:
        """Draw the weight evenly from ±stdv sqrt(3), or ±1/sqrt(inputSize) without stdv; set diagCov to ones."""
        super().reset(stdv)
        self._writable(self._cells["diagCov"])[...] = 1

    def _weighted(self, b: Builder, difference: Value, rows: int | None) -> Value:
        return b.op("mul", [self._spread(b, "diagCov", rows), difference])


class PairwiseDistance(Module):
    """y = (sum_k |a_k - b_k|^p)^(1/p), of a list of two vectors, or for each row of two matrices.

    Parameters
    ----------
    p
        Which norm, kept as ``norm``.

    Shapes: both (n,), output (); or both (rows, n), output (rows,). In gradients a distance y counts as y + 1e-6, as in
    Torch7, unless p is 1; there, where coordinates are equal, the sign is taken for 1.

    Examples
    --------
    >>> import numpy as np, pynngraph as nn
    >>> nn.PairwiseDistance(2).forward([np.array([[3.0, 0.0]]), np.array([[0.0, 4.0]])])
    array([5.])
    """

    def __init__(self, p: float) -> None:
        if not 1 <= p < math.inf:
            message = f"the norm of PairwiseDistance must be at least 1, and finite, got {p}"
            raise ShapeError(message)
        self.norm = float(p)

    def lower(self, b: Builder, input: Values) -> Values:
        """The norm of a difference."""
        p = self.norm
        total = _sum(b, _to_power(b, b.op("sub", pair_of_rows(b, input)), p), -1)
        if p == 1:
            return total
        if p == 2:
            return b.op("root", [total], nums=[1e-6])
        y = b.op("power", [total], nums=[1 / p])
        slope = b.op("power", [b.op("add_constant", [y], nums=[1e-6])], nums=[1 - p])
        return _with_slope(b, y, total, b.op("mul_constant", [slope], nums=[1 / p]))

    def describe(self) -> str:
        """Which norm."""
        return f"({self.norm:g})"


class Cosine(Module):
    """y_j = w_j·x / (|w_j| |x|), the cosine of the angle to each row of a matrix; 1e-12 is added to lengths.

    Parameters
    ----------
    inputSize, outputSize
        Features of input and output.

    Shapes: input (inputSize,) or (rows, inputSize); output (outputSize,) or (rows, outputSize); ``weight`` (outputSize,
    inputSize), evenly drawn from ±1/sqrt(outputSize).

    Examples
    --------
    >>> import numpy as np, pynngraph as nn
    >>> layer = nn.Cosine(2, 2)
    >>> layer.weight = np.array([[1.0, 0.0], [3.0, 4.0]])
    >>> layer.forward(np.array([0.0, 2.0]))
    array([0. , 0.8])
    """

    def __init__(self, inputSize: int, outputSize: int) -> None:
        positive_sizes("Cosine", inputSize, outputSize)
        self.add_cell("weight", np.empty((outputSize, inputSize), self.dtype))
        self.reset()

    def reset(self, stdv: float | None = None) -> None:
        """Draw evenly from ±stdv, or ±1/sqrt(outputSize) without stdv."""
        weight = self._writable(self._cells["weight"])
        limit = 1 / math.sqrt(len(weight)) if stdv is None else stdv
        weight[...] = random.uniform(-limit, limit, weight.shape)

    def lower(self, b: Builder, input: Values) -> Values:
        """A product, and two lengths."""
        x = b.array(input)
        is_batch = b.choose(partial(_check_rows, b.where()), x)
        weight = b.param(self._cells["weight"])
        product = b.op("linear", [x, weight])
        n = len(self.weight)
        of_weight = b.op("reshape", [self._lengths(b, weight)], ints=[1, n] if is_batch else [n])
        lengths = [b.op("expand", [length, product]) for length in (of_weight, self._lengths(b, x))]
        return b.op("div", [product, *lengths])

    def _lengths(self, b: Builder, x: Value) -> Value:
        """The lengths of rows. In gradients, as in Torch7, they have what is added to them everywhere."""
        length = b.op("root", [_sum(b, b.op("square", [x]), -1, keep=True)], nums=[1e-12])
        return b.op("add_constant", [length], nums=[1e-12])

    def describe(self) -> str:
        """Sizes."""
        return "({1} -> {0})".format(*self.weight.shape)


__all__ = ["Cosine", "Euclidean", "Normalize", "PairwiseDistance", "WeightedEuclidean"]
