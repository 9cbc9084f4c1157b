r"""Newton's method, for a minimum and for a root.

.. math:: H d = -\nabla_1 f, \quad x \leftarrow x + t\, d; \qquad
          J d = -F, \quad x \leftarrow x + t\, d .

**Minimum.** t satisfies the conditions of Wolfe. Where H is not positive, its eigenvalues are taken
as absolute values, so that d leads downhill and away from saddles; beyond 1,500 unknowns steepest
descent takes its place. **Root.** t is halved until :math:`|F|` falls.

The linear system is solved as derivatives are (``simsens.implicit.linear_solve``): by
factorisation up to 1,500 unknowns, by products beyond.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from simsens.implicit.linear_solve.choice import automatic
from simsens.implicit.linear_solve.dense import DENSE_LIMIT, materialise
from simsens.implicit.root import held
from simsens.implicit.structure import Declared, declared
from simsens.optimality.stationary import stationary
from simsens.solvers.frame import Frame
from simsens.solvers.line_search import wolfe_step

TRIALS = 40


class State(NamedTuple):
    """Where Newton's method stands, and the residual there: the gradient, or F."""

    x: Any
    residual: Any
    error: Any
    stuck: Any


@dataclass(frozen=True)
class Newton:
    r"""Newton's method for a minimum of ``fun(x, *args)``.

    Attributes:
        fun: f, one real number, twice differentiable; x is any tree.

    Example:
        >>> from simsens.solvers import solve
        >>> newton = Newton(lambda x, theta: jnp.sum(jnp.exp(x) - theta * x))
        >>> print(solve(newton, jnp.zeros(2), jnp.array([1.0, 3.0])).value.round(6))
        [0.       1.098612]
    """

    fun: Callable[..., Any]

    def optimality(self) -> Callable[..., Any]:
        r""":math:`F = \nabla_1 f`."""
        return stationary(self.fun)

    def start(self, x: Any, frame: Frame) -> State:
        """At x, with its gradient."""
        return _state(x, frame.slope(self.fun)(x)[1], jnp.array(False))

    def advance(self, state: State, frame: Frame) -> State:
        """One step."""
        slope = frame.slope(self.fun)
        gradient = state.residual
        direction = _downhill(lambda x: slope(x)[1], state.x, gradient)
        fall, size = direction @ gradient, jnp.linalg.norm(direction) * jnp.linalg.norm(gradient)
        direction = jnp.where(fall < -1e-8 * size, direction, -gradient)
        step = wolfe_step(slope, state.x, direction, jnp.ones((), state.x.dtype))
        x = state.x + step * direction
        return _state(x, slope(x)[1], step == 0)


@dataclass(frozen=True)
class NewtonRoot:
    r"""Newton's method for a root of ``optimality_fun(x, *args)``.

    Attributes:
        optimality_fun: F, as many numbers as x holds; what it declares chooses the linear solver.

    Example:
        >>> from simsens.solvers import solve
        >>> float(solve(NewtonRoot(lambda x, theta: x**3 - theta), jnp.array(1.0), 8.0).value)
        2.0
    """

    optimality_fun: Callable[..., Any]

    def optimality(self) -> Callable[..., Any]:
        """F."""
        return self.optimality_fun

    def start(self, x: Any, frame: Frame) -> State:
        """At x, with its residual."""
        return _state(x, frame.image(self.optimality_fun)(x), jnp.array(False))

    def advance(self, state: State, frame: Frame) -> State:
        """One step."""
        residual = frame.image(self.optimality_fun)
        direction = _direction(residual, state.x, state.residual, declared(self.optimality_fun))
        step = _shortened(residual, state.x, direction, state.error)
        x = state.x + step * direction
        return _state(x, residual(x), step == 0)


def _state(x: Any, residual: Any, stuck: Any) -> State:
    return State(x, residual, jnp.linalg.norm(lax.stop_gradient(residual)), stuck)


def _downhill(slope: Callable[..., Any], x: Any, gradient: Any) -> Any:
    """``-|H|^-1 gradient``, where |H| has the absolute eigenvalues of H; of H itself, if large."""
    product = jax.linearize(slope, x)[1]
    if x.size > DENSE_LIMIT:
        return _direction(slope, x, gradient, Declared(symmetric=True))
    hessian = materialise(product, x.size, x.dtype)
    still = lax.stop_gradient(hessian)
    positive = jnp.all(jnp.isfinite(jnp.linalg.cholesky(still)))
    shift = lax.cond(positive, jnp.zeros_like, _reflection, still)
    matrix = hessian + shift

    def solution(matvec: Any, b: Any) -> Any:
        return jnp.linalg.solve(lax.stop_gradient(matrix), b)

    return -lax.custom_linear_solve(
        lambda v: matrix @ v, gradient, solution, transpose_solve=solution, symmetric=True
    )


def _reflection(hessian: Any) -> Any:
    """What makes negative eigenvalues positive, and lifts those that are nearly zero."""
    values, vectors = jnp.linalg.eigh(hessian)
    size = abs(values)
    lifted = jnp.maximum(size, 1e-8 * size.max())
    return (vectors * (lifted - values)) @ vectors.T


def _direction(residual: Callable[..., Any], x: Any, value: Any, structure: Declared) -> Any:
    """``-J^-1 value``; its derivative is one more solve, never one through the solver."""
    product = jax.linearize(residual, x)[1]
    chosen = automatic(structure)

    def solution(matvec: Any, b: Any) -> Any:
        return chosen(matvec, b).value

    return -lax.custom_linear_solve(
        product, value, solution, transpose_solve=solution, symmetric=structure.symmetric
    )


def _shortened(residual: Callable[..., Any], x: Any, direction: Any, size: Any) -> Any:
    """The first of 1, 1/2, 1/4 ... that makes ``|F|`` fall, or 0; a constant to derivatives."""

    def norm(t: Any, x: Any, direction: Any) -> Any:
        return jnp.linalg.norm(residual(x + t * direction))

    one = jnp.ones((), x.dtype)
    norm, closed = jax.closure_convert(norm, one, x, direction)
    x, direction, size, closed = held((x, direction, size, closed))

    def failing(carry: Any) -> Any:
        t, found, trials = carry
        return ~(found <= (1 - 1e-4 * t) * size) & (trials < TRIALS)

    def halved(carry: Any) -> Any:
        t, _, trials = carry
        return 0.5 * t, norm(0.5 * t, x, direction, *closed), trials + 1

    t, found, _ = lax.while_loop(
        failing, halved, (one, norm(one, x, direction, *closed), jnp.array(0))
    )
    return jnp.where(found <= (1 - 1e-4 * t) * size, t, 0)
