"""Averaged stochastic gradient descent."""

from __future__ import annotations

from typing import Any

from .._engine import optim_step
from .settings import settings
from .vectors import Array, Function, evaluate, kept


def asgd(
    feval: Function, x: Array, config: dict[str, Any] | None = None, state: dict[str, Any] | None = None
) -> tuple[Array, list[float]]:
    """One step of averaged stochastic gradient descent, Torch7's ``optim.asgd``.

    Parameters
    ----------
    feval
        ``feval(x)`` gives the loss at x and its gradient there, an array like x.
    x
        The parameters, a contiguous array of float32 or float64; changed in place.
    config
        ``eta0`` (1e-4), ``lambda`` (1e-4), ``alpha`` (0.75), ``t0`` (1e6), the step after which averaging starts.
    state
        What is kept from step to step (``ax``, ``eta_t``, ``mu_t``, ``t``); config itself if it is left out, as in
        Torch7. ``state["ax"]`` is the average, which Torch7 returns as a third result.

    Returns
    -------
    x and a list of the one loss, met before the step.

    The step: x = (1 - lambda eta_t) x - eta_t gradient; ax = ax + mu_t (x - ax); and with t counting steps from 1,
    eta_t = eta0 / (1 + lambda eta0 t)^alpha and mu_t = 1 / max(1, t - t0) for the next one.
    Source: Polyak and Juditsky, Acceleration of stochastic approximation by averaging, 1992; Bottou's program `sgd`.

    Examples
    --------
    >>> import numpy as np, pynngraph as nn
    >>> x, state = np.array([4.0]), {}
    >>> for _ in range(200):
    ...     x, losses = nn.optim.asgd(lambda x: (float(x @ x), 2 * x), x, {"eta0": 0.1, "t0": 100}, state)
    >>> bool(abs(state["ax"][0]) < 0.01)
    True
    """
    config, state = settings(config, state)
    loss, gradient = evaluate(feval, x)
    eta0, decay = config.get("eta0", 1e-4), config.get("lambda", 1e-4)
    average, t = kept(x, state, "ax"), state.get("t", 0) + 1
    optim_step("asgd", x, (gradient, average), state.get("eta_t", eta0), decay, state.get("mu_t", 1))
    eta = eta0 / (1 + decay * eta0 * t) ** config.get("alpha", 0.75)
    state.update(ax=average, t=t, eta_t=eta, mu_t=1 / max(1, t - config.get("t0", 1e6)))
    return x, [loss]
