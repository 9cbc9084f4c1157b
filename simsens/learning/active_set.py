r"""The elastic net by Newton's method on faces: an active set, exact to rounding.

The problem, with a weight :math:`\lambda_j \ge 0` for each coefficient and :math:`\mu \ge 0`, is

.. math:: \min_w \tfrac1{2n} |y - X w|^2 + \sum_j \lambda_j |w_j| + \tfrac\mu2 |w|^2 .

With :math:`g = X^T (X w - y)/n + \mu w` the coefficients solve it when zero lies in the
subdifferential: :math:`g_j = -\lambda_j \operatorname{sign} w_j` where :math:`w_j \ne 0`, and
:math:`|g_j| \le \lambda_j` where :math:`w_j = 0`.

**Two loops.** The outer one passes over all p columns, looks for those that violate this, and adds
the worst to a *working set*. The inner one solves the problem of the working set, which it knows by
its Gram matrix :math:`G = X_W^T X_W/n + \mu I` alone.

**A face** is a choice of signs :math:`\theta` for some coefficients, all others being zero. On it
the objective is a parabola whose minimum is one Cholesky solve away,
:math:`G_{AA}\, d = -(g_A + \lambda_A \theta_A)`. A step to it is taken with the coefficients that
would change sign set to zero, if that lowers the objective, or else with an exact line search,
whose pieces end where a coefficient changes sign. Only at the minimum of a face do others enter it,
several at once, those first that violate most; one whose column depends on those in the face stays
out, or, alone, moves along the flat direction until another becomes zero. The objective decreases
at every step and there are finitely many faces, so this ends, at a solution that is exact but for
rounding. The Cholesky factor is kept, and made anew only from the first coefficient that left.

Why not coordinate descent: its epochs cost as much as a step here, and it needs hundreds.

References: Osborne, Presnell and Turlach, IMA J. Numer. Anal. 20 (2000); Lee, Battle, Raina and Ng,
Efficient sparse coding algorithms, 2006 (the search over signs); Massias, Gramfort and Salmon,
Celer, 2018 (working sets that grow).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from simsens.learning.working_set import Array, WorkingSet
from simsens.solvers.solution import CONVERGED, ITERATIONS, NOT_FINITE, STUCK

LOOSE = 0.1  # the share of the worst violation that a round leaves for the next
ENTERING = 8  # coefficients that may enter a face at once, when it has fewer
FIRST = 32  # columns that may enter the working set at once, when it has fewer
ROUNDING = 4e-16  # of a curvature, relative to what it is the sum of
PATIENCE = 10  # rounds without a smaller residual


class Found(NamedTuple):
    r"""What the search ends with.

    Attributes:
        w: ``[p]`` the coefficients.
        residual: the distance of zero from the subdifferential, relative to ``max |X^T y| / n``.
        iterations: Newton steps.
        status: why it stopped, as in ``Solution``.
        unique: whether no other coefficients are as good.
        count: how many the support has: non-zeros, and coefficients without an l1 penalty.
        support: ``[m]`` which these are, p where there are fewer.
        factor: ``[m, m]`` lower Cholesky factor of :math:`X_S^T X_S/n + \mu I`, of the identity
            where there are fewer; or empty.
    """

    w: Any
    residual: Any
    iterations: Any
    status: Any
    unique: Any
    count: Any
    support: Any
    factor: Any


@np.errstate(over="ignore", invalid="ignore")  # told by the status
def minimise(X: Array, y: Array, l1: Array, l2: Any, tol: float, maxiter: int) -> Found:
    r"""The coefficients of the elastic net.

    Args:
        X: ``[n, p]``.
        y: ``[n]``.
        l1: ``[p]`` :math:`\lambda`.
        l2: :math:`\mu`.
        tol: the residual that counts as zero.
        maxiter: the most Newton steps.

    Returns:
        The coefficients in the precision of X, with the evidence; all NaN where the data are not
        finite or a weight is negative.

    Example:
        >>> found = minimise(np.eye(2), np.array([4.0, 0.5]), np.full(2, 0.5), 0.0, 1e-10, 100)
        >>> print(found.w, found.status, found.unique)
        [3. 0.] 0 True
        >>> print(found.support, found.factor**2)
        [0] [[0.5]]
    """
    dtype, p = X.dtype, X.shape[1]
    X, y, l1 = (part.astype(float, copy=False) for part in (X, y, l1))
    work = WorkingSet(X, float(l2))
    slope = _slope(work, y, np.zeros(p))  # NaN and infinity anywhere in X show here
    scale = float(np.abs(slope).max()) or 1.0
    if not (np.isfinite(scale) and (l1 >= 0).all() and 0 <= work.ridge < np.inf):
        none = np.zeros(0, int), np.zeros((0, 0))
        return Found(np.full(p, np.nan, dtype), np.nan, 0, NOT_FINITE, False, 0, *none)
    w, slope, steps = _rounds(work, y, l1, slope, tol * scale, maxiter)
    if dtype != w.dtype:  # judged as it is handed over
        w = w.astype(dtype).astype(float)
        slope = _slope(work, y, w)
    residual = float(np.linalg.norm(subdifferential_distance(w, slope, l1))) / scale
    status = ITERATIONS if steps >= maxiter else STUCK
    status = CONVERGED if residual <= tol else status if np.isfinite(residual) else NOT_FINITE
    touching = np.abs(slope) >= l1 - max(tol, 1e-12) * scale
    support, factor, unique = _support(work, (w != 0) | (l1 == 0), touching)
    return Found(w.astype(dtype), residual, steps, status, unique, len(support), support, factor)


def _rounds(
    work: WorkingSet, y: Array, l1: Array, slope: Array, zero: float, maxiter: int
) -> tuple[Array, Array, int]:
    """The outer loop, from w = 0, until what is left of the gradient counts as zero.

    Returns:
        The coefficients, the gradient of the smooth part there, and the steps made.
    """
    w, steps, best, wasted = np.zeros(len(l1)), 0, np.inf, 0
    rounding = max(0.1 * zero, 4 * np.finfo(float).eps * float(np.abs(slope).max()))
    while True:
        gap = subdifferential_distance(w, slope, l1)
        left = float(np.linalg.norm(gap))
        best, wasted = (left, 0) if left < best else (best, wasted + 1)
        if left <= zero or steps >= maxiter or wasted > PATIENCE:
            return w, slope, steps
        work.extend(_violators(gap, work.columns, int(np.count_nonzero(w)), zero))
        inside = work.columns
        # While columns are missing it is too early for the last digits.
        worst = gap[inside][w[inside] == 0].max(initial=0) if len(inside) < len(w) else 0.0
        w[inside], taken = _newton(
            work, w[inside], slope[inside], l1[inside],
            enter=max(LOOSE * float(worst), rounding), rounding=rounding, maxiter=maxiter - steps,
        )  # fmt: skip
        steps += max(taken, 1)
        slope = _slope(work, y, w)


def subdifferential_distance(w: Array, slope: Array, l1: Array) -> Array:
    """``[p]`` how far zero is from the subdifferential, coefficient by coefficient.

    Args:
        w: ``[p]`` coefficients.
        slope: ``[p]`` the gradient of the smooth part, g.
        l1: ``[p]`` weights.

    Example:
        >>> w, slope = np.array([2.0, 0.0, 0.0]), np.array([-1.5, 0.5, 3.0])
        >>> print(subdifferential_distance(w, slope, np.ones(3)))
        [0.5 0.  2. ]
    """
    at_zero = np.maximum(np.abs(slope) - l1, 0)
    return np.where(w != 0, np.abs(slope + l1 * np.sign(w)), at_zero)


def _slope(work: WorkingSet, y: Array, w: Array) -> Array:
    """``X^T (X w - y) / n + mu w``: the one pass over all columns of a round."""
    inside = np.flatnonzero(w[work.columns])
    r = w[work.columns][inside] @ work.rows[inside] - y
    return work.X.T @ r / len(y) + work.ridge * w


def _violators(gap: Array, columns: Array, nonzero: int, zero: float) -> Array:
    """The columns that the working set needs most, at most as many as there are non-zeros."""
    gap = gap.copy()
    gap[columns] = 0
    found = np.flatnonzero(gap > 0.1 * zero / len(gap) ** 0.5)
    # A pass costs n p, the Gram matrix of k new columns n k^2: k ~ sqrt(p) is for free.
    room = max(FIRST, 2 * int(len(gap) ** 0.5), nonzero)
    return found if len(found) <= room else found[np.argpartition(-gap[found], room)[:room]]


def _newton(
    work: WorkingSet, w: Array, g: Array, l1: Array, *, enter: float, rounding: float, maxiter: int
) -> tuple[Array, int]:
    """Minimise over the working set from w, where the gradient is g; the steps taken.

    Coefficients that violate by less than ``enter`` stay at zero.
    """
    constant = work.gram @ w - g
    order, settled = work.ordered(w != 0), False
    for step in range(maxiter):
        theta, new = np.sign(w), order[:0]
        settled = settled or np.abs(g + l1 * theta)[order].max(initial=0) <= rounding
        if settled:
            new = _entering(work, g, l1, order, enter)
            theta[new] = -np.sign(g[new])
            if not len(new):
                return w, step
        d, order, whole = _direction(work, g, l1, theta, order, new, settled)
        reached = w + d
        reached[reached * theta * l1 < 0] = 0  # the others may change sign for free
        slope = work.gram @ reached - constant
        if whole and _value(reached, slope, constant, l1) < _value(w, g, constant, l1):
            settled = bool(reached[order].all())
        else:
            reached, settled = _line_search(work.gram, w, d, g, l1)
            slope = work.gram @ reached - constant
            if np.array_equal(reached, w):
                return w, step
        w, g, order = reached, slope, order[reached[order] != 0]
    return w, maxiter


def _value(w: Array, g: Array, constant: Array, l1: Array) -> float:
    """The objective, ``w G w / 2 - constant w + l1 |w|`` with ``G w = g + constant``."""
    return float(w @ (g - constant) / 2 + l1 @ np.abs(w))


def _entering(work: WorkingSet, g: Array, l1: Array, order: Array, enter: float) -> Array:
    """Which coefficients enter the face, the worst first."""
    excess = np.abs(g) - l1
    excess[order] = 0
    new = np.flatnonzero(excess > enter)
    room, n = max(ENTERING, len(order)), work.rows.shape[1]
    if not work.ridge:  # no more than n are independent, and near n faces are ill-conditioned
        room = max(1, min(room, (n - len(order)) // 4))
    return new[np.argsort(-excess[new], kind="stable")[:room]]


def _direction(
    work: WorkingSet, g: Array, l1: Array, theta: Array, order: Array, new: Array, settled: bool
) -> tuple[Array, Array, bool]:
    """To the minimum of the face; who is in it; whether a step of length one leads there."""
    d = np.zeros(len(g))
    while True:
        face = np.concatenate([order, new])
        face = face[: work.factorise(face)]
        if settled and len(face) <= len(order):
            # The first alone depends on the face: along this direction nothing is curved.
            first = new[0]
            d[face] = work.solve(-theta[first] * work.gram[face, first])
            d[first] = theta[first]
            return d, np.append(face, first), False
        d[:] = 0
        d[face] = work.solve(-(g + l1 * theta)[face])
        entered = face[len(order) :]
        right = d[entered] * theta[entered] * l1[entered] >= 0
        if right.all() or len(entered) == 1:
            return d, face if len(face) > len(order) else order, True
        # At the minimum of a face the first alone always has the right sign.
        new = entered[right] if right.any() else entered[:1]


def _line_search(gram: Array, w: Array, d: Array, g: Array, l1: Array) -> tuple[Array, bool]:
    """The minimum along d, and whether it is that of the parabola that begins at w.

    The slope along d grows steadily, and jumps where a coefficient changes sign.
    """
    curve = max(float(d @ (gram @ d)), 0.0)
    slope = float(g @ d + l1 @ np.where(w != 0, d * np.sign(w), np.abs(d)))
    cross = np.flatnonzero(w * d < 0)
    at = -w[cross] / d[cross]
    order = np.argsort(at)
    cross, at = cross[order], at[order]
    jump = 2 * l1[cross] * np.abs(d[cross])
    after = slope + at * curve + np.cumsum(jump)
    k = int(np.argmax(after >= 0)) if (after >= 0).any() else len(at)
    slope += jump[:k].sum()
    if k < len(at) and slope + at[k] * curve < 0:
        w = w + at[k] * d
        w[cross[k]] = 0
        return w, False
    noise = ROUNDING * float(np.abs(d) @ np.diagonal(gram) ** 0.5) ** 2
    if slope >= 0 or curve <= noise:  # nowhere to go but by rounding
        return w, True
    return w - slope / curve * d, k == 0 and abs(slope / curve + 1) < 1e-9


def _support(work: WorkingSet, chosen: Array, touching: Array) -> tuple[Array, Array, bool]:
    """The support, its factor, and whether all columns that touch their weight are independent.

    Then the minimum is unique (Tibshirani, Electron. J. Stat. 7, 2013).
    """
    outside = chosen.copy()
    outside[work.columns] = False
    work.extend(np.flatnonzero(outside))
    order = work.ordered(chosen[work.columns])
    independent = work.factorise(order) == len(order)
    factor = np.eye(len(order))
    factor[: len(work.order), : len(work.order)] = work.factor
    support = work.columns[order]

    others = touching & ~chosen
    if independent and others.any():
        if not work.ridge and len(order) + others.sum() > len(work.X):
            return support, factor, False
        outside = others.copy()
        outside[work.columns] = False
        work.extend(np.flatnonzero(outside))
        order = np.concatenate([order, np.flatnonzero(others[work.columns])])
        independent = work.factorise(order) == len(order)
    return support, factor, independent
