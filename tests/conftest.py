"""How the tests run: profiles of hypothesis, and what all tests share.

No test depends on the instruction set in use: the whole suite may be run with PYNNGRAPH_ISA set to
any that the machine offers.
"""

import os
from importlib.util import find_spec

import numpy as np
import pytest
from hypothesis import settings

import pynngraph as nn

# `default` tries the same examples at each run; `ci` and `expensive` look for new ones, and more.
# HYPOTHESIS_PROFILE=expensive make test
settings.register_profile("default", max_examples=60, deadline=None, derandomize=True)
settings.register_profile("ci", max_examples=200, deadline=None, print_blob=True)
settings.register_profile("expensive", max_examples=5000, deadline=None, print_blob=True)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))


# They are no tests, but all files are searched for examples.
collect_ignore = [] if find_spec("torch") else ["published_models.py", "torch_nets.py"]


@pytest.fixture(autouse=True)
def _same_random_numbers():
    nn.manualSeed(1)
    yield
    nn.setdefaulttensortype("float64")


@pytest.fixture
def rng():
    """Random numbers for inputs, the same at each run."""
    return np.random.default_rng(1)
