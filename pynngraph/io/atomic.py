"""Writing a file so that there is always a whole one: the old one, or the new one."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import BinaryIO


@contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """A file to write to, which takes the place of the one at `path` when all is written and on the disk.

    An error within, a full disk or a crash leave what was there before.
    """
    target = os.path.realpath(path)  # what a link points to is replaced, not the link
    mode = os.stat(target).st_mode if os.path.exists(target) else None  # noqa: PTH110, PTH116 - pathlib is slow to import
    if mode is not None and not stat.S_ISREG(mode):
        with open(target, "wb") as file:  # noqa: PTH123 - a device or a pipe has nothing to keep
            yield file
        return
    directory, name = os.path.split(target)
    temporary = os.path.join(directory, f".{name}.{os.getpid()}-{os.urandom(4).hex()}.tmp")  # noqa: PTH118
    try:
        file_number = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o666)
    except OSError as error:
        error.filename = os.fspath(path)  # what the user knows of
        raise
    try:
        with open(file_number, "wb") as file:  # noqa: PTH123
            if mode is not None:
                os.chmod(temporary, stat.S_IMODE(mode))  # noqa: PTH101
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, target)  # noqa: PTH105
    except BaseException:
        with suppress(OSError):
            os.unlink(temporary)  # noqa: PTH108
        raise
    with suppress(OSError):  # not every system lets a directory be opened
        number = os.open(directory, os.O_RDONLY)
        try:
            os.fsync(number)
        finally:
            os.close(number)
