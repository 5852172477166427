"""The table of modules and criterions: the rows of op_cases.py that name a module, and what lowers to more than one op.

test_modules.py makes the same tests of each row; a class that the package exports and that has no row fails
test_registry.py.
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import recurrent_reference as recurrent
import windows
from op_cases import OP_CASES, Input, interpolated
from tolerances import CANCELLING, EXACT, NUMERICAL, NUMERICAL_DISTANCE, SUMS, TRANSCENDENTAL, Tolerance
from trees import tree_map

import pynngraph as nn
from pynngraph._engine import OPS

# What other classes derive from, of no use by itself.
BASES = {nn.Module, nn.Container, nn.Criterion}

# What needs another module beside it, and has rows inside of others.
INSIDE = {nn.SpatialMaxUnpooling, nn.VolumetricMaxUnpooling}

BATCH = 4  # size of the first dim in rows with `per_sample`


class ModuleCase(NamedTuple):
    """A row: how to make the module, and a table of `Input` for it.

    `reference(input, *parameters)` computes the output in NumPy, None where there is none. A `per_sample` module gives
    for one sample what it gives for that sample in a batch. A `random` one draws new numbers at each
    forward while training. What is `of_indices` takes some, which have no gradient.
    """

    name: str
    build: Callable
    input: Any
    reference: Callable | None = None
    forward: Tolerance = EXACT
    per_sample: bool = False
    random: bool = False
    of_indices: bool = False
    any_shape: bool = False
    factor: float = 1  # what the derivative is multiplied by, where that is not the gradient of the input
    gradient: Tolerance = NUMERICAL


class CriterionCase(NamedTuple):
    """A row: how to make the criterion, its input and target, and the loss by NumPy."""

    name: str
    build: Callable
    input: Any
    target: Input
    reference: Callable


def _of_op(case):
    name, *arguments = case.module
    count = len(case.inputs) - case.n_params
    inputs = list(case.inputs[:count])
    is_table = name.endswith("Table") or count > 1

    def reference(input, *parameters):
        return case.reference(*(input if is_table else [input]), *parameters)

    return ModuleCase(
        f"{name}-{case.name}",
        lambda: getattr(nn, name)(*arguments),
        inputs if is_table else inputs[0],
        reference,
        case.forward,
        case.per_sample,
        any_shape=OPS[case.op].family.startswith("unary"),
    )


def _add(container, *modules):
    for module in modules:
        container.add(module)
    return container


def _mlp():
    return _add(nn.Sequential(), nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 3))


def _graph():
    """A graph with a fork, a skip, a container, and a nested input of which a part goes nowhere."""
    first, second = nn.Identity()(), nn.Identity()()
    left, right = second.split(2)
    hidden = nn.Tanh()(nn.Linear(6, 5)(nn.CMulTable()([first, left])))
    skip = nn.CAddTable()([hidden, nn.Linear(6, 5)(left), nn.Linear(6, 5)(nn.SelectTable(0)(right))])
    return nn.gModule([first, second], [nn.LogSoftMax()(skip), nn.nest([hidden, [skip]])])


def _mean_squares(input):
    x, target = input
    return np.array([((x - target) ** 2).mean()])


def _cosine(a, b):
    return (a * b).sum(1) / np.sqrt(((a * a).sum(1) + 1e-12) * ((b * b).sum(1) + 1e-12))


def _mv(matrix, vector):
    return np.matmul(matrix, vector[..., None])[..., 0]


def _normalized(x, weight=None, bias=None, eps=1e-5):
    dims = (0, *range(2, x.ndim))
    y = (x - x.mean(dims, keepdims=True)) / np.sqrt(x.var(dims, keepdims=True) + eps)
    shape = (-1, *(1,) * (x.ndim - 2))
    return y if weight is None else y * weight.reshape(shape) + bias.reshape(shape)


def _layer_normalized(x):
    return (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 0.1 / x.shape[-1])


# Weights of means around a place: equal ones, others, and a vector's.
KERNELS = (np.ones((3, 3)), np.arange(1.0, 16.0).reshape(3, 5), np.array([1.0, 3.0, 2.0]))


def _around(x, kernel):
    """The mean of all planes around each place, and the part of the kernel that is in the image."""
    weights = np.outer(kernel, kernel) if kernel.ndim == 1 else kernel
    weights = weights / weights.sum()
    (height, width), (rows, columns) = weights.shape, x.shape[2:]

    def weighted(planes):
        pads = (height // 2,) * 2, (width // 2,) * 2
        padded = np.pad(planes, ((0, 0), (0, 0), *pads))
        return sum(weights[r, c] * padded[:, :, r : r + rows, c : c + columns]
                   for r in range(height) for c in range(width))  # fmt: skip

    return weighted(x).mean(1, keepdims=True), weighted(np.ones_like(x[:, :1]))


def _subtracted(x, kernel):
    mean, inside = _around(x, kernel)
    return x - mean / inside


def _divided(x, kernel, threshold=1e-4, value=1e-4):
    mean, inside = _around(x**2, kernel)
    spread = np.sqrt(mean) / inside
    return x / np.where(spread > threshold, spread, value)


def _sums_of_three(x):
    padded = np.pad(x, ((0, 0), (1, 1), (0, 0), (0, 0)))
    return padded[:, :-2] + padded[:, 1:-1] + padded[:, 2:]


def _unpooled(pool, unpool):
    return _add(nn.Sequential(), pool, nn.MulConstant(2), unpool(pool))


def _twice_unpooled(x):
    ints = (2, 0, 0, 2, 2, 0, 1, 2, 2, 0, 1)
    y, which = windows.max_pool(ints)(x)
    return windows.max_unpool(ints)(2 * y, which, x)


def _max_pooled(*ints):
    return lambda x: windows.max_pool(ints)(x)[0]


def _depthwise(x, w, b=None):
    """A weight (planes of a plane, planes times taps), as groups."""
    planes = x.shape[1]
    w = w.reshape(len(w), planes, 3, 2).swapaxes(0, 1).reshape(-1, 1, 3, 2)
    return windows.convolution(x, w, None if b is None else b.T.ravel(), (2, 1), (1, 0), groups=planes)


def _by_features(x, w, b, step):
    """Windows over frames whose features stay apart; w (features, 1, window)."""
    return windows.convolution(x.swapaxes(-1, -2), w, b, (step,), groups=len(w)).swapaxes(-1, -2)


def _local(x, w, b=0):
    """A weight (places, planes of y, planes of x, sizes) for each place, steps (1, 2), padding (0, 1)."""
    x = np.pad(x, [(0, 0)] * (x.ndim - 1) + [(1, 1)])
    (oh, ow), (kh, kw) = w.shape[:2], w.shape[-2:]
    rows = [[np.einsum("...chw,ochw->...o", x[..., i : i + kh, 2 * j : 2 * j + kw], w[i, j]) for j in range(ow)]
            for i in range(oh)]  # fmt: skip
    return np.moveaxis(np.stack([np.stack(row, -1) for row in rows], -2), x.ndim - 3, x.ndim - 3) + b


def _mapped(table, inner, *, is_full):
    """A weight (connections, sizes), spread out over all pairs of planes."""

    def reference(x, w, b):
        dense = np.zeros((*np.max(table, 0)[[0, 1] if is_full else [1, 0]] + 1, *w.shape[1:]))
        for (source, to), kernel in zip(table, w, strict=True):
            dense[(source, to) if is_full else (to, source)] += kernel
        return inner(x, dense, b, (1, 2))

    return reference


TWICE = [[0, 0], [2, 1], [1, 0], [0, 0], [2, 2]]
IMAGES = Input((2, 3, 6, 5))
FRAMES = Input((2, 9, 4))
VOLUMES = Input((2, 2, 3, 4, 4))

CONVOLUTIONS = (
    ModuleCase("SpatialConvolution-noBias", lambda: nn.SpatialConvolution(3, 2, 3, 3).noBias(), IMAGES,
               windows.convolution, SUMS, per_sample=True),
    ModuleCase("SpatialConvolution-one", lambda: nn.SpatialConvolution(3, 2, 3, 3), Input((1, 3, 6, 5)),
               windows.convolution, SUMS, per_sample=True),
    ModuleCase("SpatialConvolutionMM", lambda: nn.SpatialConvolutionMM(3, 2, 2, 3, 2, 1, 1), IMAGES,
               lambda x, w, b: windows.convolution(x, w.reshape(2, 3, 3, 2), b, (1, 2), (1, 1)), SUMS,
               per_sample=True),
    ModuleCase("SpatialFullConvolution-noBias", lambda: nn.SpatialFullConvolution(3, 2, 3, 3).noBias(), IMAGES,
               windows.full_convolution, SUMS, per_sample=True),
    ModuleCase("SpatialFullConvolution-sizes", lambda: nn.SpatialFullConvolution(3, 2, 3, 4, 3, 2),
               [IMAGES, Input((2, 15, 17))],
               lambda x, w, b: windows.full_convolution(x[0], w, b, (2, 3), extra=(1, 2)), SUMS),
    ModuleCase("SpatialDepthWiseConvolution", lambda: nn.SpatialDepthWiseConvolution(3, 2, 2, 3, 1, 2, 0, 1), IMAGES,
               _depthwise, SUMS, per_sample=True),
    ModuleCase("TemporalRowConvolution", lambda: nn.TemporalRowConvolution(4, 3, 2), FRAMES,
               lambda x, w, b: _by_features(x, w, b, 2), SUMS, per_sample=True),
    ModuleCase("TemporalRowConvolution-featFirst", lambda: nn.TemporalRowConvolution(9, 3, 1, True).noBias(), FRAMES,
               lambda x, w: windows.convolution(x, w, groups=9), SUMS, per_sample=True),
    ModuleCase("TemporalSubSampling", lambda: nn.TemporalSubSampling(4, 3, 2), FRAMES,
               lambda x, w, b: _by_features(x, np.repeat(w[:, None, None], 3, 2), b, 2), SUMS, per_sample=True),
    ModuleCase("SpatialSubSampling", lambda: nn.SpatialSubSampling(3, 2, 3, 2, 1), IMAGES,
               lambda x, w, b: windows.convolution(x, np.tile(w[:, None, None, None], (1, 1, 3, 2)), b, (1, 2),
                                                   groups=3), SUMS, per_sample=True),
    ModuleCase("SpatialConvolutionLocal", lambda: nn.SpatialConvolutionLocal(3, 2, 5, 6, 3, 2, 2, 1, 1, 0), IMAGES,
               _local, SUMS, per_sample=True),
    ModuleCase("SpatialConvolutionLocal-noBias",
               lambda: nn.SpatialConvolutionLocal(3, 2, 5, 6, 3, 2, 2, 1, 1, 0).noBias(), Input((1, 3, 6, 5)),
               _local, SUMS, per_sample=True),
    ModuleCase("SpatialConvolutionMap", lambda: nn.SpatialConvolutionMap(nn.tables.full(3, 2), 3, 2, 2), IMAGES,
               _mapped(nn.tables.full(3, 2), windows.convolution, is_full=False), SUMS, per_sample=True),
    ModuleCase("SpatialConvolutionMap-twice", lambda: nn.SpatialConvolutionMap(TWICE, 3, 2, 2), IMAGES,
               _mapped(TWICE, windows.convolution, is_full=False), SUMS, per_sample=True),
    ModuleCase("SpatialFullConvolutionMap", lambda: nn.SpatialFullConvolutionMap(TWICE, 3, 2, 2), IMAGES,
               _mapped(TWICE, windows.full_convolution, is_full=True), SUMS, per_sample=True),
    ModuleCase("VolumetricFullConvolution-sizes", lambda: nn.VolumetricFullConvolution(2, 2, 1, 2, 2, 1, 2, 3),
               [VOLUMES, Input((3, 13, 9))],
               lambda x, w, b: windows.full_convolution(x[0], w, b, (1, 3, 2), extra=(0, 2, 1)), SUMS),
    ModuleCase("SpatialDepthWiseConvolution-noBias",
               lambda: nn.SpatialDepthWiseConvolution(3, 1, 2, 3, 1, 2, 0, 1).noBias(), IMAGES, _depthwise, SUMS,
               per_sample=True),
)  # fmt: skip

X = Input((BATCH, 6))
DEEP = [X, (Input((BATCH, 2)), [Input((BATCH, 3))])]


def _gated(input):
    gates, experts = input
    return sum(gates[..., k, None] * expert for k, expert in enumerate(experts))


def _weight_norm(v, g):
    return g * v / np.sqrt((v * v).sum(1, keepdims=True) + 1e-4)


def _depth_concat(x):
    return np.concatenate([np.pad(x[:, :, 1:3], ((0, 0), (0, 0), (1, 2))), x], 1)


WEIGHT = Input((BATCH, 3))
CONTAINERS_AND_TABLES = (
    ModuleCase("Concat", lambda: nn.Concat(1, nn.Linear(6, 5), nn.Tanh()), X,
               lambda x, w, b: np.concatenate([x @ w.T + b, np.tanh(x)], 1), SUMS),
    ModuleCase("Concat-of-samples", lambda: nn.Concat(-1, nn.Identity(), nn.MulConstant(2)), X,
               lambda x: np.concatenate([x, 2 * x], 1), per_sample=True),
    ModuleCase("DepthConcat", lambda: nn.DepthConcat(1, nn.Narrow(2, 1, 2), nn.Identity()), Input((BATCH, 3, 5)),
               _depth_concat),
    ModuleCase("DepthConcat-alike", lambda: nn.DepthConcat(0, nn.Identity(), nn.Identity()), X,
               lambda x: np.concatenate([x, x])),
    ModuleCase("Parallel", lambda: nn.Parallel(1, -1, nn.Linear(3, 5), nn.MulConstant(2), nn.Tanh()),
               Input((BATCH, 2, 3)), lambda x, w, b: np.concatenate([x[:, 0] @ w.T + b, 2 * x[:, 1]], 1), SUMS),
    ModuleCase("MapTable", lambda: nn.MapTable(nn.Linear(6, 2)), [X, Input((BATCH, 6))],
               lambda x, w, b: [entry @ w.T + b for entry in x], SUMS, per_sample=True),
    ModuleCase("MapTable-apart", lambda: nn.MapTable(nn.Linear(6, 2, False), False).resize(2), [X, X],
               lambda x, *w: [entry @ v.T for entry, v in zip(x, w, strict=True)], SUMS, per_sample=True),
    ModuleCase("Decorator", lambda: nn.Decorator(nn.Linear(6, 5)), X, lambda x, w, b: x @ w.T + b, SUMS,
               per_sample=True),
    ModuleCase("Bottle", lambda: nn.Bottle(nn.Linear(6, 5)), Input((BATCH, 3, 6)), lambda x, w, b: x @ w.T + b, SUMS,
               per_sample=True),
    ModuleCase("Bottle-as-it-is", lambda: nn.Bottle(nn.Linear(6, 5)), X, lambda x, w, b: x @ w.T + b, SUMS),
    ModuleCase("Bottle-fewer", lambda: nn.Bottle(nn.Sum(1), 2, 1), Input((BATCH, 3, 6)), lambda x: x.sum(-1), SUMS,
               per_sample=True),
    ModuleCase("WeightNorm", lambda: nn.WeightNorm(nn.Linear(6, 5)), X,
               lambda x, v, g, b: x @ _weight_norm(v, g).T + b, SUMS, per_sample=True),
    ModuleCase("WeightNorm-columns", lambda: nn.WeightNorm(nn.Linear(6, 5, False), 1), X,
               lambda x, v, g: x @ _weight_norm(v, g), SUMS, per_sample=True),
    ModuleCase("NaN", lambda: nn.NaN(nn.Linear(6, 5), 7), X, lambda x, w, b: x @ w.T + b, SUMS, per_sample=True),
    ModuleCase("Profile", lambda: nn.Profile(nn.Tanh(), 10**6, "it"), X, np.tanh, TRANSCENDENTAL, per_sample=True),
    ModuleCase("PrintSize", nn.PrintSize, DEEP, lambda x: x, per_sample=True),
    ModuleCase("DontCast", lambda: nn.DontCast(nn.Tanh(), True), X, np.tanh, TRANSCENDENTAL, per_sample=True),
    ModuleCase("GPU", lambda: nn.GPU(nn.Tanh(), 2), X, np.tanh, TRANSCENDENTAL, per_sample=True),
    ModuleCase("NarrowTable", lambda: nn.NarrowTable(-2, 2), [X, X, WEIGHT], lambda x: x[1:], per_sample=True),
    ModuleCase("FlattenTable", nn.FlattenTable, DEEP, lambda x: [x[0], x[1][0], *x[1][1]], per_sample=True),
    ModuleCase("ZipTable", nn.ZipTable, [[X, WEIGHT], (X, WEIGHT)],
               lambda x: [[x[0][0], x[1][0]], [x[0][1], x[1][1]]], per_sample=True),
    ModuleCase("ZipTableOneToMany", nn.ZipTableOneToMany, [X, [X, WEIGHT]],
               lambda x: [[x[0], x[1][0]], [x[0], x[1][1]]], per_sample=True),
    ModuleCase("CAddTensorTable", nn.CAddTensorTable, [X, [X, X]], lambda x: [x[0] + entry for entry in x[1]],
               per_sample=True),
    ModuleCase("MixtureTable", nn.MixtureTable, [WEIGHT, [X, X, X]], _gated, SUMS, per_sample=True),
    ModuleCase("MixtureTable-array", nn.MixtureTable, [WEIGHT, Input((BATCH, 3, 6))],
               lambda x: np.einsum("bk,bki->bi", *x), SUMS, per_sample=True),
    ModuleCase("MixtureTable-dim", lambda: nn.MixtureTable(-1), [WEIGHT, Input((BATCH, 6, 3))],
               lambda x: np.einsum("bk,bik->bi", *x), SUMS, per_sample=True),
    ModuleCase("CriterionTable", lambda: nn.CriterionTable(nn.MSECriterion()), [X, X], _mean_squares, SUMS),
    ModuleCase("Collapse", lambda: nn.Collapse(2), Input((BATCH, 2, 3)), lambda x: x.reshape(BATCH, 6),
               per_sample=True),
    ModuleCase("Convert", nn.Convert, X, lambda x: x, per_sample=True),
    ModuleCase("Convert-order", lambda: nn.Convert("bchw", "hwcb"), Input((BATCH, 3, 2, 5)),
               lambda x: x.transpose(2, 3, 1, 0)),
    ModuleCase("Convert-one", lambda: nn.Convert("chw", "hwc"), Input((3, 2, 5)), lambda x: x.transpose(1, 2, 0)),
    ModuleCase("Convert-features", lambda: nn.Convert("cbh", "bf"), Input((3, BATCH, 2)),
               lambda x: x.swapaxes(0, 1).reshape(BATCH, 6)),
    ModuleCase("Convert-batch", lambda: nn.Convert("bf", "b"), Input((BATCH, 1)), lambda x: x[:, 0],
               per_sample=False),
    ModuleCase("Index", lambda: nn.Index(1), [Input((BATCH, 3, 5)), Input((6,), "index", 3)],
               lambda x: x[0][:, x[1]], of_indices=True),
    ModuleCase("Index-last", lambda: nn.Index(-1), [X, Input((2,), "index", 6)], lambda x: x[0][:, x[1]],
               of_indices=True),
    ModuleCase("MaskedSelect", nn.MaskedSelect, [X, Input(X.shape, "index", 2)], lambda x: x[0][x[1] != 0],
               of_indices=True),
    ModuleCase("Constant", lambda: nn.Constant(2.5), X, lambda _: np.array([2.5])),
    ModuleCase("Constant-batch", lambda: nn.Constant(np.arange(3.0), 1), X, lambda x: np.tile(np.arange(3.0), (4, 1)),
               per_sample=True),
    ModuleCase("GradientReversal", lambda: nn.GradientReversal(0.7), DEEP, lambda x: x, per_sample=True, factor=-0.7),
    ModuleCase("ZeroGrad", nn.ZeroGrad, X, lambda x: x, per_sample=True, factor=0),
    ModuleCase("OneHot", lambda: nn.OneHot(5), Input((BATCH, 2), "index", 5), lambda x: np.eye(5)[x],
               per_sample=True, of_indices=True),
)  # fmt: skip


def _softmin(x, dim):
    e = np.exp(x.min(dim, keepdims=True) - x)
    return e / e.sum(dim, keepdims=True)


def _glu(x):
    a, b = np.split(x, 2, 1)
    return a / (1 + np.exp(-b))


NONZERO = Input((BATCH, 6), "nonzero")
PLANES = Input((BATCH, 3, 2, 5), "nonzero")
BLOCK = Input((BATCH, 6, 5), "distinct")
TRANSFERS_AND_EXTREMES = (
    ModuleCase("SoftMin", nn.SoftMin, X, lambda x: _softmin(x, 1), CANCELLING, per_sample=True),
    ModuleCase("SoftMin-planes", nn.SoftMin, Input((BATCH, 3, 2, 5)), lambda x: _softmin(x, 1), CANCELLING,
               per_sample=True),
    ModuleCase("TanhShrink", nn.TanhShrink, X, lambda x: x - np.tanh(x), CANCELLING, per_sample=True),
    ModuleCase("HardShrink-0", lambda: nn.HardShrink(0), NONZERO, lambda x: x, per_sample=True),
    ModuleCase("PReLU", nn.PReLU, NONZERO, lambda x, w: np.where(x > 0, x, w * x), per_sample=True),
    ModuleCase("PReLU-features", lambda: nn.PReLU(6), NONZERO, lambda x, w: np.where(x > 0, x, w * x),
               per_sample=True),
    ModuleCase("PReLU-planes", lambda: nn.PReLU(3), PLANES,
               lambda x, w: np.where(x > 0, x, w[:, None, None] * x), per_sample=True),
    ModuleCase("RReLU", nn.RReLU, NONZERO, random=True),
    ModuleCase("RReLU-equal", lambda: nn.RReLU(0.25, 0.25, True), NONZERO, lambda x: np.where(x > 0, x, x / 4),
               per_sample=True),
    ModuleCase("GatedLinearUnit", lambda: nn.GatedLinearUnit(1), X, _glu, CANCELLING),
    ModuleCase("GatedLinearUnit-last", nn.GatedLinearUnit, X, _glu, CANCELLING, per_sample=True),
    ModuleCase("CReLU", lambda: nn.CReLU(1, True), NONZERO,
               lambda x: np.concatenate([np.maximum(x, 0), np.maximum(-x, 0)], 1), per_sample=True),
    ModuleCase("Maxout", lambda: nn.Maxout(6, 4, 3), X,
               lambda x, w, b: (x @ w.T + b).reshape(BATCH, 3, 4).max(1), SUMS, per_sample=True),
    ModuleCase("Maxout-preprocess", lambda: nn.Maxout(6, 4, 3, nn.Tanh()), X,
               lambda x, w, b: np.tanh(x @ w.T + b).reshape(BATCH, 3, 4).max(1), SUMS, per_sample=True),
    ModuleCase("Max", lambda: nn.Max(1), BLOCK, lambda x: x.max(1)),
    ModuleCase("Max-sample", lambda: nn.Max(0, 2), BLOCK, lambda x: x.max(1), per_sample=True),
    ModuleCase("Max-last", lambda: nn.Max(-1), BLOCK, lambda x: x.max(-1), per_sample=True),
    ModuleCase("Max-one", nn.Max, Input((7,), "distinct"), lambda x: x.max(0)),
    ModuleCase("Min", lambda: nn.Min(2), BLOCK, lambda x: x.min(2)),
    ModuleCase("Min-sample", lambda: nn.Min(0, 1), Input((BATCH, 6), "distinct"), lambda x: x.min(1),
               per_sample=True),
)  # fmt: skip


def _norm(x, p, eps=0.0):
    return ((np.abs(x) ** p).sum(-1, keepdims=True) + eps) ** (1 / p)


def _distances(x, w):
    return np.sqrt(((w - x[..., None]) ** 2).sum(-2))


def _angles(x, w):
    return x @ w.T / ((_norm(x, 2) + 1e-12) * (_norm(w, 2).T + 1e-12))


def _with_partition(module, *places):
    module.setPartition(np.array(places))
    return module


def _keyed(keys, values, w, b):
    return np.stack([b + v @ w[k] for k, v in zip(keys, values, strict=True)])


KEYS = [Input((3,), "index", 7), Input((5,), "index", 7)]
VALUES = [Input((3,)), Input((5,))]
DISTANCES_AND_LINEAR = (
    ModuleCase("Normalize", nn.Normalize, X, lambda x: x / _norm(x, 2, 1e-10), SUMS, per_sample=True),
    ModuleCase("Normalize-1", lambda: nn.Normalize(1), NONZERO, lambda x: x / _norm(x, 1, 1e-10), SUMS,
               per_sample=True),
    ModuleCase("Normalize-1.5", lambda: nn.Normalize(1.5), NONZERO, lambda x: x / _norm(x, 1.5, 1e-10), SUMS,
               per_sample=True),
    ModuleCase("Normalize-3", lambda: nn.Normalize(3), NONZERO, lambda x: x / _norm(x, 3, 1e-10), SUMS,
               per_sample=True),
    ModuleCase("Normalize-4", lambda: nn.Normalize(4), X, lambda x: x / _norm(x, 4, 1e-10), SUMS, per_sample=True),
    ModuleCase("Normalize-inf", lambda: nn.Normalize(math.inf), Input((BATCH, 6), "distinct"),
               lambda x: x / (np.abs(x).max(-1, keepdims=True) + 1e-10), SUMS, per_sample=True),
    ModuleCase("Euclidean", lambda: nn.Euclidean(6, 5), X, _distances, SUMS, per_sample=True,
               gradient=NUMERICAL_DISTANCE),
    ModuleCase("WeightedEuclidean", lambda: nn.WeightedEuclidean(6, 5), X,
               lambda x, w, c: np.sqrt(((c * (w - x[..., None])) ** 2).sum(-2)), SUMS, per_sample=True,
               gradient=NUMERICAL_DISTANCE),
    *(ModuleCase(f"PairwiseDistance-{p}", lambda p=p: nn.PairwiseDistance(p), [X, Input((BATCH, 6))],
                 lambda x, p=p: _norm(x[0] - x[1], p)[:, 0], SUMS, per_sample=True,
                 gradient=NUMERICAL_DISTANCE) for p in (1, 1.5, 2, 3, 4)),
    ModuleCase("Cosine", lambda: nn.Cosine(6, 5), X, _angles, SUMS, per_sample=True),
    ModuleCase("Bilinear", lambda: nn.Bilinear(6, 3, 5), [X, WEIGHT],
               lambda x, w, b: np.einsum("ri,kij,rj->rk", x[0], w, x[1]) + b, SUMS),
    ModuleCase("Bilinear-noBias", lambda: nn.Bilinear(6, 3, 5, False), [X, WEIGHT],
               lambda x, w: np.einsum("ri,kij,rj->rk", x[0], w, x[1]), SUMS),
    ModuleCase("PartialLinear", lambda: nn.PartialLinear(6, 5), X, lambda x, w, b: x @ w.T + b, SUMS, per_sample=True),
    ModuleCase("PartialLinear-part", lambda: _with_partition(nn.PartialLinear(6, 5), 4, 1, 1), X,
               lambda x, w, b: (x @ w.T + b)[:, [4, 1, 1]], SUMS, per_sample=True),
    ModuleCase("PartialLinear-noBias", lambda: _with_partition(nn.PartialLinear(6, 5, False), 2), X,
               lambda x, w: (x @ w.T)[:, [2]], SUMS, per_sample=True),
    ModuleCase("LinearWeightNorm", lambda: nn.LinearWeightNorm(6, 5), X,
               lambda x, v, g, b: x @ (g * v / _norm(v, 2)).T + b, SUMS, per_sample=True),
    ModuleCase("LinearWeightNorm-noBias", lambda: nn.LinearWeightNorm(6, 5, False), X,
               lambda x, v, g: x @ (g * v / _norm(v, 2)).T, SUMS, per_sample=True),
    ModuleCase("IndexLinear", lambda: nn.IndexLinear(7, 3, True), [KEYS[0], VALUES[0]],
               lambda x, w, b: _keyed(*([entry] for entry in x), w, b)[0], SUMS, of_indices=True),
    ModuleCase("IndexLinear-lists", lambda: nn.IndexLinear(7, 3, True), [KEYS, VALUES],
               lambda x, w, b: _keyed(*x, w, b), SUMS, of_indices=True),
)  # fmt: skip

PLANE = Input((BATCH, 3, 2, 5))
NOISES = (
    ModuleCase("SpatialDropout", nn.SpatialDropout, PLANE, random=True),
    ModuleCase("SpatialDropout-nothing", lambda: nn.SpatialDropout(0), PLANE, lambda x: x, per_sample=True),
    ModuleCase("SpatialDropout-always", lambda: nn.SpatialDropout(0.25).evaluate(), PLANE, lambda x: 0.75 * x,
               per_sample=True),
    ModuleCase("VolumetricDropout", lambda: nn.VolumetricDropout(0.3), Input((2, 3, 2, 2, 3)), random=True),
    ModuleCase("WhiteNoise", nn.WhiteNoise, X, random=True),
    ModuleCase("WhiteNoise-mean", lambda: nn.WhiteNoise(0.5).evaluate(), X, lambda x: x + 0.5, per_sample=True),
)  # fmt: skip

# With gradients that are no derivatives, or inputs that no derivative can be taken by, and tests of their own.
OTHERS = (
    ModuleCase("Kmeans", lambda: nn.Kmeans(3, 6), X),
    ModuleCase("SparseLinear", lambda: nn.SparseLinear(7, 3), Input((BATCH, 5, 2))),
)

MODULES = (
    *NOISES,
    *DISTANCES_AND_LINEAR,
    *TRANSFERS_AND_EXTREMES,
    *CONTAINERS_AND_TABLES,
    *CONVOLUTIONS,
    *(_of_op(case) for case in OP_CASES if case.module),
    ModuleCase("Identity-table", nn.Identity, DEEP, lambda x: x, per_sample=True),
    ModuleCase("ReLU-inplace", lambda: nn.ReLU(True), Input((BATCH, 6), "nonzero"), lambda x: np.maximum(x, 0)),
    ModuleCase("LeakyReLU-inplace", lambda: nn.LeakyReLU(True), Input((BATCH, 6), "nonzero"),
               lambda x: np.where(x > 0, x, 0.01 * x)),
    ModuleCase("ELU-inplace", lambda: nn.ELU(None, True), X, lambda x: np.where(x > 0, x, np.expm1(x)), TRANSCENDENTAL),
    ModuleCase("Threshold-inplace", lambda: nn.Threshold(0.5, 0, True), X, lambda x: np.where(x > 0.5, x, 0)),
    ModuleCase("HardTanh-inplace", lambda: nn.HardTanh(None, None, True), X, lambda x: np.clip(x, -1, 1)),
    ModuleCase("Clamp", lambda: nn.Clamp(-0.5, 0.75), X, lambda x: np.clip(x, -0.5, 0.75), per_sample=True),
    ModuleCase("ReLU6", nn.ReLU6, X, lambda x: np.clip(x, 0, 6), per_sample=True),
    ModuleCase("Power-fraction", lambda: nn.Power(-1.5), Input((BATCH, 6), "positive"), lambda x: x**-1.5,
               TRANSCENDENTAL, per_sample=True),
    ModuleCase("SoftPlus", nn.SoftPlus, X, lambda x: np.logaddexp(0, x), TRANSCENDENTAL, per_sample=True),
    ModuleCase("CAddTable-inplace", lambda: nn.CAddTable(True), [X, X], np.add.reduce, per_sample=True),
    ModuleCase("Linear-noBias", lambda: nn.Linear(6, 5).noBias(), X, lambda x, w: x @ w.T, SUMS, per_sample=True),
    ModuleCase("Reshape-no-batch", lambda: nn.Reshape(6, 4, False), X, lambda x: x.reshape(6, 4)),
    ModuleCase("Reshape-batch", lambda: nn.Reshape(2, 3, True), X, lambda x: x.reshape(-1, 2, 3)),
    # A batch of one keeps its first dim.
    ModuleCase("Reshape-one", lambda: nn.Reshape(3, 2), Input((1, 6)), lambda x: x.reshape(1, 3, 2)),
    ModuleCase("View-one", lambda: nn.View(-1).setNumInputDims(2), Input((1, 2, 3)), lambda x: x.reshape(1, 6)),
    ModuleCase("JoinTable-one", lambda: nn.JoinTable(0, 1), [Input((1, 6)), Input((1, 2))],
               lambda x: np.concatenate(x, 1), per_sample=True),
    ModuleCase("SplitTable-one", lambda: nn.SplitTable(0, 1), Input((1, 3)), lambda x: list(x.T), per_sample=True),
    ModuleCase("View-numInputDims", lambda: nn.View(6).setNumInputDims(2), Input((BATCH, 2, 3)),
               lambda x: x.reshape(-1, 6)),
    ModuleCase("JoinTable-nInputDims", lambda: nn.JoinTable(0, 1), [X, Input((BATCH, 2))],
               lambda x: np.concatenate(x, -1), per_sample=True),
    ModuleCase("SplitTable", lambda: nn.SplitTable(1), Input((BATCH, 3, 6)), lambda x: [x[:, k] for k in range(3)]),
    ModuleCase("SplitTable-nInputDims", lambda: nn.SplitTable(0, 2), Input((BATCH, 3, 6)),
               lambda x: [x[..., k, :] for k in range(3)], per_sample=True),
    ModuleCase("SelectTable", lambda: nn.SelectTable(0), DEEP, lambda x: x[0], per_sample=True),
    ModuleCase("SelectTable-table", lambda: nn.SelectTable(-1), DEEP, lambda x: x[1], per_sample=True),
    ModuleCase("JustTable", nn.JustTable, DEEP, lambda x: [x], per_sample=True),
    ModuleCase("JustElement", nn.JustElement, [DEEP], lambda x: x[0], per_sample=True),
    ModuleCase("Parameters", lambda: nn.Parameters(2, 3), [], lambda _, w: w),
    ModuleCase("Sequential", _mlp, X,
               lambda x, v, b, w, c: np.tanh(x @ v.T + b) @ w.T + c, SUMS, per_sample=True),
    ModuleCase("Sequential-empty", nn.Sequential, X, lambda x: x, per_sample=True),
    ModuleCase("ConcatTable", lambda: _add(nn.ConcatTable(), nn.Linear(6, 5), nn.Tanh(), nn.Identity()), X,
               lambda x, w, b: [x @ w.T + b, np.tanh(x), x], SUMS, per_sample=True),
    ModuleCase("ParallelTable", lambda: _add(nn.ParallelTable(), nn.Linear(6, 5), nn.Identity()), DEEP,
               lambda x, w, b: [x[0] @ w.T + b, x[1]], SUMS, per_sample=True),
    ModuleCase("containers", lambda: _add(nn.Sequential(), _add(nn.ConcatTable(), nn.Linear(6, 4), _mlp()),
                                          _add(nn.ParallelTable(), nn.Identity(), nn.Linear(3, 4)),
                                          nn.CMulTable(), nn.Sigmoid()), X, per_sample=True),
    ModuleCase("Dropout", lambda: nn.Dropout(0.3), X, random=True),
    ModuleCase("Dropout-v1", lambda: nn.Dropout(0.3, True), X, random=True),
    ModuleCase("Dropout-nothing", lambda: nn.Dropout(0), X, lambda x: x, per_sample=True),
    ModuleCase("MV", nn.MV, [Input((3, 5, 4)), Input((3, 4))], lambda x: _mv(*x), SUMS, per_sample=True),
    ModuleCase("MV-trans", lambda: nn.MV(True), [Input((3, 4, 5)), Input((3, 4))],
               lambda x: _mv(x[0].swapaxes(1, 2), x[1]), SUMS, per_sample=True),
    ModuleCase("DotProduct", nn.DotProduct, [X, X], lambda x: (x[0] * x[1]).sum(1), SUMS, per_sample=True),
    ModuleCase("CosineDistance", nn.CosineDistance, [X, X], lambda x: _cosine(*x), SUMS, per_sample=True),
    ModuleCase("Sum", lambda: nn.Sum(1), Input((BATCH, 3, 6)), lambda x: x.sum(1), SUMS),
    ModuleCase("Sum-nInputDims", lambda: nn.Sum(0, 2), Input((BATCH, 3, 6)), lambda x: x.sum(-2), SUMS,
               per_sample=True),
    ModuleCase("Sum-mean", lambda: nn.Sum(-1, None, True, False), X, lambda x: x.mean(-1, keepdims=True), SUMS,
               per_sample=True),
    ModuleCase("Mean", lambda: nn.Mean(0, 1), X, lambda x: x.mean(-1), SUMS, per_sample=True),
    ModuleCase("Squeeze", nn.Squeeze, Input((BATCH, 1, 3, 1)), np.squeeze, per_sample=True),
    ModuleCase("Squeeze-dim", lambda: nn.Squeeze(0, 2), Input((BATCH, 1, 6)), lambda x: x[:, 0], per_sample=True),
    ModuleCase("Squeeze-of-more", lambda: nn.Squeeze(-1), X, lambda x: x),
    ModuleCase("Squeeze-one", lambda: nn.Squeeze(None, 2), Input((1, 1, 6)), lambda x: x[:, 0]),
    ModuleCase("Squeeze-ones", nn.Squeeze, Input((1, 1)), lambda x: x[0]),
    ModuleCase("Unsqueeze-numInputDims", lambda: nn.Unsqueeze(1, 1), X, lambda x: x[..., None], per_sample=True),
    ModuleCase("Unsqueeze-last", lambda: nn.Unsqueeze(-1), X, lambda x: x[..., None], per_sample=True),
    ModuleCase("Replicate-ndim", lambda: nn.Replicate(3, 0, 1), X, lambda x: np.stack([x] * 3, -2), per_sample=True),
    ModuleCase("Transpose-two", lambda: nn.Transpose([0, 1], [1, 2]), Input((4, 3, 6)),
               lambda x: x.transpose(1, 2, 0)),
    ModuleCase("Transpose-numInputDims", lambda: nn.Transpose([0, 1]).setNumInputDims(2), Input((BATCH, 3, 6)),
               lambda x: x.swapaxes(1, 2), per_sample=True),
    ModuleCase("Contiguous", nn.Contiguous, X, lambda x: x, per_sample=True),
    ModuleCase("Copy", nn.Copy, X, lambda x: x, per_sample=True),
    ModuleCase("Mul", nn.Mul, X, lambda x, w: w * x, per_sample=True),
    ModuleCase("CMul", lambda: nn.CMul(1, 6), X, np.multiply, per_sample=True),
    ModuleCase("CMul-rows", lambda: nn.CMul(1, 3, 1), Input((BATCH, 3, 6)), np.multiply),
    ModuleCase("CMul-batch", lambda: nn.CMul((3, 2)), Input((BATCH, 3, 2)), np.multiply, per_sample=True),
    ModuleCase("CAdd", lambda: nn.CAdd(BATCH, 1), X, np.add),
    ModuleCase("CAdd-batch", lambda: nn.CAdd(6), Input((BATCH, 3, 2)), lambda x, b: x + b.reshape(3, 2),
               per_sample=True),
    ModuleCase("Add", lambda: nn.Add(6), X, np.add, per_sample=True),
    ModuleCase("Add-scalar", lambda: nn.Add(6, True), X, np.add, per_sample=True),
    ModuleCase("LookupTable", lambda: nn.LookupTable(9, 4), Input((BATCH, 3), "index", 9), lambda x, w: w[x],
               per_sample=True, of_indices=True),
    ModuleCase("SpatialMaxPooling", lambda: nn.SpatialMaxPooling(2, 3, 2, 1), Input((2, 1, 4, 5), "distinct"),
               _max_pooled(2, 0, 0, 3, 1, 0, 1, 2, 2, 0, 1), per_sample=True),
    ModuleCase("SpatialMaxPooling-ceil", lambda: nn.SpatialMaxPooling(3, 3, 2, 2, 1, 1).ceil(),
               Input((2, 1, 4, 5), "distinct"), _max_pooled(2, 1, 0, 3, 2, 1, 1, 3, 2, 1, 1), per_sample=True),
    ModuleCase("SpatialDilatedMaxPooling", lambda: nn.SpatialDilatedMaxPooling(2, 2, 1, 1, 0, 1, 2, 1),
               Input((2, 1, 3, 5), "distinct"), _max_pooled(2, 0, 0, 2, 1, 1, 1, 2, 1, 0, 2), per_sample=True),
    ModuleCase("TemporalMaxPooling", lambda: nn.TemporalMaxPooling(3, 2), Input((2, 6, 2), "distinct"),
               _max_pooled(2, 0, 0, 3, 2, 0, 1, 1, 1, 0, 1), per_sample=True),
    ModuleCase("VolumetricMaxPooling", lambda: nn.VolumetricMaxPooling(2, 3, 2, 1, 2, 1, 0, 1, 1),
               Input((2, 1, 3, 2, 4), "distinct"), _max_pooled(3, 0, 0, 2, 1, 0, 1, 2, 1, 1, 1, 3, 2, 1, 1),
               per_sample=True),
    ModuleCase("VolumetricDilatedMaxPooling",
               lambda: nn.VolumetricDilatedMaxPooling(2, 1, 2, None, None, None, 0, 0, 1, 2, 1, 2),
               Input((2, 1, 3, 3, 2), "distinct"), _max_pooled(3, 0, 0, 2, 2, 0, 2, 2, 2, 1, 2, 1, 1, 0, 1),
               per_sample=True),
    ModuleCase("SpatialAveragePooling", lambda: nn.SpatialAveragePooling(2, 3, 2, 2, 1, 1), Input((2, 1, 4, 5)),
               windows.average_pool((2, 0, 1, 3, 2, 1, 1, 2, 2, 1, 1)), SUMS, per_sample=True),
    ModuleCase("SpatialAveragePooling-ceil",
               lambda: nn.SpatialAveragePooling(2, 3, 2, 2, 1, 1).ceil().setCountExcludePad(), Input((2, 1, 4, 4)),
               windows.average_pool((2, 1, 2, 3, 2, 1, 1, 2, 2, 1, 1)), SUMS, per_sample=True),
    ModuleCase("VolumetricAveragePooling", lambda: nn.VolumetricAveragePooling(2, 2, 1, 1), Input((2, 1, 3, 2, 4)),
               windows.average_pool((3, 0, 1, 2, 1, 0, 1, 1, 1, 0, 1, 2, 2, 0, 1)), SUMS, per_sample=True),
    ModuleCase("SpatialAdaptiveMaxPooling", lambda: nn.SpatialAdaptiveMaxPooling(3, 2), Input((2, 1, 3, 5), "distinct"),
               _max_pooled(2, 2, 0, 2, 1, 0, 1, 3, 1, 0, 1), per_sample=True),
    ModuleCase("SpatialAdaptiveAveragePooling", lambda: nn.SpatialAdaptiveAveragePooling(3, 2), Input((2, 1, 3, 5)),
               windows.average_pool((2, 2, 1, 2, 1, 0, 1, 3, 1, 0, 1)), SUMS, per_sample=True),
    ModuleCase("SpatialMaxUnpooling", lambda: _unpooled(nn.SpatialMaxPooling(2, 2), nn.SpatialMaxUnpooling),
               Input((2, 1, 4, 5), "distinct"), _twice_unpooled, per_sample=True),
    ModuleCase("VolumetricMaxUnpooling",
               lambda: _unpooled(nn.VolumetricMaxPooling(1, 2, 1), nn.VolumetricMaxUnpooling),
               Input((2, 1, 1, 2, 5), "distinct"), per_sample=True),
    ModuleCase("SpatialLPPooling", lambda: nn.SpatialLPPooling(1, 2, 2, 3, 1, 2), Input((2, 1, 3, 3)),
               lambda x: np.sqrt(windows.average_pool((2, 0, 0, 3, 2, 0, 1, 2, 1, 0, 1))(x**2)), SUMS,
               per_sample=True),
    ModuleCase("SpatialLPPooling-3", lambda: nn.SpatialLPPooling(1, 3, 2, 2), Input((2, 1, 3, 3), "positive"),
               lambda x: np.cbrt(windows.average_pool((2, 0, 0, 2, 2, 0, 1, 2, 2, 0, 1))(x**3)), SUMS,
               per_sample=True),
    ModuleCase("FeatureLPPooling", lambda: nn.FeatureLPPooling(3, 2, 2, True), Input((BATCH, 6)),
               lambda x: np.sqrt(windows.average_pool((1, 0, 0, 3, 2, 0, 1))(x**2)), SUMS),
    ModuleCase("FeatureLPPooling-3", lambda: nn.FeatureLPPooling(2, 1, 3), Input((3, 2, 2), "positive"),
               lambda x: np.cbrt(windows.average_pool((3, 0, 0, 2, 1, 0, 1, 1, 1, 0, 1, 1, 1, 0, 1))(x**3)), SUMS),
    ModuleCase("SpatialFractionalMaxPooling",
               lambda: nn.SpatialFractionalMaxPooling(2, 3, 3, 2).fixPoolingRegions(), Input((2, 1, 5, 5), "distinct")),
    ModuleCase("VolumetricFractionalMaxPooling",
               lambda: nn.VolumetricFractionalMaxPooling(2, 2, 2, 0.7, 0.6, 0.5).fixPoolingRegions(),
               Input((1, 1, 3, 4, 4), "distinct")),
    ModuleCase("TemporalDynamicKMaxPooling", lambda: nn.TemporalDynamicKMaxPooling(1, 0.5),
               Input((2, 5, 2), "distinct"),
               lambda x: np.take_along_axis(x, np.sort(np.argsort(x, 1)[:, -3:], 1), 1), per_sample=True),
    ModuleCase("SpatialCrossMapLRN", lambda: nn.SpatialCrossMapLRN(3, 0.3, 0.6, 2), Input((2, 4, 1, 2)),
               lambda x: x * (2 + 0.1 * _sums_of_three(x**2)) ** -0.6, TRANSCENDENTAL, per_sample=True),
    ModuleCase("SpatialSoftMax", nn.SpatialSoftMax, Input((2, 3, 1, 2)),
               lambda x: np.exp(x) / np.exp(x).sum(1, keepdims=True), SUMS, per_sample=True),
    ModuleCase("SpatialLogSoftMax", nn.SpatialLogSoftMax, Input((2, 3, 1, 2)),
               lambda x: x - np.log(np.exp(x).sum(1, keepdims=True)), SUMS, per_sample=True),
    *(ModuleCase(f"SpatialSubtractiveNormalization-{'x'.join(map(str, kernel.shape))}",
                 lambda kernel=kernel: nn.SpatialSubtractiveNormalization(2, kernel), Input((2, 2, 3, 4)),
                 lambda x, kernel=kernel: _subtracted(x, kernel), SUMS, per_sample=True) for kernel in KERNELS),
    *(ModuleCase(f"SpatialDivisiveNormalization-{'x'.join(map(str, kernel.shape))}",
                 lambda kernel=kernel: nn.SpatialDivisiveNormalization(2, kernel, 0.3, 0.5), Input((2, 2, 3, 4)),
                 lambda x, kernel=kernel: _divided(x, kernel, 0.3, 0.5), SUMS, per_sample=True) for kernel in KERNELS),
    ModuleCase("SpatialContrastiveNormalization", lambda: nn.SpatialContrastiveNormalization(1, np.ones((3, 5))),
               Input((2, 1, 3, 3)), lambda x: _divided(_subtracted(x, np.ones((3, 5))), np.ones((3, 5))), SUMS,
               per_sample=True),
    ModuleCase("SpatialZeroPadding", lambda: nn.SpatialZeroPadding(1, -2, 0, 2), Input((2, 1, 2, 4)),
               lambda x: np.pad(x, ((0, 0), (0, 0), (0, 2), (1, 0)))[..., :-2], per_sample=True),
    ModuleCase("SpatialZeroPadding-all", lambda: nn.SpatialZeroPadding(1), Input((2, 1, 2, 3)),
               lambda x: np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1))), per_sample=True),
    ModuleCase("SpatialReflectionPadding", lambda: nn.SpatialReflectionPadding(2, 1, 0, 1), Input((2, 1, 2, 3)),
               lambda x: np.pad(x, ((0, 0), (0, 0), (0, 1), (2, 1)), "reflect"), per_sample=True),
    ModuleCase("SpatialReplicationPadding", lambda: nn.SpatialReplicationPadding(2, 1, 0, 3), Input((2, 1, 2, 3)),
               lambda x: np.pad(x, ((0, 0), (0, 0), (0, 3), (2, 1)), "edge"), per_sample=True),
    ModuleCase("VolumetricReplicationPadding", lambda: nn.VolumetricReplicationPadding(1, 0, 0, 2, 1, -1),
               Input((2, 1, 2, 1, 3)), lambda x: np.pad(x, ((0, 0), (0, 0), (1, 0), (0, 2), (1, 0)), "edge")[:, :, :-1],
               per_sample=True),
    ModuleCase("Padding", lambda: nn.Padding(-1, 2, None, 0.5), X,
               lambda x: np.pad(x, ((0, 0), (0, 2)), constant_values=0.5)),
    ModuleCase("Padding-before", lambda: nn.Padding(0, -2, 2), Input((BATCH, 3, 2)),
               lambda x: np.pad(x, ((0, 0), (2, 0), (0, 0))), per_sample=True),
    ModuleCase("Padding-inside", lambda: nn.Padding(0, 2, 1, 1, 2), X,
               lambda x: np.insert(x, [4, 4], 1, 1), per_sample=True),
    ModuleCase("SpatialUpSamplingNearest", lambda: nn.SpatialUpSamplingNearest(3), Input((2, 1, 2, 3)),
               lambda x: x.repeat(3, 2).repeat(3, 3), per_sample=True),
    ModuleCase("SpatialUpSamplingBilinear", lambda: nn.SpatialUpSamplingBilinear(3), Input((2, 1, 2, 3)),
               lambda x: interpolated(x, (6, 9)), SUMS, per_sample=True),
    ModuleCase("SpatialUpSamplingBilinear-sizes", lambda: nn.SpatialUpSamplingBilinear({"oheight": 1, "owidth": 5}),
               Input((2, 1, 2, 3)), lambda x: interpolated(x, (1, 5)), SUMS, per_sample=True),
    ModuleCase("UpSampling", lambda: nn.UpSampling(2), Input((1, 2, 1, 2, 2)),
               lambda x: x.repeat(2, 2).repeat(2, 3).repeat(2, 4)),
    ModuleCase("UpSampling-linear", lambda: nn.UpSampling(2, "bilinear"), Input((1, 2, 2, 3)),
               lambda x: interpolated(x, (4, 6)), SUMS),
    ModuleCase("UpSampling-sizes", lambda: nn.UpSampling({"odepth": 3, "oheight": 1, "owidth": 4}, "linear"),
               Input((1, 1, 2, 2, 3)), lambda x: interpolated(x, (3, 1, 4)), SUMS),
    ModuleCase("PixelShuffle", lambda: nn.PixelShuffle(2), Input((2, 8, 2, 1)),
               lambda x: x.reshape(2, 2, 2, 2, 2, 1).transpose(0, 1, 4, 2, 5, 3).reshape(2, 2, 4, 2), per_sample=True),
    ModuleCase("BatchNormalization", lambda: nn.BatchNormalization(6), X, _normalized, SUMS),
    ModuleCase("BatchNormalization-plain", lambda: nn.BatchNormalization(6, 0.1, 0.5, False), X,
               lambda x: _normalized(x, eps=0.1), SUMS),
    ModuleCase("BatchNormalization-one", lambda: nn.BatchNormalization(6), Input((1, 6)), lambda x, w, b: 0 * x),
    ModuleCase("SpatialBatchNormalization", lambda: nn.SpatialBatchNormalization(2), Input((2, 2, 3, 3)),
               _normalized, SUMS),
    ModuleCase("VolumetricBatchNormalization", lambda: nn.VolumetricBatchNormalization(2), Input((2, 2, 2, 1, 3)),
               _normalized, SUMS),
    ModuleCase("LayerNormalization", lambda: nn.LayerNormalization(6, 0.5, 0.1), X,
               lambda x, w, b: _layer_normalized(x) * w + b, SUMS, per_sample=True),
    ModuleCase("LayerNormalization-plain", lambda: nn.LayerNormalization(6, None, 0.1, False), X,
               _layer_normalized, SUMS, per_sample=True),
    ModuleCase("gModule", _graph, [X, (X, [X, Input((2,))])]),
    ModuleCase("ModuleFromCriterion", lambda: nn.ModuleFromCriterion(nn.MSECriterion()), [X, X], _mean_squares, SUMS),
)  # fmt: skip


# ---- recurrent nets ------------------------------------------------------------------------------


def _layers(step):
    def reference(input, *parameters):
        return list(recurrent.layers(step, *input, *parameters))

    return reference


def _unrolled(step, *, as_list=False):
    def reference(input, *parameters):
        outputs, state = recurrent.unrolled(step, *input, *parameters)
        return [outputs if as_list else np.array(outputs), state]

    return reference


def _lstm_from_zeros(x, *parameters):
    zeros = np.zeros((*x.shape[1:-1], parameters[2].shape[1]))
    return recurrent.layers(recurrent.lstm_step, x, [[zeros, zeros]], *parameters)[0]


def _nested_cell():
    """A cell of lists in tuples, of which a part of the state comes back as it was."""
    x, state = nn.Identity()(), nn.Identity()()
    (left, right), (h, kept) = x.split(2), state.split(2)
    sums = nn.CAddTable()([nn.Linear(3, 2)(left), nn.Linear(3, 2)(right), nn.Identity()(h)])
    return nn.gModule([x, state], [nn.nest([nn.Tanh()(sums), [kept]]), nn.nest([nn.Sigmoid()(sums), kept])])


SEQUENCES = Input((3, 2, 3))
H = Input((2, 2))
STEPS = [Input((2, 3)), Input((2, 3))]

MODULES += (
    ModuleCase("LSTM", lambda: nn.LSTM(3, 2, 2), [SEQUENCES, [[H, H], [H, H]]], _layers(recurrent.lstm_step), SUMS),
    ModuleCase("LSTM-from-zeros", lambda: nn.LSTM(3, 2), SEQUENCES, _lstm_from_zeros, SUMS),
    ModuleCase("LSTM-one-sequence", lambda: nn.LSTM(3, 2), Input((4, 3)), _lstm_from_zeros, SUMS),
    ModuleCase("LSTM-one-step", lambda: nn.LSTM(3, 2), Input((1, 1, 3)), _lstm_from_zeros, SUMS),
    ModuleCase("LSTM-both-ways", lambda: nn.LSTM(3, 2, 2, bidirectional=True), [SEQUENCES, [[H, H]] * 4],
               recurrent.lstm_both_ways, SUMS),
    ModuleCase("LSTM-dropout", lambda: nn.LSTM(3, 2, 2, 0.5), SEQUENCES, random=True),
    ModuleCase("GRU", lambda: nn.GRU(3, 2, 2), [SEQUENCES, [H, H]], _layers(recurrent.gru_step), SUMS),
    ModuleCase("GRU-large-batch", lambda: nn.GRU(2, 1, 2), [Input((2, 32, 2)), [Input((32, 1))] * 2],
               _layers(recurrent.gru_step), SUMS),
    ModuleCase("GRU-reset-before", lambda: nn.GRU(3, 2, 2, 0, False), [SEQUENCES, [H, H]],
               _layers(recurrent.gru_reset_before_step), SUMS),
    ModuleCase("RNN", lambda: nn.RNN(3, 2, 2), (SEQUENCES, (H, H)), _layers(recurrent.rnn_step), SUMS),
    ModuleCase("RNN-transfer", lambda: nn.RNN(3, 2, 1, 0, nn.Sigmoid()), [SEQUENCES, [Input((2, 2))]]),
    ModuleCase("unroll-LSTMCell", lambda: nn.unroll(nn.LSTMCell(3, 2), 3), [SEQUENCES, [H, H]],
               _unrolled(recurrent.lstm_step), SUMS),
    ModuleCase("unroll-GRUCell", lambda: nn.unroll(nn.GRUCell(3, 2)), [STEPS, H],
               _unrolled(recurrent.gru_step, as_list=True), SUMS),
    ModuleCase("unroll-RNNCell", lambda: nn.unroll(nn.RNNCell(3, 2)), [Input((4, 3)), Input((2,))],
               _unrolled(recurrent.rnn_step), SUMS),
    ModuleCase("unroll-nested", lambda: nn.unroll(_nested_cell()), [[tuple(STEPS), STEPS], (H, Input((1,)))]),
)  # fmt: skip


# ---- criterions ----------------------------------------------------------------------------------


def _negative_log_likelihood(weights=None, *, average=True, ignored=-100):
    def reference(x, target):
        kept = target != ignored
        picked = np.where(kept, target, 0)
        weight = (np.ones(x.shape[-1]) if weights is None else np.array(weights))[picked] * kept
        loss = -(weight * np.atleast_2d(x)[np.arange(len(picked)), picked]).sum()
        return loss / weight.sum() if average else loss

    return reference


def _cross_entropy(**options):
    inner = _negative_log_likelihood(**options)
    return lambda x, target: inner(x - np.log(np.exp(x).sum(-1, keepdims=True)), target)


def _binary(x, target):
    return -(target * np.log(x + 1e-12) + (1 - target) * np.log(1 - x + 1e-12))


CLASSES = Input((6,), "index", 5)
LOG = Input((6, 5), "log")
SCORES = Input((6, 5))
SIGNS = Input((6, 5), "sign")
UNIT = Input((6, 5), "unit")
WEIGHTS = (0.1, 0.2, 0.3, 0.4, 0.5)

CRITERIONS = (
    CriterionCase("MSE", nn.MSECriterion, SCORES, SCORES, lambda x, t: ((x - t) ** 2).mean()),
    CriterionCase("MSE-sum", lambda: nn.MSECriterion(False), SCORES, SCORES, lambda x, t: ((x - t) ** 2).sum()),
    CriterionCase("ClassNLL", nn.ClassNLLCriterion, LOG, CLASSES, _negative_log_likelihood()),
    CriterionCase("ClassNLL-weights", lambda: nn.ClassNLLCriterion(np.array(WEIGHTS)), LOG, CLASSES,
                  _negative_log_likelihood(WEIGHTS)),
    CriterionCase("ClassNLL-sum", lambda: nn.ClassNLLCriterion(None, False), LOG, CLASSES,
                  _negative_log_likelihood(average=False)),
    CriterionCase("ClassNLL-ignored", lambda: nn.ClassNLLCriterion(None, True, 2), LOG, CLASSES,
                  _negative_log_likelihood(ignored=2)),
    CriterionCase("CrossEntropy", nn.CrossEntropyCriterion, SCORES, CLASSES, _cross_entropy()),
    CriterionCase("CrossEntropy-weights", lambda: nn.CrossEntropyCriterion(np.array(WEIGHTS)), SCORES, CLASSES,
                  _cross_entropy(weights=WEIGHTS)),
    CriterionCase("BCE", nn.BCECriterion, UNIT, Input((6, 5), "bit"), lambda x, t: _binary(x, t).mean()),
    CriterionCase("BCE-soft", lambda: nn.BCECriterion(None, False), UNIT, UNIT, lambda x, t: _binary(x, t).sum()),
    CriterionCase("BCE-weights", lambda: nn.BCECriterion(np.array(WEIGHTS)), UNIT, Input((6, 5), "bit"),
                  lambda x, t: (_binary(x, t) * WEIGHTS).mean()),
    CriterionCase("Margin", lambda: nn.MarginCriterion(0.7), SCORES, SIGNS,
                  lambda x, t: np.maximum(0, 0.7 - t * x).mean()),
    CriterionCase("CosineEmbedding", lambda: nn.CosineEmbeddingCriterion(0.1), [SCORES, SCORES], Input((6,), "sign"),
                  lambda x, t: np.where(t == 1, 1 - _cosine(*x), np.maximum(0, _cosine(*x) - 0.1)).mean()),
    CriterionCase("HingeEmbedding", lambda: nn.HingeEmbeddingCriterion(1.5), Input((6, 5), "positive"), SIGNS,
                  lambda x, t: np.where(t == 1, x, np.maximum(0, 1.5 - x)).mean()),
)  # fmt: skip


# ---- the other criterions of Torch7 ----------------------------------------------------------------


def _smooth(x, t):
    d = abs(x - t)
    return np.where(d < 1, d * d / 2, d - 0.5)


def _softplus(x):
    return np.logaddexp(0, x)


def _labels(x, t, weights=1):
    return (weights * (t * _softplus(-x) + (1 - t) * _softplus(x))).mean()


def _spatial(inner):
    def reference(x, target):
        return inner(x.transpose(0, 2, 3, 1).reshape(-1, x.shape[1]), target.ravel())

    return reference


def _multi_margin(p, margin, weights=None):
    def reference(x, target):
        loss = 0.0
        for row, t in zip(x, target, strict=True):
            lacks = [max(0, margin - row[t] + row[j]) ** p for j in range(len(row)) if j != t]
            loss += (1 if weights is None else weights[t]) * sum(lacks) / len(row)
        return loss / len(x)

    return reference


def _multi_label(x, target):
    loss = 0.0
    for row, labels in zip(x, target, strict=True):
        right = []
        for label in labels.astype(int):
            if label < 0:
                break
            right.append(label)
        loss += sum(max(0, 1 - row[j] + row[k]) for j in right for k in range(len(row)) if k not in right)
    return loss / x.size


def _simplex_error(x, target):
    """By the corners of any simplex: distances between corners are the same in all of them."""
    corners = nn.ClassSimplexCriterion(x.shape[1]).simplex
    return ((x - corners[target]) ** 2).mean()


def _divergence(x, t):
    return (t * (np.log(t) - x)).mean()


def _kl_sum(x, t):
    return (t * (np.log(t) - x)).sum()


CROP = Input((2, 3, 5, 6))
PIXELS = Input((2, 5, 3, 4), "log")
PIXEL_CLASSES = Input((2, 3, 4), "index", 5)

CRITERIONS += (
    CriterionCase("Abs", nn.AbsCriterion, SCORES, SCORES, lambda x, t: abs(x - t).mean()),
    CriterionCase("Abs-sum", lambda: nn.AbsCriterion(False), SCORES, SCORES, lambda x, t: abs(x - t).sum()),
    CriterionCase("SmoothL1", nn.SmoothL1Criterion, SCORES, SCORES, lambda x, t: _smooth(x, t).mean()),
    CriterionCase("SmoothL1-sum", lambda: nn.SmoothL1Criterion(False), SCORES, SCORES,
                  lambda x, t: _smooth(x, t).sum()),
    CriterionCase("WeightedMSE", lambda: nn.WeightedMSECriterion(np.array(WEIGHTS)), SCORES, SCORES,
                  lambda x, t: ((x - WEIGHTS * t) ** 2).mean()),
    CriterionCase("SpatialAutoCropMSE", nn.SpatialAutoCropMSECriterion, Input((2, 3, 2, 3)), CROP,
                  lambda x, t: ((x - t[:, :, 1:3, 1:4]) ** 2).mean()),
    CriterionCase("DistKLDiv", nn.DistKLDivCriterion, LOG, UNIT, _divergence),
    CriterionCase("DistKLDiv-sum", lambda: nn.DistKLDivCriterion(False), LOG, UNIT, _kl_sum),
    CriterionCase("L1Cost", nn.L1Cost, SCORES, Input((1,)), lambda x, t: abs(x).sum()),
    CriterionCase("SpatialClassNLL", lambda: nn.SpatialClassNLLCriterion(np.array(WEIGHTS)), PIXELS, PIXEL_CLASSES,
                  _spatial(_negative_log_likelihood(WEIGHTS))),
    CriterionCase("ClassSimplex", lambda: nn.ClassSimplexCriterion(5), SCORES, CLASSES, _simplex_error),
    CriterionCase("MultiMargin", nn.MultiMarginCriterion, SCORES, CLASSES, _multi_margin(1, 1)),
    CriterionCase("MultiMargin-2", lambda: nn.MultiMarginCriterion(2, np.array(WEIGHTS), 0.7), SCORES, CLASSES,
                  _multi_margin(2, 0.7, WEIGHTS)),
    CriterionCase("MultiLabelMargin", nn.MultiLabelMarginCriterion, SCORES, Input((6, 5), "labels"), _multi_label),
    CriterionCase("MultiLabelSoftMargin", nn.MultiLabelSoftMarginCriterion, SCORES, Input((6, 5), "bit"), _labels),
    CriterionCase("MultiLabelSoftMargin-weights", lambda: nn.MultiLabelSoftMarginCriterion(np.array(WEIGHTS)), SCORES,
                  UNIT, lambda x, t: _labels(x, t, WEIGHTS)),
    CriterionCase("SoftMargin", nn.SoftMarginCriterion, SCORES, SIGNS, lambda x, t: _softplus(-t * x).mean()),
    CriterionCase("L1HingeEmbedding", lambda: nn.L1HingeEmbeddingCriterion(99), [SCORES, SCORES], Input((1,), "sign"),
                  lambda x, t: abs(x[0] - x[1]).sum() if t == 1 else max(0, 99 - abs(x[0] - x[1]).sum())),
    CriterionCase("MarginRanking", lambda: nn.MarginRankingCriterion(0.2), [SCORES, SCORES], SIGNS,
                  lambda x, t: np.maximum(0, 0.2 - t * (x[0] - x[1])).sum() / 6),
    CriterionCase("DistanceRatio", nn.DistanceRatioCriterion, [SCORES, SCORES], Input((1,)),
                  lambda x, t: _softplus(x[0] - x[1]).sum() / 6),
    CriterionCase("Multi", lambda: nn.MultiCriterion().add(nn.MSECriterion(), 0.5).add(nn.SmoothL1Criterion()), SCORES,
                  SCORES, lambda x, t: ((x - t) ** 2).mean() / 2 + _smooth(x, t).mean()),
    CriterionCase("Parallel", lambda: nn.ParallelCriterion().add(nn.MSECriterion(), 0.5).add(nn.ClassNLLCriterion()),
                  [SCORES, LOG, X], [SCORES, CLASSES],
                  lambda x, t: ((x[0] - t[0]) ** 2).mean() / 2 + _negative_log_likelihood()(x[1], t[1])),
    CriterionCase("Parallel-repeat",
                  lambda: nn.ParallelCriterion(True).add(nn.MSECriterion()).add(nn.AbsCriterion(), 2), [SCORES, SCORES],
                  SCORES, lambda x, t: ((x[0] - t) ** 2).mean() + 2 * abs(x[1] - t).mean()),
    CriterionCase("Module", lambda: nn.ModuleCriterion(nn.MSECriterion(), nn.Tanh(), nn.Square()), SCORES, SCORES,
                  lambda x, t: ((np.tanh(x) - t * t) ** 2).mean()),
)  # fmt: skip

MODULES += (
    # With a weight of 0: else its gradient is not that of its output.
    ModuleCase("L1Penalty", lambda: nn.L1Penalty(0), X, lambda x: x, per_sample=True),
)  # fmt: skip


def sample(tree, k):
    """Entry k of the first dim of every array."""
    return tree_map(lambda array: np.array(array[k]), tree)
