r"""Bisection: the root of an equation in one unknown, or of many independent ones at once.

The bracket :math:`[a, b]` is halved, keeping the end where F has the other sign. F may rise or
fall, and needs no derivative. Where F has the same sign at both ends there is nothing to halve, and
the verdict says so.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax.numpy as jnp
from jax import lax

from simsens.implicit.ravel import ravel
from simsens.solvers.frame import Frame


class State(NamedTuple):
    """The middle of the bracket, its ends, and the sign of F at the lower one."""

    x: Any
    low: Any
    high: Any
    sign: Any
    error: Any
    stuck: Any


@dataclass(frozen=True)
class Bisection:
    r"""Bisection of ``optimality_fun(x, *args)`` between two ends; the start only tells the shape.

    Attributes:
        optimality_fun: F; every number of it depends on the same number of x alone.
        lower: a, a number or an array like x.
        upper: b.

    Example:
        >>> from simsens.solvers import solve
        >>> root = Bisection(lambda x, theta: x**3 - theta, lower=0.0, upper=10.0)
        >>> round(float(solve(root, jnp.array(0.0), 8.0).value), 6)
        2.0
    """

    optimality_fun: Callable[..., Any]
    lower: Any
    upper: Any
    unrolls = False
    stuck = (
        "F has the same sign at both ends of the bracket, or the bracket cannot be halved any"
        " more: give ends with a root between them, or a larger tolerance"
    )

    def optimality(self) -> Callable[..., Any]:
        """F."""
        return self.optimality_fun

    def start(self, x: Any, frame: Frame) -> State:
        """The middle of the whole bracket."""
        like = frame.unravel(x)
        low, high = (
            lax.stop_gradient(
                ravel(jnp.broadcast_to(jnp.asarray(end, x.dtype), jnp.shape(like)))[0]
            )
            for end in (self.lower, self.upper)
        )
        residual = frame.image(self.optimality_fun)
        ends = [jnp.sign(lax.stop_gradient(residual(end))) for end in (low, high)]
        # A root at an end is found too: the bracket shrinks to that end.
        none = jnp.any(ends[0] * ends[1] > 0)
        sign = jnp.where(ends[0] == 0, -ends[1], ends[0])
        high = jnp.where(ends[0] == 0, low, high)
        return self._middle(low, high, sign, none, residual)

    def advance(self, state: State, frame: Frame) -> State:
        """One halving."""
        residual = frame.image(self.optimality_fun)
        left = jnp.sign(lax.stop_gradient(residual(state.x))) * state.sign > 0
        low, high = jnp.where(left, state.x, state.low), jnp.where(left, state.high, state.x)
        # Once no number lies between the ends, halving changes nothing.
        same = jnp.all((low == state.low) & (high == state.high))
        return self._middle(low, high, state.sign, state.stuck | same, residual)

    def _middle(self, low: Any, high: Any, sign: Any, stuck: Any, residual: Any) -> State:
        x = lax.stop_gradient(low + 0.5 * (high - low))
        error = jnp.linalg.norm(lax.stop_gradient(residual(x)))
        return State(x, low, high, sign, error, stuck)
