"""One file for Python and C: safetensors with the model in its metadata."""

import json
import math
import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from module_cases import CRITERIONS, MODULES
from op_cases import draw
from samples import mlp, seed_graph
from test_t7_models import equal, forward
from trees import tree_map

import pynngraph as nn
from pynngraph import _engine
from pynngraph.errors import DTypeError, FileFormatError, GraphError

by_row = pytest.mark.parametrize("row", MODULES, ids=[row.name for row in MODULES])


@pytest.fixture
def path(tmp_path):
    return tmp_path / "model.safetensors"


def through(value, path, **options):
    nn.save(path, value, **options)
    return nn.load(path)


def parts(data):
    """The header, the model in it, and the arrays' bytes."""
    (length,) = struct.unpack_from("<Q", data)
    header = json.loads(data[8 : 8 + length])
    model = json.loads(header["__metadata__"]["pynngraph"]) if "__metadata__" in header else None
    return header, model, data[8 + length :]


def joined(header, model, arrays):
    if model is not None:
        header["__metadata__"]["pynngraph"] = json.dumps(model)
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + arrays


# ---- both ways -----------------------------------------------------------------------------------


@by_row
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_every_module_comes_back(row, dtype, path, rng):
    module = row.build().type(dtype).evaluate()
    again = through(module, path)
    assert [type(inner) for inner in again.listModules()] == [type(inner) for inner in module.listModules()]
    assert repr(again) == repr(module)
    x = draw(row.input, rng, dtype)
    assert equal(forward(again, x), forward(module, x))
    grad = tree_map(np.ones_like, module.output)
    if not row.of_indices:
        assert equal(again.backward(x, grad), module.backward(x, grad))
    for got, wanted in zip(again.parameters()[1], module.parameters()[1], strict=True):
        np.testing.assert_array_equal(got, wanted)


@pytest.mark.parametrize("row", CRITERIONS, ids=[row.name for row in CRITERIONS])
def test_every_criterion_comes_back(row, path, rng):
    criterion = row.build()
    again = through(criterion, path)
    x, target = draw(row.input, rng), draw(row.target, rng)
    assert again.forward(x, target) == criterion.forward(x, target)


def test_sharing_and_frozen_cells_come_back(path):
    first = nn.Linear(3, 3)
    tied, own = first.clone("weight", "bias", "gradWeight", "gradBias"), first.clone("weight")
    a, b, c = through(nn.Sequential(first, tied, own).freeze(), path).modules
    a.weight[0, 0] = 7
    assert b.weight[0, 0] == c.weight[0, 0] == 7
    assert b.gradWeight is a.gradWeight
    assert c.gradWeight is not a.gradWeight


def test_one_module_at_two_places_comes_back_as_one(path):
    tanh = nn.Tanh()
    again = through(nn.Sequential(tanh, nn.Identity(), tanh), path)
    assert again.get(0) is again.get(2)


def test_data_comes_back(path):
    value = {
        "list": [1, 2.5, "text", True, None, -math.inf, (1, (2,)), {3: "x", "y": {}}],
        "array": np.arange(6, dtype="i4").reshape(2, 3),
        "empty": np.zeros((0, 2)),
        "model": mlp(),
        "numbers": [np.float32(0.5), np.int64(3), np.bool_(1)],
    }
    again = through(value, path)
    assert again["list"] == value["list"]
    assert again["numbers"] == [0.5, 3, True]
    assert again["array"].dtype == np.int32
    np.testing.assert_array_equal(again["array"], value["array"])
    assert again["empty"].shape == (0, 2)
    assert math.isnan(through([math.nan], path)[0])
    assert equal(again["model"].forward(np.ones(3)), value["model"].forward(np.ones(3)))


def test_arrays_alone_are_plain_weights(path):
    arrays = {"a": np.arange(3.0), "b": np.ones((2, 2), np.uint8), "c": np.float16([1.5])}
    again = through(arrays, path)
    assert "__metadata__" not in parts(path.read_bytes())[0]
    assert set(again) == set(arrays)
    for name, array in arrays.items():
        assert again[name].dtype == array.dtype
        np.testing.assert_array_equal(again[name], array)


def test_bfloat16_of_others_is_read(path):
    header = {"w": {"dtype": "BF16", "shape": [2], "data_offsets": [0, 4]}}
    path.write_bytes(joined(header, None, np.float32([1.5, -2]).view("u4").__rshift__(16).astype("u2").tobytes()))
    np.testing.assert_array_equal(nn.load(path)["w"], np.float32([1.5, -2]))


def test_weights_have_the_names_of_their_modules(path):
    x = nn.Identity()()
    decoder = nn.Linear(3, 3)(nn.Sequential(nn.Tanh(), nn.Linear(3, 3))(x)).annotate(name="decoder")
    graph = nn.gModule([x], [decoder])
    nn.save(path, graph)
    header, _, arrays = parts(path.read_bytes())
    assert set(header) - {"__metadata__"} == {"1.1.weight", "1.1.bias", "decoder.weight", "decoder.bias"}
    assert header["__metadata__"]["format"] == "pynngraph"
    start, end = header["decoder.weight"]["data_offsets"]
    np.testing.assert_array_equal(np.frombuffer(arrays[start:end]).reshape(3, 3), decoder.module.weight)


def test_the_safetensors_package_reads_the_weights(path):
    safetensors = pytest.importorskip("safetensors.numpy")
    net = mlp()
    nn.save(path, net, input=np.ones((2, 3)))
    weights = safetensors.load_file(path)
    np.testing.assert_array_equal(weights["0.weight"], net.get(0).weight)
    safetensors.save_file({"x": np.arange(3, dtype="f4")}, path)
    np.testing.assert_array_equal(nn.load(path)["x"], [0, 1, 2])


def test_arrays_are_aligned(path):
    nn.save(path, {"a": np.zeros(3, "u1"), "model": mlp(), "b": np.zeros(1, "f4")})
    data = path.read_bytes()
    header, _, arrays = parts(data)
    assert (len(data) - len(arrays)) % 64 == 0
    sizes = {"U8": 1, "F32": 4, "F64": 8}
    assert all(
        entry["data_offsets"][0] % sizes[entry["dtype"]] == 0 for key, entry in header.items() if key != "__metadata__"
    )


def test_what_cannot_be_saved_is_refused_and_the_old_file_stays(path):
    path.write_bytes(b"old")
    deep = []
    deep.append(deep)
    for value in (object(), {"x": [object()]}, {"z": np.zeros(1, "c16")}, deep):
        with pytest.raises(DTypeError, match=r"cannot be saved as \.safetensors|deeper"):
            nn.save(path, value)
    assert path.read_bytes() == b"old"
    assert len(list(path.parent.iterdir())) == 1


class Scale(nn.Module):
    def __init__(self, factor):
        self.factor = factor

    def updateOutput(self, input):
        return input * self.factor


def test_a_users_class_comes_back_if_it_is_given(path):
    nn.save(path, nn.Sequential(Scale(3)))
    assert nn.load(path, classes={"Scale": Scale}).forward(np.ones(1)) == 3
    with pytest.raises(FileFormatError, match="no class 'Scale' here"):
        nn.load(path)


def test_a_part_in_python_has_no_program(path):
    with pytest.raises(GraphError, match="runs in Python"):
        nn.save(path, Scale(3), input=np.ones(1))


# ---- programs ------------------------------------------------------------------------------------


def run_program(path, mode, inputs):
    """What a reader without modules gets: the outputs of a program in the file."""
    header, model, arrays = parts(path.read_bytes())
    (program,) = [program for program in model["programs"] if program["mode"] == mode]
    engine, values = _engine.Program(), {}
    kinds = {"real": _engine.REAL, "index": _engine.INDEX}
    for entry in program["inputs"]:
        values[entry["value"]] = engine.input(kinds[entry["kind"]])
    data, grads = [], []
    for entry in program["parameters"]:
        about = header[entry["array"]]
        start, end = about["data_offsets"]
        kind = {"F64": "f8", "F32": "f4"}[about["dtype"]]
        data.append(np.frombuffer(arrays[start:end], kind).reshape(about["shape"]))
        grads.append(np.zeros_like(data[-1]) if entry["gradient"] else None)
        values[entry["value"]] = engine.param(data[-1].shape, has_grad=entry["gradient"])
    for op in program["ops"]:
        ins = [values[value] for value in op["inputs"]]
        nums = [float(num["float"]) if isinstance(num, dict) else num for num in op["nums"]]  # JSON has no inf
        outs = engine.op(_engine.OPS[op["op"]], ins, op["ints"], nums, len(op["outputs"]))
        values.update(zip(op["outputs"], outs, strict=True))
    for buffer, value in program["updates"]:
        engine.update(values[buffer], values[value])
    assert len(values) == program["values"]
    for value in program["outputs"]:
        engine.output(values[value])
    engine.seal()
    dtype = data[0].dtype if data else np.dtype(model["modules"][0]["state"]["_dtype"])
    plan = _engine.Plan(engine, dtype, [x.shape for x in inputs])
    indices = [np.int64 if engine.kinds[value] == _engine.INDEX else dtype for value in engine.outputs]
    outputs = [np.empty(plan.shape(value), kind) for value, kind in zip(engine.outputs, indices, strict=True)]
    inputs = [np.ascontiguousarray(x) for x in inputs]
    plan.inputs.bind(inputs)
    plan.bind_params(_engine.addresses([*data, *grads]))
    plan.outputs.bind(outputs)
    plan.forward(1)
    return outputs, program


def leaves(value):
    return [leaf for entry in value for leaf in leaves(entry)] if isinstance(value, (list, tuple)) else [value]


def program_draws(program):
    """Whether random numbers come into it, which are other ones at each run."""
    families = {_engine.OPS[op["op"]].family for op in program["ops"]}
    return bool(families & {"noise", "draw"})


@by_row
def test_every_modules_program_gives_what_the_module_gives(row, path, rng):
    module = row.build()
    x = draw(row.input, rng)
    trains = [inner.train for inner in module.listModules()]
    if module.execution_apart().prepared(x).plan.program.hosts is not None:
        with pytest.raises(GraphError, match="runs in Python"):
            nn.save(path, module, input=x)
        return
    nn.save(path, module, input=x)
    assert [inner.train for inner in module.listModules()] == trains
    outputs, program = run_program(path, "evaluate", leaves(x))
    expected = forward(module.evaluate(), x)
    if program_draws(program):
        return
    assert equal(outputs, leaves(expected))

    def nesting(value):
        return [nesting(entry) for entry in value] if isinstance(value, (list, tuple)) else None

    assert program["input"] == nesting(x)
    assert program["output"] == nesting(expected)


def test_a_program_says_whether_it_serves_any_batch(path):
    def any_batch(module, x):
        nn.save(path, module, input=x)
        return parts(path.read_bytes())[1]["programs"][0]["any_batch"]

    assert any_batch(mlp(), np.ones((2, 3))) is True
    assert any_batch(seed_graph(), [np.ones((2, 3))] * 2) is True
    assert any_batch(nn.SplitTable(0), np.ones((2, 3))) is False
    assert any_batch(nn.Linear(2, 2), np.ones(2)) is False


def test_modes_differ_where_training_does(path):
    nn.save(path, nn.Dropout(0.5), input=np.ones(2))
    programs = {program["mode"]: program for program in parts(path.read_bytes())[1]["programs"]}
    assert [op["op"] for op in programs["train"]["ops"]] == ["dropout"]
    assert [op["op"] for op in programs["evaluate"]["ops"]] == ["identity"]


# ---- damaged files -------------------------------------------------------------------------------


def saved(tmp_path):
    path = tmp_path / "whole.safetensors"
    nn.save(path, {"net": seed_graph(), "x": [np.arange(3), (1, math.inf)]})
    return path.read_bytes()


HEADERS = {
    "an entry that is none": lambda header: header.update(w=3),
    "an entry without offsets": lambda header: header["x.0"].pop("data_offsets"),
    "an unknown dtype": lambda header: header["x.0"].update(dtype="F8"),
    "a negative size": lambda header: header["x.0"].update(shape=[-3]),
    "a huge shape": lambda header: header["x.0"].update(shape=[1 << 61, 1 << 61]),
    "a size that is true": lambda header: header["x.0"].update(shape=[True]),
    "offsets behind the end": lambda header: header["x.0"].update(data_offsets=[0, 1 << 50]),
    "offsets backwards": lambda header: header["x.0"].update(data_offsets=[24, 0]),
    "arrays over each other": lambda header: header["x.0"].update(data_offsets=[0, 24]),
    "an array less": lambda header: header.pop("x.0"),
    "metadata that are numbers": lambda header: header.update(__metadata__={"pynngraph": 1}),
    "metadata that are no JSON": lambda header: header["__metadata__"].update(pynngraph="{"),
    "metadata that are a list": lambda header: header["__metadata__"].update(pynngraph="[]"),
    "NaN": lambda header: header["__metadata__"].update(pynngraph='{"version": NaN}'),
    "a name twice": lambda header: header["__metadata__"].update(pynngraph='{"version": 1, "version": 1}'),
    "a long number": lambda header: header["__metadata__"].update(pynngraph="9" * 10_000),
    "depth": lambda header: header["__metadata__"].update(pynngraph="[" * 100_000),
}

MODELS = {
    "a version to come": lambda model: model.update(version=2),
    "no version": lambda model: model.pop("version"),
    "no root": lambda model: model.pop("root"),
    "a class that is none": lambda model: model["modules"][0].update({"class": "save"}),
    "a class of others": lambda model: model["modules"][0].update({"class": "os.system"}),
    "a state that is none": lambda model: model["modules"][0].update(state=[]),
    "nodes that are none": lambda model: model["modules"][0]["state"].update(_order=[1]),
    "a place that is none": lambda model: model.update(root={"module": 99}),
    "a kind that is none": lambda model: model.update(root={"code": "1"}),
    "two kinds": lambda model: model.update(root={"module": 0, "cell": 0}),
    "an array that is none": lambda model: model["cells"][0].update(array="y"),
    "a parameter of whole numbers": lambda model: model["cells"][0].update(array="x.0"),
    "gradients of two shapes": lambda model: [cell.update(gradient=0) for cell in model["cells"]],
    "a dtype that is none": lambda model: model["modules"][0]["state"].update(_dtype="int8"),
    "modules in themselves": lambda model: model["modules"][1].update(
        {"class": "Sequential", "state": {**model["modules"][1]["state"], "modules": {"modules": [1]}}}),
}  # fmt: skip


@pytest.mark.parametrize("name", HEADERS)
def test_a_hostile_header_is_refused(name, tmp_path, path):
    header, _, arrays = parts(saved(tmp_path))
    HEADERS[name](header)
    path.write_bytes(joined(header, None, arrays))
    with pytest.raises(FileFormatError, match="at byte"):
        nn.load(path)


@pytest.mark.parametrize("name", MODELS)
def test_a_hostile_model_is_refused(name, tmp_path, path):
    header, model, arrays = parts(saved(tmp_path))
    MODELS[name](model)
    path.write_bytes(joined(header, model, arrays))
    with pytest.raises(FileFormatError, match="at byte 8"):
        nn.load(path)


def test_a_file_that_ends_early_is_refused_wherever_it_ends(tmp_path, path):
    data = saved(tmp_path)
    for size in range(0, len(data), 7):
        path.write_bytes(data[:size])
        with pytest.raises(FileFormatError, match="at byte"):
            nn.load(path)


@settings(max_examples=300)
@given(st.data())
def test_a_damaged_file_is_refused_or_read(tmp_path_factory, data):
    folder = tmp_path_factory.getbasetemp()
    damaged = bytearray(saved(folder))
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.integers(0, len(damaged) - 1))
        damaged[place] = data.draw(st.integers(0, 255) | st.sampled_from(list(b'0123456789[]{}",:')))
    (folder / "damaged").write_bytes(damaged)
    try:
        nn.load(folder / "damaged")
    except FileFormatError as error:
        assert "at byte" in str(error)  # noqa: PT017 - it need not be raised


# ---- checkpoints ---------------------------------------------------------------------------------


def train(net, config, state, steps, method):
    """Losses of some steps, with dropout."""
    criterion = nn.MSECriterion()
    rng = np.random.default_rng(3)
    x, target = rng.standard_normal((8, 3)), rng.standard_normal((8, 2))
    flat, gradient = net.getParameters()

    def feval(_):
        net.zeroGradParameters()
        loss = criterion.forward(net.forward(x), target)
        net.backward(x, criterion.backward(net.output, target))
        return loss, gradient

    return [method(feval, flat, config, state)[1][0] for _ in range(steps)]


@pytest.mark.parametrize("method", ["sgd", "adam", "rmsprop", "adagrad"])
@pytest.mark.parametrize("together", [True, False], ids=["one dict", "two dicts"])
def test_training_goes_on_to_the_bit(method, together, path):
    method = getattr(nn.optim, method)
    net = nn.Sequential(nn.Linear(3, 8), nn.Dropout(0.5), nn.Tanh(), nn.Linear(8, 2))
    config = {"learningRate": 0.01, "momentum": 0.9, "learningRateDecay": 0.1}
    state = config if together else {}
    train(net, config, state, 5, method)
    nn.save_checkpoint(path, net, config, state, {"epoch": 3})
    expected = train(net, config, state, 5, method)
    last = nn.load_checkpoint(path)
    assert last.progress == {"epoch": 3}
    assert (last.state is last.config) is together
    assert train(last.model, last.config, last.state, 5, method) == expected
    np.testing.assert_array_equal(last.model.getParameters()[0], net.getParameters()[0])


def test_what_is_no_checkpoint_is_refused(path, tmp_path):
    with pytest.raises(ValueError, match="is saved as"):
        nn.save_checkpoint(tmp_path / "x.t7", mlp())
    for value in (mlp(), {"model": 1, "config": {}, "state": {}, "progress": {}, "random": {}}):
        nn.save(path, value)
        with pytest.raises(FileFormatError, match="no checkpoint"):
            nn.load_checkpoint(path)
    nn.save(path, {"model": mlp(), "config": {}, "state": {}, "progress": {}, "random": {"state": 1}})
    with pytest.raises(FileFormatError, match="random"):
        nn.load_checkpoint(path)
    nn.save(path, {"model": mlp(), "config": 1, "state": {}, "progress": {}, "random": {}})
    with pytest.raises(FileFormatError, match="no checkpoint"):
        nn.load_checkpoint(path)


def test_programs_say_what_a_forward_leaves_in_buffers(path, rng):
    net = nn.BatchNormalization(3)
    x = rng.standard_normal((5, 3))
    nn.save(path, net, input=x)
    evaluated, trained = parts(path.read_bytes())[1]["programs"]
    assert evaluated["updates"] == []
    buffers = {entry["array"]: entry["value"] for entry in trained["parameters"]}
    assert [buffer for buffer, _ in trained["updates"]] == [buffers["running_mean"], buffers["running_var"]]


def test_a_class_of_no_file_of_modules_is_refused(path):
    nn.save(path, nn.LayerNormalization(3))
    header, model, arrays = parts(path.read_bytes())
    names = [entry["class"] for entry in model["modules"]]
    assert any("." in name for name in names)
    model["modules"][-1]["class"] = "os.path"
    path.write_bytes(joined(header, model, arrays))
    with pytest.raises(FileFormatError, match=r"no class 'os\.path'"):
        nn.load(path)
