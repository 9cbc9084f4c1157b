"""Constrained minima: activity, wrong points, degenerate points, the paper's literal form."""

import warnings
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import minimize

from simsens.implicit import custom_root, implicit_root
from simsens.implicit.structure import Declared, declared
from simsens.optimality import complementarity_margin, kkt, kkt_complementary, kkt_evidence
from tests.opaque import concrete
from tests.optimality.catalogue import (
    KKT_THETA,
    distance,
    kkt_solution,
    limits,
    plain_solve,
    plane,
)

EPS = np.finfo(float).eps


def upper(z, u):
    return z - u


# min |z - p|^2 / 2 under z <= u: z = min(p, u), lam = max(p - u, 0).
P, U = jnp.array([3.0, 0.5]), jnp.array([1.0, 1.0])
BOUNDED = (jnp.array([1.0, 0.5]), None, jnp.array([2.0, 0.0]))


def test_active_bound_moves_the_solution_and_inactive_one_does_not():
    F = kkt(distance, inequality=upper)

    @custom_root(F)  # with the solver for a symmetric matrix
    @concrete
    def solver(init, p, params_eq, u):
        assert params_eq is None
        return np.minimum(p, u), None, np.maximum(p - u, 0)

    def primal(p, u):
        return solver(None, p, None, u)[0]

    by_p, by_u = jax.jacrev(primal, argnums=(0, 1))(P, U)
    np.testing.assert_allclose(by_p, np.diag([0.0, 1.0]), rtol=0, atol=10 * EPS)
    # A slack row kept as an equality would give the second bound a derivative of the solution.
    np.testing.assert_allclose(by_u, np.diag([1.0, 0.0]), rtol=0, atol=10 * EPS)


def test_multipliers_have_derivatives_too():
    F = kkt(distance, inequality=upper)

    def multiplier(p, u):
        return implicit_root(F, BOUNDED, p, None, u, solve=plain_solve)[2]

    by_p, by_u = jax.jit(jax.jacfwd(multiplier, argnums=(0, 1)))(P, U)
    np.testing.assert_allclose(by_p, np.diag([1.0, 0.0]), rtol=0, atol=10 * EPS)
    np.testing.assert_allclose(by_u, np.diag([-1.0, 0.0]), rtol=0, atol=10 * EPS)


def test_curved_constraint_against_scipy():
    """min |z - p|^2 / 2 under z_0 + z_1 = b, |z|^2 <= r (active): SLSQP, and its differences."""

    def ball(z, r):
        return jnp.stack([z @ z - r, z[0] - 10.0])

    F = kkt(distance, lambda z, b: z[0] + z[1] - b, ball)
    p, b, r = np.array([1.0, 2.0, 3.0]), 0.6, 2.0

    def numeric(p):
        return minimize(
            lambda z: 0.5 * np.sum((z - p) ** 2), np.ones(3), jac=lambda z: z - p, tol=1e-15,
            constraints=[
                {"type": "eq", "fun": lambda z: z[0] + z[1] - b},
                {"type": "ineq", "fun": lambda z: r - z @ z},
            ],
        ).x  # fmt: skip

    z = numeric(p)
    # (z - p) + nu (1, 1, 0) + 2 lam z = 0 gives the multipliers.
    nu, lam = np.linalg.lstsq(np.array([[1, 1, 0], 2 * z]).T, p - z, rcond=None)[0]
    x = (jnp.asarray(z), jnp.asarray(nu), jnp.array([lam, 0.0]))
    evidence = kkt_evidence(distance, lambda z, b: z[0] + z[1] - b, ball)(x, p, b, r)
    assert float(evidence.residual) < 1e-7  # SLSQP's own accuracy, sqrt(eps) and a bit
    assert float(evidence.smallest_margin) > 0.1

    def primal(p):
        return implicit_root(F, x, p, b, r, solve=plain_solve)[0]

    found = jax.jit(jax.jacrev(primal))(p)
    columns = [(numeric(p + h) - numeric(p - h)) / 2e-3 for h in 1e-3 * np.eye(3)]
    # Differences err by h^2 and by 1e-7 / h of SLSQP's solutions.
    np.testing.assert_allclose(found, np.stack(columns, axis=1), rtol=0, atol=2e-4)


def test_the_linearisation_is_that_of_the_docstring():
    x = kkt_solution(*KKT_THETA)
    F = kkt(distance, plane, limits)
    assert declared(F) == Declared(symmetric=True)
    flat = jnp.concatenate([x[0], x[1][None], x[2]])

    def function(v):
        z, nu, lam = F((v[:3], v[3], v[4:]), *KKT_THETA)
        return jnp.concatenate([z, nu[None], lam])

    A = jax.jit(jax.jacfwd(function))(flat)
    a = KKT_THETA[1][0]
    expected = np.zeros((6, 6))
    expected[:3, :3] = np.eye(3)
    expected[:3, 3] = expected[3, :3] = a
    expected[0, 4] = expected[4, 0] = 1
    expected[5, 5] = -1
    np.testing.assert_array_equal(A, expected)


# --- points that are no solutions ----------------------------------------------------------------
# x, and the residual that tells it: zero in all others.
WRONG = {
    "bound violated": ((P, None, jnp.zeros(2)), "inequality"),
    "multiplier negative": (
        (jnp.array([1.0, 0.9]), None, jnp.array([2.0, -0.4])),
        "multiplier",
    ),
    "multiplier of an idle bound": (
        (jnp.array([1.0, 0.2]), None, jnp.array([2.0, 0.3])),
        "complementarity",
    ),
    "not stationary": ((jnp.array([1.0, 0.2]), None, jnp.array([2.0, 0.0])), "stationarity"),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_point_shows(name):
    x, told = WRONG[name]
    z, _, lam = kkt(distance, inequality=upper)(x, P, None, U)
    assert max(np.max(np.abs(z)), np.max(np.abs(lam))) > 0.1
    evidence = kkt_evidence(distance, inequality=upper)(x, P, None, U)
    assert float(getattr(evidence, told)) > 0.1
    assert float(evidence.residual) > 0.1
    others = {"stationarity", "equality", "inequality", "multiplier"} - {told}
    assert all(float(getattr(evidence, other)) < 10 * EPS for other in others)


def test_product_form_misses_a_violated_bound():
    """Why the active set: lam o G is zero at the free minimum, although z_0 = 3 > 1."""
    z, _, rows = kkt_complementary(distance, inequality=upper)((P, None, jnp.zeros(2)), P, None, U)
    np.testing.assert_array_equal(z, 0)
    np.testing.assert_array_equal(rows, 0)


@pytest.mark.parametrize("seed", range(5))
def test_zero_exactly_where_the_conditions_hold(seed):
    """At random points, half of them with exact zeros, F and the residuals vanish together."""
    rng = np.random.default_rng(seed)
    F, evidence = kkt(distance, inequality=upper), kkt_evidence(distance, inequality=upper)
    for _ in range(4):
        z, lam = rng.integers(-1, 2, 2).astype(float), rng.integers(-1, 2, 2).astype(float)
        p = z + lam if rng.random() < 0.8 else rng.normal(size=2)
        x = (z, None, lam)
        zero = all(np.all(np.asarray(part) == 0) for part in jax.tree.leaves(F(x, p, None, 1.0)))
        assert zero == (float(evidence(x, p, None, 1.0).residual) == 0)


# --- degenerate points ---------------------------------------------------------------------------


def test_margin_tells_a_one_sided_derivative():
    """At p = u the bound just touches: dz/dp is 1 from below and 0 from above."""
    x = (jnp.array([1.0, 0.5]), None, jnp.array([0.0, 0.0]))
    p = jnp.array([1.0, 0.5])
    evidence = kkt_evidence(distance, inequality=upper)(x, p, None, U)
    assert float(evidence.residual) == 0  # a solution
    assert float(evidence.smallest_margin) == 0  # but degenerate
    np.testing.assert_array_equal(evidence.margin, [0.0, 0.5])
    np.testing.assert_array_equal(evidence.active, [False, False])
    below, above = [(min(1 + h, 1.0) - 1.0) / h for h in (-1e-3, 1e-3)]
    assert (round(below, 9), above) == (1.0, 0.0)
    F = kkt(distance, inequality=upper)

    def primal(p):
        return implicit_root(F, x, p, None, U, solve=plain_solve)[0][0]

    found = jax.jit(jax.jacfwd(primal))(p)
    np.testing.assert_allclose(found, [1.0, 0.0], rtol=0, atol=10 * EPS)  # lets the bound go


@pytest.mark.parametrize("gap", [1e-3, 1e-6])
def test_margin_is_the_distance_to_the_kink(gap):
    active = (jnp.array([1.0]), None, jnp.array([gap]))
    idle = (jnp.array([1.0 - gap]), None, jnp.array([0.0]))
    for x in (active, idle):
        margin = complementarity_margin(upper, x, 1.0)
        np.testing.assert_allclose(margin, [gap], rtol=1e-9)
    clear = complementarity_margin(upper, BOUNDED, 1.0)
    np.testing.assert_array_equal(clear, [2.0, 0.5])


def test_without_inequalities_the_margin_is_infinite():
    evidence = kkt_evidence(distance, plane)
    z = jnp.array([1.0, 1.0])
    found = evidence((z, jnp.array(0.5), None), z, (jnp.array([1.0, 0.0]), 1.0))
    assert float(found.smallest_margin) == np.inf
    assert float(found.stationarity) == 0.5
    assert float(found.equality) == 0
    assert found.margin is None


def test_evidence_is_a_frozen_tree_under_vmap():
    evidence = kkt_evidence(distance, inequality=upper)
    found = jax.jit(jax.vmap(lambda p: evidence(BOUNDED, p, None, U)))(jnp.stack([P, P + 1]))
    assert found.smallest_margin.shape == (2,)
    np.testing.assert_allclose(found.residual, [0.0, 1.0], rtol=0, atol=EPS)
    with pytest.raises(AttributeError):
        found.margin = 0


# --- forms ---------------------------------------------------------------------------------------


class Point(NamedTuple):
    primal: dict
    dual_eq: object
    dual_ineq: object


@pytest.mark.parametrize("builder", [kkt, kkt_complementary])
def test_trees_and_named_tuples(builder):
    def objective(z, p):
        return 0.5 * (z["a"] - p) ** 2 + 0.5 * jnp.sum(z["b"] ** 2)

    def equality(z, params):
        return {"sum": jnp.sum(z["b"]) - params}

    def inequality(z, params):
        return [z["a"] - params, -5 - z["b"]]

    F = builder(objective, equality, inequality)
    x = Point(
        {"a": jnp.array(1.0), "b": jnp.array([0.5, 0.5])},
        {"sum": jnp.array(-0.5)},
        [jnp.array(2.0), jnp.zeros(2)],
    )
    image = jax.jit(F)(x, 3.0, 1.0, 1.0)
    assert isinstance(image, Point)
    assert jax.tree.structure(image) == jax.tree.structure(x)
    assert all(np.all(np.asarray(leaf) == 0) for leaf in jax.tree.leaves(image))


def test_values_and_argument_order_are_jaxopts():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        oracle = pytest.importorskip("jaxopt._src.implicit_diff").make_kkt_optimality_fun
    x = kkt_solution(*KKT_THETA)
    off = jax.tree.map(lambda a: a + 0.3, x)
    theirs = oracle(distance, plane, limits)(off, *KKT_THETA)
    ours = kkt_complementary(distance, plane, limits)(off, *KKT_THETA)
    for a, b in zip(ours, theirs):
        np.testing.assert_allclose(a, b, rtol=0, atol=10 * EPS)
    # None leaves a constraint out.
    reduced = (off[0], None, off[2])
    theirs = oracle(distance, plane, limits)(reduced, KKT_THETA[0], None, KKT_THETA[2])
    ours = kkt_complementary(distance, plane, limits)(reduced, KKT_THETA[0], None, KKT_THETA[2])
    np.testing.assert_allclose(ours[0], theirs[0], rtol=0, atol=10 * EPS)
    assert ours[1] is None


@pytest.mark.parametrize("builder", [kkt, kkt_complementary, kkt_evidence])
@pytest.mark.parametrize(
    ("x", "theta", "told"),
    [
        ((P, jnp.zeros(2)), (P,), "found 2 parts"),
        (P, (P,), "x = \\(z, nu, lam\\), found"),
        ((P, jnp.zeros(1), None), (P, U, None), "a multiplier of the equality was given"),
        ((P, None, None), (P, None, U), "the parameters of the inequality were given"),
        ((P, None, jnp.zeros(3)), (P, None, U), "of shapes \\(3,\\), found \\(2,\\)"),
        ((P, None, (jnp.zeros(2),)), (P, None, U), "the inequality must return a tree like"),
    ],
)
def test_refuses(builder, x, theta, told):
    with pytest.raises(ValueError, match=told):
        builder(distance, inequality=upper)(x, *theta)


def test_refuses_no_constraints_and_no_objective():
    for builder in (kkt, kkt_complementary):
        with pytest.raises(ValueError, match="found neither; without constraints use stationary"):
            builder(distance)
    with pytest.raises(ValueError, match="one real number"):
        kkt(lambda z, p: z, inequality=upper)(BOUNDED, P, None, U)
