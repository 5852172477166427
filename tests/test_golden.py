"""Everything that Torch7 answered, this package answers: outputs, gradients, parameters' gradients."""

import golden_cases
import numpy as np
import pytest
from golden_cases import load, supported, with_zeros
from tolerances import assert_trees_close
from trees import as_lists, nesting, tree_map

DTYPES = (np.float64, np.float32)
SCALES = (1.0, 0.5)  # of the first pass, and of those after it

# At least so many cases of each file run: none may drop out silently.
LEAST = {"modules": 169, "criterions": 30, "graphs": 16, "random_graphs": 40, "convolutions": 31}

# Where Torch7 itself accumulates wrongly: gradients of parameters of these are compared in the first pass only.
FAULTS = {
    "LinearWeightNorm": "overwrites gradG, and multiplies what is in gradV already",
    "WeightedEuclidean": "leaves scale out of gradDiagCov for one sample",
    "Cosine": "leaves scale out of a part of gradWeight for one sample",
}


def cases(*files):
    return [pytest.param(case, id=f"{file}-{case.name}") for file in files for case in load(file)
            if supported(case.spec)]  # fmt: skip


def as_type(tree, dtype):
    """A table with its reals in a dtype; indices stay."""
    return tree_map(lambda leaf: leaf.astype(dtype) if leaf.dtype.kind == "f" else leaf, tree)


def built(case, dtype):
    """The module of a case with its parameters set, in a dtype."""
    module = golden_cases.build(case.spec)
    values = case.arrays_at("params")
    parameters = module.parameters()[0]
    assert [p.shape for p in parameters] == [v.shape for v in values]
    for parameter, value in zip(parameters, values, strict=True):
        parameter[...] = value
    return module.type(np.dtype(dtype).name)


def shaped_as(tree, other):
    """A golden table; where the package answers with 0-d arrays, Torch7 had arrays of one element."""
    return tree_map(lambda leaf, like: leaf.reshape(like.shape) if like.ndim == 0 else leaf, tree, other)


@pytest.mark.parametrize("dtype", DTYPES, ids=("float64", "float32"))
@pytest.mark.parametrize("case", cases("modules", "graphs", "random_graphs", "convolutions"))
def test_modules_and_graphs_answer_as_torch7(case, dtype):
    module = built(case, dtype)
    tolerance = golden_cases.tolerance(case.spec)

    def check(got, expected, what):
        expected = as_type(shaped_as(expected, got), dtype)
        assert_trees_close(as_lists(got), as_lists(expected), tolerance, f"{case.name}: {what}")

    module.zeroGradParameters()
    for number, spec in enumerate(case.spec["passes"]):
        at = f"passes/{number}"
        input = as_type(case.input(f"{at}/input", spec), dtype)
        output = module.forward(input)
        check(output, case.get(f"{at}/output"), f"{at}/output")
        grad_output = as_type(shaped_as(case.get(f"{at}/gradOutput"), output), dtype)
        grad_input = module.backward(input, grad_output, SCALES[number > 0])
        assert nesting(grad_input) == nesting(input)
        check(grad_input, with_zeros(case.get(f"{at}/gradInput"), input), f"{at}/gradInput")
        if number == 0 or case.name not in FAULTS:
            check(module.parameters()[1], case.arrays_at(f"{at}/gradParams"), f"{at}/gradParams")
        check_state(module, case, at, check)
    module.evaluate()
    if case.get("evalInput") is not None:
        output = module.forward(as_type(case.input("evalInput", case.spec["passes"][0]), dtype))
        check(output, case.get("evalOutput"), "evalOutput")


def check_state(module, case, at, check):
    """Running statistics, of the modules that have some."""
    for path in case.arrays:
        if path.startswith(f"{at}/state/"):
            place, name = path.split("/")[-2:]
            check(getattr(module.listModules()[int(place)], name), case.get(path), path)


@pytest.mark.parametrize("dtype", DTYPES, ids=("float64", "float32"))
@pytest.mark.parametrize("case", cases("criterions"))
def test_criterions_answer_as_torch7(case, dtype):
    criterion = golden_cases.build(case.spec).type(np.dtype(dtype).name)
    tolerance = golden_cases.tolerance(case.spec)
    input = as_type(case.input("input", case.spec["input"]), dtype)
    target = as_type(case.target, dtype)
    loss = criterion.forward(input, target)
    assert isinstance(loss, float)
    assert_trees_close(np.array([loss], dtype), case.get("loss").reshape(1).astype(dtype), tolerance)
    grad_input = criterion.backward(input, target)
    assert nesting(grad_input) == nesting(input)
    expected = as_type(with_zeros(case.get("gradInput"), input), dtype)
    assert_trees_close(grad_input, expected, tolerance, f"{case.name}: gradInput")


@pytest.mark.parametrize("file", LEAST)
def test_no_golden_case_drops_out(file):
    assert len([case for case in load(file) if supported(case.spec)]) >= LEAST[file]


def test_the_golden_files_are_whole():
    sizes = {file: len(load(file)) for file in LEAST}
    assert sizes == {"modules": 169, "criterions": 30, "graphs": 16, "random_graphs": 40, "convolutions": 31}


def test_a_missing_golden_gradient_stands_for_zeros():
    x = [np.ones(2), (np.ones(3), np.ones(1))]
    filled = with_zeros([np.ones(2)], x)
    assert_trees_close(filled, [np.ones(2), (np.zeros(3), np.zeros(1))], golden_cases.MOVING)
