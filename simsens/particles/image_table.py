"""Who is near whom, from a table of the distances between all particles and their images.

Nothing is compiled: for some hundred particles NumPy's table is quicker than a grid of cells.
"""

from __future__ import annotations

import functools
import itertools
import operator

import numpy as np

from simsens.particles import list_limits
from simsens.particles.structure import Structure

BRUTE_FORCE = 1_000_000  # distances, above which a grid of cells is quicker


def near_pairs(
    structure: Structure, reach: np.ndarray, skin: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
    """The pairs closer than ``reach + skin``, in the order of their first particle.

    Args:
        structure: concrete positions.
        reach: ``[species, species]`` the interaction's range; infinite only in free space.
        skin: how much further to look.

    Returns:
        First particles, second particles, and the edges ``[pair, dimension]`` to the image of the
        second; ``None`` where the table would be too large, and a grid of cells is quicker.

    Raises:
        CutoffTooLong: an infinite range in a periodic box, or more entries than memory.
    """
    species, longest = np.asarray(structure.species), float(reach.max()) + skin
    endless, number = not np.isfinite(longest), structure.number
    if endless:
        list_limits.check_range(structure, np.inf)
        if number**2 > list_limits.MAX_PAIRS:
            raise list_limits.CutoffTooLong(
                f"{number} particles make {number**2:.2g} pairs: set a cutoff"
            )
    elif number**2 > BRUTE_FORCE:
        return None
    wrapped, wraps = wrap(structure, np.asarray(structure.position, float))
    ghost, owner, edges = _ghosts(structure, wrapped, longest)
    if not endless and number * len(ghost) > BRUTE_FORCE:
        return None
    # In the order of the rows, so that the entries, many times as many, need not be sorted.
    order = np.lexsort((*edges.T, owner))
    ghost, owner, edges = ghost[order], owner[order], edges[order]
    squared, along = np.zeros((2, len(wrapped), len(ghost)))
    for mine, theirs in zip(wrapped.T, ghost.T):  # in place: new memory costs more than the sums
        np.subtract(mine[:, None], theirs, out=along)
        squared += np.square(along, out=along)
    place = np.flatnonzero(squared < longest**2)
    row, column = np.divmod(place, len(ghost))  # twice as fast as to ask for both
    neighbor, apart = owner[column], np.sqrt(squared.ravel()[place])
    near = apart < reach[species[row], species[neighbor]] + skin
    near &= (row != neighbor) | edges[column].any(axis=1)
    row, column, neighbor = row[near], column[near], neighbor[near]
    shift = edges[column] - wraps[neighbor] + wraps[row]
    return row, neighbor, shift


def wrap(structure: Structure, position: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Positions in the home box, and the edges that were taken off."""
    if not any(structure.boundary):
        return position, np.zeros(position.shape, int)
    box = np.asarray(structure.box, float)
    wraps = np.floor(position @ np.linalg.inv(box)).astype(int) * np.array(structure.boundary)
    return position - wraps @ box, wraps


def _ghosts(
    structure: Structure, wrapped: np.ndarray, longest: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """All images that can lie within ``longest`` of the home box: positions, owners, edges."""
    number, dimension = wrapped.shape
    home = np.zeros((number, dimension), int)
    if not any(structure.boundary):
        return wrapped, np.arange(number), home
    box = np.asarray(structure.box, float)
    list_limits.check_range(
        structure, longest
    )  # before the images are made, which a wrong unit makes many
    reduced = longest * np.linalg.norm(np.linalg.inv(box), axis=0)
    counts = np.where(structure.boundary, np.ceil(reduced), 0)
    if np.prod(2 * counts + 1) * number > list_limits.MAX_ENTRIES:
        raise list_limits.CutoffTooLong(
            f"the interaction reaches {longest:.6g}, {reduced.max():.3g} times the width of the"
            " box: are the units of cutoff and box the same?"
        )
    counts = counts.astype(int)
    # Free edges are not bounded by the box: only periodic ones decide what is near.
    near = [
        [~periodic | (x + step > -far) & (x + step < 1 + far) for step in range(-count, count + 1)]
        for x, far, periodic, count in zip(
            (wrapped @ np.linalg.inv(box)).T, reduced, np.array(structure.boundary), counts
        )
    ]
    ghosts, owners, edges = [wrapped], [np.arange(number)], [home]
    for places in itertools.product(*(range(len(steps)) for steps in near)):
        image = np.array(places) - counts
        if not image.any():
            continue
        chosen = np.flatnonzero(
            functools.reduce(operator.and_, map(list.__getitem__, near, places))
        )
        ghosts.append(wrapped[chosen] + image @ box)
        owners.append(chosen)
        edges.append(np.tile(image, (len(chosen), 1)))
    return np.concatenate(ghosts), np.concatenate(owners), np.concatenate(edges)
