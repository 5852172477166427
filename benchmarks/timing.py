"""Interleaved timing: every round times all contenders, in a random order.

Each is timed as its users have it, calls back to back, its own threads awake; nobody else's are. Threads of OpenBLAS
spin for 100 ms after a product, those of ONNX Runtime for 30 ms, those of OpenMP for 5 ms: whoever came next would
share a core with them. So each batch starts when all other threads of the process have gone to sleep, with calls that
are not timed, which wake those that take part.
"""

from __future__ import annotations

import gc
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from itertools import repeat
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from contenders import Contender


WARM_UP = 0.002  # seconds


@dataclass(frozen=True)
class Budget:
    """How long to look: `rounds` times a batch of calls that takes about `batch_seconds`.

    There are fewer rounds, but three at least, where all of them would take longer than `at_most`.
    """

    rounds: int
    batch_seconds: float
    at_most: float = 60.0


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
    def best(self) -> float:
        """What can be done at least; limits are that, whatever else kept the CPU busy meanwhile."""
        return min(self.seconds)

    @property
    def spread(self) -> float:
        """The interquartile range, as a part of the median."""
        low, high = np.percentile(self.seconds, (25, 75))
        return float((high - low) / self.median)

    def numbers(self) -> dict[str, float]:
        """Return what is written of it."""
        return {
            "median_us": self.median * 1e6,
            "min_us": self.best * 1e6,
            "spread": self.spread,
            "rounds": len(self.seconds),
            "calls_per_round": self.calls,
        }


def _batch(contender: Contender, calls: int) -> float:
    """Return the seconds that a call takes, over `calls` of them."""
    if contender.repeat is not None:
        return contender.repeat(calls) / calls
    run = contender.run
    start = time.perf_counter()
    for _ in repeat(None, calls):
        run()
    return (time.perf_counter() - start) / calls


def _calibrate(contender: Contender, batch_seconds: float) -> tuple[int, float]:
    """Return how many calls take about `batch_seconds`, and the seconds of one."""
    calls = 1
    while True:
        seconds = _batch(contender, calls)
        if batch_seconds / 8 < seconds * calls < batch_seconds * 8:  # something else may have had the CPU
            seconds = min(seconds, _batch(contender, calls))
        if seconds * calls > batch_seconds / 8:
            return max(1, round(batch_seconds / seconds)), seconds
        calls *= 4


def _settle() -> None:
    """Wait until all other threads of this process have gone to sleep, a second at most."""
    for _ in range(1000):
        if not _awake() - {threading.get_native_id()}:
            return
        time.sleep(1e-3)


def _awake() -> set[int]:
    """Return the threads of this process that run or want to; none where the system does not list them."""
    awake = set()
    for thread in Path("/proc/self/task").glob("*/stat"):
        with suppress(OSError):  # it has ended meanwhile
            if thread.read_text().rpartition(")")[2].split()[0] == "R":
                awake.add(int(thread.parent.name))
    return awake


def _rounds(budget: Budget, seconds: Iterable[float]) -> int:
    """Return how many rounds there is time for, at least three: a call may take longer than a batch should."""
    a_round = sum(max(WARM_UP, call) + max(budget.batch_seconds, call) for call in seconds)
    return min(budget.rounds, max(3, int(budget.at_most / a_round)))


def race(contenders: Sequence[Contender], budget: Budget) -> dict[str, Timing]:
    """Time all contenders against each other."""
    rng = np.random.default_rng(0)
    seconds: dict[str, list[float]] = {contender.name: [] for contender in contenders}
    calls: dict[str, int] = {}
    a_call: dict[str, float] = {}
    collecting = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        for contender in contenders:
            with contender.context():
                _settle()
                contender.run()
                calls[contender.name], seconds_of_one = _calibrate(contender, budget.batch_seconds)
            a_call[contender.name] = seconds_of_one
        for _ in range(_rounds(budget, a_call.values())):
            for i in rng.permutation(len(contenders)):
                contender = contenders[i]
                _settle()
                with contender.context():
                    # What the one before left in the caches is not timed.
                    _batch(contender, max(1, round(WARM_UP / a_call[contender.name])))
                    time_ = _batch(contender, calls[contender.name])
                seconds[contender.name].append(time_)
    finally:
        if collecting:
            gc.enable()
    return {name: Timing(tuple(times), calls[name]) for name, times in seconds.items()}
