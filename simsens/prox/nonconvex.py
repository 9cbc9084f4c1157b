r"""Proximity operators of two non-convex penalties that leave large coordinates alone.

Soft thresholding moves every large coordinate by the same amount, a bias. MCP and SCAD let the
slope of the penalty fall to zero. They are non-convex, so :math:`\tfrac12 (x - y)^2 + s\,p(y)` is
strictly convex, and its minimiser single-valued, only while s is small enough; beyond that the
arguments are refused. Both are continuous and piecewise linear in x. Zero regularisation gives the
identity, with the identity's derivative.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from simsens.prox.arguments import Arguments


def prox_mcp(x: Any, hyperparams: tuple[Any, Any] | None = None, scaling: Any = 1.0) -> Any:
    r"""Firm thresholding, the proximity operator of the minimax concave penalty.

    .. math:: p(y) = \begin{cases} \lambda |y| - y^2 / (2 \gamma) & |y| \le \gamma \lambda \\
        \gamma \lambda^2 / 2 & \text{otherwise} \end{cases}

    .. math:: \arg\min_y \tfrac12 (x - y)^2 + s\,p(y) = \begin{cases}
        0 & |x| \le s \lambda \\
        \operatorname{sign}(x)\,(|x| - s \lambda) / (1 - s / \gamma)
            & s \lambda < |x| \le \gamma \lambda \\
        x & \text{otherwise} \end{cases}

    Args:
        x: tree of real arrays.
        hyperparams: the pair :math:`(\lambda, \gamma)`, :math:`\lambda \ge 0`,
            :math:`\gamma > s`; each a number, an array that broadcasts to each leaf, or a tree
            like x. None is (1, 3).
        scaling: :math:`s \ge 0`.

    Returns:
        A tree like x; NaN where a traced argument is infeasible.

    Raises:
        ValueError: :math:`\gamma \le s`; not a pair; negative or non-finite arguments, integers
            for x, shapes that do not fit.

    Source: Zhang, Nearly unbiased variable selection under minimax concave penalty, 2010.

    Example:
        >>> print(prox_mcp(jnp.array([0.5, -2.0, 4.0]), (1.0, 2.0)))
        [ 0. -2.  4.]
    """
    given = Arguments("prox_mcp")
    lam, gam = given.pair(hyperparams, "(lam, gamma)", (1.0, 3.0))
    leaves = given.unknown(x)
    weights = given.weight("hyperparams[0]", lam)
    widths = given.weight("hyperparams[1]", gam, positive=True)
    scales = given.weight("scaling", scaling)
    for g, s in zip(widths, scales):
        needed = "gamma > scaling (or there may be several minimisers)"
        given.exceeds(g, s, needed, "enlarge gamma or take a smaller step")
    return given.apply(_firm, leaves, weights, widths, scales)


def _firm(u: jax.Array, lam: jax.Array, gamma: jax.Array, s: jax.Array) -> jax.Array:
    magnitude = jnp.abs(u)
    shrunk = (u - jnp.sign(u) * (s * lam)) / _unless_zero(1 - s / gamma)
    active = (magnitude > s * lam) | (s * lam == 0)
    shrunk = jnp.where(active, shrunk, jnp.zeros_like(u))
    return jnp.where((magnitude > gamma * lam) | (lam == 0), u, shrunk)


def prox_scad(x: Any, hyperparams: tuple[Any, Any] | None = None, scaling: Any = 1.0) -> Any:
    r"""The proximity operator of the smoothly clipped absolute deviation.

    .. math:: p'(y) = \lambda\ (0 < y \le \lambda), \quad
        \frac{a \lambda - y}{a - 1}\ (\lambda < y \le a \lambda), \quad 0\ (y > a \lambda)

    .. math:: \arg\min_y \tfrac12 (x - y)^2 + s\,p(|y|) = \begin{cases}
        \operatorname{sign}(x) \max(|x| - s \lambda, 0) & |x| \le (1 + s) \lambda \\
        \big((a - 1) x - \operatorname{sign}(x) s a \lambda\big) / (a - 1 - s)
            & (1 + s) \lambda < |x| \le a \lambda \\
        x & \text{otherwise} \end{cases}

    Args:
        x: tree of real arrays.
        hyperparams: the pair :math:`(\lambda, a)`, :math:`\lambda \ge 0`, :math:`a > 1 + s` (for
            s = 1 the familiar a > 2); each as in ``prox_mcp``. None is (1, 3.7).
        scaling: :math:`s \ge 0`.

    Returns:
        A tree like x; NaN where a traced argument is infeasible.

    Raises:
        ValueError: :math:`a \le 1 + s`; otherwise as ``prox_mcp``.

    Source: Fan and Li, Variable selection via nonconcave penalized likelihood, 2001.

    Example:
        >>> print(prox_scad(jnp.array([0.5, -1.5, 2.5, 4.0]), (1.0, 3.0)))
        [ 0.  -0.5  2.   4. ]
    """
    given = Arguments("prox_scad")
    lam, a = given.pair(hyperparams, "(lam, a)", (1.0, 3.7))
    leaves = given.unknown(x)
    weights = given.weight("hyperparams[0]", lam)
    widths = given.weight("hyperparams[1]", a, positive=True)
    scales = given.weight("scaling", scaling)
    for w, s in zip(widths, scales):
        needed = "a > 1 + scaling (or there may be several minimisers)"
        given.exceeds(w, s, needed, "enlarge a or take a smaller step", offset=1.0)
    return given.apply(_clipped, leaves, weights, widths, scales)


def _clipped(u: jax.Array, lam: jax.Array, a: jax.Array, s: jax.Array) -> jax.Array:
    magnitude, sign = jnp.abs(u), jnp.sign(u)
    active = (magnitude > s * lam) | (s * lam == 0)
    near = jnp.where(active, u - sign * (s * lam), jnp.zeros_like(u))
    between = ((a - 1) * u - sign * (s * a * lam)) / _unless_zero(a - 1 - s)
    bent = jnp.where(magnitude > (1 + s) * lam, between, near)
    return jnp.where((magnitude > a * lam) | (lam == 0), u, bent)


def _unless_zero(divisor: jax.Array) -> jax.Array:
    """The divisor; one where it is zero, which only happens to what is marked as infeasible."""
    return jnp.where(divisor == 0, jnp.ones_like(divisor), divisor)
