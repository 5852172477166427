"""Modules that are a few others, one after another."""

from __future__ import annotations

from .container import ConcatTable, Sequential
from .module import Module
from .reduce import Max
from .shape import View
from .simple import Identity, Linear, MulConstant
from .table import JoinTable
from .transfer import ReLU


class CReLU(Sequential):
    """y = max(x, 0) and, behind it along the first dim of a sample, max(-x, 0).

    Parameters
    ----------
    nInputDims
        Dims of one sample: an input with one more is a batch.
    inplace
        A hint that memory may be overwritten; results are the same.

    Source: Shang, Sohn, Almeida, Lee, Understanding and improving convolutional neural networks via concatenated
    rectified linear units, ICML 2016.

    Examples
    --------
    >>> import numpy as np, pynngraph as nn
    >>> nn.CReLU(1).forward(np.array([[-1.0, 2.0]]))
    array([[0., 2., 1., 0.]])
    """

    def __init__(self, nInputDims: int, inplace: bool = False) -> None:
        both = ConcatTable(Identity(), MulConstant(-1))
        super().__init__(both, JoinTable(0, nInputDims), ReLU(inplace))
        self.nInputDims = nInputDims
        self.inplace = inplace


class Maxout(Sequential):
    """y_j = max_k z_kj, of some layers z_k = x W_k' + b_k.

    Parameters
    ----------
    inputSize, outputSize
        Features of input and output.
    maxoutNumber
        How many layers.
    preprocess
        A module that all of z goes through first, or None.

    Shapes: input (inputSize,) or (rows, inputSize); output (outputSize,) or (rows, outputSize). Source: Goodfellow,
    Warde-Farley, Mirza, Courville, Bengio, Maxout networks, ICML 2013.

    Examples
    --------
    >>> import numpy as np, pynngraph as nn
    >>> nn.Maxout(6, 4, 3).forward(np.zeros((2, 6))).shape
    (2, 4)
    """

    def __init__(self, inputSize: int, outputSize: int, maxoutNumber: int, preprocess: Module | None = None) -> None:
        layers = Linear(inputSize, outputSize * maxoutNumber)
        between = () if preprocess is None else (preprocess,)
        super().__init__(layers, *between, View(maxoutNumber, outputSize), Max(0, 2))


__all__ = ["CReLU", "Maxout"]
