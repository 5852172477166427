"""Graphs of ONNX's ops as graphs of modules."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import nn
from ..errors import Error, FileFormatError, GraphError
from ..graph.gmodule import gModule
from ..graph.node import Node
from .onnx_export import import_onnx

if TYPE_CHECKING:
    from ..nn.module import Module

_OPEN_END = 1 << 31  # where a slice that ends here or later ends with its dim

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


def from_onnx(source: Any) -> gModule:
    """The graph of modules for an ONNX model.

    Parameters
    ----------
    source
        A path, or an ``onnx.ModelProto``.

    Returns
    -------
    A :class:`~pynngraph.gModule` in evaluation, of the dtype of the model's inputs, whose nodes are annotated with the
    names of ONNX's. Weights are its parameters.

    Raises
    ------
    GraphError
        Naming the node whose op, or whose use of it, there is no module for.
    FileFormatError
        If the file is no ONNX model.
    StateError
        If the package ``onnx`` is not installed.
    """
    onnx = import_onnx()
    model = source
    if isinstance(source, (str, os.PathLike)):
        try:
            model = onnx.load(os.fspath(source))
            onnx.checker.check_model(model)
        except OSError:
            raise
        except Exception as error:  # noqa: BLE001 - of onnx and of protobuf, which have no common one
            raise FileFormatError(f"{os.fspath(source)}: no ONNX model: {error}") from None
    return _Importer(onnx, onnx.shape_inference.infer_shapes(model)).graph()


class _Importer:
    def __init__(self, onnx: Any, model: Any) -> None:
        self._onnx = onnx
        self._graph = model.graph
        self._values: dict[str, Any] = {}  # nodes, and arrays that are constant
        self._shapes: dict[str, list[int | None]] = {}
        for info in (*self._graph.value_info, *self._graph.input, *self._graph.output):
            dims = info.type.tensor_type.shape.dim
            self._shapes[info.name] = [dim.dim_value if dim.HasField("dim_value") else None for dim in dims]
        self._at: Any = None  # the node of ONNX at hand
        self._wanted: set[str] = set()  # values that an output depends on

    def graph(self) -> gModule:
        """The whole."""
        to_array = self._onnx.numpy_helper.to_array
        for entry in self._graph.initializer:
            self._values[entry.name] = to_array(entry)
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
        outputs = [self._node(info.name) for info in self._graph.output]
        graph = gModule(inputs, outputs)
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

    def _fail(self, what: str) -> GraphError:
        name = self._at.name or (self._at.output[0] if self._at.output else "")
        return GraphError(f"there is no module for {self._at.op_type} {name!r} of ONNX: {what}")

    def _node(self, name: str) -> Node:
        value = self._values[name]
        if not isinstance(value, Node):
            value = self._values[name] = self._parameter(value)
        return value

    def _parameter(self, array: Any) -> Node:
        """A constant as a node."""
        if array.dtype.kind != "f" or array.ndim == 0:
            raise self._fail(f"a constant of {array.dtype} is computed with")
        module = nn.Parameters(*array.shape)
        module.weight = array
        node: Node = module()
        return node

    def _is_constant(self, name: str) -> bool:
        return not isinstance(self._values.get(name), Node)

    def _constant(self, name: str) -> Any:
        value = self._values.get(name)
        if isinstance(value, Node):
            raise self._fail(f"{name} is not constant")
        return value

    def _shape(self, name: str) -> list[int | None]:
        shape = self._shapes.get(name)
        if shape is None:
            raise self._fail(f"nothing is known of the shape of {name}")
        return shape

    def _attributes(self) -> dict[str, Any]:
        return {entry.name: self._onnx.helper.get_attribute_value(entry) for entry in self._at.attribute}

    def _given(self, place: int, name: str) -> Any:
        """A constant that newer versions have as an input, older ones as an attribute; None if it is not given."""
        inputs = self._at.input
        if len(inputs) > place and inputs[place]:
            return self._constant(inputs[place])
        value = self._attributes().get(name)
        return None if value is None else np.asarray(value)

    # ---- nodes -----------------------------------------------------------------------------------

    def _convert(self, node: Any) -> list[Any]:
        """What a node of ONNX gives: nodes, or constants."""
        if node.op_type == "Constant" or all(self._is_constant(name) for name in node.input if name):
            return self._folded(node)
        if node.domain not in ("", "ai.onnx"):
            raise self._fail(f"it is of {node.domain}")
        if node.op_type in _SAME:
            return [self._made(getattr(nn, _SAME[node.op_type])(), self._node(node.input[0]))]
        if node.op_type in _TABLES:
            return [self._table(_TABLES[node.op_type], list(node.input))]
        method: Callable[[], Any] | None = getattr(self, f"_op_{node.op_type}", None)
        if method is None:
            raise self._fail("its op is not known here")
        try:
            result = method()
        except (Error, IndexError, KeyError, ValueError) as error:
            if isinstance(error, GraphError):
                raise
            raise self._fail(str(error)) from error
        return result if isinstance(result, list) else [result]

    def _folded(self, node: Any) -> list[Any]:
        """What a node of constants gives."""
        from onnx.reference import ReferenceEvaluator  # noqa: PLC0415 - an extra

        given = {name: self._values[name] for name in node.input if name}
        try:
            return list(ReferenceEvaluator(node).run(None, given))
        except Exception as error:
            raise self._fail(f"it cannot be computed beforehand: {error}") from error

    def _made(self, module: Module, inputs: Any) -> Node:
        """A node, with the name that ONNX's has."""
        node: Node = module(inputs)
        return node.annotate(name=self._at.name) if self._at.name else node

    def _class(self, name: str) -> Any:
        if not hasattr(nn, name):
            raise self._fail(f"it would be {name}, which is not here")
        return getattr(nn, name)

    def _table(self, name: str, inputs: list[str]) -> Node:
        if len(inputs) == 1:
            return self._node(inputs[0])
        shapes = [self._shapes.get(each) for each in inputs]
        known = [shape for shape in shapes if shape is not None and None not in shape]
        if any(shape != known[0] for shape in known):
            raise self._fail(f"arrays of shapes {', '.join(map(str, shapes))} are repeated to one")
        return self._made(getattr(nn, name)(), [self._node(each) for each in inputs])

    # ---- arithmetic ------------------------------------------------------------------------------

    def _op_Neg(self) -> Node:
        return self._made(nn.MulConstant(-1), self._node(self._at.input[0]))

    def _op_Add(self) -> Node:
        return self._binary("CAddTable", lambda c: ("CAdd", c), lambda c: ("CAdd", c))

    def _op_Mul(self) -> Node:
        return self._binary("CMulTable", lambda c: ("CMul", c), lambda c: ("CMul", c))

    def _op_Sub(self) -> Node:
        return self._binary("CSubTable", lambda c: ("CAdd", -c), None)

    def _op_Div(self) -> Node:
        return self._binary("CDivTable", lambda c: ("CMul", 1 / c), None)

    def _binary(
        self,
        table: str,
        right: Callable[[Any], tuple[str, Any]],
        left: Callable[[Any], tuple[str, Any]] | None,
    ) -> Node:
        first, second = self._at.input
        if self._is_constant(second):
            return self._with_constant(first, *right(self._constant(second)))
        if self._is_constant(first):
            if left is not None:
                return self._with_constant(second, *left(self._constant(first)))
            turned = nn.MulConstant(-1) if table == "CSubTable" else nn.Power(-1)
            return self._combined(turned(self._node(second)), second, *(
                ("CAdd" if table == "CSubTable" else "CMul"), self._constant(first)))  # fmt: skip
        return self._table(table, [first, second])

    def _with_constant(self, name: str, kind: str, constant: Any) -> Node:
        return self._combined(self._node(name), name, kind, constant)

    def _combined(self, node: Node, name: str, kind: str, constant: Any) -> Node:
        """A node with a constant added, or multiplied by one."""
        if constant.size == 1 and constant.ndim <= len(self._shape(name)):
            cls = nn.AddConstant if kind == "CAdd" else nn.MulConstant
            return self._made(cls(float(constant.reshape(()))), node)
        shape = self._shape(name)
        sizes = (1,) * (len(shape) - constant.ndim) + constant.shape
        if len(sizes) != len(shape) or any(
            size not in (1, whole) for size, whole in zip(sizes, shape, strict=True) if whole is not None
        ):
            raise self._fail(f"a constant of shape {constant.shape} makes an array of shape {shape} larger")
        module = getattr(nn, kind)(*sizes)
        setattr(module, module.cell, constant.reshape(sizes))
        return self._made(module, node)

    def _op_Pow(self) -> Node:
        exponent = self._constant(self._at.input[1])
        if exponent.size != 1:
            raise self._fail("it has several exponents")
        return self._made(nn.Power(float(exponent.reshape(()))), self._node(self._at.input[0]))

    def _op_Elu(self) -> Node:
        return self._made(nn.ELU(self._attributes().get("alpha", 1.0)), self._node(self._at.input[0]))

    def _op_LeakyRelu(self) -> Node:
        return self._made(nn.LeakyReLU(float(self._attributes().get("alpha", 0.01))), self._node(self._at.input[0]))

    def _op_Clip(self) -> Node:
        low, high = self._given(1, "min"), self._given(2, "max")
        x = self._node(self._at.input[0])
        if low is None or high is None:
            if high is None and low is not None and low == 0:
                return self._made(nn.ReLU(), x)
            raise self._fail("it has one bound only")
        return self._made(nn.HardTanh(float(low), float(high)), x)

    def _op_Cast(self) -> Node:
        return self._node(self._at.input[0])

    def _op_Softmax(self) -> Node:
        return self._softmax(nn.SoftMax())

    def _op_LogSoftmax(self) -> Node:
        return self._softmax(nn.LogSoftMax())

    def _softmax(self, module: Module) -> Node:
        rank = len(self._shape(self._at.input[0]))
        axis = self._attributes().get("axis", -1) % rank
        if (rank, axis) not in ((1, 0), (2, 1), (3, 0), (4, 1)):
            raise self._fail(f"it is along dim {axis} of {rank}")
        return self._made(module, self._node(self._at.input[0]))

    # ---- products --------------------------------------------------------------------------------

    def _op_Gemm(self) -> Node:
        attributes = self._attributes()
        if attributes.get("transA"):
            raise self._fail("its first matrix is turned")
        weight = self._constant(self._at.input[1])
        weight = (weight if attributes.get("transB") else weight.T) * attributes.get("alpha", 1.0)
        bias = None
        if len(self._at.input) > 2 and self._at.input[2]:
            bias = self._constant(self._at.input[2]) * attributes.get("beta", 1.0)
            if bias.size not in (1, len(weight)):
                raise self._fail("what it adds is another row for each row")
            bias = np.broadcast_to(bias.reshape(-1), len(weight))
        return self._linear(weight, bias)

    def _linear(self, weight: Any, bias: Any) -> Node:
        module = nn.Linear(weight.shape[1], weight.shape[0], bias is not None)
        module.weight = weight
        if bias is not None:
            module.bias = bias
        return self._made(module, self._node(self._at.input[0]))

    def _op_MatMul(self) -> Node:
        first, second = self._at.input
        ranks = len(self._shape(first)), len(self._shape(second))
        if self._is_constant(second) and ranks[0] <= 2 and ranks[1] == 2:
            return self._linear(self._constant(second).T, None)
        if ranks not in ((2, 2), (3, 3)):
            raise self._fail(f"it is of arrays of {ranks[0]} and {ranks[1]} dims")
        return self._made(nn.MM(), [self._node(first), self._node(second)])

    def _op_Gather(self) -> Node:
        source, index = self._at.input
        axis = self._attributes().get("axis", 0)
        if self._is_constant(source) and axis == 0 and len(self._shape(source)) == 2:
            table = self._constant(source)
            module = nn.LookupTable(*table.shape)
            module.weight = table
            return self._made(module, self._node(index))
        number = self._constant(index)
        if number.ndim:
            raise self._fail("it gives several entries")
        return self._made(nn.Select(axis, int(number)), self._node(source))

    # ---- shapes ----------------------------------------------------------------------------------

    def _op_Concat(self) -> Node:
        return self._made(nn.JoinTable(self._attributes()["axis"]), [self._node(name) for name in self._at.input])

    def _op_Reshape(self) -> Node:
        x = self._at.input[0]
        sizes = self._constant(self._at.input[1]).tolist()
        shape = self._shape(x)
        if self._attributes().get("allowzero"):
            raise self._fail("zero is a size")
        known = [shape[place] if size == 0 else size for place, size in enumerate(sizes)]
        if None in known and -1 in known:
            # All but the batch is known: so is what is to be inferred.
            rest, others = shape[1:], [size for size in known if size not in (None, -1)]
            if known[0] is not None or None in rest or known.count(None) > 1:
                raise self._fail(f"an array of shape {shape} gets the shape {sizes}")
            known[known.index(-1)] = int(np.prod(rest)) // int(np.prod(others))  # type: ignore[arg-type]
        return self._viewed(x, [-1 if size is None else size for size in known])

    def _viewed(self, name: str, sizes: list[int]) -> Node:
        return self._made(nn.View(*sizes), self._node(name))

    def _op_Flatten(self) -> Node:
        x = self._at.input[0]
        shape = self._shape(x)
        axis = self._attributes().get("axis", 1) % (len(shape) + 1)
        sides = [shape[:axis], shape[axis:]]
        sizes = [-1 if None in side else int(np.prod(side, dtype=np.int64)) for side in sides]  # type: ignore[arg-type]
        if sizes.count(-1) > 1:
            raise self._fail(f"nothing is known of two sides of the shape {shape}")
        return self._viewed(x, sizes)

    def _op_Transpose(self) -> Node:
        x = self._at.input[0]
        order = list(self._attributes().get("perm", reversed(range(len(self._shape(x))))))
        pairs = []
        at = list(range(len(order)))
        for place, dim in enumerate(order):
            other = at.index(dim)
            if other != place:
                pairs.append([place, other])
                at[place], at[other] = at[other], at[place]
        return self._made(nn.Transpose(*pairs), self._node(x))

    def _axes(self) -> list[int]:
        """Dims of the input, from 0."""
        rank = len(self._shape(self._at.input[0]))
        axes = self._given(1, "axes")
        return list(range(rank)) if axes is None else sorted(int(axis) % rank for axis in axes.reshape(-1))

    def _op_Squeeze(self) -> Node:
        node = self._node(self._at.input[0])
        for axis in reversed(self._axes()):
            node = nn.Select(axis, 0)(node)
        return node

    def _op_Unsqueeze(self) -> Node:
        axes = self._given(1, "axes").reshape(-1)
        rank = len(self._shape(self._at.input[0])) + len(axes)
        node = self._node(self._at.input[0])
        for axis in sorted(int(axis) % rank for axis in axes):
            node = nn.Unsqueeze(axis)(node)
        return node

    def _op_Slice(self) -> Node:
        node = self._node(self._at.input[0])
        rank = len(self._shape(self._at.input[0]))
        starts, ends = (self._given(place, name).reshape(-1) for place, name in ((1, "starts"), (2, "ends")))
        axes, steps = self._given(3, "axes"), self._given(4, "steps")
        axes = range(len(starts)) if axes is None else axes.reshape(-1)
        if steps is not None and any(step != 1 for step in steps.reshape(-1)):
            raise self._fail("it takes steps")
        for start, end, axis in zip(map(int, starts), map(int, ends), axes, strict=True):
            if end >= _OPEN_END:
                length = -1
            elif end < 0 <= start:
                length = end - 1
            elif start < 0 <= end:
                raise self._fail("it begins at a place from the end and ends at one from the beginning")
            else:
                length = end - start
            node = nn.Narrow(int(axis) % rank, start, length)(node)
        return node

    def _op_Split(self) -> list[Node | None]:
        x = self._at.input[0]
        axis = self._attributes().get("axis", 0)
        sizes = self._given(1, "split")
        if sizes is None:
            whole, count = self._shape(x)[axis], len(self._at.output)
            if whole is None or whole % count:
                raise self._fail("its parts are not of one known size")
            sizes = np.full(count, whole // count)
        starts = np.cumsum([0, *sizes])
        return [
            nn.Narrow(axis, int(start), int(size))(self._node(x)) if name in self._wanted else None
            for start, size, name in zip(starts, sizes, self._at.output, strict=False)
        ]

    def _op_ReduceSum(self) -> Node:
        return self._reduced(lambda axis, keep: nn.Sum(axis, None, False, not keep))

    def _op_ReduceMean(self) -> Node:
        return self._reduced(lambda axis, keep: nn.Sum(axis, None, True, not keep))

    def _op_GlobalAveragePool(self) -> Node:
        node = self._node(self._at.input[0])
        for axis in range(2, len(self._shape(self._at.input[0]))):
            node = nn.Sum(axis, None, True, False)(node)
        return node

    def _reduced(self, module: Callable[[int, bool], Module]) -> Node:
        keep = bool(self._attributes().get("keepdims", 1))
        node = self._node(self._at.input[0])
        for axis in reversed(self._axes()):
            node = module(axis, keep)(node)
        return node

    # ---- images ----------------------------------------------------------------------------------

    def _windows(self) -> tuple[list[int], list[int], list[int], list[int]]:
        """Kernel, strides, pads on each side, dilations, outermost dim first."""
        attributes = self._attributes()
        dims = len(self._shape(self._at.input[0])) - 2
        kernel = attributes.get("kernel_shape") or self._shape(self._at.input[1])[2:]
        strides, dilations = (list(attributes.get(name, [1] * dims)) for name in ("strides", "dilations"))
        pads = list(attributes.get("pads", [0] * 2 * dims))
        if attributes.get("auto_pad", b"NOTSET") not in (b"NOTSET", b"VALID"):
            raise self._fail("its padding depends on the size of its input")
        if pads[:dims] != pads[dims:]:
            raise self._fail("its padding differs from side to side")
        return list(kernel), strides, pads[:dims], dilations

    def _op_Conv(self) -> Node:
        kernel, strides, pads, dilations = self._windows()
        weight = self._constant(self._at.input[1])
        if self._attributes().get("group", 1) != 1:
            raise self._fail("it has groups")
        if len(kernel) == 2:
            name = "SpatialDilatedConvolution" if dilations != [1, 1] else "SpatialConvolution"
            sizes = [part[::-1] for part in (kernel, strides, pads)]
            extras = dilations[::-1] if dilations != [1, 1] else []
        elif len(kernel) == 3:
            name = "VolumetricDilatedConvolution" if dilations != [1, 1, 1] else "VolumetricConvolution"
            sizes = [[part[0], part[2], part[1]] for part in (kernel, strides, pads)]
            extras = [dilations[0], dilations[2], dilations[1]] if dilations != [1, 1, 1] else []
        else:
            raise self._fail(f"it has {len(kernel)} dims")
        module = self._class(name)(weight.shape[1], weight.shape[0], *sizes[0], *sizes[1], *sizes[2], *extras)
        module.weight = weight
        if len(self._at.input) > 2 and self._at.input[2]:
            module.bias = self._constant(self._at.input[2])
        else:
            module.noBias()
        return self._made(module, self._node(self._at.input[0]))

    def _op_BatchNormalization(self) -> Node:
        scale, shift, mean, variance = (self._constant(name) for name in self._at.input[1:5])
        name = {2: "", 4: "Spatial", 5: "Volumetric"}.get(len(self._shape(self._at.input[0])))
        if name is None:
            raise self._fail("its input has another number of dims than 2, 4 and 5")
        module = self._class(f"{name}BatchNormalization")(len(mean), self._attributes().get("epsilon", 1e-5))
        module.weight, module.bias = scale, shift
        module.running_mean[...] = mean
        module.running_var[...] = variance
        return self._made(module, self._node(self._at.input[0]))

    def _op_MaxPool(self) -> Node:
        kernel, strides, pads, dilations = self._windows()
        if len(kernel) != 2 or dilations != [1, 1]:
            raise self._fail("it is of other than two dims, or dilated")
        return self._pool(self._class("SpatialMaxPooling"), kernel, strides, pads)

    def _op_AveragePool(self) -> Node:
        kernel, strides, pads, _ = self._windows()
        if len(kernel) != 2 or (any(pads) and not self._attributes().get("count_include_pad")):
            raise self._fail("it is of other than two dims, or does not count its padding")
        return self._pool(self._class("SpatialAveragePooling"), kernel, strides, pads)

    def _pool(self, cls: Any, kernel: list[int], strides: list[int], pads: list[int]) -> Node:
        module = cls(*kernel[::-1], *strides[::-1], *pads[::-1])
        if self._attributes().get("ceil_mode"):
            module.ceil()
        return self._made(module, self._node(self._at.input[0]))
