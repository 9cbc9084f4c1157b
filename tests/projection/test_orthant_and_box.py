"""Coordinate by coordinate: what clips, what its kinks say, what is refused."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from simsens import projection
from tests.projection.oracle import jaxopt

X = np.array([0.9, -0.55, 0.42, -1.3])
TREE = {"a": X, "b": (np.array(-0.3), np.array([[2.0], [-2.0]]))}


def equal(left, right):
    assert jax.tree.structure(left) == jax.tree.structure(right)
    for a, b in zip(jax.tree.leaves(left), jax.tree.leaves(right)):
        np.testing.assert_array_equal(a, b)


def test_jaxopt_gives_the_same():
    theirs = jaxopt().projection
    equal(projection.projection_non_negative(TREE), theirs.projection_non_negative(TREE))
    lower = jax.tree.map(lambda v: v - 0.5, TREE)
    upper = jax.tree.map(lambda v: v * 0 + 0.3, TREE)
    bounds = jax.tree.map(np.minimum, lower, upper), upper
    equal(projection.projection_box(TREE, bounds), theirs.projection_box(TREE, bounds))
    for unit in (1.0, 0.3):
        equal(projection.projection_hypercube(X, unit), theirs.projection_hypercube(X, unit))
        equal(projection.projection_linf_ball(X, unit), theirs.projection_linf_ball(X, unit))


def test_one_number_bounds_all_arrays_of_a_tree():
    expected = jax.tree.map(lambda v: np.clip(v, -0.4, 1.0), TREE)
    equal(projection.projection_box(TREE, (-0.4, 1.0)), expected)
    equal(projection.projection_linf_ball(TREE, 1), jax.tree.map(lambda v: np.clip(v, -1, 1), TREE))
    equal(projection.projection_hypercube(TREE, 1), jax.tree.map(lambda v: np.clip(v, 0, 1), TREE))


def test_infinite_bounds_are_no_bounds():
    equal(projection.projection_box(X, (-np.inf, np.inf)), X)
    equal(projection.projection_box(X, (-np.inf, 0.0)), np.minimum(X, 0))


def test_on_a_bound_the_bound_has_the_derivative():
    def clipped(x, lower, upper):
        return projection.projection_box(x, (lower, upper))

    slopes = jax.jacfwd(clipped, (0, 1, 2))
    assert [float(s) for s in slopes(0.0, 0.0, 1.0)] == [0, 1, 0]
    assert [float(s) for s in slopes(1.0, 0.0, 1.0)] == [0, 0, 1]
    assert [float(s) for s in slopes(0.5, 0.0, 1.0)] == [1, 0, 0]
    assert [float(s) for s in slopes(0.5, 0.5, 0.5)] == [0, 1, 0]  # one point does not move with x
    assert float(jax.grad(projection.projection_non_negative)(0.0)) == 0
    assert float(jax.hessian(projection.projection_non_negative)(0.0)) == 0


@pytest.mark.parametrize(
    ("function", "arguments", "message"),
    [
        ("projection_box", (X, (1.0, 0.0)), "lower <= upper; found lower = 1.0 and upper = 0.0"),
        ("projection_box", (X, (np.inf, np.inf)), "lower <= upper"),
        ("projection_box", (X, (np.nan, 1.0)), "finite numbers in lower; found nan"),
        ("projection_box", (X, 1.0), "hyperparams = .lower, upper.; found float"),
        ("projection_box", (X, (1.0, 2.0, 3.0)), "found 3 of them; give a tuple of 2"),
        ("projection_box", (X, (np.zeros(3), 1.0)), "broadcasts to shape .4,.; found .3,."),
        ("projection_box", (X, (np.zeros((2, 4)), 1.0)), "broadcasts to shape"),
        ("projection_box", (TREE, ({"a": X}, 1.0)), "lower with the structure of x"),
        ("projection_hypercube", (X, -1.0), "found lower = 0.0 and upper = -1.0"),
        ("projection_linf_ball", (X, -1.0), "max_value >= 0; found -1.0"),
        ("projection_linf_ball", (X, np.ones(4)), "max_value of shape ..; found .4,."),
        ("projection_non_negative", ({"a": np.arange(3)},), r"x\['a'\] in floating point"),
        ("projection_non_negative", ((),), "at least one array"),
    ],
)
def test_refused(function, arguments, message):
    with pytest.raises(ValueError, match=message) as error:
        getattr(projection, function)(*arguments)
    assert "\n" not in str(error.value)


def test_traced_nonsense_is_nan_where_it_is():
    def clipped(lower):
        return projection.projection_box(X, (lower, 1.0))

    lower = jnp.array([0.0, 2.0, 0.0, 0.0])
    np.testing.assert_array_equal(np.isnan(jax.jit(clipped)(lower)), [False, True, False, False])
    slopes = jax.jit(jax.grad(lambda low: clipped(low)[1]))(lower)
    assert np.isnan(slopes[1])
    ball = jax.vmap(projection.projection_linf_ball, (None, 0))(X, jnp.array([1.0, -1.0]))
    np.testing.assert_array_equal(np.isnan(ball).all(1), [False, True])


def test_known_nonsense_is_refused_while_tracing():
    with pytest.raises(ValueError, match="lower <= upper"):
        jax.jit(lambda x: projection.projection_box(x, (1.0, 0.0)))(X)
    with pytest.raises(ValueError, match="max_value >= 0"):
        jax.grad(lambda x: projection.projection_linf_ball(x, -1.0).sum())(X)


def test_entropic():
    found = projection.kl_projection_non_negative(TREE)
    for value, expected in zip(jax.tree.leaves(found), jax.tree.leaves(TREE)):
        np.testing.assert_allclose(value, np.exp(expected), rtol=1e-15)
