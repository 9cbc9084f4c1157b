"""The IDX format: arrays of numbers as MNIST and its kin are published, plain or by gzip.

=========== ========================================================
bytes       meaning
=========== ========================================================
2           zero
1           kind of number: 08 unsigned byte, 09 signed byte, 0B int16, 0C int32, 0D float32,
            0E float64
1           d, the number of dimensions
4 d         their lengths, unsigned
the rest    the numbers, the last dimension running fastest
=========== ========================================================

Everything is big-endian. A file of a few bytes can claim to hold terabytes, so what it claims is
compared with what it can hold before anything of that size is allocated: a plain file must have
exactly the length that its head tells, and gzip shrinks nothing more than 1032 times.

Reference: Y. LeCun, C. Cortes, C. Burges, *The MNIST database of handwritten digits*.
"""

from __future__ import annotations

import gzip
import math
import os
import zlib
from pathlib import Path
from typing import BinaryIO

import numpy as np

KINDS = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
GZIP, SHRINKS = b"\x1f\x8b", 1032  # RFC 1952; the best that deflate can do
DIMENSIONS = 32  # the most that every NumPy can hold
PORTION = 2**20  # bytes read at once


def read_idx(path: str | os.PathLike[str]) -> np.ndarray:
    r"""The array that an IDX file holds, in the byte order of this machine.

    Whether it is compressed is told by the content, not the name.

    Args:
        path: of the file.

    Returns:
        An array of the shape and kind that the file tells, e.g. ``uint8 [60000, 28, 28]``.

    Raises:
        ValueError: the file is damaged or no IDX file; one line that names it.
        OSError: it cannot be opened.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder) / "labels"
        ...     _ = path.write_bytes(bytes([0, 0, 8, 1, 0, 0, 0, 3, 7, 2, 1]))
        ...     read_idx(path)
        array([7, 2, 1], dtype=uint8)
    """
    path = Path(path)
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        packed = file.read(2) == GZIP
        file.seek(0)
        try:
            if not packed:
                return _array(file, size)
            with gzip.GzipFile(fileobj=file) as unpacked:
                return _array(unpacked, size, SHRINKS)
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise ValueError(f"{path}: damaged gzip: {error}; fetch the file again") from None
        except _Damaged as error:
            raise ValueError(f"{path}: {error}") from None


class _Damaged(ValueError):
    """What is wrong with the content, without the file's name."""


def _array(file: BinaryIO | gzip.GzipFile, size: int, shrinks: int = 1) -> np.ndarray:
    """The array in a stream that a file of ``size`` bytes feeds, ``shrinks`` times as many."""
    kind, shape, head = _head(file)
    claimed = math.prod(shape) * kind.itemsize
    told = f"an array {shape} of {kind.name}, {claimed} bytes"
    if head + claimed > shrinks * size:
        raise _Damaged(f"claims {told}, more than its {size} bytes can hold; fetch the file again")
    content = _read(file, claimed + 1)  # one more: there must be none, and gzip checks its sum
    if len(content) != claimed:
        found = "more" if len(content) > claimed else f"only {len(content)}"
        raise _Damaged(f"claims {told}, but holds {found}; fetch the file again")
    array = np.frombuffer(content, kind).reshape(shape)
    return array.astype(kind.newbyteorder("="), copy=False)


def _head(file: BinaryIO | gzip.GzipFile) -> tuple[np.dtype, tuple[int, ...], int]:
    """Kind, shape, and how many bytes it took to tell them."""
    magic = _read(file, 4)
    if len(magic) < 4 or magic[:2] != b"\0\0" or magic[2] not in KINDS:
        raise _Damaged(
            f"must begin with the magic number of an IDX file, 00 00, a kind of number, the number"
            f" of dimensions; found {magic.hex(' ') or 'nothing'}"
        )
    number = magic[3]
    if not 1 <= number <= DIMENSIONS:
        raise _Damaged(f"must have 1 to {DIMENSIONS} dimensions, found {number}")
    lengths = _read(file, 4 * number)
    if len(lengths) < 4 * number:
        raise _Damaged(f"must tell {number} dimensions; ends after {4 + len(lengths)} bytes")
    shape = tuple(int(length) for length in np.frombuffer(lengths, ">u4"))
    if 0 in shape:
        raise _Damaged(f"must have dimensions of at least 1, found {shape}")
    return np.dtype(KINDS[magic[2]]), shape, 4 + 4 * number


def _read(file: BinaryIO | gzip.GzipFile, count: int) -> bytearray:
    """Up to ``count`` bytes; memory grows with what comes, not with what was asked for."""
    content = bytearray()
    while len(content) < count:
        portion = file.read(min(PORTION, count - len(content)))
        if not portion:
            break
        content += portion
    return content
