r"""The probability simplex, with few non-zeros too, and its entropic twin.

The Euclidean projection onto :math:`\{p \ge 0, \sum_i p_i = v\}` is a threshold,

.. math:: p_i = \max(x_i - \tau, 0), \qquad \tau = \frac{1}{k}\Big(\sum_{i \in s} x_i - v\Big),

with the support s, the k largest entries, found by sorting. As s stays put nearby, with its
indicator also called s, the Jacobian is :math:`\mathrm{diag}(s) - s s^T / k` in x and
:math:`s / k` in v: products with it cost O(n). An entry exactly on the threshold is outside s.

Only differences of x matter, so the largest entry is subtracted first: entries of 1e8 + small lose
nothing.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from simsens.projection.feasibility import all_finite, demand, poisoned, real, real_vector


@jax.custom_jvp
@jax.jit
def threshold(x: jax.Array, value: jax.Array) -> jax.Array:
    """The projection itself, x [n], value [], without questions; value = 0 gives zeros."""
    return _threshold(x, value)[0]


def _threshold(x: jax.Array, value: jax.Array) -> tuple[jax.Array, jax.Array]:
    """The projection and the indicator of its support, never empty."""
    y = x - jnp.max(x)  # the largest entry is 0, the support lies within -value
    ordered = -jnp.sort(-y)
    count = jnp.arange(1, x.shape[0] + 1, dtype=x.dtype)
    size = jnp.sum(ordered * count > jnp.cumsum(ordered) - value)
    # A plain sum over the support is more accurate than the running one.
    head = jnp.where(jnp.arange(x.shape[0]) < size, ordered, jnp.zeros_like(y))
    tau = (jnp.sum(head) - value) / jnp.maximum(size, 1).astype(x.dtype)
    support = (y > tau) | (y == 0)
    return jnp.where(support, y - tau, jnp.zeros_like(y)), support.astype(x.dtype)


@threshold.defjvp
@jax.jit
def _threshold_jvp(primals: Any, tangents: Any) -> Any:
    x, value = primals
    dx, dvalue = tangents
    support = _threshold(*lax.stop_gradient((x, value)))[1]
    share = support / jnp.sum(support)
    # The simplex of value 0 is one point: it does not move with x.
    moving = (value > 0).astype(x.dtype)
    return threshold(x, value), moving * (support * dx - share * (support @ dx)) + share * dvalue


def projection_simplex(x: Any, value: float = 1.0) -> jax.Array:
    r"""The nearest point with non-negative coordinates that sum to ``value``.

    .. math:: \arg\min_p \|x - p\|_2^2 \quad\text{subject to}\quad p \ge 0,\ p^T 1 = v;
              \qquad \partial p / \partial x = \mathrm{diag}(s) - s s^T / \|s\|_1

    Args:
        x: [n].
        value: v, the sum; ``None`` is 1.

    Returns:
        p [n], in O(n log n).

    Raises:
        ValueError: value < 0 (NaN when traced), integers, not finite, not a vector.

    Source: Duchi et al., ICML 2008; Martins and Astudillo, ICML 2016, for the Jacobian.

    Example:
        >>> projection_simplex(jnp.array([0.5, 1.0, -3.0])).tolist()
        [0.25, 0.75, 0.0]
    """
    return _simplex("projection_simplex", x, value)


def _simplex(function: str, x: Any, value: Any) -> jax.Array:
    x = real_vector(function, "x", x)
    value, right = _sum(function, value, x)
    return poisoned(threshold(jnp.asarray(x), jnp.asarray(value)), right, all_finite(x))


def _sum(function: str, value: Any, x: Any, name: str = "value") -> tuple[Any, Any]:
    value = real(function, name, 1.0 if value is None else value, shape=(), dtype=x.dtype)
    message = f"{function} needs {name} >= 0; found {{}}; give what the coordinates sum to"
    return value, demand(lambda v: (v >= 0) & (v < jnp.inf), message, value)


def projection_sparse_simplex(
    x: Any, max_nz: int, use_approx_max_nz: bool = False, value: float = 1.0
) -> jax.Array:
    r"""The nearest point of the simplex with at most ``max_nz`` coordinates that are not zero.

    .. math:: \arg\min_p \|x - p\|_2^2 \quad\text{subject to}\quad
              p \ge 0,\ p^T 1 = v,\ \|p\|_0 \le k

    The k largest entries are projected onto the simplex, the others are zero. The set is not
    convex: among equal entries the first ones are kept, and there the projection jumps.

    Args:
        x: [n].
        max_nz: k, a Python integer from 1 to n.
        use_approx_max_nz: find the largest entries by ``lax.approx_max_k``.
        value: v, the sum; ``None`` is 1.

    Returns:
        p [n].

    Raises:
        ValueError: value < 0 (NaN when traced), max_nz outside 1..n, integers, not finite.

    Source: Kyrillidis, Becker, Cevher and Koch, ICML 2013, arXiv 1206.1529.

    Example:
        >>> projection_sparse_simplex(jnp.array([0.5, 1.0, 0.25]), 2).tolist()
        [0.25, 0.75, 0.0]
    """
    name = "projection_sparse_simplex"
    x = real_vector(name, "x", x)
    if isinstance(max_nz, bool) or not hasattr(max_nz, "__index__"):
        raise ValueError(f"{name} needs max_nz as a static integer; found {max_nz!r}; give an int")
    if not 1 <= max_nz <= x.shape[0]:
        raise ValueError(
            f"{name} needs 1 <= max_nz <= {x.shape[0]}; found {max_nz}; give how many may be > 0"
        )
    value, right = _sum(name, value, x)
    largest = lax.approx_max_k if use_approx_max_nz else lax.top_k
    kept, places = largest(jnp.asarray(x), int(max_nz))
    point = jnp.zeros_like(jnp.asarray(x)).at[places].set(threshold(kept, jnp.asarray(value)))
    return poisoned(point, right, all_finite(x))


def kl_projection_simplex(x: Any, value: float = 1.0) -> jax.Array:
    r"""The Kullback-Leibler (Bregman) projection onto the simplex, a softmax.

    .. math:: \arg\max_{p \ge 0,\ p^T 1 = v} \langle p, x\rangle - \sum_i p_i \log p_i,
              \qquad p_i = v\, e^{x_i} / \sum_j e^{x_j}

    Args:
        x: [n], the dual point (the logarithm of the point that is projected).
        value: v, the sum; ``None`` is 1.

    Returns:
        p [n].

    Raises:
        ValueError: value < 0 (NaN when traced), integers, not finite, not a vector.

    Source: Blondel et al., arXiv 2105.15183, appendix on Bregman projections.

    Example:
        >>> kl_projection_simplex(jnp.array([1.0, 1.0])).tolist()
        [0.5, 0.5]
    """
    name = "kl_projection_simplex"
    x = real_vector(name, "x", x)
    value, right = _sum(name, value, x)
    return poisoned(value * jax.nn.softmax(jnp.asarray(x)), right, all_finite(x))
