"""Transfer functions: where their derivatives jump, NaN, arguments that are left out, and wrong ones."""

import numpy as np
import pytest
from op_cases import OP_CASES
from tolerances import EXACT, TRANSCENDENTAL, assert_close

import pynngraph as nn
from pynngraph._engine import OPS
from pynngraph.errors import ShapeError

UNARY = [case for case in OP_CASES if case.module and OPS[case.op].family.startswith("unary")]

# What Torch7 does where a derivative jumps.
AT_KINKS = [
    (nn.Abs(), [-0.0, 0.0], [1, 1]),
    (nn.Sqrt(), [0.0, 1.0], [0, 0.5]),
    (nn.ReLU(), [-0.0, 0.0], [0, 0]),
    (nn.Threshold(0.5, 2), [0.5, 0.75], [0, 1]),
    (nn.LeakyReLU(0.25), [-0.0, 0.0], [0.25, 0.25]),
    (nn.ELU(0.25), [-0.0, 0.0], [0.25, 0.25]),
    (nn.HardTanh(-1, 2), [-1.0, 2.0, -0.5], [0, 0, 1]),
    (nn.Clamp(-1, 2), [-1.0, 2.0, 1.5], [0, 0, 1]),
    (nn.ReLU6(), [0.0, 6.0, 5.5], [0, 0, 1]),
    (nn.SoftPlus(4), [5.5, 1e6], [1, 1]),
    (nn.HardShrink(1), [-1.5, -1.0, 1.0, 1.5], [1, 0, 0, 1]),
    (nn.SoftShrink(1), [-1.5, -1.0, 1.0, 1.5], [1, 0, 0, 1]),
    (nn.SoftShrink(-1), [-0.5, 0.0, 1.0], [1, 1, 1]),
    (nn.RReLU(0.25, 0.25), [-1.0, 0.0, 1.0], [0.25, 0.25, 1]),
]


@pytest.mark.parametrize(("module", "x", "derivative"), AT_KINKS, ids=[row[0].label() for row in AT_KINKS])
def test_gradients_where_a_derivative_jumps(module, x, derivative):
    x = np.array(x)
    module.forward(x)
    assert_close(module.backward(x, np.ones_like(x)), np.array(derivative, float), EXACT)


@pytest.mark.parametrize("case", UNARY, ids=[case.name for case in UNARY])
def test_nan_stays_nan(case):
    name, *arguments = case.module
    output = getattr(nn, name)(*arguments).forward(np.array([np.nan, 0.5]))
    assert np.isnan(output).tolist() == [True, False]


def test_gradients_far_out_are_neither_nan_nor_less_than_they_are():
    x = np.array([-700.0, -40.0, 40.0, 700.0])
    ones = np.ones_like(x)
    for module, expected in ((nn.SoftPlus(), np.exp(np.minimum(x, 0))), (nn.LogSigmoid(), np.exp(np.minimum(-x, 0)))):
        module.forward(x)
        assert_close(module.backward(x, ones) / expected, ones, EXACT._replace(float64=64))


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("power", [0, 1, 2, 3, -1, -2, 0.75, -0.5, 2.5, 1e9, 1e9 + 1, np.inf, -np.inf])
def test_powers_at_the_edges_are_those_of_numpy(power, dtype):
    info = np.finfo(dtype)
    sizes = [0, info.smallest_subnormal, info.tiny, 0.5, 1, 1 + info.eps, 2, info.max, np.inf]
    x = np.array([sign * size for size in sizes for sign in (1, -1)]).astype(dtype)
    output = nn.Power(power).type(dtype).forward(x)
    with np.errstate(all="ignore"):
        expected = np.power(x, np.dtype(dtype).type(power))
    assert_close(output, expected, TRANSCENDENTAL)
    signs = np.isnan(output) | (np.signbit(output) == np.signbit(expected))
    assert signs.all()


@pytest.mark.parametrize("power", [0, 1, 2, 3])
def test_the_derivative_of_a_power_at_0(power):
    x = np.array([-0.0, 0.0])
    module = nn.Power(power)
    module.forward(x)
    expected = [np.nan, 1, 0, 0][power]  # 0 times infinity for power 0, as in Torch7
    assert_close(module.backward(x, np.ones(2)), np.full(2, expected), EXACT)


def test_none_is_an_argument_that_is_left_out():
    assert repr(nn.HardTanh(None, None, True)) == repr(nn.HardTanh()) == "nn.HardTanh(-1, 1)"
    assert repr(nn.Threshold(None, None, True)) == repr(nn.Threshold()) == "nn.Threshold(1e-06, 0)"
    assert repr(nn.LeakyReLU(None, True)) == repr(nn.LeakyReLU()) == "nn.LeakyReLU(0.01)"
    assert repr(nn.ELU(None, True)) == repr(nn.ELU()) == "nn.ELU(1)"
    assert repr(nn.SoftPlus(None)) == repr(nn.SoftPlus()) == "nn.SoftPlus(1)"
    assert repr(nn.ReLU6(True)) == "nn.ReLU6"


def test_a_bool_in_place_of_a_slope_is_the_flag():
    assert nn.LeakyReLU(True).negval == 0.01
    assert nn.LeakyReLU(True).inplace


def test_children_of_classes_are_those_of_torch7():
    assert isinstance(nn.ReLU(), nn.Threshold)
    assert isinstance(nn.Clamp(0, 1), nn.HardTanh)


@pytest.mark.parametrize("bounds", [(1, 1), (2, -2), (0, float("nan"))])
def test_bounds_in_the_wrong_order_are_an_error(bounds):
    with pytest.raises(ShapeError, match=f"Clamp needs max_value above min_value, got {bounds[0]} and {bounds[1]}"):
        nn.Clamp(*bounds)


def test_a_number_that_is_changed_counts_at_once():
    module = nn.ELU(1)
    x = np.array([-np.inf])
    assert module.forward(x).tolist() == [-1]
    module.alpha = 2.0
    assert module.forward(x).tolist() == [-2]


@pytest.mark.parametrize("exponent", [1, 2, 3])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_whole_powers_of_whole_numbers_are_whole(exponent, dtype):
    x = np.arange(-50, 51).astype(dtype)
    power = nn.Power(exponent).type(dtype)
    assert (power.forward(x) == x**exponent).all()
    assert (power.backward(x, np.ones_like(x)) == exponent * x ** (exponent - 1)).all()
