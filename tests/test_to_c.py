"""Modules written as C: compiled, they answer as in Python to the last bit."""

import os
import pathlib
import shutil
import subprocess

import numpy as np
import pytest
from module_cases import MODULES
from op_cases import draw
from samples import mlp, seed_graph

import pynngraph as nn
from pynngraph import tree
from pynngraph.errors import GraphError, StructureError

ROOT = pathlib.Path(__file__).parent.parent
LIBRARY = ROOT / "build" / "release" / "libpynngraph.a"
COMPILER = shutil.which("cc") or shutil.which("gcc")
FLAGS = ["-std=c11", "-Wall", "-Wextra", "-Wpedantic", "-Werror", "-O1", f"-I{ROOT / 'csrc' / 'include'}"]

pytestmark = pytest.mark.skipif(
    COMPILER is None or not LIBRARY.exists(), reason="needs a C compiler, and the library that make lib builds"
)

DRIVER = """\
#define MODEL_DECLARATIONS
#include "model.c"
#include <stdio.h>
#include <stdlib.h>

static void *take_in(size_t bytes) {
    void *const array = malloc(bytes + 1);
    if (array == NULL || fread(array, 1, bytes, stdin) != bytes)
        exit(3);
    return array;
}

static int check(pnng_status status) {
    if (status != PNNG_OK) {
        fprintf(stderr, "%s: %s", pnng_status_name(status), model_error());
        exit(2);
    }
    return 0;
}

int main(void) {
    check(model_init());
    if (model_memory_used() == 0)
        return 4;
    BODY
    return 0;
}
"""


def driver(ready, *, backward):
    """A program that reads inputs and gradients of outputs, and writes all that comes out."""
    plan, program = ready.plan, ready.lowered.program
    item = ready.lowered.dtype.itemsize
    lines, results = [], []

    def arrays(kind, values, source):
        names = []
        for place, value in enumerate(values):
            if kind.startswith("grad") and program.kinds[value]:
                continue
            size = int(np.prod(plan.shape(value))) * (8 if program.kinds[value] else item)
            names.append(f"{kind}{place}")
            lines.append(f"void *{names[-1]} = {source}({size});")
            if source == "malloc":
                results.append((names[-1], size))
        return names

    call = [*arrays("input", program.inputs, "take_in"), *arrays("output", program.outputs, "malloc")]
    lines.append(f"check(model_forward({', '.join(call + ['7'] * program.draws)}));")
    if backward:
        given = arrays("gradOutput", program.outputs, "take_in") + arrays("gradInput", program.inputs, "malloc")
        lines += ["model_zero_gradients();", f"check(model_backward({', '.join([*given, '1.0'])}));"]
    lines += [f"fwrite({name}, 1, {size}, stdout);" for name, size in results]
    if backward:
        lines += ["const size_t n_parameters = MODEL_PARAMETERS;", "for (size_t k = 0; k < n_parameters; k++)"]
        lines.append(f"fwrite(model_gradient(k), 1, model_parameter_size(k) * {item}, stdout);")
    return DRIVER.replace("BODY", "\n    ".join(lines))


def build(arguments, folder):
    """The program `run` of sources, which give no warning."""
    command = [COMPILER, *FLAGS, "-o", "run", *arguments, "-lm", "-pthread"]
    done = subprocess.run(command, cwd=folder, check=False, capture_output=True, text=True)  # noqa: S603
    assert done.returncode == 0, done.stderr


def compiled(folder, module, input, *, backward=False):
    """The program for a module."""
    nn.to_c(module, input, folder / "model", backward=backward)
    ready = module.clone().unfreeze().execution_apart().prepared(input)
    (folder / "main.c").write_text(driver(ready, backward=backward))
    build(["main.c", "model.c", str(LIBRARY)], folder)
    return folder / "run"


def run(program, arrays, **environment):
    data = b"".join(np.ascontiguousarray(array).tobytes() for array in arrays)
    variables = {**os.environ, **environment}
    done = subprocess.run([program], input=data, capture_output=True, check=False, env=variables)  # noqa: S603
    assert done.returncode == 0, done.stderr
    return done.stdout


def leaves(table):
    return tree.flatten(table)[0]


def in_dtype(input, dtype):
    return tree.map_leaves(lambda leaf: leaf.astype(dtype) if leaf.dtype.kind == "f" else leaf, input)


def conv_net():
    return nn.Sequential(
        nn.SpatialConvolution(2, 4, 3, 3, 1, 1, 1, 1), nn.SpatialBatchNormalization(4), nn.ReLU(),
        nn.SpatialMaxPooling(2, 2, 2, 2), nn.Reshape(36), nn.Linear(36, 3), nn.LogSoftMax(),
    )  # fmt: skip


def char_rnn():
    return nn.Sequential(nn.LookupTable(7, 5), nn.LSTM(5, 6, 2), nn.Bottle(nn.Linear(6, 7)), nn.SoftMax())


NETS = {
    "mlp": (mlp, lambda rng: rng.standard_normal((4, 3))),
    "two-inputs": (seed_graph, lambda rng: [rng.standard_normal((2, 3)) for _ in range(2)]),
    "lstm-cell": (
        lambda: nn.LSTMCell(3, 4),
        lambda rng: [rng.standard_normal((2, 3)), [rng.standard_normal((2, 4)) for _ in range(2)]],
    ),
    "char-rnn": (char_rnn, lambda rng: rng.integers(0, 7, (6, 2))),
    "conv-net": (conv_net, lambda rng: rng.standard_normal((2, 2, 6, 6))),
    "table-ops": (
        lambda: nn.Sequential(nn.ParallelTable().add(nn.Tanh()).add(nn.Identity()), nn.CMulTable(), nn.SplitTable(1),
                              nn.CAddTable()),
        lambda rng: [rng.standard_normal((3, 4)) for _ in range(2)],
    ),
}  # fmt: skip


@pytest.mark.parametrize(("train", "dtype"), [(False, "float32"), (True, "float64")], ids=["evaluation", "training"])
@pytest.mark.parametrize("name", NETS)
def test_answers_and_gradients_are_those_of_python_to_the_last_bit(name, train, dtype, rng, tmp_path):
    build, make = NETS[name]
    module, input = build().type(dtype), in_dtype(make(rng), dtype)
    module.training() if train else module.evaluate()
    program = compiled(tmp_path, module, input, backward=True)
    output = module.forward(input)
    grads = tree.map_leaves(lambda leaf: rng.standard_normal(leaf.shape).astype(dtype), output)
    got = run(program, [*leaves(input), *leaves(grads)])
    module.zeroGradParameters()
    grad_input = module.backward(input, grads)
    wanted = [*leaves(output)]
    wanted += [g for g, x in zip(leaves(grad_input), leaves(input), strict=True) if x.dtype.kind == "f"]
    wanted += [
        cell.grad for cell in module.execution_apart().prepared(input).lowered.cells if cell.grad_store is not None
    ]
    assert got == b"".join(array.tobytes() for array in wanted)


ALL_DRIVER = """\
#include <stdio.h>
#include <stdlib.h>
INCLUDES

static _Alignas(64) unsigned char room[1 << 20];

static void *take_in(size_t bytes) {
    void *const array = malloc(bytes + 1);
    if (array == NULL || fread(array, 1, bytes, stdin) != bytes)
        exit(3);
    return array;
}

static void *at(size_t offset) { return room + offset; }

int main(void) {
    CALLS
    return 0;
}
"""


def test_every_op_answers_as_in_python(rng, tmp_path):
    """Modules that have an op that none before has, in one program."""
    seen = set()
    includes, calls, arrays, expected = [], [], [], []
    for number, row in enumerate(MODULES):
        module, input = row.build().float().evaluate(), draw(row.input, rng)
        input = in_dtype(input, module.type())
        program = module.execution_apart().prepared(input).lowered.program
        ops = {op[0] for op in program.ops}
        if program.hosts or program.draws or seen >= ops:
            continue
        seen |= ops
        nn.to_c(module, input, tmp_path / f"m{number}.c")
        answers = leaves(module.forward(input))
        places = np.cumsum([0, *((answer.nbytes + 63) // 64 * 64 for answer in answers)])
        taken = [f"in{number}_{place}" for place, _ in enumerate(leaves(input))]
        calls += [f"void *{name} = take_in({leaf.nbytes});" for name, leaf in zip(taken, leaves(input), strict=True)]
        arguments = [*taken, *(f"at({place})" for place in places[:-1])]
        includes.append(f'#define M{number}_DECLARATIONS\n#include "m{number}.c"')
        calls.append(f"if (m{number}_init() != PNNG_OK || m{number}_forward({', '.join(arguments)}) != PNNG_OK)")
        calls.append(f'    return fprintf(stderr, "{row.name}: %s", m{number}_error()), 2;')
        calls += [f"fwrite(at({at}), 1, {answer.nbytes}, stdout);" for at, answer in zip(places, answers, strict=False)]
        arrays += leaves(input)
        expected += [(row.name, answer) for answer in answers]
    text = ALL_DRIVER.replace("INCLUDES", "\n".join(includes)).replace("CALLS", "\n    ".join(calls))
    (tmp_path / "main.c").write_text(text)
    sources = sorted(path.name for path in tmp_path.glob("*.c"))
    build([*sources, str(LIBRARY)], tmp_path)
    got = run(tmp_path / "run", arrays)
    at = 0
    for name, answer in expected:
        assert got[at : at + answer.nbytes] == answer.tobytes(), name
        at += answer.nbytes
    assert at == len(got)
    assert len(seen) > 50


def test_random_numbers_follow_the_seed(rng, tmp_path):
    module, x = nn.Sequential(nn.Linear(5, 6), nn.Dropout(0.5)), rng.standard_normal((4, 5))
    program = compiled(tmp_path, module, x)
    assert "uint64_t seed);" in (tmp_path / "model.c").read_text()
    first = np.frombuffer(run(program, [x])).reshape(4, 6)
    assert run(program, [x]) == first.tobytes()
    expected = module.get(0).forward(x)
    assert 0 < (first == 0).mean() < 1
    np.testing.assert_array_equal(first[first != 0], 2 * expected[first != 0])


@pytest.mark.parametrize("isa", nn.cpu_info().available)
def test_its_memory_is_enough_on_all_instruction_sets(isa, rng, tmp_path):
    module, x = conv_net().training(), rng.standard_normal((2, 2, 6, 6))
    program = compiled(tmp_path, module, x, backward=True)
    assert run(program, [x, rng.standard_normal((2, 3))], PYNNGRAPH_ISA=isa)


def test_too_little_memory_is_told(rng, tmp_path):
    x = rng.standard_normal((4, 3))
    compiled(tmp_path, mlp(), x)
    build(["-DMODEL_MEMORY=2048", "main.c", "model.c", str(LIBRARY)], tmp_path)
    done = subprocess.run([tmp_path / "run"], input=x.tobytes(), capture_output=True, check=False)  # noqa: S603
    assert done.returncode == 2
    assert b"PNNG_ERROR_MEMORY: MODEL_MEMORY is too small" in done.stderr


class Twice(nn.Module):
    def updateOutput(self, input):
        return 2 * input


def test_what_there_is_no_c_for_is_refused(tmp_path):
    with pytest.raises(GraphError, match="runs in Python, which there is no C for"):
        nn.to_c(Twice(), np.ones(2), tmp_path / "x.c")
    for name in ("1x", "a-b", "double", "pnng_x"):
        with pytest.raises(StructureError, match="one that C allows"):
            nn.to_c(nn.Tanh(), np.ones(2), tmp_path / f"{name}.c")
    assert not list(tmp_path.iterdir())


def test_numbers_are_written_to_the_last_bit(tmp_path):
    values = np.array([np.inf, -np.inf, np.nan, -0.0, 5e-324, 1 / 3, 1e308], np.float64)
    module = nn.Sequential(nn.Linear(1, 1))
    module.add(nn.CMul(7))
    module.get(1).weight = values
    module = module.get(1)
    got = np.frombuffer(run(compiled(tmp_path, module, np.ones(7)), [np.ones(7)]))
    np.testing.assert_array_equal(got.view(np.int64)[3:], values.view(np.int64)[3:])
    np.testing.assert_array_equal(got, values)
