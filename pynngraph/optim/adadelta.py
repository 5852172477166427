"""Adadelta."""

from __future__ import annotations

from typing import Any

from .._engine import optim_step
from .settings import settings
from .vectors import Array, Function, evaluate, kept


def adadelta(
    feval: Function, x: Array, config: dict[str, Any] | None = None, state: dict[str, Any] | None = None
) -> tuple[Array, list[float]]:
    """One step of Adadelta, Torch7's ``optim.adadelta``.

    Parameters
    ----------
    feval
        ``feval(x)`` gives the loss at x and its gradient there, an array like x.
    x
        The parameters, a contiguous array of float32 or float64; changed in place.
    config
        ``rho`` (0.9), ``eps`` (1e-6), ``weightDecay`` (0; Torch7 knows none here).
    state
        What is kept from step to step (``paramVariance``, ``accDelta``, ``evalCounter``);
        config itself if it is left out, as in Torch7.

    Returns
    -------
    x and a list of the one loss, met before the step.

    The step: d = gradient + weightDecay x; paramVariance = rho paramVariance + (1 - rho) d²;
    delta = √(accDelta + eps) / √(paramVariance + eps) d; x = x - delta; accDelta = rho accDelta + (1 - rho) delta².
    Source: Zeiler, ADADELTA: an adaptive learning rate method, 2012.

    Examples
    --------
    >>> import numpy as np, pynngraph as nn
    >>> x, state = np.array([4.0]), {}
    >>> for _ in range(200):
    ...     x, losses = nn.optim.adadelta(lambda x: (float(x @ x), 2 * x), x, {"eps": 1e-2}, state)
    >>> bool(abs(x[0]) < 0.01)
    True
    """
    config, state = settings(config, state)
    loss, gradient = evaluate(feval, x)
    variance, delta = kept(x, state, "paramVariance"), kept(x, state, "accDelta")
    rho, eps = config.get("rho", 0.9), config.get("eps", 1e-6)
    optim_step("adadelta", x, (gradient, variance, delta), rho, eps, config.get("weightDecay", 0))
    state.update(paramVariance=variance, accDelta=delta, evalCounter=state.get("evalCounter", 0) + 1)
    return x, [loss]
