"""Proximal, projected and block proximal gradient; the hull of vertices."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from simsens.implicit import custom_fixed_point, displacement, implicit_fixed_point
from simsens.implicit.structure import Declared, declared
from simsens.optimality import (
    block_proximal_gradient,
    frank_wolfe,
    in_hull,
    projected_gradient,
    proximal_gradient,
)
from tests.opaque import concrete
from tests.optimality.catalogue import (
    CORNERS,
    D,
    blocks,
    box,
    distance,
    normals,
    plain_solve,
    ridge_prox,
    soft_threshold,
)

EPS = np.finfo(float).eps

# --- the lasso, whose Hessian is not diagonal ----------------------------------------------------
# With the support S and its signs s: H_S x_S = q_S - w s, hence dx_S/dw = -H_S^-1 s, others zero.
# q is chosen for x = (1, 0, -2), w = 0.5: q = H x + w (1, 0.3, -1), 0.3 being well inside.
H = jnp.array([[2.0, 0.5, 0.3], [0.5, 1.0, -0.2], [0.3, -0.2, 1.5]])
LASSO = jnp.array([1.0, 0.0, -2.0])
WEIGHT = 0.5
Q = H @ LASSO + WEIGHT * jnp.array([1.0, 0.3, -1.0])
SLOPE = np.insert(
    -np.linalg.solve(H[jnp.ix_(np.array([0, 2]), np.array([0, 2]))], [1.0, -1.0]), 1, 0
)


def quadratic(x, q):
    return 0.5 * x @ H @ x - q @ x


def test_lasso_with_an_opaque_solver_and_the_default_linear_solver():
    @custom_fixed_point(proximal_gradient(quadratic, soft_threshold, step=0.3))
    @concrete
    def solver(init, weight, q):
        x = np.zeros(3)
        for _ in range(300):  # a contraction by less than 0.8 per step
            y = x - 0.3 * (H @ x - q)
            x = np.sign(y) * np.maximum(np.abs(y) - 0.3 * weight, 0)
        return x

    np.testing.assert_allclose(solver(None, WEIGHT, Q), LASSO, rtol=0, atol=1e2 * EPS)
    found = jax.jacrev(lambda w: solver(None, w, Q))(WEIGHT)
    np.testing.assert_allclose(found, SLOPE, rtol=0, atol=1e2 * EPS)


def test_derivative_does_not_depend_on_the_step():
    def point(weight, step):
        T = proximal_gradient(quadratic, soft_threshold, step=step)
        return implicit_fixed_point(T, LASSO, weight, Q, solve=plain_solve)

    slope = jax.jit(jax.jacfwd(point, argnums=(0, 1)))
    for step in (1e-3, 1.0, 30.0):
        by_weight, by_step = slope(WEIGHT, step)
        np.testing.assert_allclose(by_weight, SLOPE, rtol=0, atol=1e2 * EPS * (1 + 1 / step))
        np.testing.assert_allclose(by_step, 0, atol=1e2 * EPS * (1 + 1 / step**2))


def test_why_nothing_is_declared():
    """A = I - P (I - step H) with P = diag(1, 0, 1): the second row is that of the identity."""
    T = proximal_gradient(quadratic, soft_threshold, step=0.3)
    assert declared(T) == Declared()
    A = jax.jit(jax.jacfwd(displacement(T)))(LASSO, WEIGHT, Q)
    P = np.diag([1.0, 0.0, 1.0])
    np.testing.assert_allclose(A, np.eye(3) - P @ (np.eye(3) - 0.3 * H), rtol=0, atol=10 * EPS)
    assert np.max(np.abs(A - A.T)) > 0.05


def test_projection_is_the_prox_that_ignores_its_scaling():
    bounds = (-0.5, 0.8)
    x = normals(4, 3)
    by_projection = projected_gradient(quadratic, box, step=0.3)(x, bounds, Q)
    by_prox = proximal_gradient(quadratic, lambda x, b, scaling: box(x, b), step=0.3)
    np.testing.assert_array_equal(by_projection, by_prox(x, bounds, Q))


def test_inactive_bound_has_no_derivative_and_active_one_has():
    T = projected_gradient(quadratic, box, step=0.3)
    # H x = q + (0, 0, -r) with x_2 at the lower bound -1: x_01 follow from the first two rows.
    rest = jnp.linalg.solve(H[:2, :2], Q[:2] + H[:2, 2])
    x = jnp.append(rest, -1.0)
    assert float(jnp.max(jnp.abs(displacement(T)(x, (-1.0, 9.0), Q)))) < 1e2 * EPS
    slope = jax.jacfwd(lambda bounds: implicit_fixed_point(T, x, bounds, Q, solve=plain_solve))
    low, high = jax.jit(slope)((-1.0, 9.0))
    expected = np.append(-np.linalg.solve(H[:2, :2], H[:2, 2]), 1.0)
    np.testing.assert_allclose(low, expected, rtol=0, atol=1e2 * EPS)
    np.testing.assert_array_equal(high, 0)


# --- blocks --------------------------------------------------------------------------------------


def test_equal_steps_make_it_proximal_gradient():
    x, y = normals(5, 4, 2), normals(6, 4, 2)
    whole = proximal_gradient(blocks, soft_threshold, step=0.3)(x, 0.2, y)
    for steps in (0.3, jnp.full(4, 0.3)):
        by_rows = jax.jit(block_proximal_gradient(blocks, soft_threshold, steps))(x, 0.2, y)
        np.testing.assert_allclose(by_rows, whole, rtol=0, atol=10 * EPS)

    def listed(x, y):
        return blocks(jnp.stack(x), y)

    T = block_proximal_gradient(listed, [soft_threshold] * 4, 0.3)
    by_list = T(tuple(x), (0.2,) * 4, y)
    np.testing.assert_allclose(jnp.stack(by_list), whole, rtol=0, atol=10 * EPS)


def test_other_steps_are_another_mapping_with_the_same_fixed_point():
    x, y = normals(5, 4, 2), normals(6, 4, 2)
    solution = (D / (D + 0.7))[:, None] * y
    mappings = [block_proximal_gradient(blocks, ridge_prox, s) for s in (0.3, jnp.arange(1.0, 5))]
    images = [jax.jit(T)(x, 0.7, y) for T in mappings]
    assert np.max(np.abs(images[0] - images[1])) > 0.1
    for T in mappings:
        np.testing.assert_allclose(T(solution, 0.7, y), solution, rtol=0, atol=10 * EPS)


def test_blocks_of_unlike_kinds_each_with_its_prox():
    """min (a - p)^2 / 2 + w |a| + (b - p)^2 / 2 + v b^2 / 2: a = p - w, b = p / (1 + v)."""

    def fun(x, p):
        a, b = x
        return 0.5 * (a["inner"] - p) ** 2 + 0.5 * jnp.sum((b - p) ** 2)

    T = block_proximal_gradient(fun, [_inner, ridge_prox], steps=(0.5, 2.0))

    def point(w, v, p):
        x = [{"inner": jnp.array(2.5)}, jnp.array([1.5, 1.5])]
        a, b = implicit_fixed_point(T, x, (w, v), p, solve=plain_solve)
        return jnp.append(b, a["inner"])

    by_w, by_v, by_p = jax.jit(jax.jacrev(point, argnums=(0, 1, 2)))(0.5, 1.0, 3.0)
    np.testing.assert_allclose(by_w, [0, 0, -1], rtol=0, atol=10 * EPS)
    np.testing.assert_allclose(by_v, [-0.75, -0.75, 0], rtol=0, atol=10 * EPS)
    np.testing.assert_allclose(by_p, [0.5, 0.5, 1], rtol=0, atol=10 * EPS)


def _inner(x, w, scaling):
    return {"inner": soft_threshold(x["inner"], w, scaling)}


def total(x, *args):
    return sum(jnp.sum(leaf) for leaf in jax.tree.leaves(x))


@pytest.mark.parametrize(
    ("build", "told"),
    [
        (lambda: block_proximal_gradient(total, ridge_prox, jnp.array([1.0, -1.0])), "positive"),
        (lambda: block_proximal_gradient(total, ridge_prox, jnp.ones((2, 2))), r"shape \(2, 2\)"),
        (lambda: block_proximal_gradient(total, [ridge_prox] * 2, [1.0]), "as many steps, found 1"),
        (lambda: block_proximal_gradient(total, [ridge_prox] * 2, [1.0, 0.0]), "positive"),
        (lambda: block_proximal_gradient(total, [ridge_prox], 1.0, 0), "hyperparams_axes is for"),
        (lambda: proximal_gradient(total, ridge_prox, -1.0), "positive"),
        (lambda: projected_gradient(total, box, 0.0), "positive"),
        (lambda: frank_wolfe(total, 0.0), "positive"),
    ],
)
def test_builder_refuses(build, told):
    with pytest.raises(ValueError, match=told):
        build()


@pytest.mark.parametrize(
    ("call", "told"),
    [
        (lambda x: proximal_gradient(total, lambda x, h, s: x[:1])(x, 1.0), "prox must return"),
        (lambda x: proximal_gradient(total, lambda x, h, s: (x,))(x, 1.0), "prox must return"),
        (lambda x: projected_gradient(total, lambda x, h: x[0])(x, 1.0), "projection must return"),
        (lambda x: projected_gradient(jnp.sin, box)(x, (0, 1)), "one real number"),
        (
            lambda x: block_proximal_gradient(total, ridge_prox, jnp.ones(3))(x, 1.0),
            "one row for each block",
        ),
        (
            lambda x: block_proximal_gradient(total, ridge_prox)((x, x[:1]), 1.0),
            "one row for each block",
        ),
        (lambda x: block_proximal_gradient(total, ridge_prox)(x[0], 1.0), "one row for each block"),
        (lambda x: block_proximal_gradient(total, lambda x, h, s: x[None])(x, 1.0), "block_prox"),
        (lambda x: block_proximal_gradient(total, [ridge_prox] * 2)((x,), None), "blocks, found 1"),
        (lambda x: block_proximal_gradient(total, [ridge_prox])(x, None), "blocks, found 1"),
        (
            lambda x: block_proximal_gradient(total, [ridge_prox])((x,), (1.0, 2.0)),
            "as many hyperparams_prox, found 2",
        ),
        (
            lambda x: block_proximal_gradient(total, [lambda x, h, s: x[:1]])((x,), (1.0,)),
            "a tree like its block",
        ),
        (lambda x: frank_wolfe(total)(x, jnp.ones((3, 2))), "every vertex needs one weight"),
        (lambda x: in_hull(x[0], jnp.ones((3, 2))), "every vertex needs one weight"),
    ],
)
def test_mapping_refuses(call, told):
    with pytest.raises(ValueError, match=told):
        call(jnp.array([1.0, 2.0]))


# --- the hull ------------------------------------------------------------------------------------


def test_unused_vertex_has_no_derivative_and_the_point_has():
    """The nearest point of the edge V_0 V_1, x = V_0 + share (V_1 - V_0)."""
    y = jnp.array([0.8, -1.0])

    def nearest(vertices):
        along = vertices[1] - vertices[0]
        return vertices[0] + (along @ (y - vertices[0])) / (along @ along) * along

    T = frank_wolfe(lambda x, y: (distance(x, y), "aux"), step=0.2, has_aux=True)
    along = CORNERS[1] - CORNERS[0]
    share = along @ (y - CORNERS[0]) / (along @ along)
    p = jnp.array([1 - share, share, 0.0])

    def point(vertices):
        return in_hull(implicit_fixed_point(T, p, vertices, y, solve=plain_solve), vertices)

    found = jax.jit(jax.jacrev(point))(CORNERS)
    np.testing.assert_allclose(found, jax.jit(jax.jacfwd(nearest))(CORNERS), rtol=0, atol=1e2 * EPS)
    np.testing.assert_array_equal(found[:, 2], 0)
