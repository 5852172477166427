"""How cffi builds `pynngraph._pynngraph`: the C engine and its binding, one extension module.

The declarations are the marked part of the public header; nothing is declared twice. The sources
are all of `csrc/**/*.c`: each file guards itself by architecture and none needs flags of its own.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from cffi import FFI

ROOT = Path(__file__).resolve().parent
HEADER = ROOT / "csrc" / "include" / "pynngraph.h"

# Called by the engine for steps that are done in Python; the types are those of `pnng_host`.
CALLBACKS = """
extern "Python" pnng_status pnng_host_infer(void *user, int64_t id, const pnng_shape *in,
    size_t n_in, pnng_shape *out, size_t n_out);
extern "Python" pnng_status pnng_host_forward(void *user, int64_t id, const void *const *in,
    size_t n_in, void *const *out, size_t n_out);
extern "Python" pnng_status pnng_host_backward(void *user, int64_t id, const void *const *in,
    size_t n_in, const void *const *grad_out, size_t n_out, void *const *grad_in,
    double scale, int32_t mask);
"""


def version() -> str:
    """Return the project's version; pyproject.toml is the one place that states it."""
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    # Not tomllib: Python 3.10 has none.
    return re.search(r'^version = "([0-9.]+)"$', text, re.MULTILINE)[1]


def declarations() -> str:
    """Return the marked part of the public header, as cffi reads it."""
    text = HEADER.read_text(encoding="utf-8")
    marked = re.search(r"/\* pnng:cdef begin.*?\*/\n(.*)/\* pnng:cdef end \*/", text, re.DOTALL)
    return marked[1].replace("PNNG_API ", "")


def files(*patterns: str) -> list[str]:
    """Return the files of csrc that match, sorted, relative to the root as setuptools wants."""
    found = {path for pattern in patterns for path in (ROOT / "csrc").rglob(pattern)}
    return sorted(path.relative_to(ROOT).as_posix() for path in found)


ffibuilder = FFI()
ffibuilder.cdef(declarations() + CALLBACKS)
ffibuilder.set_source(
    "pynngraph._pynngraph",
    '#include "pynngraph.h"',
    sources=files("*.c"),
    depends=files("*.h", "*.def", "*.inc"),
    include_dirs=["csrc/include"],
    # PNNG_BUILD stays undefined, so with hidden visibility the module exports its init alone.
    define_macros=[("PNNG_VERSION", f'"{version()}"')],
    libraries=["m", "pthread"],
    extra_compile_args=[
        "-std=c11",
        "-O2",
        "-g0",  # Python's own flags say -g: ten times the size; CMake's Debug build has it
        "-ffp-contract=off",
        "-fno-asynchronous-unwind-tables",  # a tenth of the module; nothing throws through it
        "-fvisibility=hidden",
        "-Wall",
        "-Wextra",
        "-Wno-unused-parameter",
        "-Wno-unused-function",
        *(["-Werror"] if os.environ.get("PYNNGRAPH_WERROR") == "1" else []),
    ],
    py_limited_api=True,
)

if __name__ == "__main__":
    ffibuilder.compile(verbose=True)
