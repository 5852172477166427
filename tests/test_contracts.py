"""What every call promises: checks, errors that help, arrays that are left alone, and one run a call."""

import contextlib
import os
import threading
from pathlib import Path

import numpy as np
import pytest
from samples import address, chain_graph, mlp, normal, python, seed_graph
from tolerances import EXACT, SAME_MATHS, SINGLE, assert_close, assert_trees_close
from trees import nesting, tree_map

import pynngraph as nn
from pynngraph import _engine, errors

X, X_P, ERR = normal(3, 3), normal(3, 3, seed=8), normal(3, 5)


def copies(tree):
    return tree_map(np.copy, tree)


# ---- the input of backward -----------------------------------------------------------------------


@pytest.mark.parametrize("wrong", [X, X_P], ids=("x", "x_p"))
def test_backward_with_one_array_for_a_list_of_two_raises_and_nothing_breaks(wrong):
    g = seed_graph()
    g.forward([X, X_P])
    expected = copies(g.backward([X, X_P], ERR))
    with pytest.raises(errors.StructureError) as raised:
        g.backward(wrong, ERR)
    assert "list of 2 arrays" in str(raised.value)
    assert "one array" in str(raised.value)
    assert_trees_close(g.backward([X, X_P], ERR), expected, EXACT)


def test_forward_with_one_array_for_a_list_of_two_raises_and_nothing_breaks():
    g = seed_graph()
    g.forward([X, X_P])
    with pytest.raises(errors.StructureError, match="list of 2"):
        g.forward(X)
    g.backward([X, X_P], ERR)


@pytest.mark.parametrize(
    "wrong",
    [[X], [X, X_P, X], [X, [X_P]], [[X, X_P]], [], X],
    ids=("one", "three", "nested", "in a list", "none", "bare"),
)
def test_backward_with_another_nesting_raises(wrong):
    g = seed_graph()
    g.forward([X, X_P])
    with pytest.raises(errors.StructureError):
        g.backward(wrong, ERR)


def test_a_list_of_one_array_and_the_array_are_different():
    module = nn.Identity()
    module.forward(X)
    with pytest.raises(errors.StructureError, match="one array"):
        module.backward([X], X)
    module.forward([X])
    with pytest.raises(errors.StructureError, match="list of 1 array"):
        module.backward(X, [X])


@pytest.mark.parametrize("make", [nn.Tanh, mlp, seed_graph], ids=("module", "container", "graph"))
@pytest.mark.parametrize("method", ["backward", "updateGradInput", "accGradParameters"])
def test_backward_before_forward_raises(make, method):
    with pytest.raises(errors.StateError, match="forward"):
        getattr(make(), method)(X, X)


def test_backward_after_clearstate_raises():
    module = nn.Tanh()
    module.forward(X)
    module.clearState()
    with pytest.raises(errors.StateError, match="forward"):
        module.backward(X, X)


def test_backward_with_other_arrays_than_the_forward_raises():
    g = seed_graph()
    g.forward([X, X_P])
    with pytest.raises(errors.DataError):
        g.backward([X_P, X], ERR)
    with pytest.raises(errors.ShapeError):
        g.backward([X[:2], X_P[:2]], ERR)
    assert nesting(g.backward([X, X_P], ERR)) == nesting([X, X_P])


def test_backward_with_equal_copies_is_the_same():
    g = seed_graph()
    g.forward([X, X_P])
    expected = copies(g.backward([X, X_P], ERR))
    assert_trees_close(g.backward([X.copy(), np.asfortranarray(X_P)], ERR), expected, EXACT)


def test_backward_with_equal_copies_that_hold_nan_is_the_same():
    x = np.array([1.0, np.nan])
    module = nn.Identity()
    module.forward(x)
    assert_close(module.backward(x.copy(), np.ones(2)), np.ones(2), EXACT)


def test_backward_may_be_called_again_and_again():
    module = mlp()
    module.forward(X)
    first = copies(module.backward(X, normal(3, 2)))
    assert_close(module.backward(X, normal(3, 2)), first, EXACT)


# ---- gradOutput ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wrong", "error"),
    [([ERR], errors.StructureError), ([ERR, ERR], errors.StructureError), (ERR[:2], errors.ShapeError),
     (ERR.ravel(), errors.ShapeError), (ERR.astype(np.float32), errors.DTypeError), (None, errors.Error)],
    ids=("list", "two", "fewer rows", "other dims", "dtype", "None"),
)  # fmt: skip
def test_B3_gradoutput_is_checked(wrong, error):
    g = seed_graph()
    g.forward([X, X_P])
    expected = copies(g.backward([X, X_P], ERR))
    with pytest.raises(error):
        g.backward([X, X_P], wrong)
    assert_trees_close(g.backward([X, X_P], ERR), expected, EXACT)


def test_B3_gradoutput_of_a_table_is_checked():
    module = nn.ConcatTable().add(nn.Identity()).add(nn.Tanh())
    module.forward(X)
    with pytest.raises(errors.StructureError, match="list of 2 arrays"):
        module.backward(X, X)
    with pytest.raises(errors.StructureError):
        module.backward(X, [X, [X]])


def test_B4_the_number_of_table_entries_may_change():
    for module in (nn.CAddTable(), nn.CMulTable(), nn.CMaxTable(), nn.JoinTable(1), nn.Identity()):
        for count in (2, 3, 1, 5, 2):
            inputs = [normal(2, 3, seed=k) for k in range(count)]
            output = module.forward(inputs)
            assert nesting(module.backward(inputs, output)) == nesting(inputs)
    split = nn.SplitTable(1)
    for count in (2, 4, 1):
        assert len(split.forward(normal(3, count))) == count


def test_B2_inputs_that_do_not_count_get_zeros():
    select = nn.SelectTable(0)
    select.forward([X, (X_P, [ERR])])
    found = select.backward([X, (X_P, [ERR])], X)
    assert_trees_close(found, [X, (np.zeros_like(X_P), [np.zeros_like(ERR)])], EXACT)


# ---- dtypes --------------------------------------------------------------------------------------


def test_float32_into_float64_names_both_fixes():
    with pytest.raises(errors.DTypeError) as raised:
        nn.Linear(3, 2).forward(X.astype(np.float32))
    assert ".astype('float64')" in str(raised.value)
    assert ".float()" in str(raised.value)


def test_float64_into_float32_names_both_fixes():
    with pytest.raises(errors.DTypeError) as raised:
        nn.Linear(3, 2).float().forward(X)
    assert ".astype('float32')" in str(raised.value)
    assert ".double()" in str(raised.value)


def test_integers_where_reals_are_wanted_name_the_fix():
    with pytest.raises(errors.DTypeError, match=r"astype"):
        nn.Linear(3, 2).forward(np.ones((2, 3), int))


def test_the_default_dtype_is_that_of_modules_made_from_then_on():
    before = nn.Linear(3, 2)
    nn.setdefaulttensortype("float32")
    assert nn.Linear(3, 2).forward(X.astype(np.float32)).dtype == np.float32
    assert nn.Tanh().forward(X.astype(np.float32)).dtype == np.float32
    assert before.forward(X).dtype == np.float64
    with pytest.raises(errors.DTypeError):
        nn.setdefaulttensortype("float16")


@pytest.mark.parametrize("name", ["torch.FloatTensor", "float32", np.float32])
def test_type_takes_torchs_names_and_numpys(name):
    assert nn.Linear(3, 2).type(name).weight.dtype == np.float32


# ---- arrays of all sorts -------------------------------------------------------------------------


def read_only(x):
    x = x.copy()
    x.flags.writeable = False
    return x


def strided(x):
    return np.repeat(np.repeat(x, 2, 0), 3, 1)[::2, ::3]


def unaligned(x):
    raw = np.zeros(x.nbytes + 1, np.uint8)
    shifted = raw[1:].view(x.dtype).reshape(x.shape)
    shifted[...] = x
    return shifted


# These work like the plain array.
LIKE_PLAIN = {
    "read-only": read_only,
    "strided": strided,
    "negatively strided": lambda x: x[::-1, ::-1].copy()[::-1, ::-1],
    "Fortran": np.asfortranarray,
    "transposed": lambda x: x.T.copy().T,
    "unaligned": unaligned,
    "broadcast": lambda x: np.broadcast_to(x[:1], x.shape),
    "part of a larger one": lambda x: np.pad(x, 2)[2:-2, 2:-2],
    "of a subclass": lambda x: x.view(type("Mine", (np.ndarray,), {})),
    "no rows": lambda x: x[:0],
    "memory map": lambda x: x.view(np.memmap),
}
# These are errors of ours, or mean the obvious.
ODD = {
    "big-endian": lambda x: x.astype(">f8"),
    "float16": lambda x: x.astype(np.float16),
    "longdouble": lambda x: x.astype(np.longdouble),
    "complex": lambda x: x.astype(complex),
    "object": lambda x: x.astype(object),
    "bool": lambda x: x > 0,
    "text": lambda x: x.astype(str),
    "dates": lambda x: x.astype("M8[s]"),
    "structured": lambda x: np.zeros(3, [("a", float)]),
    "masked": lambda x: np.ma.masked_array(x, x > 0),
    "float": lambda x: 1.5,
    "integer": lambda x: 1,
    "NumPy scalar": lambda x: np.float64(1.5),
    "0-d": lambda x: np.array(1.5),
    "None": lambda x: None,
    "text itself": lambda x: "x",
    "list of floats": lambda x: [1.0, 2.0],
    "empty list": lambda x: [],
    "dict": lambda x: {"x": x},
    "generator": lambda x: (row for row in x),
    "many dims": lambda x: np.ones((1,) * 12),
    "list that holds itself": lambda x: itself(),
}


def itself():
    tree = []
    tree.append(tree)
    return tree


@pytest.mark.parametrize("make", LIKE_PLAIN.values(), ids=LIKE_PLAIN)
@pytest.mark.parametrize("module", [nn.Tanh, mlp, nn.Identity, nn.SoftMax, lambda: nn.Narrow(1, 1, 2)],
                         ids=("Tanh", "mlp", "Identity", "SoftMax", "Narrow"))  # fmt: skip
def test_unusual_arrays_work_like_plain_ones(make, module):
    module = module()
    x = make(X)
    plain = np.array(x)
    expected = module.forward(plain)
    g = make(normal(*expected.shape)) if expected.shape == X.shape else normal(*expected.shape)
    expected_gradient = module.backward(plain, np.array(g))
    before = np.array(x)
    assert_close(module.forward(x), expected, EXACT)
    found = module.backward(x, g)
    assert type(found) is np.ndarray
    assert_close(found, expected_gradient, EXACT)
    assert_close(np.array(x), before, EXACT)


@pytest.mark.parametrize("make", ODD.values(), ids=ODD)
@pytest.mark.parametrize("module", [nn.Tanh, mlp, seed_graph], ids=("Tanh", "mlp", "graph"))
def test_odd_things_work_or_raise_our_errors(make, module):
    module = module()
    good = [X, X_P] if isinstance(module, nn.gModule) else X
    expected = copies(module.forward(good))
    with np.errstate(all="ignore"):
        odd = make(X)
    for input in (odd, [odd, X_P], [X, odd]):
        with contextlib.suppress(errors.Error):
            module.forward(input)
        assert_trees_close(module.forward(good), expected, EXACT)
        with pytest.raises(errors.Error):
            module.backward(good, [odd, odd])
        with pytest.raises(errors.Error):
            module.backward(input, odd)


@pytest.mark.parametrize(
    "odd", ["big-endian", "float16", "longdouble", "object", "bool", "masked", "float", "None", "text itself"]
)
def test_odd_things_in_place_of_reals_say_what_came(odd):
    with pytest.raises(errors.DTypeError) as raised:
        nn.Tanh().forward(ODD[odd](X))
    assert "float64" in str(raised.value) or "filled" in str(raised.value)


@pytest.mark.parametrize("make", [mlp, seed_graph], ids=("container", "graph"))
def test_a_batch_of_none_has_gradients_of_zero(make):
    module = make()
    input = [X[:0], X[:0]] if isinstance(module, nn.gModule) else X[:0]
    module.forward(X if make is mlp else [X, X_P])
    module.zeroGradParameters()
    output = module.forward(input)
    assert len(output) == 0
    assert nesting(module.backward(input, output)) == nesting(input)
    assert not any(g.any() for g in module.parameters()[1])


# ---- arrays that the caller holds ----------------------------------------------------------------


@pytest.mark.parametrize("make", [nn.Tanh, lambda: mlp(3, 3), nn.Identity], ids=("module", "container", "Identity"))
def test_B10_an_output_that_is_held_is_not_overwritten(make):
    module = make()
    held = module.forward(X)
    kept = held.copy()
    module.forward(X_P)
    assert_close(held, kept, EXACT)


@pytest.mark.parametrize("hold", [lambda y: y[0], memoryview, lambda y: [y.T]], ids=("row", "buffer", "T"))
def test_B10_an_output_of_which_a_view_is_held_is_not_overwritten(hold):
    module = nn.Tanh()
    held = hold(module.forward(X))
    kept = np.array(held)
    module.forward(X_P)
    assert_close(np.array(held), kept, EXACT)


def test_B10_a_gradinput_that_is_held_is_not_overwritten():
    g = seed_graph()
    g.forward([X, X_P])
    held = g.backward([X, X_P], ERR)
    kept = copies(held)
    g.backward([X, X_P], -ERR)
    assert_trees_close(held, kept, EXACT)


def test_B10_entries_of_a_table_are_held_one_by_one():
    module = nn.ConcatTable().add(nn.Tanh()).add(nn.Sigmoid())
    held = module.forward(X)[1]
    kept = held.copy()
    module.forward(X_P)
    assert_close(held, kept, EXACT)


def test_B10_what_the_attributes_hold_is_held_by_the_caller_once_taken():
    module = nn.Tanh()
    module.forward(X)
    held = module.output
    kept = held.copy()
    module.forward(X_P)
    assert_close(held, kept, EXACT)
    assert module.output is not held


def test_arrays_that_nobody_holds_are_used_again():
    module = nn.Tanh()
    places = {address(module.forward(x)) for x in (X, X_P, X, X_P)}
    assert len(places) == 1
    module.forward(X)
    assert len({address(module.backward(X, g)) for g in (X, X_P, X)}) == 1


def test_a_loop_that_drops_its_results_alternates_nothing():
    module = mlp()
    seen = set()
    for x in (X, X_P, X, X_P):
        output = module.forward(x)
        seen.add(address(output))
        seen.add(address(module.backward(x, output)))
        del output
    assert len(seen) == 2


def test_a_dropped_output_that_was_reshaped_in_place_is_not_used_as_it_is():
    module = nn.Tanh()
    module.forward(X).shape = (9,)
    assert_close(module.forward(X), np.tanh(X), SAME_MATHS)
    module.backward(X, X).shape = (9,)
    assert module.backward(X, X).shape == X.shape


@pytest.mark.parametrize("make", [nn.Identity, lambda: nn.Reshape(3), lambda: nn.Narrow(1, 0, 2),
                                  lambda: nn.Select(0, 1), nn.Dropout, lambda: nn.ReLU(True),
                                  lambda: nn.MulConstant(2, True)])  # fmt: skip
def test_writing_into_an_output_does_not_reach_the_input(make):
    module = make()
    x = X.copy()
    module.forward(x)[...] = 100
    assert_close(x, X, EXACT)


def test_writing_into_a_gradient_does_not_reach_gradoutput():
    module = nn.ConcatTable().add(nn.Identity()).add(nn.Identity())
    module.forward(X)
    g = [X.copy(), X_P.copy()]
    module.backward(X, g)[...] = 100
    assert_trees_close(g, [X, X_P], EXACT)


def test_two_outputs_that_are_the_same_value_are_two_arrays():
    node = nn.Identity()()
    g = nn.gModule([node], [node, node])
    first, second = g.forward(X)
    first[...] = 0
    assert_close(second, X, EXACT)


def test_one_array_in_two_places_has_two_gradients():
    g = seed_graph()
    g.forward([X, X])
    first, second = g.backward([X, X], ERR)
    assert not np.shares_memory(first, second)
    assert (first != second).any()


def test_an_output_may_be_the_next_input():
    module = nn.Tanh()
    y = X
    for _ in range(4):
        y = module.forward(y)
    assert_close(y, np.tanh(np.tanh(np.tanh(np.tanh(X)))), SAME_MATHS)
    assert_close(module.forward(module.forward(X)), np.tanh(np.tanh(X)), SAME_MATHS)


def test_a_gradient_may_be_the_next_gradoutput():
    module = nn.MulConstant(2)
    module.forward(X)
    g = X_P
    for _ in range(4):
        g = module.backward(X, g)
    assert_close(g, 16 * X_P, EXACT)


def test_an_output_may_be_its_own_gradoutput():
    module = nn.MulConstant(2)
    output = module.forward(X)
    assert_close(module.backward(X, output), 4 * X, EXACT)
    assert_close(module.backward(X, module.output), 4 * X, EXACT)


def test_a_gradient_may_be_the_next_input():
    module = nn.MulConstant(2)
    module.forward(X)
    g = module.backward(X, X_P)
    assert_close(module.forward(g), 4 * X_P, EXACT)
    assert_close(module.backward(g, X), 2 * X, EXACT)


# ---- changes between forward and backward --------------------------------------------------------


def test_parameters_may_move_between_forward_and_backward():
    module = nn.Linear(3, 2)
    output = module.forward(X)
    module.getParameters()
    assert_close(module.backward(X, output), output @ module.weight, SAME_MATHS)
    assert_close(module.gradWeight, output.T @ X, SAME_MATHS)


@pytest.mark.parametrize("make", [nn.Tanh, mlp, nn.MSECriterion], ids=("module", "container", "criterion"))
def test_a_dtype_change_between_forward_and_backward_is_an_error(make):
    module = make()
    second = X_P if make is nn.MSECriterion else None
    arguments = [X] if second is None else [X, second]
    output = module.forward(*arguments)
    module.float()
    for dtype in (np.float32, np.float64):
        last = np.asarray(output, dtype) if second is None else second.astype(dtype)
        for x in (X, X.astype(np.float32)):
            with pytest.raises(errors.Error):
                module.backward(x, last)


def test_an_input_that_was_reshaped_in_place_since_the_forward_is_an_error():
    module = nn.Tanh()
    x = normal(2, 6)
    module.forward(x)
    x.shape = (3, 4)
    with pytest.raises(errors.ShapeError):
        module.backward(x, normal(2, 6))


@pytest.mark.parametrize("when", ["forward", "backward"])
def test_a_dtype_change_of_a_part_is_an_error_that_names_the_fix(when):
    net = mlp()
    output = net.forward(X)
    net.get(0).float()
    with pytest.raises(errors.DTypeError, match="convert"):
        net.forward(X) if when == "forward" else net.backward(X, output)
    assert_close(net.double().forward(X), output, SINGLE)


def test_a_container_may_grow_between_forward_and_backward():
    net = mlp()
    output = net.forward(X)
    expected = copies(net.backward(X, output))
    net.add(nn.Linear(2, 7))
    try:
        found = net.backward(X, output)
    except errors.Error:
        return
    assert_close(found, expected, EXACT)


# ---- calls that fail -----------------------------------------------------------------------------

FAILING = {
    "shape": (np.ones((3, 4)), errors.ShapeError),
    "dims": (np.ones((2, 2, 3)), errors.ShapeError),
    "dtype": (X.astype(np.float32), errors.DTypeError),
    "structure": ([X], errors.StructureError),
}


@pytest.mark.parametrize(("wrong", "error"), FAILING.values(), ids=FAILING)
def test_a_forward_that_fails_changes_nothing(wrong, error):
    module = nn.Linear(3, 2)
    output = module.forward(X)
    kept = output.copy()
    with pytest.raises(error):
        module.forward(wrong)
    assert_close(output, kept, EXACT)
    assert module.output is output
    gradient = module.backward(X, output)
    assert_close(gradient, output @ module.weight, SAME_MATHS)


def test_a_backward_that_fails_adds_to_no_gradient():
    module = mlp()
    module.forward(X)
    for wrong in (ERR, [ERR], None):
        with pytest.raises(errors.Error):
            module.backward(X, wrong)
    assert not any(g.any() for g in module.parameters()[1])


def test_a_class_that_does_not_exist_raises_and_nothing_breaks():
    criterion = nn.ClassNLLCriterion()
    x, target = normal(3, 4), np.array([0, 3, 1])
    loss = criterion.forward(x, target)
    for wrong in (4, -1):
        with pytest.raises(errors.DataError, match=str(wrong)):
            criterion.forward(x, np.array([0, wrong, 1]))
    assert criterion.forward(x, target) == loss


def test_messages_name_module_expected_and_got():
    with pytest.raises(errors.ShapeError) as raised:
        mlp().forward(np.ones((2, 7)))
    for part in ("Linear", "3", "7"):
        assert part in str(raised.value)


def test_messages_name_the_place_in_nested_containers():
    net = nn.Sequential().add(nn.Tanh()).add(nn.Sequential().add(nn.Linear(3, 2)).add(nn.Linear(5, 2)))
    with pytest.raises(errors.ShapeError) as raised:
        net.forward(X)
    assert "Linear(5 -> 2)" in str(raised.value)
    assert "Sequential[1][1]" in str(raised.value)


def test_messages_name_the_line_that_declared_the_node():
    node = nn.Identity()()
    hidden = nn.Linear(7, 2)(node)  # the line to be named
    g = nn.gModule([node], [hidden])
    with pytest.raises(errors.ShapeError) as raised:
        g.forward(X)
    line = hidden_line()
    assert f"test_contracts.py:{line}" in str(raised.value)
    assert "Linear" in str(raised.value)


def hidden_line():
    """The number of the line marked above."""
    with Path(__file__).open(encoding="utf-8") as file:
        return 1 + next(k for k, text in enumerate(file) if text.endswith("# the line to be named\n"))


def test_our_errors_are_those_that_python_users_catch():
    assert issubclass(errors.StructureError, (TypeError, ValueError))
    assert issubclass(errors.ShapeError, ValueError)
    assert issubclass(errors.DTypeError, TypeError)
    assert issubclass(errors.StateError, RuntimeError)
    assert all(issubclass(getattr(errors, name), errors.Error) for name in dir(errors) if name.endswith("Error"))


# ---- threads -------------------------------------------------------------------------------------


def in_threads(work, count=4):
    """Run `work(k)` in threads at once; what they raised."""
    raised = []
    start = threading.Barrier(count)

    def run(k):
        start.wait()
        try:
            work(k)
        except BaseException as exception:  # noqa: BLE001 - given back to the test
            raised.append(exception)

    threads = [threading.Thread(target=run, args=(k,)) for k in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return raised


def test_threads_that_call_one_module_get_their_own_answers():
    module = mlp(3, 3)
    inputs = [normal(5, 3, seed=k) for k in range(4)]
    expected = [module.forward(x).copy() for x in inputs]

    def work(k):
        for _ in range(200):
            try:
                found = module.forward(inputs[k])
            except errors.StateError:
                continue
            assert_close(found, expected[k], EXACT)

    assert not in_threads(work)


def test_threads_that_train_one_module_get_their_own_gradient_or_an_error():
    module = nn.Tanh()
    inputs = [normal(5, 3, seed=k) for k in range(4)]
    expected = [1 - np.tanh(x) ** 2 for x in inputs]

    def work(k):
        for _ in range(200):
            try:
                module.forward(inputs[k])
                found = module.backward(inputs[k], np.ones((5, 3)))
            except (errors.StateError, errors.DataError):
                continue
            assert_close(found, expected[k], SAME_MATHS)

    assert not in_threads(work)


def test_threads_with_a_clone_each_never_meet():
    module = mlp()
    clones = [module.clone("weight", "bias") for _ in range(4)]
    expected = module.forward(X).copy()

    def work(k):
        for _ in range(100):
            assert_close(clones[k].forward(X), expected, EXACT)
            clones[k].backward(X, expected)

    assert not in_threads(work)


FORK = """
import os, warnings
import numpy as np
import pynngraph as nn
warnings.simplefilter("ignore")
net = nn.Sequential().add(nn.Linear(300, 300)).add(nn.Tanh())
x = np.ones((300, 300))
expected = net.forward(x)
def check():
    return (net.forward(x) == expected).all() and net.backward(x, expected).any()
child = os.fork()
if child == 0:
    os._exit(0 if check() else 1)
print(check(), os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_E3_after_a_fork_parent_and_child_both_work():
    done = python("-c", FORK)
    assert done.stdout.split() == ["True", "0"], done.stderr


def test_E4_answers_are_the_same_bits_each_time():
    net = mlp(100, 70)
    x = normal(64, 100)
    first = copies([net.forward(x), net.backward(x, normal(64, 70))])
    for _ in range(5):
        assert_trees_close([net.forward(x), net.backward(x, normal(64, 70))], first, EXACT)


# ---- calls into C --------------------------------------------------------------------------------


class Counting:
    """A library in place of another; it notes the names of the functions that are called."""

    def __init__(self, lib):
        self.lib, self.calls = lib, []

    def __getattr__(self, name):
        thing = getattr(self.lib, name)
        if not callable(thing):
            return thing

        def call(*arguments):
            self.calls.append(name)
            return thing(*arguments)

        return call


@pytest.fixture
def calls(monkeypatch):
    """The names of the C functions called."""
    counting = Counting(_engine.lib)
    monkeypatch.setattr(_engine, "lib", counting)
    return counting.calls


@pytest.mark.parametrize("nodes", [5, 201])
def test_forward_and_backward_are_one_c_call_each_whatever_the_number_of_nodes(nodes, calls):
    g = chain_graph(nodes)
    output = g.forward(X)
    g.backward(X, output)
    assert calls.count("pnng_plan_forward") == 1
    assert calls.count("pnng_plan_backward") == 1
    del calls[:]
    g.forward(X)
    assert calls == ["pnng_plan_forward"]
    del calls[:]
    g.backward(X, output)
    assert calls == ["pnng_plan_backward"]


@pytest.mark.parametrize("make", [nn.Tanh, lambda: mlp(3, 3)], ids=("module", "container"))
def test_modules_and_containers_run_in_one_c_call_too(make, calls):
    module = make()
    module.forward(X)
    del calls[:]
    module.backward(X, module.forward(X))
    assert calls == ["pnng_plan_forward", "pnng_plan_backward"]


def test_a_shape_seen_before_is_not_planned_again(calls):
    module = mlp()
    for rows in (1, 2, 3):
        module.forward(X[:rows])
    del calls[:]
    for rows in (1, 2, 3):
        module.forward(X[:rows])
    assert calls == ["pnng_plan_forward"] * 3


def test_more_shapes_than_plans_are_kept_for_work(calls):
    module = mlp()
    for rows in range(1, 50):
        x = normal(rows, 3)
        assert module.backward(x, module.forward(x)).shape == (rows, 3)
    for inputs in range(1, 50):
        table = nn.CAddTable()
        assert_close(table.forward([X] * inputs), inputs * X, SAME_MATHS)
    assert calls.count("pnng_plan_forward") == 98


def test_training_steps_do_not_plan_again(calls):
    module = mlp()
    flat, grad = module.getParameters()
    module.forward(X)
    del calls[:]
    for _ in range(3):
        module.zeroGradParameters()
        module.backward(X, module.forward(X))
        flat -= 0.1 * grad
        module.updateParameters(0.1)
    assert calls == ["pnng_plan_forward", "pnng_plan_backward"] * 3
