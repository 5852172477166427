"""Every instruction set that the machine offers gives the same answers, each within an op's class."""

from functools import cache
from pathlib import Path

import pytest
from op_cases import OP_CASES
from op_runner import run_all
from samples import python
from tolerances import EXACT, assert_close

import pynngraph as nn

ISAS = nn.cpu_info().available
CASES = {case.name: case for case in OP_CASES}


@pytest.fixture(scope="module")
def answers(tmp_path_factory):
    """What the rows of op_cases.py give on an instruction set."""
    folder = tmp_path_factory.mktemp("isa")

    @cache
    def run(isa):
        return run_all(folder / f"{isa}.npz", PYNNGRAPH_ISA=isa)

    return run


@pytest.mark.parametrize("isa", ISAS)
def test_an_instruction_set_can_be_asked_for(isa):
    done = python("-c", "import pynngraph as nn; print(nn.cpu_info().isa)", PYNNGRAPH_ISA=isa)
    assert done.stdout.strip() == isa, done.stderr


@pytest.mark.parametrize("isa", [isa for isa in ISAS if isa != "scalar"])
def test_instruction_sets_agree_within_the_class_of_an_op(isa, answers):
    expected, got = answers("scalar"), answers(isa)
    assert got.keys() == expected.keys()
    for key, array in expected.items():
        case, _, kind, _ = key.split("/")
        tolerance = CASES[case].forward if kind == "output" else CASES[case].backward
        assert_close(got[key], array, tolerance, what=key)


def test_exact_ops_are_among_those_compared():
    assert sum(case.forward is EXACT for case in OP_CASES) >= len(OP_CASES) // 3


def cache_of_linux(level):
    """Bytes of the data cache of this level, as Linux lists it; None where it does not."""
    for folder in Path("/sys/devices/system/cpu/cpu0/cache").glob("index*"):
        if (folder / "type").read_text().strip() != "Instruction" and int((folder / "level").read_text()) == level:
            return int((folder / "size").read_text().strip().removesuffix("K")) * 1024
    return None


@pytest.mark.parametrize(("level", "field"), [(1, "l1d_bytes"), (2, "l2_bytes"), (3, "l3_bytes")])
def test_cache_sizes_are_those_that_linux_lists(level, field):
    listed = cache_of_linux(level)
    if listed is None:
        pytest.skip("the system does not list its caches")
    assert getattr(nn.cpu_info(), field) == listed


USE = "import numpy, pynngraph as nn; nn.Tanh().forward(numpy.ones(3))"
UNAVAILABLE = [isa for isa in ("neon", "avx512", "avx2") if isa not in ISAS]


@pytest.mark.parametrize("isa", ["abacus", "AVX1024", *UNAVAILABLE])
@pytest.mark.parametrize("code", [USE, "import pynngraph as nn; nn.cpu_info()"], ids=("forward", "cpu_info"))
def test_an_instruction_set_that_cannot_be_had_is_an_error(isa, code):
    guarded = f"import pynngraph\ntry:\n    {code}\nexcept pynngraph.errors.Error as e:\n    print(e)"
    done = python("-c", guarded, PYNNGRAPH_ISA=isa)
    assert done.returncode == 0, done.stderr
    assert "PYNNGRAPH_ISA" in done.stdout
    assert isa in done.stdout
    assert all(available in done.stdout for available in ISAS)
