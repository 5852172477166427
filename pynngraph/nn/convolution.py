"""Convolutions: temporal, spatial, volumetric, with stride, padding and dilation, full and plane by plane."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

import numpy as np

from .. import random, tree
from ..errors import ShapeError
from .module import Module

if TYPE_CHECKING:
    from .._engine import Shape, Value
    from .lowering import Builder, Values

SelfWindows = TypeVar("SelfWindows", bound="_Windows")


class _Windows(Module):
    """Base of modules whose weight is of windows.

    Sizes of windows are attributes: ``kW``, ``dW``, ``padW`` ..., one for each letter of `space`, the
    outermost dim first.
    """

    op: ClassVar[str] = "convolution"
    space: ClassVar[str] = "HW"

    kT: int
    kH: int
    kW: int
    dT: int
    dH: int
    dW: int
    padT: int
    padH: int
    padW: int

    nInputPlane: int
    nOutputPlane: int

    _fan_in: int  # how many inputs an output has: initial values depend on it
    _planes: tuple[int, int]  # of input and output, for describe()

    def _sizes(self, prefix: str, default: int) -> tuple[int, ...]:
        """The attributes of one kind, of three dims."""
        own = tuple(getattr(self, prefix + letter, default) for letter in self.space)
        return (default,) * (3 - len(own)) + own

    def _set_windows(self, least: int = 1, **sizes: int) -> None:
        """Keep sizes as attributes, each a whole number of at least so much."""
        for name, size in sizes.items():
            if not hasattr(size, "__index__") or size < least:
                message = f"{type(self).__name__} needs {name} to be whole and at least {least}, got {size}"
                raise ShapeError(message)
            setattr(self, name, size)

    def _add_cells(self, weight: tuple[int, ...], bias: tuple[int, ...]) -> None:
        self.add_cell("weight", np.empty(weight, self.dtype))
        self.add_cell("bias", np.empty(bias, self.dtype))
        self.reset()

    def reset(self, stdv: float | None = None) -> None:
        """Draw all evenly from ±stdv sqrt(3), or without stdv from ±1/sqrt(n), n the inputs of an output."""
        for cell in self._cells.values():
            random.draw_parameter(self._writable(cell), self._fan_in, stdv)

    def noBias(self: SelfWindows) -> SelfWindows:
        """Drop the bias."""
        self.remove_cell("bias")
        return self

    def _windows(self, b: Builder, x: Value, *, groups: int = 1, extras: tuple[int, ...] = ()) -> Value:
        """The op."""
        ints = (*self._sizes("d", 1), *self._sizes("pad", 0), *self._sizes("dilation", 1), groups, *extras)
        return b.op(self.op, [x, *self._parameters(b)], ints=ints)

    def _parameters(self, b: Builder) -> list[Value]:
        """Weight and bias in the layout that the op wants."""
        if "weight" not in self._cells:
            message = f"{b.where()} has no weight any more"
            raise ShapeError(message)
        return [self._weight(b), self._bias(b)] if "bias" in self._cells else [self._weight(b)]

    def _weight(self, b: Builder) -> Value:
        return b.param(self._cells["weight"])

    def _bias(self, b: Builder) -> Value:
        return b.param(self._cells["bias"])

    def lower(self, b: Builder, input: Values) -> Values:
        """One op."""
        return self._windows(b, b.array(input))

    def _shown(self, prefix: str) -> list[int]:
        """The attributes of one kind in the order of the constructor, if they are there."""
        names = [prefix + letter for letter in "TWH" if letter in self.space]
        return [getattr(self, name) for name in names if hasattr(self, name)]

    def describe(self) -> str:
        """Planes and sizes; strides, paddings and what is added where there are any."""
        text = f"({self._planes[0]} -> {self._planes[1]}, {'x'.join(map(str, self._shown('k')))}"
        for name, prefix, usual in (
            ("stride", "d", {1}), ("padding", "pad", {0}), ("dilation", "dilation", {1}), ("extra", "adj", {0}),
        ):  # fmt: skip
            numbers = self._shown(prefix)
            if not usual.issuperset(numbers):
                text += f", {name} {','.join(map(str, numbers))}"
        return text + (")" if "bias" in self._cells else ") without bias")


class _Planes(_Windows):
    """Base of convolutions from planes to planes."""

    def _set_planes(self, nInputPlane: int, nOutputPlane: int) -> None:
        self._set_windows(nInputPlane=nInputPlane, nOutputPlane=nOutputPlane)
        self._planes = nInputPlane, nOutputPlane
        kernel = self._sizes("k", 1)[3 - len(self.space) :]
        self._fan_in = nInputPlane * math.prod(kernel)
        planes = (nInputPlane, nOutputPlane) if self.op == "full_convolution" else (nOutputPlane, nInputPlane)
        self._add_cells((*planes, *kernel), (nOutputPlane,))


class SpatialConvolution(_Planes):
    """A convolution over images: y_o(i, j) = b_o + sum_c,k,l w_oc(k, l) x_c(i dH + k - padH, j dW + l - padW).

    Parameters
    ----------
    nInputPlane, nOutputPlane
        Planes of input and output.
    kW, kH
        Width and height of the kernel.
    dW, dH
        Steps from one window to the next.
    padW, padH
        Columns and rows of zeros on each side. padH is padW if left out.

    Shapes: input (nInputPlane, height, width) or (batch, nInputPlane, height, width); output likewise, of nOutputPlane
    planes of floor((height + 2 padH - kH) / dH) + 1 by floor((width + 2 padW - kW) / dW) + 1; ``weight``
    (nOutputPlane, nInputPlane, kH, kW), ``bias`` (nOutputPlane,). Both start evenly drawn from
    ±1/sqrt(kW kH nInputPlane). An input of other sizes is a ShapeError.

    Examples
    --------
    >>> import numpy as np, pynngraph as nn
    >>> layer = nn.SpatialConvolution(3, 16, 5, 5, 2, 2, 2, 2)
    >>> layer.forward(np.zeros((4, 3, 32, 32))).shape
    (4, 16, 16, 16)
    >>> layer.noBias()
    nn.SpatialConvolution(3 -> 16, 5x5, stride 2,2, padding 2,2) without bias
    """

    def __init__(
        self,
        nInputPlane: int,
        nOutputPlane: int,
        kW: int,
        kH: int,
        dW: int = 1,
        dH: int = 1,
        padW: int = 0,
        padH: int | None = None,
    ) -> None:
        self._set_windows(kW=kW, kH=kH, dW=dW, dH=dH)
        self._set_windows(0, padW=padW, padH=padW if padH is None else padH)
        self._set_planes(nInputPlane, nOutputPlane)


class SpatialConvolutionMM(SpatialConvolution):
    """:class:`SpatialConvolution` with a weight of two dims, (nOutputPlane, nInputPlane kH kW).

    Examples
    --------
    >>> import numpy as np, pynngraph as nn
    >>> layer = nn.SpatialConvolutionMM(3, 16, 5, 5)
    >>> layer.weight.shape
    (16, 75)
    >>> layer.forward(np.zeros((3, 32, 32))).shape
    (16, 28, 28)
    """

    def _add_cells(self, weight: tuple[int, ...], bias: tuple[int, ...]) -> None:
        super()._add_cells((weight[0], math.prod(weight[1:])), bias)

    def _weight(self, b: Builder) -> Value:
        return b.op("reshape", [super()._weight(b)], ints=[-2, self.nInputPlane, self.kH, self.kW])


class SpatialDilatedConvolution(SpatialConvolution):
    """:class:`SpatialConvolution` with a kernel whose elements are apart.

    Parameters
    ----------
    nInputPlane, nOutputPlane, kW, kH, dW, dH, padW, padH
        As of :class:`SpatialConvolution`.
    dilationW, dilationH
        Columns and rows from one element of the kernel to the next: 1 is next to each other.

    Shapes: as of :class:`SpatialConvolution`, where a kernel is dilationH (kH - 1) + 1 by dilationW (kW - 1) + 1.
    Source: Yu and Koltun, Multi-Scale Context Aggregation by Dilated Convolutions, 2016.

    Examples
    --------
    >>> import numpy as np, pynngraph as nn
    >>> nn.SpatialDilatedConvolution(3, 16, 3, 3, 1, 1, 2, 2, 2, 2).forward(np.zeros((3, 32, 32))).shape
    (16, 32, 32)
    """

    dilationH: int
    dilationW: int

    def __init__(
        self,
        nInputPlane: int,
        nOutputPlane: int,
        kW: int,
        kH: int,
        dW: int = 1,
        dH: int = 1,
        padW: int = 0,
        padH: int | None = None,
        dilationW: int = 1,
        dilationH: int = 1,
    ) -> None:
        self._set_windows(dilationW=dilationW, dilationH=dilationH)
        super().__init__(nInputPlane, nOutputPlane, kW, kH, dW, dH, padW, padH)


class _Full(_Planes):
    """Base of full convolutions: what the gradient of a convolution's input is, as a layer."""

    op = "full_convolution"

    def _check_extras(self) -> None:
        for letter in self.space:
            if getattr(self, f"adj{letter}") >= getattr(self, f"d{letter}"):
                message = f"{type(self).__name__} needs adj{letter} to be smaller than d{letter}"
                raise ShapeError(message)

    def lower(self, b: Builder, input: Values) -> Values:
        """One op. Of the second array of a list, sizes are looked at."""
        if not tree.is_table(input):
            return self._windows(b, b.array(input), extras=self._sizes("adj", 0))
        x, reference = b.arrays(input, 2, 2)
        return self._windows(b, x, extras=b.choose(partial(self._extras, b.where()), reference))

    def _extras(self, where: str, shape: Shape) -> tuple[int, ...]:
        """By how much the output of the right size is larger than the smallest."""
        n = len(self.space)
        if len(shape) < n:
            message = f"{where} expects an array of at least {n} dims to take sizes from, got shape {shape}"
            raise ShapeError(message)
        sizes = ((0,) * 3 + tuple(shape[-n:]))[-3:]
        kinds = [self._sizes(prefix, default) for prefix, default in (("pad", 0), ("k", 1), ("d", 1))]
        return tuple((size + 2 * pad - k) % d for size, pad, k, d in zip(sizes, *kinds, strict=True))


class SpatialFullConvolution(_Full):
    """The transpose of a convolution over images, also called deconvolution: each element adds its kernel to a window.

    Parameters
    ----------
    nInputPlane, nOutputPlane
        Planes of input and output.
    kW, kH
        Width and height of the kernel.
    dW, dH
        Steps from one window of the output to the next.
    padW, padH
        Columns and rows that are cut off on each side.
    adjW, adjH
        Columns and rows that are added at the end, less than dW and dH.

    Shapes: input (nInputPlane, height, width) or (batch, nInputPlane, height, width); output likewise, of nOutputPlane
    planes of (height - 1) dH - 2 padH + kH + adjH by (width - 1) dW - 2 padW + kW + adjW; ``weight``
    (nInputPlane, nOutputPlane, kH, kW), ``bias`` (nOutputPlane,). Both start evenly drawn from
    ±1/sqrt(kW kH nInputPlane).

    The input may be a list of the array and another one, from whose last two sizes adjW and adjH are found such that
    the output is as large; its gradient is zeros.

    Examples
    --------
    >>> import numpy as np, pynngraph as nn
    >>> layer = nn.SpatialFullConvolution(16, 3, 4, 4, 2, 2, 1, 1)
    >>> layer.forward(np.zeros((4, 16, 8, 8))).shape
    (4, 3, 16, 16)
    >>> layer.forward([np.zeros((4, 16, 8, 8)), np.zeros((17, 16))]).shape
    (4, 3, 17, 16)
    """

    def __init__(
        self,
        nInputPlane: int,
        nOutputPlane: int,
        kW: int,
        kH: int,
        dW: int = 1,
        dH: int = 1,
        padW: int = 0,
        padH: int = 0,
        adjW: int = 0,
        adjH: int = 0,
    ) -> None:
        self._set_windows(kW=kW, kH=kH, dW=dW, dH=dH)
        self._set_windows(0, padW=padW, padH=padH, adjW=adjW, adjH=adjH)
        self._check_extras()
        self._set_planes(nInputPlane, nOutputPlane)


class SpatialDepthWiseConvolution(_Windows):
    """A convolution over images that keeps their planes apart: of each plane of the input, some of the output.

    Parameters
    ----------
    nInputPlane
        Planes of the input.
    nOutputPlane
        Planes of the output that each of them gives.
    kW, kH, dW, dH, padW, padH
        As of :class:`SpatialConvolution`.

    Shapes: input (nInputPlane, height, width) or (batch, nInputPlane, height, width); output likewise, of
    nInputPlane nOutputPlane planes, those of the first input plane first; ``weight``
    (nOutputPlane, nInputPlane kH kW), ``bias`` (nOutputPlane, nInputPlane). Both start evenly drawn from
    ±1/sqrt(kW kH nInputPlane).

    Examples
    --------
    >>> import numpy as np, pynngraph as nn
    >>> nn.SpatialDepthWiseConvolution(8, 2, 3, 3, 1, 1, 1, 1).forward(np.zeros((4, 8, 32, 32))).shape
    (4, 16, 32, 32)
    """

    depthwiseMultiplier: int

    def __init__(
        self,
        nInputPlane: int,
        nOutputPlane: int,
        kW: int,
        kH: int,
        dW: int = 1,
        dH: int = 1,
        padW: int = 0,
        padH: int | None = None,
    ) -> None:
        self._set_windows(nInputPlane=nInputPlane, depthwiseMultiplier=nOutputPlane)
        self._set_windows(kW=kW, kH=kH, dW=dW, dH=dH)
        self._set_windows(0, padW=padW, padH=padW if padH is None else padH)
        self.nOutputPlane = nInputPlane * nOutputPlane
        self._planes = nInputPlane, self.nOutputPlane
        self._fan_in = nInputPlane * kW * kH
        self._add_cells((nOutputPlane, nInputPlane * kH * kW), (nOutputPlane, nInputPlane))

    def _weight(self, b: Builder) -> Value:
        planes = b.op("reshape", [super()._weight(b)], ints=[-2, self.nInputPlane, self.kH, self.kW])
        turned = b.op("transpose", [planes], ints=[0, 1])
        return b.op("reshape", [turned], ints=[self.nOutputPlane, 1, self.kH, self.kW])

    def _bias(self, b: Builder) -> Value:
        turned = b.op("transpose", [super()._bias(b)], ints=[0, 1])
        return b.op("reshape", [turned], ints=[-1])

    def lower(self, b: Builder, input: Values) -> Values:
        """One op, of as many groups as planes."""
        return self._windows(b, b.array(input), groups=self.nInputPlane)


class TemporalConvolution(_Windows):
    """A convolution over a sequence of frames, each a row of features: y_t = W (x_s ... x_(s + kW - 1)) + b, s = t dW.

    Parameters
    ----------
    inputFrameSize, outputFrameSize
        Features of a frame of the input and of the output.
    kW
        Frames of a window.
    dW
        Step from one window to the next.

    Shapes: input (frames, inputFrameSize) or (batch, frames, inputFrameSize); output likewise, of
    floor((frames - kW) / dW) + 1 frames of outputFrameSize; ``weight`` (outputFrameSize, kW inputFrameSize), ``bias``
    (outputFrameSize,). Both start evenly drawn from ±1/sqrt(kW inputFrameSize).

    Examples
    --------
    >>> import numpy as np, pynngraph as nn
    >>> nn.TemporalConvolution(8, 16, 3).forward(np.zeros((20, 8))).shape
    (18, 16)
    """

    space = "W"

    def __init__(self, inputFrameSize: int, outputFrameSize: int, kW: int, dW: int = 1) -> None:
        self._set_windows(inputFrameSize=inputFrameSize, outputFrameSize=outputFrameSize, kW=kW, dW=dW)
        self._planes = inputFrameSize, outputFrameSize
        self._fan_in = kW * inputFrameSize
        self._add_cells((outputFrameSize, self._fan_in), (outputFrameSize,))

    def lower(self, b: Builder, input: Values) -> Values:
        """One op."""
        return b.op("frames", [b.array(input), *self._parameters(b)], ints=[self.kW, self.dW])


class TemporalRowConvolution(_Windows):
    """A convolution over a sequence of frames that keeps their features apart.

    Parameters
    ----------
    inputFrameSize
        Features of a frame.
    kW
        Frames of a window.
    dW
        Step from one window to the next.
    featFirst
        True for arrays (inputFrameSize, frames).

    Shapes: input (frames, inputFrameSize) or (batch, frames, inputFrameSize), with featFirst (inputFrameSize, frames)
    or (batch, inputFrameSize, frames); output likewise, of floor((frames - kW) / dW) + 1 frames; ``weight``
    (inputFrameSize, 1, kW), ``bias`` (inputFrameSize,). Both start evenly drawn from ±1/sqrt(kW inputFrameSize).

    Examples
    --------
    >>> import numpy as np, pynngraph as nn
    >>> nn.TemporalRowConvolution(8, 3).forward(np.zeros((20, 8))).shape
    (18, 8)
    >>> nn.TemporalRowConvolution(8, 3, 1, True).forward(np.zeros((8, 20))).shape
    (8, 18)
    """

    space = "W"

    def __init__(self, inputFrameSize: int, kW: int, dW: int = 1, featFirst: bool = False) -> None:
        self._set_windows(inputFrameSize=inputFrameSize, kW=kW, dW=dW)
        self.featFirst = bool(featFirst)
        self._planes = inputFrameSize, inputFrameSize
        self._fan_in = kW * inputFrameSize
        self._add_cells((inputFrameSize, 1, kW), (inputFrameSize,))

    def lower(self, b: Builder, input: Values) -> Values:
        """One op, of as many groups as features."""
        groups = self._planes[0]
        if self.featFirst:
            return self._windows(b, b.array(input), groups=groups)
        return _by_features(b, b.array(input), lambda x: self._windows(b, x, groups=groups))


def _by_features(b: Builder, x: Value, inner: Callable[[Value], Value]) -> Value:
    """What `inner` makes of frames whose features come first, again as rows of features."""
    b.choose(partial(_check_frames, b.where()), x)
    return b.op("transpose", [inner(b.op("transpose", [x], ints=[-1, -2]))], ints=[-1, -2])


def _check_frames(where: str, shape: Shape) -> None:
    if len(shape) not in (2, 3):
        message = f"{where} expects frames of features, of 2 dims, or 3 for a batch, got shape {shape}"
        raise ShapeError(message)


class _SubSampling(_Windows):
    """Base of modules that add up windows of each plane, times one weight of the plane."""

    def _set_sampling(self, planes: int) -> None:
        self._planes = planes, planes
        self._fan_in = math.prod(self._sizes("k", 1))
        self._add_cells((planes,), (planes,))

    def _weight(self, b: Builder) -> Value:
        taps = b.op("replicate", [super()._weight(b)], ints=[1, self._fan_in])
        kernel = self._sizes("k", 1)[3 - len(self.space) :]
        return b.op("reshape", [taps], ints=[-2, 1, *kernel])


class TemporalSubSampling(_SubSampling):
    """y_t = w (x_s + ... + x_(s + kW - 1)) + b, s = t dW, feature by feature, over a sequence of frames.

    Parameters
    ----------
    inputFrameSize
        Features of a frame.
    kW
        Frames of a window.
    dW
        Step from one window to the next.

    Shapes: input (frames, inputFrameSize) or (batch, frames, inputFrameSize); output likewise, of
    floor((frames - kW) / dW) + 1 frames; ``weight`` and ``bias`` (inputFrameSize,). Both start evenly drawn from
    ±1/sqrt(kW).

    Examples
    --------
    >>> import numpy as np, pynngraph as nn
    >>> layer = nn.TemporalSubSampling(1, 2, 2)
    >>> layer.weight, layer.bias = np.array([0.5]), np.array([0.0])
    >>> layer.forward(np.array([[1.0], [3.0], [5.0], [7.0]]))
    array([[2.],
           [6.]])
    """

    space = "W"

    def __init__(self, inputFrameSize: int, kW: int, dW: int = 1) -> None:
        self._set_windows(inputFrameSize=inputFrameSize, kW=kW, dW=dW)
        self._set_sampling(inputFrameSize)

    def lower(self, b: Builder, input: Values) -> Values:
        """One op, of as many groups as features."""
        return _by_features(b, b.array(input), lambda x: self._windows(b, x, groups=self._planes[0]))


class SpatialSubSampling(_SubSampling):
    """y = w (the sum of a window) + b, plane by plane, over images.

    Parameters
    ----------
    nInputPlane
        Planes of input and output.
    kW, kH
        Width and height of a window.
    dW, dH
        Steps from one window to the next.

    Shapes: input (nInputPlane, height, width) or (batch, nInputPlane, height, width); output likewise, of
    floor((height - kH) / dH) + 1 by floor((width - kW) / dW) + 1; ``weight`` and ``bias`` (nInputPlane,). Both start
    evenly drawn from ±1/sqrt(kW kH).

    Examples
    --------
    >>> import numpy as np, pynngraph as nn
    >>> nn.SpatialSubSampling(3, 2, 2, 2, 2).forward(np.zeros((3, 32, 32))).shape
    (3, 16, 16)
    """

    def __init__(self, nInputPlane: int, kW: int, kH: int, dW: int = 1, dH: int = 1) -> None:
        self._set_windows(nInputPlane=nInputPlane, kW=kW, kH=kH, dW=dW, dH=dH)
        self._set_sampling(nInputPlane)

    def lower(self, b: Builder, input: Values) -> Values:
        """One op, of as many groups as planes."""
        return self._windows(b, b.array(input), groups=self._planes[0])


class VolumetricConvolution(_Planes):
    """:class:`SpatialConvolution` over volumes, of which time is the first dim.

    Parameters
    ----------
    nInputPlane, nOutputPlane
        Planes of input and output.
    kT, kW, kH
        Length, width and height of the kernel.
    dT, dW, dH
        Steps from one window to the next.
    padT, padW, padH
        How many zeros are on each side. padW is padT if left out, padH is padW.

    Shapes: input (nInputPlane, time, height, width) or (batch, nInputPlane, time, height, width); output likewise, each
    size floor((size + 2 pad - k) / d) + 1; ``weight`` (nOutputPlane, nInputPlane, kT, kH, kW), ``bias``
    (nOutputPlane,). Both start evenly drawn from ±1/sqrt(kT kW kH nInputPlane).

    Examples
    --------
    >>> import numpy as np, pynngraph as nn
    >>> nn.VolumetricConvolution(3, 8, 2, 3, 3, 1, 2, 2).forward(np.zeros((3, 4, 9, 7))).shape
    (8, 3, 4, 3)
    """

    space = "THW"

    def __init__(
        self,
        nInputPlane: int,
        nOutputPlane: int,
        kT: int,
        kW: int,
        kH: int,
        dT: int = 1,
        dW: int = 1,
        dH: int = 1,
        padT: int = 0,
        padW: int | None = None,
        padH: int | None = None,
    ) -> None:
        padW = padT if padW is None else padW
        self._set_windows(kT=kT, kW=kW, kH=kH, dT=dT, dW=dW, dH=dH)
        self._set_windows(0, padT=padT, padW=padW, padH=padW if padH is None else padH)
        self._set_planes(nInputPlane, nOutputPlane)


class VolumetricDilatedConvolution(VolumetricConvolution):
    """:class:`VolumetricConvolution` with a kernel whose elements are apart.

    Parameters
    ----------
    nInputPlane, nOutputPlane, kT, kW, kH, dT, dW, dH, padT, padW, padH
        As of :class:`VolumetricConvolution`.
    dilationT, dilationW, dilationH
        Steps from one element of the kernel to the next: 1 is next to each other.

    Examples
    --------
    >>> import numpy as np, pynngraph as nn
    >>> layer = nn.VolumetricDilatedConvolution(3, 8, 2, 3, 3, 1, 1, 1, 0, 0, 0, 2, 2, 2)
    >>> layer.forward(np.zeros((3, 4, 9, 7))).shape
    (8, 2, 5, 3)
    """

    dilationT: int
    dilationH: int
    dilationW: int

    def __init__(
        self,
        nInputPlane: int,
        nOutputPlane: int,
        kT: int,
        kW: int,
        kH: int,
        dT: int = 1,
        dW: int = 1,
        dH: int = 1,
        padT: int = 0,
        padW: int | None = None,
        padH: int | None = None,
        dilationT: int = 1,
        dilationW: int = 1,
        dilationH: int = 1,
    ) -> None:
        self._set_windows(dilationT=dilationT, dilationW=dilationW, dilationH=dilationH)
        super().__init__(nInputPlane, nOutputPlane, kT, kW, kH, dT, dW, dH, padT, padW, padH)


class VolumetricFullConvolution(_Full):
    """:class:`SpatialFullConvolution` over volumes, of which time is the first dim.

    Parameters
    ----------
    nInputPlane, nOutputPlane
        Planes of input and output.
    kT, kW, kH
        Length, width and height of the kernel.
    dT, dW, dH
        Steps from one window of the output to the next.
    padT, padW, padH
        How much is cut off on each side.
    adjT, adjW, adjH
        How much is added at the end, less than the steps.

    Shapes: input (nInputPlane, time, height, width) or (batch, nInputPlane, time, height, width); output likewise, each
    size (size - 1) d - 2 pad + k + adj; ``weight`` (nInputPlane, nOutputPlane, kT, kH, kW), ``bias`` (nOutputPlane,).
    Both start evenly drawn from ±1/sqrt(kT kW kH nInputPlane). The input may be a list with an array to
    take the output's sizes from, as of :class:`SpatialFullConvolution`.

    Examples
    --------
    >>> import numpy as np, pynngraph as nn
    >>> nn.VolumetricFullConvolution(8, 3, 2, 3, 3, 1, 2, 2).forward(np.zeros((8, 3, 4, 3))).shape
    (3, 4, 9, 7)
    """

    space = "THW"

    def __init__(
        self,
        nInputPlane: int,
        nOutputPlane: int,
        kT: int,
        kW: int,
        kH: int,
        dT: int = 1,
        dW: int = 1,
        dH: int = 1,
        padT: int = 0,
        padW: int = 0,
        padH: int = 0,
        adjT: int = 0,
        adjW: int = 0,
        adjH: int = 0,
    ) -> None:
        self._set_windows(kT=kT, kW=kW, kH=kH, dT=dT, dW=dW, dH=dH)
        self._set_windows(0, padT=padT, padW=padW, padH=padH, adjT=adjT, adjW=adjW, adjH=adjH)
        self._check_extras()
        self._set_planes(nInputPlane, nOutputPlane)


class SpatialConvolutionLocal(_Windows):
    """A convolution over images that has weights of its own at each place.

    Parameters
    ----------
    nInputPlane, nOutputPlane
        Planes of input and output.
    iW, iH
        Width and height of the input.
    kW, kH, dW, dH, padW, padH
        As of :class:`SpatialConvolution`.

    Shapes: input (nInputPlane, iH, iW) or (batch, nInputPlane, iH, iW); output likewise, (nOutputPlane, oH, oW), with
    oH and oW as of :class:`SpatialConvolution`; ``weight`` (oH, oW, nOutputPlane, nInputPlane, kH, kW), ``bias``
    (nOutputPlane, oH, oW). Both start evenly drawn from ±1/sqrt(kW kH nInputPlane).

    Examples
    --------
    >>> import numpy as np, pynngraph as nn
    >>> layer = nn.SpatialConvolutionLocal(3, 4, 8, 6, 3, 3)
    >>> layer.forward(np.zeros((2, 3, 6, 8))).shape
    (2, 4, 4, 6)
    >>> layer.weight.shape
    (4, 6, 4, 3, 3, 3)
    """

    iW: int
    iH: int

    def __init__(
        self,
        nInputPlane: int,
        nOutputPlane: int,
        iW: int,
        iH: int,
        kW: int,
        kH: int,
        dW: int = 1,
        dH: int = 1,
        padW: int = 0,
        padH: int | None = None,
    ) -> None:
        self._set_windows(iW=iW, iH=iH, kW=kW, kH=kH, dW=dW, dH=dH, nInputPlane=nInputPlane, nOutputPlane=nOutputPlane)
        self._set_windows(0, padW=padW, padH=padW if padH is None else padH)
        self.oW = (iW + 2 * self.padW - kW) // dW + 1
        self.oH = (iH + 2 * self.padH - kH) // dH + 1
        if self.oW < 1 or self.oH < 1:
            message = f"SpatialConvolutionLocal has no output for an input of {iH} by {iW}: it is too small"
            raise ShapeError(message)
        self._planes = nInputPlane, nOutputPlane
        self._fan_in = nInputPlane * kH * kW
        self._add_cells((self.oH, self.oW, nOutputPlane, nInputPlane, kH, kW), (nOutputPlane, self.oH, self.oW))
        # A kernel for each place in a window of each plane: what it takes becomes a plane of its own.
        places = np.tile(np.eye(kH * kW).reshape(-1, 1, kH, kW), (nInputPlane, 1, 1, 1))
        self.add_cell("places", places, has_grad=False)

    def lower(self, b: Builder, input: Values) -> Values:
        """One product of matrices for each place of windows, for all samples at once."""
        x = b.array(input)
        is_batch = b.choose(partial(self._check, b.where()), x)
        weight, *bias = self._parameters(b)
        images = b.op("reshape", [x], ints=[-1, self.nInputPlane, self.iH, self.iW])
        ints = (*self._sizes("d", 1), *self._sizes("pad", 0), 1, 1, 1, self.nInputPlane)
        windows = b.op("convolution", [images, b.param(self._buffers["places"])], ints=ints)
        rows = b.op("reshape", [windows], ints=[-2, -2, self.oH * self.oW])
        matrices = b.op("reshape", [weight], ints=[self.oH * self.oW, self.nOutputPlane, self._fan_in])
        product = b.op("matmul", [matrices, b.op("transpose", [rows], ints=[0, 2])], ints=[0, 0])
        turned = b.op("transpose", [product], ints=[0, 2])
        y = b.op("reshape", [turned], ints=[-2 if is_batch else 1, self.nOutputPlane, self.oH, self.oW])
        if bias:
            one = b.op("reshape", bias, ints=[1, self.nOutputPlane, self.oH, self.oW])
            y = b.op("add", [y, b.op("expand", [one, y])])
        return y if is_batch else b.op("select", [y], ints=[0, 0])

    def _check(self, where: str, shape: Shape) -> bool:
        """Whether it is a batch."""
        image = (self.nInputPlane, self.iH, self.iW)
        if len(shape) in (3, 4) and shape[-3:] == image:
            return len(shape) == 4
        message = f"{where} expects an input of shape {image}, or a batch of such, got {shape}"
        raise ShapeError(message)


class _Map(_Windows):
    """Base of convolutions from planes to planes of which a table says which are connected."""

    def __init__(self, conMatrix: Any, kW: int, kH: int, dW: int = 1, dH: int = 1) -> None:
        table = np.array(conMatrix)
        if (
            table.ndim != 2
            or table.shape[1] != 2
            or not len(table)
            or (table != np.floor(table)).any()
            or table.min() < 0
        ):
            message = f"{type(self).__name__} needs a table of pairs (from, to) of planes, counted from 0"
            raise ShapeError(message)
        self._set_windows(kW=kW, kH=kH, dW=dW, dH=dH)
        self.connTable = table.astype(np.int64)
        self.nInputPlane, self.nOutputPlane = (int(n) + 1 for n in self.connTable.max(0))
        self._planes = self.nInputPlane, self.nOutputPlane
        for level, rows in enumerate(self._rows()):
            self.add_cell(f"rows{level}", rows, has_grad=False)
        self.add_cell("none", np.zeros((1, kH * kW)), has_grad=False)
        self._add_cells((len(table), kH, kW), (self.nOutputPlane,))

    def _rows(self) -> list[np.ndarray[Any, Any]]:
        """For each pair of planes, which row of the weight connects them; one past the last where none does.

        Pairs that come again are in another such array.
        """
        pairs, none = self.connTable, len(self.connTable)
        pairs = pairs if self.op == "full_convolution" else pairs[:, ::-1]
        levels: list[np.ndarray[Any, Any]] = []
        for row, (first, second) in enumerate(pairs):
            free = next((rows for rows in levels if rows[first, second] == none), None)
            if free is None:
                free = np.full(pairs.max(0) + 1, float(none))
                levels.append(free)
            free[first, second] = row
        return levels

    def reset(self, stdv: float | None = None) -> None:
        """Draw all evenly from ±stdv sqrt(3), or without stdv from ±1/sqrt(n), n the inputs of the output."""
        counts = np.maximum(np.bincount(self.connTable[:, 1]), 1)
        limits = 1 / np.sqrt(self.kW * self.kH * counts) if stdv is None else np.full(len(counts), stdv * math.sqrt(3))
        weight, bias = (self._writable(self._cells[name]) for name in ("weight", "bias"))
        weight[...] = random.uniform(-1, 1, weight.shape) * limits[self.connTable[:, 1], None, None]
        bias[...] = random.uniform(-1, 1, bias.shape) * limits

    def _weight(self, b: Builder) -> Value:
        """All pairs of planes, with zeros where there is no connection."""
        kernels = b.op("reshape", [super()._weight(b)], ints=[-2, self.kH * self.kW])
        kernels = b.op("join", [kernels, b.param(self._buffers["none"])], ints=[0])
        levels = [b.op("to_index", [b.param(cell)]) for name, cell in self._buffers.items() if name != "none"]
        dense = [b.op("gather", [kernels, index], ints=[-1]) for index in levels]
        total = dense[0] if len(dense) == 1 else b.op("add", dense)
        return b.op("reshape", [total], ints=[-2, -2, self.kH, self.kW])


class SpatialConvolutionMap(_Map):
    """:class:`SpatialConvolution` in which only some planes of the input go to a plane of the output.

    Parameters
    ----------
    conMatrix
        An array (connections, 2): from which plane of the input to which of the output, counted from 0. ``tables``
        makes some: :func:`tables.full`, :func:`tables.oneToOne`, :func:`tables.random`.
    kW, kH
        Width and height of the kernels.
    dW, dH
        Steps from one window to the next.

    Shapes: input (planes, height, width) or (batch, planes, height, width); output likewise, as of
    :class:`SpatialConvolution`; ``weight`` (connections, kH, kW), ``bias`` (planes of the output,). Both start evenly
    drawn from ±1/sqrt(kW kH n), n the connections to the plane.

    Examples
    --------
    >>> import numpy as np, pynngraph as nn
    >>> layer = nn.SpatialConvolutionMap(nn.tables.random(8, 4, 2), 3, 3)
    >>> layer.weight.shape
    (8, 3, 3)
    >>> nn.SpatialConvolutionMap(nn.tables.oneToOne(4), 3, 3).forward(np.zeros((4, 9, 9))).shape
    (4, 7, 7)
    """


class SpatialFullConvolutionMap(_Map):
    """:class:`SpatialFullConvolution` in which only some planes of the input go to a plane of the output.

    Parameters
    ----------
    conMatrix
        An array (connections, 2), as of :class:`SpatialConvolutionMap`.
    kW, kH
        Width and height of the kernels.
    dW, dH
        Steps from one window of the output to the next.

    Shapes: input (planes, height, width) or (batch, planes, height, width); output likewise, as of
    :class:`SpatialFullConvolution`; ``weight`` (connections, kH, kW), ``bias`` (planes of the output,). Both start
    evenly drawn from ±1/sqrt(kW kH n), n the connections to the plane.

    Examples
    --------
    >>> import numpy as np, pynngraph as nn
    >>> nn.SpatialFullConvolutionMap(nn.tables.full(4, 2), 3, 3, 2, 2).forward(np.zeros((4, 9, 9))).shape
    (2, 19, 19)
    """

    op = "full_convolution"

    def lower(self, b: Builder, input: Values) -> Values:
        """One op."""
        return self._windows(b, b.array(input), extras=(0, 0, 0))


__all__ = [
    "SpatialConvolution",
    "SpatialConvolutionLocal",
    "SpatialConvolutionMM",
    "SpatialConvolutionMap",
    "SpatialDepthWiseConvolution",
    "SpatialDilatedConvolution",
    "SpatialFullConvolution",
    "SpatialFullConvolutionMap",
    "SpatialSubSampling",
    "TemporalConvolution",
    "TemporalRowConvolution",
    "TemporalSubSampling",
    "VolumetricConvolution",
    "VolumetricDilatedConvolution",
    "VolumetricFullConvolution",
]
