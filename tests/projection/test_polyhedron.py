"""Polyhedra against exhaustive active sets; degenerate, redundant and empty ones."""

from itertools import combinations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from simsens.projection import projection_box, projection_polyhedron, projection_simplex
from tests.projection.oracle import jaxopt

NONE = np.zeros((0, 4)), np.zeros(0)


def exhaustive(x, A, b, G, h):
    """The nearest feasible one of the projections onto every set of active rows."""
    best, least = None, np.inf
    for size in range(len(G) + 1):
        for rows in map(list, combinations(range(len(G)), size)):
            M, r = np.concatenate([A, G[rows]]), np.concatenate([b, h[rows]])
            y = x - np.linalg.pinv(M) @ (M @ x - r) if len(M) else x
            fits = (G @ y <= h + 1e-10).all() and np.allclose(M @ y, r, rtol=0, atol=1e-10)
            if fits and np.sum((y - x) ** 2) < least - 1e-13:
                best, least = y, np.sum((y - x) ** 2)
    return best


def drawn(seed, p, m):
    rng = np.random.default_rng(seed)
    A, G, inside = rng.normal(size=(p, 4)), rng.normal(size=(m, 4)), rng.normal(size=4)
    slack = rng.uniform(0, 1, m) * (rng.random(m) < 0.7)  # some through the same point
    return inside + 3 * rng.normal(size=4), (A, A @ inside, G, G @ inside + slack)


@pytest.mark.parametrize("p", [0, 1, 2])
def test_exhaustive(p):
    shared = jax.jit(lambda x, data: projection_polyhedron(x, data))
    for seed in range(12):
        x, data = drawn(seed, p, 7)
        np.testing.assert_allclose(shared(x, data), exhaustive(x, *data), rtol=0, atol=1e-12)


def test_jaxopt_is_near_in_value():
    x, data = drawn(3, 1, 5)
    theirs = jaxopt().projection.projection_polyhedron(x, data)
    # OSQP stops at 1e-3.
    np.testing.assert_allclose(projection_polyhedron(x, data), theirs, rtol=0, atol=1e-2)


def test_other_projections_are_special_cases():
    x = np.array([0.5, 1.0, -3.0, 0.8])
    simplex = np.ones((1, 4)), np.ones(1), -np.eye(4), np.zeros(4)
    y = projection_polyhedron(x, simplex)
    np.testing.assert_allclose(y, projection_simplex(x), rtol=0, atol=1e-15)
    slopes = jax.jit(jax.jacrev(projection_polyhedron))(x, simplex)
    np.testing.assert_allclose(slopes, jax.jacrev(projection_simplex)(x), rtol=0, atol=1e-14)
    box = np.concatenate([np.eye(4), -np.eye(4)]), np.array([0.6] * 4 + [np.inf] * 4)
    y = projection_polyhedron(x, (*NONE, *box))
    np.testing.assert_allclose(y, projection_box(x, (-np.inf, 0.6)), rtol=0, atol=1e-15)


def test_degenerate_and_redundant():
    x = np.array([2.5, 1.2, 0.0, 0.0])
    # Four planes through (1, 1), one of them twice, in units far apart; rows of zeros.
    G = np.zeros((6, 4))
    G[0, 0], G[1, 1], G[2, :2], G[3, :2], G[4, 0] = 1, 1e6, 1e-6, (2, 1), 3
    h = np.array([1.0, 1e6, 2e-6, 3.0, 3.0, 0.0])
    data = *NONE, G, h
    np.testing.assert_allclose(projection_polyhedron(x, data), [1, 1, 0, 0], rtol=0, atol=1e-14)
    slopes = jax.jit(jax.jacrev(projection_polyhedron))(x, data)
    np.testing.assert_allclose(slopes, np.diag([0, 0, 1.0, 1]), rtol=0, atol=1e-14)
    assert np.isfinite(jax.hessian(lambda x: projection_polyhedron(x, data)[0])(x)).all()


def test_equations_that_repeat_inequalities():
    A, b = np.eye(4)[[0, 0]], np.ones(2)
    G = np.concatenate([np.eye(4)[:1], -np.eye(4)[:1], np.eye(4)])
    h = np.array([1.0, -1, 1, 2, 3, 4])
    x = np.array([5.0, 5, 5, 5])
    np.testing.assert_allclose(
        projection_polyhedron(x, (A, b, G, h)), [1, 2, 3, 4], rtol=0, atol=1e-14
    )


def test_nothing_asked():
    x = np.arange(4.0)
    np.testing.assert_array_equal(projection_polyhedron(x, (*NONE, *NONE)), x)
    np.testing.assert_array_equal(
        projection_polyhedron(x, (*NONE, np.eye(4), np.full(4, np.inf))), x
    )


def test_a_boundary_that_does_not_push_is_inactive():
    x = np.array([1.0, 0, 0, 0])
    slopes = jax.jacfwd(projection_polyhedron)(x, (*NONE, np.eye(4)[:1], np.ones(1)))
    np.testing.assert_array_equal(slopes, np.eye(4))


EMPTY = np.array([[1.0, 0, 0, 0], [-1.0, 0, 0, 0]]), np.array([1.0, -1.5])


@pytest.mark.parametrize(
    "data",
    [
        (*NONE, *EMPTY),
        (np.eye(4)[:1], np.array([3.0]), np.eye(4)[:1], np.array([2.0])),
        (np.eye(4)[[0, 0]], np.array([1.0, 2.0]), np.eye(4), np.full(4, 9.0)),
        (*NONE, np.zeros((1, 4)), np.array([-1.0])),
        (*NONE, np.array([[1.0, 1, 0, 0], [-1, 0, 0, 0], [0, -1, 0, 0]]), np.array([-1.0, 0, 0])),
    ],
)
def test_empty(data):
    with pytest.raises(ValueError, match="A y = b and G y <= h to have a solution; found none"):
        projection_polyhedron(np.ones(4), data)
    assert np.isnan(projection_polyhedron(np.ones(4), data, check_feasible=False)).all()


def test_empty_and_traced():
    data = (*NONE, *EMPTY)
    assert np.isnan(jax.jit(projection_polyhedron)(np.ones(4), data)).all()
    slopes = jax.jit(jax.jacrev(projection_polyhedron))(np.ones(4), data)
    assert np.isnan(slopes).all()


def test_empty_members_do_not_spoil_others():
    bounds = jnp.array([[1.0, -1.5], [1.0, -0.5]])
    y = jax.vmap(lambda h: projection_polyhedron(np.full(4, 2.0), (*NONE, EMPTY[0], h)))(bounds)
    assert np.isnan(y[0]).all()
    np.testing.assert_allclose(y[1], [1, 2, 2, 2], rtol=0, atol=1e-15)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ((*NONE, np.eye(3), np.ones(3)), "G with 4 columns"),
        ((*NONE, np.eye(4), np.ones(3)), "h of shape .4,.; found .3,."),
        ((*NONE, np.eye(4), np.full(4, np.nan)), "finite numbers in h"),
        ((*NONE, np.eye(4), np.full(4, -np.inf)), "h > -inf"),
        ((np.eye(4), np.full(4, np.inf), np.eye(4), np.ones(4)), "finite numbers in b"),
        ((np.eye(4), np.ones(4)), "hyperparams = .A, b, G, h.; found 2 of them"),
    ],
)
def test_refused(data, message):
    with pytest.raises(ValueError, match=f"projection_polyhedron needs {message}"):
        projection_polyhedron(np.ones(4), data)
