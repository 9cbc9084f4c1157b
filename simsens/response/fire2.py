r"""FIRE 2.0, which turns before it moves and takes half a step back uphill; and ABC-FIRE.

With accelerations :math:`a = f/m` and the power :math:`P = a \cdot v`, by semi-implicit Euler

.. math:: x \leftarrow x - \tfrac{dt}{2} v, \quad v \leftarrow 0 \quad \text{if}\ P \le 0, \qquad
          v \leftarrow v + dt\, a(x), \quad
          v \leftarrow (1 - \alpha)\, v + \alpha\, |v|\, a / |a|, \quad
          x \leftarrow x + dt\, v ,

where dt grows and :math:`\alpha` decays after twenty steps downhill; after one uphill dt is halved,
to no less than its fiftieth, and :math:`\alpha` starts again. The acceleration is that before the
step back, as published, which is thus a part of the next move; codes that take it afterwards spend
another force. Steps uphill shorten dt from the first (no initial delay), and do not end the run.

ABC-FIRE takes :math:`v` for a running mean of the force, with the weight :math:`\alpha` for the
latest, and corrects the bias that it has from its start at zero: with n steps since the last one
uphill

.. math:: v \leftarrow \frac{(1 - \alpha)\, v + \alpha\, |v|\, a / |a|}{1 - (1 - \alpha)^{n + 1}} ,

then every component of the move is cut to its largest. Here that is the largest displacement of a
particle over the square root of the dimension, so that the loop's own bound has nothing to add.

References: Guénolé et al., Comput. Mater. Sci. 175 (2020) 109584; Echeverri Restrepo and Andric,
Comput. Mater. Sci. 218 (2023) 111978. The constants are those of both papers. The mass is FIRE's
(``fire``), and the largest time step 0.25, :math:`\omega\, dt = 0.9`: the turn adds to the pull of
the force, and with FIRE's own 1.5 packings took 2.5 times as many steps.
"""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp

from simsens.response.fire import DT_START, STIFFNESS_PER_MASS, Inertia, sums
from simsens.response.optimizers import Setting, Steps

DT_MIN, DT_MAX = 0.02 * DT_START, 0.25
GROW, SHRINK = 1.1, 0.5  # of the time step
ALPHA, DECAY = 0.25, 0.99
DOWNHILL = 20  # steps before the time step grows
LEAST_ALPHA = 1e-10  # where a bias is corrected: no weight, no mean


def steps(setting: Setting) -> Steps:
    """FIRE 2.0 with the mass that resolves the fastest vibration."""
    mass = setting.stiffness / STIFFNESS_PER_MASS
    return (
        lambda inertia, force: begin(inertia, force / mass),
        lambda inertia, force: step(inertia, force / mass),
    )


def corrected_steps(setting: Setting) -> Steps:
    """ABC-FIRE with the same mass."""
    mass = setting.stiffness / STIFFNESS_PER_MASS
    longest = setting.max_move / setting.system.structure.dimension**0.5
    return (
        lambda inertia, force: begin(inertia, force / mass, longest),
        lambda inertia, force: step(inertia, force / mass, longest),
    )


def begin(inertia: Inertia, acceleration: Any, longest: Any = None) -> tuple[Inertia, Any]:
    """The first step, from rest: what to remember, and the move.

    Args:
        inertia: whose velocity is zero; dt and alpha are this optimizer's own.
        acceleration: ``[particle, dimension]``.
        longest: component of a move, which asks for ABC-FIRE; ``None`` for FIRE 2.0.
    """
    start = Inertia(
        inertia.velocity,
        jnp.full_like(inertia.dt, DT_START),
        jnp.full_like(inertia.alpha, ALPHA),
        jnp.zeros_like(inertia.n_pos),
    )
    # At rest the turn changes nothing: the velocity is along the force.
    velocity = _corrected(start, start.dt * acceleration, longest)
    return start._replace(velocity=velocity), start.dt * velocity


def step(inertia: Inertia, acceleration: Any, longest: Any = None) -> tuple[Inertia, Any]:
    """A step, from where the last move has led: what to remember, and the next move."""
    velocity, dt, alpha, n_pos = inertia
    power, speed, pull = sums(
        acceleration * velocity, velocity * velocity, acceleration * acceleration
    )
    uphill = power <= 0
    n_pos = jnp.where(uphill, 0, n_pos + 1).astype(n_pos.dtype)
    going = n_pos > DOWNHILL
    dt = jnp.where(going, jnp.minimum(GROW * dt, DT_MAX), dt)
    dt = jnp.where(uphill, jnp.maximum(SHRINK * dt, DT_MIN), dt)
    alpha = jnp.where(going, DECAY * alpha, alpha)
    alpha = jnp.where(uphill, ALPHA, alpha).astype(alpha.dtype)

    kept = jnp.where(uphill, jnp.zeros_like(dt), 1)
    # |v + dt a| by the sums there are: a second pass over the particles would cost as much again.
    speed = kept * (speed + 2 * dt * power) + dt * dt * pull
    ratio = jnp.sqrt(speed / jnp.where(pull > 0, pull, 1))
    turned = (1 - alpha) * (kept * velocity + dt * acceleration) + alpha * ratio * acceleration
    after = Inertia(turned, dt, alpha, n_pos)
    after = after._replace(velocity=_corrected(after, turned, longest))
    return after, dt * after.velocity - (1 - kept) * dt / 2 * velocity


def _corrected(inertia: Inertia, velocity: Any, longest: Any) -> Any:
    """The velocity without the bias of its start, each component within its bound."""
    if longest is None:
        return velocity
    _, dt, alpha, n_pos = inertia
    alpha = jnp.maximum(alpha, LEAST_ALPHA)
    # 1 - (1 - alpha)^(n + 1), where the power would round to one
    weight = -jnp.expm1((n_pos + 1).astype(alpha.dtype) * jnp.log1p(-alpha))
    limit = (longest / dt).astype(velocity.dtype)
    return jnp.clip(velocity / weight, -limit, limit)
