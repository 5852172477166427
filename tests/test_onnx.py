"""ONNX: what is exported passes its checker, and answers in ONNX Runtime as here."""

import contextlib
import random
import re

import numpy as np
import pytest
from golden_cases import build, supported
from golden_cases import load as load_cases
from module_cases import MODULES
from op_cases import draw
from samples import mlp, seed_graph
from tolerances import assert_trees_close, relative

import pynngraph as nn
from pynngraph import tree
from pynngraph.errors import Error, FileFormatError, GraphError, StateError, UnsupportedError

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")

CLOSE = relative(1e-9, 2e-5)
# Windows of several sizes, or at random places; and what is put back to where the greatest were.
NOT_IN_ONNX = re.compile("SpatialAdaptive|.*Fractional|.*Unpooling")


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


@pytest.mark.parametrize("row", MODULES, ids=lambda row: row.name)
def test_every_module_answers_in_onnx_runtime_as_here(row, rng):
    try:
        check(row.build(), draw(row.input, rng))
    except GraphError as error:
        if NOT_IN_ONNX.match(row.name) is None and "runs in Python" not in str(error):
            raise
        pytest.skip(str(error))


def exported(row, rng):
    """A module of a row, an input, and both in ONNX, if it has a meaning there."""
    module = row.build().float().evaluate()
    input = single(draw(row.input, rng))
    try:
        return module, input, nn.to_onnx(module, input)
    except GraphError as error:
        pytest.skip(str(error))


def longer(input):
    """One more sample."""
    return tree.map_leaves(lambda leaf: np.concatenate([leaf, leaf[:1]]), input)


@pytest.mark.parametrize("row", MODULES, ids=lambda row: row.name)
def test_a_batch_of_any_size_is_one_in_onnx_runtime_too(row, rng):
    module, input, model = exported(row, rng)
    if not all("batch" in shape[:1] for shape in shapes(model.graph.input)):
        pytest.skip("its size is fixed")
    input = longer(input)
    assert_trees_close(answers(model, input), leaves(module.forward(input)), CLOSE)
    flat = leaves(input)
    got = nn.from_onnx(model).forward(flat[0] if len(flat) == 1 else flat)
    assert_trees_close(leaves(got), leaves(module.forward(input)), CLOSE)


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


# ---- import --------------------------------------------------------------------------------------


@pytest.mark.parametrize("row", MODULES, ids=lambda row: row.name)
def test_every_module_that_is_exported_comes_back(row, rng):
    module, input, model = exported(row, rng)
    flat = leaves(input)
    got = nn.from_onnx(model).forward(flat[0] if len(flat) == 1 else flat)
    assert_trees_close(leaves(got), leaves(module.forward(input)), CLOSE)


@pytest.mark.parametrize(
    "case", [case for case in load_cases("random_graphs") if supported(case.spec)], ids=lambda case: case.name
)
def test_what_was_exported_is_imported_with_the_same_answers(case, tmp_path):
    module = build(case.spec).float().evaluate()
    input = single(case.input("passes/0/input", case.spec["passes"][0]))
    nn.to_onnx(module, input, tmp_path / "graph.onnx")
    again = nn.from_onnx(tmp_path / "graph.onnx")
    flat = leaves(input)
    got = again.forward(flat[0] if len(flat) == 1 else flat)
    assert_trees_close(leaves(got), leaves(module.forward(input)), CLOSE)


def model_of(nodes, inputs, outputs, constants=None, opset=17):
    """An ONNX model: nodes as (op, inputs, outputs, attributes), inputs and outputs with their shapes."""
    helper, kind = onnx.helper, onnx.TensorProto.FLOAT
    graph = helper.make_graph(
        [helper.make_node(op, ins, outs, name=f"{op}-{k}", **more) for k, (op, ins, outs, more) in enumerate(nodes)],
        "graph",
        [helper.make_tensor_value_info(name, kind, shape) for name, shape in inputs.items()],
        [helper.make_tensor_value_info(name, kind, shape) for name, shape in outputs.items()],
        [onnx.numpy_helper.from_array(np.asarray(array), name) for name, array in (constants or {}).items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


F, LONG = np.float32, np.int64
W, B = np.arange(12, dtype=F).reshape(4, 3) / 7, np.array([1, 2, 3, 4], F)
NODES = {
    "Gemm": ([("Gemm", ["x", "w", "b"], ["y"], {"transB": 1, "alpha": 0.5, "beta": 2.0})], {"w": W, "b": B}),
    "Gemm-no-bias": ([("Gemm", ["x", "w"], ["y"], {})], {"w": W.T.copy()}),
    "MatMul": ([("MatMul", ["x", "w"], ["y"], {})], {"w": W.T.copy()}),
    "MatMul-nodes": ([("Transpose", ["x"], ["t"], {}), ("MatMul", ["x", "t"], ["y"], {})], {}),
    "Add-scalar": ([("Add", ["x", "c"], ["y"], {})], {"c": F(2)}),
    "Add-row": ([("Add", ["c", "x"], ["y"], {})], {"c": B[:3]}),
    "Sub-left": ([("Sub", ["c", "x"], ["y"], {})], {"c": B[:3]}),
    "Sub": ([("Sub", ["x", "c"], ["y"], {})], {"c": B[:3]}),
    "Div-left": ([("Div", ["c", "x"], ["y"], {})], {"c": F(2)}),
    "Div": ([("Div", ["x", "c"], ["y"], {})], {"c": np.array([[1], [2], [3], [4], [5]], F)}),
    "Mul-nodes": ([("Tanh", ["x"], ["t"], {}), ("Mul", ["x", "t"], ["y"], {})], {}),
    "Max": ([("Tanh", ["x"], ["t"], {}), ("Max", ["x", "t"], ["y"], {})], {}),
    "Sum-one": ([("Sum", ["x"], ["y"], {})], {}),
    "Pow": ([("Pow", ["x", "c"], ["y"], {})], {"c": F(3)}),
    "Neg": ([("Neg", ["x"], ["y"], {})], {}),
    "Clip": ([("Clip", ["x", "a", "b"], ["y"], {})], {"a": F(-0.5), "b": F(0.75)}),
    "Clip-low": ([("Clip", ["x", "a"], ["y"], {})], {"a": F(0)}),
    "Elu": ([("Elu", ["x"], ["y"], {"alpha": 0.5})], {}),
    "LeakyRelu": ([("LeakyRelu", ["x"], ["y"], {"alpha": 0.25})], {}),
    "Softmax": ([("Softmax", ["x"], ["y"], {"axis": -1})], {}),
    "LogSoftmax": ([("LogSoftmax", ["x"], ["y"], {})], {}),
    "Concat": ([("Concat", ["x", "x", "x"], ["y"], {"axis": 1})], {}),
    "Reshape": ([("Reshape", ["x", "s"], ["y"], {})], {"s": np.array([0, 1, -1], LONG)}),
    "Reshape-whole": ([("Reshape", ["x", "s"], ["y"], {})], {"s": np.array([3, -1], LONG)}),
    "Flatten": ([("Unsqueeze", ["x", "a"], ["u"], {}), ("Flatten", ["u"], ["y"], {})], {"a": np.array([-1], LONG)}),
    "Squeeze": (
        [("Unsqueeze", ["x", "a"], ["u"], {}), ("Squeeze", ["u", "a"], ["y"], {})], {"a": np.array([0, 2], LONG)}),
    "Transpose": ([("Transpose", ["x"], ["y"], {"perm": [1, 0]})], {}),
    "Slice": ([("Slice", ["x", "a", "b"], ["y"], {})], {"a": np.array([1, 0], LONG), "b": np.array([3, -1], LONG)}),
    "Slice-end": (
        [("Slice", ["x", "a", "b", "d"], ["y"], {})],
        {"a": np.array([-2], LONG), "b": np.array([2**62], LONG), "d": np.array([1], LONG)}),
    "Split": ([("Split", ["x", "s"], ["y", "z"], {"axis": 1})], {"s": np.array([1, 2], LONG)}),
    "Gather": ([("Gather", ["x", "i"], ["y"], {"axis": 1})], {"i": LONG(-1)}),
    "ReduceSum": ([("ReduceSum", ["x", "a"], ["y"], {"keepdims": 0})], {"a": np.array([1], LONG)}),
    "ReduceMean": ([("ReduceMean", ["x"], ["y"], {"axes": [-1]})], {}),
    "Constant": (
        [("Constant", [], ["c"], {"value_float": 3.0}), ("Neg", ["c"], ["d"], {}), ("Mul", ["x", "d"], ["y"], {})], {}),
    "Dropout": ([("Dropout", ["x"], ["y"], {})], {}),
    "Add-larger": ([("Add", ["x", "c"], ["y"], {})], {"c": np.arange(6, dtype=F).reshape(2, 1, 3)}),
    "Add-column": (
        [("ReduceSum", ["x", "a"], ["s"], {}), ("Add", ["s", "x"], ["y"], {})], {"a": np.array([1], LONG)}),
    "Add-whole": ([("ReduceSum", ["x"], ["s"], {}), ("Add", ["x", "s"], ["y"], {})], {}),
    "Min-row": ([("Min", ["x", "c"], ["y"], {})], {"c": B[:3]}),
    "Mean": ([("Tanh", ["x"], ["t"], {}), ("Mean", ["x", "t"], ["y"], {})], {}),
    "Gemm-turned": ([("Gemm", ["x", "w"], ["y"], {"transA": 1})], {"w": np.arange(10, dtype=F).reshape(5, 2)}),
    "Gemm-matrix": (
        [("Gemm", ["x", "w", "c"], ["y"], {"alpha": 0.5, "beta": 2.0})],
        {"w": W.T.copy(), "c": np.arange(5, dtype=F).reshape(5, 1)}),
    "MatMul-vector": ([("MatMul", ["x", "v"], ["y"], {})], {"v": B[:3]}),
    "MatMul-left": ([("MatMul", ["w", "x"], ["y"], {})], {"w": np.arange(10, dtype=F).reshape(2, 5)}),
    "Reciprocal": ([("Exp", ["x"], ["t"], {}), ("Reciprocal", ["t"], ["y"], {})], {}),
    "Pow-square": ([("Pow", ["x", "c"], ["y"], {})], {"c": F(2)}),
    "PRelu": ([("PRelu", ["x", "c"], ["y"], {})], {"c": B[:3]}),
    "PRelu-one": ([("PRelu", ["x", "c"], ["y"], {})], {"c": B[1:2]}),
    "ThresholdedRelu": ([("ThresholdedRelu", ["x"], ["y"], {"alpha": 0.3})], {}),
    "HardSigmoid": ([("HardSigmoid", ["x"], ["y"], {"alpha": 0.3})], {}),
    "HardSwish": ([("HardSwish", ["x"], ["y"], {})], {}),
    "Selu": ([("Selu", ["x"], ["y"], {})], {}),
    "Celu": ([("Celu", ["x"], ["y"], {"alpha": 0.5})], {}),
    "Shrink": ([("Shrink", ["x"], ["y"], {"bias": 0.25, "lambd": 0.25})], {}),
    "Clip-high": ([("Clip", ["x", "", "b"], ["y"], {})], {"b": F(0.5)}),
    "Where-mask": (
        [("Where", ["m", "x", "c"], ["y"], {})], {"m": np.array([True, False, True]), "c": np.arange(3, dtype=F)}),
    "Where-bound": ([("Less", ["c", "x"], ["m"], {}), ("Where", ["m", "x", "d"], ["y"], {})], {"c": F(0), "d": F(2)}),
    "Softmax-first": ([("Softmax", ["x"], ["y"], {"axis": 0})], {}),
    "Gather-several": ([("Gather", ["x", "i"], ["y"], {"axis": 1})], {"i": np.array([[2, -1], [0, 0]], LONG)}),
    "Slice-steps": (
        [("Slice", ["x", "a", "b", "d", "e"], ["y"], {})],
        {"a": np.array([2], LONG), "b": np.array([-4], LONG), "d": np.array([1], LONG), "e": np.array([-2], LONG)}),
    "Expand-by-shape": (
        [("Constant", [], ["c"], {"value_floats": [3.0]}), ("Shape", ["x"], ["s"], {}),
         ("Expand", ["c", "s"], ["e"], {}), ("Mul", ["x", "e"], ["y"], {})], {}),
    "Expand-by-batch": (
        [("Shape", ["x"], ["s"], {"end": 1}), ("Concat", ["k", "s", "k"], ["t"], {"axis": 0}),
         ("Expand", ["c", "t"], ["e"], {}), ("Sub", ["e", "u"], ["y"], {})],
        {"k": np.array([2], LONG), "c": B.reshape(2, 1, 2), "u": F(1)}),
    "ConstantOfShape": (
        [("Shape", ["x"], ["s"], {}), ("ConstantOfShape", ["s"], ["e"], {}), ("Max", ["x", "e"], ["y"], {})], {}),
    "Reshape-by-size": (
        [("Shape", ["x"], ["s"], {}), ("Gather", ["s", "i"], ["g"], {}), ("Unsqueeze", ["g", "i"], ["u"], {}),
         ("Concat", ["u", "k"], ["t"], {"axis": 0}), ("Reshape", ["x", "t"], ["y"], {})],
        {"i": LONG(0), "k": np.array([-1, 1], LONG)}),
    "Tile": ([("Tile", ["x", "r"], ["y"], {})], {"r": np.array([1, 2], LONG)}),
    "ReduceMax": ([("ReduceMax", ["x"], ["y"], {"axes": [1], "keepdims": 0})], {}),
    "ReduceL2": ([("ReduceL2", ["x"], ["y"], {"axes": [1]})], {}),
    "ReduceL1": ([("ReduceL1", ["x"], ["y"], {"axes": [-1], "keepdims": 0})], {}),
    "Pad-edge": ([("Pad", ["x", "p"], ["y"], {"mode": "edge"})], {"p": np.array([0, 1, 0, 2], LONG)}),
    "Pad-cut": ([("Pad", ["x", "p", "v"], ["y"], {})], {"p": np.array([0, -1, 0, 2], LONG), "v": F(7)}),
    "LayerNormalization": (
        [("LayerNormalization", ["x", "c", "d"], ["y"], {})], {"c": B[:3], "d": B[1:]}),
    "unused": ([("Tanh", ["x"], ["y"], {}), ("Expand", ["x", "s"], ["z"], {})], {"s": np.array([5, 3], LONG)}),
}  # fmt: skip


@pytest.mark.parametrize("name", NODES)
def test_every_op_is_imported(name, rng):
    nodes, constants = NODES[name]
    model = model_of(nodes, {"x": [5, 3] if name == "Div" else ["batch", 3]}, {"y": None}, constants)
    x = rng.standard_normal((5, 3)).astype(F)
    (expected,) = onnxruntime.InferenceSession(model.SerializeToString()).run(None, {"x": x})
    graph = nn.from_onnx(model)
    assert graph.type() == "float32"
    assert_trees_close(graph.forward(x), expected, CLOSE)


def test_dims_that_get_the_same_size_are_resized_each_by_its_own(rng):
    attributes = {"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
    nodes = [("Resize", ["x", "", "", "sizes"], ["y"], attributes)]
    model = model_of(nodes, {"x": [1, 2, 2, 4]}, {"y": None}, {"sizes": np.array([1, 2, 8, 8])})
    x = rng.standard_normal((1, 2, 2, 4)).astype(F)
    (expected,) = onnxruntime.InferenceSession(model.SerializeToString()).run(None, {"x": x})
    np.testing.assert_array_equal(nn.from_onnx(model).forward(x), expected)


@pytest.mark.parametrize("kind", ["Softmax", "LogSoftmax"])
def test_softmax_over_several_dims_as_of_old_is_refused(kind):
    model = model_of([(kind, ["x"], ["y"], {"axis": 1})], {"x": [1, 2, 2]}, {"y": None}, opset=11)
    with pytest.raises(UnsupportedError, match="over several dims"):
        nn.from_onnx(model)


def test_broadcasting_along_an_axis_as_of_old_is_refused():
    nodes = [("Add", ["x", "b"], ["y"], {"broadcast": 1, "axis": 1})]
    model = model_of(nodes, {"x": [1, 2, 2]}, {"y": None}, {"b": B[:2]}, opset=6)
    with pytest.raises(UnsupportedError, match="broadcasts along an axis"):
        nn.from_onnx(model)


def test_nodes_have_the_names_of_onnx_and_weights_train(rng):
    graph = nn.from_onnx(model_of(*_named(NODES["Gemm"])))
    linear = graph.node("Gemm-0").module
    np.testing.assert_array_equal(linear.weight, W * F(0.5))
    x = rng.standard_normal((5, 3)).astype(F)
    graph.backward(x, np.ones_like(graph.forward(x)))
    assert linear.gradWeight.any()


def test_weights_that_two_nodes_have_are_shared_with_their_gradients(rng):
    nodes = [("Gemm", ["x", "w", "b"], ["t"], {"transB": 1}), ("Gemm", ["t", "w", "b"], ["y"], {"transB": 1})]
    graph = nn.from_onnx(model_of(nodes, {"x": ["batch", 3]}, {"y": None}, {"w": W[:3], "b": B[:3]}))
    (weight, bias), (grad_weight, grad_bias) = graph.parameters()
    x = rng.standard_normal((5, 3)).astype(F)
    graph.backward(x, np.ones_like(graph.forward(x)))
    hidden = x @ W[:3].T + B[:3]
    ones = np.ones((5, 3), F)
    assert_trees_close(grad_weight, ones.T @ hidden + (ones @ W[:3]).T @ x, CLOSE)
    assert_trees_close(grad_bias, ones.sum(0) + (ones @ W[:3]).sum(0), CLOSE)
    assert weight.shape == (3, 3)
    assert bias.shape == (3,)


def _named(entry):
    nodes, constants = entry
    return nodes, {"x": ["batch", 3]}, {"y": None}, constants


@pytest.mark.parametrize(
    ("nodes", "constants", "message"),
    [
        ([("Sin", ["x"], ["y"], {})], {}, "Sin 'Sin-0' of ONNX: its op is not known here"),
        ([("TopK", ["x", "k"], ["y", "i"], {})], {"k": [2]}, "TopK 'TopK-0' of ONNX: the engine gives no indices"),
        ([("Shape", ["x"], ["s"], {}), ("Cast", ["s"], ["y"], {"to": 1})], {}, "holds sizes or truths"),
        ([("Slice", ["x", "a", "b", "d", "e"], ["y"], {})],
         {"a": [0], "b": [3], "d": [0], "e": [2]}, "takes steps along a dim of any size"),
        ([("Gather", ["x", "i"], ["y"], {})], {"i": [0, -1]}, "from the end of a dim of any size"),
        ([("Greater", ["x", "c"], ["m"], {}), ("Where", ["m", "c", "x"], ["y"], {})], {"c": F(1)}, "written x > a"),
        ([("Gelu", ["x"], ["y"], {})], {}, "approximate='tanh'"),
        ([("Resize", ["x", "", "r"], ["y"], {})], {"r": np.array([1.5, 1], F)}, "its scales are"),
    ],
)  # fmt: skip
def test_what_there_is_no_module_for_is_refused_with_its_name(nodes, constants, message):
    model = model_of(nodes, {"x": ["batch", 3]}, {"y": None}, constants, opset=20)
    with pytest.raises(UnsupportedError, match=message) as caught:
        nn.from_onnx(model)
    assert isinstance(caught.value, GraphError)
    assert isinstance(caught.value, FileFormatError)


def test_what_is_no_onnx_model_is_refused(tmp_path):
    (tmp_path / "x.onnx").write_bytes(b"no model")
    with pytest.raises(FileFormatError, match="no ONNX model"):
        nn.from_onnx(tmp_path / "x.onnx")
    with pytest.raises(FileNotFoundError):
        nn.from_onnx(tmp_path / "y.onnx")


# ---- damaged models ------------------------------------------------------------------------------

OPS_OF_ONNX = ["Add", "Conv", "Reshape", "Gemm", "Concat", "MaxPool", "Relu", "Transpose", "Gather", "Slice", "Pad",
               "Resize", "Split", "LSTM", "Expand", "Softmax"]  # fmt: skip
NUMBERS = [0, -1, 1, 2, 7, 100, 2**31, -(2**63)]


def _damaged_attribute(graph, draw):
    attributes = [entry for node in graph.node for entry in node.attribute]
    if attributes:
        entry = draw.choice(attributes)
        if entry.ints and draw.random() < 0.5:
            entry.ints[draw.randrange(len(entry.ints))] = draw.choice(NUMBERS)
        elif entry.ints:
            del entry.ints[-1]
        elif entry.type == onnx.AttributeProto.INT:
            entry.i = draw.choice(NUMBERS)
        else:
            entry.f = draw.choice([0.0, float("nan"), float("inf"), -1.0])


def _other_op(graph, draw):
    draw.choice(graph.node).op_type = draw.choice(OPS_OF_ONNX)


def _other_input(graph, draw):
    node = draw.choice([node for node in graph.node if node.input])
    names = [entry.name for entry in (*graph.input, *graph.initializer)] + [node.output[0] for node in graph.node]
    node.input[draw.randrange(len(node.input))] = draw.choice(["", "nothing", *names])


def _fewer_inputs(graph, draw):
    del draw.choice([node for node in graph.node if node.input]).input[-1]


def _damaged_weight(graph, draw):
    entry = draw.choice(graph.initializer)
    if entry.dims and draw.random() < 0.5:
        entry.dims[draw.randrange(len(entry.dims))] = draw.choice([0, 1, 2, -1, 2**40])
    elif entry.data_type == onnx.TensorProto.INT64 and entry.raw_data:
        numbers = np.frombuffer(entry.raw_data, "<i8").copy()
        numbers[draw.randrange(len(numbers))] = draw.choice(NUMBERS)
        entry.raw_data = numbers.tobytes()
    else:
        entry.data_type = draw.randrange(1, 20)


def _other_size(graph, draw):
    shape = draw.choice(graph.input).type.tensor_type.shape
    if shape.dim:
        draw.choice(shape.dim).dim_value = draw.choice([0, 1, 3, 2**33])


DAMAGES = [_damaged_attribute, _other_op, _other_input, _fewer_inputs, _damaged_weight, _other_size]
DAMAGED = ["SpatialDepthWiseConvolution", "LSTM", "SpatialAveragePooling-ceil", "Padding-inside", "MixtureTable",
           "gModule", "SpatialContrastiveNormalization", "UpSampling-sizes", "Index", "PReLU-planes"]  # fmt: skip


@pytest.fixture(scope="module")
def sound_models():
    rng = np.random.default_rng(0)
    rows = {row.name: row for row in MODULES}
    found = []
    for name in DAMAGED:
        input = single(draw(rows[name].input, rng))
        found.append((nn.to_onnx(rows[name].build(), input), leaves(input)))
    return found


def _try(source, inputs):
    """Whether a model can be made of it."""
    try:
        graph = nn.from_onnx(source)
    except FileFormatError as error:
        refused = str(error)
    else:
        with contextlib.suppress(Error):  # it may be sound, for other inputs
            graph.forward(inputs[0] if len(inputs) == 1 else inputs)
        return True
    assert "cannot be made" not in refused  # all that can be wrong with a node is told of the node
    return False


@pytest.mark.parametrize("seed", range(20))
def test_damaged_models_are_refused_or_sound(sound_models, seed):
    draw = random.Random(seed)  # noqa: S311 - it draws damages
    made = 0
    for model, inputs in sound_models * 5:
        damaged = onnx.ModelProto()
        damaged.CopyFrom(model)
        for _ in range(draw.choice([1, 1, 2, 3])):
            draw.choice(DAMAGES)(damaged.graph, draw)
        made += _try(damaged, inputs)
    assert 0 < made < 5 * len(sound_models)


@pytest.mark.parametrize("seed", range(5))
def test_damaged_bytes_are_refused_or_sound(sound_models, seed, tmp_path):
    draw = random.Random(seed)  # noqa: S311 - it draws damages
    for model, inputs in sound_models * 10:
        data = bytearray(model.SerializeToString())
        for _ in range(draw.choice([1, 2, 5])):
            data[draw.randrange(len(data))] = draw.randrange(256)
        (tmp_path / "x.onnx").write_bytes(data if draw.random() < 0.8 else data[: draw.randrange(len(data))])
        _try(tmp_path / "x.onnx", inputs)
