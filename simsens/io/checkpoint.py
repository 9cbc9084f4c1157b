"""The state of a relaxation in the file of its run: named arrays under ``/simsens/checkpoint``."""

from __future__ import annotations

import zlib
from collections.abc import Mapping

import h5py
import numpy as np

from simsens.io import guarded

PLACE = "simsens/checkpoint"


def write(file: h5py.File, state: Mapping[str, np.ndarray]) -> None:
    """Write a state over the one there was."""
    group = file.require_group(PLACE)
    for name in set(group) - set(state):
        del group[name]
    for name, value in state.items():
        if name in group and group[name].ndim == value.ndim:
            dataset = group[name]
            if dataset.shape != value.shape:
                dataset.resize(value.shape)
            dataset[...] = value
            continue
        grows = {"maxshape": (None, *value.shape[1:])} if name == "history" else {}
        group.create_dataset(name, data=value, dtype=value.dtype, **grows)
    group.attrs["checksum"] = _checksum(state)


def read(file: h5py.File) -> dict[str, np.ndarray] | None:
    """The state, ``None`` where there is none.

    Raises:
        Refused: what stands there is no state, or damaged.
    """
    if not guarded.has(guarded.group(file, "simsens"), "checkpoint"):
        return None
    group = guarded.group(file, PLACE)
    state = {name: guarded.array(group, name, 2) for name in group}
    if not state:
        return None
    if guarded.attribute(group, "checksum") != _checksum(state):
        raise guarded.Refused(
            "the state to go on from is damaged: begin anew with --overwrite (io.record)"
        )
    return state


def remove(file: h5py.File) -> None:
    """Forget the state: the run has ended."""
    if PLACE in file:
        del file[PLACE]


def _checksum(state: Mapping[str, np.ndarray]) -> int:
    found = 0
    for name in sorted(state):
        value = np.ascontiguousarray(state[name])
        found = zlib.crc32(f"{name} {value.dtype} {value.shape}".encode() + value.tobytes(), found)
    return found
