"""Whether a file is what the schema says, down to its last number."""

from __future__ import annotations

import os
from collections.abc import Iterator

import numpy as np

from simsens.io import guarded, h5md_read, opened, schema
from simsens.io.errors import UnreadableFile, one_line
from simsens.io.trajectory import Trajectory

AT_ONCE = 2**26  # bytes of positions that are read together


def faults(path: str | os.PathLike[str]) -> Iterator[str]:
    """What is wrong with a result, in words; nothing if all is right. Everything is read.

    Names, kinds and shapes are compared with the schema, checksums of what was compressed are
    checked by reading it, positions must be finite, and frames in the order of their steps.
    """
    try:
        with opened.opened(path) as root:
            if guarded.attribute(root, "schema_version") == schema.VERSION:
                yield from schema.faults(root.file)
            yield from _frames(root)
            h5md_read.stored(root)
    except UnreadableFile as error:
        yield str(error).removeprefix(f"{path}: ").removeprefix(f"{path} ")


def _frames(root: guarded.Group) -> Iterator[str]:
    try:
        structure, _ = h5md_read.rest(root)
        trajectory = Trajectory(root.file, structure)
        if (np.diff(trajectory.step) <= 0).any():
            yield "the steps of the trajectory do not rise"
        several = max(1, AT_ONCE // max(1, structure.number * 24))
        for first in range(0, len(trajectory), several):
            block = trajectory[first : first + several]
            lost = ~np.isfinite(block).all(axis=(1, 2))
            if lost.any():
                yield f"frame {first + int(np.argmax(lost))} holds positions that are not finite"
    except (guarded.Refused, OSError, ValueError, KeyError, RuntimeError) as error:
        yield one_line(error)
