"""A module as one file of C, for programs that link with the engine alone."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import __version__, tree
from .._engine import INDEX, Plan
from ..errors import GraphError, StructureError
from .atomic import replacing
from .onnx_export import without_watchers
from .parameters import named_cells

if TYPE_CHECKING:
    from ..nn.execution import Ready
    from ..nn.module import Module

_COLUMNS = 100

# What the engine takes of the file's memory beside the arena of a run, from above. Measured, on all instruction sets:
# 0.7 to 2.5 KiB an op forward, 1.4 to 4.8 KiB with a backward (char-rnn of 1,917 ops, a ResNet of 144).
_BYTES_BASE = 1 << 16
_BYTES_AN_OP = {False: 3 << 10, True: 6 << 10}

_KEYWORDS = {
    "auto",
    "break",
    "case",
    "char",
    "const",
    "continue",
    "default",
    "do",
    "double",
    "else",
    "enum",
    "extern",
    "float",
    "for",
    "goto",
    "if",
    "inline",
    "int",
    "long",
    "main",
    "register",
    "restrict",
    "return",
    "short",
    "signed",
    "sizeof",
    "static",
    "struct",
    "switch",
    "typedef",
    "union",
    "unsigned",
    "void",
    "volatile",
    "while",
}


def to_c(module: Module, input: Any, path: str | os.PathLike[str], *, backward: bool = False) -> None:
    """Write what a module computes for inputs of some sizes as one file of C.

    Parameters
    ----------
    module
        Any module; as it is, in training or in evaluation. It stays so.
    input
        An input of it: arrays nested as for ``forward``. The file is for arrays of these sizes.
    path
        Where to write it: ``model.c``, or ``model``, which is the same. Functions are called after it: ``model_init``.
    backward
        Whether to write ``model_backward`` too; parameters can be changed then.

    The file needs the header and the library of the engine (``make lib``), and nothing else: weights are in it, as they
    are to the last bit, and so is all memory. It takes none at run time. Where another file wants its functions, it
    says ``#define MODEL_DECLARATIONS`` and includes it. They are, for the name ``model``:

    - ``model_init()``: once, before all others.
    - ``model_forward(input0, ..., output0, ...)``: arrays one after another, from left to right; with a last argument
      ``uint64_t seed`` where a part of the module draws random numbers. Results are those of Python to the last bit,
      on the same instruction set.
    - ``model_backward(gradOutput0, ..., gradInput0, ..., scale)``: after a forward; it adds to gradients of parameters.
      NULL for all gradients of inputs leaves them out.
    - ``model_parameter(place)`` and ``model_gradient(place)``, ``model_parameter_name(place)``,
      ``model_parameter_size(place)``, ``model_zero_gradients()``, with `backward`.
    - ``model_error()``: what was wrong. ``model_memory_used()``: of ``MODEL_MEMORY`` bytes, which can be set when the
      file is compiled.

    Raises
    ------
    GraphError
        If a part of the module runs in Python.
    StructureError
        If the file's name is not one that functions of C can have.

    Examples
    --------
    >>> import tempfile, pathlib, numpy as np, pynngraph as nn
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     nn.to_c(nn.Sequential(nn.Linear(3, 2), nn.Tanh()), np.zeros((4, 3)), f"{folder}/model.c")
    ...     text = pathlib.Path(f"{folder}/model.c").read_text()
    >>> "pnng_status model_forward(const double *input0, double *output0);" in text
    True
    """
    place = os.fspath(path)
    place = place if place.endswith(".c") else f"{place}.c"
    name = os.path.basename(place)[:-2]  # noqa: PTH119 - pathlib is slow to import
    if not re.fullmatch("[A-Za-z_][A-Za-z0-9_]*", name) or name in _KEYWORDS or name.startswith("pnng_"):
        message = f"functions are called after the file, so that its name must be one that C allows, got {name!r}"
        raise StructureError(message)
    copy = module.clone().replace(without_watchers).type(module.type()).unfreeze()
    ready = copy.execution_apart().prepared(input)
    text = _Writer(copy, ready, name, backward=backward).text(tree.flatten(input)[0])
    with replacing(place) as file:
        file.write(text.encode("ascii"))


class _Writer:
    def __init__(self, module: Module, ready: Ready, name: str, *, backward: bool) -> None:
        if ready.lowered.program.hosts is not None:
            raise GraphError(f"{module.label()} has a part that runs in Python, which there is no C for")
        self._module = module
        self._lowered = ready.lowered
        self._program = ready.lowered.program
        self._plan = ready.plan
        self._name = name
        self._backward = backward
        self._real = "float" if ready.lowered.dtype == np.float32 else "double"
        # Values anew: inputs, parameters, and what ops give.
        order = [*self._program.inputs, *self._program.params]
        order += [value for *_, outs in self._program.ops for value in outs]
        self._numbers = {value: number for number, value in enumerate(order)}

    def text(self, inputs: Sequence[Any]) -> str:
        """The whole file."""
        name, upper = self._name, self._name.upper()
        shapes = [np.shape(leaf) for leaf in inputs]
        parts = [
            f"/* {_comment(self._module.label())}: what it computes for inputs of shapes {_comment(shapes)}.",
            f" * Written by to_c of pynngraph {__version__}; needs its header and its library.",
            f" * For declarations alone: #define {upper}_DECLARATIONS and include this file. */",
            f"#ifndef {upper}_C",
            f"#define {upper}_C",
            '#include "pynngraph.h"',
            "",
            *self._declarations(),
            "",
            f"#ifndef {upper}_DECLARATIONS",
            "#include <math.h>",
            "#include <string.h>",
            "",
            *self._memory(),
            "",
            *self._weights(),
            "",
            *self._tables(shapes),
            "",
            *_FUNCTIONS_HEAD.replace("MODEL", upper).replace("model", name).splitlines(),
            *self._init(),
            "",
            *self._forward(),
        ]
        if self._backward:
            parts += ["", *self._backward_text(), "", *self._access()]
        parts += ["#endif", "#endif", ""]
        return "\n".join(parts)

    # ---- what a caller sees ----------------------------------------------------------------------

    def _type(self, value: int) -> str:
        return "int64_t" if self._program.kinds[value] == INDEX else self._real

    def _array_arguments(self, kind: str, values: Sequence[int], const: str) -> list[str]:
        return [f"{const}{self._type(value)} *{kind}{place}" for place, value in enumerate(values)]

    def _forward_head(self) -> str:
        arguments = self._array_arguments("input", self._program.inputs, "const ")
        arguments += self._array_arguments("output", self._program.outputs, "")
        arguments += ["uint64_t seed"] if self._program.draws else []
        return _head(f"pnng_status {self._name}_forward", arguments)

    def _real_values(self, values: Sequence[int]) -> list[tuple[int, int]]:
        """Places and values of reals, which have gradients."""
        return [(place, value) for place, value in enumerate(values) if self._program.kinds[value] != INDEX]

    def _backward_head(self) -> str:
        arguments = [f"const {self._real} *gradOutput{place}" for place, _ in self._real_values(self._program.outputs)]
        arguments += [f"{self._real} *gradInput{place}" for place, _ in self._real_values(self._program.inputs)]
        return _head(f"pnng_status {self._name}_backward", [*arguments, "double scale"])

    def _declarations(self) -> Iterator[str]:
        name = self._name
        yield f"pnng_status {name}_init(void);"
        for kind, values in (("input", self._program.inputs), ("output", self._program.outputs)):
            for place, value in enumerate(values):
                yield f"/* {kind}{place}: {_comment(self._plan.shape(value))} */"
        yield f"{self._forward_head()};"
        yield f"const char *{name}_error(void);"
        yield f"size_t {name}_memory_used(void);"
        if self._backward:
            yield f"{self._backward_head()};"
            yield f"enum {{ {name.upper()}_PARAMETERS = {len(self._trained())} }};"
            yield f"const char *{name}_parameter_name(size_t place);"
            yield f"size_t {name}_parameter_size(size_t place);"
            yield f"{self._real} *{name}_parameter(size_t place);"
            yield f"{self._real} *{name}_gradient(size_t place);"
            yield f"void {name}_zero_gradients(void);"

    # ---- memory and numbers ----------------------------------------------------------------------

    def _memory(self) -> Iterator[str]:
        """Where programs, plans and arenas lie."""
        shapes = [self._plan.shape(value) for value in self._program.inputs]
        arena = Plan(self._program, self._lowered.dtype, shapes, backward=self._backward).arena_size
        # Arenas differ between instruction sets by what products are packed into.
        size = _BYTES_BASE + _BYTES_AN_OP[self._backward] * len(self._program.ops) + arena + arena // 2
        upper = self._name.upper()
        yield f"#ifndef {upper}_MEMORY"
        yield f"#define {upper}_MEMORY {-(-size // 4096) * 4096}"
        yield "#endif"
        yield f"_Alignas(PNNG_ARENA_ALIGNMENT) static unsigned char memory[{upper}_MEMORY];"

    def _trained(self) -> list[int]:
        """Places of parameters that have gradients."""
        return [place for place, cell in enumerate(self._lowered.cells) if cell.grad_store is not None]

    def _weights(self) -> Iterator[str]:
        """An array for each that there is, however many parameters share it."""
        self._weight_names: list[str] = []
        self._gradient_names: list[str] = []
        self._parameter_names: list[str] = []
        known = {id(cell.data_store): key for key, cell, _ in named_cells(self._module)}
        changed = {buffer for buffer, _ in self._program.updates}
        seen: dict[int, str] = {}
        for place, (value, cell) in enumerate(zip(self._program.params, self._lowered.cells, strict=True)):
            key = known.get(id(cell.data_store), f"number {place}")
            self._parameter_names.append(key)
            has_grad = cell.grad_store is not None
            if id(cell.data_store) not in seen:
                seen[id(cell.data_store)] = f"weight{place}"
                const = "" if value in changed or (self._backward and has_grad) else "const "
                yield f"/* {_comment(key)}: {_comment(cell.data.shape)} */"
                head = f"_Alignas(64) static {const}{self._real} weight{place}[{max(cell.data.size, 1)}]"
                yield from _array(head, _reals(cell.data, self._real))
            self._weight_names.append(seen[id(cell.data_store)])
            gradient = "NULL"
            if self._backward and cell.grad_store is not None:
                gradient = seen.setdefault(id(cell.grad_store), f"gradient{place}")
                if gradient == f"gradient{place}":
                    yield f"_Alignas(64) static {self._real} gradient{place}[{max(cell.data.size, 1)}];"
            self._gradient_names.append(gradient)

    def _tables(self, shapes: Sequence[tuple[int, ...]]) -> Iterator[str]:
        """The program as numbers."""
        ops = self._program.ops
        yield "static const struct {"
        yield "    const char *name;"
        yield "    size_t n_in, n_ints, n_nums, n_out;"
        yield "} ops[] = {"
        for op, ins, ints, nums, outs in ops:
            yield f'    {{"{op}", {len(ins)}, {len(ints)}, {len(nums)}, {len(outs)}}},'
        yield "    {NULL, 0, 0, 0, 0}," if not ops else ""
        yield "};"
        yield from _array(
            "static const pnng_value op_inputs[]", [str(self._numbers[value]) for _, ins, *_ in ops for value in ins]
        )
        yield from _array("static const int64_t op_ints[]", [_whole(n) for _, _, ints, *_ in ops for n in ints])
        numbers = np.array([n for *_, nums, _ in ops for n in nums], np.float64)
        yield from _array("static const double op_nums[]", _reals(numbers, "double"))
        yield from _array("static const pnng_shape input_shapes[]", [_shape(shape) for shape in shapes], "{0, {0}}")
        yield from _array(
            "static const int32_t input_kinds[]", [str(self._program.kinds[v]) for v in self._program.inputs]
        )
        cells = self._lowered.cells
        yield from _array(
            "static const pnng_shape weight_shapes[]", [_shape(cell.data.shape) for cell in cells], "{0, {0}}"
        )
        yield from _array("static const int32_t weight_grads[]", [str(int(c.grad_store is not None)) for c in cells])
        yield from _array(
            "static const pnng_value outputs[]", [str(self._numbers[value]) for value in self._program.outputs]
        )
        yield from _array(
            "static const pnng_value updates[][2]",
            [f"{{{self._numbers[buffer]}, {self._numbers[value]}}}" for buffer, value in self._program.updates],
            "{0, 0}",
        )

    # ---- functions -------------------------------------------------------------------------------

    def _init(self) -> Iterator[str]:
        name = self._name
        counts = {
            "N_VALUES": max([len(op[-1]) for op in self._program.ops], default=1),
            "FLAGS": "PNNG_PLAN_NO_ARENA" + (" | PNNG_PLAN_BACKWARD" if self._backward else ""),
            "DTYPE": "PNNG_F32" if self._real == "float" else "PNNG_F64",
        }
        program = self._program
        for what in ("inputs", "params", "ops", "outputs", "updates"):
            # In variables: a loop to a constant 0 gives a warning.
            yield f"static const size_t n_{what.replace('params', 'weights')} = {len(getattr(program, what))};"
        text = _INIT.replace("model", name)
        for key, count in counts.items():
            text = re.sub(rf"\b{key}\b", str(count), text)
        binds = [
            self._bind("PARAM", place, f"(void *)(uintptr_t){each}") for place, each in enumerate(self._weight_names)
        ]
        if self._backward:
            binds += [
                self._bind("GRAD_PARAM", place, each)
                for place, each in enumerate(self._gradient_names)
                if each != "NULL"
            ]
        for line in text.splitlines():
            if line.strip() == "BINDS":
                yield from binds
            else:
                yield line

    def _bind(self, group: str, place: int, array: str) -> str:
        return f"    slots[pnng_plan_slot(plan, PNNG_SLOT_{group}, {place})] = {array};"

    def _forward(self) -> Iterator[str]:
        yield f"{self._forward_head()} {{"
        yield "    if (!is_made)"
        yield "        return PNNG_ERROR_ORDER;"
        yield "    void **const slots = pnng_plan_slots(plan);"
        yield "    (void)slots;" if not self._program.inputs and not self._program.outputs else ""
        for place, _ in enumerate(self._program.inputs):
            yield self._bind("INPUT", place, f"(void *)(uintptr_t)input{place}")
        for place, _ in enumerate(self._program.outputs):
            yield self._bind("OUTPUT", place, f"output{place}")
        yield f"    return pnng_plan_forward(plan, {'seed' if self._program.draws else '0'});"
        yield "}"

    def _backward_text(self) -> Iterator[str]:
        yield f"{self._backward_head()} {{"
        yield "    if (!is_made)"
        yield "        return PNNG_ERROR_ORDER;"
        yield "    void **const slots = pnng_plan_slots(plan);"
        wanted = self._real_values(self._program.inputs)
        for place, _ in self._real_values(self._program.outputs):
            yield self._bind("GRAD_OUTPUT", place, f"(void *)(uintptr_t)gradOutput{place}")
        for place, _ in wanted:
            yield self._bind("GRAD_INPUT", place, f"gradInput{place}")
        condition = " && ".join(f"gradInput{place} == NULL" for place, _ in wanted) or "1"
        yield f"    const int32_t inputs = {condition} ? 0 : PNNG_GRAD_INPUTS;"
        yield "    return pnng_plan_backward(plan, scale, PNNG_GRAD_PARAMS | inputs);"
        yield "}"

    def _access(self) -> Iterator[str]:
        name, trained = self._name, self._trained()
        entries = []
        for place in trained:
            size, data = self._lowered.cells[place].data.size, self._weight_names[place]
            quoted = f'"{_text(self._parameter_names[place])}"'
            entries.append(f"{{{quoted}, {size}, {data}, {self._gradient_names[place]}}}")
        yield "static const struct {"
        yield "    const char *name;"
        yield "    size_t size;"
        yield f"    {self._real} *data, *gradient;"
        yield "} parameters[] = {"
        yield from (f"    {entry}," for entry in entries)
        yield "    {NULL, 0, NULL, NULL}," if not entries else ""
        yield "};"
        count = len(trained)
        for result, function, field, missing in (
            ("const char *", "parameter_name", "name", "NULL"),
            ("size_t ", "parameter_size", "size", "0"),
            (f"{self._real} *", "parameter", "data", "NULL"),
            (f"{self._real} *", "gradient", "gradient", "NULL"),
        ):
            yield f"{result}{name}_{function}(size_t place) {{"
            if count:
                yield f"    return place < {count} ? parameters[place].{field} : {missing};"
            else:
                yield "    (void)place;"
                yield f"    (void)parameters[0].{field};"
                yield f"    return {missing};"
            yield "}"
        yield f"void {name}_zero_gradients(void) {{"
        if count:
            yield f"    for (size_t k = 0; k < {count}; k++)"
            yield "        memset(parameters[k].gradient, 0, parameters[k].size * sizeof *parameters[k].gradient);"
        yield "}"


def _head(start: str, arguments: Sequence[str]) -> str:
    """A function's head, on lines that are not too long."""
    lines = [f"{start}("]
    for place, argument in enumerate(arguments):
        piece = argument + (", " if place + 1 < len(arguments) else "")
        if len(lines[-1]) + len(piece) > _COLUMNS - 3:
            lines.append(" " * 8)
        lines[-1] += piece
    return "\n".join(line.rstrip() for line in lines) + (")" if arguments else "void)")


def _array(head: str, entries: Sequence[str], empty: str = "0") -> Iterator[str]:
    """The definition of an array; of one entry where there are none."""
    yield f"{head} = {{"
    line = "   "
    for entry in entries or [empty]:
        if len(line) + len(entry) + 2 > _COLUMNS:
            yield line
            line = "   "
        line += f" {entry},"
    yield line
    yield "};"


def _reals(array: Any, kind: str) -> list[str]:
    """Reals as C reads them, to the last bit; all NaN are one."""
    end = "f" if kind == "float" else ""
    return [_real(number, end) for number in np.asarray(array).reshape(-1).tolist()]


def _real(number: float, end: str) -> str:
    if number != number:  # noqa: PLR0124 - NaN
        return "NAN"
    if number in (float("inf"), float("-inf")):
        return "INFINITY" if number > 0 else "-INFINITY"
    text = number.hex()
    digits, _, exponent = text.partition("p")
    digits = digits.rstrip("0").rstrip(".") if "." in digits else digits
    return f"{digits}p{exponent}{end}"


def _whole(number: int) -> str:
    return "INT64_MIN" if number == -(1 << 63) else str(number)


def _shape(shape: Iterable[int]) -> str:
    sizes = list(shape)
    return f"{{{len(sizes)}, {{{', '.join(map(str, sizes)) or '0'}}}}}"


def _comment(value: Any) -> str:
    """A value in a comment, which it cannot end."""
    text = str(value).replace("*/", "* /").replace("/*", "/ *")
    return "".join(letter if 32 <= ord(letter) < 127 else "?" for letter in text)


def _text(name: str) -> str:
    """A name in quotes."""
    return "".join(letter if 32 <= ord(letter) < 127 and letter not in '"\\?' else "_" for letter in name)


_FUNCTIONS_HEAD = """\
static pnng_program *program;
static pnng_plan *plan;
static size_t used, last; /* bytes of `memory`, and where the last piece of it begins */
static int is_made;
static const char *problem = "";

static void *take(void *user, size_t bytes) {
    (void)user;
    const size_t line = PNNG_ARENA_ALIGNMENT, start = (used + line - 1) / line * line;
    if (start > sizeof memory || bytes > sizeof memory - start) {
        problem = "MODEL_MEMORY is too small";
        return NULL;
    }
    last = start;
    used = start + bytes;
    return memory + start;
}

/* The last piece can be taken again; others stay. */
static void give_back(void *user, void *piece) {
    (void)user;
    if (piece == memory + last)
        used = last;
}

const char *model_error(void) {
    if (*problem != '\\0')
        return problem;
    return plan != NULL && *pnng_plan_error(plan) != '\\0' ? pnng_plan_error(plan)
           : program != NULL                             ? pnng_program_error(program)
                                                         : "";
}

size_t model_memory_used(void) { return used; }
"""

_INIT = """
static pnng_status build(void) {
    const pnng_allocator allocator = {take, give_back, NULL};
    pnng_value made[N_VALUES], value;
    pnng_status status = pnng_program_new(&allocator, &program);
    for (size_t k = 0; status == PNNG_OK && k < n_inputs; k++)
        status = pnng_program_input(program, input_kinds[k], input_kinds[k] == PNNG_REAL, &value);
    for (size_t k = 0; status == PNNG_OK && k < n_weights; k++)
        status = pnng_program_param(program, &weight_shapes[k], weight_grads[k], &value);
    const pnng_value *in = op_inputs;
    const int64_t *ints = op_ints;
    const double *nums = op_nums;
    for (size_t k = 0; status == PNNG_OK && k < n_ops; k++) {
        status = pnng_program_op(program, pnng_op_find(ops[k].name), in, ops[k].n_in, ints,
                                 ops[k].n_ints, nums, ops[k].n_nums, made, ops[k].n_out);
        in += ops[k].n_in;
        ints += ops[k].n_ints;
        nums += ops[k].n_nums;
    }
    for (size_t k = 0; status == PNNG_OK && k < n_outputs; k++)
        status = pnng_program_output(program, outputs[k]);
    for (size_t k = 0; status == PNNG_OK && k < n_updates; k++)
        status = pnng_program_update(program, updates[k][0], updates[k][1]);
    if (status == PNNG_OK)
        status = pnng_program_seal(program);
    if (status == PNNG_OK)
        status = pnng_plan_new(program, DTYPE, input_shapes, n_inputs, FLAGS, &plan);
    return status;
}

pnng_status model_init(void) {
    if (is_made)
        return PNNG_OK;
    used = last = 0;
    program = NULL;
    plan = NULL;
    problem = "";
    pnng_status status = build();
    if (status != PNNG_OK)
        return status;
    const size_t bytes = pnng_plan_arena_size(plan);
    if (bytes > 0) {
        void *const arena = take(NULL, bytes);
        if (arena == NULL)
            return PNNG_ERROR_MEMORY;
        status = pnng_plan_set_arena(plan, arena, bytes);
        if (status != PNNG_OK)
            return status;
    }
    void **const slots = pnng_plan_slots(plan);
    (void)slots;
BINDS
    is_made = 1;
    return PNNG_OK;
}
"""
