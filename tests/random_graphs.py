"""Random graphs as specs (tests/golden/README.md), drawn by hypothesis.

An array in a graph has rows, as many as the pass has, of some width: a value's type is that width or, for a table,
a list of types; a table whose length may differ from pass to pass is a Bag. Whatever ends up unused becomes an output,
so each graph is a valid one.

Modules that are not in the package, but made by the test, have ``same`` with the node's own id: those in Python, whose
names start with Own, and graphs, ``{"graph": spec}``.
"""

from dataclasses import dataclass

from hypothesis import strategies as st

WIDTHS = (1, 2, 3, 5)
UNARY = (
    ["Tanh"],
    ["Sigmoid"],
    ["ReLU"],
    ["SoftMax"],
    ["LogSoftMax"],
    ["Identity"],
    ["MulConstant", -0.5],
    ["AddConstant", 0.25],
    ["Abs"],
    ["HardTanh", -0.5, 0.75],
    ["LeakyReLU", 0.1],
    ["ELU", 0.5],
    ["SoftPlus", 2.0],
    ["SoftSign"],
)
NARY = ("CAddTable", "CMulTable", "CMaxTable", "CMinTable")
# These have a flag to work in place as their last argument.
IN_PLACE = {"ReLU", "LeakyReLU", "ELU", "HardTanh", "MulConstant", "AddConstant", "CAddTable"}


@dataclass(frozen=True)
class Bag:
    """The type of a table of arrays of one width, as many as the pass has."""

    width: int


@dataclass(frozen=True)
class Classes:
    """The type of an array of a class for each row."""

    count: int


LOSS = "loss"  # the type of what a criterion gives: one number

types = st.recursive(
    st.sampled_from(WIDTHS) | st.sampled_from(WIDTHS).map(Bag),
    lambda inner: st.lists(inner, min_size=1, max_size=3),
    max_leaves=5,
)


def is_leaf(kind):
    return isinstance(kind, int)


def is_bag(kind):
    return isinstance(kind, Bag)


def is_table(kind):
    """Whether a type is that of a table of known length."""
    return isinstance(kind, list)


class Drawing:
    """A graph that grows by one node at a time; `kinds` has the type of each value, by id."""

    def __init__(self, draw, depth=0, *, own=False):
        self.draw = draw
        self.depth = depth  # how many graphs this one is in
        self.has_own = own  # whether there are modules that the test makes itself
        self.nodes, self.kinds = [], {}
        self.inputs = {}  # the type of each input
        self.takes = {}  # the types that the module of a node takes
        self.unused = {}  # ordered like a list, with quick removal

    def choose(self, options):
        return self.draw(st.sampled_from(list(options)))

    def add(self, node, **kinds):
        """Append a node that makes values of these types."""
        self.nodes.append(node)
        self.kinds.update(kinds)
        self.unused.update(dict.fromkeys(kinds))

    def use(self, *names):
        for name in names:
            self.unused.pop(name, None)

    def new_id(self, letter):
        return f"{letter}{len(self.nodes)}"

    def input(self, kind):
        """A new input; classes are for their criterion alone."""
        name = self.new_id("in")
        self.inputs[name] = kind
        self.add({"id": name, "module": ["Identity"]}, **({} if isinstance(kind, Classes) else {name: kind}))
        return name

    def module(self, spec, inputs, kind, *, own=False, same=None):
        """A node of a module; of one that the test makes itself, or of that of an earlier node."""
        self.use(*inputs)
        name = self.new_id("n")
        self.takes[name] = [self.kinds[k] for k in inputs]
        more = {"same": name if own else same} if own or same else {}
        self.add({"id": name, "module": spec, "inputs": inputs, **more}, **{name: kind})

    def in_place(self, spec):
        """A module that may have been told to work in place."""
        return [*spec, True] if spec[0] in IN_PLACE and self.draw(st.booleans()) else list(spec)

    def of_kind(self, wanted):
        return [name for name, kind in self.kinds.items() if wanted(kind)]

    def alike(self, kind):
        return self.of_kind(lambda other: other == kind)

    # Each way to grow gives whether it could.

    def unary(self):
        name = self.choose(self.of_kind(is_leaf) or [None])
        if name is not None:
            self.module(self.in_place(self.choose(UNARY)), [name], self.kinds[name])
        return name is not None

    def linear(self):
        name = self.choose(self.of_kind(is_leaf) or [None])
        if name is not None:
            width, has_bias = self.choose(WIDTHS), self.draw(st.booleans())
            self.module(["Linear", self.kinds[name], width, has_bias], [name], width)
        return name is not None

    def again(self):
        """The module of an earlier node at one more."""
        first = [node for node in self.nodes if node["id"] in self.takes]
        if not first:
            return False
        node = self.choose(first)
        inputs = [self.choose(self.alike(wanted)) for wanted in self.takes[node["id"]]]
        self.module(node["module"], inputs, self.kinds[node["id"]], same=node.get("same", node["id"]))
        return True

    def nary(self):
        width = self.choose(sorted({kind for kind in self.kinds.values() if is_leaf(kind)}) or [None])
        if width is None:
            return False
        alike = self.alike(width)
        is_sub = self.draw(st.booleans())
        count = 2 if is_sub else self.draw(st.integers(2, 4))
        inputs = [self.choose(alike) for _ in range(count)]  # the same node may come twice
        spec = ["CSubTable" if is_sub else self.choose(NARY)]
        self.module(self.in_place(spec), inputs, width)
        return True

    def bag(self):
        """What takes tables of any length."""
        name = self.choose(self.of_kind(is_bag) or [None])
        if name is None:
            return False
        kind = self.kinds[name]
        own = (["OwnBlend"], ["OwnRotate"]) if self.has_own else ()
        what = self.choose((["Identity"], *own, *([n] for n in NARY)))
        gives = kind if what[0] in ("Identity", "OwnRotate") else kind.width
        self.module(self.in_place(what), [name], gives, own=what[0].startswith("Own"))
        return True

    def own(self):
        """A module written in Python, that takes an array or a table."""
        name = self.choose(self.of_kind(is_leaf) or [None])
        if name is None or not self.has_own:
            return False
        width = self.kinds[name]
        what = self.choose(("OwnSine", "OwnScale", "OwnBlend", "OwnRotate"))
        if what in ("OwnSine", "OwnScale"):
            self.module([what, width] if what == "OwnScale" else [what], [name], width, own=True)
        else:
            alike = self.alike(width)
            inputs = [name, *(self.choose(alike) for _ in range(self.draw(st.integers(1, 2))))]
            self.module([what], inputs, width if what == "OwnBlend" else [width] * len(inputs), own=True)
        return True

    def graph(self):
        """A graph as a module."""
        if self.depth == 2 or not self.has_own:
            return False
        names = [self.choose(self.kinds) for _ in range(self.draw(st.integers(1, 2)))]
        spec, kinds, outputs = grown(self.draw, [self.kinds[name] for name in names], 4, self.depth + 1, own=True)
        if any(isinstance(kind, Classes) for kind in kinds):
            return False
        self.module({"graph": spec}, names, outputs[0] if len(outputs) == 1 else outputs, own=True)
        return True

    def criterion(self):
        """How far one array is from another, or from classes that are an input of their own."""
        name = self.choose(self.of_kind(is_leaf) or [None])
        if name is None:
            return False
        width = self.kinds[name]
        with_classes = self.depth == 0 and width > 1 and self.draw(st.booleans())
        target = self.input(Classes(width)) if with_classes else self.choose(self.alike(width))
        self.use(name, target)
        new = self.new_id("c")
        spec = ["CrossEntropyCriterion"] if with_classes else ["MSECriterion"]
        self.add({"id": new, "criterion": spec, "inputs": [name, target]}, **{new: LOSS})
        return True

    def join(self):
        arrays = self.of_kind(is_leaf)
        if not arrays:
            return False
        inputs = [self.choose(arrays) for _ in range(self.draw(st.integers(2, 3)))]
        self.module(["JoinTable", 1], inputs, sum(self.kinds[name] for name in inputs))
        return True

    def narrow(self):
        name = self.choose(self.of_kind(lambda kind: is_leaf(kind) and kind > 1) or [None])
        if name is None:
            return False
        length = self.draw(st.integers(1, self.kinds[name] - 1))
        offset = self.draw(st.integers(0, self.kinds[name] - length))
        self.module(["Narrow", 1, offset, length], [name], length)
        return True

    def split(self):
        name = self.choose(self.of_kind(lambda kind: is_table(kind) and len(kind) > 1) or [None])
        if name is None:
            return False
        kind = self.kinds[name]
        self.use(name)
        new = self.new_id("s")
        self.add({"id": new, "of": name, "split": len(kind)}, **{f"{new}.{k}": part for k, part in enumerate(kind)})
        return True

    def select(self):
        """One entry of a table; the others may go nowhere."""
        name = self.choose(self.of_kind(is_table) or [None])
        if name is None:
            return False
        kind = self.kinds[name]
        place = self.draw(st.integers(-len(kind), len(kind) - 1))
        self.module(["SelectTable", place], [name], kind[place])
        return True

    def drop(self):
        """One node of two: the other counts for nothing here."""
        names = [self.choose(self.kinds) for _ in range(2)]
        self.module(["SelectTable", 0], names, self.kinds[names[0]])
        return True

    def nest(self):
        names = st.sampled_from(list(self.kinds))
        tree = self.draw(st.lists(names | st.lists(names, min_size=1, max_size=2), min_size=1, max_size=3))
        flat = [name for entry in tree for name in (entry if isinstance(entry, list) else [entry])]
        self.use(*flat)
        kind = [[self.kinds[n] for n in entry] if isinstance(entry, list) else self.kinds[entry] for entry in tree]
        new = self.new_id("t")
        self.add({"id": new, "nest": tree}, **{new: kind})
        return True

    def container(self):
        name = self.choose(self.of_kind(lambda kind: kind != LOSS) or [None])
        if name is None:
            return False
        spec, kind = self.for_kind(self.kinds[name])
        self.module(spec, [name], kind)
        return True

    def for_kind(self, kind):
        """A container that takes values of a type, and the type that it gives."""
        if is_leaf(kind):
            width = self.choose(WIDTHS)
            deep = {"nn": "Sequential", "children": [["Tanh"], ["Linear", kind, width]]}
            return {"nn": "ConcatTable", "children": [["Linear", kind, width], deep, ["Identity"]]}, [
                width,
                width,
                kind,
            ]
        if is_bag(kind):
            return {"nn": "ConcatTable", "children": [["Identity"], ["CAddTable"]]}, [kind, kind.width]
        children = [
            ["Identity"] if not is_leaf(part) else self.choose((["Tanh"], ["Linear", part, 2])) for part in kind
        ]
        kinds = [2 if child[0] == "Linear" else part for child, part in zip(children, kind, strict=True)]
        parallel = {"nn": "ParallelTable", "children": children}
        return {
            "nn": "Sequential",
            "children": [parallel, {"nn": "ConcatTable", "children": [["Identity"], ["SelectTable", 0]]}],
        }, [kinds, kinds[0]]

    # Those that are not always possible stand before those that take over from them.
    GROW = (narrow, unary, again, own, split, linear, select, graph, bag, nary, join, criterion, drop, nest, container)

    def grow(self):
        """One node more."""
        first = self.draw(st.integers(0, len(self.GROW) - 1))
        any(way(self) for way in self.GROW[first:] + self.GROW[:first])


def grown(draw, kinds, max_nodes, depth=0, *, own=False):
    """A graph's spec, the types of its inputs, the first ones being `kinds`, and those of its outputs."""
    drawing = Drawing(draw, depth, own=own)
    for kind in kinds:
        drawing.input(kind)
    for _ in range(draw(st.integers(1, max_nodes))):
        drawing.grow()
    outputs = list(drawing.unused)
    outputs += draw(st.lists(st.sampled_from(list(drawing.kinds)), min_size=0 if outputs else 1, max_size=2))
    spec = {"nodes": drawing.nodes, "inputs": list(drawing.inputs), "outputs": outputs}
    return spec, list(drawing.inputs.values()), [drawing.kinds[name] for name in outputs]


@st.composite
def graphs(draw, max_nodes=15, *, own=False):
    """A graph's spec and the types of its inputs; `own` allows modules that the test makes itself."""
    return grown(draw, draw(st.lists(types, min_size=1, max_size=3)), max_nodes, own=own)[:2]


@st.composite
def containers(draw, kinds):
    """Container types for tables of these types: nested, True for a tuple, with a list of the entries'."""
    if not is_table(kinds):
        return draw(st.booleans()) if is_bag(kinds) else None
    return draw(st.booleans()), [draw(containers(kind)) for kind in kinds]


def arrays(kind, rows, rng, tables=None):
    """Normal numbers for a type, in tables of the container types that `containers` gave."""
    if is_leaf(kind):
        return rng.standard_normal((rows, kind))
    if isinstance(kind, Classes):
        return rng.integers(kind.count, size=rows)
    if is_bag(kind):
        entries = [rng.standard_normal((rows, kind.width)) for _ in range(rng.integers(1, 4))]
        return tuple(entries) if tables else entries
    is_tuple, inner = tables or (False, [None] * len(kind))
    entries = [arrays(part, rows, rng, t) for part, t in zip(kind, inner, strict=True)]
    return tuple(entries) if is_tuple else entries
