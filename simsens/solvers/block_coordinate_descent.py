r"""Block coordinate descent: one block after the other, each by a proximal gradient step.

For objectives that see x through a linear map, row by row,

.. math:: f(x, \theta) = \varphi(A^T x, \theta) + \langle x, c(\theta)\rangle, \qquad
          \min_x f(x, \theta) + \sum_i g_i(x_i),

where row i of A ``[m, q]`` belongs to block :math:`x_i`, a number or a row of k. Only
:math:`z = A^T x` is kept: a block costs :math:`O(q k)`, an iteration, which is a whole epoch over
the m blocks, as much as one gradient. The step of a block is :math:`1/(\beta |a_i|^2)` with
:math:`\beta` the smoothness of :math:`\varphi`.

The lasso is :math:`A = X^T, \varphi = |z - y|^2/2`; the dual of a multiclass SVM
:math:`A = X, \varphi = |z - X^T Y|^2/2\theta`, c = Y.

Reference: Tseng and Yun, Math. Program. 117 (2009).
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
from simsens.optimality.block_proximal_gradient import block_proximal_gradient
from simsens.solvers.frame import Frame


class State(NamedTuple):
    """Where the descent stands: x ``[n]``, and :math:`z = A^T x`."""

    x: Any
    z: Any
    error: Any
    stuck: Any


@dataclass(frozen=True)
class BlockCoordinateDescent:
    r"""Block coordinate descent; ``solve(..., hyperparams_prox, A, *args)``.

    Attributes:
        outer: :math:`\varphi`, ``outer(z, *args)``, one real number; z is ``[q]`` or ``[q, k]``.
        block_prox: ``block_prox(x_i, hyperparams_prox, scaling)`` of one block.
        smoothness: :math:`\beta(\theta)`, ``smoothness(*args)``: the largest curvature of
            :math:`\varphi`.
        linear: c, ``linear(*args)``, an array like x; ``None`` for 0.
        hyperparams_axes: along which axis ``hyperparams_prox`` holds one value for each block, as
            ``in_axes`` of ``jax.vmap``; ``None`` if all blocks share it.

    Example:
        >>> from simsens.prox import prox_lasso
        >>> from simsens.solvers import solve
        >>> square = lambda z, y: 0.5 * jnp.sum((z - y) ** 2)
        >>> descent = BlockCoordinateDescent(square, prox_lasso)
        >>> A, y = jnp.eye(2), jnp.array([3.0, 0.5])
        >>> print(solve(descent, jnp.zeros(2), 1.0, A, y).value)
        [2. 0.]
    """

    outer: Callable[..., Any]
    block_prox: Callable[..., Any]
    smoothness: Callable[..., Any] = lambda *args: 1.0
    linear: Callable[..., Any] | None = None
    hyperparams_axes: Any = None

    def fun(self, x: Any, A: Any, *args: Any) -> Any:
        r"""f: :math:`\varphi(A^T x, \theta) + \langle x, c(\theta)\rangle`."""
        value = self.outer(A.T @ x, *args)
        return value if self.linear is None else value + jnp.vdot(x, self.linear(*args))

    def optimality(self) -> Callable[..., Any]:
        """The displacement of a proximal gradient step of length one in every block."""
        axes = self.hyperparams_axes
        return displacement(
            block_proximal_gradient(self.fun, self.block_prox, hyperparams_axes=axes)
        )

    def start(self, x: Any, frame: Frame) -> State:
        """At x.

        Raises:
            ValueError: x is not one array with a row for each row of A.
        """
        blocks, (_, A, *_) = frame.unravel(x), frame.args
        if not hasattr(blocks, "shape") or jnp.ndim(A) != 2 or blocks.shape[:1] != A.shape[:1]:
            raise ValueError(
                "block coordinate descent needs x of shape [m] or [m, k] and A of shape [m, q],"
                f" found {getattr(blocks, 'shape', type(blocks).__name__)} and {jnp.shape(A)}"
            )
        infinite = jnp.full((), jnp.inf, x.dtype)
        return State(x, (A.T @ blocks).astype(x.dtype), infinite, jnp.array(False))

    def advance(self, state: State, frame: Frame) -> State:
        """One epoch."""
        hyperparams, A, *args = frame.args
        x = frame.unravel(state.x)
        slope = jax.grad(lambda z: self.outer(z, *args))
        tilt = jnp.zeros_like(x) if self.linear is None else self.linear(*args)
        curvature = self.smoothness(*args) * jnp.sum(A * A, axis=1)
        steps = 1 / jnp.where(curvature > 0, curvature, 1)
        shared = self.hyperparams_axes is None

        def block(z: Any, given: Any) -> tuple[Any, Any]:
            a, old, c, step, own = given
            gradient = a @ slope(z) + c
            new = self.block_prox(old - step * gradient, hyperparams if shared else own, step)
            new = new.astype(old.dtype)
            moved = new - old
            return z + jnp.multiply.outer(a, moved), (new, lax.stop_gradient(moved) / step)

        own = None if shared else _leading(hyperparams, self.hyperparams_axes)
        z, (x, moves) = lax.scan(block, state.z, (A, x, tilt, steps, own))
        # Each block was stationary when it was left, not when the epoch ended: what the later ones
        # moved is part of the error.
        error = jnp.linalg.norm(moves)
        return State(ravel(x)[0], z, lax.stop_gradient(error), state.stuck)


def _leading(hyperparams: Any, axes: Any) -> Any:
    """One value a block along the first axis, whatever the axis was."""
    if isinstance(axes, int):
        axes = jax.tree.map(lambda _: axes, hyperparams)
    try:
        return jax.tree.map(lambda axis, leaf: jnp.moveaxis(leaf, axis, 0), axes, hyperparams)
    except ValueError as error:
        raise ValueError(
            "hyperparams_axes must name an axis of every hyperparameter, or be None for all;"
            f" found {axes}"
        ) from error
