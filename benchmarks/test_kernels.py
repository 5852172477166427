"""The suites of single kernels: that contenders agree, that limits are limits, that plots are drawn.

`pytest benchmarks/test_kernels.py` times nothing and takes a minute.
"""

from __future__ import annotations

import json
import math
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import limits
import plot
import products
import pytest
from beside_limits import SUITES, Machine, choose, run
from contenders import CONTENDERS, FROZEN, OURS, compare, installed
from kernels import ENGINE
from run import sizes
from timing import Budget, Timing, race

import pynngraph as nn

if TYPE_CHECKING:
    from kernels import Kernel

pytestmark = pytest.mark.filterwarnings("default")  # the peers' own

PEERS = [name for name in CONTENDERS if name not in {OURS, FROZEN} and installed(name)]
SHORT = Budget(3, 1e-4, at_most=0.1)


def _small(dtype: str) -> list[Kernel]:
    """Return all kernels whose arrays are in the first two levels."""
    return [kernel for suite in SUITES.values() for kernel in suite(dtype) if kernel.level in {"L1", "L2"}]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_contenders_agree(dtype: str) -> None:
    """All of them leave the same numbers."""
    kernels = _small(dtype)
    assert {kernel.suite for kernel in kernels} == set(SUITES)
    for kernel in kernels:
        compare(kernel.contenders(PEERS), dtype, [f"{kernel.suite}, {kernel.name}, {kernel.pass_}"])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_titles_are_unique(dtype: str) -> None:
    """Rows are told apart by suite, name and pass."""
    for suite in SUITES.values():
        titles = [(kernel.name, kernel.pass_) for kernel in suite(dtype)]
        assert len(titles) == len(set(titles))


@pytest.mark.parametrize("isa", nn.cpu_info().available)
@pytest.mark.parametrize("threads", [1, 2])
def test_limits_of_each_isa(isa: str, threads: int) -> None:
    """They compile, run, and tell more than nothing."""
    lib = limits.compiled(isa, "float64")
    footprint = limits.levels()[2].footprint
    probes = [limits.multiply_add(isa, "float64", threads)]
    for inputs, writes in ((1, False), (1, True), (2, True), (4, True), (8, True)):
        probes += limits.memory(isa, "float64", threads, inputs, footprint, writes=writes)
    streaming = [probe for probe in probes if probe.kind.endswith("streaming")]
    assert len(streaming) == (4 if lib.limit_has_streaming() else 0)
    for probe in probes:
        assert 0 < race([probe.contender], SHORT)[probe.contender.name].best < 1
        if probe.kind != "multiply-add":
            assert 0.9 * footprint <= probe.amount <= footprint


def test_sums_of_limits_are_right() -> None:
    """A limit that skipped work would be none: the arrays are filled to their ends."""
    lib = limits.compiled(nn.cpu_info().isa, "float32")
    size = lib.limit_grain() * 2 * 3
    arrays = [limits.aligned(size // 4, "float32") for _ in range(3)]
    for place, array in enumerate(arrays):
        array.fill(place + 1)
    for streaming in (0, 1):
        arrays[2].fill(0)
        inputs = (limits.ctypes.c_void_p * 2)(*(array.ctypes.data for array in arrays[:2]))
        lib.limit_memory(inputs, 2, arrays[2].ctypes.data, streaming, size, 1, 2)
        assert (arrays[2] == 3).all()


def test_levels_grow() -> None:
    """A footprint belongs to its own level, and to the next one when the cache is full."""
    for level in limits.levels():
        assert limits.level_of(level.footprint) == level.name
        assert limits.level_of(level.size or math.inf) != level.name or level.name == "memory"


def test_rounds_are_bounded_by_time() -> None:
    """Slow contenders get fewer rounds, three at least; calls that are timed in C are timed there."""
    seconds = iter([0.5] * 100)
    slow = limits.Contender("slow", lambda: None, list, repeat=lambda calls: calls * next(seconds))
    timing = race([slow], Budget(50, 0.001, at_most=1))["slow"]
    assert timing == Timing((0.5, 0.5, 0.5), 1)


def test_a_batch_starts_when_other_threads_sleep() -> None:
    """What spins after a call of its own is not there any more when another contender is timed."""
    if not Path("/proc/self/task").exists():
        pytest.skip("this system does not list the threads of a process")
    ends: list[float] = []

    def spin() -> None:
        end = time.perf_counter() + 0.05
        while time.perf_counter() < end:
            pass
        ends.append(time.perf_counter())

    def run(calls: int) -> float:
        starts.append(time.perf_counter())
        return calls * 1e-3

    starts: list[float] = []
    thread = threading.Thread(target=spin)
    thread.start()
    race([limits.Contender("quick", lambda: starts.append(time.perf_counter()), list, repeat=run)], SHORT)
    thread.join()
    assert min(starts) >= ends[0]


def test_shapes_given_and_drawn() -> None:
    """The same seed draws the same products, in all forms, none of them too large; texts of other shapes are read."""
    drawn = list(products.drawn(40, seed=3))
    assert drawn == list(products.drawn(40, seed=3))
    assert len({shape for _, shape in drawn}) == 40
    assert all(min(shape) >= 1 and math.prod(shape) <= products.MOST for _, shape in drawn)
    kernels = choose(["gemm"], "", "float32", [*drawn, ("given", products.Shape(2, 4, 3))])
    assert len(kernels) == 41 * len(products.FORMS)
    assert {kernel.flops for kernel in kernels[-3:]} == {48}
    assert sizes("2x3x4") == (2, 3, 4)
    for wrong in ("2x3", "2x3x0", "2x3x4x5", "axbxc"):
        with pytest.raises(ValueError, match=r"\w"):
            sizes(wrong)


def test_number_types_and_threads_have_a_process_each(tmp_path: Path) -> None:
    """All of them are printed, and leave their numbers beside the file that was named."""
    script = Path(__file__).with_name("run.py")
    command = [sys.executable, str(script), "--quick", "--shapes", "2x3x4", "--threads", "1", "2"]
    command += ["--json", str(tmp_path / "all.json")]
    printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    assert printed.count("given: 2 x 3 -> 4 forward ") == 2
    for threads in (1, 2):
        found = json.loads((tmp_path / f"all-float32-{threads}.json").read_text(encoding="utf-8"))
        assert [row["threads"] for row in found["kernels"]] == [threads] * 3


def _results(match: str) -> dict[str, Any]:
    machine = Machine(nn.cpu_info().isa, "float32", 1)
    rows, disagreements = run(choose(list(SUITES), match, "float32"), PEERS[:1], machine, SHORT)
    assert not disagreements
    about = {"cpu": "a CPU", "cores": 1, "isa": machine.isa, "versions": {"NumPy": "2"}, "date": "2000-01-01"}
    return {"about": {**about, "quick": True}, "limits": machine.table(SHORT), "kernels": rows}


def test_rows_and_plots(tmp_path: Path) -> None:
    """A row has what was asked for, and from rows come pictures and a page with a line for each group."""
    found = _results("gemm square: (8|127) |gemv .*L1|kernels (add of 2, sweep: .* KiB|copy: L1)")
    assert {row["suite"] for row in found["kernels"]} == set(SUITES)
    for row in found["kernels"]:
        assert {OURS, ENGINE, *PEERS[:1]} == set(row["times"])
        assert row["rate"] > 0
        assert row["limit"]["part"] == pytest.approx(row["limit"]["us"] / row["times"][ENGINE]["median_us"])
        assert row["limit"]["us"] == max(row["limit"]["all_us"].values())
    runs = {("float32", 1): json.loads(json.dumps(found))}
    for draw in (plot.draw_gemm, plot.draw_bandwidth, plot.draw_roofline):
        path = tmp_path / "picture.svg"
        plot.save(draw(runs), path)
        assert "</svg>" in path.read_text(encoding="utf-8")
    page = plot.write_page(runs, "")
    for line in ("| square | gradWeight | 2 |", "| weights in L1 | forward | 3 |", "| copy | forward | 1 |"):
        assert line in page
