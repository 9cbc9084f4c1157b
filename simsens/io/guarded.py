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

BUDGET = 4 * 2**30  # bytes of one data set
EXPANSION = 1100  # gzip cannot compress further than 1032:1; an array of fill values can
ATTRIBUTE = 2**20  # bytes
TEXT = 2**26  # characters of one data set
ENTRIES = 10_000  # members of a group, attributes of an object
FILTERS = (
    h5py.h5z.FILTER_DEFLATE,
    h5py.h5z.FILTER_SHUFFLE,
    h5py.h5z.FILTER_FLETCHER32,
    h5py.h5z.FILTER_LZF,
    h5py.h5z.FILTER_SCALEOFFSET,
)


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
    found = _walk(parent, path)
    if not isinstance(found, h5py.Group):
        raise Refused(f"{path} must be a group")
    if len(found) > ENTRIES:
        raise Refused(f"{path} has {len(found)} members; at most {ENTRIES} are read")
    return found


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
    dataset = _dataset(parent, path, shape)
    if dataset.dtype.kind not in kinds:
        raise Refused(f"{path} must hold numbers of kind {kinds!r}; found {dataset.dtype}")
    return np.asarray(dataset[()])


def texts(parent: h5py.Group, path: str, shape: tuple[int | None, ...]) -> tuple[str, ...]:
    """A data set of texts.

    Raises:
        Refused: missing, of another kind or shape, stored elsewhere, or too large.
    """
    dataset = _dataset(parent, path, shape)
    if h5py.check_string_dtype(dataset.dtype) is None:
        raise Refused(f"{path} must hold texts; found {dataset.dtype}")
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


def _walk(parent: h5py.Group, path: str) -> Any:
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


def _dataset(parent: h5py.Group, path: str, shape: tuple[int | None, ...]) -> h5py.Dataset:
    found = _walk(parent, path)
    if not isinstance(found, h5py.Dataset):
        raise Refused(f"{path} must be a data set")
    if found.shape is None or len(found.shape) != len(shape):
        raise Refused(f"{path} must have {len(shape)} axes; found the shape {found.shape}")
    if any(needed not in (None, length) for needed, length in zip(shape, found.shape)):
        raise Refused(f"{path} must have the shape {shape}; found {found.shape}")
    if found.external or found.is_virtual:
        raise Refused(f"{path} is stored in another file; such data sets are not read")
    size = found.size * found.dtype.itemsize
    stored = found.id.get_storage_size()
    beyond = stored > found.file.id.get_filesize() or size > BUDGET
    if beyond or (size > 2**20 and size > EXPANSION * stored):
        raise Refused(f"{path} claims {size} bytes ({stored} are stored); that is not read")
    plan = found.id.get_create_plist()
    if any(plan.get_filter(k)[0] not in FILTERS for k in range(plan.get_nfilters())):
        raise Refused(f"{path} is compressed by a filter that is not read here")
    return found
