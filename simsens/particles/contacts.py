r"""Contacts and rattlers of a packing.

The gap of a pair is :math:`r_{ij} - \sigma_{ij}`; a pair with a negative gap is in contact. A
particle with fewer than ``dimension + 1`` contacts cannot be held by forces that only push: it is
a *rattler*. Taking it away may free others, so the count is repeated until nothing changes.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from simsens.particles import pair
from simsens.particles.neighbors import NeighborList
from simsens.particles.system import System


def jumps(potential: Any) -> bool:
    """Whether something jumps where the potential ends: the stiffness of a contact, a cut force.

    Of a smooth end the stiffness jumps too, by little and for some of many neighbours.
    """
    mode = getattr(potential, "mode", "smooth")
    return bool(potential.contact or (mode != "smooth" and potential.cutoff is not None))


def gaps(system: System, neighbors: NeighborList) -> Any:
    """Gaps ``[particle, slot]``, negative within reach; infinite in empty slots."""
    numbers = pair.gather(system.potential, system.structure, neighbors)
    position = jnp.asarray(system.structure.position)
    _, r = pair.separation(system.structure, position, neighbors)
    return jnp.where(neighbors.mask, r - system.potential.reach(numbers), jnp.inf)


def rattlers(system: System, neighbors: NeighborList | None) -> Any:
    """Mask ``[particle]`` of the particles that nothing holds; traceable.

    Only contact potentials have rattlers. Fixed particles hold others and are none themselves.
    """
    number, dimension = system.structure.number, system.structure.dimension
    if neighbors is None or not system.potential.contact:
        return jnp.zeros(number, bool)
    touching = gaps(system, neighbors) < 0
    anchored = jnp.zeros(number, bool)
    if system.structure.fixed is not None:
        anchored = jnp.asarray(system.structure.fixed)

    def prune(state: tuple[Any, Any]) -> tuple[Any, Any]:
        held, _ = state
        count = jnp.sum(touching & held[neighbors.index], axis=1)
        still = held & ((count > dimension) | anchored)
        return still, jnp.any(still != held)

    # The loop's first state is made from the data, so that it works under every transformation.
    everyone = jnp.any(touching | True, axis=1)
    held, _ = jax.lax.while_loop(lambda s: s[1], prune, (everyone, jnp.any(everyone)))
    return ~held & ~anchored


def contact_number(system: System, neighbors: NeighborList) -> Any:
    """Contacts of each particle, ``[particle]``."""
    return jnp.sum(gaps(system, neighbors) < 0, axis=1)


def closest_pair(system: System, neighbors: NeighborList | None) -> tuple[int, int, float]:
    """The two particles that are nearest to each other, and their distance; infinite for none."""
    if neighbors is None or not np.any(neighbors.mask):
        return 0, 0, np.inf
    position = np.asarray(system.structure.position)
    _, r = pair.separation(system.structure, position, neighbors)
    apart = np.where(neighbors.mask, np.asarray(r), np.inf)
    i, k = np.unravel_index(np.argmin(apart), apart.shape)
    return int(i), int(np.asarray(neighbors.index)[i, k]), float(apart[i, k])
