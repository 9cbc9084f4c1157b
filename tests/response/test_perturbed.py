"""Derivatives put to the test: known errors, contacts that change, steps that tell nothing."""

from dataclasses import replace

import jax.numpy as jnp
import numpy as np
import pytest

from simsens import packing, relax, sensitivity
from simsens.particles.parameters import UnknownParameter
from simsens.particles.potentials import EnergyFunction, LennardJones
from simsens.particles.structure import Structure
from simsens.particles.system import System
from simsens.response.perturbed import perturb

FMAX = 1e-11


@pytest.fixture(scope="module")
def disks():
    """A packing of 16 disks and its derivatives."""
    minimum = relax(packing(number=16, seed=1), fmax=FMAX)
    return minimum, sensitivity(minimum)


def well(**fixed):
    """Two particles, each in its own well at (theta^2, 0) from where it started: x is known."""

    def energy(position, theta=1.5):
        aim = jnp.array([[0.0, 0.0], [3.0, 0.0]]) + jnp.array([[1.0, 0.0], [0.0, 1.0]]) * theta**2
        return jnp.sum((position - aim) ** 2)

    start = Structure([[0.0, 0.0], [3.0, 0.1]], **fixed)
    minimum = relax(System(start, EnergyFunction(energy)), fmax=FMAX)
    return minimum, sensitivity(minimum)


def test_errors_are_those_that_are_known():
    """x = theta^2: the prediction misses delta^2 of 2 theta delta, a central difference nothing."""
    minimum, slope = well()
    steps = np.array([1e-1, 1e-2, 1e-3])
    found = perturb(minimum, slope, steps=steps)
    assert found.parameter == "theta"
    assert found.converged.all()
    np.testing.assert_array_equal(found.steps, steps)
    # The wells know where the particles are: no motion is taken out. Up moves furthest.
    np.testing.assert_allclose(found.displacement, 2 * 1.5 * steps + steps**2, rtol=1e-9)
    np.testing.assert_allclose(found.prediction_error, steps / (3 + steps), rtol=1e-7)
    assert found.difference_error.max() < 1e-9


def test_rigid_motion_is_no_displacement():
    """A free pair keeps its middle only up to the drift of the optimiser, which is no error."""
    pair = System(Structure([[0.0, 0.0, 0.0], [1.2, 0.3, 0.1]]), LennardJones())
    minimum = relax(pair, fmax=FMAX)
    found = perturb(minimum, sensitivity(minimum, wrt="sigma"), steps=[1e-2])
    # r = 2^(1/6) sigma: linear, so that neither first order nor a difference misses anything.
    np.testing.assert_allclose(found.displacement, 2 ** (1 / 6) * 1e-2 / 2, rtol=1e-6)
    assert found.prediction_error[0] < 1e-6
    assert found.difference_error[0] < 1e-6


def test_fixed_particles_are_no_part_of_it():
    minimum, slope = well(fixed=[0])
    found = perturb(minimum, slope, steps=[1e-2])
    np.testing.assert_allclose(found.displacement, 2 * 1.5e-2 + 1e-4, rtol=1e-9)


def test_default_steps_are_a_u_whose_bottom_confirms_the_derivative(disks):
    minimum, slope = disks
    name = "diameter[B]"
    found = perturb(minimum, slope, name)
    certificate, k = slope.certificate, slope.parameters.index(name)
    assert certificate.trusted
    steps = found.steps
    np.testing.assert_allclose(np.diff(np.log(steps)), np.log(steps[1] / steps[0]))
    assert 7 <= len(steps) <= 17
    assert steps[-1] <= 0.1 * slope.values[k]
    assert steps[0] < 1e-3 * steps[-1]
    error = found.difference_error
    best = int(np.nanargmin(error))
    assert 0 < best < len(steps) - 1
    assert error[best] < 1e-7
    assert error[best] < 1e-2 * min(error[0], error[-1])
    # Between rounding and the first change of contacts the prediction errs in proportion to the
    # step, and by one percent where the certificate said, which measures all particles together.
    limit = min(certificate.validity_radius[k].min(), certificate.one_percent_step[k])
    clean = found.converged & (steps < limit) & (steps > 1e-3 * limit)
    assert clean.sum() >= 2
    rate = found.prediction_error[clean] / steps[clean]
    np.testing.assert_allclose(rate, rate.mean(), rtol=0.05)
    assert rate.mean() == pytest.approx(0.01 / certificate.one_percent_step[k], rel=1.0)


def test_contacts_that_change_break_the_prediction(disks):
    minimum, slope = disks
    radius = slope.certificate.validity_radius[0].min()
    assert np.isfinite(radius)
    found = perturb(minimum, slope, slope.parameters[0], steps=[0.3 * radius, 3 * radius])
    assert found.converged.all()
    assert found.difference_error[0] < 1e-2 * found.difference_error[1]


def test_the_derivative_is_not_compared_with_itself(disks):
    """From the prediction a small step would be at rest at once, whatever J is."""
    minimum, slope = disks
    wrong = replace(slope, position=1.01 * slope.position)
    found = perturb(minimum, wrong, "diameter[B]", steps=[1e-8, 1e-6])
    np.testing.assert_allclose(found.difference_error, 0.01 / 1.01, rtol=1e-2)
    assert (found.prediction_error > 5e-3).all()


def test_steps_too_small_to_move_anything_tell_nothing(disks):
    minimum, slope = disks
    found = perturb(minimum, slope, "diameter[B]", steps=[1e-14, 1e-6])
    np.testing.assert_array_equal(found.converged, [False, True])
    for errors in (found.displacement, found.prediction_error, found.difference_error):
        np.testing.assert_array_equal(np.isnan(errors), [True, False])


def test_no_minimum_is_no_number():
    """Past theta = 1 the well falls away: what is reached there is no minimum."""

    def energy(position, theta=0.5):
        return jnp.sum(position**2) - theta * jnp.sum(position**2) + 0.1 * theta * position[0, 0]

    minimum = relax(System(Structure([[0.3, 0.1]]), EnergyFunction(energy)), fmax=FMAX)
    found = perturb(minimum, sensitivity(minimum), steps=[1e-3, 0.7])
    np.testing.assert_array_equal(found.converged, [True, False])
    assert np.isnan(found.difference_error[1])


def test_an_unconverged_minimum_can_be_tried():
    minimum = relax(packing(number=16, seed=1), steps=60, throw=False)
    slope = sensitivity(minimum)
    assert not slope.certificate.trusted
    found = perturb(minimum, slope, "diameter[B]", steps=[1e-3])
    assert found.converged.shape == (1,)
    assert not found.difference_error[0] < 1e-3  # and does not pass


@pytest.mark.parametrize(
    ("parameter", "steps", "error", "said"),
    [
        ("sigma", [1e-3], UnknownParameter, "known are"),
        ("diameter[B]", [0.0], ValueError, "steps must be positive"),
        ("diameter[B]", [-1e-3], ValueError, "steps must be positive"),
        ("diameter[B]", [np.nan], ValueError, "steps must be positive"),
        ("diameter[B]", [[1e-3]], ValueError, "steps must be positive"),
        ("epsilon", None, ValueError, "nothing moves with 'epsilon'"),
    ],
)
def test_what_cannot_be_tried_is_refused(disks, parameter, steps, error, said):
    with pytest.raises(error, match=said):
        perturb(*disks, parameter, steps)


def test_derivatives_of_another_structure_are_refused(disks):
    minimum, slope = disks
    with pytest.raises(ValueError, match="another structure"):
        perturb(minimum, replace(slope, position=slope.position[:3]), steps=[1e-3])


def test_a_derivative_that_is_no_number_is_refused(disks):
    minimum, slope = disks
    with pytest.raises(ValueError, match="not a number"):
        perturb(minimum, replace(slope, position=np.nan * slope.position), steps=[1e-3])
