"""Nesterov's accelerated gradient."""

from __future__ import annotations

from typing import Any

from .._engine import optim_step
from ..errors import StateError
from .settings import learning_rate, settings
from .vectors import Array, Function, add, check_parameters, evaluate, kept, like


def nag(
    feval: Function, x: Array, config: dict[str, Any] | None = None, state: dict[str, Any] | None = None
) -> tuple[Array, list[float]]:
    """One step of Nesterov's accelerated gradient, Torch7's ``optim.nag``.

    Parameters
    ----------
    feval
        ``feval(x)`` gives the loss at x and its gradient there, an array like x. It is called where the last velocity
        leads to; if it fails, x is what it was.
    x
        The parameters, a contiguous array of float32 or float64; changed in place.
    config
        ``learningRate`` (1e-3), ``learningRateDecay`` (0), ``weightDecay`` (0), ``momentum`` (0.9), ``learningRates``
        (None, or an array like x).
    state
        What is kept from step to step (``dfdx``, ``x_copy``, ``evalCounter``);
        config itself if it is left out, as in Torch7.

    Returns
    -------
    x and a list of the one loss, met before the step.

    The step: y = x + momentum dfdx; d = gradient at y + weightDecay y; dfdx = momentum dfdx - learningRate / (1 + n
    learningRateDecay) d, n counting steps; x = x + dfdx.
    Source: Sutskever et al., On the importance of initialization and momentum in deep learning, 2013.

    Examples
    --------
    >>> import numpy as np, pynngraph as nn
    >>> x, state = np.array([4.0]), {}
    >>> for _ in range(100):
    ...     x, losses = nn.optim.nag(lambda x: (float(x @ x), 2 * x), x, {"learningRate": 0.1}, state)
    >>> bool(abs(x[0]) < 0.01)
    True
    """
    config, state = settings(config, state)
    momentum, rates = config.get("momentum", 0.9), config.get("learningRates")
    if momentum <= 0:
        message = f"the momentum of nag must be above 0, got {momentum}"
        raise StateError(message)
    check_parameters(x)
    rates = None if rates is None else like(x, rates, "learningRates")
    velocity, start, count = kept(x, state, "dfdx"), kept(x, state, "x_copy"), state.get("evalCounter", 0)
    start[...] = x
    try:
        add(x, momentum, velocity)
        loss, gradient = evaluate(feval, x)
    except BaseException:
        x[...] = start
        raise
    rate = learning_rate(config, count)
    optim_step("nag", x, (gradient, velocity, start, rates), rate, config.get("weightDecay", 0), momentum)
    state.update(dfdx=velocity, x_copy=start, evalCounter=count + 1)
    return x, [loss]
