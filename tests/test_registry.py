"""What has no case does not exist: ops, modules and criterions without a row fail here."""

import inspect

import module_cases
import pytest
from op_cases import EXEMPT, OP_CASES

import pynngraph as nn
from pynngraph._engine import OPS


def test_every_op_of_the_registry_has_a_row():
    assert {case.op for case in OP_CASES} | EXEMPT.keys() == OPS.keys()


def test_exempt_ops_have_no_row():
    assert not {case.op for case in OP_CASES} & EXEMPT.keys()


def test_rows_have_the_attributes_that_the_registry_asks_for():
    for case in OP_CASES:
        info = OPS[case.op]
        assert info.min_inputs <= len(case.inputs)
        assert info.max_inputs in (-1, *range(len(case.inputs), 100))
        assert info.n_ints in (-1, len(case.ints))
        assert info.n_nums == len(case.nums)
        assert info.n_outputs == case.n_outputs


def exported(base):
    """The classes of a kind that the package exports."""
    return {thing for thing in vars(nn).values() if inspect.isclass(thing) and issubclass(thing, base)}


@pytest.mark.parametrize("base", [nn.Module, nn.Criterion])
def test_every_exported_class_has_a_case(base):
    covered = {type(case.build()) for case in (*module_cases.MODULES, *module_cases.OTHERS, *module_cases.CRITERIONS)}
    inside = {type(module) for case in module_cases.MODULES for module in case.build().listModules()}
    covered |= inside & module_cases.INSIDE
    missing = exported(base) - covered - module_cases.BASES
    assert not missing, f"no row in op_cases.py or module_cases.py: {missing}"


def test_base_classes_are_exempt_and_nothing_else():
    assert exported(nn.Module) | exported(nn.Criterion) >= module_cases.BASES
    assert {base.__name__ for base in module_cases.BASES} == {"Module", "Container", "Criterion"}


def test_the_names_of_cases_are_distinct():
    for cases in (OP_CASES, module_cases.MODULES, module_cases.CRITERIONS):
        names = [case.name for case in cases]
        assert len(set(names)) == len(names)
