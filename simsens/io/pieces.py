"""The pieces (chunks) of an array, looked at before HDF5 unpacks them.

HDF5 unpacks a piece to its end, however long that is: three megabytes that gzip has made of three
gigabytes of zeros take three gigabytes, even where the array claims to be small. And of a piece
that is too short it hands out what happened to stand in memory. So each must be of a size that can
be right, and one that could be unpacked to very much is unpacked here first, up to what it should
be.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import h5py
import numpy as np

from simsens.io import headers

GZIP, SHUFFLE = h5py.h5z.FILTER_DEFLATE, h5py.h5z.FILTER_SHUFFLE
SUSPECT = 2**19  # bytes, which gzip can make of a thousand times as many
LARGEST = 2**22  # bytes of a piece by another compression
SPARE = 2**12  # bytes by which compression may make a piece larger
_LAYOUT, _DEEP = 8, 16
# A million pieces take two seconds, and several ask: what was found good in an open file, which
# HDF5 numbers anew each time that it opens one.
MANY, REMEMBERED = 1000, 256
_good: dict[tuple[int, int, tuple[int, ...]], None] = {}
Key = tuple[int, ...]


def fault(there: h5py.Dataset, numbers: Sequence[int]) -> str | None:
    """What is wrong with the pieces of an array that is stored in some; ``None`` if nothing is.

    Args:
        there: the array.
        numbers: of its filters, in the order in which they were applied.
    """
    where = h5py.h5o.get_info(there.id)
    if (key := (where.fileno, where.addr, there.shape)) in _good:
        return None
    why = _fault(there, numbers)
    if why is None and there.file.mode == "r" and there.id.get_num_chunks() > MANY:
        _good[key] = None
        if len(_good) > REMEMBERED:
            del _good[next(iter(_good))]
    return why


def _fault(there: h5py.Dataset, numbers: Sequence[int]) -> str | None:
    packing = [k for k, number in enumerate(numbers) if number != SHUFFLE]
    if (
        len(set(numbers)) < len(numbers)
        or len(packing) > 1
        or packing not in ([], [len(numbers) - 1])
    ):
        return "is stored by a row of filters that is not read"
    chunks = there.chunks
    size = int(np.prod(chunks, dtype=np.int64)) * there.dtype.itemsize
    suspects: list[tuple[int, ...]] = []
    rows = [-(-length // chunk) for length, chunk in zip(there.shape, chunks)]
    # One that is missing is read as zeros.
    if there.id.get_num_chunks() != int(np.prod(rows, dtype=float)):
        return "is not whole: pieces are missing"
    seen = bytearray(there.id.get_num_chunks())

    def look(piece: Any) -> bool | None:
        place = 0
        for start, chunk, count in zip(piece.chunk_offset, chunks, rows):
            if start % chunk or not start // chunk < count:
                return True
            place = place * count + start // chunk
        if seen[place]:
            return True
        seen[place] = 1
        if not packing or piece.filter_mask >> packing[0] & 1:
            return None if piece.size == size else True
        if piece.size > size + size // 64 + SPARE:
            return True
        if piece.size > (SUSPECT if numbers[-1] == GZIP else LARGEST):
            suspects.append(piece.chunk_offset)
        return None

    if there.id.chunk_iter(look) or not _can_be_found(there):
        return "is stored in pieces of a wrong size or place"
    for offset in suspects:
        if numbers[-1] != GZIP or not _unpacks_to(there.id.read_direct_chunk(offset)[1], size):
            return "is stored in pieces that are larger than they should be"
    return None


def _can_be_found(there: h5py.Dataset) -> bool:
    """Whether HDF5 finds each piece that it lists: one that it does not find is read as zeros.

    The index is a tree of keys, the coordinates where a piece begins. A piece is sought between two
    of them, and listed without a look at them. (Newer kinds of index have checksums.)
    """
    if headers.own_file(there.file) or not there.id.get_num_chunks():
        return True
    descriptor = there.file.id.get_vfd_handle()
    address = h5py.h5o.get_info(there.id).addr
    for kind, message in headers.messages(descriptor, address):
        if kind == _LAYOUT and message[:2] == b"\x03\x02":
            root, axes = int.from_bytes(message[3:11], "little"), message[2]
            if root == 2**64 - 1:  # nothing is stored yet
                return True
            return axes == len(there.shape) + 1 and _lead_on(descriptor, root, axes, None, _DEEP)
    return True


def _lead_on(
    descriptor: int, node: int, axes: int, between: tuple[Key, Key] | None, depth: int
) -> bool:
    """Whether the keys of a node rise, and lie between those that lead to it."""
    head = headers.content(descriptor, node, 24)
    if len(head) < 24 or head[:5] != b"TREE\x01" or depth == 0:
        return False
    count, width = int.from_bytes(head[6:8], "little"), 16 + 8 * axes
    body = headers.content(descriptor, node + 24, count * width + width - 8)
    if len(body) < count * width + width - 8 or not count:
        return False
    keys = [struct.unpack_from(f"<{axes}Q", body, k * width + 8) for k in range(count + 1)]
    if any(a >= b for a, b in pairwise(keys)) or any(key[-1] for key in keys[:-1]):
        return False
    if between is not None and not (between[0] <= keys[0] and keys[-2] < between[1]):
        return False
    if head[5] == 0:
        return True
    nodes = [struct.unpack_from("<Q", body, k * width + width - 8)[0] for k in range(count)]
    return all(
        _lead_on(descriptor, below, axes, pair, depth - 1)
        for below, pair in zip(nodes, pairwise(keys))
    )


def _unpacks_to(content: bytes, size: int) -> bool:
    """Whether gzip makes no more than so many bytes of this."""
    stream, found = zlib.decompressobj(), 0
    try:
        while not stream.eof and found <= size:
            portion = stream.decompress(content, 2**20)
            if not portion:
                return False
            found, content = found + len(portion), stream.unconsumed_tail
    except zlib.error:
        return False
    return found <= size
