r"""Ridge regression, differentiable in the data and in every penalty.

.. math:: w^* = \operatorname*{argmin}_w \tfrac12 |X w - y|^2 + \tfrac12 \sum_j \theta_j w_j^2

with n samples, rows of X ``[n, p]``, and penalties :math:`\theta_j \ge 0` (scikit-learn's ``alpha``
without an intercept). Several targets, columns of y, are fitted at once.

The root that is differentiated has as many unknowns as the smaller side of X:

.. math:: F(w) = X^T (X w - y) + \theta w \quad (p \le n), \qquad
          F(a) = X \theta^{-1} X^T a + a - y, \quad w = \theta^{-1} X^T a \quad (p > n),

a being the residuals :math:`y - X w`. Both matrices are symmetric and positive, factorised once by
Cholesky for the minimum, its derivative and the derivative's derivative.

References: Hoerl and Kennard, Technometrics 12 (1970); Blondel et al., arXiv 2105.15183, figures 1
and 2.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.linalg import cho_solve

from simsens.implicit.failure import check_policy
from simsens.implicit.root import held, implicit_root
from simsens.implicit.structure import declare
from simsens.learning.factored_solve import NOT_UNIQUE, Claim, factored_solve, own_policy
from simsens.learning.regression import regression_data, weights
from simsens.solvers.solution import CONVERGED, NOT_FINITE, STUCK, Solution

DEPENDENT = 100  # roundings: what a pivot must exceed, relative to its diagonal


def ridge(X: Any, y: Any, penalty: Any, *, on_failure: str = "nan") -> Solution:
    r"""Ridge regression, :math:`\frac12 |X w - y|^2 + \frac12 \sum_j \theta_j w_j^2`.

    Args:
        X: ``[n, p]`` samples.
        y: ``[n]`` targets, or ``[n, k]`` for k regressions with the same samples.
        penalty: :math:`\theta \ge 0`, a number or ``[p]``, one for each coefficient; positive where
            there are more features than samples.
        on_failure: what becomes of the derivative where the minimum is not unique: see
            ``simsens.implicit.failure``. The default is NaN.

    Returns:
        The coefficients ``[p]`` or ``[p, k]`` with their verdict. ``residual`` is the norm of the
        gradient, formed anew from the coefficients, divided by that of :math:`X^T y`; zero is what
        is below 4e-11 in float64, 2e-5 in float32.

    Raises:
        ValueError: shapes that do not fit; numbers that are not finite, penalties that are
            negative, or zero with p > n. Where those are traced the coefficients are NaN.

    Example:
        >>> X, y = jnp.eye(2), jnp.array([2.0, 4.0])
        >>> print(ridge(X, y, 1.0).value)
        [1. 2.]
        >>> print(jax.jacrev(lambda theta: ridge(X, y, theta).value)(1.0))
        [-0.5 -1. ]
    """
    X, y = regression_data(X, y)
    check_policy(on_failure)
    penalty = weights("penalty", penalty, X, each=True)
    traced = [isinstance(a, jax.core.Tracer) for a in (X, y, penalty)]
    if X.shape[1] > X.shape[0] and not traced[2] and not np.asarray(penalty).all():
        raise ValueError(
            f"with more features than samples, here {X.shape}, every penalty must be positive,"
            " found 0; centre X and y instead of leaving an intercept without a penalty"
        )
    run = _ridge if on_failure == "raise" else _compiled
    found = run(X, y, penalty, on_failure=on_failure)
    known = not any(traced) and not found.converged
    if known and not (np.isfinite(X).all() and np.isfinite(y).all()):
        raise ValueError("X and y must be finite, found NaN or infinity; leave those samples out")
    return found


def _ridge(X: Any, y: Any, penalty: Any, *, on_failure: str) -> Solution:
    n, p = X.shape
    theta = jnp.broadcast_to(jnp.where(penalty >= 0, penalty, jnp.nan), p)
    theta, primal = theta.reshape(p, *(1,) * (y.ndim - 1)), p <= n
    A, Y, t = held((X, y, theta))
    gram = A.T @ A if primal else (A / t.ravel()) @ A.T
    matrix = gram + jnp.diag(t.ravel() if primal else jnp.ones(n, A.dtype))
    factor = jnp.linalg.cholesky(matrix)
    z = cho_solve((factor, True), A.T @ Y if primal else Y)

    eps = float(jnp.finfo(X.dtype).eps)
    unique = jnp.all(jnp.diagonal(factor) ** 2 > DEPENDENT * eps * jnp.diagonal(matrix))
    solve = factored_solve(factor, (Claim(unique, NOT_UNIQUE),), on_failure)
    root, policy = primal_root if primal else dual_root, own_policy(on_failure)
    z = implicit_root(root, z, X, y, theta, solve=solve, on_failure=policy)
    w = z if primal else X.T @ z / theta
    return _judged(w, A, Y, t, eps ** (2 / 3))


def _judged(w: Any, X: Any, y: Any, theta: Any, tol: float) -> Solution:
    still, pull = held(w), X.T @ y
    size = jnp.linalg.norm(pull)
    slope = jnp.linalg.norm(X.T @ (X @ still - y) + theta * still)
    residual = slope / jnp.where(size > 0, size, 1)
    status = jnp.where(residual <= tol, CONVERGED, STUCK)
    status = jnp.where(jnp.isfinite(residual), status, NOT_FINITE)
    return Solution(w, residual, jnp.array(1), residual <= tol, status)


def _primal_root(w: Any, X: Any, y: Any, theta: Any) -> Any:
    return X.T @ (X @ w - y) + theta * w


def _dual_root(a: Any, X: Any, y: Any, theta: Any) -> Any:
    return X @ (X.T @ a / theta) + a - y


primal_root = declare(_primal_root, symmetric=True, definite=True)
dual_root = declare(_dual_root, symmetric=True, definite=True)
_compiled = jax.jit(_ridge, static_argnames="on_failure")
