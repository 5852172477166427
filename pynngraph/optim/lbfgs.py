"""L-BFGS."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from .. import memory
from .._engine import optim_dot as dot
from ..errors import StateError
from .linesearch import lswolfe
from .settings import settings
from .vectors import Array, Function, add, check_parameters, evaluate, like

LEAST_CURVATURE = 1e-10  # of a step, so that it is remembered


def lbfgs(
    feval: Function, x: Array, config: dict[str, Any] | None = None, state: dict[str, Any] | None = None
) -> tuple[Array, list[float]]:
    """Some iterations of L-BFGS, Torch7's ``optim.lbfgs``.

    Parameters
    ----------
    feval
        ``feval(x)`` gives the loss at x and its gradient there, an array like x; the same function each time, of all
        data or of one large batch.
    x
        The parameters, a contiguous array of float32 or float64; changed in place. If feval fails, x and state are what
        they were before the call.
    config
        ``maxIter`` (20) iterations of a call, ``maxEval`` (1.25 maxIter) evaluations of a call, ``tolFun`` (1e-5), a
        sum of absolute gradients that is small enough to end, ``tolX`` (1e-9), a change of x or of the loss that is,
        ``nCorrection`` (100), steps that are remembered, ``lineSearch`` (None, or ``optim.lswolfe`` or its name or a
        function like it), ``lineSearchOptions`` (None), ``learningRate`` (1), the step, or the first one that is tried,
        ``verbose`` (False), which prints why a call ended.
    state
        What is kept from call to call (``old_dirs``, ``old_stps``, ``Hdiag``, ``g_old``, ``f_old``, ``t``, ``d``,
        ``nIter``, ``funcEval``); config itself if it is left out, as in Torch7.

    Returns
    -------
    x and a list of the losses met: the first is that at the start; without a line search the last iteration of
    ``maxIter`` is not evaluated.

    Source: Nocedal and Wright, Numerical optimization, algorithm 7.4; Schmidt's minFunc.

    Examples
    --------
    >>> import numpy as np, pynngraph as nn
    >>> def rosenbrock(x):
    ...     a, b = x
    ...     c = b - a * a
    ...     return 100 * c * c + (1 - a) ** 2, np.array([-400 * a * c + 2 * a - 2, 200 * c])
    >>> x = np.array([-1.2, 1.0])
    >>> x, losses = nn.optim.lbfgs(rosenbrock, x, {"maxIter": 100, "maxEval": 200, "lineSearch": "lswolfe"})
    >>> bool(np.allclose(x, 1, atol=1e-4))
    True
    """
    config, state = settings(config, state)
    check_parameters(x)
    run = Run(feval, x, config, state)
    try:
        why = run.iterate()
    except BaseException:
        x[...] = run.start
        raise
    if config.get("verbose", False):
        print("<optim.lbfgs>", why)  # noqa: T201 - asked for
    state.update(run.state())
    return x, run.losses


def line_search(given: Any) -> Callable[..., Any] | None:
    """What ``lineSearch`` means."""
    if given is None or callable(given):
        return given  # type: ignore[no-any-return]
    if given == "lswolfe":
        return lswolfe
    message = f"lineSearch is a function like optim.lswolfe or its name, got {given!r}"
    raise StateError(message)


class Run:
    """One call: what it is told, where it is, and what it remembers."""

    def __init__(self, feval: Function, x: Array, config: dict[str, Any], state: dict[str, Any]) -> None:
        self.feval = feval
        self.x = x
        self.config = config
        self.search = line_search(config.get("lineSearch"))
        self.most = int(config.get("maxIter", 20))
        self.start = memory.copy(x)
        self.losses: list[float] = []
        self.evaluations = 0
        self.before: tuple[int, int] = state.get("funcEval", 0), state.get("nIter", 0)
        self.steps, self.changes = [
            [like(x, array, f"an array in state[{name!r}]") for array in state.get(name, ())]
            for name in ("old_dirs", "old_stps")
        ]
        self.direction, self.g_old = [
            like(x, state[name], f"state[{name!r}]") if name in state else None for name in ("d", "g_old")
        ]
        self.step: float = state.get("t", 0.0)
        self.scale: float = state.get("Hdiag", 1.0)
        self.f_old: float = state.get("f_old", 0.0)
        self.iterations = 0

    def iterate(self) -> str:
        """Iterate until there is a reason to end."""
        f, g = self.evaluate()
        self.losses.append(f)
        if sum_of_sizes(g) <= self.config.get("tolFun", 1e-5):
            return "optimality condition below tolFun"
        why = None
        while why is None:
            self.iterations += 1
            if self.g_old is None or self.direction is None:
                self.direction = -g
            else:
                self.remember(g - self.g_old, self.step * self.direction)
                self.direction = self.newton(g)
            self.g_old, self.f_old = memory.copy(g), f
            slope = dot(self.g_old, self.direction)
            if slope > -self.config.get("tolX", 1e-9):
                return "no progress can be made along the direction"
            f, g = self.move(f, g, slope, self.direction)
            why = self.reason(f, g, self.direction)
        return why

    def evaluate(self) -> tuple[float, Array]:
        """The loss and the gradient, counted."""
        self.evaluations += 1
        return evaluate(self.feval, self.x)

    def move(self, f: float, g: Array, slope: float, direction: Array) -> tuple[float, Array]:
        """Go along the direction; the loss and the gradient there."""
        is_first = self.before[1] + self.iterations == 1
        self.step = self.config.get("learningRate", 1)
        if is_first:
            self.step *= min(1.0, 1 / sum_of_sizes(g))
        if self.search is not None:
            options = self.config.get("lineSearchOptions")
            f, g, _, self.step, count = self.search(self.feval, self.x, self.step, direction, f, g, slope, options)
            self.evaluations += count
        else:
            add(self.x, self.step, direction)
            if self.iterations >= self.most:  # the next call begins with it
                return f, g
            f, g = self.evaluate()
        self.losses.append(f)
        return f, g

    def reason(self, f: float, g: Array, direction: Array) -> str | None:
        """Why to end after an iteration, if there is a reason."""
        least = self.config.get("tolX", 1e-9)
        if self.iterations >= self.most:
            return "reached max number of iterations"
        if self.evaluations >= self.config.get("maxEval", 1.25 * self.most):
            return "max nb of function evals"
        if sum_of_sizes(g) <= self.config.get("tolFun", 1e-5):
            return "optimality condition below tolFun"
        if abs(self.step) * sum_of_sizes(direction) <= least:
            return "step size below tolX"
        return "function value changing less than tolX" if abs(f - self.f_old) < least else None

    def state(self) -> dict[str, Any]:
        """What the next call is to know."""
        return {
            "funcEval": self.before[0] + self.evaluations,
            "nIter": self.before[1] + self.iterations,
            "old_dirs": self.steps,
            "old_stps": self.changes,
            "Hdiag": self.scale,
            "f_old": self.f_old,
            "t": self.step,
        } | ({} if self.g_old is None else {"g_old": self.g_old, "d": self.direction})

    def remember(self, change: Array, step: Array) -> None:
        """Add a step, and the change of the gradient along it, to the memory, if they curve."""
        curvature = dot(change, step)
        if not curvature > LEAST_CURVATURE:
            return
        if len(self.steps) >= self.config.get("nCorrection", 100):
            del self.steps[0], self.changes[0]
        self.steps.append(step)
        self.changes.append(change)
        self.scale = curvature / dot(change, change)

    def newton(self, g: Array) -> Array:
        """The inverse of the Hessian, as far as it is remembered, times -g."""
        direction = -g
        factors = []
        for step, change in zip(reversed(self.steps), reversed(self.changes), strict=True):
            curvature = dot(change, step)
            factors.append((dot(step, direction) / curvature, curvature))
            add(direction, -factors[-1][0], change)
        direction *= self.scale
        for step, change, (factor, curvature) in zip(self.steps, self.changes, reversed(factors), strict=True):
            add(direction, factor - dot(change, direction) / curvature, step)
        return direction


def sum_of_sizes(x: Array) -> float:
    """The sum of absolute values."""
    return float(np.abs(x).sum())
