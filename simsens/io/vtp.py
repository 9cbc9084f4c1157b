"""VTK's XML format for points (``.vtp``), for ParaView; written with NumPy alone.

The points are the particles, one vertex each. Data of the points: ``species`` (a number),
``sens_NAME`` (the derivative by each parameter, a vector), ``rattler``, ``fixed``. Data of the
whole: ``species_names``, ``theta_NAME``, ``energy``, ``max_force``, ``converged``, ``trusted``.
Arrays are base64 of their number of bytes and of these, little-endian.

Reference: https://docs.vtk.org/en/latest/vtk_file_formats/vtkxml_file_format.html
"""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any
from xml.sax.saxutils import quoteattr

import numpy as np

from simsens.io import atomic, planar
from simsens.io.export_choices import Choices, shown_parameter
from simsens.io.plain_words import plain_words
from simsens.io.result_file import ResultFile
from simsens.io.stored import Stored

TYPES = {"f8": "Float64", "i4": "Int32", "i8": "Int64", "u1": "UInt8"}


def write(stored: Stored, result: ResultFile, path: Path, choices: Choices) -> None:
    """Write the minimum with its derivatives; those by ``wrt`` are the active vectors.

    Raises:
        CannotExport: a choice that is not for this format, or derivatives that are not there.
        UnknownParameter: listing those there are derivatives by.
        OutputExists: the file is there and may not be replaced.
        UnwritableFile: no such folder, no permission, no space left.
    """
    choices.only(".vtp", "wrt")
    shown = shown_parameter(stored, choices)
    words = plain_words(stored.parameters)
    vectors = "" if shown is None else f" Vectors={quoteattr(f'sens_{words[shown]}')}"
    structure = stored.structure
    number = structure.number
    position = planar.lift_position(np.asarray(structure.position, float))
    index = np.arange(number, dtype="i8")
    lines = [
        '<?xml version="1.0" encoding="utf-8"?>',
        '<VTKFile type="PolyData" version="1.0" byte_order="LittleEndian" header_type="UInt64">',
        "<PolyData>",
        "<FieldData>",
        *(_array(name, value, whole=True) for name, value in _facts(stored).items()),
        _texts("species_names", structure.species_names),
        "</FieldData>",
        f'<Piece NumberOfPoints="{number}" NumberOfVerts="{number}" NumberOfLines="0"'
        ' NumberOfStrips="0" NumberOfPolys="0">',
        f'<PointData Scalars="species"{vectors}>',
        *(_array(name, value) for name, value in _columns(stored, words).items()),
        "</PointData>",
        "<Points>",
        _array("position", position),
        "</Points>",
        "<Verts>",
        _array("connectivity", index),
        _array("offsets", index + 1),
        "</Verts>",
        "</Piece>",
        "</PolyData>",
        "</VTKFile>",
    ]
    with atomic.replacing(path, choices.overwrite) as temporary:
        temporary.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _columns(stored: Stored, words: dict[str, str]) -> dict[str, np.ndarray]:
    structure, derivative = stored.structure, stored.position_derivative
    found = {"species": np.asarray(structure.species).astype("i4")}
    if structure.fixed is not None:
        found["fixed"] = np.asarray(structure.fixed).astype("u1")
    if derivative is not None:
        loose = np.isin(np.arange(structure.number), stored.rattlers)
        found["rattler"] = loose.astype("u1")
        for k, word in enumerate(words.values()):
            found[f"sens_{word}"] = planar.lift_position(derivative[..., k])
    return found


def _facts(stored: Stored) -> dict[str, np.ndarray]:
    found: dict[str, Any] = {
        f"theta_{word}": stored.theta[name] for name, word in plain_words(stored.theta).items()
    }
    found |= {"energy": stored.energy, "max_force": stored.max_force}
    flags = {"converged": stored.converged}
    if stored.certificate is not None:
        flags["trusted"] = stored.certificate.trusted
    numbers = {name: np.array([value], "f8") for name, value in found.items()}
    return numbers | {name: np.array([value], "u1") for name, value in flags.items()}


def _array(name: str, values: np.ndarray, whole: bool = False) -> str:
    kind = TYPES[values.dtype.str[1:]]
    little = np.ascontiguousarray(values, values.dtype.newbyteorder("<")).tobytes()
    coded = base64.b64encode(len(little).to_bytes(8, "little") + little).decode()
    parts = f' NumberOfComponents="{values.shape[1]}"' if values.ndim == 2 else ""
    parts += f' NumberOfTuples="{len(values)}"' if whole else ""
    head = f'<DataArray type="{kind}" Name={quoteattr(name)}{parts} format="binary">'
    return f"{head}{coded}</DataArray>"


def _texts(name: str, texts: tuple[str, ...]) -> str:
    """Texts are told letter by letter, and a zero ends each."""
    codes = " ".join(str(byte) for text in texts for byte in (*text.encode(), 0))
    return (
        f'<Array type="String" Name={quoteattr(name)} NumberOfTuples="{len(texts)}" format="ascii">'
        f"{codes}</Array>"
    )
