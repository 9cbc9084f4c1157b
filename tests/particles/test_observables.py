import jax
import jax.numpy as jnp
import numpy as np
import pytest

from simsens import packing
from simsens.particles import observables
from simsens.particles import system as systems
from simsens.particles.observables import OBSERVABLES, distance, energy, packing_fraction, pressure
from simsens.particles.potentials import EnergyFunction, LennardJones, SoftSphere
from simsens.particles.structure import Structure
from simsens.particles.system import System
from tests import finite_difference

EPS = np.finfo(float).eps
SHEARED = np.array([[4.0, 0.3], [1.9, 3.1]])
TILTED = np.array([[4.0, 0.0, 0.0], [0.8, 3.0, 0.0], [-0.6, 0.4, 3.2]])


def grid(box, counts):
    rng = np.random.default_rng(6)
    cells = np.stack(np.indices(counts).reshape(len(counts), -1), axis=1) / counts
    box = np.diag(np.full(len(counts), box)) if np.ndim(box) == 0 else box
    return cells @ box + rng.uniform(-0.08, 0.08, cells.shape)


def tied(position, displacement, k=0.2):
    """An energy that knows its box only through displacements."""
    return k * jnp.sum(jax.vmap(displacement)(position[1:], position[:-1]) ** 4)


LJ = LennardJones(sigma=1.0, cutoff=2.6)
SYSTEMS = {
    "square": System(Structure(grid(4.0, (4, 3)), box=4.0), SoftSphere(diameter=1.5)),
    "sheared": System(Structure(grid(SHEARED, (4, 3)), box=SHEARED), SoftSphere(diameter=1.5)),
    "tilted, images": System(Structure(grid(TILTED, (3, 2, 2)), box=TILTED), LJ),
    "left-handed": System(
        Structure(grid(SHEARED[::-1], (3, 4)), box=SHEARED[::-1]), SoftSphere(diameter=1.5)
    ),
    "general": System(Structure(grid(4.0, (4, 3)), box=4.0), EnergyFunction(tied)),
}


@pytest.mark.parametrize("case", SYSTEMS)
def test_pressure_is_minus_the_slope_of_the_energy_by_the_volume(case):
    system = SYSTEMS[case]
    structure = system.structure
    volume = abs(np.linalg.det(structure.box))
    compute = jax.jit(systems.energy)

    def at_volume(v):
        scale = (v / volume) ** (1 / structure.dimension)
        stretched = Structure(structure.position * scale, box=structure.box * scale)
        there = System(stretched, system.potential)
        return float(compute(there, systems.list_neighbors(there)))

    # Lengths change by h = 1e-5, so little that no pair crosses a kink on the way. The energies
    # are below 20 and the step in volume is d V h > 2e-4: rounding leaves 3 eps 20 / 2e-4 = 7e-11,
    # and truncation is far below that (see test_potentials).
    step = 1e-5 * structure.dimension * volume
    expected = -finite_difference.derivative(at_volume, volume, step)
    assert abs(at_volume(volume)) < 20
    assert abs(expected) > 1e-2
    assert float(pressure(system)) == pytest.approx(float(expected), rel=0, abs=1e-10)


def test_pressure_of_one_sphere_in_its_own_images():
    # The box 0.8 makes four contacts of overlap 0.2: E(L) = 2 pairs * (1 - L)^2 / 2, V = L^2,
    # p = 2 (1 - L) / (2 L).
    square = System(Structure([[0.3, 0.7]], box=0.8), SoftSphere(diameter=1.0))
    assert float(energy(square)) == pytest.approx(0.2**2, rel=10 * EPS)
    assert float(pressure(square)) == pytest.approx(0.25, rel=10 * EPS)


def test_pressure_of_a_perfect_crystal_goes_with_epsilon():
    lattice = System(
        Structure([[0.0, 0.0]], box=[[1.0, 0.0], [0.5, 0.8]]), LennardJones(cutoff=2.5)
    )
    slope = jax.grad(lambda e: pressure(lattice.replace_parameters({"epsilon": e})))(2.0)
    double = pressure(lattice.replace_parameters({"epsilon": 2.0}))
    assert float(slope) == pytest.approx(float(double) / 2, rel=100 * EPS)


@pytest.mark.parametrize(
    "derive",
    [
        pressure,
        lambda system: jax.grad(lambda s: energy(system.replace_parameters({"sigma": s})))(1.0),
    ],
    ids=["pressure", "dE/dsigma"],
)
def test_slopes_in_a_traced_box_too_small_are_nan(derive):
    # Traced, one image is all that is taken; the energy itself is NaN, rightly.
    system = System(Structure([[0.0, 0.0], [1.05, 0.0]], box=2.1), LJ)
    assert np.isnan(jax.jit(energy)(system))
    assert np.isnan(jax.jit(derive)(system))


@pytest.mark.parametrize("measure", [pressure, packing_fraction])
def test_free_space_has_no_volume(measure):
    with pytest.raises(ValueError, match="needs a box"):
        measure(System(Structure([[0.0, 0.0], [1.0, 0.0]]), SoftSphere()))


def test_the_paper_s_packing():
    system = packing()
    structure = system.structure
    # L = sqrt(N/2 pi (1 + D^2) / 4 / 0.98), from Blondel et al. with N = 128, D = 0.6
    side = np.sqrt(64 * np.pi * 1.36 / 4 / 0.98)
    assert side == pytest.approx(8.352016507, abs=5e-10)
    np.testing.assert_allclose(structure.box, side * np.eye(2), rtol=4 * EPS)
    assert structure.number == 128
    assert structure.names() == ["B"] * 64 + ["A"] * 64
    assert system.potential == SoftSphere(diameter={"B": 0.6, "A": 1.0})
    assert float(packing_fraction(system)) == pytest.approx(0.98, rel=100 * EPS)
    inside = (structure.position >= 0) & (structure.position < side)
    assert inside.all()


def test_packings_differ_by_seed_only():
    one, same, other = packing(seed=3), packing(seed=3), packing(seed=4)
    np.testing.assert_array_equal(one.structure.position, same.structure.position)
    assert not np.array_equal(one.structure.position, other.structure.position)
    np.testing.assert_array_equal(one.structure.box, other.structure.box)


def test_packings_of_other_kinds():
    three = packing({"A": 1.0, "B": 1.4, "C": 0.8}, number=11, fraction=0.7, dimension=3)
    assert three.structure.names() == ["A"] * 3 + ["B"] * 3 + ["C"] * 5
    assert three.structure.position.shape == (11, 3)
    assert float(packing_fraction(three)) == pytest.approx(0.7, rel=100 * EPS)


@pytest.mark.parametrize(
    "wrong", [{"number": 1}, {"number": 0}, {"fraction": 0.0}, {"fraction": -1}]
)
def test_impossible_packings_are_refused(wrong):
    with pytest.raises(ValueError, match="a packing needs at least 2 particles"):
        packing(**wrong)


def test_packing_fraction_by_hand():
    disks = System(
        Structure([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]], ["A", "B", "B"], box=[3.0, 2.0]),
        SoftSphere(diameter={"A": 1.0, "B": 0.5}),
    )
    assert float(packing_fraction(disks)) == pytest.approx(np.pi / 4 * 1.5 / 6, rel=10 * EPS)
    ball = System(Structure([[0.0, 0.0, 0.0]], box=2.0), SoftSphere(diameter=1.0))
    assert float(packing_fraction(ball)) == pytest.approx(np.pi / 6 / 8, rel=10 * EPS)


def test_distance_goes_through_the_wall_and_has_a_slope():
    pair = System(Structure([[0.2, 1.0], [3.8, 1.3]], box=4.0), SoftSphere())
    assert float(distance(pair, 0, 1)) == pytest.approx(0.5, rel=20 * EPS)
    slope = jax.grad(lambda x: distance(pair.with_position(x), 0, 1))(pair.structure.position)
    np.testing.assert_allclose(slope, [[0.8, -0.6], [-0.8, 0.6]], rtol=40 * EPS)


def test_the_table_says_where_an_observable_is_defined():
    free = System(Structure([[0.0, 0.0]]), SoftSphere())
    slab = System(Structure([[0.0, 0.0]], box=2.0, boundary=[True, False]), SoftSphere())
    boxed = System(Structure([[0.0, 0.0]], box=2.0), SoftSphere())
    defined = {
        name: [predicate(s) for s in (free, slab, boxed)]
        for name, (_, predicate) in OBSERVABLES.items()
    }
    assert defined["energy"] == [True, True, True]
    assert defined["pressure"] == [False, False, True]
    for measure, predicate in OBSERVABLES.values():
        assert predicate(boxed)
        assert jnp.shape(measure(boxed, systems.list_neighbors(boxed))) == ()
    assert observables.energy is OBSERVABLES["energy"][0]


def test_a_distance_needs_particles():
    with pytest.raises(IndexError, match="particles 0 to 7; got 99"):
        distance(packing(number=8), 0, 99)
