"""The table of ops: one row for each op of the registry (csrc/ops.def).

A row is all that an op needs here. The tests of ops on every instruction set (test_ops.py, test_isa.py) come from it,
and, where the row names a module, so do the module's: numerical Jacobians, dtypes, modes and the
rest of test_modules.py. An op without a row fails test_registry.py.
"""

from collections.abc import Callable
from statistics import NormalDist
from typing import NamedTuple

import numpy as np
import windows
from philox import drawn
from tolerances import CANCELLING, EXACT, LONG_SUMS, ROUNDED, SUMS, TRANSCENDENTAL, Tolerance

SEED = 5  # of runs that draw random numbers


class Input(NamedTuple):
    """An array to draw: its shape, and what its numbers are like."""

    shape: tuple
    domain: str = "normal"
    below: int = 0  # of indices


def _normal(rng, spec):
    return rng.standard_normal(spec.shape)


def _nonzero(rng, spec):
    return rng.choice([-1.0, 1.0], spec.shape) * rng.uniform(0.2, 2, spec.shape)


def _distinct(rng, spec):
    # Those of two draws differ too, by the first summand.
    size = int(np.prod(spec.shape))
    return rng.uniform(0, 0.01) + rng.permutation(np.linspace(-2, 2, max(size, 1))[:size]).reshape(spec.shape)


def _labels(rng, spec):
    """Rows of some numbers below their length, each once, and -1 in the rest."""
    rows = np.array([rng.permutation(spec.shape[1]) for _ in range(spec.shape[0])], float)
    rows[np.arange(spec.shape[1]) >= rng.integers(spec.shape[1] + 1, size=spec.shape[0])[:, None]] = -1
    return rows


def _log_probabilities(rng, spec):
    x = rng.standard_normal(spec.shape)
    return x - np.log(np.exp(x).sum(-1, keepdims=True))


DOMAINS = {
    "normal": _normal,
    "positive": lambda rng, spec: rng.uniform(0.3, 3, spec.shape),
    "nonzero": _nonzero,  # for what has a kink at zero
    "distinct": _distinct,  # for what has a kink where numbers are equal
    "log": _log_probabilities,
    "unit": lambda rng, spec: rng.uniform(0.05, 0.95, spec.shape),
    "bit": lambda rng, spec: rng.choice([0.0, 1.0], spec.shape),
    "four": lambda rng, spec: rng.integers(4, size=spec.shape),
    "sign": lambda rng, spec: rng.choice([-1.0, 1.0], spec.shape),
    "labels": _labels,
    "index": lambda rng, spec: rng.integers(spec.below, size=spec.shape),
}


def draw(tree, rng, dtype=np.float64):
    """A table of arrays for a table of `Input`."""
    if isinstance(tree, Input):
        array = np.asarray(DOMAINS[tree.domain](rng, tree))
        return array if tree.domain == "index" else array.astype(dtype)
    return type(tree)(draw(entry, rng, dtype) for entry in tree)


class OpCase(NamedTuple):
    """A row of the table.

    `reference` computes the (first) output in NumPy from the inputs; with `n_outputs` > 1 a tuple of all. The
    inputs without a gradient, and the outputs that pass none on, are named by place. `module`, if any, is the name
    of a module and its arguments that lower to this op on `inputs`; the last `n_params` inputs are its
    parameters then. A `per_sample` op treats each entry of the first dim by itself.
    """

    op: str
    inputs: tuple
    reference: Callable
    forward: Tolerance
    backward: Tolerance
    module: tuple | None = None
    ints: tuple = ()
    nums: tuple = ()
    n_outputs: int = 1
    n_params: int = 0
    no_gradient: tuple = ()
    passes_none: tuple = ()
    per_sample: bool = False
    factor: float = 1  # what the derivative is multiplied by, where that is not the gradient

    @property
    def name(self):
        """What tests call the row."""
        sizes = "x".join(str(size) for size in self.inputs[0].shape)
        return "-".join(map(str, (self.op, sizes, len(self.inputs), *self.ints)))


# 35 elements: some whole vectors and a rest, on any instruction set.
X = Input((5, 7))
UNIT = Input((5, 7), "unit")
NONZERO = Input((5, 7), "nonzero")
THREE = (X, X, X)
DISTINCT = (Input((5, 7), "distinct"),) * 3


def _sigmoid(x):
    e = np.exp(-np.abs(x))
    return np.where(x < 0, e, 1) / (1 + e)


def _softplus(x):
    return np.where(2 * x > 20, x, np.logaddexp(0, np.minimum(2 * x, 20)) / 2)


def _softmax(x, dim):
    e = np.exp(x - x.max(dim, keepdims=True))
    return e / e.sum(dim, keepdims=True)


def _logsoftmax(x, dim):
    shifted = x - x.max(dim, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(dim, keepdims=True))


def _dropout(x):
    mask = (drawn(SEED, x.shape) >= np.uint64(0.3 * 2.0**32)) * 1.25
    return x * mask, mask


def _fractions(shape):
    """Numbers above 0 and below 1."""
    return (drawn(SEED, shape) + 0.5) / 2.0**32


def _normal_numbers(x):
    return -0.5 + 2 * np.array([NormalDist().inv_cdf(p) for p in _fractions(x.shape).flat]).reshape(x.shape)


def _extreme(op, dim, keep):
    """The row of the greatest or the least along a dim, and where it is."""
    best, place = (np.max, np.argmax) if op == "reduce_max" else (np.min, np.argmin)

    def reference(x):
        return best(x, axis=dim, keepdims=keep), place(x, axis=dim, keepdims=keep).astype(x.dtype)

    return OpCase(op, (Input((3, 19, 5), "distinct"),), reference, EXACT, EXACT, ints=(dim, int(keep)), n_outputs=2,
                  passes_none=(1,))  # fmt: skip


def _bce(x, t):
    return -(t * np.log(x + 1e-12) + (1 - t) * np.log(1 - x + 1e-12))


def _nll(ignored, average):
    def reference(x, target, weights=None):
        rows = x.reshape(-1, x.shape[-1])
        kept = target.ravel() != ignored
        picked = np.where(kept, target.ravel(), 0)
        weight = (np.ones(rows.shape[1]) if weights is None else weights)[picked] * kept
        loss = -(weight * rows[np.arange(len(rows)), picked]).sum()
        return np.array([loss / weight.sum() if average else loss]), np.array([weight.sum()])

    return reference


def _by_channel(numbers, x):
    """Numbers of the channels, dim 1, in the shape of x but for sizes of 1."""
    return numbers.reshape(1, -1, *(1,) * (x.ndim - 2))


def _batch_norm(x, weight=None, bias=None):
    dims = (0, *range(2, x.ndim))
    mean, var = x.mean(dims), x.var(dims)
    root = 1 / np.sqrt(var + 0.5)
    y = (x - _by_channel(mean, x)) * _by_channel(root, x)
    if weight is not None:
        y = y * _by_channel(weight, x) + _by_channel(bias, x)
    return y, mean, root, x.var(dims, ddof=1)


def _layer_norm(x, weight=1, bias=0):
    mean, var = x.mean(-1, keepdims=True), x.var(-1, keepdims=True)
    root = 1 / np.sqrt(var + 0.5)
    return (x - mean) * root * weight + bias, mean, root


def _channel_prelu(x, slope):
    return np.where(x > 0, x, x * (slope if len(slope) == 1 else _by_channel(slope, x)))


def _smooth_l1(x, t):
    d = np.abs(x - t)
    return np.where(d < 1, d * d / 2, d - 0.5)


def _channel_affine(x, mean, scale, shift=None):
    y = (x - _by_channel(mean, x)) * _by_channel(scale, x)
    return y if shift is None else y + _by_channel(shift, x)


def _unary(op, module, reference, forward, backward, domain="normal", nums=()):
    """The row of an elementwise op of one input."""
    return OpCase(op, (Input((5, 7), domain),), reference, forward, backward, (module, *nums),
                  nums=nums, per_sample=True)  # fmt: skip


def _table(op, module, inputs, reference, forward, backward):
    """The row of an elementwise op of many inputs."""
    return OpCase(op, inputs, reference, forward, backward, (module,), per_sample=True)


def _slices(op, module, reference, shape, dim):
    """The row of an op along one dim, which is chosen by the module from the number of dims."""
    return OpCase(op, (Input(shape),), lambda x: reference(x, dim), CANCELLING, CANCELLING, (module,),
                  ints=(dim,), per_sample=len(shape) in (2, 4))  # fmt: skip


def _matmul(ta, tb, batch):
    """The row of a product of matrices of which some come transposed."""

    def reference(a, b):
        return np.matmul(a.swapaxes(-1, -2) if ta else a, b.swapaxes(-1, -2) if tb else b)

    shapes = (5, 4) if ta else (4, 5), (7, 5) if tb else (5, 7)
    return OpCase("matmul", tuple(Input((*batch, *shape)) for shape in shapes), reference, SUMS, SUMS,
                  ("MM", bool(ta), bool(tb)), ints=(ta, tb), per_sample=bool(batch))  # fmt: skip


def _padded(x, mode, pads):
    """The last two dims padded: before and after each, negative to cut off."""
    around = ((0, 0), *((max(a, 0), max(b, 0)) for a, b in (pads[:2], pads[2:])))
    ends = [(max(-a, 0), max(-b, 0)) for a, b in (pads[:2], pads[2:])]
    kind = {0: {"constant_values": 0.75}, 1: {"mode": "reflect"}, 2: {"mode": "edge"}}[mode]
    padded = np.pad(x, around, **kind)
    (top, bottom), (left, right) = ends
    return padded[:, top : padded.shape[1] - bottom, left : padded.shape[2] - right]


def interpolated(x, to):
    """The last dims interpolated to so many places, ends kept."""
    for place, size in enumerate(to):
        dim = x.ndim - len(to) + place
        # Places are floats, as in Torch7.
        at = np.arange(size, dtype=np.float32) * (np.float32(x.shape[dim] - 1) / np.float32(max(size - 1, 1)))
        left = np.minimum(at.astype(int), x.shape[dim] - 1)
        right = np.minimum(left + 1, x.shape[dim] - 1)
        weight = (at - left.astype(np.float32)).astype(np.float64).reshape(-1, *(1,) * (x.ndim - 1 - dim))
        x = x.take(left, dim) * (1 - weight) + x.take(right, dim) * weight
    return x


# Windows by their ints: planes in one, two and three dims; rounding up, padding, dilation, adaptive; wide enough for
# whole vectors of single numbers with a rest, and as far apart as 1, 2 and more.
_WINDOWS = (
    ((2, 13), (1, 0, 1, 3, 2, 1, 1)),
    ((1, 5, 3), (2, 0, 1, 3, 2, 0, 1, 1, 1, 0, 1)),
    ((2, 2, 41), (2, 0, 1, 2, 2, 0, 1, 2, 2, 0, 1)),
    ((1, 3, 40), (2, 0, 2, 3, 2, 1, 1, 3, 2, 1, 1)),
    ((1, 4, 40), (2, 1, 1, 3, 2, 0, 1, 3, 2, 1, 1)),
    ((1, 3, 23), (2, 0, 1, 3, 1, 1, 1, 4, 1, 2, 1)),
    ((1, 5, 29), (2, 0, 0, 2, 3, 1, 2, 2, 1, 0, 3)),
    ((1, 4, 17), (2, 1, 2, 2, 3, 0, 1, 3, 4, 1, 1)),
    ((1, 4, 19), (2, 2, 1, 3, 1, 0, 1, 5, 1, 0, 1)),
    ((1, 3, 20), (2, 2, 1, 3, 1, 0, 1, 10, 1, 0, 1)),
    ((1, 2, 2), (2, 1, 1, 3, 2, 0, 1, 3, 2, 0, 1)),
    ((1, 3, 3, 6), (3, 0, 1, 2, 2, 0, 1, 2, 1, 1, 1, 3, 2, 0, 1)),
)


def _pooling(shape, ints):
    """The rows of pooling by windows, and of undoing it."""
    return (
        OpCase("max_pool", (Input(shape, "distinct"),), windows.max_pool(ints), EXACT, SUMS, ints=ints, n_outputs=2,
               passes_none=(1,)),
        OpCase("average_pool", (Input(shape),), windows.average_pool(ints), SUMS, SUMS, ints=ints),
    )  # fmt: skip


def _windowed(x, w, module=None, *, full=False, bias=True, stride=(), padding=(), dilation=(), groups=1, extra=()):
    """The row of a convolution; settings are of the dims that there are."""
    n = len(w) - 2
    stride, padding, dilation = stride or (1,) * n, padding or (0,) * n, dilation or (1,) * n
    shapes = (x, w, ((w[1] if full else w[0] // groups) * groups,))[: 3 if bias else 2]
    ints = (*(1,) * (3 - n), *stride, *(0,) * (3 - n), *padding, *(1,) * (3 - n), *dilation, groups)
    settings = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
    if full:
        ints += (*(0,) * (3 - n), *(extra or (0,) * n))
        settings["extra"] = extra
    inner = windows.full_convolution if full else windows.convolution
    return OpCase("full_convolution" if full else "convolution", tuple(map(Input, shapes)),
                  lambda x, w, b=None: inner(x, w, b, **settings), SUMS, SUMS, module, ints=ints,
                  n_params=len(shapes) - 1, per_sample=len(x) == n + 2)  # fmt: skip


def _frames(x, w, window, step, module=None, *, bias=True):
    shapes = (x, w, (w[0],))[: 3 if bias else 2]
    return OpCase("frames", tuple(map(Input, shapes)), lambda x, w, b=None: windows.frames(x, w, b, window, step),
                  SUMS, SUMS, module, ints=(window, step), n_params=len(shapes) - 1,
                  per_sample=len(x) == 3)  # fmt: skip


CONVOLUTION_CASES = (
    _windowed((2, 3, 6, 5), (4, 3, 3, 2), ("SpatialConvolution", 3, 4, 2, 3)),
    _windowed((3, 7, 6), (4, 3, 3, 2), ("SpatialConvolution", 3, 4, 2, 3, 2, 3, 1, 2), stride=(3, 2), padding=(2, 1)),
    _windowed((2, 3, 4, 5), (2, 3, 1, 1), ("SpatialConvolution", 3, 2, 1, 1)),
    _windowed((2, 2, 5, 4), (3, 2, 1, 1), ("SpatialConvolution", 2, 3, 1, 1, 2, 3), stride=(3, 2)),
    _windowed((2, 2, 6, 7), (3, 2, 2, 3), ("SpatialDilatedConvolution", 2, 3, 3, 2, 1, 2, 1, 2, 2, 3), stride=(2, 1),
              padding=(2, 1), dilation=(3, 2)),
    _windowed((2, 6, 9, 7), (6, 1, 3, 3), groups=6, padding=(1, 1)),
    _windowed((2, 3, 9, 8), (6, 1, 3, 2), groups=3, stride=(2, 3), padding=(1, 0)),
    _windowed((2, 4, 5, 6), (6, 2, 3, 3), groups=2, padding=(3, 4)),
    _windowed((4, 33), (5, 4, 3), bias=False),
    _windowed((2, 4, 33), (7, 4, 3), stride=(2,), padding=(4,), dilation=(2,)),
    _windowed((2, 2, 4, 5, 3), (3, 2, 2, 3, 2),
              ("VolumetricDilatedConvolution", 2, 3, 2, 2, 3, 1, 1, 2, 1, 1, 0, 1, 2, 1), stride=(1, 2, 1),
              padding=(1, 0, 1), dilation=(1, 1, 2)),
    _windowed((2, 3, 4, 3), (2, 2, 1, 2, 3), ("VolumetricConvolution", 2, 2, 1, 3, 2, 2, 1, 1, 1),
              stride=(2, 1, 1), padding=(1, 1, 1)),
    _windowed((1, 70, 3, 5), (35, 70, 2, 2)),
    _windowed((2, 3, 4, 3), (3, 4, 3, 2), ("SpatialFullConvolution", 3, 4, 2, 3), full=True),
    _windowed((3, 4, 3), (3, 4, 3, 4), ("SpatialFullConvolution", 3, 4, 4, 3, 3, 2, 1, 1, 2, 1), full=True,
              stride=(2, 3), padding=(1, 1), extra=(1, 2)),
    _windowed((2, 3, 4, 4), (3, 2, 1, 1), ("SpatialFullConvolution", 3, 2, 1, 1), full=True),
    _windowed((2, 3, 4, 3), (3, 2, 1, 1), ("SpatialFullConvolution", 3, 2, 1, 1, 2, 2, 0, 0, 1, 0), full=True,
              stride=(2, 2), extra=(0, 1)),
    _windowed((2, 2, 7), (2, 1, 3), full=True, bias=False, dilation=(2,), groups=2),
    _windowed((1, 2, 2, 3, 2), (2, 3, 2, 2, 2),
              ("VolumetricFullConvolution", 2, 3, 2, 2, 2, 2, 2, 1, 0, 0, 1, 1, 0, 0), full=True, stride=(2, 1, 2),
              padding=(0, 1, 0), extra=(1, 0, 0)),
    _frames((2, 9, 4), (5, 12), 3, 2, ("TemporalConvolution", 4, 5, 3, 2)),
    _frames((9, 4), (5, 12), 3, 1, ("TemporalConvolution", 4, 5, 3)),
    _frames((9, 2), (3, 4), 2, 3, bias=False),
)  # fmt: skip

OP_CASES = (
    *CONVOLUTION_CASES,
    *(case for shape, ints in _WINDOWS for case in _pooling(shape, ints)),
    *(OpCase("pick", (Input((2, 3, 19)),), lambda x, mode=mode, pads=pads: _padded(x, mode, pads), EXACT, SUMS,
             ints=(2, 0, mode, *pads), nums=(0.75,))
      for mode in (0, 1, 2) for pads in ((1, 2, 0, 3), (-1, 1, 2, -9), (0, -2, -3, 4))),
    OpCase("pick", (Input((3, 4, 5)),), lambda x: np.pad(x, ((0, 0), (2, 1), (0, 0)), constant_values=0.75), EXACT,
           EXACT, ints=(1, 1, 0, 2, 1), nums=(0.75,)),
    OpCase("pick", (Input((2, 3, 2, 5)),), lambda x: x.repeat(2, 1).repeat(3, 2).repeat(2, 3), EXACT, SUMS,
           ints=(3, 0, 3, 2, 0, 3, 0, 2, 0), nums=(0.0,)),
    *(OpCase("interpolate", (Input((2, 3, 4, 5)),), lambda x, to=to: interpolated(x, to), SUMS, SUMS,
             ints=(len(to), 0, *(number for size in to for number in (0, size))))
      for to in ((7,), (1, 9), (5, 2, 13))),
    OpCase("interpolate", (Input((2, 4, 3)),), lambda x: interpolated(x.swapaxes(1, 2), (7,)).swapaxes(1, 2), SUMS,
           SUMS, ints=(1, 1, 2, -1)),
    *(OpCase("fractional_pool", (Input(shape, "distinct"),),
             lambda x, ints=ints: windows.fractional_pool(SEED, ints)(x), EXACT, SUMS,
             ints=ints, n_outputs=2, passes_none=(1,))
      for shape, ints in (((2, 3, 5, 9), (2, 0, 2, 3, 3, 4)), ((3, 4, 5, 4), (3, 7, 2, 2, 2, 3, 3, 1)))),
    OpCase("max_unpool", (Input((1, 2, 5)), Input((1, 2, 5), "four"), Input((1, 4, 11))),
           windows.max_unpool((2, 0, 0, 2, 2, 0, 1, 2, 2, 0, 1)), EXACT, EXACT,
           ints=(2, 0, 0, 2, 2, 0, 1, 2, 2, 0, 1), no_gradient=(1, 2)),
    _unary("tanh", "Tanh", np.tanh, TRANSCENDENTAL, CANCELLING),
    _unary("sigmoid", "Sigmoid", _sigmoid, TRANSCENDENTAL, CANCELLING),
    _unary("relu", "ReLU", lambda x: np.maximum(x, 0), EXACT, EXACT, "nonzero"),
    _unary("exp", "Exp", np.exp, TRANSCENDENTAL, TRANSCENDENTAL),
    _unary("log", "Log", np.log, TRANSCENDENTAL, ROUNDED, "positive"),
    _unary("abs", "Abs", np.abs, EXACT, EXACT, "nonzero"),
    _unary("square", "Square", np.square, EXACT, EXACT),
    _unary("sqrt", "Sqrt", np.sqrt, EXACT, ROUNDED, "positive"),
    _unary("power", "Power", lambda x: np.power(x, 3), TRANSCENDENTAL, TRANSCENDENTAL, "nonzero", nums=(3.0,)),
    _unary("softsign", "SoftSign", lambda x: x / (1 + np.abs(x)), ROUNDED, ROUNDED),
    _unary("logsigmoid", "LogSigmoid", lambda x: -np.logaddexp(0, -x), TRANSCENDENTAL, TRANSCENDENTAL),
    _unary("softplus", "SoftPlus", _softplus, TRANSCENDENTAL, TRANSCENDENTAL, nums=(2.0,)),
    _unary("elu", "ELU", lambda x: np.where(x > 0, x, 0.75 * np.expm1(np.minimum(x, 0))), TRANSCENDENTAL, CANCELLING,
           "nonzero", nums=(0.75,)),
    _unary("leakyrelu", "LeakyReLU", lambda x: np.where(x > 0, x, 0.25 * x), EXACT, EXACT, "nonzero", nums=(0.25,)),
    _unary("threshold", "Threshold", lambda x: np.where(x <= 0.25, -0.5, x), EXACT, EXACT, nums=(0.25, -0.5)),
    _unary("hardtanh", "HardTanh", lambda x: np.clip(x, -0.5, 0.75), EXACT, EXACT, nums=(-0.5, 0.75)),
    _unary("mul_constant", "MulConstant", lambda x: 2.5 * x, EXACT, EXACT, nums=(2.5,)),
    _unary("add_constant", "AddConstant", lambda x: x - 1.25, EXACT, EXACT, nums=(-1.25,)),
    _table("add", "CAddTable", THREE, lambda *x: sum(x), CANCELLING, EXACT),
    _table("add", "CAddTable", THREE[:1], lambda x: x, EXACT, EXACT),
    _table("sub", "CSubTable", THREE[:2], np.subtract, EXACT, EXACT),
    _table("mul", "CMulTable", THREE, lambda *x: np.prod(x, axis=0), ROUNDED, ROUNDED),
    _table("mul", "CMulTable", THREE[:2], np.multiply, EXACT, EXACT),
    _table("div", "CDivTable", (X, Input((5, 7), "positive")), np.divide, EXACT, ROUNDED),
    _table("max", "CMaxTable", DISTINCT, lambda *x: np.max(x, axis=0), EXACT, EXACT),
    _table("min", "CMinTable", DISTINCT, lambda *x: np.min(x, axis=0), EXACT, EXACT),
    _slices("softmax", "SoftMax", _softmax, (5, 7), 1),
    _slices("softmax", "SoftMax", _softmax, (7,), 0),
    _slices("softmax", "SoftMax", _softmax, (3, 2, 5), 0),
    _slices("softmax", "SoftMax", _softmax, (2, 3, 2, 5), 1),
    _slices("logsoftmax", "LogSoftMax", _logsoftmax, (5, 7), 1),
    _slices("logsoftmax", "LogSoftMax", _logsoftmax, (7,), 0),
    OpCase("reduce_sum", (Input((3, 4, 5)),), lambda x: 0.5 * x.sum(1), SUMS, EXACT,
           ints=(1, 0), nums=(0.5,)),
    OpCase("reduce_sum", (Input((2, 37)),), lambda x: 2 * x.sum(-1, keepdims=True), SUMS, EXACT,
           ints=(-1, 1), nums=(2.0,)),
    OpCase("dropout", (X,), _dropout, ROUNDED, ROUNDED, nums=(0.3, 1.25), n_outputs=2, passes_none=(1,)),
    *(OpCase("batch_norm", (Input(shape), Input((shape[1],), "positive"), Input((shape[1],)))[:count], _batch_norm,
             SUMS, SUMS, nums=(0.5,), n_outputs=4, passes_none=(1, 2, 3))
      for shape, count in (((5, 21), 3), ((5, 3), 1), ((3, 2, 5, 7), 3), ((1, 3, 19), 1))),
    *(OpCase("channel_affine", (Input(shape), *(Input((shape[1],)),) * 3)[:count], _channel_affine,
             CANCELLING, SUMS, no_gradient=(1,))
      for shape, count in (((5, 21), 4), ((5, 3), 3), ((3, 2, 5, 7), 4), ((1, 3, 19), 3))),
    *(OpCase("layer_norm", (Input(shape), *(Input(shape[-1:]),) * 2)[:count], _layer_norm, SUMS, SUMS, nums=(0.5,),
             n_outputs=3, passes_none=(1, 2))
      for shape, count in (((5, 21), 3), ((70, 300), 3), ((2, 3, 37), 1), ((19,), 3))),
    *(OpCase("channel_prelu", (Input(shape, "nonzero"), Input((slopes,))), _channel_prelu, EXACT, SUMS)
      for shape, slopes in (((5, 21), 21), ((3, 2, 5, 7), 2), ((4, 21), 1), ((7,), 1))),
    *(OpCase("smooth_l1", (X, X), lambda x, t, of=of: np.array([of(_smooth_l1(x, t))]), SUMS, SUMS,
             ints=(int(of is np.mean),), no_gradient=(1,)) for of in (np.mean, np.sum)),
    OpCase("linear", (X, Input((4, 7)), Input((4,))), lambda x, w, b: x @ w.T + b, SUMS, SUMS,
           ("Linear", 7, 4), n_params=2, per_sample=True),
    OpCase("linear", (X, Input((4, 7))), lambda x, w: x @ w.T, SUMS, SUMS,
           ("Linear", 7, 4, False), n_params=1, per_sample=True),
    OpCase("linear", (Input((7,)), Input((4, 7)), Input((4,))), lambda x, w, b: w @ x + b, SUMS, SUMS,
           ("Linear", 7, 4), n_params=2),
    *(_matmul(ta, tb, batch) for ta in (0, 1) for tb in (0, 1) for batch in ((), (3,))),
    OpCase("matmul", (Input((2, 19, 40)), Input((2, 40, 23))), np.matmul, LONG_SUMS, LONG_SUMS, ints=(0, 0)),
    OpCase("gather", (Input((4, 5)), Input((2, 3), "index", 4)), lambda w, t: w[t], EXACT, SUMS, ints=(-1,)),
    OpCase("mse", (X, X), lambda x, t: np.array([((x - t) ** 2).mean()]), SUMS, SUMS, ints=(1,), no_gradient=(1,)),
    OpCase("mse", (X, X), lambda x, t: np.array([((x - t) ** 2).sum()]), SUMS, SUMS, ints=(0,), no_gradient=(1,)),
    OpCase("bce", (UNIT, UNIT), lambda x, t: np.array([_bce(x, t).mean()]), SUMS, SUMS, ints=(1,), no_gradient=(1,)),
    OpCase("bce", (UNIT, UNIT, Input((5, 7), "positive")), lambda x, t, w: np.array([(w * _bce(x, t)).sum()]), SUMS,
           SUMS, ints=(0,), no_gradient=(1, 2)),
    OpCase("nll", (Input((6, 5), "log"), Input((6,), "index", 5)), _nll(-100, average=True), SUMS, SUMS,
           ints=(1, -100), n_outputs=2, no_gradient=(1,), passes_none=(1,)),
    OpCase("nll", (Input((6, 5), "log"), Input((6,), "index", 5), Input((5,), "positive")),
           _nll(2, average=True), SUMS, SUMS, ints=(1, 2), n_outputs=2, no_gradient=(1, 2), passes_none=(1,)),
    OpCase("nll", (Input((5,), "log"), Input((1,), "index", 5)), _nll(-100, average=False), SUMS, SUMS,
           ints=(0, -100), n_outputs=2, no_gradient=(1,), passes_none=(1,)),
    OpCase("identity", (X,), lambda x: x, EXACT, EXACT, ("Identity",), per_sample=True),
    OpCase("reshape", (Input((4, 6)),), lambda x: x.reshape(4, 3, 2), EXACT, EXACT,
           ("Reshape", 3, 2), ints=(-2, 3, 2), per_sample=True),
    OpCase("reshape", (Input((4, 6)),), lambda x: x.reshape(8, 3), EXACT, EXACT, ("View", -1, 3), ints=(-1, 3)),
    OpCase("narrow", (Input((4, 6)),), lambda x: x[:, 1:4], EXACT, EXACT, ("Narrow", 1, 1, 3), ints=(1, 1, 3)),
    OpCase("narrow", (Input((4, 6)),), lambda x: x[-3:-1], EXACT, EXACT, ("Narrow", 0, -3, 2), ints=(0, -3, 2)),
    OpCase("select", (Input((4, 3, 6)),), lambda x: x[:, 2], EXACT, EXACT, ("Select", 1, 2), ints=(1, 2)),
    OpCase("select", (Input((4, 6)),), lambda x: x[:, -1], EXACT, EXACT, ("Select", 1, -1), ints=(1, -1)),
    OpCase("detach", (X,), lambda x: x, EXACT, EXACT, no_gradient=(0,)),
    OpCase("transpose", (Input((4, 6)),), np.transpose, EXACT, EXACT, ("Transpose", (0, 1)), ints=(0, 1)),
    OpCase("transpose", (Input((4, 3, 6)),), lambda x: x.swapaxes(-1, 1), EXACT, EXACT, ("Transpose", (-1, 1)),
           ints=(-1, 1), per_sample=False),
    OpCase("replicate", (Input((4, 6)),), lambda x: np.stack([x] * 3, 0), EXACT, SUMS, ("Replicate", 3), ints=(0, 3)),
    OpCase("replicate", (Input((4, 6)),), lambda x: np.stack([x] * 3, 1), EXACT, SUMS, ("Replicate", 3, 1),
           ints=(1, 3)),
    OpCase("replicate", (Input((4, 6)),), lambda x: np.stack([x] * 5, 2), EXACT, SUMS, ("Replicate", 5, -1),
           ints=(-1, 5)),
    OpCase("replicate", (Input((4, 6)),), lambda x: x[:, None], EXACT, EXACT, ("Unsqueeze", 1), ints=(1, 1)),
    *(OpCase("expand", (Input(shape), Input((4, 3, 6))), lambda x, z: np.broadcast_to(x, z.shape).copy(),
             EXACT, SUMS, no_gradient=(1,))
      for shape in ((1, 1, 6), (4, 1, 1), (1, 3, 1), (4, 1, 6), (1, 1, 1), (4, 3, 6))),
    OpCase("join", (Input((4, 6)), Input((4, 1)), Input((4, 3))), lambda *x: np.concatenate(x, 1), EXACT, EXACT,
           ("JoinTable", 1), ints=(1,)),
    _unary("hardshrink", "HardShrink", lambda x: np.where(np.abs(x) <= 0.25, 0, x), EXACT, EXACT, "distinct",
           nums=(0.25,)),
    _unary("softshrink", "SoftShrink", lambda x: np.where(np.abs(x) <= 0.25, 0, x - np.copysign(0.25, x)), EXACT,
           EXACT, "distinct", nums=(0.25,)),
    _unary("root", "Sqrt", np.sqrt, EXACT, ROUNDED, "positive", nums=(0.0,))._replace(module=None),
    OpCase("turn_gradient", (X,), lambda x: x, EXACT, EXACT, nums=(-2.5,), factor=-2.5),
    OpCase("prelu", (NONZERO, X), lambda x, s: np.where(x > 0, x, s * x), EXACT, EXACT, per_sample=True),
    *(_extreme(op, dim, keep) for op in ("reduce_max", "reduce_min")
      for dim, keep in ((0, False), (1, True), (-1, False))),
    OpCase("uniform", (X,), lambda x: -0.5 + 2 * _fractions(x.shape), CANCELLING, EXACT, nums=(-0.5, 1.5),
           no_gradient=(0,)),
    OpCase("normal", (Input((9, 23)),), _normal_numbers, CANCELLING, EXACT, nums=(-0.5, 2.0), no_gradient=(0,)),
    OpCase("one_hot", (Input((4, 3), "index", 5),), lambda t: np.eye(5)[t], EXACT, EXACT, ints=(5,)),
)  # fmt: skip

# Ops that have no row, and why.
EXEMPT = {
    "host": "is done by the caller: test_contracts.py, modules written in Python",
    "to_index": "gives indices, which no program may answer with: test_ops.py, with nll",
}
