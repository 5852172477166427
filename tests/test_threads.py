"""The engine's threads: how many there are, what they may not change, and what they survive."""

import os
import sys
import threading
import time
import warnings
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from op_runner import run_all
from samples import normal, python
from tolerances import EXACT, assert_trees_close
from trees import tree_map

import pynngraph as nn
from pynngraph import threadpool

COUNTS = (2, 3, 4, 8)
LINUX = pytest.mark.skipif(sys.platform != "linux", reason="looks at /proc, or asks for CPUs as Linux does")


@pytest.fixture(autouse=True)
def _same_number_afterwards():
    before = nn.get_num_threads()
    yield
    nn.set_num_threads(before)


# ---- how many ----


def test_the_number_is_what_was_set():
    for count in (1, 7, 1024, np.int64(3)):
        nn.set_num_threads(count)
        assert nn.get_num_threads() == count


@pytest.mark.parametrize(
    ("count", "error"), [(0, ValueError), (-2, ValueError), (1025, ValueError), (10**30, ValueError), (2.5, TypeError),
                         ("2", TypeError), (None, TypeError)]
)  # fmt: skip
def test_a_number_that_cannot_be_had_is_an_error_and_changes_nothing(count, error):
    nn.set_num_threads(5)
    with pytest.raises(error):
        nn.set_num_threads(count)
    assert nn.get_num_threads() == 5


TELL = "import pynngraph as nn; print(nn.get_num_threads())"


@pytest.mark.parametrize("text", ["1", "3", "1024"])
def test_the_environment_sets_the_number(text):
    done = python("-c", TELL, PYNNGRAPH_NUM_THREADS=text)
    assert done.stdout.strip() == text, done.stderr


USES = ("nn.Tanh().forward(numpy.ones(3))", "nn.get_num_threads()")


@pytest.mark.parametrize("text", ["0", "-1", "two", "2.5", "2x", "1025", "99999999999999999999", " "])
@pytest.mark.parametrize("use", USES, ids=("forward", "get_num_threads"))
def test_a_wrong_environment_is_an_error_that_says_so(text, use):
    guarded = f"import numpy, pynngraph as nn\ntry:\n    {use}\nexcept nn.errors.Error as e:\n    print(e)"
    done = python("-c", guarded, PYNNGRAPH_NUM_THREADS=text)
    assert done.returncode == 0, done.stderr
    assert f"PYNNGRAPH_NUM_THREADS={text} " in done.stdout
    assert "from 1 to 1024" in done.stdout


@LINUX
def test_the_default_is_the_cpus_that_may_be_used():
    cpu = min(os.sched_getaffinity(0))
    done = python("-c", f"import os; os.sched_setaffinity(0, [{cpu}])\n{TELL}", PYNNGRAPH_NUM_THREADS="")
    assert done.stdout.strip() == "1", done.stderr
    done = python("-c", TELL, PYNNGRAPH_NUM_THREADS="")
    assert 1 <= int(done.stdout) <= len(os.sched_getaffinity(0))


# ---- the same answers ----


@pytest.fixture(scope="module")
def answers(tmp_path_factory):
    """What the rows of op_cases.py give when every step that can be is split."""
    folder = tmp_path_factory.mktemp("threads")

    @cache
    def run(count):
        variables = {"PYNNGRAPH_NUM_THREADS": str(count), "PYNNGRAPH_SPLIT": "always"}
        return run_all(folder / f"{count}.npz", **variables)

    return run


@LINUX
def test_small_steps_are_split_where_that_is_asked_for():
    count = "len(os.listdir('/proc/self/task'))"
    code = f"import numpy, os, pynngraph as nn\nbefore = {count}\nnn.Tanh().forward(numpy.ones((64, 64)))\n"
    code += f"print({count} - before)"
    for split, started in (("", "0"), ("always", "2")):
        done = python("-c", code, PYNNGRAPH_NUM_THREADS="3", PYNNGRAPH_SPLIT=split)
        assert done.stdout.strip() == started, done.stderr


@pytest.mark.parametrize("count", COUNTS)
def test_every_op_gives_the_same_bits(count, answers):
    alone, together = answers(1), answers(count)
    assert together.keys() == alone.keys()
    for key, array in alone.items():
        assert together[key].tobytes() == array.tobytes(), key


def large_net():
    """Steps of all kinds, each large enough to be split."""
    x = nn.Identity()()
    h = nn.Dropout(0.3)(nn.Tanh()(nn.Linear(300, 700)(x)))
    left, right = nn.Narrow(-1, 0, 350)(h), nn.Narrow(-1, 350, 350)(h)
    gated = nn.CMulTable()([nn.Sigmoid()(left), right])
    turned = nn.Contiguous()(nn.Transpose((0, 1))(nn.Transpose((0, 1))(gated)))
    joined = nn.JoinTable(1)([turned, nn.SoftMax()(left), nn.LogSoftMax()(right)])
    return nn.gModule([x], [nn.CDivTable()([joined, nn.AddConstant(3)(nn.Square()(joined))])])


def training_step(net, rows):
    """All arrays that a forward and a backward make."""
    nn.manualSeed(11)
    net.zeroGradParameters()
    x = normal(rows, 300, seed=1)
    y = net.forward(x)
    dx = net.backward(x, normal(*y.shape, seed=2))
    return tree_map(np.copy, [y, dx, *net.parameters()[1]])


@pytest.mark.parametrize("rows", [700, 1001])
def test_a_large_net_gives_the_same_bits(rows):
    nn.manualSeed(3)
    net = large_net()
    nn.set_num_threads(1)
    alone = training_step(net, rows)
    for count in COUNTS:
        nn.set_num_threads(count)
        assert_trees_close(training_step(net, rows), alone, EXACT)


def test_gradients_of_small_planes_are_added_up_alike():
    """Samples are put together then, as many as there are for a thread."""
    branches = [nn.SpatialConvolution(128, 128, 3, 3, 1, 1, 1, 1) for _ in range(3)]
    net = nn.Sequential(nn.MulConstant(1), nn.ConcatTable(*branches), nn.CAddTable())
    x = normal(2, 128, 7, 7, seed=1)

    def gradient(count):
        nn.set_num_threads(count)
        planned_anew = net.clone()
        return planned_anew.backward(x, np.ones_like(planned_anew.forward(x)))

    alone = gradient(1)
    for count in COUNTS:
        assert gradient(count).tobytes() == alone.tobytes()


# ---- when they are there ----


def threads_now():
    return len(list(Path("/proc/self/task").iterdir()))


@LINUX
def test_threads_start_when_they_are_needed_and_go_when_they_are_not_wanted():
    nn.set_num_threads(1)
    before = threads_now()
    nn.set_num_threads(3)
    small = nn.Sequential().add(nn.Linear(8, 8)).add(nn.Tanh())
    small.forward(normal(4, 8))
    assert threads_now() == before
    nn.Tanh().forward(normal(2000, 2000))
    assert threads_now() == before + 2
    nn.set_num_threads(1)
    assert threads_now() == before


def test_idle_threads_use_no_cpu():
    nn.set_num_threads(4)
    nn.Tanh().forward(normal(1000, 1000))
    time.sleep(0.05)
    before = time.process_time()
    time.sleep(0.3)
    assert time.process_time() - before < 0.03


def test_modules_run_in_many_threads_at_once():
    nn.set_num_threads(2)
    nets = [large_net() for _ in range(3)]
    wanted = [run_forward(net) for net in nets]
    got = {}

    def work(place):
        for _ in range(5):
            got.setdefault(place, []).append(run_forward(nets[place]))

    workers = [threading.Thread(target=work, args=(place,), daemon=True) for place in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    assert not any(worker.is_alive() for worker in workers), "a thread hangs"
    for place, answers in got.items():
        assert len(answers) == 5
        assert all((answer == wanted[place]).all() for answer in answers)


def run_forward(net):
    net.evaluate()
    return net.forward(normal(600, 300, seed=5)).copy()


# ---- fork ----


def forked(work):
    """Whether some work is done well in a child of this process; one that hangs is ended."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # newer Pythons warn of threads, which is the point
        child = os.fork()
    if child == 0:
        os._exit(0 if work() else 1)
    for _ in range(6000):
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return os.WIFEXITED(status) and os.WEXITSTATUS(status) == 0
        time.sleep(0.01)
    os.kill(child, 9)
    os.waitpid(child, 0)
    return False


@LINUX
def test_a_child_trains_on_where_its_parent_was():
    nn.manualSeed(3)
    net = large_net()
    nn.set_num_threads(3)
    wanted = training_step(net, 700)

    def same():
        return all((a == b).all() for a, b in zip(training_step(net, 700), wanted, strict=True))

    assert forked(lambda: same() and threads_now() == 3 and forked(same))
    assert same()


@LINUX
def test_a_fork_while_another_thread_runs():
    nn.set_num_threads(2)
    net, other = large_net(), large_net()
    wanted = run_forward(net)
    stop = threading.Event()

    def same():
        return (run_forward(net) == wanted).all()

    def keep_busy():
        while not stop.is_set():
            run_forward(other)

    worker = threading.Thread(target=keep_busy, daemon=True)
    worker.start()
    try:
        assert all(forked(same) for _ in range(10))
    finally:
        stop.set()
        worker.join(60)
    assert same()


# ---- threadpoolctl ----


def test_threadpoolctl_can_limit_them():
    threadpoolctl = pytest.importorskip("threadpoolctl")
    threadpool.register()
    threadpool.register()
    nn.set_num_threads(4)
    ours = [info for info in threadpoolctl.threadpool_info() if info["internal_api"] == "pynngraph"]
    assert [(info["num_threads"], info["version"]) for info in ours] == [(4, nn.__version__)]
    with threadpoolctl.threadpool_limits(2):
        assert nn.get_num_threads() == 2
    assert nn.get_num_threads() == 4
