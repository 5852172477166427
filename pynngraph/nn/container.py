"""Containers: modules made of modules."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, SupportsIndex, TypeVar

from ..errors import GraphError, ShapeError
from ..watch import Changes
from .module import Module, check_module

if TYPE_CHECKING:
    from .._engine import Shape, Value
    from .lowering import Builder, Values

Self = TypeVar("Self", bound="Container")
SelfMap = TypeVar("SelfMap", bound="MapTable")

MOST_SHOWN = 200  # modules of one container, when it is printed


class ModuleList(list[Module]):
    """The list of a container's modules: plans are made anew when it changes."""


def _noting_changes(name: str) -> Callable[..., Any]:
    change = getattr(list, name)

    def method(self: ModuleList, *arguments: Any, **keywords: Any) -> Any:
        result = change(self, *arguments, **keywords)
        Changes.count += 1
        return result

    method.__name__ = name
    method.__doc__ = change.__doc__
    return method


for _name in (
    "append", "extend", "insert", "remove", "pop", "clear", "reverse", "sort",
    "__setitem__", "__delitem__", "__iadd__", "__imul__",
):  # fmt: skip
    setattr(ModuleList, _name, _noting_changes(_name))


class Container(Module):
    """Base class of modules made of modules, which are in ``modules``."""

    def __init__(self, *modules: Module) -> None:
        self.modules = ModuleList()
        for module in modules:
            self.add(module)

    def __setattr__(self, name: str, value: Any) -> None:
        # A plain list would not tell when it changes.
        plain = name == "modules" and not isinstance(value, ModuleList)
        super().__setattr__(name, ModuleList(value) if plain else value)

    def children(self) -> list[Module]:
        """The modules directly inside."""
        return self.modules

    def add(self: Self, module: Module) -> Self:
        """Append a module; the container itself, so that calls can be chained."""
        self.modules.append(check_module(module, type(self).__name__))
        return self

    def insert(self: Self, module: Module, index: int | None = None) -> Self:
        """Insert a module before place `index`, counted from 0; at the end without one."""
        place = len(self.modules) if index is None else index
        if not -len(self.modules) <= place <= len(self.modules):
            message = f"{self.label()} has no place {place} to insert at"
            raise GraphError(message)
        self.modules.insert(place, check_module(module, type(self).__name__))
        return self

    def remove(self: Self, index: int = -1) -> Self:
        """Remove the module at place `index`; the last one without it."""
        self.get(index)
        del self.modules[index]
        return self

    def get(self, index: SupportsIndex) -> Module:
        """The module at place `index`, counted from 0."""
        try:
            return self.modules[index]
        except IndexError:
            message = f"{self.label()} has no module {index}"
            raise GraphError(message) from None

    def size(self) -> int:
        """How many modules are directly inside."""
        return len(self.modules)

    def replace_children(self, new: dict[int, Module]) -> None:
        """Put other modules in place of those directly inside, by their ids."""
        self.modules[:] = [new[id(module)] for module in self.modules]

    def describe(self) -> str:
        """How many modules there are."""
        return f" of {len(self.modules)} module{'' if len(self.modules) == 1 else 's'}"

    def __repr__(self) -> str:
        try:
            return "\n".join([f"nn.{type(self).__name__} {{", *self._tree(), "}"])
        except RecursionError:  # in one another too deep for Python: what is further in is left out
            return f"nn.{self.label()}"

    def _tree(self) -> list[str]:
        """The lines of what is inside, as Torch7 prints it."""
        return _branches(self.modules, ("  ", "  "), ("  ", "  "))


def _branches(modules: list[Module], branch: tuple[str, str], last_branch: tuple[str, str]) -> list[str]:
    """Modules with their places, each behind a branch; its second part stands before a module's further lines."""
    lines: list[str] = []
    for place in _shown(len(modules)):
        first, further = last_branch if place == len(modules) - 1 else branch
        text = f"... {len(modules) - MOST_SHOWN} more"
        if place is not None:
            text = f"({place}): {modules[place]!r}"
        lines.append(first + text.replace("\n", f"\n{further}"))
    return lines


def _shown(count: int) -> list[int | None]:
    """Which of so many places to print; None stands for those left out."""
    if count <= MOST_SHOWN:
        return list(range(count))
    return [*range(MOST_SHOWN // 2), None, *range(count - MOST_SHOWN // 2, count)]


def _side_by_side(modules: list[Module]) -> list[str]:
    """The lines of modules that each make a part of the output."""
    branches = _branches(modules, ("    |`-> ", "    |    "), ("     `-> ", "         "))
    return ["  input", *branches, "     ... -> output"]


class Sequential(Container):
    """Modules one after another: the output of each is the input of the next.

    Shapes: those of the first module's input and of the last one's output. Without modules, the identity.

    Examples
    --------
    >>> import numpy as np, pynngraph as nn
    >>> net = nn.Sequential().add(nn.Linear(4, 3)).add(nn.Tanh())
    >>> net.forward(np.zeros((2, 4))).shape
    (2, 3)
    """

    def lower(self, b: Builder, input: Values) -> Values:
        """Each on the output of the one before."""
        for module in self.modules:
            input = b.lower(module, input)
        return input

    def _tree(self) -> list[str]:
        places = ["..." if place is None else f"({place})" for place in _shown(len(self.modules))]
        return [f"  [{' -> '.join(['input', *places, 'output'])}]", *super()._tree()]


class ConcatTable(Container):
    """Each module on the same input; the list of their outputs.

    Examples
    --------
    >>> import numpy as np, pynngraph as nn
    >>> fork = nn.ConcatTable(nn.Identity(), nn.MulConstant(2))
    >>> fork.forward(np.ones(2))
    [array([1., 1.]), array([2., 2.])]
    >>> fork.backward(np.ones(2), [np.ones(2), np.ones(2)])
    array([3., 3.])
    """

    def lower(self, b: Builder, input: Values) -> Values:
        """All on one input."""
        return [b.lower(module, input) for module in self.modules]

    def _tree(self) -> list[str]:
        return _side_by_side(self.modules)


class ParallelTable(Container):
    """Each module on its own entry of the input list; the list of their outputs.

    Examples
    --------
    >>> import numpy as np, pynngraph as nn
    >>> pair = nn.ParallelTable(nn.Identity(), nn.MulConstant(2))
    >>> pair.forward([np.ones(2), np.ones(3)])
    [array([1., 1.]), array([2., 2., 2.])]
    """

    def lower(self, b: Builder, input: Values) -> Values:
        """The k-th on the k-th entry."""
        entries: Iterable[Values] = b.table(input, len(self.modules))
        return [b.lower(module, entry) for module, entry in zip(self.modules, entries, strict=True)]

    def _tree(self) -> list[str]:
        return _side_by_side(self.modules)


class Concat(Container):
    """Each module on the same input; their outputs one after another along a dim.

    Parameters
    ----------
    dimension
        The dim, counted from 0; negative from the end.

    Examples
    --------
    >>> import numpy as np, pynngraph as nn
    >>> both = nn.Concat(1).add(nn.Identity()).add(nn.MulConstant(2))
    >>> both.forward(np.ones((2, 1)))
    array([[1., 2.],
           [1., 2.]])
    """

    def __init__(self, dimension: int, *modules: Module) -> None:
        super().__init__(*modules)
        self.dimension = dimension

    def lower(self, b: Builder, input: Values) -> Values:
        """All on one input, and a join."""
        return _joined(b, [b.array(b.lower(module, input)) for module in self.modules], self.dimension)

    def _tree(self) -> list[str]:
        return _side_by_side(self.modules)


def _joined(b: Builder, values: list[Value], dimension: int) -> Value:
    if not values:
        message = f"{b.where()} holds no module that gives an output: add some"
        raise GraphError(message)
    return b.op("join", values, ints=[dimension])


class DepthConcat(Concat):
    """As :class:`Concat`, of outputs of other sizes too: in other dims than `dimension`, zeros around fill them up.

    Parameters
    ----------
    dimension
        The dim along which outputs follow each other, counted from 0; negative from the end.

    In other dims the output is as large as the largest of them; where a number of zeros is odd, the one more is behind.
    Source: Szegedy et al., Going deeper with convolutions, CVPR 2015.

    Examples
    --------
    >>> import numpy as np, pynngraph as nn
    >>> both = nn.DepthConcat(0).add(nn.Narrow(1, 1, 1)).add(nn.Identity())
    >>> both.forward(np.ones((1, 3)))
    array([[0., 1., 0.],
           [1., 1., 1.]])
    """

    def __init__(self, dimension: int, *modules: Module) -> None:
        super().__init__(dimension, *modules)
        self.add_cell("zero", [0.0], has_grad=False)

    def lower(self, b: Builder, input: Values) -> Values:
        """All on one input, zeros at their sides, and a join."""
        values = [b.array(b.lower(module, input)) for module in self.modules]
        if not values:
            return _joined(b, values, self.dimension)
        for dim, size in b.choose(self._larger_sizes, *values):
            values = [self._filled(b, value, dim, size) for value in values]
        return _joined(b, values, self.dimension)

    def _larger_sizes(self, *shapes: Shape) -> tuple[tuple[int, int], ...]:
        """Dims in which outputs differ, and the largest size there."""
        n = len(shapes[0])
        if not -n <= self.dimension < n or any(len(shape) != n for shape in shapes):
            message = f"{self.label()} cannot join outputs of shapes {', '.join(map(str, shapes))}"
            raise ShapeError(message)
        sizes = enumerate(zip(*shapes, strict=True))
        return tuple((dim, max(sizes)) for dim, sizes in sizes if dim != self.dimension % n and len(set(sizes)) > 1)

    def _filled(self, b: Builder, value: Value, dim: int, size: int) -> Value:
        shape = b.choose(lambda shape: shape, value)
        before = (size - shape[dim]) // 2
        after = size - shape[dim] - before
        sides = [self._zeros(b, (*shape[:dim], n, *shape[dim + 1 :])) if n else None for n in (before, after)]
        parts = [part for part in (sides[0], value, sides[1]) if part is not None]
        return b.op("join", parts, ints=[dim]) if len(parts) > 1 else value

    def _zeros(self, b: Builder, shape: Shape) -> Value:
        zeros = b.op("replicate", [b.param(self._buffers["zero"])], ints=[0, math.prod(shape)])
        return b.op("reshape", [zeros], ints=shape)


class Parallel(Container):
    """Each module on its own slice of the input along a dim; their outputs one after another along another one.

    Parameters
    ----------
    inputDimension
        The dim along which the input is sliced, which goes; counted from 0, negative from the end.
    outputDimension
        The dim along which outputs follow each other, in them.

    The k-th slice goes to the k-th module; of modules beyond the last slice nothing is used.

    Examples
    --------
    >>> import numpy as np, pynngraph as nn
    >>> pair = nn.Parallel(0, 0).add(nn.Identity()).add(nn.MulConstant(2))
    >>> pair.forward(np.ones((2, 3)))
    array([1., 1., 1., 2., 2., 2.])
    """

    def __init__(self, inputDimension: int, outputDimension: int, *modules: Module) -> None:
        super().__init__(*modules)
        self.inputDimension = inputDimension
        self.outputDimension = outputDimension

    def lower(self, b: Builder, input: Values) -> Values:
        """As many selects as there are slices, and a join."""
        x = b.array(input)
        slices = [b.op("select", [x], ints=[self.inputDimension, k]) for k in range(b.choose(self._size, x))]
        pairs = zip(self.modules, slices, strict=False)
        return _joined(b, [b.array(b.lower(module, part)) for module, part in pairs], self.outputDimension)

    def _size(self, shape: Shape) -> int:
        fits = -len(shape) <= self.inputDimension < len(shape)
        if not fits or shape[self.inputDimension] > len(self.modules):
            message = (
                f"{self.label()} cannot give each slice of shape {shape} along dim {self.inputDimension} a module of "
                f"its own"
            )
            raise ShapeError(message)
        return shape[self.inputDimension]

    def _tree(self) -> list[str]:
        return _side_by_side(self.modules)


class MapTable(Container):
    """One module on each entry of a table; the list of its outputs.

    Parameters
    ----------
    module
        The module; it can be added later, too.
    shared
        The parameters that evaluations have in common, by name. All of them, if left out or True: then ``modules``
        holds the module alone, which is evaluated once an entry. False for none. With fewer than all, each entry has a
        clone of its own in ``modules``, made by :meth:`resize` or by the first forward that needs it.

    Examples
    --------
    >>> import numpy as np, pynngraph as nn
    >>> each = nn.MapTable(nn.Linear(3, 2))
    >>> [y.shape for y in each.forward([np.zeros(3), np.zeros((4, 3))])]
    [(2,), (4, 2)]
    """

    def __init__(self, module: Module | None = None, shared: bool | Iterable[str] | None = None) -> None:
        super().__init__(*(() if module is None else (module,)))
        self.shared = tuple(shared) if isinstance(shared, Iterable) else None if shared is None or shared else ()

    def add(self: Self, module: Module) -> Self:
        """Set the module, of one that has none."""
        if self.modules:
            message = f"{self.label()} has its module already: it takes one"
            raise GraphError(message)
        return super().add(module)

    def resize(self: SelfMap, n: int) -> SelfMap:
        """Have a clone for each of n entries, where entries do not have all in common; the container itself."""
        if self.shared is None or not self.modules:
            return self
        first = self.modules[0]
        if n < len(self.modules):
            del self.modules[max(n, 1) :]
        elif n > len(self.modules):
            self.modules.extend([first.clone(*self.shared) for _ in range(n - len(self.modules))])
        return self

    def lower(self, b: Builder, input: Values) -> Values:
        """The module on each entry."""
        entries = b.table(input)
        if not self.modules:
            message = f"{b.where()} has no module: add one"
            raise GraphError(message)
        if self.shared is None:
            return [b.lower(self.modules[0], entry) for entry in entries]
        if len(entries) > len(self.modules):
            self.resize(len(entries))
        return [b.lower(module, entry) for module, entry in zip(self.modules, entries, strict=False)]
