"""Gradients that are too large, made smaller."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from .vectors import Array


def clip_by_norm(gradients: Array | Sequence[Array], limit: float) -> float:
    """Scale gradients down, in place, until their Euclidean norm is at most `limit`.

    Parameters
    ----------
    gradients
        One array, as from ``getParameters()[1]``, or a list of arrays, as from ``parameters()[1]``, which have one norm
        together.
    limit
        The largest norm that stays as it is.

    Returns
    -------
    The norm before. Where it is infinite or NaN nothing is changed: such a step is better left out.

    Source: Pascanu, Mikolov and Bengio, On the difficulty of training recurrent neural networks, 2013.

    Examples
    --------
    >>> import numpy as np, pynngraph as nn
    >>> gradient = np.array([3.0, 4.0])
    >>> nn.optim.clip_by_norm(gradient, 1)
    5.0
    >>> gradient
    array([0.6, 0.8])
    """
    arrays = _arrays(gradients)
    # Of numbers divided by the largest: squares of large ones would be infinite, in float32 soon.
    largest = max((float(np.abs(array).max(initial=0)) for array in arrays), default=0.0)
    if largest == 0 or not math.isfinite(largest):
        return largest
    norm = largest * math.sqrt(sum(float(np.square(array / largest).sum(dtype=np.float64)) for array in arrays))
    if norm > limit:
        for array in arrays:
            np.multiply(array, limit / norm, out=array)
    return norm


def clip_by_value(gradients: Array | Sequence[Array], limit: float) -> None:
    """Bring each element of gradients between -`limit` and `limit`, in place; NaN stays.

    Parameters
    ----------
    gradients
        One array, as from ``getParameters()[1]``, or a list of arrays, as from ``parameters()[1]``.
    limit
        The largest magnitude that stays as it is.

    Examples
    --------
    >>> import numpy as np, pynngraph as nn
    >>> gradient = np.array([3.0, -4.0, 0.5])
    >>> nn.optim.clip_by_value(gradient, 1)
    >>> gradient
    array([ 1. , -1. ,  0.5])
    """
    for array in _arrays(gradients):
        np.clip(array, -limit, limit, out=array)


def _arrays(gradients: Array | Sequence[Array]) -> Sequence[Array]:
    return [gradients] if isinstance(gradients, np.ndarray) else gradients
