"""Torch7's ``nn`` and ``nngraph`` on a C engine: neural graphs that run and train on a CPU.

>>> import numpy as np, pynngraph as nn
>>> x = nn.Identity()()
>>> y = nn.Tanh()(nn.Linear(3, 2)(x))
>>> net = nn.gModule([x], [y])
>>> net.forward(np.zeros((4, 3))).shape
(4, 2)
"""

from typing import TYPE_CHECKING, Any

from . import errors, tree
from ._engine import VERSION as __version__
from ._engine import CpuInfo, cpu_info, get_num_threads, set_num_threads
from .graph.gmodule import gModule
from .graph.node import Node, nest
from .nn import *  # noqa: F403
from .nn import __all__ as _modules
from .random import manualSeed

if TYPE_CHECKING:
    from . import optim
    from .graph.debug import annotateNodes, setDebug
    from .graph.draw import dot
    from .graph.explain import explain
    from .graph.profile import profile
    from .graph.summary import summary
    from .nn import init

__all__ = [
    "CpuInfo",
    "Node",
    "__version__",
    "annotateNodes",
    "cpu_info",
    "dot",
    "errors",
    "explain",
    "gModule",
    "get_num_threads",
    "init",
    "manualSeed",
    "nest",
    "optim",
    "profile",
    "setDebug",
    "set_num_threads",
    "summary",
    "tree",
]
__all__ += _modules  # noqa: PLE0605 - a list of names that are in the modules


# Modules that are imported when they are first asked for.
_MODULES = {"init": ".nn.init", "optim": ".optim"}

# What is not needed at once, and the module that has it.
_LATER = {
    "annotateNodes": ".graph.debug",
    "dot": ".graph.draw",
    "explain": ".graph.explain",
    "profile": ".graph.profile",
    "setDebug": ".graph.debug",
    "summary": ".graph.summary",
}


def __getattr__(name: str) -> Any:
    """Import what is not needed at once when it is first asked for."""
    from importlib import import_module  # noqa: PLC0415

    if name in _MODULES:
        value: Any = import_module(_MODULES[name], __name__)
    elif name in _LATER:
        value = getattr(import_module(_LATER[name], __name__), name)
    else:
        message = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(message)
    globals()[name] = value
    return value
