"""Drawings of graphs."""

from __future__ import annotations

import itertools
import re
from typing import TYPE_CHECKING, Any

from ..errors import GraphError
from ..text import printable, shapes_text
from .digraph import Digraph
from .gmodule import gModule
from .known import of_nodes

if TYPE_CHECKING:
    from pathlib import Path

    from .node import Node

TEXTS = ("dot", "gv")
PICTURES = ("svg", "png", "pdf")
# What somebody may ask for, and is no part of the name of a pair of files.
OTHERS = ("bmp", "eps", "gif", "htm", "html", "jpeg", "jpg", "json", "ps", "tif", "tiff", "webp")

MOST_DRAWN = 2000  # nodes of a graph that a notebook draws,
MOST_EDGES = 8000  # its edges,
MOST_SECONDS = 10  # and how long it waits

STYLE = """\
  graph [fontname="Helvetica,Arial,sans-serif", fontsize=13, labelloc=t];
  node [fontname="Helvetica,Arial,sans-serif", fontsize=11, shape=box, style="rounded,filled",\
 fillcolor="#f7f7f7", color="#666666", margin="0.14,0.07"];
  edge [color="#666666", arrowsize=0.7];"""
INPUT_COLOR = "#dceaf7"
PARAMETER_COLOR = "#fbeed5"
SHARED_COLORS = ("#d6efd5", "#f9d9d6", "#e6dcf2", "#fdf3b8", "#cfeeee", "#f5d5ea", "#e4e0cb", "#cfd8f5")

_NAME = re.compile(r"[A-Za-z_][A-Za-z_0-9]*\Z")


def _quoted(text: object, *, is_prose: bool = False) -> str:
    """Text as DOT's string; in prose graphviz would take ``&lt;`` for a ``<``."""
    plain = printable(text)
    if is_prose:
        plain = plain.replace("&", "&amp;")
    return '"' + plain.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'


def as_dot(
    graph: Digraph,
    title: str = "",
    shapes: dict[int, str] | None = None,
    failed: Node | None = None,
    inputs: dict[int, str] | None = None,
) -> str:
    """A graph in DOT.

    Parameters
    ----------
    graph
        With edges in the direction to draw.
    title
        Stands above the drawing.
    shapes, inputs
        What to say of the output and of the input of a node, by its id.
    failed
        The node to draw in red.
    """
    shapes, inputs = shapes or {}, inputs or {}
    owner = graph.owner
    number = {id(node): place for place, node in enumerate(owner.forwardnodes)}
    shared = _shared(owner.forwardnodes)
    given = {id(node) for node in owner.inputs}
    lines = [f"digraph {_quoted(owner.name)} {{", STYLE]
    if title:
        lines.append(f"  label={_quoted(title, is_prose=True)};")
    for node in graph.nodes:
        key = id(node)
        color, says = shared.get(key, ("", ""))
        attributes = {
            name: _quoted(value, is_prose=True)
            for name, value in {
                "label": _label(node, shapes.get(key), says),
                **_looks(node, is_input=key in given),
                **({"fillcolor": color} if color else {}),
                "tooltip": _tooltip(node, number[key], inputs.get(key)),
            }.items()
        }
        for name, value in node.data.annotations.get("graphAttributes", {}).items():
            attributes[name if _NAME.match(str(name)) else _quoted(name)] = _quoted(value)
        if node is failed:
            attributes.update(style='"filled"', fillcolor='"red"', fontcolor='"white"')
        text = ", ".join(f"{name}={value}" for name, value in attributes.items())
        lines.append(f"  n{number[key]} [{text}];")
    lines.extend(f"  n{number[id(from_)]} -> n{number[id(to)]};" for from_, to in graph.edges)
    return "\n".join([*lines, *_ends(graph, number), "}", ""])


def _label(node: Node, shape: str | None, says: str) -> str:
    lines = [node.name, node.kind(), node.data.annotations.get("description"), shape]
    module = node.data.module
    if module is not None:
        count = sum({id(cell.data_store): cell.data.size for cell in module.cells()}.values())
        lines.append(f"{count:,} parameter{'' if count == 1 else 's'}" if count else None)
    return "\n".join(str(line) for line in (*lines, says) if line)


def _looks(node: Node, *, is_input: bool) -> dict[str, str]:
    """How nodes differ by what they are: inputs are ellipses, parameters drums, what only passes on is not filled."""
    if is_input:
        return {"shape": "ellipse", "style": "filled", "fillcolor": INPUT_COLOR}
    if node.data.module is None:
        return {"style": "rounded,dashed"}
    if node.inputs is None:
        return {"shape": "cylinder", "style": "filled", "fillcolor": PARAMETER_COLOR}
    return {}


def _tooltip(node: Node, number: int, shape: str | None) -> str:
    return f"node {number}, made at {node.place}" + (f"\ninput: {shape}" if shape else "")


def _shared(nodes: list[Node]) -> dict[int, tuple[str, str]]:
    """A colour and words for nodes with a module, or with parameters, that other nodes have too; by the nodes' ids."""
    groups: dict[Any, list[Node]] = {}
    for node in nodes:
        module = node.data.module
        if module is not None:
            stores = frozenset(id(cell.data_store) for cell in module.cells())
            groups.setdefault(stores or id(module), []).append(node)
    shared: dict[int, tuple[str, str]] = {}
    sharing = [group for group in groups.values() if len(group) > 1]
    for group, color in zip(sharing, itertools.cycle(SHARED_COLORS)):
        what = "shared" if len({id(node.data.module) for node in group}) == 1 else "parameters shared"
        shared.update((id(node), (color, f"{what} by {len(group)} nodes")) for node in group)
    return shared


def _ends(graph: Digraph, number: dict[int, int]) -> list[str]:
    """Lines for the graph's input and output."""
    lines = []
    for group, nodes in (("input", graph.owner.inputs), ("output", graph.owner.outputs)):
        for place, node in enumerate(nodes):
            name = f"{group}{place}"
            label = group if len(nodes) == 1 else f"{group} {place}"
            lines.append(f'  {name} [label="{label}", shape=plaintext, style=""];')
            ends = (name, f"n{number[id(node)]}")
            from_, to = ends if (group == "input") != graph.is_backward else ends[::-1]
            lines.append(f"  {from_} -> {to};")
    return lines


def dot(g: gModule | Digraph, title: str | Path | None = None, path: str | Path | None = None) -> str:
    """The graph in graphviz's DOT language, and a picture of it.

    Nodes tell their name, module, description, output shape, if it is known from a forward, and number of parameters;
    pictures tell source lines and input shapes where the mouse rests. Nodes that share a module or parameters have one
    colour.

    Parameters
    ----------
    g
        A graph; or ``g.fg``, or ``g.bg`` for the graph of the backward.
    title
        Stands above the drawing. A single text with one of the endings below is the path.
    path
        Where to write it: ``.dot`` (or ``.gv``) for the text; ``.svg``, ``.png`` or ``.pdf`` for a picture,
        which graphviz draws. Without an ending, as in Torch7, both ``<path>.dot`` and ``<path>.svg`` are written.

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
    >>> nn.dot(nn.gModule([x], [nn.Tanh()(x)]), "Two nodes").splitlines()[0]
    'digraph "gModule" {'
    """
    if path is None and title is not None and (not isinstance(title, str) or _ending(title) in TEXTS + PICTURES):
        title, path = None, title
    text = _text(g, str(title or ""))
    if path is not None:
        _write(text, str(path))
    return text


def _text(g: gModule | Digraph, title: str = "") -> str:
    """A graph in DOT, with the shapes that are known."""
    graph: Any = g.fg if isinstance(g, gModule) else g
    if not isinstance(graph, Digraph):
        message = f"dot draws a graph, or its fg or bg, got {type(g).__name__}"
        raise GraphError(message)
    known = of_nodes(graph.owner)
    inputs, outputs = ({key: shapes_text(shapes[side]) for key, shapes in known.items()} for side in (0, 1))
    return as_dot(graph, title, outputs, inputs=inputs)


def _ending(path: str) -> str:
    name = path.replace("\\", "/").rpartition("/")[2]
    return name.rpartition(".")[2].lower() if "." in name else ""


def _write(text: str, path: str) -> None:
    """Write a graph, as the path's ending says."""
    from pathlib import Path  # noqa: PLC0415 - importing it takes longer than all of this package

    kind = _ending(path)
    if kind in OTHERS:
        message = f"a drawing is .dot, .gv, .svg, .png or .pdf, got {Path(path).name!r}"
        raise GraphError(message)
    if kind in TEXTS:
        Path(path).write_text(text, encoding="utf-8")
    elif kind in PICTURES:
        draw(text, path, kind)
    else:
        Path(f"{path}.dot").write_text(text, encoding="utf-8")
        draw(text, f"{path}.svg", "svg")


def draw(text: str, path: str | Path, kind: str) -> None:
    """Let graphviz draw DOT text."""
    from pathlib import Path  # noqa: PLC0415 - as above

    path = Path(path)
    program = _graphviz()
    if program is None:
        beside = path.with_suffix(".dot")
        beside.write_text(text, encoding="utf-8")
        message = (
            f"graphviz's program dot was not found, so the graph was written as text to {beside}: install "
            "graphviz, or show the text with any DOT viewer"
        )
        raise GraphError(message)
    path.write_bytes(_drawn(program, text, kind))


def svg(g: gModule, text: str | None = None) -> str | None:
    """A graph, as DOT text or as what is known of it, as SVG; None where it cannot be drawn, or not soon."""
    program = _graphviz()
    if program is None or len(g.forwardnodes) > MOST_DRAWN or len(g.fg.edges) > MOST_EDGES:
        return None
    try:
        return _drawn(program, _text(g) if text is None else text, "svg", MOST_SECONDS).decode()
    except Exception:  # noqa: BLE001 - the graph is then shown as text
        return None


def _graphviz() -> str | None:
    import shutil  # noqa: PLC0415 - as pathlib above

    return shutil.which("dot")


def _drawn(program: str, text: str, kind: str, seconds: float | None = None) -> bytes:
    """What graphviz makes of DOT text."""
    import subprocess  # noqa: PLC0415 - as pathlib above

    done = subprocess.run(  # noqa: S603 - a fixed program on our own text
        [program, f"-T{kind}"],
        input=text.encode(),
        capture_output=True,
        check=False,
        timeout=seconds,
    )
    if done.returncode:
        message = f"graphviz failed: {done.stderr.decode(errors='replace').strip()}"
        raise GraphError(message)
    return done.stdout
