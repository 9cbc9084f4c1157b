r"""One step of gradient, proximal and projected gradient descent, which differ in the prox alone.

.. math:: x_{k+1} = \operatorname{prox}_{\eta g}(y_k - \eta\, \nabla f(y_k)), \qquad
          y_{k+1} = x_{k+1} + \beta_k\, (x_{k+1} - x_k)

**Step.** Without a given one, :math:`\eta` is found by backtracking: it is short enough when f lies
below its model, :math:`f(x_{k+1}) \le f(y) + \langle\nabla f(y), v\rangle + |v|^2 / 2\eta`,
:math:`v = x_{k+1} - y`. The ratio of the two sides' curvatures, r, says by how much to shorten, and
when there is room (r < 1/4) the next step is twice as long; no trial is wasted on growth. Where
rounding hides the difference of f, the step stays as it is.

**Momentum.** :math:`\beta_k = (t_k - 1)/t_{k+1}`, :math:`t_{k+1} = (1 + \sqrt{1 + 4 t_k^2})/2`
(Beck and Teboulle, SIAM J. Imaging Sci. 2, 2009: FISTA), restarted when it points uphill,
:math:`\langle y_k - x_{k+1}, x_{k+1} - x_k\rangle > 0` (O'Donoghue and Candes, Found. Comput. Math.
15, 2015), so that a strongly convex f needs to know none of its constants.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from simsens.implicit.root import held
from simsens.solvers.schedule import step_at

TRIALS = 60
Prox = Callable[[Any, Any], Any]  # (vector, step) -> vector
Slope = Callable[[Any], tuple[Any, Any]]


class State(NamedTuple):
    """Where the descent stands.

    Attributes:
        x: ``[n]`` the iterate.
        y: ``[n]`` the point that the next step starts from.
        t: momentum's counter.
        step: the last step's length, tried first.
        k: iterations made.
        error: ``|x - y| / step`` of the last step.
        stuck: whether no step was short enough.
    """

    x: Any
    y: Any
    t: Any
    step: Any
    k: Any
    error: Any
    stuck: Any


def start(x: Any) -> State:
    """At the vector x, before any step."""
    one = jnp.ones((), x.dtype)
    return State(x, x, one, one, jnp.array(0), jnp.inf * one, jnp.array(False))


def advance(state: State, slope: Slope, prox: Prox, step: Any, acceleration: bool) -> State:
    """One step.

    Args:
        state: where the descent stands.
        slope: ``x -> (f, gradient)``.
        prox: ``(x, step) -> x``.
        step: a number, a schedule, or ``None`` to search.
        acceleration: whether there is momentum.
    """
    x, y = state.x, state.y
    value, gradient = slope(y)
    if step is None:
        length, following, stuck = _searched(state, slope, prox, value, gradient)
    else:
        length = following = step_at(step, state.k, x.dtype)
        stuck = jnp.array(False)
    new = prox(y - length * gradient, length)
    error = jnp.linalg.norm(lax.stop_gradient(new - y)) / lax.stop_gradient(length)
    t, ahead = state.t, new
    if acceleration:
        uphill = (y - new) @ (new - x) > 0
        grown = 0.5 * (1 + jnp.sqrt(1 + 4 * state.t**2))
        t = jnp.where(uphill, 1, grown)
        ahead = new + jnp.where(uphill, 0, (state.t - 1) / grown) * (new - x)
    return State(new, ahead, t, following, state.k + 1, error, stuck)


class _Trial(NamedTuple):
    step: Any
    following: Any
    fine: Any
    trials: Any


def _searched(state: State, slope: Slope, prox: Prox, value: Any, gradient: Any) -> Any:
    """The step, the one to try next time, and whether none was found; all count as constants."""

    def excess(step: Any, y: Any, gradient: Any) -> tuple[Any, Any]:
        """``f(new) - f(y) - <g, v>``, and ``|v|^2 / 2 step``."""
        v = prox(y - step * gradient, step) - y
        return slope(y + v)[0] - gradient @ v, v @ v / (2 * step)

    excess, closed = jax.closure_convert(excess, state.step, state.y, gradient)
    y, value, gradient, first, closed = held((state.y, value, gradient, state.step, closed))
    noise = 10 * jnp.finfo(y.dtype).eps * abs(value)

    def trial(t: _Trial) -> _Trial:
        above, allowed = excess(t.step, y, gradient, *closed)
        above = above - value
        hidden = jnp.maximum(abs(above), allowed) <= noise
        ratio = jnp.where(hidden, 0.5, above / jnp.where(allowed > 0, allowed, 1))
        ratio = jnp.where(jnp.isfinite(ratio), ratio, jnp.inf)
        fine = ratio <= 1
        shorter = t.step * jnp.clip(0.9 / jnp.maximum(ratio, 1), 0.1, 0.7)
        following = jnp.where(ratio < 0.25, 2 * t.step, t.step)
        return _Trial(jnp.where(fine, t.step, shorter), following, fine, t.trials + 1)

    def searching(t: _Trial) -> Any:
        return ~t.fine & (t.trials < TRIALS)

    found = lax.while_loop(searching, trial, _Trial(first, first, jnp.array(False), jnp.array(0)))
    return found.step, found.following, ~found.fine
