"""Modules that normalise: by the mean and variance of a batch, or of a sample."""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, cast

import numpy as np

from .. import random
from ..errors import DataError, ShapeError
from .affine import Add, CMul
from .container import Sequential
from .module import BufferArray, Module
from .padding import CONSTANT, pick
from .pooling import Window, sizes_of_dims, window_ints

if TYPE_CHECKING:
    from collections.abc import Iterable

    from .._engine import Shape, Value
    from .lowering import Builder, Values
    from .parameter import Cell


IMAGES = ("planes", "height", "width")


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
        """One op."""
        return self.standardized(b, input)

    def standardized(self, b: Builder, input: Values, parameters: Iterable[Value] = ()) -> Value:
        """The op, on what may be multiplied by a weight and have a bias added in the same pass."""
        x = b.array(input)
        b.choose(partial(self._check, b.where()), x)
        return b.op("layer_norm", [x, *parameters], nums=[self.eps / self.n])

    def _check(self, where: str, shape: Shape) -> None:
        if len(shape) not in (1, 2) or shape[-1] != self.n:
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

    def lower(self, b: Builder, input: Values) -> Values:
        """One op for all three modules, as long as they are those."""
        cells = self._gain_and_shift()
        if cells is None or b.shows_results:
            return super().lower(b, input)
        for module in self.modules:
            module.note_inside()
        return cast("_Standardize", self.modules[0]).standardized(b, input, [b.param(cell) for cell in cells])

    def _gain_and_shift(self) -> list[Cell] | None:
        """The parameters, one for each feature; None where somebody has put other modules or parameters there."""
        if [type(module) for module in self.modules] != [_Standardize, CMul, Add]:
            return None
        standardize, gain, shift = self.modules
        cells = gain._cells.get("weight"), shift._cells.get("bias")
        size = (cast("_Standardize", standardize).n,)
        fitting = [cell for cell in cells if cell is not None and cell.data.shape == size]
        return fitting if len(fitting) == len(cells) else None


class SpatialCrossMapLRN(Module):
    """y = x / (k + alpha / size sum x^2)^beta, summed over `size` neighbouring planes at the same place.

    Parameters
    ----------
    size
        How many planes, an odd number: itself and as many before as behind. Beyond the first and the last there are
        zeros.
    alpha, beta, k
        The numbers of the formula, 0.0001, 0.75 and 1 if left out.

    Shapes: input and output (planes, height, width) or (rows, planes, height, width).

    Source: Krizhevsky, Sutskever, Hinton, ImageNet classification with deep convolutional neural networks, NIPS 2012.

    Examples
    --------
    >>> import numpy as np, pynngraph as nn
    >>> nn.SpatialCrossMapLRN(3, 3, 1).forward(np.ones((3, 1, 1))).ravel().round(4)
    array([0.3333, 0.25  , 0.3333])
    """

    def __init__(
        self, size: int, alpha: float | None = None, beta: float | None = None, k: float | None = None
    ) -> None:
        if not hasattr(size, "__index__") or size < 1 or size % 2 == 0:
            message = f"SpatialCrossMapLRN needs an odd number of planes, got {size}"
            raise ShapeError(message)
        self.size = int(size)
        self.alpha = 0.0001 if alpha is None else float(alpha)
        self.beta = 0.75 if beta is None else float(beta)
        self.k = 1.0 if k is None else float(k)

    def lower(self, b: Builder, input: Values) -> Values:
        """Sums of squares by windows over the planes, and elementwise ops."""
        x = b.array(input)
        b.choose(partial(sizes_of_dims, b.where(), IMAGES), x)
        windows = [Window(self.size, 1, self.size // 2), Window(1, 1), Window(1, 1)]
        sums = b.op("average_pool", [b.op("square", [x])], window_ints(windows))
        scale = b.op("mul_constant", [sums], nums=[self.alpha / self.size])
        scale = b.op("add_constant", [scale], nums=[self.k])
        return b.op("mul", [x, b.op("power", [scale], nums=[-self.beta])])

    def describe(self) -> str:
        """The numbers."""
        return f"({self.size}, {self.alpha:g}, {self.beta:g}, {self.k:g})"


class _OverPlanes(Module):
    """Base of softmax and its like over the planes of images."""

    op: ClassVar[str]

    def lower(self, b: Builder, input: Values) -> Values:
        """The op along the planes."""
        x = b.array(input)
        b.choose(partial(sizes_of_dims, b.where(), IMAGES), x)
        return b.op(self.op, [x], ints=[-3])


class SpatialSoftMax(_OverPlanes):
    """y = exp(x) / sum exp(x), at each place over all planes, computed without overflow.

    Shapes: input and output (planes, height, width) or (rows, planes, height, width).

    Examples
    --------
    >>> import numpy as np, pynngraph as nn
    >>> nn.SpatialSoftMax().forward(np.zeros((4, 1, 1))).ravel()
    array([0.25, 0.25, 0.25, 0.25])
    """

    op = "softmax"


class SpatialLogSoftMax(_OverPlanes):
    """y = x - log sum exp(x), at each place over all planes, computed without overflow.

    Shapes: input and output (planes, height, width) or (rows, planes, height, width).

    Examples
    --------
    >>> import numpy as np, pynngraph as nn
    >>> np.exp(nn.SpatialLogSoftMax().forward(np.zeros((2, 1, 1)))).ravel()
    array([0.5, 0.5])
    """

    op = "logsoftmax"


class _LocalNormalization(Module):
    """Base of modules that normalise by a weighted mean of what is around each place."""

    def __init__(self, nInputPlane: int | None = None, kernel: Any = None) -> None:
        self.nInputPlane = 1 if nInputPlane is None else nInputPlane
        self.kernel = np.ones((9, 9)) if kernel is None else np.array(kernel, np.float64)
        if self.kernel.ndim not in (1, 2) or any(size % 2 == 0 for size in self.kernel.shape):
            message = f"the kernel of {type(self).__name__} must have one or two odd sizes, got {self.kernel.shape}"
            raise ShapeError(message)
        if not self.kernel.sum() > 0:
            message = f"the kernel of {type(self).__name__} must have a sum above 0"
            raise DataError(message)

    def _input(self, b: Builder, input: Values) -> Value:
        x = b.array(input)
        b.choose(partial(self._check, b.where()), x)
        return x

    def _check(self, where: str, shape: Shape) -> None:
        sizes_of_dims(where, IMAGES, shape)
        if shape[-3] != self.nInputPlane:
            message = f"{where} expects {self.nInputPlane} planes, got shape {shape}"
            raise ShapeError(message)

    def _mean(self, b: Builder, x: Value) -> Value:
        """The mean of all planes, of what is around each place by the weights of the kernel; zeros are beyond."""
        plane = b.op("reduce_sum", [x], ints=[-3, 1], nums=[1 / self.nInputPlane])
        return self._around(b, plane)

    def _around(self, b: Builder, plane: Value) -> Value:
        kernel = self.kernel / self.kernel.sum()
        if kernel.ndim == 1:
            return self._weighted(b, self._weighted(b, plane, kernel[None, :]), kernel[:, None])
        return self._weighted(b, plane, kernel)

    def _weighted(self, b: Builder, plane: Value, kernel: Any) -> Value:
        """Equal weights are sums over windows, others a sum of shifted planes."""
        height, width = kernel.shape
        if (kernel == kernel[0, 0]).all():
            sums = b.op("average_pool", [plane], window_ints([Window(size, 1, size // 2) for size in (height, width)]))
            return b.op("mul_constant", [sums], nums=[float(kernel[0, 0])])
        padded = pick(b, plane, CONSTANT, [(height // 2,) * 2, (width // 2,) * 2])
        parts = []
        for (row, column), weight in np.ndenumerate(kernel):
            part = b.op("narrow", [padded], ints=[-2, row, row - height])
            part = b.op("narrow", [part], ints=[-1, column, column - width])
            parts.append(b.op("mul_constant", [part], nums=[float(weight)]))
        return b.op("add", parts)

    def _inside(self, b: Builder, x: Value) -> Value:
        """The sum of the kernel's weights that are in the image, at each place."""
        plane = b.op("reduce_sum", [x], ints=[-3, 1], nums=[1.0])
        return self._around(b, b.op("threshold", [plane], nums=[math.inf, 1.0]))  # nothing is above: ones

    def describe(self) -> str:
        """Planes, and the kernel's sizes."""
        return f"({self.nInputPlane}, {'x'.join(map(str, self.kernel.shape))})"


class SpatialSubtractiveNormalization(_LocalNormalization):
    """y = x - m, with m the mean of all planes around each place, weighted by a kernel.

    Parameters
    ----------
    nInputPlane
        How many planes, 1 if left out.
    kernel
        The weights, of odd sizes: a matrix, or a vector, which is then used down and across. 9 x 9 ones if left out.

    Near the edges the mean is of what is in the image.

    Shapes: input and output (nInputPlane, height, width) or (rows, nInputPlane, height, width).

    Examples
    --------
    >>> import numpy as np, pynngraph as nn
    >>> nn.SpatialSubtractiveNormalization(1, np.ones(3)).forward(np.array([[[1.0, 2.0, 6.0]]]))
    array([[[-0.5, -1. ,  2. ]]])
    """

    def lower(self, b: Builder, input: Values) -> Values:
        """The mean, spread over the planes, subtracted."""
        x = self._input(b, input)
        mean = b.op("div", [self._mean(b, x), self._inside(b, x)])
        return b.op("sub", [x, b.op("expand", [mean, x])])


class SpatialDivisiveNormalization(_LocalNormalization):
    """y = x / s, with s the root of the mean square of all planes around each place, weighted by a kernel.

    Parameters
    ----------
    nInputPlane, kernel
        As for :class:`SpatialSubtractiveNormalization`.
    threshold, thresval
        Where s is not above `threshold`, it is `thresval`; 1e-4 if left out.

    As in Torch7, s is divided by the part of the kernel that is in the image, and not by the root of that.

    Shapes: input and output (nInputPlane, height, width) or (rows, nInputPlane, height, width).

    Examples
    --------
    >>> import numpy as np, pynngraph as nn
    >>> nn.SpatialDivisiveNormalization(1, np.ones(1)).forward(np.array([[[-2.0, 0.0, 4.0]]]))
    array([[[-1.,  0.,  1.]]])
    """

    def __init__(
        self,
        nInputPlane: int | None = None,
        kernel: Any = None,
        threshold: float | None = None,
        thresval: float | None = None,
    ) -> None:
        super().__init__(nInputPlane, kernel)
        self.threshold = 1e-4 if threshold is None else float(threshold)
        self.thresval = 1e-4 if thresval is None else float(thresval)

    def lower(self, b: Builder, input: Values) -> Values:
        """The spread, spread over the planes, as a divisor."""
        x = self._input(b, input)
        spread = b.op("sqrt", [self._mean(b, b.op("square", [x]))])
        spread = b.op("div", [spread, self._inside(b, x)])
        spread = b.op("threshold", [spread], nums=[self.threshold, self.thresval])
        return b.op("div", [x, b.op("expand", [spread, x])])


class SpatialContrastiveNormalization(Sequential):
    """:class:`SpatialSubtractiveNormalization`, then :class:`SpatialDivisiveNormalization`.

    Parameters
    ----------
    nInputPlane, kernel, threshold, thresval
        As for these two.

    Shapes: input and output (nInputPlane, height, width) or (rows, nInputPlane, height, width).

    Examples
    --------
    >>> import numpy as np, pynngraph as nn
    >>> nn.SpatialContrastiveNormalization(1, np.ones(1)).forward(np.ones((1, 1, 2)))
    array([[[0., 0.]]])
    """

    def __init__(
        self,
        nInputPlane: int | None = None,
        kernel: Any = None,
        threshold: float | None = None,
        thresval: float | None = None,
    ) -> None:
        super().__init__(
            SpatialSubtractiveNormalization(nInputPlane, kernel),
            SpatialDivisiveNormalization(nInputPlane, kernel, threshold, thresval),
        )


__all__ = [
    "BatchNormalization",
    "LayerNormalization",
    "SpatialBatchNormalization",
    "SpatialContrastiveNormalization",
    "SpatialCrossMapLRN",
    "SpatialDivisiveNormalization",
    "SpatialLogSoftMax",
    "SpatialSoftMax",
    "SpatialSubtractiveNormalization",
    "VolumetricBatchNormalization",
]
