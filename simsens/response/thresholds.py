"""The numbers by which a run decides: when Newton's method is tried, how far lists look further.

Runs of one system and of many decide alike.
"""

from __future__ import annotations

from typing import Any

import numpy as np

NEWTON_BELOW = 1e-6  # tolerances tighter than the default finish with Newton steps
NEWTON_NEAR = 1e-5  # ... once the largest force is this fraction of what a spacing would make,
NEWTON_FEW = 1000  # ... for so many particles; of more, more contacts may still change
SKIN = {2: 0.6, 3: 0.3}  # spacings that a list looks further, by dimension: rows grow with it
FEW = 1000  # particles, whose lists cost the host more than their steps do:
SKIN_OF_FEW = {2: 1.2, 3: 0.5}  # ... for so many, and wider for fewer
WIDEST = 1.2


def newton_target(fmax: float, top: float, spacing: float, number: int) -> float:
    """The largest force at which Newton's method is tried."""
    near = NEWTON_NEAR * min(1.0, NEWTON_FEW / number)
    return max(fmax, near * top * spacing) if fmax < NEWTON_BELOW else fmax


def rounding(dtype: Any, top: float, extent: float) -> float:
    """Forces that rounding alone can make: some ``eps`` of the curvature times the coordinates."""
    return 0.5 * float(np.finfo(dtype).eps) * top * extent


def skin_for(shape: tuple[int, ...], spacing: float, max_move: float) -> float:
    """How much further than the interaction lists look; a run keeps it, so that it compiles once.

    Args:
        shape: ``(particles, dimension)``.
        spacing: a typical distance between particles.
        max_move: the largest displacement of a particle in one step.
    """
    number, dimension = shape
    wide = SKIN[dimension]
    if number <= FEW:
        wide = min(WIDEST, SKIN_OF_FEW[dimension] * (FEW / number) ** (1 / 3))
    return max(wide * spacing, 2.5 * max_move)
