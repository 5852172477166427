"""Modules on tables: element by element, or entry by entry."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from ..errors import ShapeError, StructureError
from .module import Module

if TYPE_CHECKING:
    from .._engine import Shape
    from .lowering import Builder, Values


class _Elementwise(Module):
    """Base of modules that combine the entries of a list element by element."""

    op: ClassVar[str]
    least: ClassVar[int] = 1
    most: ClassVar[int | None] = None

    def lower(self, b: Builder, input: Values) -> Values:
        """One op over all entries."""
        return b.op(self.op, b.arrays(input, self.least, self.most))


class CAddTable(_Elementwise):
    """y = x_0 + x_1 + ..., over a list of arrays of one shape.

    Parameters
    ----------
    ip
        A hint that the first entry may be overwritten; results are the same.

    Examples
    --------
    >>> import numpy as np, pynngraph as nn
    >>> nn.CAddTable().forward([np.ones(2), np.ones(2), np.ones(2)])
    array([3., 3.])
    """

    op = "add"

    def __init__(self, ip: bool = False) -> None:
        self.inplace = ip


class CSubTable(_Elementwise):
    """y = x_0 - x_1, over a list of two arrays of one shape.

    Examples
    --------
    >>> import numpy as np, pynngraph as nn
    >>> nn.CSubTable().forward([np.ones(2), np.ones(2)])
    array([0., 0.])
    """

    op = "sub"
    least = most = 2


class CMulTable(_Elementwise):
    """y = x_0 x_1 ..., over a list of arrays of one shape. Gradients are right where factors are zero.

    Examples
    --------
    >>> import numpy as np, pynngraph as nn
    >>> x = [np.array([0.0, 2.0]), np.array([3.0, 4.0])]
    >>> product = nn.CMulTable()
    >>> product.forward(x)
    array([0., 8.])
    >>> product.backward(x, np.ones(2))
    [array([3., 4.]), array([0., 2.])]
    """

    op = "mul"


class CDivTable(_Elementwise):
    """y = x_0 / x_1, over a list of two arrays of one shape.

    Examples
    --------
    >>> import numpy as np, pynngraph as nn
    >>> nn.CDivTable().forward([np.ones(2), np.full(2, 4.0)])
    array([0.25, 0.25])
    """

    op = "div"
    least = most = 2


class CMaxTable(_Elementwise):
    """y = max(x_0, x_1, ...), over a list of arrays of one shape. The first of equals gets the gradient.

    Examples
    --------
    >>> import numpy as np, pynngraph as nn
    >>> nn.CMaxTable().forward([np.array([1.0, 5.0]), np.array([2.0, 4.0])])
    array([2., 5.])
    """

    op = "max"


class CMinTable(_Elementwise):
    """y = min(x_0, x_1, ...), over a list of arrays of one shape. The first of equals gets the gradient.

    Examples
    --------
    >>> import numpy as np, pynngraph as nn
    >>> nn.CMinTable().forward([np.array([1.0, 5.0]), np.array([2.0, 4.0])])
    array([1., 4.])
    """

    op = "min"


class AlongDim(Module):
    """Base of modules with a dim and, optionally, the number of dims that one sample has."""

    def __init__(self, dimension: int, nInputDims: int | None = None) -> None:
        self.dimension = dimension
        self.nInputDims = nInputDims

    def _dim(self, shape: Shape) -> int:
        """The dim meant in an array of this shape: one further on if it is a batch of samples."""
        if self.dimension >= 0 and self.nInputDims and len(shape) == self.nInputDims + 1:
            return self.dimension + 1
        return self.dimension

    def _dim_and_size(self, shape: Shape) -> tuple[int, int]:
        dim = self._dim(shape)
        if not -len(shape) <= dim < len(shape):
            message = f"{self.label()} finds no dim {dim} in its input of shape {shape}"
            raise ShapeError(message)
        return dim, shape[dim]

    def describe(self) -> str:
        """The dim."""
        samples = "" if self.nInputDims is None else f", samples of {self.nInputDims} dims"
        return f"({self.dimension}{samples})"


class JoinTable(AlongDim):
    """The entries of a list one after another along a dim.

    Parameters
    ----------
    dimension
        The dim, counted from 0; negative from the end.
    nInputDims
        Dims of one sample: an input with one more is a batch, and the dim one further on.

    Examples
    --------
    >>> import numpy as np, pynngraph as nn
    >>> nn.JoinTable(1).forward([np.zeros((2, 3)), np.ones((2, 1))]).shape
    (2, 4)
    """

    def lower(self, b: Builder, input: Values) -> Values:
        """One join."""
        values = b.arrays(input)
        return b.op("join", values, ints=[b.choose(self._dim, values[0])])


class SplitTable(AlongDim):
    """A list of the slices along a dim, which goes.

    Parameters
    ----------
    dimension
        The dim, counted from 0; negative from the end.
    nInputDims
        Dims of one sample: an input with one more is a batch, and the dim one further on.

    Examples
    --------
    >>> import numpy as np, pynngraph as nn
    >>> [part.shape for part in nn.SplitTable(1).forward(np.zeros((2, 3)))]
    [(2,), (2,), (2,)]
    """

    def lower(self, b: Builder, input: Values) -> Values:
        """As many selects as the dim is long."""
        x = b.array(input)
        dim, size = b.choose(self._dim_and_size, x)
        return [b.op("select", [x], ints=[dim, index]) for index in range(size)]


class SelectTable(Module):
    """One entry of a table.

    Parameters
    ----------
    index
        Which, counted from 0; negative from the end.

    The gradients of the other entries are zeros of their shapes.

    Examples
    --------
    >>> import numpy as np, pynngraph as nn
    >>> nn.SelectTable(-1).forward([np.zeros(2), np.ones(3)])
    array([1., 1., 1.])
    """

    def __init__(self, index: int) -> None:
        self.index = index

    def lower(self, b: Builder, input: Values) -> Values:
        """No op at all."""
        entries = b.table(input)
        if not -len(entries) <= self.index < len(entries):
            message = f"{b.where()} finds no entry {self.index} in a table of {len(entries)}"
            raise StructureError(message)
        return entries[self.index]

    def describe(self) -> str:
        """Which."""
        return f"({self.index})"


class JustTable(Module):
    """A list of one: the input itself, array or table.

    Examples
    --------
    >>> import numpy as np, pynngraph as nn
    >>> nn.JustTable().forward(np.ones(2))
    [array([1., 1.])]
    """

    def lower(self, b: Builder, input: Values) -> Values:
        """No op."""
        return [input]


class JustElement(Module):
    """The only entry of a list of one.

    Examples
    --------
    >>> import numpy as np, pynngraph as nn
    >>> nn.JustElement().forward([np.ones(2)])
    array([1., 1.])
    """

    def lower(self, b: Builder, input: Values) -> Values:
        """No op."""
        return b.table(input, 1)[0]


__all__ = [
    "CAddTable",
    "CDivTable",
    "CMaxTable",
    "CMinTable",
    "CMulTable",
    "CSubTable",
    "JoinTable",
    "JustElement",
    "JustTable",
    "SelectTable",
    "SplitTable",
]
