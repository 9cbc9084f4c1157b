r"""How far linear elasticity holds: the strain of the first contact change, and of one percent.

What ``validity`` tells of parameters is told here of strains. A pair d apart, of particles whose
non-affine displacements per unit strain differ by :math:`\Delta u`, changes its length by

.. math:: \frac{dr}{de} = \frac{d^T M d + d \cdot \Delta u}{r} ,

so that its contact opens or closes at the strain :math:`-g / (dr/de)`, g being its gap. Linear
response predicts the first such strain well (van Deen et al., Phys. Rev. E 90 (2014) 020202 and
arXiv 1606.04799).
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from simsens.particles import contacts, pair, space
from simsens.particles.neighbors import NeighborList
from simsens.particles.system import System
from simsens.response import strain, tangents, validity
from simsens.response.curvature import Curvature
from simsens.response.validity import ContactChange, Crossing


def contact_change(
    system: System, neighbors: NeighborList | None, loose: np.ndarray, response: np.ndarray
) -> ContactChange:
    """The strains ``[strain, 2]``, falling and rising, at which the first contact changes.

    Args:
        system: unstrained.
        neighbors: looking ``validity.reach`` beyond contact.
        loose: mask of the rattlers, whose contacts do not count.
        response: ``[strain, n]`` displacements per unit strain.
    """
    if neighbors is None or not contacts.jumps(system.potential):
        return ContactChange(np.full((len(response), 2), np.inf), np.inf, None)
    watched, gap, found = _crossings(system, neighbors, loose, response)
    return validity.first_change(neighbors, watched, gap, found, _unseen(system, response))


def one_percent_step(
    system: System,
    neighbors: NeighborList | None,
    mobile: np.ndarray,
    response: np.ndarray,
    radius: np.ndarray,
    curvature: Curvature,
) -> np.ndarray:
    """The strain ``[strain]`` at which predicted displacements are off by one percent."""
    dtype, spacing = response.dtype, space.spacing(system.structure)
    longest = np.linalg.norm(validity.by_particle(system, response), axis=-1).max(axis=1)
    size = np.linalg.norm(response, axis=1)
    with np.errstate(divide="ignore"):
        probe = np.minimum(0.5 * radius[:, 1], 0.04 * spacing / longest)
    probe = np.minimum(validity.PROBE, probe).astype(dtype)
    position = jnp.asarray(system.structure.position)
    residual = strain.force_after(system, neighbors, mobile, position, response, probe)
    missed = np.linalg.norm(curvature.estimate(residual), axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        step = 0.01 * probe * (probe * size) / missed
    natural = np.ones(len(response), dtype)  # a displacement by a strain is of a spacing's size
    known = np.isfinite(step) & (size > validity.negligible(system, natural, curvature))
    return np.where(known, step, np.inf)


def _unseen(system: System, response: np.ndarray) -> np.ndarray:
    """The strain ``[strain]`` before which no pair beyond the list can come into contact.

    Its gap is at least the list's reach; a unit strain shortens it by no more than its length, and
    both particles may come towards each other besides.
    """
    numbers = system.potential.tables(system.structure.species_names)
    longest = float(np.max(system.potential.reach(numbers))) + validity.reach(system)
    moving = np.linalg.norm(validity.by_particle(system, response), axis=-1).max(axis=1)
    return validity.reach(system) / (2 * moving + longest)


@jax.jit
def _crossings(
    system: System, neighbors: Any, loose: Any, response: Any
) -> tuple[Any, Any, Crossing]:
    """Which pairs are watched and their gaps ``[particle, slot]``, and of each strain."""
    position, loose = jnp.asarray(system.structure.position), jnp.asarray(loose)
    planes, r = pair.separation(system.structure, position, neighbors)
    apart = jnp.stack(planes, axis=-1)
    units = jnp.asarray(strain.basis(system.structure.dimension), position.dtype)

    gap = jnp.where(neighbors.mask, contacts.gaps(system, neighbors), 0)
    watched = neighbors.mask & ~loose[:, None] & ~loose[neighbors.index]

    def along(unit: Any, direction: Any) -> Crossing:
        moved = direction.reshape(position.shape)
        change = apart @ unit + moved[neighbors.index] - moved[:, None]
        return validity.crossing(watched, gap, jnp.sum(apart * change, axis=-1) / r)

    return watched, gap, tangents.per_parameter(along, units, response)
