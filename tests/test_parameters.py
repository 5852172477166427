"""Parameters are cells that modules share by reference."""

import itertools
import pickle
import tracemalloc

import numpy as np
import pytest
from samples import COPIES, mlp, normal
from tolerances import EXACT, SAME_MATHS, assert_close, assert_trees_close

import pynngraph as nn
from pynngraph import errors

X = normal(4, 3)
SHARED = ("weight", "bias", "gradWeight", "gradBias")


def two_levels():
    """A container in a container, with three Linears of which two share."""
    inner = mlp(3, 3)
    first = nn.Linear(3, 3)
    net = nn.Sequential().add(first).add(inner).add(first.clone(*SHARED))
    return net, inner


def lies_in(part, whole):
    return part.size == 0 or np.shares_memory(part, whole)


# ---- getParameters -------------------------------------------------------------------------------

LEVELS = {
    "whole": lambda net: net,
    "inner": lambda net: net.get(1),
    "first": lambda net: net.get(0),
    "last of the inner": lambda net: net.get(1).get(2),
}


@pytest.mark.parametrize("order", list(itertools.permutations(LEVELS)), ids=" ".join)
def test_P1_getparameters_at_any_level_in_any_order(order):
    net, _ = two_levels()
    expected = net.forward(X).copy()
    values = [p.copy() for p in net.parameters()[0]]
    for name in order * 2:
        flat, grad = LEVELS[name](net).getParameters()
        module = LEVELS[name](net)
        assert flat.size == grad.size == sum(p.size for p in module.parameters()[0])
        for mine, theirs in ((flat, module.parameters()[0]), (grad, module.parameters()[1])):
            assert all(lies_in(part, mine) for part in theirs)
            assert_close(mine, np.concatenate([part.ravel() for part in theirs]), EXACT)
        assert_trees_close(net.parameters()[0], values, EXACT)
        assert_close(net.forward(X), expected, EXACT)
        assert net.get(0).weight is net.get(2).weight


def test_P1_the_same_memory_comes_again():
    net = mlp()
    flat, grad = net.getParameters()
    again, grad_again = net.getParameters()
    assert np.shares_memory(flat, again)
    assert np.shares_memory(grad, grad_again)
    flat[...] = 1
    assert again.all()


def test_P1_parts_of_a_vector_are_parts_of_it():
    net, inner = two_levels()
    flat, _ = net.getParameters()
    part, _ = inner.getParameters()
    assert np.shares_memory(flat, part)
    assert flat.flags.writeable
    part[...] = 7
    assert (inner.get(0).weight == 7).all()


def test_P1_training_through_the_vector_trains_the_modules():
    net = mlp()
    flat, grad = net.getParameters()
    net.backward(X, net.forward(X))
    assert_close(grad, np.concatenate([g.ravel() for g in net.parameters()[1]]), EXACT)
    before = net.get(0).weight.copy()
    flat -= 0.5 * grad
    assert_close(net.get(0).weight, before - 0.5 * net.get(0).gradWeight, SAME_MATHS)
    twin = mlp()
    for mine, theirs in zip(twin.parameters()[0], net.parameters()[0], strict=True):
        mine[...] = theirs
    assert_close(net.forward(X), twin.forward(X), EXACT)


def test_P1_arrays_handed_out_before_a_move_become_read_only():
    net = mlp()
    weight, grad = net.get(0).weight, net.get(0).gradWeight
    net.getParameters()
    for stale in (weight, grad):
        with pytest.raises(ValueError, match="read-only"):
            stale[...] = 0
    net.get(0).weight[...] = 1
    assert (net.get(0).weight == 1).all()


def test_P1_a_vector_that_is_outdated_becomes_read_only():
    net, inner = two_levels()
    flat, _ = inner.getParameters()
    net.getParameters()
    with pytest.raises(ValueError, match="read-only"):
        flat[...] = 0


def test_P1_arrays_handed_out_before_a_dtype_change_become_read_only():
    module = nn.Linear(3, 2)
    weight = module.weight
    module.float()
    with pytest.raises(ValueError, match="read-only"):
        weight[...] = 0
    assert module.weight.dtype == np.float32


def test_getparameters_of_a_module_without_any_is_two_empty_vectors():
    flat, grad = nn.Tanh().getParameters()
    assert flat.shape == grad.shape == (0,)


# ---- sharing -------------------------------------------------------------------------------------


def test_P2_a_shared_parameter_is_seen_once():
    first = nn.Linear(3, 3)
    net = nn.Sequential().add(first).add(nn.Tanh()).add(first.clone(*SHARED)).add(first)
    parameters, gradients = net.parameters()
    assert [p.shape for p in parameters] == [g.shape for g in gradients] == [(3, 3), (3,)]
    assert net.getParameters()[0].size == 12
    net.zeroGradParameters()
    net.backward(X, net.forward(X))
    before, gradient = first.weight.copy(), first.gradWeight.copy()
    net.updateParameters(0.5)
    assert_close(first.weight, before - 0.5 * gradient, SAME_MATHS)


def test_P2_gradients_of_a_shared_parameter_add_up():
    first = nn.Linear(3, 3)
    second = first.clone(*SHARED)
    net = nn.Sequential().add(first).add(second)
    apart = nn.Sequential().add(first.clone()).add(first.clone())
    assert_close(net.forward(X), apart.forward(X), EXACT)
    net.zeroGradParameters()
    apart.zeroGradParameters()
    assert_close(net.backward(X, X), apart.backward(X, X), EXACT)
    assert_close(first.gradWeight, apart.get(0).gradWeight + apart.get(1).gradWeight, SAME_MATHS)
    assert first.gradWeight is second.gradWeight


def test_P2_no_gradient_is_lost_where_only_the_weight_is_shared():
    """Torch7's updateParameters applies the gradients of both."""
    first = nn.Linear(3, 3, False)
    net = nn.Sequential().add(first).add(first.clone("weight"))
    net.zeroGradParameters()
    net.backward(X, net.forward(X))
    before = first.weight.copy()
    both = first.gradWeight + net.get(1).gradWeight
    assert not np.shares_memory(first.gradWeight, net.get(1).gradWeight)
    try:
        net.updateParameters(0.5)
    except errors.StateError:
        return
    assert_close(first.weight, before - 0.5 * both, SAME_MATHS)


@pytest.mark.parametrize("move", [lambda m: m.float(), lambda m: m.float().double(), lambda m: m.getParameters()],
                         ids=("float", "float and back", "getParameters"))  # fmt: skip
def test_P3_sharing_survives_whatever_moves(move):
    net, _ = two_levels()
    move(net)
    first, last = net.get(0), net.get(2)
    assert first.weight is last.weight
    assert first.gradBias is last.gradBias
    first.weight[...] = 3
    assert (last.weight == 3).all()


def test_P3_sharing_reaches_modules_outside_of_what_moved():
    first = nn.Linear(3, 3)
    outside = first.clone(*SHARED)
    nn.Sequential().add(first).getParameters()
    assert first.weight is outside.weight
    first.weight[...] = 2
    assert_close(outside.forward(X), first.forward(X), EXACT)


def test_P4_a_clone_that_shares_costs_by_structure():
    module = nn.Linear(500, 500)
    module.forward(normal(2, 500))
    tracemalloc.start()
    twin = module.clone(*SHARED)
    used = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert used < module.weight.nbytes / 10
    assert twin.weight is module.weight
    assert twin.gradWeight is module.gradWeight


def test_a_clone_that_shares_weights_has_gradients_of_its_own():
    module = nn.Linear(3, 2)
    twin = module.clone("weight", "bias")
    assert twin.weight is module.weight
    twin.forward(X)
    twin.backward(X, normal(4, 2))
    assert twin.gradWeight.any()
    assert not module.gradWeight.any()


def test_share_takes_over_the_parameters_of_another():
    module, other = mlp(), mlp()
    assert module.share(other, *SHARED) is module
    other.get(0).weight[...] = 5
    assert (module.get(0).weight == 5).all()
    assert_close(module.forward(X), other.forward(X), EXACT)


def test_share_with_another_structure_is_an_error():
    with pytest.raises(errors.Error):
        mlp().share(nn.Linear(3, 2), "weight")


@pytest.mark.parametrize("copier", COPIES.values(), ids=COPIES)
def test_sharing_inside_survives_copies(copier):
    net, _ = two_levels()
    net.getParameters()
    twin = copier(net)
    assert twin.get(0).weight is twin.get(2).weight
    assert not np.shares_memory(twin.get(0).weight, net.get(0).weight)
    twin.get(0).weight[...] = 9
    assert not (net.get(0).weight == 9).any()
    twin.getParameters()
    assert_close(net.forward(X), copier(net).forward(X), EXACT)


def test_P5_an_unrolled_net_shares_its_weights():
    cell = nn.Linear(3, 3)
    node = first = nn.Identity()()
    for _ in range(5):
        node = nn.Tanh()(cell.clone(*SHARED)(node))
    g = nn.gModule([first], [node])
    assert len(g.parameters()[0]) == 2
    expected = X
    for _ in range(5):
        expected = np.tanh(expected @ cell.weight.T + cell.bias)
    assert_close(g.forward(X), expected, SAME_MATHS)


def test_P6_a_pickle_holds_no_buffers():
    net = mlp()
    fresh = len(pickle.dumps(net))
    big = normal(1000, 3)
    net.backward(big, net.forward(big))
    assert len(pickle.dumps(net)) < fresh + 1000


# ---- reading and writing -------------------------------------------------------------------------


def test_a_write_into_weight_is_seen_at_once():
    module = nn.Linear(3, 2)
    module.forward(X)
    module.weight[...] = 1
    module.bias[...] = 0.5
    assert_close(module.forward(X), np.repeat(X.sum(1)[:, None] + 0.5, 2, 1), SAME_MATHS)


def test_assigning_copies_the_values_in():
    module = nn.Linear(3, 2)
    array, values = module.weight, normal(2, 3)
    module.weight = values
    assert module.weight is array
    values[...] = 0
    assert module.weight.all()
    module.gradWeight = np.ones((2, 3))
    assert (module.gradWeight == 1).all()


def test_assigning_converts_numbers_to_the_modules_dtype():
    module = nn.Linear(3, 2).float()
    module.weight = [[1, 2, 3], [4, 5, 6]]
    assert module.weight.dtype == np.float32
    assert module.weight[1, 2] == 6


@pytest.mark.parametrize("wrong", [np.ones((3, 2)), np.ones(3), 1.0], ids=("transposed", "row", "number"))
def test_assigning_another_shape_is_an_error_and_changes_nothing(wrong):
    module = nn.Linear(3, 2)
    before = module.weight.copy()
    with pytest.raises(errors.ShapeError) as raised:
        module.weight = wrong
    assert "(2, 3)" in str(raised.value)
    assert "Linear" in str(raised.value)
    assert_close(module.weight, before, EXACT)


def test_assigning_in_place_by_operators_works():
    module = nn.Linear(3, 2)
    before = module.weight.copy()
    module.weight -= 1
    module.weight *= 2
    assert_close(module.weight, (before - 1) * 2, SAME_MATHS)


def test_a_linear_without_bias_has_none():
    for module in (nn.Linear(3, 2, False), nn.Linear(3, 2).noBias()):
        assert module.bias is None
        assert module.gradBias is None
        assert len(module.parameters()[0]) == 1
        assert_close(module.forward(X), X @ module.weight.T, SAME_MATHS)


def test_a_bias_that_goes_after_a_forward_is_gone():
    module = nn.Linear(3, 2)
    module.forward(X)
    module.noBias()
    assert_close(module.forward(X), X @ module.weight.T, SAME_MATHS)


def test_B7_fresh_gradients_are_zero():
    assert not any(g.any() for g in mlp().parameters()[1])


def test_weights_follow_the_seed():
    nn.manualSeed(3)
    first = mlp().parameters()[0]
    nn.manualSeed(3)
    again = mlp().parameters()[0]
    assert_trees_close(first, again, EXACT)
    nn.manualSeed(4)
    assert (mlp().get(0).weight != first[0]).any()


def test_weights_start_evenly_within_the_bounds_of_torch():
    module = nn.Linear(100, 200)
    bound = 1 / np.sqrt(100)
    for array in (module.weight, module.bias):
        assert abs(array).max() <= bound
        assert abs(array).max() > 0.9 * bound
        assert abs(array.mean()) < 0.2 * bound


def test_reset_draws_anew_within_a_bound():
    net = mlp()
    before = net.get(0).weight.copy()
    net.reset()
    assert (net.get(0).weight != before).all()
    net.reset(1e-3)
    assert abs(net.get(0).weight).max() <= 1e-3 * np.sqrt(3)
    assert abs(net.get(2).bias).max() <= 1e-3 * np.sqrt(3)


def test_accupdategradparameters_and_backwardupdate_change_weights_at_once():
    module = nn.Linear(3, 2)
    twin = module.clone()
    g = normal(4, 2)
    module.forward(X)
    twin.forward(X)
    twin.zeroGradParameters()
    twin.backward(X, g)
    twin.updateParameters(0.1)
    module.backwardUpdate(X, g, 0.1)
    assert_close(module.weight, twin.weight, SAME_MATHS)
    assert_close(module.bias, twin.bias, SAME_MATHS)
    assert not module.gradWeight.any()


# ---- updateParameters and zeroGradParameters of nets that change -----------------------------------


def ways_to_lie(net):
    """The arrays of a net one by one; in vectors; some of them in other vectors than the rest."""
    yield "apart"
    net.getParameters()
    yield "in vectors"
    net.get(1).getParameters()
    yield "in vectors still"
    net.insert(nn.Linear(30, 30), 1)
    yield "with one more"
    net.getParameters()
    yield "in new vectors"
    net.remove(0)
    yield "with one less"
    net.float()
    yield "of another dtype"


def test_updates_reach_all_parameters_wherever_they_lie(rng):
    net = nn.Sequential(nn.Linear(30, 30), nn.Linear(30, 200))  # few and many parameters
    net.add(net.get(0).clone("weight", "gradWeight"))
    for how in ways_to_lie(net):
        parameters, gradients = net.parameters()
        for gradient in gradients:
            gradient[...] = rng.standard_normal(gradient.shape)
        before = [parameter.copy() for parameter in parameters]
        net.updateParameters(0.3)
        for parameter, old, gradient in zip(net.parameters()[0], before, gradients, strict=True):
            assert_close(parameter, old - 0.3 * gradient, EXACT, what=how)
        net.zeroGradParameters()
        assert not any(gradient.any() for gradient in net.parameters()[1]), how


def test_a_frozen_part_is_not_updated_and_nothing_else_is():
    net = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 2))
    net.get(1).freeze()
    net.get(0).gradWeight.fill(1)
    before = net.get(0).weight.copy()
    with pytest.raises(nn.errors.StateError, match="is frozen"):
        net.updateParameters(0.5)
    assert_close(net.get(0).weight, before, EXACT)
    net.zeroGradParameters()
    assert not net.get(0).gradWeight.any()
    net.get(1).unfreeze()
    net.get(0).gradBias.fill(1)
    net.updateParameters(0.5)
    assert_close(net.get(0).weight, before, EXACT)
