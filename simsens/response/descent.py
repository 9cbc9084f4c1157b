r"""Steps of the minimisers, many in one compiled program.

The optimizer (``optimizers``) makes them: given the force where the last move has led, it tells the
next one.

A list of neighbours holds while nobody has moved further than half its skin. The next move is known
before it is made, so that the loop ends where it would outrun the list.
``Descent.advance_and_list`` then makes the list again, as long as its shapes suit, and goes on.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from simsens.particles import pair, space
from simsens.particles import system as systems
from simsens.particles.neighbors import Grid, NeighborList
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


class Descent(NamedTuple):
    """What steps are made, and how far they go.

    Attributes:
        system: structure and potential; its positions are not read.
        mobile: ``[particle]`` mask of those that move.
        stiffness: the largest curvature.
        target: the largest force to stop at.
        max_move: the largest displacement of a particle in one step.
        optimizer: a name in ``optimizers``.
    """

    system: System
    mobile: Any
    stiffness: Any
    target: Any
    max_move: Any
    optimizer: str

    def advance(self, neighbors: NeighborList | None, motion: Motion, budget: Any) -> Motion:
        """Step until the largest force is at most the target, the list stale, or the budget spent.

        Args:
            neighbors: the list, ``None`` for energies without one or to take all pairs each time.
            motion: where to go on from.
            budget: the number of steps.
        """
        motion = jax.tree.map(jnp.asarray, motion)
        return self._stepped(neighbors, self._begun(neighbors, motion), motion.steps + budget)

    def advance_and_list(
        self,
        neighbors: NeighborList,
        motion: Motion,
        budget: Any,
        grid: Grid,
    ) -> tuple[Motion, NeighborList]:
        """``advance``, which makes a stale list again, in rows as long, and goes on.

        Args:
            neighbors: a list from cells.
            motion: where to go on from.
            budget: the number of steps.
            grid: what the list was made with.

        Returns:
            The motion and the list. Where the shapes do not suit the list that is due, it is not
            ``valid``, and the motion is stale.
        """
        motion, neighbors = jax.tree.map(jnp.asarray, (motion, neighbors))
        end = motion.steps + budget

        def body(state: Any) -> Any:
            neighbors, motion, _ = state
            at = self.system.with_position(motion.position)
            due = motion.stale & (motion.steps < end)
            neighbors = lax.cond(
                due, lambda: systems.renewed_list(at, neighbors, grid), lambda: neighbors
            )
            motion = replace(motion, stale=motion.stale & ~(due & neighbors.valid))
            motion = self._stepped(neighbors, motion, end)
            again = motion.stale & neighbors.valid
            return neighbors, motion, again & self._unfinished(motion) & (motion.steps < end)

        start = (neighbors, self._begun(neighbors, motion), jnp.asarray(True))
        neighbors, motion, _ = lax.while_loop(lambda state: state[-1], body, start)
        return motion, neighbors

    def _begun(self, neighbors: NeighborList | None, motion: Motion) -> Motion:
        """The motion with its first move, if it has none yet."""
        begin, _ = self._steps(neighbors, motion)

        def first() -> Any:
            pull = self._force(neighbors)(motion.position)
            inertia, move = begin(motion.inertia, pull)
            return *self._bounded(move), inertia, space.longest(pull)

        known = (motion.move, space.longest(motion.move), motion.inertia, motion.max_force)
        # A move that is known has its bound: to bound it again could change its last digit.
        move, far, inertia, size = lax.cond(motion.fresh, first, lambda: known)
        stale = _outruns(neighbors, motion.position, far)
        fresh = jnp.zeros_like(motion.fresh)
        return Motion(motion.position, move, inertia, motion.steps, size, stale, fresh)

    def _stepped(self, neighbors: NeighborList | None, motion: Motion, end: Any) -> Motion:
        """The motion when it has arrived, outruns its list, or has made its steps."""
        force, (_, step) = self._force(neighbors), self._steps(neighbors, motion)

        def body(motion: Motion) -> Motion:
            position = motion.position + motion.move
            pull = force(position)
            inertia, move = step(motion.inertia, pull)
            move, far = self._bounded(move)
            stale, size = _outruns(neighbors, position, far), space.longest(pull)
            return Motion(position, move, inertia, motion.steps + 1, size, stale, motion.fresh)

        def going(motion: Motion) -> Any:
            return self._unfinished(motion) & ~motion.stale & (motion.steps < end)

        return lax.while_loop(going, body, motion)

    def _unfinished(self, motion: Motion) -> Any:
        """Whether there is a force to go after."""
        return (motion.max_force > self.target) & jnp.isfinite(motion.max_force)

    def _steps(self, neighbors: NeighborList | None, motion: Motion) -> optimizers.Steps:
        dtype = motion.position.dtype
        stiffness = jnp.maximum(self.stiffness, _tiny(dtype)).astype(dtype)
        here = self.system.with_position(motion.position)
        setting = optimizers.Setting(here, neighbors, self.mobile, stiffness, self.max_move)
        return optimizers.steps(self.optimizer, setting)

    def _bounded(self, move: Any) -> tuple[Any, Any]:
        """The move, no particle further than its bound, and how far the furthest goes."""
        far = jnp.maximum(space.longest(move), _tiny(move.dtype))
        move = move * jnp.minimum(1, self.max_move / far).astype(move.dtype)
        return move, jnp.minimum(far, self.max_move).astype(move.dtype)

    def _force(self, neighbors: NeighborList | None) -> Callable[[Any], Any]:
        """Masked forces by position, with what does not change with it computed once."""
        system, mask = self.system, self.mobile[:, None]
        if neighbors is None:

            def of_all_pairs(x: Any) -> Any:
                at = system.with_position(x)
                return jnp.where(mask, systems.force(at, systems.list_neighbors(at)), 0)

            return of_all_pairs

        force = pair.force_function(system.potential, system.structure, neighbors)
        return lambda x: jnp.where(mask, force(x), 0)


def _outruns(neighbors: NeighborList | None, position: Any, far: Any) -> Any:
    """Whether the list would not hold after a move so far."""
    if neighbors is None:
        return jnp.asarray(False)
    return space.longest(position - neighbors.reference) + far > neighbors.skin / 2


def _tiny(dtype: Any) -> Any:
    return np.asarray(1e-300 if dtype == jnp.float64 else 1e-30, dtype)
