"""Criterions, numbers that say how far an input is from a target: their base, and what they share."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import tree
from .._engine import GRAD_INPUTS
from ..errors import DTypeError
from .execution import Execution, Lower
from .module import Module, check_module

if TYPE_CHECKING:
    from .._engine import Value
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


class Weighted(Criterion):
    """Base of criterions that may have a weight for each class, or for each element of a row."""

    def _set_weights(self, weights: Any, of: str) -> None:
        if weights is None:
            return
        array = np.asarray(weights)
        if array.ndim != 1 or array.dtype.kind not in "fiu":
            message = f"weights of {type(self).__name__} must be one number for each {of}"
            raise DTypeError(message)
        self.add_cell("weights", array, has_grad=False)

    @property
    def weights(self) -> Any:
        """The weights, an array, or None."""
        cell = self._buffers.get("weights")
        return None if cell is None else cell.data

    def _of_elements(self, b: Builder, x: Value) -> list[Value]:
        """The weights of all elements of rows, if there are weights."""
        weights = []
        for cell in self._buffers.values():
            sizes = b.choose(lambda shape: (1,) * (len(shape) - 1) + (-1,), x)
            row = b.op("reshape", [b.param(cell)], ints=sizes)
            weights.append(b.op("expand", [row, x]))
        return weights


class OfInput(Criterion):
    """Base of criterions that need no target: one may be left out, and does not count."""

    def forward(self, input: Any, target: Any = None) -> float:
        """The loss, a Python number."""
        return super().forward(input, [] if target is None else target)

    def updateOutput(self, input: Any, target: Any = None) -> float:
        """As :meth:`forward`."""
        return super().updateOutput(input, [] if target is None else target)

    def backward(self, input: Any, target: Any = None) -> Any:  # type: ignore[override]
        """The gradient of the input. After :meth:`forward` of the same arrays."""
        return super().backward(input, [] if target is None else target)

    def updateGradInput(self, input: Any, target: Any = None) -> Any:
        """As :meth:`backward`."""
        return super().updateGradInput(input, [] if target is None else target)


class OfSigns(Criterion):
    """Base of criterions whose target is 1 or -1: one for a single sample may be a number."""

    def forward(self, input: Any, target: Any) -> float:  # type: ignore[override]
        """The loss, a Python number."""
        return super().forward(input, self._as_array(target))

    def updateOutput(self, input: Any, target: Any) -> float:  # type: ignore[override]
        """As :meth:`forward`."""
        return super().updateOutput(input, self._as_array(target))

    def backward(self, input: Any, target: Any) -> Any:  # type: ignore[override]
        """The gradient of the input. After :meth:`forward` of the same arrays."""
        return super().backward(input, self._as_array(target))

    def updateGradInput(self, input: Any, target: Any) -> Any:
        """As :meth:`backward`."""
        return super().updateGradInput(input, self._as_array(target))

    def _as_array(self, target: Any) -> Any:
        return np.full(1, target, self.dtype) if isinstance(target, (int, float, np.number)) else target


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


# ---- what criterions are lowered to ----------------------------------------------------------------


def total(b: Builder, x: Values, average: bool) -> Values:
    """The sum or the mean of all elements, an array of one element."""
    count = b.choose(math.prod, x) if average else 1
    flat = b.op("reshape", [x], ints=[-1])
    return b.op("reduce_sum", [flat], ints=[0, 1], nums=[1 / (count or 1)])


def less(b: Builder, number: float, x: Value) -> Value:
    """`number` - x."""
    return b.op("add_constant", [b.op("mul_constant", [x], nums=[-1.0])], nums=[number])


def by_target(b: Builder, target: Value, alike: Value, apart: Value) -> Value:
    """One loss where the target is 1, the other where it is -1: each times 1 where it is meant and 0 elsewhere."""
    near = b.op("mul_constant", [b.op("add_constant", [target], nums=[1.0])], nums=[0.5])
    return b.op("add", [b.op("mul", [near, alike]), b.op("mul", [less(b, 1.0, near), apart])])


def classes(b: Builder, target: Values) -> Value:
    """A target of classes, as indices; they may come as whole reals."""
    value = b.array(target)
    return value if b.is_index(value) else b.op("to_index", [value])


def fixed(b: Builder, target: Values) -> Value:
    """A target of reals, which gets no gradient."""
    return b.op("detach", [b.array(target)])


__all__ = ["Criterion", "CriterionTable", "ModuleFromCriterion"]
