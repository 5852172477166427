"""The suites `gemm` and `gemv`: the three products of a Linear, in many shapes.

For x (rows, depth) and weights (cols, depth) they are the output x W', the gradient of the input
g W, and the gradient of the weights g' x, which is added to what is there. There is no bias.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from kernels import (
    FORWARD,
    GRAD_INPUT,
    GRAD_WEIGHT,
    Kernel,
    Traffic,
    chosen,
    onnx_peers,
    with_numpy,
    with_pynngraph,
    with_torch,
)
from limits import aligned, levels

import pynngraph as nn

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from contenders import Array, Contender

FORMS = (FORWARD, GRAD_INPUT, GRAD_WEIGHT)
MOST = 2**30  # multiply-adds of a product that is drawn, some 20 ms
PEERS = """\
The products x W', g W and += g' x, without a bias. NumPy: dot with out=, for += an add more. PyTorch: mm with out=,
addmm_. ONNX Runtime, OpenVINO: a Gemm node, arrays bound; forward its weights are constants, so that it packs them
once, before it is timed; the gradients get them with each run, += as a sum of zeros and the product."""


class Shape(NamedTuple):
    """A Linear from `depth` to `cols` features, with an input of `rows`."""

    rows: int
    cols: int
    depth: int


def listed() -> Iterator[tuple[str, Shape]]:
    """Shapes of the suite gemm, by group, where no others are asked for."""
    for size in (8, 16, 32, 64, 127, 128, 129, 256, 512, 1000, 1023, 1024, 2048):
        yield "square", Shape(size, size, size)
    for rows in (1, 2, 4, 8, 16, 32):
        for size in (64, 256, 1024, 4096):
            yield "few rows", Shape(rows, size, size)
    for cols in (1, 4, 10):
        yield "few columns", Shape(256, cols, 1024)
    for depth in (4, 16):
        yield "little depth", Shape(512, 512, depth)
    yield "much depth", Shape(16, 16, 8192)
    yield "much depth", Shape(64, 64, 16384)
    # DeepBench: m x n x k there is cols x rows x depth here.
    for cols, rows, depth in (
        (1760, 16, 1760),
        (1760, 64, 1760),
        (2560, 32, 2560),
        (35, 700, 2048),
        (3072, 1, 1024),
        (7680, 2, 2560),
        (64, 1, 1216),
        (4224, 1, 128),
    ):
        yield "DeepBench", Shape(rows, cols, depth)


def drawn(count: int, seed: int) -> Iterator[tuple[str, Shape]]:
    """Shapes of all kinds: each size between 1 and 4096, as often small as large, half of them multiples of 16."""
    rng = np.random.default_rng(seed)
    while count:
        sizes = np.rint(2 ** rng.uniform(0, 12, 3)).astype(int)
        shape = Shape(*np.where(rng.random(3) < 0.5, (sizes + 15) // 16 * 16, sizes).tolist())
        if shape.rows * shape.cols * shape.depth <= MOST:
            count -= 1
            yield f"random, seed {seed}", shape


def gemm(dtype: str, shapes: Iterable[tuple[str, Shape]] = ()) -> Iterator[Kernel]:
    """All products of the shapes, or of those that are listed."""
    for group, shape in shapes or listed():
        for form in FORMS:
            yield _kernel("gemm", f"{group}: {_title(shape)}", shape, form, dtype)


def gemv(dtype: str) -> Iterator[Kernel]:
    """Products of a few rows, with weights in each level of memory."""
    for level in levels():
        # Twice as deep as wide, and a multiple of 16: 64 x 128 floats are 32 KiB.
        cols = int((level.footprint / np.dtype(dtype).itemsize / 2) ** 0.5) // 16 * 16
        for rows in (1, 2, 4):
            shape = Shape(rows, cols, 2 * cols)
            for form in (FORWARD, GRAD_INPUT):
                yield _kernel("gemv", f"weights in {level.name}: {_title(shape)}", shape, form, dtype)


def _title(shape: Shape) -> str:
    return f"{shape.rows} x {shape.depth} -> {shape.cols}"


def _kernel(suite: str, name: str, shape: Shape, form: str, dtype: str) -> Kernel:
    itemsize = np.dtype(dtype).itemsize
    x, w, y = shape.rows * shape.depth, shape.cols * shape.depth, shape.rows * shape.cols
    elements = x + w + y
    traffic = Traffic(elements * itemsize, inputs=1, writes=False)
    if form == GRAD_WEIGHT:  # that of the weights is read and written, as much as a copy does
        traffic = Traffic((elements + w) * itemsize, inputs=1, footprint=elements * itemsize)
    flops = 2.0 * shape.rows * shape.cols * shape.depth
    return Kernel(suite, name, form, flops, traffic, partial(_contenders, shape, form, dtype))


def _contenders(shape: Shape, form: str, dtype: str, peers: Sequence[str]) -> list[Contender]:
    rng = np.random.default_rng(0)

    def numbers(rows: int, cols: int) -> Array:
        array = aligned((rows, cols), dtype)
        array[...] = rng.standard_normal(array.shape)
        return array

    x, w, g = (
        numbers(shape.rows, shape.depth),
        numbers(shape.cols, shape.depth),
        numbers(shape.rows, shape.cols),
    )
    module = nn.Linear(shape.depth, shape.cols, bias=False).type(dtype)
    module.weight[...] = w
    makers = {FORWARD: _forward, GRAD_INPUT: _grad_input, GRAD_WEIGHT: _grad_weight}[form]
    return chosen(lambda: with_pynngraph(module, [x], g, form), makers(x, w, g), peers)


def _gemm_node(names: list[str], output: str, **attributes: int) -> list[Any]:
    from onnx import helper  # noqa: PLC0415

    return [helper.make_node("Gemm", names, [output], **attributes)]


def _forward(x: Array, w: Array, g: Array) -> dict[str, Any]:
    """Return the peers of x W'."""

    def torch_code(xs: list[Any], y: Any) -> Callable[[], object]:
        import torch  # noqa: PLC0415

        return partial(torch.mm, xs[0], xs[1].t(), out=y)

    y = aligned(g.shape, g.dtype)
    return {
        "NumPy": lambda: with_numpy(partial(np.dot, x, w.T, y), y),
        "PyTorch": lambda: with_torch(torch_code, [x, w], aligned(g.shape, g.dtype)),
        # Its weights are constants, as they are for a model that is only run.
        **onnx_peers(partial(_gemm_node, transB=1), [x], y, [w]),
    }


def _grad_input(x: Array, w: Array, g: Array) -> dict[str, Any]:
    """Return the peers of g W."""

    def torch_code(xs: list[Any], y: Any) -> Callable[[], object]:
        import torch  # noqa: PLC0415

        return partial(torch.mm, xs[0], xs[1], out=y)

    y = aligned(x.shape, x.dtype)
    return {
        "NumPy": lambda: with_numpy(partial(np.dot, g, w, y), y),
        "PyTorch": lambda: with_torch(torch_code, [g, w], aligned(x.shape, x.dtype)),
        **onnx_peers(_gemm_node, [g, w], y),
    }


def _grad_weight(x: Array, w: Array, g: Array) -> dict[str, Any]:
    """Return the peers of += g' x."""

    def numpy_peer() -> Contender:
        total, product, g_t = np.zeros_like(w), aligned(w.shape, w.dtype), g.T

        def run() -> None:
            np.dot(g_t, x, product)
            np.add(total, product, total)

        def result() -> list[Array]:
            total.fill(0)
            run()
            return [total]

        contender = with_numpy(run, total)
        return type(contender)(contender.name, run, result)

    def torch_peer() -> Contender:
        total = aligned(w.shape, w.dtype)
        total.fill(0)

        def code(xs: list[Any], y: Any) -> Callable[[], object]:
            return partial(y.addmm_, xs[0].t(), xs[1])

        contender = with_torch(code, [g, x], total)

        def result() -> list[Array]:
            total.fill(0)
            with contender.context():
                contender.run()
            return [total.copy()]

        return type(contender)(contender.name, contender.run, result, contender.context)

    # From zeros each time: what it adds to is an array of its own.
    return {
        "NumPy": numpy_peer,
        "PyTorch": torch_peer,
        **onnx_peers(partial(_gemm_node, transA=1), [g, x, np.zeros_like(w)], np.empty_like(w)),
    }
