"""The trajectory of a result: the part of H5MD 1.1 that MDAnalysis, znh5md (ASE) and pyh5md read.

* one particle group, ``trajectory``;
* always three components; two dimensions lie in the plane z = 0;
* ``box/edges`` always as a time-dependent 3x3 element, its edge vectors as rows, zero in free
  space; every element's ``step`` and ``time`` are hard links to those of ``position``;
* ``unit`` attributes only where the units are physical: a reader refuses ``sigma``.

A frame is cut into chunks of some thousand numbers, and a chunk holds one frame. So a chunk is
written once, a frame is read without the others, and the history of a particle without most of the
particles.

Reference: de Buyl, Colberg, Höfling, Comput. Phys. Commun. 185, 1546 (2014);
https://nongnu.org/h5md/h5md.html
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import h5py
import numpy as np

from simsens.io import elements, filters, planar
from simsens.io.chunks import fill
from simsens.particles.structure import Structure

TEXT = h5py.string_dtype()
PARTICLES = 1024  # of a chunk
ROWS = 256  # of a chunk of what is a number a frame
PARTICLE_GROUP, OBSERVABLES = "particles/trajectory", "observables/trajectory"
STEP, TIME, POSITION = (f"{PARTICLE_GROUP}/position/{name}" for name in ("step", "time", "value"))
EDGES, SPECIES = f"{PARTICLE_GROUP}/box/edges/value", f"{PARTICLE_GROUP}/species/value"
ENERGY, MAX_FORCE = f"{OBSERVABLES}/potential_energy/value", f"{OBSERVABLES}/max_force/value"
GROWING = (STEP, TIME, POSITION, EDGES, SPECIES, ENERGY, MAX_FORCE)


@dataclass(frozen=True)
class Frames:
    """Frames of a trajectory, the first axis of all.

    Attributes:
        step: ``[frame]`` of the optimiser.
        position: of each frame, ``[particle, dimension]``, not wrapped into the box.
        energy: ``[frame]`` potential energy, of all particles.
        max_force: ``[frame]`` the largest force on a free particle.
        box: of each frame, its edge vectors as rows, or ``None`` for those of the structure.
    """

    step: np.ndarray
    position: Sequence[Any]
    energy: np.ndarray
    max_force: np.ndarray
    box: Sequence[Any]


def create(
    file: h5py.File,
    structure: Structure,
    unit: Mapping[str, str],
    compression: str = "gzip",
    precision: Any = np.float64,
) -> None:
    """Make the groups of a trajectory without frames.

    Args:
        file: open for writing.
        structure: particles, box and boundary.
        unit: the words of ``UNITS``; empty where units are reduced.
        compression: a word of ``COMPRESSIONS``.
        precision: of the positions; all else is float64.
    """
    packed, number = filters.options(compression), structure.number
    chunk = (1, min(max(number, 1), PARTICLES), 3)
    group = file.create_group(PARTICLE_GROUP)
    position = group.create_group("position")
    _growing(position, "step", (), "i8")
    # A relaxation has no time: the count of its steps stands for it.
    _set_unit(_growing(position, "time", (), "f8"), unit.get("time"))
    values = _growing(position, "value", (number, 3), precision, chunk, packed)
    _set_unit(values, unit.get("length"))

    box = group.create_group("box")
    box.attrs.create("dimension", 3, dtype="i4")
    boundary = planar.lift_boundary(tuple(structure.boundary))
    words = ["periodic" if periodic else "none" for periodic in boundary]
    box.attrs.create("boundary", words, dtype=TEXT)
    edges = _element(box, "edges", position, (3, 3), "f8", (64, 3, 3))
    _set_unit(edges, unit.get("length"))

    # The smallest kind of number that holds them: they are repeated in every frame.
    kind = np.min_scalar_type(-max(elements.numbers(structure.species_names), default=1) - 1)
    _element(group, "species", position, (number,), kind, (1, max(number, 1)), packed)

    measured = file.create_group(OBSERVABLES)
    energy = _element(measured, "potential_energy", position, (), "f8")
    _set_unit(energy, unit.get("energy"))
    _set_unit(_element(measured, "max_force", position, (), "f8"), unit.get("force"))


def append(file: h5py.File, structure: Structure, frames: Frames) -> None:
    """Write frames behind those there are."""
    if not len(frames.step):
        return
    growing = {name: file[name] for name in GROWING}
    position, species = growing[POSITION], growing[SPECIES]
    first = min(len(dataset) for dataset in growing.values())
    last = first + len(frames.step)
    for dataset in growing.values():
        dataset.resize(last, axis=0)
    growing[STEP][first:last] = growing[TIME][first:last] = frames.step
    growing[EDGES][first:last] = [_edges(structure, box) for box in frames.box]
    growing[ENERGY][first:last], growing[MAX_FORCE][first:last] = frames.energy, frames.max_force
    number = np.array(elements.numbers(structure.species_names))[np.asarray(structure.species)]
    fill(species, range(first, last), number.astype(species.dtype))
    lifted = np.zeros((structure.number, 3), position.dtype)
    for row, values in enumerate(frames.position, first):
        lifted[:, : structure.dimension] = values
        fill(position, [row], lifted)


def count(file: h5py.File) -> int:
    """How many frames there are, committed or not."""
    return min(len(file[name]) for name in GROWING)


def truncate(file: h5py.File, frames: int) -> None:
    """Forget the frames behind the first so many."""
    for name in GROWING:
        file[name].resize(frames, axis=0)


def _edges(structure: Structure, box: Any) -> np.ndarray:
    """Edge vectors as rows; zero where nothing is periodic, or readers would see a crystal."""
    if structure.box is None or not any(structure.boundary):
        return np.zeros((3, 3))
    return planar.lift_box(np.asarray(structure.box if box is None else box, float))


def _growing(
    group: h5py.Group,
    name: str,
    shape: tuple[int, ...],
    dtype: Any,
    chunks: tuple[int, ...] = (ROWS,),
    packed: Mapping[str, Any] | None = None,
) -> h5py.Dataset:
    packing = packed or filters.options("none")
    return group.create_dataset(
        name, (0, *shape), dtype, maxshape=(None, *shape), chunks=chunks, **packing
    )


def _element(
    parent: h5py.Group, name: str, clock: h5py.Group, shape: tuple[int, ...], dtype: Any,
    chunks: tuple[int, ...] = (ROWS,), packed: Mapping[str, Any] | None = None,
) -> h5py.Dataset:  # fmt: skip
    """A time-dependent element at the cadence of ``clock``."""
    group = parent.create_group(name)
    # The second name of an object is a hard link, as H5MD asks.
    group["step"], group["time"] = clock["step"], clock["time"]
    return _growing(group, "value", shape, dtype, chunks, packed)


def _set_unit(dataset: h5py.Dataset, unit: str | None) -> None:
    if unit is not None:
        dataset.attrs["unit"] = unit
