"""Optimizers follow the trajectories of Torch7's (tests/golden/optim.json)."""

import json

import numpy as np
import pytest
from golden_cases import GOLDEN
from samples import mlp, normal
from tolerances import TRAJECTORY, assert_close

import pynngraph as nn
from pynngraph import errors

CASES = json.loads((GOLDEN / "optim.json").read_text())
LEAST = {"sgd": 15}  # cases of a method that run at least


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
