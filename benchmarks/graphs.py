"""What the suite of graphs measured: a picture, a section of docs/performance.md, the table in README.md."""

from __future__ import annotations

import json
import statistics
from typing import TYPE_CHECKING, Any

from figures import COLOURS, OURS, figure, legend
from workloads import BOTH, FORWARD, PASSES

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

SUITE = "graphs"
NETS = ("seed", "mlp", "lstm", "nodes")
TITLES = {"table": "Tables", "linear": "One Linear"}
USUAL = "PyTorch"
BEGIN, END = "<!-- make bench-plot writes this: graphs -->", "<!-- end of what make bench-plot writes -->"
IDLE_LOAD = 0.5
MIB = 1 << 20

Run = dict[str, Any]


def load(path: Path) -> Run:
    """Return what one run of the suite wrote, nothing where there was none."""
    found: Run = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    return found


# ---- sections ------------------------------------------------------------------------------------


def section_of(text: str) -> str:
    """Return the section about graphs with its marks, nothing where there is none."""
    if BEGIN not in text:
        return ""
    return text[text.index(BEGIN) : text.index(END) + len(END)]


def with_section(text: str, section: str) -> str:
    """Return a text with another section about graphs."""
    return text.replace(section_of(text), f"{BEGIN}\n\n{section}\n{END}") if text else f"{BEGIN}\n\n{section}\n{END}"


# ---- the picture ---------------------------------------------------------------------------------


def draw(runs: dict[int, Run]) -> Any:
    """Draw how many times longer the peers take, one thread, a line for each net."""
    rows = [row for row in runs[min(runs)]["results"] if row["suite"] in NETS]
    names = list(dict.fromkeys(row["workload"] for row in rows))
    drawn, panels = figure(1, len(PASSES), 11, 1.2 + 0.24 * len(names))
    for panel, pass_ in zip(panels[0], PASSES, strict=True):
        own = [row for row in rows if row["pass"] == pass_]
        for peer in dict.fromkeys(peer for row in own for peer in row["ratios"]):
            points = [(row["ratios"][peer], names.index(row["workload"])) for row in own if peer in row["ratios"]]
            panel.scatter(*zip(*points, strict=True), s=26, color=COLOURS[peer], label=peer, zorder=3)
        panel.axvline(1, color=COLOURS[OURS], linewidth=1.8)
        panel.set_xscale("log")
        ends = [ratio for row in rows for ratio in row["ratios"].values()]
        panel.set_xlim(min(0.5, *ends) / 1.1, max(*ends, 2) * 1.1)
        ticks = [tick for tick in (0.5, 1, 2, 5, 10, 20, 50) if min(0.5, *ends) <= tick <= max(*ends, 2)]
        panel.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
        panel.minorticks_off()
        panel.set_ylim(len(names) - 0.5, -0.5)
        panel.set_yticks(range(len(names)), names if pass_ == PASSES[0] else [""] * len(names))
        panel.set_title(f"{pass_}: times longer than {OURS}", fontsize=9)
    legend(drawn, panels)
    return drawn


# ---- tables --------------------------------------------------------------------------------------


def write_table(runs: dict[int, Run]) -> str:
    """Return the table for README.md: nets, one thread."""
    run = runs[min(runs)]
    rows = [row for row in run["results"] if row["suite"] in NETS]
    return "".join(
        [
            f"float32, {_threads(min(runs))}: how many times longer others take than {OURS}; above 1 it is faster.\n",
            f"{_about(run)}\n\n",
            *_table(rows, aims=False),
            "\n![How many times longer the peers take](docs/images/graphs.svg)\n",
        ]
    )


def write_section(runs: dict[int, Run]) -> str:
    """Return the section of docs/performance.md."""
    lines = [SECTION]
    for threads, run in runs.items():
        lines.append(f"### Graphs, float32, {_threads(threads)}\n\n{_about(run)}\n")
        for suites in (NETS, ("table",), ("linear",)):
            rows = [row for row in run["results"] if row["suite"] in suites]
            if rows:
                lines += [f"\n{TITLES.get(suites[0], 'Nets')}:\n\n", *_table(rows, aims=True)]
        lines.append(f"\n{_summary(run['results'])}\n\n")
    lines += _slowed(runs)
    lines += _resources(runs)
    return "".join(lines)


SECTION = """## Graphs

![How many times longer the peers take](images/graphs.svg)

- Forward + backward gives the gradients of all inputs and parameters. Those of parameters add up in pynngraph, so
  each of its runs first sets them to zero; PyTorch and JAX return new ones.
- Forward is for inference: `evaluate()`, `inference_mode`. NumPy by hand is straight-line code with `out=`, every
  array allocated beforehand, slices of columns as views. ONNX Runtime and OpenVINO have bound buffers and no backward.
- Frozen (`freeze()`) says how many times faster pynngraph is when parameters cannot be written, as those of ONNX models
  cannot; the ratios are of parameters that can.
- Where gradients are copies of the gradient of the output, of sums, NumPy by hand and PyTorch hand that out itself,
  several times; those of pynngraph are arrays of their own.
- The best peer is the fastest of all of them in that run; before its name stands how many times as long it takes as
  pynngraph, in brackets the aim.
- LSTM cells are of primitive modules: two `Linear`, a sum, four parts, `Sigmoid`, `Tanh`, products and a sum; inputs
  are x, h and c, outputs h and c.

"""


def _threads(count: int) -> str:
    return f"{count} thread{'s' if count > 1 else ''}"


def _about(run: Run) -> str:
    about = run["about"]
    versions = ", ".join(f"{name} {version}" for name, version in about["versions"].items())
    text = f"{about['cpu']}, {about['cores']} cores, {about['isa']}; {versions}; {about['date']}"
    spread = statistics.median(times["spread"] for row in run["results"] for times in row["times"].values())
    text += f"{', quick rounds' if about['quick'] else ''}. Rounds of the same code differ by {spread:.0%} (median)."
    if about["load"] > IDLE_LOAD:
        text += f" **The machine was shared**: a load of {about['load']:.0f} before this ran."
    return text


def _table(rows: Sequence[Run], *, aims: bool) -> Iterable[str]:
    yield f"| | forward, µs | frozen | best peer | {USUAL} | forward + backward, µs | best peer | {USUAL} |\n"
    yield f"|{'---|' * 8}\n"
    both = {row["workload"]: row for row in rows if row["pass"] == BOTH}
    for row in rows:
        if row["pass"] == FORWARD:
            cells = [cell for each in (row, both[row["workload"]]) for cell in _cells(each, aims=aims)]
            yield f"| {row['workload']} | {' | '.join(cells)} |\n"


def _cells(row: Run, *, aims: bool) -> list[str]:
    time = row["times"][OURS]["median_us"]
    shown = f"{time:,.1f}" if time < 1000 else f"{time:,.0f}"
    peer, ratio = best_peer(row)
    aim = f" ({row['aim']:g})" if aims and row["aim"] else ""
    usual = row["ratios"].get(USUAL)
    cells = [shown, f"{ratio:.2f}{aim} {peer}", f"{usual:.1f}" if usual else ""]
    if row["pass"] == FORWARD:
        cells.insert(1, f"{row['frozen']:.2f}" if row["frozen"] else "")
    return cells


def best_peer(row: Run) -> tuple[str, float]:
    """Return who is fastest beside us, and how many times as long that takes."""
    return min(row["ratios"].items(), key=lambda item: float(item[1]))


def _summary(rows: Sequence[Run]) -> str:
    best = [best_peer(row)[1] for row in rows]
    ahead = sum(ratio >= 1 for ratio in best)
    met = sum(ratio >= row["aim"] > 0 for ratio, row in zip(best, rows, strict=True))
    wanted = sum(row["aim"] > 0 for row in rows)
    return f"Ahead of every peer in {ahead} of {len(rows)}; the aim met in {met} of {wanted}."


def _slowed(runs: dict[int, Run]) -> Iterable[str]:
    if len(runs) < 2:
        return
    alone, several = (
        {(row["workload"], row["pass"]): row["times"][OURS]["median_us"] for row in runs[threads]["results"]}
        for threads in (min(runs), max(runs))
    )
    factors = sorted(alone[key] / several[key] for key in alone if key in several)
    yield f"### {_threads(max(runs))} instead of {min(runs)}\n\n"
    yield f"Times as fast, over all graphs: median {statistics.median(factors):.2f}, least {factors[0]:.2f}, "
    yield f"most {factors[-1]:.2f}. The runs were apart, in processes of their own.\n\n"


def _resources(runs: dict[int, Run]) -> Iterable[str]:
    memory = runs[min(runs)]["resources"]["memory"]
    if memory:
        peers = list(memory[0]["peak_bytes"])
        yield "### Memory of a step of training\n\n"
        yield "The peak over three steps of forward + backward, MiB, with the net and its gradients; without\n"
        yield "what was there before: libraries, inputs, gradients of outputs. Held: parameters, inputs, gradients of\n"
        yield "both. float32.\n\n"
        yield f"| | held | {' | '.join(peers)} |\n|{'---|' * (len(peers) + 2)}\n"
        for row in memory:
            numbers = (row["held_bytes"], *(row["peak_bytes"][peer] for peer in peers))
            yield f"| {row['workload']} | {' | '.join(f'{number / MIB:.1f}' for number in numbers)} |\n"
        yield "\n"
    idle = runs[max(runs)]["resources"]["idle"]
    if idle:
        yield "### Threads that have nothing to do\n\n"
        yield f"Milliseconds of CPU in the second after runs of an MLP on {_threads(max(runs))}: "
        yield ", ".join(f"{name} {ms:.1f}" for name, ms in idle.items()) + ".\n"
