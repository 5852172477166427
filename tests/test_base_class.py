"""The methods that every module has from Torch7's base classes, and what containers add."""

import numpy as np
import pytest
from samples import mlp, normal
from tolerances import EXACT, SAME_MATHS, assert_close

import pynngraph as nn
from pynngraph import errors

X = normal(4, 3)


def nested():
    """Sequential { Linear, Sequential { Tanh, Dropout }, ConcatTable { Tanh } }."""
    inner = nn.Sequential().add(nn.Tanh()).add(nn.Dropout(0.5))
    return nn.Sequential().add(nn.Linear(3, 3)).add(inner).add(nn.ConcatTable().add(nn.Tanh()))


def kinds(modules):
    return [type(module).__name__ for module in modules]


def test_listmodules_goes_from_the_root_down():
    names = kinds(nested().listModules())
    assert names == ["Sequential", "Linear", "Sequential", "Tanh", "Dropout", "ConcatTable", "Tanh"]


@pytest.mark.parametrize("kind", [nn.Tanh, "Tanh", "nn.Tanh"])
def test_findmodules_gives_modules_and_their_containers(kind):
    modules, containers = nested().findModules(kind)
    assert kinds(modules) == ["Tanh", "Tanh"]
    assert kinds(containers) == ["Sequential", "ConcatTable"]


def test_apply_calls_with_every_module():
    seen = []
    net = nested()
    assert net.apply(seen.append) is net
    assert kinds(seen) == kinds(net.listModules())


def test_replace_puts_others_in_place_at_any_depth():
    net = nested()
    net.forward(X)
    out = net.replace(lambda module: nn.MulConstant(2) if isinstance(module, nn.Tanh) else module)
    assert out is net
    assert not net.findModules(nn.Tanh)[0]
    net.evaluate()
    assert_close(net.forward(X)[0], 4 * (X @ net.get(0).weight.T + net.get(0).bias), SAME_MATHS)
    assert isinstance(nn.Tanh().replace(lambda _: nn.Exp()), nn.Exp)


def test_training_and_evaluate_switch_all():
    net = nested()
    assert all(module.train for module in net.listModules())
    assert net.evaluate() is net
    assert not any(module.train for module in net.listModules())
    assert net.training() is net
    assert all(module.train for module in net.listModules())


def test_type_tells_and_converts():
    net = nested()
    assert net.type() == "float64"
    assert net.float() is net
    assert net.type() == "float32"
    assert net.double().type() == "float64"
    with pytest.raises(errors.DTypeError):
        net.type("int32")


def test_containers_grow_and_shrink():
    net = nn.Sequential()
    assert net.size() == 0
    assert net.add(nn.MulConstant(2)) is net
    net.add(nn.AddConstant(1))
    assert_close(net.forward(X), 2 * X + 1, SAME_MATHS)
    net.insert(nn.AddConstant(5), 0)
    assert_close(net.forward(X), 2 * (X + 5) + 1, SAME_MATHS)
    net.remove(1)
    assert_close(net.forward(X), X + 6, SAME_MATHS)
    net.remove()
    assert net.size() == 1
    assert_close(net.forward(X), X + 5, SAME_MATHS)
    net.modules[0] = nn.MulConstant(3)
    assert_close(net.forward(X), 3 * X, EXACT)
    assert net.get(0) is net.modules[0]


@pytest.mark.parametrize("wrong", [5, -6])
def test_places_that_a_container_does_not_have_are_errors(wrong):
    net = nested()
    for call in (lambda: net.get(wrong), lambda: net.remove(wrong), lambda: net.insert(nn.Tanh(), wrong)):
        with pytest.raises(errors.GraphError):
            call()
    assert net.size() == 3


@pytest.mark.parametrize("wrong", [None, nn.Tanh, "Tanh", np.tanh], ids=("None", "class", "text", "function"))
def test_containers_take_modules_only(wrong):
    with pytest.raises(errors.GraphError):
        nn.Sequential().add(wrong)


def test_a_node_in_a_container_says_to_pack_the_graph():
    with pytest.raises(errors.GraphError, match="gModule"):
        nn.Sequential().add(nn.Tanh()())


@pytest.mark.parametrize(
    ("module", "attribute", "value", "expected"),
    [(nn.MulConstant(2), "constant_scalar", 3, 3 * X), (nn.AddConstant(2), "constant_scalar", 3, X + 3),
     (nn.Dropout(0.5), "p", 0, X), (nn.SelectTable(0), "index", 1, X), (nn.Narrow(1, 0, 1), "length", 3, X)],
    ids=("MulConstant", "AddConstant", "Dropout", "SelectTable", "Narrow"),
)  # fmt: skip
def test_settings_that_are_changed_count_at_the_next_call(module, attribute, value, expected):
    assert hasattr(module, attribute), "Torch7's name"
    input = [0 * X, X] if isinstance(module, nn.SelectTable) else X
    module.forward(input)
    setattr(module, attribute, value)
    assert_close(module.forward(input), expected, SAME_MATHS)


def test_settings_of_modules_inside_count_too():
    inner = nn.MulConstant(2)
    net = nn.Sequential().add(nn.Identity()).add(nn.Sequential().add(inner))
    net.forward(X)
    inner.constant_scalar = 5
    assert_close(net.forward(X), 5 * X, EXACT)


def test_dropout_keeps_the_expected_share_and_mean():
    x = np.ones(20000)
    module = nn.Dropout(0.3)
    output = module.forward(x)
    assert abs((output == 0).mean() - 0.3) < 0.02
    assert set(np.round(np.unique(output), 12)) == {0.0, round(1 / 0.7, 12)}
    assert_close(module.backward(x, x), output, EXACT)
    module.evaluate()
    assert_close(module.forward(x), x, EXACT)


def test_gradients_of_dropouts_of_one_input_add_up():
    x, past = np.ones(1000), np.full(1000, 0.25)
    fork = nn.ConcatTable().add(nn.Dropout(0.5)).add(nn.Identity()).add(nn.Dropout(0.2))
    first, _, last = fork.forward(x)
    assert_close(fork.backward(x, [x, past, 2 * x]), first + past + 2 * last, SAME_MATHS)


def test_masks_of_dropouts_have_nothing_to_do_with_each_other():
    """Neither those of two modules in one net, nor those of two calls, nor when shifted."""
    x = np.ones(4000)
    fork = nn.ConcatTable()
    for _ in range(3):
        fork.add(nn.Dropout(0.5))
    masks = [mask > 0 for _ in range(2) for mask in fork.forward(x)]
    for k, mask in enumerate(masks):
        for other in masks[:k]:
            for shift in range(-4, 5):
                agreement = (mask == np.roll(other, shift)).mean()
                assert abs(agreement - 0.5) < 0.06, f"shifted by {shift}, {agreement:.0%} agree"


def test_dropout_of_version_1_scales_at_evaluation():
    x = np.ones(1000)
    module = nn.Dropout(0.3, True)
    assert set(np.unique(module.forward(x))) == {0.0, 1.0}
    module.evaluate()
    assert_close(module.forward(x), 0.7 * x, SAME_MATHS)


def test_dropout_that_stays_stochastic_drops_at_evaluation():
    module = nn.Dropout(0.5, False, False, True)
    module.evaluate()
    assert (module.forward(np.ones(1000)) == 0).any()


@pytest.mark.parametrize("p", [-0.1, 1.0, 1.5])
def test_dropout_wants_a_share_below_one(p):
    with pytest.raises(errors.Error):
        nn.Dropout(p)


@pytest.mark.parametrize("sizes", [(0, 3), (3, -1)])
def test_linear_wants_sizes_of_at_least_one(sizes):
    with pytest.raises(errors.Error):
        nn.Linear(*sizes)


def test_B9_inplace_flags_change_no_result():
    x = normal(4, 3)
    before = x.copy()
    node = nn.Identity()()
    middle = nn.MulConstant(2)(node)
    g = nn.gModule([node], [nn.CAddTable(True)([nn.ReLU(True)(middle), nn.MulConstant(3, True)(middle), middle])])
    assert_close(g.forward(x), np.maximum(2 * x, 0) + 8 * x, SAME_MATHS)
    assert_close(x, before, EXACT)
    assert_close(g.backward(x, np.ones_like(x)), 2 * (x > 0) + 8.0, SAME_MATHS)


def test_a_module_is_not_iterable_and_not_empty():
    assert bool(nn.Tanh())
    with pytest.raises(TypeError):
        list(nn.Tanh())


def test_text_shows_the_whole_tree():
    text = str(nested())
    for part in ("Sequential", "Linear(3 -> 3)", "Dropout", "ConcatTable", "Tanh"):
        assert part in text


def test_a_net_trains():
    net = mlp(3, 2)
    target = np.array([0, 1, 0, 1])
    criterion = nn.CrossEntropyCriterion()
    losses = []
    for _ in range(50):
        net.zeroGradParameters()
        losses.append(criterion.forward(net.forward(X), target))
        net.backward(X, criterion.backward(net.output, target))
        net.updateParameters(0.5)
    assert losses[-1] < 0.5 * losses[0]
