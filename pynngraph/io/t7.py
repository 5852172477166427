"""What a ``.t7`` file holds, as it is: Lua's values, before any meaning is given to them.

``t7_reader`` and ``t7_writer`` are exact: what was read from a file that Torch7 wrote, and is written again in the same
form, has the same bytes. Nothing in a file is ever executed.

Lua's nil, booleans, numbers and strings are None, bool, float and str here (bytes that are no UTF-8 are kept by
Python's ``surrogateescape``); everything else is one of the classes below. Equal objects in a file are one object.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from .._engine import Array

# Tags of objects.
NIL, NUMBER, STRING, TABLE, TORCH, BOOLEAN, FUNCTION, LEGACY_RECURSIVE_FUNCTION, RECURSIVE_FUNCTION = range(9)

# Elements of tensors and storages, by what stands before "Tensor" or "Storage" in the name of their class.
# What "Long" is depends on the system that wrote the file.
ELEMENTS = {
    "Byte": "u1",
    "Char": "i1",
    "Short": "<i2",
    "Int": "<i4",
    "Long": "<i8",
    "Half": "<f2",
    "Float": "<f4",
    "Double": "<f8",
}


class Form(NamedTuple):
    """How a file is written."""

    is_ascii: bool = False
    long_size: int = 8  # bytes


class Table:
    """A Lua table: its pairs of key and value in order."""

    __slots__ = ("pairs",)

    def __init__(self, pairs: list[tuple[Any, Any]] | None = None) -> None:
        self.pairs = [] if pairs is None else pairs

    def get(self, key: Any) -> Any:
        """The value of a key that is a string or a number; None if there is none."""
        for known, value in self.pairs:
            if known == key and type(known) is type(key):
                return value
        return None

    def as_dict(self) -> dict[str, Any]:
        """The values of keys that are strings."""
        return {key: value for key, value in self.pairs if isinstance(key, str)}

    def entries(self) -> list[Any] | None:
        """The values of a table with keys from 1 to n, in order; None for other tables."""
        count = len(self.pairs)
        found: dict[float, Any] = {}
        for key, value in self.pairs:
            if type(key) is not float or not 1 <= key <= count or key != int(key):
                return None
            found[key] = value
        return [found[place] for place in range(1, count + 1)] if len(found) == count else None


class Storage:
    """A vector that tensors lie in."""

    __slots__ = ("array", "name")

    def __init__(self, name: str, array: Array) -> None:
        self.name = name  # of the class: torch.DoubleStorage
        self.array = array


class Tensor:
    """A tensor; `offset` counts from 0."""

    __slots__ = ("name", "offset", "sizes", "storage", "strides")

    def __init__(
        self, name: str, sizes: tuple[int, ...], strides: tuple[int, ...], offset: int, storage: Storage | None
    ) -> None:
        self.name = name
        self.sizes = sizes
        self.strides = strides
        self.offset = offset
        self.storage = storage

    def array(self, *, writeable: bool = False) -> Array:
        """Its elements, as a view of the storage. A tensor without dims is empty."""
        if not self.sizes or self.storage is None:
            return np.empty(0, element_type(self.name, 8))
        array = self.storage.array[self.offset :]
        strides = [stride * array.itemsize for stride in self.strides]
        return np.lib.stride_tricks.as_strided(array, self.sizes, strides, writeable=writeable)


class Record:
    """An object of any other class: its fields, most often a :class:`Table`.

    ``version`` is None for objects of files that are so old that they have none; ``position`` says where in the
    file the object begins.
    """

    __slots__ = ("fields", "name", "position", "version")

    def __init__(self, name: str, version: int | None = 1, fields: Any = None, position: int = 0) -> None:
        self.name = name
        self.version = version
        self.fields = fields
        self.position = position

    def __repr__(self) -> str:
        return f"<{self.name} at byte {self.position}>"


class Function:
    """A Lua function, which is never run: the marker that it was there."""

    __slots__ = ("code", "tag", "upvalues")

    def __init__(self, tag: int, code: bytes, upvalues: Any = None) -> None:
        self.tag = tag
        self.code = code
        self.upvalues = upvalues

    def __repr__(self) -> str:
        return f"<Lua function of {len(self.code)} bytes>"


def element_type(name: str, long_size: int) -> str | None:
    """The NumPy type of the elements of a tensor or storage, by the name of its class; None for other classes."""
    module, _, kind = name.partition(".")
    for ending in ("Tensor", "Storage"):
        if module == "torch" and kind.endswith(ending):
            kind = kind[: -len(ending)]
            # torch.CudaTensor holds floats, torch.CudaLongTensor what its name says.
            kind = (kind[4:] or "Float") if kind.startswith("Cuda") else kind
            return "<i4" if kind == "Long" and long_size == 4 else ELEMENTS.get(kind)
    return None
