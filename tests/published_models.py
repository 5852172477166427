"""Published models, each written twice: as a Torch7 user writes it, and with PyTorch's functions.

A model's `build(own)` makes it, and names its modules with parameters by `own(module)`. Its `reference(their, ...)`
computes the same from the arrays of the input, by `their.conv(...)` and so on, each of which takes the parameters of
the next of these modules: both have to name them in the same order. test_published_models.py compares them.
"""

from collections.abc import Callable
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F

import pynngraph as nn


class Published(NamedTuple):
    """A row of the table. `shapes` is the input: shapes of random arrays, nested as it is, or `Indices`."""

    name: str
    build: Callable
    reference: Callable
    shapes: Any


class Indices(NamedTuple):
    """An input of whole numbers below a limit."""

    shape: tuple
    below: int


class Their:
    """What PyTorch needs of our modules with parameters, in the order in which they were named."""

    def __init__(self, modules, dtype, train=True):
        self.train = train
        self.leaves = [
            {name: torch.tensor(cell.data, dtype=dtype, requires_grad=True) for name, cell in module._cells.items()}
            for module in modules
        ]
        self.statistics = [
            {name: torch.tensor(cell.data, dtype=dtype) for name, cell in module._buffers.items()} for module in modules
        ]
        self.place = 0

    def rewound(self, train):
        """The same parameters and statistics, from the first module on."""
        self.place, self.train = 0, train
        return self

    def _next(self):
        self.place += 1
        return self.leaves[self.place - 1]

    def linear(self, x):
        return F.linear(x, **self._next())

    def conv(self, x, stride=1, padding=0):
        return F.conv2d(x, **self._next(), stride=stride, padding=padding)

    def depthwise(self, x, stride=1, padding=1, size=3):
        parameters = self._next()  # a weight (1, planes times taps): one output plane of each
        weight = parameters["weight"].reshape(x.shape[1], 1, size, size)
        return F.conv2d(x, weight, parameters["bias"].reshape(-1), stride, padding, groups=x.shape[1])

    def full(self, x, stride, padding):
        return F.conv_transpose2d(x, **self._next(), stride=stride, padding=padding)

    def norm(self, x):
        statistics = self.statistics[self.place]
        return F.batch_norm(x, **statistics, **self._next(), training=self.train)

    def lookup(self, indices):
        return F.embedding(indices, self._next()["weight"])

    def in_row(self, kinds, x, **options):
        """Some of these, one after the other: ``norm relu conv``."""
        for kind in kinds.split():
            x = torch.relu(x) if kind == "relu" else getattr(self, kind)(x, **options.get(kind, {}))
        return x


def _conv(own, planes, to, size, stride=1, padding=0):
    return own(nn.SpatialConvolution(planes, to, size, size, stride, stride, padding, padding))


# ---- stacked hourglass: Newell, Yang, Deng, ECCV 2016 ----------------------------------------------

FEATURES = 16  # 256 in the publication
JOINTS = 5


def _residual(own, x, planes, to):
    half = to // 2
    main = x - own(nn.SpatialBatchNormalization(planes)) - nn.ReLU(True) - _conv(own, planes, half, 1)
    main = main - own(nn.SpatialBatchNormalization(half)) - nn.ReLU(True) - _conv(own, half, half, 3, 1, 1)
    main = main - own(nn.SpatialBatchNormalization(half)) - nn.ReLU(True) - _conv(own, half, to, 1)
    skip = x if planes == to else _conv(own, planes, to, 1)(x)
    return [main, skip] - nn.CAddTable(True)


def _their_residual(their, x, to):
    main = their.in_row("norm relu conv norm relu", x)
    main = their.conv(their.in_row("norm relu", their.conv(main, padding=1)))
    return main + (x if x.shape[1] == to else their.conv(x))


def _hourglass_part(own, x, depth):
    upper = _residual(own, x, FEATURES, FEATURES)
    lower = _residual(own, x - nn.SpatialMaxPooling(2, 2, 2, 2), FEATURES, FEATURES)
    inner = _hourglass_part(own, lower, depth - 1) if depth > 1 else _residual(own, lower, FEATURES, FEATURES)
    lower = _residual(own, inner, FEATURES, FEATURES) - nn.SpatialUpSamplingNearest(2)
    return [upper, lower] - nn.CAddTable()


def _their_hourglass_part(their, x, depth):
    upper = _their_residual(their, x, FEATURES)
    lower = _their_residual(their, F.max_pool2d(x, 2), FEATURES)
    inner = _their_hourglass_part(their, lower, depth - 1) if depth > 1 else _their_residual(their, lower, FEATURES)
    return upper + F.interpolate(_their_residual(their, inner, FEATURES), scale_factor=2)


def stacked_hourglass(own):
    """Two hourglasses of depth 4, the second on what the first found, with losses on both."""
    image = -nn.Identity()
    x = image - _conv(own, 3, 8, 7, 2, 3) - own(nn.SpatialBatchNormalization(8)) - nn.ReLU(True)
    x = _residual(own, _residual(own, x, 8, 12) - nn.SpatialMaxPooling(2, 2, 2, 2), 12, FEATURES)
    maps = []
    for stack in range(2):
        y = _residual(own, _hourglass_part(own, x, 4), FEATURES, FEATURES)
        y = y - _conv(own, FEATURES, FEATURES, 1) - own(nn.SpatialBatchNormalization(FEATURES)) - nn.ReLU(True)
        maps.append(y - _conv(own, FEATURES, JOINTS, 1))
        if stack == 0:
            x = [x, y - _conv(own, FEATURES, FEATURES, 1), maps[-1] - _conv(own, JOINTS, FEATURES, 1)] - nn.CAddTable()
    return nn.gModule([image], maps)


def their_stacked_hourglass(their, image):
    x = their.in_row("norm relu", their.conv(image, 2, 3))
    x = _their_residual(their, F.max_pool2d(_their_residual(their, x, 12), 2), FEATURES)
    maps = []
    for stack in range(2):
        y = _their_residual(their, _their_hourglass_part(their, x, 4), FEATURES)
        y = their.in_row("conv norm relu", y)
        maps.append(their.conv(y))
        if stack == 0:
            x = x + their.conv(y) + their.conv(maps[-1])
    return maps


# ---- ResNet-18: He, Zhang, Ren, Sun, CVPR 2016, as fb.resnet.torch has it ---------------------------


def _basic_block(own, planes, to, stride):
    main = nn.Sequential()
    for module in (
        _conv(own, planes, to, 3, stride, 1),
        own(nn.SpatialBatchNormalization(to)),
        nn.ReLU(True),
        _conv(own, to, to, 3, 1, 1),
        own(nn.SpatialBatchNormalization(to)),
    ):
        main.add(module)
    skip = nn.Identity()
    if planes != to:
        skip = nn.Sequential(_conv(own, planes, to, 1, stride), own(nn.SpatialBatchNormalization(to)))
    return nn.Sequential(nn.ConcatTable(main, skip), nn.CAddTable(True), nn.ReLU(True))


def resnet_18(own):
    """All widths of the publication."""
    net = nn.Sequential(_conv(own, 3, 64, 7, 2, 3), own(nn.SpatialBatchNormalization(64)), nn.ReLU(True))
    net.add(nn.SpatialMaxPooling(3, 3, 2, 2, 1, 1))
    for planes, to, stride in ((64, 64, 1), (64, 128, 2), (128, 256, 2), (256, 512, 2)):
        net.add(_basic_block(own, planes, to, stride))
        net.add(_basic_block(own, to, to, 1))
    net.add(nn.SpatialAveragePooling(2, 2, 1, 1)).add(nn.View(512).setNumInputDims(3))
    return net.add(own(nn.Linear(512, 1000)))


def their_resnet_18(their, image):
    x = F.max_pool2d(their.in_row("norm relu", their.conv(image, 2, 3)), 3, 2, 1)
    for to, stride in ((64, 1), (128, 2), (256, 2), (512, 2)):
        for step in (stride, 1):
            main = their.in_row("norm relu", their.conv(x, step, 1))
            main = their.norm(their.conv(main, 1, 1))
            x = torch.relu(main + (x if x.shape[1] == to else their.norm(their.conv(x, step))))
    return their.linear(x.mean((2, 3)))


# ---- VGG: Simonyan, Zisserman, ICLR 2015, with batch normalisation ----------------------------------

VGG_11 = (64, "M", 128, "M", 256, 256, "M", 512, 512, "M", 512, 512, "M")
VGG_16 = (64, 64, "M", 128, 128, "M", 256, 256, 256, "M", 512, 512, 512, "M", 512, 512, 512, "M")


def vgg(plan):
    """Of images of 32 pixels, so that its Linears are smaller than those of the publication."""

    def build(own):
        net, planes = nn.Sequential(), 3
        for to in plan:
            if to == "M":
                net.add(nn.SpatialMaxPooling(2, 2, 2, 2))
                continue
            net.add(_conv(own, planes, to, 3, 1, 1)).add(own(nn.SpatialBatchNormalization(to, 1e-3)))
            net.add(nn.ReLU(True))
            planes = to
        net.add(nn.View(512))
        for inputs, outputs in ((512, 256), (256, 10)):
            net.add(nn.Dropout(0)).add(own(nn.Linear(inputs, outputs))).add(nn.ReLU(True))
        net.remove()
        return net.add(nn.LogSoftMax())

    def reference(their, x):
        for to in plan:
            if to == "M":
                x = F.max_pool2d(x, 2)
                continue
            x = their.conv(x, 1, 1)
            statistics = their.statistics[their.place]
            x = torch.relu(F.batch_norm(x, **statistics, **their._next(), training=their.train, eps=1e-3))
        return F.log_softmax(their.in_row("linear relu linear", x.flatten(1)), 1)

    return build, reference


# ---- pix2pix's generator, a U-Net: Isola, Zhu, Zhou, Efros, CVPR 2017 --------------------------------

WIDTHS = (8, 16, 32, 64, 64, 64)  # 64 to 512 in the publication, of 8 levels


def pix2pix(own):
    image = -nn.Identity()
    downs = [image - own(nn.SpatialConvolution(3, WIDTHS[0], 4, 4, 2, 2, 1, 1))]
    for planes, to in pairwise(WIDTHS):
        x = downs[-1] - nn.LeakyReLU(0.2, True) - own(nn.SpatialConvolution(planes, to, 4, 4, 2, 2, 1, 1))
        downs.append(x if len(downs) == len(WIDTHS) - 1 else x - own(nn.SpatialBatchNormalization(to)))
    x = downs.pop()
    for to in reversed(WIDTHS[:-1]):
        planes = WIDTHS[-1] if len(downs) == len(WIDTHS) - 1 else 2 * WIDTHS[len(downs)]
        x = x - nn.ReLU(True) - own(nn.SpatialFullConvolution(planes, to, 4, 4, 2, 2, 1, 1))
        x = [x - own(nn.SpatialBatchNormalization(to)), downs.pop()] - nn.JoinTable(1)
    x = x - nn.ReLU(True) - own(nn.SpatialFullConvolution(2 * WIDTHS[0], 3, 4, 4, 2, 2, 1, 1)) - nn.Tanh()
    return nn.gModule([image], [x])


def their_pix2pix(their, image):
    downs = [their.conv(image, 2, 1)]
    for level in range(1, len(WIDTHS)):
        x = their.conv(F.leaky_relu(downs[-1], 0.2), 2, 1)
        downs.append(x if level == len(WIDTHS) - 1 else their.norm(x))
    x = downs.pop()
    while downs:
        x = torch.cat([their.norm(their.full(torch.relu(x), 2, 1)), downs.pop()], 1)
    return torch.tanh(their.full(torch.relu(x), 2, 1))


# ---- sequence to sequence with attention: Luong, Pham, Manning, EMNLP 2015 ---------------------------

WORDS, EMBEDDED, HIDDEN = 30, 12, 10


def _lstm_of_char_rnn(own, inputs, x, c, h):
    """A step as Karpathy's char-rnn writes it: gates i, f, o and g are a dim of their own."""
    sums = [own(nn.Linear(inputs, 4 * HIDDEN))(x), own(nn.Linear(HIDDEN, 4 * HIDDEN))(h)] - nn.CAddTable()
    gates = sums - nn.Reshape(4, HIDDEN) - nn.SplitTable(1)
    i, f, o, g = gates.split(4)
    i, f, o, g = nn.Sigmoid()(i), nn.Sigmoid()(f), nn.Sigmoid()(o), nn.Tanh()(g)
    c = [[f, c] - nn.CMulTable(), [i, g] - nn.CMulTable()] - nn.CAddTable()
    return c, [o, c - nn.Tanh()] - nn.CMulTable()


def _their_lstm(their, x, c, h):
    i, f, o, g = (their.linear(x) + their.linear(h)).chunk(4, 1)
    c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
    return c, torch.sigmoid(o) * torch.tanh(c)


def seq2seq(own):
    """An encoder, and a decoder with general attention whose last hidden layer is fed in again."""
    source, target, zeros = -nn.Identity(), -nn.Identity(), -nn.Identity()

    def unrolled(inputs, n_entries, step):
        x, state = -nn.Identity(), -nn.Identity()
        return nn.unroll(nn.gModule([x, state], list(step(inputs, x, *state.split(n_entries)))))

    def encode(inputs, x, c, h):
        c, h = _lstm_of_char_rnn(own, inputs, x, c, h)
        return h, nn.nest([c, h])

    embedded = own(nn.LookupTable(WORDS, EMBEDDED))(source)
    memory, state = unrolled(EMBEDDED, 2, encode)([embedded, nn.nest([zeros, zeros])]).split(2)
    memory = nn.Transpose((0, 1))(memory)  # (batch, words, hidden)

    def decode(inputs, x, c, h, fed, context):
        c, h = _lstm_of_char_rnn(own, inputs, [x, fed] - nn.JoinTable(1), c, h)
        asked = h - own(nn.Linear(HIDDEN, HIDDEN, False)) - nn.Replicate(1, 2)  # (batch, hidden, 1)
        weights = [context, asked] - nn.MM() - nn.Sum(2) - nn.SoftMax() - nn.Replicate(1, 1)
        found = [weights, context] - nn.MM() - nn.Sum(1)
        fed = [found, h] - nn.JoinTable(1) - own(nn.Linear(2 * HIDDEN, HIDDEN, False)) - nn.Tanh()
        return fed, nn.nest([c, h, fed, context])

    c, h = state.split(2)
    words = own(nn.LookupTable(WORDS, EMBEDDED))(target)
    decoded = nn.SelectTable(0)(unrolled(EMBEDDED + HIDDEN, 4, decode)([words, nn.nest([c, h, zeros, memory])]))
    scores = nn.Bottle(own(nn.Linear(HIDDEN, WORDS)), 2, 2)(decoded)
    return nn.gModule([source, target, zeros], [nn.Bottle(nn.LogSoftMax(), 2, 2)(scores)])


def their_seq2seq(their, source, target, zeros):
    # Modules were named in the order encoder's lookup, its step; decoder's lookup; its step; the scores.
    embedded, first = their.lookup(source), their.place
    c, h, memory = zeros, zeros, []
    for x in embedded:
        their.place = first
        c, h = _their_lstm(their, x, c, h)
        memory.append(h)
    memory = torch.stack(memory, 1)
    words, first = their.lookup(target), their.place
    fed, outputs = zeros, []
    for x in words:
        their.place = first
        c, h = _their_lstm(their, torch.cat([x, fed], 1), c, h)
        weights = torch.softmax(torch.einsum("bwh,bh->bw", memory, their.linear(h)), 1)
        found = torch.einsum("bw,bwh->bh", weights, memory)
        fed = torch.tanh(their.linear(torch.cat([found, h], 1)))
        outputs.append(fed)
    return F.log_softmax(their.linear(torch.stack(outputs)), -1)


# ---- char-rnn: Karpathy, 2015, two layers -------------------------------------------------------------


def char_rnn(own):
    """A step on a batch of characters; the state is a flat list, as there."""
    inputs = [-nn.Identity() for _ in range(5)]
    x, outputs = nn.OneHot(WORDS)(inputs[0]), []
    for layer in range(2):
        x = x if layer == 0 else nn.Dropout(0)(x)
        c, x = _lstm_of_char_rnn(own, HIDDEN if layer else WORDS, x, *inputs[1 + 2 * layer : 3 + 2 * layer])
        outputs += [c, x]
    outputs.append(x - own(nn.Linear(HIDDEN, WORDS)) - nn.LogSoftMax())
    return nn.gModule(inputs, outputs)


def their_char_rnn(their, characters, *states):
    x, outputs = F.one_hot(characters, WORDS).to(states[0].dtype), []
    for layer in range(2):
        c, x = _their_lstm(their, x, *states[2 * layer : 2 * layer + 2])
        outputs += [c, x]
    return [*outputs, F.log_softmax(their.linear(x), 1)]


def char_gru(own):
    """The same of gated recurrent units, as char-rnn's model/GRU.lua."""
    inputs = [-nn.Identity() for _ in range(3)]
    x, outputs, size = nn.OneHot(WORDS)(inputs[0]), [], WORDS
    for before in inputs[1:]:

        def both(h, x=x, size=size):
            return [own(nn.Linear(size, HIDDEN))(x), own(nn.Linear(HIDDEN, HIDDEN))(h)] - nn.CAddTable()

        update, reset = nn.Sigmoid()(both(before)), nn.Sigmoid()(both(before))
        candidate = nn.Tanh()(both([reset, before] - nn.CMulTable()))
        new = [update, candidate] - nn.CMulTable()
        old = [update - nn.MulConstant(-1) - nn.AddConstant(1, False), before] - nn.CMulTable()
        x, size = [new, old] - nn.CAddTable(), HIDDEN
        outputs.append(x)
    outputs.append(x - own(nn.Linear(HIDDEN, WORDS)) - nn.LogSoftMax())
    return nn.gModule(inputs, outputs)


def their_char_gru(their, characters, *states):
    x, outputs = F.one_hot(characters, WORDS).to(states[0].dtype), []
    for h in states:
        update = torch.sigmoid(their.linear(x) + their.linear(h))
        reset = torch.sigmoid(their.linear(x) + their.linear(h))
        x = update * torch.tanh(their.linear(x) + their.linear(reset * h)) + (1 - update) * h
        outputs.append(x)
    return [*outputs, F.log_softmax(their.linear(x), 1)]


# ---- nngraph's own test of speed ----------------------------------------------------------------------


def speed_of_nngraph(own):
    """Ten hidden layers, each of two Linears of the one before."""
    x = first = nn.Identity()()
    for inputs, outputs in zip((30,) + (40,) * 10, (40,) * 10 + (5,), strict=True):
        both = [own(nn.Linear(inputs, outputs))(x), own(nn.Linear(inputs, outputs))(x)]
        x = nn.ReLU()(nn.CAddTable()(both))
    return nn.gModule([first], [x])


def their_speed_of_nngraph(their, x):
    for _ in range(11):
        x = torch.relu(their.linear(x) + their.linear(x))
    return x


# ---- MobileNet: Howard et al., 2017; DS-CNN and the autoencoder of MLPerf Tiny ------------------------

MOBILE = ((8, 16, 1), (16, 32, 2), (32, 32, 1), (32, 64, 2), (64, 64, 1))  # 32 to 256 with a multiplier of 1


def mobilenet(own):
    """Its first layers, of a width multiplier of 1/4."""
    net = nn.Sequential(_conv(own, 3, 8, 3, 2, 1), own(nn.SpatialBatchNormalization(8)), nn.ReLU6(True))
    for planes, to, stride in MOBILE:
        net.add(own(nn.SpatialDepthWiseConvolution(planes, 1, 3, 3, stride, stride, 1, 1)))
        net.add(own(nn.SpatialBatchNormalization(planes))).add(nn.ReLU6(True))
        net.add(_conv(own, planes, to, 1)).add(own(nn.SpatialBatchNormalization(to))).add(nn.ReLU6(True))
    return net.add(nn.SpatialAdaptiveAveragePooling(1, 1)).add(nn.View(64)).add(own(nn.Linear(64, 10)))


def their_mobilenet(their, image):
    x = F.relu6(their.norm(their.conv(image, 2, 1)))
    for _, _, stride in MOBILE:
        x = F.relu6(their.norm(their.depthwise(x, stride)))
        x = F.relu6(their.norm(their.conv(x)))
    return their.linear(x.mean((2, 3)))


def ds_cnn(own):
    """Keywords in 49 frames of 10 coefficients, of all widths."""
    net = nn.Sequential(nn.SpatialZeroPadding(1, 1, 4, 5), own(nn.SpatialConvolution(1, 64, 4, 10, 2, 2)))
    net.add(own(nn.SpatialBatchNormalization(64))).add(nn.ReLU(True)).add(nn.Dropout(0))
    for _ in range(4):
        net.add(own(nn.SpatialDepthWiseConvolution(64, 1, 3, 3, 1, 1, 1, 1)))
        net.add(own(nn.SpatialBatchNormalization(64))).add(nn.ReLU(True))
        net.add(_conv(own, 64, 64, 1)).add(own(nn.SpatialBatchNormalization(64))).add(nn.ReLU(True))
    net.add(nn.SpatialAveragePooling(5, 25)).add(nn.View(-1).setNumInputDims(3))
    return net.add(own(nn.Linear(64, 12))).add(nn.SoftMax())


def their_ds_cnn(their, x):
    x = their.in_row("conv norm relu", F.pad(x, (1, 1, 4, 5)), conv={"stride": 2})
    for _ in range(4):
        x = their.in_row("depthwise norm relu conv norm relu", x)
    return torch.softmax(their.linear(F.avg_pool2d(x, (25, 5)).flatten(1)), 1)


AUTOENCODER = (640, 128, 128, 128, 128, 8, 128, 128, 128, 128, 640)


def autoencoder(own):
    """Of sounds of machines, of all widths."""
    net = nn.Sequential()
    for inputs, outputs in pairwise(AUTOENCODER):
        net.add(own(nn.Linear(inputs, outputs)))
        if net.size() < 28:
            net.add(own(nn.BatchNormalization(outputs))).add(nn.ReLU(True))
    return net


def their_autoencoder(their, x):
    for _ in range(9):
        x = their.in_row("linear norm relu", x)
    return their.linear(x)


# ---- DenseNet: Huang, Liu, van der Maaten, Weinberger, CVPR 2017 --------------------------------------


def densenet(own):
    """A block of six layers that grow by 12 planes, and the transition after it."""
    x = image = nn.Identity()()
    planes = 24
    x = _conv(own, 3, planes, 3, 1, 1)(x)
    for _ in range(6):
        new = x - own(nn.SpatialBatchNormalization(planes)) - nn.ReLU(True) - _conv(own, planes, 48, 1)
        new = new - own(nn.SpatialBatchNormalization(48)) - nn.ReLU(True) - _conv(own, 48, 12, 3, 1, 1)
        x, planes = nn.JoinTable(0, 3)([x, new]), planes + 12
    x = x - own(nn.SpatialBatchNormalization(planes)) - nn.ReLU(True) - _conv(own, planes, planes // 2, 1)
    return nn.gModule([image], [nn.SpatialAveragePooling(2, 2, 2, 2)(x)])


def their_densenet(their, image):
    x = their.conv(image, 1, 1)
    for _ in range(6):
        new = their.in_row("norm relu conv norm relu", x)
        x = torch.cat([x, their.conv(new, 1, 1)], 1)
    return F.avg_pool2d(their.in_row("norm relu conv", x), 2)


# ---- GoogLeNet: Szegedy et al., CVPR 2015 ---------------------------------------------------------------


def inception(own):
    """Normalisation across planes, and the first inception of the publication, with all its widths."""
    net = nn.Sequential(nn.SpatialCrossMapLRN(5, 0.0001, 0.75), nn.Concat(1))
    branches = net.get(1)
    branches.add(nn.Sequential(_conv(own, 192, 64, 1), nn.ReLU(True)))
    for middle, to, size in ((96, 128, 3), (16, 32, 5)):
        branch = nn.Sequential(_conv(own, 192, middle, 1), nn.ReLU(True))
        branches.add(branch.add(_conv(own, middle, to, size, 1, size // 2)).add(nn.ReLU(True)))
    pooled = nn.Sequential(nn.SpatialMaxPooling(3, 3, 1, 1, 1, 1), _conv(own, 192, 32, 1), nn.ReLU(True))
    branches.add(pooled)
    return net.add(nn.SpatialMaxPooling(3, 3, 2, 2).ceil())


def their_inception(their, x):
    x = F.local_response_norm(x, 5, 0.0001, 0.75, 1)
    parts = [their.in_row("conv relu", x)]
    for size in (3, 5):
        middle = their.in_row("conv relu", x)
        parts.append(their.in_row("conv relu", middle, conv={"padding": size // 2}))
    parts.append(their.in_row("conv relu", F.max_pool2d(x, 3, 1, 1)))
    return F.max_pool2d(torch.cat(parts, 1), 3, 2, ceil_mode=True)


# ---- variational autoencoder: Kingma, Welling, ICLR 2014 -----------------------------------------------


def vae(own):
    """With the loss inside: what reconstruction and the latent distribution cost. The noise is an input."""
    x, noise = nn.Identity()(), nn.Identity()()
    hidden = x - own(nn.Linear(20, 16)) - nn.SoftPlus()
    mean, log_var = own(nn.Linear(16, 3))(hidden), own(nn.Linear(16, 3))(hidden)
    z = [mean, [log_var - nn.MulConstant(0.5) - nn.Exp(), noise] - nn.CMulTable()] - nn.CAddTable()
    y = z - own(nn.Linear(3, 16)) - nn.SoftPlus() - own(nn.Linear(16, 20)) - nn.Sigmoid()
    squares = [mean - nn.Square(), nn.Exp()(log_var)] - nn.CAddTable()
    costs = [squares, log_var - nn.AddConstant(1)] - nn.CSubTable() - nn.MulConstant(0.5) - nn.Sum(0, 1)
    likelihood = nn.MSECriterion(False)([y, nn.Sigmoid()(x)])
    return nn.gModule([x, noise], [y, costs, likelihood])


def their_vae(their, x, noise):
    hidden = F.softplus(their.linear(x))
    mean, log_var = their.linear(hidden), their.linear(hidden)
    y = F.softplus(their.linear(mean + noise * torch.exp(0.5 * log_var)))
    y = torch.sigmoid(their.linear(y))
    costs = 0.5 * (mean**2 + log_var.exp() - 1 - log_var).sum(1)
    # nn.MSECriterion in a graph gives no gradient to its target.
    return [y, costs, ((y - torch.sigmoid(x).detach()) ** 2).sum().reshape(1)]


# ---- siamese nets: Chopra, Hadsell, LeCun, CVPR 2005 ---------------------------------------------------


def siamese(own):
    """Two LeNets that share parameters and their gradients, and the loss of their angle."""
    net = nn.Sequential(own(nn.SpatialConvolution(1, 6, 5, 5)), nn.Tanh(), nn.SpatialMaxPooling(2, 2, 2, 2))
    net.add(own(nn.SpatialConvolution(6, 8, 5, 5))).add(nn.Tanh()).add(nn.SpatialMaxPooling(2, 2, 2, 2))
    net.add(nn.Reshape(8 * 4 * 4)).add(own(nn.Linear(8 * 4 * 4, 10)))
    pair = nn.ParallelTable().add(net).add(net.clone("weight", "bias", "gradWeight", "gradBias"))
    first, second, same = (nn.Identity()() for _ in range(3))
    return nn.gModule([first, second, same], [nn.CosineEmbeddingCriterion(0.1)([pair([first, second]), same])])


def their_siamese(their, first, second, same):
    codes = []
    for x in (first, second):
        their.place = 0
        hidden = F.max_pool2d(torch.tanh(their.conv(x)), 2)
        hidden = F.max_pool2d(torch.tanh(their.conv(hidden)), 2)
        codes.append(their.linear(hidden.flatten(1)))
    return F.cosine_embedding_loss(*codes, torch.where(same.detach() > 0, 1, -1), 0.1).reshape(1)


# ---- mixture of experts: Jacobs, Jordan, Nowlan, Hinton, 1991 --------------------------------------------


def experts(own):
    """Experts of two layers, of which a gater says how much each is listened to."""
    gater = nn.Sequential(own(nn.Linear(8, 6)), nn.Tanh(), own(nn.Linear(6, 4)), nn.SoftMax())
    many = nn.ConcatTable()
    for _ in range(4):
        many.add(nn.Sequential(own(nn.Linear(8, 7)), nn.HardTanh(), own(nn.Linear(7, 3)), nn.LogSoftMax()))
    return nn.Sequential(nn.ConcatTable(gater, many), nn.MixtureTable())


def their_experts(their, x):
    gates = torch.softmax(their.linear(torch.tanh(their.linear(x))), 1)
    outputs = [F.log_softmax(their.linear(F.hardtanh(their.linear(x))), 1) for _ in range(4)]
    return torch.einsum("bn,nbk->bk", gates, torch.stack(outputs))


PUBLISHED = [
    Published("stacked hourglass", stacked_hourglass, their_stacked_hourglass, (2, 3, 64, 64)),
    Published("ResNet-18", resnet_18, their_resnet_18, (2, 3, 64, 64)),
    Published("VGG-11", *vgg(VGG_11), (2, 3, 32, 32)),
    Published("VGG-16", *vgg(VGG_16), (2, 3, 32, 32)),
    Published("pix2pix", pix2pix, their_pix2pix, (2, 3, 64, 64)),
    Published("seq2seq", seq2seq, their_seq2seq, [Indices((6, 4), WORDS), Indices((5, 4), WORDS), (4, HIDDEN)]),
    Published("char-rnn", char_rnn, their_char_rnn, [Indices((4,), WORDS), *[(4, HIDDEN)] * 4]),
    Published("char-rnn GRU", char_gru, their_char_gru, [Indices((4,), WORDS), *[(4, HIDDEN)] * 2]),
    Published("speed of nngraph", speed_of_nngraph, their_speed_of_nngraph, (6, 30)),
    Published("MobileNet", mobilenet, their_mobilenet, (2, 3, 32, 32)),
    Published("DS-CNN", ds_cnn, their_ds_cnn, (2, 1, 49, 10)),
    Published("autoencoder", autoencoder, their_autoencoder, (5, 640)),
    Published("DenseNet", densenet, their_densenet, (2, 3, 16, 16)),
    Published("inception", inception, their_inception, (2, 192, 14, 14)),
    Published("VAE", vae, their_vae, [(6, 20), (6, 3)]),
    Published("siamese", siamese, their_siamese, [(4, 1, 28, 28), (4, 1, 28, 28), (4,)]),
    Published("mixture of experts", experts, their_experts, (5, 8)),
]


def sample(shapes, rng, dtype):
    """An input of random numbers; the targets of a siamese pair, which have one dim, are 1 and -1."""
    if isinstance(shapes, list):
        return [sample(entry, rng, dtype) for entry in shapes]
    if isinstance(shapes, Indices):
        return rng.integers(shapes.below, size=shapes.shape)
    x = rng.standard_normal(shapes).astype(dtype)
    return np.sign(x) if len(shapes) == 1 else x
