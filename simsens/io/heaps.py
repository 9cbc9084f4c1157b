"""The texts of an HDF5 file stand in heaps; one that was damaged makes HDF5 read without end.

A global heap collection is a row of objects, each with its size. HDF5 (2.0 and before) goes from
one to the next without asking whether it gets on: a free piece of size zero holds it for ever, in a
loop that nothing interrupts. So the collections are sought and gone through here, before HDF5
does.

Reference: HDF5 File Format Specification, III.E, Disk Format: Level 1E - Global Heap.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import h5py

LARGEST = 2**28  # bytes of a file that is searched; beyond, one takes long to search
BLOCK = 2**22
SIGNATURE = b"GCOL\x01"  # with its version
HEADER = 16  # bytes of a collection, and of an object


def fault(file: h5py.File) -> str | None:
    """What is wrong with the heaps of a file that was opened by its name; ``None`` if nothing is.

    Args:
        file: open for reading. Of more than ``LARGEST`` bytes it is not searched.
    """
    if file.id.get_create_plist().get_sizes() != (8, 8):
        return "its addresses are not of eight bytes; such files are not read"
    size = file.id.get_filesize()
    if file.driver != "sec2" or size > LARGEST:
        return None
    descriptor = file.id.get_vfd_handle()
    for place in _places(descriptor, size):
        if not _whole(descriptor, place, size):
            return f"the texts at byte {place} are damaged"
    return None


def _places(descriptor: int, size: int) -> Iterator[int]:
    """Where a collection begins, or what looks like one."""
    for start in range(0, size, BLOCK):
        block = os.pread(descriptor, BLOCK + len(SIGNATURE) - 1, start)
        at = block.find(SIGNATURE)
        while at >= 0:
            yield start + at
            at = block.find(SIGNATURE, at + 1)


def _whole(descriptor: int, place: int, size: int) -> bool:
    """Whether its objects lead from its beginning to its end."""
    length = int.from_bytes(os.pread(descriptor, 8, place + 8), "little")
    if not HEADER <= length <= size - place:
        return True  # these bytes are no collection, or HDF5 says so itself
    heap = os.pread(descriptor, length, place)
    at = HEADER
    while at + HEADER <= length:
        index = int.from_bytes(heap[at : at + 2], "little")
        stored = int.from_bytes(heap[at + 8 : at + 16], "little")
        at += HEADER + -(-stored // 8) * 8 if index else stored
        if (not index and not stored) or at > length:
            return False
    return True
