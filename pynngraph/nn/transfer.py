"""Transfer functions: one array in, one of the same shape out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

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


class SoftMin(_OverClasses):
    """y_i = exp(-x_i) / sum_j exp(-x_j), computed without overflow. Shapes as :class:`SoftMax`.

    Examples
    --------
    >>> import numpy as np, pynngraph as nn
    >>> nn.SoftMin().forward(np.array([0.0, np.log(3)]))
    array([0.75, 0.25])
    """

    op = "softmax"

    def lower(self, b: Builder, input: Values) -> Values:
        """A sign and a softmax."""
        return super().lower(b, b.op("mul_constant", [b.array(input)], nums=[-1.0]))


class TanhShrink(Module):
    """y = x - tanh x.

    Any shape; the output has the input's.

    Examples
    --------
    >>> import numpy as np, pynngraph as nn
    >>> nn.TanhShrink().forward(np.array([-np.inf, 0.0, 50.0]))
    array([-inf,   0.,  49.])
    """

    def lower(self, b: Builder, input: Values) -> Values:
        """A difference."""
        x = b.array(input)
        return b.op("sub", [x, b.op("tanh", [x])])


class HardShrink(Unary, op="hardshrink"):
    """y = x where |x| > lam, else 0. Unlike in Torch7, NaN stays NaN.

    Any shape; the output has the input's.

    Parameters
    ----------
    lam
        The threshold, kept as ``lambda_``.

    Examples
    --------
    >>> import numpy as np, pynngraph as nn
    >>> nn.HardShrink().forward(np.array([-2.0, 0.5, 2.0]))
    array([-2.,  0.,  2.])
    """

    def __init__(self, lam: float | None = 0.5) -> None:
        self.lambda_ = _number(lam, 0.5)

    def numbers(self) -> tuple[float, ...]:
        """The threshold."""
        return (self.lambda_,)


class SoftShrink(HardShrink, op="softshrink"):
    """y = x - lam where x > lam, x + lam where x < -lam, else 0. Unlike in Torch7, NaN stays NaN.

    Any shape; the output has the input's.

    Parameters
    ----------
    lam
        The threshold, kept as ``lambda_``.

    Examples
    --------
    >>> import numpy as np, pynngraph as nn
    >>> nn.SoftShrink().forward(np.array([-2.0, 0.5, 2.0]))
    array([-1.5,  0. ,  1.5])
    """


class PReLU(Module):
    """y = x where x > 0, else w x, with a slope w that is learnt.

    Parameters
    ----------
    nOutputPlane
        How many planes have a slope of their own; 0 for one slope for all.

    Shapes: input any, or with planes (planes,), (rows, planes), (planes, height, width) or (rows, planes, height,
    width); ``weight`` (planes,) or (1,), 0.25 at the beginning. Source: He, Zhang, Ren, Sun, Delving deep into
    rectifiers, ICCV 2015.

    Examples
    --------
    >>> import numpy as np, pynngraph as nn
    >>> nn.PReLU().forward(np.array([-2.0, 2.0]))
    array([-0.5,  2. ])
    """

    def __init__(self, nOutputPlane: int | None = 0) -> None:
        self.nOutputPlane = nOutputPlane or 0
        if self.nOutputPlane < 0:
            message = f"PReLU needs a number of planes, or 0, got {nOutputPlane}"
            raise ShapeError(message)
        self.add_cell("weight", np.empty(max(self.nOutputPlane, 1), self.dtype))
        self.reset()

    def reset(self, stdv: float | None = None) -> None:
        """Set all slopes to 0.25, whatever `stdv` is."""
        self._writable(self._cells["weight"])[...] = 0.25

    def lower(self, b: Builder, input: Values) -> Values:
        """One op, for which a sample is a batch of one."""
        x, slopes = b.array(input), b.param(self._cells["weight"])
        if b.choose(self._is_batch, x):
            return b.op("channel_prelu", [x, slopes])
        batch = b.op("replicate", [x], ints=[0, 1])
        return b.op("select", [b.op("channel_prelu", [batch, slopes])], ints=[0, 0])

    def _is_batch(self, shape: tuple[int, ...]) -> bool:
        """Whether the planes are dim 1; with one slope for all there are none."""
        if not self.nOutputPlane:
            return True
        dim = {1: 0, 2: 1, 3: 0, 4: 1}.get(len(shape), -1)
        if dim < 0 or shape[dim] != self.nOutputPlane:
            message = f"{self.label()} finds no {self.nOutputPlane} planes in shape {shape}"
            raise ShapeError(message)
        return dim == 1

    def describe(self) -> str:
        """How many planes."""
        return f"({self.nOutputPlane})" if self.nOutputPlane else ""


class RReLU(Module):
    """y = x where x > 0, else r x: r is drawn evenly from l to u for each element, and (l + u) / 2 in evaluation.

    Parameters
    ----------
    l, u
        The bounds of slopes, kept as ``lower_bound`` and ``upper_bound``.
    ip
        A hint that the input may be overwritten; results are the same.

    Any shape; the output has the input's. The numbers drawn are fixed by :func:`manualSeed`. Source: Xu, Wang, Chen,
    Li, Empirical evaluation of rectified activations in convolutional network, 2015.

    Examples
    --------
    >>> import numpy as np, pynngraph as nn
    >>> nn.RReLU(0.1, 0.3).evaluate().forward(np.array([-1.0, 2.0]))
    array([-0.2,  2. ])
    """

    def __init__(self, l: float | None = 1 / 8, u: float | None = 1 / 3, ip: bool = False) -> None:  # noqa: E741
        self.lower_bound, self.upper_bound = _number(l, 1 / 8), _number(u, 1 / 3)
        self.inplace = ip
        if not self.lower_bound <= self.upper_bound:
            message = f"RReLU needs u of at least l, got {self.lower_bound:g} and {self.upper_bound:g}"
            raise ShapeError(message)

    def lower(self, b: Builder, input: Values) -> Values:
        """One op, with slopes that are drawn while training."""
        x = b.array(input)
        if self.train and self.lower_bound < self.upper_bound:
            return b.op("prelu", [x, b.op("uniform", [x], nums=[self.lower_bound, self.upper_bound])])
        return b.op("leakyrelu", [x], nums=[(self.lower_bound + self.upper_bound) / 2])

    def describe(self) -> str:
        """The bounds."""
        return f"({self.lower_bound:g}, {self.upper_bound:g})"


class GatedLinearUnit(Module):
    """y = a sigmoid(b), of the two halves a and b of the input along a dim.

    Parameters
    ----------
    dim
        The dim, counted from 0; negative from the end. The last one if left out.

    Shapes: input with an even size in that dim; output with half of that. Source: Dauphin et al., Language modeling
    with gated convolutional networks, ICML 2017.

    Examples
    --------
    >>> import numpy as np, pynngraph as nn
    >>> nn.GatedLinearUnit().forward(np.array([1.0, 2.0, 0.0, 0.0]))
    array([0.5, 1. ])
    """

    def __init__(self, dim: int | None = None) -> None:
        self.dim = dim

    def lower(self, b: Builder, input: Values) -> Values:
        """Two halves, a transfer function and a product."""
        x = b.array(input)
        dim, half = b.choose(self._half, x)
        first, second = (b.op("narrow", [x], ints=[dim, offset, half]) for offset in (0, half))
        return b.op("mul", [first, b.op("sigmoid", [second])])

    def _half(self, shape: tuple[int, ...]) -> tuple[int, int]:
        dim = -1 if self.dim is None else self.dim
        if not -len(shape) <= dim < len(shape) or shape[dim] % 2:
            message = f"{self.label()} cannot halve shape {shape} along dim {dim}"
            raise ShapeError(message)
        return dim, shape[dim] // 2

    def describe(self) -> str:
        """The dim, if it is given."""
        return "" if self.dim is None else f"({self.dim})"


__all__ = [
    "ELU",
    "Abs",
    "Clamp",
    "Exp",
    "GatedLinearUnit",
    "HardShrink",
    "HardTanh",
    "LeakyReLU",
    "Log",
    "LogSigmoid",
    "LogSoftMax",
    "PReLU",
    "Power",
    "RReLU",
    "ReLU",
    "ReLU6",
    "Sigmoid",
    "SoftMax",
    "SoftMin",
    "SoftPlus",
    "SoftShrink",
    "SoftSign",
    "Sqrt",
    "Square",
    "Tanh",
    "TanhShrink",
    "Threshold",
]
