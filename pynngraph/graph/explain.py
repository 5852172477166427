"""What a module's plan is: its steps, what was fused and why not, what they move and take, what memory is for."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, NamedTuple

from ..errors import DataError
from ..nn.module import check_module, number
from ..text import Column, bytes_text, fit, lines_of
from .profile import MOST_SECONDS, label_of, measured

if TYPE_CHECKING:
    from typing import TextIO

    from .._engine import ArenaParts
    from ..nn.execution import Lowered
    from .profile import Measured


WIDTH = 160  # columns of the table
PARTS = ("kept for the backward", "within the forward", "within the backward", "of these, work space")


class ExplainedStep(NamedTuple):
    """A step of a plan."""

    backward: bool
    """Whether it is a step of the backward."""
    nodes: tuple[str, ...]
    """The nodes or modules that it is for; more than one where it is fused, none for copies that are for no module."""
    text: str
    """What the engine does, at which sizes, and how."""
    bytes: int
    """Of the arrays, and parts of arrays, that it reads and writes, each once."""
    multiply_adds: int
    """Of a matrix product; else 0."""
    predicted: float
    """Seconds of one thread, as the planner guesses them where threads might pay; else 0."""
    measured: float
    """Seconds; 0 where it was not run."""
    unfused: str
    """Why a function is not the end of the product before it; or nothing."""


class Explanation:
    """What :func:`explain` found.

    Attributes
    ----------
    steps
        An :class:`ExplainedStep` for each step, the forward's first.
    memory
        Bytes of the arena, ``arena``, and of its parts: ``kept`` from forward to backward, within the ``forward`` or
        the ``backward`` only, and of these ``work`` space of single steps. Parts that are not in use at the same time
        lie in the same place.
    forward, backward
        Seconds of a whole call from Python; 0 where none was made.
    """

    def __init__(self, label: str, times: Measured) -> None:
        self.label = label
        self.steps = [step for back in (False, True) for step in _steps(times, backward=back)]
        self.memory: ArenaParts = times.plan.arena_parts()
        self.forward = times.whole[0]
        self.backward = sum(times.whole[1:])

    def __str__(self) -> str:
        places = _places(self.steps)
        columns = [
            Column("step", places),
            Column("for", [" + ".join(step.nodes) or "-" for step in self.steps], is_flexible=True),
            Column("does", [step.text for step in self.steps], is_flexible=True),
            Column("moves", [bytes_text(step.bytes) for step in self.steps], is_number=True),
            Column("multiply-adds", [_count(step.multiply_adds) for step in self.steps], is_number=True),
            Column("guess µs", [_microseconds(step.predicted) for step in self.steps], is_number=True),
            Column("µs", [_microseconds(step.measured) for step in self.steps], is_number=True),
        ]
        fit(columns, WIDTH)
        lines = lines_of(columns)
        rule = "-" * max(map(len, lines))
        memory = self.memory
        parts = (f"{what} {bytes_text(size)}" for what, size in zip(PARTS, memory[1:], strict=True))
        backward = f"{_microseconds(self.backward)} µs" if self.backward else "not run"
        notes = [
            f"{self.label}: f, forward, {_microseconds(self.forward)} µs a call; b, backward, {backward}",
            f"arena: {bytes_text(memory.arena)}, of {', '.join(parts)}; what is not in use at the same time shares",
        ]
        reasons: dict[str, list[str]] = {}
        for place, step in zip(places, self.steps, strict=True):
            if step.unfused:
                reasons.setdefault(step.unfused, []).append(place)
        notes += [f"not fused: {', '.join(which)}: {reason}" for reason, which in reasons.items()]
        return "\n".join([lines[0], rule, *lines[1:], rule, *notes])

    def __repr__(self) -> str:
        return f"<Explanation of {self.label}: {len(self.steps)} steps, arena of {bytes_text(self.memory.arena)}>"


def explain(
    module: Any, input: Any, gradOutput: Any = None, *, seconds: float = 0.1, file: TextIO | None = None
) -> Explanation:
    """Print the plan that a module has for an input: its steps, why they are as they are, and what they cost.

    The module is run as by :func:`profile`: nothing that a user could see of it has changed afterwards. Where
    :func:`profile` tells the time of nodes, this tells what the engine does for them.

    Parameters
    ----------
    module
        A graph, a container or any module.
    input
        What to plan for, and run forward.
    gradOutput
        What to run backward; without it the steps of the backward are listed, but not timed.
    seconds
        About how long to measure.
    file
        Where to print; standard output without it.

    Returns
    -------
    An :class:`Explanation`, with the numbers.

    Examples
    --------
    >>> import io, numpy as np, pynngraph as nn
    >>> net = nn.Sequential(nn.Linear(3, 5), nn.Tanh())
    >>> plan = nn.explain(net, np.zeros((2, 3)), seconds=0.01, file=io.StringIO())
    >>> plan.steps[0].nodes, plan.steps[0].multiply_adds
    (('Linear(3 -> 5)', 'Tanh'), 30)
    """
    check_module(module, "explain")
    if not 0 < number(seconds, "seconds") < MOST_SECONDS:
        message = f"explain measures for some seconds, up to {MOST_SECONDS}, got {seconds}"
        raise DataError(message)
    found = Explanation(module.label(), measured(module, input, gradOutput, seconds))
    (file or sys.stdout).write(f"{found}\n")
    return found


def _steps(times: Measured, *, backward: bool) -> list[ExplainedStep]:
    labels = _labels(times.lowered)
    return [
        ExplainedStep(
            backward,
            tuple(labels[op] for op in cost.ops),
            cost.text,
            cost.bytes,
            cost.multiply_adds,
            cost.predicted,
            seconds,
            cost.unfused,
        )
        for cost, seconds in zip(times.plan.step_costs(backward), times.steps[backward], strict=True)
    ]


def _labels(lowered: Lowered) -> list[str]:
    """For each op, the innermost module or node that it came from."""
    labels = [""] * len(lowered.sites)
    for visit in sorted(lowered.visits, key=lambda visit: visit.site.number):
        for op in range(visit.first_op, visit.end_op):
            labels[op] = label_of(visit)
    return labels


def _places(steps: list[ExplainedStep]) -> list[str]:
    """What steps are called: ``f0``, ``f1`` ... and ``b0``, ``b1`` ..."""
    n_forward = sum(not step.backward for step in steps)
    return [f"b{place - n_forward}" if step.backward else f"f{place}" for place, step in enumerate(steps)]


def _microseconds(seconds: float) -> str:
    return f"{seconds * 1e6:.2f}" if seconds else "-"


def _count(count: int) -> str:
    return f"{count:,}" if count else "-"
