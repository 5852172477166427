"""Clusters."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import random
from ..errors import DataError, ShapeError
from .module import Module, positive_sizes

if TYPE_CHECKING:
    from .._engine import Array


class Kmeans(Module):
    """The number of the nearest of k centres, for each row; training moves centres to the middle of their rows.

    Parameters
    ----------
    k, dim
        How many centres, and their features.
    scale
        What ``gradWeight`` is multiplied by, in place of backward's argument; None for that.

    Shapes: input (rows, dim); output (rows,), whole reals from 0; ``weight``, the centres, (k, dim), evenly drawn from
    ±1/sqrt(dim). ``loss`` is the sum of distances of the last forward. A backward adds to ``gradWeight``, for each
    centre, what it lacks of the mean of the rows that are nearest to it, with the sign changed, so that
    ``updateParameters(1)`` makes it that mean; the gradient of the input is zero. It is done in Python.

    Examples
    --------
    >>> import numpy as np, pynngraph as nn
    >>> clusters = nn.Kmeans(2, 1)
    >>> clusters.weight = np.array([[0.0], [10.0]])
    >>> x = np.array([[1.0], [2.0], [12.0]])
    >>> clusters.forward(x)
    array([0., 0., 1.])
    >>> gradient = clusters.backward(x, np.zeros(3))
    >>> clusters.updateParameters(1)
    >>> clusters.weight
    array([[ 1.5],
           [12. ]])
    """

    loss = 0.0

    def __init__(self, k: int, dim: int, scale: float | None = None) -> None:
        positive_sizes("Kmeans", k, dim)
        self.k = k
        self.dim = dim
        self.scale = scale
        self.add_cell("weight", np.empty((k, dim), self.dtype))
        self.reset()

    def reset(self, stdv: float | None = None) -> None:
        """Draw centres evenly from ±stdv, or ±1/sqrt(dim) without stdv."""
        weight = self._writable(self._cells["weight"])
        limit = 1 / math.sqrt(self.dim) if stdv is None else stdv
        weight[...] = random.uniform(-limit, limit, weight.shape)

    def initRandom(self, input: Any) -> None:
        """Let centres be rows of an input, drawn by chance."""
        rows = self._rows(input)
        if len(rows) == 0:
            message = f"{self.label()} cannot begin with rows of an input that has none"
            raise DataError(message)
        drawn = random.uniform(0, len(rows), (self.k,)).astype(np.int64)
        self.weight = rows[np.minimum(drawn, len(rows) - 1)]

    def initKmeansPlus(self, input: Any, p: float = 0.95) -> None:
        """Let centres be rows of an input that are far from each other, drawn by chance.

        Each further one is drawn evenly from the share 1 - p of rows that are farthest from the centres so far. Source:
        after Arthur, Vassilvitskii, k-means++, SODA 2007.
        """
        if not 0 <= p <= 1:
            message = f"the share of near rows must be in [0, 1], got {p}"
            raise DataError(message)
        rows = self._rows(input)
        self.initRandom(rows)
        weight = self._writable(self._cells["weight"])
        nearest = np.full(len(rows), np.inf)
        for k in range(1, self.k):
            nearest = np.minimum(nearest, ((rows - weight[k - 1]) ** 2).sum(1))
            far = np.argsort(nearest, kind="stable")[min(int(p * len(rows)), len(rows) - 1) :]
            drawn = int(random.uniform(0, len(far), ()))
            weight[k] = rows[far[min(drawn, len(far) - 1)]]

    def updateOutput(self, input: Any) -> Any:
        """Which centre is the nearest."""
        rows = self._rows(input)
        distances = np.sqrt(((rows[:, None] - self.weight) ** 2).sum(2))
        nearest = distances.argmin(1)
        self.__dict__["loss"] = float(distances[np.arange(len(rows)), nearest].sum())
        return nearest.astype(rows.dtype)

    def updateGradInput(self, input: Any, gradOutput: Any) -> Any:
        """Zeros."""
        return np.zeros_like(input)

    def accGradParameters(self, input: Any, gradOutput: Any, scale: float = 1.0) -> None:
        """Add what moves centres."""
        rows = self._rows(input)
        nearest = ((rows[:, None] - self.weight) ** 2).sum(2).argmin(1)
        counts = np.bincount(nearest, minlength=self.k)
        total = np.zeros_like(self.weight)
        np.add.at(total, nearest, self.weight[nearest] - rows)
        factor = scale if self.scale is None else self.scale
        self.gradWeight += factor * total / np.maximum(counts, 1)[:, None]

    def _rows(self, input: Any) -> Array:
        rows: Array = np.asarray(input)
        if rows.ndim != 2 or rows.shape[1] != self.dim:
            message = f"{self.label()} expects (rows, {self.dim}), got shape {rows.shape}"
            raise ShapeError(message)
        return rows

    def describe(self) -> str:
        """Centres and features."""
        return f"({self.k} x {self.dim})"


__all__ = ["Kmeans"]
