"""Write the models beside this file: small ones of many kinds of ops, for the tests of the loader in C."""

from pathlib import Path

import numpy as np

import pynngraph as nn


def models():
    """A model and its input, by the name of the file."""
    nn.manualSeed(1)
    rng = np.random.default_rng(1)
    words, scale = nn.Identity()().annotate(name="words"), nn.Identity()()
    found = nn.LookupTable(5, 3)(words)
    return {
        "normalised": (
            nn.Sequential(nn.Linear(4, 3), nn.BatchNormalization(3), nn.PReLU(), nn.Dropout(0.3), nn.LogSoftMax()),
            rng.standard_normal((3, 4)),
        ),
        "planes": (
            nn.Sequential(
                nn.SpatialConvolution(2, 3, 3, 3), nn.SpatialBatchNormalization(3), nn.ReLU(),
                nn.SpatialMaxPooling(2, 2, 2, 2), nn.SpatialUpSamplingNearest(2),
                nn.SpatialFullConvolution(3, 2, 2, 2), nn.SpatialAveragePooling(2, 2),
            ),
            rng.standard_normal((2, 2, 8, 8)),
        ),
        "table": (
            nn.gModule(
                [words, scale],
                [nn.CMulTable()([nn.Sum(1)(found), scale]), nn.MM()([found, nn.Transpose((1, 2))(found)])],
            ),
            [np.array([[1, 2, 3], [0, 4, 4]]), np.ones((2, 3))],
        ),
        "sequence": (nn.LSTM(3, 2), rng.standard_normal((4, 2, 3))),
    }  # fmt: skip


def main():
    for name, (model, x) in models().items():
        input = nn.tree.map_leaves(lambda leaf: leaf if leaf.dtype == np.int64 else leaf.astype(np.float32), x)
        nn.save(Path(__file__).parent / f"{name}.safetensors", model.float(), input=input)


if __name__ == "__main__":
    main()
