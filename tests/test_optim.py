"""Optimizers follow the trajectories of Torch7's (tests/golden/optim.json)."""

import json

import numpy as np
import pytest
from golden_cases import GOLDEN
from samples import mlp, normal, python
from tolerances import EXACT, TRAJECTORY, assert_close

import pynngraph as nn
from pynngraph import errors

CASES = json.loads((GOLDEN / "optim.json").read_text())
LEAST = {"sgd": 15, "adam": 6, "rmsprop": 6, "adagrad": 6}  # cases of a method that run at least


def rosenbrock(x):
    a, b = x[0], x[1]
    gradient = np.array([-400 * a * (b - a * a) - 2 * (1 - a), 200 * (b - a * a)])
    return 100 * (b - a * a) ** 2 + (1 - a) ** 2, gradient


def quadratic(x):
    k = np.arange(1, 8)
    return (k * (x - 0.1 * k) ** 2).sum(), 2 * k * (x - 0.1 * k)


def mixed(x):
    return (np.cos(x) + 0.05 * x**2).sum(), -np.sin(x) + 0.1 * x


FUNCTIONS = {
    "rosenbrock": (rosenbrock, np.array([-1.2, 1.0])),
    "quadratic": (quadratic, np.linspace(-1, 1, 7)),
    "mixed": (mixed, np.linspace(-2, 3, 5)),
}
SUPPORTED = [case for case in CASES if hasattr(nn.optim, case["method"])]


@pytest.mark.parametrize("case", SUPPORTED, ids=["-".join((c["method"], c["name"], c["function"])) for c in SUPPORTED])
def test_trajectories_are_those_of_torch7(case):
    function, start = FUNCTIONS[case["function"]]
    x, config, state = start.copy(), dict(case["config"]), {}
    method = getattr(nn.optim, case["method"])
    for expected, losses in zip(case["x"], case["f"], strict=True):
        given = x
        x, found = method(function, x, config, state)
        assert x is given, "changed in place"
        assert_close(x, np.array(expected), TRAJECTORY)
        assert_close(np.array(found), np.atleast_1d(losses), TRAJECTORY)


@pytest.mark.parametrize("method", LEAST)
def test_no_trajectory_drops_out(method):
    assert sum(case["method"] == method for case in SUPPORTED) >= LEAST[method]


def test_sgd_keeps_its_state_in_the_config_without_another():
    config = {"learningRate": 0.1, "momentum": 0.9}
    x = np.ones(7)
    for _ in range(3):
        nn.optim.sgd(quadratic, x, config)
    together, y = {}, np.ones(7)
    for _ in range(3):
        nn.optim.sgd(quadratic, y, {"learningRate": 0.1, "momentum": 0.9}, together)
    assert_close(x, y, TRAJECTORY)


def test_sgd_refuses_rates_of_another_shape():
    with pytest.raises(errors.ShapeError, match="learningRates"):
        nn.optim.sgd(quadratic, np.ones(7), {"learningRates": np.ones(3)})


def test_sgd_takes_rates_and_decays_for_each_parameter():
    rates, decays = np.arange(7.0), np.linspace(0, 1, 7)
    x = np.ones(7)
    gradient = quadratic(x)[1] + decays * x
    found, _ = nn.optim.sgd(quadratic, x.copy(), {"learningRate": 0.1, "learningRates": rates, "weightDecays": decays})
    assert_close(found, x - 0.1 * rates * gradient, TRAJECTORY)


@pytest.mark.parametrize(
    "config",
    [
        {"nesterov": True},
        {"nesterov": True, "momentum": 0.9, "dampening": 0.5},
        {"weightDecay": 1, "weightDecays": np.ones(7)},
    ],
    ids=("without momentum", "with dampening", "two decays"),
)
def test_sgd_refuses_settings_that_contradict(config):
    with pytest.raises(errors.Error):
        nn.optim.sgd(quadratic, np.ones(7), config)


@pytest.mark.parametrize("settings", [{}, {"momentum": 0.9}, {"weightDecay": 0.1}], ids=("plain", "momentum", "decay"))
def test_sgd_leaves_the_gradient_alone(settings):
    gradient = np.ones(7)
    x = np.ones(7)
    state = {}
    for _ in range(3):
        nn.optim.sgd(lambda _: (0.0, gradient), x, {"learningRate": 0.1, **settings}, state)
        assert (gradient == 1).all()


def test_sgd_trains_a_net_in_either_dtype():
    for dtype in ("float64", "float32"):
        net = mlp(3, 3).type(dtype)
        x = normal(8, 3).astype(dtype)
        flat, grad = net.getParameters()
        criterion = nn.MSECriterion().type(dtype)

        def evaluate(_, net=net, x=x, grad=grad, criterion=criterion):
            grad[...] = 0
            loss = criterion.forward(net.forward(x), x)
            net.backward(x, criterion.backward(net.output, x))
            return loss, grad

        losses = [nn.optim.sgd(evaluate, flat, {"learningRate": 0.5}, {})[1][0] for _ in range(30)]
        assert flat.dtype == dtype
        assert losses[-1] < 0.5 * losses[0]


# ---- all methods ---------------------------------------------------------------------------------

METHODS = sorted(LEAST)
CONFIGS = {
    "sgd": {"learningRate": 0.01, "momentum": 0.9, "weightDecay": 0.1},
    "adam": {"learningRate": 0.01, "weightDecay": 0.1, "learningRateDecay": 0.1},
    "rmsprop": {"learningRate": 0.01, "weightDecay": 0.1, "initialMean": 0.5},
    "adagrad": {"learningRate": 0.01, "weightDecay": 0.1, "learningRateDecay": 0.1},
}


def by_hand(method, x, gradients, config):
    """The formulas of the docstrings in NumPy, in x's dtype."""
    rate, decay = config["learningRate"], config["weightDecay"]
    m, v = np.zeros_like(x), np.full_like(x, config.get("initialMean", 0))
    for t, gradient in enumerate(gradients, 1):
        d = gradient + decay * x
        now = rate / (1 + (t - 1) * config.get("learningRateDecay", 0))
        if method == "sgd":
            m = 0.9 * m + (0.1 if t > 1 else 1) * d
            x = x - now * m
        elif method == "adam":
            m, v = 0.9 * m + 0.1 * d, 0.999 * v + 0.001 * d * d
            x = x - now * np.sqrt(1 - 0.999**t) / (1 - 0.9**t) * m / (np.sqrt(v) + 1e-8)
        elif method == "rmsprop":
            v = 0.99 * v + 0.01 * d * d
            x = x - now * d / (np.sqrt(v) + 1e-8)
        else:
            v = v + d * d
            x = x - now * d / (np.sqrt(v) + 1e-10)
    return x


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shape", [(1001,), (7, 11), (1,), (0,), ()], ids=str)
@pytest.mark.parametrize("method", METHODS)
def test_steps_are_those_of_the_formulas(method, shape, dtype):
    start = normal(*shape).astype(dtype)
    gradients = [normal(*shape, seed=seed).astype(dtype) for seed in range(5)]
    x, state = start.copy(), {}
    for gradient in gradients:
        given = gradient.copy()
        getattr(nn.optim, method)(lambda _, g=gradient: (0.0, g), x, CONFIGS[method], state)
        assert_close(gradient, given, EXACT, what="the gradient")
    expected = by_hand(method, start.astype("float64"), [g.astype("float64") for g in gradients], CONFIGS[method])
    assert x.dtype == dtype
    assert_close(x, expected.astype(dtype), TRAJECTORY)


@pytest.mark.parametrize("method", METHODS)
def test_a_step_takes_any_layout_of_the_gradient_and_x_itself(method):
    step = getattr(nn.optim, method)
    x, gradient = normal(5, 4), normal(4, 5, seed=2)
    found, _ = step(lambda _: (0.0, gradient.T), x.copy(), {})
    expected, _ = step(lambda _: (0.0, gradient.T.copy()), x.copy(), {})
    assert_close(found, expected, EXACT)
    found, _ = step(lambda x: (0.0, x), x.copy(), {})
    expected, _ = step(lambda x: (0.0, x.copy()), x.copy(), {})
    assert_close(found, expected, EXACT)


def read_only(x):
    x.flags.writeable = False
    return x


WRONG_PARAMETERS = {
    "a list": ([1.0], TypeError, "one array"),
    "whole numbers": (np.ones(3, np.int64), TypeError, "int64"),
    "half": (np.ones(3, np.float16), TypeError, "float16"),
    "strided": (np.ones(6)[::2], ValueError, "contiguous"),
    "misaligned": (np.frombuffer(bytearray(33), np.float64, 4, 1), ValueError, "contiguous"),
    "read only": (read_only(np.ones(3)), ValueError, "read-only"),
}


@pytest.mark.parametrize(("x", "error", "text"), WRONG_PARAMETERS.values(), ids=WRONG_PARAMETERS)
@pytest.mark.parametrize("method", METHODS)
def test_parameters_that_cannot_be_changed_in_place_are_refused(method, x, error, text):
    with pytest.raises(error, match=text) as caught:
        getattr(nn.optim, method)(lambda x: pytest.fail("called"), x)
    assert isinstance(caught.value, errors.Error)


WRONG_GRADIENTS = {
    "a list": ([1.0, 1.0, 1.0], TypeError, "got list"),
    "single": (np.ones(3, np.float32), TypeError, "float64, got dtype float32"),
    "longer": (np.ones(4), ValueError, r"\(3,\), got \(4,\)"),
}


@pytest.mark.parametrize(("gradient", "error", "text"), WRONG_GRADIENTS.values(), ids=WRONG_GRADIENTS)
@pytest.mark.parametrize("method", METHODS)
def test_gradients_unlike_the_parameters_are_refused_and_nothing_changes(method, gradient, error, text):
    x, state = np.ones(3), {}
    with pytest.raises(error, match=text):
        getattr(nn.optim, method)(lambda _: (0.0, gradient), x, {}, state)
    assert state == {}
    assert (x == 1).all()


KEPT = {"sgd": "dfdx", "adam": "v", "rmsprop": "m", "adagrad": "paramVariance"}


@pytest.mark.parametrize(
    ("array", "error"),
    [(np.ones(3, np.float32), TypeError), (np.ones(2), ValueError), (np.ones(6)[::2], ValueError)],
    ids=("dtype", "shape", "strided"),
)
@pytest.mark.parametrize("method", METHODS)
def test_a_state_of_other_parameters_is_refused_and_nothing_changes(method, array, error):
    x, state = np.ones(3), {KEPT[method]: array}
    with pytest.raises(error, match=KEPT[method]):
        getattr(nn.optim, method)(lambda x: (0.0, x.copy()), x, CONFIGS[method], state)
    assert list(state) == [KEPT[method]]
    assert (x == 1).all()


def test_an_unknown_instruction_set_is_an_error_of_a_step_too():
    code = "import numpy as np, pynngraph as nn; nn.optim.adam(lambda x: (0.0, x), np.ones(3))"
    done = python("-c", code, PYNNGRAPH_ISA="abacus")
    assert "StateError: PYNNGRAPH_ISA=abacus cannot be had" in done.stderr
