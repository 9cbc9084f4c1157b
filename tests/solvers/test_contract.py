"""What every solver keeps, read from the table: values, derivatives of any kind, verdicts."""

import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from simsens.implicit import DerivativeFailed, DerivativeWarning, compiled
from simsens.solvers import ALGORITHMS, solve
from tests.solvers.problems import PROBLEMS, flat

EACH = pytest.mark.parametrize("name", PROBLEMS)
# Variants of an algorithm share what follows its value and its first derivative.
KINDS = pytest.mark.parametrize("name", [n for n in PROBLEMS if "," not in n])
# optax's own line search is a loop without a reverse mode.
UNROLLED = [n for n, p in PROBLEMS.items() if getattr(p.algorithm, "unrolls", True)
            and hasattr(p.algorithm, "advance") and n != "Optax, with a line search"]  # fmt: skip


def options(problem):
    chosen = {"maxiter": problem.reach}
    return chosen if problem.tol is None else {**chosen, "tol": problem.tol}


def run(name, **more):
    """``theta[moving] -> solution``, and where theta starts."""
    problem = PROBLEMS[name]
    rest = list(problem.theta)

    def solution(moving):
        theta = [*rest[: problem.moving], moving, *rest[problem.moving + 1 :]]
        return solve(problem.algorithm, problem.init, *theta, **{**options(problem), **more})

    def exact(moving):
        theta = [*rest[: problem.moving], moving, *rest[problem.moving + 1 :]]
        return flat(problem.exact(*theta))

    return solution, exact, jnp.asarray(rest[problem.moving])


def values(solution):
    return lambda moving: flat(solution(moving).value)


def test_the_table_is_covered():
    assert {name.split(",")[0] for name in PROBLEMS} == set(ALGORITHMS)


@EACH
def test_value_and_verdict(name):
    solution, exact, theta = run(name)
    found = solution(theta)
    # The curvatures of the problems are at least 0.25, those of the roots more.
    error = np.linalg.norm(flat(found.value) - exact(theta))
    assert bool(found.converged)
    assert 4 * max(float(found.residual), 1e-15) >= error
    assert found.residual <= (PROBLEMS[name].tol or 1.5e-8)
    assert 0 < int(found.iterations) <= PROBLEMS[name].reach
    assert found.reason.startswith("converged")
    assert jax.tree.structure(found.value) == jax.tree.structure(PROBLEMS[name].init)


@EACH
def test_first_derivatives(name):
    solution, exact, theta = run(name)
    wanted = jax.jacfwd(exact)(theta)
    # What the iterate is off, the derivative is off: the maps' second derivatives are below 10.
    atol = 10 * (PROBLEMS[name].tol or 1.5e-8)
    np.testing.assert_allclose(jax.jacfwd(values(solution))(theta), wanted, rtol=0, atol=atol)
    np.testing.assert_allclose(jax.jacrev(values(solution))(theta), wanted, rtol=0, atol=atol)


@KINDS
def test_second_derivative(name):
    solution, exact, theta = run(name)

    def measured(f):
        return lambda theta: jnp.sum(jnp.sin(f(theta)))

    wanted = jax.hessian(measured(exact))(theta)
    found = jax.jit(jax.hessian(measured(values(solution))))(theta)
    np.testing.assert_allclose(found, wanted, rtol=0, atol=100 * (PROBLEMS[name].tol or 1.5e-8))


@KINDS
def test_batches_and_programs(name):
    solution, exact, theta = run(name)
    batch = jnp.stack([theta, 0.9 * theta, 1.05 * theta])
    found = jax.jit(jax.vmap(solution))(batch)
    assert found.converged.all()
    members = jax.vmap(flat)(found.value)
    np.testing.assert_allclose(members, jax.vmap(exact)(batch), rtol=0, atol=1e-5)


@KINDS
def test_a_bad_member_spoils_no_other(name):
    solution, _, theta = run(name, maxiter=200)
    batch = jnp.stack([theta, jnp.full_like(theta, jnp.nan)])
    if name.startswith("Optimistix"):
        pytest.skip("optimistix stops a whole batch when a member is not finite")
    found = jax.jit(jax.vmap(solution))(batch)
    assert not found.converged[1]
    if bool(solution(theta).converged):
        assert found.converged[0]


@EACH
def test_stopped_early_is_told(name):
    solution, _, theta = run(name, maxiter=1, tol=1e-13)
    found = solution(theta)
    if bool(found.converged):
        pytest.skip("solved in one iteration: there is no early stop to tell")
    assert found.residual > 1e-13
    assert found.reason.startswith("not converged")
    assert np.isnan(jax.jacrev(values(solution))(theta)).any()
    assert np.isnan(jax.jacfwd(values(solution))(theta)).any()


def test_policies():
    name = "GradientDescent"
    kept, _, theta = run(name, maxiter=1, tol=1e-13, on_failure="keep")
    assert np.isfinite(jax.jacfwd(values(kept))(theta)).all()
    warned, _, _ = run(name, maxiter=1, tol=1e-13, on_failure="warn")

    def with_effects():
        jax.block_until_ready(jax.jacfwd(values(warned))(theta))
        jax.effects_barrier()

    with pytest.warns(DerivativeWarning, match="not a root"):
        with_effects()
    raised, _, _ = run(name, maxiter=1, tol=1e-13, on_failure="raise")
    with pytest.raises((DerivativeFailed, jax.errors.JaxRuntimeError), match="not a root"):
        jax.block_until_ready(jax.jvp(values(raised), (theta,), (jnp.ones_like(theta),)))


@pytest.mark.parametrize("name", UNROLLED)
def test_unrolled_tends_to_implicit(name):
    iterations = 1000 if PROBLEMS[name].reach == 10_000 else PROBLEMS[name].reach
    solution, exact, theta = run(name, differentiation="unrolled", maxiter=iterations)
    wanted = jax.jacfwd(exact)(theta)
    forward = jax.jacfwd(values(solution))(theta)
    reverse = jax.jacrev(values(solution))(theta)
    np.testing.assert_allclose(forward, reverse, rtol=0, atol=1e-9)
    np.testing.assert_allclose(forward, wanted, rtol=0, atol=2e-4)


@pytest.mark.parametrize(
    "name",
    [n for n, p in PROBLEMS.items() if not hasattr(p.algorithm, "advance") or n == "Bisection"],
)
def test_what_cannot_be_unrolled_is_refused(name):
    solution, _, theta = run(name, differentiation="unrolled")
    with pytest.raises(ValueError, match="have no derivative; use differentiation"):
        solution(theta)


@KINDS
def test_single_precision(name):
    problem = PROBLEMS[name]
    if problem.algorithm.__class__.__name__ in ("Optimistix", "ScipyMinimize", "ScipyRoot"):
        pytest.skip("another package stops it, by tolerances meant for double precision")
    init, theta = jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float32),
                               (problem.init, problem.theta))  # fmt: skip
    found = solve(problem.algorithm, init, *theta, maxiter=problem.reach, tol=1e-4)
    assert {leaf.dtype for leaf in jax.tree.leaves(found.value)} == {jnp.dtype("float32")}
    assert bool(found.converged)
    np.testing.assert_allclose(flat(found.value), flat(problem.exact(*theta)), rtol=0, atol=1e-3)


@KINDS
def test_one_program_for_equal_calls(name):
    def gradient(theta):
        solution, _, _ = run(name)  # its functions are new ones, and the same
        return jax.grad(lambda t: values(solution)(t).sum())(theta)

    theta = run(name)[2]
    gradient(theta)
    number = len(compiled._PROGRAMS)
    for program in compiled._PROGRAMS.values():
        program.traced = False
    gradient(1.01 * theta)
    assert len(compiled._PROGRAMS) == number
    assert not any(program.traced for program in compiled._PROGRAMS.values())


def test_no_warning_where_nothing_failed():
    solution, _, theta = run("GradientDescent", on_failure="warn")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        jax.block_until_ready(jax.jacfwd(values(solution))(theta))
