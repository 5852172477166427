"""The table of modules and criterions: the rows of op_cases.py that name a module, and what lowers to more than one op.

test_modules.py makes the same tests of each row; a class that the package exports and that has no row fails
test_registry.py.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import windows
from op_cases import OP_CASES, Input
from tolerances import EXACT, SUMS, TRANSCENDENTAL, Tolerance
from trees import tree_map

import pynngraph as nn
from pynngraph._engine import OPS

# What other classes derive from, of no use by itself.
BASES = {nn.Module, nn.Container, nn.Criterion}

BATCH = 4  # size of the first dim in rows with `per_sample`


class ModuleCase(NamedTuple):
    """A row: how to make the module, and a table of `Input` for it.

    `reference(input, *parameters)` computes the output in NumPy, None where there is none. A `per_sample` module gives
    for one sample what it gives for that sample in a batch. A `random` one draws new numbers at each
    forward while training. What is `of_indices` takes one array of them, which has no gradient.
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

MODULES = (
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
    ModuleCase("gModule", _graph, [X, (X, [X, Input((2,))])]),
    ModuleCase("ModuleFromCriterion", lambda: nn.ModuleFromCriterion(nn.MSECriterion()), [X, X], _mean_squares, SUMS),
)  # fmt: skip


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


def sample(tree, k):
    """Entry k of the first dim of every array."""
    return tree_map(lambda array: np.array(array[k]), tree)
