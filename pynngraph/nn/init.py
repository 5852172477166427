"""Ways to draw initial weights: ``nn.init.kaiming_normal(layer.weight)``.

Each function writes into an array and gives it again. The numbers drawn are fixed by :func:`pynngraph.manualSeed`. How
many inputs and outputs an element has follows from the shape, which is (outputs, inputs) for :class:`pynngraph.Linear`,
and (outputs, inputs, height, width) for :class:`pynngraph.SpatialConvolution` and its like.
"""

from __future__ import annotations

import math
from typing import Any, TypeAlias

import numpy as np

from .. import random
from ..errors import DTypeError, ShapeError

Array: TypeAlias = "np.ndarray[Any, Any]"

# What keeps the variance from layer to layer, behind a transfer function.
_GAINS = {
    "linear": 1.0,
    "sigmoid": 1.0,
    "tanh": 5 / 3,
    "relu": math.sqrt(2),
    "selu": 3 / 4,
}


def calculate_gain(nonlinearity: str, param: float | None = None) -> float:
    """The factor for the standard deviation of weights in front of a transfer function.

    Parameters
    ----------
    nonlinearity
        ``"linear"``, ``"sigmoid"``, ``"tanh"``, ``"relu"``, ``"selu"`` or ``"leaky_relu"``.
    param
        The slope of ``"leaky_relu"``, 0.01 if left out.

    Examples
    --------
    >>> from pynngraph.nn import init
    >>> init.calculate_gain("leaky_relu", 1)
    1.0
    """
    if nonlinearity == "leaky_relu":
        slope = 0.01 if param is None else param
        return math.sqrt(2 / (1 + slope * slope))
    if nonlinearity not in _GAINS:
        message = f"no gain is known for {nonlinearity!r}: there are {', '.join(_GAINS)}, leaky_relu"
        raise ShapeError(message)
    return _GAINS[nonlinearity]


def _checked(array: Any) -> Array:
    if not isinstance(array, np.ndarray) or array.dtype.kind != "f":
        message = f"initial weights are written into an array of reals, got {type(array).__name__}"
        raise DTypeError(message)
    return array


def fans(array: Array) -> tuple[int, int]:
    """How many inputs an output of these weights has, and how many outputs an input."""
    if _checked(array).ndim < 2:
        message = f"weights with inputs and outputs have at least 2 dims, got shape {array.shape}"
        raise ShapeError(message)
    field = math.prod(array.shape[2:])
    return array.shape[1] * field, array.shape[0] * field


def constant(array: Array, value: float) -> Array:
    """Write one number everywhere.

    Examples
    --------
    >>> import numpy as np
    >>> from pynngraph.nn import init
    >>> init.constant(np.empty(2), 0.5)
    array([0.5, 0.5])
    """
    _checked(array)[...] = value
    return array


def uniform(array: Array, low: float = 0.0, high: float = 1.0) -> Array:
    """Draw evenly from [low, high)."""
    shape = _checked(array).shape
    array[...] = random.uniform(low, high, shape)
    return array


def normal(array: Array, mean: float = 0.0, std: float = 1.0) -> Array:
    """Draw from a normal distribution."""
    shape = _checked(array).shape
    array[...] = random.normal(mean, std, shape)
    return array


def xavier_uniform(array: Array, gain: float = 1.0) -> Array:
    """Draw evenly with variance 2 gain^2 / (inputs + outputs).

    Source: Glorot, Bengio, Understanding the difficulty of training deep feedforward neural networks, AISTATS 2010.

    Examples
    --------
    >>> import numpy as np
    >>> from pynngraph.nn import init
    >>> weight = init.xavier_uniform(np.empty((300, 500)))
    >>> bool(np.abs(weight).max() <= np.sqrt(6 / 800))
    True
    """
    limit = gain * math.sqrt(6 / max(1, sum(fans(array))))
    return uniform(array, -limit, limit)


def xavier_normal(array: Array, gain: float = 1.0) -> Array:
    """Draw from a normal distribution with variance 2 gain^2 / (inputs + outputs). As :func:`xavier_uniform`."""
    return normal(array, 0, gain * math.sqrt(2 / max(1, sum(fans(array)))))


def kaiming_uniform(array: Array, a: float = 0.0, mode: str = "fan_in", nonlinearity: str = "leaky_relu") -> Array:
    """Draw evenly with variance gain^2 / n.

    Parameters
    ----------
    array
        Where to.
    a
        The slope of ``"leaky_relu"``; 0 is that of ReLU.
    mode
        ``"fan_in"``: n is the number of inputs, which keeps the variance forward; ``"fan_out"``: of outputs, backward.
    nonlinearity
        The transfer function behind: see :func:`calculate_gain`.

    Source: He, Zhang, Ren, Sun, Delving deep into rectifiers, ICCV 2015.
    """
    limit = math.sqrt(3) * _kaiming_std(array, a, mode, nonlinearity)
    return uniform(array, -limit, limit)


def kaiming_normal(array: Array, a: float = 0.0, mode: str = "fan_in", nonlinearity: str = "leaky_relu") -> Array:
    """Draw from a normal distribution with variance gain^2 / n. As :func:`kaiming_uniform`.

    Examples
    --------
    >>> import numpy as np
    >>> from pynngraph.nn import init
    >>> weight = init.kaiming_normal(np.empty((64, 1000)))
    >>> bool(np.isclose(weight.std(), np.sqrt(2 / 1000), rtol=0.05))
    True
    """
    return normal(array, 0, _kaiming_std(array, a, mode, nonlinearity))


def _kaiming_std(array: Array, a: float, mode: str, nonlinearity: str) -> float:
    if mode not in ("fan_in", "fan_out"):
        message = f"mode is 'fan_in' or 'fan_out', got {mode!r}"
        raise ShapeError(message)
    n = fans(array)[mode == "fan_out"]
    return calculate_gain(nonlinearity, a) / math.sqrt(max(1, n))


def orthogonal(array: Array, gain: float = 1.0) -> Array:
    """Draw orthogonal rows of length `gain`, or columns if there are more rows; all dims but the first count as one.

    Source: Saxe, McClelland, Ganguli, Exact solutions to the nonlinear dynamics of learning in deep linear neural
    networks, ICLR 2014.

    Examples
    --------
    >>> import numpy as np
    >>> from pynngraph.nn import init
    >>> w = init.orthogonal(np.empty((2, 3)))
    >>> bool(np.allclose(w @ w.T, np.eye(2)))
    True
    """
    fans(array)
    rows, cols = array.shape[0], math.prod(array.shape[1:])
    factor, triangle = np.linalg.qr(random.normal(0, 1, (max(rows, cols), min(rows, cols))))
    factor *= np.where(np.diag(triangle) < 0, -1, 1)  # evenly distributed
    array[...] = gain * (factor if rows >= cols else factor.T).reshape(array.shape)
    return array


def eye(array: Array) -> Array:
    """Write ones on the diagonal of a matrix and zeros elsewhere.

    Examples
    --------
    >>> import numpy as np
    >>> from pynngraph.nn import init
    >>> init.eye(np.empty((2, 3)))
    array([[1., 0., 0.],
           [0., 1., 0.]])
    """
    if _checked(array).ndim != 2:
        message = f"a diagonal is that of a matrix, got shape {array.shape}"
        raise ShapeError(message)
    array[...] = np.eye(*array.shape)
    return array


def sparse(array: Array, sparsity: float, std: float = 0.01) -> Array:
    """Draw from a normal distribution, but for a share of each column of a matrix, which is zero.

    Source: Martens, Deep learning via Hessian-free optimization, ICML 2010.

    Examples
    --------
    >>> import numpy as np
    >>> from pynngraph.nn import init
    >>> (init.sparse(np.empty((10, 2)), 0.3) == 0).sum(0)
    array([3, 3])
    """
    if _checked(array).ndim != 2 or not 0 <= sparsity <= 1:
        message = f"a share of zeros, in [0, 1], is that of a matrix, got {sparsity} and shape {array.shape}"
        raise ShapeError(message)
    normal(array, 0, std)
    order = random.uniform(0, 1, array.shape).argsort(0)
    array[order < math.ceil(sparsity * len(array))] = 0
    return array


__all__ = [
    "calculate_gain",
    "constant",
    "eye",
    "fans",
    "kaiming_normal",
    "kaiming_uniform",
    "normal",
    "orthogonal",
    "sparse",
    "uniform",
    "xavier_normal",
    "xavier_uniform",
]
