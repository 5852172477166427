"""Torch7's ``nn`` and ``nngraph`` on a C engine: neural graphs that run and train on a CPU.

>>> import numpy as np, pynngraph as nn
>>> x = nn.Identity()()
>>> y = nn.Tanh()(nn.Linear(3, 2)(x))
>>> net = nn.gModule([x], [y])
>>> net.forward(np.zeros((4, 3))).shape
(4, 2)
"""

from . import errors, optim, tree
from ._engine import VERSION as __version__
from ._engine import CpuInfo, cpu_info
from .graph.draw import dot
from .graph.gmodule import gModule
from .graph.node import Node, nest
from .nn import *  # noqa: F403
from .nn import __all__ as _modules
from .random import manualSeed

__all__ = [
    "CpuInfo",
    "Node",
    "__version__",
    "cpu_info",
    "dot",
    "errors",
    "gModule",
    "manualSeed",
    "nest",
    "optim",
    "tree",
]
__all__ += _modules  # noqa: PLE0605 - a list of names that are in the modules
