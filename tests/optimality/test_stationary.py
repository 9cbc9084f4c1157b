"""The gradient as a root, and one step along it as a fixed point."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from simsens.implicit import custom_root, implicit_fixed_point, implicit_root
from simsens.implicit.ravel import ravel
from simsens.implicit.structure import Declared, declared
from simsens.optimality import gradient_descent, stationary
from tests.opaque import concrete
from tests.optimality.catalogue import X, Y, plain_solve, ridge, ridge_solution

EPS = np.finfo(float).eps


def test_ridge_with_an_opaque_solver_and_the_solver_that_the_declaration_chooses():
    """The paper's first figure: dx/dtheta = -(X^T X + theta)^-1 x at theta = 10."""

    @custom_root(stationary(ridge, convex=True))
    @concrete
    def solver(init, theta, y):
        return np.linalg.solve(X.T @ X + theta * np.eye(3), X.T @ y)

    inverse = np.linalg.inv(X.T @ X + 10.0 * np.eye(3))
    x = np.asarray(ridge_solution(10.0, Y))
    # Condition numbers below ten, matrices of 3 x 3: some dozen roundings.
    jacobian = jax.jacrev(lambda t: solver(None, t, Y))
    first, second = jax.jvp(jacobian, (10.0,), (1.0,))
    np.testing.assert_allclose(first, -inverse @ x, rtol=0, atol=1e2 * EPS)
    np.testing.assert_allclose(second, 2 * inverse @ inverse @ x, rtol=0, atol=1e2 * EPS)


def test_derivative_does_not_depend_on_the_step():
    x = ridge_solution(0.8, Y)

    def point(theta, step):
        T = gradient_descent(ridge, step=step, convex=True)
        return implicit_fixed_point(T, x, theta, Y, solve=plain_solve)

    slope = jax.jit(jax.jacfwd(point, argnums=(0, 1)))
    expected = jax.jit(jax.jacfwd(ridge_solution))(0.8, Y)
    for step in (1e-6, 1.0, 1e3):  # most of which no solver could take
        by_theta, by_step = slope(0.8, step)
        # For a step of 1e-6, x - (x - step H dx) cancels all but ten digits.
        np.testing.assert_allclose(by_theta, expected, rtol=0, atol=1e2 * EPS * (1 + 1 / step))
        # The step multiplies a gradient of some roundings.
        np.testing.assert_allclose(by_step, 0, atol=1e3 * EPS / step)


@pytest.mark.parametrize("convex", [False, True])
def test_what_is_declared(convex):
    expected = Declared(symmetric=True, definite=convex)
    assert declared(stationary(ridge, convex)) == expected
    assert declared(gradient_descent(ridge, 0.5, convex)) == expected


def test_nonconvex_stationary_point_is_not_taken_for_a_minimum():
    """A saddle x^T diag(1, -2) x / 2 - theta x: x = (theta, -theta / 2)."""
    curvature = jnp.array([1.0, -2.0])
    F = stationary(lambda x, theta: 0.5 * jnp.sum(curvature * x**2) - theta * jnp.sum(x))
    found = jax.jit(jax.jacrev(lambda t: implicit_root(F, jnp.array([3.0, -1.5]), t)))(3.0)
    np.testing.assert_allclose(found, [1.0, -0.5], rtol=0, atol=10 * EPS)


def test_trees_of_unknowns_and_keywords():
    def fun(x, theta, *, weight):
        return jnp.sum((x["a"] - theta[0]) ** 2) + weight * (x["b"][0] - theta[1]) ** 2

    x = {"a": jnp.array([1.0, 2.0]), "b": [jnp.array(3.0)]}
    theta = (jnp.array([1.0, 1.0]), 2.0)
    F = stationary(fun)(x, theta, weight=2.0)
    np.testing.assert_array_equal(F["a"], [0.0, 2.0])
    np.testing.assert_array_equal(F["b"][0], 4.0)
    T = gradient_descent(fun, step=0.25)(x, theta, weight=2.0)
    np.testing.assert_array_equal(T["b"][0], 2.0)


def test_complex_unknowns_descend_and_have_a_symmetric_hessian():
    """|x - theta|^2 + Re(x^2) / 2 with x = a + i b: the Hessian in (a, b) is diag(3, 1)."""

    def fun(x, theta):
        return jnp.sum(jnp.abs(x - theta) ** 2 + 0.5 * (x**2).real)

    F = stationary(fun)
    theta = jnp.array([0.5 - 1.0j])
    solution = jnp.array([2 * 0.5 / 3 - 2.0j])  # 2 (a - Re theta) + a = 0, 2 (b - Im theta) - b = 0
    assert np.max(np.abs(jax.jit(F)(solution, theta))) < 10 * EPS
    vector, unravel = ravel(solution)
    A = jax.jit(jax.jacfwd(lambda v: ravel(F(unravel(v), theta))[0]))(vector)
    np.testing.assert_allclose(A, np.diag([3.0, 1.0]), rtol=0, atol=10 * EPS)
    nearer = jax.jit(gradient_descent(fun, step=0.1))(solution + 1e-3j, theta)
    assert abs(complex((nearer - solution)[0])) < 1e-3


def test_arguments_are_matched_by_the_names_of_the_objective():
    @custom_root(stationary(lambda x, shift, scale: 0.5 * jnp.sum((x - scale * shift) ** 2)))
    @concrete
    def solver(init, scale, shift):
        return scale * shift

    assert float(jax.grad(solver, argnums=1)(None, 2.0, 5.0)) == 5.0


def test_auxiliary_output_is_dropped():
    F = stationary(
        lambda x, theta: (jnp.sum((x - theta) ** 2), {"norm": jnp.sum(x**2)}), False, True
    )
    np.testing.assert_array_equal(F(jnp.array([2.0]), 0.5), [3.0])


@pytest.mark.parametrize(
    ("fun", "has_aux", "told"),
    [
        (lambda x: x**2, False, r"one real number, found shapes \(2,\)"),
        (lambda x: jnp.sum(x) * 1j, False, "found a complex number"),
        (lambda x: (jnp.sum(x), x), False, "has_aux=True"),
        (lambda x: jnp.sum(x), True, r"must return \(number, aux\)"),
        (lambda x: (jnp.sum(x), 1, 2), True, r"must return \(number, aux\)"),
    ],
)
@pytest.mark.parametrize("builder", [stationary, gradient_descent])
def test_objective_that_is_none(builder, fun, has_aux, told):
    with pytest.raises(ValueError, match=told):
        builder(fun, has_aux=has_aux)(jnp.array([1.0, 2.0]))


@pytest.mark.parametrize("step", [0, -1.0, np.nan, np.inf, "long", None, np.ones(2), 1j])
def test_step_that_is_none(step):
    with pytest.raises(ValueError, match="step must be a positive number, found"):
        gradient_descent(ridge, step=step)


def test_traced_step_that_is_none_gives_nan():
    def image(step):
        return gradient_descent(lambda x: x**2, step)(1.0)

    np.testing.assert_array_equal(
        jax.jit(jax.vmap(image))(jnp.array([0.5, -0.5, 0.0])), [0, np.nan, np.nan]
    )
