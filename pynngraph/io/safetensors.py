"""The safetensors format: named arrays behind a JSON header. Every length and offset is checked on reading."""

from __future__ import annotations

import json
import struct
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import DTypeError, FileFormatError

if TYPE_CHECKING:
    import mmap
    from collections.abc import Mapping
    from typing import BinaryIO

    from .._engine import Array

_ALIGNMENT = 64  # of where the arrays begin
_MOST_HEADER = 100_000_000  # bytes, as in the format's own library
_TYPES = {
    "F64": "<f8", "F32": "<f4", "F16": "<f2", "I64": "<i8", "I32": "<i4", "I16": "<i2", "I8": "i1",
    "U64": "<u8", "U32": "<u4", "U16": "<u2", "U8": "u1", "BOOL": "?", "BF16": "<u2",
}  # fmt: skip
_NAMES = {np.dtype(code): name for name, code in _TYPES.items() if name != "BF16"}


def write(file: BinaryIO, arrays: Mapping[str, Array], metadata: Mapping[str, str]) -> None:
    """Write arrays, and texts about them."""
    header: dict[str, Any] = {"__metadata__": dict(metadata)} if metadata else {}
    offset = 0
    # The widest elements first, so that all are aligned.
    ordered = sorted(arrays.items(), key=lambda item: -item[1].dtype.itemsize)
    for name, array in ordered:
        kind = _NAMES.get(array.dtype.newbyteorder("<"))
        if kind is None:
            raise DTypeError(f"an array of {array.dtype} cannot be saved as .safetensors")
        header[name] = {"dtype": kind, "shape": list(array.shape), "data_offsets": [offset, offset + array.nbytes]}
        offset += array.nbytes
    text = json.dumps(header, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()
    text += b" " * (-(len(text) + 8) % _ALIGNMENT)
    file.write(struct.pack("<Q", len(text)))
    file.write(text)
    for _, array in ordered:
        dense = np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
        file.write(dense.reshape(-1).view(np.uint8).data)


def looks_like(data: bytes | mmap.mmap) -> bool:
    """Whether a file begins like one of these."""
    if len(data) < 9 or data[8:9] != b"{":
        return False
    (length,) = struct.unpack_from("<Q", data)
    return bool(length <= len(data) - 8)


def read(data: bytes | mmap.mmap) -> tuple[dict[str, Array], dict[str, str]]:
    """The arrays, as views of the bytes, and the texts.

    Raises
    ------
    FileFormatError
        If the bytes are anything else, naming the one at fault.
    """
    (length,) = struct.unpack_from("<Q", data)
    if length > _MOST_HEADER:
        raise FileFormatError(f"at byte 0: a header of {length} bytes is more than there can be")
    header = parse_json(bytes(data[8 : 8 + length]), 8)
    if not isinstance(header, dict):
        raise FileFormatError("at byte 8: the header is no JSON object")
    metadata = header.pop("__metadata__", {})
    if not isinstance(metadata, dict) or not all(isinstance(text, str) for text in metadata.values()):
        raise FileFormatError("at byte 8: __metadata__ is not made of texts")
    start = 8 + length
    arrays: dict[str, Array] = {}
    ends: list[tuple[int, int]] = []
    for name, entry in header.items():
        first, end, array = _array(data, start, name, entry)
        arrays[name] = array
        ends.append((first, end))
    place = 0
    for first, end in sorted(ends):
        if first != place:
            raise FileFormatError(f"at byte {start + place}: arrays do not lie one behind another")
        place = end
    if start + place != len(data):
        raise FileFormatError(f"at byte {start + place}: the arrays end here, and the file does not")
    return arrays, metadata


def _array(data: bytes | mmap.mmap, start: int, name: str, entry: Any) -> tuple[int, int, Array]:
    """Where an array lies, and a view of it."""
    parts = [entry.get(key) for key in ("dtype", "shape", "data_offsets")] if _is(entry) else ["", 0, 0]
    kind: Any = parts[0]
    shape: Any = parts[1]
    offsets: Any = parts[2]
    if kind not in _TYPES or not _are_sizes(shape) or not _are_sizes(offsets) or len(offsets) != 2 or len(shape) > 32:
        raise FileFormatError(f"at byte 8: the header's entry {name!r} describes no array")
    dtype = np.dtype(_TYPES[kind])
    first, end = offsets
    if first > end or end > len(data) - start or prod(shape) * dtype.itemsize != end - first:
        raise FileFormatError(f"at byte {start + first}: the array {name!r} of shape {shape} does not lie there")
    array = np.frombuffer(data, dtype, prod(shape), start + first) if end > first else np.empty(0, dtype)
    array = array.reshape(shape)
    return first, end, (array.astype("<u4") << 16).view("<f4") if kind == "BF16" else array


def _is(entry: Any) -> bool:
    return isinstance(entry, dict) and isinstance(entry.get("dtype"), str)


def _are_sizes(value: Any) -> bool:
    return isinstance(value, list) and all(type(size) is int and 0 <= size < 1 << 62 for size in value)


def parse_json(text: bytes | str, position: int) -> Any:
    """A JSON value; no name may stand twice in an object, and numbers are finite."""

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        names = dict(pairs)
        if len(names) != len(pairs):
            raise ValueError("a name stands twice")
        return names

    def constant(name: str) -> Any:
        raise ValueError(f"{name} is no number of JSON")

    try:
        return json.loads(text, object_pairs_hook=unique, parse_constant=constant)
    except (ValueError, RecursionError) as error:
        raise FileFormatError(f"at byte {position}: no JSON that can be read: {error}") from None
