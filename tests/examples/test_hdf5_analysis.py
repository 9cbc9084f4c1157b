"""The example of an analysis asks its questions, and its answers are those of simsens itself."""

import re

import numpy as np
import pytest

from simsens import io
from tests.examples.example import ROOT, run


def test_it_answers(tmp_path):
    for package in ("xarray", "MDAnalysis", "ase"):
        pytest.importorskip(package)
    said = run(ROOT / "examples" / "hdf5_analysis.py", tmp_path)
    assert [line.split()[0] for line in said.splitlines() if line[0] != " "] == [
        "h5py", "xarray", "MDAnalysis", "ASE"
    ]  # fmt: skip
    stored = io.load(tmp_path / "packing.h5md")
    length = np.linalg.norm(stored.sensitivity["diameter[B]"], axis=1)
    largest = float(re.search(r"\| = ([\d.]+), trusted", said)[1])
    assert largest == pytest.approx(length.max(), rel=5e-3)  # three digits are printed
    large = np.array(stored.structure.names()) == "A"
    by_species = re.search(r"by species: A ([\d.]+), B ([\d.]+)", said)
    assert float(by_species[1]) == pytest.approx(length[large].mean(), rel=5e-3)
    assert float(by_species[2]) == pytest.approx(length[~large].mean(), rel=5e-3)
    with io.open(tmp_path / "packing.h5md") as result:
        way = result.trajectory[:]
        assert f"{len(way)} frames" in said
    came = np.sqrt(((way[0] - way[-1]) ** 2).sum(axis=1).mean())
    assert float(re.search(r"came ([\d.]+) on", said)[1]) == pytest.approx(came, rel=5e-3)


def test_it_does_not_answer_of_what_is_not_trusted(tmp_path):
    import h5py

    run(ROOT / "examples" / "hdf5_analysis.py", tmp_path)
    with h5py.File(tmp_path / "packing.h5md", "r+") as file:
        file["simsens/certificate"].attrs["trusted"] = False
        file["simsens/certificate"].attrs["reason"] = "a saddle"
    with pytest.raises(AssertionError, match="not to be believed: a saddle"):
        run(ROOT / "examples" / "hdf5_analysis.py", tmp_path)
