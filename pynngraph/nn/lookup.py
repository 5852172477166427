"""Tables that are looked up by index."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from .. import random
from ..errors import ShapeError
from .module import Module

if TYPE_CHECKING:
    from .lowering import Builder, Values


class LookupTable(Module):
    """Rows of a table by index: y_k = w_x(k).

    Parameters
    ----------
    nIndex, nOutput
        Rows of the table, and the size of a row.
    paddingValue
        Which row gets no gradient: as in Torch7, 0 is none, and k the row of index k - 1.
    maxNorm
        The largest norm of a row. Rows that are looked up and have more are scaled down at each forward, in ``weight``.
    normType
        Which norm: p, for the p-th root of a sum of p-th powers. 2 if left out.

    Shapes: input, indices from 0 of an integer dtype (or whole reals), of any shape; output that shape and
    (nOutput,); ``weight`` (nIndex, nOutput), normally distributed. An index that is none of the table's is a
    DataError.

    Examples
    --------
    >>> import numpy as np, pynngraph as nn
    >>> words = nn.LookupTable(3, 2)
    >>> words.weight = np.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])
    >>> words.forward(np.array([2, 0]))
    array([[5., 6.],
           [1., 2.]])
    >>> words.forward(np.array([[0, 1, 1]])).shape
    (1, 3, 2)
    """

    def __init__(
        self,
        nIndex: int,
        nOutput: int,
        paddingValue: int = 0,
        maxNorm: float | None = None,
        normType: float | None = None,
    ) -> None:
        if nIndex < 1 or nOutput < 1:
            message = f"LookupTable needs sizes of at least 1, got {nIndex} and {nOutput}"
            raise ShapeError(message)
        self.setPadding(paddingValue)
        self.setMaxNorm(maxNorm)
        self.setNormType(normType)
        self.add_cell("weight", np.empty((nIndex, nOutput), self.dtype))
        self.reset()

    def reset(self, stdv: float | None = None) -> None:
        """Draw the table from a normal distribution with standard deviation `stdv`, or 1."""
        weight = self._writable(self._cells["weight"])
        weight[...] = random.normal(0, 1 if stdv is None else stdv, weight.shape)

    def setPadding(self, paddingValue: int) -> None:
        """Set which row gets no gradient; 0 for none."""
        self.paddingValue = paddingValue

    def setMaxNorm(self, maxNorm: float | None) -> None:
        """Set the largest norm of a row, or None."""
        self.maxNorm = maxNorm

    def setNormType(self, normType: float | None) -> None:
        """Set which norm is meant, 2 if None."""
        if normType is not None and normType <= 0:
            message = f"the norm of LookupTable must be positive, got {normType}"
            raise ShapeError(message)
        self.normType = normType

    def lower(self, b: Builder, input: Values) -> Values:
        """One op; before it, if norms are limited, a step in Python."""
        if "weight" not in self._cells:
            message = f"{b.where()} has no weight any more"
            raise ShapeError(message)
        index = b.array(input)
        if not b.is_index(index):
            index = b.op("to_index", [index])
        if self.maxNorm is not None:
            b.watch(index, self._renorm)
        return b.op("gather", [b.param(self._cells["weight"]), index], ints=[self.paddingValue - 1])

    def _renorm(self, index: Any) -> None:
        """Scale down the rows that are looked up and have too large a norm."""
        weight, p, largest = self._cells["weight"].data, self.normType or 2, self.maxNorm
        rows = np.unique(index)
        if largest is None or rows.size == 0 or rows[0] < 0 or rows[-1] >= len(weight):
            return  # an index that is none fails the lookup, and a call that fails changes nothing
        norms = (np.abs(weight[rows]) ** p).sum(1) ** (1 / p)
        large = norms > largest
        if large.any():
            self._writable(self._cells["weight"])[rows[large]] *= (largest / (norms[large] + 1e-7))[:, None]

    def describe(self) -> str:
        """Sizes."""
        cell = self._cells.get("weight")
        return "" if cell is None else f"({cell.data.shape[0]} x {cell.data.shape[1]})"


__all__ = ["LookupTable"]
