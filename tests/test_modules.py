"""What every module and criterion must do, for each row of module_cases.py."""

import numerical
import numpy as np
import pytest
from module_cases import CRITERIONS, MODULES, sample
from op_cases import Input, draw
from samples import COPIES
from tolerances import (
    EXACT,
    LONG_SUMS,
    NUMERICAL,
    SAME_MATHS,
    SINGLE,
    assert_close,
    assert_trees_close,
)
from trees import as_lists, leaves, nesting, random_like, tree_map, zeros_like

import pynngraph as nn

SEED = 3


def rows(cases):
    return pytest.mark.parametrize("case", cases, ids=[case.name for case in cases])


modules = rows(MODULES)
criterions = rows(CRITERIONS)


def made(case, dtype="float64"):
    """The module of a row, with weights that are the same each time."""
    nn.manualSeed(SEED)
    return case.build().type(dtype)


def forward(module, input):
    """Forward with the same random numbers each time."""
    nn.manualSeed(SEED)
    return module.forward(input)


def is_real(array):
    return array.dtype.kind == "f"


def single(tree):
    return tree_map(lambda leaf: leaf.astype(np.float32) if is_real(leaf) else leaf, tree)


def copied(tree):
    return tree_map(np.copy, tree)


# ---- modules -------------------------------------------------------------------------------------


@rows([case for case in MODULES if case.reference])
def test_forward_is_that_of_numpy(case, rng):
    module, input = made(case), draw(case.input, rng)
    output = module.forward(input)
    expected = case.reference(input, *module.parameters()[0])
    assert_trees_close(as_lists(output), as_lists(expected), case.forward)


@modules
def test_gradients_are_the_numerical_jacobian(case, rng):
    module, input = made(case), draw(case.input, rng)
    parameters, gradients = module.parameters()
    places = [*filter(is_real, leaves(input)), *parameters]
    # A criterion used as a node gives its target no gradient.
    constants = leaves(input)[1:] if isinstance(module, nn.ModuleFromCriterion) else []
    expected = numerical.jacobian(lambda: forward(module, input), places)
    found = [np.zeros_like(matrix) for matrix in expected]
    grad_output = zeros_like(forward(module, input))
    one_hot = [(flat, k) for flat in (leaf.reshape(-1) for leaf in leaves(grad_output)) for k in range(flat.size)]
    for row, (flat, k) in enumerate(one_hot):
        flat[k] = 1
        module.zeroGradParameters()
        grad_inputs = zip(leaves(input), leaves(module.backward(input, grad_output)), strict=True)
        rows_of = [*(gradient for leaf, gradient in grad_inputs if is_real(leaf)), *gradients]
        for matrix, gradient in zip(found, rows_of, strict=True):
            matrix[row] = gradient.ravel()
        flat[k] = 0
    for place, got, wanted in zip(places, found, expected, strict=True):
        is_constant = any(place is constant for constant in constants)
        is_input = not any(place is parameter for parameter in parameters)
        factor = 0 if is_constant else case.factor if is_input else 1
        assert_close(got, factor * wanted, case.gradient)


@modules
def test_B1_gradinput_has_the_nesting_of_input(case, rng):
    module, input = made(case), draw(case.input, rng)
    output = module.forward(input)
    assert nesting(module.backward(input, random_like(output, rng))) == nesting(input)


@modules
def test_B6_updategradinput_and_accgradparameters_apart_are_backward(case, rng):
    module, input = made(case), draw(case.input, rng)
    grad_output = random_like(forward(module, input), rng)
    together = copied(module.backward(input, grad_output, 0.7))
    gradients = copied(module.parameters()[1])
    module.zeroGradParameters()
    forward(module, input)
    assert_trees_close(module.updateGradInput(input, grad_output), together, SAME_MATHS)
    assert_trees_close(module.parameters()[1], zeros_like(gradients), EXACT, "not touched yet")
    module.accGradParameters(input, grad_output, 0.7)
    assert_trees_close(module.parameters()[1], gradients, SAME_MATHS)


@modules
def test_B7_gradients_accumulate_with_scale_until_they_are_zeroed(case, rng):
    module, input = made(case), draw(case.input, rng)
    gradients = module.parameters()[1]
    assert_trees_close(gradients, zeros_like(gradients), EXACT, "fresh gradients")
    grad_output = random_like(forward(module, input), rng)
    module.backward(input, grad_output)
    once = copied(gradients)
    module.backward(input, grad_output, 0.5)
    assert_trees_close(gradients, [1.5 * g for g in once], SAME_MATHS)
    module.zeroGradParameters()
    assert_trees_close(gradients, zeros_like(gradients), EXACT, "zeroed gradients")


@rows([case for case in MODULES if not case.random and not case.of_indices])
def test_G5_gradients_of_a_fork_add_up(case, rng):
    """The input goes to the module, past it, and to the module again: each way in turn stores and adds."""
    module, input = made(case), draw(case.input, rng)
    node = nn.Identity()()
    fork = nn.gModule([node], [module(node), nn.Identity()(node), module(node)])
    first, second, past = (random_like(tree, rng) for tree in (module.forward(input), module.output, input))
    expected = copied(past)
    for weights in (first, second):
        expected = tree_map(np.add, expected, module.backward(input, weights))
    gradients = copied(module.parameters()[1])
    fork.zeroGradParameters()
    fork.forward(input)
    assert_trees_close(fork.backward(input, [first, past, second]), expected, SAME_MATHS)
    assert_trees_close(fork.parameters()[1], gradients, SAME_MATHS)


@modules
def test_scale_leaves_gradinput_alone(case, rng):
    module, input = made(case), draw(case.input, rng)
    grad_output = random_like(forward(module, input), rng)
    first = copied(module.backward(input, grad_output))
    assert_trees_close(module.backward(input, grad_output, 0.5), first, EXACT)


@modules
def test_B8_backward_works_after_evaluate(case, rng):
    module, input = made(case), draw(case.input, rng)
    module.evaluate()
    output = module.forward(input)
    assert_trees_close(module.forward(input), output, EXACT, "nothing is random now")
    weights = random_like(output, rng)
    places = [k for k, leaf in enumerate(leaves(input)) if is_real(leaf)]
    reals = [leaves(input)[k] for k in places]
    expected = [case.factor * g for g in numerical.gradient(lambda: module.forward(input), reals, weights)]
    module.forward(input)
    gradients = leaves(module.backward(input, weights))
    assert not any(gradient.any() for k, gradient in enumerate(gradients) if k not in places)
    gradient = [gradients[k] for k in places]
    if isinstance(module, nn.ModuleFromCriterion):
        gradient, expected = gradient[:1], expected[:1]
    assert_trees_close(gradient, expected, case.gradient)


@modules
def test_float32_agrees_with_float64(case, rng):
    double, input = made(case), draw(case.input, rng)
    answer = forward(double, input)
    grad_output = random_like(answer, rng)
    grad_input = double.backward(input, grad_output)
    module = made(case, "float32")
    output = forward(module, single(input))
    assert {leaf.dtype for leaf in leaves(output)} == {np.dtype(np.float32)}
    assert_trees_close(output, single(answer), SINGLE)
    assert_trees_close(module.backward(single(input), single(grad_output)), single(grad_input), SINGLE)
    assert_trees_close(module.parameters()[1], single(double.parameters()[1]), SINGLE)


@rows([case for case in MODULES if case.random])
def test_a_random_module_draws_anew_at_each_forward(case, rng):
    module, input = made(case), draw(case.input, rng)
    first = copied(forward(module, input))
    assert any((a != b).any() for a, b in zip(leaves(first), leaves(module.forward(input)), strict=True))
    assert_trees_close(forward(module, input), first, EXACT, "the same seed")


@pytest.mark.parametrize("copier", COPIES.values(), ids=COPIES)
@pytest.mark.parametrize("used", [False, True], ids=("fresh", "used"))
@modules
def test_copies_answer_the_same_and_share_nothing(case, copier, used, rng):
    module, input = made(case), draw(case.input, rng)
    grad_output = random_like(forward(module, input), rng)
    if used:
        module.backward(input, grad_output)
    else:
        module = made(case)
    twin = copier(module)
    assert_trees_close(twin.parameters()[0], module.parameters()[0], EXACT)
    gradients = module.parameters()[1]
    if copier is COPIES["pickle"]:  # P6: a saved model has parameters only
        gradients = [np.zeros_like(gradient) for gradient in gradients]
    assert_trees_close(twin.parameters()[1], gradients, EXACT)
    for mine, theirs in zip(leaves(module.parameters()), leaves(twin.parameters()), strict=True):
        assert not np.shares_memory(mine, theirs)
    assert_trees_close(forward(twin, input), forward(module, input), EXACT)
    assert_trees_close(twin.backward(input, grad_output), module.backward(input, grad_output), EXACT)


@rows([case for case in MODULES if case.per_sample])
def test_B12_one_sample_gives_what_it_gives_in_a_batch(case, rng):
    module, input = made(case), draw(case.input, rng)
    output = copied(module.forward(input))
    grad_output = random_like(output, rng)
    grad_input = copied(module.backward(input, grad_output))
    for k in range(len(leaves(input)[0])):
        assert_trees_close(module.forward(sample(input, k)), sample(output, k), SAME_MATHS)
        found = module.backward(sample(input, k), sample(grad_output, k))
        assert_trees_close(found, sample(grad_input, k), SAME_MATHS)


@modules
def test_a_module_says_what_it_is(case):
    assert type(made(case)).__name__ in str(made(case))
    assert "object at 0x" not in repr(made(case))


@modules
def test_clearstate_changes_no_answer(case, rng):
    module, input = made(case), draw(case.input, rng)
    output = copied(forward(module, input))
    module.clearState()
    assert_trees_close(forward(module, input), output, EXACT)


@modules
def test_output_and_gradinput_are_kept_as_attributes(case, rng):
    module, input = made(case), draw(case.input, rng)
    output = module.forward(input)
    assert_trees_close(module.output, output, EXACT)
    grad_input = module.backward(input, random_like(output, rng))
    assert_trees_close(module.gradInput, grad_input, EXACT)


# ---- large shapes --------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("rows", [1, 2, 3, 7, 33, 130])
@pytest.mark.parametrize(("inputs", "outputs"), [(1, 1), (1, 70), (70, 1), (67, 129), (300, 17), (256, 256)])
def test_linear_of_any_size_is_that_of_numpy(rows, inputs, outputs, dtype, rng):
    module = nn.Linear(inputs, outputs).type(dtype)
    x, g = (rng.standard_normal((rows, n)).astype(dtype) for n in (inputs, outputs))
    wide = [a.astype(np.float64) for a in (x, g, module.weight, module.bias)]
    wide_x, wide_g, weight, bias = wide
    assert_close(module.forward(x), (wide_x @ weight.T + bias).astype(dtype), LONG_SUMS)
    module.zeroGradParameters()
    assert_close(module.backward(x, g, 0.5), (wide_g @ weight).astype(dtype), LONG_SUMS)
    assert_close(module.gradWeight, (0.5 * wide_g.T @ wide_x).astype(dtype), LONG_SUMS)
    assert_close(module.gradBias, (0.5 * wide_g.sum(0)).astype(dtype), LONG_SUMS)


LARGE = (3, 41, 67)


@rows([case for case in MODULES if isinstance(case.input, Input) and case.reference and case.any_shape])
def test_large_arrays_have_the_derivative_along_a_random_direction(case, rng):
    module = made(case)
    x, along = draw([case.input._replace(shape=LARGE)] * 2, rng)
    output = module.forward(x)
    assert_close(output, case.reference(x), case.forward)
    weights = random_like(output, rng)
    slope = (module.backward(x, weights) * along).sum()
    step = 1e-5  # short, so that of so many elements few pass a kink
    above, below = case.reference(x + step * along), case.reference(x - step * along)
    expected = (weights * (above - below)).sum() / (2 * step)
    assert_close(slope, expected, NUMERICAL)


# ---- criterions ----------------------------------------------------------------------------------


@criterions
def test_loss_is_that_of_numpy(case, rng):
    input, target = draw([case.input, case.target], rng)
    loss = case.build().forward(input, target)
    assert isinstance(loss, float)
    assert_close(np.array(loss), np.array(case.reference(input, target)), SAME_MATHS)


@criterions
def test_gradient_of_the_loss_is_the_numerical_one(case, rng):
    criterion = case.build()
    input, target = draw([case.input, case.target], rng)
    expected = numerical.gradient(lambda: np.array(criterion.forward(input, target)), leaves(input), np.ones(()))
    criterion.forward(input, target)
    assert_trees_close(leaves(criterion.backward(input, target)), expected, NUMERICAL)


@criterions
def test_a_criterion_in_float32_agrees_with_float64(case, rng):
    input, target = draw([case.input, case.target], rng)
    criterion, small = case.build(), case.build().float()
    loss = criterion.forward(input, target)
    found = small.forward(single(input), single(target))
    assert_close(np.float32(found), np.float32(loss), SINGLE)
    gradient = small.backward(single(input), single(target))
    assert_trees_close(gradient, single(criterion.backward(input, target)), SINGLE)


@criterions
def test_a_criterion_keeps_its_output_and_gradinput(case, rng):
    criterion = case.build()
    input, target = draw([case.input, case.target], rng)
    loss = criterion.forward(input, target)
    assert criterion.output == loss
    grad_input = criterion.backward(input, target)
    assert_trees_close(criterion.gradInput, grad_input, EXACT)


@criterions
def test_gradients_of_a_fork_into_criterions_add_up(case, rng):
    criterion = case.build()
    input, target = draw([case.input, case.target], rng)
    node, other = nn.Identity()(), nn.Identity()()
    fork = nn.gModule([node, other], [criterion([node, other]), nn.Identity()(node), criterion([node, other])])
    criterion.forward(input, target)
    past = random_like(input, rng)
    expected = tree_map(lambda gradient, more: 5 * gradient + more, criterion.backward(input, target), past)
    fork.forward([input, target])
    found = fork.backward([input, target], [np.full(1, 2.0), past, np.full(1, 3.0)])
    assert_trees_close(found[0], expected, SAME_MATHS)
    assert not any(leaf.any() for leaf in leaves(found[1]))


@pytest.mark.parametrize("copier", COPIES.values(), ids=COPIES)
@criterions
def test_copies_of_a_criterion_answer_the_same(case, copier, rng):
    criterion = case.build()
    input, target = draw([case.input, case.target], rng)
    loss = criterion.forward(input, target)
    twin = copier(criterion)
    assert twin.forward(input, target) == loss
    assert_trees_close(twin.backward(input, target), criterion.backward(input, target), EXACT)


@criterions
def test_backward_of_a_criterion_before_forward_or_with_others_raises(case, rng):
    criterion = case.build()
    input, target = draw([case.input, case.target], rng)
    with pytest.raises(nn.errors.StateError, match="forward"):
        criterion.backward(input, target)
    criterion.forward(input, target)
    with pytest.raises(nn.errors.DataError):
        criterion.backward(tree_map(lambda leaf: 2 * leaf, input), target)
    assert_trees_close(criterion.backward(copied(input), copied(target)), criterion.gradInput, EXACT)
