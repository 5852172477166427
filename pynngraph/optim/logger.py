"""A log of numbers, as text and as a plot."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping, Sequence
from numbers import Real
from pathlib import Path
from typing import IO, Any, TypeVar

import numpy as np

from ..errors import DataError, StateError, StructureError
from .vectors import Array

SelfLogger = TypeVar("SelfLogger", bound="Logger")

# Torch7's styles of lines and points, as matplotlib writes them.
STYLES = {".": ",", "+": "+", "-": "-", "+-": "+-"}
SMOOTH, BOXES = "~", "|"
FINE = 16  # points of a smooth line between two of the log


class Logger:
    """Write numbers to a file, a row a time, and plot them, Torch7's ``optim.Logger``.

    Parameters
    ----------
    filename
        The file, which is begun anew; its directories are made. None: rows are printed.
    timestamp
        True to add the time to the file's name.

    Columns end with tabs. Each row is in the file at once; :meth:`close`, or ``with``, closes it.

    Examples
    --------
    >>> import pynngraph as nn
    >>> logger = nn.optim.Logger()
    >>> for epoch in range(2):
    ...     logger.add({"train": 1 / (1 + epoch), "test": 2 / (1 + epoch)})  # doctest: +NORMALIZE_WHITESPACE
    train        test
    1.0000e+00   2.0000e+00
    5.0000e-01   1.0000e+00
    """

    def __init__(self, filename: str | Path | None = None, timestamp: bool = False) -> None:
        self.name = "stdout" if filename is None else str(filename)
        self.epsfile = None if filename is None else self.name + ".eps"
        self.names: list[str] = []
        self.symbols: dict[str, list[Any]] = {}
        self.styles: dict[str, list[str]] = {}
        self.defaultStyle = "+"
        self.logscale = False
        self.file: IO[str] | None = None
        if filename is not None:
            path = Path(self.name + time.strftime("-%Y_%m_%d_%H:%M:%S") if timestamp else self.name)
            path.parent.mkdir(parents=True, exist_ok=True)
            self.file = path.open("w", encoding="utf-8")

    def setNames(self: SelfLogger, names: Sequence[str]) -> SelfLogger:
        """Name the columns, before the first row; the logger itself."""
        if self.names:
            message = f"the columns of this Logger are {self.names}"
            raise StateError(message)
        self.names = list(names)
        self.symbols = {name: [] for name in self.names}
        self.styles = {name: [self.defaultStyle] for name in self.names}
        self._write(self.names)
        return self

    def add(self, symbols: Mapping[str, Any] | Sequence[Any]) -> None:
        """Write a row of numbers or strings.

        Parameters
        ----------
        symbols
            A dict; the first one names the columns if :meth:`setNames` did not. Or a list, in the order of columns.
        """
        if not self.names:
            self.setNames(list(symbols) if isinstance(symbols, Mapping) else [str(k) for k in range(len(symbols))])
        row = self._by_name(symbols)
        if len(row) != len(self.names):
            message = f"a row of this Logger has {self.names}, got {list(row)}"
            raise StructureError(message)
        texts = []
        for name in self.names:
            value = row[name]
            if not isinstance(value, (Real, str)):
                message = f"Logger takes numbers and strings, got {type(value).__name__} for {name!r}"
                raise DataError(message)
            texts.append(value if isinstance(value, str) else f"{float(value):11.4e}")
        self._write(texts)
        for name in self.names:
            self.symbols[name].append(row[name])

    def style(self: SelfLogger, symbols: Mapping[str, Any] | Sequence[Any]) -> SelfLogger:
        """Set the styles of columns in plots; the logger itself.

        Parameters
        ----------
        symbols
            A dict by name, or a list in the order of columns, of styles, or of lists of them: ``"."`` dots, ``"+"``
            points, ``"-"`` lines, ``"+-"`` both, ``"~"`` a smooth line, ``"|"`` boxes, or a format of matplotlib's.
        """
        for name, style in self._by_name(symbols).items():
            self.styles[name] = [style] if isinstance(style, str) else list(style)
        return self

    def setlogscale(self, value: bool = True) -> None:
        """Let the y-axis be logarithmic in plots."""
        self.logscale = value

    def plot(self, *names: str) -> Any:
        """Plot the columns named, or all that have numbers, with matplotlib.

        Returns
        -------
        A ``matplotlib.figure.Figure``, which notebooks show. It is also written to ``epsfile``, the log's name with
        ``.eps``, unless that is None.
        """
        from matplotlib.figure import Figure  # noqa: PLC0415 - an extra

        figure = Figure(layout="constrained")
        axes = figure.subplots()
        for name in names or [name for name in self.names if not any(isinstance(v, str) for v in self.symbols[name])]:
            self._known(name)
            y = np.array(self.symbols[name], float)
            for style in self.styles[name]:
                _draw(axes, name, y, style)
        if self.logscale:
            axes.set_yscale("log")
        axes.grid(visible=True)
        axes.set_title(f"<Logger::{self.name}>")
        if axes.get_legend_handles_labels()[0]:
            axes.legend()
        if self.epsfile is not None:
            figure.savefig(self.epsfile)
        return figure

    def close(self) -> None:
        """Close the file."""
        if self.file is not None:
            self.file.close()

    def __enter__(self: SelfLogger) -> SelfLogger:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _write(self, texts: Sequence[str]) -> None:
        file = self.file or sys.stdout
        file.write("".join(text + "\t" for text in texts) + "\n")
        file.flush()

    def _known(self, name: str) -> str:
        if name not in self.symbols:
            message = f"this Logger has no column {name!r}: it has {self.names}"
            raise StructureError(message)
        return name

    def _by_name(self, symbols: Mapping[str, Any] | Sequence[Any]) -> dict[str, Any]:
        if isinstance(symbols, Mapping):
            return {self._known(name): value for name, value in symbols.items()}
        if len(symbols) != len(self.names):
            message = f"this Logger has {len(self.names)} columns, got {len(symbols)}"
            raise StructureError(message)
        return dict(zip(self.names, symbols, strict=True))


def _draw(axes: Any, name: str, y: Array, style: str) -> None:
    x = np.arange(1, len(y) + 1)
    if style == BOXES:
        axes.bar(x, y, label=name, alpha=0.5)
    elif style == SMOOTH:
        axes.plot(*_smooth(y), label=name)
    else:
        axes.plot(x, y, STYLES.get(style, style), label=name)


def _smooth(y: Array) -> tuple[Array, Array]:
    """Points of a smooth line through y at 1, 2 ...: cubics that have the slopes of central differences there."""
    n = len(y)
    x = np.linspace(1, n, (n - 1) * FINE + 1)
    if n < 2:
        return x[:n], y
    slopes = np.gradient(y)
    k = np.minimum((x - 1).astype(int), n - 2)
    u = x - 1 - k
    rise = y[k + 1] - y[k]
    curve = 3 * rise - 2 * slopes[k] - slopes[k + 1]
    return x, y[k] + u * (slopes[k] + u * (curve + u * (slopes[k] + slopes[k + 1] - 2 * rise)))
