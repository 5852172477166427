"""Training that goes on where it was interrupted, to the bit."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, NamedTuple

from .. import random
from ..errors import FileFormatError
from ..nn.module import Module
from .files import load, save

if TYPE_CHECKING:
    from collections.abc import Mapping

_KEYS = {"model", "config", "state", "progress", "random"}


class Checkpoint(NamedTuple):
    """What :func:`load_checkpoint` gives: what :func:`save_checkpoint` was given."""

    model: Module
    config: dict[str, Any]
    state: dict[str, Any]
    progress: dict[str, Any]


def save_checkpoint(
    path: str | os.PathLike[str],
    model: Module,
    config: dict[str, Any] | None = None,
    state: dict[str, Any] | None = None,
    progress: dict[str, Any] | None = None,
) -> None:
    """Save a model in training, with all that the next step depends on.

    Parameters
    ----------
    path
        A file that ends in ``.safetensors``. The last checkpoint stays whole until this one is.
    model
        The model.
    config, state
        What the optimiser is told and what it keeps: the dicts given to :mod:`pynngraph.optim`'s methods.
    progress
        Whatever else is to be known: the epoch, losses, the order of the data.

    The random numbers that will be drawn next are saved too. Gradients are not.

    Examples
    --------
    >>> import tempfile, numpy as np, pynngraph as nn
    >>> net = nn.Sequential(nn.Linear(2, 1), nn.Dropout(0.5))
    >>> criterion, x, target = nn.MSECriterion(), np.ones((4, 2)), np.zeros((4, 1))
    >>> def step(net, state):
    ...     flat, gradient = net.getParameters()
    ...     def feval(_):
    ...         net.zeroGradParameters()
    ...         loss = criterion.forward(net.forward(x), target)
    ...         net.backward(x, criterion.backward(net.output, target))
    ...         return loss, gradient
    ...     return nn.optim.adam(feval, flat, {}, state)[1]
    >>> state = {}
    >>> losses = step(net, state)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     nn.save_checkpoint(f"{folder}/last.safetensors", net, state=state, progress={"step": 1})
    ...     expected = step(net, state)
    ...     last = nn.load_checkpoint(f"{folder}/last.safetensors")
    >>> step(last.model, last.state) == expected, last.progress
    (True, {'step': 1})
    """
    if os.path.splitext(path)[1].lower() != ".safetensors":  # noqa: PTH122 - pathlib is slow to import
        raise ValueError(f"a checkpoint is saved as .safetensors, got {os.fspath(path)!r}")
    # Torch7 lets one dict be both.
    both = {"config": config or {}, "state": None if state is config else state or {}}
    save(path, {"model": model, **both, "progress": progress or {}, "random": random.get_state()})


def load_checkpoint(path: str | os.PathLike[str], classes: Mapping[str, type[Module]] | None = None) -> Checkpoint:
    """What :func:`save_checkpoint` saved; random numbers go on from there too.

    Parameters
    ----------
    path
        The file.
    classes
        As in :func:`load`.

    Raises
    ------
    FileFormatError
        If the file is damaged, or no checkpoint.
    """
    value = load(path, classes)
    if not isinstance(value, dict) or set(value) != _KEYS or not isinstance(value["model"], Module):
        raise FileFormatError(f"{os.fspath(path)}: no checkpoint")
    config = value["config"]
    state = config if value["state"] is None else value["state"]
    if not all(isinstance(part, dict) for part in (config, state, value["progress"])):
        raise FileFormatError(f"{os.fspath(path)}: no checkpoint")
    try:
        random.set_state(value["random"])
    except (TypeError, ValueError, KeyError, OverflowError) as error:
        raise FileFormatError(f"{os.fspath(path)}: no state of random numbers: {error}") from None
    return Checkpoint(value["model"], config, state, value["progress"])
