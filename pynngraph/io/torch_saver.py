"""From modules and Python's data to the objects of a ``.t7`` file."""

from __future__ import annotations

import inspect
import math
from typing import Any

import numpy as np

from .. import nn
from ..errors import DTypeError, GraphError
from ..graph.gmodule import gModule
from ..nn.criterion import Criterion
from ..nn.module import Module
from . import torch_classes
from .inert import Inert
from .t7 import ELEMENTS, Function, Record, Storage, Table, Tensor
from .torch_classes import Argument, Row

_KINDS = {np.dtype(code): kind for kind, code in ELEMENTS.items()}
_MAX_DEPTH = 1000  # of tables in tables
# What a module of these has inside in Torch7 is its own, and is not made here; the last four are not Torch7's.
_NOT_WRITTEN = {
    "Convert",
    "LayerNormalization",
    "SpatialContrastiveNormalization",
    "SpatialDivisiveNormalization",
    "SpatialSubtractiveNormalization",
    "GRU",
    "LSTM",
    "RNN",
    "Unrolled",
}


class Saver:
    """What was made of Python's objects for one file."""

    def __init__(self) -> None:
        self._made: dict[int, Any] = {}
        self._kept: list[Any] = []  # so that no id is used twice

    def value(self, value: Any) -> Any:
        """The object of a file for Python data, or for a module.

        Raises
        ------
        DTypeError
            For what Torch7 has nothing for.
        """
        waiting: list[tuple[Any, Table]] = []
        result = self._one(value, waiting)
        while waiting:
            source, table = waiting.pop()
            pairs = source.items() if isinstance(source, dict) else enumerate(source, 1)
            for key, entry in pairs:
                if entry is None:
                    if isinstance(source, dict):
                        continue  # as in Lua
                    raise DTypeError("a list with None in it cannot be saved as .t7: Lua's tables have no place for it")
                if not isinstance(key, (bool, int, float, str)) or key != key:  # noqa: PLR0124 - NaN
                    raise DTypeError(f"a dict with a key {key!r} cannot be saved as .t7")
                table.pairs.append((self._one(key, waiting), self._one(entry, waiting)))
        return result

    def _one(self, value: Any, waiting: list[tuple[Any, Table]]) -> Any:
        if value is None or isinstance(value, (bool, str)):
            return value
        if isinstance(value, np.bool_):
            return bool(value)
        if isinstance(value, (int, float, np.integer, np.floating)):
            return float(value)
        if isinstance(value, (Record, Table, Tensor, Storage, Function)):
            return value
        if id(value) not in self._made:
            self._kept.append(value)
            if isinstance(value, Module):
                return self.module(value)
            if isinstance(value, np.ndarray):
                self._made[id(value)] = self.tensor(value)
            elif isinstance(value, (list, tuple, dict)):
                table = self._made[id(value)] = Table()
                waiting.append((value, table))
            else:
                raise DTypeError(f"a {type(value).__name__} cannot be saved as .t7")
        return self._made[id(value)]

    def tensor(self, array: Any) -> Tensor:
        """A tensor of an array's values."""
        dtype = np.dtype(np.uint8) if array.dtype == np.bool_ else array.dtype.newbyteorder("<")
        kind = _KINDS.get(dtype)
        if kind is None:
            raise DTypeError(f"an array of {array.dtype} cannot be saved as .t7: Torch7 has no such tensor")
        return _tensor(kind, np.ascontiguousarray(array, dtype))

    # ---- modules ---------------------------------------------------------------------------------

    def module(self, module: Module) -> Any:
        """The object for a module."""
        if id(module) not in self._made:
            self._kept.append(module)
            self._made[id(module)] = self._new(module)
        return self._made[id(module)]

    def node_module(self, module: Module, *, again: bool) -> Any:
        """The object for the module of a graph's node; another one, with the same parameters, if it is met again."""
        if isinstance(module, Criterion):
            module = nn.ModuleFromCriterion(module)
            self._kept.append(module)
        return self._new(module) if again else self.module(module)

    def _new(self, module: Module) -> Any:
        if isinstance(module, Inert):
            return module.record
        name = type(module).__name__
        ours = gModule if name == "gModule" else getattr(nn, name, None)
        known = name in torch_classes.ROWS or name in torch_classes.COMPOSITES or ours is gModule
        if ours is not type(module) or not known or name in _NOT_WRITTEN:
            raise GraphError(f"{module.label()} cannot be saved as .t7: Torch7 files of its class are not written here")
        row = torch_classes.ROWS.get(name, Row(modules="list"))
        record = Record(torch_classes.torch_name(name), row.version)
        pairs: dict[str, Any] = {}
        if not row.is_criterion:
            pairs.update(_type=f"torch.{_kind(module)}Tensor", train=bool(module.train))
        if isinstance(module.name, str) and module.name != "gModule":
            pairs["name"] = module.name
        pairs["output"] = 0.0 if row.is_criterion else _empty(module)
        pairs["gradInput"] = _empty(module)
        pairs.update({key: Table() for key in row.tables.split()})
        pairs.update({key: _empty(module) for key in row.empty.split()})
        pairs.update({key: _no_longs() for key in row.longs.split()})
        if ours is gModule:
            from .torch_graphs import save_graph  # noqa: PLC0415 - most files have no graph

            pairs.update(save_graph(self, module))
        else:
            self._add_fields(module, row, pairs)
        record.fields = Table(list(pairs.items()))
        return record

    def _add_fields(self, module: Module, row: Row, pairs: dict[str, Any]) -> None:
        self._add_arguments(module, row, pairs)
        if row.modules:
            pairs["modules"] = self._list(module.children())
        self._add_cells(module, row, pairs)
        for key, what in row.constants.items():
            value = self._constant(module, what, pairs)
            if value is not None:
                pairs[key] = value
        _complete(self, module, pairs)

    def _add_arguments(self, module: Module, row: Row, pairs: dict[str, Any]) -> None:
        names = list(inspect.signature(type(module)).parameters) if row.arguments else []
        for place, argument in enumerate(torch_classes.arguments(row.arguments)):
            if argument.is_written and not (row.modules == "one" and argument.fields == ("module",)):
                spelled = names[place] if place < len(names) else argument.fields[0]
                field, value = _attribute(module, argument, spelled)
                if value is not None:
                    pairs[field] = self._converted(argument, value)
        for name, field in torch_classes.names(row.extra):
            value = getattr(module, name, None)
            if value is not None:
                pairs[field] = self.value(value)

    def _add_cells(self, module: Module, row: Row, pairs: dict[str, Any]) -> None:
        for name, field in torch_classes.names(row.parameters):
            cell = module._cells.get(name)
            if cell is not None:
                pairs[field] = self._cell_tensor(cell.data_store)
                if cell.grad_store is not None:
                    pairs[f"grad{field[0].upper()}{field[1:]}"] = self._cell_tensor(cell.grad_store)
        for name, field in torch_classes.names(row.buffers):
            cell = module._buffers.get(name)
            if cell is not None:
                pairs[field] = self._cell_tensor(cell.data_store)

    def _list(self, modules: list[Module]) -> Table:
        return Table([(float(place), self.module(child)) for place, child in enumerate(modules, 1)])

    def _cell_tensor(self, store: Any) -> Tensor:
        known = self._made.get(id(store))
        if known is None:
            self._kept.append(store)
            # What is saved of a gradient is that there is room for one.
            array = np.zeros(store.array.shape, store.array.dtype) if store.is_grad else store.array
            known = self._made[id(store)] = self.tensor(array)
        made: Tensor = known
        return made

    def _converted(self, argument: Argument, value: Any) -> Any:
        kind = argument.kind
        if kind == "sizes":
            return _longs(value)
        if kind == "pairs":
            return self.value([[to_one(dim) for dim in pair] for pair in value])
        if kind == "dim":
            return float(to_one(value))
        if kind == "offset":
            return float(value - 1)
        if kind == "module":
            return self.module(value)
        if kind == "indices":
            return self.tensor(np.asarray(value, np.float64) + 1)
        if kind == "tensor":
            return self.tensor(np.atleast_1d(np.asarray(value, np.float64 if not hasattr(value, "dtype") else None)))
        return self.value(value)

    def _constant(self, module: Module, what: Any, pairs: dict[str, Any]) -> Any:
        """What a row's constants stand for."""
        if not isinstance(what, str):
            return what
        if what.startswith("LongStorage"):
            return _longs([1] * int(what[11:]))
        if what == "Tensor1":
            return _tensor(_kind(module), np.ones(1, module.dtype))
        if what == "LongTensor1":
            return _tensor("Long", np.zeros(1, np.int64))
        if what == "IntTensor":
            return Tensor("torch.IntTensor", (), (), 0, None)
        if what.startswith("module "):
            return self.module(getattr(nn, what[7:])().type(module.type()))
        sizes = pairs["size"].array.tolist()
        if what == "1 and size":
            return _longs([1, *sizes])
        return float(math.prod(sizes))  # the product of size


def to_one(dim: int) -> int:
    """A dim or an index that counts from 0, or from the end if it is negative, as one that counts from 1."""
    return dim + 1 if dim >= 0 else dim


def _kind(module: Module) -> str:
    return "Float" if module.dtype == np.float32 else "Double"


def _tensor(kind: str, array: Any) -> Tensor:
    array = np.atleast_1d(array)
    if array.size == 0:
        return Tensor(f"torch.{kind}Tensor", (), (), 0, None)
    strides = tuple(math.prod(array.shape[place + 1 :]) for place in range(array.ndim))
    return Tensor(f"torch.{kind}Tensor", array.shape, strides, 0, Storage(f"torch.{kind}Storage", array.reshape(-1)))


def _empty(module: Module) -> Tensor:
    return Tensor(f"torch.{_kind(module)}Tensor", (), (), 0, None)


def _no_longs() -> Tensor:
    return Tensor("torch.LongTensor", (), (), 0, None)


def _longs(sizes: Any) -> Storage:
    return Storage("torch.LongStorage", np.array(sizes, np.int64).reshape(-1))


def _attribute(module: Module, argument: Argument, spelled: str) -> tuple[str, Any]:
    """A field and its value here: the attribute of its name, or of the constructor's argument."""
    # A criterion may be made of another one, which then has what it was given.
    owners = [module, *(child for child in module.children() if isinstance(module, Criterion))]
    is_known = argument.fields == ("scale_factor",)  # which is not there where sizes are given instead
    for owner in owners:
        for field in argument.fields:
            for name in (argument.attribute or field, f"{field}_", spelled):
                value = getattr(owner, name, None)
                is_known |= hasattr(owner, name)
                if value is not None and not inspect.ismethod(value):
                    return field, not value if argument.kind == "not" and name == spelled else value
    if not is_known:
        kind = type(module).__name__
        raise GraphError(f"{kind} cannot be saved as .t7: it has no attribute {argument.fields[0]} or {spelled}")
    return argument.fields[0], None


# ---- classes that need more than a row -----------------------------------------------------------


def _complete(saver: Saver, module: Any, pairs: dict[str, Any]) -> None:
    """Add the fields that a row does not name."""
    name = type(module).__name__
    if name == "CrossEntropyCriterion":
        pairs["nll"] = saver.module(module.nll)
        pairs["lsm"] = saver.module(nn.LogSoftMax().type(module.type()))
    elif name in ("MultiCriterion", "ParallelCriterion"):
        pairs["criterions"] = saver._list(module.children())
        pairs["weights"] = saver.value(list(map(float, module.weights)))
    elif name == "Bottle":
        counts = int(module.nInputDim), int(pairs.get("nOutputDim", module.nInputDim))
        pairs["nOutputDim"], pairs["dimDelta"] = float(counts[1]), float(counts[0] - counts[1])
        for key, count in zip(("inShape", "outShape"), counts, strict=True):
            pairs[key] = _tensor(_kind(module), np.ones(count, module.dtype))
    elif name == "WeightNorm":
        _complete_weight_norm(pairs)
    elif name == "SpatialDepthWiseConvolution":
        pairs["nOutputPlane"] = float(pairs["weight"].sizes[0])
    elif name == "IndexLinear":
        running = Table([*((key, Table()) for key in ("cumSumSizes", "keys", "gradWeight")), ("counter", 1.0)])
        rows, columns = pairs["weight"].sizes
        pairs.update(inputSize=float(rows), outputSize=float(columns - 4 * bool(module.normalize)))
        pairs.update(running=running, normalize=4.0 if module.normalize else 0.0, gradWeight=_empty(module))
    elif name == "PartialLinear":
        _complete_partial_linear(saver, module, pairs)


def _complete_partial_linear(saver: Saver, module: Any, pairs: dict[str, Any]) -> None:
    """The modules that it is in Torch7: the weight is a LookupTable's, of which a part is taken."""
    table = nn.LookupTable(1, 1).type(module.type())
    table._cells["weight"] = module._cells["weight"]
    pair = nn.ParallelTable(nn.Identity(), table)
    pairs["network"] = saver.module(nn.Sequential(pair, nn.MM(False, True)).type(module.type()))
    del pairs["weight"], pairs["gradWeight"]
    every = np.arange(1, module.outputsize + 1, dtype=module.dtype)
    part = every if module.partition is None else np.asarray(module.partition) + 1
    pairs.update(allcolumns=saver.tensor(every), partition=saver.tensor(part.astype(module.dtype)))


def _complete_weight_norm(pairs: dict[str, Any]) -> None:
    """Sizes, and the module inside without its weight, which follows from others."""
    inner = pairs["modules"].get(1.0)
    weight = inner.fields.get("weight")
    front = int(pairs["outputDim"]) - 1
    sizes = list(weight.sizes)
    out = [sizes.pop(front), *sizes]
    rest = math.prod(out[1:])
    for key, count in (("v", rest), ("gradV", rest), ("g", 1), ("gradG", 1)):
        # As matrices, whatever their sizes are here.
        tensor = pairs[key]
        pairs[key] = Tensor(tensor.name, (out[0], count), (count, 1), 0, tensor.storage)
    pairs.update(weightSize=_longs(weight.sizes), viewIn=_longs([out[0], rest]), viewOut=_longs(out))
    pairs.update(otherDims=float(rest), _norm=Tensor(weight.name, (), (), 0, None))
    pairs["_scale"] = pairs["_norm"]
    inner.fields.pairs[:] = [pair for pair in inner.fields.pairs if pair[0] not in ("weight", "gradWeight")]
