"""What it costs to get from modules to a plan, a node; and what another batch size costs.

The steps are those of a first `forward`, taken one by one: there is no public way to time them apart.
"""

from __future__ import annotations

import gc
import itertools
import statistics
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from tqdm import tqdm

import pynngraph as nn
from pynngraph._engine import REAL, Plan
from pynngraph.nn.host import HostResults
from pynngraph.nn.lowering import Builder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pynngraph.graph.node import Node

PHASES = ("build", "pack", "lower", "plan")
FEATURES = 3  # of the arrays: few, for the sizes of arrays are not what is timed


# ---- a node -------------------------------------------------------------------------------------


def _chain(length: int) -> tuple[Node, Node]:
    first = node = nn.Identity()()
    for _ in range(length - 1):
        node = nn.Tanh()(node)
    return first, node


def _fan(width: int) -> tuple[Node, Node]:
    first = nn.Identity()()
    return first, nn.CAddTable()([nn.Tanh()(first) for _ in range(width)])


@dataclass(frozen=True)
class Subject:
    """A graph to be made: `make(size)` gives its first and last node."""

    name: str
    make: Callable[[int], tuple[Node, Node]]
    size: int
    nodes: int
    rounds: int


SUBJECTS = (
    Subject("chain of Tanh", _chain, 1_000, 1_000, 21),
    Subject("chain of Tanh", _chain, 10_000, 10_000, 7),
    Subject("chain of Tanh", _chain, 100_000, 100_000, 3),
    Subject("fan of Tanh, CAddTable", _fan, 10_000, 10_002, 7),
)


def _phases(subject: Subject, dtype: np.dtype[Any]) -> Iterator[float]:
    """Make the graph and its plan once; the seconds of each phase. The garbage collector runs, as it does for users."""
    gc.collect()
    times = [time.perf_counter()]
    first, last = subject.make(subject.size)
    times.append(time.perf_counter())
    graph = nn.gModule([first], [last])
    times.append(time.perf_counter())
    builder = Builder(dtype, HostResults())
    value = builder.input((FEATURES,), REAL, has_grad=True)
    builder.program.output(builder.lower(graph, value))
    builder.program.seal()
    times.append(time.perf_counter())
    plan = Plan(builder.program, dtype, [(FEATURES,)])
    times.append(time.perf_counter())
    assert min(plan.n_steps) > 0  # noqa: S101 - it is used until here, or it would be freed while it is timed
    return (end - start for start, end in itertools.pairwise(times))


def per_node(dtype: str, *, quick: bool) -> list[dict[str, Any]]:
    """Time all subjects: medians, in microseconds a node."""
    jobs = [subject for subject in SUBJECTS for _ in range(max(1, subject.rounds // (3 if quick else 1)))]
    seconds: dict[Subject, list[tuple[float, ...]]] = {subject: [] for subject in SUBJECTS}
    with tqdm(jobs, unit="graph", leave=False) as bar:
        for subject in bar:
            bar.set_description(f"{subject.name}, {subject.nodes:,} nodes")
            seconds[subject].append(tuple(_phases(subject, np.dtype(dtype))))
    results = []
    for subject, rounds in seconds.items():
        medians = [statistics.median(phase) / subject.nodes * 1e6 for phase in zip(*rounds, strict=True)]
        phases = dict(zip(PHASES, medians, strict=True))
        results.append({"graph": subject.name, "nodes": subject.nodes, "rounds": len(rounds), "us_per_node": phases})
    return results


# ---- batch sizes --------------------------------------------------------------------------------


def _small_graph(dtype: str) -> nn.gModule:
    x, x_p = nn.Identity()(), nn.Identity()()
    score = nn.CAddTable()([nn.Linear(3, 5)(x), nn.Linear(3, 5)(x_p)])
    graph: nn.gModule = nn.gModule([x, x_p], [score]).type(dtype)
    return graph


def _seconds(run: Callable[[Any], object], argument: object) -> float:
    start = time.perf_counter()
    run(argument)
    return time.perf_counter() - start


def batch_sizes(dtype: str, *, quick: bool) -> dict[str, float]:
    """Time forward calls of a small graph: medians, in microseconds."""
    small = range(1, 26)  # rows: so few that the products themselves take next to nothing
    batches = [[np.ones((rows, 3), dtype), np.ones((rows, 3), dtype)] for rows in small]
    kinds = ("the first forward of a graph", "a batch size for the first time", "back to a known batch size",
             "the same batch size again")  # fmt: skip
    seconds: dict[str, list[float]] = {kind: [] for kind in kinds}
    first, new, back, same = seconds.values()
    for _ in range(5 if quick else 20):
        forward = _small_graph(dtype).forward
        first.append(_seconds(forward, batches[0]))
        new.extend(_seconds(forward, batch) for batch in batches[1:])
        back.extend(_seconds(forward, batch) for batch in batches)
        same.extend(_seconds(forward, batches[-1]) for _ in batches)
    return {kind: statistics.median(times) * 1e6 for kind, times in seconds.items()}


# ---- printing -----------------------------------------------------------------------------------


def print_per_node(results: list[dict[str, Any]]) -> None:
    """Print a line for each graph."""
    width = max(len(result["graph"]) for result in results)
    print("\nFrom modules to a plan with its backward, microseconds a node: medians.\n")
    print(f"{'':{width}} {'nodes':>9}{''.join(f'{phase:>9}' for phase in (*PHASES, 'all'))}")
    for result in results:
        times = result["us_per_node"]
        columns = [*times.values(), sum(times.values())]
        numbers = "".join(f"{us:>9.2f}" for us in columns)
        print(f"{result['graph']:{width}} {result['nodes']:>9,}{numbers}")


def print_batch_sizes(times: dict[str, float]) -> None:
    """Print a line for each kind of call."""
    width = max(map(len, times))
    print("\nOne forward of a small graph (two Linear 3-5, CAddTable), microseconds: medians.\n")
    for name, us in times.items():
        print(f"{name:{width}} {us:>9.1f}")
