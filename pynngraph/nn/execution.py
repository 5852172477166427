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
    ALIGNED,
    CONTIGUOUS,
    GRAD_INPUTS,
    INDEX,
    INDEX_DTYPE,
    REAL,
    WRITEABLE,
    Array,
    EngineFailure,
    Plan,
    Port,
    Program,
    Shape,
    Shapes,
    Value,
    addresses,
)
from ..errors import DataError, DTypeError, Error, GraphError, ShapeError, StateError
from ..watch import Changes, Debug, Evaluation, note_site
from .host import HostChanged, HostNeeded, HostResults
from .lowering import Builder, Guard, Reached, Site, Visit, located
from .parameter import Cell, Moves, is_frozen

if TYPE_CHECKING:
    from typing import Protocol

    from .lowering import Values

    class Owner(Protocol):
        """What an execution asks of the module that it belongs to."""

        @property
        def dtype(self) -> Any:
            """The NumPy dtype that it computes in."""

        @property
        def is_host(self) -> bool:
            """Whether it is written in Python."""

        def label(self) -> str:
            """It, in a few words."""

        def fingerprint(self) -> Any:
            """What programs depend on beside the input; equal fingerprints lower alike."""

        def cells(self) -> list[Cell]:
            """All of its parameters."""

        @property
        def maxPlans(self) -> int:
            """How many plans to keep."""


BINDABLE = CONTIGUOUS | ALIGNED  # flags of an array that can be bound as it is

MAX_PLANS = 32
MAX_FINGERPRINTS = 64


def _references() -> int:
    """How many references to an array of an answer are counted if nobody else holds it.

    They are those of the list that keeps it, of a variable and of the call, unless Python saves some. Counted in the
    way of :func:`_renewer`. Views hold the array that they are of.
    """
    arrays, places = [np.empty(0)], range(1)

    def count() -> int:
        for place in places:
            array = arrays[place]
            found = getrefcount(array)
        return found

    return count()


HELD_BY_US = _references()

FAILED = "was called after a forward that failed"  # of a backward

Lower: TypeAlias = Callable[[Builder, "Values"], "Values"]


class Lowered:
    """A program, and where its parts come from."""

    def __init__(
        self,
        builder: Builder,
        input_kinds: tuple[int, ...],
        input_structure: tree.Structure,
        output_structure: tree.Structure,
        grad_structure: tree.Structure,  # of the gradient of the input
    ) -> None:
        self.program: Program = builder.program
        self.dtype = builder.dtype
        self.input_kinds = input_kinds
        self.cells: list[Cell] = builder.cells
        self.sites: list[Site | None] = builder.sites
        self.visits: list[Visit] = builder.visits
        self.evaluations: list[Evaluation] = builder.evaluations
        self.guards: list[Guard] = builder.guards
        self.has_noise = builder.program.draws
        self.has_packed = builder.has_packed
        # Whether a run is the plan's steps and nothing else.
        self.is_plain = not (self.program.hosts or self.evaluations)
        self.input_structure = input_structure
        self.output_structure = output_structure
        self.n_grads = tree.count(grad_structure)
        # Indices have no gradient: in its place stand zeros.
        self.without_grad = [place for place in range(self.n_grads) if input_kinds[place] == INDEX]
        self.build_output = tree.builder(output_structure)
        self.build_grad_input = tree.builder(grad_structure)
        self._params = Params([], 0, -1)

    def params(self) -> Params:
        """The parameters' arrays of now."""
        moves = Moves.count  # first: another thread may move one meanwhile
        if self._params.moves != moves:
            arrays: list[Array | None] = [cell.data for cell in self.cells]
            for array in arrays:
                if array.dtype != self.dtype:  # type: ignore[union-attr] # only gradients may be None
                    message = (
                        f"a parameter became {array.dtype} in a module of {self.dtype}: convert "  # type: ignore[union-attr]
                        "the whole module, and run forward again"
                    )
                    raise DTypeError(message)
            arrays += [cell.grad for cell in self.cells]
            self._params = Params(arrays, addresses(arrays), moves)
        return self._params


class Params(NamedTuple):
    """Arrays of parameters, and after them of their gradients, at some time."""

    arrays: list[Array | None]
    addresses: Any
    moves: int  # how often any parameter had moved by then


def _renewer(port: Port, arrays: list[Array], count: int) -> Callable[[], list[Array]]:
    """A function that makes `arrays` ready to be written: those of the last answer, new ones where they are held.

    They are bound to the port. The first call makes them, `count` of them.
    """
    # In variables of the function: looking them up takes half of the time of a call otherwise.
    shapes, dtypes, places = port.shapes, port.dtypes, range(count)
    usable = BINDABLE | WRITEABLE

    def renew() -> list[Array]:
        if not arrays:
            arrays.extend(memory.empty(shapes[place], dtypes[place]) for place in places)
            port.bind(arrays)
            return arrays
        for place in places:
            array = arrays[place]
            # Whoever held it may have changed it in place.
            if (
                getrefcount(array) > HELD_BY_US
                or array.shape != shapes[place]
                or array.dtype is not dtypes[place]
                or array.flags.num & usable != usable
            ):
                arrays[place] = array = memory.empty(shapes[place], dtypes[place], memory.BRIEF)
                port.bind_one(place, array)
        return arrays

    return renew


class Ready:
    """A plan with its parameters, and with the arrays of its last answers for use again."""

    def __init__(self, lowered: Lowered, plan: Plan) -> None:
        self.lowered = lowered
        self.plan = plan
        self.input_shapes = plan.inputs.shapes
        self.outputs: list[Array] = []
        self.grad_inputs: list[Array] = []
        # The module's, when it ran last, and how many changes there had been to any module until then: a call after no
        # other one goes the short way. -1: none does.
        self.fingerprint: Any = None
        self.changes = -1
        # What each run looks at.
        self.has_noise = lowered.has_noise
        self.forward, self.backward = plan.runs()
        self.is_bound = plan.inputs.comparer(lowered.input_structure)
        self.take_input = plan.inputs.taker(lowered.input_structure)
        self.renew_outputs = _renewer(plan.outputs, self.outputs, len(plan.outputs.shapes))
        self.build_output = lowered.build_output
        self.take_grad_output = plan.grad_outputs.taker(lowered.output_structure)
        self.renew_grad_inputs = _renewer(plan.grad_inputs, self.grad_inputs, lowered.n_grads)
        self.build_grad_input = lowered.build_grad_input
        self.without_grad = lowered.without_grad
        self.moves = -1
        self._params: Params | None = None
        # Parameters that are read in a packed form; and these forms.
        places = range(len(lowered.cells)) if lowered.has_packed else ()
        self._packs = [place for place in places if plan.packed_size(place)]
        self._packed: list[Array] = []

    def bind_params(self) -> None:
        """Bind the parameters, if any has moved since the last time."""
        if self.moves == Moves.count:
            return
        # Kept here too: a run under way goes on with these, even if a parameter moves meanwhile.
        self._params = params = self.lowered.params()
        self.plan.bind_params(params.addresses)
        self.moves = params.moves
        if self._packs:
            self._bind_packed(params.arrays)

    def _bind_packed(self, arrays: list[Any]) -> None:
        self._packed = [
            self.lowered.cells[place].data_store.packed(arrays[place], partial(self.plan.pack, place))
            for place in self._packs
        ]
        for place, packed in zip(self._packs, self._packed, strict=True):
            self.plan.bind_packed(place, packed)
        if not all(is_frozen(arrays[place]) for place in self._packs):
            self.moves = -1  # an earlier call is run once more, unfrozen: packed anew each time


class Call:
    """The last forward: what the backward must be about."""

    __slots__ = ("arrays", "leaves", "ready", "seed")

    def __init__(self, ready: Ready, leaves: list[Any], arrays: list[Array], seed: int) -> None:
        self.ready = ready
        self.leaves = leaves  # as the user gave them
        self.arrays = arrays  # as they were bound
        self.seed = seed


def _kinds(arrays: list[Array]) -> tuple[int, ...]:
    return tuple(INDEX if array.dtype.kind == "i" else REAL for array in arrays)


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
        self._numbers: dict[Any, int] = {}  # of fingerprints
        self._numbered: tuple[Any, int] = None, -1  # the last one
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
        """Run forward; the output.

        A call like the last one takes a short way: the plan serves for the input as it is, beyond doubt. All else goes
        the long way, where it is converted, or refused.
        """
        lock = self._lock
        lock.acquire()  # a with statement takes longer
        try:
            last = self._last
            if last is None or last.ready.changes != Changes.count:
                return self._forward(input)
            ready, arrays = last.ready, last.arrays
            if not ready.is_bound(input, arrays, arrays):
                self._last = None  # until its arrays are bound again, or those of a run that succeeded
                others = ready.take_input(input)
                if others is None:
                    self._no_last = FAILED
                    with suppress(ValueError):  # one was turned about in place: there is no way back
                        ready.plan.inputs.bind(arrays)
                        self._last = last
                    return self._forward(input)
                last = Call(ready, others, others, 0)
            if ready.has_noise:
                last = Call(ready, last.leaves, last.arrays, random.next_seed())
            self._last = self._output = None  # else the arrays would count as held
            self._no_last = FAILED
            outputs = ready.renew_outputs()
            if ready.forward(last.seed):
                return self._forward(input, last.seed if ready.has_noise else None)
            self._last = last
            self._output = output = ready.build_output(outputs)
            return output
        finally:
            lock.release()

    def _forward(self, input: Any, seed: int | None = None) -> Any:
        """The long way; with the seed, if this call has drawn one."""
        leaves, structure = tree.flatten(input)
        arrays = [self._accept(leaf, place, structure) for place, leaf in enumerate(leaves)]
        self._begin()
        self._hosts.begin_call()
        try:
            return self._run(leaves, structure, arrays, seed)
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
        lowered = self._sealed(builder, values, (), nothing, nothing, nothing)
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

    def _run(self, leaves: list[Any], structure: tree.Structure, arrays: list[Array], seed: int | None) -> Any:
        while True:
            changes = Changes.count  # first: another thread may change the module meanwhile
            fingerprint = self._owner.fingerprint()
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
                self._last = Call(ready, leaves, arrays, seed or 0)
                ready.fingerprint = fingerprint
                # What modules in Python assign to themselves is not counted.
                ready.changes = changes if lowered.is_plain and not self._owner.is_host else -1
                self._output = ready.build_output(outputs)
                return self._output

    def _run_ready(self, ready: Ready, arrays: list[Array], seed: int, *, replay: bool = False) -> list[Array]:
        """Run a plan. A `replay` is no forward of a user's: modules keep their state as it is."""
        last = self._last
        if last is not None and last.ready.lowered is not ready.lowered and not self._hosts.is_quiet:
            for evaluation in last.ready.lowered.evaluations:
                evaluation.forget()  # results of the last call only are kept
        ready.bind_params()
        ready.plan.inputs.bind(arrays)
        self._last = self._output = None  # else the arrays would count as held
        self._no_last = FAILED
        outputs = ready.renew_outputs()
        try:
            ready.plan.forward(seed, replay=replay)
        except EngineFailure as failure:
            raise self._translated(failure, ready.lowered.sites) from None
        return outputs

    def _translated(self, failure: EngineFailure, sites: list[Site | None]) -> Exception:
        return located(sites[failure.op] if 0 <= failure.op < len(sites) else None, failure)

    # ---- modules written in Python -------------------------------------------------------------

    def _discover(self, needed: HostNeeded, arrays: list[Array], seed: int | None) -> int | None:
        """Run the program as far as a host step's inputs and let it answer; the seed of this call, if drawn."""
        builder = needed.builder
        if seed is None and builder.program.draws:
            seed = random.next_seed()
        inputs = self._run_part(builder, needed.inputs, arrays, seed or 0)
        shapes = tuple(array.shape for array in inputs)
        result, _ = needed.step.ask(list(inputs))
        self._hosts.learn(needed.step, shapes, result)
        return seed

    def _forget_programs(self) -> None:
        self._programs.clear()
        self._plans.clear()
        self._numbers.clear()
        self._numbered = None, -1

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
        kinds = _kinds(arrays)
        shapes = tuple([array.shape for array in arrays])
        program_key = (self._number_of(fingerprint), self._owner.dtype, structure, kinds, tuple(map(len, shapes)))
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

    def _number_of(self, fingerprint: Any) -> int:
        """A number for a fingerprint, the same for equal ones: to hash one takes as long as there are modules."""
        if fingerprint is not self._numbered[0]:
            if len(self._numbers) > MAX_FINGERPRINTS:
                self._forget_programs()
            number = self._numbers.setdefault(fingerprint, len(self._numbers))
            self._numbered = fingerprint, number
        return self._numbered[1]

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
                if self._holds(lowered.guards, lowered.program, shapes):
                    return self._planned(lowered, list(shapes))
            except (Error, EngineFailure, HostChanged):  # noqa: PERF203
                continue  # lowering again says what is wrong, if it is
        return None

    def _holds(self, guards: list[Guard], program: Program, shapes: tuple[Shape, ...]) -> bool:
        """Whether the conditions of a program's use hold for inputs of these shapes."""
        if not guards:
            return True
        known = Shapes(program, shapes)
        return all(guard.question(*map(known.__getitem__, guard.values)) == guard.answer for guard in guards)

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
        return self._sealed(builder, leaves, kinds, structure, output_structure, self._grad_structure(structure))

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
        input_kinds: tuple[int, ...],
        input_structure: tree.Structure,
        output_structure: tree.Structure,
        grad_structure: tree.Structure,
    ) -> Lowered:
        for value in outputs:
            builder.program.output(value)
        builder.program.seal()
        return Lowered(builder, input_kinds, input_structure, output_structure, grad_structure)

    def _planned(self, lowered: Lowered, shapes: list[Shape], *, backward: bool = True) -> Ready:
        try:
            plan = Plan(lowered.program, lowered.dtype, shapes, backward=backward)
        except EngineFailure as failure:
            raise self._translated(failure, lowered.sites) from None
        return Ready(lowered, plan)

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
        """Run backward; the gradient of the input, if the mask has it. As in :meth:`forward`, there is a short way."""
        lock = self._lock
        lock.acquire()
        try:
            last = self._last
            if last is not None:
                ready = last.ready
                if (
                    ready.changes == Changes.count
                    and ready.is_bound(input, last.leaves, last.arrays)
                    # In a variable until the run is over: plans hold addresses, not arrays.
                    and (_grads := ready.take_grad_output(grad_output)) is not None
                ):
                    if mask & GRAD_INPUTS:
                        self._gradInput = None  # else the arrays would count as held
                        ready.renew_grad_inputs()
                    if not ready.backward(scale, mask):
                        return self._gradient(ready) if mask & GRAD_INPUTS else None
            return self._backward(input, grad_output, scale, mask)
        finally:
            lock.release()

    def _backward(self, input: Any, grad_output: Any, scale: float, mask: int) -> Any:
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
        gradient = self._gradient(ready)
        if structure != ready.lowered.input_structure:  # lists and tuples as in the question at hand
            gradient = self._gradInput = tree.rebuild(self._grad_structure(structure), ready.grad_inputs)
        return gradient

    def _gradient(self, ready: Ready) -> Any:
        """What a backward has given."""
        grad_inputs = ready.grad_inputs
        for place in ready.without_grad:
            grad_inputs[place].fill(0)
        self._gradInput = gradient = ready.build_grad_input(grad_inputs)
        return gradient

    def _call_of(self, input: Any, leaves: list[Any], structure: tree.Structure) -> Call:
        """The last forward, which must have been one of this input."""
        last = self._last
        if last is None:
            message = f"backward of {self._owner.label()} {self._no_last}"
            raise StateError(message)
        if self._owner.dtype != last.ready.lowered.dtype:
            message = f"{self._owner.label()} became {self._owner.dtype} since its forward: run that again"
            raise StateError(message)
        if structure != last.ready.lowered.input_structure or not all(map(_is, leaves, last.leaves)):
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
        plan.grad_outputs.bind(grads)
        ready.bind_params()
        if mask & GRAD_INPUTS:
            self._gradInput = None  # else the arrays would count as held
            ready.renew_grad_inputs()
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
                self._explain(error, last.ready.lowered.input_structure, last.arrays)
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
        leaves = tree.check_structure(last.ready.lowered.input_structure, input, self._input_name)
        for place, (leaf, known) in enumerate(zip(leaves, last.leaves, strict=True)):
            if leaf is known:
                continue
            array = self._accept(leaf, place, last.ready.lowered.input_structure)
            bound = last.arrays[place]
            if array.shape != bound.shape:
                where = self._where(place, last.ready.lowered.input_structure, "input")
                message = f"{where} has shape {array.shape}, but forward got {bound.shape}"
                raise ShapeError(message)
            if array.dtype != bound.dtype or not _equal(array, bound):
                where = self._where(place, last.ready.lowered.input_structure, "input")
                message = f"{where} is another array than forward got: backward must get the same"
                raise DataError(message)

    def _check_grad_output(self, ready: Ready, grad_output: Any) -> list[Array]:
        structure = ready.lowered.output_structure
        leaves = tree.check_structure(structure, grad_output, self._grad_output_name)
        port = ready.plan.grad_outputs
        for place, leaf in enumerate(leaves):
            if port.dtypes[place] is INDEX_DTYPE:
                leaves[place] = _NO_GRAD  # indices have no gradient: whatever came is not looked at
            else:
                leaves[place] = self._check_grad(leaf, place, structure, port.shapes[place])
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
