"""A graph of nn modules in NumPy: forward, and backward in reverse. It uses nothing of the package.

It reads the specs of tests/golden/README.md, and is checked against the golden answers itself. An op is a
function of the input and the spec's arguments that gives the output and the way back:
a function from the output's gradient to the input's.
"""

import numpy as np

NEAR = 1e-9  # closer than this to a kink, or to each other, numbers are a tie


class TieError(Exception):
    """A derivative depends on rounding: this graph is no test on these numbers."""


def nested(function, *trees):
    if isinstance(trees[0], (list, tuple)):
        return type(trees[0])(nested(function, *entries) for entries in zip(*trees, strict=True))
    return function(*trees)


def zeros(tree):
    return nested(np.zeros_like, tree)


def add(a, b):
    return nested(np.add, a, b)


def softmax(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def kinked(forward, derivative, kinks):
    """An elementwise op whose derivative jumps at some x: all are functions of x and of the spec's arguments."""

    def op(x, near, *arguments):
        if any((np.abs(x - kink) < near).any() for kink in kinks(*arguments)):
            raise TieError
        return forward(x, *arguments), lambda g: g * derivative(x, *arguments)

    return op


def at_zero(*_):
    return (0,)


def bounds(low=-1, high=1):
    return low, high


def leaky_relu(x, slope=0.01):
    return np.where(x > 0, x, slope * x)


def elu(x, alpha=1):
    return np.where(x > 0, x, alpha * np.expm1(np.minimum(x, 0)))


def softplus(x, beta=1):
    return np.where(beta * x > 20, x, np.logaddexp(0, beta * x) / beta)


def extreme(pick):
    def op(xs, near):
        stack = np.stack(xs)
        best = pick(stack, axis=0)
        for x, other in ((x, y) for k, x in enumerate(xs) for y in xs[:k] if y is not x):
            if (np.abs(x - other) < near).any():
                raise TieError
        first = (stack == best).argmax(0)
        return best, lambda g: type(xs)(g * (first == k) for k in range(len(xs)))

    return op


def product(xs):
    return np.prod(xs, axis=0), lambda g: type(xs)(
        g * np.prod([y for k, y in enumerate(xs) if k != j], axis=0) for j in range(len(xs))
    )


def join(xs, dim, n_input_dims=None):
    dim += 0 if n_input_dims is None else xs[0].ndim - n_input_dims
    cuts = np.cumsum([x.shape[dim] for x in xs])[:-1]
    return np.concatenate(xs, dim), lambda g: type(xs)(np.split(g, cuts, dim))


def narrow(x, dim, offset, length):
    place = (slice(None),) * dim + (slice(offset, offset + length),)

    def back(g):
        full = np.zeros_like(x)
        full[place] = g
        return full

    return x[place], back


def split_table(x, dim):
    return [np.take(x, k, dim) for k in range(x.shape[dim])], lambda g: np.stack(g, dim)


def select_table(xs, index):
    def back(g):
        entries = [zeros(x) for x in xs]
        entries[index] = g
        return type(xs)(entries)

    return xs[index], back


def reshape(x, *sizes):
    shape = sizes if x.size == np.prod(sizes) else (x.shape[0], *sizes)
    return x.reshape(shape), lambda g: g.reshape(x.shape)


def with_output(forward, derivative):
    """An op whose way back needs its output only."""

    def op(x):
        y = forward(x)
        return y, lambda g: derivative(y, g)

    return op


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def log_softmax(x):
    shifted = x - x.max(-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))


OPS = {
    "Identity": lambda x: (x, lambda g: g),
    "Dropout": lambda x, p: (x, lambda g: g) if p == 0 else None,
    "Tanh": with_output(np.tanh, lambda y, g: g * (1 - y * y)),
    "Sigmoid": with_output(sigmoid, lambda y, g: g * y * (1 - y)),
    "SoftMax": with_output(softmax, lambda y, g: y * (g - (g * y).sum(-1, keepdims=True))),
    "LogSoftMax": with_output(log_softmax, lambda y, g: g - np.exp(y) * g.sum(-1, keepdims=True)),
    "Square": lambda x: (x * x, lambda g: 2 * x * g),
    "SoftSign": lambda x: (x / (1 + np.abs(x)), lambda g: g / (1 + np.abs(x)) ** 2),
    "MulConstant": lambda x, a: (a * x, lambda g: a * g),
    "AddConstant": lambda x, a: (x + a, lambda g: g),
    "CAddTable": lambda xs: (sum(xs), lambda g: type(xs)(g for _ in xs)),
    "CSubTable": lambda xs: (xs[0] - xs[1], lambda g: type(xs)((g, -g))),
    "CMulTable": product,
    "JoinTable": join,
    "SplitTable": split_table,
    "SelectTable": select_table,
    "Narrow": narrow,
    "Reshape": reshape,
}

# Those that test_random_graphs.py has written in Python.
OPS |= {
    "OwnSine": lambda x: (np.sin(x), lambda g: g * np.cos(x)),
    "OwnBlend": lambda xs: (
        sum(x / (k + 1) for k, x in enumerate(xs)),
        lambda g: type(xs)(g / (k + 1) for k in range(len(xs))),
    ),
    "OwnRotate": lambda xs: ([*xs[1:], xs[0]], lambda g: type(xs)([g[-1], *g[:-1]])),
}


def mean_squared_error(x, target):
    return np.array([((x - target) ** 2).mean()]), lambda g: [g * 2 * (x - target) / x.size, np.zeros_like(x)]


def cross_entropy(x, classes):
    rows = np.arange(len(x))

    def back(g):
        right = np.zeros_like(x)
        right[rows, classes] = 1
        return [g * (softmax(x) - right) / len(x), np.zeros(len(x))]

    return np.array([-log_softmax(x)[rows, classes].mean()]), back


CRITERIONS = {"MSECriterion": mean_squared_error, "CrossEntropyCriterion": cross_entropy}

# Ops with kinks, which look for ties.
KINKED = {
    "ReLU": kinked(lambda x: x * (x > 0), lambda x: x > 0, at_zero),
    "LeakyReLU": kinked(leaky_relu, lambda x, slope=0.01: np.where(x > 0, 1, slope), at_zero),
    "ELU": kinked(elu, lambda x, alpha=1: np.where(x > 0, 1, alpha * np.exp(np.minimum(x, 0))), at_zero),
    "Abs": kinked(np.abs, lambda x: np.where(x < 0, -1, 1), at_zero),
    "HardTanh": kinked(
        lambda x, *ends: np.clip(x, *bounds(*ends)),
        lambda x, *ends: (bounds(*ends)[0] < x) & (x < bounds(*ends)[1]),
        bounds,
    ),
    "SoftPlus": kinked(
        softplus,
        lambda x, beta=1: np.where(beta * x > 20, 1, sigmoid(np.minimum(beta * x, 20))),
        lambda beta=1: (20 / beta,),
    ),
    "CMaxTable": extreme(np.max),
    "CMinTable": extreme(np.min),
}


class Interpreter:
    """A graph's spec with parameters, `{key: (weight, bias)}`; a key is a node's id and places in containers.

    Numbers closer than `near` to a kink, or to each other where that is one, raise TieError.
    """

    def __init__(self, spec, parameters, near=NEAR):
        self.spec, self.parameters, self.near = spec, parameters, near
        self.key = ()  # of the graph itself, where it is in another
        self.gradients = {key: [np.zeros_like(p) for p in pair] for key, pair in parameters.items()}

    def module(self, spec, key, x):
        """Output of a module, and its way back, which also accumulates gradients of parameters."""
        if isinstance(spec, dict) and "graph" in spec:
            return self.graph(spec["graph"], key, x)
        if isinstance(spec, dict):
            return self.container(spec["nn"], spec["children"], key, x)
        name, *arguments = spec
        if name == "Linear":
            return self.linear(key, x)
        if name == "OwnScale":
            return self.scaled(key, x)
        arguments = [a for a in arguments if a is not True]  # a flag to work in place changes nothing
        return KINKED[name](x, self.near, *arguments) if name in KINKED else OPS[name](x, *arguments)

    def linear(self, key, x):
        weight, *bias = self.parameters[key]

        def back(g):
            rows, inputs = np.atleast_2d(g), np.atleast_2d(x)
            for gradient, new in zip(self.gradients[key], (rows.T @ inputs, rows.sum(0)), strict=False):
                np.add(gradient, self.scale * new, out=gradient)
            return g @ weight

        return x @ weight.T + sum(bias), back

    def scaled(self, key, x):
        weight, bias = self.parameters[key]

        def back(g):
            for gradient, new in zip(self.gradients[key], (g * x, g), strict=True):
                np.add(gradient, self.scale * new.sum(0), out=gradient)
            return g * weight

        return weight * x + bias, back

    def graph(self, spec, key, x):
        """A graph in this one, with its parameters among those of this one."""
        inner = Interpreter(spec, {}, self.near)
        inner.key, inner.parameters, inner.gradients = key, self.parameters, self.gradients
        outputs = inner.forward([x] if len(spec["inputs"]) == 1 else x)

        def back(g):
            gradients = inner.backward([g] if len(outputs) == 1 else g, self.scale)
            return gradients[0] if len(gradients) == 1 else type(x)(gradients)

        return outputs[0] if len(outputs) == 1 else outputs, back

    def container(self, name, children, key, x):
        backs, outputs = [], []
        for k, child in enumerate(children):
            entry = x[k] if name == "ParallelTable" else x
            output, back = self.module(child, (*key, k), entry)
            x = output if name == "Sequential" else x
            backs.append(back)
            outputs.append(output)
        if name == "Sequential":
            return x, lambda g: _chain(reversed(backs), g)
        if name == "ConcatTable":
            return outputs, lambda g: _sum([back(entry) for back, entry in zip(backs, g, strict=True)])
        return outputs, lambda g: type(x)(back(entry) for back, entry in zip(backs, g, strict=True))

    def forward(self, inputs):
        """Values of the graph's outputs, a list; `inputs` is a list of the input nodes' values."""
        self.values, self.ways = {}, []
        given = dict(zip(self.spec["inputs"], inputs, strict=True))
        for node in self.spec["nodes"]:
            self.node(node, given)
        return [self.values[name] for name in self.spec["outputs"]]

    def node(self, node, given):
        name, values = node["id"], self.values
        if "split" in node:
            for k in range(node["split"]):
                part, back = select_table(values[node["of"]], k)
                values[f"{name}.{k}"] = part
                self.ways.append((f"{name}.{k}", node["of"], back))
        elif "nest" in node:
            values[name] = nested(values.get, node["nest"])
            self.ways.append((name, node["nest"], lambda g: g))
        elif "criterion" in node:
            values[name], back = CRITERIONS[node["criterion"][0]](*map(values.get, node["inputs"]))
            self.ways.append((name, list(node["inputs"]), back))
        else:
            sources = node.get("inputs", [])
            source = sources[0] if len(sources) == 1 else list(sources)
            x = given[name] if name in given else nested(values.get, source)
            shared = node.get("same", name)
            spec = next(n["module"] for n in self.spec["nodes"] if n["id"] == shared)
            values[name], back = self.module(spec, (*self.key, shared), x)
            self.ways.append((name, name if name in given else source, back))

    def backward(self, grad_outputs, scale):
        """Gradients of the input nodes' values, a list."""
        self.scale = scale
        self.grads = grads = {name: zeros(value) for name, value in self.values.items()}
        given = set(self.spec["inputs"])
        of_inputs = {}
        for name, g in zip(self.spec["outputs"], grad_outputs, strict=True):
            grads[name] = add(grads[name], g)
        for name, source, back in reversed(self.ways):
            gradient = back(grads[name])
            if name in given:
                of_inputs[name] = gradient
            else:
                _scatter(grads, source, gradient)
        return [of_inputs[name] for name in self.spec["inputs"]]


def _chain(functions, g):
    for function in functions:
        g = function(g)
    return g


def _sum(trees):
    total = trees[0]
    for tree in trees[1:]:
        total = add(total, tree)
    return total


def _scatter(grads, source, gradient):
    """Add a gradient to those of the values that it is of."""
    if isinstance(source, list):
        for name, entry in zip(source, gradient, strict=True):
            _scatter(grads, name, entry)
    else:
        grads[source] = add(grads[source], gradient)
