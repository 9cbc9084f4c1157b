"""Ridge regression against closed forms, in both its shapes, and what it refuses."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.datasets import load_diabetes
from sklearn.linear_model import Ridge

from simsens.implicit import DerivativeFailed, DerivativeWarning
from simsens.learning.ridge import ridge
from simsens.solvers.solution import NOT_FINITE
from tests.implicit.test_compiled import work_of

SHAPES = [(30, 4), (12, 12), (5, 20)]  # samples, features: the last goes by the dual


def data(shape, targets=()):
    rng = np.random.default_rng(0)
    n, p = shape
    return rng.normal(size=shape), rng.normal(size=(n, *targets)), rng.uniform(0.5, 2, p)


# ------------------------------------------------------------------------------------- the minimum


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("targets", [(), (3,)])
def test_coefficients_solve_the_normal_equations(shape, targets):
    X, y, theta = data(shape, targets)
    found = ridge(X, y, theta)
    exact = np.linalg.solve(X.T @ X + np.diag(theta), X.T @ y)
    np.testing.assert_allclose(found.value, exact, rtol=0, atol=1e-12)
    assert found.value.shape == (shape[1], *targets)
    assert found.converged
    assert found.residual < 1e-13
    assert "converged" in found.reason


@pytest.mark.parametrize("shape", SHAPES)
def test_coefficients_are_those_of_scikit_learn(shape):
    X, y, _ = data(shape)
    model = Ridge(alpha=0.7, fit_intercept=False, solver="svd").fit(X, y)
    np.testing.assert_allclose(ridge(X, y, 0.7).value, model.coef_, rtol=0, atol=1e-12)


def test_diabetes_as_in_figure_1():
    X, y = load_diabetes(return_X_y=True)
    found = ridge(X, y, 10.0)
    slope = jax.jacrev(lambda theta: ridge(X, y, theta).value)(10.0)
    assert np.linalg.norm(found.value) == pytest.approx(145.48437363, abs=5e-9)
    assert np.linalg.norm(slope) == pytest.approx(11.03007879, abs=5e-9)
    exact = [-1.23875888, 0.61126345, -6.07677963, -4.28755329, -1.02005311,
             -0.44858417, 3.5622007, -3.31222066, -5.44601321, -3.14376085]  # fmt: skip
    np.testing.assert_allclose(slope, exact, rtol=0, atol=5e-9)


def test_a_penalty_of_zero_is_least_squares():
    X, y, _ = data((30, 4))
    exact = np.linalg.lstsq(X, y, rcond=None)[0]
    np.testing.assert_allclose(ridge(X, y, 0).value, exact, rtol=0, atol=1e-12)


def test_targets_of_zero_give_zero():
    X, _, theta = data((30, 4))
    found = ridge(X, np.zeros(30), theta)
    assert found.converged
    np.testing.assert_array_equal(found.value, np.zeros(4))


# --------------------------------------------------------------------------------- the derivatives


def exact_change(X, y, theta, dX, dy, dtheta):
    """M dw = dX^T (y - X w) - X^T dX w + X^T dy - dtheta w, from M w = X^T y."""
    M = X.T @ X + np.diag(theta)
    w = np.linalg.solve(M, X.T @ y)
    diagonal = dtheta.reshape(-1, *[1] * (y.ndim - 1))
    pull = dX.T @ (y - X @ w) - X.T @ (dX @ w) + X.T @ dy - diagonal * w
    return np.linalg.solve(M, pull)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("targets", [(), (3,)])
def test_derivatives_in_the_data_and_every_penalty(shape, targets):
    given = data(shape, targets)
    rng = np.random.default_rng(1)
    change = tuple(rng.normal(size=np.shape(part)) for part in given)
    exact = exact_change(*given, *change)

    def coefficients(X, y, theta):
        return ridge(X, y, theta).value

    weight = rng.normal(size=exact.shape)

    @jax.jit
    def derivatives(given, change, weight):
        along = jax.jvp(coefficients, given, change)[1]
        return along, jax.vjp(coefficients, *given)[1](weight)

    along, gradient = derivatives(given, change, weight)
    np.testing.assert_allclose(along, exact, rtol=0, atol=1e-9)
    total = sum(np.vdot(g, c) for g, c in zip(gradient, change))
    assert total == pytest.approx(np.vdot(weight, exact), abs=1e-9)


@pytest.mark.parametrize("shape", SHAPES)
def test_second_derivative(shape):
    X, y, _ = data(shape)
    M = X.T @ X + 0.7 * np.eye(shape[1])
    w = np.linalg.solve(M, X.T @ y)
    exact = 2 * np.linalg.solve(M, np.linalg.solve(M, w))
    coefficients = lambda theta: ridge(X, y, theta).value  # noqa: E731
    for second in (jax.hessian(coefficients), jax.jacrev(jax.jacrev(coefficients))):
        np.testing.assert_allclose(jax.jit(second)(0.7), exact, rtol=0, atol=1e-9)


@pytest.mark.parametrize("shape", SHAPES)
def test_transformations_agree(shape):
    X, y, theta = data(shape)
    slope = jax.jacfwd(lambda X, y, theta: ridge(X, y, theta).value, argnums=2)
    exact = slope(X, y, theta)
    np.testing.assert_allclose(jax.jit(slope)(X, y, theta), exact, rtol=0, atol=1e-12)
    stacked = [np.stack([part, 2 * part]) for part in (X, y, theta)]
    batch = jax.vmap(slope)(*stacked)
    np.testing.assert_allclose(batch[0], exact, rtol=0, atol=1e-12)
    np.testing.assert_allclose(batch[1], slope(2 * X, 2 * y, 2 * theta), rtol=0, atol=1e-12)


def test_eager_code_traces_once():
    X, y, theta = map(jnp.asarray, data((30, 4)))
    slope = jax.grad(lambda theta: ridge(X, y, theta).value.sum())
    work_of(slope, theta)
    assert work_of(slope, 2 * theta) == 0
    ridge(X, y, theta)
    assert work_of(lambda theta: ridge(X, y, theta).value, 3 * theta) == 0


# --------------------------------------------------------------------------- precision and failures


def test_float32_stays_float32():
    X, y, theta = (part.astype(np.float32) for part in data((30, 4)))
    found = ridge(X, y, theta)
    assert found.value.dtype == found.residual.dtype == np.float32
    assert found.converged
    slope = jax.jacrev(lambda t: ridge(X, y, t).value)(theta)
    exact = jax.jacrev(lambda t: ridge(*data((30, 4))[:2], t).value)(theta.astype(float))
    np.testing.assert_allclose(slope, exact, rtol=0, atol=1e-6)


def test_strict_promotion_of_precisions():
    X, y, theta = (jnp.asarray(part, jnp.float32) for part in data((30, 4)))
    with jax.numpy_dtype_promotion("strict"):
        assert ridge(X, y, theta).converged
        assert jnp.isfinite(jax.grad(lambda t: ridge(X, y, t).value.sum())(theta)).all()


def with_twins():
    X, y, _ = data((30, 4))
    return np.concatenate([X, X[:, :1]], axis=1), y


def test_dependent_columns_without_penalty_have_no_derivative():
    X, y = with_twins()
    assert not jnp.isfinite(jax.jacfwd(lambda t: ridge(X, y, t).value)(0.0)).any()
    assert jnp.isfinite(jax.jacfwd(lambda t: ridge(X, y, t).value)(0.1)).all()
    with pytest.raises(DerivativeFailed, match="not unique"):
        slope_under("raise", X, y)
    with pytest.warns(DerivativeWarning, match="not unique"):
        slope_under("warn", X, y)


def slope_under(policy, X, y):
    slope = jax.grad(lambda t: ridge(X, y, t, on_failure=policy).value.sum())(0.0)
    jax.block_until_ready(slope)
    jax.effects_barrier()


def test_values_that_are_traced_become_nan():
    X, y, theta = data((5, 20))
    found = jax.jit(ridge)(X, y, theta.copy() * 0)
    assert not jnp.isfinite(found.value).any()
    assert not found.converged
    assert int(found.status) == NOT_FINITE
    batch = jax.vmap(lambda t: ridge(*data((30, 4))[:2], t).value)(jnp.array([-1.0, 1.0]))
    assert jnp.isnan(batch[0]).all()
    assert jnp.isfinite(batch[1]).all()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((np.ones(3), np.ones(3), 1.0), r"X must be \[n, p\].*found shapes \(3,\)"),
        ((np.ones((0, 2)), np.ones(0), 1.0), "at least one sample"),
        ((np.ones((3, 2)), np.ones(4), 1.0), "a target or a row of them for each of 3 samples"),
        ((np.ones((3, 2)), np.ones((3, 1, 1)), 1.0), "a target or a row of them"),
        ((np.ones((3, 2)), np.ones(3), -1.0), "penalty must not be negative, found -1"),
        ((np.ones((3, 2)), np.ones(3), np.nan), "penalty must not be negative, found nan"),
        ((np.ones((3, 2)), np.ones(3), np.ones(3)), "2, one for each feature, found"),
        ((np.ones((3, 2)) * 1j, np.ones(3), 1.0), "must be real, found complex128"),
        ((np.ones((2, 3)), np.ones(2), np.zeros(3)), "every penalty must be positive, found 0"),
        ((np.full((3, 2), np.nan), np.ones(3), 1.0), "must be finite, found NaN"),
        ((np.ones((3, 2)), np.full(3, np.inf), 1.0), "must be finite, found NaN or infinity"),
    ],
)
def test_one_clear_line(arguments, message):
    with pytest.raises(ValueError, match=message) as caught:
        ridge(*arguments)
    assert "\n" not in str(caught.value)


def test_unknown_policy():
    with pytest.raises(ValueError, match="on_failure must be one of"):
        ridge(np.ones((3, 2)), np.ones(3), 1.0, on_failure="hope")
