"""The minimum as a function: every transformation of JAX, against closed forms and differences."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from simsens import distance, energy, packing, pressure, relax, relaxed, sensitivity
from simsens.particles.potentials import EnergyFunction, HarmonicBonds, LennardJones
from simsens.particles.structure import Structure
from simsens.particles.system import System
from simsens.response.equilibrium import NotConverged
from tests import finite_difference

# Compiled as one program each: eager, their hundred operations would be compiled one by one.
ENERGY, PRESSURE, DISTANCE = jax.jit(energy), jax.jit(pressure), jax.jit(distance)

WALLS = Structure([[0.0, 0.0], [1.2, 0.0], [3.0, 0.0]], fixed=[0, 2])


def middle(first, second, length=1.0):
    """Two springs between walls at 0 and 3: x = l + k2 (3 - 2 l) / (k1 + k2)."""
    springs = HarmonicBonds([[0, 1], [1, 2]], stiffness=jnp.stack([first, second]), length=length)
    return relaxed(System(WALLS, springs)).structure.position[1, 0]


def closed(first, second, length=1.0):
    return length + second * (3 - 2 * length) / (first + second)


ARGUMENTS = (jnp.asarray(1.0), jnp.asarray(3.0), 0.9)


# --- springs: all orders, all modes ---------------------------------------------------------------


@pytest.mark.parametrize("mode", [jax.jacfwd, jax.jacrev])
def test_first_derivatives(mode):
    found = mode(middle, argnums=(0, 1, 2))(*ARGUMENTS)
    expected = jax.grad(closed, argnums=(0, 1, 2))(*ARGUMENTS)
    # fmax 1e-10 over a stiffness of 4.
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-10)


def test_second_derivatives():
    found = jax.hessian(middle, argnums=(0, 1))(*ARGUMENTS)
    expected = jax.hessian(closed, argnums=(0, 1))(*ARGUMENTS)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-10)


def test_jit_and_vmap():
    stiffness = jnp.array([0.5, 1.0, 4.0])
    slope = jax.value_and_grad(lambda k: middle(k, ARGUMENTS[1]))
    values, slopes = jax.jit(jax.vmap(slope))(stiffness)
    expected = jax.vmap(jax.value_and_grad(lambda k: closed(k, 3.0)))(stiffness)
    np.testing.assert_allclose(values, expected[0], rtol=0, atol=1e-10)
    np.testing.assert_allclose(slopes, expected[1], rtol=0, atol=1e-10)


def test_what_is_fixed_pulls_along_and_the_start_of_what_is_free_does_not():
    # x = k2 D / (k1 + k2) + ... : a wall that moves takes the middle along by k2 / (k1 + k2).
    springs = HarmonicBonds([[0, 1], [1, 2]], stiffness=[1.0, 3.0], length=1.0)

    def place(position):
        return relaxed(System(WALLS.with_position(position), springs)).structure.position

    slope = jax.jacfwd(place)(jnp.asarray(WALLS.position))[:, 0, :, 0]
    expected = [[1.0, 0.0, 0.0], [0.25, 0.0, 0.75], [0.0, 0.0, 1.0]]
    np.testing.assert_allclose(slope, expected, rtol=0, atol=1e-10)
    np.testing.assert_array_equal(slope[:, 1], 0.0)
    held = place(jnp.asarray(WALLS.position))
    np.testing.assert_array_equal(held[jnp.array([0, 2])], WALLS.position[[0, 2]])


# --- a packing ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def small():
    return relax(packing(number=12, seed=1), fmax=1e-11)


def crowd(equilibrium, b):
    """The pressure as a function of a diameter, from a relaxation that starts at the minimum."""
    return PRESSURE(relaxed(equilibrium.system.replace_parameters({"diameter[B]": b})))


def test_gradients_of_what_is_measured(small):
    found = sensitivity(small, "diameter[B]")
    # Two routes to one number, both by direct solves; conditions below 1e4.
    slope = jax.grad(lambda b: crowd(small, b))(0.6)
    assert float(slope) == pytest.approx(found.observables["pressure"][1][0], rel=1e-10)


def test_under_jit_it_relaxes_to_the_same_minimum(small):
    value, slope = jax.jit(jax.value_and_grad(lambda b: crowd(small, b)))(0.6)
    found = sensitivity(small, "diameter[B]")
    # FIRE alone stops at 1e-10: positions to 1e-10 / curvature 1e-2.
    assert float(value) == pytest.approx(found.observables["pressure"][0], rel=1e-7)
    assert float(slope) == pytest.approx(found.observables["pressure"][1][0], rel=1e-6)


def test_not_converging_is_nan_under_jit_and_an_error_outside(small):
    def start(b):
        return packing(number=12, seed=1).replace_parameters({"diameter[B]": b})

    def loss(b):
        return ENERGY(relaxed(start(b), steps=5))

    value, slope = jax.jit(jax.value_and_grad(loss))(0.6)
    assert np.isnan(value)
    assert np.isnan(slope)
    with pytest.raises(NotConverged, match="budget of 5 steps") as stopped:
        loss(0.6)
    assert stopped.value.equilibrium.iterations == 5
    with pytest.raises(NotConverged, match="budget of 5 steps"):
        jax.grad(loss)(0.6)


# --- design: a loss with many parameters ----------------------------------------------------------


def test_a_loss_over_all_bonds():
    rng = np.random.default_rng(0)
    corners = np.array([[0.0, 0.0], [2.0, 0.0], [2.0, 2.0], [0.0, 2.0], [0.9, 1.1], [1.2, 0.8]])
    bonds = [(i, j) for i in range(6) for j in (4, 5) if i < j]
    structure = Structure(corners, fixed=[0, 1, 2, 3])
    length = np.linspace(0.9, 1.3, len(bonds))
    target = jnp.array([1.1, 0.9])

    def loss(stiffness):
        at = relaxed(System(structure, HarmonicBonds(bonds, stiffness, length)), fmax=1e-12)
        return jnp.sum((at.structure.position[4] - target) ** 2)

    stiffness = rng.uniform(1.0, 2.0, len(bonds))
    slope = jax.grad(loss)(jnp.asarray(stiffness))
    # One direction tells all: positions to 1e-12 over a step of 7e-4, and smooth over lengths of 1.
    direction = rng.standard_normal(len(bonds))
    expected = finite_difference.along(lambda k: loss(jnp.asarray(k)), stiffness, direction)
    assert float(slope @ direction) == pytest.approx(float(expected), rel=0, abs=1e-8)
    assert abs(float(expected)) > 1e-4


# --- boxes, other energies ------------------------------------------------------------------------


def test_the_box_is_differentiable_too(small):
    box = np.asarray(small.system.structure.box)
    cells = small.position @ np.linalg.inv(box)

    def least(scale):
        # The positions follow the box; where they start from has no derivative.
        stretched = Structure(
            jnp.asarray(cells @ box) * scale,
            small.system.structure.species,
            jnp.asarray(box) * scale,
            small.system.structure.boundary,
            None,
            small.system.structure.species_names,
        )
        return ENERGY(relaxed(System(stretched, small.system.potential)))

    # dE/ds = -p dV/ds = -p d V at the minimum, by the envelope theorem.
    volume = float(np.linalg.det(box))
    expected = -2 * volume * float(PRESSURE(small.system))
    assert float(jax.grad(least)(1.0)) == pytest.approx(expected, rel=1e-9)


def test_a_users_energy():
    def well(position, depth=2.0, place=0.7):
        return depth * jnp.sum((position - place) ** 2)

    start = Structure([[0.1, 0.2], [1.0, -0.3]])

    def mean(depth, place):
        system = System(start, EnergyFunction(well, {"depth": depth, "place": place}))
        return jnp.mean(relaxed(system).structure.position)

    slopes = jax.grad(mean, argnums=(0, 1))(2.0, 0.7)
    np.testing.assert_allclose(slopes, (0.0, 1.0), rtol=0, atol=1e-10)


def test_batches_of_starts():
    starts = jnp.array([[[0.0, 0.0], [r, 0.0]] for r in (1.0, 1.2, 1.4)])

    def length(start, sigma):
        return DISTANCE(relaxed(System(Structure(start), LennardJones(sigma))), 0, 1)

    batch = jax.vmap(jax.value_and_grad(length, argnums=1), in_axes=(0, None))
    values, slopes = batch(starts, 1.1)
    # fmax 1e-10 over a curvature of 50.
    np.testing.assert_allclose(values, 1.1 * 2 ** (1 / 6), rtol=0, atol=1e-11)
    np.testing.assert_allclose(slopes, 2 ** (1 / 6), rtol=0, atol=1e-9)


@pytest.mark.parametrize("solver", ["dense", "sparse"])
def test_a_saddle_has_no_derivative(solver, monkeypatch):
    """Four atoms on a square stay there for symmetry's sake, and would fall off it."""
    square = Structure(np.array([[0.0, 0.0], [1.1, 0.0], [0.0, 1.1], [1.1, 1.1]]))
    monkeypatch.setattr("simsens.response.relaxed.method_for", lambda system: solver)
    side = lambda sigma: distance(relaxed(System(square, LennardJones(sigma))), 0, 1)  # noqa: E731
    jax.clear_caches()  # the way of solving is no part of what a program is known by
    assert np.isnan(jax.grad(side)(1.0))
    jax.clear_caches()
