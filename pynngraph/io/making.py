"""Modules from the plain numbers that files and libraries of others describe layers with.

Sizes are listed outermost dim first, as they have them. What Torch7 has a class for becomes that, which prints and
saves as the user knows it; the rest is made of ops.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import nn, random
from ..graph.gmodule import gModule
from ..nn.primitive import Op, transpositions

if TYPE_CHECKING:
    from ..graph.node import Node
    from ..nn.module import Module

_SPACE = {2: "Spatial", 3: "Volumetric"}
MOST_DIMS = 3  # of windows, and of borders


def graph(inputs: list[Node], outputs: list[Node]) -> gModule:
    """A graph of nodes, of which some may lead nowhere: they are left out, and inputs like that have no influence."""
    reached: dict[int, Node] = {}
    waiting = list(outputs)
    while waiting:
        node = waiting.pop()
        if id(node) not in reached:
            reached[id(node)] = node
            waiting.extend(node.parents())
    unused = [node for node in inputs if id(node) not in reached]
    for node in (*reached.values(), *inputs):
        node.children = [child for child in node.children if id(child) in reached]
    if unused and outputs:
        outputs = [nn.SelectTable(0)([outputs[0], *unused]), *outputs[1:]]
    return gModule(inputs, outputs)


@contextmanager
def drawing_nothing() -> Iterator[None]:
    """Meanwhile, initial weights are drawn from nowhere: they are overwritten, and what comes later stays the same."""
    state = random.get_state()
    try:
        yield
    finally:
        random.set_state(state)


def share(module: Module, other: Module, *names: str) -> None:
    """Let a module have parameters of another, with their gradients, and buffers."""
    for name in names:
        if name in module._cells:
            module._cells[name] = other._cells[name]
        else:
            module._buffers[name] = other._buffers[name]
    module._changed()


def in_a_row(*modules: Module | None) -> Module:
    """What there is of modules, one after the other."""
    present = [module for module in modules if module is not None]
    return present[0] if len(present) == 1 else nn.Sequential(*present)


def _torch_order(sizes: Sequence[int]) -> list[int]:
    """Width before height, and time first of all."""
    return [*sizes[:-2], *sizes[:-3:-1]]


def linear(weight: Any, bias: Any = None, rank: int = 2) -> Module:
    """A product of the last of so many dims, plus a bias."""
    if rank > 2:
        return nn.Bottle(linear(weight, bias), 2)
    module = nn.Linear(weight.shape[1], weight.shape[0], bias is not None)
    module.weight = weight
    if bias is not None:
        module.bias = bias
    return module


def convolution(
    weight: Any,
    bias: Any,
    strides: Sequence[int],
    pads: Sequence[Sequence[int]],
    dilations: Sequence[int],
    groups: int = 1,
) -> Module:
    """A convolution of 1 to 3 dims; `pads` are those before and those after."""
    dims = weight.ndim - 2
    before, after = pads
    border = None
    if list(before) != list(after):
        border, before = pad([0, 0, *before], [0, 0, *after]), [0] * dims
    cls = (
        getattr(nn, f"{_SPACE[dims]}{'' if set(dilations) == {1} else 'Dilated'}Convolution", None)
        if dims > 1
        else None
    )
    if cls is None or groups != 1:
        parts = (three(strides, 1), three(before, 0), three(dilations, 1))
        ints = [number for part in parts for number in part]
        return in_a_row(border, Op("convolution", [*ints, groups], weight=weight, bias=bias))
    kinds = [weight.shape[2:], strides, before, *([] if set(dilations) == {1} else [dilations])]
    module = cls(weight.shape[1], weight.shape[0], *(number for sizes in kinds for number in _torch_order(sizes)))
    return in_a_row(border, _with(module, weight, bias))


def full_convolution(
    weight: Any,
    bias: Any,
    strides: Sequence[int],
    pads: Sequence[int],
    dilations: Sequence[int],
    groups: int,
    extras: Sequence[int],
) -> Module:
    """A transposed convolution; `extras` is by how much its output is larger than it must be."""
    dims = weight.ndim - 2
    if groups != 1 or dims == 1 or set(dilations) != {1} or any(map(int.__ge__, extras, strides)):
        parts = (three(strides, 1), three(pads, 0), three(dilations, 1), [groups], three(extras, 0))
        ints = [number for part in parts for number in part]
        return Op("full_convolution", ints, weight=weight, bias=bias)
    cls = getattr(nn, f"{_SPACE[dims]}FullConvolution")
    kinds = (weight.shape[2:], strides, pads, extras)
    return _with(cls(*weight.shape[:2], *(number for sizes in kinds for number in _torch_order(sizes))), weight, bias)


def three(sizes: Sequence[int], usual: int) -> list[int]:
    """Sizes of the three dims that ops of windows have."""
    return [usual] * (3 - len(sizes)) + list(sizes)


def _with(module: Module, weight: Any, bias: Any) -> Module:
    module.weight = weight
    if bias is None:
        module.noBias()  # type: ignore[attr-defined]
    else:
        module.bias = bias
    return module


def batch_norm(
    rank: int, mean: Any, variance: Any, weight: Any = None, bias: Any = None, eps: float = 1e-5, momentum: float = 0.1
) -> Module:
    """By the channels of an array of `rank` dims."""
    name = {4: "Spatial", 5: "Volumetric"}.get(rank, "")
    if rank == 3:
        return in_a_row(nn.Unsqueeze(3), batch_norm(4, mean, variance, weight, bias, eps, momentum), nn.Select(3, 0))
    module = getattr(nn, f"{name}BatchNormalization")(len(mean), eps, momentum, weight is not None or bias is not None)
    if weight is not None or bias is not None:
        module.weight = np.ones(len(mean)) if weight is None else weight
        module.bias = np.zeros(len(mean)) if bias is None else bias
    module.running_mean[...] = mean
    module.running_var[...] = variance
    return module  # type: ignore[no-any-return]


def pooling(
    kind: str,
    kernel: Sequence[int],
    strides: Sequence[int],
    pads: Sequence[Sequence[int]],
    dilations: Sequence[int],
    *,
    ceil: bool = False,
    counts_pads: bool = True,
) -> Module:
    """The greatest (`kind` "Max"), or the mean ("Average"), of windows over the last dims."""
    dims = len(kernel)
    before, after = pads
    border = None
    if list(before) != list(after):
        border = pad(before, after, value=-np.inf if kind == "Max" else 0)
        before = [0] * dims
    if dims > 1 and border is None and set(dilations) == {1} and (dims == 2 or kind == "Max" or not any(before)):
        name = f"{_SPACE[dims]}{kind}Pooling"
        kinds = [kernel, strides, *([before] if dims == 2 or kind == "Max" else [])]
        module = getattr(nn, name)(*(number for sizes in kinds for number in _torch_order(sizes)))
        if ceil:
            module.ceil()
        if kind == "Average" and not counts_pads and (any(before) or ceil):
            if not hasattr(module, "setCountExcludePad"):
                return _pooling_op(kind, kernel, strides, before, dilations, ceil, counts_pads)
            module.setCountExcludePad()
        return module  # type: ignore[no-any-return]
    return in_a_row(border, _pooling_op(kind, kernel, strides, before, dilations, ceil, counts_pads))


def _pooling_op(
    kind: str, kernel: Any, strides: Any, pads: Any, dilations: Any, ceil: bool, counts_pads: bool
) -> Module:
    windows = [number for sizes in zip(kernel, strides, pads, dilations, strict=True) for number in sizes]
    divisor = 0 if kind == "Max" else 1 if counts_pads else 2
    return Op(f"{kind.lower()}_pool", [len(kernel), int(ceil), divisor, *windows])


_BORDERS = {"constant": 0, "reflect": 1, "edge": 2}


def pad(before: Sequence[int], after: Sequence[int], mode: str = "constant", value: float = 0) -> Module:
    """Elements before and after, of the last dims; negative numbers cut some off."""
    changed = [place for place, sides in enumerate(zip(before, after, strict=True)) if any(sides)]
    if not changed:
        return nn.Identity()  # type: ignore[no-any-return]
    first, end = changed[0], changed[-1] + 1
    most = MOST_DIMS - 1 if len(before) > end else MOST_DIMS  # what follows counts as one
    if end - first > most:
        # Some now, the others then.
        now = [place < first + most for place in range(len(before))]
        parts = [
            [
                [size if is_now == wanted else 0 for size, is_now in zip(side, now, strict=True)]
                for side in (before, after)
            ]
            for wanted in (True, False)
        ]
        return in_a_row(*(pad(first_part, last_part, mode, value) for first_part, last_part in parts))
    sides = [int(number) for pair in zip(before[first:end], after[first:end], strict=True) for number in pair]
    return Op("pick", [end - first, len(before) - end, _BORDERS[mode], *sides], [value])


def repeated(factors: Sequence[int]) -> Module:
    """Each element several times, along the last dims."""
    changed = [place for place, factor in enumerate(factors) if factor != 1]
    if not changed:
        return nn.Identity()  # type: ignore[no-any-return]
    first, end = changed[0], changed[-1] + 1
    if end - first > (MOST_DIMS - 1 if len(factors) > end else MOST_DIMS):
        now = [factor if place < first + 1 else 1 for place, factor in enumerate(factors)]
        return in_a_row(repeated(now), repeated([1 if place < first + 1 else f for place, f in enumerate(factors)]))
    pairs = [number for factor in factors[first:end] for number in (factor, 0)]
    return Op("pick", [end - first, len(factors) - end, 3, *pairs], [0])


def interpolated(factors: Sequence[int], extras: Sequence[int]) -> Module:
    """Linear interpolation between the first and the last element of the last dims, to a size of a x + b."""
    changed = [place for place, pair in enumerate(zip(factors, extras, strict=True)) if pair != (1, 0)]
    if not changed:
        return nn.Identity()  # type: ignore[no-any-return]
    first, end = changed[0], changed[-1] + 1
    pairs = [number for pair in zip(factors[first:end], extras[first:end], strict=True) for number in pair]
    return Op("interpolate", [end - first, len(factors) - end, *pairs])


def softmax(axis: int, rank: int, *, log: bool = False) -> Module:
    """Along one dim."""
    if (rank, axis) in ((1, 0), (2, 1), (4, 1)):
        return nn.LogSoftMax() if log else nn.SoftMax()  # type: ignore[no-any-return]
    return Op("logsoftmax" if log else "softmax", [axis])


def transpose(order: Sequence[int]) -> Module:
    """The dims in another order."""
    return nn.Transpose(*transpositions(order))


def reduction(kind: str, axes: Sequence[int], *, keep: bool) -> Module:
    """The sum, mean, max or min along dims, counted from 0."""

    def one(axis: int) -> Module:
        if kind in ("max", "min"):
            return Op(f"reduce_{kind}", [axis, keep])
        return nn.Sum(axis, None, kind == "mean", not keep)

    return in_a_row(*map(one, sorted(axes, reverse=True))) if axes else nn.Identity()


def selected(axes: Sequence[int]) -> Module:
    """Without dims of size 1."""
    return in_a_row(*(nn.Select(axis, 0) for axis in sorted(axes, reverse=True))) if axes else nn.Identity()


def unsqueezed(axes: Sequence[int]) -> Module:
    """With new dims of size 1: where they are in the output."""
    return in_a_row(*(Op("replicate", [axis, 1]) for axis in sorted(axes))) if axes else nn.Identity()


def reshape(sizes: Sequence[int]) -> Module:
    """The same elements in order; -2 keeps the size at that place, -1 is inferred."""
    if sizes and min(sizes) > 0:
        return nn.Reshape(*sizes, batchMode=False)
    if len(sizes) > 1 and sizes[0] == -2 and min(sizes[1:]) > 0:
        return nn.Reshape(*sizes[1:], batchMode=True)
    return Op("reshape", sizes)


def clip(low: float | None, high: float | None) -> Module:
    """Between bounds, either of which may be missing."""
    if low is None and high is None:
        return nn.Identity()  # type: ignore[no-any-return]
    if high is None:
        return nn.ReLU() if low == 0 else nn.Threshold(low, low)
    if low is None:
        return in_a_row(nn.MulConstant(-1), nn.Threshold(-high, -high), nn.MulConstant(-1))
    return nn.HardTanh(low, high)


def activation(kind: str, *numbers: float) -> Module:
    """Functions of one array that are made of several modules: by nodes, as x comes in them twice."""
    inner: dict[str, Any] = {
        "silu": nn.Sigmoid,
        "mish": lambda: nn.Sequential(nn.SoftPlus(), nn.Tanh()),
        "hardswish": lambda: nn.Sequential(nn.MulConstant(1 / 6), nn.AddConstant(0.5), nn.HardTanh(0, 1)),
        "gelu_tanh": lambda: nn.Sequential(
            nn.ConcatTable().add(nn.Identity()).add(nn.Sequential(nn.Power(3), nn.MulConstant(0.044715))),
            nn.CAddTable(),
            nn.MulConstant(float(np.sqrt(2 / np.pi))),
            nn.Tanh(),
            nn.AddConstant(1),
            nn.MulConstant(0.5),
        ),
    }
    if kind in inner:
        return nn.Sequential(nn.ConcatTable().add(nn.Identity()).add(inner[kind]()), nn.CMulTable())
    if kind == "hardsigmoid":
        return nn.Sequential(nn.MulConstant(numbers[0]), nn.AddConstant(numbers[1]), nn.HardTanh(0, 1))
    if kind == "selu":
        alpha, gamma = numbers or (1.6732632423543772, 1.0507009873554805)
        return nn.Sequential(nn.ELU(alpha), nn.MulConstant(gamma))
    alpha = numbers[0]
    return nn.Sequential(nn.MulConstant(1 / alpha), nn.ELU(1), nn.MulConstant(alpha))  # celu
