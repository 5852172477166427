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
from contenders import OURS, Array, Contender
from onnx_models import Bound, bind_onnxruntime, bind_openvino
from pynngraph._pynngraph import ffi, lib

import pynngraph as nn
from pynngraph import tree
from pynngraph._engine import GRAD_INPUTS, GRAD_PARAMS

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


def with_pynngraph(
    module: Any, inputs: list[Array], grad_output: Array | None = None, pass_: str = FORWARD
) -> list[Contender]:
    """Call the module as its user does; and a plan of it, bound to arrays once and run from C."""
    return [_called(module, inputs, grad_output, pass_), _prepared(module, inputs, grad_output, pass_)]


def _table(inputs: list[Array]) -> Any:
    return inputs if len(inputs) > 1 else inputs[0]


def _called(module: Any, inputs: list[Array], grad_output: Array | None, pass_: str) -> Contender:
    if isinstance(module, nn.Criterion):
        module.forward(*inputs)
        return Contender(OURS, partial(module.forward, *inputs), lambda: [np.array([module.forward(*inputs)])])
    x = _table(inputs)
    module.forward(x)
    if pass_ == GRAD_WEIGHT:
        run = partial(module.accGradParameters, x, grad_output)
        return Contender(OURS, run, partial(_grad_weight_of, module, run))
    run = partial(module.forward, x) if pass_ == FORWARD else partial(module.updateGradInput, x, grad_output)
    return Contender(OURS, run, lambda: _as_one(tree.flatten(run())[0]))


def _prepared(module: Any, inputs: list[Array], grad_output: Array | None, pass_: str) -> Contender:
    ready = module.execution_apart().prepared(_table(inputs))
    plan, dtype = ready.plan, ready.lowered.dtype
    outputs = [limits.aligned(shape, dtype) for shape in ready.plan.outputs.shapes]
    gradients = [limits.aligned(shape, dtype) for shape in ready.input_shapes]
    ready.bind_params()
    plan.inputs.bind(inputs)
    plan.outputs.bind(outputs)
    # The plan has addresses only.
    held = (module, ready, inputs, outputs, grad_output, gradients)
    in_c = limits.compiled(nn.cpu_info().isa, np.dtype(dtype).name)
    if pass_ == FORWARD:
        run = partial(plan.forward, 0)
        seconds = partial(in_c.repeat_forward, _address(ffi.addressof(lib, "pnng_plan_forward")))
    else:
        mask = MASKS[pass_]
        plan.grad_outputs.bind([grad_output])
        plan.grad_inputs.bind(gradients)
        plan.forward(0)
        run = partial(plan.backward, 1.0, mask)
        seconds = partial(in_c.repeat_backward, _address(ffi.addressof(lib, "pnng_plan_backward")), mask)
    address = _address(plan._c)  # noqa: SLF001 - there is no public way around Python's calls

    def repeat(calls: int, _held: object = held) -> float:
        total = float(seconds(address, calls))
        if total < 0:
            message = "a prepared plan failed"
            raise RuntimeError(message)
        return total

    results: Callable[[], list[Array]] = partial(_as_one, outputs if pass_ == FORWARD else gradients)
    if pass_ == GRAD_WEIGHT:
        results = partial(_grad_weight_of, module, run)
    return Contender(ENGINE, run, results, repeat=repeat)


def _address(thing: Any) -> int:
    return int(ffi.cast("uintptr_t", thing))


def _grad_weight_of(module: Any, run: Callable[[], object]) -> list[Array]:
    """Return the gradient that one run adds to zeros."""
    module.zeroGradParameters()
    run()
    return [module.gradWeight.copy()]


def _as_one(arrays: list[Array]) -> list[Array]:
    """Return several arrays stacked, as the peers have them."""
    return arrays if len(arrays) == 1 else [np.stack(arrays)]


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


def onnx_peers(make: Any, inputs: list[Array], output: Array, constants: Sequence[Array] = ()) -> dict[str, Maker]:
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
    run, results = bind(model.SerializeToString(), named, {"y": output})
    return Contender(name, run, lambda: [np.atleast_1d(*results())])
