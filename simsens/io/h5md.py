"""A result as one H5MD file: the trajectory that every reader understands, beside it ``/simsens``.

What stands in the file from the first moment is written by ``begin``, what the end adds by
``complete``; a run that takes time grows the file in between (``recording``).
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np

from simsens.io import (
    atomic,
    digest,
    filters,
    quiet_file,
    result_name,
    simsens_group,
    trajectory_group,
)
from simsens.io.trajectory_group import Frames
from simsens.io.units import UNITS, check_units
from simsens.particles import system as systems
from simsens.particles.structure import InvalidStructure, Structure, check
from simsens.version import __version__

Row = tuple[int, Any, float, float, Any]
"""A frame: step, position, energy, largest force, and its box where that is another."""

if TYPE_CHECKING:
    from simsens.particles.system import System
    from simsens.response.elasticity import ElasticModuli
    from simsens.response.equilibrium import Equilibrium
    from simsens.response.modes import NormalModes
    from simsens.response.sensitivity import Sensitivity


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
    result_name.check(path)
    check_units(units)
    filters.options(compression)
    simsens_group.check_result(equilibrium, sensitivity)
    check_finite(equilibrium)
    atomic.check_output(Path(path), overwrite)
    system = equilibrium.system
    with (
        atomic.replacing(path, overwrite) as temporary,
        quiet_file.writing(temporary) as file,
    ):
        begin(file, system, equilibrium.start, units, provenance or {}, compression)
        trajectory_group.append(file, system.structure, stacked(ends(equilibrium)))
        complete(file, equilibrium, sensitivity, moduli, modes)


def begin(
    file: h5py.File,
    system: System,
    start: Any,
    units: str,
    provenance: Mapping[str, Any],
    compression: str = "gzip",
    precision: Any = np.float64,
) -> None:
    """Write what is known before the first step, and a trajectory without frames."""
    _write_head(file, system.structure)
    trajectory_group.create(file, system.structure, UNITS[units], compression, precision)
    simsens_group.begin(file, system, start, units, provenance)
    _write_parameters(file, str(provenance.get("config", "")))


def complete(
    file: h5py.File,
    equilibrium: Equilibrium,
    sensitivity: Sensitivity | None = None,
    moduli: ElasticModuli | None = None,
    modes: NormalModes | None = None,
    status: str | None = None,
) -> None:
    """Write what was found, and that all frames are good."""
    simsens_group.finish(file, equilibrium, sensitivity, moduli, modes)
    root = file["simsens"]
    root.attrs["status"] = status or ("complete" if equilibrium.converged else "not converged")
    root.attrs["n_committed"] = trajectory_group.count(file)
    root.attrs[digest.NAME] = digest.digest(root)


def ends(equilibrium: Equilibrium, written: int = -1) -> list[Row]:
    """The start and the minimum, as far as they come after the step that was written last."""
    last = equilibrium.iterations
    energy, force = float(equilibrium.energy), float(equilibrium.max_force)
    rows = [(last, equilibrium.position, energy, force, None)]
    if written < 0 < last:
        rows.insert(0, (0, equilibrium.start, *_at_start(equilibrium), None))
    return [row for row in rows if row[0] > written]


def stacked(rows: list[Row]) -> Frames:
    """Frames of ``(step, position, energy, max_force, box)`` each."""
    step, position, energy, max_force, box = zip(*rows)
    return Frames(
        np.array(step, np.int64),
        position,
        np.array(energy, float),
        np.array(max_force, float),
        box,
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


def check_finite(equilibrium: Equilibrium) -> None:
    """Refuse positions that are not finite: readers take a NaN for a particle that is not there.

    Raises:
        InvalidStructure: naming the particle.
    """
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
