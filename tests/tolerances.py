"""How closely numbers must agree: a few named classes, and the one comparison that uses them.

A class holds a bound per dtype in ULP, here units of the dtype's machine epsilon relative to a *measure*:

- ``element``: the expected element itself. Right where each element is computed by itself.
- ``array``: the largest magnitude in the expected array. Right where sums and differences of larger
  numbers may cancel, so that no bound relative to the result can hold.
"""

from typing import NamedTuple

import numpy as np


class Tolerance(NamedTuple):
    """A class of agreement."""

    measure: str
    float64: float
    float32: float

    def bound(self, dtype):
        """The largest error that is allowed, relative to the measure."""
        dtype = np.dtype(dtype)
        ulps = self.float32 if dtype == np.float32 else self.float64
        return ulps * float(np.finfo(dtype).eps)


def relative(float64, float32, measure="array"):
    """A class given in relative errors instead of ULP."""
    ulps64 = float64 / float(np.finfo(np.float64).eps)
    return Tolerance(measure, ulps64, float32 / float(np.finfo(np.float32).eps))


# Nothing is computed, or one thing that IEEE 754 rounds in one way only: all bits agree.
EXACT = Tolerance("element", 0, 0)
# A few operations of IEEE 754 on each element.
ROUNDED = Tolerance("element", 2, 2)
# Functions approximated by polynomials, such as exp, log, tanh.
TRANSCENDENTAL = Tolerance("element", 4, 4)
# Derivatives and normalized exponentials: a difference of numbers near 1 is among the operations.
CANCELLING = Tolerance("array", 8, 8)
# Sums of a few tens of products.
SUMS = Tolerance("array", 32, 32)
# Sums of some hundreds of products.
LONG_SUMS = Tolerance("array", 200, 200)
# Two ways to the same number that only differ in rounding: apart or together, one sample or many.
SAME_MATHS = Tolerance("array", 64, 64)
# A whole graph in float64 against an interpreter in float64.
GRAPH = relative(1e-10, 1e-3)
# float32 against float64 of the same module.
SINGLE = relative(1e-5, 1e-5)
# Against central differences with a step of NUMERICAL_STEP: their own error dominates.
NUMERICAL = relative(2e-8, 2e-8)
# The same, of distances: as Torch7, gradients have 1e-6 or 1e-7 added to them.
NUMERICAL_DISTANCE = relative(1e-5, 1e-5)
NUMERICAL_STEP = 1e-4
# A trajectory of an optimizer.
TRAJECTORY = relative(1e-12, 1e-5)


def error(got, expected, measure):
    """The largest error of an array relative to the measure. Equal infinities and NaNs agree."""
    got, expected = np.asarray(got, np.float64), np.asarray(expected, np.float64)
    with np.errstate(invalid="ignore", over="ignore", divide="ignore"):
        different = ~((got == expected) | (np.isnan(got) & np.isnan(expected)))
        if not different.any():
            return 0.0
        finite = np.abs(expected[np.isfinite(expected)])
        unit = np.abs(expected) if measure == "element" else finite.max(initial=0.0)
        errors = np.where(different, np.abs(got - expected) / unit, 0.0)
    return float(np.where(np.isnan(errors), np.inf, errors).max())


def assert_close(got, expected, tolerance, dtype=None, what="array"):
    """Assert that arrays have the same shape and agree within a class, in the dtype of `got`."""
    got, expected = np.asarray(got), np.asarray(expected)
    assert got.shape == expected.shape, f"{what}: shape {got.shape}, expected {expected.shape}"
    found = error(got, expected, tolerance.measure)
    bound = tolerance.bound(dtype or got.dtype)
    assert found <= bound, f"{what}: relative error {found:.3g}, allowed {bound:.3g}"


def assert_trees_close(got, expected, tolerance, what="table"):
    """Assert that tables have the same nesting, container types included, and agree within a class."""
    if isinstance(expected, (list, tuple)):
        assert type(got) is type(expected), f"{what}: {type(got)}, expected {type(expected)}"
        assert len(got) == len(expected), f"{what}: {len(got)} entries, expected {len(expected)}"
        for place, (entry, wanted) in enumerate(zip(got, expected, strict=True)):
            assert_trees_close(entry, wanted, tolerance, f"{what}[{place}]")
    else:
        assert not isinstance(got, (list, tuple)), f"{what}: a table where an array is expected"
        assert_close(got, expected, tolerance, what=what)
