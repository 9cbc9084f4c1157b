"""Files: structures in, results out. Results know nothing of files; files know results.

``read`` chooses by the name of the file (the table ``FORMATS``), and hands everything it does not
know to ASE. ``write`` stores a result as H5MD, and ``read`` takes such a file as the next input;
``load`` gives back all that is in it. Reading extended XYZ loads neither h5py nor ASE.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from simsens.io import ase_bridge, extxyz
from simsens.io.ase_bridge import from_ase, to_ase
from simsens.io.errors import OutputExists, UnknownFormat, UnreadableFile, UnwritableFile
from simsens.io.stored import Stored
from simsens.particles.structure import Structure

if TYPE_CHECKING:
    from simsens.response.equilibrium import Equilibrium
    from simsens.response.sensitivity import Sensitivity

__all__ = [
    "FORMATS",
    "RESULTS",
    "OutputExists",
    "Stored",
    "UnknownFormat",
    "UnreadableFile",
    "UnwritableFile",
    "from_ase",
    "load",
    "read",
    "to_ase",
    "write",
]

RESULTS = (".h5md", ".h5")  # what a result file may be called


def _read_result(path: str | os.PathLike[str], index: int, dimension: int | None) -> Structure:
    from simsens.io import h5md_read

    return h5md_read.read_structure(path, index, dimension)


#: How a file is read, by the end of its name; everything else goes to ASE.
FORMATS: dict[str, Callable[[str | os.PathLike[str], int, int | None], Structure]] = {
    ".xyz": extxyz.read_structure,
    ".extxyz": extxyz.read_structure,
    ".h5md": _read_result,
    ".h5": _read_result,
    ".data": ase_bridge.read_lammps,
    ".lmp": ase_bridge.read_lammps,
}


def read(path: str | os.PathLike[str], index: int = -1, dimension: int | None = None) -> Structure:
    r"""Read a structure from a file, by the end of its name.

    Args:
        path: extended XYZ, a result of ``write``, LAMMPS data (also a name that begins with
            ``lammps``), or whatever ASE reads: CIF, POSCAR, PDB, ...
        index: which frame, counted from zero, or from the end when negative.
        dimension: 2 or 3; what the file says by default.

    Raises:
        UnreadableFile: the file is missing, malformed, or holds no structure.
        UnknownFormat: neither simsens nor ASE knows this kind of file.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "pair.extxyz"
        >>> _ = path.write_text("2\nLattice='4 0 0 0 4 0 0 0 4'\nA 0 0 0\nB 1.1 0 0\n")
        >>> read(path).names()
        ['A', 'B']
    """
    if dimension not in (None, 2, 3):
        raise ValueError(f"the dimension must be 2 or 3; got {dimension!r}")
    place = Path(path)
    reader = FORMATS.get(place.suffix.lower(), ase_bridge.read_any)
    if place.suffix.lower() not in FORMATS and place.name.lower().startswith("lammps"):
        reader = ase_bridge.read_lammps
    return reader(path, index, dimension)


def write(
    path: str | os.PathLike[str],
    equilibrium: Equilibrium,
    sensitivity: Sensitivity | None = None,
    *,
    units: str = "reduced",
    overwrite: bool = False,
    provenance: Mapping[str, Any] | None = None,
) -> None:
    """Write a result as H5MD with the group ``/simsens``; whole or not at all.

    Args:
        path: the output, ``.h5md`` or ``.h5``.
        equilibrium: the minimum and how it was reached.
        sensitivity: its derivatives, where they were computed.
        units: ``"reduced"``, or ``"metal"`` for angstrom, electronvolt, picosecond.
        overwrite: whether a file of this name may be replaced.
        provenance: how the result came about; texts and numbers by name.

    Raises:
        UnknownFormat: another end of the name.
        OutputExists: the file is there and ``overwrite`` is false.
        UnwritableFile: no such folder, no permission, no space left.
        ValueError: unknown units, or a result whose arrays do not fit each other.
    """
    if Path(path).suffix.lower() not in RESULTS:
        raise UnknownFormat(f"{path}: results are written as {' or '.join(RESULTS)}")
    from simsens.io import h5md

    h5md.write_result(
        path, equilibrium, sensitivity, units=units, overwrite=overwrite, provenance=provenance
    )


def load(path: str | os.PathLike[str]) -> Stored:
    """Read back all that ``write`` stored.

    Raises:
        UnknownFormat: another end of the name than that of a result.
        UnreadableFile: the file is missing, damaged, or not written by simsens.
    """
    if Path(path).suffix.lower() not in RESULTS:
        raise UnknownFormat(f"{path}: results end in {' or '.join(RESULTS)}")
    from simsens.io import h5md_read

    return h5md_read.load_result(path)
