"""Tables and printed trees: what modules are made of."""

import io
import re
import time

import numpy as np
import pytest
from samples import mlp

import pynngraph as nn
from pynngraph import errors
from pynngraph.graph.summary import Memory
from pynngraph.text import bytes_text, printable, shapes_text


def of(module, input=None):
    """The summary of a module, without printing."""
    return nn.summary(module, input, file=io.StringIO())


def by_place(table):
    return {row.place: row for row in table.rows}


def placed(text):
    """A text without the line of this file that it names."""
    return re.sub(r"test_summary\.py:\d+", "test_summary.py:1", text)


def network():
    """A graph with a name, a container, a graph inside, a split, a nest, parameters and a shared module."""
    a, b = nn.Identity()().annotate(name="a"), nn.Identity()()
    shared = nn.Linear(3, 4)
    y = nn.Identity()()
    inner = nn.gModule([y], [nn.MulConstant(2)(nn.Linear(4, 4)(y))])
    both = nn.CAddTable()([shared(a), shared(b), nn.Parameters(1, 4)()])
    fork = nn.Sequential(nn.Linear(4, 5), nn.ConcatTable(nn.Tanh(), nn.Sigmoid()))
    left, right = fork(inner(both)).split(2)
    return nn.gModule([a, b], [nn.nest([left, [right]])])


X = [np.ones((1, 3)), np.ones((1, 3))]


# ---- the table ----------------------------------------------------------------------------------

TABLE = """\
nn.gModule at test_summary.py:1 of 8 nodes, float64: 2x4 -> [2x1, 2x4]
---------------------------------------------------------------------------------------------------------------------
place  name    module                         from     input            output      parameters  multiply-adds  memory
---------------------------------------------------------------------------------------------------------------------
0      pixels  Identity                       input    2x4              2x4                                      64 B
1              Linear(4 -> 3)                 0        2x4              2x3                15              24    48 B
2              AddConstant(1)                 0        2x4              2x4                                      64 B
3              Linear(4 -> 3)                 2        2x4              2x3                15*             24    48 B
4              Parameters(2, 3)                        []               2x3                 6
5              CAddTable                      1, 3, 4  [2x3, 2x3, 2x3]  2x3                                      48 B
6              Sequential of 2 modules        5        2x3              2x1                 3               6    16 B
6.0              Linear(3 -> 1) without bias           2x3              2x1                 3               6    16 B
6.1              Tanh                                  2x1              2x1                                      16 B
7              nest                           6, 0     [2x1, 2x4]       [2x1, 2x4]
---------------------------------------------------------------------------------------------------------------------
total                                                                                      24              54   304 B
memory: parameters 192 B, their gradients 192 B, outputs 304 B, the engine's arena for training ARENA
* parameters that a row above has too: counted once"""

TABLE_WITHOUT_SHAPES = """\
nn.gModule at test_summary.py:1 of 8 nodes, float64
-----------------------------------------------------------------
place  name    module                         from     parameters
-----------------------------------------------------------------
0      pixels  Identity                       input
1              Linear(4 -> 3)                 0               15
2              AddConstant(1)                 0
3              Linear(4 -> 3)                 2               15*
4              Parameters(2, 3)                                6
5              CAddTable                      1, 3, 4
6              Sequential of 2 modules        5                3
6.0              Linear(3 -> 1) without bias                   3
6.1              Tanh
7              nest                           6, 0
-----------------------------------------------------------------
total                                                         24
memory: parameters 192 B, their gradients 192 B
* parameters that a row above has too: counted once"""


def table_graph():
    x = nn.Identity()().annotate(name="pixels")
    hidden = nn.Linear(4, 3)
    sum_ = nn.CAddTable()([hidden(x), hidden(nn.AddConstant(1)(x)), nn.Parameters(2, 3)()])
    return nn.gModule([x], [nn.nest([nn.Sequential(nn.Linear(3, 1, False), nn.Tanh())(sum_), x])])


def test_D4_the_table_of_a_small_graph(capsys):
    g = table_graph()
    table = nn.summary(g, np.ones((2, 4)))
    assert capsys.readouterr().out == f"{table}\n"
    assert placed(str(table)) == TABLE.replace("ARENA", bytes_text(table.memory.arena))


def test_D4_printing_a_graph_tells_what_is_known():
    g = table_graph()
    assert placed(str(g)) == TABLE_WITHOUT_SHAPES
    g.forward(np.ones((2, 4)))
    assert placed(str(g)) == TABLE.replace("ARENA", bytes_text(of(g).memory.arena))
    assert placed(repr(g)) == "nn.gModule at test_summary.py:1 of 8 nodes"
    assert placed(repr(of(g))) == (
        "<Summary of nn.gModule at test_summary.py:1 of 8 nodes, float64: 2x4 -> [2x1, 2x4]: 10 rows, 24 parameters>"
    )


def test_D4_numbers_are_those_of_hand_computation():
    g = network()
    table = of(g, X)
    rows = by_place(table)
    assert list(rows) == ["0", "1", "2", "3", "4", "5", "6", "6.0", "6.1", "6.2", "7", "7.0", "7.1", "7.1.0", "7.1.1",
                          "8", "9", "10"]  # fmt: skip
    assert table.multiply_adds == 2 * 3 * 4 + 4 * 4 + 4 * 5
    assert table.parameters == (3 * 4 + 4) + 4 + (4 * 4 + 4) + (4 * 5 + 5) == g.getParameters()[0].size
    # Each array once: two copies of the input, two products, the sum, three of the inner graph, three of the fork.
    made = 2 * 3 + 2 * 4 + 4 + 3 * 4 + 3 * 5
    size = 8 * table.parameters
    assert table.memory == Memory(size, size, 8 * made, g._execution.prepared(X).plan.arena_size)
    assert rows["0"].name == "a"
    assert rows["3"].shared == rows["3"].parameters == rows["1"].parameters == 16
    assert rows["1"].shared == 0
    assert rows["5"].sources == ("1", "3", "4")
    assert rows["0"].sources == ("input 0",)
    assert rows["6"].module == "gModule at " + rows["6"].module[11:]
    assert (rows["6"].depth, rows["6.1"].depth, rows["7.1.1"].depth) == (0, 1, 2)
    assert (rows["6"].parameters, rows["6"].multiply_adds, rows["6"].memory) == (20, 16, 32)
    assert (rows["6.1"].parameters, rows["6.1"].multiply_adds, rows["6.2"].multiply_adds) == (20, 16, 0)
    assert (rows["7"].output, rows["7"].memory, rows["7.1.1"].memory) == ([(1, 5), (1, 5)], 80, 40)
    assert rows["10"].output == [(1, 5), [(1, 5)]]
    assert [rows[place].memory for place in ("4", "8", "9", "10")] == [0, 0, 0, 0]  # they pass on what is there


def test_memory_is_that_of_the_dtype():
    table = of(mlp().float(), np.ones((2, 3), np.float32))
    assert table.memory[:3] == (4 * 26, 4 * 26, 4 * 2 * (4 + 4 + 2))
    assert "float32" in table.title


def test_indices_are_inputs_too():
    table = of(nn.ClassNLLCriterion(), [np.ones((2, 3)), np.array([0, 1])])
    assert table.rows[0].input == [(2, 3), (2,)]
    assert (table.rows[0].output, table.memory.outputs) == ((1,), 8)


def test_a_container_has_its_modules_as_rows_and_a_module_itself():
    assert [row.module for row in of(mlp(), np.ones(3)).rows] == ["Linear(3 -> 4)", "Tanh", "Linear(4 -> 2)"]
    (row,) = of(nn.Linear(3, 2), np.ones((5, 3))).rows
    assert (row.place, row.input, row.output, row.multiply_adds) == ("", (5, 3), (5, 2), 30)
    (row,) = of(nn.Sequential(), np.ones(2)).rows
    assert (row.module, row.output, row.memory) == ("Sequential of 0 modules", (2,), 0)


def test_parameters_that_clones_share_count_once():
    first = nn.Linear(2, 3)
    both = nn.Sequential(first, nn.Linear(3, 2), first.clone("weight", "bias", "gradWeight", "gradBias"))
    own_gradients = first.clone("weight", "bias")
    assert of(both).parameters == 9 + 8
    table = of(nn.ParallelTable(first, own_gradients))
    assert (table.parameters, table.rows[1].shared) == (9, 9)
    assert (table.memory.parameters, table.memory.gradients) == (72, 144)
    tied = nn.Linear(2, 3)
    tied.share(first, "weight")
    assert of(nn.ParallelTable(first, tied)).rows[1][7:9] == (9, 6)


def test_a_module_that_is_twice_in_a_container_has_two_places():
    twice = nn.Tanh()
    assert list(by_place(of(nn.Sequential(twice, nn.Exp(), twice), np.ones(2)))) == ["0", "1", "2"]


def test_a_module_that_runs_more_often_than_it_is_there_has_a_row_for_each_time():
    class Again(nn.Container):
        def lower(self, b, input):
            return b.lower(self.modules[0], b.lower(self.modules[0], input))

    table = of(Again(nn.Linear(2, 2), nn.Tanh()), np.ones(2))
    assert [(row.place, row.output, row.shared) for row in table.rows] == [
        ("0", (2,), 0), ("0", (2,), 6), ("1", None, 0),
    ]  # fmt: skip
    assert (table.parameters, table.multiply_adds) == (6, 8)


# ---- what is known --------------------------------------------------------------------


def test_without_an_input_shapes_are_those_of_the_last_forward():
    net = mlp()
    assert of(net).memory == Memory(208, 208, None, None)
    assert of(net).multiply_adds is None
    assert [row.output for row in of(net).rows] == [None] * 3
    net.forward(np.ones((5, 3)))
    assert [row.output for row in of(net.evaluate()).rows] == [(5, 4), (5, 4), (5, 2)]
    assert str(of(net)) == str(of(net, np.ones((5, 3))))


@pytest.mark.parametrize(
    "change", [lambda net: net.add(nn.Tanh()), lambda net: net.float(), lambda net: net.clearState()]
)
def test_the_last_forward_of_another_structure_or_dtype_tells_nothing(change):
    net = mlp()
    net.forward(np.ones((5, 3)))
    change(net)
    assert not any(row.output for row in of(net).rows)


def test_a_watched_forward_tells_the_same():
    g = network()
    plain = of(g, X)
    g.keep()
    g.forward(X)
    watched = of(g)
    assert watched.rows == plain.rows
    assert watched.memory[:3] == plain.memory[:3]


def test_a_wrong_input_is_an_error_as_in_forward():
    net = mlp()
    with pytest.raises(errors.ShapeError, match="Linear"):
        of(net, np.ones((5, 4)))
    with pytest.raises(errors.DTypeError, match="float64"):
        of(net, np.ones((5, 3), np.float32))


# ---- nothing is disturbed -------------------------------------------------------------


def test_a_summary_leaves_the_last_call_its_results_and_random_numbers():
    net = nn.Sequential(nn.Linear(3, 4), nn.Dropout(0.5), nn.Linear(4, 2))
    net.maxPlans = 1
    x, gradient = np.ones((2, 3)), np.ones((2, 2))

    def run(between):
        nn.manualSeed(3)
        output = net.forward(x)
        held = np.array(output)
        net.zeroGradParameters()
        between()
        assert np.array_equal(output, held)
        assert net.output is output
        grad_input = np.array(net.backward(x, gradient))
        return [held, grad_input, *map(np.array, net.parameters()[1]), np.array(net.forward(x))]

    expected = run(lambda: None)
    call = net._execution.last_call()
    got = run(lambda: of(net, np.ones((7, 3))))
    assert net._execution.last_call().ready is call.ready
    assert all(map(np.array_equal, got, expected))


def test_a_summary_of_a_new_module_leaves_it_as_new():
    net = mlp()
    of(net, np.ones(3))
    assert net.output is None
    assert net.modules[0].output is None
    with pytest.raises(errors.StateError, match="before forward"):
        net.backward(np.ones(3), np.ones(2))


class Noted(nn.Module):
    """Twice the input, by Python; it counts how often it runs."""

    runs = 0

    def updateOutput(self, input):
        self.runs += 1
        return 2 * input

    def updateGradInput(self, input, gradOutput):
        return 2 * gradOutput


def test_modules_in_python_run_once_and_their_work_is_not_known():
    noted = Noted()
    net = nn.Sequential(nn.Linear(3, 4), nn.Dropout(), noted, nn.Linear(4, 2))
    x = np.ones((2, 3))
    nn.manualSeed(5)
    output = net.forward(x)
    grad_input = np.array(net.backward(x, np.ones((2, 2))))
    nn.manualSeed(5)
    net.forward(x)
    runs = noted.runs
    table = of(net, np.ones((4, 3)))
    assert noted.runs == runs + 1
    assert [row.output for row in table.rows] == [(4, 4), (4, 4), (4, 4), (4, 2)]
    assert [row.multiply_adds for row in table.rows] == [48, 0, None, 32]
    assert "without those of modules written in Python" in str(table)
    assert np.array_equal(net.backward(x, np.ones((2, 2))), grad_input)
    nn.manualSeed(5)
    assert np.array_equal(net.forward(x), output)


def test_nobody_who_looks_on_is_told_of_a_summary():
    x = nn.Identity()()
    hidden = nn.Tanh()(x)
    g = nn.gModule([x], [Noted()(hidden)]).keep()
    told = []
    hidden.onForward(lambda *arguments: told.append(arguments[-1].shape))
    g.forward(np.ones(2))
    of(g, np.ones(3))
    assert told == [(2,)]
    assert hidden.output.shape == (2,)


def test_random_numbers_go_on_after_a_summary_that_ran_something():
    net = nn.Sequential(nn.Dropout(), Noted())
    nn.manualSeed(5)
    expected = nn.Linear(2, 2).weight
    nn.manualSeed(5)
    of(net, np.ones(2))
    assert np.array_equal(nn.Linear(2, 2).weight, expected)


def test_what_modules_keep_of_their_runs_is_as_before():
    class Counted(Noted):
        def __init__(self):
            self.add_cell("count", np.zeros(1), has_grad=False)

        def updateOutput(self, input):
            self._buffers["count"].data[0] += 1
            return super().updateOutput(input)

    net = nn.Sequential(Counted())
    net.forward(np.ones(2))
    of(net, np.ones(3))
    assert net.modules[0].runs == 2
    assert net.modules[0]._buffers["count"].data == 1


def test_containers_in_python_show_what_is_in_them():
    class Mine(nn.Sequential):
        def updateOutput(self, input):
            return self.modules[0].updateOutput(input)

    table = of(nn.Sequential(Mine(nn.Linear(3, 2), nn.Tanh())), np.ones((2, 3)))
    assert [(row.place, row.output, row.parameters) for row in table.rows] == [
        ("0", (2, 2), 8), ("0.0", None, 8), ("0.1", None, 0),
    ]  # fmt: skip
    assert table.parameters == 8


def test_a_summary_while_the_module_runs_is_an_error():
    class Curious(Noted):
        def updateOutput(self, input):
            of(net, input)
            return input

    net = nn.Sequential(Curious())
    with pytest.raises(errors.StateError, match="running already"):
        net.forward(np.ones(2))


# ---- text -----------------------------------------------------------------------------


def test_long_tables_are_shortened_and_their_numbers_are_whole():
    net = nn.Sequential(*[nn.Linear(1, 1) for _ in range(1000)])
    table = of(net, np.ones(1))
    lines = str(table).splitlines()
    assert lines[103].startswith("99 ")
    assert lines[104] == "... 800 more"
    assert lines[105].startswith("900 ")
    assert len(lines) == 4 + 201 + 2 + 1
    assert "2,000" in lines[-2]
    assert len(table.text(most=2000).splitlines()) == 4 + 1000 + 2 + 1
    assert [line.split()[0] for line in table.text(most=3).splitlines()[4:8]] == ["0", "...", "998", "999"]


def test_D4_a_graph_of_100000_nodes_is_printed_soon():
    x = node = nn.Identity()()
    for _ in range(99_999):
        node = nn.Tanh()(node)
    g = nn.gModule([x], [node])
    start = time.perf_counter()
    text = str(g)
    assert time.perf_counter() - start < 30  # a second on an idle machine
    assert "... 99,800 more" in text
    assert re.search(r"^99999 +Tanh +99998$", text, re.MULTILINE)


def test_wide_tables_are_cut_to_their_width():
    x = nn.Identity()().annotate(name="a name " * 20, description="not shown")
    g = nn.gModule([x], [nn.CAddTable()([x] * 50), nn.Reshape(*[1] * 7)(x)])
    table = of(g, np.ones(1))
    for width in (120, 100):
        assert max(map(len, table.text(width=width).splitlines()[1:-1])) == width
    assert "a name a na..." in str(table)
    assert "0, 0, 0, ... 47 more" in table.text(width=400)
    assert "[1, 1, 1, ... 47 more]" in table.text(width=400)
    assert len(table.text(width=10).splitlines()) == len(str(table).splitlines())


def test_names_are_on_one_line():
    x = nn.Identity()().annotate(name="two\nlines\tand \x1b[31mred")
    assert r"two lines\tand \x1b[31mred" in str(nn.gModule([x], [nn.Tanh()(x)]))
    assert printable("a\r\nb\ud800") == "a\nb\\ud800"


@pytest.mark.parametrize(
    ("shapes", "text"),
    [((), "scalar"), ((3,), "3"), ((3, 0), "3x0"), ([], "[]"), ([(2, 3), [()]], "[2x3, [scalar]]"),
     (((2,), (3,)), "(2, 3)"), ([(1,)] * 4, "[1, 1, 1, 1]"), ([(1,)] * 5, "[1, 1, 1, ... 2 more]")],
)  # fmt: skip
def test_shapes_are_written_as_they_are_nested(shapes, text):
    assert shapes_text(shapes) == text


@pytest.mark.parametrize(
    ("size", "text"), [(1, "8 B"), (127, "1016 B"), (128, "1.0 KiB"), (131_071, "1.0 MiB"), (200_000, "1.5 MiB")]
)
def test_memory_is_written_in_units(size, text):
    assert f"outputs {text}," in str(of(nn.Tanh(), np.ones(size)))


# ---- trees ----------------------------------------------------------------------------


def test_containers_print_as_torch7_prints_them():
    x = nn.Identity()()
    g = nn.gModule([x], [nn.Tanh()(x)])
    net = nn.Sequential(
        nn.Linear(10, 5),
        nn.ConcatTable(nn.Sequential(nn.Tanh(), nn.ParallelTable(nn.Exp())), g, nn.Sequential(nn.Log())),
    )
    assert placed(repr(net)) == placed(str(net))
    assert (
        placed(str(net))
        == """\
nn.Sequential {
  [input -> (0) -> (1) -> output]
  (0): nn.Linear(10 -> 5)
  (1): nn.ConcatTable {
    input
      |`-> (0): nn.Sequential {
      |      [input -> (0) -> (1) -> output]
      |      (0): nn.Tanh
      |      (1): nn.ParallelTable {
      |        input
      |           `-> (0): nn.Exp
      |           ... -> output
      |      }
      |    }
      |`-> (1): nn.gModule at test_summary.py:1 of 2 nodes
       `-> (2): nn.Sequential {
             [input -> (0) -> output]
             (0): nn.Log
           }
       ... -> output
  }
}"""
    )


def test_other_containers_print_their_modules():
    class Mine(nn.Container):
        pass

    assert repr(Mine(nn.Tanh())) == "nn.Mine {\n  (0): nn.Tanh\n}"
    assert repr(Mine()) == "nn.Mine {\n}"
    assert Mine(nn.Tanh()).label() == "Mine of 1 module"


def test_long_containers_are_printed_shortened():
    net = nn.Sequential(*[nn.Tanh()] * 1000)
    lines = repr(net).splitlines()
    assert "(99) -> ... -> (900)" in lines[1]
    assert lines[102] == "  ... 800 more"
    assert lines[103] == "  (900): nn.Tanh"
    fork = repr(nn.ConcatTable(*net.modules)).splitlines()
    assert fork[102] == "    |`-> ... 800 more"
    assert fork[-3] == "     `-> (999): nn.Tanh"
