"""``simsens export``: every format by its name, and every mistake in one line."""

import os
import sys

import ase.io
import click
import numpy as np
import pytest

from simsens import io
from simsens.cli import options
from simsens.cli.export import command
from simsens.io.exports import EXPORTS
from tests.cli import sixteen
from tests.cli.conftest import started


@pytest.fixture(scope="module")
def packing(tmp_path_factory):
    folder = tmp_path_factory.mktemp("export")
    return sixteen.relaxed(folder, "packing", "--sensitivity", "--traj-every", "20")


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    return sixteen.relaxed(tmp_path_factory.mktemp("plain"), "plain")


@pytest.mark.parametrize("suffix", list(EXPORTS))
def test_every_format_is_written_and_told(run, packing, suffix):
    seen = run("export", packing, "-o", f"out{suffix}")
    assert seen.code == 0
    assert seen.out == ""
    assert seen.err == f"written     out{suffix}\n"
    assert seen.made == (f"out{suffix}",)


def test_quiet_is_quiet(run, packing):
    seen = run("export", packing, "-o", "out.csv", "--quiet")
    assert (seen.code, seen.out, seen.err) == (0, "", "")


def test_arrows_are_those_that_were_asked_for(run, packing, tmp_path):
    run("export", packing, "-o", "x.extxyz", "--wrt", "diameter[B]", "--scale", "-0.5")
    stored, atoms = io.load(packing), ase.io.read(tmp_path / "x.extxyz")
    slope = stored.sensitivity["diameter[B]"]
    assert np.array_equal(atoms.arrays["disp"][:, :2], -0.5 * slope)
    assert np.array_equal(atoms.arrays["sens_diameter_B"][:, :2], slope)
    assert atoms.info["theta_diameter_B"] == 0.6
    assert atoms.info["trusted"] is True
    assert atoms.get_potential_energy() == stored.energy


@pytest.mark.parametrize(
    ("frames", "expected"),
    [
        (None, slice(None)),
        ("0", slice(0, 1)),
        ("-1", slice(-1, None)),
        ("1:3", slice(1, 3)),
        ("::2", slice(None, None, 2)),
        ("-2:", slice(-2, None)),
        (":", slice(None)),
        ("::-1", slice(None, None, -1)),
    ],
)
def test_frames_of_the_trajectory(run, packing, tmp_path, frames, expected):
    chosen = [] if frames is None else ["--frames", frames]
    seen = run("export", packing, "-o", "t.extxyz", "--what", "trajectory", *chosen)
    assert seen.code == 0, seen.err
    with io.open(packing) as result:
        positions = result.trajectory[expected]
    found = np.array([atoms.positions[:, :2] for atoms in ase.io.read(tmp_path / "t.extxyz", ":")])
    assert len(found) > 0
    assert np.array_equal(found, positions)


def test_the_trajectory_as_arrays(run, packing, tmp_path):
    assert run("export", packing, "-o", "t.npz", "--what", "trajectory").code == 0
    with np.load(tmp_path / "t.npz", allow_pickle=False) as found, io.open(packing) as result:
        assert np.array_equal(found["trajectory/position"], result.trajectory[:])
        assert np.array_equal(found["trajectory/step"], result.trajectory.step)


def test_a_table_by_name(run, packing, tmp_path):
    assert run("export", packing, "-o", "p.csv", "--table", "parameters").code == 0
    rows = (tmp_path / "p.csv").read_text().splitlines()
    assert rows[0].startswith("parameter,value,largest,error_bound")
    assert {row.split(",")[0] for row in rows[1:]} == set(io.load(packing).theta)


def test_what_is_not_to_be_trusted_is_said_and_written(run, packing, tmp_path):
    doubted = sixteen.doubted(packing)
    seen = run("export", doubted, "-o", "x.extxyz")
    assert seen.code == 0
    assert seen.complaint == (
        "simsens: warning: the derivative is not to be trusted: a mode is negative"
    )
    assert "trusted=F" in (tmp_path / "x.extxyz").read_text().splitlines()[1]
    seen = run("export", doubted, "-o", "t.extxyz", "--what", "trajectory")
    assert seen.err == "written     t.extxyz\n"  # it holds no derivatives
    doubted.unlink()


def test_a_run_that_has_not_ended_is_exported_as_far_as_it_came(run, tmp_path):
    stopped = sixteen.relaxed(tmp_path, "short", "--steps", "10", "--traj-every", "2")
    seen = run("export", stopped, "-o", "x.extxyz", "--what", "trajectory")
    assert seen.code == 0
    steps = [atoms.info["step"] for atoms in ase.io.read(tmp_path / "x.extxyz", ":")]
    assert steps == [0, 2, 4, 6, 8, 10]
    run("export", stopped, "-o", "end.extxyz")
    assert ase.io.read(tmp_path / "end.extxyz").info["converged"] is False


def test_overwrite_replaces(run, packing, tmp_path):
    (tmp_path / "x.csv").write_text("old")
    assert run("export", packing, "-o", "x.csv", "--overwrite").code == 0
    assert (tmp_path / "x.csv").read_text().startswith("species,")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["-o", "x.vtk"], "the name of an export ends in one of .extxyz, .xyz, .vtp, .csv, .npz"),
        (["-o", "x.h5md"], "ends in one of"),
        ([], "Missing option '-o' / '--output'"),
        (["-o", "no/x.csv"], "there is no folder no"),
        (["-o", "x.extxyz", "--wrt", "diameter[C]"], "known are diameter[A], diameter[B], epsi"),
        (["-o", "x.extxyz", "--wrt", "epsilom"], "did you mean 'epsilon'?"),
        (["-o", "x.extxyz", "--scale", "nan"], "needed a finite number; got nan"),
        (["-o", "x.extxyz", "--scale", "big"], "'big' is not a valid float"),
        (["-o", "x.vtp", "--scale", "2"], "--scale is not for .vtp"),
        (["-o", "x.csv", "--table", "atoms"], "known are particles, observables, parameters, his"),
        (["-o", "x.csv", "--what", "trajectory"], "--what trajectory is not for .csv"),
        (["-o", "x.extxyz", "--what", "modes"], "'modes' is not one of 'minimum', 'trajectory'"),
        (["-o", "x.extxyz", "--frames", "0"], "add --what trajectory"),
        (["-o", "x.extxyz", "--frames", "one"], "needed frames as 0, -1, 10:20 or ::5"),
        (["-o", "x.extxyz", "--frames", "1:2:3:4"], "needed frames as"),
        (["-o", "x.extxyz", "--frames", ""], "needed frames as"),
        (["-o", "x.extxyz", "--frames", "::0"], "the step from frame to frame cannot be 0"),
        (["-o", "x.extxyz", "--what", "trajectory", "--frames", "99:"], "none of them is chosen"),
        (["-o", "x.npz", "--what", "trajectory", "--frames", "-99"], "none of them is chosen"),
    ],
)
def test_mistakes_are_one_line(run, packing, arguments, words):
    assert words in sixteen.refusal(run("export", packing, *arguments))


@pytest.mark.parametrize("name", ["missing.h5md", "folder.h5md"])
def test_a_file_that_is_none(run, tmp_path, name):
    if name.startswith("folder"):
        (tmp_path / name).mkdir()
    assert f"File '{name}'" in sixteen.refusal(run("export", name, "-o", "x.csv"))


@pytest.mark.parametrize(
    ("content", "name", "words"),
    [
        (b"2\n\nA 0 0 0\nB 1 0 0\n", "x.extxyz", "the name of a result ends in .h5md or .h5"),
        (b"", "x.h5md", "cannot be read as HDF5"),
        (b"\x89HDF\r\n\x1a\n" + bytes(500), "x.h5md", "x.h5md"),
        (b"no result", "x.h5", "cannot be read as HDF5"),
    ],
)
def test_a_file_that_is_no_result(run, tmp_path, content, name, words):
    (tmp_path / name).write_bytes(content)
    assert words in sixteen.refusal(run("export", name, "-o", "y.csv"))


@pytest.mark.parametrize("suffix", list(EXPORTS))
def test_a_truncated_file_is_named(run, packing, suffix):
    half = sixteen.truncated(packing)
    assert "truncated.h5md" in sixteen.refusal(run("export", half, "-o", f"x{suffix}"))
    half.unlink()


@pytest.mark.parametrize("arguments", [["--wrt", "epsilon"], ["--scale", "2"]])
def test_without_derivatives_there_is_advice(run, plain, arguments):
    complaint = sixteen.refusal(run("export", plain, "-o", "x.extxyz", *arguments))
    assert "no derivatives: run simsens relax with --sensitivity" in complaint


def test_an_existing_output_stays(run, packing, tmp_path):
    (tmp_path / "x.npz").write_text("precious")
    complaint = sixteen.refusal(run("export", packing, "-o", "x.npz"))
    assert "x.npz exists: choose another name, or replace it with --overwrite" in complaint
    assert (tmp_path / "x.npz").read_text() == "precious"


def test_a_folder_that_is_not_writable(run, packing, tmp_path, monkeypatch):
    (tmp_path / "locked").mkdir()
    monkeypatch.setattr(os, "access", lambda path, mode: "locked" not in str(path))
    complaint = sixteen.refusal(run("export", packing, "-o", "locked/x.npz"))
    assert "the folder is not writable; choose another" in complaint


def test_exporting_computes_nothing(packing, tmp_path):
    """No backend is started: a file is read and another one written."""
    code = (
        "import sys; from simsens.cli.export import command; "
        "command(sys.argv[1:], standalone_mode=False); "
        "from jax._src import xla_bridge; assert not xla_bridge._backends"
    )
    arguments = [packing, "-o", "x.extxyz"]
    with started(tmp_path, *arguments, start=(sys.executable, "-c", code)) as process:
        _, err = process.communicate(timeout=120)
    assert process.returncode == 0, err


def test_the_help_names_every_format_and_table():
    told = " ".join(option.help for option in command.params if isinstance(option, click.Option))
    for suffix in EXPORTS:
        assert suffix in told
    for table in io.tables.TABLES:
        assert table in told


def test_the_options_that_all_commands_share_are_the_same():
    shared = {
        option.name: option.help for option in command.params if isinstance(option, click.Option)
    }

    @options.overwrite
    @options.quiet
    def other():
        """Take the shared options."""

    for option in other.__click_params__:
        assert shared[option.name] == option.help
