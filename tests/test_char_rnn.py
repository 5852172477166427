"""The example of a language model: it runs, goes on exactly, and learns as the same net in PyTorch."""

import importlib.util
import sys
from argparse import Namespace

import numpy as np
import pytest
from samples import ROOT, python
from tolerances import assert_close, relative
from trees import leaves

import pynngraph as nn

SCRIPT = ROOT / "examples" / "char_rnn.py"
TINY = ["--hidden", "8", "--steps", "7", "--batch", "5"]
TEXT = "Is this a text?\nIt is: the text of a test is a text as others are.\n" * 20


@pytest.fixture
def char_rnn(monkeypatch):
    """The script, as a module."""
    spec = importlib.util.spec_from_file_location("char_rnn", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "char_rnn", module)  # where pickle looks for its classes
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def run(char_rnn, monkeypatch, tmp_path, capsys):
    """Run it with a small text; what it printed, and its checkpoint."""
    text = tmp_path / "text.txt"
    text.write_text(TEXT, encoding="utf-8")

    def run(folder, *arguments):
        first = [] if "--resume" in arguments else ["--text", text, *TINY]
        arguments = map(str, (*first, "--out", tmp_path / folder, *arguments))
        monkeypatch.setattr("sys.argv", ["char_rnn.py", *arguments])
        assert char_rnn.main() == 0
        return capsys.readouterr().out, char_rnn.load_checkpoint(tmp_path / folder / "checkpoint.pkl")

    return run


def test_it_runs_as_a_script_on_what_python_carries(tmp_path):
    result = python(str(SCRIPT), *TINY, "--iterations", "3", "--sample", "40", "--out", str(tmp_path))
    assert result.returncode == 0, result.stderr
    first, *_, written = result.stdout.split("\n", 2)
    assert int(first.split()[0].replace(",", "")) > 100_000
    assert len(written.rstrip("\n")) <= 40
    assert (tmp_path / "checkpoint.pkl").exists()


def test_it_learns(run):
    _, end = run("out", "--epochs", "8", "--rate", "0.02", "--sample", "1")
    assert np.mean(end.losses[-10:]) < 0.6 * np.mean(end.losses[:3])
    assert len(end.held_out) == 8
    assert end.held_out[-1] < end.held_out[0]


@pytest.mark.parametrize("at", [3, 40], ids=["within an epoch", "in a later one"])
def test_a_resumed_run_has_the_numbers_of_one_that_was_not_interrupted(run, tmp_path, at):
    options = ("--dropout", "0.3")
    written, whole = run("whole", *options, "--iterations", 50)
    run("part", *options, "--iterations", at)
    again, resumed = run("part", "--resume", tmp_path / "part" / "checkpoint.pkl", "--iterations", 50)
    assert resumed.losses == whole.losses
    assert resumed.held_out == whole.held_out
    assert len(whole.losses) == 50
    for mine, theirs in zip(resumed.net.parameters()[0], whole.net.parameters()[0], strict=True):
        assert (mine == theirs).all()
    assert again == written


def test_ctrl_c_leaves_the_last_checkpoint(run, char_rnn, monkeypatch):
    evaluations = iter(range(100))
    judge = char_rnn.judge

    def interrupted(*arguments):
        if next(evaluations) == 2:
            raise KeyboardInterrupt
        return judge(*arguments)

    monkeypatch.setattr(char_rnn, "judge", interrupted)
    printed, last = run("out", "--epochs", 4)
    assert "Ended after" in printed
    assert len(last.held_out) == 2


def test_a_text_that_is_too_short_is_an_error_that_says_so(char_rnn):
    with pytest.raises(SystemExit, match="9 characters to train on are fewer than"):
        char_rnn.Text(Namespace(text="ten of 'em", held_out=0.1, steps=7, batch=5))


def test_text_is_cut_into_streams_that_go_on_from_batch_to_batch(char_rnn):
    cut = char_rnn.batches(np.arange(35), 4, 3)  # three streams of 11 steps
    assert len(cut) == 2
    for k, (read, follows) in enumerate(cut):
        assert (read == [[0 + t, 11 + t, 22 + t] for t in range(4 * k, 4 * k + 4)]).all()
        assert (follows.reshape(4, 3) == read + 1).all()


# ---- beside PyTorch ------------------------------------------------------------------------------


def build_in_pytorch(torch, net, kinds, hidden, layers):
    """The net with the same weights, as modules by name."""
    theirs = torch.nn.ModuleDict({
        "embedding": torch.nn.Embedding(kinds, hidden),
        "lstm": torch.nn.LSTM(hidden, hidden, layers),
        "out": torch.nn.Linear(hidden, kinds),
    }).double()  # fmt: skip
    order = ("weight_ih", "bias_ih", "weight_hh", "bias_hh")
    lstm = [getattr(theirs["lstm"], f"{name}_l{layer}") for layer in range(layers) for name in order]
    parameters = [theirs["embedding"].weight, *lstm, theirs["out"].weight, theirs["out"].bias]
    with torch.no_grad():
        for place, (parameter, mine) in enumerate(zip(parameters, net.parameters()[0], strict=True)):
            if 0 < place <= 4 * layers:  # PyTorch has the rows of o after those of g
                i, f, o, g = np.split(mine, 4)
                parameter.copy_(torch.tensor(np.concatenate([i, f, g, o])))
            else:
                parameter.copy_(torch.tensor(mine))
    return theirs


def losses_in_pytorch(torch, theirs, batches, options):
    """The losses of RMSprop on these batches."""
    optimiser = torch.optim.RMSprop(theirs.parameters(), options.rate, alpha=0.95)
    state, losses = None, []
    for read, follows in batches:
        h, state = theirs["lstm"](theirs["embedding"](torch.tensor(read)), state)
        state = tuple(part.detach() for part in state)
        scores = theirs["out"](h).reshape(len(follows), -1)
        loss = torch.nn.functional.cross_entropy(scores, torch.tensor(follows))
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(theirs.parameters(), options.clip)
        optimiser.step()
        losses.append(loss.item())
    return losses


@pytest.mark.parametrize(("clip", "dtype"), [(0.1, "float64"), (1e9, "float64"), (5.0, "float32")])
def test_the_curve_of_losses_is_that_of_pytorch(char_rnn, tmp_path, clip, dtype):
    torch = pytest.importorskip("torch")
    options = Namespace(text=2 * TEXT, hidden=8, layers=2, dropout=0.0, steps=7, batch=5, rate=0.02, decay=0.9,
                        clip=clip, held_out=0.05, seed=1, dtype=dtype, epochs=1, iterations=50,
                        out=tmp_path)  # fmt: skip
    run = char_rnn.begin(options)
    text = char_rnn.Text(options)
    theirs = build_in_pytorch(torch, run.net, len(text.vocabulary), 8, 2)
    char_rnn.train(run, text)
    assert len(run.losses) == 50
    assert run.losses[-1] < 0.9 * run.losses[0]
    # Clipping divides by the norm plus 1e-6 there, plus 1e-12 here.
    expected = losses_in_pytorch(torch, theirs, text.batches[:50], options)
    assert_close(run.losses, expected, relative(1e-9 if clip > 100 else 1e-5, 1e-4), dtype)


def test_the_state_of_the_net_is_that_of_its_lstm(char_rnn):
    net = char_rnn.build_net(9, 4, 3, 0.0)
    state = char_rnn.zero_state(net, 2)
    assert [leaf.shape for leaf in leaves(state)] == [(2, 4)] * 6
    scores, after = net.forward([np.zeros((5, 2), np.int64), state])
    assert scores.shape == (10, 9)
    assert [leaf.shape for leaf in leaves(after)] == [(2, 4)] * 6
    assert char_rnn.parameter_count(net) == sum(parameter.size for parameter in net.parameters()[0])
    assert isinstance(net, nn.gModule)
