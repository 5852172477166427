"""Recurrent nets written again in NumPy, a loop over steps: the oracle of their tests."""

import numpy as np


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def lstm_step(x, state, w, b, u, d):
    h, c = state
    i, f, o, g = np.split(x @ w.T + b + h @ u.T + d, 4, -1)
    c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
    h = sigmoid(o) * np.tanh(c)
    return h, [h, c]


def gru_step(x, h, w, b, u, d):
    (r, z, n), (hr, hz, hn) = np.split(x @ w.T + b, 3, -1), np.split(h @ u.T + d, 3, -1)
    r, z = sigmoid(r + hr), sigmoid(z + hz)
    h = (1 - z) * np.tanh(n + r * hn) + z * h
    return h, h


def gru_reset_before_step(x, h, w, b, u, d, v, e):
    (r, z, n), (hr, hz) = np.split(x @ w.T + b, 3, -1), np.split(h @ u.T + d, 2, -1)
    r, z = sigmoid(r + hr), sigmoid(z + hz)
    h = (1 - z) * np.tanh(n + (r * h) @ v.T + e) + z * h
    return h, h


def rnn_step(x, h, w, b, u, d):
    h = np.tanh(x @ w.T + b + h @ u.T + d)
    return h, h


def where(going, new, old):
    """The new of samples that go on, the old of the others, in nested lists."""
    if isinstance(new, list):
        return [where(going, *pair) for pair in zip(new, old, strict=True)]
    return np.where(going.reshape(going.shape + (1,) * (new.ndim - going.ndim)), new, old)


def unrolled(step, x, state, *parameters, lengths=None):
    """The outputs of all steps, and the last state."""
    outputs = []
    for t, x_t in enumerate(x):
        y, after = step(x_t, state, *parameters)
        if lengths is not None:
            y, after = where(t < lengths, y, np.zeros_like(y)), where(t < lengths, after, state)
        outputs.append(y)
        state = after
    return outputs, state


def layers(step, x, states, *parameters, lengths=None):
    """The last layer's outputs, and the last states of all."""
    size = len(parameters) // len(states)
    last = []
    for layer, state in enumerate(states):
        outputs, after = unrolled(step, x, state, *parameters[size * layer : size * (layer + 1)], lengths=lengths)
        x = np.array(outputs)
        last.append(after)
    return x, last


def lstm_both_ways(input, *parameters):
    """Two layers of an LSTM in two directions, whose outputs stand side by side."""
    x, states = input
    last = []
    for layer in range(2):
        ways = []
        for way in range(2):
            which = 2 * layer + way
            steps = x[::-1] if way else x
            outputs, after = unrolled(lstm_step, steps, states[which], *parameters[4 * which : 4 * which + 4])
            ways.append(np.array(outputs[::-1] if way else outputs))
            last.append(after)
        x = np.concatenate(ways, -1)
    return [x, last]
