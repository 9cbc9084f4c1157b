"""Files: structures in, results out. Results know nothing of files; files know results.

``read`` chooses by the name of the file (the table ``FORMATS``), and hands everything it does not
know to ASE. ``write`` stores a result as H5MD, and ``read`` takes such a file as the next input;
``load`` gives back all that is in it, ``open`` what is asked for. ``record`` writes while the
relaxation runs, ``resume`` goes on. What needs h5py is loaded when it is first used (PEP 562), so
that reading extended XYZ loads neither h5py nor ASE.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from simsens.io import ase_bridge, extxyz
from simsens.io.ase_bridge import from_ase, to_ase
from simsens.io.errors import (
    AnotherSystem,
    MissingPackage,
    OutputExists,
    UnknownFormat,
    UnreadableFile,
    UnwritableFile,
)
from simsens.io.result_name import RESULTS
from simsens.io.stored import Stored
from simsens.particles.structure import Structure

if TYPE_CHECKING:
    from simsens.io.h5md import write
    from simsens.io.h5md_read import load
    from simsens.io.result_file import ResultFile as open
    from simsens.io.runs import record, resume

__all__ = [
    "FORMATS",
    "RESULTS",
    "AnotherSystem",
    "MissingPackage",
    "OutputExists",
    "Stored",
    "UnknownFormat",
    "UnreadableFile",
    "UnwritableFile",
    "from_ase",
    "load",
    "open",
    "read",
    "record",
    "resume",
    "to_ase",
    "write",
]

_HOME = {
    "write": ("h5md", "write"),
    "load": ("h5md_read", "load"),
    "open": ("result_file", "ResultFile"),
    "record": ("runs", "record"),
    "resume": ("runs", "resume"),
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"simsens.io has no {name!r}")
    module, there = _HOME[name]
    return getattr(importlib.import_module(f"simsens.io.{module}"), there)


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
