r"""Gradient descent, :math:`x \leftarrow x - \eta\, \nabla_1 f(x, \theta)`.

For smooth f. With momentum and a searched step (the defaults) it needs about
:math:`\sqrt{L/\mu}` iterations a digit where f is strongly convex. What stops it, and what is
differentiated, is :math:`F = \nabla_1 f`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from simsens.optimality.stationary import stationary
from simsens.solvers import descent
from simsens.solvers.frame import Frame


@dataclass(frozen=True)
class GradientDescent:
    r"""Gradient descent on ``fun(x, *args)``.

    Attributes:
        fun: f, one real number; x is any tree.
        step: :math:`\eta`: a number, a function of the iteration (``solvers.schedule``), or
            ``None`` for a line search by backtracking.
        acceleration: Nesterov's momentum with restarts.

    Example:
        >>> import jax.numpy as jnp
        >>> from simsens.solvers import solve
        >>> bowl = GradientDescent(lambda x, theta: jnp.sum((x - theta) ** 2))
        >>> print(solve(bowl, jnp.zeros(2), jnp.array([1.0, 2.0])).value)
        [1. 2.]
    """

    fun: Callable[..., Any]
    step: Any = None
    acceleration: bool = True

    def optimality(self) -> Callable[..., Any]:
        r""":math:`F = \nabla_1 f`."""
        return stationary(self.fun)

    def start(self, x: Any, frame: Frame) -> descent.State:
        """Before the first step."""
        return descent.start(x)

    def advance(self, state: descent.State, frame: Frame) -> descent.State:
        """One step."""
        slope = frame.slope(self.fun)
        return descent.advance(state, slope, lambda x, step: x, self.step, self.acceleration)
