r"""Steps of jax-md's minimisers, many in one compiled program.

FIRE is a damped molecular dynamics; its time step is right when it resolves the fastest vibration
:math:`\omega = \sqrt{\lambda_{\max}/m}`. The mass is therefore chosen as
:math:`m = \lambda_{\max}/9`: the largest time step 0.4 of jax-md's defaults then gives
:math:`\omega\, dt = 1.2`, as in the reduced units these defaults were made for, whatever the units
of the system. Gradient descent steps by :math:`1/\lambda_{\max}` for the same reason.

jax-md's FIRE adds 1e-6 below the squared force norm, which stops its mixing at small forces. Forces
and masses are both multiplied by a large number (``BOOST``), which changes no trajectory and makes
that term vanish.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from simsens.particles import jax_md_door, pair
from simsens.particles import system as systems
from simsens.particles.neighbors import NeighborList
from simsens.particles.system import System

OPTIMIZERS = ("fire", "gd")


@dataclass(frozen=True)
class Motion:
    """Where a descent stands; a frozen pytree.

    Attributes:
        position: ``[particle, dimension]``.
        velocity: ``[particle, dimension]``, of FIRE.
        dt: time step, of FIRE.
        alpha: mixing parameter, of FIRE.
        n_pos: steps since the last turn uphill, of FIRE.
        steps: how many were made.
        max_force: largest force on a mobile particle at ``position``.
        stale: whether the next step needs a new list of neighbours.
    """

    position: Any
    velocity: Any
    dt: Any
    alpha: Any
    n_pos: Any
    steps: Any
    max_force: Any
    stale: Any


jax.tree_util.register_dataclass(
    Motion,
    data_fields=[
        "position", "velocity", "dt", "alpha", "n_pos", "steps", "max_force", "stale",
    ],
    meta_fields=[],
)  # fmt: skip


def at_rest(position: Any) -> Motion:
    """The start of a descent."""
    real = partial(np.asarray, dtype=position.dtype)
    return Motion(
        position=position,
        velocity=np.zeros(position.shape, position.dtype),
        dt=real(0.1),
        alpha=real(0.1),
        n_pos=np.asarray(0, np.int32),
        steps=np.asarray(0, np.int32),
        max_force=real(np.inf),
        stale=np.asarray(False),
    )


def advance(
    system: System,
    neighbors: NeighborList | None,
    motion: Motion,
    mobile: Any,
    stiffness: Any,
    target: Any,
    max_move: Any,
    budget: Any,
    optimizer: str,
) -> Motion:
    """Step until the largest force is at most ``target``, the list stale, or the budget spent.

    Args:
        system: structure and potential; its positions are not read.
        neighbors: the list, ``None`` for energies without one or to take all pairs at each step.
        motion: where to go on from.
        mobile: ``[particle]`` mask of those that move.
        stiffness: the largest curvature.
        target: the largest force to stop at.
        max_move: the largest displacement of a particle in one step.
        budget: the number of steps.
        optimizer: ``"fire"`` or ``"gd"``.
    """
    motion = jax.tree.map(jnp.asarray, motion)
    mask = mobile[:, None]
    force = _force(system, neighbors, mask)

    def shift(position: Any, move: Any, **unused: Any) -> Any:
        longest = jnp.max(jnp.linalg.norm(move, axis=-1))
        return position + move * jnp.minimum(1.0, max_move / jnp.maximum(longest, 1e-300))

    # jax-md mixes precisions inside (its time step is a float32), which strict promotion forbids.
    with jax.numpy_dtype_promotion("standard"):
        make = {"fire": _fire, "gd": _gradient_descent}[optimizer]
        begin, step, end = make(force, shift, motion, stiffness)

        def body(state: Any) -> Any:
            inner, old = state
            tried, position, size = step(inner)
            stale = jnp.asarray(False)
            if neighbors is not None:
                moved = jnp.linalg.norm(position - neighbors.reference, axis=-1)
                stale = jnp.max(moved) > neighbors.skin / 2
            new = replace(old, position=position, steps=old.steps + 1, max_force=size)
            # A step that outran its list may have missed a neighbour: it is taken back.
            kept = jax.tree.map(lambda o, n: jnp.where(stale, o, n), (inner, old), (tried, new))
            return kept[0], replace(kept[1], stale=stale)

        def going(state: Any) -> Any:
            _, m = state
            unfinished = (m.max_force > target) & jnp.isfinite(m.max_force)
            return unfinished & ~m.stale & (m.steps - motion.steps < budget)

        inner, size = begin
        begun = replace(motion, max_force=size, stale=jnp.asarray(False))
        return end(*lax.while_loop(going, body, (inner, begun)))


def _force(system: System, neighbors: NeighborList | None, mask: Any) -> Callable[..., Any]:
    """Masked forces by position, with the potential's numbers gathered once for the list."""
    if neighbors is None:

        def of_all_pairs(x: Any, **unused: Any) -> Any:
            at = system.with_position(x)
            return jnp.where(mask, systems.force(at, systems.list_neighbors(at)), 0)

        return of_all_pairs

    numbers = pair.gather(system.potential, system.structure, neighbors)

    def of_list(x: Any, **unused: Any) -> Any:
        found = pair.force(system.potential, system.structure, x, neighbors, numbers)
        return jnp.where(mask, found, 0)

    return of_list


def _largest(force: Any) -> Any:
    return jnp.max(jnp.linalg.norm(force, axis=-1))


def _fire(force: Any, shift: Any, motion: Motion, stiffness: Any) -> Any:
    minimize = jax_md_door.minimize()
    dtype = motion.position.dtype
    boost = jnp.asarray(1e12 if dtype == jnp.float64 else 1e5, dtype)
    mass = jnp.maximum(stiffness, 1e-300 if dtype == jnp.float64 else 1e-30) / 9
    scale = boost / mass
    init, apply = minimize.fire_descent(lambda x, **kwargs: scale * force(x), shift)
    state = init(motion.position, mass=boost).set(
        momentum=motion.velocity * boost,
        dt=motion.dt,
        alpha=motion.alpha,
        n_pos=motion.n_pos,
        mass=boost,
    )

    def step(state: Any) -> Any:
        new = apply(state)
        new = jax.tree.map(lambda a, b: a.astype(b.dtype), new, state)
        return new, new.position, _largest(new.force) / scale

    def end(state: Any, reached: Motion) -> Motion:
        velocity = state.momentum / boost
        return replace(
            reached, velocity=velocity, dt=state.dt, alpha=state.alpha, n_pos=state.n_pos
        )

    return (state, _largest(state.force) / scale), step, end


def _gradient_descent(force: Any, shift: Any, motion: Motion, stiffness: Any) -> Any:
    minimize = jax_md_door.minimize()
    tiny = 1e-300 if motion.position.dtype == jnp.float64 else 1e-30
    # jax-md asks for the force where it stands, which the last step has already computed.
    _, apply = minimize.gradient_descent(
        lambda position, at: at, shift, 1 / jnp.maximum(1.1 * stiffness, tiny)
    )

    def step(state: Any) -> Any:
        position = apply(state[0], at=state[1])
        at = force(position)
        return (position, at), position, _largest(at)

    start = force(motion.position)
    return ((motion.position, start), _largest(start)), step, lambda state, reached: reached
