"""Files: structures in, results out. Results know nothing of files; files know results.

``read`` chooses by the name of the file (the table ``FORMATS``), and hands everything it does not
know to ASE. ``write`` stores a result as H5MD, and ``read`` takes such a file as the next input;
``load`` gives back all that is in it, ``open`` what is asked for. ``record`` writes while the
relaxation runs. Reading extended XYZ loads neither h5py nor ASE.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from simsens.io import ase_bridge, extxyz
from simsens.io.ase_bridge import from_ase, to_ase
from simsens.io.errors import (
    MissingPackage,
    OutputExists,
    UnknownFormat,
    UnreadableFile,
    UnwritableFile,
)
from simsens.io.stored import Stored
from simsens.particles.structure import Structure

if TYPE_CHECKING:
    from simsens.io.recording import Recording
    from simsens.io.result_file import ResultFile
    from simsens.particles.system import System
    from simsens.response.elasticity import ElasticModuli
    from simsens.response.equilibrium import Equilibrium
    from simsens.response.modes import NormalModes
    from simsens.response.sensitivity import Sensitivity

__all__ = [
    "FORMATS",
    "RESULTS",
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
    moduli: ElasticModuli | None = None,
    modes: NormalModes | None = None,
    units: str = "reduced",
    overwrite: bool = False,
    provenance: Mapping[str, Any] | None = None,
    compression: str = "gzip",
) -> None:
    """Write a result as H5MD with the group ``/simsens``; whole or not at all.

    Args:
        path: the output, ``.h5md`` or ``.h5``.
        equilibrium: the minimum and how it was reached.
        sensitivity: its derivatives, where they were computed.
        moduli: its elastic moduli, where they were.
        modes: its normal modes, where they were.
        units: ``"reduced"``, or ``"metal"`` for angstrom, electronvolt, picosecond.
        overwrite: whether a file of this name may be replaced.
        provenance: how the result came about; texts and numbers by name.
        compression: of large arrays, ``"gzip"``, ``"none"``, ``"lzf"`` or ``"blosc2"``.

    Raises:
        UnknownFormat: another end of the name, or an unknown compression.
        OutputExists: the file is there and ``overwrite`` is false.
        UnwritableFile: no such folder, no permission, no space left.
        ValueError: unknown units, or a result whose arrays do not fit each other.
    """
    _check_name(path)
    from simsens.io import h5md

    h5md.write_result(
        path, equilibrium, sensitivity, moduli=moduli, modes=modes, units=units,
        overwrite=overwrite, provenance=provenance, compression=compression,
    )  # fmt: skip


def record(
    path: str | os.PathLike[str],
    system: System,
    *,
    every: int = 0,
    units: str = "reduced",
    overwrite: bool = False,
    provenance: Mapping[str, Any] | None = None,
    compression: str = "gzip",
    precision: str = "float64",
) -> Recording:
    """Begin the file of a relaxation: frames as it runs, the result when it has ended.

    The run is written to ``NAME.partial.h5md`` by a thread of its own; ``finish`` gives it its
    name. A run that was killed leaves that file with all that was committed, see ``resume``.

    Args:
        path: the output, ``.h5md`` or ``.h5``.
        system: what will be relaxed.
        every: steps from one frame to the next; 0 keeps the start and the end only.
        units: as of ``write``.
        overwrite: whether a file of this name, or what a killed run has left, may be replaced.
        provenance: as of ``write``.
        compression: as of ``write``.
        precision: of the positions in the trajectory, ``"float64"`` or ``"float32"``; the
            minimum and its derivatives are never rounded.

    Raises:
        UnknownFormat: another end of the name, an unknown compression or precision.
        OutputExists: the file is there, or a run that did not end.
        UnwritableFile: no such folder, no permission, no space left; another process writes it.

    Example:
        >>> import tempfile
        >>> from simsens.particles.packing import packing
        >>> from simsens.response.relaxation import relax
        >>> path, system = Path(tempfile.mkdtemp()) / "run.h5md", packing(number=16)
        >>> with record(path, system, every=10) as recording:
        ...     recording.finish(relax(system, fmax=1e-3, record=recording))
        >>> with open(path) as result:
        ...     result.trajectory.step[:3].tolist()
        [0, 10, 20]
    """
    _check_name(path)
    from simsens.io import recording

    return recording.begin(
        path, system, every=every, units=units, overwrite=overwrite, provenance=provenance,
        compression=compression, precision=precision,
    )  # fmt: skip


def resume(path: str | os.PathLike[str], system: System, *, every: int = 0) -> Recording | None:
    """Go on with the file of a run that did not end; ``None`` where there is none.

    Hand its ``state`` to ``relax(system, record=recording, resume=recording.state)``; the result is
    that of a run that never stopped. The system must be the one that was relaxed.

    Raises:
        UnknownFormat: another end of the name.
        UnreadableFile: what is there is no result.
        UnwritableFile: another process is writing it.
    """
    _check_name(path)
    from simsens.io import recording

    return recording.resume(path, system.structure, every)


def open(path: str | os.PathLike[str]) -> ResultFile:
    """Open a result to read of it what is asked for; use it in a ``with``.

    Raises:
        UnknownFormat: another end of the name than that of a result.
        UnreadableFile: the file is missing, damaged, or not written by simsens.
    """
    _check_name(path)
    from simsens.io.result_file import ResultFile

    return ResultFile(path)


def load(path: str | os.PathLike[str]) -> Stored:
    """Read back all that ``write`` stored.

    Raises:
        UnknownFormat: another end of the name than that of a result.
        UnreadableFile: the file is missing, damaged, or not written by simsens.
    """
    _check_name(path)
    from simsens.io import h5md_read

    return h5md_read.load_result(path)


def _check_name(path: str | os.PathLike[str]) -> None:
    if Path(path).suffix.lower() not in RESULTS:
        raise UnknownFormat(f"{path}: the name of a result ends in {' or '.join(RESULTS)}")
