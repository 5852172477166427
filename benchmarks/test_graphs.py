"""The suite of graphs: rows with aims, memory, idling, who takes part, and what is written of all that."""

from __future__ import annotations

import math
import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import contenders
import graphs
import plot
import pytest
import resources
import run
from timing import Budget
from workloads import FORWARD, PASSES, WORKLOADS, mlp

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.filterwarnings("default")  # the peers' own

SHORT = Budget(3, 1e-4, at_most=0.1)


def _workload(match: str) -> Any:
    (found,) = (workload for workload in WORKLOADS if match in workload.name)
    return found


def _results(**changes: Any) -> list[dict[str, Any]]:
    chosen = [replace(_workload("two 3x3"), **changes), _workload("CAddTable of 2, 1,000 "), _workload("64, 64 rows")]
    return run.run(chosen, ["NumPy"], "float32", SHORT)


def test_aims_that_are_missed_are_printed(capsys: pytest.CaptureFixture[str]) -> None:
    """A row that misses its aim is printed with both numbers; one that meets it is not."""
    run.print_aims(_results(aims=(1e6, 1e-6), within_us=1e-3))
    printed = [line for line in capsys.readouterr().out.splitlines() if "two 3x3" in line]
    assert len(printed) == 2
    assert any("of 1000000.00x  " in line and line.endswith("forward: NumPy") for line in printed)
    assert any(" us of 0.00 us  " in line for line in printed)


def test_graphs_that_threads_slow_down_are_printed(capsys: pytest.CaptureFixture[str]) -> None:
    """Only those, and only by more than a little."""
    rows = {1: [100.0, 100.0, 100.0], 2: [104.0, 106.0, 50.0]}
    documents = [
        {
            "about": {"threads": threads},
            "results": [
                {"workload": f"g{k}", "pass": FORWARD, "times": {"pynngraph": {"median_us": time}}}
                for k, time in enumerate(times)
            ],
        }
        for threads, times in rows.items()
    ]
    run.print_slowed(*documents)
    assert capsys.readouterr().out == "slower: g1, forward: 100.00 us with 1 thread, 106.00 with 2\n"


def test_page_picture_and_table(tmp_path: Path) -> None:
    """All rows are on the page, nets in README.md too; writing it again changes what was written, and no more."""
    about = {"cpu": "a CPU", "cores": 2, "isa": "avx2", "versions": {"NumPy": "2"}, "date": "2000-01-01", "quick": True}
    about["load"] = 3.2
    memory = [{"workload": "a net", "held_bytes": 1 << 20, "peak_bytes": {"pynngraph": 3 << 20, "PyTorch": 4 << 20}}]
    runs = {
        threads: {"about": about, "results": _results(), "resources": {"memory": memory, "idle": idle}}
        for threads, idle in ((1, {}), (2, {"pynngraph": 0.04, "NumPy": 2.96}))
    }
    plot.save(graphs.draw(runs), tmp_path / "picture.svg")
    assert "two 3x3, Linear 3-5 each, CAddTable" in (tmp_path / "picture.svg").read_text(encoding="utf-8")
    section = graphs.write_section(runs)
    for name in ("two 3x3", "CAddTable of 2, 1,000 each", "Linear 64-64, 64 rows"):
        assert section.count(f"| {name}") == 2
    assert "| a net | 1.0 | 3.0 | 4.0 |" in section
    assert "on 2 threads: pynngraph 0.0, NumPy 3.0." in section
    assert section.count("**The machine was shared**: a load of 3 ") == 2
    table = graphs.write_table(runs)
    assert "| two 3x3" in table
    assert "| Linear" not in table
    page = f"before\n{graphs.with_section('', 'old')}\nafter\n"
    once = graphs.with_section(page, section)
    assert graphs.with_section(graphs.with_section(once, table), section) == once
    assert once.startswith("before\n")
    assert once.endswith("\nafter\n")
    assert section in once
    assert "old" not in once


@pytest.mark.parametrize("arguments", [[], ["--suite", "graphs"], ["--suite", "all"], ["--suite", "lstm"]])
def test_suites(arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Names of several suites stand for them, and a run in a process of its own is told the same ones."""
    monkeypatch.setattr(sys, "argv", ["run.py", *arguments])
    suites = run.parse_arguments().suite
    assert ("resources" in suites) == (arguments[1:] in (["graphs"], ["all"]))
    assert ("gemm" in suites) == (arguments[1:] == ["all"])
    assert "lstm" in suites
    monkeypatch.setattr(sys, "argv", ["run.py", *arguments, "--suite", *suites])
    assert run.parse_arguments().suite == suites


@pytest.mark.parametrize(
    ("arguments", "compile_"),
    [([], False), (["--suite", "graphs"], True), (["--suite", "graphs", "--quick"], False), (["--quick"], False)],
)
def test_who_takes_part(
    arguments: list[str], compile_: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Those that compile for seconds only where time was given; who is named always; and it is said who does not."""
    monkeypatch.setattr(contenders, "installed", lambda name: name != "OpenVINO")
    monkeypatch.setattr(sys, "argv", ["run.py", *arguments])
    peers = run.choose_peers(run.parse_arguments())
    assert peers == ["NumPy", "PyTorch", "ONNX Runtime", *(["torch.compile", "JAX"] if compile_ else [])]
    printed = capsys.readouterr().out
    assert "not installed: OpenVINO (pip install" in printed
    assert ("left out: JAX" in printed) != compile_
    monkeypatch.setattr(sys, "argv", ["run.py", *arguments, "--peers", "JAX", "OpenVINO"])
    assert run.choose_peers(run.parse_arguments()) == ["JAX"]


def test_aims_and_amounts_of_the_table() -> None:
    """What a row says of itself follows from its graph."""
    workload = _workload("MLP 784-512-512-10, batch 64")
    products = 2 * 64 * (784 * 512 + 512 * 512 + 512 * 10)
    assert [workload.amount(pass_, 4) for pass_ in PASSES] == [products, 3 * products]
    assert [workload.aim(pass_) for pass_ in PASSES] == [1.1, 1.15]
    assert workload.held_bytes(4) == 2 * 4 * (64 * 784 + 785 * 512 + 513 * 512 + 513 * 10)
    assert [_workload("CMulTable of 4, 1,000 ").amount(pass_, 4) for pass_ in PASSES] == [20_000, 56_000]
    assert math.isinf(_workload("CAddTable of 2, 100,000 ").within_us)
    assert {graphs.NETS, ("table", "linear")} == {run.SUITES[:4], run.SUITES[4:]}


@pytest.mark.skipif(not resources.Path("/proc/self/clear_refs").exists(), reason="this system tells no peaks")
def test_memory_and_idling_are_measured() -> None:
    """A step takes at least what it has to hold, that of more rows more; a pool that idles takes next to nothing."""
    small, large = (_workload(f"MLP 784-512-512-10, batch {batch}") for batch in (64, 1024))
    peaks = resources._apart("pynngraph", "float32", 1, [small, large])  # noqa: SLF001
    parameters = sum(math.prod(value.shape) for value in mlp(1, 784, 512, 512, 10).params)
    assert 8 * parameters < peaks[0] < peaks[1] - 2 * 4 * 960 * 512
    (idle,) = resources._apart("pynngraph", "float32", 2)  # noqa: SLF001
    assert 0 <= idle < 20
    with pytest.raises(resources.subprocess.CalledProcessError):
        resources._apart("nobody", "float32", 1, [small])  # noqa: SLF001
