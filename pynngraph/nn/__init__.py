"""Modules and criterions. Everything here is also in :mod:`pynngraph` itself."""

from . import tables
from .affine import *  # noqa: F403
from .affine import __all__ as _affine
from .composite import *  # noqa: F403
from .composite import __all__ as _composites
from .container import Concat, ConcatTable, Container, DepthConcat, MapTable, Parallel, ParallelTable, Sequential
from .convolution import *  # noqa: F403
from .convolution import __all__ as _convolutions
from .criterion import *  # noqa: F403
from .criterion import __all__ as _criterion
from .criterion_classes import *  # noqa: F403
from .criterion_classes import __all__ as _criterions_of_classes
from .criterion_pairs import *  # noqa: F403
from .criterion_pairs import __all__ as _criterions_of_pairs
from .criterion_regression import *  # noqa: F403
from .criterion_regression import __all__ as _criterions_of_numbers
from .criterion_tables import *  # noqa: F403
from .criterion_tables import __all__ as _criterions_of_others
from .decorator import *  # noqa: F403
from .decorator import __all__ as _decorators
from .distance import *  # noqa: F403
from .distance import __all__ as _distances
from .dtype import getdefaulttensortype, setdefaulttensortype
from .kmeans import Kmeans
from .linear import *  # noqa: F403
from .linear import __all__ as _linear
from .lookup import *  # noqa: F403
from .lookup import __all__ as _lookup
from .module import Module
from .noise import *  # noqa: F403
from .noise import __all__ as _noises
from .normalization import *  # noqa: F403
from .normalization import __all__ as _normalizations
from .padding import *  # noqa: F403
from .padding import __all__ as _paddings
from .pooling import *  # noqa: F403
from .pooling import __all__ as _poolings
from .product import *  # noqa: F403
from .product import __all__ as _products
from .recurrent import *  # noqa: F403
from .recurrent import __all__ as _recurrent
from .reduce import *  # noqa: F403
from .reduce import __all__ as _reductions
from .shape import *  # noqa: F403
from .shape import __all__ as _shapes
from .simple import *  # noqa: F403
from .simple import __all__ as _simple
from .stochastic import StochasticGradient
from .table import *  # noqa: F403
from .table import __all__ as _tables
from .transfer import *  # noqa: F403
from .transfer import __all__ as _transfers
from .upsampling import *  # noqa: F403
from .upsampling import __all__ as _upsamplings

__all__ = [
    "Concat",
    "ConcatTable",
    "Container",
    "DepthConcat",
    "Kmeans",
    "MapTable",
    "Module",
    "Parallel",
    "ParallelTable",
    "Sequential",
    "StochasticGradient",
    "getdefaulttensortype",
    "setdefaulttensortype",
    "tables",
]
__all__ += _shapes + _simple + _tables + _transfers  # noqa: PLE0605 - all lists of names
__all__ += _normalizations + _paddings + _poolings + _upsamplings  # noqa: PLE0605
__all__ += _affine + _lookup + _products + _reductions  # noqa: PLE0605
__all__ += _criterion + _criterions_of_classes + _criterions_of_numbers  # noqa: PLE0605
__all__ += _criterions_of_others + _criterions_of_pairs  # noqa: PLE0605
__all__ += _composites + _decorators + _distances + _linear + _noises  # noqa: PLE0605
__all__ += _recurrent  # noqa: PLE0605
__all__ += _convolutions  # noqa: PLE0605
