r"""Fixed-point iteration, :math:`x \leftarrow T(x, \theta)`, for a map that contracts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax.numpy as jnp
from jax import lax

from simsens.implicit.fixed_point import displacement
from simsens.solvers.frame import Frame


class State(NamedTuple):
    """The iterate, and how far it moved."""

    x: Any
    error: Any
    stuck: Any


@dataclass(frozen=True)
class FixedPointIteration:
    r"""Iterate ``fixed_point_fun(x, *args)``.

    Attributes:
        fixed_point_fun: T, a tree like x.

    Example:
        >>> from simsens.solvers import solve
        >>> halved = FixedPointIteration(lambda x, theta: 0.5 * x + theta)
        >>> round(float(solve(halved, jnp.array(0.0), 3.0).value), 6)
        6.0
    """

    fixed_point_fun: Callable[..., Any]

    def optimality(self) -> Callable[..., Any]:
        """:math:`F = x - T`."""
        return displacement(self.fixed_point_fun)

    def start(self, x: Any, frame: Frame) -> State:
        """Before the first step."""
        return State(x, jnp.full((), jnp.inf, x.dtype), jnp.array(False))

    def advance(self, state: State, frame: Frame) -> State:
        """One step."""
        x = frame.image(self.fixed_point_fun)(state.x)
        error = jnp.linalg.norm(lax.stop_gradient(x - state.x))
        return State(x, error, state.stuck)
