"""The module that a graph is packed into."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from .. import tree
from ..errors import GraphError
from ..nn.container import Container
from ..nn.module import Module
from ..watch import Changes
from .connections import check_connections
from .digraph import Digraph
from .node import Node, Place, calling_place

if TYPE_CHECKING:
    from ..nn.lowering import Builder, Values


class FixedList(list[Module]):
    """The modules of a graph, which cannot be edited here."""

    message = "the modules of a graph are those of its nodes: pack another graph, or use replace"

    def _refuse(self, *_arguments: Any, **_keywords: Any) -> Any:
        """Nothing but an error."""
        raise GraphError(self.message)

    append = extend = insert = remove = pop = clear = reverse = sort = _refuse
    __setitem__ = __delitem__ = __iadd__ = __imul__ = _refuse


class gModule(Container):
    """A graph of modules as one module: nngraph's ``gModule``.

    Parameters
    ----------
    inputs
        The nodes, made by ``module()``, that the input goes to: one node takes the input itself, several take the
        entries of a list. Without any (``[]``), the input is an empty list, and all comes from nodes of
        :class:`~pynngraph.Parameters`.
    outputs
        The nodes whose outputs are the output: of one node the output itself, of several a list.

    Attributes
    ----------
    modules
        The nodes' modules in nngraph's order, which is that of evaluation.
    forwardnodes, backwardnodes
        The nodes in the order of evaluation, and in the opposite one. Iterating over the graph gives the former.
    fg, bg
        The graph with its edges, in either direction.
    innode, outnode
        The nodes, without a module, that stand for the input (its ``children`` take it) and for the output (its
        ``inputs`` give it).
    nInputs
        How many input nodes there are.
    name
        What drawings are called that are made when debugging.
    verbose
        True to print each node as it is evaluated.

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

    takes_nodes = True

    def __init__(self, inputs: Sequence[Node], outputs: Sequence[Node]) -> None:
        self._place = calling_place()
        self._inputs = _nodes(inputs, "inputs", least=0)
        self._outputs = _nodes(outputs, "outputs", least=1)
        self.nInputs = len(self._inputs)
        self.verbose = False
        self.name = "gModule"
        self._order = _evaluation_order(self._outputs)
        for node in self._order:
            node.is_packed = True
        check_connections(self._inputs, self._order)
        self.innode, self.outnode = _ends(self._inputs, self._outputs)

    @property
    def inputs(self) -> list[Node]:
        """The nodes that the input goes to."""
        return self._inputs

    @property
    def outputs(self) -> list[Node]:
        """The nodes that the output comes from."""
        return self._outputs

    @property
    def modules(self) -> Any:
        """The modules of the nodes, in the order of evaluation; a list that cannot be edited."""
        known = self.__dict__.get("_modules")
        count = Changes.count
        if known is None or known[0] != count:
            modules = FixedList(node.data.module for node in self._order if node.data.module is not None)
            known = self.__dict__["_modules"] = (count, modules)
        return known[1]

    @modules.setter
    def modules(self, _value: Any) -> None:
        self._refuse()

    @property
    def forwardnodes(self) -> list[Node]:
        """The nodes in the order of evaluation."""
        return list(self._order)

    @property
    def backwardnodes(self) -> list[Node]:
        """The nodes in the opposite order."""
        return self._order[::-1]

    @property
    def fg(self) -> Digraph:
        """The graph with its edges from each node to those that take its output."""
        edges = [(parent, node) for node in self._order for parent in node.parents()]
        return Digraph(self, self._order, edges)

    @property
    def bg(self) -> Digraph:
        """The graph with its edges from each node to those that its input comes from."""
        return self.fg.reverse()

    @property
    def takes_input(self) -> bool:  # type: ignore[override]
        """Whether a node of this graph, in another one, needs an input."""
        return self.nInputs > 0

    def node(self, which: str | Module) -> Node:
        """The node of a name (see :meth:`Node.annotate` and :func:`pynngraph.annotateNodes`), or of a module.

        Graphs inside of this one are looked through too.

        Raises
        ------
        GraphError
            If there is none, or more than one.

        Examples
        --------
        >>> import pynngraph as nn
        >>> x = nn.Identity()().annotate(name="pixels")
        >>> nn.gModule([x], [nn.Tanh()(x)]).node("pixels") is x
        True
        """
        if isinstance(which, Module):
            found = [node for node in self._all_nodes() if node.data.module is which]
            what = which.label()
        else:
            found = [node for node in self._all_nodes() if node.name == which]
            what = f"name {which!r}"
        if len(found) == 1:
            return found[0]
        if not found:
            names = sorted({node.name for node in self._all_nodes() if node.name})
            hint = (
                f"there are {', '.join(names[:20])}"
                if names
                else "annotate(name=...) and nn.annotateNodes() give names"
            )
            message = f"{self.label()} has no node of {what}: {hint}"
        else:
            message = f"{self.label()} has {len(found)} nodes of {what}: " + ", ".join(map(str, found[:20]))
        raise GraphError(message)

    def _all_nodes(self) -> list[Node]:
        """The nodes of this graph and of all graphs inside, each once."""
        graphs = {id(module): module for module in self.listModules() if isinstance(module, gModule)}
        return [node for graph in graphs.values() for node in graph._order]

    def __iter__(self) -> Iterator[Node]:
        return iter(self._order)

    def lower(self, b: Builder, input: Values) -> Values:
        """Each node's module, in order; nodes are values, or tables of values."""
        fed = [input] if self.nInputs == 1 else b.table(input, self.nInputs)
        given = {id(node): values for node, values in zip(self._inputs, fed, strict=True)}
        done: dict[int, Values] = {}
        for node in self._order:
            if node.inputs is not None:
                values = tree.map_leaves(lambda parent: done[id(parent)], node.inputs)
            else:
                values = given.get(id(node), [])  # modules that take no input get an empty list
            done[id(node)] = b.lower_node(node, values, verbose=bool(self.verbose))
        results = [done[id(node)] for node in self._outputs]
        return results[0] if len(results) == 1 else results

    def replace_children(self, new: dict[int, Module]) -> None:
        """Put other modules in place of the nodes', by their ids."""
        for node in self._order:
            if node.data.module is not None:
                node.data.module = new[id(node.data.module)]

    def watched(self) -> Any:
        """Whether results are kept, and which nodes have hooks."""
        return self.keeps, tuple(place for place, node in enumerate(self._order) if node.has_hooks)

    def forget_evaluations(self) -> None:
        """Drop what was kept of this module and its nodes."""
        super().forget_evaluations()
        for node in self._order:
            node.evaluation = None

    def label(self) -> str:
        """The graph, its name if it was given one, and the line that packed it."""
        return f"gModule {'' if self.name == 'gModule' else f'{self.name} '}at {self._place}"

    def _refuse(self, *_arguments: Any) -> Any:
        """Nothing but an error: a graph's modules are those of its nodes."""
        raise GraphError(FixedList.message)

    add = insert = remove = _refuse  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"nn.{self.label()} of {len(self._order)} node{'' if len(self._order) == 1 else 's'}"

    def __str__(self) -> str:
        from .known import of_last_call  # noqa: PLC0415 - only where a graph is printed
        from .summary import Summary  # noqa: PLC0415

        return str(Summary(self, of_last_call(self)))

    def _repr_svg_(self) -> str | None:
        """The drawing that a notebook shows; None, so that it shows text, where there is none to be had."""
        from .draw import svg  # noqa: PLC0415 - as above

        return svg(self)

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
        for name in ("innode", "outnode", "_modules"):
            state.pop(name, None)
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
        innode, outnode = _ends(nodes["_inputs"], nodes["_outputs"])
        super().__setstate__({**state, "_order": order, **nodes, "innode": innode, "outnode": outnode})


def _nodes(nodes: Any, what: str, least: int) -> list[Node]:
    if isinstance(nodes, Node):
        nodes = [nodes]
    if not isinstance(nodes, (list, tuple)) or len(nodes) < least:
        message = f"the {what} of gModule must be a list of nodes, got {nodes!r}"
        raise GraphError(message)
    for place, node in enumerate(nodes):
        if not isinstance(node, Node):
            hint = ""
            if isinstance(node, Module) or (isinstance(node, type) and issubclass(node, Module)):
                hint = ": write module(...)() or module(...)(node)"
            elif tree.is_table(node):
                hint = ": nn.nest makes a node of several"
            got = f"the class {node.__name__}" if isinstance(node, type) else type(node).__name__
            message = f"entry [{place}] of the {what} of gModule is {got}, not a node{hint}"
            raise GraphError(message)
    return list(nodes)


def _ends(inputs: list[Node], outputs: list[Node]) -> tuple[Node, Node]:
    """The nodes that stand for a graph's input and output."""
    innode, outnode = Node(None, None), Node(None, None)
    innode.children = list(inputs)
    outnode.inputs = list(outputs)
    return innode, outnode


def _evaluation_order(outputs: list[Node]) -> list[Node]:
    """Nngraph's order: depth first from the outputs, inputs from left to right, each node after its inputs."""
    order: list[Node] = []
    is_done: dict[int, bool] = {}  # of nodes that were met
    for output in outputs:
        # A stack of nodes with the inputs that are still to be visited: graphs may be very deep.
        if id(output) in is_done:
            continue
        is_done[id(output)] = False
        stack = [(output, iter(output.parents()))]
        while stack:
            node, parents = stack[-1]
            for parent in parents:
                state = is_done.get(id(parent))
                if state is None:
                    is_done[id(parent)] = False
                    stack.append((parent, iter(parent.parents())))
                    break
                if not state:
                    message = f"the graph has a cycle: {parent.label()} depends on itself, by way of {node.label()}"
                    raise GraphError(message)
            else:
                order.append(node)
                is_done[id(node)] = True
                stack.pop()
    return order
