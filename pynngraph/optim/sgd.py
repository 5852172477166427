"""Stochastic gradient descent."""

from __future__ import annotations

from typing import Any

from .._engine import optim_step
from ..errors import StateError
from .settings import learning_rate, settings
from .vectors import Array, Function, evaluate, kept, like


def sgd(
    feval: Function, x: Array, config: dict[str, Any] | None = None, state: dict[str, Any] | None = None
) -> tuple[Array, list[float]]:
    """One step of stochastic gradient descent, Torch7's ``optim.sgd``.

    Parameters
    ----------
    feval
        ``feval(x)`` gives the loss at x and its gradient there, an array like x.
    x
        The parameters, a contiguous array of float32 or float64; changed in place.
    config
        ``learningRate`` (1e-3), ``learningRateDecay`` (0), ``weightDecay`` (0), ``weightDecays`` (None, or an array
        like x), ``momentum`` (0), ``dampening`` (momentum), ``nesterov`` (False), ``learningRates`` (None, or an array
        like x).
    state
        What is kept from step to step (``dfdx``, ``evalCounter``); config itself if it is left out, as in Torch7.

    Returns
    -------
    x and a list of the one loss, met before the step.

    The step: d = gradient + weightDecay x; with momentum v = momentum v + (1 - dampening) d (v = d at first), and d
    becomes v, or d + momentum v with Nesterov's; x = x - learningRate / (1 + n learningRateDecay) d, n counting steps.
    Source: Sutskever et al., On the importance of initialization and momentum in deep learning, 2013.

    Examples
    --------
    >>> import numpy as np, pynngraph as nn
    >>> x = np.array([4.0])
    >>> for _ in range(100):
    ...     x, losses = nn.optim.sgd(lambda x: (float(x @ x), 2 * x), x, {"learningRate": 0.1})
    >>> bool(abs(x[0]) < 1e-6)
    True
    """
    config, state = settings(config, state)
    weight_decay = config.get("weightDecay", 0)
    weight_decays = config.get("weightDecays")
    momentum = config.get("momentum", 0)
    dampening = config.get("dampening")
    if dampening is None:
        dampening = momentum
    nesterov = config.get("nesterov", False)
    rates = config.get("learningRates")
    if nesterov and (momentum <= 0 or dampening != 0):
        message = "Nesterov momentum needs a momentum above 0 and a dampening of 0"
        raise StateError(message)
    if weight_decay and weight_decays is not None:
        message = "give either weightDecay or weightDecays"
        raise StateError(message)

    loss, gradient = evaluate(feval, x)
    rates = None if rates is None else like(x, rates, "learningRates")
    weight_decays = None if weight_decays is None else like(x, weight_decays, "weightDecays")
    velocity = kept(x, state, "dfdx") if momentum else None
    if velocity is not None and state.get("dfdx") is None:
        dampening = 0  # the first velocity is the gradient
    count = state.get("evalCounter", 0)
    arrays = (gradient, velocity, rates, weight_decays)
    optim_step("sgd", x, arrays, learning_rate(config, count), weight_decay, momentum, dampening, nesterov)
    if velocity is not None:
        state["dfdx"] = velocity
    state["evalCounter"] = count + 1
    return x, [loss]
