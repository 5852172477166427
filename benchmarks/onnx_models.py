"""ONNX Runtime and OpenVINO: a model of ONNX ops, run with bound buffers. They have no backward."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING, Any

import environment
import numpy as np
from contenders import Array, Arrays, Contender
from workloads import FORWARD, Graph, Step, Value

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

Bound = tuple["Callable[[], object]", "Callable[[], list[Array]]"]  # a run, and the outputs that it left


def bind_onnxruntime(model: bytes, inputs: dict[str, Array], outputs: dict[str, Array]) -> Bound:
    """Make a session of ONNX Runtime with bound buffers."""
    import onnxruntime  # noqa: PLC0415

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = environment.threads()
    options.inter_op_num_threads = 1
    options.log_severity_level = 3  # no warning of initializers that a graph does not use
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    binding = session.io_binding()
    values = {name: onnxruntime.OrtValue.ortvalue_from_numpy(array) for name, array in (inputs | outputs).items()}
    for name in inputs:
        binding.bind_ortvalue_input(name, values[name])
    for name in outputs:
        binding.bind_ortvalue_output(name, values[name])
    # The binding does not keep the arrays alive.
    held = (inputs, outputs, values)

    def run(_held: object = held) -> None:
        session.run_with_iobinding(binding)

    return run, lambda: [values[name].numpy() for name in outputs]


def bind_openvino(model: bytes, inputs: dict[str, Array], outputs: dict[str, Array]) -> Bound:
    """Make a request of OpenVINO with bound buffers."""
    import openvino  # noqa: PLC0415

    core = openvino.Core()
    request = core.compile_model(core.read_model(model), "CPU", _openvino_settings()).create_infer_request()
    for name, array in (inputs | outputs).items():
        request.set_tensor(name, openvino.Tensor(array, shared_memory=True))

    def run() -> None:
        request.infer(share_outputs=True)

    return run, lambda: list(outputs.values())


def _with_onnx(name: str, bind: Callable[..., Bound], model: bytes, graph: Graph, arrays: Arrays) -> Contender:
    inputs = {f"v{value.number}": arrays[value].reshape(_rows(value)) for value in graph.inputs}
    outputs = {f"v{value.number}": np.empty(_rows(value), arrays.dtype) for value in graph.outputs}
    run, results = bind(model, inputs, outputs)

    def shaped() -> list[Array]:
        return [y.reshape(value.shape) for y, value in zip(results(), graph.outputs, strict=True)]

    return Contender(name, run, shaped)


def with_onnxruntime(graph: Graph, arrays: Arrays, pass_: str) -> Contender | None:
    """ONNX Runtime."""
    if pass_ != FORWARD:
        return None
    return _with_onnx("ONNX Runtime", bind_onnxruntime, _model(graph, arrays), graph, arrays)


def with_openvino(graph: Graph, arrays: Arrays, pass_: str) -> Contender | None:
    """OpenVINO, which computes in float32 whatever it is given."""
    if pass_ != FORWARD or arrays.dtype != np.float32:
        return None
    model = _model(graph, arrays)
    if len(graph.steps) > SAFE_STEPS and not _openvino_survives(model):
        return None
    return _with_onnx("OpenVINO", bind_openvino, model, graph, arrays)


SAFE_STEPS = 50


def _openvino_settings() -> dict[str, Any]:
    return {
        "INFERENCE_NUM_THREADS": environment.threads(),
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_PRECISION_HINT": "f32",
    }


def _openvino_survives(model: bytes) -> bool:
    """Tell whether it compiles a model: 2026.4 crashes on 40 narrow Gemms and Tanhs of few rows."""
    code = "import sys, openvino as o; model = o.Core().read_model(sys.stdin.buffer.read())\n"
    code += f"o.compile_model(model, 'CPU', {_openvino_settings()})"
    return subprocess.run([sys.executable, "-c", code], input=model, capture_output=True, check=False).returncode == 0


def _model(graph: Graph, arrays: Arrays) -> bytes:
    from onnx import helper, numpy_helper  # noqa: PLC0415

    kind = helper.np_dtype_to_tensor_dtype(arrays.dtype)

    def info(value: Value) -> Any:
        return helper.make_tensor_value_info(f"v{value.number}", kind, _rows(value))

    constants = {"one": np.ones((), arrays.dtype)}
    constants.update((f"v{param.number}", arrays[param]) for param in graph.params)
    body = helper.make_graph(
        [node for step in graph.steps for node in _nodes(step)],
        "workload",
        [info(value) for value in graph.inputs],
        [info(value) for value in graph.outputs],
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    opsets = [helper.make_opsetid("", 17)]
    return helper.make_model(body, opset_imports=opsets, ir_version=8).SerializeToString()


def _nodes(step: Step) -> Iterator[Any]:
    from onnx import helper  # noqa: PLC0415

    names = [f"v{value.number}" for value in (*step.inputs, *step.params)]
    outputs = [f"v{value.number}" for value in step.outputs]
    if step.op == "linear":
        yield helper.make_node("Gemm", names, outputs, transB=1)
    elif step.op == "increment":
        yield helper.make_node("Add", [*names, "one"], outputs)
    elif step.op == "chunk":
        yield helper.make_node("Split", names, outputs, axis=1)
    elif step.op == "mul":  # of two at a time; there is no product of many
        (output,) = outputs
        left = names[0]
        for i, right in enumerate(names[1:], start=1):
            product = output if i == len(names) - 1 else f"{output}.{i}"
            yield helper.make_node("Mul", [left, right], [product])
            left = product
    else:
        add = "Add" if len(names) == 2 else "Sum"
        op = {"add": add, "relu": "Relu", "tanh": "Tanh", "sigmoid": "Sigmoid"}[step.op]
        yield helper.make_node(op, names, outputs)


def _rows(value: Value) -> tuple[int, ...]:
    """Return a shape of two dims, which is what Gemm wants: a vector is one row."""
    return (1, *value.shape) if len(value.shape) == 1 else value.shape
