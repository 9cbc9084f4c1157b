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

from simsens.io import filters, headers, heaps, pieces

BUDGET = 4 * 2**30  # bytes of one data set that is read whole
LARGE = 2**26  # bytes from which on an array must be worth its size
# gzip cannot compress further than 1032:1, an array of fill values can; numbers that were computed
# compress to a half at most, whole numbers that repeat to a hundredth.
EXPANSION, EXPANSION_OF_LARGE = 1100, 200
# All arrays of a group together: so much is granted to any file, and more to one that is large.
TOGETHER, EXPANSION_TOGETHER = 2**29, 20
# HDF5 2.0 reads beyond a piece of less than four bytes that should have a checksum of Fletcher's.
UNSAFE = (h5py.h5z.FILTER_FLETCHER32, h5py.h5z.FILTER_SCALEOFFSET)
CHUNK = 2**27  # bytes of a chunk, which is unpacked whole
ATTRIBUTE = 2**20  # bytes
WORDS, LONGEST = 16, 2**26  # words and bytes of an attribute
TEXT = 2**26  # characters of one data set
ENTRIES = 10_000  # members of a group, attributes of an object
OBJECTS = 50_000  # below a group


Group = h5py.Group


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
    values = np.asarray(rows(parent, path, shape, kinds, whole=True)[()])
    # h5py takes one of an enumeration for a bool: a byte of another value makes none.
    if values.dtype.kind == "b" and (values.view(np.uint8) > 1).any():
        raise Refused(f"{path} must hold true or false")
    return values if values.dtype.isnative else values.astype(values.dtype.newbyteorder("="))


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
    if not _plain(dataset.id, kinds):
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
    # Before it is read: a million entries may all point to one long text, or claim to be long.
    length = _characters(dataset)
    if length is None or length > TEXT:
        raise Refused(f"{path} holds texts that are damaged, or more than {TEXT} characters")
    try:
        return tuple(dataset.asstr()[()].tolist())
    except UnicodeDecodeError:
        raise Refused(f"{path} holds what is no text") from None


def attribute(parent: h5py.Group, name: str) -> Any:
    """An attribute: a number, a bool, a text, or a tuple of them.

    Raises:
        Refused: missing, too large, or of another kind.
    """
    if name not in parent.attrs:
        raise Refused(f"{parent.name} must have the attribute {name!r}")
    stored = parent.attrs.get_id(name)
    size, text = stored.get_storage_size(), h5py.check_string_dtype(stored.dtype) is not None
    empty = stored.get_space().get_simple_extent_type() == h5py.h5s.NULL
    if size > ATTRIBUTE or empty or not (text or _plain(stored, "biuf")):
        raise Refused(f"the attribute {name!r} of {parent.name} is neither a number nor a text")
    if text and stored.get_space().get_simple_extent_npoints() > WORDS:
        raise Refused(f"the attribute {name!r} of {parent.name} has more than {WORDS} words")
    if text and not _short(parent, name, stored):
        raise Refused(
            f"the attribute {name!r} of {parent.name} is damaged, too long, or not in its header"
        )
    value = np.asarray(parent.attrs[name])
    if value.dtype.kind == "b" and not _true_or_false(stored):
        raise Refused(f"the attribute {name!r} of {parent.name} must be true or false")
    if text and not all(_is_text(word) for word in value.reshape(-1).tolist()):
        raise Refused(f"the attribute {name!r} of {parent.name} holds what is no text")
    return tuple(value.tolist()) if value.ndim else value.item()


def attributes(parent: h5py.Group) -> dict[str, Any]:
    """All attributes by name.

    Raises:
        Refused: too many, or one that is neither number nor text.
    """
    if len(parent.attrs) > ENTRIES:
        raise Refused(f"{parent.name} has {len(parent.attrs)} attributes")
    return {name: attribute(parent, name) for name in parent.attrs}


def survey(parent: h5py.Group) -> None:
    """Look at everything below a group without reading it: nothing is too many or too much.

    A file that is small may hold a hundred arrays that are each just small enough.

    Raises:
        Refused: it claims more bytes than a file of its size can mean.
    """
    seen: set[int] = set()
    waiting, size = [parent], 0
    limit = max(TOGETHER, EXPANSION_TOGETHER * parent.file.id.get_filesize())
    while waiting:
        place = waiting.pop()
        if h5py.h5o.get_info(place.id).addr in seen:  # a second name, or a group within itself
            continue
        seen.add(h5py.h5o.get_info(place.id).addr)
        if isinstance(place, h5py.Group):
            if len(place) > ENTRIES:
                raise Refused(f"{place.name} has {len(place)} members; at most {ENTRIES} are read")
            waiting += [place[name] for name in place if has(place, name)]
        elif isinstance(place, h5py.Dataset) and place.shape is not None:
            size += place.size * place.dtype.itemsize
        if len(seen) + len(waiting) > OBJECTS:
            raise Refused(f"{parent.name} holds more than {OBJECTS} objects")
        if size > limit:
            raise Refused(f"{parent.name} claims more than {limit} bytes; that is not read")


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


def _plain(stored: Any, kinds: str) -> bool:
    """Whether these are numbers as every machine has them: no records, no enumeration, no others.

    HDF5 knows numbers of any number of bits, and one that was damaged is read as such.
    """
    dtype = stored.dtype
    if dtype.kind not in kinds or (dtype.kind == "f" and dtype.itemsize not in (4, 8)):
        return False
    return bool(stored.get_type() == h5py.h5t.py_create(dtype, logical=True))


def _true_or_false(stored: Any) -> bool:
    """Whether a byte is one of the two: h5py makes a bool of any."""
    found = np.zeros(stored.shape, np.int8)
    stored.read(found, mtype=h5py.h5t.NATIVE_INT8)
    return bool(np.isin(found, (0, 1)).all())


def _short(parent: h5py.Group, name: str, stored: Any) -> bool:
    """Whether the texts of an attribute are there, and no longer than is read."""
    count = stored.get_space().get_simple_extent_npoints()
    if h5py.check_string_dtype(stored.dtype).length is not None or headers.own_file(parent.file):
        return True
    references = heaps.of_attribute(parent, name, count)
    length = None if references is None else heaps.characters(parent.file, references)
    return length is not None and length <= LONGEST


def _is_text(word: Any) -> bool:
    try:
        return (word if isinstance(word, bytes) else word.encode()).decode() is not None
    except UnicodeError:
        return False


def _characters(there: h5py.Dataset) -> int | None:
    """How many bytes all texts of a data set have; ``None`` where they are damaged."""
    if h5py.check_string_dtype(there.dtype).length is not None:
        return int(there.size * there.dtype.itemsize)
    if headers.own_file(there.file):
        return 0
    references = heaps.of_dataset(there)
    return None if references is None else heaps.characters(there.file, references)


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
    numbers = [plan.get_filter(k)[0] for k in range(plan.get_nfilters())]
    for number in numbers:
        if number in UNSAFE or (why := filters.refusal(number)):
            why = "is stored by a filter in which HDF5 can crash" if number in UNSAFE else why
            raise Refused(f"{path} {why}")
    if there.chunks and (fault := pieces.fault(there, numbers)):
        raise Refused(f"{path} {fault}")
    return there
