"""Criterions of pairs: what belongs together shall be near, what does not, far apart."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .criterion import OfInput, OfSigns, by_target, fixed, less, total
from .product import cosine

if TYPE_CHECKING:
    from .._engine import Value
    from .lowering import Builder, Values


class HingeEmbeddingCriterion(OfSigns):
    """Loss of distances: the mean of x_k where t_k is 1, of max(0, margin - x_k) where it is -1.

    Parameters
    ----------
    margin
        How far apart a pair must be to cost nothing.

    Shapes: input and target alike; targets are 1 or -1. ``sizeAverage``, an attribute, is False for the sum.

    Examples
    --------
    >>> import numpy as np, pynngraph as nn
    >>> nn.HingeEmbeddingCriterion(2).forward(np.array([0.5, 1.5, 5.0]), np.array([1.0, -1.0, -1.0]))
    0.3333333333333333
    """

    def __init__(self, margin: float = 1) -> None:
        self.margin = float(margin)
        self.sizeAverage = True

    def lower_loss(self, b: Builder, input: Values, target: Values) -> Values:
        """The distance, or what it lacks."""
        x, t = b.array(input), fixed(b, target)
        apart = lacking(b, less(b, self.margin, x))
        return total(b, by_target(b, t, x, apart), self.sizeAverage)


class CosineEmbeddingCriterion(OfSigns):
    """Loss of pairs of vectors: the mean of 1 - cos_k where t_k is 1, of max(0, cos_k - margin) where it is -1.

    Parameters
    ----------
    margin
        How large the cosine of a pair that belongs apart may be to cost nothing.

    Shapes: input a list of two arrays (n,) or (rows, n); target 1 or -1 for each pair, or a number for a single one.
    ``sizeAverage``, an attribute, is False for the sum.

    Examples
    --------
    >>> import numpy as np, pynngraph as nn
    >>> x = np.array([[1.0, 0.0], [0.0, 2.0]])
    >>> loss = nn.CosineEmbeddingCriterion(0.5).forward([x, x], np.array([1.0, -1.0]))
    >>> bool(np.isclose(loss, (0 + 0.5) / 2))
    True
    """

    def __init__(self, margin: float = 0) -> None:
        self.margin = float(margin)
        self.sizeAverage = True

    def lower_loss(self, b: Builder, input: Values, target: Values) -> Values:
        """What the cosine lacks of 1, or has above the margin."""
        cosines = b.op("reshape", [cosine(b, input)], ints=[-1])
        t = b.op("reshape", [fixed(b, target)], ints=[-1])
        above = b.op("relu", [b.op("add_constant", [cosines], nums=[-self.margin])])
        return total(b, by_target(b, t, less(b, 1.0, cosines), above), self.sizeAverage)


class L1HingeEmbeddingCriterion(OfSigns):
    """Loss of a pair by the distance d = sum_i |x_i - y_i|: d if the target is 1, max(0, margin - d) if it is -1.

    Parameters
    ----------
    margin
        How far apart a pair must be to cost nothing.

    Shapes: input a list of two arrays alike; target one number. Where elements are equal, the gradient is that of a
    larger first one (Torch7 draws its sign).

    Examples
    --------
    >>> import numpy as np, pynngraph as nn
    >>> nn.L1HingeEmbeddingCriterion(5).forward([np.array([1.0, 2.0]), np.array([2.0, 0.0])], np.array([-1.0]))
    2.0
    """

    def __init__(self, margin: float = 1) -> None:
        self.margin = float(margin)

    def lower_loss(self, b: Builder, input: Values, target: Values) -> Values:
        """The distance, or what it lacks."""
        distance = total(b, b.op("abs", [b.op("sub", b.arrays(input, 2, 2))]), average=False)
        t = b.op("reshape", [fixed(b, target)], ints=[-1])
        return by_target(b, t, distance, lacking(b, less(b, self.margin, distance)))


class MarginRankingCriterion(OfSigns):
    """Loss of an order: the mean of max(0, margin - t_k (x_k - y_k)), where t_k is 1 if x_k shall be larger, else -1.

    Parameters
    ----------
    margin
        How far apart a pair must be to cost nothing.

    Shapes: input a list of two arrays alike; target alike, or one number for all. ``sizeAverage``, an attribute, is
    False for the sum; the mean is over the first dim.

    Examples
    --------
    >>> import numpy as np, pynngraph as nn
    >>> pair = [np.array([1.0, 2.0]), np.array([3.0, 0.0])]
    >>> nn.MarginRankingCriterion(1).forward(pair, np.array([1.0, 1.0]))
    1.5
    """

    def __init__(self, margin: float = 1) -> None:
        self.margin = float(margin)
        self.sizeAverage = True

    def lower_loss(self, b: Builder, input: Values, target: Values) -> Values:
        """A difference in the order wanted, what it lacks, a sum."""
        difference, t = b.op("sub", b.arrays(input, 2, 2)), fixed(b, target)
        ones = b.choose(lambda shape, of: None if shape == of else (1,) * len(of), t, difference)
        if ones is not None:
            t = b.op("expand", [b.op("reshape", [t], ints=ones), difference])
        lacks = lacking(b, less(b, self.margin, b.op("mul", [t, difference])))
        return sum_over_first(b, lacks, self.sizeAverage)


class DistanceRatioCriterion(OfInput):
    """Loss of triples by distances, X of what is similar, Y of what is not: the mean of X_k + log(e^-X_k + e^-Y_k).

    Parameters
    ----------
    sizeAverage
        False for the sum; the mean is over the first dim.

    Shapes: input a list of two arrays alike. There is no target: ``forward([x, y])``, and as a graph node
    ``nn.DistanceRatioCriterion()([x, y])``. Source: Hoffer and Ailon, Deep metric learning using triplet network, 2015.

    Examples
    --------
    >>> import numpy as np, pynngraph as nn
    >>> loss = nn.DistanceRatioCriterion().forward([np.zeros(2), np.zeros(2)])
    >>> bool(np.isclose(loss, np.log(2)))
    True
    """

    def __init__(self, sizeAverage: bool = True) -> None:
        self.sizeAverage = sizeAverage

    def lower(self, b: Builder, input: Values) -> Values:
        """The logarithm of a sigmoid, which is the same and does not overflow."""
        entries = b.table(input, 2)
        x, y = b.arrays(entries[0] if isinstance(entries[0], (list, tuple)) else input, 2, 2)
        loss = b.op("mul_constant", [b.op("logsigmoid", [b.op("sub", [y, x])])], nums=[-1.0])
        return sum_over_first(b, loss, self.sizeAverage)


def lacking(b: Builder, x: Value) -> Value:
    """max(x, 0), with a gradient of 1 at 0: a pair just as far apart as the margin has one."""
    still = b.op("detach", [x])
    return b.op("max", [x, b.op("sub", [still, still])])


def sum_over_first(b: Builder, x: Value, average: bool) -> Value:
    """The sum of all elements, divided by the size of the first dim if it is a mean."""
    rows = b.choose(lambda shape: shape[0] if shape else 1, x) if average else 1
    return b.op("mul_constant", [total(b, x, average=False)], nums=[1 / (rows or 1)])


__all__ = [
    "CosineEmbeddingCriterion",
    "DistanceRatioCriterion",
    "HingeEmbeddingCriterion",
    "L1HingeEmbeddingCriterion",
    "MarginRankingCriterion",
]
