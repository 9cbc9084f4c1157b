"""Tables as they come: commas, tabs, blanks, barcodes with dots; and as they must not come."""

import numpy as np
import pytest

from simsens.learning.gene_expression import (
    Expression,
    read_expression,
    read_survival,
    survival_task,
)

VALUES = np.random.default_rng(0).standard_normal((3, 2))  # gene, sample


def written(folder, mark=",", corner=True, quote=""):
    names = [f"{quote}{name}{quote}" for name in ("TCGA.A1.0001.01", "TCGA.A1.0002.01")]
    head = [*(["gene"] if corner else []), *names]
    rows = [[f"{quote}G{k}{quote}", *map(repr, map(float, row))] for k, row in enumerate(VALUES)]
    path = folder / "exp"
    path.write_text("\n".join(mark.join(row) for row in [head, *rows]) + "\n")
    return path


@pytest.mark.parametrize("mark", [",", "\t", ";", " "])
@pytest.mark.parametrize("corner", [True, False])
@pytest.mark.parametrize("quote", ["", '"'])
def test_tables_of_any_make(tmp_path, mark, corner, quote):
    table = read_expression(written(tmp_path, mark, corner, quote))
    assert table.samples == ("TCGA.A1.0001.01", "TCGA.A1.0002.01")
    assert table.genes == ("G0", "G1", "G2")
    assert (table.values == VALUES.T).all()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "found no numbers"),
        ("gene,A,B\n", "found no numbers"),
        ("gene,A,B\nG,1.0\n", "line 2: one number for each of 3 columns"),
        ("gene,A,B\nG,1.0,2.0,3.0,4.0\n", "line 2: one number for each"),
        ("gene,A,B\nG,1.0,high\n", "line 2: 'high' is not a number"),
        ("gene,A,B\nG,1.0,\n", "line 2: '' is not a number"),
        ("gene,A,B\nG,1.0,2.0\nH,nan,1.0\n", "line 3: NaN or infinity"),
        ("gene,A,B\nG,1.0,2.0\nG,1.0,1.0\n", "the gene 'G' occurs twice"),
        ("gene,A,A\nG,1.0,2.0\n", "the sample 'A' occurs twice"),
        ("gene,A,B\nG,1.0,2.0\nH,1.0,2.0,3.0\n", "rows of different lengths"),
    ],
)
def test_damaged_tables_are_told(tmp_path, text, message):
    path = tmp_path / "exp.csv"
    path.write_text(text)
    with pytest.raises(ValueError, match=message):
        read_expression(path)


def test_a_missing_file_is_told(tmp_path):
    with pytest.raises(OSError, match=r"exp\.csv"):
        read_expression(tmp_path / "exp.csv")


def test_survival(tmp_path):
    path = tmp_path / "survival"
    path.write_text(
        "PatientID\tDeath\tage\tSurvival\nP-1\t0\t50\t3000\nP-2\t1\t61\t1e2\nP-3\t0\t4\tNA\n"
    )
    assert read_survival(path) == {"P-1": (3000.0, False), "P-2": (100.0, True)}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("PatientID,Survival\nP,1\n", "columns PatientID, Survival and Death are needed"),
        ("", "are needed, found"),
        ("PatientID,Survival,Death\nP,10,maybe\n", "line 2: Death must be 0 or 1, found 'maybe'"),
    ],
)
def test_damaged_survival_is_told(tmp_path, text, message):
    path = tmp_path / "survival"
    path.write_text(text)
    with pytest.raises(ValueError, match=message):
        read_survival(path)


def test_the_task():
    names = ("P-1-01", "P-2-01", "P-3-01", "P-4-01", "P-1-11", "P-5-01", "p.6.01A")
    table = Expression(np.arange(14.0).reshape(7, 2), names, ("a", "b"))
    survival = {
        "P-1": (3000.0, False),  # alive after five years
        "P-2": (300.0, True),  # dead within
        "P-3": (300.0, False),  # lost sight of
        "P-4": (4000.0, True),  # dead, but later
        "P-6": (10.0, True),  # another spelling
    }
    values, labels = survival_task(table, survival)
    assert labels.tolist() == [0, 1, 0, 1]
    assert values[:, 0].tolist() == [0.0, 2.0, 6.0, 12.0]  # no healthy tissue of P-1, no P-5


def test_tables_that_do_not_meet_are_told():
    table = Expression(np.eye(2), ("X", "Y"), ("a", "b"))
    with pytest.raises(ValueError, match="do the names of the two tables agree"):
        survival_task(table, {"P-1": (3000.0, False)})
