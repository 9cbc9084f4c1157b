"""For every algorithm a problem with a closed form, whose derivatives JAX takes of the formula."""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import optimistix

from simsens import solvers
from simsens.projection import projection_simplex
from simsens.prox import prox_lasso, prox_ridge


@dataclass(frozen=True)
class Problem:
    """An algorithm, where it starts, theta, and ``exact(*theta)``, a tree like the start.

    Attributes:
        reach: how many iterations may be needed.
        tol: the tolerance, when the default is not for this algorithm.
        moving: the position in theta that is differentiated.
    """

    algorithm: Any
    init: Any
    theta: tuple[Any, ...]
    exact: Any
    reach: int = 10_000
    tol: float | None = None
    moving: int = 0


THETA = jnp.array([0.5, 1.3, 3.0])
START = {"a": jnp.zeros(2), "b": jnp.zeros(())}


def smooth(x, theta):
    """Convex, not quadratic; the minimum is at log(theta)."""
    vector = jnp.append(x["a"], x["b"])
    return jnp.sum(jnp.array([1.0, 2.0, 0.5]) * (jnp.exp(vector) - theta * vector))


def logarithms(theta):
    return {"a": jnp.log(theta[:2]), "b": jnp.log(theta[2])}


WEIGHTS = jnp.array([1.0, 4.0, 2.0])


def weighted(x, y):
    return 0.5 * jnp.sum(WEIGHTS * (x - y) ** 2)


def shrunk(penalty, y):
    return jnp.sign(y) * jnp.maximum(abs(y) - penalty / WEIGHTS, 0)


def near(x, c):
    return 0.5 * jnp.sum((x - c) ** 2)


def centred(total, c):
    """The projection of c on the simplex, where it lies inside."""
    return c + (total - c.sum()) / c.size


A = jnp.asarray(np.random.default_rng(0).standard_normal((4, 3)))


def square(z, y):
    return 0.5 * jnp.sum((z - y) ** 2)


def ridge(penalty, A, y):
    return jnp.linalg.solve(A @ A.T + penalty * jnp.eye(4), A @ y)


def cubic(x, theta):
    return x**3 + x - theta


def cardano(theta):
    root = jnp.sqrt(theta**2 / 4 + 1 / 27)
    return jnp.cbrt(theta / 2 + root) + jnp.cbrt(theta / 2 - root)


def golden(x, theta):
    return theta / (1 + x)


def positive_root(theta):
    return (jnp.sqrt(1 + 4 * theta) - 1) / 2


Y = jnp.array([2.0, 0.1, -1.0])
C = jnp.array([0.5, 0.3, 0.4])
LASSO = (0.8, Y)
SIMPLEX = (1.0, C)
ONES = jnp.ones(3)

PROBLEMS = {
    "GradientDescent": Problem(solvers.GradientDescent(smooth), START, (THETA,), logarithms),
    "GradientDescent, fixed step": Problem(
        solvers.GradientDescent(smooth, step=0.1), START, (THETA,), logarithms
    ),
    "GradientDescent, plain": Problem(
        solvers.GradientDescent(smooth, acceleration=False), START, (THETA,), logarithms
    ),
    "Newton": Problem(solvers.Newton(smooth), START, (THETA,), logarithms, reach=20),
    "LBFGS": Problem(solvers.LBFGS(smooth), START, (THETA,), logarithms, reach=50),
    "ProximalGradient": Problem(
        solvers.ProximalGradient(weighted, prox_lasso), jnp.zeros(3), LASSO, shrunk
    ),
    "ProximalGradient, ISTA": Problem(
        solvers.ProximalGradient(weighted, prox_lasso, step=0.2, acceleration=False),
        jnp.zeros(3), LASSO, shrunk,
    ),
    "ProjectedGradient": Problem(
        solvers.ProjectedGradient(near, projection_simplex), jnp.ones(3) / 3, SIMPLEX, centred
    ),
    "MirrorDescent": Problem(
        solvers.MirrorDescent(near, step=1.0), jnp.ones(3) / 3, SIMPLEX, centred
    ),
    "MirrorDescent, scheduled": Problem(
        solvers.MirrorDescent(near, step=solvers.inverse_power(2.0, after=50)),
        jnp.ones(3) / 3, SIMPLEX, centred,
    ),
    "MirrorDescent, another geometry": Problem(
        solvers.MirrorDescent(
            weighted, step=0.2, mirror_map=lambda x: x,
            bregman_projection=lambda y, bound: jnp.minimum(y, bound),
        ),
        jnp.zeros(3), LASSO, lambda bound, y: jnp.minimum(y, bound),
    ),
    "BlockCoordinateDescent": Problem(
        solvers.BlockCoordinateDescent(square, prox_ridge), jnp.zeros(4), (0.5, A, Y), ridge
    ),
    "NewtonRoot": Problem(solvers.NewtonRoot(cubic), jnp.zeros(3), (THETA,), cardano, reach=20),
    "Bisection": Problem(
        solvers.Bisection(cubic, -1.0, 4.0), jnp.zeros(3), (THETA,), cardano, reach=60
    ),
    "FixedPointIteration": Problem(
        solvers.FixedPointIteration(golden), ONES, (THETA,), positive_root, reach=200
    ),
    "AndersonAcceleration": Problem(
        solvers.AndersonAcceleration(golden), ONES, (THETA,), positive_root, reach=50
    ),
    "Optax": Problem(
        solvers.Optax(smooth, optax.adam(0.05)), START, (THETA,), logarithms, tol=1e-6
    ),
    "Optax, with a line search": Problem(
        solvers.Optax(smooth, optax.lbfgs()), START, (THETA,), logarithms, reach=100
    ),
    "Optimistix": Problem(
        solvers.Optimistix(smooth, optimistix.BFGS(rtol=1e-12, atol=1e-12)),
        START, (THETA,), logarithms, tol=1e-6,
    ),
    "Optimistix, a root": Problem(
        solvers.Optimistix(cubic, optimistix.Newton(rtol=1e-10, atol=1e-10), "root_find"),
        jnp.zeros(3), (THETA,), cardano,
    ),
    "Optimistix, a fixed point": Problem(
        solvers.Optimistix(
            golden, optimistix.FixedPointIteration(rtol=1e-10, atol=1e-10), "fixed_point"
        ),
        ONES, (THETA,), positive_root,
    ),
    "ScipyMinimize": Problem(solvers.ScipyMinimize(smooth), START, (THETA,), logarithms),
    "ScipyMinimize, BFGS": Problem(
        solvers.ScipyMinimize(smooth, method="BFGS"), START, (THETA,), logarithms, tol=1e-6
    ),
    "ScipyMinimize, in bounds": Problem(
        solvers.ScipyMinimize(weighted, bounds=(-0.5, 1.5)),
        jnp.zeros(3), (Y,), lambda y: jnp.clip(y, -0.5, 1.5),
    ),
    "ScipyRoot": Problem(solvers.ScipyRoot(cubic), jnp.zeros(3), (THETA,), cardano),
}  # fmt: skip


def flat(tree):
    return jnp.concatenate([jnp.ravel(leaf) for leaf in jax.tree.leaves(tree)])
