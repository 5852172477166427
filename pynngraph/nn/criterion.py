"""Criterions: a number that says how far an input is from a target."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import tree
from .._engine import GRAD_INPUTS
from ..errors import DTypeError
from .execution import Execution, Lower
from .module import Module, check_module
from .product import cosine

if TYPE_CHECKING:
    from .._engine import Shape, Value
    from .lowering import Builder, Values


# The gradient of a loss.
_ONE = {np.dtype(name): np.ones(1, name) for name in ("float32", "float64")}


class Criterion(Module):
    """Base of criterions: ``forward(input, target)`` gives a number, ``backward`` the gradient of the input.

    As a graph node, ``criterion([input_node, target_node])``, it gives an array of one element; the gradient of the
    target is zeros. To write one in Python, derive and define ``updateOutput(input, target)``, which gives a number,
    and ``updateGradInput(input, target)``.

    Examples
    --------
    >>> import numpy as np, pynngraph as nn
    >>> class Distance(nn.Criterion):
    ...     def updateOutput(self, input, target):
    ...         return abs(input - target).sum()
    ...     def updateGradInput(self, input, target):
    ...         return np.sign(input - target)
    >>> Distance().forward(np.ones(3), np.zeros(3))
    3.0
    """

    def lower(self, b: Builder, input: Values) -> Values:
        """The loss of ``[input, target]``, an array of one element."""
        x, target = b.table(input, 2)
        return self.lower_loss(b, x, target)

    def lower_loss(self, b: Builder, input: Values, target: Values) -> Values:
        """The loss, an array of one element."""
        return super().lower(b, input)

    def _new_execution(self, lower: Lower, *, watched: bool = True) -> Execution:
        return Execution(self, "criterion", lower, first_only=True, watched=watched)

    def forward(self, input: Any, target: Any) -> float:  # type: ignore[override]
        """The loss, a Python number.

        Parameters
        ----------
        input
            An array of the criterion's dtype, or a table of arrays.
        target
            As the criterion wants it; class targets are of any integer dtype and count from 0.
        """
        return float(self._execution.forward([input, target])[0])

    def updateOutput(self, input: Any, target: Any) -> float:  # type: ignore[override]
        """As :meth:`forward`."""
        return float(self._native_execution.forward([input, target])[0])

    def backward(self, input: Any, target: Any) -> Any:  # type: ignore[override]
        """The gradient of the input, nested and shaped as the input is. After :meth:`forward` of the same arrays."""
        return self._gradient(self._execution, input, target)

    def updateGradInput(self, input: Any, target: Any) -> Any:
        """As :meth:`backward`."""
        self._check_native("updateGradInput")
        return self._gradient(self._native_execution, input, target)

    def _gradient(self, execution: Execution, input: Any, target: Any) -> Any:
        return execution.backward([input, target], _ONE[self.dtype], 1.0, GRAD_INPUTS)

    def host_forward(self, input: Any) -> Any:
        """The loss by the class's own method, as an array of one element."""
        return np.full(1, self.updateOutput(*input), self.dtype)

    def host_backward(self, input: Any, gradOutput: Any, scale: float, *, accumulate: bool) -> Any:
        """The gradient by the class's own method; None, which stands for zeros, for the target."""
        x, target = input
        factor = gradOutput[0]
        grad = tree.map_leaves(lambda leaf: factor * leaf, self.updateGradInput(x, target))
        return [grad, tree.map_leaves(lambda _: None, target)]

    @property
    def output(self) -> Any:
        """The last loss, or None."""
        loss = self._result("output")
        return float(loss[0]) if isinstance(loss, np.ndarray) else loss

    @output.setter
    def output(self, value: Any) -> None:
        self.__dict__["_output"] = value


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


class ClassNLLCriterion(Criterion):
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
        if weights is not None:
            array = np.asarray(weights)
            if array.ndim != 1 or array.dtype.kind not in "fiu":
                message = "weights of ClassNLLCriterion must be one number for each class"
                raise DTypeError(message)
            self.add_cell("weights", array, has_grad=False)

    @property
    def weights(self) -> Any:
        """The weight of each class, or None."""
        cell = self._buffers.get("weights")
        return None if cell is None else cell.data

    def lower_loss(self, b: Builder, input: Values, target: Values) -> Values:
        """One op."""
        classes = b.array(target)
        if not b.is_index(classes):
            classes = b.op("to_index", [classes])
        inputs = [b.array(input), classes, *map(b.param, self._buffers.values())]
        return b.op("nll", inputs, ints=[int(self.sizeAverage), self.ignoreIndex])


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


def _sum(b: Builder, x: Values, average: bool) -> Values:
    """The sum or the mean of all elements, an array of one element."""
    count = b.choose(math.prod, x) if average else 1
    flat = b.op("reshape", [x], ints=[-1])
    return b.op("reduce_sum", [flat], ints=[0, 1], nums=[1 / (count or 1)])


class BCECriterion(Criterion):
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
        if weights is not None:
            array = np.asarray(weights)
            if array.ndim != 1 or array.dtype.kind not in "fiu":
                message = "weights of BCECriterion must be one number for each element of a row"
                raise DTypeError(message)
            self.add_cell("weights", array, has_grad=False)

    @property
    def weights(self) -> Any:
        """The weight of each element of a row, or None."""
        cell = self._buffers.get("weights")
        return None if cell is None else cell.data

    def lower_loss(self, b: Builder, input: Values, target: Values) -> Values:
        """One op."""
        x = b.array(input)
        inputs = [x, b.array(target)]
        for cell in self._buffers.values():
            sizes = b.choose(lambda shape: (1,) * (len(shape) - 1) + (-1,), x)
            row = b.op("reshape", [b.param(cell)], ints=sizes)
            inputs.append(b.op("expand", [row, x]))
        return b.op("bce", inputs, ints=[int(self.sizeAverage)])


def _less(b: Builder, number: float, x: Value) -> Value:
    """`number` - x."""
    return b.op("add_constant", [b.op("mul_constant", [x], nums=[-1.0])], nums=[number])


def _by_target(b: Builder, target: Value, alike: Value, apart: Value) -> Value:
    """One loss where the target is 1, the other where it is -1: each times 1 where it is meant and 0 elsewhere."""
    near = b.op("mul_constant", [b.op("add_constant", [target], nums=[1.0])], nums=[0.5])
    return b.op("add", [b.op("mul", [near, alike]), b.op("mul", [_less(b, 1.0, near), apart])])


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
        product = b.op("mul", [b.array(input), b.op("detach", [b.array(target)])])
        return _sum(b, b.op("relu", [_less(b, self.margin, product)]), self.sizeAverage)


class HingeEmbeddingCriterion(Criterion):
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
        x, t = b.array(input), b.op("detach", [b.array(target)])
        nothing = b.op("sub", [t, t])
        # The first of equals gets the gradient, so that a pair just as far apart as the margin has one.
        apart = b.op("max", [_less(b, self.margin, x), nothing])
        return _sum(b, _by_target(b, t, x, apart), self.sizeAverage)


class CosineEmbeddingCriterion(Criterion):
    """Loss of pairs of vectors: the mean of 1 - cos_k where t_k is 1, of max(0, cos_k - margin) where it is -1.

    Parameters
    ----------
    margin
        How large the cosine of a pair that belongs apart may be to cost nothing.

    Shapes: input a list of two arrays (n,) or (rows, n); target 1 or -1 for each pair. ``sizeAverage``, an attribute,
    is False for the sum.

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
        t = b.op("reshape", [b.op("detach", [b.array(target)])], ints=[-1])
        above = b.op("relu", [b.op("add_constant", [cosines], nums=[-self.margin])])
        return _sum(b, _by_target(b, t, _less(b, 1.0, cosines), above), self.sizeAverage)


class ModuleFromCriterion(Module):
    """A criterion as a module: of ``[input, target]``, an array of one element.

    Calling a criterion on nodes does the same; nngraph has this name for it.

    Examples
    --------
    >>> import numpy as np, pynngraph as nn
    >>> loss = nn.ModuleFromCriterion(nn.MSECriterion())
    >>> loss.forward([np.ones(2), np.zeros(2)])
    array([1.])
    """

    def __init__(self, criterion: Criterion) -> None:
        self.criterion = check_module(criterion, "ModuleFromCriterion")

    def children(self) -> list[Module]:
        """The criterion."""
        return [self.criterion]

    def lower(self, b: Builder, input: Values) -> Values:
        """The criterion's loss."""
        return b.lower(self.criterion, input)


class CriterionTable(ModuleFromCriterion):
    """A criterion as a module, as :class:`ModuleFromCriterion`; older code has this name for it.

    Examples
    --------
    >>> import numpy as np, pynngraph as nn
    >>> nn.CriterionTable(nn.MSECriterion()).forward([np.ones(2), np.zeros(2)])
    array([1.])
    """


__all__ = [
    "BCECriterion",
    "ClassNLLCriterion",
    "CosineEmbeddingCriterion",
    "Criterion",
    "CriterionTable",
    "CrossEntropyCriterion",
    "HingeEmbeddingCriterion",
    "MSECriterion",
    "MarginCriterion",
    "ModuleFromCriterion",
]
