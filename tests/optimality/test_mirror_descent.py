"""Mirror descent, general and multiplicative."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from simsens.implicit import implicit_fixed_point
from simsens.optimality import mirror_descent, mirror_descent_kl
from tests.optimality.catalogue import normals, plain_solve, softmax

EPS = np.finfo(float).eps


def quadratic(x, c):
    return 0.5 * jnp.sum(x**2) + jnp.vdot(c, x)


def test_multiplicative_form_is_the_general_one():
    x = jax.nn.softmax(normals(0, 2, 4), axis=-1)
    c = normals(1, 2, 4)
    mappings = mirror_descent(quadratic, jnp.log, softmax, 0.7), mirror_descent_kl(quadratic, 0.7)
    general, fast = jax.jit(lambda x: [T(x, None, c) for T in mappings])(x)
    np.testing.assert_allclose(fast, general, rtol=0, atol=10 * EPS)


def test_linearisation_on_the_simplex():
    """A = x 1^T + step S H, S = diag(x) - x x^T, at a solution; here H = I."""
    x = jnp.array([0.5, 0.3, 0.2])
    T = mirror_descent_kl(quadratic, step=0.7)
    A = np.eye(3) - jax.jit(jax.jacfwd(T))(x, None, -x)  # the gradient x + c vanishes: a solution
    S = np.diag(x) - np.outer(x, x)
    np.testing.assert_allclose(A, np.outer(x, np.ones(3)) + 0.7 * S, rtol=0, atol=10 * EPS)


def test_coordinate_that_is_zero():
    """min |x|^2 / 2 + c x with x_2 = 0: x_0 = (1 - c_0 + c_1) / 2, x_1 = 1 - x_0, g_2 > g."""
    c = jnp.array([0.2, 0.0, 2.0])
    x = jnp.array([0.4, 0.6, 0.0])

    def point(c, step):
        T = mirror_descent_kl(quadratic, step=step)
        return implicit_fixed_point(T, x, None, c, solve=plain_solve)

    expected = np.array([[-0.5, 0.5, 0], [0.5, -0.5, 0], [0, 0, 0]])
    slope = jax.jit(jax.jacrev(point))
    for step in (0.1, 1.0, 10.0):
        np.testing.assert_allclose(slope(c, step), expected, rtol=0, atol=1e3 * EPS)
    # The logarithmic form has no derivative there.
    general = mirror_descent(quadratic, jnp.log, softmax)
    assert np.isnan(jax.jit(jax.jacfwd(general))(x, None, c)).any()


def test_zero_that_should_not_be_one_is_a_fixed_point_too():
    """Documented: the multiplicative form cannot tell; the gradient can."""
    T = mirror_descent_kl(quadratic)
    vertex = jnp.array([1.0, 0.0])
    c = jnp.array([0.0, -5.0])  # the minimum is the other vertex
    np.testing.assert_array_equal(T(vertex, None, c), vertex)
    slope = jax.grad(quadratic)(vertex, c)
    assert slope[1] < slope[0]


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.float64])
def test_large_gradients_neither_overflow_nor_vanish(dtype):
    T = mirror_descent_kl(lambda x, c: jnp.vdot(c, x))
    x = jnp.array([[0.5, 0.5, 0.0], [0.5, 0.5, 0.0]], dtype)
    c = jnp.array([[1e4, -1e4, 0.0], [1e4, 1e4, -1e4]], dtype)
    image, slope = jax.jit(lambda x: (T(x, None, c), jax.jacfwd(T)(x, None, c)))(x)
    np.testing.assert_array_equal(image, [[0, 1, 0], [0.5, 0.5, 0]])
    assert image.dtype == dtype
    assert np.isfinite(slope).all()


def test_rows_of_a_tree_and_their_totals():
    x = {"a": jnp.array([[0.5, 0.5], [0.1, 0.9]]), "b": jnp.array([1.0, 3.0])}
    T = mirror_descent_kl(lambda x: jnp.sum(x["a"] ** 2) + jnp.sum(x["b"]))
    image = T(x, 2.0)
    np.testing.assert_allclose(image["a"].sum(axis=-1), 2.0, rtol=1e-15)
    np.testing.assert_allclose(image["b"], [0.5, 1.5], rtol=1e-15)


def test_what_has_no_image():
    T = mirror_descent_kl(quadratic)
    assert np.isnan(T(jnp.zeros(2), None, jnp.zeros(2))).all()
    with pytest.raises(ValueError, match=r"shape \[..., n\], found a number"):
        T(jnp.array(1.0), None, 0.0)


@pytest.mark.parametrize(
    ("mirror_map", "projection", "told"),
    [
        (lambda x: x[:1], softmax, "mirror_map must return"),
        (jnp.log, lambda y, h: y[:1], "bregman_projection must return"),
    ],
)
def test_other_shapes_are_refused(mirror_map, projection, told):
    T = mirror_descent(quadratic, mirror_map, projection)
    with pytest.raises(ValueError, match=told):
        T(jnp.array([0.5, 0.5]), None, jnp.zeros(2))


@pytest.mark.parametrize(
    "build",
    [
        lambda: mirror_descent(quadratic, jnp.log, softmax, step=0.0),
        lambda: mirror_descent_kl(quadratic, step=-1.0),
    ],
)
def test_step_that_is_none(build):
    with pytest.raises(ValueError, match="step must be a positive number"):
        build()
