"""Chunks packed outside of HDF5 are, byte for byte, those that it packs."""

import h5py
import numpy as np
import pytest

from simsens.io import filters
from simsens.io.chunks import fill


@pytest.mark.parametrize("compression", ["gzip", "none", "lzf"])
@pytest.mark.parametrize("dtype", ["f8", "f4", "i1"])
@pytest.mark.parametrize("shape", [(7, 3), (8, 3), (1, 3), (5,)])
def test_they_are_those_of_hdf5(tmp_path, compression, dtype, shape):
    values = np.random.default_rng(0).normal(scale=9, size=shape).astype(dtype)
    chunk = (1, min(4, shape[0]), *shape[1:])
    with h5py.File(tmp_path / "a.h5", "w") as file:
        ours, theirs = (
            file.create_dataset(name, (3, *shape), dtype, chunks=chunk,
                                maxshape=(None, *shape), **filters.options(compression))
            for name in ("ours", "theirs")
        )  # fmt: skip
        fill(ours, range(1, 3), values)
        for row in range(1, 3):
            theirs[row] = values
        file.flush()
        count = theirs.id.get_num_chunks()
        assert ours.id.get_num_chunks() == count == 2 * -(-shape[0] // chunk[1])
        for k in range(count):
            at = theirs.id.get_chunk_info(k).chunk_offset
            assert ours.id.read_direct_chunk(at) == theirs.id.read_direct_chunk(at)
        assert np.array_equal(ours[1:], [values, values])
