r"""FIRE, the fast inertial relaxation engine: a molecular dynamics that turns towards the force.

With accelerations :math:`a = f/m` and the power :math:`P = a \cdot v`, jax-md's form of it:

.. math:: v \leftarrow v + \tfrac{dt}{2} a(x), \quad
          v \leftarrow (1 - \alpha)\, v + \alpha\, |v|\, a / |a|, \quad
          v \leftarrow 0 \ \text{if}\ P < 0, \quad
          v \leftarrow v + \tfrac{dt}{2} a, \quad x \leftarrow x + dt\, v ,

where dt grows and :math:`\alpha` decays after five steps downhill, and both start again after one
uphill. It is written out here because the forces of ten thousand particles take half a
millisecond, and as much as that went into reading and writing vectors around them: all sums over
particles run in one loop, and the step's end and the next one's beginning in another. jax-md's
own, the test oracle, adds 1e-6 below the squared norm of the force, which stops its mixing at small
forces; here nothing is added.

The time step is right when it resolves the fastest vibration
:math:`\omega = \sqrt{\lambda_{\max}/m}`. The mass is therefore chosen as
:math:`m = \lambda_{\max}/14`: the largest time step 0.4 of jax-md's defaults then gives
:math:`\omega\, dt = 1.5`, whatever the units of the system; the integrator is stable up to 2, and
1.2, which jax-md's reduced units come to, takes more steps.

Reference: Bitzek et al., Phys. Rev. Lett. 97, 170201 (2006).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import lax

from simsens.response.optimizers import Setting, Steps

STIFFNESS_PER_MASS = 14
DT_START, DT_MAX = 0.1, 0.4
GROW, SHRINK = 1.1, 0.5  # of the time step
ALPHA, DECAY = 0.1, 0.99
DOWNHILL = 5  # steps before the time step grows


class Inertia(NamedTuple):
    """What FIRE and its relatives remember.

    Attributes:
        velocity: ``[particle, dimension]`` of the move to come; FIRE's in the middle of a step.
        dt: time step.
        alpha: how much the velocity turns.
        n_pos: steps since the last one uphill.
    """

    velocity: Any
    dt: Any
    alpha: Any
    n_pos: Any


def steps(setting: Setting) -> Steps:
    """FIRE with the mass that resolves the fastest vibration."""
    per_mass = STIFFNESS_PER_MASS / setting.stiffness  # a number to multiply by: dividing is slow
    return (
        lambda inertia, force: begin(inertia, per_mass * force),
        lambda inertia, force: step(inertia, per_mass * force),
    )


def at_rest(position: Any) -> Inertia:
    """No velocity yet."""
    dtype = position.dtype
    return Inertia(
        np.zeros(position.shape, dtype),
        np.asarray(DT_START, dtype),
        np.asarray(ALPHA, dtype),
        np.asarray(0, np.int32),
    )


def begin(inertia: Inertia, acceleration: Any) -> tuple[Inertia, Any]:
    """The first half of a step: what to remember, and the move."""
    velocity = inertia.velocity + inertia.dt / 2 * acceleration
    return inertia._replace(velocity=velocity), inertia.dt * velocity


def step(inertia: Inertia, acceleration: Any) -> tuple[Inertia, Any]:
    """The second half of a step, where the move has led, and the first half of the next."""
    _, dt, alpha, n_pos = inertia
    velocity = inertia.velocity + dt / 2 * acceleration
    power, speed, pull = sums(
        acceleration * velocity, velocity * velocity, acceleration * acceleration
    )
    ratio = jnp.sqrt(speed / jnp.where(pull > 0, pull, 1))
    velocity = velocity + alpha * (ratio * acceleration - velocity)

    n_pos = jnp.where(power >= 0, n_pos + 1, 0).astype(n_pos.dtype)
    going = (power > 0) & (n_pos > DOWNHILL)
    dt = jnp.where(going, jnp.minimum(GROW * dt, DT_MAX), dt)
    dt = jnp.where(power < 0, SHRINK * dt, dt)
    alpha = jnp.where(going, DECAY * alpha, alpha)
    alpha = jnp.where(power < 0, ALPHA, alpha).astype(alpha.dtype)
    velocity = jnp.where(power >= 0, velocity, 0)
    return begin(Inertia(velocity, dt, alpha, n_pos), acceleration)


def sums(*terms: Any) -> Any:
    """Several sums of ``[particle, dimension]`` over everything, in one loop over the particles."""
    rows = [jnp.sum(term, axis=1) for term in terms]
    zeros = tuple(np.zeros((), row.dtype) for row in rows)
    return lax.reduce(tuple(rows), zeros, lambda a, b: tuple(p + q for p, q in zip(a, b)), (0,))
