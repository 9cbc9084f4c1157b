"""Who may write a file: one at a time, and nobody is kept out by one that is gone."""

import errno
import fcntl
import subprocess
import sys

import pytest

from simsens.io.errors import UnwritableFile
from simsens.io.lock import Lock, handed_on


@pytest.fixture
def name(tmp_path):
    return tmp_path / "run.partial.h5md"


def refused(name):
    with pytest.raises(UnwritableFile, match=r"is being written by another process: wait for it"):
        Lock(name)


def test_one_at_a_time(name):
    with Lock(name):
        refused(name)
    with Lock(name):
        refused(name)
    assert list(name.parent.iterdir()) == []


def test_released_twice_is_released_once(name):
    """The second time the lock is that of somebody else."""
    first = Lock(name)
    first.release()
    with Lock(name):
        first.release()
        refused(name)


def test_opened_just_before_it_was_removed(name, monkeypatch):
    """The one who opened it locks a file without a name; another would make a new one."""
    first, flock = Lock(name), fcntl.flock

    def late(*arguments):
        first.release()  # between the other one's open and its lock
        monkeypatch.undo()
        flock(*arguments)

    monkeypatch.setattr(fcntl, "flock", late)
    with Lock(name):
        refused(name)
    assert list(name.parent.iterdir()) == []


def test_replaced_just_before_it_was_locked(name, monkeypatch):
    first, flock, others = Lock(name), fcntl.flock, []

    def late(*arguments):
        monkeypatch.undo()
        first.release()
        others.append(Lock(name))
        flock(*arguments)

    monkeypatch.setattr(fcntl, "flock", late)
    refused(name)
    others[0].release()
    Lock(name).release()


def test_a_killed_process_keeps_nobody_out(name):
    code = (
        "import os, sys; from pathlib import Path; from simsens.io.lock import Lock\n"
        "lock = Lock(Path(sys.argv[1])); os.kill(os.getpid(), 9)"
    )
    done = subprocess.run([sys.executable, "-c", code, name], capture_output=True, text=True)
    assert done.returncode == -9, done.stderr
    assert [p.name for p in name.parent.iterdir()] == [".run.partial.h5md.lock"]
    Lock(name).release()
    assert list(name.parent.iterdir()) == []


def test_a_file_system_without_locks(name, monkeypatch):
    def refuse(*unused):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    with Lock(name), Lock(name):
        pass
    assert list(name.parent.iterdir()) == []


def test_a_folder_that_is_missing(tmp_path):
    with pytest.raises(UnwritableFile, match="cannot be written: No such file"):
        Lock(tmp_path / "no" / "run.h5md")


def test_handed_on(name):
    with handed_on(name) as lock:
        pass
    refused(name)
    lock.release()
    with pytest.raises(KeyboardInterrupt), handed_on(name):
        raise KeyboardInterrupt
    Lock(name).release()
