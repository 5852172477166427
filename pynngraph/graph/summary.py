"""Tables of what modules are made of: shapes, parameters, multiply-adds, memory."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, NamedTuple, TextIO

from ..nn.module import check_module
from ..nn.parameter import unchanged
from ..text import WIDTH, Column, bytes_text, first_of, fit, lines_of, one_line, shapes_text
from .gmodule import gModule
from .known import Known, of_last_call

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..nn.execution import Ready
    from ..nn.lowering import Visit
    from ..nn.module import Module
    from .node import Node

MOST_ROWS = 200  # rows of a printed table


class Row(NamedTuple):
    """A line of a :class:`Summary`: a graph node, or a module in a container.

    Attributes
    ----------
    place
        The node's number, or the module's place in its container, after the place of what it is in: ``"2.0"``.
    depth
        How many graphs and containers it is in, beside the whole.
    name, module
        The name that a node was annotated with, and the module in words.
    sources
        The numbers of the nodes, of the same graph, that a node's input comes from; ``"input"`` for the graph's.
    input, output
        Shapes: a tuple of sizes, or a table of such tuples; None if they are not known.
    parameters, shared
        How many parameters there are, of a container in all modules inside; how many of them rows above have too.
    multiply_adds
        Of one forward, in matrix products; None if that is not known.
    memory
        Bytes of the output: 0 where it is the input, a part of it or a parameter; None if they are not known.
    """

    place: str
    depth: int
    name: str
    module: str
    sources: tuple[str, ...]
    input: Any
    output: Any
    parameters: int
    shared: int
    multiply_adds: int | None
    memory: int | None


class Memory(NamedTuple):
    """Bytes of a module's arrays.

    ``outputs`` is the sum over all that modules inside give, as if each array were there for itself; ``arena`` is
    what the engine in fact needs for training beside parameters, gradients, inputs and outputs, with what it makes of
    frozen parameters.
    """

    parameters: int
    gradients: int
    outputs: int | None
    arena: int | None


class _Entry(NamedTuple):
    """A row to be: where it stands, and what is there."""

    place: str
    depth: int
    module: Module | None
    node: Node | None
    sources: tuple[str, ...]
    visit: Visit | None


def _entries(module: Module, known: Known | None) -> Iterator[_Entry]:
    """What is in a module, at any depth, each before what is in it; the module itself if there is nothing in it."""
    root = _Entry("", -1, module, None, (), None if known is None else known.root)
    waiting = [iter(_inside(root, known) or [root._replace(depth=0)])]
    while waiting:
        for entry in waiting[-1]:
            yield entry
            inside = [] if entry.module is module else _inside(entry, known)
            if inside:
                waiting.append(iter(inside))
                break
        else:
            waiting.pop()


def _inside(entry: _Entry, known: Known | None) -> list[_Entry]:
    """What is directly in a module: as it was visited, and what was not visited."""
    module, visit = entry.module, entry.visit
    if module is None:
        return []
    prefix = f"{entry.place}." if entry.place else ""
    depth = entry.depth + 1
    visits = [] if known is None or visit is None else known.inside(visit.site)
    if isinstance(module, gModule):
        return _nodes(module, prefix, depth, visits)
    children = module.children()
    places: dict[int, list[int]] = {}
    for place, child in enumerate(children):
        places.setdefault(id(child), []).append(place)
    times: dict[int, int] = {}  # how often each module was visited
    entries = []
    for seen in visits:
        key = id(seen.site.module)
        at = places.get(key)
        text = f"{prefix}{at[min(times.get(key, 0), len(at) - 1)]}" if at else ""
        times[key] = times.get(key, 0) + 1
        entries.append(_Entry(text, depth, seen.site.module, None, (), seen))
    entries += [
        _Entry(f"{prefix}{place}", depth, child, None, (), None)
        for place, child in enumerate(children)
        if id(child) not in times
    ]
    return entries


def _nodes(graph: gModule, prefix: str, depth: int, visits: list[Visit]) -> list[_Entry]:
    of_node = {id(visit.site.node): visit for visit in visits}
    number = {id(node): str(place) for place, node in enumerate(graph)}
    given = {id(node): f"input {place}" if graph.nInputs > 1 else "input" for place, node in enumerate(graph.inputs)}
    entries = []
    for node in graph:
        key = id(node)
        sources = (given[key],) if key in given else tuple(number[id(parent)] for parent in node.parents())
        place = f"{prefix}{number[key]}"
        entries.append(_Entry(place, depth, node.data.module, node, sources, of_node.get(key)))
    return entries


class _Parameters:
    """Counts parameters, and which of them were counted before."""

    def __init__(self) -> None:
        self._seen: set[int] = set()

    def of(self, module: Module | None) -> tuple[int, int]:
        """How many a module has, and how many of them rows above have."""
        if module is None:
            return 0, 0
        own = module._cells.values()
        inside = module.children()
        if not own and not inside:
            return 0, 0
        sizes = {id(cell.data_store): cell.data.size for cell in (module.cells() if inside else own)}
        shared = sum(size for key, size in sizes.items() if key in self._seen)
        self._seen.update(id(cell.data_store) for cell in own)  # what is inside gets rows of its own
        return sum(sizes.values()), shared


class Summary:
    """A table of what a module is made of: see :func:`summary`.

    Attributes
    ----------
    title
        The module, and the shapes of its input and output.
    rows
        A :class:`Row` for each node, and for each module in containers.
    parameters
        How many parameters there are; shared ones count once.
    multiply_adds
        Of one forward, in matrix products; None without known shapes.
    memory
        A :class:`Memory`.
    """

    def __init__(self, module: Module, known: Known | None) -> None:
        self.rows: list[Row] = []
        made: dict[int, None] = {}
        self._python = False  # whether there are modules whose work is not known
        parameters = _Parameters()
        for entry in _entries(module, known):
            self.rows.append(self._row(entry, known, parameters, made))
        root = None if known is None else known.root
        what = repr(module) if isinstance(module, gModule) else f"nn.{module.label()}"
        self.title = f"{one_line(what)}, {module.dtype}"
        outputs = arena = None
        self.multiply_adds: int | None = None
        if known is not None and root is not None:
            self.title += f": {shapes_text(known.shapes(root.input))} -> {shapes_text(known.shapes(root.output))}"
            self.multiply_adds = known.multiply_adds(root)
            outputs, arena = sum(map(known.bytes, made)), known.arena
        cells = module.cells()
        data = {id(cell.data_store): cell.data for cell in cells}
        grads = {id(cell.grad_store): cell.grad.nbytes for cell in cells if cell.grad is not None}
        self.parameters = sum(array.size for array in data.values())
        self.memory = Memory(sum(array.nbytes for array in data.values()), sum(grads.values()), outputs, arena)

    def _row(self, entry: _Entry, known: Known | None, parameters: _Parameters, made: dict[int, None]) -> Row:
        module, node, visit = entry.module, entry.node, entry.visit
        input = output = work = memory = None
        if known is not None and visit is not None:
            input, output = known.shapes(visit.input), known.shapes(visit.output)
            makes = known.makes(visit)
            memory = sum(map(known.bytes, makes))
            if not known.inside(visit.site):
                made.update(dict.fromkeys(makes))
            if module is not None and type(module).is_host:
                self._python = True
            else:
                work = known.multiply_adds(visit)
        count, shared = parameters.of(module)
        name = (node.name or "") if node is not None else ""
        kind = node.kind() if module is None and node is not None else module.label()  # type: ignore[union-attr]
        return Row(
            entry.place,
            entry.depth,
            one_line(name),
            one_line(kind),
            entry.sources,
            input,
            output,
            count,
            shared,
            work,
            memory,
        )

    def text(self, width: int = WIDTH, most: int = MOST_ROWS) -> str:
        """The table.

        Parameters
        ----------
        width
            How many columns it may take; longer texts are cut.
        most
            How many rows to print: of more, the first and the last ones.
        """
        rows = self.rows
        left_out = len(rows) - max(2, most)
        if left_out > 0:
            rows = [*rows[: max(2, most) // 2], *rows[len(rows) - (max(2, most) + 1) // 2 :]]
        columns = [column for column in self._columns(rows) if any(column.texts)]
        fit(columns, width)
        head, *body, total = lines = lines_of(columns)
        rule = "-" * max(map(len, lines))
        if left_out > 0:
            body.insert(max(2, most) // 2, f"... {left_out:,} more")
        return "\n".join([self.title, rule, head, rule, *body, rule, total, *self._notes(rows)])

    def _columns(self, rows: list[Row]) -> list[Column]:
        """All columns; the last text of each is that of the line of totals."""
        sources = [", ".join(first_of(iter(row.sources), len(row.sources))) for row in rows]
        shapes = [
            ["" if shape is None else shapes_text(shape) for shape in (*(getattr(row, side) for row in rows), None)]
            for side in ("input", "output")
        ]
        memory = [_count(row.memory, bytes_text) for row in rows]
        return [
            Column("place", [*(row.place for row in rows), "total"]),
            Column("name", [*(row.name for row in rows), ""], is_flexible=True),
            Column("module", [*("  " * row.depth + row.module for row in rows), ""], is_flexible=True),
            Column("from", [*sources, ""], is_flexible=True),
            Column("input", shapes[0], is_flexible=True),
            Column("output", shapes[1], is_flexible=True),
            Column("parameters", [*map(_parameters_text, rows), f"{self.parameters:,} "], is_number=True),
            Column(
                "multiply-adds",
                [
                    *(_count(row.multiply_adds, "{:,}".format) for row in rows),
                    _total(self.multiply_adds, "{:,}".format),
                ],
                is_number=True,
            ),
            Column("memory", [*memory, _total(self.memory.outputs, bytes_text)], is_number=True),
        ]

    def _notes(self, rows: list[Row]) -> list[str]:
        parts = []
        if self.parameters:
            parts.append(f"parameters {bytes_text(self.memory.parameters)}")
            parts.append(f"their gradients {bytes_text(self.memory.gradients)}")
        if self.memory.arena is not None and self.memory.outputs is not None:
            parts.append(f"outputs {bytes_text(self.memory.outputs)}")
            parts.append(f"the engine's arena for training {bytes_text(self.memory.arena)}")
        notes = [f"memory: {', '.join(parts)}"] if parts else []
        if any(row.shared for row in rows):
            notes.append("* parameters that a row above has too: counted once")
        if self._python:
            notes.append("multiply-adds are without those of modules written in Python")
        return notes

    def __str__(self) -> str:
        return self.text()

    def __repr__(self) -> str:
        return f"<Summary of {self.title}: {len(self.rows)} rows, {self.parameters:,} parameters>"


def _parameters_text(row: Row) -> str:
    # A star or a space: the digits stay aligned.
    return f"{row.parameters:,}{'*' if row.shared else ' '}" if row.parameters else ""


def _count(number: int | None, text: Any) -> str:
    """A number in a row: nothing where it is not known, or nothing."""
    return text(number) if number else ""


def _total(number: int | None, text: Any) -> str:
    return "" if number is None else text(number)


def summary(module: Module, input: Any = None, file: TextIO | None = None) -> Summary:
    """Print a table of what a module is made of: shapes, parameters, multiply-adds and memory.

    Parameters
    ----------
    module
        A graph, a container, or any other module. A graph's rows are its nodes; graphs and containers inside are
        followed by what is in them.
    input
        Arrays as for ``forward``. The module is planned for them and not run, so that the last call, its results,
        parameters and random numbers stay as they are. Only modules written in Python are run, to see what they
        give. Without an input, shapes are those of the last ``forward``, if there was one.
    file
        Where to print, instead of the standard output.

    Returns
    -------
    A :class:`~pynngraph.graph.summary.Summary`, with the numbers.

    Examples
    --------
    >>> import numpy as np, pynngraph as nn
    >>> net = nn.Sequential(nn.Linear(4, 3), nn.Tanh())
    >>> table = nn.summary(net, np.zeros((2, 4)))  # doctest: +ELLIPSIS
    nn.Sequential of 2 modules, float64: 2x4 -> 2x3
    -----------------------------------------------------------------------
    place  module          input  output  parameters  multiply-adds  memory
    -----------------------------------------------------------------------
    0      Linear(4 -> 3)  2x4    2x3            15              24    48 B
    1      Tanh            2x3    2x3                                  48 B
    -----------------------------------------------------------------------
    total                                        15              24    96 B
    memory: parameters 120 B, their gradients 120 B, outputs 96 B, the engine's arena for training ... B
    >>> table.parameters, table.rows[0].output
    (15, (2, 3))
    """
    check_module(module, "summary")
    known = of_last_call(module) if input is None else Known(_prepared(module, input))
    table = Summary(module, known)
    (sys.stdout if file is None else file).write(f"{table}\n")
    return table


def _prepared(module: Module, input: Any) -> Ready:
    """A plan for an input; buffers too are afterwards as they were."""
    inside = module.listModules()
    has_python = any(type(each).is_host for each in inside)  # what is before it runs
    buffers = [cell.data for each in inside for cell in each._buffers.values()] if has_python else []
    with unchanged(buffers):
        return module._execution.prepared(input)
