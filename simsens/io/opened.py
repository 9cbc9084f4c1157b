"""A result file, opened for reading: whatever fails in it becomes one line that names the file."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import h5py

from simsens.io import guarded, schema
from simsens.io.atomic import reason
from simsens.io.errors import UnreadableFile, one_line


@contextmanager
def told(path: str | os.PathLike[str]) -> Iterator[None]:
    """Turn what goes wrong with a file into ``UnreadableFile``.

    Raises:
        UnreadableFile: no such file, not written by simsens, or damaged.
    """
    try:
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
        raise UnreadableFile(f"{path} cannot be read as HDF5: {said}") from error
    except KeyError as error:
        raise UnreadableFile(f"{path}: /simsens is incomplete, {error} is missing") from error
    # A damaged file fails anywhere in HDF5; what it says is passed on in one line.
    except (ValueError, TypeError, RuntimeError, MemoryError, OverflowError) as error:
        raise UnreadableFile(f"{path}: {one_line(error)}") from error


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
        version = guarded.attribute(guarded.group(file, "simsens"), "schema_version")
        if version not in schema.READABLE:
            known = ", ".join(map(str, schema.READABLE))
            raise guarded.Refused(
                f"its schema version is {version}; this simsens reads {known}: use the version that"
                " wrote it, or a newer one"
            )
    except BaseException:
        file.close()
        raise
    return file
