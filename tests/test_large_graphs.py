"""Graphs of very many nodes: everything works, without recursion, and the work grows with the size and no faster.

Work is counted, in calls of Python functions and in the engine's memory; no test looks at a clock.
"""

import contextlib
import gc
import pickle
import sys
import weakref

import numpy as np
import pytest
from samples import normal
from tolerances import EXACT, GRAPH, SAME_MATHS, assert_close, assert_trees_close
from trees import nesting

import pynngraph as nn
from pynngraph import errors
from pynngraph._engine import lib

LONG = 100_000
WIDE = 10_000
X, G = normal(3), normal(3, seed=8)


@contextlib.contextmanager
def little_stack(frames=60):
    """So few frames that anything that recurses once a node fails."""
    depth, frame = 0, sys._getframe()
    while frame is not None:
        depth, frame = depth + 1, frame.f_back
    kept = sys.getrecursionlimit()
    sys.setrecursionlimit(depth + frames)
    try:
        yield
    finally:
        sys.setrecursionlimit(kept)


def chain(nodes):
    """A product, then many sums with 0.5."""
    first = nn.Identity()()
    node = nn.MulConstant(2)(first)
    for _ in range(nodes - 2):
        node = nn.AddConstant(0.5)(node)
    return nn.gModule([first], [node])


def check_chain(g, nodes):
    assert_close(g.forward(X), 2 * X + (nodes - 2) / 2, GRAPH)
    assert_close(g.backward(X, G), 2 * G, SAME_MATHS)


@pytest.fixture(scope="class")
def long_chain():
    with little_stack():
        return chain(LONG)


class TestALongChain:
    """One chain for all of these."""

    def test_runs_both_ways(self, long_chain):
        with little_stack():
            for _ in range(2):
                check_chain(long_chain, LONG)
            long_chain.clearState()

    def test_is_iterated_and_walked(self, long_chain):
        with little_stack():
            assert len(list(long_chain)) == len(long_chain.forwardnodes) == LONG
            assert long_chain.backwardnodes == long_chain.forwardnodes[::-1]
            assert len(long_chain.listModules()) == LONG + 1
            assert len(long_chain.findModules(nn.AddConstant)[0]) == LONG - 2
            assert long_chain.parameters() == ([], [])
            seen = []
            long_chain.apply(seen.append)
            assert len(seen) == LONG + 1
            assert not long_chain.evaluate().modules[-1].train
            assert long_chain.training().modules[-1].train
            assert nn.dot(long_chain).count("->") == LONG + 1
            assert str(long_chain).count("AddConstant") == 198  # the first and the last

    def test_is_saved_loaded_and_given_back(self, long_chain):
        with little_stack():
            g = pickle.loads(pickle.dumps(long_chain))  # noqa: S301 - made here
            check_chain(g, LONG)
            gone = [weakref.ref(g), weakref.ref(g.modules[0]), weakref.ref(g.modules[LONG // 2])]
            del g
            gc.collect()
        assert [ref() for ref in gone] == [None] * 3

    def test_is_cloned(self, long_chain):
        with little_stack():
            check_chain(long_chain.clone("weight", "bias"), LONG)

    def test_has_edges(self, long_chain):
        with little_stack():
            fg, bg = long_chain.fg, long_chain.bg
            assert len(fg.edges) == len(bg.edges) == LONG - 1
            assert fg.topsort() == bg.topsort()[::-1] == long_chain.forwardnodes
            assert fg.roots() == bg.leaves() == long_chain.inputs


def test_nodes_that_were_never_packed_are_given_back():
    first = node = nn.Identity()()
    for _ in range(WIDE):
        node = nn.AddConstant(0.5)(node)
    gone = weakref.ref(node.module)
    with little_stack():
        del first, node
        gc.collect()
    assert gone() is None


def test_a_long_chain_is_looked_into():
    g = chain(WIDE)
    last = g.forwardnodes[-1].annotate(name="last")
    seen = []
    hook = last.onForward(lambda *numbers: seen.append(numbers[2]))
    with little_stack():
        assert g.node("last") is g.node(g.modules[-1]) is last
        check_chain(g.keep(), WIDE)
        assert_close(last.output, seen[0], EXACT)
        assert_close(g.forwardnodes[1].gradOutput, G, SAME_MATHS)
        hook.remove()
        check_chain(g.keep(False), WIDE)
        assert len(seen) == 1


def test_very_many_faults_are_told_at_once():
    first = nn.Identity()()
    for _ in range(WIDE):
        nn.Tanh()(first)
    with little_stack(), pytest.raises(errors.GraphError, match="Tanh"):
        nn.gModule([first], [nn.Exp()(first)])


def test_a_long_loose_end_is_told():
    first = node = nn.Identity()()
    for _ in range(WIDE):
        node = nn.Tanh()(node)
    with little_stack(), pytest.raises(errors.GraphError, match="Tanh"):
        nn.gModule([first], [nn.Exp()(first)])


def test_a_long_chain_of_splits_and_nests():
    first = pair = nn.Identity()()
    for _ in range(WIDE):
        left, right = pair.split(2)
        pair = nn.nest([right, left])
    with little_stack():
        g = nn.gModule([first], [pair])
        assert_trees_close(g.forward([X, G]), [X, G] if WIDE % 2 == 0 else [G, X], SAME_MATHS)
        assert nesting(g.backward([X, G], [X, G])) == ("list", (3,), (3,))


def test_a_long_chain_with_a_skip_at_each_node():
    """As many paths as 2 to the power of its length."""
    first = node = nn.Identity()()
    for _ in range(WIDE):
        node = nn.MulConstant(0.5)(nn.CAddTable()([node, node]))
    with little_stack():
        g = nn.gModule([first], [node])
        assert_close(g.forward(X), X, SAME_MATHS)
        assert_close(g.backward(X, G), G, SAME_MATHS)


def test_one_module_at_very_many_nodes():
    linear = nn.Linear(3, 3)
    linear.weight, linear.bias = np.eye(3), np.full(3, 0.5)
    first = node = nn.Identity()()
    for _ in range(WIDE):
        node = linear(node)
    with little_stack():
        g = nn.gModule([first], [node])
        assert len(g.parameters()[0]) == 2
        assert_close(g.forward(X), X + WIDE / 2, GRAPH)
        g.zeroGradParameters()
        assert_close(g.backward(X, G), G, SAME_MATHS)
        assert_close(linear.gradBias, WIDE * G, GRAPH)


def test_a_wide_fan_in_and_out():
    first = nn.Identity()()
    g = nn.gModule([first], [nn.CAddTable()([nn.MulConstant(k)(first) for k in range(WIDE)])])
    total = WIDE * (WIDE - 1) / 2
    with little_stack():
        assert_close(g.forward(X), total * X, GRAPH)
        assert_close(g.backward(X, G), total * G, GRAPH)


def test_very_many_inputs_and_outputs():
    nodes = [nn.Identity()() for _ in range(WIDE)]
    g = nn.gModule(nodes, [nn.MulConstant(k)(node) for k, node in enumerate(nodes)])
    x = list(normal(WIDE, 3))
    with little_stack():
        assert_close(np.array(g.forward(x)), np.arange(WIDE)[:, None] * x, SAME_MATHS)
        assert_close(np.array(g.backward(x, x)), np.arange(WIDE)[:, None] * x, SAME_MATHS)


def test_a_split_into_very_many_parts():
    root = nn.Identity()()
    g = nn.gModule([root], [nn.JoinTable(0)(root.split(WIDE)[::-1])])
    x = [np.full(1, float(k)) for k in range(WIDE)]
    with little_stack():
        assert_close(g.forward(x), np.arange(WIDE, dtype=float)[::-1], SAME_MATHS)
        assert_close(np.array(g.backward(x, np.arange(WIDE, dtype=float))).ravel(), g.output, SAME_MATHS)


def test_a_table_of_very_many_slices():
    first = nn.Identity()()
    g = nn.gModule([first], [nn.CAddTable()(nn.SplitTable(0)(first))])
    x = normal(WIDE, 2)
    with little_stack():
        assert_close(g.forward(x), x.sum(0), GRAPH)
        assert_close(g.backward(x, G[:2]), np.tile(G[:2], (WIDE, 1)), SAME_MATHS)


# ---- growth --------------------------------------------------------------------------------------


def calls_in(work):
    """How many functions, Python's and C's, are called by what is done."""
    count = 0

    def note(frame, event, argument):
        nonlocal count
        count += event in ("call", "c_call")

    kept = sys.getprofile()
    sys.setprofile(note)
    try:
        work()
    finally:
        sys.setprofile(kept)
    return count


def fan(nodes):
    first = nn.Identity()()
    return nn.gModule([first], [nn.CAddTable()([nn.MulConstant(2)(first) for _ in range(nodes)])])


def splits(nodes):
    root = nn.Identity()()
    return nn.gModule([root], [nn.JoinTable(0)([nn.Tanh()(part) for part in root.split(nodes)])])


STEPS = {
    "build": lambda make, nodes, g, x: make(nodes),
    "first forward": lambda make, nodes, g, x: g.forward(x),
    "first backward": lambda make, nodes, g, x: g.backward(x, np.ones_like(g.forward(x))),
    "save": lambda make, nodes, g, x: pickle.dumps(g),
    "load": lambda make, nodes, g, x: pickle.loads(pickle.dumps(g)),  # noqa: S301 - made here
    "clone": lambda make, nodes, g, x: g.clone("weight", "bias"),
    "draw": lambda make, nodes, g, x: nn.dot(g),
    "edges": lambda make, nodes, g, x: (g.fg.topsort(), g.bg.topsort()),
    "replace": lambda make, nodes, g, x: g.replace(lambda module: module),
}


@pytest.mark.parametrize("make", [chain, fan, splits])
@pytest.mark.parametrize("step", STEPS.values(), ids=STEPS)
def test_twice_the_nodes_are_twice_the_calls(make, step):
    counts = []
    for nodes in (300, 600):
        x = [np.ones(1)] * nodes if make is splits else np.ones(3)
        g = make(nodes)
        counts.append(calls_in(lambda g=g, x=x, nodes=nodes: step(make, nodes, g, x)))
    assert counts[1] <= 2.2 * counts[0]


@pytest.mark.parametrize("make", [chain, fan, splits])
def test_twice_the_nodes_are_twice_the_calls_while_numbers_are_kept(make):
    counts = []
    for nodes in (100, 200):
        x = [np.ones(1)] * nodes if make is splits else X
        g = make(nodes).keep()
        counts.append(calls_in(lambda g=g, x=x: g.backward(x, np.ones_like(g.forward(x)))))
    assert counts[1] <= 2.2 * counts[0]


@pytest.mark.parametrize("make", [chain, fan])
def test_a_second_run_makes_as_many_calls_whatever_the_size(make):
    counts = []
    for nodes in (10, 1000):
        g = make(nodes)
        g.backward(X, g.forward(X))
        counts.append(calls_in(lambda g=g: g.backward(X, g.forward(X))))
    assert counts[0] == counts[1]


def engine_work(g):
    """Steps forward, steps backward, and bytes of memory of the last run's plan."""
    plan = g._execution.last_call().ready.plan._c
    return lib.pnng_plan_n_forward(plan), lib.pnng_plan_n_backward(plan), lib.pnng_plan_arena_size(plan)


@pytest.mark.parametrize("make", [chain, fan, splits])
def test_twice_the_nodes_are_twice_the_steps_and_the_memory(make):
    works = []
    for nodes in (500, 1000):
        g = make(nodes)
        g.forward([np.ones(1)] * nodes if make is splits else X)
        works.append(engine_work(g))
    for small, large in zip(*works, strict=True):
        assert large <= 2.2 * small
