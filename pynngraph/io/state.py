"""What the state of a module of each class is made of, as one table, which files are checked against.

A row of :data:`CLASSES` names the attributes of a class, its parameters and its buffers. What an attribute is, its name
says, in all classes (:data:`NAMED`); where one class has it otherwise, its row does:

===================  ===================================================================================
``kW``               an attribute that must be there, of the kind that :data:`NAMED` gives
``size:sizes``       one of another kind, of :data:`KINDS`
``nInputDims~``      one that may be None
``ceil_mode?``       one that may be missing: the class has a default
``weight[n,kW*2]``   a parameter or buffer and its sizes: numbers, attributes, products of these, or names
                     for sizes that are only said to be equal
``weight=size``      one whose shape an attribute tells
``bias?[n]``         one that may be missing
``outW/ratioW``      one of the two
===================  ===================================================================================
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from math import isfinite, prod
from typing import Any, NamedTuple

import numpy as np

from .. import nn
from ..errors import Error
from ..graph.connections import check_connections
from ..graph.gmodule import gModule
from ..graph.node import Node, Place
from ..nn.container import ModuleList
from ..nn.criterion import Criterion
from ..nn.module import Module

_MOST = 1 << 53  # up to it, doubles tell all whole numbers apart
_TOKEN = re.compile(r"(?P<name>\w+)(?P<marks>[?~]*)(?::(?P<kind>\w+)|\[(?P<sizes>[^\]]+)\]|=(?P<shape>\w+))?")


class Kind(NamedTuple):
    """What an attribute can be."""

    says: str
    holds: Callable[[Any], bool]


def _is_whole(value: Any, least: int) -> bool:
    return type(value) is int and least <= value < _MOST


def _is_number(value: Any) -> bool:
    return type(value) is float or (type(value) is int and abs(value) < _MOST)


def _is_tuple(value: Any, holds: Callable[[Any], bool]) -> bool:
    return isinstance(value, tuple) and all(map(holds, value))


def _is_pair(value: Any) -> bool:
    return _is_tuple(value, lambda dim: _is_whole(dim, -_MOST)) and len(value) == 2


def _is_array(value: Any, kinds: str) -> bool:
    return isinstance(value, np.ndarray) and value.dtype.kind in kinds


KINDS = {
    "size": Kind("a whole number from 1", lambda value: _is_whole(value, 1)),
    "count": Kind("a whole number from 0", lambda value: _is_whole(value, 0)),
    "whole": Kind("a whole number", lambda value: _is_whole(value, -_MOST)),
    "seed": Kind("a whole number of 64 bits", lambda value: type(value) is int and 0 <= value < 1 << 63),
    "number": Kind("a number", _is_number),
    "finite": Kind("a finite number", lambda value: _is_number(value) and isfinite(value)),
    "positive": Kind("a number above 0", lambda value: _is_number(value) and value > 0),
    "share": Kind("a number from 0 to 1", lambda value: _is_number(value) and 0 <= value <= 1),
    "flag": Kind("true or false", lambda value: isinstance(value, bool)),
    "text": Kind("a text", lambda value: isinstance(value, str)),
    "sizes": Kind("a tuple of whole numbers", lambda value: _is_tuple(value, lambda size: _is_whole(size, -1))),
    "wholes": Kind("a tuple of whole numbers", lambda value: _is_tuple(value, lambda size: _is_whole(size, -_MOST))),
    "numbers": Kind("a tuple of numbers", lambda value: _is_tuple(value, _is_number)),
    "names": Kind("a tuple of texts", lambda value: _is_tuple(value, lambda name: isinstance(name, str))),
    "pairs": Kind("a tuple of pairs of dims", lambda value: _is_tuple(value, _is_pair)),
    "array": Kind("an array of numbers", lambda value: _is_array(value, "f")),
    "indices": Kind("an array of pairs of indices", lambda value: _is_array(value, "i") and value.shape[1:] == (2,)),
    "module": Kind("a module", lambda value: isinstance(value, Module)),
    "criterion": Kind("a criterion", lambda value: isinstance(value, Criterion)),
    "criterions": Kind(
        "a list of criterions",
        lambda value: isinstance(value, list) and all(isinstance(entry, Module) for entry in value),
    ),
    "modules": Kind("a list of modules", lambda value: isinstance(value, ModuleList)),
    "one": Kind("a list of one module", lambda value: isinstance(value, ModuleList) and len(value) == 1),
    "some": Kind("a list of modules, of at least one", lambda value: isinstance(value, ModuleList) and len(value) > 0),
    "place": Kind("a line of source", lambda value: isinstance(value, Place)),
    "list": Kind("a list", lambda value: isinstance(value, list)),
    "any": Kind("anything", lambda _value: True),
}

_BY_KIND = {
    "size": "T W H dH dT dW dilationH dilationT dilationW depthwiseMultiplier hiddenSize iH iW inputFrameSize "
    "inputSize inputsize kH kT kW minK n nClasses nInputPlane nLayers nOutputPlane nfeatures oH oW odepth "
    "oheight outH outT outW outputFrameSize outputSize outputsize owidth poolSizeH poolSizeT poolSizeW scale_factor "
    "stride truncate upscaleFactor width _fan_in maxPlans",
    "count": "adjH adjT adjW nInputDim nInputDims nInputs nOutputDim ndim numInputDims padH padT padW _version",
    "whole": "device dim dimension ignoreIndex index inputDimension length offset outdevice outputDim "
    "outputDimension pad pad_b pad_l pad_r pad_t paddingValue pback pbottom pfront pleft pos pright ptop id",
    "number": "alpha beta constant_scalar eps k l1weight lambda_ lower_bound margin max_val maxNorm mean min_val "
    "momentum negval pow std thresval threshold upper_bound val value",
    "finite": "factor",
    "positive": "norm normType p power",
    "share": "ratioH ratioT ratioW",
    "flag": "affine batch_mode bidirectional castTarget castin castout ceil_mode count_include_pad divide doGradInput "
    "dontCast featFirst forceCopy inplace normalize provideOutput repeatTarget scalar sizeAverage squeeze "
    "stochasticInference trans transA transB v2 train verbose _keeps",
    "text": "inputShape intype mode moduleType outputShape outtype prefix _dtype",
    "sizes": "size sizes _planes",
    "numbers": "weights",
    "modules": "modules",
    "criterions": "criterions",
    "module": "inputModule targetModule pooling",
    "criterion": "criterion nll",
    "array": "kernel",
    "place": "_place",
    "list": "_inputs _outputs _order",
    "seed": "_seed",
    "any": "name _loss",
}
NAMED = {name: kind for kind, names in _BY_KIND.items() for name in names.split()}

# What any module has.
_COMMON = "train _dtype _version name? maxPlans? _keeps?"

_NORM = "affine eps momentum~ | weight?[n] bias?[n] | running_mean[n] running_var[n]"
_WINDOWS = "kW kH dW dH padW padH"
_WINDOWS_3D = "kT kW kH dT dW dH padT padW padH"
_PLANES = "nInputPlane nOutputPlane _planes _fan_in"
_OUT_IN = "weight[nOutputPlane,nInputPlane,kH,kW] bias?[nOutputPlane]"
_IN_OUT = "weight[nInputPlane,nOutputPlane,kH,kW] bias?[nOutputPlane]"
_OUT_IN_3D = "weight[nOutputPlane,nInputPlane,kT,kH,kW] bias?[nOutputPlane]"
_IN_OUT_3D = "weight[nInputPlane,nOutputPlane,kT,kH,kW] bias?[nOutputPlane]"
_BORDERS = "pad_l pad_r pad_t pad_b"
_RECURRENT = "modules inputSize hiddenSize nLayers bidirectional?"
_MAP = "kW kH dW dH connTable:indices nInputPlane nOutputPlane _planes | weight[n,kH,kW] bias[nOutputPlane]"

# Attributes | parameters | buffers.
CLASSES = {
    # containers
    "Sequential": "modules",
    "ConcatTable": "modules",
    "ParallelTable": "modules",
    "Concat": "modules dimension",
    "DepthConcat": "modules dimension | | zero[1]",
    "Parallel": "modules inputDimension outputDimension",
    "MapTable": "modules:some shared~:names",
    "Bottle": "modules:one nInputDim nOutputDim",
    "WeightNorm": "modules:one outputDim | v g bias?",
    "Decorator": "modules:one",
    "DontCast": "modules:one castin~ castout~ moduleType~",
    "NaN": "modules:one id~:any",
    "Profile": "modules:one print_interval:size",
    "GPU": "modules:one device~ outdevice~",
    "LayerNormalization": "modules",
    "Maxout": "modules",
    "CReLU": "modules nInputDims? inplace?",
    "SpatialLPPooling": "modules kW? kH? dW? dH?",
    "gModule": "_place _inputs _outputs _order nInputs verbose:any",
    # products
    "Linear": "inputSize outputSize | weight[outputSize,inputSize] bias?[outputSize]",
    "LinearWeightNorm": "inputSize outputSize eps | v[outputSize,inputSize] g[outputSize,1] bias?[outputSize]",
    "PartialLinear": "inputsize outputsize | weight[outputsize,inputsize] bias?[1,outputsize] | partition?[n]",
    "IndexLinear": "doGradInput offset normalize | weight[n,m] bias[k]",
    "Bilinear": " | weight[n,a,b] bias?[n]",
    "SparseLinear": "doGradInput | weight[n,m] bias[n]",
    "Euclidean": " | weight[n,m]",
    "WeightedEuclidean": " | weight[n,m] diagCov[n,m]",
    "Cosine": " | weight[n,m]",
    "Kmeans": "k:size dim:size scale:number loss?:number _backward?:any _counts?:any | weight[k,dim]",
    "MM": "transA transB",
    "MV": "trans",
    "DotProduct": "",
    "CosineDistance": "",
    "PairwiseDistance": "norm",
    # shapes
    "Reshape": "sizes batchMode~:flag",
    "View": "sizes numInputDims?~",
    "Contiguous": "",
    "Select": "dimension index",
    "Narrow": "dimension index length",
    "Index": "dimension",
    "Squeeze": "dim~ numInputDims?~",
    "Unsqueeze": "pos numInputDims?~",
    "Replicate": "nfeatures dim ndim~",
    "Transpose": "permutations:pairs numInputDims?~",
    "Padding": "dim pad index nInputDim~ value",
    "Collapse": "nInputDim",
    "Convert": "inputShape~ outputShape~",
    "Copy": "intype~ outtype~ forceCopy dontCast",
    "PixelShuffle": "upscaleFactor",
    # normalisation
    "BatchNormalization": _NORM,
    "SpatialBatchNormalization": _NORM,
    "VolumetricBatchNormalization": _NORM,
    "Normalize": "p eps",
    "SpatialCrossMapLRN": "size:size alpha beta k",
    "SpatialSubtractiveNormalization": "nInputPlane kernel",
    "SpatialDivisiveNormalization": "nInputPlane kernel threshold thresval",
    "SpatialContrastiveNormalization": "modules",
    "_Standardize": "n eps",
    # along a dim
    "Min": "dimension nInputDims~",
    "Max": "dimension nInputDims~",
    "Sum": "dimension nInputDims~ sizeAverage squeeze",
    "Mean": "dimension nInputDims~ sizeAverage squeeze",
    # parameters and numbers, element by element
    "CMul": "size | weight=size",
    "CAdd": "size | bias=size",
    "Mul": "size | weight=size",
    "Add": "size scalar | bias=size",
    "MulConstant": "constant_scalar inplace",
    "AddConstant": "constant_scalar inplace",
    "Constant": "nInputDim~ | | value",
    # noise and what does nothing
    "Dropout": "p:share v2 inplace stochasticInference",
    "SpatialDropout": "p:share stochasticInference",
    "VolumetricDropout": "p:share stochasticInference",
    "WhiteNoise": "mean std",
    "GradientReversal": "lambda_",
    "Identity": "",
    "OneHot": "outputSize",
    "PrintSize": "prefix~",
    "ZeroGrad": "",
    "MaskedSelect": "",
    # tables
    "CAddTable": "inplace",
    "CDivTable": "",
    "CMulTable": "",
    "CSubTable": "",
    "CMaxTable": "",
    "CMinTable": "",
    "CAddTensorTable": "",
    "SplitTable": "dimension nInputDims~",
    "JoinTable": "dimension nInputDims~",
    "SelectTable": "index",
    "NarrowTable": "offset length",
    "FlattenTable": "",
    "MixtureTable": "dim~",
    "ZipTable": "",
    "ZipTableOneToMany": "",
    # transfer functions
    "Abs": "",
    "Clamp": "min_val max_val inplace",
    "ELU": "alpha inplace",
    "Exp": "",
    "GatedLinearUnit": "dim~",
    "HardShrink": "lambda_",
    "HardTanh": "min_val max_val inplace",
    "LeakyReLU": "negval inplace",
    "Log": "",
    "LogSigmoid": "",
    "LogSoftMax": "",
    "PReLU": "nOutputPlane:count | weight[n]",
    "Power": "pow",
    "RReLU": "lower_bound upper_bound inplace",
    "ReLU": "threshold val inplace",
    "ReLU6": "inplace",
    "Sigmoid": "",
    "SoftMax": "",
    "SoftMin": "",
    "SoftPlus": "beta",
    "SoftShrink": "lambda_",
    "SoftSign": "",
    "SpatialLogSoftMax": "",
    "SpatialSoftMax": "",
    "Sqrt": "eps",
    "Square": "",
    "Tanh": "",
    "TanhShrink": "",
    "Threshold": "threshold val inplace",
    # look-up
    "LookupTable": "paddingValue maxNorm~ normType~ | weight[n,m]",
    # convolutions
    "TemporalConvolution": "inputFrameSize outputFrameSize kW dW _planes _fan_in | "
    "weight[outputFrameSize,kW*inputFrameSize] bias?[outputFrameSize]",
    "TemporalSubSampling": "inputFrameSize kW dW _planes _fan_in | weight[inputFrameSize] bias?[inputFrameSize]",
    "TemporalRowConvolution": "inputFrameSize kW dW featFirst _planes _fan_in | "
    "weight[inputFrameSize,1,kW] bias?[inputFrameSize]",
    "TemporalMaxPooling": "kW dW ceil_mode?",
    "TemporalDynamicKMaxPooling": "minK factor",
    "SpatialConvolution": f"{_PLANES} {_WINDOWS} | {_OUT_IN}",
    "SpatialConvolutionMM": f"{_PLANES} {_WINDOWS} | weight[nOutputPlane,nInputPlane*kH*kW] bias?[nOutputPlane]",
    "SpatialConvolutionLocal": f"{_PLANES} {_WINDOWS} iW iH oW oH | "
    "weight[oH,oW,nOutputPlane,nInputPlane,kH,kW] bias?[nOutputPlane,oH,oW] | places",
    "SpatialConvolutionMap": f"{_MAP} | rows0 rows1? none",
    "SpatialFullConvolutionMap": f"{_MAP} | rows0 rows1? none",
    "SpatialFullConvolution": f"{_PLANES} {_WINDOWS} adjW adjH | {_IN_OUT}",
    "SpatialDepthWiseConvolution": f"{_PLANES} {_WINDOWS} depthwiseMultiplier | "
    "weight[depthwiseMultiplier,nInputPlane*kH*kW] bias?[depthwiseMultiplier,nInputPlane]",
    "SpatialDilatedConvolution": f"{_PLANES} {_WINDOWS} dilationW dilationH | {_OUT_IN}",
    "SpatialSubSampling": "nInputPlane kW kH dW dH _planes _fan_in | weight[nInputPlane] bias?[nInputPlane]",
    "VolumetricConvolution": f"{_PLANES} {_WINDOWS_3D} | {_OUT_IN_3D}",
    "VolumetricFullConvolution": f"{_PLANES} {_WINDOWS_3D} adjT adjW adjH | {_IN_OUT_3D}",
    "VolumetricDilatedConvolution": f"{_PLANES} {_WINDOWS_3D} dilationT dilationW dilationH | {_OUT_IN_3D}",
    # pooling
    "SpatialMaxPooling": f"{_WINDOWS} ceil_mode?",
    "SpatialDilatedMaxPooling": f"{_WINDOWS} dilationW dilationH ceil_mode?",
    "SpatialAveragePooling": f"{_WINDOWS} ceil_mode? count_include_pad? divide?",
    "SpatialAdaptiveMaxPooling": "W H",
    "SpatialAdaptiveAveragePooling": "W H",
    "SpatialFractionalMaxPooling": "poolSizeW poolSizeH outW/ratioW outH/ratioH _seed?",
    "SpatialMaxUnpooling": "pooling",
    "FeatureLPPooling": "width stride power batch_mode",
    "VolumetricMaxPooling": f"{_WINDOWS_3D} ceil_mode?",
    "VolumetricDilatedMaxPooling": f"{_WINDOWS_3D} dilationT dilationW dilationH ceil_mode?",
    "VolumetricAveragePooling": "kT kW kH dT dW dH ceil_mode?",
    "VolumetricFractionalMaxPooling": "poolSizeT poolSizeW poolSizeH outT/ratioT outW/ratioW outH/ratioH _seed?",
    "VolumetricMaxUnpooling": "pooling",
    # borders and scales
    "SpatialZeroPadding": _BORDERS,
    "SpatialReflectionPadding": _BORDERS,
    "SpatialReplicationPadding": _BORDERS,
    "VolumetricReplicationPadding": "pleft pright ptop pbottom pfront pback",
    "SpatialUpSamplingNearest": "scale_factor",
    "SpatialUpSamplingBilinear": "scale_factor?~ oheight?~ owidth?~",
    "UpSampling": "scale_factor?~ mode odepth?~ oheight?~ owidth?~",
    # what files of other libraries are made of
    "Op": "op:text ints:wholes nums:numbers | weight? bias?",
    "Broadcast": "sizes",
    "Take": "dimension",
    "Standardize": "eps groups:count dims:count | weight? bias?",
    "Fixed": "value:array",
    # criterions
    "AbsCriterion": "sizeAverage",
    "BCECriterion": "sizeAverage | | weights?",
    "ClassNLLCriterion": "sizeAverage ignoreIndex~ | | weights?[n]",
    "ClassSimplexCriterion": "sizeAverage nClasses | | simplex[nClasses,m]",
    "CosineEmbeddingCriterion": "sizeAverage margin",
    "CrossEntropyCriterion": "nll",
    "CriterionTable": "criterion",
    "DistKLDivCriterion": "sizeAverage",
    "DistanceRatioCriterion": "sizeAverage",
    "HingeEmbeddingCriterion": "sizeAverage margin",
    "L1Cost": "",
    "L1HingeEmbeddingCriterion": "margin",
    "L1Penalty": "l1weight sizeAverage provideOutput _loss?~",
    "MSECriterion": "sizeAverage",
    "MarginCriterion": "sizeAverage margin",
    "MarginRankingCriterion": "sizeAverage margin",
    "ModuleCriterion": "criterion inputModule~ targetModule~ castTarget",
    "ModuleFromCriterion": "criterion",
    "MultiCriterion": "criterions weights",
    "MultiLabelMarginCriterion": "sizeAverage",
    "MultiLabelSoftMarginCriterion": "sizeAverage | | weights?",
    "MultiMarginCriterion": "p:size margin sizeAverage | | weights?[n]",
    "ParallelCriterion": "criterions weights repeatTarget",
    "SmoothL1Criterion": "sizeAverage",
    "SoftMarginCriterion": "sizeAverage",
    "SpatialAutoCropMSECriterion": "sizeAverage",
    "SpatialClassNLLCriterion": "nll",
    "WeightedMSECriterion": "sizeAverage | | weight",
    # graphs' own
    "JustElement": "",
    "JustTable": "",
    "Parameters": " | weight",
    # recurrent nets
    "GRU": _RECURRENT,
    "LSTM": _RECURRENT,
    "RNN": _RECURRENT,
    "Unrolled": "modules:some T~ truncate~",
}


class Fault(Exception):
    """What is wrong with a module's state. Readers make an error of it, which names the file."""


class Field(NamedTuple):
    """An attribute, a parameter or a buffer."""

    kind: str = ""
    may_miss: bool = False
    may_be_none: bool = False
    sizes: tuple[str, ...] | None = None
    shape: str = ""
    instead: str = ""  # of which other one it may be there


class State(NamedTuple):
    """All of a class: attributes, parameters and buffers by name."""

    attributes: Mapping[str, Field]
    cells: Mapping[str, Field]
    buffers: Mapping[str, Field]


def state_of(cls: type[Module]) -> State | None:
    """The row of a class; None if the class is not the package's own."""
    is_own = cls.__module__.startswith(f"{__package__.partition('.')[0]}.")
    return _row(cls.__name__) if is_own and cls.__name__ in CLASSES else None


@cache
def _row(name: str) -> State:
    sections = [_fields(text) for text in f"{CLASSES[name]} | |".split("|")]
    return State({**_fields(_COMMON), **sections[0]}, sections[1], sections[2])


def _fields(text: str) -> dict[str, Field]:
    found: dict[str, Field] = {}
    for token in text.split():
        names = token.split("/")
        for name, other in zip(names, reversed(names), strict=True):
            key, field = _field(name)
            found[key] = field._replace(instead=other) if len(names) == 2 else field
    return found


def _field(token: str) -> tuple[str, Field]:
    match = _TOKEN.fullmatch(token)
    if match is None:
        raise ValueError(f"no field: {token!r}")
    name, marks = match["name"], match["marks"]
    sizes = None if match["sizes"] is None else tuple(match["sizes"].split(","))
    kind = match["kind"] or NAMED.get(name, "")
    return name, Field(kind, "?" in marks, "~" in marks, sizes, match["shape"] or "")


def own_names(module: Module) -> list[str]:
    """The names of attributes, parameters and buffers that a user gave a module, beside those of its class."""
    known = state_of(type(module))
    if known is None:
        return []
    parts = zip((module.__getstate__(), module._cells, module._buffers), known, strict=True)
    return [name for part, fields in parts for name in part if name not in fields and name not in _HOLDERS]


_HOLDERS = ("_cells", "_buffers")


def check(module: Module, own: tuple[str, ...] = ()) -> None:
    """Raise a :class:`Fault` if a module's state is not what its class has.

    Parameters
    ----------
    module
        The module. Those inside are not looked at.
    own
        Names of what its user gave it beside, which may be anything.
    """
    known = state_of(type(module))
    if known is None:
        return
    state = {name: value for name, value in module.__dict__.items() if name not in _HOLDERS}
    state["_dtype"] = str(state["_dtype"])
    for what, part, fields in zip(
        ("attribute", "parameter", "buffer"), (state, module._cells, module._buffers), known, strict=True
    ):
        for name in part:
            if name not in fields and name not in own and name not in _OF_RUNS:
                raise Fault(f"has no {what} {name!r}; it has {', '.join(fields) or 'none'}")
        for name, field in fields.items():
            if name not in part and not field.may_miss and field.instead not in part:
                raise Fault(f"must have the {what} {name!r}, which is missing")
    for name, field in known.attributes.items():
        if name in state:
            _check_attribute(name, state[name], field)
    _check_shapes(module, known)
    more = _MORE.get(type(module).__name__)
    if more is not None:
        more(module)


# What belongs to runs, or is made anew when it is needed.
_OF_RUNS = {
    "_run", "_run_native", "_output", "_gradInput", "_fingerprint", "_evaluation", "_times", "_modules", "innode",
    "outnode",
}  # fmt: skip


def _check_attribute(name: str, value: Any, field: Field) -> None:
    kind = KINDS[field.kind]
    if not ((value is None and field.may_be_none) or kind.holds(value)):
        nothing = " or null" if field.may_be_none else ""
        raise Fault(f"must have {kind.says}{nothing} as its {name}, got {_short(value)}")


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) < 60 else f"{text[:57]}..."


def _check_shapes(module: Module, known: State) -> None:
    """Compare the shapes of parameters and buffers with attributes, and with each other."""
    sizes: dict[str, int] = {}
    for name, cell, field in _cells(module, known):
        shape = cell.data.shape
        if field.shape:
            wanted = tuple(getattr(module, field.shape))
            if shape != wanted:
                raise Fault(f"must have a {name} of shape {wanted}, got {shape}")
        if field.sizes is None:
            continue
        fits = len(shape) == len(field.sizes)
        for text, size in zip(field.sizes, shape) if fits else ():  # noqa: B905 - they are as long
            is_free = not text.isdigit() and "*" not in text and not hasattr(module, text)
            fits &= size == (sizes.setdefault(text, size) if is_free else _product(module, text))
        if not fits:
            raise Fault(f"must have a {name} of shape ({', '.join(field.sizes)}), got {shape}")


def _cells(module: Module, known: State) -> Iterator[tuple[str, Any, Field]]:
    for part, fields in ((module._cells, known.cells), (module._buffers, known.buffers)):
        for name, field in fields.items():
            if name in part:
                yield name, part[name], field


def _product(module: Module, text: str) -> int:
    return prod(int(factor) if factor.isdigit() else getattr(module, factor) for factor in text.split("*"))


def _check_same(what: str, wanted: int, got: int) -> None:
    if wanted != got:
        raise Fault(f"must have {what}, {wanted}, got {got}")


def _check_convert(module: nn.Convert) -> None:
    """Its constructor knows which orders of dims there are."""
    try:
        nn.Convert(module.inputShape, module.outputShape)
    except Error as error:
        raise Fault(f"cannot be: {error}") from None


def _check_weight_norm(module: nn.WeightNorm) -> None:
    """What v and g are: the rows of the weight."""
    weight = module.get(0)._cells.get("weight")
    shape = () if weight is None else weight.data.shape
    if module.outputDim not in range(len(shape)):
        raise Fault(f"must have an outputDim of a weight of shape {shape}, got {module.outputDim}")
    rows = shape[module.outputDim]
    if module.v.shape != (rows, prod(shape) // rows) or module.g.shape != (rows, 1):
        raise Fault(f"must have v and g of the {rows} rows of a weight of shape {shape}, "
                    f"got {module.v.shape} and {module.g.shape}")  # fmt: skip


def _check_layers(module: Any) -> None:
    """A recurrent layer is a product and a step, for each direction, and, but for the last, a dropout."""
    wanted = ((nn.Linear, gModule) * (2 if module.bidirectional else 1) + (nn.Dropout,)) * module.nLayers
    kinds = tuple(map(type, module.modules))
    if kinds != wanted[:-1]:
        raise Fault(f"must have the modules of {module.nLayers} layers, got {len(kinds)} modules that are not")


def _check_graph(graph: gModule) -> None:
    """A graph's nodes are what nodes can be, and connected rightly."""
    if len(graph._inputs) != graph.nInputs or not graph._outputs:
        raise Fault(f"must have {graph.nInputs} inputs and some outputs, got {len(graph._inputs)}, "
                    f"{len(graph._outputs)}")  # fmt: skip
    for place, node in enumerate(graph._order):
        fault = _fault_of(node)
        if fault:
            raise Fault(f"has a node {place} that cannot be one: {fault}")
    try:
        check_connections(graph._inputs, graph._order)
    except Error as error:
        raise Fault(f"is no graph: {error}") from None


def _fault_of(node: Any) -> str:
    """What is wrong with a node; empty if there is nothing."""
    module, part, n_parts = node.module, node.part, node.n_parts
    if not (module is None or isinstance(module, Module)):
        return f"its module is {_short(module)}"
    if module is None and node.inputs is None:
        return "it has neither a module nor an input"
    if n_parts is not None and not _is_whole(n_parts, 1):
        return f"it is split into {_short(n_parts)}"
    if part is not None:
        count = node.inputs.n_parts if isinstance(node.inputs, Node) else None
        if module is not None or count is None or not _is_whole(part, 0) or part >= count:
            return f"it is part {_short(part)} of {count}"
    notes = node.data.annotations
    if not isinstance(notes, dict):
        return f"its annotations are {_short(notes)}"
    for name, wanted in (("name", str), ("description", str), ("graphAttributes", dict)):
        if not isinstance(notes.get(name, wanted()), wanted):
            return f"its {name} is {_short(notes[name])}"
    return "" if isinstance(node.place, Place) else "it has no line of source"


# What a row cannot say.
_MORE: dict[str, Callable[[Any], None]] = {
    "Convert": _check_convert,
    "GRU": _check_layers,
    "IndexLinear": lambda module: _check_same(
        "as many columns of weight as it needs", module.bias.size + module._first, module.weight.shape[1]
    ),
    "LSTM": _check_layers,
    "MultiCriterion": lambda module: _check_same(
        "as many weights as criterions", len(module.criterions), len(module.weights)
    ),
    "ParallelCriterion": lambda module: _check_same(
        "as many weights as criterions", len(module.criterions), len(module.weights)
    ),
    "RNN": _check_layers,
    "WeightNorm": _check_weight_norm,
    "gModule": _check_graph,
}
