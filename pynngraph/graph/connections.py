"""What can be wrong with the connections of a graph: all of it is told at once."""

from __future__ import annotations

from ..errors import GraphError
from .node import Node

MOST_TOLD = 50  # faults in one message
# A notebook's cell that was run twice.
MADE_AGAIN = " (its line has also made a node that does: if it was run again, make the graph's inputs anew too)"


def check_connections(inputs: list[Node], order: list[Node]) -> None:
    """Raise a GraphError that names all nodes at fault.

    Parameters
    ----------
    inputs
        The nodes that the input goes to.
    order
        The nodes that the outputs are computed from.
    """
    reached = {id(node) for node in order}
    faults = _faults_of_inputs(inputs, reached) + _faults_of_roots(inputs, order) + _loose_ends(inputs, order)
    if not faults:
        return
    more = [f"... and {len(faults) - MOST_TOLD} more"] if len(faults) > MOST_TOLD else []
    message = "this graph is not connected rightly:\n  " + "\n  ".join(faults[:MOST_TOLD] + more)
    raise GraphError(message)


def _faults_of_inputs(inputs: list[Node], reached: set[int]) -> list[str]:
    faults: list[str] = []
    seen: set[int] = set()
    for place, node in enumerate(inputs):
        what = f"entry [{place}] of the inputs, {node.label()},"
        if id(node) in seen:
            faults.append(f"{what} stands there twice")
        elif node.inputs is not None:
            faults.append(f"{what} has an input itself")
        elif id(node) not in reached:
            faults.append(f"{what} reaches no output")
        seen.add(id(node))
    return faults


def _faults_of_roots(inputs: list[Node], order: list[Node]) -> list[str]:
    given = {id(node) for node in inputs}
    return [
        f"{node.label()} has no input, and is not among the inputs of the graph"
        for node in order
        if node.inputs is None and id(node) not in given and _needs_input(node)
    ]


def _needs_input(node: Node) -> bool:
    return node.data.module is None or node.data.module.takes_input


def _loose_ends(inputs: list[Node], order: list[Node]) -> list[str]:
    """Nodes that hang off the graph: they come from its nodes, or from its inputs, and reach none of its outputs."""
    faults: list[str] = []
    loose: list[Node] = []
    seen = {id(node) for node in order}
    waiting = [*order[::-1], *inputs[::-1]]
    while waiting:
        node = waiting.pop()
        unused: list[Node] = []
        for child in node.children:
            if id(child) in seen or child.is_packed:  # other graphs' nodes are not loose
                continue
            seen.add(id(child))
            if child.children:
                waiting.append(child)
            elif child.part is not None:
                unused.append(child)
            else:
                loose.append(child)
        if unused:
            faults.append(_unused_parts(node, unused))
    made = {(node.place, node.kind()) for node in order} if loose else set()
    again = (MADE_AGAIN if (node.place, node.kind()) in made else "" for node in loose)
    return [*faults, *(f"{node.label()} reaches no output{hint}" for node, hint in zip(loose, again, strict=True))]


def _unused_parts(node: Node, unused: list[Node]) -> str:
    *most, last = (str(part.part) for part in unused)
    if most:
        shown = most if len(most) < MOST_TOLD else [*most[:MOST_TOLD], "..."]
        which = f"{len(unused)} are not used: parts {', '.join(shown)} and {last}"
    else:
        which = f"1 is not used: part {last}"
    return f"{node.label()} is split into {node.n_parts} at {unused[0].place}, of which {which}"
