"""For each mapping one problem whose solution is known in closed form, with all its parameters.

The closed forms are plain JAX, so that autodiff gives the derivatives to compare with; none of them
is found by the mapping under test. All numbers are of order one and far (0.1 and more) from kinks.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree

from simsens import optimality


def soft_threshold(x, weight, scaling):
    return jnp.sign(x) * jnp.maximum(jnp.abs(x) - weight * scaling, 0)


def box(x, bounds):
    return jnp.clip(x, bounds[0], bounds[1])


def ridge_prox(x, weight, scaling):
    return x / (1 + scaling * weight)


def softmax(y, hyperparams):
    return jax.nn.softmax(y, axis=-1)


def orthant(v):
    return jnp.maximum(v, 0)


def plain_solve(matvec, b):
    """The textbook solve: compiles in no time, and owes nothing to the package's solvers."""
    vector, unravel = ravel_pytree(b)
    matrix = jax.vmap(lambda v: ravel_pytree(matvec(unravel(v)))[0], out_axes=1)(
        jnp.eye(vector.size, dtype=vector.dtype)
    )
    return unravel(jnp.linalg.solve(matrix, vector))


def normals(seed, *shape):
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape))


@dataclass(frozen=True)
class Case:
    """A mapping with its closed-form solution.

    Attributes:
        mapping: F or T.
        solution: ``solution(*theta) -> x``.
        theta: all parameters, as the mapping takes them after x.
        fixed: whether the mapping is T.
        exact: whether its first derivative is that of its value also away from the solution.
    """

    mapping: Callable[..., Any]
    solution: Callable[..., Any]
    theta: tuple[Any, ...]
    fixed: bool = False
    exact: bool = True


X = normals(0, 6, 3)
Y = normals(1, 6)


def ridge(x, theta, y):
    return 0.5 * jnp.sum((X @ x - y) ** 2) + 0.5 * theta * jnp.sum(x**2)


def ridge_solution(theta, y):
    return jnp.linalg.solve(X.T @ X + theta * jnp.eye(3), X.T @ y)


# min |z - p|^2 / 2 under a z = b, z_0 <= u (active), z_1 >= -5 (inactive). With z_0 = u the rest is
# a projection on a_r z_r = b - a_0 u: z_r = p_r - nu a_r, nu = (a_r p_r - b + a_0 u) / |a_r|^2, and
# row 0 of the stationarity, z_0 - p_0 + nu a_0 + lam_0 = 0, gives lam_0.
def distance(z, p):
    return 0.5 * jnp.sum((z - p) ** 2)


def plane(z, params):
    return params[0] @ z - params[1]


def limits(z, u):
    return jnp.stack([z[0] - u, -5 - z[1]])


def kkt_solution(p, plane, u):
    a, b = plane
    nu = (a[1:] @ p[1:] - b + a[0] * u) / (a[1:] @ a[1:])
    z = jnp.concatenate([u[None], p[1:] - nu * a[1:]])
    lam = p[0] - u - nu * a[0]
    return z, nu, jnp.stack([lam, jnp.zeros_like(lam)])


KKT_THETA = (
    jnp.array([3.0, 0.5, -0.2]),
    (jnp.array([1.0, 2.0, -1.0]), jnp.array(0.7)),
    jnp.array(0.4),
)
D = jnp.array([2.0, 0.5, 1.0, 3.0])


def weighted(x, y):
    return 0.5 * jnp.sum(D * (x - y) ** 2)


# sum_i D_i (x_i - y_i)^2 / 2 + w_i |x_i|: coordinate by coordinate a threshold of w / D.
def threshold_solution(weight, y):
    return jnp.sign(y) * jnp.maximum(jnp.abs(y) - weight / D, 0)


# <c, x> + tau sum x log x on the simplex: c + tau (log x + 1) is constant, x = softmax(-c / tau).
def entropic(x, c, tau):
    return jnp.sum(c * x) + tau * jnp.sum(x * jnp.log(x))


def quadratic_root(x, theta, mix):
    return mix @ (x**2 - theta)


# D_i |x_i - y_i|^2 / 2 + w_i |x_i|^2 / 2 for rows x_i.
def blocks(x, y):
    return 0.5 * jnp.sum(D[:, None] * (x - y) ** 2)


def blocks_solution(weight, y):
    return (D / (D + weight))[:, None] * y


# A linear programme whose constraints 0 and 2 hold at the vertex: E_A z = d_A, E_A^T y_A = -c.
HOLD = jnp.array([0, 2])
FREE = jnp.array([1, 3])


def vertex_solution(theta):
    c, E, d = theta
    z = jnp.linalg.solve(E[HOLD], d[HOLD])
    y = -jnp.linalg.solve(E[HOLD].T, c)
    v = jnp.zeros_like(d).at[HOLD].set(y).at[FREE].set(E[FREE] @ z - d[FREE])
    return z, v


PROGRAMME = (
    jnp.array([-1.0, -1.0]),
    jnp.array([[2.0, 1.0], [-1.0, 0.3], [1.0, 3.0], [0.2, -1.0]]),
    jnp.array([4.0, 1.0, 6.0, 0.8]),
)


# The point of the segment V_0 V_1 nearest to y; the third corner is not used.
def edge_solution(vertices, y):
    along = vertices[1] - vertices[0]
    share = along @ (y - vertices[0]) / (along @ along)
    return jnp.stack([1 - share, share, jnp.zeros_like(share)])


CORNERS = jnp.array([[0.0, 0.1], [2.0, -0.2], [0.5, 2.0]])

CASES = {
    "stationary": Case(
        optimality.stationary(ridge, convex=True), ridge_solution, (jnp.array(0.8), Y)
    ),
    "gradient_descent": Case(
        optimality.gradient_descent(ridge, step=0.3, convex=True),
        ridge_solution,
        (jnp.array(0.8), Y),
        fixed=True,
    ),
    "kkt": Case(optimality.kkt(distance, plane, limits), kkt_solution, KKT_THETA),
    "kkt_complementary": Case(
        optimality.kkt_complementary(distance, plane, limits), kkt_solution, KKT_THETA
    ),
    "proximal_gradient": Case(
        optimality.proximal_gradient(weighted, soft_threshold, step=0.4),
        threshold_solution,
        (jnp.array([0.5, 0.3, 0.6, 0.9]), jnp.array([2.0, -1.5, 0.2, -0.1])),
        fixed=True,
    ),
    "projected_gradient": Case(
        optimality.projected_gradient(weighted, box, step=0.4),
        lambda bounds, y: jnp.clip(y, bounds[0], bounds[1]),
        ((jnp.array(-1.0), jnp.array(0.7)), jnp.array([2.0, -1.5, 0.2, -0.1])),
        fixed=True,
    ),
    "mirror_descent": Case(
        optimality.mirror_descent(entropic, jnp.log, softmax, step=0.7),
        lambda hyperparams, c, tau: jax.nn.softmax(-c / tau),
        (None, jnp.array([0.3, -0.4, 1.0]), jnp.array(0.9)),
        fixed=True,
    ),
    "mirror_descent_kl": Case(
        optimality.mirror_descent_kl(entropic, step=0.7),
        lambda total, c, tau: total * jax.nn.softmax(-c / tau, axis=-1),
        (jnp.array(1.3), jnp.array([[0.3, -0.4, 1.0], [0.1, 0.2, -0.6]]), jnp.array(0.9)),
        fixed=True,
    ),
    "newton": Case(
        optimality.newton(quadratic_root, step=0.6, solve=plain_solve),
        lambda theta, mix: jnp.sqrt(theta),
        (jnp.array([1.5, 0.7, 2.0]), jnp.eye(3) + 0.2 * normals(2, 3, 3)),
        fixed=True,
        exact=False,
    ),
    "block_proximal_gradient": Case(
        optimality.block_proximal_gradient(
            blocks, ridge_prox, steps=jnp.array([0.2, 1.0, 0.5, 2.0]), hyperparams_axes=0
        ),
        blocks_solution,
        (jnp.array([0.5, 1.0, 2.0, 0.1]), normals(3, 4, 2)),
        fixed=True,
    ),
    "conic": Case(optimality.conic(orthant), vertex_solution, (PROGRAMME,)),
    "frank_wolfe": Case(
        optimality.frank_wolfe(distance, step=0.2),
        edge_solution,
        (CORNERS, jnp.array([0.8, -1.0])),
        fixed=True,
    ),
}
