"""Optimisers, called as in Torch7: ``x, losses = optim.sgd(feval, x, config, state)``; and what goes with training."""

from .adadelta import adadelta
from .adagrad import adagrad
from .adam import adam
from .adamax import adamax
from .asgd import asgd
from .cg import cg
from .clip import clip_by_norm, clip_by_value
from .confusion import ConfusionMatrix
from .lbfgs import lbfgs
from .linesearch import lswolfe
from .logger import Logger
from .nag import nag
from .rmsprop import rmsprop
from .rprop import rprop
from .schedule import cosine_decay, exponential_decay, linear_decay, step_decay, warmup
from .sgd import sgd

__all__ = [
    "ConfusionMatrix",
    "Logger",
    "adadelta",
    "adagrad",
    "adam",
    "adamax",
    "asgd",
    "cg",
    "clip_by_norm",
    "clip_by_value",
    "cosine_decay",
    "exponential_decay",
    "lbfgs",
    "linear_decay",
    "lswolfe",
    "nag",
    "rmsprop",
    "rprop",
    "sgd",
    "step_decay",
    "warmup",
]
