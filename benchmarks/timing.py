"""Interleaved timing: every round times all contenders, in a random order."""

from __future__ import annotations

import gc
import time
from dataclasses import dataclass
from itertools import repeat
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from contenders import Contender


@dataclass(frozen=True)
class Budget:
    """How long to look: `rounds` times a batch of calls that takes about `batch_seconds`."""

    rounds: int
    batch_seconds: float


@dataclass(frozen=True)
class Timing:
    """Seconds of one call, in each round."""

    seconds: tuple[float, ...]
    calls: int  # in each round

    @property
    def median(self) -> float:
        """The number to report."""
        return float(np.median(self.seconds))

    @property
    def spread(self) -> float:
        """The interquartile range, as a part of the median."""
        low, high = np.percentile(self.seconds, (25, 75))
        return float((high - low) / self.median)


def _batch(run: Callable[[], object], calls: int) -> float:
    """Return the seconds that a call takes, over `calls` of them."""
    start = time.perf_counter()
    for _ in repeat(None, calls):
        run()
    return (time.perf_counter() - start) / calls


def _calibrate(run: Callable[[], object], batch_seconds: float) -> int:
    """Return how many calls take about `batch_seconds`."""
    calls = 1
    while True:
        seconds = _batch(run, calls)
        if seconds * calls > batch_seconds / 8:
            return max(1, round(batch_seconds / seconds))
        calls *= 4


def race(contenders: Sequence[Contender], budget: Budget) -> dict[str, Timing]:
    """Time all contenders against each other."""
    rng = np.random.default_rng(0)
    seconds: dict[str, list[float]] = {contender.name: [] for contender in contenders}
    calls: dict[str, int] = {}
    collecting = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        for contender in contenders:
            with contender.context():
                contender.run()
                calls[contender.name] = _calibrate(contender.run, budget.batch_seconds)
        for _ in range(budget.rounds):
            for i in rng.permutation(len(contenders)):
                contender = contenders[i]
                with contender.context():
                    contender.run()  # what the one before left in the caches is not timed
                    time_ = _batch(contender.run, calls[contender.name])
                seconds[contender.name].append(time_)
    finally:
        if collecting:
            gc.enable()
    return {name: Timing(tuple(times), calls[name]) for name, times in seconds.items()}
