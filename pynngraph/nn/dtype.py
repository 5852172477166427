"""Number types by name, NumPy's and Torch's."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..errors import DTypeError

_NAMES = {
    "float32": np.dtype(np.float32),
    "float64": np.dtype(np.float64),
    "torch.FloatTensor": np.dtype(np.float32),
    "torch.DoubleTensor": np.dtype(np.float64),
    "torch.CudaTensor": np.dtype(np.float32),
    "torch.CudaDoubleTensor": np.dtype(np.float64),
}

_default = [_NAMES["float64"]]


def as_dtype(name: Any) -> Any:
    """The NumPy dtype for ``"float32"``, ``np.float64``, ``"torch.FloatTensor"`` ...

    Raises
    ------
    DTypeError
        For anything but float32 and float64.
    """
    if isinstance(name, str) and name in _NAMES:
        return _NAMES[name]
    try:
        dtype = np.dtype(name)
    except TypeError:
        dtype = None
    if dtype is None or str(dtype) not in _NAMES:
        message = f"modules compute in float32 or float64, got {name!r}"
        raise DTypeError(message)
    return dtype


def setdefaulttensortype(name: Any) -> None:
    """Set the dtype of modules made from here on; float64 at first, as in Torch7 and NumPy.

    Examples
    --------
    >>> import pynngraph as nn
    >>> nn.setdefaulttensortype("float32")
    >>> nn.Linear(2, 3).weight.dtype
    dtype('float32')
    >>> nn.setdefaulttensortype("float64")
    """
    _default[0] = as_dtype(name)


def getdefaulttensortype() -> str:
    """The dtype of modules made from here on, by name."""
    return str(_default[0])


def default_dtype() -> Any:
    """The dtype of modules made from here on."""
    return _default[0]
