"""Derivatives by central differences: the oracle for every backward."""

import numpy as np
from tolerances import NUMERICAL_STEP
from trees import leaves


def jacobian(function, arrays):
    """D function() / d arrays[k][i], one matrix an array, outputs down and elements across.

    `function` takes nothing and gives a table; the arrays, which it reads, are nudged in place.
    """

    def value():
        return np.concatenate([np.array(leaf, np.float64).ravel() for leaf in leaves(function())])

    size = value().size
    matrices = []
    for array in arrays:
        flat = array.reshape(-1)
        assert np.shares_memory(flat, array) or not array.size, "a copy would be nudged"
        columns = []
        for place in range(flat.size):
            kept = flat[place]
            flat[place] = kept + NUMERICAL_STEP
            above = value()
            flat[place] = kept - NUMERICAL_STEP
            columns.append((above - value()) / (2 * NUMERICAL_STEP))
            flat[place] = kept
        matrices.append(np.array(columns).reshape(flat.size, size).T)
    return matrices


def gradient(function, arrays, weights):
    """Gradients of the weighted sum of all outputs, one array for each of `arrays`."""
    flat = np.concatenate([np.ravel(leaf) for leaf in leaves(weights)])
    return [(flat @ matrix).reshape(a.shape) for matrix, a in zip(jacobian(function, arrays), arrays, strict=True)]
