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

Reference: Bitzek et al., Phys. Rev. Lett. 97, 170201 (2006).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import lax

DT_START, DT_MAX = 0.1, 0.4
GROW, SHRINK = 1.1, 0.5  # of the time step
ALPHA, DECAY = 0.1, 0.99
DOWNHILL = 5  # steps before the time step grows


class Inertia(NamedTuple):
    """What FIRE remembers.

    Attributes:
        velocity: ``[particle, dimension]`` in the middle of a step.
        dt: time step.
        alpha: how much the velocity turns.
        n_pos: steps since the last one uphill.
    """

    velocity: Any
    dt: Any
    alpha: Any
    n_pos: Any


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
    power, speed, pull = _sums(
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


def _sums(*terms: Any) -> Any:
    """Several sums over everything in one loop."""
    rows = [jnp.sum(term, axis=1) for term in terms]
    zeros = tuple(np.zeros((), row.dtype) for row in rows)
    return lax.reduce(tuple(rows), zeros, lambda a, b: tuple(p + q for p, q in zip(a, b)), (0,))
