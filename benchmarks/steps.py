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


def _adamax(x: Array, g: Array) -> Callable[[], object]:
    mean, largest, a, b = (np.zeros_like(x) for _ in range(4))
    count = 0

    def step() -> None:
        nonlocal count
        count += 1
        np.multiply(mean, 0.9, mean)
        np.multiply(g, 1 - 0.9, a)
        np.add(mean, a, mean)
        np.multiply(largest, 0.999, largest)
        np.abs(g, b)
        np.add(b, TINY, b)
        np.maximum(largest, b, largest)
        np.multiply(mean, RATE / (1 - 0.9**count), a)
        np.divide(a, largest, a)
        np.subtract(x, a, x)

    return step


def _adadelta(x: Array, g: Array) -> Callable[[], object]:
    square, moved, a, b = (np.zeros_like(x) for _ in range(4))

    def step() -> None:
        np.multiply(square, 0.9, square)
        np.multiply(g, 1 - 0.9, a)
        np.multiply(a, g, a)
        np.add(square, a, square)
        np.add(square, 1e-6, a)
        np.sqrt(a, a)
        np.add(moved, 1e-6, b)
        np.sqrt(b, b)
        np.divide(b, a, b)
        np.multiply(b, g, b)
        np.subtract(x, b, x)
        np.multiply(moved, 0.9, moved)
        np.multiply(b, b, b)
        np.multiply(b, 1 - 0.9, b)
        np.add(moved, b, moved)

    return step


def _rprop(x: Array, g: Array) -> Callable[[], object]:
    last, size, a = np.zeros_like(x), np.full_like(x, RATE), np.empty_like(x)

    def step() -> None:
        np.multiply(last, g, a)
        np.sign(a, a)
        np.multiply(size, np.where(a > 0, 1.2, np.where(a < 0, 0.5, 1)), size)
        np.clip(size, 1e-6, 50, size)
        np.copyto(last, np.where(a < 0, 0, g))
        np.sign(last, a)
        np.multiply(a, size, a)
        np.subtract(x, a, x)

    return step


def _asgd(x: Array, g: Array) -> Callable[[], object]:
    average, a = np.zeros_like(x), np.empty_like(x)
    eta, count = RATE, 0

    def step() -> None:
        nonlocal eta, count
        count += 1
        np.multiply(x, 1 - 1e-4 * eta, x)
        np.multiply(g, eta, a)
        np.subtract(x, a, x)
        np.copyto(average, x)
        eta = RATE / (1 + 1e-4 * RATE * count) ** 0.75

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
    Step(
        "adamax",
        "adamax",
        4,
        {"epsilon": TINY},
        lambda optim, params: optim.Adamax(params, RATE, eps=TINY),
        _adamax,
    ),
    Step(
        "adadelta",
        "adadelta",
        4,
        {},
        lambda optim, params: optim.Adadelta(params, 1.0, rho=0.9, eps=1e-6),
        _adadelta,
    ),
    Step(
        "rprop",
        "rprop",
        4,
        {"stepsize": RATE},
        lambda optim, params: optim.Rprop(params, RATE),
        _rprop,
    ),
    Step(
        "asgd",
        "asgd",
        3,
        {"eta0": RATE},
        lambda optim, params: optim.ASGD(params, RATE),
        _asgd,
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
