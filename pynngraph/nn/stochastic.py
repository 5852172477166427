"""Training by one example after the other."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from .. import random
from ..errors import DataError, StateError
from .module import check_module

if TYPE_CHECKING:
    from .criterion import Criterion
    from .module import Module


class StochasticGradient:
    """Train a module on a criterion, example by example, Torch7's ``nn.StochasticGradient``.

    Parameters
    ----------
    module
        What is trained.
    criterion
        What is made small.

    Attributes
    ----------
    learningRate, learningRateDecay
        0.01 and 0: the rate is learningRate / (1 + n learningRateDecay) in iteration n, from the second one on.
    maxIteration
        25; 0 or less for no end but Ctrl-C.
    shuffleIndices
        True to take examples in another order in each iteration, False for theirs.
    hookExample, hookIteration
        None, or functions: ``hookExample(trainer, example)`` is called after each example, ``hookIteration(trainer,
        iteration, error)`` after each iteration; iterations count from 1.
    verbose
        True to print what is done.
    progress
        True for a progress bar of examples, which needs tqdm (extra ``train``); None for one where tqdm is installed
        and errors go to a terminal.

    Ctrl-C ends the training after the example under way, so that the module is that of a whole number of steps; a
    second one at once.

    Examples
    --------
    >>> import numpy as np, pynngraph as nn
    >>> nn.manualSeed(1)
    >>> examples = [(np.array([k]), np.array([2 * k + 1])) for k in np.linspace(-1, 1, 9)]
    >>> net = nn.Linear(1, 1)
    >>> trainer = nn.StochasticGradient(net, nn.MSECriterion())
    >>> trainer.learningRate, trainer.maxIteration, trainer.verbose = 0.1, 50, False
    >>> losses = trainer.train(examples)
    >>> net.weight.round(3), net.bias.round(3)
    (array([[2.]]), array([1.]))
    """

    def __init__(self, module: Module, criterion: Criterion) -> None:
        self.module = check_module(module, "StochasticGradient")
        self.criterion: Any = check_module(criterion, "StochasticGradient")
        self.learningRate = 0.01
        self.learningRateDecay = 0.0
        self.maxIteration = 25
        self.shuffleIndices = True
        self.hookExample: Callable[[StochasticGradient, Any], object] | None = None
        self.hookIteration: Callable[[StochasticGradient, int, float], object] | None = None
        self.verbose = True
        self.progress: bool | None = None

    def train(self, dataset: Any) -> list[float]:
        """Train until ``maxIteration`` or Ctrl-C.

        Parameters
        ----------
        dataset
            Pairs of input and target: a list, or what has a length and gives a pair for each index from 0.

        Returns
        -------
        The mean error of each iteration that was done to the end. Gradients are then those of the last example.
        """
        size = len(dataset)
        if not size:
            message = "StochasticGradient got no examples"
            raise DataError(message)
        errors: list[float] = []
        rate = self.learningRate
        self._say("# StochasticGradient: training")
        with _interrupts() as interrupted:
            while True:
                iteration = len(errors) + 1
                total = 0.0
                for index in self._bar(self._order(size), size, iteration):
                    example = dataset[index]
                    total += self._step(example, rate)
                    if self.hookExample is not None:
                        self.hookExample(self, example)
                    if interrupted:
                        self._say(f"# StochasticGradient: interrupted in iteration {iteration}")
                        return errors
                errors.append(total / size)
                if self.hookIteration is not None:
                    self.hookIteration(self, iteration, errors[-1])
                self._say(f"# current error = {errors[-1]:.14g}")
                if 0 < self.maxIteration <= iteration:
                    self._say("# StochasticGradient: you have reached the maximum number of iterations")
                    self._say(f"# training error = {errors[-1]:.14g}")
                    return errors
                # Torch7's numbers: the first iteration has no decay, the second one two.
                rate = self.learningRate / (1 + (iteration + 1) * self.learningRateDecay)

    def _step(self, example: Any, rate: float) -> float:
        """Learn from an example; its error before that."""
        input, target = example
        output = self.module.forward(input)
        error: float = self.criterion.forward(output, target)
        self.module.zeroGradParameters()
        self.module.backward(input, self.criterion.backward(output, target), gradInput=False)
        self.module.updateParameters(rate)
        return error

    def _order(self, size: int) -> Iterable[int]:
        return random.permutation(size) if self.shuffleIndices else range(size)

    def _bar(self, indices: Iterable[int], size: int, iteration: int) -> Iterable[int]:
        """The indices, behind a progress bar if there is to be one."""
        has_tqdm = find_spec("tqdm") is not None
        if not has_tqdm and self.progress:
            message = "a progress bar needs tqdm: pip install pynngraph[train], or set progress to False"
            raise StateError(message)
        if not (has_tqdm and sys.stderr.isatty() if self.progress is None else self.progress):
            return indices
        from tqdm import tqdm  # noqa: PLC0415 - an extra

        bar: Iterable[int] = tqdm(indices, f"iteration {iteration}", size, leave=False, unit="example")
        return bar

    def _say(self, text: str) -> None:
        if self.verbose:
            print(text)  # noqa: T201 - asked for


@contextmanager
def _interrupts() -> Iterator[list[int]]:
    """A list that Ctrl-C adds to; a second one raises KeyboardInterrupt, as the first one does in other threads.

    A handler that is not Python's own stays in charge.
    """
    seen: list[int] = []

    def note(number: int, frame: Any) -> None:
        if seen:
            signal.default_int_handler(number, frame)
        seen.append(number)

    if signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield seen
        return
    try:
        signal.signal(signal.SIGINT, note)
    except ValueError:  # only the main thread gets signals
        yield seen
        return
    try:
        yield seen
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)


__all__ = ["StochasticGradient"]
