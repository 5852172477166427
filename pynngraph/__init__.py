"""Torch7's ``nn`` and ``nngraph`` on a C engine: neural graphs that run and train on a CPU.

>>> import numpy as np, pynngraph as nn
>>> x = nn.Identity()()
>>> y = nn.Tanh()(nn.Linear(3, 2)(x))
>>> net = nn.gModule([x], [y])
>>> net.forward(np.zeros((4, 3))).shape
(4, 2)
"""

from typing import TYPE_CHECKING, Any

from . import errors, nn, tree
from ._engine import VERSION as __version__
from ._engine import CpuInfo, cpu_info, get_num_threads, set_num_threads
from .graph.gmodule import gModule
from .graph.node import Node, nest
from .nn import NOW as _NOW
from .nn import __all__ as _modules
from .random import manualSeed

if TYPE_CHECKING:
    from . import optim
    from .graph.debug import annotateNodes, setDebug
    from .graph.draw import dot
    from .graph.explain import explain
    from .graph.profile import profile
    from .graph.summary import summary
    from .io.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
    from .io.files import load, save
    from .io.from_torch import from_torch
    from .io.onnx_export import to_onnx
    from .io.onnx_import import from_onnx
    from .io.to_c import to_c
    from .nn import *  # noqa: F403
    from .nn import init

__all__ = [
    "Checkpoint",
    "CpuInfo",
    "Node",
    "__version__",
    "annotateNodes",
    "cpu_info",
    "dot",
    "errors",
    "explain",
    "from_onnx",
    "from_torch",
    "gModule",
    "get_num_threads",
    "init",
    "load",
    "load_checkpoint",
    "manualSeed",
    "nest",
    "optim",
    "profile",
    "save",
    "save_checkpoint",
    "setDebug",
    "set_num_threads",
    "summary",
    "to_c",
    "to_onnx",
    "tree",
]
__all__ += _modules  # noqa: PLE0605 - a list of names that are in the modules


globals().update((name, getattr(nn, name)) for name in _NOW)

# Modules that are imported when they are first asked for.
_MODULES = {"init": ".nn.init", "optim": ".optim"}

# What is not needed at once, and the module that has it.
_LATER = {
    "Checkpoint": ".io.checkpoint",
    "annotateNodes": ".graph.debug",
    "dot": ".graph.draw",
    "explain": ".graph.explain",
    "from_onnx": ".io.onnx_import",
    "from_torch": ".io.from_torch",
    "load": ".io.files",
    "load_checkpoint": ".io.checkpoint",
    "profile": ".graph.profile",
    "save": ".io.files",
    "save_checkpoint": ".io.checkpoint",
    "setDebug": ".graph.debug",
    "summary": ".graph.summary",
    "to_c": ".io.to_c",
    "to_onnx": ".io.onnx_export",
}


def __getattr__(name: str) -> Any:
    """Import what is not needed at once when it is first asked for."""
    from importlib import import_module  # noqa: PLC0415

    if name in _MODULES:
        value: Any = import_module(_MODULES[name], __name__)
    elif name in _LATER:
        value = getattr(import_module(_LATER[name], __name__), name)
    elif name in _modules:
        value = getattr(nn, name)
    else:
        message = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(message)
    globals()[name] = value
    return value
