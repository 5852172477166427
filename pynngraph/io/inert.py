"""What stands in a model for a class of Torch's that is not here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..errors import GraphError
from ..nn.module import Module

if TYPE_CHECKING:
    from ..nn.lowering import Builder, Values


class Inert(Module):
    """An object of a class that is not known here: it can be looked at and saved again, but not run.

    Attributes
    ----------
    className
        The name of its class in Torch7.
    record
        What the file holds of it, a :class:`pynngraph.io.t7.Record`.
    reason
        What is missing.
    """

    def __init__(self, record: Any, reason: str) -> None:
        self.className: str = record.name
        self.record = record
        self.reason = reason

    def lower(self, b: Builder, input: Values) -> Values:  # noqa: ARG002 - it is that of all modules
        """Nothing but an error."""
        message = f"{b.where()} cannot run: {self.reason}"
        raise GraphError(message)

    def label(self) -> str:
        """The class in the file."""
        return self.className


def inert_modules(module: Module) -> list[Inert]:
    """The modules inside that cannot run, each once."""
    found = {id(inner): inner for inner in module.listModules() if isinstance(inner, Inert)}
    return list(found.values())
