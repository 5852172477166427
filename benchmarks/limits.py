"""The limits of this machine, measured beside everything else by `limits.c`.

Nothing here is a constant of some machine: the compiler `cc` makes the probe for the instruction
set in use when a benchmark starts, and its probes are timed in turns with the contenders.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
import tempfile
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from contenders import Contender

if TYPE_CHECKING:
    from collections.abc import Callable

SOURCE = Path(__file__).with_name("limits.c")
FLAGS = ("-std=gnu11", "-O2", "-ffp-contract=fast", "-fno-tree-vectorize", "-fno-tree-slp-vectorize")
# What the compiler needs to be told, and how many bytes a vector has.
ISAS: dict[str, tuple[tuple[str, ...], int]] = {
    "scalar": ((), 0),
    "sse2": ((), 16),
    "avx2": (("-mavx2", "-mfma"), 32),
    "avx512": (("-mavx512f", "-mavx512dq", "-mavx512bw", "-mavx512vl", "-mfma"), 64),
    "neon": ((), 16),
}
PAGE = 4096
NO_COMPILER = "the limits are measured by a small C program: a compiler is missing, sudo apt install gcc"


class LimitsError(Exception):
    """The limits cannot be measured."""


# ---- the machine ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class Level:
    """A place where arrays live, and how many bytes of them all to look at there."""

    name: str
    size: int  # of the cache; 0 for memory
    footprint: int


@cache
def levels() -> tuple[Level, ...]:
    """The caches of this machine and its memory, each with a footprint that is well inside."""
    sizes = {1: 32 << 10, 2: 1 << 20, 3: 32 << 20}  # where the system does not tell
    for index in Path("/sys/devices/system/cpu/cpu0/cache").glob("index*"):
        if (index / "type").read_text().strip() != "Instruction":
            kib = int((index / "size").read_text().strip().removesuffix("K"))
            sizes[int((index / "level").read_text())] = kib << 10
    first, second, third = (sizes[level] for level in (1, 2, 3))
    return (
        Level("L1", first, first * 3 // 4),
        Level("L2", second, second // 2),
        Level("L3", third, max(min(third // 4, 8 << 20), 2 * second)),
        Level("memory", 0, min(2 * third, 256 << 20)),
    )


def level_of(footprint: float) -> str:
    """Name the smallest level that holds so many bytes; a part of it is left to everything else."""
    return next((level.name for level in levels() if footprint <= level.size * 0.8), "memory")


# ---- arrays --------------------------------------------------------------------------------------


def aligned(shape: int | tuple[int, ...], dtype: Any) -> np.ndarray[Any, Any]:
    """Return an array that starts at a cache line and is in memory already: the same luck for everybody."""
    dtype = np.dtype(dtype)
    count = int(np.prod(shape))
    memory = np.zeros(count * dtype.itemsize + 64, np.uint8)
    memory.fill(0)  # zeros of the system are no memory yet
    start = -memory.ctypes.data % 64
    return memory[start : start + count * dtype.itemsize].view(dtype).reshape(shape)


# ---- probes --------------------------------------------------------------------------------------


@dataclass
class Probe:
    """What is timed like a contender and tells a limit: how much of something a second."""

    kind: str  # "multiply-add", "read", "copy", "add of 4"; with "streaming" where stores are
    amount: float  # flops or bytes of one call
    contender: Contender
    held: list[Any] = field(default_factory=list, repr=False)


@cache
def compiled(isa: str, dtype: str) -> ctypes.CDLL:
    """Compile and load limits.c for an instruction set and a number type."""
    compiler = os.environ.get("CC") or shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        raise LimitsError(NO_COMPILER)
    real = {"float32": "float", "float64": "double"}[dtype]
    flags, width = ISAS[isa]
    lanes = max(1, width // np.dtype(dtype).itemsize)
    command = [*compiler.split(), *FLAGS, *flags, f"-DREAL={real}", f"-DLANES={lanes}"]
    with tempfile.TemporaryDirectory() as folder:
        library = Path(folder, f"limits_{isa}_{dtype}.so")
        command += ["-shared", "-fPIC", "-o", str(library), str(SOURCE), "-pthread"]
        made = subprocess.run(command, check=False, capture_output=True, text=True)
        if made.returncode:
            raise LimitsError(f"{' '.join(command)}\n{made.stderr}")
        lib = ctypes.CDLL(str(library))
    size, pointer, number = ctypes.c_size_t, ctypes.c_void_p, ctypes.c_int
    for name, result, arguments in (
        ("limit_flops", size, ()),
        ("limit_grain", size, ()),
        ("limit_has_streaming", number, ()),
        ("limit_multiply_add", ctypes.c_double, (size, number)),
        ("limit_memory", ctypes.c_double, (pointer, number, pointer, number, size, size, number)),
        ("repeat_forward", ctypes.c_double, (pointer, pointer, size)),
        ("repeat_backward", ctypes.c_double, (pointer, ctypes.c_int32, pointer, size)),
    ):
        function = getattr(lib, name)
        function.restype, function.argtypes = result, arguments
    return lib


def _probe(kind: str, amount: float, seconds: Callable[[int], float], held: list[Any]) -> Probe:
    def repeat(calls: int) -> float:
        total = seconds(calls)
        if total < 0:
            raise LimitsError("a thread could not be started")
        return total

    return Probe(kind, amount, Contender(f"limit: {kind}", lambda: repeat(1), list, repeat=repeat), held)


def multiply_add(isa: str, dtype: str, threads: int) -> Probe:
    """Multiply and add, in registers only."""
    lib = compiled(isa, dtype)
    return _probe(
        "multiply-add",
        float(lib.limit_flops() * threads),
        lambda calls: lib.limit_multiply_add(calls, threads),
        [],
    )


def memory(isa: str, dtype: str, threads: int, n_inputs: int, footprint: int, *, writes: bool = True) -> list[Probe]:
    """Read arrays and, if it `writes`, fill one more, all of them `footprint` bytes; only read one of them otherwise.

    Beyond the second level, where stores past the caches may be faster, there is a
    second probe with such stores.
    """
    lib = compiled(isa, dtype)
    n_inputs = n_inputs if writes else 1
    n_arrays = n_inputs + writes
    grain = lib.limit_grain() * threads
    size = max(grain, footprint // n_arrays // grain * grain)
    # Not all at the same place of a page: addresses that differ by pages alone look alike to a CPU.
    pitch = (size + PAGE - 1) // PAGE * PAGE + 5 * 64
    block = aligned(n_arrays * pitch, np.uint8)
    addresses = [block.ctypes.data + k * pitch for k in range(n_arrays)]
    inputs = (ctypes.c_void_p * n_inputs)(*addresses[:n_inputs])
    out = addresses[-1] if writes else None
    kind = "read" if not writes else "copy" if n_inputs == 1 else f"add of {n_inputs}"
    amount = float(n_arrays * size)

    def made(kind: str, streaming: int) -> Probe:
        def seconds(calls: int) -> float:
            return float(lib.limit_memory(inputs, n_inputs, out, streaming, size, calls, threads))

        return _probe(kind, amount, seconds, [block])

    probes = [made(kind, 0)]
    if writes and footprint > levels()[1].size and lib.limit_has_streaming():
        probes.append(made(f"{kind}, streaming", 1))
    return probes
