"""The golden answers of Torch7 (tests/golden/README.md): reading them, and building what they are of."""

import json
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
from tolerances import relative
from trees import is_table, tree_map

import pynngraph as nn

GOLDEN = Path(__file__).parent / "golden"

# How closely answers must agree with Torch7's, by what a case computes; all errors are relative to the
# largest magnitude in the array. A case of several modules has the widest class among them. In float32
# all of a case's numbers are rounded before it starts, and the class includes what becomes of that.
MOVING = relative(0, 0)
ARITHMETIC = relative(1e-13, 1e-5)
TRANSCENDENTAL = relative(1e-12, 1e-5)
# Graphs of up to 50 modules, some of them products of many factors.
DEEP = relative(1e-12, 2e-4)

_CLASSES = {
    MOVING: ("Identity Reshape View Narrow Select JoinTable SplitTable SelectTable "
             "ReLU Contiguous Copy NarrowTable FlattenTable ParallelTable"),
    TRANSCENDENTAL: ("Exp Log Tanh Sigmoid SoftMax LogSoftMax SoftMin LogSigmoid TanhShrink "
                     "SoftPlus ELU Power Sqrt Normalize CrossEntropyCriterion"),
}  # fmt: skip
CLASS_OF_MODULE = {name: kind for kind, names in _CLASSES.items() for name in names.split()}


class Case(NamedTuple):
    """A spec and its numbers."""

    spec: dict
    arrays: dict

    @property
    def name(self):
        return self.spec["name"]

    def get(self, path):
        """The array or the table of lists at a path, None where there is nothing."""
        if path in self.arrays:
            return self.arrays[path]
        prefix = f"{path}/"
        places = {int(key[len(prefix) :].split("/")[0]) for key in self.arrays if key.startswith(prefix)}
        return [self.get(f"{prefix}{k}") for k in range(max(places) + 1)] if places else None

    def arrays_at(self, path):
        """A list of arrays, empty where there is nothing."""
        return self.get(path) or []

    @property
    def target(self):
        """The target of a criterion as the package wants it: classes count from 0."""
        if "MultiLabelMarginCriterion" in needed(self.spec):
            return self.get("target") - 1
        return self.input("target", self.spec["target"])

    def input(self, path, spec):
        """An input as the package wants it: indices count from 0."""
        return _input(self.get(path), spec)


def _input(values, spec):
    if isinstance(spec, list):
        return [_input(value, entry) for value, entry in zip(values, spec, strict=True)]
    return values.astype(np.int64) - 1 if spec["fill"] in ("index", "long") else values


@cache
def load(name):
    """All cases of a file."""
    with np.load(GOLDEN / f"{name}.npz") as file:
        specs = json.loads(str(file["__specs__"]))
        arrays = {}
        for key in file.files:
            case, _, path = key.partition("/")
            arrays.setdefault(case, {})[path] = file[key] if path else None
    return [Case(spec, arrays[spec["name"]]) for spec in specs]


# ---- from specs to modules -----------------------------------------------------------------------


def _is_module(spec):
    if isinstance(spec, dict):
        return "nn" in spec
    return isinstance(spec, list) and bool(spec) and isinstance(spec[0], str)


def names(spec):
    """The names of all modules and criterions in a spec."""
    if _is_module(spec):
        if isinstance(spec, dict):
            return {spec["nn"]}.union(*map(names, [*spec.get("args", ()), *spec.get("children", ())]))
        return {spec[0]}.union(*map(names, spec[1:]))
    return set().union(*map(names, spec)) if isinstance(spec, list) else set()


def needed(spec):
    """The names of all modules and criterions that a case needs."""
    graph = [node[key] for node in spec.get("graph", {}).get("nodes", ())
             for key in ("module", "criterion") if key in node]  # fmt: skip
    return names([spec[key] for key in ("module", "criterion") if key in spec] + graph)


def supported(spec):
    """Whether the package has all that a case needs: cases join the tests as modules are added."""
    return all(hasattr(nn, name) for name in needed(spec))


def tolerance(spec):
    """The class of a case."""
    if len(spec.get("graph", {}).get("nodes", ())) > 0:
        return DEEP
    return max((CLASS_OF_MODULE.get(name, ARITHMETIC) for name in needed(spec)), key=lambda c: c.float64)


def _argument(spec):
    if _is_module(spec):
        return build_module(spec)
    return np.array(spec["tensor"]) if isinstance(spec, dict) else spec


def build_module(spec):
    """A module or a criterion."""
    if isinstance(spec, list):
        spec = {"nn": spec[0], "args": spec[1:]}
    module = getattr(nn, spec["nn"])(*map(_argument, spec.get("args", ())))
    for child, *weight in zip(spec.get("children", ()), *([spec["weights"]] if "weights" in spec else ()), strict=True):
        module.add(build_module(child), *weight)
    for method, *args in spec.get("calls", ()):
        getattr(module, method)(*args)
    return module


def build_graph(spec, modules=None):
    """A gModule; `modules`, a dict, is filled with the module of each node that has one.

    ``{"id", "same": id, "inputs"}``, which no golden case has, is a node of another node's module.
    """
    modules = {} if modules is None else modules
    nodes = {}
    for node in spec["nodes"]:
        name = node["id"]
        if "split" in node:
            parts = nodes[node["of"]].split(node["split"])
            nodes.update({f"{name}.{k}": part for k, part in enumerate(parts)})
        elif "nest" in node:
            nodes[name] = nn.nest(tree_map(nodes.get, node["nest"]))
        else:
            is_new = "same" not in node
            modules[name] = build_module(node.get("module") or node["criterion"]) if is_new else modules[node["same"]]
            inputs = [nodes[k] for k in node.get("inputs", ())]
            arguments = [inputs[0] if len(inputs) == 1 else inputs] if inputs else []
            nodes[name] = modules[name](*arguments)
    return nn.gModule([nodes[k] for k in spec["inputs"]], [nodes[k] for k in spec["outputs"]])


def build(spec):
    """What a case is of."""
    return build_graph(spec["graph"]) if "graph" in spec else build_module(spec.get("module") or spec["criterion"])


def with_zeros(gradient, input):
    """A golden gradient, with zeros of the input's shape where Torch7 had nothing."""
    if is_table(input):
        entries = gradient if gradient is not None else []
        entries = [*entries, *[None] * (len(input) - len(entries))]
        return type(input)(map(with_zeros, entries, input))
    return np.zeros_like(input) if gradient is None else gradient
