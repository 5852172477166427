"""Lowering: from modules to a program of primitive ops.

A module's ``lower(b, input)`` gets a :class:`Builder` and a table of values and gives a table of values. Sizes are
not known to a program; where a module must look at them it asks through :meth:`Builder.choose`, and the answer
becomes a condition of the program's use.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import numpy as np

from .. import tree
from .._engine import INDEX, OPS, EngineFailure, Program, Shape, Shapes, Value
from ..errors import DTypeError, Error, StructureError
from ..watch import Debug, Evaluation, Tap, note_site
from .host import HostNeeded, HostResults, HostStep
from .parameter import Cell

if TYPE_CHECKING:
    from ..graph.node import Node
    from .module import Module

Values: TypeAlias = Any  # a value, or a nested list or tuple of values


class Site:
    """Where an op comes from: a module, inside of others, and the graph node that stands for it.

    Sites are numbered in the order in which lowering comes to them.
    """

    __slots__ = ("evaluation", "module", "node", "number", "outer")

    def __init__(self, module: Module | None, outer: Site | None, node: Node | None, number: int) -> None:
        self.module = module  # None: a node without one, a nest or a part of a split
        self.outer = outer
        self.node = node
        self.number = number
        self.evaluation: Evaluation | None = None  # if it is watched

    def nearest(self) -> Site | None:
        """The site of the innermost graph node that this one is in or is."""
        site: Site | None = self
        while site is not None and site.node is None:
            site = site.outer
        return site

    def nearest_node(self) -> Node | None:
        """The innermost graph node that this site is in or is."""
        site = self.nearest()
        return None if site is None else site.node

    def describe(self) -> str:
        """In words, for messages: ``Linear(3 -> 5) at train.py:41``."""
        if self.node is not None:
            return self.node.label()
        module: Any = self.module
        site = self.nearest()
        if site is not None and site.node is not None:
            return f"{module.label()} in {site.node.label()}"
        if self.outer is None:
            return str(module.label())
        return f"{module.label()} in {self._path()}"

    def show(self, evaluation: Evaluation) -> None:
        """Let the node and the module tell this evaluation as their last one."""
        if self.node is not None:
            self.node.evaluation = evaluation
        if self.module is not None:
            self.module.show(evaluation)

    def _path(self) -> str:
        """``Sequential[2]``: which entries of which containers lead to the module."""
        sites: list[Site] = []
        site: Site | None = self
        while site is not None:
            sites.append(site)
            site = site.outer
        sites.reverse()
        text = type(sites[0].module).__name__
        for outer, inner in itertools.pairwise(sites):
            children = getattr(outer.module, "modules", [])
            places = [k for k, child in enumerate(children) if child is inner.module]
            text += f"[{places[0]}]" if places else f".{type(inner.module).__name__}"
        return text


class Argument(Site):
    """A part of what a module is given: what is wrong with its numbers is told of that."""

    __slots__ = ("site", "what")

    def __init__(self, site: Site, what: str) -> None:
        super().__init__(site.module, site.outer, site.node, site.number)
        self.site = site
        self.what = what

    def nearest(self) -> Site | None:
        """As of the module's own site."""
        return self.site.nearest()

    def describe(self) -> str:
        """The module, and what is looked at: ``LSTM(3 -> 4), lengths of up to 5 steps:``."""
        return f"{self.site.describe()}, {self.what}:"


class Visit(NamedTuple):
    """What lowering did at a site: the values that came and went, and the ops in between."""

    site: Site
    input: Values
    output: Values
    first_op: int
    end_op: int


class Reached(Exception):
    """Lowering came to the site where it was to end."""

    def __init__(self, input: Values) -> None:
        super().__init__()
        self.inputs, self.structure = tree.flatten(input)


class Guard:
    """A question about sizes that was asked while lowering, and its answer."""

    __slots__ = ("answer", "question", "values")

    def __init__(self, question: Callable[..., Any], values: tuple[Value, ...], answer: Any) -> None:
        self.question = question
        self.values = values
        self.answer = answer


class Builder:
    """A program under construction, and what is to be known of it later."""

    def __init__(self, dtype: Any, hosts: HostResults, end: int | None = None, *, watched: bool = True) -> None:
        self.program = Program()
        self.dtype = dtype
        self.cells: list[Cell] = []
        self.sites: list[Site | None] = []  # one an op
        self.guards: list[Guard] = []
        self.visits: list[Visit] = []  # one a site
        self.evaluations: list[Evaluation] = []  # those that are watched
        self.has_packed = False  # whether plans may read some parameter in a packed form
        self._watched = watched  # whether anybody may look on
        self._end = end  # the number of the site to stop at
        self._n_sites = 0
        self._keeping = False  # whether a module around has keep() on
        self._params: dict[int, Value] = {}
        self.pooled: dict[int, tuple[Value, Value]] = {}  # of max poolings, by id: places of the greatest, input
        self._states: dict[int, Value] = {}  # of buffers that forward changes: what they hold by now
        self._site: Site | None = None
        self._input_shapes: list[Shape] = []
        self._shapes: Shapes | None = None
        self._hosts = hosts
        self._uses: dict[int, int] = {}  # how often each module written in Python was met

    # ---- values --------------------------------------------------------------------------------

    def input(self, shape: Shape, kind: int, *, has_grad: bool) -> Value:
        """A new input. `shape` is that of the call at hand: only :meth:`choose` looks at it."""
        self._input_shapes.append(shape)
        return self.program.input(kind, has_grad=has_grad)

    def param(self, cell: Cell) -> Value:
        """The value of a parameter or buffer; the same for the same cell."""
        known = self._params.get(id(cell))
        if known is not None:
            return known
        if cell.data.dtype != self.dtype:
            message = (
                f"{self.where()} has parameters of {cell.data.dtype}, in a module of {self.dtype}: "
                f"convert the whole with .type({str(self.dtype)!r})"
            )
            raise DTypeError(message)
        value = self.program.param(cell.data.shape, has_grad=cell.grad_store is not None)
        if cell.is_frozen:
            self.program.pack(value)
            self.has_packed = True
        self._params[id(cell)] = value
        self.cells.append(cell)
        return value

    @contextmanager
    def bound(self, cell: Cell, value: Value) -> Iterator[None]:
        """Meanwhile, a value that was computed stands for a parameter."""
        known = self._params.get(id(cell))
        self._params[id(cell)] = value
        try:
            yield
        finally:
            if known is None:
                del self._params[id(cell)]
            else:
                self._params[id(cell)] = known

    def constant(self, array: Any) -> Value:
        """The value of an array that never changes."""
        return self.param(Cell(np.asarray(array, self.dtype), has_grad=False))

    def state(self, cell: Cell) -> Value:
        """The value of a buffer: as it was before the run, or as a module that was lowered before leaves it."""
        known = self._states.get(id(cell))
        return self.param(cell) if known is None else known

    def update(self, cell: Cell, value: Value) -> None:
        """Let a forward that succeeds leave a value in a buffer. One that is run once more leaves it as it is."""
        self._states[id(cell)] = value
        try:
            self.program.update(self.param(cell), value)
        except EngineFailure as failure:
            raise located(self._site, failure) from None

    def op(
        self,
        name: str,
        inputs: Sequence[Value],
        ints: Sequence[int] = (),
        nums: Sequence[float] = (),
    ) -> Value:
        """Append an op of the registry; its (first) output."""
        return self.outputs(name, inputs, ints, nums)[0]

    def outputs(
        self,
        name: str,
        inputs: Sequence[Value],
        ints: Sequence[int] = (),
        nums: Sequence[float] = (),
    ) -> list[Value]:
        """Append an op of the registry; its outputs."""
        info = OPS[name]
        try:
            outputs = self.program.op(info, inputs, ints, nums, max(info.n_outputs, 1))
        except EngineFailure as failure:
            message = f"{self.where()}: {failure.message}"
            if failure.exception is DTypeError:
                message = (
                    f"{self.where()} expects arrays of {self.dtype}, got integers: "
                    f"convert them with .astype({str(self.dtype)!r})"
                )
            raise failure.exception(message) from None
        self.sites.append(self._site)
        return outputs

    @contextmanager
    def about(self, what: str) -> Iterator[None]:
        """Meanwhile, ops look at a part of the module's input: errors of a run say so."""
        site = self._site
        if site is not None:
            self._site = Argument(site, what)
        try:
            yield
        finally:
            self._site = site

    def is_index(self, value: Value) -> bool:
        """Whether a value holds indices."""
        return self.program.kinds[value] == INDEX

    def watch(self, value: Value, function: Callable[[Any], None]) -> None:
        """Let a function see the array of indices at each forward, before anything that is lowered later."""
        self.tapped(value, function, lambda _: None)

    # ---- sizes ---------------------------------------------------------------------------------

    def shape(self, value: Value) -> Shape:
        """The shape of a value in the call at hand. For messages; decisions belong to :meth:`choose`."""
        if self._shapes is None:
            self._shapes = Shapes(self.program, self._input_shapes)
        try:
            return self._shapes[value]
        except EngineFailure as failure:
            site = self.sites[failure.op] if failure.op >= 0 else None
            raise located(site, failure) from None

    def choose(self, question: Callable[..., Any], *values: Value) -> Any:
        """The answer of `question(*shapes)`; another answer will ask for another program."""
        answer = question(*(self.shape(value) for value in values))
        self.guards.append(Guard(question, values, answer))
        return answer

    # ---- modules -------------------------------------------------------------------------------

    def lower(self, module: Module, input: Values) -> Values:
        """Lower a module on a table of values, as its user would run it."""
        return self._visit(module, None, input)

    def lower_node(self, node: Node, input: Values, *, verbose: bool = False) -> Values:
        """Lower a graph node on a table of values; to be printed when it runs if `verbose`."""
        return self._visit(node.data.module, node, input, verbose=verbose)

    def lower_native(self, module: Module, input: Values) -> Values:
        """Lower a module by its own ``lower``, also where a subclass overrides ``updateOutput``."""
        return self._visit(module, None, input, native=True)

    @property
    def shows_results(self) -> bool:
        """Whether somebody looks at the results of modules inside of the one that is being lowered."""
        return self._watched and (self._keeping or Debug.is_on)

    def _visit(
        self, module: Module | None, node: Node | None, input: Values, *, native: bool = False, verbose: bool = False
    ) -> Values:
        outer, kept = self._site, self._keeping
        if self._n_sites == self._end:
            raise Reached(input)
        site = self._site = Site(module, outer, node, self._n_sites)
        self._n_sites += 1
        try:
            if module is not None:
                self._keeping = kept or module.keeps
                if outer is not None and self._watched:
                    module.note_inside()
            elif node is not None:
                # Seen as what it gives: the parts of a split would show the whole table, each of them.
                input = node.select(input)
            keeping = self._keeping and outer is not None  # the outermost module has its results anyway
            has_hooks = node is not None and node.has_hooks
            if not (keeping or verbose or has_hooks or Debug.is_on) or native or not self._watched:
                return self._lowered_at(site, input, native=native)
            evaluation = self._evaluation(site, verbose=verbose)
            input = self.tapped(input, evaluation.enter, evaluation.leave_backward)
            output = self._lowered_at(site, input, native=native)
            return self.tapped(output, evaluation.leave, evaluation.enter_backward)
        except Exception as error:
            self._hosts.note(error, site)
            raise
        finally:
            self._site, self._keeping = outer, kept

    def _lowered_at(self, site: Site, input: Values, *, native: bool) -> Values:
        module, first_op = site.module, len(self.sites)
        if module is None:
            output = input
        elif module.is_host and not native:
            output = self.host(module, input)
        else:
            output = module.lower(self, input)
        self.visits.append(Visit(site, input, output, first_op, len(self.sites)))
        return output

    def _evaluation(self, site: Site, *, verbose: bool) -> Evaluation:
        """Somebody to look on at a site."""
        for_debug = Debug.is_on and not self._keeping
        site.evaluation = evaluation = Evaluation(site, self._hosts, verbose=verbose, for_debug=for_debug)
        self.evaluations.append(evaluation)
        return evaluation

    def tapped(self, table: Values, forward: Callable[[Any], None], backward: Callable[[Any], None]) -> Values:
        """A table of values, as a host step gives it that shows their arrays, which cannot be written to."""
        values, structure = tree.flatten(table)
        is_index = [self.is_index(value) for value in values]
        step = Tap(structure, is_index, self.dtype, forward, backward)
        passed = iter(self.program.host(step, values, is_index.count(False)))
        self.sites.append(self._site)
        return tree.rebuild(structure, (value if self.is_index(value) else next(passed) for value in values))

    def once(self, what: str, function: Callable[[Any], None]) -> Callable[[Any], None]:
        """`function`, for the forward of a tap of the module at hand, to be called once a call.

        Where there are modules in Python, parts of a program may run before it, to find out what these give. `what`
        tells the module's taps apart.
        """
        hosts, key = self._hosts, (self._site and self._site.number, what)

        def called(table: Any) -> None:
            if not hosts.is_quiet and key not in hosts.shown:
                hosts.shown.add(key)
                function(table)

        return called

    def host_step(self, step: Any) -> Value:
        """Append a step of one output and no inputs, that is done in Python."""
        (value,) = self.program.host(step, [], 1)
        self.sites.append(self._site)
        return value

    def host(self, module: Module, input: Values) -> Values:
        """Append a step that is done in Python.

        What it gives is known only when it has run on arrays like these: until then lowering ends here,
        with :class:`~.host.HostNeeded`.
        """
        values, structure = tree.flatten(input)
        shapes = tuple(self.shape(value) for value in values)
        use = self._uses[id(module)] = self._uses.get(id(module), -1) + 1
        step = HostStep(module, use, structure, self._hosts, self._site)
        result = self._hosts.known(step, shapes)
        if result is None:
            raise HostNeeded(self, step, values)
        step.output_structure = result.structure
        outputs = self.program.host(step, values, len(result.shapes))
        self.sites.append(self._site)
        return tree.rebuild(result.structure, outputs)

    # ---- checks --------------------------------------------------------------------------------

    def where(self) -> str:
        """The module being lowered, in words."""
        return "this module" if self._site is None else self._site.describe()

    def array(self, input: Values) -> Value:
        """The input, which must be one array."""
        if tree.is_table(input):
            hint = ": a list of one is not its entry, write (node), not ([node])" if len(input) == 1 else ""
            message = f"{self.where()} expects one array, got {tree.describe(tree.structure_of(input))}{hint}"
            raise StructureError(message)
        value: Value = input
        return value

    def arrays(self, input: Values, least: int = 1, most: int | None = None) -> list[Value]:
        """The input, which must be a list of so many arrays."""
        flat = tree.is_table(input) and not any(map(tree.is_table, input))
        if flat and least <= len(input) and (most is None or len(input) <= most):
            return list(input)
        wanted = "arrays" if most is None else f"{most} arrays"
        got = tree.describe(tree.structure_of(input))
        message = f"{self.where()} expects a list of {wanted}, got {got}"
        raise StructureError(message)

    def table(self, input: Values, length: int | None = None) -> Sequence[Values]:
        """The input, which must be a table, of so many entries."""
        if tree.is_table(input) and (length is None or len(input) == length):
            entries: Sequence[Values] = input
            return entries
        wanted = "a list" if length is None else f"a list of {length}"
        message = f"{self.where()} expects {wanted}, got {tree.describe(tree.structure_of(input))}"
        raise StructureError(message)


def located(site: Site | None, failure: EngineFailure) -> Exception:
    """The exception for a failure of the engine, with the place that it is about."""
    message = failure.message if site is None else f"{site.describe()} {failure.message}"
    error = failure.exception(message)
    if site is not None and isinstance(error, Error):
        note_site(error, site)
    return error
