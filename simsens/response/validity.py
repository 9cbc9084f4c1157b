r"""How far a first derivative holds.

*Contact radius.* The stiffness of a packing jumps when a contact opens or closes. With the gap
:math:`g = r - \sigma` of each pair and its total derivative :math:`g' = dg/d\theta`, the first
change is expected at

.. math:: \delta_c = \min_{\text{pairs}} \left( -g / g' \right) > 0

upwards, and the largest negative value downwards. Pairs with rattlers are left out: a particle
that just touches would make every radius zero. Van Deen et al. (arXiv 1606.04799) find the first
contact change predicted accurately by linear response. Where a law is cut off, so that its force
jumps, pairs that cross its end are watched in the same way.

*One-percent step.* With the structure moved along its derivative and the parameter by
:math:`\delta`, one more linear solve measures what first order misses,

.. math:: \eta(\delta) = \| H^+ \nabla E(x + \delta J, \theta + \delta) \| / \| \delta J \| ,

which grows linearly in :math:`\delta`: one evaluation tells where it reaches 0.01.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from simsens.particles import contacts, space
from simsens.particles.neighbors import NeighborList
from simsens.particles.system import System
from simsens.response import tangents
from simsens.response.curvature import Curvature

CONTACT_REACH = 0.5  # spacings beyond contact up to which gaps are watched
PROBE = 1e-3  # relative change of a parameter at which the one-percent step is probed


@dataclass(frozen=True)
class ContactChange:
    """When the contacts of a packing change.

    Attributes:
        radius: ``[parameter, 2]`` how far the parameter may fall and rise until the first change.
        smallest_gap: the smallest distance of any pair from just touching.
        pair: the two particles of that pair, or ``None``.
    """

    radius: np.ndarray
    smallest_gap: float
    pair: tuple[int, int] | None


class Crossing(NamedTuple):
    """Where the first of many gaps, each changing at its rate, crosses zero.

    Attributes:
        fall: the step down at which one does.
        rise: the step up.
        fastest: the largest rate.
    """

    fall: Any
    rise: Any
    fastest: Any


def reach(system: System) -> float:
    """How far beyond the interaction the list of neighbours must look for these estimates."""
    share = CONTACT_REACH if system.potential.contact else 0.1
    return share * space.spacing(system.structure)


def contact_change(
    system: System,
    neighbors: NeighborList | None,
    loose: np.ndarray,
    theta: np.ndarray,
    response: Any,
    names: tuple[str, ...],
) -> ContactChange:
    """The contact radius of each parameter; infinite when nothing in the potential jumps."""
    if neighbors is None or not contacts.jumps(system.potential):
        return ContactChange(np.full((len(names), 2), np.inf), np.inf, None)
    watched, gap, found = _crossings(system, neighbors, loose, theta, response, names)
    # Pairs beyond the list are further than its reach; none closes faster than twice the largest
    # displacement plus the growth of a diameter.
    moving = np.linalg.norm(by_particle(system, response), axis=-1).max(axis=1)
    with np.errstate(divide="ignore"):
        unseen = reach(system) / (2 * moving + np.asarray(found.fastest))
    return first_change(neighbors, watched, gap, found, unseen)


def crossing(watched: Any, gap: Any, rate: Any) -> Crossing:
    """The first crossing of the gaps ``[particle, slot]`` that are watched."""
    when = jnp.where(watched, -gap / rate, jnp.nan)
    fall = jnp.min(jnp.where(when < 0, -when, jnp.inf))
    rise = jnp.min(jnp.where(when > 0, when, jnp.inf))
    return Crossing(fall, rise, jnp.max(jnp.where(watched, jnp.abs(rate), 0)))


def first_change(
    neighbors: NeighborList, watched: Any, gap: Any, found: Crossing, unseen: np.ndarray
) -> ContactChange:
    """The first change of contact along each of several directions.

    Args:
        neighbors: the list.
        watched: ``[particle, slot]`` whether the pair counts.
        gap: ``[particle, slot]`` what is between the two.
        found: of each direction.
        unseen: ``[direction]`` before which no pair beyond the list can change.
    """
    watched, gap = np.asarray(watched), np.asarray(gap)
    if not watched.any():
        return ContactChange(np.full((len(unseen), 2), np.inf), np.inf, None)
    at = np.unravel_index(np.argmin(np.where(watched, np.abs(gap), np.inf)), gap.shape)
    pair = (int(at[0]), int(np.asarray(neighbors.index)[at]))
    fall, rise = (np.minimum(np.asarray(way), unseen) for way in (found.fall, found.rise))
    return ContactChange(np.stack([fall, rise], axis=1), float(np.abs(gap[at])), pair)


def one_percent_step(
    system: System,
    neighbors: NeighborList | None,
    mobile: np.ndarray,
    theta: np.ndarray,
    response: Any,
    names: tuple[str, ...],
    radius: np.ndarray,
    curvature: Curvature,
) -> np.ndarray:
    """The change of each parameter at which the predicted positions are off by one percent."""
    motion = by_particle(system, response)
    longest = np.linalg.norm(motion, axis=-1).max(axis=1)
    size = np.linalg.norm(motion, axis=(1, 2))
    probe = np.minimum(PROBE * np.where(theta == 0, 1.0, np.abs(theta)), 0.5 * radius[:, 1])
    with np.errstate(divide="ignore"):
        probe = np.minimum(probe, 0.04 * space.spacing(system.structure) / longest)
    residual = _force_after(system, neighbors, mobile, theta, response, probe, names)
    missed = np.linalg.norm(curvature.estimate(residual), axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        step = 0.01 * probe * (probe * size) / missed
    known = np.isfinite(step) & (size > negligible(system, theta, curvature))
    return np.where(known, step, np.inf)


def negligible(system: System, theta: np.ndarray, curvature: Curvature) -> np.ndarray:
    """The norm ``[parameter]`` below which a derivative is zero to rounding.

    A derivative of the positions is of the size of a spacing over the parameter. Forces that cancel
    leave their rounding, which the soft modes amplify by the condition number; six digits above
    that (of single precision's seven, three) nothing else is left. What a parameter does that is
    zero, a field that is off, nothing tells the size of: none is negligible.
    """
    structure = system.structure
    eps = float(np.finfo(theta.dtype).eps)
    count = np.sqrt(structure.number * structure.dimension)
    with np.errstate(divide="ignore"):
        natural = np.where(theta == 0, 0, space.spacing(structure) / np.abs(theta) * count)
    return min(1e6, eps**-0.4) * eps * curvature.condition * natural


def by_particle(system: System, response: Any) -> np.ndarray:
    """Displacements ``[parameter, particle, dimension]`` from ``[parameter, n]``."""
    return np.asarray(response).reshape(len(response), *system.structure.position.shape)


@partial(jax.jit, static_argnames="names")
def _crossings(
    system: System, neighbors: Any, loose: Any, theta: Any, response: Any, names: tuple[str, ...]
) -> tuple[Any, Any, Crossing]:
    """Which pairs are watched and their gaps ``[particle, slot]``, and of each parameter."""
    position = jnp.asarray(system.structure.position)

    def gaps(x: Any, values: Any) -> Any:
        found = contacts.gaps(tangents.moved(system, names, x, values), neighbors)
        return jnp.where(neighbors.mask, found, 0)

    loose = jnp.asarray(loose)
    watched = neighbors.mask & ~loose[:, None] & ~loose[neighbors.index]

    def along(direction: Any, unit: Any) -> Crossing:
        tangent = (direction.reshape(position.shape), unit)
        return crossing(watched, *jax.jvp(gaps, (position, theta), tangent))

    units = tangents.units(names, theta.dtype)
    return watched, gaps(position, theta), tangents.per_parameter(along, response, units)


@partial(jax.jit, static_argnames="names")
def _force_after(
    system: System,
    neighbors: Any,
    mobile: Any,
    theta: Any,
    response: Any,
    probe: Any,
    names: tuple[str, ...],
) -> Any:
    """Forces ``[parameter, n]`` with the structure moved along its derivative."""
    force = tangents.force_function(system, neighbors, mobile, names)
    position = jnp.asarray(system.structure.position)

    def after(direction: Any, unit: Any, step: Any) -> Any:
        moved = position + step * direction.reshape(position.shape)
        return force(moved, theta + step * unit).reshape(-1)

    return tangents.per_parameter(after, response, tangents.units(names, theta.dtype), probe)
