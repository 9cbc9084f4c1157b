"""One of the tables of a result as text: comma-separated, a line of names first."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np

from simsens.io import atomic, tables
from simsens.io.export_choices import CannotExport, Choices, nearest
from simsens.io.result_file import ResultFile
from simsens.io.stored import Stored


def write(stored: Stored, result: ResultFile, path: Path, choices: Choices) -> None:
    """Write a table; numbers parse to the same float64.

    Raises:
        CannotExport: no such table, or nothing to fill it.
        OutputExists: the file is there and may not be replaced.
        UnwritableFile: no such folder, no permission, no space left.
    """
    choices.only(".csv", "table")
    what = choices.table or "particles"
    if what not in tables.TABLES:
        known = ", ".join(tables.TABLES)
        raise CannotExport(
            f"unknown table {what!r}; known are {known}{nearest(what, tables.TABLES)}"
        )
    columns = tables.columns(stored, what)
    cells = [np.asarray(column).tolist() for column in columns.values()]
    if not any(cells):
        advice = ": run simsens relax with --sensitivity" if what == "observables" else ""
        raise CannotExport(f"{result.path} holds no {what}{advice}")
    with (
        atomic.replacing(path, choices.overwrite) as temporary,
        temporary.open("x", encoding="utf-8", newline="") as stream,
    ):
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows([_word(cell) for cell in row] for row in zip(*cells))


def _word(cell: Any) -> str:
    return cell if isinstance(cell, str) else repr(cell)
