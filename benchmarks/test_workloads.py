"""The table of workloads under pytest-benchmark.

`pytest benchmarks --benchmark-only` times all; `-k` selects, e.g. `-k "seed: and not PyTorch"`.
`run.py` interleaves the contenders and prints ratios; this is for what pytest-benchmark adds:
histograms, saved runs, comparison of one commit with another.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from contenders import MAKERS, NEEDS, OURS, installed, line_up
from workloads import PASSES, WORKLOADS, Workload

if TYPE_CHECKING:
    from pytest_benchmark.fixture import BenchmarkFixture

pytest.importorskip("pytest_benchmark", reason="pip install 'pynngraph[bench]'")

pytestmark = pytest.mark.filterwarnings("default")  # the peers' own


@pytest.mark.parametrize("name", MAKERS)
@pytest.mark.parametrize("pass_", PASSES)
@pytest.mark.parametrize("workload", WORKLOADS, ids=lambda workload: f"{workload.suite}: {workload.name}")
def test_workload(benchmark: BenchmarkFixture, workload: Workload, pass_: str, name: str) -> None:
    """Time one contender, after its numbers were found equal to pynngraph's."""
    if not installed(name):
        pytest.skip(f"{name} is not installed: {NEEDS[name][1]}")
    contenders = line_up(workload.graph, "float32", pass_, [] if name == OURS else [name])
    contender = contenders[-1]
    if contender.name != name:
        pytest.skip(f"{name} has no {pass_}")
    benchmark.group = f"{workload.name}, {pass_}"
    with contender.context():
        benchmark(contender.run)
