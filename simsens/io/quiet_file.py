"""A file object that HDF5 writes to and that never fails, whatever happens to the disk.

HDF5 cannot go on when a write fails, nor even close its file: the process crashes with one of the
next. So a failure is kept in ``error``, what comes after it is dropped, and whoever opened the file
asks when HDF5 has let go of it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import h5py

LIBRARY = ("earliest", "v110")  # files that HDF5 1.10 reads, without a mark for who is writing


class QuietFile:
    """What h5py asks of a file object, on a descriptor.

    Attributes:
        error: why a write failed, ``None`` if none did.
        end: how long the file is.
    """

    def __init__(self, descriptor: int) -> None:
        self.descriptor, self.end = descriptor, os.fstat(descriptor).st_size
        self.error: OSError | None = None
        self._place = 0

    def attempt(self, write: Callable[[], None]) -> None:
        """Write, unless a write has failed before; keep why it fails."""
        if self.error is not None:
            return
        try:
            write()
        except OSError as error:
            self.error = error

    def settle(self) -> None:
        """Give the file its length."""
        self.attempt(lambda: os.ftruncate(self.descriptor, self.end))

    def write(self, data: bytes | memoryview) -> int:
        """Write where ``seek`` has led."""
        view, start = memoryview(data).cast("B"), self._place
        self.attempt(lambda: write_all(self.descriptor, view, start))
        self._place += len(view)
        self.end = max(self.end, self._place)
        return len(view)

    def read(self, size: int) -> bytes:
        """Read from where ``seek`` has led; zeros beyond the end."""
        found = os.pread(self.descriptor, size, self._place)
        self._place += size
        return found.ljust(size, b"\0")

    def seek(self, place: int, whence: int = os.SEEK_SET) -> int:
        """Go to a place, from the beginning or the end."""
        self._place = place + (self.end if whence == os.SEEK_END else 0)
        return self._place

    def tell(self) -> int:
        """Where ``seek`` has led."""
        return self._place

    def truncate(self, size: int | None = None) -> int:
        """Make the file as long as this."""
        self.end = self._place if size is None else size
        return self.end

    def flush(self) -> None:
        """Nothing waits: a write goes to the system at once."""


def write_all(descriptor: int, data: bytes | memoryview, start: int) -> None:
    """Write at a place, in as many pieces as the system wants.

    Raises:
        OSError: the disk is full, or fails.
    """
    view = memoryview(data)
    while len(view):
        written = os.pwrite(descriptor, view, start)
        view, start = view[written:], start + written


@contextmanager
def writing(path: Path) -> Iterator[h5py.File]:
    """A new HDF5 file; what fails is told at the end.

    Raises:
        OSError: no permission, the disk is full, or fails.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o644)
    try:
        quiet = QuietFile(descriptor)
        with h5py.File(quiet, "w", libver=LIBRARY) as file:
            yield file
        quiet.settle()
        if quiet.error is not None:
            raise quiet.error
    finally:
        os.close(descriptor)
