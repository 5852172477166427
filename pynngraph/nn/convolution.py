"""Convolutions: temporal, spatial, volumetric, with stride, padding and dilation, full and plane by plane."""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING, ClassVar, TypeVar

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
        """The op, with weight and bias in the layout that it wants."""
        if "weight" not in self._cells:
            message = f"{b.where()} has no weight any more"
            raise ShapeError(message)
        bias = [self._bias(b)] if "bias" in self._cells else []
        ints = (*self._sizes("d", 1), *self._sizes("pad", 0), *self._sizes("dilation", 1), groups, *extras)
        return b.op(self.op, [x, self._weight(b), *bias], ints=ints)

    def _weight(self, b: Builder) -> Value:
        return b.param(self._cells["weight"])

    def _bias(self, b: Builder) -> Value:
        return b.param(self._cells["bias"])

    def lower(self, b: Builder, input: Values) -> Values:
        """One op."""
        return self._windows(b, b.array(input))

    def describe(self) -> str:
        """Planes and sizes; strides, paddings and what is added where there are any."""
        n = len(self.space)
        kernel, steps, padding, extra = (
            self._sizes(prefix, default)[3 - n :] for prefix, default in (("k", 1), ("d", 1), ("pad", 0), ("adj", 0))
        )
        text = f"({self._planes[0]} -> {self._planes[1]}, {'x'.join(map(str, kernel[::-1]))}"
        if set(steps) != {1} or any(padding):
            text += f", stride {','.join(map(str, steps[::-1]))}"
        if any(padding):
            text += f", padding {','.join(map(str, padding[::-1]))}"
        if any(extra):
            text += f", extra {','.join(map(str, extra[::-1]))}"
        return text + (")" if "bias" in self._cells else ") without bias")


class _Planes(_Windows):
    """Base of convolutions from planes to planes."""

    nInputPlane: int
    nOutputPlane: int

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

    def describe(self) -> str:
        """As of SpatialConvolution, and the dilation."""
        return f"{super().describe()} dilated {self.dilationW},{self.dilationH}"


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

    nInputPlane: int
    nOutputPlane: int
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


__all__ = [
    "SpatialConvolution",
    "SpatialConvolutionMM",
    "SpatialDepthWiseConvolution",
    "SpatialDilatedConvolution",
    "SpatialFullConvolution",
]
