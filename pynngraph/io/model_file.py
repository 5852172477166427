"""Models and data as safetensors: arrays by name, and all else as JSON in the metadata (docs/model-file.md)."""

from __future__ import annotations

import json
import math
import pkgutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from .. import nn, tree
from .._engine import INDEX
from ..errors import DTypeError, FileFormatError, GraphError
from ..graph.gmodule import gModule
from ..graph.node import Place
from ..nn.container import ModuleList
from ..nn.dtype import as_dtype
from ..nn.host import HostStep
from ..nn.module import Module
from ..nn.parameter import Cell, Derived, Store
from . import safetensors, state
from .parameters import named_cells
from .t7_reader import contents, copy
from .visits import count_visits

if TYPE_CHECKING:
    import mmap
    import os
    from typing import BinaryIO

    from .._engine import Array
    from ..nn.execution import Lowered

VERSION = 1  # of the schema: readers refuse higher ones
KEY = "pynngraph"  # of the metadata

# What a module's state may not set: it belongs to runs.
_OF_RUNS = {"_run", "_run_native", "_output", "_gradInput", "_fingerprint", "_evaluation"}

_FLOATS = {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}  # that JSON lacks

Json: TypeAlias = Any


# ---- writing -------------------------------------------------------------------------------------


def write(file: BinaryIO, value: Any, inputs: Any = None) -> None:
    """Write a module, or data, to a file that is open for writing.

    Parameters
    ----------
    file
        Open for writing bytes.
    value
        A module; or data: numbers, texts, arrays, lists, tuples, dicts with texts as keys, and modules.
    inputs
        An example input of `value`, a module: its programs are written too, for use without Python.
    """
    if isinstance(value, dict) and value and all(isinstance(array, np.ndarray) for array in value.values()):
        safetensors.write(file, value, {})
        return
    writer = _Writer()
    model = {"version": VERSION, "root": writer.value(value, "")}
    model.update(modules=writer.modules, cells=writer.cells)
    if inputs is not None:
        model["programs"] = writer.programs(value, inputs)
    text = json.dumps(model, separators=(",", ":"), allow_nan=False)
    safetensors.write(file, writer.arrays, {"format": "pynngraph", KEY: text})


class _Writer:
    def __init__(self) -> None:
        self.arrays: dict[str, Array] = {}
        self.modules: list[Json] = []
        self.cells: list[Json] = []
        self._module_places: dict[int, int] = {}
        self._cell_places: dict[int, int] = {}
        self._names: dict[int, str] = {}  # of stores
        self._grads: dict[int, int] = {}  # numbers of gradients' stores
        self._kept: list[Any] = []  # so that no id is used twice
        self._depth = 0

    def value(self, value: Any, path: str) -> Json:
        """The JSON for a value."""
        if value is None or isinstance(value, (bool, str)):
            return value
        if isinstance(value, (int, np.integer)):
            return int(value)
        if isinstance(value, (float, np.floating)):
            return float(value) if math.isfinite(value) else {"float": str(float(value))}
        if isinstance(value, np.bool_):
            return bool(value)
        if isinstance(value, np.ndarray):
            return {"array": self._array(path or "array", value)}
        if isinstance(value, Module):
            return {"module": self._module(value, path)}
        if isinstance(value, Cell):
            return {"cell": self._cell(value)}
        if isinstance(value, Place):
            return {"place": list(value)}
        return self._table(value, path)

    def _table(self, value: Any, path: str) -> Json:
        self._depth += 1
        if self._depth > tree.MAX_DEPTH:
            raise DTypeError(f"a table is nested deeper than {tree.MAX_DEPTH} levels: does it contain itself?")
        try:
            if isinstance(value, ModuleList):
                return {"modules": [self._module(module, _join(path, place)) for place, module in enumerate(value)]}
            if isinstance(value, (list, tuple)):
                entries = [self.value(entry, _join(path, place)) for place, entry in enumerate(value)]
                return entries if isinstance(value, list) else {"tuple": entries}
            if isinstance(value, dict):
                return {
                    "dict": [
                        [self.value(key, path), self.value(entry, _join(path, key))] for key, entry in value.items()
                    ]
                }
        finally:
            self._depth -= 1
        what = f"{path}: a {type(value).__name__}" if path else f"a {type(value).__name__}"
        raise DTypeError(f"{what} cannot be saved as .safetensors")

    def _array(self, path: str, array: Array) -> str:
        name = path
        while name in self.arrays:
            name += "_"
        self.arrays[name] = array
        return name

    def _module(self, module: Module, path: str) -> int:
        known = self._module_places.get(id(module))
        if known is not None:
            return known
        self._kept.append(module)
        for name, cell, _ in named_cells(module):
            if id(cell.data_store) not in self._names:
                self._kept.append(cell)
                self._names[id(cell.data_store)] = self._array(_join(path, name), cell.data)
        place = self._module_places[id(module)] = len(self.modules)
        entry: dict[str, Json] = {"class": _class_name(type(module))}
        self.modules.append(entry)
        attributes = module.__getstate__()
        cells = {kind: attributes.pop(key) for kind, key in (("parameters", "_cells"), ("buffers", "_buffers"))}
        entry["state"] = {key: self.value(value, _join(path, key)) for key, value in attributes.items()}
        own = state.own_names(module)
        if own:
            entry["own"] = own
        for kind, known_cells in cells.items():
            entry[kind] = {name: self._cell(cell) for name, cell in known_cells.items()}
        return place

    def _cell(self, cell: Cell) -> int:
        known = self._cell_places.get(id(cell))
        if known is None:
            known = self._cell_places[id(cell)] = len(self.cells)
            grad = cell.grad_store
            number = None if grad is None else self._grads.setdefault(id(grad), len(self._grads))
            self.cells.append({"array": self._names[id(cell.data_store)], "gradient": number})
        return known

    def _name_of(self, cell: Cell) -> str:
        """The name of a cell's array. Some modules lower to numbers of their own, beside their parameters."""
        if id(cell.data_store) not in self._names:
            self._kept.append(cell)
            self._names[id(cell.data_store)] = self._array("number", cell.data)
        return self._names[id(cell.data_store)]

    # ---- programs --------------------------------------------------------------------------------

    def programs(self, module: Any, inputs: Any) -> list[Json]:
        """What the engine runs for a module in evaluation and in training, for inputs of some sizes."""
        modules = module.listModules()
        before = [inner.train for inner in modules]
        programs = []
        try:
            for mode in ("evaluate", "train"):
                for inner in modules:
                    inner.train = mode == "train"
                programs.append({"mode": mode, **self._program(module, inputs)})
        finally:
            for inner, train in zip(modules, before, strict=True):
                inner.train = train
        return programs

    def _program(self, module: Module, inputs: Any) -> Json:
        lowered = module.execution_apart().prepared(inputs).lowered
        described = self._described(module, lowered, inputs)
        wider = tree.map_leaves(_one_more, inputs)
        try:
            other = self._described(module, module.execution_apart().prepared(wider).lowered, inputs)
        except Exception:  # noqa: BLE001 - whatever it is, the module wants just this size
            other = None
        return {**described, "any_batch": other == described}

    def _described(self, module: Module, lowered: Lowered, inputs: Any) -> dict[str, Json]:
        program = lowered.program
        if program.hosts is not None:
            parts = [step.module.label() for step in program.hosts.steps if isinstance(step, HostStep)]
            which = f" ({parts[0]})" if parts else ""  # else what watches a module, as Profile does
            raise GraphError(f"{module.label()} has a part{which} that runs in Python: no program of it can be saved")
        leaves, structure = tree.flatten(inputs)
        return {
            "input": _structure(structure),
            "output": _structure(lowered.output_structure),
            "inputs": [
                {"value": value, "name": name, "kind": _kind(program.kinds[value]), "shape": list(np.shape(leaf))}
                for value, name, leaf in zip(program.inputs, _names(module, "input", len(leaves)), leaves, strict=True)
            ],
            "parameters": [
                {"value": value, "array": self._name_of(cell), "gradient": cell.grad_store is not None}
                for value, cell in zip(program.params, lowered.cells, strict=True)
            ],
            "ops": [
                {
                    "op": op,
                    "inputs": list(ins),
                    "ints": list(ints),
                    "nums": self.value(list(nums), ""),
                    "outputs": list(outs),
                }
                for op, ins, ints, nums, outs in program.ops
            ],
            "outputs": list(program.outputs),
            "output_names": _names(module, "output", len(program.outputs)),
            "updates": [list(update) for update in program.updates],
            "values": len(program.kinds),
        }


def _class_name(cls: type[Module]) -> str:
    """A class by name; one of the package's own that it does not export, after the name of its file."""
    package, _, file = cls.__module__.rpartition(".")
    return f"{file}.{cls.__name__}" if package == nn.__name__ and cls.__name__ not in nn.__all__ else cls.__name__


def _join(path: str, key: Any) -> str:
    return f"{path}.{key}" if path else str(key)


def _one_more(leaf: Any) -> Any:
    """An array one longer along its first dim."""
    array = np.asarray(leaf)
    return np.concatenate([array, array[:1]]) if array.ndim and len(array) else array


def _names(module: Module, what: str, count: int) -> list[str]:
    """The names of a graph's input or output nodes; where a node has none, or no array of its own, ``input0`` or so."""
    nodes = getattr(module, f"{what}s") if isinstance(module, gModule) else []
    given = [node.name for node in nodes] if len(nodes) == count else [None] * count
    default = [what] if count == 1 else [f"{what}{place}" for place in range(count)]
    names = [name or other for name, other in zip(given, default, strict=True)]
    return names if len(set(names)) == count else default


def _kind(kind: int) -> str:
    return "index" if kind == INDEX else "real"


def _structure(structure: tree.Structure) -> Json:
    """A table's structure: null for an array, else a list."""
    return [_structure(entry) for entry in tree.entries(structure)] if structure else None


# ---- reading -------------------------------------------------------------------------------------


def read(data: bytes | mmap.mmap, classes: Mapping[str, type[Module]] | None = None) -> Any:
    """The module or the data in the bytes of a file; a dict of arrays if it holds no more."""
    arrays, metadata = safetensors.read(data)
    if KEY not in metadata:
        return {name: copy(array) for name, array in arrays.items()}
    model = safetensors.parse_json(metadata[KEY], 8)
    if not isinstance(model, dict) or type(model.get("version")) is not int:
        raise FileFormatError(f"at byte 8: {KEY} in the metadata is no model")
    if model["version"] > VERSION:
        raise FileFormatError(
            f"at byte 8: the model is of version {model['version']}; this version of pynngraph reads {VERSION}"
        )
    try:
        return _Reader(arrays, model, classes or {}).root()
    except FileFormatError:
        raise
    except Exception as error:
        # Whatever its parts are asked to be: the file is to blame.
        raise FileFormatError(f"at byte 8: the model cannot be made: {type(error).__name__}: {error}") from error


def _file_of_modules(name: str) -> Any:
    """A file of ``pynngraph.nn``; None if there is none of this name."""
    files = {file.name for file in pkgutil.iter_modules(nn.__path__)}
    return import_module(f"{nn.__name__}.{name}") if name in files else None


class _Reader:
    def __init__(self, arrays: dict[str, Array], model: dict[str, Json], classes: Mapping[str, type[Module]]) -> None:
        self._arrays = arrays
        self._model = model
        self._classes = classes
        self._modules: list[Module] = []
        self._cells: list[Cell] = []

    def root(self) -> Any:
        """What was saved."""
        self._make_cells(self._model["cells"])
        entries = self._model["modules"]
        self._modules = [self._empty(entry["class"]) for entry in entries]
        places = list(zip(self._modules, entries, range(len(entries)), strict=True))
        for module, entry, place in places:
            with self._blaming(place):
                self._fill(module, entry)
        for module, entry, place in reversed(places):  # those inside others come after them: the fault is theirs
            with self._blaming(place):
                state.check(module, tuple(entry.get("own", ())))
        self._check_cells()
        for module, _, place in places:
            with self._blaming(place):
                count_visits(module)
        return self._value(self._model["root"])

    def _check_cells(self) -> None:
        """All have the module's dtype; parameters have gradients, but for what a WeightNorm computes; buffers none."""
        computed = {id(module._weight) for module in self._modules if isinstance(module, nn.WeightNorm)}
        for place, module in enumerate(self._modules):
            for name, cell in (*module._cells.items(), *module._buffers.items()):
                if cell.data.dtype != module.dtype:
                    raise self._fail(place, f"must have a {name} of {module.dtype}, got {cell.data.dtype}")
            for name, cell in module._cells.items():
                if isinstance(cell, Derived) is not (id(cell) in computed):
                    raise self._fail(place, f"must have a gradient of its {name}, or be in a WeightNorm")
            for name, cell in module._buffers.items():
                if cell.grad_store is not None:
                    raise self._fail(place, f"must have no gradient of its buffer {name}")

    def _fail(self, place: int, what: str) -> FileFormatError:
        """The error that says what is wrong with a module."""
        name = self._model["modules"][place]["class"]
        return FileFormatError(f"at byte 8: module {place} of the file, a {name}, {what}")

    @contextmanager
    def _blaming(self, place: int) -> Iterator[None]:
        """Whatever a module in the file is asked to be: the file is to blame."""
        try:
            yield
        except FileFormatError:
            raise
        except state.Fault as fault:
            raise self._fail(place, str(fault)) from None
        except Exception as error:
            raise self._fail(place, f"cannot be made: {type(error).__name__}: {error}") from error

    def _fill(self, module: Module, entry: Json) -> None:
        """Give an empty module the state in the file."""
        values = {key: self._value(value) for key, value in entry["state"].items() if key not in _OF_RUNS}
        values["_cells"] = {name: self._parameter(place) for name, place in entry["parameters"].items()}
        values["_buffers"] = {name: self._cells[place] for name, place in entry["buffers"].items()}
        module.__setstate__(values)

    def _parameter(self, place: int) -> Cell:
        """A parameter's cell; one without a gradient is computed of others."""
        cell = self._cells[place]
        if cell.grad_store is None and not isinstance(cell, Derived):
            derived = Derived.owning(cell.data, has_grad=False)
            derived.data_store = cell.data_store
            cell = self._cells[place] = derived
        return cell

    def _make_cells(self, entries: list[Json]) -> None:
        stores: dict[str, Store] = {}
        grads: dict[int, Store] = {}
        for entry in entries:
            name, number = entry["array"], entry["gradient"]
            if name not in stores:
                array = copy(self._arrays[name])
                as_dtype(array.dtype)
                stores[name] = Store(array)
            cell = Cell.owning(stores[name].array, has_grad=number is not None)
            cell.data_store = stores[name]
            if cell.grad_store is not None:
                cell.grad_store = grads.setdefault(number, cell.grad_store)
                if cell.grad_store.array.shape != cell.data.shape:
                    raise FileFormatError(f"at byte 8: the gradient of {name!r} has another shape")
            self._cells.append(cell)

    def _empty(self, name: str) -> Module:
        """A module of a class, without a state."""
        cls: Any = gModule if name == "gModule" else self._classes.get(name)
        if cls is None and name in nn.__all__:
            cls = getattr(nn, name)
        if cls is None and "." in name:
            file, _, inner = name.partition(".")
            cls = getattr(_file_of_modules(file), inner, None)
        if not (isinstance(cls, type) and issubclass(cls, Module)):
            raise FileFormatError(f"at byte 8: there is no class {name!r} here: give it by classes={{{name!r}: ...}}")
        module: Module = cls.__new__(cls)
        return module

    def _value(self, json: Json) -> Any:
        """The value for its JSON."""
        if isinstance(json, list):
            return [self._value(entry) for entry in json]
        if not isinstance(json, dict):
            return json
        ((kind, value),) = json.items()
        if kind == "float":
            return _FLOATS[value]
        if kind == "tuple":
            return tuple(self._value(entry) for entry in value)
        if kind == "dict":
            return {self._value(pair[0]): self._value(pair[1]) for pair in value}
        if kind == "module":
            return self._modules[value]
        if kind == "modules":
            return ModuleList(self._modules[place] for place in value)
        if kind in ("cell", "array"):
            return self._cells[value] if kind == "cell" else copy(self._arrays[value])
        if kind == "place":
            return Place(str(value[0]), int(value[1]))
        raise FileFormatError(f"at byte 8: a value of kind {kind!r} is unknown")


def example_inputs(path: str | os.PathLike[str]) -> tuple[tree.Structure | None, list[tuple[tuple[int, ...], bool]]]:
    """How the example input was nested that a file was saved with; its shapes, and whether they are of indices.

    None and nothing for files without one.
    """
    data = contents(path)
    if not safetensors.looks_like(data):
        return None, []
    model = safetensors.parse_json(safetensors.read(data)[1].get(KEY, "{}"), 8)
    try:
        program = model["programs"][0]
        shapes = [(tuple(map(int, entry["shape"])), entry["kind"] == "index") for entry in program["inputs"]]
        return _structure_of(program["input"]), shapes
    except (KeyError, IndexError, TypeError, ValueError, RecursionError):
        return None, []


def _structure_of(json: Json) -> tree.Structure:
    return (list, *map(_structure_of, json)) if isinstance(json, list) else tree.LEAF
