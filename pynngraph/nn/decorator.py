"""Modules around one other module, and modules that only look on."""

from __future__ import annotations

import math
import sys
import time
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import tree
from ..errors import DataError, GraphError, ShapeError
from .container import Container
from .module import CellArray, Module
from .parameter import Cell, Derived

if TYPE_CHECKING:
    from .._engine import Shape
    from .lowering import Builder, Values


class Decorator(Container):
    """Base of modules around one other module; by itself, that module.

    Parameters
    ----------
    module
        The module inside, ``modules[0]``.

    Examples
    --------
    >>> import numpy as np, pynngraph as nn
    >>> nn.Decorator(nn.MulConstant(2)).forward(np.ones(2))
    array([2., 2.])
    """

    def __init__(self, module: Module) -> None:
        super().__init__(module)

    def lower(self, b: Builder, input: Values) -> Values:
        """The module inside."""
        return b.lower(self.get(0), input)


class Bottle(Decorator):
    """A module that wants few dims, on an input of more: the first dims are taken for one, and come back afterwards.

    Parameters
    ----------
    module
        The module.
    nInputDim
        Dims of the module's input.
    nOutputDim
        Dims of its output; as many as `nInputDim` if left out.

    Shapes: input of at least `nInputDim` dims, all before the last ``nInputDim - 1`` being taken for one; output with
    these in front of the last ``nOutputDim - 1`` of the module's. An input of `nInputDim` dims goes to the module as it
    is.

    Examples
    --------
    >>> import numpy as np, pynngraph as nn
    >>> nn.Bottle(nn.Linear(6, 5)).forward(np.zeros((4, 3, 6))).shape
    (4, 3, 5)
    """

    def __init__(self, module: Module, nInputDim: int = 2, nOutputDim: int | None = None) -> None:
        super().__init__(module)
        self.nInputDim = nInputDim
        self.nOutputDim = nInputDim if nOutputDim is None else nOutputDim
        if self.nInputDim < 1 or self.nOutputDim < 1:
            message = f"Bottle needs at least one dim, got {self.nInputDim} and {self.nOutputDim}"
            raise ShapeError(message)

    def lower(self, b: Builder, input: Values) -> Values:
        """The module between two aliases."""
        x = b.array(input)
        batch = b.choose(self._batch, x)
        if len(batch) < 2:
            return super().lower(b, x)
        inner = b.choose(lambda shape: shape[len(batch) :], x)
        y = b.array(super().lower(b, b.op("reshape", [x], ints=[math.prod(batch), *inner])))
        return b.op("reshape", [y], ints=[*batch, *b.choose(self._inner, y)])

    def _batch(self, shape: Shape) -> Shape:
        if len(shape) < self.nInputDim:
            message = f"{self.label()} expects at least {self.nInputDim} dims, got shape {shape}"
            raise ShapeError(message)
        return shape[: len(shape) - self.nInputDim + 1]

    def _inner(self, shape: Shape) -> Shape:
        if len(shape) != self.nOutputDim:
            message = f"{self.label()} expects an output of {self.nOutputDim} dims inside, got shape {shape}"
            raise ShapeError(message)
        return shape[1:]


class Normalized(Module):
    """Base of modules that have v and g in place of a weight: who shares their weight shares these."""

    v = CellArray("v", grad=False)
    g = CellArray("g", grad=False)
    gradV = CellArray("v", grad=True)
    gradG = CellArray("g", grad=True)

    def _named(self, names: tuple[str, ...]) -> dict[str, bool]:
        both = dict.fromkeys(("v", "g"), "gradWeight" in names) if "weight" in names else {}
        return {**both, **super()._named(names)}


class WeightNorm(Normalized, Decorator):
    """A module with its weight as w = g v / sqrt(|v|^2 + 1e-4), for each slice v of the weight and its length g.

    Parameters
    ----------
    module
        A module that has a ``weight``.
    outputDim
        The dim of the weight whose slices have lengths of their own, counted from 0.

    ``v`` and ``g`` are parameters in place of the module's weight: ``v`` (n, m), n the weight's size along `outputDim`
    and m all the rest; ``g`` (n, 1). They begin with what the module has; so they do after :meth:`reset`. The weight of
    the module inside is no parameter any more; :meth:`updateWeight` writes into it what v and g make, for looking at.
    A clone that shares ``"weight"`` and ``"gradWeight"`` shares v and g. Source: Salimans, Kingma, Weight
    normalization, NIPS 2016.

    Examples
    --------
    >>> import numpy as np, pynngraph as nn
    >>> layer = nn.WeightNorm(nn.Linear(6, 5))
    >>> [p.shape for p in layer.parameters()[0]]
    [(5, 6), (5, 1), (5,)]
    """

    def __init__(self, module: Module, outputDim: int = 0) -> None:
        super().__init__(module)
        weight = module._cells.get("weight")
        if weight is None or isinstance(weight, Derived):
            message = f"WeightNorm takes a module with a weight, got {module.label()}"
            raise GraphError(message)
        if not 0 <= outputDim < weight.data.ndim:
            message = f"the weight of {module.label()} has no dim {outputDim}"
            raise ShapeError(message)
        self.outputDim = outputDim
        module._cells["weight"] = Derived(weight.data)
        module._changed()
        rows = self._rows(weight.data)
        self.add_cell("v", rows)
        self.add_cell("g", np.empty((len(rows), 1), self.dtype))
        self._take_over()

    @property
    def _weight(self) -> Cell:
        """What stands for the weight inside."""
        return self.get(0)._cells["weight"]

    def _rows(self, weight: Any) -> Any:
        return np.moveaxis(weight, self.outputDim, 0).reshape(weight.shape[self.outputDim], -1)

    def _take_over(self) -> None:
        """Let v and g be what the module has."""
        rows = self._rows(self._weight.data)
        self._writable(self._cells["v"])[...] = rows
        self._writable(self._cells["g"])[...] = np.sqrt((rows * rows).sum(1, keepdims=True))

    def reset(self, stdv: float | None = None) -> None:
        """Draw anew as the module does, and begin with that."""
        super().reset(stdv)
        self._take_over()

    def updateWeight(self) -> None:
        """Write what v and g make into the weight of the module inside."""
        v, weight = self.v, self._weight.data
        rows = self.g / np.sqrt((v * v).sum(1, keepdims=True) + 1e-4) * v
        moved = np.moveaxis(weight, self.outputDim, 0)
        moved[...] = rows.reshape(moved.shape)

    def lower(self, b: Builder, input: Values) -> Values:
        """The weight, and the module with it."""
        v, g = b.param(self._cells["v"]), b.param(self._cells["g"])
        squares = b.op("reduce_sum", [b.op("square", [v])], ints=[-1, 1], nums=[1.0])
        norm = b.op("sqrt", [b.op("add_constant", [squares], nums=[1e-4])])
        rows = b.op("mul", [b.op("expand", [b.op("div", [g, norm]), v]), v])
        weight = b.op("reshape", [rows], ints=np.moveaxis(self._weight.data, self.outputDim, 0).shape)
        for dim in range(self.outputDim):
            weight = b.op("transpose", [weight], ints=[dim, dim + 1])
        with b.bound(self._weight, weight):
            return super().lower(b, input)


class NaN(Decorator):
    """A module that is watched: NaN in what it gives, forward or backward, is an error that says where it comes from.

    Parameters
    ----------
    module
        The module.
    id
        What to call it in messages.

    :func:`pynngraph.setDebug` watches all modules of a graph. Raises :class:`~pynngraph.errors.DataError`.

    Examples
    --------
    >>> import numpy as np, pynngraph as nn
    >>> nn.NaN(nn.Log(), "log").forward(np.array([-1.0]))
    Traceback (most recent call last):
    ...
    pynngraph.errors.DataError: NaN(log): there is NaN in the output of Log
    """

    def __init__(self, module: Module, id: Any = None) -> None:
        super().__init__(module)
        self.id = id

    def lower(self, b: Builder, input: Values) -> Values:
        """The module between two steps that look."""
        seen: dict[str, Any] = {}

        def enter(input: Any) -> None:
            seen["input"] = input

        def leave(output: Any) -> None:
            self._check(output, "output", seen["input"], "input")

        def enter_backward(gradOutput: Any) -> None:
            seen["gradOutput"] = gradOutput

        def leave_backward(gradInput: Any) -> None:
            self._check(gradInput, "gradInput", seen.get("gradOutput", ()), "gradOutput")

        input = b.tapped(input, enter, leave_backward)
        return b.tapped(super().lower(b, input), leave, enter_backward)

    def _check(self, after: Any, after_name: str, before: Any, before_name: str) -> None:
        if not _has_nan(after):
            return
        name = after_name
        if _has_nan(before):
            name = before_name
        elif _has_nan(self.parameters()[0]):
            name = "parameters"
        message = f"{self.label()}: there is NaN in the {name} of {self.get(0).label()}"
        raise DataError(message)

    def describe(self) -> str:
        """What it is called."""
        return "" if self.id is None else f"({self.id})"


def _has_nan(table: Any) -> bool:
    return any(leaf.dtype.kind == "f" and bool(np.isnan(leaf).any()) for leaf in tree.flatten(table)[0])


class Profile(Decorator):
    """A module whose time is taken, and printed once in a while.

    Parameters
    ----------
    module
        The module.
    print_interval
        After how many calls to print.
    name
        What to call it; the module's class if left out.

    :func:`pynngraph.profile` tells the times of all nodes of a graph, more exactly.

    Examples
    --------
    >>> import numpy as np, pynngraph as nn
    >>> net = nn.Profile(nn.Tanh(), 1000)
    >>> for _ in range(3):
    ...     _ = net.forward(np.ones(2))
    >>> net.numFwds
    3
    """

    def __init__(self, module: Module, print_interval: int = 100, name: str | None = None) -> None:
        super().__init__(module)
        if print_interval < 1:
            message = f"Profile prints after at least one call, got {print_interval}"
            raise GraphError(message)
        self.print_interval = print_interval
        self.name = type(module).__name__ if name is None else name
        self._times = {"forward": _Times(), "backward": _Times()}

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in super().__getstate__().items() if name != "_times"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        self._times = {"forward": _Times(), "backward": _Times()}

    @property
    def numFwds(self) -> int:
        """How many times it went forward since it was printed."""
        return self._times["forward"].count

    @property
    def numBwds(self) -> int:
        """How many times it went backward since it was printed."""
        return self._times["backward"].count

    def lower(self, b: Builder, input: Values) -> Values:
        """The module between two steps that take the time."""
        forward, backward = self._times["forward"], self._times["backward"]
        enter = b.once("enter", lambda _: forward.start())
        leave = b.once("leave", lambda _: self._stop("forward"))
        input = b.tapped(input, enter, lambda _: self._stop("backward"))
        return b.tapped(super().lower(b, input), leave, lambda _: backward.start())

    def _stop(self, direction: str) -> None:
        times = self._times[direction]
        times.stop()
        if times.count == self.print_interval:
            sys.stdout.write(
                f"{self.name} took {times.seconds:.3f} seconds for {times.count} {direction} "
                f"pass{'' if times.count == 1 else 'es'}\n"
            )
            self._times[direction].clear()


class _Times:
    """Calls in one direction since they were printed last."""

    def __init__(self) -> None:
        self._started = 0.0
        self.clear()

    def clear(self) -> None:
        """Begin anew."""
        self.count, self.seconds = 0, 0.0

    def start(self) -> None:
        """A call begins."""
        self._started = time.perf_counter()

    def stop(self) -> None:
        """A call ends."""
        self.seconds += time.perf_counter() - self._started
        self.count += 1


class PrintSize(Module):
    """The input itself, whose sizes are printed, and those of the gradient on its way back.

    Parameters
    ----------
    prefix
        What is printed in front of them.

    Examples
    --------
    >>> import numpy as np, pynngraph as nn
    >>> y = nn.PrintSize("here").forward(np.ones((2, 3)))
    here:input 2x3
    """

    def __init__(self, prefix: str = "PrintSize") -> None:
        self.prefix = prefix

    def lower(self, b: Builder, input: Values) -> Values:
        """A step that looks."""
        forward = b.once("print", lambda table: self._print("input", table))
        return b.tapped(input, forward, lambda table: self._print("gradOutput", table))

    def _print(self, what: str, table: Any) -> None:
        from ..text import shapes_of  # noqa: PLC0415 - seldom needed

        sys.stdout.write(f"{self.prefix}:{what} {shapes_of(table)}\n")

    def describe(self) -> str:
        """The prefix."""
        return f"({self.prefix})"


class DontCast(Decorator):
    """The module itself: all modules of one whole have one dtype.

    Parameters
    ----------
    module
        The module.
    castin, castout, moduleType
        Kept, and of no effect: see :meth:`Module.type`.

    Examples
    --------
    >>> import numpy as np, pynngraph as nn
    >>> nn.DontCast(nn.MulConstant(2), True, True).forward(np.ones(2))
    array([2., 2.])
    """

    def __init__(
        self, module: Module, castin: bool = False, castout: bool | None = None, moduleType: str | None = None
    ) -> None:
        super().__init__(module)
        self.castin = castin
        self.castout = castin if castout is None else castout
        self.moduleType = moduleType


class GPU(Decorator):
    """The module itself: everything is on one device, the CPU.

    Parameters
    ----------
    module
        The module.
    device, outdevice
        Kept, and of no effect.

    Examples
    --------
    >>> import numpy as np, pynngraph as nn
    >>> nn.GPU(nn.MulConstant(2), 1).forward(np.ones(2))
    array([2., 2.])
    """

    def __init__(self, module: Module, device: int = 1, outdevice: int | None = None) -> None:
        super().__init__(module)
        self.device = device
        self.outdevice = device if outdevice is None else outdevice


__all__ = ["GPU", "Bottle", "Decorator", "DontCast", "NaN", "PrintSize", "Profile", "WeightNorm"]
