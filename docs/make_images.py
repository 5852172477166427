"""Draw the pictures of the README anew: `python docs/make_images.py`, where graphviz is installed."""

from pathlib import Path

import numpy as np

import pynngraph as nn

IMAGES = Path(__file__).parent / "images"


def two_inputs() -> nn.gModule:
    """The first graph of the README, after a forward, so that its shapes are known."""
    in1, in2 = nn.Identity()(), nn.Identity()()
    score = nn.CAddTable()([nn.Linear(3, 5)(in1), nn.Linear(3, 5)(in2)])
    nn.annotateNodes()
    g = nn.gModule([in1, in2], [score])
    g.forward([np.zeros((3, 3)), np.zeros((3, 3))])
    return g


if __name__ == "__main__":
    nn.dot(two_inputs(), IMAGES / "two_inputs.svg")
