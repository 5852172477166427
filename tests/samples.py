"""Small modules and graphs that tests have in common."""

import copy
import os
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np

import pynngraph as nn

ROOT = Path(__file__).parent.parent

# The ways to copy a module.
COPIES = {
    "clone": lambda module: module.clone(),
    "deepcopy": copy.deepcopy,
    "pickle": lambda module: pickle.loads(pickle.dumps(module)),  # noqa: S301 - made by ourselves
}


def python(*arguments, **variables):
    """Run Python on something, with environment variables, as a user would."""
    path = os.pathsep.join(filter(None, (str(ROOT), str(ROOT / "tests"), os.environ.get("PYTHONPATH"))))
    environment = {**os.environ, "PYTHONPATH": path, **variables}
    command = [sys.executable, *arguments]
    return subprocess.run(  # noqa: S603 - our own code
        command, env=environment, capture_output=True, text=True, timeout=120, check=False
    )


def seed_graph():
    """Two inputs, two Linears, one sum."""
    in1, in2 = nn.Identity()(), nn.Identity()()
    score = nn.CAddTable()([nn.Linear(3, 5)(in1), nn.Linear(3, 5)(in2)])
    return nn.gModule([in1, in2], [score])


def mlp(inputs=3, outputs=2):
    net = nn.Sequential()
    for module in (nn.Linear(inputs, 4), nn.Tanh(), nn.Linear(4, outputs)):
        net.add(module)
    return net


def chain_graph(nodes):
    """A graph of so many nodes, one after another, with a skip at each."""
    first = node = nn.Identity()()
    for _ in range((nodes - 1) // 2):
        node = nn.CAddTable()([nn.Tanh()(node), first])
    return nn.gModule([first], [node])


def address(array):
    return array.__array_interface__["data"][0]


def normal(*shape, dtype=np.float64, seed=7):
    """The same normal numbers for the same shape."""
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)
