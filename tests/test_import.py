"""Importing the package brings nothing heavy along, and takes hardly longer than NumPy."""

import importlib
import warnings

import pytest
from samples import python

import pynngraph
from pynngraph import nn

HEAVY = ("matplotlib", "sklearn", "tqdm", "onnx", "onnxruntime", "torch", "scipy", "pandas", "graphviz", "setuptools",
         "distutils", "unittest", "cffi.api", "pycparser", "asyncio", "multiprocessing", "email", "http",
         "threadpoolctl")  # fmt: skip
GOAL = 0.010  # seconds beyond NumPy's own import; a goal, since a busy machine says little


def printed(code, **variables):
    """The words that some code prints."""
    done = python("-c", code, **variables)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_importing_brings_nothing_heavy_along():
    code = "import sys, numpy; before = set(sys.modules); import pynngraph; print(*(set(sys.modules) - before))"
    added = printed(code)
    assert "pynngraph" in added
    assert not [name for name in HEAVY if name in added]


def test_E1_importing_is_quick(tmp_path):
    code = "import time, numpy; a = time.perf_counter(); import pynngraph; print(time.perf_counter() - a)"
    # Compiled once, as an installed package is; "" means that Python may write what it compiled.
    variables = {"PYTHONPYCACHEPREFIX": str(tmp_path), "PYTHONDONTWRITEBYTECODE": ""}
    seconds = min(float(printed(code, **variables)[0]) for _ in range(4))
    if seconds > GOAL:
        with warnings.catch_warnings():
            warnings.simplefilter("always")
            warnings.warn(f"import takes {1e3 * seconds:.1f} ms beyond NumPy's", stacklevel=1)
    assert seconds < 50 * GOAL, "something heavy happens at import"


def test_all_that_is_exported_exists():
    missing = [name for name in pynngraph.__all__ if not hasattr(pynngraph, name)]
    assert not missing
    assert len(set(pynngraph.__all__)) == len(pynngraph.__all__)


@pytest.mark.parametrize(
    "name", ["gModule", "nest", "errors", "optim", "tree", "manualSeed", "setdefaulttensortype", "cpu_info", "dot"]
)
def test_names_of_the_surface_are_exported(name):
    assert name in pynngraph.__all__


def test_no_thread_starts_at_import():
    code = "import numpy, threading, os, pynngraph; print(threading.active_count())"
    assert printed(code) == ["1"]


def test_files_of_modules_that_come_later_hold_what_is_said_of_them():
    for file, names in nn._LATER.items():
        module = importlib.import_module(f"pynngraph.nn.{file}")
        assert sorted(names.split()) == sorted(getattr(module, "__all__", names.split()))
        assert all(getattr(pynngraph, name) is getattr(module, name) for name in names.split())
    assert not set(nn.NOW) & set(nn._FILES)
