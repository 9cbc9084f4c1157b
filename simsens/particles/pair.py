r"""Energy and force of a pair potential, from one scalar function, by gathers alone.

With the row-wise list of neighbours (each pair in two rows)

.. math:: E = \tfrac12 \sum_i \sum_k \phi(r_{ik}; p_{ik}), \qquad
          f_i = \sum_k \frac{\phi'(r_{ik}; p_{ik})}{r_{ik}} \, d_{ik}, \qquad
          d_{ik} = x_j + s_{ik} \cdot \mathrm{box} - x_i .

:math:`\phi'` comes from :math:`\phi` by scalar autodiff. Because :math:`f` is a gather followed by
a sum along the row, so are its tangents: a Hessian product is one ``jvp`` of ``force``, and the
mixed derivative with respect to a parameter is another. Nothing scatters.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from simsens.particles.neighbors import NeighborList
from simsens.particles.structure import Structure


def gather(potential: Any, structure: Structure, neighbors: NeighborList) -> dict[str, Any]:
    """The potential's numbers for each entry of the list: scalars, or ``[particle, slot]``."""
    dtype = jnp.result_type(structure.position)  # a float32 structure is computed in float32
    tables = {
        name: jnp.asarray(table).astype(dtype)
        for name, table in potential.tables(structure.species_names).items()
    }
    if neighbors.bond is not None:
        return {k: v[neighbors.bond] if v.ndim else v for k, v in tables.items()}
    species = jnp.asarray(structure.species)
    mine, theirs = species[:, None], species[neighbors.index]
    return {k: v[mine, theirs] if v.ndim else v for k, v in tables.items()}


def separation(structure: Structure, position: Any, neighbors: NeighborList) -> tuple[Any, Any]:
    """Vectors ``d`` to the neighbours and their lengths ``r``; empty slots get ``r = 1``."""
    d = position[neighbors.index] - position[:, None]
    if structure.box is not None:
        d = d + neighbors.shift.astype(d.dtype) @ jnp.asarray(structure.box, d.dtype)
    squared = jnp.where(neighbors.mask, jnp.sum(d * d, axis=-1), 1)
    return d, jnp.sqrt(squared)


def energy(potential: Any, structure: Structure, position: Any, neighbors: NeighborList) -> Any:
    """The total energy, a scalar; NaN at positions that are NaN or beyond a traced list."""
    numbers = gather(potential, structure, neighbors)
    _, r = separation(structure, position, neighbors)
    each = jnp.where(neighbors.mask, potential.pair_energy(r, **numbers), 0)
    return jnp.sum(each) / 2 * _sound(position, neighbors)


def force(
    potential: Any,
    structure: Structure,
    position: Any,
    neighbors: NeighborList,
    numbers: dict[str, Any] | None = None,
) -> Any:
    """Forces ``[particle, dimension]``; ``numbers`` as made by ``gather``, to gather only once."""
    if numbers is None:
        numbers = gather(potential, structure, neighbors)
    d, r = separation(structure, position, neighbors)
    slope = slopes(potential, r, numbers)
    pull = jnp.where(neighbors.mask, slope / r, 0)
    total = jnp.sum(pull[..., None] * d, axis=1)
    return total * _sound(position, neighbors)


def _sound(position: Any, neighbors: NeighborList) -> Any:
    """One where an energy can be told, NaN elsewhere; a factor, so that derivatives are NaN too.

    Without it a NaN position would compare as out of reach of everything, and count as zero.
    """
    told = neighbors.valid & jnp.isfinite(jnp.sum(position))
    return jnp.where(told, jnp.ones((), position.dtype), jnp.nan)


def slopes(potential: Any, r: Any, numbers: dict[str, Any]) -> Any:
    """``phi'(r)``: the pair energy is elementwise, so one tangent of ones differentiates it."""
    return jax.jvp(lambda s: potential.pair_energy(s, **numbers), (r,), (jnp.ones_like(r),))[1]


def stiffness_blocks(
    potential: Any, structure: Structure, position: Any, neighbors: NeighborList
) -> Any:
    r"""Second derivatives of the pair energies, ``[particle, slot, dimension, dimension]``.

    .. math:: k_{ik} = \phi'' \, n n^T + \frac{\phi'}{r} (1 - n n^T), \qquad n = d / r .

    The Hessian has :math:`-k_{ik}` at (i, j) and the sum of a row's blocks at (i, i).
    """
    numbers = gather(potential, structure, neighbors)
    d, r = separation(structure, position, neighbors)
    slope, curvature = jax.jvp(lambda s: slopes(potential, s, numbers), (r,), (jnp.ones_like(r),))
    keep = jnp.where(neighbors.mask, _sound(position, neighbors), 0)
    tension = (slope / r * keep)[..., None, None]
    along = (curvature * keep)[..., None, None] - tension
    n = d / r[..., None]
    return along * n[..., :, None] * n[..., None, :] + tension * jnp.eye(
        structure.dimension, dtype=r.dtype
    )
