"""The evidence: bounds that hold, and refusals where a derivative would mislead."""

import jax.numpy as jnp
import numpy as np
import pytest

from simsens import packing, relax, sensitivity
from simsens.particles import contacts
from simsens.particles import system as systems
from simsens.particles.potentials import EnergyFunction, HarmonicBonds, LennardJones, SoftSphere
from simsens.particles.structure import Structure
from simsens.particles.system import System

pytestmark = pytest.mark.usefixtures("optimised")

DIAMETERS = ("diameter[B]", "diameter[A]")


def relative(found, expected):
    return np.linalg.norm(found - expected) / np.linalg.norm(expected)


# --- what may be trusted -------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(10))
def test_default_packings_are_trusted(packings, seed):
    certificate = sensitivity(packings[seed], wrt=DIAMETERS).certificate
    assert certificate.trusted, certificate.reason
    assert certificate.zero_modes == certificate.expected_zero_modes == 2
    assert certificate.negative_modes == 0
    assert 0 < certificate.smallest_curvature < certificate.largest_curvature
    # Newton brought the forces to rounding: 1e4 for the condition and 1e2 for the digits lost in
    # forces that cancel, times eps.
    assert certificate.error_bound.max() < 1e6 * 2.2e-16
    assert certificate.linear_residual.max() < 1e-12
    assert "trusted" in str(certificate)


@pytest.mark.parametrize("seed", range(10))
def test_a_parameter_without_effect_does_not_spoil_the_verdict(slopes, seed):
    # All parameters, epsilon among them: its derivative is zero.
    assert slopes[seed].certificate.trusted, slopes[seed].certificate.reason


def test_a_parameter_without_effect_has_a_small_bound(slopes):
    # What the rounding of the forces at the minimum leaves, 5e-15 here and as large by chance as
    # twice that, bounds it at 5e-7 to 1e-6.
    assert max(slope.certificate.error_bound.max() for slope in slopes) < 2e-6


def test_the_parameter_whose_bound_is_too_large_is_named():
    """A scale alone moves nothing; stopped early, it seems to move what is not at rest."""
    end = relax(packing(number=24, seed=3), fmax=1e-4)
    found = sensitivity(end)
    worst = found.parameters[int(found.certificate.error_bound.argmax())]
    assert not found.certificate.trusted
    assert f"of the derivative by {worst} exceeds 0.001" in found.certificate.reason


# --- the bound against the truth -----------------------------------------------------------------


@pytest.fixture(scope="module")
def stopped_early():
    """(fmax, seed, certificate, true relative errors) of packings stopped at loose tolerances."""
    cases = []
    for seed in range(3):
        for fmax in (1e-3, 1e-4, 1e-6):
            loose = relax(packing(seed=seed), fmax=fmax)
            tight = relax(loose.system, fmax=1e-11)
            early, true = (sensitivity(end, wrt=DIAMETERS) for end in (loose, tight))
            errors = [relative(early[name], true[name]) for name in DIAMETERS]
            cases.append((fmax, seed, early.certificate, np.array(errors)))
    return cases


def test_what_is_trusted_is_right(stopped_early):
    trusted = 0
    for fmax, seed, certificate, errors in stopped_early:
        if certificate.trusted:
            trusted += 1
            # Newton's own error is second order in a step that changes the derivative by a
            # thousandth at most (what is trusted): a thousandth of the bound.
            assert (errors <= 1.001 * certificate.error_bound).all(), (fmax, seed)
    assert trusted >= 1


def test_what_is_wrong_is_refused(stopped_early):
    wrong = [case for case in stopped_early if case[3].max() > 1e-3]
    assert len(wrong) >= 3
    for fmax, seed, certificate, _ in wrong:
        assert not certificate.trusted, (fmax, seed)
        assert certificate.reason


def test_tighter_minima_have_smaller_bounds(stopped_early):
    for seed in range(3):
        bounds = [c.error_bound.max() for _, s, c, _ in stopped_early if s == seed]
        assert bounds[-1] < bounds[0]
    assert all(c.root_error >= 0 for _, _, c, _ in stopped_early)


# --- refusals ------------------------------------------------------------------------------------


def test_a_saddle_is_refused():
    # Three Lennard-Jones particles in a row: the forces vanish, and the row wants to fold.
    row = System(Structure([[-1.1, 0.0], [0.0, 0.0], [1.1, 0.0]]), LennardJones())
    end = relax(row, fmax=1e-9)
    assert end.converged  # the force says nothing of it
    np.testing.assert_array_equal(end.position[:, 1], 0.0)
    certificate = sensitivity(end).certificate
    assert not certificate.trusted
    assert certificate.negative_modes == 1
    assert "saddle" in certificate.reason
    assert "NOT TRUSTED" in str(certificate)


def test_an_unfinished_relaxation_is_refused():
    state = relax(packing(number=12, seed=1), steps=20, throw=False)
    certificate = sensitivity(state).certificate
    assert not certificate.trusted
    assert "not at rest" in certificate.reason
    assert certificate.optimality_residual == state.max_force


def test_a_floppy_network_is_refused():
    # A square of four springs shears freely.
    square = Structure([[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0]])
    sides = [[0, 1], [1, 2], [2, 3], [3, 0]]
    certificate = sensitivity(relax(System(square, HarmonicBonds(sides)))).certificate
    assert not certificate.trusted
    assert certificate.zero_modes == certificate.expected_zero_modes + 1 == 4
    assert "1 floppy mode" in certificate.reason
    braced = HarmonicBonds([*sides, [0, 2]], length=[1.0] * 4 + [2**0.5])
    assert sensitivity(relax(System(square, braced))).certificate.trusted


def test_an_unjammed_packing_is_refused():
    end = relax(packing(number=12, fraction=0.4, seed=1), fmax=1e-9)
    assert end.energy < 1e-12
    found = sensitivity(end)
    assert len(found.rattlers) == 12
    assert not found.certificate.trusted
    assert "nothing holds" in found.certificate.reason
    assert not found.position.any()


def test_a_pair_that_just_touches_is_refused():
    # A triangular lattice at exactly touching distance: every contact may open or close.
    box = np.array([[4.0, 0.0], [2.0, 2.0 * np.sqrt(3)]])
    cells = np.stack(np.indices((4, 4)).reshape(2, -1), axis=1) / 4
    end = relax(System(Structure(cells @ box, box=box), SoftSphere(1.0)))
    assert not sensitivity(end).certificate.trusted


# --- how far it holds ----------------------------------------------------------------------------


def touching(system):
    """The pairs in contact, rattlers' left out."""
    listed = systems.list_neighbors(system)
    gap = np.asarray(contacts.gaps(system, listed))
    loose = np.asarray(contacts.rattlers(system, listed))
    pairs = [(int(i), int(listed.index[i, k])) for i, k in np.argwhere(gap < 0)]
    return {pair for pair in pairs if not loose[list(pair)].any()}


@pytest.mark.parametrize("seed", [0, 1, 4])
@pytest.mark.parametrize("side", [0, 1])
def test_contact_radius(packings, slopes, seed, side):
    # The first contact change lies between 0.85 and 1.15 of the radius: the same contacts before,
    # others after. (0.88 to 1.02 was measured for seven packings, and 3 to 14 % is what first order
    # misses there. It holds for eight of the ten; a soft one may give way before a contact does.)
    equilibrium, certificate = packings[seed], slopes[seed].certificate
    k = slopes[seed].parameters.index("diameter[B]")
    radius = certificate.validity_radius[k, side] * (-1, 1)[side]

    def contacts_at(fraction):
        value = slopes[seed].values[k] + fraction * radius
        system = equilibrium.system.replace_parameters({"diameter[B]": float(value)})
        return touching(relax(system, fmax=1e-10).system)

    before = touching(equilibrium.system)
    assert contacts_at(0.85) == before
    assert contacts_at(1.15) != before


@pytest.mark.parametrize("seed", [0, 2, 4, 7])
def test_one_percent_step(packings, slopes, seed):
    equilibrium, slope = packings[seed], slopes[seed]
    k = slope.parameters.index("diameter[B]")
    step = slope.certificate.one_percent_step[k]
    # Half of it: the error is linear in the step, and the contacts are the same.
    fraction = min(1.0, 0.8 * slope.certificate.validity_radius[k, 1] / step)
    assert fraction > 0.3
    value = float(slope.values[k] + fraction * step)
    system = equilibrium.system.replace_parameters({"diameter[B]": value})
    move = relax(system, fmax=1e-11).position - equilibrium.position
    predicted = fraction * step * slope["diameter[B]"]
    missed = np.linalg.norm(move - move.mean(axis=0) - predicted) / np.linalg.norm(predicted)
    assert missed == pytest.approx(0.01 * fraction, rel=0.2)


def test_nothing_jumps_in_a_smooth_law():
    start = Structure([[0.0, 0.0], [1.1, 0.0], [0.5, 0.9]])
    found = sensitivity(relax(System(start, LennardJones()), fmax=1e-11), wrt="sigma")
    assert np.isinf(found.certificate.validity_radius).all()
    # X is proportional to sigma: first order is exact, whatever the step, up to rounding over the
    # square of the probe (1e-3): 1e-16 / 1e-6 of the step at which it would be one percent.
    assert found.certificate.one_percent_step[0] > 1e3


def test_rattlers_are_told(loose_packing):
    _, found = loose_packing
    assert len(found.rattlers) >= 1
    assert any("rattler" in note for note in found.certificate.notes)


def test_rattlers_answer_with_zero_exactly(loose_packing):
    _, found = loose_packing
    np.testing.assert_array_equal(found.position[found.rattlers], 0.0)


def test_single_precision_is_noted():
    system = packing(number=12, seed=1)
    single = system.with_position(system.structure.position.astype(np.float32))
    certificate = sensitivity(relax(single, fmax=1e-5), "diameter[B]").certificate
    assert any("single precision" in note for note in certificate.notes)


@pytest.mark.parametrize("side", [8, 30])
def test_a_gas_without_contacts_is_not_trusted(side):
    """Dense for the small one; a sparse matrix without an entry for the other."""
    apart = 2.0 * np.indices((side, side)).reshape(2, -1).T
    gas = System(Structure(apart, box=2.0 * side), SoftSphere(diameter=1.0))
    slope = sensitivity(relax(gas, fmax=1e-10), wrt="diameter")
    assert not slope.certificate.trusted
    assert "nothing holds" in slope.certificate.reason
    assert not np.asarray(slope["diameter"]).any()


def test_a_field_that_is_off_is_judged_by_what_it_does():
    """Of a parameter that is zero no derivative is negligible, and no bound without meaning."""

    def energy(x, field=0.0):
        y = x - jnp.array([[0.0, 0.0], [3.0, 0.0]])
        return jnp.sum(y**4 / 4 + 0.01 * y**2 / 2) - (field + 1e-3) * jnp.sum(x)

    system = System(Structure([[0.3, 0.2], [3.2, -0.2]]), EnergyFunction(energy))
    loose = sensitivity(relax(system, fmax=5e-3), wrt="field").certificate
    assert not loose.trusted
    assert "error bound" in loose.reason
    there = sensitivity(relax(system, fmax=1e-12), wrt="field")
    assert there.certificate.trusted, there.certificate.reason
    assert np.isfinite(there.certificate.one_percent_step).all()


@pytest.mark.parametrize("seed", range(4))
def test_single_precision_is_trusted_as_far_as_it_goes(seed):
    system = packing(number=20, seed=seed)
    single = system.with_position(system.structure.position.astype(np.float32))
    rest = relax(single, fmax=1e-5)
    found = sensitivity(rest, "diameter[B]")
    double = rest.system.with_position(np.asarray(rest.position, float))
    exact = sensitivity(relax(double, fmax=1e-12), "diameter[B]")
    assert "linear solve" not in found.certificate.reason
    error = relative(np.asarray(found.position, float), exact.position)
    assert error < found.certificate.error_bound[0]


@pytest.mark.parametrize("mode", ["truncate", "shift"])
def test_a_pair_that_crosses_a_cutoff_ends_the_validity(mode):
    """Second neighbours of a hexagon just within the cutoff leave it when sigma rises."""
    angle = np.arange(6) * np.pi / 3
    ring = np.vstack([np.zeros((1, 2)), np.stack([np.cos(angle), np.sin(angle)], axis=1)])
    law = LennardJones(cutoff=1.92, mode=mode)
    rest = relax(System(Structure(1.1 * ring), law), fmax=1e-12)
    found = sensitivity(rest, "sigma")
    position = np.asarray(rest.position)
    apart = np.linalg.norm(position[:, None] - position, axis=-1)
    pairs = apart[np.triu_indices(7, 1)]
    # Everything scales with sigma but the cutoff: a gap closes at the rate r / sigma.
    crossing = 1.92 / pairs - 1
    fall, rise = found.certificate.validity_radius[0]
    assert fall == pytest.approx(-crossing[crossing < 0].max(), rel=1e-6)
    assert 0 < rise <= crossing[crossing > 0].min()  # pairs beyond the list may come in
