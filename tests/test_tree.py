"""Tables: flattening and rebuilding, and the words that errors have for them."""

from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st
from trees import as_lists, leaves

from pynngraph import errors, tree


class Pair(NamedTuple):
    a: int
    b: list


numbers = st.integers()
tables = st.recursive(numbers, lambda inner: st.lists(inner, max_size=4) | st.lists(inner, max_size=4).map(tuple))
structures = tables.map(tree.structure_of)


@given(tables)
def test_rebuilding_what_was_flattened_gives_the_same(table):
    flat, structure = tree.flatten(table)
    assert tree.rebuild(structure, flat) == table
    assert flat == leaves(table)


@given(tables, tables)
def test_structures_are_equal_when_the_nesting_is(first, second):
    blank = [tree.map_leaves(lambda _: 0, table) for table in (first, second)]
    assert (tree.structure_of(first) == tree.structure_of(second)) == (blank[0] == blank[1])
    assert hash(tree.structure_of(first)) == hash(tree.structure_of(blank[0]))


@given(tables)
def test_count_and_paths_go_with_the_leaves(table):
    flat, structure = tree.flatten(table)
    assert tree.count(structure) == len(flat)
    paths = tree.paths(structure)
    assert len(set(paths)) == len(flat)
    assert [eval(f"table{path}", {"table": table}) for path in paths] == flat  # noqa: S307 - our own text


@given(tables)
def test_map_leaves_keeps_the_nesting(table):
    assert tree.map_leaves(lambda n: n, table) == table
    assert leaves(tree.map_leaves(str, table)) == list(map(str, leaves(table)))


@given(tables)
def test_lists_and_tuples_of_equal_entries_do_not_differ(table):
    assert tree.first_difference(tree.structure_of(table), tree.structure_of(as_lists(table))) is None
    assert tree.check_structure(tree.structure_of(as_lists(table)), table, lambda: "it") == leaves(table)


@given(tables, tables)
def test_a_difference_is_found_exactly_where_there_is_one(first, second):
    a, b = tree.structure_of(first), tree.structure_of(second)
    alike = tree.structure_of(as_lists(first)) == tree.structure_of(as_lists(second))
    difference = tree.first_difference(a, b)
    assert (difference is None) == alike
    if difference:
        path, expected, got = difference
        assert tree.structure_of(eval(f"t{path}", {"t": first})) == expected  # noqa: S307 - our own text
        assert tree.structure_of(eval(f"t{path}", {"t": second})) == got  # noqa: S307


@pytest.mark.parametrize(
    ("table", "words"),
    [(1, "one array"), ([1, 2], "a list of 2 arrays"), ([1], "a list of 1 array"), ((1, 2, 3), "a tuple of 3 arrays"),
     ([], "an empty list"), ((), "an empty tuple"), ([1, (2, 3)], "a list of 2: an array, a tuple of 2 arrays"),
     ([[1]], "a list of 1: a list of 1 array")],
)  # fmt: skip
def test_structures_have_words(table, words):
    assert tree.describe(tree.structure_of(table)) == words


def test_words_for_other_leaves():
    assert tree.describe(tree.structure_of([1, 2]), "node") == "a list of 2 nodes"


@pytest.mark.parametrize(
    ("expected", "got", "words"),
    [([1, 2], 1, ("the input", "a list of 2 arrays", "one array")),
     ([1, [2, 3]], [1, 2], ("entry [1] of the input", "a list of 2 arrays", "one array")),
     ([[1, (2,)]], [[1, (2, 3)]], ("entry [0][1] of the input", "a tuple of 1 array", "a tuple of 2 arrays")),
     (1, [], ("the input", "one array", "an empty list"))],
)  # fmt: skip
def test_an_error_says_where_what_was_expected_and_what_came(expected, got, words):
    with pytest.raises(errors.StructureError) as raised:
        tree.check_structure(tree.structure_of(expected), got, lambda: "the input")
    assert all(word in str(raised.value) for word in words)


@pytest.mark.parametrize("kind", [list, tuple])
def test_a_table_that_contains_itself_is_an_error(kind):
    inner = []
    table = kind([1, inner])
    inner.append(table)
    with pytest.raises(errors.StructureError, match="itself"):
        tree.flatten(table)


def test_deep_tables_within_reason_are_fine():
    table = 1
    for _ in range(50):
        table = [table]
    assert tree.count(tree.structure_of(table)) == 1


def test_subclasses_of_lists_and_tuples_are_tables():
    flat, structure = tree.flatten(Pair(1, [2]))
    assert flat == [1, 2]
    assert tree.rebuild(structure, flat) == (1, [2])
