"""A result for other programs: OVITO and ASE, ParaView, spreadsheets, NumPy.

Every format is a file, a function and a line in ``EXPORTS``. What is written is whole or not at
all, and every number is written such that it is read back exactly.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from simsens.io import atomic, csv_table, npz, vtp, xyz_export
from simsens.io.errors import UnknownFormat
from simsens.io.export_choices import CannotExport, Choices
from simsens.io.result_file import ResultFile
from simsens.io.stored import Stored

__all__ = ["EXPORTS", "CannotExport", "Choices", "export"]

Writer = Callable[[Stored, ResultFile, Path, Choices], None]

#: How a result is exported, by the end of the name.
EXPORTS: dict[str, Writer] = {
    ".extxyz": xyz_export.write,
    ".xyz": xyz_export.write,
    ".vtp": vtp.write,
    ".csv": csv_table.write,
    ".npz": npz.write,
}


def export(
    result: ResultFile, path: str | os.PathLike[str], choices: Choices | None = None
) -> Stored:
    """Write a result for another program, in the format that goes with the name.

    Args:
        result: an open one.
        path: the output; its name ends in one of ``EXPORTS``.
        choices: what is written of it, the minimum by default.

    Returns:
        What the result holds, with its verdict: not every format has a place for that.

    Raises:
        UnknownFormat: another end of the name.
        OutputExists: the file is there and may not be replaced.
        CannotExport: what was chosen does not go with the format, or is not in the result.
        UnknownParameter: listing those there are derivatives by.
        UnreadableFile: the result is damaged.
        UnwritableFile: no such folder, no permission, no space left.

    Example:
        >>> import tempfile
        >>> from simsens import io
        >>> from simsens.particles.packing import packing
        >>> from simsens.response.relaxation import relax
        >>> folder = Path(tempfile.mkdtemp())
        >>> io.write(folder / "packing.h5md", relax(packing(number=8), fmax=1e-4))
        >>> with io.open(folder / "packing.h5md") as result:
        ...     _ = export(result, folder / "packing.csv")
        >>> (folder / "packing.csv").read_text().splitlines()[0]
        'species,x,y'
    """
    chosen, place = choices or Choices(), Path(path)
    write = EXPORTS.get(place.suffix.lower())
    if write is None:
        known = ", ".join(EXPORTS)
        raise UnknownFormat(f"{place}: the name of an export ends in one of {known}")
    atomic.check_output(place, chosen.overwrite)
    stored = result.load()
    write(stored, result, place, chosen)
    return stored
