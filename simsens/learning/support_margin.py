r"""How far the penalty may move until the support of a lasso changes.

A derivative on the support holds while the support and the signs do. Let the penalties be
:math:`s \lambda`. On the support S, with signs :math:`\theta`,

.. math:: w_S(s) = w_S - (s - 1)\, G_{SS}^{-1} \lambda_S \theta_S, \qquad
          c(s) = X^T (y - X w(s))/n = c + (s - 1)\, a ,

both straight lines: the path of the lasso is piecewise linear. It bends where a coefficient of S
becomes zero, or where another one's :math:`|c_j(s)|` reaches :math:`s \lambda_j`. In the elastic
net s multiplies :math:`\mu` too, the lines are tangents, and the range an estimate to first order.

References: Osborne, Presnell and Turlach, IMA J. Numer. Anal. 20 (2000); Efron, Hastie, Johnstone
and Tibshirani, Ann. Stat. 32 (2004).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax
import numpy as np

from simsens.learning.lasso import split
from simsens.learning.regression import regression_data, weights

TOUCHING = 1e-9  # of its weight: how near a correlation may be to count as being there


@dataclass(frozen=True)
class SupportMargin:
    """The range of the penalty in which the support and the signs stay.

    Attributes:
        lower: the smallest penalty, like the penalty that was given.
        upper: the largest, or infinity.
        leaving: the smallest ``|w_j| / |dw_j|``, dw_j belonging to a doubled penalty; infinity
            where all coefficients are zero.
        slack: the smallest ``1 - |X_j^T r| / (n lambda_j)`` of the zeros: how far the nearest is
            from leaving zero. At 0 the derivative is one-sided, or the minimum is not unique.
    """

    lower: Any
    upper: Any
    leaving: float
    slack: float


def support_margin(X: Any, y: Any, penalty: Any, w: Any, ratio: float = 1.0) -> SupportMargin:
    """The range of the penalty in which the derivative of the coefficients w is one formula.

    Args:
        X: ``[n, p]`` samples.
        y: ``[n]`` targets.
        penalty: positive; a number, or ``[p]``, all of which are multiplied by the same factor.
        w: ``[p]`` the coefficients that belong to it.
        ratio: that of the elastic net; below 1 the range is an estimate to first order.

    Returns:
        The range; of no extent where the support is about to change in both directions.

    Raises:
        ValueError: traced values, which cannot be looked at; shapes that do not fit.

    Example:
        >>> from simsens.learning.lasso import lasso
        >>> X, y = np.eye(3), np.array([3.0, -1.2, 0.3])
        >>> margin = support_margin(X, y, 0.2, lasso(X, y, 0.2).value)
        >>> round(float(margin.lower), 12), round(float(margin.upper), 12)
        (0.1, 0.4)
    """
    if any(isinstance(part, jax.core.Tracer) for part in (X, y, penalty, w, ratio)):
        raise ValueError("support_margin needs known values, found traced ones; call it outside")
    X, y = regression_data(X, y, targets=1)
    l1, l2 = split(
        weights("penalty", penalty, X, each=ratio == 1), weights("ratio", ratio, X, most=1.0),
        X.shape[1],
    )  # fmt: skip
    if np.shape(w) != (X.shape[1],):
        raise ValueError(
            f"w must hold a coefficient for each of {X.shape[1]} features, found {np.shape(w)}"
        )
    leaving, entering, opposite = _lines(*(np.asarray(a, float) for a in (X, y, l1, l2, w)))
    below, above = _range(*map(np.concatenate, zip(leaving, entering, opposite)))
    with np.errstate(divide="ignore"):
        nearest = np.min(leaving[0] / np.abs(leaving[1]), initial=np.inf)
    slack = np.min(entering[0] / entering[2], initial=np.inf)
    given = np.asarray(penalty, float)
    return SupportMargin(
        given * max(1 + below, 0.0), given * (1 + above), float(nearest), float(slack)
    )


Lines = tuple[Any, Any, Any]


def _lines(X: Any, y: Any, l1: Any, l2: Any, w: Any) -> tuple[Lines, Lines, Lines]:
    """All that must stay positive: its value, its rate in s, and its scale.

    They are the sizes of the coefficients, and the distances of the correlations of the zeros from
    their weights, on the near side and on the other.
    """
    n, support = len(X), (w != 0) | (l1 == 0)
    columns, others = X[:, support], X[:, ~support]
    gram = columns.T @ columns / n + l2 * np.eye(columns.shape[1])
    change = -np.linalg.lstsq(gram, (l1 * np.sign(w) + l2 * w)[support], rcond=None)[0]
    signed = l1[support] > 0
    size, growth = np.abs(w[support]), np.sign(w[support]) * change
    leaving = size[signed], growth[signed], size[signed]

    c, a = others.T @ (y - X @ w) / n, -others.T @ (columns @ change) / n
    weight, side = l1[~support], np.where(c < 0, -1.0, 1.0)
    gap = np.where(np.abs(c) >= (1 - TOUCHING) * weight, 0.0, weight - np.abs(c))
    entering = gap, weight - side * a, weight
    return leaving, entering, (weight + np.abs(c), weight + side * a, weight)


def _range(gaps: Any, rates: Any, scales: Any) -> tuple[float, float]:
    """Between which t all of ``gaps + t rates`` stay positive."""
    flat = np.abs(rates) <= TOUCHING * scales
    if (flat & (gaps == 0)).any():  # neither side is open
        return 0.0, 0.0
    falls, rises = (rates < 0) & ~flat, (rates > 0) & ~flat
    above = np.min(-gaps[falls] / rates[falls], initial=np.inf)
    below = np.max(-gaps[rises] / rates[rises], initial=-np.inf)
    return float(below), float(above)
