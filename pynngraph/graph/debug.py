"""Finding what is wrong in a graph: names, checks while running, drawings of what failed."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import tree
from ..errors import Error, GraphError
from ..text import shapes_of
from ..watch import Changes, Debug
from .node import Node

if TYPE_CHECKING:
    from pathlib import Path

    from ..nn.lowering import Site


MOST_TABLES = 10_000  # that annotateNodes looks into


def setDebug(enable: bool = True, folder: str | Path = ".") -> None:
    """Switch debugging of all modules on or off.

    While it is on:

    - What every module and graph node inside of others takes and gives is kept, as by
      :meth:`~pynngraph.Module.keep`.
    - The first NaN or inf that comes up in a run is a DataError.
    - Errors in a graph say which node failed, where it was made, and the shapes and range of what it was given. The
      graph is drawn, with that node in red and the shapes of all that ran before: as ``<name>.dot`` and, where
      graphviz is installed, ``<name>.svg``; the name is the graph's attribute ``name``.

    Runs take longer, and more memory.

    Parameters
    ----------
    enable
        Whether it shall be on.
    folder
        Where drawings go.

    Examples
    --------
    >>> import numpy as np, pynngraph as nn
    >>> nn.setDebug(True)
    >>> net = nn.Sequential(nn.MulConstant(0), nn.Log(), nn.Tanh())
    >>> net.forward(np.ones(2))
    Traceback (most recent call last):
        ...
    pynngraph.errors.DataError: Log in Sequential[1]: the output has inf
      its input: 2, from 0 to 0
    >>> nn.setDebug(False)
    """
    Debug.is_on = bool(enable)
    Debug.folder = str(folder)
    Debug.explain = explain
    Changes.count += 1


def annotateNodes(stackLevel: int = 1) -> None:
    """Name graph nodes after the local variables that hold them; names that were given stay.

    In a list, tuple or dict that a variable holds, nodes are called ``h[0]``, ``h["a"]``.

    Parameters
    ----------
    stackLevel
        1 for the variables of the function that calls this one, 2 for those of its caller, and so on.

    Examples
    --------
    >>> import pynngraph as nn
    >>> def build():
    ...     pixels = nn.Identity()()
    ...     hidden = [nn.Linear(4, 3)(pixels)]
    ...     nn.annotateNodes()
    ...     return nn.gModule([pixels], hidden)
    >>> [node.name for node in build()]
    ['pixels', 'hidden[0]']
    """
    if not hasattr(stackLevel, "__index__") or stackLevel < 1:
        message = f"stackLevel counts callers from 1, got {stackLevel!r}"
        raise GraphError(message)
    try:
        variables = sys._getframe(stackLevel).f_locals
    except ValueError:
        message = f"annotateNodes was not called from {stackLevel} functions deep"
        raise GraphError(message) from None
    _name_nodes(dict(variables), "{}", {id(variables)})


def _name_nodes(table: Any, pattern: str, seen: set[int]) -> None:
    """Name the nodes in a list, tuple or dict, of whatever nesting; `pattern` makes a name of a place or key."""
    for place, entry in table.items() if type(table) is dict else enumerate(table):
        if isinstance(entry, Node):
            entry.data.annotations.setdefault("name", pattern.format(place))
        elif type(entry) in (list, tuple, dict) and id(entry) not in seen and len(seen) < MOST_TABLES:
            seen.add(id(entry))
            name = pattern.format(place).replace("{", "{{").replace("}", "}}")
            _name_nodes(entry, f"{name}[{{!r}}]", seen)


def explain(error: Exception, site: Site, input: Any, grad_output: Any, call: Any) -> None:
    """Add to an error what the site at fault was given, and draw its graph.

    Parameters
    ----------
    error
        Its message gets longer.
    site
        The node, or the module in containers, that failed.
    input, grad_output
        What it was given; None where that is not known.
    call
        The call under way: what was kept in it is drawn.
    """
    lines = [
        f"its {name}: {described(table)}"
        for name, table in (("input", input), ("gradOutput", grad_output))
        if table is not None
    ]
    if site.module is not None:
        cells = {**site.module._cells, **site.module._buffers}
        lines += [
            f"its {name}: {described(cell.data)}" for name, cell in cells.items() if not np.isfinite(cell.data).all()
        ]
    if site.node is not None and site.outer is not None:
        lines.append(_drawn(site, call))
    _add(error, "".join(f"\n  {line}" for line in lines))


def _drawn(site: Site, call: Any) -> str:
    """Draw the graph of a node that failed; what to say of it."""
    import os  # noqa: PLC0415 - only if something goes wrong

    from .draw import as_dot, svg  # noqa: PLC0415

    graph: Any = site.outer.module  # type: ignore[union-attr]
    path = os.path.join(Debug.folder, str(graph.name))  # noqa: PTH118 - pathlib is slow to import
    shapes = {
        id(node): shapes_of(node.evaluation.output)
        for node in graph
        if node.evaluation is not None and node.evaluation.call is call and node.evaluation.output is not None
    }
    text = as_dot(graph.fg, title=str(graph.name), shapes=shapes, failed=site.node)
    picture = svg(graph, text)
    try:
        for ending, content in (("dot", text), ("svg", picture)):
            if content is not None:
                with open(f"{path}.{ending}", "w", encoding="utf-8") as file:  # noqa: PTH123
                    file.write(content)
    except (OSError, ValueError) as problem:
        return f"the graph could not be drawn to {path}.svg: {problem}"
    if picture is None:
        return f"the graph, with this node in red, is in {path}.dot, for graphviz to draw"
    return f"the graph, with this node in red, is drawn in {path}.svg"


def _add(error: Exception, text: str) -> None:
    """Append to an error's message."""
    if isinstance(error, Error):
        error.args = (f"{error}{text}",)
        error.is_explained = True
    elif hasattr(error, "add_note"):
        error.add_note(text.strip("\n"))
    elif len(error.args) == 1 and isinstance(error.args[0], str):
        error.args = (f"{error.args[0]}{text}",)


def described(table: Any) -> str:
    """Shapes and range of what is in a table of arrays: ``3x5, from -1.5 to 2, 2 NaN``."""
    if tree.is_table(table):
        inside = "; ".join(map(described, table))
        return f"[{inside}]" if isinstance(table, list) else f"({inside})"
    shape = shapes_of(table)
    if not table.size:
        return f"{shape}, empty"
    text = shape
    if table.dtype.kind != "f":
        return f"{text} of {table.dtype}, from {table.min()} to {table.max()}"
    finite = table[np.isfinite(table)]
    if finite.size:
        text += f", from {finite.min():.4g} to {finite.max():.4g}"
    for word, test in (("NaN", np.isnan), ("inf", np.isinf)):
        count = int(test(table).sum())
        if count:
            text += f", {count} {word}"
    return text
