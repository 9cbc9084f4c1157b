r"""Proximal gradient: ISTA, and with momentum FISTA.

For :math:`\min_x f(x, \theta) + g(x, \theta)`, f smooth, g with a proximity operator,

.. math:: x \leftarrow \operatorname{prox}_{\eta g}(x - \eta\, \nabla_1 f(x, \theta), \theta).

What stops it, and what is differentiated, is the displacement of this map for :math:`\eta = 1`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from simsens.implicit.fixed_point import displacement
from simsens.implicit.ravel import ravel
from simsens.optimality.proximal_gradient import proximal_gradient
from simsens.solvers import descent
from simsens.solvers.frame import Frame


@dataclass(frozen=True)
class ProximalGradient:
    r"""Proximal gradient descent; ``solve(..., hyperparams_prox, *args)``.

    Attributes:
        fun: f, ``fun(x, *args)``, one real number; x is any tree.
        prox: ``prox(x, hyperparams_prox, scaling)``, a tree like x; those of ``simsens.prox``.
        step: :math:`\eta`: a number, a function of the iteration, or ``None`` for a line search.
        acceleration: FISTA instead of ISTA, with restarts.

    Example:
        >>> import jax.numpy as jnp
        >>> from simsens.prox import prox_lasso
        >>> from simsens.solvers import solve
        >>> lasso = ProximalGradient(lambda x, y: 0.5 * jnp.sum((x - y) ** 2), prox_lasso)
        >>> print(solve(lasso, jnp.zeros(2), 1.0, jnp.array([3.0, 0.5])).value)
        [2. 0.]
    """

    fun: Callable[..., Any]
    prox: Callable[..., Any]
    step: Any = None
    acceleration: bool = True

    def optimality(self) -> Callable[..., Any]:
        r""":math:`F = x - \operatorname{prox}_g(x - \nabla_1 f)`."""
        return displacement(proximal_gradient(self.fun, self.prox))

    def start(self, x: Any, frame: Frame) -> descent.State:
        """Before the first step."""
        return descent.start(x)

    def advance(self, state: descent.State, frame: Frame) -> descent.State:
        """One step."""
        hyperparams, *args = frame.args
        slope = Frame(frame.unravel, tuple(args)).slope(self.fun)

        def prox(x: Any, step: Any) -> Any:
            image = ravel(self.prox(frame.unravel(x), hyperparams, step))[0]
            return image.astype(x.dtype)

        return descent.advance(state, slope, prox, self.step, self.acceleration)
