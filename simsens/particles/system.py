"""A system: a structure and the potential that acts in it.

Everything that knows an energy is reached through four functions: ``list_neighbors``, ``energy``,
``force``, and the parameters' names. Pair potentials go by row-wise kernels (``pair``), any other
energy by automatic differentiation of the whole; nobody else needs to know which.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from simsens.particles import list_limits, pair, parameters
from simsens.particles import neighbors as neighbor_lists
from simsens.particles.neighbors import Grid, NeighborList
from simsens.particles.potentials import EnergyFunction, HarmonicBonds
from simsens.particles.potentials.errors import InvalidPotential
from simsens.particles.structure import Structure


@dataclass(frozen=True)
class System:
    """A structure and a potential; a frozen pytree.

    Example:
        >>> from simsens.particles.potentials import SoftSphere
        >>> from simsens.particles.structure import Structure
        >>> pair = Structure([[0.0, 0.0], [0.9, 0.0]], species=["A", "B"])
        >>> system = System(pair, SoftSphere(diameter={"A": 1.0, "B": 0.6}))
        >>> system.parameter_names
        ('diameter[A]', 'diameter[B]', 'epsilon')
        >>> system.replace_parameters({"diameter[B]": 0.7}).potential.diameter
        {'A': 1.0, 'B': 0.7}
    """

    structure: Structure
    potential: Any

    @property
    def fields(self) -> dict[str, Any]:
        """The potential's parameters: its array fields by name."""
        if isinstance(self.potential, EnergyFunction):
            return self.potential.parameters
        return {f: getattr(self.potential, f) for f in _data_fields(self.potential)}

    @property
    def parameter_names(self) -> tuple[str, ...]:
        """The name of every parameter, as on the command line and in files."""
        return parameters.names(self.fields)

    def replace_parameters(self, new: Mapping[str, Any]) -> System:
        """The same system with some parameters replaced, by name; values may be traced."""
        return self._with_fields(parameters.replaced(self.fields, new))

    def with_values(self, names: tuple[str, ...], vector: Any) -> System:
        """The same system with the named parameters taken from ``vector [parameter]``."""
        return self._with_fields(parameters.with_values(self.fields, names, vector))

    def _with_fields(self, changed: dict[str, Any]) -> System:
        if isinstance(self.potential, EnergyFunction):
            return replace(self, potential=replace(self.potential, parameters=changed))
        return replace(self, potential=replace(self.potential, **changed))

    def with_position(self, position: Any) -> System:
        """The same system with the particles elsewhere."""
        return replace(self, structure=self.structure.with_position(position))


jax.tree_util.register_dataclass(System, data_fields=["structure", "potential"], meta_fields=[])


def list_neighbors(
    system: System, skin: float = 0.0, like: NeighborList | None = None
) -> NeighborList | None:
    """Who interacts with whom: a list by distance, a table of bonds, or nothing to list.

    Under ``jit`` and ``vmap`` every pair is taken, and ``skin`` is without meaning. The shapes of
    ``like`` are kept where they suffice, so that compiled programs serve again.
    """
    structure, potential = jax.lax.stop_gradient((system.structure, system.potential))
    if isinstance(potential, EnergyFunction):
        return None
    if isinstance(potential, HarmonicBonds):
        highest = int(potential.bonds.pairs.max())
        if highest >= structure.number:
            raise InvalidPotential(
                f"a bond names particle {highest}, but there are {structure.number}"
            )
        return neighbor_lists.list_bonds(structure, potential.bonds.pairs)
    reach = _reach(potential, structure)
    if is_traced((structure, reach)):
        return neighbor_lists.all_pairs(structure, reach)
    return neighbor_lists.list_pairs(structure, reach, skin, like)


def renewed_list(system: System, neighbors: NeighborList, grid: Grid) -> NeighborList:
    """A list from cells made again under ``jit``, in its shapes; not ``valid`` if they do not suit.

    Args:
        system: where the particles are now.
        neighbors: the list before.
        grid: its ``grid``, static.
    """
    reach = _reach(system.potential, system.structure)
    return neighbor_lists.renewed(system.structure, reach, neighbors, grid)


def check_range(system: System) -> None:
    """Refuse, before anything is listed, a range that gives too many neighbours.

    Raises:
        CutoffTooLong: telling what to look at.
    """
    potential, structure = system.potential, system.structure
    if not isinstance(potential, (EnergyFunction, HarmonicBonds)):
        list_limits.check_range(structure, float(np.max(_reach(potential, structure))))


def _reach(potential: Any, structure: Structure) -> Any:
    """How far the interaction reaches, a number or ``[species, species]``."""
    return potential.reach(potential.tables(structure.species_names))


def energy(system: System, neighbors: NeighborList | None = None) -> Any:
    """The potential energy of the system.

    Args:
        system: may be traced.
        neighbors: a list that is valid at these positions; made when it is not given.
    """
    position = jnp.asarray(system.structure.position)
    if isinstance(system.potential, EnergyFunction):
        return system.potential.energy(system.structure, position)
    listed = list_neighbors(system) if neighbors is None else neighbors
    assert listed is not None
    return pair.energy(system.potential, system.structure, position, listed)


def force(system: System, neighbors: NeighborList | None = None) -> Any:
    """Minus the gradient of the energy, ``[particle, dimension]``."""
    position = jnp.asarray(system.structure.position)
    if isinstance(system.potential, EnergyFunction):
        return -jax.grad(lambda x: system.potential.energy(system.structure, x))(position)
    listed = list_neighbors(system) if neighbors is None else neighbors
    assert listed is not None
    return pair.force(system.potential, system.structure, position, listed)


def is_traced(tree: Any) -> bool:
    """Whether any leaf is without a value (inside ``jit``, ``vmap`` or ``grad``)."""
    return any(isinstance(leaf, jax.core.Tracer) for leaf in jax.tree.leaves(tree))


def _data_fields(potential: Any) -> list[str]:
    """The array fields of a potential, in the order of its definition."""
    leaves = jax.tree_util.tree_flatten_with_path(potential, is_leaf=lambda x: x is not potential)
    registered = {path[0].name for path, _ in leaves[0]}
    return [f.name for f in fields(potential) if f.name in registered]
