"""Criterions made of others."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from ..errors import StructureError
from .criterion import Criterion
from .module import Module, check_module

if TYPE_CHECKING:
    from .lowering import Builder, Values

SelfSum = TypeVar("SelfSum", bound="_Sum")


class _Sum(Criterion):
    """Base of weighted sums of criterions."""

    def __init__(self) -> None:
        self.criterions: list[Criterion] = []
        self.weights: tuple[float, ...] = ()

    def add(self: SelfSum, criterion: Criterion, weight: float = 1) -> SelfSum:
        """Append a criterion with its weight; the whole itself, so that calls can be chained."""
        checked: Any = check_module(criterion, type(self).__name__)
        self.criterions.append(checked)
        self.weights = (*self.weights, float(weight))
        return self

    def children(self) -> list[Module]:
        """The criterions."""
        return list(self.criterions)

    def _sum(self, b: Builder, cases: list[Values]) -> Values:
        """The weighted sum of the criterions' losses of these."""
        losses = [b.lower(criterion, case) for criterion, case in zip(self.criterions, cases, strict=True)]
        weighted = [
            loss if weight == 1 else b.op("mul_constant", [loss], nums=[weight])
            for loss, weight in zip(losses, self.weights, strict=True)
        ]
        if not weighted:
            message = f"{b.where()} has no criterions: add some"
            raise StructureError(message)
        return weighted[0] if len(weighted) == 1 else b.op("add", weighted)


class MultiCriterion(_Sum):
    """A weighted sum of criterions of the same input and target.

    ``weights`` is a tuple, which may be set.

    Examples
    --------
    >>> import numpy as np, pynngraph as nn
    >>> criterion = nn.MultiCriterion().add(nn.MSECriterion()).add(nn.AbsCriterion(), 0.5)
    >>> criterion.forward(np.array([2.0, -2.0]), np.zeros(2))
    5.0
    """

    def lower_loss(self, b: Builder, input: Values, target: Values) -> Values:
        """The losses, and their sum."""
        return self._sum(b, [[input, target]] * len(self.criterions))


class ParallelCriterion(_Sum):
    """A weighted sum of criterions, of an entry of the input and one of the target each.

    Parameters
    ----------
    repeatTarget
        True to give the whole target to each criterion.

    Entries of the input beyond the criterions do not count: their gradient is zeros. ``weights`` is a tuple, which may
    be set.

    Examples
    --------
    >>> import numpy as np, pynngraph as nn
    >>> criterion = nn.ParallelCriterion().add(nn.MSECriterion(), 0.5).add(nn.AbsCriterion())
    >>> x = [np.array([2.0, -2.0]), np.array([[3.0]])]
    >>> criterion.forward(x, [np.zeros(2), np.zeros((1, 1))])
    5.0
    """

    def __init__(self, repeatTarget: bool = False) -> None:
        super().__init__()
        self.repeatTarget = repeatTarget

    def lower_loss(self, b: Builder, input: Values, target: Values) -> Values:
        """The losses, and their sum."""
        count = len(self.criterions)
        inputs, targets = b.table(input), [target] * count if self.repeatTarget else b.table(target)
        for entries, what in ((inputs, "input"), (targets, "target")):
            if len(entries) < count:
                message = f"{b.where()} has {count} criterions, its {what} {len(entries)} entries"
                raise StructureError(message)
        return self._sum(b, [list(pair) for pair in zip(inputs[:count], targets[:count], strict=True)])


class ModuleCriterion(Criterion):
    """A criterion of what modules make of the input and of the target.

    Parameters
    ----------
    criterion
        The criterion.
    inputModule, targetModule
        What input and target go through first; None for nothing.
    castTarget
        Kept, and of no effect: see :meth:`Module.type`.

    :meth:`backward` gives the gradient of the input; parameters of the modules get none.

    Examples
    --------
    >>> import numpy as np, pynngraph as nn
    >>> criterion = nn.ModuleCriterion(nn.MSECriterion(), nn.Square(), nn.Square())
    >>> criterion.forward(np.array([2.0, 1.0]), np.array([-2.0, 0.0]))
    0.5
    """

    def __init__(
        self,
        criterion: Criterion,
        inputModule: Module | None = None,
        targetModule: Module | None = None,
        castTarget: bool = True,
    ) -> None:
        where = "ModuleCriterion"
        self.criterion = check_module(criterion, where)
        self.inputModule = None if inputModule is None else check_module(inputModule, where)
        self.targetModule = None if targetModule is None else check_module(targetModule, where)
        self.castTarget = castTarget

    def children(self) -> list[Module]:
        """The criterion and the modules."""
        return [part for part in (self.inputModule, self.targetModule, self.criterion) if part is not None]

    def lower_loss(self, b: Builder, input: Values, target: Values) -> Values:
        """The modules, and the loss."""
        if self.inputModule is not None:
            input = b.lower(self.inputModule, input)
        if self.targetModule is not None:
            target = b.lower(self.targetModule, target)
        return b.lower(self.criterion, [input, target])


__all__ = ["ModuleCriterion", "MultiCriterion", "ParallelCriterion"]
