import csv
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
EXAMPLES = sorted((ROOT / "examples").glob("figure_*.py"))


def run(script, folder, *arguments):
    # As a reader runs it: no setting of these tests is handed down, only that warnings are errors.
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("JAX_", "XLA_"))}
    environment["PYTHONWARNINGS"] = "error"
    done = subprocess.run(
        [sys.executable, str(script), *arguments],
        cwd=folder, env=environment, capture_output=True, text=True, timeout=240, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def check_figure_05(said, rows):
    assert "8.352016507" in said
    assert "\ntrusted: " in said
    assert [float(row[0]) for row in rows] == [0.6] * 64 + [1.0] * 64
    slope = [[float(x) for x in row[3:]] for row in rows]
    for axis in (0, 1):  # the gauge of zero mean displacement
        assert abs(sum(row[axis] for row in slope)) < 1e-7
    # 40 random starts gave between 18 and 75 sides of the box.
    assert 10 < sum(abs(x) for row in slope for x in row) / 8.352016507 < 150


def check_figure_01(said, rows):
    assert said.count("11.03007879") == 2  # forward and reverse
    assert "145.48437363" in said
    assert "\ntrusted: " in said


def check_figure_02(said, rows):
    assert "False" not in said  # every bound holds at every iterate
    problems = {row[0] for row in rows}
    assert len(problems) == 2
    for row in rows:
        _, implicit, theorem, certified, corrected, unrolled = map(float, row[2:])
        assert implicit <= theorem * (1 + 1e-9)
        assert implicit <= certified
        assert implicit < unrolled
        assert corrected <= implicit
    # The reference values of t = 20: iterate, implicit, bound, unrolled.
    at = next(row for row in rows if row[0] == rows[0][0] and row[1] == "20")
    expected = (0.1242, 0.0867, 0.1231, 2.327)
    for text, value in zip((at[2], at[3], at[4], at[7]), expected):
        assert abs(float(text) / value - 1) < 1e-3


NUMBERS = {
    "figure_01": check_figure_01,
    "figure_02": check_figure_02,
    "figure_05": check_figure_05,
}


def test_there_are_examples():
    assert EXAMPLES
    assert set(NUMBERS) <= {"_".join(path.stem.split("_")[:2]) for path in EXAMPLES}


@pytest.mark.slow
@pytest.mark.parametrize("script", EXAMPLES, ids=lambda path: path.stem)
def test_examples_leave_a_figure_and_its_numbers(script, tmp_path):
    said = run(script, tmp_path)
    assert said.strip()
    name = "_".join(script.stem.split("_")[:2])
    figure, table = tmp_path / f"{name}.png", tmp_path / f"{name}.csv"
    assert sorted(tmp_path.iterdir()) == [table, figure]
    assert figure.read_bytes().startswith(b"\x89PNG")
    assert figure.stat().st_size > 20_000
    with table.open() as file:
        header, *rows = csv.reader(file)
    assert len(rows) > 1
    assert all(len(row) == len(header) for row in rows)
    if name in NUMBERS:
        NUMBERS[name](said, rows)


def test_the_argon_crystal_is_made_again_byte_for_byte(tmp_path):
    from ase.io import read

    made, kept = tmp_path / "argon.extxyz", ROOT / "data" / "argon_vacancy.extxyz"
    run(ROOT / "data" / "make_argon_vacancy.py", tmp_path, "-o", str(made))
    assert made.read_bytes() == kept.read_bytes()
    atoms = read(kept)
    assert atoms.get_chemical_formula() == "Ar255"
    assert atoms.pbc.all()
    # Every atom has 12 nearest neighbours, but for the 12 around the vacancy.
    near = (atoms.get_all_distances(mic=True) < 4.0).sum(axis=1) - 1
    assert sorted(near) == [11] * 12 + [12] * 243
