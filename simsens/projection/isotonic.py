r"""Isotonic regression and the order simplex.

The nearest non-decreasing sequence is constant on blocks, and each block holds the mean of its
data:

.. math:: v_i = \frac{1}{|B(i)|} \sum_{j \in B(i)} y_j .

The pool-adjacent-violators algorithm finds the blocks in linear time: push the next datum as a
block of one, and merge the last two blocks as long as their means are in the wrong order. It is a
loop of at most 2n steps over three arrays, hence traceable. As the blocks stay put nearby, the
Jacobian averages over each block: products with it cost O(n). Blocks of equal means are not merged
(one element of the generalised Jacobian where they touch). Bounds clip the result.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from simsens.projection.feasibility import all_finite, demand, parts, poisoned, real, real_vector


def _blocks(y: jax.Array) -> jax.Array:
    """The number of the block of each element of y [n]."""
    n = y.shape[0]

    def step(state: Any) -> Any:
        following, top, total, count = state
        last, previous = total[top] / count[top], total[top - 1] / count[top - 1]
        merge = (top >= 2) & (previous > last)  # slot 0 is no block
        # One slot changes either way, so that the loop can write in place.
        datum, one = y[jnp.minimum(following, n - 1)], jnp.ones((), y.dtype)
        slot = jnp.where(merge, top - 1, top + 1)
        held = jnp.where(merge, total[top - 1] + total[top], datum)
        many = jnp.where(merge, count[top - 1] + count[top], one)
        following = jnp.where(merge, following, following + 1)
        return following, slot, total.at[slot].set(held), count.at[slot].set(many)

    def unfinished(state: Any) -> jax.Array:
        following, top, total, count = state
        wrong = total[top - 1] / count[top - 1] > total[top] / count[top]
        return (following < n) | ((top >= 2) & wrong)

    empty = jnp.zeros(n + 1, y.dtype), jnp.ones(n + 1, y.dtype)
    start = jnp.array(0), jnp.array(0), *empty
    _, top, _, count = lax.while_loop(unfinished, step, start)
    slots = jnp.arange(n + 1)
    ends = jnp.cumsum(jnp.where((slots >= 1) & (slots <= top), count, jnp.zeros_like(count)))
    return jnp.searchsorted(ends, jnp.arange(n, dtype=y.dtype), side="right") - 1


@jax.jit
def _pooled(y: jax.Array) -> jax.Array:
    """The nearest non-decreasing sequence."""
    fixed = lax.stop_gradient(y)
    middle = fixed[y.shape[0] // 2]  # y = 1e8 + small loses nothing
    block = _blocks(fixed - middle)
    count = jax.ops.segment_sum(jnp.ones_like(y), block, y.shape[0])
    total = jax.ops.segment_sum(y - middle, block, y.shape[0])
    return middle + (total / jnp.where(count > 0, count, jnp.ones_like(count)))[block]


def isotonic_l2_pav(
    y: Any, y_min: float = -jnp.inf, y_max: float = jnp.inf, increasing: bool = True
) -> jax.Array:
    r"""The nearest monotone sequence, by pooling adjacent violators.

    .. math:: \arg\min_{y_{\min} \le v_1 \le \dots \le v_n \le y_{\max}} \|v - y\|_2^2

    Args:
        y: [n].
        y_min: lower bound, possibly -inf.
        y_max: upper bound, possibly inf.
        increasing: whether v increases; otherwise :math:`v_1 \ge \dots \ge v_n`.

    Returns:
        v [n], in O(n).

    Raises:
        ValueError: y_min > y_max (NaN when traced), integers, not finite, not a vector.

    Source: Best, Chakravarti and Ubhaya, SIAM J. Optim. 10 (2000); the Jacobian: Blondel et al.,
    Fast Differentiable Sorting and Ranking, ICML 2020, arXiv 2002.08871, section 5.

    Example:
        >>> isotonic_l2_pav(jnp.array([1.0, 3.0, 2.0, 4.0])).tolist()
        [1.0, 2.5, 2.5, 4.0]
    """
    return _bounded("isotonic_l2_pav", y, ("y", "y_min", "y_max"), y_min, y_max, increasing)


def _bounded(
    function: str, y: Any, names: tuple[str, str, str], y_min: Any, y_max: Any, increasing: bool
) -> jax.Array:
    y = real_vector(function, names[0], y)
    low = real(function, names[1], y_min, shape=(), dtype=y.dtype, infinite=True)
    high = real(function, names[2], y_max, shape=(), dtype=y.dtype, infinite=True)
    right = demand(
        lambda lo, up: (lo <= up) & (lo < jnp.inf) & (up > -jnp.inf),
        f"{function} needs {names[1]} <= {names[2]}; found {{}} and {{}}; exchange or widen them",
        low,
        high,
    )
    y, well = jnp.asarray(y), all_finite(y)
    v = _pooled(y) if increasing else -_pooled(-y)
    v = jnp.where(v <= low, jnp.asarray(low), jnp.where(v >= high, jnp.asarray(high), v))
    return poisoned(v, right, well)


def projection_order_simplex(x: Any, hyperparams: tuple[Any, Any] = (0.0, 1.0)) -> jax.Array:
    r"""The nearest decreasing sequence between two bounds.

    .. math:: \arg\min_p \|x - p\|_2^2 \quad\text{subject to}\quad
              u \ge p_1 \ge p_2 \ge \dots \ge p_n \ge l

    Args:
        x: [n].
        hyperparams: ``(lower, upper)``, numbers, possibly infinite.

    Returns:
        p [n], in O(n).

    Raises:
        ValueError: lower > upper (NaN when traced), integers, not finite, not a vector.

    Source: Blondel, ICML 2019, arXiv 1910.11369 (structured prediction with projection oracles).

    Example:
        >>> projection_order_simplex(jnp.array([0.5, 0.75, -0.25, 1.0])).tolist()
        [0.625, 0.625, 0.375, 0.375]
    """
    name = "projection_order_simplex"
    lower, upper = parts(name, "lower, upper", hyperparams)
    return _bounded(name, x, ("x", "lower", "upper"), lower, upper, increasing=False)
