"""Recurrent nets beside PyTorch: its fused LSTM, and its cell in a loop.

    python benchmarks/recurrent.py [--match 'char-rnn'] [--profile] [--growth]

Prints the time of pynngraph, and how many times as long the others take. All run in one process, in turns.
"""

from __future__ import annotations

import argparse
import re
import sys
import time
from collections import Counter
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import environment

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

HIDDEN, STEPS, BATCH, KINDS = 128, 50, 50, 65  # char-rnn's
PROFILED = 20  # runs
LAYER, UNROLLED, FROZEN = "nn.LSTM", "nn.unroll", "nn.LSTM frozen"
FUSED, LOOP = "PyTorch nn.LSTM", "PyTorch LSTMCell, in a loop"


def main() -> int:
    """Time what the command line asks for."""
    parser = argparse.ArgumentParser(description="Time recurrent nets.")
    parser.add_argument("--match", default="", help="only rows whose name has this regular expression")
    parser.add_argument("--dtype", choices=("float32", "float64"), default="float32")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--profile", action="store_true", help="what takes the time of pynngraph")
    parser.add_argument(
        "--growth", action="store_true", help="lowering, planning and memory, against the number of steps"
    )
    options = parser.parse_args()
    environment.prepare(options.threads)  # before anything imports NumPy
    if options.growth or options.profile:
        (show_growth if options.growth else show_profile)(options.dtype)
        return 0
    from timing import Budget, race  # noqa: PLC0415

    for row in rows(options):
        if not re.search(options.match, row.name):
            continue
        times = race(row.contenders(), Budget(options.rounds, 0.05, 30))
        ours = times[row.ours].median
        others = [f"{name} x {timing.median / ours:.2f}" for name, timing in times.items() if name != row.ours]
        print(f"{row.name}: {row.ours} {ours * 1e3:.3f} ms (spread {times[row.ours].spread:.0%}); {'; '.join(others)}")
    return 0


@dataclass
class Row:
    """What is timed: functions by name, the first of which is ours."""

    name: str
    runs: dict[str, Callable[[], object]]

    @property
    def ours(self) -> str:
        """The name of the first."""
        return next(iter(self.runs))

    def contenders(self) -> list[Any]:
        """Return those who are timed."""
        from contenders import Contender  # noqa: PLC0415

        return [Contender(name, run, list) for name, run in self.runs.items()]


def rows(options: argparse.Namespace) -> Iterator[Row]:
    """Make all rows."""
    import torch  # noqa: PLC0415

    import pynngraph as nn  # noqa: PLC0415

    torch.set_num_threads(options.threads)
    torch.set_default_dtype(getattr(torch, options.dtype))
    nn.setdefaulttensortype(options.dtype)
    for batch in (BATCH, 1):
        for backward in (False, True):
            yield layer_row(batch, options.dtype, backward=backward)
    yield training_row()
    yield writing_row()


def in_a_loop(cells: list[Any], x: Any, state: Any) -> Any:
    """Run PyTorch's cells step by step; the outputs of the last."""
    import torch  # noqa: PLC0415

    outputs, state = [], list(state)
    for y in x.unbind(0):
        for layer, cell in enumerate(cells):
            state[layer] = cell(y, state[layer])
            y = state[layer][0]  # noqa: PLW2901 - from layer to layer
        outputs.append(y)
    return torch.stack(outputs)


def layer_row(batch: int, dtype: str, *, backward: bool) -> Row:
    """Make the row of one layer, with gradients of all that has some or without."""
    import numpy as np  # noqa: PLC0415
    import torch  # noqa: PLC0415

    import pynngraph as nn  # noqa: PLC0415

    rng = np.random.default_rng(0)
    x, grad = (rng.standard_normal((STEPS, batch, HIDDEN)).astype(dtype) for _ in range(2))
    layer, unrolled = nn.LSTM(HIDDEN, HIDDEN), nn.unroll(nn.LSTMCell(HIDDEN, HIDDEN))
    fused, cell = torch.nn.LSTM(HIDDEN, HIDDEN), torch.nn.LSTMCell(HIDDEN, HIDDEN)
    zeros = layer.zeroState(batch)
    their_x, their_grad = torch.tensor(x, requires_grad=True), torch.tensor(grad)
    state = [tuple(torch.zeros(batch, HIDDEN) for _ in range(2))]

    def ours(module: Any, start: Any) -> Callable[[], object]:
        input = [x, start]
        nothing = nn.tree.map_leaves(np.zeros_like, start)

        def run() -> None:
            module.forward(input)
            if backward:
                module.backward(input, [grad, nothing])

        return run

    def theirs(function: Callable[[], Any]) -> Callable[[], object]:
        def run() -> None:
            with torch.set_grad_enabled(backward):
                y = function()
            if backward:
                y.backward(their_grad)

        return run

    runs = {
        LAYER: ours(layer, zeros),
        UNROLLED: ours(unrolled, zeros[0]),
        FUSED: theirs(lambda: fused(their_x)[0]),
        LOOP: theirs(lambda: in_a_loop([cell], their_x, state)),
    }
    if not backward:
        runs[FROZEN] = ours(layer.clone().freeze(), zeros)
    return Row(f"LSTM {HIDDEN}, {STEPS} steps, batch {batch}, {'forward+backward' if backward else 'forward'}", runs)


class CharRnn:
    """The net of examples/char_rnn.py, and two of the same sizes in PyTorch."""

    def __init__(self) -> None:
        import torch  # noqa: PLC0415

        sys.path.insert(0, str(Path(__file__).parents[1] / "examples"))
        import char_rnn  # noqa: PLC0415

        self.net = char_rnn.build_net(KINDS, HIDDEN, 2, 0.0)
        self.zero_state = partial(char_rnn.zero_state, self.net)
        self.embedding, self.out = torch.nn.Embedding(KINDS, HIDDEN), torch.nn.Linear(HIDDEN, KINDS)
        self.fused = torch.nn.LSTM(HIDDEN, HIDDEN, 2)
        self.cells = [torch.nn.LSTMCell(HIDDEN, HIDDEN) for _ in range(2)]


def training_row() -> Row:
    """Make the row of a training step: loss, gradients, the limit of their norm, RMSprop."""
    import numpy as np  # noqa: PLC0415
    import torch  # noqa: PLC0415

    import pynngraph as nn  # noqa: PLC0415

    nets, criterion, rng = CharRnn(), nn.ClassNLLCriterion(), np.random.default_rng(0)
    net, state = nets.net, nets.zero_state(BATCH)
    nothing = nn.tree.map_leaves(np.zeros_like, state)
    read, follows = rng.integers(KINDS, size=(STEPS, BATCH)), rng.integers(KINDS, size=STEPS * BATCH)
    parameters, gradients = net.getParameters()
    config, kept = {"learningRate": 2e-3, "alpha": 0.95}, {}

    def evaluate(_parameters: Any) -> Any:
        gradients.fill(0)
        scores, _ = net.forward([read, state])
        loss = criterion.forward(scores, follows)
        net.backward([read, state], [criterion.backward(scores, follows), nothing], gradInput=False)
        np.multiply(gradients, min(1, 1 / (np.linalg.norm(gradients) + 1e-12)), out=gradients)
        return loss, gradients

    their_read, their_follows = torch.tensor(read), torch.tensor(follows)
    their_state = [tuple(torch.zeros(BATCH, HIDDEN) for _ in range(2)) for _ in range(2)]

    def theirs(lstm: Callable[[Any], Any], inner: list[Any]) -> Callable[[], object]:
        parameters = [p for part in (nets.embedding, nets.out, *inner) for p in part.parameters()]
        optimiser = torch.optim.RMSprop(parameters, 2e-3, alpha=0.95, foreach=True)

        def step() -> None:
            scores = nets.out(lstm(nets.embedding(their_read))).reshape(-1, KINDS)
            loss = torch.nn.functional.cross_entropy(scores, their_follows)
            optimiser.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(parameters, 1.0)
            optimiser.step()
            loss.item()

        return step

    runs = {
        LAYER: lambda: nn.optim.rmsprop(evaluate, parameters, config, kept),
        FUSED: theirs(lambda x: nets.fused(x)[0], [nets.fused]),
        LOOP: theirs(lambda x: in_a_loop(nets.cells, x, their_state), nets.cells),
    }
    return Row(f"char-rnn 2 x {HIDDEN}, {STEPS} steps, batch {BATCH}, training step", runs)


def writing_row() -> Row:
    """Make the row of writing a text: the scores of one character, given the state before it."""
    import numpy as np  # noqa: PLC0415
    import torch  # noqa: PLC0415

    nets = CharRnn()
    net, state = nets.net.evaluate(), nets.zero_state(1)
    one, their_one = np.array([[3]]), torch.tensor([[3]])
    their_state = tuple(torch.zeros(2, 1, HIDDEN) for _ in range(2))
    states = [tuple(torch.zeros(1, HIDDEN) for _ in range(2)) for _ in range(2)]

    def theirs(lstm: Callable[[Any], Any]) -> Callable[[], object]:
        def run() -> None:
            with torch.no_grad():
                torch.log_softmax(nets.out(lstm(nets.embedding(their_one))), -1)

        return run

    runs = {
        LAYER: lambda: net.forward([one, state]),
        FUSED: theirs(lambda x: nets.fused(x, their_state)[0]),
        LOOP: theirs(lambda x: in_a_loop(nets.cells, x, states)),
    }
    return Row(f"char-rnn 2 x {HIDDEN}, one character", runs)


def show_profile(dtype: str) -> None:
    """Print how long the steps of each kind take, of a layer and of an unrolled cell."""
    import numpy as np  # noqa: PLC0415

    import pynngraph as nn  # noqa: PLC0415
    from pynngraph._engine import GRAD_INPUTS, GRAD_PARAMS  # noqa: PLC0415

    nn.setdefaulttensortype(dtype)
    layer = nn.LSTM(HIDDEN, HIDDEN)
    zeros = layer.zeroState(BATCH)
    x = np.random.default_rng(0).standard_normal((STEPS, BATCH, HIDDEN)).astype(dtype)
    for net, state in ((layer, zeros), (nn.unroll(nn.LSTMCell(HIDDEN, HIDDEN)), zeros[0])):
        execution, grad = net.execution_apart(), [x, nn.tree.map_leaves(np.zeros_like, state)]
        execution.forward([x, state])
        ready = execution.last_call().ready
        ready.plan.measure(True)
        for _ in range(PROFILED):
            execution.forward([x, state])
            execution.backward([x, state], grad, 1.0, GRAD_INPUTS | GRAD_PARAMS)
        print(net.label())
        for backward in (False, True):
            print_times(ready, backward=backward)


def print_times(ready: Any, *, backward: bool) -> None:
    """Print the times of one direction, by the modules that the steps are for."""
    seconds: Counter[str] = Counter()
    steps: Counter[str] = Counter()
    for step in ready.plan.step_times(backward):
        sites = [ready.lowered.sites[op] for op in step.ops]
        name = " + ".join(site.module.label() for site in sites if site) or "none"
        seconds[name] += step.seconds / PROFILED
        steps[name] += 1
    total = sum(seconds.values())
    print(f"  {'backward' if backward else 'forward'}: {total * 1e3:.2f} ms, {sum(steps.values())} steps")
    for name, part in seconds.most_common():
        print(f"    {part / total:6.1%}  {steps[name]:4} steps of {part / steps[name] * 1e6:7.2f} us  {name}")


def show_growth(dtype: str) -> None:
    """Print what making a plan takes, and its memory, against the number of steps."""
    import numpy as np  # noqa: PLC0415

    import pynngraph as nn  # noqa: PLC0415
    from pynngraph._engine import Plan  # noqa: PLC0415

    nn.setdefaulttensortype(dtype)
    for title, net, start in (
        ("nn.LSTM(128, 128)", nn.LSTM(HIDDEN, HIDDEN), [[BATCH, BATCH]]),
        ("nn.unroll(nn.LSTMCell(128, 128))", nn.unroll(nn.LSTMCell(HIDDEN, HIDDEN)), [BATCH, BATCH]),
    ):
        for steps in (10, 50, 100, 200, 400):
            state = nn.tree.map_leaves(lambda rows: np.zeros((rows, HIDDEN), dtype), start)
            input = [np.zeros((steps, BATCH, HIDDEN), dtype), state]
            execution = net.execution_apart()
            lowering, planning = [], []
            for _ in range(5):
                begin = time.perf_counter()
                ready = execution.prepared(input)
                middle = time.perf_counter()
                plan = Plan(ready.plan.program, ready.plan.dtype, ready.input_shapes)
                planning.append(time.perf_counter() - middle)
                lowering.append(middle - begin - planning[-1])
            forward = Plan(ready.plan.program, ready.plan.dtype, ready.input_shapes, backward=False)
            nodes = sum(visit.site.node is not None for visit in ready.lowered.visits)
            a_node = 1e6 / nodes
            print(
                f"{title}, {steps} steps: {nodes} nodes; lowering {np.median(lowering) * a_node:.2f} us a node, "
                f"planning {np.median(planning) * a_node:.2f} us a node; {sum(plan.n_steps)} steps; memory a step "
                f"{plan.arena_size / steps / 1e3:.0f} kB, {forward.arena_size / steps / 1e3:.0f} kB without a backward"
            )


if __name__ == "__main__":
    sys.exit(main())
