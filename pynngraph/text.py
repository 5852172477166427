"""Text about arrays and tables: shapes, sizes, aligned columns."""

from __future__ import annotations

import itertools
import re
from typing import TYPE_CHECKING, Any

import numpy as np

from . import tree

if TYPE_CHECKING:
    from collections.abc import Iterator

WIDTH = 120  # columns that a table takes at most
GAP = "  "  # between two of its columns
MOST_NAMED = 4  # entries of a list that are written out

_UNPRINTABLE = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff\ufffe\uffff]")


def printable(text: object) -> str:
    """Text without control characters other than newlines: they are written as Python writes them."""
    lines = str(text).replace("\r\n", "\n")
    return _UNPRINTABLE.sub(lambda found: found[0].encode("unicode_escape").decode(), lines)


def shapes_text(shapes: Any) -> str:
    """Shapes as text, nested as they are: ``[3x5, (2, 2)]``; of long tables, the first entries."""
    if isinstance(shapes, tuple) and all(type(size) is int for size in shapes):
        return "x".join(map(str, shapes)) or "scalar"
    inside = ", ".join(first_of(map(shapes_text, shapes), len(shapes)))
    return f"[{inside}]" if isinstance(shapes, list) else f"({inside})"


def shapes_of(table: Any) -> str:
    """The shapes of the arrays in a table, as :func:`shapes_text`."""
    return shapes_text(tree.map_leaves(np.shape, table))


def first_of(texts: Iterator[str], count: int) -> list[str]:
    """The first of so many texts, and how many more there are."""
    if count <= MOST_NAMED:
        return list(texts)
    return [*itertools.islice(texts, MOST_NAMED - 1), f"... {count - MOST_NAMED + 1} more"]


def bytes_text(count: int) -> str:
    """``1.5 KiB``."""
    if count < 1024:
        return f"{count} B"
    units = iter(("KiB", "MiB", "GiB"))
    size, unit = count / 1024, next(units)
    while size >= 1023.95 and unit != "GiB":
        size, unit = size / 1024, next(units)
    return f"{size:,.1f} {unit}"


class Column:
    """A column of a table."""

    LEAST = 8  # what a flexible column keeps

    def __init__(self, heading: str, texts: list[str], *, is_flexible: bool = False, is_number: bool = False) -> None:
        self.heading = heading
        self.texts = texts
        self.is_flexible = is_flexible
        self._is_number = is_number
        self.width = max(map(len, (heading, *texts)))

    def cell(self, place: int) -> str:
        """The text at a place; the heading at -1."""
        text = self.heading if place < 0 else self.texts[place]
        if len(text) > self.width:
            text = text[: self.width - 3].rstrip(" ,.") + "..."
        return text.rjust(self.width) if self._is_number else text.ljust(self.width)


def fit(columns: list[Column], width: int = WIDTH) -> None:
    """Make the widest columns narrower until all fit."""
    flexible = [column for column in columns if column.is_flexible]
    excess = sum(column.width + len(GAP) for column in columns) - len(GAP) - width
    while excess > 0 and flexible:
        widest = max(flexible, key=lambda column: column.width)
        if widest.width <= Column.LEAST:
            return
        widest.width -= 1
        excess -= 1


def lines_of(columns: list[Column]) -> list[str]:
    """The lines of a table, the headings first."""
    count = len(columns[0].texts)
    return [GAP.join(column.cell(place) for column in columns).rstrip() for place in range(-1, count)]


def one_line(text: str) -> str:
    """Text without line breaks and control characters."""
    return " ".join(printable(text).split())
