"""A result file, read back: the minimum as the next input, or everything that was stored.

Files of schema version 1 are read as well: what does not change stood in ``minimum`` there, and the
start in the first frame of the trajectory alone.
"""

from __future__ import annotations

import os
from typing import Any

import h5py
import numpy as np

from simsens.implicit.certificate import Certificate
from simsens.io import (
    digest,
    guarded,
    potential_group,
    record_group,
    result_name,
    schema,
    simsens_group,
)
from simsens.io.opened import opened
from simsens.io.stored import Stored
from simsens.io.trajectory import Trajectory
from simsens.particles.structure import Structure, check

RUNNING = "the run has not ended"


def read_structure(
    path: str | os.PathLike[str], index: int = -1, dimension: int | None = None
) -> Structure:
    """Read the minimum (``index=-1``, the last frame) or another frame (``index=0``, the start).

    Raises:
        UnreadableFile: no such file, not written by simsens, or damaged.
    """
    with opened(path) as root:
        structure, _ = rest(root)
        if dimension not in (None, structure.dimension):
            raise guarded.Refused(
                f"the structure has {structure.dimension} dimensions; {dimension} were asked for"
            )
        trajectory = Trajectory(root.file, structure)
        frames = len(trajectory)
        if not -frames <= index < frames and (frames or index != -1):
            raise guarded.Refused(f"has no frame {index}; it holds {frames}")
        if not frames or index % frames == frames - 1:
            return structure
        frame = structure.with_position(trajectory[index].astype(structure.position.dtype))
        check(frame)
        return frame


def load(path: str | os.PathLike[str]) -> Stored:
    """Read back all that ``write`` stored.

    Raises:
        UnknownFormat: another end of the name than that of a result.
        UnreadableFile: the file is missing, damaged, or not written by simsens.
    """
    result_name.check(path)
    with opened(path) as root:
        return stored(root)


def stored(root: h5py.Group) -> Stored:
    """Read all that the group ``/simsens`` of an open file holds.

    Raises:
        Refused: damaged.
    """
    if guarded.attribute(root, "schema_version") == schema.VERSION:
        schema.check(root.file)
    structure, start = rest(root)
    stored = Stored(
        structure=structure,
        start=start,
        **_minimum(root, structure),
        history=_history(root),
        theta=dict(zip(*theta(root))),
        potential=potential(root),
        **_derivatives(root, structure),
        **_further(root),
        provenance=guarded.attributes(guarded.group(root, "provenance")),
        units=str(guarded.attribute(root, "units")),
        status=str(guarded.attribute(root, "status")),
    )
    if guarded.attribute(root, "schema_version") > 1:
        digest.check(root)
    return stored


def potential(root: h5py.Group) -> Any:
    """The law, or ``None`` where it was an energy of one's own.

    Raises:
        Refused: damaged.
    """
    if not guarded.has(root, "potential"):
        return None
    return potential_group.read(guarded.group(root, "potential"))


def rest(root: h5py.Group) -> tuple[Structure, np.ndarray]:
    """The minimum, or of a run that has not ended the last frame, and the start.

    Raises:
        Refused: damaged.
    """
    first = guarded.attribute(root, "schema_version") == 1
    group = guarded.group(root, "minimum" if first else "structure")
    dimension = guarded.attribute(root, "spatial_dimension")
    if dimension not in (2, 3):
        raise guarded.Refused(f"spatial_dimension must be 2 or 3; found {dimension!r}")
    name = "position" if first else "start"
    position = guarded.numbers(group, name, (None, dimension))
    shape = (len(position),)
    names = guarded.texts(group, "species_names", (None,))
    box = fixed = None
    if guarded.has(group, "box"):
        box = guarded.numbers(group, "box", (dimension, dimension))
    if guarded.has(group, "fixed"):
        fixed = guarded.numbers(group, "fixed", shape, "u").astype(bool)
    structure = Structure(
        position,
        species=guarded.numbers(group, "species", shape, "i"),
        box=box,
        boundary=tuple(word == "periodic" for word in guarded.attribute(group, "boundary")),
        fixed=fixed,
        species_names=names,
    )
    check(structure)
    if guarded.has(root, "minimum") and not first:
        last = guarded.numbers(root, "minimum/position", position.shape)
    else:
        trajectory = Trajectory(root.file, structure)
        if first:
            if not len(trajectory):
                raise guarded.Refused("the trajectory has no frame")
            return structure, trajectory[0]
        last = trajectory[-1].astype(position.dtype) if len(trajectory) else position
    found = structure.with_position(last)
    check(found)
    digest.check(root, "structure", "minimum")
    return found, position


def theta(root: h5py.Group) -> tuple[tuple[str, ...], list[float]]:
    """The names of the parameters, and their values.

    Raises:
        Refused: damaged.
    """
    names = guarded.texts(root, "theta/name", (None,))
    return names, guarded.numbers(root, "theta/value", (len(names),)).tolist()


def _minimum(root: h5py.Group, structure: Structure) -> dict[str, Any]:
    """What is known of the minimum; of a run that has not ended, of its last frame."""
    if not guarded.has(root, "minimum"):
        trajectory = Trajectory(root.file, structure)
        some = len(trajectory) > 0
        return {
            "energy": float(trajectory.energy[-1]) if some else np.nan,
            "max_force": float(trajectory.max_force[-1]) if some else np.nan,
            "iterations": int(trajectory.step[-1]) if some else 0,
            "converged": False, "criterion": RUNNING, "fmax": np.nan, "optimizer": "",
        }  # fmt: skip
    found = guarded.attributes(guarded.group(root, "minimum"))
    return {
        "energy": float(found["energy"]),
        "max_force": float(found["max_force"]),
        "iterations": int(found["step"]),
        "converged": bool(found["converged"]),
        "criterion": str(found["criterion"]),
        "fmax": float(found["fmax"]),
        "optimizer": str(found["optimizer"]),
    }


def _history(root: h5py.Group) -> np.ndarray:
    columns = len(simsens_group.HISTORY_COLUMNS)
    if not guarded.has(root, "history"):
        return np.zeros((0, columns))
    return guarded.numbers(root, "history/relax", (None, columns))


def _derivatives(root: h5py.Group, structure: Structure) -> dict[str, Any]:
    if not guarded.has(root, "sensitivity"):
        return {
            "parameters": (),
            "values": np.zeros(0),
            "position_derivative": None,
            "observables": {},
            "rattlers": np.zeros(0, np.int64),
            "certificate": None,
        }
    group = guarded.group(root, "sensitivity")
    names = guarded.texts(group, "parameter", (None,))
    shape = (structure.number, structure.dimension, len(names))
    return {
        "parameters": names,
        "values": guarded.numbers(group, "parameter_value", (len(names),)),
        "position_derivative": guarded.numbers(group, "dR_dtheta", shape),
        "observables": {
            name: (
                float(guarded.numbers(group, f"observables/{name}/value", ())),
                guarded.numbers(group, f"observables/{name}/d{name}_dtheta", (len(names),)),
            )
            for name in guarded.group(group, "observables")
        },
        "rattlers": guarded.numbers(group, "rattlers", (None,), "i"),
        "certificate": record_group.read(guarded.group(root, "certificate"), Certificate),
    }


def _further(root: h5py.Group) -> dict[str, Any]:
    """Moduli and modes, where there are any; only then is loaded what computes them."""
    found: dict[str, Any] = {"moduli": None, "modes": None}
    if guarded.has(root, "moduli"):
        from simsens.response.elasticity import ElasticModuli

        within = {"certificate": Certificate}
        found["moduli"] = record_group.read(guarded.group(root, "moduli"), ElasticModuli, within)
    if guarded.has(root, "modes"):
        from simsens.response.modes import NormalModes

        found["modes"] = record_group.read(guarded.group(root, "modes"), NormalModes)
    return found
