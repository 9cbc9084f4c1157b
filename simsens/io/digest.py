"""A checksum over what a result says, so that no number of a damaged file passes for a result.

HDF5 protects what is compressed, and nothing else: a byte that was changed in an attribute or a
plain array is read as another number. So when a run has ended, names, kinds, shapes and values of
everything in the group ``/simsens`` are summed up, a checksum a part, in its attribute ``digest``.
Only what is read is checked: the structure needs no look at the derivatives.

A run in progress has none yet; neither has its ``checkpoint``. Nobody is kept from computing a new
one: this is against damage, not against forgery.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from typing import Any

import h5py
import numpy as np

from simsens.io import guarded

NAME = "digest"
LEFT_OUT = ("checkpoint",)
ROOT = ""  # the part that is the attributes of the group itself
PIECE = 2**22  # bytes that are read at once
DEEP = 20  # groups within groups


def digest(root: h5py.Group) -> str:
    """The checksums of every part, as JSON.

    Raises:
        Refused: something is stored elsewhere, too large, or neither number nor text.
    """
    return json.dumps({part: _of_part(root, part) for part in (ROOT, *_parts(root))})


def check(root: h5py.Group, *parts: str) -> None:
    """Compare parts with what was written, all by default; a run that has not ended has no digest.

    Raises:
        Refused: a part is not what was written, or there is nothing to compare with.
    """
    if guarded.attribute(root, "status") == "running":
        if guarded.has(root, "minimum"):
            raise guarded.Refused("/simsens holds a minimum, but says that the run has not ended")
        return
    known = _known(root)
    if sorted(known) != sorted((ROOT, *_parts(root))):
        raise guarded.Refused("its digest is of other parts than it has; the file was changed")
    for part in (ROOT, *(parts or _parts(root))):
        if part in known and known[part] != _of_part(root, part):
            raise guarded.Refused(
                f"/simsens{part and '/' + part} is not what was written: the file is damaged, or"
                " was changed since"
            )


def _known(root: h5py.Group) -> dict[str, str]:
    if NAME not in root.attrs:
        raise guarded.Refused(f"/simsens must have the attribute {NAME!r}, for the run has ended")
    try:
        known = json.loads(str(guarded.attribute(root, NAME)))
    except (ValueError, RecursionError):
        known = None
    if not isinstance(known, dict):
        raise guarded.Refused(f"the attribute {NAME!r} of /simsens is damaged")
    return known


def _parts(root: h5py.Group) -> list[str]:
    return sorted(name for name in root if name not in LEFT_OUT and guarded.has(root, name))


def _of_part(root: h5py.Group, part: str) -> str:
    total = hashlib.blake2b(digest_size=16)
    if part == ROOT:
        _add_attributes(total, root, leave_out=NAME)
    else:
        _add(total, root, part, 0)
    return total.hexdigest()


def _add(total: Any, parent: h5py.Group, name: str, depth: int) -> None:
    there = guarded.found(parent, name)
    if depth > DEEP:
        raise guarded.Refused(f"{name} lies deeper than {DEEP} groups, or within itself")
    _frame(total, name.encode(errors="surrogateescape"))
    if not isinstance(there, (h5py.Group, h5py.Dataset)):
        return
    _add_attributes(total, there)
    if isinstance(there, h5py.Dataset):
        _add_array(total, parent, name, there)
        return
    _frame(total, b"group")
    for inner in sorted(there):
        if guarded.has(there, inner):
            _add(total, there, inner, depth + 1)
    _frame(total, b"end")


def _add_attributes(total: Any, there: Any, leave_out: str = "") -> None:
    for name in sorted(there.attrs):
        kind = there.attrs.get_id(name).dtype
        # References (of dimension scales) name places in the file, which may be others in a copy.
        if name == leave_out or not (h5py.check_string_dtype(kind) or kind.kind in "biuf"):
            continue
        value = np.asarray(guarded.attribute(there, name))
        _frame(total, name.encode(errors="surrogateescape"))
        _frame(total, f"{value.dtype.kind}{value.shape}".encode())
        _add_values(total, value)


def _add_array(total: Any, parent: h5py.Group, name: str, there: h5py.Dataset) -> None:
    axes = (None,) * len(there.shape or ())
    if h5py.check_string_dtype(there.dtype) is not None:
        _frame(total, f"text{there.shape}".encode())
        words = guarded.texts(parent, name, (None,))
        _add_values(total, np.array(words, dtype=object))
        return
    rows = guarded.rows(parent, name, axes, "biuf", whole=True)
    _frame(total, f"{rows.dtype.newbyteorder('<').str}{rows.shape}".encode())
    for piece in _pieces(rows):
        _add_values(total, piece)


def _pieces(there: h5py.Dataset) -> Iterator[np.ndarray]:
    """An array piece by piece, none larger than it must be for a chunk to be unpacked once."""
    if not there.shape or not there.size:
        yield np.asarray(there[()])
        return
    row = there.dtype.itemsize * int(np.prod(there.shape[1:], dtype=np.int64))
    several = max(1, PIECE // row)
    if there.chunks:
        several = min(-(-several // there.chunks[0]) * there.chunks[0], 16 * several)
    for k in range(0, len(there), several):
        yield np.asarray(there[k : k + several])


def _add_values(total: Any, values: np.ndarray) -> None:
    if values.dtype.kind in "OSU":
        for word in values.reshape(-1).tolist():
            _frame(
                total, word if isinstance(word, bytes) else word.encode(errors="surrogateescape")
            )
        return
    total.update(values.astype(values.dtype.newbyteorder("<"), copy=False).tobytes())


def _frame(total: Any, content: bytes) -> None:
    """Add something of any length such that it cannot be mistaken for two."""
    total.update(len(content).to_bytes(8, "little"))
    total.update(content)
