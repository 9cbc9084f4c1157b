"""Runs of the command, in this process where they can be; what many tests look at runs once."""

import contextlib
import io
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import jax
import numpy as np
import pytest

from simsens.cli.main import main

ARGON = Path(__file__).resolve().parents[2] / "data" / "argon_vacancy.extxyz"
LENNARD_JONES = ["--potential", "lennard-jones", "--param", "cutoff=2.5"]
OURS = ("SIMSENS_", "JAX_", "XLA_", "CI")


@dataclass(frozen=True)
class Run:
    """What a command did: its exit code, its words, the files it made."""

    code: int
    out: str
    err: str
    made: tuple[str, ...]
    folder: Path

    @property
    def result(self):
        return json.loads(self.out)

    @property
    def complaint(self):
        """The one line that begins with the name of the program."""
        (line,) = [line for line in self.err.splitlines() if line.startswith("simsens: ")]
        return line


def simsens(folder, *arguments):
    """Run the command in a folder, in this process."""
    before, out, err = set(folder.rglob("*")), io.StringIO(), io.StringIO()
    with (
        contextlib.chdir(folder),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
        pytest.raises(SystemExit) as stop,
    ):
        main([str(argument) for argument in arguments])
    # Python keeps the bytecode of a user's own file where it likes.
    new = {path for path in folder.rglob("*") if "__pycache__" not in path.parts}
    made = sorted(str(path.relative_to(folder)) for path in new - before)
    return Run(stop.value.code, out.getvalue(), err.getvalue(), tuple(made), folder)


def started(folder, *arguments, start=(sys.executable, "-m", "simsens"), **more):
    """Start the command as a process of its own, as a user's shell does."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith(OURS)}
    # The number of devices is part of the key of a compiled program.
    environment |= {"JAX_NUM_CPU_DEVICES": "2"}
    environment |= {"JAX_COMPILATION_CACHE_DIR": jax.config.jax_compilation_cache_dir}
    environment |= more.pop("env", {})
    command = [*start, *map(str, arguments)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, **more}
    return subprocess.Popen(command, cwd=folder, env=environment, **pipes)


@pytest.fixture(scope="session", autouse=True)
def _jax_as_it_was(tmp_path_factory):
    """One cache of compiled programs for all runs; the settings as they were afterwards."""
    names = (
        "jax_compilation_cache_dir",
        "jax_persistent_cache_min_compile_time_secs",
        "jax_persistent_cache_min_entry_size_bytes",
    )
    before = {name: getattr(jax.config, name) for name in names}
    folder = str(tmp_path_factory.mktemp("compiled"))
    jax.config.update("jax_compilation_cache_dir", folder)
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("SIMSENS_")]:
            patch.delenv(name)
        patch.setenv("JAX_COMPILATION_CACHE_DIR", folder)
        yield
    for name, value in before.items():
        jax.config.update(name, value)


@pytest.fixture
def run(tmp_path):
    """Run the command in the test's own folder."""

    def in_folder(*arguments):
        try:
            return simsens(tmp_path, *arguments)
        finally:
            jax.config.update("jax_enable_x64", True)

    return in_folder


@pytest.fixture
def refused(run):
    """Run the command and see it refuse: exit code 2, one line, nothing left behind."""

    def see(*arguments, code=2):
        seen = run("relax", *arguments)
        assert seen.code == code, seen.err
        assert seen.out == ""
        assert seen.err == seen.complaint + "\n"
        assert len(seen.err) < 500
        assert seen.made == ()
        return seen.complaint

    return see


@pytest.fixture
def xyz(tmp_path):
    """Write an extended XYZ file; returns its path."""

    def write(rows, comment="", name="made.extxyz"):
        lines = [str(len(rows)), comment, *rows]
        (tmp_path / name).write_text("\n".join(lines) + "\n")
        return tmp_path / name

    return write


@pytest.fixture
def pair(xyz):
    """Two particles of species A and B in free space."""
    return xyz(["A 0 0 0", "B 1.1 0 0"])


@pytest.fixture(scope="session")
def crystal():
    """32 rattled atoms of argon; the cutoff used reaches beyond half of their box."""
    from ase.build import bulk

    atoms = bulk("Ar", "fcc", 5.3, cubic=True) * (2, 2, 2)
    atoms.positions += np.random.default_rng(0).normal(0, 0.1, atoms.positions.shape)
    return atoms


@pytest.fixture(scope="session")
def packed(tmp_path_factory):
    """The command without a structure, a bare ``--sensitivity``, the result as JSON."""
    folder = tmp_path_factory.mktemp("packed")
    return simsens(folder, "relax", "--sensitivity", "--json", "--plot", "figure.png")


@pytest.fixture(scope="session")
def argon(tmp_path_factory):
    """The crystal of argon with a vacancy, differentiated by all parameters."""
    folder = tmp_path_factory.mktemp("argon")
    numbers = ["--param", "sigma=3.405", "--param", "epsilon=0.0104"]
    ends = ["--param", "cutoff=8.5", "--param", "onset=7.5", "--units", "metal"]
    what = ["--sensitivity", ARGON, "--potential", "lennard-jones", *numbers, *ends]
    return simsens(folder, "relax", *what)
