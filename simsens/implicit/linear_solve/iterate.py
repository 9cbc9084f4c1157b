r"""What all iterative solvers share: true residuals, restarts, the verdict.

A Krylov recurrence carries its own residual, which drifts from the true one. Whenever it claims
convergence, or its length is spent, the true residual is formed and the method is started again on
what is left, until the tolerance holds or a restart no longer halves it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from simsens.implicit.linear_solve.solution import (
    LinearSolution,
    Product,
    default_tolerance,
    projector,
    ratio,
    rounding_floor,
)


class Stretch(NamedTuple):
    """What one run of a method gives.

    Attributes:
        step: ``[n]`` approximate solution for the residual it was given.
        products: how many were spent.
        largest: the largest ``|A v| / |v|`` that was met: an estimate of ``|A|`` from below.
        broken: whether the matrix is not of the kind that the method needs.
    """

    step: Any
    products: Any
    largest: Any
    broken: Any


# (product, residual of length one, tolerance, budget of products) -> Stretch
Method = Callable[[Product, Any, Any, Any], Stretch]


def iterate(
    method: Method,
    product: Product,
    b: Any,
    *,
    init: Any = None,
    tol: float | None = None,
    maxiter: int | None = None,
    null_space: Any = None,
) -> LinearSolution:
    """Run a method until its true residual meets the tolerance.

    Args:
        method: one stretch of the recurrence.
        product: ``v -> A v`` on vectors.
        b: ``[n]`` right-hand side.
        init: ``[n]`` start, zero by default; it costs one product and is kept only if it helps.
        tol: relative residual aimed at; 1e-12 in float64 by default.
        maxiter: budget of products; ``20 n + 100`` by default.
        null_space: ``[k, n]`` orthonormal rows to project out, or ``None``.
    """
    tolerance = default_tolerance(b.dtype) if tol is None else tol
    budget = 20 * b.size + 100 if maxiter is None else maxiter
    project = projector(null_space)
    within = project(b)
    scale, given = jnp.linalg.norm(within), jnp.linalg.norm(b)
    unit = ratio(within, scale)

    def projected(v: Any) -> Any:
        return project(product(v))

    def left(x: Any) -> tuple[Any, Any]:
        r = project(unit - product(x))
        return r, jnp.linalg.norm(r)

    def stretch(state: Any) -> Any:
        x, r, true, count, top, broken, _ = state
        found = method(projected, ratio(r, true), tolerance / true, budget - count)
        trial = x + true * found.step
        r_new, true_new = left(trial)
        better = true_new < true
        x, r = jnp.where(better, trial, x), jnp.where(better, r_new, r)
        falling = true_new < 0.5 * true
        top = jnp.maximum(top, found.largest)
        count, broken = count + found.products, broken | found.broken
        return x, r, jnp.where(better, true_new, true), count, top, broken, falling

    def unfinished(state: Any) -> Any:
        _, _, true, count, _, broken, falling = state
        return (true > tolerance) & (count < budget) & ~broken & falling

    x, r, true = jnp.zeros_like(unit), unit, jnp.linalg.norm(unit)
    if init is not None:
        guess = ratio(project(init.astype(b.dtype)), scale)
        r_guess, true_guess = left(guess)
        better = true_guess < true
        x, r = jnp.where(better, guess, x), jnp.where(better, r_guess, r)
        true = jnp.where(better, true_guess, true)
    start = (x, r, true, 0, jnp.zeros((), b.dtype), False, True)
    start = jax.tree.map(jnp.asarray, start)
    x, _, true, count, top, broken, _ = lax.while_loop(unfinished, stretch, start)
    floor = rounding_floor(top, jnp.linalg.norm(x))
    fine = ~broken & (true <= jnp.maximum(10 * tolerance, floor))
    # NaN in b passes every comparison above by failing it: nothing was solved.
    fine = fine & jnp.isfinite(given)
    lost = ratio(jnp.linalg.norm(b - within), given)
    return LinearSolution(
        x * scale, jnp.where(jnp.isfinite(given), true, jnp.nan), count, fine, lost
    )
