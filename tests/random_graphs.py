"""Random graphs as specs (tests/golden/README.md), drawn by hypothesis.

An array in a graph has rows, as many as the pass has, of some width: a value's type is that width or, for a table,
a list of types. Whatever ends up unused becomes an output, so each graph is a valid one.
"""

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

types = st.recursive(st.sampled_from(WIDTHS), lambda inner: st.lists(inner, min_size=1, max_size=3), max_leaves=5)


def is_leaf(kind):
    return isinstance(kind, int)


class Drawing:
    """A graph that grows by one node at a time; `kinds` has the type of each value, by id."""

    def __init__(self, draw):
        self.draw = draw
        self.nodes, self.kinds = [], {}
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

    def module(self, spec, inputs, kind, **more):
        self.use(*inputs)
        name = self.new_id("n")
        self.add({"id": name, "module": spec, "inputs": inputs, **more}, **{name: kind})

    def of_kind(self, wanted):
        return [name for name, kind in self.kinds.items() if wanted(kind)]

    # Each way to grow gives whether it could.

    def unary(self):
        name = self.choose(self.of_kind(is_leaf) or [None])
        if name is not None:
            self.module(list(self.choose(UNARY)), [name], self.kinds[name])
        return name is not None

    def linear(self):
        name = self.choose(self.of_kind(is_leaf) or [None])
        if name is not None:
            width, has_bias = self.choose(WIDTHS), self.draw(st.booleans())
            self.module(["Linear", self.kinds[name], width, has_bias], [name], width)
        return name is not None

    def shared(self):
        """One module at a second node."""
        first = [n for n in self.nodes if isinstance(n.get("module"), list) and n["module"][0] == "Linear"]
        if not first:
            return False
        node = self.choose(first)
        name = self.choose(self.of_kind(lambda kind: kind == node["module"][1]))
        self.use(name)
        new = self.new_id("n")
        same = node.get("same", node["id"])
        self.add({"id": new, "same": same, "module": node["module"], "inputs": [name]}, **{new: node["module"][2]})
        return True

    def nary(self):
        width = self.choose(sorted({kind for kind in self.kinds.values() if is_leaf(kind)}) or [None])
        if width is None:
            return False
        alike = self.of_kind(lambda kind: kind == width)
        is_sub = self.draw(st.booleans())
        count = 2 if is_sub else self.draw(st.integers(2, 4))
        inputs = [self.choose(alike) for _ in range(count)]  # the same node may come twice
        self.module(["CSubTable" if is_sub else self.choose(NARY)], inputs, width)
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
        name = self.choose(self.of_kind(lambda kind: not is_leaf(kind) and len(kind) > 1) or [None])
        if name is None:
            return False
        kind = self.kinds[name]
        self.use(name)
        new = self.new_id("s")
        self.add({"id": new, "of": name, "split": len(kind)}, **{f"{new}.{k}": part for k, part in enumerate(kind)})
        return True

    def select(self):
        """One entry of a table; the others may go nowhere."""
        name = self.choose(self.of_kind(lambda kind: not is_leaf(kind)) or [None])
        if name is None:
            return False
        kind = self.kinds[name]
        place = self.draw(st.integers(-len(kind), len(kind) - 1))
        self.module(["SelectTable", place], [name], kind[place])
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
        name = self.choose(self.kinds)
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
        children = [
            ["Identity"] if not is_leaf(part) else self.choose((["Tanh"], ["Linear", part, 2])) for part in kind
        ]
        kinds = [2 if child[0] == "Linear" else part for child, part in zip(children, kind, strict=True)]
        parallel = {"nn": "ParallelTable", "children": children}
        return {
            "nn": "Sequential",
            "children": [parallel, {"nn": "ConcatTable", "children": [["Identity"], ["SelectTable", 0]]}],
        }, [kinds, kinds[0]]

    GROW = (unary, linear, shared, nary, join, narrow, split, select, nest, container)


@st.composite
def graphs(draw, max_nodes=12):
    """A graph's spec and the types of its inputs."""
    drawing = Drawing(draw)
    inputs = []
    for kind in draw(st.lists(types, min_size=1, max_size=3)):
        name = drawing.new_id("in")
        inputs.append(name)
        drawing.add({"id": name, "module": ["Identity"]}, **{name: kind})
    for _ in range(draw(st.integers(1, max_nodes))):
        draw(st.sampled_from(Drawing.GROW))(drawing)
    outputs = list(drawing.unused)
    outputs += draw(st.lists(st.sampled_from(list(drawing.kinds)), min_size=0 if outputs else 1, max_size=2))
    spec = {"nodes": drawing.nodes, "inputs": inputs, "outputs": outputs}
    return spec, [drawing.kinds[name] for name in inputs]


@st.composite
def containers(draw, kinds):
    """Container types for tables of these types: nested, True for a tuple, with a list of the entries'."""
    if is_leaf(kinds):
        return None
    return draw(st.booleans()), [draw(containers(kind)) for kind in kinds]


def arrays(kind, rows, rng, tables=None):
    """Normal numbers for a type, in tables of the container types that `containers` gave."""
    if is_leaf(kind):
        return rng.standard_normal((rows, kind))
    is_tuple, inner = tables or (False, [None] * len(kind))
    entries = [arrays(part, rows, rng, t) for part, t in zip(kind, inner, strict=True)]
    return tuple(entries) if is_tuple else entries
