"""Modules that put something around their input, or cut some of it off."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

from ..errors import ShapeError
from .module import Module
from .pooling import sizes_of_dims

if TYPE_CHECKING:
    from .._engine import Shape, Value
    from .lowering import Builder, Values

CONSTANT, MIRROR, ENDS, REPEAT = 0, 1, 2, 3


def pick(
    b: Builder, x: Value, mode: int, pairs: Sequence[tuple[int, int]], value: float = 0.0, *, kept: int = 0
) -> Value:
    """An array with two numbers for each of some dims: what is before and after, or how often each element comes."""
    ints = [len(pairs), kept, mode, *(number for pair in pairs for number in pair)]
    return b.op("pick", [x], ints, [value])


def _whole(module: Module, **numbers: Any) -> None:
    """Keep whole numbers under their names."""
    for name, number in numbers.items():
        if not hasattr(number, "__index__"):
            message = f"{name} of {type(module).__name__} must be a whole number, got {number}"
            raise ShapeError(message)
        setattr(module, name, int(number))


class _SpatialPadding(Module):
    """Base of modules that pad images on all four sides."""

    mode: ClassVar[int]
    dims: ClassVar[tuple[str, ...]] = ("planes", "height", "width")
    pad_l: int
    pad_r: int
    pad_t: int
    pad_b: int

    def __init__(
        self, pad_l: int, pad_r: int | None = None, pad_t: int | None = None, pad_b: int | None = None
    ) -> None:
        others = {"pad_r": pad_r, "pad_t": pad_t, "pad_b": pad_b}
        _whole(self, pad_l=pad_l, **{name: pad_l if pad is None else pad for name, pad in others.items()})

    def pairs(self) -> list[tuple[int, int]]:
        """What is before and after along each dim, the outermost first."""
        return [(self.pad_t, self.pad_b), (self.pad_l, self.pad_r)]

    def lower(self, b: Builder, input: Values) -> Values:
        """One op."""
        x = b.array(input)
        b.choose(partial(self._check, b.where()), x)
        return pick(b, x, self.mode, self.pairs())

    def _check(self, where: str, shape: Shape) -> None:
        sizes_of_dims(where, self.dims, shape)
        pairs = self.pairs()
        for name, size, (before, after) in zip(self.dims[1:], shape[-len(pairs) :], pairs, strict=True):
            if size < 1 or size + before + after < 1 or (self.mode == MIRROR and size <= max(before, after)):
                message = f"{where} pads the {name} of {size} by {before} and {after}, which cannot be done"
                raise ShapeError(message)

    def describe(self) -> str:
        """Left, right, top, bottom."""
        return f"(l={self.pad_l}, r={self.pad_r}, t={self.pad_t}, b={self.pad_b})"


class SpatialZeroPadding(_SpatialPadding):
    """Zeros around images; a negative number cuts off.

    Parameters
    ----------
    pad_l, pad_r, pad_t, pad_b
        How many columns left and right, how many rows above and below; each as pad_l if left out.

    Shapes: input (planes, height, width) or (rows, planes, height, width); output the same with the sums added to
    height and width. Where nothing would be left it is a ShapeError.

    Examples
    --------
    >>> import numpy as np, pynngraph as nn
    >>> nn.SpatialZeroPadding(1, -1, 0, 1).forward(np.array([[[1.0, 2.0, 3.0]]]))
    array([[[0., 1., 2.],
            [0., 0., 0.]]])
    """

    mode = CONSTANT


class SpatialReflectionPadding(_SpatialPadding):
    """Images mirrored at their edges, which are not repeated; a negative number cuts off.

    Parameters
    ----------
    pad_l, pad_r, pad_t, pad_b
        How many columns left and right, how many rows above and below, fewer than the image has; each as pad_l if left
        out.

    Shapes: as for :class:`SpatialZeroPadding`.

    Examples
    --------
    >>> import numpy as np, pynngraph as nn
    >>> nn.SpatialReflectionPadding(2, 1, 0, 0).forward(np.array([[[1.0, 2.0, 3.0]]]))
    array([[[3., 2., 1., 2., 3., 2.]]])
    """

    mode = MIRROR


class SpatialReplicationPadding(_SpatialPadding):
    """Images with their edges repeated; a negative number cuts off.

    Parameters
    ----------
    pad_l, pad_r, pad_t, pad_b
        How many columns left and right, how many rows above and below; each as pad_l if left out.

    Shapes: as for :class:`SpatialZeroPadding`.

    Examples
    --------
    >>> import numpy as np, pynngraph as nn
    >>> nn.SpatialReplicationPadding(2, 1, 0, 0).forward(np.array([[[1.0, 2.0, 3.0]]]))
    array([[[1., 1., 1., 2., 3., 3.]]])
    """

    mode = ENDS


class VolumetricReplicationPadding(_SpatialPadding):
    """Volumes with their edges repeated; a negative number cuts off.

    Parameters
    ----------
    pleft, pright, ptop, pbottom, pfront, pback
        How many places on each side, the first and last ones in depth; each as pleft if left out.

    Shapes: input (planes, depth, height, width) or a batch of such; output the same with the sums added.

    Examples
    --------
    >>> import numpy as np, pynngraph as nn
    >>> nn.VolumetricReplicationPadding(1, 0, 0, 0, 0, 0).forward(np.array([[[[1.0, 2.0]]]]))
    array([[[[1., 1., 2.]]]])
    """

    mode = ENDS
    dims = ("planes", "depth", "height", "width")
    pleft: int
    pright: int
    ptop: int
    pbottom: int
    pfront: int
    pback: int

    def __init__(
        self,
        pleft: int,
        pright: int | None = None,
        ptop: int | None = None,
        pbottom: int | None = None,
        pfront: int | None = None,
        pback: int | None = None,
    ) -> None:
        others = {"pright": pright, "ptop": ptop, "pbottom": pbottom, "pfront": pfront, "pback": pback}
        _whole(self, pleft=pleft, **{name: pleft if pad is None else pad for name, pad in others.items()})

    def pairs(self) -> list[tuple[int, int]]:
        """What is before and after along each dim, the outermost first."""
        return [(self.pfront, self.pback), (self.ptop, self.pbottom), (self.pleft, self.pright)]

    def describe(self) -> str:
        """Left, right, top, bottom, front, back."""
        numbers = self.pleft, self.pright, self.ptop, self.pbottom, self.pfront, self.pback
        return f"({', '.join(map(str, numbers))})"


class Padding(Module):
    """Entries of one value put in along one dim.

    Parameters
    ----------
    dim
        The dim, counted from 0; negative from the end.
    pad
        How many entries. Negative: so many before place `index`; positive: after it, counted from the end.
    nInputDim
        How many dims a sample has: an input of one more is a batch, and `dim` is counted without it.
    value
        What to put in.
    index
        The place, counted from 0: with 0, the entries come before all others, or after all.

    Shapes: any; `dim` grows by abs(pad).

    Examples
    --------
    >>> import numpy as np, pynngraph as nn
    >>> nn.Padding(0, 2).forward(np.ones(2))
    array([1., 1., 0., 0.])
    >>> nn.Padding(0, -1, 1, 7, 1).forward(np.array([[1.0, 2.0]]))
    array([[1., 7., 2.]])
    """

    def __init__(
        self, dim: int, pad: int, nInputDim: int | None = None, value: float | None = 0, index: int | None = 0
    ) -> None:
        _whole(self, dim=dim, pad=pad, index=0 if index is None else index)
        self.nInputDim = nInputDim
        self.value = float(value or 0)

    dim: int
    pad: int
    index: int

    def lower(self, b: Builder, input: Values) -> Values:
        """One op at an end; in the middle a part on either side."""
        x = b.array(input)
        dim, ndim, place, size = b.choose(partial(self._place, b.where()), x)
        count, kept = abs(self.pad), ndim - dim - 1
        if place in (0, size):
            return pick(b, x, CONSTANT, [(count, 0) if place == 0 else (0, count)], self.value, kept=kept)
        before = b.op("narrow", [x], ints=[dim, 0, place])
        after = b.op("narrow", [x], ints=[dim, place, size - place])
        padded = pick(b, before, CONSTANT, [(0, count)], self.value, kept=kept)
        return b.op("join", [padded, after], ints=[dim])

    def _place(self, where: str, shape: Shape) -> tuple[int, int, int, int]:
        """The dim, how many there are, where to put entries in, and the dim's size; at an end, any size is the same."""
        dim = self.dim + (len(shape) if self.dim < 0 else self.nInputDim is not None and len(shape) != self.nInputDim)
        if not 0 <= dim < len(shape):
            message = f"{where} has no dim {self.dim} in its input of shape {shape}"
            raise ShapeError(message)
        size = shape[dim]
        place = size - self.index if self.pad > 0 else self.index
        if not 0 <= place <= size:
            message = f"{where} has no place {self.index} in dim {dim} of its input of shape {shape}"
            raise ShapeError(message)
        if self.index == 0:
            return dim, len(shape), place and -1, -1
        return dim, len(shape), place, size

    def describe(self) -> str:
        """The dim and how many entries."""
        return f"({self.dim}, {self.pad})"


__all__ = [
    "Padding",
    "SpatialReflectionPadding",
    "SpatialReplicationPadding",
    "SpatialZeroPadding",
    "VolumetricReplicationPadding",
]
