"""A character-level language model: layers of LSTM learn to write like a text, character by character.

    python examples/char_rnn.py                        the texts that come with Python
    python examples/char_rnn.py --text shakespeare.txt --hidden 256 --dropout 0.2
    python examples/char_rnn.py --resume char-rnn/checkpoint.pkl --epochs 20

It reads the text in streams side by side, some steps at a time: the state is handed on from batch to batch,
gradients are not. Ctrl-C ends the training early; a later --resume goes on from the last checkpoint, with the
numbers that it would have had. The first of those who did this was char-rnn by Andrej Karpathy, in Torch7.
"""

from __future__ import annotations

import argparse
import pickle
import sys
import sysconfig
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

import pynngraph as nn

try:
    from tqdm import tqdm
except ImportError as missing:
    sys.exit(f"{missing}. The example needs: pip install tqdm")


def main() -> int:
    """Train, or go on with it, and write a sample."""
    options = parse_arguments()
    if options.resume is None:
        options.text = default_text() if options.text is None else options.text.read_text(encoding="utf-8")
        run = begin(options)
    else:
        run = load_checkpoint(options.resume)
        run.options.epochs, run.options.iterations = options.epochs, options.iterations
        run.options.out, run.options.sample = options.out, options.sample
    text = Text(run.options)
    print(
        f"{len(run.options.text):,} characters of {len(text.vocabulary)} kinds; {parameter_count(run.net):,} parameters"
    )
    train(run, text)
    if run.options.sample:
        print(f"\n{sample(run, text, run.options.sample)}")
    return 0


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description="Train a language model of characters.")
    parser.add_argument("--text", type=Path, help="what to learn, a text file in UTF-8")
    parser.add_argument("--resume", type=Path, metavar="CHECKPOINT", help="go on from here, with the settings there")
    parser.add_argument("--epochs", type=positive, default=5, help="passes over the text")
    parser.add_argument("--iterations", type=positive, help="end after so many batches, whatever --epochs says")
    parser.add_argument(
        "--hidden", type=positive, default=128, help="size of h and c, and of what stands for a character"
    )
    parser.add_argument("--layers", type=positive, default=2)
    parser.add_argument("--dropout", type=float, default=0.0, help="between layers, and before the scores")
    parser.add_argument("--steps", type=positive, default=50, help="steps through which gradients flow")
    parser.add_argument("--batch", type=positive, default=50, help="streams side by side")
    parser.add_argument("--rate", type=float, default=2e-3, help="learning rate of RMSprop")
    parser.add_argument("--decay", type=float, default=0.9, help="what the rate is multiplied by after each epoch")
    parser.add_argument("--clip", type=float, default=1.0, help="the largest norm of the gradient")
    parser.add_argument("--held-out", type=float, default=0.05, help="part of the text to judge by")
    parser.add_argument("--seed", type=int, default=1, help="of first weights, dropout and the sample")
    parser.add_argument("--dtype", choices=("float32", "float64"), default="float32")
    parser.add_argument("--out", type=Path, default=Path("char-rnn"), help="folder for the checkpoint")
    parser.add_argument("--sample", type=int, default=500, help="characters to write at the end")
    return parser.parse_args()


def positive(text: str) -> int:
    """Read a whole number of at least 1."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"at least 1, got {number}")
    return number


# ---- the text -----------------------------------------------------------------------------------


def default_text() -> str:
    """Return what every installation of Python carries: its licence, and the topics of its `help()`."""
    from pydoc_data.topics import topics  # noqa: PLC0415 - large, and needed here only

    licence = Path(sysconfig.get_path("stdlib")) / "LICENSE.txt"
    texts = [licence.read_text(encoding="utf-8")] if licence.exists() else []
    return "\n\n".join([*texts, *(topics[name] for name in sorted(topics))])


class Text:
    """A text as batches of numbers, and its vocabulary."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.vocabulary = sorted(set(options.text))
        self.number = {character: place for place, character in enumerate(self.vocabulary)}
        numbers = np.array([self.number[character] for character in options.text])
        end = int(len(numbers) * (1 - options.held_out))
        self.batches = batches(numbers[:end], options.steps, options.batch)
        self.held_out = batches(numbers[end:], options.steps, 1)
        if not self.batches:
            sys.exit(f"error: {end:,} characters to train on are fewer than --batch streams of --steps and one more")


def batches(numbers: np.ndarray, steps: int, streams: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Cut numbers into streams side by side, and these into pairs of what is read and what follows."""
    length = (len(numbers) - 1) // streams
    read = numbers[: length * streams].reshape(streams, length).T
    follows = numbers[1 : length * streams + 1].reshape(streams, length).T
    return [(read[k : k + steps].copy(), follows[k : k + steps].ravel()) for k in range(0, length - steps + 1, steps)]


# ---- the net ------------------------------------------------------------------------------------


def build_net(kinds: int, hidden: int, layers: int, dropout: float) -> nn.gModule:
    """Build the net: of numbers (steps, batch) and a state, scores of what follows, a row each, and the new state."""
    characters, state = nn.Identity()(), nn.Identity()()
    embedded = nn.LookupTable(kinds, hidden)(characters)
    h, new_state = nn.LSTM(hidden, hidden, layers, dropout)([embedded, state]).split(2)
    rows = nn.Dropout(dropout)(nn.View(-1, hidden)(h))
    scores = nn.LogSoftMax()(nn.Linear(hidden, kinds)(rows))
    return nn.gModule([characters, state], [scores, nn.Identity()(new_state)])


def zero_state(net: nn.gModule, batch: int) -> Any:
    """Return the state that streams begin with."""
    (lstm,), _ = net.findModules(nn.LSTM)
    return lstm.zeroState(batch)


def parameter_count(net: nn.gModule) -> int:
    """Return how many numbers are learned."""
    return sum(parameter.size for parameter in net.parameters()[0])


# ---- training -----------------------------------------------------------------------------------


@dataclass
class Run:
    """All that a training run is made of, from one batch to the next."""

    options: argparse.Namespace
    net: nn.gModule
    state: Any  # what the streams hand on
    optimiser: dict[str, Any] = field(default_factory=dict)  # what RMSprop keeps
    iteration: int = 0
    losses: list[float] = field(default_factory=list)  # of each batch
    held_out: list[float] = field(default_factory=list)  # of each epoch
    random: Any = None


def begin(options: argparse.Namespace) -> Run:
    """Begin a run."""
    nn.manualSeed(options.seed)
    net = build_net(len(set(options.text)), options.hidden, options.layers, options.dropout).type(options.dtype)
    return Run(options, net, zero_state(net, options.batch))


def train(run: Run, text: Text) -> None:
    """Train to the end of the last epoch; Ctrl-C ends it before."""
    options, net = run.options, run.net
    criterion = nn.ClassNLLCriterion().type(options.dtype)
    parameters, gradients = net.getParameters()
    per_epoch = len(text.batches)
    end = min(per_epoch * options.epochs, options.iterations or sys.maxsize)
    options.out.mkdir(parents=True, exist_ok=True)

    def step(read: np.ndarray, follows: np.ndarray, rate: float) -> None:
        """Move the parameters a little downhill, and the state some steps on."""
        input = [read, run.state]

        def loss_and_gradients(_parameters: np.ndarray) -> tuple[float, np.ndarray]:
            gradients.fill(0)
            scores, run.state = net.forward(input)
            loss = criterion.forward(scores, follows)
            nothing = nn.tree.map_leaves(np.zeros_like, run.state)  # gradients end where the batch does
            net.backward(input, [criterion.backward(scores, follows), nothing], gradInput=False)
            np.multiply(gradients, min(1, options.clip / (np.linalg.norm(gradients) + 1e-12)), out=gradients)
            return loss, gradients

        config = {"learningRate": rate, "alpha": 0.95}
        _, (loss,) = nn.optim.rmsprop(loss_and_gradients, parameters, config, run.optimiser)
        run.losses.append(loss)

    net.training()
    try:
        with tqdm(total=end, initial=min(run.iteration, end), unit="batch", disable=run.iteration >= end) as bar:
            while run.iteration < end:
                epoch, place = divmod(run.iteration, per_epoch)
                if place == 0:
                    run.state = zero_state(net, options.batch)
                step(*text.batches[place], options.rate * options.decay**epoch)
                run.iteration += 1
                if run.iteration % per_epoch == 0 and text.held_out:
                    run.held_out.append(judge(run, text, criterion))
                if run.iteration % per_epoch == 0 or run.iteration == end:
                    save_checkpoint(options.out / "checkpoint.pkl", run)
                bar.update()
                bar.set_postfix_str(progress(run))
    except KeyboardInterrupt:
        print(f"\nEnded after {run.iteration} batches.")


def judge(run: Run, text: Text, criterion: nn.Criterion) -> float:
    """Return the mean loss on the text that was held out, read as one stream."""
    run.net.evaluate()
    state, losses = zero_state(run.net, 1), []
    for read, follows in text.held_out:
        scores, state = run.net.forward([read, state])
        losses.append(criterion.forward(scores, follows))
    run.net.training()
    return float(np.mean(losses))


def progress(run: Run) -> str:
    """Return the losses in words: nats a character, the mean of some batches."""
    words = f"loss {np.mean(run.losses[-50:]):.3f}"
    return f"{words}, held out {run.held_out[-1]:.3f}" if run.held_out else words


def save_checkpoint(path: Path, run: Run) -> None:
    """Write all of a run, to be read by :func:`load_checkpoint`; a crash meanwhile leaves the file of before."""
    run.random = nn.random.get_state()
    new = path.with_suffix(".new")
    new.write_bytes(pickle.dumps(run))
    new.replace(path)


def load_checkpoint(path: Path) -> Run:
    """Read a run. As every pickle, a checkpoint may run any code: take it only from whom you trust."""
    run: Run = pickle.loads(path.read_bytes())  # noqa: S301 - the user's own
    nn.random.set_state(run.random)
    return run


# ---- writing ------------------------------------------------------------------------------------


def sample(run: Run, text: Text, length: int, temperature: float = 0.8) -> str:
    """Write some text: each character is drawn by the scores that those before it give."""
    rng = np.random.default_rng(run.options.seed)
    net = run.net.clone().evaluate()  # the run's own goes on as it was
    state, characters = zero_state(net, 1), ["\n" if "\n" in text.number else text.vocabulary[0]]
    for _ in range(length):
        scores, state = net.forward([np.array([[text.number[characters[-1]]]]), state])
        odds = np.exp(scores[0].astype(np.float64) / temperature)
        characters.append(text.vocabulary[rng.choice(len(odds), p=odds / odds.sum())])
    return "".join(characters[1:])


if __name__ == "__main__":
    sys.exit(main())
