"""Looking into a run: results of inner nodes, hooks, names, and what debugging says of a failure."""

import dataclasses
import gc
import io
import pickle
import weakref

import numpy as np
import pytest
from golden_cases import build_graph
from hypothesis import given, settings
from hypothesis import strategies as st
from random_graphs import arrays, containers, graphs
from tolerances import EXACT, SAME_MATHS, SUMS, assert_close, assert_trees_close
from trees import nesting

import pynngraph as nn
from pynngraph import errors

X = np.linspace(-1, 1, 12).reshape(4, 3)


@pytest.fixture
def debug(tmp_path):
    nn.setDebug(True, tmp_path)
    yield tmp_path
    nn.setDebug(False)


def chain(*modules):
    """A graph of one input and modules one after another; its nodes."""
    nodes = [nn.Identity()()]
    for module in modules:
        nodes.append(module(nodes[-1]))
    return nn.gModule([nodes[0]], [nodes[-1]]), nodes


# ---- results -------------------------------------------------------------------------------------


def test_results_of_inner_nodes_are_kept_and_found_by_node_name_and_module():
    linear = nn.Linear(3, 2)
    g, (_, node, _) = chain(linear, nn.Tanh())
    node.annotate(name="hidden")
    g.keep()
    out = g.forward(X)
    hidden = X @ linear.weight.T + linear.bias
    for found in (node.output, g.node("hidden").output, g.node(linear).output, linear.output):
        assert_close(found, hidden, SAME_MATHS)
    assert_close(node.input, X, EXACT)
    g.backward(X, np.ones_like(out))
    grad = 1 - np.tanh(hidden) ** 2
    assert_close(node.gradOutput, grad, SAME_MATHS)
    for found in (node.gradInput, linear.gradInput):
        assert_close(found, grad @ linear.weight, SAME_MATHS)


@pytest.mark.parametrize("what", ["input", "output", "gradOutput", "gradInput"])
def test_asking_for_what_was_not_kept_says_how_to_get_it(what):
    g, (_, node) = chain(nn.Tanh())
    g.backward(X, g.forward(X))
    with pytest.raises(errors.StateError, match=r"setDebug.*keep") as raised:
        getattr(node, what)
    assert "test_watch.py:" in str(raised.value)


def test_asking_an_inner_module_says_how_to_get_it_and_a_fresh_one_has_none():
    tanh = nn.Tanh()
    assert tanh.output is None
    nn.Sequential(tanh).forward(X)
    with pytest.raises(errors.StateError, match=r"setDebug.*keep"):
        _ = tanh.output
    assert_close(tanh.forward(X), tanh.output, EXACT)


def test_gradients_are_there_after_a_backward_only():
    g, (_, node) = chain(nn.Tanh())
    g.keep().forward(X)
    with pytest.raises(errors.StateError, match="gradInput"):
        _ = node.gradInput


def test_what_was_kept_is_gone_when_keeping_or_debugging_ends(debug):
    g, (_, node) = chain(nn.Tanh())
    g.forward(X)
    assert_close(node.output, np.tanh(X), SAME_MATHS)
    nn.setDebug(False)
    with pytest.raises(errors.StateError):
        _ = node.output
    g.keep().forward(X)
    assert_close(node.output, np.tanh(X), SAME_MATHS)
    g.keep(False)
    with pytest.raises(errors.StateError):
        _ = node.output
    g.forward(X)
    with pytest.raises(errors.StateError):
        _ = node.output


def test_modules_inside_of_containers_and_graphs_inside_of_graphs_are_kept():
    inner, (_, deep) = chain(nn.Exp())
    tanh = nn.Tanh()
    g, _ = chain(nn.Sequential(tanh, inner))
    g.keep().forward(X)
    assert_close(tanh.output, np.tanh(X), SAME_MATHS)
    assert_close(deep.output, np.exp(np.tanh(X)), SAME_MATHS)


def test_G5_each_node_of_a_repeated_module_keeps_its_own_results():
    tanh = nn.Tanh()
    g, (_, first, second) = chain(tanh, tanh)
    g.keep().backward(X, g.forward(X))
    assert_close(first.output, np.tanh(X), SAME_MATHS)
    assert_close(second.output, np.tanh(np.tanh(X)), SAME_MATHS)
    assert_close(first.gradOutput, second.gradInput, EXACT)
    assert_close(tanh.output, second.output, EXACT)
    assert_close(tanh.gradInput, second.gradInput, EXACT)


def test_tables_classes_and_nodes_that_get_no_gradient_are_kept():
    pair, target = nn.Identity()(), nn.Identity()()
    first, second = pair.split(2)
    loss = nn.CrossEntropyCriterion()([nn.CAddTable()([first, first]), target])
    g = nn.gModule([pair, target], [loss, nn.nest([second, [first]])]).keep()
    classes = np.array([0, 1, 2, 0])
    out = g.forward([(X, [X]), classes])
    grads = g.backward([(X, [X]), classes], [np.ones(1), [[np.ones_like(X)], [np.zeros_like(X)]]])
    assert nesting(pair.input) == nesting((X, [X]))
    assert target.output.dtype == np.int64
    assert not target.gradOutput.any()
    assert_trees_close(pair.gradInput, grads[0], EXACT)
    assert_trees_close(loss.output, out[0], EXACT)
    assert_trees_close(second.gradOutput, [np.ones_like(X)], EXACT)


@settings(max_examples=30, deadline=None)
@given(st.data())
def test_watched_graphs_give_the_same_and_gradients_of_nodes_add_up(data):
    spec, kinds = data.draw(graphs(max_nodes=8))
    tables = [data.draw(containers(kind)) for kind in kinds]
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    g = build_graph(spec)
    inputs = [arrays(kind, 3, rng, table) for kind, table in zip(kinds, tables, strict=True)]
    input = inputs if len(inputs) > 1 else inputs[0]
    output = g.forward(input)
    grads = g.backward(input, output)
    g.keep()
    assert_trees_close(g.forward(input), output, EXACT)
    assert_trees_close(g.backward(input, output), grads, SUMS)
    for node in g:
        if node in g.outputs or any(child.part is not None or child.inputs is not node for child in node.children):
            continue
        parts = [child.gradInput for child in node.children]
        assert_trees_close(node.gradOutput, sum_of(parts), SUMS)


def sum_of(trees):
    if isinstance(trees[0], (list, tuple)):
        return type(trees[0])(sum_of(entries) for entries in zip(*trees, strict=True))
    return sum(trees[1:], trees[0])


def test_kept_arrays_are_read_only_copies():
    g, (_, node, _) = chain(nn.Tanh(), nn.Identity())
    g.keep()
    out = g.forward(X)
    kept = node.output
    with pytest.raises(ValueError, match="read-only"):
        kept[0] = 0
    out[...] = 7
    g.forward(X + 1)
    assert_close(kept, np.tanh(X), SAME_MATHS)


def test_a_failed_run_keeps_what_came_before(debug):
    g, (_, first, second) = chain(nn.AddConstant(-2), nn.Log())
    with pytest.raises(errors.DataError):
        g.forward(X)
    assert_close(first.output, X - 2, SAME_MATHS)
    assert np.isnan(second.output).all()


# ---- hooks ---------------------------------------------------------------------------------------


def test_hooks_are_called_once_a_run_with_what_the_node_took_and_gave():
    g, (_, node, _) = chain(nn.MulConstant(2), nn.Tanh())
    seen = []
    ahead = node.onForward(lambda *arguments: seen.append(("forward", *arguments)))
    back = node.onBackward(lambda *arguments: seen.append(("backward", *arguments)))
    out = g.forward(X)
    g.backward(X, out)
    assert [(name, which) for name, which, *_ in seen] == [("forward", node), ("backward", node)]
    assert_trees_close(list(seen[0][2:]), [X, 2 * X], EXACT)
    grad = out * (1 - out**2)
    assert_trees_close(list(seen[1][2:]), [2 * grad, grad], SAME_MATHS)
    ahead.remove()
    g.backward(X, g.forward(X))
    assert [name for name, *_ in seen] == ["forward", "backward", "backward"]
    back.remove()
    back.remove()
    g.backward(X, g.forward(X))
    assert len(seen) == 3


def test_a_hook_is_called_once_though_modules_in_python_make_the_run_begin_again():
    class Shrinking(nn.Module):
        def updateOutput(self, input):
            return input[: np.random.default_rng().integers(1, 4)]

    g, (_, node, _) = chain(nn.Tanh(), Shrinking())
    seen = []
    node.onForward(lambda *arguments: seen.append(arguments[2]))
    for count in range(1, 20):
        g.forward(X)
        assert len(seen) == count


def test_what_a_hook_raises_ends_the_run_and_the_graph_works_afterwards():
    g, (_, node) = chain(nn.Tanh())

    def stop(*_):
        raise KeyError("stop")

    hook = node.onForward(stop)
    with pytest.raises(KeyError, match="stop"):
        g.forward(X)
    hook.remove()
    assert_close(g.forward(X), np.tanh(X), SAME_MATHS)


def test_hooks_of_parts_and_nests():
    pair = nn.Identity()()
    first, second = pair.split(2)
    both = nn.nest([second, first])
    g = nn.gModule([pair], [both])
    seen = {}
    first.onForward(lambda node, _, output: seen.update(first=output))
    both.onForward(lambda node, _, output: seen.update(both=output))
    g.forward([X, -X])
    assert_close(seen["first"], X, EXACT)
    assert_trees_close(seen["both"], [-X, X], EXACT)


def test_verbose_prints_each_node(capsys):
    g, _ = chain(nn.Tanh())
    g.verbose = True
    g.forward(X)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2
    assert "Tanh at test_watch.py:" in lines[1]
    assert "4x3" in lines[1]
    g.verbose = False
    g.forward(X)
    assert not capsys.readouterr().out


# ---- names ---------------------------------------------------------------------------------------


def test_D3_nodes_are_named_after_local_variables_and_given_names_stay():
    pixels = nn.Identity()()
    layers = [nn.Linear(3, 3)(pixels)]
    gates = {"input": nn.Tanh()(layers[0])}
    given = nn.Tanh()(gates["input"]).annotate(name="mine")
    nn.annotateNodes()
    g = nn.gModule([pixels], [given])
    assert [node.name for node in g] == ["pixels", "layers[0]", "gates['input']", "mine"]
    with pytest.raises(errors.ShapeError, match=r"layers\[0\], Linear\(3 -> 3\) at test_watch.py:"):
        g.forward(X[:, :2])


def test_D3_nodes_of_the_caller_are_named_by_stack_level():
    def name_mine():
        nn.annotateNodes(2)

    outside = nn.Identity()()
    name_mine()
    assert outside.name == "outside"
    with pytest.raises(errors.GraphError, match="stackLevel"):
        nn.annotateNodes(0)


def test_annotations_are_taken_in_both_spellings():
    node = nn.Identity()().annotate(name="a", description="b", graphAttributes={"color": "red"})
    other = nn.Identity()().annotate({"name": "a", "description": "b", "graphAttributes": {"color": "red"}})
    assert node.data.annotations == other.data.annotations
    assert node.name == "a"


def test_a_name_that_no_node_or_more_than_one_has_is_an_error():
    g, (first, second) = chain(nn.Tanh())
    with pytest.raises(errors.GraphError, match="annotate"):
        g.node("hidden")
    first.annotate(name="same")
    second.annotate(name="same")
    with pytest.raises(errors.GraphError, match="2 nodes"):
        g.node("same")
    with pytest.raises(errors.GraphError, match="there are same"):
        g.node("other")


# ---- debugging -----------------------------------------------------------------------------------


def failure(g, *inputs):
    with pytest.raises(errors.Error) as raised:
        g.forward(*inputs)
    return raised.value


def red_node(folder, name):
    """The label of the node that is red in a drawing."""
    lines = [line for line in (folder / f"{name}.dot").read_text().splitlines() if 'fillcolor="red"' in line]
    assert len(lines) == 1
    return lines[0]


def test_D2_a_wrong_shape_names_the_node_and_its_input_and_draws_it_red(debug):
    g, (_, node, _) = chain(nn.MulConstant(10), nn.Linear(4, 2))
    g.name = "bad_sizes"
    error = failure(g, X)
    assert isinstance(error, errors.ShapeError)
    assert error.node.data.module.__class__ is nn.Linear
    text = str(error)
    assert f"Linear(4 -> 2) at test_watch.py:{error.node.place.line}" in text
    assert "4x3, from -10 to 10" in text
    assert str(debug / "bad_sizes") in text
    assert "Linear(4 -> 2)" in red_node(debug, "bad_sizes")
    assert "4x3" in (debug / "bad_sizes.dot").read_text()
    assert_close(node.output, 10 * X, EXACT)


@pytest.mark.parametrize(
    ("module", "what"), [(nn.Log(), "NaN and inf"), (nn.Exp(), "inf"), (nn.MulConstant(np.nan), "NaN")], ids=str
)
def test_D2_the_first_nan_or_inf_names_the_node(debug, module, what):
    g, _ = chain(nn.Identity(), module, nn.Tanh(), nn.AddConstant(1))
    x = np.array([[-1.0, 0.0, 800.0]])
    error = failure(g, x)
    assert isinstance(error, errors.DataError)
    assert f"the output has {what}" in str(error)
    assert error.node.data.module is module
    assert "1x3, from -1 to 800" in str(error)
    assert type(module).__name__ in red_node(debug, "gModule")


def test_D2_nan_in_the_input_is_told_as_such(debug):
    g, (node, _) = chain(nn.Tanh())
    error = failure(g, X * np.nan)
    assert error.node is node
    assert "the input has NaN" in str(error)
    assert "12 NaN" in str(error)


def test_D2_nan_in_a_backward_names_the_node_and_leaves_gradients_alone(debug):
    class Broken(nn.Module):
        def updateOutput(self, input):
            return input

        def updateGradInput(self, input, gradOutput):
            return gradOutput / 0.0

    linear = nn.Linear(3, 3)
    g, (_, _, node, _) = chain(linear, Broken(), nn.Linear(3, 2))
    out = g.forward(X)
    before = [gradient.copy() for gradient in g.parameters()[1]]
    with np.errstate(all="ignore"), pytest.raises(errors.DataError, match="the gradInput has") as raised:
        g.backward(X, np.ones_like(out))
    assert raised.value.node is node
    assert "its gradOutput: 4x3, from" in str(raised.value)
    assert_trees_close(g.parameters()[1], before, EXACT)


def test_D2_errors_of_modules_in_python_name_the_node(debug):
    class Broken(nn.Module):
        def updateOutput(self, input):
            raise RuntimeError("no")

    g, _ = chain(nn.MulConstant(3), Broken())
    with pytest.raises(RuntimeError, match="no") as raised:
        g.forward(X)
    told = "\n".join([*map(str, raised.value.args), *getattr(raised.value, "__notes__", [])])
    assert "4x3, from -3 to 3" in told
    assert "Broken" in red_node(debug, "gModule")


def test_D2_a_failure_in_a_graph_inside_is_drawn_there(debug):
    inner, _ = chain(nn.Log())
    inner.name = "inner"
    g, _ = chain(nn.Sequential(nn.AddConstant(-5), inner))
    assert "Log" in str(failure(g, X))
    assert "Log" in red_node(debug, "inner")


def test_D2_a_class_out_of_range_names_the_criterion_and_the_range(debug):
    node, target = nn.Identity()(), nn.Identity()()
    g = nn.gModule([node, target], [nn.ClassNLLCriterion()([node, target])])
    text = str(failure(g, [X, np.array([0, 1, 2, 3])]))
    assert "4 of int64, from 0 to 3" in text
    assert "target 3 of row 3" in text


def test_D2_a_folder_that_does_not_exist_is_told_and_the_error_stays(tmp_path):
    nn.setDebug(True, tmp_path / "missing")
    try:
        g, _ = chain(nn.Log())
        error = failure(g, X)
    finally:
        nn.setDebug(False)
    assert "the output has NaN" in str(error)
    assert "could not be drawn" in str(error)


def test_without_debugging_nan_passes():
    g, _ = chain(nn.Log())
    with np.errstate(all="ignore"):
        assert np.isnan(g.forward(X)).any()


def test_debugging_changes_no_result(debug):
    g, _ = chain(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2))
    out = g.forward(X)
    grad = g.backward(X, out)
    nn.setDebug(False)
    assert_close(g.forward(X), out, EXACT)
    assert_close(g.backward(X, out), grad, SAME_MATHS)


def test_D2_a_module_or_criterion_by_itself_is_checked_too(debug):
    for run in (lambda: nn.Log().forward(-X), lambda: nn.MSECriterion().forward(X * np.nan, X)):
        for _ in range(2):
            with np.errstate(all="ignore"), pytest.raises(errors.DataError, match="NaN"):
                run()


def test_D2_nan_in_a_weight_is_told(debug):
    linear = nn.Linear(3, 2)
    linear.weight[1, 2] = np.nan
    g, _ = chain(linear)
    assert "its weight: 2x3, from" in str(failure(g, X))
    assert ", 1 NaN" in str(failure(g, X))


def test_what_was_not_kept_is_as_if_it_were_not_there():
    g, (_, node) = chain(nn.Tanh())
    g.forward(X)
    assert not hasattr(node, "output")
    assert getattr(g.modules[1], "gradInput", None) is None


def test_watching_changes_no_random_number(debug):
    node = nn.Identity()()
    hidden = nn.Tanh()(nn.Dropout(0.5)(node))
    g = nn.gModule([node], [nn.Dropout(0.3)(hidden)])
    x = np.ones((20, 30))
    seen = []
    for watch in (
        lambda: nn.setDebug(False),
        g.keep,
        lambda: nn.setDebug(True, debug),
        lambda: hidden.onForward(print),
    ):
        watch()
        nn.manualSeed(3)
        seen.append(g.forward(x))
    for found in seen[1:]:
        assert_close(found, seen[0], EXACT)


def test_a_replay_leaves_no_answer_for_the_next_forward():
    class Squared(nn.Module):
        def updateOutput(self, input):
            return input * input

        def updateGradInput(self, input, gradOutput):
            return 2 * input * gradOutput

    class Own(nn.Sequential):
        def updateOutput(self, input):
            return super().updateOutput(input)

    twice = Own(Squared(), nn.Identity())
    net = nn.Sequential(twice, twice)
    for x in (2.0, 3.0, 4.0):
        assert_close(net.forward(np.array([x])), np.array([x**4]), SAME_MATHS)
        assert_close(net.backward(np.array([x]), np.ones(1)), np.array([4 * x**3]), SAME_MATHS)
        nn.summary(net, np.ones(4), file=io.StringIO())
        assert_close(net.backward(np.array([x]), np.ones(1)), np.array([4 * x**3]), SAME_MATHS)


def test_explaining_leaves_no_answer_and_the_last_forward_stays(debug):
    class Twice(nn.Module):
        def updateOutput(self, input):
            return 2 * input

        def updateGradInput(self, input, gradOutput):
            return 2 * gradOutput

    class Failing(Twice):
        fails = True

        def updateGradInput(self, input, gradOutput):
            if self.fails:
                raise ValueError("not now")
            return 2 * gradOutput

    nn.setDebug(False)
    failing = Failing()
    g, _ = chain(Twice(), failing)
    g.forward(X)
    nn.setDebug(True, debug)
    with pytest.raises(ValueError, match="not now"):
        g.backward(X, X)
    failing.fails = False
    assert_close(g.backward(X, X), 4 * X, EXACT)
    nn.setDebug(False)
    assert_close(g.forward(10 * X), 40 * X, EXACT)


def test_results_of_an_older_run_are_not_told_after_one_that_failed():
    g, (first, second, third) = chain(nn.Exp(), nn.Log())
    g.keep().forward(X)
    hook = second.onForward(lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        g.forward(X + 1)
    assert_close(first.output, X + 1, EXACT)
    for ask in (lambda: third.output, lambda: g.modules[2].output):
        with pytest.raises(errors.StateError, match="did not come so far"):
            ask()
    hook.remove()
    g.forward(X)
    g.backward(X, X)
    g.backward(X, X, gradInput=False)
    with pytest.raises(errors.StateError, match="no gradInput"):
        _ = first.gradInput


def test_kept_results_of_the_last_call_only_take_memory():
    g, (_, node) = chain(nn.Tanh())
    g.keep()
    kept = []
    for rows in range(1, 6):
        g.forward(np.zeros((rows, 3)))
        kept.append(weakref.ref(node.output))
    gc.collect()
    assert [array() is None for array in kept] == [True] * 4 + [False]
    g.keep(False)
    g.forward(X)
    assert kept[-1]() is None


def test_keep_reaches_into_a_container_that_calls_its_own_lowering():
    class Own(nn.Sequential):
        def updateOutput(self, input):
            return super().updateOutput(input)

    tanh = nn.Tanh()
    g, _ = chain(Own(tanh, nn.Exp()))
    g.keep().forward(X)
    assert_close(tanh.output, np.tanh(X), SAME_MATHS)


def test_an_error_of_a_net_in_a_module_in_python_is_explained_once(debug):
    inner, _ = chain(nn.MulConstant(3), nn.Log())

    class Runs(nn.Module):
        def updateOutput(self, input):
            return inner.forward(input)

    g, _ = chain(nn.AddConstant(-9), Runs())
    text = str(failure(g, X))
    assert text.count("its input") == 1
    assert "from -30 to -24" in text


def test_errors_are_pickled_without_the_graph(debug):
    g, _ = chain(nn.Log())
    error = failure(g, X)
    assert error.node is not None
    copy = pickle.loads(pickle.dumps(error))  # noqa: S301 - our own
    assert (type(copy), str(copy), copy.node) == (type(error), str(error), None)


def test_exceptions_with_attributes_of_their_own_stay_as_they_are(debug):
    @dataclasses.dataclass(frozen=True)
    class Frozen(Exception):
        site: str

    class Broken(nn.Module):
        def updateOutput(self, input):
            raise Frozen("theirs")

    g, _ = chain(Broken())
    with pytest.raises(Frozen) as raised:
        g.forward(X)
    assert raised.value.site == "theirs"


def test_D2_infinite_gradients_of_parameters_are_told(debug):
    linear = nn.Linear(3, 3)
    g, (_, node) = chain(linear)
    out = g.forward(np.full((2, 3), 1e200))
    with pytest.raises(errors.DataError, match="gradient of its weight") as raised:
        g.backward(np.full((2, 3), 1e200), np.full_like(out, 1e200))
    assert raised.value.node is node
    assert not linear.gradWeight.any()


def test_D3_variables_that_contain_each_other_are_named_in_passing():
    parent = {"node": nn.Identity()()}
    parent["children"] = [{"parent": parent, "node": nn.Tanh()(parent["node"])} for _ in range(3)]
    numbers = [0] * 100_000
    nn.annotateNodes()
    assert parent["children"][1]["node"].name == "parent['children'][1]['node']"
    assert len(numbers) == 100_000
