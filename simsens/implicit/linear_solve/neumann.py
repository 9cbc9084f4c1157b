r"""Approximate derivatives of fixed points: one step, k steps, the Neumann series.

For a fixed point :math:`x = T(x, \theta)` the matrix is :math:`A = I - K` with
:math:`K = \partial_1 T`. Where T contracts,

.. math:: A^{-1} b = \sum_{i=0}^{\infty} K^i b .

Cut after k terms this is what backpropagation through the last k steps of the iteration gives; with
one term it is the Jacobian-free (one-step) derivative :math:`J \approx \partial_2 T` (Bolte,
Pauwels and Vaiter, arXiv 2305.13768). It costs k - 1 products, and is wrong by the true residual
that comes with it: about :math:`|K|^k`. A certificate turns that into an error bound.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from simsens.implicit.linear_solve.solution import LinearSolution, Product, on_vectors, ratio


def k_step(steps: int) -> Callable[..., LinearSolution]:
    """A solver that sums ``steps`` terms of the Neumann series.

    ``converged`` says that the answer is finite and better than none (a residual below one): of the
    accuracy it promises nothing, and the residual says what it is.

    Raises:
        ValueError: fewer than one step.

    Example:
        >>> solution = k_step(3)(lambda v: 0.5 * v, jnp.array([1.0]))  # K = 1/2: 1 + 1/2 + 1/4
        >>> float(solution.value[0]), float(solution.residual)
        (1.75, 0.125)
    """
    if steps < 1:
        raise ValueError(f"a Neumann series needs at least one term; got steps={steps}")
    return partial(_truncated, steps=steps)


@on_vectors
def one_step(product: Product, b: Any) -> LinearSolution:
    """The Jacobian-free solve: A is taken for the identity. See ``k_step``.

    Example:
        >>> float(one_step(lambda v: 0.9 * v, jnp.array([1.0])).residual) < 0.11
        True
    """
    return _verdict(product, b, b, 1)


@on_vectors
def _truncated(product: Product, b: Any, *, steps: int) -> LinearSolution:
    x = lax.fori_loop(1, steps, lambda _, x: x + (b - product(x)), b)
    return _verdict(product, b, x, steps)


def _verdict(product: Product, b: Any, x: Any, steps: int) -> LinearSolution:
    residual = ratio(jnp.linalg.norm(b - product(x)), jnp.linalg.norm(b))
    return LinearSolution(x, residual, jnp.asarray(steps), residual < 1)


@on_vectors
def solve_neumann(
    product: Product, b: Any, *, tol: float | None = None, maxiter: int = 1000
) -> LinearSolution:
    """The Neumann series summed until its residual meets ``tol`` (1e-8 by default).

    Simple iteration: for contractions, where each product costs little. ``converged`` is false when
    the residual grows or the terms run out.

    Example:
        >>> solution = solve_neumann(lambda v: 0.5 * v, jnp.array([1.0]))
        >>> round(float(solution.value[0]), 6), bool(solution.converged)
        (2.0, True)
    """
    tolerance = max(1e-8, 10 * float(jnp.finfo(b.dtype).eps)) if tol is None else tol
    size = jnp.linalg.norm(b)
    unit = ratio(b, size)

    def step(state: Any) -> Any:
        x, r, count = state
        x = x + r
        return x, unit - product(x), count + 1

    def going(state: Any) -> Any:
        _, r, count = state
        left = jnp.linalg.norm(r)
        # A non-normal K may grow for a while before it contracts.
        return (left > tolerance) & (count < maxiter) & (left < 1e8)

    start = jax.tree.map(jnp.asarray, (jnp.zeros_like(b), unit, 0))
    x, r, count = lax.while_loop(going, step, start)
    residual = jnp.linalg.norm(r)
    return LinearSolution(x * size, residual, count, residual <= tolerance)
