"""Learning rates that change while training: plain functions of how many steps, or epochs, were done.

>>> import pynngraph as nn
>>> config = {}
>>> for epoch in range(3):
...     config["learningRate"] = nn.optim.exponential_decay(epoch, 0.1, 0.5)  # and then steps with this config
>>> config
{'learningRate': 0.025}
"""

from __future__ import annotations

import math


def step_decay(count: int, rate: float, every: int, factor: float = 0.1) -> float:
    """`rate`, multiplied by `factor` after each `every` of `count` steps.

    >>> import pynngraph as nn
    >>> [nn.optim.step_decay(count, 1.0, 2, 0.5) for count in range(5)]
    [1.0, 1.0, 0.5, 0.5, 0.25]
    """
    return float(rate * factor ** (count // every))


def exponential_decay(count: int, rate: float, factor: float) -> float:
    """`rate`, multiplied by `factor` after each of `count` steps.

    >>> import pynngraph as nn
    >>> [nn.optim.exponential_decay(count, 1.0, 0.5) for count in range(4)]
    [1.0, 0.5, 0.25, 0.125]
    """
    return float(rate * factor**count)


def linear_decay(count: int, rate: float, total: int, last: float = 0.0) -> float:
    """From `rate` down to `last` in `total` equal steps, and `last` from then on.

    >>> import pynngraph as nn
    >>> [nn.optim.linear_decay(count, 1.0, 4) for count in range(6)]
    [1.0, 0.75, 0.5, 0.25, 0.0, 0.0]
    """
    return rate + (last - rate) * min(count / total, 1.0)


def cosine_decay(count: int, rate: float, total: int, last: float = 0.0) -> float:
    """From `rate` down to `last` in `total` steps along half a wave of the cosine, and `last` from then on.

    Source: Loshchilov and Hutter, SGDR: stochastic gradient descent with warm restarts, 2017, equation 5. Restarts are
    ``count % total``.

    >>> import pynngraph as nn
    >>> [round(nn.optim.cosine_decay(count, 1.0, 4), 3) for count in range(6)]
    [1.0, 0.854, 0.5, 0.146, 0.0, 0.0]
    """
    return last + (rate - last) * (1 + math.cos(math.pi * min(count / total, 1.0))) / 2


def warmup(count: int, rate: float, total: int) -> float:
    """`rate` after `total` steps; before, as much less as steps are missing.

    >>> import pynngraph as nn
    >>> [nn.optim.warmup(count, 1.0, 4) for count in range(6)]
    [0.25, 0.5, 0.75, 1.0, 1.0, 1.0]
    """
    return rate * min((count + 1) / total, 1.0)
