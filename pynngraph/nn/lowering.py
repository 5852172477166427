"""Lowering: from modules to a program of primitive ops.

A module's ``lower(b, input)`` gets a :class:`Builder` and a table of values and gives a table of values. Sizes are
not known to a program; where a module must look at them it asks through :meth:`Builder.choose`, and the answer
becomes a condition of the program's use.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

from .. import tree
from .._engine import INDEX, OPS, EngineFailure, Program, Shape, Shapes, Value
from ..errors import DTypeError, StructureError
from .host import HostNeeded, HostResults, HostStep

if TYPE_CHECKING:
    from .module import Module
    from .parameter import Cell

Values: TypeAlias = Any  # a value, or a nested list or tuple of values


class Site:
    """Where an op comes from: a module, inside of others, and the graph node that declared it."""

    __slots__ = ("module", "outer", "place")

    def __init__(self, module: Module, outer: Site | None, place: str | None) -> None:
        self.module = module
        self.outer = outer
        self.place = place  # "train.py:41", of a graph node

    def describe(self) -> str:
        """In words, for messages: ``Linear(3 -> 5) at train.py:41``."""
        site: Site | None = self
        while site is not None:
            if site.place is not None:
                inside = "" if site is self else f" in {type(site.module).__name__}"
                return f"{self.module.label()}{inside} at {site.place}"
            site = site.outer
        if self.outer is None:
            return self.module.label()
        return f"{self.module.label()} in {self._path()}"

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


class Guard:
    """A question about sizes that was asked while lowering, and its answer."""

    __slots__ = ("answer", "question", "values")

    def __init__(self, question: Callable[..., Any], values: tuple[Value, ...], answer: Any) -> None:
        self.question = question
        self.values = values
        self.answer = answer


class Builder:
    """A program under construction, and what is to be known of it later."""

    def __init__(self, dtype: Any, hosts: HostResults) -> None:
        self.program = Program()
        self.dtype = dtype
        self.cells: list[Cell] = []
        self.sites: list[Site | None] = []  # one an op
        self.guards: list[Guard] = []
        self.has_noise = False
        self._params: dict[int, Value] = {}
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
        self._params[id(cell)] = value
        self.cells.append(cell)
        return value

    def op(
        self,
        name: str,
        inputs: Sequence[Value],
        ints: Sequence[int] = (),
        nums: Sequence[float] = (),
    ) -> Value:
        """Append an op of the registry; its (first) output."""
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
        self.has_noise = self.has_noise or info.family == "noise"
        return outputs[0]

    def is_index(self, value: Value) -> bool:
        """Whether a value holds indices."""
        return self.program.kinds[value] == INDEX

    # ---- sizes ---------------------------------------------------------------------------------

    def shape(self, value: Value) -> Shape:
        """The shape of a value in the call at hand. For messages; decisions belong to :meth:`choose`."""
        if self._shapes is None:
            self._shapes = Shapes(self.program, self._input_shapes)
        try:
            return self._shapes[value]
        except EngineFailure as failure:
            site = self.sites[failure.op] if failure.op >= 0 else None
            raise failure.exception(located(site, failure.message)) from None

    def choose(self, question: Callable[..., Any], *values: Value) -> Any:
        """The answer of `question(*shapes)`; another answer will ask for another program."""
        answer = question(*(self.shape(value) for value in values))
        self.guards.append(Guard(question, values, answer))
        return answer

    # ---- modules -------------------------------------------------------------------------------

    def lower(self, module: Module, input: Values, place: str | None = None) -> Values:
        """Lower a module on a table of values, as its user would run it."""
        outer = self._site
        self._site = Site(module, outer, place)
        try:
            if module.is_host:
                return self.host(module, input)
            return module.lower(self, input)
        finally:
            self._site = outer

    def lower_native(self, module: Module, input: Values) -> Values:
        """Lower a module by its own ``lower``, also where a subclass overrides ``updateOutput``."""
        self._site = Site(module, None, None)
        try:
            return module.lower(self, input)
        finally:
            self._site = None

    def host(self, module: Module, input: Values) -> Values:
        """Append a step that is done in Python.

        What it gives is known only when it has run on arrays like these: until then lowering ends here,
        with :class:`~.host.HostNeeded`.
        """
        values, structure = tree.flatten(input)
        shapes = tuple(self.shape(value) for value in values)
        use = self._uses[id(module)] = self._uses.get(id(module), -1) + 1
        step = HostStep(module, use, structure, self._hosts)
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
            message = f"{self.where()} expects one array, got {tree.describe(tree.structure_of(input))}"
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


def located(site: Site | None, message: str) -> str:
    """A message of the engine with the place that it is about."""
    return message if site is None else f"{site.describe()} {message}"
