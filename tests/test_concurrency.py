"""Threads: right answers or errors of ours, whatever meets whatever. A hang fails instead of waiting."""

import sys
import threading

import numpy as np
import pytest
from samples import COPIES, mlp, normal, seed_graph
from tolerances import EXACT, GRAPH, SAME_MATHS, assert_close, assert_trees_close
from trees import tree_map

import pynngraph as nn
from pynngraph import errors

THREADS = 8
ROUNDS = 150
PATIENCE = 60  # seconds until a thread counts as hanging


@pytest.fixture(autouse=True)
def _switch_often():
    """Let threads take turns as often as Python can."""
    kept = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(kept)


def in_threads(*works):
    """Run functions at once, each in a thread of its own; raise what the first of them raised."""
    raised = []
    start = threading.Barrier(len(works))

    def run(work):
        start.wait(PATIENCE)
        try:
            work()
        except BaseException as exception:  # noqa: BLE001 - raised below
            raised.append(exception)

    threads = [threading.Thread(target=run, args=(work,), daemon=True) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    assert not any(thread.is_alive() for thread in threads), "a thread hangs"
    if raised:
        raise raised[0]


def repeated(work, rounds=ROUNDS):
    """A function that does the work again and again; it counts how often no error of ours came."""

    def run():
        for _ in range(rounds):
            try:
                work()
            except errors.Error:
                continue
            run.done += 1

    run.done = 0
    return run


class Case:
    """An input of some rows, with what the graph answers by itself."""

    def __init__(self, g, rows, seed):
        self.g = g
        self.input = [normal(rows, 3, seed=seed), normal(rows, 3, seed=seed + 100)]
        self.grad = normal(rows, 5, seed=seed + 200)
        g.zeroGradParameters()
        self.output = g.forward(self.input)
        self.of_input = g.backward(self.input, self.grad)
        self.of_parameters = tree_map(np.copy, g.parameters()[1])
        g.zeroGradParameters()

    def forward(self, g=None):
        assert_close((g or self.g).forward(self.input), self.output, EXACT)

    def both(self, g=None):
        g = g or self.g
        self.forward(g)
        assert_trees_close(g.backward(self.input, self.grad), self.of_input, EXACT)


def cases(g, rows):
    return [Case(g, count, seed) for seed, count in enumerate(rows)]


SAME = [4] * THREADS
DIFFERENT = [1, 2, 3, 5, 8, 13, 40, 100]
ROWS = pytest.mark.parametrize("rows", [SAME, DIFFERENT], ids=("one shape", "many shapes"))


@ROWS
def test_threads_on_one_graph_each_get_their_own_output(rows):
    runs = [repeated(case.forward) for case in cases(seed_graph(), rows)]
    in_threads(*runs)
    assert all(run.done == ROUNDS for run in runs)


@ROWS
def test_threads_on_one_graph_get_their_own_gradients_or_an_error(rows):
    g = seed_graph()
    made = cases(g, rows)
    in_threads(*(repeated(case.both) for case in made))
    for case in made:
        case.both()


@ROWS
def test_gradients_of_parameters_are_those_of_the_backwards_that_did_not_fail(rows):
    g = seed_graph()
    made = cases(g, rows)
    runs = [repeated(case.both) for case in made]
    in_threads(*runs)
    expected = [
        sum(run.done * case.of_parameters[k] for run, case in zip(runs, made, strict=True))
        for k in range(len(g.parameters()[1]))
    ]
    assert_trees_close(g.parameters()[1], tree_map(np.asarray, expected), GRAPH)


@ROWS
@pytest.mark.parametrize("copy", COPIES.values(), ids=COPIES)
def test_threads_with_a_copy_each_never_fail(rows, copy):
    g = seed_graph()
    made = cases(g, rows)
    copies = [copy(g) for _ in made]
    runs = [repeated(lambda case=case, net=net: case.both(net)) for case, net in zip(made, copies, strict=True)]
    in_threads(*runs)
    assert all(run.done == ROUNDS for run in runs)


def test_threads_with_clones_that_share_weights_never_fail():
    g = seed_graph()
    made = cases(g, DIFFERENT)
    clones = [g.clone("weight", "bias") for _ in made]
    runs = [repeated(lambda case=case, net=net: case.both(net)) for case, net in zip(made, clones, strict=True)]
    in_threads(*runs)
    assert all(run.done == ROUNDS for run in runs)
    for case, net in zip(made, clones, strict=True):
        assert_trees_close(net.parameters()[1], [ROUNDS * g for g in case.of_parameters], GRAPH)


def see_nothing(node, input, output):
    """A hook that does nothing."""


def other(g, folder):
    """What may be done to a graph while it runs, and changes no answer."""
    return {
        "clearState": g.clearState,
        "clone": g.clone,
        "pickle": lambda: COPIES["pickle"](g),
        "getParameters": g.getParameters,
        "getParameters of a part": g.modules[1].getParameters,
        "evaluate": lambda: (g.evaluate(), g.training()),
        "output": lambda: (g.output, g.gradInput),
        "drawing": lambda: nn.dot(g),
        "keep": lambda: (g.keep(), g.keep(False)),
        "setDebug": lambda: (nn.setDebug(True, folder), nn.setDebug(False)),
        "hook": lambda: g.outputs[0].onForward(see_nothing).remove(),
        "annotate": lambda: g.outputs[0].annotate(name="sum"),
        "repr": lambda: repr(g),
        "a wrong call": lambda: g.forward([np.ones((2, 3)), np.ones((3, 3))]),
        "another structure": lambda: g.forward([np.ones(3), np.ones(3)]),
    }


@pytest.mark.parametrize("name", other(seed_graph(), ""))
def test_what_else_is_done_to_a_graph_under_run_does_no_harm(name, tmp_path):
    g = seed_graph()
    made = cases(g, DIFFERENT[:4])
    in_threads(*(repeated(case.both) for case in made), repeated(other(g, tmp_path)[name]))
    for case in made:
        case.both()


def test_threads_on_a_graph_that_keeps_its_numbers():
    g = seed_graph().keep()
    made = cases(g, DIFFERENT)
    in_threads(*(repeated(case.both, 30) for case in made))
    for case in made:
        case.both()
        assert_close(g.outputs[0].output, case.output, EXACT)


def test_hooks_see_each_run_once():
    g = seed_graph()
    made = cases(g, DIFFERENT)
    seen = []

    def see(node, input, output):
        seen.append(output)

    g.outputs[0].onForward(see)
    runs = [repeated(case.forward, 30) for case in made]
    in_threads(*runs)
    assert sum(run.done for run in runs) == len(seen)
    for case in made:
        same = [output for output in seen if len(output) == len(case.output)]
        assert len(same) == 30
        assert_close(same[0], case.output, EXACT)


def test_threads_with_more_shapes_than_plans_are_kept():
    g = seed_graph()
    made = cases(g, range(1, 49))
    runs = [repeated(lambda mine=made[k::THREADS]: [case.forward() for case in mine], 5) for k in range(THREADS)]
    in_threads(*runs)
    assert all(run.done == 5 for run in runs)


class Square(nn.Module):
    def updateOutput(self, input):
        return input**2

    def updateGradInput(self, input, gradOutput):
        return 2 * input * gradOutput


def test_a_graph_with_a_module_in_python_serves_threads_too():
    node = nn.Identity()()
    g = nn.gModule([node], [nn.MulConstant(3)(Square()(node))])
    inputs = [normal(rows, 3) for rows in DIFFERENT]

    def work(x):
        assert_close(g.forward(x), 3 * x**2, SAME_MATHS)
        assert_close(g.backward(x, x), 6 * x**2, SAME_MATHS)

    in_threads(*(repeated(lambda x=x: work(x)) for x in inputs))
    for x in inputs:
        work(x)


def test_graphs_that_share_a_module_run_at_once():
    linear = nn.Linear(3, 3)
    x = normal(4, 3)
    expected = np.tanh(x @ linear.weight.T + linear.bias)

    def graph():
        node = nn.Identity()()
        return nn.gModule([node], [nn.Tanh()(linear(node))])

    def work(g):
        assert_close(g.forward(x), expected, SAME_MATHS)

    graphs = [graph() for _ in range(THREADS)]
    runs = [repeated(lambda g=g: work(g)) for g in graphs]
    in_threads(*runs)
    assert all(run.done == ROUNDS for run in runs)


def test_threads_build_graphs_on_one_node_at_once():
    node = nn.Identity()()
    x = normal(4, 3)

    def work():
        g = nn.gModule([node], [nn.CAddTable()([nn.Tanh()(node), node])])
        assert_close(g.forward(x), np.tanh(x) + x, SAME_MATHS)

    # What another thread builds on the node hangs off this thread's graph until it is packed: an error.
    in_threads(*(repeated(work, 20) for _ in range(THREADS)))


def test_threads_that_start_from_nothing_at_once():
    """The first call of all plans, in all threads."""
    x = normal(4, 3)
    for _ in range(10):
        net = mlp()
        expected = net.clone().forward(x)

        def work(net=net, expected=expected):
            assert_close(net.forward(x), expected, EXACT)

        runs = [repeated(work, 3) for _ in range(THREADS)]
        in_threads(*runs)
        assert all(run.done == 3 for run in runs)
