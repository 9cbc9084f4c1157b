r"""Optimisers of optax (https://optax.readthedocs.io), with an honest verdict.

Adam and its kin stop nowhere by themselves: here they stop at :math:`|\nabla_1 f|` within the
tolerance, like everyone else.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from simsens.optimality.stationary import stationary
from simsens.solvers.frame import Frame


class State(NamedTuple):
    """The iterate, and what the optimiser remembers."""

    x: Any
    memory: Any
    error: Any
    stuck: Any


@dataclass(frozen=True)
class Optax:
    r"""An optax optimiser on ``fun(x, *args)``; also those that search along a line.

    Attributes:
        fun: f, one real number; x is any tree.
        optimizer: ``optax.GradientTransformation``, sees x as one vector.

    Example:
        >>> import optax
        >>> from simsens.solvers import solve
        >>> adam = Optax(lambda x, theta: jnp.sum((x - theta) ** 2), optax.adam(0.1))
        >>> print(solve(adam, jnp.zeros(2), jnp.array([1.0, 2.0]), tol=1e-4).value.round(4))
        [1. 2.]
    """

    fun: Callable[..., Any]
    optimizer: Any

    def optimality(self) -> Callable[..., Any]:
        r""":math:`F = \nabla_1 f`."""
        return stationary(self.fun)

    def start(self, x: Any, frame: Frame) -> State:
        """Before the first step."""
        infinite = jnp.full((), jnp.inf, x.dtype)
        return State(x, self.optimizer.init(x), infinite, jnp.array(False))

    def advance(self, state: State, frame: Frame) -> State:
        """One step."""
        value, gradient = frame.slope(self.fun)(state.x)
        updates, memory = self._update(gradient, state, value, frame.value(self.fun))
        x = state.x + updates.astype(state.x.dtype)
        memory = jax.tree.map(lambda old, new: jnp.asarray(new, old.dtype), state.memory, memory)
        error = jnp.linalg.norm(lax.stop_gradient(gradient))
        return State(x, memory, error, state.stuck)

    def _update(self, gradient: Any, state: State, value: Any, value_fn: Any) -> Any:
        if hasattr(self.optimizer, "update") and _takes_more(self.optimizer):
            return self.optimizer.update(
                gradient, state.memory, state.x, value=value, grad=gradient, value_fn=value_fn
            )
        return self.optimizer.update(gradient, state.memory, state.x)


def _takes_more(optimizer: Any) -> bool:
    import optax

    return isinstance(optimizer, optax.GradientTransformationExtraArgs)
