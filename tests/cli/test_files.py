"""Commands that look at files (info, validate, merge), and at the machine (doctor, completion)."""

import json
import subprocess
import sys
import tomllib

import h5py
import numpy as np
import pytest

from simsens import io
from simsens.cli import doctor
from simsens.io import ensemble
from simsens.io.errors import UnreadableFile
from tests.cli.conftest import simsens, started


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """Two packings with derivatives, one without."""
    folder = tmp_path_factory.mktemp("results")
    small = ["--param", "diameter[B]=0.6", "--param", "diameter[A]=1.0", "-q"]
    for name, more in {
        "a": ["--sensitivity"], "b": ["--sensitivity", "--seed", "1"], "plain": []
    }.items():  # fmt: skip
        assert simsens(folder, "relax", *small, *more, "-o", f"{name}.h5md").code == 0
    return folder


# info


def test_info_tells_what_is_in_a_file(results):
    seen = simsens(results, "info", "a.h5md")
    assert (seen.code, seen.err, seen.made) == (0, "", ())
    told = {line[:12].strip(): line[12:] for line in seen.out.splitlines()}
    assert told["file"] == "a.h5md: complete"
    assert told["structure"] == "64 B, 64 A, 2-D, periodic, reduced units"
    assert told["trajectory"].startswith("2 frames, to step ")
    assert told["certificate"].startswith("trusted: ")
    assert told["by"].startswith("simsens")


def test_info_for_programs(results):
    one = json.loads(simsens(results, "info", "a.h5md", "--json").out)
    assert one["minimum"]["converged"] is True
    assert one["sensitivity"]["parameters"] == ["diameter[B]"]
    two = json.loads(simsens(results, "info", "a.h5md", "plain.h5md", "--json").out)
    assert [each["file"] for each in two] == ["a.h5md", "plain.h5md"]
    assert "sensitivity" not in two[1]


def test_the_configuration_repeats_the_run(results, tmp_path):
    (tmp_path / "again.toml").write_text(simsens(results, "info", "b.h5md", "--config").out)
    assert tomllib.loads((tmp_path / "again.toml").read_text())["seed"] == 1
    assert simsens(tmp_path, "relax", "--config", "again.toml", "-q").code == 0
    with h5py.File(tmp_path / "b.h5md") as one, h5py.File(results / "b.h5md") as other:
        for name in ("minimum/position", "sensitivity/dR_dtheta"):
            np.testing.assert_array_equal(one["simsens"][name], other["simsens"][name])


def test_the_tree(results):
    out = simsens(results, "info", "a.h5md", "--tree").out
    assert "dR_dtheta  float64 [128, 2, 1] gzip" in out
    assert "certificate/" in out


def test_info_refuses(results, tmp_path):
    (tmp_path / "words.h5md").write_text("words")
    for arguments, words in (
        (("words.h5md",), "cannot be read as HDF5"),
        (("missing.h5md",), "does not exist"),
        ((), "Missing argument"),
        (("words.h5md", "--json", "--tree"), "exclude each other"),
    ):
        seen = simsens(tmp_path, "info", *arguments)
        assert (seen.code, seen.out) == (2, "")
        assert words in seen.complaint


# validate


def test_a_run_in_single_precision_is_valid(run, tmp_path):
    """Its default fmax can be reached, and what it writes is what the schema says."""
    asked = ("--sensitivity", "--moduli", "--modes", "4", "--dtype", "float32", "-q")
    assert run("relax", *asked).code in (0, 5)  # trusted or not, it converged
    seen = run("validate", "packing.h5md", "-q")
    assert (seen.code, seen.out) == (0, "")
    stored = io.load(tmp_path / "packing.h5md")
    assert stored.converged
    assert stored.structure.position.dtype == np.float32


def test_validate(results, tmp_path):
    seen = simsens(results, "validate", "a.h5md", "plain.h5md")
    assert (seen.code, seen.out) == (0, "a.h5md: right\nplain.h5md: right\n")
    copy = tmp_path / "copy.h5md"
    copy.write_bytes((results / "a.h5md").read_bytes())
    with h5py.File(copy, "r+") as file:
        del file["simsens/certificate"]
    (tmp_path / "b.h5md").write_bytes((results / "b.h5md").read_bytes())
    seen = simsens(tmp_path, "validate", "copy.h5md", "b.h5md", "-q")
    assert seen.code == 4
    assert all(line.startswith("copy.h5md: ") for line in seen.out.splitlines())
    assert "sensitivity and certificate" in seen.out


# merge


def test_merge_copies(results):
    seen = simsens(results, "merge", "a.h5md", "b.h5md", "-o", "all.h5")
    assert (seen.code, seen.made) == (0, ("all.h5",))
    found = ensemble.load(results / "all.h5")
    assert found.names == ("a.h5md", "b.h5md")
    assert found.trusted.all()
    with h5py.File(results / "b.h5md") as file:
        slope = file["simsens/sensitivity/dR_dtheta"][()]
        energy = file["simsens/minimum"].attrs["energy"]
        total = file["simsens/sensitivity/observables/energy/denergy_dtheta"][()]
    np.testing.assert_array_equal(found.position_derivative[1], slope)
    assert found.energy[1] == energy
    np.testing.assert_array_equal(found.observables["energy"][1][1], total)
    again = simsens(results, "merge", "a.h5md", "b.h5md", "-o", "all.h5")
    assert again.code == 2
    assert "exists" in again.complaint


def test_virtual_members_are_verified(results, tmp_path):
    for name in ("a.h5md", "b.h5md"):
        (tmp_path / name).write_bytes((results / name).read_bytes())
    assert simsens(tmp_path, "merge", "a.h5md", "b.h5md", "-o", "all.h5", "--virtual").code == 0
    found = ensemble.load(tmp_path / "all.h5")
    with h5py.File(tmp_path / "b.h5md") as file:
        position = file["simsens/minimum/position"][()]
    np.testing.assert_array_equal(found.position[1], position)
    with h5py.File(tmp_path / "all.h5") as file:
        np.testing.assert_array_equal(file["simsens_ensemble/position"][1], position)
    with h5py.File(tmp_path / "b.h5md", "r+") as file:
        file["simsens/minimum/position"][0, 0] += 1e-9
    with pytest.raises(UnreadableFile, match=r"the member b\.h5md has changed: merge again"):
        ensemble.load(tmp_path / "all.h5")
    (tmp_path / "b.h5md").unlink()
    with pytest.raises(UnreadableFile, match=r"the member b\.h5md is missing"):
        ensemble.load(tmp_path / "all.h5")


def test_a_merged_file_does_not_reach_out_of_its_folder(results, tmp_path):
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "a.h5md").write_bytes((results / "a.h5md").read_bytes())
    assert simsens(folder, "merge", "a.h5md", "-o", "all.h5", "--virtual").code == 0
    with h5py.File(folder / "all.h5", "r+") as file:
        file["simsens_ensemble/member/name"][0] = "../../secret.h5md"
    with pytest.raises(UnreadableFile, match="lies outside the folder"):
        ensemble.load(folder / "all.h5")
    seen = simsens(folder, "merge", str(results / "b.h5md"), "-o", "b.h5", "--virtual")
    assert (seen.code, seen.made) == (2, ())
    assert "does not lie beside or below" in seen.complaint


def test_merge_refuses(results):
    for arguments, words in (
        (("a.h5md", "plain.h5md", "-o", "no.h5"), "does not fit a.h5md: derivatives by none"),
        (("a.h5md", "a.h5md", "-o", "no.h5"), "given twice"),
        (("a.h5md", "-o", "no.h5md"), "ends in .h5"),
        (("a.h5md",), "Missing option"),
        (("a.h5md", "-o", "no/where.h5"), "no folder"),
    ):
        seen = simsens(results, "merge", *arguments)
        assert (seen.code, seen.made) == (2, ()), seen.err
        assert words in seen.complaint
    with pytest.raises(UnreadableFile, match="is no merged file"):
        ensemble.load(results / "a.h5md")


# doctor


def test_the_doctor_finds_this_machine_well(tmp_path):
    seen = simsens(tmp_path, "doctor", "--json")
    assert (seen.code, seen.made) == (0, ())
    told = json.loads(seen.out)
    assert set(told["checks"].values()) == {"well"}
    assert told["float64"] is True


def test_the_doctor_sees_wrong_numbers(tmp_path, monkeypatch):
    """A compiler that drops what lies beyond 16384 rows, as that of jax 0.10.2 does."""
    import jax

    compiled = jax.jit
    monkeypatch.setattr(jax, "jit", lambda f: compiled(lambda rows: f(rows).at[16384:].set(0.0)))
    assert "WRONG: a compiled sum is off by" in doctor._numbers()
    seen = simsens(tmp_path, "doctor")
    assert seen.code == 4
    assert "numbers             WRONG" in seen.out


def test_the_doctor_sees_where_nothing_can_be_kept(tmp_path, monkeypatch):
    monkeypatch.setattr(doctor, "version", lambda package: "0.10.2")
    assert "jax 0.10.2 computes wrong numbers" in doctor._excluded()
    monkeypatch.undo()
    faults = doctor._files(tmp_path / "missing")
    assert list(faults) == ["this folder"]
    assert faults["this folder"].startswith("cannot be written (No such file or directory): run")
    assert doctor._files(tmp_path) == {"locks here": "", "links here": ""}


def test_the_doctor_sees_files_that_cannot_be_locked_or_linked(tmp_path, monkeypatch):
    def refused(*arguments):
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr("fcntl.flock", refused)
    monkeypatch.setattr("os.link", refused)
    faults = doctor._files(tmp_path)
    assert "files cannot be locked (Operation not supported)" in faults["locks here"]
    assert "no hard links (Operation not supported)" in faults["links here"]


# completion


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts(tmp_path, shell):
    seen = simsens(tmp_path, "completion", shell)
    assert seen.code == 0
    assert "_SIMSENS_COMPLETE" in seen.out


def test_a_shell_completes(tmp_path):
    words = {"_SIMSENS_COMPLETE": "bash_complete", "COMP_WORDS": "simsens rel", "COMP_CWORD": "1"}
    out, _ = started(tmp_path, env=words).communicate(timeout=60)
    assert out.split() == ["plain,relax"]


def test_an_unknown_shell_and_an_unknown_command(tmp_path):
    assert "'csh' is not one of" in simsens(tmp_path, "completion", "csh").complaint
    assert "did you mean 'info'?" in simsens(tmp_path, "inof", "x.h5md").complaint


# What is loaded


def test_looking_at_a_file_starts_no_backend(results):
    """A second, not ten: info, validate and merge compute nothing."""
    code = (
        "import sys; from simsens.cli.main import main\n"
        "try: main(['info', 'a.h5md'])\n"
        "except SystemExit: pass\n"
        "from jax._src import xla_bridge\n"
        "print(xla_bridge._backends, 'jax_md' in sys.modules, 'matplotlib' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=results, capture_output=True, text=True)
    assert done.stdout.splitlines()[-1] == "{} False False", done.stderr
