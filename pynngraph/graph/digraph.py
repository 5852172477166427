"""A graph's nodes with its edges: what Torch7's ``graph`` package gives as ``fg`` and ``bg``."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .gmodule import gModule
    from .node import Node


class Digraph:
    """Nodes, and edges in one direction.

    Attributes
    ----------
    nodes
        Each node after those that its edges come from.
    edges
        Pairs of nodes, from and to; a node that stands twice in an input has two.
    owner
        The graph that it is of.
    """

    def __init__(
        self, owner: gModule, nodes: list[Node], edges: list[tuple[Node, Node]], *, is_backward: bool = False
    ) -> None:
        self.owner = owner
        self.nodes = nodes
        self.edges = edges
        self.is_backward = is_backward

    def reverse(self) -> Digraph:
        """The same with all edges turned."""
        edges = [(to, from_) for from_, to in reversed(self.edges)]
        return Digraph(self.owner, self.nodes[::-1], edges, is_backward=not self.is_backward)

    def roots(self) -> list[Node]:
        """The nodes that no edge leads to."""
        reached = {id(to) for _, to in self.edges}
        return [node for node in self.nodes if id(node) not in reached]

    def leaves(self) -> list[Node]:
        """The nodes that no edge leads from."""
        left = {id(from_) for from_, _ in self.edges}
        return [node for node in self.nodes if id(node) not in left]

    def topsort(self) -> list[Node]:
        """The nodes, each after those that its edges come from."""
        return list(self.nodes)

    def __repr__(self) -> str:
        direction = "backward" if self.is_backward else "forward"
        return f"<{direction} graph of {self.owner.label()}: {len(self.nodes)} nodes, {len(self.edges)} edges>"

    def __iter__(self) -> Iterator[Node]:
        return iter(self.nodes)

    def __len__(self) -> int:
        return len(self.nodes)
