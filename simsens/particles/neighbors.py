"""Who interacts with whom: row-wise lists of neighbours with explicit periodic images.

Row i holds every neighbour of particle i (each pair stands in two rows), so that a force is a
gather and a sum along the row, never a scatter. An entry names the neighbour ``j`` and the whole
number of box edges ``shift`` to its image:

    vector from i to j  =  position[j] + shift . box - position[i].

Explicit images make every case the same case: free space, slabs, skewed boxes, and boxes smaller
than the cutoff, where a particle meets several images of one neighbour, or its own. The list stays
right while no particle has moved more than half the ``skin`` since it was made.

Lists are asked for by the host, where shapes may depend on values: the row length always fits, so
there is no overflow. Small systems go by a table of all distances, which needs nothing compiled,
large ones by a grid of cells (``cell_list``). Inside ``jit`` and ``vmap``, where positions have no
values yet, ``all_pairs`` takes every pair; it needs no list and cannot overflow either.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from simsens.particles import cell_list, image_table, list_limits, list_shapes, space
from simsens.particles.list_shapes import Shapes
from simsens.particles.structure import Structure


class Grid(NamedTuple):
    """What a list is made with from cells, beside the length of its rows; all of it is static.

    Attributes:
        boundary: which edges of the box are periodic.
        stencil: how many cells to each side, from ``cell_list.stencil_for``.
        capacity: members of a strip of cells that are looked at.
    """

    boundary: tuple[bool, ...]
    stencil: tuple[int, ...]
    capacity: int


@dataclass(frozen=True)
class NeighborList:
    """Neighbours of every particle; a frozen pytree.

    Attributes:
        index: ``[particle, slot]`` the neighbour; an empty slot names the particle itself.
        shift: ``[dimension, particle, slot]`` box edges to add to the neighbour's position, as
            whole numbers; dimension by dimension, which is how they are read.
        mask: ``[particle, slot]`` whether the slot is filled.
        bond: ``[particle, slot]`` which bond the entry is, or ``None`` for lists by distance.
        reference: ``[particle, dimension]`` positions the list was made at.
        skin: how much further than the interaction the list looks; infinite when never stale.
        valid: whether the list is complete (a traced list cannot raise); energies are NaN if not.
        grid: what it was made with, where it was made from cells; nothing that only reads the list
            depends on it, so that it is not part of the pytree.
        upright: whether the edges of the box are known to lie along the axes.
        common: the slots that most rows make do with (``long_rows``), where that is known.
    """

    index: Any
    shift: Any
    mask: Any
    bond: Any
    reference: Any
    skin: Any
    valid: Any
    grid: Grid | None = None
    upright: bool = False
    common: int | None = None

    @property
    def shapes(self) -> Shapes:
        """What another list is tried with, to be like this one."""
        capacity = self.grid.capacity if self.grid else 1
        return Shapes(capacity, self.index.shape[1], self.common)


jax.tree_util.register_dataclass(
    NeighborList,
    data_fields=["index", "shift", "mask", "bond", "reference", "skin", "valid"],
    meta_fields=["upright", "common"],
    drop_fields=["grid"],
)


def list_pairs(
    structure: Structure, reach: Any, skin: float = 0.0, like: NeighborList | None = None
) -> NeighborList:
    """List all pairs closer than ``reach + skin``, images included.

    Args:
        structure: concrete positions.
        reach: the interaction's range, a number or ``[species, species]``; infinite only in
            free space.
        skin: how much further to look.
        like: a list whose shapes to keep if they suffice, so that compiled programs serve again.

    Raises:
        CutoffTooLong: an infinite range in a periodic box, or more entries than memory.
    """
    reach = np.broadcast_to(np.asarray(reach, float), (len(structure.species_names),) * 2)
    found = image_table.near_pairs(structure, reach, skin)
    if found is None:
        return _by_cells(structure, reach, skin, like)
    slots = 0
    if like is not None:
        slots = like.index.shape[1]
    elif skin and np.isfinite(reach).all():
        slots = list_shapes.guess(structure, _box(structure), float(reach.max()) + skin).slots
    return _rows(structure, *found, None, skin, slots)


def _by_cells(
    structure: Structure, reach: np.ndarray, skin: float, like: NeighborList | None
) -> NeighborList:
    """From a grid of cells, again with larger shapes where those that were tried do not suffice."""
    position, longest = np.asarray(structure.position, float), float(reach.max()) + skin
    number, box = len(position), _box(structure)
    stencil = cell_list.stencil_for(structure.box, structure.boundary, longest)
    shapes = like.shapes if like else list_shapes.guess(structure, box, longest)
    arguments = (structure.species, box, reach + skin, structure.boundary, stencil)
    double = structure.position.dtype == np.float64
    points = structure.position if double else position  # on its device, if it is there
    while True:
        made = shapes
        found = cell_list.fill(points, *arguments, made.capacity, made.slots)
        count, members = np.asarray(found.count), int(found.members)
        list_limits.check_count(max(members, int(count.max())) * number, number, longest)
        if bool(found.far):  # many boxes from home: made at home, and told where from
            at_home, home = image_table.wrap(structure, position)
            listed = list_pairs(structure.with_position(at_home), reach, skin, like)
            away = np.moveaxis(home[:, None] - home[listed.index], -1, 0)
            shift = np.where(listed.mask, np.asarray(listed.shift, int) + away, 0).astype(np.int32)
            return replace(listed, shift=shift, reference=structure.position, grid=None)
        shapes = list_shapes.fitting(made, members, count)
        if shapes.capacity <= made.capacity and shapes.slots <= made.slots:
            break
    index, shift, mask = found[:3]
    if shapes.slots < made.slots:
        index, shift, mask = (part[..., : shapes.slots] for part in found[:3])
    grid = Grid(tuple(structure.boundary), stencil, shapes.capacity)
    return NeighborList(
        index, shift, mask, None, structure.position, skin, np.asarray(True), grid=grid,
        upright=is_upright(box), common=shapes.common,
    )  # fmt: skip


def renewed(structure: Structure, reach: Any, listed: NeighborList, grid: Grid) -> NeighborList:
    """A list from cells made again where the particles are now, in rows as long; traceable.

    Not ``valid`` where ``list_pairs`` would choose other shapes.

    Args:
        structure: where the particles are.
        reach: the interaction's range, a number or ``[species, species]``.
        listed: the list before, with ``grid`` as its grid.
        grid: static.
    """
    dimension, slots = structure.dimension, listed.index.shape[1]
    wide = jnp.asarray(structure.position).astype(float)  # as wide as ``list_pairs`` has it
    box = jnp.eye(dimension) if structure.box is None else jnp.asarray(structure.box)
    kinds = len(structure.species_names)
    further = jnp.broadcast_to(jnp.asarray(reach, float), (kinds, kinds)) + listed.skin
    found = cell_list.fill(
        wide, jnp.asarray(structure.species), box.astype(float), further, *grid, slots
    )
    shapes = listed.shapes._replace(capacity=grid.capacity)
    suits = list_shapes.suit(shapes, found.members, found.count) & ~found.far
    return replace(
        listed, index=found.index, shift=found.shift, mask=found.mask,
        reference=structure.position, valid=suits,
    )  # fmt: skip


def _box(structure: Structure) -> np.ndarray:
    """The box; of edge one in free space."""
    return (
        np.eye(structure.dimension) if structure.box is None else np.asarray(structure.box, float)
    )


def list_bonds(structure: Structure, bonds: np.ndarray) -> NeighborList:
    """Rows from a table of bonds ``[bond, 2]``, each at its nearest image; never stale."""
    first, second = np.asarray(bonds).T
    row, neighbor = np.concatenate([first, second]), np.concatenate([second, first])
    bond = np.tile(np.arange(len(first)), 2)
    order = np.lexsort((neighbor, row))
    row, neighbor, bond = row[order], neighbor[order], bond[order]
    blank = np.zeros((len(row), structure.dimension), int)
    listed = _rows(structure, row, neighbor, blank, bond, np.inf, 0)
    position = jax.lax.stop_gradient(jnp.asarray(structure.position))
    apart = position[listed.index] - position[:, None]
    shift = jnp.moveaxis(space.nearest_image(structure, apart), -1, 0)
    return NeighborList(
        listed.index, shift, listed.mask, listed.bond, position, np.inf, np.asarray(True)
    )


def all_pairs(structure: Structure, reach: Any) -> NeighborList:
    """Every pair at its nearest image: traceable, quadratic in the number of particles.

    With a concrete box and ``reach`` as many images as needed are taken. Otherwise one image is,
    and ``valid`` tells whether that was enough: ``reach`` below half the width of the box.

    Raises:
        TooManyPairs: before they are made.
    """
    number = structure.number
    images = _images(structure, reach)
    if number**2 * len(images) > list_limits.MAX_TRACED:
        raise list_limits.TooManyPairs(
            f"under jit and vmap all pairs are taken, and {number} particles make"
            f" {number**2 * len(images):.2g} of them: call it outside, where neighbours are listed;"
            " jax.grad alone works there too"
        )
    others = np.tile(np.arange(number), (number, 1))
    index = np.tile(others, (1, len(images)))
    extra = np.repeat(images, number, axis=0)
    mask = (index != np.arange(number)[:, None]) | (extra != 0).any(axis=1)[None]
    position = jax.lax.stop_gradient(jnp.asarray(structure.position))
    difference = position[index] - position[:, None]
    shift = space.nearest_image(structure, difference) + extra[None].astype(position.dtype)
    shift = jnp.moveaxis(shift, -1, 0)
    valid = jnp.asarray(True)
    if len(images) == 1 and any(structure.boundary):
        half = jnp.where(np.array(structure.boundary), space.widths(structure.box), jnp.inf) / 2
        valid = jax.lax.stop_gradient(jnp.max(jnp.asarray(reach)) <= jnp.min(half))
    return NeighborList(index.astype(np.int32), shift, mask, None, position, np.inf, valid)


def _rows(
    structure: Structure,
    row: np.ndarray,
    neighbor: np.ndarray,
    shift: np.ndarray,
    bond: np.ndarray | None,
    skin: float,
    slots: int,
) -> NeighborList:
    """Pad the sorted entries to rows of one length, rounded up so that few shapes are compiled."""
    number, dimension = structure.number, structure.dimension
    filled = np.bincount(row, minlength=number)
    width = max(slots, list_shapes.rounded(int(filled.max(initial=0))))
    place = np.arange(len(row)) - np.repeat(np.cumsum(filled) - filled, filled)
    index = np.tile(np.arange(number, dtype=np.int32)[:, None], (1, width))
    mask = np.zeros((number, width), bool)
    small = np.abs(shift).max(initial=0) < 128  # a byte is quicker to read than a number
    shifts = np.zeros((dimension, number, width), np.int8 if small else np.int32)
    index[row, place], mask[row, place], shifts[:, row, place] = neighbor, True, shift.T
    bonds = None
    if bond is not None:
        bonds = np.zeros((number, width), np.int32)
        bonds[row, place] = bond
    box = structure.box
    known = not isinstance(box, jax.core.Tracer)  # bonds are listed under a trace as well
    upright = box is None or (known and is_upright(np.asarray(box)))
    return NeighborList(
        index, shifts, mask, bonds, structure.position, skin, np.asarray(True), upright=upright
    )


def is_upright(box: np.ndarray) -> bool:
    """Whether the edges of a box, or of all of several, lie along the axes."""
    return not (box * (1 - np.eye(box.shape[-1]))).any()


def _images(structure: Structure, reach: Any) -> np.ndarray:
    """Images to try around the nearest one: none when ``reach`` or the box has no value yet."""
    dimension = structure.dimension
    unknown = isinstance(reach, jax.core.Tracer) or isinstance(structure.box, jax.core.Tracer)
    if unknown or not any(structure.boundary):
        return np.zeros((1, dimension), int)
    longest = float(np.max(np.asarray(reach)))
    if not np.isfinite(longest):
        raise list_limits.CutoffTooLong(
            "a periodic box needs a potential with a cutoff; none is set"
        )
    across = np.asarray(space.widths(structure.box))
    # The nearest image by rounding is off by at most half a width, hence the one added.
    counts = np.where(longest <= across / 2, 0, np.ceil(longest / across + 0.5)).astype(int)
    counts = np.where(structure.boundary, counts, 0)
    return np.array(list(itertools.product(*(range(-c, c + 1) for c in counts))))
