"""Graph nodes: a module, and where its input comes from.

Nodes are made by calling modules, and know the source line that made them, so that errors can name it.
"""

from __future__ import annotations

import itertools
import os
import sys
from operator import index
from typing import TYPE_CHECKING, Any, NamedTuple

from .. import tree
from ..errors import GraphError, StructureError
from ..watch import Changes, Evaluation, kept

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..nn.module import Module

_PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))  # noqa: PTH100, PTH120 - pathlib is slow to import


_ids = itertools.count()


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

    __slots__ = ("_module", "annotations")

    def __init__(self, module: Module | None) -> None:
        self._module = module
        self.annotations: dict[str, Any] = {}

    @property
    def module(self) -> Module | None:
        """The node's module; None for a part of a split and for a nest."""
        return self._module

    @module.setter
    def module(self, module: Module) -> None:
        if self._module is None or isinstance(module, type) or not hasattr(module, "lower"):
            what = "a node without one, a nest or a part of a split" if self._module is None else _no_module(module)
            message = f"the module of a node is put in place of another module, got {what}"
            raise GraphError(message)
        self._module = module
        Changes.count += 1


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
    children
        The nodes that take this one's output, in the order in which they were made.
    id
        A number that rises as nodes are made.
    place
        The source line that made the node.
    input, output, gradOutput, gradInput
        What the node took and gave in the last call, after :func:`pynngraph.setDebug` or
        :meth:`~pynngraph.Module.keep`; else a StateError that says so.
    """

    __slots__ = (
        "backward_hooks",
        "children",
        "data",
        "evaluation",
        "forward_hooks",
        "id",
        "inputs",
        "is_packed",
        "n_parts",
        "part",
        "place",
    )

    def __init__(self, module: Module | None, inputs: Any, part: int | None = None) -> None:
        self.data = NodeData(module)
        self.inputs = inputs
        self.part = part
        self.n_parts: int | None = None  # how many the node was split into
        self.evaluation: Evaluation | None = None  # the last one, if it is watched
        self.id = next(_ids)
        self.is_packed = False  # whether a graph was made of it, or was to be: it was not forgotten
        self.forward_hooks: tuple[Hook, ...] = ()
        self.backward_hooks: tuple[Hook, ...] = ()
        self.children: list[Node] = []
        self.place = calling_place()
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
        if isinstance(count, bool) or not hasattr(count, "__index__") or index(count) < 1:
            message = f"split takes how many entries there are, got {count!r}"
            raise GraphError(message)
        count = index(count)
        if self.n_parts not in (None, count):
            message = f"{self.label()} was split into {self.n_parts} before, and now into {count}"
            raise GraphError(message)
        self.n_parts = count
        return [Node(None, self, part) for part in range(count)]

    def select(self, input: Any) -> Any:
        """What a node without a module gives for a table of anything: the table, or the part that it stands for."""
        if self.part is None:
            return input
        parent: Node = self.inputs
        if not tree.is_table(input) or len(input) != parent.n_parts:
            message = (
                f"{parent.label()} is split into {parent.n_parts} at {self.place}, "
                f"but gives {tree.describe(tree.structure_of(input))}"
            )
            raise StructureError(message)
        return input[self.part]

    def annotate(
        self,
        name: str | dict[str, Any] | None = None,
        description: str | None = None,
        graphAttributes: dict[str, Any] | None = None,
    ) -> Node:
        """Name and describe the node, for drawings; the node itself.

        Parameters
        ----------
        name, description
            Text. Errors and tables name the node so too.
        graphAttributes
            Attributes for graphviz, such as ``{"color": "red"}``.

        Torch7's table, ``annotate({"name": ..., "description": ...})``, is taken too.

        Examples
        --------
        >>> import pynngraph as nn
        >>> hidden = nn.Linear(4, 3)().annotate(name="hidden", graphAttributes={"color": "blue"})
        >>> hidden.data.annotations["name"]
        'hidden'
        """
        given = {"name": name, "description": description, "graphAttributes": graphAttributes}
        notes = name if isinstance(name, dict) else {key: note for key, note in given.items() if note is not None}
        for key, wanted in (("name", str), ("description", str), ("graphAttributes", dict)):
            if not isinstance(notes.get(key, wanted()), wanted):
                message = f"{self.label()}: the {key} of annotate must be {wanted.__name__}, got {notes[key]!r}"
                raise GraphError(message)
        self.data.annotations.update(notes)
        return self

    # ---- results and hooks ---------------------------------------------------------------------

    @property
    def input(self) -> Any:
        """What the node took in the last forward."""
        return kept(self.evaluation, "input", self.label())

    @property
    def output(self) -> Any:
        """What the node gave in the last forward."""
        return kept(self.evaluation, "output", self.label())

    @property
    def gradOutput(self) -> Any:
        """The gradient of the node's output in the last backward, from all nodes that take it."""
        return kept(self.evaluation, "gradOutput", self.label())

    @property
    def gradInput(self) -> Any:
        """The gradient of the node's input in the last backward, nested as the input is: this node's part of it."""
        return kept(self.evaluation, "gradInput", self.label())

    @property
    def has_hooks(self) -> bool:
        """Whether a function is to be called when the node runs."""
        return bool(self.forward_hooks or self.backward_hooks)

    def onForward(self, function: Any) -> Hook:
        """Call ``function(node, input, output)`` each time the node has run forward, from the next forward on.

        The arrays are read-only copies, good to keep; what the function returns is not used, and what it raises
        ends the run. Of a gradient the same is told by :meth:`onBackward`.

        Returns
        -------
        A handle, whose ``remove()`` ends it.

        Examples
        --------
        >>> import numpy as np, pynngraph as nn
        >>> node = nn.Identity()()
        >>> hidden = nn.MulConstant(2)(node)
        >>> hook = hidden.onForward(lambda node, input, output: print(output))
        >>> out = nn.gModule([node], [nn.Tanh()(hidden)]).forward(np.ones(2))
        [2. 2.]
        >>> hook.remove()
        """
        return Hook(self, "forward_hooks", function)

    def onBackward(self, function: Any) -> Hook:
        """Call ``function(node, gradInput, gradOutput)`` each time a gradient has come to the node's input.

        That is so in no backward for nodes whose input has none, as indices. See :meth:`onForward`.
        """
        return Hook(self, "backward_hooks", function)

    # ---- text ----------------------------------------------------------------------------------

    @property
    def name(self) -> str | None:
        """The name that the node was annotated with."""
        name: str | None = self.data.annotations.get("name")
        return name

    def kind(self) -> str:
        """What the node does, without its name and place."""
        if self.data.module is not None:
            return self.data.module.label()
        return "nest" if self.part is None else f"part {self.part} of {self.inputs.n_parts}"

    def label(self) -> str:
        """The node in words: its name, what it is, and the line that made it."""
        return f"{self.name + ', ' if self.name else ''}{self.kind()} at {self.place}"

    __array_ufunc__ = None  # so that `array - node` comes here too

    def __sub__(self, module: Any) -> Node:
        """``node - module`` is ``module(node)``."""
        if isinstance(module, type) or not hasattr(module, "lower"):
            raise self._no_operand(module)
        made: Node = module(self)
        return made

    def __rsub__(self, other: Any) -> Node:
        """Nothing but an error: what comes after the minus is a module."""
        raise self._no_operand(other)

    def __neg__(self) -> Node:
        """Nothing but an error: ``-module`` makes an input node."""
        raise self._no_operand(self)

    def __call__(self, *_arguments: Any) -> Node:
        """Nothing but an error: modules are called."""
        message = f"{self.label()} is a graph node already: write module(node), or node - module, to go on from it"
        raise GraphError(message)

    def __getitem__(self, place: Any) -> Node:
        """Nothing but an error: :meth:`split` makes nodes of the parts."""
        message = f"{self.label()} is one node: node.split(n) makes a list of nodes of its parts"
        raise GraphError(message)

    def _no_operand(self, got: Any) -> GraphError:
        what = "a node: leave out its last ()" if isinstance(got, Node) else _no_module(got)
        return GraphError(f"{self.label()}: minus is for node - module and -module, got {what}")

    def __repr__(self) -> str:
        return f"<Node {self.label()}>"


class Hook:
    """A function that is called when a node runs."""

    def __init__(self, node: Node, direction: str, function: Any) -> None:
        if not callable(function):
            message = f"a hook is a function of a node and two tables of arrays, got {function!r}"
            raise GraphError(message)
        self._node = node
        self._direction = direction
        self.function = function
        setattr(node, direction, (*getattr(node, direction), self))
        Changes.count += 1

    def remove(self) -> None:
        """Call the function no more."""
        hooks = getattr(self._node, self._direction)
        setattr(self._node, self._direction, tuple(hook for hook in hooks if hook is not self))
        Changes.count += 1


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
    return Node(None, _checked(nodes, lambda: "nest"))


def _checked(inputs: Any, name: Callable[[], str]) -> Any:
    """A node or nested list of nodes, nested as given; else an error with its name, the position and a hint."""
    if isinstance(inputs, Node):
        return inputs
    leaves, structure = tree.flatten(inputs)
    if not leaves or _holds_empty(structure):
        message = f"{name()} was given an empty list where nodes are meant"
        raise GraphError(message)
    for place, leaf in enumerate(leaves):
        if not isinstance(leaf, Node):
            for node in filter(_is_node, leaves):
                node.is_packed = True  # made for this call alone, maybe: the next one shall not stumble over it
            path = tree.paths(structure)[place]
            where = f"entry {path} of the input" if path else "the input"
            message = f"{name()}: {where} is {_no_node(leaf)}"
            raise GraphError(message)
    return tree.rebuild(structure, leaves)  # the caller may change its lists later


def _holds_empty(structure: tree.Structure) -> bool:
    entries = tree.entries(structure)
    return bool(structure) and (not entries or any(map(_holds_empty, entries)))


def _is_node(leaf: Any) -> bool:
    return isinstance(leaf, Node)


def _no_module(got: Any) -> str:
    """What was given where a module is meant."""
    return f"the class {got.__name__}: write {got.__name__}(...)" if isinstance(got, type) else type(got).__name__


def _no_node(got: Any) -> str:
    """What was given where a node is meant, and what was probably forgotten."""
    if hasattr(got, "lower"):
        is_class = isinstance(got, type)
        name = got.__name__ if is_class else type(got).__name__
        what = f"the class {name}" if is_class else "a module, not a node"
        return f"{what}: write {name}(...)(node), or {name}(...)() for an input of the graph"
    if got is None:
        return "None: was a variable not set?"
    if hasattr(got, "__array__"):
        return "an array: calling makes graph nodes; to compute use forward"
    return f"{type(got).__name__}, not a node"


def call_module(module: Module, inputs: tuple[Any, ...]) -> Node:
    """The node for a call of a module."""
    if not inputs:
        return Node(module, None)
    if len(inputs) > 1:
        arrays = any(hasattr(entry, "__array__") for entry in inputs)
        hint = "to compute use forward" if arrays else "write module([a, b])"
        message = f"{module.label()} called at {calling_place()} takes one node or one list of nodes: {hint}"
        raise GraphError(message)
    return Node(module, _checked(inputs[0], lambda: f"{module.label()} called at {calling_place()}"))
