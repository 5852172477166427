"""The suite `sweep`: small nets on one thread and on two, in one process. Two are to be no slower.

Calls come one right after another, as in a loop of training, and apart, as from a program that has other things
to do between them: then threads that wait have gone to sleep. A second thread needs a CPU that is free: what was
measured while other programs wanted one is not counted, where the system tells.
"""

from __future__ import annotations

import itertools
import os
import re
import time
from contextlib import suppress
from itertools import repeat
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from contenders import Arrays, with_pynngraph
from tqdm import tqdm
from workloads import PASSES, Graph, lstm, mlp

import pynngraph as nn

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

WIDTHS = (8, 16, 32, 64, 128, 256)
BATCHES = (1, 4, 16, 64, 256)
THREADS = (1, 2)
BACK_TO_BACK, APART = "back to back", "apart"
GAP = 500e-6  # seconds between calls that are apart
SLOWER = 1.03
PATIENCE = 0.2  # seconds until it is measured although other programs run
RETRIES = 4


def table(batch: int, width: int) -> Graph:
    """Return a sum of two arrays."""
    graph = Graph()
    graph.add(graph.input(batch, width), graph.input(batch, width))
    return graph


def nets() -> Iterator[tuple[str, Graph]]:
    """Name small nets of all kinds of steps."""
    for width, batch in itertools.product(WIDTHS, BATCHES):
        yield f"MLP of 3, {width} wide, batch {batch}", mlp(batch, width, width, width, width)
        yield f"LSTM cell, {width} units, batch {batch}", lstm(width, batch)
        yield f"CAddTable of 2, {width} wide, batch {batch}", table(batch, width)


def _running() -> int:
    """Return how many threads of all programs run or want to, this one too; 0 where that is not told."""
    with suppress(OSError, IndexError, ValueError):
        return int(Path("/proc/loadavg").read_text(encoding="ascii").split()[3].partition("/")[0])
    return 0


def _is_quiet() -> bool:
    """Wait until no other thread runs, a while at most; whether that came."""
    end = time.perf_counter() + PATIENCE
    while (count := _running()) > 1 and time.perf_counter() < end:
        time.sleep(1e-3)
    return count <= 1


def _calls(run: Callable[[], object], count: int, gap: float) -> float:
    """Return the seconds of a call."""
    total = 0.0
    if not gap:
        start = time.perf_counter()
        for _ in repeat(None, count):
            run()
        return (time.perf_counter() - start) / count
    for _ in repeat(None, count):
        end = time.perf_counter() + gap
        while (start := time.perf_counter()) < end:
            pass
        run()
        total += time.perf_counter() - start
    return total / count


def _ratio(run: Callable[[], object], rounds: int, seconds: float, gap: float) -> dict[str, float]:
    """Return the microseconds of a call with one and two threads, what can be had without being disturbed."""
    nn.set_num_threads(max(THREADS))  # plans are made for as many
    run()
    one = min(_calls(run, 5, 0) for _ in range(3))
    count = max(3, round(seconds / (one + gap)))
    times: dict[int, list[float]] = {threads: [] for threads in THREADS}
    disturbed = 0
    order = np.random.default_rng(0)
    while min(map(len, times.values())) < rounds and disturbed < RETRIES * rounds:
        for threads in order.permutation(THREADS):
            nn.set_num_threads(int(threads))
            quiet = _is_quiet()
            _calls(run, count, gap)  # so that threads are awake if they are to be
            a_call = _calls(run, count, gap)
            if quiet and _running() <= threads:
                times[int(threads)].append(a_call)
            else:
                disturbed += 1
    found = {f"us_{threads}": float(np.median(values)) * 1e6 for threads, values in times.items() if values}
    return {**found, "rounds": min(map(len, times.values())), "disturbed": disturbed}


def measure(dtype: str, *, quick: bool, match: str = "") -> list[dict[str, Any]]:
    """Time all nets whose names match a pattern."""
    if (os.cpu_count() or 1) < len(THREADS):
        return []
    rounds, seconds = (5, 0.001) if quick else (15, 0.003)
    before = nn.get_num_threads()
    results = []
    chosen = [(name, graph) for name, graph in nets() if re.search(match, name)]
    for (name, graph), pass_ in tqdm(list(itertools.product(chosen, PASSES)), unit="net", leave=False):
        run = with_pynngraph(graph, Arrays.of(graph, dtype), pass_).run
        for mode, gap in ((BACK_TO_BACK, 0), (APART, GAP)):
            row = _ratio(run, rounds, seconds * (1 if not gap else 4), gap)
            results.append({"net": name, "pass": pass_, "calls": mode, **row})
    nn.set_num_threads(before)
    return results


def print_results(results: list[dict[str, Any]]) -> None:
    """Print each net's times, and those that a second thread makes slower."""
    print("\nMicroseconds with one thread, with two, and how many times faster two are.\n")
    slower = []
    for row in results:
        if not {"us_1", "us_2"} <= row.keys():
            print(f"{row['net']:34} {row['pass']:16} {row['calls']:12}  never undisturbed")
            continue
        ratio = row["us_1"] / row["us_2"]
        line = f"{row['net']:34} {row['pass']:16} {row['calls']:12} {row['us_1']:9.2f} {row['us_2']:9.2f} {ratio:6.2f}"
        print(line)
        if ratio < 1 / SLOWER:
            slower.append(line)
    ratios = [row["us_1"] / row["us_2"] for row in results if {"us_1", "us_2"} <= row.keys()]
    if ratios:
        least, middle, most = np.percentile(ratios, (0, 50, 100))
        print(f"\n{len(ratios)} ratios, {least:.2f} to {most:.2f}, median {middle:.2f}; {len(slower)} are slower:")
    for line in slower:
        print(f"  {line}")
