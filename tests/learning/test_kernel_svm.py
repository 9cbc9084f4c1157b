"""Kernel SVMs with an intercept: scikit-learn's solution, and derivatives in kernel and theta."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.svm import SVC

from simsens.implicit import DerivativeFailed, implicit_fixed_point
from simsens.implicit.linear_solve import solve_lu
from simsens.learning.kernel_svm import complementarity_margin, intercept, kernel_svm
from simsens.optimality import projected_gradient
from simsens.projection import projection_box_section
from tests.finite_difference import derivative

GAMMA, THETA = 0.3, 0.5
STEP = 2e-3  # of the finite differences: it meets no kink of these data
TIGHT = {"tol": 1e-12, "maxiter": 100_000}


def data(m, seed):
    rng = np.random.default_rng(seed)
    y = np.where(np.arange(m) % 2, 1.0, -1.0)
    return jnp.asarray(rng.standard_normal((m, 3)) + 0.7 * y[:, None]), jnp.asarray(y)


X, y = data(40, 0)
X_VAL, y_val = data(15, 1)


def gaussian(A, B, gamma):
    return jnp.exp(-gamma * jnp.sum((A[:, None] - B[None]) ** 2, axis=-1))


def scores(gamma, theta, **options):
    """Decision values of new samples."""
    K = gaussian(X, X, gamma)
    x = kernel_svm(K, y, theta, **{**TIGHT, **options}).value
    return gaussian(X_VAL, X, gamma) @ x / theta + intercept(x, K, y, theta)


def loss(gamma, theta, **options):
    return jnp.sum((scores(gamma, theta, **options) - y_val) ** 2) / 2


@pytest.mark.parametrize("gamma", [0.05, 1.0])
@pytest.mark.parametrize("theta", [0.1, 2.0])
def test_the_solution_is_that_of_scikit_learn(gamma, theta):
    # libsvm keeps the kernel in single precision: it is given one that loses nothing by that.
    K = gaussian(X, X, gamma).astype(jnp.float32).astype(float)
    found = kernel_svm(K, y, theta, **TIGHT)
    assert bool(found.converged)
    machine = SVC(kernel="precomputed", C=1 / theta, tol=1e-10).fit(np.asarray(K), np.asarray(y))
    dual = np.zeros(len(y))
    dual[machine.support_] = machine.dual_coef_[0]
    np.testing.assert_allclose(found.value / theta, dual, atol=1e-6)
    b = intercept(found.value, K, y, theta)
    np.testing.assert_allclose(b, machine.intercept_[0], atol=1e-6)


def test_the_solution_is_feasible():
    x = kernel_svm(gaussian(X, X, GAMMA), y, THETA, **TIGHT).value
    assert abs(x.sum()) < 1e-13
    assert ((x * y >= 0) & (x * y <= 1)).all()
    free = (x * y > 0) & (x * y < 1)
    assert 0 < free.sum() < len(y)
    margins = y * (gaussian(X, X, GAMMA) @ x / THETA)
    b = intercept(x, gaussian(X, X, GAMMA), y, THETA)
    np.testing.assert_allclose((margins + y * b)[free], 1, atol=1e-10)


def test_derivatives_in_kernel_and_regularisation():
    K = gaussian(X, X, GAMMA)
    assert complementarity_margin(kernel_svm(K, y, THETA).value, K, y, THETA) > STEP
    solved = jax.jit(loss)
    found = jax.jit(jax.grad(loss, argnums=(0, 1)))(GAMMA, THETA)
    in_gamma = derivative(lambda gamma: solved(gamma, THETA), GAMMA, STEP)
    in_theta = derivative(lambda theta: solved(GAMMA, theta), THETA, STEP)
    np.testing.assert_allclose(found, [in_gamma, in_theta], rtol=1e-7)
    forward = jax.jit(jax.jacfwd(loss, argnums=(0, 1)))(GAMMA, THETA)
    np.testing.assert_allclose(forward, found, rtol=1e-9)


def test_implicit_and_unrolled_agree():
    unrolled = {"tol": 0, "maxiter": 3000, "differentiation": "unrolled"}
    found = jax.jit(jax.value_and_grad(lambda g, t: loss(g, t, **unrolled), (0, 1)))(GAMMA, THETA)
    expected = jax.jit(jax.value_and_grad(loss, (0, 1)))(GAMMA, THETA)
    np.testing.assert_allclose(jax.tree.leaves(found), jax.tree.leaves(expected), rtol=1e-7)


def test_the_derivative_is_that_of_the_plain_fixed_point():
    K = gaussian(X, X, GAMMA)
    x = kernel_svm(K, y, THETA, **TIGHT).value
    section = (jnp.minimum(y, 0), jnp.maximum(y, 0), 1.0, 0.0)
    plain = projected_gradient(
        lambda x, theta: x @ K @ x / (2 * theta) - x @ y, projection_box_section
    )

    def judged(theta):
        return implicit_fixed_point(plain, x, section, theta, solve=solve_lu)

    found = jax.jit(jax.jacfwd(lambda theta: kernel_svm(K, y, theta, **TIGHT).value))(THETA)
    np.testing.assert_allclose(found, jax.jacfwd(judged)(THETA), atol=1e-9)


def test_an_early_stop_is_told():
    found = kernel_svm(gaussian(X, X, GAMMA), y, THETA, maxiter=3)
    assert not bool(found.converged)
    assert np.isnan(jax.grad(loss, argnums=1)(GAMMA, THETA, maxiter=3))
    with pytest.raises(DerivativeFailed, match="not a root"):
        jax.grad(loss, argnums=1)(GAMMA, THETA, maxiter=3, on_failure="raise")


def test_a_kink_is_told():
    # One sample at 1, one at -1, K = y y^T: x is min(theta / 2, 1) at both.
    y = jnp.array([1.0, -1.0])
    K = jnp.outer(y, y)

    def margin(theta):
        return float(complementarity_margin(kernel_svm(K, y, theta, **TIGHT).value, K, y, theta))

    assert margin(2.0) < 1e-10
    np.testing.assert_allclose([margin(1.0), margin(1.9), margin(4.0)], [0.5, 0.05, 0.5])

    def first(theta):
        return kernel_svm(K, y, theta, **TIGHT).value[0]

    np.testing.assert_allclose([jax.grad(first)(t) for t in (1.9, 2.1)], [0.5, 0.0], atol=1e-10)


def test_without_a_free_sample_the_intercept_is_the_middle_of_its_interval():
    y = jnp.array([1.0, -1.0])
    K = jnp.outer(jnp.array([3.0, 1.0]), jnp.array([3.0, 1.0]))
    x = kernel_svm(K, y, 10.0, **TIGHT).value
    np.testing.assert_allclose(x, y)
    # Scores without b are 0.6 and 0.2; both samples pay as long as b lies between -0.2 - 1 and
    # 1 - 0.6.
    np.testing.assert_allclose(intercept(x, K, y, 10.0), (-1.2 + 0.4) / 2)


KERNEL = gaussian(X, X, GAMMA)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((X, y, 1.0), r"as many rows as columns; found \(40, 3\)"),
        ((jnp.triu(KERNEL), y, 1.0), r"K symmetric; found K\["),
        ((KERNEL.at[1, 1].set(jnp.nan), y, 1.0), "finite numbers in K; found nan"),
        ((KERNEL, y[:-1], 1.0), r"y of shape \(40,\).*found \(39,\)"),
        ((KERNEL, (y + 1) / 2, 1.0), r"both labels -1 and 1 in y; found \[0.0, 1.0\]"),
        ((KERNEL, jnp.ones(40), 1.0), r"both labels -1 and 1 in y; found \[1.0\]"),
        ((KERNEL, y.at[0].set(jnp.nan), 1.0), r"both labels -1 and 1 in y; found \[.*nan\]"),
        ((KERNEL, y, 0.0), "theta > 0; found 0.0"),
        ((KERNEL, y, jnp.inf), "finite numbers in theta; found inf"),
    ],
)
def test_bad_input_is_one_clear_line(arguments, message):
    with pytest.raises(ValueError, match=message) as refused:
        kernel_svm(*arguments)
    assert "\n" not in str(refused.value)


def test_a_traced_theta_that_is_not_positive_gives_nan():
    found = jax.jit(lambda theta: kernel_svm(KERNEL, y, theta))(0.0)
    assert np.isnan(found.value).all()
    assert not bool(found.converged)
