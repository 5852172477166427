"""Modules that pool: the greatest, the average or the norm of windows."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, TypeVar

import numpy as np

from .. import random
from ..errors import ShapeError, StateError
from .container import Sequential
from .host import HostChanged
from .module import Module
from .transfer import Power, Sqrt, Square

if TYPE_CHECKING:
    from .._engine import Shape, Value
    from .lowering import Builder, Values

SelfPooling = TypeVar("SelfPooling", bound="_Pooling")
SelfFractional = TypeVar("SelfFractional", bound="_FractionalPooling")
SelfAverage = TypeVar("SelfAverage", bound="SpatialAveragePooling")

ROUND_DOWN, ROUND_UP, ADAPTIVE = 0, 1, 2
BY_ONE, BY_WHOLE_WINDOW, BY_WHAT_IS_IN = 0, 1, 2


class Window(NamedTuple):
    """A window along one dim."""

    size: int
    stride: int
    padding: int = 0
    dilation: int = 1


def window_ints(windows: Sequence[Window], rounding: int = ROUND_DOWN, divisor: int = BY_ONE) -> list[int]:
    """The integers of a pooling op."""
    return [len(windows), rounding, divisor, *(number for window in windows for number in window)]


def sizes_of_dims(where: str, dims: Sequence[str], shape: Shape, *, batch: bool = True) -> None:
    """Refuse a shape that has neither these dims nor one more for a batch."""
    if len(shape) == len(dims) or (batch and len(shape) == len(dims) + 1):
        return
    wanted = ", ".join(dims)
    message = f"{where} expects ({wanted}) or (rows, {wanted}), got shape {shape}"
    raise ShapeError(message)


class _Pooling(Module):
    """Base of modules that pool by windows of fixed sizes."""

    dims: ClassVar[tuple[str, ...]]  # of a sample
    letters: ClassVar[str]  # those of Torch's names of arguments, for each pooled dim, the outermost first
    op: ClassVar[str]
    ceil_mode = False

    def _set(self, **numbers: Any) -> None:
        """Keep whole numbers under their names."""
        for name, number in numbers.items():
            least = 0 if name.startswith("pad") else 1
            if not hasattr(number, "__index__") or number < least:
                message = f"{name} of {type(self).__name__} must be a whole number, at least {least}, got {number}"
                raise ShapeError(message)
            setattr(self, name, int(number))
        for letter in self.letters:
            if getattr(self, f"pad{letter}", 0) > getattr(self, f"k{letter}") // 2:
                message = (
                    f"{type(self).__name__} can pad by at most half its window: pad{letter} is "
                    f"{getattr(self, f'pad{letter}')}, k{letter} {getattr(self, f'k{letter}')}"
                )
                raise ShapeError(message)

    def ceil(self: SelfPooling) -> SelfPooling:
        """Round output sizes up: a last window may reach past the end. One that would begin there is left out."""
        self.ceil_mode = True
        return self

    def floor(self: SelfPooling) -> SelfPooling:
        """Round output sizes down, as at first."""
        self.ceil_mode = False
        return self

    def windows(self) -> list[Window]:
        """The windows along each pooled dim, the outermost first."""
        return [
            Window(
                getattr(self, f"k{letter}"),
                getattr(self, f"d{letter}"),
                getattr(self, f"pad{letter}", 0),
                getattr(self, f"dilation{letter}", 1),
            )
            for letter in self.letters
        ]

    def divisor(self) -> int:
        """What sums are divided by."""
        return BY_ONE

    def ints(self) -> list[int]:
        """The integers of the op."""
        return window_ints(self.windows(), ROUND_UP if self.ceil_mode else ROUND_DOWN, self.divisor())

    def lower(self, b: Builder, input: Values) -> Values:
        """One op."""
        x = b.array(input)
        b.choose(partial(sizes_of_dims, b.where(), self.dims), x)
        outputs = b.outputs(self.op, [x], self.ints())
        if self.op == "max_pool":
            b.pooled[id(self)] = outputs[1], x
        return outputs[0]

    def describe(self) -> str:
        """Windows, strides and padding, as Torch7 prints them: width first."""
        windows = [getattr(self, kind + letter) for kind in "kd" for letter in self._printed()]
        padding = [getattr(self, f"pad{letter}", 0) for letter in self._printed()]
        return f"({', '.join(map(str, windows + padding * any(padding)))})"

    def _printed(self) -> str:
        return "".join(letter for letter in "TWH" if letter in self.letters)


class SpatialMaxPooling(_Pooling):
    """The greatest of each window of the planes of images.

    Parameters
    ----------
    kW, kH
        Width and height of a window.
    dW, dH
        How far one begins from the next; as wide and high as the window if left out.
    padW, padH
        How many places the windows reach past each side; at most half a window.

    Shapes: input (planes, height, width) or (rows, planes, height, width); output the same with height
    (height + 2 padH - kH) / dH + 1, rounded down, or up after :meth:`ceil`, and width alike. Windows that do not fit
    are a ShapeError. Of equal numbers the first gets the gradient; NaN is greater than all numbers.

    Examples
    --------
    >>> import numpy as np, pynngraph as nn
    >>> x = np.arange(15.0).reshape(1, 3, 5)
    >>> nn.SpatialMaxPooling(2, 2).forward(x)
    array([[[6., 8.]]])
    >>> nn.SpatialMaxPooling(2, 2).ceil().forward(x)
    array([[[ 6.,  8.,  9.],
            [11., 13., 14.]]])
    """

    dims = ("planes", "height", "width")
    letters = "HW"
    op = "max_pool"

    def __init__(
        self, kW: int, kH: int, dW: int | None = None, dH: int | None = None, padW: int = 0, padH: int = 0
    ) -> None:
        dW, dH = kW if dW is None else dW, kH if dH is None else dH
        self._set(kW=kW, kH=kH, dW=dW, dH=dH, padW=padW or 0, padH=padH or 0)


class SpatialDilatedMaxPooling(SpatialMaxPooling):
    """:class:`SpatialMaxPooling` by windows whose elements are some places apart.

    Parameters
    ----------
    kW, kH, dW, dH, padW, padH
        As for :class:`SpatialMaxPooling`.
    dilationW, dilationH
        How far apart the elements of a window are, 1 if left out.

    Shapes: as for :class:`SpatialMaxPooling`, for windows that reach over dilation (k - 1) + 1 places.

    Examples
    --------
    >>> import numpy as np, pynngraph as nn
    >>> x = np.arange(5.0).reshape(1, 1, 5)
    >>> nn.SpatialDilatedMaxPooling(2, 1, 1, 1, 0, 0, 3, 1).forward(x)
    array([[[3., 4.]]])
    """

    def __init__(
        self,
        kW: int,
        kH: int,
        dW: int | None = None,
        dH: int | None = None,
        padW: int = 0,
        padH: int = 0,
        dilationW: int = 1,
        dilationH: int = 1,
    ) -> None:
        super().__init__(kW, kH, dW, dH, padW, padH)
        self._set(dilationW=dilationW or 1, dilationH=dilationH or 1)


class TemporalMaxPooling(_Pooling):
    """The greatest of each feature over windows of a sequence.

    Parameters
    ----------
    kW
        How many frames a window has.
    dW
        How many frames one begins after the one before; kW if left out.

    Shapes: input (frames, features) or (rows, frames, features); output the same with (frames - kW) / dW + 1 frames,
    rounded down.

    Examples
    --------
    >>> import numpy as np, pynngraph as nn
    >>> nn.TemporalMaxPooling(2).forward(np.array([[1.0, 9.0], [2.0, 8.0], [3.0, 7.0]]))
    array([[2., 9.]])
    """

    dims = ("frames", "features")
    letters = "W"
    op = "max_pool"

    def __init__(self, kW: int, dW: int | None = None) -> None:
        self._set(kW=kW, dW=kW if dW is None else dW)

    def windows(self) -> list[Window]:
        """Along the frames; features are each for itself."""
        return [*super().windows(), Window(1, 1)]


class VolumetricMaxPooling(_Pooling):
    """The greatest of each window of the planes of volumes.

    Parameters
    ----------
    kT, kW, kH
        Size of a window in time, width and height.
    dT, dW, dH
        How far one begins from the next; as far as the window reaches if left out.
    padT, padW, padH
        How many places the windows reach past each side; at most half a window.

    Shapes: input (planes, time, height, width) or a batch of such; output alike, with sizes as for
    :class:`SpatialMaxPooling`.

    Examples
    --------
    >>> import numpy as np, pynngraph as nn
    >>> nn.VolumetricMaxPooling(2, 2, 1).forward(np.arange(8.0).reshape(1, 2, 2, 2))
    array([[[[5.],
             [7.]]]])
    """

    dims = ("planes", "time", "height", "width")
    letters = "THW"
    op = "max_pool"

    def __init__(
        self,
        kT: int,
        kW: int,
        kH: int,
        dT: int | None = None,
        dW: int | None = None,
        dH: int | None = None,
        padT: int = 0,
        padW: int = 0,
        padH: int = 0,
    ) -> None:
        dT, dW, dH = kT if dT is None else dT, kW if dW is None else dW, kH if dH is None else dH
        self._set(kT=kT, kW=kW, kH=kH, dT=dT, dW=dW, dH=dH, padT=padT or 0, padW=padW or 0, padH=padH or 0)


class VolumetricDilatedMaxPooling(VolumetricMaxPooling):
    """:class:`VolumetricMaxPooling` by windows whose elements are some places apart.

    Parameters
    ----------
    kT, kW, kH, dT, dW, dH, padT, padW, padH
        As for :class:`VolumetricMaxPooling`.
    dilationT, dilationW, dilationH
        How far apart the elements of a window are, 1 if left out.

    Examples
    --------
    >>> import numpy as np, pynngraph as nn
    >>> pool = nn.VolumetricDilatedMaxPooling(2, 1, 1, 1, 1, 1, 0, 0, 0, 2, 1, 1)
    >>> pool.forward(np.arange(4.0).reshape(1, 4, 1, 1)).ravel()
    array([2., 3.])
    """

    def __init__(
        self,
        kT: int,
        kW: int,
        kH: int,
        dT: int | None = None,
        dW: int | None = None,
        dH: int | None = None,
        padT: int = 0,
        padW: int = 0,
        padH: int = 0,
        dilationT: int = 1,
        dilationW: int = 1,
        dilationH: int = 1,
    ) -> None:
        super().__init__(kT, kW, kH, dT, dW, dH, padT, padW, padH)
        self._set(dilationT=dilationT or 1, dilationW=dilationW or 1, dilationH=dilationH or 1)


class SpatialAveragePooling(_Pooling):
    """The average of each window of the planes of images.

    Parameters
    ----------
    kW, kH, dW, dH, padW, padH
        As for :class:`SpatialMaxPooling`, but that dW and dH are 1 if left out. Padding counts as zeros; after
        :meth:`setCountExcludePad` it does not count. What a window reaches beyond the padding, after :meth:`ceil`,
        never counts.

    Shapes: as for :class:`SpatialMaxPooling`.

    Examples
    --------
    >>> import numpy as np, pynngraph as nn
    >>> x = np.ones((1, 2, 2))
    >>> nn.SpatialAveragePooling(2, 2, 2, 2, 1, 1).forward(x)
    array([[[0.25, 0.25],
            [0.25, 0.25]]])
    >>> nn.SpatialAveragePooling(2, 2, 2, 2, 1, 1).setCountExcludePad().forward(x)
    array([[[1., 1.],
            [1., 1.]]])
    """

    dims = ("planes", "height", "width")
    letters = "HW"
    op = "average_pool"
    count_include_pad = True
    divide = True
    """False for sums in place of averages."""

    def __init__(
        self, kW: int, kH: int, dW: int | None = None, dH: int | None = None, padW: int = 0, padH: int = 0
    ) -> None:
        dW, dH = 1 if dW is None else dW, 1 if dH is None else dH
        self._set(kW=kW, kH=kH, dW=dW, dH=dH, padW=padW or 0, padH=padH or 0)

    def setCountIncludePad(self: SelfAverage) -> SelfAverage:
        """Count padding as zeros, as at first."""
        self.count_include_pad = True
        return self

    def setCountExcludePad(self: SelfAverage) -> SelfAverage:
        """Average over what of a window is in the image."""
        self.count_include_pad = False
        return self

    def divisor(self) -> int:
        """What sums are divided by."""
        if not self.divide:
            return BY_ONE
        return BY_WHOLE_WINDOW if self.count_include_pad else BY_WHAT_IS_IN


class VolumetricAveragePooling(_Pooling):
    """The average of each window of the planes of volumes.

    Parameters
    ----------
    kT, kW, kH
        Size of a window in time, width and height.
    dT, dW, dH
        How far one begins from the next; as far as the window reaches if left out.

    Shapes: as for :class:`VolumetricMaxPooling`.

    Examples
    --------
    >>> import numpy as np, pynngraph as nn
    >>> nn.VolumetricAveragePooling(2, 2, 2).forward(np.arange(8.0).reshape(1, 2, 2, 2)).item()
    3.5
    """

    dims = ("planes", "time", "height", "width")
    letters = "THW"
    op = "average_pool"

    def __init__(
        self, kT: int, kW: int, kH: int, dT: int | None = None, dW: int | None = None, dH: int | None = None
    ) -> None:
        dT, dW, dH = kT if dT is None else dT, kW if dW is None else dW, kH if dH is None else dH
        self._set(kT=kT, kW=kW, kH=kH, dT=dT, dW=dW, dH=dH)

    def divisor(self) -> int:
        """What sums are divided by."""
        return BY_WHOLE_WINDOW


class _Adaptive(Module):
    """Base of modules that pool to an output of a given size."""

    op: ClassVar[str]

    def __init__(self, W: int, H: int) -> None:
        for name, size in (("W", W), ("H", H)):
            if not hasattr(size, "__index__") or size < 1:
                message = f"{name} of {type(self).__name__} must be a whole number, at least 1, got {size}"
                raise ShapeError(message)
        self.W = int(W)
        self.H = int(H)

    def lower(self, b: Builder, input: Values) -> Values:
        """One op."""
        x = b.array(input)
        b.choose(partial(sizes_of_dims, b.where(), SpatialMaxPooling.dims), x)
        windows = [Window(self.H, 1), Window(self.W, 1)]
        return b.op(self.op, [x], window_ints(windows, ADAPTIVE, BY_WHOLE_WINDOW))

    def describe(self) -> str:
        """Width and height."""
        return f"({self.W}, {self.H})"


class SpatialAdaptiveMaxPooling(_Adaptive):
    """The greatest of each of W x H windows that cover an image's planes.

    Parameters
    ----------
    W, H
        Width and height of the output.

    Shapes: input (planes, height, width) or (rows, planes, height, width); output (planes, H, W) or with rows. The k-th
    window down reaches from k height / H, rounded down, to (k + 1) height / H, rounded up; across alike.

    Examples
    --------
    >>> import numpy as np, pynngraph as nn
    >>> nn.SpatialAdaptiveMaxPooling(2, 1).forward(np.arange(6.0).reshape(1, 2, 3))
    array([[[4., 5.]]])
    """

    op = "max_pool"


class SpatialAdaptiveAveragePooling(_Adaptive):
    """The average of each of W x H windows that cover an image's planes.

    Parameters
    ----------
    W, H
        Width and height of the output.

    Shapes: as for :class:`SpatialAdaptiveMaxPooling`.

    Examples
    --------
    >>> import numpy as np, pynngraph as nn
    >>> nn.SpatialAdaptiveAveragePooling(1, 1).forward(np.arange(6.0).reshape(1, 2, 3))
    array([[[2.5]]])
    """

    op = "average_pool"


class SpatialLPPooling(Sequential):
    """The p-norm of each window of the planes of images.

    Parameters
    ----------
    nInputPlane
        How many planes there are; without effect.
    pnorm
        The p: windows give the p-th root of the sum of p-th powers.
    kW, kH, dW, dH
        Windows as for :class:`SpatialMaxPooling`.

    Shapes: as for :class:`SpatialMaxPooling`.

    Examples
    --------
    >>> import numpy as np, pynngraph as nn
    >>> nn.SpatialLPPooling(1, 2, 2, 1).forward(np.array([[[3.0, 4.0]]]))
    array([[[5.]]])
    """

    def __init__(
        self, nInputPlane: int, pnorm: float, kW: int, kH: int, dW: int | None = None, dH: int | None = None
    ) -> None:
        dW, dH = kW if dW is None else dW, kH if dH is None else dH
        power: Module = Square() if pnorm == 2 else Power(pnorm)
        root: Module = Sqrt() if pnorm == 2 else Power(1 / pnorm)
        sums = SpatialAveragePooling(kW, kH, dW, dH)
        sums.divide = False
        super().__init__(power, sums, root)
        self.kW, self.kH, self.dW, self.dH = kW, kH, dW, dH


class FeatureLPPooling(Module):
    """The p-norm of each window over neighbouring features.

    Parameters
    ----------
    width
        How many features a window has, 2 to 16.
    stride
        How many features one begins after the one before, 1 to 4.
    power
        The p: windows give the p-th root of the sum of p-th powers.
    batch_mode
        True where the first dim of inputs counts samples.

    Shapes: input (features,) with up to two dims more; in batch mode (rows, features) with up to two dims more; output
    the same with (features - width) / stride + 1 features, rounded down. The gradient of a norm of 0 is 0.

    Examples
    --------
    >>> import numpy as np, pynngraph as nn
    >>> nn.FeatureLPPooling(2, 1, 2).forward(np.array([3.0, 4.0, 0.0]))
    array([5., 4.])
    """

    def __init__(self, width: int, stride: int, power: float, batch_mode: bool = False) -> None:
        for name, number, least, most in (("width", width, 2, 16), ("stride", stride, 1, 4)):
            if not hasattr(number, "__index__") or not least <= number <= most:
                message = f"{name} of FeatureLPPooling must be from {least} to {most}, got {number}"
                raise ShapeError(message)
        self.width = int(width)
        self.stride = int(stride)
        self.power = float(power)
        self.batch_mode = bool(batch_mode)

    def lower(self, b: Builder, input: Values) -> Values:
        """Sums of powers by windows, and the root."""
        x = b.array(input)
        after = b.choose(partial(self._after, b.where()), x)
        ints = window_ints([Window(self.width, self.stride), *[Window(1, 1)] * after])
        if self.power == 2:
            return b.op("sqrt", [b.op("average_pool", [b.op("square", [x])], ints)])
        sums = b.op("average_pool", [b.op("power", [x], nums=[self.power])], ints)
        # Passes no gradient on where a sum is 0, where the root's would be NaN.
        return b.op("power", [b.op("threshold", [sums], nums=[0.0, 0.0])], nums=[1 / self.power])

    def _after(self, where: str, shape: Shape) -> int:
        """How many dims come after the features."""
        after = len(shape) - 1 - self.batch_mode
        if 0 <= after <= 2:
            return after
        rows = "rows, " if self.batch_mode else ""
        message = f"{where} expects ({rows}features, ...) with up to two dims more, got shape {shape}"
        raise ShapeError(message)

    def describe(self) -> str:
        """The numbers."""
        return f"(w{self.width} s{self.stride} power {self.power:g}{' batch' * self.batch_mode})"


class TemporalDynamicKMaxPooling(Module):
    """The k greatest of each feature of a sequence, in the order in which they come.

    Parameters
    ----------
    minK
        The least k.
    factor
        k is at least factor times the number of frames, rounded up; 0 if left out.

    Shapes: input (frames, features) or (rows, frames, features), of at least k frames; output the same with k frames.
    Of equal numbers the first are taken. It is done in NumPy.

    Source: Kalchbrenner, Grefenstette, Blunsom, A convolutional neural network for modelling sentences, ACL 2014.

    Examples
    --------
    >>> import numpy as np, pynngraph as nn
    >>> nn.TemporalDynamicKMaxPooling(2).forward(np.array([[5.0], [1.0], [9.0]]))
    array([[5.],
           [9.]])
    """

    def __init__(self, minK: int, factor: float | None = None) -> None:
        if not hasattr(minK, "__index__") or minK < 1:
            message = f"minK of TemporalDynamicKMaxPooling must be a whole number, at least 1, got {minK}"
            raise ShapeError(message)
        self.minK = int(minK)
        self.factor = 0.0 if factor is None else float(factor)

    def _places(self, input: Any) -> Any:
        """The frames that are taken, of each feature."""
        sizes_of_dims(self.label(), TemporalMaxPooling.dims, np.shape(input))
        frames = input.shape[-2]
        k = max(self.minK, math.ceil(self.factor * frames))
        if k > frames:
            message = f"{self.label()} takes {k} frames, got shape {input.shape}"
            raise ShapeError(message)
        return np.sort(np.argsort(-input, axis=-2, kind="stable")[..., :k, :], axis=-2)

    def updateOutput(self, input: Any) -> Any:
        """The greatest."""
        return np.take_along_axis(input, self._places(input), -2)

    def updateGradInput(self, input: Any, gradOutput: Any) -> Any:
        """Gradients at their places, zeros elsewhere."""
        gradInput = np.zeros_like(input)
        np.put_along_axis(gradInput, self._places(input), gradOutput, -2)
        return gradInput

    def describe(self) -> str:
        """The numbers."""
        return f"({self.minK}, {self.factor:g})"


class _FractionalPooling(Module):
    """Base of modules that pool by windows at random places."""

    dims: ClassVar[tuple[str, ...]]
    letters: ClassVar[str]  # of Torch's names of arguments, the outermost dim first
    _seed = 0  # of regions that stay; 0: each forward draws anew

    def _set(self, pools: dict[str, Any], sizes: dict[str, Any]) -> None:
        name = type(self).__name__
        for letter, pool in pools.items():
            if not hasattr(pool, "__index__") or pool < 2:
                message = f"poolSize{letter} of {name} must be a whole number, at least 2, got {pool}"
                raise ShapeError(message)
            setattr(self, f"poolSize{letter}", int(pool))
        are_sizes = all(size >= 1 for size in sizes.values())
        for letter, size in sizes.items():
            if are_sizes and not float(size).is_integer():
                message = f"out{letter} of {name} must be a whole number, got {size}"
                raise ShapeError(message)
            if not are_sizes and not 0 < size < 1:
                got = ", ".join(map(str, sizes.values()))
                message = f"{name} takes sizes from 1 on, or ratios between 0 and 1, got {got}"
                raise ShapeError(message)
            setattr(self, f"out{letter}" if are_sizes else f"ratio{letter}", int(size) if are_sizes else float(size))

    def fixPoolingRegions(self: SelfFractional, val: bool = True) -> SelfFractional:
        """Let regions stay as they are drawn at the next forward; or, with False, draw them anew at each."""
        self._draw_seed(val)
        return self

    def _draw_seed(self, fixed: bool) -> None:
        self._seed = (random.next_seed() >> 1 | 1) if fixed else 0
        self._changed()

    def lower(self, b: Builder, input: Values) -> Values:
        """One op."""
        x = b.array(input)
        sizes = b.choose(partial(self._sizes, b.where()), x)
        windows = [getattr(self, f"poolSize{letter}") for letter in self.letters]
        pairs = [number for pair in zip(windows, sizes, strict=True) for number in pair]
        return b.op("fractional_pool", [x], [len(windows), self._seed, *pairs])

    def _sizes(self, where: str, shape: Shape) -> list[int]:
        """Sizes of the output."""
        sizes_of_dims(where, self.dims, shape)
        return [
            getattr(self, f"out{letter}", None) or int(size * getattr(self, f"ratio{letter}"))
            for letter, size in zip(self.letters, shape[-len(self.letters) :], strict=True)
        ]

    def describe(self) -> str:
        """Sizes or ratios of the output, then windows, width first."""
        order = [letter for letter in "TWH" if letter in self.letters]
        sizes = [getattr(self, f"out{letter}", None) or getattr(self, f"ratio{letter}") for letter in order]
        return f"({', '.join(map(str, [*sizes, *(getattr(self, f'poolSize{letter}') for letter in order)]))})"


class SpatialFractionalMaxPooling(_FractionalPooling):
    """The greatest of each window of the planes of images, with windows at random places.

    Parameters
    ----------
    poolSizeW, poolSizeH
        Width and height of a window, at least 2.
    arg1, arg2
        Width and height of the output; or, below 1, what they are of the input's, rounded down.

    Along each dim windows begin evenly apart, but for rounding to whole places, and reach from end to end. How it is
    rounded each plane draws at each forward, in evaluation too; see :meth:`fixPoolingRegions` and :func:`manualSeed`.

    Shapes: input (planes, height, width) or (rows, planes, height, width); output alike.

    Source: Graham, Fractional max-pooling, arXiv:1412.6071.

    Examples
    --------
    >>> import numpy as np, pynngraph as nn
    >>> nn.SpatialFractionalMaxPooling(2, 2, 0.7, 0.7).forward(np.ones((1, 10, 20))).shape
    (1, 7, 14)
    """

    dims = ("planes", "height", "width")
    letters = "HW"

    def __init__(self, poolSizeW: int, poolSizeH: int, arg1: float, arg2: float) -> None:
        self._set({"W": poolSizeW, "H": poolSizeH}, {"W": arg1, "H": arg2})


class VolumetricFractionalMaxPooling(_FractionalPooling):
    """The greatest of each window of the planes of volumes, with windows at random places.

    Parameters
    ----------
    poolSizeT, poolSizeW, poolSizeH
        Size of a window in time, width and height, at least 2.
    arg1, arg2, arg3
        Time, width and height of the output; or, below 1, what they are of the input's, rounded down.

    Windows are drawn as those of :class:`SpatialFractionalMaxPooling`.

    Shapes: input (planes, time, height, width) or (rows, planes, time, height, width); output alike.

    Examples
    --------
    >>> import numpy as np, pynngraph as nn
    >>> nn.VolumetricFractionalMaxPooling(2, 2, 2, 2, 3, 4).forward(np.ones((1, 5, 5, 5))).shape
    (1, 2, 4, 3)
    """

    dims = ("planes", "time", "height", "width")
    letters = "THW"

    def __init__(self, poolSizeT: int, poolSizeW: int, poolSizeH: int, arg1: float, arg2: float, arg3: float) -> None:
        self._set({"T": poolSizeT, "W": poolSizeW, "H": poolSizeH}, {"T": arg1, "W": arg2, "H": arg3})


class _LastInput:
    """A step of a program that gives what a module was given at its last forward."""

    has_parameters = False

    def __init__(self, module: Module, where: str) -> None:
        self._module = module
        self._where = where
        self._shape: Shape | None = None

    def _array(self) -> Any:
        call = self._module.own_call()
        if call is None:
            message = (
                f"{self._where} undoes {self._module.label()}, which must come before it in the same container or "
                "graph, or have been run by itself"
            )
            raise StateError(message)
        return call.arrays[0]

    def infer(self, _shapes: list[Shape]) -> list[Shape]:
        """The array's shape."""
        self._shape = self._array().shape
        return [self._shape]

    def forward(self, _inputs: list[Any]) -> list[Any]:
        """The array; where it has another shape than at first, the program is out of date."""
        array = self._array()
        if array.shape != self._shape:
            raise HostChanged
        return [array]

    def backward(self, _grad_outputs: list[Any], _scale: float, _mask: int) -> list[Any]:
        """Nothing: it has no inputs."""
        return []


class _MaxUnpooling(Module):
    """Base of modules that undo a max pooling."""

    pools: ClassVar[type[_Pooling]]

    def __init__(self, poolingModule: _Pooling) -> None:
        if type(poolingModule) is not self.pools:
            message = f"{type(self).__name__} takes a {self.pools.__name__}, got {poolingModule!r}"
            raise ShapeError(message)
        if any(window.size != window.stride for window in poolingModule.windows()):
            message = f"{type(self).__name__} needs windows as large as their strides, got {poolingModule.label()}"
            raise ShapeError(message)
        self.pooling = poolingModule

    def lower(self, b: Builder, input: Values) -> Values:
        """One op, after that of the pooling module."""
        x = b.array(input)
        which, pooled = b.pooled.get(id(self.pooling)) or self._apart(b)
        return b.op("max_unpool", [x, which, pooled], self.pooling.ints())

    def _apart(self, b: Builder) -> tuple[Value, Value]:
        """The pooling module was run by itself: what it was given last is pooled once more."""
        step = _LastInput(self.pooling, b.where())
        pooled = b.host_step(step)
        return b.outputs("max_pool", [pooled], self.pooling.ints())[1], pooled

    def describe(self) -> str:
        """The pooling module."""
        return f" of {self.pooling.label()}"


class SpatialMaxUnpooling(_MaxUnpooling):
    """Zeros, but the input's elements where a :class:`SpatialMaxPooling` found the greatest.

    Parameters
    ----------
    poolingModule
        That module, whose windows are as large as their strides. It comes before in the same container or graph, and
        where it stands at several nodes, its last one counts; or it was run by itself before.

    Shapes: input as the pooling module's output; output as its input.

    Examples
    --------
    >>> import numpy as np, pynngraph as nn
    >>> pool = nn.SpatialMaxPooling(2, 2)
    >>> net = nn.Sequential(pool, nn.MulConstant(10), nn.SpatialMaxUnpooling(pool))
    >>> net.forward(np.array([[[1.0, 2.0], [4.0, 3.0]]]))
    array([[[ 0.,  0.],
            [40.,  0.]]])
    """

    pools = SpatialMaxPooling


class VolumetricMaxUnpooling(_MaxUnpooling):
    """Zeros, but the input's elements where a :class:`VolumetricMaxPooling` found the greatest.

    Parameters
    ----------
    poolingModule
        That module: see :class:`SpatialMaxUnpooling`.

    Shapes: input as the pooling module's output; output as its input.

    Examples
    --------
    >>> import numpy as np, pynngraph as nn
    >>> pool = nn.VolumetricMaxPooling(1, 2, 1)
    >>> net = nn.Sequential(pool, nn.VolumetricMaxUnpooling(pool))
    >>> net.forward(np.array([[[[1.0, 2.0, 4.0, 3.0]]]]))
    array([[[[0., 2., 4., 0.]]]])
    """

    pools = VolumetricMaxPooling


__all__ = [
    "FeatureLPPooling",
    "SpatialAdaptiveAveragePooling",
    "SpatialAdaptiveMaxPooling",
    "SpatialAveragePooling",
    "SpatialDilatedMaxPooling",
    "SpatialFractionalMaxPooling",
    "SpatialLPPooling",
    "SpatialMaxPooling",
    "SpatialMaxUnpooling",
    "TemporalDynamicKMaxPooling",
    "TemporalMaxPooling",
    "VolumetricAveragePooling",
    "VolumetricDilatedMaxPooling",
    "VolumetricFractionalMaxPooling",
    "VolumetricMaxPooling",
    "VolumetricMaxUnpooling",
]
