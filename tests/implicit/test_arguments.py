"""What may be handed through a decorated solver, and what JAXopt could not take."""

import functools
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.optimize

from simsens.implicit import custom_fixed_point, custom_root, implicit_fixed_point, on_host
from tests import finite_difference

EPS = np.finfo(float).eps
MODES = pytest.mark.parametrize("mode", [jax.jacfwd, jax.jacrev])


@MODES
def test_texts_keys_flags_none_and_whole_numbers(mode):
    def optimality(x, theta, kind, key, power, extra, table, on):
        assert (kind, extra, on) == ("power", None, True)
        noise = jax.random.normal(key)
        return x**power - theta * table["a"] - noise

    def solver(init, theta, kind, key, power, extra, table, on):
        return (theta * table["a"] + jax.random.normal(key)) ** (1 / power)

    root = custom_root(optimality)(solver)
    for key in (jax.random.key(3), jax.random.PRNGKey(3)):
        table = {"a": jnp.array(2.0), "n": np.arange(3), "label": "t"}

        def value(theta, key=key, table=table):
            return root(None, theta, "power", key, 3, None, table, True)

        x = float(value(8.0))
        assert float(mode(value)(8.0)) == pytest.approx(2 / (3 * x**2), rel=1e-14)
        assert float(jax.jit(mode(value))(8.0)) == pytest.approx(2 / (3 * x**2), rel=1e-14)


@MODES
def test_names_in_any_order_and_catch_alls(mode):
    def optimality(x, a, *, b=1.0, **more):
        return x - a * b - more["c"]["d"]

    def solver(init, a, **everything):
        return a * everything.get("b", 1.0) + everything["c"]["d"]

    root = custom_root(optimality)(solver)
    slope = mode(lambda a, b, d: root(None, c={"d": d}, b=b, a=a), argnums=(0, 1, 2))
    assert tuple(map(float, slope(2.0, 5.0, 7.0))) == (5.0, 2.0, 1.0)
    assert float(mode(lambda d: root(0.0, 2.0, c={"d": d}))(1.0)) == 1.0


def test_defaults_of_the_solver_reach_the_optimality_function():
    root = custom_root(lambda x, a, scale: x - scale * a)(lambda init, a, scale=3.0: scale * a)
    assert float(jax.grad(lambda a: root(None, a))(2.0)) == 3.0
    assert float(jax.grad(lambda s: root(None, 2.0, scale=s))(3.0)) == 2.0


def test_names_go_by_name_and_positions_by_position():
    def optimality(x, theta, scale):
        return scale * x - theta

    root = custom_root(optimality)(lambda init, scale, theta: theta / scale)
    slope = jax.grad(lambda t: root(None, scale=4.0, theta=t))
    assert float(slope(2.0)) == 0.25
    # By position the orders must agree; the point is then no root, and told.
    assert np.isnan(jax.grad(lambda t: root(None, 4.0, t))(2.0))
    other = custom_root(optimality)(lambda init, a, b=4.0: a / b)  # names F does not know
    assert float(jax.grad(lambda t: other(init=None, a=t))(2.0)) == 0.25


def test_what_the_solver_returns_beside_x_comes_back_as_it_was():
    from typing import NamedTuple

    class Step(NamedTuple):
        params: object
        state: object

    root = custom_root(lambda x, t: x - t, has_aux=True)
    step = root(lambda init, t: Step(t, "done"))(None, 2.0)
    assert (float(step.params), step.state) == (2.0, "done")
    assert root(lambda init, t: (t, 1, "b"))(None, 2.0)[1:] == (1, "b")


def test_a_reference_signature_resolves_what_is_ambiguous():
    def optimality(*args, **kwargs):
        x, a, b = args
        return x - a / b

    def solver(init, **named):
        return named["a"] / named["b"]

    def reference(x, a, b):
        """Only its signature is used."""

    root = custom_root(optimality, reference_signature=reference)(solver)
    slopes = jax.grad(lambda a, b: root(None, b=b, a=a), argnums=(0, 1))(6.0, 2.0)
    assert tuple(map(float, slopes)) == (0.5, -1.5)


def test_arguments_that_do_not_fit_are_told():
    root = custom_root(lambda x, theta: x - theta)(lambda init, theta, maxiter=3: theta)
    with pytest.raises(TypeError, match=r"does not take the arguments of the solver.*reference"):
        jax.grad(lambda t: root(None, t))(1.0)
    with pytest.raises(TypeError, match="missing a required argument"):
        root()
    nameless = custom_root(lambda x: x)(lambda **named: 1.0)
    with pytest.raises(TypeError, match="takes the start first"):
        nameless(a=1.0)


def test_another_number_of_equations_than_unknowns_is_told():
    root = custom_root(lambda x, t: jnp.concatenate([x - t, x - t]))(lambda init, t: t)
    with pytest.raises(ValueError, match=r"as many equations as unknowns; x holds 2 .* returned 4"):
        root(None, jnp.ones(2))
    both = custom_root(lambda x, t: (x - t, 3.0))(lambda init, t: t)
    with pytest.raises(ValueError, match="say so"):
        both(None, jnp.ones(2))
    with pytest.raises(ValueError, match="nothing to differentiate"):
        custom_root(lambda x: x)(lambda init: np.array([1, 2]))(None)
    with pytest.raises(ValueError, match="must return a tree like x"):
        custom_fixed_point(lambda x, t: (x,))(lambda init, t: t)(None, 1.0)


@MODES
def test_two_kinds_of_aux(mode):
    root = custom_root(lambda x, t: (x**2 - t, {"seen": 1}), has_aux=True, optimality_has_aux=True)(
        lambda init, t: (jnp.sqrt(t), {"steps": np.int32(4), "note": "fine", "t": t})
    )
    _, aux = root(None, 4.0)
    assert (int(aux["steps"]), aux["note"]) == (4, "fine")

    def value(t):
        x, aux = root(None, t)
        return x, (aux["steps"], aux["t"])

    slope, (steps, _) = mode(value, has_aux=True)(4.0)
    assert (float(slope), int(steps)) == (0.25, 4)
    assert float(mode(lambda t: 3.0 * root(None, t)[1]["t"])(4.0)) == 0.0
    only = custom_root(lambda x, t: (x**2 - t, 0), optimality_has_aux=True)(
        lambda init, t: jnp.sqrt(t)
    )
    assert float(mode(lambda t: only(None, t))(4.0)) == 0.25
    point = custom_fixed_point(lambda x, t: (0.5 * x + t, "aux"), optimality_has_aux=True)(
        lambda init, t: 2 * t
    )
    assert float(mode(lambda t: point(None, t))(3.0)) == 2.0


@MODES
def test_counters_inside_the_solution(mode):
    # A whole number among the unknowns is carried along and has no derivative.
    def solver(init, t):
        return {"x": jnp.sqrt(t), "steps": jnp.asarray(5)}

    def optimality(x, t):
        return {"x": x["x"] ** 2 - t, "steps": x["steps"]}

    root = custom_root(optimality)(solver)
    assert int(root(None, 4.0)["steps"]) == 5
    assert float(mode(lambda t: root(None, t)["x"])(4.0)) == 0.25


# --- closures, nesting, higher orders -------------------------------------------------------------


def test_closures_over_traced_values():
    def outer(a):
        root = custom_root(lambda x, t: a * x - t)(
            lambda init, t: jax.lax.stop_gradient(t) / jax.lax.stop_gradient(a)
        )
        return root(None, a**3)  # x = a^2

    # The closed-over a has its derivative as well: d(a^3 / a)/da = 2 a.
    assert float(jax.grad(outer)(3.0)) == pytest.approx(6.0, rel=1e-14)
    assert float(jax.hessian(outer)(3.0)) == pytest.approx(2.0, rel=1e-14)
    assert float(jax.jit(jax.jacfwd(outer))(3.0)) == pytest.approx(6.0, rel=1e-14)
    np.testing.assert_allclose(jax.vmap(jax.grad(outer))(jnp.arange(1.0, 4.0)), [2.0, 4.0, 6.0])


def test_an_optimality_function_that_holds_a_root():
    inner = custom_root(lambda y, x: y**3 + y - x)(
        lambda init, x: _newton(lambda y: y**3 + y - x, lambda y: 3 * y**2 + 1)
    )

    def optimality(x, theta):
        return x + inner(None, x) - theta

    outer = custom_root(optimality)(
        on_host(lambda init, t: _bisect(lambda x: x + _cubic(x) - t), like=0.0)
    )
    for theta in (0.7, 3.0):
        x = _bisect(lambda x, t=theta: x + _cubic(x) - t)
        y = _cubic(x)
        dy = 1 / (3 * y**2 + 1)
        first = 1 / (1 + dy)
        # (x + y(x)) = t twice differentiated: x'' (1 + y') + y'' x'^2 = 0, y'' = -6 y y'^3.
        second = 6 * y * dy**3 * first**3
        value = lambda t: outer(None, t)  # noqa: E731
        for mode in (jax.jacfwd, jax.jacrev):
            assert float(mode(value)(theta)) == pytest.approx(first, rel=1e-12)
        assert float(jax.hessian(value)(theta)) == pytest.approx(second, rel=1e-10)
        assert float(jax.jit(jax.grad(value))(theta)) == pytest.approx(first, rel=1e-12)


def _newton(function, slope):
    y = jnp.zeros(())
    return jax.lax.fori_loop(0, 50, lambda _, y: y - function(y) / slope(y), y)


def _bisect(function):
    return np.asarray(scipy.optimize.brentq(function, -20, 20, xtol=1e-15, rtol=4 * EPS))


def _cubic(x):
    return float(scipy.optimize.brentq(lambda y: y**3 + y - x, -20, 20, xtol=1e-15, rtol=4 * EPS))


@pytest.mark.parametrize("order", [1, 2, 3])
def test_orders_and_modes_mix(order):
    # x = theta^(1/3) in every order of forward and reverse.
    root = custom_root(lambda x, t: x**3 - t)(lambda init, t: jnp.cbrt(jax.lax.stop_gradient(t)))
    exact = {1: 1 / 3 * 8 ** (-2 / 3), 2: -2 / 9 * 8 ** (-5 / 3), 3: 10 / 27 * 8 ** (-8 / 3)}
    for bits in range(2**order):
        function = lambda t: root(None, t)  # noqa: E731
        for k in range(order):
            function = (jax.jacfwd, jax.jacrev)[bits >> k & 1](function)
        assert float(function(8.0)) == pytest.approx(exact[order], rel=1e-13)


# --- complex numbers -----------------------------------------------------------------------------


@pytest.mark.parametrize("holomorphic", [True, False])
def test_complex_roots(holomorphic):
    rng = np.random.default_rng(0)
    m = rng.standard_normal((3, 3)) + 1j * rng.standard_normal((3, 3)) + 4 * np.eye(3)
    c = 0.0 if holomorphic else 0.4
    b = jnp.asarray(rng.standard_normal(3) + 1j * rng.standard_normal(3))
    real = np.block([[m.real + c * np.eye(3), -m.imag], [m.imag, m.real - c * np.eye(3)]])

    def solution(b):  # (m z + c conj(z) = b) as a real system
        v = jnp.linalg.solve(real, jnp.concatenate([b.real, b.imag]))
        return v[:3] + 1j * v[3:]

    root = custom_root(lambda z, b: m @ z + c * jnp.conj(z) - b)(
        lambda init, b: solution(jax.lax.stop_gradient(b))
    )
    loss = lambda f: lambda b: jnp.sum(jnp.abs(f(b)) ** 2 * jnp.arange(1.0, 4.0))  # noqa: E731
    found, right = jax.grad(loss(lambda b: root(None, b)))(b), jax.grad(loss(solution))(b)
    np.testing.assert_allclose(found, right, rtol=0, atol=1e-14)
    tangent = b * (0.3 - 1j)
    pushed = jax.jvp(lambda b: root(None, b), (b,), (tangent,))[1]
    np.testing.assert_allclose(pushed, solution(tangent), rtol=0, atol=1e-14)


# --- solvers that JAX cannot trace ---------------------------------------------------------------


def rosenbrock_gradient(x, a):
    return jnp.array([-2 * (a - x[0]) - 40 * x[0] * (x[1] - x[0] ** 2), 20 * (x[1] - x[0] ** 2)])


def by_scipy(init, a):
    found = scipy.optimize.root(lambda x: np.asarray(rosenbrock_gradient(x, a)), init, tol=1e-14)
    return found.x


@MODES
def test_scipy_through_the_same_decorator(mode):
    # The minimum of (a - x)^2 + 10 (y - x^2)^2 is (a, a^2).
    start = np.array([1.0, 1.0])
    eager = custom_root(rosenbrock_gradient, symmetric=True)(by_scipy)
    slope = mode(lambda a: eager(start, a))(1.3)
    np.testing.assert_allclose(slope, [1.0, 2.6], rtol=1e-9)
    assert float(jax.hessian(lambda a: eager(start, a)[1])(1.3)) == pytest.approx(2.0, rel=1e-8)
    anywhere = custom_root(rosenbrock_gradient, symmetric=True)(on_host(by_scipy))
    np.testing.assert_allclose(jax.jit(mode(lambda a: anywhere(start, a)))(1.3), [1.0, 2.6], 1e-9)
    many = jax.vmap(mode(lambda a: anywhere(start, a)))(jnp.array([1.1, 1.2]))
    np.testing.assert_allclose(many, [[1.0, 2.2], [1.0, 2.4]], rtol=1e-9)


def test_a_subprocess_is_a_solver():
    def solver(init, theta):
        code = f"print({float(theta)!r} ** (1/3))"
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
        return float(done.stdout)

    root = custom_root(lambda x, t: x**3 - t)(solver)
    assert float(jax.grad(root, argnums=1)(None, 8.0)) == pytest.approx(1 / 12, rel=1e-14)


def test_a_host_solver_in_a_trace_needs_a_shape():
    root = custom_root(lambda x, t: x - t)(on_host(lambda init, t: np.asarray(t)))
    assert float(jax.jit(root)(jnp.zeros(()), 2.0)) == 2.0
    with pytest.raises(TypeError, match="must say what it returns"):
        jax.jit(lambda t: root(None, t))(2.0)
    shaped = on_host(lambda init, t, scale: np.asarray(scale * t), like=np.zeros(2))
    assert jax.jit(lambda t: shaped(None, t, scale=2.0))(jnp.ones(2)).tolist() == [2.0, 2.0]


def test_a_fixed_point_by_hand():
    point = lambda t: implicit_fixed_point(jnp.cos, 0.7390851332151607) * t  # noqa: E731
    assert float(jax.grad(point)(2.0)) == pytest.approx(0.7390851332151607, rel=1e-15)
    moved = lambda t: implicit_fixed_point(  # noqa: E731
        lambda x, t: jnp.cos(t * x), _bisect(lambda x: x - np.cos(float(t) * x)), t
    )
    expected = finite_difference.derivative(lambda t: _bisect(lambda x: x - np.cos(t * x)), 0.8)
    solver = custom_fixed_point(lambda x, t: jnp.cos(t * x))(
        lambda init, t: _bisect(lambda x: x - np.cos(float(t) * x))
    )
    assert float(jax.grad(solver, argnums=1)(None, 0.8)) == pytest.approx(
        float(expected), abs=1e-11
    )
    assert callable(moved)


def test_partials_and_methods_are_functions():
    class Model:
        scale = 2.0

        def optimality(self, x, t):
            return self.scale * x - t

        def solve(self, init, t):
            return t / self.scale

    model = Model()
    root = custom_root(model.optimality)(model.solve)
    assert float(jax.grad(root, argnums=1)(None, 3.0)) == 0.5
    model.scale = 4.0  # what a method reads may change between two calls
    assert float(jax.grad(root, argnums=1)(None, 3.0)) == 0.25
    partial = custom_root(functools.partial(lambda a, x, t: a * x - t, 5.0))(lambda i, t: t / 5)
    assert float(jax.grad(partial, argnums=1)(None, 3.0)) == pytest.approx(0.2, rel=1e-15)
