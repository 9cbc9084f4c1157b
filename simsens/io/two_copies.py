"""A file that is changed bit by bit and yet is whole at every moment.

HDF5 changes a file in many places, one write after another; a process that dies in between leaves
nothing that opens. So there are two copies. HDF5 works on one, under a hidden name; the other bears
the name that everybody sees, and is what was committed last. To commit, the one that was worked on
takes the name in one step, and the other is brought up to date to be worked on from then on: what
was written since is written a second time, which costs as much room on the disk again while the run
lasts. What takes the name is forced to the disk before, so that a machine that loses its power too
leaves what was committed; that takes some hundredths of a second, of the thread that writes.

A write that fails is kept in ``error`` (``quiet_file``); nothing is committed from there on, and
the copy that everybody sees stays.
"""

from __future__ import annotations

import errno
import glob
import os
import secrets
import shutil
from pathlib import Path

from simsens.io import atomic
from simsens.io.errors import UnwritableFile
from simsens.io.quiet_file import QuietFile, write_all


class TwoCopies(QuietFile):
    """The copy that is worked on, as a file object for h5py; ``commit`` shows it to everybody.

    Args:
        name: the file that everybody sees; it is there already. Whoever works on it holds its lock
            (``lock``), from before until after ``release``.

    Raises:
        UnwritableFile: the second copy cannot be made.
    """

    def __init__(self, name: Path) -> None:
        self.name = name
        self._written: list[tuple[int, int]] = []
        remove_left(name)
        self._hidden = self._new_name()
        try:
            shutil.copyfile(name, self._hidden)
            self._shown = os.open(name, os.O_RDWR)
            super().__init__(os.open(self._hidden, os.O_RDWR))
        except OSError as error:
            self._hidden.unlink(missing_ok=True)
            raise UnwritableFile(f"{name} cannot be written: {error.strerror}") from error

    def write(self, data: bytes | memoryview) -> int:
        """Write where ``seek`` has led, and remember where that was."""
        start = self.tell()
        size = super().write(data)
        self._written.append((start, size))
        return size

    def commit(self, last: bool = False) -> None:
        """Let everybody see what HDF5 has flushed; nothing if a write has failed.

        Args:
            last: nothing will be written any more, so that the other copy can stay behind.
        """
        self.settle()
        if self.error is not None:
            return
        other = self._new_name()
        try:
            os.link(self.name, other)
        except OSError:  # a file system without hard links: the copy is made anew
            self.attempt(lambda: self._copy_to(other))
            return
        self.attempt(lambda: self._swap(other))
        if not last:
            self.attempt(self._catch_up)

    def release(self) -> None:
        """Remove the copy that was worked on."""
        for descriptor in (self._shown, self.descriptor):
            os.close(descriptor)
        self._hidden.unlink(missing_ok=True)

    def _new_name(self) -> Path:
        return self.name.with_name(f".{self.name.name}.{secrets.token_hex(4)}.copy")

    def _swap(self, other: Path) -> None:
        """The hidden copy takes the name; the one that had it is known by another from now on."""
        try:
            os.fsync(self.descriptor)
            self._hidden.replace(self.name)
        except OSError:
            other.unlink(missing_ok=True)
            raise
        self._hidden, self._shown, self.descriptor = other, self.descriptor, self._shown
        # Before the other copy is written to: it would bear the name if the power failed now.
        atomic.force_names(self.name.parent)

    def _copy_to(self, other: Path) -> None:
        shutil.copyfile(self._hidden, other)
        atomic.rename(other, self.name)
        self._written.clear()

    def _catch_up(self) -> None:
        """Write to the copy that is behind what was written to the other since."""
        for start, end in _joined(self._written):
            _copy(self._shown, self.descriptor, start, end)
        os.ftruncate(self.descriptor, self.end)
        self._written.clear()


def _joined(pieces: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """The same bytes in as few pieces as may be: from start to end, in order.

    Example:
        >>> _joined([(8, 2), (0, 4), (4, 4), (20, 1), (2, 3)])
        [(0, 10), (20, 21)]
    """
    found: list[tuple[int, int]] = []
    for start, size in sorted(pieces):
        if found and start <= found[-1][1]:
            found[-1] = (found[-1][0], max(found[-1][1], start + size))
        else:
            found.append((start, start + size))
    return found


def _copy(source: int, target: int, start: int, end: int) -> None:
    """Copy from one file to the same place of another, in the system where it can."""
    while start < end:
        try:
            done = os.copy_file_range(source, target, end - start, start, start)
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EFBIG):
                raise
            piece = os.pread(source, min(end - start, 2**22), start)
            write_all(target, piece, start)
            done = len(piece)
        if not done:  # the file ends here
            return
        start += done


def remove_left(name: Path) -> None:
    """Remove what processes that were killed have left beside a file, whose lock is held."""
    for kind in ("copy", "tmp"):
        for left in name.parent.glob(f".{glob.escape(name.name)}.*.{kind}"):
            left.unlink(missing_ok=True)
