"""Spheres and balls: SLSQP, JAXopt where it is right, the centre, the extremes of the dtype."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import minimize

from simsens import projection
from tests.projection.oracle import jaxopt

EPS = np.finfo(float).eps
ROUND = ["projection_l2_sphere", "projection_l2_ball"]
ALL = [*ROUND, "projection_l1_sphere", "projection_l1_ball"]
X = np.array([0.9, -0.55, 0.42, -1.3])


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("radius", [0.4, 1.0, 9.0])
def test_jaxopt_gives_the_same(name, radius):
    theirs = getattr(jaxopt().projection, name)(X, radius)
    ours = getattr(projection, name)(X, radius)
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=30 * EPS * radius)


@pytest.mark.parametrize("order", [1, 2])
@pytest.mark.parametrize("radius", [0.4, 1.5])
def test_slsqp_finds_nothing_nearer(order, radius):
    p = np.asarray(getattr(projection, f"projection_l{order}_ball")(X, radius))
    # x = u - v with u, v >= 0 makes the l1 norm smooth.
    split = np.concatenate([np.maximum(p, 0), np.maximum(-p, 0)]) * 0.9 + 0.01

    def norm(z):
        return z.sum() if order == 1 else np.linalg.norm(z[:4] - z[4:])

    found = minimize(
        lambda z: np.sum((z[:4] - z[4:] - X) ** 2),
        split,
        bounds=[(0, None)] * 8,
        constraints={"type": "ineq", "fun": lambda z: radius - norm(z)},
        options={"ftol": 1e-15, "maxiter": 500},
    ).x
    # SLSQP's objective is good to 1e-15 and the point to its square root.
    np.testing.assert_allclose(p, found[:4] - found[4:], rtol=0, atol=1e-6)


@pytest.mark.parametrize("name", ROUND)
def test_trees_are_one_vector(name):
    tree = {"a": X[:1], "b": (X[1].reshape(()), X[2:].reshape(2, 1))}
    p = getattr(projection, name)(tree, 0.7)
    assert jax.tree.structure(p) == jax.tree.structure(tree)
    assert jax.tree.map(jnp.shape, p) == jax.tree.map(jnp.shape, tree)
    flat = np.concatenate([np.ravel(v) for v in jax.tree.leaves(p)])
    np.testing.assert_allclose(flat, getattr(projection, name)(X, 0.7), rtol=0, atol=EPS)


def test_the_centre_of_the_l2_sphere():
    zero = np.zeros(4)
    np.testing.assert_allclose(projection.projection_l2_sphere(zero, 3.0), np.full(4, 1.5))
    for mode in (jax.jacfwd, jax.jacrev):
        dx, dvalue = mode(projection.projection_l2_sphere, (0, 1))(zero, 3.0)
        np.testing.assert_array_equal(dx, np.zeros((4, 4)))
        np.testing.assert_allclose(dvalue, np.full(4, 0.5))
    second = jax.hessian(lambda x: projection.projection_l2_sphere(x)[0])(zero)
    assert np.isfinite(second).all()


@pytest.mark.parametrize("name", ["projection_l1_ball", "projection_l2_ball"])
def test_the_centre_of_a_ball(name):
    """JAXopt's reverse mode gives NaN at the centre of the l2 ball."""
    ball = getattr(projection, name)
    for mode in (jax.jacfwd, jax.jacrev):
        np.testing.assert_array_equal(mode(ball)(np.zeros(2), 1.0), np.eye(2))
        np.testing.assert_array_equal(mode(ball)(np.zeros(2), 0.0), np.zeros((2, 2)))
    np.testing.assert_array_equal(jax.hessian(lambda x: ball(x)[0])(np.zeros(2)), np.zeros((2, 2)))


@pytest.mark.parametrize("name", ["projection_l1_ball", "projection_l2_ball"])
def test_on_the_sphere_counts_as_inside(name):
    ball = getattr(projection, name)
    x = np.array([0.0, -1.0])
    np.testing.assert_array_equal(ball(x, 1.0), x)
    np.testing.assert_array_equal(jax.jacrev(ball)(x, 1.0), np.eye(2))


def test_zeros_on_the_l1_sphere_are_positive():
    """Inside the sphere zeros must move; JAXopt and optax leave them, off the sphere."""
    p = projection.projection_l1_sphere(np.array([0.5, 0.0]), 1.0)
    np.testing.assert_allclose(p, [0.75, 0.25], rtol=0, atol=EPS)
    np.testing.assert_allclose(projection.projection_l1_sphere(np.zeros(2)), [0.5, 0.5])
    theirs = jaxopt().projection.projection_l1_sphere(np.array([0.5, 0.0]), 1.0)
    assert np.abs(theirs).sum() < 0.8
    slopes = jax.jacfwd(projection.projection_l1_sphere)(np.zeros(2), 1.0)
    np.testing.assert_allclose(slopes, [[0.5, -0.5], [-0.5, 0.5]])


@pytest.mark.parametrize("name", ALL)
def test_radius_zero(name):
    function = getattr(projection, name)
    np.testing.assert_array_equal(np.abs(function(X, 0.0)), np.zeros(4))
    for slopes in jax.jacrev(function, (0, 1))(X, 0.0):
        assert np.isfinite(slopes).all()


@pytest.mark.parametrize("name", ROUND)
@pytest.mark.parametrize("size", [1e-40, 1e-30, 1e30])
def test_float32_squares_would_overflow(name, size):
    if size < np.finfo(np.float32).tiny:
        size = 1e-37
    x = np.array([3.0, 4.0], np.float32) * np.float32(size)
    p = getattr(projection, name)(x, np.float32(size))
    assert p.dtype == np.float32
    np.testing.assert_allclose(np.asarray(p) / np.float32(size), [0.6, 0.8], rtol=1e-6)


@pytest.mark.parametrize("name", ALL)
def test_refused(name):
    function = getattr(projection, name)
    called = "value" if name.endswith("sphere") else "max_value"
    with pytest.raises(ValueError, match=f"{name} needs {called} >= 0; found -1.0; give a radius"):
        function(X, -1.0)
    with pytest.raises(ValueError, match=f"{name} needs {called} of shape"):
        function(X, np.ones(4))
    with pytest.raises(ValueError, match=f"{name} needs finite numbers in {called}"):
        function(X, np.inf)
    with pytest.raises(ValueError, match=f"{name} needs {called} >= 0"):
        jax.grad(lambda x: function(x, -1.0)[0])(X)  # the radius is known


@pytest.mark.parametrize("name", ALL)
def test_traced_nonsense_is_nan_for_its_member(name):
    function = getattr(projection, name)
    p = jax.vmap(function, (None, 0))(X, jnp.array([1.0, -1.0, jnp.nan]))
    np.testing.assert_array_equal(np.isnan(p).all(1), [False, True, True])
    slopes = jax.jit(jax.jacrev(function, (0, 1)))(X, -1.0)
    assert all(np.isnan(s).all() for s in slopes)
