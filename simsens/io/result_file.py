"""A result file that stays open, so that a long trajectory need not be read whole."""

from __future__ import annotations

import os
from functools import cached_property
from typing import Any

from simsens.io import about, guarded, h5md_read, opened, result_name
from simsens.io.stored import Stored
from simsens.io.trajectory import Trajectory
from simsens.particles.structure import Structure


class ResultFile:
    """An open result; what is not asked for is not read. Close it, or use it in a ``with``.

    Attributes:
        path: of the file.
        status: ``"complete"``, ``"not converged"``, ``"interrupted"`` or ``"running"``.
        units: ``"reduced"`` or ``"metal"``.

    Raises:
        UnknownFormat: another end of the name than that of a result.
        UnreadableFile: no such file, not written by simsens, or damaged.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        result_name.check(path)
        self.path = path
        with opened.told(path):
            self._file = opened.begin(path)
            try:
                self._root = guarded.group(self._file, "simsens")
                self.status = str(guarded.attribute(self._root, "status"))
                self.units = str(guarded.attribute(self._root, "units"))
            except BaseException:
                self._file.close()
                raise

    @cached_property
    def structure(self) -> Structure:
        """The minimum; of a run that has not ended, its last frame."""
        with opened.told(self.path):
            return h5md_read.rest(self._root)[0]

    @cached_property
    def potential(self) -> Any:
        """The law; ``None`` where it was an energy of one's own, of which a file holds a name."""
        with opened.told(self.path):
            return h5md_read.potential(self._root)

    @cached_property
    def trajectory(self) -> Trajectory:
        """The frames."""
        structure = self.structure
        with opened.told(self.path):
            return Trajectory(self._file, structure)

    def about(self) -> dict[str, Any]:
        """The file in brief: numbers, words, and lists and tables of them."""
        with opened.told(self.path):
            return about.facts(self._root)

    def tree(self) -> list[str]:
        """Every name in the file, a line each."""
        with opened.told(self.path):
            return list(about.tree(self._file))

    def load(self) -> Stored:
        """Everything but the frames in between."""
        with opened.told(self.path):
            return h5md_read.stored(self._root)

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()

    def __enter__(self) -> ResultFile:
        return self

    def __exit__(self, *unused: object) -> None:
        self.close()
