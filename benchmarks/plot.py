"""Draw what the suites of graphs and of kernels measured, and write docs/performance.md: `make bench-plot`.

It takes the results of `make bench BENCH_ARGS='--suite graphs gemm gemv kernels'`, for each number type and
number of threads, and runs a quick benchmark for those that are not there yet. `PLOT_ARGS='--only graphs'`
leaves the rest of the page as it is. The table of graphs goes to README.md too.
"""

from __future__ import annotations

import argparse
import importlib.util
import itertools
import json
import math
import os
import statistics
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import graphs
from figures import COLOURS, ENGINE, OURS, figure, legend, save

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "results"
DOCS = HERE.parent / "docs"
SUITES = ("gemm", "gemv", "kernels")
RUNS = (("float32", 1), ("float64", 1), ("float32", 2), ("float64", 2))
CURVES = (ENGINE, OURS, "NumPy", "PyTorch", "ONNX Runtime", "OpenVINO")
FORMS = {"forward": "forward, x W'", "gradInput": "gradInput, g W", "gradWeight": "gradWeight += g' x"}
SWEEP = ", sweep: "  # in titles of rows of one op in many sizes
LEVELS = ("L1", "L2", "L3", "memory")

Rows = "Sequence[dict[str, Any]]"


def main() -> int:
    """Measure what is missing, draw, write."""
    options = parse_arguments()
    if importlib.util.find_spec("matplotlib") is None:
        print("The plots need matplotlib: pip install 'pynngraph[plot]'")
        return 1
    page, images = options.folder / "performance.md", options.folder / "images"
    images.mkdir(parents=True, exist_ok=True)
    measure(options.measure, options.only)
    pictures: dict[str, Any] = {}
    if "kernels" in options.only:
        runs = {key: run for key in RUNS if (run := load(*key))}
        pictures.update(gemm=draw_gemm(runs), bandwidth=draw_bandwidth(runs), roofline=draw_roofline(runs))
        held = graphs.section_of(page.read_text(encoding="utf-8")) if page.exists() else ""
        page.write_text(write_page(runs, held), encoding="utf-8")
    if graphs.SUITE in options.only:
        found = {threads: run for threads in (1, 2) if (run := graphs.load(_path(graphs.SUITE, "float32", threads)))}
        pictures[graphs.SUITE] = graphs.draw(found)
        for path, text in ((page, graphs.write_section(found)), (options.readme, graphs.write_table(found))):
            path.write_text(graphs.with_section(path.read_text(encoding="utf-8"), text), encoding="utf-8")
    for name, drawn in pictures.items():
        path = images / f"{name}.{options.format}"
        save(drawn, path)
        print(f"{path}: {path.stat().st_size / 1024:.0f} KiB")
    print(page)
    return 0


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0])
    parser.add_argument(
        "--measure",
        choices=("nothing", "missing", "quick", "full"),
        default="missing",
        help="what to measure first: nothing; quickly what is missing (default); all, quickly; all, in full",
    )
    parser.add_argument(
        "--only",
        nargs="+",
        choices=(graphs.SUITE, "kernels"),
        default=(graphs.SUITE, "kernels"),
        help="a part of the page (default: both)",
    )
    parser.add_argument("--readme", type=Path, default=DOCS.parent / "README.md", help="where the table goes too")
    parser.add_argument("--folder", type=Path, default=DOCS, help="where pictures and page go (default: docs)")
    parser.add_argument("--format", choices=("svg", "png"), default="svg", help="of the pictures (default: svg)")
    return parser.parse_args()


# ---- results -------------------------------------------------------------------------------------


def measure(what: str, only: Sequence[str]) -> None:
    """Run the benchmarks that are wanted, each number of threads in a process of its own."""
    parts = {"kernels": SUITES, graphs.SUITE: (graphs.SUITE,)}
    for dtype, threads in RUNS:
        if what == "nothing" or threads > (os.cpu_count() or 1):
            continue
        named = [suite for part in only for suite in parts[part]]
        if dtype != "float32" and graphs.SUITE in named:
            named.remove(graphs.SUITE)
        suites = [suite for suite in named if what != "missing" or not _path(suite, dtype, threads).exists()]
        if not suites:
            continue
        command = [sys.executable, str(HERE / "run.py"), "--dtype", dtype, "--threads", str(threads)]
        command += ["--json", str(RESULTS / "plot.json"), "--suite", *suites]
        command += [] if what == "full" else ["--quick"]
        subprocess.run(command, check=True)


def _path(suite: str, dtype: str, threads: int) -> Path:
    return RESULTS / f"{suite}-{dtype}-{threads}.json"


def load(dtype: str, threads: int) -> dict[str, Any]:
    """Return the rows of all suites, with the limits found beside the first of them."""
    found = [
        json.loads(path.read_text(encoding="utf-8"))
        for suite in SUITES
        if (path := _path(suite, dtype, threads)).exists()
    ]
    if not found:
        return {}
    return {**found[0], "kernels": [row for part in found for row in part["kernels"]]}


def seconds(row: dict[str, Any], name: str) -> float:
    """Return the median of a contender, NaN if it has none."""
    times = row["times"].get(name)
    return times["median_us"] * 1e-6 if times else math.nan


def best(row: dict[str, Any]) -> float:
    """Return our own seconds, of the prepared plan where there is one."""
    return seconds(row, ENGINE if ENGINE in row["times"] else OURS)


# ---- pictures ------------------------------------------------------------------------------------


def _style(name: str) -> dict[str, Any]:
    ours = name in {OURS, ENGINE}
    return {
        "color": COLOURS[name],
        "label": name,
        "marker": "o" if ours else ".",
        "markersize": 4,
        "linewidth": 1.8 if ours else 1.2,
        "linestyle": "--" if name == OURS else "-",
        "zorder": 3 if ours else 2,
    }


def _one_thread(runs: dict[Any, Any]) -> list[tuple[str, dict[str, Any]]]:
    return [(dtype, run) for (dtype, threads), run in runs.items() if threads == 1]


def draw_gemm(runs: dict[Any, Any]) -> Any:
    """Draw how much of the peak square products reach, against their size."""
    chosen = _one_thread(runs)
    drawn, panels = figure(len(chosen), len(FORMS), 11, 0.8 + 2.7 * len(chosen))
    for line, (dtype, run) in zip(panels, chosen, strict=True):
        rows = [row for row in run["kernels"] if row["workload"].startswith("square")]
        for panel, (form, title) in zip(line, FORMS.items(), strict=True):
            own = {round((row["flops"] / 2) ** (1 / 3)): row for row in rows if row["pass"] == form}
            powers = [size for size in sorted(own) if size & (size - 1) == 0]
            for name in CURVES:
                parts = {size: 100 * _part_of_peak(row, name) for size, row in own.items() if name in row["times"]}
                if parts:
                    panel.plot(powers, [parts[size] for size in powers], **_style(name))
                if name == ENGINE:
                    edges = [size for size in own if size not in powers]
                    panel.scatter(
                        edges,
                        [parts[size] for size in edges],
                        marker="x",
                        s=22,
                        color=COLOURS[name],
                        label="the same, 127, 129, 1000, 1023",
                        zorder=4,
                    )
            panel.set_xscale("log", base=2)
            panel.set_xticks([8, 32, 128, 512, 2048], ["8", "32", "128", "512", "2048"])
            panel.set_ylim(0, 100)
            panel.set_title(f"{title}, {dtype}", fontsize=9)
            panel.set_xlabel("rows = columns = depth")
        line[0].set_ylabel("% of the multiply-add peak")
    legend(drawn, panels)
    return drawn


def _part_of_peak(row: dict[str, Any], name: str) -> float:
    return float(row["limit"]["all_us"]["multiply-add"]) * 1e-6 / seconds(row, name)


def draw_bandwidth(runs: dict[Any, Any]) -> Any:
    """Draw the bandwidth of adding two arrays against their size, and that of products of one row by level."""
    chosen = _one_thread(runs)
    drawn, panels = figure(len(chosen), 2, 11, 0.8 + 2.9 * len(chosen))
    for line, (dtype, run) in zip(panels, chosen, strict=True):
        _draw_sweep(line[0], run, dtype)
        _draw_gemv(line[1], run, dtype)
    legend(drawn, panels)
    return drawn


def _draw_sweep(panel: Any, run: dict[str, Any], dtype: str) -> None:
    rows = [row for row in run["kernels"] if SWEEP in row["workload"]]
    sizes = [row["bytes"] / 1024 for row in rows]
    for name in CURVES:
        rates = [row["bytes"] / seconds(row, name) / 1e9 for row in rows]
        if not all(map(math.isnan, rates)):
            panel.plot(sizes, rates, **_style(name))
    limit = [row["bytes"] / row["limit"]["us"] / 1e3 for row in rows]
    panel.plot(sizes, limit, color="black", linewidth=1, linestyle=":", label="limit measured")
    panel.set_xscale("log", base=2)
    panel.set_yscale("log")
    ticks = [(4, "4 KiB"), (64, "64 KiB"), (1024, "1 MiB"), (16384, "16 MiB")]
    panel.set_xticks([size for size, _ in ticks], [text for _, text in ticks])
    panel.set_ylim(bottom=1)
    panel.set_yticks([1, 10, 100], ["1", "10", "100"])
    panel.set_title(f"sum of two arrays, {dtype}", fontsize=9)
    panel.set_xlabel("bytes of all three arrays")
    panel.set_ylabel("GB/s")
    for before, after in itertools.pairwise(rows):
        if before["level"] != after["level"]:
            edge = math.sqrt(before["bytes"] * after["bytes"]) / 1024
            panel.axvline(edge, color="#999999", linewidth=0.8)
            panel.text(edge, 1.1, f"{before['level']} ", ha="right", fontsize=8, color="#666666")


def _draw_gemv(panel: Any, run: dict[str, Any], dtype: str) -> None:
    rows = [
        row
        for row in run["kernels"]
        if row["suite"] == "gemv" and _group(row)[1] == "forward" and ": 1 x" in row["workload"]
    ]
    names = [name for name in CURVES if any(name in row["times"] for row in rows)]
    width = 0.8 / max(1, len(names))
    for k, name in enumerate(names):
        rates = [row["bytes"] / seconds(row, name) / 1e9 for row in rows]
        places = [place + (k - (len(names) - 1) / 2) * width for place in range(len(rows))]
        panel.bar(places, rates, width, color=COLOURS[name], zorder=2)
    for place, row in enumerate(rows):
        limit = row["bytes"] / row["limit"]["all_us"]["memory"] / 1e3
        panel.plot([place - 0.45, place + 0.45], [limit, limit], color="black", linewidth=1, linestyle=":", zorder=3)
    panel.set_yscale("log")
    panel.set_ylim(bottom=1)
    panel.set_yticks([1, 10, 100], ["1", "10", "100"])
    panel.grid(visible=False, axis="x")
    labels = [row["workload"].removeprefix("weights in ").replace(": ", "\n") for row in rows]
    panel.set_xticks(range(len(rows)), labels, fontsize=8)
    panel.set_title(f"Linear, one row, forward, {dtype}", fontsize=9)
    panel.set_ylabel("GB/s")


def draw_roofline(runs: dict[Any, Any]) -> Any:
    """Draw what products reach against their flops a byte, below the limits of arithmetic and of each level."""
    chosen = _one_thread(runs)
    drawn, panels = figure(1, len(chosen), 11, 4.4)
    markers = dict(zip(LEVELS, "osD^", strict=True))
    colours = dict(zip(LEVELS, ("#e69f00", "#009e73", "#0072b2", "#cc79a7"), strict=True))
    for panel, (dtype, run) in zip(panels[0], chosen, strict=True):
        limits = run["limits"]
        peak = limits["GFLOP/s"][run["about"]["isa"]]
        ends = (0.1, 1000.0)
        for place, level in enumerate(reversed(LEVELS)):
            rate = limits["GB/s"][level]["read"]
            panel.plot([ends[0], peak / rate], [ends[0] * rate, peak], color=colours[level], linewidth=1.2)
            text = f"reading {level}: {rate:.0f} GB/s"
            where = {"transform": panel.transAxes, "ha": "right"}
            panel.text(0.98, 0.04 + 0.05 * place, text, fontsize=8, color=colours[level], **where)
        lowest = min(peak / limits["GB/s"][level]["read"] for level in LEVELS)
        panel.plot([lowest, ends[1]], [peak, peak], color="black", linewidth=1.2)
        panel.text(ends[1], peak * 1.1, f"{run['about']['isa']}, {peak:.0f} GFLOP/s", fontsize=8, ha="right")
        for level in LEVELS:
            rows = [row for row in run["kernels"] if row["flops"] and row["level"] == level]
            panel.scatter(
                [row["flops"] / row["bytes"] for row in rows],
                [row["flops"] / best(row) / 1e9 for row in rows],
                s=14,
                marker=markers[level],
                color=colours[level],
                alpha=0.75,
                linewidths=0,
                label=f"product of arrays in {level}",
                zorder=3,
            )
        panel.set_xscale("log")
        panel.set_yscale("log")
        panel.set_xlim(*ends)
        panel.set_xticks([0.1, 1, 10, 100, 1000], ["0.1", "1", "10", "100", "1000"])
        panel.set_ylim(0.5, peak * 2)
        panel.set_yticks([1, 10, 100], ["1", "10", "100"])
        panel.set_title(f"prepared plans, {dtype}", fontsize=9)
        panel.set_xlabel("flops a byte")
        panel.set_ylabel("GFLOP/s")
    legend(drawn, panels)
    return drawn


# ---- the page ------------------------------------------------------------------------------------

HEAD = """# Performance

Graphs of modules beside their peers; single kernels beside their peers and beside the limits of the machine.
`make bench-plot` measures what it has no results of and writes this page and its pictures; nothing here was typed in.

## How it was measured

- All contenders in one process, in turns, in a random order that changes every round; the numbers are medians over
  rounds. Each number type and number of threads has a process of its own. Results are compared first: who computes
  something else is not timed.
- **pynngraph** is the call that a user makes, with all its checks: `graph.forward(x)`; of kernels `module.forward(x)`,
  `updateGradInput`, `accGradParameters`, `optim.sgd`. **pynngraph, prepared** is the plan behind a kernel, run from C
  with no Python in between: what the kernel takes.
- For kernels peers have the cheapest call that they know: NumPy and PyTorch with `out=` given, ONNX Runtime and
  OpenVINO with bound buffers. Products are without a bias; for them these two get a Gemm node. Forward its weights are
  constants, so that they are packed once, before anything is timed; for gradients they come with each run, and `+=` is
  a sum of zeros and the product. OpenVINO computes in float32 only.
- At two threads everybody's threads keep their own habits, which differ: after a product of theirs, OpenBLAS's spin for
  100 ms, ONNX Runtime's for 30 ms, OpenMP's (PyTorch) for 5 ms, pynngraph's for 0.1 ms, and whoever came next would
  share a core with them. So each contender starts when all threads of the process sleep, with calls that are not
  timed. Nobody is faster in a process of its own then (squares of 64 to 1024, within 1 %). Without the wait pynngraph,
  NumPy and ONNX Runtime seemed up to 2.0 times slower than they are, and PyTorch far more. To forbid spinning
  (`OMP_WAIT_POLICY=passive`, `OPENBLAS_THREAD_TIMEOUT`) would be no way out: it slows PyTorch down up to 9 times and
  NumPy up to 2.7 times.
- Two threads need both cores for themselves. On a machine that others use too, `chrt -f 1 make bench` puts the
  benchmark before them.
- Limits are measured in the same rounds by a C program, `benchmarks/limits.c`, for the same instruction set: chains of
  multiply-adds in registers, and reading, copying or adding arrays of the same size as the kernel's, with stores past
  the caches where that is faster, each in its best round. The limit of a kernel is the longer of both times. Bytes
  count once for each array, those of an array that is read and written twice.
- Absolute times differ from machine to machine and from minute to minute; ratios within one run are what counts.

"""


def write_page(runs: dict[Any, Any], of_graphs: str) -> str:
    """Return docs/performance.md, with a section about graphs that is there already."""
    about = next(iter(runs.values()))["about"]
    versions = ", ".join(f"{name} {version}" for name, version in about["versions"].items())
    dates = sorted({run["about"]["date"] for run in runs.values()})
    rounds = "quick rounds" if any(run["about"]["quick"] for run in runs.values()) else "full rounds"
    lines = [
        HEAD,
        f"{of_graphs or graphs.with_section('', '')}\n\n## Kernels\n\n",
        f"{about['cpu']}, {about['cores']} cores, {about['isa']}; {versions}; {', '.join(dates)}, {rounds}.\n\n",
        "### Limits\n\n",
        *_limits(runs),
        "\n### Products\n\n",
        "![How much of the peak square products reach](images/gemm.svg)\n\n",
        "![What products reach against their flops a byte](images/roofline.svg)\n\n",
        "How many times longer the peers take, the geometric mean over a group: than the call / than the prepared\n",
        "plan. Above 1 pynngraph is faster. `of limit` is the median of the prepared plans.\n",
        *_groups(runs, ("gemm", "gemv")),
        "\n### Everything else\n\n",
        "![Bandwidth against size](images/bandwidth.svg)\n",
        *_groups(runs, ("kernels",)),
    ]
    return "".join(lines)


def _limits(runs: dict[Any, Any]) -> Iterable[str]:
    yield "| | threads | " + " | ".join(f"{level}, read / copy / add GB/s" for level in LEVELS) + " | GFLOP/s |\n"
    yield "|---" * (len(LEVELS) + 3) + "|\n"
    for (dtype, threads), run in runs.items():
        rates = run["limits"]["GB/s"]
        columns = [
            " / ".join(f"{_fastest(rates[level], kind):.0f}" for kind in ("read", "copy", "add of 2"))
            for level in LEVELS
        ]
        peaks = ", ".join(f"{isa} {rate:.0f}" for isa, rate in run["limits"]["GFLOP/s"].items())
        yield f"| {dtype} | {threads} | {' | '.join(columns)} | {peaks} |\n"


def _fastest(rates: dict[str, float], kind: str) -> float:
    return max(rate for name, rate in rates.items() if name.removesuffix(", streaming") == kind)


def _groups(runs: dict[Any, Any], suites: Sequence[str]) -> Iterable[str]:
    for (dtype, threads), run in runs.items():
        rows = [row for row in run["kernels"] if row["suite"] in suites and SWEEP not in row["workload"]]
        if not rows:
            continue
        peers = list(dict.fromkeys(peer for row in rows for peer in row["ratios"]))
        yield f"\n#### {dtype}, {threads} thread{'s' if threads > 1 else ''}\n\n"
        yield f"| | pass | rows | of limit | {' | '.join(peers)} |\n"
        yield "|---" * (len(peers) + 4) + "|\n"
        for name, pass_ in dict.fromkeys(map(_group, rows)):
            own = [row for row in rows if _group(row) == (name, pass_)]
            part = statistics.median(row["limit"]["part"] for row in own)
            means = " | ".join(_means(own, peer) for peer in peers)
            yield f"| {name} | {pass_} | {len(own)} | {part:.0%} | {means} |\n"


def _group(row: dict[str, Any]) -> tuple[str, str]:
    return row["workload"].split(": ")[0], row["pass"]


def _means(rows: Rows, peer: str) -> str:
    own = [row for row in rows if peer in row["ratios"]]
    if not own:
        return ""
    return " / ".join(
        f"{statistics.geometric_mean(row[key][peer] for row in own):.2f}" for key in ("ratios", "kernel_ratios")
    )


if __name__ == "__main__":
    sys.exit(main())
