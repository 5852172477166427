"""The table of workloads: what is timed, described once for every contender.

A workload is a small graph of ops. `contenders.py` and the files it names turn it into a pynngraph module, into NumPy
code, into PyTorch and JAX code and into an ONNX model; `run.py`, `resources.py` and the tests use these.
Nothing here imports NumPy: its settings have to be made first (see `environment.py`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

FORWARD = "forward"
BOTH = "forward+backward"  # gradients of all inputs and all parameters
PASSES = (FORWARD, BOTH)

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Value:
    """An array of a graph: its number and its shape."""

    number: int
    shape: Shape


Weights = tuple[Value, Value]  # of a linear: weight (outputs, inputs) and bias (outputs)


@dataclass(frozen=True)
class Step:
    """One op. Only a chunk has several outputs, and only a linear has parameters."""

    op: str
    inputs: tuple[Value, ...]
    outputs: tuple[Value, ...]
    params: tuple[Value, ...] = ()

    @property
    def output(self) -> Value:
        """The only output."""
        (output,) = self.outputs
        return output


@dataclass
class Graph:
    """Ops in the order in which they run; the output is that of the last one, unless others were named."""

    inputs: list[Value] = field(default_factory=list)
    params: list[Value] = field(default_factory=list)
    steps: list[Step] = field(default_factory=list)
    n_values: int = 0
    named: tuple[Value, ...] = ()

    @property
    def outputs(self) -> tuple[Value, ...]:
        """What a run is for."""
        return self.named or self.steps[-1].outputs

    def _new(self, shape: Shape) -> Value:
        self.n_values += 1
        return Value(self.n_values - 1, shape)

    def _step(self, op: str, inputs: tuple[Value, ...], shape: Shape, params: tuple[Value, ...] = ()) -> Value:
        output = self._new(shape)
        self.steps.append(Step(op, inputs, (output,), params))
        return output

    def input(self, *shape: int) -> Value:
        """Add an input."""
        value = self._new(shape)
        self.inputs.append(value)
        return value

    def weights(self, inputs: int, outputs: int) -> Weights:
        """Add the parameters of a linear, or of several that share them."""
        params = (self._new((outputs, inputs)), self._new((outputs,)))
        self.params.extend(params)
        return params

    def linear(self, x: Value, outputs: int, shared: Weights | None = None) -> Value:
        """Add x W' + b."""
        params = shared or self.weights(x.shape[-1], outputs)
        return self._step("linear", (x,), (*x.shape[:-1], outputs), params)

    def relu(self, x: Value) -> Value:
        """Add max(x, 0)."""
        return self._step("relu", (x,), x.shape)

    def tanh(self, x: Value) -> Value:
        """Add tanh x."""
        return self._step("tanh", (x,), x.shape)

    def sigmoid(self, x: Value) -> Value:
        """Add 1 / (1 + exp(-x))."""
        return self._step("sigmoid", (x,), x.shape)

    def increment(self, x: Value) -> Value:
        """Add x + 1."""
        return self._step("increment", (x,), x.shape)

    def add(self, *xs: Value) -> Value:
        """Add the sum of all xs."""
        return self._step("add", xs, xs[0].shape)

    def mul(self, *xs: Value) -> Value:
        """Add the product of all xs."""
        return self._step("mul", xs, xs[0].shape)

    def chunk(self, x: Value, parts: int) -> tuple[Value, ...]:
        """Add equal parts of the columns of x."""
        rows, columns = x.shape
        outputs = tuple(self._new((rows, columns // parts)) for _ in range(parts))
        self.steps.append(Step("chunk", (x,), outputs))
        return outputs


@dataclass(frozen=True)
class Workload:
    """A named graph of a suite. `counts` says what its rate is: "GFLOP/s", "GB/s" or nothing.

    The aims are how many times longer the best peer should take, forward and for both passes; 0 is no aim. `within_us`
    is for forward calls that should take no more, whatever others take. Large ones take part with all graphs, and when
    they are matched.
    """

    suite: str
    name: str
    graph: Graph
    counts: str = ""
    aims: tuple[float, float] = (1.0, 1.0)
    within_us: float = math.inf
    large: bool = False

    def amount(self, pass_: str, itemsize: int) -> float:
        """Return what one run computes or moves, in flops or bytes; 0 where it is not counted."""
        if self.counts == "GFLOP/s":  # of the matrix products; backward has two for each
            products = 3 if pass_ == BOTH else 1
            linears = [step for step in self.graph.steps if step.op == "linear"]
            return sum(products * 2 * math.prod(step.output.shape) * step.inputs[0].shape[-1] for step in linears)
        if self.counts == "GB/s":  # every array that is read or written counts once a pass
            (step,) = self.graph.steps
            n = len(step.inputs)
            read = 1 if step.op == "add" else n + 1
            arrays = n + 1 + (read + n if pass_ == BOTH else 0)
            return arrays * itemsize * math.prod(step.output.shape)
        return 0

    def aim(self, pass_: str) -> float:
        """Return the aim for a pass."""
        return self.aims[PASSES.index(pass_)]

    def held_bytes(self, itemsize: int) -> int:
        """Return what a step of training has to hold: inputs, parameters and the gradients of both."""
        return 2 * itemsize * sum(math.prod(value.shape) for value in (*self.graph.inputs, *self.graph.params))


# ---- graphs --------------------------------------------------------------------------------------


def _seed() -> Iterator[Workload]:
    g = Graph()
    g.add(g.linear(g.input(3, 3), 5), g.linear(g.input(3, 3), 5))
    yield Workload("seed", "two 3x3, Linear 3-5 each, CAddTable", g, aims=(1.5, 1.7))
    g = Graph()
    x = g.input(30)
    g.mul(x, g.linear(g.linear(x, 100), 30))
    yield Workload("seed", "30, Linear 30-100-30, CMulTable", g, aims=(1.2, 2.0))


def mlp(batch: int, *sizes: int) -> Graph:
    """Return linears with a ReLU after each but the last."""
    g = Graph()
    first, *hidden, last = sizes
    h = g.input(batch, first)
    for size in hidden:
        h = g.relu(g.linear(h, size))
    g.linear(h, last)
    return g


def _mlp() -> Iterator[Workload]:
    yield Workload("mlp", "MLP 10-64-64-2, batch 1", mlp(1, 10, 64, 64, 2), "GFLOP/s")
    for batch, aims in ((1, (1.05, 1.5)), (64, (1.1, 1.15)), (256, (1.05, 1.1)), (1024, (1.03, 1.05))):
        name = f"MLP 784-512-512-10, batch {batch}"
        yield Workload("mlp", name, mlp(batch, 784, 512, 512, 10), "GFLOP/s", aims, large=batch > 256)


def lstm(size: int, batch: int, steps: int = 1) -> Graph:
    """Return a cell of primitive modules, unrolled in time; what is known at the end comes out: h and c."""
    g = Graph()
    xs = [g.input(batch, size) for _ in range(steps)]
    h, c = (g.input(batch, size) for _ in range(2))
    of_x, of_h = (g.weights(size, 4 * size) for _ in range(2))
    for x in xs:
        i, f, o, z = g.chunk(g.add(g.linear(x, 4 * size, of_x), g.linear(h, 4 * size, of_h)), 4)
        c = g.add(g.mul(g.sigmoid(f), c), g.mul(g.sigmoid(i), g.tanh(z)))
        h = g.mul(g.sigmoid(o), g.tanh(c))
    g.named = (h, c)
    return g


def _lstm() -> Iterator[Workload]:
    cells = (((128, 1), (2.5, 5.0)), ((128, 50), (1.4, 2.0)), ((512, 1), (1.05, 1.5)), ((512, 50), (1.1, 1.3)))
    for (size, batch), aims in cells:
        name = f"LSTM cell, {size} units, batch {batch}"
        yield Workload("lstm", name, lstm(size, batch), "GFLOP/s", aims, large=size > 128)
    name = "LSTM, 128 units, 50 steps, batch 50"
    yield Workload("lstm", name, lstm(128, 50, steps=50), "GFLOP/s", (1.6, 2.0), large=True)


def deep(batch: int) -> Graph:
    """Return 40 narrow linears, each with a Tanh, and a sum with what came before after every second."""
    g = Graph()
    h = skip = g.input(batch, 16)
    for k in range(40):
        h = g.tanh(g.linear(h, 16))
        if k % 2:
            h = skip = g.add(h, skip)
    return g


def fan(batch: int) -> Graph:
    """Return the sum of 32 linears of one input."""
    g = Graph()
    x = g.input(batch, 64)
    g.add(*(g.linear(x, 64) for _ in range(32)))
    return g


def pairs(hidden: int) -> Graph:
    """Return nngraph's own test of speed: ten layers, each ReLU of the sum of two linears."""
    g = Graph()
    h = g.input(16, 512)
    for _ in range(10):
        h = g.relu(g.add(g.linear(h, hidden), g.linear(h, hidden)))
    g.linear(h, 128)
    return g


def _nodes() -> Iterator[Workload]:
    g = Graph()
    g.increment(g.input(1))
    yield Workload("nodes", "1 node: AddConstant of 1 number", g, aims=(0.0, 0.0))
    for batch, aims in ((1, (3.0, 7.0)), (32, (1.5, 3.0))):
        yield Workload("nodes", f"100 nodes: Linear 16-16, Tanh, skips, batch {batch}", deep(batch), aims=aims)
    for batch, aims in ((1, (1.7, 6.0)), (64, (1.4, 2.0))):
        yield Workload("nodes", f"32 Linear 64-64 of one input, summed, batch {batch}", fan(batch), aims=aims)
    for hidden in (32, 128, 1024):
        name = f"nngraph's speed test, hidden {hidden}, batch 16"
        yield Workload("nodes", name, pairs(hidden), "GFLOP/s", large=hidden > 128)


# ---- tables and single linears -------------------------------------------------------------------


def _table() -> Iterator[Workload]:
    for name in ("add", "mul"):
        for n in (2, 4):
            for size in (1_000, 100_000, 1_000_000, 10_000_000):
                g = Graph()
                inputs = [g.input(size) for _ in range(n)]
                (g.add if name == "add" else g.mul)(*inputs)
                title = f"C{name.title()}Table of {n}, {size:,} each"
                # A bare call of NumPy is out of reach: where the work is nothing, the aim is a time.
                aims, within_us = ((0.0, 0.0), 1.0) if size == 1_000 else ((1.0, 1.0), math.inf)
                yield Workload("table", title, g, "GB/s", aims, within_us, large=size > 1_000_000)


def _linear() -> Iterator[Workload]:
    squares = [(size, size) for size in (64, 128, 256, 512, 1024, 2048)]
    few_rows = [(rows, size) for size in (1024, 4096) for rows in (1, 4, 16)]
    for rows, size in squares + few_rows:
        g = Graph()
        g.linear(g.input(rows, size), size)
        noun = "row" if rows == 1 else "rows"
        aims = (1.2, 1.5) if rows < 64 else (1.1 if size < 512 else 1.0, 1.1)
        yield Workload("linear", f"Linear {size}-{size}, {rows} {noun}", g, "GFLOP/s", aims, large=size > 1024)


WORKLOADS: tuple[Workload, ...] = (*_seed(), *_mlp(), *_lstm(), *_nodes(), *_table(), *_linear())
SUITES: tuple[str, ...] = tuple(dict.fromkeys(workload.suite for workload in WORKLOADS))
