"""Roots with closed forms: F, what is declared of it, and x*(theta) as a formula.

The formula is differentiable, so that its derivatives of every order are those to be met; the
solver that the tests decorate is the same formula in NumPy's hands, opaque to autodiff.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np


@dataclass(frozen=True)
class Problem:
    """``optimality(x, theta) = 0`` has the solution ``solution(theta)``."""

    optimality: Callable[..., Any]
    solution: Callable[..., Any]
    theta: Any
    needs: str = "any"  # the narrowest kind of matrix that d1F belongs to
    contraction: bool = False  # whether |I - d1F| < 1

    @property
    def structure(self):
        symmetric = self.needs in ("symmetric", "definite")
        return {"symmetric": symmetric, "definite": self.needs == "definite"}


_rng = np.random.default_rng(0)
_u, _ = np.linalg.qr(_rng.standard_normal((12, 5)))
_v, _ = np.linalg.qr(_rng.standard_normal((5, 5)))
FEATURES, TARGET = _u * np.linspace(1, 2, 5) @ _v, _rng.standard_normal(12)


def ridge():
    def optimality(w, theta):
        return FEATURES.T @ (FEATURES @ w - TARGET) + theta * w

    def solution(theta):
        matrix = FEATURES.T @ FEATURES + theta * jnp.eye(5)
        return jnp.linalg.solve(matrix, FEATURES.T @ TARGET)

    return Problem(optimality, solution, 0.3, "definite")


def soft_threshold():
    """The lasso with an orthonormal design: x = ST(b, l), by its proximal-gradient fixed point."""

    def shrink(y, level):
        return jnp.sign(y) * jnp.maximum(jnp.abs(y) - level, 0)

    def optimality(x, theta):
        b, level = theta
        return x - shrink(x - 0.5 * (x - b), 0.5 * level)  # step 1/2

    def solution(theta):
        return shrink(*theta)

    theta = (jnp.array([2.0, -0.4, -1.5, 0.1]), jnp.array(0.6))
    return Problem(optimality, solution, theta, "definite", contraction=True)


def box():
    """A separable quadratic in a box: coordinates below, inside and above."""
    scale = jnp.array([1.0, 2.0, 4.0])

    def optimality(x, theta):
        low, high, b = theta
        return x - jnp.clip(x - 0.1 * scale * (x - b), low, high)

    def solution(theta):
        low, high, b = theta
        return jnp.clip(b, low, high)

    theta = (jnp.array(-1.0), jnp.array(1.5), jnp.array([-2.0, 0.3, 7.0]))
    return Problem(optimality, solution, theta, "definite", contraction=True)


def entropy():
    """max <x, theta> - <x, log x> on the simplex, by its KKT system: x = softmax(theta)."""

    def optimality(x, theta):
        return {"x": jnp.log(x["x"]) + 1 - theta + x["nu"], "nu": jnp.sum(x["x"]) - 1}

    def solution(theta):
        return {"x": jax.nn.softmax(theta), "nu": jax.nn.logsumexp(theta) - 1}

    return Problem(optimality, solution, jnp.array([0.3, -0.5, 1.1]), "symmetric")


def equality_qp():
    """min z Q z / 2 - c z with E z = d: one symmetric indefinite system."""
    q = jnp.array([[3.0, 1.0, 0.0], [1.0, 2.0, 0.5], [0.0, 0.5, 1.5]])
    e = jnp.array([[1.0, 1.0, 1.0]])

    def optimality(x, theta):
        z, nu = x
        c, d = theta
        return q @ z - c + e.T @ nu, e @ z - d

    def solution(theta):
        c, d = theta
        kkt = jnp.block([[q, e.T], [e, jnp.zeros((1, 1))]])
        both = jnp.linalg.solve(kkt, jnp.concatenate([c, d]))
        return both[:3], both[3:]

    theta = (jnp.array([1.0, -2.0, 0.5]), jnp.array([0.7]))
    return Problem(optimality, solution, theta, "symmetric")


def inequality():
    """min |z - theta|^2 / 2 with z <= 1: the first bound is active, the second is not."""

    def optimality(x, theta):
        z, multiplier = x
        active = jax.lax.stop_gradient(multiplier > 1 - z)
        force = jnp.where(active, multiplier, 0)
        return z - theta + force, jnp.where(active, z - 1, -multiplier)

    def solution(theta):
        return jnp.minimum(theta, 1.0), jnp.maximum(theta - 1, 0)

    return Problem(optimality, solution, jnp.array([1.8, 0.2]), "symmetric")


def asymmetric():
    """M(theta) x = c(theta), neither A nor B symmetric."""
    fixed = jnp.array([[4.0, 1.0, 0.0], [-1.0, 3.0, 2.0], [0.5, -1.0, 5.0]]) / 5

    def parts(theta):
        return fixed.at[0, 2].set(0.1 * theta[0] * theta[1]), jnp.array(
            [theta[0], theta[1] ** 2, theta[0] - theta[1]]
        )

    def optimality(x, theta):
        matrix, c = parts(theta)
        return matrix @ x - c

    def solution(theta):
        return jnp.linalg.solve(*parts(theta))

    return Problem(optimality, solution, jnp.array([0.8, -1.3]), "any", contraction=True)


PROBLEMS = {
    f.__name__: f()
    for f in (ridge, soft_threshold, box, entropy, equality_qp, inequality, asymmetric)
}
