"""Building graphs: nodes, nesting, and errors that name the line."""

import pickle
import re
import warnings
from pathlib import Path

import numpy as np
import pytest
from samples import mlp, normal
from tolerances import EXACT, SAME_MATHS, SUMS, assert_close, assert_trees_close
from trees import nesting

import pynngraph as nn
from pynngraph import errors

X, Y = normal(4, 3), normal(4, 3, seed=8)


def lines(error):
    """Numbers of the lines of this file that a message names."""
    return [int(number) for number in re.findall(r"test_graphs\.py:(\d+)", str(error.value))]


def line_of(mark):
    """The number of the line of this file that ends in a comment."""
    with Path(__file__).open(encoding="utf-8") as file:
        return 1 + next(k for k, text in enumerate(file) if text.rstrip().endswith(f"# {mark}"))


def test_G1_nodes_that_reach_no_output_are_named_all_at_once():
    node = nn.Identity()()
    nn.Tanh()(node)  # dangles first
    nn.Sigmoid()(nn.Exp()(node))  # dangles second
    with pytest.raises(errors.GraphError) as raised:
        nn.gModule([node], [nn.Tanh()(node)])
    assert {line_of("dangles first"), line_of("dangles second")} <= set(lines(raised))


def test_G1_an_input_that_reaches_no_output_is_named():
    node, other = nn.Identity()(), nn.Identity()()  # other dangles
    with pytest.raises(errors.GraphError) as raised:
        nn.gModule([node, other], [nn.Tanh()(node)])
    assert line_of("other dangles") in lines(raised)


def test_a_node_that_no_input_reaches_is_named():
    node, forgotten = nn.Identity()(), nn.Identity()()  # forgotten
    with pytest.raises(errors.GraphError) as raised:
        nn.gModule([node], [nn.CAddTable()([node, forgotten])])
    assert line_of("forgotten") in lines(raised)


def test_G2_unused_parts_of_a_split_are_named_with_the_count_and_both_lines():
    node = nn.Identity()()  # declared
    first, *_ = node.split(3)  # split
    with pytest.raises(errors.GraphError) as raised:
        nn.gModule([node], [nn.Tanh()(first)])
    assert {line_of("declared"), line_of("split")} <= set(lines(raised))
    assert "2" in str(raised.value)
    assert "3" in str(raised.value)


def test_a_split_that_does_not_fit_the_table_is_an_error():
    node = nn.Identity()()
    g = nn.gModule([node], node.split(2))
    assert nesting(g.forward([X, Y])) == ("list", X.shape, Y.shape)
    for wrong in ([X], [X, Y, X], X):
        with pytest.raises(errors.Error):
            g.forward(wrong)


@pytest.mark.parametrize(
    "wrong",
    [lambda: nn.Tanh()(nn.Linear(3, 3)), lambda: nn.Tanh()([nn.Identity()(), nn.Linear(3, 3)]),
     lambda: nn.gModule([nn.Identity()], [nn.Identity()()]), lambda: nn.gModule([nn.Identity()()], [nn.Tanh()])],
    ids=("bare", "in a list", "as an input", "as an output"),
)  # fmt: skip
def test_G3_a_module_where_a_node_is_meant_hints_at_the_second_parentheses(wrong):
    with pytest.raises(errors.GraphError) as raised:
        wrong()
    assert "()" in str(raised.value)


@pytest.mark.parametrize("wrong", [None, [], [None], [[]]], ids=repr)
def test_G3_none_and_empty_lists_are_errors(wrong):
    with pytest.raises(errors.GraphError):
        nn.CAddTable()(wrong)


def test_G3_the_position_is_told():
    node = nn.Identity()()
    with pytest.raises(errors.GraphError, match="2"):
        nn.CAddTable()([node, node, None])


@pytest.mark.parametrize(
    "wrong",
    [lambda x: x - nn.Tanh, lambda x: nn.Tanh - x, lambda x: x - X, lambda x: X - x, lambda x: x - x, lambda x: -x,
     lambda x: x(nn.Tanh()), nn.Tanh, lambda x: nn.Linear(x, 3), nn.Sequential],
    ids=("class", "class first", "array", "array first", "node", "minus", "call", "argument", "size", "container"),
)  # fmt: skip
def test_G3_a_node_where_it_cannot_stand_is_an_error_that_says_what_to_write(wrong):
    with pytest.raises(errors.GraphError, match=r"module|Tanh|\(\.\.\.\)\(node\)"):
        wrong(nn.Identity()())


def test_arguments_that_a_module_does_not_take_are_an_error():
    with pytest.raises(errors.GraphError, match="takes no arguments, got 3"):
        nn.Tanh(3)


def test_G3_no_outputs_are_an_error():
    with pytest.raises(errors.GraphError):
        nn.gModule([nn.Identity()()], [])


@pytest.mark.parametrize("wrong", [X, [X, Y]], ids=("array", "arrays"))
def test_a_module_called_with_an_array_says_to_use_forward(wrong):
    with pytest.raises(errors.Error, match="forward"):
        nn.Tanh()(wrong)


def test_G4_the_same_node_twice_in_one_list_works():
    node = nn.Identity()()
    g = nn.gModule([node], [nn.CMulTable()([node, node])])
    assert_close(g.forward(X), X * X, EXACT)
    assert_close(g.backward(X, Y), 2 * X * Y, SAME_MATHS)


def test_G5_one_module_at_two_nodes_is_one_set_of_parameters_and_two_evaluations():
    linear = nn.Linear(3, 3)
    node = nn.Identity()()
    g = nn.gModule([node], [linear(nn.Tanh()(linear(node)))])
    assert len(g.parameters()[0]) == 2
    weight, bias = linear.weight, linear.bias
    hidden = np.tanh(X @ weight.T + bias)
    assert_close(g.forward(X), hidden @ weight.T + bias, SAME_MATHS)
    below = (Y @ weight) * (1 - hidden**2)
    assert_close(g.backward(X, Y), below @ weight, SAME_MATHS)
    assert_close(linear.gradWeight, Y.T @ hidden + below.T @ X, SAME_MATHS)
    assert_close(linear.gradBias, (Y + below).sum(0), SAME_MATHS)


def test_G6_a_list_of_one_node_and_a_bare_node_are_different():
    node = nn.Identity()()
    g = nn.gModule([node], [nn.Identity()(node), nn.Identity()([node])])
    output = g.forward(X)
    assert nesting(output) == ("list", X.shape, ("list", X.shape))
    assert_close(g.backward(X, [Y, [Y]]), 2 * Y, EXACT)


def test_a_graph_of_one_input_and_one_output_takes_and_gives_bare_arrays():
    node = nn.Identity()()
    g = nn.gModule([node], [nn.Tanh()(node)])
    assert nesting(g.forward(X)) == X.shape
    assert nesting(g.backward(X, Y)) == X.shape
    g.forward(X)
    with pytest.raises(errors.StructureError):
        g.backward([X], Y)


def test_G8_an_identity_is_the_root_of_a_nested_input():
    root = nn.Identity()()
    left, right = root.split(2)
    inner, outer = right.split(2)
    g = nn.gModule([root], [nn.CAddTable()([left, nn.CMulTable()([inner, outer])])])
    input = (X, [Y, X])
    assert_close(g.forward(input), X + Y * X, SAME_MATHS)
    assert_trees_close(g.backward(input, Y), (Y, [Y * X, Y * Y]), SAME_MATHS)


def test_G9_the_minus_operators_build_the_same_graphs():
    root = -nn.Identity()
    hidden = root - nn.Tanh() - nn.MulConstant(2)
    g = nn.gModule([root], [[hidden, root] - nn.CAddTable()])
    assert_close(g.forward(X), 2 * np.tanh(X) + X, SAME_MATHS)


def test_G10_a_criterion_as_a_node_gives_its_target_zeros_also_after_clearstate():
    node, target = nn.Identity()(), nn.Identity()()
    g = nn.gModule([node, target], [nn.MSECriterion()([node, target])])
    for _ in range(2):
        loss = g.forward([X, Y])
        assert_close(loss.ravel(), np.array([((X - Y) ** 2).mean()]), SAME_MATHS)
        found = g.backward([X, Y], np.ones_like(loss))
        assert_trees_close(found, [2 * (X - Y) / X.size, np.zeros_like(Y)], SAME_MATHS)
        g.clearState()


def test_G10_a_criterion_with_classes_as_a_node():
    node, target = nn.Identity()(), nn.Identity()()
    g = nn.gModule([node, target], [nn.CrossEntropyCriterion()([node, target])])
    classes = np.array([0, 2, 1, 1])
    expected = nn.CrossEntropyCriterion()
    loss = g.forward([X, classes])
    assert_close(loss.ravel(), np.array([expected.forward(X, classes)]), SAME_MATHS)
    found = g.backward([X, classes], np.ones_like(loss))
    assert_close(found[0], expected.backward(X, classes), SAME_MATHS)
    assert found[1].shape == classes.shape
    assert not found[1].any()


def test_G11_a_module_whose_gradinput_was_set_to_none_works_in_a_graph():
    linear = nn.Linear(3, 3)
    node = nn.Identity()()
    g = nn.gModule([node], [linear(node)])
    g.forward(X)
    g.backward(X, Y)
    linear.gradInput = None
    g.forward(X)
    assert_close(g.backward(X, Y), Y @ linear.weight, SAME_MATHS)


def test_nest_makes_the_nesting_that_is_written():
    first, second = nn.Identity()(), nn.Identity()()
    g = nn.gModule([first, second], [nn.nest([first, [second], [[first]]])])
    output = g.forward([X, Y])
    assert nesting(output) == ("list", X.shape, ("list", Y.shape), ("list", ("list", X.shape)))
    assert_trees_close(g.backward([X, Y], [X, [Y], [[X]]]), [2 * X, Y], EXACT)


def test_nested_lists_of_nodes_are_nested_inputs():
    first, second = nn.Identity()(), nn.Identity()()
    g = nn.gModule([first, second], [nn.SelectTable(1)([first, [second, first]])])
    assert nesting(g.forward([X, Y])) == ("list", Y.shape, X.shape)
    assert_trees_close(g.backward([X, Y], [Y, X]), [X, Y], EXACT)


def test_a_node_may_be_output_input_and_inner_node_at_once():
    node = nn.Identity()()
    g = nn.gModule([node], [node, nn.Tanh()(node)])
    assert_trees_close(g.forward(X), [X, g.forward(X)[1]], EXACT)
    assert_close(g.backward(X, [X, np.zeros_like(X)]), X, EXACT)


def test_a_module_with_parameters_as_input_node():
    first, second = nn.Linear(3, 2)(), nn.Linear(3, 2)()
    g = nn.gModule([first, second], [nn.CMulTable()([first, second])])
    out = g.forward([X, Y])
    assert out.shape == (4, 2)
    assert nesting(g.backward([X, Y], out)) == nesting([X, Y])


def test_graphs_and_containers_nest_in_each_other():
    node = nn.Identity()()
    inner = nn.gModule([node], [mlp(3, 3)(node)])
    outer = nn.Sequential().add(inner).add(nn.Tanh())
    root = nn.Identity()()
    g = nn.gModule([root], [outer(root)])
    assert_close(g.forward(X), np.tanh(inner.forward(X)), SAME_MATHS)
    assert len(g.parameters()[0]) == 4


def test_B13_walks_reach_modules_at_any_depth():
    dropout = nn.Dropout(0.5)
    node = nn.Identity()()
    inner = nn.gModule([node], [nn.Sequential().add(nn.Linear(3, 3)).add(dropout)(node)])
    root = nn.Identity()()
    g = nn.gModule([root], [nn.Sequential().add(inner)(root)])
    assert dropout in g.listModules()
    g.evaluate()
    assert not dropout.train
    assert_close(g.forward(X), g.forward(X), EXACT)
    g.training()
    assert dropout.train
    g.float()
    assert g.forward(X.astype(np.float32)).dtype == np.float32
    g.double()
    g.backward(X, g.forward(X))
    g.zeroGradParameters()
    assert not any(gradient.any() for gradient in g.parameters()[1])
    seen = []
    g.apply(seen.append)
    assert dropout in seen
    assert dropout in g.findModules(nn.Dropout)[0]
    g.replace(lambda module: nn.Identity() if isinstance(module, nn.Dropout) else module)
    assert not g.findModules(nn.Dropout)[0]
    assert_close(g.forward(X), g.forward(X), EXACT)


def test_a_graph_with_a_cycle_cannot_be_written_and_an_input_may_not_be_repeated():
    node = nn.Identity()()
    with pytest.raises(errors.GraphError):
        nn.gModule([node, node], [nn.Tanh()(node)])


def test_an_input_node_may_have_no_inputs_of_its_own():
    node = nn.Identity()()
    hidden = nn.Tanh()(node)
    with pytest.raises(errors.GraphError):
        nn.gModule([hidden], [nn.Sigmoid()(hidden)])


def test_a_deep_graph_does_not_hit_the_recursion_limit():
    node = first = nn.Identity()()
    for _ in range(3000):
        node = nn.AddConstant(1)(node)
    g = nn.gModule([first], [node])
    assert_close(g.forward(X), X + 3000, SAME_MATHS)
    assert_close(g.backward(X, Y), Y, EXACT)


def test_a_wide_sum_of_one_node_adds_up():
    node = nn.Identity()()
    g = nn.gModule([node], [nn.CAddTable()([node] * 100)])
    g.forward(X)
    assert_close(g.backward(X, Y), 100 * Y, SAME_MATHS)


def test_a_graph_shows_its_nodes_in_both_orders():
    node = nn.Identity()()
    g = nn.gModule(node, nn.Tanh()(nn.Exp()(node)))
    names = [type(n.data.module).__name__ for n in g.forwardnodes]
    assert names == ["Identity", "Exp", "Tanh"]
    assert g.backwardnodes == g.forwardnodes[::-1]
    assert list(g) == g.forwardnodes
    assert "Exp" in repr(g.forwardnodes[1])
    assert "test_graphs.py:" in repr(g.forwardnodes[1])
    assert_close(g.forward(X), np.tanh(np.exp(X)), SAME_MATHS)


def test_a_fork_into_no_modules_gives_an_empty_list():
    fork = nn.ConcatTable()
    assert fork.forward(X) == []
    assert_close(fork.backward(X, []), np.zeros_like(X), EXACT)


def test_all_faults_of_a_graph_are_told_at_once_with_names_and_lines():
    first = nn.Identity()().annotate(name="first")  # first
    unused = nn.Identity()()  # unused input
    left, *_ = first.split(4)  # split in four
    nn.Sigmoid()(left).annotate(name="loose")  # loose end
    forgotten = nn.Identity()()  # no input
    output = nn.CAddTable()([left, forgotten])
    with pytest.raises(errors.GraphError) as raised:
        nn.gModule([first, unused], [output])
    told = ["first", "unused input", "split in four", "loose end", "no input"]
    assert {line_of(what) for what in told} <= set(lines(raised))
    assert "loose, Sigmoid" in str(raised.value)
    assert "3 are not used: parts 1, 2 and 3" in str(raised.value)


def test_a_message_of_very_many_faults_ends():
    node = nn.Identity()()
    loose = [nn.Tanh()(node) for _ in range(1000)]
    with pytest.raises(errors.GraphError, match="949 more") as raised:
        nn.gModule([node], [loose[0]])
    assert len(str(raised.value)) < 20_000


def test_a_line_that_ran_twice_is_hinted_at():
    node = nn.Identity()()
    outputs = [nn.Tanh()(node) for _ in range(2)]
    with pytest.raises(errors.GraphError, match="make the graph's inputs anew"):
        nn.gModule([node], outputs[1:])


def test_G7_a_graph_of_parameters_alone_takes_and_gives_empty_lists():
    weight, shift = nn.Parameters(4, 3), nn.Parameters(4, 3)
    g = nn.gModule([], [nn.CMulTable()([weight(), nn.Tanh()(shift())])])
    out = g.forward([])
    assert_close(out, weight.weight * np.tanh(shift.weight), SAME_MATHS)
    assert g.backward([], X) == []
    assert_close(weight.gradWeight, X * np.tanh(shift.weight), SAME_MATHS)
    assert_close(shift.gradWeight, X * weight.weight * (1 - np.tanh(shift.weight) ** 2), SAME_MATHS)
    for wrong in (X, [X], None):
        with pytest.raises(errors.Error):
            g.forward(wrong)


def test_G7_parameters_stand_beside_inputs_and_a_graph_of_them_is_a_node_without_input():
    weight = nn.Parameters(4, 3)
    inner = nn.gModule([], [weight()])
    node = nn.Identity()()
    g = nn.gModule([node], [nn.CMulTable()([node, inner(), weight()])])
    assert len(g.parameters()[0]) == 1
    assert_close(g.forward(X), X * weight.weight**2, SAME_MATHS)
    assert_close(g.backward(X, Y), Y * weight.weight**2, SAME_MATHS)
    assert_close(weight.gradWeight, 2 * X * Y * weight.weight, SAME_MATHS)


def test_G7_a_module_in_python_may_do_without_input():
    class Noise(nn.Module):
        takes_input = False

        def updateOutput(self, input):
            assert input == []
            return np.ones((4, 3))

    node = nn.Identity()()
    g = nn.gModule([node], [nn.CAddTable()([node, Noise()()])])
    assert_close(g.forward(X), X + 1, EXACT)
    assert_close(g.backward(X, Y), Y, EXACT)


def test_B4_the_number_of_entries_may_change_from_call_to_call():
    node = nn.Identity()()
    g = nn.gModule([node], [nn.Tanh()(nn.CAddTable()(node))])
    for count in (1, 3, 2, 7, 3):
        output = g.forward([X] * count)
        assert_close(output, np.tanh(count * X), SAME_MATHS)
        found = g.backward([X] * count, Y)
        assert_trees_close(found, [Y * (1 - output**2)] * count, SAME_MATHS)


def test_B5_a_gradient_of_the_input_that_is_not_needed_is_not_computed():
    linear = nn.Linear(3, 2)
    g = nn.Sequential(linear, nn.Tanh())
    out = g.forward(X)
    g.backward(X, out)
    expected = linear.gradWeight.copy()
    plan = g._execution.last_call().ready.plan
    g.zeroGradParameters()
    assert g.backward(X, out, gradInput=False) is None
    assert_close(linear.gradWeight, expected, EXACT)
    plan.measure(True)
    g.backward(X, out, gradInput=False)
    without = sum(step.runs for step in plan.step_times(backward=True))
    g.backward(X, out)
    assert sum(step.runs for step in plan.step_times(backward=True)) > 2 * without


def test_the_number_of_plans_kept_can_be_set():
    node = nn.Identity()()
    g = nn.gModule([node], [nn.Tanh()(node)])
    g.maxPlans = 2
    for rows in (1, 2, 3, 4):
        g.forward(np.zeros((rows, 3)))
    assert len(g._execution._plans) == 2
    assert g.clone().maxPlans == 2
    assert nn.Tanh().maxPlans > 2


def test_B13_replace_may_change_sizes_and_reaches_modules_that_are_no_container_s():
    linear = nn.Linear(3, 4)
    node, target = nn.Identity()(), nn.Identity()()
    hidden = linear(nn.Sequential(nn.Linear(3, 3))(node))
    loss = nn.ModuleFromCriterion(nn.MSECriterion())([hidden, linear(node), target][:2])
    g = nn.gModule([node, target], [loss, nn.Tanh()(target)])
    g.forward([X, Y])
    wide = {id(linear): nn.Linear(3, 7)}

    def widen(module):
        if isinstance(module, nn.MSECriterion):
            return nn.MSECriterion(False)
        return wide.get(id(module), module)

    assert g.replace(widen) is g
    assert [module.outputSize for module in g.findModules(nn.Linear)[0]] == [3, 7, 7]
    assert len(g.parameters()[0]) == 4
    new = wide[id(linear)]
    inner = g.findModules("Sequential")[0][0].forward(X)
    expected = (((inner - X) @ new.weight.T) ** 2).sum()
    assert_close(g.forward([X, Y])[0], np.array([expected]), SUMS)


def test_fg_and_bg_have_nodes_and_edges_in_both_directions():
    node = nn.Identity()()
    left, right = nn.Tanh()(node), nn.Exp()(node)
    out = nn.CAddTable()([left, right, left])
    g = nn.gModule([node], [out])
    assert g.fg.nodes == g.fg.topsort() == g.forwardnodes == [node, left, right, out]
    assert g.fg.edges == [(node, left), (node, right), (left, out), (right, out), (left, out)]
    assert (g.fg.roots(), g.fg.leaves()) == ([node], [out])
    assert (g.bg.roots(), g.bg.leaves()) == ([out], [node])
    assert g.bg.topsort() == g.backwardnodes
    assert sorted((id(b), id(a)) for a, b in g.fg.edges) == sorted((id(a), id(b)) for a, b in g.bg.edges)
    assert g.innode.children == [node]
    assert g.outnode.inputs == [out]
    assert g.innode.data.module is None
    assert (g.nInputs, g.name, g.verbose) == (1, "gModule", False)


def test_walking_the_nodes_initialises_by_name_as_real_code_does():
    node = nn.Identity()()
    gates = [nn.Linear(3, 6)(node).annotate(name=f"i2h_{layer}") for layer in range(2)]
    g = nn.gModule([node], gates)
    for found in g.forwardnodes:
        if found.data.annotations.get("name", "").startswith("i2h_"):
            found.data.module.bias[3:] = 1
    assert all((linear.bias[3:] == 1).all() for linear in g.findModules("nn.Linear")[0])


def test_P6_a_pickled_graph_holds_names_and_annotations_and_no_results():
    node = nn.Identity()().annotate(name="pixels", description="gray")
    g = nn.gModule([node], [nn.Tanh()(node)])
    small = len(pickle.dumps(g))
    g.keep().forward(np.zeros((500, 300)))
    assert len(pickle.dumps(g)) < small + 200
    other = pickle.loads(pickle.dumps(g))  # noqa: S301 - our own
    assert other.node("pixels").data.annotations == node.data.annotations
    assert_close(other.forward(X), np.tanh(X), SAME_MATHS)
    assert_close(other.node("pixels").output, X, EXACT)
    with pytest.raises(errors.StateError):
        _ = g.clearState().node("pixels").output


def test_a_list_that_changes_after_the_call_changes_no_node():
    nodes = [nn.Identity()(), nn.Identity()()]
    total = nn.CAddTable()(nodes)
    both = nn.nest(nodes)
    g = nn.gModule(nodes, [total, both])
    nodes.append(nn.Identity()())
    assert nesting(g.forward([X, Y])) == ("list", X.shape, ("list", X.shape, Y.shape))


def test_a_graph_can_be_packed_after_an_attempt_that_failed():
    pair, other = nn.Identity()(), nn.Identity()()
    left, right = pair.split(2)
    with pytest.raises(errors.GraphError, match="is not among the inputs"):
        nn.gModule([pair], [nn.CAddTable()([left, right, other])])
    with pytest.raises(errors.GraphError):
        nn.CAddTable()([nn.Tanh()(left), None])
    g = nn.gModule([pair, other], [nn.CAddTable()([left, right, other])])
    assert_close(g.forward([[X, Y], Y]), X + 2 * Y, SAME_MATHS)


def test_what_another_graph_is_made_of_does_not_hang_loose():
    node = nn.Identity()()
    hidden = nn.Tanh()(node)
    whole = nn.gModule([node], [nn.Exp()(hidden)])
    features = nn.gModule([node], [hidden])
    assert_close(np.exp(features.forward(X)), whole.forward(X), SAME_MATHS)
    nn.Sigmoid()(hidden)  # forgotten after all
    with pytest.raises(errors.GraphError) as raised:
        nn.gModule([node], [hidden])
    assert lines(raised) == [line_of("forgotten after all")]


@pytest.mark.parametrize(
    "kind", [nn.CAddTable, nn.MM, nn.Reshape, nn.Dropout, nn.Threshold, nn.MSECriterion, nn.Linear]
)
def test_G3_nodes_as_arguments_hint_at_the_second_parentheses(kind):
    nodes = [nn.Identity()(), nn.Identity()()]
    with pytest.raises(errors.GraphError, match=rf"{kind.__name__}\(\.\.\.\)\(node\)"):
        kind(nodes)


def test_a_node_is_no_list_of_its_parts():
    node = nn.Identity()()
    with pytest.raises(errors.GraphError, match="split"):
        _first, _second = node
    with pytest.raises(errors.GraphError, match="split"):
        _ = node[0]


def test_a_list_of_modules_hints_at_a_star():
    with pytest.raises(errors.GraphError, match=r"Sequential\(\*modules\)"):
        nn.Sequential([nn.Tanh(), nn.Exp()])


@pytest.mark.parametrize("share", [lambda net: net.clone("weigth", "bias"), lambda net: net.share(net, "weigth")])
def test_P4_a_name_that_no_parameter_has_is_an_error(share):
    with pytest.raises(errors.GraphError, match="'weigth': there are bias"):
        share(nn.Sequential(nn.Linear(3, 3), nn.Tanh()))


def test_P1_parameters_of_two_dtypes_have_no_vector():
    net = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3).float())
    with pytest.raises(errors.DTypeError, match="float32"):
        net.getParameters()


def test_modules_are_made_without_warnings_in_single_precision():
    nn.setdefaulttensortype("float32")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for _ in range(20):
            junk = [np.full((64, 64), 1e300) for _ in range(20)]
            del junk
            for make in (lambda: nn.Linear(64, 64), lambda: nn.Parameters(64, 64), lambda: nn.LookupTable(64, 64)):
                assert make().weight.dtype == np.float32


def test_errors_of_modules_in_python_name_the_line():
    class OneWay(nn.Module):
        def updateOutput(self, input):
            return input

    node = nn.Identity()()
    g = nn.gModule([node], [OneWay()(node)])  # one way
    with pytest.raises(errors.GraphError, match="has no updateGradInput") as raised:
        g.backward(X, g.forward(X))
    assert lines(raised) == [line_of("one way")]


def test_a_graph_with_a_name_is_called_by_it():
    node = nn.Identity()()
    g = nn.gModule([node], [nn.Tanh()(node)])
    g.name = "encoder"
    with pytest.raises(errors.DTypeError, match=r"gModule encoder at test_graphs\.py"):
        g.forward(None)
    assert "forward graph of gModule encoder" in repr(g.fg)
    assert "backward graph" in repr(g.bg)


def test_B13_a_replace_that_fails_changes_nothing():
    node = nn.Identity()()
    g = nn.gModule([node], [nn.Exp()(nn.Sequential(nn.Tanh(), nn.Linear(3, 3))(node))])
    expected = g.forward(X)
    with pytest.raises(errors.GraphError, match="replace takes modules"):
        g.replace(lambda module: None if isinstance(module, nn.Exp) else nn.Sigmoid())
    assert_close(g.forward(X), expected, EXACT)
    assert [type(module) for module in g.modules] == [nn.Identity, nn.Sequential, nn.Exp]


def test_B13_a_module_at_several_places_is_replaced_by_one():
    linear = nn.Linear(3, 3)
    net = nn.Sequential(linear, nn.Tanh(), nn.Sequential(linear))
    net.replace(lambda module: nn.Linear(3, 3) if module is linear else module)
    assert net.modules[0] is net.modules[2].modules[0] is not linear
    assert len(net.parameters()[0]) == 2


def test_replacing_in_one_of_two_graphs_of_the_same_nodes_is_seen_in_both():
    node = nn.Identity()()
    hidden = nn.Tanh()(node)
    features, whole = nn.gModule([node], [hidden]), nn.gModule([node], [nn.MulConstant(2)(hidden)])
    whole.forward(X)
    features.replace(lambda module: nn.Exp() if isinstance(module, nn.Tanh) else module)
    assert_close(whole.forward(X), 2 * np.exp(X), SAME_MATHS)
    hidden.data.module = nn.Identity()
    assert_close(whole.forward(X), 2 * X, EXACT)
    assert type(features.modules[1]) is nn.Identity


def test_a_cycle_is_an_error_that_names_it():
    node = nn.Identity()()  # part of a cycle
    hidden = nn.Tanh()(node)
    node.inputs = hidden
    with pytest.raises(errors.GraphError, match="cycle") as raised:
        nn.gModule([node], [nn.Exp()(hidden)])
    assert line_of("part of a cycle") in lines(raised)


def test_G3_an_empty_list_inside_of_a_list_is_an_error():
    node = nn.Identity()()
    for wrong in ([node, []], [[], node], [node, [[node], ()]]):
        with pytest.raises(errors.GraphError, match="empty"):
            nn.CAddTable()(wrong)


def test_a_minus_between_modules_says_how_a_chain_begins():
    for wrong in (lambda: nn.Tanh() - nn.Tanh(), lambda: nn.Tanh() - 5, lambda: nn.Tanh() - nn.Identity()()):
        with pytest.raises(errors.GraphError, match="-module or node - module"):
            wrong()


@pytest.mark.parametrize("wrong", [3, nn.Tanh, None, nn.Identity()()], ids=("number", "class", "none", "node"))
def test_only_a_module_may_take_the_place_of_a_node_s_module(wrong):
    pair = nn.Identity()()
    part = nn.Tanh()(pair.split(1)[0])
    g = nn.gModule([pair], [part])
    for node in (part, part.inputs):
        with pytest.raises(errors.GraphError, match="the module of a node"):
            node.data.module = wrong
    assert_close(g.forward([X]), np.tanh(X), SAME_MATHS)


@pytest.mark.parametrize("scale", ["a", None, [1], np.ones(2)], ids=("text", "none", "list", "array"))
def test_a_scale_that_is_no_number_is_an_error(scale):
    net = nn.Linear(3, 3)
    out = net.forward(X)
    for call in (net.backward, net.accGradParameters):
        with pytest.raises(errors.DTypeError, match="scale must be a number"):
            call(X, out, scale)
    assert not net.gradWeight.any()


def test_P6_a_pickled_model_has_the_size_of_its_parameters():
    net = nn.Linear(300, 200)
    net.backward(np.ones(300), net.forward(np.ones(300)))
    saved = pickle.dumps(net)
    assert len(saved) < 1.01 * net.weight.nbytes + 3000
    other = pickle.loads(saved)  # noqa: S301 - our own
    assert other.gradWeight.shape == (200, 300)
    assert not other.gradWeight.any()
    assert net.clone().gradWeight.any()


def test_a_list_of_one_node_where_an_array_is_wanted_says_what_to_write():
    node = nn.Identity()()
    g = nn.gModule([node], [nn.Tanh()([node])])
    with pytest.raises(errors.StructureError, match=r"write \(node\), not \(\[node\]\)"):
        g.forward(X)
