"""nn.StochasticGradient: steps by hand, hooks, what it prints, and its end by Ctrl-C."""

import signal
import sys
import threading

import numpy as np
import pytest
from samples import mlp, normal
from tolerances import SAME_MATHS, assert_close

import pynngraph as nn
from pynngraph import errors

EXAMPLES = [(normal(3, seed=k), normal(2, seed=100 + k)) for k in range(5)]


def trainer(module, **settings):
    made = nn.StochasticGradient(module, nn.MSECriterion())
    made.verbose = made.progress = False
    for name, value in settings.items():
        setattr(made, name, value)
    return made


def by_hand(linear, rates):
    """Weight, bias and errors after an iteration with each rate, in the order of the examples."""
    weight, bias, means = linear.weight.copy(), linear.bias.copy(), []
    for rate in rates:
        total = 0.0
        for x, t in EXAMPLES:
            d = weight @ x + bias - t
            total += (d**2).mean()
            weight -= rate * np.outer(d, x)
            bias -= rate * d
        means.append(total / len(EXAMPLES))
    return weight, bias, means


def test_the_defaults_are_those_of_torch7():
    made = nn.StochasticGradient(nn.Linear(3, 2), nn.MSECriterion())
    assert (made.learningRate, made.learningRateDecay, made.maxIteration) == (0.01, 0, 25)
    assert made.shuffleIndices is made.verbose is True
    assert made.hookExample is made.hookIteration is None


def test_steps_are_those_by_hand_with_the_rates_of_torch7():
    linear = nn.Linear(3, 2)
    weight, bias, means = by_hand(linear, [0.1, 0.1 / 2, 0.1 / 2.5])
    found = trainer(linear, learningRate=0.1, learningRateDecay=0.5, maxIteration=3, shuffleIndices=False).train(
        EXAMPLES
    )
    assert_close(linear.weight, weight, SAME_MATHS)
    assert_close(linear.bias, bias, SAME_MATHS)
    assert found == pytest.approx(means, rel=1e-12)


def test_each_iteration_takes_all_examples_in_an_order_of_its_own():
    seen = []
    examples = [(np.full(3, float(k)), np.zeros(2)) for k in range(20)]
    made = trainer(nn.Linear(3, 2), learningRate=0, maxIteration=2)
    made.hookExample = lambda _, example: seen.append(int(example[0][0]))
    nn.manualSeed(1)
    first = made.train(examples)
    assert sorted(seen[:20]) == sorted(seen[20:]) == list(range(20))
    assert seen[:20] != seen[20:]
    assert seen[:20] != list(range(20))
    assert first[0] == pytest.approx(first[1])
    orders = list(seen)
    seen.clear()
    nn.manualSeed(1)
    made.train(examples)
    assert seen == orders


def test_hooks_are_told_and_may_change_settings():
    calls = []

    def iteration(who, number, error):
        calls.append((number, error))
        who.learningRate = 0
        if number == 3:
            who.maxIteration = 3

    made = trainer(nn.Linear(3, 2), maxIteration=0, hookIteration=iteration)
    found = made.train(EXAMPLES)
    assert calls == list(enumerate(found, 1))
    assert found[1] == pytest.approx(found[2]), "a rate of 0"


def test_it_says_what_it_does(capsys):
    made = trainer(nn.Linear(3, 2), verbose=True, maxIteration=2)
    first, second = made.train(EXAMPLES)
    assert capsys.readouterr().out.splitlines() == [
        "# StochasticGradient: training",
        f"# current error = {first:.14g}",
        f"# current error = {second:.14g}",
        "# StochasticGradient: you have reached the maximum number of iterations",
        f"# training error = {second:.14g}",
    ]


def test_nets_of_tables_and_classes_train_in_float32():
    net = nn.Sequential().add(nn.ConcatTable().add(nn.Linear(3, 4)).add(nn.Linear(3, 4))).add(nn.CMulTable()).float()
    examples = [(x.astype(np.float32), k % 4) for k, (x, _) in enumerate(EXAMPLES)]
    made = nn.StochasticGradient(net, nn.CrossEntropyCriterion().float())
    made.verbose, made.learningRate, made.maxIteration = False, 0.3, 60
    found = made.train(examples)
    assert found[-1] < 0.2 * found[0]


# ---- the end by Ctrl-C ---------------------------------------------------------------------------


@pytest.fixture
def own_handler():
    """Python's own handler of SIGINT, as in a program of its own."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    signal.signal(signal.SIGINT, before)


def interrupting(at, times=1):
    """A hook that is Ctrl-C after so many examples."""
    count = 0

    def hook(_trainer, _example):
        nonlocal count
        count += 1
        if count >= at:
            for _ in range(times):
                signal.raise_signal(signal.SIGINT)

    return hook


@pytest.mark.usefixtures("own_handler")
def test_ctrl_c_ends_after_the_example_under_way(capsys):
    linear = nn.Linear(3, 2)
    twin = linear.clone()
    made = trainer(linear, shuffleIndices=False, hookExample=interrupting(8), maxIteration=0, verbose=True)
    found = made.train(EXAMPLES)
    assert len(found) == 1
    assert capsys.readouterr().out.splitlines()[-1] == "# StochasticGradient: interrupted in iteration 2"
    expected = trainer(twin, shuffleIndices=False, maxIteration=1)
    assert expected.train(EXAMPLES) == found
    expected.train(EXAMPLES[:3])
    assert_close(linear.weight, twin.weight, SAME_MATHS)
    made.hookExample, made.maxIteration = None, 1
    assert len(made.train(EXAMPLES)) == 1, "it goes on when it is called again"


@pytest.mark.usefixtures("own_handler")
def test_a_second_ctrl_c_ends_at_once():
    with pytest.raises(KeyboardInterrupt):
        trainer(nn.Linear(3, 2), hookExample=interrupting(2, 2)).train(EXAMPLES)


@pytest.mark.usefixtures("own_handler")
def test_an_error_gives_the_handler_back():
    with pytest.raises(errors.Error):
        trainer(nn.Linear(4, 2)).train(EXAMPLES)


def test_a_handler_of_the_users_stays():
    seen = []
    before = signal.signal(signal.SIGINT, lambda *_: seen.append(1))
    try:
        made = trainer(nn.Linear(3, 2), hookExample=interrupting(1), maxIteration=1)
        assert len(made.train(EXAMPLES)) == 1
        assert len(seen) == len(EXAMPLES)
    finally:
        signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("own_handler")
def test_other_threads_train_too():
    found = []
    thread = threading.Thread(target=lambda: found.append(trainer(nn.Linear(3, 2), maxIteration=2).train(EXAMPLES)))
    thread.start()
    thread.join()
    assert len(found[0]) == 2


# ---- the progress bar ----------------------------------------------------------------------------


def test_a_progress_bar_counts_examples(capsys):
    pytest.importorskip("tqdm")
    trainer(mlp(3, 2), progress=True, maxIteration=2).train(EXAMPLES)
    shown = capsys.readouterr().err
    assert "iteration 1" in shown
    assert "iteration 2" in shown
    assert "/5" in shown


@pytest.mark.parametrize("terminal", [True, False])
def test_a_progress_bar_is_shown_on_terminals(terminal, capsys, monkeypatch):
    pytest.importorskip("tqdm")
    monkeypatch.setattr(sys.stderr, "isatty", lambda: terminal, raising=False)
    trainer(mlp(3, 2), progress=None, maxIteration=1).train(EXAMPLES)
    assert bool(capsys.readouterr().err) == terminal


def test_without_tqdm_a_progress_bar_is_an_error_only_where_it_is_wanted(monkeypatch):
    monkeypatch.setitem(sys.modules, "tqdm", None)
    monkeypatch.setattr("pynngraph.nn.stochastic.find_spec", lambda _: None)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    assert len(trainer(mlp(3, 2), progress=None, maxIteration=1).train(EXAMPLES)) == 1
    with pytest.raises(errors.StateError, match=r"pip install pynngraph\[train\]"):
        trainer(mlp(3, 2), progress=True).train(EXAMPLES)


# ---- wrong arguments -----------------------------------------------------------------------------


def test_wrong_arguments_are_errors():
    with pytest.raises(errors.DataError, match="no examples"):
        trainer(mlp(3, 2)).train([])
    with pytest.raises(errors.GraphError, match="StochasticGradient takes modules"):
        nn.StochasticGradient(mlp(3, 2), nn.MSECriterion)
