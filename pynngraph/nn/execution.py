"""Running a module: from a table of arrays to a plan, and back to a table.

An :class:`Execution` belongs to one module. It keeps programs by what they depend on (the modules' structure, the
input's nesting, dims), plans by signature (sizes too), and the last forward for the backward to check against.
"""

from __future__ import annotations

from _thread import RLock  # threading takes a millisecond to import
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from operator import is_ as _is
from operator import ne as _ne
from sys import getrecursionlimit, getrefcount
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import numpy as np

from .. import memory, random, tree
from .._engine import (
    GRAD_INPUTS,
    INDEX,
    INDEX_DTYPE,
    REAL,
    Array,
    EngineFailure,
    Plan,
    Program,
    Shape,
    Shapes,
    Value,
)
from ..errors import DataError, DTypeError, Error, GraphError, ShapeError, StateError
from ..watch import Debug, Evaluation, note_site
from .host import HostChanged, HostNeeded, HostResults
from .lowering import Builder, Guard, Reached, Site, Visit, located
from .parameter import Cell, is_frozen, move_count

if TYPE_CHECKING:
    from typing import Protocol

    from .lowering import Values

    class Owner(Protocol):
        """What an execution asks of the module that it belongs to."""

        @property
        def dtype(self) -> Any:
            """The NumPy dtype that it computes in."""

        def label(self) -> str:
            """It, in a few words."""

        def fingerprint(self) -> Any:
            """What programs depend on beside the input; equal fingerprints lower alike."""

        def cells(self) -> list[Cell]:
            """All of its parameters."""

        @property
        def maxPlans(self) -> int:
            """How many plans to keep."""


MAX_PLANS = 32

# References to an array of an answer that nobody else holds, when they are counted: from the list that keeps
# it, the variable that it is in, and the call of getrefcount. Views hold the array that they are of.
HELD_BY_US = 3

Lower: TypeAlias = Callable[[Builder, "Values"], "Values"]


class Lowered(NamedTuple):
    """A program, and where its parts come from."""

    program: Program
    dtype: Any
    input_kinds: tuple[int, ...]
    output_structure: tree.Structure
    grad_structure: tree.Structure  # of the gradient of the input
    cells: list[Cell]
    sites: list[Site | None]
    visits: list[Visit]
    evaluations: list[Evaluation]
    guards: list[Guard]
    has_noise: bool


class Ready:
    """A plan with its parameters, and with the arrays of its last answers for use again."""

    def __init__(self, lowered: Lowered, plan: Plan, input_shapes: list[Shape]) -> None:
        self.lowered = lowered
        self.plan = plan
        program = plan.program
        self.input_shapes = input_shapes
        self.output_shapes = [plan.shape(value) for value in program.outputs]
        self.output_dtypes = [
            INDEX_DTYPE if program.kinds[value] == INDEX else lowered.dtype for value in program.outputs
        ]
        self.grad_shapes = input_shapes[: tree.count(lowered.grad_structure)]
        self.grad_dtypes = [lowered.dtype] * len(self.grad_shapes)
        # Indices have no gradient: in its place stand zeros.
        self.without_grad = [place for place in range(len(self.grad_shapes)) if lowered.input_kinds[place] == INDEX]
        self.outputs: list[Array] = []
        self.grad_inputs: list[Array] = []
        self._params: tuple[list[Array], list[Array | None]] = ([], [])
        # Parameters that are read in a packed form; and these forms.
        self._packs = [place for place in range(len(lowered.cells)) if plan.packed_size(place)]
        self._packed: list[Array] = []
        self._moves = -1

    def bind_params(self) -> None:
        """Bind the parameters, if any has moved since the last time."""
        moves = move_count()
        if moves == self._moves:
            return
        cells = self.lowered.cells
        for cell in cells:
            if cell.data.dtype != self.lowered.dtype:
                message = (
                    f"a parameter became {cell.data.dtype} in a module of {self.lowered.dtype}: convert "
                    "the whole module, and run forward again"
                )
                raise DTypeError(message)
        # Kept here too: a run under way goes on with these, even if a parameter moves meanwhile.
        self._params = [cell.data for cell in cells], [cell.grad for cell in cells]
        self.plan.bind_params(*self._params)
        self._moves = moves
        if self._packs:
            self._bind_packed()

    def _bind_packed(self) -> None:
        data = self._params[0]
        self._packed = [
            self.lowered.cells[place].data_store.packed(data[place], partial(self.plan.pack, place))
            for place in self._packs
        ]
        for place, packed in zip(self._packs, self._packed, strict=True):
            self.plan.bind_packed(place, packed)
        if not all(is_frozen(data[place]) for place in self._packs):
            self._moves = -1  # an earlier call is run once more, unfrozen: packed anew each time


class Call:
    """The last forward: what the backward must be about."""

    __slots__ = ("arrays", "fingerprint", "leaves", "ready", "seed", "structure")

    def __init__(
        self,
        ready: Ready,
        fingerprint: Any,
        structure: tree.Structure,
        leaves: list[Any],
        arrays: list[Array],
        seed: int,
    ) -> None:
        self.ready = ready
        self.fingerprint = fingerprint  # of the module at that time
        self.structure = structure
        self.leaves = leaves  # as the user gave them
        self.arrays = arrays  # as they were bound
        self.seed = seed


# NumPy's flags of an array that can be bound as it is: C-contiguous and aligned.
BINDABLE = 0x1 | 0x100


def _fresh_where_held(arrays: list[Array], shapes: list[Shape], dtypes: list[Any]) -> list[Array]:
    """The arrays of an earlier answer; new ones in place of those that somebody still holds."""
    if not arrays:
        return [memory.empty(shape, dtype) for shape, dtype in zip(shapes, dtypes, strict=True)]
    for place in range(len(arrays)):
        array = arrays[place]
        if (
            getrefcount(array) > HELD_BY_US
            or array.shape != shapes[place]  # whoever held it may have changed it in place
            or array.dtype != dtypes[place]
        ):
            arrays[place] = memory.empty(shapes[place], dtypes[place], memory.BRIEF)
    return arrays


def _kinds(arrays: list[Array]) -> tuple[int, ...]:
    return tuple(INDEX if array.dtype.kind == "i" else REAL for array in arrays)


def _is_plain(leaf: Any, shape: Shape, dtype: Any) -> bool:
    """Whether a leaf is an array of this shape and dtype that can be bound as it is."""
    if type(leaf) is not np.ndarray or leaf.shape != shape or leaf.dtype is not dtype:
        return False
    return bool(leaf.flags.num & BINDABLE == BINDABLE)


class Execution:
    """Runs one module, by one way of lowering it."""

    def __init__(
        self, owner: Owner, name: str, lower: Lower, *, first_only: bool = False, watched: bool = True
    ) -> None:
        self._owner = owner
        self._watched = watched  # whether hooks are called, and results kept
        self._name = name  # "module", "criterion", for messages
        self._lower = lower
        self._first_only = first_only  # gradients are given for the first entry of the input only
        self._lock = RLock()
        self._programs: OrderedDict[Any, list[Lowered]] = OrderedDict()
        self._plans: OrderedDict[Any, Ready] = OrderedDict()
        self._hosts = HostResults()
        self._last: Call | None = None
        self._output: Any = None
        self._gradInput: Any = None
        self._running = False
        self._no_last = "was called before forward"  # why there is no last call

    def clear(self) -> None:
        """Forget all plans and the last call."""
        with self._lock:
            self._forget_programs()
            self._hosts.clear()
            self._last = self._output = self._gradInput = None
            self._no_last = "was called before forward"

    # ---- forward -------------------------------------------------------------------------------

    def forward(self, input: Any) -> Any:
        """Run forward; the output."""
        with self._lock:
            leaves, structure = tree.flatten(input)
            last = self._last
            if last is not None and self._fits(last, structure, leaves):
                return self._run_again(last, leaves)
            arrays = [self._accept(leaf, place, structure) for place, leaf in enumerate(leaves)]
            self._begin()
            self._hosts.begin_call()
            try:
                return self._run(leaves, structure, arrays)
            except Exception as error:
                if Debug.is_on:
                    self._explain(error, structure, arrays)
                raise
            finally:
                self._running = False
                self._hosts.end_call()

    def _begin(self) -> None:
        """Note that a run is under way; only a module written in Python can come here a second time."""
        if self._running:
            message = f"{self._owner.label()} is running already: it was called from a module inside of it"
            raise StateError(message)
        self._running = True

    def last_call(self) -> Call | None:
        """The last forward."""
        return self._last

    def forget_results(self) -> None:
        """The results of the last call are not the module's latest any more."""
        self._output = self._gradInput = None

    def _explain(self, error: Exception, structure: tree.Structure, arrays: list[Array]) -> None:
        """While debugging, say of an error what the node at fault was given, and draw its graph."""
        site = self._hosts.site_of(error)
        if site is None or getattr(error, "is_explained", False):
            return
        site = site.nearest() or site
        evaluation, call = site.evaluation, self._hosts.call
        try:
            if evaluation is not None and evaluation.call is call:
                Debug.explain(error, site, evaluation.input, evaluation.gradOutput, call)
            else:
                Debug.explain(error, site, self._input_of(site, structure, arrays), None, call)
        except Exception:  # noqa: BLE001 - the error at hand is the one to tell
            return

    def _input_of(self, site: Site, structure: tree.Structure, arrays: list[Array]) -> Any:
        """What a site that the run did not come to would get: all that is before it is run, to be looked at."""
        shapes = [array.shape for array in arrays]
        builder, values = self._builder(structure, _kinds(arrays), shapes, end=site.number)
        try:
            self._lower(builder, values)
        except Reached as reached:
            with self._aside():
                return tree.rebuild(reached.structure, self._run_part(builder, reached.inputs, arrays, 0))
        return None

    def _run_part(self, builder: Builder, values: list[Value], arrays: list[Array], seed: int) -> list[Array]:
        """Run forward what has been lowered so far; the arrays of some of its values."""
        nothing: tree.Structure = (list,)
        lowered = self._sealed(builder, values, nothing, nothing, ())
        ready = self._planned(lowered, [array.shape for array in arrays], backward=False)
        return self._run_ready(ready, arrays, seed, replay=True)

    def replay(self, call: Call) -> None:
        """Make an earlier forward the last one again: what it left in the plan's memory is made anew."""
        with self._lock:
            if self._last is not call:
                with self._aside():
                    self._run_ready(call.ready, call.arrays, call.seed, replay=True)
                self._last = call

    @contextmanager
    def _aside(self) -> Iterator[None]:
        """A run that is no call of a user: what was the last call is so afterwards, and no hook is called."""
        last = self._last, self._output, self._gradInput, self._no_last
        try:
            with self._hosts.set_aside():
                yield
        finally:
            self._last, self._output, self._gradInput, self._no_last = last

    def _fits(self, last: Call, structure: tree.Structure, leaves: list[Any]) -> bool:
        """Whether the last call's plan serves for this one, and its arrays can be bound as they are.

        Only arrays without a doubt: all else goes the long way, where it is converted or refused.
        """
        ready = last.ready
        if (
            structure != last.structure
            or self._owner.fingerprint() is not last.fingerprint
            or ready.plan.program.hosts is not None
        ):
            return False
        dtype = self._owner.dtype
        if dtype is not ready.lowered.dtype:
            return False
        return all(_is_plain(leaf, shape, dtype) for leaf, shape in zip(leaves, ready.input_shapes, strict=True))

    def _run_again(self, last: Call, arrays: list[Array]) -> Any:
        lowered = last.ready.lowered
        seed = random.next_seed() if lowered.has_noise else 0
        outputs = self._run_ready(last.ready, arrays, seed)
        self._last = Call(last.ready, last.fingerprint, last.structure, arrays, arrays, seed)
        self._output = tree.rebuild(lowered.output_structure, outputs)
        return self._output

    def _run(self, leaves: list[Any], structure: tree.Structure, arrays: list[Array]) -> Any:
        seed: int | None = None
        while True:
            fingerprint = self._owner.fingerprint()  # another thread may change the module meanwhile
            try:
                ready = self._ready(fingerprint, structure, arrays)
                lowered = ready.lowered
                if seed is None and lowered.has_noise:
                    seed = random.next_seed()
                outputs = self._run_ready(ready, arrays, seed or 0)
            except HostNeeded as needed:
                seed = self._discover(needed, arrays, seed)
            except HostChanged:
                self._forget_programs()
            else:
                self._last = Call(ready, fingerprint, structure, leaves, arrays, seed or 0)
                self._output = tree.rebuild(lowered.output_structure, outputs)
                return self._output

    def _run_ready(self, ready: Ready, arrays: list[Array], seed: int, *, replay: bool = False) -> list[Array]:
        """Run a plan. A `replay` is no forward of a user's: modules keep their state as it is."""
        last = self._last
        if last is not None and last.ready.lowered is not ready.lowered and not self._hosts.is_quiet:
            for evaluation in last.ready.lowered.evaluations:
                evaluation.forget()  # results of the last call only are kept
        ready.bind_params()
        plan = ready.plan
        plan.bind_inputs(arrays)
        self._last = None
        self._no_last = "was called after a forward that failed"
        self._output = None  # else the arrays would count as held
        outputs = _fresh_where_held(ready.outputs, ready.output_shapes, ready.output_dtypes)
        ready.outputs = outputs
        plan.bind_outputs(outputs)
        try:
            plan.forward(seed, replay=replay)
        except EngineFailure as failure:
            raise self._translated(failure, ready.lowered.sites) from None
        return outputs

    def _translated(self, failure: EngineFailure, sites: list[Site | None]) -> Exception:
        return located(sites[failure.op] if 0 <= failure.op < len(sites) else None, failure)

    # ---- modules written in Python -------------------------------------------------------------

    def _discover(self, needed: HostNeeded, arrays: list[Array], seed: int | None) -> int | None:
        """Run the program as far as a host step's inputs and let it answer; the seed of this call, if drawn."""
        builder = needed.builder
        if seed is None and builder.has_noise:
            seed = random.next_seed()
        inputs = self._run_part(builder, needed.inputs, arrays, seed or 0)
        shapes = tuple(array.shape for array in inputs)
        result, _ = needed.step.ask(list(inputs))
        self._hosts.learn(needed.step, shapes, result)
        return seed

    def _forget_programs(self) -> None:
        self._programs.clear()
        self._plans.clear()

    # ---- inputs --------------------------------------------------------------------------------

    def _where(self, place: int, structure: tree.Structure, what: str) -> str:
        path = tree.paths(structure)[place]
        return (
            f"entry {path} of the {what} of {self._owner.label()}" if path else f"the {what} of {self._owner.label()}"
        )

    def _accept(self, leaf: Any, place: int, structure: tree.Structure, what: str = "input") -> Array:
        """A leaf as a C-contiguous array of the module's dtype, or of indices; else an error that names the fix."""
        dtype = self._owner.dtype
        if type(leaf) is np.ndarray:
            array = leaf
        elif isinstance(leaf, np.ma.MaskedArray):
            message = f"{self._where(place, structure, what)} is a masked array: fill it with .filled()"
            raise DTypeError(message)
        elif isinstance(leaf, np.ndarray) or (isinstance(leaf, (int, np.integer)) and not isinstance(leaf, bool)):
            array = np.asarray(leaf)
        else:
            raise self._no_array(leaf, place, structure, what)
        # Native dtypes are single objects; others, such as big-endian ones, are not equal to them.
        if array.dtype == dtype:
            if array.flags.num & BINDABLE == BINDABLE:
                return array
            return np.array(array, order="C", copy=True)
        if array.dtype.kind in "iu" and what == "input":
            return self._indices(array, place, structure)
        where = self._where(place, structure, what)
        message = f"{where} must be {dtype}, got {array.dtype}: convert it with .astype({str(dtype)!r})"
        if array.dtype.kind == "f" and array.dtype.isnative and array.dtype.itemsize in (4, 8):
            other = "float" if array.dtype.itemsize == 4 else "double"
            message += f", or the {self._name} with .{other}()"
        raise DTypeError(message)

    def _indices(self, array: Array, place: int, structure: tree.Structure) -> Array:
        if array.dtype.kind == "u" and array.size and int(array.max()) > np.iinfo(np.int64).max:
            message = f"{self._where(place, structure, 'input')} has indices above those of int64"
            raise DataError(message)
        return np.require(array, INDEX_DTYPE, ["C", "A"])

    def _no_array(self, leaf: Any, place: int, structure: tree.Structure, what: str) -> DTypeError:
        where = self._where(place, structure, what)
        message = f"{where} must be a NumPy array of {self._owner.dtype}, got {type(leaf).__name__}"
        if hasattr(leaf, "numpy"):
            message += ": convert it with .numpy()"
        elif leaf is None:
            message += ": was a variable not set?"
        elif isinstance(leaf, float) and structure:
            message += ": a list is a table of arrays, write np.array([...]) for one array"
        elif isinstance(leaf, float):
            message += f": write np.array({leaf})"
        return DTypeError(message)

    # ---- plans ---------------------------------------------------------------------------------

    def _ready(self, fingerprint: Any, structure: tree.Structure, arrays: list[Array]) -> Ready:
        dtype = self._owner.dtype
        kinds = _kinds(arrays)
        shapes = tuple(array.shape for array in arrays)
        program_key = (fingerprint, dtype, structure, kinds, tuple(map(len, shapes)))
        key = (program_key, shapes)
        ready = self._plans.get(key)
        if ready is not None:
            self._plans.move_to_end(key)
            return ready
        ready = self._known_program(program_key, shapes)
        if ready is None:
            lowered = self._lowered(structure, kinds, shapes, watched=self._watched)
            ready = self._planned(lowered, list(shapes))
            if self._owner.fingerprint() != fingerprint:
                return ready  # another thread has changed the module: good for this call only
            self._programs.setdefault(program_key, []).append(lowered)
        self._programs.move_to_end(program_key)
        self._plans[key] = ready
        self._drop_least_used(self._programs[program_key])
        return ready

    def _drop_least_used(self, programs: list[Lowered]) -> None:
        """Keep no more programs and plans than the module wants."""
        most = self._owner.maxPlans
        del programs[:-most]
        for kept in (self._plans, self._programs):
            while len(kept) > most:
                kept.popitem(last=False)

    def _known_program(self, program_key: Any, shapes: tuple[Shape, ...]) -> Ready | None:
        """A plan from a program made before, if its conditions hold for these shapes."""
        for lowered in self._programs.get(program_key, []):
            try:
                known = Shapes(lowered.program, shapes)
                if all(
                    guard.question(*map(known.__getitem__, guard.values)) == guard.answer for guard in lowered.guards
                ):
                    return self._planned(lowered, list(shapes))
            except (Error, EngineFailure, HostChanged):  # noqa: PERF203
                continue  # lowering again says what is wrong, if it is
        return None

    def _lowered(
        self, structure: tree.Structure, kinds: tuple[int, ...], shapes: Sequence[Shape], *, watched: bool
    ) -> Lowered:
        builder, values = self._builder(structure, kinds, shapes, watched=watched)
        try:
            output = self._lower(builder, values)
        except RecursionError:
            message = (
                f"modules in {self._owner.label()} are in one another too deep for Python: "
                f"raise its limit of {getrecursionlimit()} by sys.setrecursionlimit, or put them side by side"
            )
            raise GraphError(message) from None
        leaves, output_structure = tree.flatten(output)
        return self._sealed(builder, leaves, output_structure, self._grad_structure(structure), kinds)

    def _builder(
        self,
        structure: tree.Structure,
        kinds: tuple[int, ...],
        shapes: Sequence[Shape],
        end: int | None = None,
        *,
        watched: bool = True,
    ) -> tuple[Builder, Values]:
        """A builder, and the values of the input."""
        builder = Builder(self._owner.dtype, self._hosts, end, watched=watched)
        with_grad = tree.count(self._grad_structure(structure))
        values = [
            builder.input(shape, kind, has_grad=place < with_grad)
            for place, (shape, kind) in enumerate(zip(shapes, kinds, strict=True))
        ]
        return builder, tree.rebuild(structure, values)

    def _grad_structure(self, structure: tree.Structure) -> tree.Structure:
        """The structure of the gradient; a criterion's target gets none."""
        return tree.entries(structure)[0] if self._first_only else structure

    def _sealed(
        self,
        builder: Builder,
        outputs: list[int],
        output_structure: tree.Structure,
        grad_structure: tree.Structure,
        input_kinds: tuple[int, ...],
    ) -> Lowered:
        for value in outputs:
            builder.program.output(value)
        builder.program.seal()
        return Lowered(
            builder.program,
            builder.dtype,
            input_kinds,
            output_structure,
            grad_structure,
            builder.cells,
            builder.sites,
            builder.visits,
            builder.evaluations,
            builder.guards,
            builder.has_noise,
        )

    def _planned(self, lowered: Lowered, shapes: list[Shape], *, backward: bool = True) -> Ready:
        try:
            plan = Plan(lowered.program, lowered.dtype, shapes, backward=backward)
        except EngineFailure as failure:
            raise self._translated(failure, lowered.sites) from None
        return Ready(lowered, plan, shapes)

    # ---- looking without running ---------------------------------------------------------------

    def prepared(self, input: Any) -> Ready:
        """The program and plan for an input, without a run: the last call, and what is kept of it, stay as they are.

        Only modules written in Python are run, once each, with all that is before them, where it is not known yet
        what they give for such arrays.
        """
        with self._lock:
            leaves, structure = tree.flatten(input)
            arrays = [self._accept(leaf, place, structure) for place, leaf in enumerate(leaves)]
            state = random.get_state()
            self._begin()
            try:
                with self._aside():
                    return self._prepared(structure, arrays)
            finally:
                self._running = False
                random.set_state(state)

    def _prepared(self, structure: tree.Structure, arrays: list[Array]) -> Ready:
        shapes = [array.shape for array in arrays]
        while True:
            try:
                lowered = self._lowered(structure, _kinds(arrays), shapes, watched=False)
                return self._planned(lowered, shapes)
            except HostNeeded as needed:  # noqa: PERF203 - as often as there are modules in Python
                with suppress(HostChanged):  # it has learned something, and is asked again
                    self._discover(needed, arrays, None)

    # ---- backward ------------------------------------------------------------------------------

    def backward(self, input: Any, grad_output: Any, scale: float, mask: int) -> Any:
        """Run backward; the gradient of the input, if the mask has it."""
        with self._lock:
            self._begin()
            try:
                leaves, structure = tree.flatten(input)
                last = self._call_of(input, leaves, structure)
                self._run_backward(last, grad_output, scale, mask)
            finally:
                self._running = False
            if not mask & GRAD_INPUTS:
                return None
            ready = last.ready
            for evaluation in ready.lowered.evaluations:
                evaluation.finish_backward(ready.lowered.dtype)
            for place in ready.without_grad:
                ready.grad_inputs[place].fill(0)
            # Lists and tuples as in the question at hand.
            self._gradInput = tree.rebuild(self._grad_structure(structure), ready.grad_inputs)
            return self._gradInput

    def _call_of(self, input: Any, leaves: list[Any], structure: tree.Structure) -> Call:
        """The last forward, which must have been one of this input."""
        last = self._last
        if last is None:
            message = f"backward of {self._owner.label()} {self._no_last}"
            raise StateError(message)
        if self._owner.dtype != last.ready.lowered.dtype:
            message = f"{self._owner.label()} became {self._owner.dtype} since its forward: run that again"
            raise StateError(message)
        if structure != last.structure or not all(map(_is, leaves, last.leaves)):
            self._check_input(last, input)
        if any(map(_ne, (array.shape for array in last.arrays), last.ready.input_shapes)):
            message = f"{self._input_name()} was reshaped in place since the forward"
            raise ShapeError(message)
        return last

    def _run_backward(self, last: Call, grad_output: Any, scale: float, mask: int) -> None:
        ready = last.ready
        plan = ready.plan
        # Kept in a variable until the run is over: plans hold addresses, not arrays.
        grads = self._check_grad_output(ready, grad_output)
        plan.bind_grad_outputs(grads)
        ready.bind_params()
        if mask & GRAD_INPUTS:
            self._gradInput = None  # else the arrays would count as held
            ready.grad_inputs = _fresh_where_held(ready.grad_inputs, ready.grad_shapes, ready.grad_dtypes)
            plan.bind_grad_inputs(ready.grad_inputs)
        for evaluation in ready.lowered.evaluations:
            evaluation.forget_gradients()
        # Only a module written in Python may raise half-way: gradients are then as they were before.
        hosts = plan.program.hosts is not None
        cells = self._owner.cells() if hosts else []
        before = [(cell.grad, np.array(cell.grad)) for cell in cells if cell.grad is not None]
        try:
            try:
                plan.backward(scale, mask)
            except EngineFailure as failure:
                raise self._translated(failure, ready.lowered.sites) from None
            if Debug.is_on:
                self._check_gradients(ready)
        except BaseException as error:
            for grad, values in before:
                np.copyto(grad, values)
            if Debug.is_on and isinstance(error, Exception):
                self._explain(error, last.structure, last.arrays)
            raise

    def _check_gradients(self, ready: Ready) -> None:
        """While debugging, NaN and inf in gradients of parameters are errors."""
        for visit in reversed(ready.lowered.visits):
            module = visit.site.module
            for name, cell in module._cells.items() if module is not None else ():
                if cell.grad is not None and not np.isfinite(cell.grad).all():
                    error = DataError(f"{visit.site.describe()}: the gradient of its {name} has NaN or inf")
                    note_site(error, visit.site)
                    raise error

    def _check_input(self, last: Call, input: Any) -> None:
        """The input of a backward is that of the forward: nested alike, the same arrays or equal ones."""
        leaves = tree.check_structure(last.structure, input, self._input_name)
        for place, (leaf, known) in enumerate(zip(leaves, last.leaves, strict=True)):
            if leaf is known:
                continue
            array = self._accept(leaf, place, last.structure)
            bound = last.arrays[place]
            if array.shape != bound.shape:
                where = self._where(place, last.structure, "input")
                message = f"{where} has shape {array.shape}, but forward got {bound.shape}"
                raise ShapeError(message)
            if array.dtype != bound.dtype or not _equal(array, bound):
                where = self._where(place, last.structure, "input")
                message = f"{where} is another array than forward got: backward must get the same"
                raise DataError(message)

    def _check_grad_output(self, ready: Ready, grad_output: Any) -> list[Array]:
        structure = ready.lowered.output_structure
        leaves = tree.check_structure(structure, grad_output, self._grad_output_name)
        shapes, dtypes = ready.output_shapes, ready.output_dtypes
        for place, leaf in enumerate(leaves):
            if dtypes[place] is INDEX_DTYPE:
                leaves[place] = _NO_GRAD  # indices have no gradient: whatever came is not looked at
            elif not _is_plain(leaf, shapes[place], dtypes[place]):
                leaves[place] = self._check_grad(leaf, place, structure, shapes[place])
        return leaves

    def _check_grad(self, leaf: Any, place: int, structure: tree.Structure, shape: Shape) -> Array:
        array = self._accept(leaf, place, structure, "gradOutput")
        if array.shape != shape:
            where = self._where(place, structure, "gradOutput")
            message = f"{where} has shape {array.shape}, but the output has {shape}"
            raise ShapeError(message)
        return array

    def _input_name(self) -> str:
        return f"the input of {self._owner.label()}"

    def _grad_output_name(self) -> str:
        return f"the gradOutput of {self._owner.label()}"


_NO_GRAD: Array = np.empty(0)


def _equal(x: Array, y: Array) -> bool:
    """The same memory, or the same numbers, NaN being equal to itself."""
    same_memory = x.__array_interface__["data"][0] == y.__array_interface__["data"][0] and x.strides == y.strides
    return same_memory or bool(np.array_equal(x, y, equal_nan=x.dtype.kind == "f"))
