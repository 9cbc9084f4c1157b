"""The sorted l1 norm against a quadratic program, and its special cases."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.optimize

from simsens.prox import prox_lasso, prox_linf_norm, prox_slope

EPS = np.finfo(float).eps
X = np.array([2.3, -2.2, 0.4, -3.0])
jit_slope = jax.jit(jax.jacrev(prox_slope))
jit_slope_in_w = jax.jit(jax.jacrev(prox_slope, argnums=1))


def by_quadratic_program(x, w):
    """x less its projection on the dual ball, all of whose 15 faces are written out.

    For |x|: min |u - |x||^2 with u >= 0 and, for every subset S, sum_S u <= sum of the |S| largest
    weights.
    """
    a = np.abs(x)
    subsets = [s for k in range(1, 5) for s in itertools.combinations(range(4), k)]
    rows = np.array([[float(i in s) for i in range(4)] for s in subsets])
    bounds = np.array([w[: len(s)].sum() for s in subsets])
    found = scipy.optimize.minimize(
        lambda u: np.sum((u - a) ** 2) / 2,
        np.zeros(4),
        jac=lambda u: u - a,
        bounds=[(0, None)] * 4,
        constraints={"type": "ineq", "fun": lambda u: bounds - rows @ u, "jac": lambda u: -rows},
        method="SLSQP",
        options={"ftol": 1e-16, "maxiter": 200},
    )
    return np.sign(x) * (a - found.x)


@pytest.mark.parametrize("weights", [[2, 1, 0.5, 0.1], [1, 1, 1, 0], [3, 0, 0, 0], [4, 3, 2, 1]])
def test_against_a_quadratic_program(weights):
    w = np.array(weights, float)
    y = prox_slope(X, w, 0.6)
    # SLSQP stops when the objective (below ten) changes by 1e-16: u within sqrt(1e-15) = 3e-8.
    np.testing.assert_allclose(y, by_quadratic_program(X, 0.6 * w), rtol=0, atol=1e-7)


def test_equal_weights_are_the_lasso_and_one_weight_the_largest_entry():
    np.testing.assert_allclose(prox_slope(X, np.ones(4)), prox_lasso(X, 1.0), atol=4 * EPS)
    first = np.array([1.7, 0, 0, 0])
    np.testing.assert_allclose(prox_slope(X, first), prox_linf_norm(X, 1.7), rtol=0, atol=8 * EPS)
    for function, w in ((prox_lasso, np.ones(4)), (prox_linf_norm, first)):
        number = float(w[0])
        slopes = jit_slope(X, w), jax.jit(jax.jacrev(function))(X, number)
        np.testing.assert_allclose(*slopes, rtol=0, atol=8 * EPS)


def test_permuting_and_turning_signs_commute():
    w = np.array([1.5, 1.0, 0.9, 0.1])
    y = np.asarray(prox_slope(X, w))
    order, sign = np.array([2, 0, 3, 1]), np.array([1, -1, -1, 1])
    np.testing.assert_allclose(prox_slope(sign * X[order], w), sign * y[order], rtol=0, atol=0)


def test_jacobian_is_that_of_block_averages():
    """|x| - w = (3, 2.3, 2.2, 0.4) - (1, 0.6, 0.3, 1/4) = (2, 1.7, 1.9, 0.15): one block of two."""
    w = np.array([1.0, 0.6, 0.3, 0.25])
    expected = np.zeros((4, 4))
    expected[0, 0] = expected[1, 1] = 0.5
    expected[0, 1] = expected[1, 0] = -0.5  # the signs of x differ
    expected[2, 2] = expected[3, 3] = 1
    np.testing.assert_allclose(jit_slope(X, w), expected, rtol=0, atol=4 * EPS)
    np.testing.assert_allclose(prox_slope(X, w), [1.8, -1.8, 0.15, -2.0], rtol=0, atol=8 * EPS)
    slope_in_w = jit_slope_in_w(X, w)
    by_hand = -np.array([[0, 0.5, 0.5, 0], [0, -0.5, -0.5, 0], [0, 0, 0, 1], [-1, 0, 0, 0]])
    np.testing.assert_allclose(slope_in_w, by_hand, rtol=0, atol=4 * EPS)


@pytest.mark.parametrize("n", [1, 6])
def test_ties_give_an_element_of_the_generalised_jacobian(n):
    jacobian = np.asarray(jax.jit(jax.jacfwd(prox_slope))(jnp.ones(n), jnp.linspace(0.5, 0.1, n)))
    eigenvalues = np.linalg.eigvalsh(jacobian)
    assert eigenvalues.min() >= -10 * EPS
    assert eigenvalues.max() <= 1 + 10 * EPS


def test_zero_weights_leave_zero_coordinates_alone():
    jacobian = jax.jacfwd(prox_slope)(jnp.array([0.0, 3.0]), jnp.array([1.0, 0.0]))
    np.testing.assert_array_equal(jacobian, np.eye(2))


@pytest.mark.parametrize("weights", [[1, 2, 3, 4], [1, 1, 1, 1.0000001], [4, 3, 2, -1], [1, 1]])
def test_bad_weights_are_refused(weights):
    with pytest.raises(ValueError, match="prox_slope needs weights"):
        prox_slope(X, np.array(weights, float))


def test_weights_as_a_list_are_a_tree_and_refused():
    with pytest.raises(ValueError, match="found a tree; give one array"):
        prox_slope(X, [4.0, 3.0, 2.0, 1.0])
