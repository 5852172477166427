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

    def numbers(self) -> tuple[float, ...]:
        """The op's real attributes."""
        return ()

    def lower(self, b: Builder, input: Values) -> Values:
        """The op."""
        return b.op(self.op, [b.array(input)], nums=self.numbers())

    def describe(self) -> str:
        """The numbers."""
        numbers = self.numbers()
        return f"({', '.join(f'{number:g}' for number in numbers)})" if numbers else ""


def _number(given: float | None, default: float) -> float:
    """An argument that may be left out, by None too."""
    return default if given is None else float(given)


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


class Threshold(Unary, op="threshold"):
    """y = x where x > th, else v. Unlike in Torch7, NaN stays NaN.

    Any shape; the output has the input's.

    Parameters
    ----------
    th
        The threshold.
    v
        What comes in place of x.
    ip
        A hint that the input may be overwritten; results are the same.

    Examples
    --------
    >>> import numpy as np, pynngraph as nn
    >>> nn.Threshold(1, -5).forward(np.array([0.5, 1.0, 2.0]))
    array([-5., -5.,  2.])
    """

    def __init__(self, th: float | None = 1e-6, v: float | None = 0, ip: bool = False) -> None:
        self.threshold = _number(th, 1e-6)
        self.val = _number(v, 0)
        self.inplace = ip

    def numbers(self) -> tuple[float, ...]:
        """The threshold and the value."""
        return (self.threshold, self.val)


class ReLU(Threshold, op="relu"):
    """y = max(x, 0). Unlike in Torch7, NaN stays NaN.

    Any shape; the output has the input's.

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
        super().__init__(0, 0, p)

    def numbers(self) -> tuple[float, ...]:
        """None: the op knows them."""
        return ()


class LeakyReLU(Unary, op="leakyrelu"):
    """y = x where x > 0, else negval x.

    Any shape; the output has the input's.

    Parameters
    ----------
    negval
        The slope below 0. A bool here is `ip`, with the default slope.
    ip
        A hint that the input may be overwritten; results are the same.

    Source: Maas, Hannun, Ng, Rectifier nonlinearities improve neural network acoustic models, ICML 2013.

    Examples
    --------
    >>> import numpy as np, pynngraph as nn
    >>> nn.LeakyReLU(0.1).forward(np.array([-2.0, 2.0]))
    array([-0.2,  2. ])
    """

    def __init__(self, negval: float | bool | None = 1 / 100, ip: bool = False) -> None:
        if isinstance(negval, bool):
            ip, negval = negval, None
        self.negval = _number(negval, 1 / 100)
        self.inplace = ip

    def numbers(self) -> tuple[float, ...]:
        """The slope."""
        return (self.negval,)


class ELU(Unary, op="elu"):
    """y = x where x > 0, else alpha (exp x - 1).

    Any shape; the output has the input's.

    Parameters
    ----------
    alpha
        Minus the value far below 0.
    inplace
        A hint that the input may be overwritten; results are the same.

    The derivative is taken from the sign of y, as in Torch7, so that it is right for alpha >= 0. Source: Clevert,
    Unterthiner, Hochreiter, Fast and accurate deep network learning by exponential linear units, ICLR 2016.

    Examples
    --------
    >>> import numpy as np, pynngraph as nn
    >>> nn.ELU(2).forward(np.array([-np.inf, 0.0, 3.0]))
    array([-2.,  0.,  3.])
    """

    def __init__(self, alpha: float | None = 1, inplace: bool = False) -> None:
        self.alpha = _number(alpha, 1)
        self.inplace = inplace

    def numbers(self) -> tuple[float, ...]:
        """Alpha."""
        return (self.alpha,)


class HardTanh(Unary, op="hardtanh"):
    """y = min(max(x, min_value), max_value); where x is at a bound or past it, the gradient is 0.

    Any shape; the output has the input's.

    Parameters
    ----------
    min_value, max_value
        The bounds.
    inplace
        A hint that the input may be overwritten; results are the same.

    Raises
    ------
    ShapeError
        If max_value is not above min_value.

    Examples
    --------
    >>> import numpy as np, pynngraph as nn
    >>> nn.HardTanh().forward(np.array([-3.0, 0.5, 3.0]))
    array([-1. ,  0.5,  1. ])
    """

    def __init__(self, min_value: float | None = -1, max_value: float | None = 1, inplace: bool = False) -> None:
        low, high = _number(min_value, -1), _number(max_value, 1)
        if not low < high:
            message = f"{type(self).__name__} needs max_value above min_value, got {low:g} and {high:g}"
            raise ShapeError(message)
        self.min_val, self.max_val = low, high
        self.inplace = inplace

    def numbers(self) -> tuple[float, ...]:
        """The bounds."""
        return (self.min_val, self.max_val)


class Clamp(HardTanh):
    """y = min(max(x, min_value), max_value); where x is at a bound or past it, the gradient is 0.

    Any shape; the output has the input's.

    Parameters
    ----------
    min_value, max_value
        The bounds.

    Raises
    ------
    ShapeError
        If max_value is not above min_value.

    Examples
    --------
    >>> import numpy as np, pynngraph as nn
    >>> nn.Clamp(0, 2).forward(np.array([-3.0, 0.5, 3.0]))
    array([0. , 0.5, 2. ])
    """

    def __init__(self, min_value: float | None = -1, max_value: float | None = 1) -> None:
        super().__init__(min_value, max_value)


class ReLU6(Unary, op="hardtanh"):
    """y = min(max(x, 0), 6); where x is at a bound or past it, the gradient is 0.

    Any shape; the output has the input's.

    Parameters
    ----------
    inplace
        A hint that the input may be overwritten; results are the same.

    Examples
    --------
    >>> import numpy as np, pynngraph as nn
    >>> nn.ReLU6().forward(np.array([-1.0, 2.0, 7.0]))
    array([0., 2., 6.])
    """

    def __init__(self, inplace: bool = False) -> None:
        self.inplace = inplace

    def numbers(self) -> tuple[float, ...]:
        """The bounds."""
        return (0.0, 6.0)

    def describe(self) -> str:
        """Nothing: the name says it."""
        return ""


class Abs(Unary, op="abs"):
    """y = |x|; the gradient at 0 is that of positive x.

    Any shape; the output has the input's.

    Examples
    --------
    >>> import numpy as np, pynngraph as nn
    >>> nn.Abs().forward(np.array([-1.0, 2.0]))
    array([1., 2.])
    """


class Square(Unary, op="square"):
    """y = x^2.

    Any shape; the output has the input's.

    Parameters
    ----------
    args
        Without effect, as in Torch7.

    Examples
    --------
    >>> import numpy as np, pynngraph as nn
    >>> nn.Square().forward(np.array([-1.0, 2.0]))
    array([1., 4.])
    """

    def __init__(self, args: object = None) -> None:
        pass


class Sqrt(Unary, op="sqrt"):
    """y = sqrt x; NaN below 0. The gradient at 0 is 0.

    Any shape; the output has the input's.

    Parameters
    ----------
    b
        Kept as ``eps``, without effect, as in Torch7.

    Examples
    --------
    >>> import numpy as np, pynngraph as nn
    >>> nn.Sqrt().forward(np.array([0.0, 4.0]))
    array([0., 2.])
    """

    def __init__(self, b: float | None = 0) -> None:
        self.eps = _number(b, 0)


class Power(Unary, op="power"):
    """y = x^p; NaN where x < 0 and p is no whole number.

    Any shape; the output has the input's. Exponents of 1, 2 and 3 are done by multiplying, as in Torch7.

    Parameters
    ----------
    p
        The exponent, kept as ``pow``.

    Examples
    --------
    >>> import numpy as np, pynngraph as nn
    >>> nn.Power(3).forward(np.array([-2.0, 0.5]))
    array([-8.   ,  0.125])
    """

    def __init__(self, p: float) -> None:
        self.pow = float(p)

    def numbers(self) -> tuple[float, ...]:
        """The exponent."""
        return (self.pow,)

    def lower(self, b: Builder, input: Values) -> Values:
        """The op, or a product where that is exact for whole numbers."""
        x = b.array(input)
        if self.pow == 1:
            return b.op("identity", [x])
        if self.pow == 2:
            return b.op("square", [x])
        if self.pow == 3:
            return b.op("mul", [x, x, x])
        return super().lower(b, input)


class SoftSign(Unary, op="softsign"):
    """y = x / (1 + |x|).

    Any shape; the output has the input's.

    Examples
    --------
    >>> import numpy as np, pynngraph as nn
    >>> nn.SoftSign().forward(np.array([-1.0, 1.0]))
    array([-0.5,  0.5])
    """


class SoftPlus(Unary, op="softplus"):
    """y = log(1 + exp(beta x)) / beta, computed without overflow; x where beta x > 20.

    Any shape; the output has the input's.

    Parameters
    ----------
    beta
        How sharply it bends.

    Examples
    --------
    >>> import numpy as np, pynngraph as nn
    >>> nn.SoftPlus().forward(np.array([-1000.0, 1000.0]))
    array([   0., 1000.])
    """

    def __init__(self, beta: float | None = 1) -> None:
        self.beta = _number(beta, 1)

    def numbers(self) -> tuple[float, ...]:
        """Beta."""
        return (self.beta,)


class LogSigmoid(Unary, op="logsigmoid"):
    """y = log(1 / (1 + exp(-x))), computed without overflow.

    Any shape; the output has the input's.

    Examples
    --------
    >>> import numpy as np, pynngraph as nn
    >>> nn.LogSigmoid().forward(np.array([-1000.0, 1000.0]))
    array([-1000.,    -0.])
    """


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


__all__ = [
    "ELU",
    "Abs",
    "Clamp",
    "Exp",
    "HardTanh",
    "LeakyReLU",
    "Log",
    "LogSigmoid",
    "LogSoftMax",
    "Power",
    "ReLU",
    "ReLU6",
    "Sigmoid",
    "SoftMax",
    "SoftPlus",
    "SoftSign",
    "Sqrt",
    "Square",
    "Tanh",
    "Threshold",
]
