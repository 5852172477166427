"""Products of matrices and vectors that are all inputs."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from ..errors import ShapeError
from .module import Module

if TYPE_CHECKING:
    from .._engine import Shape, Value
    from .lowering import Builder, Values


class MM(Module):
    """Y = A B, of a list of two matrices, or of two batches of as many matrices.

    Parameters
    ----------
    transA, transB
        True to multiply with the transpose of A, of B.

    Shapes: A (n, k) or (batch, n, k), transposed (k, n); B (k, m) or (batch, k, m), transposed (m, k); output (n, m) or
    (batch, n, m).

    Examples
    --------
    >>> import numpy as np, pynngraph as nn
    >>> a, b = np.array([[1.0, 2.0]]), np.array([[3.0, 4.0]])
    >>> nn.MM(False, True).forward([a, b])
    array([[11.]])
    >>> nn.MM().forward([np.zeros((5, 2, 3)), np.zeros((5, 3, 4))]).shape
    (5, 2, 4)
    """

    def __init__(self, transA: bool = False, transB: bool = False) -> None:
        self.transA = transA
        self.transB = transB

    def lower(self, b: Builder, input: Values) -> Values:
        """One op."""
        return b.op("matmul", b.arrays(input, 2, 2), ints=[int(bool(self.transA)), int(bool(self.transB))])

    def describe(self) -> str:
        """Which are transposed."""
        names = [name for name in ("transA", "transB") if getattr(self, name)]
        return f"({', '.join(names)})" if names else ""


class MV(Module):
    """y = M v, of a list of a matrix and a vector, or of a batch of matrices and one of as many vectors.

    Parameters
    ----------
    trans
        True to multiply with the transpose of M.

    Shapes: M (n, m) or (batch, n, m), transposed (m, n); v (m,) or (batch, m); output (n,) or (batch, n).

    Examples
    --------
    >>> import numpy as np, pynngraph as nn
    >>> nn.MV().forward([np.array([[1.0, 2.0], [3.0, 4.0]]), np.ones(2)])
    array([3., 7.])
    >>> nn.MV(True).forward([np.array([[1.0, 2.0], [3.0, 4.0]]), np.ones(2)])
    array([4., 6.])
    """

    def __init__(self, trans: bool = False) -> None:
        self.trans = trans

    def lower(self, b: Builder, input: Values) -> Values:
        """The product of a row with the matrix, which is the column's with the transpose."""
        matrix, vector = b.arrays(input, 2, 2)
        b.choose(partial(self._check, b.where()), matrix, vector)
        row = b.op("replicate", [vector], ints=[-2, 1])
        product = b.op("matmul", [row, matrix], ints=[0, int(not self.trans)])
        return b.op("select", [product], ints=[-2, 0])

    def _check(self, where: str, matrix: Shape, vector: Shape) -> None:
        n = len(matrix)
        if n in (2, 3) and len(vector) == n - 1:
            inner = matrix[-2] if self.trans else matrix[-1]
            if inner == vector[-1] and matrix[: n - 2] == vector[: n - 2]:
                return
        transposed = " (transposed)" if self.trans else ""
        message = f"{where} cannot multiply matrices of shape {matrix}{transposed} with vectors of shape {vector}"
        raise ShapeError(message)

    def describe(self) -> str:
        """Whether the matrix is transposed."""
        return "(trans)" if self.trans else ""


class DotProduct(Module):
    """y = sum_k a_k b_k, of a list of two vectors, or for each row of two matrices.

    Shapes: both (n,), output (); or both (rows, n), output (rows,).

    Examples
    --------
    >>> import numpy as np, pynngraph as nn
    >>> nn.DotProduct().forward([np.array([[1.0, 2.0]]), np.array([[3.0, 4.0]])])
    array([11.])
    """

    def lower(self, b: Builder, input: Values) -> Values:
        """A product and a sum."""
        return _dot(b, *pair_of_rows(b, input))


class CosineDistance(Module):
    """y = a·b / sqrt((a·a + e) (b·b + e)), e = 1e-12, of a list of two vectors, or for each row of two matrices.

    Shapes: both (n,), output (); or both (rows, n), output (rows,).

    Examples
    --------
    >>> import numpy as np, pynngraph as nn
    >>> nn.CosineDistance().forward([np.array([[1.0, 0.0], [2.0, 0.0]]), np.array([[0.0, 1.0], [1.0, 0.0]])])
    array([0., 1.])
    """

    def lower(self, b: Builder, input: Values) -> Values:
        """Three sums of products."""
        return cosine(b, input)


def pair_of_rows(b: Builder, input: Values) -> list[Value]:
    """The input, which must be two vectors or two matrices."""
    pair = b.arrays(input, 2, 2)
    b.choose(partial(_check_rows, b.where()), pair[0])
    return pair


def _check_rows(where: str, shape: Shape) -> None:
    if len(shape) not in (1, 2):
        message = f"{where} expects vectors (n,) or rows of them (rows, n), got shape {shape}"
        raise ShapeError(message)


def _dot(b: Builder, first: Value, second: Value) -> Value:
    return b.op("reduce_sum", [b.op("mul", [first, second])], ints=[-1, 0], nums=[1.0])


def cosine(b: Builder, input: Values) -> Value:
    """The cosine of two vectors, or of each pair of rows."""
    pair = pair_of_rows(b, input)
    dot = _dot(b, *pair)
    squares = [b.op("add_constant", [_dot(b, x, x)], nums=[1e-12]) for x in pair]
    return b.op("div", [dot, b.op("sqrt", [b.op("mul", squares)])])


__all__ = ["MM", "MV", "CosineDistance", "DotProduct"]
