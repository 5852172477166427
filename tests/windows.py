"""Pooling by loops over windows, in NumPy: what the ops of pooling must give."""

import itertools
from functools import cache

import numpy as np


def _starts(ints, d, size):
    """For each output along a dim: the places of its window's elements that are in, and how many with padding."""
    window, stride, padding, dilation = ints[3 + 4 * d : 7 + 4 * d]
    if ints[1] == 2:
        bounds = [(o * size // window, -(-(o + 1) * size // window)) for o in range(window)]
        return [(list(range(*ends)), ends[1] - ends[0]) for ends in bounds]
    found = []
    for start in itertools.count(-padding, stride):
        last = start + dilation * (window - 1)
        if start >= size or (last >= size + padding and (ints[1] == 0 or last - stride >= size + padding - 1)):
            return found
        places = [start + dilation * k for k in range(window)]
        found.append(([p for p in places if 0 <= p < size], sum(p < size + padding for p in places)))
    return found


@cache
def _each(shape, ints):
    """The windows of an array: for each output its place, its elements, their numbers, and how many with padding."""
    n = ints[0]
    along = [_starts(ints, d, shape[len(shape) - n + d]) for d in range(n)]
    most = [max(len(places) for places, _ in starts) for starts in along]
    found = []
    for output in itertools.product(*(range(len(starts)) for starts in along)):
        chosen = [along[d][o] for d, o in enumerate(output)]
        numbers = list(itertools.product(*(range(len(places)) for places, _ in chosen)))
        codes = np.array([np.ravel_multi_index(number, most) for number in numbers])
        elements = np.ix_(*(places for places, _ in chosen))
        found.append(((..., *output), (..., *elements), codes, int(np.prod([whole for _, whole in chosen]))))
    return found


def _shape(x, ints):
    n = ints[0]
    return x.shape[: x.ndim - n] + tuple(len(_starts(ints, d, x.shape[x.ndim - n + d])) for d in range(n))


def _values(x, elements, codes):
    return x[elements].reshape(*x[elements].shape[: 1 - len(elements)], len(codes))


def max_pool(ints):
    """The greatest, and its number in its window."""

    def reference(x):
        y, which = np.empty(_shape(x, ints)), np.empty(_shape(x, ints))
        for output, elements, codes, _ in _each(x.shape, ints):
            values = _values(x, elements, codes)
            y[output] = values.max(-1)
            which[output] = codes[values.argmax(-1)]
        return y, which

    return reference


def average_pool(ints):
    """Sums, divided by what the ints say."""

    def reference(x):
        y = np.empty(_shape(x, ints))
        for output, elements, codes, whole in _each(x.shape, ints):
            y[output] = _values(x, elements, codes).sum(-1) / (1, whole, len(codes))[ints[2]]
        return y

    return reference


def max_unpool(ints):
    """Zeros, but numbers where the greatest were."""

    def reference(x, which, like):
        y = np.zeros(like.shape)
        for output, elements, codes, _ in _each(like.shape, ints):
            here = which[output][..., None] == codes
            old = _values(y, elements, codes)
            y[elements] = np.where(here, x[output][..., None], old).reshape(y[elements].shape)
        return y

    return reference
