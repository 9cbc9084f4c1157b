"""Hyperplanes, half-spaces, affine sets: KKT solves, redundant rows, extremes, refusals."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from simsens import projection
from tests.finite_difference import along
from tests.projection.oracle import jaxopt

EPS = np.finfo(float).eps
RNG = np.random.default_rng(5)
X = RNG.normal(size=5)
A = RNG.normal(size=(2, 5))
B = RNG.normal(size=2)


def kkt(x, A, b):
    """[I A^T; A 0] [y; m] = [x; b] by least squares."""
    p = len(A)
    matrix = np.block([[np.eye(len(x)), A.T], [A, np.zeros((p, p))]])
    return np.linalg.lstsq(matrix, np.concatenate([x, b]))[0][: len(x)]


def test_kkt_and_jaxopt():
    theirs = jaxopt().projection
    y = projection.projection_affine_set(X, (A, B))
    np.testing.assert_allclose(y, kkt(X, A, B), rtol=0, atol=1e-14)
    # Its KKT system is solved by conjugate gradients to 1e-5.
    np.testing.assert_allclose(y, theirs.projection_affine_set(X, (A, B)), rtol=0, atol=1e-4)
    for name in ("projection_hyperplane", "projection_halfspace"):
        for b in (-2.0, 2.0):
            ours = getattr(projection, name)(X, (A[0], b))
            other = getattr(theirs, name)(X, (A[0], b))
            np.testing.assert_allclose(ours, other, rtol=0, atol=10 * EPS)


def test_a_hyperplane_is_an_affine_set():
    y = projection.projection_hyperplane(X, (A[0], 0.3))
    np.testing.assert_allclose(
        y, projection.projection_affine_set(X, (A[:1], np.array([0.3]))), rtol=0, atol=10 * EPS
    )


def test_trees_are_one_vector():
    x, a = ({"u": v[:1], "v": (v[1:3], v[3:].reshape(2, 1))} for v in (X, A[0]))
    for name in ("projection_hyperplane", "projection_halfspace"):
        y = getattr(projection, name)(x, (a, -2))
        assert jax.tree.structure(y) == jax.tree.structure(x)
        flat = np.concatenate([np.ravel(v) for v in jax.tree.leaves(y)])
        expected = getattr(projection, name)(X, (A[0], -2.0))
        np.testing.assert_allclose(flat, expected, rtol=0, atol=10 * EPS)


def test_redundant_rows_in_any_units():
    mixing = np.array([[1.0, 0.0], [0.0, 1.0], [2.0, -3.0], [1e9, 0.0]])
    many, right = mixing @ A, mixing @ B
    y = projection.projection_affine_set(X, (many, right))
    np.testing.assert_allclose(y, kkt(X, A, B), rtol=0, atol=1e-14)
    # Changes that keep the equations solvable have the derivative of the equations without excess.
    change, shift = RNG.normal(size=A.shape), RNG.normal(size=2)
    _, slope = jax.jvp(
        lambda A, b: projection.projection_affine_set(X, (A, b)),
        (jnp.asarray(many), jnp.asarray(right)),
        (mixing @ change, mixing @ shift),
    )
    flat = np.concatenate([A.ravel(), B])
    direction = np.concatenate([change.ravel(), shift])
    expected = along(lambda v: kkt(X, v[:10].reshape(2, 5), v[10:]), flat, direction)
    np.testing.assert_allclose(slope, expected, rtol=0, atol=1e-9)


def test_more_equations_than_unknowns_and_none():
    square = RNG.normal(size=(5, 5))
    only = RNG.normal(size=5)
    many = np.concatenate([square, square[:3]])
    y = projection.projection_affine_set(X, (many, many @ only))
    np.testing.assert_allclose(y, only, rtol=0, atol=1e-12)  # a condition number of some 10
    np.testing.assert_array_equal(projection.projection_affine_set(X, (A[:0], B[:0])), X)


def test_the_boundary_of_a_halfspace_is_inside():
    a, x = np.array([2.0, 0.0]), np.array([1.0, 5.0])
    function = projection.projection_halfspace
    np.testing.assert_array_equal(jax.jacrev(function)(x, (a, 2.0)), np.eye(2))
    db = jax.jacfwd(lambda b: function(x, (a, b)))(2.0)
    np.testing.assert_array_equal(db, [0, 0])


@pytest.mark.parametrize("size", [1e-30, 1e30])
def test_float32_normals_whose_squares_leave_the_range(size):
    a = np.array([size, 0.0], np.float32)
    y = projection.projection_hyperplane(np.ones(2, np.float32), (a, 2 * a[0]))
    np.testing.assert_allclose(y, [2, 1], rtol=1e-6)


@pytest.mark.parametrize(
    ("name", "hyperparams", "message"),
    [
        ("projection_hyperplane", (np.zeros(5), 1.0), "normal a that is not zero"),
        ("projection_halfspace", (np.zeros(5), 1.0), "normal a that is not zero"),
        ("projection_halfspace", (np.ones(4), 1.0), "a of shape .5,.; found .4,."),
        ("projection_hyperplane", ({"a": A[0]}, 1.0), "a with the structure of x"),
        ("projection_hyperplane", (A[0], np.ones(2)), "b of shape"),
        ("projection_hyperplane", A[0], "hyperparams = .a, b.; found ndarray"),
        ("projection_affine_set", (A.T, B), "A with 5 columns"),
        ("projection_affine_set", (A, B[:1]), "b of shape .2,.; found .1,."),
        ("projection_affine_set", (A[0], B), "A with 2 axes"),
        ("projection_affine_set", (A[[0, 0]], B), "equations A y = b that have a solution"),
        ("projection_affine_set", (np.zeros((1, 5)), np.ones(1)), "have a solution"),
        ("projection_affine_set", (A, np.array([1.0, np.nan])), "finite numbers in b"),
    ],
)
def test_refused(name, hyperparams, message):
    with pytest.raises(ValueError, match=f"{name} needs .*{message}"):
        getattr(projection, name)(X, hyperparams)


def test_traced_nonsense_is_nan_for_its_member():
    normals = jnp.stack([jnp.ones(5), jnp.zeros(5)])
    for name in ("projection_hyperplane", "projection_halfspace"):
        project = getattr(projection, name)
        y = jax.vmap(lambda a, project=project: project(X, (a, 1.0)))(normals)
        np.testing.assert_array_equal(np.isnan(y).all(1), [False, True])
    y = jax.vmap(lambda b: projection.projection_affine_set(X, (A[[0, 0]], b)))(
        jnp.array([[1.0, 1.0], [1.0, 2.0]])
    )
    np.testing.assert_array_equal(np.isnan(y).all(1), [False, True])
