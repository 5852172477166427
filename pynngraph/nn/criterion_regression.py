"""Criterions of numbers: how far they are from others, or from nothing."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import ShapeError
from .criterion import Criterion, OfInput, fixed, total
from .module import Module

if TYPE_CHECKING:
    from .._engine import Shape, Value
    from .lowering import Builder, Values

LEAST_LOG = -1e30  # what log-probabilities below count as, so that 0 times them is 0


class MSECriterion(Criterion):
    """Mean squared error: sum_i (x_i - t_i)^2 / n.

    Parameters
    ----------
    sizeAverage
        False for the sum, without division by the number n of elements.

    Shapes: input and target alike. The sum is a tree: however many elements there are, its relative error is below 2e-6
    in float32, and below 2e-14 in float64.

    Examples
    --------
    >>> import numpy as np, pynngraph as nn
    >>> nn.MSECriterion().forward(np.array([1.0, 3.0]), np.zeros(2))
    5.0
    """

    def __init__(self, sizeAverage: bool = True) -> None:
        self.sizeAverage = sizeAverage

    def lower_loss(self, b: Builder, input: Values, target: Values) -> Values:
        """One op."""
        return b.op("mse", [b.array(input), b.array(target)], ints=[int(self.sizeAverage)])


class AbsCriterion(Criterion):
    """Mean absolute error: sum_i |x_i - t_i| / n.

    Parameters
    ----------
    sizeAverage
        False for the sum, without division by the number n of elements.

    Shapes: input and target alike. Where they are equal, the gradient is that of a larger input, as in Torch7.

    Examples
    --------
    >>> import numpy as np, pynngraph as nn
    >>> nn.AbsCriterion().forward(np.array([1.0, -3.0]), np.zeros(2))
    2.0
    """

    def __init__(self, sizeAverage: bool = True) -> None:
        self.sizeAverage = sizeAverage

    def lower_loss(self, b: Builder, input: Values, target: Values) -> Values:
        """A difference, its size, a sum."""
        difference = b.op("sub", [b.array(input), fixed(b, target)])
        return total(b, b.op("abs", [difference]), self.sizeAverage)


class SmoothL1Criterion(Criterion):
    """A square near 0, a line further on: sum_i (d_i < 1 ? d_i^2 / 2 : d_i - 1/2) / n, d_i = |x_i - t_i|.

    Parameters
    ----------
    sizeAverage
        False for the sum, without division by the number n of elements.

    Shapes: input and target alike. Source: Girshick, Fast R-CNN, 2015.

    Examples
    --------
    >>> import numpy as np, pynngraph as nn
    >>> nn.SmoothL1Criterion().forward(np.array([0.5, -2.5]), np.zeros(2))
    1.0625
    """

    def __init__(self, sizeAverage: bool = True) -> None:
        self.sizeAverage = sizeAverage

    def lower_loss(self, b: Builder, input: Values, target: Values) -> Values:
        """One op."""
        return b.op("smooth_l1", [b.array(input), b.array(target)], ints=[int(self.sizeAverage)])


class WeightedMSECriterion(Criterion):
    """Mean squared error to a weighted target: sum_i (x_i - w_i t_i)^2 / n. The input is not weighted, as in Torch7.

    Parameters
    ----------
    w
        The weights: in the shape of the input, or of one sample of a batch.

    Shapes: input and target alike. ``weight`` is the array of weights; ``sizeAverage``, an attribute, is False for the
    sum.

    Examples
    --------
    >>> import numpy as np, pynngraph as nn
    >>> nn.WeightedMSECriterion(np.array([1.0, 0.5])).forward(np.array([[1.0, 3.0]]), np.array([[1.0, 2.0]]))
    2.0
    """

    def __init__(self, w: Any) -> None:
        self.sizeAverage = True
        self.add_cell("weight", w, has_grad=False)

    @property
    def weight(self) -> Any:
        """The weights."""
        return self._buffers["weight"].data

    @weight.setter
    def weight(self, value: Any) -> None:
        self.weight[...] = value

    def lower_loss(self, b: Builder, input: Values, target: Values) -> Values:
        """A product, and the error."""
        t, weight = b.array(target), b.param(self._buffers["weight"])
        weight = b.op("reshape", [weight], ints=b.choose(partial(self._row, b.where()), t))
        weighted = b.op("mul", [t, b.op("expand", [weight, t])])
        return b.op("mse", [b.array(input), weighted], ints=[int(self.sizeAverage)])

    def _row(self, where: str, shape: Shape) -> Shape:
        sizes: Shape = self.weight.shape
        if shape not in (sizes, (*shape[:1], *sizes)):
            message = f"{where} has weights of shape {sizes} for a target of shape {shape}"
            raise ShapeError(message)
        return sizes if len(shape) == len(sizes) else (1, *sizes)


class SpatialAutoCropMSECriterion(Criterion):
    """Mean squared error to the middle of a target that is at least as high and wide as the input.

    Parameters
    ----------
    sizeAverage
        False for the sum, without division by the number of the input's elements.

    Shapes: (planes, height, width) or (rows, planes, height, width). Of an odd rest of the target, the larger half is
    behind.

    Examples
    --------
    >>> import numpy as np, pynngraph as nn
    >>> target = np.pad(np.ones((1, 2, 2)), ((0, 0), (1, 1), (0, 1)))
    >>> nn.SpatialAutoCropMSECriterion().forward(np.zeros((1, 2, 2)), target)
    1.0
    """

    def __init__(self, sizeAverage: bool = True) -> None:
        self.sizeAverage = sizeAverage

    def lower_loss(self, b: Builder, input: Values, target: Values) -> Values:
        """Two ranges, and the error."""
        x, t = b.array(input), b.array(target)
        for dim, offset, size in b.choose(partial(_middle, b.where()), x, t):
            t = b.op("narrow", [t], ints=[dim, offset, size])
        return b.op("mse", [x, t], ints=[int(self.sizeAverage)])


def _middle(where: str, shape: Shape, target: Shape) -> tuple[tuple[int, int, int], ...]:
    """The dim, offset and length of the ranges of a target."""
    if len(shape) not in (3, 4) or len(target) != len(shape) or any(t < x for x, t in zip(shape, target, strict=True)):
        message = f"{where} expects images, and targets that are no smaller, got shapes {shape} and {target}"
        raise ShapeError(message)
    return tuple((dim, (target[dim] - shape[dim]) // 2, shape[dim]) for dim in (-2, -1))


class DistKLDivCriterion(Criterion):
    """Kullback-Leibler divergence of a target from an input: sum_i t_i (log t_i - x_i) / n, 0 where t_i is not above 0.

    Parameters
    ----------
    sizeAverage
        False for the sum, without division by the number n of elements (of all of them, as in Torch7).

    Shapes: input, log-probabilities, and target, probabilities, alike. Log-probabilities below -1e30 count as that.

    Examples
    --------
    >>> import numpy as np, pynngraph as nn
    >>> x, target = np.log(np.array([0.5, 0.5])), np.array([1.0, 0.0])
    >>> bool(np.isclose(nn.DistKLDivCriterion(False).forward(x, target), np.log(2)))
    True
    """

    def __init__(self, sizeAverage: bool = True) -> None:
        self.sizeAverage = sizeAverage

    def lower_loss(self, b: Builder, input: Values, target: Values) -> Values:
        """The logarithm of the target, 0 where it is 0, less the input, times the target."""
        t = fixed(b, target)
        share = b.op("relu", [t])
        log = b.op("log", [b.op("threshold", [t], nums=[0.0, 1.0])])
        x = b.op("hardtanh", [b.array(input)], nums=[LEAST_LOG, -LEAST_LOG])
        return total(b, b.op("mul", [share, b.op("sub", [log, x])]), self.sizeAverage)


class L1Cost(OfInput):
    """The sum of absolute values, sum_i |x_i|; the gradient at 0 is 0.

    Shapes: any. There is no target: ``forward(input)``, and as a graph node ``nn.L1Cost()(node)``.

    Examples
    --------
    >>> import numpy as np, pynngraph as nn
    >>> cost = nn.L1Cost()
    >>> cost.forward(np.array([1.0, -2.0, 0.0]))
    3.0
    >>> cost.backward(np.array([1.0, -2.0, 0.0]))
    array([ 1., -1.,  0.])
    """

    def lower(self, b: Builder, input: Values) -> Values:
        """The sum of what is above 0 and of what is below."""
        x: Value = b.array(b.table(input, 2)[0] if isinstance(input, (list, tuple)) else input)
        below = b.op("mul_constant", [x], nums=[-1.0])
        return total(b, b.op("add", [b.op("relu", [x]), b.op("relu", [below])]), average=False)


class L1Penalty(Module):
    """The input itself; in the backward, the gradient of a penalty on it is added: m sign(x), 0 at 0.

    Parameters
    ----------
    l1weight
        The weight m of the penalty m sum_i |x_i|, which is kept in ``loss``.
    sizeAverage
        True to divide the weight by the number of elements.
    provideOutput
        False for the gradient of the penalty alone, whatever gradOutput is.

    Shapes: any.

    Examples
    --------
    >>> import numpy as np, pynngraph as nn
    >>> penalty, x = nn.L1Penalty(0.5), np.array([1.0, -2.0, 0.0])
    >>> penalty.forward(x)
    array([ 1., -2.,  0.])
    >>> penalty.loss
    1.5
    >>> penalty.backward(x, np.ones(3))
    array([1.5, 0.5, 1. ])
    """

    def __init__(self, l1weight: float, sizeAverage: bool = False, provideOutput: bool = True) -> None:
        self.l1weight = float(l1weight)
        self.sizeAverage = sizeAverage
        self.provideOutput = provideOutput
        self._loss: float | None = None

    @property
    def loss(self) -> float | None:
        """The penalty of the last input, or None."""
        return self._loss

    def _weight(self, input: Any) -> float:
        return self.l1weight / max(input.size, 1) if self.sizeAverage else self.l1weight

    def updateOutput(self, input: Any) -> Any:
        """The input."""
        self._loss = self._weight(input) * float(np.abs(input).sum())
        return input

    def updateGradInput(self, input: Any, gradOutput: Any) -> Any:
        """The gradient of the penalty, and of what comes after."""
        gradient = self._weight(input) * np.sign(input)
        return gradient + gradOutput if self.provideOutput else gradient


__all__ = [
    "AbsCriterion",
    "DistKLDivCriterion",
    "L1Cost",
    "L1Penalty",
    "MSECriterion",
    "SmoothL1Criterion",
    "SpatialAutoCropMSECriterion",
    "WeightedMSECriterion",
]
