"""A root inside every JAX transformation, in every order of modes; loops, branches, devices."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from jax.sharding import AxisType, PartitionSpec

from simsens.implicit import custom_root

# x^3 + x = t, so that x' = 1 / (3 x^2 + 1) and x'' = -6 x x'^3.
cubic = custom_root(lambda x, t: x**3 + x - t)(
    lambda init, t: lax.fori_loop(0, 60, lambda _, y: y - (y**3 + y - t) / (3 * y**2 + 1), 0 * t)
)


def root(t):
    return cubic(None, t)


T = 0.7
X = float(root(T))
FIRST = 1 / (3 * X**2 + 1)
SECOND = -6 * X * FIRST**3

FORMS = {
    "jit": jax.jit(root),
    "cond": lambda t: lax.cond(t > 0, root, lambda t: -root(-t), t),
    "switch": lambda t: lax.switch(1, [lambda t: t, root], t),
    "checkpoint": jax.checkpoint(root),
    "jit of checkpoint": jax.jit(jax.checkpoint(root)),
    "vmap": lambda t: jax.vmap(root)(t * jnp.ones(2))[1],
    "map": lambda t: lax.map(root, t * jnp.ones(2))[1],
    "scan": lambda t: lax.scan(lambda c, _: (root(c), None), t, None, length=1)[0],
    "scan of jit": lambda t: lax.scan(lambda c, _: (jax.jit(root)(c), None), t, None, length=1)[0],
    "fori_loop": lambda t: lax.fori_loop(0, 1, lambda _, c: root(c), t),
    "vmap of scan": lambda t: jax.vmap(
        lambda t: lax.scan(lambda c, _: (root(c), None), t, None, length=1)[0]
    )(t * jnp.ones(2))[0],
}


@pytest.mark.parametrize("form", FORMS)
def test_second_derivatives_in_every_order_of_modes(form):
    # lax.custom_root gives 0 for a derivative of a gradient through scan, map and fori_loop.
    function = FORMS[form]
    assert float(jax.grad(function)(T)) == pytest.approx(FIRST, rel=1e-14)
    for outer in (jax.jacfwd, jax.jacrev):
        for inner in (jax.jacfwd, jax.jacrev):
            assert float(outer(inner(function))(T)) == pytest.approx(SECOND, rel=1e-13)


def test_several_steps_of_a_scan():
    def chain(loop):
        def f(t):
            if loop:
                return lax.scan(lambda c, _: (root(c) + t, None), t, None, length=3)[0]
            c = t
            for _ in range(3):
                c = root(c) + t
            return c

        return f

    for derivative in (jax.grad, jax.jacfwd, jax.hessian):
        found, right = derivative(chain(True))(T), derivative(chain(False))(T)
        assert float(found) == pytest.approx(float(right), rel=1e-13)


def test_a_tree_of_batches():
    # Batched theta, unbatched theta, a batch of batches, and a batch taken after a derivative.
    pair = custom_root(lambda x, a, b: x**3 + a * x - b)(
        lambda init, a, b: lax.fori_loop(
            0, 80, lambda _, y: y - (y**3 + a * y - b) / (3 * y**2 + a), 0 * (a + b)
        )
    )
    f = lambda a, b: pair(None, a, b)  # noqa: E731
    a, b = jnp.array([1.0, 2.0, 3.0]), jnp.array([0.5, -1.0])
    slope = jax.grad(f, argnums=(0, 1))
    grid = jax.vmap(jax.vmap(slope, (None, 0)), (0, None))(a, b)
    for i in range(3):
        for j in range(2):
            alone = slope(a[i], b[j])
            np.testing.assert_allclose([grid[0][i, j], grid[1][i, j]], alone, rtol=1e-12)
    whole = jax.jacrev(lambda a: jax.vmap(f, (0, None))(a, 0.5))(a)
    np.testing.assert_allclose(whole, np.diag([slope(k, 0.5)[0] for k in a]), atol=1e-14)
    forward = jax.jacfwd(lambda b: jax.vmap(f, (None, 0))(1.5, b))(b)
    np.testing.assert_allclose(forward, np.diag([slope(1.5, k)[1] for k in b]), atol=1e-14)


def test_collectives_over_a_named_axis():
    # x_i (sum over the axis of w) = t_i: every member's equation reads the others'.
    shared = custom_root(lambda x, w, t: x * lax.psum(w, "i") - t)(
        lambda init, w, t: t / lax.psum(w, "i")
    )

    def total(w, t):
        return jnp.sum(jax.vmap(lambda w, t: shared(None, w, t), axis_name="i")(w, t) ** 2)

    def plain(w, t):
        return jnp.sum((t / jnp.sum(w)) ** 2)

    w, t = jnp.array([1.0, 3.0]), jnp.array([2.0, -1.0])
    for mode in (jax.jacrev, jax.jacfwd):
        for found, right in zip(mode(total, (0, 1))(w, t), mode(plain, (0, 1))(w, t)):
            np.testing.assert_allclose(found, right, rtol=1e-13)


def test_shard_map_over_two_devices():
    mesh = jax.make_mesh((2,), ("b",), axis_types=(AxisType.Auto,))
    split, whole = PartitionSpec("b"), PartitionSpec()
    t = jnp.array([0.3, 0.7, 1.1, 2.0])
    each = jax.shard_map(
        jax.vmap(root), mesh=mesh, in_specs=split, out_specs=split, check_vma=False
    )
    right = jax.vmap(jax.grad(root))(t)
    np.testing.assert_allclose(jax.grad(lambda t: jnp.sum(each(t)))(t), right, rtol=1e-13)
    np.testing.assert_allclose(jax.jit(jax.jacfwd(each))(t), np.diag(right), atol=1e-14)

    def body(w, t):
        solver = custom_root(lambda x, w, t: x * lax.psum(w, "b") - t)(
            lambda init, w, t: t / lax.psum(w, "b")
        )
        return solver(None, w[0], t)

    both = jax.shard_map(body, mesh=mesh, in_specs=(split, whole), out_specs=whole, check_vma=False)
    for mode in (jax.grad, jax.jacfwd):
        by_w, by_t = mode(both, argnums=(0, 1))(jnp.array([1.0, 3.0]), 2.0)
        np.testing.assert_allclose(by_w, [-0.125, -0.125], rtol=1e-13)
        assert float(by_t) == pytest.approx(0.25, rel=1e-13)


def test_what_has_no_tangent_costs_no_product():
    """The Jacobian-vector product multiplies by the data, not by zeros in its place."""
    data = jnp.asarray(np.random.default_rng(0).standard_normal((7, 3)))

    def solver(init, theta, data):
        return jnp.linalg.solve(data.T @ data + theta * jnp.eye(3), data.T @ jnp.ones(7))

    ridge = custom_root(
        lambda w, theta, data: data.T @ (data @ w - jnp.ones(7)) + theta * w, symmetric=True
    )(solver)

    def products(*argnums):
        tangents = (1.0, jnp.ones_like(data))
        chosen = lambda *moved: ridge(  # noqa: E731
            None,
            *[moved[argnums.index(k)] if k in argnums else v for k, v in enumerate((2.0, data))],
        )
        primal = tuple((2.0, data)[k] for k in argnums)
        push = lambda p, t: jax.jvp(chosen, p, t)[1]  # noqa: E731
        program = jax.make_jaxpr(push)(primal, tuple(tangents[k] for k in argnums))
        return str(program).count("dot_general")

    assert products(0) < products(0, 1)
