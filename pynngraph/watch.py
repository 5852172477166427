"""Watching a run: what each module inside of another took and gave.

A watched module is lowered between two host steps that pass its arrays on and show them to an
:class:`Evaluation`. So there is one way to run, watched or not; what is not watched costs nothing.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from . import tree
from ._engine import Array, Shape
from .errors import DataError, Error, NotKeptError

if TYPE_CHECKING:
    from .graph.node import Hook
    from .nn.host import HostResults
    from .nn.lowering import Site


class Changes:
    """Counts changes to any module that programs may depend on, and to what is watched of it."""

    count = 0


class Debug:
    """Whether :func:`pynngraph.setDebug` is on, and where drawings go."""

    is_on = False
    folder = "."
    explain: Callable[..., None]  # says more of an error; set when it is switched on first


class Evaluation:
    """One evaluation of a module: its arrays in the last call, as read-only copies."""

    __slots__ = ("_for_debug", "_hosts", "_verbose", "call", "gradInput", "gradOutput", "input", "output", "site")

    def __init__(self, site: Site, hosts: HostResults, *, verbose: bool, for_debug: bool) -> None:
        self.site = site
        self.call: Any = None  # the call that it is of
        self._verbose = verbose
        self._hosts = hosts
        self._for_debug = for_debug  # only: void when debugging ends
        self.input: Any = None
        self.output: Any = None
        self.gradOutput: Any = None
        self.gradInput: Any = None

    @property
    def is_wanted(self) -> bool:
        """Whether results are kept still."""
        return Debug.is_on or not self._for_debug

    @property
    def is_of_last_call(self) -> bool:
        """Whether the last run came to it."""
        return self.call is self._hosts.call

    def forget(self) -> None:
        """Drop the arrays."""
        self.call = self.input = self.output = None
        self.forget_gradients()

    def forget_gradients(self) -> None:
        """Another backward begins."""
        self.gradOutput = self.gradInput = None

    # ---- what the host steps tell --------------------------------------------------------------

    def enter(self, input: Any) -> None:
        """The module gets its input."""
        self.forget()
        self.call = self._hosts.call
        self.input = input
        self.site.show(self)

    def leave(self, output: Any) -> None:
        """The module gave its output."""
        self.output = output
        if self._hosts.is_quiet:
            return
        self._check(output, self.input, "output", "input")
        # A run may begin again when a module written in Python gives another shape than before.
        if self.site.number in self._hosts.shown:
            return
        self._hosts.shown.add(self.site.number)
        if self._verbose:
            self._print("", output)
        if self.site.node is not None:
            self._call(self.site.node.forward_hooks, self.input, output)

    def enter_backward(self, grad_output: Any) -> None:
        """The gradient of the output has come."""
        self.gradOutput = grad_output

    def leave_backward(self, grad_input: Any) -> None:
        """The gradient of the input is there."""
        self.gradInput = grad_input
        self._check(grad_input, self.gradOutput, "gradInput", "gradOutput")
        if self._verbose:
            self._print("backward of ", grad_input)
        if self.site.node is not None:
            self._call(self.site.node.backward_hooks, grad_input, self.gradOutput)

    def _call(self, hooks: tuple[Hook, ...], first: Any, second: Any) -> None:
        try:
            for hook in hooks:
                hook.function(self.site.node, first, second)
        except Exception as error:
            self._hosts.note(error, self.site)
            raise

    def finish_backward(self, dtype: Any) -> None:
        """A backward is over: where no gradient came, it is zero."""
        if self.output is not None and self.gradOutput is None:
            self.gradOutput = tree.map_leaves(lambda leaf: np.zeros(leaf.shape, dtype), self.output)
        if self.input is not None and self.gradInput is None:
            self.gradInput = tree.map_leaves(lambda leaf: np.zeros(leaf.shape, dtype), self.input)

    def _print(self, what: str, table: Any) -> None:
        from .text import shapes_of  # noqa: PLC0415 - seldom needed

        sys.stdout.write(f" V : {what}{self.site.describe()}: {shapes_of(table)}\n")

    def _check(self, after: Any, before: Any, after_name: str, before_name: str) -> None:
        """While debugging, NaN and inf are errors where they first come up."""
        if not Debug.is_on or _is_finite(after):
            return
        name, table = (after_name, after) if _is_finite(before) else (before_name, before)
        what = " and ".join(word for word, test in (("NaN", np.isnan), ("inf", np.isinf)) if _has(test, table))
        error = DataError(f"{self.site.describe()}: the {name} has {what}")
        note_site(error, self.site)
        raise error


class Tap:
    """A host step that gives its inputs again and shows them; indices it only shows."""

    has_parameters = False

    def __init__(
        self,
        structure: tree.Structure,
        is_index: list[bool],
        dtype: Any,
        forward: Callable[[Any], None],
        backward: Callable[[Any], None],
    ) -> None:
        self._structure = structure
        self._is_index = is_index
        self._dtype = dtype
        self._shapes: list[Shape] = []
        self._forward = forward
        self._backward = backward

    def infer(self, shapes: list[Shape]) -> list[Shape]:
        """Those of the inputs."""
        return [shape for shape, is_index in zip(shapes, self._is_index, strict=True) if not is_index]

    def forward(self, inputs: list[Array]) -> list[Array]:
        """The inputs."""
        self._shapes = [array.shape for array in inputs]
        for array in inputs:
            array.flags.writeable = False
        self._forward(tree.rebuild(self._structure, inputs))
        return [array for array, is_index in zip(inputs, self._is_index, strict=True) if not is_index]

    def backward(self, grad_outputs: list[Array], _scale: float, _mask: int) -> list[Array | None]:
        """The gradients; zeros stand for those of indices."""
        grads = iter(grad_outputs)
        results: list[Array | None] = [None if is_index else next(grads) for is_index in self._is_index]
        shown = [
            np.zeros(shape, self._dtype) if grad is None else grad
            for grad, shape in zip(results, self._shapes, strict=True)
        ]
        for grad in shown:
            grad.flags.writeable = False
        self._backward(tree.rebuild(self._structure, shown))
        return results


def _is_finite(table: Any) -> bool:
    leaves, _ = tree.flatten(table)
    return all(leaf.dtype.kind != "f" or bool(np.isfinite(leaf).all()) for leaf in leaves)


def _has(test: Callable[[Any], Any], table: Any) -> bool:
    leaves, _ = tree.flatten(table)
    return any(leaf.dtype.kind == "f" and bool(test(leaf).any()) for leaf in leaves)


def kept(evaluation: Evaluation | None, what: str, label: str) -> Any:
    """`what` of an evaluation that was kept; else an error that says how to get it."""
    if evaluation is None or not evaluation.is_wanted:
        message = (
            f"the {what} of {label} was not kept: after nn.setDebug(True), or keep(True) of what is run, the next "
            "forward keeps results inside of a graph or container"
        )
        raise NotKeptError(message)
    value = getattr(evaluation, what) if evaluation.is_of_last_call else None
    if value is None:
        message = f"there is no {what} of {label} yet: the last run did not come so far"
        raise NotKeptError(message)
    return value


def note_site(error: Error, site: Site) -> None:
    """Note where an error of this package came up, if that is not known yet, and say it if the message does not."""
    if error.site is not None:
        return
    error.site = site
    error.node = node = site.nearest_node()
    if node is not None and str(node.place) not in str(error):
        error.args = (f"{error} ({site.describe()})",)
