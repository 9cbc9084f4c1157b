"""The rattlers of a structure: found once, and left out of every linear system.

Nothing holds a rattler, so that no derivative of its position exists. What it does to others is
left out too where it matters: one that just touches is pushed away by any change, yet its contacts
have the full stiffness of a contact.
"""

from __future__ import annotations

from dataclasses import replace

import jax
import numpy as np

from simsens.particles import contacts
from simsens.particles.neighbors import NeighborList
from simsens.particles.system import System

_rattlers = jax.jit(contacts.rattlers)


def find(system: System, neighbors: NeighborList | None) -> np.ndarray:
    """Mask ``[particle]`` of the particles that nothing holds."""
    return np.asarray(_rattlers(system, neighbors))


def without(neighbors: NeighborList | None, loose: np.ndarray) -> NeighborList | None:
    """The list without the pairs of these particles; itself when there are none.

    It counts as never stale, for whoever renewed it would find those pairs again.
    """
    if neighbors is None or not loose.any():
        return neighbors
    mask = np.asarray(neighbors.mask) & ~loose[:, None] & ~loose[np.asarray(neighbors.index)]
    return replace(neighbors, mask=mask, skin=np.inf)
