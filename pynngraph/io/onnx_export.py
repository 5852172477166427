"""Modules as ONNX: each primitive op of a module's program becomes a few nodes."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import __version__, nn, tree
from .._engine import INDEX
from ..errors import Error, GraphError, StateError
from .atomic import replacing
from .parameters import named_cells

if TYPE_CHECKING:
    from ..nn.execution import Ready
    from ..nn.module import Module

OPSET = 17

# Ops that are one node of ONNX.
_SAME = {
    "abs": "Abs",
    "add": "Sum",
    "detach": "Identity",
    "exp": "Exp",
    "identity": "Identity",
    "log": "Log",
    "max": "Max",
    "min": "Min",
    "relu": "Relu",
    "root": "Sqrt",
    "sigmoid": "Sigmoid",
    "softsign": "Softsign",
    "sqrt": "Sqrt",
    "tanh": "Tanh",
    "turn_gradient": "Identity",
}
_CHAINS = {"div": "Div", "mul": "Mul", "sub": "Sub"}


def import_onnx() -> Any:
    """The package, or an error that says how to get it."""
    try:
        import onnx  # noqa: PLC0415 - an extra
    except ImportError:
        message = "this needs the package onnx: pip install pynngraph[onnx]"
        raise StateError(message) from None
    return onnx


def to_onnx(module: Module, input: Any, path: str | os.PathLike[str] | None = None, *, dtype: str = "float32") -> Any:
    """A module in evaluation as an ONNX model.

    Parameters
    ----------
    module
        Any module; graphs, containers and tables are gone then. The module stays as it is.
    input
        An input of it: arrays nested as for ``forward``. Where the module is the same for every size of their first
        dim, so is the model: that dim is called ``batch``.
    path
        Where to write it; nowhere if it is left out.
    dtype
        What the model computes in: float32, which all that run such models know, or float64.

    Returns
    -------
    The ``onnx.ModelProto``. Its inputs are the arrays of the input from left to right, called ``input``, or
    ``input0``, ``input1`` ...; likewise its outputs; its weights have the names that they have in ``.safetensors``.

    Raises
    ------
    GraphError
        If a part of the module runs in Python, draws random numbers in evaluation, or has no meaning in ONNX.
    StateError
        If the package ``onnx`` is not installed.
    """
    import_onnx()
    copy = module.clone().replace(without_watchers).type(dtype).evaluate()
    arrays = tree.map_leaves(lambda leaf: _as_input(leaf, copy.dtype), input)
    ready = copy.execution_apart().prepared(arrays)
    model = _Exporter(copy, ready, _wider(copy, arrays, ready)).model(tree.flatten(arrays)[0])
    if path is not None:
        with replacing(path) as file:
            file.write(model.SerializeToString())
    return model


def without_watchers(module: Module) -> Module:
    """A module without what only looks on, by steps in Python."""
    while type(module).__name__ in ("NaN", "Profile"):
        module = module.children()[0]
    return nn.Identity() if type(module).__name__ == "PrintSize" else module


def _as_input(leaf: Any, dtype: Any) -> Any:
    array = np.asarray(leaf)
    return array if array.dtype.kind in "iu" else array.astype(dtype)


def _wider(module: Module, arrays: Any, ready: Ready) -> Ready | None:
    """The program for inputs that are longer along their first dim; None if it is another one."""

    def longer(array: Any) -> Any:
        return np.concatenate([array, array[:1]]) if array.ndim and len(array) else array

    try:
        wider = module.execution_apart().prepared(tree.map_leaves(longer, arrays))
    except Error:
        return None
    return wider if wider.lowered.program.ops == ready.lowered.program.ops else None


class _Exporter:
    def __init__(self, module: Module, ready: Ready, wider: Ready | None) -> None:
        self._onnx = import_onnx()
        self._module = module
        self._plan = ready.plan
        self._lowered = ready.lowered
        self._program = ready.lowered.program
        self._wider = wider
        self._dtype = ready.lowered.dtype
        self._nodes: list[Any] = []
        self._constants: dict[str, Any] = {}
        self._names: dict[int, str] = {}
        self._count = 0
        self._where = ""

    def model(self, inputs: list[Any]) -> Any:
        """The whole model."""
        helper = self._onnx.helper
        if self._program.hosts is not None:
            raise GraphError(f"{self._module.label()} has a part that runs in Python, which ONNX has nothing for")
        for place, value in enumerate(self._program.inputs):
            self._names[value] = f"input{place}" if len(inputs) != 1 else "input"
        names = {id(cell.data_store): name for name, cell, _ in named_cells(self._module)}
        for value, cell in zip(self._program.params, self._lowered.cells, strict=True):
            # Some modules lower to numbers of their own, beside their parameters.
            self._names[value] = names.get(id(cell.data_store)) or f"number{value}"
            self._constants[self._names[value]] = cell.data
        for (op, ins, ints, nums, outs), site in zip(self._program.ops, self._lowered.sites, strict=True):
            self._where = self._module.label() if site is None else site.describe()
            self._names[outs[0]] = self._op(op, ins, ints, nums)
        outputs = []
        several = len(self._program.outputs) != 1
        for place, value in enumerate(self._program.outputs):
            name = f"output{place}" if several else "output"
            self._node("Identity", [self._names[value]], output=name)
            outputs.append(self._info(name, value))
        graph = helper.make_graph(
            self._nodes,
            type(self._module).__name__,
            [self._info(self._names[value], value) for value in self._program.inputs],
            outputs,
            [self._onnx.numpy_helper.from_array(np.asarray(array), name) for name, array in self._constants.items()],
        )
        return helper.make_model(
            graph,
            opset_imports=[helper.make_opsetid("", OPSET)],
            ir_version=8,  # the one that came with this opset
            producer_name="pynngraph",
            producer_version=__version__,
        )

    def _info(self, name: str, value: int) -> Any:
        """What is known of an input or an output."""
        is_index = self._program.kinds[value] == INDEX
        dtype = np.dtype(np.int64) if is_index else self._dtype
        shape: list[int | str] = list(self._shape(value))
        if self._wider is not None:
            other = self._wider.plan.shape(value)
            if shape and shape[0] != other[0] and list(shape[1:]) == list(other[1:]):
                shape[0] = "batch"
            elif tuple(shape) != other:
                shape = [size if size == wide else None for size, wide in zip(shape, other, strict=True)]  # type: ignore[misc]
        kind = self._onnx.helper.np_dtype_to_tensor_dtype(dtype)
        return self._onnx.helper.make_tensor_value_info(name, kind, shape)

    # ---- nodes -----------------------------------------------------------------------------------

    def _shape(self, value: int) -> tuple[int, ...]:
        return self._plan.shape(value)

    def _new(self) -> str:
        self._count += 1
        return f"value{self._count}"

    def _node(self, kind: str, inputs: Sequence[str], output: str | None = None, **attributes: Any) -> str:
        name = output or self._new()
        self._nodes.append(self._onnx.helper.make_node(kind, list(inputs), [name], **attributes))
        return name

    def _constant(self, array: Any) -> str:
        name = f"constant{len(self._constants)}"
        self._constants[name] = array
        return name

    def _number(self, number: float) -> str:
        return self._constant(np.array(number, self._dtype))

    def _numbers(self, numbers: Sequence[int]) -> str:
        return self._constant(np.array(numbers, np.int64))

    def _op(self, op: str, ins: Sequence[int], ints: Sequence[int], nums: Sequence[float]) -> str:
        """The name of what an op gives."""
        if not all(value in self._names for value in ins):
            raise GraphError(
                f"{self._where} has no meaning in ONNX: its op {op} takes what another op tells beside its output"
            )
        names = [self._names[value] for value in ins]
        if op in _SAME:
            return self._node(_SAME[op], names)
        if op in _CHAINS:
            result = names[0]
            for name in names[1:]:
                result = self._node(_CHAINS[op], [result, name])
            return result if len(names) > 1 else self._node("Identity", names)
        method: Callable[..., str] | None = getattr(self, f"_op_{op}", None)
        if method is None:
            raise GraphError(f"{self._where} has no meaning in ONNX, or none that is written here: its op is {op}")
        return method(names, ins, ints, nums)

    def _op_square(self, x: list[str], *_: Any) -> str:
        return self._node("Mul", [x[0], x[0]])

    def _op_power(self, x: list[str], _ins: Any, _ints: Any, nums: Any) -> str:
        return self._node("Pow", [x[0], self._number(nums[0])])

    def _op_logsigmoid(self, x: list[str], *_: Any) -> str:
        return self._node("Neg", [self._node("Softplus", [self._node("Neg", x)])])

    def _op_softplus(self, x: list[str], _ins: Any, _ints: Any, nums: Any) -> str:
        scaled = self._node("Mul", [x[0], self._number(nums[0])])
        return self._node("Div", [self._node("Softplus", [scaled]), self._number(nums[0])])

    def _op_elu(self, x: list[str], _ins: Any, _ints: Any, nums: Any) -> str:
        return self._node("Elu", x, alpha=float(nums[0]))

    def _op_leakyrelu(self, x: list[str], _ins: Any, _ints: Any, nums: Any) -> str:
        return self._node("LeakyRelu", x, alpha=float(nums[0]))

    def _op_prelu(self, x: list[str], *_: Any) -> str:
        negative = self._node("Mul", [self._node("Min", [x[0], self._number(0)]), x[1]])
        return self._node("Add", [self._node("Relu", [x[0]]), negative])

    def _op_threshold(self, x: list[str], _ins: Any, _ints: Any, nums: Any) -> str:
        below = self._node("LessOrEqual", [x[0], self._number(nums[0])])
        return self._node("Where", [below, self._number(nums[1]), x[0]])

    def _op_hardtanh(self, x: list[str], _ins: Any, _ints: Any, nums: Any) -> str:
        return self._node("Clip", [x[0], self._number(nums[0]), self._number(nums[1])])

    def _op_hardshrink(self, x: list[str], _ins: Any, _ints: Any, nums: Any) -> str:
        large = self._node("Greater", [self._node("Abs", x), self._number(nums[0])])
        return self._node("Where", [large, x[0], self._number(0)])

    def _op_softshrink(self, x: list[str], _ins: Any, _ints: Any, nums: Any) -> str:
        kept = self._node("Clip", [x[0], self._number(-nums[0]), self._number(nums[0])])
        return self._node("Sub", [x[0], kept])

    def _op_mul_constant(self, x: list[str], _ins: Any, _ints: Any, nums: Any) -> str:
        return self._node("Mul", [x[0], self._number(nums[0])])

    def _op_add_constant(self, x: list[str], _ins: Any, _ints: Any, nums: Any) -> str:
        return self._node("Add", [x[0], self._number(nums[0])])

    def _op_softmax(self, x: list[str], _ins: Any, ints: Any, _nums: Any) -> str:
        return self._node("Softmax", x, axis=ints[0])

    def _op_logsoftmax(self, x: list[str], _ins: Any, ints: Any, _nums: Any) -> str:
        return self._node("LogSoftmax", x, axis=ints[0])

    def _op_reduce_sum(self, x: list[str], _ins: Any, ints: Any, nums: Any) -> str:
        total = self._node("ReduceSum", [x[0], self._numbers(ints[:1])], keepdims=int(ints[1]))
        return total if nums[0] == 1 else self._node("Mul", [total, self._number(nums[0])])

    def _op_reduce_max(self, x: list[str], _ins: Any, ints: Any, _nums: Any) -> str:
        return self._node("ReduceMax", x, axes=[ints[0]], keepdims=int(ints[1]))

    def _op_reduce_min(self, x: list[str], _ins: Any, ints: Any, _nums: Any) -> str:
        return self._node("ReduceMin", x, axes=[ints[0]], keepdims=int(ints[1]))

    def _op_linear(self, x: list[str], ins: Any, *_: Any) -> str:
        if len(self._shape(ins[0])) == 2:
            return self._node("Gemm", x, transB=1)
        product = self._node("MatMul", [x[0], self._node("Transpose", [x[1]])])
        return self._node("Add", [product, x[2]]) if len(x) > 2 else product

    def _op_matmul(self, x: list[str], ins: Any, ints: Any, _nums: Any) -> str:
        turned = []
        for name, value, turn in zip(x, ins, ints, strict=True):
            order = list(range(len(self._shape(value))))
            order[-2:] = order[:-3:-1]
            turned.append(self._node("Transpose", [name], perm=order) if turn else name)
        return self._node("MatMul", turned)

    def _op_gather(self, x: list[str], *_: Any) -> str:
        return self._node("Gather", x, axis=0)

    def _op_one_hot(self, x: list[str], _ins: Any, ints: Any, _nums: Any) -> str:
        values = self._constant(np.array([0, 1], self._dtype))
        return self._node("OneHot", [x[0], self._numbers(ints[:1]), values], axis=-1)

    def _op_to_index(self, x: list[str], *_: Any) -> str:
        return self._node("Cast", x, to=self._onnx.TensorProto.INT64)

    def _op_reshape(self, x: list[str], _ins: Any, ints: Any, _nums: Any) -> str:
        # 0 is what -2 is here: the size of the input at that place.
        if 0 in ints:
            raise GraphError(f"{self._where} makes an array without elements, which is not written as ONNX here")
        return self._node("Reshape", [x[0], self._numbers([0 if size == -2 else size for size in ints])])

    def _op_narrow(self, x: list[str], ins: Any, ints: Any, _nums: Any) -> str:
        dim, offset, length = ints
        size = self._shape(ins[0])[dim]
        if length >= 0:
            end = offset + length if offset >= 0 or offset + length < 0 else size
        else:
            end = length + 1 or np.iinfo(np.int64).max
        starts, ends, axes = (self._numbers([number]) for number in (offset, end, dim))
        return self._node("Slice", [x[0], starts, ends, axes])

    def _op_select(self, x: list[str], _ins: Any, ints: Any, _nums: Any) -> str:
        dim, index = ints
        return self._node("Gather", [x[0], self._constant(np.array(index, np.int64))], axis=dim)

    def _op_transpose(self, x: list[str], ins: Any, ints: Any, _nums: Any) -> str:
        order = list(range(len(self._shape(ins[0]))))
        first, second = ints
        order[first], order[second] = order[second], order[first]
        return self._node("Transpose", x, perm=order)

    def _op_replicate(self, x: list[str], ins: Any, ints: Any, _nums: Any) -> str:
        dim, times = ints
        wide = self._node("Unsqueeze", [x[0], self._numbers([dim])])
        if times == 1:
            return wide
        sizes = [1] * (len(self._shape(ins[0])) + 1)
        sizes[dim] = times
        return self._node("Expand", [wide, self._numbers(sizes)])

    def _op_expand(self, x: list[str], *_: Any) -> str:
        return self._node("Expand", [x[0], self._node("Shape", [x[1]])])

    def _op_join(self, x: list[str], _ins: Any, ints: Any, _nums: Any) -> str:
        return self._node("Concat", x, axis=ints[0])

    def _op_mse(self, x: list[str], ins: Any, ints: Any, _nums: Any) -> str:
        flat = self._node("Reshape", [self._node("Sub", x), self._numbers([-1])])
        squares = self._node("Mul", [flat, flat])
        return (
            self._node("ReduceMean", [squares], axes=[0])
            if ints[0]
            else self._op_reduce_sum([squares], ins, [0, 1], [1])
        )

    def _op_channel_affine(self, x: list[str], ins: Any, *_: Any) -> str:
        sizes = [-1] + [1] * (len(self._shape(ins[0])) - 2)
        parts = [self._node("Reshape", [part, self._numbers(sizes)]) for part in x[1:]]
        scaled = self._node("Mul", [self._node("Sub", [x[0], parts[0]]), parts[1]])
        return self._node("Add", [scaled, parts[2]]) if len(parts) > 2 else scaled

    def _op_channel_prelu(self, x: list[str], ins: Any, *_: Any) -> str:
        sizes = [-1] + [1] * (len(self._shape(ins[0])) - 2)
        return self._node("PRelu", [x[0], self._node("Reshape", [x[1], self._numbers(sizes)])])

    def _op_layer_norm(self, x: list[str], ins: Any, _ints: Any, nums: Any) -> str:
        axes = [len(self._shape(ins[0])) - 1]
        centred = self._node("Sub", [x[0], self._node("ReduceMean", [x[0]], axes=axes)])
        variance = self._node("ReduceMean", [self._node("Mul", [centred, centred])], axes=axes)
        result = self._node(
            "Div", [centred, self._node("Sqrt", [self._node("Add", [variance, self._number(nums[0])])])]
        )
        for kind, name in zip(("Mul", "Add"), x[1:], strict=False):
            result = self._node(kind, [result, name])
        return result

    def _op_smooth_l1(self, x: list[str], ins: Any, ints: Any, _nums: Any) -> str:
        d = self._node("Reshape", [self._node("Sub", x), self._numbers([-1])])
        near = self._node("Clip", [d, self._number(-1), self._number(1)])
        parts = self._node("Mul", [near, self._node("Sub", [d, self._node("Mul", [near, self._number(0.5)])])])
        return (
            self._node("ReduceMean", [parts], axes=[0]) if ints[0] else self._op_reduce_sum([parts], ins, [0, 1], [1])
        )

    def _op_batch_norm(self, x: list[str], ins: Any, _ints: Any, nums: Any) -> str:
        """By the numbers of the input itself: LayerNormalization, in evaluation too."""
        rank = len(self._shape(ins[0]))
        axes = [0, *range(2, rank)]
        centred = self._node("Sub", [x[0], self._node("ReduceMean", [x[0]], axes=axes)])
        variance = self._node("ReduceMean", [self._node("Mul", [centred, centred])], axes=axes)
        result = self._node(
            "Div", [centred, self._node("Sqrt", [self._node("Add", [variance, self._number(nums[0])])])]
        )
        sizes = self._numbers([-1] + [1] * (rank - 2))
        for kind, name in zip(("Mul", "Add"), x[1:], strict=False):
            result = self._node(kind, [result, self._node("Reshape", [name, sizes])])
        return result

    def _op_convolution(self, x: list[str], ins: Any, ints: Any, _nums: Any) -> str:
        return self._windows("Conv", x, ins, ints)

    def _op_full_convolution(self, x: list[str], ins: Any, ints: Any, _nums: Any) -> str:
        dims = len(self._shape(ins[1])) - 2
        return self._windows("ConvTranspose", x, ins, ints, output_padding=list(ints[10:])[3 - dims :])

    def _windows(self, kind: str, x: list[str], ins: Any, ints: Any, **more: Any) -> str:
        dims = len(self._shape(ins[1])) - 2
        strides, pads, dilations = (list(ints[k + 3 - dims : k + 3]) for k in (0, 3, 6))
        is_sample = len(self._shape(ins[0])) == dims + 1
        batch = self._node("Unsqueeze", [x[0], self._numbers([0])]) if is_sample else x[0]
        kernel = list(self._shape(ins[1])[2:])
        result = self._node(
            kind, [batch, *x[1:]], kernel_shape=kernel, strides=strides, pads=pads * 2, dilations=dilations,
            group=ints[9], **more,
        )  # fmt: skip
        return self._node("Squeeze", [result, self._numbers([0])]) if is_sample else result

    def _op_frames(self, x: list[str], ins: Any, ints: Any, _nums: Any) -> str:
        """Frames of features, turned: a convolution along one dim over planes."""
        window, step = ints
        n_out, features = self._shape(ins[1])[0], self._shape(ins[0])[-1]
        is_sample = len(self._shape(ins[0])) == 2
        order = [1, 0] if is_sample else [0, 2, 1]
        planes = self._node("Transpose", [x[0]], perm=order)
        batch = self._node("Unsqueeze", [planes, self._numbers([0])]) if is_sample else planes
        weight = self._node("Reshape", [x[1], self._numbers([n_out, window, features])])
        weight = self._node("Transpose", [weight], perm=[0, 2, 1])
        result = self._node("Conv", [batch, weight, *x[2:]], kernel_shape=[window], strides=[step])
        result = self._node("Squeeze", [result, self._numbers([0])]) if is_sample else result
        return self._node("Transpose", [result], perm=order)

    # ---- pooling, borders, scales ----------------------------------------------------------------

    def _op_max_pool(self, x: list[str], ins: Any, ints: Any, _nums: Any) -> str:
        return self._pooled("MaxPool", x, ins, ints)

    def _op_average_pool(self, x: list[str], ins: Any, ints: Any, _nums: Any) -> str:
        divisor = ints[2]
        result = self._pooled("AveragePool", x, ins, ints, count_include_pad=int(divisor < 2))
        return result if divisor else self._node("Mul", [result, self._number(np.prod(ints[3::4]))])

    def _pooled(self, kind: str, x: list[str], ins: Any, ints: Any, **more: Any) -> str:
        dims, rounding = ints[:2]
        windows, strides, pads, dilations = (list(ints[3 + place :: 4]) for place in range(4))
        if rounding > 1:
            shape = self._shape(ins[0])[-dims:]
            if any(size % wanted for size, wanted in zip(shape, windows, strict=True)):
                raise GraphError(f"{self._where} has windows of several sizes, which ONNX has nothing for")
            windows = strides = [size // wanted for size, wanted in zip(shape, windows, strict=True)]
            pads, dilations = [0] * dims, [1] * dims
        if any(dilation != 1 for dilation in dilations):
            more["dilations"] = dilations
        missing = dims + 2 - len(self._shape(ins[0]))
        if missing < 0:
            raise GraphError(f"{self._where} pools an array of more dims than ONNX can")
        before = self._numbers(range(missing))
        batch = self._node("Unsqueeze", [x[0], before]) if missing else x[0]
        result = self._node(
            kind, [batch], kernel_shape=windows, strides=strides, pads=pads * 2, ceil_mode=int(rounding == 1), **more
        )
        return self._node("Squeeze", [result, before]) if missing else result

    def _op_pick(self, x: list[str], ins: Any, ints: Any, nums: Any) -> str:
        dims, after, mode = ints[:3]
        first = len(self._shape(ins[0])) - after - dims
        begins, ends = list(ints[3::2]), list(ints[4::2])
        if mode == 3:
            return self._resized(x, ins, first, begins, [0] * dims, mode="nearest")
        result = x[0]
        cut = [(first + k, max(-b, 0), max(-e, 0)) for k, (b, e) in enumerate(zip(begins, ends, strict=True))]
        for dim, start, end in cut:
            if start or end:
                limits = [[start], [-end] if end else [np.iinfo(np.int64).max], [dim]]
                result = self._node("Slice", [result, *map(self._numbers, limits)])
        pads = [[0] * first + [max(number, 0) for number in side] + [0] * after for side in (begins, ends)]
        value = [self._number(nums[0])] if mode == 0 else []
        kind = ("constant", "reflect", "edge")[mode]
        return self._node("Pad", [result, self._numbers(pads[0] + pads[1]), *value], mode=kind)

    def _op_interpolate(self, x: list[str], ins: Any, ints: Any, _nums: Any) -> str:
        dims, after = ints[:2]
        first = len(self._shape(ins[0])) - after - dims
        return self._resized(x, ins, first, list(ints[2::2]), list(ints[3::2]), mode="linear")

    def _resized(self, x: list[str], ins: Any, first: int, factors: list[int], more: list[int], mode: str) -> str:
        """Dims from the first on, each so many times as long, and so much longer."""
        shape = self._shape(ins[0])
        rest = len(shape) - first - len(factors)
        corners = {"coordinate_transformation_mode": "align_corners" if mode == "linear" else "asymmetric"}
        if mode == "nearest":
            corners["nearest_mode"] = "floor"
        if not any(more):
            scales = self._constant(np.array([1] * first + factors + [1] * rest, np.float32))
            return self._node("Resize", [x[0], "", scales], mode=mode, **corners)
        sizes = [size * factor + extra for size, factor, extra in zip(shape[first:], factors, more, strict=False)]
        whole = self._node("Shape", [x[0]])
        parts = [self._node("Slice", [whole, self._numbers([0]), self._numbers([first])]), self._numbers(sizes)]
        wanted = self._node("Concat", [*parts, self._numbers(shape[len(shape) - rest :])] if rest else parts, axis=0)
        return self._node("Resize", [x[0], "", "", wanted], mode=mode, **corners)
