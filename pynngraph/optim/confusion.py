"""Which classes are taken for which."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..errors import DataError, ShapeError
from .vectors import Array


class ConfusionMatrix:
    """Counts of predictions by target, Torch7's ``optim.ConfusionMatrix``.

    Parameters
    ----------
    nclasses
        How many classes there are, or a list of their names.
    classes
        A list of names, if `nclasses` is a number.

    ``mat[t, p]`` counts how often p was predicted where t was right. Classes count from 0; a negative target is one
    that is missing, and is not counted. Shares, in [0, 1], are computed by :meth:`updateValids`: ``valids``, of each
    class; ``unionvalids``, of all that is of a class or was taken for it; ``averageValid``, ``averageUnionValid``;
    and ``totalValid``. They are NaN where there is nothing to count.

    Examples
    --------
    >>> import numpy as np, pynngraph as nn
    >>> confusion = nn.optim.ConfusionMatrix(["cat", "dog"])
    >>> confusion.add(np.array([0.2, 0.8]), 1)
    >>> confusion.batchAdd(np.array([[0.6, 0.4], [0.3, 0.7], [0.9, 0.1]]), np.array([0, 0, 0]))
    >>> print(confusion)  # doctest: +NORMALIZE_WHITESPACE
    ConfusionMatrix:
    [[       2       1]   66.667%   [class: cat]
     [       0       1]]  100.000%  [class: dog]
     + average row correct: 83.333333333333%
     + average rowUcol correct (VOC measure): 58.333333333333%
     + global correct: 75%
    """

    def __init__(self, nclasses: int | Sequence[str], classes: Sequence[str] | None = None) -> None:
        if not isinstance(nclasses, int):
            classes = nclasses
            nclasses = len(classes)
        if classes and len(classes) != nclasses:
            message = f"ConfusionMatrix of {nclasses} classes got {len(classes)} names"
            raise ShapeError(message)
        self.nclasses = nclasses
        self.classes = list(classes or ())
        self.mat = np.zeros((nclasses, nclasses), np.int64)
        self.zero()

    def zero(self) -> None:
        """Forget all."""
        self.mat[...] = 0
        self.valids = np.zeros(self.nclasses)
        self.unionvalids = np.zeros(self.nclasses)
        self.totalValid = self.averageValid = self.averageUnionValid = 0.0

    def add(self, prediction: Any, target: Any) -> None:
        """Count one prediction: each is a class, or an array of which the largest element says the class."""
        self._count(np.reshape(_classes(np.asarray(prediction), 0), 1), np.reshape(_classes(np.asarray(target), 0), 1))

    def batchAdd(self, predictions: Any, targets: Any) -> None:
        """Count many: each is an array of classes, (rows,) or (rows, 1), or (rows, classes) as in :meth:`add`."""
        self._count(_classes(np.asarray(predictions), 1), _classes(np.asarray(targets), 1))

    def _count(self, predictions: Array, targets: Array) -> None:
        if predictions.shape != targets.shape:
            message = f"ConfusionMatrix got {predictions.size} predictions and {targets.size} targets"
            raise ShapeError(message)
        known = targets >= 0
        predictions, targets = predictions[known], targets[known]
        for classes, what in ((predictions, "prediction"), (targets, "target")):
            wrong = classes[(classes < 0) | (classes >= self.nclasses)]
            if wrong.size:
                message = f"ConfusionMatrix of {self.nclasses} classes got the {what} {wrong[0]}"
                raise DataError(message)
        np.add.at(self.mat, (targets, predictions), 1)

    def updateValids(self) -> None:
        """Compute the shares of what was right."""
        right, rows, columns = np.diag(self.mat), self.mat.sum(1), self.mat.sum(0)
        with np.errstate(invalid="ignore"):
            self.valids = right / rows
            self.unionvalids = right / (rows + columns - right)
        self.averageValid = _mean(self.valids)
        self.averageUnionValid = _mean(self.unionvalids[rows > 0])
        total = int(self.mat.sum())
        self.totalValid = int(right.sum()) / total if total else math.nan

    def farFrr(self) -> tuple[Array, Array, Array, Array]:
        """The rates of false rejections and of false acceptances.

        Returns
        -------
        Rejections of each class, and acceptances, -1 where there are no samples of it; and the same without those
        classes. The acceptances of the only class that has samples are NaN.
        """
        rows = self.mat.sum(1)
        with np.errstate(divide="ignore", invalid="ignore"):
            shares = self.mat / rows[:, None]
            has = rows > 0
            accepted = np.where(has[:, None], shares, 0).sum(0) - np.where(has, np.diag(shares), 0)
            fars = np.where(has, accepted / (has.sum() - 1), -1.0)
            frrs = np.where(has, 1 - np.diag(shares), -1.0)
        return frrs, fars, frrs[has], fars[has]

    def __str__(self) -> str:
        self.updateValids()
        digits = max(8, 1 + len(str(int(self.mat.max(initial=0)))))
        lines = ["ConfusionMatrix:"]
        for t, row in enumerate(self.mat):
            start, end = "[[" if t == 0 else " [", "]] " if t == self.nclasses - 1 else "]  "
            name = f"\t[class: {self.classes[t]}]" if self.classes else ""
            lines.append(
                f"{start}{''.join(f'{count:{digits}d}' for count in row)}{end} {100 * self.valids[t]:.3f}% {name}"
            )
        lines.append(f" + average row correct: {100 * self.averageValid:.14g}% ")
        lines.append(f" + average rowUcol correct (VOC measure): {100 * self.averageUnionValid:.14g}% ")
        lines.append(f" + global correct: {100 * self.totalValid:.14g}%")
        return "\n".join(lines)

    def render(self, sortmode: str = "score") -> Any:
        """Draw it with matplotlib: each row's shares, as numbers and colours.

        Parameters
        ----------
        sortmode
            ``"score"`` to begin with the class that is right most often, ``"occurrence"`` with the most frequent one.

        Returns
        -------
        A ``matplotlib.figure.Figure``; ``savefig`` writes it to a file.
        """
        from matplotlib.figure import Figure  # noqa: PLC0415 - an extra

        rows = self.mat.sum(1)
        shares = self.mat / np.maximum(rows, 1)[:, None]
        keys = {"score": np.diag(shares), "occurrence": rows}
        if sortmode not in keys:
            message = f"sortmode is 'score' or 'occurrence', got {sortmode!r}"
            raise DataError(message)
        order = np.argsort(-keys[sortmode], kind="stable")
        self.updateValids()
        names = [self.classes[k] if self.classes else str(k) for k in order]
        size = 2 + 0.4 * self.nclasses
        figure = Figure((size, size), layout="constrained")
        axes = figure.subplots()
        axes.imshow(shares[np.ix_(order, order)], cmap="Blues", vmin=0, vmax=1)
        axes.set_xticks(range(self.nclasses), names, rotation=90)
        axes.set_yticks(range(self.nclasses), names)
        for t, row in enumerate(shares[np.ix_(order, order)]):
            for p, share in enumerate(row):
                colour = "white" if share > 0.5 else "black"
                axes.text(p, t, f"{100 * share:02.0f}", ha="center", va="center", color=colour)
        axes.set_xlabel("prediction")
        axes.set_ylabel("target")
        axes.set_title(f"{100 * self.totalValid:.3f} % right, {100 * self.averageValid:.3f} % by class")
        return figure


def _classes(array: Array, n_batch: int) -> Array:
    """Classes, or the places of largest elements, one for each sample."""
    if array.ndim == n_batch + 1:
        array = array.reshape(array.shape[:n_batch]) if n_batch and array.shape[-1] == 1 else array.argmax(-1)
    if array.ndim != n_batch:
        message = f"ConfusionMatrix takes classes or one number for each class, got shape {array.shape}"
        raise ShapeError(message)
    return array.astype(np.int64)


def _mean(values: Array) -> float:
    """The mean of those that are numbers; NaN if there are none."""
    values = values[~np.isnan(values)]
    return float(values.mean()) if values.size else math.nan
