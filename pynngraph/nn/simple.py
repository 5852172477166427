"""Modules that stand alone: identity, linear, constants, dropout."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from .. import random, tree
from ..errors import ShapeError
from .module import BufferArray, Module

if TYPE_CHECKING:
    from .._engine import Shape
    from .lowering import Builder, Values

SelfLinear = TypeVar("SelfLinear", bound="Linear")


class Identity(Module):
    """The input itself, array or table.

    As ``nn.Identity()()`` it is the usual input node of a graph.

    Examples
    --------
    >>> import numpy as np, pynngraph as nn
    >>> nn.Identity().forward([np.zeros(2), (np.ones(1),)])
    [array([0., 0.]), (array([1.]),)]
    """

    def lower(self, b: Builder, input: Values) -> Values:
        """An alias of each array."""
        return tree.map_leaves(lambda value: b.op("identity", [value]), input)


class Linear(Module):
    """y = x W' + b.

    Parameters
    ----------
    inputSize, outputSize
        Features of input and output.
    bias
        False for no b.

    Shapes: input (inputSize,) or (rows, inputSize); output (outputSize,) or (rows, outputSize); ``weight``
    (outputSize, inputSize), ``bias`` (outputSize,). Both start evenly drawn from ±1/sqrt(inputSize).

    Examples
    --------
    >>> import numpy as np, pynngraph as nn
    >>> layer = nn.Linear(3, 5)
    >>> layer.forward(np.zeros((2, 3))).shape
    (2, 5)
    """

    def __init__(self, inputSize: int, outputSize: int, bias: bool = True) -> None:
        if not all(hasattr(size, "__index__") and size >= 1 for size in (inputSize, outputSize)):
            message = f"Linear needs whole sizes of at least 1, got {inputSize} and {outputSize}"
            raise ShapeError(message)
        self.inputSize = inputSize
        self.outputSize = outputSize
        self.add_cell("weight", np.empty((outputSize, inputSize), self.dtype))
        if bias:
            self.add_cell("bias", np.empty(outputSize, self.dtype))
        self.reset()

    def reset(self, stdv: float | None = None) -> None:
        """Draw weight and bias evenly from ±stdv sqrt(3), or ±1/sqrt(inputSize) without stdv."""
        for cell in self._cells.values():
            random.draw_parameter(self._writable(cell), self.inputSize, stdv)

    def noBias(self: SelfLinear) -> SelfLinear:
        """Drop the bias."""
        self.remove_cell("bias")
        return self

    def lower(self, b: Builder, input: Values) -> Values:
        """One product."""
        if "weight" not in self._cells:
            message = f"{b.where()} has no weight any more"
            raise ShapeError(message)
        cells = [self._cells[name] for name in ("weight", "bias") if name in self._cells]
        return b.op("linear", [b.array(input), *map(b.param, cells)])

    def describe(self) -> str:
        """Sizes."""
        bias = "" if "bias" in self._cells else " without bias"
        return f"({self.inputSize} -> {self.outputSize}){bias}"


class _Constant(Module):
    """Base of modules that combine their input with one number."""

    op: str

    def __init__(self, constant_scalar: float, ip: bool = False) -> None:
        self.constant_scalar = float(constant_scalar)
        self.inplace = ip

    def lower(self, b: Builder, input: Values) -> Values:
        """One elementwise op."""
        return b.op(self.op, [b.array(input)], nums=[self.constant_scalar])

    def describe(self) -> str:
        """The number."""
        return f"({self.constant_scalar:g})"


class MulConstant(_Constant):
    """y = c x.

    Parameters
    ----------
    constant_scalar
        The number c.
    ip
        A hint that the input may be overwritten; results are the same.

    Examples
    --------
    >>> import numpy as np, pynngraph as nn
    >>> nn.MulConstant(3).forward(np.ones(2))
    array([3., 3.])
    """

    op = "mul_constant"


class AddConstant(_Constant):
    """y = x + c.

    Parameters
    ----------
    constant_scalar
        The number c.
    ip
        A hint that the input may be overwritten; results are the same.

    Examples
    --------
    >>> import numpy as np, pynngraph as nn
    >>> nn.AddConstant(3).forward(np.ones(2))
    array([4., 4.])
    """

    op = "add_constant"


class Dropout(Module):
    """In training, elements are zero with probability p, and the others are divided by 1 - p.

    Parameters
    ----------
    p
        Probability of zero, in [0, 1).
    v1
        True for the first version: others stay as they are in training, and evaluation multiplies by 1 - p.
    inplace
        A hint that the input may be overwritten; results are the same.
    stochasticInference
        True to drop in evaluation too.

    The numbers drawn are fixed by :func:`manualSeed`. Source: Srivastava et al., Dropout, JMLR 15, 2014.

    Examples
    --------
    >>> import numpy as np, pynngraph as nn
    >>> nn.Dropout(0.5).evaluate().forward(np.ones(3))
    array([1., 1., 1.])
    """

    def __init__(
        self,
        p: float = 0.5,
        v1: bool = False,
        inplace: bool = False,
        stochasticInference: bool = False,
    ) -> None:
        self.setp(p)
        self.v2 = not v1
        self.inplace = inplace
        self.stochasticInference = stochasticInference

    def setp(self, p: float) -> None:
        """Set the probability of zero."""
        if not 0 <= p < 1:
            message = f"the probability of Dropout must be in [0, 1), got {p}"
            raise ShapeError(message)
        self.p = float(p)

    def lower(self, b: Builder, input: Values) -> Values:
        """Noise where it drops, else a factor or nothing."""
        x = b.array(input)
        if self.p > 0 and (self.train or self.stochasticInference):
            return b.op("dropout", [x], nums=[self.p, 1 / (1 - self.p) if self.v2 else 1.0])
        if not self.v2 and not self.train:
            return b.op("mul_constant", [x], nums=[1 - self.p])
        return b.op("identity", [x])

    def describe(self) -> str:
        """The probability."""
        return f"({self.p:g})"


class Parameters(Module):
    """Parameters by themselves: the output is ``weight``, whatever the input.

    Its graph node needs no input: ``nn.Parameters(3, 4)()``.

    Parameters
    ----------
    sizes
        The output's shape.

    Shapes: output and ``weight``, both `sizes`. ``weight`` starts evenly drawn from ±1/sqrt(last size).

    Examples
    --------
    >>> import numpy as np, pynngraph as nn
    >>> bias = nn.Parameters(3)
    >>> g = nn.gModule([], [nn.Tanh()(bias())])
    >>> g.forward([]).shape
    (3,)
    >>> g.backward([], np.ones(3))
    []
    >>> bool(np.allclose(bias.gradWeight, 1 - np.tanh(bias.weight) ** 2))
    True
    """

    takes_input = False

    def __init__(self, *sizes: int) -> None:
        if not sizes or not all(hasattr(size, "__index__") and size >= 0 for size in sizes):
            message = f"Parameters takes sizes, got {sizes}"
            raise ShapeError(message)
        self.add_cell("weight", np.empty(sizes, self.dtype))
        self.reset()

    def reset(self, stdv: float | None = None) -> None:
        """Draw evenly from ±stdv sqrt(3), or ±1/sqrt(last size) without stdv."""
        weight = self._writable(self._cells["weight"])
        random.draw_parameter(weight, max(1, weight.shape[-1]), stdv)

    def lower(self, b: Builder, input: Values) -> Values:
        """The parameter's value."""
        return b.param(self._cells["weight"])

    def describe(self) -> str:
        """The sizes."""
        return f"({', '.join(map(str, self.weight.shape))})"


class Constant(Module):
    """A constant, whatever the input is.

    Parameters
    ----------
    value
        A number or an array.
    nInputDim
        Dims of one sample: for an input with more, the constant is repeated for each sample of the batch.

    Shapes: input any; output that of the constant, a number's being (1,), behind the batch if there is one. The
    gradient of the input is zero. ``value`` can be written to.

    Examples
    --------
    >>> import numpy as np, pynngraph as nn
    >>> nn.Constant(np.array([1.0, 2.0]), 1).forward(np.zeros((3, 5)))
    array([[1., 2.],
           [1., 2.],
           [1., 2.]])
    """

    value = BufferArray()

    def __init__(self, value: Any, nInputDim: int | None = None) -> None:
        self.nInputDim = nInputDim
        self.add_cell("value", np.atleast_1d(np.asarray(value)), has_grad=False)

    def lower(self, b: Builder, input: Values) -> Values:
        """The constant, repeated for a batch."""
        value = b.param(self._buffers["value"])
        count = None if self.nInputDim is None else b.choose(self._batch, b.array(input))
        return b.op("identity", [value]) if count is None else b.op("replicate", [value], ints=[0, count])

    def _batch(self, shape: Shape) -> int | None:
        return shape[0] if len(shape) > (self.nInputDim or 0) else None

    def describe(self) -> str:
        """Sizes."""
        return f"({', '.join(map(str, self.value.shape))})"


class GradientReversal(Module):
    """The input itself; on the way back, the gradient times -lambda.

    Parameters
    ----------
    lambda_
        What the gradient is multiplied by, with the sign changed.

    Source: Ganin, Lempitsky, Unsupervised domain adaptation by backpropagation, ICML 2015.

    Examples
    --------
    >>> import numpy as np, pynngraph as nn
    >>> reversal = nn.GradientReversal(0.5)
    >>> reversal.forward(np.ones(2))
    array([1., 1.])
    >>> reversal.backward(np.ones(2), np.ones(2))
    array([-0.5, -0.5])
    """

    def __init__(self, lambda_: float = 1) -> None:
        self.setLambda(lambda_)

    def setLambda(self, lambda_: float) -> None:
        """Set the factor."""
        self.lambda_ = float(lambda_)

    def lower(self, b: Builder, input: Values) -> Values:
        """One op for each array."""
        return tree.map_leaves(lambda value: b.op("turn_gradient", [value], nums=[-self.lambda_]), input)

    def describe(self) -> str:
        """Lambda."""
        return f"({self.lambda_:g})"


class ZeroGrad(Module):
    """The input itself; its gradient is zero.

    Examples
    --------
    >>> import numpy as np, pynngraph as nn
    >>> stop = nn.ZeroGrad()
    >>> stop.forward(np.ones(2))
    array([1., 1.])
    >>> stop.backward(np.ones(2), np.ones(2))
    array([0., 0.])
    """

    def lower(self, b: Builder, input: Values) -> Values:
        """An alias of each array."""
        return tree.map_leaves(lambda value: b.op("detach", [value]), input)


class OneHot(Module):
    """For each index a vector that is 1 in that place, and 0 elsewhere.

    Parameters
    ----------
    outputSize
        The size of a vector.

    Shapes: input, indices from 0 of an integer dtype, or whole reals, of any shape; output that shape and
    (outputSize,). An index that is not below outputSize is a DataError.

    Examples
    --------
    >>> import numpy as np, pynngraph as nn
    >>> nn.OneHot(3).forward(np.array([2, 0]))
    array([[0., 0., 1.],
           [1., 0., 0.]])
    """

    def __init__(self, outputSize: int) -> None:
        if outputSize < 1:
            message = f"OneHot needs a size of at least 1, got {outputSize}"
            raise ShapeError(message)
        self.outputSize = outputSize

    def lower(self, b: Builder, input: Values) -> Values:
        """One op."""
        index = b.array(input)
        if not b.is_index(index):
            index = b.op("to_index", [index])
        return b.op("one_hot", [index], ints=[self.outputSize])

    def describe(self) -> str:
        """The size."""
        return f"({self.outputSize})"


__all__ = [
    "AddConstant",
    "Constant",
    "Dropout",
    "GradientReversal",
    "Identity",
    "Linear",
    "MulConstant",
    "OneHot",
    "Parameters",
    "ZeroGrad",
]
