"""Containers, modules around others, and modules on tables: what the rows of module_cases.py do not show."""

import re

import numpy as np
import pytest
from samples import COPIES, normal
from tolerances import EXACT, SAME_MATHS, assert_close, assert_trees_close

import pynngraph as nn
from pynngraph.errors import DataError, GraphError, ShapeError, StructureError

# ---- errors --------------------------------------------------------------------------------------

X = np.ones((2, 3))

WRONG = [
    (lambda: nn.Concat(1), X, GraphError, "add some"),
    (lambda: nn.Concat(0, nn.Identity(), nn.Select(0, 0)), X, ShapeError, "along dim 0 only"),
    (lambda: nn.DepthConcat(2, nn.Identity(), nn.Identity()), X, ShapeError, "cannot join"),
    (lambda: nn.DepthConcat(0), X, GraphError, "add some"),
    (lambda: nn.Parallel(0, 0, nn.Identity()), X, ShapeError, "of its own"),
    (lambda: nn.Parallel(2, 0, nn.Identity()), X, ShapeError, "of its own"),
    (nn.MapTable, [X], GraphError, "no module"),
    (lambda: nn.MapTable(nn.Identity()), X, StructureError, "expects a list"),
    (lambda: nn.Bottle(nn.Linear(3, 2), 3), X, ShapeError, "at least 3 dims"),
    (lambda: nn.Bottle(nn.Linear(3, 2), 2, 1), np.ones((2, 2, 3)), ShapeError, "1 dims inside"),
    (lambda: nn.NarrowTable(1, 2), [X, X], StructureError, "no such range"),
    (lambda: nn.NarrowTable(-3), [X, X], StructureError, "no such range"),
    (nn.FlattenTable, X, StructureError, "expects a list"),
    (nn.ZipTable, [[X], [X, X]], StructureError, "1, 2"),
    (nn.ZipTableOneToMany, [X, X], StructureError, "expects a list"),
    (nn.CAddTensorTable, [X, [np.ones(3)]], ShapeError, "one shape"),
    (nn.MixtureTable, [X, [X, X]], ShapeError, "2 experts"),
    (nn.MixtureTable, [X, np.ones((2, 4, 5))], ShapeError, "no dim of experts"),
    (lambda: nn.MixtureTable(5), [X, np.ones((2, 3, 5))], ShapeError, "no dim of experts"),
    (lambda: nn.Convert("bchw", "bf"), X, ShapeError, "bchw"),
    (lambda: nn.Convert("bf", "b"), X, ShapeError, "one number a sample"),
    (lambda: nn.Index(2), [X, np.array([0])], ShapeError, "cannot look up"),
    (lambda: nn.Index(0), [X, np.array([[0]])], ShapeError, "cannot look up"),
    (lambda: nn.Index(0), [X, np.array([2])], DataError, "index 2"),
    (lambda: nn.Index(0), [X, np.array([0.5])], DataError, "not a whole number"),
    (nn.MaskedSelect, [X, np.ones(3)], ShapeError, "one shape"),
    (nn.MaskedSelect, X, StructureError, "a mask"),
    (lambda: nn.OneHot(3), np.array([0, 3]), DataError, "index 3, element 1"),
    (lambda: nn.Constant(1.0, 1), [X], StructureError, "one array"),
    (lambda: nn.Max(0), np.ones((0, 3)), ShapeError, "from 1 to"),
    (lambda: nn.Max(2), X, ShapeError, "no dim 2"),
    (lambda: nn.PReLU(2), X, ShapeError, "no 2 planes"),
    (lambda: nn.PReLU(2), np.ones((2, 2, 2, 2, 2)), ShapeError, "no 2 planes"),
    (nn.GatedLinearUnit, X, ShapeError, "cannot halve"),
]


@pytest.mark.parametrize(("build", "input", "error", "text"), WRONG, ids=range(len(WRONG)))
def test_a_wrong_input_is_an_error_that_says_so(build, input, error, text):
    module = build()
    with pytest.raises(error, match=re.escape(text)) as raised:
        module.forward(input)
    assert type(module).__name__ in str(raised.value)


WRONG_ARGUMENTS = [
    (lambda: nn.WeightNorm(nn.Tanh()), GraphError, "with a weight"),
    (lambda: nn.WeightNorm(nn.Linear(2, 3), 2), ShapeError, "no dim 2"),
    (lambda: nn.WeightNorm(nn.WeightNorm(nn.Linear(2, 3))), GraphError, "with a weight"),
    (lambda: nn.Bottle(nn.Identity(), 0), ShapeError, "at least one dim"),
    (nn.Bottle, TypeError, "module"),
    (lambda: nn.Decorator(3), GraphError, "takes modules"),
    (lambda: nn.Profile(nn.Identity(), 0), GraphError, "at least one call"),
    (lambda: nn.MapTable(nn.Identity()).add(nn.Identity()), GraphError, "takes one"),
    (lambda: nn.NarrowTable(0, -1), StructureError, "-1 entries"),
    (lambda: nn.Convert("bf"), ShapeError, "two orders"),
    (lambda: nn.Convert("bchw", "bchx"), ShapeError, "cannot make"),
    (lambda: nn.Convert("bb", "bf"), ShapeError, "cannot make"),
    (lambda: nn.OneHot(0), ShapeError, "at least 1"),
    (lambda: nn.PReLU(-1), ShapeError, "number of planes"),
    (lambda: nn.RReLU(0.5, 0.25), ShapeError, "u of at least l"),
]


@pytest.mark.parametrize(("build", "error", "text"), WRONG_ARGUMENTS, ids=range(len(WRONG_ARGUMENTS)))
def test_a_wrong_argument_is_an_error_that_says_so(build, error, text):
    with pytest.raises(error, match=text):
        build()


# ---- containers ----------------------------------------------------------------------------------


def test_parallel_leaves_modules_without_a_slice_alone():
    module = nn.Parallel(0, 0, nn.Identity(), nn.MulConstant(2), nn.Linear(9, 9))
    assert_close(module.forward(X), np.array([1.0, 1, 1, 2, 2, 2]), EXACT)


def test_depthconcat_puts_the_odd_zero_behind():
    module = nn.DepthConcat(0, nn.Narrow(1, 0, 2), nn.Identity())
    assert_close(module.forward(np.ones((1, 5))), np.array([[0.0, 1, 1, 0, 0], [1, 1, 1, 1, 1]]), EXACT)


def test_depthconcat_of_empty_samples():
    assert nn.DepthConcat(1, nn.Narrow(2, 0, 1), nn.Identity()).forward(np.ones((0, 2, 3))).shape == (0, 4, 3)


def test_maptable_by_default_has_one_set_of_parameters_and_takes_any_number_of_entries():
    module = nn.MapTable(nn.Linear(3, 2))
    for count in (1, 4, 2):
        input = [normal(3, seed=k) for k in range(count)]
        output = module.forward(input)
        assert_trees_close(output, [module.get(0).forward(x) for x in input], EXACT)
    assert len(module.parameters()[0]) == 2
    assert module.resize(9).size() == 1


def test_maptable_makes_clones_as_they_are_needed():
    module = nn.MapTable(nn.Linear(3, 2), ["weight", "gradWeight"])
    module.forward([normal(3)] * 3)
    assert [p.shape for p in module.parameters()[0]] == [(2, 3), (2,), (2,), (2,)]
    module.forward([normal(3)])
    assert module.size() == 3
    assert module.resize(2).size() == 2
    assert module.resize(0).size() == 1
    module.forward([normal(3)] * 2)
    assert module.size() == 2


def test_maptable_can_get_its_module_later():
    module = nn.MapTable().add(nn.MulConstant(2))
    assert_trees_close(module.forward([X]), [2 * X], EXACT)


def test_maptable_of_an_empty_table():
    module = nn.MapTable(nn.Linear(3, 2))
    assert module.forward([]) == []
    assert module.backward([], []) == []


# ---- weight normalization ------------------------------------------------------------------------


@pytest.mark.parametrize("make", [lambda: nn.Linear(4, 3), lambda: nn.LookupTable(5, 4)], ids=["Linear", "LookupTable"])
def test_weightnorm_begins_with_the_map_of_its_module(make):
    module = make()
    twin = nn.WeightNorm(module.clone())
    input = normal(2, 4) if isinstance(module, nn.Linear) else np.array([3, 0])
    assert np.allclose(twin.forward(input), module.forward(input), rtol=1e-3)


def test_weightnorm_resets_as_its_module_does():
    module = nn.WeightNorm(nn.Linear(4, 3))
    nn.manualSeed(3)
    module.reset(0.5)
    linear = nn.Linear(4, 3)
    nn.manualSeed(3)
    linear.reset(0.5)
    assert_close(module.v, linear.weight, EXACT)
    assert_close(module.g[:, 0], np.linalg.norm(linear.weight, axis=1), SAME_MATHS)


def test_updateweight_shows_what_v_and_g_make():
    module = nn.WeightNorm(nn.Linear(4, 3, False))
    module.g = np.array([[1.0], [2.0], [3.0]])
    module.updateWeight()
    assert_close(module.get(0).weight @ normal(4), module.forward(normal(4)), SAME_MATHS)


def test_the_weight_under_weightnorm_is_no_parameter():
    module = nn.WeightNorm(nn.Linear(4, 3))
    flat, _ = module.getParameters()
    assert flat.size == 4 * 3 + 3 + 3
    module.forward(normal(2, 4))
    module.backward(normal(2, 4), np.ones((2, 3)))
    module.updateParameters(0.1)
    module.zeroGradParameters()
    assert not any(grad.any() for grad in module.parameters()[1])


@pytest.mark.parametrize("copier", COPIES.values(), ids=COPIES)
def test_copies_of_weightnorm_train_apart(copier):
    module = nn.WeightNorm(nn.Linear(4, 3)).float()
    twin = copier(module)
    module.v = 2 * module.v
    module.g = 3 * module.g
    x = normal(2, 4, dtype=np.float32)
    assert np.allclose(module.forward(x) - module.get(0).bias, 3 * (twin.forward(x) - twin.get(0).bias), atol=1e-3)


NORMALIZED = [lambda: nn.WeightNorm(nn.Linear(4, 3)), lambda: nn.LinearWeightNorm(4, 3)]


@pytest.mark.parametrize("make", NORMALIZED, ids=["WeightNorm", "LinearWeightNorm"])
@pytest.mark.parametrize("with_gradients", [True, False])
def test_clones_that_share_a_weight_share_its_length_and_direction(make, with_gradients):
    module = make()
    gradients = ("gradWeight", "gradBias") if with_gradients else ()
    twin = module.clone("weight", "bias", *gradients)
    module.v = 2 * module.v
    module.g = 3 * module.g
    x = normal(2, 4)
    assert_close(twin.forward(x), module.forward(x), EXACT)
    module.backward(x, np.ones((2, 3)))
    assert (twin.v is module.v, twin.gradV is module.gradV) == (True, with_gradients)
    assert (twin.gradG is module.gradG, twin.gradG.any()) == (with_gradients, with_gradients)


def test_weightnorm_in_a_bottle_in_a_graph():
    node = nn.Identity()()
    inner = nn.WeightNorm(nn.Linear(4, 3))
    g = nn.gModule([node], [nn.Tanh()(nn.Bottle(inner)(node))])
    x = normal(2, 5, 4)
    assert_close(g.forward(x), np.tanh(inner.forward(x.reshape(10, 4)).reshape(2, 5, 3)), SAME_MATHS)


# ---- modules that look on ------------------------------------------------------------------------


def test_nan_names_what_has_it_first():
    module = nn.NaN(nn.Linear(2, 1), "layer")
    x = np.ones(2)
    module.forward(x)
    with pytest.raises(DataError, match=r"NaN\(layer\).* in the gradOutput of Linear"):
        module.backward(x, np.array([np.nan]))
    with pytest.raises(DataError, match="in the input of Linear"):
        module.forward(np.array([np.nan, 1]))
    module.get(0).weight[...] = np.nan
    with pytest.raises(DataError, match="in the parameters of Linear"):
        module.forward(x)


def test_nan_of_a_gradient():
    module = nn.NaN(nn.Sqrt())
    x = np.array([-1.0])
    with pytest.raises(DataError, match="in the output of Sqrt"):
        module.forward(x)
    power = nn.NaN(nn.Power(0.5))
    power.forward(np.zeros(1))
    with pytest.raises(DataError, match="in the gradInput of Power"):
        power.backward(np.zeros(1), np.zeros(1))


class Halves(nn.Module):
    """A module in Python: parts of a program run before it, to find out what it gives."""

    def updateOutput(self, input):
        return input[: len(input) // 2]

    def updateGradInput(self, input, gradOutput):
        return np.concatenate([gradOutput, np.zeros(len(input) - len(gradOutput))])


def test_printsize_prints_once_a_call(capsys):
    net = nn.Sequential(nn.PrintSize("a"), Halves(), nn.PrintSize("b"))
    net.forward(np.ones(4))
    assert capsys.readouterr().out == "a:input 4\nb:input 2\n"
    net.backward(np.ones(4), np.ones(2))
    assert capsys.readouterr().out == "b:gradOutput 2\na:gradOutput 4\n"
    nn.PrintSize().forward([np.ones(4), (np.ones((2, 3)),)])
    assert capsys.readouterr().out == "PrintSize:input [4, (2x3)]\n"


def test_profile_prints_once_in_a_while(capsys):
    net = nn.Profile(nn.Sequential(nn.Tanh(), Halves()), 2)
    for _ in range(3):
        net.forward(np.ones(4))
    assert re.fullmatch(r"Sequential took \d+\.\d{3} seconds for 2 forward passes\n", capsys.readouterr().out)
    assert (net.numFwds, net.numBwds) == (1, 0)
    one = nn.Profile(nn.Tanh(), 1, "it")
    one.forward(np.ones(4))
    one.backward(np.ones(4), np.ones(4))
    printed = capsys.readouterr().out.splitlines()
    assert [line.split(" took ")[0] for line in printed] == ["it", "it"]
    assert [line.split(" for ")[1] for line in printed] == ["1 forward pass", "1 backward pass"]


# ---- indices, constants and gradients ------------------------------------------------------------


def test_index_takes_whole_reals_and_gives_them_no_gradient():
    module, x, index = nn.Index(0), normal(3, 2), np.array([2.0, 0.0, 2.0])
    assert_close(module.forward([x, index]), x[[2, 0, 2]], EXACT)
    gradient = module.backward([x, index], np.ones((3, 2)))
    assert_trees_close(gradient, [np.array([[1.0, 1], [0, 0], [2, 2]]), np.zeros(3)], EXACT)


def test_onehot_takes_whole_reals():
    assert_close(nn.OneHot(3).forward(np.array([1.0, 2.0])), np.eye(3)[[1, 2]], EXACT)


def test_maskedselect_takes_a_mask_of_reals_and_of_any_count():
    module, x = nn.MaskedSelect(), normal(2, 3)
    for mask in (np.eye(2, 3), np.zeros((2, 3)), np.ones((2, 3))):
        assert_close(module.forward([x, mask]), x[mask != 0], EXACT)
        gradient = module.backward([x, mask], np.arange(1, mask.sum() + 1))
        assert_close(gradient[0][mask != 0], np.arange(1, mask.sum() + 1), EXACT)
        assert not gradient[0][mask == 0].any()


def test_a_constant_can_be_written_to_and_is_no_parameter():
    module = nn.Constant(np.zeros(2))
    module.value = np.array([1.0, 2.0])
    assert_close(module.forward(X), np.array([1.0, 2.0]), EXACT)
    assert module.parameters() == ([], [])
    assert not module.backward(X, np.ones(2)).any()
    assert module.float().forward(np.ones(1, np.float32)).dtype == np.float32


def test_gradientreversal_passes_every_bit():
    x = np.array([np.inf, -0.0, np.nan, 5e-324])
    module = nn.GradientReversal(2)
    assert module.forward(x).tobytes() == x.tobytes()
    module.setLambda(3)
    module.forward(x)
    assert_close(module.backward(x, np.ones(4)), np.full(4, -3.0), EXACT)


def test_mixtures_of_one_sample_in_one_array():
    gates, experts = np.array([1.0, 3.0]), normal(2, 5)
    assert_close(nn.MixtureTable().forward([gates, experts]), experts[0] + 3 * experts[1], SAME_MATHS)


# ---- max and min ---------------------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "best"), [(nn.Max, 3.0), (nn.Min, 1.0)])
def test_the_first_of_equals_gets_the_gradient(kind, best):
    x = np.array([2.0, best, best, 2.0])
    module = kind(0)
    assert module.forward(x) == best
    assert_close(module.backward(x, np.ones(())), np.array([0.0, 1, 0, 0]), EXACT)


@pytest.mark.parametrize("kind", [nn.Max, nn.Min])
def test_nan_wins(kind):
    x = np.array([[1.0, np.nan, 5.0, np.nan]])
    module = kind(1)
    assert np.isnan(module.forward(x)).all()
    assert_close(module.backward(x, np.ones(1)), np.array([[0.0, 1, 0, 0]]), EXACT)


def test_prelu_has_its_slope_at_zero_as_torch7_has():
    module = nn.PReLU()
    module.forward(np.zeros(1))
    assert_close(module.backward(np.zeros(1), np.ones(1)), np.array([0.25]), EXACT)


def test_prelu_resets_its_slopes():
    module = nn.PReLU(3)
    module.weight = np.zeros(3)
    module.reset()
    assert_close(module.weight, np.full(3, 0.25), EXACT)
