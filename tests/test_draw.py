"""Drawings: DOT text always, a picture where graphviz is installed."""

import re
import shutil
import stat
import xml.etree.ElementTree as ET

import numpy as np
import pytest

import pynngraph as nn
from pynngraph import errors
from pynngraph.graph import draw

needs_graphviz = pytest.mark.skipif(shutil.which("dot") is None, reason="graphviz is not installed")
SVG = "{http://www.w3.org/2000/svg}"


def graph():
    first = nn.Identity()().annotate(name='the "x"', description="pixels")
    left, right = nn.ConcatTable().add(nn.Tanh()).add(nn.Sigmoid())(first).split(2)
    node = nn.CMulTable()([left, right]).annotate(graphAttributes={"color": "red"})
    return nn.gModule([first], [nn.nest([node, [first]])])


def test_text_has_every_node_edge_and_annotation():
    text = nn.dot(graph())
    for part in ("digraph", "ConcatTable", "CMulTable", "nest", "pixels", r"the \"x\"", 'color="red"', "test_draw.py:"):
        assert part in text
    assert text.count("->") == 1 + 2 + 2 + 2 + 2  # to the table, its parts, the product, the nest, in and out


@pytest.mark.parametrize("name", ["g.dot", "g.gv"])
def test_text_is_written(tmp_path, name):
    text = nn.dot(graph(), path=tmp_path / name)
    assert (tmp_path / name).read_text() == text


def test_D1_without_graphviz_the_text_is_written_and_the_error_says_how_to_get_a_picture(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(errors.GraphError, match="graphviz"):
        nn.dot(graph(), path=tmp_path / "g.svg")
    assert (tmp_path / "g.dot").read_text() == nn.dot(graph())


@needs_graphviz
def test_a_picture_is_drawn(tmp_path):
    nn.dot(graph(), path=str(tmp_path / "g.svg"))
    assert "<svg" in (tmp_path / "g.svg").read_text()


def test_other_kinds_of_files_are_an_error(tmp_path):
    with pytest.raises(errors.GraphError, match="svg"):
        nn.dot(graph(), path=tmp_path / "g.bmp")


# ---- what is written where ----------------------------------------------------------------------


def small():
    """An input and a Linear(3 -> 2) with a name and a description."""
    x = nn.Identity()()
    return nn.gModule([x], [nn.Linear(3, 2)(x).annotate(name="score", description="of a\nclass")])


def lines_of(text, number):
    """The attributes of a node in DOT."""
    return re.search(rf"^  n{number} \[(.*)\];$", text, re.MULTILINE)[1]


@needs_graphviz
def test_a_path_without_an_ending_writes_text_and_picture_as_torch7(tmp_path):
    g = small()
    text = nn.dot(g.fg, "A title", tmp_path / "model.v2")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model.v2.dot", "model.v2.svg"]
    assert (tmp_path / "model.v2.dot").read_text() == text == nn.dot(g, "A title")
    assert "A title" in words(ET.fromstring((tmp_path / "model.v2.svg").read_bytes()))  # noqa: S314


def test_D1_a_path_without_an_ending_is_text_where_there_is_no_graphviz(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", "")
    with pytest.raises(errors.GraphError, match="install graphviz"):
        nn.dot(small(), "A title", tmp_path / "model")
    assert [path.name for path in tmp_path.iterdir()] == ["model.dot"]


def test_a_single_text_is_the_path_if_it_ends_like_one_and_else_the_title(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert 'label="g.svg of mine";' in nn.dot(small(), "g.svg of mine")
    assert not list(tmp_path.iterdir())
    text = nn.dot(small(), "g.GV")
    assert (tmp_path / "g.GV").read_text() == text
    assert 'label="g.GV"' not in text


def test_the_graph_of_the_backward_has_all_edges_turned():
    g = small()
    assert "  n0 -> n1;" in nn.dot(g.fg)
    backward = nn.dot(g.bg)
    assert "  n1 -> n0;" in backward
    assert "  output0 -> n1;" in backward
    assert "  n0 -> input0;" in backward


@pytest.mark.parametrize("what", [nn.Tanh(), None, 3])
def test_other_things_than_graphs_are_an_error(what):
    with pytest.raises(errors.GraphError, match="dot draws a graph"):
        nn.dot(what)


# ---- what is told of nodes ----------------------------------------------------------------------


def test_D4_labels_tell_name_module_description_shape_and_parameters():
    g = small()
    assert lines_of(nn.dot(g), 1).startswith(r'label="score\nLinear(3 -> 2)\nof a\nclass\n8 parameters"')
    g.forward(np.zeros((4, 3)))
    text = nn.dot(g)
    assert lines_of(text, 1).startswith(r'label="score\nLinear(3 -> 2)\nof a\nclass\n4x2\n8 parameters"')
    assert re.search(r'tooltip="node 1, made at test_draw.py:\d+\\ninput: 4x3"', lines_of(text, 1))


def test_shapes_are_told_of_the_same_graph_only():
    g = small()
    g.forward(np.zeros((4, 3)))
    assert "4x2" in nn.dot(g.evaluate())
    assert "4x2" not in nn.dot(g.float())


def test_shapes_of_an_inner_graph_are_told_while_its_nodes_keep_results():
    inner = small()
    outer = nn.Sequential(nn.Tanh(), inner).keep()
    outer.forward(np.zeros((4, 3)))
    assert "4x2" in nn.dot(inner)
    outer.keep(enable=False)
    assert "4x2" not in nn.dot(inner)


def test_D3_graph_attributes_come_before_ours():
    g = small()
    g.outputs[0].annotate(graphAttributes={"shape": "star", "fillcolor": 'a "b"', "my key": 3})
    attributes = lines_of(nn.dot(g), 1)
    assert attributes.count("shape=") == 1
    for part in ('shape="star"', r'fillcolor="a \"b\""', '"my key"="3"'):
        assert part in attributes


def test_inputs_parameters_and_what_has_no_module_look_different():
    x = nn.Identity()()
    first, second = nn.SplitTable(0)(x).split(2)
    g = nn.gModule([x], [nn.CAddTable()([first, second, nn.Parameters(3)()])])
    looks = {node.kind(): lines_of(nn.dot(g), place) for place, node in enumerate(g)}
    assert 'shape="ellipse"' in looks["Identity"]
    assert 'shape="cylinder"' in looks["Parameters(3)"]
    assert "dashed" in looks["part 0 of 2"]
    assert "shape=" not in looks["CAddTable"]


def test_shared_modules_and_shared_parameters_have_one_colour():
    x = nn.Identity()()
    shared, original = nn.Tanh(), nn.Linear(3, 3)
    clone = original.clone("weight", "bias", "gradWeight", "gradBias")
    nodes = [shared(x), shared(x), original(x), clone(x), nn.Linear(3, 3)(x)]
    texts = [lines_of(nn.dot(nn.gModule([x], nodes)), place) for place in range(1, 6)]
    colors = [re.search('fillcolor="(.*?)"', text) for text in texts]
    assert colors[0][1] == colors[1][1] != colors[2][1] == colors[3][1]
    assert colors[4] is None
    assert "\\nshared by 2 nodes" in texts[0]
    assert "parameters shared by 2 nodes" in texts[3]
    assert "shared" not in texts[4]


# ---- text in pictures ---------------------------------------------------------------------------

NASTY = ['"', "\\", "\\\\", 'a\\"b', "\\n", "\\N and \\G", "<b>x</b>", "<", "a & b", "&lt;", "&#65;", "]]>", "ü 漢字",
         "🙂", "{a|b}", "a->b; }", "ends with \\", "%s", "'", "// no comment", "# neither", "/* x */"]  # fmt: skip


def words(svg):
    return [text.text for text in svg.iter(f"{SVG}text")]


@needs_graphviz
def test_names_stand_in_the_picture_as_they_are(tmp_path):
    x = node = nn.Identity()()
    for name in NASTY:
        node = nn.Tanh()(node).annotate(name=name, description=f"{name}\n{name}")
    g = nn.gModule([x], [node])
    for title in NASTY:
        g.name = title
        nn.dot(g, title, tmp_path / "g.svg")
        shown = words(ET.fromstring((tmp_path / "g.svg").read_bytes()))  # noqa: S314
        assert title in shown
    assert all(shown.count(name) >= 3 for name in NASTY)


@needs_graphviz
def test_characters_that_no_picture_can_have_are_written_in_words(tmp_path):
    x = nn.Identity()().annotate(name="nul \0 bell \a tab \t half \ud800\r\nnext")
    nn.dot(nn.gModule([x], [nn.Tanh()(x)]), path=tmp_path / "g.svg")
    shown = words(ET.fromstring((tmp_path / "g.svg").read_bytes()))  # noqa: S314
    assert r"nul \x00 bell \x07 tab \t half \ud800" in shown
    assert "next" in shown


# ---- notebooks ----------------------------------------------------------------------------------


@needs_graphviz
def test_notebooks_get_a_picture_and_no_file_is_written(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    g = small()
    g.forward(np.zeros((4, 3)))
    svg = ET.fromstring(g._repr_svg_().encode())  # noqa: S314
    assert svg.tag == f"{SVG}svg"
    assert {"score", "4x2"} <= set(words(svg))
    assert not list(tmp_path.iterdir())


def test_D1_without_graphviz_notebooks_get_text(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert small()._repr_svg_() is None
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("script", ["exit 1", "printf '\\377'", "sleep 60"])
def test_D1_where_graphviz_fails_notebooks_get_text(tmp_path, monkeypatch, script):
    program = tmp_path / "dot"
    program.write_text(f"#!/bin/sh\nexec 0<&-\n{script.replace('sleep', 'exec sleep')}\n")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setattr(draw, "MOST_SECONDS", 0.2)
    assert small()._repr_svg_() is None


def test_D1_large_graphs_are_shown_as_text_in_notebooks():
    x = node = nn.Identity()()
    for _ in range(draw.MOST_DRAWN):
        node = nn.Tanh()(node)
    assert nn.gModule([x], [node])._repr_svg_() is None
    x = nn.Identity()()
    many = nn.gModule([x], [nn.CAddTable()([x] * (draw.MOST_EDGES + 1))])
    assert many._repr_svg_() is None


def test_a_module_that_cannot_be_described_does_not_break_a_notebook(monkeypatch):
    g = small()
    monkeypatch.setattr(nn.Linear, "describe", lambda self: 1 / 0)
    assert g._repr_svg_() is None
