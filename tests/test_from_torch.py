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
