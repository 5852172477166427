"""PyTorch, torch.compile and JAX: one function of the leaves, written out as source for each of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import environment
import numpy as np
from contenders import Array, Arrays, Contender, leaves
from workloads import FORWARD, Graph

if TYPE_CHECKING:
    from collections.abc import Callable


def _function(graph: Graph, scope: dict[str, Any]) -> Callable[..., Any]:
    """Compile a function of all leaves; what it calls is in `scope`. It returns a tuple of outputs."""
    lines = []
    for step in graph.steps:
        names = [f"v{value.number}" for value in (*step.inputs, *step.params)]
        if step.op == "increment":
            expression = f"{names[0]} + 1"
        elif step.op == "chunk":
            expression = f"chunk({names[0]}, {len(step.outputs)}, -1)"
        else:
            infix = {"add": " + ", "mul": " * "}.get(step.op)
            expression = infix.join(names) if infix else f"{step.op}({', '.join(names)})"
        lines.append(f"    {', '.join(f'v{value.number}' for value in step.outputs)} = {expression}\n")
    arguments = ", ".join(f"v{leaf.number}" for leaf in leaves(graph))
    lines.append(f"    return {''.join(f'v{output.number}, ' for output in graph.outputs)}\n")
    scope = dict(scope)
    exec(f"def forward({arguments}):\n{''.join(lines)}", scope)  # noqa: S102 - written above
    function: Callable[..., Any] = scope["forward"]
    return function


# ---- PyTorch -------------------------------------------------------------------------------------


def with_torch(graph: Graph, arrays: Arrays, pass_: str) -> Contender:
    """Eager code: in inference mode for forward, with autograd for both."""
    return _with_torch("PyTorch", graph, arrays, pass_, compiled=False)


def with_torch_compile(graph: Graph, arrays: Arrays, pass_: str) -> Contender:
    """The same compiled; autograd calls what was compiled for the backward."""
    return _with_torch("torch.compile", graph, arrays, pass_, compiled=True)


def _with_torch(name: str, graph: Graph, arrays: Arrays, pass_: str, *, compiled: bool) -> Contender:
    import torch  # noqa: PLC0415

    torch.set_num_threads(environment.threads())
    # Parameters are its own, as they are everybody's; inputs are taken as they come.
    inputs = [torch.from_numpy(arrays[x]) for x in graph.inputs]
    tensors = [*inputs, *(torch.from_numpy(arrays[param].copy()) for param in graph.params)]
    scope = {
        "linear": torch.nn.functional.linear,
        "relu": torch.relu,
        "tanh": torch.tanh,
        "sigmoid": torch.sigmoid,
        "chunk": torch.chunk,
    }
    function = _function(graph, scope)
    if compiled:
        torch._dynamo.reset()  # noqa: SLF001 - or what was compiled before stays in memory
        function = torch.compile(function, fullgraph=True, dynamic=False)

    if pass_ == FORWARD:

        def forward() -> object:
            return function(*tensors)

        def outputs() -> list[Array]:
            with torch.inference_mode():
                return [output.numpy() for output in function(*tensors)]

        return Contender(name, forward, outputs, torch.inference_mode)

    grad_outputs = [torch.from_numpy(gradient) for gradient in arrays.grad_outputs]
    for tensor in tensors:
        tensor.requires_grad_()

    def both() -> object:
        return torch.autograd.grad(function(*tensors), tensors, grad_outputs)

    def results() -> list[Array]:
        ys = function(*tensors)
        gradients = torch.autograd.grad(ys, tensors, grad_outputs)
        return [tensor.detach().numpy() for tensor in (*ys, *gradients)]

    return Contender(name, both, results)


# ---- JAX -----------------------------------------------------------------------------------------


def with_jax(graph: Graph, arrays: Arrays, pass_: str) -> Contender:
    """One compiled function of all leaves, for both passes too; waited for."""
    import jax  # noqa: PLC0415

    jax.config.update("jax_platforms", "cpu")
    jax.config.update("jax_enable_x64", arrays.dtype == np.float64)
    scope = {
        "linear": lambda x, weight, bias: x @ weight.T + bias,
        "relu": jax.nn.relu,
        "tanh": jax.numpy.tanh,
        "sigmoid": jax.nn.sigmoid,
        "chunk": jax.numpy.split,
    }
    function = _function(graph, scope)

    def both(xs: tuple[Any, ...], grad_outputs: tuple[Any, ...]) -> Any:
        ys, pull = jax.vjp(function, *xs)
        return *ys, *pull(grad_outputs)

    xs = tuple(jax.numpy.asarray(arrays[leaf]) for leaf in leaves(graph))
    if pass_ == FORWARD:
        compiled, arguments = jax.jit(function), xs
    else:
        compiled, arguments = jax.jit(both), (xs, tuple(map(jax.numpy.asarray, arrays.grad_outputs)))

    def run() -> Any:
        return jax.block_until_ready(compiled(*arguments))

    return Contender("JAX", run, lambda: [np.asarray(result) for result in run()])
