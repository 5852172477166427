"""Tables in tests: written apart from the package's own, so that one checks the other."""

import numpy as np


def is_table(tree):
    return isinstance(tree, (list, tuple))


def tree_map(function, *trees):
    """A table of `function` of the leaves of tables that are nested alike."""
    if is_table(trees[0]):
        assert all(is_table(tree) and len(tree) == len(trees[0]) for tree in trees), "nesting"
        return type(trees[0])(tree_map(function, *entries) for entries in zip(*trees, strict=True))
    return function(*trees)


def leaves(tree):
    """The leaves of a table, from left to right."""
    return [leaf for entry in tree for leaf in leaves(entry)] if is_table(tree) else [tree]


def as_lists(tree):
    """The same table with lists only."""
    return [as_lists(entry) for entry in tree] if is_table(tree) else tree


def nesting(tree):
    """How a table is nested: its container types and the shapes of its arrays."""
    if is_table(tree):
        return (type(tree).__name__, *map(nesting, tree))
    return np.shape(tree)


def random_like(tree, rng):
    """A table of normal numbers, nested like `tree`, of its shapes and dtypes."""
    return tree_map(lambda leaf: rng.standard_normal(leaf.shape).astype(leaf.dtype), tree)


def zeros_like(tree):
    return tree_map(np.zeros_like, tree)
