"""Parameters: cells that modules share by reference.

A :class:`Cell` is a parameter and its gradient, each in a :class:`Store`. Modules that share a weight have the
same cell, or, where only ``weight`` but not ``gradWeight`` is shared, two cells with one data store. Whatever moves an
array moves it for all who share it: sharing cannot be lost.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, TypeAlias

import numpy as np

from .. import memory
from .._engine import constant
from ..errors import DTypeError, ShapeError, StateError
from ..watch import Changes

Array: TypeAlias = "np.ndarray[Any, Any]"

_most_bytes: ContextVar[int | None] = ContextVar("most bytes of a parameter", default=None)


@contextmanager
def at_most(size: int) -> Iterator[None]:
    """Meanwhile, larger parameters cannot be made: a file may claim any sizes."""
    token = _most_bytes.set(size)
    try:
        yield
    finally:
        _most_bytes.reset(token)


class Moves:
    """Counts how often any parameter moved to another array, so that plans know when to bind them again."""

    count = 0


class Vector:
    """A vector that stores lie in, and parts of it that were handed out."""

    __slots__ = ("array", "parts")

    def __init__(self, array: Array) -> None:
        self.array = array
        self.parts: list[weakref.ref[Array]] = []

    def freeze(self) -> None:
        """Make all that was handed out read-only."""
        for part in (self.array, *(part() for part in self.parts)):
            if part is not None:
                part.flags.writeable = False


def is_frozen(array: Array) -> bool:
    """Whether an array is one that :meth:`Store.freeze` made.

    Bytes never change: NumPy and Python offer no way to write to them, nor to make an array of them writable.
    """
    return type(array.base) is bytes


class Store:
    """One array, which may move."""

    __slots__ = ("_packed", "array", "flat", "is_grad", "offset")

    def __init__(self, array: Array, *, is_grad: bool = False) -> None:
        self.array = array
        self.is_grad = is_grad
        self.flat: Vector | None = None  # the vector that the array lies in, and where
        self.offset = 0
        self._packed: tuple[Array, weakref.ref[Array]] | None = None  # an array, and what was made of it

    def move(self, array: Array, flat: Vector | None = None, offset: int = 0) -> None:
        """Go on in another array. The old one becomes read-only: a late write is an error, not lost."""
        self.array.flags.writeable = False
        if self.flat is not None:
            self.flat.freeze()
        self.array, self.flat, self.offset = array, flat, offset
        self._packed = None
        Moves.count += 1
        Changes.count += 1

    def freeze(self) -> None:
        """Go on in memory that nobody can write to, through whatever array: that of a bytes object."""
        if not is_frozen(self.array):
            self.move(constant(self.array))

    def unfreeze(self) -> None:
        """Go on in an array that can be written to."""
        if is_frozen(self.array):
            self.move(memory.copy(self.array))

    def packed(self, array: Array, pack: Callable[[Array], Array]) -> Array:
        """What `pack` makes of this array, which is the store's: made once for all plans, if it is frozen.

        The plans that read it keep it.
        """
        known = self._packed  # with the array that it was made of: another thread may move the store meanwhile
        result = known[1]() if known is not None and known[0] is array else None
        if result is None:
            result = pack(array)
            if is_frozen(array):
                self._packed = array, weakref.ref(result)
        return result

    def __getstate__(self) -> tuple[Any, ...]:
        # Without the vector, which would be saved whole with each of its parts; of a gradient, the sizes only.
        return (self.array.shape, self.array.dtype.name) if self.is_grad else (self.array,)

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self.is_grad = len(state) > 1
        # A view of a vector was saved as a view; a parameter has an array to itself.
        # By name: a saved dtype is equal to NumPy's own, but another object.
        self.array = memory.zeros(*state) if self.is_grad else memory.copy(state[0], state[0].dtype.name)
        self.flat = None
        self.offset = 0
        self._packed = None

    def __deepcopy__(self, memo: dict[int, Any]) -> Store:
        # A copy has the gradients too, a saved parameter has none.
        return Store(memory.copy(self.array), is_grad=self.is_grad)


class Cell:
    """A parameter: its array and its gradient's, of one shape and dtype. Without a gradient it is a buffer."""

    __slots__ = ("data_store", "grad_store")

    def __init__(self, data: Array, *, has_grad: bool = True) -> None:
        most = _most_bytes.get()
        if most is not None and data.nbytes > most:
            message = f"a parameter of shape {data.shape} is more than there can be"
            raise ShapeError(message)
        self.data_store = Store(memory.copy(data))
        self.grad_store = Store(memory.zeros(data.shape, data.dtype), is_grad=True) if has_grad else None

    @classmethod
    def owning(cls, data: Array, *, has_grad: bool = True) -> Cell:
        """A cell of an array that nobody else has: it is not copied."""
        cell = cls.__new__(cls)
        cell.data_store = Store(data)
        cell.grad_store = Store(memory.zeros(data.shape, data.dtype), is_grad=True) if has_grad else None
        return cell

    @property
    def data(self) -> Array:
        """The array itself: what is written to it is seen at once."""
        return self.data_store.array

    @property
    def is_frozen(self) -> bool:
        """Whether nobody can write to the array."""
        return is_frozen(self.data_store.array)

    def writable(self, what: str) -> Array:
        """The array, to write to; a StateError if it is frozen."""
        if self.is_frozen:
            message = f"{what} is frozen: call unfreeze() first"
            raise StateError(message)
        return self.data_store.array

    @property
    def grad(self) -> Array | None:
        """The gradient's array, or None for a buffer."""
        return None if self.grad_store is None else self.grad_store.array

    def stores(self) -> list[Store]:
        """The stores of the cell."""
        return [store for store in (self.data_store, self.grad_store) if store is not None]

    def with_own_grad(self) -> Cell:
        """A cell that shares the data, and has a gradient of its own."""
        other = Cell.__new__(type(self))
        other.data_store = self.data_store
        if self.grad_store is None:
            other.grad_store = None
        else:
            other.grad_store = Store(memory.zeros(self.data.shape, self.data.dtype), is_grad=True)
        return other


class Derived(Cell):
    """What stands in a parameter's place and is computed of other ones: itself it is none, and has no gradient."""

    __slots__ = ()

    def __init__(self, data: Array) -> None:
        super().__init__(data, has_grad=False)


@contextmanager
def unchanged(arrays: Iterable[Array]) -> Iterator[None]:
    """Whatever is done meanwhile, the arrays hold afterwards what they hold now."""
    kept = [(array, array.copy()) for array in arrays]
    try:
        yield
    finally:
        for array, values in kept:
            np.copyto(array, values)


def copy_in(target: Array, value: Any, what: str) -> None:
    """Copy values into an array of the same shape, converting their dtype."""
    source = np.asarray(value)
    if source.dtype.kind not in "fiub":
        message = f"{what} takes real numbers, got {source.dtype}"
        raise DTypeError(message)
    if source.shape != target.shape:
        message = f"{what} has shape {target.shape}, got values of shape {source.shape}"
        raise ShapeError(message)
    np.copyto(target, source, casting="same_kind" if source.dtype.kind == "f" else "unsafe")


def unique_cells(cells: Iterable[Cell]) -> list[Cell]:
    """The cells in order, each pair of a parameter and a gradient once."""
    seen: dict[tuple[int, int], Cell] = {}
    for cell in cells:
        seen.setdefault((id(cell.data_store), id(cell.grad_store)), cell)
    return list(seen.values())


def convert(cells: Iterable[Cell], dtype: Any) -> None:
    """Move cells to arrays of another dtype."""
    for cell in cells:
        for store in cell.stores():
            if store.array.dtype != dtype:
                was_frozen = is_frozen(store.array)
                store.move(memory.copy(store.array, dtype))
                if was_frozen:
                    store.freeze()


def _lies_in_order(stores: Sequence[Store]) -> bool:
    """Whether the arrays follow each other in one vector."""
    first = stores[0]
    offset = first.offset
    for store in stores:
        if store.flat is None or store.flat is not first.flat or store.offset != offset:
            return False
        offset += store.array.size
    return True


def joined(cells: Sequence[Cell]) -> list[tuple[Array, Array]]:
    """The arrays of parameters and of their gradients, as few as there can be: one pair, if they lie in two vectors."""
    pairs = [(cell.data_store, cell.grad_store) for cell in cells if cell.grad_store is not None]
    if len(pairs) > 1 and all(_lies_in_order(stores) for stores in zip(*pairs, strict=True)):
        size = sum(data.array.size for data, _ in pairs)
        first: Any = pairs[0]  # both have a vector
        data, grad = (store.flat.array[store.offset : store.offset + size] for store in first)
        return [(data, grad)]
    return [(data.array, grad.array) for data, grad in pairs]


def _flatten_stores(stores: Sequence[Store], dtype: Any) -> Array:
    size = sum(store.array.size for store in stores)
    if stores and _lies_in_order(stores):
        known: Any = stores[0].flat
        start = stores[0].offset
        if size == known.array.size:
            whole: Array = known.array
            return whole
        part: Array = known.array[start : start + size]
        known.parts.append(weakref.ref(part))
        return part
    flat = memory.empty((size,), dtype)
    vector = Vector(flat)
    offset = 0
    for store in stores:
        part = flat[offset : offset + store.array.size].reshape(store.array.shape)
        part[...] = store.array
        store.move(part, vector, offset)
        offset += part.size
    return flat


def flatten_cells(cells: Sequence[Cell], dtype: Any) -> tuple[Array, Array]:
    """Two vectors, of all parameters and of all gradients, of which the cells become parts.

    Where the cells lie in one vector already, that one is given again.
    """
    owners: dict[int, int] = {}
    for cell in cells:
        cell.writable("a parameter")
        if cell.data.dtype != dtype:
            message = (
                f"a parameter is {cell.data.dtype} in a module of {dtype}: convert the whole with .type({str(dtype)!r})"
            )
            raise DTypeError(message)
        if owners.setdefault(id(cell.data_store), id(cell.grad_store)) != id(cell.grad_store):
            message = (
                "modules share a parameter but not its gradient, so that one vector cannot hold "
                "both: share 'gradWeight' and 'gradBias' too, or use parameters()"
            )
            raise StateError(message)
    distinct = unique_cells(cells)
    data = [cell.data_store for cell in distinct]
    grads = [cell.grad_store for cell in distinct if cell.grad_store is not None]
    return _flatten_stores(data, dtype), _flatten_stores(grads, dtype)
