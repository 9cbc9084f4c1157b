"""Every array of a result by its name, for ``numpy.load``: no pickles, float64 as it is.

Names are those of the file: ``position``, ``dR_dtheta``, ``certificate/error_bound``,
``modes/curvature``, ``trajectory/position``. Texts are arrays of texts. The same result gives the
same bytes, and a trajectory is never held whole.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterable, Iterator
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import numpy as np

from simsens.io import atomic, frame_blocks
from simsens.io.export_choices import Choices
from simsens.io.result_file import ResultFile
from simsens.io.stored import Stored

BEGINNING = (1980, 1, 1, 0, 0, 0)  # of time, in the format of the archive


def write(stored: Stored, result: ResultFile, path: Path, choices: Choices) -> None:
    """Write all arrays; with ``what="trajectory"`` the frames beside them.

    Raises:
        CannotExport: no frame is chosen.
        OutputExists: the file is there and may not be replaced.
        UnwritableFile: no such folder, no permission, no space left.
    """
    choices.only(".npz", "what", "frames")
    frames = None
    if choices.what == "trajectory":
        frames = frame_blocks.chosen_frames(result, choices.frames)
    with (
        atomic.replacing(path, choices.overwrite) as temporary,
        zipfile.ZipFile(temporary, "x") as archive,
    ):
        for name, array in _arrays(stored):
            _add(archive, name, array.shape, array.dtype, [array])
        if frames is not None:
            _add_trajectory(archive, stored, result, frames)


def _add_trajectory(
    archive: zipfile.ZipFile, stored: Stored, result: ResultFile, frames: range
) -> None:
    for name, values in frame_blocks.numbers(result).items():
        chosen = values[np.array(frames)]
        _add(archive, f"trajectory/{name}", chosen.shape, chosen.dtype, [chosen])
    if result.trajectory.box is not None:
        box = result.trajectory.box[np.array(frames)]
        _add(archive, "trajectory/box", box.shape, box.dtype, [box])
    shape = (len(frames), *np.shape(stored.structure.position))
    positions = (block.astype(float) for _, block in frame_blocks.blocks(result, frames))
    _add(archive, "trajectory/position", shape, np.dtype(float), positions)


def _add(
    archive: zipfile.ZipFile,
    name: str,
    shape: tuple[int, ...],
    dtype: np.dtype[Any],
    blocks: Iterable[np.ndarray],
) -> None:
    """Write an array of which one block after the other is known."""
    entry = zipfile.ZipInfo(f"{name}.npy", BEGINNING)
    told = {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": shape}
    with archive.open(entry, "w", force_zip64=True) as stream:
        np.lib.format.write_array_header_1_0(stream, told)
        for block in blocks:
            stream.write(np.ascontiguousarray(block).tobytes())


def _arrays(stored: Stored) -> Iterator[tuple[str, np.ndarray]]:
    for name, value in _entries(stored).items():
        yield name, _plain(value)


def _entries(stored: Stored) -> dict[str, Any]:
    structure = stored.structure
    found: dict[str, Any] = {
        "position": np.asarray(structure.position),
        "start": stored.start,
        "species": np.asarray(structure.species),
        "species_names": structure.species_names,
        "boundary": np.asarray(structure.boundary, bool),
        "energy": stored.energy,
        "max_force": stored.max_force,
        "iterations": stored.iterations,
        "converged": stored.converged,
        "criterion": stored.criterion,
        "fmax": stored.fmax,
        "optimizer": stored.optimizer,
        "history": stored.history,
        "theta/name": tuple(stored.theta),
        "theta/value": np.array(list(stored.theta.values()), float),
        "units": stored.units,
        "status": stored.status,
        "provenance": json.dumps(dict(stored.provenance), default=str, ensure_ascii=False),
    }
    for name in ("box", "fixed"):
        if getattr(structure, name) is not None:
            found[name] = np.asarray(getattr(structure, name))
    if stored.position_derivative is not None:
        found["parameter"] = stored.parameters
        found["parameter_value"] = stored.values
        found["dR_dtheta"] = stored.position_derivative
        found["rattlers"] = stored.rattlers
        found["observables/name"] = tuple(stored.observables)
        value = [number for number, _ in stored.observables.values()]
        slope = [slope for _, slope in stored.observables.values()]
        found["observables/value"] = np.array(value, float)
        found["observables/derivative"] = np.array(slope, float).reshape(
            len(value), len(stored.parameters)
        )
    for name in ("certificate", "moduli", "modes"):
        found |= _fields(name, getattr(stored, name))
    return found


def _fields(prefix: str, record: Any) -> dict[str, Any]:
    """Every field of a dataclass, also of those within."""
    found: dict[str, Any] = {}
    for field in fields(record) if record is not None else ():
        value, name = getattr(record, field.name), f"{prefix}/{field.name}"
        found |= _fields(name, value) if is_dataclass(value) else {name: value}
    return found


def _plain(value: Any) -> np.ndarray:
    """An array of numbers or texts, in the order of its indices."""
    array = np.asarray(list(value), "U") if isinstance(value, tuple) else np.asarray(value)
    return np.ascontiguousarray(array).reshape(array.shape)
