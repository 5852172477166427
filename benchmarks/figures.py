"""What all pictures have in common."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

OURS, ENGINE = "pynngraph", "pynngraph, prepared"
# Colours that differ for the colour-blind too (Okabe and Ito).
COLOURS = {
    ENGINE: "#d55e00",
    OURS: "#e69f00",
    "NumPy": "#0072b2",
    "PyTorch": "#009e73",
    "ONNX Runtime": "#cc79a7",
    "OpenVINO": "#56b4e9",
    "torch.compile": "#7a5195",
    "JAX": "#555555",
}


def figure(rows: int, columns: int, width: float, height: float) -> Any:
    """Return a figure and its axes, in the style of all of them."""
    import matplotlib as mpl  # noqa: PLC0415
    from matplotlib.figure import Figure  # noqa: PLC0415

    mpl.rcParams.update(
        {
            "svg.fonttype": "none",  # text stays text: small files
            "svg.hashsalt": "pynngraph",  # the same picture for the same numbers
            "font.family": "sans-serif",
            "font.sans-serif": ["DejaVu Sans", "Verdana", "Arial", "sans-serif"],
            "font.size": 9,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.grid": True,
            "grid.color": "#dddddd",
            "grid.linewidth": 0.6,
        }
    )
    drawn = Figure(figsize=(width, height), layout="constrained", facecolor="white")
    return drawn, drawn.subplots(rows, columns, squeeze=False)


def save(drawn: Any, path: Path) -> None:
    """Write a figure, without a date: the same numbers give the same file."""
    drawn.savefig(path, dpi=110, metadata={"Date": None} if path.suffix == ".svg" else None)


def legend(drawn: Any, panels: Any) -> None:
    """Put one legend below all panels, for whatever they have."""
    known: dict[str, Any] = {}
    for panel in panels.flat:
        for handle, label in zip(*panel.get_legend_handles_labels(), strict=True):
            known.setdefault(label, handle)
    drawn.legend(known.values(), known.keys(), loc="outside lower center", ncols=len(known), frameon=False)
