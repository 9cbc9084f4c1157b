"""Normal modes against closed forms, autodiff's Hessian, and each other."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from simsens import energy, normal_modes, packing, relax
from simsens.particles import system as systems
from simsens.particles.potentials import EnergyFunction, HarmonicBonds, LennardJones
from simsens.particles.structure import Structure
from simsens.particles.system import System
from simsens.response import cost, lowest_modes, modes
from simsens.response.lowest_modes import ModesNotFound

pytestmark = pytest.mark.usefixtures("optimised")


def flat(found):
    """The modes as columns ``[n, mode]``."""
    return found.mode.reshape(-1, found.mode.shape[-1])


def at_rest(structure, law):
    return relax(System(structure, law), fmax=1e-11)


# --- closed forms --------------------------------------------------------------------------------


def test_a_dimer_in_space():
    # One stretch against five rigid motions, phi''(2^(1/6)) = 72 / 2^(1/3); lambda = 2 phi''.
    along = np.array([0.48, 0.6, 0.64])
    end = at_rest(Structure([np.zeros(3), 1.2 * along]), LennardJones())
    found = normal_modes(end)
    # The curvature varies over a tenth of a length, and that is known to 1e-12.
    assert found.curvature[-1] == pytest.approx(144 / 2 ** (1 / 3), rel=1e-10)
    assert found.frequency[-1] == pytest.approx(12 / 2 ** (1 / 6), rel=1e-10)
    assert found.zero_modes == 5
    np.testing.assert_allclose(found.curvature[:5], 0, atol=1e-9)
    stretch = found.mode[:, :, -1]
    np.testing.assert_allclose(np.abs(stretch[0] @ along), 2**-0.5, rtol=1e-10)
    np.testing.assert_allclose(stretch[0], -stretch[1], atol=1e-10)
    assert stretch.reshape(-1)[np.abs(stretch).argmax()] > 0


@pytest.mark.parametrize("number", [7, 12])
def test_a_ring_of_springs(number):
    # lambda = 2 k (1 - cos q) along; across nothing resists: one zero mode a particle.
    points = np.stack([np.arange(number), np.zeros(number)], axis=1).astype(float)
    ring = Structure(points, box=[float(number), 3.0])
    end = at_rest(ring, HarmonicBonds.between_close(ring, 1.1, stiffness=2.0))
    found = normal_modes(end)
    q = 2 * np.pi * np.arange(number) / number
    expected = np.sort(np.append(4 * (1 - np.cos(q)), np.zeros(number)))
    np.testing.assert_allclose(found.curvature, expected, atol=1e-13)
    assert found.zero_modes == number + 1
    assert found.curvature[found.zero_modes] == pytest.approx(4 * (1 - np.cos(q[1])), rel=1e-12)


def test_who_moves_alone_counts_as_one():
    # Each of five particles on springs of its own to two fixed ones: five pairs of lone modes.
    base = np.stack([3.0 * np.arange(5), np.zeros(5)], axis=1)
    points = np.concatenate([base, base + np.array([1.0, 0.0]), base + np.array([0.0, 1.0])])
    bonds = [(i, i + 5) for i in range(5)] + [(i, i + 10) for i in range(5)]
    stiffness = np.arange(1.0, 11.0)
    anchored = Structure(points, fixed=np.arange(5, 15))
    found = normal_modes(at_rest(anchored, HarmonicBonds(bonds, stiffness, 1.0)))
    np.testing.assert_allclose(found.curvature, stiffness, rtol=1e-13)
    np.testing.assert_allclose(found.participation, 1 / 5, rtol=1e-13)
    np.testing.assert_array_equal(found.mode[5:], 0.0)
    assert (found.moving, found.zero_modes) == (5, 0)


def test_a_stiff_bond_holds_the_highest_mode():
    ring = np.stack([np.arange(40), np.zeros(40)], axis=1).astype(float)
    ring = Structure(ring, box=[40.0, 3.0])
    bonds = HarmonicBonds.between_close(ring, 1.1)
    stiffness = np.where(np.arange(40) == 20, 1e4, 1.0)
    system = System(ring, HarmonicBonds(bonds.bonds, stiffness, 1.0))
    found = normal_modes(relax(system, fmax=1e-8))  # at rest as it stands
    # Two of forty move, the others by less than 1e-4.
    assert found.participation[-1] == pytest.approx(2 / 40, rel=1e-6)


# --- packings ------------------------------------------------------------------------------------


def autodiff(end):
    """The whole Hessian ``[n, n]`` of a relaxed system."""
    listed = systems.list_neighbors(end.system)
    second = jax.jit(jax.hessian(lambda x: energy(end.system.with_position(x), listed)))
    return np.asarray(second(jnp.asarray(end.position))).reshape(2 * (end.position.size,))


@pytest.fixture(scope="module")
def whole(packings):
    return normal_modes(packings[0])


def test_the_spectrum_of_autodiff_s_hessian(packings, whole):
    end = packings[0]
    hessian = autodiff(end)
    # Eigenvalues of symmetric matrices move by no more than the matrix does: eps * top * 16.
    np.testing.assert_allclose(whole.curvature, np.linalg.eigvalsh(hessian), atol=1e-13)
    image = hessian @ flat(whole) - flat(whole) * whole.curvature
    assert np.linalg.norm(image, axis=0).max() < 1e-13 * whole.curvature[-1] * 16
    assert whole.residual.max() < 1e-14
    assert whole.zero_modes == 2
    assert len(whole.curvature) == 256


def test_modes_are_orthonormal(whole):
    # LAPACK: eps times the size.
    np.testing.assert_allclose(flat(whole).T @ flat(whole), np.eye(256), atol=256 * 2.2e-16)
    assert (flat(whole)[np.abs(flat(whole)).argmax(axis=0), np.arange(256)] > 0).all()


def test_translations_are_there_as_they_are(whole):
    np.testing.assert_allclose(whole.participation[:2], 1.0, rtol=1e-13)
    assert whole.participation[2:].max() < 0.9
    assert whole.participation.min() >= 1 / 128
    everyone = whole.mode[:, :, :2]
    np.testing.assert_allclose(everyone, np.broadcast_to(everyone[0], everyone.shape), atol=1e-15)


@pytest.mark.parametrize("solver", ["dense", "sparse", "cg"])
@pytest.mark.parametrize("count", [1, 20])
def test_the_lowest_of_them(packings, whole, solver, count):
    found = normal_modes(packings[0], count, solver=solver)
    assert found.mode.shape == (128, 2, 2 + count)
    # Ritz values err by the square of a residual of 1e-12.
    np.testing.assert_allclose(found.curvature, whole.curvature[: 2 + count], atol=1e-13)
    assert found.residual.max() < 1e-11
    assert found.zero_modes == 2
    # Vectors err by the residual over the gap, 1e-3 of the top.
    overlap = np.abs(np.sum(flat(found)[:, 2:] * flat(whole)[:, 2 : 2 + count], axis=0))
    np.testing.assert_allclose(overlap, 1.0, atol=1e-10)
    np.testing.assert_allclose(flat(found).T @ flat(found), np.eye(2 + count), atol=1e-13)


def test_rattlers_are_left_out(loose_packing):
    end, slope = loose_packing
    for solver, count in (("dense", None), ("sparse", 8), ("cg", 8)):
        found = normal_modes(end, count, solver=solver)
        np.testing.assert_array_equal(found.rattlers, slope.rattlers)
        np.testing.assert_array_equal(found.mode[found.rattlers], 0.0)
        assert found.moving == 64 - len(found.rattlers)
        assert found.zero_modes == 2
        np.testing.assert_allclose(found.participation[:2], 1.0, rtol=1e-12)
        assert found.curvature[2] == pytest.approx(slope.certificate.smallest_curvature, rel=1e-9)
    assert len(normal_modes(end).curvature) == 2 * found.moving


# --- what iterations may miss --------------------------------------------------------------------


def hexagonal(number, stretch=1.0):
    """A hexagonal lattice with many modes of one curvature."""
    edges = number * np.array([[1.0, 0.0], [0.5, 3**0.5 / 2]])
    grid = np.stack(np.meshgrid(np.arange(number), np.arange(number)), axis=-1).reshape(-1, 2)
    lattice = Structure(grid / number @ edges, box=edges)
    bonds = HarmonicBonds.between_close(lattice, 1.2)
    return System(lattice, replace(bonds, length=np.full(len(bonds.bonds), stretch)))


@pytest.mark.parametrize("solver", ["sparse", "cg"])
@pytest.mark.parametrize("count", [1, 6, 7, 20])
def test_copies_of_a_curvature_are_all_found(solver, count):
    end = relax(hexagonal(8), fmax=1e-11)
    found = normal_modes(end, count, solver=solver)
    values = np.linalg.eigvalsh(autodiff(end))
    assert values[7] - values[2] < 1e-13  # six of one
    np.testing.assert_allclose(found.curvature, values[: 2 + count], atol=1e-12)
    np.testing.assert_allclose(flat(found).T @ flat(found), np.eye(2 + count), atol=1e-12)


@pytest.mark.parametrize("solver", ["dense", "sparse", "cg"])
def test_a_saddle_has_negative_curvatures(solver):
    # Springs pushed together by a tenth: every wave across them lowers the energy.
    start = hexagonal(8, stretch=1.4)
    end = relax(start, steps=0, throw=False, fmax=1e-10)
    values = np.linalg.eigvalsh(autodiff(end))
    assert (values < -1e-3).sum() > 10
    found = normal_modes(end, 12, solver=solver)
    # Twelve besides the translations, which come in between or after.
    np.testing.assert_allclose(found.curvature[:12], values[:12], atol=1e-11)
    assert found.frequency[0] == pytest.approx(-((-values[0]) ** 0.5), rel=1e-10)
    assert found.zero_modes >= 2


@pytest.mark.parametrize("solver", ["dense", "sparse", "cg"])
def test_floppy_modes_are_counted(solver):
    number = 6
    grid = np.stack(np.meshgrid(np.arange(number), np.arange(number)), axis=-1).reshape(-1, 2)
    lattice = Structure(grid.astype(float), box=float(number))
    end = at_rest(lattice, HarmonicBonds.between_close(lattice, 1.1))
    # Each row and each column of a square lattice slides as a whole.
    found = normal_modes(end, 14, solver=solver)
    assert found.zero_modes == 2 * number
    assert found.curvature[2 * number] == pytest.approx(2 * (1 - np.cos(np.pi / 3)), rel=1e-9)


# --- any energy, any space, any precision --------------------------------------------------------


def test_any_energy_by_products():
    def network(position, displacement):
        i, j = np.triu_indices(len(position), 1)
        return jnp.sum((jnp.sum(displacement(position[i], position[j]) ** 2, axis=1) - 1.0) ** 2)

    start = np.random.default_rng(2).uniform(0, 2, (12, 3))
    end = relax(System(Structure(start), EnergyFunction(network)), fmax=1e-10)
    everything = normal_modes(end)
    few = normal_modes(end, 5, solver="cg")
    assert everything.zero_modes >= few.zero_modes >= 6
    np.testing.assert_allclose(few.curvature, everything.curvature[: len(few.curvature)], atol=1e-9)


def test_spheres_in_space():
    end = relax(packing(number=40, fraction=0.9, seed=2, dimension=3), fmax=1e-11)
    found = normal_modes(end, 9, solver="cg")
    everything = normal_modes(end)
    assert found.zero_modes == everything.zero_modes == 3
    np.testing.assert_allclose(found.curvature, everything.curvature[:12], atol=1e-12)


@pytest.mark.parametrize(("solver", "count"), [("dense", None), ("sparse", 4), ("cg", 4)])
def test_single_precision(packings, whole, solver, count):
    single = packings[0].system.with_position(np.asarray(packings[0].position, np.float32))
    found = normal_modes(replace(packings[0], system=single), count, solver=solver)
    assert found.curvature.dtype == found.mode.dtype == np.float32
    # eps of the top, and of positions of size eight.
    few = whole.curvature[: len(found.curvature)]
    np.testing.assert_allclose(found.curvature, few, atol=1e-4)
    assert found.residual.max() < 1e-5


# --- asking --------------------------------------------------------------------------------------


def test_more_than_there_are_is_all_there_are(whole, packings):
    found = normal_modes(packings[0], 10_000)
    np.testing.assert_allclose(found.curvature, whole.curvature, atol=1e-13)


@pytest.mark.parametrize("count", [0, -3, 2.5, True])
def test_counts_that_are_none(packings, count):
    with pytest.raises(ValueError, match="count must be a whole number"):
        normal_modes(packings[0], count)


def test_all_modes_of_a_large_system_are_refused(packings, monkeypatch):
    monkeypatch.setattr(cost, "free_memory", lambda: 1e6)
    with pytest.raises(ValueError, match=r"256 unknowns.*give a count of at most 64"):
        normal_modes(packings[0])
    monkeypatch.undo()
    monkeypatch.setattr(modes, "LARGEST", 255)
    with pytest.raises(ValueError, match=r"256 unknowns.*give a count"):
        normal_modes(packings[0])
    assert len(normal_modes(packings[0], 3, solver="sparse").curvature) == 5


@pytest.mark.parametrize("solver", ["sparse", "cg"])
@pytest.mark.parametrize("count", [None, 200])
def test_iterations_find_few(packings, solver, count):
    with pytest.raises(ValueError, match=f"the {solver} solver finds few modes: give a count"):
        normal_modes(packings[0], count, solver=solver)


def test_unsuitable_solvers_are_refused(packings):
    with pytest.raises(ValueError, match="unknown solver 'lu'; known are auto, dense"):
        normal_modes(packings[0], solver="lu")
    lone = System(Structure([[0.0, 0.0], [1.0, 0.0]]), EnergyFunction(lambda x: jnp.sum(x**2)))
    with pytest.raises(ValueError, match="needs a pair potential"):
        normal_modes(relax(lone, fmax=1e-9), 1, solver="sparse")


def test_an_iteration_that_does_not_converge_says_so(packings, monkeypatch):
    monkeypatch.setattr(lowest_modes, "ATTEMPTS", 1)
    with pytest.raises(ModesNotFound, match="of 40 modes converged in 1 restarts"):
        normal_modes(packings[0], 40, solver="cg")


def test_nothing_free_to_move_is_refused():
    held = Structure([[0.0, 0.0], [1.0, 0.0]], fixed=[0, 1])
    end = relax(System(held, HarmonicBonds([[0, 1]])))
    with pytest.raises(ValueError, match="no particle is free to move"):
        normal_modes(end)


def test_modes_tell_of_themselves(whole):
    assert "256 modes of 128 particles" in str(whole)
    assert "2 zero" in str(whole)
