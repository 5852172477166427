"""Modules that files of other libraries are made of, where Torch7 has none that fits.

They are not exported: ``from_onnx`` and ``from_torch`` make them, and files save them as they save all others.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from .. import tree
from ..errors import ShapeError
from .module import Module
from .shape import INFER, KEEP

if TYPE_CHECKING:
    from .._engine import Shape, Value
    from .lowering import Builder, Values


class Op(Module):
    """One op of the registry (docs/ops.md), with parameters of its own after its inputs.

    Parameters
    ----------
    op
        Its name.
    ints, nums
        Its attributes.
    parameters
        By name, in the order in which the op takes them; at most ``weight`` and ``bias`` are attributes.

    Shapes: as those of the op. Its input is one array, or a list of those that it takes.

    Examples
    --------
    >>> import numpy as np
    >>> from pynngraph.nn.primitive import Op
    >>> Op("softmax", ints=[0]).forward(np.zeros((2, 3)))[0]
    array([0.5, 0.5, 0.5])
    """

    def __init__(self, op: str, ints: Sequence[int] = (), nums: Sequence[float] = (), **parameters: Any) -> None:
        self.op = op
        self.ints = tuple(map(int, ints))
        self.nums = tuple(map(float, nums))
        for name, array in parameters.items():
            if array is not None:
                self.add_cell(name, np.array(array, self.dtype))

    def lower(self, b: Builder, input: Values) -> Values:
        """The op."""
        values = b.arrays(input) if tree.is_table(input) else [input]
        return b.op(self.op, [*values, *map(b.param, self._cells.values())], self.ints, self.nums)

    def describe(self) -> str:
        """The op and its attributes."""
        return f"({', '.join(map(str, (self.op, *self.ints, *self.nums)))})"


class _Fit(NamedTuple):
    """How arrays come to one shape."""

    missing: tuple[int, ...]  # how many dims each lacks, in front
    model: int  # the one that is brought to the shape by itself
    repeats: tuple[tuple[int, int], ...]  # its dims of size 1, and their sizes then
    repeated: tuple[bool, ...]  # which are repeated to the shape of that one


class Broadcast(Module):
    """Arrays repeated to one shape, by NumPy's rules.

    Parameters
    ----------
    sizes
        A further shape that has a say.

    Shapes: one array, or a list of arrays; the output likewise, with all shapes alike.

    Examples
    --------
    >>> import numpy as np
    >>> from pynngraph.nn.primitive import Broadcast
    >>> [x.shape for x in Broadcast().forward([np.zeros((4, 1)), np.zeros(3)])]
    [(4, 3), (4, 3)]
    >>> Broadcast(2, 1).forward(np.array([3.0])).shape
    (2, 1)
    """

    def __init__(self, *sizes: int) -> None:
        self.sizes = tuple(map(int, sizes))

    def lower(self, b: Builder, input: Values) -> Values:
        """New dims, and repeated ones."""
        values = b.arrays(input) if tree.is_table(input) else [input]
        fit = b.choose(partial(self._fit, b.where()), *values)
        values = [self._wide(b, value, missing) for value, missing in zip(values, fit.missing, strict=True)]
        for dim, times in fit.repeats:
            one = b.op("select", [values[fit.model]], ints=[dim, 0])
            values[fit.model] = b.op("replicate", [one], ints=[dim, times])
        model = values[fit.model]
        values = [
            b.op("expand", [value, model]) if repeated else value
            for value, repeated in zip(values, fit.repeated, strict=True)
        ]
        return values if tree.is_table(input) else values[0]

    def _wide(self, b: Builder, value: Value, missing: int) -> Value:
        for _ in range(missing):
            value = b.op("replicate", [value], ints=[0, 1])
        return value

    def _fit(self, where: str, *shapes: Shape) -> _Fit:
        try:
            target = np.broadcast_shapes(*shapes, self.sizes)
        except ValueError:
            wanted = [*shapes, self.sizes] if self.sizes else shapes
            message = f"{where} expects arrays that can be repeated to one shape, got {', '.join(map(str, wanted))}"
            raise ShapeError(message) from None
        wide = [(1,) * (len(target) - len(shape)) + shape for shape in shapes]
        lacks = [[dim for dim, size in enumerate(shape) if size != target[dim]] for shape in wide]
        # The one that lacks a batch last, so that the same program serves batches of all sizes.
        model = min(range(len(shapes)), key=lambda place: (lacks[place][:1] == [0], len(lacks[place])))
        return _Fit(
            tuple(len(target) - len(shape) for shape in shapes),
            model,
            tuple((dim, target[dim]) for dim in lacks[model]),
            tuple(place != model and bool(lack) for place, lack in enumerate(lacks)),
        )

    def describe(self) -> str:
        """The sizes."""
        return f"({', '.join(map(str, self.sizes))})" if self.sizes else ""


class Take(Module):
    """Entries along one dim, by index: ``numpy.take``.

    Parameters
    ----------
    dimension
        The dim, counted from 0; negative from the end.

    Shapes: a list of an array and of indices of any shape, whole reals or integers. In the output, that of the indices
    stands for the dim. Indices get no gradient.

    Examples
    --------
    >>> import numpy as np
    >>> from pynngraph.nn.primitive import Take
    >>> Take(0).forward([np.array([1.0, 2.0, 3.0]), np.array([[2, 0]])])
    array([[3., 1.]])
    """

    def __init__(self, dimension: int) -> None:
        self.dimension = dimension

    def lower(self, b: Builder, input: Values) -> Values:
        """Rows of a matrix, by index."""
        x, index = b.arrays(input, 2, 2)
        if not b.is_index(index):
            index = b.op("to_index", [index])
        dim, rank, rest = b.choose(partial(self._sizes, b.where()), x)
        order = [dim, *(place for place in range(rank) if place != dim)]
        rows = transposed(b, x, order)
        table = b.op("reshape", [rows], ints=[KEEP, math.prod(rest)])
        found = b.op("gather", [table, index], ints=[-1])
        several = b.choose(len, index)
        found = b.op("reshape", [found], ints=[KEEP] * several + list(rest))
        # The indices' dims came first.
        order = [several + k for k in range(dim)] + list(range(several)) + [several + k for k in range(dim, rank - 1)]
        return transposed(b, found, order)

    def _sizes(self, where: str, shape: Shape) -> tuple[int, int, Shape]:
        """The dim meant, how many there are, and the sizes of the others."""
        dim = self.dimension + len(shape) if self.dimension < 0 else self.dimension
        if not 0 <= dim < len(shape):
            message = f"{where} cannot look up indices along dim {self.dimension} of an array of shape {shape}"
            raise ShapeError(message)
        return dim, len(shape), shape[:dim] + shape[dim + 1 :]

    def describe(self) -> str:
        """The dim."""
        return f"({self.dimension})"


class Standardize(Module):
    """y = (x - mean) / sqrt(var + eps) w + b, with mean and variance by group of elements of each sample.

    Parameters
    ----------
    eps
        What is added to the variance.
    groups
        Into how many groups dim 1 is cut, each with all dims that follow: GroupNorm; as many as its size: InstanceNorm.
    dims
        Instead: over so many last dims, LayerNorm.
    weight, bias
        By channel (dim 1), or of the shape of the last dims; or None.

    Shapes: output as input.

    Examples
    --------
    >>> import numpy as np
    >>> from pynngraph.nn.primitive import Standardize
    >>> Standardize(0, dims=1).forward(np.array([[1.0, 3.0]]))
    array([[-1.,  1.]])
    """

    def __init__(self, eps: float, *, groups: int = 0, dims: int = 0, weight: Any = None, bias: Any = None) -> None:
        self.eps = float(eps)
        self.groups = int(groups)
        self.dims = int(dims)
        for name, array in (("weight", weight), ("bias", bias)):
            if array is not None:
                self.add_cell(name, np.array(array, self.dtype))

    def lower(self, b: Builder, input: Values) -> Values:
        """Each group of a sample is a channel of a batch of one."""
        x = b.array(input)
        rows, back = b.choose(partial(self._sizes, b.where()), x)
        y = b.op("batch_norm", [b.op("reshape", [x], ints=rows)], nums=[self.eps])
        y = b.op("reshape", [y], ints=back)
        for name, op in (("weight", "mul"), ("bias", "add")):
            if name in self._cells:
                cell = self._cells[name]
                missing = len(back) - cell.data.ndim
                sizes = (1,) * missing + cell.data.shape if self.dims else (1, -1, *(1,) * (len(back) - 2))
                value = b.op("reshape", [b.param(cell)], ints=sizes)
                y = b.op(op, [y, b.op("expand", [value, y])])
        return y

    def _sizes(self, where: str, shape: Shape) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Sizes of a row for each group, and those of the input; with any number of samples, where there are some."""
        if self.dims:
            fits = len(shape) >= self.dims and all(
                cell.data.shape == shape[-self.dims :] for cell in self._cells.values()
            )
            inner = math.prod(shape[-self.dims :])
        else:
            fits = len(shape) > 1 and shape[1] > 0 and shape[1] % self.groups == 0
            fits = fits and all(cell.data.shape == shape[1:2] for cell in self._cells.values())
            inner = math.prod(shape[1:]) // self.groups if fits else 0
        if not fits or not inner:
            message = f"{where} does not fit an input of shape {shape}"
            raise ShapeError(message)
        has_batch = len(shape) > max(self.dims, 1)
        return (1, INFER, inner), (INFER, *shape[1:]) if has_batch else shape

    def describe(self) -> str:
        """How elements are grouped."""
        return f"({f'{self.dims} dims' if self.dims else f'{self.groups} groups'})"


def transpositions(order: Sequence[int]) -> list[tuple[int, int]]:
    """Pairs of dims to swap, so that they come in another order: `order[k]` is which comes as dim k."""
    pairs = []
    at = list(range(len(order)))
    for place, dim in enumerate(order):
        other = at.index(dim)
        if other != place:
            pairs.append((place, other))
            at[place], at[other] = at[other], at[place]
    return pairs


def transposed(b: Builder, x: Value, order: Sequence[int]) -> Value:
    """The dims in another order."""
    for pair in transpositions(order):
        x = b.op("transpose", [x], ints=pair)
    return x


class Fixed(Module):
    """Numbers that no training changes; its graph node needs no input.

    Parameters
    ----------
    value
        The array.

    Examples
    --------
    >>> import numpy as np, pynngraph as nn
    >>> from pynngraph.nn.primitive import Fixed
    >>> nn.gModule([], [Fixed(np.array([1.0, 2.0]))()]).forward([])
    array([1., 2.])
    """

    takes_input = False

    def __init__(self, value: Any) -> None:
        self.value = np.array(value, np.float64)

    def lower(self, b: Builder, input: Values) -> Values:
        """A constant."""
        return b.constant(self.value)

    def describe(self) -> str:
        """The sizes."""
        return f"({', '.join(map(str, self.value.shape))})"
