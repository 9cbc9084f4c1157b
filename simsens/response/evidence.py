"""From residuals to a verdict: the certificate of a sensitivity.

The bound on the error and its formula are told in ``implicit.certificate``. Here it is filled with
a structure's numbers, and turned into a sentence a person can act on.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from simsens.implicit.certificate import Certificate
from simsens.implicit.linear_solve.solution import LinearSolution, solved
from simsens.response import validity
from simsens.response.curvature import Curvature
from simsens.response.equilibrium import Equilibrium
from simsens.response.validity import ContactChange

TRUST = 1e-3  # the largest error bound of a derivative that is still called trusted


def certify(
    equilibrium: Equilibrium,
    curvature: Curvature,
    solution: LinearSolution,
    step: np.ndarray,
    imbalance: np.ndarray,
    contact: ContactChange,
    one_percent: np.ndarray,
    theta: np.ndarray,
    loose: np.ndarray,
    names: Sequence[str],
) -> Certificate:
    """Put the evidence together.

    Args:
        equilibrium: the minimum.
        curvature: its Hessian.
        solution: the derivative, ``[parameter, n]``, with its residuals.
        step: ``[n]`` Newton step to the exact minimum.
        imbalance: ``[parameter, n]`` what is left of :math:`H J + B` there.
        contact: when the contacts change.
        one_percent: ``[parameter]`` one-percent steps.
        theta: ``[parameter]`` values.
        loose: mask of the rattlers.
        names: of the parameters.
    """
    structure = equilibrium.system.structure
    residual = np.asarray(solution.residual)
    root_error = float(np.linalg.norm(step.reshape(structure.position.shape), axis=1).max())
    eps = float(np.finfo(np.asarray(structure.position).dtype).eps)
    low, high = curvature.smallest, curvature.largest
    # The relative error of a derivative that is zero to rounding has no meaning; it is measured
    # against the size below which it counts as zero.
    size = np.linalg.norm(np.asarray(solution.value), axis=1)
    size = np.maximum(size, validity.negligible(equilibrium.system, theta, curvature))
    left = np.linalg.norm(imbalance, axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        bound = np.where(left == 0, 0, left / (low * size)) + eps * curvature.condition
    bound = np.where(np.isfinite(bound), bound, np.inf)
    refusal = _refusal(equilibrium, curvature, residual, bound, root_error, contact, names)
    worst = float(bound.max(initial=0.0))
    return Certificate(
        optimality_residual=equilibrium.max_force,
        root_error=root_error,
        linear_residual=residual,
        error_bound=bound,
        smallest_curvature=low,
        largest_curvature=high,
        zero_modes=curvature.zero_modes,
        expected_zero_modes=curvature.expected_zero_modes,
        negative_modes=curvature.negative_modes,
        validity_radius=contact.radius,
        one_percent_step=one_percent,
        method=curvature.method,
        iterations=int(np.asarray(solution.iterations).max(initial=0)),
        trusted=refusal is None,
        reason=refusal or f"the relative error of every derivative is at most {worst:.1e}",
        notes=_notes(equilibrium, loose),
    )


def _refusal(
    equilibrium: Equilibrium,
    curvature: Curvature,
    residual: np.ndarray,
    bound: np.ndarray,
    root_error: float,
    contact: ContactChange,
    names: Sequence[str],
) -> str | None:
    """Why the derivative is not to be trusted, the first reason that applies."""
    values, sure = curvature.eigenvalues
    if not equilibrium.converged:
        return (
            f"the structure is not at rest: max force {equilibrium.max_force:.3g} >"
            f" fmax {equilibrium.fmax:g}; relax further"
        )
    if not sure:
        return "the smallest curvature could not be established: the minimum may be a saddle"
    if curvature.negative_modes:
        return (
            f"the point is a saddle: {curvature.negative_modes} negative curvature(s), the lowest"
            f" {values.min():.3g}; displace the particles and relax again"
        )
    if curvature.smallest == 0:
        return "nothing holds the structure together: all curvatures are zero"
    floppy = curvature.zero_modes - curvature.expected_zero_modes
    if floppy > 0:
        return f"the derivative is not unique: {floppy} floppy mode(s) beyond the rigid motions"
    if not residual.max(initial=0.0) <= solved(equilibrium.position.dtype):
        return f"the linear solve did not converge: relative residual {residual.max():.2g}"
    if contact.pair is not None and 2 * root_error >= contact.smallest_gap:
        i, j = contact.pair
        how = "just touch" if equilibrium.system.potential.contact else "are a cutoff apart"
        return (
            f"particles {i} and {j} {how} (gap {contact.smallest_gap:.2g}, positions known to"
            f" {root_error:.2g}): the derivative is one-sided there; relax with a smaller fmax"
        )
    if not bound.max(initial=0.0) <= TRUST:
        return (
            f"the error bound {bound.max():.2g} of the derivative by {names[int(bound.argmax())]}"
            f" exceeds {TRUST:g}: the minimum is known to"
            f" {root_error:.2g} only; relax with a smaller fmax"
        )
    return None


def _notes(equilibrium: Equilibrium, loose: np.ndarray) -> tuple[str, ...]:
    notes = []
    if loose.any():
        notes.append(
            f"rattlers, held by nothing, are left out with derivative zero: {int(loose.sum())}"
        )
    if np.asarray(equilibrium.position).dtype != np.float64:
        notes.append("single precision: about seven digits less than float64")
    return tuple(notes)
