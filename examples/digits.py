"""Handwritten digits: a graph with two paths learns to read them, in a few seconds.

    python examples/digits.py            (or `make demo`, which sets everything up)

It trains on four fifths of the 1,797 images that scikit-learn ships and is judged by the rest. Then
it shows what a graph with two inputs gives back, and what a wrong call to it gets.
"""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

import pynngraph as nn

try:
    import matplotlib as mpl
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split
    from tqdm import tqdm
except ImportError as missing:
    sys.exit(f"{missing}. The demo needs: pip install matplotlib scikit-learn tqdm")

mpl.use("Agg")  # draws to files, needs no screen
import matplotlib.pyplot as plt

GOAL = 0.97  # of the held-out images
BATCH = 32


def main() -> int:
    """Train, draw, and show a right call and a wrong one."""
    options = parse_arguments()
    options.out.mkdir(parents=True, exist_ok=True)
    nn.manualSeed(options.seed)

    graph = build_graph().type(options.dtype)
    print(f"A graph of {len(graph.modules)} modules learns to read 8x8 images of digits.\n")
    start = time.perf_counter()
    history = train(graph, load_data(options.dtype), options.epochs, options.seed)
    seconds = time.perf_counter() - start
    accuracy = history.accuracy[-1]
    print(f"\n{accuracy:.2%} of the held-out images are read rightly, after {seconds:.1f} s.")

    print("\nPictures:")
    draw_graph(graph, options.out)
    draw_training(history, options.out / "training.png")
    show_two_inputs()
    print(NEXT)

    if accuracy < GOAL:
        print(f"error: {accuracy:.2%} is less than {GOAL:.0%}, the goal", file=sys.stderr)
        return 1
    return 0


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description="Train a graph on handwritten digits.")
    parser.add_argument("--epochs", type=positive, default=40, help="passes over the training images")
    parser.add_argument("--seed", type=int, default=1, help="of first weights, batches and dropout")
    parser.add_argument("--dtype", choices=("float32", "float64"), default="float32")
    parser.add_argument("--out", type=Path, default=Path("demo-output"), help="folder for pictures")
    return parser.parse_args()


def positive(text: str) -> int:
    """Read a whole number of at least 1."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"at least 1, got {number}")
    return number


# ---- the graph ----------------------------------------------------------------------------------


def build_graph() -> nn.gModule:
    """Build the graph: x goes straight and through layers, the paths meet in a product.

    Calling a module on a node makes a node; nothing is computed yet.
    """
    x = nn.Identity()().annotate(name="pixels")
    hidden = nn.ReLU()(nn.Linear(64, 256)(x))
    weights = nn.Sigmoid()(nn.Linear(256, 64)(hidden)).annotate(name="a weight for each pixel")
    weighted = nn.CMulTable()([x, weights])

    features = nn.Dropout(0.5)(nn.ReLU()(nn.Linear(64, 256)(weighted)))
    scores = nn.LogSoftMax()(nn.Linear(256, 10)(features)).annotate(name="log-probabilities")
    return nn.gModule([x], [scores])


# ---- training -----------------------------------------------------------------------------------


@dataclass
class Data:
    """Images, a row of 64 pixels each, and the digits that they show."""

    images: np.ndarray
    digits: np.ndarray
    held_out_images: np.ndarray
    held_out_digits: np.ndarray


def load_data(dtype: str) -> Data:
    """Load the images and hold out a fifth of them: the same ones in every run."""
    images, digits = load_digits(return_X_y=True)
    images = (images / 4).astype(dtype)  # 0 ... 4
    split = train_test_split(images, digits, test_size=0.2, stratify=digits, random_state=0)
    images, held_out_images, digits, held_out_digits = split
    return Data(images, digits, held_out_images, held_out_digits)


def moved(images: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Move a third of the images by a pixel, up, down, left or right: the same digits still."""
    squares = images.reshape(-1, 8, 8).copy()
    chosen = rng.random(len(squares)) < 1 / 3
    squares[chosen] = np.roll(squares[chosen], rng.choice([-1, 1]), axis=rng.integers(1, 3))
    return squares.reshape(images.shape)


@dataclass
class History:
    """The mean loss of each epoch, and the accuracy on the held-out images after it."""

    loss: list[float] = field(default_factory=list)
    accuracy: list[float] = field(default_factory=list)


def train(graph: nn.gModule, data: Data, epochs: int, seed: int) -> History:
    """Train by gradient descent on small batches, as one does in Torch7."""
    criterion = nn.ClassNLLCriterion().type(graph.type())
    parameters, gradients = graph.getParameters()  # all of them, as two vectors
    # Torch7's momentum averages gradients (its dampening), so rates are larger than elsewhere.
    config = {"learningRate": 0.3, "momentum": 0.9, "learningRateDecay": 1e-3}
    rng = np.random.default_rng(seed)
    history = History()

    def step(images: np.ndarray, digits: np.ndarray) -> float:
        """Move the parameters a little downhill; return the loss met before."""

        def loss_and_gradients(_parameters: np.ndarray) -> tuple[float, np.ndarray]:
            gradients.fill(0)
            scores = graph.forward(images)
            loss = criterion.forward(scores, digits)
            graph.backward(images, criterion.backward(scores, digits))
            return loss, gradients

        _, (loss,) = nn.optim.sgd(loss_and_gradients, parameters, config)
        return loss

    with tqdm(range(epochs), unit="epoch") as bar:
        for _ in bar:
            graph.training()
            order = rng.permutation(len(data.images))
            batches = [order[i : i + BATCH] for i in range(0, len(order), BATCH)]
            losses = [step(moved(data.images[b], rng), data.digits[b]) for b in batches]

            graph.evaluate()
            answers = graph.forward(data.held_out_images).argmax(axis=1)
            history.loss.append(float(np.mean(losses)))
            history.accuracy.append(float(np.mean(answers == data.held_out_digits)))
            bar.set_postfix_str(f"loss {history.loss[-1]:.4f}, accuracy {history.accuracy[-1]:.2%}")
    return history


# ---- pictures -----------------------------------------------------------------------------------


def draw_graph(graph: nn.gModule, folder: Path) -> None:
    """Write the graph as DOT text, and as SVG where Graphviz is there to draw it."""
    nn.dot(graph, folder / "graph.dot")
    print(f"  {folder / 'graph.dot'}: the graph, as text")
    try:
        nn.dot(graph, folder / "graph.svg")
    except nn.errors.GraphError:
        print("  (for a drawing of it install Graphviz, e.g.: sudo apt install graphviz)")
    else:
        print(f"  {folder / 'graph.svg'}: the graph, drawn")


def draw_training(history: History, path: Path) -> None:
    """Plot loss and accuracy over the epochs."""
    epochs = range(1, len(history.loss) + 1)
    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4.5), layout="constrained")
    left.plot(epochs, history.loss, color="tab:blue")
    left.set(yscale="log", xlabel="epoch", ylabel="mean loss (negative log-likelihood)")
    left.set_title("Training images")
    right.plot(epochs, [100 * accuracy for accuracy in history.accuracy], color="tab:green")
    right.axhline(100 * GOAL, color="gray", linestyle="--", label=f"goal: {GOAL:.0%}")
    right.set(xlabel="epoch", ylabel="read rightly (%)")
    right.set_title(f"Held-out images: {history.accuracy[-1]:.2%} at the end")
    right.legend(loc="lower right")
    for axes in (left, right):
        axes.grid(alpha=0.3)
    figure.savefig(path, dpi=120)
    plt.close(figure)
    print(f"  {path}: how the training went")


# ---- two inputs ---------------------------------------------------------------------------------


def show_two_inputs() -> None:
    """Show a graph of two inputs: `backward` answers with two gradients, in their structure."""
    in1, in2 = nn.Identity()(), nn.Identity()()
    score = nn.CAddTable()([nn.Linear(3, 5)(in1), nn.Linear(3, 5)(in2)])
    g = nn.gModule([in1, in2], [score])

    rng = np.random.default_rng(0)
    x, x_p = rng.random((3, 3)), rng.random((3, 3))
    out = g.forward([x, x_p])
    err = np.ones_like(out)
    grad_x, grad_xp = g.backward([x, x_p], err)

    print("\nA graph of two inputs: score = Linear(x) + Linear(x_p)")
    with np.printoptions(precision=4, suppress=True):
        print(">>> grad_x, grad_xp = g.backward([x, x_p], err)")
        print(f">>> grad_x\n{grad_x}\n>>> grad_xp\n{grad_xp}")
    print(">>> g.backward(x, err)  # one array, where forward had a list of two")
    try:
        g.backward(x, err)
    except nn.errors.StructureError as error:
        print(f"{type(error).__name__}: {error}")


NEXT = """
What to try next:
  python examples/digits.py --help    other seeds, epochs, dtypes
  make lib                            the C library; examples/c/embed.c shows a graph without Python
  make bench                          how fast it is beside NumPy, PyTorch and ONNX Runtime
  make test                           the tests, which are examples too"""

if __name__ == "__main__":
    sys.exit(main())
