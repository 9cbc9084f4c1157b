r"""The finish of a relaxation: Newton's method, made to descend.

With the Hessian H at x and a small shift :math:`\mu`,

.. math:: p = (H + \mu)^{-1} f, \qquad x \leftarrow x + s\,p, \qquad s = 1, \tfrac12, \tfrac14, ...

The small shift lifts what is flat (a rattler pushes on nothing). Where the matrix is not positive
definite the minimum is not near, and nothing is done. Otherwise p is a direction of descent.
Contacts that open or close within the step make H another one; the step is then shortened until the
energy falls enough (Armijo), or until the largest force has halved, which rounding lets us see
further down than the energy.

A sparse factor is kept as long as it still takes the force down tenfold (chord steps): the last
digits cost substitutions only.

References: Nocedal and Wright, Numerical Optimization, 2006, chapter 3; Kelley, Iterative Methods
for Linear and Nonlinear Equations, 1995, section 5.4.1 (chord method).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from simsens.response.curvature import Curvature

SHIFT = 1e-10  # of the largest curvature
ARMIJO = 1e-4  # of the fall of the energy that the slope promises
SHORTEST = 1 / 64  # step that is tried
ENDED = 10  # floors, below which no large matrix is factorised again
PATIENCE = 2  # steps in a row that do not halve the largest force
MOST = 30  # steps


@dataclass(frozen=True)
class Visited:
    """What is known at a point.

    Attributes:
        position: ``[particle, dimension]``.
        energy: the potential energy.
        force: ``[particle, dimension]`` of the mobile particles.
        max_force: the largest.
    """

    position: Any
    energy: float
    force: np.ndarray
    max_force: float


def finish(
    here: Visited,
    visit: Callable[[Any], Visited],
    curvature_at: Callable[[Visited, float], Curvature],
    *,
    floor: float,
    max_move: float,
    budget: int,
    report: Callable[[int, Visited], bool],
) -> tuple[Visited, int]:
    """Newton steps for as long as they pay: where they lead, and how many were made.

    Args:
        here: the start.
        visit: evaluates a point.
        curvature_at: the Hessian there, shifted by a fraction of its largest eigenvalue.
        floor: the largest force that rounding alone can make.
        max_move: the largest displacement of a particle in a step.
        budget: the number of steps.
        report: told the number and the point of each step; true stops.
    """
    taken, slow, curvature, dear = 0, 0, None, False
    while here.max_force > floor and taken < min(budget, MOST):
        fresh = curvature is None
        if fresh and dear and here.max_force <= ENDED * floor:
            break
        if curvature is None:
            curvature = curvature_at(here, SHIFT)
        there = _descend(here, curvature, visit, max_move, first_only=not fresh)
        if there is None and fresh:
            break
        fall = 1.0 if there is None else there.max_force / here.max_force
        dear = curvature.method == "sparse"
        if not dear or fall > 0.1:
            curvature = None
        if there is None:
            continue
        here, taken = there, taken + 1
        slow = slow + 1 if fall > 0.5 else 0
        if report(taken, here) or slow >= PATIENCE:
            break
    return here, taken


def _descend(
    here: Visited,
    curvature: Curvature,
    visit: Callable[[Any], Visited],
    max_move: float,
    first_only: bool,
) -> Visited | None:
    """The first point along the step that is low enough; ``None`` when none is."""
    step = curvature.step(here.force)
    if step is None or not np.isfinite(step).all():
        return None
    longest = float(np.linalg.norm(step, axis=1).max())
    promised = float(np.vdot(here.force, step))
    scale = min(1.0, max_move / max(longest, 1e-300))
    while scale >= SHORTEST:
        there = visit(np.asarray(here.position) + scale * step)
        if gains(here.energy, here.max_force, there.energy, there.max_force, promised * scale):
            return there
        if first_only:
            return None
        scale /= 2
    return None


def gains(energy: Any, max_force: Any, new_energy: Any, new_max_force: Any, promised: Any) -> Any:
    """Whether a step gains enough: half of the largest force, or of the energy what is promised.

    What the slope promises must stand out from the rounding of the energy to be looked at.
    """
    visible = promised > 1e-10 * abs(energy)
    lower = new_energy < energy - ARMIJO * promised
    return (new_max_force < 0.5 * max_force) | (visible & lower)
