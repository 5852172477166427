"""Calls that cannot be right, and what they are told."""

import numpy as np
import pytest
from samples import mlp, normal

import pynngraph as nn
from pynngraph import errors

X = normal(4, 3)


def node():
    return nn.Identity()()


def split_twice():
    pair = node()
    pair.split(2)
    pair.split(3)


def mixed_dtypes():
    nn.Sequential().add(nn.Linear(3, 2).float()).forward(X)


def shared_without_gradient():
    first = nn.Linear(3, 3)
    nn.Sequential().add(first).add(first.clone("weight")).getParameters()


def host_that_grows():
    class Grows(nn.Module):
        def updateOutput(self, input):
            return [input] * 2

        def updateGradInput(self, input, gradOutput):
            return gradOutput[0]

    net = nn.Sequential().add(Grows()).add(nn.Tanh())
    net.forward(X)


# what is done, the error, and words that its message has
CASES = {
    "split into none": (lambda: node().split(0), errors.GraphError, "0"),
    "split into a float": (lambda: node().split(2.0), errors.GraphError, "2.0"),
    "split into two, then three": (split_twice, errors.GraphError, "2 3"),
    "two nodes side by side": (lambda: nn.CAddTable()(node(), node()), errors.GraphError, "[a, b]"),
    "text for a node": (lambda: nn.Tanh()("x"), errors.GraphError, "str"),
    "a class for a module": (lambda: nn.Sequential().add(nn.Tanh), errors.GraphError, "Tanh(...)"),
    "a number for inputs": (lambda: nn.gModule(3, [node()]), errors.GraphError, "inputs"),
    "float32 inside of float64": (mixed_dtypes, errors.DTypeError, "float32 float64 Linear .type("),
    "another dtype": (lambda: nn.Tanh().type("int32"), errors.DTypeError, "float32 float64 int32"),
    "no dtype": (lambda: nn.Tanh().type("pear"), errors.DTypeError, "pear"),
    "weights that are a table": (lambda: nn.ClassNLLCriterion(np.ones((2, 2))), errors.Error, "weights"),
    "a gradient for no bias": (lambda: setattr(nn.Linear(3, 2, False), "gradBias", X), errors.Error, "bias"),
    "one vector of half-shared parameters": (shared_without_gradient, errors.StateError, "gradWeight"),
    "a negative size": (lambda: nn.Reshape(3, -1), errors.ShapeError, "-1 View"),
    "two sizes to infer": (lambda: nn.View(-1, -1), errors.ShapeError, "-1"),
    "a view that does not fit": (lambda: nn.View(5).forward(X), errors.ShapeError, "View 5 (4, 3)"),
    "a reshape that does not fit": (lambda: nn.Reshape(5).forward(X), errors.ShapeError, "Reshape 5"),
    "five dims for softmax": (lambda: nn.SoftMax().forward(np.ones((1,) * 5)), errors.ShapeError, "SoftMax 4"),
    "a dim that is not there": (lambda: nn.SplitTable(2).forward(X), errors.Error, "SplitTable 2 (4, 3)"),
    "a dim to narrow that is not there": (lambda: nn.Narrow(2, 0, 1).forward(X), errors.ShapeError, "Narrow 2"),
    "a range past the end": (lambda: nn.Narrow(1, 2, 2).forward(X), errors.ShapeError, "Narrow 2 (4, 3)"),
    "an index past the end": (lambda: nn.Select(0, 4).forward(X), errors.ShapeError, "Select 4 (4, 3)"),
    "a dim to join that is not there": (lambda: nn.JoinTable(2).forward([X, X]), errors.ShapeError, "JoinTable 2"),
    "arrays that do not join": (lambda: nn.JoinTable(0).forward([X, X[:, :2]]), errors.ShapeError, "JoinTable"),
    "two shapes to add": (lambda: nn.CAddTable().forward([X, X[:2]]), errors.ShapeError, "CAddTable (4, 3) (2, 3)"),
    "an array to add": (lambda: nn.CAddTable().forward(X), errors.StructureError, "CAddTable list one array"),
    "nothing to add": (lambda: nn.CAddTable().forward([]), errors.StructureError, "CAddTable empty"),
    "a table in the table to add": (lambda: nn.CAddTable().forward([X, [X]]), errors.StructureError, "CAddTable"),
    "three to subtract": (lambda: nn.CSubTable().forward([X, X, X]), errors.StructureError, "CSubTable 2 3"),
    "an entry that is not there": (lambda: nn.SelectTable(2).forward([X, X]), errors.StructureError, "SelectTable 2"),
    "an array to select from": (lambda: nn.SelectTable(0).forward(X), errors.StructureError, "SelectTable one array"),
    "too few for ParallelTable": (
        lambda: nn.ParallelTable(nn.Tanh(), nn.Tanh()).forward([X]), errors.StructureError, "ParallelTable 2 1"),
    "a table for Tanh": (lambda: nn.Tanh().forward([X]), errors.StructureError, "Tanh one array list of 1"),
    "a vector of classes too many": (
        lambda: nn.ClassNLLCriterion().forward(X, np.zeros(3, int)), errors.ShapeError, "ClassNLLCriterion 4 (3,)"),
    "half a class": (lambda: nn.ClassNLLCriterion().forward(X, np.full(4, 0.5)), errors.DataError, "whole"),
    "a target of another shape": (
        lambda: nn.MSECriterion().forward(X, X[:2]), errors.ShapeError, "MSECriterion (4, 3) (2, 3)"),
    "classes for a regression": (lambda: nn.MSECriterion().forward(X, np.zeros(4, int)), errors.Error, "MSECriterion"),
    "weights for other classes": (
        lambda: nn.ClassNLLCriterion(np.ones(5)).forward(X, np.zeros(4, int)), errors.ShapeError, "5 (4, 3)"),
    "indices beyond int64": (lambda: nn.Identity().forward(np.array([2**63], np.uint64)), errors.DataError, "int64"),
    "a torch-like tensor": (
        lambda: nn.Tanh().forward(type("Tensor", (), {"numpy": None})()), errors.DTypeError, ".numpy()"),
    "a table from Python to an array's op": (host_that_grows, errors.StructureError, "Tanh list of 2"),
    "iterating over a module": (lambda: list(nn.Tanh()), TypeError, "Tanh"),
    "a criterion without its target": (lambda: nn.MSECriterion().forward(X), TypeError, "target"),
    "sharing with another structure": (lambda: mlp().share(nn.Tanh(), "weight"), errors.GraphError, "4 1"),
}  # fmt: skip


@pytest.mark.parametrize(("call", "error", "words"), CASES.values(), ids=CASES)
def test_it_is_told(call, error, words):
    with pytest.raises(error) as raised:
        call()
    text = str(raised.value)
    for word in words.split(" ") if "list of" not in words else [words.split(" ")[0], "list of"]:
        assert word in text, f"{word!r} is not in {text!r}"


@pytest.mark.parametrize("where", ["alone", "inside", "graph"])
def test_a_message_is_one_sentence_that_starts_with_the_module(where):
    module = nn.Linear(7, 2)
    if where == "graph":
        start = node()
        net = nn.gModule([start], [module(start)])
    else:
        net = module if where == "alone" else nn.Sequential().add(module)
    with pytest.raises(errors.ShapeError) as raised:
        net.forward(X)
    assert str(raised.value).startswith("Linear(7 -> 2)")
    assert "\n" not in str(raised.value)
