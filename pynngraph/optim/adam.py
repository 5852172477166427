"""Adam."""

from __future__ import annotations

from typing import Any

from .._engine import optim_step
from .settings import learning_rate, settings
from .vectors import Array, Function, evaluate, kept


def adam(
    feval: Function, x: Array, config: dict[str, Any] | None = None, state: dict[str, Any] | None = None
) -> tuple[Array, list[float]]:
    """One step of Adam, Torch7's ``optim.adam``.

    Parameters
    ----------
    feval
        ``feval(x)`` gives the loss at x and its gradient there, an array like x.
    x
        The parameters, a contiguous array of float32 or float64; changed in place.
    config
        ``learningRate`` (1e-3), ``learningRateDecay`` (0), ``beta1`` (0.9), ``beta2`` (0.999), ``epsilon`` (1e-8),
        ``weightDecay`` (0).
    state
        What is kept from step to step (``m``, ``v``, and their number ``t``);
        config itself if it is left out, as in Torch7.

    Returns
    -------
    x and a list of the one loss, met before the step.

    The step: d = gradient + weightDecay x; m = beta1 m + (1 - beta1) d; v = beta2 v + (1 - beta2) d²; and with t
    counting steps from 1, x = x - rate √(1 - beta2ᵗ) / (1 - beta1ᵗ) m / (√v + epsilon), where
    rate = learningRate / (1 + (t - 1) learningRateDecay).
    Source: Kingma and Ba, Adam: a method for stochastic optimization, 2015, algorithm 1 in the order of its section 2.

    Examples
    --------
    >>> import numpy as np, pynngraph as nn
    >>> x, state = np.array([4.0]), {}
    >>> for _ in range(200):
    ...     x, losses = nn.optim.adam(lambda x: (float(x @ x), 2 * x), x, {"learningRate": 0.1}, state)
    >>> bool(abs(x[0]) < 0.01)
    True
    """
    config, state = settings(config, state)
    loss, gradient = evaluate(feval, x)
    m, v, t = kept(x, state, "m"), kept(x, state, "v"), state.get("t", 0)
    optim_step(
        "adam",
        x,
        (gradient, m, v),
        learning_rate(config, t),
        config.get("beta1", 0.9),
        config.get("beta2", 0.999),
        config.get("epsilon", 1e-8),
        config.get("weightDecay", 0),
        t + 1,
    )
    state.update(m=m, v=v, t=t + 1)
    return x, [loss]
