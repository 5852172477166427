"""The command line: exit codes, what is told, and no stack trace for a user's mistake."""

import errno
import os
import re
import shlex
import shutil
import subprocess
import sys

import numpy as np
import pytest
from golden_cases import GOLDEN
from samples import mlp, python, seed_graph

import pynngraph as nn
from pynngraph import cli
from pynngraph.io.t7 import Record, Table
from pynngraph.io.torch_loader import Loader


@pytest.fixture
def command(capsys, monkeypatch, tmp_path):
    """Run a command in a folder of its own: the exit code, the output, and the errors."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        try:
            code = cli.main(arguments)
        except SystemExit as end:  # argparse's
            code = end.code
        out, err = capsys.readouterr()
        assert "Traceback" not in out + err
        return code, out, err

    return run


def strange():
    return Record("my.Strange", 1, Table([("gradInput", 1.0)]))


@pytest.fixture
def files(tmp_path):
    nn.save(tmp_path / "net.t7", mlp())
    nn.save(tmp_path / "graph.t7", seed_graph())
    nn.save(tmp_path / "graph.safetensors", seed_graph(), input=[np.ones((2, 3))] * 2)
    nn.save(tmp_path / "check.t7", {"epoch": 7, "protos": {"rnn": mlp()}, "losses": [1.5, 2.5], "x": np.ones(3)})
    np.save(tmp_path / "x.npy", np.ones((5, 3), np.float32))
    np.save(tmp_path / "objects.npy", np.array([print]), allow_pickle=True)
    np.save(tmp_path / "complex.npy", np.ones((5, 3), complex))
    nn.save(tmp_path / "weights.npz", mlp())
    nn.save(tmp_path / "odd.t7", nn.Sequential(Loader(1 << 20).load(strange())))
    for name in ("cut.t7", "cut.onnx"):
        (tmp_path / name).write_bytes((tmp_path / "net.t7").read_bytes()[:300])
    (tmp_path / "empty.t7").write_bytes(b"")
    for name in ("folder", "folder.npy"):
        (tmp_path / name).mkdir()


def test_as_a_program():
    done = python("-m", "pynngraph", "info", str(GOLDEN / "t7/seed_add.t7"))
    assert done.returncode == 0, done.stderr
    assert "Linear(3 -> 5)" in done.stdout
    done = python("-m", "pynngraph", "info", "no such file")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("pynngraph: ")
    assert done.stderr.count("\n") == 1


def test_output_that_nobody_reads_is_no_error():
    reader = [sys.executable, "-c", "import sys; sys.stdin.readline()"]
    writer = [sys.executable, "-m", "pynngraph", "info", str(GOLDEN / "t7/lstm_2.t7")]
    with subprocess.Popen(writer, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as one:  # noqa: S603
        subprocess.run(reader, stdin=one.stdout, check=True)  # noqa: S603
        one.stdout.close()
        assert one.wait(60) in (0, 1)
        assert one.stderr.read() == b""


@pytest.mark.parametrize("name", ["", "info", "run", "convert", "draw", "bench", "explain"])
def test_help_has_examples(name, command):
    code, out, _ = command(*filter(None, [name]), "--help")
    assert code == 0
    assert f"python -m pynngraph {name}".strip() in out.split("example")[1]


@pytest.mark.parametrize("arguments", [(), ("fly",), ("run", "x.t7"), ("info",), ("info", "a", "b")])
def test_what_is_no_command_is_exit_code_2(arguments, command):
    code, _, err = command(*arguments)
    assert code == 2
    assert "usage" in err


def test_interrupted_is_exit_code_130(command, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, "load", interrupted)
    assert command("info", "x.t7") == (130, "", "")


@pytest.mark.skipif(sys.platform != "linux", reason="needs /dev/full")
def test_output_that_has_no_place_is_told(tmp_path):
    nn.save(tmp_path / "net.t7", mlp())
    with open("/dev/full", "w") as full:  # noqa: PTH123
        done = subprocess.run(  # noqa: S603
            [sys.executable, "-m", "pynngraph", "info", tmp_path / "net.t7"], stdout=full, stderr=subprocess.PIPE,
            text=True, check=False,
        )  # fmt: skip
    assert (done.returncode, done.stderr) == (1, "pynngraph: [Errno 28] No space left on device\n")


def test_output_that_was_closed_is_no_error(tmp_path):
    nn.save(tmp_path / "net.t7", mlp())
    program = shlex.join([sys.executable, "-m", "pynngraph", "info"])
    for line, code in ((f"{program} {tmp_path}/net.t7 >&-", 0), (f"{program} nothing >&- 2>&-", 1)):
        done = subprocess.run(["sh", "-c", line], capture_output=True, text=True, check=False)  # noqa: S603, S607
        assert (done.returncode, done.stdout, done.stderr) == (code, "", "")


def test_a_terminal_of_few_letters_gets_them_spelled_out(tmp_path, monkeypatch):
    nn.save(tmp_path / "x.t7", {"caf\u00e9": 1})
    done = python("-m", "pynngraph", "info", str(tmp_path / "x.t7"), PYTHONIOENCODING="ascii")
    assert (done.returncode, done.stderr) == (0, "")
    assert "caf\\xe9: 1" in done.stdout


@pytest.mark.usefixtures("files")
@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("info nothing.t7", "No such file"),
        ("info folder", "Is a directory"),
        ("info empty.t7", "empty.t7: at byte 0: neither a .t7 file"),
        ("info cut.t7", "cut.t7: at byte"),
        ("info x.npy", "neither a .t7 file"),
        ("info check.t7 --key protos.cnn", "has no 'cnn' in protos: there is rnn"),
        ("info check.t7 --key epoch.x", "there is nothing"),
        ("info net.t7 --input 99999999999x3", "Unable to allocate"),
        ("run odd.t7 --input 2x3 --output y.npy", "cannot run: there is no class my.Strange"),
        ("run check.t7 --input x.npy --output y.npy", "give --key protos.rnn"),
        ("run weights.npz --input x.npy --output y.npy", "holds a dict of 4, no model\n"),
        ("run net.t7 --output y.npy", "give the sizes of the input"),
        ("run net.t7 --input 5x4 --output y.npy", "Linear(3 -> 4)"),
        ("run net.t7 --input 99999999999x3 --output y.npy", "Unable to allocate"),
        ("run net.t7 --input 99999999999999999999x3 --output y.npy", "x3: there are no such arrays"),
        (f"run net.t7 --input {'1x' * 64}3 --output y.npy", "there are no such arrays"),
        ("run net.t7 --input 5x3:0 --output y.npy", "5x3:0: there are no such arrays"),
        ("run net.t7 --input 5x3:99999999999999999999 --output y.npy", "there are no such arrays"),
        ("run net.t7 --input 5x3:7 --output y.npy", "expects arrays of float64, got integers"),
        ("run net.t7 --input x.npy --input x.npy --output y.npy", "got a list of 2 arrays"),
        ("run net.t7 --input x.npy --output no/y.npy", "No such file or directory: 'no/y.npy'"),
        ("run net.t7 --input x.npy --output folder.npy", "Is a directory"),
        ("run net.t7 --input x.npy --output y.txt", "--output takes a .npy or .npz file"),
        ("run net.t7 --input nothing.npy --output y.npy", "there is none called 'nothing.npy'"),
        ("run net.t7 --input net.t7 --output y.npy", "--input net.t7: no .npy file of numbers"),
        ("run net.t7 --input empty.t7 --output y.npy", "--input empty.t7: no .npy file of numbers"),
        ("run net.t7 --input objects.npy --output y.npy", "--input objects.npy: no .npy file of numbers"),
        ("run net.t7 --input complex.npy --output y.npy", "real numbers is wanted, got one of complex128"),
        ("convert net.t7 net.xyz", "the ending of a file"),
        ("convert net.t7 no/net.t7", "No such file or directory: 'no/net.t7'"),
        ("convert net.t7 net.safetensors --ascii", "--ascii is a form of .t7 files"),
        ("convert net.t7 net.onnx", "give the sizes of the input"),
        ("convert check.t7 c.safetensors --input 5x3", "no model that an input could be for"),
        ("convert check.t7 c.c", "give --key protos.rnn"),
        ("convert check.t7 c.onnx", "give --key protos.rnn"),
        ("convert check.t7 c.npz", "parameters of a module, or a dict of arrays"),
        ("draw net.t7 -o net.svg", "no graph"),
        ("draw graph.t7 -o net.jpeg", "--output takes one of .svg, .png"),
        ("draw graph.t7 -o no/net.dot", "No such file"),
        ("bench net.t7 --input 1x3 --batch many", "--batch takes sizes"),
        ("bench net.t7 --input 1x3 --batch 99999999999", "Unable to allocate"),
        ("bench net.t7", "give the sizes of the input"),
        ("explain net.t7", "give the sizes of the input"),
        ("explain net.t7 --input 5x4", "expects 3 features"),
        ("info nothing.onnx", "No such file"),
        ("info cut.onnx", "no ONNX model"),
    ],
)
def test_a_mistake_is_told_in_one_line(line, says, command):
    if "onnx" in line:
        pytest.importorskip("onnx")
    code, out, err = command(*line.split())
    assert (code, out) == (1, "")
    assert err.startswith("pynngraph: ")
    assert err.count("\n") <= 2
    assert says in err


@pytest.mark.usefixtures("files")
def test_a_file_that_may_not_be_read_or_written_is_told(command, tmp_path, monkeypatch):
    real = os.open

    def refused(path, *rest, **options):  # as of somebody who is not root
        raise PermissionError(errno.EACCES, "Permission denied", path)

    monkeypatch.setattr(os, "open", refused)
    assert command("convert", "net.t7", "other.t7")[2] == "pynngraph: [Errno 13] Permission denied: 'other.t7'\n"
    monkeypatch.setattr(os, "open", real)
    (tmp_path / "net.t7").chmod(0)
    if not os.access("net.t7", os.R_OK):  # root may
        assert command("info", "net.t7")[2] == "pynngraph: [Errno 13] Permission denied: 'net.t7'\n"


@pytest.mark.usefixtures("files")
def test_without_the_package_onnx_it_is_told(command, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnx", None)
    for line in ("info m.onnx", "convert net.t7 m.onnx --input 2x3"):
        code, _, err = command(*line.split())
        assert (code, err) == (1, "pynngraph: this needs the package onnx: pip install pynngraph[onnx]\n")


def lines_of_examples():
    return [line.split("python -m pynngraph ")[1] for line in cli.EXAMPLES.splitlines() if "python -m" in line]


@pytest.mark.parametrize("line", lines_of_examples())
def test_every_example_of_the_help_does_what_it_says(line, command, monkeypatch):
    """With models of the sizes that they name."""
    if ".onnx" in line:
        pytest.importorskip("onnx")
    monkeypatch.setattr(cli, "SECONDS", 0.001)
    sizes = re.search(r"--input (?:\d+x)+(\d+)", line)
    width = int(sizes[1]) if sizes else 3
    x = nn.Identity()()
    nn.save("model.t7", nn.gModule([x], [nn.Tanh()(x)]))
    nn.save("checkpoint.t7", {"protos": {"rnn": nn.Linear(width, 2)}})
    np.save("x.npy", np.ones((2, width)))
    with_picture = line.startswith("draw") and not shutil.which("dot")
    code, _, err = command(*line.split())
    assert (code, "graphviz" in err) == ((1, True) if with_picture else (0, False))


@pytest.mark.usefixtures("files")
class TestCommands:
    def test_info_of_a_model(self, command):
        code, out, _ = command("info", "graph.t7", "--input", "2x3", "--input", "2x3")
        assert code == 0
        assert "[2x3, 2x3] -> 2x5" in out
        assert "inputs: 2; outputs: 1\nmode: training\n" in out
        assert "would not run" not in out

    def test_info_of_a_file_with_an_example_input_has_its_shapes(self, command):
        assert "[2x3, 2x3] -> 2x5" in command("info", "graph.safetensors")[1]

    def test_info_of_data(self, command):
        code, out, _ = command("info", "check.t7")
        assert code == 0
        assert "check.t7: a dict of 4\n" in out
        assert "  epoch: 7\n" in out
        assert "  protos.rnn: Sequential of 3 modules\n" in out
        assert "  x: an array of 3, float64\n" in out
        assert "Linear(3 -> 4)" in command("info", "check.t7", "--key", "protos.rnn")[1]

    def test_info_tells_what_would_not_run(self, command):
        net = Loader(1 << 20).load(strange())
        x = nn.Identity()()
        nn.save("odd.t7", nn.gModule([x], [net(x).annotate(name="odd")]))
        code, out, _ = command("info", "odd.t7")
        assert code == 0
        assert re.search(r"would not run: there is no class my\.Strange here, which odd, my\.Strange at .* needs", out)

    def test_run(self, command):
        code, out, _ = command("run", "net.t7", "--input", "x.npy", "--output", "y.npy")
        assert (code, out) == (0, "y.npy: 5x2\n")
        np.testing.assert_array_equal(np.load("y.npy"), nn.load("net.t7").evaluate().forward(np.ones((5, 3))))

    def test_run_with_several_arrays(self, command):
        x, y = nn.Identity()(), nn.Identity()()
        nn.save("two.t7", nn.gModule([x, y], [nn.nest([x, y]), nn.Tanh()(y)]))
        inputs = ("--input", "x.npy", "--input", "2x2")
        code, _, err = command("run", "two.t7", *inputs, "--output", "y.npy")
        assert code == 1
        assert "give a .npz file" in err
        assert command("run", "two.t7", *inputs, "--output", "y.npz")[0] == 0
        with np.load("y.npz") as file:
            assert sorted(file.files) == ["0.0", "0.1", "1"]

    def test_run_on_indices(self, command):
        nn.save("words.t7", nn.LookupTable(5, 2))
        assert command("run", "words.t7", "--input", "3x4:5", "--output", "y.npy")[0] == 0
        assert np.load("y.npy").shape == (3, 4, 2)

    def test_onnx_is_read_and_written(self, command, monkeypatch):
        pytest.importorskip("onnx")
        monkeypatch.setattr(cli, "SECONDS", 0.001)
        assert command("convert", "net.t7", "net.onnx", "--input", "4x3")[0] == 0
        assert "4x3 -> 4x2" in command("info", "net.onnx", "--input", "4x3")[1]
        assert command("run", "net.onnx", "--input", "x.npy", "--output", "y.npy")[:2] == (0, "y.npy: 5x2\n")
        np.testing.assert_allclose(np.load("y.npy"), nn.load("net.t7").forward(np.ones((5, 3))), rtol=1e-5)
        assert "16x3" in command("bench", "net.onnx", "--input", "1x3", "--batch", "16")[1]
        assert "Linear(3 -> 4)" in command("explain", "net.onnx", "--input", "4x3")[1]
        assert command("draw", "net.onnx", "-o", "net.dot")[0] == 0
        assert command("convert", "net.onnx", "again.t7")[0] == 0

    @pytest.mark.parametrize("to", ["new.t7", "new.safetensors", "new.npz"])
    def test_convert(self, to, command):
        code, out, _ = command("convert", "graph.t7", to)
        assert code == 0
        assert out.startswith(f"{to}: gModule")
        loaded = nn.load(to)
        weight = loaded["1.weight"] if to.endswith("npz") else loaded.node(loaded.modules[1]).module.weight
        np.testing.assert_array_equal(weight, nn.load("graph.t7").modules[1].weight)

    def test_convert_to_text_and_with_an_input(self, command):
        assert command("convert", "net.t7", "text.t7", "--ascii")[0] == 0
        with open("text.t7", "rb") as file:  # noqa: PTH123
            assert file.read().isascii()
        assert command("convert", "net.t7", "net.safetensors", "--input", "4x3")[0] == 0
        assert "4x3 -> 4x2" in command("info", "net.safetensors")[1]

    def test_convert_to_c(self, command):
        code, out, _ = command("convert", "net.t7", "model.c", "--input", "4x3")
        assert code == 0
        assert out.startswith("model.c: Sequential")
        with open("model.c") as file:  # noqa: PTH123
            assert "pnng_status model_forward(const double *input0, double *output0);" in file.read()

    def test_draw(self, command):
        assert command("draw", "graph.t7", "-o", "graph.dot")[:2] == (0, "graph.dot\n")
        with open("graph.dot") as file:  # noqa: PTH123
            assert file.read().startswith("digraph")

    def test_bench(self, command, monkeypatch):
        monkeypatch.setattr(cli, "SECONDS", 0.001)
        code, out, _ = command("bench", "net.t7", "--input", "1x3", "--batch", "1,16")
        assert code == 0
        assert [line.split()[0] for line in out.splitlines()] == ["input", "1x3", "16x3"]
        code, out, _ = command("bench", "graph.safetensors", "--batch", "7")
        assert "[7x3, 7x3]" in out

    def test_explain(self, command):
        code, out, _ = command("explain", "net.t7", "--input", "4x3")
        assert code == 0
        assert re.search(r"^f0 +Linear\(3 -> 4\)", out, re.MULTILINE)
