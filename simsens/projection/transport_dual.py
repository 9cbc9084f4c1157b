"""The dual problem of transport: its variables, its objectives, where climbing it begins.

The plans of both projections (``transport``) are functions of S plus one multiplier for each row
and each column, at the optimum of a concave dual problem. Constants of rows and columns of S are
such multipliers themselves, and are taken out of S before anything is rounded. Where S is large
against the plan (nearly a linear program) the dual is climbed slowly: then :math:`t S` is projected
for t = ..., 1/4, 1/2, 1, each from twice the multipliers before.

Equations are numbered as in Blondel, Seguy and Rolet, AISTATS 2018, arXiv 1710.06276.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.scipy.special import logsumexp

from simsens.projection.simplex import threshold

SWEEPS = 1000  # a hundred are many
LENGTHS = np.concatenate([[0.0], 0.5 ** np.arange(20)])  # of Newton's step


def centred(S: jax.Array) -> jax.Array:
    """S less constants of rows and columns, which P does not feel; the largest entries are 0.

    Example:
        >>> centred(jnp.array([[3.0, 1.0], [5.0, 5.0]])).tolist()
        [[0.0, -2.0], [0.0, 0.0]]
    """
    rows = lax.stop_gradient(jnp.max(S, axis=1, keepdims=True))
    S = S - rows
    return S - lax.stop_gradient(jnp.max(S, axis=0, keepdims=True))


def first_part(S: jax.Array, harmless: jax.Array) -> jax.Array:
    """The power of two by which S is multiplied at first, so that it is not large."""
    largest = jnp.max(jnp.abs(S))
    ratio = jnp.where(harmless > 0, largest / jnp.where(harmless > 0, harmless, 1), 1)
    return 2.0 ** -jnp.ceil(jnp.log2(jnp.maximum(ratio, 1))).astype(S.dtype)


def start(
    function: str, make_solver: Any, semi: bool, entropic: bool, S: Any, a: Any, b: Any
) -> tuple[jax.Array, jax.Array]:
    """Multipliers for the centred S to begin with: zeros, or what the user's solver finds."""
    S, a, b = lax.stop_gradient((S, a, b))
    zeros = jnp.zeros_like(a), jnp.zeros_like(b)
    if make_solver is None:
        return zeros
    if not callable(make_solver):
        raise ValueError(
            f"{function} needs make_solver as a function make_solver(fun); found "
            f"{type(make_solver).__name__}; give one, or None"
        )
    solver = make_solver(_semi_dual(entropic) if semi else _dual(entropic))
    if not callable(getattr(solver, "run", None)):
        raise ValueError(
            f"{function} needs make_solver(fun) with a method run(init, **data); found "
            f"{type(solver).__name__}; return a solver object"
        )
    init = zeros[0] if semi else zeros
    data = {"cost_matrix": -S, "marginals_a": a, "marginals_b": b}
    found = solver.run(init, **data)
    if not hasattr(found, "params"):
        raise ValueError(
            f"{function} needs the solver's result to have params; found {type(found).__name__}; "
            "return an object with params"
        )
    shapes = jax.tree.map(jnp.shape, found.params)
    if shapes != jax.tree.map(jnp.shape, init):
        raise ValueError(
            f"{function} needs params shaped as the init, {jax.tree.map(jnp.shape, init)}; found "
            f"{shapes}; return what was started from"
        )
    params = jax.tree.map(lambda v: lax.stop_gradient(jnp.asarray(v, S.dtype)), found.params)
    # A solver that did not get there must not spoil ours.
    params = jax.tree.map(lambda v: jnp.where(jnp.isfinite(v), v, 0).astype(S.dtype), params)
    alpha, beta = (params, zeros[1]) if semi else params
    moved = S - centred(S)  # a row constant plus a column constant
    return alpha + moved[:, 0], beta + moved[0] - moved[0, 0]


def _semi_dual(entropic: bool) -> Callable[..., jax.Array]:
    """The objective of equation (10): a function of alpha alone."""

    def fun(alpha: Any, cost_matrix: Any, marginals_a: Any, marginals_b: Any) -> jax.Array:
        X = alpha[:, None] - cost_matrix
        if entropic:
            b = marginals_b
            logarithm = jnp.log(jnp.where(b > 0, b, jnp.ones_like(b)))
            return b @ (logsumexp(X, axis=0) - logarithm) - alpha @ marginals_a
        # By Danskin's theorem the maximiser needs no derivative.
        P = lax.stop_gradient(jax.vmap(threshold, (1, 0), 1)(X, marginals_b))
        return (P * X).sum() - (P**2).sum() / 2 - alpha @ marginals_a

    return fun


def _dual(entropic: bool) -> Callable[..., jax.Array]:
    """The objective of equation (7): a function of (alpha, beta)."""

    def fun(alpha_beta: Any, cost_matrix: Any, marginals_a: Any, marginals_b: Any) -> jax.Array:
        alpha, beta = alpha_beta
        X = alpha[:, None] + beta - cost_matrix
        value = jnp.exp(X - 1).sum() if entropic else (jnp.maximum(X, 0) ** 2).sum() / 2
        return value - alpha @ marginals_a - beta @ marginals_b

    return fun
