"""Extended XYZ for OVITO and ASE: the structure with its derivatives, or the trajectory.

* ``disp`` is the derivative by one parameter, times a scale; ``sens_NAME`` is the derivative by
  each, as it is. OVITO calls ``disp`` Displacement and has arrows for it. (Of a column that is
  called ``Displacement`` OVITO 3.17 keeps the last component only, in place of the first.)
* ASE takes the symbols of elements only. Of species with other names it finds atomic number 0 in
  the column ``Z``, and the names in ``simsens_species``, as ``ase_bridge`` does it.
* The comment line holds the parameters as ``theta_NAME``, and the verdict.

A trajectory is written frame by frame and never held whole.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np

from simsens.io import atomic, extxyz, frame_blocks, planar
from simsens.io.ase_bridge import NAMES
from simsens.io.elements import are_elements
from simsens.io.export_choices import CannotExport, Choices, shown_parameter
from simsens.io.plain_words import plain_words
from simsens.io.result_file import ResultFile
from simsens.io.stored import Stored
from simsens.particles.structure import Structure


def write(stored: Stored, result: ResultFile, path: Path, choices: Choices) -> None:
    """Write the minimum with its derivatives, or frames of the trajectory.

    Raises:
        CannotExport: no frame, a species whose name is no word, too many parameters for a line.
        UnknownParameter: listing those there are derivatives by.
        OutputExists: the file is there and may not be replaced.
        UnwritableFile: no such folder, no permission, no space left.
    """
    choices.only(".extxyz", "what", "wrt", "scale", "frames")
    _check_names(stored.structure)
    if choices.what == "trajectory":
        _write_trajectory(stored, result, path, choices)
    else:
        _write_minimum(stored, path, choices)


def _write_minimum(stored: Stored, path: Path, choices: Choices) -> None:
    shown = shown_parameter(stored, choices)
    columns = _species(stored.structure)
    keys: dict[str, Any] = {
        "energy": stored.energy,
        "max_force": stored.max_force,
        "converged": stored.converged,
    }
    derivative = stored.position_derivative
    if derivative is not None and shown is not None:
        scale = 1.0 if choices.scale is None else float(choices.scale)
        which = stored.parameters.index(shown)
        columns["rattler"] = np.isin(np.arange(len(derivative)), stored.rattlers)
        columns["disp"] = planar.lift_position(scale * derivative[..., which])
        for k, word in enumerate(plain_words(stored.parameters).values()):
            columns[f"sens_{word}"] = planar.lift_position(derivative[..., k])
        keys |= {"disp_wrt": shown, "disp_scale": scale}
    if stored.certificate is not None:
        keys |= {"trusted": stored.certificate.trusted, "reason": stored.certificate.reason}
    with (
        atomic.replacing(path, choices.overwrite) as temporary,
        temporary.open("x", encoding="utf-8") as stream,
    ):
        _write_frame(stream, stored.structure, columns, {**keys, **_facts(stored)})


def _write_trajectory(stored: Stored, result: ResultFile, path: Path, choices: Choices) -> None:
    frames = frame_blocks.chosen_frames(result, choices.frames)
    numbers, facts = frame_blocks.numbers(result), _facts(stored)
    columns, box = _species(stored.structure), result.trajectory.box
    with (
        atomic.replacing(path, choices.overwrite) as temporary,
        temporary.open("x", encoding="utf-8") as stream,
    ):
        for part, positions in frame_blocks.blocks(result, frames):
            for frame, position in zip(part, positions):
                there = {name: values[frame].item() for name, values in numbers.items()}
                at = stored.structure.with_position(position.astype(float))
                at = at if box is None else at.with_box(box[frame])
                _write_frame(stream, at, columns, {**there, **facts})


def _write_frame(
    stream: IO[str], structure: Structure, extra: Mapping[str, Any], keys: Mapping[str, Any]
) -> None:
    said = [f"{key}={_said(value)}" for key, value in keys.items() if _is_said(value)]
    try:
        extxyz.write_frame(stream, structure, extra, said)
    except ValueError as error:
        raise CannotExport(f"{error}: take .npz") from error


def _check_names(structure: Structure) -> None:
    for name in structure.species_names:
        if len(name.split()) != 1:
            raise CannotExport(f"a species called {name!r} is no word: this format has no way")


def _species(structure: Structure) -> dict[str, Any]:
    """What ASE needs where species are no elements."""
    if are_elements(structure.species_names):
        return {}
    return {"Z": np.zeros(structure.number, int), NAMES: np.array(structure.names())}


def _facts(stored: Stored) -> dict[str, Any]:
    words = plain_words(stored.theta)
    theta = {f"theta_{words[name]}": value for name, value in stored.theta.items()}
    return {**({} if stored.units == "reduced" else {"units": stored.units}), **theta}


def _is_said(value: Any) -> bool:
    """A number that is none is left out: readers take the word ``nan`` for a text."""
    return not isinstance(value, float) or math.isfinite(value)


def _said(value: Any) -> str:
    if not isinstance(value, str):
        return extxyz.word(value)
    # Quotes and backslashes mean something in every reader, and not the same.
    return '"' + " ".join(value.replace('"', "'").replace("\\", "/").split()) + '"'
