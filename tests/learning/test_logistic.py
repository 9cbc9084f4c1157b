"""Multiclass logistic regression by all its routes, against scikit-learn and differences."""

import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression

from simsens.implicit import DerivativeFailed
from simsens.learning.logistic import logistic_loss, multiclass_logistic, penalised_loss
from simsens.solvers import LBFGS, GradientDescent, Newton, solve
from tests.finite_difference import along, derivative, gradient

TIGHT = 1e-12  # norm of the gradient; the curvature is at least 2 * penalty


def samples(n, p, k, seed=0):
    """X, and rows of probabilities that are no labels."""
    rng = np.random.default_rng(seed)
    return rng.standard_normal((n, p)), rng.dirichlet(np.ones(k), n)


# Fewer samples than features, more, and as many.
SHAPES = {"samples": (4, 7, 3), "features": (9, 4, 3), "square": (5, 5, 2)}
TWO = pytest.mark.parametrize("shape", [SHAPES["samples"], SHAPES["features"]], ids=str)
EACH = pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)


def general(algorithm, X, y, penalty):
    """The same by any algorithm on all unknowns."""
    start = jnp.zeros((X.shape[1], y.shape[1]))
    return solve(algorithm(penalised_loss), start, X, y, penalty, tol=TIGHT)


def measured(X, y, penalty):
    """A number that depends on every weight."""
    W = multiclass_logistic(X, y, penalty, tol=TIGHT).value
    return jnp.sum(jnp.sin(W + jnp.arange(W.size).reshape(W.shape)))


# -------------------------------------------------------------------------------------- the value


# The last two have more than 1500 unknowns by either count.
@pytest.mark.parametrize("shape", [*SHAPES.values(), (200, 160, 10), (160, 200, 10)], ids=str)
@pytest.mark.parametrize("penalty", [1e-3, 0.1, 10.0])
def test_the_gradient_vanishes(shape, penalty):
    X, y = samples(*shape)
    found = multiclass_logistic(X, y, penalty)
    slope = jax.grad(penalised_loss)(found.value, X, y, penalty)
    assert bool(found.converged)
    assert found.reason.startswith("converged")
    assert found.value.shape == shape[1:]
    # Near rounding the bound may be as small as the gradient formed from the weights is wrong.
    assert np.linalg.norm(slope) <= found.residual + 1e-14
    assert found.residual <= 1.5e-8


@pytest.mark.parametrize("shape", [(5, 8, 3), (12, 5, 4)], ids=["samples", "features"])
def test_samples_of_any_size_and_penalties_of_any_size(shape):
    fit = jax.jit(multiclass_logistic)
    X, y = samples(*shape)
    labels = np.eye(shape[2])[np.arange(shape[0]) % shape[2]]
    for scale in (1e-6, 1.0, 1e4):
        for penalty in (1e-10, 1e-5, 1e3):
            for rows in (y, labels):  # which can be told apart: only the penalty keeps W finite
                found = fit(scale * X, rows, penalty)
                slope = jax.grad(penalised_loss)(found.value, scale * X, rows, penalty)
                assert bool(found.converged)
                assert np.linalg.norm(slope) <= 1.5e-8


@pytest.mark.parametrize("number", [15, 300])
@pytest.mark.parametrize("penalty", [1e-3, 0.1])
def test_scikit_learn_finds_the_same(number, penalty):
    X, y = load_digits(n_class=4, return_X_y=True)
    X, y = X[:number] / 16, y[:number]
    model = LogisticRegression(
        C=1 / (2 * number * penalty), fit_intercept=False, tol=1e-11, max_iter=10_000
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that its line search ends in rounding
        model.set_params(solver="newton-cg").fit(X, y)
    found = multiclass_logistic(X, y, penalty, tol=1e-11)
    assert bool(found.converged)
    # Both gradients are at most 1e-11 n, the curvature at least 2 penalty.
    np.testing.assert_allclose(found.value, model.coef_.T, rtol=0, atol=1e-6)


def test_one_feature_in_closed_form():
    # Two samples at 1 and -1: W = (w, -w) with 2 penalty w = s, s = 1 / (1 + exp(2 w)) / 1.
    for penalty in (0.01, 0.1, 1.0):
        w = float(multiclass_logistic([[1.0], [-1.0]], [0, 1], penalty, tol=TIGHT).value[0, 0])
        assert abs(2 * penalty * w - 1 / (1 + np.exp(2 * w))) < 1e-11


def test_labels_are_rows_of_zeros_and_a_one():
    X, _ = samples(5, 3, 2)
    labels = np.array([2, 0, 1, 1, 2], np.uint8)
    rows = multiclass_logistic(X, np.eye(4)[labels], 0.1)
    np.testing.assert_array_equal(multiclass_logistic(X, labels, 0.1, classes=4).value, rows.value)


def test_a_row_counts_as_often_as_it_says():
    X, y = samples(3, 5, 2)
    twice = logistic_loss(np.ones((5, 2)), X, y * np.array([[2.0], [1.0], [1.0]])) * 3
    again = logistic_loss(np.ones((5, 2)), X[[0, 0, 1, 2]], y[[0, 0, 1, 2]]) * 4
    assert abs(twice - again) < 1e-14


def test_the_loss_by_its_definition():
    (X, y), W = samples(5, 3, 4), np.random.default_rng(1).standard_normal((3, 4))
    P = np.exp(X @ W) / np.exp(X @ W).sum(axis=1, keepdims=True)
    assert abs(logistic_loss(W, X, y) + (y * np.log(P)).sum() / 5) < 1e-14
    far = logistic_loss(1e4 * W, X, y)  # where exp overflows
    assert np.isfinite(far)


@TWO
def test_start(shape):
    X, y = samples(*shape)
    found = multiclass_logistic(X, y, 0.1)
    again = multiclass_logistic(X, y, 0.1, init=found.value)
    elsewhere = multiclass_logistic(X, y, 0.1, init=100 * np.ones(shape[1:]))
    assert int(again.iterations) < int(found.iterations)
    np.testing.assert_allclose(elsewhere.value, found.value, rtol=0, atol=1.5e-7)
    along_start = jax.jacfwd(lambda start: multiclass_logistic(X, y, 0.1, init=start).value)
    assert not along_start(jnp.ones(shape[1:])).any()


def test_precision_is_kept():
    X, y = samples(4, 7, 3)
    found = multiclass_logistic(X.astype(np.float32), y, 0.1)
    assert found.value.dtype == np.float32
    assert bool(found.converged)
    exact = multiclass_logistic(X, y, 0.1).value
    np.testing.assert_allclose(found.value, exact, rtol=0, atol=1e-4 / 0.2)


# -------------------------------------------------------------------------------- the derivatives


@EACH
@pytest.mark.parametrize("number", range(3), ids=["X", "y", "penalty"])
def test_central_differences(shape, number):
    given = [*samples(*shape), 0.2]

    def function(moving):
        return measured(*given[:number], moving, *given[number + 1 :])

    found = jax.grad(function)(jnp.asarray(given[number]))
    # The solution is good to TIGHT / (2 penalty), the difference to that over its step, 7e-4.
    difference = gradient if np.ndim(given[number]) else derivative
    np.testing.assert_allclose(found, difference(function, given[number]), rtol=0, atol=2e-8)


@TWO
@pytest.mark.parametrize("algorithm", [GradientDescent, LBFGS, Newton])
def test_the_general_way_finds_the_same(shape, algorithm):
    X, y = samples(*shape)

    def others(X, y, penalty):
        W = general(algorithm, X, y, penalty).value
        return jnp.sum(jnp.sin(W + jnp.arange(W.size).reshape(W.shape)))

    wanted = jax.grad(others, argnums=(0, 1, 2))(X, y, 0.2)
    found = jax.grad(measured, argnums=(0, 1, 2))(X, y, 0.2)
    for one, other in zip(found, wanted):
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-9)


def test_beyond_dense_systems_too():
    X, y = samples(200, 160, 10)
    direction = samples(200, 160, 10, seed=1)[0]

    def function(X):
        return jnp.sum(jnp.sin(multiclass_logistic(X, y, 0.2, tol=1e-10).value))

    found = jnp.vdot(jax.jit(jax.grad(function))(X), direction)
    difference = along(jax.jit(function), X, direction)
    assert abs(found - difference) < 1e-6 * max(1, abs(difference))


@pytest.mark.parametrize("rank", [0, 1, 2])
def test_samples_that_depend_on_each_other(rank):
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((4, rank)) @ rng.standard_normal((rank, 7)), samples(4, 7, 3)[1]
    wanted = jax.jacrev(lambda X: general(Newton, X, y, 0.2).value)(X)
    found = jax.jacrev(lambda X: multiclass_logistic(X, y, 0.2, tol=TIGHT).value)(X)
    assert np.abs(wanted).max() > 0.1
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-10)


def test_samples_that_coincide():
    X, y = samples(4, 7, 3)
    X[1] = X[0]
    wanted = jax.jacrev(lambda X: general(Newton, X, y, 0.2).value)(X)
    found = jax.jacrev(lambda X: multiclass_logistic(X, y, 0.2, tol=TIGHT).value)(X)
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-10)


@TWO
def test_forward_reverse_and_second_derivatives(shape):
    X, y = samples(*shape)

    def weights(penalty):
        return multiclass_logistic(X, y, penalty, tol=TIGHT).value

    forward, reverse = jax.jacfwd(weights)(0.2), jax.jacrev(weights)(0.2)
    np.testing.assert_allclose(forward, reverse, rtol=0, atol=1e-12)
    slope = jax.grad(measured)
    direction = samples(*shape, seed=1)[0]
    curved = jax.jvp(lambda X: slope(X, y, 0.2), (jnp.asarray(X),), (jnp.asarray(direction),))[1]
    difference = along(lambda X: slope(X, y, 0.2), X, direction)
    np.testing.assert_allclose(curved, difference, rtol=0, atol=1e-6)


@TWO
def test_jit_and_vmap(shape):
    batch = [samples(*shape, seed=seed) for seed in range(3)]
    X, y = (jnp.stack(parts) for parts in zip(*batch))
    together = jax.jit(jax.vmap(jax.grad(measured), (0, 0, None)))(X, y, 0.2)
    for each, *one in zip(together, X, y):
        np.testing.assert_allclose(each, jax.grad(measured)(*one, 0.2), rtol=0, atol=1e-10)


@TWO
def test_unrolled_iterations_converge_to_it(shape):
    X, y = samples(*shape)
    exact = jax.jacrev(lambda X: multiclass_logistic(X, y, 0.2, tol=TIGHT).value)(X)

    def error(steps):
        def weights(X):
            start = jnp.zeros(shape[1:])
            return solve(
                GradientDescent(penalised_loss), start, X, y, 0.2,
                tol=0.0, maxiter=steps, differentiation="unrolled",
            ).value  # fmt: skip

        return np.linalg.norm(jax.jit(jax.jacrev(weights))(X) - exact)

    errors = [error(steps) for steps in (5, 20, 60)]
    assert errors[0] > errors[1] > errors[2]
    assert errors[2] < 1e-6


# ------------------------------------------------------------------------------- what goes wrong


def early(X, y, **options):
    return multiclass_logistic(X, y, 1e-3, maxiter=1, **options).value.sum()


@TWO
def test_an_early_stop_is_told(shape):
    X, y = samples(*shape)
    found = multiclass_logistic(X, y, 1e-3, maxiter=1)
    assert not bool(found.converged)
    assert found.reason.startswith("not converged: the iteration limit, 1, came first")
    assert np.isfinite(found.value).all()
    assert np.isnan(jax.grad(early)(X, y)).all()


def test_the_policy_is_handed_on():
    X, y = samples(4, 7, 3)
    assert np.isfinite(jax.grad(early)(X, y, on_failure="keep")).all()
    with pytest.raises(DerivativeFailed, match="not a root"):
        jax.grad(early)(X, y, on_failure="raise")


X23, Y2 = np.ones((2, 3)), np.array([0, 1])
BAD = {
    "one axis": ((np.ones(3), Y2, 0.1), {}, r"\[n, p\], at least one, found float64 of shape \(3"),
    "no samples": ((np.ones((0, 3)), Y2, 0.1), {}, "at least one"),
    "words": ((np.full((2, 3), "a"), Y2, 0.1), {}, "real numbers .* found <U1"),
    "words for labels": ((X23, ["a", "b"], 0.1), {}, "each of 2 samples, found <U1"),
    "complex rows": ((X23, 1j * np.eye(2), 0.1), {}, "each of 2 samples, found complex128"),
    "complex": ((1j * X23, Y2, 0.1), {}, "real numbers .* found complex128"),
    "NaN": ((X23 * np.nan, Y2, 0.1), {}, "finite, found NaN"),
    "too few labels": ((X23, [0], 0.1), {}, r"each of 2 samples, found int64 of shape \(1,\)"),
    "three axes": ((X23, np.ones((2, 2, 2)), 0.1), {}, r"found float64 of shape \(2, 2, 2\)"),
    "fractions": ((X23, [0.0, 1.0], 0.1), {}, "whole numbers, found float"),
    "negative label": ((X23, [-1, 1], 0.1), {}, r"0 \.\. 1, found -1 \.\. 1"),
    "label too large": ((X23, [0, 2], 0.1), {"classes": 2}, r"0 \.\. 1, found 0 \.\. 2"),
    "one class": ((X23, [0, 0], 0.1), {}, "at least 2 classes apart, found 1"),
    "other classes": ((X23, np.ones((2, 3)), 0.1), {"classes": 2}, "2 classes apart, found 3"),
    "negative row": ((X23, [[1.0, -0.5], [0, 1]], 0.1), {}, "not negative, found -0.5"),
    "row of NaN": ((X23, [[1.0, np.nan], [0, 1]], 0.1), {}, "must be finite"),
    "row of infinity": ((X23, [[1.0, np.inf], [0, 1]], 0.1), {}, "must be finite"),
    "penalty 0": ((X23, Y2, 0.0), {}, "penalty must be a positive number, found 0"),
    "penalty below 0": ((X23, Y2, -1.0), {}, "penalty must be a positive number, found -1"),
    "penalty NaN": ((X23, Y2, np.nan), {}, "penalty must be a positive number, found nan"),
    "penalties": ((X23, Y2, np.ones(3)), {}, r"penalty must be .*, found shape \(3,\)"),
    "start": ((X23, Y2, 0.1), {"init": np.ones((2, 3))}, r"\(3, 2\) of the weights, found \(2, 3"),
    "tolerance": ((X23, Y2, 0.1), {"tol": -1.0}, "tol must be 0 or more"),
    "policy": ((X23, Y2, 0.1), {"on_failure": "hope"}, "on_failure must be one of"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_refused_in_one_line(case):
    given, options, said = BAD[case]
    with pytest.raises(ValueError, match=said) as raised:
        multiclass_logistic(*given, **options)
    assert "\n" not in str(raised.value)


def test_weights_that_do_not_fit_the_samples():
    with pytest.raises(ValueError, match=r"found shapes \(2, 2\) and \(2, 3\)"):
        logistic_loss(np.ones((2, 2)), X23, Y2)
    with pytest.raises(ValueError, match=r"0 \.\. 1, found 0 \.\. 5"):
        logistic_loss(np.ones((3, 2)), X23, [0, 5])


def test_what_cannot_be_seen_while_tracing_is_nan():
    W = jnp.ones((3, 2))
    assert np.isnan(jax.jit(logistic_loss)(W, X23, jnp.array([0, 2])))
    assert np.isfinite(jax.jit(logistic_loss)(W, X23, jnp.array([0, 1])))
    fit = jax.jit(lambda penalty: multiclass_logistic(X23, Y2, penalty))
    assert not bool(fit(-0.1).converged)
    assert bool(fit(0.1).converged)
    with pytest.raises(ValueError, match="traced do not tell how many classes"):
        jax.jit(lambda y: multiclass_logistic(X23, y, 0.1))(jnp.array([0, 1]))
