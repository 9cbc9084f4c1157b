"""How arrays are compressed, by the words of ``--compression``, and which filters are read.

Float64 barely compresses (by a tenth or two, and only when its bytes are shuffled), so that
``none`` is a sensible choice where time matters. It is gzip at level zero, which copies and adds a
checksum: HDF5 hands out a damaged number of a plain array without a word. (Its own checksum,
Fletcher32, can crash on a piece that was cut short.)
"""

from __future__ import annotations

import importlib.util
from typing import Any

import h5py

from simsens.io.errors import UnknownFormat

COMPRESSIONS = ("gzip", "none", "lzf", "blosc2")
BLOSC2 = 32026  # the number under which the HDF Group registered it

READ = {
    h5py.h5z.FILTER_DEFLATE: "gzip",
    h5py.h5z.FILTER_SHUFFLE: "shuffle",
    h5py.h5z.FILTER_FLETCHER32: "fletcher32",
    h5py.h5z.FILTER_LZF: "lzf",
    h5py.h5z.FILTER_SCALEOFFSET: "scaleoffset",
}


def options(compression: str) -> dict[str, Any]:
    """The arguments of ``create_dataset`` for a word of ``COMPRESSIONS``.

    Raises:
        UnknownFormat: another word, or blosc2 where its package is not installed.
    """
    if compression == "none":
        return {"compression": "gzip", "compression_opts": 0}
    if compression == "gzip":
        return {"compression": "gzip", "compression_opts": 4, "shuffle": True}
    if compression == "lzf":
        return {"compression": "lzf", "shuffle": True}
    if compression != "blosc2":
        raise UnknownFormat(
            f"unknown compression {compression!r}; known are {', '.join(COMPRESSIONS)}"
        )
    if not _load_blosc2():
        raise UnknownFormat(
            "the compression blosc2 needs the package hdf5plugin:"
            " pip install 'simsens[compression]', or choose gzip"
        )
    import hdf5plugin

    return dict(hdf5plugin.Blosc2(cname="zstd", clevel=5, filters=hdf5plugin.Blosc2.SHUFFLE))


def refusal(number: int) -> str | None:
    """Why data of this filter are not read; ``None`` if they are."""
    if number in READ or (number == BLOSC2 and _load_blosc2()):
        return None
    if number == BLOSC2:
        return "is compressed by blosc2: pip install 'simsens[compression]'"
    return "is compressed by a filter that is not read here"


def _load_blosc2() -> bool:
    """Whether HDF5 knows the filter; importing the package is what makes it known."""
    if importlib.util.find_spec("hdf5plugin") is None:
        return False
    import hdf5plugin  # noqa: F401

    return bool(h5py.h5z.filter_avail(BLOSC2))
