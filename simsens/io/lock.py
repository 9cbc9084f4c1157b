"""Who may write a file: one process at a time, by a lock that dies with the process.

What is locked is a file beside it, which is there as long as the lock is held; one that a killed
process has left keeps nobody out. Its name is removed by whoever held it, so a process may have
opened it just before and lock a file without a name, beside which another can be made: a lock
counts only if the file it is on has its name still.
"""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from simsens.io.errors import UnwritableFile


class Lock:
    """Keeps other processes from writing a file, until ``release``.

    Args:
        name: the file; it need not be there.

    Raises:
        UnwritableFile: another process writes it, or the folder cannot be written.
    """

    def __init__(self, name: Path) -> None:
        self._place = name.with_name(f".{name.name}.lock")
        try:
            self._descriptor = _locked(self._place)
        except BlockingIOError as error:
            raise UnwritableFile(
                f"{name} is being written by another process: wait for it, or choose another output"
            ) from error
        except OSError as error:
            raise UnwritableFile(f"{name} cannot be written: {error.strerror}") from error

    def release(self) -> None:
        """Let others at the file; nothing if they are already."""
        if self._descriptor < 0:
            return
        with suppress(OSError):  # first the name, while it is surely that of this lock
            self._place.unlink()
        os.close(self._descriptor)
        self._descriptor = -1

    def __enter__(self) -> Lock:
        return self

    def __exit__(self, *unused: object) -> None:
        self.release()


@contextmanager
def handed_on(name: Path) -> Iterator[Lock]:
    """Lock a file for someone who will release it; it is released here if that fails.

    Raises:
        UnwritableFile: as ``Lock``.
    """
    lock = Lock(name)
    try:
        yield lock
    except BaseException:
        lock.release()
        raise


def _locked(place: Path) -> int:
    """A descriptor of the file of this name, locked.

    Raises:
        BlockingIOError: another process holds it.
        OSError: it cannot be made.
    """
    while True:
        descriptor = os.open(place, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            _lock(descriptor)
            if _is_named(descriptor, place):
                return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)  # who held it has just removed it


def _lock(descriptor: int) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in (errno.EAGAIN, errno.EACCES):
            raise BlockingIOError(error.errno, error.strerror) from error
        # A file system without locks: nothing keeps two processes apart.


def _is_named(descriptor: int, place: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), place.stat())
    except FileNotFoundError:
        return False
