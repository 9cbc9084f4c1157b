"""From numbers to a verdict: the certificate of a root's derivative."""

from __future__ import annotations

from dataclasses import replace

import jax.numpy as jnp
import numpy as np

from simsens.implicit.certificate import Certificate
from simsens.implicit.linear_solve.solution import LinearSolution
from simsens.implicit.newton_steps import NewtonSteps
from simsens.implicit.prepared import PreparedRoot
from simsens.implicit.singular_values import Singular

TRUST = 1e-3  # the largest relative error bound that is still called trusted


def certify(
    root: PreparedRoot,
    values: Singular,
    near: NewtonSteps,
    solution: LinearSolution,
    bound: np.ndarray,
    size: np.ndarray,
    one_percent: np.ndarray,
) -> Certificate:
    """Put the evidence together.

    Args:
        root: prepared with the most reliable solver.
        values: its singular values.
        near: Newton steps to the exact root.
        solution: the linear solve under scrutiny.
        bound: ``[direction]`` absolute error bounds.
        size: ``[direction]`` norms of the derivatives.
        one_percent: ``[direction]`` steps at which first order is one percent off.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        relative = np.where(bound == 0, 0.0, bound / size)
    relative = np.where(np.isnan(relative), np.inf, relative)
    residual = np.atleast_1d(np.asarray(solution.residual, float))
    optimality = float(jnp.linalg.norm(root.linear.residual))
    certificate = Certificate(
        optimality_residual=optimality,
        root_error=near.error,
        linear_residual=residual,
        error_bound=relative,
        smallest_curvature=values.smallest,
        largest_curvature=values.largest,
        zero_modes=values.zero,
        expected_zero_modes=0,
        negative_modes=values.negative,
        validity_radius=np.full((len(relative), 2), np.inf),
        one_percent_step=one_percent,
        method=values.method,
        iterations=int(np.max(np.asarray(solution.iterations), initial=0)),
        trusted=True,
        reason=f"the relative error of every derivative is at most {relative.max(initial=0.0):.1e}",
        notes=("jumps of the mapping away from the point are not looked for",),
    )
    refusal = _refusal(certificate, root, values, near)
    return certificate if refusal is None else replace(certificate, trusted=False, reason=refusal)


def _refusal(
    certificate: Certificate, root: PreparedRoot, values: Singular, near: NewtonSteps
) -> str | None:
    """Why the derivative is not to be trusted, the first reason that applies."""
    structure = root.equation.structure
    if not np.isfinite(certificate.optimality_residual):
        return "F is not finite at the point"
    if structure.symmetric and values.asymmetry > 1e-6:
        return (
            f"the mapping is declared symmetric and is not: products differ by a fraction"
            f" {values.asymmetry:.1g}"
        )
    if structure.definite and values.negative:
        return f"the mapping is declared definite and has {values.negative} negative curvature(s)"
    if values.zero:
        return f"the derivative is not unique: A has {values.zero} zero singular value(s)"
    if not values.sure or not near.solved:
        return "no linear solve of sufficient accuracy was found for the evidence"
    if not near.contracts:
        return (
            f"the point is too far from a root to say anything: the norm of F is"
            f" {certificate.optimality_residual:.2g} and Newton's method does not contract"
        )
    worst = float(certificate.error_bound.max(initial=0.0))
    if not worst <= TRUST:
        linear = float(certificate.linear_residual.max(initial=0.0))
        cause = (
            f"the linear solve left {linear:.1g}" if linear > 1e-6
            else f"the root is known to {near.error:.2g} only"
        )  # fmt: skip
        return f"the error bound {worst:.2g} exceeds {TRUST:g}: {cause}"
    return None
