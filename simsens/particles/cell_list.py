r"""Row-wise lists of neighbours from a grid of cells, compiled.

The box is divided into cells no narrower than the range, so that all neighbours of a particle lie
in its own cell and those around it. Particles are sorted by cell; those of one cell then follow
each other, and a cell is where its first one stands and how many there are.

A row is filled without scatter: of each cell around a particle, whether its b-th member is near is
bit b of a word; how many bits stand before a slot tells which word the slot takes its neighbour
from, and counting bits by halves tells which bit.

Around periodic edges a cell is met again as an image, with its whole number of edges; boxes
narrower than the range are met several times by a larger stencil. Only shapes are static: the
stencil, how many members of a cell are looked at, the length of the rows. Where one of them does
not suffice, ``Filled`` says so and the list is to be made again.
"""

from __future__ import annotations

import functools
import itertools
import operator
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

WORD = 32  # members of a cell that one word tells of
TINY_TABLE = 64  # cells, at least
DIGITS = np.array([1, 1 << 10, 1 << 20], np.int32)  # of whole numbers of edges packed in one word


class Filled(NamedTuple):
    """Rows of neighbours, and what they would have needed.

    Attributes:
        index: ``[particle, slot]``, the particle itself where there is none.
        shift: ``[dimension, particle, slot]`` int8 edges to the neighbour's image.
        mask: ``[particle, slot]``.
        members: the most that a cell holds; more than ``capacity`` were not looked at.
        count: ``[particle]`` how many neighbours there are; what goes beyond the slots is missing.
        far: whether a particle is too many boxes from home for the shifts to be right.
    """

    index: Any
    shift: Any
    mask: Any
    members: Any
    count: Any
    far: Any


def stencil_for(
    box: np.ndarray | None, boundary: tuple[bool, ...], longest: float
) -> tuple[tuple[int, ...], ...]:
    """The cells around a cell that can hold neighbours closer than ``longest``.

    Of several boxes ``[box, dimension, dimension]``, a stencil that suffices for all of them.

    Example:
        >>> len(stencil_for(np.eye(3) * 10.0, (True, True, True), 2.5))
        27
        >>> len(stencil_for(np.eye(2), (True, False), 2.5))  # seven images of the box, three slabs
        21
    """
    if box is None:
        across = np.full(len(boundary), np.inf)
    else:
        across = 1 / np.linalg.norm(np.linalg.inv(box), axis=-2)
        across = across.reshape(-1, len(boundary)).min(axis=0)
    counts = [
        max(1, int(np.ceil(longest / width))) if periodic else 1
        for width, periodic in zip(across, boundary)
    ]
    return tuple(itertools.product(*(range(-count, count + 1) for count in counts)))


def fill(
    position: Any,
    species: Any,
    box: Any,
    reach: Any,
    boundary: tuple[bool, ...],
    stencil: tuple[tuple[int, ...], ...],
    capacity: int,
    slots: int,
) -> Filled:
    """List all pairs closer than ``reach``, of one system or of each of several.

    Args:
        position: ``[particle, dimension]``, or ``[system, particle, dimension]``, and so on.
        species: ``[particle]``.
        box: ``[dimension, dimension]``; the unit box in free space.
        reach: ``[species, species]``.
        boundary: which edges are periodic.
        stencil: from ``stencil_for``.
        capacity: members of a cell to look at.
        slots: the length of the rows.

    Example:
        >>> x = np.array([[0.1, 0.5], [0.9, 0.5]])
        >>> around = stencil_for(np.eye(2), (True, True), 0.3)
        >>> reach = np.full((1, 1), 0.3)
        >>> rows = fill(x, np.zeros(2, int), np.eye(2), reach, (True, True), around, 2, 2)
        >>> print(rows.index[0], rows.shift[:, 0, 0], rows.mask[0])
        [1 0] [-1  0] [ True False]
    """
    many, dimension = np.ndim(position) == 3, position.shape[-1]
    parts = tuple((cell, begin) for cell in stencil for begin in range(0, capacity, WORD))
    width = min(capacity, WORD)
    traced = isinstance(position, jax.core.Tracer)

    def done(stage: Callable[..., Any], *given: Any, **static: Any) -> Any:
        # A program each: in one, each stage would be computed anew wherever the next reads it.
        if traced:
            return _in_branch(_stage(stage, many, **static), jnp.max(reach) > 0, *given)
        return _program(stage, many, **static)(*given)

    lattice, by_cell = done(_sort, position, species, box, reach, boundary=boundary)
    cells = done(_around, lattice, box, boundary=boundary, parts=parts)
    words = done(_near, cells, by_cell, species, reach, parts=parts, width=width)
    before, part, filled, count = done(_shares, words, slots=slots)
    index, edges, far = done(_rows, cells, by_cell, words, before, part, filled, width=width)
    shift = done(_unpacked, edges, dimension=dimension)
    return Filled(index, shift, filled, cells.members, count, far)


def _stage(stage: Callable[..., Any], many: bool, **static: Any) -> Callable[..., Any]:
    stage = functools.partial(stage, **static)
    return jax.vmap(stage) if many else stage


@functools.cache
def _program(stage: Callable[..., Any], many: bool, **static: Any) -> Callable[..., Any]:
    return jax.jit(_stage(stage, many, **static))


def _in_branch(stage: Callable[..., Any], anybody: Any, *given: Any) -> Any:
    """A stage as a branch of a program: zeros where nobody reaches anybody."""
    form = jax.eval_shape(stage, *given)
    blank = functools.partial(jax.tree.map, lambda part: jnp.zeros(part.shape, part.dtype), form)
    return lax.cond(anybody, stage, lambda *_: blank(), *given)


class _Lattice(NamedTuple):
    """The cells.

    Attributes:
        cell: ``[dimension, particle]`` the coordinates of each particle's cell.
        count: ``[dimension]`` how many there are along each axis.
        stride: ``[dimension]`` what a coordinate counts in the name of a cell.
        begin: ``[cell + 1]`` the place of its first particle.
        wrapped: ``[dimension, particle]`` positions in the home box.
    """

    cell: Any
    count: Any
    stride: Any
    begin: Any
    wrapped: Any


class _Cells(NamedTuple):
    """The cells around each particle, a part of 32 members at a time.

    The parts come first, so that what is done for each of them runs along the particles.

    Attributes:
        first: ``[part, particle]`` the place of the first member.
        count: ``[part, particle]`` how many there are from there on.
        edges: ``[part, particle]`` the edges to the image of the cell, packed.
        origin: of each dimension, ``[part, particle]`` what makes a member the vector to it.
        members: the most that a cell holds.
        away: the most edges along one axis.
    """

    first: Any
    count: Any
    edges: Any
    origin: Any
    members: Any
    away: Any


class _Sorted(NamedTuple):
    """The particles in the order of their cells.

    Attributes:
        order: ``[place]`` who stands there.
        place: ``[particle]`` where it stands.
        position: of each dimension, ``[place + 32]`` in the home box; zero beyond the last.
        square: ``[species, place + 32]`` of how far a species reaches to who stands there.
        wraps: ``[particle, dimension]`` edges that were taken off.
    """

    order: Any
    place: Any
    position: Any
    square: Any
    wraps: Any


def _sort(
    position: Any, species: Any, box: Any, reach: Any, boundary: tuple[bool, ...]
) -> tuple[_Lattice, _Sorted]:
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
    shape = jnp.clip(jnp.floor(span / jnp.linalg.norm(inverse, axis=0) / longest), 1, table)
    for power in (1 / dimension, 1.0):  # the second time where an edge of one cell gives nothing
        excess = jnp.maximum(1, jnp.prod(shape) / table) ** power
        shape = jnp.maximum(1, jnp.floor(shape / excess))
    count = shape.astype(jnp.int32)
    stride = jnp.concatenate([jnp.ones(1, jnp.int32), jnp.cumprod(count)[:-1].astype(jnp.int32)])

    cell = jnp.clip((inside * shape).astype(jnp.int32), 0, count - 1)
    name = jnp.sum(cell * stride, axis=1)
    order = _order(name, table)
    begin = jnp.cumsum(jnp.zeros(table + 1, jnp.int32).at[name + 1].add(1), dtype=jnp.int32)
    place = jnp.zeros(number, jnp.int32).at[order].set(np.arange(number, dtype=np.int32))
    wrapped = position - wraps @ box
    planes = [_longer(plane[order]) for plane in wrapped.T]
    square = jax.vmap(_longer)((reach * reach)[:, species[order]])
    by_cell = _Sorted(order, place, planes, square, wraps.astype(jnp.int32))
    return _Lattice(cell.T, count, stride, begin, wrapped.T), by_cell


def _longer(values: Any) -> Any:
    """With room to read a word's members from the last place on."""
    return jnp.pad(values, (0, WORD))


def _around(lattice: _Lattice, box: Any, boundary: tuple[bool, ...], parts: Any) -> _Cells:
    dtype = lattice.wrapped.dtype
    theres, names, overs, edges, origin = [], [], [], [], []
    # In whole numbers: 55 / 55 by way of a reciprocal falls short of one, and loses the last image.
    # Few are divided: a stencil has few steps along an axis.
    for k, count in enumerate(lattice.count):
        steps, row = np.unique([step[k] for step, _ in parts], return_inverse=True)
        around = lattice.cell[k] + steps.astype(np.int32)[:, None]
        over = jnp.zeros_like(around)
        if boundary[k]:  # dividing is slow, and next to an edge comparing does
            beside = (around >= count).astype(np.int32) - (around < 0).astype(np.int32)
            over = beside if np.abs(steps).max() <= 1 else around // count
        around = around - over * count
        overs.append(over)
        theres.append(((around >= 0) & (around < count))[row])
        names.append((around * lattice.stride[k])[row])
        edges.append((over * DIGITS[k])[row])
        origin.append([(over.astype(dtype) * edge)[row] for edge in box[k]])
    away = jnp.max(jnp.stack([jnp.max(jnp.abs(over)) for over in overs]))
    here = functools.reduce(operator.and_, theres)
    cell = jnp.where(here, sum(names), 0)
    first = lattice.begin[cell]
    held = jnp.where(here, lattice.begin[cell + 1] - first, 0)
    skip = np.array([skip for _, skip in parts], np.int32)[:, None]
    places = [sum(shifts) - at for shifts, at in zip(zip(*origin), lattice.wrapped)]
    return _Cells(first + skip, held - skip, sum(edges), places, jnp.max(held), away)


def _order(name: Any, names: int) -> Any:
    """The particles in the order of their cells' names.

    Names and particles packed into one number are sorted four times as fast as pairs of them.
    """
    number = len(name)
    wide = jnp.int32 if names * number < 2**31 else jax.dtypes.canonicalize_dtype(np.int64)
    if names * number >= 2 ** (8 * np.dtype(wide).itemsize - 1):
        return jnp.argsort(name).astype(jnp.int32)
    packed = jnp.sort(name.astype(wide) * number + jnp.arange(number, dtype=wide))
    return (packed % number).astype(jnp.int32)


def _near(cells: _Cells, by_cell: _Sorted, species: Any, reach: Any, parts: Any, width: int) -> Any:
    """Words ``[part, particle]``: bit b tells whether the b-th member is a neighbour."""
    bit = np.arange(width, dtype=np.int32)
    # The members of a cell stand side by side: read as slices, twice as fast as one by one.
    squared: Any = 0
    for place, origin in zip(by_cell.position, cells.origin):
        squared = squared + (_members(place, cells.first, width) + origin[..., None]) ** 2
    limit: Any = by_cell.square[0, 0]
    if len(reach) > 1:  # a row of squares for each species, one after the other
        row = species * by_cell.square.shape[1]
        limit = _members(by_cell.square.reshape(-1), row + cells.first, width)
    near = (squared < limit) & (bit < cells.count[..., None])
    words = jnp.where(near, np.uint32(1) << bit.astype(np.uint32), np.uint32(0))
    word = jnp.sum(words, axis=2, dtype=jnp.uint32)
    for part, (step, _) in enumerate(parts):
        if not any(step):  # its own cell: take out the particle itself
            own = by_cell.place - cells.first[part]
            inside = (own >= 0) & (own < WORD)
            itself = jnp.uint32(1) << jnp.where(inside, own, 0).astype(jnp.uint32)
            others = jnp.where(inside, word[part] & ~itself, word[part])
            word = word.at[part].set(others)
    return word


def _members(values: Any, first: Any, width: int) -> Any:
    """``[part, particle, member]`` the values from each first place on."""
    numbers = lax.GatherDimensionNumbers(
        offset_dims=(2,), collapsed_slice_dims=(), start_index_map=(0,)
    )
    return lax.gather(values, first[..., None], numbers, (width,), mode="clip")


def _shares(words: Any, slots: int) -> tuple[Any, ...]:
    """Neighbours before each part, each slot's part, which slots are filled, and of how many."""
    # Of short numbers more are counted at once, and fewer bytes are read by what comes next.
    counting = np.int16 if max(slots, WORD * len(words)) < 2**15 else np.int32
    naming = np.uint8 if len(words) < 2**8 else np.int32
    slot = np.arange(slots, dtype=counting)
    upto, before = jnp.zeros_like(words[0], counting), []
    part: Any = np.zeros((), naming)
    for have in lax.population_count(words).astype(counting):
        before.append(upto)
        upto = upto + have
        # Counting the parts that are complete before a slot is five times faster than halving.
        part = part + (upto[:, None] <= slot).astype(naming)
    filled = slot < upto[:, None]
    part = jnp.minimum(part, np.array(len(words) - 1, naming))
    return jnp.stack(before, axis=1), part, filled, upto.astype(np.int32)


def _rows(
    cells: _Cells,
    by_cell: _Sorted,
    words: Any,
    before: Any,
    part: Any,
    filled: Any,
    width: int,
) -> tuple[Any, ...]:
    """Neighbours, packed edges, and whether anybody is too far from home."""
    number, slots = part.shape
    slot = np.arange(slots, dtype=np.int32)

    def take(values: Any) -> Any:
        return jnp.take_along_axis(values, part.astype(np.int32), axis=1)

    rank = slot - take(before).astype(np.int32)
    at = take(cells.first.T) + _bit(take(words.T), rank, width)
    own = np.arange(number, dtype=np.int32)[:, None]
    index = jnp.where(filled, by_cell.order[jnp.clip(at, 0, number - 1)], own)
    wraps = jnp.sum(by_cell.wraps * DIGITS[: by_cell.wraps.shape[1]], axis=1, dtype=jnp.int32)
    edges = take(cells.edges.T) - wraps[index] + wraps[:, None]
    far = 2 * jnp.max(jnp.abs(by_cell.wraps)) + cells.away > np.iinfo(np.int8).max
    return index, jnp.where(filled, edges, 0), far


def _unpacked(word: Any, dimension: int) -> Any:
    digits = []
    for _ in range(dimension):
        digit = ((word + 512) & 1023) - 512
        digits.append(digit.astype(jnp.int8))
        word = (word - digit) >> 10
    return jnp.stack(digits)


def _bit(word: Any, rank: Any, width: int) -> Any:
    """The place, of so many, of the set bit before which ``rank`` others are set."""
    place = jnp.zeros_like(rank)
    for half in (half for half in (16, 8, 4, 2, 1) if half < width):
        below = lax.population_count(word & np.uint32((1 << half) - 1)).astype(jnp.int32)
        above = rank >= below
        rank = jnp.where(above, rank - below, rank)
        word = jnp.where(above, word >> np.uint32(half), word)
        place = jnp.where(above, place + half, place)
    return place
