"""Cones: Moreau's decomposition, diffcp, and derivatives where eigenvalues coincide."""

import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from simsens.projection import (
    projection_exponential_cone,
    projection_psd,
    projection_second_order_cone,
)
from tests.finite_difference import gradient

EPS = np.finfo(float).eps


def exponential(p):
    """How far outside the cone (r, s, t) is, by its definition."""
    r, s, t = p
    return max(r, -t, 0.0) if s <= 0 else max(s * np.exp(r / s) - t, 0.0)


def rays():
    """Unit vectors that span the cone: its boundary is made of them and the face's two edges."""
    rho = np.linspace(-40, 40, 4001)
    curve = np.stack([rho, np.ones_like(rho), np.exp(rho)], axis=1)
    curve = np.concatenate([curve, [[-1.0, 0, 0], [0, 0, 1]]])
    return curve / np.linalg.norm(curve, axis=1, keepdims=True)


def test_exponential_cone_by_moreau():
    """p in K, p - x in K*, orthogonal: necessary and sufficient."""
    points = np.random.default_rng(0).normal(size=(300, 3)) * np.array([3.0, 1.0, 2.0])
    images = np.asarray(jax.jit(jax.vmap(projection_exponential_cone))(points))
    for x, p in zip(points, images):
        # The slope of the boundary enters: exp(r / s), which is t / s.
        slope = 1 + abs(p[2] / p[1]) if p[1] > 0 else 1
        assert exponential(p) <= 30 * EPS * slope * np.linalg.norm(x)
        assert abs(p @ (p - x)) <= 100 * EPS * x @ x
        assert (rays() @ (p - x)).min() >= -30 * EPS * np.linalg.norm(x)


def test_exponential_cone_by_diffcp():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        cones = pytest.importorskip("diffcp.cones")
    for x in np.random.default_rng(1).normal(size=(20, 3)):
        theirs = cones.pi(x, [("ep", 1)])
        # It stops its Newton iteration at 1e-10 or so.
        np.testing.assert_allclose(projection_exponential_cone(x), theirs, rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("x", "p", "slopes"),
    [
        ([0.0, 1.0, 2.0], [0.0, 1.0, 2.0], np.eye(3)),  # inside
        ([1.0, -9.0, -2.0], [0, 0, 0], np.zeros((3, 3))),  # in the polar cone
        ([-1.0, -2.0, 3.0], [-1, 0, 3], np.diag([1.0, 0, 1])),  # beside the face
        ([-1.0, -2.0, -3.0], [-1, 0, 0], np.diag([1.0, 0, 0])),
        ([0.0, 0.0, 0.0], [0, 0, 0], np.eye(3)),
        ([-1.0, 0.0, 2.0], [-1, 0, 2], np.eye(3)),  # on the face
    ],
)
def test_exponential_cone_special_places(x, p, slopes):
    x = np.array(x)
    np.testing.assert_array_equal(projection_exponential_cone(x), p)
    found = jax.jit(jax.jacrev(projection_exponential_cone))(x)
    np.testing.assert_array_equal(found, slopes)


@pytest.mark.parametrize(
    "x", [[1e-9, 1.0, 0.5], [5.0, 1e-6, 1.0], [1.0, 0.0, 1.0], [0.0, 1.0, -1.0], [-3.0, 0.1, -2.0]]
)
def test_exponential_cone_near_its_edges(x):
    x = np.array(x)
    p = np.asarray(projection_exponential_cone(x))
    slope = 1 + abs(p[2] / p[1])
    assert exponential(p) <= 30 * EPS * slope * np.linalg.norm(x)
    assert abs(p @ (p - x)) <= 100 * EPS * x @ x
    slopes = jax.jit(jax.jacfwd(projection_exponential_cone))(x)
    expected = gradient(jax.jit(projection_exponential_cone), x, 1e-7 * np.linalg.norm(x))
    np.testing.assert_allclose(slopes, expected, rtol=0, atol=1e-7)


def test_second_order_cone():
    rng = np.random.default_rng(0)
    for x in rng.normal(size=(20, 4)):
        p = np.asarray(projection_second_order_cone(x))
        assert np.linalg.norm(p[1:]) <= p[0] + 4 * EPS
        push = p - x  # in the dual cone, which is the cone itself
        assert np.linalg.norm(push[1:]) <= push[0] + 8 * EPS
        assert abs(p @ push) <= 30 * EPS


@pytest.mark.parametrize(
    ("x", "p", "slopes"),
    [
        ([2.0, 1.0, 0.0], [2, 1, 0], np.eye(3)),
        ([1.0, 1.0, 0.0], [1, 1, 0], np.eye(3)),  # on the boundary: inside
        ([-2.0, 1.0, 0.0], [0, 0, 0], np.zeros((3, 3))),
        ([-1.0, 1.0, 0.0], [0, 0, 0], np.zeros((3, 3))),  # on the polar cone's boundary
        ([0.0, 0.0, 0.0], [0, 0, 0], np.eye(3)),
        ([-1.0, 0.0, 0.0], [0, 0, 0], np.zeros((3, 3))),
        ([0.0, 1.0, 0.0], [0.5, 0.5, 0], [[0.5, 0.5, 0], [0.5, 0.5, 0], [0, 0, 0.5]]),
    ],
)
def test_second_order_cone_special_places(x, p, slopes):
    x = np.array(x)
    np.testing.assert_array_equal(projection_second_order_cone(x), p)
    for mode in (jax.jacfwd, jax.jacrev):
        found = jax.jit(mode(projection_second_order_cone))(x)
        np.testing.assert_allclose(found, slopes, rtol=0, atol=EPS)
    second = jax.jit(jax.hessian(lambda x: projection_second_order_cone(x)[1]))(x)
    assert np.isfinite(second).all()


def test_second_order_cone_of_one():
    np.testing.assert_array_equal(projection_second_order_cone(np.array([-2.0])), [0])
    np.testing.assert_array_equal(projection_second_order_cone(np.array([2.0])), [2])


def test_psd_by_moreau_and_its_symmetric_part():
    for seed in range(5):
        x = np.random.default_rng(seed).normal(size=(4, 4))
        p, s = np.asarray(projection_psd(x)), (x + x.T) / 2
        np.testing.assert_array_equal(p, p.T)
        assert np.linalg.eigvalsh(p).min() >= -20 * EPS
        assert np.linalg.eigvalsh(p - s).min() >= -20 * EPS
        assert abs(np.sum(p * (p - s))) <= 100 * EPS


@pytest.mark.parametrize(
    "values",
    [[1.0, 1.0, -1.0, -1.0], [2.0, 2.0, 2.0, -1.0], [1.0, 1.0, 1.0, 1.0], [-1.0, -1, -1, -1]],
)
def test_psd_derivatives_at_equal_eigenvalues(values):
    """Autodiff of eigh divides by the differences of the eigenvalues: NaN here."""
    Q, _ = np.linalg.qr(np.random.default_rng(0).normal(size=(4, 4)))
    x = Q @ np.diag(values) @ Q.T
    weights = np.random.default_rng(1).normal(size=(4, 4))

    def loss(x):
        return jnp.sum(weights * projection_psd(x))

    slope = jax.jit(jax.grad(loss))
    np.testing.assert_allclose(slope(x), gradient(jax.jit(loss), x), rtol=0, atol=1e-9)
    second = jax.jit(jax.hessian(loss))(x)
    np.testing.assert_allclose(second, gradient(slope, x), rtol=0, atol=1e-8)


def test_psd_by_autodiff_would_fail_there():
    def naive(x):
        values, vectors = jnp.linalg.eigh(x)
        return jnp.sum((vectors * jnp.maximum(values, 0)) @ vectors.T)

    assert np.isnan(jax.jit(jax.grad(naive))(np.diag([1.0, 1.0, -1.0]))).any()


def test_psd_zero_eigenvalues_count_half():
    x = np.diag([1.0, 0.0, 1e-18])
    slopes = jax.jit(jax.jacrev(projection_psd))(x).reshape(9, 9)
    assert np.isfinite(slopes).all()
    assert slopes[0, 0] == 1
    assert slopes[4, 4] == slopes[8, 8] == 0.5
    second = jax.jit(jax.hessian(lambda x: projection_psd(x)[0, 1]))(x)
    assert np.isfinite(second).all()
    slopes = jax.jit(jax.jacfwd(projection_psd))(np.zeros((2, 2))).reshape(4, 4)
    np.testing.assert_array_equal(np.diag(slopes), [0.5, 0.25, 0.25, 0.5])


@pytest.mark.parametrize(
    ("function", "x", "message"),
    [
        (projection_psd, np.ones((2, 3)), "square matrix x; found shape"),
        (projection_psd, np.ones((0, 0)), "square matrix x"),
        (projection_psd, np.ones(3), "x with 2 axes"),
        (projection_exponential_cone, np.ones(4), "x of shape .3,.; found .4,."),
        (projection_second_order_cone, np.ones(0), "at least one element"),
        (projection_second_order_cone, np.ones((2, 2)), "x with 1 axes"),
    ],
)
def test_refused(function, x, message):
    with pytest.raises(ValueError, match=f"{function.__name__} needs .*{message}"):
        function(x)
