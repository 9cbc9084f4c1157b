"""A user's worst day: every mistake is one line that says what to do, exit code 2, no file."""

import os

import numpy as np
import pytest

from tests.cli.conftest import ARGON, LENNARD_JONES, started

MODEL = ["--potential", "lennard-jones"]
CUBE = 'Lattice="5 0 0 0 5 0 0 0 5"'


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["missing.extxyz", *MODEL], "File 'missing.extxyz' does not exist"),
        (["--sensitivity", "sigma"], "no file 'sigma'; for a parameter write --sensitivity=sigma"),
        ([ARGON], "a structure needs a --potential"),
        ([ARGON, "--potential", "lenard-jones"], "did you mean 'lennard-jones'?"),
        ([ARGON, "--potential", "nowhere:energy"], "cannot import the module 'nowhere'"),
        ([ARGON, "--potential", "nowhere.py:energy"], "no such file: nowhere.py"),
        ([ARGON, *MODEL, "--param", "sigam=3"], "sigma, epsilon, cutoff, onset, mode; did you"),
        ([ARGON, *MODEL, "--param", "sigma[C]=1"], "unknown species 'C'; the structure holds Ar"),
        ([ARGON, *MODEL, "--param", "sigma[Ar]=3"], "needs a potential with a cutoff"),
        ([ARGON, *MODEL, "--param", "cutoff=8500"], "are the units of cutoff, positions"),
        ([ARGON, *MODEL, "--param", "cutoff=-1"], "cutoff must be a positive length; got -1"),
        ([ARGON, *LENNARD_JONES, "--param", "sigma=big"], "sigma must be a number, or a dict"),
        ([ARGON, *LENNARD_JONES, "--param", "sigma=[1,2]"], "by species or pair; got [1, 2]"),
        ([ARGON, *LENNARD_JONES, "--param", "mode=smoth"], "known are smooth, shift, truncate"),
        ([ARGON, *LENNARD_JONES, "--sensitivity=sgma"], "did you mean 'sigma'?"),
        ([ARGON, *LENNARD_JONES, "--dimension", "2"], "two dimensions need z = 0"),
        ([ARGON, *LENNARD_JONES, "--dimension", "4"], "4 is not in the range 2<=x<=3"),
        (["--potential", "lennard-jones"], "needs a structure: give STRUCT"),
        (["--param", "diameter[C]=1"], "unknown species 'C'; the structure holds B, A"),
        (["--param", "sigma"], "needed NAME=VALUE, as in sigma=3.4"),
        (["--param", "epsilon=1", "--param", "epsilon=2"], "epsilon is given twice: 1 and 2"),
        (["--param", "=3"], "needed NAME=VALUE"),
        (["--param", "diameter[B=1"], "needed NAME=VALUE"),
        (["--param", "diameter[B]=nan"], "needed finite numbers; got 'diameter[B]=nan'"),
        (["--param", "diameter[B]=x"], "diameter[B] must be a number; got 'x'"),
        (["--param", "x=[1,"], "not a list of numbers: 'x=[1,'"),
        (["--param", "x=[1,null]"], "not a list of numbers"),
        (["--sensitivity=nonsense"], "unknown parameter 'nonsense'; known are diameter[B], dia"),
        (["--sensitivity="], "names no parameter; known are diameter[B], diameter[A], epsilon"),
        (["--fmax", "0"], "0.0 is not in the range x>0"),
        (["--fmax", "nan"], "needed a finite number; got nan"),
        (["--fmax", "small"], "'small' is not a valid float"),
        (["--fmax", "1e-30"], "cannot be reached in float64"),
        (["--dtype", "float32", "--fmax", "1e-12"], "cannot be reached in float32"),
        (["--steps", "-1"], "-1 is not in the range"),
        (["--steps", "1e5"], "'1e5' is not a valid integer"),
        (["--seed", "-1"], "-1 is not in the range x>=0"),
        (["--optimizer", "bfgs"], "'bfgs' is not one of 'fire', 'gd'"),
        (["--fixed", "one"], "needed particle indices such as 0,1,5-9; got 'one'"),
        (["--fixed", "5-2"], "needed particle indices"),
        (["--fixed", "1,,2"], "needed particle indices"),
        (["--fixed", "0-99999999999"], "needed particle indices"),
        (["--fixed", "128"], "particle indices below 128; got [128]"),
        (["--fixed", "0-127"], "every particle is fixed: there is nothing to relax"),
        (["--plot", "figure.gif"], "ends in .png or .svg or .pdf; got figure.gif"),
        (["--plot", "nowhere/figure.png"], "there is no folder nowhere"),
        (["-o", "packing.txt"], "ends in .h5md or .h5; got packing.txt"),
        (["-o", "nowhere/packing.h5md"], "there is no folder nowhere"),
        (["--config", "missing.toml"], "File 'missing.toml' does not exist"),
        (["--quiet", "--verbose"], "--quiet and --verbose exclude each other"),
        (["--fmx", "1"], "--fmax"),
        (["one.extxyz", "two.extxyz"], "File 'one.extxyz' does not exist"),
    ],
    ids=lambda value: " ".join(map(str, value))[:60] if isinstance(value, list) else "",
)  # fmt: skip
def test_a_mistyped_command(refused, arguments, words):
    assert words in refused(*arguments)


@pytest.mark.parametrize(
    ("rows", "comment", "words"),
    [
        (["A 0 0 0", "A nan 0 0"], CUBE, "made.extxyz: line 4: a coordinate must be a finite"),
        (["A 0 0 0"], 'Lattice="-5 0 0 0 5 0 0 0 5"', "box lengths must be positive; got [-5.0"),
        (["A 0 0 0"], 'Lattice="0 0 0 0 5 0 0 0 5"', "box lengths must be positive; got [0.0"),
        (["A 0 0 0"], 'Lattice="1 0 0 1 0 0 0 0 5"', "the box must enclose a volume"),
        (["A 0 0 0"], 'Lattice="5 0 0 5"', "a Lattice of 4 numbers is for two dimensions"),
        (["A 0 0 0"], 'pbc="T T T"', "asks for periodic edges; add a Lattice"),
        (["A 0 0 0", "A 1 0"], CUBE, "line 4 must have 4 columns; found 3"),
        (["A 0 0 0", "A 0 0 0"], CUBE, "particles 0 and 1 are 0 apart"),
        (["A 0 0 0", "B 1 0 0"], CUBE, "species B, but sigma is given for A: add sigma[B]"),
        ([], CUBE, "at least one is needed"),
    ],
)
def test_a_faulty_structure(refused, xyz, rows, comment, words):
    path = xyz(rows, comment)
    assert words in refused(path, *LENNARD_JONES, "--param", "sigma[A]=1.0")


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("x.abc", b"hello\n", "neither simsens nor ASE knows this kind of file"),
        ("x.cif", b"\x00\xff" * 500, "x.cif: ASE cannot read it"),
        ("POSCAR", b"junk\n1\n", "POSCAR: ASE cannot read it"),
        ("x.data", b"junk\n", "LAMMPS data must be of atom_style atomic"),
        ("x.h5md", b"\x00\xff" * 500, "x.h5md cannot be read as HDF5"),
        ("x.extxyz", b"", "the file is empty"),
        ("x.extxyz", b"2\n\nA 0 0 0\n", "correct the count"),
        ("x.extxyz", b"\x00\xff" * 500, "line 1 must hold the number of particles"),
    ],
)
def test_a_file_that_is_no_structure(refused, tmp_path, name, content, words):
    (tmp_path / name).write_bytes(content)
    assert words in refused(name, *LENNARD_JONES, "-o", "out.h5md")


def test_a_folder_is_no_structure(refused, tmp_path):
    (tmp_path / "x.extxyz").mkdir()
    assert "is a directory" in refused("x.extxyz", *LENNARD_JONES)


ENERGIES = """
import numpy
def two(position): return position
def none(position): pass
def by_numpy(position): return numpy.linalg.norm(position)
def branch(position): return 1.0 if position[0, 0] > 0 else 0.0
def lookup(position): return {}["key"]
number = 3
"""


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("two", "must return one number; it returned (2, 3)"),
        ("none", "must return one number; it returned NoneType"),
        ("by_numpy", "the energy my.py:by_numpy fails: TracerArrayConversionError"),
        ("branch", "the energy my.py:branch fails: TracerBoolConversionError"),
        ("lookup", "the energy my.py:lookup fails: KeyError: 'key'"),
        ("number", "my.py has no function 'number'"),
        ("missing", "my.py has no function 'missing'"),
    ],
)
def test_a_faulty_energy(refused, pair, tmp_path, name, words):
    (tmp_path / "my.py").write_text(ENERGIES)
    assert words in refused(pair, "--potential", f"my.py:{name}")


def test_a_solver_that_does_not_fit(refused, pair, tmp_path):
    (tmp_path / "my.py").write_text("def energy(position): return (position**2).sum()\n")
    said = refused(pair, "--potential", "my.py:energy", "--solver", "sparse")
    assert "the sparse solver needs a pair potential" in said


def test_an_energy_that_is_no_python(refused, pair, tmp_path):
    (tmp_path / "my.py").write_text("def energy(position:\n")
    assert "my.py fails when imported: SyntaxError" in refused(pair, "--potential", "my.py:energy")


@pytest.mark.parametrize(("option", "name"), [("-o", "old.h5md"), ("--plot", "old.png")])
def test_what_is_there_stays_as_it_is(run, refused, pair, tmp_path, option, name):
    (tmp_path / name).write_text("precious")
    assert f"{name} exists" in refused(pair, *LENNARD_JONES, option, name)
    assert (tmp_path / name).read_text() == "precious"
    seen = run("relax", pair, *LENNARD_JONES, option, name, "--overwrite")
    assert seen.code == 0
    assert b"precious" not in (tmp_path / name).read_bytes()


def test_a_folder_without_permission(refused, pair, tmp_path, monkeypatch):
    """The system says no; to the superuser it never does, so here its answer is made up."""
    (tmp_path / "locked").mkdir(mode=0o500)
    access = os.access
    monkeypatch.setattr(
        os, "access", lambda path, mode: "locked" not in str(path) and access(path, mode)
    )
    said = refused(pair, *LENNARD_JONES, "-o", "locked/out.h5md")
    assert "locked/out.h5md: the folder is not writable" in said


def test_a_gpu_that_is_not_there(tmp_path):
    import jax

    if any(device.platform != "cpu" for device in jax.devices()):
        pytest.skip("a GPU is there: its absence cannot be refused")
    process = started(tmp_path, "relax", "--device", "gpu")
    out, err = process.communicate(timeout=60)
    assert process.returncode == 2
    assert out == ""
    assert err.startswith("simsens: no device of kind 'gpu' here")
    assert err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_a_home_that_cannot_be_written_is_no_hindrance(tmp_path):
    process = started(
        tmp_path, "relax", "--steps", "0",
        env={"JAX_COMPILATION_CACHE_DIR": "", "XDG_CACHE_HOME": "/proc/nowhere"},
    )  # fmt: skip
    _, err = process.communicate(timeout=60)
    assert process.returncode == 3
    assert "warn" not in err.lower()


def test_a_start_far_from_rest_is_relaxed_all_the_same(run, xyz):
    xyz(["A 0 0 0", "A 0.2 0 0"])
    seen = run("relax", "made.extxyz", *MODEL, "--fmax", "1e-10", "--json")
    assert seen.code == 0, seen.err
    assert np.isclose(seen.result["energy"], -1.0)


def test_too_few_particles_to_differentiate(run, xyz):
    xyz(["A 0 0 0"])
    seen = run("relax", "made.extxyz", *MODEL, "--sensitivity", "--fmax", "1e-6", "-q")
    assert seen.code == 5, seen.err
    assert "nothing holds the structure together" in seen.complaint


def test_a_length_must_be_positive(refused, pair):
    assert "diameter" in refused(pair, "--potential", "soft-sphere", "--param", "diameter=-1")
