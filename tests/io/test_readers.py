"""What others make of our files: MDAnalysis, znh5md (ASE) and pyh5md."""

import numpy as np
import pytest

from simsens import io
from simsens.io import result_name

CASES = [(d, p, u) for d in (2, 3) for p in (True, False) for u in ("reduced", "metal")]
all_cases = pytest.mark.parametrize(("dimension", "periodic", "units"), CASES)
NAMES = ("Ar", "Kr")


@pytest.fixture(params=["written", "recorded", "killed"])
def result(request, tmp_path, structure_of, equilibrium_of, sensitivity_of):
    """A file, and what a reader must find in it: positions, edges, numbers, energies, steps.

    Written at once, or frame by frame as a run goes on; or as a run that was killed has left it.
    """

    def make(dimension, periodic, units):
        structure = structure_of(dimension, periodic, names=NAMES)
        equilibrium = equilibrium_of(structure)
        path, steps = tmp_path / "run.h5md", [0, 12]
        if request.param == "written":
            io.write(path, equilibrium, sensitivity_of(equilibrium), units=units)
        else:
            steps = [0, 5, 10, 12] if request.param == "recorded" else [0, 5, 10]
            with io.record(path, equilibrium.system, every=5, units=units) as record:
                for step in (0, 5, 10):
                    share = step / 12
                    position = (1 - share) * equilibrium.start + share * structure.position
                    record.frame(step, position, energy_at(step), force_at(step))
                if request.param == "recorded":
                    record.finish(equilibrium, sensitivity_of(equilibrium))
                else:
                    path = result_name.partial(path)
        frames = np.zeros((len(steps), structure.number, 3))
        for k, step in enumerate(steps):
            share = step / 12
            there = (1 - share) * equilibrium.start + share * structure.position
            frames[k, :, :dimension] = structure.position if step == 12 else there
        edges = np.eye(3)
        if periodic:
            edges[:dimension, :dimension] = structure.box
        return path, frames, edges if periodic else np.zeros((3, 3)), [18, 36] * 3, steps

    return make


def energy_at(step):
    return {0: 3.5, 12: 1 / 3}.get(step, float(step))


def force_at(step):
    return {0: 0.75, 12: 1e-11}.get(step, step / 100)


@all_cases
@pytest.mark.filterwarnings("ignore::DeprecationWarning:MDAnalysis")
def test_mdanalysis(result, dimension, periodic, units):
    mda = pytest.importorskip("MDAnalysis")
    from MDAnalysis.lib.mdamath import triclinic_vectors

    path, frames, edges, _, steps = result(dimension, periodic, units)
    if units == "metal":
        universe = mda.Universe(str(path), to_guess=())
    else:
        universe = mda.Universe.empty(frames.shape[1], trajectory=True)
        universe.load_new(str(path), convert_units=False)
    assert universe.trajectory.n_frames == len(steps)
    for k, ts in enumerate(universe.trajectory):
        # MDAnalysis keeps float32.
        assert np.array_equal(ts.positions, frames[k].astype(np.float32))
        assert ts.data["trajectory/potential_energy"] == energy_at(steps[k])
        assert ts.data["trajectory/max_force"] == force_at(steps[k])
        assert ts.data["step"] == steps[k]
        if not periodic:
            assert ts.dimensions is None
            continue
        # It turns the box into lengths and angles: the Gram matrix is what can be compared.
        found = triclinic_vectors(ts.dimensions)
        assert np.allclose(found @ found.T, edges @ edges.T, rtol=1e-5, atol=1e-4)


@all_cases
def test_znh5md(result, dimension, periodic, units):
    znh5md = pytest.importorskip("znh5md")
    path, frames, edges, numbers, steps = result(dimension, periodic, units)
    images = znh5md.IO(path)[:]
    assert len(images) == len(steps)
    for k, atoms in enumerate(images):
        assert np.array_equal(atoms.positions, frames[k])
        assert np.array_equal(atoms.cell.array, edges)
        assert atoms.pbc.tolist() == [periodic, periodic, periodic and dimension == 3]
        assert atoms.numbers.tolist() == numbers
        assert atoms.get_potential_energy() == energy_at(steps[k])


@all_cases
def test_pyh5md(result, dimension, periodic, units):
    pyh5md = pytest.importorskip("pyh5md")
    path, frames, edges, numbers, steps = result(dimension, periodic, units)
    with pyh5md.File(str(path), "r") as file:
        group = file.particles_group("trajectory")
        position = pyh5md.element(group, "position")
        assert np.array_equal(position.value[:], frames)
        assert np.array_equal(position.step[:], steps)
        box = group["box"]
        assert np.array_equal(box["edges/value"][:], [edges] * len(steps))
        assert list(box.attrs["boundary"]) == [
            "periodic" if b else "none" for b in (periodic, periodic, periodic and dimension == 3)
        ]
        species = pyh5md.element(group, "species")
        assert species.value[:].tolist() == [numbers] * len(steps)
        measured = pyh5md.element(file["observables/trajectory"], "potential_energy")
        assert measured.value[:].tolist() == [energy_at(step) for step in steps]


def test_names_without_an_atomic_number(tmp_path, structure_of, equilibrium_of):
    """Model species arrive as numbers counted from one; their names are in ``/simsens``."""
    znh5md = pytest.importorskip("znh5md")
    path = tmp_path / "run.h5"
    io.write(path, equilibrium_of(structure_of(names=("A", "bead1"))))
    assert znh5md.IO(path)[-1].numbers.tolist() == [1, 2] * 3
    assert io.read(path).species_names == ("A", "bead1")


def test_mdanalysis_wants_units_or_to_be_told(result):
    """The reason for ``convert_units=False`` in the docs: if this fails, they can be simpler."""
    mda = pytest.importorskip("MDAnalysis")
    path, frames, _, _, _ = result(3, True, "reduced")
    universe = mda.Universe.empty(frames.shape[1], trajectory=True)
    with pytest.raises(ValueError, match="units"):
        universe.load_new(str(path))
