"""The derivative of the outer loss, and the descent that follows it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.optimize

from simsens.implicit import custom_root
from simsens.learning.distillation import Distilled, distill, distilled_loss
from simsens.learning.logistic import logistic_loss, multiclass_logistic, penalised_loss
from simsens.optimality import stationary
from simsens.solvers import GradientDescent, inverse_power, solve
from tests.finite_difference import derivative, gradient
from tests.opaque import concrete

PENALTY = 0.1
SLOPE = jax.value_and_grad(distilled_loss, has_aux=True)


def training_set(n=40, p=6, k=3, seed=0):
    """Three blurred points, and where to start."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, k, n)
    X = rng.standard_normal((k, p))[y] + 0.5 * rng.standard_normal((n, p))
    return rng.standard_normal((k, p)), X, y


def tight(images, labels, penalty, init=None):
    return multiclass_logistic(images, labels, penalty, init=init, tol=1e-12)


def by_descent(**options):
    """The general solver on all unknowns as the inner one."""

    def fit(images, labels, penalty, init=None):
        shape = (images.shape[1], labels.shape[1])
        start = jnp.zeros(shape) if init is None else init
        return solve(GradientDescent(penalised_loss), start, images, labels, penalty, **options)

    return fit


def outer(images, X, y, penalty, labels=None, fit=tight):
    return distilled_loss(images, X, y, penalty, labels=labels, fit=fit)[0]


# --------------------------------------------------------------------------------- the derivative


@pytest.mark.parametrize("shape", [(40, 6, 3), (40, 2, 3)], ids=["few images", "few pixels"])
def test_central_differences(shape):
    images, X, y = training_set(*shape)
    found = jax.grad(outer, argnums=(0, 3))(images, X, y, PENALTY)
    function = jax.jit(outer)
    # The inner solution is good to 1e-12 / (2 penalty), the difference to that over 7e-4.
    wanted = gradient(lambda images: function(images, X, y, PENALTY), images)
    np.testing.assert_allclose(found[0], wanted, rtol=0, atol=2e-8)
    wanted = derivative(lambda penalty: function(images, X, y, penalty), PENALTY)
    np.testing.assert_allclose(found[1], wanted, rtol=0, atol=2e-8)


def test_labels_can_be_learnt_too():
    images, X, y = training_set()
    labels = np.random.default_rng(1).dirichlet(np.ones(3), 3)
    found = jax.grad(outer, argnums=4)(images, X, y, PENALTY, labels)
    function = jax.jit(outer)
    wanted = gradient(lambda labels: function(images, X, y, PENALTY, labels), labels)
    np.testing.assert_allclose(found, wanted, rtol=0, atol=2e-8)


def test_more_images_than_classes():
    images, X, y = training_set()
    twice = np.concatenate([images, images])
    once = outer(images, X, y, PENALTY)
    # The mean over the images is the same.
    again = outer(twice, X, y, PENALTY, np.array([0, 1, 2, 0, 1, 2]))
    assert abs(once - again) < 1e-11


def test_a_root_found_by_scipy_on_all_unknowns_gives_the_same():
    images, X, y = training_set()
    labels = np.eye(3)

    @custom_root(stationary(penalised_loss, convex=True))
    @concrete
    def by_scipy(init, images, labels, penalty):
        def flat(w):
            return penalised_loss(w.reshape(6, 3), images, labels, penalty)

        root = scipy.optimize.root(
            jax.grad(flat), np.zeros(18), jac=jax.hessian(flat), method="hybr", tol=1e-13
        )
        return root.x.reshape(6, 3)

    def others(images):
        return logistic_loss(by_scipy(None, images, labels, PENALTY), X, y)

    found = jax.grad(outer)(images, X, y, PENALTY)
    np.testing.assert_allclose(found, jax.grad(others)(jnp.asarray(images)), rtol=0, atol=1e-9)


def test_the_general_solver_gives_the_same():
    images, X, y = training_set()
    wanted = jax.grad(outer)(images, X, y, PENALTY, fit=by_descent(tol=1e-12))
    found = jax.grad(outer)(images, X, y, PENALTY)
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-10)


def test_unrolled_gradients_converge_to_it():
    images, X, y = training_set()
    exact = jax.grad(outer)(images, X, y, PENALTY)

    def error(steps):
        fit = by_descent(tol=0.0, maxiter=steps, differentiation="unrolled")
        return np.linalg.norm(jax.grad(outer)(images, X, y, PENALTY, fit=fit) - exact)

    errors = [error(steps) for steps in (5, 20, 60)]
    assert errors[0] > errors[1] > errors[2]
    assert errors[2] < 1e-6


def test_second_derivative():
    images, X, y = training_set(p=4)
    slope = jax.jit(jax.grad(outer))
    direction = np.random.default_rng(1).standard_normal(images.shape)
    found = jax.jvp(lambda i: slope(i, X, y, PENALTY), (images,), (direction,))[1]
    wanted = derivative(lambda s: slope(images + s * direction, X, y, PENALTY), 0.0)
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-6)


# ------------------------------------------------------------------------------------ the descent


@pytest.mark.parametrize("step", [0.5, inverse_power(1.0, after=1, power=1.0)], ids=["step", "1/k"])
def test_the_heavy_ball_by_hand(step):
    images, X, y = training_set()
    found = distill(images, X, y, PENALTY, 4, step=step, momentum=0.8)
    velocity, weights, losses = np.zeros_like(images), None, []
    for k in range(4):
        (loss, inner), slope = SLOPE(images, X, y, PENALTY, init=weights)
        velocity = 0.8 * velocity - (step(k) if callable(step) else step) * slope
        images, weights, losses = images + velocity, inner.value, [*losses, loss]
    # Fits that start elsewhere end within the tolerance, 1.5e-8, over the curvature, 0.2.
    np.testing.assert_allclose(found.images, images, rtol=0, atol=1e-6)
    np.testing.assert_allclose(found.loss, losses, rtol=0, atol=1e-6)
    np.testing.assert_allclose(found.weights, weights, rtol=0, atol=1e-6)
    assert int(found.iterations) == 4


def test_it_goes_on_where_it_stood():
    images, X, y = training_set()
    step = inverse_power(1.0, after=2)
    whole = distill(images, X, y, PENALTY, 9, step=step)
    half = distill(images, X, y, PENALTY, 4, step=step)
    rest = distill(half, X, y, PENALTY, 5, step=step)
    assert isinstance(half, Distilled)
    assert int(rest.iterations) == 9
    np.testing.assert_allclose(rest.images, whole.images, rtol=0, atol=1e-13)
    losses = np.concatenate([half.loss, rest.loss])
    np.testing.assert_allclose(losses, whole.loss, rtol=0, atol=1e-13)


def test_the_images_teach_what_the_set_teaches():
    images, X, y = training_set(n=200)
    found = distill(1e-3 * images, X, y, PENALTY, 200)
    W = multiclass_logistic(found.images, np.arange(3), PENALTY).value
    whole = multiclass_logistic(X, y, 1e-3).value
    right, possible = (np.mean(np.argmax(X @ w, axis=1) == y) for w in (W, whole))
    assert found.converged.all()
    assert found.loss[0] > np.log(3) - 0.1  # nothing is known yet
    assert found.loss[-1] < 0.5 * found.loss[0]
    assert right > 0.9 * possible > 0.8


def test_jit_and_vmap():
    many = [training_set(seed=seed) for seed in range(2)]
    images, X, y = (jnp.stack([jnp.asarray(part) for part in parts]) for parts in zip(*many))
    together = jax.jit(jax.vmap(lambda *given: distill(*given, PENALTY, 5)))(images, X, y)
    for k, given in enumerate(many):
        alone = distill(*given, PENALTY, 5)
        np.testing.assert_allclose(together.images[k], alone.images, rtol=0, atol=1e-12)
        np.testing.assert_allclose(together.loss[k], alone.loss, rtol=0, atol=1e-12)


def test_eager_descents_share_one_program():
    traced = []

    def fit(images, labels, penalty, init=None):
        traced.append(images.shape)
        return multiclass_logistic(images, labels, penalty, init=init)

    images, X, y = training_set()
    found = distill(images, X, y, PENALTY, 3, fit=fit)
    found = distill(found, X, y, PENALTY, 3, fit=fit)
    once = len(traced)
    found = distill(found, X + 1, y, 2 * PENALTY, 3, fit=fit)
    assert len(traced) == once


# ------------------------------------------------------------------------------- what goes wrong


def test_an_inner_solver_that_stops_early_is_told():
    images, X, y = training_set()
    found = distill(images, X, y, 1e-3, 3, fit=by_descent(tol=1e-10, maxiter=2))
    assert not found.converged.any()
    assert np.isfinite(found.loss[0])
    assert np.isnan(found.images).all()  # the derivative was NaN: nobody goes on as if it were not


def without(X, value):
    X = X.copy()
    X[1, 2] = value
    return X


IMAGES, X, Y = training_set()
BAD = {
    "iterations": ((IMAGES, X, Y, 0.1, 0), {}, "iterations must be at least 1, found 0"),
    "momentum": ((IMAGES, X, Y, 0.1, 3), {"momentum": 1.0}, "momentum must lie in .* found 1.0"),
    "step": ((IMAGES, X, Y, 0.1, 3), {"step": -1.0}, "step must be a positive number, found -1.0"),
    "penalty": ((IMAGES, X, Y, 0.0, 3), {}, "penalty must be a positive number, found 0.0"),
    "pixels": ((IMAGES[:, :4], X, Y, 0.1, 3), {}, "as many pixels .* 6, found 4"),
    "one image": ((IMAGES[:1], X, Y, 0.1, 3), {}, "at least 2 classes apart, found 1"),
    "a flat image": ((IMAGES[0], X, Y, 0.1, 3), {}, r"found float64 of shape \(6,\)"),
    "NaN image": ((without(IMAGES, np.nan), X, Y, 0.1, 3), {}, "must be finite"),
    "NaN in the set": ((IMAGES, without(X, np.nan), Y, 0.1, 3), {}, "must be finite"),
    "labels missing": (
        (IMAGES, X, Y[:-1], 0.1, 3),
        {},
        r"each of 40 samples, found int64 of shape \(39,\)",
    ),
    "a class without image": ((IMAGES[:2], X, Y, 0.1, 3), {}, r"lie in 0 \.\. 1, found 0 \.\. 2"),
    "labels of images": ((IMAGES, X, Y, 0.1, 3), {"labels": [0, 1]}, r"each of 3 samples"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_refused_in_one_line(case):
    given, options, said = BAD[case]
    with pytest.raises(ValueError, match=said) as raised:
        distill(*given, **options)
    assert "\n" not in str(raised.value)
