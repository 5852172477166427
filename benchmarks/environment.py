"""Settings that have to be made before NumPy, PyTorch and ONNX Runtime are imported."""

from __future__ import annotations

import os


def prepare(threads: int) -> None:
    """Limit all libraries to `threads` threads, and let OpenBLAS choose its kernels itself."""
    for name in ("PYNNGRAPH_NUM_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = str(threads)
    for name in ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE"):
        os.environ.pop(name, None)
    # JAX has threads for the ops of a graph, and Eigen's within an op.
    os.environ["NPROC"] = os.environ["PJRT_NPROC"] = str(threads)
    os.environ["XLA_FLAGS"] = f"--xla_cpu_multi_thread_eigen={'true' if threads > 1 else 'false'}"
    os.environ["TORCHINDUCTOR_COMPILE_THREADS"] = "1"  # in this process: no workers that stay


def threads() -> int:
    """Return how many threads were allowed."""
    return int(os.environ["OMP_NUM_THREADS"])


def cpus() -> int:
    """Return how many CPUs this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
