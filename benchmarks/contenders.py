"""Who is timed: each contender turns a graph of `workloads.py` into a call without arguments.

All get the same arrays. A forward pass leaves the output; forward+backward leaves fresh
gradients of every input and every parameter. PyTorch allocates what it returns, and so does JAX; pynngraph reuses
the buffers of results that were dropped; NumPy, ONNX Runtime and OpenVINO write to arrays made beforehand.
"""

from __future__ import annotations

import importlib
import importlib.util
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from workloads import FORWARD, Graph, Step, Value

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

Array = np.ndarray


@dataclass(frozen=True)
class Arrays:
    """The numbers of a workload, by the number of their value, and the gradients of the outputs."""

    data: dict[int, Array]
    grad_outputs: list[Array]

    @classmethod
    def of(cls, graph: Graph, dtype: str, seed: int = 0) -> Arrays:
        """Draw them: inputs of unit variance, parameters as a new Linear has them."""
        rng = np.random.default_rng(seed)
        data = {x.number: rng.standard_normal(x.shape, dtype) for x in graph.inputs}
        for param in graph.params:
            data[param.number] = rng.random(param.shape, dtype)
        bounds = {param.number: step.inputs[0].shape[-1] ** -0.5 for step in graph.steps for param in step.params}
        for number, bound in bounds.items():
            data[number] -= 0.5
            data[number] *= 2 * bound
        return cls(data, [rng.standard_normal(output.shape, dtype) for output in graph.outputs])

    def __getitem__(self, value: Value) -> Array:
        return self.data[value.number]

    @property
    def dtype(self) -> np.dtype[Any]:
        """What all of them are of."""
        return self.grad_outputs[0].dtype


@dataclass(frozen=True)
class Contender:
    """What is timed, and the numbers that it left."""

    name: str
    run: Callable[[], object]
    results: Callable[[], list[Array]]  # after a run: the outputs, then gradients as in `leaves`
    context: Callable[[], AbstractContextManager[object]] = nullcontext  # runs happen inside of it
    repeat: Callable[[int], float] | None = None  # the seconds of so many runs, where Python need not call each


def leaves(graph: Graph) -> list[Value]:
    """Return what forward+backward gives gradients of, in the order of `Contender.results`."""
    return [*graph.inputs, *graph.params]


# ---- pynngraph ----------------------------------------------------------------------------------


def _graph(graph: Graph) -> tuple[Any, dict[int, Any]]:
    """Return the gModule, and its linears by the number of their weights: those that share them are one module."""
    import pynngraph as nn  # noqa: PLC0415 - contenders are imported when they are wanted

    classes: dict[str, Callable[[], Any]] = {
        "relu": nn.ReLU,
        "tanh": nn.Tanh,
        "sigmoid": nn.Sigmoid,
        "increment": lambda: nn.AddConstant(1),
        "add": nn.CAddTable,
        "mul": nn.CMulTable,
    }
    linears: dict[int, Any] = {}

    def module_of(step: Step) -> Any:
        if step.op != "linear":
            return classes[step.op]()
        weight = step.params[0]
        if weight.number not in linears:
            linears[weight.number] = nn.Linear(weight.shape[1], weight.shape[0])
        return linears[weight.number]

    nodes = {x.number: nn.Identity()() for x in graph.inputs}
    for step in graph.steps:
        parents = _table([nodes[x.number] for x in step.inputs])
        if step.op == "chunk":
            count = len(step.outputs)
            parts = nn.SplitTable(1)(nn.Reshape(count, step.outputs[0].shape[-1], True)(parents)).split(count)
            nodes.update(zip((value.number for value in step.outputs), parts, strict=True))
        else:
            nodes[step.output.number] = module_of(step)(parents)
    return nn.gModule([nodes[x.number] for x in graph.inputs], [nodes[y.number] for y in graph.outputs]), linears


def _table(arrays: list[Any]) -> Any:
    return arrays if len(arrays) > 1 else arrays[0]


def with_frozen(graph: Graph, arrays: Arrays, pass_: str) -> Contender | None:
    """The same with parameters that cannot be written, as those of ONNX models cannot: they are packed once."""
    return with_pynngraph(graph, arrays, pass_, FROZEN) if pass_ == FORWARD and graph.params else None


def with_pynngraph(graph: Graph, arrays: Arrays, pass_: str, name: str = "") -> Contender:
    """An nngraph of modules. Gradients of parameters add up, so each run starts with zeros."""
    g, linears = _graph(graph)
    g.type(arrays.dtype.name)
    zeros: list[Array] = [g.getParameters()[1]] if linears else []
    for weight, bias in zip(graph.params[::2], graph.params[1::2], strict=True):
        linears[weight.number].weight[...] = arrays[weight]
        linears[weight.number].bias[...] = arrays[bias]

    x = _table([arrays[x] for x in graph.inputs])
    grad_output = _table(arrays.grad_outputs)

    def forward() -> object:
        return g.forward(x)

    def both() -> object:
        for gradient in zeros:
            gradient.fill(0)
        g.forward(x)
        return g.backward(x, grad_output)

    def results() -> list[Array]:
        outputs = [g.output] if len(graph.outputs) == 1 else list(g.output)
        if pass_ == FORWARD:
            return outputs
        grad_inputs = [g.gradInput] if len(graph.inputs) == 1 else list(g.gradInput)
        grad_params = [grad for module in linears.values() for grad in (module.gradWeight, module.gradBias)]
        return [*outputs, *grad_inputs, *grad_params]

    if pass_ == FORWARD:
        g.evaluate()
        if name == FROZEN:
            g.freeze()
        return Contender(name or OURS, forward, results)
    return Contender(OURS, both, results)


# ---- all of them --------------------------------------------------------------------------------


@dataclass(frozen=True)
class Peer:
    """Where a contender is made, what that imports, whose version counts, and how to get it."""

    module: str
    maker: str
    imports: tuple[str, ...]
    distribution: str
    install: str
    compiles: bool = False  # for seconds, each graph and each pass

    def make(self, graph: Graph, arrays: Arrays, pass_: str) -> Contender | None:
        """Return the contender, or nothing where it has no such pass."""
        maker: Callable[..., Contender | None] = getattr(importlib.import_module(self.module), self.maker)
        return maker(graph, arrays, pass_)


OURS = "pynngraph"
FROZEN = "pynngraph, frozen"  # no peer: it is told beside the ratios
_TORCH = "pip install torch --index-url https://download.pytorch.org/whl/cpu"
CONTENDERS = {
    OURS: Peer("contenders", "with_pynngraph", ("pynngraph",), "pynngraph", "pip install pynngraph"),
    FROZEN: Peer("contenders", "with_frozen", ("pynngraph",), "pynngraph", "pip install pynngraph"),
    "NumPy": Peer("by_hand", "with_numpy", ("numpy",), "numpy", "pip install numpy"),
    "PyTorch": Peer("traced", "with_torch", ("torch",), "torch", _TORCH),
    "ONNX Runtime": Peer(
        "onnx_models", "with_onnxruntime", ("onnx", "onnxruntime"), "onnxruntime", "pip install onnx onnxruntime"
    ),
    "OpenVINO": Peer("onnx_models", "with_openvino", ("onnx", "openvino"), "openvino", "pip install onnx openvino"),
    "torch.compile": Peer("traced", "with_torch_compile", ("torch",), "torch", _TORCH, compiles=True),
    "JAX": Peer("traced", "with_jax", ("jax",), "jax", "pip install jax", compiles=True),
}
# Largest difference from pynngraph, as a part of the largest number of an array.
TOLERANCE = {"float32": 2e-5, "float64": 1e-13}
DRAWS = 4


class DisagreementError(Exception):
    """A contender computed other numbers: then its time means nothing."""


def installed(name: str) -> bool:
    """Tell whether what a contender imports is there."""
    return all(importlib.util.find_spec(module) for module in CONTENDERS[name].imports)


def line_up(graph: Graph, dtype: str, pass_: str, names: Sequence[str]) -> list[Contender]:
    """Make the contenders, pynngraph first, and check that all compute the same numbers.

    A contender that has no such pass is left out. Among a million sums some are so near to zero that the last bit
    decides whether a ReLU lets a gradient through. So where a graph has any, other numbers are drawn after a
    disagreement, a few times.
    """
    draws = DRAWS if any(step.op == "relu" for step in graph.steps) else 1
    for seed in range(draws):
        arrays = Arrays.of(graph, dtype, seed)
        made = (CONTENDERS[name].make(graph, arrays, pass_) for name in (OURS, *names))
        contenders = [contender for contender in made if contender is not None]
        titles = [f"output {k}" for k in range(len(graph.outputs))]
        titles += [f"gradient of value {leaf.number}" for leaf in leaves(graph)]
        try:
            compare(contenders, dtype, titles)
        except DisagreementError:
            if seed == draws - 1:
                raise
        else:
            break
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
