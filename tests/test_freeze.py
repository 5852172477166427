"""Frozen parameters: nobody can change them, so that what was made of them serves many calls.

A result from weights that are not there any more would be the worst of faults. Each way that there is to write to a
parameter must either fail, or be seen by the next call.
"""

import gc
import io
import pickle
import threading
import weakref

import numpy as np
import pytest
from samples import COPIES, normal
from tolerances import EXACT, SAME_MATHS, assert_close

import pynngraph as nn
from pynngraph import errors, memory

ROWS = (1, 2, 3, 4, 8, 33)


def net_of(dtype="float64"):
    net = nn.Sequential(nn.Linear(40, 70), nn.Tanh(), nn.Linear(70, 9))
    net.type(dtype)
    return net


def input_of(rows=8, dtype="float64"):
    return normal(rows, 40).astype(dtype)


def expected_of(net, x):
    """By NumPy, from the weights that the modules show now."""
    first, last = net.get(0), net.get(2)
    return np.tanh(x @ first.weight.T + first.bias) @ last.weight.T + last.bias


def runs_from_what_it_shows(net, x):
    assert_close(net.forward(x), expected_of(net, x), SAME_MATHS)


# ---- what a frozen module gives ------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("rows", ROWS)
def test_a_frozen_module_computes_the_same(rows, dtype):
    net, x = net_of(dtype), input_of(rows, dtype)
    before = net.forward(x).copy()
    frozen = net.freeze().forward(x).copy()
    assert frozen.dtype == dtype
    assert_close(frozen, before, SAME_MATHS)
    assert_close(net.forward(x), frozen, EXACT)
    assert_close(net.unfreeze().forward(x), before, EXACT)


def test_gradients_are_those_of_the_module_as_it_was():
    net, x, g = net_of(), input_of(), normal(8, 9)
    net.forward(x)
    grad = net.backward(x, g).copy()
    params = [array.copy() for array in net.parameters()[1]]
    net.zeroGradParameters()
    net.freeze().forward(x)
    assert_close(net.backward(x, g), grad, SAME_MATHS)
    for array, value in zip(net.parameters()[1], params, strict=True):
        assert_close(array, value, SAME_MATHS)


def test_frozen_parameters_start_at_a_cache_line():
    net = net_of()
    before = net.get(0).weight.copy()
    weight = net.freeze().get(0).weight
    assert type(weight.base) is bytes
    assert weight.ctypes.data % 64 == 0
    assert_close(weight, before, EXACT)
    assert net.unfreeze().get(0).weight.ctypes.data % 64 == 0 or weight.nbytes < memory.SMALL


def test_a_module_frozen_in_part():
    net, x = net_of(), input_of()
    net.get(0).freeze()
    runs_from_what_it_shows(net, x)
    net.get(2).weight[...] = 1
    runs_from_what_it_shows(net, x)
    with pytest.raises(ValueError, match="read-only"):
        net.get(0).weight[...] = 1


# ---- ways to write -------------------------------------------------------------------------------


def write_element(net):
    net.get(0).weight[0, 0] = 5


def write_whole(net):
    net.get(0).weight[...] = 5


def write_by_operator(net):
    net.get(0).weight *= 2


def write_view(net):
    net.get(0).weight[1:].T.ravel(order="A")[...] = 5
    net.get(0).weight[1:][...] = 5


def write_flat_iterator(net):
    net.get(0).weight.flat[0] = 5


def write_as_output(net):
    np.add(1, 1, out=net.get(0).weight)


def write_by_copyto(net):
    np.copyto(net.get(0).weight, 5)


def write_by_fill(net):
    net.get(0).weight.fill(5)


def write_by_sort(net):
    net.get(0).weight.sort()


def write_by_put(net):
    np.put(net.get(0).weight, 0, 5)


def write_memoryview(net):
    memoryview(net.get(0).weight)[0, 0] = 5


def write_frombuffer(net):
    np.frombuffer(net.get(0).weight)[...] = 5


def write_strided(net):
    weight = net.get(0).weight
    np.lib.stride_tricks.as_strided(weight, weight.shape, weight.strides)[...] = 5


def write_interface(net):
    class Same:
        __array_interface__ = net.get(0).weight.__array_interface__

    np.asarray(Same())[...] = 5


def write_dlpack(net):
    np.from_dlpack(net.get(0).weight)[...] = 5


def write_after_setflags(net):
    net.get(0).weight.setflags(write=True)


def write_after_flags_of_a_view(net):
    net.get(0).weight[:].flags.writeable = True


def write_base(net):
    net.get(0).weight.base[0] = 5


def write_parameters(net):
    net.parameters()[0][0][...] = 5


def write_random(net):
    np.random.default_rng(0).random(out=net.get(0).weight)


def write_by_apply(net):
    def double(module):
        if module.weight is not None:
            np.multiply(2, module.weight, out=module.weight)

    net.apply(double)


def write_by_steps(method):
    def write(net):
        weight = net.get(0).weight
        method(lambda x: (0.0, np.ones_like(x)), weight, {"learningRate": 0.1})

    write.__name__ = f"write_by_{method.__name__}"
    return write


READ_ONLY = [
    *map(write_by_steps, [nn.optim.sgd, nn.optim.adam, nn.optim.rmsprop, nn.optim.adagrad]),
    write_element,
    write_whole,
    write_by_operator,
    write_view,
    write_flat_iterator,
    write_as_output,
    write_by_copyto,
    write_by_fill,
    write_by_sort,
    write_by_put,
    write_memoryview,
    write_frombuffer,
    write_strided,
    write_interface,
    write_dlpack,
    write_after_setflags,
    write_after_flags_of_a_view,
    write_base,
    write_parameters,
    write_random,
    write_by_apply,
]


def assign(net):
    net.get(0).weight = np.ones((70, 40))


def take_flat(net):
    net.getParameters()


def update(net):
    net.updateParameters(0.1)


def reset(net):
    net.reset()


def update_at_once(net):
    net.get(2).forward(np.ones((4, 70)))
    net.get(2).accUpdateGradParameters(np.ones((4, 70)), np.ones((4, 9)), 0.1)


READ_ONLY_ERRORS = (ValueError, TypeError, BufferError, errors.DataError)
REFUSED = [assign, take_flat, update, reset, update_at_once]


@pytest.mark.parametrize("write", READ_ONLY + REFUSED)
def test_a_write_to_a_frozen_parameter_fails(write):
    net, x = net_of().freeze(), input_of()
    before = net.forward(x).copy()
    weights = [array.copy() for array in net.parameters()[0]]
    with pytest.raises(errors.StateError if write in REFUSED else READ_ONLY_ERRORS) as raised:
        write(net)
    if write in REFUSED:
        assert "frozen: call unfreeze() first" in str(raised.value)
    for array, value in zip(net.parameters()[0], weights, strict=True):
        assert_close(array, value, EXACT)
    assert_close(net.forward(x), before, EXACT)


@pytest.mark.parametrize("write", READ_ONLY + REFUSED)
def test_a_write_after_unfreezing_is_seen(write):
    net, x = net_of().freeze(), input_of()
    net.forward(x)
    net.unfreeze()
    try:
        write(net)
    except READ_ONLY_ERRORS:
        assert write in (write_base, write_view)  # which cannot be written to at any time, or is a copy in part
    runs_from_what_it_shows(net, x)
    runs_from_what_it_shows(net.freeze(), x)


def test_the_same_plans_read_what_came_after():
    """Freezing again comes back to plans that were made before: with what the weights are now."""
    net = net_of()
    for turn in range(4):
        for rows in ROWS:
            runs_from_what_it_shows(net, input_of(rows))
        net.unfreeze()
        net.get(0).weight[...] = normal(70, 40) + turn
        net.get(2).bias[...] = turn
        net.freeze()


# ---- arrays from before --------------------------------------------------------------------------

HELD = {
    "a weight": lambda net: net.get(0).weight,
    "parameters": lambda net: net.parameters()[0][0],
    "a vector of all": lambda net: net.getParameters()[0],
    "a vector of some": lambda net: (net.getParameters(), net.get(0).getParameters()[0])[1],
}


@pytest.mark.parametrize("hold", HELD.values(), ids=HELD)
def test_arrays_handed_out_before_are_read_only(hold):
    net, x = net_of(), input_of()
    held = hold(net)
    before = net.forward(x).copy()
    net.freeze()
    frozen = net.forward(x).copy()
    with pytest.raises(ValueError, match="read-only"):
        held[...] = 5
    assert_close(net.forward(x), frozen, EXACT)
    assert_close(frozen, before, SAME_MATHS)


def test_a_view_from_before_does_not_reach_the_parameter():
    net, x = net_of(), input_of()
    view = net.get(0).weight[1:]
    net.freeze()
    before, weight = net.forward(x).copy(), net.get(0).weight.copy()
    view[...] = 5
    assert_close(net.get(0).weight, weight, EXACT)
    assert_close(net.forward(x), before, EXACT)


# ---- sharing, copies, types ----------------------------------------------------------------------


def test_who_shares_a_parameter_shares_that_it_is_frozen():
    net, x = net_of(), input_of()
    twin = net.clone("weight", "bias")
    runs_from_what_it_shows(twin, x)
    net.freeze()
    with pytest.raises(errors.StateError, match="frozen"):
        twin.get(0).weight = np.ones((70, 40))
    runs_from_what_it_shows(twin, x)
    twin.unfreeze()
    net.get(0).weight[...] = 3
    assert (twin.get(0).weight == 3).all()
    runs_from_what_it_shows(twin, x)
    runs_from_what_it_shows(net, x)


def test_sharing_with_a_frozen_module():
    net, other, x = net_of().freeze(), net_of().freeze(), input_of()
    net.forward(x)
    net.share(other, "weight", "bias")
    assert_close(net.forward(x), other.forward(x), EXACT)
    runs_from_what_it_shows(net, x)


@pytest.mark.parametrize("copier", COPIES.values(), ids=COPIES)
def test_copies_are_not_frozen(copier):
    net, x = net_of().freeze(), input_of()
    net.forward(x)
    copy = copier(net)
    copy.get(0).weight[...] = 2
    runs_from_what_it_shows(copy, x)
    runs_from_what_it_shows(net, x)
    assert not (net.get(0).weight == 2).any()


def test_another_type_is_frozen_too():
    net = net_of().freeze()
    net.forward(input_of())
    net.float()
    with pytest.raises(ValueError, match="read-only"):
        net.get(0).weight[...] = 1
    runs_from_what_it_shows(net, input_of(8, "float32"))


def test_other_weights_in_place_of_frozen_ones():
    net, x = net_of().freeze(), input_of()
    net.forward(x)
    net.get(0).weight = None
    net.get(0).weight = np.ones((70, 40))
    runs_from_what_it_shows(net, x)
    net.get(0).weight[...] = 2
    runs_from_what_it_shows(net, x)


def test_a_lookup_that_would_scale_frozen_rows_is_an_error():
    table = nn.LookupTable(4, 3, 0, 1.0).freeze()
    before = table.weight.copy()
    with pytest.raises(errors.StateError, match="frozen"):
        table.forward(np.arange(4))
    assert_close(table.weight, before, EXACT)


# ---- what is kept --------------------------------------------------------------------------------


def packed_of(net):
    """What is kept of the first weight, or None."""
    known = net.get(0)._cells["weight"].data_store._packed
    return None if known is None else known[1]()


def test_plans_for_many_sizes_share_what_is_kept():
    net = net_of().freeze()
    kept = set()
    for rows in (4, 5, 8, 33):
        net.forward(input_of(rows))
        kept.add(id(packed_of(net)))
    assert len(kept) == 1
    assert packed_of(net).nbytes >= net.get(0).weight.nbytes


def test_the_summary_counts_what_is_kept():
    net = net_of()
    x = input_of()
    plan = net.freeze()._execution.prepared(x).plan
    kept = sum(map(plan.packed_size, range(4)))
    assert kept > 8 * 40 * 70
    assert nn.summary(net, x, io.StringIO()).memory.arena == plan.arena_size + kept


def test_nothing_is_kept_without_need():
    net = net_of()
    net.forward(input_of())
    assert packed_of(net) is None
    net.freeze().forward(input_of(1))
    assert packed_of(net) is None


def test_what_is_kept_goes_with_the_plans():
    net = net_of().freeze()
    net.forward(input_of())
    kept = weakref.ref(packed_of(net))
    net.clearState()
    gc.collect()
    assert kept() is None
    runs_from_what_it_shows(net, input_of())


def test_an_earlier_forward_run_again_reads_the_weights_of_now():
    """A replay of a call that was frozen, when it is not any more."""
    net, x = net_of().freeze(), input_of()
    net.forward(x)
    execution = net._execution
    call = execution.last_call()
    net.forward(input_of(4))
    net.unfreeze()
    for value in (1, 2):
        net.get(0).weight[...] = value
        execution.replay(call)
        assert_close(call.ready.outputs[0], expected_of(net, x), SAME_MATHS)
        net.forward(input_of(4))


def test_threads_that_share_frozen_weights():
    net, x = net_of().freeze(), input_of()
    expected = net.clone("weight", "bias").forward(x)
    wrong = []

    def work(mine):
        wrong.extend(mine for _ in range(50) if not np.array_equal(mine.forward(x), expected))

    threads = [threading.Thread(target=work, args=(net.clone("weight", "bias"),)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_a_frozen_module_is_saved_as_ever():
    net = net_of()
    size = len(pickle.dumps(net))
    net.freeze().forward(input_of())
    assert len(pickle.dumps(net)) == size
