"""A result file, read back: the minimum as the next input, or everything that was stored."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from simsens.implicit.certificate import Certificate
from simsens.io import guarded, simsens_group
from simsens.io.atomic import reason
from simsens.io.errors import UnreadableFile, one_line
from simsens.io.stored import Stored
from simsens.particles.structure import Structure, check


def read_structure(
    path: str | os.PathLike[str], index: int = -1, dimension: int | None = None
) -> Structure:
    """Read the minimum (``index=-1``, the last frame) or the start (``index=0``) of a result.

    Raises:
        UnreadableFile: no such file, not written by simsens, or damaged.
    """
    with _opened(path) as root:
        minimum = _minimum(root)
        if dimension not in (None, minimum.dimension):
            raise guarded.Refused(
                f"the structure has {minimum.dimension} dimensions; {dimension} were asked for"
            )
        trajectory = _trajectory(root, minimum)
        frames = len(trajectory)
        if not -frames <= index < frames:
            raise guarded.Refused(f"has no frame {index}; it holds {frames}")
        if index % frames == frames - 1:
            return minimum
        return minimum.with_position(trajectory[index])


def load_result(path: str | os.PathLike[str]) -> Stored:
    """Read all that a result file holds.

    Raises:
        UnreadableFile: no such file, not written by simsens, or damaged.
    """
    with _opened(path) as root:
        structure = _minimum(root)
        minimum = guarded.attributes(guarded.group(root, "minimum"))
        names = guarded.texts(root, "theta/name", (None,))
        theta = guarded.numbers(root, "theta/value", (len(names),))
        columns = len(simsens_group.HISTORY_COLUMNS)
        return Stored(
            structure=structure,
            start=_trajectory(root, structure)[0],
            energy=float(minimum["energy"]),
            max_force=float(minimum["max_force"]),
            iterations=int(minimum["step"]),
            converged=bool(minimum["converged"]),
            criterion=str(minimum["criterion"]),
            fmax=float(minimum["fmax"]),
            optimizer=str(minimum["optimizer"]),
            history=guarded.numbers(root, "history/relax", (None, columns)),
            theta=dict(zip(names, theta.tolist())),
            **_derivatives(root, structure),
            provenance=guarded.attributes(guarded.group(root, "provenance")),
            units=str(guarded.attribute(root, "units")),
            status=str(guarded.attribute(root, "status")),
        )


@contextmanager
def _opened(path: str | os.PathLike[str]) -> Iterator[h5py.Group]:
    """The group ``/simsens``; whatever fails in it becomes one line that names the file."""
    if not Path(path).is_file():
        raise UnreadableFile(f"{path}: there is no such file; check the path")
    try:
        with h5py.File(path, "r") as file:
            if not guarded.has(file, "simsens"):
                raise guarded.Refused(
                    "has no group /simsens, so it was not written by simsens; convert the"
                    " structure to extended XYZ"
                )
            root = guarded.group(file, "simsens")
            _check_version(root)
            yield root
    except OSError as error:
        said = one_line(error) if not error.strerror else reason(error)
        raise UnreadableFile(f"{path} cannot be read as HDF5: {said}") from error
    except KeyError as error:
        raise UnreadableFile(f"{path}: /simsens is incomplete, {error} is missing") from error
    # A damaged file fails anywhere in HDF5; what it says is passed on in one line.
    except (ValueError, TypeError, RuntimeError, MemoryError, OverflowError) as error:
        raise UnreadableFile(f"{path}: {one_line(error)}") from error


def _check_version(root: h5py.Group) -> None:
    version = guarded.attribute(root, "schema_version")
    if version != simsens_group.SCHEMA_VERSION:
        raise guarded.Refused(
            f"its schema version is {version}; this simsens reads"
            f" {simsens_group.SCHEMA_VERSION}: use the version that wrote it, or a newer one"
        )


def _minimum(root: h5py.Group) -> Structure:
    group = guarded.group(root, "minimum")
    dimension = guarded.attribute(root, "spatial_dimension")
    if dimension not in (2, 3):
        raise guarded.Refused(f"spatial_dimension must be 2 or 3; found {dimension!r}")
    position = guarded.numbers(group, "position", (None, dimension))
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
    return structure


def _trajectory(root: h5py.Group, minimum: Structure) -> np.ndarray:
    """The frames ``[frame, particle, dimension]``, without the component that lifts a plane."""
    path = "particles/trajectory/position/value"
    frames = guarded.numbers(root.file, path, (None, minimum.number, 3))
    if not len(frames):
        raise guarded.Refused(f"{path} has no frame")
    return frames[:, :, : minimum.dimension].copy()


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
        "certificate": _certificate(guarded.group(root, "certificate")),
    }


def _certificate(group: h5py.Group) -> Certificate:
    """Every field under its own name, as an attribute, a text table or a table of numbers."""
    found: dict[str, Any] = {}
    for field in fields(Certificate):
        if field.name in group.attrs:
            found[field.name] = guarded.attribute(group, field.name)
        elif field.type == "tuple[str, ...]":
            found[field.name] = guarded.texts(group, field.name, (None,))
        else:
            axes = 2 if field.name == "validity_radius" else 1
            found[field.name] = guarded.numbers(group, field.name, (None,) * axes)
    return Certificate(**found)
