r"""Row-wise lists of neighbours from a grid of cells, compiled.

Particles are sorted into cells, and around each there are strips of cells whose members stand side
by side (``cell_strips``).

A row is filled without scatter: of the strips around a particle, whether a member is near is a bit
of a word, of which a strip has one or several; how many bits stand before a slot tells which word
the slot takes its neighbour from, and counting bits by halves tells which bit.

Only shapes are static: the stencil, how many members of a strip are looked at, the length of the
rows. Where one of them does not suffice, ``Filled`` says so and the list is to be made again.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from simsens.particles import cell_strips
from simsens.particles.cell_strips import Sorted, Strips

WORD = 32  # members of a strip that one word tells of, at most
STEP = 8  # of their use: other lengths take longer to read
FEW_WORDS = 4  # among which choosing is quicker than looking up


class Filled(NamedTuple):
    """Rows of neighbours, and what they would have needed.

    Attributes:
        index: ``[particle, slot]``, the particle itself where there is none.
        shift: ``[dimension, particle, slot]`` int8 edges to the neighbour's image.
        mask: ``[particle, slot]``.
        members: the most that a strip holds; more than ``capacity`` were not looked at.
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
) -> tuple[int, ...]:
    """How many cells of the range to each side, along each axis, can hold neighbours that close.

    Of several boxes ``[box, dimension, dimension]``, a stencil that suffices for all of them.

    Example:
        >>> stencil_for(np.eye(3) * 10.0, (True, True, True), 2.5)
        (1, 1, 1)
        >>> stencil_for(np.eye(2), (True, False), 2.5)  # seven images of the box, three slabs
        (3, 1)
    """
    if box is None:
        across = np.full(len(boundary), np.inf)
    else:
        across = 1 / np.linalg.norm(np.linalg.inv(box), axis=-2)
        across = across.reshape(-1, len(boundary)).min(axis=0)
    return tuple(
        max(1, int(np.ceil(longest / width))) if periodic else 1
        for width, periodic in zip(across, boundary)
    )


def word_for(members: int) -> tuple[int, int]:
    """How many bits of a word are used, and of how many members all words of a strip then tell.

    Example:
        >>> word_for(20), word_for(70)
        ((24, 24), (24, 72))
    """
    words = -(-members // WORD)
    width = -(-members // (STEP * words)) * STEP
    return width, words * width


def fill(
    position: Any,
    species: Any,
    box: Any,
    reach: Any,
    boundary: tuple[bool, ...],
    stencil: tuple[int, ...],
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
        capacity: members of a strip to look at.
        slots: the length of the rows.

    Example:
        >>> x = np.array([[0.1, 0.5], [0.9, 0.5]])
        >>> around = stencil_for(np.eye(2), (True, True), 0.3)
        >>> reach = np.full((1, 1), 0.3)
        >>> rows = fill(x, np.zeros(2, int), np.eye(2), reach, (True, True), around, 3, 2)
        >>> print(rows.index[0], rows.shift[:, 0, 0], rows.mask[0])
        [1 0] [-1  0] [ True False]
    """
    many, dimension = np.ndim(position) == 3, position.shape[-1]
    width, looked_at = word_for(capacity)
    traced = isinstance(position, jax.core.Tracer)

    def done(stage: Callable[..., Any], *given: Any, **static: Any) -> Any:
        # A program each: in one, each stage would be computed anew wherever the next reads it.
        if traced:
            return _in_branch(_stage(stage, many, **static), jnp.max(reach) > 0, *given)
        return _program(stage, many, **static)(*given)

    images = 2 * stencil[-1] + 1 if boundary[-1] else 1
    lattice, wraps = done(
        cell_strips.sort, position, box, reach, boundary=boundary, most=stencil[-1]
    )
    laid_out = done(cell_strips.in_lines, lattice, images=images)
    by_cell = done(
        cell_strips.lay_out, *laid_out, lattice, wraps, species, box, reach, room=looked_at
    )
    strips = done(
        cell_strips.around_each, lattice, box, boundary=boundary, stencil=stencil, images=images
    )
    words = done(_near, strips, by_cell, species, reach, looked_at=looked_at, width=width)
    before, word, filled, count = done(_shares, words, slots=slots)
    index, edges = done(_rows, strips, by_cell, words, before, word, filled, width=width)
    shift = done(_unpacked, edges, dimension=dimension)
    far = 2 * by_cell.away + max(stencil) > np.iinfo(np.int8).max
    return Filled(index, shift, filled, strips.members, count, far)


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


def _near(
    strips: Strips, by_cell: Sorted, species: Any, reach: Any, looked_at: int, width: int
) -> Any:
    """Words ``[strip's word, particle]``: bit b tells whether the b-th member is a neighbour."""
    # The members of a strip stand side by side: read as slices, twice as fast as one by one.
    squared: Any = 0
    for place, origin in zip(by_cell.position, strips.origin):
        squared = squared + (_members(place, strips.first, looked_at) + origin[..., None]) ** 2
    limit: Any = by_cell.square[0, 0]
    if len(reach) > 1:  # a row of squares for each species, one after the other
        row = species * by_cell.square.shape[1]
        limit = _members(by_cell.square.reshape(-1), row + strips.first, looked_at)
    member = np.arange(looked_at, dtype=np.int32)
    near = (squared < limit) & (member < strips.count[..., None])
    bits = jnp.where(near, np.uint32(1) << (member % width).astype(np.uint32), np.uint32(0))
    strip, number = strips.first.shape
    words = jnp.sum(bits.reshape(strip, number, -1, width), axis=3, dtype=jnp.uint32)
    words = jnp.moveaxis(words, 2, 1)
    # Take out the particle itself.
    own = strips.own - np.arange(0, looked_at, width, dtype=np.int32)[:, None]
    inside = (own >= 0) & (own < width)
    itself = jnp.where(inside, jnp.uint32(1) << jnp.where(inside, own, 0).astype(jnp.uint32), 0)
    middle = strip // 2
    words = words.at[middle].set(words[middle] & ~itself.astype(jnp.uint32))
    return words.reshape(-1, number)


def _members(values: Any, first: Any, width: int) -> Any:
    """``[strip, particle, member]`` the values from each first place on."""
    numbers = lax.GatherDimensionNumbers(
        offset_dims=(2,), collapsed_slice_dims=(), start_index_map=(0,)
    )
    return lax.gather(values, first[..., None], numbers, (width,), mode="clip")


def _shares(words: Any, slots: int) -> tuple[Any, ...]:
    """Neighbours before each word, each slot's word, which slots are filled, and of how many."""
    # Of short numbers more are counted at once, and fewer bytes are read by what comes next.
    counting = np.int16 if max(slots, WORD * len(words)) < 2**15 else np.int32
    naming = np.uint8 if len(words) < 2**8 else np.int32
    slot = np.arange(slots, dtype=counting)
    upto, before = jnp.zeros_like(words[0], counting), []
    word: Any = np.zeros((), naming)
    for have in lax.population_count(words).astype(counting):
        before.append(upto)
        upto = upto + have
        # Counting the words that are complete before a slot is five times faster than halving.
        word = word + (upto[:, None] <= slot).astype(naming)
    filled = slot < upto[:, None]
    word = jnp.minimum(word, np.array(len(words) - 1, naming))
    return jnp.stack(before), word, filled, upto.astype(np.int32)


def _rows(
    strips: Strips,
    by_cell: Sorted,
    words: Any,
    before: Any,
    word: Any,
    filled: Any,
    width: int,
) -> tuple[Any, Any]:
    """Neighbours and packed edges."""
    number, slots = word.shape
    slot = np.arange(slots, dtype=np.int32)
    of_a_strip = len(words) // len(strips.first)
    strip = word // of_a_strip
    nth = (word - strip * of_a_strip).astype(np.int32)
    rank = slot - _taken(before, word).astype(np.int32)
    at = _taken(strips.first, strip) + nth * width + _bit(_taken(words, word), rank, width)
    at = jnp.clip(at, 0, len(by_cell.order) - 1)
    own = np.arange(number, dtype=np.int32)[:, None]
    index = jnp.where(filled, by_cell.order.at[at].get(mode="promise_in_bounds"), own)
    there = by_cell.edges.at[at].get(mode="promise_in_bounds")
    edges = _taken(strips.edges, strip) + there + by_cell.wraps[:, None]
    return index, jnp.where(filled, edges, 0)


def _taken(values: Any, which: Any) -> Any:
    """``[particle, slot]`` from ``[word, particle]``."""
    if len(values) > FEW_WORDS:
        row = np.arange(0, values.size, len(values), dtype=np.int32)[:, None]
        return values.T.reshape(-1).at[row + which].get(mode="promise_in_bounds")
    taken = values[0][:, None]
    for k in range(1, len(values)):
        taken = jnp.where(which >= k, values[k][:, None], taken)
    return taken


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
