"""What others make of our files: MDAnalysis, znh5md (ASE) and pyh5md."""

import ase.io
import numpy as np
import pytest

from simsens import io
from simsens.io import exports, result_name
from simsens.io.export_choices import Choices
from simsens.particles.structure import InvalidStructure

CASES = [(d, p, u) for d in (2, 3) for p in (True, False) for u in ("reduced", "metal")]
all_cases = pytest.mark.parametrize(("dimension", "periodic", "units"), CASES)
NAMES = ("Ar", "Kr")


@pytest.fixture(params=["written", "recorded", "killed", "deformed"])
def result(request, tmp_path, structure_of, equilibrium_of, sensitivity_of):
    """A file, and what a reader must find in it: positions, edges, numbers, energies, steps.

    Written at once, or frame by frame as a run goes on; as a run that was killed has left it; or
    with a box of its own for each frame, by a script that deforms it.
    """

    def make(dimension, periodic, units):
        structure = structure_of(dimension, periodic, names=NAMES)
        equilibrium = equilibrium_of(structure)
        path, steps = tmp_path / "run.h5md", [0, 12]
        if request.param == "written":
            io.write(path, equilibrium, sensitivity_of(equilibrium), units=units)
        else:
            steps = [0, 5, 10] if request.param == "killed" else [0, 5, 10, 12]
            with io.record(path, equilibrium.system, every=5, units=units) as record:
                for step in (0, 5, 10):
                    share = step / 12
                    position = (1 - share) * equilibrium.start + share * structure.position
                    box = None
                    if periodic and request.param == "deformed":
                        box = structure.box @ strain(step, dimension)
                    record.frame(step, position, energy_at(step), force_at(step), box)
                if request.param == "killed":
                    path = result_name.partial(path)
                else:
                    record.finish(equilibrium, sensitivity_of(equilibrium))
        frames = np.zeros((len(steps), structure.number, 3))
        for k, step in enumerate(steps):
            share = step / 12
            there = (1 - share) * equilibrium.start + share * structure.position
            frames[k, :, :dimension] = structure.position if step == 12 else there
        edges = np.zeros((len(steps), 3, 3))
        if periodic:
            edges[:] = np.eye(3)
            for k, step in enumerate(steps):
                box = structure.box
                if request.param == "deformed" and step != 12:
                    box = box @ strain(step, dimension)
                edges[k, :dimension, :dimension] = box
        return path, frames, edges, [18, 36] * 3, steps

    return make


def strain(step, dimension):
    """A shear and a compression; none at the end."""
    return np.eye(dimension) * (1 + 0.01 * (step - 12)) + 0.02 * np.eye(dimension, k=-1)


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
        assert np.allclose(found @ found.T, edges[k] @ edges[k].T, rtol=1e-5, atol=1e-4)


@all_cases
def test_znh5md(result, dimension, periodic, units):
    znh5md = pytest.importorskip("znh5md")
    path, frames, edges, numbers, steps = result(dimension, periodic, units)
    images = znh5md.IO(path)[:]
    assert len(images) == len(steps)
    for k, atoms in enumerate(images):
        assert np.array_equal(atoms.positions, frames[k])
        assert np.array_equal(atoms.cell.array, edges[k])
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
        assert np.array_equal(box["edges/value"][:], edges)
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


@all_cases
def test_our_own(result, dimension, periodic, units, tmp_path):
    """Boxes come back frame by frame, in exports as well."""
    path, frames, edges, _, steps = result(dimension, periodic, units)
    with io.open(path) as file:
        box = file.trajectory.box
        if not periodic:
            assert box is None
            return
        assert np.array_equal(box, edges[:, :dimension, :dimension])
        for k in range(len(steps)):
            there = file.trajectory.structure(k)
            assert np.array_equal(there.position, frames[k, :, :dimension])
            assert np.array_equal(there.box, edges[k, :dimension, :dimension])
        frames = Choices(what="trajectory")
        exports.export(file, tmp_path / "all.npz", frames)
        exports.export(file, tmp_path / "all.extxyz", frames)
    cells = [atoms.cell.array for atoms in ase.io.read(tmp_path / "all.extxyz", ":")]
    assert np.allclose(cells, edges, rtol=0, atol=1e-12)
    with np.load(tmp_path / "all.npz") as arrays:
        assert np.array_equal(arrays["trajectory/box"], box)


def test_a_box_that_is_none(tmp_path, structure_of, equilibrium_of):
    system = equilibrium_of(structure_of(2, True)).system
    free = equilibrium_of(structure_of(2, False)).system
    with io.record(tmp_path / "run.h5md", system, every=1) as record:
        with pytest.raises(InvalidStructure, match="volume"):
            record.frame(0, system.structure.position, 0.0, 0.0, [[1, 1], [1, 1]])
        with pytest.raises(InvalidStructure, match="2 edge vectors"):
            record.frame(0, system.structure.position, 0.0, 0.0, np.eye(3))
    with (
        io.record(tmp_path / "free.h5md", free, every=1) as record,
        pytest.raises(InvalidStructure, match="free space"),
    ):
        record.frame(0, free.structure.position, 0.0, 0.0, 4.0)
