"""What a module's programs and plans tell of the modules inside: shapes, work, memory."""

from __future__ import annotations

import itertools
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import tree
from .._engine import INDEX, INDEX_DTYPE
from ..nn.module import same_modules
from .gmodule import gModule

if TYPE_CHECKING:
    from ..nn.execution import Ready
    from ..nn.lowering import Site, Values, Visit
    from ..nn.module import Module


class Known:
    """What a program and its plan tell of the modules in it."""

    def __init__(self, ready: Ready) -> None:
        self._plan = plan = ready.plan
        lowered = ready.lowered
        self._sizes = (lowered.dtype.itemsize, INDEX_DTYPE.itemsize)
        self._inside: dict[int, list[Visit]] = {}
        self.root: Visit | None = None  # of the module that was run
        for visit in sorted(lowered.visits, key=lambda visit: visit.site.number):
            if visit.site.outer is None:
                self.root = visit
            else:
                self._inside.setdefault(id(visit.site.outer), []).append(visit)
        work = map(plan.multiply_adds, range(plan.program.n_ops))
        self._work = [0, *itertools.accumulate(work)]
        # What a run needs beside its arrays, packed forms of frozen parameters too.
        self.arena = plan.arena_size + sum(map(plan.packed_size, range(len(lowered.cells))))

    def inside(self, site: Site) -> list[Visit]:
        """The visits directly inside of a site, in order."""
        return self._inside.get(id(site), [])

    def shapes(self, values: Values) -> Any:
        """The shapes of a table of values."""
        return tree.map_leaves(self._plan.shape, values)

    def bytes(self, value: int) -> int:
        """How much memory an array of this value takes."""
        is_index = self._plan.program.kinds[value] == INDEX
        return prod(self._plan.shape(value)) * self._sizes[is_index]

    def multiply_adds(self, visit: Visit) -> int:
        """The work of one forward at a visit."""
        return self._work[visit.end_op] - self._work[visit.first_op]

    def makes(self, visit: Visit) -> list[int]:
        """The values that are made at a visit, of those that it gives: none where it only passes some on."""
        if visit.first_op == visit.end_op:
            return []
        return list(dict.fromkeys(tree.flatten(visit.output)[0]))


def of_last_call(module: Module) -> Known | None:
    """What the module's last forward tells, if there was one and the module is still the same."""
    call = module.own_call()
    if call is None or call.ready.lowered.dtype != module.dtype:
        return None
    return Known(call.ready) if same_modules(call.ready.fingerprint, module.fingerprint()) else None


def of_nodes(graph: gModule) -> dict[int, tuple[Any, Any]]:
    """The shapes of the inputs and outputs of a graph's nodes, by the nodes' ids, as far as they are known."""
    known = of_last_call(graph)
    if known is not None and known.root is not None:
        return {
            id(visit.site.node): (known.shapes(visit.input), known.shapes(visit.output))
            for visit in known.inside(known.root.site)
        }
    shapes = {}
    for node in graph:
        kept = node.evaluation
        if kept is not None and kept.is_of_last_call and kept.input is not None and kept.output is not None:
            input, output = (tree.map_leaves(np.shape, table) for table in (kept.input, kept.output))
            shapes[id(node)] = input, output
    return shapes
