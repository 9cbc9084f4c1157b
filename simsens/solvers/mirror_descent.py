r"""Mirror descent: gradient descent in the geometry of a convex function.

.. math:: y \leftarrow \nabla\varphi(x) - \eta_k\, \nabla_1 f(x, \theta), \qquad
          x \leftarrow \operatorname{proj}^\varphi_C(y, \theta)

On simplices, with the entropy (the default), this is :math:`y \leftarrow y - \eta_k \nabla_1 f`,
:math:`x = t \operatorname{softmax}(y)` row by row. The state is the dual point y, not x: a
coordinate that underflows to zero is not lost, and comes back when its gradient says so.

The step is fixed or scheduled, as the theory of the method has it: about
:math:`1/L`, L relative to :math:`\varphi`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from simsens.implicit.fixed_point import displacement
from simsens.implicit.ravel import ravel
from simsens.optimality.mirror_descent import mirror_descent, mirror_descent_kl
from simsens.optimality.projected_gradient import projected_gradient
from simsens.projection.simplex import projection_simplex
from simsens.solvers.frame import Frame
from simsens.solvers.schedule import step_at


class State(NamedTuple):
    """Where the descent stands: x and its dual point y, vectors ``[n]``."""

    x: Any
    y: Any
    k: Any
    error: Any
    stuck: Any


@dataclass(frozen=True)
class MirrorDescent:
    r"""Mirror descent; ``solve(..., hyperparams_proj, *args)``.

    Attributes:
        fun: f, ``fun(x, *args)``, one real number; x is any tree.
        step: :math:`\eta`, a number or a function of the iteration (``solvers.schedule``).
        mirror_map: :math:`\nabla\varphi`, ``mirror_map(x)``; ``None`` for the entropy on
            simplices, rows along the last axis, whose total is ``hyperparams_proj`` (1 if None).
        bregman_projection: ``bregman_projection(y, hyperparams_proj)`` of a dual point; goes with
            ``mirror_map``.

    Raises:
        ValueError: only one of ``mirror_map`` and ``bregman_projection``.

    Example:
        >>> from simsens.solvers import solve
        >>> descent = MirrorDescent(lambda x, c: jnp.sum((x - c) ** 2), step=1.0)
        >>> print(solve(descent, jnp.ones(2) / 2, None, jnp.array([0.75, 0.25])).value)
        [0.75 0.25]
    """

    fun: Callable[..., Any]
    step: Any = 1.0
    mirror_map: Callable[..., Any] | None = None
    bregman_projection: Callable[..., Any] | None = None

    def __post_init__(self) -> None:
        if (self.mirror_map is None) != (self.bregman_projection is None):
            raise ValueError(
                "mirror_map and bregman_projection belong together, found only one; give both, or"
                " neither for the entropy on simplices"
            )

    def optimality(self) -> Callable[..., Any]:
        """The displacement of one step of length one."""
        if self.mirror_map is None or self.bregman_projection is None:
            return displacement(mirror_descent_kl(self.fun))
        return displacement(mirror_descent(self.fun, self.mirror_map, self.bregman_projection))

    def residual(self, x: Any, frame: Frame) -> Any:
        """How far x is from its projected gradient step, on simplices; elsewhere nothing.

        A coordinate that is zero is a fixed point of the multiplicative step whatever its gradient
        says; the Euclidean projection is not so easily satisfied.
        """
        if self.mirror_map is not None:
            return jnp.zeros((), x.dtype)
        hyperparams, *_ = frame.args
        step = projected_gradient(self.fun, _euclidean)
        total = 1.0 if hyperparams is None else hyperparams
        image = step(frame.unravel(x), total, *frame.args[1:])
        return jnp.linalg.norm(ravel(image)[0] - x)

    def start(self, x: Any, frame: Frame) -> State:
        """At x, and its dual point."""
        mirror = self.mirror_map or (lambda x: jax.tree.map(_log, x))
        y = ravel(mirror(frame.unravel(x)))[0].astype(x.dtype)
        infinite = jnp.full((), jnp.inf, x.dtype)
        return State(x, y, jnp.array(0), infinite, jnp.array(False))

    def advance(self, state: State, frame: Frame) -> State:
        """One step."""
        hyperparams, *args = frame.args
        project = self.bregman_projection or _softmax
        gradient = Frame(frame.unravel, tuple(args)).slope(self.fun)(state.x)[1]
        step = step_at(self.step, state.k, state.x.dtype)
        moved = frame.unravel(state.y - step * gradient)
        x = ravel(project(moved, hyperparams))[0].astype(state.x.dtype)
        # A dual point is known up to what the projection drops: take that of the image, unless it
        # is the entropy's, whose logarithm would lose what underflows.
        y = moved if self.mirror_map is None else self.mirror_map(frame.unravel(x))
        y = ravel(y)[0].astype(x.dtype)
        if self.mirror_map is None:
            y = ravel(jax.tree.map(_centred, frame.unravel(y)))[0]
        change = lax.stop_gradient(x - state.x)
        error = jnp.linalg.norm(change) / jnp.minimum(lax.stop_gradient(step), 1)
        return State(x, y, state.k + 1, error, state.stuck)


def _log(x: Any) -> Any:
    return jnp.log(jnp.maximum(x, jnp.finfo(x.dtype).tiny))


def _centred(y: Any) -> Any:
    return y - lax.stop_gradient(y.max(axis=-1, keepdims=True))


def _euclidean(x: Any, total: Any) -> Any:
    def rows(leaf: Any) -> Any:
        flat = leaf.reshape(-1, leaf.shape[-1])
        totals = jnp.broadcast_to(jnp.asarray(total), (*leaf.shape[:-1], 1)).reshape(-1)
        project: Any = jax.vmap(projection_simplex)
        return project(flat, totals).reshape(leaf.shape)

    return jax.tree.map(rows, x)


def _softmax(y: Any, total: Any) -> Any:
    share = 1.0 if total is None else total
    return jax.tree.map(lambda leaf: share * jax.nn.softmax(leaf, axis=-1), y)
