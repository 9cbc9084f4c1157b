"""Box sections: exhaustive faces, the polyhedron, JAXopt; corners, infinite bounds, refusals."""

from itertools import product

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from simsens.projection import projection_box_section, projection_polyhedron, projection_simplex
from tests.projection.oracle import jaxopt

EPS = np.finfo(float).eps


def exhaustive(x, alpha, beta, w, c):
    """Every coordinate at a bound or free: the nearest feasible point."""
    best, least = None, np.inf
    for face in product((0, 1, 2), repeat=len(x)):
        face = np.array(face)
        held = np.where(face == 1, alpha, np.where(face == 2, beta, 0.0))
        free = (face == 0) * w
        if free.any():
            p = np.where(face == 0, x + w * (c - w @ held - free @ x) / (free @ free), held)
        else:
            p = held
        fits = (p >= alpha - 1e-12).all() and (p <= beta + 1e-12).all() and abs(w @ p - c) < 1e-12
        if fits and np.sum((p - x) ** 2) < least:
            best, least = p, np.sum((p - x) ** 2)
    return best


def drawn(seed):
    rng = np.random.default_rng(seed)
    x, alpha, w = rng.normal(size=5), rng.normal(size=5), rng.uniform(0.3, 3, 5)
    beta = alpha + rng.uniform(0, 2, 5)
    share = rng.uniform()
    return x, (alpha, beta, w, w @ (alpha + share * (beta - alpha)))


@pytest.mark.parametrize("seed", range(8))
def test_exhaustive_polyhedron_and_jaxopt(seed):
    x, data = drawn(seed)
    p = projection_box_section(x, data, check_feasible=True)
    np.testing.assert_allclose(p, exhaustive(x, *data), rtol=0, atol=50 * EPS)
    alpha, beta, w, c = data
    G, h = np.concatenate([np.eye(5), -np.eye(5)]), np.concatenate([beta, -alpha])
    same = projection_polyhedron(x, (w[None], np.array([c]), G, h))
    np.testing.assert_allclose(p, same, rtol=0, atol=1e-13)
    theirs = jaxopt().projection.projection_box_section(x, data)
    # Its bisection stops when w.p - c is 1e-5, in at most 30 halvings.
    np.testing.assert_allclose(p, theirs, rtol=0, atol=1e-4)


def test_the_simplex_and_infinite_bounds():
    x = np.array([0.5, 1.0, -3.0])
    p = projection_box_section(x, (0.0, np.inf, 1.0, 1))
    np.testing.assert_allclose(p, projection_simplex(x), rtol=0, atol=EPS)
    p = projection_box_section(x, (-np.inf, np.inf, np.ones(3), 0.0), check_feasible=True)
    np.testing.assert_allclose(p, x - x.mean(), rtol=0, atol=2 * EPS)
    p = projection_box_section(x, (-np.inf, 0.25, np.ones(3), 0.0))
    np.testing.assert_allclose(p.sum(), 0, atol=2 * EPS)
    slopes = jax.jacrev(projection_box_section)(x, (0.0, np.inf, 1.0, 1.0))
    np.testing.assert_allclose(
        slopes, [[0.5, -0.5, 0], [-0.5, 0.5, 0], [0, 0, 0]], rtol=0, atol=EPS
    )


def test_corners_and_a_single_point():
    x, alpha, beta, w = (
        np.array([0.3, -2.0]),
        np.array([0.1, 0.2]),
        np.ones(2),
        np.array([0.7, 1.3]),
    )
    for corner in (alpha, beta):
        data = alpha, beta, w, w @ corner
        p = projection_box_section(x, data, check_feasible=True)
        np.testing.assert_allclose(p, corner, rtol=0, atol=2 * EPS)
        slopes = jax.jacrev(projection_box_section, (0, 1))(x, data)
        assert all(np.isfinite(s).all() for s in jax.tree.leaves(slopes))
    p = projection_box_section(x, (alpha, alpha, w, w @ alpha))
    np.testing.assert_array_equal(p, alpha)


def test_far_away():
    """The sum is right to rounding of the numbers that it is made of."""
    x = 1e8 + np.array([0.3, 0.1, -2.0])
    p = projection_box_section(x, (np.zeros(3), np.ones(3), np.ones(3), 1.0))
    np.testing.assert_allclose(p, projection_simplex(x), rtol=0, atol=3e8 * EPS)
    assert abs(p.sum() - 1) < 3e8 * EPS


def test_nonsense_is_refused():
    x, w = np.zeros(2), np.ones(2)
    project = projection_box_section
    with pytest.raises(ValueError, match=r"w > 0; found 0.0"):
        project(x, (0.0, 1.0, np.array([1.0, 0.0]), 1.0))
    with pytest.raises(ValueError, match=r"w > 0; found -1.0"):
        project(x, (0.0, 1.0, -w, 1.0))
    with pytest.raises(ValueError, match=r"alpha <= beta; found 2.0 and 1.0"):
        project(x, (2.0, 1.0, w, 1.0))
    with pytest.raises(ValueError, match=r"w.alpha <= c <= w.beta; found c = 3.0"):
        project(x, (0.0, 1.0, w, 3.0), check_feasible=True)
    with pytest.raises(ValueError, match=r"w.alpha <= c <= w.beta; found c = -1.0"):
        project(x, (0.0, np.inf, w, -1.0), check_feasible=True)
    with pytest.raises(ValueError, match=r"beta of shape .2,. or a number; found .3,."):
        project(x, (0.0, np.ones(3), w, 1.0))
    with pytest.raises(ValueError, match=r"c of shape"):
        project(x, (0.0, 1.0, w, w))
    with pytest.raises(ValueError, match=r"finite numbers in w"):
        project(x, (0.0, 1.0, w * np.inf, 1.0))
    with pytest.raises(ValueError, match=r"hyperparams = .alpha, beta, w, c."):
        project(x, (0.0, 1.0, w))


def test_unchecked_and_traced_nonsense_is_nan():
    x, w = np.zeros(2), np.ones(2)
    assert np.isnan(projection_box_section(x, (0.0, 1.0, w, 3.0))).all()
    p = jax.vmap(lambda c: projection_box_section(x, (0.0, 1.0, w, c), check_feasible=True))(
        jnp.array([3.0, 1.0, -1.0])
    )
    np.testing.assert_array_equal(np.isnan(p).all(1), [True, False, True])
    p = jax.vmap(lambda w: projection_box_section(x, (0.0, 1.0, w, 1.0)))(
        jnp.array([[1.0, 1.0], [1.0, -1.0]])
    )
    np.testing.assert_array_equal(np.isnan(p).all(1), [False, True])
