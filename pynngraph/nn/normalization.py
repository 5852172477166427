"""Modules that normalise: by the mean and variance of a batch, or of a sample."""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from .. import random
from ..errors import ShapeError
from .affine import Add, CMul
from .container import Sequential
from .module import BufferArray, Module

if TYPE_CHECKING:
    from .._engine import Shape, Value
    from .lowering import Builder, Values


class BatchNormalization(Module):
    """y = (x - mean) / sqrt(var + eps) w + b, with the mean and variance of each feature over the batch.

    In evaluation mean and variance are ``running_mean`` and ``running_var``, which each forward in training moves
    towards those of its batch: r = (1 - momentum) r + momentum s. The variance s is then that over one sample less; a
    batch of one has none, and leaves ``running_var`` as it is. A forward that fails moves nothing.

    Parameters
    ----------
    nOutput
        How many features.
    eps
        What is added to the variance, 1e-5 if left out.
    momentum
        How far running statistics move, 0.1 if left out.
    affine
        False for no w and b.

    Shapes: input and output (rows, nOutput), in evaluation also (nOutput,); ``weight``, ``bias``, ``running_mean`` and
    ``running_var`` (nOutput,). ``weight`` starts evenly drawn from [0, 1), ``bias`` with zeros. One row in training, or
    an input of other features, is a ShapeError.

    Source: Ioffe, Szegedy, Batch normalization, ICML 2015.

    Examples
    --------
    >>> import numpy as np, pynngraph as nn
    >>> norm = nn.BatchNormalization(1, 0, 0.5, False)
    >>> norm.forward(np.array([[1.0], [3.0]]))
    array([[-1.],
           [ 1.]])
    >>> norm.running_mean, norm.running_var
    (array([1.]), array([1.5]))
    """

    nDim: ClassVar[int] = 2
    dims: ClassVar[str] = ""  # those of a sample beside its features, for messages

    running_mean = BufferArray()
    running_var = BufferArray()

    def __init__(
        self, nOutput: int, eps: float | None = None, momentum: float | None = None, affine: bool | None = True
    ) -> None:
        if not hasattr(nOutput, "__index__") or nOutput < 1:
            message = f"{type(self).__name__} needs a whole number of features, at least 1, got {nOutput}"
            raise ShapeError(message)
        self.affine = affine is None or bool(affine)
        self.eps = 1e-5 if eps is None else float(eps)
        self.momentum = 0.1 if momentum is None else float(momentum)
        for name in ("running_mean", "running_var"):
            self.add_cell(name, np.empty(nOutput, self.dtype), has_grad=False)
        if self.affine:
            self.add_cell("weight", np.empty(nOutput, self.dtype))
            self.add_cell("bias", np.empty(nOutput, self.dtype))
        self.reset()

    def reset(self, stdv: float | None = None) -> None:
        """Draw ``weight`` evenly from [0, 1), set ``bias`` to zeros, and forget what is known of earlier batches."""
        for name, cell in self._cells.items():
            data = self._writable(cell)
            data[...] = random.uniform(0, 1, data.shape) if name == "weight" else 0
        self.running_mean.fill(0)
        self.running_var.fill(1)

    def lower(self, b: Builder, input: Values) -> Values:
        """One op, and some on as many numbers as there are features."""
        x = b.array(input)
        is_batch = b.choose(partial(self._is_batch, b.where(), self.train), x)
        if not is_batch:
            x = b.op("replicate", [x], ints=[0, 1])
        if self._cells and len(self._cells) < 2:
            message = f"{b.where()} has lost its weight or its bias"
            raise ShapeError(message)
        cells = [self._cells[name] for name in ("weight", "bias") if self._cells]
        parameters = list(map(b.param, cells))
        y = self._trained(b, x, parameters) if self.train else self._evaluated(b, x, parameters)
        return y if is_batch else b.op("select", [y], ints=[0, 0])

    def _is_batch(self, where: str, train: bool, shape: Shape) -> bool:
        """Whether an input of a shape is a batch, and not a single sample."""
        features = len(self.running_mean)
        if len(shape) == self.nDim and shape[1] == features:
            return True
        if not train and len(shape) == self.nDim - 1 and shape[0] == features:
            return False
        message = f"{where} expects (rows, {features}{self.dims}), got shape {shape}"
        if train and len(shape) == self.nDim - 1:
            message += ": a sample has no batch to be normalised by"
        raise ShapeError(message)

    def _trained(self, b: Builder, x: Value, parameters: list[Value]) -> Value:
        y, mean, _, var = b.outputs("batch_norm", [x, *parameters], nums=[self.eps])
        count = b.choose(_count, x)
        if count > 0:
            self._move(b, "running_mean", mean)
        if count > 1:
            self._move(b, "running_var", var)
        return y

    def _move(self, b: Builder, name: str, value: Value) -> None:
        """Move a running statistic towards a batch's."""
        cell = self._buffers[name]
        kept = b.op("mul_constant", [b.state(cell)], nums=[1 - self.momentum])
        new = b.op("mul_constant", [value], nums=[self.momentum])
        b.update(cell, b.op("add", [kept, new]))

    def _evaluated(self, b: Builder, x: Value, parameters: list[Value]) -> Value:
        mean, var = (b.state(self._buffers[name]) for name in ("running_mean", "running_var"))
        spread = b.op("add_constant", [var], nums=[self.eps])
        if not parameters:
            return b.op("channel_affine", [x, mean, b.op("power", [spread], nums=[-0.5])])
        weight, bias = parameters
        scale = b.op("div", [weight, b.op("sqrt", [spread])])
        return b.op("channel_affine", [x, mean, scale, bias])

    def describe(self) -> str:
        """The number of features."""
        return f"({len(self.running_mean)})"


def _count(shape: Shape) -> int:
    """How many numbers a feature has, up to 2."""
    return min(2, math.prod((shape[0], *shape[2:])))


class SpatialBatchNormalization(BatchNormalization):
    """:class:`BatchNormalization` of the planes of images, each over all images and places.

    Parameters
    ----------
    nOutput, eps, momentum, affine
        As for :class:`BatchNormalization`; nOutput is the number of planes.

    Shapes: input and output (rows, nOutput, height, width), in evaluation also (nOutput, height, width); ``weight``,
    ``bias``, ``running_mean`` and ``running_var`` (nOutput,).

    Examples
    --------
    >>> import numpy as np, pynngraph as nn
    >>> y = nn.SpatialBatchNormalization(3).forward(np.random.rand(2, 3, 4, 4))
    >>> bool(np.allclose(y.mean((0, 2, 3)), 0))
    True
    """

    nDim = 4
    dims = ", height, width"


class VolumetricBatchNormalization(BatchNormalization):
    """:class:`BatchNormalization` of the planes of volumes, each over all volumes and places.

    Parameters
    ----------
    nOutput, eps, momentum, affine
        As for :class:`BatchNormalization`; nOutput is the number of planes.

    Shapes: input and output (rows, nOutput, time, height, width), in evaluation also without rows; ``weight``,
    ``bias``, ``running_mean`` and ``running_var`` (nOutput,).

    Examples
    --------
    >>> import numpy as np, pynngraph as nn
    >>> y = nn.VolumetricBatchNormalization(3).forward(np.random.rand(2, 3, 4, 4, 4))
    >>> bool(np.allclose(y.mean((0, 2, 3, 4)), 0))
    True
    """

    nDim = 5
    dims = ", time, height, width"


class _Standardize(Module):
    """y = (x - mean) / sqrt(sum (x - mean)^2 / n + eps / n), over the n elements of the last dim."""

    def __init__(self, n: int, eps: float) -> None:
        self.n = n
        self.eps = eps

    def lower(self, b: Builder, input: Values) -> Values:
        """One op, for which each row is a channel of a batch of one."""
        x = b.array(input)
        sizes = b.choose(partial(self._sizes, b.where()), x)
        rows = b.op("reshape", [x], ints=[1, -1, self.n])
        y = b.op("batch_norm", [rows], nums=[self.eps / self.n])
        return b.op("reshape", [y], ints=sizes)

    def _sizes(self, where: str, shape: Shape) -> Shape:
        """The output's, to be reshaped to: those of any number of rows."""
        if len(shape) in (1, 2) and shape[-1] == self.n:
            return (-1, self.n) if len(shape) == 2 else shape
        message = f"{where} expects ({self.n},) or (rows, {self.n}), got shape {shape}"
        raise ShapeError(message)

    def describe(self) -> str:
        """The size."""
        return f"({self.n})"


class LayerNormalization(Sequential):
    """y = (x - mean) / sqrt(var + eps / nOutput) w + b, with the mean and variance of each sample over its features.

    Parameters
    ----------
    nOutput
        How many features.
    bias
        What b starts with, 0 if left out.
    eps
        What is added to the sum of squares, 1e-10 if left out.
    affine
        False for no w and b.

    Shapes: input and output (nOutput,) or (rows, nOutput). The parameters are those of the
    modules inside, a :class:`CMul` that starts with ones and an :class:`Add`.

    Source: Ba, Kiros, Hinton, Layer normalization, arXiv:1607.06450.

    Examples
    --------
    >>> import numpy as np, pynngraph as nn
    >>> nn.LayerNormalization(2).forward(np.array([[1.0, 3.0], [5.0, 1.0]])).round(6)
    array([[-1.,  1.],
           [ 1., -1.]])
    """

    def __init__(
        self, nOutput: int, bias: float | None = None, eps: float | None = None, affine: bool | None = True
    ) -> None:
        if not hasattr(nOutput, "__index__") or nOutput < 1:
            message = f"LayerNormalization needs a whole number of features, at least 1, got {nOutput}"
            raise ShapeError(message)
        super().__init__(_Standardize(nOutput, 1e-10 if eps is None else float(eps)))
        if affine is None or affine:
            gain, shift = CMul(nOutput), Add(nOutput)
            gain.weight[...] = 1
            shift.bias[...] = 0 if bias is None else bias
            self.add(gain).add(shift)


__all__ = [
    "BatchNormalization",
    "LayerNormalization",
    "SpatialBatchNormalization",
    "VolumetricBatchNormalization",
]
