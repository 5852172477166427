"""Modules and criterions. Everything here is also in :mod:`pynngraph` itself."""

from . import tables
from .affine import *  # noqa: F403
from .affine import __all__ as _affine
from .container import ConcatTable, Container, ParallelTable, Sequential
from .convolution import *  # noqa: F403
from .convolution import __all__ as _convolutions
from .criterion import *  # noqa: F403
from .criterion import __all__ as _criterions
from .dtype import getdefaulttensortype, setdefaulttensortype
from .lookup import *  # noqa: F403
from .lookup import __all__ as _lookup
from .module import Module
from .product import *  # noqa: F403
from .product import __all__ as _products
from .reduce import *  # noqa: F403
from .reduce import __all__ as _reductions
from .shape import *  # noqa: F403
from .shape import __all__ as _shapes
from .simple import *  # noqa: F403
from .simple import __all__ as _simple
from .table import *  # noqa: F403
from .table import __all__ as _tables
from .transfer import *  # noqa: F403
from .transfer import __all__ as _transfers

__all__ = [
    "ConcatTable",
    "Container",
    "Module",
    "ParallelTable",
    "Sequential",
    "getdefaulttensortype",
    "setdefaulttensortype",
    "tables",
]
__all__ += _criterions + _shapes + _simple + _tables + _transfers  # noqa: PLE0605 - all lists of names
__all__ += _affine + _lookup + _products + _reductions  # noqa: PLE0605
__all__ += _convolutions  # noqa: PLE0605
