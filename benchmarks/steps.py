"""The steps of optimisers: one parameter vector, a gradient that is there already."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from contenders import OURS, Array, Contender
from limits import aligned

import pynngraph as nn

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

RATE = 1e-3
TINY = 1e-30  # where implementations add it differs, which must not show
COMPARED = 3  # steps from the start, for agreement


@dataclass(frozen=True)
class Step:
    """An optimiser. `arrays` counts the parameters, the gradient and what is kept from step to step."""

    name: str
    title: str
    arrays: int
    config: dict[str, float]  # pynngraph's, the names being Torch7's
    torch: Callable[[Any, Any], Any]  # (torch.optim, parameters): an optimiser
    numpy: Callable[[Array, Array], Callable[[], object]]  # (x, gradient): a step


def _sgd(x: Array, g: Array) -> Callable[[], object]:
    velocity, scaled = np.zeros_like(x), np.empty_like(x)

    def step() -> None:
        np.multiply(velocity, 0.9, velocity)
        np.add(velocity, g, velocity)
        np.multiply(velocity, RATE, scaled)
        np.subtract(x, scaled, x)

    return step


def _adam(x: Array, g: Array) -> Callable[[], object]:
    mean, square, a, b = (np.zeros_like(x) for _ in range(4))
    count = 0

    def step() -> None:
        nonlocal count
        count += 1
        np.multiply(mean, 0.9, mean)
        np.multiply(g, 1 - 0.9, a)
        np.add(mean, a, mean)
        np.multiply(square, 0.999, square)
        np.multiply(g, 1 - 0.999, a)
        np.multiply(a, g, a)
        np.add(square, a, square)
        np.sqrt(square, b)
        np.add(b, TINY, b)
        np.multiply(mean, RATE * (1 - 0.999**count) ** 0.5 / (1 - 0.9**count), a)
        np.divide(a, b, a)
        np.subtract(x, a, x)

    return step


def _rmsprop(x: Array, g: Array) -> Callable[[], object]:
    square, a, b = (np.zeros_like(x) for _ in range(3))

    def step() -> None:
        np.multiply(square, 0.99, square)
        np.multiply(g, 1 - 0.99, a)
        np.multiply(a, g, a)
        np.add(square, a, square)
        np.sqrt(square, b)
        np.add(b, TINY, b)
        np.multiply(g, RATE, a)
        np.divide(a, b, a)
        np.subtract(x, a, x)

    return step


def _adagrad(x: Array, g: Array) -> Callable[[], object]:
    square, a, b = (np.zeros_like(x) for _ in range(3))

    def step() -> None:
        np.multiply(g, g, a)
        np.add(square, a, square)
        np.sqrt(square, b)
        np.add(b, 1e-10, b)
        np.multiply(g, RATE, a)
        np.divide(a, b, a)
        np.subtract(x, a, x)

    return step


STEPS = (
    Step(
        "sgd",
        "sgd with momentum",
        3,
        {"momentum": 0.9, "dampening": 0.0},
        lambda optim, params: optim.SGD(params, RATE, momentum=0.9, fused=True),
        _sgd,
    ),
    Step(
        "adam",
        "adam",
        4,
        {"epsilon": TINY},
        lambda optim, params: optim.Adam(params, RATE, eps=TINY, fused=True),
        _adam,
    ),
    Step(
        "rmsprop",
        "rmsprop",
        3,
        {"epsilon": TINY},
        lambda optim, params: optim.RMSprop(params, RATE, eps=TINY),
        _rmsprop,
    ),
    Step(
        "adagrad",
        "adagrad",
        3,
        {},
        lambda optim, params: optim.Adagrad(params, RATE, fused=True),
        _adagrad,
    ),
)


def step_contenders(step: Step, count: int, dtype: str, peers: Sequence[str]) -> list[Contender]:
    """Make those who can do a step."""
    rng = np.random.default_rng(0)
    start, gradient = (aligned(count, dtype) for _ in range(2))
    for array in (start, gradient):
        array[...] = rng.standard_normal(count)
    makers = {OURS: _ours, "NumPy": _numpy, "PyTorch": _torch}
    return [_contender(name, makers[name], step, start, gradient) for name in (OURS, *peers) if name in makers]


def _contender(name: str, make: Any, step: Step, start: Array, gradient: Array) -> Contender:
    def fresh() -> tuple[Array, Callable[[], object]]:
        x = aligned(start.size, start.dtype)
        x[...] = start
        return x, make(step, x, gradient)

    def results() -> list[Array]:
        x, run = fresh()
        for _ in range(COMPARED):
            run()
        return [x]

    return Contender(name, fresh()[1], results)


def _ours(step: Step, x: Array, gradient: Array) -> Callable[[], object]:
    function = getattr(nn.optim, step.name)
    config = {"learningRate": RATE, **step.config}
    state: dict[str, Any] = {}
    answer = 0.0, gradient
    return lambda: function(lambda _: answer, x, config, state)


def _numpy(step: Step, x: Array, gradient: Array) -> Callable[[], object]:
    return step.numpy(x, gradient)


def _torch(step: Step, x: Array, gradient: Array) -> Callable[[], object]:
    import environment  # noqa: PLC0415
    import torch  # noqa: PLC0415

    torch.set_num_threads(environment.threads())
    parameter = torch.from_numpy(x).requires_grad_()
    parameter.grad = torch.from_numpy(gradient)
    run: Callable[[], object] = step.torch(torch.optim, [parameter]).step
    return run
