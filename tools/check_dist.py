"""Build the sdist, from it the wheel, and look at both as a stranger would.

Usage: python tools/check_dist.py, which leaves them in dist/.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import tempfile
import venv
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
DIST = ROOT / "dist"
# Of an sdist's many files, one of each kind that is easily forgotten.
IN_SDIST = (
    "LICENSE",
    "Makefile",
    "CMakeLists.txt",
    "build_ffi.py",
    "cmake/pynngraph.pc.in",
    "csrc/include/pynngraph.h",
    "csrc/ops.def",
    "pynngraph/py.typed",
    "tests/c/header_test.c",
    "tools/check_dist.py",
)
# Run with -I in an empty folder: what is imported is the wheel.
SMOKE = """
import importlib.metadata, pathlib, sys
import numpy as np
import pynngraph as nn
assert pathlib.Path(nn.__file__).is_relative_to(sys.prefix), nn.__file__
assert nn.__version__ == importlib.metadata.version("pynngraph"), nn.__version__
x = np.linspace(-1, 1, 6).reshape(2, 3)
assert np.allclose(nn.Tanh().forward(x), np.tanh(x))
"""


def only(pattern: str) -> Path:
    """Return the one file of dist/ that matches."""
    (path,) = DIST.glob(pattern)
    return path


def expect(condition: object, message: str) -> None:
    """End with a message unless the condition holds."""
    if not condition:
        sys.exit(f"check_dist: {message}")


def check_sdist(path: Path) -> None:
    """Check that all sources are there."""
    with tarfile.open(path) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    sources = (p.relative_to(ROOT).as_posix() for p in (ROOT / "csrc").rglob("*") if p.is_file())
    missing = sorted({*IN_SDIST, *sources} - names)
    expect(not missing, f"the sdist lacks {', '.join(missing)}")


def check_wheel(path: Path) -> None:
    """Check what is in the wheel and what it says that it runs on."""
    if sys.implementation.name == "cpython" and not sysconfig.get_config_var("Py_GIL_DISABLED"):
        expect("-cp310-abi3-" in path.name, f"{path.name} is not for every CPython from 3.10 on")
    names = zipfile.ZipFile(path).namelist()
    strange = [n for n in names if not re.match(r"pynngraph(-[^/]*\.dist-info)?/", n)]
    expect(not strange, f"the wheel holds {', '.join(strange)}")
    expect("pynngraph/py.typed" in names, "the wheel lacks py.typed")
    modules = {p.relative_to(ROOT).as_posix() for p in (ROOT / "pynngraph").rglob("*.py*") if p.is_file()}
    missing = sorted(m for m in modules - set(names) if not m.endswith(".pyc"))
    expect(not missing, f"the wheel lacks {', '.join(missing)}")
    with tempfile.TemporaryDirectory() as folder:
        venv.create(Path(folder) / "venv", with_pip=True)
        python = Path(folder) / "venv" / "bin" / "python"
        subprocess.run([python, "-m", "pip", "install", "--quiet", path], check=True)
        smoke = subprocess.run([python, "-I", "-c", SMOKE], check=False, cwd=folder)
        expect(smoke.returncode == 0, "the wheel does not work in an empty environment")


def main() -> None:
    """Build and check."""
    shutil.rmtree(DIST, ignore_errors=True)
    build = [sys.executable, "-m", "build", "--outdir", DIST, ROOT]
    log = subprocess.run(build, check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    expect(log.returncode == 0, f"the build failed:\n{log.stdout}")
    check_sdist(only("*.tar.gz"))
    check_wheel(only("*.whl"))
    for path in sorted(DIST.iterdir()):
        print(f"{os.path.relpath(path, ROOT)}: {path.stat().st_size / 1024:.0f} KiB")


if __name__ == "__main__":
    main()
