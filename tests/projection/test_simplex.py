"""Simplices against exhaustive search over supports, JAXopt, and exact arithmetic."""

from fractions import Fraction
from itertools import combinations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from simsens import projection
from simsens.projection import projection_simplex, projection_sparse_simplex
from tests.projection.oracle import jaxopt

EPS = np.finfo(float).eps


def on_every_support(x, value, most):
    """The nearest of all stationary points, one for each support."""
    candidates = []
    for size in range(1, most + 1):
        for support in map(list, combinations(range(len(x)), size)):
            p = np.zeros(len(x))
            p[support] = x[support] + (value - x[support].sum()) / size
            if (p >= 0).all():
                candidates.append(p)
    return min(candidates, key=lambda p: np.sum((p - x) ** 2))


@pytest.mark.parametrize("value", [1.0, 0.3, 7.0])
@pytest.mark.parametrize("seed", range(5))
def test_exhaustive_and_jaxopt(seed, value):
    theirs = jaxopt().projection
    x = np.random.default_rng(seed).normal(size=6)
    for most in (2, 6):
        p = projection_sparse_simplex(x, most, value=value)
        np.testing.assert_allclose(p, on_every_support(x, value, most), rtol=0, atol=20 * EPS)
    np.testing.assert_allclose(projection_simplex(x, value), p, rtol=0, atol=20 * EPS)
    np.testing.assert_allclose(
        projection_simplex(x, value), theirs.projection_simplex(x, value), rtol=0, atol=50 * EPS
    )


def test_a_large_constant_loses_nothing():
    """1e8 + small: the difference of representable numbers is exact; so is the threshold."""
    x = 1e8 + np.array([0.3, 0.1, -2.0])
    first, second = Fraction(x[0]), Fraction(x[1])
    exact = float((1 + first - second) / 2), float((1 - first + second) / 2)
    np.testing.assert_allclose(projection_simplex(x)[:2], exact, rtol=0, atol=2 * EPS)
    theirs = jaxopt().projection.projection_simplex(x)
    assert np.abs(theirs[:2] - np.array(exact)).max() > 1e-9  # what there was to lose


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_sums_to_rounding(dtype):
    x = np.random.default_rng(0).normal(size=100_000).astype(dtype) * dtype(1e-6) + dtype(1)
    p = np.asarray(projection_simplex(x), np.float64)
    assert p.min() >= 0
    # 1e5 entries near 1e-5, each rounded by at most eps / 2 of the spread 1e-6 + 1e-5.
    assert abs(p.sum() - 1) <= 1e5 * np.finfo(dtype).eps * 1.1e-5


def test_jacobian_is_the_closed_form():
    x = np.array([0.5, 1.0, -3.0, 0.8])
    s = np.array([1.0, 1.0, 0.0, 1.0])
    expected = np.diag(s) - np.outer(s, s) / 3
    for mode in (jax.jacfwd, jax.jacrev):
        dx, dvalue = mode(projection_simplex, (0, 1))(x, 1.0)
        np.testing.assert_allclose(dx, expected, rtol=0, atol=2 * EPS)
        np.testing.assert_allclose(dvalue, s / 3, rtol=0, atol=2 * EPS)


def test_kinks():
    # An entry on the threshold (0.5 + 0.5 = 1 with x = (1, 1, 0.5)) is outside the support.
    dx = jax.jacfwd(projection_simplex)(np.array([1.0, 1.0, 0.5]), 1.0)
    np.testing.assert_array_equal(dx, [[0.5, -0.5, 0], [-0.5, 0.5, 0], [0, 0, 0]])
    # The simplex of value 0 is one point.
    x = np.array([1.0, 1.0, 0.5])
    np.testing.assert_array_equal(projection_simplex(x, 0.0), np.zeros(3))
    dx, dvalue = jax.jacrev(projection_simplex, (0, 1))(x, 0.0)
    np.testing.assert_array_equal(dx, np.zeros((3, 3)))
    np.testing.assert_array_equal(dvalue, [0.5, 0.5, 0])
    assert np.isfinite(jax.hessian(lambda x: projection_simplex(x, 0.0)[0])(x)).all()


def test_one_element_and_equal_ones():
    np.testing.assert_array_equal(projection_simplex(np.array([-3.0]), 2), [2.0])
    np.testing.assert_allclose(projection_simplex(np.zeros(7)), np.full(7, 1 / 7), rtol=EPS)
    np.testing.assert_array_equal(projection_simplex(np.array([0.5, 0.5]), None), [0.5, 0.5])


def test_sparse_keeps_the_largest_not_the_largest_in_size():
    p = projection_sparse_simplex(np.array([-9.0, 0.2, 0.1]), 1)
    np.testing.assert_array_equal(p, [0, 1, 0])
    p = projection_sparse_simplex(np.array([0.5, 1.0, 0.25]), 2, use_approx_max_nz=True)
    np.testing.assert_allclose(p, [0.25, 0.75, 0], rtol=0, atol=EPS)


def test_entropic_is_softmax():
    x = np.array([0.5, 1000.0, 999.0])
    expected = 2 * np.array([0, 1, np.exp(-1)]) / (1 + np.exp(-1))
    np.testing.assert_allclose(
        projection.kl_projection_simplex(x, 2.0), expected, rtol=0, atol=8 * EPS
    )


@pytest.mark.parametrize(
    ("function", "arguments", "message"),
    [
        ("projection_simplex", (np.ones(2), -1.0), "value >= 0; found -1.0"),
        ("projection_simplex", (np.ones(2), np.nan), "finite numbers in value"),
        ("projection_simplex", (np.ones(2), np.ones(2)), "value of shape"),
        ("projection_simplex", (np.ones(0), 1.0), "at least one element"),
        ("projection_simplex", (np.array(1.0), 1.0), "1 axes; found shape"),
        ("kl_projection_simplex", (np.ones(2), -1.0), "value >= 0; found -1.0"),
        ("projection_sparse_simplex", (np.ones(2), 0), "1 <= max_nz <= 2; found 0"),
        ("projection_sparse_simplex", (np.ones(2), 3), "1 <= max_nz <= 2; found 3"),
        ("projection_sparse_simplex", (np.ones(2), 1.5), "static integer; found 1.5"),
        ("projection_sparse_simplex", (np.ones(2), True), "static integer; found True"),
        ("projection_sparse_simplex", (np.ones(2), 1, False, -2.0), "value >= 0; found -2.0"),
    ],
)
def test_refused(function, arguments, message):
    with pytest.raises(ValueError, match=f"{function} needs .*{message}"):
        getattr(projection, function)(*arguments)


def test_traced_nonsense_is_nan_for_its_member():
    p = jax.vmap(projection_simplex, (None, 0))(np.array([0.5, 1.0]), jnp.array([1.0, -1.0, 0.0]))
    np.testing.assert_array_equal(np.isnan(p).all(1), [False, True, False])
    slopes = jax.jit(jax.grad(lambda x, v: projection_simplex(x, v)[0]))(np.ones(2), -1.0)
    assert np.isnan(slopes).all()
