"""The pieces (chunks) of an array, looked at before HDF5 unpacks them.

HDF5 unpacks a piece to its end, however long that is: three megabytes that gzip has made of three
gigabytes of zeros take three gigabytes, even where the array claims to be small. And of a piece
that is too short it hands out what happened to stand in memory. So each must be of a size that can
be right, and one that could be unpacked to very much is unpacked here first, up to what it should
be.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import Any

import h5py
import numpy as np

GZIP, SHUFFLE = h5py.h5z.FILTER_DEFLATE, h5py.h5z.FILTER_SHUFFLE
SUSPECT = 2**19  # bytes, which gzip can make of a thousand times as many
LARGEST = 2**22  # bytes of a piece by another compression
SPARE = 2**12  # bytes by which compression may make a piece larger


def fault(there: h5py.Dataset, numbers: Sequence[int]) -> str | None:
    """What is wrong with the pieces of an array that is stored in some; ``None`` if nothing is.

    Args:
        there: the array.
        numbers: of its filters, in the order in which they were applied.
    """
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

    if there.id.chunk_iter(look):
        return "is stored in pieces of a wrong size or place"
    for offset in suspects:
        if numbers[-1] != GZIP or not _unpacks_to(there.id.read_direct_chunk(offset)[1], size):
            return "is stored in pieces that are larger than they should be"
    return None


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
