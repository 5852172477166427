"""From the objects of a ``.t7`` file to modules and Python's data."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from .. import nn
from ..errors import Error, FileFormatError
from ..nn.container import ModuleList
from ..nn.module import Module
from ..nn.parameter import Cell, at_most
from . import state, torch_classes
from .inert import Inert
from .t7 import Function, Record, Storage, Table, Tensor
from .t7_reader import copy
from .torch_classes import Argument, Row
from .visits import MAX_DEPTH, count_visits

_WHOLE = 2**53  # up to it, doubles tell all whole numbers apart

_TYPES = {"Double": "float64", "CudaDouble": "float64"}  # all others are float32 here

Classes = Mapping[str, Callable[[dict[str, Any]], Module]]


class Loader:
    """What was made of the objects of one file.

    Parameters
    ----------
    size
        How many bytes the file has: no parameter can need much more.
    classes
        What makes a module of further classes, by their names in Torch, from a dict of their fields.
    """

    def __init__(self, size: int, classes: Classes | None = None) -> None:
        self._limit = 8 * size + (1 << 20)
        self._classes = classes or {}
        self._made: dict[int, Any] = {}  # by the ids of Torch's objects
        self._kept: list[Any] = []  # those that are not the file's own, so that no id is used twice
        self._inside: dict[int, None] = {}  # the modules that the one at hand is in
        self._arrays: dict[int, Any] = {}  # copies of storages
        self._cells: dict[Any, list[tuple[Any, Cell]]] = {}  # by where they lie
        self._dtypes: list[str] = []  # of modules, as they are met
        self._roots: list[tuple[Module, Record]] = []  # modules that are in no other

    def load(self, raw: Any) -> Any:
        """The Python object for the object of a file."""
        with at_most(self._limit):
            value = self.value(raw)
        for module, record in self._roots:  # all modules of a whole compute in one dtype
            try:
                count_visits(module)
            except ValueError as error:
                raise self.fail(record, f"cannot be made here: {error}") from None
            module.type(self._dtypes[0] if self._dtypes else "float64")
        return value

    def fail(self, record: Record, what: str) -> FileFormatError:
        """The error that says what is wrong with an object."""
        return FileFormatError(f"at byte {record.position}: {record.name} {what}")

    # ---- data ------------------------------------------------------------------------------------

    def value(self, raw: Any) -> Any:
        """Python data, or a module."""
        waiting: list[tuple[Table, Any]] = []
        result = self._one(raw, waiting)
        while waiting:
            table, shell = waiting.pop()
            if isinstance(shell, list):
                shell.extend(self._one(entry, waiting) for entry in table.entries() or ())
            else:
                shell.update((plain(key), self._one(entry, waiting)) for key, entry in table.pairs)
        return result

    def _one(self, raw: Any, waiting: list[tuple[Table, Any]]) -> Any:
        """The Python object for one of a file; tables are still empty then, and wait to be filled."""
        if raw is None or isinstance(raw, (bool, float, str, Function)):
            return plain(raw)
        if id(raw) not in self._made:
            made: Any
            if isinstance(raw, Record):
                made = self.record(raw)
            elif isinstance(raw, Tensor):
                made = self.tensor(raw)
            elif isinstance(raw, Storage):
                made = self._storage(raw)
            else:
                made = _shell(raw)
                if made is not raw:
                    waiting.append((raw, made))
            self._made[id(raw)] = made
        return self._made[id(raw)]

    def _storage(self, storage: Storage) -> Any:
        known = self._arrays.get(id(storage))
        if known is None:
            known = self._arrays[id(storage)] = copy(storage.array)
        return known

    def tensor(self, tensor: Tensor) -> Any:
        """An array, in memory that it shares with arrays of the same storage."""
        if tensor.storage is None or not tensor.sizes:
            return np.array(tensor.array())
        own = Tensor(tensor.name, tensor.sizes, tensor.strides, tensor.offset, None)
        own.storage = Storage(tensor.storage.name, self._storage(tensor.storage))
        return own.array(writeable=all(stride or size < 2 for size, stride in zip(own.sizes, own.strides, strict=True)))

    # ---- modules ---------------------------------------------------------------------------------

    def record(self, record: Record) -> Any:
        """A module, or the record itself if it is none."""
        if _is_module(record) or record.name in self._classes:
            module = self.module(record)
            self._roots.append((module, record))
            return module
        return record

    def module(self, raw: Any) -> Module:
        """The module for an object of a file, which must be one."""
        if not isinstance(raw, Record):
            raise TypeError(f"no object of a class: {_short(raw)}")
        known = self._made.get(id(raw))
        if isinstance(known, Module):
            return known
        if id(raw) in self._inside:
            raise self.fail(raw, "contains itself")
        if len(self._inside) == MAX_DEPTH:
            raise self.fail(raw, f"is nested deeper than {MAX_DEPTH} modules")
        self._inside[id(raw)] = None
        try:
            module = self._new(raw)
        finally:
            del self._inside[id(raw)]
        self._made[id(raw)] = module
        return module

    def _new(self, record: Record) -> Module:
        fields = Fields(record)
        self._note_dtype(fields)
        if record.name in self._classes:
            return self._by_user(record, fields)
        name = torch_classes.our_name(record.name)
        if name == "gModule":
            from .torch_graphs import load_graph  # noqa: PLC0415 - it needs this module

            module: Module = load_graph(self, record, fields)
        elif name in torch_classes.COMPOSITES:
            module = self._composite(name, record, fields)
        else:
            cls = _find_class(name)
            if cls is None:
                return Inert(record, f"there is no class {record.name} here")
            unlike = _difference(record.name, fields)
            if unlike:
                return Inert(record, unlike)
            module = self._by_row(cls, torch_classes.ROWS[name], record, fields)
        train = fields.get("train")
        module.train = train if isinstance(train, bool) else True
        label = fields.get("name")
        if isinstance(label, str):
            module.name = label
        try:
            state.check(module)
        except state.Fault as fault:
            raise self.fail(record, str(fault)) from None
        return module

    def _note_dtype(self, fields: Fields) -> None:
        name = fields.get("_type")
        if not isinstance(name, str):
            tensor = next((fields.get(key) for key in ("weight", "gradInput", "output") if fields.has(key)), None)
            name = tensor.name if isinstance(tensor, Tensor) else ""
        kind = name.removeprefix("torch.").removesuffix("Tensor")
        if name.startswith("torch.") and name.endswith("Tensor"):
            self._dtypes.append(_TYPES.get(kind, "float32"))

    def _by_user(self, record: Record, fields: Fields) -> Module:
        given = {key: self.value(raw) for key, raw in fields.known.items() if key not in ("output", "gradInput")}
        module = self._classes[record.name](given)
        if not isinstance(module, Module):
            raise TypeError(f"classes[{record.name!r}] gave no module, but {type(module).__name__}")
        return module

    def _composite(self, name: str, record: Record, fields: Fields) -> Module:
        """A Sequential of the modules in the file, of our class for it if that is one too."""
        cls = getattr(nn, name, nn.Sequential)
        cls = cls if issubclass(cls, nn.Sequential) else nn.Sequential
        module: nn.Sequential = cls.__new__(cls)
        module.modules = ModuleList(self.children(record, fields))
        for key, raw in fields.known.items():
            if isinstance(raw, (float, str)) and key not in ("_type", "output"):
                setattr(module, key, plain(raw))
        return module

    def children(self, record: Record, fields: Fields, key: str = "modules") -> list[Module]:
        """The modules in a table."""
        table = fields.get(key)
        entries = table.entries() if isinstance(table, Table) else None
        if entries is None:
            raise self.fail(record, f"has no list of {key}")
        for place, entry in enumerate(entries, 1):
            if not isinstance(entry, Record):
                raise self.fail(record, f"has an entry {place} of {key} that is no object of a class")
        return list(map(self.module, entries))

    def _by_row(self, cls: type[Module], row: Row, record: Record, fields: Fields) -> Module:
        _prepare(self, cls.__name__, fields)
        children = self.children(record, fields) if row.modules else []
        given = self._arguments(cls, row, record, fields, children)
        try:
            module = _construct(cls, given)
            if row.modules == "list":
                for child in children:
                    module.add(child)  # type: ignore[attr-defined]
            elif len(children) > 1:  # a MapTable's copies of its one module
                module.modules[:] = children  # type: ignore[attr-defined]
            self._set_extra(module, row, record, fields)
        except FileFormatError:
            raise
        except Exception as error:
            # A file may give a constructor anything; whatever it makes of that, the file is to blame.
            raise self.fail(record, f"cannot be made here: {error}") from error
        self._set_parameters(module, row, record, fields)
        try:
            _finish(self, module, record, fields)
        except FileFormatError:
            raise
        except Error as error:
            raise self.fail(record, f"cannot be made here: {error}") from error
        return module

    def _arguments(
        self, cls: type[Module], row: Row, record: Record, fields: Fields, children: list[Module]
    ) -> list[Any]:
        defaults = _defaults(cls)
        given: list[Any] = []
        for place, argument in enumerate(torch_classes.arguments(row.arguments)):
            if row.modules == "one" and argument.fields == ("module",):
                if not children:
                    raise self.fail(record, "has no module inside")
                given.append(children[0])
                continue
            values = self._argument(argument, row, record, fields)
            if not values:
                default = defaults[place] if place < len(defaults) else None
                if default is inspect.Parameter.empty:
                    raise self.fail(record, f"has no field {' or '.join(argument.fields)}")
                values = [default]
            given.extend(values)
        return given

    def _argument(self, argument: Argument, row: Row, record: Record, fields: Fields) -> list[Any]:
        """The values that a field stands for; none if it is not there."""
        if not argument.fields:
            return [argument.value]
        if argument.present:
            return [fields.has_tensor(argument.fields[0])]
        keys = [*argument.fields, *(row.old[key] for key in argument.fields if key in row.old)]
        raw = next((fields.get(key) for key in keys if fields.has(key)), None)
        if raw is None:
            return []
        if argument.size is not None:
            if not isinstance(raw, Tensor) or len(raw.sizes) <= argument.size:
                return []
            return [raw.sizes[argument.size]]
        try:
            return self._converted(argument.kind, raw)
        except (TypeError, ValueError, OverflowError, AttributeError):
            raise self.fail(record, f"has a field {argument.fields[0]} that it cannot have: {_short(raw)}") from None

    def _converted(self, kind: str, raw: Any) -> list[Any]:
        if kind == "sizes":
            return [tuple(map(_whole, raw.array.tolist() if isinstance(raw, Storage) else raw.entries()))]
        if kind == "shape":
            return list(raw.sizes)
        if kind == "pairs":
            return [tuple(from_one(dim) for dim in pair.entries()) for pair in raw.entries()]
        if kind == "dim":
            return [from_one(raw)]
        if kind == "not":
            return [not raw]
        if kind == "offset":  # of indices, which count from 0 here
            return [_whole(raw) + 1]
        if kind == "module":
            return [self.module(raw)]
        if kind == "indices":
            return [self.tensor(raw).astype(np.int64) - 1]
        if kind == "tensor":
            array = self.tensor(raw)
            return [None if array.size == 0 else array.astype(np.float64)]
        return [self.value(raw)]

    def _set_extra(self, module: Module, row: Row, record: Record, fields: Fields) -> None:
        for name, field in torch_classes.names(row.extra):
            raw = fields.get(field)
            if isinstance(raw, (bool, float, str)):
                setattr(module, name, plain(raw))
            elif raw is not None:
                raise self.fail(record, f"has a field {field} that it cannot have: {_short(raw)}")

    # ---- parameters ------------------------------------------------------------------------------

    def _set_parameters(self, module: Module, row: Row, record: Record, fields: Fields) -> None:
        for name, field in torch_classes.names(row.parameters):
            if not fields.has_tensor(field):
                module.remove_cell(name)
                continue
            grad = fields.get(f"grad{field[0].upper()}{field[1:]}")
            cell = self._cell(record, field, fields.get(field), grad, module._cells.get(name))
            module._cells[name] = cell
        for name, field in torch_classes.names(row.buffers):
            if fields.has_tensor(field):
                raw = fields.get(field)
                array = self._parameter(record, field, raw, module._buffers.get(name))
                module._buffers[name] = Cell.owning(copy(array), has_grad=False)
        module._changed()

    def _parameter(self, record: Record, field: str, raw: Any, like: Cell | None) -> Any:
        """The values of a parameter, as a view of the file."""
        if not isinstance(raw, Tensor):
            raise self.fail(record, f"has a {field} that is no tensor")
        array = raw.array()
        length = 0 if raw.storage is None else len(raw.storage.array)
        if array.dtype.kind != "f" or array.size > length:
            raise self.fail(record, f"has a {field} that cannot be one: {raw.name} of sizes {raw.sizes}")
        if like is not None and array.shape != like.data.shape:
            if array.size != like.data.size:
                raise self.fail(record, f"has a {field} of sizes {raw.sizes}, where {like.data.shape} is needed")
            array = array.reshape(like.data.shape)
        return array if array.dtype.itemsize > 2 else array.astype(np.float32)

    def _cell(self, record: Record, field: str, raw: Any, raw_grad: Any, like: Cell | None) -> Cell:
        """The cell of a parameter; the same for modules that share it."""
        array = self._parameter(record, field, raw, like)
        grad_key = _place(raw_grad) if isinstance(raw_grad, Tensor) and raw_grad.sizes else None
        known = self._cells.setdefault((_place(raw), array.shape), [])
        for other_key, cell in known:
            if grad_key is None or other_key == grad_key:
                return cell
        cell = known[0][1].with_own_grad() if known else Cell.owning(copy(array))
        known.append((grad_key, cell))
        return cell


class Fields:
    """The fields of an object, by name."""

    def __init__(self, record: Record) -> None:
        self.known = record.fields.as_dict() if isinstance(record.fields, Table) else {}

    def get(self, key: str) -> Any:
        """A field, or None."""
        return self.known.get(key)

    def has(self, key: str) -> bool:
        """Whether there is a field."""
        return self.known.get(key) is not None

    def has_tensor(self, key: str) -> bool:
        """Whether there is a tensor, with elements."""
        raw = self.known.get(key)
        return isinstance(raw, Tensor) and bool(raw.sizes) and all(raw.sizes)


def plain(raw: Any) -> Any:
    """A value of Lua's as Python's: whole numbers are ints."""
    if type(raw) is float and abs(raw) <= _WHOLE and raw == int(raw) and math.copysign(1, raw) * (raw or 1) > 0:
        return int(raw)
    return raw


def from_one(raw: Any) -> int:
    """A dim or an index that counts from 1, or from the end if it is negative, as one that counts from 0."""
    number = _whole(raw)
    return number - 1 if number > 0 else number


def _whole(raw: Any) -> int:
    if isinstance(raw, bool) or raw != int(raw):
        raise ValueError(f"no whole number: {raw}")
    return int(raw)


def _short(raw: Any) -> str:
    """A value of Lua's in a few words."""
    text = repr(getattr(raw, "name", raw if isinstance(raw, (str, float, bool)) else type(raw).__name__))
    return text if len(text) < 60 else f"{text[:57]}..."


def _shell(table: Table) -> Any:
    """An empty list or dict for a table; the table itself if it can be neither."""
    if table.entries() is not None:
        return []
    keys = [plain(key) for key, _ in table.pairs]
    # True and 1 are one key in Python and two in Lua.
    if all(isinstance(key, (bool, int, float, str)) for key in keys) and len(set(keys)) == len(keys):
        return {}
    return table


def _place(tensor: Tensor) -> Any:
    return id(tensor.storage), tensor.offset, tensor.sizes, tensor.strides


def _is_module(record: Record) -> bool:
    """Whether an object is a module or a criterion, of whatever class."""
    if torch_classes.our_name(record.name):
        return True
    fields = Fields(record)
    return fields.has("gradInput") or fields.has("output") or fields.has("modules")


def _find_class(name: str) -> type[Module] | None:
    if name == "SpatialConvolutionMM" and not hasattr(nn, name):
        name = "SpatialConvolution"  # which computes just the same
    cls = getattr(nn, name, None) if name else None
    return cls if isinstance(cls, type) and issubclass(cls, Module) else None


def _difference(name: str, fields: Fields) -> str:
    """What an object of a class of the same name does that ours cannot; empty if there is nothing."""
    groups = fields.get("groups")
    if name.startswith("cudnn.") and isinstance(groups, float) and groups > 1:
        return f"{name} has {groups:g} groups, which are not supported here"
    return ""


def _defaults(cls: type[Module]) -> list[Any]:
    """The defaults of a constructor's arguments in order."""
    if cls.__init__ is object.__init__:
        return []
    parameters = list(inspect.signature(cls).parameters.values())
    fixed = [p.default for p in parameters if p.kind is inspect.Parameter.POSITIONAL_OR_KEYWORD]
    return [None] if parameters and not fixed else fixed


def _construct(cls: type[Module], given: list[Any]) -> Module:
    """A module whose parameters are not drawn: they will be set."""
    module: Module = cls.__new__(cls, *given)
    module.__dict__["reset"] = lambda *_: None
    cls.__init__(module, *given)
    del module.__dict__["reset"]
    return module


# ---- classes that need more than a row -----------------------------------------------------------


def _prepare(loader: Loader, name: str, fields: Fields) -> None:
    """Complete the fields of an object before a module is made of it."""
    known = fields.known
    if name == "CrossEntropyCriterion":
        nll = known.get("nll")
        if isinstance(nll, Record):
            known.update((key, Fields(nll).get(key)) for key in ("weights", "sizeAverage"))
    elif name == "WeightNorm":
        _prepare_weight_norm(loader, fields)
    elif name in ("SpatialUpSamplingBilinear", "UpSampling") and not fields.has("scale_factor"):
        sizes = [(key, known[key]) for key in ("odepth", "oheight", "owidth") if fields.has(key)]
        known["scale_factor"] = Table(sizes)
    elif name == "PartialLinear":
        known["weight"] = _inside(known.get("network"), 1, 2).get("weight")
    elif name.endswith("BatchNormalization"):
        std: Any = known.get("running_std")
        eps = known.get("eps")
        if fields.has_tensor("running_std") and not fields.has("running_var"):
            # Older files have 1 / sqrt(variance + eps).
            variance = loader.tensor(std).astype(np.float64) ** -2 - (eps if isinstance(eps, float) else 1e-5)
            known["running_var"] = _tensor_of(variance)


def _inside(raw: Any, *places: int) -> Fields:
    """The fields of a module that is in others, at some places."""
    for place in places:
        table = Fields(raw).get("modules") if isinstance(raw, Record) else None
        raw = table.get(float(place)) if isinstance(table, Table) else None
    return Fields(raw if isinstance(raw, Record) else Record("nil"))


def _prepare_weight_norm(loader: Loader, fields: Fields) -> None:
    """Give the module inside back the weight that Torch7 dropped; it follows from others."""
    table, sizes, v = fields.get("modules"), fields.get("weightSize"), fields.get("v")
    inner = table.get(1.0) if isinstance(table, Table) else None
    if not (isinstance(inner, Record) and isinstance(inner.fields, Table) and isinstance(sizes, Storage)):
        return
    shape = tuple(map(int, sizes.array.tolist()))
    if isinstance(v, Tensor) and min(shape, default=0) > 0 and math.prod(shape) == math.prod(v.sizes):
        pairs = [pair for pair in inner.fields.pairs if pair[0] != "weight"]
        weight = _tensor_of(np.ones(shape, v.array().dtype))
        whole = Record(inner.name, inner.version, Table([*pairs, ("weight", weight)]), inner.position)
        loader._kept.append(whole)
        fields.known["modules"] = Table([(1.0, whole)])


def _tensor_of(array: Any) -> Tensor:
    kind = "Float" if array.dtype == np.float32 else "Double"
    strides = tuple(stride // array.itemsize for stride in array.strides)
    storage = Storage(f"torch.{kind}Storage", array.reshape(-1))
    return Tensor(f"torch.{kind}Tensor", array.shape, strides, 0, storage)


def _finish(loader: Loader, module: Module, record: Record, fields: Fields) -> None:
    """Set what a row does not name."""
    name = type(module).__name__
    if name == "PartialLinear" and fields.has_tensor("partition"):
        part = loader.tensor(fields.get("partition")).astype(np.int64) - 1
        if not np.array_equal(part, np.arange(module.outputsize)):  # type: ignore[attr-defined]
            module.setPartition(part)  # type: ignore[attr-defined]
    if name not in ("MultiCriterion", "ParallelCriterion"):
        return
    weights = fields.get("weights")
    numbers = weights.entries() if isinstance(weights, Table) else None
    if isinstance(weights, (Tensor, Storage)):
        numbers = weights.array().tolist() if isinstance(weights, Tensor) else weights.array.tolist()
    criterions = loader.children(record, fields, "criterions")
    for place, criterion in enumerate(criterions):
        weight = numbers[place] if numbers is not None and place < len(numbers) else 1
        if not isinstance(weight, float):
            raise loader.fail(record, "has a weight that is no number")
        module.add(criterion, weight)  # type: ignore[attr-defined]
