"""The table of workloads: that all contenders compute the same; and the table under pytest-benchmark.

`pytest benchmarks/test_workloads.py --benchmark-skip` times nothing. `pytest benchmarks --benchmark-only` times all;
`-k` selects, e.g. `-k "seed: and not PyTorch"`. `run.py` interleaves the contenders and prints ratios; this is for what
pytest-benchmark adds: histograms, saved runs, comparison of one commit with another.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from contenders import CONTENDERS, OURS, Arrays, DisagreementError, installed, leaves, line_up
from workloads import BOTH, FORWARD, PASSES, WORKLOADS, Graph, Workload, deep, fan, lstm, mlp, pairs

if TYPE_CHECKING:
    from pytest_benchmark.fixture import BenchmarkFixture

pytest.importorskip("pytest_benchmark", reason="pip install 'pynngraph[bench]'")

pytestmark = pytest.mark.filterwarnings("default")  # the peers' own


def _peer(name: str) -> list[str]:
    if not installed(name):
        pytest.skip(f"{name} is not installed: {CONTENDERS[name].install}")
    return [] if name == OURS else [name]


def _everything() -> Graph:
    """Return a graph in which gradients meet, parts are used twice, once and by a linear, and weights are shared."""
    g = Graph()
    x, y = g.input(3, 8), g.input(3, 4)
    shared = g.weights(4, 4)
    left, right = g.chunk(x, 2)
    a = g.linear(left, 4, shared)
    b = g.linear(g.add(right, y, g.increment(left)), 4, shared)
    p, q = g.chunk(g.mul(g.sigmoid(a), b, g.relu(right)), 2)
    g.named = (g.tanh(g.add(p, q)), g.mul(a, y), b)
    return g


SMALL = {
    "every op": _everything(),
    "mlp": mlp(3, 5, 4, 4, 2),
    "mlp of one row": mlp(1, 5, 4, 2),
    "lstm": lstm(4, 3),
    "lstm of one row": lstm(4, 1),
    "lstm in time": lstm(4, 3, steps=3),
    "deep": deep(2),
    "fan": fan(2),
    "pairs": pairs(8),
}


@pytest.mark.parametrize("name", CONTENDERS)
@pytest.mark.parametrize("pass_", PASSES)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_contenders_agree(name: str, pass_: str, dtype: str) -> None:
    """All of them compute the same of small graphs of every kind, in every pass that they have."""
    peers = _peer(name)
    # Compiling takes seconds.
    graphs = [SMALL["every op"]] if CONTENDERS[name].compiles else SMALL.values()
    for graph in graphs:
        made = line_up(graph, dtype, pass_, peers)
        for contender in made[len(peers) :]:
            results = contender.results()
            wanted = [*graph.outputs, *(leaves(graph) if pass_ == BOTH else [])]
            assert [result.shape for result in results] == [value.shape for value in wanted]


@pytest.mark.parametrize("title", SMALL)
def test_gradients_are_derivatives(title: str) -> None:
    """What is compared is right: NumPy by hand gives derivatives of its own forward, in a direction of all leaves."""
    graph = SMALL[title]
    arrays = Arrays.of(graph, "float64", seed=1)
    make = CONTENDERS["NumPy"].make
    contender = make(graph, arrays, BOTH)
    contender.run()
    gradients = contender.results()[len(graph.outputs) :]
    rng = np.random.default_rng(2)
    directions = {leaf.number: rng.standard_normal(leaf.shape) for leaf in leaves(graph)}
    expected = sum(float((g * d).sum()) for g, d in zip(gradients, directions.values(), strict=True))

    def loss(step: float) -> float:
        moved = {number: array + step * directions[number] for number, array in arrays.data.items()}
        forward = make(graph, Arrays(moved, arrays.grad_outputs), FORWARD)
        forward.run()
        return sum(float((y * g).sum()) for y, g in zip(forward.results(), arrays.grad_outputs, strict=True))

    assert (loss(1e-6) - loss(-1e-6)) / 2e-6 == pytest.approx(expected, rel=1e-6)


def test_titles_are_unique() -> None:
    """Rows are told apart by suite and name."""
    titles = [(workload.suite, workload.name) for workload in WORKLOADS]
    assert len(titles) == len(set(titles))


def test_a_disagreement_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who computes something else is named, whatever numbers are drawn."""
    draws = []

    def wrong(graph: Graph, arrays: Arrays, pass_: str) -> object:
        draws.append(arrays)
        contender = CONTENDERS["NumPy"].make(graph, arrays, pass_)
        return type(contender)("NumPy", contender.run, lambda: [result + 1 for result in contender.results()])

    class Wrong:
        make = staticmethod(wrong)

    monkeypatch.setitem(CONTENDERS, "wrong", Wrong())
    with pytest.raises(DisagreementError, match="NumPy and pynngraph differ: output 0"):
        line_up(SMALL["fan"], "float64", FORWARD, ["wrong"])
    assert len(draws) == 1
    with pytest.raises(DisagreementError, match="NumPy and pynngraph differ: output 0"):
        line_up(SMALL["mlp"], "float64", FORWARD, ["wrong"])
    assert len(draws) > 2


@pytest.mark.parametrize("name", CONTENDERS)
@pytest.mark.parametrize("pass_", PASSES)
@pytest.mark.parametrize(
    "workload", [w for w in WORKLOADS if not w.large], ids=lambda workload: f"{workload.suite}: {workload.name}"
)
def test_workload(benchmark: BenchmarkFixture, workload: Workload, pass_: str, name: str) -> None:
    """Time one contender, after its numbers were found equal to pynngraph's."""
    contender = line_up(workload.graph, "float32", pass_, _peer(name))[-1]
    if contender.name != name:
        pytest.skip(f"{name} has no {pass_}")
    benchmark.group = f"{workload.name}, {pass_}"
    with contender.context():
        benchmark(contender.run)
