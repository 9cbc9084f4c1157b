"""What sets each algorithm apart, on problems that are hard for others."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import minimize, rosen

from simsens import solvers
from simsens.optimality import proximal_gradient
from simsens.prox import prox_elastic_net, prox_lasso
from simsens.solvers import solve
from simsens.solvers.line_search import CURVATURE, DECREASE, wolfe_step

RNG = np.random.default_rng(0)


def rosenbrock(x):
    return jnp.sum(100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2)


@pytest.mark.parametrize("kind", [solvers.LBFGS, solvers.Newton])
def test_the_banana_valley(kind):
    start = np.array([-1.2, 1.0])
    found = solve(kind(rosenbrock), start, tol=1e-10)
    assert bool(found.converged)
    np.testing.assert_allclose(found.value, np.ones(2), atol=1e-9)
    reference = minimize(rosen, start, jac=jax.grad(rosenbrock), method="BFGS")
    assert int(found.iterations) < 3 * reference.nit


def test_newton_leaves_a_maximum_downhill():
    # The Hessian is negative at the start; plain Newton would go to the maximum at 0.
    found = solve(solvers.Newton(lambda x: jnp.sum(jnp.cos(x))), jnp.array([0.3, -0.2]))
    assert bool(found.converged)
    np.testing.assert_allclose(found.value, [np.pi, -np.pi], atol=1e-7)


def test_newton_for_a_root_shortens_its_step():
    # From 3 the full step of Newton on arctan overshoots further each time.
    found = solve(solvers.NewtonRoot(lambda x: jnp.arctan(x)), jnp.array(3.0))
    assert bool(found.converged)
    assert abs(float(found.value)) < 1e-8


def test_newton_uses_the_solver_for_large_systems():
    size = 2000
    weights = jnp.linspace(1.0, 5.0, size)
    newton = solvers.Newton(lambda x, y: jnp.sum(weights * (jnp.cosh(x) - y * x)))
    y = jnp.linspace(-1.0, 1.0, size)
    found = solve(newton, jnp.zeros(size), y)
    assert bool(found.converged)
    np.testing.assert_allclose(found.value, np.arcsinh(y), atol=1e-8)


def ill_conditioned(condition, size=40):
    scale = jnp.geomspace(1.0, condition, size)
    return lambda x: 0.5 * jnp.sum(scale * (x - 1) ** 2)


def test_momentum_takes_the_root_of_the_condition():
    options = {"tol": 1e-6, "maxiter": 100_000}
    start = jnp.zeros(40)
    plain = solve(
        solvers.GradientDescent(ill_conditioned(1e4), acceleration=False), start, **options
    )
    fast = solve(solvers.GradientDescent(ill_conditioned(1e4)), start, **options)
    assert bool(plain.converged & fast.converged)
    assert 10 * int(fast.iterations) < int(plain.iterations)
    assert int(fast.iterations) < 20 * np.sqrt(1e4)


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e8])
def test_the_searched_step_knows_no_unit(scale):
    fun = ill_conditioned(100.0)
    descent = solvers.GradientDescent(lambda x: scale * fun(x))
    found = solve(descent, jnp.zeros(40), tol=1e-7 * scale)
    assert bool(found.converged)
    assert int(found.iterations) < 400


def random_lasso(n=60, p=20):
    return RNG.standard_normal((p, n)), RNG.standard_normal(n)


def square(z, y):
    return 0.5 * jnp.sum((z - y) ** 2)


def test_blocks_find_what_the_whole_finds():
    A, y = random_lasso()
    block = solvers.BlockCoordinateDescent(square, prox_lasso)
    whole = solvers.ProximalGradient(lambda x, A, y: square(A.T @ x, y), prox_lasso)
    one = solve(block, jnp.zeros(20), 2.0, A, y, tol=1e-11)
    two = solve(whole, jnp.zeros(20), 2.0, A, y, tol=1e-11)
    assert bool(one.converged & two.converged)
    assert 0 < (one.value == 0).sum() < 20
    np.testing.assert_allclose(one.value, two.value, atol=1e-11)
    assert int(one.iterations) < int(two.iterations)


def test_blocks_with_hyperparameters_of_their_own():
    A, y = random_lasso()
    weights = jnp.linspace(0.5, 8.0, 20)
    block = solvers.BlockCoordinateDescent(square, prox_lasso, hyperparams_axes=0)
    T = proximal_gradient(lambda x, A, y: square(A.T @ x, y), prox_lasso)

    def total(weights):
        return solve(block, jnp.zeros(20), weights, A, y, tol=1e-11).value

    def same(weights):
        return solve(
            block, jnp.zeros(20), weights, A, y, tol=1e-11, fixed_point=T
        ).value  # fmt: skip

    x = total(weights)
    np.testing.assert_allclose(T(x, weights, A, y), x, atol=1e-11)
    np.testing.assert_allclose(jax.jacrev(total)(weights), jax.jacrev(same)(weights), atol=1e-9)


def test_blocks_of_rows_and_a_linear_term():
    A = RNG.standard_normal((7, 5))
    tilt, target = RNG.standard_normal((7, 3)), RNG.standard_normal((5, 3))
    block = solvers.BlockCoordinateDescent(
        lambda z, tilt: 0.5 * jnp.sum((z - target) ** 2) / 0.3, prox_elastic_net,
        smoothness=lambda tilt: 1 / 0.3, linear=lambda tilt: tilt,
    )  # fmt: skip
    found = solve(block, jnp.zeros((7, 3)), (0.4, 2.0), A, tilt, tol=1e-10)
    assert bool(found.converged)
    gradient = A @ (A.T @ found.value - target) / 0.3 + tilt + 0.8 * found.value
    moving = np.asarray(found.value) != 0
    assert 0 < moving.sum() < 21
    np.testing.assert_allclose(gradient[moving], -0.4 * jnp.sign(found.value)[moving], atol=1e-9)
    assert (abs(gradient[~moving]) <= 0.4 + 1e-9).all()


@pytest.mark.parametrize(
    ("x", "A"), [(jnp.zeros(3), jnp.zeros((4, 2))), (jnp.zeros(3), jnp.zeros(3))]
)
def test_blocks_that_do_not_fit_are_refused(x, A):
    block = solvers.BlockCoordinateDescent(square, prox_lasso)
    with pytest.raises(ValueError, match=r"x of shape \[m\] or \[m, k\] and A of shape \[m, q\]"):
        solve(block, x, 1.0, A, jnp.zeros(2))


def test_anderson_solves_a_linear_system_in_as_many_steps_as_it_has_unknowns():
    M = RNG.standard_normal((4, 4))
    M = 0.9 * M / np.linalg.norm(M, 2)
    b = RNG.standard_normal(4)
    anderson = solvers.AndersonAcceleration(lambda x: M @ x + b, memory=6)
    plain = solvers.FixedPointIteration(lambda x: M @ x + b)
    fast, slow = (solve(a, jnp.zeros(4), tol=1e-9) for a in (anderson, plain))
    assert int(fast.iterations) <= 7
    assert int(slow.iterations) > 3 * int(fast.iterations)
    np.testing.assert_allclose(fast.value, np.linalg.solve(np.eye(4) - M, b), atol=1e-8)


@pytest.mark.parametrize("memory", [1, 3])
def test_anderson_of_any_memory(memory):
    anderson = solvers.AndersonAcceleration(lambda x: jnp.cos(x), memory=memory)
    found = solve(anderson, jnp.array(1.0))
    assert float(found.value) == pytest.approx(0.7390851332151607, abs=1e-7)
    assert (memory == 1) == (int(found.iterations) > 20)


@pytest.mark.parametrize("end", [0.0, 2.0])
def test_bisection_finds_a_root_at_an_end(end):
    found = solve(solvers.Bisection(lambda x: x - end, 0.0, 2.0), 0.0)
    assert bool(found.converged)
    assert float(found.value) == pytest.approx(end, abs=1e-7)


def test_bisection_of_rising_and_falling_functions_at_once():
    sign = jnp.array([1.0, -1.0])
    bisection = solvers.Bisection(lambda x, t: sign * (x**3 - t), 0.0, jnp.array([3.0, 4.0]))
    found = solve(bisection, jnp.zeros(2), jnp.array([8.0, 27.0]))
    np.testing.assert_allclose(found.value, [2.0, 3.0], atol=1e-8)


def test_mirror_descent_brings_back_what_underflowed():
    # 1e4 drives the second coordinate to an exact zero before the slope of f turns.
    def fun(x, c):
        return 0.5 * jnp.sum(c * (x - jnp.array([0.2, 0.8])) ** 2)

    descent = solvers.MirrorDescent(fun, step=0.5)
    start = jnp.array([1.0, 0.0])
    found = solve(descent, start, None, jnp.ones(2), tol=1e-10)
    assert bool(found.converged)
    np.testing.assert_allclose(found.value, [0.2, 0.8], atol=1e-9)


def test_mirror_descent_needs_both_halves_of_a_geometry():
    with pytest.raises(ValueError, match="belong together, found only one"):
        solvers.MirrorDescent(rosenbrock, mirror_map=jnp.log)


@pytest.mark.parametrize("kind", [solvers.LBFGS, solvers.AndersonAcceleration])
def test_no_memory_is_refused(kind):
    with pytest.raises(ValueError, match="memory must be at least 1"):
        kind(rosenbrock, memory=0)


@pytest.mark.parametrize("after", [0, -3])
def test_a_schedule_needs_an_iteration(after):
    with pytest.raises(ValueError, match="after must be at least 1"):
        solvers.inverse_power(1.0, after)


def test_another_problem_of_optimistix_is_refused():
    with pytest.raises(ValueError, match="minimise, root_find, fixed_point, found 'least_squares'"):
        solvers.Optimistix(rosenbrock, None, "least_squares")


@pytest.mark.parametrize("first", [1e-8, 1.0, 1e6])
def test_the_line_search_keeps_wolfe_s_conditions(first):
    slope = jax.value_and_grad(lambda x: jnp.sum(jnp.log(jnp.cosh(3 * (x - 1)))))
    x, direction = jnp.zeros(2), jnp.array([1.0, 0.5])
    value, gradient = slope(x)
    step = wolfe_step(slope, x, direction, jnp.array(first))
    after, rise = slope(x + step * direction)
    assert after <= value + DECREASE * step * (gradient @ direction)
    assert rise @ direction >= CURVATURE * (gradient @ direction)


def test_no_step_uphill():
    slope = jax.value_and_grad(lambda x: jnp.sum(x**2))
    x = jnp.ones(2)
    assert float(wolfe_step(slope, x, x, jnp.array(1.0))) == 0
