"""Recurrent layers, cells and unrolled nets: against loops in NumPy, PyTorch and Torch7; steps, lengths, memory."""

import numpy as np
import pytest
import recurrent_reference as reference
from golden_cases import DEEP, load
from numerical import gradient
from tolerances import EXACT, GRAPH, LONG_SUMS, NUMERICAL, SAME_MATHS, assert_close, assert_trees_close
from trees import leaves, random_like, tree_map, zeros_like

import pynngraph as nn
from pynngraph import errors
from pynngraph._engine import Plan

LAYERS = {
    "LSTM": (nn.LSTM, reference.lstm_step),
    "GRU": (nn.GRU, reference.gru_step),
    "GRU-reset-before": (lambda *sizes: nn.GRU(*sizes, resetAfter=False), reference.gru_reset_before_step),
    "RNN": (nn.RNN, reference.rnn_step),
}
layers = pytest.mark.parametrize("kind", LAYERS)


def made(kind, *sizes):
    nn.manualSeed(5)
    return LAYERS[kind][0](*sizes)


def drawn_state(net, batch, rng):
    return tree_map(lambda zeros: rng.standard_normal(zeros.shape), net.zeroState(batch))


# ---- lengths -------------------------------------------------------------------------------------


@layers
def test_sequences_of_various_lengths_end_where_they_end(kind, rng):
    net = made(kind, 3, 4, 2)
    x, lengths = rng.standard_normal((5, 6, 3)), np.array([5, 0, 3, 1, 5, 2])
    state = drawn_state(net, 6, rng)
    expected = reference.layers(LAYERS[kind][1], x, state, *net.parameters()[0], lengths=lengths)
    y, last = net.forward([x, state, lengths])
    assert_trees_close([y, last], list(expected), LONG_SUMS)
    assert_close(last[0][0][1] if kind == "LSTM" else last[0][1], leaves(state)[0][1], EXACT)
    noise = np.where(np.arange(5)[:, None] < lengths, 0, 7)[..., None]
    assert_trees_close(net.forward([x + noise, state, lengths]), [y, last], EXACT)


@layers
def test_gradients_of_sequences_of_various_lengths_are_numerical_ones(kind, rng):
    net = made(kind, 2, 2)
    x, lengths, state = rng.standard_normal((3, 3, 2)), np.array([3, 0, 2]), drawn_state(net, 3, rng)
    output = net.forward([x, state, lengths])
    weights = random_like(output, rng)
    parameters, gradients = net.parameters()
    places = [x, *leaves(state), *parameters]
    expected = gradient(lambda: net.forward([x, state, lengths]), places, weights)
    net.forward([x, state, lengths])
    *found, of_lengths = leaves(net.backward([x, state, lengths], weights))
    assert_trees_close([*found, *gradients], expected, NUMERICAL)
    assert not of_lengths.any()


@layers
def test_full_lengths_change_no_bit(kind, rng):
    net = made(kind, 3, 4, 2)
    x, state = rng.standard_normal((4, 2, 3)), drawn_state(net, 2, rng)
    assert_trees_close(net.forward([x, state, np.array([4, 4])]), net.forward([x, state]), EXACT)
    assert_trees_close(net.forward([x, np.array([4, 4])]), net.forward(x), EXACT)


def test_lengths_may_be_whole_reals_and_one_for_one_sequence(rng):
    net, x = made("GRU", 3, 4), rng.standard_normal((4, 2, 3))
    assert_close(net.forward([x, np.array([4.0, 2.0])]), net.forward([x, np.array([4, 2])]), EXACT)
    assert_close(net.forward([x[:, 1], np.array(2)]), net.forward([x, np.array([4, 2])])[:, 1], SAME_MATHS)


def test_an_unrolled_cell_takes_lengths_for_outputs_and_states_of_any_dims(rng):
    x, state = nn.Identity()(), nn.Identity()()
    flat, deep = state.split(2)
    deep = nn.Tanh()(nn.CAddTable()([deep, nn.Replicate(2, 1)(x)]))
    flat = nn.Sigmoid()(nn.CAddTable()([flat, x]))
    net = nn.unroll(nn.gModule([x, state], [nn.nest([deep, nn.MulConstant(2)(x)]), nn.nest([flat, deep])]))

    def step(x, state):
        deep = np.tanh(state[1] + x[:, None])
        return [deep, 2 * x], [reference.sigmoid(state[0] + x), deep]

    x, state = rng.standard_normal((4, 3, 2)), [rng.standard_normal((3, 2)), rng.standard_normal((3, 2, 2))]
    lengths = np.array([2, 4, 0])
    y, last = net.forward([x, state, lengths])
    known, after = state, []
    for t in range(4):
        output, new = step(x[t], known)
        after.append([reference.where(t < lengths, part, 0 * part) for part in output])
        known = reference.where(t < lengths, new, known)
    assert_trees_close([y, last], [[np.array(part) for part in zip(*after, strict=True)], known], GRAPH)


def test_one_plan_serves_all_lengths(rng):
    net, x = made("LSTM", 3, 4), rng.standard_normal((4, 2, 3))
    for lengths in ([4, 1], [2, 3], [0, 0]):
        net.forward([x, np.array(lengths)])
    assert len(net._execution._plans) == 1


# ---- steps ---------------------------------------------------------------------------------------


CELLS = {
    "LSTM": nn.LSTMCell,
    "GRU": nn.GRUCell,
    "GRU-reset-before": lambda *s: nn.GRUCell(*s, False),
    "RNN": nn.RNNCell,
}


@layers
def test_an_unrolled_cell_is_the_layer(kind, rng):
    net, cell = made(kind, 3, 4), CELLS[kind](3, 4)
    unrolled = nn.unroll(cell, 5)
    for mine, theirs in zip(cell.parameters()[0], net.parameters()[0], strict=True):
        mine[...] = theirs
    x, state = rng.standard_normal((5, 2, 3)), drawn_state(net, 2, rng)
    y, last = net.forward([x, state])
    assert_trees_close(unrolled.forward([x, state[0]]), [y, last[0]], SAME_MATHS)
    grads = random_like([y, last], rng)
    expected = net.backward([x, state], grads)
    found = unrolled.backward([x, state[0]], [grads[0], grads[1][0]])
    assert_trees_close(found, [expected[0], expected[1][0]], SAME_MATHS)
    assert_trees_close(cell.parameters()[1], net.parameters()[1], SAME_MATHS)


@layers
def test_an_unrolled_cell_is_its_clones_run_one_by_one(kind, rng):
    cell = CELLS[kind](3, 4)
    names = ("weight", "bias", "gradWeight", "gradBias")
    clones = [cell.clone(*names) for _ in range(4)]
    x, state = rng.standard_normal((4, 2, 3)), drawn_state(made(kind, 3, 4), 2, rng)[0]
    states, outputs = [state], []
    for clone, x_t in zip(clones, x, strict=True):
        y, after = clone.forward([x_t, states[-1]])
        outputs.append(y)
        states.append(after)
    net = nn.unroll(cell)
    y, last = net.forward([list(x), state])
    assert_trees_close([y, last], [outputs, states[-1]], EXACT)
    grads = random_like([y, last], rng)
    found = net.backward([list(x), state], grads)
    gradients = tree_map(np.copy, cell.parameters()[1])
    cell.zeroGradParameters()
    grad_state, grad_x = grads[1], []
    for t in reversed(range(4)):
        grad, grad_state = clones[t].backward([x[t], states[t]], [grads[0][t], grad_state])
        grad_x.insert(0, grad)
    assert_trees_close(found, [grad_x, grad_state], SAME_MATHS)
    assert_trees_close(gradients, cell.parameters()[1], SAME_MATHS)


def test_truncated_gradients_are_those_of_separate_calls(rng):
    cell = nn.LSTMCell(3, 4)
    x, state = rng.standard_normal((7, 2, 3)), [rng.standard_normal((2, 4)) for _ in range(2)]
    net, parts = nn.unroll(cell, 7, truncate=3), nn.unroll(cell)
    y, last = net.forward([x, state])
    grads = random_like([y, last], rng)
    grad_x, grad_state = net.backward([x, state], grads)
    gradients = tree_map(np.copy, cell.parameters()[1])
    cell.zeroGradParameters()
    for start in (0, 3, 6):
        here, now = slice(start, start + 3), state
        y_part, state = parts.forward([x[here], now])
        assert_close(y_part, y[here], EXACT)
        of_state = grads[1] if start == 6 else zeros_like(state)
        grad_part, of_state = parts.backward([x[here], now], [grads[0][here], of_state])
        assert_close(grad_part, grad_x[here], SAME_MATHS)
        if start == 0:
            assert_trees_close(of_state, grad_state, SAME_MATHS)
    assert_trees_close(cell.parameters()[1], gradients, SAME_MATHS)


@pytest.mark.parametrize("batch", [1, 40])
def test_dropout_between_layers_is_drawn_anew_for_each_step_and_not_after_the_last(batch):
    net, x = nn.RNN(3, 50, 2, 0.5), np.zeros((6, batch, 3))
    for parameter in net.parameters()[0]:
        parameter.fill(0)
    net.get(0).bias.fill(1)  # the first layer gives tanh 1, at each step
    net.get(3).weight = np.eye(50)
    y = net.forward(x)
    dropped = y == 0
    assert (dropped | np.isclose(y, np.tanh(2 * np.tanh(1)))).all()
    assert 0.3 < dropped.mean() < 0.7
    assert len(np.unique(dropped[:, 0], axis=0)) == 6
    assert len(np.unique(dropped[0], axis=0)) == batch
    assert_close(net.evaluate().forward(x), np.full((6, batch, 50), np.tanh(np.tanh(1))), SAME_MATHS)


class Remembers(nn.Module):
    """Twice its input; in Python, and with what the backward needs kept in the module."""

    def updateOutput(self, input):
        self.last = input.copy()
        return input**2

    def updateGradInput(self, input, gradOutput):
        return 2 * self.last * gradOutput


def test_modules_in_python_remember_for_each_step(rng):
    x, state = nn.Identity()(), nn.Identity()()
    h = Remembers()(nn.CAddTable()([nn.Linear(3, 2)(x), nn.Linear(2, 2)(state)]))
    net = nn.unroll(nn.gModule([x, state], [nn.Identity()(h), h]))
    input = [0.5 * rng.standard_normal((3, 4, 3)), 0.5 * rng.standard_normal((4, 2))]
    output = net.forward(input)
    weights = random_like(output, rng)
    parameters, gradients = net.parameters()
    assert len(parameters) == 4
    expected = gradient(lambda: net.forward(input), [*input, *parameters], weights)
    net.forward(input)
    net.zeroGradParameters()
    found = net.backward(input, weights)
    assert_trees_close([*found, *gradients], expected, NUMERICAL)
    assert len(net.modules) == 3


def test_steps_share_parameters_and_clones_of_the_net_do_not(rng):
    net = nn.unroll(nn.GRUCell(3, 4), 6)
    assert len(net.parameters()[0]) == 4
    flat, _ = net.getParameters()
    assert flat.size == 3 * 4 * (3 + 4 + 2)
    shared, apart = net.clone("weight", "bias"), net.clone()
    flat.fill(0)
    x = rng.standard_normal((6, 3))
    assert not shared.forward([x, np.zeros(4)])[0].any()
    assert apart.forward([x, np.zeros(4)])[0].all()


def test_no_sequences_at_all_are_none(rng):
    net = made("LSTM", 3, 4, 2)
    x, state = np.zeros((5, 0, 3)), net.zeroState(0)
    y, last = net.forward([x, state, np.zeros(0, np.int64)])
    assert y.shape == (5, 0, 4)
    grad_x, _ = net.backward([x, state, np.zeros(0, np.int64)], [y, last])[:2]
    assert grad_x.shape == x.shape
    assert not any(gradient.any() for gradient in net.parameters()[1])


# ---- plans ---------------------------------------------------------------------------------------


@layers
def test_P5_all_steps_are_one_program_and_other_batches_need_few(kind, rng):
    net = made(kind, 3, 4, 2)
    for batch in (2, 5, 2, 1, 32, 40):
        x, state = rng.standard_normal((6, batch, 3)), net.zeroState(batch)
        y, last = net.forward([x, state])
        net.backward([x, state], [y, last])
    assert sum(map(len, net._execution._programs.values())) == 2  # of small batches and of large ones
    assert len(net._execution._plans) == 5


def memory(x, *, backward):
    """Bytes that a plan of an unrolled LSTM needs beside its inputs and outputs."""
    net = nn.unroll(nn.LSTMCell(16, 32))
    net.forward([x, [np.zeros((8, 32))] * 2])
    ready = net._execution.last_call().ready
    return Plan(ready.plan.program, ready.plan.dtype, ready.input_shapes, backward=backward).arena_size


def test_P5_memory_of_an_unrolled_net_is_laid_out_as_one():
    array = 8 * 32 * 8  # bytes of one h
    short, long = ([np.zeros((8, 16))] * steps for steps in (20, 40))
    weights = 4 * 32 * (16 + 32) * 8  # which may be packed, once for all steps
    # Without a backward, each step has the memory of the one before it.
    assert memory(long, backward=False) == memory(short, backward=False) <= weights + 30 * array
    # With one, steps keep i, f and o, the tanh of the fourth part and of c, c and h: seven arrays. Gradients have the
    # memory of the step before, but for that of x, which is half an array.
    kept = memory(long, backward=True) - memory(short, backward=True)
    assert kept <= 20 * 8 * array
    assert memory(short, backward=True) <= weights + 20 * 8 * array + 40 * array


# ---- judges --------------------------------------------------------------------------------------


def rows_of_pytorch(name, array, hidden):
    """PyTorch's LSTM has the rows of o after those of g."""
    if name != "LSTM":
        return array
    i, f, g, o = np.split(array, 4)
    return np.concatenate([i, f, o, g])


@pytest.mark.parametrize("bidirectional", [False, True], ids=["one way", "both ways"])
@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("name", ["LSTM", "GRU", "RNN"])
def test_layers_are_those_of_pytorch(name, seed, bidirectional):
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(seed)
    inputs, hidden, n_layers, steps, batch = rng.integers(1, [9, 9, 4, 8, 6])
    batch += 32 * (seed % 3 == 0)  # where products of the input are made step by step
    sizes = [int(size) for size in (inputs, hidden, n_layers)]
    net = getattr(nn, name)(*sizes, bidirectional=bidirectional)
    theirs = getattr(torch.nn, name)(*sizes, bidirectional=bidirectional).double()
    ways = ("", "_reverse") if bidirectional else ("",)
    kinds = ("weight_ih", "bias_ih", "weight_hh", "bias_hh")
    names = [f"{kind}_l{layer}{way}" for layer in range(n_layers) for way in ways for kind in kinds]
    parameters, gradients = net.parameters()
    for parameter, key in zip(parameters, names, strict=True):
        parameter[...] = rows_of_pytorch(name, getattr(theirs, key).detach().numpy(), hidden)
    x = rng.standard_normal((steps, batch, inputs))
    lengths = rng.integers(1, steps, batch, endpoint=True) if seed % 2 else np.full(batch, steps)
    lengths[rng.integers(batch)] = steps
    states = [rng.standard_normal((len(ways) * n_layers, batch, hidden)) for _ in range(1 + (name == "LSTM"))]

    their_x, *their_states = (torch.tensor(array, requires_grad=True) for array in (x, *states))
    packed = torch.nn.utils.rnn.pack_padded_sequence(their_x, torch.tensor(lengths), enforce_sorted=False)
    packed, last = theirs(packed, tuple(their_states) if name == "LSTM" else their_states[0])
    their_y, _ = torch.nn.utils.rnn.pad_packed_sequence(packed)
    their_last = list(last) if name == "LSTM" else [last]

    def by_layer(arrays):
        """A state of ours from one of theirs."""
        entries = [[np.array(array[layer]) for array in arrays] for layer in range(len(ways) * n_layers)]
        return entries if name == "LSTM" else [entry[0] for entry in entries]

    input = [x, by_layer(states), lengths]
    y, state = net.forward(input)
    assert_close(y, their_y.detach().numpy(), GRAPH)
    assert_trees_close(state, by_layer([array.detach().numpy() for array in their_last]), GRAPH)

    grad_y, *grad_last = (rng.standard_normal(tuple(array.shape)) for array in (their_y, *their_last))
    torch.autograd.backward([their_y, *their_last], [torch.tensor(grad) for grad in (grad_y, *grad_last)])
    grad_x, grad_state, _ = net.backward(input, [grad_y, by_layer(grad_last)])
    assert_close(grad_x, their_x.grad.numpy(), GRAPH)
    assert_trees_close(grad_state, by_layer([array.grad.numpy() for array in their_states]), GRAPH)
    for found, key in zip(gradients, names, strict=True):
        assert_close(found, rows_of_pytorch(name, getattr(theirs, key).grad.numpy(), hidden), GRAPH, what=key)


def golden(name):
    (case,) = (case for case in load("graphs") if case.name == name)
    return case


def check_against_torch7(case, graph, from_torch7):
    """All passes of a golden case; `from_torch7` gives the graph's parameters, or gradients, from Torch7's."""
    parameters, gradients = graph.parameters()
    for parameter, value in zip(parameters, from_torch7(case.get("params")), strict=True):
        parameter[...] = value
    for number in range(len(case.spec["passes"])):
        at = f"passes/{number}"
        input = case.get(f"{at}/input")
        assert_trees_close(graph.forward(input), case.get(f"{at}/output"), DEEP)
        grad_input = graph.backward(input, case.get(f"{at}/gradOutput"), 0.5 if number else 1)
        assert_trees_close(grad_input, case.get(f"{at}/gradInput"), DEEP)
        assert_trees_close(gradients, from_torch7(case.get(f"{at}/gradParams")), DEEP)


@pytest.mark.parametrize("n_layers", [1, 2])
def test_lstm_cells_are_those_of_char_rnn(n_layers):
    x, *states = [nn.Identity()() for _ in range(1 + 2 * n_layers)]
    h, outputs = x, []
    for layer in range(n_layers):
        c_before, h_before = states[2 * layer : 2 * layer + 2]
        h, state = nn.LSTMCell(7 if layer else 11, 7)([h, nn.nest([h_before, c_before])]).split(2)
        h_after, c = state.split(2)
        h = nn.Identity()(h)
        outputs += [c, h_after]
    graph = nn.gModule([x, *states], [*outputs, nn.LogSoftMax()(nn.Linear(7, 11)(h))])
    check_against_torch7(golden(f"lstm_{n_layers}"), graph, list)


def test_the_gru_cell_is_that_of_char_rnn():
    """It has six Linears, and its update gate, u, is 1 - z."""
    x, h = nn.Identity()(), nn.Identity()()
    y, state = nn.GRUCell(6, 7, resetAfter=False)([x, h]).split(2)
    graph = nn.gModule([x, h], [nn.MulConstant(0.5)(nn.CAddTable()([y, state]))])

    def from_torch7(arrays):
        wu, bu, uu, du, wn, bn, wr, br, ur, dr, un, dn = arrays
        return [np.concatenate(parts) for parts in ((wr, -wu, wn), (br, -bu, bn), (ur, -uu), (dr, -du))] + [un, dn]

    check_against_torch7(golden("gru"), graph, from_torch7)


# ---- errors --------------------------------------------------------------------------------------

X = np.ones((4, 2, 3))

WRONG_INPUTS = {
    "features": (nn.LSTM(3, 4), np.ones((4, 2, 5)), errors.ShapeError,
                 r"shape \(steps, batch, 3\) or \(steps, 3\), got \(4, 2, 5\)"),
    "dims": (nn.LSTM(3, 4), np.ones(3), errors.ShapeError, r"\(steps, 3\), got \(3,\)"),
    "no steps": (nn.LSTM(3, 4), np.ones((0, 2, 3)), errors.ShapeError, r"got \(0, 2, 3\)"),
    "layers": (nn.GRU(3, 4, 2), [X, [np.ones((2, 4))]], errors.StructureError, "states of 2 layers, got 1"),
    "state array": (nn.GRU(3, 4), [X, np.ones((2, 4)), np.ones(2)], errors.StructureError,
                    "a list with an entry for each layer, got one array"),
    "state sizes": (nn.RNN(3, 4), [X, [np.ones((3, 4))]], errors.ShapeError, "entry 1 is"),
    "too many": (nn.GRU(3, 4), [X, [X], X, X], errors.StructureError,
                 "a list of 1 to 3, the last of them lengths, got a list of 4"),
    "list of x": (nn.GRU(3, 4), [[X]], errors.StructureError, "expects one array, got a list of 1 array"),
    "long lengths": (nn.GRU(3, 4), [X, np.array([4, 5])], errors.DataError,
                     r"GRU\(3 -> 4\), lengths of up to 4 steps: index 5, element 1"),
    "lengths below zero": (nn.unroll(nn.GRUCell(3, 4)), [X, np.ones((2, 4)), np.array([-1, 1])], errors.DataError,
                           "lengths of up to 4 steps: index -1, element 0"),
    "broken lengths": (nn.LSTM(3, 4), [X, np.array([1.5, 1])], errors.DataError,
                       "lengths of up to 4 steps: element 0 is not a whole number"),
    "lengths' dims": (nn.GRU(3, 4), [X, np.ones((2, 2, 2), int)], errors.ShapeError, r"lengths of 3 dims do not fit"),
    "number of lengths": (nn.GRU(3, 4), [X, np.array([1, 1, 1])], errors.ShapeError,
                          r"lengths of shape \(3,\) do not fit an output or a state of shape \(2, 4\)"),
    "states of two ways": (nn.GRU(3, 4, bidirectional=True), [X, [np.ones((2, 4))]], errors.StructureError,
                           "expects states of 1 layers, in two directions each, got 1"),

    "steps": (nn.unroll(nn.GRUCell(3, 4), 5), [X, np.ones((2, 4))], errors.ShapeError, "expects 5 steps, got 4"),
    "none": (nn.unroll(nn.GRUCell(3, 4)), [[], np.ones((2, 4))], errors.ShapeError, "at least one step"),
    "number": (nn.unroll(nn.GRUCell(3, 4)), [np.array(1.0), np.ones((2, 4))], errors.ShapeError, "at least one step"),
    "no state": (nn.unroll(nn.GRUCell(3, 4)), [X], errors.StructureError, "a list of 2 to 3"),
    "one array": (nn.unroll(nn.GRUCell(3, 4)), X, errors.StructureError, "expects a list, got one array"),
    "no cell": (nn.unroll(nn.CAddTable()), [X, X[0]], errors.StructureError,
                r"a cell gives \[y, state\], CAddTable gave one array"),
}  # fmt: skip


@pytest.mark.parametrize("wrong", WRONG_INPUTS)
def test_wrong_inputs_are_errors_that_say_so(wrong):
    net, input, error, message = WRONG_INPUTS[wrong]
    with pytest.raises(error, match=message):
        net.forward(input)


def test_a_state_that_changes_its_nesting_is_an_error():
    x, state = nn.Identity()(), nn.Identity()()
    net = nn.unroll(nn.gModule([x, state], [nn.Identity()(x), nn.nest([state])]))
    with pytest.raises(
        errors.StructureError, match=r"the state of gModule .* became a list of 1 array, it was one array"
    ):
        net.forward([X, X[0]])


WRONG_ARGUMENTS = {
    "T": (lambda: nn.unroll(nn.GRUCell(3, 4), 0), errors.ShapeError,
          "T of unroll must be a whole number from 1, got 0"),
    "truncate": (lambda: nn.unroll(nn.GRUCell(3, 4), 2, 1.5), errors.ShapeError, "truncate of unroll .* got 1.5"),
    "class": (lambda: nn.unroll(nn.GRU), errors.GraphError, "unroll takes modules, got type: a class was given"),
    "sizes": (lambda: nn.LSTM(3, 0), errors.ShapeError, "hiddenSize of LSTM must be a whole number from 1, got 0"),
    "layers": (lambda: nn.GRU(3, 4, True), errors.ShapeError,
               "nLayers of GRU must be a whole number from 1, got True"),
    "dropout": (lambda: nn.RNN(3, 4, 2, 1.5), errors.ShapeError,
                r"probability of Dropout must be in \[0, 1\), got 1.5"),
    "cell": (lambda: nn.LSTMCell("3", 4), errors.ShapeError, "inputSize of LSTMCell"),
    "transfer": (lambda: nn.RNN(3, 4, 1, 0, np.tanh), errors.GraphError, "transfer of RNN takes modules, got ufunc"),
    "no sequences": (lambda: nn.padSequences([]), errors.ShapeError, "got none"),
    "other dims": (lambda: nn.padSequences([np.ones((2, 3)), np.ones((2, 4))]), errors.ShapeError,
                   r"float64 \(2, 3\), float64 \(2, 4\)"),
    "numbers": (lambda: nn.padSequences([1.0]), errors.ShapeError, "first dim"),
}  # fmt: skip


@pytest.mark.parametrize("wrong", WRONG_ARGUMENTS)
def test_wrong_arguments_are_errors_that_say_so(wrong):
    make, error, message = WRONG_ARGUMENTS[wrong]
    with pytest.raises(error, match=message):
        make()


def test_dropout_of_one_layer_is_checked_too():
    with pytest.raises(errors.ShapeError, match="probability"):
        nn.LSTM(3, 4, 1, 1.0)


# ---- batches of sequences ------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "float64", "int64"])
def test_padded_sequences_hold_their_numbers_and_the_value(dtype, rng):
    sequences = [np.arange(2 * n, dtype=dtype).reshape(n, 2) for n in (3, 0, 5)]
    batch, lengths = nn.padSequences(sequences, -1)
    assert batch.shape == (5, 3, 2)
    assert batch.dtype == dtype
    assert lengths.tolist() == [3, 0, 5]
    for place, sequence in enumerate(sequences):
        assert (batch[: len(sequence), place] == sequence).all()
        assert (batch[len(sequence) :, place] == -1).all()


def language_model():
    """Scores of what follows, a row for each step and sequence."""
    indices, lengths = nn.Identity()(), nn.Identity()()
    h = nn.LSTM(3, 4, 2)([nn.LookupTable(5, 3)(indices), lengths])
    return nn.gModule([indices, lengths], [nn.LogSoftMax()(nn.Linear(4, 5)(nn.View(-1, 4)(h)))])


def test_a_padded_batch_of_words_is_learned_as_the_words_one_by_one():
    words = [np.array(word) for word in ([1, 2, 3, 0], [4, 0], [2, 2, 0])]
    net, loss = language_model(), nn.ClassNLLCriterion(None, False, -1)

    def learn(x, lengths, target):
        scores = net.forward([x, lengths])
        value = loss.forward(scores, target.ravel())
        net.backward([x, lengths], loss.backward(scores, target.ravel()))
        return value

    x, lengths = nn.padSequences([word[:-1] for word in words])
    target, _ = nn.padSequences([word[1:] for word in words], -1)
    together = learn(x, lengths, target)
    gradients = tree_map(np.copy, net.parameters()[1])
    net.zeroGradParameters()
    apart = sum(learn(word[:-1, None], np.array([len(word) - 1]), word[1:]) for word in words)
    assert together == pytest.approx(apart, rel=1e-12)
    assert_trees_close(gradients, net.parameters()[1], SAME_MATHS)


def test_wrong_lengths_are_told_of_the_node_while_debugging(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    x, lengths = nn.Identity()(), nn.Identity()()
    net = nn.gModule([x, lengths], [nn.GRU(3, 4)([x, lengths])])
    nn.setDebug(True)
    try:
        with pytest.raises(errors.DataError, match=r"GRU\(3 -> 4\) at .*, lengths of up to 4 steps: index 9") as caught:
            net.forward([X, np.array([9, 1])])
    finally:
        nn.setDebug(False)
    assert caught.value.node.module.label() == "GRU(3 -> 4)"
