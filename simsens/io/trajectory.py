"""The frames of a result, read when they are asked for."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import h5py
import numpy as np

from simsens.io import guarded, opened, trajectory_group
from simsens.particles.structure import Structure

MOST = 2**30  # bytes that are read at once


class Trajectory:
    """The committed frames of an open file; indexed and sliced, each access reads what it gives.

    ``trajectory[k]`` is ``[particle, dimension]``, ``trajectory[a:b]`` is
    ``[frame, particle, dimension]``, counted from the end when negative.
    """

    def __init__(self, file: h5py.File, structure: Structure) -> None:
        self._file, self._structure = file, structure
        shape = (None, structure.number, 3)
        self._position = guarded.rows(file, trajectory_group.POSITION, shape)
        root = guarded.group(file, "simsens")
        committed = guarded.attribute(root, "n_committed")
        if type(committed) is not int or not 0 <= committed <= len(self._position):
            raise guarded.Refused(
                f"n_committed is {committed!r}, but there are {len(self._position)} frames"
            )
        self._count = committed

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, which: int | slice) -> Any:
        """Positions of a frame or of several, not wrapped into the box.

        Raises:
            IndexError: no such frame.
            MemoryError: too much at once.
            UnreadableFile: the frames are damaged.
        """
        dimension = self._structure.dimension
        if isinstance(which, slice):
            chosen = range(self._count)[which]
            size = len(chosen) * self._structure.number * 24
            if size > MOST:
                raise MemoryError(
                    f"{len(chosen)} frames of {self._structure.number} particles are"
                    f" {size / 2**30:.1f} GiB: take fewer at a time"
                )
            if not len(chosen):
                return np.zeros((0, self._structure.number, dimension))
            forward = chosen if chosen.step > 0 else chosen[::-1]
            with opened.told(self._file.filename):
                rows = self._position[forward.start : forward[-1] + 1 : forward.step, :, :dimension]
            return rows if chosen.step > 0 else rows[::-1]
        if not -self._count <= which < self._count:
            raise IndexError(f"there is no frame {which}; there are {self._count}")
        with opened.told(self._file.filename):
            return self._position[which % self._count, :, :dimension]

    def structure(self, frame: int) -> Structure:
        """A frame with species, its box, and boundary."""
        found = self._structure.with_position(self[frame].astype(float))
        return found if self.box is None else found.with_box(self.box[frame])

    def particle(self, index: int) -> np.ndarray:
        """Where a particle was, ``[frame, dimension]``.

        Raises:
            IndexError: no such particle.
            UnreadableFile: the frames are damaged.
        """
        number = self._structure.number
        if not -number <= index < number:
            raise IndexError(f"there is no particle {index}; there are {number}")
        with opened.told(self._file.filename):
            found = self._position[: self._count, index % number, : self._structure.dimension]
            return np.asarray(found)

    @property
    def step(self) -> np.ndarray:
        """``[frame]`` the step of the optimiser."""
        return self._numbers(trajectory_group.STEP, "iu")

    @property
    def energy(self) -> np.ndarray:
        """``[frame]`` the potential energy."""
        return self._numbers(trajectory_group.ENERGY)

    @property
    def max_force(self) -> np.ndarray:
        """``[frame]`` the largest force on a free particle."""
        return self._numbers(trajectory_group.MAX_FORCE)

    @cached_property
    def box(self) -> np.ndarray | None:
        """``[frame, dimension, dimension]`` edge vectors as rows; ``None`` if none is periodic."""
        if self._structure.box is None or not any(self._structure.boundary):
            return None
        dimension = self._structure.dimension
        edges = self._numbers(trajectory_group.EDGES, shape=(3, 3))[:, :dimension, :dimension]
        volume = np.abs(np.linalg.det(edges))
        flat = ~((volume > 0) & np.isfinite(volume))
        if flat.any():
            with opened.told(self._file.filename):
                raise guarded.Refused(f"the box of frame {np.argmax(flat)} has no volume")
        return np.ascontiguousarray(edges)

    def _numbers(self, name: str, kinds: str = "f", shape: tuple[int, ...] = ()) -> np.ndarray:
        with opened.told(self._file.filename):
            rows = guarded.rows(self._file, name, (None, *shape), kinds, whole=True)
            if len(rows) < self._count:
                raise guarded.Refused(f"{name} has {len(rows)} of {self._count} frames")
            return np.asarray(rows[: self._count])
