"""What modules in files are made of: a damaged one is refused with the field, whichever class and field it is."""

import json
import math
from contextlib import suppress

import numpy as np
import pytest
from module_cases import CRITERIONS, MODULES
from op_cases import draw
from test_model_file import joined, parts
from test_t7_models import records

import pynngraph as nn
from pynngraph.errors import Error, FileFormatError
from pynngraph.io import state
from pynngraph.io.t7 import Storage, Table, Tensor
from pynngraph.io.torch_loader import Loader
from pynngraph.io.torch_saver import Saver

by_row = pytest.mark.parametrize("row", MODULES, ids=[row.name for row in MODULES])

# What may stand for a value in a damaged file.
ODD = (3.5, "a", None, -7, 0, 10**30, True, [], [1], {"float": "nan"}, {"tuple": [1, -2]})
ODD_IN_T7 = (
    3.5,
    "a",
    None,
    -7.0,
    0.0,
    1e300,
    math.nan,
    True,
    Table(),
    Table([(1.0, 2.0)]),
    Storage("torch.LongStorage", np.array([2, -3])),
    Tensor("torch.DoubleTensor", (), (), 0, None),
    Tensor("torch.DoubleTensor", (2, 3), (3, 1), 0, Storage("torch.DoubleStorage", np.arange(6.0))),
)


def answers_or_refuses(module, x):
    """Run a module whose state was damaged, but possible."""
    with suppress(Error):
        module.evaluate().forward(x)
    assert repr(module)


def test_every_class_has_a_row_that_says_all_of_it():
    for row in (*MODULES, *CRITERIONS):
        for module in row.build().listModules():
            assert state.state_of(type(module)) is not None, type(module)
            state.check(module)
            assert state.own_names(module) == []
    for name in nn.__all__:
        cls = getattr(nn, name)
        if isinstance(cls, type) and issubclass(cls, nn.Module) and cls not in (nn.Module, nn.Container, nn.Criterion):
            assert name in state.CLASSES


def test_every_attribute_has_a_kind():
    for name, text in state.CLASSES.items():
        for field in state._fields(text.split("|")[0]).values():
            assert field.kind in state.KINDS, name
    with pytest.raises(ValueError, match="no field"):
        state._fields("kW[")


@by_row
def test_a_field_of_another_name_is_refused(row, tmp_path, rng):
    path = tmp_path / "x.safetensors"
    nn.save(path, row.build())
    header, model, arrays = parts(path.read_bytes())
    text = json.dumps(model)
    chances = [
        (place, section, name)
        for place, entry in enumerate(model["modules"])
        for section in ("state", "parameters", "buffers")
        for name in entry[section]
    ]
    for which in rng.permutation(len(chances))[:40]:
        place, section, name = chances[which]
        damaged = json.loads(text)
        fields = damaged["modules"][place][section]
        fields["kX"] = fields.pop(name)
        path.write_bytes(joined(header, damaged, arrays))
        with pytest.raises(FileFormatError, match=rf"module {place} .*(kX|{name})|cannot be made") as error:
            nn.load(path)
        assert str(path) in str(error.value)


@by_row
def test_an_odd_value_is_refused_or_possible(row, tmp_path, rng):
    path = tmp_path / "x.safetensors"
    x = draw(row.input, rng)
    nn.save(path, row.build())
    header, model, arrays = parts(path.read_bytes())
    text = json.dumps(model)
    chances = [
        (place, name, odd) for place, entry in enumerate(model["modules"]) for name in entry["state"] for odd in ODD
    ]
    for which in rng.permutation(len(chances))[:12]:
        place, name, odd = chances[which]
        damaged = json.loads(text)
        damaged["modules"][place]["state"][name] = odd
        path.write_bytes(joined(header, damaged, arrays))
        try:
            module = nn.load(path)
        except FileFormatError:
            continue
        answers_or_refuses(module, x)


@by_row
def test_an_odd_field_of_t7_is_refused_or_possible(row, rng):
    x = draw(row.input, rng)
    try:
        raw = Saver().value(row.build())
    except Error:
        pytest.skip("not written as .t7")
    chances = [
        (record.fields.pairs, place, odd)
        for record in records(raw)
        if isinstance(record.fields, Table)
        for place in range(len(record.fields.pairs))
        for odd in ODD_IN_T7
    ]
    for which in rng.permutation(len(chances))[:12]:
        pairs, place, odd = chances[which]
        key, value = pairs[place]
        pairs[place] = key, odd
        try:
            module = Loader(1 << 20).load(raw)
        except FileFormatError as error:
            assert "at byte" in str(error)  # noqa: PT017 - it need not be raised
        else:
            if isinstance(module, nn.Module):
                answers_or_refuses(module, x)
        pairs[place] = key, value


def damaged(module, damage, tmp_path):
    """Load a module of whose entry in a file something was changed."""
    path = tmp_path / "x.safetensors"
    nn.save(path, module)
    header, model, arrays = parts(path.read_bytes())
    damage(model)
    path.write_bytes(joined(header, model, arrays))
    return nn.load(path)


def setting(section, name, value, module=0):
    return lambda model: model["modules"][module][section].update({name: value})


@pytest.mark.parametrize(
    ("module", "damage", "says"),
    [
        (lambda: nn.SpatialConvolution(1, 1, 2, 2), setting("state", "kW", 3.5), "a whole number from 1 as its kW"),
        (lambda: nn.SpatialConvolution(1, 1, 2, 2), setting("state", "kW", 3), "weight of shape"),
        (lambda: nn.View(2), setting("state", "numInputDims", "a"), "from 0 or null as its numInputDims, got 'a'"),
        (lambda: nn.Linear(2, 3), setting("state", "biass", 1), "has no attribute 'biass'; it has train"),
        (lambda: nn.Linear(2, 3), lambda m: m["modules"][0]["parameters"].pop("weight"), "parameter 'weight', which"),
        (lambda: nn.Linear(2, 3), lambda m: m["cells"][0].update(gradient=None), "must have a gradient of its weight"),
        (lambda: nn.BatchNormalization(2), lambda m: m["cells"][-1].update(gradient=9), "no gradient of its buffer"),
        (lambda: nn.Linear(2, 3), setting("state", "_dtype", "float32"), "weight of float32, got float64"),
        (lambda: nn.CMul(2, 3), setting("state", "size", {"tuple": [3, 2]}), r"shape \(3, 2\), got \(2, 3\)"),
        (lambda: nn.WeightNorm(nn.Linear(2, 3)), setting("state", "outputDim", 2), "outputDim of a weight of shape"),
        (lambda: nn.WeightNorm(nn.Linear(2, 3)), setting("state", "outputDim", 1), "v and g of the 2 rows"),
        (lambda: nn.WeightNorm(nn.Linear(2, 3)), setting("parameters", "w", 0, 1), "has no parameter 'w'"),
        (lambda: nn.Convert("bf", "fb"), setting("state", "outputShape", "x"), "cannot be: Convert cannot make"),
        (lambda: nn.IndexLinear(2, 3), setting("state", "normalize", True), "as many columns"),
        (nn.MultiCriterion, setting("state", "weights", {"tuple": [1]}), "as many weights as criterions"),
        (lambda: nn.LSTM(2, 3), setting("state", "nLayers", 2), "the modules of 2 layers"),
        (nn.Sequential, setting("state", "modules", "x" * 99), r"xxx\.\.\."),
        (lambda: nn.SpatialFractionalMaxPooling(2, 2, 2, 2), lambda m: m["modules"][0]["state"].pop("outW"), "'outW'"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told(module, damage, says, tmp_path):
    with pytest.raises(FileFormatError, match=r"x\.safetensors: at byte 8: module \d of the file, a .*" + says):
        damaged(module(), damage, tmp_path)


def node(place, entry, value):
    def damage(model):
        order = model["modules"][0]["state"]["_order"]
        order[place]["tuple"][entry] = value

    return damage


def split_graph():
    x = nn.Identity()()
    return nn.gModule([x], [nn.CAddTable()(list(x.split(2)))])


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (setting("state", "nInputs", 2), "must have 2 inputs"),
        (setting("state", "_outputs", []), "and some outputs"),
        (setting("state", "_inputs", [1]), "is no graph"),
        (node(0, 1, 7), "a node 0 that cannot be one: its module is 7"),
        (node(0, 1, None), "a node 0 that cannot be one: it has neither"),
        (node(0, 3, -1), "it is split into -1"),
        (node(0, 3, None), "it is part 0 of None"),
        (node(1, 2, 2), "it is part 2 of 2"),
        (node(0, 4, {"dict": [["name", 1]]}), "its name is 1"),
        (node(0, 5, 1), "no line of source"),
        (node(1, 0, 9), "cannot be made: IndexError"),
    ],
)
def test_what_is_wrong_with_a_graph_is_told(damage, says, tmp_path):
    with pytest.raises(FileFormatError, match=says):
        damaged(split_graph(), damage, tmp_path)


def test_what_a_user_gave_a_module_comes_back(tmp_path):
    net = nn.Linear(2, 3)
    net.note = {"seen": 7}
    net.add_cell("scale", np.ones(3))
    nn.save(tmp_path / "x.safetensors", net)
    again = nn.load(tmp_path / "x.safetensors")
    assert again.note == {"seen": 7}
    np.testing.assert_array_equal(again._cells["scale"].data, np.ones(3))
    assert len(again.parameters()[0]) == 3


def test_a_weight_that_others_make_comes_back_as_that(tmp_path, rng):
    net = nn.WeightNorm(nn.SpatialConvolution(2, 3, 3, 3), 1)
    nn.save(tmp_path / "x.safetensors", net)
    again = nn.load(tmp_path / "x.safetensors")
    assert [array.shape for array in again.parameters()[0]] == [array.shape for array in net.parameters()[0]]
    x = rng.standard_normal((2, 5, 5))
    np.testing.assert_array_equal(again.forward(x), net.forward(x))
