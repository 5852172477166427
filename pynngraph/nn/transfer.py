"""Transfer functions: one array in, one of the same shape out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from .._engine import OPS
from ..errors import ShapeError
from .module import Module

if TYPE_CHECKING:
    from .lowering import Builder, Values


class Unary(Module):
    """Base of modules that are one elementwise op of the registry: ``class Tanh(Unary, op="tanh")``."""

    op: ClassVar[str]

    def __init_subclass__(cls, op: str | None = None, **keywords: Any) -> None:
        super().__init_subclass__(**keywords)
        if op is not None:
            if op not in OPS:
                message = f"{cls.__name__}: the engine has no op {op!r}"
                raise TypeError(message)
            cls.op = op

    def lower(self, b: Builder, input: Values) -> Values:
        """The op."""
        return b.op(self.op, [b.array(input)])


class Tanh(Unary, op="tanh"):
    """y = tanh x.

    Examples
    --------
    >>> import numpy as np, pynngraph as nn
    >>> nn.Tanh().forward(np.zeros(2))
    array([0., 0.])
    """


class Sigmoid(Unary, op="sigmoid"):
    """y = 1 / (1 + exp(-x)).

    Examples
    --------
    >>> import numpy as np, pynngraph as nn
    >>> nn.Sigmoid().forward(np.zeros(2))
    array([0.5, 0.5])
    """


class ReLU(Unary, op="relu"):
    """y = max(x, 0). Unlike in Torch7, NaN stays NaN.

    Parameters
    ----------
    p
        A hint that the input may be overwritten; results are the same.

    Examples
    --------
    >>> import numpy as np, pynngraph as nn
    >>> nn.ReLU().forward(np.array([-1.0, 2.0]))
    array([0., 2.])
    """

    def __init__(self, p: bool = False) -> None:
        self.inplace = p


class Exp(Unary, op="exp"):
    """y = exp x.

    Examples
    --------
    >>> import numpy as np, pynngraph as nn
    >>> nn.Exp().forward(np.zeros(2))
    array([1., 1.])
    """


class Log(Unary, op="log"):
    """y = log x, the natural one; -inf for 0, NaN below.

    Examples
    --------
    >>> import numpy as np, pynngraph as nn
    >>> nn.Log().forward(np.ones(2))
    array([0., 0.])
    """


class _OverClasses(Module):
    """Base of softmax and its like: along the dim of classes, which Torch7 takes from the number of dims."""

    op: ClassVar[str]

    def lower(self, b: Builder, input: Values) -> Values:
        """The op along dim 0 of 1 or 3 dims, dim 1 of 2 or 4."""
        x = b.array(input)
        return b.op(self.op, [x], ints=[b.choose(self._dim, x)])

    def _dim(self, shape: tuple[int, ...]) -> int:
        dims = {1: 0, 2: 1, 3: 0, 4: 1}
        if len(shape) not in dims:
            message = f"{self.label()} expects 1 to 4 dims, got shape {shape}"
            raise ShapeError(message)
        return dims[len(shape)]


class SoftMax(_OverClasses):
    """y_i = exp(x_i) / sum_j exp(x_j), computed without overflow.

    Shapes: (classes,), (rows, classes), (classes, height, width) or (rows, classes, height, width).

    Examples
    --------
    >>> import numpy as np, pynngraph as nn
    >>> nn.SoftMax().forward(np.zeros((1, 4)))
    array([[0.25, 0.25, 0.25, 0.25]])
    """

    op = "softmax"


class LogSoftMax(_OverClasses):
    """y_i = x_i - log sum_j exp(x_j), computed without overflow. Shapes as :class:`SoftMax`.

    Examples
    --------
    >>> import numpy as np, pynngraph as nn
    >>> np.exp(nn.LogSoftMax().forward(np.zeros(2)))
    array([0.5, 0.5])
    """

    op = "logsoftmax"


__all__ = ["Exp", "Log", "LogSoftMax", "ReLU", "Sigmoid", "SoftMax", "Tanh"]
