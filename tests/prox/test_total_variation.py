"""Total variation against a bounded least-squares solver for the dual, and by optimality."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.optimize

from simsens.prox import prox_total_variation_1d
from tests import finite_difference

EPS = np.finfo(float).eps
RNG = np.random.default_rng(0)
jit_slope = jax.jit(jax.jacrev(prox_total_variation_1d))
WALK = np.cumsum(RNG.normal(size=30))


def by_dual(x, weights):
    """y = x - D^T u with u = argmin |x - D^T u|^2, |u_i| <= weight_i: exact by active sets."""
    difference = np.diff(np.eye(x.size), axis=0)
    found = scipy.optimize.lsq_linear(
        difference.T, x, bounds=(-weights, weights), method="bvls", tol=1e-15
    )
    return x - difference.T @ found.x


@pytest.mark.parametrize("weight", [0.01, 0.3, 1.0, 4.0, 100.0])
def test_against_the_dual(weight):
    expected = by_dual(WALK, np.full(29, weight))
    # A least-squares solution with a matrix of condition number 2 n / pi = 20 and entries < 10.
    np.testing.assert_allclose(
        prox_total_variation_1d(WALK, weight), expected, rtol=0, atol=20 * 20 * 10 * EPS
    )


def test_weights_of_jumps_against_the_dual():
    weights = RNG.uniform(0.01, 2.0, size=29)
    expected = by_dual(WALK, weights)
    y = prox_total_variation_1d(WALK, weights)
    np.testing.assert_allclose(y, expected, rtol=0, atol=20 * 20 * 10 * EPS)


@pytest.mark.parametrize("n", [2, 10, 300])
@pytest.mark.parametrize("weight", [0.2, 3.0])
def test_optimality(n, weight):
    """u = running sum of x - y stays within the weights and meets them, by sign, at jumps."""
    x = np.cumsum(np.random.default_rng(n).normal(size=n))
    y = np.asarray(prox_total_variation_1d(x, weight))
    u, jump = np.cumsum(x - y), np.diff(y)
    tolerance = 4 * n * EPS * np.abs(x).max()  # n additions
    assert abs(u[-1]) <= tolerance
    assert np.all(np.abs(u[:-1]) <= weight + tolerance)
    at = jump != 0
    np.testing.assert_allclose(u[:-1][at], -weight * np.sign(jump[at]), rtol=0, atol=tolerance)
    assert n < 10 or 0 < at.sum() < n - 1


def test_large_weights_give_the_mean_and_zero_weights_x():
    np.testing.assert_allclose(
        prox_total_variation_1d(WALK, 1e6), np.full(30, WALK.mean()), rtol=0, atol=30 * EPS
    )
    np.testing.assert_array_equal(prox_total_variation_1d(WALK, 0.0), WALK)
    assert prox_total_variation_1d(jnp.array([3.0]), 1.0).tolist() == [3.0]


def test_shift_and_reflection_commute():
    y = np.asarray(prox_total_variation_1d(WALK, 1.0))
    np.testing.assert_allclose(prox_total_variation_1d(-WALK, 1.0), -y, rtol=0, atol=100 * EPS)
    np.testing.assert_allclose(
        prox_total_variation_1d(WALK[::-1], 1.0), y[::-1], rtol=0, atol=100 * EPS
    )
    far = np.asarray(prox_total_variation_1d(WALK + 1e6, 1.0)) - 1e6
    np.testing.assert_allclose(far, y, rtol=0, atol=10 * 1e6 * EPS)


def test_jacobian_averages_segments_and_moves_them_by_their_jumps():
    """(0, 1, 5, 6), weight 1/2: segments {1}, {2}... found by hand: y = (0.5, 1, 5, 5.5)."""
    x = np.array([0.0, 1.0, 5.0, 6.0])
    np.testing.assert_allclose(prox_total_variation_1d(x, 0.25), [0.25, 1.0, 5.0, 5.75])
    np.testing.assert_allclose(jit_slope(x, 0.25), np.eye(4))
    slope = jax.jit(jax.jacrev(prox_total_variation_1d, argnums=1))
    np.testing.assert_allclose(slope(x, 0.25), [1, 0, 0, -1])
    # Beyond 1/2 both pairs are one segment each, and each moves by half the weight.
    pair = np.full((2, 2), 0.5)
    expected = np.block([[pair, 0 * pair], [0 * pair, pair]])
    np.testing.assert_allclose(jit_slope(x, 1.0), expected)
    np.testing.assert_allclose(slope(x, 1.0), [0.5, 0.5, -0.5, -0.5])


def test_derivatives_of_a_long_walk():
    weights = np.full(29, 0.7)
    jacobian = jax.jit(jax.jacrev(prox_total_variation_1d, argnums=(0, 1)))(WALK, weights)
    step = 1e-6  # piecewise linear: only a kink can spoil the difference, rounding 1e-15 / 1e-6
    for k, at in enumerate((WALK, weights)):
        direction = np.random.default_rng(5).normal(size=at.size)
        function = (
            (lambda a: prox_total_variation_1d(a, weights))
            if k == 0
            else (lambda a: prox_total_variation_1d(WALK, a))
        )
        expected = finite_difference.along(function, at, direction, step)
        np.testing.assert_allclose(jacobian[k] @ direction, expected, rtol=0, atol=1e-8)


@pytest.mark.parametrize("x", [np.zeros(6), np.ones(6), np.array([1.0, 1, 2, 2, 1, 1])])
@pytest.mark.parametrize("weight", [0.0, 0.5, 1.0])
def test_equal_neighbours(x, weight):
    jacobian = np.asarray(jit_slope(x, weight))
    np.testing.assert_allclose(jacobian.sum(axis=1), np.ones(6), atol=8 * EPS)  # shifts pass
    if weight == 0:
        np.testing.assert_array_equal(jacobian, np.eye(6))


def test_a_batch_of_different_lengths_of_search():
    batch = np.stack([WALK, 0 * WALK, np.sort(WALK), 100 * WALK])
    rows = jax.vmap(lambda x: prox_total_variation_1d(x, 1.0))(batch)
    for row, x in zip(rows, batch):
        np.testing.assert_allclose(row, prox_total_variation_1d(x, 1.0), rtol=0, atol=1000 * EPS)


@pytest.mark.parametrize("weight", [np.ones(30), np.ones((29, 1)), [1.0]])
def test_weights_of_wrong_shape_are_refused(weight):
    with pytest.raises(ValueError, match=r"hyperparams of shape|a tree"):
        prox_total_variation_1d(WALK, weight)
