"""Solvers of lineax, through an adapter that asks for the same evidence as of our own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from simsens.implicit.linear_solve.solution import (
    LinearSolution,
    Product,
    on_vectors,
    ratio,
    solved,
)


def from_lineax(
    solver: Any, *, symmetric: bool = False, definite: bool = False
) -> Callable[..., LinearSolution]:
    """Any lineax solver as ``solve(matvec, b)``.

    The right-hand side is scaled to length one, so that lineax's absolute tolerance cannot swallow
    a small cotangent; its own verdict is not asked for, the true residual decides.

    Args:
        solver: ``lineax.GMRES(rtol=1e-10, atol=1e-10)``, ``lineax.SVD()``, ...
        symmetric: tag the operator as symmetric.
        definite: tag it as positive semidefinite too.

    Raises:
        ModuleNotFoundError: lineax is not installed.

    Example:
        solve = from_lineax(lineax.CG(rtol=1e-10, atol=1e-10), symmetric=True, definite=True)
    """
    import lineax

    tags = [lineax.symmetric_tag] * (symmetric or definite)
    tags += [lineax.positive_semidefinite_tag] * definite

    @on_vectors
    def solve(product: Product, b: Any) -> LinearSolution:
        size = jnp.linalg.norm(b)
        shape = jax.ShapeDtypeStruct(b.shape, b.dtype)
        operator = lineax.FunctionLinearOperator(product, shape, tuple(tags))
        found = lineax.linear_solve(operator, ratio(b, size), solver, throw=False)
        x = found.value * jnp.where(size > 0, size, 1)
        residual = ratio(jnp.linalg.norm(b - product(x)), size)
        steps = jnp.asarray(found.stats.get("num_steps", 0))
        return LinearSolution(x, residual, steps, residual <= solved(b.dtype))

    return solve
