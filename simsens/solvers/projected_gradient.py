r"""Projected gradient: :math:`x \leftarrow \operatorname{proj}_C(x - \eta\, \nabla_1 f)`.

Proximal gradient with the indicator of a set C, which may depend on :math:`\theta`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from simsens.implicit.fixed_point import displacement
from simsens.optimality.projected_gradient import projected_gradient
from simsens.prox.from_projection import make_prox_from_projection
from simsens.solvers import descent
from simsens.solvers.frame import Frame
from simsens.solvers.proximal_gradient import ProximalGradient


@dataclass(frozen=True)
class ProjectedGradient:
    r"""Projected gradient descent; ``solve(..., hyperparams_proj, *args)``.

    Attributes:
        fun: f, ``fun(x, *args)``, one real number; x is any tree.
        projection: ``projection(x, hyperparams_proj)``, a tree like x; those of
            ``simsens.projection``.
        step: :math:`\eta`: a number, a function of the iteration, or ``None`` for a line search.
        acceleration: momentum with restarts.

    Example:
        >>> import jax.numpy as jnp
        >>> from simsens.projection import projection_non_negative
        >>> from simsens.solvers import solve
        >>> fun = lambda x, y: jnp.sum((x - y) ** 2)
        >>> descent = ProjectedGradient(fun, projection_non_negative)
        >>> print(solve(descent, jnp.ones(2), None, jnp.array([2.0, -1.0])).value)
        [2. 0.]
    """

    fun: Callable[..., Any]
    projection: Callable[..., Any]
    step: Any = None
    acceleration: bool = True

    def optimality(self) -> Callable[..., Any]:
        r""":math:`F = x - \operatorname{proj}_C(x - \nabla_1 f)`."""
        return displacement(projected_gradient(self.fun, self.projection))

    def start(self, x: Any, frame: Frame) -> descent.State:
        """Before the first step."""
        return descent.start(x)

    def advance(self, state: descent.State, frame: Frame) -> descent.State:
        """One step."""
        prox = make_prox_from_projection(self.projection)
        method = ProximalGradient(self.fun, prox, self.step, self.acceleration)
        return method.advance(state, frame)
