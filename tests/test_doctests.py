"""The examples in docstrings run as they stand."""

import doctest
import importlib
import pkgutil

import pytest

import pynngraph

NAMES = ["pynngraph", *(m.name for m in pkgutil.walk_packages(pynngraph.__path__, "pynngraph."))]

NEEDED = {"pynngraph.io.from_torch": "torch"}  # packages that examples need beside the package's own


@pytest.mark.parametrize("name", [name for name in NAMES if not name.endswith(("_pynngraph", "__main__"))])
def test_examples_run(name):
    if name in NEEDED:
        pytest.importorskip(NEEDED[name])
    assert doctest.testmod(importlib.import_module(name)).failed == 0


def test_every_exported_class_and_function_has_a_docstring():
    bare = [name for name in pynngraph.__all__ if not (getattr(pynngraph, name).__doc__ or "").strip()]
    assert not bare
