"""Wrong arguments of every constructor are errors of ours that name the class; and nothing else is."""

import inspect
import warnings

import numpy as np
import pytest
from constructors import ARGUMENTS

import pynngraph as nn
from pynngraph import errors

ODD = {
    "a string": "x",
    "bytes": b"x",
    "nothing": None,
    "below zero": -1,
    "zero": 0,
    "a truth": True,
    "huge": 2**70,
    "a fraction": 1.5,
    "not a number": float("nan"),
    "complex": 1 + 2j,
    "a list": [],
    "a dict": {},
    "an array": np.ones(3),
    "an object": object(),
}
NAMES = set(nn.nn.__all__)
# Of these, one that they are made of may say what is wrong.
COMPOSITES = {
    "CReLU", "CriterionTable", "CrossEntropyCriterion", "GRU", "LSTM", "LayerNormalization", "Maxout", "RNN",
    "SpatialClassNLLCriterion", "SpatialContrastiveNormalization", "SpatialLPPooling", "WeightNorm",
}  # fmt: skip
PLACES = [(name, place) for name, arguments in ARGUMENTS.items() for place in range(len(arguments))]


def taken(name):
    """The parameters of a constructor."""
    return list(inspect.signature(getattr(nn, name)).parameters.values())


def test_every_class_with_arguments_has_a_row():
    classes = [name for name in nn.nn.__all__ if inspect.isclass(getattr(nn, name)) and name not in nn.errors.__dict__]
    of_modules = {"Container", "Sequential", "ConcatTable", "ParallelTable", "Unrolled", "ModuleFromCriterion"}
    of_modules |= {"MultiCriterion", "StochasticGradient", "JustElement", "JustTable"}
    without = {name for name in classes if taken(name) and getattr(nn, name).__init__ is not object.__init__}
    assert not without - of_modules - set(ARGUMENTS)


@pytest.mark.parametrize("name", ARGUMENTS)
def test_the_rows_are_right(name):
    getattr(nn, name)(*ARGUMENTS[name])
    if not any(parameter.kind is parameter.VAR_POSITIONAL for parameter in taken(name)):
        assert len(ARGUMENTS[name]) == len(taken(name))


@pytest.mark.parametrize("odd", ODD)
def test_a_wrong_argument_is_an_error_that_names_the_class(odd):
    for name, place in PLACES:
        arguments = list(ARGUMENTS[name])
        arguments[place] = ODD[odd]
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            said = error_of(getattr(nn, name), arguments)
        known = NAMES if name in COMPOSITES else {name}
        assert said is None or any(each in said for each in known), (name, place, said)


def error_of(make, arguments):
    """What an error of ours says, None if there is none."""
    try:
        make(*arguments)
    except errors.Error as error:
        return str(error)
    return None


NUMBERS = {"int": ("x", None, 1.5, True, [], np.ones(3), object()), "float": ("x", None, [], 1j), "bool": ("x", 2, [])}


@pytest.mark.parametrize("name", ARGUMENTS)
def test_annotations_are_kept(name):
    """What is said to be a whole number, a number or a truth is no string, list or array, by name or by place."""
    if any(parameter.kind is parameter.VAR_POSITIONAL for parameter in taken(name)):
        pytest.skip("sizes of any number")
    for place, parameter in zip(range(len(ARGUMENTS[name])), taken(name), strict=False):
        note = str(parameter.annotation)
        for odd in NUMBERS.get(note.removesuffix(" | None"), ()):
            if odd is None and note not in ("int", "float"):
                continue
            by_name = {p.name: v for p, v in zip(taken(name), ARGUMENTS[name], strict=False)}
            before, after = ARGUMENTS[name][:place], ARGUMENTS[name][place + 1 :]
            for call in (
                lambda odd=odd, before=before, after=after: getattr(nn, name)(*before, odd, *after),
                lambda odd=odd, by_name=by_name, key=parameter.name: getattr(nn, name)(**{**by_name, key: odd}),
            ):
                with pytest.raises(errors.Error):
                    call()


@pytest.mark.parametrize(("call", "error", "message"), [
    (lambda: nn.Narrow("x", 0), errors.DTypeError, "dimension of Narrow must be a whole number, got 'x'"),
    (lambda: nn.Narrow(1.5, 0), errors.ShapeError, "dimension of Narrow must be a whole number, got 1.5"),
    (lambda: nn.AddConstant([1.0]), errors.DTypeError, r"constant_scalar of AddConstant must be a number, got \[1.0\]"),
    (lambda: nn.Dropout(p="x"), errors.DTypeError, "p of Dropout must be a number, got 'x'"),
    (lambda: nn.ReLU("yes"), errors.DTypeError, "p of ReLU must be True or False, got 'yes'"),
    (lambda: nn.Linear(2**70, 3), errors.DataError, "Linear was given 1180591620717411303424: more than 64 bits"),
    (lambda: nn.UpSampling(2, "x"), errors.DataError, "the mode of UpSampling must be one of .*, got 'x'"),
    (lambda: nn.Reshape("x"), errors.DTypeError, r"Reshape\('x'\): "),
])  # fmt: skip
def test_what_errors_say(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_too_few_and_too_many_arguments_are_pythons_own_errors():
    with pytest.raises(TypeError, match="missing 1 required positional argument: 'outputSize'"):
        nn.Linear(3)
    with pytest.raises(TypeError, match="unexpected keyword argument 'outputs'"):
        nn.Linear(3, outputs=4)


def test_constructors_of_users_are_not_looked_at():
    class Own(nn.Module):
        def __init__(self, size: "int") -> None:
            self.size = size

    assert Own("x").size == "x"
