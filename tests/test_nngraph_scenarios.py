"""What users of nngraph do, as its tests and its README do it, replayed here: numbers by NumPy or by differences.

Dims count from 0, and a list of one node is not the bare node; all else is as it was there.
"""

import inspect
import re
from pathlib import Path

import numpy as np
import pytest
from numerical import gradient
from samples import COPIES, normal
from tolerances import EXACT, NUMERICAL, SAME_MATHS, SINGLE, assert_close, assert_trees_close
from trees import leaves, nesting, random_like, tree_map

import pynngraph as nn
from pynngraph import errors


def identity():
    return nn.Identity()()


def check_gradients(g, input, *, skip=()):
    """Gradients of inputs and parameters against central differences; `skip` are inputs that get zeros anyway."""
    weights = random_like(g.forward(input), np.random.default_rng(3))
    g.zeroGradParameters()
    found = g.backward(input, weights)
    assert nesting(found) == nesting(input)
    arrays = [leaf for place, leaf in enumerate(leaves(input)) if place not in skip]
    grads = [leaf for place, leaf in enumerate(leaves(found)) if place not in skip]
    parameters, of_parameters = g.parameters()
    wanted = gradient(lambda: g.forward(input), arrays + parameters, weights)
    assert_trees_close([*grads, *of_parameters], wanted, NUMERICAL)


def line_of(mark):
    """The number of the line of this file that ends in a comment."""
    with Path(__file__).open(encoding="utf-8") as file:
        return 1 + next(k for k, text in enumerate(file) if text.rstrip().endswith(f"# {mark}"))


# ---- inputs and outputs --------------------------------------------------------------------------


def test_one_input_and_one_output_run_again_for_each_input():
    node = identity()
    g = nn.gModule([node], [nn.Identity()(node)])
    for x, grad in ((1.0, -123.0), (2.0, -2.0)):
        input = np.array([x])
        assert_close(g.forward(input), input, EXACT)
        assert_close(g.output, input, EXACT)
        assert_close(g.backward(input, np.array([grad])), np.array([grad]), EXACT)
        assert_close(g.gradInput, np.array([grad]), EXACT)


def test_the_gradients_of_a_fork_add_up():
    node = identity()
    g = nn.gModule([node], [nn.Identity()(node), nn.Identity()(node)])
    x = np.array([1.0])
    g.forward(x)
    assert_close(g.backward(x, [np.array([-2.0]), np.array([-3.0])]), np.array([-5.0]), EXACT)
    check_gradients(g, normal(4))


def test_an_input_node_with_a_module_and_two_parts_of_its_slices():
    node = nn.Sigmoid()()
    g = nn.gModule([node], nn.SplitTable(0)(node).split(2))
    x = normal(2, 3)
    y = 1 / (1 + np.exp(-x))
    assert_trees_close(g.forward(x), [y[0], y[1]], SAME_MATHS)
    grad = normal(2, 3, seed=8)
    assert_close(g.backward(x, list(grad)), grad * y * (1 - y), SAME_MATHS)
    check_gradients(g, x)


def test_an_array_and_a_pair_multiply():
    first, pair = identity(), identity()
    h, cell = pair.split(2)
    g = nn.gModule([first, pair], [nn.CMulTable()([first, h, cell])])
    x, a, b, grad = normal(4, 3)
    assert_close(g.forward([x, [a, b]]), x * a * b, SAME_MATHS)
    assert_trees_close(g.backward([x, [a, b]], grad), [grad * a * b, [grad * x * b, grad * x * a]], SAME_MATHS)
    check_gradients(g, [x, [a, b]])


@pytest.mark.parametrize("module", [nn.Identity, nn.Sigmoid])
def test_input_nodes_are_outputs_too(module):
    first, second = module()(), module()()
    g = nn.gModule([first, second], [first, second, module()(first)])
    input = [normal(3), normal(3, seed=8)]
    y, z = module().forward(input[0]), module().forward(input[1])
    assert_trees_close(g.forward(input), [y, z, module().forward(y)], EXACT)
    check_gradients(g, input)


def test_an_input_that_passes_by_is_an_output():
    first, second = identity(), identity()
    g = nn.gModule([first, second], [nn.Tanh()(first), second])
    x, y = normal(2), normal(5)
    assert_trees_close(g.forward([x, y]), [np.tanh(x), y], SAME_MATHS)
    grads = [normal(2, seed=8), normal(5, seed=9)]
    assert_trees_close(g.backward([x, y], grads), [grads[0] * (1 - np.tanh(x) ** 2), grads[1]], SAME_MATHS)


def test_the_gradient_of_a_recurrent_state_is_a_pair_of_arrays():
    x, state = identity(), identity()
    h, cell = state.split(2)
    g = nn.gModule([x, state], [nn.CAddTable()([nn.CMulTable()([x, h]), nn.CMulTable()([h, cell])])])
    a, b, c, grad = normal(4, 3)
    assert_close(g.forward([a, [b, c]]), a * b + b * c, SAME_MATHS)
    of_x, of_state = g.backward([a, [b, c]], grad)
    assert_close(of_x, grad * b, SAME_MATHS)
    assert_trees_close(of_state, [grad * (a + c), grad * b], SAME_MATHS)
    check_gradients(g, [a, [b, c]])


def test_an_input_node_may_turn_an_array_into_a_table():
    node = nn.SplitTable(0)()
    g = nn.gModule([node], [nn.CAddTable()(node)])
    x = normal(2, 3)
    assert_close(g.forward(x), x.sum(0), SAME_MATHS)
    check_gradients(g, x)


def test_an_extra_table_around_the_input_comes_out_again():
    node = identity()
    g = nn.gModule([node], [nn.Identity()(node)])
    x = np.array([123.0])
    assert_trees_close(g.forward(x), x, EXACT)
    assert_trees_close(g.forward([x]), [x], EXACT)
    assert_trees_close(g.backward([x], [x]), [x], EXACT)


def test_a_table_of_any_length_is_joined_twice():
    node = identity()
    joined = [nn.Sequential(nn.JoinTable(1), module)(node) for module in (nn.Tanh(), nn.Identity())]
    g = nn.gModule([node], [nn.CAddTable()(joined)])
    for rows, count in ((3, 3), (2, 3), (2, 5), (3, 3)):
        input = list(normal(count, rows, 3))
        both = np.concatenate(input, 1)
        assert_close(g.forward(input), np.tanh(both) + both, SAME_MATHS)
        check_gradients(g, input)


def test_nested_tables_grow_and_shrink_from_call_to_call():
    node = identity()
    g = nn.gModule([node], [nn.Identity()(node), nn.Identity()(node)])
    long, three, four, five = (normal(count, seed=count) for count in (10, 3, 4, 5))
    for inner in ([three, four], [three, four, five], [three, four]):
        input = [long, inner]
        output = g.forward(input)
        assert_trees_close(output, [input, input], EXACT)
        assert_trees_close(g.backward(input, output), tree_map(lambda x: 2 * x, input), EXACT)
        check_gradients(g, input)


def test_a_node_is_used_beside_its_parts():
    state = identity()
    h, cell = state.split(2)
    g = nn.gModule([state], [h, nn.Identity()(state), nn.Sigmoid()(cell)])
    a, b = normal(10), normal(10, seed=8)
    assert_trees_close(g.forward([a, b]), [a, [a, b], 1 / (1 + np.exp(-b))], SAME_MATHS)
    check_gradients(g, [a, b])


# ---- networks ------------------------------------------------------------------------------------


def hidden_layers():
    """The README's first network; its input node has a module."""
    h1 = nn.Linear(20, 10)()
    return nn.gModule([h1], [nn.Linear(10, 1)(nn.Tanh()(nn.Linear(10, 10)(nn.Tanh()(h1))))])


def test_two_hidden_layers():
    mlp = hidden_layers()
    (w1, b1, w2, b2, w3, b3), grads = mlp.parameters()
    x, dx = normal(20), normal(1, seed=8)
    a = np.tanh(w1 @ x + b1)
    b = np.tanh(w2 @ a + b2)
    assert_close(mlp.updateOutput(x), w3 @ b + b3, SAME_MATHS)
    d3 = w3.T @ dx * (1 - b**2)
    d2 = w2.T @ d3 * (1 - a**2)
    assert_close(mlp.updateGradInput(x, dx), w1.T @ d2, SAME_MATHS)
    assert not any(grad.any() for grad in grads)
    mlp.accGradParameters(x, dx)
    wanted = [np.outer(d2, x), d2, np.outer(d3, a), d3, np.outer(dx, b), dx]
    assert_trees_close(grads, wanted, SAME_MATHS)
    assert nn.dot(mlp).startswith("digraph")


def test_two_inputs_and_two_outputs():
    h1, h2 = nn.Linear(20, 20)(), nn.Linear(10, 10)()
    hh1, hh2 = nn.Linear(20, 1)(nn.Tanh()(h1)), nn.Linear(10, 1)(nn.Tanh()(h2))
    both = nn.CAddTable()([hh1, hh2])
    g = nn.gModule([h1, h2], [nn.Sigmoid()(both), nn.Tanh()(both)])
    x, y = normal(20), normal(10)
    (w1, b1, v1, c1), (w2, b2, v2, c2) = (
        [array for node in pair for array in (node.module.weight, node.module.bias)] for pair in ((h1, hh1), (h2, hh2))
    )
    total = v1 @ np.tanh(w1 @ x + b1) + c1 + v2 @ np.tanh(w2 @ y + b2) + c2
    assert_trees_close(g.updateOutput([x, y]), [1 / (1 + np.exp(-total)), np.tanh(total)], SAME_MATHS)
    assert nesting(g.updateGradInput([x, y], [normal(1), normal(1)])) == nesting([x, y])
    check_gradients(g, [x, y])


def test_containers_that_give_tables():
    parts = nn.ParallelTable(nn.Linear(10, 20), nn.Linear(10, 30))
    input = identity()
    first, second = nn.Sequential(nn.SplitTable(0), parts)(input).split(2)
    g = nn.gModule([input], [nn.JoinTable(0)([first, second])])
    x = normal(2, 10)
    wanted = [part.weight @ row + part.bias for part, row in zip(parts.modules, x, strict=True)]
    assert_close(g.forward(x), np.concatenate(wanted), SAME_MATHS)
    grad = normal(50)
    of_rows = [part.weight.T @ g for part, g in zip(parts.modules, np.split(grad, [20]), strict=True)]
    assert_close(g.backward(x, grad), np.array(of_rows), SAME_MATHS)
    check_gradients(g, x)


def each_layer_sees_the_two_before(sizes=(10, 20, 60, 160)):
    """The README's deeper network, with what its nodes are called there."""
    n0, n1, n2, n3 = sizes
    input = identity()
    first = nn.Tanh()(nn.Linear(n0, n1)(input))
    second = nn.Tanh()(nn.Linear(n0 + n1, n2)(nn.JoinTable(0)([input, first])))
    third = nn.Tanh()(nn.Linear(n1 + n2, n3)(nn.JoinTable(0)([first, second])))
    return input, first, second, third


def by_hand(g, x):
    w1, b1, w2, b2, w3, b3 = g.parameters()[0]
    first = np.tanh(w1 @ x + b1)
    second = np.tanh(w2 @ np.concatenate([x, first]) + b2)
    return np.tanh(w3 @ np.concatenate([first, second]) + b3)


def test_each_layer_sees_the_two_before():
    input, *_, last = each_layer_sees_the_two_before()
    g = nn.gModule([input], [last])
    x = normal(10)
    assert_close(g.forward(x), by_hand(g, x), SAME_MATHS)
    assert g.backward(x, normal(160)).shape == (10,)
    input, *_, last = each_layer_sees_the_two_before((1, 2, 6, 16))
    check_gradients(nn.gModule([input], [last]), normal(1))


def test_the_same_network_in_minus_operators():
    input = -nn.Identity()
    first = input - nn.Linear(10, 20) - nn.Tanh()
    second = [input, first] - nn.JoinTable(0) - nn.Linear(30, 60) - nn.Tanh()
    third = [first, second] - nn.JoinTable(0) - nn.Linear(80, 160) - nn.Tanh()
    g = nn.gModule([input], [third])
    x = normal(10)
    assert_close(g.forward(x), by_hand(g, x), SAME_MATHS)
    *_, last = each_layer_sees_the_two_before()
    other = nn.gModule([_[0]], [last])
    assert [module.label() for module in g.modules] == [module.label() for module in other.modules]


def test_two_hidden_layers_in_minus_operators():
    h1 = -nn.Linear(20, 10)
    g = nn.gModule([h1], [h1 - nn.Tanh() - nn.Linear(10, 10) - nn.Tanh() - nn.Linear(10, 1)])
    assert [module.label() for module in g.modules] == [module.label() for module in hidden_layers().modules]
    check_gradients(g, normal(20))


def test_parameters_of_an_input_node_get_the_gradients_of_all_its_uses():
    scale = nn.Linear(3, 3)
    node = scale()
    g = nn.gModule([node], [nn.Identity()(node), nn.Identity()(node)])
    check_gradients(g, normal(4, 3))


def test_a_graph_does_as_the_containers_of_the_same_modules():
    m0, m1 = nn.Linear(5, 10)(), nn.Linear(10, 20)()
    m2 = nn.Linear(30, 50)(nn.JoinTable(0)([m0, m1]))
    g = nn.gModule([m0, m1], [m2])
    net = nn.Sequential(nn.ParallelTable(nn.Linear(5, 10), nn.Linear(10, 20)), nn.JoinTable(0), nn.Linear(30, 50))
    for mine, theirs in zip(net.parameters()[0], g.parameters()[0], strict=True):
        mine[...] = theirs
    for step in range(5):
        input, grad = [normal(5, seed=step), normal(10, seed=step)], normal(50, seed=step)
        assert_close(g.updateOutput(input), net.updateOutput(input), SAME_MATHS)
        for module in (g, net):
            module.zeroGradParameters()
        assert_trees_close(g.updateGradInput(input, grad), net.updateGradInput(input, grad), SAME_MATHS)
        for module in (g, net):
            module.accGradParameters(input, grad)
        assert_trees_close(g.parameters()[1], net.parameters()[1], SAME_MATHS)


def test_a_net_of_two_columns_learns():
    net = nn.Sequential(
        nn.SplitTable(1),
        nn.ParallelTable(nn.Linear(10, 3), nn.Linear(10, 7)),
        nn.ParallelTable(nn.Linear(3, 2), nn.Linear(7, 1)),
        nn.JoinTable(0),
    )
    criterion, x, y = nn.MSECriterion(), np.ones((10, 2)), np.ones(3)
    losses = []
    for _ in range(25):
        losses.append(criterion.forward(net.forward(x), y))
        net.zeroGradParameters()
        net.backward(x, criterion.backward(net.output, y))
        net.updateParameters(0.05)
    assert losses[-1] < losses[0] / 2


def test_types_change_all_the_way_through():
    g = hidden_layers()
    x = normal(20)
    output = g.forward(x)
    kept = output.copy()
    g.backward(x, output)
    assert {g.output.dtype, g.gradInput.dtype, output.dtype} == {np.dtype("float64")}
    g.float()
    single = g.forward(x.astype("float32"))
    assert g.backward(x.astype("float32"), single).dtype == g.output.dtype == single.dtype == "float32"
    assert {array.dtype for arrays in g.parameters() for array in arrays} == {np.dtype("float32")}
    assert_close(single, kept, SINGLE)
    assert_close(g.double().forward(x), kept, SINGLE)


# ---- what is wrong is told -----------------------------------------------------------------------


def test_G1_what_does_not_connect_to_an_output_is_named_by_its_line():
    input = identity()
    linear = nn.Linear(20, 10)(input)
    nn.Sigmoid()(linear)  # leads nowhere
    with pytest.raises(errors.GraphError, match=rf"test_nngraph_scenarios\.py:{line_of('leads nowhere')}\b"):
        nn.gModule([input], [nn.Tanh()(linear)])


def test_G1_an_input_that_nobody_uses_is_an_error():
    x, h = identity(), identity()
    with pytest.raises(errors.GraphError):
        nn.gModule([x, h], [x])


def test_G1_a_node_of_an_input_that_nobody_uses_is_an_error():
    first, second = identity(), identity()
    nn.Sigmoid()(second)  # middle
    with pytest.raises(errors.GraphError, match=rf":{line_of('middle')}\b"):
        nn.gModule([first, second], [nn.Sigmoid()(first)])


def test_G2_a_part_that_nobody_uses_is_named_by_both_lines():
    input = identity()  # made here
    output, _ = input.split(2)  # split here
    with pytest.raises(errors.GraphError) as raised:
        nn.gModule([input], [output])
    named = set(map(int, re.findall(r"\.py:(\d+)", str(raised.value))))
    assert {line_of("split here")} <= named <= {line_of("split here"), line_of("made here"), *helper_lines()}


def helper_lines():
    """Lines of the helper that makes input nodes."""
    text, start = inspect.getsourcelines(identity)
    return range(start, start + len(text))


def test_G3_none_in_place_of_a_node_is_an_error():
    with pytest.raises(errors.GraphError, match="None"):
        nn.Sigmoid()(None)


MODULE, NODE = nn.Identity(), identity()
MISTAKES = {
    "a module in a list": (lambda: nn.CMulTable()([NODE, MODULE]), r"\[1\].*module.*\(\)"),
    "a module among inputs": (lambda: nn.gModule([NODE, MODULE], [NODE]), r"\[1\].*inputs.*Identity.*\(\)"),
    "a module among outputs": (lambda: nn.gModule([NODE], [NODE, NODE, nn.Linear(2, 3)]), r"\[2\].*outputs.*Linear"),
    "None among outputs": (lambda: nn.gModule([NODE], [NODE, None, NODE]), r"\[1\].*outputs.*None"),
    "an empty list": (lambda: nn.Identity()([]), "empty"),
}


@pytest.mark.parametrize(("call", "text"), MISTAKES.values(), ids=MISTAKES)
def test_G3_what_is_no_node_is_told_with_its_place(call, text):
    with pytest.raises(errors.GraphError, match=text):
        call()


# ---- nest, JustElement, JustTable ----------------------------------------------------------------


def test_nest_gives_the_nesting_as_written():
    a, b, c = identity(), identity(), identity()
    outputs = [
        nn.CAddTable()(nn.nest([a])), nn.nest(a), nn.nest([a, [b], c]), nn.nest([c]), nn.nest([a, b]),
    ]  # fmt: skip
    g = nn.gModule([a, b, c], outputs)
    x, y, z = normal(7, 3), normal(2), normal(3)
    wanted = [x, x, [x, [y], z], [z], [x, y]]
    assert_trees_close(g.forward([x, y, z]), wanted, EXACT)
    assert_trees_close(g.backward([x, y, z], wanted), [4 * x, 2 * y, 2 * z], EXACT)


def test_just_table_puts_a_table_around():
    x, module = normal(7, 11), nn.JustTable()
    assert_trees_close(module.forward(x), [x], EXACT)
    assert_trees_close(module.backward(x, [2 * x]), 2 * x, EXACT)
    assert_trees_close(module.forward([x, (x,)]), [[x, (x,)]], EXACT)
    assert_trees_close(module.backward([x, (x,)], [[x, (2 * x,)]]), [x, (2 * x,)], EXACT)


def test_just_element_takes_it_off():
    x, module = normal(7, 11), nn.JustElement()
    assert_trees_close(module.forward([x]), x, EXACT)
    assert_trees_close(module.backward([x], 2 * x), [2 * x], EXACT)
    assert_trees_close(module.forward(([x, x],)), [x, x], EXACT)
    assert_trees_close(module.backward(([x, x],), [x, 2 * x]), ([x, 2 * x],), EXACT)


@pytest.mark.parametrize("wrong", [normal(3), [], [normal(3), normal(3)]], ids=("array", "none", "two"))
def test_just_element_wants_a_table_of_exactly_one(wrong):
    with pytest.raises(errors.StructureError):
        nn.JustElement().forward(wrong)


def test_they_undo_each_other_in_a_graph():
    node = identity()
    g = nn.gModule([node], [nn.Tanh()(nn.JustElement()(nn.JustTable()(node)))])
    check_gradients(g, normal(2, 3))


def test_a_split_into_one_part_is_a_list_of_one_node():
    node = identity()
    g = nn.gModule([node], node.split(1))
    x = normal(7, 11)
    assert_trees_close(g.forward([x]), x, EXACT)
    assert_trees_close(g.backward([x], 2 * x), [2 * x], EXACT)
    for wrong in (x, [x, x]):
        with pytest.raises(errors.Error):
            g.forward(wrong)


# ---- criterions as nodes -------------------------------------------------------------------------


def test_G10_a_loss_in_bits():
    prediction, target = identity(), identity()
    bits = nn.MulConstant(1 / np.log(2))(nn.MSECriterion()([prediction, target]))
    g = nn.gModule([prediction, target], [bits])
    x, t, grad = normal(3, 5), normal(3, 5, seed=8), np.array([-1.5])
    assert_close(g.forward([x, t]), np.array([((x - t) ** 2).mean() / np.log(2)]), SAME_MATHS)
    wanted = [grad / np.log(2) * 2 * (x - t) / x.size, np.zeros_like(t)]
    assert_trees_close(g.backward([x, t], grad), wanted, SAME_MATHS)
    check_gradients(g, [x, t], skip=(1,))


def test_G10_a_target_that_is_made_in_the_graph():
    prediction = identity()
    target = nn.AddConstant(1.23)(nn.MulConstant(0)(prediction))
    g = nn.gModule([prediction], [nn.MSECriterion()([prediction, target])])
    check_gradients(g, normal(4, 7))


def loss():
    return nn.ModuleFromCriterion(nn.MSECriterion())


@pytest.mark.parametrize("copy", COPIES.values(), ids=COPIES)
def test_G10_a_criterion_as_a_module_is_saved_and_copied(copy):
    input = [normal(3, 5), normal(3, 5, seed=8)]
    module = loss()
    other = copy(module)
    assert_close(other.forward(input), module.forward(input), EXACT)
    grad = np.ones(1)
    assert_trees_close(other.backward(input, grad), module.backward(input, grad), EXACT)


def test_G10_a_criterion_as_a_module_changes_its_type():
    input = [normal(3, 5), normal(3, 5, seed=8)]
    module = loss()
    expected = module.forward(input).copy()
    single = tree_map(lambda x: x.astype("float32"), input)
    found = module.float().forward(single)
    assert found.dtype == "float32"
    assert_close(found, expected, SINGLE)
    assert {grad.dtype for grad in module.backward(single, found)} == {np.dtype("float32")}
    assert_close(module.double().forward(input), expected, EXACT)


# ---- parameters as nodes -------------------------------------------------------------------------


def test_G7_a_node_of_parameters_takes_no_input():
    node, constant = identity(), nn.Parameters(3, 4)
    g = nn.gModule([node], [nn.CMulTable()([node, constant()])])
    assert constant.weight.shape == constant.gradWeight.shape == (3, 4)
    x, grad = normal(3, 4), normal(3, 4, seed=8)
    assert_close(g.forward(x), x * constant.weight, EXACT)
    g.zeroGradParameters()
    assert_close(g.backward(x, grad), grad * constant.weight, EXACT)
    assert_close(constant.gradWeight, grad * x, EXACT)
    check_gradients(g, x)


def test_G7_a_graph_of_parameters_alone_has_no_input():
    first, second = nn.Parameters(2, 3), nn.Parameters(2, 3)
    g = nn.gModule([], [nn.Tanh()(nn.CMulTable()([first(), second()]))])
    y = np.tanh(first.weight * second.weight)
    grad = normal(2, 3)
    for _ in range(2):
        assert_close(g.forward([]), y, SAME_MATHS)
        g.zeroGradParameters()
        assert g.backward([], grad) == []
        assert_close(first.gradWeight, grad * (1 - y**2) * second.weight, SAME_MATHS)
        g = COPIES["pickle"](g)
        first, second = g.findModules(nn.Parameters)[0]
    for wrong in (None, normal(2, 3), [normal(2, 3)]):
        with pytest.raises(errors.Error):
            g.forward(wrong)


def test_G7_parameters_are_trained_as_others():
    wanted = normal(4)
    constant = nn.Parameters(4)
    g = nn.gModule([], [nn.Identity()(constant())])
    flat, grads = g.getParameters()
    for _ in range(60):
        grads.fill(0)
        g.backward([], g.forward([]) - wanted)
        flat -= 0.5 * grads
    assert_close(constant.weight, wanted, SAME_MATHS)


# ---- annotations and drawings --------------------------------------------------------------------


def annotated():
    """The README's annotated network."""
    input, first, second, third = each_layer_sees_the_two_before()
    first.annotate(name="L1", description="Level 1 Node", graphAttributes={"color": "red"})
    second.annotate(name="L2", description="Level 2 Node", graphAttributes={"color": "blue", "fontcolor": "green"})
    third.annotate(
        name="L3",
        description="Level 3 Node",
        graphAttributes={"color": "green", "style": "filled", "fillcolor": "yellow", "tooltip": "I am green"},
    )
    return nn.gModule([input], [third])


def drawn(text, name):
    """The line of a drawing that has the node of this name."""
    (line,) = [line for line in text.splitlines() if f'"{name}' in line]
    return line


def test_D3_annotations_are_in_the_drawing():
    text = nn.dot(annotated())
    assert "Level 1 Node" in drawn(text, "L1")
    assert 'color="red"' in drawn(text, "L1")
    assert 'fontcolor="green"' in drawn(text, "L2")
    for part in ("Level 3 Node", 'style="filled"', 'fillcolor="yellow"', 'tooltip="I am green"'):
        assert part in drawn(text, "L3")


def test_D3_annotating_gives_the_node_and_adds_to_earlier_annotations():
    node = identity()
    assert node.annotate(name="pixels") is node
    assert node.annotate(description="what it is") is node
    assert node.label().startswith("pixels")
    text = nn.dot(nn.gModule([node], [nn.Tanh()(node)]))
    assert "what it is" in drawn(text, "pixels")


def test_D3_annotations_change_no_number_and_survive_a_copy():
    g = annotated()
    x = normal(10)
    assert_close(g.forward(x), by_hand(g, x), SAME_MATHS)
    for copy in (COPIES["pickle"](g), g.clone()):
        assert_close(copy.forward(x), g.output, EXACT)  # both know their shapes
        assert nn.dot(copy) == nn.dot(g)


def test_D1_a_drawing_has_a_line_for_each_node_and_an_arrow_for_each_use():
    node = identity()
    middle = nn.Linear(10, 10)(node)
    g = nn.gModule([node], [nn.CAddTable()([nn.Tanh()(middle), nn.Tanh()(middle)])])
    text = nn.dot(g)
    assert text.count("Tanh") == 2
    assert len(re.findall(r"n\d+ -> n\d+", text)) == 1 + 2 + 2


def test_the_graph_forward_and_the_graph_backward_are_there_to_look_at():
    input, first, _, third = each_layer_sees_the_two_before()
    g = nn.gModule([input], [third])
    fg, bg = g.fg, g.bg
    assert {id(node) for node in g.forwardnodes} <= {id(node) for node in fg.nodes}
    assert len(fg.edges) == len(bg.edges)
    assert fg.roots() == bg.leaves()
    assert fg.leaves() == bg.roots()
    place = {id(node): k for k, node in enumerate(fg.topsort())}
    assert len(place) == len(fg.nodes)
    assert place[id(input)] < place[id(first)] < place[id(third)]
    backwards = {id(node): k for k, node in enumerate(bg.topsort())}
    assert backwards[id(input)] > backwards[id(first)] > backwards[id(third)]


def test_the_graph_backward_is_the_graph_forward_turned_round():
    input, *_, third = each_layer_sees_the_two_before()
    g = nn.gModule([input], [third])
    arrows = [re.findall(r"(n\d+) -> (n\d+)", nn.dot(graph)) for graph in (g.fg, g.bg)]
    assert sorted(arrows[0]) == sorted(arrow[::-1] for arrow in arrows[1])
    assert "upside down" in nn.dot(g.bg, title="upside down")


def test_drawings_are_written_under_the_name_that_was_given(tmp_path):
    g = annotated()
    for graph, name in ((g.fg, "fg.dot"), (g.bg, "bg.dot")):
        text = nn.dot(graph, title="Graph", path=tmp_path / name)
        assert (tmp_path / name).read_text() == text
        assert "Level 2 Node" in drawn(text, "L2")


def test_the_nodes_that_gather_inputs_and_outputs():
    first, second = identity(), identity()
    g = nn.gModule([first, second], [nn.Tanh()(first), second])
    assert g.innode.children == [first, second]
    assert g.outnode.inputs == g.outputs


# ---- debugging -----------------------------------------------------------------------------------


@pytest.fixture
def debug(tmp_path, monkeypatch):
    """Debugging is on; files are written into a folder of the test."""
    monkeypatch.chdir(tmp_path)
    nn.setDebug(True)
    yield tmp_path
    nn.setDebug(False)


def named_net(size=10):
    input_x = nn.Identity()()
    linear_module = nn.Linear(size, size)(input_x)
    nn.annotateNodes()
    return nn.gModule([input_x], [linear_module])


def test_D3_nodes_are_named_after_local_variables():
    text = nn.dot(named_net())
    assert "Identity" in drawn(text, "input_x")
    assert "Linear" in drawn(text, "linear_module")


def test_D3_names_given_by_hand_stay():
    given = nn.Identity()().annotate(name="mine")
    result = nn.Tanh()(given)
    nn.annotateNodes()
    text = nn.dot(nn.gModule([given], [result]))
    assert "Identity" in drawn(text, "mine")
    assert "Tanh" in drawn(text, "result")


def test_D2_an_error_names_the_node_and_draws_it_red(debug):
    net = named_net()
    net.name = "my_bad_linear_net"
    with pytest.raises(errors.ShapeError, match="linear_module"):
        net.updateOutput(normal(11))
    line = drawn((debug / "my_bad_linear_net.dot").read_text(), "linear_module")
    assert "red" in line
    assert "filled" in line
    assert net.forward(normal(10)).shape == (10,)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_D2_the_first_nan_or_infinity_is_an_error_that_names_the_node(debug, bad):
    fine = nn.Identity()()
    spoiled = nn.Log()(nn.MulConstant(1)(fine))
    after = nn.Tanh()(spoiled)
    nn.annotateNodes()
    g = nn.gModule([fine], [after])
    g.name = "spoiled_net"
    assert_close(g.forward(np.ones(2)), np.zeros(2), EXACT)
    x = np.array([1.0, {np.inf: np.inf, -np.inf: 0.0}.get(bad, -1.0)])
    with pytest.raises(errors.Error, match="spoiled" if np.isfinite(x).all() else "fine"):
        g.forward(x)
    assert "red" in (debug / "spoiled_net.dot").read_text()


def test_D2_without_debugging_numbers_are_taken_as_they_are(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    node = identity()
    g = nn.gModule([node], [nn.Log()(node)])
    assert_close(g.forward(np.array([0.0, -1.0])), np.array([-np.inf, np.nan]), EXACT)
    assert not list(tmp_path.iterdir())


def traced():
    """A graph of which all inner numbers are known: x, then y = w x + b, then tanh y and y^2."""
    node = nn.Identity()().annotate(name="start")
    linear = nn.Linear(3, 2)
    middle = linear(node).annotate(name="middle")
    top = nn.Tanh()(middle).annotate(name="top")
    g = nn.gModule([node], [top, nn.CMulTable()([middle, middle])])
    return g, linear, middle, top


@pytest.mark.parametrize("how", ["keep", "setDebug"])
def test_inner_numbers_are_there_once_they_are_kept(how, request):
    g, linear, middle, top = traced()
    if how == "keep":
        g.keep(True)
    else:
        request.getfixturevalue("debug")
    x, (a, b) = normal(4, 3), normal(2, 4, 2)
    g.forward(x)
    g.backward(x, [a, b])
    y = x @ linear.weight.T + linear.bias
    below = a * (1 - np.tanh(y) ** 2)
    assert_close(middle.input, x, EXACT)
    assert_close(middle.output, y, SAME_MATHS)
    assert_close(top.input, y, SAME_MATHS)
    assert_close(top.output, np.tanh(y), SAME_MATHS)
    assert_close(top.gradOutput, a, EXACT)
    assert_close(top.gradInput, below, SAME_MATHS)
    assert_close(middle.gradOutput, below + 2 * b * y, SAME_MATHS)
    assert_close(middle.gradInput, (below + 2 * b * y) @ linear.weight, SAME_MATHS)
    assert_close(linear.output, y, SAME_MATHS)
    assert_close(linear.gradInput, (below + 2 * b * y) @ linear.weight, SAME_MATHS)
    assert g.node("middle") is middle
    assert g.node(linear) is middle


def test_inner_numbers_that_were_not_kept_are_an_error_that_says_how():
    g, _, middle, _ = traced()
    g.forward(normal(4, 3))
    for name in ("output", "input", "gradInput", "gradOutput"):
        with pytest.raises(errors.StateError, match=r"keep|setDebug"):
            getattr(middle, name)


def test_keeping_may_be_ended():
    g, _, middle, _ = traced()
    g.keep(True)
    g.forward(normal(4, 3))
    assert middle.output.shape == (4, 2)
    g.keep(False)
    g.forward(normal(4, 3))
    with pytest.raises(errors.StateError):
        middle.output  # noqa: B018 - looking is what is wrong


@pytest.mark.parametrize("wrong", ["nobody", nn.Tanh()], ids=("name", "module"))
def test_a_node_that_is_not_there_is_an_error(wrong):
    with pytest.raises(errors.Error):
        traced()[0].node(wrong)


def test_kept_numbers_change_no_answer():
    g, *_ = traced()
    x, grads = normal(4, 3), list(normal(2, 4, 2))
    output, of_input = tree_map(np.copy, g.forward(x)), np.copy(g.backward(x, grads))
    g.keep(True)
    assert_trees_close(g.forward(x), output, EXACT)
    assert_close(g.backward(x, grads), of_input, EXACT)


def test_functions_on_a_node_see_its_numbers_until_they_are_removed():
    g, linear, middle, top = traced()
    seen = []

    def note(node, *numbers):
        seen.append((node, tree_map(np.copy, list(numbers))))

    handles = [middle.onForward(note), top.onBackward(note)]
    x, (a, b) = normal(4, 3), normal(2, 4, 2)
    g.forward(x)
    g.backward(x, [a, b])
    y = x @ linear.weight.T + linear.bias
    assert [entry[0] for entry in seen] == [middle, top]
    assert_trees_close(seen[0][1], [x, y], SAME_MATHS)
    assert_trees_close(seen[1][1], [a * (1 - np.tanh(y) ** 2), a], SAME_MATHS)
    for handle in handles:
        handle.remove()
    g.forward(x)
    g.backward(x, [a, b])
    assert len(seen) == 2


def test_a_function_on_a_node_that_raises_breaks_nothing():
    g, _, middle, _ = traced()
    x = normal(4, 3)
    expected = tree_map(np.copy, g.forward(x))

    def failing(node, input, output):
        raise KeyError(node.label())

    handle = middle.onForward(failing)
    with pytest.raises(KeyError, match="middle"):
        g.forward(x)
    handle.remove()
    assert_trees_close(g.forward(x), expected, EXACT)


# ---- work that is not wanted ---------------------------------------------------------------------


def test_B5_the_gradient_of_the_input_may_be_left_out():
    g = hidden_layers()
    x, grad = normal(20), normal(1)
    g.forward(x)
    g.zeroGradParameters()
    g.backward(x, grad)
    expected = tree_map(np.copy, g.parameters()[1])
    g.zeroGradParameters()
    assert g.backward(x, grad, gradInput=False) is None
    assert_trees_close(g.parameters()[1], expected, EXACT)
    assert g.backward(x, grad).shape == (20,)


def test_B5_the_way_below_the_first_parameters_is_not_walked():
    class Unwanted(nn.Module):
        def updateOutput(self, input):
            return 2 * input

        def updateGradInput(self, input, gradOutput):
            raise AssertionError

    net = nn.Sequential(Unwanted(), nn.Linear(3, 2))
    x = normal(4, 3)
    net.forward(x)
    with pytest.raises(AssertionError):
        net.backward(x, normal(4, 2))
    assert net.backward(x, normal(4, 2), gradInput=False) is None
    assert_close(net.get(1).gradWeight, normal(4, 2).T @ (2 * x), SAME_MATHS)


def test_the_number_of_plans_that_are_kept_is_bounded_by_the_user():
    g = hidden_layers()
    g.maxPlans = 2
    for rows in (1, 2, 3, 1, 4, 2):
        x = normal(rows, 20)
        assert_close(g.backward(x, g.forward(x)), hidden_gradient(g, x), SAME_MATHS)
        assert len(g._execution._plans) <= 2


def hidden_gradient(g, x):
    """The gradient of half the squared output."""
    w1, b1, w2, b2, w3, b3 = g.parameters()[0]
    a = np.tanh(x @ w1.T + b1)
    b = np.tanh(a @ w2.T + b2)
    return (((b @ w3.T + b3) @ w3 * (1 - b**2)) @ w2 * (1 - a**2)) @ w1
