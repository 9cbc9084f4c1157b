"""A root linearised once: both directions, many right-hand sides, evidence with each."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

from simsens.implicit import prepare_root, root_jvp, root_vjp
from simsens.implicit.linear_solve import (
    SOLVERS,
    solve_cg,
    solve_gmres,
    solve_lu,
    solve_symmetric,
)
from tests.implicit.problems import PROBLEMS

EPS = np.finfo(float).eps


def jacobian(known):
    flat, unravel = ravel_pytree(known.theta)
    return jax.jacobian(lambda t: ravel_pytree(known.solution(unravel(t)))[0])(flat)


@pytest.mark.parametrize("name", PROBLEMS)
@pytest.mark.parametrize("solve", [None, solve_lu, solve_gmres])
def test_both_directions_against_the_closed_form(name, solve):
    known = PROBLEMS[name]
    x = known.solution(known.theta)
    root = prepare_root(known.optimality, x, known.theta, solve=solve, **known.structure)
    expected = np.asarray(jacobian(known))
    rng = np.random.default_rng(0)
    flat_x, unravel_x = ravel_pytree(x)
    flat_t, unravel_t = ravel_pytree(known.theta)
    limit = 1e-13 if solve is not solve_gmres else 1e-10
    for _ in range(2):
        dt, dx = rng.standard_normal(flat_t.size), rng.standard_normal(flat_x.size)
        pushed, forward = root.jvp((unravel_t(dt),))
        pulled, adjoint = root.vjp(unravel_x(dx))
        np.testing.assert_allclose(ravel_pytree(pushed)[0], expected @ dt, rtol=0, atol=limit)
        np.testing.assert_allclose(ravel_pytree(pulled[0])[0], dx @ expected, rtol=0, atol=limit)
        for solution in (forward, adjoint):
            assert bool(solution.converged)
            assert float(solution.residual) <= 1e-11
            assert (int(solution.iterations) > 0) == (solve is solve_gmres)
        np.testing.assert_array_equal(ravel_pytree(forward.value)[0], ravel_pytree(pushed)[0])


def test_the_matrix_is_formed_and_factorised_once():
    products = []

    def optimality(x, t):
        jax.debug.callback(lambda: products.append(1))
        return jnp.array([2.0, 3.0]) * x - t

    root = prepare_root(optimality, jnp.ones(2), jnp.array([2.0, 3.0]))
    jax.effects_barrier()
    evaluated = len(products)
    for k in range(4):
        np.testing.assert_allclose(root.jvp((jnp.full(2, k),))[0], [k / 2, k / 3], rtol=4 * EPS)
        np.testing.assert_allclose(root.vjp(jnp.ones(2))[0][0], [1 / 2, 1 / 3], rtol=4 * EPS)
    jax.effects_barrier()
    assert len(products) == evaluated  # F is not evaluated again
    assert root.linear.factorisation is not None


@pytest.mark.parametrize("solve", [None, solve_cg, solve_symmetric])
@pytest.mark.parametrize("definite", [True, False])
def test_many_together_are_as_each_alone(solve, definite):
    known = PROBLEMS["ridge"]
    x = known.solution(known.theta)
    root = prepare_root(known.optimality, x, known.theta, solve=solve, definite=definite)
    rows = jnp.asarray(np.random.default_rng(1).standard_normal((3, 5)))
    pulled, adjoint = root.vjp(rows, many=True)
    assert pulled[0].shape == (3,)
    assert adjoint.value.shape == (3, 5)
    assert adjoint.residual.shape == (3,)
    for k in range(3):
        np.testing.assert_allclose(pulled[0][k], root.vjp(rows[k])[0][0], rtol=0, atol=1e-10)
    pushed, forward = root.jvp((jnp.array([1.0, -2.0]),), many=True)
    assert pushed.shape == (2, 5)
    np.testing.assert_allclose(pushed[1], -2 * pushed[0], rtol=0, atol=1e-10)
    assert np.asarray(forward.converged).all()


def test_large_systems_go_by_blocks(monkeypatch):
    from simsens.implicit.linear_solve import choice

    monkeypatch.setattr(choice, "DENSE_LIMIT", 10)
    diagonal = jnp.linspace(1.0, 3.0, 30)
    f = lambda x, t: diagonal * x - t  # noqa: E731
    root = prepare_root(f, jnp.ones(30), diagonal, symmetric=True, definite=True)
    assert root.linear.factorisation is None
    pushed, solution = root.jvp((jnp.eye(30)[:4],), many=True)
    np.testing.assert_allclose(pushed, np.diag(1 / diagonal)[:4], rtol=0, atol=1e-11)
    assert np.asarray(solution.converged).all()


def test_the_adjoint_starts_where_the_last_one_ended():
    known = PROBLEMS["ridge"]
    x = known.solution(known.theta)
    root = prepare_root(known.optimality, x, known.theta, solve=solve_cg, definite=True)
    _, cold = root.vjp(jnp.ones(5))
    value, warm = root.vjp(jnp.ones(5), init=cold.value)
    assert int(warm.iterations) < int(cold.iterations)
    np.testing.assert_allclose(value[0], root.vjp(jnp.ones(5))[0][0], rtol=1e-11)


def test_what_is_no_number_has_no_tangent():
    def f(x, a, label, n, key):
        return x * n - a["w"]

    args = ({"w": jnp.array([2.0, 4.0]), "ids": np.arange(2)}, "text", 2, jax.random.key(0))
    root = prepare_root(f, jnp.array([1.0, 2.0]), *args)
    pushed, _ = root.jvp(({"w": jnp.ones(2), "ids": None}, None, None, None))
    np.testing.assert_allclose(pushed, [0.5, 0.5], rtol=4 * EPS)
    (a, label, n, key), _ = root.vjp(jnp.ones(2))
    np.testing.assert_allclose(a["w"], [0.5, 0.5], rtol=4 * EPS)
    assert a["ids"].dtype == jax.dtypes.float0
    assert label is None
    assert n is None
    assert key.dtype == jax.dtypes.float0


def test_wrong_tangents_are_told():
    root = prepare_root(lambda x, a, b: x - a - b, jnp.ones(2), jnp.ones(2), jnp.zeros(2))
    with pytest.raises(
        ValueError, match="one tangent is needed for each of the 2 arguments; got 1"
    ):
        root.jvp((jnp.ones(2),))
    with pytest.raises(ValueError, match=r"must have the shape \(2,\) of its argument; got \(3,\)"):
        root.jvp((jnp.ones(3), None))
    with pytest.raises(ValueError, match=r"cotangent must have the shape \(2,\) of x; got \(\)"):
        root.vjp(1.0)
    with pytest.raises(TypeError, match="unknown option 'symetric'"):
        root_jvp(lambda x, a: x - a, jnp.ones(2), (jnp.ones(2),), (jnp.ones(2),), symetric=True)


def test_the_functions_of_jaxopt_compose():
    f = lambda x, t: x**3 - t  # noqa: E731
    x = lambda t: jnp.cbrt(t)  # noqa: E731

    def forward(t):
        return root_jvp(f, x(t), (t,), (jnp.ones_like(t),))

    def reverse(t):
        return root_vjp(f, x(t), (t,), jnp.ones_like(t))[0]

    for function in (forward, reverse):
        assert float(function(8.0)) == pytest.approx(1 / 12, rel=4 * EPS)
        assert float(jax.jit(function)(8.0)) == pytest.approx(1 / 12, rel=4 * EPS)
        np.testing.assert_allclose(
            jax.vmap(function)(jnp.array([1.0, 8.0])), [1 / 3, 1 / 12], rtol=4 * EPS
        )


@pytest.mark.parametrize("name", [k for k, (_, needs) in SOLVERS.items() if needs == "any"])
def test_every_solver_solves_the_transpose(name):
    known = PROBLEMS["asymmetric"]
    x = known.solution(known.theta)
    dx = jnp.array([1.0, -2.0, 0.5])
    found = root_vjp(known.optimality, x, (known.theta,), dx, SOLVERS[name][0])[0]
    np.testing.assert_allclose(found, dx @ jacobian(known), rtol=0, atol=1e-10)


def test_the_preconditioner_is_transposed_for_the_adjoint():
    import functools

    scale = jnp.geomspace(1, 1e5, 30)
    matrix = jnp.asarray(np.random.default_rng(0).standard_normal((30, 30)) / 20 + np.eye(30))
    matrix = scale[:, None] * matrix  # rows of very different size: the inverse scales rows of b

    def precondition(r):
        return r / scale

    solve = functools.partial(solve_gmres, preconditioner=precondition, maxiter=60)
    f = lambda x, t: matrix @ x - t  # noqa: E731
    x = jnp.linalg.solve(matrix, jnp.ones(30))
    root = prepare_root(f, x, jnp.ones(30), solve=solve)
    for found in (root.jvp((jnp.ones(30),)), root.vjp(jnp.ones(30))):
        assert bool(found[1].converged)
    expected = np.linalg.solve(matrix.T, np.ones(30))
    np.testing.assert_allclose(root.vjp(jnp.ones(30))[0][0], expected, rtol=1e-9)
