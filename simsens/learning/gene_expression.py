r"""Reading gene expression and survival tables, as text: CSV, tabs or blanks.

The layout is that of the multi-omic benchmark of Rappoport and Shamir (Nucleic Acids Res. 46, 2018;
TCGA): a table of genes by samples, whose first row names the samples and whose first column the
genes; and a table of patients with the columns of a survival study. Sample names of TCGA are
patients' barcodes with a suffix for the kind of tissue, in which "-01" is a primary tumour.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

PRIMARY_TUMOUR = "01"
DAYS_A_YEAR = 365.25


@dataclass(frozen=True)
class Expression:
    """A table of gene expression.

    Attributes:
        values: ``[sample, gene]``.
        samples: their names.
        genes: their names.
    """

    values: np.ndarray
    samples: tuple[str, ...]
    genes: tuple[str, ...]


def read_expression(path: str | Path) -> Expression:
    r"""Read a table of genes (rows) by samples (columns).

    Args:
        path: the file; the first row may or may not have a cell above the gene names.

    Raises:
        ValueError: no numbers; a row of another length than the first; a cell that is no finite
            number; a name that occurs twice. The line is told.
        OSError: the file cannot be read.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder, "exp.csv")
        ...     _ = path.write_text("gene,A,B\nTP53,1.0,2.0\nBRCA1,3.0,4.0\n")
        ...     table = read_expression(path)
        >>> table.samples, table.genes, table.values.tolist()
        (('A', 'B'), ('TP53', 'BRCA1'), [[1.0, 3.0], [2.0, 4.0]])
    """
    rows = _rows(path)
    header = next(rows, (0, []))[1]
    genes, numbers = [], []
    for line, (gene, *cells) in rows:
        if len(cells) not in (len(header) - 1, len(header)):
            raise ValueError(
                f"{path}, line {line}: one number for each of {len(header)} columns of the first"
                f" line is needed, found {len(cells)}"
            )
        try:
            numbers.append(np.array(cells, float))
        except ValueError:
            wrong = next(cell for cell in cells if not _is_number(cell))
            raise ValueError(f"{path}, line {line}: {wrong!r} is not a number") from None
        if not np.isfinite(numbers[-1]).all():
            raise ValueError(f"{path}, line {line}: NaN or infinity; leave the gene out")
        genes.append(gene)
    if not numbers or not len(numbers[0]):
        raise ValueError(f"{path}: a table of genes by samples is needed, found no numbers")
    if len({len(row) for row in numbers}) > 1:
        raise ValueError(f"{path}: rows of different lengths; is a name missing in the first line?")
    samples = header[len(header) - len(numbers[0]) :]
    for kind, names in (("sample", samples), ("gene", genes)):
        if len(set(names)) < len(names):
            twice = next(name for name in names if names.count(name) > 1)
            raise ValueError(f"{path}: the {kind} {twice!r} occurs twice; keep one of them")
    return Expression(np.array(numbers).T, tuple(samples), tuple(genes))


def read_survival(path: str | Path) -> dict[str, tuple[float, bool]]:
    r"""Read a survival table: for each patient the days under observation, and whether he died.

    Args:
        path: a table with the columns ``PatientID``, ``Survival`` and ``Death`` (0 or 1), in any
            order and among others. Patients without a number are left out.

    Raises:
        ValueError: a column is missing; ``Death`` is neither 0 nor 1.
        OSError: the file cannot be read.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder, "survival")
        ...     _ = path.write_text("PatientID Survival Death\nTCGA-1 2000 0\nTCGA-2 NA 1\n")
        ...     read_survival(path)
        {'TCGA-1': (2000.0, False)}
    """
    rows = _rows(path)
    header = [name.lower() for name in next(rows, (0, []))[1]]
    wanted = ("patientid", "survival", "death")
    missing = [name for name in wanted if name not in header]
    if missing:
        raise ValueError(
            f"{path}: columns PatientID, Survival and Death are needed, found {', '.join(header)}"
        )
    patient, days, death = (header.index(name) for name in wanted)
    table = {}
    for line, cells in rows:
        if len(cells) != len(header) or not _is_number(cells[days]):
            continue
        if cells[death] not in ("0", "1"):
            raise ValueError(f"{path}, line {line}: Death must be 0 or 1, found {cells[death]!r}")
        table[cells[patient]] = (float(cells[days]), cells[death] == "1")
    return table


def survival_task(
    expression: Expression, survival: dict[str, tuple[float, bool]], years: float = 5.0
) -> tuple[np.ndarray, np.ndarray]:
    """The primary tumours whose outcome is known, and whether the patient died within the years.

    Args:
        expression: the table; a sample name with a suffix other than "-01" is another tissue.
        survival: by patient, whose name is the beginning of the sample's.
        years: the horizon. Who was lost sight of before is left out.

    Returns:
        Values ``[n, gene]``, and labels ``[n]``: 1 where the patient died within the years.

    Raises:
        ValueError: no sample is left, or only one class.

    Example:
        >>> table = Expression(np.eye(2), ("P-1-01", "P-2-01"), ("a", "b"))
        >>> survival_task(table, {"P-1": (3000.0, False), "P-2": (300.0, True)})[1].tolist()
        [0, 1]
    """
    kept, labels = [], []
    patients = {_barcode(name): outcome for name, outcome in survival.items()}
    for row, sample in enumerate(expression.samples):
        known = _outcome(_barcode(sample), patients)
        if known is None:
            continue
        days, died = known
        if days > years * DAYS_A_YEAR or died:
            kept.append(row)
            labels.append(int(days <= years * DAYS_A_YEAR))
    if len(set(labels)) < 2:
        raise ValueError(
            f"patients of both outcomes are needed, found {len(labels)} samples of"
            f" {len(set(labels))} outcome(s); do the names of the two tables agree?"
        )
    return expression.values[kept], np.array(labels)


def _barcode(name: str) -> str:
    return name.replace(".", "-").upper()  # R writes dots


def _outcome(sample: str, patients: dict[str, tuple[float, bool]]) -> tuple[float, bool] | None:
    if sample in patients:
        return patients[sample]
    patient, _, tissue = sample.rpartition("-")
    return patients.get(patient) if tissue.startswith(PRIMARY_TUMOUR) else None


def _rows(path: str | Path) -> Iterator[tuple[int, list[str]]]:
    """Line numbers and cells; commas, semicolons or tabs if the first line has them, or blanks."""
    with Path(path).open(newline="", encoding="utf-8") as file:
        first = file.readline()
        file.seek(0)
        mark = next((mark for mark in ",;\t" if mark in first), " ")
        reader: Any = csv.reader(file, delimiter=mark, skipinitialspace=mark == " ")
        for cells in reader:
            cells = [cell.strip() for cell in cells]
            if any(cells):
                yield reader.line_num, cells


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
