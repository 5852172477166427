"""Sums, means and the greatest or least along a dim."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from .table import AlongDim

if TYPE_CHECKING:
    from .lowering import Builder, Values


class Sum(AlongDim):
    """y = sum_k x_k along a dim.

    Parameters
    ----------
    dimension
        The dim, counted from 0; negative from the end.
    nInputDims
        Dims of one sample: an input with one more is a batch, and the dim one further on.
    sizeAverage
        True for the mean: the sum is divided by the dim's size.
    squeeze
        False keeps the dim, of size 1.

    Numbers are added in a tree, in an order that depends on sizes only. For up to a billion of them, the error is at
    most 1e-5 (float32) or 2e-14 (float64) times the sum of their absolute values.

    Examples
    --------
    >>> import numpy as np, pynngraph as nn
    >>> nn.Sum(1).forward(np.array([[1.0, 2.0], [3.0, 4.0]]))
    array([3., 7.])
    >>> nn.Sum(1, None, True, False).forward(np.array([[1.0, 2.0], [3.0, 4.0]]))
    array([[1.5],
           [3.5]])
    """

    def __init__(
        self,
        dimension: int = 0,
        nInputDims: int | None = None,
        sizeAverage: bool = False,
        squeeze: bool = True,
    ) -> None:
        super().__init__(dimension, nInputDims)
        self.sizeAverage = sizeAverage
        self.squeeze = squeeze

    def lower(self, b: Builder, input: Values) -> Values:
        """One op."""
        x = b.array(input)
        factor = 1.0
        if self.sizeAverage:
            dim, size = b.choose(self._dim_and_size, x)
            factor = 1 / size if size else float("nan")
        else:
            dim = b.choose(self._dim, x)
        return b.op("reduce_sum", [x], ints=[dim, int(not self.squeeze)], nums=[factor])


class Mean(Sum):
    """y = sum_k x_k / n along a dim of size n.

    Parameters
    ----------
    dimension
        The dim, counted from 0; negative from the end.
    nInputDims
        Dims of one sample: an input with one more is a batch, and the dim one further on.

    Examples
    --------
    >>> import numpy as np, pynngraph as nn
    >>> nn.Mean(0).forward(np.array([[1.0, 2.0], [3.0, 4.0]]))
    array([2., 3.])
    """

    def __init__(self, dimension: int = 0, nInputDims: int | None = None) -> None:
        super().__init__(dimension, nInputDims, sizeAverage=True)


class Max(AlongDim):
    """y = max_k x_k along a dim; the first of equals gets the gradient. A NaN counts as more than any number.

    Parameters
    ----------
    dimension
        The dim, counted from 0; negative from the end. It goes.
    nInputDims
        Dims of one sample: an input with one more is a batch, and the dim one further on.

    The dim may be of 1 to 16,777,216.

    Examples
    --------
    >>> import numpy as np, pynngraph as nn
    >>> nn.Max(1).forward(np.array([[1.0, 3.0, 2.0], [6.0, 5.0, 4.0]]))
    array([3., 6.])
    """

    op: ClassVar[str] = "reduce_max"

    def __init__(self, dimension: int = 0, nInputDims: int | None = None) -> None:
        super().__init__(dimension, nInputDims)

    def lower(self, b: Builder, input: Values) -> Values:
        """One op."""
        x = b.array(input)
        return b.op(self.op, [x], ints=[b.choose(self._dim, x), 0])


class Min(Max):
    """y = min_k x_k along a dim; the first of equals gets the gradient. A NaN counts as less than any number.

    Parameters
    ----------
    dimension
        The dim, counted from 0; negative from the end. It goes.
    nInputDims
        Dims of one sample: an input with one more is a batch, and the dim one further on.

    The dim may be of 1 to 16,777,216.

    Examples
    --------
    >>> import numpy as np, pynngraph as nn
    >>> nn.Min(1).forward(np.array([[1.0, 3.0, 2.0], [6.0, 5.0, 4.0]]))
    array([1., 4.])
    """

    op = "reduce_min"


__all__ = ["Max", "Mean", "Min", "Sum"]
