"""Rows of an array in a file, packed here, once, and handed to HDF5 as they are to lie there.

HDF5 packs a chunk as well, but through a cache with two copies more, and the same numbers again for
every row. The bytes in the file are the same.
"""

from __future__ import annotations

import itertools
import zlib
from collections.abc import Iterable, Iterator

import h5py
import numpy as np


def fill(dataset: h5py.Dataset, rows: Iterable[int], values: np.ndarray) -> None:
    """Write the same values to all these rows.

    Args:
        dataset: in chunks of one row, or of a part of one.
        rows: along its first axis; there already.
        values: of a row, of the data set's own type.
    """
    if not _packed_by_us(dataset):
        for row in rows:
            dataset[row] = values
        return
    level, shuffle = dataset.compression_opts, dataset.shuffle
    packed = [(at, pack(part, level, shuffle)) for at, part in parts(values, dataset.chunks[1:])]
    for row in rows:
        for at, data in packed:
            dataset.id.write_direct_chunk((row, *at), data)


def pack(values: np.ndarray, level: int, shuffle: bool) -> bytes:
    r"""What HDF5's filters shuffle and gzip make of a chunk.

    Example:
        >>> zlib.decompress(pack(np.array([1, 2], "<i2"), 4, shuffle=True))
        b'\x01\x02\x00\x00'
    """
    if shuffle:  # the first bytes of all numbers, then the second ones, ...
        values = values.reshape(-1, 1).view("u1").T
    return zlib.compress(np.ascontiguousarray(values).data, level)


def parts(
    values: np.ndarray, shape: tuple[int, ...]
) -> Iterator[tuple[tuple[int, ...], np.ndarray]]:
    """Where each chunk begins, and what is in it; zeros beyond the end.

    Example:
        >>> [(at, part.tolist()) for at, part in parts(np.array([1, 2, 3]), (2,))]
        [((0,), [1, 2]), ((2,), [3, 0])]
    """
    for at in itertools.product(*(range(0, n, k) for n, k in zip(values.shape, shape))):
        part = values[tuple(slice(a, a + k) for a, k in zip(at, shape))]
        if part.shape != shape:
            whole = np.zeros(shape, part.dtype)
            whole[tuple(slice(n) for n in part.shape)] = part
            part = whole
        yield at, part


def _packed_by_us(dataset: h5py.Dataset) -> bool:
    return dataset.compression == "gzip" and dataset.chunks[0] == 1
