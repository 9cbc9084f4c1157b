"""The loop and its verdict: what ``solve`` refuses, tells, and pairs."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from simsens import solvers
from simsens.optimality import mirror_descent_kl, projected_gradient
from simsens.projection import projection_simplex
from simsens.solvers import solve
from tests.solvers.problems import C, near


def bowl(x, theta):
    return jnp.sum((x - theta) ** 2)


DESCENT = solvers.GradientDescent(bowl)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"tol": -1.0}, "tol must be 0 or more, found -1.0"),
        ({"tol": float("nan")}, "tol must be 0 or more, found nan"),
        ({"maxiter": 0}, "maxiter must be at least 1, found 0"),
        ({"differentiation": "forward"}, "must be one of implicit, unrolled, found 'forward'"),
        ({"on_failure": "ignore"}, "on_failure must be one of"),
        ({"optimality": bowl, "fixed_point": bowl}, "give optimality or fixed_point, found both"),
    ],
)
def test_what_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        solve(DESCENT, jnp.zeros(2), 1.0, **options)


def test_nothing_to_solve_for_is_refused():
    with pytest.raises(ValueError, match="init holds no numbers"):
        solve(DESCENT, (), 1.0)


def test_an_objective_that_is_no_number_is_refused():
    with pytest.raises(ValueError, match=r"one real number, found shape \(2,\)"):
        solve(solvers.GradientDescent(lambda x, t: x - t), jnp.zeros(2), 1.0)


def test_a_start_of_integers_becomes_numbers():
    found = solve(DESCENT, np.zeros(2, int), 1.5)
    assert [float(v) for v in found.value] == pytest.approx([1.5, 1.5])


def test_complex_unknowns():
    def fun(z, w):
        return jnp.sum(jnp.abs(z - w) ** 2)

    w = jnp.array([1 + 2j, -0.5j])
    found = solve(solvers.LBFGS(fun), jnp.zeros(2, complex), w)
    assert bool(found.converged)
    np.testing.assert_allclose(found.value, w, atol=1e-8)


def test_no_tolerance_makes_all_iterations():
    slow = solvers.GradientDescent(bowl, step=0.1, acceleration=False)
    found = solve(slow, jnp.zeros(2), 1.0, tol=0, maxiter=17)
    assert int(found.iterations) == 17
    assert float(found.value[0]) == pytest.approx(1 - 0.8**17, abs=1e-15)
    assert not found.converged
    # Within one percent it counts for a derivative; further away it does not.
    slope = jax.grad(lambda t: solve(slow, jnp.zeros(2), t, tol=0, maxiter=40).value[0])(1.0)
    assert slope == pytest.approx(1.0, abs=1e-12)
    early = jax.grad(lambda t: solve(slow, jnp.zeros(2), t, tol=0, maxiter=5).value[0])(1.0)
    assert np.isnan(early)


def test_unrolled_is_the_derivative_of_the_iterations():
    slow = solvers.GradientDescent(bowl, step=0.1, acceleration=False)

    def last(t):
        return solve(
            slow, jnp.zeros(2), t, tol=0, maxiter=9, differentiation="unrolled"
        ).value[0]  # fmt: skip

    assert jax.grad(last)(1.0) == pytest.approx(1 - 0.8**9, abs=1e-14)


@pytest.mark.parametrize("differentiation", ["implicit", "unrolled"])
def test_derivatives_go_to_what_the_functions_close_over(differentiation):
    def root(theta):
        descent = solvers.GradientDescent(lambda x: jnp.sum((x - theta**2) ** 2))
        options = {"maxiter": 60, "differentiation": differentiation}
        return solve(descent, jnp.zeros(2), **options).value[0]

    assert jax.grad(root)(1.5) == pytest.approx(3.0, abs=1e-6)
    assert jax.jit(jax.grad(root))(1.5) == pytest.approx(3.0, abs=1e-6)


@pytest.mark.parametrize("differentiation", ["implicit", "unrolled"])
def test_the_start_gets_no_derivative(differentiation):
    options = {"differentiation": differentiation, "maxiter": 3, "tol": 0, "on_failure": "keep"}
    slope = jax.grad(lambda x: solve(DESCENT, x, 1.0, **options).value.sum())(jnp.zeros(2))
    assert (slope == 0).all()


def test_an_estimate_that_is_too_small_is_not_believed():
    class Boastful(solvers.GradientDescent):
        def advance(self, state, frame):
            state = super().advance(state, frame)
            return state._replace(error=1e-3 * state.error)

    honest = solvers.GradientDescent(bowl, step=0.1, acceleration=False)
    boastful = Boastful(bowl, step=0.1, acceleration=False)
    for algorithm in (honest, boastful):
        found = solve(algorithm, jnp.zeros(2), 1.0, tol=1e-6)
        assert bool(found.converged)
        assert 1e-9 < found.residual <= 1e-6


def test_a_solution_is_judged_by_the_mapping_it_is_paired_with():
    descent = solvers.MirrorDescent(near)
    start, theta = jnp.ones(3) / 3, (1.0, C)
    pair = {"fixed_point": projected_gradient(near, projection_simplex)}
    own = solve(descent, start, *theta)
    paired = solve(descent, start, *theta, **pair)
    assert bool(own.converged)
    assert bool(paired.converged)
    mapping = pair["fixed_point"]
    off = np.linalg.norm(paired.value - mapping(paired.value, *theta))
    assert float(paired.residual) == pytest.approx(off, rel=1e-6)


@pytest.mark.parametrize("mapping", ["mirror_descent_kl", "projected_gradient"])
@pytest.mark.parametrize("name", ["MirrorDescent", "ProjectedGradient", "ProximalGradient"])
def test_every_solver_with_every_fixed_point(name, mapping):
    algorithm = {
        "MirrorDescent": solvers.MirrorDescent(near),
        "ProjectedGradient": solvers.ProjectedGradient(near, projection_simplex),
        "ProximalGradient": solvers.ProximalGradient(
            near, lambda x, total, scaling: projection_simplex(x, total)
        ),
    }[name]
    fixed_point = {
        "mirror_descent_kl": mirror_descent_kl(near),
        "projected_gradient": projected_gradient(near, projection_simplex),
    }[mapping]

    def x(c):
        return solve(algorithm, jnp.ones(3) / 3, 1.0, c, fixed_point=fixed_point, tol=1e-10).value

    wanted = np.eye(3) - 1 / 3
    np.testing.assert_allclose(jax.jacrev(x)(C), wanted, atol=1e-8)


def test_reasons_are_told_in_words():
    shape = {"maxiter": 3, "tol": 1e-12}
    late = solve(solvers.GradientDescent(bowl, step=0.01), jnp.zeros(2), 1.0, **shape)
    assert late.reason.startswith("not converged: the iteration limit, 3, came first; the residual")
    blown = solve(solvers.GradientDescent(bowl, step=1e200), jnp.zeros(2), 1.0)
    assert blown.reason.startswith("not converged: the numbers are no longer finite")
    none = solve(solvers.Bisection(lambda x, t: x**2 + t, -1.0, 1.0), 0.0, 1.0)
    assert "no step made progress" in none.reason
    assert "give ends with a root between them" in none.reason
    assert bool(solve(DESCENT, jnp.zeros(2), 1.0).reason.startswith("converged"))


def test_what_rounding_does_not_allow_is_told_as_stuck():
    found = solve(
        solvers.LBFGS(lambda x, t: jnp.sum(jnp.cosh(x - t))), jnp.zeros(2), 1.3, tol=1e-30
    )
    if not bool(found.converged):  # the gradient may come out as an exact zero
        assert "the tolerance may be below what rounding allows" in found.reason


def test_a_solution_goes_through_programs():
    found = jax.jit(lambda t: solve(DESCENT, jnp.zeros(2), t))(1.0)
    assert found.reason.startswith("converged")
    assert found == found


@pytest.mark.parametrize("other", [None, lambda x, t: x - t])
def test_an_algorithm_that_does_not_move_comes_to_its_limit(other):
    still = solvers.GradientDescent(bowl, step=1e-20)
    found = solve(still, jnp.ones(2), 3.0, maxiter=50, optimality=other)
    assert int(found.iterations) == 50
    assert not bool(found.converged)
