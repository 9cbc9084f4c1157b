r"""Steps that change as the iteration goes on: functions of the iteration number k = 0, 1, ..."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp

from simsens.optimality.gradient_step import checked_step

Schedule = Callable[[Any], Any]


def inverse_power(step: float, after: int, power: float = 0.5) -> Schedule:
    r"""A step that is constant at first and then falls as a power of the iteration number.

    .. math:: \eta_k = \eta\, \min\bigl(1, (n / (k + 1))^{p}\bigr)

    Args:
        step: :math:`\eta`, positive.
        after: n, the iterations with the first step, at least 1.
        power: p; 0.5 is the schedule of subgradient and mirror descent.

    Raises:
        ValueError: a step that is not positive, ``after`` below 1.

    Example:
        >>> schedule = inverse_power(1.0, after=100)
        >>> float(schedule(99)), float(schedule(399))
        (1.0, 0.5)
    """
    checked_step(step)
    if after < 1:
        raise ValueError(f"after must be at least 1 iteration, found {after}")
    return lambda k: step * jnp.minimum(1.0, (after / (k + 1.0)) ** power)


def step_at(step: Any, k: Any, dtype: Any) -> Any:
    """The step of iteration k: a number, or what a schedule says.

    Example:
        >>> float(step_at(0.5, 7, jnp.float64))
        0.5
    """
    return jnp.asarray(step(k) if callable(step) else step, dtype)
