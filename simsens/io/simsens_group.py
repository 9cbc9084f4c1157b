"""The group ``/simsens`` of a result: what H5MD has no place for, ignored by its readers.

From the beginning: ``structure`` (what does not move), ``theta`` and ``potential`` (the parameters
and the law they belong to), ``provenance``. At the end: ``minimum``, ``history``, and what was
computed of ``sensitivity`` (derivatives, with the dimension scales particle, axis, parameter),
``certificate`` (their evidence), ``moduli`` and ``modes``. See ``schema`` for every name.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np

from simsens.io import potential_group, record_group
from simsens.particles import parameters

if TYPE_CHECKING:
    from simsens.particles.structure import Structure
    from simsens.particles.system import System
    from simsens.response.elasticity import ElasticModuli
    from simsens.response.equilibrium import Equilibrium
    from simsens.response.modes import NormalModes
    from simsens.response.sensitivity import Sensitivity

SCHEMA_VERSION = 2
RESULTS = ("minimum", "history", "sensitivity", "certificate", "moduli", "modes")
TEXT = h5py.string_dtype()
HISTORY_COLUMNS = ("step", "energy", "max_force")
SOLVE_COLUMNS = ("iterations", "residual")


def check_result(equilibrium: Equilibrium, sensitivity: Sensitivity | None) -> None:
    """Refuse a result whose arrays do not fit each other, before a file is begun.

    Raises:
        ValueError: naming the array, the shape that is needed and the one found.
    """
    structure = equilibrium.system.structure
    needed: dict[str, tuple[Any, tuple[int, ...]]] = {}
    needed["start"] = (equilibrium.start, (structure.number, structure.dimension))
    if sensitivity is not None:
        count = len(sensitivity.parameters)
        needed["values"] = (sensitivity.values, (count,))
        needed["position derivative"] = (
            sensitivity.position,
            (structure.number, structure.dimension, count),
        )
        for name, (_, slope) in sensitivity.observables.items():
            needed[f"derivative of {name}"] = (slope, (count,))
            if not name or "/" in name or name == ".":
                raise ValueError(f"an observable cannot be called {name!r} in a file")
    for name, (values, shape) in needed.items():
        if np.shape(values) != shape:
            raise ValueError(f"the {name} must have the shape {shape}; found {np.shape(values)}")


def begin(
    file: h5py.File, system: System, start: Any, units: str, provenance: Mapping[str, Any]
) -> None:
    """Write what is known before the first step: structure, parameters, provenance.

    Raises:
        ValueError: a provenance value that is neither text nor number nor made of them.
    """
    structure = system.structure
    group = file.create_group("simsens")
    group.attrs["schema_version"] = SCHEMA_VERSION
    group.attrs["units"] = units
    group.attrs["coordinate_space"] = "cartesian"
    group.attrs["spatial_dimension"] = structure.dimension
    group.attrs["gauge"] = "zero mean displacement"
    group.attrs["status"] = "running"
    group.attrs["n_committed"] = 0
    _write_structure(group.create_group("structure"), structure, start)
    _write_theta(group.create_group("theta"), system)
    potential_group.write(group.create_group("potential"), system.potential)
    write_provenance(group.create_group("provenance"), provenance)


def finish(
    file: h5py.File,
    equilibrium: Equilibrium,
    sensitivity: Sensitivity | None = None,
    moduli: ElasticModuli | None = None,
    modes: NormalModes | None = None,
) -> None:
    """Write what was found."""
    group = file["simsens"]
    _write_minimum(group.create_group("minimum"), equilibrium)
    history = np.asarray(equilibrium.history, float).reshape(-1, len(HISTORY_COLUMNS))
    relax = group.create_dataset("history/relax", data=history, dtype="f8")
    relax.attrs.create("columns", HISTORY_COLUMNS, dtype=TEXT)
    if sensitivity is not None:
        trust = sensitivity.certificate
        residual = np.asarray(trust.linear_residual, float)
        solves = np.stack([np.full_like(residual, trust.iterations), residual], axis=1)
        solve = group.create_dataset("history/linear_solve", data=solves, dtype="f8")
        solve.attrs.create("columns", SOLVE_COLUMNS, dtype=TEXT)
        _write_sensitivity(group.create_group("sensitivity"), sensitivity)
        record_group.write(group.create_group("certificate"), sensitivity.certificate)
    if moduli is not None:
        record_group.write(group.create_group("moduli"), moduli)
    if modes is not None:
        record_group.write(group.create_group("modes"), modes)


def _write_structure(group: h5py.Group, structure: Structure, start: Any) -> None:
    _particle_array(group, "start", _floats(start))
    _particle_array(group, "species", np.asarray(structure.species, np.int32))
    group.create_dataset("species_names", data=list(structure.species_names), dtype=TEXT)
    if structure.box is not None:
        group.create_dataset("box", data=np.asarray(structure.box, float), dtype="f8")
    words = ["periodic" if periodic else "none" for periodic in structure.boundary]
    group.attrs.create("boundary", words, dtype=TEXT)
    if structure.fixed is not None:
        _particle_array(group, "fixed", np.asarray(structure.fixed, np.uint8))


def _write_minimum(group: h5py.Group, equilibrium: Equilibrium) -> None:
    _particle_array(group, "position", _floats(equilibrium.position))
    group.attrs["energy"] = float(equilibrium.energy)
    group.attrs["max_force"] = float(equilibrium.max_force)
    group.attrs["step"] = int(equilibrium.iterations)
    group.attrs["converged"] = bool(equilibrium.converged)
    group.attrs["criterion"] = equilibrium.criterion
    group.attrs["fmax"] = float(equilibrium.fmax)
    group.attrs["optimizer"] = equilibrium.optimizer


def _floats(values: Any) -> np.ndarray:
    """In the precision they have: what is read back is what was."""
    array = np.asarray(values)
    return array if array.dtype in (np.float32, np.float64) else array.astype(float)


def theta(system: System) -> tuple[tuple[str, ...], np.ndarray]:
    """The names of the parameters and their values, ``[parameter]``."""
    # Taken out of JAX once: a table of a thousand bonds is a thousand slices otherwise.
    table = {
        name: value if isinstance(value, Mapping) else np.asarray(value)
        for name, value in system.fields.items()
    }
    names = parameters.names(table)
    return names, parameters.values(table, names)


def _write_theta(group: h5py.Group, system: System) -> None:
    names, values = theta(system)
    group.attrs["potential"] = type(system.potential).__name__
    group.create_dataset("name", data=list(names), shape=(len(names),), dtype=TEXT)
    group.create_dataset("value", data=values, dtype="f8")


def _write_sensitivity(group: h5py.Group, sensitivity: Sensitivity) -> None:
    slope = np.asarray(sensitivity.position, float)
    number, dimension, count = slope.shape
    scales = {
        "particle": group.create_dataset("particle", data=np.arange(number), dtype="i8"),
        "axis": group.create_dataset("axis", data=list("xyz"[:dimension]), dtype=TEXT),
        "parameter": group.create_dataset(
            "parameter", data=list(sensitivity.parameters), shape=(count,), dtype=TEXT
        ),
    }
    for name, scale in scales.items():
        scale.make_scale(name)
    values = np.asarray(sensitivity.values, float)
    value = group.create_dataset("parameter_value", data=values, dtype="f8")
    _attach(value, scales, "parameter")
    _attach(_particle_array(group, "dR_dtheta", slope), scales, "particle", "axis", "parameter")
    group.create_dataset("rattlers", data=np.asarray(sensitivity.rattlers, np.int64), dtype="i8")
    group.create_group("observables")
    for name, (measured, derivative) in sensitivity.observables.items():
        place = group.create_group(f"observables/{name}")
        place.create_dataset("value", data=float(measured), dtype="f8")
        total = np.asarray(derivative, float)
        _attach(
            place.create_dataset(f"d{name}_dtheta", data=total, dtype="f8"), scales, "parameter"
        )


def write_provenance(group: h5py.Group, provenance: Mapping[str, Any]) -> None:
    """Texts and numbers as attributes, lists and tables of them as JSON."""
    for name, value in provenance.items():
        if value is None:
            continue
        if isinstance(value, (bool, int, float, np.generic)):
            group.attrs[name] = value
            continue
        group.attrs[name] = _plain(value if isinstance(value, str) else _json(name, value))


def _json(name: str, value: Any) -> str:
    try:
        return json.dumps(value)
    except (TypeError, ValueError):
        raise ValueError(
            f"provenance {name!r} must be a text, a number, or lists and tables of them; found"
            f" {type(value).__name__}"
        ) from None


def _plain(text: str) -> str:
    """Text that HDF5 can hold: an argument of a command may be bytes that are not UTF-8."""
    return text.replace("\0", "\\0").encode("utf-8", "backslashreplace").decode("utf-8")


def _particle_array(group: h5py.Group, name: str, values: np.ndarray) -> h5py.Dataset:
    if not values.size:
        return group.create_dataset(name, data=values, dtype=values.dtype)
    return group.create_dataset(
        name,
        data=values,
        dtype=values.dtype,
        chunks=True,
        compression="gzip",
        compression_opts=4,
        shuffle=True,
    )


def _attach(dataset: h5py.Dataset, scales: Mapping[str, h5py.Dataset], *names: str) -> None:
    for axis, name in enumerate(names):
        dataset.dims[axis].attach_scale(scales[name])
        dataset.dims[axis].label = name
