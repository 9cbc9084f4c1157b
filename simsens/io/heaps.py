"""Where the texts of an HDF5 file stand, and how long they are, before HDF5 is asked for them.

A text of variable length is stored as a reference: its length, the place of a heap, an index in it.
HDF5 (2.0 and before) believes both ends. It sets aside as much memory as the reference claims, up
to four gigabytes, and goes from object to object of the heap without asking whether it gets on: a
free piece of size zero holds it for ever, in a loop that nothing interrupts. So references and
heaps are looked at here first, in the bytes of the file.

Reference: HDF5 File Format Specification, III.E (global heap), IV.A.2 (attribute message).
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator

import h5py

from simsens.io import headers

REFERENCE = 16  # bytes: length, place, index
_ATTRIBUTE = 0x0C
_AT_ONCE = 2**20


def characters(file: h5py.File, references: bytes) -> int | None:
    """How many bytes the texts have that these references name; ``None`` if they are damaged."""
    total, heaps = 0, dict[int, dict[int, int]]()
    for length, place, index in struct.iter_unpack("<IQI", references):
        if place not in (0, 2**64 - 1):
            if place not in heaps:
                heaps[place] = dict(_objects(file.id.get_vfd_handle(), place))
            if heaps[place].get(index) != length:
                return None
        total += length
    return total


def of_dataset(dataset: h5py.Dataset) -> bytes | None:
    """The references that a data set holds; ``None`` if they are stored in pieces."""
    place, size = dataset.id.get_offset(), dataset.id.get_storage_size()
    if not dataset.size:
        return b""
    if place is None or size != REFERENCE * dataset.size:
        return None
    return headers.content(dataset.file.id.get_vfd_handle(), place, size)


def of_attribute(parent: h5py.Group, name: str, count: int) -> bytes | None:
    """The references that an attribute holds; ``None`` if they are not in the object's header."""
    address = h5py.h5o.get_info(parent.id).addr
    wanted = name.encode(errors="surrogateescape")
    for kind, message in headers.messages(parent.file.id.get_vfd_handle(), address):
        if kind == _ATTRIBUTE and len(message) > 9:
            found, data = _attribute(message)
            if found == wanted and len(data) >= REFERENCE * count:
                return data[: REFERENCE * count]
    return None


def _attribute(message: bytes) -> tuple[bytes, bytes]:
    version, sizes = message[0], struct.unpack_from("<HHH", message, 2)
    name = at = 9 if version == 3 else 8
    for size in sizes:  # of the name, the kind, the shape
        at += -(-size // 8) * 8 if version == 1 else size
    return message[name : name + sizes[0]].split(b"\0")[0], message[at:]


def _objects(descriptor: int, place: int) -> Iterator[tuple[int, int]]:
    """Index and size of the objects of a heap; nothing if they do not lead to its end."""
    head = headers.content(descriptor, place, 16)
    if head[:5] != b"GCOL\x01" or len(head) < 16:
        return
    length, at = int.from_bytes(head[8:], "little"), 16
    if place + length > os.fstat(descriptor).st_size:
        return
    whole = headers.content(descriptor, place, length) if length <= _AT_ONCE else None
    found = []
    while at + 16 <= length:
        there = (
            whole[at : at + 16]
            if whole is not None
            else headers.content(descriptor, place + at, 16)
        )
        index, size = struct.unpack("<H6xQ", there)
        if index:
            found.append((index, size))
        elif not size:
            return
        at += 16 + -(-size // 8) * 8 if index else size
    if at <= length:
        yield from found
