"""Frames, states, signals and time limits: a run that takes long, or is begun again."""

import json
import os
import signal
import time

import h5py
import numpy as np
import pytest

from simsens import io
from simsens.io import runs
from simsens.response.equilibrium import NotConverged
from tests.cli.conftest import LENNARD_JONES, started

RUN = ["relax", "--sensitivity", "--traj-every", "10"]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The packing relaxed without a break."""
    from tests.cli.conftest import simsens

    return simsens(tmp_path_factory.mktemp("whole"), *RUN).folder / "packing.h5md"


def same_result(path, other):
    """The same minimum, derivatives and frames, to the bit."""
    one, two = io.load(path), io.load(other)
    np.testing.assert_array_equal(one.structure.position, two.structure.position)
    np.testing.assert_array_equal(one.position_derivative, two.position_derivative)
    assert (one.energy, one.iterations, one.status) == (two.energy, two.iterations, "complete")
    with io.open(path) as a, io.open(other) as b:
        np.testing.assert_array_equal(a.trajectory.step, b.trajectory.step)
        np.testing.assert_array_equal(a.trajectory[:], b.trajectory[:])


def test_frames_are_kept(whole):
    with io.open(whole) as result:
        steps = result.trajectory.step
        assert steps[:-1].tolist() == [*range(0, 10 * (len(steps) - 1), 10)]
        assert result.load().certificate.trusted


def test_a_run_short_of_steps_goes_on(run, tmp_path, whole):
    seen = run(*RUN, "--steps", "60")
    assert seen.code == 3
    assert "packing.h5md goes on with --resume and a larger --steps" in seen.complaint
    seen = run(*RUN, "--resume")
    assert seen.code == 0, seen.err
    same_result(tmp_path / "packing.h5md", whole)
    before = (tmp_path / "packing.h5md").read_bytes()
    seen = run(*RUN, "--resume")
    assert (seen.code, seen.made) == (0, ())
    assert seen.complaint == "simsens: packing.h5md is complete already: nothing to go on with"
    assert (tmp_path / "packing.h5md").read_bytes() == before


def test_resume_begins_where_there_is_nothing(run, tmp_path, whole):
    assert run(*RUN, "--resume").code == 0
    same_result(tmp_path / "packing.h5md", whole)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (["--seed", "1"], "begun with seed = 0, now it is 1"),
        (["--fmax", "1e-11"], "begun with fmax = 1e-10, now it is 1e-11"),
        (["--param", "diameter[B]=0.7"], "begun with param = None"),
        (["--optimizer", "gd"], "begun with optimizer = 'fire', now it is 'gd'"),
    ],
)
def test_another_run_is_not_gone_on_with(run, tmp_path, change, words):
    run(*RUN, "--steps", "20", "-q")
    before = (tmp_path / "packing.h5md").read_bytes()
    seen = run(*RUN, "--resume", *change)
    assert seen.code == 2
    assert words in seen.complaint
    assert "--overwrite" in seen.complaint
    assert (tmp_path / "packing.h5md").read_bytes() == before


def test_another_structure_is_not_gone_on_with(run, xyz):
    xyz(["A 0 0 0", "B 1.1 0 0"])
    run("relax", "made.extxyz", *LENNARD_JONES, "--steps", "1", "-q")
    xyz(["A 0 0 0", "B 1.2 0 0"])
    seen = run("relax", "made.extxyz", *LENNARD_JONES, "--resume")
    assert seen.code == 2
    assert "begun with another structure (made.extxyz)" in seen.complaint


def test_what_a_killed_run_has_left_is_not_replaced_unasked(run, tmp_path):
    run(*RUN, "--steps", "20", "-q")
    (tmp_path / "packing.h5md").rename(tmp_path / "packing.partial.h5md")
    seen = run(*RUN)
    assert seen.code == 2
    assert "from a run that did not end: go on with it by --resume" in seen.complaint
    assert run(*RUN, "--overwrite", "-q").code == 0
    assert [p.name for p in tmp_path.iterdir()] == ["packing.h5md"]


def test_a_full_disk_is_told_and_the_run_goes_on_later(run, tmp_path, monkeypatch, whole):
    written, write = [], os.pwrite

    def refuse(*arguments):
        written.append(arguments)
        if len(written) > 200:
            raise OSError(28, "No space left on device")
        return write(*arguments)

    monkeypatch.setattr(os, "pwrite", refuse)
    seen = run(*RUN, "-q")
    assert seen.code == 1
    assert "packing.partial.h5md cannot be written: No space left" in seen.complaint
    assert "--resume" in seen.complaint
    monkeypatch.undo()
    assert [p.name for p in tmp_path.iterdir()] == ["packing.partial.h5md"]
    assert run(*RUN, "--resume", "-q").code == 0
    same_result(tmp_path / "packing.h5md", whole)


# Time and signals: of a process of its own


def waited(path, frames):
    """Until so many frames are committed."""
    began = time.monotonic()
    while time.monotonic() - began < 60:
        if path.exists():
            with h5py.File(path, "r") as file:
                if file["simsens"].attrs["n_committed"] >= frames:
                    return
        time.sleep(0.05)
    raise AssertionError(f"{frames} frames are not committed")


SLOW = ["relax", "made.extxyz", "--potential", "harmonic-bonds", "--param", "cutoff=1.2"]
SLOW += ["--param", "length=1.0", "--optimizer", "gd", "--traj-every", "100", "-q"]
CHAIN = [f"A {1.1 * k} {0.01 * (k % 3)} 0" for k in range(500)]


def test_a_killed_process_goes_on_to_the_same_end(xyz, tmp_path):
    """Three times, at whatever moment; then to the end of its budget, as one that was not."""
    xyz(CHAIN, "dimension=2")
    partial = tmp_path / "made.partial.h5md"
    for time_ in range(3):
        process = started(tmp_path, *SLOW, "--resume")
        waited(partial, 20 * (time_ + 1))
        process.send_signal(signal.SIGUSR1)
        time.sleep(0.2 + 0.1 * time_)
        process.kill()
        process.communicate()
        with io.open(partial) as result:
            assert result.status == "running"
            assert (np.diff(result.trajectory.step) == 100).all()
    step = int(h5py.File(partial)["simsens/checkpoint/steps"][()])
    assert step > 0
    budget = ["--steps", str(step + 2000)]
    # In processes as the killed ones were: how programs are compiled decides about the last bit.
    for more in (["--resume"], ["-o", "other.h5md"]):
        process = started(tmp_path, *SLOW, *budget, *more)
        _, err = process.communicate(timeout=120)
        assert process.returncode == 3, err
    one, other = io.load(tmp_path / "made.h5md"), io.load(tmp_path / "other.h5md")
    np.testing.assert_array_equal(one.structure.position, other.structure.position)
    assert one.iterations == other.iterations == step + 2000
    with io.open(tmp_path / "made.h5md") as a, io.open(tmp_path / "other.h5md") as b:
        np.testing.assert_array_equal(a.trajectory.step, b.trajectory.step)
        np.testing.assert_array_equal(a.trajectory[:], b.trajectory[:])


def test_time_is_up(xyz, tmp_path):
    xyz(CHAIN, "dimension=2")
    process = started(tmp_path, *SLOW, "--max-time", "2s")
    _, err = process.communicate(timeout=120)
    assert process.returncode == 143, err
    assert "interrupted; what was reached is in made.h5md, go on with --resume" in err
    assert io.load(tmp_path / "made.h5md").status == "interrupted"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["made.extxyz", "made.h5md"]


@pytest.mark.parametrize("text", ["soon", "0", "-1h", "1h1d", "1x", "9" * 400 + "d"])
def test_times_that_are_none(refused, text):
    assert "needed a time, as 90s, 10m or 1h30m" in refused("--max-time", text)


# Several structures


@pytest.fixture
def three(xyz):
    """Two pairs that relax, and between them one that is no structure."""
    xyz(["A 0 0 0", "B 1.1 0 0"], name="a.extxyz")
    xyz(["A 0 0 0", "A 0 0 0"], name="b.extxyz")
    xyz(["A 0 0 0", "B 1.2 0 0"], name="c.extxyz")


def test_each_structure_has_its_result(run, three, tmp_path):
    seen = run("relax", "a.extxyz", "c.extxyz", *LENNARD_JONES, "--out-dir", "results", "--json")
    assert seen.code == 0, seen.err
    assert seen.made == ("results", "results/a.h5md", "results/c.h5md")
    assert [each["converged"] for each in json.loads(seen.out)] == [True, True]


def test_one_that_fails_does_not_keep_the_others(run, three):
    seen = run("relax", "a.extxyz", "b.extxyz", "c.extxyz", *LENNARD_JONES, "-q")
    assert seen.code == 6
    assert seen.made == ("a.h5md", "c.h5md")
    assert seen.err.splitlines()[0].startswith("simsens: b.extxyz: ")
    assert seen.err.splitlines()[-1] == "simsens: 1 of 3 failed: b.extxyz"


def test_the_time_is_that_of_all(xyz, tmp_path):
    """What is left of it goes to the next, and nobody comes after the one it ran out in."""
    for name in ("a", "b", "c"):
        xyz(CHAIN, "dimension=2", name=f"{name}.extxyz")
    what = [word for word in SLOW if word != "made.extxyz"]
    several = ["a.extxyz", "b.extxyz", "c.extxyz", "--max-time", "3s"]
    process = started(tmp_path, *what, *several)
    _, err = process.communicate(timeout=120)
    assert process.returncode == 143, err
    assert sorted(p.name for p in tmp_path.glob("*.h5md")) == ["a.h5md"]


def test_what_several_cannot_share(refused, three, run, tmp_path):
    both = ["a.extxyz", "c.extxyz", *LENNARD_JONES]
    both = [tmp_path / word if word.endswith("xyz") else word for word in both]
    assert "--output is for one structure" in refused(*both, "-o", "x.h5md")
    assert "--plot is for one structure" in refused(*both, "--plot", "x.png")
    assert "give one of them" in refused(*both[:1], *both[2:], "-o", "x.h5md", "--out-dir", ".")
    assert "two structures are called a" in refused(both[0], both[0], *LENNARD_JONES)


@pytest.mark.parametrize("compression", ["none", "lzf", "blosc2"])
def test_compressions(run, tmp_path, pair, compression):
    if compression == "blosc2":
        pytest.importorskip("hdf5plugin")
    options = ["--traj-every", "5", "--compression", compression, "--precision", "float32"]
    assert run("relax", pair, *LENNARD_JONES, *options, "-q").code == 0
    with io.open(tmp_path / "made.h5md") as result:
        assert result.trajectory[-1].dtype == np.float32
    assert runs.earlier(tmp_path / "made.h5md")["status"] == "complete"


# What else is asked of a minimum


def test_moduli_and_modes_are_stored(run, tmp_path):
    seen = run("relax", "--moduli", "--modes", "3", "--json", "-q")
    assert seen.code == 0, seen.err
    stored = io.load(tmp_path / "packing.h5md")
    assert stored.fmax == 1e-10  # as tight as for derivatives
    assert seen.result["moduli"]["bulk"] == stored.moduli.bulk
    assert seen.result["moduli"]["trusted"] is True
    assert seen.result["curvature"] == stored.modes.curvature.tolist()
    assert len(stored.modes.curvature) == stored.modes.zero_modes + 3
    assert stored.sensitivity is None


def test_moduli_need_a_periodic_box(refused, pair):
    assert "periodic along every edge" in refused(pair, *LENNARD_JONES, "--moduli")


def test_a_failure_late_in_a_run_costs_nothing_that_was_committed(run, tmp_path, monkeypatch):
    """Whatever it is, a memory that is full or a fault of ours: the run goes on from its state."""
    from simsens.cli import run as command

    original = command.relax_system

    def fails(*arguments, **options):
        with pytest.raises(NotConverged):
            original(*arguments[:3], 60, **options)
        raise RuntimeError("out of memory")

    monkeypatch.setattr(command, "relax_system", fails)
    seen = run(*RUN, "-q")
    assert (seen.code, seen.made) == (1, ("packing.partial.h5md",))
    monkeypatch.undo()
    assert run(*RUN, "--resume", "-q").code == 0
    assert io.load(tmp_path / "packing.h5md").converged
