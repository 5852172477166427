"""Optimisers, called as in Torch7: ``x, losses = optim.sgd(feval, x, config, state)``."""

from .adagrad import adagrad
from .adam import adam
from .rmsprop import rmsprop
from .sgd import sgd

__all__ = ["adagrad", "adam", "rmsprop", "sgd"]
