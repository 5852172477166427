"""What constructors take: the annotations of the package's own classes are checked, and errors name the argument."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

import numpy as np

from ..errors import DataError, DTypeError, Error, ShapeError

WIDTH = 40  # of an argument's text in an error
LARGEST = 2**63 - 1  # what the engine can hold


def _is_whole(value: Any) -> bool:
    return type(value) is int or (  # first: what follows takes a microsecond
        hasattr(value, "__index__") and not isinstance(value, (bool, np.bool_)) and np.ndim(value) == 0
    )


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float, np.integer, np.floating)) or (
        isinstance(value, np.ndarray) and value.ndim == 0 and value.dtype.kind in "iuf"
    )


def _is_flag(value: Any) -> bool:
    return value is None or isinstance(value, (bool, np.bool_)) or (_is_whole(value) and value in (0, 1))


# What an annotation promises: whether a value is that, and how it is called.
_KINDS: dict[str, tuple[Callable[[Any], bool], str]] = {
    "int": (_is_whole, "a whole number"),
    "float": (_is_number, "a number"),
    "bool": (_is_flag, "True or False"),
}


def checked(init: Callable[..., None]) -> Callable[..., None]:
    """A constructor that refuses what its annotations do not promise, by errors that name class and argument.

    What the constructor itself says of wrong arguments comes first: it knows more.
    """
    promises: list[_Promise] = []  # made when first asked

    @wraps(init)
    def __init__(self: Any, *args: Any, **keywords: Any) -> None:
        where = type(self).__name__
        if where.startswith("_"):  # a part of something that checks its own
            init(self, *args, **keywords)
            return
        _check_magnitudes((*args, *keywords.values()), where)
        failed: Exception | None = None
        try:
            init(self, *args, **keywords)
        except Error:
            raise
        except (TypeError, ValueError, ArithmeticError) as error:
            if error.__traceback__ is None or error.__traceback__.tb_next is None:
                raise  # too many arguments, or too few: Python's own error is clear
            failed = error
        if not promises:
            promises.extend(_promises(init))
        for promise, value in zip(promises, args, strict=False):
            promise.check(value, where)
        for promise in promises if keywords else ():
            promise.check(keywords.get(promise.name, promise), where)
        if failed is not None:
            raise _named(failed, where, args, keywords) from failed

    return __init__


def _check_magnitudes(values: tuple[Any, ...], where: str) -> None:
    for value in values:
        if type(value) is int and abs(value) > LARGEST:
            message = f"{where} was given {_shortened(value)}: more than 64 bits can hold"
            raise DataError(message)


def _named(error: Exception, where: str, args: tuple[Any, ...], keywords: dict[str, Any]) -> Error:
    """An error of ours that says what another one says, and of what."""
    given = [*map(_shortened, args), *(f"{name}={_shortened(value)}" for name, value in keywords.items())]
    return (DTypeError if isinstance(error, TypeError) else DataError)(f"{where}({', '.join(given)}): {error}")


class _Promise:
    """What an annotation says of an argument; a named tuple would take longer to define than all else here."""

    __slots__ = ("annotation", "name", "optional")

    def __init__(self, name: str, note: str) -> None:
        self.name = name
        self.annotation = note.removesuffix(" | None")
        self.optional = note != self.annotation

    def check(self, value: Any, where: str) -> None:
        """Raise an error for another value."""
        kind = _KINDS.get(self.annotation)
        if kind is None or value is self or (value is None and self.optional):  # self: was left out
            return
        is_right, what = kind
        if not is_right(value):
            message = f"{self.name} of {where} must be {what}, got {_shortened(value)}"
            raise (ShapeError if self.annotation == "int" and _is_number(value) else DTypeError)(message)


def _promises(init: Callable[..., None]) -> list[_Promise]:
    """Of all arguments but self, in order."""
    code = init.__code__
    names = code.co_varnames[1 : code.co_argcount]
    return [_Promise(name, str(init.__annotations__.get(name, ""))) for name in names]


def _shortened(argument: Any) -> str:
    text = " ".join(repr(argument).split())
    return text if len(text) <= WIDTH else f"{text[:WIDTH]}..."
