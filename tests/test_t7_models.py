"""Torch7's models here, and ours in Torch7's files."""

import inspect
import json
import re

import numpy as np
import pytest
from golden_cases import DEEP, GOLDEN, Case, supported, tolerance
from module_cases import CRITERIONS, MODULES
from op_cases import draw
from tolerances import assert_trees_close
from trees import as_lists, tree_map

import pynngraph as nn
from pynngraph.errors import DTypeError, FileFormatError, GraphError
from pynngraph.io import t7_reader, torch_classes, torch_saver
from pynngraph.io.inert import Inert, inert_modules
from pynngraph.io.t7 import Function, Record, Storage, Table, Tensor
from pynngraph.io.torch_loader import Loader
from pynngraph.io.torch_saver import Saver

T7 = GOLDEN / "t7"
# At least so many of the models have all their modules here: none may drop out silently.
LEAST = 22


def cases():
    with np.load(T7 / "answers.npz") as file:
        arrays = {}
        for key in file.files:
            name, _, path = key.partition("/")
            arrays.setdefault(name, {})[path] = file[key] if path else None
        return [Case(spec, arrays[spec["name"]]) for spec in json.loads(str(file["__specs__"]))]


CASES = cases()
RUNNING = [case for case in CASES if supported(case.spec)]
by_case = pytest.mark.parametrize("case", RUNNING, ids=[case.name for case in RUNNING])


def through(value, path, **options):
    nn.save(path, value, **options)
    return nn.load(path)


def check(module, case):
    output = module.forward(case.input("evalInput", case.spec["passes"][0]))
    kind = max(tolerance(case.spec), DEEP, key=lambda c: c.float64)
    expected = tree_map(lambda leaf, like: leaf.reshape(like.shape), case.get("evalOutput"), output)
    assert_trees_close(as_lists(output), as_lists(expected), kind, case.name)


# ---- genuine models ------------------------------------------------------------------------------


def test_no_genuine_model_drops_out():
    assert len(RUNNING) >= LEAST


@by_case
def test_a_model_of_torch7_answers_as_there(case):
    module = nn.load(T7 / f"{case.name}.t7")
    assert not inert_modules(module)
    assert all(inner.train is False for inner in module.listModules() if not isinstance(inner, nn.Criterion))
    check(module, case)


@by_case
def test_a_model_of_torch7_has_its_parameters(case):
    module = nn.load(T7 / f"{case.name}.t7")
    if case.spec["save"] == "full":
        expected = case.arrays_at("params")
        for got, wanted in zip(module.parameters()[0], expected, strict=True):
            np.testing.assert_array_equal(got, wanted)
    assert all(not grad.any() for grad in module.parameters()[1])


@by_case
def test_a_model_of_torch7_survives_being_saved_again(case, tmp_path):
    module = nn.load(T7 / f"{case.name}.t7")
    again = through(module, tmp_path / "again.t7")
    check(again, case)
    assert [type(inner) for inner in again.listModules()] == [type(inner) for inner in module.listModules()]
    for got, wanted in zip(again.parameters()[0], module.parameters()[0], strict=True):
        np.testing.assert_array_equal(got, wanted)


def records(value):
    """All objects of classes in a file."""
    waiting, seen, found = [value], set(), []
    while waiting:
        one = waiting.pop()
        if id(one) in seen:
            continue
        seen.add(id(one))
        if isinstance(one, Table):
            waiting.extend(part for pair in one.pairs for part in pair)
        elif isinstance(one, Record):
            found.append(one)
            waiting.append(one.fields)
    return found


# What Torch7 adds while it runs, and makes anew if it is not there.
MADE_BY_RUNS = {
    "addBuffer",
    "copiedInput",
    "iheight",
    "iwidth",
    "output_tensor",
    "input",
    "gradOutput",
    "gradOutputBuffer",
}


@by_case
def test_what_is_written_has_the_fields_that_torch7_wrote(case):
    original = t7_reader.parse((T7 / f"{case.name}.t7").read_bytes())
    ours = Saver().value(Loader(1 << 20).load(original))
    wanted = {}
    for record in records(original):
        names = {key for key, value in record.fields.pairs if isinstance(key, str) and value is not None}
        wanted[record.name] = wanted.setdefault(record.name, names) & names
    written = records(ours)
    assert {record.name for record in written} == set(wanted)
    for record in written:
        fields = record.fields.as_dict()
        missing = wanted[record.name] - set(fields) - MADE_BY_RUNS
        assert not missing, f"{record.name} lacks {missing}"


@by_case
def test_a_graph_is_written_as_nngraph_links_it(case):
    """Every data numbers its sources both ways; nodes lead forward and backward; orders are topological."""
    original = t7_reader.parse((T7 / f"{case.name}.t7").read_bytes())
    graph = Saver().value(Loader(1 << 20).load(original))
    for value in (original, graph):
        if value.name != "nn.gModule":
            return
        fields = value.fields.as_dict()
        place = {id(node.fields.get("data")): k for k, node in enumerate(fields["forwardnodes"].entries())}
        back = {id(node.fields.get("data")): k for k, node in enumerate(fields["backwardnodes"].entries())}
        assert len(place) == len(back)
        for nodes, order, sign in (("forwardnodes", place, 1), ("backwardnodes", back, -1)):
            for node in fields[nodes].entries():
                data = node.fields.get("data")
                index = {id(k): v for k, v in data.get("mapindex").pairs if isinstance(k, Table)}
                sources = [v for k, v in data.get("mapindex").pairs if isinstance(k, float)]
                assert [index[id(source)] for source in sources] == list(range(1, len(sources) + 1))
                assert all(sign * (order[id(source)] - order[id(data)]) < 0 for source in sources)
        forward, backward = fields["innode"], fields["outnode"]
        assert place[id(forward.fields.get("data"))] == 0
        assert back[id(backward.fields.get("data"))] == 0


# ---- every module --------------------------------------------------------------------------------

BASES = {"Module", "Container", "Criterion"}
by_row = pytest.mark.parametrize("row", MODULES, ids=[row.name for row in MODULES])


def equal(a, b):
    return nesting_equal(a, b) and all(
        np.array_equal(x, y, equal_nan=True) for x, y in zip(leaves(a), leaves(b), strict=True)
    )


def forward(module, input):
    """Forward with the same random numbers each time."""
    nn.manualSeed(1)
    return module.forward(input)


def leaves(value):
    return [leaf for entry in value for leaf in leaves(entry)] if isinstance(value, (list, tuple)) else [value]


def nesting_equal(a, b):
    return as_lists(tree_map(np.shape, a)) == as_lists(tree_map(np.shape, b))


def kinds(module):
    """The classes of all modules; nngraph makes lists of one in a graph by a module, which is not counted."""
    names = [type(inner).__name__ for inner in module.listModules()]
    return [name for name in names if not isinstance(module, nn.gModule) or name != "JustTable"]


@by_row
@pytest.mark.parametrize(("dtype", "ascii"), [("float64", False), ("float32", False), ("float64", True)])
def test_every_module_comes_back(row, dtype, ascii, tmp_path, rng):
    module = row.build().type(dtype).evaluate()
    if any(type(inner).__name__ in torch_saver._NOT_WRITTEN for inner in module.listModules()):
        pytest.skip("what Torch7 has inside of it is not made here")
    again = through(module, tmp_path / "module.t7", ascii=ascii)
    assert kinds(again) == kinds(module)
    assert again.type() == dtype
    x = draw(row.input, rng, dtype)
    if "Fractional" not in row.name:  # which draws its windows, from a seed of its own
        assert equal(forward(again, x), forward(module, x))
    for got, wanted in zip(again.parameters()[0], module.parameters()[0], strict=True):
        np.testing.assert_array_equal(got, wanted)


@pytest.mark.parametrize("row", CRITERIONS, ids=[row.name for row in CRITERIONS])
def test_every_criterion_comes_back(row, tmp_path, rng):
    criterion = row.build()
    again = through(criterion, tmp_path / "criterion.t7")
    x, target = draw(row.input, rng), draw(row.target, rng)
    assert type(again) is type(criterion)
    assert again.forward(x, target) == criterion.forward(x, target)


def test_every_module_has_a_row():
    names = {
        name for name in nn.__all__ if inspect.isclass(getattr(nn, name)) and issubclass(getattr(nn, name), nn.Module)
    }
    missing = (
        names - set(torch_classes.ROWS) - torch_classes.COMPOSITES - {"gModule"} - BASES - torch_saver._NOT_WRITTEN
    )
    assert not missing


@pytest.mark.parametrize("name", [name for name in torch_classes.ROWS if hasattr(nn, name)])
def test_a_row_has_no_more_arguments_than_the_constructor(name):
    cls = getattr(nn, name)
    arguments = torch_classes.arguments(torch_classes.ROWS[name].arguments)
    if not arguments:
        return
    kinds = [parameter.kind for parameter in inspect.signature(cls).parameters.values()]
    assert len(arguments) <= len(kinds) or inspect.Parameter.VAR_POSITIONAL in kinds


# ---- graphs --------------------------------------------------------------------------------------


def odd_graph():
    """What nngraph writes in other ways: lists of one, nested lists, a node twice, a split of one, a shared module."""
    a, b = nn.Identity()().annotate(name="left", description="d", graphAttributes={"color": "red"}), nn.Identity()()
    tanh = nn.Tanh()
    one = nn.JustElement()([tanh(a)])
    (only,) = nn.Identity()([b]).split(1)
    twice = nn.CMulTable()([one, one, only])
    nested = nn.SelectTable(0)(nn.SelectTable(1)([[twice], [a, [b]]]))
    first, second = nn.Identity()([tanh(nested), twice]).split(2)
    return nn.gModule([a, b], [nn.nest([first]), nn.nest([second, [one]]), nn.CAddTable()([nested, tanh(b)])])


def test_graphs_that_nngraph_cannot_build_come_back_with_the_same_answers(tmp_path, rng):
    graph = odd_graph()
    again = through(graph, tmp_path / "graph.t7")
    x = [rng.standard_normal((2, 3)), rng.standard_normal((2, 3))]
    assert equal(again.forward(x), graph.forward(x))
    grad = tree_map(np.ones_like, graph.output)
    assert equal(again.backward(x, grad), graph.backward(x, grad))


def test_names_and_lines_come_back(tmp_path):
    x = nn.Identity()().annotate(name="pixels", description="of a camera", graphAttributes={"color": "red"})
    graph = nn.gModule([x], [nn.Tanh()(x)])
    graph.verbose = False
    again = through(graph, tmp_path / "graph.t7")
    node = again.node("pixels")
    assert node.data.annotations == x.data.annotations
    assert node.place.line == x.place.line
    assert str(node.place) == str(x.place)


def test_a_graph_in_a_graph_comes_back(tmp_path, rng):
    x = nn.Identity()()
    inner = nn.gModule([x], [nn.Tanh()(nn.Linear(3, 3)(x))])
    y = nn.Identity()()
    outer = nn.gModule([y], [nn.CAddTable()([nn.Sequential(inner)(y), y])])
    again = through(outer, tmp_path / "graph.t7")
    x = rng.standard_normal((2, 3))
    assert equal(again.forward(x), outer.forward(x))


def test_a_graph_of_parameters_alone_comes_back(tmp_path):
    graph = nn.gModule([], [nn.Tanh()(nn.Parameters(3)())])
    assert equal(through(graph, tmp_path / "graph.t7").forward([]), graph.forward([]))


def test_a_long_graph_comes_back(tmp_path):
    first = node = nn.Identity()()
    for _ in range(3000):
        node = nn.AddConstant(1)(node)
    again = through(nn.gModule([first], [node]), tmp_path / "graph.t7")
    assert again.forward(np.zeros(1)) == 3000


# ---- parameters ----------------------------------------------------------------------------------


def test_shared_parameters_come_back_shared(tmp_path):
    first = nn.Linear(3, 3)
    tied, own = first.clone("weight", "bias", "gradWeight", "gradBias"), first.clone("weight")
    again = through(nn.Sequential(first, tied, own), tmp_path / "net.t7")
    a, b, c = again.modules
    a.weight[0, 0] = 7
    assert b.weight[0, 0] == c.weight[0, 0] == 7
    assert b.gradWeight is a.gradWeight
    assert c.gradWeight is not a.gradWeight
    a.bias[0] = 5
    assert b.bias[0] == 5 != c.bias[0]


def test_parameters_of_one_vector_come_back(tmp_path):
    net = nn.Sequential(nn.Linear(3, 2), nn.Linear(2, 1))
    flat, _ = net.getParameters()
    np.testing.assert_array_equal(through(net, tmp_path / "net.t7").getParameters()[0], flat)


def test_loading_draws_no_random_numbers(tmp_path):
    nn.save(tmp_path / "net.t7", nn.Sequential(nn.Linear(3, 2), nn.LookupTable(3, 2)))
    nn.manualSeed(1)
    expected = nn.Linear(2, 2).weight.copy()
    nn.manualSeed(1)
    nn.load(tmp_path / "net.t7")
    np.testing.assert_array_equal(nn.Linear(2, 2).weight, expected)


# ---- spellings of others -------------------------------------------------------------------------


def table(**fields):
    return Table(list(fields.items()))


def listed(*values):
    return Table([(float(k), value) for k, value in enumerate(values, 1)])


def tensor(array, kind="Double"):
    array = np.asarray(array, {"Double": "f8"}.get(kind, "f4"))
    strides = tuple(stride // array.itemsize for stride in array.strides)
    return Tensor(f"torch.{kind}Tensor", array.shape, strides, 0, Storage(f"torch.{kind}Storage", array.reshape(-1)))


def loaded(record, **options):
    return Loader(1 << 20, **options).load(record)


def test_a_model_of_a_gpu_computes_in_float32():
    weight = np.arange(6, dtype="f4").reshape(2, 3)
    linear = Record("nn.Linear", 1, table(_type="torch.CudaTensor", train=False, weight=tensor(weight, "Cuda")))
    tanh = Record("cudnn.Tanh", 1, table(_type="torch.CudaTensor", mode="CUDNN_ACTIVATION_TANH", train=False))
    net = loaded(Record("nn.Sequential", 1, table(_type="torch.CudaTensor", modules=listed(linear, tanh))))
    assert net.type() == "float32"
    assert [type(module) for module in net.modules] == [nn.Linear, nn.Tanh]
    np.testing.assert_array_equal(net.get(0).weight, weight)
    assert net.get(0).bias is None


def test_parts_in_two_dtypes_become_one():
    parts = [Record("nn.Mul", 1, table(weight=tensor([2.0], kind))) for kind in ("Double", "Float")]
    net = loaded(Record("nn.Sequential", 1, table(_type="torch.FloatTensor", modules=listed(*parts))))
    assert net.forward(np.ones(2, np.float32)).dtype == np.float32


def test_other_spellings_mean_the_same():
    assert isinstance(loaded(Record("nn.LinearNoBias", 1, table(weight=tensor(np.ones((2, 3)))))), nn.Linear)
    assert isinstance(loaded(Record("nngraph.JustElement", 1, table(train=True))), nn.JustElement)
    criterion = Record("nn.MSECriterion", 1, table(sizeAverage=False))
    assert loaded(Record("nngraph.ModuleFromCriterion", 1, table(criterion=criterion))).criterion.sizeAverage is False


def old_node(data, mapindex):
    """A data of nngraph as it was: inputs by the data that they come from."""
    index = [(float(k), source) for k, source in enumerate(mapindex, 1)]
    index += [(source, float(k)) for k, source in enumerate(mapindex, 1)]
    data.pairs += [("mapindex", Table(index)), ("annotations", Table())]
    return data


def test_a_graph_of_an_older_nngraph_is_read():
    """Inputs are numbered in the data of innode, and the parts of a split hang at the node itself."""
    inner = table(data=Table())
    first, second = (old_node(table(module=Record("nn.Identity", 1, table())), [inner]) for _ in range(2))
    inner.pairs.append(("mapindex", Table([(1.0, second), (2.0, first), (second, 1.0), (first, 2.0)])))
    second.pairs.append(("nSplitOutputs", 2.0))
    part = old_node(table(selectindex=2.0), [second])
    other = old_node(table(selectindex=1.0), [second])
    total = Record("nn.CSubTable", 1, table())
    out = old_node(table(), [old_node(table(module=total), [part, first]), other])
    fields = table(
        innode=Record("nngraph.Node", 1, table(data=inner)), outnode=Record("nngraph.Node", 1, table(data=out))
    )
    graph = loaded(Record("nn.gModule", 1, fields))
    output = graph.forward([[np.full(2, 5.0), np.full(2, 3.0)], np.full(2, 1.0)])
    assert equal(output, [np.full(2, 2.0), np.full(2, 5.0)])


@pytest.mark.parametrize("name", ["innode", "outnode"])
def test_a_graph_without_ends_is_refused(name):
    data = Record("nngraph.Node", 1, table(data=Table()))
    with pytest.raises(FileFormatError, match=r"byte 7: nn\.gModule"):
        loaded(Record("nn.gModule", 1, table(**{name: data}), 7))


def test_a_graph_that_depends_on_itself_is_refused():
    data = table(module=Record("nn.Tanh", 1, table()))
    old_node(data, [data])
    fields = table(
        innode=Record("nngraph.Node", 1, table(data=old_node(Table(), []))),
        outnode=Record("nngraph.Node", 1, table(data=old_node(Table(), [data]))),
    )
    with pytest.raises(FileFormatError, match="depends on itself"):
        loaded(Record("nn.gModule", 1, fields))


# ---- what is not here ----------------------------------------------------------------------------


def strange(**fields):
    return Record("my.Strange", 1, table(gradInput=tensor([1.0]), **fields), 99)


def test_an_unknown_class_is_kept_and_told_when_it_is_run(tmp_path):
    net = loaded(Record("nn.Sequential", 1, table(modules=listed(Record("nn.Tanh", 1, table()), strange(x=1.0)))))
    (inert,) = inert_modules(net)
    assert isinstance(inert, Inert)
    assert inert.className == "my.Strange"
    with pytest.raises(GraphError, match=re.escape("my.Strange in Sequential[1] cannot run: there is no class")):
        net.forward(np.ones(2))
    again = through(net, tmp_path / "net.t7")
    assert inert_modules(again)[0].record.fields.get("x") == 1.0


def test_an_unknown_class_is_told_with_its_node():
    inner = old_node(Table(), [])
    node = old_node(table(module=strange()), [inner])
    node.get("annotations").pairs.append(("name", "odd"))
    ends = {"innode": inner, "outnode": old_node(Table(), [node])}
    graph = loaded(
        Record("nn.gModule", 1, table(**{k: Record("nngraph.Node", 1, table(data=v)) for k, v in ends.items()}))
    )
    with pytest.raises(GraphError, match=r"odd, my\.Strange at .* cannot run"):
        graph.forward(np.ones(2))


def test_a_class_may_be_given(tmp_path):
    made = loaded(strange(factor=3.0), classes={"my.Strange": lambda fields: nn.MulConstant(fields["factor"])})
    assert made.forward(np.ones(1)) == 3


@pytest.mark.parametrize(
    ("record", "message"),
    [
        (Record("nn.Linear", 1, table()), "has no field weight"),
        (Record("nn.Linear", 1, table(weight=tensor([1.0]))), "has no field weight"),
        (Record("nn.Narrow", 1, table(dimension="x", index=1.0)), "has a field dimension that it cannot have"),
        (Record("nn.Linear", 1, table(weight=tensor(np.ones((2, 3))), bias=tensor([1.0]))), "has a bias of sizes"),
        (Record("nn.Sequential", 1, table(modules=1.0)), "has no list of modules"),
        (Record("nn.Sequential", 1, table(modules=listed(1.0))), "is no object of a class"),
        (Record("nn.Sequential", 1, None), "has no list of modules"),
        (Record("nn.Parameters", 1, table(weight=1.0)), "has a field weight"),
        (Record("nn.Threshold", 1, table(threshold="high")), "cannot be made here"),
        (Record("nn.CMul", 1, table(size=Storage("torch.LongStorage", np.array([1 << 40])))), "cannot be made here"),
    ],
)
def test_nonsense_is_refused_with_the_place(record, message):
    record.position = 123
    with pytest.raises(FileFormatError, match=message):
        loaded(record)


def test_a_huge_parameter_is_refused_before_it_is_made():
    size = Storage("torch.LongStorage", np.array([1 << 24]))
    with pytest.raises(FileFormatError, match="more than there can be"):
        loaded(Record("nn.CMul", 1, table(size=size, weight=tensor([1.0]))))


def test_a_parameter_of_stride_zero_is_refused():
    wide = tensor([1.0])
    wide.sizes, wide.strides = (1 << 30, 1 << 30), (0, 0)
    with pytest.raises(FileFormatError, match="cannot"):
        loaded(Record("nn.Linear", 1, table(weight=wide)))


def test_modules_that_hold_themselves_are_refused():
    record = Record("nn.Sequential", 1, table())
    record.fields.pairs.append(("modules", listed(record)))
    with pytest.raises(FileFormatError, match="contains itself"):
        loaded(record)


def test_modules_too_deep_are_refused():
    record = Record("nn.Tanh", 1, table())
    for _ in range(200):
        record = Record("nn.Sequential", 1, table(modules=listed(record)))
    with pytest.raises(FileFormatError, match="deeper"):
        loaded(record)


def test_modules_that_are_small_in_a_file_and_endless_to_run_are_refused():
    record = Record("nn.Tanh", 1, table())
    for _ in range(50):
        record = Record("nn.Sequential", 1, table(modules=listed(record, record)))
    with pytest.raises(FileFormatError, match="stand in one another"):
        loaded(record)


# ---- data ----------------------------------------------------------------------------------------


def test_data_comes_back(tmp_path):
    shared = [1, 2.5, "text", True, {"x": np.arange(3)}]
    value = {
        "list": shared,
        "again": shared,
        "arrays": [np.arange(6.0).reshape(2, 3), np.arange(3, dtype="f4"), np.array([1, 2], "u1"), np.zeros(0)],
        "epoch": 7,
        "tuple": (1, (2, 3)),
        "model": nn.Linear(2, 3),
        "minus": -0.0,
        "big": 2**53,
        "words": {2: "a", 5: "b"},
        "nothing": None,
    }
    again = through(value, tmp_path / "data.t7")
    assert again["again"] is again["list"]
    assert again["list"][:4] == shared[:4]
    assert type(again["epoch"]) is int
    assert type(again["list"][1]) is float
    assert str(again["minus"]) == "-0.0"
    assert again["big"] == 2**53
    assert again["tuple"] == [1, [2, 3]]
    assert again["words"] == {2: "a", 5: "b"}
    assert "nothing" not in again
    assert isinstance(again["model"], nn.Linear)
    for got, wanted in zip(again["arrays"], value["arrays"], strict=True):
        assert got.dtype == wanted.dtype
        np.testing.assert_array_equal(got, wanted)
        assert got.flags.writeable


def test_data_that_holds_itself_comes_back(tmp_path):
    value = [1]
    value.append(value)
    again = through(value, tmp_path / "data.t7")
    assert again[1] is again


def test_tensors_of_one_storage_share_memory():
    base = Storage("torch.DoubleStorage", np.arange(4.0))
    whole, part = (Tensor("torch.DoubleTensor", (n,), (1,), 4 - n, base) for n in (4, 2))
    whole, part = loaded(listed(whole, part))
    part[0] = 9
    assert whole[2] == 9
    assert base.array[2] == 2


def test_functions_and_odd_tables_are_kept_as_they_are():
    odd = Table([(True, 1.0), (1.0, 2.0)])
    function = Function(8, b"code")
    again = loaded(listed(odd, function))
    assert again == [odd, function]


@pytest.mark.parametrize("value", [[None], {1.5j: 1}, object(), np.zeros(2, "c16"), np.zeros(2, "u4")])
def test_what_lua_has_nothing_for_is_refused(value, tmp_path):
    path = tmp_path / "data.t7"
    path.write_bytes(b"old")
    with pytest.raises(DTypeError, match=r"saved as \.t7"):
        nn.save(path, value)
    assert path.read_bytes() == b"old"
    assert [file.name for file in tmp_path.iterdir()] == ["data.t7"]


def test_a_module_of_a_users_own_class_is_refused(tmp_path):
    class Tanh(nn.Tanh):
        pass

    with pytest.raises(GraphError, match=r"Tanh cannot be saved as \.t7"):
        nn.save(tmp_path / "net.t7", nn.Sequential(Tanh()))
    assert not list(tmp_path.iterdir())


def test_ascii_is_text(tmp_path):
    net = nn.Sequential(nn.Linear(2, 2))
    nn.save(tmp_path / "net.t7", net, ascii=True)
    assert (tmp_path / "net.t7").read_bytes().isascii()
    np.testing.assert_array_equal(nn.load(tmp_path / "net.t7").get(0).weight, net.get(0).weight)


def test_large_tensors_come_back(tmp_path):
    net = nn.Sequential(nn.Linear(600, 400), nn.Linear(400, 600).float().double())
    again = through({"net": net, "x": np.arange(1 << 18)}, tmp_path / "net.t7")
    for got, wanted in zip(again["net"].parameters()[0], net.parameters()[0], strict=True):
        np.testing.assert_array_equal(got, wanted)
    np.testing.assert_array_equal(again["x"], np.arange(1 << 18))
