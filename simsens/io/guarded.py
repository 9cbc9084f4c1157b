"""Reading HDF5 files that nobody vouches for.

A small file can claim a data set of terabytes, hand out another file of the machine through
external storage or links, or hide both behind a soft link. So each name is walked component by
component and must be a hard link, and a data set is looked at (kind, shape, filters, storage, size)
before a byte of it is read. Whatever is wrong is one ``Refused``.
"""

from __future__ import annotations

from typing import Any

import h5py
import numpy as np

from simsens.io import filters

BUDGET = 4 * 2**30  # bytes of one data set that is read whole
LARGE = 2**26  # bytes from which on an array must be worth its size
# gzip cannot compress further than 1032:1, an array of fill values can; numbers that were computed
# compress to a half at most, whole numbers that repeat to a hundredth.
EXPANSION, EXPANSION_OF_LARGE = 1100, 200
CHUNK = 2**27  # bytes of a chunk, which is unpacked whole
ATTRIBUTE = 2**20  # bytes
TEXT = 2**26  # characters of one data set
ENTRIES = 10_000  # members of a group, attributes of an object


class Refused(ValueError):
    """The file holds something that is not read; the message says what."""


def has(parent: h5py.Group, name: str) -> bool:
    """Whether there is an object of this name."""
    return isinstance(parent.get(name, getlink=True), h5py.HardLink)


def group(parent: h5py.Group, path: str) -> h5py.Group:
    """A group, reached over hard links only.

    Raises:
        Refused: it is missing, a link to elsewhere, or no group.
    """
    there = found(parent, path)
    if not isinstance(there, h5py.Group):
        raise Refused(f"{path} must be a group")
    if len(there) > ENTRIES:
        raise Refused(f"{path} has {len(there)} members; at most {ENTRIES} are read")
    return there


def numbers(
    parent: h5py.Group, path: str, shape: tuple[int | None, ...], kinds: str = "f"
) -> np.ndarray:
    """A data set of numbers.

    Args:
        parent: where ``path`` begins.
        path: names joined by ``/``.
        shape: what is needed, ``None`` for any length of an axis.
        kinds: the numpy kinds that are accepted.

    Raises:
        Refused: missing, of another kind or shape, stored elsewhere, or too large.
    """
    return np.asarray(rows(parent, path, shape, kinds, whole=True)[()])


def rows(
    parent: h5py.Group,
    path: str,
    shape: tuple[int | None, ...],
    kinds: str = "f",
    whole: bool = False,
) -> h5py.Dataset:
    """A data set of numbers that was looked at but not read, as ``numbers``.

    Args:
        parent: where ``path`` begins.
        path: names joined by ``/``.
        shape: what is needed, ``None`` for any length of an axis.
        kinds: the numpy kinds that are accepted.
        whole: whether it is to be read whole, and has to fit into memory.

    Raises:
        Refused: missing, of another kind or shape, stored elsewhere, or too large.
    """
    dataset = _dataset(parent, path, shape, whole)
    # h5py reads a bool as one of an enumeration: a byte of another value makes no bool of it.
    if dataset.dtype.kind not in kinds or dataset.dtype.fields is not None:
        raise Refused(f"{path} must hold numbers of kind {kinds!r}; found {dataset.dtype}")
    return dataset


def array(parent: h5py.Group, path: str, axes: int) -> np.ndarray:
    """A data set of numbers or bools of any shape, of at most so many axes.

    Raises:
        Refused: as ``numbers``.
    """
    there = found(parent, path)
    rank = len(there.shape or ()) if isinstance(there, h5py.Dataset) else 1
    if rank > axes:
        raise Refused(f"{path} has {rank} axes; at most {axes} are read")
    return numbers(parent, path, (None,) * rank, "biuf")


def rows_of_texts(parent: h5py.Group, path: str, shape: tuple[int | None, ...]) -> h5py.Dataset:
    """A data set of texts that was looked at but not read.

    Raises:
        Refused: as ``texts``.
    """
    dataset = _dataset(parent, path, shape, True)
    if h5py.check_string_dtype(dataset.dtype) is None:
        raise Refused(f"{path} must hold texts; found {dataset.dtype}")
    return dataset


def texts(parent: h5py.Group, path: str, shape: tuple[int | None, ...]) -> tuple[str, ...]:
    """A data set of texts.

    Raises:
        Refused: missing, of another kind or shape, stored elsewhere, or too large.
    """
    dataset = rows_of_texts(parent, path, shape)
    words: list[str] = []
    length = 0
    # In portions: a million entries may all point to one long text.
    for k in range(0, len(dataset), 1024):
        portion = dataset.asstr()[k : k + 1024].tolist()
        words += portion
        length += sum(map(len, portion))
        if length > TEXT:
            raise Refused(f"{path} holds more than {TEXT} characters")
    return tuple(words)


def attribute(parent: h5py.Group, name: str) -> Any:
    """An attribute: a number, a bool, a text, or a tuple of them.

    Raises:
        Refused: missing, too large, or of another kind.
    """
    if name not in parent.attrs:
        raise Refused(f"{parent.name} must have the attribute {name!r}")
    stored = parent.attrs.get_id(name)
    text = h5py.check_string_dtype(stored.dtype) is not None
    if stored.get_storage_size() > ATTRIBUTE or not (text or stored.dtype.kind in "biuf"):
        raise Refused(f"the attribute {name!r} of {parent.name} is neither a number nor a text")
    value = parent.attrs[name]
    if isinstance(value, np.ndarray):
        return tuple(value.tolist())
    return value.item() if isinstance(value, np.generic) else value


def attributes(parent: h5py.Group) -> dict[str, Any]:
    """All attributes by name.

    Raises:
        Refused: too many, or one that is neither number nor text.
    """
    if len(parent.attrs) > ENTRIES:
        raise Refused(f"{parent.name} has {len(parent.attrs)} attributes")
    return {name: attribute(parent, name) for name in parent.attrs}


def found(parent: h5py.Group, path: str) -> Any:
    """What stands at a path, reached over hard links only.

    Raises:
        Refused: it is missing, or a link to elsewhere.
    """
    place = parent
    for name in path.split("/"):
        # getlink looks at the last component only: one at a time, or a link hides in the middle.
        link = place.get(name, getlink=True) if isinstance(place, h5py.Group) else None
        if link is None:
            raise Refused(f"{path} is missing")
        if not isinstance(link, h5py.HardLink):
            raise Refused(f"{path} is a link to elsewhere; such files are not followed")
        place = place[name]
    return place


def _dataset(
    parent: h5py.Group, path: str, shape: tuple[int | None, ...], whole: bool
) -> h5py.Dataset:
    there = found(parent, path)
    if not isinstance(there, h5py.Dataset):
        raise Refused(f"{path} must be a data set")
    if there.shape is None or len(there.shape) != len(shape):
        raise Refused(f"{path} must have {len(shape)} axes; found the shape {there.shape}")
    if any(needed not in (None, length) for needed, length in zip(shape, there.shape)):
        raise Refused(f"{path} must have the shape {shape}; found {there.shape}")
    if there.external or there.is_virtual:
        raise Refused(f"{path} is stored in another file; such data sets are not read")
    size = there.size * there.dtype.itemsize
    stored = there.id.get_storage_size()
    most = EXPANSION if size < LARGE else EXPANSION_OF_LARGE
    beyond = stored > there.file.id.get_filesize() or (whole and size > BUDGET)
    if beyond or (size > 2**20 and size > most * stored):
        raise Refused(f"{path} claims {size} bytes ({stored} are stored); that is not read")
    if there.chunks and np.prod(there.chunks, dtype=float) * there.dtype.itemsize > CHUNK:
        raise Refused(f"{path} is stored in pieces of more than {CHUNK} bytes; that is not read")
    plan = there.id.get_create_plist()
    for k in range(plan.get_nfilters()):
        if why := filters.refusal(plan.get_filter(k)[0]):
            raise Refused(f"{path} {why}")
    return there
