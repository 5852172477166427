"""Plans with steps made one and without, from Python: the same bits on every instruction set.

As a script it runs a number of nets and writes all that they give to a file: python test_fusion.py FILE
"""

import io
import sys

import numpy as np
import pytest
from samples import python
from tolerances import EXACT, SUMS, assert_close, assert_trees_close

import pynngraph as nn
from pynngraph._engine import OPS
from pynngraph.nn.transfer import Unary


class Root(Unary, op="root"):
    """What distances end with, which has no module of its own."""

    def numbers(self):
        return (0.25,)


FUNCTIONS = {
    "Power": lambda: nn.Power(2),
    "Threshold": lambda: nn.Threshold(0.1, 0.2),
    "LeakyReLU": lambda: nn.LeakyReLU(0.1),
}
SHAPES = [(1, 3, 40), (5, 20, 7), (70, 33, 64), (3000, 4, 30)]
X = np.linspace(-1, 1, 12).reshape(4, 3)


def functions():
    """Every module that is one op on each element, by name."""
    names = [name for name in nn.__all__ if isinstance(getattr(nn, name), type)]
    found = {name: getattr(nn, name) for name in names if issubclass(getattr(nn, name), Unary)}
    found = {name: FUNCTIONS.get(name, module) for name, module in found.items()}
    found["Root"] = Root
    return {**found, "MulConstant": lambda: nn.MulConstant(0.7), "AddConstant": lambda: nn.AddConstant(0.7)}


def results(function, rows, width, hidden, dtype):
    """All arrays of one forward and backward: a net of two layers, the gradient of the first one's end a sum."""
    nn.manualSeed(1)
    x = nn.Identity()()
    h = function()(nn.Linear(width, hidden)(x))
    net = nn.gModule([x], [nn.CAddTable()([function()(nn.Linear(hidden, 3)(h)), nn.Linear(hidden, 3)(h)])])
    net = net.float() if dtype == np.float32 else net.double()
    input = np.random.default_rng(1).standard_normal((rows, width)).astype(dtype)
    output = net.forward(input)
    return [output, net.backward(input, np.ones_like(output)), *net.parameters()[1]]


def unrolled(rows, width, hidden, dtype):
    """All arrays of one forward and backward of an LSTM: its weights are those of several products."""
    nn.manualSeed(1)
    net = nn.LSTM(width, hidden).type(np.dtype(dtype).name)
    x = np.random.default_rng(1).standard_normal((3, rows, width)).astype(dtype)
    output = net.forward(x)
    return [output, net.backward(x, np.ones_like(output)), *net.parameters()[1]]


# Products, plane by plane, x of y with strides and without, several samples at once, one box after another.
CONVOLUTIONS = {
    "dense": (lambda: nn.SpatialConvolution(3, 18, 3, 3, 1, 1, 1, 1), (2, 3, 9, 11)),
    "single": (lambda: nn.SpatialConvolution(3, 5, 1, 1), (3, 7, 5)),
    "strided": (lambda: nn.SpatialConvolution(3, 5, 3, 3, 2, 2), (2, 3, 9, 11)),
    "small": (lambda: nn.SpatialConvolution(4, 6, 3, 3, 1, 1, 1, 1), (5, 4, 3, 5)),
    "large": (lambda: nn.SpatialConvolution(2, 5, 3, 3, 1, 1, 1, 1), (1, 2, 65, 60)),
    "depthwise": (lambda: nn.SpatialDepthWiseConvolution(3, 2, 3, 3), (2, 3, 9, 11)),
    "full": (lambda: nn.SpatialFullConvolution(3, 4, 4, 4, 2, 2, 1, 1), (2, 3, 9, 11)),
    "one plane": (lambda: nn.SpatialFullConvolution(1, 1, 3, 3, 2, 2), (2, 1, 9, 11)),
    "frames": (lambda: nn.VolumetricConvolution(2, 3, 2, 3, 3), (2, 2, 4, 9, 11)),
}


def convolution_net(convolution, shape, function=nn.Tanh):
    """A function before, whose gradient is the end of that of the convolution, and one behind."""
    convolved = convolution()
    net = nn.Sequential(nn.AddConstant(0.1), function(), convolved, function())
    if len(shape) == 4 and shape[1] == 2:
        net.add(nn.ConcatTable(nn.Identity(), nn.MulConstant(2))).add(nn.CAddTable())
    return net


def convolved(convolution, shape, dtype):
    nn.manualSeed(1)
    net = convolution_net(convolution, shape).type(np.dtype(dtype).name)
    x = np.random.default_rng(1).standard_normal(shape).astype(dtype)
    output = net.forward(x)
    return [output, net.backward(x, np.ones_like(output)), *net.parameters()[1]]


def cell(rows, width, hidden, dtype):
    """All arrays of one forward and backward of an LSTM cell of single modules: a sum of products, and chains."""
    nn.manualSeed(1)
    net = cell_of(width, hidden).type(np.dtype(dtype).name)
    rng = np.random.default_rng(1)
    input = [rng.standard_normal((rows, size)).astype(dtype) for size in (width, hidden, hidden)]
    output = net.forward(input)
    return [*output, *net.backward(input, [np.ones_like(array) for array in output]), *net.parameters()[1]]


def cell_of(width, hidden):
    x, c, h = (nn.Identity()() for _ in range(3))
    sums = nn.CAddTable()([nn.Linear(width, 4 * hidden)(x), nn.Linear(hidden, 4 * hidden)(h)])
    gates = nn.SplitTable(1)(nn.View(-1, 4, hidden)(sums)).split(4)
    i, f, o = (nn.Sigmoid()(gate) for gate in gates[:3])
    kept = nn.CMulTable()([f, c])
    next_c = nn.CAddTable()([kept, nn.CMulTable()([i, nn.Tanh()(gates[3])])])
    return nn.gModule([x, c, h], [next_c, nn.CMulTable()([o, nn.Tanh()(next_c)])])


CELLS = [(1, 3, 1700), (70, 33, 64), (3000, 4, 30)]


def nets():
    """What every net gives, by name, in both number types."""
    for dtype in (np.float32, np.float64):
        for name, (convolution, shape) in CONVOLUTIONS.items():
            yield f"{name} convolution", dtype, convolved(convolution, shape, dtype)
        for shape in CELLS:
            yield f"cell/{shape}", dtype, cell(*shape, dtype)
        for shape in SHAPES[:3]:
            yield f"LSTM/{shape}", dtype, unrolled(*shape, dtype)
        for name, function in functions().items():
            for shape in SHAPES:
                yield f"{name}/{shape}", dtype, results(function, *shape, dtype)


def main(path):
    found = {}
    for name, dtype, arrays in nets():
        found.update({f"{name}/{np.dtype(dtype).name}/{place}": array for place, array in enumerate(arrays)})
    np.savez(path, **found)


def run(path, **variables):
    done = python(__file__, str(path), **variables)
    assert done.returncode == 0, done.stderr
    with np.load(path) as file:
        return {key: file[key] for key in file.files}


def test_every_elementwise_op_is_among_the_functions():
    unary = {op for op, info in OPS.items() if info.family in {"unary_x", "unary_y"}}
    assert {module().op for module in functions().values()} == unary


@pytest.mark.parametrize("isa", nn.cpu_info().available)
@pytest.mark.parametrize("split", ["", "always"])
def test_fused_or_not_every_bit_is_the_same(isa, split, tmp_path):
    variables = {"PYNNGRAPH_ISA": isa, "PYNNGRAPH_SPLIT": split, "PYNNGRAPH_NUM_THREADS": "2" if split else "1"}
    fused = run(tmp_path / "fused.npz", **variables, PYNNGRAPH_FUSE="1")
    plain = run(tmp_path / "plain.npz", **variables, PYNNGRAPH_FUSE="0")
    assert fused.keys() == plain.keys()
    for key, array in fused.items():
        assert np.array_equal(array, plain[key], equal_nan=True), key
        assert array.tobytes() == plain[key].tobytes(), key


STEPS = """
import io
import numpy as np, pynngraph as nn
net = nn.Sequential(nn.Linear(3, 4), nn.Tanh())
found = nn.profile(net, np.zeros((2, 3)), seconds=0.001, file=io.StringIO())
print(sum(row.is_fused for row in found.rows))
"""


@pytest.mark.parametrize(("text", "fused"), [("", "2"), ("1", "2"), ("0", "0")])
def test_a_variable_switches_fusion_off(text, fused):
    assert python("-c", STEPS, PYNNGRAPH_FUSE=text).stdout.strip() == fused


def test_a_value_that_is_none_is_an_error_that_says_so():
    done = python("-c", STEPS, PYNNGRAPH_FUSE="no")
    assert "PYNNGRAPH_FUSE=no cannot be had: it is 0 or 1" in done.stderr


def test_an_lstm_cell_adds_up_its_products_and_goes_through_its_gates_once():
    x = [np.zeros((50, 100), np.float32) for _ in range(3)]
    steps = nn.explain(cell_of(100, 100).float(), x).steps
    forward = [step.text for step in steps if not step.backward]
    assert len(forward) == 3
    assert forward[1].startswith("linear, then add: C += A B'")
    assert "9 steps in pieces of 10 x 100" in forward[2]
    gates = [step.text for step in steps if step.backward and "steps in pieces" in step.text]
    assert len(gates) == 1
    assert "9 steps" in gates[0]


def test_profiles_mark_what_shares_a_step():
    net = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.SoftMax())
    found = nn.profile(net, X, seconds=0.01, file=io.StringIO())
    assert [row.is_fused for row in found.rows] == [True, True, False]
    assert "* shares steps with others" in str(found)


@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_convolutions_end_with_functions(name):
    convolution, shape = CONVOLUTIONS[name]
    net = convolution_net(convolution, shape, nn.ReLU)
    found = nn.profile(net, np.zeros(shape), seconds=0.01, file=io.StringIO())
    assert [row.is_fused for row in found.rows][2:4] == [True, True], str(found)


def test_results_of_inner_modules_can_be_kept():
    x = nn.Identity()()
    linear = nn.Linear(3, 4)
    z = linear(x)
    g = nn.gModule([x], [nn.Tanh()(z)])
    plain = g.forward(X).copy(), g.backward(X, np.ones((4, 4))).copy()
    g.keep().forward(X)
    assert_close(z.output, X @ linear.weight.T + linear.bias, SUMS)
    kept = g.forward(X), g.backward(X, np.ones((4, 4)))
    assert_trees_close(kept, plain, EXACT)


if __name__ == "__main__":
    main(sys.argv[1])
