r"""The second-order cone, the positive semidefinite cone, the exponential cone.

Every cone K is closed and convex; with its polar :math:`K^\circ` Moreau's decomposition
:math:`x = \mathrm{proj}_K(x) + \mathrm{proj}_{K^\circ}(x)` holds, the two parts being orthogonal.
On the boundary between two cases a point counts as inside K, else as inside the polar cone; where
the semidefinite cone has a kernel, half and half.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from simsens.projection.balls import direction, norm
from simsens.projection.feasibility import all_finite, poisoned, real, real_vector


def projection_second_order_cone(x: Any) -> jax.Array:
    r"""The nearest point of the cone :math:`\{(t, u) : \|u\|_2 \le t\}`.

    .. math:: (t, u) \text{ if } \|u\| \le t; \quad 0 \text{ if } \|u\| \le -t; \quad
              \tfrac12 (t + \|u\|)\, (1, u / \|u\|) \text{ otherwise}

    Args:
        x: [n], t first.

    Returns:
        A point [n] of the cone.

    Raises:
        ValueError: integers, not finite (NaN when traced), not a vector.

    Source: Parikh and Boyd, Proximal Algorithms (2014), 6.3.2.

    Example:
        >>> p = projection_second_order_cone(jnp.array([0.0, 3.0, 4.0]))
        >>> bool(jnp.allclose(p, jnp.array([2.5, 1.5, 2.0])))
        True
    """
    x = real_vector("projection_second_order_cone", "x", x)
    well = all_finite(x)
    x = jnp.asarray(x)
    if x.shape[0] == 1:
        return poisoned(jnp.where(x >= 0, x, jnp.zeros_like(x)), well)
    t, u = x[0], x[1:]
    length = norm(u)
    half = jnp.concatenate([jnp.ones(1, x.dtype), direction(u)]) * ((t + length) / 2)
    outside = jnp.where(length <= -t, jnp.zeros_like(x), half)
    return poisoned(jnp.where(length <= t, x, outside), well)


@jax.custom_jvp
@jax.jit
def _positive(X: jax.Array) -> jax.Array:
    """The part of a symmetric X [n, n] that belongs to its positive eigenvalues."""
    values, Q = jnp.linalg.eigh(X)
    return (Q * jnp.where(values > 0, values, jnp.zeros_like(values))) @ Q.T


@_positive.defjvp
@jax.jit
def _positive_jvp(primals: Any, tangents: Any) -> Any:
    r"""P = (X + A) / 2 with :math:`A^2 = X^2`: the slope of A solves :math:`A D + D A = X E + E X`.

    In the basis of the eigenvectors, held at their values, this reads
    :math:`D_{ij} = E_{ij} (\lambda_i + \lambda_j) / (|\lambda_i| + |\lambda_j|)`: no
    difference of eigenvalues is divided by, nor are eigenvectors differentiated. Where both
    eigenvalues are zero D is 0, the mean of what it is on either side.
    """
    (X,), (E,) = primals, tangents
    P = _positive(X)
    A = 2 * P - X
    values, Q = jnp.linalg.eigh(lax.stop_gradient(X))
    noise = X.shape[0] * jnp.finfo(X.dtype).eps * jnp.max(jnp.abs(values))
    values = jnp.where(jnp.abs(values) <= noise, jnp.zeros_like(values), values)
    size = jnp.abs(values)
    total = size[:, None] + size[None, :]
    zero, one = jnp.zeros_like(total), jnp.ones_like(total)
    inverse = jnp.where(total > 0, one / jnp.where(total > 0, total, one), zero)
    # Diagonal in value, so that the small ones keep their digits; with the derivatives of X and A.
    x = jnp.diag(values) + Q.T @ (X - lax.stop_gradient(X)) @ Q
    a = jnp.diag(size) + Q.T @ (A - lax.stop_gradient(A)) @ Q
    e = Q.T @ E @ Q

    def product(d: jax.Array) -> jax.Array:
        return a @ d + d @ a

    def divided(_: Any, right: jax.Array) -> jax.Array:
        return right * inverse

    d = lax.custom_linear_solve(product, x @ e + e @ x, divided, divided, symmetric=True)
    return P, (E + Q @ d @ Q.T) / 2


def projection_psd(x: Any) -> jax.Array:
    r"""The nearest symmetric positive semidefinite matrix, in the Frobenius norm.

    .. math:: Q \max(\Lambda, 0)\, Q^T, \qquad (x + x^T) / 2 = Q \Lambda Q^T

    Args:
        x: [n, n]; its symmetric part is what counts, as nothing can be done about the rest.

    Returns:
        A symmetric matrix [n, n]. All derivatives are finite at equal eigenvalues; at a kernel
        (eigenvalues that are zero to rounding) the derivative within it is one half, the mean of
        both sides.

    Raises:
        ValueError: not square, integers, not finite (NaN when traced).

    Source: Higham, Linear Algebra Appl. 103 (1988); the derivative: Malick and Sendov, Set-Valued
    Analysis 14 (2006).

    Example:
        >>> projection_psd(jnp.diag(jnp.array([2.0, -1.0]))).tolist()
        [[2.0, 0.0], [0.0, 0.0]]
    """
    name = "projection_psd"
    x = real(name, "x", x, ndim=2)
    if x.shape[0] != x.shape[1] or x.shape[0] == 0:
        raise ValueError(f"{name} needs a square matrix x; found shape {x.shape}; check its axes")
    well = all_finite(x)
    x = jnp.asarray(x)
    P = _positive((x + x.T) / 2)
    return poisoned((P + P.T) / 2, well)


def _parts(rho: jax.Array, r: jax.Array, s: jax.Array) -> tuple[jax.Array, jax.Array]:
    """The projection's second coordinate, and the push along the first, for the ratio rho."""
    square = rho * (rho - 1) + 1
    return ((rho - 1) * r + s) / square, (r - rho * s) / square


def _mismatch(rho: jax.Array, x: jax.Array) -> jax.Array:
    """Zero at the ratio of the projection's first two coordinates; increasing."""
    second, push = _parts(rho, x[0], x[1])
    return second * jnp.exp(rho) - push * jnp.exp(-rho) - x[2]


@jax.custom_jvp
def _ratio(x: jax.Array) -> jax.Array:
    """The root of ``_mismatch`` for x outside the cone, its polar and their common face."""
    r, s = x[0], x[1]
    inf = jnp.array(jnp.inf, x.dtype)
    low = jnp.where(r > 0, 1 - s / jnp.where(r > 0, r, 1), -inf)
    high = jnp.where(s > 0, r / jnp.where(s > 0, s, 1), inf)
    low = jnp.where(jnp.isnan(low) | ((r <= 0) & (s <= 0)), 0, low)
    high = jnp.where(jnp.isnan(high) | ((r <= 0) & (s <= 0)), 0, high)
    # An end at infinity is found by doubling; exp overflows beyond some 700 in float64.
    reach = 2.0 ** jnp.arange(-2, 12, dtype=x.dtype)
    up = jnp.where(jnp.isinf(low), 0, low) + reach
    down = jnp.where(jnp.isinf(high), 0, high) - reach
    above = jax.vmap(_mismatch, (0, None))(up, x) >= 0
    below = jax.vmap(_mismatch, (0, None))(down, x) <= 0
    high = jnp.where(jnp.isinf(high), up[jnp.argmax(above)], high)
    low = jnp.where(jnp.isinf(low), down[jnp.argmax(below)], low)

    def halve(_: Any, bracket: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        low, high = bracket
        middle = low + (high - low) / 2
        over = _mismatch(middle, x) > 0
        return jnp.where(over, low, middle), jnp.where(over, middle, high)

    bits = 3 * jnp.finfo(x.dtype).nmant // 2
    low, high = lax.fori_loop(0, bits, halve, (low.astype(x.dtype), high.astype(x.dtype)))
    return low + (high - low) / 2


@_ratio.defjvp
def _ratio_jvp(primals: Any, tangents: Any) -> Any:
    (x,), (dx,) = primals, tangents
    rho = _ratio(x)
    slope, (along) = jax.grad(_mismatch, (0, 1))(rho, x)
    slope = jnp.where(slope == 0, jnp.ones_like(slope), slope)
    return rho, -(along @ dx) / slope


@jax.jit
def _exponential(x: jax.Array) -> jax.Array:
    size = lax.stop_gradient(jnp.max(jnp.abs(x)))
    size = jnp.where(size > 0, size, jnp.ones_like(size))
    x = x / size  # the cone looks the same at every size
    r, s, t = x
    zero, one = jnp.zeros_like(r), jnp.ones_like(r)
    # In the cone: s exp(r / s) <= t. In its polar: r exp(s / r) <= -e t.
    s_safe, r_safe = jnp.where(s > 0, s, one), jnp.where(r > 0, r, one)
    logarithm = jnp.log(jnp.where(t > 0, t, one))
    inside = (s > 0) & (t > 0) & (r <= s_safe * (logarithm - jnp.log(s_safe)))
    inside |= (r <= 0) & (s == 0) & (t >= 0)
    down = jnp.log(jnp.where(t < 0, -t, one)) + 1
    polar = (r > 0) & (t < 0) & (s <= r_safe * (down - jnp.log(r_safe)))
    polar |= (r == 0) & (s <= 0) & (t <= 0)
    flat = (r <= 0) & (s <= 0)
    special = inside | polar | flat
    # The general case, at a harmless point where it does not apply.
    harmless = jnp.array([1.0, 1.0, 1.0], x.dtype)
    point = jnp.where(special, harmless, x)
    rho = _ratio(point)
    second, push = _parts(rho, point[0], point[1])
    # Equal at the root; the one without the large exponential is the more accurate.
    low, high = jnp.minimum(rho, zero), jnp.maximum(rho, zero)
    third = jnp.where(rho < 0, second * jnp.exp(low), point[2] + push * jnp.exp(-high))
    general = jnp.stack([rho * second, second, third])
    face = jnp.stack([r, zero, jnp.where(t > 0, t, zero)])
    y = jnp.where(flat, face, general)
    y = jnp.where(polar, jnp.zeros_like(x), y)
    return size * jnp.where(inside, x, y)


def projection_exponential_cone(x: Any) -> jax.Array:
    r"""The nearest point of the exponential cone.

    .. math:: K = \mathrm{cl}\,\{(r, s, t) : s > 0,\ s\, e^{r/s} \le t\}

    Outside the cone, its polar and their common face the projection is
    :math:`(\rho q, q, q e^\rho)` with

    .. math:: q = \frac{(\rho - 1) r + s}{\rho^2 - \rho + 1}, \quad
              m = \frac{r - \rho s}{\rho^2 - \rho + 1}, \quad
              q e^\rho - m e^{-\rho} = t,

    a scalar equation, increasing in :math:`\rho` where q and m are positive; its derivative is
    the implicit one.

    Args:
        x: [3], in the order (r, s, t) of SCS and Clarabel.

    Returns:
        A point [3] of the cone.

    Raises:
        ValueError: not of shape (3,), integers, not finite (NaN when traced).

    Source: Friberg, Projection onto the exponential cone: a univariate root-finding problem,
    Optimization Methods and Software 38 (2023).

    Example:
        >>> projection_exponential_cone(jnp.array([-1.0, -2.0, 3.0])).tolist()
        [-1.0, 0.0, 3.0]
    """
    x = real("projection_exponential_cone", "x", x, shape=(3,))
    return poisoned(_exponential(jnp.asarray(x)), all_finite(x))
