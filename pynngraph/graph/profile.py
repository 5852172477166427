"""Where the time of a module's runs goes, node by node."""

from __future__ import annotations

import sys
from statistics import median
from time import perf_counter
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from .. import random
from .._engine import GRAD_INPUTS, GRAD_PARAMS
from ..errors import DataError, StateError
from ..nn.module import check_module, number
from ..nn.parameter import unchanged
from ..text import Column, fit, lines_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from typing import TextIO

    from .._engine import Plan, StepTime
    from ..nn.execution import Lowered
    from ..nn.lowering import Visit
    from ..nn.module import Module

MOST_SECONDS = 3600
ROUNDS = 7  # the median of so many means is told


class ProfileRow(NamedTuple):
    """The time of one evaluation of a module, with all that is inside of it."""

    depth: int
    """How many modules it is inside of; the rows of these come before."""
    label: str
    """The node, or the module."""
    forward: float
    """Seconds a call."""
    backward: float
    """Seconds a call; 0 without a gradOutput."""
    is_fused: bool
    """Whether steps of it serve other modules too: their time is divided evenly."""
    has_steps: bool
    """False for what costs nothing, such as a view of an array."""


class Profile:
    """What :func:`profile` found.

    Attributes
    ----------
    rows
        A :class:`ProfileRow` for each evaluation of a module, in order.
    forward, backward
        Seconds of a whole call from Python.
    calls
        How many calls were timed.
    """

    def __init__(self, label: str, rows: list[ProfileRow], forward: float, backward: float, calls: int) -> None:
        self.label = label
        self.rows = rows
        self.forward = forward
        self.backward = backward
        self.calls = calls

    @property
    def outside(self) -> tuple[float, float]:
        """Seconds of a forward and of a backward that no module's step takes: checks, and Python."""
        outermost = [row for row in self.rows if row.depth == 0]
        inside = sum(row.forward for row in outermost), sum(row.backward for row in outermost)
        return self.forward - inside[0], self.backward - inside[1]

    def __str__(self) -> str:
        whole = self.forward + self.backward
        outside = self.outside
        labels = ["  " * row.depth + row.label + (" *" if row.is_fused else "") for row in self.rows]
        forward = [_microseconds(row.forward) if row.has_steps else "-" for row in self.rows]
        backward = [_microseconds(row.backward) if row.has_steps and self.backward else "-" for row in self.rows]
        ends = [_microseconds(time) if self.backward else "-" for time in (outside[1], self.backward)]
        shares = [f"{(row.forward + row.backward) / whole:.1%}" if row.has_steps else "-" for row in self.rows]
        columns = [
            Column("node", [*labels, "outside of steps", "whole call"], is_flexible=True),
            Column("forward µs", [*forward, _microseconds(outside[0]), _microseconds(self.forward)], is_number=True),
            Column("backward µs", [*backward, *ends], is_number=True),
            Column("share", [*shares, f"{sum(outside) / whole:.1%}", "100.0%"], is_number=True),
        ]
        fit(columns)
        lines = lines_of(columns)
        rule = "-" * max(map(len, lines))
        notes = [f"{self.label}: medians of {self.calls} calls; - takes no step"]
        if any(row.is_fused for row in self.rows):
            notes.append("* shares steps with others, whose time is divided evenly")
        return "\n".join([lines[0], rule, *lines[1:-2], rule, *lines[-2:], *notes])

    def __repr__(self) -> str:
        return f"<Profile of {self.label}: {self.forward * 1e6:.3g} + {self.backward * 1e6:.3g} µs>"

    def plot(self, path: str | Path | None = None) -> Any:
        """A bar chart of the innermost rows, by matplotlib.

        Parameters
        ----------
        path
            Where to save it, as matplotlib saves: ``.png``, ``.svg``, ``.pdf``.

        Returns
        -------
        The matplotlib figure.

        Raises
        ------
        StateError
            If matplotlib is not installed.
        """
        try:
            from matplotlib.figure import Figure  # noqa: PLC0415 - an extra
        except ImportError:
            message = "a chart needs matplotlib: pip install 'pynngraph[plot]'"
            raise StateError(message) from None
        rows = [
            row
            for row, after in zip(self.rows, [*self.rows[1:], None], strict=True)
            if row.has_steps and (after is None or after.depth <= row.depth)
        ]
        figure = Figure(figsize=(8, 1 + 0.28 * len(rows)), layout="constrained")
        axes = figure.subplots()
        places = range(len(rows))
        forward = [row.forward * 1e6 for row in rows]
        axes.barh(places, forward, label="forward")
        axes.barh(places, [row.backward * 1e6 for row in rows], left=forward, label="backward")
        axes.set_yticks(places, [row.label + (" *" if row.is_fused else "") for row in rows])
        axes.invert_yaxis()
        axes.set_xlabel("µs a call")
        axes.set_title(self.label)
        axes.legend()
        if path is not None:
            figure.savefig(path)
        return figure


def profile(
    module: Module,
    input: Any,
    gradOutput: Any = None,
    *,
    seconds: float = 1.0,
    file: TextIO | None = None,
) -> Profile:
    """Run a module many times and print what each node, or module inside, takes of the time.

    Gradients of parameters are as before when it returns, random numbers go on as if nothing had run, hooks are not
    called, and the module's last call and results stay: only modules written in Python notice. The time of a step
    includes that of reading the clock, some 20 ns.

    Parameters
    ----------
    module
        A graph, a container or any module.
    input
        What to run forward.
    gradOutput
        What to run backward; without it only forward is run.
    seconds
        About how long to measure.
    file
        Where to print the table; standard output without it.

    Returns
    -------
    A :class:`Profile`, whose ``plot()`` draws a bar chart.

    Examples
    --------
    >>> import io, numpy as np, pynngraph as nn
    >>> net = nn.Sequential(nn.Linear(3, 5), nn.Identity(), nn.Tanh())
    >>> found = nn.profile(net, np.zeros((2, 3)), np.ones((2, 5)), seconds=0.01, file=io.StringIO())
    >>> [(row.label, row.has_steps) for row in found.rows]
    [('Linear(3 -> 5)', True), ('Identity', False), ('Tanh', True)]
    """
    check_module(module, "profile")
    if not 0 < number(seconds, "seconds") < MOST_SECONDS:
        message = f"profile measures for some seconds, up to {MOST_SECONDS}, got {seconds}"
        raise DataError(message)
    times = measured(module, input, gradOutput, seconds)
    rows = _rows(times.lowered, times.plan, times.steps)
    found = Profile(module.label(), rows, times.whole[0], sum(times.whole[1:]), times.calls)
    (file or sys.stdout).write(f"{found}\n")
    return found


class Measured(NamedTuple):
    """Medians of the times of a plan's steps, and of whole calls."""

    lowered: Lowered
    plan: Plan
    steps: list[list[float]]  # seconds of the steps of the forward, and of the backward
    whole: list[float]  # seconds of a forward and, with a gradOutput, of a backward
    calls: int


def measured(module: Module, input: Any, grad_output: Any, seconds: float) -> Measured:
    """Run a module many times for about so many seconds; all that a user could see of it is then as before."""
    arrays = [cell.grad for cell in module.cells() if cell.grad is not None]
    arrays += [cell.data for each in module.listModules() for cell in each._buffers.values()]
    state = random.get_state()
    try:
        with unchanged(arrays):
            return _timed(module, input, grad_output, seconds)
    finally:
        random.set_state(state)


def _timed(module: Module, input: Any, grad_output: Any, seconds: float) -> Measured:
    execution = module.execution_apart()

    def forward() -> None:
        execution.forward(input)

    def backward() -> None:
        execution.backward(input, grad_output, 1.0, GRAD_INPUTS | GRAD_PARAMS)

    calls: list[Callable[[], None]] = [forward] if grad_output is None else [forward, backward]
    forward()  # plans
    call: Any = execution.last_call()
    plan, lowered = call.ready.plan, call.ready.lowered
    once = _wall(calls)
    each = max(1, int(seconds / ROUNDS / max(sum(once), 1e-9)))
    walls: list[list[float]] = []
    rounds: list[list[list[float]]] = []
    try:
        for _ in range(ROUNDS):
            plan.measure(True)
            times = [_wall(calls) for _ in range(each)]
            walls.append([sum(column) / each for column in zip(*times, strict=True)])
            rounds.append([_means(plan.step_times(backward=back)) for back in (False, True)])
    finally:
        plan.measure(False)
    steps = [
        [median(times) for times in zip(*(found[back] for found in rounds), strict=True)] for back in (False, True)
    ]
    whole = [median(column) for column in zip(*walls, strict=True)]
    return Measured(lowered, plan, steps, whole, ROUNDS * each)


def _wall(calls: list[Callable[[], None]]) -> list[float]:
    times = []
    for call in calls:
        start = perf_counter()
        call()
        times.append(perf_counter() - start)
    return times


def _means(steps: list[StepTime]) -> list[float]:
    return [step.seconds / step.runs if step.runs else 0.0 for step in steps]


def _rows(lowered: Lowered, plan: Plan, steps: list[list[float]]) -> list[ProfileRow]:
    """A row for each visit, from the times of ops; the outermost module itself has none, but where it is alone."""
    n_ops = len(lowered.sites)
    times = np.zeros((2, n_ops))
    fused = np.zeros(n_ops, bool)
    busy = np.zeros(n_ops, bool)
    for back in (0, 1):
        for step, time in zip(plan.step_times(backward=bool(back)), steps[back], strict=True):
            for op in step.ops:
                times[back, op] += time / len(step.ops)
                busy[op] = True
                fused[op] |= len(step.ops) > 1
    visits = sorted(lowered.visits, key=lambda visit: visit.site.number)
    if len(visits) > 1:
        visits = visits[1:]
    base = min(map(_depth, visits))
    rows = []
    for visit in visits:
        ops = slice(visit.first_op, visit.end_op)
        label = label_of(visit)
        rows.append(
            ProfileRow(
                _depth(visit) - base,
                label,
                float(times[0, ops].sum()),
                float(times[1, ops].sum()),
                bool(fused[ops].any()),
                bool(busy[ops].any()),
            )
        )
    return rows


def _depth(visit: Visit) -> int:
    depth, site = 0, visit.site.outer
    while site is not None:
        depth, site = depth + 1, site.outer
    return depth


def label_of(visit: Visit) -> str:
    """The node, or the module, of a visit."""
    node, module = visit.site.node, visit.site.module
    if node is None:
        return "" if module is None else module.label()
    return node.label()


def _microseconds(seconds: float) -> str:
    return f"{seconds * 1e6:.2f}"
