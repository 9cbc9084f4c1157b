r"""L-BFGS: Newton's method with a Hessian that is learnt from the last few steps.

With :math:`s_k = x_{k+1} - x_k`, :math:`y_k = \nabla f_{k+1} - \nabla f_k` the direction
:math:`-H_k \nabla f_k` comes from the two-loop recursion (Nocedal and Wright, *Numerical
Optimization*, 2006, algorithm 7.4), started with :math:`\langle s, y\rangle/\langle y, y\rangle`
times the identity. Pairs of no positive curvature are left out.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax.numpy as jnp
from jax import lax

from simsens.optimality.stationary import stationary
from simsens.solvers.frame import Frame
from simsens.solvers.line_search import wolfe_step


class State(NamedTuple):
    """Where the descent stands; ``s`` and ``y`` are ``[memory, n]``, the newest pair last."""

    x: Any
    gradient: Any
    s: Any
    y: Any
    error: Any
    stuck: Any


@dataclass(frozen=True)
class LBFGS:
    r"""Limited-memory BFGS for a minimum of ``fun(x, *args)``.

    Attributes:
        fun: f, one real number; x is any tree.
        memory: how many pairs are kept.

    Example:
        >>> from simsens.solvers import solve
        >>> bfgs = LBFGS(lambda x, theta: jnp.sum(jnp.cosh(x - theta)))
        >>> print(solve(bfgs, jnp.zeros(2), jnp.array([1.0, -2.0])).value.round(6))
        [ 1. -2.]
    """

    fun: Callable[..., Any]
    memory: int = 10

    def __post_init__(self) -> None:
        if self.memory < 1:
            raise ValueError(f"memory must be at least 1 pair, found {self.memory}")

    def optimality(self) -> Callable[..., Any]:
        r""":math:`F = \nabla_1 f`."""
        return stationary(self.fun)

    def start(self, x: Any, frame: Frame) -> State:
        """At x, with its gradient and nothing learnt."""
        gradient = frame.slope(self.fun)(x)[1]
        empty = jnp.zeros((self.memory, x.size), x.dtype)
        return State(x, gradient, empty, empty, _norm(gradient), jnp.array(False))

    def advance(self, state: State, frame: Frame) -> State:
        """One step."""
        slope = frame.slope(self.fun)
        direction = -_product(state)
        first = jnp.where(jnp.any(state.y != 0), 1, 1 / jnp.maximum(1, state.error))
        step = wolfe_step(slope, state.x, direction, first.astype(state.x.dtype))
        x = state.x + step * direction
        gradient = slope(x)[1]
        s, y = x - state.x, gradient - state.gradient
        curved = s @ y > jnp.finfo(x.dtype).eps * (y @ y)
        stuck = (step == 0) & ~jnp.any(state.y != 0)
        # A direction that leads nowhere: forget what was learnt, and go on along the gradient.
        forget = step == 0
        kept = [
            jnp.where(curved, jnp.concatenate([old[1:], new[None]]), jnp.where(forget, 0, old))
            for old, new in ((state.s, s), (state.y, y))
        ]
        return State(x, gradient, kept[0], kept[1], _norm(gradient), stuck)


def _norm(gradient: Any) -> Any:
    return jnp.linalg.norm(lax.stop_gradient(gradient))


def _product(state: State) -> Any:
    r""":math:`H_k \nabla f` by the two loops; pairs that are zero are none."""
    curvature = jnp.sum(state.s * state.y, axis=1)
    rho = jnp.where(curvature > 0, 1 / jnp.where(curvature > 0, curvature, 1), 0)

    def newest_first(q: Any, pair: Any) -> tuple[Any, Any]:
        s, y, r = pair
        a = r * (s @ q)
        return q - a * y, a

    q, a = lax.scan(newest_first, state.gradient, (state.s, state.y, rho), reverse=True)
    s, y = state.s[-1], state.y[-1]
    size = y @ y
    q = jnp.where(size > 0, (s @ y) / jnp.where(size > 0, size, 1), 1) * q

    def oldest_first(q: Any, pair: Any) -> tuple[Any, Any]:
        s, y, r, a = pair
        return q + s * (a - r * (y @ q)), None

    return lax.scan(oldest_first, q, (state.s, state.y, rho, a))[0]
