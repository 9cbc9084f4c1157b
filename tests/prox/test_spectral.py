"""The nuclear norm where singular values coincide, vanish, or come close to the threshold."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from simsens.prox import prox_lasso, prox_nuclear_norm
from tests import finite_difference

EPS = np.finfo(float).eps


def matrix(m, n, singular_values, seed=0):
    rng = np.random.default_rng(seed)
    left, right = (np.linalg.qr(rng.normal(size=(k, k)))[0] for k in (m, n))
    r = min(m, n)
    return left[:, :r] * np.asarray(singular_values, float)[:r] @ right[:r]


def divided_differences(x, t, dx):
    """The derivative by Daleckii and Krein, from the full singular value decomposition.

    With f(s) = max(s - t, 0), P = U^T dX V padded to a square and s padded by zeros:
    1/2 (f_i - f_j)/(s_i - s_j) (P + P^T) + 1/2 (f_i + f_j)/(s_i + s_j) (P - P^T).
    """
    m, n = x.shape
    u, s, vt = np.linalg.svd(x)
    k = max(m, n)
    s = np.concatenate([s, np.zeros(k - s.size)])
    p = np.zeros((k, k))
    p[:m, :n] = u.T @ dx @ vt.T
    f = np.maximum(s - t, 0)
    a, b = np.meshgrid(s, s, indexing="ij")
    fa, fb = np.meshgrid(f, f, indexing="ij")
    close = np.abs(a - b) < 1e-12
    one = np.where(close, (a > t).astype(float), (fa - fb) / np.where(close, 1, a - b))
    empty = a + b < 1e-12
    two = np.where(empty, 0.0, (fa + fb) / np.where(empty, 1, a + b))
    core = one * (p + p.T) / 2 + two * (p - p.T) / 2
    return u @ core[:m, :n] @ vt


POINTS = [
    (4, 4, [2.0, 2.0, 0.4, 0.4]),  # equal above and below
    (3, 5, [2.0, 2.0, 0.0]),  # a zero
    (3, 5, [0.5, 0.4, 0.4]),  # nothing survives
    (5, 3, [2.0, 0.0, 0.0]),  # equal zeros
    (5, 3, [3.0, 3.0, 3.0]),  # everything survives
    (1, 4, [2.0]),
]


@jax.jit
def value(x, t):
    return prox_nuclear_norm(x, t)


@jax.jit
def both_modes(x, t, dx):
    pushed = jax.jvp(lambda a: prox_nuclear_norm(a, t), (x,), (dx,))[1]
    return jax.jacrev(prox_nuclear_norm)(x, t), pushed


@pytest.mark.parametrize(("m", "n", "values"), POINTS)
def test_value_is_soft_thresholding_of_singular_values(m, n, values):
    x = matrix(m, n, values)
    y = np.asarray(prox_nuclear_norm(x, 2.0, 0.5))
    expected = matrix(m, n, np.maximum(np.asarray(values) - 1, 0))
    np.testing.assert_allclose(y, expected, rtol=0, atol=50 * EPS)


@pytest.mark.parametrize(("m", "n", "values"), POINTS)
def test_derivative_is_finite_and_right_at_equal_and_zero_values(m, n, values):
    x, dx = matrix(m, n, values), np.random.default_rng(1).normal(size=(m, n))
    jacobian, pushed = both_modes(x, 1.0, dx)
    found = np.tensordot(jacobian, dx, 2)
    # Quotients of differences above 0.6: a few dozen roundings.
    np.testing.assert_allclose(found, divided_differences(x, 1.0, dx), rtol=0, atol=500 * EPS)
    np.testing.assert_allclose(pushed, found, rtol=0, atol=100 * EPS)
    # The distance to the threshold, 0.4 at least, is far beyond the step of 7e-4.
    numeric = finite_difference.along(lambda a: value(a, 1.0), x, dx)
    np.testing.assert_allclose(found, numeric, rtol=0, atol=1e-9)


@jax.jit
def slope(x, t, weights):
    return jax.grad(number, argnums=(0, 1))(x, t, weights)


def number(x, t, weights):
    return jnp.sum(weights * prox_nuclear_norm(x, t) ** 2)


hessian_of_number = jax.jit(jax.hessian(number, argnums=(0, 1)))


@pytest.mark.parametrize("values", [[2.0, 2.0, 0.0], [2.0, 0.4, 0.4]])
def test_hessian_at_equal_and_zero_values(values):
    x = matrix(3, 5, values)
    weights = np.random.default_rng(2).normal(size=x.shape)
    hessian = hessian_of_number(x, 1.0, weights)
    dx = np.random.default_rng(3).normal(size=x.shape)
    # Third derivatives over the gap of 0.6: below 1e4 times 3e-13.
    for k in (0, 1):
        along = finite_difference.along(lambda a, k=k: slope(a, 1.0, weights)[k], x, dx)
        np.testing.assert_allclose(np.tensordot(hessian[k][0], dx, 2), along, rtol=0, atol=1e-8)
        in_t = finite_difference.derivative(lambda t, k=k: slope(x, t, weights)[k], 1.0)
        np.testing.assert_allclose(hessian[k][1], in_t, rtol=0, atol=1e-8)


def test_diagonal_matrices_are_the_lasso():
    d = jnp.array([3.0, -2.0, 0.5])
    diagonal = jnp.diag(prox_nuclear_norm(jnp.diag(d), 1.0))
    np.testing.assert_allclose(diagonal, prox_lasso(d, 1.0), rtol=0, atol=8 * EPS)


def test_transposing_and_rotating_commute():
    x = matrix(3, 5, [3.0, 2.0, 0.4])
    y = np.asarray(value(x, 1.0))
    np.testing.assert_allclose(prox_nuclear_norm(x.T, 1.0), y.T, rtol=0, atol=20 * EPS)
    q = np.linalg.qr(np.random.default_rng(4).normal(size=(3, 3)))[0]
    np.testing.assert_allclose(prox_nuclear_norm(q @ x, 1.0), q @ y, rtol=0, atol=30 * EPS)


@pytest.mark.parametrize("gap", [1e-3, 1e-8, 1e-13])
def test_derivative_stays_bounded_next_to_the_threshold(gap):
    """One value just above, one just below: terms of 1 / gap must cancel exactly."""
    x = matrix(3, 5, [1 + gap, 1 - gap, 0.2])
    jacobian = np.asarray(both_modes(x, 1.0, x)[0]).reshape(15, 15)
    np.testing.assert_allclose(jacobian, jacobian.T, rtol=0, atol=50 * EPS)
    eigenvalues = np.linalg.eigvalsh(jacobian)
    assert eigenvalues.min() >= -50 * EPS
    assert eigenvalues.max() <= 1 + 50 * EPS


def test_a_nearly_singular_matrix_without_penalty_is_left_alone():
    x = matrix(3, 5, [1.0, 1e-17, 0.0])
    jacobian = np.asarray(both_modes(x, 0.0, x)[0]).reshape(15, 15)
    np.testing.assert_allclose(jacobian, np.eye(15), rtol=0, atol=4 * EPS)
    np.testing.assert_allclose(value(x, 0.0), x, rtol=2 * EPS)  # one division, one product


def test_batch_of_matrices():
    """Of different ranks, in one program."""
    batch = np.stack([matrix(3, 5, [3.0, 2.0 * k, 0.4], seed=k) for k in range(3)])
    weights = np.ones((3, 3, 5))
    together = jax.vmap(slope, in_axes=(0, None, 0))(batch, 1.0, weights)
    for k, x in enumerate(batch):
        for mine, alone in zip(together, slope(x, 1.0, weights[k])):
            np.testing.assert_allclose(mine[k], alone, rtol=0, atol=100 * EPS)


@pytest.mark.parametrize("x", [np.ones(3), np.ones((2, 2, 2)), np.float64(1.0), np.ones((0, 3))])
def test_what_is_no_matrix_is_refused(x):
    with pytest.raises(ValueError, match=r"x as an array \[m, n\]; found shape"):
        prox_nuclear_norm(x)
