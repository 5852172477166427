"""The C program that runs the rows of op_cases.py where there is no Python: here, on all that this machine can do."""

import os
import pathlib
import shutil
import struct
import subprocess

import cases_file
import pytest
from op_cases import OP_CASES

import pynngraph as nn

ROOT = pathlib.Path(__file__).parent.parent
LIBRARY = ROOT / "build" / "release" / "libpynngraph.a"
COMPILER = shutil.which("cc") or shutil.which("gcc")

pytestmark = pytest.mark.skipif(
    COMPILER is None or not LIBRARY.exists(), reason="needs a C compiler, and the library that make lib builds"
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Where the program and its cases are."""
    path = tmp_path_factory.mktemp("cases")
    flags = ["-std=c11", "-O1", "-Wall", "-Wextra", "-Wpedantic", "-Werror", f"-I{ROOT / 'csrc' / 'include'}"]
    files = ["-o", str(path / "run"), str(ROOT / "tests" / "c" / "run_cases.c"), str(LIBRARY)]
    subprocess.run([COMPILER, *flags, *files, "-lm", "-pthread"], check=True)  # noqa: S603 - see above
    cases_file.write(path / "cases")
    return path


def run(folder, data=None, **environment):
    path = folder / "cases"
    if data is not None:
        path = folder / "other"
        path.write_bytes(data)
    command = [folder / "run", path]
    return subprocess.run(  # noqa: S603 - made above
        command, capture_output=True, text=True, check=False, env={**os.environ, **environment}
    )


@pytest.mark.parametrize("isa", nn.cpu_info().available)
def test_all_cases_pass(folder, isa):
    done = run(folder, PYNNGRAPH_ISA=isa)
    assert done.stdout == f"{2 * len(OP_CASES)} cases on {isa}, 0 failed\n"
    assert done.returncode == 0


def test_a_wrong_answer_is_seen(folder):
    case = next(case for case in OP_CASES if case.op == "tanh")
    cases_file.write(folder / "one", [case])
    data = (folder / "one").read_bytes()
    # The last number of the file is the last gradient of the second dtype's case.
    (last,) = struct.unpack("<d", data[-8:])
    done = run(folder, data[:-8] + struct.pack("<d", last + 0.01))
    assert done.returncode == 1
    assert f"{case.name}, float32: gradient 0, element 34 is" in done.stdout
    assert "2 cases on" in done.stdout
    assert "1 failed" in done.stdout


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda data: data[:-8], "the file ends too early"),
        (lambda data: data + b"more", "something follows the last case"),
        (lambda data: b"X" + data[1:], "the file holds no cases"),
        (lambda data: data[:8] + b"\xff" * 8 + data[16:], "a number of things is out of range"),
    ],
)
def test_a_damaged_file_is_told(folder, damage, message):
    done = run(folder, damage((folder / "cases").read_bytes()))
    assert done.returncode == 2
    assert message in done.stderr
