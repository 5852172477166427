"""Modules that make images and volumes larger."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from ..errors import DataError, ShapeError
from .module import Module
from .padding import REPEAT, pick
from .pooling import sizes_of_dims

if TYPE_CHECKING:
    from .._engine import Shape, Value
    from .lowering import Builder, Values

IMAGES = ("planes", "height", "width")


def _factor(module: Module, factor: Any) -> int:
    if not hasattr(factor, "__index__") and not (isinstance(factor, float) and factor.is_integer()):
        message = f"{type(module).__name__} needs a whole factor, got {factor!r}"
        raise ShapeError(message)
    if factor < 1:
        message = f"{type(module).__name__} needs a factor of at least 1, got {factor}"
        raise ShapeError(message)
    return int(factor)


def _interpolate(b: Builder, x: Value, pairs: list[tuple[int, int]]) -> Value:
    """The last dims interpolated to sizes of a times the old ones plus b, a pair (a, b) for each."""
    return b.op("interpolate", [x], [len(pairs), 0, *(number for pair in pairs for number in pair)])


class SpatialUpSamplingNearest(Module):
    """Images with each element repeated in both directions.

    Parameters
    ----------
    scale
        How often; kept as ``scale_factor``.

    Shapes: input (planes, height, width) or (rows, planes, height, width); output the same with height and width times
    scale.

    Examples
    --------
    >>> import numpy as np, pynngraph as nn
    >>> nn.SpatialUpSamplingNearest(2).forward(np.array([[[1.0, 2.0]]]))
    array([[[1., 1., 2., 2.],
            [1., 1., 2., 2.]]])
    """

    def __init__(self, scale: int) -> None:
        self.scale_factor = _factor(self, scale)

    def lower(self, b: Builder, input: Values) -> Values:
        """One op."""
        x = b.array(input)
        b.choose(partial(sizes_of_dims, b.where(), IMAGES), x)
        return pick(b, x, REPEAT, [(self.scale_factor, 0)] * 2)

    def describe(self) -> str:
        """The factor."""
        return f"({self.scale_factor})"


class SpatialUpSamplingBilinear(Module):
    """Images interpolated linearly in both directions; corners stay corners.

    Parameters
    ----------
    params
        The factor, kept as ``scale_factor``; or a dict with the output's ``oheight`` and ``owidth``.

    Shapes: input (planes, height, width) or (rows, planes, height, width); output the same with height and width times
    params, or as given.

    Examples
    --------
    >>> import numpy as np, pynngraph as nn
    >>> nn.SpatialUpSamplingBilinear({"oheight": 1, "owidth": 5}).forward(np.array([[[1.0, 2.0, 4.0]]]))
    array([[[1. , 1.5, 2. , 3. , 4. ]]])
    """

    scale_factor: int | None = None
    oheight: int | None = None
    owidth: int | None = None

    def __init__(self, params: Any) -> None:
        if isinstance(params, dict):
            self.oheight, self.owidth = _output_sizes(self, params, "oheight", "owidth")
        else:
            self.scale_factor = _factor(self, params)

    def lower(self, b: Builder, input: Values) -> Values:
        """One op."""
        x = b.array(input)
        b.choose(partial(sizes_of_dims, b.where(), IMAGES), x)
        if self.scale_factor is not None:
            return _interpolate(b, x, [(self.scale_factor, 0)] * 2)
        return _interpolate(b, x, [(0, self.oheight or 0), (0, self.owidth or 0)])

    def describe(self) -> str:
        """The factor, or the size."""
        return f"({self.scale_factor or f'{self.oheight}x{self.owidth}'})"


def _output_sizes(module: Module, params: dict[str, Any], *names: str) -> list[int]:
    """Sizes of the output by their names."""
    sizes: list[Any] = [params.get(name) for name in names]
    if any(not hasattr(size, "__index__") or size < 1 for size in sizes):
        message = f"{type(module).__name__} needs sizes of at least 1, {', '.join(names)}, got {params}"
        raise ShapeError(message)
    return sizes


_MODES = {None: "nearest", "nearest": "nearest", "linear": "linear", "bilinear": "linear", "trilinear": "linear"}


class UpSampling(Module):
    """Images or volumes made larger, by repeating elements or by linear interpolation.

    Parameters
    ----------
    params
        The factor, kept as ``scale_factor``; for interpolation also a dict with the output's ``oheight`` and
        ``owidth``, for volumes ``odepth`` too.
    mode
        ``"nearest"``, or ``"linear"`` (``"bilinear"`` and ``"trilinear"`` are the same).

    Shapes: input (rows, planes, height, width) or (rows, planes, depth, height, width); output the same with the last
    two or three sizes times params, or as given. Interpolated corners stay corners.

    Examples
    --------
    >>> import numpy as np, pynngraph as nn
    >>> nn.UpSampling(2).forward(np.array([[[[1.0, 2.0]]]]))
    array([[[[1., 1., 2., 2.],
             [1., 1., 2., 2.]]]])
    >>> nn.UpSampling({"oheight": 1, "owidth": 3}, "linear").forward(np.array([[[[1.0, 2.0]]]]))
    array([[[[1. , 1.5, 2. ]]]])
    """

    scale_factor: int | None = None
    odepth: int | None = None
    oheight: int | None = None
    owidth: int | None = None

    def __init__(self, params: Any, mode: str | None = None) -> None:
        if mode not in _MODES:
            message = f"the mode of UpSampling must be one of {', '.join(map(repr, _MODES))}, got {mode!r}"
            raise DataError(message)
        self.mode = _MODES[mode]
        if not isinstance(params, dict):
            self.scale_factor = _factor(self, params)
        elif self.mode == "nearest":
            message = "UpSampling to the nearest needs a factor, not sizes"
            raise ShapeError(message)
        else:
            self.oheight, self.owidth = _output_sizes(self, params, "oheight", "owidth")
            if params.get("odepth") is not None:
                (self.odepth,) = _output_sizes(self, params, "odepth")

    def lower(self, b: Builder, input: Values) -> Values:
        """One op."""
        x = b.array(input)
        dims = b.choose(partial(self._dims, b.where()), x)
        if self.scale_factor is not None and self.mode == "nearest":
            return pick(b, x, REPEAT, [(self.scale_factor, 0)] * dims)
        if self.scale_factor is not None:
            return _interpolate(b, x, [(self.scale_factor, 0)] * dims)
        sizes = (self.odepth, self.oheight, self.owidth)[3 - dims :]
        return _interpolate(b, x, [(0, size or 0) for size in sizes])

    def _dims(self, where: str, shape: Shape) -> int:
        """How many dims are made larger."""
        if len(shape) not in (4, 5):
            wanted = "(rows, planes, height, width) or (rows, planes, depth, height, width)"
            message = f"{where} expects {wanted}, got shape {shape}"
            raise ShapeError(message)
        if len(shape) == 5 and self.scale_factor is None and self.odepth is None:
            message = f"{where} needs odepth for volumes"
            raise ShapeError(message)
        return len(shape) - 2

    def describe(self) -> str:
        """The factor or the size, and the mode."""
        sizes = "x".join(str(size) for size in (self.odepth, self.oheight, self.owidth) if size is not None)
        return f"({self.scale_factor or sizes}, {self.mode})"


class PixelShuffle(Module):
    """Planes made to places: r^2 planes become one, of r times the height and width.

    Parameters
    ----------
    upscaleFactor
        The number r.

    Shapes: input (planes r^2, height, width) or (rows, planes r^2, height, width); output (planes, height r, width r)
    or with rows. Of each r^2 planes the first are those for the first row of each r x r places.

    Source: Shi et al., Real-time single image and video super-resolution, CVPR 2016.

    Examples
    --------
    >>> import numpy as np, pynngraph as nn
    >>> nn.PixelShuffle(2).forward(np.arange(4.0).reshape(4, 1, 1))
    array([[[0., 1.],
            [2., 3.]]])
    """

    def __init__(self, upscaleFactor: int) -> None:
        self.upscaleFactor = _factor(self, upscaleFactor)

    def lower(self, b: Builder, input: Values) -> Values:
        """The factors of planes moved behind height and width, which makes one copy."""
        x = b.array(input)
        rows, planes, height, width = b.choose(partial(self._sizes, b.where()), x)
        r = self.upscaleFactor
        y = b.op("reshape", [x], ints=[*rows, planes // r**2, r, r, height, width])
        for pair in ((-4, -2), (-3, -2), (-2, -1)):  # to height, r, width, r
            y = b.op("transpose", [y], ints=pair)
        return b.op("reshape", [y], ints=[*rows, planes // r**2, height * r, width * r])

    def _sizes(self, where: str, shape: Shape) -> tuple[tuple[int, ...], int, int, int]:
        """What keeps the number of rows when reshaped, if there are rows; and the other sizes."""
        sizes_of_dims(where, IMAGES, shape)
        if shape[-3] % self.upscaleFactor**2:
            message = f"{where} needs planes in multiples of {self.upscaleFactor**2}, got shape {shape}"
            raise ShapeError(message)
        planes, height, width = shape[-3:]
        return (-2,) * (len(shape) - 3), planes, height, width

    def describe(self) -> str:
        """The factor."""
        return f"({self.upscaleFactor})"


__all__ = ["PixelShuffle", "SpatialUpSamplingBilinear", "SpatialUpSamplingNearest", "UpSampling"]
