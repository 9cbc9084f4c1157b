"""A thousand damaged results: each is refused in one line, or read as it was written."""

import json
import os
import shutil
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from simsens import io
from simsens.io import checkpoint, h5md, quiet_file, trajectory_group

HERE = Path(__file__).resolve()
MUTANTS, PROCESSES = 1000, 2


def recorded(path, equilibrium, sensitivity, compression):
    """A result with frames and a state, as a run leaves it that was interrupted."""
    system, state = equilibrium.system, {"steps": np.array(4), "position": equilibrium.start}
    with quiet_file.writing(path) as file:
        h5md.begin(file, system, equilibrium.start, "reduced", {"config": "seed = 7"}, compression)
        start = np.asarray(equilibrium.start)
        rows = [(k, start + 0.01 * k, 1 / (k + 1), 1.0, None) for k in range(5)]
        rows += h5md.ends(equilibrium, 4)
        trajectory_group.append(file, system.structure, h5md.stacked(rows))
        checkpoint.write(file, {**state, "history": np.ones((5, 3))})
        h5md.complete(file, equilibrium, sensitivity, status="interrupted")


@pytest.fixture
def folder(tmp_path, structure_of, equilibrium_of, sensitivity_of):
    for name, dimension in (("gzip", 3), ("none", 2)):
        structure = structure_of(dimension, names=("A", "bead"), fixed=[1])
        equilibrium = equilibrium_of(structure, converged=False)
        path = tmp_path / f"{name}.h5md"
        recorded(path, equilibrium, sensitivity_of(equilibrium), name)
        assert io.load(path).status == "interrupted"
    shutil.copy(HERE.with_name("files") / "version_1.h5md", tmp_path)
    return tmp_path


def test_damaged_results(folder):
    edges = np.linspace(0, MUTANTS, PROCESSES + 1).astype(int).tolist()
    environment = {**os.environ, "PYTHONPATH": str(HERE.parents[2])}
    processes = [
        subprocess.Popen(
            [sys.executable, HERE.with_name("fuzzed.py"), folder, str(first), str(last)],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment,
        )
        for first, last in pairwise(edges)
    ]  # fmt: skip
    found = {}
    for process in processes:
        lines, said = process.communicate(timeout=600)
        told = [json.loads(line) for line in lines.splitlines()]
        # A crash of HDF5, or SIGALRM after ten seconds, ends the process at this mutant.
        assert process.returncode == 0, (process.returncode, told[-1:], said)
        assert said == ""
        for facts in told:
            found.setdefault(facts["number"], {}).update(facts)
    assert sorted(found) == list(range(MUTANTS))

    assert [(k, each["faults"]) for k, each in found.items() if each["faults"]] == []
    assert max(each["memory"] for each in found.values()) < 2**18  # kB
    assert max(each["seconds"] for each in found.values()) < 5
    assert sum(bool(each["refused"]) for each in found.values()) > MUTANTS / 3
    assert sum(not each["refused"] for each in found.values()) > MUTANTS / 10
    wrong = [(k, each["file"], name) for k, each in found.items() for name in each["wrong"]]
    assert [each for each in wrong if promised(*each[1:])] == []


def promised(file, name):
    """Whether what is read is what was written, or nothing is.

    Version 1 had no checksums. Of the present one everything has: the trajectory in its pieces, the
    state to go on from by itself, and all of ``/simsens`` when a run has ended.
    """
    way, part = name.split(".")[:2]
    sure = ("position", "numbers", "state")
    return file != "version_1" and (way in ("load", "read") or part in sure)
