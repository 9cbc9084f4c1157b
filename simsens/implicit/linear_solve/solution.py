r"""What a linear solve returns, and when it counts as solved.

Every solver is called as ``solve(matvec, b)``: ``matvec`` is the product ``v -> A v`` on trees like
``b``. The system is scaled to a right-hand side of length one and there is no absolute tolerance,
so a right-hand side of 1e-12 is solved as well as one of 1. The residual is the *true* one,
:math:`|b - A x| / |b|`, formed at the end from the answer, never the solver's own recurrence.

A tolerance cannot be met below the floor that rounding sets, about
:math:`\varepsilon\, |A|\, |x| / |b|`; a residual at this floor counts as solved while half of its
digits are right. Without that bound the answer to a system that has none, which grows along a null
vector, would excuse itself.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp

from simsens.implicit.ravel import ravel

SOLVED = 1e-8  # the largest true relative residual that a direct solve may leave, in float64

Product = Callable[[Any], Any]
Solve = Callable[[Product, Any], Any]


@dataclass(frozen=True)
class LinearSolution:
    """A solution with its evidence; a frozen pytree.

    Attributes:
        value: the solution, like the right-hand side.
        residual: true relative residual ``|b - A x| / |b|``, b taken without the components that
            were projected out.
        iterations: products spent, 0 for a factorisation.
        converged: whether the tolerance, or the floor that rounding sets, was reached.
        discarded: the fraction ``|b - P b| / |b|`` of b that lay on the given null space.
    """

    value: Any
    residual: Any
    iterations: Any
    converged: Any
    discarded: Any = 0.0


jax.tree_util.register_dataclass(
    LinearSolution,
    data_fields=["value", "residual", "iterations", "converged", "discarded"],
    meta_fields=[],
)


def solved(dtype: Any) -> float:
    """The largest relative residual of a direct solve in this precision."""
    return max(SOLVED, 100 * float(jnp.finfo(dtype).eps))


def default_tolerance(dtype: Any) -> float:
    """The relative residual that iterations aim at in this precision."""
    return max(1e-12, 10 * float(jnp.finfo(dtype).eps))


def rounding_floor(top: Any, size: Any) -> Any:
    """The relative residual that rounding may leave, for ``|A|`` and ``|x| / |b|``."""
    eps = float(jnp.finfo(size.dtype).eps)
    return jnp.minimum(100 * eps * top * size, eps**0.5)


def ratio(size: Any, scale: Any) -> Any:
    """``size / scale``, or ``size`` where the scale is zero."""
    return size / jnp.where(scale > 0, scale, 1)


def projector(null_space: Any) -> Callable[[Any], Any]:
    """``v -> v`` without its components on orthonormal rows ``[k, n]``, or nothing for ``None``."""
    if null_space is None:
        return lambda v: v
    return lambda v: v - (v @ null_space.T) @ null_space


def on_vectors(solver: Callable[..., LinearSolution]) -> Callable[..., LinearSolution]:
    """Let a solver of real vectors take trees of real and complex numbers.

    Adds JAXopt's ``ridge``: a multiple of the identity added to A. What acts on trees (the product,
    ``preconditioner``, ``init``) is handed on in terms of vectors.
    """

    @functools.wraps(solver)
    def solve(
        matvec: Product, b: Any, ridge: float | None = None, **options: Any
    ) -> LinearSolution:
        vector, unravel = ravel(b)
        if vector.size == 0:
            raise ValueError("the right-hand side holds no real or complex numbers")

        def product(v: Any) -> Any:
            image = ravel(matvec(unravel(v)))[0]
            return image if ridge is None else image + ridge * v

        if options.get("preconditioner") is not None:
            given = options["preconditioner"]
            options["preconditioner"] = lambda v: ravel(given(unravel(v)))[0]
        if options.get("init") is not None:
            options["init"] = ravel(options["init"])[0]
        found = solver(product, vector, **options)
        return replace(found, value=unravel(found.value))

    return solve


def judged(matvec: Product, b: Any, answer: Any) -> LinearSolution:
    """The evidence for the answer of any solver; ours bring their own.

    Args:
        matvec: ``v -> A v``.
        b: right-hand side.
        answer: what a solver returned: a ``LinearSolution``, or only the solution.
    """
    if isinstance(answer, LinearSolution):
        return answer
    vector = ravel(b)[0]
    size = jnp.linalg.norm(vector)
    residual = ratio(jnp.linalg.norm(vector - ravel(matvec(answer))[0]), size)
    # A foreign solver stops by its own tolerance, often 1e-5: what it leaves is compared with what
    # a derivative needs, not with what it promised.
    limit = max(1e-4, solved(vector.dtype))
    return LinearSolution(answer, residual, jnp.asarray(-1), residual <= limit)
