"""Isotonic regression: the min-max formula, JAXopt, blocks at every scale."""

import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from simsens.projection import isotonic_l2_pav, projection_order_simplex, projection_polyhedron
from tests.projection.oracle import jaxopt

EPS = np.finfo(float).eps


def min_max(y):
    """v_i = max over j <= i of min over k >= i of the mean of y_j..y_k."""
    n = len(y)
    return np.array(
        [max(min(y[j : k + 1].mean() for k in range(i, n)) for j in range(i + 1)) for i in range(n)]
    )


@pytest.mark.parametrize("seed", range(4))
def test_the_min_max_formula(seed):
    y = np.random.default_rng(seed).normal(size=12)
    np.testing.assert_allclose(isotonic_l2_pav(y), min_max(y), rtol=0, atol=10 * EPS)
    down = isotonic_l2_pav(y, increasing=False)
    np.testing.assert_allclose(down, -min_max(-y), rtol=0, atol=10 * EPS)
    clipped = isotonic_l2_pav(y, -0.3, 0.2)
    np.testing.assert_allclose(clipped, np.clip(min_max(y), -0.3, 0.2), rtol=0, atol=10 * EPS)
    order = projection_order_simplex(y, (-0.3, 0.2))
    np.testing.assert_allclose(order, np.clip(-min_max(-y), -0.3, 0.2), rtol=0, atol=10 * EPS)


@pytest.mark.parametrize("increasing", [True, False])
def test_jaxopt_gives_the_same(increasing):
    y = np.random.default_rng(9).normal(size=8)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # without numba it warns
        try:
            theirs = jaxopt().isotonic.isotonic_l2_pav(jnp.asarray(y), increasing=increasing)
        except (TypeError, jax.errors.JaxRuntimeError) as broken:  # with numba it cannot run
            pytest.skip(f"JAXopt's isotonic fails: {broken}"[:80])
    ours = isotonic_l2_pav(y, increasing=increasing)
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=10 * EPS)


def test_bounds_are_those_of_the_problem():
    y = np.array([0.9, -0.5, 0.4, 1.7])
    G = np.concatenate([np.eye(4)[:-1] - np.eye(4)[1:], -np.eye(4)[:1], np.eye(4)[-1:]])
    h = np.array([0, 0, 0, -0.3, 1.0])
    exact = projection_polyhedron(y, (np.zeros((0, 4)), np.zeros(0), G, h))
    np.testing.assert_allclose(isotonic_l2_pav(y, 0.3, 1.0), exact, rtol=0, atol=1e-14)


@pytest.mark.parametrize("size", [1e-12, 1.0, 1e12])
def test_the_jacobian_averages_over_blocks(size):
    """JAXopt merges what differs by less than 1e-8, whatever the scale."""
    y = size * np.array([1.0, 3.0, 2.0, 4.0])
    expected = np.eye(4)
    expected[1:3, 1:3] = 0.5
    for mode in (jax.jacfwd, jax.jacrev):
        np.testing.assert_array_equal(mode(isotonic_l2_pav)(y), expected)


def test_a_large_constant_loses_nothing():
    y = np.array([0.5, 2.0, 1.0, -4.0, 8.0])
    exact = isotonic_l2_pav(y)
    assert np.abs(isotonic_l2_pav(y + 2.0**40) - 2.0**40 - exact).max() < 2.0**40 * EPS


def test_kinks():
    y = np.array([1.0, 1.0])  # blocks that touch are not merged
    np.testing.assert_array_equal(jax.jacfwd(isotonic_l2_pav)(y), np.eye(2))
    dy, dlow = jax.jacrev(isotonic_l2_pav, (0, 1))(y, 1.0)  # on the bound it is active
    np.testing.assert_array_equal(dy, np.zeros((2, 2)))
    np.testing.assert_array_equal(dlow, np.ones(2))


def test_sequences_that_are_sorted_reversed_or_short():
    up = np.arange(50.0)
    np.testing.assert_array_equal(isotonic_l2_pav(up), up)
    np.testing.assert_allclose(isotonic_l2_pav(up[::-1]), np.full(50, 24.5), rtol=0, atol=50 * EPS)
    np.testing.assert_array_equal(isotonic_l2_pav(np.array([3.0])), [3.0])


def test_ranking_by_projection():
    """The use it has in fast differentiable sorting: project onto the permutahedron."""
    scores, rho = np.array([0.1, 2.9, 1.0]), np.array([3.0, 2.0, 1.0])

    def rank(scores):
        order = jnp.argsort(-scores)
        dual = isotonic_l2_pav(scores[order] - rho, increasing=False)
        return (scores[order] - dual)[jnp.argsort(order)]

    ranks = jax.jit(rank)(10 * scores)
    np.testing.assert_allclose(ranks, [1, 3, 2], rtol=0, atol=1e-14)
    assert np.isfinite(jax.jacrev(rank)(scores)).all()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((np.ones(3), 1.0, 0.0), "y_min <= y_max; found 1.0 and 0.0"),
        ((np.ones(3), np.nan), "finite numbers in y_min"),
        ((np.ones((2, 3)),), "y with 1 axes"),
        ((np.ones(0),), "y with at least one element"),
        ((np.ones(3), np.ones(3)), "y_min of shape"),
    ],
)
def test_refused(arguments, message):
    with pytest.raises(ValueError, match=f"isotonic_l2_pav needs .*{message}"):
        isotonic_l2_pav(*arguments)


def test_order_simplex_refused():
    with pytest.raises(ValueError, match=r"lower <= upper; found 1.0 and 0.0"):
        projection_order_simplex(np.ones(3), (1.0, 0.0))
    with pytest.raises(ValueError, match=r"hyperparams = .lower, upper.; found float"):
        projection_order_simplex(np.ones(3), 1.0)


def test_traced_nonsense_is_nan_for_its_member():
    v = jax.vmap(isotonic_l2_pav, (None, 0))(np.ones(3), jnp.array([0.0, jnp.inf]))
    np.testing.assert_array_equal(np.isnan(v).all(1), [False, True])
    v = jax.vmap(lambda up: projection_order_simplex(np.ones(3), (0.0, up)))(jnp.array([1.0, -1.0]))
    np.testing.assert_array_equal(np.isnan(v).all(1), [False, True])
