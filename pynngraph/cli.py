"""The command line: what is in a model file, and running it.

Exit codes: 0, all is done; 1, it could not be done, and one line says why; 2, the command is not one; 130, it was
interrupted.
"""

from __future__ import annotations

import argparse
import io
import os
import sys
from collections.abc import Sequence
from statistics import median
from time import perf_counter
from typing import Any

import numpy as np

from . import __version__, tree
from .errors import Error
from .graph.gmodule import gModule
from .io.files import load, save
from .io.inert import inert_modules
from .io.model_file import example_inputs
from .io.t7_reader import MAX_DIMS
from .nn.module import Module
from .text import Column, bytes_text, lines_of, shapes_of, shapes_text

EXAMPLES = """\
examples:
  python -m pynngraph info model.t7
  python -m pynngraph info checkpoint.t7 --key protos.rnn --input 50x65
  python -m pynngraph run model.t7 --input x.npy --output y.npy
  python -m pynngraph convert model.t7 model.safetensors --input 1x3x224x224
  python -m pynngraph convert model.t7 model.c --input 1x784
  python -m pynngraph convert model.t7 model.onnx --input 1x3x224x224
  python -m pynngraph draw model.t7 -o model.svg
  python -m pynngraph bench model.t7 --input 1x784 --batch 1,16,256
  python -m pynngraph explain model.t7 --input 16x784

An input is a .npy file, or sizes such as 16x784, for which numbers are drawn; 16x20:5 stands for indices below 5.
Give --input once for each array of the input. Files saved with an example input need none.

exit codes: 0, all is done; 1, it could not be done, and a line says why; 2, the command is not one; 130, interrupted"""

_MOST = 1 << 62  # of a size, and of an index

SECONDS = 0.5  # that a batch size is timed for
ROUNDS = 7


class _Failure(Exception):  # noqa: N818 - it is told, not raised, to the user
    """What a user is told in one line."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what a command says; the exit code.

    Examples
    --------
    >>> from pynngraph.cli import main
    >>> main(["info", "no such file.t7"])
    1
    """
    parsed = _parser().parse_args(arguments)
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:  # it was closed: what is told goes nowhere
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: PTH123, SIM115 - to the end
        elif isinstance(stream, io.TextIOWrapper):  # what a terminal cannot show is spelled out
            stream.reconfigure(errors="backslashreplace")
    try:
        parsed.command(parsed)
        sys.stdout.flush()
    except BrokenPipeError:  # whoever read the output has seen enough
        _give_up_output()
        return 1
    except (_Failure, Error, OSError, ValueError, MemoryError) as error:
        _give_up_output()
        print(f"pynngraph: {str(error) or 'out of memory'}", file=sys.stderr)  # noqa: T201 - this is the command line
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


def _give_up_output() -> None:
    """Let nothing more be said of output that could not be written."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m pynngraph",
        description="Look at model files, and run them.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")

    def add(name: str, function: Any, text: str, *, inputs: str = "") -> argparse.ArgumentParser:
        command = commands.add_parser(
            name, help=text, description=f"{text[0].upper()}{text[1:]}.", epilog=_examples_of(name),
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )  # fmt: skip
        command.set_defaults(command=function)
        command.add_argument("file", metavar="FILE", help="a .t7, .safetensors or .onnx file")
        command.add_argument("--key", default="", help="which part of the file's data is meant: protos.rnn")
        if inputs:
            command.add_argument("--input", action="append", default=[], metavar="X", help=inputs)
        return command

    given = "a .npy file, or sizes such as 16x784; once for each array"
    add("info", _info, "tell what is in a file, and what of it would not run", inputs=given)
    command = add("run", _run, "run a model on arrays from files", inputs=given)
    command.add_argument(
        "--output", required=True, metavar="Y", help="a .npy file; .npz where there are several arrays"
    )
    command = add("convert", _convert, "write what is in a file to one of another kind", inputs=given)
    command.add_argument("to", metavar="TO", help="a .t7, .safetensors, .npz, .onnx or .c file")
    command.add_argument("--ascii", action="store_true", help="write .t7 as text")
    command = add("draw", _draw, "draw a graph")
    command.add_argument("-o", "--output", required=True, metavar="PICTURE", help="a .svg, .png, .pdf or .dot file")
    command = add("bench", _bench, "time the forward of a model", inputs=given)
    command.add_argument("--batch", default="", help="sizes of the inputs' first dim: 1,16")
    add("explain", _explain, "tell the steps that the engine takes", inputs=given)
    return parser


def _examples_of(name: str) -> str:
    lines = [line for line in EXAMPLES.splitlines() if f"pynngraph {name} " in line]
    return "\n".join(["example:" if len(lines) == 1 else "examples:", *lines])


# ---- files and inputs ----------------------------------------------------------------------------


def _is_onnx(path: str) -> bool:
    return path.lower().endswith(".onnx")


def _value(parsed: argparse.Namespace) -> Any:
    """What the file holds, or the part of it that is meant."""
    value: Any
    if _is_onnx(parsed.file):
        from .io.onnx_import import from_onnx  # noqa: PLC0415 - only if it is wanted

        value = from_onnx(parsed.file)
    else:
        value = load(parsed.file)
    done = ""
    for part in filter(None, parsed.key.split(".")):
        known = dict(enumerate(value)) if isinstance(value, (list, tuple)) else value
        known = {str(key): entry for key, entry in known.items()} if isinstance(known, dict) else {}
        if part not in known:
            there = ", ".join(map(str, list(known)[:20])) or "nothing"
            raise _Failure(f"{parsed.file} has no {part!r}{f' in {done}' if done else ''}: there is {there}")
        value = known[part]
        done = f"{done}.{part}".lstrip(".")
    return value


def _model(parsed: argparse.Namespace) -> Module:
    """The model in the file, in evaluation."""
    value = _value(parsed)
    if not isinstance(value, Module):
        models = [f"--key {path}" for path, entry in _parts(value) if isinstance(entry, Module)]
        hint = f": give {' or '.join(models[:5])}" if models else ""
        raise _Failure(f"{parsed.file} holds {_kind(value)}, no model{hint}")
    return value.evaluate()


def _inputs(parsed: argparse.Namespace, model: Module, batch: int | None = None) -> Any:
    """The input that a command gives, else one as in the file."""
    if parsed.input:
        arrays = [_array(text, model, batch) for text in parsed.input]
        return arrays[0] if len(arrays) == 1 else arrays
    structure, shapes = _example(parsed)
    if structure is None:
        raise _Failure("give the sizes of the input: --input 16x784, once for each array")
    return tree.rebuild(structure, [_drawn(shape, 1 if is_index else None, model, batch) for shape, is_index in shapes])


def _example(parsed: argparse.Namespace) -> tuple[tree.Structure | None, list[tuple[tuple[int, ...], bool]]]:
    """The input that the file was saved with, if there is one."""
    return (None, []) if _is_onnx(parsed.file) else example_inputs(parsed.file)


def _array(text: str, model: Module, batch: int | None) -> Any:
    sizes, _, below = text.partition(":")
    if sizes.replace("x", "").isdecimal() and (below.isdecimal() or not below) and "xx" not in sizes:
        shape = tuple(int(size) for size in sizes.split("x") if size)
        return _drawn(shape, int(below) if below else None, model, batch)
    try:
        with open(text, "rb") as file:  # noqa: PTH123 - pathlib is slow to import
            array = np.lib.format.read_array(file, allow_pickle=False)
    except FileNotFoundError:
        raise _Failure(f"--input takes sizes such as 16x784, or a .npy file; there is none called {text!r}") from None
    except (ValueError, EOFError) as error:
        raise _Failure(f"--input {text}: no .npy file of numbers: {error}") from None
    if array.dtype.kind not in "biuf":
        raise _Failure(f"--input {text}: an array of real numbers is wanted, got one of {array.dtype}")
    if batch is not None:
        array = np.resize(array, (batch, *array.shape[1:]))
    return array if array.dtype.kind in "iu" else array.astype(model.dtype)


def _drawn(shape: tuple[int, ...], below: int | None, model: Module, batch: int | None) -> Any:
    """Numbers for an input: indices if they are to be below something."""
    shape = shape if batch is None else (batch, *shape[1:])
    if len(shape) > MAX_DIMS or max(shape, default=0) >= _MOST or (below is not None and not 0 < below <= _MOST):
        text = "x".join(map(str, shape[:9]))
        raise _Failure(f"--input {text}{'' if below is None else f':{below}'}: there are no such arrays")
    rng = np.random.default_rng(1)
    return rng.standard_normal(shape).astype(model.dtype) if below is None else rng.integers(0, below, shape)


# ---- commands ------------------------------------------------------------------------------------


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")


def _info(parsed: argparse.Namespace) -> None:
    value = _value(parsed)
    if isinstance(value, Module):
        _tell_model(parsed, value)
        return
    _say(f"{parsed.file}: {_kind(value)}")
    for path, entry in _parts(value):
        _say(f"  {path}: {_kind(entry)}")


def _tell_model(parsed: argparse.Namespace, model: Module) -> None:
    from .graph.summary import summary  # noqa: PLC0415 - only if it is wanted

    inert = inert_modules(model)
    structure = None if inert or parsed.input else _example(parsed)[0]
    is_known = not inert and (parsed.input or structure is not None)
    summary(model, _inputs(parsed, model) if is_known else None)
    if isinstance(model, gModule):
        _say(f"inputs: {model.nInputs}; outputs: {len(model.outputs)}")
    _say(f"mode: {'training' if model.train else 'evaluation'}")
    for module in inert:
        nodes = [node.label() for node in _nodes(model) if node.module is module]
        _say(f"would not run: {module.reason}{f', which {nodes[0]} needs' if nodes else ''}")


def _nodes(model: Module) -> list[Any]:
    graphs = {id(module): module for module in model.listModules() if isinstance(module, gModule)}
    return [node for graph in graphs.values() for node in graph]


def _parts(value: Any, path: str = "", depth: int = 0) -> list[tuple[str, Any]]:
    """What is in data, by paths."""
    if depth == 4 or not isinstance(value, (dict, list, tuple)):
        return []
    entries = list(value.items() if isinstance(value, dict) else enumerate(value))
    found = []
    for key, entry in entries[:50]:
        here = f"{path}.{key}".lstrip(".")
        found += [(here, entry), *(_parts(entry, here, depth + 1) if not _is_plain_list(entry) else ())]
    return found


def _is_plain_list(value: Any) -> bool:
    return isinstance(value, (list, tuple)) and not any(isinstance(x, (dict, list, tuple, Module)) for x in value)


def _kind(value: Any) -> str:
    """A value in a few words."""
    if isinstance(value, Module):
        return value.label()
    if isinstance(value, np.ndarray):
        return f"an array of {shapes_text(value.shape)}, {value.dtype}"
    if isinstance(value, (list, tuple, dict)):
        return f"a {type(value).__name__} of {len(value)}"
    return value if isinstance(value, str) and len(value) < 60 and value.isprintable() else repr(value)[:60]


def _run(parsed: argparse.Namespace) -> None:
    if not parsed.output.lower().endswith((".npy", ".npz")):
        raise _Failure(f"--output takes a .npy or .npz file, got {parsed.output!r}")
    model = _model(parsed)
    output = model.forward(_inputs(parsed, model))
    leaves, structure = tree.flatten(output)
    if parsed.output.lower().endswith(".npz"):
        paths = [path.strip("[]").replace("][", ".") or "output" for path in tree.paths(structure)]
        save(parsed.output, dict(zip(paths, leaves, strict=True)))
    elif structure:
        raise _Failure(f"the output is {tree.describe(structure)}: give a .npz file for it")
    else:
        from .io.atomic import replacing  # noqa: PLC0415 - only here

        with replacing(parsed.output) as file:
            np.save(file, output)
    _say(f"{parsed.output}: {shapes_of(output)}")


def _convert(parsed: argparse.Namespace) -> None:
    if parsed.ascii and not parsed.to.lower().endswith(".t7"):
        raise _Failure(f"--ascii is a form of .t7 files, got {parsed.to!r}")
    write = _writer(parsed.to)
    value = _value(parsed) if write is None else _model(parsed)
    if parsed.input and not isinstance(value, Module):
        raise _Failure(f"{parsed.file} holds {_kind(value)}, no model that an input could be for")
    if write is None:
        save(parsed.to, value, ascii=parsed.ascii, input=_inputs(parsed, value) if parsed.input else None)
    else:
        write(value, _inputs(parsed, value), parsed.to)
    _say(f"{parsed.to}: {_kind(value)}, {bytes_text(os.path.getsize(parsed.to))}")  # noqa: PTH202 - pathlib is slow


def _writer(path: str) -> Any:
    """The function that writes what needs an input; None for other files."""
    if _is_onnx(path):
        from .io.onnx_export import to_onnx  # noqa: PLC0415 - only if it is wanted

        return to_onnx
    if path.lower().endswith(".c"):
        from .io.to_c import to_c  # noqa: PLC0415 - only if it is wanted

        return to_c
    return None


def _draw(parsed: argparse.Namespace) -> None:
    from .graph.draw import PICTURES, TEXTS, dot  # noqa: PLC0415 - only if it is wanted

    endings = tuple(f".{kind}" for kind in (*PICTURES, *TEXTS))
    if not parsed.output.lower().endswith(endings):
        raise _Failure(f"--output takes one of {', '.join(endings)}, got {parsed.output!r}")
    model = _model(parsed)
    if not isinstance(model, gModule):
        raise _Failure(f"{parsed.file} holds {model.label()}, no graph")
    dot(model, path=parsed.output)
    _say(parsed.output)


def _bench(parsed: argparse.Namespace) -> None:
    model = _model(parsed)
    batches = [_batch(text) for text in parsed.batch.split(",")] if parsed.batch else [None]
    rows = []
    for batch in batches:
        input = _inputs(parsed, model, batch)
        model.forward(input)
        start = perf_counter()
        model.forward(input)
        calls = max(1, int(SECONDS / ROUNDS / max(perf_counter() - start, 1e-7)))
        seconds = median(_seconds(model, input, calls) for _ in range(ROUNDS))
        first = tree.flatten(input)[0][0]
        per_second = (first.shape[0] if first.ndim else 1) / seconds
        rows.append((shapes_of(input), f"{seconds * 1e6:,.1f}", f"{per_second:,.0f}"))
    headings = ("input", "µs a forward", "rows a second")
    columns = [
        Column(heading, list(texts), is_number=place > 0)
        for place, (heading, texts) in enumerate(zip(headings, zip(*rows, strict=True), strict=True))
    ]
    _say("\n".join(lines_of(columns)))


def _batch(text: str) -> int:
    if not text.strip().isdecimal():
        raise _Failure(f"--batch takes sizes such as 1,16, got {text!r}")
    return int(text)


def _seconds(model: Module, input: Any, calls: int) -> float:
    start = perf_counter()
    for _ in range(calls):
        model.forward(input)
    return (perf_counter() - start) / calls


def _explain(parsed: argparse.Namespace) -> None:
    from .graph.explain import explain  # noqa: PLC0415 - only if it is wanted

    model = _model(parsed)
    explain(model, _inputs(parsed, model))
