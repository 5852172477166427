"""Windows in NumPy, which rows of the tables of cases are compared with.

Pooling goes from window to window, convolutions from tap to tap.
"""

import itertools
from functools import cache

import numpy as np
from philox import words


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


def fractional_pool(seed, ints):
    """The greatest of windows at places that are drawn, and its number."""
    window, out = ints[2::2], ints[3::2]
    n = len(out)

    def fractions(plane):
        of_module = {"seed": ints[1], "op": 0}
        numbers = words(**(of_module if ints[1] else {"seed": seed, "op": 1}), index=plane)
        return [number / 2**32 for number in map(int, numbers)][3 - n : 3]

    def first(size, d, o, u):
        room = size - window[d]
        step = room / max(out[d] - 1, 1)
        return room if o == out[d] - 1 else int((o + u) * step) - int(u * step)

    def reference(x):
        planes = x.reshape(-1, *x.shape[x.ndim - n :])
        y, which = np.empty((len(planes), *out)), np.empty((len(planes), *out))
        for plane, array in enumerate(planes):
            u = fractions(plane)
            for output in itertools.product(*map(range, out)):
                starts = [first(array.shape[d], d, o, u[d]) for d, o in enumerate(output)]
                values = array[tuple(slice(s, s + k) for s, k in zip(starts, window, strict=True))]
                y[(plane, *output)], which[(plane, *output)] = values.max(), values.argmax()
        shape = (*x.shape[: x.ndim - n], *out)
        return y.reshape(shape), which.reshape(shape)

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


# ---- convolutions ----------------------------------------------------------------------------------


def _taps(kernel, places, stride, dilation):
    """Each place in a kernel, and where in a padded plane all windows have it."""
    for tap in itertools.product(*map(range, kernel)):
        starts = [t * d for t, d in zip(tap, dilation, strict=True)]
        yield tap, tuple(slice(a, a + (n - 1) * s + 1, s) for a, n, s in zip(starts, places, stride, strict=True))


def _settings(w, stride, padding, dilation):
    n = w.ndim - 2
    return stride or (1,) * n, padding or (0,) * n, dilation or (1,) * n


def _by_group(w, bias, groups):
    return np.split(w, groups), [None] * groups if bias is None else np.split(bias, groups)


def _add_bias(y, bias):
    return y if bias is None else y + bias.reshape(-1, *[1] * (y.ndim - 2))


def convolution(x, w, bias=None, stride=None, padding=None, dilation=None, groups=1):
    """y_o = sum of w_oc x_c over windows, + b_o; with a batch or without."""
    stride, padding, dilation = _settings(w, stride, padding, dilation)
    if x.ndim == w.ndim - 1:
        return convolution(x[None], w, bias, stride, padding, dilation, groups)[0]
    padded = np.pad(x, [(0, 0), (0, 0), *((p, p) for p in padding)])
    kernel = w.shape[2:]
    places = [(n - d * (k - 1) - 1) // s + 1
              for n, d, k, s in zip(padded.shape[2:], dilation, kernel, stride, strict=True)]  # fmt: skip
    parts = []
    for part, of_group, b in zip(np.split(padded, groups, 1), *_by_group(w, bias, groups), strict=True):
        y = sum(np.einsum("nc...,oc->no...", part[(..., *where)], of_group[(..., *tap)])
                for tap, where in _taps(kernel, places, stride, dilation))  # fmt: skip
        parts.append(_add_bias(y, b))
    return np.concatenate(parts, 1)


def full_convolution(x, w, bias=None, stride=None, padding=None, dilation=None, groups=1, extra=None):
    """Each element of x adds w times it to a window of y; with a batch or without."""
    stride, padding, dilation = _settings(w, stride, padding, dilation)
    extra = extra or (0,) * len(stride)
    if x.ndim == w.ndim - 1:
        return full_convolution(x[None], w, bias, stride, padding, dilation, groups, extra)[0]
    kernel, places = w.shape[2:], x.shape[2:]
    sizes = [(n - 1) * s + d * (k - 1) + 1 + e
             for n, s, d, k, e in zip(places, stride, dilation, kernel, extra, strict=True)]  # fmt: skip
    parts = []
    biases = _by_group(w, bias, groups)[1]
    for part, of_group, b in zip(np.split(x, groups, 1), np.split(w, groups), biases, strict=True):
        y = np.zeros((len(x), w.shape[1], *sizes), x.dtype)
        for tap, where in _taps(kernel, places, stride, dilation):
            y[(..., *where)] += np.einsum("nc...,co->no...", part, of_group[(..., *tap)])
        cut = tuple(slice(p, n - p) for p, n in zip(padding, sizes, strict=True))
        parts.append(_add_bias(y[(..., *cut)], b))
    return np.concatenate(parts, 1)


def frames(x, w, bias=None, window=1, step=1):
    """y_t = w (x_s ... x_(s + window - 1)) + b, s = t step; with a batch or without."""
    count = (x.shape[-2] - window) // step + 1
    rows = [x[..., t * step : t * step + window, :].reshape(*x.shape[:-2], -1) for t in range(count)]
    y = np.stack(rows, -2) @ w.T
    return y if bias is None else y + bias
