"""The shapes of a list of neighbours from cells: few of them, for each is another program.

A list is made in shapes that were enough before. Where they are not, those that fall short grow;
where others would take much less time, as when a random start has spread out, all are chosen anew.
A program that makes lists on its way asks the same of a list as the host does (``suit``), so that
its path is that of lists made by the host.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from simsens.particles import cell_list, cell_strips, list_limits, long_rows
from simsens.particles.structure import Structure

MUCH_LESS = 2 / 3  # of the time that rows take to read


class Shapes(NamedTuple):
    """What is static of a list from cells, beside its stencil.

    Attributes:
        capacity: members of a strip of cells that are looked at.
        slots: the length of the rows.
        common: the slots that most rows make do with (``long_rows``), once they are chosen.
    """

    capacity: int
    slots: int
    common: int | None

    @property
    def cost(self) -> float:
        """The time rows take to read, in slots: those that are common to all, the rest of a few."""
        return (self.common or self.slots) + self.slots / long_rows.SHARE


def guess(structure: Structure, box: np.ndarray, longest: float) -> Shapes:
    """The shapes to begin with: were all spread evenly, within reason.

    With room for more, as where particles begin at random, or a crystal melts: longer rows would be
    one more program.

    Args:
        structure: concrete positions.
        box: ``[dimension, dimension]``; the unit box in free space.
        longest: how far the list looks.
    """
    list_limits.check_range(structure, longest)  # a wrong unit makes too much of anything
    number, dimension = structure.number, structure.dimension
    extent = np.ptp(np.asarray(structure.position, float) @ np.linalg.inv(box), axis=0)
    size = abs(np.linalg.det(box)) * np.prod(np.where(structure.boundary, 1, extent))
    ball = list_limits.ball(longest, dimension)
    mean = min(number * ball / max(size, ball), 200.0)  # else the first list tells how many
    in_strip = (2 + 1 / cell_strips.FINER) * mean * {2: 1 / np.pi, 3: 0.75 / np.pi}[dimension]
    _, capacity = cell_list.word_for(int(in_strip + 3.5 * in_strip**0.5 + 2))
    return Shapes(capacity, rounded(int(mean + 3.5 * mean**0.5 + 2)), None)


def suit(shapes: Shapes, members: Any, count: Any) -> Any:
    """Whether ``fitting`` keeps these shapes; may be traced.

    Args:
        shapes: of a list, its common slots known.
        members: the most that a strip holds.
        count: ``[particle]`` how many neighbours there are.
    """
    assert shapes.common is not None
    enough = (members <= shapes.capacity) & (count.max() <= shapes.slots)
    return enough & long_rows.suffice(count, shapes.common) & ~_wasteful(shapes, count)


def fitting(before: Shapes, members: int, count: np.ndarray) -> Shapes:
    """The shapes to take for a list: those before, if they suit it.

    Args:
        before: the shapes that it was tried with. What they lack grows, rows with room for a third
            more, and the list is to be tried again. Where others would take much less time, all are
            chosen anew.
        members: the most that a strip holds.
        count: ``[particle]`` how many neighbours there are.

    Example:
        >>> count = np.array([5] * 95 + [11] * 5)
        >>> fitting(Shapes(8, 12, 8), 20, count + 3)
        Shapes(capacity=24, slots=24, common=None)
        >>> fitting(Shapes(24, 24, 16), 5, count)
        Shapes(capacity=8, slots=16, common=8)
    """
    longest = int(count.max(initial=0))
    if members > before.capacity or longest > before.slots:
        capacity = max(before.capacity, cell_list.word_for(members)[1])
        slots = rounded(longest * 4 // 3) if longest > before.slots else before.slots
        return Shapes(capacity, slots, None)
    shapes = before
    if before.common is None or not long_rows.suffice(count, before.common):
        shapes = _split(before, count)
    if _wasteful(shapes, count):
        fewer = Shapes(cell_list.word_for(members + 3)[1], rounded(longest + 2), None)
        shapes = _split(fewer, count)
    return shapes


def rounded(width: int) -> int:
    """The next of 12, 16, 24, 32, 48, 64, 80, 96, 112, 128, 160, ...: few shapes to compile.

    A slot that is empty costs as much as one that is filled, where there are many a fifth at most.
    """
    size = 12
    while size < width:
        size += max(4, 1 << (size.bit_length() - (3 if size >= 64 else 2)))
    return size


def _split(shapes: Shapes, count: np.ndarray) -> Shapes:
    return shapes._replace(common=long_rows.common_slots(count, shapes.slots))


def _wasteful(shapes: Shapes, count: Any) -> Any:
    """Whether other rows would take much less time to read, and not by the smallest margin."""
    wasteful, longest = np.asarray(False), count.max()
    for common in range(long_rows.STEP, shapes.slots, long_rows.STEP):
        slots = [s for s in _sizes(shapes.slots) if s >= common]
        widest = max((s for s in slots if _less(Shapes(0, s, common), shapes)), default=0)
        if widest:
            wasteful |= (longest + 2 <= widest) & long_rows.suffice(count, common, margin=2)
    return wasteful


def _less(one: Shapes, other: Shapes) -> bool:
    return one.cost <= MUCH_LESS * other.cost


def _sizes(most: int) -> list[int]:
    sizes = [rounded(1)]
    while sizes[-1] < most:
        sizes.append(rounded(sizes[-1] + 1))
    return sizes
