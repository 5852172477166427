"""Parameters by name: ``.npz`` files, and the names of weights in others."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..graph.gmodule import gModule

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..nn.module import Module
    from ..nn.parameter import Cell


def named_cells(module: Module) -> list[tuple[str, Cell, bool]]:
    """All parameters and buffers by name, and whether each is a buffer; what is shared is there once.

    A name is the way to a module, by the places of modules in those that they are in, or by the name that
    a graph's node was annotated with; then the parameter's: ``2.0.weight``, ``decoder.bias``.
    """
    found: list[tuple[str, Cell, bool]] = []
    seen: set[int] = set()
    used: set[str] = set()
    for path, inner in _paths(module):
        for cells, is_buffer in ((inner._cells, False), (inner._buffers, True)):
            for key, cell in cells.items():
                if id(cell.data_store) in seen:
                    continue
                seen.add(id(cell.data_store))
                name = f"{path}{key}"
                while name in used:
                    name += "_"
                used.add(name)
                found.append((name, cell, is_buffer))
    return found


def _paths(module: Module) -> Iterator[tuple[str, Module]]:
    """Each module inside, once, with the way to it."""
    done: set[int] = set()
    waiting = [("", module)]
    while waiting:
        path, inner = waiting.pop()
        if id(inner) in done:
            continue
        done.add(id(inner))
        yield path, inner
        names = _child_names(inner)
        waiting.extend((f"{path}{name}.", child) for name, child in reversed(names))


def _child_names(module: Module) -> list[tuple[str, Any]]:
    if not isinstance(module, gModule):
        return [(str(place), child) for place, child in enumerate(module.children())]
    nodes = [node for node in module.forwardnodes if node.module is not None]
    given = [node.name for node in nodes]
    names = []
    for place, node in enumerate(nodes):
        name = node.name
        own = bool(name) and given.count(name) == 1 and "." not in str(name) and not str(name).isdigit()
        names.append((str(name) if own else str(place), node.module))
    return names
