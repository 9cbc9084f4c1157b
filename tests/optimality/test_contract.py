"""What every mapping of the catalogue must do, on a problem with a closed form for each."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

from simsens import optimality
from simsens.implicit import displacement, implicit_fixed_point, implicit_root
from simsens.implicit.structure import declared
from tests import finite_difference
from tests.optimality import catalogue
from tests.optimality.catalogue import CASES, Case, plain_solve

EPS = np.finfo(float).eps
# Every A below has a condition number below 1e3 (``test_linearisation...`` asserts it), dimensions
# are ten at most: a first derivative errs by 1e3 * 10 * eps = 2e-12, a second one, two solves deep
# with factors of order ten between them, by a hundred times that.
CONDITION = 1e3
FIRST, SECOND = 1e4 * EPS, 1e6 * EPS

every = pytest.mark.parametrize("name", CASES)


def root_of(case):
    """F, or T's displacement."""
    return displacement(case.mapping) if case.fixed else case.mapping


def residual(case, x, theta):
    return ravel_pytree(root_of(case)(x, *theta))[0]


def moved(x, by, seed=5):
    vector, unravel = ravel_pytree(x)
    return unravel(vector + by * np.random.default_rng(seed).normal(size=vector.shape))


@functools.cache
def compiled(name):
    """The solution as a vector, F of such vectors and of theta, and its Jacobian."""
    case = CASES[name]
    solution, unravel = ravel_pytree(jax.jit(case.solution)(*case.theta))

    def function(v, theta):
        return residual(case, unravel(v), theta)

    return solution, jax.jit(function), jax.jit(jax.jacfwd(function))


def test_every_mapping_has_a_case():
    assert set(CASES) == set(optimality.MAPPINGS)
    assert all(getattr(optimality, name) is optimality.MAPPINGS[name] for name in CASES)
    assert set(optimality.MAPPINGS) < set(optimality.__all__)
    assert all(hasattr(optimality, name) for name in optimality.__all__)


@every
def test_zero_at_the_solution_only(name):
    theta = CASES[name].theta
    x, function, _ = compiled(name)
    # A few dozen operations on numbers below ten.
    assert np.max(np.abs(function(x, theta))) < 1e3 * EPS
    # Away from it F is A times the displacement; the smallest singular value of A is above 1e-2.
    assert np.max(np.abs(function(moved(x, 1e-2), theta))) > 1e-4
    # And it is the solution of these parameters, of no others.
    assert np.max(np.abs(function(x, moved(theta, 1e-2)))) > 1e-4


@every
def test_result_is_a_tree_like_x(name):
    case = CASES[name]
    x = jax.eval_shape(case.solution, *case.theta)
    image = jax.eval_shape(case.mapping, x, *case.theta)
    assert jax.tree.structure(image) == jax.tree.structure(x)
    assert [a.shape for a in jax.tree.leaves(image)] == [a.shape for a in jax.tree.leaves(x)]


@every
def test_linearisation_and_declared_structure(name):
    case = CASES[name]
    solution, function, jacobian = compiled(name)
    known = declared(case.mapping)
    for x in (solution, moved(solution, 1e-2)):
        A = np.asarray(jacobian(x, case.theta))
        # Rounding 3 eps / h = 1e-12 and truncation alike (see finite_difference), times the sizes
        # of F and of its fifth derivative: below 1e3.
        if case.exact or x is solution:
            numeric = finite_difference.gradient(lambda v: function(v, case.theta), x)
            np.testing.assert_allclose(A, numeric, rtol=0, atol=1e-9)
        if known.symmetric:
            np.testing.assert_allclose(A, A.T, rtol=0, atol=1e3 * EPS)
        if known.definite:
            assert np.linalg.eigvalsh(A).min() > -1e3 * EPS
        assert np.linalg.cond(A) < CONDITION


def derivatives(function, cotangent, v, tangent):
    """Forward; reverse; forward over reverse."""
    forward = jax.jvp(function, (v,), (tangent,))[1]
    return forward, *jax.jvp(jax.grad(lambda v: cotangent @ function(v)), (v,), (tangent,))


def compared(name):
    """The derivatives by the theorem and of the closed form, for two parameters at once.

    The solutions are given as numbers, so that autodiff has nothing to pass through.
    """
    case = CASES[name]
    attach = implicit_fixed_point if case.fixed else implicit_root
    vector, unravel = ravel_pytree(case.theta)
    rng = np.random.default_rng(7)
    batch = vector + 1e-2 * rng.normal(size=(2, vector.size))
    tangent = jnp.asarray(rng.normal(size=vector.size))
    solutions = jax.jit(jax.vmap(lambda v: case.solution(*unravel(v))))(batch)
    cotangent = jnp.asarray(rng.normal(size=compiled(name)[0].size))

    def known(v):
        return ravel_pytree(case.solution(*unravel(v)))[0]

    def found(v, x):
        def function(v):
            return ravel_pytree(attach(case.mapping, x, *unravel(v), solve=plain_solve))[0]

        return derivatives(function, cotangent, v, tangent)

    expected = jax.jit(jax.vmap(lambda v: derivatives(known, cotangent, v, tangent)))(batch)
    return jax.jit(jax.vmap(found))(batch, solutions), expected


@every
def test_derivatives_equal_the_closed_form(name):
    found, expected = compared(name)
    assert np.max(np.abs(expected[0])) > 1e-2  # there is something to compare
    for order, a, b in zip((FIRST, FIRST, SECOND), found, expected):
        np.testing.assert_allclose(a, b, rtol=0, atol=order)


def sphere(x, y):
    return 0.5 * jnp.sum((x - y) ** 2)


def plain_ridge(x, theta, y):
    return sphere(x, y[:3]) + theta * jnp.sum(x**2)


WIDE = jnp.array([0.2, 1.0, 0.5, 2.0])  # float64: a step takes the precision of x
# Of the objectives that close over float64 data there are others here; so is the inner solve of
# Newton's mapping, which has a test of its own.
SINGLE = {
    "stationary": optimality.stationary(plain_ridge),
    "gradient_descent": optimality.gradient_descent(plain_ridge, step=np.float64(0.5)),
    "proximal_gradient": optimality.proximal_gradient(sphere, catalogue.soft_threshold, step=0.5),
    "projected_gradient": optimality.projected_gradient(sphere, catalogue.box, step=WIDE[0]),
    "block_proximal_gradient": optimality.block_proximal_gradient(
        sphere, lambda x, w, s: catalogue.ridge_prox(x, w, s.astype(x.dtype)), WIDE, 0
    ),
}


@every
def test_single_precision_stays(name):
    case = CASES[name]
    single = jax.tree.map(lambda a: a.astype(jnp.float32), case.theta)
    x = jax.tree.map(
        lambda a: jax.ShapeDtypeStruct(a.shape, jnp.float32),
        jax.eval_shape(case.solution, *case.theta),
    )
    with jax.numpy_dtype_promotion("strict"):
        image = jax.eval_shape(SINGLE.get(name, case.mapping), x, *single)
    assert {a.dtype for a in jax.tree.leaves(image)} == {jnp.dtype(jnp.float32)}


# --- the contract finds what breaks it -----------------------------------------------------------


def test_a_wrong_mapping_is_found():
    """A forgotten step inside the prox: the fixed point is another one."""
    case = CASES["proximal_gradient"]
    forgetful = optimality.proximal_gradient(
        catalogue.weighted, lambda x, w, s: catalogue.soft_threshold(x, w, 1.0), step=0.4
    )
    broken = Case(forgetful, case.solution, case.theta, fixed=True)
    x = case.solution(*case.theta)
    assert np.max(np.abs(residual(broken, x, case.theta))) > 0.1


def test_a_wrong_declaration_is_found():
    """What the test above would say if ``conic`` declared itself symmetric."""
    x, _, jacobian = compiled("conic")
    A = np.asarray(jacobian(x, CASES["conic"].theta))
    assert np.max(np.abs(A - A.T)) > 0.1
