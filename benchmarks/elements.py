"""The suite `kernels`: everything that is no product, with arrays in each level of memory.

An `Op` says how each contender does it; `kernels()` makes a row of it for each level. The code for
NumPy and PyTorch gets the arrays and fills the last one given.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from kernels import (
    FORWARD,
    GRAD_INPUT,
    STEP,
    Kernel,
    Traffic,
    chosen,
    onnx_peers,
    with_numpy,
    with_pynngraph,
    with_torch,
)
from limits import aligned, levels
from steps import STEPS, step_contenders

import pynngraph as nn

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from contenders import Array, Contender

SWEPT = "add of 2"  # the op that is timed in many sizes
ROW = 512  # of what works along rows: a multiple of all vectors, and 4 gates of 128


@dataclass(frozen=True)
class Op:
    """What is timed.

    Inputs, output and gradients are as many arrays as `arrays` says, counted in units of an input of `(count,)`
    or, with `row`, `(rows, row)`. In a backward pass the peers get the gradient of the output first, then what is
    `needed` of "x" (all inputs) and "y".
    """

    name: str
    module: Callable[[], Any]
    numpy: Any = None
    torch: Any = None
    onnx: Any = None
    inputs: int = 1
    row: int = 0
    output: Callable[[tuple[int, ...]], tuple[int, ...]] = lambda shape: shape
    part: float = 1.0  # of the inputs that is read
    pass_: str = FORWARD
    needed: str = ""
    positive: bool = False  # inputs
    classes: bool = False  # the second input: a class for each row
    only: tuple[str, ...] = ()  # levels; all of them if it is empty


# ---- code of the peers ---------------------------------------------------------------------------


def _chain(function: Any) -> Any:
    """Return code for a function of two arrays, applied from the left to any number of them."""

    def make(xs: list[Any], y: Any) -> Callable[[], object]:
        if len(xs) == 2:
            return partial(function, xs[0], xs[1], out=y)

        def run() -> None:
            function(xs[0], xs[1], out=y)
            for x in xs[2:]:
                function(y, x, out=y)

        return run

    return make


def _out(function: Any, *arguments: Any, **options: Any) -> Any:
    """Return code for a function of one array that takes `out`."""
    return lambda xs, y: partial(function, xs[0], *arguments, out=y, **options)


def _torch(name: str, *arguments: Any) -> Any:
    """Return code for a function of PyTorch, found when it is wanted, that takes `out`."""

    def make(xs: list[Any], y: Any) -> Callable[[], object]:
        import torch  # noqa: PLC0415

        function: Any = torch
        for part in name.split("."):
            function = getattr(function, part)
        return partial(function, xs[0], *arguments, out=y)

    return make


def _torch_chain(name: str) -> Any:
    def make(xs: list[Any], y: Any) -> Callable[[], object]:
        import torch  # noqa: PLC0415

        run: Callable[[], object] = _chain(getattr(torch, name))(xs, y)
        return run

    return make


def _node(op: str, **attributes: Any) -> Any:
    """Return the nodes of one ONNX op."""

    def make(names: list[str], output: str) -> list[Any]:
        from onnx import helper  # noqa: PLC0415

        return [helper.make_node(op, names, [output], **attributes)]

    return make


def _node_chain(op: str) -> Any:
    """Return the nodes of an ONNX op of two inputs, applied from the left."""

    def make(names: list[str], output: str) -> list[Any]:
        from onnx import helper  # noqa: PLC0415

        left, nodes = names[0], []
        for k, right in enumerate(names[1:], start=2):
            result = output if k == len(names) else f"{output}{k}"
            nodes.append(helper.make_node(op, [left, right], [result]))
            left = result
        return nodes

    return make


def _torch_gradient(name: str, *arguments: Any) -> Any:
    """Return code for one of PyTorch's own functions for gradients."""

    def make(xs: list[Any], y: Any) -> Callable[[], object]:
        import torch  # noqa: PLC0415

        return partial(getattr(torch.ops.aten, name).grad_input, *xs, *arguments, grad_input=y)

    return make


# ---- NumPy by hand -------------------------------------------------------------------------------


def _sigmoid(xs: list[Array], y: Array) -> Callable[[], object]:
    def run() -> None:
        np.negative(xs[0], y)
        np.exp(y, y)
        np.add(y, 1, y)
        np.reciprocal(y, y)

    return run


def _softplus(xs: list[Array], y: Array) -> Callable[[], object]:
    zero = np.zeros((), y.dtype)
    return partial(np.logaddexp, xs[0], zero, y)


def _logsigmoid(xs: list[Array], y: Array) -> Callable[[], object]:
    zero = np.zeros((), y.dtype)

    def run() -> None:
        np.negative(xs[0], y)
        np.logaddexp(y, zero, y)
        np.negative(y, y)

    return run


def _elu(xs: list[Array], y: Array) -> Callable[[], object]:
    zero, negative = np.zeros((), y.dtype), np.empty_like(y)

    def run() -> None:
        np.minimum(xs[0], zero, out=negative)
        np.expm1(negative, negative)
        np.maximum(xs[0], zero, out=y)
        np.add(y, negative, y)

    return run


def _softmax(xs: list[Array], y: Array) -> Callable[[], object]:
    row = np.empty((len(y), 1), y.dtype)

    def run() -> None:
        np.max(xs[0], 1, row, keepdims=True)
        np.subtract(xs[0], row, y)
        np.exp(y, y)
        np.sum(y, 1, None, row, keepdims=True)
        np.divide(y, row, y)

    return run


def _logsoftmax(xs: list[Array], y: Array) -> Callable[[], object]:
    row, exps = np.empty((len(y), 1), y.dtype), np.empty_like(y)

    def run() -> None:
        np.max(xs[0], 1, row, keepdims=True)
        np.subtract(xs[0], row, y)
        np.exp(y, exps)
        np.sum(exps, 1, None, row, keepdims=True)
        np.log(row, row)
        np.subtract(y, row, y)

    return run


def _cross_entropy(xs: list[Array], y: Array) -> Callable[[], object]:
    x, classes = xs
    scores = np.empty_like(x)
    logsoftmax, rows = _logsoftmax([x], scores), np.arange(len(x))

    def run() -> None:
        logsoftmax()
        y[0] = -scores[rows, classes].mean()

    return run


def _mse(xs: list[Array], y: Array) -> Callable[[], object]:
    difference = np.empty_like(xs[0])

    def run() -> None:
        np.subtract(xs[0], xs[1], difference)
        y[0] = np.dot(difference, difference) / difference.size

    return run


def _relu_gradient(xs: list[Array], d: Array) -> Callable[[], object]:
    g, x = xs
    mask = np.empty(x.shape, np.bool_)

    def run() -> None:
        np.greater(x, 0, mask)
        np.multiply(g, mask, d)

    return run


def _tanh_gradient(xs: list[Array], d: Array) -> Callable[[], object]:
    g, y = xs

    def run() -> None:
        np.multiply(y, y, d)
        np.subtract(1, d, d)
        np.multiply(g, d, d)

    return run


def _torch_loss(name: str) -> Any:
    """Return code for a loss, which PyTorch gives as a new tensor; it is copied to be compared."""

    def make(xs: list[Any], y: Any) -> Callable[[], object]:
        import torch  # noqa: PLC0415

        function = getattr(torch.nn.functional, name)
        y[0] = function(*xs)
        return partial(function, *xs)

    return make


def _softmax_gradient(xs: list[Array], d: Array) -> Callable[[], object]:
    g, y = xs
    row = np.empty((len(y), 1), y.dtype)

    def run() -> None:
        np.multiply(g, y, d)
        np.sum(d, 1, None, row, keepdims=True)
        np.subtract(g, row, d)
        np.multiply(d, y, d)

    return run


def _product_gradient(multiply: Any, given: list[Any], d: Any) -> Callable[[], object]:
    """Return code that makes products of all that is before and of all that is after each factor."""
    g, *xs = given
    last = len(xs) - 1
    before, after = g, d[0]

    def run() -> None:
        if last == 1:
            multiply(g, xs[1], out=d[0])
            multiply(g, xs[0], out=d[1])
            return
        multiply(g, xs[0], out=d[1])
        for k in range(2, last + 1):
            multiply(d[k - 1], xs[k - 1], out=d[k])
        multiply(xs[last], xs[last - 1], out=after)
        multiply(d[last - 1], xs[last], out=d[last - 1])
        for k in range(last - 2, 0, -1):
            multiply(d[k], after, out=d[k])
            multiply(after, xs[k], out=after)
        multiply(after, before, out=d[0])

    return run


def _torch_softmax_gradient(xs: list[Any], d: Any) -> Callable[[], object]:
    import torch  # noqa: PLC0415

    function = torch.ops.aten._softmax_backward_data.out  # noqa: SLF001 - it has no other name
    return partial(function, *xs, 1, d.dtype, grad_input=d)


# ---- of rows: slices, transposes, joins ----------------------------------------------------------

_SECOND = np.s_[:, ROW // 4 : ROW // 2]


def _quarter(shape: tuple[int, ...]) -> tuple[int, ...]:
    return shape[0], ROW // 4


def _two_gates() -> Any:
    """Return the product of the first two quarters of each row."""
    gates = nn.ConcatTable()
    for k in range(2):
        gates.add(nn.Narrow(1, k * ROW // 4, ROW // 4))
    return nn.Sequential(gates, nn.CMulTable())


def _torch_quarter(xs: list[Any], y: Any) -> Callable[[], object]:
    import torch  # noqa: PLC0415

    return partial(torch.tanh, xs[0][_SECOND], out=y)


def _torch_two_gates(xs: list[Any], y: Any) -> Callable[[], object]:
    import torch  # noqa: PLC0415

    return partial(torch.mul, xs[0][:, : ROW // 4], xs[0][_SECOND], out=y)


def _sliced(names: list[str], output: str, op: str, starts: Sequence[int]) -> list[Any]:
    from onnx import helper  # noqa: PLC0415

    parts = [f"part{start}" for start in starts]
    split = helper.make_node("Split", [names[0]], [f"part{k * ROW // 4}" for k in range(4)], axis=1)
    return [split, helper.make_node(op, parts, [output])]


def _reduce_node(names: list[str], output: str, axis: int) -> list[Any]:
    from onnx import helper  # noqa: PLC0415

    axes = helper.make_tensor("axes", 7, [1], [axis])
    constant = helper.make_node("Constant", [], ["axes"], value=axes)
    return [constant, helper.make_node("ReduceSum", [names[0], "axes"], [output], keepdims=0)]


# ---- the table -----------------------------------------------------------------------------------


def _tables() -> Iterator[Op]:
    for n in (2, 4, 8):
        onnx_add = _node("Add" if n == 2 else "Sum")
        yield Op(f"add of {n}", nn.CAddTable, _chain(np.add), _torch_chain("add"), onnx_add, inputs=n)
    for n in (2, 4, 8):
        mul = _chain(np.multiply), _torch_chain("mul"), _node_chain("Mul")
        yield Op(f"product of {n}", nn.CMulTable, *mul, inputs=n)


def _elementwise() -> Iterator[Op]:
    torch_copy = lambda xs, y: partial(y.copy_, xs[0])  # noqa: E731
    numpy_copy = lambda xs, y: partial(np.copyto, y, xs[0])  # noqa: E731
    numpy_relu = lambda xs, y: partial(np.maximum, xs[0], np.zeros((), y.dtype), out=y)  # noqa: E731
    yield Op("copy", nn.Identity, numpy_copy, torch_copy, _node("Identity"))
    yield Op("relu", nn.ReLU, numpy_relu, _torch("clamp_min", 0), _node("Relu"))
    yield Op("tanh", nn.Tanh, _out(np.tanh), _torch("tanh"), _node("Tanh"))
    yield Op("sigmoid", nn.Sigmoid, _sigmoid, _torch("sigmoid"), _node("Sigmoid"))
    yield Op("exp", nn.Exp, _out(np.exp), _torch("exp"), _node("Exp"))
    yield Op("log", nn.Log, _out(np.log), _torch("log"), _node("Log"), positive=True)
    yield Op("sqrt", nn.Sqrt, _out(np.sqrt), _torch("sqrt"), _node("Sqrt"), positive=True)
    yield Op("softplus", nn.SoftPlus, _softplus, _torch("_C._nn.softplus"), _node("Softplus"))
    yield Op("logsigmoid", nn.LogSigmoid, _logsigmoid, _torch("_C._nn.log_sigmoid"))
    yield Op("elu", nn.ELU, _elu, _torch("_C._nn.elu"), _node("Elu"))
    yield Op("relu", nn.ReLU, _relu_gradient, _torch_gradient("threshold_backward", 0), pass_=GRAD_INPUT, needed="x")
    yield Op("tanh", nn.Tanh, _tanh_gradient, _torch_gradient("tanh_backward"), pass_=GRAD_INPUT, needed="y")


def _rows() -> Iterator[Op]:
    for row in (10, 100, 1000):
        only = () if row == 100 else ("L2",)
        name = f"softmax, rows of {row}"
        yield Op(name, nn.SoftMax, _softmax, _torch("softmax", 1), _node("Softmax", axis=1), row=row, only=only)
    row = {"row": 100}
    yield Op(
        "logsoftmax, rows of 100",
        nn.LogSoftMax,
        _logsoftmax,
        _torch("log_softmax", 1),
        _node("LogSoftmax", axis=1),
        **row,
    )
    yield Op(
        "softmax, rows of 100",
        nn.SoftMax,
        _softmax_gradient,
        _torch_softmax_gradient,
        pass_=GRAD_INPUT,
        needed="y",
        **row,
    )
    one = {"output": lambda _: (1,)}
    yield Op(
        "cross-entropy, rows of 100",
        nn.CrossEntropyCriterion,
        _cross_entropy,
        _torch_loss("cross_entropy"),
        inputs=2,
        classes=True,
        **row,
        **one,
    )
    yield Op("mean square error", nn.MSECriterion, _mse, _torch_loss("mse_loss"), inputs=2, **one)
    sums = {"row": ROW, "output": lambda shape: shape[:1]}
    axis = partial(_reduce_node, axis=1)
    yield Op(f"sum, rows of {ROW}", partial(nn.Sum, 1), _out(np.sum, 1), _torch("sum", 1), axis, **sums)
    mean = _node("ReduceMean", axes=[1], keepdims=0)
    yield Op(f"mean, rows of {ROW}", partial(nn.Mean, 1), _out(np.mean, 1), _torch("mean", 1), mean, **sums)
    sums = {"row": ROW, "output": lambda shape: shape[1:]}
    axis = partial(_reduce_node, axis=0)
    yield Op(f"sum, columns, {ROW} of them", partial(nn.Sum, 0), _out(np.sum, 0), _torch("sum", 0), axis, **sums)


def _layouts() -> Iterator[Op]:
    yield Op(
        f"tanh, a quarter of rows of {ROW}",
        lambda: nn.Sequential(nn.Narrow(1, ROW // 4, ROW // 4), nn.Tanh()),
        lambda xs, y: partial(np.tanh, xs[0][_SECOND], y),
        _torch_quarter,
        partial(_sliced, op="Tanh", starts=(ROW // 4,)),
        row=ROW,
        output=_quarter,
        part=1 / 4,
    )
    yield Op(
        f"product of two quarters, rows of {ROW}",
        _two_gates,
        lambda xs, y: partial(np.multiply, xs[0][:, : ROW // 4], xs[0][_SECOND], y),
        _torch_two_gates,
        partial(_sliced, op="Mul", starts=(0, ROW // 4)),
        row=ROW,
        output=_quarter,
        part=1 / 2,
    )
    yield Op(
        "transpose",
        lambda: nn.Sequential(nn.Transpose((0, 1)), nn.Contiguous()),
        lambda xs, y: partial(np.copyto, y, xs[0].T),
        lambda xs, y: partial(y.copy_, xs[0].t()),
        _node("Transpose", perm=[1, 0]),
        row=-1,
        output=lambda shape: shape[::-1],
    )
    yield Op(
        "join, two rows of 100 each",
        partial(nn.JoinTable, 1),
        lambda xs, y: partial(np.concatenate, xs, 1, y),
        lambda xs, y: partial(_torch_module().cat, xs, 1, out=y),
        _node("Concat", axis=1),
        inputs=2,
        row=100,
        output=lambda shape: (shape[0], 200),
    )


def _torch_module() -> Any:
    import torch  # noqa: PLC0415

    return torch


def _product_gradients() -> Iterator[Op]:
    def torch_code(given: list[Any], d: Any) -> Callable[[], object]:
        return _product_gradient(_torch_module().mul, given, d)

    for n in (2, 4, 8):
        code = partial(_product_gradient, np.multiply), torch_code
        yield Op(f"product of {n}", nn.CMulTable, *code, inputs=n, pass_=GRAD_INPUT, needed="all")


def ops() -> Iterator[Op]:
    """All of the suite but the optimisers' steps."""
    yield from _elementwise()
    yield from _tables()
    yield from _product_gradients()
    yield from _rows()
    yield from _layouts()


# ---- rows ----------------------------------------------------------------------------------------


def _shape(op: Op, footprint: float, itemsize: int) -> tuple[int, ...]:
    """Return the shape of an input for which all arrays take about so many bytes."""
    unit = 60 * op.row if op.row > 0 else 1
    output = math.prod(op.output((60, op.row) if op.row > 0 else (1,) if op.row == 0 else (1, 1))) / unit
    arrays = op.inputs - op.classes + output
    if op.pass_ == GRAD_INPUT:
        arrays = len(_needed(op)) + 1 + (op.inputs if op.needed == "all" else 1)
    count = footprint / itemsize / arrays
    if op.row > 0:
        return max(1, int(count / op.row)), op.row
    if op.row < 0:  # square
        return (int(count**0.5),) * 2
    return (int(count) // 16 * 16,)


def _needed(op: Op) -> tuple[str, ...]:
    return ("x",) * op.inputs if op.needed == "all" else (op.needed,)


def _traffic(op: Op, shape: tuple[int, ...], itemsize: int) -> Traffic:
    read, written = math.prod(shape), math.prod(op.output(shape))
    if op.pass_ == GRAD_INPUT:  # the gradient, what is needed; a gradient for each input
        arrays = 1 + len(_needed(op)) + (op.inputs if op.needed == "all" else 1)
        return Traffic(arrays * read * itemsize, inputs=1 if op.needed == "all" else 2)
    inputs = op.inputs - op.classes
    moved = (inputs * read * op.part + written) * itemsize
    if written * 8 < read * op.part:  # where little is written, reading is the limit
        return Traffic(moved, inputs=1, writes=False)
    return Traffic(moved, inputs=inputs)


def kernels(dtype: str) -> Iterator[Kernel]:
    """Each op in each level; one op in many sizes; the steps of optimisers."""
    itemsize = np.dtype(dtype).itemsize
    for op in ops():
        for level in levels():
            if not op.only or level.name in op.only:
                yield _kernel(op, level.footprint, f"{op.name}: {level.name}", dtype)
    add = next(op for op in ops() if op.name == SWEPT)
    footprint = 4 << 10
    while footprint <= levels()[-1].footprint:
        yield _kernel(add, footprint, f"{SWEPT}, sweep: {_binary(footprint)}", dtype)
        footprint *= 2
    for step in STEPS:
        for level in levels():
            count = int(level.footprint / itemsize / step.arrays) // 16 * 16
            size = count * itemsize
            # All but the gradient is read and written.
            traffic = Traffic((2 * step.arrays - 1) * size, inputs=2, footprint=step.arrays * size)
            make = partial(step_contenders, step, count, dtype)
            yield Kernel("kernels", f"{step.title}: {level.name}", STEP, 0, traffic, make)


def _kernel(op: Op, footprint: int, name: str, dtype: str) -> Kernel:
    itemsize = np.dtype(dtype).itemsize
    shape = _shape(op, footprint, itemsize)
    make = partial(_contenders, op, shape, dtype)
    return Kernel("kernels", name, op.pass_, 0, _traffic(op, shape, itemsize), make)


def _binary(size: int) -> str:
    return f"{size >> 20} MiB" if size >= 1 << 20 else f"{size >> 10} KiB"


def _contenders(op: Op, shape: tuple[int, ...], dtype: str, peers: Sequence[str]) -> list[Contender]:
    rng = np.random.default_rng(0)

    def drawn(shape: tuple[int, ...]) -> Array:
        array = aligned(shape, dtype)
        array[...] = rng.standard_normal(shape)
        if op.positive:
            np.abs(array, array)
            np.add(array, 0.1, array)
        return array

    inputs = [drawn(shape) for _ in range(op.inputs - op.classes)]
    if op.classes:
        inputs.append(rng.integers(0, shape[1], shape[0]))
    module = op.module().type(dtype)
    y_shape = op.output(shape)
    if op.pass_ == GRAD_INPUT:
        g = drawn(shape)
        y = module.forward(inputs if len(inputs) > 1 else inputs[0]).copy()
        given = [g, *(inputs if op.needed in {"x", "all"} else [y])]
        return chosen(lambda: with_pynngraph(module, inputs, g, GRAD_INPUT), _peers(op, given, shape, dtype), peers)
    return chosen(lambda: with_pynngraph(module, inputs), _peers(op, inputs, y_shape, dtype), peers)


def _peers(op: Op, given: list[Array], shape: tuple[int, ...], dtype: str) -> dict[str, Any]:
    made: dict[str, Any] = {}

    if op.needed == "all":
        shape = (op.inputs, *shape)  # a gradient for each input

    def numpy_peer() -> Contender:
        y = aligned(shape, dtype)
        return with_numpy(op.numpy(given, y), y)

    if op.numpy is not None:
        made["NumPy"] = numpy_peer
    if op.torch is not None:
        made["PyTorch"] = lambda: with_torch(op.torch, given, aligned(shape, dtype))
    if op.onnx is not None:
        made.update(onnx_peers(op.onnx, given, np.empty(shape, dtype)))
    return made
