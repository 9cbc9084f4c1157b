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

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from simsens.particles import long_rows, space
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


def separation(
    structure: Structure,
    position: Any,
    neighbors: NeighborList,
    upright: bool = False,
    rows: Any = None,
) -> tuple[list[Any], Any]:
    """Vectors to the neighbours, a plane a dimension, and their lengths; 1 in empty slots.

    Edges along the axes (``upright``) need one term an axis; derivatives by the box need all. The
    list may be one of some ``rows`` only.
    """
    own, apart = position if rows is None else position[rows], []
    for k in range(position.shape[1]):
        across = position[:, k][neighbors.index] - own[:, k, None]
        if structure.box is not None:
            edges = jnp.asarray(structure.box, position.dtype)[:, k]
            for j in (k,) if upright else range(position.shape[1]):
                across = across + neighbors.shift[j].astype(position.dtype) * edges[j]
        apart.append(across)
    squared = sum(across * across for across in apart)
    return apart, jnp.sqrt(jnp.where(neighbors.mask, squared, 1))


@jax.jit  # one program in eager code too, where it is what is differentiated most
def energy(potential: Any, structure: Structure, position: Any, neighbors: NeighborList) -> Any:
    """The total energy, a scalar; NaN at positions that are NaN or beyond a traced list."""
    numbers = gather(potential, structure, neighbors)
    _, r = separation(structure, position, neighbors)
    each = jnp.where(neighbors.mask, potential.pair_energy(r, **numbers), 0)
    return jnp.sum(each) / 2 * _sound(position, neighbors)


def force(potential: Any, structure: Structure, position: Any, neighbors: NeighborList) -> Any:
    """Forces ``[particle, dimension]``."""
    numbers = gather(potential, structure, neighbors)
    apart, r = separation(structure, position, neighbors)
    pull = _pull(potential, r, neighbors, numbers)
    total = jnp.stack([jnp.sum(pull * across, axis=1) for across in apart], axis=1)
    return total * _sound(position, neighbors)


def virial(potential: Any, structure: Structure, position: Any, neighbors: NeighborList) -> Any:
    r"""The derivative of the energy by a strain of everything, ``[dimension, dimension]``.

    .. math:: \frac{\partial E}{\partial \varepsilon_{ab}}
              = \tfrac12 \sum_i \sum_k \frac{\phi'(r_{ik})}{r_{ik}} \, d_{ik,a}\, d_{ik,b}
    """
    numbers = gather(potential, structure, neighbors)
    apart, r = separation(structure, position, neighbors)
    pull = _pull(potential, r, neighbors, numbers)
    rows = [jnp.stack([jnp.sum(pull * a * b) for b in apart]) for a in apart]
    return jnp.stack(rows) / 2 * _sound(position, neighbors)


def force_function(
    potential: Any, structure: Structure, neighbors: NeighborList
) -> Callable[[Any], Any]:
    """Forces as a function of the positions alone, to be evaluated many times.

    What does not change with the positions is computed once. The numbers of ``force``, up to the
    order of sums, but not to be differentiated.
    """
    first, more, place = _parts(potential, structure, neighbors)

    def of(position: Any) -> Any:
        # The way since the list was made is what steps ask for too: found once for both.
        gone = space.longest(position - neighbors.reference)
        told = neighbors.valid & jnp.isfinite(gone)
        total = _row_forces(potential, structure, position, first, told)
        if more is not None:
            rest = _row_forces(potential, structure, position, more, told)
            total = long_rows.added(total, rest, place)
        return jnp.stack(total, axis=1)

    return of


class _Rows(NamedTuple):
    """Rows of a list, or a part of them, with the potential's numbers.

    Attributes:
        listed: the rows.
        numbers: from ``gather``.
        rows: whose they are, ``None`` for those of all particles.
    """

    listed: NeighborList
    numbers: dict[str, Any]
    rows: Any = None


def _parts(
    potential: Any, structure: Structure, neighbors: NeighborList
) -> tuple[_Rows, _Rows | None, Any]:
    """The common slots of all rows, what the longer ones hold beyond, and where each finds that.

    The second and third are ``None`` where the rows are to be read as they are.
    """
    numbers = gather(potential, structure, neighbors)
    common, slots = neighbors.common, neighbors.index.shape[1]
    if common is None or common >= slots:
        return _Rows(neighbors, numbers), None, None
    rows, filled, place = long_rows.beyond(neighbors.mask, common)
    first = _cut(neighbors, numbers, lambda table: table[:, :common])
    more = _cut(neighbors, numbers, lambda table: table[rows, common:])
    listed = replace(more.listed, mask=more.listed.mask & filled[:, None])
    return first, _Rows(listed, more.numbers, rows), place


def _cut(neighbors: NeighborList, numbers: dict[str, Any], cut: Callable[[Any], Any]) -> _Rows:
    """A part of the rows, cut out of each table ``[particle, slot]``."""
    neighbors = jax.tree.map(jnp.asarray, neighbors)
    shift = jnp.stack([cut(plane) for plane in neighbors.shift])
    index, mask = cut(neighbors.index), cut(neighbors.mask)
    listed = replace(neighbors, index=index, shift=shift, mask=mask)
    return _Rows(listed, {k: cut(v) if jnp.ndim(v) else v for k, v in numbers.items()})


def _row_forces(
    potential: Any, structure: Structure, position: Any, part: _Rows, told: Any
) -> list[Any]:
    """What the neighbours in these rows do to each particle, a plane a dimension."""
    # Tied to the positions: XLA would make all shifts numbers of eight bytes before a loop over
    # steps, which takes longer to read than to make them anew.
    shift, position = jax.lax.optimization_barrier((part.listed.shift, position))
    listed = replace(part.listed, shift=shift)

    def apart() -> tuple[list[Any], Any]:
        return separation(structure, position, listed, listed.upright, part.rows)

    def pull() -> Any:
        return _pull(potential, apart()[1], listed, part.numbers)

    def untold() -> Any:
        return jnp.full(listed.index.shape, jnp.nan, position.dtype)

    if jax.default_backend() == "cpu":
        # A branch is a loop of its own. Within the loop of the sums, which is ordered, the law
        # would be evaluated number by number: half as fast.
        each = jax.lax.cond(told, pull, untold)
    else:
        each = jnp.where(told, pull(), jnp.nan)
    return _row_sums([each * across for across in apart()[0]])


def _pull(potential: Any, r: Any, neighbors: NeighborList, numbers: Any) -> Any:
    """``phi'(r) / r``, zero in empty slots."""
    return jnp.where(neighbors.mask, slopes(potential, r, numbers) / r, 0)


def _row_sums(terms: list[Any]) -> list[Any]:
    """Sums along rows, in one loop: what the terms share is computed once."""
    zeros = tuple(np.zeros((), term.dtype) for term in terms)
    return list(
        jax.lax.reduce(tuple(terms), zeros, lambda a, b: tuple(p + q for p, q in zip(a, b)), (1,))
    )


def _sound(position: Any, neighbors: NeighborList) -> Any:
    """One where an energy can be told, NaN elsewhere; a factor, so that derivatives are NaN too.

    Without it a NaN position would compare as out of reach of everything, and count as zero.
    """
    told = neighbors.valid & jnp.isfinite(jnp.sum(position))
    return jnp.where(told, jnp.ones((), position.dtype), jnp.nan)


def slopes(potential: Any, r: Any, numbers: dict[str, Any]) -> Any:
    """``phi'(r)``: the pair energy is elementwise, so one tangent of ones differentiates it."""
    return jax.jvp(lambda s: potential.pair_energy(s, **numbers), (r,), (jnp.ones_like(r),))[1]


@dataclass(frozen=True)
class Stiffness:
    r"""Second derivatives of the pair energies; a frozen pytree.

    .. math:: k_{ik} = a_{ik}\, d_{ik} d_{ik}^T + t_{ik}\, 1, \qquad
              a = (\phi'' - \phi'/r)/r^2, \quad t = \phi'/r .

    The Hessian has :math:`-k_{ik}` at (i, j) and the sum of a row's blocks at (i, i).

    Attributes:
        apart: ``[dimension]`` planes of the vectors ``d [particle, slot]``.
        along: ``[particle, slot]`` a.
        tension: ``[particle, slot]`` t.
        index: ``[particle, slot]`` the neighbours.
    """

    apart: list[Any]
    along: Any
    tension: Any
    index: Any

    def product(self, v: Any) -> Any:
        """The Hessian times ``v [particle, dimension]``: gathers, and sums along rows."""
        return jnp.stack(self.row_products(v), axis=1)

    def row_products(self, v: Any, rows: Any = None) -> list[Any]:
        """The same, a plane a dimension; of some ``rows``, if these are the pairs of those."""
        own = v if rows is None else v[rows]
        apart = [own[:, k, None] - v[:, k][self.index] for k in range(v.shape[1])]
        stretch = self.along * sum(d * w for d, w in zip(self.apart, apart))
        return _row_sums([stretch * d + self.tension * w for d, w in zip(self.apart, apart)])

    def diagonal(self) -> Any:
        """The diagonal blocks ``[particle, dimension, dimension]`` of the Hessian."""
        rows = [[jnp.sum(self.along * p * q, axis=1) for q in self.apart] for p in self.apart]
        outer = jnp.stack([jnp.stack(row, axis=-1) for row in rows], axis=-2)
        tension = jnp.sum(self.tension, axis=1)[:, None, None]
        return outer + tension * jnp.eye(len(self.apart), dtype=outer.dtype)

    def blocks(self) -> Any:
        """``k [particle, slot, dimension, dimension]``."""
        d = jnp.stack(self.apart, axis=-1)
        outer = self.along[..., None, None] * d[..., :, None] * d[..., None, :]
        return outer + self.tension[..., None, None] * jnp.eye(d.shape[-1], dtype=d.dtype)


jax.tree_util.register_dataclass(
    Stiffness, data_fields=["apart", "along", "tension", "index"], meta_fields=[]
)


def stiffness(
    potential: Any, structure: Structure, position: Any, neighbors: NeighborList
) -> Stiffness:
    """Second derivatives of the pair energies at these positions."""
    numbers = gather(potential, structure, neighbors)
    return _stiffness(potential, structure, position, _Rows(neighbors, numbers), False)


def hessian_product(
    potential: Any, structure: Structure, position: Any, neighbors: NeighborList
) -> Callable[[Any], Any]:
    """The Hessian's product with ``v [particle, dimension]``, to be evaluated many times.

    The numbers of ``stiffness(...).product``, up to the order of sums, but not to be
    differentiated.
    """
    first, more, place = _parts(potential, structure, neighbors)
    upright = neighbors.upright
    common = _stiffness(potential, structure, position, first, upright)
    if more is None:
        return common.product
    rest = _stiffness(potential, structure, position, more, upright)

    def product(v: Any) -> Any:
        beyond = rest.row_products(v, more.rows)
        return jnp.stack(long_rows.added(common.row_products(v), beyond, place), axis=1)

    return product


def _stiffness(
    potential: Any, structure: Structure, position: Any, part: _Rows, upright: bool
) -> Stiffness:
    listed, numbers = part.listed, part.numbers
    apart, r = separation(structure, position, listed, upright, part.rows)
    slope, curvature = jax.jvp(lambda s: slopes(potential, s, numbers), (r,), (jnp.ones_like(r),))
    keep = jnp.where(listed.mask, _sound(position, listed), 0)
    tension = slope / r * keep
    return Stiffness(apart, (curvature * keep - tension) / r**2, tension, listed.index)
