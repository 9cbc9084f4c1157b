"""Plans: the polyhedron, JAXopt, linear programs where S is large, the solvers one may give."""

from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment, minimize

from simsens import projection
from simsens.projection import (
    kl_projection_birkhoff,
    kl_projection_transport,
    projection_birkhoff,
    projection_polyhedron,
    projection_transport,
)
from tests.finite_difference import along
from tests.projection.oracle import jaxopt

EPS = np.finfo(float).eps
BOTH = ["projection_transport", "kl_projection_transport"]


def drawn(seed, m=3, n=4):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(m, n)), (rng.dirichlet(np.ones(m)), rng.dirichlet(np.ones(n)))


def sums(m, n):
    """The matrix that takes a plan's entries, row by row, to its row and column sums."""
    rows = np.repeat(np.eye(m), n, axis=1)
    return np.concatenate([rows, np.tile(np.eye(n), m)])


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("scale", [0.1, 1.0, 30.0])
def test_the_polyhedron_of_plans(seed, scale):
    S, (a, b) = drawn(seed)
    P = projection_transport(scale * S, (a, b))
    data = sums(3, 4), np.concatenate([a, b]), -np.eye(12), np.zeros(12)
    y = projection_polyhedron(scale * S.ravel(), data)
    np.testing.assert_allclose(np.ravel(P), y, rtol=0, atol=1e-13 * max(scale, 1))


def test_derivatives_are_the_polyhedrons():
    S, marginals = drawn(1)

    def as_polyhedron(S, a, b):
        data = sums(3, 4), jnp.concatenate([a, b]), -np.eye(12), np.zeros(12)
        return projection_polyhedron(S.ravel(), data).reshape(S.shape)

    rng = np.random.default_rng(0)
    mass = rng.normal(size=7)
    mass[3:] -= (mass[3:].sum() - mass[:3].sum()) / 4
    change = rng.normal(size=(3, 4)), mass[:3], mass[3:]
    ours = jax.jvp(lambda S, a, b: projection_transport(S, (a, b)), (S, *marginals), change)
    theirs = jax.jvp(as_polyhedron, (S, *marginals), change)
    np.testing.assert_allclose(ours[1], theirs[1], rtol=0, atol=1e-12)


@pytest.mark.parametrize("seed", range(3))
def test_entropic_optimality(seed):
    """log P - S is a sum of a row and a column part, and the sums are right: sufficient."""
    S, (a, b) = drawn(seed)
    for scale in (0.1, 3.0, 30.0):
        P = np.asarray(kl_projection_transport(scale * S, (a, b)))
        np.testing.assert_allclose(P.sum(1), a, rtol=0, atol=1e-14 * (1 + 4 * scale))
        np.testing.assert_allclose(P.sum(0), b, rtol=0, atol=1e-14)
        mixed = np.log(P) - scale * S
        rest = mixed - mixed[:1] - mixed[:, :1] + mixed[0, 0]
        np.testing.assert_allclose(rest, 0, atol=1e-13 * (1 + scale))


def test_jaxopt_is_near_in_value_and_its_dual_in_slope():
    """JAXopt's default, the semi-dual, stops the gradient of its inner simplex: a wrong slope."""
    S, marginals = jax.tree.map(jnp.asarray, drawn(0))
    theirs = jaxopt().projection.projection_transport
    change = np.random.default_rng(1).normal(size=S.shape)

    def along_change(project, **options):
        def loss(S):
            return jnp.sum(change * project(S, marginals, **options))

        return jax.jit(jax.value_and_grad(loss))(S)

    value, slope = along_change(projection_transport)
    expected = along(lambda S: np.sum(change * projection_transport(S, marginals)), S, change)
    np.testing.assert_allclose(np.sum(slope * change), expected, rtol=0, atol=1e-9)
    for semi in (True, False):
        other, tilt = along_change(theirs, use_semi_dual=semi)
        assert abs(value - other) < 1e-2  # L-BFGS there stops at gradients of 1e-3
        assert (np.abs(slope - tilt).max() > 0.1) == semi


def test_birkhoff_is_transport_of_ones():
    S, _ = drawn(0, 4, 4)
    ones = np.ones(4), np.ones(4)
    np.testing.assert_array_equal(projection_birkhoff(S), projection_transport(S, ones))
    np.testing.assert_array_equal(kl_projection_birkhoff(S), kl_projection_transport(S, ones))


@pytest.mark.parametrize("scale", [1e2, 1e6, 1e12])
def test_large_similarities_make_it_an_assignment(scale):
    S = np.random.default_rng(2).normal(size=(6, 6))
    rows, columns = linear_sum_assignment(-S)
    best = np.zeros((6, 6))
    best[rows, columns] = 1
    np.testing.assert_allclose(projection_birkhoff(scale * S), best, rtol=0, atol=4 * EPS)
    slopes = jax.jacrev(projection_birkhoff)(scale * S)
    assert np.isfinite(slopes).all()
    if scale <= 1e6:
        # exp(-scale * gap) is left, and rounding of scale * S in the exponent.
        entropic = kl_projection_birkhoff(scale * S)
        np.testing.assert_allclose(entropic, best, rtol=0, atol=20 * EPS * scale + 1e-3)


def test_constants_of_rows_and_columns_do_not_matter():
    S, marginals = drawn(0)
    shifted = S + 1e8 * np.arange(3)[:, None] - 1e8
    for name in BOTH:
        function = getattr(projection, name)
        # S itself is rounded by 1e8 eps.
        np.testing.assert_allclose(
            function(shifted, marginals), function(S, marginals), rtol=0, atol=1e-7
        )


def test_many_small_masses():
    """Supports fall into parts on the way: Newton's steps alone would stop there."""
    rng = np.random.default_rng(0)
    S, a, b = rng.normal(size=(30, 30)), rng.dirichlet(np.ones(30)), rng.dirichlet(np.ones(30))
    P = np.asarray(projection_transport(S, (a, b)))
    np.testing.assert_allclose(P.sum(1), a, rtol=0, atol=4 * EPS)
    np.testing.assert_allclose(P.sum(0), b, rtol=0, atol=4 * EPS)
    assert P.min() >= 0
    # The nearest plan beats those of others: <S - P, Q - P> <= 0.
    for other in rng.normal(size=(5, 30, 30)):
        Q = np.asarray(projection_transport(other, (a, b)))
        assert np.sum((S - P) * (Q - P)) <= 1e-12


def test_zero_marginals():
    S, _ = drawn(0)
    a, b = np.array([0.5, 0.0, 0.5]), np.array([0.25, 0.75, 0.0, 0.0])
    for name in BOTH:
        function = getattr(projection, name)
        P = np.asarray(function(S, (a, b)))
        np.testing.assert_allclose(P.sum(1), a, rtol=0, atol=4 * EPS)
        np.testing.assert_allclose(P.sum(0), b, rtol=0, atol=4 * EPS)
        slopes = jax.jacrev(lambda S, a, b, f=function: f(S, (a, b)), (0, 1, 2))(S, a, b)
        assert all(np.isfinite(s).all() for s in slopes)
        assert (np.asarray(function(S, (a * 0, b * 0))) == 0).all()


def solver(fun, calls, wrong=False):
    """SciPy behind JAXopt's interface."""

    def run(init, **data):
        shapes = jax.tree.map(np.shape, init)
        flat, unravel = jax.flatten_util.ravel_pytree(init)
        found = minimize(lambda v: float(fun(unravel(v), **data)), flat, tol=1e-3).x
        calls.append(shapes)
        return SimpleNamespace(params=unravel(jnp.asarray(found * np.nan if wrong else found)))

    return SimpleNamespace(run=run)


@pytest.mark.parametrize("name", BOTH)
@pytest.mark.parametrize(("semi", "shapes"), [(True, (3,)), (False, ((3,), (4,)))])
def test_a_given_solver_is_asked_and_polished(name, semi, shapes):
    S, marginals = drawn(0)
    function, calls = getattr(projection, name), []
    exact = function(S, marginals)
    for wrong in (False, True):
        P = function(S, marginals, lambda fun, w=wrong: solver(fun, calls, w), semi)
        np.testing.assert_allclose(P, exact, rtol=0, atol=1e-14)
    assert calls == [shapes, shapes]


@pytest.mark.parametrize("name", BOTH)
def test_the_duals_gradient_is_the_defect_of_the_sums(name):
    """What a solver is given has its optimum where the plan is right."""
    S, (a, b) = drawn(0)
    seen = []

    def spy(fun):
        def run(init, **data):
            shifted = jax.tree.map(lambda v: v + np.arange(v.size) / 7, init)
            slope = jax.grad(fun)(shifted, **data)
            flat, unravel = jax.flatten_util.ravel_pytree(shifted)
            direction = np.cos(np.arange(flat.size))
            expected = along(lambda v: float(fun(unravel(v), **data)), flat, direction, 1e-4)
            seen.append(float(jax.flatten_util.ravel_pytree(slope)[0] @ direction - expected))
            return SimpleNamespace(params=init)

        return SimpleNamespace(run=run)

    for semi in (True, False):
        getattr(projection, name)(S, (a, b), spy, semi)
    assert np.abs(seen).max() < 1e-9
    assert len(seen) == 2


@pytest.mark.parametrize("name", BOTH)
@pytest.mark.parametrize(
    ("make_solver", "message"),
    [
        (3, "make_solver as a function make_solver.fun.; found int"),
        (lambda fun: fun, "with a method run.init, ..data.; found function"),
        (lambda fun: SimpleNamespace(run=lambda init, **d: init), "result to have params"),
        (
            lambda fun: SimpleNamespace(run=lambda i, **d: SimpleNamespace(params=i[:1])),
            "params shaped as the init",
        ),
    ],
)
def test_a_solver_that_is_none_is_refused(name, make_solver, message):
    with pytest.raises(ValueError, match=f"{name} needs .*{message}"):
        getattr(projection, name)(*drawn(0), make_solver)


@pytest.mark.parametrize("name", BOTH)
@pytest.mark.parametrize(
    ("a", "b", "message"),
    [
        ([0.5, 0.6, -0.1], [0.5, 0.5], "marginals_a >= 0; found -0.1"),
        ([0.5, 0.5, 0.0], [1.5, -0.5], "marginals_b >= 0; found -0.5"),
        ([0.5, 0.5, 0.5], [0.5, 0.5], "equal sums; found 1.5 and 1.0; scale one"),
        ([0.5, 0.5], [0.5, 0.5], "marginals_a of shape .3,.; found .2,."),
        ([0.5, 0.5, 0.0], [1.0], "marginals_b of shape .2,.; found .1,."),
        ([0.5, np.nan, 0.0], [0.5, 0.5], "finite numbers in marginals_a"),
    ],
)
def test_refused(name, a, b, message):
    with pytest.raises(ValueError, match=f"{name} needs .*{message}"):
        getattr(projection, name)(np.zeros((3, 2)), (np.array(a), np.array(b)))


def test_refused_shapes():
    for name in ("projection_birkhoff", "kl_projection_birkhoff"):
        with pytest.raises(ValueError, match=f"{name} needs a square sim_matrix"):
            getattr(projection, name)(np.zeros((3, 2)))
    with pytest.raises(ValueError, match=r"hyperparams = .marginals_a, marginals_b."):
        projection_transport(np.zeros((3, 2)), np.ones(3))
    with pytest.raises(ValueError, match=r"sim_matrix with entries"):
        projection_transport(np.zeros((0, 2)), (np.zeros(0), np.zeros(2)))


@pytest.mark.parametrize("name", BOTH)
def test_traced_nonsense_is_nan_for_its_member(name):
    a = jnp.array([[0.5, 0.5], [0.7, 0.5], [1.5, -0.5]])
    project = getattr(projection, name)
    P = jax.vmap(lambda a: project(np.zeros((2, 2)), (a, np.array([0.25, 0.75]))))(a)
    np.testing.assert_array_equal(np.isnan(P).all((1, 2)), [False, True, True])


def test_an_exponent_beyond_meaning_is_told():
    S = 1e15 * np.random.default_rng(0).normal(size=(3, 3))
    assert np.isnan(kl_projection_birkhoff(S)).all()
