"""What time does not tell: the peak of memory of a step of training, and what threads cost that have nothing to do.

Both in a process for each contender. Peaks are those of the kernel, so this is for Linux.
"""

from __future__ import annotations

import argparse
import ctypes
import os
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import environment
from workloads import BOTH, PASSES, WORKLOADS, Workload, lstm, mlp

if TYPE_CHECKING:
    from collections.abc import Sequence

OURS = "pynngraph"
PEERS = ("NumPy", "PyTorch", "ONNX Runtime", "OpenVINO")
BESIDE = "PyTorch"  # in memory: NumPy by hand has an array for everything, the others do not train
NETS = ("mlp", "lstm", "nodes")
STEPS = 3
LEAST = 1 << 20  # bytes that a step has to hold, to be looked at: a process has some noise of its own
BUSY = 0.5  # seconds
IDLE = 1.0
MIB = 1 << 20


def measure(peers: Sequence[str], dtype: str, threads: int) -> dict[str, Any]:
    """Measure pynngraph and its peers: bytes for each workload, and with several threads the cost of idling."""
    if not Path("/proc/self/clear_refs").exists():
        print("\nThis system does not tell the peak of memory from a moment on.")
        return {"memory": [], "idle": {}}
    itemsize = 4 if dtype == "float32" else 8
    chosen = [workload for workload in WORKLOADS if workload.suite in NETS and workload.held_bytes(itemsize) >= LEAST]
    peaks = {name: _apart(name, dtype, threads, chosen) for name in (OURS, BESIDE) if name in {OURS, *peers}}
    rows = [
        {
            "suite": workload.suite,
            "workload": workload.name,
            "held_bytes": workload.held_bytes(itemsize),
            "peak_bytes": {name: values[k] for name, values in peaks.items()},
        }
        for k, workload in enumerate(chosen)
    ]
    idle = {name: _apart(name, dtype, threads)[0] for name in (OURS, *peers)} if threads > 1 else {}
    return {"memory": rows, "idle": idle}


def _apart(name: str, dtype: str, threads: int, workloads: Sequence[Workload] = ()) -> list[float]:
    """Measure in processes of their own."""
    command = [sys.executable, __file__, name, dtype, str(threads)]
    command += [str(WORKLOADS.index(workload)) for workload in workloads]
    printed = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    return [float(line) for line in printed.splitlines()]


# ---- in such a process -----------------------------------------------------------------------------


def _status(field: str) -> int:
    """Return bytes that the kernel tells of this process."""
    for line in Path("/proc/self/status").read_text(encoding="utf-8").splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) * 1024
    raise LookupError(field)


def _trim() -> None:
    """Give back what was freed and malloc has kept, where it can."""
    with suppress(AttributeError):
        ctypes.CDLL(None).malloc_trim(0)


def _memory(name: str, dtype: str, workload: Workload) -> float:
    """Return the bytes that some steps of training a net take at most at a time, and the net itself.

    Inputs and gradients of outputs are there before. What libraries take once, they have taken for small nets.
    """
    from contenders import CONTENDERS, Arrays  # noqa: PLC0415

    make = CONTENDERS[name].make
    for graph in (mlp(2, 8, 8, 8), lstm(8, 2)):
        make(graph, Arrays.of(graph, dtype), BOTH).run()
    arrays = Arrays.of(workload.graph, dtype)
    _trim()
    before = _status("VmRSS")
    contender = make(workload.graph, arrays, BOTH)
    _trim()  # what was freed while the net was made is no part of a step
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # the peak is what there is now
    for _ in range(STEPS):
        contender.run()
    return _status("VmHWM") - before


def _memory_of_each(name: str, dtype: str, workloads: Sequence[Workload]) -> None:
    """Print the bytes of each, measured in a fork: that is a fresh process, but has imported already.

    Nothing ran before, for not everybody's threads survive a fork.
    """
    import pynngraph as nn  # noqa: PLC0415

    nn.setdefaulttensortype(dtype)  # or nets would be converted, and what that frees would count
    if name == BESIDE:
        import torch  # noqa: F401, PLC0415
    for workload in workloads:
        sys.stdout.flush()
        if not (child := os.fork()):
            status = 1
            try:
                print(_memory(name, dtype, workload), flush=True)
                status = 0
            finally:
                os._exit(status)
        if os.waitpid(child, 0)[1]:
            raise SystemExit(f"{name} failed: {workload.name}")


def _idle(name: str, dtype: str) -> float:
    """Return the milliseconds of CPU in a second after a run that used all threads."""
    from contenders import CONTENDERS, Arrays  # noqa: PLC0415

    graph = mlp(256, 784, 512, 512, 10)
    made = (CONTENDERS[name].make(graph, Arrays.of(graph, dtype), pass_) for pass_ in reversed(PASSES))
    contender = next(contender for contender in made if contender is not None)
    with contender.context():
        end = time.perf_counter() + BUSY
        while time.perf_counter() < end:
            contender.run()
    before = time.process_time()
    time.sleep(IDLE)
    return (time.process_time() - before) * 1e3


# ---- printing ------------------------------------------------------------------------------------


def print_results(results: dict[str, Any]) -> None:
    """Print a line for each graph, and one for each contender."""
    rows = results["memory"]
    if rows:
        width = max(len(row["workload"]) for row in rows)
        print("\nPeak memory of a step of training, MiB, with parameters and gradients, without imports.")
        print("Held: inputs, parameters and the gradients of both.\n")
        print(f"{'':{width}} {'held':>9} {OURS:>10} {BESIDE:>10}")
        for row in rows:
            peaks = row["peak_bytes"]
            numbers = "".join(f"{peaks[name] / MIB:>11.1f}" if name in peaks else "" for name in (OURS, BESIDE))
            ratio = f"{peaks[BESIDE] / peaks[OURS]:>7.2f}x" if BESIDE in peaks else ""
            print(f"{row['workload']:{width}} {row['held_bytes'] / MIB:>9.1f}{numbers}{ratio}")
    if results["idle"]:
        print("\nMilliseconds of CPU in the second after a run of an MLP that used all threads:")
        print("  " + ", ".join(f"{name} {ms:.2f}" for name, ms in results["idle"].items()))


def main() -> None:
    """Measure one contender, in this process."""
    parser = argparse.ArgumentParser(description="One contender in this process: bytes, or milliseconds idle.")
    parser.add_argument("name")
    parser.add_argument("dtype")
    parser.add_argument("threads", type=int)
    parser.add_argument("workload", type=int, nargs="*", help="places in the table")
    options = parser.parse_args()
    environment.prepare(options.threads)
    if options.workload:
        _memory_of_each(options.name, options.dtype, [WORKLOADS[place] for place in options.workload])
    else:
        print(_idle(options.name, options.dtype))


if __name__ == "__main__":
    main()
