"""Optimisers, called as in Torch7: ``x, losses = optim.sgd(feval, x, config, state)``."""

from .sgd import sgd

__all__ = ["sgd"]
