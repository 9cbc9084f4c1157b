"""Rows of neighbours in two tables: the slots that most rows make do with, and the rest of a few.

All rows are as long as the longest, and most particles have far fewer neighbours: where the longest
row of 10,000 disks holds 16, the mean one holds 7, and a sum over all slots is mostly one over
empty ones. So a sum that is taken at every step goes over the *common* slots of all particles, and
then over what the longer rows hold beyond. They are a sixth of all rows at most: whoever makes a
list takes as many slots for common as that needs.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

STEP = 8  # common slots are a multiple of it: rows of other lengths take longer to read
SHARE = 6  # one row of so many may be longer
WORTH = 0.8  # of the slots; a second table is a larger program


class Beyond(NamedTuple):
    """The rows that hold more than the common slots.

    Attributes:
        rows: ``[place]`` the particles, a sixth of all; where there are fewer, any.
        filled: ``[place]`` whether the place is taken by one of them.
        place: ``[particle]`` its place, or one beyond the last.
    """

    rows: Any
    filled: Any
    place: Any


def common_slots(count: Any, slots: int) -> int:
    """The fewest slots that may be common; all of them where that would spare little.

    Args:
        count: ``[particle]`` how many neighbours each has.
        slots: the length of the rows.

    Example:
        >>> count = np.array([5] * 90 + [11] * 10)
        >>> common_slots(count, 16)
        8
        >>> common_slots(count + 4, 16)
        16
    """
    some = next((some for some in range(STEP, slots, STEP) if suffice(count, some)), slots)
    return some if some + (slots - some) / SHARE <= WORTH * slots else slots


def suffice(count: Any, common: int, margin: int = 1) -> Any:
    """Whether few enough rows are longer than this, so many times fewer; may be traced."""
    return (count > common).sum() <= _most(len(count)) // margin


def beyond(mask: Any, common: int) -> Beyond:
    """The rows that hold something beyond so many slots, which must be a sixth of all at most.

    Args:
        mask: ``[particle, slot]`` whether the slot is filled.
        common: how many slots are common.
    """
    number = len(mask)
    most = _most(number)
    longer = jnp.any(mask[:, common:], axis=1)
    upto = jnp.cumsum(longer, dtype=jnp.int32)
    rows = jnp.searchsorted(upto, np.arange(1, most + 1, dtype=np.int32)).astype(jnp.int32)
    place = jnp.where(longer, upto - 1, most)
    return Beyond(jnp.minimum(rows, number - 1), np.arange(most) < upto[-1], place)


def added(sums: list[Any], rest: list[Any], place: Any) -> list[Any]:
    """Sums ``[particle]``, and to those of the longer rows ``[place]`` what they hold beyond."""
    return [first + jnp.pad(more, (0, 1))[place] for first, more in zip(sums, rest)]


def _most(number: int) -> int:
    return -(-number // SHARE)
