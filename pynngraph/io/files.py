"""Saving and loading, whatever the kind of file."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import DTypeError, FileFormatError
from ..nn.module import Module
from . import safetensors, t7_reader, t7_writer
from .atomic import replacing
from .parameters import named_cells
from .t7 import Form

if TYPE_CHECKING:
    import mmap
    from collections.abc import Callable, Mapping

ENDINGS = (".t7", ".safetensors", ".npz")


def save(path: str | os.PathLike[str], object: Any, *, ascii: bool = False, input: Any = None) -> None:
    """Save a module, or data, in a file.

    Parameters
    ----------
    path
        Its ending says what the file will be:

        - ``.safetensors``: a module of any class, or data; its weights can be read by all who read that format.
        - ``.t7``: a file that Torch7 reads.
        - ``.npz``: the parameters alone, by name, for NumPy.
    object
        A module; or data: numbers, texts, arrays, lists, dicts and modules, nested freely.
    ascii
        True for the form of ``.t7`` that is text.
    input
        For ``.safetensors``: an input of the module. What the engine computes for inputs of such sizes is saved
        too, for programs without Python.

    The file is complete or not there: until all is written, a file of that name stays as it was. Neither gradients nor
    results are saved.

    Raises
    ------
    ValueError
        If the path has another ending.
    DTypeError, GraphError
        If there is no way to write `object` in such a file.

    Examples
    --------
    >>> import tempfile, numpy as np, pynngraph as nn
    >>> net = nn.Sequential(nn.Linear(4, 3), nn.Tanh())
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     nn.save(f"{folder}/net.t7", net)
    ...     same = nn.load(f"{folder}/net.t7")
    >>> x = np.ones((2, 4))
    >>> bool((same.forward(x) == net.forward(x)).all())
    True
    """
    ending = os.path.splitext(path)[1].lower()  # noqa: PTH122 - pathlib is slow to import
    if ending == ".t7":
        from .torch_saver import Saver  # noqa: PLC0415 - it knows all modules

        value = Saver().value(object)
        with replacing(path) as file:
            t7_writer.write(file, value, Form(is_ascii=ascii))
    elif ending == ".safetensors":
        from . import model_file  # noqa: PLC0415 - as above

        with replacing(path) as file:
            model_file.write(file, object, input)
    elif ending == ".npz":
        arrays = _named_arrays(object)
        with replacing(path) as file:
            np.savez(file, **arrays)
    else:
        message = f"the ending of a file says how it is written: one of {', '.join(ENDINGS)}; got {os.fspath(path)!r}"
        raise ValueError(message)


def _named_arrays(value: Any) -> dict[str, Any]:
    if isinstance(value, Module):
        return {name: cell.data for name, cell, _ in named_cells(value)}
    if isinstance(value, dict) and all(isinstance(array, np.ndarray) for array in value.values()):
        return value
    raise DTypeError(f"a .npz file holds the parameters of a module, or a dict of arrays; got {type(value).__name__}")


def load(path: str | os.PathLike[str], classes: Mapping[str, Callable[..., Module]] | None = None) -> Any:
    """What a file holds; what kind of file it is, its content says.

    Parameters
    ----------
    path
        A ``.t7`` file of Torch7 (binary or ascii, of 32-bit or 64-bit systems), a ``.safetensors`` or a ``.npz``.
    classes
        For classes that are not here. Of ``.t7``, what makes a module of a dict of its fields, by the name in Torch:
        ``{"nn.Twice": lambda fields: nn.MulConstant(2)}``. Of ``.safetensors``, the class itself, by its name.

    Returns
    -------
    Of ``.t7``, a module, or data: tables with keys from 1 to n become lists, others dicts (an empty one is a list);
    tensors become arrays, whole numbers ints, functions markers. Modules and graphs are ours: dims and indices count
    from 0, they are in training or evaluation as they were saved, and parameters are shared as they were; those that
    were on a GPU compute in float32. Of ``.safetensors``, what was saved; of such files of others, and of ``.npz``, a
    dict of arrays.

    A module of a class that is not here stands in its place as an object that can be looked at, and saved again, but
    whose ``forward`` is an error that names the class and the node. Nothing in a file is ever executed.

    Raises
    ------
    FileFormatError
        If the file is damaged, or of no known kind; the message names the byte.
    """
    data = t7_reader.contents(path)
    try:
        return _load_npz(path) if bytes(data[:4]) == b"PK\3\4" else _parsed(data, classes)
    except FileFormatError as error:
        raise FileFormatError(f"{os.fspath(path)}: {error}") from None


def _parsed(data: bytes | mmap.mmap, classes: Any) -> Any:
    if safetensors.looks_like(data):
        from . import model_file  # noqa: PLC0415 - it knows all modules

        return model_file.read(data, classes)
    if t7_reader.looks_like_binary(data) or t7_reader.looks_like_ascii(data):
        from .torch_loader import Loader  # noqa: PLC0415 - it knows all modules

        return Loader(len(data), classes).load(t7_reader.parse(data))
    raise FileFormatError("at byte 0: neither a .t7 file, nor a .safetensors, nor a .npz")


def _load_npz(path: str | os.PathLike[str]) -> dict[str, Any]:
    try:
        # Opened here: NumPy leaves what it opened and cannot read to the garbage collector.
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as arrays:  # noqa: PTH123
            return {name: arrays[name] for name in arrays.files}
    except Exception as error:  # noqa: BLE001 - whatever zipfile and NumPy say of damaged bytes
        raise FileFormatError(f"no whole .npz file of arrays: {error}") from None
