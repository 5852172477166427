"""Who is timed: each contender turns a graph of `workloads.py` into a call without arguments.

All get the same arrays. A forward pass leaves the output; forward+backward leaves fresh
gradients of every input and every parameter. PyTorch allocates what it returns; pynngraph reuses
the buffers of results that were dropped; NumPy and ONNX Runtime write to arrays made beforehand.
"""

from __future__ import annotations

import importlib.util
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import environment
import numpy as np
from workloads import BOTH, FORWARD, Graph, Step, Value

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

Array = np.ndarray


@dataclass(frozen=True)
class Arrays:
    """The numbers of a workload, by the number of their value, and the gradient of the output."""

    data: dict[int, Array]
    grad_output: Array

    @classmethod
    def of(cls, graph: Graph, dtype: str) -> Arrays:
        """Draw them: inputs of unit variance, parameters as a new Linear has them."""
        rng = np.random.default_rng(0)
        data = {x.number: rng.standard_normal(x.shape).astype(dtype) for x in graph.inputs}
        for step in graph.steps:
            bound = 1 / np.sqrt(step.inputs[0].shape[-1])
            for param in step.params:
                data[param.number] = rng.uniform(-bound, bound, param.shape).astype(dtype)
        return cls(data, rng.standard_normal(graph.output.shape).astype(dtype))

    def __getitem__(self, value: Value) -> Array:
        return self.data[value.number]


@dataclass(frozen=True)
class Contender:
    """What is timed, and the numbers that it left."""

    name: str
    run: Callable[[], object]
    results: Callable[[], list[Array]]  # after a run: the output, then gradients as in `leaves`
    context: Callable[[], AbstractContextManager[object]] = nullcontext  # runs happen inside of it
    repeat: Callable[[int], float] | None = None  # the seconds of so many runs, where Python need not call each


def leaves(graph: Graph) -> list[Value]:
    """Return what forward+backward gives gradients of, in the order of `Contender.results`."""
    return [*graph.inputs, *graph.params]


# ---- pynngraph ----------------------------------------------------------------------------------


def with_pynngraph(graph: Graph, arrays: Arrays, pass_: str) -> Contender:
    """An nngraph of modules. Gradients of parameters add up, so each run starts with zeros."""
    import pynngraph as nn  # noqa: PLC0415 - contenders are imported when they are wanted

    classes: dict[str, Callable[[], Any]] = {
        "relu": nn.ReLU,
        "tanh": nn.Tanh,
        "increment": lambda: nn.AddConstant(1),
        "add": nn.CAddTable,
        "mul": nn.CMulTable,
    }
    nodes = {x.number: nn.Identity()() for x in graph.inputs}
    linears: list[tuple[Any, Step]] = []
    for step in graph.steps:
        if step.op == "linear":
            module = nn.Linear(step.inputs[0].shape[-1], step.output.shape[-1])
            linears.append((module, step))
        else:
            module = classes[step.op]()
        parents = [nodes[x.number] for x in step.inputs]
        nodes[step.output.number] = module(parents[0] if len(parents) == 1 else parents)
    g = nn.gModule([nodes[x.number] for x in graph.inputs], [nodes[graph.output.number]])
    g.type(arrays.grad_output.dtype.name)
    zeros: list[Array] = [g.getParameters()[1]] if linears else []
    for module, step in linears:
        module.weight[...], module.bias[...] = (arrays[param] for param in step.params)

    inputs = [arrays[x] for x in graph.inputs]
    x = inputs if len(inputs) > 1 else inputs[0]
    grad_output = arrays.grad_output

    def forward() -> object:
        return g.forward(x)

    def both() -> object:
        for gradient in zeros:
            gradient.fill(0)
        g.forward(x)
        return g.backward(x, grad_output)

    def results() -> list[Array]:
        if pass_ == FORWARD:
            return [g.output]
        grad_inputs = list(g.gradInput) if len(inputs) > 1 else [g.gradInput]
        grad_params = [grad for module, _ in linears for grad in (module.gradWeight, module.gradBias)]
        return [g.output, *grad_inputs, *grad_params]

    if pass_ == FORWARD:
        g.evaluate()
        return Contender("pynngraph", forward, results)
    return Contender("pynngraph", both, results)


# ---- NumPy: the code that one would write by hand, every array allocated beforehand -------------


class _NumpyCode:
    """Writes straight-line code: a line for each call, all names bound beforehand."""

    def __init__(self, graph: Graph, arrays: Arrays) -> None:
        self.dtype = arrays.grad_output.dtype
        self.arrays = arrays
        self.lines: list[str] = []
        self.names: dict[str, Any] = {
            "dot": np.dot,
            "add": np.add,
            "subtract": np.subtract,
            "multiply": np.multiply,
            "maximum": np.maximum,
            "greater": np.greater,
            "tanh": np.tanh,
            "zero": np.zeros((), self.dtype),
            "one": np.ones((), self.dtype),
        }
        self.values = {x.number: self.bind(arrays[x]) for x in leaves(graph)}
        self.gradients: dict[int, str] = {}

    def bind(self, array: Array) -> str:
        name = f"a{len(self.names)}"
        self.names[name] = array
        return name

    def buffer(self, shape: Sequence[int], dtype: Any = None) -> str:
        return self.bind(np.empty(shape, dtype or self.dtype))

    def transposed(self, name: str) -> str:
        return self.bind(self.names[name].T)

    def call(self, function: str, *arguments: str) -> None:
        self.lines.append(f"{function}({', '.join(arguments)})")

    def compute(self, function: str, *arguments: str, shape: Sequence[int]) -> str:
        """Write a call that fills a new buffer."""
        out = self.buffer(shape)
        self.call(function, *arguments, out)
        return out

    def contribute(self, value: Value, gradient: str) -> None:
        """Give `value` a gradient, or add to the one that it has. Names may be shared."""
        held = self.gradients.get(value.number)
        if held is not None:
            gradient = self.compute("add", held, gradient, shape=value.shape)
        self.gradients[value.number] = gradient

    def forward(self, step: Step) -> None:
        x, *others = (self.values[value.number] for value in step.inputs)
        y = self.buffer(step.output.shape)
        self.values[step.output.number] = y
        if step.op == "linear":
            weight, bias = (self.values[param.number] for param in step.params)
            if len(step.output.shape) == 1:
                self.call("dot", weight, x, y)
            else:
                self.call("dot", x, self.transposed(weight), y)
            self.call("add", y, bias, y)
        elif step.op == "relu":
            self.call("maximum", x, "zero", f"out={y}")  # it wants the keyword
        elif step.op == "tanh":
            self.call("tanh", x, y)
        elif step.op == "increment":
            self.call("add", x, "one", y)
        else:
            function = {"add": "add", "mul": "multiply"}[step.op]
            for left, right in zip([x] + [y] * len(others), others, strict=False):
                self.call(function, left, right, y)

    def backward(self, step: Step) -> None:
        g = self.gradients[step.output.number]
        x, *others = (self.values[value.number] for value in step.inputs)
        y = self.values[step.output.number]
        shape = step.output.shape
        if step.op == "linear":
            self._backward_linear(step, g, x)
        elif step.op == "relu":
            mask = self.buffer(shape, np.bool_)
            self.call("greater", y, "zero", mask)
            self.contribute(step.inputs[0], self.compute("multiply", g, mask, shape=shape))
        elif step.op == "tanh":
            slope = self.compute("multiply", y, y, shape=shape)
            self.call("subtract", "one", slope, slope)
            self.call("multiply", g, slope, slope)
            self.contribute(step.inputs[0], slope)
        elif step.op in {"increment", "add"}:
            for value in step.inputs:
                self.contribute(value, g)
        else:  # a product of two: `in_pairs` saw to that
            for value, other in zip(step.inputs, (others[0], x), strict=True):
                self.contribute(value, self.compute("multiply", g, other, shape=shape))

    def _backward_linear(self, step: Step, g: str, x: str) -> None:
        weight, bias = step.params
        shape = step.inputs[0].shape
        self.contribute(step.inputs[0], self.compute("dot", g, self.values[weight.number], shape=shape))
        if len(shape) == 1:
            column = self.bind(self.names[g][:, np.newaxis])
            self.contribute(weight, self.compute("multiply", column, x, shape=weight.shape))
            self.contribute(bias, g)
        else:
            ones = self.bind(np.ones(shape[0], self.dtype))
            self.contribute(weight, self.compute("dot", self.transposed(g), x, shape=weight.shape))
            self.contribute(bias, self.compute("dot", ones, g, shape=bias.shape))

    def function(self) -> Callable[[], object]:
        """Compile what was written, with all names as local variables."""
        source = f"def run({', '.join(f'{name}={name}' for name in self.names)}):\n"
        source += "".join(f"    {line}\n" for line in self.lines)
        scope = dict(self.names)
        exec(source, scope)  # noqa: S102 - the source was written above
        return scope["run"]


def in_pairs(graph: Graph) -> Graph:
    """Return the same graph with every product as a tree of products of two.

    Its backward then takes one multiplication an edge of the tree, the least there is.
    """
    result = Graph(graph.inputs, graph.params, [], graph.n_values)
    for step in graph.steps:
        xs = list(step.inputs)
        while step.op == "mul" and len(xs) > 2:
            xs = [*xs[2:], result.mul(*xs[:2])]
        result.steps.append(Step(step.op, tuple(xs), step.output, step.params))
    return result


def with_numpy(graph: Graph, arrays: Arrays, pass_: str) -> Contender:
    """Calls of NumPy with `out` given."""
    if pass_ == BOTH:
        graph = in_pairs(graph)
    code = _NumpyCode(graph, arrays)
    for step in graph.steps:
        code.forward(step)
    names = [code.values[graph.output.number]]
    if pass_ == BOTH:
        code.contribute(graph.output, code.bind(arrays.grad_output))
        for step in reversed(graph.steps):
            code.backward(step)
        names += [code.gradients[leaf.number] for leaf in leaves(graph)]
    return Contender("NumPy", code.function(), lambda: [code.names[name] for name in names])


# ---- PyTorch ------------------------------------------------------------------------------------


def with_torch(graph: Graph, arrays: Arrays, pass_: str) -> Contender:
    """Eager code: in inference mode for forward, with autograd for both."""
    import torch  # noqa: PLC0415

    torch.set_num_threads(environment.threads())
    tensors = {x.number: torch.from_numpy(arrays[x].copy()) for x in leaves(graph)}
    scope: dict[str, Any] = {
        "linear": torch.nn.functional.linear,
        "relu": torch.relu,
        "tanh": torch.tanh,
        **{f"v{number}": tensor for number, tensor in tensors.items()},
    }
    lines = []
    for step in graph.steps:
        names = [f"v{value.number}" for value in (*step.inputs, *step.params)]
        infix = {"add": " + ", "mul": " * "}.get(step.op)
        if step.op == "increment":
            expression = f"{names[0]} + 1"
        else:
            expression = infix.join(names) if infix else f"{step.op}({', '.join(names)})"
        lines.append(f"    v{step.output.number} = {expression}\n")
    lines.append(f"    return v{graph.output.number}\n")
    exec("def forward():\n" + "".join(lines), scope)  # noqa: S102 - written above
    forward: Callable[[], torch.Tensor] = scope["forward"]

    if pass_ == FORWARD:

        def output() -> list[Array]:
            with torch.inference_mode():
                return [forward().numpy()]

        return Contender("PyTorch", forward, output, torch.inference_mode)

    grad_output = torch.from_numpy(arrays.grad_output.copy())
    wanted = [tensor.requires_grad_() for tensor in tensors.values()]

    def both() -> object:
        return torch.autograd.grad(forward(), wanted, grad_output)

    def results() -> list[Array]:
        y = forward()
        gradients = torch.autograd.grad(y, wanted, grad_output)
        return [tensor.detach().numpy() for tensor in (y, *gradients)]

    return Contender("PyTorch", both, results)


# ---- ONNX Runtime and OpenVINO ------------------------------------------------------------------

Bound = tuple["Callable[[], object]", "Callable[[], Array]"]  # a run, and the output that it left


def bind_onnxruntime(model: bytes, inputs: dict[str, Array], output: tuple[str, Array]) -> Bound:
    """Make a session of ONNX Runtime with bound buffers."""
    import onnxruntime  # noqa: PLC0415

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = environment.threads()
    options.inter_op_num_threads = 1
    options.log_severity_level = 3  # no warning of initializers that a graph does not use
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    binding = session.io_binding()
    bound = {name: onnxruntime.OrtValue.ortvalue_from_numpy(array) for name, array in inputs.items()}
    for name, value in bound.items():
        binding.bind_ortvalue_input(name, value)
    result = onnxruntime.OrtValue.ortvalue_from_numpy(output[1])
    binding.bind_ortvalue_output(output[0], result)
    # The binding does not keep the arrays alive.
    held = (inputs, bound, output)

    def run(_held: object = held) -> None:
        session.run_with_iobinding(binding)

    return run, result.numpy


def bind_openvino(model: bytes, inputs: dict[str, Array], output: tuple[str, Array]) -> Bound:
    """Make a request of OpenVINO with bound buffers."""
    import openvino  # noqa: PLC0415

    core = openvino.Core()
    settings = {
        "INFERENCE_NUM_THREADS": environment.threads(),
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_PRECISION_HINT": "f32",
    }
    request = core.compile_model(core.read_model(model), "CPU", settings).create_infer_request()
    for name, array in (*inputs.items(), output):
        request.set_tensor(name, openvino.Tensor(array, shared_memory=True))

    def run() -> None:
        request.infer(share_outputs=True)

    return run, lambda: output[1]


def _with_onnx(name: str, bind: Callable[..., Bound], graph: Graph, arrays: Arrays, pass_: str) -> Contender | None:
    """A model of ONNX ops with bound buffers; it has no backward."""
    if pass_ != FORWARD:
        return None
    inputs = {f"v{value.number}": arrays[value].reshape(_rows(value)) for value in graph.inputs}
    y = np.empty(_rows(graph.output), arrays.grad_output.dtype)
    run, result = bind(_onnx_model(graph, arrays), inputs, (f"v{graph.output.number}", y))
    return Contender(name, run, lambda: [result().reshape(graph.output.shape)])


def with_onnxruntime(graph: Graph, arrays: Arrays, pass_: str) -> Contender | None:
    """ONNX Runtime."""
    return _with_onnx("ONNX Runtime", bind_onnxruntime, graph, arrays, pass_)


def with_openvino(graph: Graph, arrays: Arrays, pass_: str) -> Contender | None:
    """OpenVINO, which computes in float32 whatever it is given."""
    if arrays.grad_output.dtype != np.float32:
        return None
    return _with_onnx("OpenVINO", bind_openvino, graph, arrays, pass_)


def _onnx_model(graph: Graph, arrays: Arrays) -> bytes:
    from onnx import helper, numpy_helper  # noqa: PLC0415

    dtype = arrays.grad_output.dtype
    kind = helper.np_dtype_to_tensor_dtype(dtype)

    def info(value: Value) -> Any:
        return helper.make_tensor_value_info(f"v{value.number}", kind, _rows(value))

    constants = {"one": np.ones((), dtype)}
    constants.update((f"v{param.number}", arrays[param]) for param in graph.params)
    body = helper.make_graph(
        [node for step in graph.steps for node in _onnx_nodes(step)],
        "workload",
        [info(value) for value in graph.inputs],
        [info(graph.output)],
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    opsets = [helper.make_opsetid("", 17)]
    return helper.make_model(body, opset_imports=opsets, ir_version=8).SerializeToString()


def _onnx_nodes(step: Step) -> Iterator[Any]:
    from onnx import helper  # noqa: PLC0415

    names = [f"v{value.number}" for value in (*step.inputs, *step.params)]
    output = f"v{step.output.number}"
    if step.op == "linear":
        yield helper.make_node("Gemm", names, [output], transB=1)
    elif step.op == "increment":
        yield helper.make_node("Add", [*names, "one"], [output])
    elif step.op == "mul":  # of two at a time; there is no product of many
        left = names[0]
        for i, right in enumerate(names[1:], start=1):
            product = output if i == len(names) - 1 else f"{output}.{i}"
            yield helper.make_node("Mul", [left, right], [product])
            left = product
    else:
        add = "Add" if len(names) == 2 else "Sum"
        op = {"add": add, "relu": "Relu", "tanh": "Tanh"}[step.op]
        yield helper.make_node(op, names, [output])


def _rows(value: Value) -> tuple[int, ...]:
    """Return a shape of two dims, which is what Gemm wants: a vector is one row."""
    return (1, *value.shape) if len(value.shape) == 1 else value.shape


# ---- all of them --------------------------------------------------------------------------------

OURS = "pynngraph"
MAKERS: dict[str, Callable[[Graph, Arrays, str], Contender | None]] = {
    OURS: with_pynngraph,
    "NumPy": with_numpy,
    "PyTorch": with_torch,
    "ONNX Runtime": with_onnxruntime,
    "OpenVINO": with_openvino,
}
# What each one imports, and how to get it.
NEEDS: dict[str, tuple[tuple[str, ...], str]] = {
    OURS: (("pynngraph",), "pip install pynngraph"),
    "NumPy": (("numpy",), "pip install numpy"),
    "PyTorch": (("torch",), "pip install torch --index-url https://download.pytorch.org/whl/cpu"),
    "ONNX Runtime": (("onnx", "onnxruntime"), "pip install onnx onnxruntime"),
    "OpenVINO": (("onnx", "openvino"), "pip install onnx openvino"),
}
# Largest difference from pynngraph, as a part of the largest number of an array.
TOLERANCE = {"float32": 2e-5, "float64": 1e-13}


class DisagreementError(Exception):
    """A contender computed other numbers: then its time means nothing."""


def installed(name: str) -> bool:
    """Tell whether what a contender imports is there."""
    return all(importlib.util.find_spec(module) for module in NEEDS[name][0])


def line_up(graph: Graph, dtype: str, pass_: str, names: Sequence[str]) -> list[Contender]:
    """Make the contenders, pynngraph first, and check that all compute the same numbers.

    A contender that has no such pass is left out.
    """
    arrays = Arrays.of(graph, dtype)
    made = (MAKERS[name](graph, arrays, pass_) for name in (OURS, *names))
    contenders = [contender for contender in made if contender is not None]
    compare(contenders, dtype, ["output", *(f"gradient of value {leaf.number}" for leaf in leaves(graph))])
    return contenders


def compare(contenders: Sequence[Contender], dtype: str, titles: Sequence[str]) -> None:
    """Run all and check that they leave the same numbers."""
    expected: list[Array] = []
    for contender in contenders:
        for _ in range(2):  # again: what a run leaves must not depend on the one before
            with contender.context():
                contender.run()
        results = contender.results()
        expected = expected or results
        for title, ours, theirs in zip(titles, expected, results, strict=False):
            limit = TOLERANCE[dtype] * float(np.abs(ours).max())
            if ours.shape != theirs.shape or not np.abs(ours - theirs).max() <= limit:
                raise DisagreementError(f"{contender.name} and {OURS} differ: {title}")
