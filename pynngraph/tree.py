"""Tables: nested lists and tuples, and the only recursion over them.

A *structure* says how a table is nested, without what is in it: :data:`LEAF` for anything that is neither a list
nor a tuple, else ``(list, ...)`` or ``(tuple, ...)`` with the structures of the entries. Structures compare
and hash, so they serve as keys. A list of one leaf and a bare leaf have different structures.

>>> leaves, structure = flatten([1, (2, 3)])
>>> leaves
[1, 2, 3]
>>> rebuild(structure, ["a", "b", "c"])
['a', ('b', 'c')]
>>> describe(structure)
'a list of 2: an array, a tuple of 2 arrays'
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from operator import itemgetter
from typing import Any, TypeAlias, TypeVar

from .errors import StructureError

Structure: TypeAlias = tuple[Any, ...]
T = TypeVar("T")

LEAF: Structure = ()

# Deeper tables are taken for ones that contain themselves.
MAX_DEPTH = 100


def is_table(tree: object) -> bool:
    """Whether `tree` is a table, and not a leaf."""
    return isinstance(tree, (list, tuple))


def flatten(tree: Any) -> tuple[list[Any], Structure]:
    """The leaves of a table from left to right, and its structure."""
    if not isinstance(tree, (list, tuple)):
        return [tree], LEAF
    leaves: list[Any] = []
    return leaves, _collect(tree, leaves, 0)


def _collect(table: Any, leaves: list[Any], depth: int) -> Structure:
    if depth == MAX_DEPTH:
        message = f"a table is nested deeper than {MAX_DEPTH} levels: does it contain itself?"
        raise StructureError(message)
    # Subclasses count as what they derive from: how to make another one of them is unknown.
    structure: list[Any] = [list if isinstance(table, list) else tuple]
    for entry in table:
        if isinstance(entry, (list, tuple)):
            structure.append(_collect(entry, leaves, depth + 1))
        else:
            leaves.append(entry)
            structure.append(LEAF)
    return tuple(structure)


def structure_of(tree: Any) -> Structure:
    """The structure of a table."""
    return flatten(tree)[1]


def rebuild(structure: Structure, leaves: Iterable[Any]) -> Any:
    """The table of this structure with these leaves, from left to right."""
    return _build(structure, iter(leaves)) if structure else next(iter(leaves))


def _build(structure: Structure, leaves: Iterator[Any]) -> Any:
    entries = [_build(entry, leaves) if entry else next(leaves) for entry in structure[1:]]
    return entries if structure[0] is list else tuple(entries)


def builder(structure: Structure) -> Callable[[list[Any]], Any]:
    """:func:`rebuild` for one structure, as fast as can be.

    >>> builder((list, LEAF, LEAF))([1, 2])
    [1, 2]
    """
    if not structure:
        return itemgetter(0)
    if not any(structure[1:]):
        return structure[0]  # type: ignore[no-any-return] # list or tuple
    return partial(rebuild, structure)


def reader(structure: Structure) -> Callable[[Any], list[Any] | None]:
    """A function, as fast as can be, that gives the leaves of a table of exactly this structure, and None of others.

    Where no entry is to be a table, one that is counts as a leaf: whoever looks at the leaves sees it.

    >>> read = reader((list, LEAF, LEAF))
    >>> read([1, 2]), read((1, 2)), read([1, 2, 3])
    ([1, 2], None, None)
    """
    if not structure:
        return lambda leaf: [leaf]
    if any(structure[1:]):
        return partial(_read, structure)
    kind, size = structure[0], len(structure) - 1
    return lambda table: list(table) if type(table) is kind and len(table) == size else None


def _read(structure: Structure, table: Any) -> list[Any] | None:
    leaves, got = flatten(table)
    return leaves if got == structure else None


def count(structure: Structure) -> int:
    """How many leaves a table of this structure has."""
    if not structure:
        return 1
    return sum(count(entry) for entry in structure[1:])


def map_leaves(function: Callable[[Any], T], tree: Any) -> Any:
    """A table of the same structure with `function` of each leaf."""
    leaves, structure = flatten(tree)
    return rebuild(structure, map(function, leaves))


def entries(structure: Structure) -> tuple[Structure, ...]:
    """The structures of the entries of a table."""
    return structure[1:]


def describe(structure: Structure, leaf: str = "array") -> str:
    """The structure in words: ``one array``, ``a list of 2 arrays``."""
    return f"one {leaf}" if not structure else _describe(structure, leaf)


def _describe(structure: Structure, leaf: str) -> str:
    if not structure:
        return f"an {leaf}" if leaf[0] in "aeiou" else f"a {leaf}"
    kind = f"a {structure[0].__name__} of {len(structure) - 1}"
    if len(structure) == 1:
        return f"an empty {structure[0].__name__}"
    if not any(structure[1:]):
        return f"{kind} {leaf}{'s' if len(structure) > 2 else ''}"
    return f"{kind}: {', '.join(_describe(entry, leaf) for entry in structure[1:])}"


def first_difference(expected: Structure, got: Structure) -> tuple[str, Structure, Structure] | None:
    """Where two structures differ first: a path such as ``[1][0]``, and the structures there.

    Lists and tuples of equal entries do not count as different.
    """
    if not expected or not got or len(expected) != len(got):
        return None if not expected and not got else ("", expected, got)
    for place, pair in enumerate(zip(expected[1:], got[1:], strict=True)):
        difference = first_difference(*pair)
        if difference:
            return f"[{place}]{difference[0]}", *difference[1:]
    return None


def check_structure(expected: Structure, tree: Any, name: Callable[[], str]) -> list[Any]:
    """The leaves of `tree`, which must be nested as `expected`.

    Raises
    ------
    StructureError
        Saying what was expected, what came, and where. `name` is called then, and names the table: "the input of ...".
    """
    leaves, got = flatten(tree)
    difference = None if got == expected else first_difference(expected, got)
    if difference:
        what = name()
        path, expected_there, got_there = difference
        where = f"entry {path} of {what}" if path else what
        message = f"{where} is {describe(expected_there)}, got {describe(got_there)}"
        raise StructureError(message)
    return leaves


def paths(structure: Structure) -> list[str]:
    """The path of each leaf, such as ``[1][0]``; the path of a bare leaf is empty."""
    if not structure:
        return [""]
    return [f"[{place}]{path}" for place, entry in enumerate(structure[1:]) for path in paths(entry)]
