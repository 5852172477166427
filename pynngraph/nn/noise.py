"""Modules that draw random numbers, beside :class:`Dropout` and :class:`RReLU`."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from ..errors import ShapeError
from .module import Module

if TYPE_CHECKING:
    from .._engine import Shape
    from .lowering import Builder, Values


class SpatialDropout(Module):
    """In training, whole planes are zero with probability p; evaluation multiplies by 1 - p.

    Parameters
    ----------
    p
        Probability of zero, in [0, 1).
    stochasticInference
        True to drop in evaluation too.

    Shapes: (planes, height, width) or (rows, planes, height, width); the output has the input's. Unlike those of
    :class:`Dropout`, planes that stay are not divided by 1 - p. The numbers drawn are fixed by :func:`manualSeed`.
    Source: Tompson et al., Efficient object localization using convolutional networks, CVPR 2015.

    Examples
    --------
    >>> import numpy as np, pynngraph as nn
    >>> nn.SpatialDropout(0.5).evaluate().forward(np.ones((1, 1, 2)))
    array([[[0.5, 0.5]]])
    """

    n_inner: ClassVar[int] = 2  # dims of a plane

    def __init__(self, p: float = 0.5, stochasticInference: bool = False) -> None:
        self.setp(p)
        self.stochasticInference = stochasticInference

    def setp(self, p: float) -> None:
        """Set the probability of zero."""
        if not 0 <= p < 1:
            message = f"the probability of {type(self).__name__} must be in [0, 1), got {p}"
            raise ShapeError(message)
        self.p = float(p)

    def lower(self, b: Builder, input: Values) -> Values:
        """One number for each plane, repeated; or a factor."""
        x = b.array(input)
        is_empty = b.choose(self._is_empty, x)
        if not (self.train or self.stochasticInference):
            return b.op("mul_constant", [x], nums=[1 - self.p])
        if is_empty or self.p == 0:
            return b.op("identity", [x])
        first = x
        for dim in range(1, self.n_inner + 1):
            first = b.op("narrow", [first], ints=[-dim, 0, 1])
        mask = b.outputs("dropout", [first], nums=[self.p, 1.0])[1]
        return b.op("mul", [x, b.op("expand", [mask, x])])

    def _is_empty(self, shape: Shape) -> bool:
        if len(shape) not in (self.n_inner + 1, self.n_inner + 2):
            message = f"{self.label()} expects planes of {self.n_inner} dims, or a batch of them, got shape {shape}"
            raise ShapeError(message)
        return 0 in shape[-self.n_inner :]

    def describe(self) -> str:
        """The probability."""
        return f"({self.p:g})"


class VolumetricDropout(SpatialDropout):
    """In training, whole volumes are zero with probability p; evaluation multiplies by 1 - p.

    Parameters
    ----------
    p
        Probability of zero, in [0, 1).
    stochasticInference
        True to drop in evaluation too.

    Shapes: (volumes, depth, height, width) or (rows, volumes, depth, height, width); else as :class:`SpatialDropout`.

    Examples
    --------
    >>> import numpy as np, pynngraph as nn
    >>> nn.VolumetricDropout(0.5).evaluate().forward(np.ones((1, 1, 1, 2)))
    array([[[[0.5, 0.5]]]])
    """

    n_inner = 3


class WhiteNoise(Module):
    """y = x + n in training, n normally distributed; y = x + mean in evaluation.

    Parameters
    ----------
    mean, std
        Mean and standard deviation of the noise.

    Any shape; the output has the input's. The numbers drawn are fixed by :func:`manualSeed`.

    Examples
    --------
    >>> import numpy as np, pynngraph as nn
    >>> nn.WhiteNoise(0.5).evaluate().forward(np.ones(2))
    array([1.5, 1.5])
    """

    def __init__(self, mean: float | None = 0, std: float | None = 0.1) -> None:
        self.mean = 0.0 if mean is None else float(mean)
        self.std = 0.1 if std is None else float(std)
        if not self.std >= 0:
            message = f"the standard deviation of WhiteNoise must not be negative, got {std}"
            raise ShapeError(message)

    def lower(self, b: Builder, input: Values) -> Values:
        """A sum with what is drawn, or with the mean."""
        x = b.array(input)
        if self.train:
            return b.op("add", [x, b.op("normal", [x], nums=[self.mean, self.std])])
        return b.op("add_constant", [x], nums=[self.mean]) if self.mean else b.op("identity", [x])

    def describe(self) -> str:
        """Mean and standard deviation."""
        return f"({self.mean:g}, {self.std:g})"


__all__ = ["SpatialDropout", "VolumetricDropout", "WhiteNoise"]
