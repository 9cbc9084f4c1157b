"""The frames of a trajectory that were chosen, read some at a time."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from simsens.io import opened
from simsens.io.export_choices import CannotExport
from simsens.io.result_file import ResultFile

AT_ONCE = 2**25  # bytes of positions


def chosen_frames(result: ResultFile, frames: slice | None) -> range:
    """The numbers of the chosen frames.

    Raises:
        CannotExport: there is none.
    """
    count = len(result.trajectory)
    found = range(count)[slice(None) if frames is None else frames]
    if not found:
        raise CannotExport(
            f"{result.path} holds {count} frames, counted from 0: none of them is chosen"
        )
    return found


def blocks(result: ResultFile, frames: range) -> Iterator[tuple[range, np.ndarray]]:
    """Numbers of frames and their positions ``[frame, particle, dimension]``, block by block.

    Raises:
        UnreadableFile: damaged.
    """
    structure, trajectory = result.structure, result.trajectory
    together = max(1, AT_ONCE // (structure.number * 24))
    for first in range(0, len(frames), together):
        part = frames[first : first + together]
        # Backwards to the very first there is no number to stop at.
        stop = part.stop if part.stop >= 0 else None
        with opened.told(result.path):
            position = np.asarray(trajectory[part.start : stop : part.step])
        yield part, position


def numbers(result: ResultFile) -> dict[str, np.ndarray]:
    """``step``, ``energy`` and ``max_force`` of all frames, ``[frame]`` each.

    Raises:
        UnreadableFile: damaged.
    """
    with opened.told(result.path):
        trajectory = result.trajectory
        return {
            "step": trajectory.step,
            "energy": trajectory.energy,
            "max_force": trajectory.max_force,
        }
