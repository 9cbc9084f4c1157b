"""Operators that act on every coordinate alone, against minimisation of each coordinate."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from simsens import prox
from simsens.prox.separable import soft

EPS = np.finfo(float).eps
GOLDEN = (np.sqrt(5) - 1) / 2
POINTS = np.array([-4.0, -2.6, -1.7, -0.6, -0.05, 0.0, 0.3, 1.1, 1.9, 2.9, 3.6])


def minimiser(function, low, high):
    """The global minimiser: the best of a grid, then golden sections between its neighbours."""
    grid = np.linspace(low, high, 4001)
    best = np.argmin([function(y) for y in grid])
    a, b = grid[max(best - 1, 0)], grid[min(best + 1, 4000)]
    for _ in range(60):
        c, d = b - GOLDEN * (b - a), a + GOLDEN * (b - a)
        a, b = (a, d) if function(c) < function(d) else (c, b)
    return (a + b) / 2


def mcp(y, lam, gamma):
    a = abs(y)
    return lam * a - a * a / (2 * gamma) if a <= gamma * lam else gamma * lam**2 / 2


def scad(y, lam, a):
    m = abs(y)
    if m <= lam:
        return lam * m
    if m <= a * lam:
        return (2 * a * lam * m - m * m - lam * lam) / (2 * (a - 1))
    return lam * lam * (a + 1) / 2


def huber(y, lam, delta):
    a = abs(y)
    return lam * (a * a / 2 if a <= delta else delta * (a - delta / 2))


PENALTIES = [
    ("prox_none", None, lambda y: 0.0, -6.0),
    ("prox_lasso", 0.9, lambda y: 0.9 * abs(y), -6.0),
    ("prox_non_negative_lasso", 0.9, lambda y: 0.9 * y, 0.0),
    ("prox_elastic_net", (0.9, 1.5), lambda y: 0.9 * (abs(y) + 0.75 * y * y), -6.0),
    ("prox_ridge", 0.9, lambda y: 0.45 * y * y, -6.0),
    ("prox_non_negative_ridge", 0.9, lambda y: 0.45 * y * y, 0.0),
    ("prox_huber", (0.9, 1.3), lambda y: huber(y, 0.9, 1.3), -6.0),
    ("prox_log_barrier", 0.9, lambda y: -0.9 * np.log(max(y, 1e-300)), 0.0),
    ("prox_mcp", (0.9, 1.8), lambda y: mcp(y, 0.9, 1.8), -6.0),
    ("prox_scad", (0.9, 2.9), lambda y: scad(y, 0.9, 2.9), -6.0),
]


@pytest.mark.parametrize(("name", "hyperparams", "penalty", "low"), PENALTIES)
def test_minimises(name, hyperparams, penalty, low):
    s = 0.8
    y = np.asarray(prox.PROXES[name](POINTS, hyperparams, s))
    for x, found in zip(POINTS, y):
        best = minimiser(lambda y, x=x: (x - y) ** 2 / 2 + s * penalty(y), low, 6.0)
        # Values near a minimum are flat to rounding within sqrt(2 eps phi / curvature); phi < 10,
        # curvature > 0.5.
        assert abs(found - best) <= np.sqrt(2 * EPS * 10 / 0.5)


# --- trees, weights, complex numbers ----------------------------------------------------------


def test_weights_as_number_array_and_tree():
    x = {"a": jnp.array([3.0, -1.0]), "b": [jnp.array(2.0)]}
    number = prox.prox_lasso(x, 0.5)
    tree = prox.prox_lasso(x, {"a": jnp.array([0.5, 0.5]), "b": [0.5]})
    assert jax.tree.all(jax.tree.map(lambda u, v: bool(jnp.all(u == v)), number, tree))
    assert number["a"].tolist() == [2.5, -0.5]
    assert prox.prox_lasso(x["a"], jnp.array([1.0, 0.0])).tolist() == [2.0, -1.0]
    assert prox.prox_lasso(3.0, 1).tolist() == 2.0  # a Python integer is a number
    assert prox.prox_lasso(jnp.ones((2, 3)), jnp.array([0.5, 2.0, 0.25])).shape == (2, 3)


@pytest.mark.parametrize("weights", [{"a": 1.0}, [1.0, 1.0], {"a": 1.0, "b": [1.0, 2.0]}, {}, None])
def test_weights_of_another_structure_are_refused(weights):
    x = {"a": jnp.ones(2), "b": jnp.ones(())}
    with pytest.raises(
        ValueError, match=r"hyperparams\[0\] as a number, an array or a tree like x"
    ):
        prox.prox_elastic_net(x, (weights, 1.0))


def test_weights_that_are_no_numbers_are_refused():
    with pytest.raises(ValueError, match=r"needs numbers for hyperparams\[0\]; found str"):
        prox.prox_elastic_net(jnp.ones(2), ("heavy", 1.0))


@pytest.mark.parametrize("shape", [(3,), (2, 1), (1, 2), (2, 2)])
def test_weights_that_would_enlarge_x_are_refused(shape):
    with pytest.raises(ValueError, match=r"broadcasts to the shape \(2,\) of x; found shape"):
        prox.prox_lasso(jnp.ones(2), jnp.ones(shape))


def test_leaves_keep_their_own_precision():
    x = {"single": jnp.ones(2, jnp.float32), "double": jnp.ones(2)}
    with jax.numpy_dtype_promotion("strict"):
        for function in (prox.prox_lasso, prox.prox_ridge, prox.prox_group_lasso):
            y = function(x, np.float64(0.5))
            assert y["single"].dtype == jnp.float32
            assert y["double"].dtype == jnp.float64


@pytest.mark.parametrize(
    ("function", "hyperparams"),
    [(prox.prox_lasso, 1.5), (prox.prox_elastic_net, (1.5, 0.5)), (prox.prox_group_lasso, 2.0)],
)
def test_complex_numbers_keep_their_phase(function, hyperparams):
    """The minimum over the modulus is the real problem's, and |x - y| is smallest in phase."""
    modulus, phase = np.array([3.0, 1.0, 2.0, 0.0]), np.exp(1j * np.array([0.3, 2.0, -1.0, 0.0]))
    y = function(modulus * phase, hyperparams)
    np.testing.assert_allclose(y, function(modulus, hyperparams) * phase, rtol=0, atol=10 * EPS)

    @jax.jit
    def slope(at, t):
        return jax.grad(lambda t: jnp.sum(jnp.abs(function(at * t, hyperparams)) ** 2))(t)

    expected = float(slope(modulus, 1.0))
    assert float(slope(modulus * phase, 1.0)) == pytest.approx(expected, rel=100 * EPS)


@pytest.mark.parametrize("name", ["prox_non_negative_lasso", "prox_huber", "prox_mcp"])
def test_complex_numbers_are_refused_where_they_mean_nothing(name):
    with pytest.raises(ValueError, match="x of a real floating type; found complex128"):
        prox.PROXES[name](np.array([1j]))


@pytest.mark.parametrize("name", [p[0] for p in PENALTIES])
def test_defaults(name):
    default = {"prox_elastic_net": (1.0, 1.0), "prox_huber": (1.0, 1.0), "prox_none": None}
    default |= {"prox_mcp": (1.0, 3.0), "prox_scad": (1.0, 3.7)}
    function = prox.PROXES[name]
    expected = function(POINTS, default.get(name, 1.0), 1.0)
    np.testing.assert_array_equal(function(POINTS), expected)
    np.testing.assert_array_equal(function(POINTS, None), expected)


def test_empty_arrays_and_trees_pass():
    assert prox.prox_lasso(jnp.zeros((0, 3))).shape == (0, 3)
    assert prox.prox_ridge({}) == {}
    assert prox.prox_group_lasso({}) == {}
    assert prox.prox_group_lasso(jnp.zeros(0)).shape == (0,)


# --- the ends of the range ------------------------------------------------------------------------


@pytest.mark.parametrize("x", [-1e8, -1e150, -1e300, 1e-300, 1e300, 0.0])
def test_log_barrier_solves_its_equation(x):
    """y (y - x) = t holds relatively, without cancellation for large negative x."""
    t = 3.0
    y = float(prox.prox_log_barrier(x, t))
    assert y > 0
    assert y * ((y - x) / t) == pytest.approx(1.0, rel=10 * EPS) or y == x > 1e8
    slope = float(jax.grad(prox.prox_log_barrier)(x, t))
    assert slope == pytest.approx(y / (2 * y - x), rel=10 * EPS)


def test_log_barrier_to_the_third_derivative():
    """At x = 0: y = sqrt(t), y' = 1/2, y'' = 1 / (4 sqrt t), y''' = 0 (expand the root)."""
    function = lambda x: prox.prox_log_barrier(x, 4.0)  # noqa: E731
    for expected in (2.0, 0.5, 0.125, 0.0):
        assert float(function(0.0)) == pytest.approx(expected, abs=10 * EPS)
        function = jax.grad(function)


def test_soft_threshold_of_float32_extremes():
    x = jnp.array([1e-38, 3e38, -3e38], jnp.float32)
    y = prox.prox_lasso(x, jnp.float32(1e-39))
    assert y.dtype == jnp.float32
    assert np.isfinite(y).all()
    with pytest.raises(ValueError, match="finite numbers in l1reg; found inf"):
        prox.prox_lasso(x, 1e300)  # float32 cannot hold it


def test_soft_threshold_never_turns_a_sign():
    x = np.random.default_rng(0).normal(size=100)
    y = np.asarray(soft(x, jnp.abs(x) * (1 - 1e-16)))
    assert np.all(y * x >= 0)
