"""PyTorch's modules as ours: the same answers, the same gradients, the same names."""

import io

import numpy as np
import pytest
from tolerances import assert_trees_close, relative

import pynngraph as nn
from pynngraph.errors import StateError, StructureError, UnsupportedError
from pynngraph.io.parameters import named_cells

torch = pytest.importorskip("torch")
from torch_nets import NETS, NOT_IN_ONNX, Of, made  # noqa: E402 - it imports torch

CLOSE = relative(1e-6, 1e-4)


def leaves(value):
    return [leaf for entry in value for leaf in leaves(entry)] if isinstance(value, (list, tuple)) else [value]


def arrays(tensors):
    return [tensor.detach().numpy() for tensor in tensors]


@pytest.mark.parametrize("net", NETS, ids=lambda net: net.name)
def test_answers_and_gradients_are_those_of_pytorch(net, monkeypatch):
    monkeypatch.setattr("pynngraph.io.from_torch._by_onnx", None)  # all of these are traced
    theirs, inputs = made(net)
    theirs, inputs = theirs.double(), [x.double() if x.is_floating_point() else x for x in inputs]
    ours = nn.from_torch(theirs, inputs)
    assert ours.type() == "float64"
    for x in inputs:
        x.requires_grad_(x.is_floating_point())
    expected = leaves(theirs(*inputs))
    own = arrays(inputs)
    own = own[0] if len(own) == 1 else own
    got = ours.forward(own)
    assert_trees_close(leaves(got), arrays(expected), CLOSE)
    grads = [torch.randn_like(y) for y in expected]
    parameters = list(theirs.parameters())
    wanted = [x for x in inputs if x.requires_grad]
    found = torch.autograd.grad(expected, [*wanted, *parameters], grads, allow_unused=True)
    ours.zeroGradParameters()
    grad_input = ours.backward(own, arrays(grads)[0] if len(grads) == 1 else arrays(grads))
    if wanted:
        zero = [torch.zeros_like(x) if g is None else g for x, g in zip(wanted, found, strict=False)]
        assert_trees_close(leaves(grad_input), arrays(zero), CLOSE)
    # All gradients of parameters, whatever their order and layout.
    sums = sum(float((g**2).sum()) for g in found[len(wanted) :] if g is not None)
    np.testing.assert_allclose(sum((g**2).sum() for g in ours.parameters()[1]), sums, rtol=1e-7, atol=1e-12)


@pytest.mark.filterwarnings("ignore")  # the exporter's
@pytest.mark.parametrize("any_batch", [False, True], ids=["fixed", "any-batch"])
@pytest.mark.parametrize("net", [net for net in NETS if net.name not in NOT_IN_ONNX], ids=lambda net: net.name)
def test_what_pytorch_exports_to_onnx_is_imported(net, any_batch):
    onnx = pytest.importorskip("onnx")
    if any_batch and net.name == "shapes":
        pytest.skip("a view of a view, by sizes that are computed")
    theirs, inputs = made(net)
    names = [f"input{place}" for place, _ in enumerate(inputs)]
    file = io.BytesIO()
    axes = {name: {0: "batch"} for name in names} if any_batch else None
    torch.onnx.export(theirs, tuple(inputs), file, dynamo=False, input_names=names, dynamic_axes=axes)
    ours = nn.from_onnx(onnx.load_from_string(file.getvalue()))
    own = arrays(inputs)[: len(ours.inputs)]  # the exporter drops those that have no influence
    got = ours.forward(own[0] if len(own) == 1 else own)
    assert_trees_close(leaves(got), arrays(leaves(theirs(*inputs))), relative(1e-5, 1e-4))


@pytest.mark.parametrize("name", ["mlp", "cnn", "resnet", "unet", "mobile", "lstm-cell", "tied"])
def test_parameters_have_their_names_and_values(name):
    theirs, inputs = made(next(net for net in NETS if net.name == name))
    ours = {name: cell.data for name, cell, _ in named_cells(nn.from_torch(theirs, inputs))}
    for key, value in theirs.named_parameters():
        own = key if key in ours else f"{key}.weight"
        assert_trees_close(ours[own], value.detach().numpy(), relative(0, 0))


@pytest.mark.parametrize("name", ["mlp", "cnn", "resnet", "mobile", "shapes", "unet"])
def test_a_batch_may_have_another_size(name):
    theirs, inputs = made(next(net for net in NETS if net.name == name))
    ours = nn.from_torch(theirs, inputs)
    x = torch.cat([inputs[0], inputs[0][:1]])
    if name == "shapes":
        x = x[:3]
    assert_trees_close(leaves(ours.forward(x.numpy())), arrays(leaves(theirs(x))), relative(1e-5, 1e-4))


def test_modules_of_training_stay_so():
    net = torch.nn.Sequential(torch.nn.BatchNorm1d(3), torch.nn.Dropout(0.25))
    ours = nn.from_torch(net, torch.randn(4, 3))
    assert ours.train
    assert net.training
    assert [type(child) for child in ours.children()] == [nn.BatchNormalization, nn.Dropout]
    assert ours.get(1).p == 0.25
    x = torch.randn(6, 3)
    net[0](x)
    ours.get(0).forward(x.numpy())
    for name in ("running_mean", "running_var"):
        assert_trees_close(getattr(ours.get(0), name), getattr(net[0], name).numpy(), relative(1e-6, 1e-6))
    assert not nn.from_torch(net.eval(), x).train


def test_conversion_draws_nothing():
    drawn = []
    for convert in (False, True):
        nn.manualSeed(3)
        if convert:
            nn.from_torch(torch.nn.Linear(3, 2), torch.zeros(1, 3))
        drawn.append(nn.Linear(2, 2).weight)
    assert_trees_close(drawn[1], drawn[0], relative(0, 0))


def test_the_module_stays_as_it_is():
    net = torch.nn.Sequential(torch.nn.BatchNorm1d(3), torch.nn.Dropout(0.25))
    before = {key: value.clone() for key, value in net.state_dict().items()}
    nn.from_torch(net, torch.randn(4, 3))
    assert all(torch.equal(value, net.state_dict()[key]) for key, value in before.items())


class Block(torch.nn.Module):
    def forward(self, x):
        return torch.fft.fft(x).real


class Outer(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = torch.nn.Sequential(torch.nn.Tanh(), Block())

    def forward(self, x):
        return self.inner(x)


@pytest.mark.parametrize(
    ("net", "message"),
    [
        (Outer(), r"there is no module for fft_fft: in Outer\.inner\.1, node 'fft_fft' of the trace"),
        (torch.nn.GELU(), "GELU: there is no error function here"),
        (torch.nn.ChannelShuffle(2), "ChannelShuffle: in ChannelShuffle"),
        (Of(lambda x: torch.cumsum(x, 0)), r"cumsum: in Of, node 'cumsum' of the trace \(call_function"),
        (torch.nn.Conv2d(2, 2, 3, padding=1, padding_mode="circular"), "circular"),
    ],
)
def test_what_there_is_no_module_for_is_told_with_its_place(net, message):
    shape = (1, 2, 4, 4)
    with pytest.raises(UnsupportedError, match=message):
        nn.from_torch(net, torch.zeros(shape))


class Branching(torch.nn.Module):
    """Not to be traced: what it does depends on numbers."""

    def __init__(self):
        super().__init__()
        self.fc = torch.nn.Linear(3, 2)

    def forward(self, x):
        return self.fc(x) if x.sum() > 0 else -self.fc(x)


def test_what_cannot_be_traced_comes_by_way_of_onnx():
    pytest.importorskip("onnx")
    net, x = Branching(), torch.ones(2, 3)
    ours = nn.from_torch(net, x)
    assert_trees_close(ours.forward(x.numpy()), net(x).detach().numpy(), relative(1e-5, 1e-5))


def test_wrong_arguments():
    with pytest.raises(StructureError, match=r"from_torch takes a torch\.nn\.Module, got a Linear"):
        nn.from_torch(nn.Linear(2, 2), np.zeros(2))


def test_without_the_package_it_is_said_what_is_missing(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "torch", None)
    with pytest.raises(StateError, match="needs PyTorch"):
        nn.from_torch(None, None)


@pytest.mark.parametrize("net", NETS, ids=lambda net: net.name)
def test_what_is_converted_is_saved_and_loaded(net, tmp_path):
    theirs, inputs = made(net)
    ours = nn.from_torch(theirs, inputs)
    nn.save(tmp_path / "net.safetensors", ours)
    own = arrays(inputs)
    own = own[0] if len(own) == 1 else own
    again = nn.load(tmp_path / "net.safetensors")
    assert_trees_close(leaves(again.forward(own)), leaves(ours.forward(own)), relative(0, 0))


# ---- what is shared, written in place, or in a mode of its own -----------------------------------


class Function(torch.nn.Module):
    """A module of layers by name, whose forward is a function of it and the inputs."""

    def __init__(self, forward, **layers):
        super().__init__()
        self.function = forward
        for name, layer in layers.items():
            self.add_module(name, layer)

    def forward(self, x):
        return self.function(self, x)


def in_place_then_read(s, x):
    y = s.l(x)
    z = torch.nn.functional.relu(y, inplace=True)
    return y + z


def added_in_place(s, x):
    y = s.l(x)
    z = y
    y += x
    return y * z


def softplus_of_a_beta(_self, x):
    return torch.nn.functional.softplus(x, beta=3)


def one_size_for_several(s, x):
    return s.u(x) + s.u(s.p(x))


class Scaled(torch.nn.Module):
    def forward(self, x, factor):
        return x * factor


def by_two_numbers(s, x):
    return s.b(x, 2.0) - s.b(s.l(x), 3.0)


def in_place_by_a_layer(s, x):
    x = s.l(x)
    return x + s.c(s.r(x))


LINEAR, RELU = (lambda: torch.nn.Linear(6, 6)), (lambda: torch.nn.ReLU(inplace=True))
TWICE, POOL = LINEAR(), torch.nn.MaxPool2d(2)
HELD = {
    "a layer twice": (lambda: torch.nn.Sequential(TWICE, torch.nn.ReLU(), TWICE), (4, 6)),
    "a pooling twice": (
        lambda: torch.nn.Sequential(
            torch.nn.Conv2d(3, 4, 3, padding=1), POOL, torch.nn.Conv2d(4, 5, 3, padding=1), POOL, torch.nn.Flatten()
        ),
        (2, 3, 8, 8),
    ),
    "a function of a number": (lambda: Function(softplus_of_a_beta), (4, 6)),
    "a module for two numbers": (lambda: Function(by_two_numbers, b=Scaled(), l=LINEAR()), (4, 6)),
    "a module for two sizes": (
        lambda: Function(one_size_for_several, u=torch.nn.Upsample(size=(8, 8)), p=torch.nn.MaxPool2d(2)),
        (2, 3, 4, 4),
    ),
    "a function in place": (lambda: Function(in_place_then_read, l=LINEAR()), (4, 6)),
    "a sum in place": (lambda: Function(added_in_place, l=LINEAR()), (4, 6)),
    "a layer in place": (lambda: Function(in_place_by_a_layer, l=LINEAR(), c=LINEAR(), r=RELU()), (4, 6)),
}


@pytest.mark.parametrize("name", HELD)
def test_what_comes_twice_or_is_written_in_place_is_as_there(name):
    build, shape = HELD[name]
    net, x = build().double(), torch.randn(shape, dtype=torch.float64)
    ours = nn.from_torch(net, x)
    assert_trees_close(ours.forward(x.numpy()), net(x.clone()).detach().numpy(), CLOSE)


def test_writing_to_a_part_of_what_is_read_later_is_refused():
    def forward(s, x):
        y = s.l(x)
        y[:, :2].mul_(2.0)
        return y

    with pytest.raises(UnsupportedError, match="writing in place to a part of 'l'"):
        nn.from_torch(Function(forward, l=LINEAR()), torch.zeros(4, 6))


def test_the_example_stays_as_it_is():
    x = torch.randn(4, 6)
    before = x.clone()
    nn.from_torch(torch.nn.Sequential(RELU(), LINEAR()), x)
    assert torch.equal(x, before)


def test_modules_inside_keep_their_mode():
    net = torch.nn.Sequential(LINEAR(), torch.nn.BatchNorm1d(6), torch.nn.Sequential(torch.nn.Dropout(0.5))).train()
    net[1].eval()
    net[2].eval()
    net[2][0].train()
    ours = nn.from_torch(net, torch.randn(4, 6))
    assert [part.train for part in (ours, ours.get(1), ours.get(2), ours.get(2).get(0))] == [True, False, False, True]


def test_hooks_and_dropout_in_evaluation_are_refused():
    net = torch.nn.Sequential(LINEAR())
    net[0].register_forward_hook(lambda _module, _input, output: output * 3)
    with pytest.raises(UnsupportedError, match="the hooks of Linear"):
        nn.from_torch(net, torch.zeros(4, 6))
    net = Function(lambda _self, x: torch.nn.functional.dropout(x, 0.5))
    with pytest.raises(UnsupportedError, match=r"training=self\.training"):
        nn.from_torch(net, torch.zeros(4, 6))


def tied_to_an_embedding():
    net = Function(lambda s, x: s.f(s.e(x)), e=torch.nn.Embedding(10, 6), f=torch.nn.Linear(6, 10))
    net.f.weight = net.e.weight
    return net


def taken_by_the_graph():
    return Function(lambda s, x: torch.nn.functional.linear(s.e(x), s.e.weight), e=torch.nn.Embedding(10, 6))


@pytest.mark.parametrize("build", [tied_to_an_embedding, taken_by_the_graph])
def test_tied_weights_are_one_parameter_and_get_one_gradient(build):
    net, index = build().double(), torch.tensor([1, 3, 3])
    ours = nn.from_torch(net, index)
    assert sum(array.size for array in ours.parameters()[0]) == sum(each.numel() for each in net.parameters())
    output = net(index)
    assert_trees_close(ours.forward(index.numpy()), output.detach().numpy(), CLOSE)
    output.sum().backward()
    ours.backward(index.numpy(), np.ones(tuple(output.shape)))
    weights = [grad for grad in ours.parameters()[1] if grad.shape == (10, 6)]
    assert_trees_close(weights, [net.e.weight.grad.numpy()], CLOSE)


def test_parameters_that_are_shared_in_different_forms_are_refused():
    net = torch.nn.Sequential(torch.nn.LSTM(6, 6), torch.nn.LSTM(6, 6))
    net[1].weight_ih_l0 = net[0].weight_ih_l0

    def forward(s, x):
        return s.b(s.a(x)[0])[0]

    with pytest.raises(UnsupportedError, match="a parameter that layers share"):
        nn.from_torch(Function(forward, a=net[0], b=net[1]), torch.zeros(5, 2, 6))


def test_an_embedding_s_padding_gets_no_gradient():
    net, index = torch.nn.Sequential(torch.nn.Embedding(5, 3, padding_idx=2)).double(), torch.tensor([1, 2, 4])
    ours = nn.from_torch(net, index)
    output = net(index)
    output.sum().backward()
    ours.forward(index.numpy())
    ours.backward(index.numpy(), np.ones(tuple(output.shape)))
    assert_trees_close(ours.parameters()[1], [net[0].weight.grad.numpy()], CLOSE)


def test_an_example_that_does_not_fit_is_told():
    with pytest.raises(StructureError, match="PyTorch cannot run Linear on the example"):
        nn.from_torch(LINEAR(), torch.zeros(4, 5))
