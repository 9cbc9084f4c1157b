r"""Steps of the minimisers, many in one compiled program.

The optimizer (``optimizers``) makes them: given the force where the last move has led, it tells the
next one.

A list of neighbours holds while nobody has moved further than half its skin. The next move is known
before it is made, so that the loop ends where it would outrun the list.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from simsens.particles import pair
from simsens.particles import system as systems
from simsens.particles.neighbors import NeighborList
from simsens.particles.system import System
from simsens.response import fire, optimizers


@dataclass(frozen=True)
class Motion:
    """Where a descent stands; a frozen pytree.

    Attributes:
        position: ``[particle, dimension]``.
        move: ``[particle, dimension]`` the next displacement.
        inertia: of the optimizer.
        steps: how many were made.
        max_force: largest force on a mobile particle at ``position``.
        stale: whether the next move needs a new list of neighbours.
        fresh: whether it has not begun, so that the next move is not known.
    """

    position: Any
    move: Any
    inertia: fire.Inertia
    steps: Any
    max_force: Any
    stale: Any
    fresh: Any


jax.tree_util.register_dataclass(
    Motion,
    data_fields=["position", "move", "inertia", "steps", "max_force", "stale", "fresh"],
    meta_fields=[],
)


def at_rest(position: Any, steps: int = 0) -> Motion:
    """The start of a descent, after some steps of another kind."""
    return Motion(
        position=position,
        move=np.zeros(position.shape, position.dtype),
        inertia=fire.at_rest(position),
        steps=np.asarray(steps, np.int32),
        max_force=np.asarray(np.inf, position.dtype),
        stale=np.asarray(False),
        fresh=np.asarray(True),
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
        optimizer: a name in ``optimizers``.
    """
    motion = jax.tree.map(jnp.asarray, motion)
    dtype = motion.position.dtype
    tiny = np.asarray(1e-300 if dtype == jnp.float64 else 1e-30, dtype)
    stiffness = jnp.maximum(stiffness, tiny).astype(dtype)
    force = _force(system, neighbors, mobile[:, None])
    here = system.with_position(motion.position)
    setting = optimizers.Setting(here, neighbors, mobile, stiffness, max_move)
    begin, step = optimizers.steps(optimizer, setting)

    def bounded(move: Any) -> Any:
        """The move, no particle further than its bound."""
        return move * jnp.minimum(1, max_move / jnp.maximum(longest(move), tiny)).astype(dtype)

    def outruns(position: Any, move: Any) -> Any:
        """Whether the list would not hold after the move."""
        if neighbors is None:
            return jnp.zeros_like(motion.stale)
        return longest(position - neighbors.reference) + longest(move) > neighbors.skin / 2

    def body(state: Any) -> Any:
        position, move, inertia, steps, _, _ = state
        position = position + move
        pull = force(position)
        inertia, move = step(inertia, pull)
        move = bounded(move)
        return position, move, inertia, steps + 1, longest(pull), outruns(position, move)

    def going(state: Any) -> Any:
        *_, steps, size, stale = state
        unfinished = (size > target) & jnp.isfinite(size)
        return unfinished & ~stale & (steps - motion.steps < budget)

    def first() -> Any:
        pull = force(motion.position)
        inertia, move = begin(motion.inertia, pull)
        return bounded(move), inertia, longest(pull)

    known = (motion.move, motion.inertia, motion.max_force)
    # A move that is known has its bound: to bound it again could change its last digit.
    move, inertia, size = lax.cond(motion.fresh, first, lambda: known)
    stale = outruns(motion.position, move)
    start = (motion.position, move, inertia, motion.steps, size, stale)
    position, move, inertia, steps, size, stale = lax.while_loop(going, body, start)
    return Motion(position, move, inertia, steps, size, stale, jnp.zeros_like(motion.fresh))


def _force(system: System, neighbors: NeighborList | None, mask: Any) -> Callable[[Any], Any]:
    """Masked forces by position, with what does not change with it computed once."""
    if neighbors is None:

        def of_all_pairs(x: Any) -> Any:
            at = system.with_position(x)
            return jnp.where(mask, systems.force(at, systems.list_neighbors(at)), 0)

        return of_all_pairs

    force = pair.force_function(system.potential, system.structure, neighbors)
    return lambda x: jnp.where(mask, force(x), 0)


def longest(vectors: Any) -> Any:
    """The length of the longest of ``vectors [particle, dimension]``."""
    return jnp.sqrt(jnp.max(jnp.sum(vectors * vectors, axis=-1)))
