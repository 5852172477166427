"""Time single kernels beside their peers and beside the limits of the machine, and print both."""

from __future__ import annotations

import re
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import limits
import products
from contenders import OURS, DisagreementError, compare
from elements import kernels
from kernels import ENGINE, Kernel
from timing import Budget, race
from tqdm import tqdm

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

SUITES: dict[str, Callable[[str], Iterator[Kernel]]] = {
    "gemm": products.gemm,
    "gemv": products.gemv,
    "kernels": kernels,
}


class Machine:
    """The probes for an instruction set, a number type and a number of threads."""

    def __init__(self, isa: str, dtype: str, threads: int) -> None:
        self.isa, self.dtype, self.threads = isa, dtype, threads

    def probes(self, kernel: Kernel) -> list[limits.Probe]:
        """Return what limits a kernel: the traffic at its own size, and multiply-adds if it does any."""
        traffic = kernel.traffic
        size = max(int(traffic.footprint or traffic.bytes), limits.PAGE)
        probes = limits.memory(self.isa, self.dtype, self.threads, traffic.inputs, size, writes=traffic.writes)
        if kernel.flops:
            probes.append(limits.multiply_add(self.isa, self.dtype, self.threads))
        return probes

    def table(self, budget: Budget) -> dict[str, Any]:
        """Measure the limits themselves: GFLOP/s of each instruction set, GB/s of each level."""
        arithmetic = {isa: limits.multiply_add(isa, self.dtype, self.threads) for isa in self._isas()}
        peaks = race([probe.contender for probe in _renamed(arithmetic)], budget)
        found: dict[str, Any] = {
            "GFLOP/s": {isa: probe.amount / peaks[isa].best / 1e9 for isa, probe in arithmetic.items()},
            "GB/s": {},
            "bytes": {level.name: level.footprint for level in limits.levels()},
        }
        for level in limits.levels():
            probes = {
                probe.kind: probe
                for inputs, writes in ((1, False), (1, True), (2, True))
                for probe in limits.memory(self.isa, self.dtype, self.threads, inputs, level.footprint, writes=writes)
            }
            timings = race([probe.contender for probe in _renamed(probes)], budget)
            found["GB/s"][level.name] = {
                kind: probe.amount / timings[kind].best / 1e9 for kind, probe in probes.items()
            }
        return found

    def _isas(self) -> list[str]:
        import pynngraph as nn  # noqa: PLC0415

        available = nn.cpu_info().available
        return list(available[: available.index(self.isa) + 1])


def _renamed(probes: dict[str, limits.Probe]) -> list[limits.Probe]:
    return [replace(probe, contender=replace(probe.contender, name=name)) for name, probe in probes.items()]


def choose(
    suites: Sequence[str], match: str, dtype: str, shapes: Sequence[tuple[str, products.Shape]] = ()
) -> list[Kernel]:
    """Return all kernels of some suites whose suite and title match a regular expression; of gemm, for other shapes."""
    made = {**SUITES, "gemm": partial(products.gemm, shapes=shapes)}
    return [
        kernel
        for suite in suites
        for kernel in made[suite](dtype)
        if re.search(match, f"{kernel.suite} {kernel.name}, {kernel.pass_}")
    ]


def run(
    kernels: Sequence[Kernel], peers: Sequence[str], machine: Machine, budget: Budget
) -> tuple[list[dict[str, Any]], list[str]]:
    """Time kernels.

    Also says where contenders computed something else. Those are not timed; all others are, for it takes minutes.
    """
    results, disagreements = [], []
    with tqdm(kernels, unit="kernel", leave=False) as bar:
        for kernel in bar:
            bar.set_description(f"{kernel.name}, {kernel.pass_}")
            try:
                results.append(_time(kernel, peers, machine, budget))
            except DisagreementError as error:
                disagreements.append(str(error))
    return results, disagreements


def _time(kernel: Kernel, peers: Sequence[str], machine: Machine, budget: Budget) -> dict[str, Any]:
    contenders = kernel.contenders(peers)
    compare(contenders, machine.dtype, [f"{kernel.name}, {kernel.pass_}"])
    probes = machine.probes(kernel)
    timings = race([*contenders, *(probe.contender for probe in probes)], budget)
    seconds = {contender.name: timings[contender.name].median for contender in contenders}
    # The time below which it cannot be: that of the slowest of what has to be done. Of ways to store, the fastest.
    least: dict[str, float] = {}
    for probe in probes:
        kind = "multiply-add" if probe.kind == "multiply-add" else "memory"
        amount = kernel.flops if kind == "multiply-add" else kernel.traffic.bytes
        time = amount * timings[probe.contender.name].best / probe.amount
        least[kind] = min(time, least.get(kind, time))
    bound, limit = max(least.items(), key=lambda item: item[1])
    best = seconds.get(ENGINE, seconds[OURS])
    is_product = kernel.suite == "gemm"
    amount = kernel.flops if is_product else kernel.traffic.bytes
    return {
        "suite": kernel.suite,
        "workload": kernel.name,
        "pass": kernel.pass_,
        "level": kernel.level,
        "dtype": machine.dtype,
        "threads": machine.threads,
        "flops": kernel.flops,
        "bytes": kernel.traffic.bytes,
        "rate": amount / best / 1e9,
        "rate_unit": "GFLOP/s" if is_product else "GB/s",
        "limit": {
            "by": bound,
            "us": limit * 1e6,
            "part": limit / best,
            "all_us": {kind: time * 1e6 for kind, time in least.items()},
        },
        "times": {name: timings[name].numbers() for name in seconds},
        "ratios": {name: time / seconds[OURS] for name, time in seconds.items() if name not in {OURS, ENGINE}},
        "kernel_ratios": {name: time / best for name, time in seconds.items() if name not in {OURS, ENGINE}},
    }


# ---- printing ------------------------------------------------------------------------------------


def print_limits(table: dict[str, Any], machine: Machine) -> None:
    """Print what the machine can do at best."""
    threads = f"{machine.threads} thread{'s' if machine.threads > 1 else ''}"
    peaks = ", ".join(f"{isa} {rate:,.0f}" for isa, rate in table["GFLOP/s"].items())
    print(f"\nLimits, {machine.dtype}, {threads}, measured now. Multiply-adds, GFLOP/s: {peaks}.")
    kinds = list(dict.fromkeys(kind for rates in table["GB/s"].values() for kind in rates))
    print(f"{'GB/s':10} {'bytes':>12}{''.join(f'{kind:>20}' for kind in kinds)}")
    for level, rates in table["GB/s"].items():
        columns = "".join(f"{rates[kind]:>20,.0f}" if kind in rates else f"{'':>20}" for kind in kinds)
        print(f"{level:10} {table['bytes'][level]:>12,}{columns}")


def print_table(results: Sequence[dict[str, Any]], peers: Sequence[str]) -> None:
    """Print a line for each kernel."""
    if not results:
        print("\nNo kernel has such a title.")
        return
    width = max(len(result["workload"]) for result in results)
    print("\nTimes of pynngraph: of a call as users make it, and of a prepared plan run from C, from which rate and")
    print("part of the limit follow. How many times longer the others take: than the call / than the prepared plan.")
    if any(result["suite"] != "kernels" for result in results):
        print(products.PEERS)
    print()
    heads = "".join(f"{peer:>16}" for peer in peers)
    print(f"{'':{width}} {'pass':10} {'call us':>12} {'plan us':>12} {'rate':>15} {'of limit':>17}{heads}")
    suite = ""
    for result in results:
        if result["suite"] != suite:
            suite = result["suite"]
            print(f"-- {suite} ".ljust(width + 72 + 16 * len(peers), "-"))
        times = result["times"]
        plan = f"{times[ENGINE]['median_us']:,.2f}" if ENGINE in times else "-"
        rate = f"{result['rate']:,.1f} {result['rate_unit']}"
        part = f"{result['limit']['part']:.0%} {result['limit']['by']}"
        print(
            f"{result['workload']:{width}} {result['pass']:10} {times[OURS]['median_us']:>12,.2f} {plan:>12} "
            f"{rate:>15} {part:>17}{''.join(_ratios(result, peer) for peer in peers)}"
        )


def _ratios(result: dict[str, Any], peer: str) -> str:
    if peer not in result["ratios"]:
        return f"{'-':>16}"
    return f"{result['ratios'][peer]:>9.2f} / {result['kernel_ratios'][peer]:.2f}".rjust(16)


def print_disagreements(disagreements: Sequence[str]) -> None:
    """Say which rows there are no times of."""
    if disagreements:
        print("\nNot timed, as the results differ by more than they may:")
        for text in disagreements:
            print(f"  {text}")
