"""The one source of random choices: initial weights, dropout, noise.

Also the numbers that engine runs draw from: each run of a plan with noise gets a seed from here.
"""

from __future__ import annotations

import math
from _thread import allocate_lock  # threading takes a millisecond to import
from typing import Any

import numpy as np

_SEEDS = 2**64

_lock = allocate_lock()
_state: dict[str, Any] = {}


def _generator() -> Any:
    """The generator; made when it is first needed, because importing it takes long."""
    if "generator" not in _state:
        _state["generator"] = np.random.default_rng()
    return _state["generator"]


def manualSeed(seed: int) -> None:  # noqa: N802 - Torch's name
    """Fix every random choice from here on.

    Parameters
    ----------
    seed
        A whole number that is not negative.

    Examples
    --------
    >>> import pynngraph as nn
    >>> nn.manualSeed(1)
    >>> first = nn.Linear(2, 2).weight
    >>> nn.manualSeed(1)
    >>> bool((nn.Linear(2, 2).weight == first).all())
    True
    """
    with _lock:
        _state["generator"] = np.random.default_rng(seed)
        _state["seed"] = None


def get_state() -> Any:
    """What :func:`set_state` goes back to."""
    with _lock:
        return _generator().bit_generator.state, _state.get("seed")


def set_state(state: Any) -> None:
    """Go on from where :func:`get_state` was called."""
    with _lock:
        _generator().bit_generator.state, _state["seed"] = state


def uniform(low: float, high: float, shape: tuple[int, ...]) -> np.ndarray[Any, Any]:
    """Numbers drawn evenly from [low, high), float64."""
    with _lock:
        numbers: np.ndarray[Any, Any] = _generator().uniform(low, high, shape)
        return numbers


def normal(mean: float, stdv: float, shape: tuple[int, ...]) -> np.ndarray[Any, Any]:
    """Numbers drawn from a normal distribution, float64."""
    with _lock:
        numbers: np.ndarray[Any, Any] = _generator().normal(mean, stdv, shape)
        return numbers


def permutation(size: int) -> list[int]:
    """The whole numbers below `size`, in any order."""
    with _lock:
        numbers: list[int] = _generator().permutation(size).tolist()
        return numbers


def draw_parameter(array: np.ndarray[Any, Any], n: int, stdv: float | None) -> None:
    """Draw a parameter evenly from ±stdv sqrt(3), or from ±1/sqrt(n) without stdv, as Torch7 does."""
    limit = 1 / math.sqrt(n) if stdv is None else stdv * math.sqrt(3)
    array[...] = uniform(-limit, limit, array.shape)


def next_seed() -> int:
    """A seed of 64 bits for one run of a plan: they count on from a random number."""
    with _lock:
        seed = _state.get("seed")
        if seed is None:
            seed = int(_generator().integers(0, _SEEDS, dtype=np.uint64))
        _state["seed"] = (seed + 1) % _SEEDS
        return seed
