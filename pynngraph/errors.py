"""The exceptions of this package.

All derive from :class:`Error`, and from the built-in that a Python user would catch. A call that raises
one of them has changed nothing: the module can be used again at once.
"""

from typing import Any


class Error(Exception):
    """Base class of all errors that this package raises on purpose.

    ``node`` is the graph node at fault, where one is known, else None.
    """

    node: Any = None
    site: Any = None  # where in nested modules it is
    is_explained = False  # whether debugging has added to the message

    def __reduce__(self) -> Any:
        # Without the node: an error may be sent far, and shall not take the graph along.
        return type(self), self.args


class GraphError(Error, ValueError):
    """A graph or a container is not built rightly."""


class StructureError(Error, TypeError, ValueError):
    """A table has another nesting than is wanted, or is given where an array is wanted."""


class ShapeError(Error, ValueError):
    """Sizes of arrays do not fit."""


class DTypeError(Error, TypeError):
    """An array has another dtype than is wanted, or is no array at all."""


class DataError(Error, ValueError):
    """The numbers in an array are not allowed, such as a class that does not exist."""


class StateError(Error, RuntimeError):
    """A call comes at the wrong time, such as ``backward`` before ``forward``."""


class NotKeptError(StateError, AttributeError):
    """A result of an inner module is asked for that was not kept. It is as if the attribute were not there."""


class FileFormatError(Error, ValueError):
    """A file is not what it says it is."""


class UnsupportedError(GraphError, FileFormatError):
    """A model of another library has a part that there is no module for."""
