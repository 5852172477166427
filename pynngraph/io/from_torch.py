"""PyTorch's modules as graphs of modules, by way of torch.fx."""

from __future__ import annotations

import copy
import io
import math
import warnings
from collections.abc import Callable, Sequence
from functools import partialmethod, reduce
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import nn
from ..errors import Error, StateError, StructureError, UnsupportedError
from ..graph.node import Node
from ..nn.primitive import Broadcast, Fixed, Op, Standardize, Take
from . import making
from .onnx_import import NOT_HERE, from_onnx

if TYPE_CHECKING:
    from ..nn.module import Module


def from_torch(module: Any, example: Any) -> Module:
    """A PyTorch module as one of these.

    Parameters
    ----------
    module
        A ``torch.nn.Module``. It stays as it is.
    example
        An input of it: a tensor or an array, or a list or tuple of them if its ``forward`` takes several.

    Returns
    -------
    A graph, or for a ``torch.nn.Sequential`` a :class:`Sequential`, with the numbers and the dtype of the module's, in
    training or in evaluation as that is, and each module inside as that is. Modules inside of modules stay so, and
    keep their names: the parameter that is ``blocks.0.conv1.weight`` there is that in ``nn.save`` here. Parameters
    that modules share there they share here. Several inputs are a list; so are several outputs, from left to right.
    What a ``forward`` does is what it does in evaluation: one that looks at ``self.training`` is not asked again.

    What ``torch.fx`` cannot trace is converted by way of ONNX, in evaluation.

    Raises
    ------
    UnsupportedError
        Naming the layer or function that there is nothing for, its node in the trace, and the module that it is in.
    StateError
        If ``torch`` is not installed; or ``onnx``, where it is needed.

    Examples
    --------
    >>> import numpy as np, pynngraph as nn
    >>> torch = __import__("pytest").importorskip("torch")
    >>> net = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.ReLU())
    >>> ours = nn.from_torch(net, torch.zeros(2, 3))
    >>> ours
    nn.Sequential {
      [input -> (0) -> (1) -> output]
      (0): nn.Linear(3 -> 4)
      (1): nn.ReLU
    }
    """
    try:
        import torch  # noqa: PLC0415 - not a dependency
    except ImportError:
        message = "this needs PyTorch, the package torch"
        raise StateError(message) from None
    if not isinstance(module, torch.nn.Module):
        message = f"from_torch takes a torch.nn.Module, got a {type(module).__name__}"
        raise StructureError(message)
    # Copies: what works in place would write to them.
    entries = example if isinstance(example, (list, tuple)) else [example]
    inputs = [torch.as_tensor(entry).detach().clone() for entry in entries]
    frozen = copy.deepcopy(module).eval()
    converter = _Converter(torch, type(module).__name__)
    with torch.no_grad(), warnings.catch_warnings(), making.drawing_nothing():
        warnings.simplefilter("ignore")
        try:
            made, _, _ = converter.module(frozen, inputs, "")
            converter.share_parameters(frozen)
        except _Untraceable as error:
            made = _by_onnx(torch, frozen, inputs, error)
    dtypes = {
        tensor.dtype for tensor in (*inputs, *frozen.parameters(), *frozen.buffers()) if tensor.is_floating_point()
    }
    made.type("float64" if torch.float64 in dtypes else "float32")
    _set_mode(made, module.training)
    for inner, before in zip(frozen.modules(), module.modules(), strict=True):  # those outside first
        for part in converter.made_of(inner):
            _set_mode(part, before.training)
    return made


def _set_mode(module: Module, train: bool) -> None:
    if train:
        module.training()
    else:
        module.evaluate()


class _Untraceable(Exception):
    """torch.fx cannot say what a module does."""


def _by_onnx(torch: Any, module: Any, inputs: list[Any], cause: _Untraceable) -> Module:
    """The other way."""
    file = io.BytesIO()
    try:
        torch.onnx.export(module, tuple(inputs), file, dynamo=False)
    except Exception as error:
        message = f"{type(module).__name__} can neither be traced by torch.fx ({cause}) nor exported to ONNX: {error}"
        raise UnsupportedError(message) from error
    from .onnx_export import import_onnx  # noqa: PLC0415 - an extra

    return from_onnx(import_onnx().load_from_string(file.getvalue()))


class _Size(int):
    """The size of an array along a dim, which may be another one in another call."""

    place: int

    @classmethod
    def of(cls, size: int, place: int) -> _Size:
        """With where it comes from."""
        made = cls(size)
        made.place = place
        return made


class _Converter:
    """Converts a module, and those inside of it, each once."""

    def __init__(self, torch: Any, name: str) -> None:
        self._torch = torch
        self._name = name
        # Of modules and parameters of PyTorch's, by id; of modules also by the shapes and numbers they take.
        self._known: dict[Any, tuple[Module, Any]] = {}
        self._first: dict[int, Module] = {}  # of modules of PyTorch's: the first that was made
        self._layers: dict[int, list[Module]] = {}  # of layers of PyTorch's: all that were made
        self._parameters: dict[int, Module] = {}  # of parameters that a graph takes itself
        self._values: dict[Any, Any] = {}  # of the trace at hand: what its nodes hold for the example
        self._at: Any = None  # the node of the trace at hand
        self._path = ""  # of the module that it is in
        self._owner: Any = None  # that module

    def module(self, module: Any, inputs: list[Any], path: str) -> tuple[Module, Any, Any]:
        """A module, what it gives for an example, and how that is nested."""
        outer = self._values, self._at, self._path, self._owner
        try:
            key = (id(module), str([getattr(leaf, "shape", leaf) for leaf in self._leaves(inputs)]))
            known = self._known.get(key)
            if module._forward_hooks or module._forward_pre_hooks:
                raise self._fail(f"the hooks of {type(module).__name__}")
            output = self._run(module, inputs)
            if known is None:
                known = self._known[key] = self._new(module, inputs, path)
                _share(known[0], self._first.setdefault(id(module), known[0]))
            return known[0], output, known[1]
        finally:
            self._values, self._at, self._path, self._owner = outer

    def _run(self, module: Any, inputs: list[Any]) -> Any:
        """What a module gives for an example."""
        try:
            return module(*inputs)
        except Exception as error:
            message = f"PyTorch cannot run {type(module).__name__} on the example: {error}"
            raise StructureError(message) from error

    def made_of(self, module: Any) -> list[Module]:
        """What was made of a module of PyTorch's."""
        return [known[0] for key, known in self._known.items() if isinstance(key, tuple) and key[0] == id(module)]

    def share_parameters(self, module: Any) -> None:
        """Let parameters that several modules have in common be so here too."""
        users: dict[int, list[tuple[Module, str]]] = {}
        for inner in module.modules():
            for name, parameter in inner._parameters.items():
                if parameter is not None:
                    layers = self._layers.get(id(inner), [])
                    users.setdefault(id(parameter), []).extend((layer, name) for layer in layers)
        for key, of_graph in self._parameters.items():
            users.setdefault(key, []).append((of_graph, "weight"))
        for several in users.values():
            if len({id(made) for made, _ in several}) > 1:
                self._share_one([_holder(made, name) for made, name in several])

    def _share_one(self, holders: list[tuple[Module, str] | None]) -> None:
        cells = [None if holder is None else holder[0]._cells[holder[1]] for holder in holders]
        if len({None if cell is None else cell.data.shape for cell in cells}) != 1 or cells[0] is None:
            raise self._fail("a parameter that layers share which keep it in other forms")
        for holder in holders[1:]:
            if holder is not None:
                holder[0]._cells[holder[1]] = cells[0]
                holder[0]._changed()

    def _new(self, module: Any, inputs: list[Any], path: str) -> tuple[Module, Any]:
        name = type(module).__name__
        is_torch = type(module).__module__.startswith("torch.nn")
        layer: Callable[..., Module] | None = getattr(self, f"_layer_{name}", None) if is_torch else None
        if layer is not None:
            made = layer(module, *inputs)
            self._layers.setdefault(id(module), []).append(made)
            return made, None
        if is_torch and name == "Sequential":
            return self._sequential(module, inputs, path), None
        if is_torch and name not in ("ModuleList", "ModuleDict") and name not in dir(self._torch.nn.modules.container):
            raise self._fail(f"{name}{self._why(name)}")
        return self._traced(module, inputs, path)

    def _why(self, name: str) -> str:
        return f": {NOT_HERE['Erf']}" if name in ("GELU", "gelu", "erf") else ""

    def _fail(self, what: str) -> UnsupportedError:
        where = f"{self._name}{'.' + self._path if self._path else ''}"
        at = "" if self._at is None else f", node {self._at.name!r} of the trace ({self._at.op} {self._at.target!r})"
        return UnsupportedError(f"there is no module for {what}: in {where}{at}")

    def _sequential(self, module: Any, inputs: list[Any], path: str) -> Module:
        made = []
        for name, child in module._modules.items():  # named_children() leaves out what comes again
            self._path = f"{path}.{name}" if path else name
            part, output, structure = self.module(child, inputs, self._path)
            if structure is not None:
                raise self._fail(f"a {type(child).__name__} of several outputs in a Sequential")
            made.append(part)
            inputs = [output]
        return nn.Sequential(*made)

    # ---- traces ----------------------------------------------------------------------------------

    def _traced(self, module: Any, inputs: list[Any], path: str) -> tuple[Module, Any]:
        """A graph of what a module's forward does."""
        fx = self._torch.fx

        class Tracer(fx.Tracer):  # type: ignore[misc, name-defined]
            def is_leaf_module(self, _module: Any, _name: str) -> bool:
                return True

        try:
            trace = fx.GraphModule(module, Tracer().trace(module))
            got, values, written = self._recorded(trace, inputs)
            expected = module(*map(self._copy, inputs))
        except Exception as error:
            raise _Untraceable(f"{type(module).__name__}: {error}") from error
        # A trace takes `y += x` for y + x, which is another if y has a second name.
        if not self._are_alike(got, expected):
            raise _Untraceable(f"{type(module).__name__}: the trace gives other numbers than the module")
        self._values, self._path, self._owner = values, path, module
        found: dict[Any, Any] = {}
        places = {node: place for place, node in enumerate(trace.graph.nodes)}
        entries: list[Node] = []
        output: Any = None
        for node in trace.graph.nodes:
            self._at = node
            if node.op == "placeholder":
                if not isinstance(values[node], self._torch.Tensor):
                    found[node] = values[node]
                    continue
                entries.append(nn.Identity()().annotate(name=node.name))
                found[node] = entries[-1]
            elif node.op == "output":
                output = fx.node.map_arg(node.args[0], lambda argument: found[argument])
            else:
                found[node] = self._step(node, found)
                self._note_written(node, written[node], found, places)
        flat: list[Node] = []
        structure = self._flat(output, flat)
        return making.graph(entries, flat), structure

    def _note_written(self, node: Any, written: list[Any], found: dict[Any, Any], places: dict[Any, int]) -> None:
        """What writes in place: who reads the array later gets what it is by then."""
        result = self._values[node]
        for earlier in written:
            value = self._values[earlier]
            is_same = isinstance(result, self._torch.Tensor) and (
                (value.data_ptr(), value.shape, value.stride()) == (result.data_ptr(), result.shape, result.stride())
            )
            if is_same:
                found[earlier] = found[node]
            elif any(places[user] > places[node] for user in earlier.users):
                raise self._fail(f"writing in place to a part of {earlier.name!r}, which is read later")

    def _recorded(self, trace: Any, inputs: list[Any]) -> tuple[Any, dict[Any, Any], dict[Any, list[Any]]]:
        """What a trace gives for an example, what all nodes of it hold, and which others' arrays each writes to."""
        values: dict[Any, Any] = {}
        written: dict[Any, list[Any]] = {}  # of a node: those whose arrays it writes to
        in_memory: dict[Any, list[Any]] = {}  # nodes by the memory that their arrays are in

        def memory(node: Any) -> Any:
            value = values[node]
            return value.untyped_storage().data_ptr() if isinstance(value, self._torch.Tensor) else node

        def version(node: Any) -> int:
            value = values[node]
            return value._version if isinstance(value, self._torch.Tensor) else 0

        class Recorder(self._torch.fx.Interpreter):  # type: ignore[misc, name-defined]
            def run_node(self, node: Any) -> Any:
                # It can write only to memory that it was given.
                given = {memory(argument) for argument in node.all_input_nodes}
                before = {earlier: version(earlier) for place in given for earlier in in_memory.get(place, ())}
                value = super().run_node(node)
                written[node] = [earlier for earlier in before if version(earlier) != before[earlier]]
                values[node] = value
                in_memory.setdefault(memory(node), []).append(node)
                return value

        output = Recorder(trace).run(*map(self._copy, inputs))
        return output, values, written

    def _copy(self, value: Any) -> Any:
        return value.clone() if isinstance(value, self._torch.Tensor) else value

    def _are_alike(self, one: Any, other: Any) -> bool:
        """Whether two outputs of the same nesting are equal, but for rounding."""
        pairs = list(zip(self._leaves(one), self._leaves(other), strict=True))
        return all(
            self._torch.allclose(x, y, rtol=1e-3, atol=1e-5, equal_nan=True)
            for x, y in pairs
            if isinstance(x, self._torch.Tensor) and x.is_floating_point()
        )

    def _flat(self, value: Any, into: list[Node]) -> Any:
        """Nodes of an output from left to right; how they are nested, None for one."""
        if isinstance(value, Node):
            into.append(value)
            return None
        if isinstance(value, dict):
            value = list(value.values())
        if isinstance(value, (list, tuple)):
            return [self._flat(entry, into) for entry in value]
        raise self._fail(f"an output of {type(value).__name__}")

    def _step(self, node: Any, found: dict[Any, Any]) -> Any:
        """What a node of the trace becomes."""
        try:
            args = self._torch.fx.node.map_arg(node.args, lambda argument: found[argument])
            more = self._torch.fx.node.map_arg(node.kwargs, lambda argument: found[argument])
            if node.op == "get_attr":
                return self._attribute(node.target)
            if node.op == "call_module":
                return self._called(node, args)
            if not any(isinstance(entry, Node) for entry in self._leaves([args, more])):
                return self._values[node]  # of numbers alone
            name = node.target if isinstance(node.target, str) else node.target.__name__
            method = getattr(self, f"_do_{name.strip('_').removesuffix('_')}", None)
            if name in ("boolean_dispatch", "fn") or method is None:
                method = _function_of(name.strip("_")) or self._dispatched(node) or method
            if method is None:
                raise self._fail(f"{name}{self._why(name)}")
            return self._named(method(*args, **more), node.name)
        except (UnsupportedError, _Untraceable):
            raise
        except Error as error:
            raise self._fail(str(error)) from error
        except (TypeError, ValueError, KeyError, IndexError, AttributeError, NotImplementedError) as error:
            raise self._fail(f"{node.target}, as it is called here ({error})") from error

    def _dispatched(self, node: Any) -> Any:
        """Poolings with and without places are one function, of which the trace knows no name."""
        name = str(node.name).rstrip("0123456789").rstrip("_")
        return getattr(self, f"_do_{name}", None)

    def _leaves(self, value: Any) -> list[Any]:
        if isinstance(value, dict):
            value = list(value.values())
        if isinstance(value, slice):
            value = [value.start, value.stop, value.step]
        return (
            [leaf for entry in value for leaf in self._leaves(entry)] if isinstance(value, (list, tuple)) else [value]
        )

    def _named(self, value: Any, name: str) -> Any:
        return value.annotate(name=name) if isinstance(value, Node) and value.name is None else value

    def _attribute(self, target: str) -> Any:
        """A parameter or a buffer of the module itself."""
        value = reduce(getattr, target.split("."), self._owner)
        if not isinstance(value, self._torch.Tensor):
            return value
        key = id(value)
        if key not in self._known:
            array = value.detach().numpy()
            if isinstance(value, self._torch.nn.Parameter) and array.ndim:
                module: Module = nn.Parameters(*array.shape)
                module.weight = array
                self._parameters[key] = module
            else:
                module = Fixed(array)
            self._known[key] = module, None
        return self._named(self._known[key][0](), target.replace(".", "_"))

    def _called(self, node: Any, args: Sequence[Any]) -> Any:
        """What a module inside gives."""
        inner = reduce(getattr, node.target.split("."), self._owner)
        path = f"{self._path}.{node.target}" if self._path else node.target
        if isinstance(inner, self._torch.nn.MultiheadAttention) or node.kwargs:
            raise self._fail(f"{type(inner).__name__}, called with {', '.join(node.kwargs)}")
        tensors = [self._example(argument) for argument in node.args]
        is_new = id(inner) not in self._first
        module, _, structure = self.module(inner, tensors, path)
        flat: list[Any] = [entry for entry in self._leaves(list(args)) if isinstance(entry, Node)]
        if type(inner).__name__ in ("LSTM", "GRU", "RNN"):
            return self._of_recurrent(inner, module, args)
        made: Node = module(flat[0] if len(flat) == 1 else flat)
        if is_new:
            made.annotate(name=node.target.replace(".", "_"))
        return self._nested(made, structure)

    def _example(self, argument: Any) -> Any:
        return self._torch.fx.node.map_arg(argument, lambda node: self._values[node])

    def _nested(self, node: Node, structure: Any) -> Any:
        """The output of a module, nested as PyTorch's."""
        if structure is None:
            return node
        place = iter(range(10**6))
        flat_count = len(self._leaves(structure))

        def nested(entry: Any) -> Any:
            if entry is None:
                at = next(place)
                return nn.SelectTable(at)(node) if flat_count > 1 else node
            return [nested(each) for each in entry]

        return nested(structure)

    def _shape(self, argument: int = 0) -> tuple[int, ...]:
        """The example's shape at an argument of the function at hand."""
        return tuple(self._values[self._at.args[argument]].shape)

    def _axis(self, axis: int, rank: int | None = None) -> int:
        return int(axis) % (len(self._shape()) if rank is None else rank)

    # ---- layers ----------------------------------------------------------------------------------

    def _array(self, tensor: Any) -> Any:
        return None if tensor is None else tensor.detach().numpy()

    def _layer_Linear(self, m: Any, x: Any) -> Module:
        return making.linear(self._array(m.weight), self._array(m.bias), x.dim())

    def _layer_Identity(self, _m: Any, _x: Any) -> Module:
        return nn.Identity()  # type: ignore[no-any-return]

    def _layer_Flatten(self, m: Any, x: Any) -> Module:
        return self._flattened(m.start_dim, m.end_dim, tuple(x.shape))

    def _layer_Dropout(self, m: Any, _x: Any) -> Module:
        return nn.Dropout(m.p)

    def _layer_Dropout2d(self, m: Any, _x: Any) -> Module:
        return nn.SpatialDropout(m.p)

    def _layer_Embedding(self, m: Any, _x: Any) -> Module:
        if m.max_norm is not None:
            raise self._fail("an Embedding with max_norm")
        padding = 0 if m.padding_idx is None else m.padding_idx + 1  # counted from 1, as Torch7 does
        module = nn.LookupTable(m.num_embeddings, m.embedding_dim, padding)
        module.weight = self._array(m.weight)
        return module

    def _padding(self, m: Any) -> tuple[list[int], list[int]]:
        if m.padding == "valid":
            return [0] * len(m.kernel_size), [0] * len(m.kernel_size)
        if m.padding == "same":
            totals = [d * (k - 1) for k, d in zip(m.kernel_size, m.dilation, strict=True)]
            return [total // 2 for total in totals], [total - total // 2 for total in totals]
        return list(m.padding), list(m.padding)

    def _convolution(self, m: Any, _x: Any) -> Module:
        before, after = self._padding(m)
        border = None
        if m.padding_mode != "zeros" and any(before + after):
            if m.padding_mode == "circular":
                raise self._fail("a convolution with circular padding")
            mode = {"reflect": "reflect", "replicate": "edge"}[m.padding_mode]
            border = making.pad([0, 0, *before], [0, 0, *after], mode)
            before = after = [0] * len(before)
        weight, bias = self._array(m.weight), self._array(m.bias)
        inner = making.convolution(weight, bias, list(m.stride), (before, after), list(m.dilation), m.groups)
        return making.in_a_row(border, inner)

    _layer_Conv1d = _layer_Conv2d = _layer_Conv3d = _convolution

    def _full_convolution(self, m: Any, _x: Any) -> Module:
        sizes = [list(part) for part in (m.stride, m.padding, m.dilation)]
        extras = list(m.output_padding)
        weight, bias = self._array(m.weight), self._array(m.bias)
        return making.full_convolution(weight, bias, sizes[0], sizes[1], sizes[2], m.groups, extras)

    _layer_ConvTranspose1d = _layer_ConvTranspose2d = _layer_ConvTranspose3d = _full_convolution

    def _batch_norm(self, m: Any, x: Any) -> Module:
        if m.running_mean is None:
            raise self._fail("batch normalization without running statistics")
        mean, variance, weight, bias = map(self._array, (m.running_mean, m.running_var, m.weight, m.bias))
        momentum = 0.1 if m.momentum is None else m.momentum
        return making.batch_norm(x.dim(), mean, variance, weight, bias, m.eps, momentum)

    _layer_BatchNorm1d = _layer_BatchNorm2d = _layer_BatchNorm3d = _batch_norm

    def _layer_LayerNorm(self, m: Any, _x: Any) -> Module:
        return Standardize(m.eps, dims=len(m.normalized_shape), weight=self._array(m.weight), bias=self._array(m.bias))

    def _layer_GroupNorm(self, m: Any, _x: Any) -> Module:
        return Standardize(m.eps, groups=m.num_groups, weight=self._array(m.weight), bias=self._array(m.bias))

    def _instance_norm(self, m: Any, x: Any) -> Module:
        if m.track_running_stats:
            raise self._fail("instance normalization with running statistics")
        return Standardize(m.eps, groups=x.shape[1], weight=self._array(m.weight), bias=self._array(m.bias))

    _layer_InstanceNorm1d = _layer_InstanceNorm2d = _layer_InstanceNorm3d = _instance_norm

    def _layer_LocalResponseNorm(self, m: Any, x: Any) -> Module:
        if x.dim() != 4 or m.size % 2 == 0:
            raise self._fail(f"LocalResponseNorm({m.size}) of an array of {x.dim()} dims")
        return nn.SpatialCrossMapLRN(m.size, m.alpha, m.beta, m.k)

    def _pool(self, kind: str, dims: int, m: Any, _x: Any) -> Module:
        def sizes(name: str, usual: Any) -> list[int]:
            value = getattr(m, name, usual)
            value = usual if value is None else value
            return [int(value)] * dims if isinstance(value, int) else [int(size) for size in value]

        if getattr(m, "return_indices", False) or getattr(m, "divisor_override", None):
            raise self._fail("a pooling that gives indices, or with a divisor of its own")
        kernel = sizes("kernel_size", None)
        pads = sizes("padding", 0)
        return making.pooling(
            kind, kernel, sizes("stride", kernel), (pads, pads), sizes("dilation", 1),
            ceil=m.ceil_mode, counts_pads=getattr(m, "count_include_pad", True),
        )  # fmt: skip

    _layer_MaxPool1d = partialmethod(_pool, "Max", 1)
    _layer_MaxPool2d = partialmethod(_pool, "Max", 2)
    _layer_MaxPool3d = partialmethod(_pool, "Max", 3)
    _layer_AvgPool1d = partialmethod(_pool, "Average", 1)
    _layer_AvgPool2d = partialmethod(_pool, "Average", 2)
    _layer_AvgPool3d = partialmethod(_pool, "Average", 3)

    def _adaptive(self, kind: str, size: Any, dims: int, shape: Sequence[int]) -> Module:
        wanted = [size] * dims if isinstance(size, int) else list(size)
        wanted = [own if each is None else each for each, own in zip(wanted, shape[-dims:], strict=True)]
        if set(wanted) == {1}:
            axes = range(len(shape) - dims, len(shape))
            return making.reduction("max" if kind == "Max" else "mean", axes, keep=True)
        windows = [number for each in wanted for number in (each, 1, 0, 1)]
        return Op(f"{kind.lower()}_pool", [dims, 2, 0 if kind == "Max" else 2, *windows])

    def _layer_AdaptiveAvgPool1d(self, m: Any, x: Any) -> Module:
        return self._adaptive("Average", m.output_size, 1, x.shape)

    def _layer_AdaptiveAvgPool2d(self, m: Any, x: Any) -> Module:
        return self._adaptive("Average", m.output_size, 2, x.shape)

    def _layer_AdaptiveAvgPool3d(self, m: Any, x: Any) -> Module:
        return self._adaptive("Average", m.output_size, 3, x.shape)

    def _layer_AdaptiveMaxPool1d(self, m: Any, x: Any) -> Module:
        return self._adaptive("Max", m.output_size, 1, x.shape)

    def _layer_AdaptiveMaxPool2d(self, m: Any, x: Any) -> Module:
        return self._adaptive("Max", m.output_size, 2, x.shape)

    def _border(self, pads: Any, mode: str, value: float, rank: int) -> Module:
        """PyTorch lists the last dim first."""
        pads = [int(pad) for pad in pads]
        before, after = [0] * rank, [0] * rank
        for k in range(len(pads) // 2):
            before[rank - 1 - k], after[rank - 1 - k] = pads[2 * k], pads[2 * k + 1]
        kinds = {"constant": "constant", "reflect": "reflect", "replicate": "edge"}
        if mode not in kinds:
            raise self._fail(f"padding of mode {mode!r}")
        return making.pad(before, after, kinds[mode], value)

    def _constant_border(self, m: Any, x: Any) -> Module:
        return self._border(m.padding, "constant", getattr(m, "value", 0.0), x.dim())

    _layer_ZeroPad1d = _layer_ZeroPad2d = _layer_ZeroPad3d = _constant_border
    _layer_ConstantPad1d = _layer_ConstantPad2d = _layer_ConstantPad3d = _constant_border

    def _reflected_border(self, m: Any, x: Any) -> Module:
        return self._border(m.padding, "reflect", 0.0, x.dim())

    _layer_ReflectionPad1d = _layer_ReflectionPad2d = _layer_ReflectionPad3d = _reflected_border

    def _replicated_border(self, m: Any, x: Any) -> Module:
        return self._border(m.padding, "replicate", 0.0, x.dim())

    _layer_ReplicationPad1d = _layer_ReplicationPad2d = _layer_ReplicationPad3d = _replicated_border

    def _layer_Upsample(self, m: Any, x: Any) -> Module:
        return self._resized(x.shape, m.size, m.scale_factor, m.mode, align_corners=m.align_corners)

    _layer_UpsamplingNearest2d = _layer_UpsamplingBilinear2d = _layer_Upsample

    def _resized(self, shape: Any, size: Any, scale: Any, mode: str, *, align_corners: Any) -> Module:
        dims = len(shape) - 2
        old = list(shape[2:])
        scales = None if scale is None else [scale] * dims if isinstance(scale, (int, float)) else list(scale)
        if scales is not None:
            new = [math.floor(each * own) for each, own in zip(scales, old, strict=True)]
        else:
            new = [size] * dims if isinstance(size, int) else list(size)
        if mode in ("nearest", "nearest-exact"):
            if any(each % own for each, own in zip(new, old, strict=True)):
                raise self._fail(f"nearest neighbours from sizes {old} to {new}")
            return making.repeated([1, 1, *(each // own for each, own in zip(new, old, strict=True))])
        if mode not in ("linear", "bilinear", "trilinear") or not align_corners:
            raise self._fail(f"interpolation of mode {mode!r}, unless linear with align_corners=True")
        whole = scales is not None and all(each == int(each) for each in scales)
        factors = [
            1,
            1,
            *(
                map(int, scales)
                if whole and scales is not None
                else [int(a == b) for a, b in zip(new, old, strict=True)]
            ),
        ]
        extras = [0, 0, *([0] * dims if whole else [0 if a == b else a for a, b in zip(new, old, strict=True)])]
        return making.interpolated(factors, extras)

    def _layer_PixelShuffle(self, m: Any, _x: Any) -> Module:
        return nn.PixelShuffle(m.upscale_factor)

    def _layer_Softmax(self, m: Any, x: Any) -> Module:
        return making.softmax(self._axis(m.dim, x.dim()), x.dim())

    def _layer_LogSoftmax(self, m: Any, x: Any) -> Module:
        return making.softmax(self._axis(m.dim, x.dim()), x.dim(), log=True)

    def _layer_ReLU(self, _m: Any, _x: Any) -> Module:
        return nn.ReLU()

    def _layer_ReLU6(self, _m: Any, _x: Any) -> Module:
        return nn.ReLU6()

    def _layer_LeakyReLU(self, m: Any, _x: Any) -> Module:
        return nn.LeakyReLU(m.negative_slope)

    def _layer_PReLU(self, m: Any, x: Any) -> Module:
        array = self._array(m.weight)
        if array.size == 1 or x.dim() in (2, 4):
            module: Module = nn.PReLU(0 if array.size == 1 else array.size)
            module.weight = array
            return module
        if x.dim() == 3:
            return making.in_a_row(nn.Unsqueeze(3), self._layer_PReLU(m, x.unsqueeze(3)), nn.Select(3, 0))
        raise self._fail(f"PReLU of an array of {x.dim()} dims")

    def _layer_ELU(self, m: Any, _x: Any) -> Module:
        return nn.ELU(m.alpha)

    def _layer_SELU(self, _m: Any, _x: Any) -> Module:
        return making.activation("selu")

    def _layer_CELU(self, m: Any, _x: Any) -> Module:
        return making.activation("celu", m.alpha)

    def _layer_GELU(self, m: Any, _x: Any) -> Module:
        if m.approximate != "tanh":
            raise self._fail(f"GELU{self._why('GELU')}")
        return making.activation("gelu_tanh")

    def _layer_SiLU(self, _m: Any, _x: Any) -> Module:
        return making.activation("silu")

    def _layer_Mish(self, _m: Any, _x: Any) -> Module:
        return making.activation("mish")

    def _layer_Hardtanh(self, m: Any, _x: Any) -> Module:
        return nn.HardTanh(m.min_val, m.max_val)

    def _layer_Hardswish(self, _m: Any, _x: Any) -> Module:
        return making.activation("hardswish")

    def _layer_Hardsigmoid(self, _m: Any, _x: Any) -> Module:
        return making.activation("hardsigmoid", 1 / 6, 0.5)

    def _layer_Sigmoid(self, _m: Any, _x: Any) -> Module:
        return nn.Sigmoid()  # type: ignore[no-any-return]

    def _layer_Tanh(self, _m: Any, _x: Any) -> Module:
        return nn.Tanh()  # type: ignore[no-any-return]

    def _layer_Tanhshrink(self, _m: Any, _x: Any) -> Module:
        return nn.TanhShrink()  # type: ignore[no-any-return]

    def _layer_Softplus(self, m: Any, _x: Any) -> Module:
        if m.threshold != 20:  # that of the engine
            raise self._fail(f"Softplus with the threshold {m.threshold}")
        return nn.SoftPlus(m.beta)

    def _layer_Softsign(self, _m: Any, _x: Any) -> Module:
        return nn.SoftSign()  # type: ignore[no-any-return]

    def _layer_Softshrink(self, m: Any, _x: Any) -> Module:
        return nn.SoftShrink(m.lambd)

    def _layer_Hardshrink(self, m: Any, _x: Any) -> Module:
        return nn.HardShrink(m.lambd)

    def _layer_Threshold(self, m: Any, _x: Any) -> Module:
        return nn.Threshold(m.threshold, m.value)

    def _layer_LogSigmoid(self, _m: Any, _x: Any) -> Module:
        return nn.LogSigmoid()  # type: ignore[no-any-return]

    def _recurrent(self, m: Any, *_inputs: Any) -> Module:
        name = type(m).__name__
        if (
            m.bidirectional
            or m.batch_first
            or getattr(m, "proj_size", 0)
            or getattr(m, "nonlinearity", "tanh") != "tanh"
        ):
            raise self._fail(f"{name} that is bidirectional, batch_first, of another function or with a projection")
        module: Module = getattr(nn, name)(m.input_size, m.hidden_size, m.num_layers, m.dropout)
        n_gates = {"LSTM": 4, "GRU": 3, "RNN": 1}[name]
        rows = np.arange(n_gates * m.hidden_size).reshape(n_gates, -1)
        # PyTorch's rows of an LSTM: i, f, g, o; here i, f, o, g.
        order = (rows[[0, 1, 3, 2]] if name == "LSTM" else rows).reshape(-1)
        arrays = []
        for layer in range(m.num_layers):
            for part in ("ih", "hh"):
                weight = self._array(getattr(m, f"weight_{part}_l{layer}"))
                bias = getattr(m, f"bias_{part}_l{layer}", None) if m.bias else None
                arrays += [weight, np.zeros(len(weight)) if bias is None else self._array(bias)]
        for parameter, array in zip(module.parameters()[0], arrays, strict=True):
            parameter[...] = array[order]
        return module

    _layer_LSTM = _layer_GRU = _layer_RNN = _recurrent

    def _of_recurrent(self, m: Any, module: Module, args: Sequence[Any]) -> Any:
        """The sequence, and the state after it."""
        x, *given = args
        n_states = 2 if type(m).__name__ == "LSTM" else 1
        states = self._leaves(given)
        rank = self._values[self._at.args[0]].dim()
        layers: list[Any] = []
        for layer in range(m.num_layers):
            if states and states != [None]:
                parts = [nn.Select(0, layer)(state) for state in states]
            else:
                line = nn.Select(0, 0)(x)  # of the first step: how large the batch is
                zero = Fixed(np.zeros((1,) * (rank - 2) + (m.hidden_size,)))
                one = nn.Narrow(rank - 2, 0, 1)(line)
                parts = [nn.SelectTable(0)(Broadcast()([zero(), one])) for _ in range(n_states)]
            layers.append(parts if n_states > 1 else parts[0])
        node = module([x, layers]).annotate(name=self._at.target.replace(".", "_"))
        after = nn.SelectTable(1)(node)
        parts = []
        for k in range(n_states):
            last = [nn.SelectTable(layer)(after) for layer in range(m.num_layers)]
            last = [nn.SelectTable(k)(each) for each in last] if n_states > 1 else last
            wide = [making.unsqueezed([0])(each) for each in last]
            parts.append(nn.JoinTable(0)(wide) if len(wide) > 1 else wide[0])
        return [nn.SelectTable(0)(node), parts if n_states > 1 else parts[0]]

    # ---- arithmetic ------------------------------------------------------------------------------

    def _binary(self, table: Any, x: Any, y: Any) -> Node:
        values = [self._example(argument) for argument in self._at.args[:2]]
        nodes = [side if isinstance(side, Node) else Fixed(np.asarray(side, np.float64))() for side in (x, y)]
        shapes = [tuple(getattr(value, "shape", ())) for value in values]
        return table()(nodes if shapes[0] == shapes[1] else Broadcast()(nodes))  # type: ignore[no-any-return]

    def _do_add(self, x: Any, y: Any, *, alpha: float = 1) -> Node:
        if isinstance(y, (int, float)):
            return nn.AddConstant(y * alpha)(x)
        if isinstance(x, (int, float)):
            return nn.AddConstant(x)(y)
        return self._binary(nn.CAddTable, x, y if alpha == 1 else nn.MulConstant(alpha)(y))

    _do_iadd = _do_add

    def _do_sub(self, x: Any, y: Any, *, alpha: float = 1) -> Node:
        if isinstance(y, (int, float)):
            return nn.AddConstant(-y * alpha)(x)
        if isinstance(x, (int, float)):
            return nn.AddConstant(x)(nn.MulConstant(-1)(y))
        return self._binary(nn.CSubTable, x, y if alpha == 1 else nn.MulConstant(alpha)(y))

    _do_isub = _do_sub

    def _do_rsub(self, x: Any, y: Any) -> Node:
        return self._do_sub(y, x)

    def _do_mul(self, x: Any, y: Any) -> Node:
        if isinstance(x, (int, float)):
            x, y = y, x
        if isinstance(y, (int, float)):
            return nn.MulConstant(y)(x)
        return self._binary(nn.CMulTable, x, y)

    _do_imul = _do_multiply = _do_mul

    def _do_truediv(self, x: Any, y: Any) -> Node:
        if isinstance(y, (int, float)):
            return nn.MulConstant(1 / y)(x)
        if isinstance(x, (int, float)):
            return nn.MulConstant(x)(nn.Power(-1)(y))
        return self._binary(nn.CDivTable, x, y)

    _do_div = _do_itruediv = _do_divide = _do_truediv

    def _do_pow(self, x: Any, exponent: Any) -> Node:
        known: dict[float, Any] = {2: nn.Square, 0.5: nn.Sqrt}
        return known[exponent]()(x) if exponent in known else nn.Power(float(exponent))(x)

    def _do_maximum(self, x: Any, y: Any) -> Node:
        return self._binary(nn.CMaxTable, x, y)

    def _do_minimum(self, x: Any, y: Any) -> Node:
        return self._binary(nn.CMinTable, x, y)

    def _do_gt(self, x: Any, bound: Any) -> Any:
        return ("gt", x, bound)

    def _do_where(self, condition: Any, yes: Any, no: Any) -> Node:
        if condition[0] != "gt" or condition[1] is not yes or not isinstance(no, (int, float)):
            raise self._fail("where, unless torch.where(x > a, x, b)")
        return nn.Threshold(float(condition[2]), float(no))(yes)

    def _do_clamp(self, x: Any, min: float | None = None, max: float | None = None) -> Node:
        return making.clip(min, max)(x)

    _do_clip = _do_hardtanh = _do_clamp

    def _do_matmul(self, x: Any, y: Any) -> Node:
        ranks = len(self._shape(0)), len(self._shape(1))
        if ranks in ((2, 2), (3, 3)):
            return nn.MM()([x, y])
        if ranks == (2, 1):
            return nn.MV()([x, y])
        raise self._fail(f"a product of arrays of {ranks[0]} and {ranks[1]} dims")

    _do_mm = _do_bmm = _do_matmul

    def _do_linear(self, x: Any, weight: Any, bias: Any = None) -> Node:
        return Op("linear")([x, weight, *([] if bias is None else [bias])])

    # ---- shapes ----------------------------------------------------------------------------------

    def _do_size(self, _x: Any, dim: int | None = None) -> Any:
        shape = [_Size.of(size, place) for place, size in enumerate(self._shape())]
        return tuple(shape) if dim is None else shape[dim]

    def _do_dim(self, _x: Any) -> int:
        return len(self._shape())

    def _do_getattr(self, x: Any, name: str) -> Any:
        if name == "shape":
            return self._do_size(x)
        if name == "T":
            return self._do_t(x)
        if name in ("dtype", "device", "ndim"):
            return self._values[self._at]
        raise self._fail(f"the attribute {name!r} of a tensor")

    def _do_view(self, x: Any, *sizes: Any) -> Node:
        wanted = list(sizes[0]) if len(sizes) == 1 and isinstance(sizes[0], (list, tuple)) else list(sizes)
        shape = self._shape()
        if wanted and isinstance(wanted[0], _Size) and shape and wanted[0] == shape[0]:
            return making.reshape([-2, *map(int, wanted[1:])])(x)
        if -1 not in wanted and any(isinstance(size, _Size) and size.place == 0 for size in wanted):
            wanted = [-1 if isinstance(size, _Size) and size.place == 0 else size for size in wanted]
            wanted = [size if wanted.count(-1) == 1 else int(other) for size, other in zip(wanted, sizes, strict=False)]
        return making.reshape(list(map(int, wanted)))(x)

    _do_reshape = _do_view

    def _do_flatten(self, x: Any, start_dim: int = 0, end_dim: int = -1) -> Node:
        return self._flattened(start_dim, end_dim, self._shape())(x)

    def _flattened(self, start: int, end: int, shape: tuple[int, ...]) -> Module:
        start, end = start % len(shape), end % len(shape)
        return making.reshape([*[-2] * start, -1, *shape[end + 1 :]])

    def _do_squeeze(self, x: Any, dim: Any = None) -> Node:
        shape = self._shape()
        if dim is None:
            dim = range(len(shape))
        axes = [dim] if isinstance(dim, int) else dim
        return making.selected([axis for axis in map(self._axis, axes) if shape[axis] == 1])(x)

    def _do_unsqueeze(self, x: Any, dim: int) -> Node:
        return making.unsqueezed([self._axis(dim, len(self._shape()) + 1)])(x)

    def _do_transpose(self, x: Any, first: int, second: int) -> Node:
        return nn.Transpose([self._axis(first), self._axis(second)])(x)

    def _do_t(self, x: Any) -> Node:
        return nn.Transpose([0, 1])(x) if len(self._shape()) == 2 else nn.Identity()(x)

    def _do_permute(self, x: Any, *order: Any) -> Node:
        order = tuple(order[0]) if len(order) == 1 and isinstance(order[0], (list, tuple)) else order
        return making.transpose([self._axis(dim) for dim in order])(x)

    def _do_expand(self, x: Any, *sizes: Any) -> Node:
        wanted = list(sizes[0]) if len(sizes) == 1 and isinstance(sizes[0], (list, tuple)) else list(sizes)
        own = (None,) * (len(wanted) - len(self._shape())) + self._shape()
        return Broadcast(*(1 if size in (-1, mine) else size for size, mine in zip(wanted, own, strict=True)))(x)

    def _do_expand_as(self, x: Any, other: Any) -> Node:
        return nn.SelectTable(0)(Broadcast()([x, other]))

    def _do_contiguous(self, x: Any, *_: Any, **_more: Any) -> Node:
        return nn.Identity()(x)  # type: ignore[no-any-return]

    _do_clone = _do_float = _do_to = _do_contiguous

    def _do_detach(self, x: Any) -> Node:
        return Op("detach")(x)

    def _do_cat(self, tensors: Any, dim: int = 0, **more: int) -> Node:
        rank = len(self._values[self._at].shape)
        return nn.JoinTable(self._axis(more.get("axis", dim), rank))(list(tensors))

    _do_concat = _do_cat

    def _do_stack(self, tensors: Any, dim: int = 0) -> Node:
        axis = self._axis(dim, len(self._values[self._at].shape))
        return nn.JoinTable(axis)([making.unsqueezed([axis])(tensor) for tensor in tensors])

    def _parts(self, x: Any, dim: int) -> list[Node]:
        """The parts that the example was cut into."""
        found = []
        start = 0
        axis = self._axis(dim)
        for part in self._values[self._at]:
            found.append(nn.Narrow(axis, start, part.shape[axis])(x))
            start += part.shape[axis]
        return found

    def _do_chunk(self, x: Any, _chunks: int, dim: int = 0) -> list[Node]:
        return self._parts(x, dim)

    def _do_split(self, x: Any, _sizes: Any, dim: int = 0) -> list[Node]:
        return self._parts(x, dim)

    def _do_unbind(self, x: Any, dim: int = 0) -> list[Node]:
        axis = self._axis(dim)
        return [nn.Select(axis, place)(x) for place in range(self._shape()[axis])]

    def _do_select(self, x: Any, dim: int, index: int) -> Node:
        return nn.Select(self._axis(dim), int(index))(x)

    def _do_narrow(self, x: Any, dim: int, start: int, length: int) -> Node:
        return nn.Narrow(self._axis(dim), int(start), int(length))(x)

    def _do_getitem(self, x: Any, places: Any) -> Any:
        if not isinstance(x, Node):
            return x[places]
        places = list(places) if isinstance(places, tuple) else [places]
        shape = self._shape()
        taken = sum(place is not None and place is not Ellipsis for place in places)
        if Ellipsis in [place for place in places if not isinstance(place, (list, Node))]:
            at = [place is Ellipsis for place in places].index(True)
            places[at : at + 1] = [slice(None)] * (len(shape) - taken)
        axis = of = 0
        for place in places:
            if place is None:
                x = making.unsqueezed([axis])(x)
            elif isinstance(place, int):
                x = nn.Select(axis, place)(x)
            else:
                x = self._part(x, axis, place, shape[of])
            axis += not isinstance(place, int)
            of += place is not None
        return x

    def _part(self, x: Node, axis: int, place: Any, size: int) -> Node:
        """What a slice or a list takes along a dim."""
        if isinstance(place, list):
            index = np.array(place)
            return Take(axis)([x, Fixed(np.where(index < 0, index + size, index))()])
        if not isinstance(place, slice):
            raise self._fail(f"an index of {type(place).__name__}")
        chosen = range(size)[place]
        if place == slice(None):
            return x
        if chosen.step != 1:
            return Take(axis)([x, Fixed(np.array(chosen))()])
        # Written such that it holds for other sizes too, where that can be.
        start = 0 if place.start is None else place.start
        end = None if place.stop is None or place.stop >= size else place.stop
        if start >= 0 and (end is None or end < 0):
            return nn.Narrow(axis, start, -1 if end is None else end - 1)(x)
        return nn.Narrow(axis, chosen.start, len(chosen))(x)

    # ---- reductions ------------------------------------------------------------------------------

    def _reduced(self, kind: str, x: Any, dim: Any, keepdim: bool) -> Node:
        rank = len(self._shape())
        axes = range(rank) if dim is None else [dim] if isinstance(dim, int) else dim
        return making.reduction(kind, [self._axis(axis) for axis in axes], keep=bool(keepdim))(x)

    def _do_sum(self, x: Any, dim: Any = None, keepdim: bool = False) -> Node:
        return self._reduced("sum", x, dim, keepdim)

    def _do_mean(self, x: Any, dim: Any = None, keepdim: bool = False) -> Node:
        return self._reduced("mean", x, dim, keepdim)

    def _do_amax(self, x: Any, dim: Any = None, keepdim: bool = False) -> Node:
        return self._reduced("max", x, dim, keepdim)

    def _do_amin(self, x: Any, dim: Any = None, keepdim: bool = False) -> Node:
        return self._reduced("min", x, dim, keepdim)

    def _do_max(self, x: Any, dim: Any = None, keepdim: bool = False) -> Any:
        if isinstance(dim, Node):
            return self._binary(nn.CMaxTable, x, dim)
        found = self._reduced("max", x, dim, keepdim)
        return found if dim is None else [found]  # places are not known

    def _do_softmax(self, x: Any, dim: int, *_: Any, **_more: Any) -> Node:
        return making.softmax(self._axis(dim), len(self._shape()))(x)

    def _do_log_softmax(self, x: Any, dim: int, *_: Any, **_more: Any) -> Node:
        return making.softmax(self._axis(dim), len(self._shape()), log=True)(x)

    # ---- functions of layers ---------------------------------------------------------------------

    def _do_dropout(self, x: Any, p: float = 0.5, training: bool = True, *_: Any, **_more: Any) -> Node:
        if training:  # in evaluation, in which this is traced
            raise self._fail("a dropout that drops in evaluation too: give it training=self.training")
        return nn.Dropout(p)(x)

    def _do_leaky_relu(self, x: Any, negative_slope: float = 0.01, *_: Any, **_more: Any) -> Node:
        return nn.LeakyReLU(negative_slope)(x)

    def _do_softplus(self, x: Any, beta: float = 1.0, threshold: float = 20) -> Node:
        return self._layer_Softplus(self._torch.nn.Softplus(beta, threshold), None)(x)

    def _do_elu(self, x: Any, alpha: float = 1.0, *_: Any, **_more: Any) -> Node:
        return nn.ELU(alpha)(x)

    def _do_gelu(self, x: Any, approximate: str = "none") -> Node:
        if approximate != "tanh":
            raise self._fail(f"gelu{self._why('gelu')}")
        return making.activation("gelu_tanh")(x)

    def _do_pad(self, x: Any, pad: Any, mode: str = "constant", value: Any = None) -> Node:
        return self._border(pad, mode, value or 0.0, len(self._shape()))(x)

    def _do_interpolate(
        self, x: Any, size: Any = None, scale_factor: Any = None, mode: str = "nearest", align_corners: Any = None,
        **_more: Any,
    ) -> Node:  # fmt: skip
        return self._resized(self._shape(), size, scale_factor, mode, align_corners=align_corners)(x)

    def _do_pixel_shuffle(self, x: Any, factor: int) -> Node:
        return nn.PixelShuffle(factor)(x)

    def _do_adaptive_avg_pool2d(self, x: Any, output_size: Any) -> Node:
        return self._adaptive("Average", output_size, 2, self._shape())(x)

    def _pooled(self, layer: str, x: Any, *args: Any, **more: Any) -> Node:
        """As the layer of the same name has it."""
        more.pop("return_indices", None)
        module = getattr(self._torch.nn, layer)(*args, **more)
        return getattr(self, f"_layer_{layer}")(module, None)(x)  # type: ignore[no-any-return]

    def _do_max_pool1d(self, x: Any, *args: Any, **more: Any) -> Node:
        return self._pooled("MaxPool1d", x, *args, **more)

    def _do_max_pool2d(self, x: Any, *args: Any, **more: Any) -> Node:
        return self._pooled("MaxPool2d", x, *args, **more)

    def _do_avg_pool1d(self, x: Any, *args: Any, **more: Any) -> Node:
        return self._pooled("AvgPool1d", x, *args, **more)

    def _do_avg_pool2d(self, x: Any, *args: Any, **more: Any) -> Node:
        return self._pooled("AvgPool2d", x, *args, **more)


def _holder(made: Module, name: str) -> tuple[Module, str] | None:
    """The module, of those that a layer became, that has its parameter of this name; None if it has another form."""
    holders = [part for part in made.listModules() if name in part._cells]
    return (holders[0], name) if len(holders) == 1 else None


def _share(made: Module, first: Module) -> None:
    """Let a module have the parameters of one that was made of the same, for inputs of other shapes."""
    if made is not first:
        pairs = ([part for part in each.listModules() if part._cells or part._buffers] for each in (made, first))
        for mine, other in zip(*pairs, strict=True):
            making.share(mine, other, *mine._cells, *mine._buffers)


# Functions of one array: a class, or a name that making.activation knows.
_UNARY: dict[str, Any] = {
    "abs": nn.Abs,
    "exp": nn.Exp,
    "hardsigmoid": ("hardsigmoid", 1 / 6, 0.5),
    "hardswish": ("hardswish",),
    "log": nn.Log,
    "logsigmoid": nn.LogSigmoid,
    "mish": ("mish",),
    "neg": (nn.MulConstant, -1),
    "reciprocal": (nn.Power, -1),
    "relu": nn.ReLU,
    "relu6": nn.ReLU6,
    "rsqrt": (nn.Power, -0.5),
    "selu": ("selu",),
    "sigmoid": nn.Sigmoid,
    "silu": ("silu",),
    "softsign": nn.SoftSign,
    "sqrt": nn.Sqrt,
    "square": nn.Square,
    "tanh": nn.Tanh,
}


def _function_of(name: str) -> Callable[..., Node] | None:
    entry = _UNARY.get(name)
    if entry is None:
        return None
    cls, *numbers = entry if isinstance(entry, tuple) else (entry,)
    return lambda x, *_, **_more: (making.activation(cls, *numbers) if isinstance(cls, str) else cls(*numbers))(x)
