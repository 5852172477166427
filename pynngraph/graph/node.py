"""Graph nodes: a module, and where its input comes from.

Nodes are made by calling modules, and know the source line that made them, so that errors can name it.
"""

from __future__ import annotations

import itertools
import os
import sys
from typing import TYPE_CHECKING, Any, NamedTuple

from .. import tree
from ..errors import GraphError

if TYPE_CHECKING:
    from ..nn.module import Module

_PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))  # noqa: PTH100, PTH120 - pathlib is slow to import
_numbers = itertools.count()


class Place(NamedTuple):
    """A line of source."""

    file: str
    line: int

    def __str__(self) -> str:
        return f"{os.path.basename(self.file)}:{self.line}"  # noqa: PTH119


def calling_place() -> Place:
    """The line outside of this package that the present call comes from."""
    frame = sys._getframe(1)
    while frame.f_back is not None and frame.f_code.co_filename.startswith(_PACKAGE):
        frame = frame.f_back
    return Place(frame.f_code.co_filename, frame.f_lineno)


class NodeData:
    """What nngraph keeps in ``node.data``: the module and the annotations."""

    __slots__ = ("annotations", "module")

    def __init__(self, module: Module | None) -> None:
        self.module = module
        self.annotations: dict[str, Any] = {}


class Node:
    """One evaluation of a module in a graph.

    Made by calling a module: ``module()`` for an input of the graph, ``module(node)`` for the output of another node,
    ``module([a, b])`` for a list of outputs, nested freely.

    Attributes
    ----------
    data
        ``data.module`` and ``data.annotations``.
    inputs
        The node, or nested list of nodes, that the module's input comes from; None for ``module()``.
    part
        Which entry of its input this node is, when it comes from :meth:`split`; else None.
    place
        The source line that made the node.
    """

    __slots__ = ("children", "data", "inputs", "n_parts", "number", "part", "place")

    def __init__(self, module: Module | None, inputs: Any, part: int | None = None) -> None:
        self.data = NodeData(module)
        self.inputs = inputs
        self.part = part
        self.n_parts: int | None = None  # how many the node was split into
        self.children: list[Node] = []
        self.place = calling_place()
        self.number = next(_numbers)
        for node in self.parents():
            node.children.append(self)

    @property
    def module(self) -> Module | None:
        """The module; None for a part of a split and for a nest."""
        return self.data.module

    def parents(self) -> list[Node]:
        """The nodes that the input comes from, from left to right."""
        return [] if self.inputs is None else tree.flatten(self.inputs)[0]

    def split(self, count: Any) -> list[Node]:
        """Nodes for the entries of this node's output, which must be a table of `count`.

        Examples
        --------
        >>> import numpy as np, pynngraph as nn
        >>> pair = nn.Identity()()
        >>> first, second = pair.split(2)
        >>> g = nn.gModule([pair], [nn.CSubTable()([second, first])])
        >>> g.forward([np.ones(2), np.full(2, 3.0)])
        array([2., 2.])
        """
        if not isinstance(count, int) or count < 1:
            message = f"split takes how many entries there are, got {count!r}"
            raise GraphError(message)
        if self.n_parts not in (None, count):
            message = f"{self.label()} was split into {self.n_parts} before, and now into {count}"
            raise GraphError(message)
        self.n_parts = count
        return [Node(None, self, part) for part in range(count)]

    def annotate(
        self,
        name: str | None = None,
        description: str | None = None,
        graphAttributes: dict[str, Any] | None = None,
    ) -> Node:
        """Name and describe the node, for drawings; the node itself.

        Parameters
        ----------
        name, description
            Text.
        graphAttributes
            Attributes for graphviz, such as ``{"color": "red"}``.
        """
        for key, value in (("name", name), ("description", description)):
            if value is not None:
                self.data.annotations[key] = value
        if graphAttributes is not None:
            self.data.annotations["graphAttributes"] = dict(graphAttributes)
        return self

    def label(self) -> str:
        """The node in words: what it is, and the line that made it."""
        name = self.data.annotations.get("name")
        if self.data.module is not None:
            what = self.data.module.label()
        else:
            what = "nest" if self.part is None else f"part {self.part} of a split"
        return f"{name + ', ' if name else ''}{what} at {self.place}"

    def __sub__(self, module: Any) -> Node:
        """``node - module`` is ``module(node)``."""
        if not hasattr(module, "lower"):
            return NotImplemented
        made: Node = module(self)
        return made

    def __repr__(self) -> str:
        return f"<Node {self.label()}>"


def nest(nodes: Any) -> Node:
    """A node whose output is a table of the outputs of other nodes, nested as they are given.

    Examples
    --------
    >>> import numpy as np, pynngraph as nn
    >>> a, b = nn.Identity()(), nn.Identity()()
    >>> g = nn.gModule([a, b], [nn.nest([a, [b]])])
    >>> g.forward([np.zeros(1), np.ones(1)])
    [array([0.]), [array([1.])]]
    """
    return Node(None, _checked(nodes, "nest"))


def _checked(inputs: Any, what: str) -> Any:
    """A node or nested list of nodes, as it was given; else an error with the position and a hint."""
    leaves, structure = tree.flatten(inputs)
    if not leaves:
        message = f"{what} was given an empty list: write it without an argument for an input of the graph"
        raise GraphError(message)
    for leaf, path in zip(leaves, tree.paths(structure), strict=True):
        if isinstance(leaf, Node):
            continue
        where = f"entry {path} of the input" if path else "the input"
        if hasattr(leaf, "lower"):
            hint = f"a module, not a node: write {type(leaf).__name__}(...)(...), or ...() for an input of the graph"
        elif leaf is None:
            hint = "None: was a variable not set?"
        elif hasattr(leaf, "__array__"):
            hint = "an array: calling makes graph nodes; to compute use forward"
        else:
            hint = f"{type(leaf).__name__}, not a node"
        message = f"{what}: {where} is {hint}"
        raise GraphError(message)
    return inputs


def call_module(module: Module, inputs: tuple[Any, ...]) -> Node:
    """The node for a call of a module."""
    what = f"{module.label()} called at {calling_place()}"
    if not inputs:
        return Node(module, None)
    if len(inputs) > 1:
        arrays = any(hasattr(entry, "__array__") for entry in inputs)
        hint = "to compute use forward" if arrays else "write module([a, b])"
        message = f"{what} takes one node or one list of nodes: {hint}"
        raise GraphError(message)
    return Node(module, _checked(inputs[0], what))
