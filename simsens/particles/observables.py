"""What is measured on a system: each a function of the system alone, so that it can be derived.

The command line, the files and ``sensitivity`` read ``OBSERVABLES``: those that are defined for
every system of the kind the predicate accepts.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from simsens.particles import neighbors as neighbor_lists
from simsens.particles import pair, space
from simsens.particles import system as systems
from simsens.particles.system import System


def energy(system: System, neighbors: neighbor_lists.NeighborList | None = None) -> Any:
    """The potential energy."""
    return systems.energy(system, neighbors)


def pressure(system: System, neighbors: neighbor_lists.NeighborList | None = None) -> Any:
    r"""The pressure at rest, :math:`p = -\partial E / \partial V`, all lengths scaled alike.

    With the box and all positions scaled by ``1 + s``: ``p = -(dE/ds) / (d V)``.

    Raises:
        ValueError: free space has no pressure.

    Example:
        >>> from simsens.particles.potentials import SoftSphere
        >>> from simsens.particles.structure import Structure
        >>> square = System(Structure([[0.0, 0.0]], box=0.8), SoftSphere(diameter=1.0))
        >>> round(float(pressure(square)), 12)  # four contacts of overlap 0.2
        0.25
    """
    structure = system.structure
    volume = space.volume(structure)
    listed = systems.list_neighbors(system) if neighbors is None else neighbors
    position, box = jnp.asarray(structure.position), jnp.asarray(structure.box)

    def scaled(s: Any) -> Any:
        stretched = structure.__class__(
            position * (1 + s),
            structure.species,
            box * (1 + s),
            structure.boundary,
            structure.fixed,
            structure.species_names,
        )
        return systems.energy(System(stretched, system.potential), listed)

    zero = jnp.zeros((), position.dtype)
    slope = jax.jvp(scaled, (zero,), (jnp.ones_like(zero),))[1]
    return -slope / (structure.dimension * volume)


def stress(system: System, neighbors: neighbor_lists.NeighborList | None = None) -> Any:
    r"""The stress at rest, ``[dimension, dimension]``, positive in tension.

    .. math:: \sigma_{ab} = \frac{1}{V} \frac{\partial E}{\partial \varepsilon_{ab}}

    with the box and all positions strained alike, :math:`x \to (1 + \varepsilon)\, x`; its mean
    diagonal is minus the pressure.

    Raises:
        ValueError: free space has no volume.

    Example:
        >>> from simsens.particles.potentials import SoftSphere
        >>> from simsens.particles.structure import Structure
        >>> square = System(Structure([[0.0, 0.0]], box=0.8), SoftSphere(diameter=1.0))
        >>> print(np.round(stress(square), 12) + 0.0)
        [[-0.25  0.  ]
         [ 0.   -0.25]]
    """
    structure, potential = system.structure, system.potential
    volume = space.volume(structure)
    position, box = jnp.asarray(structure.position), jnp.asarray(structure.box)
    listed = systems.list_neighbors(system) if neighbors is None else neighbors
    if listed is not None:
        return pair.virial(potential, structure, position, listed) / volume

    def strained(strain: Any) -> Any:
        turn = jnp.eye(structure.dimension, dtype=position.dtype) + strain
        moved = structure.__class__(
            position @ turn.T, structure.species, box @ turn.T.astype(box.dtype),
            structure.boundary, structure.fixed, structure.species_names,
        )  # fmt: skip
        return systems.energy(System(moved, potential))

    zero = jnp.zeros((structure.dimension,) * 2, position.dtype)
    return jax.grad(strained)(zero) / volume


def distance(system: System, first: int, second: int) -> Any:
    """The distance between two particles, at the nearest image.

    Raises:
        IndexError: there is no such particle.
    """
    position = jnp.asarray(system.structure.position)
    for index in (first, second):
        known = not isinstance(index, jax.core.Tracer)
        if known and not -len(position) <= index < len(position):
            raise IndexError(f"there are particles 0 to {len(position) - 1}; got {index}")
    between = space.displacement(system.structure)(position[second], position[first])
    return jnp.sqrt(jnp.sum(between**2))


def packing_fraction(system: System) -> Any:
    """The volume of the particles over that of the box, overlaps counted twice.

    Defined where the potential has a diameter by species or for all (``SoftSphere``).
    """
    structure = system.structure
    sigma = jnp.asarray(system.potential.tables(structure.species_names)["sigma"])
    species = np.asarray(structure.species)
    own = sigma[species, species] if sigma.ndim else jnp.full(len(species), sigma)
    ball = jnp.pi / 4 * own**2 if structure.dimension == 2 else jnp.pi / 6 * own**3
    return jnp.sum(ball) / space.volume(structure)


def _in_a_box(system: System) -> bool:
    return system.structure.box is not None and all(system.structure.boundary)


OBSERVABLES: dict[str, tuple[Callable[..., Any], Callable[[System], bool]]] = {
    "energy": (energy, lambda system: True),
    "pressure": (pressure, _in_a_box),
}
