"""Where the texts of an HDF5 file stand, and how long they are, before HDF5 is asked for them.

A text of variable length is stored as a reference: its length, the place of a heap, an index in it.
HDF5 (2.0 and before) believes both ends. It sets aside as much memory as the reference claims, up
to four gigabytes, and goes from object to object of the heap without asking whether it gets on: a
free piece of size zero holds it for ever, in a loop that nothing interrupts. So references and
heaps are looked at here first, in the bytes of the file.

Reference: HDF5 File Format Specification, III.E (global heap), IV.A (object headers).
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator

import h5py

REFERENCE = 16  # bytes: length, place, index
_ATTRIBUTE, _CONTINUED = 0x0C, 0x10
_PIECES, _LONGEST = 64, 2**22  # of an object header
_AT_ONCE = 2**20


def own_file(file: h5py.File) -> bool:
    """Whether we are writing this file; then its bytes are not all on the disk yet."""
    return bool(file.driver != "sec2" or file.mode != "r")


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
    return _bytes(dataset.file.id.get_vfd_handle(), place, size)


def of_attribute(parent: h5py.Group, name: str, count: int) -> bytes | None:
    """The references that an attribute holds; ``None`` if they are not in the object's header."""
    address = h5py.h5o.get_info(parent.id).addr
    wanted = name.encode(errors="surrogateescape")
    for kind, message in _messages(parent.file.id.get_vfd_handle(), address):
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


def _messages(descriptor: int, address: int) -> Iterator[tuple[int, bytes]]:
    """What an object header says, in either of its two forms."""
    head = _bytes(descriptor, address, 64).ljust(64, b"\0")
    if head[:4] == b"OHDR":
        flags, at = head[5], 6 + 16 * bool(head[5] & 0x20) + 4 * bool(head[5] & 0x10)
        width, layout = 1 << (flags & 3), "<BHB"
        skipped, around = 2 * bool(flags & 4), 4
        pieces = [(address + at + width, int.from_bytes(head[at : at + width], "little"))]
    else:
        layout, skipped, around = "<HHB3x", 0, 0
        pieces = [(address + 16, int.from_bytes(head[8:12], "little"))]
    for k in range(_PIECES):
        if k == len(pieces):
            return
        place, length = pieces[k]
        piece, at = _bytes(descriptor, place, min(length, _LONGEST)), 0
        while at + struct.calcsize(layout) <= len(piece):
            kind, size, _ = struct.unpack_from(layout, piece, at)
            at += struct.calcsize(layout) + skipped
            yield kind, piece[at : at + size]
            if kind == _CONTINUED and size >= 16:
                start, extent = struct.unpack_from("<QQ", piece.ljust(at + 16, b"\0"), at)
                pieces.append((start + around, max(0, extent - 2 * around)))
            at += size


def _objects(descriptor: int, place: int) -> Iterator[tuple[int, int]]:
    """Index and size of the objects of a heap; nothing if they do not lead to its end."""
    head = _bytes(descriptor, place, 16)
    if head[:5] != b"GCOL\x01" or len(head) < 16:
        return
    length, at = int.from_bytes(head[8:], "little"), 16
    if place + length > os.fstat(descriptor).st_size:
        return
    whole = _bytes(descriptor, place, length) if length <= _AT_ONCE else None
    found = []
    while at + 16 <= length:
        there = whole[at : at + 16] if whole is not None else _bytes(descriptor, place + at, 16)
        index, size = struct.unpack("<H6xQ", there)
        if index:
            found.append((index, size))
        elif not size:
            return
        at += 16 + -(-size // 8) * 8 if index else size
    if at <= length:
        yield from found


def _bytes(descriptor: int, place: int, size: int) -> bytes:
    """Bytes of the file; none beyond its end."""
    if place >= os.fstat(descriptor).st_size:
        return b""
    return os.pread(descriptor, size, place)
