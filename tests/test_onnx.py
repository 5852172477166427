"""ONNX: what is exported passes its checker, and answers in ONNX Runtime as here."""

import numpy as np
import pytest
from golden_cases import load as load_cases
from golden_cases import build, supported
from module_cases import MODULES
from op_cases import draw
from samples import mlp, seed_graph
from tolerances import assert_trees_close, relative

import pynngraph as nn
from pynngraph.errors import GraphError, StateError

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")

CLOSE = relative(1e-9, 2e-5)
# Criterions: what is trained with, not what is run.
NOT_EXPORTED = set()


def leaves(value):
    return [leaf for entry in value for leaf in leaves(entry)] if isinstance(value, (list, tuple)) else [value]


def single(value):
    if isinstance(value, (list, tuple)):
        return type(value)(map(single, value))
    return value.astype(np.float32) if value.dtype.kind == "f" else value


def answers(model, inputs):
    """What ONNX Runtime gives; an input that nothing depends on may be gone."""
    onnx.checker.check_model(model, full_check=True)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    names = [entry.name for entry in session.get_inputs()]
    return session.run(None, dict(zip(names, leaves(inputs), strict=True)))


def check(module, input):
    module = module.float().evaluate()
    input = single(input)
    model = nn.to_onnx(module, input)
    expected = leaves(module.forward(input))
    got = answers(model, input)
    assert [x.shape for x in got] == [x.shape for x in expected]
    assert_trees_close(got, expected, CLOSE)
    return model


@pytest.mark.parametrize("row", [row for row in MODULES if row.name not in NOT_EXPORTED], ids=lambda row: row.name)
def test_every_module_answers_in_onnx_runtime_as_here(row, rng):
    check(row.build(), draw(row.input, rng))


@pytest.mark.parametrize(
    "case", [case for case in load_cases("random_graphs") if supported(case.spec)], ids=lambda case: case.name
)
def test_graphs_answer_in_onnx_runtime_as_here(case):
    check(build(case.spec), case.input("passes/0/input", case.spec["passes"][0]))


def shapes(infos):
    return [[dim.dim_param or dim.dim_value for dim in info.type.tensor_type.shape.dim] for info in infos]


def test_the_batch_is_of_any_size_where_it_may_be(rng):
    net = nn.Sequential(mlp(), nn.Reshape(2, 1), nn.Squeeze(2), nn.LogSoftMax())
    model = check(net, rng.standard_normal((4, 3)))
    assert shapes(model.graph.input) == [["batch", 3]]
    assert shapes(model.graph.output) == [["batch", 2]]
    x = rng.standard_normal((7, 3)).astype("f4")
    assert_trees_close(answers(model, x), [net.forward(x)], CLOSE)
    assert shapes(check(nn.SplitTable(0), rng.standard_normal((2, 3))).graph.input) == [[2, 3]]


def test_names(rng):
    x, y = (rng.standard_normal((2, 3)) for _ in range(2))
    model = check(seed_graph(), [x, y])
    assert [info.name for info in model.graph.input] == ["input0", "input1"]
    assert [info.name for info in model.graph.output] == ["output"]
    assert {"1.weight", "1.bias", "3.weight", "3.bias"} <= {entry.name for entry in model.graph.initializer}


def test_double_precision(rng):
    net, x = nn.Sequential(nn.Linear(3, 2), nn.Tanh()), rng.standard_normal((4, 3))
    (got,) = answers(nn.to_onnx(net, x, dtype="float64"), x)
    assert got.dtype == np.float64
    assert_trees_close(got, net.evaluate().forward(x), CLOSE)


def test_the_module_stays_as_it_is_and_the_file_is_whole(tmp_path, rng):
    net, x = mlp(), rng.standard_normal((4, 3))
    weight = net.get(0).weight
    model = nn.to_onnx(net, x, tmp_path / "net.onnx")
    assert onnx.load(tmp_path / "net.onnx") == model
    assert net.train
    assert net.get(0).weight is weight
    assert net.type() == "float64"


class Twice(nn.Module):
    def updateOutput(self, input):
        return 2 * input


def test_what_has_no_meaning_in_onnx_is_refused():
    with pytest.raises(GraphError, match="runs in Python"):
        nn.to_onnx(Twice(), np.ones(2))
    noisy = nn.Sequential(nn.Dropout(0.5, False, False, True))
    with pytest.raises(GraphError, match=r"Dropout\(0\.5\) in Sequential\[0\] has no meaning in ONNX"):
        nn.to_onnx(noisy, np.ones(2))


def test_without_the_package_it_is_said_how_to_get_it(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "onnx", None)
    with pytest.raises(StateError, match=r"pip install pynngraph\[onnx\]"):
        nn.to_onnx(mlp(), np.ones((2, 3)))
