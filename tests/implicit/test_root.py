"""Derivatives of roots against closed forms; the solvers are opaque to autodiff."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from simsens.implicit import custom_root, implicit_root
from simsens.implicit.linear_solve import LinearSolution, solve_cg, solve_lu
from tests import finite_difference
from tests.opaque import bisection, called_back, concrete

EPS = np.finfo(float).eps


# --- a scalar with all its derivatives: x^3 + x = theta ------------------------------------------
# x' = 1 / (3 x^2 + 1),  x'' = -6 x x'^3,  x''' = x'^4 (-6 + 108 x^2 x')   (chain rule by hand:
# x''' = -6 x'^4 - 18 x x'^2 x'' = -6 x'^4 + 108 x^2 x'^5).


def cubic(x, theta):
    return x**3 + x - theta


def solve_cubic(init, theta):
    return bisection(lambda x: x**3 + x - theta, -10.0, 10.0)


cubic_root = custom_root(cubic)(concrete(solve_cubic))
traced_cubic_root = custom_root(cubic)(called_back(solve_cubic, ()))
THETAS = [0.0, 0.7, 2.0, -5.0]


def cubic_derivatives(theta):
    x = float(solve_cubic(None, theta))
    first = 1 / (3 * x**2 + 1)
    return x, first, -6 * x * first**3, -6 * first**4 + 108 * x**2 * first**5


@pytest.mark.parametrize("theta", THETAS)
def test_value_and_three_derivatives(theta):
    root = lambda t: cubic_root(None, t)  # noqa: E731
    x, first, second, third = cubic_derivatives(theta)
    assert float(root(theta)) == x
    # Each order is a handful of products and quotients of numbers of order one, the third with a
    # cancellation of two terms below 6: a hundred roundings at most.
    for order, expected in enumerate([first, second, third]):
        function = root
        for _ in range(order + 1):
            function = jax.grad(function)
        assert float(function(theta)) == pytest.approx(expected, rel=0, abs=100 * EPS)


@pytest.mark.parametrize("outer", [jax.jacfwd, jax.jacrev])
@pytest.mark.parametrize("inner", [jax.jacfwd, jax.jacrev])
def test_modes_of_any_order_agree(outer, inner):
    second = outer(inner(lambda t: cubic_root(None, t)))(0.7)
    assert float(second) == pytest.approx(cubic_derivatives(0.7)[2], rel=0, abs=100 * EPS)


def test_jvp_and_vjp():
    x, first, *_ = cubic_derivatives(2.0)
    root = lambda t: cubic_root(None, t)  # noqa: E731
    value, tangent = jax.jvp(root, (2.0,), (3.0,))
    assert (float(value), float(tangent)) == pytest.approx((x, 3 * first), rel=4 * EPS)
    value, pull = jax.vjp(root, 2.0)
    assert (float(value), float(pull(3.0)[0])) == pytest.approx((x, 3 * first), rel=4 * EPS)


def test_an_opaque_solver_is_really_opaque():
    with pytest.raises(AssertionError, match="handed traced values"):
        jax.grad(lambda t: concrete(solve_cubic)(None, t))(2.0)
    with pytest.raises(ValueError, match="do not support JVP"):
        jax.grad(lambda t: called_back(solve_cubic, ())(0.0, t))(2.0)


@pytest.mark.parametrize("mode", [jax.grad, jax.jacfwd, jax.jacrev])
def test_under_jit_and_vmap(mode):
    root = lambda t: traced_cubic_root(jnp.zeros(()), t)  # noqa: E731
    thetas = jnp.array(THETAS)
    expected = [cubic_derivatives(t)[1] for t in THETAS]
    compiled = jax.jit(mode(root))
    one_by_one = [float(compiled(t)) for t in THETAS]
    np.testing.assert_allclose(one_by_one, expected, rtol=4 * EPS)
    np.testing.assert_allclose(jax.jit(jax.vmap(mode(root)))(thetas), expected, rtol=4 * EPS)
    whole = jax.jit(jax.jacrev(jax.vmap(root)))(thetas)
    np.testing.assert_allclose(whole, np.diag(expected), rtol=4 * EPS)


def test_two_devices_share_a_batch():
    assert jax.device_count() == 2
    mesh = jax.make_mesh((2,), ("batch",), axis_types=(jax.sharding.AxisType.Auto,))
    spread = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec("batch"))
    thetas = jax.device_put(jnp.array(THETAS), spread)
    slope = jax.jit(jax.vmap(jax.grad(lambda t: implicit_root(cubic, newton(t), t))))

    result = slope(thetas)
    assert len(result.sharding.device_set) == 2
    np.testing.assert_allclose(result, [cubic_derivatives(t)[1] for t in THETAS], rtol=8 * EPS)


def newton(theta):
    """A root that JAX itself finds, for tests that need no opacity."""
    x = jax.lax.stop_gradient(theta)
    return jax.lax.fori_loop(0, 60, lambda _, y: y - (y**3 + y - x) / (3 * y**2 + 1), x)


# --- a fixed point written as a root -------------------------------------------------------------


@pytest.mark.parametrize("mode", [jax.grad, jax.jacfwd])
def test_a_contraction_has_slope_two(mode):
    # x = 0.5 x + theta has the solution 2 theta; unrolling n steps would give 2 - 2^(1-n).
    root = custom_root(lambda x, theta: 0.5 * x + theta - x)(concrete(lambda _, t: 2 * t))
    assert float(mode(lambda t: root(None, t))(3.0)) == 2.0


def test_the_start_has_no_derivative():
    root = custom_root(cubic)(lambda init, theta: newton(theta) + 0 * init)
    assert float(jax.grad(root, argnums=0)(1.0, 2.0)) == 0.0
    assert float(jax.grad(root, argnums=1)(1.0, 2.0)) != 0.0


# --- ridge regression, in closed form ------------------------------------------------------------


def ridge_problem():
    rng = np.random.default_rng(0)
    # Orthonormal factors and singular values 1..2: the normal matrix has condition 4 at most.
    u, _ = np.linalg.qr(rng.standard_normal((12, 5)))
    v, _ = np.linalg.qr(rng.standard_normal((5, 5)))
    return u * np.linspace(1, 2, 5) @ v, rng.standard_normal(12)


FEATURES, TARGET = ridge_problem()


def ridge_gradient(w, theta):
    return FEATURES.T @ (FEATURES @ w - TARGET) + theta * w


def solve_ridge(init, theta):
    matrix = FEATURES.T @ FEATURES + theta * np.eye(5)
    return np.linalg.solve(matrix, FEATURES.T @ TARGET)


@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize("mode", [jax.jacfwd, jax.jacrev])
def test_ridge(symmetric, mode):
    root = custom_root(ridge_gradient, symmetric=symmetric)(concrete(solve_ridge))
    # d w / d theta = -(X'X + theta I)^-1 w. Condition 4, five unknowns: 100 roundings suffice.
    matrix = FEATURES.T @ FEATURES + 0.3 * np.eye(5)
    w = solve_ridge(None, 0.3)
    slope = mode(lambda t: root(None, t))(0.3)
    np.testing.assert_allclose(slope, -np.linalg.solve(matrix, w), rtol=0, atol=100 * EPS)
    assert np.abs(slope).max() > 0.01


def test_ridge_hessian_of_a_loss():
    root = custom_root(ridge_gradient, symmetric=True)(concrete(solve_ridge))
    matrix = FEATURES.T @ FEATURES + 0.3 * np.eye(5)
    w = solve_ridge(None, 0.3)
    first = -np.linalg.solve(matrix, w)
    second = -2 * np.linalg.solve(matrix, first)
    # (w.w)'' = 2 w'.w' + 2 w.w''
    expected = 2 * first @ first + 2 * w @ second
    found = jax.hessian(lambda t: jnp.sum(root(None, t) ** 2))(0.3)
    assert float(found) == pytest.approx(expected, rel=0, abs=1000 * EPS)


def test_many_parameters_and_a_closure_over_one():
    # F = X'(X w - y) + theta w with y traced by closure; dw/dy = (X'X + theta I)^-1 X'.
    def solution(target, theta):
        def gradient(w, theta):
            return FEATURES.T @ (FEATURES @ w - target) + theta * w

        w = np.linalg.solve(FEATURES.T @ FEATURES + 0.3 * np.eye(5), FEATURES.T @ TARGET)
        return implicit_root(gradient, w, theta, symmetric=True)

    expected = np.linalg.solve(FEATURES.T @ FEATURES + 0.3 * np.eye(5), FEATURES.T)
    for mode in (jax.jacfwd, jax.jacrev):
        found = mode(solution)(jnp.asarray(TARGET), 0.3)
        np.testing.assert_allclose(found, expected, rtol=0, atol=100 * EPS)


# --- shapes of every kind ------------------------------------------------------------------------


def test_trees_in_and_out():
    # x = {"a": p^2, "b": [p q_0, q_1^3]}, each entry its own equation.
    def residual(x, theta):
        p, q = theta["p"], theta["q"]
        return {"a": x["a"] - p**2, "b": [x["b"][0] - p * q[0], x["b"][1] - q[1] ** 3]}

    def solver(init, theta):
        p, q = theta["p"], theta["q"]
        return {"a": p**2, "b": [p * q[0], q[1] ** 3]}

    theta = {"p": jnp.array([2.0, 3.0]), "q": (jnp.array(5.0), jnp.array(0.5))}
    root = custom_root(residual)(concrete(solver))
    value = root(None, theta)
    assert jax.tree.structure(value) == jax.tree.structure(solver(None, theta))
    for mode in (jax.jacfwd, jax.jacrev):
        slope = mode(lambda t: root(None, t))(theta)
        np.testing.assert_allclose(slope["a"]["p"], np.diag([4.0, 6.0]), rtol=4 * EPS)
        np.testing.assert_allclose(slope["b"][0]["p"], 5 * np.eye(2), rtol=4 * EPS)
        np.testing.assert_allclose(slope["b"][0]["q"][0], [2.0, 3.0], rtol=4 * EPS)
        np.testing.assert_allclose(slope["b"][1]["q"][1], 0.75, rtol=4 * EPS)
        np.testing.assert_array_equal(slope["a"]["q"][0], [0.0, 0.0])


def test_several_arguments():
    root = custom_root(lambda x, a, b: a * x - b)(concrete(lambda _, a, b: b / a))
    slopes = jax.grad(root, argnums=(1, 2))(None, 4.0, 3.0)
    assert tuple(map(float, slopes)) == pytest.approx((-3 / 16, 1 / 4), rel=4 * EPS)


def test_aux_comes_along_without_derivative():
    def solver(init, theta):
        return np.cbrt(theta), {"iterations": 7, "label": np.int32(3), "theta": theta}

    root = custom_root(lambda x, t: x**3 - t, has_aux=True)(concrete(solver))
    (slope, aux) = jax.grad(root, argnums=1, has_aux=True)(None, 8.0)
    assert float(slope) == pytest.approx(1 / 12, rel=8 * EPS)
    assert aux["iterations"] == 7
    assert aux["label"] == 3
    through_aux = jax.grad(lambda t: root(None, t)[1]["theta"] * 1.0)(8.0)
    assert float(through_aux) == 0.0
    value, aux = root(None, 8.0)
    assert (float(value), aux["iterations"]) == (2.0, 7)


def test_aux_of_integers_under_jit():
    root = custom_root(lambda x, t: x**3 - t, has_aux=True)(
        lambda init, t: (jnp.cbrt(t), jnp.asarray(7, jnp.int32))
    )
    slope, aux = jax.jit(jax.grad(root, argnums=1, has_aux=True))(jnp.zeros(()), 8.0)
    assert float(slope) == pytest.approx(1 / 12, rel=8 * EPS)
    assert (int(aux), aux.dtype) == (7, jnp.int32)


def test_a_plain_number_may_be_the_root():
    root = custom_root(lambda x, t: x - t)(lambda init, t: 3.0)
    assert float(root(None, 3.0)) == 3.0


def test_the_decorated_keeps_its_name():
    assert custom_root(cubic)(solve_cubic).__name__ == "solve_cubic"


def test_finite_differences_agree_with_a_root_without_closed_form():
    # x = cos(theta x): contraction for theta < 1. Fifth derivatives of order one: see
    # tests/finite_difference for 1e-12.
    solver = concrete(lambda _, t: bisection(lambda x: x - np.cos(t * x), 0.0, 2.0))
    root = custom_root(lambda x, t: x - jnp.cos(t * x))(solver)
    expected = finite_difference.derivative(lambda t: solver(None, t), 0.8)
    assert float(jax.grad(root, argnums=1)(None, 0.8)) == pytest.approx(float(expected), abs=1e-11)


# --- failures are told ---------------------------------------------------------------------------


@pytest.mark.parametrize("mode", [jax.jacfwd, jax.jacrev])
def test_a_failing_linear_solve_gives_nan_not_zero(mode):
    def gives_up(product, b):
        solution = solve_lu(product, b)
        return LinearSolution(0 * solution.value, solution.residual, solution.iterations, False)

    root = custom_root(ridge_gradient, solve=gives_up, symmetric=True)(concrete(solve_ridge))
    np.testing.assert_array_equal(root(None, 0.3), solve_ridge(None, 0.3))  # the value stands
    assert np.isnan(mode(lambda t: root(None, t))(0.3)).all()


@pytest.mark.parametrize("mode", [jax.jacfwd, jax.jacrev])
def test_a_singular_system_gives_nan(mode):
    # x^3 = theta at theta = 0: the slope is infinite.
    root = custom_root(lambda x, t: x**3 - t)(lambda init, t: jnp.zeros(()))
    assert not np.isfinite(mode(lambda t: root(None, t))(0.0))


def test_cg_that_runs_out_of_budget_gives_nan():
    def hurried(product, b):
        return solve_cg(product, b, maxiter=2)

    root = custom_root(ridge_gradient, solve=hurried, symmetric=True)(concrete(solve_ridge))
    assert np.isnan(jax.jacfwd(lambda t: root(None, t))(0.3)).all()

    def patient(product, b):
        return solve_cg(product, b)

    root = custom_root(ridge_gradient, solve=patient, symmetric=True)(concrete(solve_ridge))
    matrix = FEATURES.T @ FEATURES + 0.3 * np.eye(5)
    expected = -np.linalg.solve(matrix, solve_ridge(None, 0.3))
    # CG is asked for 1e-12 of the right-hand side w, and 10 times that counts as converged; the
    # smallest eigenvalue of the matrix exceeds one.
    error = np.linalg.norm(jax.jacfwd(lambda t: root(None, t))(0.3) - expected)
    assert error <= 1e-11 * np.linalg.norm(solve_ridge(None, 0.3))
