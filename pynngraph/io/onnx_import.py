"""Graphs of ONNX's ops as graphs of modules."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from .. import nn
from ..errors import Error, FileFormatError, StateError, UnsupportedError
from ..graph.node import Node
from ..nn.primitive import Broadcast, Fixed, Op, Standardize, Take
from . import making
from .onnx_export import import_onnx

if TYPE_CHECKING:
    from ..graph.gmodule import gModule
    from ..nn.module import Module

_OPEN_END = 1 << 31  # where a slice that ends here or later ends with its dim
_MOST_FOLDED = 1 << 28  # elements of a constant that a file computes

# Ops that are one module without arguments.
_SAME = {
    "Abs": "Abs",
    "Dropout": "Identity",
    "Exp": "Exp",
    "Identity": "Identity",
    "Log": "Log",
    "Relu": "ReLU",
    "Sigmoid": "Sigmoid",
    "Softplus": "SoftPlus",
    "Softsign": "SoftSign",
    "Sqrt": "Sqrt",
    "Tanh": "Tanh",
}
_TABLES = {"Max": "CMaxTable", "Min": "CMinTable", "Sum": "CAddTable"}
_COMPARISONS = ("Greater", "GreaterOrEqual", "Less", "LessOrEqual")

# What this cannot import, and why: the words of the error. All else that has no method here is "not known here".
NOT_HERE = {
    "ArgMax": "the engine gives no indices",
    "ArgMin": "the engine gives no indices",
    "Erf": "there is no error function here; GELU can be exported with approximate='tanh'",
    "If": "which way it goes depends on numbers",
    "Loop": "how often it runs depends on numbers",
    "NonZero": "how large its output is depends on numbers",
    "Scan": "it holds another graph",
    "TopK": "the engine gives no indices",
}


def from_onnx(source: Any) -> gModule:
    """The graph of modules for an ONNX model.

    Parameters
    ----------
    source
        A path, or an ``onnx.ModelProto``.

    Returns
    -------
    A :class:`~pynngraph.gModule` in evaluation, of the dtype of the model's inputs, whose nodes are annotated with the
    names of ONNX's. Weights are its parameters; what several nodes share, their modules share.

    Raises
    ------
    UnsupportedError
        Naming the node whose op, or whose use of it, there is no module for. It is a FileFormatError, and a GraphError.
    FileFormatError
        If the file is no ONNX model, or what it says of a node is not possible.
    StateError
        If the package ``onnx`` is not installed.
    """
    onnx = import_onnx()
    where, model = "", source
    try:
        if isinstance(source, (str, os.PathLike)):
            where = f"{os.fspath(source)}: "
            model = onnx.load(os.fspath(source))
        model = onnx.shape_inference.infer_shapes(model, strict_mode=True)
        onnx.checker.check_model(model)
    except OSError:
        raise
    except Exception as error:  # noqa: BLE001 - of onnx and of protobuf, which have no common one
        raise FileFormatError(f"{where}no ONNX model: {error}") from None
    try:
        with making.drawing_nothing():
            return _Importer(onnx, model).graph()
    except (FileFormatError, StateError):
        raise
    except Exception as error:
        # Whatever its parts are asked to be: the model is to blame.
        raise FileFormatError(f"{where}the ONNX model cannot be made: {type(error).__name__}: {error}") from error


class _Dim(NamedTuple):
    """The size of a value along a dim."""

    name: str
    place: int


class _Sizes:
    """Integers that depend on sizes of inputs: what ``Shape`` gives, and parts of it. None is any number."""

    def __init__(self, entries: Sequence[int | _Dim | None], *, is_scalar: bool = False) -> None:
        self.entries = list(entries)
        self.is_scalar = is_scalar


class _Compared:
    """A comparison, of which ``Where`` makes something."""

    def __init__(self, kind: str, left: str, right: str) -> None:
        self.kind, self.left, self.right = kind, left, right


class _Importer:
    def __init__(self, onnx: Any, model: Any) -> None:
        self._onnx = onnx
        self._graph = model.graph
        # Of ONNX's own operators.
        self._opset = max((entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")), default=1)
        self._values: dict[str, Any] = {}  # nodes, constant arrays, sizes, comparisons
        self._fixed: set[str] = set()  # constants that are numbers of the graph, not weights
        self._nodes: dict[str, Node] = {}  # of constants
        self._tied: dict[tuple[str, str], Module] = {}  # who has which weight as which cell
        self._shapes: dict[str, list[int | str | None]] = {}  # a name: the dim is called so
        self._kinds: dict[str, int] = {}
        for info in (*self._graph.value_info, *self._graph.input, *self._graph.output):
            tensor = info.type.tensor_type
            self._kinds[info.name] = tensor.elem_type
            if tensor.HasField("shape"):
                self._shapes[info.name] = [
                    dim.dim_value if dim.HasField("dim_value") else dim.dim_param or None for dim in tensor.shape.dim
                ]
        self._at: Any = None  # the node of ONNX at hand
        self._wanted: set[str] = set()  # values that an output depends on

    def graph(self) -> gModule:
        """The whole."""
        for entry in self._graph.initializer:
            try:
                self._values[entry.name] = self._onnx.numpy_helper.to_array(entry)
            except Exception as error:
                raise FileFormatError(f"initializer {entry.name!r} of ONNX cannot be read: {error}") from error
            self._shapes[entry.name] = list(self._values[entry.name].shape)
        inputs = []
        dtypes = []
        for info in self._graph.input:
            if info.name not in self._values:
                inputs.append(nn.Identity()().annotate(name=info.name))
                self._values[info.name] = inputs[-1]
                dtypes.append(self._onnx.helper.tensor_dtype_to_np_dtype(info.type.tensor_type.elem_type))
        for node in self._needed():
            self._at = node
            results = self._convert(node)
            for name, result in zip(node.output, results, strict=False):
                self._values[name] = result
        self._at = None
        outputs = [self._node(info.name) for info in self._graph.output]
        graph = making.graph(inputs, outputs)
        graph.type("float64" if np.dtype(np.float64) in dtypes else "float32")
        graph.evaluate()
        return graph

    def _needed(self) -> list[Any]:
        """The nodes that an output depends on, in order."""
        self._wanted = {info.name for info in self._graph.output}
        found = []
        for node in reversed(self._graph.node):
            if self._wanted.intersection(node.output):
                self._wanted.update(node.input)
                found.append(node)
        return found[::-1]

    # ---- values ----------------------------------------------------------------------------------

    def _label(self) -> str:
        if self._at is None:
            return "the graph's outputs"
        return f"{self._at.op_type} {self._at.name or (self._at.output[0] if self._at.output else '')!r}"

    def _fail(self, what: str) -> UnsupportedError:
        return UnsupportedError(f"there is no module for {self._label()} of ONNX: {what}")

    def _wrong(self, what: str) -> FileFormatError:
        return FileFormatError(f"{self._label()} of ONNX makes no sense: {what}")

    def _input(self, place: int) -> str:
        """The name of an input that must be there."""
        name: str = self._at.input[place] if len(self._at.input) > place else ""
        if not name:
            raise self._wrong(f"it has no input {place}, of {len(self._at.input)}")
        return name

    def _x(self) -> str:
        return self._input(0)

    def _node(self, name: str) -> Node:
        if name not in self._values:
            raise self._wrong(f"nothing gives {name!r}")
        value = self._values[name]
        if isinstance(value, Node):
            return value
        if not isinstance(value, np.ndarray):
            raise self._fail(f"{name!r} holds sizes or truths, not numbers")
        if name not in self._nodes:
            self._nodes[name] = self._parameter(value, is_fixed=name in self._fixed)
        return self._nodes[name]

    def _parameter(self, array: Any, *, is_fixed: bool) -> Node:
        """A constant as a node."""
        if array.dtype.kind not in "fiu":
            raise self._fail(f"a constant of {array.dtype} is computed with")
        if is_fixed or array.dtype.kind != "f" or array.ndim == 0:
            module: Module = Fixed(array)
        else:
            module = nn.Parameters(*array.shape)
            module.weight = array
        return module()

    def _is_constant(self, name: str) -> bool:
        return isinstance(self._values.get(name), np.ndarray)

    def _constant(self, name: str) -> Any:
        value = self._values.get(name)
        if not isinstance(value, np.ndarray):
            raise self._fail(f"{name!r} is not constant")
        return value

    def _shape(self, name: str) -> list[Any]:
        shape = self._shapes.get(name)
        if shape is None:
            raise self._fail(f"nothing is known of the shape of {name!r}")
        return shape

    def _known(self, name: str) -> list[int | None]:
        """The shape, with None for all that is not a number."""
        return [size if isinstance(size, int) else None for size in self._shape(name)]

    def _rank(self, name: str) -> int:
        return len(self._shape(name))

    def _axis(self, axis: int, rank: int) -> int:
        """A dim, from 0."""
        if not -rank <= axis < rank:
            raise self._wrong(f"it expects a dim of {rank}, got {axis}")
        return axis % rank

    def _attributes(self) -> dict[str, Any]:
        return {entry.name: self._onnx.helper.get_attribute_value(entry) for entry in self._at.attribute}

    def _text(self, name: str, default: str) -> str:
        value = self._attributes().get(name, default)
        return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)

    def _given(self, place: int, name: str) -> Any:
        """A constant that newer versions have as an input, older ones as an attribute; None if it is not given."""
        inputs = self._at.input
        if len(inputs) > place and inputs[place]:
            return self._constant(inputs[place])
        value = self._attributes().get(name)
        return None if value is None else np.asarray(value)

    def _number(self, place: int, name: str, default: float | None = None) -> Any:
        value = self._given(place, name)
        if value is None:
            return default
        if value.size != 1:
            raise self._wrong(f"its {name} should be one number, got shape {value.shape}")
        return float(value.reshape(()))

    # ---- nodes -----------------------------------------------------------------------------------

    def _convert(self, node: Any) -> list[Any]:
        """What a node of ONNX gives: nodes, constants, sizes."""
        if node.domain not in ("", "ai.onnx"):
            raise self._fail(f"it is of {node.domain!r}")
        try:
            if node.op_type == "Constant" or (
                node.input and all(self._is_constant(name) for name in node.input if name)
            ):
                return self._folded(node)
            if any(isinstance(self._values.get(name), _Sizes) for name in node.input):
                sizes = self._of_sizes()
                if sizes is not None:
                    return [sizes]
            return self._converted(node)
        except FileFormatError:
            raise
        except Error as error:
            raise self._fail(str(error)) from error
        except Exception as error:
            raise self._wrong(f"{type(error).__name__}: {error}") from error

    def _converted(self, node: Any) -> list[Any]:
        kind = node.op_type
        if "broadcast" in self._attributes():
            raise self._fail("it broadcasts along an axis, as this was before version 7 of the operators")
        if kind in _SAME:
            return [self._made(getattr(nn, _SAME[kind])(), self._node(self._x()))]
        if kind in _TABLES:
            return [self._table(_TABLES[kind], list(node.input))]
        if kind in _COMPARISONS:
            return [_Compared(kind, self._input(0), self._input(1))]
        method: Callable[[], Any] | None = getattr(self, f"_op_{kind}", None)
        if method is None:
            raise self._fail(NOT_HERE.get(kind, "its op is not known here"))
        result = method()
        return result if isinstance(result, list) else [result]

    def _folded(self, node: Any) -> list[Any]:
        """What a node of constants gives."""
        from onnx.reference import ReferenceEvaluator  # noqa: PLC0415 - an extra

        for name in node.output:
            shape = self._shapes.get(name, [])
            if all(isinstance(size, int) for size in shape) and math.prod(shape) > _MOST_FOLDED:  # type: ignore[arg-type]
                raise self._fail(f"it makes a constant of shape {shape}")
        given = {name: self._values[name] for name in node.input if name}
        try:
            results = list(ReferenceEvaluator(node).run(None, given))
        except Exception as error:
            raise self._fail(f"it cannot be computed beforehand: {error}") from error
        if self._fixed.issuperset(given):
            self._fixed.update(node.output)
        for name, result in zip(node.output, results, strict=False):
            if not isinstance(result, (np.ndarray, np.generic)):
                raise self._fail(f"it gives a {type(result).__name__}")
            self._shapes[name] = list(np.shape(result))
        return [np.asarray(result) for result in results]

    def _made(self, module: Module, inputs: Any) -> Node:
        """A node, with the name that ONNX's has."""
        node: Node = module(inputs)
        return node.annotate(name=self._at.name) if self._at.name else node

    def _tie(self, module: Module, **names: str | None) -> Module:
        """Let a module share its cells with those that have the same weights of the file."""
        for part in module.listModules():
            for cell, name in names.items():
                if name and cell in part._cells:
                    other = self._tied.setdefault((name, cell), part)
                    if other is not part and other._cells[cell].data.shape == part._cells[cell].data.shape:
                        making.share(part, other, cell)
        return module

    def _alike(self, names: Sequence[str]) -> bool:
        """Whether arrays are known to have one shape."""
        shapes = [self._shapes.get(name) for name in names]
        return shapes[0] is not None and None not in shapes[0] and all(shape == shapes[0] for shape in shapes)

    def _table(self, name: str, inputs: list[str]) -> Node:
        if len(inputs) == 1:
            return self._node(inputs[0])
        nodes: Any = [self._node(each) for each in inputs]
        return self._made(getattr(nn, name)(), nodes if self._alike(inputs) else Broadcast()(nodes))

    # ---- sizes -----------------------------------------------------------------------------------

    def _sizes_of(self, name: str) -> list[Any]:
        value = self._values[name]
        if isinstance(value, _Sizes):
            return value.entries
        return [int(number) for number in self._constant(name).reshape(-1)]

    def _of_sizes(self) -> _Sizes | np.ndarray | None:
        """What integers of sizes become; None if the node is for arrays."""
        kind = self._at.op_type
        first = self._values.get(self._x())
        if kind == "Concat" and all(
            isinstance(self._values.get(name), (_Sizes, np.ndarray)) for name in self._at.input
        ):
            return _whole([entry for name in self._at.input for entry in self._sizes_of(name)])
        if kind in ("Add", "Div", "Mul", "Sub"):
            sides: list[Any] = [self._values.get(name) for name in self._at.input]
            if any(isinstance(side, Node) for side in sides):
                raise self._fail("numbers are computed from the size of an input")
            count = max(len(self._sizes_of(name)) for name in self._at.input)
            is_scalar = all(side.is_scalar if isinstance(side, _Sizes) else np.ndim(side) == 0 for side in sides)
            return _Sizes([None] * count, is_scalar=is_scalar)
        if not isinstance(first, _Sizes):
            return None
        entries = first.entries
        if kind in ("Cast", "Identity"):
            return first
        if kind in ("Squeeze", "Unsqueeze", "Reshape"):
            return _whole(entries, is_scalar=kind == "Squeeze" and len(entries) == 1)
        if kind == "Gather":
            index = self._constant(self._input(1))
            found = [entries[self._axis(int(place), len(entries))] for place in index.reshape(-1)]
            return _whole(found, is_scalar=index.ndim == 0)
        if kind == "Slice":
            starts, ends = (self._given(place, name).reshape(-1) for place, name in ((1, "starts"), (2, "ends")))
            steps = self._given(4, "steps")
            return _whole(entries[int(starts[0]) : int(ends[0]) : 1 if steps is None else int(steps.reshape(-1)[0])])
        return None

    def _op_Shape(self) -> _Sizes | np.ndarray:
        x = self._x()
        attributes = self._attributes()
        start, end = attributes.get("start", 0), attributes.get("end")
        entries = [size if isinstance(size, int) else _Dim(x, place) for place, size in enumerate(self._shape(x))]
        return _whole(entries[start:end])

    def _like(self, entries: Sequence[Any]) -> Node:
        """An array of a shape of sizes that are not all known."""
        named = [entry for entry in entries if isinstance(entry, _Dim)]
        if named:
            name = named[0].name
            if list(entries) == [s if isinstance(s, int) else _Dim(name, k) for k, s in enumerate(self._shape(name))]:
                return self._node(name)
        if len(named) != 1 or None in entries:
            raise self._fail("it needs a shape that is computed from sizes of inputs")
        ((name, place),) = named
        rest = [dim for dim in range(self._rank(name)) if dim != place]
        line = making.selected(rest)(self._node(name))
        line = Op("reshape", [-1 if isinstance(entry, _Dim) else 1 for entry in entries])(line)
        return Broadcast(*(1 if isinstance(entry, _Dim) else entry for entry in entries))(line)

    # ---- arithmetic ------------------------------------------------------------------------------

    def _op_Neg(self) -> Node:
        return self._made(nn.MulConstant(-1), self._node(self._x()))

    def _op_Reciprocal(self) -> Node:
        return self._made(nn.Power(-1), self._node(self._x()))

    def _op_Mean(self) -> Node:
        return self._made(nn.MulConstant(1 / len(self._at.input)), self._table("CAddTable", list(self._at.input)))

    def _op_Add(self) -> Node:
        return self._binary("CAddTable", lambda c: ("CAdd", c), lambda c: ("CAdd", c))

    def _op_Mul(self) -> Node:
        return self._binary("CMulTable", lambda c: ("CMul", c), lambda c: ("CMul", c))

    def _op_Sub(self) -> Node:
        return self._binary("CSubTable", lambda c: ("CAdd", -c), None)

    def _op_Div(self) -> Node:
        return self._binary("CDivTable", None, None)

    def _binary(
        self,
        table: str,
        right: Callable[[Any], tuple[str, Any]] | None,
        left: Callable[[Any], tuple[str, Any]] | None,
    ) -> Node:
        first, second = self._input(0), self._input(1)
        if self._is_constant(second):
            constant = self._constant(second)
            if table == "CDivTable" and self._is_number(constant, first):
                return self._made(nn.MulConstant(1 / float(constant.reshape(()))), self._node(first))
            made = right and self._with_constant(first, second, *right(constant))
            if made:
                return made
        elif self._is_constant(first):
            made = left and self._with_constant(second, first, *left(self._constant(first)))
            if made:
                return made
        return self._table(table, [first, second])

    def _is_number(self, constant: Any, name: str) -> bool:
        return constant.size == 1 and constant.ndim <= len(self._shapes.get(name) or [])  # type: ignore[no-any-return]

    def _with_constant(self, name: str, constant_name: str, kind: str, constant: Any) -> Node | None:
        """A node with a constant added, or multiplied by one; None if it is not as simple as that."""
        if constant.dtype.kind not in "fiu":
            return None
        if self._is_number(constant, name):
            cls = nn.AddConstant if kind == "CAdd" else nn.MulConstant
            return self._made(cls(float(constant.reshape(()))), self._node(name))
        shape = self._shapes.get(name)
        if shape is None or constant_name in self._fixed or constant.dtype.kind != "f":
            return None
        sizes = (1,) * (len(shape) - constant.ndim) + constant.shape
        if len(sizes) != len(shape) or any(size not in (1, whole) for size, whole in zip(sizes, shape, strict=True)):
            return None
        module = getattr(nn, kind)(*sizes)
        setattr(module, module.cell, constant.reshape(sizes))
        return self._made(module, self._node(name))

    def _op_Pow(self) -> Node:
        x, exponent = self._node(self._x()), self._number(1, "exponent")
        modules: dict[float, Any] = {1: nn.Identity, 2: nn.Square, 0.5: nn.Sqrt}
        return self._made(modules[exponent]() if exponent in modules else nn.Power(exponent), x)

    def _op_Where(self) -> Node:
        condition, yes, no = (self._input(place) for place in range(3))
        compared = self._values.get(condition)
        if isinstance(compared, _Compared):
            return self._chosen(compared, yes, no)
        mask = self._constant(condition)
        # Of the one side what is chosen, and of the other too.
        parts = []
        for name, factor in ((yes, mask), (no, ~mask)):
            if self._is_constant(name):
                value = np.where(factor, self._constant(name), 0)
            else:
                kept = Broadcast()([self._node(name), Fixed(factor.astype(np.float64))()])
                parts.append(nn.CMulTable()(kept))
                continue
            parts.append(Fixed(value)())
        return self._made(nn.CAddTable(), Broadcast()(parts))

    def _chosen(self, compared: _Compared, yes: str, no: str) -> Node:
        """An array where it is beyond a bound, else a number."""
        kind, left, right = compared.kind, compared.left, compared.right
        if self._is_constant(left):
            left, right = right, left
            kind = {"G": "Less", "L": "Greater"}[kind[0]] + ("OrEqual" if "OrEqual" in kind else "")
        bound = self._number_of(right)
        kept, other = (yes, no) if kind == "Greater" else (no, yes)
        if kind not in ("Greater", "LessOrEqual") or bound is None or (number := self._number_of(other)) is None:
            raise self._fail("it is no function of one array with a bound that is written x > a")
        if kept == left:
            return self._made(nn.Threshold(bound, number), self._node(kept))
        source = next((node for node in self._graph.node if left in node.output), None)
        if number == 0 and bound >= 0 and source is not None and source.op_type == "Abs" and source.input[0] == kept:
            return self._made(nn.HardShrink(bound), self._node(kept))
        raise self._fail(f"it chooses {kept!r} by {left!r}")

    def _number_of(self, name: str) -> float | None:
        value = self._values.get(name)
        return float(value.reshape(())) if isinstance(value, np.ndarray) and value.size == 1 else None

    def _op_Elu(self) -> Node:
        return self._made(nn.ELU(self._attributes().get("alpha", 1.0)), self._node(self._x()))

    def _op_LeakyRelu(self) -> Node:
        return self._made(nn.LeakyReLU(float(self._attributes().get("alpha", 0.01))), self._node(self._x()))

    def _op_ThresholdedRelu(self) -> Node:
        return self._made(nn.Threshold(float(self._attributes().get("alpha", 1.0)), 0), self._node(self._x()))

    def _op_PRelu(self) -> Node:
        x, slope = self._x(), self._input(1)
        shape = self._shape(x)
        if self._is_constant(slope):
            array = self._constant(slope)
            sizes = (1,) * (len(shape) - array.ndim) + array.shape
            if array.size == 1 or (len(shape) in (2, 4) and array.size == sizes[1] == shape[1]):
                module = nn.PReLU(0 if array.size == 1 else array.size)
                module.weight = array.reshape(-1)
                return self._made(self._tie(module, weight=slope), self._node(x))
        return self._made(Op("prelu"), Broadcast()([self._node(x), self._node(slope)]))

    def _op_HardSigmoid(self) -> Node:
        attributes = self._attributes()
        numbers = attributes.get("alpha", 0.2), attributes.get("beta", 0.5)
        return self._made(making.activation("hardsigmoid", *numbers), self._node(self._x()))

    def _op_HardSwish(self) -> Node:
        return self._made(making.activation("hardswish"), self._node(self._x()))

    def _op_Mish(self) -> Node:
        return self._made(making.activation("mish"), self._node(self._x()))

    def _op_Swish(self) -> Node:
        if self._attributes().get("alpha", 1.0) != 1:
            raise self._fail("its alpha is not 1")
        return self._made(making.activation("silu"), self._node(self._x()))

    def _op_Gelu(self) -> Node:
        if self._text("approximate", "none") != "tanh":
            raise self._fail(NOT_HERE["Erf"])
        return self._made(making.activation("gelu_tanh"), self._node(self._x()))

    def _op_Selu(self) -> Node:
        attributes = self._attributes()
        numbers = attributes.get("alpha", 1.6732631921768188), attributes.get("gamma", 1.0507010221481323)
        return self._made(making.activation("selu", *numbers), self._node(self._x()))

    def _op_Celu(self) -> Node:
        return self._made(making.activation("celu", self._attributes().get("alpha", 1.0)), self._node(self._x()))

    def _op_Shrink(self) -> Node:
        attributes = self._attributes()
        bias, bound = attributes.get("bias", 0.0), attributes.get("lambd", 0.5)
        if bias not in (0, bound):
            raise self._fail(f"its bias is {bias}, its bound {bound}")
        return self._made((nn.SoftShrink if bias else nn.HardShrink)(bound), self._node(self._x()))

    def _op_Clip(self) -> Node:
        return self._made(making.clip(self._number(1, "min"), self._number(2, "max")), self._node(self._x()))

    def _op_Cast(self) -> Node:
        kinds = self._onnx.TensorProto
        floats = (kinds.FLOAT, kinds.DOUBLE, kinds.FLOAT16, kinds.BFLOAT16)
        if self._attributes().get("to") in floats and self._kinds.get(self._x(), kinds.FLOAT) not in floats:
            raise self._fail("integers become reals")
        return self._node(self._x())

    def _op_Softmax(self) -> Node:
        return self._softmax(log=False)

    def _op_LogSoftmax(self) -> Node:
        return self._softmax(log=True)

    def _softmax(self, *, log: bool) -> Node:
        rank = self._rank(self._x())
        axis = self._axis(self._attributes().get("axis", -1 if self._opset >= 13 else 1), rank)
        if self._opset < 13 and axis != rank - 1:  # the standard changed
            raise self._fail("it is over several dims, as this was before version 13 of the operators")
        return self._made(making.softmax(axis, rank, log=log), self._node(self._x()))

    # ---- products --------------------------------------------------------------------------------

    def _op_Gemm(self) -> Node:
        attributes = self._attributes()
        x, w = self._input(0), self._input(1)
        c = self._at.input[2] if len(self._at.input) > 2 else ""
        alpha, beta = attributes.get("alpha", 1.0), attributes.get("beta", 1.0)
        turned = bool(attributes.get("transA")), bool(attributes.get("transB"))
        if turned[0] or not self._is_constant(w) or (c and not self._is_row(c)):
            node = self._made(nn.MM(*turned), [self._node(x), self._node(w)])
            node = nn.MulConstant(alpha)(node) if alpha != 1 else node
            if c and beta:
                added = nn.MulConstant(beta)(self._node(c)) if beta != 1 else self._node(c)
                node = nn.CAddTable()(Broadcast()([node, added]))
            return node
        weight = self._matrix(w)
        weight = weight if turned[1] else weight.T
        if not c:
            return self._linear(weight * alpha, None, w if alpha == 1 else None, None)
        bias = np.broadcast_to(self._constant(c).reshape(-1) * beta, len(weight))
        return self._linear(weight * alpha, bias, w if alpha == 1 else None, c if beta == 1 else None)

    def _matrix(self, name: str) -> Any:
        weight = self._constant(name)
        if weight.ndim != 2 or weight.dtype.kind != "f":
            raise self._wrong(f"it expects a matrix of reals, got {weight.dtype} of shape {weight.shape}")
        return weight

    def _is_row(self, name: str) -> bool:
        return self._is_constant(name) and math.prod(self._constant(name).shape[:-1]) == 1

    def _linear(self, weight: Any, bias: Any, weight_name: str | None, bias_name: str | None) -> Node:
        module = making.linear(weight, bias, self._rank(self._x()))
        self._tie(module, weight=weight_name, bias=bias_name)
        return self._made(module, self._node(self._x()))

    def _op_MatMul(self) -> Node:
        first, second = self._input(0), self._input(1)
        ranks = self._rank(first), self._rank(second)
        if self._is_constant(second) and ranks[1] == 2 and ranks[0] >= 1:
            return self._linear(self._matrix(second).T, None, second, None)
        nodes = [self._node(first), self._node(second)]
        if ranks in ((2, 2), (3, 3)):
            return self._made(nn.MM(), nodes)
        if min(ranks) == 1:
            # A vector is a matrix of one row, or of one column.
            sides = [making.unsqueezed([0])(nodes[0]) if ranks[0] == 1 else nodes[0]]
            sides.append(making.unsqueezed([1])(nodes[1]) if ranks[1] == 1 else nodes[1])
            if max(ranks) > 2:
                raise self._fail(f"it is of arrays of {ranks[0]} and {ranks[1]} dims")
            gone = [dim for dim in (0, 1) if ranks[dim] == 1]
            return self._made(making.selected(gone), nn.MM()(sides))
        shapes = [self._known(name) for name in (first, second)]
        if ranks[0] == ranks[1] and self._shape(first)[:-2] == self._shape(second)[:-2]:
            # Batches of batches are batches.
            batch = shapes[0][:-2]
            if batch.count(None) <= 1 and None not in shapes[0][1:]:
                flat = [Op("reshape", [-1, *shape[-2:]])(node) for node, shape in zip(nodes, shapes, strict=True)]  # type: ignore[list-item]
                sizes = [-1 if size is None else size for size in batch] + [shapes[0][-2], shapes[1][-1]]
                return self._made(making.reshape(sizes), nn.MM()(flat))  # type: ignore[arg-type]
        raise self._fail(f"it is of arrays of shapes {self._shape(first)} and {self._shape(second)}")

    def _op_Gather(self) -> Node:
        source, index = self._input(0), self._input(1)
        axis = self._axis(self._attributes().get("axis", 0), self._rank(source))
        if self._is_constant(index):
            number = self._constant(index)
            if number.ndim == 0:
                return self._made(nn.Select(axis, int(number)), self._node(source))
            size = self._known(source)[axis]
            if (number < 0).any():
                if size is None:
                    raise self._fail("it counts from the end of a dim of any size")
                number = np.where(number < 0, number + size, number)
            return self._made(Take(axis), [self._node(source), Fixed(number)()])
        if axis == 0 and self._rank(source) == 2 and self._is_constant(source) and source not in self._fixed:
            table = self._matrix(source)
            module = nn.LookupTable(*table.shape)
            module.weight = table
            return self._made(self._tie(module, weight=source), self._node(index))
        return self._made(Take(axis), [self._node(source), self._node(index)])

    def _op_OneHot(self) -> Node:
        depth = self._number(1, "depth")
        off, on = map(float, self._constant(self._input(2)).reshape(-1))
        index = self._x()
        rank = self._rank(index)
        axis = self._axis(self._attributes().get("axis", -1), rank + 1)
        node = nn.OneHot(int(depth))(self._node(index))
        if axis != rank:
            node = making.transpose([*range(axis), rank, *range(axis, rank)])(node)
        if (off, on) != (0, 1):
            node = nn.AddConstant(off)(nn.MulConstant(on - off)(node))
        return self._made(nn.Identity(), node)

    # ---- shapes ----------------------------------------------------------------------------------

    def _op_Concat(self) -> Node:
        axis = self._axis(self._attributes()["axis"], self._rank(self._x()))
        return self._made(nn.JoinTable(axis), [self._node(name) for name in self._at.input])

    def _op_Reshape(self) -> Node:
        x, wanted = self._x(), self._input(1)
        shape = self._shape(x)
        if isinstance(self._values[wanted], _Sizes):
            sizes: list[Any] = []
            for place, entry in enumerate(self._sizes_of(wanted)):
                same = isinstance(entry, _Dim) and place < len(shape) and self._is_dim(entry, x, place)
                sizes.append(-2 if same else entry if isinstance(entry, int) else None)
        else:
            sizes = self._constant(wanted).tolist()
            if self._attributes().get("allowzero") and 0 in sizes:
                raise self._fail("it makes an array without elements")
            sizes = [-2 if size == 0 else size for size in sizes]
        if any(size == -2 and place >= len(shape) for place, size in enumerate(sizes)):
            raise self._wrong(f"an array of shape {shape} gets the shape {sizes}")
        return self._made(making.reshape(self._one_open(sizes)), self._node(x))

    def _is_dim(self, entry: _Dim, name: str, place: int) -> bool:
        """Whether two sizes are one."""
        mine, other = self._shape(name)[place], self._shape(entry.name)[entry.place]
        return bool(entry == (name, place) or (isinstance(mine, str) and mine == other))

    def _one_open(self, sizes: list[Any]) -> list[int]:
        """Sizes of which at most one is to be inferred."""
        if sum(size in (None, -1) for size in sizes) > 1:
            known = self._shapes.get(self._at.output[0]) or []
            if len(known) == len(sizes):
                sizes = [
                    size if size not in (None, -1) or not isinstance(other, int) else other
                    for size, other in zip(sizes, known, strict=True)
                ]
        result = [-1 if size is None else size for size in sizes]
        if result.count(-1) > 1:
            raise self._fail(f"it gets the shape {sizes}, of which several sizes are not known")
        if min(result, default=1) < -2:
            raise self._wrong(f"sizes are {result}")
        return result

    def _op_Flatten(self) -> Node:
        x = self._x()
        shape = self._shape(x)
        axis = self._attributes().get("axis", 1)
        axis = len(shape) if axis == len(shape) else self._axis(axis, len(shape))
        sides = [shape[:axis], shape[axis:]]
        if axis == 1:
            return self._made(making.reshape([-2, -1]), self._node(x))
        sizes = [math.prod(side) if all(isinstance(size, int) for size in side) else -1 for side in sides]
        return self._made(making.reshape(self._one_open(sizes)), self._node(x))

    def _op_Transpose(self) -> Node:
        x = self._x()
        rank = self._rank(x)
        order = list(self._attributes().get("perm", reversed(range(rank))))
        if sorted(order) != list(range(rank)):
            raise self._wrong(f"its perm {order} is not one of {rank} dims")
        return self._made(making.transpose(order), self._node(x))

    def _axes(self, rank: int | None = None) -> list[int]:
        """Dims of the input, from 0."""
        rank = self._rank(self._x()) if rank is None else rank
        axes = self._given(1, "axes")
        if axes is None:
            return [] if self._attributes().get("noop_with_empty_axes") else list(range(rank))
        return sorted(self._axis(int(axis), rank) for axis in axes.reshape(-1))

    def _op_Squeeze(self) -> Node:
        axes = self._axes()
        if self._given(1, "axes") is None:
            axes = [axis for axis, size in enumerate(self._shape(self._x())) if size == 1]
        return self._made(making.selected(axes), self._node(self._x()))

    def _op_Unsqueeze(self) -> Node:
        axes = self._given(1, "axes").reshape(-1)
        return self._made(making.unsqueezed(self._axes(self._rank(self._x()) + len(axes))), self._node(self._x()))

    def _op_Expand(self) -> Node:
        x, wanted = self._node(self._x()), self._sizes_of(self._input(1))
        if all(isinstance(entry, int) for entry in wanted):
            return self._made(Broadcast(*wanted), x)
        return self._made(nn.SelectTable(0), Broadcast()([x, self._like(wanted)]))

    def _op_ConstantOfShape(self) -> Node:
        value = self._attributes().get("value")
        number = 0.0 if value is None else float(self._onnx.numpy_helper.to_array(value).reshape(()))
        like = self._like(self._sizes_of(self._x()))
        return self._made(nn.SelectTable(0), Broadcast()([Fixed(np.full(1, number))(), like]))

    def _op_Tile(self) -> Node:
        node = self._node(self._x())
        for axis, times in enumerate(self._constant(self._input(1)).tolist()):
            if times < 1:
                raise self._fail(f"it repeats {times} times")
            if times > 1:
                node = nn.JoinTable(axis)([node] * times)
        return self._made(nn.Identity(), node)

    def _op_Slice(self) -> Node:
        x = self._x()
        node = self._node(x)
        rank = self._rank(x)
        starts, ends = (self._given(place, name).reshape(-1) for place, name in ((1, "starts"), (2, "ends")))
        axes, steps = self._given(3, "axes"), self._given(4, "steps")
        axes = range(len(starts)) if axes is None else axes.reshape(-1)
        steps = [1] * len(starts) if steps is None else steps.reshape(-1)
        for start, end, axis, step in zip(map(int, starts), map(int, ends), axes, steps, strict=True):
            node = self._sliced(node, self._axis(int(axis), rank), start, end, int(step))
        return self._made(nn.Identity(), node) if node is self._node(x) else self._made_last(node)

    def _made_last(self, node: Node) -> Node:
        return node.annotate(name=self._at.name) if self._at.name else node

    def _sliced(self, node: Node, axis: int, start: int, end: int, step: int) -> Node:
        size = self._known(self._x())[axis]
        if size is not None:
            places = range(size)[start:end:step]
            if not places:
                raise self._fail("it gives no elements")
            if step != 1:
                return Take(axis)([node, Fixed(np.array(places))()])
            return nn.Narrow(axis, places[0], len(places))(node)
        if step != 1:
            raise self._fail("it takes steps along a dim of any size")
        if end >= _OPEN_END:
            length = -1
        elif end < 0 <= start:
            length = end - 1
        elif start < 0 <= end:
            raise self._fail("it begins at a place from the end and ends at one from the beginning")
        else:
            length = end - start
        return nn.Narrow(axis, start, length)(node)

    def _op_Split(self) -> list[Node | None]:
        x = self._x()
        axis = self._axis(self._attributes().get("axis", 0), self._rank(x))
        sizes = self._given(1, "split")
        whole, count = self._known(x)[axis], len(self._at.output)
        if sizes is None:
            if whole is None:
                raise self._fail("its parts are of a dim of any size")
            part = -(-whole // count)
            sizes = np.full(count, part)
            sizes[-1] = whole - part * (count - 1)
        if whole is not None and sizes.sum() != whole:
            raise self._wrong(f"parts of sizes {sizes.tolist()} do not make {whole}")
        starts = np.cumsum([0, *sizes])
        return [
            nn.Narrow(axis, int(start), int(size))(self._node(x)) if name in self._wanted else None
            for start, size, name in zip(starts, sizes, self._at.output, strict=False)
        ]

    def _op_DepthToSpace(self) -> Node:
        block, mode = self._attributes()["blocksize"], self._text("mode", "DCR")
        planes, *sizes = self._shape(self._x())[1:]
        if block < 1 or None in (planes, *self._known(self._x())[1:]) or len(sizes) != 2 or planes % block**2:
            raise self._fail(f"it takes blocks of {block} of an array of shape {self._shape(self._x())}")
        rest = planes // block**2
        parts = [rest, block, block] if mode == "CRD" else [block, block, rest]
        order = [0, 1, 4, 2, 5, 3] if mode == "CRD" else [0, 3, 4, 1, 5, 2]
        modules = (
            making.reshape([-2, *parts, *sizes]),
            making.transpose(order),
            making.reshape([-2, rest, *(size * block for size in sizes)]),
        )
        return self._made(making.in_a_row(*modules), self._node(self._x()))

    # ---- reductions ------------------------------------------------------------------------------

    def _reduced(self, kind: str, node: Node | None = None, after: Module | None = None) -> Node:
        keep = bool(self._attributes().get("keepdims", 1))
        module = making.in_a_row(making.reduction(kind, self._axes(), keep=keep), after)
        return self._made(module, self._node(self._x()) if node is None else node)

    def _op_ReduceSum(self) -> Node:
        return self._reduced("sum")

    def _op_ReduceMean(self) -> Node:
        return self._reduced("mean")

    def _op_ReduceMax(self) -> Node:
        return self._reduced("max")

    def _op_ReduceMin(self) -> Node:
        return self._reduced("min")

    def _op_ReduceL1(self) -> Node:
        return self._reduced("sum", nn.Abs()(self._node(self._x())))

    def _op_ReduceSumSquare(self) -> Node:
        return self._reduced("sum", nn.Square()(self._node(self._x())))

    def _op_ReduceL2(self) -> Node:
        return self._reduced("sum", nn.Square()(self._node(self._x())), nn.Sqrt())

    def _op_ReduceLogSum(self) -> Node:
        return self._reduced("sum", after=nn.Log())

    def _op_GlobalAveragePool(self) -> Node:
        return self._over_windows("mean")

    def _op_GlobalMaxPool(self) -> Node:
        return self._over_windows("max")

    def _over_windows(self, kind: str) -> Node:
        axes = list(range(2, self._rank(self._x())))
        return self._made(making.reduction(kind, axes, keep=True), self._node(self._x()))

    # ---- images ----------------------------------------------------------------------------------

    def _windows(self, dims: int, kernel: Sequence[int]) -> tuple[list[int], ...]:
        """Kernel, strides, pads before and after, dilations, outermost dim first."""
        attributes = self._attributes()
        kernel = [int(size) for size in attributes.get("kernel_shape") or kernel]
        strides, dilations = (list(attributes.get(name, [1] * dims)) for name in ("strides", "dilations"))
        pads = list(attributes.get("pads", [0] * 2 * dims))
        for name, sizes, count in (
            ("kernel_shape", kernel, dims), ("strides", strides, dims), ("dilations", dilations, dims),
            ("pads", pads, 2 * dims),
        ):  # fmt: skip
            if len(sizes) != count or min(sizes, default=0) < (name != "pads"):
                raise self._wrong(f"its {name} should be {count} numbers for {dims} dims, got {sizes}")
        if not 1 <= dims <= making.MOST_DIMS:
            raise self._fail(f"it has windows of {dims} dims")
        before, after = pads[:dims], pads[dims:]
        auto = self._text("auto_pad", "NOTSET")
        if auto in ("SAME_UPPER", "SAME_LOWER"):
            before, after = self._same_pads(dims, kernel, strides, dilations, is_upper=auto == "SAME_UPPER")
        elif auto not in ("NOTSET", "VALID"):
            raise self._wrong(f"its auto_pad is {auto!r}")
        elif auto == "VALID":
            before, after = [0] * dims, [0] * dims
        return kernel, strides, before, after, dilations

    def _same_pads(
        self, dims: int, kernel: list[int], strides: list[int], dilations: list[int], *, is_upper: bool
    ) -> tuple[list[int], list[int]]:
        sizes = self._known(self._x())[-dims:]
        if None in sizes:
            raise self._fail("its padding depends on the size of its input")
        totals = [
            max((-(-size // stride) - 1) * stride + (window - 1) * dilation + 1 - size, 0)  # type: ignore[operator]
            for size, window, stride, dilation in zip(sizes, kernel, strides, dilations, strict=True)
        ]
        small, large = [total // 2 for total in totals], [total - total // 2 for total in totals]
        return (small, large) if is_upper else (large, small)

    def _weights(self) -> tuple[Any, Any, str, str]:
        """Weight and bias of a convolution, and their names."""
        w, c = self._input(1), self._at.input[2] if len(self._at.input) > 2 else ""
        weight = self._constant(w)
        if weight.ndim < 3 or weight.dtype.kind != "f" or not weight.size:
            raise self._wrong(f"it expects a weight of 3 dims or more, got {weight.dtype} of shape {weight.shape}")
        return weight, self._constant(c) if c else None, w, c

    def _op_Conv(self) -> Node:
        x = self._x()
        if not self._is_constant(self._input(1)):
            return self._computed("convolution")
        weight, bias, w, c = self._weights()
        kernel, strides, before, after, dilations = self._windows(weight.ndim - 2, weight.shape[2:])
        groups = self._attributes().get("group", 1)
        if kernel != list(weight.shape[2:]) or groups < 1 or weight.shape[0] % groups:
            raise self._wrong(f"a weight of shape {weight.shape} for windows of {kernel} and {groups} groups")
        module = making.convolution(weight, bias, strides, (before, after), dilations, groups)
        return self._made(self._tie(module, weight=w, bias=c), self._node(x))

    def _computed(self, op: str) -> Node:
        """A convolution whose weight is computed."""
        names = [name for name in self._at.input if name]
        kernel, strides, before, after, dilations = self._windows(
            self._rank(names[1]) - 2,
            self._known(names[1])[2:],  # type: ignore[arg-type]
        )
        if before != after:
            raise self._fail("its padding differs from side to side, and its weight is computed")
        parts = (making.three(strides, 1), making.three(before, 0), making.three(dilations, 1))
        ints = [number for part in parts for number in part] + [self._attributes().get("group", 1)]
        if op == "full_convolution":
            ints += making.three(list(self._attributes().get("output_padding", [0] * len(kernel))), 0)
        return self._made(Op(op, ints), [self._node(name) for name in names])

    def _op_ConvTranspose(self) -> Node:
        if self._attributes().get("output_shape"):
            raise self._fail("its padding depends on the size of its input")
        if not self._is_constant(self._input(1)):
            return self._computed("full_convolution")
        weight, bias, w, c = self._weights()
        kernel, strides, before, after, dilations = self._windows(weight.ndim - 2, weight.shape[2:])
        if before != after or self._text("auto_pad", "NOTSET") != "NOTSET":
            raise self._fail("its padding differs from side to side")
        groups = self._attributes().get("group", 1)
        if kernel != list(weight.shape[2:]) or groups < 1 or weight.shape[0] % groups:
            raise self._wrong(f"a weight of shape {weight.shape} for windows of {kernel} and {groups} groups")
        extras = list(self._attributes().get("output_padding", [0] * len(kernel)))
        module = making.full_convolution(weight, bias, strides, before, dilations, groups, extras)
        return self._made(self._tie(module, weight=w, bias=c), self._node(self._x()))

    def _op_BatchNormalization(self) -> Node:
        if self._attributes().get("training_mode"):
            raise self._fail("it is in training")
        scale, shift, mean, variance = (self._constant(self._input(place)) for place in range(1, 5))
        if any(array.shape != mean.shape or array.ndim != 1 for array in (scale, shift, mean, variance)):
            raise self._wrong(
                f"its weights should be vectors of one size, got {[a.shape for a in (scale, shift, mean)]}"
            )
        rank = self._rank(self._x())
        if not 2 <= rank <= 5:
            raise self._fail(f"its input has {rank} dims")
        module = making.batch_norm(rank, mean, variance, scale, shift, self._attributes().get("epsilon", 1e-5))
        return self._made(module, self._node(self._x()))

    def _op_LayerNormalization(self) -> Node:
        rank = self._rank(self._x())
        axis = self._axis(self._attributes().get("axis", -1), rank)
        shift = self._constant(self._at.input[2]) if len(self._at.input) > 2 and self._at.input[2] else None
        module = Standardize(
            self._attributes().get("epsilon", 1e-5), dims=rank - axis, weight=self._constant(self._input(1)), bias=shift
        )
        return self._made(module, self._node(self._x()))

    def _op_InstanceNormalization(self) -> Node:
        scale, shift = self._constant(self._input(1)), self._constant(self._input(2))
        epsilon = self._attributes().get("epsilon", 1e-5)
        module = Standardize(epsilon, groups=len(scale), weight=scale, bias=shift)
        return self._made(module, self._node(self._x()))

    def _op_GroupNormalization(self) -> Node:
        scale, shift = self._constant(self._input(1)), self._constant(self._input(2))
        groups = self._attributes()["num_groups"]
        channels = self._known(self._x())[1]
        if channels is None or len(scale) != channels:
            raise self._fail("its weights are of groups, or the number of channels is not known")
        module = Standardize(self._attributes().get("epsilon", 1e-5), groups=groups, weight=scale, bias=shift)
        return self._made(module, self._node(self._x()))

    def _op_LRN(self) -> Node:
        attributes = self._attributes()
        size, numbers = (
            attributes["size"],
            [attributes.get(k, v) for k, v in (("alpha", 1e-4), ("beta", 0.75), ("bias", 1))],
        )
        if self._rank(self._x()) != 4 or size % 2 == 0:
            raise self._fail(f"it is over {size} planes of an array of {self._rank(self._x())} dims")
        return self._made(nn.SpatialCrossMapLRN(size, *numbers), self._node(self._x()))

    def _op_MaxPool(self) -> Node:
        if len(self._at.output) > 1 and self._at.output[1] in self._wanted:
            raise self._fail("places of the greatest are wanted")
        return self._pool("Max", counts_pads=True)

    def _op_AveragePool(self) -> Node:
        return self._pool("Average", counts_pads=bool(self._attributes().get("count_include_pad")))

    def _pool(self, kind: str, *, counts_pads: bool) -> Node:
        x = self._x()
        kernel, strides, before, after, dilations = self._windows(self._rank(x) - 2, [])
        if kind == "Average" and not counts_pads and before != after:
            raise self._fail("its padding differs from side to side, and is not counted")
        ceil = bool(self._attributes().get("ceil_mode"))
        module = making.pooling(kind, kernel, strides, (before, after), dilations, ceil=ceil, counts_pads=counts_pads)
        return self._made(module, self._node(x))

    def _op_Pad(self) -> Node:
        mode = self._text("mode", "constant")
        if mode not in ("constant", "reflect", "edge"):
            raise self._fail(f"its mode is {mode!r}")
        rank = self._rank(self._x())
        pads = [int(number) for number in self._given(1, "pads").reshape(-1)]
        axes = self._given(3, "axes")
        places = range(rank) if axes is None else [self._axis(int(axis), rank) for axis in axes.reshape(-1)]
        if len(pads) != 2 * len(places):
            raise self._wrong(f"its pads should be {2 * len(places)} numbers, got {len(pads)}")
        before, after = [0] * rank, [0] * rank
        for place, start, end in zip(places, pads[: len(places)], pads[len(places) :], strict=True):
            before[place], after[place] = start, end
        value = self._number(2, "value", 0.0)
        return self._made(making.pad(before, after, mode, value), self._node(self._x()))

    def _op_Resize(self) -> Node:
        mode, corners = self._text("mode", "nearest"), self._text("coordinate_transformation_mode", "half_pixel")
        if self._text("keep_aspect_ratio_policy", "stretch") != "stretch":
            raise self._fail("it keeps the ratio of sizes")
        scaled = self._scaled()
        if mode == "nearest":
            inexact = corners == "asymmetric" and self._text("nearest_mode", "round_prefer_floor") != "floor"
            if inexact or corners == "align_corners":
                raise self._fail(f"its neighbours are those of {corners!r}")
            return self._made(
                making.repeated([self._times(axis, *pair) for axis, pair in enumerate(scaled)]), self._node(self._x())
            )
        if mode != "linear" or corners != "align_corners":
            raise self._fail(f"its mode is {mode!r}, {corners!r}; linear goes with 'align_corners' here")
        # A size that is given is 0 times the old one, and so many more.
        factors = [factor or 0 for factor, _ in scaled]
        extras = [0 if factor else size for factor, size in scaled]
        return self._made(making.interpolated(factors, extras), self._node(self._x()))

    def _scaled(self) -> list[tuple[int | None, int]]:
        """For each dim, how many times as long it becomes; or None, and the size that it gets."""
        x = self._x()
        shape = self._known(x)
        scales, sizes = self._given(2, "scales"), None
        if len(self._at.input) > 3 and self._at.input[3]:
            sizes = self._sizes_of(self._at.input[3])
        axes = [self._axis(axis, len(shape)) for axis in self._attributes().get("axes", range(len(shape)))]
        found: list[tuple[int | None, int]] = [(1, 0)] * len(shape)
        if scales is not None and scales.size:
            for axis, scale in zip(axes, scales.reshape(-1), strict=True):
                if scale < 1 or scale % 1:
                    raise self._fail(f"its scales are {scales.tolist()}")
                found[axis] = int(scale), 0
        elif sizes is not None:
            for axis, size in zip(axes, sizes, strict=True):
                if isinstance(size, _Dim) and self._is_dim(size, x, axis):
                    continue
                if not isinstance(size, int):
                    raise self._fail("sizes that it gives are not known")
                if size != shape[axis]:
                    found[axis] = None, size
        else:
            raise self._wrong("it has neither scales nor sizes")
        return found

    def _times(self, axis: int, factor: int | None, size: int) -> int:
        """How often each element comes along a dim."""
        if factor is not None:
            return factor
        old = self._known(self._x())[axis]
        if old is None or size % old or not size:
            raise self._fail(f"it makes {size} of {'any number of' if old is None else old} elements")
        return size // old

    def _op_Upsample(self) -> Node:
        scales = self._given(1, "scales")
        if self._text("mode", "nearest") != "nearest" or any(scale < 1 or scale % 1 for scale in scales.reshape(-1)):
            raise self._fail(f"it is of {self._text('mode', 'nearest')!r}, by {scales.tolist()}")
        return self._made(making.repeated([int(scale) for scale in scales.reshape(-1)]), self._node(self._x()))

    # ---- recurrent layers ------------------------------------------------------------------------

    def _op_LSTM(self) -> list[Node | None]:
        # Rows of ONNX's: i, o, f, c; here i, f, o, g.
        return self._recurrent(nn.LSTM, [0, 2, 1, 3], 4, ["Sigmoid", "Tanh", "Tanh"])

    def _op_GRU(self) -> list[Node | None]:
        if not self._attributes().get("linear_before_reset"):
            raise self._fail("its reset comes before the product")
        # Rows of ONNX's: z, r, h; here r, z, n.
        return self._recurrent(nn.GRU, [1, 0, 2], 3, ["Sigmoid", "Tanh"])

    def _op_RNN(self) -> list[Node | None]:
        return self._recurrent(nn.RNN, [0], 1, ["Tanh"])

    def _recurrent(self, cls: Any, rows: list[int], n_gates: int, transfers: list[str]) -> list[Node | None]:
        attributes = self._attributes()
        x = self._x()
        names = [*self._at.input, *[""] * 8][:8]
        got = [name.decode() for name in attributes.get("activations", [])]
        if self._text("direction", "forward") != "forward" or attributes.get("clip") or attributes.get("layout"):
            raise self._fail("it is of another direction or layout, or clips")
        if names[4] or names[7] or (got and got != transfers) or attributes.get("input_forget"):
            raise self._fail("it has lengths, peepholes or other transfer functions")
        weight, inner = (self._constant(self._input(place)) for place in (1, 2))
        if weight.ndim != 3 or weight.shape[:2] != (1, inner.shape[1]) or inner.shape[1] != n_gates * inner.shape[2]:
            raise self._wrong(f"weights of shapes {weight.shape} and {inner.shape} do not go together")
        hidden = inner.shape[2]
        bias = self._constant(names[3])[0] if names[3] else np.zeros(2 * n_gates * hidden)
        order = np.concatenate([np.arange(hidden) + row * hidden for row in rows])
        module = cls(weight.shape[2], hidden)
        parts = [weight[0], bias[: n_gates * hidden], inner[0], bias[n_gates * hidden :]]
        for parameter, array in zip(module.parameters()[0], parts, strict=True):
            parameter[...] = array[order]
        first = [self._first_state(name) for name in names[5 : 5 + cls.n_states]]
        if all(node is None for node in first):
            first = [self._zeros(x, hidden) for _ in first]
        if None in first:
            raise self._fail("it has one of two states")
        node = self._made(module, [self._node(x), [first if cls.n_states > 1 else first[0]]])
        y = nn.SelectTable(0)(node)
        after = nn.SelectTable(0)(nn.SelectTable(1)(node))  # of the only layer
        states = [nn.SelectTable(k)(after) for k in range(2)] if cls.n_states > 1 else [after]
        return [making.unsqueezed([1])(y), *map(making.unsqueezed([0]), states)]

    def _first_state(self, name: str) -> Node | None:
        return making.selected([0])(self._node(name)) if name else None

    def _zeros(self, x: str, hidden: int) -> Node:
        """A state of zeros for the batch of sequences."""
        sizes = [_Dim(x, 1), hidden] if not isinstance(self._shape(x)[1], int) else [self._shape(x)[1], hidden]
        if all(isinstance(size, int) for size in sizes):
            return Fixed(np.zeros(sizes))()
        return nn.SelectTable(0)(Broadcast()([Fixed(np.zeros((1, hidden)))(), self._like(sizes)]))


def _whole(entries: list[Any], *, is_scalar: bool = False) -> _Sizes | np.ndarray:
    """Sizes; constants if all are known."""
    if all(isinstance(entry, int) for entry in entries):
        array = np.array(entries, np.int64)
        return array.reshape(()) if is_scalar else array
    return _Sizes(entries, is_scalar=is_scalar)
