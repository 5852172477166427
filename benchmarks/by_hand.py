"""NumPy as one would write it by hand: straight-line calls with `out=`, every array allocated beforehand."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from contenders import Array, Arrays, Contender, leaves
from workloads import BOTH, Graph, Step, Value

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


class _Code:
    """Writes straight-line code: a line for each call, all names bound beforehand."""

    def __init__(self, graph: Graph, arrays: Arrays) -> None:
        self.dtype = arrays.dtype
        self.lines: list[str] = []
        self.names: dict[str, Any] = {
            "copyto": np.copyto,
            "dot": np.dot,
            "add": np.add,
            "subtract": np.subtract,
            "multiply": np.multiply,
            "negative": np.negative,
            "reciprocal": np.reciprocal,
            "maximum": np.maximum,
            "greater": np.greater,
            "exp": np.exp,
            "tanh": np.tanh,
            "zero": np.zeros((), self.dtype),
            "one": np.ones((), self.dtype),
        }
        self.values = {x.number: self.bind(arrays[x]) for x in leaves(graph)}
        self.gradients: dict[int, str] = {}
        self.own: set[int] = set()  # those values whose gradient is an array that nobody shares
        self.scratch: dict[tuple[int, ...], str] = {}
        # A part of columns has its gradient among the columns of the whole's.
        self.parts = {part.number: (step, k) for step in graph.steps for k, part in enumerate(step.outputs)
                      if step.op == "chunk"}  # fmt: skip
        self.wholes: dict[int, str] = {}

    # ---- names ----

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

    # ---- gradients ----

    def whole(self, step: Step) -> str:
        """Return the gradient of what was cut into parts; zeros where a part has none."""
        (x,) = step.inputs
        if x.number not in self.wholes:
            self.wholes[x.number] = self.bind(np.zeros(x.shape, self.dtype))
        return self.wholes[x.number]

    def place(self, value: Value) -> str:
        """Return where the gradient of `value` is to be written."""
        if value.number not in self.parts:
            return self.buffer(value.shape)
        step, k = self.parts[value.number]
        width = value.shape[-1]
        return self.bind(self.names[self.whole(step)][:, k * width : (k + 1) * width])

    def contribute(self, value: Value, function: str, *arguments: str) -> None:
        """Write a call that computes a gradient of `value`, or what is added to the one that it has."""
        strided = function == "dot" and value.number in self.parts  # it does not write there
        if value.number in self.gradients or strided:
            out = self.scratch.get(value.shape) or self.buffer(value.shape)
            self.scratch[value.shape] = out
            self.call(function, *arguments, out)
            self.share(value, out)
        else:
            out = self.gradients[value.number] = self.place(value)
            self.call(function, *arguments, out)
            self.own.add(value.number)

    def share(self, value: Value, name: str) -> None:
        """Give `value` a gradient that is there already, or add it to the one that it has."""
        if value.number in self.gradients:
            held = self.gradients[value.number]
            total = held if value.number in self.own else self.place(value)
            self.call("add", held, name, total)
        elif value.number in self.parts:
            total = self.place(value)
            self.call("copyto", total, name)
        else:
            self.gradients[value.number] = name
            return
        self.gradients[value.number] = total
        self.own.add(value.number)

    # ---- steps ----

    def forward(self, step: Step) -> None:
        x, *others = (self.values[value.number] for value in step.inputs)
        if step.op == "chunk":
            for value, part in zip(step.outputs, np.split(self.names[x], len(step.outputs), axis=-1), strict=True):
                self.values[value.number] = self.bind(part)
            return
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
        elif step.op == "sigmoid":
            self.call("negative", x, y)
            self.call("exp", y, y)
            self.call("add", y, "one", y)
            self.call("reciprocal", y, y)
        elif step.op == "increment":
            self.call("add", x, "one", y)
        else:
            function = {"add": "add", "mul": "multiply"}[step.op]
            for left, right in zip([x] + [y] * len(others), others, strict=False):
                self.call(function, left, right, y)

    def backward(self, step: Step) -> None:
        if step.op == "chunk":
            self.share(step.inputs[0], self.whole(step))
            return
        g = self.gradients[step.output.number]
        x, *others = (self.values[value.number] for value in step.inputs)
        y = self.values[step.output.number]
        shape = step.output.shape
        if step.op == "linear":
            self._backward_linear(step, g, x)
        elif step.op == "relu":
            mask = self.buffer(shape, np.bool_)
            self.call("greater", y, "zero", mask)
            self.contribute(step.inputs[0], "multiply", g, mask)
        elif step.op == "tanh":
            slope = self.buffer(shape)
            self.call("multiply", y, y, slope)
            self.call("subtract", "one", slope, slope)
            self.contribute(step.inputs[0], "multiply", g, slope)
        elif step.op == "sigmoid":
            slope = self.buffer(shape)
            self.call("subtract", "one", y, slope)
            self.call("multiply", y, slope, slope)
            self.contribute(step.inputs[0], "multiply", g, slope)
        elif step.op in {"increment", "add"}:
            for value in step.inputs:
                self.share(value, g)
        else:  # a product of two: `in_pairs` saw to that
            for value, other in zip(step.inputs, (others[0], x), strict=True):
                self.contribute(value, "multiply", g, other)

    def _backward_linear(self, step: Step, g: str, x: str) -> None:
        weight, bias = step.params
        shape = step.inputs[0].shape
        self.contribute(step.inputs[0], "dot", g, self.values[weight.number])
        if len(shape) == 1 or shape[0] == 1:  # an outer product
            row = self.names[g].reshape(-1)
            self.contribute(weight, "multiply", self.bind(row[:, np.newaxis]), x)
            self.share(bias, self.bind(row))
        else:
            ones = self.bind(np.ones(shape[0], self.dtype))
            self.contribute(weight, "dot", self.transposed(g), x)
            self.contribute(bias, "dot", ones, g)

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
    result = Graph(graph.inputs, graph.params, [], graph.n_values, graph.outputs)
    for step in graph.steps:
        xs = list(step.inputs)
        while step.op == "mul" and len(xs) > 2:
            xs = [*xs[2:], result.mul(*xs[:2])]
        result.steps.append(Step(step.op, tuple(xs), step.outputs, step.params))
    return result


def with_numpy(graph: Graph, arrays: Arrays, pass_: str) -> Contender:
    """Calls of NumPy with `out` given."""
    if pass_ == BOTH:
        graph = in_pairs(graph)
    code = _Code(graph, arrays)
    for step in graph.steps:
        code.forward(step)
    names = [code.values[output.number] for output in graph.outputs]
    if pass_ == BOTH:
        for output, gradient in zip(graph.outputs, arrays.grad_outputs, strict=True):
            code.share(output, code.bind(gradient))
        for step in reversed(graph.steps):
            code.backward(step)
        names += [code.gradients[leaf.number] for leaf in leaves(graph)]
    return Contender("NumPy", code.function(), lambda: [code.names[name] for name in names])
