"""What a step is told, and what it keeps, in dictionaries as in Torch7."""

from __future__ import annotations

from typing import Any


def settings(config: dict[str, Any] | None, state: dict[str, Any] | None) -> tuple[dict[str, Any], dict[str, Any]]:
    """The config, and the state, which is the config itself where it is left out."""
    config = {} if config is None else config
    return config, config if state is None else state


def learning_rate(config: dict[str, Any], count: int, default: float = 1e-3) -> float:
    """``learningRate`` after `count` steps: divided by 1 + count ``learningRateDecay`` (0)."""
    rate: float = config.get("learningRate", default) / (1 + count * config.get("learningRateDecay", 0))
    return rate
