"""Exact identities of minima: no reference data, nothing to trust but the algebra."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from simsens import energy, packing, relax, relaxed, sensitivity
from simsens.particles import contacts
from simsens.particles import system as systems
from simsens.particles.potentials import HarmonicBonds, LennardJones, Morse
from simsens.particles.structure import Structure
from simsens.particles.system import System


def icosahedron():
    """13 points: a centre and the 12 corners (0, +-1, +-phi) in cyclic order, shells at 1.08."""
    phi = (1 + 5**0.5) / 2
    corners = [np.roll([0.0, a, b * phi], k) for a in (-1, 1) for b in (-1, 1) for k in range(3)]
    corners = np.array(corners) * 1.08 / np.hypot(1, phi)
    return np.vstack([np.zeros(3), corners])


@pytest.fixture(scope="module")
def cluster():
    return relax(System(Structure(icosahedron()), LennardJones()), fmax=1e-11)


@pytest.fixture(scope="module")
def cluster_slopes(cluster):
    return sensitivity(cluster)


# --- a free cluster ------------------------------------------------------------------------------


def test_energy_of_the_icosahedron(cluster):
    assert cluster.energy == pytest.approx(-44.326801, abs=5e-7)  # the book's digits


def test_lengths_scale_with_sigma(cluster, cluster_slopes):
    # X(sigma) = sigma X(1) for a free cluster, so dX/dsigma = X about the centre: the gauge keeps
    # the centre still, and a stretch contains no rotation.
    centred = cluster.position - cluster.position.mean(axis=0)
    # Positions are known to fmax / curvature = 1e-11 / 10, and their slopes with as many digits.
    np.testing.assert_allclose(cluster_slopes["sigma"], centred, rtol=0, atol=1e-10)


def test_epsilon_moves_nothing(cluster, cluster_slopes):
    np.testing.assert_allclose(cluster_slopes["epsilon"], 0, atol=1e-10)
    value, slope = cluster_slopes.observables["energy"]
    by_name = dict(zip(cluster_slopes.parameters, slope))
    assert value == cluster.energy
    # E is proportional to epsilon; and dE/dsigma = -virial / sigma vanishes at rest: forces of
    # 1e-11 times distances below 3 on 13 particles.
    assert by_name["epsilon"] == pytest.approx(cluster.energy, rel=1e-12)
    assert by_name["sigma"] == pytest.approx(0.0, abs=1e-9)


def test_six_motions_are_free(cluster_slopes):
    certificate = cluster_slopes.certificate
    assert certificate.trusted, certificate.reason
    assert certificate.zero_modes == certificate.expected_zero_modes == 6
    assert certificate.negative_modes == 0
    assert np.isinf(certificate.validity_radius).all()  # nothing jumps


def test_a_dimer_has_five_free_motions():
    along = np.array([0.48, 0.6, 0.64]) * 1.2  # a direction of its own
    end = relax(System(Structure([np.zeros(3), along]), LennardJones(1.3)), fmax=1e-11)
    certificate = sensitivity(end).certificate
    assert certificate.trusted, certificate.reason
    assert certificate.zero_modes == certificate.expected_zero_modes == 5


# --- dimers --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("law", "length", "slopes"),
    [
        # r* = 2^(1/6) sigma
        (LennardJones(1.3, 0.7), 1.3 * 2 ** (1 / 6), {"sigma": 2 ** (1 / 6), "epsilon": 0.0}),
        (Morse(1.2, 0.7, 3.0), 1.2, {"sigma": 1.0, "epsilon": 0.0, "alpha": 0.0}),
    ],
    ids=["lennard-jones", "morse"],
)
def test_dimers(law, length, slopes):
    end = relax(System(Structure([[0.0, 0.0], [1.25, 0.3]]), law), fmax=1e-11)
    vector = end.position[1] - end.position[0]
    r = np.linalg.norm(vector)
    # A force of 1e-11 over curvatures above 10.
    assert r == pytest.approx(length, abs=1e-12)
    found = sensitivity(end)
    for name, expected in slopes.items():
        stretch = (found[name][1] - found[name][0]) @ vector / r
        assert stretch == pytest.approx(expected, rel=0, abs=1e-10), name


# --- springs between walls -----------------------------------------------------------------------


def test_two_unequal_springs():
    # x = l + k2 (D - 2 l) / (k1 + k2) between walls at 0 and D = 3, rest length l = 1:
    # dx/dk1 = -k2 (D - 2l) / (k1 + k2)^2, dx/dk2 = k1 (D - 2l) / (k1 + k2)^2,
    # dx/dl = 1 - 2 k2 / (k1 + k2).
    walls = Structure([[0.0, 0.0], [1.2, 0.0], [3.0, 0.0]], fixed=[0, 2])
    first, second = 1.0, 3.0
    springs = HarmonicBonds([[0, 1], [1, 2]], stiffness=[first, second], length=1.0)
    found = sensitivity(relax(System(walls, springs), fmax=1e-12))
    total = first + second
    expected = {
        "stiffness[0]": -second / total**2,
        "stiffness[1]": first / total**2,
        "length": 1 - 2 * second / total,
    }
    assert found.parameters == tuple(expected)
    for name, slope in expected.items():
        # known to 1e-12 / 4, with factors of order one
        np.testing.assert_allclose(found[name][1], [slope, 0.0], rtol=0, atol=1e-11)
        np.testing.assert_array_equal(found[name][[0, 2]], 0.0)
    assert found.certificate.trusted, found.certificate.reason
    assert found.certificate.zero_modes == found.certificate.expected_zero_modes == 4
    # The energy's slope by a stiffness is half the square of its bond's stretch (envelope).
    slope = found.observables["energy"][1]
    stretch = np.array([0.75, 0.25])
    np.testing.assert_allclose(slope[:2], stretch**2 / 2, rtol=0, atol=1e-11)


# --- the envelope theorem, and Maxwell's symmetry ------------------------------------------------


def test_envelope(packings, slopes):
    # dE*/dtheta is the slope at fixed positions: the detour through positions costs no energy.
    for equilibrium, slope in zip(packings, slopes):
        for k, name in enumerate(slope.parameters):
            at_fixed = ENVELOPE[name](equilibrium.system)
            total = slope.observables["energy"][1][k]
            # |F| |J| : forces of 1e-14 on 128 particles that move by up to 1e2 a unit.
            assert total == pytest.approx(float(at_fixed), rel=1e-10)


def _at_fixed_positions(name):
    def slope(system):
        value = {"diameter[B]": 0.6, "diameter[A]": 1.0, "epsilon": 1.0}[name]
        return jax.grad(lambda t: energy(system.replace_parameters({name: t})))(value)

    return jax.jit(slope)


ENVELOPE = {name: _at_fixed_positions(name) for name in ("diameter[A]", "diameter[B]", "epsilon")}


@pytest.fixture(scope="module")
def small():
    """Twelve jammed disks; contact changes are 1e-3 away (see test_certificate)."""
    return relax(packing(number=12, seed=1), fmax=1e-11)


def test_maxwell(small):
    names = ("diameter[A]", "diameter[B]", "epsilon")
    theta = jnp.array([1.0, 0.6, 1.0])

    def least(theta):
        system = small.system.replace_parameters(dict(zip(names, theta)))
        return jax.jit(energy)(relaxed(system))

    second = np.asarray(jax.hessian(least)(theta))
    size = np.abs(second).max()
    # Linear solves to 1e-12 and a minimum known to 1e-11 / curvature 1e-2.
    np.testing.assert_allclose(second, second.T, rtol=0, atol=1e-9 * size)
    # d2E = E_tt - b_t' H^+ b_f, from NumPy's pseudo-inverse of autodiff's Hessian.
    position = jnp.asarray(small.position)

    def at(x, theta):
        return energy(small.system.replace_parameters(dict(zip(names, theta))).with_position(x))

    h = np.asarray(jax.jit(jax.hessian(at))(position, theta)).reshape(24, 24)
    b = np.asarray(jax.jit(jax.jacfwd(jax.grad(at), argnums=1))(position, theta)).reshape(24, 3)
    explicit = np.asarray(jax.jit(jax.hessian(at, argnums=1))(position, theta))
    expected = explicit - b.T @ np.linalg.pinv(h, rcond=1e-10) @ b
    np.testing.assert_allclose(second, expected, rtol=0, atol=1e-9 * size)
    # E is homogeneous of degree one in epsilon, positions unmoved: d2E/deps2 = 0.
    assert second[2, 2] == pytest.approx(0.0, abs=1e-9 * size)


# --- packings ------------------------------------------------------------------------------------


def test_uniform_epsilon_leaves_a_packing_where_it_is(slopes):
    for slope in slopes:
        assert "epsilon" in slope.parameters
        # B is the force itself, 1e-14 and below 1e-10 at worst, over curvatures above 1e-3.
        np.testing.assert_allclose(slope["epsilon"], 0, atol=1e-8)


def test_the_centre_of_mass_stays(slopes):
    for slope in slopes:
        drift = np.abs(slope.position.sum(axis=0)).max()
        assert drift <= 1e-12 * np.abs(slope.position).sum(axis=0).max()


def test_pressure_is_proportional_to_epsilon(slopes):
    for slope in slopes:
        value, by = slope.observables["pressure"]
        assert value > 0
        # The positions' part of the slope is epsilon's J = 0 up to 1e-8 times stiffnesses / V.
        assert by[slope.parameters.index("epsilon")] == pytest.approx(value, rel=1e-8)


def crystal(law):
    """A triangular lattice with a basis of four, under pressure."""
    box = np.array([[2.1, 0.0], [1.05, 2.1 * np.sqrt(3) / 2]])
    corners = np.array([[0, 0], [0.5, 0], [0, 0.5], [0.5, 0.5]]) @ box
    return System(Structure(corners + np.array([0.1, 0.2]), box=box), law)


def test_a_perfect_crystal_does_not_move():
    system = crystal(LennardJones(1.0, 0.7, cutoff=2.5))
    found = sensitivity(relax(system, fmax=1e-10))
    # Every particle is a centre of symmetry: forces and their slopes vanish term by term, up to
    # the rounding of 50 neighbours with forces of order ten.
    np.testing.assert_allclose(found.position, 0, atol=1e-12)
    assert found.certificate.trusted, found.certificate.reason
    assert found.certificate.zero_modes == 2
    value, slope = found.observables["pressure"]
    assert slope[found.parameters.index("epsilon")] == pytest.approx(value / 0.7, rel=1e-11)
    assert value != pytest.approx(0.0, abs=1e-2)
    # Lengths scale together: P V is a function of V / sigma^2, so in two dimensions, with the
    # cutoff held, only the derivative at scaled cutoff is known; it is checked against differences
    # of the pressure in test_sensitivity.


HESSIAN = jax.jit(jax.hessian(lambda x, system: energy(system.with_position(x))))


def test_zero_modes_of_a_loose_packing(loose_packing):
    # n0 = d + sum over rattlers of max(0, d - k), k the rattler's contacts: here all unknowns of
    # the rattlers are left out of the system, so the certificate counts d of each.
    end, found = loose_packing
    certificate = found.certificate
    assert len(found.rattlers) > 1
    assert certificate.trusted, certificate.reason
    assert certificate.zero_modes == 2 + 2 * len(found.rattlers)
    assert certificate.expected_zero_modes == certificate.zero_modes
    # A rattler takes no part; what eigenvectors mix in is eps / the smallest relative curvature.
    leak = 1e4 * 2.2e-16 * certificate.largest_curvature / certificate.smallest_curvature
    assert np.abs(found.position[found.rattlers]).max(initial=0.0) <= leak

    # The whole Hessian, rattlers included, from autodiff, counted by NumPy.
    listed = systems.list_neighbors(end.system)
    touching = np.asarray(contacts.contact_number(end.system, listed))[found.rattlers]
    hessian = np.asarray(HESSIAN(jnp.asarray(end.position), end.system)).reshape(128, 128)
    values = np.linalg.eigvalsh(hessian)
    zero = int((np.abs(values) < 1e-10 * values.max()).sum())
    assert zero == 2 + int(np.maximum(0, 2 - touching).sum())


@pytest.mark.parametrize("along", [(1.0, 0.0, 0.0), (1.0, 1.0, 0.0), (1.0, -2.0, 0.5)])
def test_a_wire_turns_about_its_own_axis(along):
    """One periodic edge, in whatever direction: three translations and one rotation."""
    turn = np.linalg.qr(np.column_stack([along, np.eye(3)[:, 1:]]))[0]
    turn[:, 0] *= np.sign(turn[:, 0] @ along)
    zigzag = np.array([[0.0, 0.0, 0.0], [0.9, 0.6, 0.0], [1.8, 0.1, 0.5]])
    box = np.diag([2.9, 9.0, 9.0])
    structure = Structure(zigzag @ turn.T, box=box @ turn.T, boundary=(True, False, False))
    rest = relax(System(structure, LennardJones(cutoff=1.4)), fmax=1e-11)
    certificate = sensitivity(rest, "sigma").certificate
    assert certificate.expected_zero_modes == 4
