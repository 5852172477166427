"""How often modules are run in a whole, where some stand at several places."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..nn.module import Module

MAX_DEPTH = 100  # of modules in modules
MAX_VISITS = 1_000_000


def count_visits(module: Module) -> int:
    """How many evaluations of modules a whole is, at least until there are more than :data:`MAX_VISITS`.

    A module that holds another twice, which holds another twice, and so on, is small in a file and endless to run.

    Raises
    ------
    ValueError
        If modules are nested too deep, or are too many; or if one contains itself.
    """
    counts: dict[int, int] = {}
    inside: set[int] = set()

    def visit(one: Module) -> int:
        known = counts.get(id(one))
        if known is not None:
            return known
        if id(one) in inside:
            raise ValueError("a module contains itself")
        if len(inside) >= MAX_DEPTH:
            raise ValueError(f"modules are nested deeper than {MAX_DEPTH}")
        inside.add(id(one))
        counts[id(one)] = 1 + sum(map(visit, one.children()))
        inside.discard(id(one))
        return counts[id(one)]

    count = visit(module)
    if count > MAX_VISITS:
        raise ValueError(f"modules stand in one another {count} times")
    return count
