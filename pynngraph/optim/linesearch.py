"""Line search with the conditions of Wolfe."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from .. import memory
from .._engine import optim_dot
from .vectors import Array, Function, add, evaluate


class Trial(NamedTuple):
    """A step along the direction, and the loss, the gradient and its slope along the direction that it led to."""

    step: float
    loss: float
    gradient: Array
    slope: float


def lswolfe(
    feval: Function,
    x: Array,
    t: float,
    d: Array,
    f: float,
    g: Array,
    gtd: float,
    options: dict[str, Any] | None = None,
) -> tuple[float, Array, Array, float, int]:
    """Search along a direction for a step that satisfies the strong conditions of Wolfe, Torch7's ``optim.lswolfe``.

    First steps are lengthened until one is too far, then the interval before it is narrowed; both by the minimum of the
    cubic through two points and their slopes.

    Parameters
    ----------
    feval
        ``feval(x)`` gives the loss at x and its gradient there, an array like x.
    x
        The parameters, a contiguous array of float32 or float64; changed in place.
    t
        The first step to try.
    d
        The direction, an array like x.
    f, g, gtd
        The loss at x, its gradient there, and the sum of products of gradient and direction.
    options
        ``c1`` (1e-4), how much of the decrease that the slope promises is enough, ``c2`` (0.9), what of the slope may
        be left, ``tolX`` (1e-9), the shortest interval, ``maxIter`` (20).

    Returns
    -------
    The loss and the gradient where the search ends, x, which is there, the step, and how often the loss was computed.

    Source: Nocedal and Wright, Numerical optimization, algorithms 3.5 and 3.6; Schmidt's minFunc.

    Examples
    --------
    >>> import numpy as np, pynngraph as nn
    >>> def feval(x):
    ...     return float(x @ x), 2 * x
    >>> x = np.array([4.0])
    >>> f, g = feval(x)
    >>> f, g, x, t, n = nn.optim.lswolfe(feval, x, 2.0, -g, f, g, float(g @ -g))
    >>> x, t, n
    (array([0.]), 0.5, 2)
    """
    search = _Search(feval, x, t, d, Trial(0.0, f, memory.copy(g), gtd), options or {})
    best = search.narrowed(*search.bracket())
    search.go(best.step)
    return best.loss, best.gradient, x, best.step, search.count


class _Search:
    """A line search under way."""

    def __init__(self, feval: Function, x: Array, t: float, d: Array, start: Trial, options: dict[str, Any]) -> None:
        self.feval = feval
        self.x = x
        self.x_start = memory.copy(x)
        self.first_step = t
        self.direction = d
        self.start = start
        self.c1, self.c2 = options.get("c1", 1e-4), options.get("c2", 0.9)
        self.shortest = options.get("tolX", 1e-9)
        self.most = options.get("maxIter", 20) + 1  # the first trial is no iteration
        self.count = 0  # of trials

    def go(self, step: float) -> None:
        """Let x be where a step leads."""
        self.x[...] = self.x_start
        add(self.x, step, self.direction)

    def trial(self, step: float) -> Trial:
        """Look where a step leads."""
        self.go(step)
        self.count += 1
        loss, gradient = evaluate(self.feval, self.x)
        gradient = memory.copy(gradient)  # it may be overwritten at the next trial
        return Trial(step, loss, gradient, optim_dot(gradient, self.direction))

    def is_low(self, trial: Trial) -> bool:
        """Whether the loss has come down enough; no NaN has."""
        return bool(trial.loss <= self.start.loss + self.c1 * trial.step * self.start.slope)

    def is_flat(self, trial: Trial) -> bool:
        """Whether little of the slope is left."""
        return bool(abs(trial.slope) <= -self.c2 * self.start.slope)

    def bracket(self) -> tuple[Trial, Trial]:
        """Two trials between which there is one that will do; twice the same, if it will do itself."""
        last, new = self.start, self.trial(self.first_step)
        while self.count < self.most:
            if not self.is_low(new) or (self.count > 2 and new.loss >= last.loss):
                return last, new
            if self.is_flat(new):
                return new, new
            if new.slope >= 0:
                return last, new
            least = new.step + 0.01 * (new.step - last.step)
            last, new = new, self.trial(_extrapolated(last, new, least, 10 * new.step))
        return self.start, new

    def narrowed(self, first: Trial, second: Trial) -> Trial:
        """The best of an ever smaller interval, in the end."""
        pair = [first, second]
        stuck = False
        while self.count < self.most and first is not second:
            low = _lower(pair)
            high = 1 - low
            step, stuck = _inside(_interpolated(*pair), pair, stuck=stuck)
            new = self.trial(step)
            if not self.is_low(new) or new.loss >= pair[low].loss:
                pair[high] = new
            elif self.is_flat(new):
                return new
            else:
                if new.slope * (pair[high].step - pair[low].step) >= 0:
                    pair[high] = pair[low]
                pair[low] = new
            if abs((pair[0].step - pair[1].step) * new.slope) < self.shortest:
                break
        return pair[_lower(pair)]


def _lower(pair: list[Trial]) -> int:
    """Which has the lower loss; the first of two that are alike, or if the second has NaN."""
    return int(pair[1].loss < pair[0].loss)


def _inside(step: float, pair: list[Trial], *, stuck: bool) -> tuple[float, bool]:
    """A step that is not too near an end of the interval twice in a row; and whether it is now."""
    least, most = sorted((pair[0].step, pair[1].step))
    width = most - least
    if min(most - step, step - least) >= 0.1 * width:
        return step, False
    if not (stuck or step >= most or step <= least):
        return step, True
    return (most - 0.1 * width if most - step < step - least else least + 0.1 * width), False


def _interpolated(first: Trial, second: Trial) -> float:
    """The step between two that is the minimum of the cubic through them; the middle if there is none."""
    a, b = sorted((first, second), key=lambda trial: trial.step)
    if a.step == b.step:
        return a.step  # so short is the interval
    d1 = a.slope + b.slope - 3 * (a.loss - b.loss) / (a.step - b.step)
    square = d1 * d1 - a.slope * b.slope
    if square >= 0:
        d2 = math.sqrt(square)
        below = b.slope - a.slope + 2 * d2
        step = b.step - (b.step - a.step) * ((b.slope + d2 - d1) / below) if below else math.nan
        if not math.isnan(step):
            return min(max(step, a.step), b.step)
    return (a.step + b.step) / 2


def _extrapolated(first: Trial, second: Trial, least: float, most: float) -> float:
    """The step from `least` to `most` at which the cubic through two is lowest; the middle where it is nowhere finite.

    As a polynomial in u, the distance from the second: loss + slope u + b u² + a u³.
    """
    h = first.step - second.step
    rise = (first.loss - second.loss) / h
    b = (3 * rise - 2 * second.slope - first.slope) / h
    a = (first.slope + second.slope - 2 * rise) / (h * h)
    places = [least - second.step, most - second.step]
    square = b * b - 3 * a * second.slope
    if square >= 0:
        # Roots of the derivative slope + 2 b u + 3 a u², without differences of what is almost the same.
        q = -(b + math.copysign(math.sqrt(square), b))
        places += [above / below for above, below in ((q, 3 * a), (second.slope, q)) if below]
    best, lowest = (places[0] + places[1]) / 2, math.inf
    for u in places:
        value = u * (second.slope + u * (b + u * a))
        if places[0] <= u <= places[1] and value < lowest:
            best, lowest = u, value
    return second.step + best
