"""``simsens relax`` on what people have: their files, their potentials, nothing at all."""

import numpy as np
import pytest

from simsens import io
from tests.cli.conftest import LENNARD_JONES

ARGON_NUMBERS = ["--param", "sigma=3.405", "--param", "epsilon=0.0104", "--param", "cutoff=6.0"]
ARGON_MODEL = ["--potential", "lennard-jones", *ARGON_NUMBERS]


def test_without_a_structure_the_packing_of_the_paper_is_relaxed(packed):
    assert packed.code == 0
    assert packed.made == ("figure.png", "packing.h5md")
    stored = io.load(packed.folder / "packing.h5md")
    assert stored.status == "complete"
    assert stored.structure.number == 128
    np.testing.assert_allclose(stored.structure.box, 8.352016507 * np.eye(2), rtol=1e-9)
    assert stored.parameters == ("diameter[B]",)
    assert stored.certificate.trusted
    assert stored.max_force <= stored.fmax == 1e-10


def test_the_summary_has_ten_lines_and_the_verdict(packed):
    lines = packed.err.splitlines()
    labels = [line[:12].strip() for line in lines]
    assert labels == [
        "structure", "potential", "relaxation", "steps", "energy", "max force",
        "sensitivity", "certificate", "holds for", "written",
    ]  # fmt: skip
    assert "128" not in lines[0]
    assert "64 B, 64 A" in lines[0]
    assert "converged: max force <= fmax" in lines[2]
    assert "trusted: the relative error of every derivative is at most" in lines[7]
    assert "packing.h5md, figure.png" in lines[9]


def test_the_json_tells_what_the_file_holds(packed):
    stored, told = io.load(packed.folder / "packing.h5md"), packed.result
    assert told["converged"] is True
    assert told["energy"] == stored.energy
    assert told["files"] == ["packing.h5md", "figure.png"]
    slope = told["sensitivity"]
    assert slope["parameters"] == ["diameter[B]"]
    assert slope["values"] == [0.6]
    assert slope["certificate"]["trusted"] is True
    largest = np.linalg.norm(stored.position_derivative, axis=1).max(axis=0)
    np.testing.assert_allclose(slope["largest"], largest)
    assert set(slope["observables"]) == set(stored.observables)


def test_the_figure_is_drawn(packed):
    assert (packed.folder / "figure.png").read_bytes().startswith(b"\x89PNG")


def test_provenance_repeats_the_run(packed, run, tmp_path):
    """The stored settings, given back as a configuration, ask for the same run."""
    facts = io.load(packed.folder / "packing.h5md").provenance
    assert facts["seed"] == 0
    assert facts["argv"].startswith("simsens")
    (tmp_path / "again.toml").write_text(facts["config"])
    again = run("relax", "--config", "again.toml", "--output", "again.h5md", "--json")
    assert again.code == 0
    assert again.result["energy"] == packed.result["energy"]
    assert again.result["sensitivity"] == packed.result["sensitivity"]


def test_argon_from_extended_xyz(argon):
    """A bare --sensitivity leaves the file's name alone, and means every parameter."""
    assert argon.code == 0, argon.err
    assert argon.made == ("argon_vacancy.h5md",)
    assert "255 Ar, 3-D, periodic in xyz" in argon.err
    assert argon.out == ""
    stored = io.load(argon.folder / "argon_vacancy.h5md")
    assert stored.parameters == ("sigma", "epsilon")
    assert stored.units == "metal"
    assert stored.provenance["input"] == "argon_vacancy.extxyz"
    # The minimum does not move with the depth of the well: it only scales the energy.
    np.testing.assert_allclose(stored.position_derivative[..., 1], 0, atol=1e-9)
    energy, slope = stored.observables["energy"]
    np.testing.assert_allclose(slope[1], energy / 0.0104, rtol=1e-9)


@pytest.mark.parametrize(
    ("name", "form"),
    [("argon.cif", "cif"), ("POSCAR", "vasp"), ("argon.data", "lammps-data")],
)
def test_what_ase_reads(run, crystal, tmp_path, name, form):
    more = {"lammps-data": {"atom_style": "atomic", "units": "metal"}, "vasp": {"direct": True}}
    crystal.write(tmp_path / name, format=form, **more.get(form, {}))
    seen = run("relax", name, *ARGON_MODEL, "--sensitivity=sigma", "--json", "-o", "out.h5md")
    assert seen.code == 0, seen.err
    assert "32" in seen.err.splitlines()[0]
    # The perfect crystal, whatever the file: at rest by symmetry in any box.
    told = seen.result
    assert told["converged"]
    stored = io.load(tmp_path / "out.h5md")
    assert -0.09 < stored.energy / 32 < -0.06
    assert told["sensitivity"]["largest"][0] < 1e-9


def test_a_result_is_a_structure_again(run, argon, tmp_path):
    model = ["--potential", "lennard-jones", "--param", "sigma=3.405", "--param", "cutoff=8.5"]
    model += ["--param", "epsilon=0.0104", "--param", "onset=7.5"]
    seen = run("relax", argon.folder / "argon_vacancy.h5md", *model, "--json")
    assert seen.code == 0, seen.err
    assert seen.result["iterations"] == 0
    assert seen.made == ("argon_vacancy.h5md",)


def test_a_result_brings_its_law_and_its_units(run, argon, tmp_path):
    before = argon.folder / "argon_vacancy.h5md"
    seen = run("relax", before, "--sensitivity=sigma", "--json", "-o", "same.h5md")
    assert seen.code == 0, seen.err
    assert seen.result["iterations"] == 0
    old, new = io.load(before), io.load(tmp_path / "same.h5md")
    assert (new.theta, new.units) == (old.theta, old.units)
    assert new.energy == pytest.approx(old.energy, rel=1e-12)
    seen = run("relax", before, "--param", "sigma=3.41", "-o", "other.h5md", "-q")
    assert seen.code == 0, seen.err
    assert io.load(tmp_path / "other.h5md").theta == {**old.theta, "sigma": 3.41}
    seen = run("relax", before, "--param", "sigam=3.41", "-o", "none.h5md")
    assert (seen.code, seen.made) == (2, ())
    assert "did you mean 'sigma'?" in seen.complaint


def test_species_of_any_name_in_two_dimensions(run, xyz, tmp_path):
    rows = ["bead-1 0.1 0.1 0", "Öl 1.0 0.2 0", "bead-1 0.4 1.0 0", "a=b 1.3 1.2 0"]
    xyz(rows, 'Lattice="2 0 0 0 2 0 0 0 1" pbc="T T F" dimension=2')
    sizes = ["--param", "diameter[bead-1]=1.2", "--param", "diameter[Öl]=1.1"]
    model = ["--potential", "soft-sphere", *sizes, "--param", "diameter[a=b]=1.3"]
    seen = run("relax", "made.extxyz", *model)
    assert seen.code == 0, seen.err
    assert "2 bead-1, 1 Öl, 1 a=b, 2-D, periodic in xy" in seen.err
    assert io.load(tmp_path / "made.h5md").theta["diameter[a=b]"] == 1.3
    plan = run("relax", "made.extxyz", *model, "--sensitivity=diameter[a=b],epsilon", "--dry-run",
               "-o", "other.h5md")  # fmt: skip
    assert "sensitivity diameter[a=b], epsilon\n" in plan.err


SPRING = """
import jax.numpy as jnp
def energy(position, displacement, length=1.0, stiffness=2.0):
    d = displacement(position[0], position[1])
    return stiffness * (jnp.sqrt(jnp.sum(d**2)) - length) ** 2
"""


def test_a_function_of_the_users_own(run, pair, tmp_path):
    (tmp_path / "my.py").write_text(SPRING)
    arguments = ["--potential", "my.py:energy", "--param", "length=1.5", "--sensitivity=length"]
    seen = run("relax", pair, *arguments, "--json")
    assert seen.code == 0, seen.err
    position = io.load(tmp_path / "made.h5md").structure.position
    assert np.linalg.norm(position[1] - position[0]) == pytest.approx(1.5)
    # Each end takes half of the change of length.
    assert seen.result["sensitivity"]["largest"] == [pytest.approx(0.5)]


@pytest.mark.filterwarnings("ignore")
def test_a_function_of_jax_md(run, packed):
    name = "jax_md.energy:soft_sphere_pair"
    seen = run(
        "relax", packed.folder / "packing.h5md", "--potential", name,
        "--param", "sigma=0.8", "--steps", "3", "--json", "-o", "out.h5md",
    )  # fmt: skip
    assert seen.code == 3, seen.err
    assert seen.result["iterations"] == 3
    assert "EnergyFunction, sigma = 0.8, epsilon = 1, alpha = 2" in seen.err


def test_springs_between_close_particles(run, xyz):
    """A stretched chain of three beads; its springs are at rest as they stand."""
    xyz(["A 0 0 0", "A 1 0 0", "A 1.5 0.8 0"], "dimension=2")
    arguments = ["--potential", "harmonic-bonds", "--param", "cutoff=2.5"]
    seen = run("relax", "made.extxyz", *arguments, "--sensitivity=length", "--json")
    assert seen.code == 0, seen.err
    assert seen.result["energy"] == pytest.approx(0, abs=1e-20)
    assert seen.result["sensitivity"]["parameters"] == ["length[0]", "length[1]", "length[2]"]


def test_fixed_particles_stay(run, pair, tmp_path):
    seen = run("relax", pair, *LENNARD_JONES, "--fixed", "0", "--json")
    assert seen.code == 0, seen.err
    assert "1 fixed" in seen.err
    stored = io.load(tmp_path / "made.h5md")
    assert (stored.structure.position[0] == 0).all()
    assert stored.structure.fixed.tolist() == [True, False]


@pytest.mark.parametrize("name", ["fire2", "abc-fire", "precon-fire"])
def test_other_optimizers(run, pair, tmp_path, name):
    seen = run("relax", pair, *LENNARD_JONES, "--optimizer", name, "--json")
    assert seen.code == 0, seen.err
    assert f" of {name}, " in seen.err
    stored = io.load(tmp_path / "made.h5md")
    assert stored.optimizer == name
    assert stored.max_force <= 1e-6


def test_an_optimizer_that_an_energy_is_not_for(refused, pair, tmp_path):
    (tmp_path / "my.py").write_text(SPRING)
    wish = ["--potential", "my.py:energy", "--optimizer", "precon-fire"]
    for more in ([], ["--dry-run"]):
        assert "use fire, gd, fire2 or abc-fire" in refused(pair, *wish, *more)


def test_quiet_says_nothing(run, pair):
    seen = run("relax", pair, *LENNARD_JONES, "--quiet")
    assert (seen.code, seen.out, seen.err) == (0, "", "")


def test_verbose_logs_where_there_is_no_terminal(run, pair):
    seen = run("relax", pair, *LENNARD_JONES, "-v")
    logged = [line for line in seen.err.splitlines() if line.startswith("step ")]
    assert len(logged) >= 2
    assert logged[0].split()[:2] == ["step", "0"]
    assert "\r" not in seen.err
    assert "\x1b" not in seen.err


def test_verbose_tells_the_solver_and_its_cost(run, pair):
    seen = run("relax", pair, *LENNARD_JONES, "--sensitivity", "-v")
    assert "6 unknowns by dense: some" in seen.err
    assert "unknowns by" not in run("relax", pair, *LENNARD_JONES, "--sensitivity").err


def test_a_rehearsal_writes_nothing_and_compiles_nothing(run, argon):
    import jax

    compiled = []

    def listen(event, seconds, **unused):
        compiled.append(event) if "backend_compile" in event else None

    jax.monitoring.register_event_duration_secs_listener(listen)
    try:
        seen = run("relax", argon.folder / "argon_vacancy.h5md", *ARGON_MODEL, "--dry-run")
        bare = run("relax", "--sensitivity", "--dry-run", "--plot", "figure.png")
    finally:
        jax.monitoring.unregister_event_duration_listener(listen)
    assert (seen.code, bare.code) == (0, 0)
    assert seen.made == bare.made == ()
    assert compiled == []
    assert "dense, 765 unknowns" in seen.err
    assert "diameter[B]" in bare.err
    assert "nothing written: dry run" in bare.err


def test_units_and_seed_reach_the_file(run, tmp_path):
    seen = run("relax", "--seed", "3", "--steps", "0", "--units", "metal", "-q")
    assert seen.code == 3
    stored = io.load(tmp_path / "packing.h5md")
    assert stored.provenance["seed"] == 3
    assert stored.units == "metal"
    from simsens import packing

    np.testing.assert_array_equal(stored.start, packing(seed=3).structure.position)


def test_without_a_structure_the_packing_can_have_three_dimensions(run):
    seen = run("relax", "--dimension", "3", "--dry-run")
    assert seen.code == 0
    assert "3-D, periodic in xyz" in seen.err
