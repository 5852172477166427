"""Writing ``.t7`` files: the values of :mod:`~pynngraph.io.t7` to bytes, as Torch7 writes them."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import FileFormatError
from . import t7
from .t7 import Form, Function, Record, Storage, Table, Tensor

if TYPE_CHECKING:
    from typing import BinaryIO

_MAX_INT = (1 << 31) - 1
_PART = 1 << 16  # numbers of a storage that are turned into text at once


def write(file: BinaryIO, value: Any, form: Form = Form()) -> None:  # noqa: B008 - it cannot be changed
    """Write one object to a file that is open for writing."""
    (_AsciiWriter if form.is_ascii else _BinaryWriter)(file, form.long_size).object(value)


class _Writer:
    """What both forms have in common."""

    def __init__(self, file: BinaryIO, long_size: int) -> None:
        self._write = file.write
        self._long_size = long_size
        self._indices: dict[int, int] = {}  # of tables, functions and Torch's objects by their ids
        self._kept: list[Any] = []  # so that no id is used twice

    # ---- what a form defines ---------------------------------------------------------------------

    def whole(self, value: int) -> None:
        """A whole number of 4 bytes."""
        raise NotImplementedError

    def longs(self, values: tuple[int, ...]) -> None:
        """Longs that belong together."""
        raise NotImplementedError

    def number(self, value: float) -> None:
        """A double."""
        raise NotImplementedError

    def raw(self, value: bytes) -> None:
        """Bytes."""
        raise NotImplementedError

    def elements(self, array: Any) -> None:
        """The elements of a storage."""
        raise NotImplementedError

    # ---- objects ---------------------------------------------------------------------------------

    def object(self, value: Any) -> None:
        """An object and all that it holds."""
        # A stack, no recursion: objects may hold each other in long chains.
        stack: list[Iterator[Any]] = [iter([value])]
        while stack:
            for entry in stack[-1]:
                inside = self._start(entry)
                if inside is not None:
                    stack.append(inside)
                    break
            else:
                stack.pop()

    def _start(self, value: Any) -> Iterator[Any] | None:
        """Write an object up to others that belong to it, which are returned."""
        if value is None:
            self.whole(t7.NIL)
        elif isinstance(value, bool):
            self.whole(t7.BOOLEAN)
            self.whole(int(value))
        elif isinstance(value, float):
            self.whole(t7.NUMBER)
            self.number(value)
        elif isinstance(value, str):
            self.whole(t7.STRING)
            self.string(value)
        elif isinstance(value, Function) and value.tag == t7.FUNCTION:
            return self._function(value)
        else:
            return self._indexed(value)
        return None

    def _indexed(self, value: Any) -> Iterator[Any] | None:
        """An object that may be met again."""
        if isinstance(value, Table):
            tag = t7.TABLE
        elif isinstance(value, Function):
            tag = value.tag
        else:
            tag = t7.TORCH
        index = self._indices.get(id(value))
        if index is None and tag != t7.FUNCTION:
            self._kept.append(value)
            self._indices[id(value)] = len(self._kept)
        self.whole(tag)
        self.whole(len(self._kept) if index is None else index)
        if index is not None:
            return None
        if isinstance(value, Table):
            self.count(len(value.pairs), "pairs of a table")
            return (entry for pair in value.pairs for entry in pair)
        if isinstance(value, Function):
            return self._code(value)
        return self._torch(value)

    def _function(self, value: Function) -> Iterator[Any]:
        self.whole(value.tag)
        return self._code(value)

    def _code(self, value: Function) -> Iterator[Any]:
        self.count(len(value.code), "bytes of a function")
        self.raw(value.code)
        return iter([value.upvalues])

    def _torch(self, value: Any) -> Iterator[Any] | None:
        version = value.version if isinstance(value, Record) else 1
        if version is not None:
            self.string(f"V {version}")
        self.string(value.name)
        if isinstance(value, Record):
            return iter([value.fields])
        if isinstance(value, Storage):
            self.longs((len(value.array),))
            self.elements(value.array.astype(t7.element_type(value.name, self._long_size), copy=False))
            return None
        if not isinstance(value, Tensor):
            raise TypeError(f"a .t7 file holds no {type(value).__name__}")
        self.whole(len(value.sizes))
        self.longs(value.sizes)
        self.longs(value.strides)
        self.longs((value.offset + 1,))
        return iter([value.storage])

    def string(self, value: str) -> None:
        """A string."""
        encoded = value.encode("utf-8", "surrogateescape")
        self.count(len(encoded), "bytes of a string")
        self.raw(encoded)

    def count(self, count: int, what: str) -> None:
        """How many of something follow."""
        if count > _MAX_INT:
            raise FileFormatError(f"a .t7 file cannot hold {count} {what}")
        self.whole(count)


class _BinaryWriter(_Writer):
    def whole(self, value: int) -> None:
        """Four bytes."""
        self._write(struct.pack("<i", value))

    def longs(self, values: tuple[int, ...]) -> None:
        """Four or eight bytes each."""
        letter = "q" if self._long_size == 8 else "i"
        try:
            self._write(struct.pack(f"<{len(values)}{letter}", *values))
        except struct.error:
            raise FileFormatError(f"sizes {values} do not fit into longs of {self._long_size} bytes") from None

    def number(self, value: float) -> None:
        """Eight bytes."""
        self._write(struct.pack("<d", value))

    def raw(self, value: bytes) -> None:
        """As they are."""
        self._write(value)

    def elements(self, array: Any) -> None:
        """As they are."""
        self._write(np.ascontiguousarray(array).view(np.uint8).data)


class _AsciiWriter(_Writer):
    def _line(self, texts: Iterator[str]) -> None:
        line = " ".join(texts)
        if line:
            self._write(f"{line}\n".encode())

    def whole(self, value: int) -> None:
        """A line."""
        self._write(b"%d\n" % value)

    def longs(self, values: tuple[int, ...]) -> None:
        """A line; none for none."""
        self._line(map(str, values))

    def number(self, value: float) -> None:
        """A line."""
        self._write(b"%.17g\n" % value)

    def raw(self, value: bytes) -> None:
        """A line; none for none."""
        if value:
            self._write(value + b"\n")

    def elements(self, array: Any) -> None:
        """A line; none for none."""
        if array.dtype.itemsize == 1:
            self.raw(array.tobytes())
            return
        style = "%.17g" if array.dtype == np.float64 else "%.9g"
        for start in range(0, len(array), _PART):
            values = array[start : start + _PART].tolist()
            texts = map(style.__mod__, values) if array.dtype.kind == "f" else map(str, values)
            self._write((" " if start else "").encode() + " ".join(texts).encode())
        if len(array):
            self._write(b"\n")
