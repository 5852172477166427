"""AdaMax."""

from __future__ import annotations

from typing import Any

from .._engine import optim_step
from .settings import learning_rate, settings
from .vectors import Array, Function, evaluate, kept


def adamax(
    feval: Function, x: Array, config: dict[str, Any] | None = None, state: dict[str, Any] | None = None
) -> tuple[Array, list[float]]:
    """One step of AdaMax, Torch7's ``optim.adamax``.

    Parameters
    ----------
    feval
        ``feval(x)`` gives the loss at x and its gradient there, an array like x.
    x
        The parameters, a contiguous array of float32 or float64; changed in place.
    config
        ``learningRate`` (2e-3), ``learningRateDecay`` (0), ``beta1`` (0.9), ``beta2`` (0.999), ``epsilon`` (1e-38),
        ``weightDecay`` (0). Torch7 knows no decays here.
    state
        What is kept from step to step (``m``, ``u``, and their number ``t``);
        config itself if it is left out, as in Torch7.

    Returns
    -------
    x and a list of the one loss, met before the step.

    The step: d = gradient + weightDecay x; m = beta1 m + (1 - beta1) d; u = max(beta2 u, |d| + epsilon); and with t
    counting steps from 1, x = x - rate / (1 - beta1ᵗ) m / u, where rate = learningRate / (1 + (t - 1)
    learningRateDecay).
    Source: Kingma and Ba, Adam: a method for stochastic optimization, 2015, algorithm 2.

    Examples
    --------
    >>> import numpy as np, pynngraph as nn
    >>> x, state = np.array([4.0]), {}
    >>> for _ in range(200):
    ...     x, losses = nn.optim.adamax(lambda x: (float(x @ x), 2 * x), x, {"learningRate": 0.1}, state)
    >>> bool(abs(x[0]) < 0.01)
    True
    """
    config, state = settings(config, state)
    loss, gradient = evaluate(feval, x)
    m, u, t = kept(x, state, "m"), kept(x, state, "u"), state.get("t", 0)
    optim_step(
        "adamax",
        x,
        (gradient, m, u),
        learning_rate(config, t, 2e-3),
        config.get("beta1", 0.9),
        config.get("beta2", 0.999),
        config.get("epsilon", 1e-38),
        config.get("weightDecay", 0),
        t + 1,
    )
    state.update(m=m, u=u, t=t + 1)
    return x, [loss]
