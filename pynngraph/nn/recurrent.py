"""Recurrent nets: cells, and what evaluates a cell step by step as one program.

A *cell* is a module that takes ``[x, state]`` and gives ``[y, state]``: the input and output of one step, and what goes
from step to step, a table of arrays of any nesting.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import chain
from operator import eq, index
from typing import TYPE_CHECKING, Any, ClassVar, TypeAlias

import numpy as np

from .. import tree
from ..errors import ShapeError, StructureError
from ..graph.node import Node, nest
from .container import Container
from .module import Module, check_module
from .shape import INFER, KEEP, Narrow
from .simple import Dropout, Identity, Linear
from .table import CAddTable, CMulTable, CSubTable
from .transfer import Sigmoid, Tanh

if TYPE_CHECKING:
    from .._engine import Array, Shape, Value
    from ..graph.gmodule import gModule
    from .lowering import Builder, Values

# From what the input gives to the gates, the state and the size of a part: the output and the new state.
Step: TypeAlias = Callable[[Node, Node, int], "tuple[Node, Node]"]

# ---- step by step --------------------------------------------------------------------------------


def unroll(cell: Module, T: int | None = None, truncate: int | None = None) -> Unrolled:
    """A cell evaluated T times, each time on the state that it gave before: a net of T clones that share parameters.

    Parameters
    ----------
    cell
        A module that takes ``[x, state]`` and gives ``[y, state]``, with the state nested and shaped as it was:
        a ``gModule``, or :func:`LSTMCell` and its like.
    T
        How many steps there are. None, or left out: as many as the input has.
    truncate
        Through how many steps gradients flow back at most: after every so many, the state is passed on without its
        gradient. None, or left out: through all.

    Returns
    -------
    Unrolled
        A module like others. All steps are one program, so that its memory is laid out for all of them together, and a
        run is one call.

    Examples
    --------
    >>> import numpy as np, pynngraph as nn
    >>> net = nn.unroll(nn.GRUCell(3, 4), T=5)
    >>> x, state = np.zeros((5, 2, 3)), np.zeros((2, 4))
    >>> y, state = net.forward([x, state])
    >>> y.shape, state.shape
    ((5, 2, 4), (2, 4))

    A long sequence is learned some steps at a time: the state is handed on, and gradients end where a call does.

    >>> for part in np.zeros((3, 5, 2, 3)):
    ...     input = [part, state]
    ...     y, state = net.forward(input)
    ...     gradients = net.backward(input, [np.ones_like(y), np.zeros_like(state)])
    """
    return Unrolled(cell, T, truncate)


class Unrolled(Container):
    """What :func:`unroll` gives.

    Input: ``[x, state]`` or ``[x, state, lengths]``.

    - x: a list of T tables, the inputs of the steps; or one array, whose first dim is time.
    - state: what the first step takes.
    - lengths: for batches of sequences of various lengths, how many steps each has, 0 to T: integers, of the shape of
      the first dims of all outputs and states, mostly (batch,). The state of a sequence that has ended stays as it is,
      and its outputs are zeros. What x holds there has no influence, as long as it is finite.

    Output: ``[y, state]``: the outputs of the steps, as a list if x is one, else joined along a new first dim; and the
    state after the last step.
    """

    def __init__(self, cell: Module, T: int | None = None, truncate: int | None = None) -> None:
        super().__init__(check_module(cell, "unroll"))
        self.T = None if T is None else _count(T, "T of unroll")
        self.truncate = None if truncate is None else _count(truncate, "truncate of unroll")

    @property
    def cell(self) -> Module:
        """The cell."""
        return self.modules[0]

    def lower(self, b: Builder, input: Values) -> Values:
        """The cell, once for each step."""
        x, state, *lengths = _entries(b, input, 2, 3)
        steps = _steps(b, x)
        if self.T not in (None, len(steps)):
            message = f"{b.where()} expects {self.T} steps, got {len(steps)}"
            raise ShapeError(message)
        mask = _Mask(b, lengths[0], len(steps)) if lengths else None
        outputs, state = _recur(b, self._cells_of(len(steps)), steps, state, mask, self.truncate)
        return [outputs if tree.is_table(x) else _joined(b, outputs), state]

    def _cells_of(self, n_steps: int) -> list[Module]:
        """The cell, or, where modules in Python may keep what they need for their backward, a clone for each step."""
        if not any(type(module).is_host for module in self.cell.listModules()):
            return [self.cell] * n_steps
        while len(self.modules) < n_steps:
            self.add(_clone_that_shares(self.cell))
        return self.modules

    def describe(self) -> str:
        """How many steps, of what."""
        return f"({'' if self.T is None else f'{self.T} x '}{self.cell.label()})"


def _count(value: Any, what: str) -> int:
    if isinstance(value, (bool, np.ndarray)) or not hasattr(value, "__index__") or index(value) < 1:
        message = f"{what} must be a whole number from 1, got {value!r}"
        raise ShapeError(message)
    return index(value)


def _clone_that_shares(module: Module) -> Module:
    names = {name for inner in module.listModules() for name in inner._cells}
    return module.clone(*names, *(f"grad{name[0].upper()}{name[1:]}" for name in names))


def _entries(b: Builder, input: Values, least: int, most: int) -> Sequence[Values]:
    entries = b.table(input)
    if not least <= len(entries) <= most:
        got = tree.describe(tree.structure_of(input))
        message = f"{b.where()} expects a list of {least} to {most}, the last of them lengths, got {got}"
        raise StructureError(message)
    return entries


def _steps(b: Builder, x: Values) -> list[Values]:
    """The inputs of the steps."""
    steps = list(x) if tree.is_table(x) else _slices(b, x, b.choose(_first_dim, x))
    if not steps:
        message = f"{b.where()} expects at least one step, got none"
        raise ShapeError(message)
    return steps


def _first_dim(shape: Shape) -> int:
    return shape[0] if shape else 0


def _slices(b: Builder, x: Value, count: int) -> list[Value]:
    return [b.op("select", [x], ints=[0, place]) for place in range(count)]


def _recur(
    b: Builder,
    cells: Sequence[Module],
    steps: Iterable[Values],
    state: Values,
    mask: _Mask | None,
    truncate: int | None = None,
    places: Sequence[int] | None = None,
) -> tuple[list[Values], Values]:
    """The outputs of all steps, and the state after the last one. `places` are those of the steps in the sequence."""
    outputs: list[Values] = []
    structure = tree.structure_of(state)
    for place, x in enumerate(steps):
        if truncate is not None and place and place % truncate == 0:
            state = tree.map_leaves(lambda value: b.op("detach", [value]), state)
        cell = cells[place]
        result = b.lower(cell, [x, state])
        if not tree.is_table(result) or len(result) != 2:
            message = f"a cell gives [y, state], {cell.label()} gave {tree.describe(tree.structure_of(result))}"
            raise StructureError(message)
        y, after = result
        if tree.first_difference(structure, tree.structure_of(after)):
            message = (
                f"the state of {cell.label()} became {tree.describe(tree.structure_of(after))}, "
                f"it was {tree.describe(structure)}"
            )
            raise StructureError(message)
        if mask is not None:
            y, after = mask.applied(place if places is None else places[place], y, after, state)
        outputs.append(y)
        state = after
    return outputs, state


def _joined(b: Builder, outputs: list[Values]) -> Values:
    """The outputs of all steps as one, along a new first dim."""
    columns = zip(*(tree.flatten(output)[0] for output in outputs), strict=True)
    return tree.rebuild(tree.structure_of(outputs[0]), (_stacked(b, column) for column in columns))


def _stacked(b: Builder, values: Sequence[Value]) -> Value:
    return b.op("join", [b.op("replicate", [value], ints=[0, 1]) for value in values], ints=[0])


class _Mask:
    """Which sequences of a batch go on at which step: ones before their lengths, zeros from there on."""

    def __init__(self, b: Builder, lengths: Values, n_steps: int) -> None:
        self._b = b
        lengths = b.array(lengths)
        before = np.tri(n_steps + 1, n_steps, -1)  # row n: so many ones
        with b.about(f"lengths of up to {n_steps} steps"):
            if not b.is_index(lengths):
                lengths = b.op("to_index", [lengths])
            # Looked up, so that one plan serves all lengths.
            self._going, self._ended = (
                b.op("gather", [b.constant(rows), lengths], ints=[-1]) for rows in (before, 1 - before)
            )

    def applied(self, step: int, y: Values, after: Values, before: Values) -> tuple[Values, Values]:
        """The output and the state of a step, zeros and the state before it where a sequence has ended."""
        b = self._b
        factors: list[tuple[Value, Value, Value]] = []
        known: dict[Value, Value] = {}  # outputs are parts of the state, mostly

        def factor(rows: Value, like: Value) -> Value:
            for others, other, value in factors:
                if others == rows and b.choose(eq, other, like):
                    return value
            column = b.op("select", [rows], ints=[-1, step])
            column = b.op("reshape", [column], ints=b.choose(_with_dims_of, column, like))
            factors.append((rows, like, b.op("expand", [column, like])))
            return factors[-1][2]

        def going(value: Value) -> Value:
            if value not in known:
                known[value] = b.op("mul", [factor(self._going, value), value])
            return known[value]

        def state(new: Value, old: Value) -> Value:
            return b.op("add", [going(new), b.op("mul", [factor(self._ended, old), old])])

        new, structure = tree.flatten(after)
        old = tree.flatten(before)[0]
        return tree.map_leaves(going, y), tree.rebuild(structure, map(state, new, old))


def _with_dims_of(column: Shape, like: Shape) -> tuple[int, ...]:
    """The sizes of a column, with dims of size 1 behind until there are as many as in `like`."""
    more = len(like) - len(column)
    if more < 0:
        message = f"lengths of {len(column)} dims do not fit an output or a state of shape {like}"
        raise ShapeError(message)
    if column != like[: len(column)]:
        message = (
            f"lengths of shape {column} do not fit an output or a state of shape {like}, whose first dims they have"
        )
        raise ShapeError(message)
    return (KEEP,) * len(column) + (1,) * more


# ---- cells ---------------------------------------------------------------------------------------


def _part(x: Node, place: int, size: int, count: int = 1) -> Node:
    """So many of the parts, of `size` each, that the last dim holds."""
    return Narrow(-1, place * size, count * size)(x)


def _lstm(sums: Node, state: Node, size: int) -> tuple[Node, Node]:
    h, c = state.split(2)
    sums = CAddTable()([sums, Linear(size, 4 * size)(h)])
    gates = Sigmoid()(_part(sums, 0, size, 3))
    i, f, o = (_part(gates, place, size) for place in range(3))
    c = CAddTable()([CMulTable()([f, c]), CMulTable()([i, Tanh()(_part(sums, 3, size))])])
    h = CMulTable()([o, Tanh()(c)])
    return h, nest([h, c])


def _gru(sums: Node, h: Node, size: int) -> tuple[Node, Node]:
    from_h = Linear(size, 3 * size)(h)
    gates = Sigmoid()(CAddTable()([_part(sums, 0, size, 2), _part(from_h, 0, size, 2)]))
    r, z = (_part(gates, place, size) for place in range(2))
    n = Tanh()(CAddTable()([_part(sums, 2, size), CMulTable()([r, _part(from_h, 2, size)])]))
    return _between(n, h, z)


def _gru_reset_before(sums: Node, h: Node, size: int) -> tuple[Node, Node]:
    gates = Sigmoid()(CAddTable()([_part(sums, 0, size, 2), Linear(size, 2 * size)(h)]))
    r, z = (_part(gates, place, size) for place in range(2))
    n = Tanh()(CAddTable()([_part(sums, 2, size), Linear(size, size)(CMulTable()([r, h]))]))
    return _between(n, h, z)


def _between(n: Node, h: Node, z: Node) -> tuple[Node, Node]:
    """(1 - z) n + z h."""
    h = CAddTable()([n, CMulTable()([z, CSubTable()([h, n])])])
    return h, h


def _rnn(transfer: Module) -> Step:
    def step(sums: Node, h: Node, size: int) -> tuple[Node, Node]:
        h = transfer.clone()(CAddTable()([sums, Linear(size, size)(h)]))
        return h, h

    return step


def _packed(name: str, x: Node, state: Node, outputs: tuple[Node, Node]) -> gModule:
    from ..graph.gmodule import gModule  # noqa: PLC0415 - graphs are containers: this package is imported before them

    cell = gModule([x, state], list(outputs))
    cell.name = name
    return cell


def _cell(name: str, step: Step, n_gates: int, inputSize: int, hiddenSize: int) -> gModule:
    """A step, with the product of its input before it."""
    _count(inputSize, f"inputSize of {name}")
    _count(hiddenSize, f"hiddenSize of {name}")
    x, state = Identity()(), Identity()()
    return _packed(name, x, state, step(Linear(inputSize, n_gates * hiddenSize)(x), state, hiddenSize))


def LSTMCell(inputSize: int, hiddenSize: int) -> gModule:
    """One step of a long short-term memory, as a graph: see :class:`LSTM` for what it computes.

    Shapes: input ``[x, [h, c]]``, x (inputSize,) or (batch, inputSize), h and c (hiddenSize,) or (batch, hiddenSize);
    output ``[h, [h, c]]``, the new ones.

    Examples
    --------
    >>> import numpy as np, pynngraph as nn
    >>> h, state = nn.LSTMCell(3, 4).forward([np.ones((2, 3)), [np.zeros((2, 4)), np.zeros((2, 4))]])
    >>> h.shape, len(state)
    ((2, 4), 2)
    """
    return _cell("LSTMCell", _lstm, LSTM.n_gates, inputSize, hiddenSize)


def GRUCell(inputSize: int, hiddenSize: int, resetAfter: bool = True) -> gModule:
    """One step of gated recurrent units, as a graph: see :class:`GRU` for what it computes.

    Shapes: input ``[x, h]``, x (inputSize,) or (batch, inputSize), h (hiddenSize,) or (batch, hiddenSize); output
    ``[h, h]``, the new one twice.

    Examples
    --------
    >>> import numpy as np, pynngraph as nn
    >>> h, state = nn.GRUCell(3, 4).forward([np.ones((2, 3)), np.zeros((2, 4))])
    >>> h.shape
    (2, 4)
    """
    return _cell("GRUCell", _gru if resetAfter else _gru_reset_before, GRU.n_gates, inputSize, hiddenSize)


def RNNCell(inputSize: int, hiddenSize: int, transfer: Module | None = None) -> gModule:
    """One step of a plain recurrent net, as a graph: see :class:`RNN` for what it computes.

    Shapes: input ``[x, h]``, x (inputSize,) or (batch, inputSize), h (hiddenSize,) or (batch, hiddenSize); output
    ``[h, h]``, the new one twice.

    Examples
    --------
    >>> import numpy as np, pynngraph as nn
    >>> h, state = nn.RNNCell(3, 4, nn.ReLU()).forward([np.ones((2, 3)), np.zeros((2, 4))])
    >>> bool((h >= 0).all())
    True
    """
    return _cell("RNNCell", _rnn(_transfer(transfer, "RNNCell")), RNN.n_gates, inputSize, hiddenSize)


def _transfer(module: Module | None, of: str) -> Module:
    return Tanh() if module is None else check_module(module, f"transfer of {of}")


# ---- layers --------------------------------------------------------------------------------------


# How many rows a step has at least, for the product of its input to be a step of its own (docs/design/recurrent.md).
ROWS_FOR_STEPS = 32


class _Recurrent(Container):
    """Base of recurrent layers over whole sequences.

    The product of the input of a layer is one for all steps, where batches are small; only what depends on the state
    is done step by step. Large batches fill the kernels as they are: then their product is done in each step, and
    what it gives need not be kept for all steps.
    """

    n_gates: ClassVar[int]
    n_states: ClassVar[int] = 1
    bidirectional: bool = False

    def _build(
        self, step: Step, inputSize: int, hiddenSize: int, nLayers: int, dropout: float, bidirectional: bool
    ) -> None:
        Container.__init__(self)
        self.inputSize = _count(inputSize, f"inputSize of {type(self).__name__}")
        self.hiddenSize = _count(hiddenSize, f"hiddenSize of {type(self).__name__}")
        self.nLayers = _count(nLayers, f"nLayers of {type(self).__name__}")
        self.bidirectional = bool(bidirectional)
        for layer in range(self.nLayers):
            for _ in range(self._n_directions):
                self.add(Linear(self._size_before(layer), self.n_gates * hiddenSize))
                sums, state = Identity()(), Identity()()
                self.add(_packed(f"{type(self).__name__} step", sums, state, step(sums, state, hiddenSize)))
            dropped = Dropout(dropout)  # says what is wrong with the number, of one layer too
            if layer + 1 < self.nLayers:
                self.add(dropped)

    @property
    def _n_directions(self) -> int:
        return 2 if self.bidirectional else 1

    @property
    def outputSize(self) -> int:
        """The features of the output: hiddenSize, twice if there are two directions."""
        return self._n_directions * self.hiddenSize

    def _size_before(self, layer: int) -> int:
        """The features that a layer gets."""
        return self.outputSize if layer else self.inputSize

    def lower(self, b: Builder, input: Values) -> Values:
        """The steps of each layer, one after the other, with products of the input before or in between."""
        x: Any
        x, states, lengths = self._parts(b, input)
        n_steps, together = b.choose(partial(self._look_at, b.where()), x)
        mask = None if lengths is None else _Mask(b, lengths, n_steps)
        after: list[Values] = []
        if not together:
            x = _slices(b, x, n_steps)
        modules = iter(self.modules)
        for layer in range(self.nLayers):
            ways = []
            for backwards in range(self._n_directions):
                from_input, step = next(modules), next(modules)
                sums = self._sums(b, from_input, x, self._size_before(layer), n_steps, backwards=bool(backwards))
                first = next(sums)
                state = self._zero_state(b, first) if states is None else states[len(after)]
                places = range(n_steps)[::-1] if backwards else range(n_steps)
                y, state = _recur(b, [step] * n_steps, chain([first], sums), state, mask, places=places)
                after.append(state)
                ways.append(y[::-1] if backwards else y)
            x = self._both(b, ways, together=together)
            if layer + 1 < self.nLayers:
                dropout = next(modules)
                x = b.lower(dropout, x) if together else [b.lower(dropout, part) for part in x]
        joined = x if together else _stacked(b, x)
        return joined if states is None else [joined, after]

    def _both(self, b: Builder, ways: list[list[Value]], *, together: bool) -> Values:
        """What the directions give, side by side: one array, or one for each step."""
        parts: list[Any] = [_stacked(b, way) for way in ways] if together else ways
        if len(parts) == 1:
            return parts[0]
        if together:
            return b.op("join", parts, ints=[-1])
        return [b.op("join", pair, ints=[-1]) for pair in zip(*parts, strict=True)]

    def _parts(self, b: Builder, input: Values) -> tuple[Value, Sequence[Values] | None, Value | None]:
        """The sequences; the states, if there are some; and the lengths, if there are some."""
        if not tree.is_table(input):
            return input, None, None
        x, *rest = _entries(b, input, 1, 3)
        states = rest.pop(0) if rest and tree.is_table(rest[0]) else None
        if states is not None and len(states) != self._n_directions * self.nLayers:
            of = f"{self.nLayers} layers, in two directions each" if self.bidirectional else f"{self.nLayers} layers"
            message = f"{b.where()} expects states of {of}, got {len(states)}"
            raise StructureError(message)
        if len(rest) > 1:
            message = f"{b.where()} expects its state as a list with an entry for each layer, got one array"
            raise StructureError(message)
        return b.array(x), states, rest[0] if rest else None

    def _look_at(self, where: str, shape: Shape) -> tuple[int, bool]:
        """How many steps there are, and whether they have one product."""
        if len(shape) not in (2, 3) or shape[-1] != self.inputSize or shape[0] == 0:
            message = (
                f"{where} expects an input of shape (steps, batch, {self.inputSize}) or "
                f"(steps, {self.inputSize}), got {shape}"
            )
            raise ShapeError(message)
        return shape[0], len(shape) == 2 or shape[1] < ROWS_FOR_STEPS

    def _sums(
        self, b: Builder, linear: Module, x: Values, size: int, n_steps: int, *, backwards: bool
    ) -> Iterator[Value]:
        """What the input, with a last dim of this size, gives to the gates of each step, when it is its turn."""
        if isinstance(x, list):
            for step in x[::-1] if backwards else x:
                yield b.lower(linear, step)
            return
        one_sequence = b.choose(len, x) == 2
        y = b.lower(linear, x if one_sequence else b.op("reshape", [x], ints=[INFER, size]))
        if not one_sequence:
            y = b.op("reshape", [y], ints=[n_steps, INFER, self.n_gates * self.hiddenSize])
        steps = _slices(b, y, n_steps)
        yield from steps[::-1] if backwards else steps

    def _zero_state(self, b: Builder, sums: Value) -> Values:
        like = b.op("narrow", [sums], ints=[-1, 0, self.hiddenSize])
        zeros = b.op("expand", [b.constant(np.zeros((1,) * b.choose(len, like))), like])
        return self._state_of([zeros] * self.n_states)

    def _state_of(self, entries: list[Any]) -> Any:
        """What one layer's state is made of, as its step wants it."""
        return entries if self.n_states > 1 else entries[0]

    def zeroState(self, batch: int | None = None) -> list[Any]:
        """A state of zeros for sequences in batches of this size, or, without one, for one sequence."""
        shape = (self.hiddenSize,) if batch is None else (batch, self.hiddenSize)
        return [
            self._state_of([np.zeros(shape, self.dtype) for _ in range(self.n_states)])
            for _ in range(self._n_directions * self.nLayers)
        ]

    def describe(self) -> str:
        """Sizes."""
        layers = "" if self.nLayers == 1 else f", {self.nLayers} layers"
        ways = ", both ways" if self.bidirectional else ""
        return f"({self.inputSize} -> {self.hiddenSize}{layers}{ways})"


class LSTM(_Recurrent):
    """Layers of long short-term memory, over whole sequences.

    At each step, of x and of h and c from the step before::

        i, f, o = sigmoid(W x + b + U h + d), three parts in this order;  g = tanh(...), the fourth
        c = f c + i g
        h = o tanh(c)

    Parameters
    ----------
    inputSize, hiddenSize
        Features of the input, and of h and c.
    nLayers
        How many layers there are: each gets the h of all steps of the layer before.
    dropout
        The probability of zero of a :class:`Dropout` between layers.
    bidirectional
        True for a second set of steps in each layer, from the end of each sequence to its beginning; what both give
        stands side by side, so that the output, and what the next layer gets, has 2 hiddenSize features.

    Input: x, or a list ``[x, state]``, ``[x, lengths]`` or ``[x, state, lengths]``.

    - x: (steps, batch, inputSize), or (steps, inputSize) for one sequence.
    - state: a list of ``[h, c]`` of each layer, (batch, hiddenSize) or (hiddenSize,); see :meth:`zeroState`. Without it
      sequences start from zeros. With two directions, the list has two entries a layer, forwards and then backwards.
    - lengths: (batch,), integers: how many steps each sequence has, 0 to all. What x holds after them has no influence,
      as long as it is finite; outputs are zeros there.

    Output: the last layer's h of all steps, (steps, batch, hiddenSize) or (steps, hiddenSize), 2 hiddenSize features in
    two directions; if there was a state, a list of that and of the state after the last step of each sequence.

    Parameters of each layer, in this order: W (4 hiddenSize, inputSize), b, U (4 hiddenSize, hiddenSize), d; with two
    directions, the same of the second one. PyTorch has the same with the rows of o after those of g. Source: Graves,
    Generating sequences with recurrent neural networks, 2013, without peepholes.

    Examples
    --------
    >>> import numpy as np, pynngraph as nn
    >>> net = nn.LSTM(3, 4, nLayers=2, dropout=0.5)
    >>> x = np.zeros((5, 2, 3))
    >>> net.forward(x).shape
    (5, 2, 4)
    >>> y, state = net.forward([x, net.zeroState(2), np.array([5, 3])])
    >>> bool(y[3:, 1].any())
    False
    >>> nn.LSTM(3, 4, bidirectional=True).forward(x).shape
    (5, 2, 8)
    """

    n_gates = 4
    n_states = 2

    def __init__(
        self, inputSize: int, hiddenSize: int, nLayers: int = 1, dropout: float = 0.0, bidirectional: bool = False
    ) -> None:
        self._build(_lstm, inputSize, hiddenSize, nLayers, dropout, bidirectional)


class GRU(_Recurrent):
    """Layers of gated recurrent units, over whole sequences.

    At each step, of x and of h from the step before::

        r, z = sigmoid(W x + b + U h + d), two parts in this order, of three
        n = tanh(third part of (W x + b) + r * third part of (U h + d))
        h = (1 - z) n + z h

    Parameters
    ----------
    inputSize, hiddenSize, nLayers, dropout, bidirectional
        As of :class:`LSTM`.
    resetAfter
        False to have n = tanh(third part of (W x + b) + V (r * h) + e), as the first publication and char-rnn do.

    Input and output: as of :class:`LSTM`, with a state that is a list of the h of each layer.

    Parameters of each layer, in this order: W (3 hiddenSize, inputSize), b, U (3 hiddenSize, hiddenSize), d, as
    PyTorch's; with ``resetAfter=False`` U and d have two thirds of these rows, and V (hiddenSize, hiddenSize) and e
    follow. Source: Cho et al., Learning phrase representations using RNN encoder-decoder, 2014.

    Examples
    --------
    >>> import numpy as np, pynngraph as nn
    >>> y, state = (net := nn.GRU(3, 4)).forward([np.zeros((5, 2, 3)), net.zeroState(2)])
    >>> y.shape, state[0].shape
    ((5, 2, 4), (2, 4))
    """

    n_gates = 3

    def __init__(
        self,
        inputSize: int,
        hiddenSize: int,
        nLayers: int = 1,
        dropout: float = 0.0,
        resetAfter: bool = True,
        bidirectional: bool = False,
    ) -> None:
        step = _gru if resetAfter else _gru_reset_before
        self._build(step, inputSize, hiddenSize, nLayers, dropout, bidirectional)


class RNN(_Recurrent):
    """Layers of plain recurrent nets, over whole sequences: h = tanh(W x + b + U h + d).

    Parameters
    ----------
    inputSize, hiddenSize, nLayers, dropout, bidirectional
        As of :class:`LSTM`.
    transfer
        A module in place of tanh, such as ``nn.ReLU()``; each layer has a copy of it.

    Input and output: as of :class:`LSTM`, with a state that is a list of the h of each layer.

    Parameters of each layer, in this order: W (hiddenSize, inputSize), b, U (hiddenSize, hiddenSize), d, as PyTorch's.

    Examples
    --------
    >>> import numpy as np, pynngraph as nn
    >>> nn.RNN(3, 4).forward(np.zeros((5, 3))).shape
    (5, 4)
    """

    n_gates = 1

    def __init__(
        self,
        inputSize: int,
        hiddenSize: int,
        nLayers: int = 1,
        dropout: float = 0.0,
        transfer: Module | None = None,
        bidirectional: bool = False,
    ) -> None:
        self._build(_rnn(_transfer(transfer, "RNN")), inputSize, hiddenSize, nLayers, dropout, bidirectional)


# ---- batches of sequences ------------------------------------------------------------------------


def padSequences(sequences: Sequence[Array], value: float = 0) -> tuple[Array, Array]:
    """Sequences of various lengths as one batch, and their lengths.

    Parameters
    ----------
    sequences
        Arrays of one dtype whose first dim is time, and whose other dims are equal.
    value
        What stands after their ends: of targets, the `ignoreIndex` of the criterion.

    Returns
    -------
    The batch, (longest, number of sequences, ...), and the lengths, (number of sequences,), integers.

    Examples
    --------
    >>> import numpy as np, pynngraph as nn
    >>> x, lengths = nn.padSequences([np.ones((3, 2)), np.ones((1, 2))])
    >>> x.shape, lengths.tolist()
    ((3, 2, 2), [3, 1])
    >>> nn.GRU(2, 4).forward([x, lengths]).shape
    (3, 2, 4)
    """
    arrays = [np.asarray(sequence) for sequence in sequences]
    kinds = {(array.dtype, array.shape[1:], array.ndim > 0) for array in arrays}
    if len(kinds) != 1 or not arrays[0].ndim:
        got = ", ".join(sorted({f"{array.dtype} {array.shape}" for array in arrays})) or "none"
        message = f"padSequences takes arrays of one dtype that differ in their first dim only, got {got}"
        raise ShapeError(message)
    lengths = np.array([len(array) for array in arrays])
    batch = np.full((lengths.max(), len(arrays), *arrays[0].shape[1:]), value, arrays[0].dtype)
    for place, array in enumerate(arrays):
        batch[: len(array), place] = array
    return batch, lengths


__all__ = ["GRU", "LSTM", "RNN", "GRUCell", "LSTMCell", "RNNCell", "Unrolled", "padSequences", "unroll"]
