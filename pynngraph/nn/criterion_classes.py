"""Criterions of classes: one of many, many of many, or one of two."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import DataError, ShapeError
from .criterion import Criterion, Weighted, classes, fixed, less, total

if TYPE_CHECKING:
    from .._engine import Array, Shape
    from .lowering import Builder, Values
    from .module import Module


# ---- one class of many ---------------------------------------------------------------------------


class ClassNLLCriterion(Weighted):
    """Negative log-likelihood of classes: -sum_k w_t(k) x_k,t(k) / sum_k w_t(k).

    Parameters
    ----------
    weights
        A weight for each class, or None for ones.
    sizeAverage
        False for the sum, without division.
    ignoreIndex
        A target that does not count.

    Shapes: input, log-probabilities, (classes,) or (rows, classes); target one class for each row, from 0, of an
    integer dtype (or whole reals).

    Examples
    --------
    >>> import numpy as np, pynngraph as nn
    >>> x = np.log(np.array([[0.5, 0.5], [0.25, 0.75]]))
    >>> loss = nn.ClassNLLCriterion().forward(x, np.array([0, 0]))
    >>> bool(np.isclose(loss, np.log(8) / 2))
    True
    """

    def __init__(
        self,
        weights: Any = None,
        sizeAverage: bool = True,
        ignoreIndex: int = -100,
    ) -> None:
        self.sizeAverage = sizeAverage
        self.ignoreIndex = ignoreIndex
        self._set_weights(weights, "class")

    def lower_loss(self, b: Builder, input: Values, target: Values) -> Values:
        """One op."""
        inputs = [b.array(input), classes(b, target), *map(b.param, self._buffers.values())]
        return b.op("nll", inputs, ints=[int(self.sizeAverage), self.ignoreIndex])


class SpatialClassNLLCriterion(Criterion):
    """:class:`ClassNLLCriterion` of each pixel.

    Parameters
    ----------
    weights, sizeAverage, ignoreIndex
        As for :class:`ClassNLLCriterion`.

    Shapes: input, log-probabilities, (rows, classes, height, width) or (classes, height, width); target one class for
    each pixel, (rows, height, width) or (height, width).

    Examples
    --------
    >>> import numpy as np, pynngraph as nn
    >>> x = np.log(np.array([0.5, 0.25, 0.5, 0.75]).reshape(1, 2, 1, 2))
    >>> loss = nn.SpatialClassNLLCriterion().forward(x, np.array([[[0, 1]]]))
    >>> bool(np.isclose(loss, -np.log(0.5 * 0.75) / 2))
    True
    """

    def __init__(self, weights: Any = None, sizeAverage: bool = True, ignoreIndex: int = -100) -> None:
        self.nll = ClassNLLCriterion(weights, sizeAverage, ignoreIndex)

    def children(self) -> list[Module]:
        """The criterion inside."""
        return [self.nll]

    def lower_loss(self, b: Builder, input: Values, target: Values) -> Values:
        """Classes become the last dim; then there are rows of pixels."""
        x, t = b.array(input), classes(b, target)
        n_classes = b.choose(partial(_n_classes, b.where()), x, t)
        for dim in (-3, -2):
            x = b.op("transpose", [x], ints=[dim, dim + 1])
        rows = b.op("reshape", [x], ints=[-1, n_classes])
        return b.lower(self.nll, [rows, b.op("reshape", [t], ints=[-1])])


def _n_classes(where: str, shape: Shape, target: Shape) -> int:
    if len(shape) not in (3, 4) or target != shape[:-3] + shape[-2:]:
        message = (
            f"{where} expects log-probabilities (rows, classes, height, width) and targets (rows, height, width), "
            f"got shapes {shape} and {target}"
        )
        raise ShapeError(message)
    return shape[-3]


class CrossEntropyCriterion(Criterion):
    """:class:`~pynngraph.nn.LogSoftMax` and :class:`ClassNLLCriterion` in one.

    Parameters
    ----------
    weights, sizeAverage
        As for :class:`ClassNLLCriterion`.

    Shapes: input, any reals, (classes,) or (rows, classes), dims of size 1 aside; target as for
    :class:`ClassNLLCriterion`.

    Examples
    --------
    >>> import numpy as np, pynngraph as nn
    >>> loss = nn.CrossEntropyCriterion().forward(np.zeros((1, 4)), np.array([2]))
    >>> bool(np.isclose(loss, np.log(4)))
    True
    """

    def __init__(self, weights: Any = None, sizeAverage: bool = True) -> None:
        self.nll = ClassNLLCriterion(weights, sizeAverage)

    def children(self) -> list[Module]:
        """The criterion inside."""
        return [self.nll]

    def lower_loss(self, b: Builder, input: Values, target: Values) -> Values:
        """Two ops."""
        x = b.array(input)
        sizes = b.choose(_without_ones, x)
        if sizes is not None:
            x = b.op("reshape", [x], ints=sizes)
        log_probabilities = b.op("logsoftmax", [x], ints=[-1])
        return b.lower(self.nll, [log_probabilities, target])


def _without_ones(shape: Shape) -> tuple[int, ...] | None:
    """Sizes of rows and classes where dims of size 1 hide them; None where all is as it should be."""
    if len(shape) <= 2:
        return None
    sizes = tuple(size for size in shape if size != 1)
    # Rows are inferred, so that one program serves any number of them.
    return (-1, sizes[1]) if len(sizes) == 2 else sizes


class ClassSimplexCriterion(Criterion):
    """Mean squared error to the corners of a simplex, one for each class: all of length 1 and equally far apart.

    Parameters
    ----------
    nClasses
        How many there are, at least 2.

    Shapes: input (nClasses,) or (rows, nClasses); target one class for each row, from 0. ``simplex`` is the array of
    corners, one a row. ``sizeAverage``, an attribute, is False for the sum.
    Source: Mroueh et al., Multiclass learning with simplex coding, 2012.

    Examples
    --------
    >>> import numpy as np, pynngraph as nn
    >>> criterion = nn.ClassSimplexCriterion(3)
    >>> criterion.forward(criterion.simplex, np.arange(3))
    0.0
    >>> criterion.getTopPrediction(criterion.simplex)
    array([0, 1, 2])
    """

    def __init__(self, nClasses: int) -> None:
        if not hasattr(nClasses, "__index__") or nClasses < 2:
            message = f"ClassSimplexCriterion needs at least two classes, got {nClasses}"
            raise ShapeError(message)
        self.nClasses = nClasses
        self.sizeAverage = True
        self.add_cell("simplex", _simplex(nClasses), has_grad=False)

    @property
    def simplex(self) -> Array:
        """The corners, one a row."""
        return self._buffers["simplex"].data

    def lower_loss(self, b: Builder, input: Values, target: Values) -> Values:
        """The corners that are meant, and the error."""
        x = b.array(input)
        index = b.op("reshape", [classes(b, target)], ints=[-1])
        corners = b.op("gather", [b.param(self._buffers["simplex"]), index], ints=[-1])
        if b.choose(len, x) == 1:
            corners = b.op("reshape", [corners], ints=[-1])
        return b.op("mse", [x, corners], ints=[int(self.sizeAverage)])

    def getPredictions(self, input: Any) -> Any:
        """How near inputs, one or rows of them, are to the corners: sums of products, (rows, nClasses)."""
        return np.atleast_2d(input) @ self.simplex.T

    def getTopPrediction(self, input: Any) -> Any:
        """The class of the nearest corner, for each input."""
        return self.getPredictions(input).argmax(1)


def _simplex(n: int) -> Array:
    """Corners in n dims, as many, the last dim 0: each other has a number for one corner and one for all after it."""
    corners = np.zeros((n, n))
    for k in range(n - 1):
        corners[k, k] = np.sqrt(1 - (corners[k, :k] ** 2).sum())
        corners[k + 1 :, k] = (corners[k, k] ** 2 - 1 - 1 / (n - 1)) / corners[k, k]
    return corners


class MultiMarginCriterion(Weighted):
    """Hinge loss of one class of many: sum_j max(0, margin - x_t + x_j)^p w_t / n over all j but t.

    Parameters
    ----------
    p
        1 or 2.
    weights
        A weight for each class, or None for ones.
    margin
        How much larger than all others the number of the right class must be.

    Shapes: input (n,) or (rows, n), target one class for each row, from 0. ``sizeAverage``, an attribute, is False for
    the sum of rows instead of their mean. Inputs are finite.

    Examples
    --------
    >>> import numpy as np, pynngraph as nn
    >>> nn.MultiMarginCriterion().forward(np.array([0.5, 2.0, 0.0]), np.array([0]))
    1.0
    """

    def __init__(self, p: int = 1, weights: Any = None, margin: float = 1) -> None:
        if p not in (1, 2):
            message = f"p of MultiMarginCriterion must be 1 or 2, got {p}"
            raise DataError(message)
        self.p = p
        self.margin = float(margin)
        self.sizeAverage = True
        self._set_weights(weights, "class")

    def lower_loss(self, b: Builder, input: Values, target: Values) -> Values:
        """What all but the right class lack, by masks of ones and zeros; a sum."""
        x = b.array(input)
        with b.about("classes"):
            t = b.op("reshape", [classes(b, target)], ints=[-1])
            n = b.choose(partial(_check_rows, b.where()), x, t)
            right = b.op("one_hot", [t], ints=[n])
        x = b.op("reshape", [x], ints=[-1, n])
        of_right = b.op("reduce_sum", [b.op("mul", [right, x])], ints=[-1, 1], nums=[1.0])
        above = b.op("sub", [x, b.op("expand", [of_right, x])])
        lacks = b.op("mul", [b.op("relu", [b.op("add_constant", [above], nums=[self.margin])]), less(b, 1.0, right)])
        if self.p == 2:
            lacks = b.op("square", [lacks])
        for cell in self._buffers.values():
            of_rows = b.op("gather", [b.op("reshape", [b.param(cell)], ints=[-1, 1]), t], ints=[-1])
            lacks = b.op("mul", [b.op("expand", [of_rows, lacks]), lacks])
        loss = total(b, lacks, self.sizeAverage)
        return loss if self.sizeAverage else b.op("mul_constant", [loss], nums=[1 / n])


def _check_rows(where: str, shape: Shape, target: Shape) -> int:
    """The number of classes of rows of numbers, with one target each."""
    if len(shape) not in (1, 2) or shape[-1] == 0:
        message = f"{where} expects numbers for each class, (classes,) or (rows, classes), got shape {shape}"
        raise ShapeError(message)
    rows = shape[:-1] or (1,)
    if target != rows:
        message = f"{where} expects targets of shape {rows}, got {target}"
        raise ShapeError(message)
    return shape[-1]


# ---- many classes of many ------------------------------------------------------------------------


class MultiLabelMarginCriterion(Criterion):
    """Hinge loss of some classes of many: sum_jk max(0, 1 - (x_j - x_k)) / n over all right j and all wrong k.

    Shapes: input (n,) or (rows, n); target alike, of integers: the classes that are right, from 0, and -1 after the
    last one. ``sizeAverage``, an attribute, is False for the sum of rows instead of their mean. It is computed by
    NumPy.

    Examples
    --------
    >>> import numpy as np, pynngraph as nn
    >>> x, target = np.array([0.5, 2.0, 0.0]), np.array([0, 2, -1])
    >>> nn.MultiLabelMarginCriterion().forward(x, target) == (2.5 + 3) / 3
    True
    """

    def __init__(self) -> None:
        self.sizeAverage = True

    def _rows(self, input: Array, target: Any) -> list[tuple[Array, Array, Array]]:
        """Of each row the classes that are right, those that are wrong, and what each pair lacks of its margin."""
        x = np.atleast_2d(input)
        targets = _targets(self.label(), np.atleast_2d(target), x)
        found = []
        for row, t in zip(x, targets, strict=True):
            right = t[: np.append(t, -1).argmin()]
            wrong = np.delete(np.arange(len(row)), right)
            found.append((right, wrong, np.maximum(1 - (row[right][:, None] - row[wrong]), 0)))
        return found

    def _scale(self, input: Array) -> float:
        x = np.atleast_2d(input)
        return 1 / max(x.size if self.sizeAverage else x.shape[1], 1)

    def updateOutput(self, input: Any, target: Any) -> float:  # type: ignore[override]
        """The loss."""
        return self._scale(input) * sum(float(lacks.sum(dtype=float)) for _, _, lacks in self._rows(input, target))

    def updateGradInput(self, input: Any, target: Any) -> Any:
        """The gradient of the input."""
        gradient = np.zeros_like(np.atleast_2d(input))
        for row, (right, wrong, lacks) in zip(gradient, self._rows(input, target), strict=True):
            row[wrong] = (lacks > 0).sum(0)
            np.subtract.at(row, right, (lacks > 0).sum(1))
        return (self._scale(input) * gradient).reshape(input.shape)


def _targets(where: str, target: Array, x: Array) -> Array:
    """Targets as whole numbers, checked."""
    whole = target.astype(np.int64)
    if (whole != target).any():
        message = f"{where} expects targets that are whole numbers"
        raise DataError(message)
    if whole.shape != x.shape:
        message = f"{where} expects targets of shape {x.shape}, got {whole.shape}"
        raise ShapeError(message)
    if whole.size and not (whole.min() >= -1 and whole.max() < x.shape[1]):
        message = f"{where} knows {x.shape[1]} classes, got targets from {whole.min()} to {whole.max()}"
        raise DataError(message)
    return whole


class MultiLabelSoftMarginCriterion(Weighted):
    """Logistic loss of many classes: -sum_k w_k (t_k log p_k + (1 - t_k) log(1 - p_k)) / n, p_k = 1 / (1 + exp(-x_k)).

    Parameters
    ----------
    weights
        A weight for each element of a row, or None for ones.
    sizeAverage
        False for the sum, without division by the number n of elements.

    Shapes: input, any reals, and target, 0 or 1 or between, alike; ``weights`` as long as a row. Nothing overflows.

    Examples
    --------
    >>> import numpy as np, pynngraph as nn
    >>> loss = nn.MultiLabelSoftMarginCriterion().forward(np.array([0.0, -1000.0]), np.array([1.0, 0.0]))
    >>> bool(np.isclose(loss, np.log(2) / 2))
    True
    """

    def __init__(self, weights: Any = None, sizeAverage: bool = True) -> None:
        self.sizeAverage = sizeAverage
        self._set_weights(weights, "element of a row")

    def lower_loss(self, b: Builder, input: Values, target: Values) -> Values:
        """The logarithms of both probabilities by the target, summed."""
        x, t = b.array(input), fixed(b, target)
        right = b.op("mul", [t, b.op("logsigmoid", [x])])
        wrong = b.op("mul", [less(b, 1.0, t), b.op("logsigmoid", [b.op("mul_constant", [x], nums=[-1.0])])])
        terms = b.op("mul", [b.op("add", [right, wrong]), *self._of_elements(b, x)])
        return b.op("mul_constant", [total(b, terms, self.sizeAverage)], nums=[-1.0])


# ---- one class of two ----------------------------------------------------------------------------


class BCECriterion(Weighted):
    """Binary cross-entropy: -sum_k w_k (t_k log x_k + (1 - t_k) log(1 - x_k)) / n.

    Parameters
    ----------
    weights
        A weight for each element of a row, or None for ones.
    sizeAverage
        False for the sum, without division by the number n of elements.

    Shapes: input, probabilities, and target, 0 or 1 or between, alike; ``weights`` as long as a row. What logarithms
    are taken of is 1e-12 more, as in Torch7.

    Examples
    --------
    >>> import numpy as np, pynngraph as nn
    >>> loss = nn.BCECriterion().forward(np.array([0.5, 0.25]), np.array([1.0, 0.0]))
    >>> bool(np.isclose(loss, -(np.log(0.5) + np.log(0.75)) / 2))
    True
    """

    def __init__(self, weights: Any = None, sizeAverage: bool = True) -> None:
        self.sizeAverage = sizeAverage
        self._set_weights(weights, "element of a row")

    def lower_loss(self, b: Builder, input: Values, target: Values) -> Values:
        """One op."""
        x = b.array(input)
        inputs = [x, b.array(target), *self._of_elements(b, x)]
        return b.op("bce", inputs, ints=[int(self.sizeAverage)])


class MarginCriterion(Criterion):
    """Hinge loss of two classes: sum_k max(0, margin - t_k x_k) / n.

    Parameters
    ----------
    margin
        How far on the right side of 0 an input must be to cost nothing.

    Shapes: input and target alike; targets are 1 or -1. ``sizeAverage``, an attribute, is False for the sum, without
    division by the number n of elements.

    Examples
    --------
    >>> import numpy as np, pynngraph as nn
    >>> nn.MarginCriterion().forward(np.array([0.5, 3.0]), np.array([-1.0, 1.0]))
    0.75
    """

    def __init__(self, margin: float = 1) -> None:
        self.margin = float(margin)
        self.sizeAverage = True

    def lower_loss(self, b: Builder, input: Values, target: Values) -> Values:
        """A product, what it lacks, a sum."""
        product = b.op("mul", [b.array(input), fixed(b, target)])
        return total(b, b.op("relu", [less(b, self.margin, product)]), self.sizeAverage)


class SoftMarginCriterion(Criterion):
    """Logistic loss of two classes: sum_k log(1 + exp(-t_k x_k)) / n.

    Shapes: input and target alike; targets are 1 or -1. ``sizeAverage``, an attribute, is False for the sum, without
    division by the number n of elements. Nothing overflows.

    Examples
    --------
    >>> import numpy as np, pynngraph as nn
    >>> loss = nn.SoftMarginCriterion().forward(np.array([0.0, -1000.0]), np.array([1.0, -1.0]))
    >>> bool(np.isclose(loss, np.log(2) / 2))
    True
    """

    def __init__(self) -> None:
        self.sizeAverage = True

    def lower_loss(self, b: Builder, input: Values, target: Values) -> Values:
        """The logarithm of the sigmoid of a product, summed."""
        product = b.op("mul", [b.array(input), fixed(b, target)])
        return total(b, b.op("mul_constant", [b.op("logsigmoid", [product])], nums=[-1.0]), self.sizeAverage)


__all__ = [
    "BCECriterion",
    "ClassNLLCriterion",
    "ClassSimplexCriterion",
    "CrossEntropyCriterion",
    "MarginCriterion",
    "MultiLabelMarginCriterion",
    "MultiLabelSoftMarginCriterion",
    "MultiMarginCriterion",
    "SoftMarginCriterion",
    "SpatialClassNLLCriterion",
]
