r"""The evidence that comes with a derivative.

A derivative :math:`J = -A^{-1} B` with :math:`A = \partial_x F`, :math:`B = \partial_\theta F` is
taken at a point :math:`\hat x` that is only nearly a root, and the system is solved only nearly:

.. math:: \|\hat J - J^*\| \le \frac{1}{\lambda_{\min}}
          \left\| A(\hat x + \delta)\, \hat J + B(\hat x + \delta) \right\|
          + \text{rounding}, \qquad \delta = -A^{-1} F(\hat x) .

This is Theorem 1 of Blondel et al. (arXiv 2105.15183) made computable. There, Lipschitz constants
bound how much A and B differ between :math:`\hat x` and the root; here both are evaluated where
one Newton step :math:`\delta` says the root is. Newton's error is second order in
:math:`\delta`, so the bound is sharp near the root. The residual of the linear solve is contained
in it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Certificate:
    """How far a derivative can be trusted, parameter by parameter.

    Attributes:
        optimality_residual: size of F at the point (for a structure: the largest force).
        root_error: estimated distance to the exact root, the largest single displacement.
        linear_residual: ``[parameter]`` true relative residuals of the linear solves.
        error_bound: ``[parameter]`` bound on the relative error of the derivative.
        smallest_curvature: smallest eigenvalue of A that is not zero, in size (singular value,
            when A is not symmetric).
        largest_curvature: largest eigenvalue of A in size, or singular value.
        zero_modes: how many of them are zero.
        expected_zero_modes: how many are explained (translations, rotations, ...).
        negative_modes: how many eigenvalues of a symmetric A are negative: a saddle.
        validity_radius: ``[parameter, 2]`` how far the parameter may fall and rise before the
            derivative changes (the first contact opens or closes, a pair crosses a cut-off);
            infinite when nothing jumps.
        one_percent_step: ``[parameter]`` the change of the parameter at which the first-order
            prediction is off by one percent.
        method: how the linear systems were solved.
        iterations: iterations of the linear solver, 0 for a factorisation.
        trusted: the verdict.
        reason: the verdict in one sentence.
        notes: what else a reader should know, a sentence each.
    """

    optimality_residual: float
    root_error: float
    linear_residual: np.ndarray
    error_bound: np.ndarray
    smallest_curvature: float
    largest_curvature: float
    zero_modes: int
    expected_zero_modes: int
    negative_modes: int
    validity_radius: np.ndarray
    one_percent_step: np.ndarray
    method: str
    iterations: int
    trusted: bool
    reason: str
    notes: tuple[str, ...] = ()

    def __str__(self) -> str:
        verdict = "trusted" if self.trusted else "NOT TRUSTED"
        worst = float(np.max(self.error_bound, initial=0.0))
        return (
            f"{verdict}: {self.reason}\n"
            f"residual {self.optimality_residual:.2e}, linear residual"
            f" {float(np.max(self.linear_residual, initial=0.0)):.2e}, error bound {worst:.2e}\n"
            f"curvature {self.smallest_curvature:.3e} .. {self.largest_curvature:.3e},"
            f" zero modes {self.zero_modes} (expected {self.expected_zero_modes}),"
            f" negative {self.negative_modes}"
        )
