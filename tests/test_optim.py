"""Optimizers follow the trajectories of Torch7's (tests/golden/optim.json)."""

import json

import numpy as np
import pytest
from golden_cases import GOLDEN
from samples import mlp, normal, python
from tolerances import EXACT, TRAJECTORY, assert_close, relative

import pynngraph as nn
from pynngraph import errors
from pynngraph.optim import linesearch
from pynngraph.optim.cg import Limits, _Search

CASES = json.loads((GOLDEN / "optim.json").read_text())
LEAST = {"sgd": 15, "adam": 6, "rmsprop": 6, "adagrad": 6}  # cases of a method that run at least
LEAST |= {"adamax": 6, "adadelta": 6, "rprop": 3, "asgd": 3, "nag": 3, "cg": 3, "lbfgs": 6}

METHODS = sorted(LEAST)
CONFIGS = {
    "sgd": {"learningRate": 0.01, "momentum": 0.9, "weightDecay": 0.1},
    "adam": {"learningRate": 0.01, "weightDecay": 0.1, "learningRateDecay": 0.1},
    "rmsprop": {"learningRate": 0.01, "weightDecay": 0.1, "initialMean": 0.5},
    "adagrad": {"learningRate": 0.01, "weightDecay": 0.1, "learningRateDecay": 0.1},
    "adamax": {"learningRate": 0.01, "weightDecay": 0.1, "learningRateDecay": 0.1},
    "adadelta": {"rho": 0.8, "eps": 1e-3, "weightDecay": 0.1},
    "rprop": {"stepsizemax": 0.15, "stepsizemin": 0.04},
    "asgd": {"eta0": 0.1, "lambda": 0.5, "t0": 2},
    "nag": {"learningRate": 0.01, "weightDecay": 0.1, "learningRateDecay": 0.1, "momentum": 0.7},
}
STEPS = sorted(CONFIGS)  # all methods but those that look at the loss more than once


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
    for expected, losses in zip(map(np.array, case["x"]), map(np.atleast_1d, case["f"]), strict=True):
        given = x
        x, found = method(function, x, config, state)
        assert x is given, "changed in place"
        if np.ptp(losses) <= 1e-15 * abs(losses[0]):
            # At a minimum rounding decides how far to look on, and x where the loss is flat.
            assert_close(np.array(found), np.full(len(found), losses[0]), TRAJECTORY)
            assert_close(x, expected, relative(1e-8, 1e-8))
        else:
            tolerance = relative(1e-11, 1e-5) if "lineSearch" in config else TRAJECTORY  # they magnify rounding
            assert_close(np.array(found), losses, tolerance)
            assert_close(x, expected, tolerance)
        if case["method"] == "cg":  # nothing is kept: rounding, which searches magnify, begins anew
            x = expected


@pytest.mark.parametrize("method", LEAST)
def test_no_trajectory_drops_out(method):
    assert sum(case["method"] == method for case in SUPPORTED) >= LEAST[method]


@pytest.mark.parametrize("method", METHODS)
def test_parameters_may_have_any_shape(method):
    step, config = getattr(nn.optim, method), {"maxIter": 6, "lineSearch": "lswolfe", **CONFIGS.get(method, {})}
    x, y, state, other = np.ones((7, 1)), np.ones(7), {}, {}

    def feval(x):
        loss, gradient = quadratic(x.ravel())
        return loss, gradient.reshape(x.shape)

    for _ in range(3):
        assert step(feval, x, config, state)[1] == step(quadratic, y, config, other)[1]
        assert_close(x, y[:, None], EXACT)
    nothing = np.ones(0)
    step(lambda x: (0.0, x), nothing, config, {})


@pytest.mark.parametrize("method", METHODS)
def test_config_is_the_state_where_there_is_no_other(method):
    step, settings = getattr(nn.optim, method), {**CONFIGS.get(method, {"maxIter": 3})}
    x, y = np.ones(7), np.ones(7)
    config, state = dict(settings), {}
    for _ in range(3):
        step(quadratic, x, config)
        step(quadratic, y, settings, state)
    assert_close(x, y, EXACT)
    assert set(config) == {*settings, *state}
    step(quadratic, x)
    assert not (x == y).all()


@pytest.mark.parametrize("method", METHODS)
def test_a_gradient_may_be_the_same_array_each_time(method):
    """As that of ``getParameters`` is."""
    step, x, y, state, other = getattr(nn.optim, method), np.ones(7), np.ones(7), {}, {}
    buffer = np.empty(7)

    def feval(x):
        loss, buffer[...] = quadratic(x)
        return loss, buffer

    for search in ({}, {"lineSearch": "lswolfe"}):
        for _ in range(3):
            config = {"maxIter": 5, "learningRate": 0.01, **search}
            _, losses = step(feval, x, config, state)
            assert losses == step(quadratic, y, config, other)[1]
            assert_close(x, y, EXACT)


@pytest.mark.parametrize("search", [None, nn.optim.lswolfe], ids=("plain", "lswolfe"))
@pytest.mark.parametrize("method", ["nag", "cg", "lbfgs"])
def test_where_a_loss_fails_nothing_changes(method, search):
    """Also what is looked at on the way is forgotten."""
    step, config = getattr(nn.optim, method), {"lineSearch": search, "learningRate": 0.01}
    x, state = np.ones(7), {}
    for _ in range(2):
        step(quadratic, x, config, state)
    before, kept = x.copy(), dict(state)
    calls = 0

    def interrupted(x):
        nonlocal calls
        calls += 1
        if calls == (1 if method == "nag" else 3):
            raise KeyboardInterrupt
        return rosenbrock_of_many(x)

    with pytest.raises(KeyboardInterrupt):
        step(interrupted, x, config, state)
    assert_close(x, before, EXACT)
    assert state.keys() == kept.keys()
    for name in kept.keys() - {"x_copy"}:
        assert state[name] is kept[name]


def rosenbrock_of_many(x):
    """Its minimum is at ones."""
    rise = x[1:] - x[:-1] ** 2
    gradient = np.zeros_like(x)
    gradient[:-1] = -400 * x[:-1] * rise - 2 * (1 - x[:-1])
    gradient[1:] += 200 * rise
    return float((100 * rise**2 + (1 - x[:-1]) ** 2).sum()), gradient


# How many steps come how near to the minimum.
REACH = {
    "adadelta": (8000, {"rho": 0.99}, 0.3),
    "adagrad": (4000, {"learningRate": 0.3}, 0.05),
    "adam": (4000, {"learningRate": 0.02}, 1e-3),
    "adamax": (4000, {"learningRate": 0.02}, 0.01),
    "asgd": (4000, {"eta0": 1e-3, "lambda": 0}, 0.1),
    "cg": (20, {"maxIter": 40}, 1e-6),
    "lbfgs": (10, {"maxIter": 40, "lineSearch": nn.optim.lswolfe}, 1e-4),
    "nag": (4000, {"learningRate": 3e-4}, 0.03),
    "rmsprop": (4000, {"learningRate": 1e-3}, 0.01),
    "rprop": (4000, {"stepsize": 0.01}, 0.01),
    "sgd": (4000, {"learningRate": 3e-4, "momentum": 0.9, "dampening": 0}, 0.03),
}


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("method", METHODS)
def test_the_valley_of_rosenbrock_leads_to_the_minimum(method, dtype):
    times, config, near = REACH[method]
    x, state = np.array([0.5, 0.8, 1.2, 0.7], dtype), {}
    for _ in range(times):
        getattr(nn.optim, method)(rosenbrock_of_many, x, config, state)
    assert x.dtype == dtype
    assert abs(x - 1).max() < max(near, 1e-3 if dtype == "float32" else 0)


def test_lbfgs_takes_steps_that_newton_would_where_the_loss_is_a_square():
    """In as many line searches as there are dims, each to the end, all of it is known."""
    x, state = np.array([3.0, -2.0, 1.0]), {}
    matrix = np.diag([1.0, 10.0, 100.0])
    config = {"maxIter": 30, "lineSearch": nn.optim.lswolfe, "lineSearchOptions": {"c2": 1e-3}}
    _, losses = nn.optim.lbfgs(lambda x: (float(x @ matrix @ x) / 2, matrix @ x), x, config, state)
    assert losses[-1] < 1e-10
    assert len(losses) < 12
    assert state["nIter"] == len(losses) - 1 or state["nIter"] == len(losses)
    assert state["funcEval"] > len(losses)


def test_lbfgs_remembers_no_more_than_it_may():
    x, state = np.linspace(-1, 1, 7), {}
    for _ in range(4):
        nn.optim.lbfgs(quadratic, x, {"nCorrection": 3, "maxIter": 5, "learningRate": 0.3, "tolFun": 0}, state)
    assert len(state["old_dirs"]) == len(state["old_stps"]) == 3
    assert state["nIter"] == 20


REASONS = {
    "tolFun at the start": (quadratic, 0.1 * np.arange(1, 8), {}, "optimality condition below tolFun"),
    "tolFun": (quadratic, np.ones(7), {"tolFun": 1.0, "learningRate": 0.5}, "optimality condition below tolFun"),
    "maxEval": (quadratic, np.ones(7), {"maxEval": 3, "learningRate": 0.1}, "max nb of function evals"),
    "maxIter": (quadratic, np.ones(7), {"maxIter": 2, "learningRate": 0.1}, "reached max number of iterations"),
    "tolX": (quadratic, np.ones(7), {"learningRate": 1e-12}, "step size below tolX"),
    "flat": (lambda x: (1.0, np.ones(7)), np.ones(7), {}, "function value changing less than tolX"),
    "uphill": (quadratic, np.ones(7), {"tolX": 1e9}, "no progress can be made along the direction"),
}


@pytest.mark.parametrize(("feval", "x", "config", "why"), REASONS.values(), ids=REASONS)
def test_lbfgs_says_why_it_ends(feval, x, config, why, capsys):
    nn.optim.lbfgs(feval, x.copy(), {"verbose": True, **config}, {})
    assert capsys.readouterr().out == f"<optim.lbfgs> {why}\n"


def test_lbfgs_refuses_what_is_no_line_search():
    with pytest.raises(errors.StateError, match=r"lineSearch.*'wolf'"):
        nn.optim.lbfgs(quadratic, np.ones(7), {"lineSearch": "wolf"})


def test_a_search_of_cg_that_finds_nothing_ends():
    """Where the gradient is a wrong one, and where evaluations are no whole number too."""
    count = 0

    def downhill(x):
        nonlocal count
        count += 1
        return -float(count), np.zeros(7)

    x = np.ones(7)
    for most in (7, 7.5):
        count = 0
        assert nn.optim.cg(downhill, x, {"maxIter": 6, "maxEval": most})[1] == [-1.0]
        assert count < 20
        assert_close(x, np.ones(7), EXACT)


def test_nag_needs_a_momentum():
    with pytest.raises(errors.StateError, match="momentum"):
        nn.optim.nag(quadratic, np.ones(7), {"momentum": 0})


def test_nag_takes_rates_for_each_parameter():
    rates = np.arange(7.0)
    x, state = np.ones(7), {}
    expected, velocity = x.copy(), np.zeros(7)
    for _ in range(3):
        nn.optim.nag(quadratic, x, {"learningRate": 0.01, "learningRates": rates}, state)
        velocity = 0.9 * velocity - 0.01 * rates * quadratic(expected + 0.9 * velocity)[1]
        expected = expected + velocity
    assert_close(x, expected, TRAJECTORY)


def test_rprop_takes_several_steps_in_a_call():
    x, y, state = np.ones(7), np.ones(7), {}
    _, losses = nn.optim.rprop(quadratic, x, {"niter": 4})
    assert losses == [nn.optim.rprop(quadratic, y, {}, state)[1][0] for _ in range(4)]
    assert_close(x, y, EXACT)


def test_rprop_goes_by_the_signs_of_gradients_whose_product_is_nothing():
    for gradient, grown in ((1e-200, 1.2), (-1e-200, 0.5), (0.0, 1)):
        state = {"delta": np.array([1e-200]), "stepsize": np.array([1.0])}
        nn.optim.rprop(lambda _, g=gradient: (0.0, np.array([g])), np.zeros(1), {}, state)
        assert state["stepsize"][0] == grown


# ---- line searches -------------------------------------------------------------------------------


def searched(function, first, **options):
    """A line search from 0, downhill: where it ends, and how often the function was asked."""
    calls = 0

    def feval(x):
        nonlocal calls
        calls += 1
        loss, slope = function(float(x[0]))
        return loss, np.array([slope])

    x = np.zeros(1)
    f, g = feval(x)
    found = nn.optim.lswolfe(feval, x, first, np.ones(1), f, g, float(g[0]), options)
    assert found[2] is x
    assert found[3] == x[0]
    assert found[4] == calls - 1
    assert found[0] == function(float(x[0]))[0]
    assert found[1][0] == function(float(x[0]))[1]
    return float(x[0]), found[4]


LINES = {
    "square": lambda t: ((t - 3) ** 2, 2 * (t - 3)),
    "quartic": lambda t: ((t - 3) ** 4, 4 * (t - 3) ** 3),
    "waves": lambda t: (np.cos(t + 1) - 0.3 * t, -np.sin(t + 1) - 0.3),
    "log": lambda t: (t - 5 * np.log(1 + t), 1 - 5 / (1 + t)),
    "steep": lambda t: (np.exp(5 * (t - 3)) - t, 5 * np.exp(5 * (t - 3)) - 1),
}


@pytest.mark.parametrize("first", [1e-4, 0.1, 1.0, 3.0, 40.0])
@pytest.mark.parametrize("function", LINES.values(), ids=LINES)
@pytest.mark.parametrize("c2", [0.9, 0.1])
def test_a_line_search_ends_where_the_conditions_hold(function, first, c2):
    t, _ = searched(function, first, c2=c2, maxIter=60)
    (f, slope), (loss, now) = function(0.0), function(t)
    assert loss <= f + 1e-4 * t * slope
    assert abs(now) <= c2 * abs(slope)


@pytest.mark.parametrize("beyond", [np.nan, np.inf])
def test_a_line_search_turns_back_where_the_loss_is_no_number(beyond):
    """Torch7's takes NaN for a low loss."""

    def function(t):
        return ((t - 3) ** 2, 2 * (t - 3)) if t < 3.5 else (beyond, beyond)

    t, _ = searched(function, 60.0)
    assert 0.01 < t < 3.5


def test_a_line_search_gives_up_in_time():
    assert searched(lambda t: (-t, -1.0), 1.0, maxIter=5)[1] == 6
    t, count = searched(lambda t: (abs(t - 3), np.sign(t - 3)), 4.0, maxIter=40)
    assert count < 41, "the interval is short enough before that"
    assert t == pytest.approx(3, abs=1e-8)


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


def by_hand(method, x, gradients, config):
    """The formulas of the docstrings in NumPy, in x's dtype."""
    rate, decay = config.get("learningRate"), config.get("weightDecay", 0)
    m, v = np.zeros_like(x), np.full_like(x, config.get("initialMean", 0))
    size = np.full_like(x, 0.1)
    eta, mu = 0.1, 1
    for t, gradient in enumerate(gradients, 1):
        d = gradient + decay * x
        now = rate and rate / (1 + (t - 1) * config.get("learningRateDecay", 0))
        if method == "sgd":
            m = 0.9 * m + (0.1 if t > 1 else 1) * d
            x = x - now * m
        elif method == "adam":
            m, v = 0.9 * m + 0.1 * d, 0.999 * v + 0.001 * d * d
            x = x - now * np.sqrt(1 - 0.999**t) / (1 - 0.9**t) * m / (np.sqrt(v) + 1e-8)
        elif method == "rmsprop":
            v = 0.99 * v + 0.01 * d * d
            x = x - now * d / (np.sqrt(v) + 1e-8)
        elif method == "adagrad":
            v = v + d * d
            x = x - now * d / (np.sqrt(v) + 1e-10)
        elif method == "adamax":
            m, v = 0.9 * m + 0.1 * d, np.maximum(0.999 * v, abs(d) + 1e-38)
            x = x - now / (1 - 0.9**t) * m / v
        elif method == "adadelta":
            v = 0.8 * v + 0.2 * d * d
            d = np.sqrt(m + 1e-3) / np.sqrt(v + 1e-3) * d
            x, m = x - d, 0.8 * m + 0.2 * d * d
        elif method == "rprop":
            turn = np.sign(d * m)
            size = np.clip(size * np.where(turn > 0, 1.2, np.where(turn < 0, 0.5, 1)), 0.04, 0.15)
            m = np.where(turn < 0, 0, d)
            x = x - np.sign(m) * size
        elif method == "asgd":
            x = (1 - 0.5 * eta) * x - eta * d
            m = m + mu * (x - m)
            eta, mu = 0.1 / (1 + 0.5 * 0.1 * t) ** 0.75, 1 / max(1, t - 2)
        else:
            d = gradient + decay * (x + 0.7 * m)
            m = 0.7 * m - now * d
            x = x + m
    return m if method == "asgd" else x


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shape", [(1001,), (7, 11), (1,), (0,), ()], ids=str)
@pytest.mark.parametrize("method", STEPS)
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
    assert_close(state["ax"] if method == "asgd" else x, expected.astype(dtype), TRAJECTORY)


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


KEPT = {
    "sgd": ["dfdx"],
    "adam": ["m", "v"],
    "rmsprop": ["m"],
    "adagrad": ["paramVariance"],
    "adamax": ["m", "u"],
    "adadelta": ["paramVariance", "accDelta"],
    "rprop": ["delta", "stepsize"],
    "asgd": ["ax"],
    "nag": ["dfdx", "x_copy"],
}


@pytest.mark.parametrize(
    ("array", "error"),
    [(np.ones(3, np.float32), TypeError), (np.ones(2), ValueError), (np.ones(6)[::2], ValueError)],
    ids=("dtype", "shape", "strided"),
)
@pytest.mark.parametrize(("method", "name"), [(method, name) for method, names in KEPT.items() for name in names])
def test_a_state_of_other_parameters_is_refused_and_nothing_changes(method, name, array, error):
    step, config = getattr(nn.optim, method), CONFIGS.get(method)

    def feval(x):
        return float((x * x).sum()), 2 * x

    x, state = np.linspace(1, 2, 3), {}
    for _ in range(2):
        step(feval, x, config, state)
    state[name] = array
    before, keys = x.copy(), dict(state)
    with pytest.raises(error, match=name):
        step(feval, x, config, state)
    assert all(state[key] is keys[key] for key in keys)
    assert len(state) == len(keys)
    assert_close(x, before, EXACT)


@pytest.mark.parametrize("name", ["g_old", "d", "old_dirs", "old_stps"])
@pytest.mark.parametrize(
    ("array", "error"), [(np.ones(7, np.float32), TypeError), (np.ones(2), ValueError)], ids=("dtype", "shape")
)
def test_a_state_of_other_parameters_is_refused_by_lbfgs_too(name, array, error):
    x, state = np.ones(7), {}
    nn.optim.lbfgs(quadratic, x, {"maxIter": 3, "learningRate": 0.1}, state)
    state[name] = [array] if isinstance(state[name], list) else array
    before, kept = x.copy(), dict(state)
    with pytest.raises(error, match=name):
        nn.optim.lbfgs(quadratic, x, {}, state)
    assert state == kept
    assert_close(x, before, EXACT)


def trial(step, loss, slope):
    return linesearch.Trial(step, loss, np.zeros(1), slope)


def test_a_cubic_without_a_minimum_is_cut_in_the_middle():
    assert linesearch._interpolated(trial(1, 5, -1), trial(3, 3, -1)) == 2, "a line"
    assert linesearch._interpolated(trial(1, 5, -3), trial(3, 4, -3)) == pytest.approx(2 - np.sqrt(0.2))
    assert linesearch._interpolated(trial(3, 8, 12), trial(1, 0, 0)) == 1
    assert linesearch._interpolated(trial(2, 8, 12), trial(2, 8, 12)) == 2
    assert linesearch._interpolated(trial(0, 0, 1), trial(1, 0.7, 0.5)) == 0.5


def test_a_cubic_is_followed_to_its_minimum_or_as_far_as_it_may_be():
    assert linesearch._extrapolated(trial(0, 9, -6), trial(1, 4, -4), 1.5, 10) == pytest.approx(3), "a square"
    assert linesearch._extrapolated(trial(0, 9, -6), trial(1, 4, -4), 1.5, 2) == 2
    assert linesearch._extrapolated(trial(0, 0, -1), trial(1, -1, -1), 1.5, 10) == 10, "a line"
    assert linesearch._extrapolated(trial(0, 0, -1), trial(1, np.nan, -1), 2, 10) == 6


def test_a_step_is_not_too_near_an_end_twice_in_a_row():
    pair = [trial(1, 0, 0), trial(3, 0, 0)]
    assert linesearch._inside(2.5, pair, stuck=False) == (2.5, False)
    assert linesearch._inside(2.9, pair, stuck=False) == (2.9, True)
    assert linesearch._inside(2.9, pair, stuck=True) == (pytest.approx(2.8), False)
    assert linesearch._inside(1.1, pair[::-1], stuck=True) == (pytest.approx(1.2), False)
    assert linesearch._inside(1.0, pair, stuck=False) == (pytest.approx(1.2), False)
    assert linesearch._inside(3.0, pair, stuck=False) == (pytest.approx(2.8), False)


# A step, its distance to the other end, one that was too far, and what it becomes: the rules of `minimize`.
BOUNDS = [
    (np.nan, -1.0, None, 4.0),
    (np.inf, -1.0, 3.0, 0.5),
    (-1.0, -1.0, 3.0, 0.5),
    (9.0, -1.0, None, 4.0),
    (9.0, -1.0, 3.0, 0.5),
    (0.05, -1.0, None, 0.1),
    (0.5, -1.0, 3.0, 0.9),
    (0.95, -1.0, 3.0, 0.95),
    (2.0, -1.0, None, 2.0),
]


@pytest.mark.parametrize(("by", "distance", "limit", "expected"), BOUNDS)
def test_a_line_search_of_cg_goes_neither_too_far_nor_too_little(by, distance, limit, expected):
    limits = Limits(rho=0.01, sig=0.5, int=0.1, ext=3.0, most=10)
    search = _Search(quadratic, np.ones(7), np.ones(7), None, limits, 10)
    search.step = 2.0
    assert search.bounded(by, distance, limit) == pytest.approx(expected)


def test_an_unknown_instruction_set_is_an_error_of_a_step_too():
    code = "import numpy as np, pynngraph as nn; nn.optim.adam(lambda x: (0.0, x), np.ones(3))"
    done = python("-c", code, PYNNGRAPH_ISA="abacus")
    assert "StateError: PYNNGRAPH_ISA=abacus cannot be had" in done.stderr
