"""Modules and criterions. Everything here is also in :mod:`pynngraph` itself.

Files that only some nets need are imported when one of their names is first asked for: importing all would take longer
than importing the rest of the package.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from .affine import *  # noqa: F403
from .affine import __all__ as _affine
from .container import Concat, ConcatTable, Container, DepthConcat, MapTable, Parallel, ParallelTable, Sequential
from .criterion import *  # noqa: F403
from .criterion import __all__ as _criterion
from .dtype import getdefaulttensortype, setdefaulttensortype
from .module import Module
from .shape import *  # noqa: F403
from .shape import __all__ as _shapes
from .simple import *  # noqa: F403
from .simple import __all__ as _simple
from .table import *  # noqa: F403
from .table import __all__ as _tables
from .transfer import *  # noqa: F403
from .transfer import __all__ as _transfers

if TYPE_CHECKING:
    from . import tables
    from .composite import *  # noqa: F403
    from .convolution import *  # noqa: F403
    from .criterion_classes import *  # noqa: F403
    from .criterion_pairs import *  # noqa: F403
    from .criterion_regression import *  # noqa: F403
    from .criterion_tables import *  # noqa: F403
    from .decorator import *  # noqa: F403
    from .distance import *  # noqa: F403
    from .kmeans import Kmeans as Kmeans
    from .linear import *  # noqa: F403
    from .lookup import *  # noqa: F403
    from .noise import *  # noqa: F403
    from .normalization import *  # noqa: F403
    from .padding import *  # noqa: F403
    from .pooling import *  # noqa: F403
    from .product import *  # noqa: F403
    from .recurrent import *  # noqa: F403
    from .reduce import *  # noqa: F403
    from .stochastic import StochasticGradient as StochasticGradient
    from .upsampling import *  # noqa: F403

# The other files, and what is in them.
_LATER = {
    "composite": "CReLU Maxout",
    "convolution": (
        "SpatialConvolution SpatialConvolutionLocal SpatialConvolutionMM SpatialConvolutionMap "
        "SpatialDepthWiseConvolution SpatialDilatedConvolution SpatialFullConvolution "
        "SpatialFullConvolutionMap SpatialSubSampling TemporalConvolution TemporalRowConvolution "
        "TemporalSubSampling VolumetricConvolution VolumetricDilatedConvolution VolumetricFullConvolution"
    ),
    "criterion_classes": (
        "BCECriterion ClassNLLCriterion ClassSimplexCriterion CrossEntropyCriterion MarginCriterion "
        "MultiLabelMarginCriterion MultiLabelSoftMarginCriterion MultiMarginCriterion SoftMarginCriterion "
        "SpatialClassNLLCriterion"
    ),
    "criterion_pairs": (
        "CosineEmbeddingCriterion DistanceRatioCriterion HingeEmbeddingCriterion L1HingeEmbeddingCriterion "
        "MarginRankingCriterion"
    ),
    "criterion_regression": (
        "AbsCriterion DistKLDivCriterion L1Cost L1Penalty MSECriterion SmoothL1Criterion "
        "SpatialAutoCropMSECriterion WeightedMSECriterion"
    ),
    "criterion_tables": "ModuleCriterion MultiCriterion ParallelCriterion",
    "decorator": "Bottle Decorator DontCast GPU NaN PrintSize Profile WeightNorm",
    "distance": "Cosine Euclidean Normalize PairwiseDistance WeightedEuclidean",
    "kmeans": "Kmeans",
    "linear": "Bilinear IndexLinear LinearWeightNorm PartialLinear SparseLinear",
    "lookup": "LookupTable",
    "noise": "SpatialDropout VolumetricDropout WhiteNoise",
    "normalization": (
        "BatchNormalization LayerNormalization SpatialBatchNormalization SpatialContrastiveNormalization "
        "SpatialCrossMapLRN SpatialDivisiveNormalization SpatialLogSoftMax SpatialSoftMax "
        "SpatialSubtractiveNormalization VolumetricBatchNormalization"
    ),
    "padding": (
        "Padding SpatialReflectionPadding SpatialReplicationPadding SpatialZeroPadding VolumetricReplicationPadding"
    ),
    "pooling": (
        "FeatureLPPooling SpatialAdaptiveAveragePooling SpatialAdaptiveMaxPooling SpatialAveragePooling "
        "SpatialDilatedMaxPooling SpatialFractionalMaxPooling SpatialLPPooling SpatialMaxPooling "
        "SpatialMaxUnpooling TemporalDynamicKMaxPooling TemporalMaxPooling VolumetricAveragePooling "
        "VolumetricDilatedMaxPooling VolumetricFractionalMaxPooling VolumetricMaxPooling "
        "VolumetricMaxUnpooling"
    ),
    "product": "CosineDistance DotProduct MM MV",
    "recurrent": "GRU GRUCell LSTM LSTMCell RNN RNNCell Unrolled padSequences unroll",
    "reduce": "Max Mean Min Sum",
    "stochastic": "StochasticGradient",
    "upsampling": "PixelShuffle SpatialUpSamplingBilinear SpatialUpSamplingNearest UpSampling",
}
_FILES = {name: file for file, names in _LATER.items() for name in names.split()}

__all__ = [
    "Concat",
    "ConcatTable",
    "Container",
    "DepthConcat",
    "MapTable",
    "Module",
    "Parallel",
    "ParallelTable",
    "Sequential",
    "getdefaulttensortype",
    "setdefaulttensortype",
]
__all__ += _affine + _criterion + _shapes + _simple + _tables + _transfers  # noqa: PLE0605 - all lists of names
NOW = tuple(__all__)
__all__ += [*_FILES, "tables"]  # noqa: PLE0604


def __getattr__(name: str) -> Any:
    """Import a file when one of its names is first asked for."""
    if name == "tables":
        return import_module(".tables", __name__)
    if name not in _FILES:
        message = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(message)
    file = import_module(f".{_FILES[name]}", __name__)
    globals().update((each, getattr(file, each)) for each in _LATER[_FILES[name]].split())
    return globals()[name]
