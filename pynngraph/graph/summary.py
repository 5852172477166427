"""Tables of what modules are made of: shapes, parameters, multiply-adds, memory."""

from __future__ import annotations

import itertools
import re
import sys
from math import prod
from typing import TYPE_CHECKING, Any, NamedTuple, TextIO

import numpy as np

from .. import tree
from .._engine import INDEX, INDEX_DTYPE
from .gmodule import gModule

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..nn.execution import Ready
    from ..nn.lowering import Site, Values, Visit
    from ..nn.module import Module
    from .node import Node

WIDTH = 120  # columns that a table takes at most
GAP = "  "  # between two of its columns
MOST_ROWS = 200  # rows of a printed table
MOST_NAMED = 4  # entries of a table of shapes, and sources of a node, that are written out


# ---- what is known of a run ----------------------------------------------------------------------


class Known:
    """What a program and its plan tell of the modules in it."""

    def __init__(self, ready: Ready) -> None:
        self._plan = plan = ready.plan
        lowered = ready.lowered
        self._sizes = (lowered.dtype.itemsize, INDEX_DTYPE.itemsize)
        self._inside: dict[int, list[Visit]] = {}
        self._root: Visit | None = None
        for visit in sorted(lowered.visits, key=lambda visit: visit.site.number):
            if visit.site.outer is None:
                self._root = visit
            else:
                self._inside.setdefault(id(visit.site.outer), []).append(visit)
        work = map(plan.multiply_adds, range(plan.program.n_ops))
        self._work = [0, *itertools.accumulate(work)]
        self.arena = plan.arena_size

    @property
    def root(self) -> Visit | None:
        """The visit of the module that was run."""
        return self._root

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
    execution = module.__dict__.get("_run")
    call = None if execution is None else execution.last_call()
    if call is None or call.ready.lowered.dtype != module.dtype:
        return None
    return Known(call.ready) if _structure(call.fingerprint) == _structure(module.fingerprint()) else None


def _structure(fingerprint: Any) -> list[Any]:
    """What a fingerprint says of the modules, but for whether they are in training."""
    return [(id(module), version, count) for module, version, _, count in fingerprint[1:]]


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
        if kept is not None and kept.is_valid and kept.input is not None and kept.output is not None:
            input, output = (tree.map_leaves(np.shape, table) for table in (kept.input, kept.output))
            shapes[id(node)] = input, output
    return shapes


# ---- text ----------------------------------------------------------------------------------------

_UNPRINTABLE = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff\ufffe\uffff]")


def printable(text: object) -> str:
    """Text without control characters other than newlines: they are written as Python writes them."""
    lines = str(text).replace("\r\n", "\n")
    return _UNPRINTABLE.sub(lambda found: found[0].encode("unicode_escape").decode(), lines)


def shapes_text(shapes: Any) -> str:
    """Shapes as text, nested as they are: ``[3x5, (2, 2)]``; of long tables, the first entries."""
    if isinstance(shapes, tuple) and all(type(size) is int for size in shapes):
        return "x".join(map(str, shapes)) or "scalar"
    inside = ", ".join(_first(map(shapes_text, shapes), len(shapes)))
    return f"[{inside}]" if isinstance(shapes, list) else f"({inside})"


def _first(texts: Iterator[str], count: int) -> list[str]:
    """The first of so many texts, and how many more there are."""
    if count <= MOST_NAMED:
        return list(texts)
    return [*itertools.islice(texts, MOST_NAMED - 1), f"... {count - MOST_NAMED + 1} more"]


def _bytes_text(count: int) -> str:
    """``1.5 KiB``."""
    if count < 1024:
        return f"{count} B"
    units = iter(("KiB", "MiB", "GiB"))
    size, unit = count / 1024, next(units)
    while size >= 1023.95 and unit != "GiB":
        size, unit = size / 1024, next(units)
    return f"{size:,.1f} {unit}"


# ---- rows ----------------------------------------------------------------------------------------


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
    what the engine in fact needs for training beside parameters, gradients, inputs and outputs.
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
        self.title = f"{_one_line(what)}, {module.dtype}"
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
            _one_line(name),
            _one_line(kind),
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
        _fit(columns, width)
        lines = [GAP.join(column.cell(place) for column in columns).rstrip() for place in range(-1, len(rows) + 1)]
        rule = "-" * max(map(len, lines))
        head, *body, total = lines
        if left_out > 0:
            body.insert(max(2, most) // 2, f"... {left_out:,} more")
        return "\n".join([self.title, rule, head, rule, *body, rule, total, *self._notes(rows)])

    def _columns(self, rows: list[Row]) -> list[_Column]:
        """All columns; the last text of each is that of the line of totals."""
        sources = [", ".join(_first(iter(row.sources), len(row.sources))) for row in rows]
        shapes = [
            ["" if shape is None else shapes_text(shape) for shape in (*(getattr(row, side) for row in rows), None)]
            for side in ("input", "output")
        ]
        memory = [_count(row.memory, _bytes_text) for row in rows]
        return [
            _Column("place", [*(row.place for row in rows), "total"]),
            _Column("name", [*(row.name for row in rows), ""], is_flexible=True),
            _Column("module", [*("  " * row.depth + row.module for row in rows), ""], is_flexible=True),
            _Column("from", [*sources, ""], is_flexible=True),
            _Column("input", shapes[0], is_flexible=True),
            _Column("output", shapes[1], is_flexible=True),
            _Column("parameters", [*map(_parameters_text, rows), f"{self.parameters:,} "], is_number=True),
            _Column(
                "multiply-adds",
                [
                    *(_count(row.multiply_adds, "{:,}".format) for row in rows),
                    _total(self.multiply_adds, "{:,}".format),
                ],
                is_number=True,
            ),
            _Column("memory", [*memory, _total(self.memory.outputs, _bytes_text)], is_number=True),
        ]

    def _notes(self, rows: list[Row]) -> list[str]:
        parts = []
        if self.parameters:
            parts.append(f"parameters {_bytes_text(self.memory.parameters)}")
            parts.append(f"their gradients {_bytes_text(self.memory.gradients)}")
        if self.memory.arena is not None and self.memory.outputs is not None:
            parts.append(f"outputs {_bytes_text(self.memory.outputs)}")
            parts.append(f"the engine's arena for training {_bytes_text(self.memory.arena)}")
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


def _one_line(text: str) -> str:
    return " ".join(printable(text).split())


def _parameters_text(row: Row) -> str:
    # A star or a space: the digits stay aligned.
    return f"{row.parameters:,}{'*' if row.shared else ' '}" if row.parameters else ""


def _count(number: int | None, text: Any) -> str:
    """A number in a row: nothing where it is not known, or nothing."""
    return text(number) if number else ""


def _total(number: int | None, text: Any) -> str:
    return "" if number is None else text(number)


class _Column:
    """A column of a table."""

    LEAST = 8  # what a flexible column keeps

    def __init__(self, heading: str, texts: list[str], *, is_flexible: bool = False, is_number: bool = False) -> None:
        self.heading = heading
        self.texts = texts
        self.is_flexible = is_flexible
        self._is_number = is_number
        self.width = max(map(len, (heading, *texts)))

    def cell(self, place: int) -> str:
        """The text at a place; the heading at -1."""
        text = self.heading if place < 0 else self.texts[place]
        if len(text) > self.width:
            text = text[: self.width - 3].rstrip(" ,.") + "..."
        return text.rjust(self.width) if self._is_number else text.ljust(self.width)


def _fit(columns: list[_Column], width: int) -> None:
    """Make the widest columns narrower until all fit."""
    flexible = [column for column in columns if column.is_flexible]
    excess = sum(column.width + len(GAP) for column in columns) - len(GAP) - width
    while excess > 0 and flexible:
        widest = max(flexible, key=lambda column: column.width)
        if widest.width <= _Column.LEAST:
            return
        widest.width -= 1
        excess -= 1


# ---- the function --------------------------------------------------------------------------------


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
    >>> table = nn.summary(net, np.zeros((2, 4)))
    nn.Sequential of 2 modules, float64: 2x4 -> 2x3
    -----------------------------------------------------------------------
    place  module          input  output  parameters  multiply-adds  memory
    -----------------------------------------------------------------------
    0      Linear(4 -> 3)  2x4    2x3            15              24    48 B
    1      Tanh            2x3    2x3                                  48 B
    -----------------------------------------------------------------------
    total                                        15              24    96 B
    memory: parameters 120 B, their gradients 120 B, outputs 96 B, the engine's arena for training 128 B
    >>> table.parameters, table.rows[0].output
    (15, (2, 3))
    """
    known = of_last_call(module) if input is None else Known(_prepared(module, input))
    table = Summary(module, known)
    (sys.stdout if file is None else file).write(f"{table}\n")
    return table


def _prepared(module: Module, input: Any) -> Ready:
    """A plan for an input; buffers too are afterwards as they were."""
    inside = module.listModules()
    buffers = []
    if any(type(each).is_host for each in inside):  # what is before it runs
        buffers = [cell for each in inside for cell in each._buffers.values()]
    before = [np.array(cell.data) for cell in buffers]
    try:
        return module._execution.prepared(input)
    finally:
        for cell, values in zip(buffers, before, strict=True):
            np.copyto(cell.data, values)
