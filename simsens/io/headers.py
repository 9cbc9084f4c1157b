"""The header of an object in an HDF5 file, read from the bytes of the file.

What HDF5 does not tell before it reads: where the texts of an attribute stand (``heaps``), and by
which index the pieces of an array are found (``pieces``).

Reference: HDF5 File Format Specification, IV.A (object headers).
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator

import h5py

_CONTINUED = 0x10
_PIECES, _LONGEST = 64, 2**22  # of an object header


def own_file(file: h5py.File) -> bool:
    """Whether we are writing this file; then its bytes are not all on the disk yet."""
    return bool(file.driver != "sec2" or file.mode != "r")


def messages(descriptor: int, address: int) -> Iterator[tuple[int, bytes]]:
    """What an object header says, in either of its two forms."""
    head = content(descriptor, address, 64).ljust(64, b"\0")
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
        piece, at = content(descriptor, place, min(length, _LONGEST)), 0
        while at + struct.calcsize(layout) <= len(piece):
            kind, size, _ = struct.unpack_from(layout, piece, at)
            at += struct.calcsize(layout) + skipped
            yield kind, piece[at : at + size]
            if kind == _CONTINUED and size >= 16:
                start, extent = struct.unpack_from("<QQ", piece.ljust(at + 16, b"\0"), at)
                pieces.append((start + around, max(0, extent - 2 * around)))
            at += size


def content(descriptor: int, place: int, size: int) -> bytes:
    """Bytes of the file; none beyond its end."""
    if place >= os.fstat(descriptor).st_size:
        return b""
    return os.pread(descriptor, size, place)
