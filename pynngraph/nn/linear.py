"""Linear maps other than :class:`Linear`: of pairs, of parts, with normalized weights, of sparse inputs."""

from __future__ import annotations

import itertools
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import random, tree
from ..errors import DataError, ShapeError, StructureError
from .decorator import Normalized
from .module import Module, positive_sizes
from .simple import Linear

if TYPE_CHECKING:
    from .._engine import Array, Shape, Value
    from .lowering import Builder, Values


class Bilinear(Module):
    """y_k = a' W_k b + c_k, of a list of two batches of vectors.

    Parameters
    ----------
    inputSize1, inputSize2
        Features of a and of b.
    outputSize
        Features of the output.
    bias
        False for no c.

    Shapes: a (rows, inputSize1), b (rows, inputSize2); output (rows, outputSize); ``weight`` (outputSize, inputSize1,
    inputSize2), ``bias`` (outputSize,). Both start evenly drawn from ±1/sqrt(inputSize1).

    Examples
    --------
    >>> import numpy as np, pynngraph as nn
    >>> layer = nn.Bilinear(2, 3, 4)
    >>> layer.forward([np.zeros((5, 2)), np.zeros((5, 3))]).shape
    (5, 4)
    """

    def __init__(self, inputSize1: int, inputSize2: int, outputSize: int, bias: bool = True) -> None:
        positive_sizes("Bilinear", inputSize1, inputSize2, outputSize)
        self.add_cell("weight", np.empty((outputSize, inputSize1, inputSize2), self.dtype))
        if bias:
            self.add_cell("bias", np.empty(outputSize, self.dtype))
        self.reset()

    def reset(self, stdv: float | None = None) -> None:
        """Draw weight and bias evenly from ±stdv sqrt(3), or ±1/sqrt(inputSize1) without stdv."""
        for cell in self._cells.values():
            random.draw_parameter(self._writable(cell), self.weight.shape[1], stdv)

    def lower(self, b: Builder, input: Values) -> Values:
        """One product with all W_k at once, then one for each row."""
        first, second = b.arrays(input, 2, 2)
        b.choose(partial(self._check, b.where()), first, second)
        n, n_first, n_second = self.weight.shape
        weight = b.op("reshape", [b.param(self._cells["weight"])], ints=[n * n_first, n_second])
        half = b.op("reshape", [b.op("linear", [second, weight])], ints=[-2, n, n_first])
        column = b.op("replicate", [first], ints=[-1, 1])
        y = b.op("select", [b.op("matmul", [half, column], ints=[0, 0])], ints=[-1, 0])
        if "bias" not in self._cells:
            return y
        bias = b.op("reshape", [b.param(self._cells["bias"])], ints=[1, n])
        return b.op("add", [y, b.op("expand", [bias, y])])

    def _check(self, where: str, first: Shape, second: Shape) -> None:
        sizes = self.weight.shape[1:]
        if len(first) != 2 or len(second) != 2 or first[0] != second[0] or (first[1], second[1]) != sizes:
            message = f"{where} expects (rows, {sizes[0]}) and (rows, {sizes[1]}), got shapes {first} and {second}"
            raise ShapeError(message)

    def describe(self) -> str:
        """Sizes."""
        bias = "" if "bias" in self._cells else " without bias"
        return "({1} x {2} -> {0})".format(*self.weight.shape) + bias


class PartialLinear(Module):
    """y = x W' + b for some of the outputs: those of a partition, which :meth:`setPartition` chooses.

    Parameters
    ----------
    inputsize, outputsize
        Features of input and output.
    bias
        False for no b.

    Shapes: input (inputsize,) or (rows, inputsize); output with as many features as the partition has; ``weight``
    (outputsize, inputsize), normally distributed; ``bias`` (1, outputsize), zeros at the beginning.

    Examples
    --------
    >>> import numpy as np, pynngraph as nn
    >>> layer = nn.PartialLinear(3, 1000)
    >>> layer.setPartition(np.array([7, 999]))
    >>> layer.forward(np.zeros((4, 3))).shape
    (4, 2)
    >>> layer.resetPartition()
    >>> layer.forward(np.zeros((4, 3))).shape
    (4, 1000)
    """

    def __init__(self, inputsize: int, outputsize: int, bias: bool = True) -> None:
        positive_sizes("PartialLinear", inputsize, outputsize)
        self.inputsize = inputsize
        self.outputsize = outputsize
        self.add_cell("weight", np.empty((outputsize, inputsize), self.dtype))
        if bias:
            self.add_cell("bias", np.empty((1, outputsize), self.dtype))
        self.reset()

    def reset(self, stdv: float | None = None) -> None:
        """Draw the weight from a normal distribution with standard deviation `stdv`, or 1; set the bias to zero."""
        weight = self._writable(self._cells["weight"])
        weight[...] = random.normal(0, 1 if stdv is None else stdv, weight.shape)
        if "bias" in self._cells:
            self._writable(self._cells["bias"])[...] = 0

    @property
    def partition(self) -> Array | None:
        """The outputs that are computed, counted from 0; None for all."""
        cell = self._buffers.get("partition")
        return None if cell is None else cell.data.astype(np.int64)

    def setPartition(self, indices: Any) -> None:
        """Set which outputs are computed, in which order: an array of indices from 0."""
        places = np.asarray(indices)
        if places.ndim != 1 or (places != np.floor(places)).any():
            message = f"a partition of {self.label()} is a list of indices, got an array of shape {places.shape}"
            raise ShapeError(message)
        if places.size and not 0 <= places.min() <= places.max() < self.outputsize:
            message = f"a partition of {self.label()} has indices from 0 to {self.outputsize - 1}"
            raise DataError(message)
        cell = self._buffers.get("partition")
        if cell is None or cell.data.shape != places.shape:
            self.add_cell("partition", places, has_grad=False)
        else:
            cell.data[...] = places  # programs stay as they are

    def resetPartition(self) -> None:
        """Compute all outputs."""
        if self._buffers.pop("partition", None) is not None:
            self._changed()

    def lower(self, b: Builder, input: Values) -> Values:
        """One product, of rows that are looked up."""
        inputs = [b.array(input), b.param(self._cells["weight"])]
        if "bias" in self._cells:
            inputs.append(b.op("reshape", [b.param(self._cells["bias"])], ints=[self.outputsize]))
        if "partition" not in self._buffers:
            return b.op("linear", inputs)
        index = b.op("to_index", [b.param(self._buffers["partition"])])
        inputs[1] = b.op("gather", [inputs[1], index], ints=[-1])
        if "bias" in self._cells:
            column = b.op("reshape", [inputs[2]], ints=[self.outputsize, 1])
            inputs[2] = b.op("reshape", [b.op("gather", [column, index], ints=[-1])], ints=[-1])
        return b.op("linear", inputs)

    def describe(self) -> str:
        """Sizes."""
        bias = "" if "bias" in self._cells else " without bias"
        return f"({self.inputsize} -> {self.outputsize}){bias}"


class LinearWeightNorm(Normalized, Linear):
    """y = x W' + b, with W as lengths g and directions v of its rows: w_j = g_j v_j / (|v_j| + eps).

    Parameters
    ----------
    inputSize, outputSize
        Features of input and output.
    bias
        False for no b.
    eps
        What is added to lengths of v.

    Shapes: input (inputSize,) or (rows, inputSize); output (outputSize,) or (rows, outputSize); ``v`` (outputSize,
    inputSize), ``g`` (outputSize, 1), ``bias`` (outputSize,). ``weight`` is what v and g make, an array of its own;
    assigning to it sets them. A clone that shares ``"weight"`` and ``"gradWeight"`` shares v and g. Source:
    Salimans, Kingma, Weight normalization, NIPS 2016.

    Examples
    --------
    >>> import numpy as np, pynngraph as nn
    >>> layer = nn.LinearWeightNorm(2, 1)
    >>> layer.weight = np.array([[3.0, 4.0]])
    >>> layer.g
    array([[5.]])
    """

    def __init__(self, inputSize: int, outputSize: int, bias: bool = True, eps: float = 1e-16) -> None:
        positive_sizes("LinearWeightNorm", inputSize, outputSize)
        self.inputSize = inputSize
        self.outputSize = outputSize
        self.eps = float(eps)
        self.add_cell("v", np.empty((outputSize, inputSize), self.dtype))
        self.add_cell("g", np.empty((outputSize, 1), self.dtype))
        if bias:
            self.add_cell("bias", np.empty(outputSize, self.dtype))
        self.reset()

    @staticmethod
    def fromLinear(linear: Linear) -> LinearWeightNorm:
        """The same map as that of a :class:`Linear`."""
        module = LinearWeightNorm(linear.inputSize, linear.outputSize, linear.bias is not None)
        module.type(linear.type())
        module.initFromWeight(linear.weight)
        if linear.bias is not None:
            module.bias = linear.bias
        return module

    def toLinear(self) -> Linear:
        """The same map as a :class:`Linear`."""
        module = Linear(self.inputSize, self.outputSize, self.bias is not None)
        module.type(self.type())
        module.weight = self.weight
        if self.bias is not None:
            module.bias = self.bias
        return module

    @property
    def weight(self) -> Array:
        """What v and g make."""
        lengths = np.sqrt((self.v * self.v).sum(1, keepdims=True)) + self.eps
        weight: Array = self.v * (self.g / lengths)
        return weight

    @weight.setter
    def weight(self, value: Any) -> None:
        self.initFromWeight(value)

    def initFromWeight(self, weight: Any) -> None:
        """Let v be a weight, and g the lengths of its rows."""
        self.v = weight
        self.g = np.maximum(np.sqrt((self.v * self.v).sum(1, keepdims=True)), self.eps)

    def reset(self, stdv: float | None = None) -> None:
        """Draw weight and bias evenly from ±stdv sqrt(3), or ±1/sqrt(inputSize) without stdv."""
        drawn = np.empty((self.outputSize, self.inputSize), self.dtype)
        random.draw_parameter(drawn, self.inputSize, stdv)
        self.initFromWeight(drawn)
        if "bias" in self._cells:
            random.draw_parameter(self._writable(self._cells["bias"]), self.inputSize, stdv)

    def lower(self, b: Builder, input: Values) -> Values:
        """The weight, and one product."""
        v, g = b.param(self._cells["v"]), b.param(self._cells["g"])
        squares = b.op("reduce_sum", [b.op("square", [v])], ints=[-1, 1], nums=[1.0])
        lengths = b.op("add_constant", [b.op("sqrt", [squares])], nums=[self.eps])
        weight = b.op("mul", [v, b.op("expand", [b.op("div", [g, lengths]), v])])
        bias = [b.param(self._cells["bias"])] if "bias" in self._cells else []
        return b.op("linear", [b.array(input), weight, *bias])


class SparseLinear(Module):
    """y = x W' + b, of an x that is given by its elements other than zero: pairs of an index and a number.

    Parameters
    ----------
    inputSize, outputSize
        Features of input and output.
    doGradInput
        False for zeros as the gradient of the input.

    Shapes: one sample (n, 2), each row an index from 0 and the number there; a batch of samples a list of such arrays,
    or one array (rows, n, 2) where all have n. Output (outputSize,) or (rows, outputSize); ``weight`` (outputSize,
    inputSize), ``bias`` (outputSize,), both evenly drawn from ±1/sqrt(inputSize). Indices have gradients of zero. What
    comes several times in a sample is added up. An index that there is not is a DataError.

    Each forward copies the weight transposed, so that the time does depend on inputSize.

    Examples
    --------
    >>> import numpy as np, pynngraph as nn
    >>> layer = nn.SparseLinear(1000, 2)
    >>> x = np.array([[7, 0.5], [999, -2.0]])
    >>> bool(np.allclose(layer.forward(x), layer.weight[:, [7, 999]] @ x[:, 1] + layer.bias))
    True
    """

    def __init__(self, inputSize: int, outputSize: int, doGradInput: bool = True) -> None:
        positive_sizes("SparseLinear", inputSize, outputSize)
        self.doGradInput = doGradInput
        self.add_cell("weight", np.empty((outputSize, inputSize), self.dtype))
        self.add_cell("bias", np.empty(outputSize, self.dtype))
        self.reset()

    def reset(self, stdv: float | None = None) -> None:
        """Draw weight and bias evenly from ±stdv sqrt(3), or ±1/sqrt(inputSize) without stdv."""
        for cell in self._cells.values():
            random.draw_parameter(self._writable(cell), self.weight.shape[1], stdv)

    def lower(self, b: Builder, input: Values) -> Values:
        """Columns of the weight by index, and a product with the numbers."""
        table = b.op("transpose", [b.param(self._cells["weight"])], ints=[0, 1])
        if tree.is_table(input):
            rows = [self._sample(b, x, table) for x in b.arrays(input)]
            y = b.op("join", [b.op("replicate", [row], ints=[0, 1]) for row in rows], ints=[0])
        else:
            y = self._sample(b, b.array(input), table)
        bias = b.param(self._cells["bias"])
        n_dims = b.choose(len, y)
        if n_dims == 2:
            bias = b.op("expand", [b.op("reshape", [bias], ints=[1, -1]), y])
        return b.op("add", [y, bias])

    def _sample(self, b: Builder, x: Value, table: Value) -> Value:
        """The product of one array of pairs, or of a batch of as many pairs."""
        n_dims = b.choose(partial(self._dims, b.where()), x)
        index = b.op("to_index", [b.op("select", [x], ints=[-1, 0])])
        numbers = b.op("select", [x if self.doGradInput else b.op("detach", [x])], ints=[-1, 1])
        columns = b.op("gather", [table, index], ints=[-1])
        row = b.op("replicate", [numbers], ints=[n_dims - 2, 1])
        return b.op("select", [b.op("matmul", [row, columns], ints=[0, 0])], ints=[-2, 0])

    def _dims(self, where: str, shape: Shape) -> int:
        if len(shape) not in (2, 3) or shape[-1] != 2:
            message = f"{where} expects pairs (n, 2), or a batch of them, got shape {shape}"
            raise ShapeError(message)
        return len(shape)

    def describe(self) -> str:
        """Sizes."""
        return "({1} -> {0})".format(*self.weight.shape)


class IndexLinear(Module):
    """y = x W + b, of an x that is given by keys and values: the indices of its elements other than zero, and these.

    Parameters
    ----------
    inputSize, outputSize
        Features of input and output.
    doGradInput
        True for gradients of the values; else they are zero.
    keysOffset
        What is added to keys.
    weight, bias
        Arrays to begin with, or None.
    normalize
        True to divide each value by the largest that its key had while training, to which a bias of the key's own is
        added.

    Shapes: ``[keys, values]``, both (n,), of one sample; of a batch two lists of such arrays, ``[[keys, ...], [values,
    ...]]``, or ``[keys, values, sizes]`` with all samples one after another, and how long each is. Keys and sizes are
    integers. Output (outputSize,) or (rows, outputSize); ``weight`` (inputSize, outputSize), with `normalize`
    (inputSize, 4 + outputSize): in front the largest value of a key, its inverse, whether it was seen since the last
    update, and the bias; ``bias`` (outputSize,). It is done in Python.

    Examples
    --------
    >>> import numpy as np, pynngraph as nn
    >>> layer = nn.IndexLinear(1000, 2)
    >>> keys, values = np.array([7, 999]), np.array([0.5, -2.0])
    >>> bool(np.allclose(layer.forward([keys, values]), values @ layer.weight[keys] + layer.bias))
    True
    """

    NORMALIZING = 4  # columns in front of the weight's

    def __init__(
        self,
        inputSize: int,
        outputSize: int,
        doGradInput: bool = False,
        keysOffset: int = 0,
        weight: Any = None,
        bias: Any = None,
        normalize: bool = False,
    ) -> None:
        positive_sizes("IndexLinear", inputSize, outputSize)
        self.doGradInput = doGradInput
        self.offset = keysOffset
        self.normalize = bool(normalize)
        self.add_cell("weight", np.empty((inputSize, outputSize + self._first), self.dtype))
        self.add_cell("bias", np.empty(outputSize, self.dtype))
        self.reset()
        if weight is not None:
            self.weight = weight
        if bias is not None:
            self.bias = bias

    @property
    def _first(self) -> int:
        """The first column of the weight itself."""
        return self.NORMALIZING if self.normalize else 0

    def reset(self, stdv: float | None = None) -> None:
        """Draw evenly from ±stdv sqrt(3), or ±1/sqrt(inputSize) without stdv; the bias from a millionth of that."""
        weight, bias = (self._writable(self._cells[name]) for name in ("weight", "bias"))
        for array in (weight, bias):
            random.draw_parameter(array, len(weight), stdv)
        bias *= 1e-6
        weight[:, : self._first] = 0

    def updateOutput(self, input: Any) -> Any:
        """Weighted sums of rows."""
        keys, values, starts, is_batch = self._elements(input)
        if self.normalize and self.train:
            self._note_largest(keys, values)
        products = self._normalized(keys, values)[:, None] * self.weight[keys, self._first :]
        y = self.bias + np.stack([products[start:end].sum(0) for start, end in starts])
        return y if is_batch else y[0]

    def updateGradInput(self, input: Any, gradOutput: Any) -> Any:
        """Gradients of values, if they are wanted; keys and sizes have none."""
        gradient = tree.map_leaves(lambda leaf: np.zeros(leaf.shape, gradOutput.dtype), input)
        if not self.doGradInput:
            return gradient
        keys, values, starts, is_batch = self._elements(input)
        g = self._of_elements(gradOutput if is_batch else gradOutput[None], starts)
        of_values = (g * self.weight[keys, self._first :]).sum(1) * self._slope(keys, values)
        parts = iter(np.split(of_values, [end for _, end in starts[:-1]]))
        of_list = type(input[1])(parts) if tree.is_table(input[1]) else of_values
        return type(input)((gradient[0], of_list, *gradient[2:]))

    def accGradParameters(self, input: Any, gradOutput: Any, scale: float = 1.0) -> None:
        """Add to the rows of the keys."""
        keys, values, starts, is_batch = self._elements(input)
        g = scale * self._of_elements(gradOutput if is_batch else gradOutput[None], starts)
        np.add.at(self.gradWeight[:, self._first :], keys, self._normalized(keys, values)[:, None] * g)
        if self.normalize:
            np.add.at(self.gradWeight[:, 3], keys, (g * self.weight[keys, self._first :]).sum(1))
        self.gradBias += scale * gradOutput.reshape(-1, self.gradBias.size).sum(0)

    def _note_largest(self, keys: Array, values: Array) -> None:
        weight = self._writable(self._cells["weight"])
        np.maximum.at(weight[:, 0], keys, np.abs(values))
        largest = weight[keys, 0]
        weight[keys, 1] = np.divide(1, largest, out=np.zeros_like(largest), where=largest > 0)
        weight[keys, 2] = 1

    def _normalized(self, keys: Array, values: Array) -> Array:
        if not self.normalize:
            return values
        limited: Array = np.clip(values * self.weight[keys, 1], -1, 1) + self.weight[keys, 3]
        return limited

    def _slope(self, keys: Array, values: Array) -> Any:
        """The derivative of what values become."""
        if not self.normalize:
            return 1
        return np.where(np.abs(values) > self.weight[keys, 0], 0, self.weight[keys, 1])

    @staticmethod
    def _of_elements(g: Array, starts: list[tuple[int, int]]) -> Array:
        """For each element the gradient of its sample's output."""
        return np.repeat(g, [end - start for start, end in starts], axis=0)

    def _elements(self, input: Any) -> tuple[Array, Array, list[tuple[int, int]], bool]:
        """All keys, all values, where samples begin and end in them, and whether they are a batch."""
        if not tree.is_table(input) or len(input) not in (2, 3):
            message = f"{self.label()} expects [keys, values] or [keys, values, sizes]"
            raise StructureError(message)
        parts = [list(entry) if tree.is_table(entry) else [entry] for entry in input[:2]]
        if any(leaf.ndim != 1 for part in parts for leaf in part) or [*map(len, parts[0])] != [*map(len, parts[1])]:
            message = f"{self.label()} expects as many values as keys, each in arrays (n,)"
            raise ShapeError(message)
        keys, values = (np.concatenate(part) if part else np.empty(0) for part in parts)
        if keys.dtype.kind != "i" or values.dtype.kind != "f":
            message = f"{self.label()} expects keys that are integers and values that are reals"
            raise ShapeError(message)
        sizes = [int(size) for size in input[2].ravel()] if len(input) == 3 else [*map(len, parts[0])]
        if sum(sizes) != len(keys) or min(sizes, default=0) < 0:
            message = f"{self.label()} got {len(keys)} keys, and sizes of {sum(sizes)}"
            raise ShapeError(message)
        keys = keys + self.offset
        if keys.size and not 0 <= keys.min() <= keys.max() < len(self.weight):
            message = f"{self.label()} got a key that is none of its {len(self.weight)} features"
            raise DataError(message)
        ends = np.cumsum([0, *sizes]).tolist()
        return keys, values, [*itertools.pairwise(ends)], len(input) == 3 or tree.is_table(input[0])

    def describe(self) -> str:
        """Sizes."""
        return f"({len(self.weight)} -> {self.bias.size})"


__all__ = ["Bilinear", "IndexLinear", "LinearWeightNorm", "PartialLinear", "SparseLinear"]
