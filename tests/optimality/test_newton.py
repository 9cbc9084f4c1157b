"""Newton's mapping: its step, its derivative, and what it does not compute."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from simsens.implicit import custom_fixed_point, implicit_fixed_point
from simsens.implicit.linear_solve import solve_minres
from simsens.implicit.structure import Declared, declared
from simsens.optimality import newton, stationary
from tests.opaque import concrete
from tests.optimality.catalogue import Y, plain_solve, ridge, ridge_solution

EPS = np.finfo(float).eps


def square(x, theta):
    return x**2 - theta


def test_value_is_newtons_step():
    T = jax.jit(newton(square, step=0.5, solve=plain_solve))
    np.testing.assert_allclose(T(jnp.array([2.0, 3.0]), 9.0), [2 + 0.5 * 5 / 4, 3.0], rtol=1e-15)


def test_one_step_solves_a_quadratic_problem():
    T = newton(stationary(ridge, convex=True), solve=plain_solve)
    found = jax.jit(T)(jnp.zeros(3), 0.8, Y)
    np.testing.assert_allclose(found, ridge_solution(0.8, Y), rtol=0, atol=1e2 * EPS)


def test_opaque_solver_and_default_linear_solvers():
    @custom_fixed_point(newton(square))
    @concrete
    def solver(init, theta):
        return np.sqrt(theta)

    first, second = jax.jvp(jax.grad(lambda t: solver(None, t)), (4.0,), (1.0,))
    assert float(first) == pytest.approx(0.25, abs=10 * EPS)
    assert float(second) == pytest.approx(-1 / 32, abs=10 * EPS)


@pytest.mark.parametrize("step", [0.1, 1.0, 7.0])
def test_linearisation_is_the_step_everywhere_and_the_derivative_independent_of_it(step):
    T = newton(square, step, plain_solve)
    assert declared(T) == Declared(symmetric=True, definite=True)
    for x in (jnp.array([2.0, 3.0]), jnp.array([0.4, 9.0])):  # a root, and none
        A = np.eye(2) - jax.jit(jax.jacfwd(T))(x, jnp.array([4.0, 9.0]))
        np.testing.assert_allclose(A, step * np.eye(2), rtol=0, atol=10 * EPS * (1 + step))
    root = lambda t: implicit_fixed_point(T, jnp.array(3.0), t, solve=plain_solve)  # noqa: E731
    assert float(jax.jit(jax.grad(root))(9.0)) == pytest.approx(1 / 6, abs=1e2 * EPS)


def test_no_third_derivatives_are_taken():
    """The slope of this G refuses to be differentiated; only second derivatives need it."""

    @jax.custom_jvp
    def slope(x):
        return 3 * x**2

    @slope.defjvp
    def _(primals, tangents):
        raise AssertionError("a third derivative was taken")

    @jax.custom_jvp
    def cube(x):
        return x**3

    @cube.defjvp
    def _(primals, tangents):
        return cube(*primals), slope(*primals) * tangents[0]

    T = newton(lambda x, theta: cube(x) - theta, solve=plain_solve)
    root = lambda t: implicit_fixed_point(T, jnp.array(2.0), t, solve=plain_solve)  # noqa: E731
    assert float(jax.jit(jax.grad(root))(8.0)) == pytest.approx(1 / 12, abs=10 * EPS)
    with pytest.raises(AssertionError, match="third derivative"):
        jax.make_jaxpr(jax.grad(jax.grad(root)))(8.0)


def test_closure_over_a_traced_value():
    def root(theta):
        T = newton(lambda x: x**2 - theta, solve=plain_solve)
        return implicit_fixed_point(T, jnp.array(3.0), solve=plain_solve)

    assert float(jax.jit(jax.grad(root))(9.0)) == pytest.approx(1 / 6, abs=10 * EPS)


def test_tree_and_a_krylov_solver():
    def G(x, theta):
        return {"a": x["a"] ** 2 - theta, "b": (x["b"][0] - theta * x["a"][0],)}

    x = {"a": jnp.array([2.0]), "b": (jnp.array(8.0),)}
    T = jax.jit(newton(G, solve=plain_solve))(x, 4.0)
    assert float(T["b"][0]) == 8.0
    T = newton(stationary(ridge), solve=solve_minres)
    x = ridge_solution(0.8, Y)
    np.testing.assert_allclose(jax.jit(T)(x, 0.8, Y), x, rtol=0, atol=1e3 * EPS)


def test_singular_matrix_gives_nan():
    T = newton(lambda x, theta: jnp.sum(x) * jnp.ones(2) + jnp.array([theta, 0.0]))
    assert np.isnan(jax.jit(T)(jnp.array([1.0, 2.0]), 1.0)).all()


def test_wrong_equations_are_refused():
    with pytest.raises(ValueError, match="G must return a tree like x"):
        newton(lambda x, theta: x[:1])(jnp.array([1.0, 2.0]), 1.0)
    with pytest.raises(ValueError, match="step must be a positive number"):
        newton(square, step=0.0)
