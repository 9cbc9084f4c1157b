r"""Lasso, weighted lasso and elastic net, differentiable in the data and the penalties.

With n samples, rows of X ``[n, p]``, and targets y ``[n]``,

.. math:: w^* = \operatorname*{argmin}_w \frac1{2n} |y - X w|^2
          + \sum_j \lambda_j |w_j| + \frac\mu2 |w|^2 ,

scikit-learn's scaling: ``penalty`` and ``ratio`` are its ``alpha`` and ``l1_ratio``.

================ ========================= =================================
function         :math:`\lambda_j`         :math:`\mu`
================ ========================= =================================
``lasso``        penalty                   0
weighted_lasso   penalties[j]              0
``elastic_net``  penalty * ratio           penalty * (1 - ratio)
================ ========================= =================================

There is no intercept: centre X and y, by JAX, so that derivatives go through.

**The minimum** is found by Newton's method on faces (``learning.active_set``), on the host, also
inside ``jit`` and ``vmap``; exact but for rounding. **Its derivative** is that of the equations on
the support, as many as there are non-zeros (``learning.support``). The coefficients are continuous
in the data and the penalties, and smooth until the support or a sign changes; how far that is tells
``learning.support_margin``. Exactly where it changes, the derivative is that of the side where the
coefficient is zero.

References: Tibshirani, J. R. Stat. Soc. B 58 (1996); Zou and Hastie, J. R. Stat. Soc. B 67 (2005);
Zou, J. Am. Stat. Assoc. 101 (2006) (weights).
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from simsens.implicit.failure import check_policy
from simsens.implicit.host import on_host
from simsens.implicit.linear_solve.dense import DENSE_LIMIT
from simsens.implicit.root import held
from simsens.learning.active_set import Found, minimise
from simsens.learning.regression import regression_data, weights
from simsens.learning.support import on_support, padded, slots
from simsens.solvers.solution import CONVERGED, NOT_FINITE, Solution


def lasso(X: Any, y: Any, penalty: Any, **options: Any) -> Solution:
    r"""The lasso, :math:`|y - X w|^2/2n + \alpha |w|_1`.

    Args:
        X: ``[n, p]`` samples.
        y: ``[n]`` targets.
        penalty: :math:`\alpha \ge 0`. From :math:`\max |X^T y|/n` on, all coefficients are zero.
        **options: ``tol``, ``maxiter``, ``nonzeros``, ``on_failure``, as ``elastic_net``.

    Returns:
        The coefficients ``[p]`` with their verdict, as ``elastic_net``.

    Raises:
        ValueError: as ``elastic_net``.

    Example:
        >>> X, y = jnp.eye(3), jnp.array([3.0, -1.2, 0.3])
        >>> print(lasso(X, y, 0.2).value)
        [ 2.4 -0.6  0. ]
        >>> print(jax.jacfwd(lambda penalty: lasso(X, y, penalty).value)(0.2))
        [-3.  3.  0.]
    """
    return elastic_net(X, y, penalty, 1.0, **options)


def weighted_lasso(X: Any, y: Any, penalties: Any, **options: Any) -> Solution:
    r"""The lasso with a penalty of its own for each coefficient.

    Args:
        X: ``[n, p]`` samples.
        y: ``[n]`` targets.
        penalties: ``[p]`` :math:`\lambda_j \ge 0`; a coefficient with 0 is not penalised.
        **options: as ``elastic_net``.

    Returns:
        The coefficients ``[p]`` with their verdict, as ``elastic_net``.

    Raises:
        ValueError: as ``elastic_net``; not one penalty for each coefficient.

    Example:
        >>> X, y = jnp.eye(2), jnp.array([3.0, 3.0])
        >>> print(weighted_lasso(X, y, jnp.array([0.0, 1.0])).value)
        [3. 1.]
    """
    if np.ndim(penalties) != 1:
        raise ValueError(
            f"weighted_lasso needs one penalty for each coefficient, found the shape"
            f" {np.shape(penalties)}; for a single one there is lasso"
        )
    return elastic_net(X, y, penalties, 1.0, **options)


def elastic_net(
    X: Any,
    y: Any,
    penalty: Any,
    ratio: Any = 0.5,
    *,
    tol: float | None = None,
    maxiter: int = 10_000,
    nonzeros: int | None = None,
    on_failure: str = "nan",
) -> Solution:
    r"""The elastic net, :math:`|y - X w|^2/2n + \alpha\rho |w|_1 + \alpha (1-\rho) |w|^2/2`.

    Args:
        X: ``[n, p]`` samples.
        y: ``[n]`` targets.
        penalty: :math:`\alpha \ge 0`, a number; with ``ratio=1`` also ``[p]``, one for each
            coefficient.
        ratio: :math:`\rho`, between 0 and 1.
        tol: the ``residual`` that counts as zero; by default 4e-11 in float64, 2e-5 in float32.
            Reached is about 1e-15, unless columns are all but dependent.
        maxiter: the most Newton steps.
        nonzeros: slots for non-zero coefficients where the number is not known when compiling
            (``jit``, ``vmap``), which the derivative pays for; by default as many as there can be.
        on_failure: what becomes of the derivative where ``residual > tol``, or the minimum is not
            unique: see ``simsens.implicit.failure``. The default is NaN.

    Returns:
        The coefficients ``[p]`` with their verdict. ``residual`` has no unit: it is the distance of
        zero from the subdifferential, formed anew from the coefficients, divided by
        :math:`\max |X^T y|/n`, the size of the largest component at w = 0.

    Raises:
        ValueError: shapes that do not fit; numbers that are not finite, negative penalties, a ratio
            outside 0..1. Where those are traced they cannot be seen, and the coefficients are NaN.

    Example:
        >>> X, y = jnp.eye(2), jnp.array([3.0, 0.5])
        >>> print(elastic_net(X, y, 0.5, ratio=0.5).value)  # (3/2 - 1/4) / (1/2 + 1/4), 0
        [1.66666667 0.        ]
        >>> slope = jax.grad(lambda penalty: elastic_net(X, y, penalty).value[0])(0.5)
        >>> round(float(slope), 6)
        -1.777778
    """
    X, y = regression_data(X, y, targets=1)
    check_policy(on_failure)
    tol = float(jnp.finfo(X.dtype).eps) ** (2 / 3) if tol is None else float(tol)
    if not tol > 0 or maxiter < 1 or (nonzeros is not None and nonzeros < 1):
        raise ValueError(
            f"tol must be positive, maxiter and nonzeros at least 1, found {tol:g}, {maxiter} and"
            f" {nonzeros}"
        )
    single = isinstance(ratio, (int, float)) and ratio == 1
    penalty = weights("penalty", penalty, X, each=single)
    data = (X, y, penalty, weights("ratio", ratio, X, most=1.0))
    traced = any(isinstance(part, jax.core.Tracer) for part in data)
    most = min(X.shape) if single else X.shape[1]
    found = _minimum(data, tol, maxiter, min(nonzeros or most, X.shape[1]), traced)
    value = jnp.asarray(found.w)
    if traced:
        # In a program of its own an exception would arrive wrapped: see ``implicit.root.attach``.
        attached = _attached if on_failure == "raise" else _compiled
        value = attached(*data, found, tol=tol, on_failure=on_failure)
    return Solution(
        value, found.residual, found.iterations, found.status == CONVERGED, found.status,
        "the columns of X are nearly dependent, or tol is below what rounding allows",
    )  # fmt: skip


def _attached(X: Any, y: Any, penalty: Any, ratio: Any, found: Found, **options: Any) -> Any:
    return on_support(X, y, *split(penalty, ratio, X.shape[1]), found, **options)


_compiled = jax.jit(_attached, static_argnames=("tol", "on_failure"))


def split(penalty: Any, ratio: Any, p: int) -> tuple[Any, Any]:
    r""":math:`\lambda` ``[p]`` and :math:`\mu`, a number: where penalties differ the ratio is 1.

    Example:
        >>> l1, l2 = split(np.float64(2.0), np.float64(0.75), 3)
        >>> print(l1, l2)
        [1.5 1.5 1.5] 0.5
    """
    return penalty * ratio * np.ones(p, penalty.dtype), (penalty * (1 - ratio)).max()


def _minimum(data: Any, tol: float, maxiter: int, most: int, derivative: bool) -> Found:
    """The coefficients, on the host; for a derivative, with their support in slots.

    There are as many as needed where that is known, and else ``most``.
    """
    still = held(data)
    hidden = any(isinstance(part, jax.core.Tracer) for part in still)
    (n, p), dtype = data[0].shape, data[0].dtype

    def solver(X: Any, y: Any, penalty: Any, ratio: Any) -> Found:
        l1, l2 = split(np.asarray(penalty), np.asarray(ratio), p)
        found = minimise(X, y, l1, l2, tol, maxiter)
        size = most if hidden else min(slots(found.count), p)
        return padded(found, size, dense(size)) if derivative else found

    def dense(size: int) -> bool:
        # Where slots are many because nobody knows better, a matrix of all of them may not fit.
        return size <= max(min(n, p), DENSE_LIMIT) or not hidden

    size, number, whole = most if dense(most) else 0, np.zeros((), dtype), np.array(0)
    like = Found(
        np.zeros(p, dtype), number, whole, whole, np.array(True), whole,
        np.zeros(most, int), np.zeros((size, size), dtype),
    )  # fmt: skip
    found = on_host(solver, like)(*still)
    if not hidden and found.status == NOT_FINITE:
        raise ValueError(
            "X and y must be finite and penalties not negative, found NaN, infinity or a negative"
            " penalty; leave those samples out"
        )
    return found
