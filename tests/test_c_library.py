"""Models that Python saves, in C: the same numbers from the loader in the engine and from the programs in examples/."""

from __future__ import annotations

# ruff: noqa: S603, S607 - the compilers and programs that are named here
import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from pynngraph._pynngraph import ffi, lib

import pynngraph as nn
from pynngraph import errors

ROOT = Path(__file__).resolve().parent.parent
EXAMPLES = ROOT / "examples"


# ---- the loader -----------------------------------------------------------------------------------


class Model:
    """A model in C, its arrays as NumPy's."""

    def __init__(self, path, *, mode=lib.PNNG_MODEL_EVALUATE, batch=None):
        out = ffi.new("pnng_model **")
        status = lib.pnng_model_load(os.fsencode(path), ffi.NULL, out)
        self.model = ffi.gc(out[0], lib.pnng_model_free)
        self.check(status)
        shapes = ffi.NULL
        count = lib.pnng_model_count(self.model, lib.PNNG_SLOT_INPUT)
        if batch is not None:
            shapes = ffi.new("pnng_shape[]", count)
            for k in range(count):
                shapes[k] = self.info(lib.PNNG_SLOT_INPUT, k).shape
                shapes[k].dim[0] = batch
        self.check(lib.pnng_model_prepare(self.model, mode, shapes, count, lib.PNNG_PLAN_BACKWARD))

    def check(self, status):
        assert status == lib.PNNG_OK, ffi.string(lib.pnng_model_error(self.model)).decode()

    def info(self, group, index):
        info = ffi.new("pnng_array_info *")
        self.check(lib.pnng_model_info(self.model, group, index, info))
        return info

    def names(self, group):
        return [ffi.string(self.info(group, k).name).decode() for k in range(lib.pnng_model_count(self.model, group))]

    def array(self, group, which=0):
        index = lib.pnng_model_find(self.model, group, which.encode()) if isinstance(which, str) else which
        assert index >= 0
        info = self.info(group, index)
        dtype = np.float64 if lib.pnng_model_dtype(self.model) == lib.PNNG_F64 else np.float32
        dtype = np.dtype(np.int64 if info.kind == lib.PNNG_INDEX else dtype)
        shape = tuple(info.shape.dim[d] for d in range(info.shape.ndim))
        data = lib.pnng_model_array(self.model, group, index)
        assert data != ffi.NULL
        return np.frombuffer(ffi.buffer(data, info.count * dtype.itemsize), dtype).reshape(shape)

    def forward(self, *inputs):
        for k, x in enumerate(inputs):
            self.array(lib.PNNG_SLOT_INPUT, k)[...] = x
        self.check(lib.pnng_model_forward(self.model, 0))
        return self.array(lib.PNNG_SLOT_OUTPUT)

    def backward(self, gradient):
        self.array(lib.PNNG_SLOT_GRAD_OUTPUT)[...] = gradient
        self.check(lib.pnng_model_backward(self.model, 1, lib.PNNG_GRAD_INPUTS | lib.PNNG_GRAD_PARAMS))
        return self.array(lib.PNNG_SLOT_GRAD_INPUT)


@pytest.mark.parametrize("path", sorted((ROOT / "tests/c/models").glob("*.safetensors")), ids=lambda path: path.stem)
@pytest.mark.parametrize("mode", [lib.PNNG_MODEL_EVALUATE, lib.PNNG_MODEL_TRAIN])
def test_the_models_that_fuzzing_damages_are_good_ones(path, mode):
    Model(path, mode=mode)


def _normalised():
    return nn.Sequential(nn.Linear(4, 6), nn.BatchNormalization(6), nn.ReLU(), nn.Linear(6, 3), nn.LogSoftMax())


def _planes():
    return nn.Sequential(
        nn.SpatialConvolution(2, 3, 3, 3), nn.Tanh(), nn.SpatialMaxPooling(2, 2, 2, 2), nn.Reshape(12), nn.Linear(12, 2)
    )


def _shared():
    inner = nn.Linear(3, 3)
    return nn.Sequential(inner, nn.Tanh(), inner)


CASES = {
    "normalised": (_normalised, (7, 4)),
    "planes": (_planes, (3, 2, 6, 6)),
    "no parameters": (lambda: nn.Sequential(nn.Tanh(), nn.SoftMax()), (2, 5)),
    "shared": (_shared, (2, 3)),
}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("train", [False, True])
@pytest.mark.parametrize("case", CASES)
def test_a_saved_net_gives_the_same_numbers_in_c(case, train, dtype, tmp_path):
    make, shape = CASES[case]
    rng = np.random.default_rng(3)
    net = make().type(dtype)
    x = rng.standard_normal(shape).astype(dtype)
    nn.save(tmp_path / "m.safetensors", net, input=x)
    mode = lib.PNNG_MODEL_TRAIN if train else lib.PNNG_MODEL_EVALUATE
    for batch in (len(x), len(x) + 2):
        net = nn.load(tmp_path / "m.safetensors")
        net.training() if train else net.evaluate()
        x = rng.standard_normal((batch, *shape[1:])).astype(dtype)
        model = Model(tmp_path / "m.safetensors", mode=mode, batch=batch)
        y = net.forward(x)
        np.testing.assert_array_equal(model.forward(x), y)
        gradient = rng.standard_normal(y.shape).astype(dtype)
        np.testing.assert_array_equal(model.backward(gradient), net.backward(x, gradient))
        for array in _arrays(net):
            name, data, grad = array
            np.testing.assert_array_equal(model.array(lib.PNNG_SLOT_PARAM, name), data, name)
            if grad is not None:
                np.testing.assert_array_equal(model.array(lib.PNNG_SLOT_GRAD_PARAM, name), grad, name)


def _arrays(net):
    """Names, arrays and gradients of a sequence's modules, each under the first name that it has."""
    seen = set()
    for place, module in enumerate(net.modules):
        for name in ("weight", "bias", "running_mean", "running_var"):
            data = getattr(module, name, None)
            if data is not None and id(module) not in seen:
                yield f"{place}.{name}", data, getattr(module, f"grad{name.capitalize()}", None)
        seen.add(id(module))


def test_inputs_and_outputs_have_the_names_of_their_nodes(tmp_path):
    words, scale = nn.Identity()().annotate(name="words"), nn.Identity()()
    hidden = nn.Sum(1)(nn.LookupTable(10, 4)(words))
    net = nn.gModule([words, scale], [nn.CMulTable()([hidden, scale]).annotate(name="answer"), nn.Tanh()(hidden)])
    x = [np.array([[1, 2, 3], [0, 9, 9]]), np.ones((2, 4))]
    nn.save(tmp_path / "m.safetensors", net, input=x)
    model = Model(tmp_path / "m.safetensors")
    assert model.names(lib.PNNG_SLOT_INPUT) == ["words", "input1"]
    assert model.names(lib.PNNG_SLOT_OUTPUT) == ["answer", "output1"]
    assert model.info(lib.PNNG_SLOT_INPUT, 0).kind == lib.PNNG_INDEX
    wanted = net.evaluate().forward(x)
    np.testing.assert_array_equal(model.forward(*x), wanted[0])
    np.testing.assert_array_equal(model.array(lib.PNNG_SLOT_OUTPUT, "output1"), wanted[1])


def test_names_that_stand_twice_are_not_used(tmp_path):
    nodes = [nn.Identity()().annotate(name="same") for _ in range(2)]
    net = nn.gModule(nodes, [nn.CAddTable()(nodes)])
    nn.save(tmp_path / "m.safetensors", net, input=[np.ones((2, 2)), np.ones((2, 2))])
    assert Model(tmp_path / "m.safetensors").names(lib.PNNG_SLOT_INPUT) == ["input0", "input1"]


def test_what_c_saves_loads_in_python(tmp_path):
    net = _normalised().double()
    x = np.random.default_rng(1).standard_normal((7, 4))
    nn.save(tmp_path / "m.safetensors", net, input=x)
    model = Model(tmp_path / "m.safetensors", mode=lib.PNNG_MODEL_TRAIN)
    y = model.forward(x)
    model.backward(np.ones_like(y))
    model.check(lib.pnng_model_sgd(model.model, 0.1, 0.9, 0))
    model.check(lib.pnng_model_save(model.model, os.fsencode(tmp_path / "new.safetensors")))
    net.training()
    net.zeroGradParameters()
    net.forward(x)
    net.backward(x, np.ones_like(y))
    net.updateParameters(0.1)
    again = nn.load(tmp_path / "new.safetensors")
    np.testing.assert_array_equal(again.evaluate().forward(x), net.evaluate().forward(x))


def test_a_file_without_programs_says_how_to_get_them(tmp_path):
    nn.save(tmp_path / "m.safetensors", nn.Linear(2, 2))
    with pytest.raises(AssertionError, match=r"at byte \d+: the model holds no program: .* given an input"):
        Model(tmp_path / "m.safetensors")


def test_a_part_in_python_is_named_when_it_is_saved(tmp_path):
    class Twice(nn.Module):
        def updateOutput(self, input):
            return 2 * input

    net = nn.Sequential(nn.Linear(2, 2), Twice())
    with pytest.raises(errors.GraphError, match="Twice"):
        nn.save(tmp_path / "m.safetensors", net, input=np.ones((1, 2)))


# ---- the programs ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def build(tmp_path_factory):
    """A function that compiles an example with what pkg-config tells, and gives the program's path."""
    for tool in ("cmake", "cc", "pkg-config"):
        if not shutil.which(tool):
            pytest.skip(f"the library's programs need {tool}")
    folder = tmp_path_factory.mktemp("library")
    release = ROOT / "build" / "release"
    plain = {key: value for key, value in os.environ.items() if not key.startswith("MAKE")}
    for command in (
        ["cmake", "-S", ROOT, "-B", release],
        ["cmake", "--build", release, "--parallel", "2", "--target", "pynngraph", "pynngraph_static"],
        ["cmake", "--install", release, "--prefix", folder],
    ):
        subprocess.run(command, check=True, capture_output=True, env=plain)
    (config,) = folder.rglob("pynngraph.pc")
    for shared in config.parent.parent.glob("libpynngraph.so*"):
        shared.unlink()
    flags = subprocess.run(
        ["pkg-config", f"--define-variable=prefix={folder}", "--cflags", "--libs", "--static", "pynngraph"],
        check=True, capture_output=True, text=True, env={**os.environ, "PKG_CONFIG_PATH": str(config.parent)},
    ).stdout.split()  # fmt: skip

    def compiled(source):
        program = folder / f"{source.stem}{source.suffix[1:]}"
        compiler = ["c++", "-std=c++17"] if source.suffix == ".cpp" else ["cc", "-std=c11"]
        if not shutil.which(compiler[0]):
            pytest.skip(f"{source.name} needs {compiler[0]}")
        subprocess.run([*compiler, source, "-o", program, *flags], check=True)
        return program

    return compiled


def _output(*command):
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def test_infer_prints_what_python_computes(build, tmp_path):
    net = _normalised().float().evaluate()
    x = np.random.default_rng(2).standard_normal((5, 4)).astype(np.float32)
    nn.save(tmp_path / "m.safetensors", net, input=x)
    np.savetxt(tmp_path / "x.csv", x, "%.9g", ",")
    text = _output(build(EXAMPLES / "c" / "infer.c"), tmp_path / "m.safetensors", tmp_path / "x.csv")
    printed = np.array([line.split(",") for line in text.split()], np.float32)
    # A batch of one row may be summed in another order.
    np.testing.assert_allclose(printed, net.forward(x), rtol=1e-5, atol=1e-6)


def test_infer_reports_a_damaged_file(build, tmp_path):
    (tmp_path / "m.safetensors").write_bytes(b"\x10" + bytes(7) + b"{")
    done = subprocess.run(
        [build(EXAMPLES / "c" / "infer.c"), tmp_path / "m.safetensors", EXAMPLES / "c" / "data.csv"],
        check=False, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr.startswith("PNNG_ERROR_FORMAT: at byte 0: ")


def test_train_does_what_python_does(build, tmp_path):
    tuned = tmp_path / "tuned.safetensors"
    text = _output(
        build(EXAMPLES / "c" / "train.c"), EXAMPLES / "c" / "net.safetensors", EXAMPLES / "c" / "data.csv", tuned, "20"
    )
    losses = [float(line.split()[-1]) for line in text.splitlines()]
    data = np.loadtxt(EXAMPLES / "c" / "data.csv", np.float32, delimiter=",")
    net = nn.load(EXAMPLES / "c" / "net.safetensors").training()
    criterion = nn.MSECriterion().float()
    parameters, gradients = net.getParameters()
    state = {}

    def epoch():
        total = 0.0
        for first in range(0, len(data), 16):
            x, target = data[first : first + 16, :2], data[first : first + 16, 2:]

            def loss(_, x=x, target=target):
                net.zeroGradParameters()
                value = criterion.forward(net.forward(x), target)
                net.backward(x, criterion.backward(net.output, target))
                return value, gradients

            _, (value,) = nn.optim.adam(loss, parameters, {"learningRate": 1e-2}, state)
            total += value
        return total / 4

    mine = [epoch() for _ in range(20)]
    assert losses[-1] < losses[0] / 2
    np.testing.assert_allclose(losses, [mine[0], mine[-1]], rtol=1e-4)
    np.testing.assert_allclose(nn.load(tuned).getParameters()[0], parameters, rtol=1e-3, atol=1e-5)


def test_realtime_counts_what_it_needs(build):
    text = _output(build(EXAMPLES / "c" / "realtime.c"), EXAMPLES / "c" / "net.safetensors", "1e9")
    assert "deadline of 1e+09 missed: 0" in text
    heap, arena = (int(word) for word in text.splitlines()[0].replace(",", "").split() if word.isdigit())
    assert 2628 < heap < 1 << 20
    assert 0 < arena < 4096


def test_the_wrapper_for_cpp_runs(build):
    net = nn.load(EXAMPLES / "c" / "net.safetensors").evaluate()
    text = _output(build(EXAMPLES / "cpp" / "infer.cpp"), EXAMPLES / "c" / "net.safetensors")
    wanted = net.forward(np.ones((2, 2), np.float32)).reshape(-1)
    np.testing.assert_allclose([float(word) for word in text.split()], wanted, rtol=1e-4)


def test_programs_are_short():
    for program in [*EXAMPLES.glob("c/*.c"), *EXAMPLES.glob("cpp/*")]:
        if program.name != "embed.c":
            assert len(program.read_text().splitlines()) < 100, program
