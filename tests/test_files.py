"""Saving and loading as a whole: what kind of file it is, and that there is always a whole one."""

import errno
import os
import stat
import threading

import numpy as np
import pytest
from samples import mlp, python, seed_graph

import pynngraph as nn
from pynngraph.errors import DTypeError, FileFormatError
from pynngraph.io import atomic, t7_writer

ENDINGS = (".t7", ".safetensors", ".npz")


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_full_disk_leaves_the_old_file(ending, tmp_path, monkeypatch):
    path = tmp_path / f"net{ending}"
    nn.save(path, mlp())
    before = path.read_bytes()

    def full(_number):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        nn.save(path, seed_graph())
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == [path.name]  # noqa: PTH208


def test_a_crash_leaves_the_old_file(tmp_path):
    path = tmp_path / "net.t7"
    nn.save(path, mlp())
    before = path.read_bytes()
    code = (
        "import os, pynngraph as nn\n"
        "os.fsync = lambda number: os._exit(9)\n"
        f"nn.save({os.fspath(path)!r}, nn.Linear(5, 5))\n"
    )
    assert python("-c", code).returncode == 9
    assert path.read_bytes() == before
    assert nn.load(path).size() == 3


def test_data_is_on_the_disk_before_the_name(tmp_path, monkeypatch):
    order = []
    for name in ("fsync", "replace"):
        real = getattr(os, name)
        monkeypatch.setattr(os, name, lambda *a, name=name, real=real: (order.append(name), real(*a))[1])
    nn.save(tmp_path / "net.t7", mlp())
    assert order == ["fsync", "replace", "fsync"]


def test_rights_and_links_stay(tmp_path):
    path, link = tmp_path / "net.t7", tmp_path / "link.t7"
    nn.save(path, mlp())
    path.chmod(0o640)
    link.symlink_to(path)
    nn.save(link, seed_graph())
    assert link.is_symlink()
    assert isinstance(nn.load(path), nn.gModule)
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


def test_a_new_file_has_the_usual_rights(tmp_path):
    nn.save(tmp_path / "net.t7", mlp())
    (tmp_path / "other").write_bytes(b"")
    assert (tmp_path / "net.t7").stat().st_mode == (tmp_path / "other").stat().st_mode


def test_a_pipe_is_written_to(tmp_path):
    path = tmp_path / "pipe.t7"
    os.mkfifo(path)
    found = []
    reader = threading.Thread(target=lambda: found.append(path.read_bytes()))
    reader.start()
    nn.save(path, [1.0])
    reader.join(60)
    nn.save(tmp_path / "file.t7", [1.0])
    assert found == [(tmp_path / "file.t7").read_bytes()]
    assert stat.S_ISFIFO(path.stat().st_mode)


def test_an_error_while_writing_leaves_nothing(tmp_path):
    def write():
        with atomic.replacing(tmp_path / "x") as file:
            file.write(b"part")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        write()
    assert not list(tmp_path.iterdir())


def test_the_content_says_what_a_file_is(tmp_path):
    for ending in ENDINGS:
        nn.save(tmp_path / f"net{ending}", mlp())
        (tmp_path / f"net{ending}").rename(tmp_path / "net.bin")
        value = nn.load(tmp_path / "net.bin")
        assert isinstance(value, dict if ending == ".npz" else nn.Sequential)


def test_npz_holds_parameters_by_name(tmp_path):
    net = nn.Sequential(nn.Linear(3, 2), nn.Sequential(nn.Linear(2, 2).noBias()))
    nn.save(tmp_path / "net.npz", net)
    weights = nn.load(tmp_path / "net.npz")
    assert set(weights) == {"0.weight", "0.bias", "1.0.weight"}
    np.testing.assert_array_equal(weights["1.0.weight"], net.get(1).get(0).weight)
    nn.save(tmp_path / "net.npz", weights)
    assert set(nn.load(tmp_path / "net.npz")) == set(weights)
    with pytest.raises(DTypeError, match="parameters of a module, or a dict of arrays"):
        nn.save(tmp_path / "net.npz", [1])


@pytest.mark.parametrize("name", ["net", "net.pt", "net.t7.bak"])
def test_another_ending_is_refused(name, tmp_path):
    with pytest.raises(ValueError, match=r"one of \.t7, \.safetensors, \.npz"):
        nn.save(tmp_path / name, mlp())
    assert not list(tmp_path.iterdir())


def test_npz_with_code_is_refused(tmp_path):
    np.savez(tmp_path / "x.npz", x=np.array([print], object))
    with pytest.raises(FileFormatError, match="npz"):
        nn.load(tmp_path / "x.npz")
    (tmp_path / "x.npz").write_bytes(b"PK\3\4 and no more")
    with pytest.raises(FileFormatError, match="npz"):
        nn.load(tmp_path / "x.npz")


# Bytes of an entry of a zip file's directory: the version that reads it, flags (encrypted), the compression.
@pytest.mark.parametrize(("place", "byte"), [(6, 0xA1), (8, 1), (10, 99)])
def test_npz_with_a_damaged_directory_is_refused(place, byte, tmp_path):
    nn.save(tmp_path / "x.npz", nn.Linear(4, 3))
    data = bytearray((tmp_path / "x.npz").read_bytes())
    data[data.find(b"PK\1\2") + place] = byte
    (tmp_path / "x.npz").write_bytes(data)
    with pytest.raises(FileFormatError, match="npz"):
        nn.load(tmp_path / "x.npz")


def test_errors_name_the_file(tmp_path):
    (tmp_path / "x.t7").write_bytes(b"")
    with pytest.raises(FileFormatError, match=r"x\.t7: at byte 0"):
        nn.load(tmp_path / "x.t7")
    with pytest.raises(FileNotFoundError):
        nn.load(tmp_path / "y.t7")


def test_sizes_that_t7_cannot_say_are_refused():
    file = open(os.devnull, "wb")  # noqa: PTH123, SIM115
    with file, pytest.raises(FileFormatError, match="cannot hold"):
        t7_writer._BinaryWriter(file, 8).count(1 << 31, "bytes of a string")


def test_a_gigabyte_needs_little_more_than_its_tensors(tmp_path):
    """A tenth of it, here."""
    net = nn.Sequential(*(nn.Linear(1800, 1800) for _ in range(4)))
    nn.save(tmp_path / "net.t7", net)
    code = (
        "import resource, sys, pynngraph as nn\n"
        "nn.load(sys.argv[2])\n"
        "peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "before = peak()\n"
        "net = nn.load(sys.argv[1])\n"
        "print((peak() - before) * 1024)\n"
    )
    nn.save(tmp_path / "small.t7", mlp())
    done = python("-c", code, str(tmp_path / "net.t7"), str(tmp_path / "small.t7"))
    assert done.returncode == 0, done.stderr
    tensors = sum(parameter.nbytes for parameter in net.parameters()[0])
    # One tensor more for a while, and gradients that nobody has touched.
    assert int(done.stdout) < 1.6 * tensors
