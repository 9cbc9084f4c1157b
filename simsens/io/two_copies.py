"""A file that is changed bit by bit and yet is whole at every moment.

HDF5 changes a file in many places, one write after another; a process that dies in between leaves
nothing that opens. So there are two copies. HDF5 works on one, under a hidden name; the other bears
the name that everybody sees, and is what was committed last. To commit, the one that was worked on
takes the name in one step, and the other is brought up to date to be worked on from then on: what
was written since is written a second time, which costs as much room on the disk again while the run
lasts.

A write that fails (a full disk) is not told to HDF5, which could not even close its file then. It
is kept in ``error``, nothing is committed from there on, and the committed copy stays.
"""

from __future__ import annotations

import errno
import fcntl
import os
import secrets
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from simsens.io.errors import UnwritableFile


class TwoCopies:
    """The copy that is worked on, as a file object for h5py; ``commit`` shows it to everybody.

    Args:
        name: the file that everybody sees; it is there already.

    Attributes:
        error: why a write failed, ``None`` if none did.

    Raises:
        UnwritableFile: another process works on it, or the second copy cannot be made.
    """

    def __init__(self, name: Path) -> None:
        self.name = name
        self.error: OSError | None = None
        self._lock = lock(name)
        self._place, self._end = 0, name.stat().st_size
        self._written: list[tuple[int, int]] = []
        for left in name.parent.glob(f".{name.name}.*.copy"):  # by a process that was killed
            left.unlink(missing_ok=True)
        self._hidden = self._new_name()
        try:
            shutil.copyfile(name, self._hidden)
            self._shown = os.open(name, os.O_RDWR)
            self._working = os.open(self._hidden, os.O_RDWR)
        except OSError as error:
            self._hidden.unlink(missing_ok=True)
            unlock(self._lock, name)
            raise UnwritableFile(f"{name} cannot be written: {error.strerror}") from error

    def commit(self) -> None:
        """Let everybody see what HDF5 has flushed; nothing if a write has failed."""
        if self.error is not None:
            return
        os.ftruncate(self._working, self._end)
        other = self._new_name()
        try:
            os.link(self.name, other)
        except OSError:  # a file system without hard links: the copy is made anew
            self._copy_over()
            return
        self._hidden.replace(self.name)
        self._hidden, self._shown, self._working = other, self._working, self._shown
        self._attempt(self._catch_up)

    def release(self) -> None:
        """Remove the copy that was worked on and let others at the file."""
        for descriptor in (self._shown, self._working):
            os.close(descriptor)
        self._hidden.unlink(missing_ok=True)
        unlock(self._lock, self.name)

    def _new_name(self) -> Path:
        return self.name.with_name(f".{self.name.name[:100]}.{secrets.token_hex(4)}.copy")

    def _copy_over(self) -> None:
        def copy() -> None:
            other = self._new_name()
            shutil.copyfile(self._hidden, other)
            other.replace(self.name)

        self._attempt(copy)
        self._written.clear()

    def _catch_up(self) -> None:
        """Write to the copy that is behind what was written to the other since."""
        for start, size in self._written:
            while size > 0:
                piece = os.pread(self._shown, min(size, 2**24), start)
                if not piece:
                    break
                _write_all(self._working, piece, start)
                start, size = start + len(piece), size - len(piece)
        os.ftruncate(self._working, self._end)
        self._written.clear()

    def _attempt(self, write: Callable[[], None]) -> None:
        try:
            write()
        except OSError as error:
            self.error = error

    # What h5py asks of a file object.

    def write(self, data: bytes | memoryview) -> int:
        """Write where ``seek`` has led."""
        view = memoryview(data).cast("B")
        start, size = self._place, len(view)
        if self.error is None:
            self._attempt(lambda: _write_all(self._working, view, start))
        self._written.append((start, size))
        self._place += size
        self._end = max(self._end, self._place)
        return size

    def read(self, size: int) -> bytes:
        """Read from where ``seek`` has led; zeros beyond the end."""
        found = os.pread(self._working, size, self._place)
        self._place += size
        return found.ljust(size, b"\0")

    def seek(self, place: int, whence: int = os.SEEK_SET) -> int:
        """Go to a place, from the beginning or the end."""
        self._place = place + (self._end if whence == os.SEEK_END else 0)
        return self._place

    def tell(self) -> int:
        """Where ``seek`` has led."""
        return self._place

    def truncate(self, size: int | None = None) -> int:
        """Make the file as long as this."""
        self._end = self._place if size is None else size
        return self._end

    def flush(self) -> None:
        """Nothing waits: a write goes to the system at once."""


def _write_all(descriptor: int, data: bytes | memoryview, start: int) -> None:
    view = memoryview(data)
    while len(view):
        written = os.pwrite(descriptor, view, start)
        view, start = view[written:], start + written


def lock(name: Path) -> int:
    """Keep other processes from writing the file.

    Raises:
        UnwritableFile: one does already, or the folder cannot be written.
    """
    try:
        descriptor = os.open(_lock_name(name), os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise UnwritableFile(f"{name} cannot be written: {error.strerror}") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        if error.errno not in (errno.EAGAIN, errno.EACCES):
            return -1  # a file system without locks: nothing keeps two processes apart
        raise UnwritableFile(
            f"{name} is being written by another process: wait for it, or choose another output"
        ) from error
    return descriptor


def unlock(descriptor: int, name: Path) -> None:
    """Let others at the file."""
    if descriptor >= 0:
        _lock_name(name).unlink(missing_ok=True)
        with suppress(OSError):
            os.close(descriptor)


def _lock_name(name: Path) -> Path:
    return name.with_name(f".{name.name[:100]}.lock")
