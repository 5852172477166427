"""Conjugate gradients."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from .. import memory
from .._engine import optim_dot as dot
from .settings import settings
from .vectors import Array, Function, add, check_parameters, evaluate


class Limits(NamedTuple):
    """What a line search is told."""

    rho: float
    sig: float
    int: float
    ext: float
    most: float  # evaluations


class Point(NamedTuple):
    """A point of a line search: the loss, its slope along the line, and the gradient."""

    loss: float
    slope: float
    gradient: Array


def cg(
    feval: Function, x: Array, config: dict[str, Any] | None = None, state: dict[str, Any] | None = None
) -> tuple[Array, list[float]]:
    """Some line searches along conjugate gradients, Torch7's ``optim.cg``.

    Parameters
    ----------
    feval
        ``feval(x)`` gives the loss at x and its gradient there, an array like x; the same function each time.
    x
        The parameters, a contiguous array of float32 or float64; changed in place. If feval fails, x is what it was
        before the call.
    config
        ``maxIter`` (20), evaluations of one line search, ``maxEval`` (1.25 maxIter), evaluations of a call, after which
        no search begins, ``rho`` (0.01) and ``sig`` (0.5), the decrease and the slope that end a search, ``int`` (0.1)
        and ``ext`` (3), how near to an end of the interval it interpolates and how far it extrapolates, ``ratio``
        (100), the largest ratio of the slopes of two searches.
    state
        Nothing is kept: each call begins along the gradient. (Torch7 keeps memory here.)

    Returns
    -------
    x and a list of losses: at the start, and after each search.

    Directions are Polak and Ribière's. Source: Rasmussen, the program `minimize`, 2001.

    Examples
    --------
    >>> import numpy as np, pynngraph as nn
    >>> def rosenbrock(x):
    ...     a, b = x
    ...     c = b - a * a
    ...     return 100 * c * c + (1 - a) ** 2, np.array([-400 * a * c + 2 * a - 2, 200 * c])
    >>> x, losses = nn.optim.cg(rosenbrock, np.array([-1.2, 1.0]), {"maxEval": 200})
    >>> bool(np.allclose(x, 1))
    True
    """
    config, _ = settings(config, state)
    check_parameters(x)
    start = memory.copy(x)
    try:
        return x, _minimize(feval, x, config)
    except BaseException:
        x[...] = start
        raise


def _minimize(feval: Function, x: Array, config: dict[str, Any]) -> list[float]:
    most = config.get("maxIter", 20)
    most_evaluations = config.get("maxEval", most * 1.25)
    rho, sig = config.get("rho", 0.01), config.get("sig", 0.5)
    limits = Limits(rho, sig, config.get("int", 0.1), config.get("ext", 3.0), most)
    loss, gradient = evaluate(feval, x)
    gradient = memory.copy(gradient)
    losses, evaluations = [loss], 1
    direction = -gradient
    now = Point(loss, -dot(direction, direction), gradient)
    step = 1 / (1 - now.slope)
    while evaluations < abs(most_evaluations):
        before = memory.copy(x)
        search = _Search(feval, x, direction, now, limits, min(most, most_evaluations - evaluations - 1))
        success = search.run(step)
        evaluations += search.evaluations
        if not success:
            x[...] = before
            break
        new = search.new.gradient
        losses.append(search.new.loss)
        direction *= (dot(new, new) - dot(new, now.gradient)) / dot(now.gradient, now.gradient)
        direction -= new
        slope = dot(new, direction)
        if slope > 0:
            direction = -new
            slope = -dot(direction, direction)
        step = search.step * min(config.get("ratio", 100), now.slope / (slope - 1e-320))
        now = Point(search.new.loss, slope, new)
    return losses


class _Search:
    """A line search: from a point along a direction, by cubics and parabolas through points with their slopes."""

    def __init__(self, feval: Function, x: Array, direction: Array, start: Point, limits: Limits, most: float) -> None:
        self.feval = feval
        self.x = x
        self.direction = direction
        self.start = start
        self.limits = limits
        self.left = most  # evaluations, after the first
        self.evaluations = 0
        self.step = 0.0  # where it is
        self.new = start

    def go(self, by: float) -> None:
        """Go on by so much, and look."""
        self.step += by
        add(self.x, by, self.direction)
        loss, gradient = evaluate(self.feval, self.x)
        gradient = memory.copy(gradient)  # it may be overwritten at the next call
        self.new = Point(loss, dot(gradient, self.direction), gradient)
        self.evaluations += 1

    def is_too_far(self) -> bool:
        """Whether the loss has not come down enough, or goes up again."""
        start, new = self.start, self.new
        return (
            new.loss > start.loss + self.step * self.limits.rho * start.slope
            or new.slope > -self.limits.sig * start.slope
        )

    def run(self, first: float) -> bool:
        """Search; whether a good point was found."""
        start = self.start
        self.go(first)
        other, distance = start, -first  # the other end of the interval, as seen from here
        limit = None  # a step that was too far
        while True:
            while self.is_too_far() and self.left > 0:
                limit = self.step
                by = _between(start, other, self.new, distance)
                by = max(min(by, self.limits.int * distance), (1 - self.limits.int) * distance)
                self.go(by)
                self.left -= 1
                distance -= by
            if self.is_too_far():
                return False
            if self.new.slope > self.limits.sig * start.slope:
                return True
            # What is left passes 0 where maxEval is no whole number. Torch7 then looks on, without an end.
            if self.left == 0 or self.left < -self.limits.most:
                return False
            by = self.bounded(_beyond(other, self.new, distance), distance, limit)
            other, distance = self.new, -by
            self.go(by)
            self.left -= 1

    def bounded(self, by: float, distance: float, limit: float | None) -> float:
        """An extrapolation that goes neither too far nor not far enough."""
        step, inside, farthest = self.step, self.limits.int, self.step * (self.limits.ext - 1)
        if not math.isfinite(by) or by < 0:
            return farthest if limit is None else (limit - step) / 2
        if limit is None:
            if by + step > step * self.limits.ext:
                return farthest
        elif by + step > limit:
            return (limit - step) / 2
        if by < -distance * inside:
            return -distance * inside
        if limit is not None and by < (limit - step) * (1 - inside):
            return (limit - step) * (1 - inside)
        return by


def _cubic(other: Point, new: Point, distance: float) -> tuple[Any, Any]:
    """Coefficients of the cubic through two points, as numbers that may be divided by 0."""
    f2, f3, d2, d3, z3 = map(np.float64, (new.loss, other.loss, new.slope, other.slope, distance))
    return 6 * (f2 - f3) / z3 + 3 * (d2 + d3), 3 * (f3 - f2) - z3 * (d3 + 2 * d2)


def _between(start: Point, other: Point, new: Point, distance: float) -> float:
    """From here to the minimum between here and the other end: of a parabola if here is high, else of a cubic."""
    with np.errstate(all="ignore"):
        if new.loss > start.loss:
            square = np.float64(other.slope * distance * distance)
            by = distance - 0.5 * square / (other.slope * distance + new.loss - other.loss)
        else:
            a, b = _cubic(other, new, distance)
            by = (np.sqrt(b * b - a * new.slope * distance * distance) - b) / a
    return float(by) if np.isfinite(by) else distance / 2


def _beyond(other: Point, new: Point, distance: float) -> float:
    """From here to the minimum of the cubic, away from the other end; not finite where there is none."""
    with np.errstate(all="ignore"):
        a, b = _cubic(other, new, distance)
        root = np.sqrt(b * b - a * new.slope * distance * distance)
        return float(-new.slope * distance * distance / (b + root))
