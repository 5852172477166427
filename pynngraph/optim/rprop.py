"""Rprop."""

from __future__ import annotations

from typing import Any

from .._engine import optim_step
from .settings import settings
from .vectors import Array, Function, evaluate, kept


def rprop(
    feval: Function, x: Array, config: dict[str, Any] | None = None, state: dict[str, Any] | None = None
) -> tuple[Array, list[float]]:
    """One step of Rprop, or ``niter`` of them, Torch7's ``optim.rprop``.

    Parameters
    ----------
    feval
        ``feval(x)`` gives the loss at x and its gradient there, an array like x: of all data, as signs count.
    x
        The parameters, a contiguous array of float32 or float64; changed in place.
    config
        ``stepsize`` (0.1), the first one, ``etaplus`` (1.2), ``etaminus`` (0.5), ``stepsizemax`` (50),
        ``stepsizemin`` (1e-6), ``niter`` (1).
    state
        What is kept from step to step (``delta``, ``stepsize``, arrays);
        config itself if it is left out, as in Torch7.

    Returns
    -------
    x and a list of losses, each met before a step.

    The step, for each parameter: its stepsize grows by etaplus where the gradient has the sign of the last one, and
    shrinks by etaminus where it has the other, in which case the gradient counts as 0; x = x - sign(gradient) stepsize.
    Source: Riedmiller and Braun, A direct adaptive method for faster backpropagation learning: the RPROP algorithm,
    1993.

    Examples
    --------
    >>> import numpy as np, pynngraph as nn
    >>> x, state = np.array([4.0]), {}
    >>> for _ in range(100):
    ...     x, losses = nn.optim.rprop(lambda x: (float(x @ x), 2 * x), x, {}, state)
    >>> bool(abs(x[0]) < 0.01)
    True
    """
    config, state = settings(config, state)
    losses = []
    for _ in range(config.get("niter", 1)):
        loss, gradient = evaluate(feval, x)
        if "delta" in state:
            delta, sizes = kept(x, state, "delta"), kept(x, state, "stepsize")
        else:  # `stepsize`, where config is state, is then the number that fills the array
            delta, sizes = kept(x, {}, "delta"), kept(x, {}, "stepsize", config.get("stepsize", 0.1))
        optim_step(
            "rprop",
            x,
            (gradient, delta, sizes),
            config.get("etaplus", 1.2),
            config.get("etaminus", 0.5),
            config.get("stepsizemin", 1e-6),
            config.get("stepsizemax", 50.0),
        )
        state.update(delta=delta, stepsize=sizes)
        losses.append(loss)
    return x, losses
