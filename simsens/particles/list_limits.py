"""How long lists of neighbours may be, and what is said where they would be longer.

What is refused is refused before it is made: a wrong unit makes more pairs than memory holds.
"""

from __future__ import annotations

import numpy as np

from simsens.particles.structure import Structure

MAX_PAIRS = 100_000_000  # of all with all: a table and a list of some 3 GB
MAX_TRACED = 30_000_000  # ... where each is kept with its images: some 2 GB
MAX_ENTRIES = 300_000_000  # of a list from cells: some 10 GB
MAX_NEIGHBORS = 8000  # of a particle: more than any physical cutoff, fewer than a wrong unit


class CutoffTooLong(ValueError):
    """The interaction reaches further than a list of neighbours can hold."""


class TooManyPairs(ValueError):
    """All pairs of particles are more than memory holds."""


def check_range(structure: Structure, longest: float) -> None:
    """Refuse a range that gives too many neighbours in a periodic box, were all spread evenly.

    Raises:
        CutoffTooLong: an infinite range, or one that suggests a wrong unit.
    """
    if not np.isfinite(longest) and any(structure.boundary):
        raise CutoffTooLong("a periodic box needs a potential with a cutoff; none is set")
    if all(structure.boundary):
        number, size = structure.number, abs(np.linalg.det(np.asarray(structure.box, float)))
        check_count(number**2 * ball(longest, structure.dimension) / size, number, longest)


def ball(radius: float, dimension: int) -> float:
    """The volume of a ball, the area of a disk."""
    return float({2: np.pi * radius**2, 3: 4 / 3 * np.pi * radius**3}[dimension])


def check_count(entries: float, number: int, longest: float) -> None:
    """Refuse so many entries of a list, or so many a particle.

    Raises:
        CutoffTooLong: telling the numbers.
    """
    if entries > MAX_ENTRIES or entries / number > MAX_NEIGHBORS:
        raise CutoffTooLong(
            f"a range of {longest:.6g} gives {entries / number:.3g} neighbours a particle,"
            f" {entries:.2g} in all, where lists of {MAX_ENTRIES:.2g} are made:"
            " are the units of cutoff, positions and box the same?"
        )
