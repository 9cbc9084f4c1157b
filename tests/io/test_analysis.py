"""From a file to what one wants to know: exact round trips, lazy frames, tables, predictions."""

import warnings
from dataclasses import fields, is_dataclass

import h5py
import jax.numpy as jnp
import numpy as np
import pytest

from simsens import (
    EnergyFunction,
    HarmonicBonds,
    LennardJones,
    Morse,
    SoftSphere,
    Structure,
    System,
    elastic_moduli,
    io,
    normal_modes,
    packing,
    relax,
    sensitivity,
)
from simsens.io.errors import MissingPackage, UnreadableFile
from simsens.particles.parameters import UnknownParameter
from simsens.response.prediction import OutsideRange

ENGINE = {"engine": "h5netcdf", "phony_dims": "access"}
PACKING = packing(number=16, seed=1)


@pytest.fixture(scope="module")
def found():
    equilibrium = relax(PACKING, fmax=1e-10)
    return (
        equilibrium, sensitivity(equilibrium), elastic_moduli(equilibrium),
        normal_modes(equilibrium),
    )  # fmt: skip


@pytest.fixture(scope="module")
def file(tmp_path_factory, found):
    path = tmp_path_factory.mktemp("analysis") / "run.h5md"
    with io.record(path, PACKING, every=10) as record:
        record.finish(
            relax(PACKING, fmax=1e-10, record=record), found[1], moduli=found[2], modes=found[3]
        )
    return path


def same(one, other):
    """Field by field, bit for bit, and of the same kind."""
    assert type(one) is type(other)
    if is_dataclass(one):
        for field in fields(one):
            same(getattr(one, field.name), getattr(other, field.name))
    elif isinstance(one, dict):
        assert list(one) == list(other)
        for key in one:
            same(one[key], other[key])
    elif isinstance(one, tuple):
        assert len(one) == len(other)
        for a, b in zip(one, other):
            same(a, b)
    elif isinstance(one, np.ndarray):
        assert one.dtype == other.dtype
        np.testing.assert_array_equal(one, other)
    else:
        assert one == other or (one != one and other != other)


# Round trips


def test_every_noun_comes_back(file, found):
    stored = io.load(file)
    equilibrium, slope, moduli, modes = found
    same(stored.sensitivity, slope)
    same(stored.moduli, moduli)
    same(stored.modes, modes)
    back = stored.equilibrium
    same(back.system.potential, equilibrium.system.potential)
    for name in (
        "energy",
        "max_force",
        "iterations",
        "converged",
        "criterion",
        "fmax",
        "optimizer",
    ):
        same(getattr(back, name), getattr(equilibrium, name))
    np.testing.assert_array_equal(back.position, equilibrium.position)
    np.testing.assert_array_equal(back.start, equilibrium.start)
    # What is computed from it is what was computed before.
    np.testing.assert_array_equal(sensitivity(back).position, slope.position)


POTENTIALS = [
    SoftSphere(diameter={"B": 0.6, "A": 1.0}, epsilon=2.0, alpha=2.5),
    SoftSphere(diameter={"A,A": 1.0, "A,B": 0.7, "B,B": 0.6}),
    LennardJones(sigma=0.1 + 0.2, cutoff=2.5, onset=2.0, mode="smooth"),
    LennardJones(),
    Morse(cutoff=3.0),
    HarmonicBonds(bonds=[[0, 1], [1, 2]], stiffness=[1.0, 1 / 3], length=1.0),
]


@pytest.mark.parametrize("potential", POTENTIALS)
def test_every_potential_comes_back(tmp_path, equilibrium_of, structure_of, potential):
    structure = structure_of(3, periodic=False)
    equilibrium = equilibrium_of(structure)
    system = System(structure, potential)
    io.write(tmp_path / "x.h5md", type(equilibrium)(**{**vars(equilibrium), "system": system}))
    back = io.load(tmp_path / "x.h5md").equilibrium.system
    assert type(back.potential) is type(potential)
    assert back.parameter_names == system.parameter_names
    for field in fields(potential):
        one, other = getattr(back.potential, field.name), getattr(potential, field.name)
        assert np.array_equal(one, other) if isinstance(other, np.ndarray) else one == other


def test_an_energy_of_ones_own_is_given_again(tmp_path):
    law = EnergyFunction(lambda position, k=2.0: jnp.sum(k * position**2))
    equilibrium = relax(System(Structure(np.ones((3, 2))), law), fmax=1e-8)
    io.write(tmp_path / "x.h5md", equilibrium)
    stored = io.load(tmp_path / "x.h5md")
    with pytest.raises(ValueError, match="with_potential"):
        _ = stored.equilibrium
    assert stored.with_potential(law).system.parameter_names == ("k",)


def test_single_precision_comes_back_as_it_was(tmp_path, structure_of, equilibrium_of):
    structure = structure_of()
    structure = structure.with_position(structure.position.astype(np.float32))
    equilibrium = equilibrium_of(structure)
    single = type(equilibrium)(
        **{**vars(equilibrium), "start": np.asarray(equilibrium.start, np.float32)}
    )
    io.write(tmp_path / "x.h5md", single)
    stored = io.load(tmp_path / "x.h5md")
    assert stored.structure.position.dtype == stored.start.dtype == np.float32
    np.testing.assert_array_equal(stored.structure.position, structure.position)


def test_a_potential_that_is_made_up_is_refused(file, tmp_path):
    copy = tmp_path / "x.h5md"
    copy.write_bytes(file.read_bytes())
    with h5py.File(copy, "r+") as opened:
        opened["simsens/potential"].attrs["name"] = "os.system"
    with pytest.raises(UnreadableFile, match=r"unknown potential 'os\.system'; known are soft"):
        io.load(copy)
    with h5py.File(copy, "r+") as opened:
        opened["simsens/potential"].attrs["name"] = "soft-sphere"
        opened["simsens/potential"].attrs["alpha"] = 1.0
    with pytest.raises(UnreadableFile, match="cannot be made again"):
        io.load(copy)


# Frames


def test_frames_are_read_one_by_one(file, found):
    with io.open(file) as result:
        frames = result.trajectory
        everything = frames[:]
        assert everything.shape == (len(frames), 16, 2)
        for k in (0, 3, -1):
            np.testing.assert_array_equal(frames[k], everything[k])
        for part in (slice(2, 9, 3), slice(None, None, -2), slice(5, 5), slice(-3, None)):
            np.testing.assert_array_equal(frames[part], everything[part])
        for particle in (0, 7, -1):
            np.testing.assert_array_equal(frames.particle(particle), everything[:, particle])
        same(frames.structure(-1).names(), PACKING.structure.names())
        assert len(frames) == len(frames.step) == len(frames.energy) == len(frames.max_force)
        for wrong in (len(frames), -len(frames) - 1):
            with pytest.raises(IndexError, match=f"there is no frame {wrong}"):
                frames[wrong]
        with pytest.raises(IndexError, match="there is no particle 16; there are 16"):
            frames.particle(16)


def test_too_much_at_once_is_refused(file, monkeypatch):
    monkeypatch.setattr("simsens.io.trajectory.MOST", 1000)
    with io.open(file) as result, pytest.raises(MemoryError, match="take fewer at a time"):
        result.trajectory[:]


def test_what_is_not_asked_for_is_not_read(file, monkeypatch):
    read = []
    original = h5py.Dataset.__getitem__

    def spy(dataset, *arguments, **more):
        read.append(dataset.name)
        return original(dataset, *arguments, **more)

    monkeypatch.setattr(h5py.Dataset, "__getitem__", spy)
    with io.open(file) as result:
        result.about()
        large = ("position/value", "minimum/position", "structure/start", "dR_dtheta", "mode")
        assert [name for name in read if name.endswith(large)] == []
        _ = result.trajectory[2]
        assert read.count("/particles/trajectory/position/value") == 1


@pytest.mark.parametrize("name", ["missing.h5md", "words.h5md"])
def test_what_cannot_be_opened(tmp_path, name):
    (tmp_path / "words.h5md").write_text("not HDF5")
    with pytest.raises(UnreadableFile, match=name):
        io.open(tmp_path / name)


def test_the_brief_and_the_tree(file, found):
    with io.open(file) as result:
        about, tree = result.about(), result.tree()
    assert about["particles"] == 16
    assert about["status"] == "complete"
    assert about["minimum"]["energy"] == found[0].energy
    assert about["sensitivity"]["parameters"] == list(found[1].parameters)
    assert about["certificate"]["trusted"] is True
    assert about["holds"] == ["sensitivity", "moduli", "modes"]
    assert any(line.strip().startswith("dR_dtheta  float64 [16, 2, 3]") for line in tree)


def test_the_tree_follows_no_link_and_no_circle(file, tmp_path):
    copy = tmp_path / "x.h5md"
    copy.write_bytes(file.read_bytes())
    with h5py.File(copy, "r+") as opened:
        opened["simsens/again"] = opened["simsens"]
        opened["simsens/away"] = h5py.ExternalLink("/etc/passwd", "x")
    with io.open(copy) as result:
        tree = "\n".join(result.tree())
    assert "away  -> ExternalLink, not followed" in tree
    assert "deeper than" in tree


# Tables


def test_xarray(file, found):
    xarray = pytest.importorskip("xarray")
    _, slope, _, _ = found
    dataset = io.load(file).to_xarray()
    assert isinstance(dataset, xarray.Dataset)
    by = dataset["dR_dtheta"].sel(parameter="diameter[B]")
    np.testing.assert_array_equal(by.values, slope["diameter[B]"])
    assert dataset["energy"].item() == slope.observables["energy"][0]
    np.testing.assert_array_equal(dataset["denergy_dtheta"], slope.observables["energy"][1])
    assert dataset.attrs["trusted"] == 1


def test_xarray_by_itself(file, found):
    xarray = pytest.importorskip("xarray")
    pytest.importorskip("h5netcdf")
    with xarray.open_dataset(file, group="simsens/sensitivity", **ENGINE) as dataset:
        assert dataset["dR_dtheta"].dims == ("particle", "axis", "parameter")
        np.testing.assert_array_equal(dataset["dR_dtheta"], found[1].position)


def test_pandas(file, found):
    pandas = pytest.importorskip("pandas")
    stored, slope = io.load(file), found[1]
    particles = stored.to_dataframe()
    assert isinstance(particles, pandas.DataFrame)
    np.testing.assert_array_equal(particles["dx/d diameter[B]"], slope["diameter[B]"][:, 0])
    assert particles["species"].tolist() == PACKING.structure.names()
    observables = stored.to_dataframe("observables").set_index("observable")
    assert observables.loc["energy", "d/d epsilon"] == slope.observables["energy"][1][
        slope.parameters.index("epsilon")
    ]  # fmt: skip
    parameters = stored.to_dataframe("parameters").set_index("parameter")
    np.testing.assert_array_equal(parameters["error_bound"], slope.certificate.error_bound)
    assert len(stored.to_dataframe("history")) == len(stored.history)
    with pytest.raises(ValueError, match="known are particles, observables, parameters, history"):
        stored.to_dataframe("atoms")


def test_tables_without_derivatives(tmp_path, found):
    pytest.importorskip("pandas")
    pytest.importorskip("xarray")
    io.write(tmp_path / "x.h5md", found[0])
    stored = io.load(tmp_path / "x.h5md")
    assert list(stored.to_dataframe()) == ["species", "x", "y"]
    assert "dR_dtheta" not in stored.to_xarray()
    assert list(stored.to_dataframe("parameters")) == ["parameter", "value"]
    assert len(stored.to_dataframe("observables")) == 0


def test_a_missing_package_says_how_to_install_it(file, monkeypatch):
    def refuse(name):
        raise ImportError(name)

    stored = io.load(file)
    monkeypatch.setattr("importlib.import_module", refuse)
    with pytest.raises(MissingPackage, match=r"pip install 'simsens\[analysis\]'"):
        stored.to_xarray()


# Predictions


def test_a_prediction_is_second_order_good(file, found):
    """Halving the step quarters the distance to where the particles come to rest."""
    stored, errors = io.load(file), []
    value, trust = stored.theta["diameter[B]"], stored.certificate
    k = stored.parameters.index("diameter[B]")
    reach = 0.5 * min(trust.validity_radius[k][1], trust.one_percent_step[k])
    for step in (reach, reach / 2):
        there = stored.predicted({"diameter[B]": value + step})
        moved = stored.equilibrium.system.replace_parameters({"diameter[B]": value + step})
        rest = relax(moved, fmax=1e-12)
        gap = rest.position - there.position
        errors.append(np.abs(gap - gap.mean(axis=0)).max())
    assert errors[0] / errors[1] == pytest.approx(4, rel=0.1)


def test_a_prediction_out_of_range_is_warned_of(file):
    stored = io.load(file)
    value = stored.theta["diameter[B]"]
    with pytest.warns(OutsideRange, match=r"diameter\[B\] changes by 0.1, but contacts do at"):
        stored.predicted({"diameter[B]": value + 0.1})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        stored.predicted({"diameter[B]": value + 1e-7})
        stored.predicted({})


def test_predictions_that_cannot_be_made(file, tmp_path, found):
    with pytest.raises(UnknownParameter, match="sigma"):
        io.load(file).predicted({"sigma": 1.0})
    io.write(tmp_path / "x.h5md", found[0])
    with pytest.raises(ValueError, match="no derivatives"):
        io.load(tmp_path / "x.h5md").predicted({"epsilon": 1.0})
