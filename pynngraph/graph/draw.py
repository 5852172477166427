"""Drawings of graphs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..errors import GraphError

if TYPE_CHECKING:
    from pathlib import Path

    from .gmodule import gModule
    from .node import Node


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'


def _attributes(node: Node, number: int) -> dict[str, str]:
    annotations = node.data.annotations
    if node.module is not None:
        what, shape = node.module.label(), "box"
    else:
        what, shape = ("nest" if node.part is None else f"[{node.part}]"), "ellipse"
    lines = [annotations.get("name"), what, annotations.get("description")]
    return {
        "label": "\n".join(str(line) for line in lines if line),
        "shape": shape,
        "tooltip": f"node {number}, made at {node.place}",
        **{key: str(value) for key, value in annotations.get("graphAttributes", {}).items()},
    }


def _as_dot(g: gModule) -> str:
    number = {id(node): place for place, node in enumerate(g.forwardnodes)}
    lines = ["digraph {", '  node [fontname="sans-serif", fontsize=11];']
    for node in g.forwardnodes:
        attributes = _attributes(node, number[id(node)])
        text = ", ".join(f"{key}={_quoted(value)}" for key, value in attributes.items())
        lines.append(f"  n{number[id(node)]} [{text}];")
    for node in g.forwardnodes:
        lines.extend(f"  n{number[id(parent)]} -> n{number[id(node)]};" for parent in node.parents())
    for group, nodes in (("input", g.inputs), ("output", g.outputs)):
        for place, node in enumerate(nodes):
            name = f"{group}{place}"
            label = group if len(nodes) == 1 else f"{group} {place}"
            lines.append(f'  {name} [label="{label}", shape=plaintext];')
            inner = f"n{number[id(node)]}"
            lines.append(f"  {name} -> {inner};" if group == "input" else f"  {inner} -> {name};")
    return "\n".join([*lines, "}", ""])


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
    text = _as_dot(g)
    if path is None:
        return text
    from pathlib import Path  # noqa: PLC0415 - importing it takes longer than all of this package

    path = Path(path)
    kind = path.suffix.lstrip(".")
    if kind in ("dot", "gv"):
        path.write_text(text, encoding="utf-8")
    elif kind in ("svg", "png", "pdf"):
        _draw(text, path, kind)
    else:
        message = f"a drawing is .dot, .gv, .svg, .png or .pdf, got {path.name!r}"
        raise GraphError(message)
    return text


def _draw(text: str, path: Path, kind: str) -> None:
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
