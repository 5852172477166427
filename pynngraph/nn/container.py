"""Containers: modules made of modules."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, SupportsIndex, TypeVar

from ..errors import GraphError
from ..watch import Changes
from .module import Module, check_module

if TYPE_CHECKING:
    from .lowering import Builder, Values

Self = TypeVar("Self", bound="Container")

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
