"""Adagrad."""

from __future__ import annotations

from typing import Any

from .._engine import optim_step
from .settings import learning_rate, settings
from .vectors import Array, Function, evaluate, kept

EPSILON = 1e-10  # Torch7's; it cannot be set


def adagrad(
    feval: Function, x: Array, config: dict[str, Any] | None = None, state: dict[str, Any] | None = None
) -> tuple[Array, list[float]]:
    """One step of Adagrad, Torch7's ``optim.adagrad``.

    Parameters
    ----------
    feval
        ``feval(x)`` gives the loss at x and its gradient there, an array like x.
    x
        The parameters, a contiguous array of float32 or float64; changed in place.
    config
        ``learningRate`` (1e-3), ``learningRateDecay`` (0), ``weightDecay`` (0).
    state
        What is kept from step to step (``paramVariance``, ``evalCounter``);
        config itself if it is left out, as in Torch7.

    Returns
    -------
    x and a list of the one loss, met before the step.

    The step: d = gradient + weightDecay x; paramVariance = paramVariance + d²;
    x = x - learningRate / (1 + n learningRateDecay) d / (√paramVariance + 1e-10), n counting steps.
    Source: Duchi, Hazan and Singer, Adaptive subgradient methods for online learning and stochastic optimization, 2011.

    Examples
    --------
    >>> import numpy as np, pynngraph as nn
    >>> x, state = np.array([4.0]), {}
    >>> for _ in range(100):
    ...     x, losses = nn.optim.adagrad(lambda x: (float(x @ x), 2 * x), x, {"learningRate": 1.0}, state)
    >>> bool(abs(x[0]) < 0.01)
    True
    """
    config, state = settings(config, state)
    loss, gradient = evaluate(feval, x)
    variance, count = kept(x, state, "paramVariance"), state.get("evalCounter", 0)
    optim_step("adagrad", x, (gradient, variance), learning_rate(config, count), EPSILON, config.get("weightDecay", 0))
    state.update(paramVariance=variance, evalCounter=count + 1)
    return x, [loss]
