"""Graphs in ``.t7`` files: nngraph's nodes and ours.

nngraph keeps each graph twice, forward and backward, in two sets of nodes that share their ``data`` tables. A data's
``mapindex`` lists the data that its input comes from, and numbers them. What stands for the input of the whole is
``innode``; where there are several inputs, it is split, and each input node takes a part.
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Any

from .. import nn, tree
from ..errors import Error, FileFormatError
from ..graph.gmodule import gModule
from ..graph.node import Node, Place
from .t7 import Record, Table

if TYPE_CHECKING:
    from ..nn.module import Module
    from .torch_loader import Fields, Loader
    from .torch_saver import Saver

_LABEL = re.compile(r"\[(.*)\]:(\d+)_")

# ---- reading -------------------------------------------------------------------------------------


def load_graph(loader: Loader, record: Record, fields: Fields) -> gModule:
    """The graph for a saved ``nn.gModule``."""
    return _GraphLoader(loader, record, fields).graph()


class _GraphLoader:
    def __init__(self, loader: Loader, record: Record, fields: Fields) -> None:
        self._loader = loader
        self._record = record
        self._out = self._data(fields.get("outnode"), "outnode")
        self._in = self._data(fields.get("innode"), "innode")
        self._verbose = fields.get("verbose") is True
        self._nodes: dict[int, Node] = {}  # by the ids of data
        self._inputs: dict[int, Node] = {}  # by their places
        count = fields.get("nInputs")
        self._n_inputs = int(count) if isinstance(count, float) and count >= 0 else 0

    def _fail(self, what: str) -> FileFormatError:
        return self._loader.fail(self._record, what)

    def _data(self, node: Any, what: str) -> Table:
        fields = node.fields if isinstance(node, Record) else None
        data = fields.get("data") if isinstance(fields, Table) else None
        if not isinstance(data, Table):
            raise self._fail(f"has no {what} with data")
        return data

    def _sources(self, data: Table) -> list[Table]:
        """The data that the input of a node comes from."""
        index = data.get("mapindex")
        sources: list[Table] = []
        if not isinstance(index, Table):
            return sources
        numbered = {key: value for key, value in index.pairs if type(key) is float}
        for place in range(1, len(numbered) + 1):
            source = numbered.get(place)
            if not isinstance(source, Table):
                raise self._fail("has a node with an input that is none")
            sources.append(source)
        return sources

    def graph(self) -> gModule:
        """The whole."""
        outputs = self._sources(self._out)
        if not outputs:
            raise self._fail("has no outputs")
        self._make(outputs)
        first_input = min(self._inputs, default=0)
        inputs = [self._inputs[place] for place in sorted(self._inputs)]
        if first_input != 0 or len(inputs) != max(self._inputs, default=-1) + 1 or len(inputs) < self._n_inputs:
            raise self._fail("has an input that reaches no output")
        try:
            graph = gModule(inputs, [self._nodes[id(data)] for data in outputs])
        except Error as error:
            raise self._fail(f"is no graph that can be made here: {error}") from None
        graph.verbose = self._verbose
        graph._place = graph.outputs[0].place  # of the graph itself, nothing is known
        return graph

    def _make(self, outputs: list[Table]) -> None:
        """Make the nodes, each after those that its input comes from, without recursion."""
        waiting: list[tuple[Table, bool]] = [(data, False) for data in reversed(outputs)]
        begun: set[int] = set()
        while waiting:
            data, is_ready = waiting.pop()
            if id(data) in self._nodes:
                continue
            if is_ready:
                self._nodes[id(data)] = self._node(data)
                continue
            if id(data) in begun:
                raise self._fail("has a node that depends on itself")
            begun.add(id(data))
            waiting.append((data, True))
            needed = [source for source in self._needs(data) if id(source) not in self._nodes]
            waiting.extend((source, False) for source in reversed(needed))

    def _needs(self, data: Table) -> list[Table]:
        """The data whose nodes must be there before this one's."""
        if self._place(data) is not None:
            return []
        if data.get("selectindex") is not None:
            return [self._split(data)[0]]
        sources = self._sources(data)
        if data.get("module") is not None and len(sources) == 1 and self._place(sources[0]) is not None:
            return []  # an input node: it takes what the input's place gives
        return sources

    def _split(self, data: Table) -> tuple[Table, int, int]:
        """For a part of a split: the data that is split, which part it is, and of how many."""
        sources, part = self._sources(data), data.get("selectindex")
        if len(sources) != 1 or not isinstance(part, float) or part != int(part):
            raise self._fail("has a part of a split that is none")
        source = sources[0]
        count = source.get("nSplitOutputs")
        if count is not None and source.get("module") is None and len(self._sources(source)) == 1:
            (source,) = self._sources(source)
        if not isinstance(count, float) or not 1 <= part <= count or count != int(count):
            raise self._fail("has a part of a split that is none")
        return source, int(part) - 1, int(count)

    def _place(self, data: Table) -> int | None:
        """Which input of the whole a data stands for; None if it is none."""
        if data is self._in:
            return 0
        if data.get("selectindex") is not None and self._split(data)[0] is self._in:
            return self._split(data)[1]
        return None

    def _node(self, data: Table) -> Node:
        place = self._place(data)
        if place is not None:  # used by nodes that are no plain input nodes
            return self._input(place, nn.Identity())
        if data.get("selectindex") is not None:
            source, part, count = self._split(data)
            parent = self._nodes[id(source)]
            if parent.n_parts not in (None, count):
                raise self._fail("has a node that is split twice, in different ways")
            parent.n_parts = count
            return self._noted(Node(None, parent, part), data)
        raw = data.get("module") or data.get("criterion")
        sources = self._sources(data)
        if not (raw is None or isinstance(raw, Record)):
            raise self._fail("has a node whose module is no object of a class")
        module = None if raw is None else self._loader.module(raw)
        if len(sources) == 1 and self._place(sources[0]) is not None and module is not None:
            place = self._place(sources[0]) or 0
            # Older versions of nngraph have the places of inputs in the data of innode.
            numbers = self._in.get("mapindex")
            for key, value in numbers.pairs if isinstance(numbers, Table) and sources[0] is self._in else ():
                if value is data and type(key) is float:
                    place = int(key) - 1
            return self._noted(self._input(place, module), data)
        inputs = [self._nodes[id(source)] for source in sources]
        if module is None and not inputs:
            raise self._fail("has a node with neither a module nor an input")
        given: Any = inputs[0] if len(inputs) == 1 else (inputs or None)
        return self._noted(Node(module, given), data)

    def _input(self, place: int, module: Module) -> Node:
        if place in self._inputs:
            raise self._fail(f"has two nodes for input {place + 1}")
        self._inputs[place] = Node(module, None)
        return self._inputs[place]

    def _noted(self, node: Node, data: Table) -> Node:
        """The node with the annotations in the file."""
        notes = data.get("annotations")
        notes = self._loader.value(notes) if isinstance(notes, Table) else None
        if isinstance(notes, dict):
            label = _LABEL.match(str(notes.pop("_debugLabel", "")))
            if label is not None and len(label[2]) < 10:
                node.place = Place(label[1], int(label[2]))
            wanted = {"name": str, "description": str, "graphAttributes": dict}
            kinds = {key: wanted.get(key, object) for key in notes}
            node.data.annotations.update({key: note for key, note in notes.items() if isinstance(note, kinds[key])})
        return node


# ---- writing -------------------------------------------------------------------------------------


def save_graph(saver: Saver, graph: gModule) -> list[tuple[Any, Any]]:
    """The fields of the ``nn.gModule`` for a graph, apart from those that all modules have."""
    return _GraphSaver(saver, graph).fields()


class _Entry:
    """A node of nngraph: its data, and what its input comes from."""

    __slots__ = ("backward", "data", "forward", "sources")

    def __init__(self, data: Table, sources: list[_Entry]) -> None:
        self.data = data
        self.sources = sources
        self.backward = Record("nngraph.Node")
        self.forward = Record("nngraph.Node")


class _GraphSaver:
    def __init__(self, saver: Saver, graph: gModule) -> None:
        self._saver = saver
        self._graph = graph
        self._entries: list[_Entry] = []  # in the order of evaluation
        self._of_node: dict[int, _Entry] = {}
        self._splits: dict[int, _Entry] = {}
        self._modules: set[int] = set()  # that a node has already

    def fields(self) -> list[tuple[Any, Any]]:
        """The fields."""
        inner = self._add({}, [])
        places = {id(node): place for place, node in enumerate(self._graph.inputs)}
        fed = dict.fromkeys(places.values(), inner)
        if len(places) > 1:
            split = self._add({"nSplitOutputs": float(len(places))}, [inner], suffix="-mnode")
            fed = {place: self._part(split, place) for place in places.values()}
        for node in self._graph.forwardnodes:
            place = places.get(id(node))
            self._of_node[id(node)] = self._node(node, [] if place is None else [fed[place]])
        outer = self._add({"input": Table()}, [self._of_node[id(node)] for node in self._graph.outputs], whole=True)
        self._link()
        ordered = self._entries
        return [
            ("innode", inner.forward),
            ("outnode", outer.backward),
            ("forwardnodes", _list([entry.forward for entry in ordered])),
            ("backwardnodes", _list([entry.backward for entry in reversed(ordered)])),
            ("fg", self._edges(ordered, forward=True)),
            ("bg", self._edges(ordered[::-1], forward=False)),
            ("modules", _list([entry.data.get("module") for entry in ordered if entry.data.get("module") is not None])),
            ("nInputs", float(len(places))),
            ("verbose", bool(self._graph.verbose)),
        ]

    def _add(
        self,
        fields: dict[str, Any],
        sources: list[_Entry],
        notes: dict[str, Any] | None = None,
        *,
        place: Place | None = None,
        suffix: str = "",
        whole: bool = False,
    ) -> _Entry:
        """A node of nngraph with these fields in its data."""
        if not whole:
            # nngraph refuses the same node twice: the second goes through a module that does nothing.
            seen: set[int] = set()
            for number, source in enumerate(sources):
                if id(source) in seen:
                    sources[number] = self._module(nn.Identity(), [source])
                seen.add(id(sources[number]))
        where = place or self._graph._place
        label = f"[{os.path.basename(where.file)}]:{where.line}_{suffix}"  # noqa: PTH119 - pathlib is slow to import
        annotations = self._saver.value({"_debugLabel": label, **(notes or {})})
        data = Table([*fields.items(), ("annotations", annotations), ("mapindex", Table())])
        entry = _Entry(data, sources)
        self._entries.append(entry)
        return entry

    def _module(self, module: Module, sources: list[_Entry], node: Node | None = None) -> _Entry:
        # One object at two nodes has one output buffer in Torch7: the second gets an object of its own.
        fresh = id(module) in self._modules
        self._modules.add(id(module))
        record = self._saver.node_module(module, again=fresh)
        notes, place = ({}, None) if node is None else (node.data.annotations, node.place)
        return self._add({"module": record}, sources, notes, place=place)

    def _node(self, node: Node, fed: list[_Entry]) -> _Entry:
        if node.part is not None:
            return self._part_of(node)
        if node.inputs is None:
            sources = fed
        elif tree.is_table(node.inputs) and (len(node.inputs) > 1 or node.module is None):
            sources = [self._nested(entry) for entry in node.inputs]
            if len(sources) == 1:  # a nest of one: a list of it, which nngraph has a module for
                return self._module(nn.JustTable(), sources, node)
        else:
            sources = [self._nested(node.inputs)]
        if node.module is None:
            return self._add({}, sources, node.data.annotations, place=node.place)
        return self._module(node.module, sources, node)

    def _nested(self, inputs: Any) -> _Entry:
        """The node for one of the inputs of another: a nest of several where it is a table."""
        if isinstance(inputs, Node):
            return self._of_node[id(inputs)]
        inside = [self._nested(entry) for entry in inputs]
        return self._add({}, inside) if len(inside) > 1 else self._module(nn.JustTable(), inside)

    def _part_of(self, node: Node) -> _Entry:
        parent: Node = node.inputs
        source = self._of_node[id(parent)]
        if parent.n_parts == 1:
            return self._module(nn.JustElement(), [source], node)
        if id(parent) not in self._splits:
            count = float(parent.n_parts or 0)
            self._splits[id(parent)] = self._add({"nSplitOutputs": count}, [source], place=node.place, suffix="-mnode")
        return self._part(self._splits[id(parent)], node.part or 0, node)

    def _part(self, split: _Entry, part: int, node: Node | None = None) -> _Entry:
        notes, place = ({}, None) if node is None else (node.data.annotations, node.place)
        fields = {"selectindex": float(part + 1), "input": Table()}
        return self._add(fields, [split], notes, place=place, suffix=f"-{part + 1}")

    def _link(self) -> None:
        """Give each node its number, and each data its sources and those who take it."""
        takers: dict[int, list[_Entry]] = {id(entry): [] for entry in self._entries}
        for entry in self._entries:
            for source in entry.sources:
                takers[id(source)].append(entry)
        for number, entry in enumerate(self._entries, 1):
            index = entry.data.get("mapindex")
            index.pairs.extend(_both_ways([source.data for source in entry.sources]).pairs)
            reverse = Table([(taker.backward, True) for taker in takers[id(entry)]])
            entry.data.pairs.extend([("reverseMap", reverse), ("forwardNodeId", float(number))])
            for record, children in (
                (entry.backward, [source.backward for source in entry.sources]),
                (entry.forward, [taker.forward for taker in takers[id(entry)]]),
            ):
                record.fields = Table([
                    ("data", entry.data), ("id", float(number)), ("children", _both_ways(children)),
                    ("visited", False), ("marked", False),
                ])  # fmt: skip

    def _edges(self, entries: list[_Entry], *, forward: bool) -> Record:
        """The ``graph.Graph`` of nodes in one direction."""
        edges = []
        for entry in entries:
            for source in entry.sources:
                ends = (source.forward, entry.forward) if forward else (entry.backward, source.backward)
                edges.append(Record("graph.Edge", 1, Table([("from", ends[0]), ("to", ends[1])])))
        nodes = [entry.forward if forward else entry.backward for entry in entries]
        return Record("graph.Graph", 1, Table([("nodes", _both_ways(nodes)), ("edges", _both_ways(edges))]))


def _list(values: list[Any]) -> Table:
    return Table([(float(place), value) for place, value in enumerate(values, 1)])


def _both_ways(values: list[Any]) -> Table:
    """A list that also tells the place of each of its values, which are objects."""
    places = [(value, float(place)) for place, value in enumerate(values, 1)]
    return Table([*_list(values).pairs, *places])
