r"""Particles sorted into cells, and the strips of cells around each of them.

The box is divided into cells no narrower than the range, so that all neighbours of a particle lie
in its own cell and those around it; along the last axis they are a quarter as wide. Particles are
sorted by cell, along the last axis first: a *strip*, the cells in a line that can hold neighbours,
is then where its first member stands and how many there are. So that strips across a periodic edge
are whole too, each line of cells is laid out several times, one image after the other.

Around the other periodic edges a strip is met again as an image, with its whole number of edges;
boxes narrower than the range are met several times by a larger stencil.
"""

from __future__ import annotations

import itertools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

FINER = 4  # cells to the range along a strip: the more, the less a strip holds beyond the range
TINY_TABLE = 64  # cells, at least
DIGITS = np.array([1, 1 << 10, 1 << 20], np.int32)  # of whole numbers of edges packed in one word


class Lattice(NamedTuple):
    """The cells.

    Attributes:
        cell: ``[dimension, particle]`` the coordinates of each particle's cell.
        count: ``[dimension]`` how many there are along each axis.
        side: how many of a line can hold neighbours to each side.
        stride: ``[dimension]`` what a coordinate counts in the name of a cell.
        begin: ``[cell + 1]`` the place of its first particle.
        order: ``[place]`` the particles in the order of cells.
        line: ``[place]`` where the line of cells that holds the particle begins in that order.
        length: ``[place]`` how many particles the line holds.
        wrapped: ``[dimension, particle]`` positions in the home box.
    """

    cell: Any
    count: Any
    side: Any
    stride: Any
    begin: Any
    order: Any
    line: Any
    length: Any
    wrapped: Any


class Sorted(NamedTuple):
    """The particles in the order of their cells, each line of cells with its images after it.

    Attributes:
        order: ``[place]`` who stands there.
        edges: ``[place]`` the edges to this image from where the particle is, packed.
        position: of each dimension, ``[place + room]``; zero beyond the last.
        square: ``[species, place + room]`` of how far a species reaches to who stands there.
        wraps: ``[particle]`` the edges that were taken off, packed.
        away: the most of them along one axis.
    """

    order: Any
    edges: Any
    position: Any
    square: Any
    wraps: Any
    away: Any


class Strips(NamedTuple):
    """The strips around each particle, first, so that what is done for each runs along particles.

    Attributes:
        first: ``[strip, particle]`` the place of the first member.
        count: ``[strip, particle]`` how many there are from there on.
        edges: ``[strip, particle]`` the edges to the strip's image, packed.
        origin: of each dimension, ``[strip, particle]`` what makes a member the vector to it.
        own: ``[particle]`` how many members of the middle strip stand before the particle itself.
        members: the most that a strip holds.
    """

    first: Any
    count: Any
    edges: Any
    origin: Any
    own: Any
    members: Any


def sort(
    position: Any, box: Any, reach: Any, boundary: tuple[bool, ...], most: int
) -> tuple[Lattice, Any]:
    """The lattice, and ``[dimension, particle]`` the edges that take each particle home."""
    number, dimension = position.shape
    longest = jnp.max(reach)
    periodic = np.array(boundary)
    inverse = jnp.linalg.inv(box)
    fraction = position @ inverse
    wraps = jnp.where(periodic, jnp.floor(fraction), 0)
    low = jnp.where(periodic, wraps, jnp.min(fraction, axis=0))
    span = jnp.where(periodic, 1, jnp.max(fraction, axis=0) - jnp.min(fraction, axis=0))
    inside = (fraction - low) / jnp.where(span > 0, span, 1)

    # No more cells than the table holds: where there would be, they are wider than need be.
    table = max(TINY_TABLE, 1 << (number - 1).bit_length())
    wide = span / jnp.linalg.norm(inverse, axis=0) / longest
    shape = jnp.clip(jnp.floor(wide * np.array([1] * (dimension - 1) + [FINER])), 1, table)
    for power in (1 / dimension, 1.0):  # the second time where an edge of one cell gives nothing
        excess = jnp.maximum(1, jnp.prod(shape) / table) ** power
        shape = jnp.maximum(1, jnp.floor(shape / excess))
    count = shape.astype(jnp.int32)
    side = jnp.clip(jnp.ceil(shape[-1] / wide[-1]), 1, most * shape[-1]).astype(jnp.int32)
    inner = jnp.concatenate([jnp.ones(1, jnp.int32), jnp.cumprod(count[:0:-1]).astype(jnp.int32)])
    stride = inner[::-1]

    cell = jnp.clip((inside * shape).astype(jnp.int32), 0, count - 1)
    name = jnp.sum(cell * stride, axis=1)
    order, names = _ordered(name, table)
    begin = jnp.cumsum(jnp.zeros(table + 1, jnp.int32).at[name + 1].add(1), dtype=jnp.int32)
    first = names // count[-1] * count[-1]
    line, upto = begin[first], begin[first + count[-1]]
    wrapped = (position - wraps @ box).T
    lattice = Lattice(cell.T, count, side, stride, begin, order, line, upto - line, wrapped)
    return lattice, wraps.T.astype(jnp.int32)


def in_lines(lattice: Lattice, images: int) -> tuple[Any, Any]:
    """``[place]`` who stands there and as which image, where each line has its images after it."""
    # Images of a line take the places of its own members, so many times as many.
    line, length = lattice.line[:, None], lattice.length[:, None]
    number = np.arange(len(line), dtype=np.int32)[:, None]
    along = images * (number - line) + np.arange(images, dtype=np.int32)
    image = jnp.zeros_like(along)
    for k in range(1, images):
        image = image + (along >= k * length).astype(np.int32)
    source = line + along - image * length
    return lattice.order[source.reshape(-1)], image.reshape(-1)


def lay_out(
    there: Any,
    image: Any,
    lattice: Lattice,
    wraps: Any,
    species: Any,
    box: Any,
    reach: Any,
    room: int,
) -> Sorted:
    """What is read of who stands there, with room to read so many from the last place on."""
    position = [plane[there] + image * edge for plane, edge in zip(lattice.wrapped, box[-1])]
    position = [jnp.pad(plane, (0, room)) for plane in position]
    square = jnp.pad((reach * reach)[:, species[there]], ((0, 0), (0, room)))
    packed = jnp.sum(wraps * DIGITS[: len(wraps), None], axis=0, dtype=jnp.int32)
    edges = image * DIGITS[len(wraps) - 1] - packed[there]
    return Sorted(there, edges, position, square, packed, jnp.max(jnp.abs(wraps)))


def around_each(
    lattice: Lattice, box: Any, boundary: tuple[bool, ...], stencil: tuple[int, ...], images: int
) -> Strips:
    """The strips, from the cells a few steps back to those a few ahead along the last axis."""
    dtype, along = lattice.wrapped.dtype, lattice.count[-1]
    back, ahead = lattice.cell[-1] - lattice.side, lattice.cell[-1] + lattice.side + 1
    over, later = jnp.zeros_like(back), jnp.zeros_like(back)
    if boundary[-1]:
        over = back // along
        later = ahead // along - over
        back, ahead = back - over * along, ahead - ahead // along * along
    else:
        back, ahead = jnp.maximum(back, 0), jnp.minimum(ahead, along)

    strips = np.array(list(itertools.product(*(range(-n, n + 1) for n in stencil[:-1]))))
    line, here = jnp.zeros((len(strips), 1), jnp.int32), jnp.ones((len(strips), 1), bool)
    edges = over * DIGITS[len(stencil) - 1]
    origin = [over.astype(dtype) * edge - at for edge, at in zip(box[-1], lattice.wrapped)]
    # In whole numbers: 55 / 55 by way of a reciprocal falls short of one, and loses the last image.
    # Few are divided: a stencil has few steps along an axis.
    for k, count in enumerate(lattice.count[:-1]):
        steps, row = np.unique(strips[:, k], return_inverse=True)
        around = lattice.cell[k] + steps.astype(np.int32)[:, None]
        beyond = jnp.zeros_like(around)
        if boundary[k]:  # dividing is slow, and next to an edge comparing does
            beside = (around >= count).astype(np.int32) - (around < 0).astype(np.int32)
            beyond = beside if stencil[k] <= 1 else around // count
        around = around - beyond * count
        here = here & ((around >= 0) & (around < count))[row]
        line = line + (around * lattice.stride[k])[row]
        edges = edges + (beyond * DIGITS[k])[row]
        moved = [beyond.astype(dtype) * edge for edge in box[k]]
        origin = [at + more[row] for at, more in zip(origin, moved)]
    line = jnp.where(here, line, 0)
    begin = lattice.begin[line]
    length = lattice.begin[line + along] - begin
    first = lattice.begin[line + back] + (images - 1) * begin
    end = lattice.begin[line + ahead] + (images - 1) * begin + later * length
    held = jnp.where(here, end - first, 0)
    own = len(strips) // 2
    number = len(lattice.order)
    place = jnp.zeros(number, jnp.int32).at[lattice.order].set(np.arange(number, dtype=np.int32))
    itself = place + (images - 1) * begin[own] - over * length[own]
    return Strips(first, held, edges, origin, itself - first[own], jnp.max(held))


def _ordered(name: Any, names: int) -> tuple[Any, Any]:
    """The particles in the order of their cells' names, and the names in that order.

    Names and particles packed into one number are sorted four times as fast as pairs of them.
    """
    number = len(name)
    wide = jnp.int32 if names * number < 2**31 else jax.dtypes.canonicalize_dtype(np.int64)
    if names * number >= 2 ** (8 * np.dtype(wide).itemsize - 1):
        order = jnp.argsort(name).astype(jnp.int32)
        return order, name[order]
    packed = jnp.sort(name.astype(wide) * number + jnp.arange(number, dtype=wide))
    return (packed % number).astype(jnp.int32), (packed // number).astype(jnp.int32)
