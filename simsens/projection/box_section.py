r"""The section of a box by a hyperplane, :math:`\{\alpha \le p \le \beta,\ w^T p = c\}`, w > 0.

The projection is :math:`p(\tau) = \mathrm{clip}(x + \tau w, \alpha, \beta)` at the root of the
scalar function :math:`g(\tau) = w^T p(\tau) - c`, which increases and is linear between the
breakpoints :math:`(\alpha - x) / w` and :math:`(\beta - x) / w`. A binary search among the sorted
breakpoints finds the piece with the root, hence which coordinates are free (F) and which are held
at :math:`\alpha` (L) or :math:`\beta` (U); then the root is explicit,

.. math:: \tau = \frac{c - \sum_L w \alpha - \sum_U w \beta - \sum_F w x}{\sum_F w^2},

and so are its derivatives in x, alpha, beta, w and c.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from simsens.projection.feasibility import (
    all_finite,
    demand,
    parts,
    poisoned,
    real,
    real_vector,
)


def _pieces(
    x: jax.Array, alpha: jax.Array, beta: jax.Array, w: jax.Array, c: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Which coordinates are at the lower and at the upper bound."""
    low, high = (alpha - x) / w, (beta - x) / w
    points = jnp.sort(jnp.concatenate([low, high]))

    def below(tau: jax.Array) -> jax.Array:
        # At an infinite tau, x + w tau is infinite, and clipped.
        return w @ jnp.clip(x + w * tau, alpha, beta) <= c

    def halve(_: Any, bracket: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        first, last = bracket  # the root lies after ``first`` and not after ``last``
        middle = (first + last) // 2
        under = below(points[jnp.clip(middle, 0, points.size - 1)])
        return jnp.where(under, middle, first), jnp.where(under, last, middle)

    ends = jnp.array(-1), jnp.array(points.size)
    first, last = lax.fori_loop(0, (points.size + 1).bit_length(), halve, ends)
    inf = jnp.array(jnp.inf, x.dtype)
    left = jnp.where(first < 0, -inf, points[jnp.maximum(first, 0)])
    right = jnp.where(last >= points.size, inf, points[jnp.minimum(last, points.size - 1)])
    return low >= right, (high <= left) & (low < right)


@jax.jit
def _section(
    x: jax.Array, alpha: jax.Array, beta: jax.Array, w: jax.Array, c: jax.Array
) -> jax.Array:
    """The projection of x onto a box section that is not empty."""
    lower, upper = _pieces(*lax.stop_gradient((x, alpha, beta, w, c)))
    zero, one = jnp.zeros_like(x), jnp.ones_like(x)
    held = jnp.where(lower, alpha, jnp.where(upper, beta, zero))
    free = ~(lower | upper)
    weight = jnp.where(free, w, zero)
    square = weight @ weight
    left = c - w @ held - weight @ x
    tau = left / jnp.where(square > 0, square, one[0])
    # The first tau is rounded like the sum of w x; its remainder is not, and is added.
    inner = jnp.where(free, x + tau * w, held)
    rest = lax.stop_gradient(c - w @ inner) / jnp.where(square > 0, square, one[0])
    return jnp.where(free, x + (tau + lax.stop_gradient(rest)) * w, held)


def projection_box_section(
    x: Any, hyperparams: tuple[Any, Any, Any, Any], check_feasible: bool = False
) -> jax.Array:
    r"""The nearest point between bounds whose weighted sum is given.

    .. math:: \arg\min_p \|x - p\|_2^2 \quad\text{subject to}\quad
              \alpha \le p \le \beta,\ w^T p = c

    Args:
        x: [n].
        hyperparams: ``(alpha, beta, w, c)``: bounds [n] or numbers, possibly infinite; weights
            w > 0 [n] or a number; a number c.
        check_feasible: whether to raise if the section is known to be empty, that is if not
            :math:`w^T\alpha \le c \le w^T\beta`; otherwise, and under tracing, the result is NaN.

    Returns:
        p [n], in O(n log n). A coordinate exactly at a bound counts as held by it if the
        piece with the root says so.

    Raises:
        ValueError: w <= 0 or alpha > beta (NaN when traced), empty section, integers, not finite.

    Source: Blondel et al., arXiv 2105.15183, appendix C (box sections).

    Example:
        >>> x, w = jnp.array([0.5, 1.0, -3.0]), jnp.ones(3)
        >>> projection_box_section(x, (jnp.zeros(3), jnp.ones(3), w, 1.0)).tolist()
        [0.25, 0.75, 0.0]
    """
    name = "projection_box_section"
    alpha, beta, w, c = parts(name, "alpha, beta, w, c", hyperparams)
    x = real_vector(name, "x", x)

    def vector(called: str, value: Any, infinite: bool) -> Any:
        array = real(name, called, value, dtype=x.dtype, infinite=infinite)
        if array.shape not in ((), x.shape):
            raise ValueError(
                f"{name} needs {called} of shape {x.shape} or a number; found {array.shape}; "
                "reshape it"
            )
        return array

    alpha, beta = vector("alpha", alpha, True), vector("beta", beta, True)
    w, c = vector("w", w, False), real(name, "c", c, shape=(), dtype=x.dtype)
    well = [
        demand(
            lambda lo, up: (lo <= up) & (lo < jnp.inf) & (up > -jnp.inf),
            f"{name} needs alpha <= beta; found {{}} and {{}}; exchange or widen them",
            alpha,
            beta,
        ),
        demand(lambda v: v > 0, f"{name} needs w > 0; found {{}}; turn the axis round", w),
    ]
    well = [v if v is True else jnp.all(v) for v in well]

    def between(alpha: Any, beta: Any, w: Any, c: Any) -> Any:
        # Rounding of the sums must not make a section empty that touches the box at its corner.
        low, high = (w * alpha).sum(), (w * beta).sum()
        size = (w * abs(alpha)).sum() + abs(c), (w * abs(beta)).sum() + abs(c)
        eps = 4 * x.shape[0] * float(jnp.finfo(x.dtype).eps)
        under = (low <= c) | (low - c <= eps * size[0]) & (low < jnp.inf)
        return under & ((c <= high) | (c - high <= eps * size[1]) & (high > -jnp.inf))

    ones = np.ones(x.shape, x.dtype)  # keeps known values known
    alpha, beta, w = alpha * ones, beta * ones, w * ones
    message = f"{name} needs w.alpha <= c <= w.beta; found c = {{}} outside; change c or the bounds"
    if check_feasible:
        demand(between, message, alpha, beta, w, c)
    filled = between(*map(jnp.asarray, (alpha, beta, w, c)))
    point = _section(*map(jnp.asarray, (x, alpha, beta, w, c)))
    return poisoned(point, filled, *well, all_finite((x, w, c)))
