"""Modules written in Python, as steps of a program.

Such a module says what it gives only by giving it. So the first time, the program up to it is run, the
module is asked with the real arrays, and lowering goes on with the shapes of its answer. Each call of the user's
code happens once a forward: answers that came while finding out are kept for the run that needs them.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import numpy as np

from .. import tree
from .._engine import GRAD_PARAMS, Array, Shape, Value
from ..errors import DTypeError, Error, ShapeError, StateError
from ..watch import note_site

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .lowering import Builder, Site
    from .module import Module

StepKey: TypeAlias = tuple["Module", int, tree.Structure]

MAX_RESULTS = 1024  # of one module, before all are asked for again


class Result(NamedTuple):
    """What a step gives: how it is nested, and the sizes."""

    structure: tree.Structure
    shapes: tuple[Shape, ...]


class Answer(NamedTuple):
    """What a module gave in the call under way."""

    structure: tree.Structure
    leaves: list[Array]
    native: Any  # the forward of the module's own lowering that it made for this


class HostNeeded(Exception):
    """Lowering came to a step whose result is not known: run the program so far, then ask it."""

    def __init__(self, builder: Builder, step: HostStep, inputs: list[Value]) -> None:
        super().__init__()
        self.builder = builder
        self.step = step
        self.inputs = inputs


class HostChanged(Exception):
    """A step gave another result than the plan was made for."""


class HostResults:
    """What is known of the steps of one module's programs, and answers of the call under way."""

    def __init__(self) -> None:
        self._known: dict[tuple[StepKey, tuple[Shape, ...]], Result] = {}
        self.answers: dict[StepKey, Answer] = {}
        self.shown: set[Any] = set()  # the sites, and parts of them, that were shown in this call
        self.call = object()  # another one for each call
        self.is_quiet = False  # whether a run is only to see something: no hook is called
        self._failure: tuple[BaseException, Site] | None = None

    def known(self, step: HostStep, shapes: tuple[Shape, ...]) -> Result | None:
        """The result of a step for inputs of these shapes, as far as it was seen."""
        return self._known.get((step.key, shapes))

    def learn(self, step: HostStep, shapes: tuple[Shape, ...], result: Result) -> None:
        """Keep what a step gave for inputs of these shapes."""
        if len(self._known) >= MAX_RESULTS:
            self._known.clear()
        self._known[step.key, shapes] = result

    def begin_call(self) -> None:
        """Another forward begins."""
        self.end_call()
        self.call = object()

    def end_call(self) -> None:
        """Forget what belongs to the call under way."""
        self.answers.clear()
        self.shown.clear()
        self._failure = None

    @contextmanager
    def set_aside(self) -> Iterator[None]:
        """A run beside the call under way, whose answers are not for it, and which nobody is to notice."""
        before = self.answers, self.shown, self.is_quiet
        self.answers, self.shown, self.is_quiet = {}, set(), True
        try:
            yield
        finally:
            self.answers, self.shown, self.is_quiet = before

    def note(self, error: Exception, site: Site | None) -> None:
        """Note where an exception came up, if that is not known yet. Only errors of ours carry it themselves."""
        if site is None or self.site_of(error) is not None:
            return
        if isinstance(error, Error):
            note_site(error, site)
        else:
            self._failure = error, site

    def site_of(self, error: Exception) -> Site | None:
        """Where an exception of this call came up."""
        if isinstance(error, Error):
            site: Site | None = error.site
            return site
        return self._failure[1] if self._failure is not None and self._failure[0] is error else None

    def clear(self) -> None:
        """Forget all."""
        self._known.clear()
        self.end_call()


class HostStep:
    """One use of a module written in Python."""

    def __init__(
        self, module: Module, use: int, structure: tree.Structure, results: HostResults, site: Site | None
    ) -> None:
        self.module = module
        self.site = site
        self.structure = structure
        self.output_structure: tree.Structure = tree.LEAF
        self.key: StepKey = (module, use, structure)
        self._results = results
        self._inputs: list[Array] = []
        self._native: Any = None  # the forward of the module's own lowering that this use made

    @property
    def has_parameters(self) -> bool:
        """Whether the module may have gradients of parameters to add to."""
        return self.module.may_accumulate()

    # ---- the engine's side ---------------------------------------------------------------------

    def infer(self, shapes: list[Shape]) -> list[Shape]:
        """Shapes of the outputs."""
        result = self._results.known(self, tuple(shapes))
        if result is None or result.structure != self.output_structure:
            raise HostChanged
        return list(result.shapes)

    def forward(self, inputs: list[Array]) -> list[Array]:
        """The module's answer; once a call, however often the program is run to find out shapes."""
        shapes = tuple(array.shape for array in inputs)
        expected = self._results.known(self, shapes)
        result, leaves = self.ask(inputs)
        if result != expected or result.structure != self.output_structure:
            self._results.learn(self, shapes, result)
            raise HostChanged
        return leaves

    def ask(self, inputs: list[Array]) -> tuple[Result, list[Array]]:
        """Let the module answer, if it has not in this call."""
        answers = self._results.answers
        self._inputs = inputs
        if self.key not in answers:
            try:
                output = self.module.host_forward(tree.rebuild(self.structure, inputs))
                leaves, structure = tree.flatten(output)
                checked = [self._checked(leaf) for leaf in leaves]
            except Exception as error:
                self._results.note(error, self.site)
                raise
            answers[self.key] = Answer(structure, checked, self.module.native_call())
        structure, leaves, self._native = answers[self.key]
        return Result(structure, tuple(leaf.shape for leaf in leaves)), leaves

    def backward(self, grad_outputs: list[Array], scale: float, mask: int) -> list[Array | None]:
        """Gradients of the inputs of the last forward."""
        try:
            return self._gradients(grad_outputs, scale, mask)
        except Exception as error:
            self._results.note(error, self.site)
            raise

    def _gradients(self, grad_outputs: list[Array], scale: float, mask: int) -> list[Array | None]:
        # Where the module is used more than once, its own lowering has gone on to another input since.
        self.module.native_replay(self._native)
        input = tree.rebuild(self.structure, self._inputs)
        grad_output = tree.rebuild(self.output_structure, grad_outputs)
        grad_input = self.module.host_backward(input, grad_output, scale, accumulate=bool(mask & GRAD_PARAMS))
        if grad_input is None:
            return [None] * len(self._inputs)
        leaves = tree.check_structure(self.structure, grad_input, self._grad_name)
        for leaf, array in zip(leaves, self._inputs, strict=True):
            if leaf is not None and np.shape(leaf) != array.shape:
                message = f"{self._grad_name()} has shape {np.shape(leaf)}, its input has {array.shape}"
                raise ShapeError(message)
        return leaves

    def _grad_name(self) -> str:
        return f"the gradInput of {self.module.label()}"

    def _checked(self, leaf: Any) -> Array:
        if leaf is None:
            message = f"updateOutput of {self.module.label()} gave None"
            raise StateError(message)
        array = np.asarray(leaf)
        if array.dtype.kind != "f":
            message = f"updateOutput of {self.module.label()} gave {array.dtype}, not an array of reals"
            raise DTypeError(message)
        return np.array(array, copy=True)  # the module may write to it again
