"""What a solver hands over: a point, and how near it is to being a solution."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax

CONVERGED, ITERATIONS, NOT_FINITE, STUCK = range(4)
_REASONS = (
    "converged: the residual {residual:.3g} is within the tolerance after {iterations} iterations",
    "not converged: the iteration limit, {iterations}, came first; the residual is {residual:.3g};"
    " allow more iterations, or take another solver",
    "not converged: the numbers are no longer finite after {iterations} iterations; take a"
    " smaller step, or scale the problem",
    "not converged: no step made progress after {iterations} iterations; the residual is"
    " {residual:.3g}; {stuck}",
)


@dataclass(frozen=True)
class Solution:
    r"""A point and its verdict; a frozen pytree.

    Attributes:
        value: x, a tree like the start; its derivatives are those of the solution, NaN where it
            did not converge.
        residual: the Euclidean norm of :math:`F(x, \theta)`, formed anew from x at the end, never
            the solver's own word.
        iterations: how many were made.
        converged: whether the residual is within the tolerance.
        status: why it stopped, 0 to 3; ``reason`` says it in words.
        stuck: what it means for this solver to be stuck.
    """

    value: Any
    residual: Any
    iterations: Any
    converged: Any
    status: Any
    stuck: str = "the tolerance may be below what rounding allows"

    @property
    def reason(self) -> str:
        """Why the solver stopped, one sentence; of a batch, or inside ``jit``, a ``TypeError``."""
        text = _REASONS[int(self.status)]
        return text.format(
            residual=float(self.residual), iterations=int(self.iterations), stuck=self.stuck
        )


jax.tree_util.register_dataclass(
    Solution,
    data_fields=["value", "residual", "iterations", "converged", "status"],
    meta_fields=["stuck"],
)
