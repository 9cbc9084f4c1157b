"""What the shell is told when the result is less than hoped for, and what is left in the file."""

import errno
import os
import signal
import sys

import pytest

from simsens import io
from simsens.cli.main import told
from tests.cli.conftest import LENNARD_JONES, started

TRIMER = ["A -1.1 0 0", "A 0 0 0", "A 1.1 0 0"]


def test_out_of_steps(run, tmp_path):
    seen = run("relax", "--steps", "5", "--sensitivity", "--json")
    assert seen.code == 3
    assert seen.complaint.startswith("simsens: not converged: the budget of 5 steps was spent")
    stored = io.load(tmp_path / "packing.h5md")
    assert f"max force {stored.max_force:.3g} > fmax 1e-10" in seen.complaint
    assert "try more steps; no derivative was taken" in seen.complaint
    assert "NOT CONVERGED" in seen.err
    assert (stored.status, stored.converged, stored.sensitivity) == ("not converged", False, None)
    assert seen.result["converged"] is False
    assert "sensitivity" not in seen.result


def test_out_of_steps_is_told_even_when_quiet(run):
    seen = run("relax", "--steps", "5", "--quiet", "--json")
    assert seen.code == 3
    assert seen.err == seen.complaint + "\n"


def test_a_saddle_is_not_trusted(run, xyz, tmp_path):
    """Three Lennard-Jones particles in a line are at rest, and fold at a touch."""
    xyz(TRIMER, "dimension=2")
    seen = run("relax", "made.extxyz", "--potential", "lennard-jones", "--sensitivity", "--json")
    assert seen.code == 5
    assert "the derivative is not to be trusted: the point is a saddle" in seen.complaint
    assert "NOT TRUSTED" in seen.err
    stored = io.load(tmp_path / "made.h5md")
    assert stored.converged
    assert not stored.certificate.trusted
    assert "saddle" in stored.certificate.reason
    assert seen.result["sensitivity"]["certificate"]["trusted"] is False


def test_a_loose_minimum_is_not_trusted(run, tmp_path):
    seen = run("relax", "--fmax", "1e-3", "--sensitivity", "--quiet")
    assert seen.code == 5
    assert seen.err == seen.complaint + "\n"
    assert "relax with a smaller fmax" in seen.complaint
    assert not io.load(tmp_path / "packing.h5md").certificate.trusted


def test_a_derivative_that_fails_does_not_cost_the_minimum(run, pair, tmp_path, monkeypatch):
    def fail(*unused, **unused_too):
        raise MemoryError

    monkeypatch.setattr("simsens.cli.run.sensitivity", fail)
    seen = run("relax", pair, *LENNARD_JONES, "--sensitivity", "--fmax", "1e-6", "-q")
    assert (seen.code, seen.made) == (1, ("made.h5md",))
    assert seen.complaint == "simsens: out of memory: use fewer particles or a shorter cutoff"
    assert io.load(tmp_path / "made.h5md").converged


def test_a_signal_stops_the_differentiation_and_saves_the_minimum(run, tmp_path, pair, monkeypatch):
    def terminate(*unused, **unused_too):
        signal.raise_signal(signal.SIGTERM)
        raise AssertionError("the signal was not heeded")

    monkeypatch.setattr("simsens.cli.run.sensitivity", terminate)
    seen = run("relax", pair, *LENNARD_JONES, "--sensitivity", "--fmax", "1e-6", "-q")
    assert (seen.code, seen.made) == (143, ("made.h5md",))
    assert seen.complaint.startswith("simsens: interrupted; what was reached is in made.h5md")
    stored = io.load(tmp_path / "made.h5md")
    assert (stored.converged, stored.sensitivity) == (True, None)


def test_the_unexpected_is_one_line_unless_asked(run, pair, monkeypatch):
    def fail(*unused, **unused_too):
        raise RuntimeError("first\nsecond")

    monkeypatch.setattr("simsens.cli.run.relax_system", fail)
    seen = run("relax", pair, *LENNARD_JONES)
    assert (seen.code, seen.made) == (1, ())
    line = "simsens: unexpected RuntimeError: first second; --traceback shows where"
    assert seen.err.strip() == line
    with pytest.raises(RuntimeError, match="first"):
        run("relax", pair, *LENNARD_JONES, "--traceback")


CHAIN = [f"A {1.1 * k} 0 0" for k in range(2000)]
# A shell may start its jobs deaf to SIGINT; these are not.
HEARING = (
    "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler);"
    "from simsens.cli.main import main; main(sys.argv[1:])"
)


def interrupted(xyz, tmp_path, number):
    """A run of minutes, stopped after its first report; its process and its words."""
    xyz(CHAIN, "dimension=2")
    springs = ["--potential", "harmonic-bonds", "--param", "cutoff=1.2", "--param", "length=1.0"]
    what = ["relax", "made.extxyz", *springs, "--optimizer", "gd", "--sensitivity=stiffness", "-v"]
    process = started(tmp_path, *what, start=(sys.executable, "-c", HEARING))
    for line in process.stderr:
        if line.startswith("step ") and " 0 " not in line[:14]:
            break
    process.send_signal(number)
    _, err = process.communicate(timeout=60)
    return process, err


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_stops_the_run_after_saving(xyz, tmp_path, number, code):
    process, err = interrupted(xyz, tmp_path, number)
    assert process.returncode == code, err
    assert "simsens: interrupted; what was reached is in made.h5md, go on with --resume" in err
    assert "Traceback" not in err
    stored = io.load(tmp_path / "made.h5md")
    assert (stored.converged, stored.criterion) == (False, "stopped on request")
    assert stored.iterations > 0
    assert stored.sensitivity is None
    assert sorted(p.name for p in tmp_path.iterdir()) == ["made.extxyz", "made.h5md"]


def test_a_figure_that_fails_costs_neither_the_result_nor_the_summary(run, tmp_path, monkeypatch):
    def fail(*unused):
        raise OSError("the disk is full")

    monkeypatch.setattr("simsens.plots.save", fail)
    seen = run("relax", "--sensitivity", "--plot", "figure.png", "--json")
    assert seen.code == 1
    assert seen.complaint == "simsens: the disk is full"
    assert "certificate" in seen.err
    assert seen.result["files"] == ["packing.h5md"]
    assert io.load(tmp_path / "packing.h5md").certificate.trusted


@pytest.mark.parametrize(("number", "code"), [(errno.ENOSPC, 1), (errno.EACCES, 2)])
def test_a_full_disk_is_not_bad_input(number, code, capsys):
    error = io.UnwritableFile("made.h5md cannot be written")
    error.__cause__ = OSError(number, os.strerror(number))
    assert told(error) == code
    assert capsys.readouterr().err == "simsens: made.h5md cannot be written\n"


def test_to_go_on_and_to_begin_anew_exclude_each_other(run, tmp_path):
    assert run("relax", "--steps", "5", "-q").code == 3
    before = (tmp_path / "packing.h5md").read_bytes()
    seen = run("relax", "--resume", "--overwrite", "-q")
    assert seen.code == 2
    assert "--resume goes on with a run, --overwrite begins it anew" in seen.complaint
    assert (tmp_path / "packing.h5md").read_bytes() == before
