"""Torch7's classes and ours, as one table: what of an object's fields becomes an argument of our constructor.

A row names a class of both; `arguments` are those of our constructor in order, each by the field of Torch's object
that it comes from:

===============  =======================================================================================
``kW``           the field ``kW``: a number, a boolean, a string; also a table or a tensor of numbers
``index:dim``    a dim or an index, which Torch counts from 1
``size:sizes``   a LongStorage
``dims:list``    a table of numbers; ``:pairs`` of pairs of dims, ``:indices`` a tensor of indices
``w:tensor``     a tensor that is no parameter
``lower@low``    a field that is the attribute ``low`` here
``weight[0]``    the first size of a tensor: read only, because the parameter is written anyway
``bias?``        whether there is such a field: read only
``a|b``          whichever field is there
``v2:not``       a flag that says the opposite here
``sizeAverage!`` a field of an object inside: read only
``=None``        no field at all, but this value
===============  =======================================================================================

On writing, a field's value is our attribute of that name, or of the argument's name in our constructor. `extra` are
fields that are attributes, but no arguments. `parameters` and `buffers` are tensors of the field's name here and there
(``cell<field`` where the names differ); ``gradWeight`` and so on follow. `empty`, `longs` and `tables` are fields that
Torch7's methods count on, but that hold nothing worth keeping: empty tensors, empty LongTensors, empty tables.
`constants` are others, with their values.
"""

from __future__ import annotations

import re
from typing import Any, NamedTuple

_ARGUMENT = re.compile(
    r"=(?P<value>.+)"
    r"|(?P<field>[\w|]+)(?:\[(?P<size>\d)\]|(?P<present>\?)|:(?P<kind>\w+)|@(?P<attribute>\w+))?(?P<inner>!)?"
)


class Argument(NamedTuple):
    """An argument of a constructor."""

    fields: tuple[str, ...]  # of Torch's object: the first that is there
    kind: str = ""
    size: int | None = None  # which size of a tensor
    present: bool = False
    value: Any = None  # if there is no field
    attribute: str = ""  # here, if it is called otherwise
    inner: bool = False  # whether the field is one of an object inside

    @property
    def is_written(self) -> bool:
        """Whether there is a field to write."""
        return bool(self.fields) and self.size is None and not self.present and not self.inner


class Row(NamedTuple):
    """A class."""

    arguments: str = ""
    parameters: str = ""
    buffers: str = ""
    extra: str = ""
    empty: str = ""
    longs: str = ""
    tables: str = ""
    constants: dict[str, Any] = {}  # noqa: RUF012 - nobody changes it
    version: int = 1
    modules: str = ""  # "list": any number, added one by one; else "one": the first is an argument
    old: dict[str, str] = {}  # noqa: RUF012 - names of fields in old files, by those of today
    is_criterion: bool = False


def arguments(text: str) -> list[Argument]:
    """The arguments that a row's text stands for."""
    found = []
    for token in text.split():
        match = _ARGUMENT.fullmatch(token)
        if match is None:
            raise ValueError(f"no argument: {token!r}")
        if match["value"] is not None:
            found.append(Argument((), value={"None": None, "True": True, "False": False}[match["value"]]))
            continue
        found.append(
            Argument(
                tuple(match["field"].split("|")),
                match["kind"] or "",
                None if match["size"] is None else int(match["size"]),
                match["present"] is not None,
                attribute=match["attribute"] or "",
                inner=match["inner"] is not None,
            )
        )
    return found


def names(text: str) -> list[tuple[str, str]]:
    """Pairs of a name here and the field there."""
    return [tuple(token.split("<")) if "<" in token else (token, token) for token in text.split()]  # type: ignore[misc]


_PADDED = "nInputPlane nOutputPlane kW kH dW dH padW padH"
_PADDED_3D = "nInputPlane nOutputPlane kT kW kH dT dW dH padT padW padH"
_AFFINE = "weight bias"
_POOL = "kW kH dW dH padW padH"
_POOL_3D = "kT kW kH dT dW dH padT padW padH"
_OLD_PADS = {"padW": "padding", "padH": "padding"}
_NORM = Row(
    "running_mean[0] eps momentum affine", _AFFINE, "running_mean running_var", empty="save_mean save_std", version=2
)
_UPSAMPLED = {"inputSize": "LongStorage4", "outputSize": "LongStorage4"}


def _criterion(arguments: str = "", **more: Any) -> Row:
    return Row(arguments, is_criterion=True, **more)


ROWS: dict[str, Row] = {
    # containers
    "Sequential": Row(modules="list"),
    "ConcatTable": Row(modules="list"),
    "ParallelTable": Row(modules="list", tables="gradInput"),
    "Concat": Row("dimension:dim", modules="list", constants={"outputSize": "LongStorage0"}),
    "DepthConcat": Row("dimension:dim", modules="list", constants={"outputSize": "LongStorage0"}),
    "Parallel": Row("inputDimension:dim outputDimension:dim", modules="list", constants={"totalOutputSize": None}),
    "MapTable": Row("module shared:list", modules="one", tables="output gradInput sharedparam"),
    "Bottle": Row("module nInputDim nOutputDim", modules="one"),
    "WeightNorm": Row("module outputDim:dim", "v g bias", modules="one"),
    "Decorator": Row("module", modules="one"),
    "DontCast": Row("module castin castout moduleType", modules="one"),
    "NaN": Row("module id", modules="one"),
    "Profile": Row("module print_interval name", modules="one"),
    "GPU": Row("module device outdevice", modules="one"),
    # products
    "Linear": Row("weight[1] weight[0] bias?", _AFFINE, empty="addBuffer"),
    "LinearWeightNorm": Row("inputSize outputSize bias? eps", "v g bias", empty="weight norm scale addBuffer",
                            constants={"dirty": True}),
    "PartialLinear": Row("inputsize outputsize bias?", _AFFINE),
    "IndexLinear": Row(
        "inputSize! outputSize! doGradInput offset:offset =None =None normalize!",
        _AFFINE,
        empty="gradWeightBuffer valuesBuffer normalizedValues",
        tables="sizesCache cumSumSizesCache",
        constants={"weightDecay": 0.0},
    ),
    "Bilinear": Row("weight[1] weight[2] weight[0] bias?", _AFFINE),
    "SparseLinear": Row("weight[1] weight[0] doGradInput", _AFFINE, constants={"weightDecay": 0.0}),
    "Euclidean": Row("weight[0] weight[1]", "weight", constants={"fastBackward": True}),
    "WeightedEuclidean": Row("weight[0] weight[1]", "weight diagCov", constants={"fastBackward": True}),
    "Cosine": Row("weight[1] weight[0]", "weight"),
    "Kmeans": Row("k dim scale", "weight"),
    "MM": Row("transA transB", tables="gradInput"),
    "MV": Row("trans", tables="gradInput"),
    "DotProduct": Row(tables="gradInput"),
    "CosineDistance": Row(tables="gradInput"),
    "PairwiseDistance": Row("norm", tables="gradInput", empty="diff"),
    # shapes
    "Reshape": Row("size:sizes batchMode", constants={"nelement": "product of size", "batchsize": "1 and size"}),
    "View": Row("size:sizes", extra="numInputDims", constants={"numElements": "product of size"}),
    "Contiguous": Row(),
    "Select": Row("dimension:dim index:dim"),
    "Narrow": Row("dimension:dim index:dim length"),
    "Index": Row("dimension:dim"),
    "Squeeze": Row("dim:dim numInputDims"),
    "Unsqueeze": Row("pos:dim numInputDims"),
    "Replicate": Row("nfeatures dim:dim ndim"),
    "Transpose": Row("permutations:pairs", extra="numInputDims"),
    "Padding": Row("dim:dim pad nInputDim value index:dim", constants={"outputSize": "LongStorage0"}),
    "Collapse": Row("nInputDim"),
    "Convert": Row("inputShape outputShape"),
    "Copy": Row("intype outtype =False dontCast"),
    "PixelShuffle": Row("upscaleFactor"),
    # normalisation
    "BatchNormalization": _NORM,
    "SpatialBatchNormalization": _NORM,
    "VolumetricBatchNormalization": _NORM,
    "Normalize": Row("p eps"),
    "SpatialCrossMapLRN": Row("size alpha beta k"),
    "SpatialSubtractiveNormalization": Row("nInputPlane kernel:tensor"),
    "SpatialDivisiveNormalization": Row("nInputPlane kernel:tensor threshold thresval"),
    "SpatialContrastiveNormalization": Row("nInputPlane kernel:tensor threshold thresval"),
    # along a dim
    "Min": Row("dimension:dim nInputDims", empty="_output", longs="_indices"),
    "Max": Row("dimension:dim nInputDims", empty="_output", longs="_indices"),
    "Sum": Row("dimension:dim nInputDims sizeAverage squeeze"),
    "Mean": Row("dimension:dim nInputDims", extra="sizeAverage squeeze"),
    # parameters and numbers, element by element
    "CMul": Row("size:sizes", "weight"),
    "CAdd": Row("size:sizes", "bias"),
    "Mul": Row("", "weight"),
    "Add": Row("bias[0] scalar", "bias", constants={"_ones": "Tensor1"}),
    "MulConstant": Row("constant_scalar inplace"),
    "AddConstant": Row("constant_scalar inplace"),
    "Constant": Row("value:tensor nInputDim"),
    # noise and what does nothing
    "Dropout": Row("p v2:not inplace stochastic_inference", empty="noise"),
    "SpatialDropout": Row("p stochastic_inference", empty="noise"),
    "VolumetricDropout": Row("p stochastic_inference", empty="noise"),
    "WhiteNoise": Row("mean std", empty="noise"),
    "GradientReversal": Row("lambda"),
    "Identity": Row(),
    "OneHot": Row("outputSize"),
    "PrintSize": Row("prefix"),
    "ZeroGrad": Row(),
    "MaskedSelect": Row(longs="_maskIndices _maskIndexBuffer _maskIndexBufferCPU", empty="_gradBuffer _gradMask"),
    # tables
    "CAddTable": Row("inplace", tables="gradInput"),
    "CDivTable": Row(tables="gradInput"),
    "CMulTable": Row(tables="gradInput"),
    "CSubTable": Row(tables="gradInput"),
    "CMaxTable": Row(tables="gradInput", longs="maxIdx"),
    "CMinTable": Row(tables="gradInput", longs="minIdx"),
    "CAddTensorTable": Row(tables="gradInput"),
    "SplitTable": Row("dimension:dim nInputDims", tables="output"),
    "JoinTable": Row("dimension:dim nInputDims", tables="gradInput", constants={"size": "LongStorage0"}),
    "SelectTable": Row("index:dim", tables="gradInput"),
    "NarrowTable": Row("offset:dim length", tables="output gradInput"),
    "FlattenTable": Row(tables="output gradInput input_map"),
    "MixtureTable": Row("dim:dim", tables="gradInput", constants={
        "size": "LongStorage0", "size2": "LongStorage0", "batchSize": 0.0, "backwardSetup": False, "dimG": 2.0}),
    "ZipTable": Row(tables="output gradInput"),
    "ZipTableOneToMany": Row(tables="output gradInput"),
    # transfer functions
    "Abs": Row(),
    "Clamp": Row("min_val max_val", extra="inplace"),
    "ELU": Row("alpha inplace"),
    "Exp": Row(),
    "GatedLinearUnit": Row("dim:dim"),
    "HardShrink": Row("lambda"),
    "HardTanh": Row("min_val max_val inplace"),
    "LeakyReLU": Row("negval inplace"),
    "Log": Row(),
    "LogSigmoid": Row(empty="buffer"),
    "LogSoftMax": Row(),
    "PReLU": Row("nOutputPlane", "weight", empty="gradWeightBuf gradWeightBuf2"),
    "Power": Row("pow"),
    "RReLU": Row("lower@lower_bound upper@upper_bound inplace", empty="noise"),
    "ReLU": Row("inplace", constants={"threshold": 0.0, "val": 0.0}),
    "ReLU6": Row("inplace"),
    "Sigmoid": Row(),
    "SoftMax": Row(),
    "SoftMin": Row(),
    "SoftPlus": Row("beta", constants={"threshold": 20.0}),
    "SoftShrink": Row("lambda"),
    "SoftSign": Row(),
    "SpatialLogSoftMax": Row(),
    "SpatialSoftMax": Row(),
    "Sqrt": Row("eps"),
    "Square": Row(),
    "Tanh": Row(),
    "TanhShrink": Row(constants={"tanh": "module Tanh"}),
    "Threshold": Row("threshold val inplace"),
    # look-up
    "LookupTable": Row("weight[0] weight[1] paddingValue maxNorm normType", "weight", longs="_input",
                       constants={"_count": "IntTensor", "shouldScaleGradByFreq": False}, version=4),
    # convolutions
    "TemporalConvolution": Row("inputFrameSize outputFrameSize kW dW", _AFFINE),
    "TemporalSubSampling": Row("inputFrameSize kW dW", _AFFINE),
    "TemporalRowConvolution": Row("inputFrameSize kW dW featFirst", _AFFINE, empty="finput fgradInput"),
    "TemporalMaxPooling": Row("kW dW", longs="indices"),
    "TemporalDynamicKMaxPooling": Row("minK factor"),
    "SpatialConvolution": Row(_PADDED, _AFFINE, empty="finput fgradInput", old=_OLD_PADS),
    "SpatialConvolutionMM": Row(_PADDED, _AFFINE, empty="finput fgradInput", old=_OLD_PADS),
    "SpatialConvolutionLocal": Row("nInputPlane nOutputPlane iW iH kW kH dW dH padW padH", _AFFINE, extra="oW oH",
                                   empty="finput fgradInput"),
    "SpatialConvolutionMap": Row("connTable:indices kW kH dW dH", _AFFINE, extra="nInputPlane nOutputPlane"),
    "SpatialFullConvolutionMap": Row("connTable:indices kW kH dW dH", _AFFINE, extra="nInputPlane nOutputPlane"),
    "SpatialFullConvolution": Row(_PADDED + " adjW adjH", _AFFINE, empty="finput fgradInput"),
    "SpatialDepthWiseConvolution": Row("nInputPlane weight[0] kW kH dW dH padW padH", _AFFINE,
                                       empty="finput fgradInput"),
    "SpatialDilatedConvolution": Row(_PADDED + " dilationW dilationH", _AFFINE, empty="finput fgradInput"),
    "SpatialSubSampling": Row("nInputPlane kW kH dW dH", _AFFINE),
    "VolumetricConvolution": Row(_PADDED_3D, _AFFINE, empty="finput fgradInput"),
    "VolumetricFullConvolution": Row(_PADDED_3D + " adjT adjW adjH", _AFFINE, empty="finput fgradInput"),
    "VolumetricDilatedConvolution": Row(_PADDED_3D + " dilationT dilationW dilationH", _AFFINE,
                                        empty="finput fgradInput"),
    # pooling
    "SpatialMaxPooling": Row(_POOL, extra="ceil_mode", longs="indices", old=_OLD_PADS),
    "SpatialDilatedMaxPooling": Row(_POOL + " dilationW dilationH", extra="ceil_mode", longs="indices"),
    "SpatialAveragePooling": Row(_POOL, extra="ceil_mode count_include_pad divide"),
    "SpatialAdaptiveMaxPooling": Row("W H", longs="indices"),
    "SpatialAdaptiveAveragePooling": Row("W H"),
    "SpatialFractionalMaxPooling": Row("poolSizeW poolSizeH outW|ratioW outH|ratioH", empty="indices",
                                       constants={"newRandomPool": False}),
    "SpatialMaxUnpooling": Row("pooling:module", longs="indices"),
    "FeatureLPPooling": Row("width stride power batch_mode"),
    "VolumetricMaxPooling": Row(_POOL_3D, extra="ceil_mode", longs="indices"),
    "VolumetricDilatedMaxPooling": Row(_POOL_3D + " dilationT dilationW dilationH", extra="ceil_mode",
                                       longs="indices"),
    "VolumetricAveragePooling": Row("kT kW kH dT dW dH"),
    "VolumetricFractionalMaxPooling": Row("poolSizeT poolSizeW poolSizeH outT|ratioT outW|ratioW outH|ratioH",
                                          empty="indices", constants={"newRandomPool": False}),
    "VolumetricMaxUnpooling": Row("pooling:module", longs="indices"),
    # borders and scales
    "SpatialZeroPadding": Row("pad_l pad_r pad_t pad_b"),
    "SpatialReflectionPadding": Row("pad_l pad_r pad_t pad_b"),
    "SpatialReplicationPadding": Row("pad_l pad_r pad_t pad_b"),
    "VolumetricReplicationPadding": Row("pleft pright ptop pbottom pfront pback"),
    "SpatialUpSamplingNearest": Row("scale_factor", constants=_UPSAMPLED),
    "SpatialUpSamplingBilinear": Row("scale_factor", extra="oheight owidth", constants=_UPSAMPLED),
    "UpSampling": Row("scale_factor mode", extra="odepth oheight owidth", constants=_UPSAMPLED),
    # criterions
    "AbsCriterion": _criterion("sizeAverage", constants={"output_tensor": "Tensor1"}),
    "BCECriterion": _criterion("weights:tensor sizeAverage", constants={"output_tensor": "Tensor1"}),
    "ClassNLLCriterion": _criterion("weights:tensor sizeAverage ignoreIndex:dim", constants={
        "output_tensor": "Tensor1", "total_weight_tensor": "Tensor1", "target": "LongTensor1"}),
    "ClassSimplexCriterion": _criterion("nClasses", extra="sizeAverage", constants={"output_tensor": "Tensor1"}),
    "CosineEmbeddingCriterion": _criterion("margin", extra="sizeAverage", tables="gradInput"),
    "CrossEntropyCriterion": _criterion("weights:tensor! sizeAverage!"),
    "DistKLDivCriterion": _criterion(extra="sizeAverage", constants={"output_tensor": "Tensor1"}),
    "DistanceRatioCriterion": _criterion("sizeAverage"),
    "HingeEmbeddingCriterion": _criterion("margin", extra="sizeAverage"),
    "L1Cost": _criterion(constants={"output_tensor": "Tensor1"}),
    "L1HingeEmbeddingCriterion": _criterion("margin", tables="gradInput"),
    "MSECriterion": _criterion("sizeAverage", constants={"output_tensor": "Tensor1"}),
    "MarginCriterion": _criterion("margin", extra="sizeAverage"),
    "MarginRankingCriterion": _criterion("margin", extra="sizeAverage", tables="gradInput"),
    "MultiLabelMarginCriterion": _criterion(extra="sizeAverage", empty="isTarget",
                                            constants={"output_tensor": "Tensor1"}),
    "MultiLabelSoftMarginCriterion": _criterion("weights:tensor sizeAverage"),
    "MultiMarginCriterion": _criterion("p weights:tensor margin", extra="sizeAverage"),
    "SmoothL1Criterion": _criterion("sizeAverage", constants={"output_tensor": "Tensor1"}),
    "SoftMarginCriterion": _criterion(extra="sizeAverage"),
    "SpatialAutoCropMSECriterion": _criterion("sizeAverage", constants={"output_tensor": "Tensor1"}),
    "SpatialClassNLLCriterion": _criterion("weights:tensor sizeAverage ignoreIndex:dim", constants={
        "output_tensor": "Tensor1", "total_weight_tensor": "Tensor1", "target": "LongTensor1"}),
    "WeightedMSECriterion": _criterion("weight:tensor", extra="sizeAverage", constants={"output_tensor": "Tensor1"}),
    "MultiCriterion": _criterion(tables="gradInput"),
    "ParallelCriterion": _criterion("repeatTarget", tables="gradInput"),
    "L1Penalty": Row("l1weight sizeAverage provideOutput"),
    "CriterionTable": Row("criterion:module", tables="gradInput"),
    "ModuleCriterion": _criterion("criterion:module inputModule:module targetModule:module castTarget"),
    "ModuleFromCriterion": Row("criterion:module", tables="gradInput"),
    "JustElement": Row(tables="gradInput"),
    "JustTable": Row(),
    "Parameters": Row("weight:shape", "weight"),
}  # fmt: skip

# Classes that are a Sequential of others, which the file holds.
COMPOSITES = {"LayerNormalization", "Maxout", "CReLU", "SpatialLPPooling"}

# Names of classes in files: where Torch has them, and other spellings.
_OTHER_NAMES = {
    "nn.LinearNoBias": "Linear",
    "nn.SpatialConvolutionCUDA": "SpatialConvolution",
    "nn.SpatialMaxPoolingCUDA": "SpatialMaxPooling",
    "nn.ELUParameters": "ELU",
    "cudnn.SpatialCrossEntropyCriterion": "",  # has no counterpart
    "nnop.Parameters": "Parameters",
    "OneHot": "OneHot",
    "nn.DataParallelTable": "",
}
_TORCH_MODULES = {"JustElement": "nngraph", "JustTable": "nngraph", "Parameters": "nnop"}


def our_name(torch_name: str) -> str:
    """The name here of a class of Torch's; empty if there is none."""
    if torch_name in _OTHER_NAMES:
        return _OTHER_NAMES[torch_name]
    module, _, name = torch_name.partition(".")
    known = name in ROWS or name in COMPOSITES or name == "gModule"
    return name if module in ("nn", "cudnn", "nngraph") and known else ""


def torch_name(our_name: str) -> str:
    """The name in Torch of a class here."""
    return f"{_TORCH_MODULES.get(our_name, 'nn')}.{our_name}"
