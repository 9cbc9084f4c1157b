r"""FIRE in the metric of the neighbours: far steps for soft modes, short ones for stiff pairs.

The metric is a graph over the list of neighbours, whose Laplacian resembles the Hessian,

.. math:: P v_i = \mu \Bigl( c\, v_i + \sum_k w_{ik} (v_i - v_k) \Bigr), \qquad
          w_{ik} = e^{-A (r_{ik} / r_0 - 1)} \ \text{for}\ r_{ik} < 2 r_0 ,

with :math:`r_0` the largest distance to a nearest neighbour, A = 3 and c = 0.1. FIRE then moves
along :math:`g = P^{-1} f` and measures velocities by :math:`|v|_P^2 = v \cdot P v`:

.. math:: v \leftarrow (1 - \alpha)\, v + \alpha\, |v|_P\, g / |g|_P
          \ \text{if}\ P = f \cdot v > 0, \ \text{else}\ 0, \qquad
          v \leftarrow v + dt\, g, \quad x \leftarrow x + dt\, v .

The rule and its constants are jax-md's (``precon_fire_descent`` without the line search, which
would ask for energies; ``exp_preconditioner``). Its graph is a table of all pairs; here it is the
rows of the list of neighbours, as they were when the list was made, so that it scales like the
force. Where the list reaches less far than 2 r_0, so does the graph. :math:`g` is found by
conjugate gradients, to a percent: any approximation of theirs goes downhill.

:math:`\mu` makes the largest eigenvalue of the metric that of the Hessian, so that the stiffest
vibration has :math:`\omega = 1` and the largest time step, 1, resolves it.

Reference: Packwood et al., J. Chem. Phys. 144, 164109 (2016).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from simsens.implicit.linear_solve import solve_cg
from simsens.particles import pair
from simsens.particles import system as systems
from simsens.response import hessian
from simsens.response.fire import Inertia, sums
from simsens.response.optimizers import Setting, Steps

RATE, REACH = 3.0, 2.0  # A, and where weights end in units of r_0
STABILISER = 0.1  # c
TOLERANCE = 1e-2  # relative residual of the direction
DT_START, DT_MAX = 0.1, 1.0
GROW, SHRINK = 1.1, 0.5  # of the time step
ALPHA, DECAY = 0.1, 0.99
DOWNHILL = 5  # steps before the time step grows


class Metric(NamedTuple):
    """The graph over the neighbours.

    Attributes:
        weight: ``[particle, slot]`` w, zero in empty slots.
        index: ``[particle, slot]`` the neighbours.
        mobile: ``[particle]`` mask of those that move.
        scale: mu, an energy over a length squared.
    """

    weight: Any
    index: Any
    mobile: Any
    scale: Any

    def product(self, v: Any) -> Any:
        """``P v`` of ``v [particle, dimension]``, zero where nothing moves: gathers and sums."""
        pulls = [
            jnp.sum(self.weight * (v[:, k, None] - v[:, k][self.index]), axis=1)
            for k in range(v.shape[1])
        ]
        image = self.scale * (jnp.stack(pulls, axis=1) + STABILISER * v)
        return jnp.where(self.mobile[:, None], image, 0)

    def direction(self, force: Any) -> Any:
        """``P^-1 f`` of ``force [particle, dimension]``, which is zero where nothing moves."""
        own = self.scale * (jnp.sum(self.weight, axis=1) + STABILISER)[:, None]
        found = solve_cg(self.product, force, tol=TOLERANCE, preconditioner=lambda r: r / own)
        return found.value


def steps(setting: Setting) -> Steps:
    """The steps in the metric of the list, or of all pairs where there is none."""
    graph = metric(setting)
    return (
        lambda inertia, force: begin(inertia, force, graph),
        lambda inertia, force: step(inertia, force, graph),
    )


def metric(setting: Setting) -> Metric:
    """The metric at the positions that the list was made at, or at the present ones without one."""
    system, listed = setting.system, setting.neighbors
    if listed is None:
        listed = systems.list_neighbors(system)
    assert listed is not None  # ``optimizers.check`` has refused energies that have none
    position = jnp.asarray(listed.reference)
    _, r = pair.separation(system.structure, position, listed)
    own = listed.index == np.arange(len(position), dtype=listed.index.dtype)[:, None]
    nearest = jnp.min(jnp.where(listed.mask & ~own, r, jnp.inf), axis=1)
    unit = jnp.max(jnp.where(jnp.isfinite(nearest), nearest, 0))
    unit = jnp.where(unit > 0, unit, 1)
    near = listed.mask & (r < REACH * unit)
    weight = jnp.where(near, jnp.exp(-RATE * (r / unit - 1)), 0)
    graph = Metric(weight, listed.index, setting.mobile, jnp.ones((), position.dtype))
    start = hessian.scattered(position)
    top = hessian.largest_eigenvalue(graph.product, setting.mobile, start)
    return graph._replace(scale=setting.stiffness / jnp.where(top > 0, top, 1))


def begin(inertia: Inertia, force: Any, graph: Metric) -> tuple[Inertia, Any]:
    """The first step, from rest: what to remember, and the move."""
    dt = jnp.full_like(inertia.dt, DT_START)
    velocity = dt * graph.direction(force)
    alpha, n_pos = jnp.full_like(inertia.alpha, ALPHA), jnp.zeros_like(inertia.n_pos)
    return Inertia(velocity, dt, alpha, n_pos), dt * velocity


def step(inertia: Inertia, force: Any, graph: Metric) -> tuple[Inertia, Any]:
    """A step, from where the last move has led: what to remember, and the next move."""
    velocity, dt, alpha, n_pos = inertia
    direction = graph.direction(force)
    power, speed, pull = sums(
        force * velocity, velocity * graph.product(velocity), force * direction
    )
    downhill = power > 0
    ratio = jnp.sqrt(jnp.maximum(speed, 0) / jnp.where(pull > 0, pull, 1))
    turned = velocity + alpha * (ratio * direction - velocity)

    going = downhill & (n_pos > DOWNHILL)
    dt = jnp.where(going, jnp.minimum(GROW * dt, DT_MAX), dt)
    dt = jnp.where(downhill, dt, SHRINK * dt)
    alpha = jnp.where(going, DECAY * alpha, alpha)
    alpha = jnp.where(downhill, alpha, ALPHA).astype(alpha.dtype)
    n_pos = jnp.where(downhill, n_pos + 1, 0).astype(n_pos.dtype)
    velocity = jnp.where(downhill, turned, 0) + dt * direction
    return Inertia(velocity, dt, alpha, n_pos), dt * velocity
