"""Nets as Torch7 users write them with nngraph, ported line by line: numbers by NumPy, gradients by differences."""

import numpy as np
import pytest
from numerical import gradient
from samples import normal
from tolerances import NUMERICAL, SAME_MATHS, SUMS, assert_close, assert_trees_close

import pynngraph as nn


def check_gradients(net, input, grad_output):
    """Gradients of inputs and parameters against central differences."""
    inputs = input if isinstance(input, list) else [input]
    flat = [array for entry in inputs for array in (entry if isinstance(entry, list) else [entry])]
    net.zeroGradParameters()
    net.forward(input)
    found = net.backward(input, grad_output)
    found = found if isinstance(input, list) else [found]
    found = [array for entry in found for array in (entry if isinstance(entry, list) else [entry])]
    parameters, gradients = net.parameters()
    expected = gradient(lambda: net.forward(input), [*flat, *parameters], grad_output)
    # As one vector: some of them may be zero in the whole.
    whole, wanted = (np.concatenate([part.ravel() for part in parts]) for parts in ([*found, *gradients], expected))
    assert_close(whole, wanted, NUMERICAL)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


# ---- recurrent nets ------------------------------------------------------------------------------


def lstm_step(x, h, c, sizes):
    inputs, size = sizes
    sums = nn.CAddTable()([nn.Linear(inputs, 4 * size)(x), nn.Linear(size, 4 * size)(h)])
    first, second, third, fourth = nn.SplitTable(1)(nn.Reshape(4, size)(sums)).split(4)
    i, f, o, g = nn.Sigmoid()(first), nn.Sigmoid()(second), nn.Sigmoid()(third), nn.Tanh()(fourth)
    next_c = nn.CAddTable()([nn.CMulTable()([f, c]), nn.CMulTable()([i, g])])
    return nn.CMulTable()([o, nn.Tanh()(next_c)]), next_c


def two_layers():
    """char-rnn's net: inputs x, c1, h1, c2, h2; the next states, then log-probabilities."""
    inputs = [nn.Identity()() for _ in range(5)]
    x, c1, h1, c2, h2 = inputs
    next_h1, next_c1 = lstm_step(nn.LookupTable(5, 3)(x), h1, c1, (3, 4))
    next_h2, next_c2 = lstm_step(nn.Dropout(0)(next_h1), h2, c2, (4, 4))
    scores = nn.LogSoftMax()(nn.Linear(4, 5)(next_h2).annotate(name="decoder"))
    return nn.gModule(inputs, [next_c1, next_h1, next_c2, next_h2, scores])


def test_an_unrolled_lstm_of_two_layers_has_the_gradients_of_differences():
    net = two_layers()
    steps = [net] + [net.clone("weight", "bias", "gradWeight", "gradBias") for _ in range(2)]
    parameters, gradients = net.getParameters()
    criterion = nn.ClassNLLCriterion()
    text = np.array([[0, 3], [1, 4], [2, 2], [3, 0]])

    def forward():
        states = [[np.zeros((2, 4))] * 4]
        losses, outputs = 0.0, []
        for t, step in enumerate(steps):
            *state, scores = step.forward([text[t], *states[-1]])
            states.append(state)
            outputs.append(scores)
            losses += criterion.forward(scores, text[t + 1])
        return losses, states, outputs

    _, states, outputs = forward()
    gradients.fill(0)
    above = [np.zeros((2, 4))] * 4
    for t in reversed(range(3)):
        criterion.forward(outputs[t], text[t + 1])
        grad = criterion.backward(outputs[t], text[t + 1])
        _, *above = steps[t].backward([text[t], *states[t]], [*above, grad])
    expected = gradient(lambda: np.array(forward()[0]), [parameters], np.ones(1))
    assert_close(gradients, expected[0], NUMERICAL)
    assert net.node("decoder").data.module.weight is steps[2].node("decoder").data.module.weight


def test_a_gru():
    x, h = nn.Identity()(), nn.Identity()()

    def gate():
        return nn.CAddTable()([nn.Linear(3, 4)(x), nn.Linear(4, 4)(h)])

    update, reset = nn.Sigmoid()(gate()), nn.Sigmoid()(gate())
    candidate = nn.Tanh()(nn.CAddTable()([nn.Linear(3, 4)(x), nn.Linear(4, 4)(nn.CMulTable()([reset, h]))]))
    keep = nn.CMulTable()([nn.AddConstant(1)(nn.MulConstant(-1)(update)), h])
    net = nn.gModule([x, h], [nn.CAddTable()([nn.CMulTable()([update, candidate]), keep])])
    a, b = normal(2, 3), normal(2, 4)
    # In nngraph's order of parameters: by the order of evaluation.
    layers = {(m.inputSize, n): m for n, m in enumerate(net.findModules(nn.Linear)[0])}
    linears = [lambda v, m=m: v @ m.weight.T + m.bias for m in layers.values()]
    z = sigmoid(linears[0](a) + linears[1](b))
    r = sigmoid(linears[3](a) + linears[4](b))
    c = np.tanh(linears[2](a) + linears[5](r * b))
    assert_close(net.forward([a, b]), z * c + (1 - z) * b, SUMS)
    check_gradients(net, [a, b], normal(2, 4, seed=9))


# ---- attention -----------------------------------------------------------------------------------


def attention(size):
    """seq2seq-attn's decoder: of a state and a context, an attended state."""
    state, context = nn.Identity()(), nn.Identity()()
    target = nn.Linear(size, size, False)(state)
    weights = nn.SoftMax()
    weights.name = "softmax_attn"
    attended = weights(nn.Sum(2)(nn.MM()([context, nn.Replicate(1, 2)(target)])))
    combined = nn.Sum(1)(nn.MM()([nn.Replicate(1, 1)(attended), context]))
    joined = nn.JoinTable(1)([combined, state])
    return nn.gModule([state, context], [nn.Tanh()(nn.Linear(2 * size, size, False)(joined))])


def test_an_attention_decoder():
    net = attention(4)
    state, context = normal(2, 4), normal(2, 5, 4, seed=8)
    first, second = net.parameters()[0]
    scores = np.einsum("bsh,bh->bs", context, state @ first.T)
    weights = np.exp(scores) / np.exp(scores).sum(1, keepdims=True)
    joined = np.concatenate([np.einsum("bs,bsh->bh", weights, context), state], 1)
    assert_close(net.forward([state, context]), np.tanh(joined @ second.T), SUMS)
    check_gradients(net, [state, context], normal(2, 4, seed=9))
    net.keep().forward([state, context])
    (found,) = [node for node in net if node.data.module.name == "softmax_attn"]
    assert_close(found.output, weights, SUMS)


# ---- towers and pairs ----------------------------------------------------------------------------


def tower(blocks):
    node = nn.Identity()()
    top = node
    for _ in range(blocks):
        inside = top - nn.Linear(4, 4) - nn.ReLU(True) - nn.Linear(4, 4)
        top = nn.ReLU()(nn.CAddTable(True)([inside, top]))
    return nn.gModule([node], [top])


def tower_of_containers(blocks):
    net = nn.Sequential()
    for _ in range(blocks):
        inside = nn.Sequential(nn.Linear(4, 4), nn.ReLU(True), nn.Linear(4, 4))
        net.add(nn.ConcatTable(inside, nn.Identity())).add(nn.CAddTable(True)).add(nn.ReLU())
    return net


def test_a_residual_tower_is_the_same_as_a_graph_and_in_containers():
    net, other = tower(6), tower_of_containers(6)
    for mine, theirs in zip(net.parameters()[0], other.parameters()[0], strict=True):
        theirs[...] = mine
    x, grad = normal(3, 4), normal(3, 4, seed=9)
    assert_close(net.forward(x), other.forward(x), SAME_MATHS)
    assert_close(net.backward(x, grad), other.backward(x, grad), SUMS)
    assert_trees_close(net.parameters()[1], other.parameters()[1], SUMS)
    check_gradients(net, x, grad)


def siamese(twin):
    tower = nn.Sequential(nn.Linear(3, 5), nn.Tanh(), nn.Linear(5, 2))
    left, right = nn.Identity()(), nn.Identity()()
    other = tower if twin == "same module" else tower.clone("weight", "bias", "gradWeight", "gradBias")
    apart = nn.CSubTable()([tower(left), other(right)])
    return nn.gModule([left, right], [nn.Sqrt()(nn.Sum(1)(nn.Square()(apart)))]), tower


@pytest.mark.parametrize("twin", ["same module", "shared clone"])
def test_a_siamese_pair_has_one_set_of_parameters(twin):
    net, tower = siamese(twin)
    pair = [normal(4, 3), normal(4, 3, seed=8)]
    first, second = (tower.forward(x).copy() for x in pair)
    assert_close(net.forward(pair), np.sqrt(((first - second) ** 2).sum(1)), SUMS)
    assert len(net.parameters()[0]) == 4
    check_gradients(net, pair, normal(4, seed=9))
