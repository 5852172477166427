"""Drawings: DOT text always, a picture where graphviz is installed."""

import shutil

import pytest

import pynngraph as nn
from pynngraph import errors


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


@pytest.mark.skipif(shutil.which("dot") is None, reason="graphviz is not installed")
def test_a_picture_is_drawn(tmp_path):
    nn.dot(graph(), path=str(tmp_path / "g.svg"))
    assert "<svg" in (tmp_path / "g.svg").read_text()


def test_other_kinds_of_files_are_an_error(tmp_path):
    with pytest.raises(errors.GraphError, match="svg"):
        nn.dot(graph(), path=tmp_path / "g.bmp")
