r"""How far to go along a direction: the weak conditions of Wolfe.

With :math:`\varphi(t) = f(x + t d)` a step t is accepted when

.. math:: \varphi(t) \le \varphi(0) + c_1 t\, \varphi'(0), \qquad
          \varphi'(t) \ge c_2\, \varphi'(0),

found by doubling until a step is too long, then halving the bracket: for a smooth function that is
bounded below this ends (Lewis and Overton, Math. Program. 141, 2013, algorithm 4.6).

Near a minimum :math:`\varphi(t) - \varphi(0)` drowns in rounding, and the first condition with it.
Where the change cannot be resolved, the slopes decide, as they do for a parabola:
:math:`\varphi'(t) \le (2 c_1 - 1)\, \varphi'(0)` (Hager and Zhang, SIAM J. Optim. 16, 2005).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from simsens.implicit.root import held

DECREASE, CURVATURE = 1e-4, 0.9
TRIALS = 60


class _Bracket(NamedTuple):
    step: Any
    low: Any
    high: Any
    accepted: Any
    trials: Any


def wolfe_step(slope: Callable[[Any], tuple[Any, Any]], x: Any, direction: Any, first: Any) -> Any:
    r"""A step that satisfies the weak conditions of Wolfe, or 0 where none was found.

    The search counts as constant: where the iteration is unrolled, derivatives go through the step
    that is taken, not through the search for its length.

    Args:
        slope: ``x -> (f, gradient)``.
        x: ``[n]`` where to start.
        direction: ``[n]`` where to, downhill.
        first: the first trial.

    Example:
        >>> bowl = jax.value_and_grad(lambda x: 0.5 * jnp.sum(x**2))
        >>> x = jnp.array([1.0, -2.0])
        >>> float(wolfe_step(bowl, x, -x, jnp.array(1.0)))
        1.0
    """

    def along(t: Any, x: Any, direction: Any) -> tuple[Any, Any]:
        value, gradient = slope(x + t * direction)
        return value, gradient @ direction

    # What ``slope`` closes over becomes an argument, which can be held too.
    along, closed = jax.closure_convert(along, first, x, direction)
    x, direction, first, closed = held((x, direction, first, closed))
    value, fall = along(jnp.zeros_like(first), x, direction, *closed)
    noise = 10 * jnp.finfo(x.dtype).eps * abs(value)

    def trial(b: _Bracket) -> _Bracket:
        here, rise = along(b.step, x, direction, *closed)
        change = here - value
        resolved = abs(change) > noise
        lower = change <= DECREASE * b.step * fall
        lower = jnp.where(resolved, lower, rise <= (2 * DECREASE - 1) * fall)
        lower &= jnp.isfinite(here)
        flat = rise >= CURVATURE * fall
        low, high = jnp.where(lower, b.step, b.low), jnp.where(lower, b.high, b.step)
        step = jnp.where(jnp.isfinite(high), 0.5 * (low + high), 2 * b.step)
        done = lower & flat
        return _Bracket(jnp.where(done, b.step, step), low, high, done, b.trials + 1)

    def searching(b: _Bracket) -> Any:
        return ~b.accepted & (b.trials < TRIALS)

    zero, infinite = jnp.zeros_like(first), jnp.full_like(first, jnp.inf)
    start = _Bracket(first, zero, infinite, jnp.array(False), jnp.array(0))
    found = lax.while_loop(searching, trial, start)
    # Not flat enough, but lower: that is progress too.
    return jnp.where(fall < 0, jnp.where(found.accepted, found.step, found.low), 0)
