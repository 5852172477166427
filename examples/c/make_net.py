"""Write net.safetensors and data.csv, beside this file: what the programs here are run on."""

from pathlib import Path

import numpy as np

import pynngraph as nn

here = Path(__file__).parent
nn.manualSeed(1)
x = np.random.default_rng(1).uniform(-1, 1, (64, 2)).astype(np.float32)
net = nn.Sequential(nn.Linear(2, 8), nn.Tanh(), nn.Linear(8, 1)).float()
nn.save(here / "net.safetensors", net, input=x)
np.savetxt(here / "data.csv", np.column_stack([x, x[:, 0] * x[:, 1]]), "%.6f", ",")
