"""Reading ``.t7`` files: bytes to the values of :mod:`~pynngraph.io.t7`."""

from __future__ import annotations

import mmap
import os
import re
import stat
import struct
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import memory
from ..errors import FileFormatError
from . import t7
from .t7 import Form, Function, Record, Storage, Table, Tensor

if TYPE_CHECKING:
    from .._engine import Array

MAX_DIMS = 32  # NumPy's, in its older versions
_MOST_ELEMENTS = 1 << 58  # of an array; many may be one and the same
_MAPPED = 1 << 20  # bytes; smaller files are read at once
_LARGE = 1 << 20  # bytes of an array that are read, not copied from where they are mapped

_SPACE = re.compile(rb"\s*")
_TOKEN = re.compile(rb"\s*(\S+)")
_DIGITS = re.compile(rb"\s*[0-8]\s")


def contents(path: str | os.PathLike[str]) -> bytes | mmap.mmap:
    """The bytes of a file; those of a large one are mapped into memory, and what is not looked at is not read."""
    with open(path, "rb") as file:  # noqa: PTH123 - pathlib is slow to import
        status = os.fstat(file.fileno())
        if stat.S_ISREG(status.st_mode) and status.st_size >= _MAPPED:
            mapped = MappedFile(file.fileno(), 0, access=mmap.ACCESS_READ)
            mapped.file_number = os.dup(file.fileno())
            return mapped
        return file.read()


def parse(data: bytes | mmap.mmap) -> Any:
    """The object in the bytes of a ``.t7`` file, binary or ascii, of a system with longs of 4 or 8 bytes.

    Tensors are read-only views of the bytes.

    Raises
    ------
    FileFormatError
        If the bytes are anything else, naming the one at fault.
    """
    return parse_with_form(data)[0]


def parse_with_form(data: bytes | mmap.mmap) -> tuple[Any, Form]:
    """The object, and how it is written."""
    if looks_like_ascii(data):
        return _AsciiReader(data, 8).read(), Form(is_ascii=True)
    if not looks_like_binary(data):
        raise FileFormatError("at byte 0: this is no .t7 file, which begins with the tag of an object")
    # Nothing in a file says how long its longs are. Those of 8 bytes are the usual ones; read as such, a file with
    # longs of 4 ends early, or in nonsense.
    failures = []
    for long_size in (8, 4):
        reader = _BinaryReader(data, long_size)
        try:
            return reader.read(), Form(long_size=long_size)
        except FileFormatError as failure:
            failures.append((reader.position, -long_size, failure))
    raise max(failures)[2]


def looks_like_binary(data: bytes | mmap.mmap) -> bool:
    """Whether a file begins like a binary ``.t7``."""
    return len(data) >= 4 and data[0] <= t7.RECURSIVE_FUNCTION and data[1:4] == b"\0\0\0"


def looks_like_ascii(data: bytes | mmap.mmap) -> bool:
    """Whether a file begins like an ascii ``.t7``."""
    return _DIGITS.match(data) is not None


class MappedFile(mmap.mmap):
    """A file in memory, read-only, of which large parts can also be read: that is faster than a fault for each page."""

    file_number: int

    def __del__(self) -> None:
        os.close(self.file_number)


def copy(array: Array) -> Array:
    """A copy of an array that is a view of a file. Large ones are read, so that they are not in memory twice."""
    result = memory.empty(array.shape, array.dtype)
    mapped = _mapped(array) if array.nbytes >= _LARGE and array.flags.c_contiguous else None
    if mapped is None:
        result[...] = array
        return result
    start = array.ctypes.data - np.frombuffer(mapped, np.uint8, 1).ctypes.data
    target = result.reshape(-1).view(np.uint8).data
    done = 0
    while done < len(target):
        count = os.preadv(mapped.file_number, [target[done:]], start + done)
        if count == 0:
            raise FileFormatError(f"at byte {start + done}: the file became shorter while it was read")
        done += count
    return result


def _mapped(array: Array) -> MappedFile | None:
    """The file that an array is a view of, if it is one."""
    base: Any = array
    while not isinstance(base, mmap.mmap) and hasattr(base, "base"):  # arrays, and what as_strided puts between
        base = base.base
    base = getattr(base, "obj", base)  # of a memoryview
    return base if isinstance(base, MappedFile) and hasattr(os, "preadv") else None


class _Reader:
    """What both forms have in common: objects, made of ints, longs, numbers and bytes."""

    def __init__(self, data: bytes | mmap.mmap, long_size: int) -> None:
        self.data = data
        self.position = 0
        self.long_size = long_size
        self._objects: dict[int, Any] = {}
        self._begin = 0  # where the object at hand begins

    # ---- what a form defines ---------------------------------------------------------------------

    def whole(self) -> int:
        """A whole number of 4 bytes."""
        raise NotImplementedError

    def longs(self, count: int) -> tuple[int, ...]:
        """So many longs that were written together."""
        raise NotImplementedError

    def number(self) -> float:
        """A double."""
        raise NotImplementedError

    def raw(self, count: int) -> bytes:
        """So many bytes."""
        raise NotImplementedError

    def elements(self, dtype: str, count: int) -> Array:
        """The elements of a storage."""
        raise NotImplementedError

    def at_end(self) -> bool:
        """Whether nothing follows."""
        raise NotImplementedError

    # ---- objects ---------------------------------------------------------------------------------

    def fail(self, what: str, position: int | None = None) -> FileFormatError:
        """The error that says what is wrong, and where."""
        return FileFormatError(f"at byte {self._begin if position is None else position}: {what}")

    def count(self, what: str, smallest: int = 1) -> int:
        """How many of something follow, each of at least so many bytes."""
        return self.checked_count(self.whole(), what, smallest)

    def checked_count(self, count: int, what: str, smallest: int) -> int:
        """`count`, if the file is long enough for so many."""
        if not 0 <= count * smallest <= len(self.data) - self.position:
            raise self.fail(f"{what} of {count} do not fit into a file of {len(self.data)} bytes")
        return count

    def read(self) -> Any:
        """The object, which must be all that there is."""
        value = self._read_object()
        if not self.at_end():
            raise self.fail("something follows the object", self.position)
        return value

    def _read_object(self) -> Any:
        # A stack of what is being read, no recursion: files may be nested as deep as they are long.
        stack: list[_Open] = []
        while True:
            value, opened = self._start()
            if opened is not None:
                stack.append(opened)
                continue
            while stack:
                if stack[-1].take(value):
                    break
                value = stack.pop().value
            else:
                return value

    def _start(self) -> tuple[Any, _Open | None]:
        """An object that is complete, or one that others belong to which follow."""
        self._begin = self.position
        tag = self.whole()
        if tag == t7.NIL:
            return None, None
        if tag == t7.NUMBER:
            return self.number(), None
        if tag == t7.STRING:
            return self.string(), None
        if tag == t7.BOOLEAN:
            return self._boolean(), None
        if tag == t7.FUNCTION:
            return self._function(tag, None)
        if not t7.TABLE <= tag <= t7.RECURSIVE_FUNCTION:
            raise self.fail(f"objects have tags from 0 to {t7.RECURSIVE_FUNCTION}, got {tag}")
        index = self.whole()
        if index in self._objects:
            return self._objects[index], None
        if tag == t7.TABLE:
            table = self._objects[index] = Table()
            count = self.count("pairs of a table", 2)
            return table, _OpenTable(table, count, self, self._begin) if count else None
        if tag == t7.TORCH:
            return self._torch(index)
        return self._function(tag, index)

    def string(self) -> str:
        """A string."""
        return self.raw(self.count("bytes of a string")).decode("utf-8", "surrogateescape")

    def _boolean(self) -> bool:
        value = self.whole()
        if value not in (0, 1):
            raise self.fail(f"a boolean is 0 or 1, got {value}")
        return value == 1

    def _function(self, tag: int, index: int | None) -> tuple[Function, _Open]:
        function = Function(tag, self.raw(self.count("bytes of a function")))
        if index is not None:
            self._objects[index] = function
        return function, _OpenField(function, "upvalues")

    def _torch(self, index: int) -> tuple[Any, _Open | None]:
        begin = self._begin
        name, version = self.string(), None
        if name.startswith("V ") and name[2:].isascii() and name[2:].isdigit() and len(name) < 12:
            version = int(name[2:])
            name = self.string()
        dtype = t7.element_type(name, self.long_size)
        if dtype is None:
            record = self._objects[index] = Record(name, version, None, begin)
            return record, _OpenField(record, "fields")
        if name.endswith("Storage"):
            storage = self._objects[index] = self._storage(name, dtype)
            return storage, None
        tensor = self._objects[index] = self._tensor(name)
        return tensor, _OpenTensor(tensor, dtype, self, begin)

    def _storage(self, name: str, dtype: str) -> Storage:
        (count,) = self.longs(1)
        if count < 0:
            raise self.fail(f"a {name} has {count} elements")
        return Storage(name, self.elements(dtype, count))

    def _tensor(self, name: str) -> Tensor:
        ndim = self.whole()
        if not 0 <= ndim <= MAX_DIMS:
            raise self.fail(f"a {name} has {ndim} dims; from 0 to {MAX_DIMS} are possible")
        sizes, strides = self.longs(ndim), self.longs(ndim)
        (offset,) = self.longs(1)
        if any(size < 0 for size in sizes) or any(stride < 0 for stride in strides):
            raise self.fail(f"a {name} has sizes {sizes} and strides {strides}")
        return Tensor(name, sizes, strides, offset - 1, None)


class _Open:
    """An object that others belong to which follow it."""

    value: Any

    def take(self, value: Any) -> bool:
        """Take one of them; whether more are needed."""
        raise NotImplementedError


class _OpenTable(_Open):
    def __init__(self, table: Table, count: int, reader: _Reader, begin: int) -> None:
        self.value = table
        self._pairs = table.pairs
        self._left = count
        self._key: Any = None
        self._reader = reader
        self._begin = begin

    def take(self, value: Any) -> bool:
        """A key or a value."""
        if self._key is None:
            if value is None or value != value:  # noqa: PLR0124 - it is not equal to itself if it is NaN
                raise self._reader.fail("nil and NaN are no keys of a table", self._begin)
            self._key = value
            return True
        self._pairs.append((self._key, value))
        self._key = None
        self._left -= 1
        return self._left > 0


class _OpenField(_Open):
    def __init__(self, value: Any, field: str) -> None:
        self.value = value
        self._field = field

    def take(self, value: Any) -> bool:
        """The one that is missing."""
        setattr(self.value, self._field, value)
        return False


class _OpenTensor(_Open):
    def __init__(self, tensor: Tensor, dtype: str, reader: _Reader, begin: int) -> None:
        self.value = tensor
        self._dtype = dtype
        self._reader = reader
        self._begin = begin

    def take(self, value: Any) -> bool:
        """The storage."""
        tensor = self.value
        if value is not None and not isinstance(value, Storage):
            raise self._reader.fail(f"a {tensor.name} has no storage, but something else", self._begin)
        if value is not None and value.array.dtype != self._dtype:
            raise self._reader.fail(f"a {tensor.name} lies in a {value.name}", self._begin)
        if prod(size or 1 for size in tensor.sizes) > _MOST_ELEMENTS:
            raise self._reader.fail(f"a {tensor.name} of sizes {tensor.sizes} is more than there can be", self._begin)
        if tensor.sizes and all(tensor.sizes):
            length = 0 if value is None else len(value.array)
            last = sum((size - 1) * stride for size, stride in zip(tensor.sizes, tensor.strides, strict=True))
            if tensor.offset < 0 or tensor.offset + last >= length:
                message = (
                    f"a {tensor.name} of sizes {tensor.sizes}, strides {tensor.strides} and offset {tensor.offset + 1} "
                    f"reaches out of its storage of {length}"
                )
                raise self._reader.fail(message, self._begin)
        tensor.storage = value
        return False


class _BinaryReader(_Reader):
    def _take(self, size: int) -> int:
        """Step over so many bytes; where they begin."""
        start = self.position
        if size > len(self.data) - start:
            raise self.fail(f"the file ends within what should be {size} bytes", start)
        self.position = start + size
        return start

    def whole(self) -> int:
        """A whole number of 4 bytes."""
        (value,) = struct.unpack_from("<i", self.data, self._take(4))
        return int(value)

    def longs(self, count: int) -> tuple[int, ...]:
        """So many longs."""
        letter = "q" if self.long_size == 8 else "i"
        return struct.unpack_from(f"<{count}{letter}", self.data, self._take(count * self.long_size))

    def number(self) -> float:
        """A double."""
        (value,) = struct.unpack_from("<d", self.data, self._take(8))
        return float(value)

    def raw(self, count: int) -> bytes:
        """So many bytes."""
        start = self._take(count)
        return self.data[start : start + count]

    def elements(self, dtype: str, count: int) -> Array:
        """A view of the file."""
        size = np.dtype(dtype).itemsize
        self.checked_count(count, "elements of a storage", size)
        return np.frombuffer(self.data, dtype, count, self._take(count * size)) if count else np.empty(0, dtype)

    def at_end(self) -> bool:
        """Whether nothing follows."""
        return self.position == len(self.data)


class _AsciiReader(_Reader):
    def _token(self) -> bytes:
        found = _TOKEN.match(self.data, self.position)
        if found is None:
            raise self.fail("the file ends where a number should be", self.position)
        self.position = found.end()
        return found[1]

    def _between(self, low: int, high: int) -> int:
        token = self._token()
        try:
            value = int(token) if len(token) <= 20 and b"_" not in token else high
        except ValueError:
            value = high
        if not low <= value < high:
            raise self.fail(f"a whole number should be here, got {token[:20]!r}", self.position - len(token))
        return value

    def whole(self) -> int:
        """A whole number of 4 bytes."""
        return self._between(-(1 << 31), 1 << 31)

    def longs(self, count: int) -> tuple[int, ...]:
        """So many longs."""
        return tuple(self._between(-(1 << 63), 1 << 63) for _ in range(count))

    def number(self) -> float:
        """A double."""
        token = self._token()
        try:
            return float(token.replace(b"_", b"?"))
        except ValueError:
            raise self.fail(f"a number should be here, got {token[:20]!r}", self.position - len(token)) from None

    def _skip_line(self) -> None:
        """Step over the rest of the line, if there is nothing in it: the space between a number and bytes."""
        if self.data[self.position : self.position + 1] == b"\n":
            self.position += 1

    def raw(self, count: int) -> bytes:
        """So many bytes, on a line of their own."""
        self._skip_line()
        start = self.position
        end = start + count
        if end > len(self.data):
            raise self.fail(f"the file ends within what should be {count} bytes", start)
        self.position = end
        if count:
            self._skip_line()
        return self.data[start:end]

    def elements(self, dtype: str, count: int) -> Array:
        """The numbers of a line."""
        kind = np.dtype(dtype)
        self.checked_count(count, "elements of a storage", 1)
        if kind.itemsize == 1:
            return np.frombuffer(self.raw(count), kind)
        start = self.position
        tokens = self._tokens(count)
        try:
            return np.array(tokens, "S").astype(kind if kind.kind == "i" else "<f8").astype(kind)
        except (ValueError, OverflowError):
            raise self.fail(f"{count} numbers should be here", start) from None

    def _tokens(self, count: int) -> list[bytes]:
        """So many tokens: mostly all of a line."""
        if not count:
            return []
        start = _SPACE.match(self.data, self.position).end()  # type: ignore[union-attr]  # it matches nothing too
        end = self.data.find(b"\n", start)
        tokens = self.data[start:end].split() if end > start else []
        if len(tokens) != count:
            return [self._token() for _ in range(count)]
        self.position = end
        return tokens

    def at_end(self) -> bool:
        """Whether nothing but white space follows."""
        return _TOKEN.match(self.data, self.position) is None
