"""Drawings of graphs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..errors import GraphError

if TYPE_CHECKING:
    from pathlib import Path

    from .digraph import Digraph
    from .gmodule import gModule
    from .node import Node


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'


def as_dot(graph: Digraph, title: str = "", shapes: dict[int, str] | None = None, failed: Node | None = None) -> str:
    """A graph in DOT.

    Parameters
    ----------
    graph
        With edges in the direction to draw.
    title
        Stands below the drawing.
    shapes
        What to say of the output of a node, by its id.
    failed
        The node to draw in red.
    """
    shapes = shapes or {}
    number = {id(node): place for place, node in enumerate(graph.owner.forwardnodes)}
    lines = ["digraph {", '  node [fontname="sans-serif", fontsize=11];']
    if title:
        lines.append(f"  label={_quoted(title)};")
    for node in graph.nodes:
        attributes = _attributes(node, number[id(node)], shapes.get(id(node)))
        if node is failed:
            attributes.update(style="filled", fillcolor="red")
        text = ", ".join(f"{key}={_quoted(value)}" for key, value in attributes.items())
        lines.append(f"  n{number[id(node)]} [{text}];")
    lines.extend(f"  n{number[id(from_)]} -> n{number[id(to)]};" for from_, to in graph.edges)
    for group, nodes in (("input", graph.owner.inputs), ("output", graph.owner.outputs)):
        for place, node in enumerate(nodes):
            name = f"{group}{place}"
            label = group if len(nodes) == 1 else f"{group} {place}"
            lines.append(f'  {name} [label="{label}", shape=plaintext];')
            ends = (name, f"n{number[id(node)]}")
            from_, to = ends if (group == "input") != graph.is_backward else ends[::-1]
            lines.append(f"  {from_} -> {to};")
    return "\n".join([*lines, "}", ""])


def _attributes(node: Node, number: int, shape: str | None) -> dict[str, str]:
    annotations = node.data.annotations
    lines = [node.name, node.kind(), annotations.get("description"), shape]
    module = node.data.module
    if module is not None:
        count = sum(cell.data.size for cell in module.cells())
        lines.append(f"{count:,} parameters" if count else None)
    return {
        "label": "\n".join(str(line) for line in lines if line),
        "shape": "box" if module is not None else "ellipse",
        "tooltip": f"node {number}, made at {node.place}",
        **{key: str(value) for key, value in annotations.get("graphAttributes", {}).items()},
    }


def dot(g: gModule, path: str | Path | None = None) -> str:
    """The graph in graphviz's DOT language, and a picture of it.

    Parameters
    ----------
    g
        A graph.
    path
        Where to write it: ``.dot`` (or ``.gv``) for the text; ``.svg``, ``.png`` or ``.pdf`` for a picture,
        which graphviz draws.

    Returns
    -------
    The DOT text.

    Raises
    ------
    GraphError
        When a picture is wanted and graphviz is not installed. The text is then written beside, as ``.dot``.

    Examples
    --------
    >>> import pynngraph as nn
    >>> x = nn.Identity()()
    >>> nn.dot(nn.gModule([x], [nn.Tanh()(x)])).splitlines()[0]
    'digraph {'
    """
    text = as_dot(g.fg)
    if path is None:
        return text
    from pathlib import Path  # noqa: PLC0415 - importing it takes longer than all of this package

    path = Path(path)
    kind = path.suffix.lstrip(".")
    if kind in ("dot", "gv"):
        path.write_text(text, encoding="utf-8")
    elif kind in ("svg", "png", "pdf"):
        draw(text, path, kind)
    else:
        message = f"a drawing is .dot, .gv, .svg, .png or .pdf, got {path.name!r}"
        raise GraphError(message)
    return text


def draw(text: str, path: str | Path, kind: str) -> None:
    """Let graphviz draw DOT text."""
    from pathlib import Path  # noqa: PLC0415 - as above

    path = Path(path)
    import shutil  # noqa: PLC0415 - as pathlib above
    import subprocess  # noqa: PLC0415

    program = shutil.which("dot")
    if program is None:
        beside = path.with_suffix(".dot")
        beside.write_text(text, encoding="utf-8")
        message = (
            f"graphviz's program dot was not found, so the graph was written as text to {beside}: install "
            "graphviz, or show the text with any DOT viewer"
        )
        raise GraphError(message)
    done = subprocess.run(  # noqa: S603 - a fixed program on our own text
        [program, f"-T{kind}", "-o", str(path)],
        input=text.encode(),
        capture_output=True,
        check=False,
    )
    if done.returncode:
        message = f"graphviz failed: {done.stderr.decode(errors='replace').strip()}"
        raise GraphError(message)
