"""Random graphs against the interpreter of interpreter.py: values, and the exact structure of gradients."""

import golden_cases
import numpy as np
import pytest
from golden_cases import build_graph, load
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from interpreter import KINKED, OPS, Interpreter, TieError
from random_graphs import Classes, arrays, containers, graphs
from tolerances import GRAPH, assert_trees_close
from trees import as_lists, leaves, nesting, random_like, tree_map

import pynngraph as nn

SCALES = (1.0, 0.5, -2.0)


class OwnSine(nn.Module):
    def updateOutput(self, input):
        return np.sin(input)

    def updateGradInput(self, input, gradOutput):
        return gradOutput * np.cos(input)


class OwnBlend(nn.Module):
    """A table in, an array out."""

    def updateOutput(self, input):
        return sum(x / (k + 1) for k, x in enumerate(input))

    def backward(self, input, gradOutput, scale=1.0):
        return type(input)(gradOutput / (k + 1) for k in range(len(input)))


class OwnRotate(nn.Module):
    """A table in, a table out."""

    def forward(self, input):
        return [*input[1:], input[0]]

    def backward(self, input, gradOutput, scale=1.0):
        return type(input)([gradOutput[-1], *gradOutput[:-1]])


class OwnScale(nn.Module):
    """It has parameters."""

    def __init__(self, width):
        self.weight, self.bias = np.linspace(-1, 2, width), np.full(width, 0.25)

    def updateOutput(self, input):
        return self.weight * input + self.bias

    def updateGradInput(self, input, gradOutput):
        return self.weight * gradOutput

    def accGradParameters(self, input, gradOutput, scale=1.0):
        self.gradWeight += scale * (gradOutput * input).sum(0)
        self.gradBias += scale * gradOutput.sum(0)


OWN = {module.__name__: module for module in (OwnSine, OwnBlend, OwnRotate, OwnScale)}


def linears(spec, module, key):
    """Every Linear in a module, with the key that the interpreter has for it."""
    if isinstance(spec, dict):
        return [
            found for k, child in enumerate(spec["children"]) for found in linears(child, module.modules[k], (*key, k))
        ]
    return [(key, module)] if spec[0] == "Linear" else []


def all_linears(spec, modules):
    nodes = [node for node in spec["nodes"] if "module" in node and "same" not in node]
    return dict(found for node in nodes for found in linears(node["module"], modules[node["id"]], (node["id"],)))


def build(spec, key=()):
    """A graph with those of its modules that the package does not have, and the owners of parameters by key."""
    modules, owners = {}, {}
    for node in spec["nodes"]:
        if node.get("same") != node["id"]:
            continue
        name, own = (*key, node["id"]), node["module"]
        if "graph" in own:
            modules[node["id"]], inner = build(own["graph"], name)
            owners.update(inner)
        else:
            modules[node["id"]] = OWN[own[0]](*own[1:])
            if own[0] == "OwnScale":
                owners[name] = modules[node["id"]]
    graph = build_graph(spec, modules)
    owners.update({(*key, *place): linear for place, linear in all_linears(spec, modules).items()})
    return graph, owners


def parameters_of(linear, kind=""):
    """Weight and bias, or their gradients."""
    names = ("gradWeight", "gradBias") if kind else ("weight", "bias")
    return [array for array in (getattr(linear, name) for name in names) if array is not None]


def bare(entries):
    """What a gModule takes and gives for a list of nodes: one by itself."""
    return entries[0] if len(entries) == 1 else entries


def backward(graph, input, grad_output, scale, *, apart):
    """The gradient of the input, by one method or by two."""
    if not apart:
        return graph.backward(input, grad_output, scale)
    found = graph.updateGradInput(input, grad_output)
    graph.accGradParameters(input, grad_output, scale)
    return found


def compare(graph, interpreter, inputs, scale, rng, *, apart):
    """One pass of both."""
    expected = interpreter.forward(inputs)
    grad_outputs = [random_like(output, rng) for output in expected]
    expected_gradients = interpreter.backward(grad_outputs, scale)
    output = graph.forward(bare(inputs))
    assert_trees_close(output, bare(expected), GRAPH, "output")
    found = backward(graph, bare(inputs), bare(grad_outputs), scale, apart=apart)
    assert nesting(found) == nesting(bare(inputs))
    assert_trees_close(found, bare(expected_gradients), GRAPH, "gradInput")


def compare_parameters(interpreter, modules_by_key):
    for key, linear in modules_by_key.items():
        assert_trees_close(parameters_of(linear, "grad"), interpreter.gradients[key], GRAPH, f"{key}")


@settings(max_examples=3 * settings.default.max_examples)
@given(data=st.data(), graph=graphs(own=True), rows=st.lists(st.integers(1, 4), min_size=1, max_size=3),
       apart=st.booleans(), seed=st.integers(0, 1000))  # fmt: skip
def test_random_graphs_do_as_the_interpreter(data, graph, rows, apart, seed):
    spec, kinds = graph
    rng = np.random.default_rng(seed)
    built, by_key = build(spec)
    interpreter = Interpreter(spec, {key: [p.copy() for p in parameters_of(m)] for key, m in by_key.items()})
    tables = [data.draw(containers(kind)) for kind in kinds]
    built.zeroGradParameters()
    for count, scale in zip(rows, SCALES, strict=False):
        inputs = [arrays(kind, count, rng, table) for kind, table in zip(kinds, tables, strict=True)]
        try:
            compare(built, interpreter, inputs, scale, rng, apart=apart)
        except TieError:
            assume(False)
    compare_parameters(interpreter, by_key)


@given(graph=graphs(max_nodes=6, own=True), seed=st.integers(0, 1000))
def test_graphs_nest_in_graphs(graph, seed):
    """A gModule used as a node of another, twice, is one set of parameters and two evaluations."""
    spec, kinds = graph
    rng = np.random.default_rng(seed)
    inner, _ = build(spec)
    input = bare([arrays(kind, 2, rng) for kind in kinds])
    node = nn.Identity()()
    outer = nn.gModule([node], [inner(node), inner(node)])
    expected = inner.forward(input)
    grad_output = random_like(expected, rng)
    inner.zeroGradParameters()
    expected_gradient = inner.backward(input, grad_output)
    expected_parameters = tree_map(lambda g: 2 * g, inner.parameters()[1])
    output = outer.forward(input)
    assert_trees_close(as_lists(output), [as_lists(expected)] * 2, GRAPH)
    outer.zeroGradParameters()
    found = outer.backward(input, [grad_output, grad_output])
    assert_trees_close(found, tree_map(lambda g: 2 * g, expected_gradient), GRAPH)
    assert_trees_close(outer.parameters()[1], expected_parameters, GRAPH)


def names(spec):
    """The ids of a graph's nodes, in the order in which they are made."""
    for node in spec["nodes"]:
        yield from [f"{node['id']}.{k}" for k in range(node["split"])] if "split" in node else [node["id"]]


@given(data=st.data(), graph=graphs(max_nodes=8, own=True), seed=st.integers(0, 1000))
def test_what_is_kept_of_each_node_is_what_the_interpreter_has(data, graph, seed):
    spec, kinds = graph
    rng = np.random.default_rng(seed)
    built, by_key = build(spec)
    interpreter = Interpreter(spec, {key: parameters_of(module) for key, module in by_key.items()})
    classes = {name for name, kind in zip(spec["inputs"], kinds, strict=True) if isinstance(kind, Classes)}
    built.keep()
    for scale in SCALES[:2]:
        inputs = [arrays(kind, 2, rng, data.draw(containers(kind))) for kind in kinds]
        try:
            compare(built, interpreter, inputs, scale, rng, apart=False)
        except TieError:
            assume(False)
        made = sorted(built, key=lambda node: node.id)
        for name, node in zip(names(spec), made, strict=True):
            if name not in classes:
                assert_trees_close(node.output, interpreter.values[name], GRAPH, name)
                assert_trees_close(node.gradOutput, interpreter.grads[name], GRAPH, f"gradient of {name}")


def interpretable(spec):
    known = OPS.keys() | KINKED.keys() | {"Linear", "Sequential", "ConcatTable", "ParallelTable"}
    return golden_cases.needed(spec) <= known


GOLDEN = [case for file in ("graphs", "random_graphs") for case in load(file) if interpretable(case.spec)]


@pytest.mark.parametrize("case", GOLDEN, ids=[case.name for case in GOLDEN])
def test_the_interpreter_itself_answers_as_torch7(case):
    spec = case.spec["graph"]
    modules = {}
    # The package is asked only which parameter is whose.
    for parameter, value in zip(build_graph(spec, modules).parameters()[0], case.arrays_at("params"), strict=True):
        parameter[...] = value
    parameters = {key: parameters_of(linear) for key, linear in all_linears(spec, modules).items()}
    interpreter = Interpreter(spec, parameters, near=0)
    for number, _ in enumerate(case.spec["passes"]):
        given, expected = (case.get(f"passes/{number}/{what}") for what in ("input", "gradInput"))
        alone = len(spec["inputs"]) == 1
        output = interpreter.forward([given] if alone else given)
        assert_trees_close(bare(output), case.get(f"passes/{number}/output"), GRAPH)
        grad_output = case.get(f"passes/{number}/gradOutput")
        found = interpreter.backward([grad_output] if len(output) == 1 else grad_output, SCALES[number > 0])
        assert_trees_close(bare(found), golden_cases.with_zeros(expected, given), GRAPH)


def test_random_graphs_have_arrays(rng):
    """The helper that all of this rests on."""
    made = arrays([1, [2, 3]], 4, rng, (True, [None, (False, [None, None])]))
    assert nesting(made) == ("tuple", (4, 1), ("list", (4, 2), (4, 3)))
    assert [leaf.shape for leaf in leaves(made)] == [(4, 1), (4, 2), (4, 3)]
