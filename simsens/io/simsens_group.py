"""The group ``/simsens`` of a result: what H5MD has no place for, ignored by its readers.

``minimum`` (the structure), ``theta`` (the potential's parameters), ``sensitivity`` (derivatives,
with the dimension scales particle, axis, parameter), ``certificate`` (their evidence), ``history``
and ``provenance``. Without derivatives there is neither ``sensitivity`` nor ``certificate``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import fields
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np

from simsens.particles import parameters

if TYPE_CHECKING:
    from simsens.implicit.certificate import Certificate
    from simsens.particles.structure import Structure
    from simsens.particles.system import System
    from simsens.response.equilibrium import Equilibrium
    from simsens.response.sensitivity import Sensitivity

SCHEMA_VERSION = 1
TEXT = h5py.string_dtype()
HISTORY_COLUMNS = ("step", "energy", "max_force")


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


def write_group(
    file: h5py.File,
    equilibrium: Equilibrium,
    sensitivity: Sensitivity | None,
    units: str,
    provenance: Mapping[str, Any],
) -> None:
    """Write ``/simsens`` into an open file.

    Raises:
        ValueError: a provenance value that is neither text nor number nor made of them.
    """
    group = file.create_group("simsens")
    group.attrs["schema_version"] = SCHEMA_VERSION
    group.attrs["units"] = units
    group.attrs["coordinate_space"] = "cartesian"
    group.attrs["spatial_dimension"] = equilibrium.system.structure.dimension
    group.attrs["gauge"] = "zero mean displacement"
    group.attrs["status"] = "complete" if equilibrium.converged else "not converged"
    _write_minimum(group.create_group("minimum"), equilibrium)
    _write_theta(group.create_group("theta"), equilibrium.system)
    history = np.asarray(equilibrium.history, float).reshape(-1, len(HISTORY_COLUMNS))
    relax = group.create_dataset("history/relax", data=history, dtype="f8")
    relax.attrs.create("columns", HISTORY_COLUMNS, dtype=TEXT)
    if sensitivity is not None:
        _write_sensitivity(group.create_group("sensitivity"), sensitivity)
        _write_certificate(group.create_group("certificate"), sensitivity.certificate)
    _write_provenance(group.create_group("provenance"), provenance)


def _write_minimum(group: h5py.Group, equilibrium: Equilibrium) -> None:
    structure: Structure = equilibrium.system.structure
    _particle_array(group, "position", np.asarray(structure.position, float))
    _particle_array(group, "species", np.asarray(structure.species, np.int32))
    group.create_dataset("species_names", data=list(structure.species_names), dtype=TEXT)
    if structure.box is not None:
        group.create_dataset("box", data=np.asarray(structure.box, float), dtype="f8")
    words = ["periodic" if periodic else "none" for periodic in structure.boundary]
    group.attrs.create("boundary", words, dtype=TEXT)
    if structure.fixed is not None:
        _particle_array(group, "fixed", np.asarray(structure.fixed, np.uint8))
    group.attrs["energy"] = float(equilibrium.energy)
    group.attrs["max_force"] = float(equilibrium.max_force)
    group.attrs["step"] = int(equilibrium.iterations)
    group.attrs["converged"] = bool(equilibrium.converged)
    group.attrs["criterion"] = equilibrium.criterion
    group.attrs["fmax"] = float(equilibrium.fmax)
    group.attrs["optimizer"] = equilibrium.optimizer


def _write_theta(group: h5py.Group, system: System) -> None:
    # Taken out of JAX once: a table of a thousand bonds is a thousand slices otherwise.
    table = {
        name: value if isinstance(value, Mapping) else np.asarray(value)
        for name, value in system.fields.items()
    }
    names = parameters.names(table)
    group.attrs["potential"] = type(system.potential).__name__
    group.create_dataset("name", data=list(names), shape=(len(names),), dtype=TEXT)
    group.create_dataset("value", data=parameters.values(table, names), dtype="f8")


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


def _write_certificate(group: h5py.Group, certificate: Certificate) -> None:
    """Every field under its own name: numbers and words as attributes, tables as datasets."""
    for field in fields(certificate):
        value = getattr(certificate, field.name)
        if isinstance(value, tuple):
            group.create_dataset(field.name, data=list(value), shape=(len(value),), dtype=TEXT)
        elif np.ndim(value):
            group.create_dataset(field.name, data=np.asarray(value, float), dtype="f8")
        else:
            group.attrs[field.name] = np.asarray(value).item()


def _write_provenance(group: h5py.Group, provenance: Mapping[str, Any]) -> None:
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
