"""The contract that every potential on the shelf keeps, and each law against independent code."""

import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import special_ortho_group

from simsens.particles import jax_md_door
from simsens.particles import system as systems
from simsens.particles.neighbors import list_pairs
from simsens.particles.potentials import (
    POTENTIALS,
    HarmonicBonds,
    LennardJones,
    Morse,
    SoftSphere,
)
from simsens.particles.potentials.errors import InvalidPotential, UnknownSpecies
from simsens.particles.potentials.harmonic_bonds import BondTable
from simsens.particles.structure import Structure
from simsens.particles.system import System
from tests import finite_difference

EPS = np.finfo(float).eps
TILTED = np.array([[4.0, 0.0, 0.0], [0.8, 3.0, 0.0], [-0.6, 0.4, 3.2]])


def crystal_in_disorder(box=TILTED):
    """12 particles of two species on a 3 x 2 x 2 grid, each displaced a little; none overlap."""
    rng = np.random.default_rng(3)
    grid = np.stack(np.indices((3, 2, 2)).reshape(3, -1), axis=1) / [3, 2, 2]
    position = grid @ box + rng.uniform(-0.12, 0.12, (12, 3))
    return Structure(position, species=["A", "B", "B"] * 4, box=box)


BONDS = [(k, (k + 1) % 12) for k in range(12)]
SAMPLES = {
    "soft-sphere": [
        SoftSphere(diameter={"A": 1.7, "B": 1.4}, epsilon={"A": 2.0, "B": 0.5}),
        SoftSphere(diameter={"A,A": 1.7, "A,B": 1.6, "B,B": 1.4}, alpha=2.5),
    ],
    "lennard-jones": [
        LennardJones(sigma={"A": 1.2, "B": 1.0}, epsilon={"A": 2.0, "B": 0.5}, cutoff=2.6),
        LennardJones(sigma=1.1, epsilon=0.3, cutoff=2.6, onset=2.0),
        LennardJones(sigma=1.1, cutoff=2.6, mode="shift"),
        LennardJones(sigma=1.1, cutoff=2.6, mode="truncate"),
    ],
    "morse": [
        Morse(sigma={"A": 1.5, "B": 1.2}, alpha={"A": 4.0, "B": 3.0}, cutoff=2.6),
    ],
    "harmonic-bonds": [
        HarmonicBonds(BONDS, stiffness=np.linspace(1, 3, 12), length=np.linspace(1, 2, 12)),
    ],
}
LAWS = [law for laws in SAMPLES.values() for law in laws]
ENERGY, FORCE = jax.jit(systems.energy), jax.jit(systems.force)


def measured(structure, law):
    """Energy, forces, and the size of the terms that were added: what rounding is relative to."""
    system = System(structure, law)
    listed = systems.list_neighbors(system)
    force = np.asarray(FORCE(system, listed))
    return float(ENERGY(system, listed)), force, np.abs(force).max()


def test_every_potential_on_the_shelf_is_sampled():
    assert set(SAMPLES) == set(POTENTIALS)
    for name, laws in SAMPLES.items():
        assert all(type(law) is POTENTIALS[name] for law in laws)


def identify(law):
    return f"{type(law).__name__}-{getattr(law, 'mode', getattr(law, 'alpha', ''))}"


@pytest.mark.parametrize("law", LAWS, ids=identify)
def test_force_is_minus_the_slope_of_the_energy(law):
    structure = crystal_in_disorder()
    system = System(structure, law)
    listed = systems.list_neighbors(system, skin=0.1)
    force = np.asarray(FORCE(system, listed))
    size = np.abs(force).max()
    assert size > 1e-2  # there is a force to speak of
    by_autodiff = -jax.jit(jax.grad(lambda x: systems.energy(system.with_position(x), listed)))(
        jnp.asarray(structure.position)
    )
    # Both sum the same 30 terms a row in another way: 30 roundings of terms of the size of a force
    # (a repulsive core's terms do not cancel by more than that).
    np.testing.assert_allclose(force, by_autodiff, rtol=0, atol=100 * EPS * size)

    # The laws change over a twelfth of a length of about 1. Rounding makes 3 eps |E| / h, and
    # h^4 / 480 times a fifth derivative of at most 1e7 makes 2e-12: with h = 1e-4, |E| < 100 that
    # is 7e-10 in all. The list has a skin, so that no step of the difference jumps over its end.
    step = 1e-4
    energy = lambda x: float(ENERGY(system.with_position(x), listed))  # noqa: E731
    assert abs(energy(structure.position)) < 100
    by_difference = -finite_difference.gradient(energy, structure.position, step)
    np.testing.assert_allclose(force, by_difference, rtol=0, atol=1e-9)


@pytest.mark.parametrize("law", LAWS, ids=identify)
def test_nothing_depends_on_the_observer(law):
    structure = crystal_in_disorder()
    energy, force, size = measured(structure, law)
    rng = np.random.default_rng(11)
    turn = special_ortho_group.rvs(3, random_state=5)
    order = rng.permutation(12)
    where = np.argsort(order)
    relabelled = law
    if isinstance(law, HarmonicBonds):
        relabelled = HarmonicBonds(where[law.bonds.pairs], law.stiffness, law.length)
    names = structure.names()
    images = rng.integers(-3, 4, (12, 3)) @ TILTED
    cases = {
        "translated": (structure.with_position(structure.position + 1.234), law, force),
        "wrapped": (structure.with_position(structure.position + images), law, force),
        "rotated": (
            Structure(structure.position @ turn, names, box=TILTED @ turn), law, force @ turn,
        ),
        "relabelled": (
            Structure(structure.position[order], [names[k] for k in order], box=TILTED),
            relabelled,
            force[order],
        ),
    }  # fmt: skip
    for case, (seen, potential, expected) in cases.items():
        at, forces, _ = measured(seen, potential)
        # Coordinates of size up to 20 round by 20 eps; a force changes over a tenth of a length:
        # 200 eps of a force of the largest size, twice for the two particles, with 30 neighbours.
        assert at == pytest.approx(energy, rel=0, abs=1e4 * EPS * max(size, 1)), case
        np.testing.assert_allclose(forces, expected, rtol=0, atol=1e4 * EPS * size, err_msg=case)
        # Newton's third law: nothing pushes the whole.
        np.testing.assert_allclose(forces.sum(axis=0), 0, atol=100 * EPS * size, err_msg=case)


def both_sides(law, r, **numbers):
    """Energy and slope a hair before and after a distance."""
    energy = lambda s: law.pair_energy(s, **numbers)  # noqa: E731
    hair = 1e-9
    points = jnp.array([r - hair, r + hair])
    return jax.vmap(energy)(points), jax.vmap(jax.grad(energy))(points)


LENNARD, WELL = {"sigma": 1.1, "epsilon": 2.0}, {"sigma": 1.1, "epsilon": 2.0, "alpha": 3.0}


@pytest.mark.parametrize(
    ("law", "numbers"), [(LennardJones, LENNARD), (Morse, WELL)], ids=["lennard-jones", "morse"]
)
def test_smooth_ends_are_continuous_in_energy_and_force(law, numbers):
    free, ended = law(), law(cutoff=2.5, onset=2.0)
    for r in (2.0, 2.5):
        energy, slope = both_sides(ended, r, **numbers)
        # A hair of 1e-9 times slopes and stiffnesses below 10 on either side.
        assert abs(energy[1] - energy[0]) < 2e-8
        assert abs(slope[1] - slope[0]) < 2e-8
    inside = jnp.linspace(0.9, 1.99, 9)
    np.testing.assert_array_equal(
        ended.pair_energy(inside, **numbers), free.pair_energy(inside, **numbers)
    )
    np.testing.assert_array_equal(ended.pair_energy(jnp.array([2.5, 2.6, 9.0]), **numbers), 0.0)


def test_onset_is_nine_tenths_of_the_cutoff():
    r = jnp.linspace(1.0, 2.6, 50)
    np.testing.assert_allclose(
        LennardJones(cutoff=2.5).pair_energy(r, **LENNARD),
        LennardJones(cutoff=2.5, onset=2.25).pair_energy(r, **LENNARD),
        rtol=1e-12,  # 0.9 * 2.5 rounds by 1e-16, and the switch is 10 times as steep at most
    )


def test_other_ends_jump_where_they_say():
    whole = float(LennardJones().pair_energy(jnp.array(2.5), **LENNARD))
    pull = float(jax.grad(lambda r: LennardJones().pair_energy(r, **LENNARD))(2.5))
    energy, slope = both_sides(LennardJones(cutoff=2.5, mode="shift"), 2.5, **LENNARD)
    np.testing.assert_allclose(energy, 0, atol=1e-9)  # a hair times a slope below 1
    np.testing.assert_allclose(slope, [pull, 0], atol=1e-8)
    energy, slope = both_sides(LennardJones(cutoff=2.5, mode="truncate"), 2.5, **LENNARD)
    np.testing.assert_allclose(energy, [whole, 0], atol=1e-9)
    np.testing.assert_allclose(slope, [pull, 0], atol=1e-8)
    assert abs(whole) > 1e-3
    assert pull > 1e-3


@pytest.mark.parametrize("alpha", [2.0, 2.5, 3.0])
def test_soft_spheres_touch_gently(alpha):
    law = SoftSphere(alpha=alpha)
    energy, slope = both_sides(law, 1.5, sigma=1.5, epsilon=2.0)
    # (1e-9)^2 for the energy; for the slope at most epsilon / sigma^2 * 1e-9
    np.testing.assert_allclose(energy, 0, atol=1e-17)
    np.testing.assert_allclose(slope, 0, atol=1e-9)
    # At and beyond contact every derivative is zero, never NaN, the power's included.
    for r in (1.5, 1.6, 30.0):
        third = jax.grad(jax.grad(jax.grad(lambda s: law.pair_energy(s, 1.5, 2.0))))(r)
        assert third == 0.0
    # epsilon / alpha (1 - r/sigma)^alpha and its slope at r = sigma / 2
    half = 0.5**alpha * 2.0 / alpha
    assert float(law.pair_energy(0.75, 1.5, 2.0)) == pytest.approx(half, rel=4 * EPS)


def test_wells_are_where_the_books_say():
    bottom = 2 ** (1 / 6) * 1.3
    slope = jax.grad(lambda r: LennardJones().pair_energy(r, 1.3, 0.7))
    assert float(LennardJones().pair_energy(bottom, 1.3, 0.7)) == pytest.approx(-0.7, rel=1e-15)
    # The stiffness 72 eps / (2^(1/3) sigma^2) = 24 times the rounding of the distance.
    assert abs(float(slope(bottom))) < 24 * 4 * EPS
    assert float(LennardJones().pair_energy(1.3, 1.3, 0.7)) == 0.0
    curve = jax.grad(jax.grad(lambda r: Morse().pair_energy(r, 1.2, 0.7, 3.0)))(1.2)
    assert float(curve) == pytest.approx(2 * 0.7 * 3.0**2, rel=8 * EPS)


@pytest.mark.parametrize(
    ("field", "rule"),
    [("sigma", lambda a, b: (a + b) / 2), ("epsilon", lambda a, b: (a * b) ** 0.5)],
)
def test_mixing(field, rule):
    law = LennardJones(**{field: {"A": 1.0, "B": 0.6}})
    table = law.tables(("B", "A"))[field]
    expected = [[rule(p, q) for q in (0.6, 1.0)] for p in (0.6, 1.0)]
    np.testing.assert_allclose(table, expected, rtol=2 * EPS)
    by_pair = LennardJones(**{field: {("A", "A"): 1.0, ("B", "A"): 0.1, ("B", "B"): 0.6}})
    np.testing.assert_array_equal(by_pair.tables(("A", "B"))[field], [[1.0, 0.1], [0.1, 0.6]])


def test_one_number_is_the_same_as_the_number_by_species():
    structure = crystal_in_disorder()
    one = measured(structure, SoftSphere(diameter=1.6, epsilon=2.0))
    each = SoftSphere(diameter={"A": 1.6, "B": 1.6}, epsilon={"A": 2.0, "B": 2.0})
    np.testing.assert_allclose(measured(structure, each)[1], one[1], rtol=0, atol=10 * EPS)


# --- independent code -------------------------------------------------------------------------


@pytest.fixture(scope="module")
def jax_md():
    jax_md_door.open_door()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # deprecations inside jax-md's imports are not ours
        import jax_md
        import jax_md.energy
        import jax_md.space
    return jax_md


# jax-md rounds parameters to float32, and divides epsilon by alpha in it: all are exact there. It
# measures cutoffs in the largest sigma.
SIGMA = np.array([[1.0, 0.875], [0.875, 0.75]])


@pytest.mark.parametrize(
    ("name", "law", "numbers"),
    [
        ("soft_sphere_pair", SoftSphere({"A": 1.0, "B": 0.75}), {}),
        (
            "soft_sphere_pair",
            SoftSphere({"A": 1.0, "B": 0.75}, 2.5, 2.5),
            {"epsilon": 2.5, "alpha": 2.5},
        ),
        (
            "lennard_jones_pair",
            LennardJones({"A": 1.0, "B": 0.75}, cutoff=1.75, onset=1.5),
            {"r_onset": 1.5, "r_cutoff": 1.75},
        ),
        (
            "morse_pair",
            Morse({"A": 1.0, "B": 0.75}, alpha=4.0, cutoff=1.75, onset=1.5),
            {"epsilon": 1.0, "alpha": 4.0, "r_onset": 1.5, "r_cutoff": 1.75},
        ),
    ],
    ids=["harmonic", "hertz", "lennard-jones", "morse"],
)
def test_against_jax_md(jax_md, name, law, numbers):
    rng = np.random.default_rng(8)
    grid = np.stack(np.indices((6, 6)).reshape(2, -1), axis=1) * (4.5 / 6)
    position = grid + rng.uniform(-0.1, 0.1, grid.shape)
    structure = Structure(position, ["A", "B"] * 18, box=4.5)
    between, _ = jax_md.space.periodic(4.5)
    with jax.numpy_dtype_promotion("standard"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        make = getattr(jax_md.energy, name)
        theirs = make(between, species=structure.species, sigma=jnp.asarray(SIGMA), **numbers)
        value, slope = jax.jit(jax.value_and_grad(theirs))(jnp.asarray(position))
    energy, force, size = measured(structure, law)
    # Some 600 pairs summed in another order, with terms of at most 1e3 times the result.
    assert energy == pytest.approx(float(value), rel=0, abs=1e4 * EPS * max(size, 1))
    np.testing.assert_allclose(force, -np.asarray(slope), rtol=0, atol=1e4 * EPS * max(size, 1))
    assert size > 0.1


@pytest.mark.parametrize(
    "box", [TILTED, 0.6 * TILTED], ids=["wider than the range", "narrower than the range"]
)
def test_lennard_jones_against_ase(box):
    from ase import Atoms
    from ase.calculators.lj import LennardJones as TheirLennardJones

    structure = crystal_in_disorder(box)
    sigma = 0.3 * np.linalg.det(box) ** (1 / 3)
    atoms = Atoms("Ar12", positions=structure.position, cell=box, pbc=True)
    atoms.calc = TheirLennardJones(sigma=sigma, epsilon=0.7, rc=2.5, ro=2.0, smooth=True)
    ours = measured(structure, LennardJones(sigma, 0.7, cutoff=2.5, onset=2.0))
    # As above: less than 1e4 roundings of the size of the largest force.
    size = 1e4 * EPS * max(ours[2], 1)
    assert ours[0] == pytest.approx(atoms.get_potential_energy(), rel=0, abs=size)
    np.testing.assert_allclose(ours[1], atoms.get_forces(), rtol=0, atol=size)
    assert ours[2] > 0.1


def test_bonds_against_the_formula():
    structure = crystal_in_disorder()
    law = SAMPLES["harmonic-bonds"][0]
    fraction = (structure.position[[j for _, j in BONDS]] - structure.position) @ np.linalg.inv(
        TILTED
    )
    vector = (fraction - np.round(fraction)) @ TILTED
    r = np.linalg.norm(vector, axis=1)
    energy = np.sum(law.stiffness / 2 * (r - law.length) ** 2)
    assert measured(structure, law)[0] == pytest.approx(energy, rel=100 * EPS)


# --- refusals ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: SoftSphere(alpha=1.5), "alpha must be at least 2"),
        (lambda: SoftSphere(alpha=np.nan), "alpha must be at least 2"),
        (lambda: LennardJones(cutoff=0.0), "positive length"),
        (lambda: LennardJones(cutoff=-1.0), "positive length"),
        (lambda: LennardJones(cutoff=np.nan), "positive length"),
        (lambda: LennardJones(onset=2.0), "needs a cutoff"),
        (lambda: LennardJones(cutoff=2.0, onset=2.0), "between 0 and the cutoff"),
        (lambda: LennardJones(cutoff=2.0, onset=-1.0), "between 0 and the cutoff"),
        (lambda: Morse(cutoff=2.0, mode="sharp"), "known are smooth, shift, truncate"),
        (lambda: HarmonicBonds(), "pairs of particle indices"),
        (lambda: HarmonicBonds([[0, 1, 2]]), "pairs of particle indices"),
        (lambda: HarmonicBonds([[1, 1]]), "two different particles"),
        (lambda: HarmonicBonds([[-1, 1]]), "two different particles"),
        (lambda: HarmonicBonds([[0, 1]], stiffness=[1.0, 2.0]), "one for each of 1 bonds"),
        (lambda: HarmonicBonds([[0, 1], [1, 2]], length=[1.0]), "one for each of 2 bonds"),
    ],
)
def test_refused_when_made(make, message):
    with pytest.raises(InvalidPotential, match=message):
        make()


@pytest.mark.parametrize(
    ("law", "message"),
    [
        (
            SoftSphere(diameter={"A": 1.0}),
            r"species B, but diameter is given for A: add diameter\[B\]",
        ),
        (SoftSphere(diameter={}), "given for none"),
        (SoftSphere(epsilon={"A,A": 1.0, "B,B": 1.0}), r"add epsilon\[A,B\]"),
        (LennardJones(sigma={"C": 1.0}, cutoff=2.0), r"add sigma\[A\]"),
        (Morse(alpha={"B": 1.0}, cutoff=2.0), r"add alpha\[A\]"),
    ],
)
def test_species_without_numbers_are_refused(law, message):
    with pytest.raises(UnknownSpecies, match=message):
        systems.energy(System(crystal_in_disorder(), law))


def test_bonds_beyond_the_structure_are_refused():
    with pytest.raises(InvalidPotential, match="names particle 12, but there are 12"):
        systems.energy(System(crystal_in_disorder(), HarmonicBonds([[0, 12]])))


def test_bonds_between_close():
    square = Structure([[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0]], box=4.0)
    sides = HarmonicBonds.between_close(square, 1.2, stiffness=3.0)
    assert sorted(map(tuple, sides.bonds.pairs.tolist())) == [(0, 1), (0, 3), (1, 2), (2, 3)]
    np.testing.assert_array_equal(sides.length, 1.0)
    assert measured(square, sides)[0] == 0.0  # at rest as it stands
    assert HarmonicBonds.between_close(square, 1.2, length=2.0).length == 2.0
    with pytest.raises(InvalidPotential, match="no two particles"):
        HarmonicBonds.between_close(square, 0.5)
    with pytest.raises(InvalidPotential, match="several images"):
        HarmonicBonds.between_close(Structure(square.position, box=2.0), 1.2)


def test_bond_tables_compare_by_value():
    one, same, other = BondTable([[0, 1]]), BondTable(np.array([[0, 1]])), BondTable([[0, 2]])
    assert one == same
    assert hash(one) == hash(same)
    assert one != other
    assert one != "bonds"
    with pytest.raises(ValueError, match="read-only"):
        one.pairs[0, 0] = 5


def test_reach_decides_the_list():
    structure = crystal_in_disorder()
    law = LAWS[0]
    reach = law.reach(law.tables(structure.species_names))
    listed = systems.list_neighbors(System(structure, law))
    np.testing.assert_array_equal(listed.index, list_pairs(structure, reach).index)
    assert LennardJones().reach({}) == np.inf
    assert LennardJones(cutoff=2.5).reach({}) == 2.5


def test_a_pair_is_given_once():
    both = {"A,A": 1.0, "A,B": 1.0, "B,A": 2.0, "B,B": 1.0}
    with pytest.raises(InvalidPotential, match="are one pair"):
        LennardJones(1.0, both).tables(("A", "B"))
