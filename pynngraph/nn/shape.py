"""Modules that show the same numbers in another shape, or some of them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from operator import index
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from .. import tree
from ..errors import ShapeError, StructureError
from .module import Module

if TYPE_CHECKING:
    from .._engine import Shape, Value
    from .lowering import Builder, Values

SelfOfSamples = TypeVar("SelfOfSamples", bound="_OfSamples")
SelfView = TypeVar("SelfView", bound="View")

# Sizes that the engine finds out: inferred from the others, and kept from the input at that place.
INFER = -1
KEEP = -2


def as_sizes(sizes: Sequence[int | Sequence[int]]) -> tuple[int, ...]:
    """Sizes given one by one or as one sequence."""
    if len(sizes) == 1 and isinstance(sizes[0], Sequence):
        return tuple(map(index, sizes[0]))
    return tuple(map(index, sizes))  # type: ignore[arg-type]


class Reshape(Module):
    """The same elements in order, in another shape.

    Parameters
    ----------
    sizes
        The new sizes, one by one or as one tuple.
    batchMode
        True: the first dim of the input is a batch and stays. False: the input is reshaped whole. None, or left out: it
        is a batch unless it has just as many elements as the sizes ask for and a first dim other than 1.

    Examples
    --------
    >>> import numpy as np, pynngraph as nn
    >>> nn.Reshape(3, 2).forward(np.zeros((4, 6))).shape
    (4, 3, 2)
    """

    def __init__(self, *sizes: int | Sequence[int], batchMode: bool | None = None) -> None:
        # Torch7 takes the flag as the last positional argument.
        last: Any = sizes[-1] if sizes else 0
        if last is None or isinstance(last, bool):
            sizes, batchMode = sizes[:-1], last
        self.sizes = as_sizes(sizes)
        self.batchMode = batchMode
        if any(size < 0 for size in self.sizes):
            message = f"sizes of Reshape must not be negative, got {self.sizes}: see View for -1"
            raise ShapeError(message)

    def lower(self, b: Builder, input: Values) -> Values:
        """An alias."""
        x = b.array(input)
        return b.op("reshape", [x], ints=b.choose(self._target, x))

    def _target(self, shape: Shape) -> tuple[int, ...]:
        fits = math.prod(shape) == math.prod(self.sizes) and bool(shape) and shape[0] != 1
        if self.batchMode is False or (self.batchMode is None and (fits or not shape)):
            return self.sizes
        return (KEEP, *self.sizes)

    def describe(self) -> str:
        """The sizes."""
        return f"({', '.join(map(str, self.sizes))})"


class _OfSamples(Module):
    """Base of modules that may be told how many dims one sample has: an input with more is a batch."""

    numInputDims: int | None = None

    def setNumInputDims(self: SelfOfSamples, numInputDims: int | None) -> SelfOfSamples:
        """Say how many dims one sample has; the module itself."""
        self.numInputDims = numInputDims
        return self


class View(_OfSamples):
    """The same elements in order, in another shape; one size may be -1.

    Parameters
    ----------
    sizes
        The new sizes, one by one or as one tuple; -1 for one that follows from the others.

    What the input has beyond those elements is a batch, which comes first. With :meth:`setNumInputDims` the dims before
    the last n are the batch.

    Examples
    --------
    >>> import numpy as np, pynngraph as nn
    >>> nn.View(3, 2).forward(np.zeros((4, 6))).shape
    (4, 3, 2)
    >>> nn.View(-1, 3).forward(np.zeros((4, 6))).shape
    (8, 3)
    """

    def __init__(self, *sizes: int | Sequence[int]) -> None:
        self.resetSize(*sizes)

    def resetSize(self: SelfView, *sizes: int | Sequence[int]) -> SelfView:
        """Set other sizes."""
        new = as_sizes(sizes)
        if any(size < INFER for size in new) or new.count(INFER) > 1:
            message = f"View takes sizes of which one may be -1, got {new}"
            raise ShapeError(message)
        self.sizes = new
        return self

    def lower(self, b: Builder, input: Values) -> Values:
        """An alias."""
        x = b.array(input)
        return b.op("reshape", [x], ints=b.choose(self._target, x))

    def _target(self, shape: Shape) -> tuple[int, ...]:
        n_sample = len(shape) if self.numInputDims is None else min(self.numInputDims, len(shape))
        n_batch = len(shape) - n_sample
        known = math.prod(size for size in self.sizes if size != INFER)
        elements = math.prod(shape[n_batch:])
        if elements % known if known else elements:
            message = f"{self.label()} cannot show an input of shape {shape}"
            raise ShapeError(message)
        batch = math.prod(shape[:n_batch])
        if INFER in self.sizes:
            if batch == 1 and n_batch == 0:
                return self.sizes
            return (KEEP if n_batch == 1 else batch, *self.sizes)
        batch *= elements // known if known else 1
        if batch == 1 and n_batch == 0:
            return self.sizes
        # The batch is whatever is left, so that the same program serves batches of any size.
        return (INFER, *self.sizes) if batch and known else (batch, *self.sizes)

    def describe(self) -> str:
        """The sizes."""
        return f"({', '.join(map(str, self.sizes))})"


class Narrow(Module):
    """A range along one dim.

    Parameters
    ----------
    dimension
        The dim, counted from 0; negative from the end.
    offset
        Where the range begins, counted from 0; negative from the end.
    length
        How long it is; -1 reaches to the end, -2 to one before it, and so on.

    Examples
    --------
    >>> import numpy as np, pynngraph as nn
    >>> nn.Narrow(0, 1, 2).forward(np.arange(4.0))
    array([1., 2.])
    """

    def __init__(self, dimension: int, offset: int, length: int = 1) -> None:
        self.dimension = dimension
        self.index = offset
        self.length = length

    def lower(self, b: Builder, input: Values) -> Values:
        """An alias."""
        return b.op("narrow", [b.array(input)], ints=[self.dimension, self.index, self.length])

    def describe(self) -> str:
        """Dim, offset, length."""
        return f"({self.dimension}, {self.index}, {self.length})"


class Select(Module):
    """One index along one dim, which goes.

    Parameters
    ----------
    dimension
        The dim, counted from 0; negative from the end.
    index
        Which, counted from 0; negative from the end.

    Examples
    --------
    >>> import numpy as np, pynngraph as nn
    >>> nn.Select(0, -1).forward(np.array([[1.0, 2.0], [3.0, 4.0]]))
    array([3., 4.])
    """

    def __init__(self, dimension: int, index: int) -> None:
        self.dimension = dimension
        self.index = index

    def lower(self, b: Builder, input: Values) -> Values:
        """An alias."""
        return b.op("select", [b.array(input)], ints=[self.dimension, self.index])

    def describe(self) -> str:
        """Dim and index."""
        return f"({self.dimension}, {self.index})"


class Squeeze(_OfSamples):
    """Without a dim of size 1, or without all of them.

    Parameters
    ----------
    dim
        The dim that goes if its size is 1, counted from 0; negative from the end. Left out: all dims of size 1.
    numInputDims
        Dims of one sample: an input with one more is a batch, `dim` is one further on, and the dim of the batch stays.

    As in Torch7, one dim stays where all are of size 1.

    Examples
    --------
    >>> import numpy as np, pynngraph as nn
    >>> nn.Squeeze().forward(np.zeros((4, 1, 3, 1))).shape
    (4, 3)
    >>> nn.Squeeze(1).forward(np.zeros((4, 1, 3, 1))).shape
    (4, 3, 1)
    """

    def __init__(self, dim: int | None = None, numInputDims: int | None = None) -> None:
        self.dim = dim
        self.numInputDims = numInputDims

    def lower(self, b: Builder, input: Values) -> Values:
        """An alias: the only index along each dim that goes."""
        x = b.array(input)
        for dim in b.choose(partial(self._going, b.where()), x):
            x = b.op("select", [x], ints=[dim, 0])
        return b.op("identity", [x])

    def _going(self, where: str, shape: Shape) -> tuple[int, ...]:
        """The dims that go, the last one first."""
        is_batch = self.numInputDims is not None and len(shape) == self.numInputDims + 1
        if self.dim is None:
            first = int(is_batch and shape[0] == 1)
            ones = [dim for dim in range(first, len(shape)) if shape[dim] == 1]
            if len(ones) == len(shape) - first:
                ones = ones[1:]
            return tuple(reversed(ones))
        dim = self.dim + is_batch if self.dim >= 0 else self.dim + len(shape)
        if not 0 <= dim < len(shape):
            message = f"{where} finds no dim {self.dim} in its input of shape {shape}"
            raise ShapeError(message)
        return (dim,) if shape[dim] == 1 and len(shape) > 1 else ()

    def describe(self) -> str:
        """The dim."""
        return "" if self.dim is None else f"({self.dim})"


class Unsqueeze(_OfSamples):
    """With one more dim, of size 1.

    Parameters
    ----------
    pos
        The place of the new dim, counted from 0; negative from the end of the result.
    numInputDims
        Dims of one sample: dims of the input before the last so many are a batch, and `pos` counts after them.

    Examples
    --------
    >>> import numpy as np, pynngraph as nn
    >>> nn.Unsqueeze(1).forward(np.zeros((4, 3))).shape
    (4, 1, 3)
    >>> nn.Unsqueeze(0, 1).forward(np.zeros((4, 3))).shape
    (4, 1, 3)
    """

    def __init__(self, pos: int, numInputDims: int | None = None) -> None:
        self.pos = pos
        self.numInputDims = numInputDims

    def lower(self, b: Builder, input: Values) -> Values:
        """An alias."""
        x = b.array(input)
        pos = self.pos if self.numInputDims is None else b.choose(partial(self._place, b.where()), x)
        return b.op("replicate", [x], ints=[pos, 1])

    def _place(self, where: str, shape: Shape) -> int:
        n_batch = len(shape) - (self.numInputDims or 0)
        if n_batch < 0:
            message = f"{where} expects at least {self.numInputDims} dims, got shape {shape}"
            raise ShapeError(message)
        return self.pos + n_batch if self.pos >= 0 else self.pos

    def describe(self) -> str:
        """The place."""
        return f"({self.pos})"


class Replicate(Module):
    """A new dim, along which the input is repeated; the gradient is the sum along it.

    Parameters
    ----------
    nf
        How often.
    dim
        The place of the new dim, counted from 0; negative from the end of the result.
    ndim
        Dims of one sample: an input with more is a batch, and `dim` counts after the batch's dim.

    Examples
    --------
    >>> import numpy as np, pynngraph as nn
    >>> nn.Replicate(2).forward(np.array([1.0, 2.0]))
    array([[1., 2.],
           [1., 2.]])
    >>> nn.Replicate(2, 1).forward(np.array([1.0, 2.0]))
    array([[1., 1.],
           [2., 2.]])
    """

    def __init__(self, nf: int, dim: int = 0, ndim: int | None = None) -> None:
        if nf < 0:
            message = f"Replicate cannot repeat its input {nf} times"
            raise ShapeError(message)
        self.nfeatures = nf
        self.dim = dim
        self.ndim = ndim

    def lower(self, b: Builder, input: Values) -> Values:
        """One op."""
        x = b.array(input)
        dim = self.dim if self.ndim is None else b.choose(self._place, x)
        return b.op("replicate", [x], ints=[dim, self.nfeatures])

    def _place(self, shape: Shape) -> int:
        is_batch = self.ndim is not None and len(shape) > self.ndim
        return self.dim + is_batch if self.dim >= 0 else self.dim

    def describe(self) -> str:
        """How often, and where."""
        return f"({self.nfeatures}, {self.dim})"


class Transpose(_OfSamples):
    """Dims swapped, one pair after the other.

    Parameters
    ----------
    permutations
        Pairs of dims, counted from 0; negative from the end. With :meth:`setNumInputDims` an input with one dim more
        than that is a batch, and dims count after the batch's.

    Examples
    --------
    >>> import numpy as np, pynngraph as nn
    >>> nn.Transpose([0, 1], [1, 2]).forward(np.zeros((2, 3, 4))).shape
    (3, 4, 2)
    """

    def __init__(self, *permutations: Sequence[int]) -> None:
        if any(len(pair) != 2 for pair in permutations):
            message = f"Transpose takes pairs of dims, got {', '.join(map(str, permutations))}"
            raise ShapeError(message)
        self.permutations = tuple((index(first), index(second)) for first, second in permutations)

    def lower(self, b: Builder, input: Values) -> Values:
        """Aliases."""
        x = b.op("identity", [b.array(input)])
        offset = 0 if self.numInputDims is None else b.choose(self._offset, x)
        for pair in self.permutations:
            x = b.op("transpose", [x], ints=[dim + offset if dim >= 0 else dim for dim in pair])
        return x

    def _offset(self, shape: Shape) -> int:
        return int(self.numInputDims is not None and len(shape) == self.numInputDims + 1)

    def describe(self) -> str:
        """The pairs."""
        return f"({', '.join(map(str, self.permutations))})"


class Contiguous(Module):
    """The input itself: where memory must be contiguous, the engine sees to it.

    Examples
    --------
    >>> import numpy as np, pynngraph as nn
    >>> nn.Contiguous().forward(np.ones(2))
    array([1., 1.])
    """

    def lower(self, b: Builder, input: Values) -> Values:
        """An alias."""
        return b.op("identity", [b.array(input)])


class Copy(Module):
    """The input itself: all modules of one whole have one dtype.

    Parameters
    ----------
    intype, outtype, forceCopy, dontCast
        Kept, and of no effect: see :meth:`Module.type`.

    Examples
    --------
    >>> import numpy as np, pynngraph as nn
    >>> nn.Copy("torch.DoubleTensor", "torch.DoubleTensor").forward(np.ones(2))
    array([1., 1.])
    """

    def __init__(
        self,
        intype: str | None = None,
        outtype: str | None = None,
        forceCopy: bool = False,
        dontCast: bool = False,
    ) -> None:
        self.intype = intype
        self.outtype = outtype
        self.forceCopy = forceCopy
        self.dontCast = dontCast

    def lower(self, b: Builder, input: Values) -> Values:
        """An alias."""
        return b.op("identity", [b.array(input)])


class Collapse(Module):
    """All dims of a sample as one.

    Parameters
    ----------
    nInputDim
        Dims of one sample: of an input with more, the first dim is a batch, which stays.

    Examples
    --------
    >>> import numpy as np, pynngraph as nn
    >>> nn.Collapse(2).forward(np.zeros((4, 3, 6))).shape
    (4, 18)
    """

    def __init__(self, nInputDim: int) -> None:
        self.nInputDim = nInputDim

    def lower(self, b: Builder, input: Values) -> Values:
        """An alias."""
        x = b.array(input)
        return b.op("reshape", [x], ints=b.choose(self._target, x))

    def _target(self, shape: Shape) -> tuple[int, ...]:
        if len(shape) <= self.nInputDim:
            return (math.prod(shape),)
        return (KEEP, math.prod(shape[1:]))

    def describe(self) -> str:
        """Dims of one sample."""
        return f"({self.nInputDim})"


class Convert(Module):
    """Another order of the dims, each of which has a letter.

    Parameters
    ----------
    inputShape, outputShape
        The letters of the input's dims, and of the output's, b being the batch: ``"bchw"``, ``"chwb"``. In front of
        letters without a b one is understood. Without them, the input itself.

    Beside the same letters in another order, the output may be ``"bf"``, all dims but the batch as one; and ``"b"``, of
    an input with one feature or time step. An input with a dim fewer than there are letters is one sample.

    Examples
    --------
    >>> import numpy as np, pynngraph as nn
    >>> nn.Convert("bchw", "bhwc").forward(np.zeros((2, 3, 4, 5))).shape
    (2, 4, 5, 3)
    >>> nn.Convert("chw", "f").forward(np.zeros((3, 4, 5))).shape
    (60,)
    """

    def __init__(self, inputShape: str | None = None, outputShape: str | None = None) -> None:
        if (inputShape is None) != (outputShape is None):
            message = f"Convert takes two orders of dims or none, got {inputShape!r} and {outputShape!r}"
            raise ShapeError(message)
        self.inputShape = inputShape and _with_batch(inputShape)
        self.outputShape = outputShape and _with_batch(outputShape)
        if self.inputShape and self.outputShape:
            letters, wanted = self.inputShape, self.outputShape
            can = sorted(letters) == sorted(wanted) or wanted == "bf" or (wanted == "b" and len(letters) == 2)
            if len(set(letters)) < len(letters) or not can:
                message = f"Convert cannot make {outputShape!r} of {inputShape!r}"
                raise ShapeError(message)

    def lower(self, b: Builder, input: Values) -> Values:
        """Aliases."""
        x = b.op("identity", [b.array(input)])
        if not self.inputShape or not self.outputShape:
            return x
        is_sample = b.choose(self._is_sample, x)
        if is_sample:
            x = b.op("reshape", [x], ints=b.choose(self._with_one, x))
        x = self._converted(b, x, self.inputShape, self.outputShape)
        return b.op("select", [x], ints=[self.outputShape.index("b"), 0]) if is_sample else x

    def _converted(self, b: Builder, x: Value, letters: str, wanted: str) -> Value:
        if sorted(letters) == sorted(wanted):
            return _reordered(b, x, letters, wanted)
        # Torch7 swaps the batch with the first dim, and leaves the others where they are.
        x = b.op("transpose", [x], ints=[0, letters.index("b")])
        if wanted == "b":
            return b.op("reshape", [x], ints=b.choose(self._only, x))
        return b.op("reshape", [x], ints=[KEEP, b.choose(lambda shape: math.prod(shape[1:]), x)])

    def _is_sample(self, shape: Shape) -> bool:
        missing = len(self.inputShape or "") - len(shape)
        if missing not in (0, 1):
            message = f"{self.label()} expects an array of dims {self.inputShape}, got shape {shape}"
            raise ShapeError(message)
        return missing == 1

    def _with_one(self, shape: Shape) -> Shape:
        place = (self.inputShape or "").index("b")
        return (*shape[:place], 1, *shape[place:])

    def _only(self, shape: Shape) -> Shape:
        if shape[1] != 1:
            message = f"{self.label()} takes one number a sample, got {shape[1]}"
            raise ShapeError(message)
        return shape[:1]

    def describe(self) -> str:
        """The letters."""
        return f"({self.inputShape} -> {self.outputShape})" if self.inputShape else ""


def _with_batch(letters: str) -> str:
    return letters if "b" in letters else f"b{letters}"


def _reordered(b: Builder, x: Value, letters: str, wanted: str) -> Value:
    """Dims in another order, by swaps."""
    order = list(letters)
    for place, letter in enumerate(wanted):
        other = order.index(letter)
        if other != place:
            x = b.op("transpose", [x], ints=[place, other])
            order[place], order[other] = order[other], order[place]
    return x


class Index(Module):
    """Slices along a dim, by index: of a list of an array and the indices.

    Parameters
    ----------
    dimension
        The dim, counted from 0; negative from the end.

    Shapes: the indices, integers from 0 or whole reals, (n,); output like the array, with n in that dim. What comes
    several times gets the sum of gradients; indices get none. An index that there is not is a DataError.

    Examples
    --------
    >>> import numpy as np, pynngraph as nn
    >>> nn.Index(1).forward([np.array([[1.0, 2.0], [3.0, 4.0]]), np.array([1, 1, 0])])
    array([[2., 2., 1.],
           [4., 4., 3.]])
    """

    def __init__(self, dimension: int) -> None:
        self.dimension = dimension

    def lower(self, b: Builder, input: Values) -> Values:
        """Rows of a matrix, by index."""
        x, index = b.arrays(input, 2, 2)
        if not b.is_index(index):
            index = b.op("to_index", [index])
        dim, sizes = b.choose(self._sizes, x, index)
        rows = b.op("transpose", [x], ints=[0, dim])
        rest = b.choose(lambda shape: shape[1:], rows)
        table = b.op("reshape", [rows], ints=[KEEP, math.prod(rest)])
        found = b.op("reshape", [b.op("gather", [table, index], ints=[-1])], ints=[*sizes, *rest])
        return b.op("transpose", [found], ints=[0, dim])

    def _sizes(self, shape: Shape, index: Shape) -> tuple[int, Shape]:
        """The dim meant, and the shape of indices."""
        dim = self.dimension + len(shape) if self.dimension < 0 else self.dimension
        if not 0 <= dim < len(shape) or len(index) != 1:
            message = f"{self.label()} cannot look up indices of shape {index} in an array of shape {shape}"
            raise ShapeError(message)
        return dim, index

    def describe(self) -> str:
        """The dim."""
        return f"({self.dimension})"


class MaskedSelect(Module):
    """The elements where a mask is not zero, one after another: of a list of an array and a mask.

    Shapes: both alike, the mask of integers or reals; output (n,), n depending on the mask. The mask gets no gradient.

    Examples
    --------
    >>> import numpy as np, pynngraph as nn
    >>> nn.MaskedSelect().forward([np.array([1.0, 2.0, 3.0]), np.array([1, 0, 1])])
    array([1., 3.])
    """

    def updateOutput(self, input: Any) -> Any:
        """What is selected: how much that is depends on numbers, which plans do not look at."""
        x, mask = self._pair(input)
        return x[mask != 0]

    def updateGradInput(self, input: Any, gradOutput: Any) -> Any:
        """Gradients in the places that they come from."""
        x, mask = self._pair(input)
        gradient = np.zeros_like(x)
        gradient[mask != 0] = gradOutput
        return type(input)((gradient, np.zeros(mask.shape, x.dtype)))

    def _pair(self, input: Any) -> Any:
        if not tree.is_table(input) or tree.structure_of(input)[1:] != (tree.LEAF, tree.LEAF):
            message = f"{self.label()} expects a list of an array and a mask"
            raise StructureError(message)
        x, mask = input
        if x.shape != mask.shape or x.dtype.kind != "f":
            message = f"{self.label()} expects reals and a mask of one shape, got {x.shape} and {mask.shape}"
            raise ShapeError(message)
        return x, mask


__all__ = [
    "Collapse",
    "Contiguous",
    "Convert",
    "Copy",
    "Index",
    "MaskedSelect",
    "Narrow",
    "Replicate",
    "Reshape",
    "Select",
    "Squeeze",
    "Transpose",
    "Unsqueeze",
    "View",
]
