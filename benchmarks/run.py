"""Time pynngraph beside NumPy, PyTorch, ONNX Runtime and OpenVINO: `make bench`.

Prints, for every workload, pynngraph's time and how many times longer the others take, and writes
all numbers to a JSON file. Contenders are timed in one process, interleaved, with results that
were compared first. After that come, for pynngraph alone, the costs of making plans and of
importing it.

`--suite graphs` is all graphs, large ones too, with torch.compile and JAX; and peak memory of a step of
training, and what threads that idle cost. Aims are printed where they are missed. The suites gemm, gemv and
kernels are of single kernels, beside the limits of the machine, which are measured in the same run. The suite sweep
is of small nets on one thread and on two, which are to be no slower. They run when they are named; `--suite all` is
everything. Number types and numbers of threads have a process each.
"""

from __future__ import annotations

import argparse
import datetime as dt
import importlib.metadata
import importlib.util
import itertools
import json
import math
import os
import platform
import re
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import environment
from workloads import FORWARD, PASSES, SUITES, WORKLOADS, Workload

if TYPE_CHECKING:
    from collections.abc import Sequence

    from timing import Budget

RESULTS = Path(__file__).resolve().parent / "results" / "latest.json"
KERNELS = ("gemm", "gemv", "kernels")
RESOURCES = "resources"
COMPILE, IMPORT, SWEEP = "compile", "import", "sweep"  # suites without contenders
DEFAULT = (*SUITES, COMPILE, IMPORT)
GRAPHS, ALL = "graphs", "all"
WHOLE = {GRAPHS: (GRAPHS, *SUITES, RESOURCES)}  # names of several suites
WHOLE[ALL] = (*WHOLE[GRAPHS], COMPILE, IMPORT, SWEEP, *KERNELS)
SLOWER = 1.05  # by so much a second thread has to slow a graph down to be told


def main() -> int:
    """Run the benchmarks that the command line asks for."""
    options = parse_arguments()
    several = len(options.dtype) * len(options.threads) > 1
    return run_each(options) if several else run_one(options)


def run_one(options: argparse.Namespace) -> int:
    """Run the benchmarks of one number type and number of threads."""
    (options.dtype,), (options.threads,) = options.dtype, options.threads
    environment.prepare(options.threads)  # before anything imports NumPy
    if importlib.util.find_spec("tqdm") is None:
        print("The benchmarks need a few packages more: pip install 'pynngraph[bench]'")
        return 1
    import contenders  # noqa: PLC0415

    chosen = [
        workload
        for workload in WORKLOADS
        if workload.suite in options.suite
        and re.search(options.match, f"{workload.suite} {workload.name}")
        and (GRAPHS in options.suite or options.match or not workload.large)
    ]
    kernel_suites = [suite for suite in KERNELS if suite in options.suite]
    has_peers = bool(chosen or kernel_suites)
    peers = choose_peers(options) if has_peers else []
    about = describe(options, peers)
    for line in about["text"]:
        print(line)

    document: dict[str, Any] = {"about": about}
    try:
        if chosen:
            document["results"] = compare(chosen, peers, options)
        if kernel_suites:
            document.update(compare_kernels(kernel_suites, peers, options))
    except contenders.DisagreementError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    if RESOURCES in options.suite and not options.match:
        document["resources"] = measure_resources(options)
    if SWEEP in options.suite:
        document["sweep"] = measure_sweep(options)
    if COMPILE in options.suite:
        document["compile"] = measure_compiling(options)
    if IMPORT in options.suite:
        document["footprint"] = measure_footprint(repeats=7 if options.quick else 15)
        print_footprint(document["footprint"])
    save(document, options)
    return 1 if document.get("disagreements") else 0


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0])
    parser.add_argument("--quick", action="store_true", help="fewer and shorter rounds")
    parser.add_argument(
        "--suite",
        nargs="+",
        choices=(*WHOLE[ALL], ALL),
        default=DEFAULT,
        metavar="NAME",
        help=f"which ones: {', '.join((*DEFAULT, RESOURCES, SWEEP, *KERNELS))}; {GRAPHS}, which is those before "
        f"{COMPILE} and {RESOURCES}, with large graphs too; {ALL} (default: those before {RESOURCES})",
    )
    parser.add_argument(
        "--peers",
        nargs="+",
        metavar="NAME",
        help="who takes part: NumPy PyTorch 'ONNX Runtime' OpenVINO torch.compile JAX (default: those installed; the "
        "last two, which compile for seconds, with --suite graphs only, and not with --quick)",
    )
    parser.add_argument(
        "--match",
        default="",
        metavar="REGEX",
        help="only workloads whose suite and title match, e.g. 'gemm square: 127 .*forward'",
    )
    parser.add_argument(
        "--shapes",
        nargs="+",
        type=sizes,
        default=[],
        metavar="ROWSxDEPTHxCOLS",
        help="products of these shapes only: of a Linear from DEPTH to COLS for ROWS, e.g. 64x1000x10",
    )
    parser.add_argument("--random", type=int, default=0, metavar="N", help="products of N random shapes only")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="which random ones (default: 0)")
    parser.add_argument("--dtype", nargs="+", choices=("float32", "float64"), default=["float32"])
    parser.add_argument(
        "--threads",
        nargs="+",
        type=int,
        default=[1, 2][: environment.cpus()],
        choices=range(1, 65),
        metavar="N",
        help="threads that all may use (default: 1 2)",
    )
    parser.add_argument("--json", type=Path, default=RESULTS, help="where all numbers go")
    options = parser.parse_args()
    if options.shapes or options.random:
        options.suite = ["gemm"]
    options.suite = tuple(dict.fromkeys(suite for name in options.suite for suite in WHOLE.get(name, (name,))))
    return options


def choose_peers(options: argparse.Namespace, *, quietly: bool = False) -> list[str]:
    """Return who takes part, and say who does not, and why."""
    from contenders import CONTENDERS, FROZEN, OURS, installed  # noqa: PLC0415

    peers, say = [], (lambda _: None) if quietly else print
    for name, peer in CONTENDERS.items():
        if name in {OURS, FROZEN} or (options.peers and name not in options.peers):
            continue
        if not installed(name):
            say(f"not installed: {name} ({peer.install})")
        elif peer.compiles and not options.peers and (options.quick or GRAPHS not in options.suite):
            say(f"left out: {name}, which compiles for seconds (--suite graphs without --quick, or --peers)")
        else:
            peers.append(name)
    return peers


def sizes(text: str) -> tuple[int, ...]:
    """Read the three sizes of a product."""
    found = tuple(int(size) for size in text.split("x"))
    if len(found) != 3 or min(found) < 1:
        raise ValueError(text)
    return found


def run_each(options: argparse.Namespace) -> int:
    """Run every number type and number of threads in a process of its own: libraries read it when they are loaded.

    Their numbers go to files beside the one that was asked for.
    """
    status = 0
    suites = list(options.suite)
    for dtype, threads in itertools.product(options.dtype, options.threads):
        path = options.json.with_stem(f"{options.json.stem}-{dtype}-{threads}")
        command = [sys.executable, __file__, *sys.argv[1:], "--suite", *suites, "--dtype", dtype]
        command += ["--threads", str(threads), "--json", str(path)]
        status |= subprocess.run(command, check=False).returncode
        print(flush=True)
        suites = [suite for suite in suites if suite not in {COMPILE, IMPORT, SWEEP}]  # these have neither
        if not suites:
            break
    for dtype in options.dtype:
        paths = [options.json.with_stem(f"{options.json.stem}-{dtype}-{threads}") for threads in options.threads]
        print_slowed(*(json.loads(path.read_text(encoding="utf-8")) for path in paths if path.exists()))
    return status


# ---- measuring ----------------------------------------------------------------------------------


def compare(chosen: Sequence[Workload], peers: Sequence[str], options: argparse.Namespace) -> list[dict[str, Any]]:
    """Time the workloads and print what came."""
    from timing import Budget  # noqa: PLC0415

    print()
    budget = Budget(7, 0.004, at_most=4) if options.quick else Budget(21, 0.015)
    results = run(chosen, peers, options.dtype, budget)
    print_table(results, peers, options.dtype)
    print_summary(results)
    print_aims(results)
    print_noise(results)
    return results


def measure_resources(options: argparse.Namespace) -> dict[str, Any]:
    """Measure memory and idling, and print what came."""
    import resources  # noqa: PLC0415

    peers = [name for name in choose_peers(options, quietly=True) if name in resources.PEERS]
    results = resources.measure(peers, options.dtype, options.threads)
    resources.print_results(results)
    return results


def measure_sweep(options: argparse.Namespace) -> list[dict[str, Any]]:
    """Time small nets with one thread and with two, and print what came."""
    import sweep  # noqa: PLC0415

    results = sweep.measure(options.dtype, quick=options.quick, match=options.match)
    sweep.print_results(results)
    return results


def compare_kernels(suites: Sequence[str], peers: Sequence[str], options: argparse.Namespace) -> dict[str, Any]:
    """Time single kernels beside the limits of the machine and print what came."""
    import beside_limits  # noqa: PLC0415
    import products  # noqa: PLC0415
    from timing import Budget  # noqa: PLC0415

    import pynngraph as nn  # noqa: PLC0415

    budget = Budget(9, 0.001, at_most=1.5) if options.quick else Budget(21, 0.008, at_most=20)
    machine = beside_limits.Machine(nn.cpu_info().isa, options.dtype, options.threads)
    table = machine.table(budget)
    beside_limits.print_limits(table, machine)
    shapes = [("given", products.Shape(rows, cols, depth)) for rows, depth, cols in options.shapes]
    shapes += products.drawn(options.random, options.seed)
    chosen = beside_limits.choose(suites, options.match, options.dtype, shapes)
    results, disagreements = beside_limits.run(chosen, peers, machine, budget)
    beside_limits.print_table(results, peers)
    print_summary(results, "ratios", " with a call")
    print_summary(results, "kernel_ratios", " with a prepared plan")
    print_noise(results)
    beside_limits.print_disagreements(disagreements)
    return {"limits": table, "kernels": results, "disagreements": disagreements}


def save(document: dict[str, Any], options: argparse.Namespace) -> None:
    """Write all numbers; those of whole suites of graphs and kernels also to where plot.py looks for them."""
    parts = {options.json: document}
    if not (options.match or options.shapes or options.random):
        found = RESULTS.parent
        for suite in KERNELS:
            if suite in options.suite:
                rows = [row for row in document["kernels"] if row["suite"] == suite]
                path = found / f"{suite}-{options.dtype}-{options.threads}.json"
                parts[path] = {"about": document["about"], "limits": document["limits"], "kernels": rows}
        if GRAPHS in options.suite:
            kept = ("about", "results", "resources")
            path = found / f"{GRAPHS}-{options.dtype}-{options.threads}.json"
            parts[path] = {key: document[key] for key in kept}
    for path, part in parts.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(part, indent=1) + "\n", encoding="utf-8")
    print(f"\nall numbers: {options.json}")


def measure_compiling(options: argparse.Namespace) -> dict[str, Any]:
    """Time the making of plans and print what came."""
    import compiling  # noqa: PLC0415

    results = {
        "per_node": compiling.per_node(options.dtype, quick=options.quick),
        "batch_sizes_us": compiling.batch_sizes(options.dtype, quick=options.quick),
    }
    compiling.print_per_node(results["per_node"])
    compiling.print_batch_sizes(results["batch_sizes_us"])
    return results


def run(chosen: Sequence[Workload], peers: Sequence[str], dtype: str, budget: Budget) -> list[dict[str, Any]]:
    """Time every workload and pass."""
    from contenders import FROZEN, OURS, line_up  # noqa: PLC0415
    from timing import race  # noqa: PLC0415
    from tqdm import tqdm  # noqa: PLC0415

    itemsize = 4 if dtype == "float32" else 8
    results = []
    jobs = [(workload, pass_) for workload in chosen for pass_ in PASSES]
    with tqdm(jobs, unit="run", leave=False) as bar:
        for workload, pass_ in bar:
            bar.set_description(workload.name)
            timings = race(line_up(workload.graph, dtype, pass_, [FROZEN, *peers]), budget)
            ours = timings[OURS].median
            amount = workload.amount(pass_, itemsize)
            results.append(
                {
                    "suite": workload.suite,
                    "workload": workload.name,
                    "pass": pass_,
                    "dtype": dtype,
                    "aim": workload.aim(pass_),
                    "within_us": workload.within_us if pass_ == FORWARD and workload.within_us < math.inf else None,
                    "rate": amount / ours / 1e9 if amount else None,
                    "rate_unit": workload.counts,
                    "times": {name: timing.numbers() for name, timing in timings.items()},
                    "ratios": {name: timings[name].median / ours for name in peers if name in timings},
                    "frozen": ours / timings[FROZEN].median if FROZEN in timings else None,
                }
            )
    return results


def measure_footprint(repeats: int) -> dict[str, float]:
    """Return what pynngraph adds to an import of NumPy, and the size of its extension module."""
    code = (
        "import time; start = time.perf_counter(); import numpy; middle = time.perf_counter();"
        "import pynngraph; print(middle - start, time.perf_counter() - middle)"
    )
    command = [sys.executable, "-c", code]
    with tempfile.TemporaryDirectory() as folder:
        # Compiled once, by the first of the runs, whatever the settings of this machine are.
        settings = {**os.environ, "PYTHONPYCACHEPREFIX": folder}
        settings.pop("PYTHONDONTWRITEBYTECODE", None)
        runs = [
            subprocess.run(command, env=settings, capture_output=True, text=True, check=True).stdout.split()
            for _ in range(repeats + 1)
        ]
    numpy_times, own_times = zip(*runs[1:], strict=True)
    spec = importlib.util.find_spec("pynngraph._pynngraph")
    return {
        "numpy_import_ms": statistics.median(map(float, numpy_times)) * 1e3,
        "import_ms": statistics.median(map(float, own_times)) * 1e3,
        "extension_bytes": Path(spec.origin).stat().st_size if spec and spec.origin else 0,
    }


def describe(options: argparse.Namespace, peers: Sequence[str]) -> dict[str, Any]:
    """Return what the numbers depend on, as fields and as lines to print."""
    import pynngraph as nn  # noqa: PLC0415

    isa = nn.cpu_info().isa
    versions = {"pynngraph": nn.__version__, "Python": platform.python_version()}
    from contenders import CONTENDERS  # noqa: PLC0415

    versions.update((peer, importlib.metadata.version(CONTENDERS[peer].distribution)) for peer in peers)
    return {
        "cpu": cpu_name(),
        "cores": os.cpu_count(),
        "isa": isa,
        "dtype": options.dtype,
        "threads": options.threads,
        "versions": versions,
        "load": os.getloadavg()[0],  # before anything of this has run
        "date": dt.datetime.now(tz=dt.timezone.utc).date().isoformat(),
        "quick": options.quick,
        "text": [
            f"{cpu_name()}, {os.cpu_count()} cores; pynngraph uses {isa}",
            f"{options.dtype}, {options.threads} thread{'s' if options.threads > 1 else ''}",
            ", ".join(f"{name} {version}" for name, version in versions.items()),
        ],
    }


def cpu_name() -> str:
    """Return what the CPU calls itself."""
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


# ---- printing -----------------------------------------------------------------------------------


def print_table(results: Sequence[dict[str, Any]], peers: Sequence[str], dtype: str) -> None:
    """Print a line for each workload and pass."""
    width = max(len(result["workload"]) for result in results)
    heads = [f"{peer:>14}" for peer in peers]
    print("Times of pynngraph, medians; how many times faster it is when parameters are frozen;")
    print("and how many times longer the others take than when they are not: above 1, pynngraph")
    print(f"is faster. Everything in {dtype}.\n")
    print(f"{'':{width}} {'pass':16} {'time':>13} {'rate':>13} {'frozen':>7}{''.join(heads)}")
    suite = ""
    for result in results:
        if result["suite"] != suite:
            suite = result["suite"]
            print(f"-- {suite} ".ljust(width + 53 + 14 * len(peers), "-"))
        rate = f"{result['rate']:.1f} {result['rate_unit']}" if result["rate"] else ""
        ratios = [f"{result['ratios'][peer]:>13.2f}x" if peer in result["ratios"] else f"{'-':>14}" for peer in peers]
        time = f"{result['times']['pynngraph']['median_us']:,.2f} us"
        frozen = f"{result['frozen']:.2f}x" if result["frozen"] else ""
        print(f"{result['workload']:{width}} {result['pass']:16} {time:>13} {rate:>13} {frozen:>7}{''.join(ratios)}")


def print_aims(results: Sequence[dict[str, Any]]) -> None:
    """Print where the best peer does not take as many times as long as it should, the furthest first."""
    short = []
    for result in results:
        title, time = f"{result['workload']}, {result['pass']}", result["times"]["pynngraph"]["median_us"]
        if result["ratios"]:
            peer, ratio = min(result["ratios"].items(), key=lambda item: item[1])
            if ratio < result["aim"]:
                short.append((ratio / result["aim"], f"{ratio:.2f}x of {result['aim']:.2f}x  {title}: {peer}"))
        if result["within_us"] and time > result["within_us"]:
            short.append((result["within_us"] / time, f"{time:.2f} us of {result['within_us']:.2f} us  {title}"))
    if short:
        print("\nShort of the aim in:")
        for _, text in sorted(short):
            print(f"  {text}")


def print_slowed(*documents: dict[str, Any]) -> None:
    """Print graphs that more threads make slower than one. The runs were apart: small differences say nothing."""
    one = next((document for document in documents if document["about"]["threads"] == 1), {})
    alone = {(row["workload"], row["pass"]): row["times"]["pynngraph"]["median_us"] for row in one.get("results", ())}
    for document in documents:
        threads = document["about"]["threads"]
        for row in document.get("results", ()) if threads > 1 else ():
            time = row["times"]["pynngraph"]["median_us"]
            before = alone.get((row["workload"], row["pass"]), math.inf)
            if time > before * SLOWER:
                times = f"{before:,.2f} us with 1 thread, {time:,.2f} with {threads}"
                print(f"slower: {row['workload']}, {row['pass']}: {times}")


def print_footprint(footprint: dict[str, float]) -> None:
    """Print what an import takes."""
    print(
        f"\nimport pynngraph: {footprint['import_ms']:.1f} ms after NumPy's own "
        f"{footprint['numpy_import_ms']:.1f} ms; extension module: "
        f"{footprint['extension_bytes'] / 1024:.0f} KiB"
    )


def print_noise(results: Sequence[dict[str, Any]]) -> None:
    """Warn if something else kept the CPU busy."""
    spreads = [times["spread"] for result in results for times in result["times"].values()]
    spread = statistics.median(spreads)
    if spread > 0.1:
        print(f"\nNot to be trusted: rounds of the same code differ by {spread:.0%}. Is the CPU busy?")


def print_summary(results: Sequence[dict[str, Any]], ratios: str = "ratios", what: str = "") -> None:
    """Print where a peer is ahead, the furthest first."""
    behind = []
    for result in results:
        if not result[ratios]:
            continue
        peer, ratio = min(result[ratios].items(), key=lambda item: item[1])
        if ratio < 1:
            behind.append((ratio, f"{result['workload']}, {result['pass']}: {peer}"))
    ahead = len(results) - len(behind)
    print(f"\nAhead of every peer{what} in {ahead} of {len(results)}.")
    if behind:
        print("Behind the best peer in:")
        for ratio, title in sorted(behind):
            print(f"  {ratio:.2f}x  {title}")


if __name__ == "__main__":
    sys.exit(main())
