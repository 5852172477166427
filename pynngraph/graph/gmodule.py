"""The module that a graph is packed into."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from operator import is_
from typing import TYPE_CHECKING, Any

from .. import tree
from ..errors import GraphError, StructureError
from ..nn.container import Container
from ..nn.module import Module, check_module
from .node import Node, Place, calling_place

if TYPE_CHECKING:
    from ..nn.lowering import Builder, Values


class gModule(Container):
    """A graph of modules as one module: nngraph's ``gModule``.

    Parameters
    ----------
    inputs
        The nodes, made by ``module()``, that the input goes to: one node takes the input itself, several take the
        entries of a list.
    outputs
        The nodes whose outputs are the output: of one node the output itself, of several a list.

    Modules are in ``modules`` in nngraph's order, which is that of evaluation.

    Raises
    ------
    GraphError
        Naming the source lines of all nodes that are at fault: nodes that reach no output, parts of a split that
        nobody uses, inputs that are missing from the list or have inputs themselves.

    Examples
    --------
    >>> import numpy as np, pynngraph as nn
    >>> in1, in2 = nn.Identity()(), nn.Identity()()
    >>> score = nn.CAddTable()([nn.Linear(3, 5)(in1), nn.Linear(3, 5)(in2)])
    >>> g = nn.gModule([in1, in2], [score])
    >>> x, x_p = np.ones((3, 3)), np.zeros((3, 3))
    >>> out = g.forward([x, x_p])
    >>> [grad.shape for grad in g.backward([x, x_p], np.ones_like(out))]
    [(3, 3), (3, 3)]
    """

    def __init__(self, inputs: Sequence[Node], outputs: Sequence[Node]) -> None:
        super().__init__()
        self._place = calling_place()
        self._inputs = _nodes(inputs, "inputs")
        self._outputs = _nodes(outputs, "outputs")
        self.nInputs = len(self._inputs)
        self.verbose = False
        self.name = "gModule"
        self._order = _evaluation_order(self._outputs)
        _check_connections(self._inputs, self._order)
        for node in self._order:
            if node.module is not None:
                self.modules.append(node.module)

    @property
    def inputs(self) -> list[Node]:
        """The nodes that the input goes to."""
        return self._inputs

    @property
    def outputs(self) -> list[Node]:
        """The nodes that the output comes from."""
        return self._outputs

    @property
    def forwardnodes(self) -> list[Node]:
        """The nodes in the order of evaluation."""
        return self._order

    @property
    def backwardnodes(self) -> list[Node]:
        """The nodes in the opposite order."""
        return self._order[::-1]

    def __iter__(self) -> Iterator[Node]:
        return iter(self._order)

    def lower(self, b: Builder, input: Values) -> Values:
        """Each node's module, in order; nodes are values, or tables of values."""
        of_nodes = [node.module for node in self._order if node.module is not None]
        if len(of_nodes) != len(self.modules) or not all(map(is_, of_nodes, self.modules)):
            message = f"the modules of {self.label()} are those of its nodes: change them with replace"
            raise GraphError(message)
        fed = [input] if self.nInputs == 1 else b.table(input, self.nInputs)
        given = {id(node): values for node, values in zip(self._inputs, fed, strict=True)}
        done: dict[int, Values] = {}
        for node in self._order:
            if node.inputs is None:
                values = given[id(node)]
            else:
                values = tree.map_leaves(lambda parent: done[id(parent)], node.inputs)
            if node.part is not None:
                values = _entry(node, node.part, values)
            elif node.module is not None:
                values = b.lower(node.module, values, str(node.place))
            done[id(node)] = values
        results = [done[id(node)] for node in self._outputs]
        return results[0] if len(results) == 1 else results

    def replace(self, function: Callable[[Module], Module]) -> Module:
        """Put `function(module)` in place of every module, also in the nodes."""
        out = check_module(function(self), "replace")
        replaced: dict[int, Module] = {}
        for node in self._order:
            module = node.module
            if module is not None:
                if id(module) not in replaced:
                    replaced[id(module)] = module.replace(function)
                node.data.module = replaced[id(module)]
        self.modules[:] = [node.module for node in self._order if node.module is not None]
        return out

    def label(self) -> str:
        """The graph and the line that packed it."""
        return f"gModule at {self._place}"

    def __getstate__(self) -> dict[str, Any]:
        # Nodes by number, so that long chains of them do not recurse when copied or saved.
        state = super().__getstate__()
        number = {id(node): place for place, node in enumerate(self._order)}
        state["_order"] = [
            (
                None if node.inputs is None else tree.map_leaves(lambda n: number[id(n)], node.inputs),
                node.module,
                node.part,
                node.n_parts,
                node.data.annotations,
                Place(os.path.basename(node.place.file), node.place.line),  # noqa: PTH119 - no folder of ours
            )
            for node in self._order
        ]
        state["_place"] = Place(os.path.basename(self._place.file), self._place.line)  # noqa: PTH119
        state["_inputs"] = [number[id(node)] for node in self._inputs]
        state["_outputs"] = [number[id(node)] for node in self._outputs]
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        order: list[Node] = []
        for inputs, module, part, n_parts, notes, place in state["_order"]:
            parents = None if inputs is None else tree.map_leaves(order.__getitem__, inputs)
            node = Node(module, parents, part)
            node.n_parts, node.data.annotations, node.place = n_parts, notes, place
            order.append(node)
        nodes = {name: [order[place] for place in state[name]] for name in ("_inputs", "_outputs")}
        super().__setstate__({**state, "_order": order, **nodes})


def _nodes(nodes: Any, what: str) -> list[Node]:
    if isinstance(nodes, Node):
        nodes = [nodes]
    if not isinstance(nodes, (list, tuple)) or not nodes:
        message = f"the {what} of gModule must be a list of nodes, got {nodes!r}"
        raise GraphError(message)
    for place, node in enumerate(nodes):
        if not isinstance(node, Node):
            hint = ": write module() or module(node)" if isinstance(node, Module) else ""
            message = f"entry [{place}] of the {what} of gModule is {type(node).__name__}, not a node{hint}"
            raise GraphError(message)
    return list(nodes)


def _evaluation_order(outputs: list[Node]) -> list[Node]:
    """Nngraph's order: depth first from the outputs, inputs from left to right, each node after its inputs."""
    order: list[Node] = []
    seen: set[int] = set()
    for output in outputs:
        # A stack of nodes with the inputs that are still to be visited: graphs may be very deep.
        if id(output) in seen:
            continue
        seen.add(id(output))
        stack = [(output, iter(output.parents()))]
        while stack:
            node, parents = stack[-1]
            for parent in parents:
                if id(parent) not in seen:
                    seen.add(id(parent))
                    stack.append((parent, iter(parent.parents())))
                    break
            else:
                order.append(node)
                stack.pop()
    return order


def _check_connections(inputs: list[Node], order: list[Node]) -> None:
    """All that is wrong with the connections of a graph, in one error."""
    faults: list[str] = []
    reached = {id(node) for node in order}
    given = {id(node) for node in inputs}
    if len(given) < len(inputs):
        faults.append("a node stands twice among the inputs")
    for node in inputs:
        if node.inputs is not None:
            faults.append(f"{node.label()} is among the inputs, but has an input itself")
        elif id(node) not in reached:
            faults.append(f"{node.label()} is among the inputs, but reaches no output")
    faults.extend(
        f"{node.label()} has no input, and is not among the inputs of the graph"
        for node in order
        if node.inputs is None and id(node) not in given
    )
    faults.extend(_loose_ends(inputs, reached))
    if faults:
        message = "this graph is not connected rightly:\n  " + "\n  ".join(faults)
        raise GraphError(message)


def _loose_ends(inputs: list[Node], reached: set[int]) -> list[str]:
    """Nodes that hang off the graph: they come from its inputs and reach none of its outputs."""
    faults: list[str] = []
    waiting = list(inputs)
    seen: set[int] = set()
    while waiting:
        node = waiting.pop()
        if id(node) in seen:
            continue
        seen.add(id(node))
        for child in node.children:
            if id(child) not in reached and id(child) not in seen:
                if child.part is not None:
                    faults.append(f"{child.label()}, of {node.label()}, is not used")
                elif not child.children:
                    faults.append(f"{child.label()} reaches no output")
            waiting.append(child)
    return faults


def _entry(node: Node, part: int, values: Values) -> Values:
    """The part of a table that a node of a split stands for."""
    parent: Node = node.inputs
    if not tree.is_table(values) or len(values) != parent.n_parts:
        message = (
            f"{parent.label()} is split into {parent.n_parts} at {node.place}, "
            f"but gives {tree.describe(tree.structure_of(values))}"
        )
        raise StructureError(message)
    return values[part]
