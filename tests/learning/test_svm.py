"""Multiclass SVMs: scikit-learn's solution, and one derivative whatever found and judged it."""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.svm import LinearSVC

from simsens.implicit import DerivativeFailed, implicit_fixed_point
from simsens.implicit.linear_solve import solve_lu
from simsens.learning.face import on_face
from simsens.learning.svm import (
    FIXED_POINTS,
    SOLVERS,
    complementarity_margin,
    dual_objective,
    duality_gap,
    multiclass_kernel_svm,
    multiclass_svm,
    primal_weights,
)
from simsens.optimality import projected_gradient
from simsens.projection import projection_simplex
from simsens.solvers import inverse_power
from tests.finite_difference import along, derivative

THETA = 0.5
STEP = 0.01  # of the finite differences: it meets no kink of these data
TIGHT = {"tol": 1e-11, "maxiter": 400_000}


def data(m=24, p=7, k=3, seed=10):
    """Overlapping classes: some samples violate their margin, some hold it, some do not matter."""
    rng = np.random.default_rng(seed)
    label = np.arange(m) % k
    X = rng.standard_normal((m, p)) + 0.8 * rng.standard_normal((k, p))[label]
    return jnp.asarray(X / np.linalg.norm(X, axis=1, keepdims=True)), jnp.asarray(np.eye(k)[label])


X, Y = data()
X_VAL, Y_VAL = data(seed=50)
WIDE = data(m=12, p=30, seed=3)


def fit(form, X, Y, theta, **options):
    if form == "kernel":
        return multiclass_kernel_svm(X @ X.T, Y, theta, **options)
    return multiclass_svm(X, Y, theta, **options)


def loss(X, Y, theta, form="linear", **options):
    x = fit(form, X, Y, theta, **{**TIGHT, **options}).value
    return jnp.sum((X_VAL @ primal_weights(x, X, Y, theta) - Y_VAL) ** 2) / 2


@pytest.fixture(scope="module")
def hypergradient():
    return jax.grad(loss, argnums=(0, 1, 2))(X, Y, THETA)


@pytest.mark.parametrize("theta", [0.3, 2.0])
@pytest.mark.parametrize("samples", [(X, Y), WIDE], ids=["tall", "wide"])
def test_the_weights_are_those_of_scikit_learn(samples, theta):
    X, Y = samples
    machine = LinearSVC(
        loss="hinge", multi_class="crammer_singer", C=1 / theta, fit_intercept=False, tol=1e-10,
        max_iter=1_000_000,
    ).fit(np.asarray(X), np.argmax(Y, axis=1))  # fmt: skip
    found = multiclass_svm(X, Y, theta, **TIGHT)
    assert bool(found.converged)
    W = primal_weights(found.value, X, Y, theta)
    np.testing.assert_allclose(W, machine.coef_.T, atol=1e-6)


def test_the_solution_is_feasible_and_has_no_gap():
    x = multiclass_svm(X, Y, THETA, **TIGHT).value
    assert (x >= 0).all()
    np.testing.assert_allclose(x.sum(axis=1), 1, atol=1e-12)
    gap, scale = duality_gap(x, X, Y, THETA), dual_objective(x, X, Y, THETA)
    assert abs(gap) < 1e-9 * scale
    elsewhere = jax.nn.softmax(jnp.asarray(np.random.default_rng(0).standard_normal(Y.shape)))
    assert duality_gap(elsewhere, X, Y, THETA) > 1e-3 * scale
    # The gap bounds what the primal objective is above its minimum.
    assert dual_objective(elsewhere, X, Y, THETA) > scale


@pytest.mark.parametrize("form", ["linear", "kernel"])
@pytest.mark.parametrize(("solver", "fixed_point"), list(itertools.product(SOLVERS, FIXED_POINTS)))
def test_any_solver_with_any_fixed_point_has_the_same_derivative(
    solver, fixed_point, form, hypergradient
):
    options = {"form": form, "solver": solver, "fixed_point": fixed_point}
    found = jax.jit(jax.grad(functools.partial(loss, **options), argnums=(0, 1, 2)))(X, Y, THETA)
    for one, other in zip(found, hypergradient):
        np.testing.assert_allclose(one, other, atol=1e-6 * float(jnp.abs(other).max()))


def test_the_derivative_is_that_of_converged_solutions(hypergradient):
    assert complementarity_margin(multiclass_svm(X, Y, THETA).value, X, Y, THETA) > 4 * STEP
    solved = jax.jit(loss)
    in_theta = derivative(lambda theta: solved(X, Y, theta), THETA, STEP)
    np.testing.assert_allclose(hypergradient[2], in_theta, rtol=1e-6)
    direction = np.random.default_rng(0).standard_normal(X.shape) / 10
    in_X = along(lambda X: solved(X, Y, THETA), X, direction, STEP)
    np.testing.assert_allclose(jnp.vdot(hypergradient[0], direction), in_X, rtol=1e-6)
    tilt = np.random.default_rng(1).standard_normal(Y.shape) / 10
    in_Y = along(lambda Y: solved(X, Y, THETA), Y, tilt, STEP)
    np.testing.assert_allclose(jnp.vdot(hypergradient[1], tilt), in_Y, rtol=1e-6)


def test_the_derivative_is_that_of_scikit_learns_solutions(hypergradient):
    def solved(theta):
        machine = LinearSVC(
            loss="hinge", multi_class="crammer_singer", C=1 / theta, fit_intercept=False,
            tol=1e-12, max_iter=1_000_000,
        ).fit(np.asarray(X), np.argmax(Y, axis=1))  # fmt: skip
        return np.sum((X_VAL @ machine.coef_.T - Y_VAL) ** 2) / 2

    np.testing.assert_allclose(hypergradient[2], derivative(solved, THETA, 0.01), rtol=1e-4)


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("form", ["linear", "kernel"])
def test_unrolled_iterations_agree_where_they_converge(solver, form, hypergradient):
    steps = {"mirror_descent": 8000, "projected_gradient": 600, "block_coordinate_descent": 100}
    options = {"solver": solver, "tol": 0, "maxiter": steps[solver]}
    unrolled = {**options, "differentiation": "unrolled"}
    both = jax.jit(jax.value_and_grad(functools.partial(loss, form=form, **unrolled), (0, 1, 2)))
    value, found = both(X, Y, THETA)
    np.testing.assert_allclose(value, loss(X, Y, THETA, form, **options), rtol=1e-12)
    if form == "kernel" and solver == "block_coordinate_descent":
        # K = X X^T is singular here, and so is the derivative of its root: told, not guessed.
        assert np.isnan(found[0]).all()
        found = found[1:]
    for one, other in zip(reversed(found), reversed(hypergradient)):
        np.testing.assert_allclose(one, other, atol=1e-6 * float(jnp.abs(other).max()))


@pytest.mark.parametrize(
    ("solver", "step"),
    [
        ("projected_gradient", 0.02),
        ("mirror_descent", inverse_power(0.1, after=500)),
        ("block_coordinate_descent", THETA / 2),
    ],
)
def test_the_solution_does_not_depend_on_the_step(solver, step):
    found, other = (
        multiclass_svm(X, Y, THETA, solver=solver, step=s, tol=1e-9, maxiter=100_000)
        for s in (None, step)
    )
    assert bool(found.converged)
    assert bool(other.converged)
    assert int(found.iterations) != int(other.iterations)
    np.testing.assert_allclose(found.value, other.value, atol=1e-7)


def test_on_its_face_the_matrix_is_symmetric_and_the_derivative_the_same():
    x = multiclass_svm(X, Y, THETA, **TIGHT).value

    def onto(y, _):
        return jax.vmap(projection_simplex)(y)

    F = on_face(dual_objective_first, onto)
    matrix = jax.jacfwd(lambda v: F(v.reshape(x.shape), None, THETA).ravel())(x.ravel())
    np.testing.assert_allclose(matrix, matrix.T, atol=1e-14)
    assert np.linalg.eigvalsh(matrix).min() > -1e-12
    plain = projected_gradient(dual_objective_first, onto)
    np.testing.assert_allclose(F(x, None, THETA), x - plain(x, None, THETA), atol=1e-14)
    expected = jax.jacfwd(lambda t: implicit_fixed_point(plain, x, None, t, solve=solve_lu))(THETA)
    found = jax.jacfwd(lambda t: multiclass_svm(X, Y, t, **TIGHT).value)(THETA)
    np.testing.assert_allclose(found, expected, atol=1e-9)


def dual_objective_first(x, theta):
    return dual_objective(x, X, Y, theta)


def test_all_transformations():
    def weight(theta):
        return loss(X, Y, theta)

    slope = jax.jit(jax.grad(weight))
    np.testing.assert_allclose(jax.grad(weight)(THETA), slope(THETA), rtol=1e-9)
    np.testing.assert_allclose(jax.jit(jax.jacfwd(weight))(THETA), slope(THETA), rtol=1e-9)
    curve = derivative(slope, THETA, STEP)
    np.testing.assert_allclose(jax.jit(jax.hessian(weight))(THETA), curve, rtol=1e-6)
    many = jnp.array([0.4, THETA, 1.3])
    found = jax.jit(jax.vmap(jax.grad(weight)))(many)
    np.testing.assert_allclose(found, [float(slope(theta)) for theta in many], rtol=1e-8)


def test_precision_is_that_of_the_data():
    found = multiclass_svm(X.astype(jnp.float32), Y.astype(jnp.float32), THETA)
    assert found.value.dtype == jnp.float32
    assert bool(found.converged)
    np.testing.assert_allclose(found.value, multiclass_svm(X, Y, THETA).value, atol=1e-3)


def test_weights_have_derivatives_where_the_dual_is_not_unique():
    # Every sample twice: only the sum of the two rows of x is determined.
    twice = jnp.concatenate([X, X]), jnp.concatenate([Y, Y])
    start = jax.nn.softmax(jnp.asarray(np.random.default_rng(0).standard_normal((48, 3))))

    def weights(theta, init):
        found = multiclass_svm(*twice, theta, init=init, **TIGHT)
        return primal_weights(found.value, *twice, theta), found.value

    (W, x), (there, elsewhere) = weights(2 * THETA, None), weights(2 * THETA, start)
    assert np.abs(x - elsewhere).max() > 1e-2
    np.testing.assert_allclose(W, there, atol=1e-8)
    slopes = [jax.jacfwd(lambda t, i=init: weights(t, i)[0])(2 * THETA) for init in (None, start)]
    exact = jax.jacfwd(
        lambda t: primal_weights(multiclass_svm(X, Y, t / 2, **TIGHT).value, X, Y, t / 2)
    )(2 * THETA)
    for slope in slopes:
        np.testing.assert_allclose(slope, exact, atol=1e-7)


@pytest.mark.parametrize("solver", SOLVERS)
def test_an_early_stop_is_told(solver):
    found = multiclass_svm(X, Y, THETA, solver=solver, maxiter=2)
    assert not bool(found.converged)
    assert "iteration limit" in found.reason
    assert np.isnan(jax.grad(lambda theta: loss(X, Y, theta, solver=solver, maxiter=2))(THETA))


def test_an_early_stop_raises_if_asked_to():
    with pytest.raises(DerivativeFailed, match="not a root"):
        jax.grad(lambda theta: loss(X, Y, theta, maxiter=2, on_failure="raise"))(THETA)


def test_a_kink_is_told():
    # Two samples at right angles: the rows of x reach a corner at theta = 2, and stay.
    X, Y = jnp.eye(2), jnp.eye(2)

    def margin(theta):
        x = multiclass_svm(X, Y, theta, **TIGHT).value
        return float(complementarity_margin(x, X, Y, theta))

    assert margin(2.0) < 1e-9
    np.testing.assert_allclose([margin(1.0), margin(1.9), margin(3.0)], [0.5, 0.05, 1 / 3])

    def corner(theta):
        return multiclass_svm(X, Y, theta, **TIGHT).value[0, 1]

    np.testing.assert_allclose([jax.grad(corner)(t) for t in (1.9, 2.1)], [0.5, 0.0], atol=1e-9)


def with_entry(array, value):
    return array.at[2, 1].set(value)


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        ((X, jnp.argmax(Y, axis=1), 1.0), {}, r"Y of shape \[24, k\], .* found \(24,\)"),
        ((X, Y[:-1], 1.0), {}, r"found \(23, 3\)"),
        ((X, Y[:, :1], 1.0), {}, r"k >= 2.*found \(24, 1\)"),
        ((X, with_entry(Y, 1.0), 1.0), {}, r"one-hot; found row 2 = \[0.0, 1.0, 1.0\]"),
        ((X, with_entry(Y, jnp.nan), 1.0), {}, r"one-hot; found row 2 = \[0.0, nan, 1.0\]"),
        ((X, 2 * Y, 1.0), {}, r"one-hot; found row 0 = \[2.0, 0.0, 0.0\]"),
        ((with_entry(X, jnp.nan), Y, 1.0), {}, "finite numbers in X; found nan"),
        ((X[:, 0], Y, 1.0), {}, r"X with 2 axes; found shape \(24,\)"),
        ((X, Y, 0.0), {}, "theta > 0; found 0.0"),
        ((X, Y, -1.0), {}, "theta > 0; found -1.0"),
        ((X, Y, jnp.nan), {}, "finite numbers in theta"),
        ((X, Y, jnp.ones(2)), {}, r"theta of shape \(\); found \(2,\)"),
        ((X, Y, 1.0), {"solver": "newton"}, "solver must be one of projected_gradient, .*'newton'"),
        ((X, Y, 1.0), {"fixed_point": "kkt"}, "fixed_point must be one of .* found 'kkt'"),
        ((X, Y, 1.0), {"step": -1.0}, "step must be a positive number, found -1.0"),
        (
            (X, Y, 1.0),
            {"solver": SOLVERS[2], "step": inverse_power(1.0, after=2)},
            "step must be a positive number, found function",
        ),
        ((X, Y, 1.0), {"maxiter": 0}, "maxiter must be at least 1"),
    ],
)
def test_bad_input_is_one_clear_line(arguments, options, message):
    with pytest.raises(ValueError, match=message) as refused:
        multiclass_svm(*arguments, **options)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("K", "message"),
    [
        (X, r"as many rows as columns; found \(24, 7\)"),
        (jnp.triu(X @ X.T), r"K symmetric; found K\["),
        ((X @ X.T).at[0, 0].set(jnp.inf), "finite numbers in K; found inf"),
    ],
)
def test_bad_kernels_are_refused(K, message):
    with pytest.raises(ValueError, match=message):
        multiclass_kernel_svm(K, Y, 1.0)


def test_a_traced_theta_that_is_not_positive_gives_nan():
    found = jax.jit(lambda theta: multiclass_svm(X, Y, theta))(-1.0)
    assert np.isnan(found.value).all()
    assert not bool(found.converged)
