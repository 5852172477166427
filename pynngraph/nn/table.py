"""Modules on tables: element by element, or entry by entry."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, ClassVar

from .. import tree
from ..errors import ShapeError, StructureError
from .module import Module

if TYPE_CHECKING:
    from .._engine import Shape, Value
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


class NarrowTable(Module):
    """A range of the entries of a table, as a list.

    Parameters
    ----------
    offset
        Where the range begins, counted from 0; negative from the end.
    length
        How long it is.

    The gradients of the other entries are zeros of their shapes.

    Examples
    --------
    >>> import numpy as np, pynngraph as nn
    >>> nn.NarrowTable(1, 2).forward([np.zeros(1), np.ones(2), np.ones(3)])
    [array([1., 1.]), array([1., 1., 1.])]
    """

    def __init__(self, offset: int, length: int = 1) -> None:
        if length < 0:
            message = f"NarrowTable cannot take {length} entries"
            raise StructureError(message)
        self.offset = offset
        self.length = length

    def lower(self, b: Builder, input: Values) -> Values:
        """No op at all."""
        entries = list(b.table(input))
        first = self.offset if self.offset >= 0 else self.offset + len(entries)
        if not 0 <= first <= len(entries) - self.length:
            message = f"{b.where()} finds no such range in a table of {len(entries)}"
            raise StructureError(message)
        return entries[first : first + self.length]

    def describe(self) -> str:
        """Offset and length."""
        return f"({self.offset}, {self.length})"


class FlattenTable(Module):
    """The list of all arrays in a table, however deeply nested, from left to right.

    Examples
    --------
    >>> import numpy as np, pynngraph as nn
    >>> nn.FlattenTable().forward([np.zeros(1), [np.ones(1), (np.ones(2),)]])
    [array([0.]), array([1.]), array([1., 1.])]
    """

    def lower(self, b: Builder, input: Values) -> Values:
        """No op at all."""
        b.table(input)
        return tree.flatten(input)[0]


class ZipTable(Module):
    """The k-th entries of all tables in a table, for each k: ``[[a, b], [c, d]]`` becomes ``[[a, c], [b, d]]``.

    Examples
    --------
    >>> import numpy as np, pynngraph as nn
    >>> nn.ZipTable().forward([[np.zeros(1), np.zeros(2)], [np.ones(1), np.ones(2)]])
    [[array([0.]), array([1.])], [array([0., 0.]), array([1., 1.])]]
    """

    def lower(self, b: Builder, input: Values) -> Values:
        """No op at all."""
        tables = [b.table(entry) for entry in b.table(input)]
        if len(set(map(len, tables))) > 1:
            message = f"{b.where()} expects tables of one length, got {', '.join(map(str, map(len, tables)))}"
            raise StructureError(message)
        return [list(entries) for entries in zip(*tables, strict=True)]


class ZipTableOneToMany(Module):
    """The first of a pair beside each entry of the second: ``[a, [b, c]]`` becomes ``[[a, b], [a, c]]``.

    Examples
    --------
    >>> import numpy as np, pynngraph as nn
    >>> nn.ZipTableOneToMany().forward([np.zeros(1), [np.ones(1), np.ones(2)]])
    [[array([0.]), array([1.])], [array([0.]), array([1., 1.])]]
    """

    def lower(self, b: Builder, input: Values) -> Values:
        """No op at all."""
        one, many = b.table(input, 2)
        return [[one, entry] for entry in b.table(many)]


class CAddTensorTable(Module):
    """An array added to each of a list: ``[a, [b, c]]`` becomes ``[a + b, a + c]``; all of one shape.

    Examples
    --------
    >>> import numpy as np, pynngraph as nn
    >>> nn.CAddTensorTable().forward([np.ones(2), [np.zeros(2), np.ones(2)]])
    [array([1., 1.]), array([2., 2.])]
    """

    def lower(self, b: Builder, input: Values) -> Values:
        """As many sums."""
        one, many = b.table(input, 2)
        return [b.op("add", [b.array(one), b.array(entry)]) for entry in b.table(many)]


class MixtureTable(Module):
    """The sum of experts' outputs, each times its gate: ``[gates, experts]``, y = sum_k g_k x_k.

    Parameters
    ----------
    dim
        Where the experts are one array: the dim that tells them apart, counted from 0. If left out, 1 with a batch of
        gates, else 0.

    Shapes: gates (n,) or (batch, n); experts a list of n arrays, of any shape, that begins with the batch; or one array
    of all of them, with a dim of n. The output is like one expert.

    Examples
    --------
    >>> import numpy as np, pynngraph as nn
    >>> nn.MixtureTable().forward([np.array([0.5, 2.0]), [np.ones(3), np.ones(3)]])
    array([2.5, 2.5, 2.5])
    """

    def __init__(self, dim: int | None = None) -> None:
        self.dim = dim

    def lower(self, b: Builder, input: Values) -> Values:
        """Products with repeated gates, and a sum."""
        gates, experts = b.table(input, 2)
        gates = b.array(gates)
        if tree.is_table(experts):
            return self._of_list(b, gates, b.arrays(experts))
        experts = b.array(experts)
        sizes, dim = b.choose(self._sizes, gates, experts)
        repeated = b.op("expand", [b.op("reshape", [gates], ints=sizes), experts])
        return b.op("reduce_sum", [b.op("mul", [repeated, experts])], ints=[dim, 0], nums=[1.0])

    def _of_list(self, b: Builder, gates: Value, experts: list[Value]) -> Value:
        summands = []
        for k, expert in enumerate(experts):
            sizes = b.choose(partial(self._sizes_of_one, len(experts)), gates, expert)
            gate = b.op("reshape", [b.op("select", [gates], ints=[-1, k])], ints=sizes)
            summands.append(b.op("mul", [b.op("expand", [gate, expert]), expert]))
        return b.op("add", summands)

    def _sizes_of_one(self, count: int, gates: Shape, expert: Shape) -> Shape:
        """In what shape the gates of one expert can be repeated."""
        batch = gates[:-1]
        if len(gates) not in (1, 2) or gates[-1] != count or expert[: len(batch)] != batch:
            message = f"{self.label()} expects gates (n,) or (batch, n) of {count} experts {expert}, got {gates}"
            raise ShapeError(message)
        return (*batch, *(1,) * (len(expert) - len(batch)))

    def _sizes(self, gates: Shape, experts: Shape) -> tuple[Shape, int]:
        """In what shape the gates can be repeated, and the dim of experts."""
        batch = gates[:-1]
        dim = len(batch) if self.dim is None else self.dim
        dim = dim + len(experts) if dim < 0 else dim
        sizes = [*batch, *(1,) * (len(experts) - len(batch))]
        fits = len(gates) in (1, 2) and len(batch) <= dim < len(experts) and experts[: len(batch)] == batch
        if not fits or experts[dim] != gates[-1]:
            message = f"{self.label()} finds no dim of experts in shape {experts} for gates of shape {gates}"
            raise ShapeError(message)
        sizes[dim] = gates[-1]
        return tuple(sizes), dim

    def describe(self) -> str:
        """The dim, if it is given."""
        return "" if self.dim is None else f"({self.dim})"


__all__ = [
    "CAddTable",
    "CAddTensorTable",
    "CDivTable",
    "CMaxTable",
    "CMinTable",
    "CMulTable",
    "CSubTable",
    "FlattenTable",
    "JoinTable",
    "JustElement",
    "JustTable",
    "MixtureTable",
    "NarrowTable",
    "SelectTable",
    "SplitTable",
    "ZipTable",
    "ZipTableOneToMany",
]
