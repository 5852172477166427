"""PyTorch's layers and nets that are made anew here: by way of ONNX in test_onnx.py, directly in test_from_torch.py."""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import nn as tnn


class Net(NamedTuple):
    """A row: how to make the net, and shapes of its inputs, or a function that makes them."""

    name: str
    build: Callable[[], Any]
    inputs: Any


class Residual(tnn.Module):
    """ResNet's basic block."""

    def __init__(self, planes, out, stride):
        super().__init__()
        self.conv1 = tnn.Conv2d(planes, out, 3, stride, 1, bias=False)
        self.bn1 = tnn.BatchNorm2d(out)
        self.conv2 = tnn.Conv2d(out, out, 3, 1, 1, bias=False)
        self.bn2 = tnn.BatchNorm2d(out)
        self.shortcut = tnn.Sequential(tnn.Conv2d(planes, out, 1, stride, bias=False), tnn.BatchNorm2d(out))

    def forward(self, x):
        y = F.relu(self.bn1(self.conv1(x)), inplace=True)
        y = self.bn2(self.conv2(y))
        y += self.shortcut(x)
        return F.relu(y)


class ResNet(tnn.Module):
    """Two blocks, and classes."""

    def __init__(self):
        super().__init__()
        self.stem = tnn.Sequential(tnn.Conv2d(3, 4, 3, padding=1), tnn.ReLU(inplace=True), tnn.MaxPool2d(3, 2, 1))
        self.blocks = tnn.Sequential(Residual(4, 4, 1), Residual(4, 6, 2))
        self.pool = tnn.AdaptiveAvgPool2d(1)
        self.fc = tnn.Linear(6, 5)

    def forward(self, x):
        y = self.pool(self.blocks(self.stem(x)))
        return self.fc(torch.flatten(y, 1))


class UNet(tnn.Module):
    """Down, up, and side by side."""

    def __init__(self):
        super().__init__()
        self.down = tnn.Conv2d(2, 4, 3, padding=1)
        self.inner = tnn.Conv2d(4, 6, 3, padding=1)
        self.up = tnn.ConvTranspose2d(6, 4, 2, 2)
        self.out = tnn.Conv2d(8, 1, 1)

    def forward(self, x):
        side = torch.relu(self.down(x))
        deep = self.inner(F.max_pool2d(side, 2)).relu()
        return torch.sigmoid(self.out(torch.cat([side, self.up(deep)], dim=1)))


class Mobile(tnn.Module):
    """MobileNet's inverted residual block."""

    def __init__(self):
        super().__init__()
        self.block = tnn.Sequential(
            tnn.Conv2d(4, 8, 1, bias=False), tnn.BatchNorm2d(8), tnn.ReLU6(inplace=True),
            tnn.Conv2d(8, 8, 3, 1, 1, groups=8, bias=False), tnn.BatchNorm2d(8), tnn.Hardswish(),
            tnn.Conv2d(8, 4, 1, bias=False), tnn.BatchNorm2d(4),
        )  # fmt: skip
        self.squeeze = tnn.Sequential(tnn.AdaptiveAvgPool2d((1, 1)), tnn.Conv2d(4, 4, 1), tnn.Hardsigmoid())

    def forward(self, x):
        y = self.block(x)
        return x + y * self.squeeze(y)


class LstmCell(tnn.Module):
    """An LSTM cell by hand, of three inputs and two outputs."""

    def __init__(self):
        super().__init__()
        self.i2h, self.h2h = tnn.Linear(3, 16), tnn.Linear(4, 16)

    def forward(self, x, h, c):
        i, f, o, g = (self.i2h(x) + self.h2h(h)).chunk(4, 1)
        c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
        return torch.sigmoid(o) * torch.tanh(c), c


class Tied(tnn.Module):
    """One layer twice, and arithmetic with numbers."""

    def __init__(self):
        super().__init__()
        self.layer = tnn.Linear(4, 4)
        self.scale = tnn.Parameter(torch.tensor([1.0, 2.0, 3.0, 4.0]))
        self.register_buffer("shift", torch.tensor([0.5, 0.25, 0.0, 1.0]))

    def forward(self, x):
        y = self.layer(self.layer(x)) * self.scale + self.shift
        return (1 - y) / 2 + 3 / (x**2 + 1) - y.abs().sqrt()


class TwoRanks(tnn.Module):
    """One layer for rows, and for batches of them."""

    def __init__(self):
        super().__init__()
        self.fc = tnn.Linear(4, 3)

    def forward(self, x):
        return self.fc(x).sum(1) + self.fc(x[:, 0])


class Shapes(tnn.Module):
    """Views by sizes that are asked for."""

    def forward(self, x):
        batch, rest = x.size(0), x.shape[1]
        y = x.view(batch, -1, 2).permute(0, 2, 1).reshape(x.size(0), -1)
        z = x.unsqueeze(1).expand(-1, 3, -1).transpose(1, 2)[:1, 1:, 0]
        return y[:, :rest] + x, z.squeeze(0), torch.stack([x, y], 1).mean(1, keepdim=True), x.flatten(1).t()


class Recurrent(tnn.Module):
    """PyTorch's own recurrent layer, and a product with its last output."""

    def __init__(self, cls, **more):
        super().__init__()
        self.rnn = cls(3, 4, **more)
        self.fc = tnn.Linear(4, 2)

    def forward(self, x):
        y, _ = self.rnn(x)
        return self.fc(y[-1])


class Of(tnn.Module):
    """A function as a module."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x)


class OfTwo(Of):
    """A function of two: traces want to know how many."""

    def forward(self, x, y):
        return self.function(x, y)


def _mlp():
    return tnn.Sequential(tnn.Linear(6, 5), tnn.Tanh(), tnn.Dropout(0.5), tnn.Linear(5, 3), tnn.LogSoftmax(dim=1))


def _cnn():
    return tnn.Sequential(
        tnn.Conv2d(2, 4, 3), tnn.BatchNorm2d(4), tnn.ReLU(), tnn.MaxPool2d(2), tnn.Flatten(), tnn.Linear(36, 3)
    )


def _indices():
    return [torch.tensor([[0, 2, 4], [1, 1, 3]])]


def _layer(name, build, *shapes):
    return Net(name, build, list(shapes))


NETS = [
    Net("mlp", _mlp, [(4, 6)]),
    Net("cnn", _cnn, [(2, 2, 8, 8)]),
    Net("resnet", ResNet, [(2, 3, 12, 12)]),
    Net("unet", UNet, [(2, 2, 8, 8)]),
    Net("mobile", Mobile, [(2, 4, 6, 6)]),
    Net("lstm-cell", LstmCell, [(2, 3), (2, 4), (2, 4)]),
    Net("tied", Tied, [(3, 4)]),
    Net("two-ranks", TwoRanks, [(3, 2, 4)]),
    Net("shapes", Shapes, [(4, 6)]),
    Net("lstm", lambda: Recurrent(tnn.LSTM), [(5, 2, 3)]),
    Net("lstm-two-layers", lambda: Recurrent(tnn.LSTM, num_layers=2), [(5, 2, 3)]),
    Net("gru", lambda: Recurrent(tnn.GRU), [(5, 2, 3)]),
    Net("rnn", lambda: Recurrent(tnn.RNN), [(5, 2, 3)]),
    Net("embedding", lambda: tnn.Sequential(tnn.Embedding(5, 4), tnn.Linear(4, 3)), _indices),
    _layer("linear-3d", lambda: tnn.Linear(4, 3), (2, 5, 4)),
    _layer("linear-no-bias", lambda: tnn.Linear(4, 3, bias=False), (2, 4)),
    _layer("conv1d", lambda: tnn.Conv1d(3, 4, 3, 2, 1), (2, 3, 9)),
    _layer("conv2d-groups", lambda: tnn.Conv2d(4, 6, 3, groups=2), (2, 4, 5, 6)),
    _layer("conv2d-dilated", lambda: tnn.Conv2d(2, 3, (3, 2), (1, 2), (2, 1), (2, 1)), (2, 2, 7, 6)),
    _layer("conv2d-same", lambda: tnn.Conv2d(2, 3, (4, 3), padding="same"), (2, 2, 5, 6)),
    _layer("conv3d", lambda: tnn.Conv3d(2, 3, (2, 3, 2), padding=1), (1, 2, 3, 4, 4)),
    _layer("conv-transpose1d", lambda: tnn.ConvTranspose1d(3, 2, 3, 2, 1, 1), (2, 3, 5)),
    _layer("conv-transpose2d", lambda: tnn.ConvTranspose2d(3, 2, 3, 2, 1, 1), (2, 3, 4, 5)),
    _layer("conv-transpose2d-groups", lambda: tnn.ConvTranspose2d(4, 4, 3, groups=2), (2, 4, 4, 3)),
    _layer("batch-norm1d", lambda: tnn.BatchNorm1d(4), (5, 4)),
    _layer("batch-norm1d-3d", lambda: tnn.BatchNorm1d(4), (5, 4, 3)),
    _layer("batch-norm3d", lambda: tnn.BatchNorm3d(2, affine=False), (2, 2, 3, 2, 3)),
    _layer("layer-norm", lambda: tnn.LayerNorm(4), (2, 3, 4)),
    _layer("layer-norm-two", lambda: tnn.LayerNorm((3, 4), elementwise_affine=False), (2, 3, 4)),
    _layer("group-norm", lambda: tnn.GroupNorm(2, 4), (2, 4, 3, 3)),
    _layer("instance-norm", lambda: tnn.InstanceNorm2d(3, affine=True), (2, 3, 4, 4)),
    _layer("local-response-norm", lambda: tnn.LocalResponseNorm(3), (2, 5, 3, 3)),
    _layer("max-pool1d", lambda: tnn.MaxPool1d(3, 2, 1), (2, 3, 8)),
    _layer("max-pool2d-ceil", lambda: tnn.MaxPool2d(3, 2, ceil_mode=True), (2, 3, 8, 8)),
    _layer("max-pool2d-dilated", lambda: tnn.MaxPool2d(2, 1, 0, 2), (2, 3, 6, 5)),
    _layer("max-pool3d", lambda: tnn.MaxPool3d(2), (1, 2, 4, 4, 4)),
    _layer("avg-pool1d", lambda: tnn.AvgPool1d(3, 2, 1), (2, 3, 8)),
    _layer("avg-pool2d", lambda: tnn.AvgPool2d((3, 2), padding=(1, 0)), (2, 3, 6, 6)),
    _layer("avg-pool2d-excluding", lambda: tnn.AvgPool2d(3, 2, 1, count_include_pad=False), (2, 3, 6, 6)),
    _layer("avg-pool3d", lambda: tnn.AvgPool3d(2), (1, 2, 4, 4, 4)),
    _layer("adaptive-avg-pool", lambda: tnn.AdaptiveAvgPool2d((2, 3)), (2, 3, 4, 6)),
    _layer("adaptive-max-pool", lambda: tnn.AdaptiveMaxPool2d(2), (2, 3, 4, 6)),
    _layer("zero-pad", lambda: tnn.ZeroPad2d((1, 2, 0, 1)), (2, 3, 4, 4)),
    _layer("constant-pad", lambda: tnn.ConstantPad1d((1, -1), 2.5), (2, 3, 4)),
    _layer("reflection-pad", lambda: tnn.ReflectionPad2d(1), (2, 3, 4, 4)),
    _layer("replication-pad", lambda: tnn.ReplicationPad2d((1, 2, 0, 1)), (2, 3, 4, 4)),
    _layer("upsample", lambda: tnn.Upsample(scale_factor=2), (2, 3, 4, 4)),
    _layer(
        "upsample-bilinear", lambda: tnn.Upsample(scale_factor=2, mode="bilinear", align_corners=True), (2, 3, 4, 4)
    ),
    _layer("pixel-shuffle", lambda: tnn.PixelShuffle(2), (2, 8, 3, 4)),
    _layer("relu6", tnn.ReLU6, (4, 5)),
    _layer("leaky-relu", lambda: tnn.LeakyReLU(0.2), (4, 5)),
    _layer("prelu", lambda: tnn.PReLU(3), (2, 3, 4)),
    _layer("elu", lambda: tnn.ELU(0.7), (4, 5)),
    _layer("selu", tnn.SELU, (4, 5)),
    _layer("celu", lambda: tnn.CELU(0.7), (4, 5)),
    _layer("gelu-tanh", lambda: tnn.GELU("tanh"), (4, 5)),
    _layer("silu", tnn.SiLU, (4, 5)),
    _layer("mish", tnn.Mish, (4, 5)),
    _layer("hardtanh", lambda: tnn.Hardtanh(-0.5, 0.75), (4, 5)),
    _layer("hardswish", tnn.Hardswish, (4, 5)),
    _layer("softplus", tnn.Softplus, (4, 5)),
    _layer("softsign", tnn.Softsign, (4, 5)),
    _layer("softshrink", tnn.Softshrink, (4, 5)),
    _layer("hardshrink", tnn.Hardshrink, (4, 5)),
    _layer("threshold", lambda: tnn.Threshold(0.25, -1.0), (4, 5)),
    _layer("log-sigmoid", tnn.LogSigmoid, (4, 5)),
    _layer("softmax-first", lambda: tnn.Softmax(dim=0), (4, 5)),
    _layer("softmax-3d", lambda: tnn.Softmax(dim=-1), (2, 4, 5)),
    _layer("arithmetic", lambda: OfTwo(lambda x, y: (x - y) * x / (y * y + 1) - x), (3, 4), (3, 4)),
    _layer("broadcast", lambda: OfTwo(lambda x, y: x * y + y), (3, 1, 4), (2, 1)),
    _layer("extremes", lambda: OfTwo(lambda x, y: torch.maximum(x, y) - torch.minimum(x, y)), (3, 4), (3, 4)),
    _layer("functions", lambda: Of(lambda x: (x.exp() + 1).log() + torch.rsqrt(x * x + 1) - x.neg()), (3, 4)),
    _layer("clamp", lambda: Of(lambda x: x.clamp(min=0) + torch.clamp(x, -0.5, 0.25) - x.clamp(max=0.5)), (3, 4)),
    _layer("reductions", lambda: Of(lambda x: x.sum(1) + x.mean(dim=(1,)) + x.amax(1) - torch.amin(x, 1)), (3, 4)),
    _layer("matmul", lambda: OfTwo(lambda x, y: torch.matmul(x, y) + x @ y), (3, 4), (4, 2)),
    _layer("bmm", lambda: OfTwo(lambda x, y: torch.bmm(x, y.transpose(1, 2))), (3, 4, 2), (3, 5, 2)),
    _layer("split", lambda: Of(lambda x: [x.split([1, 3, 2], 1)[0], torch.chunk(x, 2, 1)[1] * 2]), (3, 6)),
    _layer("slices", lambda: Of(lambda x: x[:, 1:-1, ::2] + x[0, 1:3, :1]), (3, 4, 6)),
    _layer("indices", lambda: Of(lambda x: x[:, [2, 0]]), (3, 4)),
    _layer("where", lambda: Of(lambda x: torch.where(x > 0.5, x, 0.25)), (3, 4)),
    _layer("norm", lambda: Of(lambda x: x / x.pow(2).sum(1, keepdim=True).sqrt()), (3, 4)),
    _layer("unused", lambda: OfTwo(lambda x, y: torch.tanh(x)), (3, 4), (2, 2)),
]  # fmt: skip


# What PyTorch's exporter to ONNX writes in a way that is not understood here, or does not write.
NOT_IN_ONNX = {"local-response-norm", "softshrink", "hardshrink", "threshold"}


def made(net):
    """The net in evaluation, with buffers as after training; and its inputs."""
    torch.manual_seed(0)
    module = net.build()
    for part in module.modules():
        if getattr(part, "running_mean", None) is not None:
            part.running_mean.normal_()
            part.running_var.uniform_(0.5, 1.5)
    inputs = net.inputs() if callable(net.inputs) else [torch.randn(*shape) for shape in net.inputs]
    return module.eval(), inputs
