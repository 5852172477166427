"""The binding: arrays in, arrays out, statuses to exceptions.

The only file that knows ``ffi`` and ``lib``. Programs, plans and runs are those of
``csrc/include/pynngraph.h``, where the calls are described.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import numpy as np

from . import errors, tree
from ._pynngraph import ffi, lib

Array: TypeAlias = "np.ndarray[Any, Any]"
Shape: TypeAlias = tuple[int, ...]
Value: TypeAlias = int

REAL: int = lib.PNNG_REAL
INDEX: int = lib.PNNG_INDEX
GRAD_INPUTS: int = lib.PNNG_GRAD_INPUTS
GRAD_PARAMS: int = lib.PNNG_GRAD_PARAMS
MAX_DIMS: int = lib.PNNG_MAX_DIMS

VERSION: str = ffi.string(lib.pnng_version()).decode()

_DTYPES: dict[Any, int] = {np.dtype(np.float32): lib.PNNG_F32, np.dtype(np.float64): lib.PNNG_F64}
INDEX_DTYPE = np.dtype(np.int64)
LINE = 64  # bytes of a cache line
CONTIGUOUS, ALIGNED, WRITEABLE = 0x1, 0x100, 0x400  # NumPy's flags of arrays; contiguous in C's order

_EXCEPTIONS: dict[int, type[Exception]] = {
    lib.PNNG_ERROR_MEMORY: MemoryError,
    lib.PNNG_ERROR_ARGUMENT: errors.Error,
    lib.PNNG_ERROR_SHAPE: errors.ShapeError,
    lib.PNNG_ERROR_TYPE: errors.DTypeError,
    lib.PNNG_ERROR_VALUE: errors.DataError,
    lib.PNNG_ERROR_UNBOUND: errors.StateError,
    lib.PNNG_ERROR_BUSY: errors.StateError,
    lib.PNNG_ERROR_ORDER: errors.StateError,
    lib.PNNG_ERROR_ISA: errors.StateError,
    lib.PNNG_ERROR_HOST: errors.Error,
    lib.PNNG_ERROR_THREADS: errors.StateError,
    lib.PNNG_ERROR_FORMAT: errors.FileFormatError,
    lib.PNNG_ERROR_FILE: errors.Error,
}


class OpInfo(NamedTuple):
    """A row of the registry of ops."""

    code: int
    name: str
    family: str
    min_inputs: int
    max_inputs: int
    n_outputs: int
    n_ints: int
    n_nums: int
    formula: str


def _read_ops() -> dict[str, OpInfo]:
    count = ffi.new("size_t *")
    table = lib.pnng_op_table(count)
    rows = (table[code] for code in range(count[0]))
    infos = [
        OpInfo(
            code,
            ffi.string(row.name).decode(),
            ffi.string(row.family).decode(),
            row.min_inputs,
            row.max_inputs,
            row.n_outputs,
            row.n_ints,
            row.n_nums,
            ffi.string(row.formula).decode(),
        )
        for code, row in enumerate(rows)
    ]
    return {info.name: info for info in infos}


OPS: dict[str, OpInfo] = _read_ops()


class CpuInfo(NamedTuple):
    """What :func:`cpu_info` tells.

    ``isa`` is the instruction set in use, ``available`` all that this machine offers, best last; ``requested``
    is the value of the environment variable ``PYNNGRAPH_ISA``, or None; ``vector_bytes`` is the width of one vector;
    ``l1d_bytes``, ``l2_bytes`` and ``l3_bytes`` are the sizes of the caches that a core uses (usual ones where the
    system does not tell; the third is the second where there is no third).
    """

    isa: str
    available: tuple[str, ...]
    requested: str | None
    vector_bytes: int
    l1d_bytes: int
    l2_bytes: int
    l3_bytes: int


def cpu_info() -> CpuInfo:
    """The instruction set in use, those that could be, and the sizes of caches.

    Raises
    ------
    StateError
        When ``PYNNGRAPH_ISA`` asks for what this machine does not offer.

    Examples
    --------
    >>> import pynngraph as nn
    >>> nn.cpu_info().isa in nn.cpu_info().available
    True
    """
    info = lib.pnng_cpu_info()
    if info.problem != ffi.NULL:
        raise errors.StateError(ffi.string(info.problem).decode())
    requested = None if info.requested == ffi.NULL else ffi.string(info.requested).decode()
    available = tuple(ffi.string(info.available).decode().split())
    caches = info.l1d_bytes, info.l2_bytes, info.l3_bytes
    return CpuInfo(ffi.string(info.isa).decode(), available, requested, info.vector_bytes, *caches)


MAX_THREADS: int = lib.PNNG_MAX_THREADS


def get_num_threads() -> int:
    """How many threads a forward or backward may use, the calling one included.

    That is what :func:`set_num_threads` or the environment variable ``PYNNGRAPH_NUM_THREADS`` set, or else the
    number of CPUs that affinity and control groups leave to this process.

    Raises
    ------
    StateError
        When ``PYNNGRAPH_NUM_THREADS`` is not a number of threads.

    Examples
    --------
    >>> import pynngraph as nn
    >>> nn.get_num_threads() >= 1
    True
    """
    problem = lib.pnng_threads_problem()
    if problem != ffi.NULL:
        raise errors.StateError(ffi.string(problem).decode())
    return int(lib.pnng_threads())


def set_num_threads(count: int) -> None:
    """Set how many threads forward and backward may use from here on, in all threads of the program.

    No result depends on it, not by one bit. Where one thread is faster, one is used. Threads are started when they are
    first needed, and sleep when there is nothing to do.

    Parameters
    ----------
    count
        At least 1: the calling thread alone.

    Raises
    ------
    ValueError
        When there cannot be so many.

    Examples
    --------
    >>> import pynngraph as nn
    >>> before = nn.get_num_threads()
    >>> nn.set_num_threads(2)
    >>> nn.get_num_threads()
    2
    >>> nn.set_num_threads(before)
    """
    number = operator.index(count)
    if not 1 <= number <= MAX_THREADS:
        raise ValueError(f"a number of threads is from 1 to {MAX_THREADS}, got {number}")
    lib.pnng_set_threads(number)


class EngineFailure(Exception):  # noqa: N818 - it never leaves the package under this name
    """A status other than OK: the exception to raise, and the op at fault (-1: none)."""

    def __init__(self, exception: type[Exception], message: str, op: int) -> None:
        super().__init__(message)
        self.exception = exception
        self.message = message
        self.op = op


def _check(status: int, message: Any, op: int = -1) -> None:
    """Raise what a status other than OK stands for."""
    if status == lib.PNNG_OK:
        return
    text = ffi.string(message).decode(errors="replace") if message != ffi.NULL else ""
    if not text:
        text = ffi.string(lib.pnng_status_name(status)).decode()
    raise EngineFailure(_EXCEPTIONS.get(status, errors.Error), text, op)


def _text_of(function: Callable[..., int], *arguments: Any) -> str:
    """What a function writes that is given a buffer, its size, and where to say how much it needs."""
    needed = ffi.new("size_t *")
    _check(function(*arguments, ffi.NULL, 0, needed), ffi.NULL)
    buffer = ffi.new("char[]", needed[0])
    _check(function(*arguments, buffer, needed[0], needed), ffi.NULL)
    text: str = ffi.string(buffer).decode()
    return text


def _shape_array(shapes: Sequence[Shape]) -> Any:
    for shape in shapes:
        if len(shape) > MAX_DIMS:
            message = f"an array has at most {MAX_DIMS} dims here, got shape {shape}"
            raise errors.ShapeError(message)
    return ffi.new("pnng_shape[]", [(len(shape), shape) for shape in shapes])


def _shape_tuple(shape: Any) -> Shape:
    return tuple(shape.dim[0 : shape.ndim])


# ---- host steps ----------------------------------------------------------------------------------


if TYPE_CHECKING:
    from typing import Protocol

    class HostStep(Protocol):
        """What does a host step: the arrays are its own to keep."""

        def infer(self, shapes: list[Shape]) -> list[Shape]:
            """Shapes of the outputs for those of the inputs."""

        def forward(self, inputs: list[Array]) -> list[Array]:
            """The outputs, of the inferred shapes."""

        def backward(self, grad_outputs: list[Array], scale: float, mask: int) -> list[Array | None]:
            """Gradients of the last forward's inputs; None stands for zeros."""

        @property
        def has_parameters(self) -> bool:
            """Whether there are gradients of parameters to add to."""


class _Hosts:
    """The host steps of one program, as the C callbacks see them."""

    def __init__(self) -> None:
        self.steps: list[HostStep] = []
        self.dtype: Any = None
        self.shapes: dict[int, tuple[list[Shape], list[Shape]]] = {}
        self.kinds: list[list[int]] = []
        self.raised: BaseException | None = None

    def arrays(self, number: int, side: int, pointers: Any) -> list[Array]:
        """Copies of the arrays at some addresses: plans may go before who keeps the arrays."""
        copies = []
        for place, shape in enumerate(self.shapes[number][side]):
            is_index = side == 0 and self.kinds[number][place] == INDEX
            array = np.empty(shape, INDEX_DTYPE if is_index else self.dtype)
            if pointers[place] == ffi.NULL:
                array.fill(0)
            elif array.nbytes:
                ffi.memmove(ffi.from_buffer(array), pointers[place], array.nbytes)
            copies.append(array)
        return copies

    def store(self, pointer: Any, array: Array | None, shape: Shape) -> None:
        """Write a result to where the engine wants it."""
        if array is None:
            array = np.zeros(shape, self.dtype)
        dense = np.ascontiguousarray(array, self.dtype)
        if dense.nbytes:
            ffi.memmove(pointer, ffi.from_buffer(dense), dense.nbytes)


def _guarded(function: Callable[..., None]) -> Callable[..., int]:
    """A callback that keeps an exception for later and returns a status."""

    def callback(user: Any, *arguments: Any) -> int:
        hosts: _Hosts = ffi.from_handle(user)
        try:
            function(hosts, *arguments)
        except BaseException as exception:  # noqa: BLE001 - it is raised again when C has returned
            hosts.raised = exception
            return int(lib.PNNG_ERROR_HOST)
        return int(lib.PNNG_OK)

    return callback


@ffi.def_extern("pnng_host_infer")  # type: ignore[untyped-decorator]
@_guarded
def _host_infer(hosts: _Hosts, number: int, shapes: Any, n_in: int, out: Any, n_out: int) -> None:
    inputs = [_shape_tuple(shapes[place]) for place in range(n_in)]
    outputs = hosts.steps[number].infer(inputs)
    if len(outputs) != n_out:
        message = f"a host step of {n_out} outputs gave shapes of {len(outputs)}"
        raise errors.ShapeError(message)
    for place, shape in enumerate(outputs):
        out[place] = (len(shape), shape)


@ffi.def_extern("pnng_host_forward")  # type: ignore[untyped-decorator]
@_guarded
def _host_forward(hosts: _Hosts, number: int, inputs: Any, _n_in: int, outputs: Any, n_out: int) -> None:
    results = hosts.steps[number].forward(hosts.arrays(number, 0, inputs))
    shapes = hosts.shapes[number][1]
    for place in range(n_out):
        hosts.store(outputs[place], results[place], shapes[place])


@ffi.def_extern("pnng_host_backward")  # type: ignore[untyped-decorator]
@_guarded
def _host_backward(
    hosts: _Hosts,
    number: int,
    _inputs: Any,
    n_in: int,
    grad_outputs: Any,
    _n_out: int,
    grad_inputs: Any,
    scale: float,
    mask: int,
) -> None:
    results = hosts.steps[number].backward(hosts.arrays(number, 1, grad_outputs), scale, mask)
    shapes = hosts.shapes[number][0]
    for place in range(n_in):
        if grad_inputs[place] != ffi.NULL:
            hosts.store(grad_inputs[place], results[place], shapes[place])


# ---- programs ------------------------------------------------------------------------------------


def aligned(room: Array, shape: Shape, dtype: Any) -> Array:
    """Make an array in the memory of a longer one of bytes, from a cache line on.

    Its base is a buffer of cffi. An array's view's view holds the array alone, so that nobody would know whether the
    view is held as well; a view of what is made of a buffer holds that.
    """
    start = ffi.from_buffer(room)
    array: Array = np.ndarray(shape, dtype, ffi.buffer(start), -int(ffi.cast("uintptr_t", start)) % LINE)
    return array


def constant(array: Array) -> Array:
    """Copy an array to the memory of a bytes object, from a cache line on: nobody can write to it ever after."""
    room = bytes(array.nbytes + LINE)
    start = ffi.from_buffer(room)
    offset = -int(ffi.cast("uintptr_t", start)) % LINE
    # Before anybody has seen it.
    ffi.memmove(start + offset, ffi.from_buffer(np.ascontiguousarray(array)), array.nbytes)
    copy: Array = np.ndarray(array.shape, array.dtype, room, offset)
    return copy


class Program:
    """A list of ops over values; grows until it is sealed."""

    def __init__(self) -> None:
        pointer = ffi.new("pnng_program **")
        _check(lib.pnng_program_new(ffi.NULL, pointer), ffi.NULL)
        self._c = ffi.gc(pointer[0], lib.pnng_program_free)
        self._value = ffi.new("pnng_value *")
        self.kinds: list[int] = []
        self.hosts: _Hosts | None = None
        self._host_handle: Any = None
        self._host_inputs: list[tuple[tuple[Value, ...], tuple[Value, ...]]] = []
        self.inputs: list[Value] = []
        self.params: list[Value] = []
        self.outputs: list[Value] = []
        self.updates: list[tuple[Value, Value]] = []  # of buffers, by values
        self.ops: list[tuple[str, tuple[Value, ...], tuple[int, ...], tuple[float, ...], tuple[Value, ...]]] = []

    def _check(self, status: int) -> None:
        if status:
            _check(status, lib.pnng_program_error(self._c), self.n_ops)

    @property
    def n_ops(self) -> int:
        """How many ops there are."""
        return int(lib.pnng_program_n_ops(self._c))

    @property
    def draws(self) -> bool:
        """Whether some op draws random numbers."""
        return bool(lib.pnng_program_draws(self._c))

    def input(self, kind: int, *, has_grad: bool = True) -> Value:
        """A new input, of reals or of indices."""
        self._check(lib.pnng_program_input(self._c, kind, has_grad, self._value))
        self.kinds.append(kind)
        self.inputs.append(int(self._value[0]))
        return self.inputs[-1]

    def param(self, shape: Shape, *, has_grad: bool) -> Value:
        """A new parameter, or a buffer when it has no gradient."""
        c_shape = _shape_array([shape])
        self._check(lib.pnng_program_param(self._c, c_shape, has_grad, self._value))
        self.kinds.append(REAL)
        self.params.append(int(self._value[0]))
        return self.params[-1]

    def pack(self, param: Value) -> None:
        """Let plans read a parameter in a packed form, where that is faster; see :meth:`Plan.pack`."""
        self._check(lib.pnng_program_pack(self._c, param))

    def update(self, buffer: Value, value: Value) -> None:
        """Let forward leave a value in a buffer, when all else is done."""
        self._check(lib.pnng_program_update(self._c, buffer, value))
        self.updates.append((buffer, value))

    def op(
        self,
        info: OpInfo,
        inputs: Sequence[Value],
        ints: Sequence[int] = (),
        nums: Sequence[float] = (),
        n_outputs: int = 1,
    ) -> list[Value]:
        """Append an op; its outputs."""
        out = ffi.new("pnng_value[]", n_outputs)
        status = lib.pnng_program_op(
            self._c, info.code, inputs, len(inputs), ints, len(ints), nums, len(nums), out, n_outputs
        )
        self._check(status)
        values = list(out)
        kind = INDEX if info.name == "to_index" else REAL
        if info.family in ("alias", "detach", "expand"):
            kind = self.kinds[inputs[0]]
        self.kinds.extend([kind] * n_outputs)
        self.ops.append((info.name, tuple(inputs), tuple(ints), tuple(nums), tuple(values)))
        return values

    def host(self, step: HostStep, inputs: Sequence[Value], n_outputs: int) -> list[Value]:
        """Append a host step; its outputs."""
        if self.hosts is None:
            self.hosts = _Hosts()
            self._host_handle = ffi.new_handle(self.hosts)
            host = ffi.new(
                "pnng_host *",
                (
                    lib.pnng_host_infer,
                    lib.pnng_host_forward,
                    lib.pnng_host_backward,
                    self._host_handle,
                ),
            )
            self._check(lib.pnng_program_host(self._c, host))
        number = len(self.hosts.steps)
        outputs = self.op(OPS["host"], inputs, (number, n_outputs, int(step.has_parameters)), n_outputs=n_outputs)
        self.hosts.steps.append(step)
        self.hosts.kinds.append([self.kinds[value] for value in inputs])
        self._host_inputs.append((tuple(inputs), tuple(outputs)))
        return outputs

    def dtypes(self, values: list[Value], dtype: Any) -> list[Any]:
        """The dtypes of values, where that of reals is `dtype`."""
        return [dtype if self.kinds[value] == REAL else INDEX_DTYPE for value in values]

    def output(self, value: Value) -> None:
        """Make a value the next output."""
        self._check(lib.pnng_program_output(self._c, value))
        self.outputs.append(value)

    def seal(self) -> None:
        """End the building."""
        self._check(lib.pnng_program_seal(self._c))

    def take_raised(self) -> BaseException | None:
        """The exception that a host step raised in the last call, if any; once."""
        if self.hosts is None:
            return None
        raised, self.hosts.raised = self.hosts.raised, None
        return raised


class Shapes:
    """Shapes of a growing program's values for given shapes of its inputs."""

    def __init__(self, program: Program, inputs: Sequence[Shape]) -> None:
        self._program = program
        pointer = ffi.new("pnng_shapes **")
        status = lib.pnng_shapes_new(program._c, _shape_array(inputs), len(inputs), pointer)
        self._c = ffi.gc(pointer[0], lib.pnng_shapes_free)
        self._check(status)

    def _check(self, status: int) -> None:
        if not status:
            return
        raised = self._program.take_raised()
        if raised is not None:
            raise raised
        if self._c == ffi.NULL:
            raise MemoryError
        _check(status, lib.pnng_shapes_error(self._c), lib.pnng_shapes_error_op(self._c))

    def __getitem__(self, value: Value) -> Shape:
        """The shape of a value; ops before it are inferred as needed."""
        shape = ffi.new("pnng_shape *")
        self._check(lib.pnng_shapes_of(self._c, value, shape))
        return _shape_tuple(shape)


# ---- plans ---------------------------------------------------------------------------------------


class StepTime(NamedTuple):
    """What measuring found of one step of a plan."""

    ops: tuple[int, ...]  # that it was made for, by number; () for none
    seconds: float  # sum over `runs`
    runs: int


class StepCost(NamedTuple):
    """What is known of one step of a plan without running it."""

    ops: tuple[int, ...]  # that it was made for, by number; () for none
    text: str  # what it does, and how
    bytes: int  # of the arrays that it reads and writes, each once
    multiply_adds: int  # of a matrix product; else 0
    predicted: float  # seconds of one thread, as the planner guesses to split; 0: it does not
    unfused: str  # why a step that might be the end of a product is not; or ""


class ArenaParts(NamedTuple):
    """Bytes of an arena by what they are for; parts that are not in use at the same time lie in the same place."""

    arena: int
    kept: int
    forward: int
    backward: int
    work: int


def addresses(arrays: Sequence[Array | None]) -> Any:
    """Where arrays are, for :meth:`Plan.bind_params`; keeping them alive is the caller's."""
    return ffi.new("void *[]", [ffi.NULL if array is None else ffi.from_buffer(array) for array in arrays])


class Port:
    """Slots of a plan, one after another, for arrays of known shapes and dtypes.

    Only addresses are bound: keeping the arrays alive is the caller's.
    """

    __slots__ = ("_first", "_slots", "dtypes", "shapes")

    def __init__(self, slots: Any, first: int, shapes: Sequence[Shape], dtypes: Sequence[Any]) -> None:
        self.shapes = shapes
        self.dtypes = dtypes
        self._slots = slots
        self._first = first

    def taker(self, structure: tree.Structure) -> Callable[[Any], list[Array] | None]:
        """A function that binds the arrays of a table, and gives them, if they are right beyond doubt; else None.

        That is: it has the structure, and each leaf is a C-contiguous ndarray of the shape and dtype. Whether it is
        aligned is seen when the plan runs. After None, some arrays may have been bound.
        """
        # In variables of the function: looking them up takes half of the time of a call otherwise.
        slots, first, shapes, dtypes = self._slots, self._first, self.shapes, self.dtypes
        from_buffer, ndarray, read = ffi.from_buffer, np.ndarray, tree.reader(structure)
        places = range(len(shapes))  # for `zip` makes an iterator of each list, which takes longer than the rest

        def take(table: Any) -> list[Array] | None:
            arrays = read(table)
            if arrays is None:
                return None
            try:
                for place in places:
                    array = arrays[place]
                    if type(array) is not ndarray or array.shape != shapes[place] or array.dtype is not dtypes[place]:
                        return None
                    slots[first + place] = from_buffer(array)
            except ValueError:  # it is not contiguous
                return None
            return arrays

        return take

    def comparer(self, structure: tree.Structure) -> Callable[[Any, list[Any], list[Array]], bool]:
        """A function that says whether a table brings what is bound already.

        It is given the table, what the leaves were when these arrays were bound, and the arrays. Each leaf must be the
        very object; and each array must have kept its shape, order and dtype, which can be changed in place.
        """
        shapes, dtypes, places = self.shapes, self.dtypes, range(len(self.shapes))
        if not structure:
            (only_shape,), (only_dtype,) = shapes, dtypes

            def same_array(leaf: Any, leaves: list[Any], arrays: list[Array]) -> bool:
                array = arrays[0]
                return (
                    leaf is leaves[0]
                    and array.shape == only_shape
                    and array.dtype is only_dtype
                    and array.flags.num & CONTIGUOUS == CONTIGUOUS
                )

            return same_array
        kind, size = structure[0], len(structure) - 1
        read = tree.reader(structure) if any(structure[1:]) else None

        def same(table: Any, leaves: list[Any], arrays: list[Array]) -> bool:
            if read is not None:
                table = read(table)
                if table is None:
                    return False
            elif type(table) is not kind or len(table) != size:
                return False
            for place in places:
                array = arrays[place]
                if (
                    table[place] is not leaves[place]
                    or array.shape != shapes[place]
                    or array.dtype is not dtypes[place]
                    or not array.flags.num & CONTIGUOUS
                ):
                    return False
            return True

        return same

    def bind(self, arrays: Sequence[Array | None]) -> None:
        """Bind arrays that are as they have to be; None where there is none."""
        for slot, array in enumerate(arrays, self._first):
            if array is not None:
                self._slots[slot] = ffi.from_buffer(array)

    def bind_one(self, place: int, array: Array) -> None:
        """Bind the array of one slot."""
        self._slots[self._first + place] = ffi.from_buffer(array)


class Plan:
    """A program with sizes, a dtype and memory: what runs."""

    def __init__(self, program: Program, dtype: Any, inputs: Sequence[Shape], *, backward: bool = True) -> None:
        self.program = program
        self.dtype = dtype
        pointer = ffi.new("pnng_plan **")
        flags = lib.PNNG_PLAN_BACKWARD if backward else 0
        status = lib.pnng_plan_new(program._c, _DTYPES[dtype], _shape_array(inputs), len(inputs), flags, pointer)
        self._c = ffi.gc(pointer[0], lib.pnng_plan_free)
        self._check(status)
        self._slots = lib.pnng_plan_slots(self._c)
        output_shapes = [self.shape(value) for value in program.outputs]
        output_dtypes = program.dtypes(program.outputs, dtype)
        self.inputs = self._port(lib.PNNG_SLOT_INPUT, inputs, program.dtypes(program.inputs, dtype))
        self.outputs = self._port(lib.PNNG_SLOT_OUTPUT, output_shapes, output_dtypes)
        self.grad_outputs = self._port(lib.PNNG_SLOT_GRAD_OUTPUT, output_shapes, output_dtypes)
        self.grad_inputs = self._port(lib.PNNG_SLOT_GRAD_INPUT, inputs, [dtype] * len(inputs))
        self._host_shapes = {
            number: ([self.shape(v) for v in inputs], [self.shape(v) for v in outputs])
            for number, (inputs, outputs) in enumerate(program._host_inputs)
        }

    def _check(self, status: int) -> None:
        raised = self.program.take_raised()
        if raised is not None:
            raise raised
        if self._c == ffi.NULL:
            raise MemoryError
        if status == lib.PNNG_ERROR_BUSY:
            message = "the module is running already, in another thread or in a caller of this call"
            raise errors.StateError(message)
        _check(status, lib.pnng_plan_error(self._c), lib.pnng_plan_error_op(self._c))

    def shape(self, value: Value) -> Shape:
        """The shape of a value."""
        shape = ffi.new("pnng_shape *")
        _check(lib.pnng_plan_shape(self._c, value, shape), ffi.NULL)
        return _shape_tuple(shape[0])

    @property
    def arena_size(self) -> int:
        """Bytes that a run needs beside its arrays."""
        return int(lib.pnng_plan_arena_size(self._c))

    @property
    def n_steps(self) -> tuple[int, int]:
        """Steps of the forward and of the backward run."""
        return int(lib.pnng_plan_n_forward(self._c)), int(lib.pnng_plan_n_backward(self._c))

    def measure(self, on: bool) -> None:
        """Time the steps of runs from now on, from sums of zero; or stop, and keep the sums."""
        self._check(lib.pnng_plan_measure(self._c, on))

    def step_times(self, backward: bool) -> list[StepTime]:
        """The steps of the forward or of the backward run, in order, with the times measured."""
        direction = lib.PNNG_BACKWARD if backward else lib.PNNG_FORWARD
        info = ffi.new("pnng_step_info *")
        times = []
        for index in range(self.n_steps[backward]):
            self._check(lib.pnng_plan_step(self._c, direction, index, info))
            times.append(StepTime(tuple(info.ops[0 : info.n_ops]), info.seconds, info.runs))
        return times

    def step_costs(self, backward: bool) -> list[StepCost]:
        """The steps of the forward or of the backward run, in order, with what they cost."""
        direction = lib.PNNG_BACKWARD if backward else lib.PNNG_FORWARD
        info = ffi.new("pnng_step_info *")
        costs = []
        for index in range(self.n_steps[backward]):
            self._check(lib.pnng_plan_step(self._c, direction, index, info))
            unfused = "" if info.unfused == ffi.NULL else ffi.string(info.unfused).decode()
            text = _text_of(lib.pnng_plan_step_text, self._c, direction, index)
            ops = tuple(info.ops[0 : info.n_ops])
            costs.append(StepCost(ops, text, info.bytes, info.multiply_adds, info.predicted, unfused))
        return costs

    def arena_parts(self) -> ArenaParts:
        """What the arena is for."""
        info = ffi.new("pnng_memory_info *")
        _check(lib.pnng_plan_memory(self._c, info), ffi.NULL)
        return ArenaParts(info.arena, info.kept, info.forward, info.backward, info.work)

    def describe(self) -> str:
        """The plan in words, as ``pnng_plan_describe`` tells it."""
        return _text_of(lib.pnng_plan_describe, self._c)

    def multiply_adds(self, op: int) -> int:
        """How many multiply-adds the forward of an op does; 0 for all but matrix products."""
        count = ffi.new("uint64_t *")
        _check(lib.pnng_plan_multiply_adds(self._c, op, count), ffi.NULL)
        return int(count[0])

    def _port(self, group: int, shapes: Sequence[Shape], dtypes: Sequence[Any]) -> Port:
        return Port(self._slots, lib.pnng_plan_slot(self._c, group, 0), shapes, dtypes)

    def bind_params(self, addresses: Any) -> None:
        """What :func:`addresses` gave for the parameters, and, after these, for their gradients."""
        first = lib.pnng_plan_slot(self._c, lib.PNNG_SLOT_PARAM, 0)
        self._slots[first : first + len(addresses)] = addresses

    def packed_size(self, param: int) -> int:
        """Bytes of the packed form of a parameter that forward reads; 0 where it reads the parameter itself."""
        return int(lib.pnng_plan_packed_size(self._c, param))

    def pack(self, param: int, data: Array) -> Array:
        """The packed form of a parameter, which serves this plan, and others, as long as `data` does not change."""
        size = self.packed_size(param)
        packed = aligned(np.empty(size + LINE, np.uint8), (size,), np.uint8)
        _check(lib.pnng_plan_pack(self._c, param, ffi.from_buffer(data), ffi.from_buffer(packed)), ffi.NULL)
        return packed

    def bind_packed(self, param: int, packed: Array) -> None:
        """What :meth:`pack` gave, to read at the next forward runs; keeping it alive is the caller's."""
        self._slots[lib.pnng_plan_slot(self._c, lib.PNNG_SLOT_PACKED, param)] = ffi.from_buffer(packed)

    def runs(self) -> tuple[Callable[[int], int], Callable[[float, int], int]]:
        """:meth:`forward` and :meth:`backward` of a plan without host steps, as fast as can be.

        They give 0; or something else if the run failed, and forward or backward, called then, raise what is wrong.
        """
        return partial(lib.pnng_plan_forward, self._c), partial(lib.pnng_plan_backward, self._c)

    def forward(self, seed: int, *, replay: bool = False) -> None:
        """Run forward; a `replay` changes no buffer."""
        if self.program.hosts is not None:
            self._set_hosts(self.program.hosts)
        status = (lib.pnng_plan_replay if replay else lib.pnng_plan_forward)(self._c, seed)
        if status:
            self._check(status)

    def backward(self, scale: float, mask: int) -> None:
        """Run backward."""
        if self.program.hosts is not None:
            self._set_hosts(self.program.hosts)
        status = lib.pnng_plan_backward(self._c, scale, mask)
        if status:
            self._check(status)

    def _set_hosts(self, hosts: _Hosts) -> None:
        hosts.shapes = self._host_shapes
        hosts.dtype = self.dtype


# ---- steps of optimisers -------------------------------------------------------------------------


def optim_step(method: str, x: Array, others: Sequence[Array | None], *numbers: float) -> None:
    """One step of a method on x: the other arrays and numbers are those of ``pnng_optim_<method>``, in order.

    The arrays are contiguous, aligned, and of x's dtype and size; x and what is kept may be written.
    """
    step = getattr(lib, "pnng_optim_" + method)
    pointers = [ffi.NULL if array is None else ffi.from_buffer(array) for array in others]
    _check_vectors(step(_DTYPES[x.dtype], x.size, ffi.from_buffer(x), *pointers, *numbers))


def optim_dot(x: Array, y: Array) -> float:
    """The sum of products of two arrays, contiguous, aligned, and of one dtype and size."""
    total = ffi.new("double *")
    _check_vectors(lib.pnng_optim_dot(_DTYPES[x.dtype], x.size, ffi.from_buffer(x), ffi.from_buffer(y), total))
    return float(total[0])


def _check_vectors(status: int) -> None:
    if status:
        cpu_info()  # says what is wrong with PYNNGRAPH_ISA; all else was checked before
        _check(status, ffi.NULL)
