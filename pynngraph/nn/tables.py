"""Tables of connections for :class:`~pynngraph.SpatialConvolutionMap`: pairs (from, to) of planes, counted from 0."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import random as _random
from ..errors import ShapeError


def full(nin: int, nout: int) -> np.ndarray[Any, Any]:
    """All planes to all.

    >>> full(2, 2).tolist()
    [[0, 0], [1, 0], [0, 1], [1, 1]]
    """
    to, by = np.divmod(np.arange(nin * nout), nin)
    return np.stack([by, to], 1)


def oneToOne(nfeat: int) -> np.ndarray[Any, Any]:
    """Each plane to the one of its number.

    >>> oneToOne(2).tolist()
    [[0, 0], [1, 1]]
    """
    return np.stack([np.arange(nfeat)] * 2, 1)


def random(nin: int, nout: int, nto: int) -> np.ndarray[Any, Any]:
    """To each plane `nto` different ones; all planes are drawn from in turn before one is drawn again.

    >>> table = random(4, 2, 2)
    >>> table[:, 1].tolist(), sorted(table[:, 0].tolist())
    ([0, 0, 1, 1], [0, 1, 2, 3])
    """
    if not 1 <= nto <= nin:
        message = f"tables.random needs nto from 1 to nin = {nin}, got {nto}"
        raise ShapeError(message)
    rounds = -(-nout // (nin // nto))
    drawn = [np.argsort(_random.uniform(0, 1, (nin,)))[: nin // nto * nto] for _ in range(rounds)]
    return np.stack([np.concatenate(drawn)[: nout * nto], np.repeat(np.arange(nout), nto)], 1)
