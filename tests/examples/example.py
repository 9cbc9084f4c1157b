"""An example run as a reader runs it: a figure and its numbers, and nothing else, in the folder."""

import csv
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def run(script, folder, *arguments):
    """What the script prints; a failure or a warning of it is an error."""
    # No setting of these tests is handed down, only that warnings are errors.
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("JAX_", "XLA_"))}
    environment["PYTHONWARNINGS"] = "error"
    done = subprocess.run(
        [sys.executable, str(script), *arguments],
        cwd=folder, env=environment, capture_output=True, text=True, timeout=240, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def figure(number, folder):
    """What the example of this figure prints, and its table: the header, and the rows as text."""
    (script,) = (ROOT / "examples").glob(f"figure_{number:02d}_*.py")
    said = run(script, folder)
    assert said.strip()
    picture, table = (folder / f"figure_{number:02d}.{kind}" for kind in ("png", "csv"))
    assert sorted(folder.iterdir()) == [table, picture]
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert picture.stat().st_size > 20_000
    with table.open() as file:
        header, *rows = csv.reader(file)
    assert len(rows) > 1
    assert all(len(row) == len(header) for row in rows)
    return said, header, rows
