"""Single kernels: what is timed beside the limits of the machine, each as a row of contenders.

A `Kernel` is one call of a module, forward or one half of backward, and the same by the cheapest
call that each peer has: `out=` given in NumPy and PyTorch, buffers bound in ONNX Runtime and
OpenVINO. pynngraph is there twice: as its users call it, and as a prepared plan that is run from C,
where no Python is left to hide what the kernel takes.

The products are in `products.py`, everything else in `elements.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import limits
import numpy as np
from contenders import OURS, Array, Bound, Contender, bind_onnxruntime, bind_openvino

import pynngraph as nn
from pynngraph import tree
from pynngraph._engine import GRAD_INPUTS, GRAD_PARAMS
from pynngraph._pynngraph import ffi, lib

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

FORWARD, GRAD_INPUT, GRAD_WEIGHT, STEP = "forward", "gradInput", "gradWeight", "step"
ENGINE = f"{OURS}, prepared"
MASKS = {GRAD_INPUT: GRAD_INPUTS, GRAD_WEIGHT: GRAD_PARAMS}


@dataclass(frozen=True)
class Traffic:
    """Bytes that have to be moved, and the probe that moves them: `inputs` arrays read, one written or none.

    Each array counts once, one that is read and written twice. `footprint` is what they take, where that is less.
    """

    bytes: float
    inputs: int
    writes: bool = True
    footprint: float = 0


@dataclass(frozen=True)
class Kernel:
    """A row. `contenders` makes those that can do it, of the peers that are wanted, pynngraph's first."""

    suite: str
    name: str
    pass_: str
    flops: float  # 0 where they are not what limits it
    traffic: Traffic
    contenders: Callable[[Sequence[str]], list[Contender]]

    @property
    def level(self) -> str:
        """Where all the arrays are."""
        return limits.level_of(self.traffic.footprint or self.traffic.bytes)


Maker = Callable[[], "Contender | None"] if TYPE_CHECKING else Any


def chosen(ours: Callable[[], list[Contender]], peers: dict[str, Maker], names: Sequence[str]) -> list[Contender]:
    """Make ours, and those of the peers that are named and can do it."""
    made = (peers[name]() for name in names if name in peers)
    return [*ours(), *(contender for contender in made if contender is not None)]


# ---- pynngraph -----------------------------------------------------------------------------------


def _address(thing: Any) -> int:
    return int(ffi.cast("uintptr_t", thing))


def with_pynngraph(
    module: Any, inputs: list[Array], grad_output: Array | None = None, pass_: str = FORWARD
) -> list[Contender]:
    """Call the module as its user does; and a plan of it, bound to arrays once and run from C."""
    table = inputs if len(inputs) > 1 else inputs[0]
    is_criterion = isinstance(module, nn.Criterion)
    arguments = inputs if is_criterion else [table]
    module.forward(*arguments)
    if pass_ == FORWARD:
        public = partial(module.forward, *arguments)
    elif pass_ == GRAD_INPUT:
        public = partial(module.updateGradInput, *(inputs if is_criterion else (table, grad_output)))
    else:
        public = partial(module.accGradParameters, table, grad_output)

    def public_results() -> list[Array]:
        if pass_ == GRAD_WEIGHT:
            module.zeroGradParameters()
        result = public()
        return [module.gradWeight.copy()] if pass_ == GRAD_WEIGHT else _leaves(result)

    ready = module.execution_apart().prepared(table)
    plan = ready.plan
    ready.bind_params()
    results = [limits.aligned(shape, ready.lowered.dtype) for shape in ready.output_shapes]
    plan.bind_inputs(inputs)
    plan.bind_outputs(results)
    plan.forward(0)
    held: list[Any] = [module, ready, inputs, results, grad_output]
    if pass_ == FORWARD:
        run: Callable[[], object] = partial(plan.forward, 0)
        repeat = partial(_compiled(inputs).repeat_forward, _address(ffi.addressof(lib, "pnng_plan_forward")))
    else:
        mask = MASKS[pass_]
        plan.bind_grad_outputs([grad_output])
        gradients = [limits.aligned(shape, ready.lowered.dtype) for shape in ready.grad_shapes]
        plan.bind_grad_inputs(gradients)
        held.append(gradients)
        run = partial(plan.backward, 1.0, mask)
        function = _address(ffi.addressof(lib, "pnng_plan_backward"))

        def repeat(plan: int, calls: int) -> float:
            return float(_compiled(inputs).repeat_backward(function, plan, mask, calls))

        if pass_ == GRAD_INPUT:
            results = gradients

    def engine_results() -> list[Array]:
        if pass_ == GRAD_WEIGHT:
            module.zeroGradParameters()
            run()
            return [module.gradWeight.copy()]
        return _leaves(results)

    def repeat_plan(calls: int, _held: object = held) -> float:
        seconds = repeat(_address(plan._c), calls)
        if seconds < 0:
            message = "a prepared plan failed"
            raise RuntimeError(message)
        return float(seconds)

    return [
        Contender(OURS, public, public_results),
        Contender(ENGINE, run, engine_results, repeat=repeat_plan),
    ]


def _compiled(inputs: list[Array]) -> Any:
    return limits.compiled(nn.cpu_info().isa, inputs[0].dtype.name)


def _leaves(result: Any) -> list[Array]:
    """The result as one array: of several, stacked, as the peers have it."""
    leaves = [np.atleast_1d(leaf) for leaf in tree.flatten(result)[0]]
    return leaves if len(leaves) == 1 else [np.stack(leaves)]


# ---- peers ---------------------------------------------------------------------------------------


def with_numpy(run: Callable[[], object], output: Array) -> Contender:
    """Code that fills an array."""
    return Contender("NumPy", run, lambda: [output])


def with_torch(make: Callable[[list[Any], Any], Callable[[], object]], inputs: list[Array], output: Array) -> Contender:
    """Eager code that fills a tensor: `make(inputs, output)`."""
    import environment  # noqa: PLC0415
    import torch  # noqa: PLC0415

    torch.set_num_threads(environment.threads())
    run = make([torch.from_numpy(array) for array in inputs], torch.from_numpy(output))
    return Contender("PyTorch", run, lambda: [output], torch.inference_mode)


Nodes = "Callable[[list[str], str], list[Any]]"


def onnx_peers(
    make: Any, inputs: list[Array], output: Array, constants: Sequence[Array] = ()
) -> dict[str, Maker]:
    """Peers that run a model of ONNX ops: `make(names, output)` gives its nodes.

    The constants follow the inputs; runs are free to rearrange them beforehand.
    """
    return {
        "ONNX Runtime": partial(_with_onnxruntime, make, inputs, output, constants),
        "OpenVINO": partial(_with_openvino, make, inputs, output, constants),
    }


def _with_onnxruntime(make: Any, inputs: list[Array], output: Array, constants: Sequence[Array]) -> Contender | None:
    from onnxruntime.capi.onnxruntime_pybind11_state import NotImplemented as Missing  # noqa: PLC0415

    try:
        return _onnx("ONNX Runtime", bind_onnxruntime, make, inputs, np.empty_like(output), constants)
    except Missing:  # some ops are there for float32 only
        return None


def _with_openvino(make: Any, inputs: list[Array], output: Array, constants: Sequence[Array]) -> Contender | None:
    if output.dtype != np.float32:
        return None  # it computes in float32 whatever it is given
    return _onnx("OpenVINO", bind_openvino, make, inputs, np.empty_like(output), constants)


def _onnx(
    name: str,
    bind: Callable[..., Bound],
    make: Any,
    inputs: list[Array],
    output: Array,
    constants: Sequence[Array],
) -> Contender:
    from onnx import helper, numpy_helper  # noqa: PLC0415

    def info(name: str, array: Array) -> Any:
        return helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(array.dtype), array.shape)

    named = {f"x{k}": array for k, array in enumerate(inputs)}
    fixed = {f"c{k}": array for k, array in enumerate(constants)}
    graph = helper.make_graph(
        make([*named, *fixed], "y"),
        "kernel",
        [info(name, array) for name, array in named.items()],
        [info("y", output)],
        [numpy_helper.from_array(array, name) for name, array in fixed.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    run, result = bind(model.SerializeToString(), named, ("y", output))
    return Contender(name, run, lambda: [np.atleast_1d(result())])
