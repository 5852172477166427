"""The base class of all modules."""

from __future__ import annotations

import builtins
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

import numpy as np

from .._engine import GRAD_INPUTS, GRAD_PARAMS, Array, optim_step
from ..errors import DTypeError, GraphError, ShapeError, StateError
from ..graph.node import Node, call_module
from ..watch import Changes, Debug, Evaluation, kept
from .arguments import checked
from .dtype import as_dtype, default_dtype
from .execution import MAX_PLANS, Execution, Lower
from .parameter import Cell, Derived, Store, convert, copy_in, flatten_cells, joined, unchanged, unique_cells

if TYPE_CHECKING:
    from .lowering import Builder, Values

Self = TypeVar("Self", bound="Module")

GRAD_BOTH = GRAD_INPUTS | GRAD_PARAMS

FEW = 4096  # parameters that NumPy updates sooner than a call of the engine begins

# What a subclass may write in Python instead of lowering; any of them makes it a host step.
PYTHON_METHODS = ("forward", "updateOutput", "updateGradInput", "accGradParameters", "backward")


class CellArray:
    """An attribute that is a parameter's array: reading gives the array, assigning copies values in."""

    def __init__(self, cell: str, *, grad: bool) -> None:
        self.cell = cell
        self.grad = grad

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    def __get__(self, module: Module | None, owner: type | None = None) -> Any:
        if module is None:
            return self
        cell = module._cells.get(self.cell)
        if cell is None:
            return None
        return cell.grad if self.grad else cell.data

    def __set__(self, module: Module, value: Any) -> None:
        cell = module._cells.get(self.cell)
        if self.grad:
            self._set_grad(module, cell, value)
        elif value is None:
            module.remove_cell(self.cell)
        elif cell is None:
            module.add_cell(self.cell, value)
        else:
            what = f"the {self.name} of {module.label()}"
            copy_in(cell.writable(what), value, what)

    def _set_grad(self, module: Module, cell: Cell | None, value: Any) -> None:
        if cell is None or cell.grad is None:
            if value is not None:
                message = f"{module.label()} has no {self.cell}, so that it can have no {self.name}"
                raise StateError(message)
        elif value is None:
            cell.grad.fill(0)
        else:
            copy_in(cell.grad, value, f"the {self.name} of {module.label()}")


class BufferArray:
    """An attribute that is a buffer's array: reading gives the array, assigning copies values in."""

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    def __get__(self, module: Module | None, owner: type | None = None) -> Any:
        if module is None:
            return self
        return module._buffers[self.name].data

    def __set__(self, module: Module, value: Any) -> None:
        copy_in(module._buffers[self.name].data, value, f"the {self.name} of {module.label()}")


class Module:
    """What all modules have: Torch7's ``nn.Module``.

    A module computes an output from an input, and from the gradient of an output those of its input and parameters.
    Inputs and outputs are NumPy arrays of the module's dtype, or lists and tuples of them, nested freely.

    To write a module in Python, derive from this class and define ``updateOutput(input)`` and
    ``updateGradInput(input, gradOutput)``, with parameters also ``accGradParameters(input, gradOutput, scale)``, all
    on NumPy arrays; or only ``backward(input, gradOutput, scale)`` instead of the last two. An array assigned to
    ``self.weight`` or ``self.bias`` is a parameter.

    Examples
    --------
    >>> import numpy as np, pynngraph as nn
    >>> class Twice(nn.Module):
    ...     def updateOutput(self, input):
    ...         return 2 * input
    ...     def updateGradInput(self, input, gradOutput):
    ...         return 2 * gradOutput
    >>> net = nn.Sequential(Twice(), nn.Tanh())
    >>> net.forward(np.zeros(3))
    array([0., 0., 0.])
    >>> net.backward(np.zeros(3), np.ones(3))
    array([2., 2., 2.])
    """

    is_host: ClassVar[bool] = False
    takes_input: bool = True  # False: its graph node needs no input
    takes_nodes: ClassVar[bool] = False  # whether it is made of graph nodes
    name: Any = None
    """Whatever its user calls it: Torch7 code finds modules so."""
    maxPlans: int = MAX_PLANS
    """How many plans are kept for inputs of other sizes, nestings and dtypes: those used last."""
    __array_ufunc__ = None  # so that `array - module` is an error that says so

    train: bool
    _run: Execution | None = None  # runs the module as its user sees it; made when it is first needed
    _cells: dict[str, Cell]
    _buffers: dict[str, Cell]

    weight = CellArray("weight", grad=False)
    bias = CellArray("bias", grad=False)
    gradWeight = CellArray("weight", grad=True)
    gradBias = CellArray("bias", grad=True)

    def __init_subclass__(cls, **keywords: Any) -> None:
        super().__init_subclass__(**keywords)
        if "__init__" in cls.__dict__ and cls.__module__.startswith(f"{__package__}."):
            cls.__init__ = checked(cls.__init__)  # type: ignore[method-assign]
        # Whichever is nearer in the class's ancestry counts: its own lowering, or methods in Python.
        cls.is_host = False
        for base in cls.__mro__:
            if "lower" in base.__dict__:
                break
            if any(name in base.__dict__ for name in PYTHON_METHODS):
                cls.is_host = True
                break

    def __new__(cls, *args: Any, **_keywords: Any) -> Any:
        """A module in its first state; users' classes need not call `__init__`."""
        if not cls.takes_nodes and any(map(_holds_nodes, args)):
            message = f"{cls.__name__} was given graph nodes: write {cls.__name__}(...)(node), or (...)([node, node])"
            raise GraphError(message)
        if args and cls.__init__ is object.__init__:
            message = f"{cls.__name__} takes no arguments, got {', '.join(map(repr, args))}"
            raise GraphError(message)
        self = super().__new__(cls)
        state = self.__dict__
        state.update(train=True, _cells={}, _buffers={}, _dtype=default_dtype(), _version=0)
        return self

    # ---- lowering ------------------------------------------------------------------------------

    def lower(self, b: Builder, input: Values) -> Values:
        """Append the ops of this module to a program; the values of its output."""
        message = f"{type(self).__name__} defines neither lower nor updateOutput"
        raise GraphError(message)

    def _changed(self) -> None:
        """Programs made from this module may be out of date."""
        state = self.__dict__
        state["_version"] += 1
        state.pop("_fingerprint", None)
        Changes.count += 1

    def __setattr__(self, name: str, value: Any) -> None:
        if name == "maxPlans" and (not hasattr(value, "__index__") or value < 1):
            message = f"maxPlans of {self.label()} must be a whole number from 1, got {value!r}"
            raise StateError(message)
        object.__setattr__(self, name, value)
        if name[0] == "_" or hasattr(getattr(type(self), name, None), "__set__"):
            return
        if type(self).is_host:
            # Whoever holds the module does not depend on it, but its own lowering may.
            self.__dict__["_version"] += 1
            self.__dict__.pop("_fingerprint", None)
        elif name == "train":
            Changes.count += 1
        else:
            self._changed()

    def fingerprint(self) -> Any:
        """What programs of this module depend on: equal fingerprints lower alike."""
        state = self.__dict__
        known = state.get("_fingerprint")
        count = Changes.count  # read first: what another thread changes meanwhile is then seen later
        if known is None or known[0] != count:
            parts = tuple(
                (
                    module,
                    module.__dict__["_version"],
                    module.train,
                    len(module.children()),
                    module.watched(),
                    tuple(cell.is_frozen for cell in module._cells.values()),
                )
                for module in self.listModules()
            )
            known = state["_fingerprint"] = (count, (Debug.is_on, *parts))
        return known[1]

    # ---- running -------------------------------------------------------------------------------

    @property
    def _execution(self) -> Execution:
        """Runs the module as its user sees it."""
        state = self.__dict__
        execution = state.get("_run")
        if execution is None:
            execution = state["_run"] = self._new_execution(self._lower_self)
        return execution

    @property
    def _native_execution(self) -> Execution:
        """Runs the module's own lowering, for ``super().updateOutput`` of subclasses in Python."""
        if not type(self).is_host:
            return self._execution
        state = self.__dict__
        execution = state.get("_run_native")
        if execution is None:
            execution = state["_run_native"] = self._new_execution(self._lower_native)
        return execution

    def _new_execution(self, lower: Lower, *, watched: bool = True) -> Execution:
        return Execution(self, "module", lower, watched=watched)

    def execution_apart(self) -> Execution:
        """Runs the module as its user sees it, without hooks, and apart from its own last call and results."""
        return self._new_execution(self._lower_self, watched=False)

    def _lower_self(self, b: Builder, input: Values) -> Values:
        return b.lower(self, input)

    def _lower_native(self, b: Builder, input: Values) -> Values:
        return b.lower_native(self, input)

    def forward(self, input: Any) -> Any:
        """The output for an input.

        Parameters
        ----------
        input
            An array of the module's dtype, or a nested list or tuple of arrays, as the module wants it. Class targets
            and other indices are arrays of any integer dtype, and count from 0.

        Returns
        -------
        The output: an array, or a table of arrays. It is written again by the next call only if nobody holds it.

        Raises
        ------
        StructureError, ShapeError, DTypeError
            If the input is not what the module wants; nothing has changed then.
        """
        execution = self._run
        return (self._execution if execution is None else execution).forward(input)

    def updateOutput(self, input: Any) -> Any:
        """As :meth:`forward`."""
        return self._native_execution.forward(input)

    def backward(self, input: Any, gradOutput: Any, scale: float = 1.0, *, gradInput: bool = True) -> Any:
        """The gradient of the input; gradients of parameters are added to ``gradWeight`` and ``gradBias``.

        Parameters
        ----------
        input
            The input of the last :meth:`forward`: the same arrays, or equal ones.
        gradOutput
            The gradient of the output, nested and shaped as the output is.
        scale
            What gradients of parameters are multiplied by before they are added.
        gradInput
            False where the gradient of the input is not needed: the work for it is saved.

        Returns
        -------
        The gradient of the input, nested and shaped exactly as the input is; None if it is not needed.

        Raises
        ------
        StructureError, ShapeError, DTypeError
            If ``input`` or ``gradOutput`` are not nested or shaped as in the forward.
        DataError
            If ``input`` is another array than the forward's.
        StateError
            If there was no forward.
        """
        if type(scale) is not float:
            scale = number(scale, "scale")
        execution = self._run
        mask = GRAD_BOTH if gradInput else GRAD_PARAMS
        return (self._execution if execution is None else execution).backward(input, gradOutput, scale, mask)

    def updateGradInput(self, input: Any, gradOutput: Any) -> Any:
        """The gradient of the input only, as :meth:`backward`."""
        if self._has_only_backward():
            return self.backward(input, gradOutput, 0.0)
        self._check_native("updateGradInput")
        return self._native_execution.backward(input, gradOutput, 1.0, GRAD_INPUTS)

    def accGradParameters(self, input: Any, gradOutput: Any, scale: float = 1.0) -> None:
        """Add the gradients of the parameters only, as :meth:`backward`."""
        if self._has_only_backward():
            self.backward(input, gradOutput, scale)
        elif self._has_lowering():
            self._native_execution.backward(input, gradOutput, number(scale, "scale"), GRAD_PARAMS)

    def _has_only_backward(self) -> bool:
        """Whether the class says in Python how to go backward, by one method for both gradients."""
        return type(self).is_host and self._defines("backward")

    def _has_lowering(self) -> bool:
        return type(self).lower is not Module.lower

    def _check_native(self, method: str) -> None:
        if not self._has_lowering():
            message = f"{self.label()} is written in Python and has no {method}: define it"
            raise GraphError(message)

    def backwardUpdate(self, input: Any, gradOutput: Any, lr: float) -> Any:
        """:meth:`updateGradInput`, then :meth:`accUpdateGradParameters`."""
        lr = number(lr, "lr")
        gradInput = self.updateGradInput(input, gradOutput)
        self.accUpdateGradParameters(input, gradOutput, lr)
        return gradInput

    def accUpdateGradParameters(self, input: Any, gradOutput: Any, lr: float) -> None:
        """Subtract `lr` times the gradients from the parameters at once; ``gradWeight`` and so on stay."""
        lr = number(lr, "lr")
        pairs = [(self._writable(cell), cell.grad) for cell in self.cells() if cell.grad is not None]
        with unchanged(grad for _, grad in pairs):
            for _, grad in pairs:
                grad.fill(0)
            self.accGradParameters(input, gradOutput, 1.0)
            for data, grad in pairs:
                np.subtract(data, lr * grad, out=data)

    # ---- modules written in Python -------------------------------------------------------------

    def host_forward(self, input: Any) -> Any:
        """Run what the class defines in Python."""
        if self._defines("updateOutput") or not self._defines("forward"):
            return self.updateOutput(input)
        return self.forward(input)

    def host_backward(self, input: Any, gradOutput: Any, scale: float, *, accumulate: bool) -> Any:
        """Run what the class defines in Python; the gradient of the input."""
        if self._defines("backward"):
            # One method does both: where only gradInput is wanted, gradients are added zero times.
            return self.backward(input, gradOutput, scale if accumulate else 0.0)
        without = not self.takes_input and not self._defines("updateGradInput")
        gradInput = None if without else self.updateGradInput(input, gradOutput)
        if accumulate:
            self.accGradParameters(input, gradOutput, scale)
        return gradInput

    def may_accumulate(self) -> bool:
        """Whether a backward may add to gradients of parameters, as far as a class in Python shows."""
        return self._defines("accGradParameters") or self._defines("backward") or bool(self.cells())

    def own_call(self) -> Any:
        """The last forward of the module by itself, if there was one."""
        execution = self.__dict__.get("_run")
        return None if execution is None else execution.last_call()

    def native_call(self) -> Any:
        """The last forward of the module's own lowering, if a class in Python has called it."""
        execution = self.__dict__.get("_run_native")
        return None if execution is None else execution.last_call()

    def native_replay(self, call: Any) -> None:
        """Go back to an earlier forward of the module's own lowering."""
        if call is not None:
            self._native_execution.replay(call)

    def _defines(self, method: str) -> bool:
        """Whether the class overrides a method in Python, below any lowering."""
        nearest = next(base for base in type(self).__mro__ if method in base.__dict__ or "lower" in base.__dict__)
        return method in nearest.__dict__ and nearest is not Module

    # ---- results -------------------------------------------------------------------------------

    def _result(self, name: str) -> Any:
        """``output`` or ``gradInput`` of the last call on this module, or of the last one that it was in."""
        state = self.__dict__
        own = state.get(f"_{name}")
        if own is None and "_run" in state:
            own = getattr(state["_run"], f"_{name}")
        if own is not None or "_evaluation" not in state:
            return own
        return kept(state["_evaluation"], name, self.label())

    def show(self, evaluation: Evaluation) -> None:
        """Tell this evaluation's results, inside of a graph or container, as the last ones."""
        state = self.__dict__
        state["_evaluation"] = evaluation
        if "_run" in state:
            state["_run"].forget_results()

    def note_inside(self) -> None:
        """The module was lowered inside of another one: whoever asks for its results hears how to get them."""
        self.__dict__.setdefault("_evaluation", None)

    def watched(self) -> Any:
        """What is to be watched of this module, apart from modules inside: programs depend on it."""
        return self.keeps

    @property
    def keeps(self) -> bool:
        """Whether :meth:`keep` is on."""
        return bool(self.__dict__.get("_keeps"))

    def keep(self: Self, enable: bool = True) -> Self:
        """Keep what every module and graph node inside takes and gives, for looking at after a run; the module itself.

        From the next forward on, ``output`` and ``gradInput`` of inner modules, and ``input``, ``output``,
        ``gradOutput`` and ``gradInput`` of graph nodes, are read-only copies of the last call's arrays. It costs time
        and memory. A module that is evaluated more than once a call tells its last evaluation; its nodes tell each
        theirs.

        Examples
        --------
        >>> import numpy as np, pynngraph as nn
        >>> net = nn.Sequential(nn.MulConstant(2), nn.Tanh()).keep()
        >>> out = net.forward(np.ones(2))
        >>> net.modules[0].output
        array([2., 2.])
        """
        for module in self.listModules():
            module.__dict__["_keeps"] = bool(enable)
            if not enable:
                module.forget_evaluations()
        Changes.count += 1
        return self

    def forget_evaluations(self) -> None:
        """Drop what was kept of this module."""
        if "_evaluation" in self.__dict__:
            self.__dict__["_evaluation"] = None

    @property
    def output(self) -> Any:
        """What the last :meth:`forward` of this module gave, or None.

        Inside of a graph or container it is there after :meth:`keep` or :func:`pynngraph.setDebug`; else asking is a
        StateError.
        """
        return self._result("output")

    @output.setter
    def output(self, value: Any) -> None:
        self.__dict__["_output"] = value

    @property
    def gradInput(self) -> Any:
        """What the last :meth:`backward` of this module gave, or None."""
        return self._result("gradInput")

    @gradInput.setter
    def gradInput(self, value: Any) -> None:
        self.__dict__["_gradInput"] = value

    def clearState(self: Self) -> Self:
        """Forget outputs, gradients of inputs and plans, here and in all modules inside."""
        for module in self.listModules():
            module.forget_evaluations()
            for name in ("_output", "_gradInput"):
                module.__dict__.pop(name, None)
            for name in ("_run", "_run_native"):
                execution = module.__dict__.get(name)
                if execution is not None:
                    execution.clear()
        return self

    # ---- parameters ----------------------------------------------------------------------------

    def add_cell(self, name: str, value: Any, *, has_grad: bool = True) -> None:
        """Make a parameter, or a buffer, of this name."""
        if np.iscomplexobj(value):
            message = f"the {name} of {type(self).__name__} takes real numbers, got complex ones"
            raise DTypeError(message)
        cell = Cell(np.asarray(value, self.dtype), has_grad=has_grad)
        (self._cells if has_grad else self._buffers)[name] = cell
        self._changed()

    def remove_cell(self, name: str) -> None:
        """Drop a parameter."""
        if self._cells.pop(name, None) is not None:
            self._changed()

    def children(self) -> list[Module]:
        """The modules directly inside."""
        return []

    def cells(self) -> list[Cell]:
        """All parameters, each once, in Torch's order."""
        return unique_cells(self._all_cells())

    def _all_cells(self) -> list[Cell]:
        cells = (cell for module in self.listModules() for cell in module._cells.values())
        return [cell for cell in cells if not isinstance(cell, Derived)]

    def parameters(self) -> tuple[list[Array], list[Array]]:
        """The arrays of all parameters and of their gradients, each once, in Torch's order."""
        cells = self.cells()
        return [cell.data for cell in cells], [cell.grad for cell in cells if cell.grad is not None]

    def getParameters(self) -> tuple[Array, Array]:
        """All parameters as one vector, and all gradients as another; modules' arrays are parts of them.

        May be called any number of times, at any level. Where the arrays already lie in one vector, that
        is given. Else they move, and arrays handed out before become read-only.
        """
        return flatten_cells(self._all_cells(), self.dtype)

    def zeroGradParameters(self) -> None:
        """Set the gradients of all parameters to zero."""
        for _, grad in self._pairs()[1]:
            grad.fill(0)

    def updateParameters(self, learningRate: float) -> None:
        """Subtract `learningRate` times the gradient from each parameter."""
        if type(learningRate) is not float:
            learningRate = number(learningRate, "learningRate")
        _, pairs, frozen = self._pairs()
        for cell in frozen:
            self._writable(cell)
        for data, grad in pairs:  # with the same bits either way
            if data.size < FEW:
                np.subtract(data, learningRate * grad, out=data)
            else:
                optim_step("sgd", data, (grad, None, None, None), learningRate, 0, 0, 0, False)

    def _pairs(self) -> tuple[int, list[tuple[Array, Array]], list[Cell]]:
        """Arrays of parameters and of their gradients, as few as there can be, and cells that are frozen.

        With the count of changes at which they were looked for: nothing has moved while it is the same.
        """
        state = self.__dict__
        known: Any = state.get("_known_pairs")
        count = Changes.count
        if known is None or known[0] != count:
            cells = [cell for cell in self.cells() if cell.grad is not None]
            known = state["_known_pairs"] = (count, joined(cells), [cell for cell in cells if cell.is_frozen])
        return known  # type: ignore[no-any-return]

    def _writable(self, cell: Cell) -> Array:
        return cell.writable(f"a parameter of {self.label()}")

    def freeze(self: Self) -> Self:
        """Make parameters constant, here and in all modules inside, for faster inference; the module itself.

        Products of several rows then read weights from a form that is made once and kept, beside the weights, as long
        as plans read it: they need up to twice the memory. Results may differ in the last bits from those before.

        ``weight`` and so on give arrays that cannot be written to, and arrays handed out before become read-only, with
        what they hold then: a view that was made of one before does not reach the parameter any more. To train, or to
        assign other values, :meth:`unfreeze` first. Modules that share a parameter share that it is frozen. Copies and
        saved modules are not frozen. Gradients can be computed as ever.

        Examples
        --------
        >>> import numpy as np, pynngraph as nn
        >>> net = nn.Sequential(nn.Linear(2, 3), nn.Tanh()).evaluate().freeze()
        >>> net.get(0).weight[...] = 0
        Traceback (most recent call last):
        ...
        ValueError: assignment destination is read-only
        """
        return self._with_stores(Store.freeze)

    def unfreeze(self: Self) -> Self:
        """Take back :meth:`freeze`, here and in all modules inside; the module itself."""
        return self._with_stores(Store.unfreeze)

    def _with_stores(self: Self, function: Callable[[Store], object]) -> Self:
        for cell in self.cells():
            function(cell.data_store)
        Changes.count += 1
        return self

    def share(self: Self, other: Module, *names: str) -> Self:
        """Share parameters with another module of the same structure.

        Parameters
        ----------
        other
            Whose parameters to use.
        names
            ``"weight"``, ``"bias"``, and for the gradients too ``"gradWeight"``, ``"gradBias"``; buffers such as
            ``"running_mean"``.
        """
        mine, theirs = self.listModules(), other.listModules()
        _check_names(names, theirs)
        if len(mine) != len(theirs):
            message = f"cannot share: {self.label()} holds {len(mine)} modules, {other.label()} {len(theirs)}"
            raise GraphError(message)
        for module, source in zip(mine, theirs, strict=True):
            for name, with_grad in source._named(names).items():
                cell = source._cells[name]
                module._cells[name] = cell if with_grad else cell.with_own_grad()
                module._changed()
            for name in set(names) & set(source._buffers):
                module._buffers[name] = source._buffers[name]
                module._changed()
        return self

    def _named(self, names: tuple[str, ...]) -> dict[str, bool]:
        """Which own parameters are meant by names, and whether their gradients are too."""
        return {name: grad_name(name) in names for name in names if name in self._cells}

    def clone(self: Self, *names: str) -> Self:
        """A deep copy; with names, one that shares these parameters (see :meth:`share`)."""
        memo: dict[int, Any] = {}
        _check_names(names, self.listModules())
        for module in self.listModules():
            for name, with_grad in module._named(names).items():
                # Shared arrays are not copied at all: a clone costs by structure.
                cell = module._cells[name]
                memo[id(cell.data_store)] = cell.data_store
                if with_grad and cell.grad_store is not None:
                    memo[id(cell.grad_store)] = cell.grad_store
        from copy import deepcopy  # noqa: PLC0415 - needed here only, and nobody waits for it at import

        try:
            other = deepcopy(self, memo)
        except RecursionError:
            message = f"modules in {self.label()} are in one another too deep for Python to copy: put them side by side"
            raise GraphError(message) from None
        return other.share(self, *names) if names else other

    def reset(self, stdv: float | None = None) -> None:
        """Draw the parameters anew; see the modules that have some."""
        for module in self.children():
            module.reset(stdv)

    # ---- dtype ---------------------------------------------------------------------------------

    @property
    def dtype(self) -> Any:
        """The NumPy dtype that the module computes in."""
        return self.__dict__["_dtype"]

    def type(self: Self, name: Any = None) -> Any:
        """Convert to a dtype: ``"float32"``, ``"float64"``, or Torch's names; without one, tell it."""
        if name is None:
            return str(self.dtype)
        dtype = as_dtype(name)
        for module in self.listModules():
            module.__dict__["_dtype"] = dtype
            convert([*module._cells.values(), *module._buffers.values()], dtype)
        Changes.count += 1
        return self

    def float(self: Self) -> Self:
        """Convert to float32."""
        self.type("float32")
        return self

    def double(self: Self) -> Self:
        """Convert to float64."""
        self.type("float64")
        return self

    # ---- walks ---------------------------------------------------------------------------------

    def training(self: Self) -> Self:
        """Switch to training: dropout drops."""
        self.apply(lambda module: setattr(module, "train", True))
        return self

    def evaluate(self: Self) -> Self:
        """Switch to evaluation: dropout passes."""
        self.apply(lambda module: setattr(module, "train", False))
        return self

    def apply(self: Self, function: Callable[[Module], object]) -> Self:
        """Call a function with this module and with all modules inside, at any depth."""
        for module in self.listModules():
            function(module)
        return self

    def listModules(self) -> list[Module]:
        """The module itself and all modules inside, at any depth, a container before its modules."""
        modules: list[Module] = []
        inside: set[int] = set()  # the modules that the one at hand is in
        waiting: list[tuple[Module, bool]] = [(self, False)]
        while waiting:
            module, done = waiting.pop()
            if done:
                inside.discard(id(module))
                continue
            if id(module) in inside:
                message = f"a {type(module).__name__} contains itself"
                raise GraphError(message)
            modules.append(module)
            children = module.children()
            if children:
                inside.add(id(module))
                waiting.append((module, True))
                waiting.extend((child, False) for child in reversed(children))
        return modules

    def findModules(self, kind: str | builtins.type[Any]) -> tuple[list[Module], list[Module | None]]:
        """All modules of a class, given as such or by name, and the container that each is in."""
        self.listModules()  # refuses one that contains itself
        found: list[Module] = []
        containers: list[Module | None] = []
        waiting: list[tuple[Module, Module | None]] = [(self, None)]
        while waiting:
            module, container = waiting.pop()
            if _is_kind(module, kind):
                found.append(module)
                containers.append(container)
            waiting.extend((child, module) for child in reversed(module.children()))
        return found, containers

    def replace(self, function: Callable[[Module], Module]) -> Module:
        """Put `function(module)` in place of this module and of all inside.

        The function is called once for each module, a container before its modules, and then all are put in their
        places: a module that stands at several has the same one in its place at each, and an error changes nothing.

        Returns
        -------
        What comes in place of this module.
        """
        inside = {id(module): module for module in self.listModules()}
        new = {key: check_module(function(module), "replace") for key, module in inside.items()}
        for module in inside.values():
            module.replace_children(new)
        return new[id(self)]

    def replace_children(self, new: dict[int, Module]) -> None:
        """Put other modules in place of those directly inside, by their ids."""
        inside = {id(child) for child in self.children()}
        for name, value in list(self.__dict__.items()):
            if id(value) in inside:
                setattr(self, name, new[id(value)])

    # ---- graphs --------------------------------------------------------------------------------

    def __call__(self, *inputs: Any) -> Node:
        """A graph node: ``module()``, ``module(node)`` or ``module([node, node])``.

        Computing is done by :meth:`forward`.
        """
        return call_module(self, inputs)

    def __neg__(self) -> Node:
        """``-module`` is ``module()``."""
        return self()

    def __sub__(self, other: Any) -> Node:
        """Nothing but an error: a chain begins with a node."""
        message = f"{self.label()} is a module: a chain begins with a node, -module or node - module"
        raise GraphError(message)

    def __rsub__(self, inputs: Any) -> Node:
        """``[node, node] - module`` is ``module([node, node])``."""
        return self(inputs)

    # ---- text ----------------------------------------------------------------------------------

    def label(self) -> str:
        """The module in a few words, on one line: ``Linear(3 -> 5)``."""
        return f"{type(self).__name__}{self.describe()}"

    def describe(self) -> str:
        """What stands behind the class's name: ``(3 -> 5)``."""
        return ""

    def __repr__(self) -> str:
        return f"nn.{self.label()}"

    # ---- copies --------------------------------------------------------------------------------

    def __getstate__(self) -> dict[str, Any]:
        """Parameters and structure; neither gradients, results nor plans. Copies have gradients too."""
        left_out = ("_known_pairs", "_run", "_run_native", "_output", "_gradInput", "_fingerprint", "_evaluation")
        state = {name: value for name, value in self.__dict__.items() if name not in left_out}
        return {**state, "_dtype": str(self.dtype)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, _dtype=as_dtype(state["_dtype"]))
        Changes.count += 1


# Names that Torch7 code shares, whether or not a module has them.
_SHARED = {"weight", "bias", "gradWeight", "gradBias", "running_mean", "running_var", "running_std"}


def grad_name(name: str) -> str:
    """What the gradient of a parameter is called: ``gradWeight``."""
    return f"grad{name[0].upper()}{name[1:]}"


def _check_names(names: tuple[str, ...], modules: list[Module]) -> None:
    """Raise a GraphError for names of parameters that do not exist."""
    known = set(_SHARED)
    for module in modules:
        for name in (*module._cells, *module._buffers):
            known |= {name, grad_name(name)}
    wrong = [repr(name) for name in names if name not in known]
    if wrong:
        message = f"no parameter is called {' or '.join(wrong)}: there are {', '.join(sorted(known))}"
        raise GraphError(message)


def _holds_nodes(argument: Any) -> bool:
    entries = argument if isinstance(argument, (list, tuple)) else [argument]
    return any(isinstance(entry, Node) for entry in entries)


def same_modules(fingerprint: Any, other: Any) -> bool:
    """Whether two fingerprints are of the same modules and attributes; watched, frozen, in training or not."""

    def modules(parts: Any) -> list[Any]:
        return [(id(module), version, count) for module, version, _train, count, *_ in parts[1:]]

    return modules(fingerprint) == modules(other)


def _is_kind(module: Module, kind: str | builtins.type[Any]) -> bool:
    if isinstance(kind, str):
        return type(module).__name__ == kind.rsplit(".", 1)[-1]
    return isinstance(module, kind)


def number(value: Any, name: str) -> builtins.float:
    """`value`, which must be a number."""
    if isinstance(value, (int, float, np.integer, np.floating)) or (isinstance(value, np.ndarray) and value.ndim == 0):
        return float(value)
    message = f"{name} must be a number, got {type(value).__name__}"
    raise DTypeError(message)


def positive_sizes(name: str, *sizes: Any) -> None:
    """Raise a ShapeError unless all sizes are whole numbers from 1."""
    if not all(hasattr(size, "__index__") and size >= 1 for size in sizes):
        message = f"{name} needs whole sizes of at least 1, got {', '.join(map(str, sizes))}"
        raise ShapeError(message)


def check_module(module: Any, where: str) -> Module:
    """`module`, which must be one."""
    if isinstance(module, Module):
        return module
    hint = ""
    if isinstance(module, type) and issubclass(module, Module):
        hint = f": a class was given, write {module.__name__}(...)"
    elif isinstance(module, Node):
        hint = ": a graph node was given; pack the graph with nn.gModule first"
    elif isinstance(module, (list, tuple)):
        hint = f": write {where}(*modules)"
    message = f"{where} takes modules, got {type(module).__name__}{hint}"
    raise GraphError(message)
