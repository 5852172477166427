"""The table of workloads: what is timed, described once for every contender.

A workload is a small graph of ops. `contenders.py` turns it into a pynngraph module, into NumPy
code, into PyTorch code and into an ONNX model; `run.py` and `test_workloads.py` time these.
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


@dataclass(frozen=True)
class Step:
    """One op. A linear has two parameters: weight (outputs, inputs) and bias (outputs)."""

    op: str
    inputs: tuple[Value, ...]
    output: Value
    params: tuple[Value, ...] = ()


@dataclass
class Graph:
    """Ops in the order in which they run; the output is that of the last one."""

    inputs: list[Value] = field(default_factory=list)
    params: list[Value] = field(default_factory=list)
    steps: list[Step] = field(default_factory=list)
    n_values: int = 0

    @property
    def output(self) -> Value:
        """The value of the last step."""
        return self.steps[-1].output

    def _new(self, shape: Shape) -> Value:
        self.n_values += 1
        return Value(self.n_values - 1, shape)

    def _step(self, op: str, inputs: tuple[Value, ...], shape: Shape, params: tuple[Value, ...] = ()) -> Value:
        output = self._new(shape)
        self.steps.append(Step(op, inputs, output, params))
        return output

    def input(self, *shape: int) -> Value:
        """Add an input."""
        value = self._new(shape)
        self.inputs.append(value)
        return value

    def linear(self, x: Value, outputs: int) -> Value:
        """Add x W' + b."""
        params = (self._new((outputs, x.shape[-1])), self._new((outputs,)))
        self.params.extend(params)
        return self._step("linear", (x,), (*x.shape[:-1], outputs), params)

    def relu(self, x: Value) -> Value:
        """Add max(x, 0)."""
        return self._step("relu", (x,), x.shape)

    def tanh(self, x: Value) -> Value:
        """Add tanh x."""
        return self._step("tanh", (x,), x.shape)

    def increment(self, x: Value) -> Value:
        """Add x + 1."""
        return self._step("increment", (x,), x.shape)

    def add(self, *xs: Value) -> Value:
        """Add the sum of all xs."""
        return self._step("add", xs, xs[0].shape)

    def mul(self, *xs: Value) -> Value:
        """Add the product of all xs."""
        return self._step("mul", xs, xs[0].shape)


@dataclass(frozen=True)
class Workload:
    """A named graph. `counts` says what its rate is: "GFLOP/s", "GB/s" or nothing."""

    suite: str
    name: str
    graph: Graph
    counts: str = ""

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


def _seed() -> Iterator[Workload]:
    g = Graph()
    g.add(g.linear(g.input(3, 3), 5), g.linear(g.input(3, 3), 5))
    yield Workload("seed", "two 3x3, Linear 3-5 each, CAddTable", g)
    g = Graph()
    x = g.input(30)
    g.mul(x, g.linear(g.linear(x, 100), 30))
    yield Workload("seed", "30, Linear 30-100-30, CMulTable", g)


def _mlp() -> Iterator[Workload]:
    for batch in (1, 64, 256):
        g = Graph()
        h = g.input(batch, 784)
        for _ in range(2):
            h = g.relu(g.linear(h, 512))
        g.linear(h, 10)
        yield Workload("mlp", f"MLP 784-512-512-10, batch {batch}", g, "GFLOP/s")


def _linear() -> Iterator[Workload]:
    squares = [(size, size) for size in (64, 128, 256, 512, 1024)]
    few_rows = [(rows, 1024) for rows in (1, 4, 16)]
    for rows, size in squares + few_rows:
        g = Graph()
        g.linear(g.input(rows, size), size)
        noun = "row" if rows == 1 else "rows"
        yield Workload("linear", f"Linear {size}-{size}, {rows} {noun}", g, "GFLOP/s")


def _table() -> Iterator[Workload]:
    for name in ("add", "mul"):
        for n in (2, 4):
            for size in (1_000, 100_000, 1_000_000):
                g = Graph()
                inputs = [g.input(size) for _ in range(n)]
                (g.add if name == "add" else g.mul)(*inputs)
                title = f"C{name.title()}Table of {n}, {size:,} each"
                yield Workload("table", title, g, "GB/s")


def _overhead() -> Iterator[Workload]:
    g = Graph()
    g.increment(g.input(1))
    yield Workload("overhead", "1 node: AddConstant of 1 number", g)
    g = Graph()
    h = skip = g.input(1, 16)
    for pair in range(40):
        h = g.tanh(g.linear(h, 16))
        if pair % 2:
            h = skip = g.add(h, skip)
    yield Workload("overhead", "100 nodes: Linear 16-16, Tanh, skips", g)


WORKLOADS: tuple[Workload, ...] = (*_seed(), *_mlp(), *_linear(), *_table(), *_overhead())
SUITES: tuple[str, ...] = tuple(dict.fromkeys(workload.suite for workload in WORKLOADS))
