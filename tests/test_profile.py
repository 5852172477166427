"""Profiles: who takes the time, and that nothing else changes."""

import io
import sys

import numpy as np
import pytest
from tolerances import EXACT, assert_close, assert_trees_close

import pynngraph as nn
from pynngraph import errors

X = np.linspace(-1, 1, 12).reshape(4, 3)


def graph():
    node = nn.Identity()()
    hidden = nn.Linear(3, 8)(node)
    inner = nn.Sequential(nn.Tanh(), nn.Linear(8, 8), nn.Dropout(0.5))(hidden)
    nn.annotateNodes()
    return nn.gModule([node], [nn.SelectTable(0)([inner, hidden])])


def quiet(*arguments, **options):
    """A profile that is over soon and prints to nowhere."""
    return nn.profile(*arguments, seconds=0.01, file=io.StringIO(), **options)


def test_every_node_has_a_row_and_inner_modules_stand_below(capsys):
    g = graph()
    found = nn.profile(g, X, np.ones((4, 8)), seconds=0.01)
    assert [(row.depth, row.label.split(" at ")[0]) for row in found.rows] == [
        (0, "node, Identity"),
        (0, "hidden, Linear(3 -> 8)"),
        (0, "inner, Sequential of 3 modules"),
        (1, "Tanh"),
        (1, "Linear(8 -> 8)"),
        (1, "Dropout(0.5)"),
        (0, "SelectTable(0)"),
    ]
    assert [row.has_steps for row in found.rows] == [False, True, True, True, True, True, False]
    assert capsys.readouterr().out == f"{found}\n"
    for row in found.rows:
        assert row.label in str(found)


def test_times_of_inner_modules_add_up_and_fill_the_call():
    found = quiet(graph(), X, np.ones((4, 8)))
    whole, *parts = found.rows[2:6]
    assert np.isclose(whole.forward, sum(row.forward for row in parts))
    assert np.isclose(whole.backward, sum(row.backward for row in parts))
    assert all(row.forward > 0 for row in parts)
    assert 0 < found.outside[0] < found.forward
    assert 0 < found.outside[1] < found.backward
    assert found.calls >= 7


def test_without_a_gradoutput_only_forward_is_timed():
    found = quiet(graph(), X)
    assert found.backward == 0
    assert not any(row.backward for row in found.rows)


def test_gradients_and_random_numbers_are_as_before():
    g = graph()
    g.backward(X, g.forward(X))
    gradients = [gradient.copy() for gradient in g.parameters()[1]]
    nn.manualSeed(3)
    expected = g.forward(X)
    nn.manualSeed(3)
    quiet(g, X, np.ones((4, 8)))
    assert_trees_close(g.parameters()[1], gradients, EXACT)
    assert_close(g.forward(X), expected, EXACT)


def test_a_wrong_input_is_the_graph_s_own_error_and_gradients_stay():
    g = graph()
    g.backward(X, g.forward(X))
    gradients = [gradient.copy() for gradient in g.parameters()[1]]
    with pytest.raises(errors.ShapeError):
        quiet(g, X, np.ones((4, 7)))
    assert_trees_close(g.parameters()[1], gradients, EXACT)


def test_a_single_module_and_a_module_in_python_have_a_row():
    class Twice(nn.Module):
        def updateOutput(self, input):
            return 2 * input

        def updateGradInput(self, input, gradOutput):
            return 2 * gradOutput

    for module in (nn.Tanh(), Twice()):
        found = quiet(module, X, X)
        assert [row.label for row in found.rows] == [type(module).__name__]
        assert found.rows[0].forward > 0
        assert found.rows[0].backward > 0


def test_a_chart_is_drawn(tmp_path):
    found = quiet(graph(), X, np.ones((4, 8)))
    figure = found.plot(tmp_path / "times.svg")
    labels = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert [label.split(" at ")[0] for label in labels] == [
        "hidden, Linear(3 -> 8)", "Tanh *", "Linear(8 -> 8) *", "Dropout(0.5)",
    ]  # fmt: skip
    assert "<svg" in (tmp_path / "times.svg").read_text()


def test_without_matplotlib_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(errors.StateError, match="pip install"):
        quiet(graph(), X).plot()


def test_the_last_call_results_and_hooks_do_not_notice():
    g = graph()
    calls = []
    g.node("hidden").onForward(lambda *arguments: calls.append(arguments))
    out = g.forward(X)
    kept = out.copy()
    quiet(g, X[:2], np.ones((2, 8)))
    assert len(calls) == 1
    assert g.output is out
    assert_close(out, kept, EXACT)
    assert g.backward(X, out).shape == X.shape
    assert g.node("hidden").output.shape == (4, 8)
