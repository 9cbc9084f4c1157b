"""A result file, opened for reading: whatever fails in it becomes one line that names the file."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import h5py
import numpy as np

from simsens.io import guarded, schema
from simsens.io.atomic import reason
from simsens.io.errors import UnreadableFile, one_line

LIBRARY = h5py.version.hdf5_version  # of HDF5


@contextmanager
def told(path: str | os.PathLike[str]) -> Iterator[None]:
    """Turn what goes wrong with a file into ``UnreadableFile``.

    Raises:
        UnreadableFile: no such file, not written by simsens, or damaged.
    """
    try:
        # Numbers near the largest there is are refused where they matter, and not warned of.
        with np.errstate(all="ignore"):
            yield
    except UnreadableFile:
        raise
    except BlockingIOError as error:
        raise UnreadableFile(
            f"{path} is being written by another process: wait for it, or read its committed"
            " frames with HDF5_USE_FILE_LOCKING=FALSE"
        ) from error
    except OSError as error:
        said = one_line(error) if not error.strerror else reason(error)
        raise UnreadableFile(f"{path} cannot be read as HDF5: {_shown(said)}") from error
    # A damaged file fails anywhere in HDF5; what it says is passed on in one line.
    except _FAILURES as error:
        raise UnreadableFile(f"{path}: {_shown(one_line(error))}") from error


_FAILURES = (
    ArithmeticError, AttributeError, LookupError, MemoryError, RuntimeError, SystemError, TypeError,
    ValueError,
)  # fmt: skip


def _shown(said: str) -> str:
    """Without what a terminal would obey: a name in a file may hold anything."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in said)


@contextmanager
def opened(path: str | os.PathLike[str]) -> Iterator[h5py.Group]:
    """The group ``/simsens`` of a file.

    Raises:
        UnreadableFile: as ``told``.
    """
    with told(path):
        file = begin(path)
        with file:
            yield guarded.group(file, "simsens")


def begin(path: str | os.PathLike[str]) -> h5py.File:
    """Open a file that was written by simsens, in a version that is read.

    Raises:
        Refused: it was not.
        OSError: it is no HDF5 file.
    """
    if not Path(path).is_file():
        raise UnreadableFile(f"{path}: there is no such file; check the path")
    file = h5py.File(path, "r")
    try:
        if not guarded.has(file, "simsens"):
            raise guarded.Refused(
                "has no group /simsens, so it was not written by simsens; convert the structure to"
                " extended XYZ"
            )
        if file.id.get_create_plist().get_sizes() != (8, 8) or file.userblock_size:
            raise guarded.Refused("is not laid out as simsens does it; such files are not read")
        root = guarded.group(file, "simsens")
        version = guarded.attribute(root, "schema_version")
        if type(version) is not int or version not in schema.READABLE:
            known = ", ".join(map(str, schema.READABLE))
            raise guarded.Refused(
                f"its schema version is {version}; this simsens reads {known}: use the version that"
                " wrote it, or a newer one"
            )
        guarded.survey(root)
    except BaseException:
        file.close()
        raise
    return file
