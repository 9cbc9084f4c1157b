"""A result as H5MD: the trajectory that every reader understands, and beside it ``/simsens``.

The layout is the part of H5MD 1.1 that MDAnalysis, znh5md (ASE) and pyh5md all read:

* one particle group, ``trajectory``, with two frames: the start and the minimum;
* always three components; two dimensions lie in the plane z = 0;
* ``box/edges`` always as a time-dependent 3x3 element, its edge vectors as rows, zero in free
  space; every element's ``step`` and ``time`` are hard links to those of ``position``;
* ``unit`` attributes only where the units are physical: a reader refuses ``sigma``.

Reference: de Buyl, Colberg, Höfling, Comput. Phys. Commun. 185, 1546 (2014);
https://nongnu.org/h5md/h5md.html
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np

from simsens.io import atomic, elements, planar, simsens_group
from simsens.io.units import UNITS, check_units
from simsens.particles import system as systems
from simsens.particles.structure import InvalidStructure, Structure, check
from simsens.version import __version__

if TYPE_CHECKING:
    from simsens.response.equilibrium import Equilibrium
    from simsens.response.sensitivity import Sensitivity

TEXT = h5py.string_dtype()


@dataclass(frozen=True)
class Frames:
    """The frames of the trajectory: ``step``, ``position``, ``energy``, ``max_force``."""

    step: np.ndarray
    position: np.ndarray
    energy: np.ndarray
    max_force: np.ndarray


def write_result(
    path: str | os.PathLike[str],
    equilibrium: Equilibrium,
    sensitivity: Sensitivity | None = None,
    *,
    units: str = "reduced",
    overwrite: bool = False,
    provenance: Mapping[str, Any] | None = None,
) -> None:
    """Write an equilibrium, and its derivatives where there are any; whole or not at all.

    Args:
        path: the output.
        equilibrium: the minimum and how it was reached.
        sensitivity: its derivatives.
        units: a name of the table ``UNITS``.
        overwrite: whether a file of this name may be replaced.
        provenance: how the result came about; texts and numbers by name.

    Raises:
        OutputExists: the file is there and ``overwrite`` is false.
        UnwritableFile: no such folder, no permission, no space left.
        ValueError: unknown units, or a result whose arrays do not fit each other.
    """
    check_units(units)
    simsens_group.check_result(equilibrium, sensitivity)
    _check_finite(equilibrium)
    atomic.check_output(Path(path), overwrite)
    image = _image(equilibrium, sensitivity, units, provenance or {})
    with atomic.replacing(path, overwrite) as temporary:
        temporary.write_bytes(image)


def _image(
    equilibrium: Equilibrium,
    sensitivity: Sensitivity | None,
    units: str,
    provenance: Mapping[str, Any],
) -> bytes:
    """The bytes of the file.

    HDF5 works in memory and the system writes: where the disk is full, HDF5 cannot close its file,
    and the process crashes with one of the next.
    """
    structure, frames = equilibrium.system.structure, list_frames(equilibrium)
    # v110 keeps files readable by HDF5 1.10.
    options = {"driver": "core", "backing_store": False, "block_size": 2**20}
    with h5py.File("result", "w", libver=("earliest", "v110"), **options) as file:
        _write_head(file, structure)
        _write_trajectory(file, structure, frames, UNITS[units])
        simsens_group.write_group(file, equilibrium, sensitivity, units, provenance)
        file["simsens"].attrs["n_committed"] = len(frames.step)
        _write_parameters(file, str(provenance.get("config", "")))
        file.flush()
        return file.id.get_file_image()


def list_frames(equilibrium: Equilibrium) -> Frames:
    """The start and the minimum; the minimum alone where no step was taken."""
    last = np.asarray(equilibrium.position, float)
    end = (equilibrium.iterations, last, equilibrium.energy, equilibrium.max_force)
    rows = [end]
    if equilibrium.iterations > 0:
        rows.insert(0, (0, np.asarray(equilibrium.start, float), *_at_start(equilibrium)))
    step, position, energy, max_force = zip(*rows)
    return Frames(
        np.array(step, np.int64), np.array(position), np.array(energy), np.array(max_force)
    )


def _at_start(equilibrium: Equilibrium) -> tuple[float, float]:
    """Energy and largest force of the start: as reported, or computed."""
    history = np.asarray(equilibrium.history, float)
    if len(history) and history[0, 0] == 0 and np.isfinite(history[0]).all():
        return float(history[0, 1]), float(history[0, 2])
    start = equilibrium.system.with_position(np.asarray(equilibrium.start))
    force = np.array(systems.force(start), float)
    if start.structure.fixed is not None:
        force[np.asarray(start.structure.fixed)] = 0.0
    return float(systems.energy(start)), float(np.linalg.norm(force, axis=1).max())


def _check_finite(equilibrium: Equilibrium) -> None:
    """Readers take a NaN row for a particle that is not there: none may be written."""
    structure = equilibrium.system.structure
    for name, position in (("start", equilibrium.start), ("minimum", structure.position)):
        try:
            check(structure.with_position(np.asarray(position, float)))
        except InvalidStructure as error:
            raise InvalidStructure(f"the {name} cannot be stored: {error}") from None


def _write_head(file: h5py.File, structure: Structure) -> None:
    head = file.create_group("h5md")
    head.attrs.create("version", (1, 1), dtype="i4")
    head.create_group("author").attrs["name"] = "N/A"
    creator = head.create_group("creator")
    creator.attrs["name"], creator.attrs["version"] = "simsens", __version__
    module = head.create_group("modules/simsens")
    module.attrs.create("version", (1, 0), dtype="i4")
    module.attrs.create("spatial_dimension", structure.dimension, dtype="i4")


def _write_parameters(file: h5py.File, config: str) -> None:
    """H5MD's own place for parameters: what ``/simsens`` holds, as text for a person."""
    theta = file["simsens/theta"]
    lines = zip(theta["name"].asstr()[()], theta["value"][()])
    content = {"theta": "".join(f"{name} = {float(v)!r}\n" for name, v in lines), "config": config}
    group = file.create_group("parameters/simsens")
    for name, text in content.items():
        if text:
            group.create_dataset(name, data=text, dtype=h5py.string_dtype())


def _write_trajectory(
    file: h5py.File, structure: Structure, frames: Frames, unit: Mapping[str, str]
) -> None:
    group = file.create_group("particles/trajectory")
    position = group.create_group("position")
    position.create_dataset("step", data=frames.step, dtype="i8")
    # A relaxation has no time: the count of its steps stands for it.
    time = position.create_dataset("time", data=frames.step, dtype="f8")
    _set_unit(time, unit.get("time"))
    values = planar.lift_position(frames.position)
    _set_unit(_compressed(position, "value", values), unit.get("length"))

    box = group.create_group("box")
    box.attrs.create("dimension", 3, dtype="i4")
    boundary = planar.lift_boundary(tuple(structure.boundary))
    words = ["periodic" if periodic else "none" for periodic in boundary]
    box.attrs.create("boundary", words, dtype=TEXT)
    edges = np.broadcast_to(_edges(structure), (len(frames.step), 3, 3))
    _set_unit(_element(box, "edges", edges, position), unit.get("length"))

    number = np.array(elements.numbers(structure.species_names), np.int32)
    species = number[np.asarray(structure.species)]
    repeated = np.broadcast_to(species, (len(frames.step), len(species)))
    _element(group, "species", repeated, position, compressed=True)

    measured = file.create_group("observables/trajectory")
    energy = _element(measured, "potential_energy", frames.energy, position)
    _set_unit(energy, unit.get("energy"))
    _set_unit(_element(measured, "max_force", frames.max_force, position), unit.get("force"))


def _edges(structure: Structure) -> np.ndarray:
    """Edge vectors as rows; zero where nothing is periodic, or readers would see a crystal."""
    if structure.box is None or not any(structure.boundary):
        return np.zeros((3, 3))
    return planar.lift_box(np.asarray(structure.box, float))


def _element(
    parent: h5py.Group, name: str, values: np.ndarray, clock: h5py.Group, compressed: bool = False
) -> h5py.Dataset:
    """A time-dependent element at the cadence of ``clock``."""
    group = parent.create_group(name)
    # The second name of an object is a hard link, as H5MD asks.
    group["step"], group["time"] = clock["step"], clock["time"]
    if compressed:
        return _compressed(group, "value", values)
    return group.create_dataset("value", data=values, dtype=values.dtype)


def _compressed(group: h5py.Group, name: str, values: np.ndarray) -> h5py.Dataset:
    return group.create_dataset(
        name,
        data=values,
        dtype=values.dtype,
        chunks=(1, *values.shape[1:]),
        compression="gzip",
        compression_opts=4,
        shuffle=True,
    )


def _set_unit(dataset: h5py.Dataset, unit: str | None) -> None:
    if unit is not None:
        dataset.attrs["unit"] = unit
