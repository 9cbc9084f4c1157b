"""Structures from ASE and for ASE, and through ASE every format it reads: CIF, POSCAR, PDB, ...

Species are called by their chemical symbols. Names that are none (``A``, ``bead1``) travel in the
array ``simsens_species`` of the ``Atoms``, whose symbols are then ``X``. LAMMPS data files number
their types, and so do we: species ``"1"``, ``"2"``, ... as in ``pair_coeff``; a guess from masses
would make one element of all the particles of a reduced system.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from simsens.io import open_edges, planar
from simsens.io.elements import are_elements
from simsens.io.errors import UnknownFormat, UnreadableFile, one_line
from simsens.particles.structure import InvalidStructure, Structure, check

if TYPE_CHECKING:
    from ase import Atoms

NAMES = "simsens_species"  # the array of an Atoms for names that are no chemical symbols


def from_ase(atoms: Atoms, dimension: int | None = None) -> Structure:
    """The structure of an ``ase.Atoms``.

    Args:
        atoms: its constraints may be ``FixAtoms``: those particles are held in place.
        dimension: 2 takes the plane z = 0; what ``atoms.info["dimension"]`` says, or 3, by default.

    Raises:
        InvalidStructure: no volume, a particle outside the plane, another kind of constraint.

    Example:
        >>> from ase import Atoms
        >>> argon = from_ase(Atoms("Ar2", [[0, 0, 0], [0, 0, 3.8]], cell=[9, 9, 9], pbc=True))
        >>> argon.species_names, argon.boundary
        (('Ar',), (True, True, True))
    """
    boundary = tuple(bool(b) for b in atoms.pbc)
    box = open_edges.complete(np.array(atoms.cell), boundary)
    position, fixed = atoms.get_positions(), _fixed(atoms)
    if (dimension or atoms.info.get("dimension", 3)) == 2:
        position, boundary = planar.flatten_position(position), boundary[:2]
        box = None if box is None else planar.flatten_box(box)
    names = atoms.arrays.get(NAMES, atoms.get_chemical_symbols())
    structure = Structure(position, species=list(names), box=box, boundary=boundary, fixed=fixed)
    check(structure)
    return structure


def to_ase(structure: Structure) -> Atoms:
    """An ``ase.Atoms`` with the particles, the box and ``FixAtoms`` for those held in place.

    Args:
        structure: in two dimensions it lies in the plane z = 0, and ``info["dimension"]`` says so.

    Example:
        >>> atoms = to_ase(Structure([[0.0, 0.0], [1.1, 0.0]], species=["A", "B"], box=4.0))
        >>> from_ase(atoms).names()
        ['A', 'B']
    """
    from ase import Atoms
    from ase.constraints import FixAtoms

    names = structure.names()
    real = are_elements(structure.species_names)
    atoms = Atoms(
        names if real else ["X"] * len(names),
        positions=planar.lift_position(np.asarray(structure.position, float)),
        cell=None if structure.box is None else planar.lift_box(np.asarray(structure.box, float)),
        pbc=planar.lift_boundary(tuple(structure.boundary)),
    )
    if not real:
        atoms.set_array(NAMES, np.array(names))
    if structure.fixed is not None and np.any(structure.fixed):
        atoms.set_constraint(FixAtoms(mask=np.asarray(structure.fixed)))
    if structure.dimension == 2:
        atoms.info["dimension"] = 2
    return atoms


def read_any(
    path: str | os.PathLike[str], index: int = -1, dimension: int | None = None
) -> Structure:
    """Read a structure from any format that ASE knows by the name of the file.

    Raises:
        UnknownFormat: ASE knows no format that goes with the file.
        UnreadableFile: one line that names the file and what ASE says.
    """
    return _structure(path, _read(path, index), dimension)


def read_lammps(
    path: str | os.PathLike[str], index: int = -1, dimension: int | None = None
) -> Structure:
    """Read a LAMMPS data file of atom style ``atomic``; numbers are taken as they stand.

    Raises:
        UnreadableFile: another atom style, or no data file at all.
    """
    try:
        atoms = _read(path, index, format="lammps-data", atom_style="atomic", units="metal")
    except UnreadableFile as error:
        raise UnreadableFile(
            f"{error}; LAMMPS data must be of atom_style atomic (lines: id type x y z);"
            " other styles: write it again, or convert it to extended XYZ"
        ) from error
    atoms.set_array(NAMES, atoms.arrays["type"].astype(str))
    return _structure(path, atoms, dimension)


def _read(path: str | os.PathLike[str], index: int, **how: Any) -> Atoms:
    if not Path(path).is_file():
        raise UnreadableFile(f"{path}: there is no such file; check the path")
    import ase.io
    from ase.io.formats import UnknownFileTypeError

    try:
        atoms = ase.io.read(os.fspath(path), index=index, do_not_split_by_at_sign=True, **how)
    except UnknownFileTypeError as error:
        raise UnknownFormat(
            f"{path}: neither simsens nor ASE knows this kind of file; write it as extended XYZ"
            " (.extxyz)"
        ) from error
    # The readers of a hundred formats fail in a hundred ways; none of them may end in a traceback.
    except Exception as error:
        said = one_line(error)
        raise UnreadableFile(
            f"{path}: ASE cannot read it ({type(error).__name__}: {said})"
        ) from error
    if isinstance(atoms, list):
        raise UnreadableFile(f"{path} gives {len(atoms)} structures; ask for one of them")
    return atoms


def _structure(path: str | os.PathLike[str], atoms: Atoms, dimension: int | None) -> Structure:
    try:
        return from_ase(atoms, dimension)
    except InvalidStructure as error:
        raise UnreadableFile(f"{path}: {error}") from None


def _fixed(atoms: Atoms) -> np.ndarray | None:
    """The mask of the particles held in place; a constraint that is more subtle is refused."""
    from ase.constraints import FixAtoms

    mask = np.zeros(len(atoms), bool)
    for constraint in atoms.constraints:
        whole = np.all(getattr(constraint, "mask", True))
        if not isinstance(constraint, FixAtoms) and not (_components(constraint) and whole):
            raise InvalidStructure(
                f"the constraint {type(constraint).__name__} cannot be kept; only whole particles"
                " are held in place (FixAtoms); remove it, or replace it"
            )
        mask[constraint.get_indices()] = True
    return mask if mask.any() else None


def _components(constraint: Any) -> bool:
    """Whether the constraint holds components of particles: all three of them hold the particle."""
    from ase.constraints import FixCartesian, FixScaled

    return isinstance(constraint, (FixCartesian, FixScaled))
