"""RMSprop."""

from __future__ import annotations

from typing import Any

from .._engine import optim_step
from .settings import settings
from .vectors import Array, Function, evaluate, kept


def rmsprop(
    feval: Function, x: Array, config: dict[str, Any] | None = None, state: dict[str, Any] | None = None
) -> tuple[Array, list[float]]:
    """One step of RMSprop, Torch7's ``optim.rmsprop``.

    Parameters
    ----------
    feval
        ``feval(x)`` gives the loss at x and its gradient there, an array like x.
    x
        The parameters, a contiguous array of float32 or float64; changed in place.
    config
        ``learningRate`` (1e-2), ``alpha`` (0.99), ``epsilon`` (1e-8), ``weightDecay`` (0), ``initialMean`` (0).
    state
        What is kept from step to step (``m``); config itself if it is left out, as in Torch7.

    Returns
    -------
    x and a list of the one loss, met before the step.

    The step: d = gradient + weightDecay x; m = alpha m + (1 - alpha) d², m being initialMean before the first;
    x = x - learningRate d / (√m + epsilon).
    Source: Tieleman and Hinton, Lecture 6.5 of Neural Networks for Machine Learning, 2012.

    Examples
    --------
    >>> import numpy as np, pynngraph as nn
    >>> x, state = np.array([4.0]), {}
    >>> for _ in range(200):
    ...     x, losses = nn.optim.rmsprop(lambda x: (float(x @ x), 2 * x), x, {"learningRate": 0.05}, state)
    >>> bool(abs(x[0]) < 0.05)
    True
    """
    config, state = settings(config, state)
    loss, gradient = evaluate(feval, x)
    m = kept(x, state, "m", config.get("initialMean", 0))
    rate, alpha = config.get("learningRate", 1e-2), config.get("alpha", 0.99)
    optim_step("rmsprop", x, (gradient, m), rate, alpha, config.get("epsilon", 1e-8), config.get("weightDecay", 0))
    state["m"] = m
    return x, [loss]
