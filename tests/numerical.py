"""Derivatives by central differences: the oracle for every backward."""

from functools import partial

import numpy as np
from tolerances import NUMERICAL_STEP
from trees import leaves


def derivative(value):
    """That of value(t) at 0, from five points: Abramowitz & Stegun, Handbook of Mathematical Functions, 25.3.6."""
    step = NUMERICAL_STEP
    near, far = value(step) - value(-step), value(2 * step) - value(-2 * step)
    return (8 * near - far) / (12 * step)


def jacobian(function, arrays):
    """D function() / d arrays[k][i], one matrix an array, outputs down and elements across.

    `function` takes nothing and gives a table; the arrays, which it reads, are nudged in place.
    """

    def outputs():
        return np.concatenate([np.array(leaf, np.float64).ravel() for leaf in leaves(function())])

    def nudged(flat, place, step):
        kept = flat[place]
        flat[place] = kept + step
        values = outputs()
        flat[place] = kept
        return values

    size = outputs().size
    matrices = []
    for array in arrays:
        flat = array.reshape(-1)
        assert np.shares_memory(flat, array) or not array.size, "a copy would be nudged"
        columns = [derivative(partial(nudged, flat, place)) for place in range(flat.size)]
        matrices.append(np.array(columns).reshape(flat.size, size).T)
    return matrices


def gradient(function, arrays, weights):
    """Gradients of the weighted sum of all outputs, one array for each of `arrays`."""
    flat = np.concatenate([np.ravel(leaf) for leaf in leaves(weights)])
    return [(flat @ matrix).reshape(a.shape) for matrix, a in zip(jacobian(function, arrays), arrays, strict=True)]
