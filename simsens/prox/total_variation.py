r"""The proximity operator of the total variation of a sequence, exactly.

.. math:: \arg\min_y \tfrac12 \|x - y\|^2 + \sum_{i=1}^{n-1} \lambda_i |y_{i+1} - y_i|

Two steps. First the *segmentation* is found: where y jumps, and in which direction. Dynamic
programming (Johnson 2013) does it in one pass forward and one back: with
:math:`f_k(b) = \min_{y_1..y_{k-1}}` of the first k terms given :math:`y_k = b`, the derivative
:math:`f_k'` is increasing and piecewise linear, and
:math:`y_k = \operatorname{clip}(y_{k+1}, f_k'^{-1}(-\lambda_k), f_k'^{-1}(\lambda_k))`. Its kinks
live in an array that grows at both ends; each kink enters and leaves once, so the whole costs O(n).

Then the *values*, by the optimality condition of a segment S between two jumps of signs
:math:`\sigma_-` (before) and :math:`\sigma_+` (after):

.. math:: y_S = \frac{1}{|S|} \Big( \sum_{i \in S} x_i - \lambda_- \sigma_- + \lambda_+ \sigma_+
    \Big)

The segmentation is locally constant, so differentiating this formula alone gives the derivative in
x (block averages) and in the weights, in both modes and at any order; the search needs none.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from simsens.prox.arguments import Arguments


def prox_total_variation_1d(x: Any, hyperparams: Any = None, scaling: Any = 1.0) -> Any:
    r"""Piecewise constant approximation, the proximity operator of the total variation.

    .. math:: \arg\min_y \tfrac12 \|x - y\|^2 + s \sum_{i=1}^{n-1} \lambda_i |y_{i+1} - y_i|

    Args:
        x: real array ``[n]``, n >= 1.
        hyperparams: :math:`\lambda \ge 0`, a number or an array ``[n-1]``, one weight for each
            jump; None is 1.
        scaling: :math:`s \ge 0`, a number.

    Returns:
        An array ``[n]``; NaN where a traced argument is infeasible.

    Raises:
        ValueError: negative or non-finite arguments, integers for x, shapes that do not fit.

    Source: Johnson, A dynamic programming algorithm for the fused lasso and L0-segmentation, 2013;
    the derivative as in the module's text. Where two segments are about to merge or one is about
    to split, the derivative is that of the segmentation found.

    Example:
        >>> print(prox_total_variation_1d(jnp.array([0.0, 1.0, 5.0, 6.0]), 1.0))
        [1. 1. 5. 5.]
    """
    given = Arguments("prox_total_variation_1d")
    array = given.single(x, 1, "[n]")
    value = 1.0 if hyperparams is None else hyperparams
    shape = (array.size - 1,) if np.ndim(value) else ()
    weight = given.vector("hyperparams", value, array, shape)
    scale = given.number("scaling", scaling, array)

    def segmented(x: jax.Array, w: jax.Array, s: jax.Array) -> jax.Array:
        if x.size == 1:
            return x
        t = jnp.broadcast_to(s * w, (x.size - 1,))
        return _segment_values(x, t, *_segmentation(lax.stop_gradient(x), lax.stop_gradient(t)))

    return given.apply(segmented, [array], [weight], [scale])


@jax.jit
def _segment_values(x: jax.Array, t: jax.Array, signs: jax.Array, joined: jax.Array) -> jax.Array:
    """The values of the segments: means of x, moved by the pull of their two jumps."""
    n = x.size
    label = jnp.concatenate([jnp.zeros(1, int), jnp.cumsum(~joined)])
    pull = jnp.where(joined, jnp.zeros_like(t), signs * t)  # at the jump from i to i + 1
    edge = jnp.zeros_like(x[:1])
    moved = x + jnp.concatenate([pull, edge]) - jnp.concatenate([edge, pull])
    total = jax.ops.segment_sum(moved, label, n, indices_are_sorted=True)
    size = jax.ops.segment_sum(jnp.ones_like(x), label, n, indices_are_sorted=True)
    return (total / jnp.maximum(size, jnp.ones_like(size)))[label]


class _Kinks(NamedTuple):
    """The derivative f' of a convex piecewise quadratic function, by its kinks.

    Kinks are stored at positions ``left .. right`` (inclusive; none if left > right). f' is
    ``slope b + height`` left of all kinks; crossing kink j adds ``slopes[j] b + heights[j]``. Right
    of all kinks it is ``last_slope b + last_height``.
    """

    place: jax.Array
    slopes: jax.Array
    heights: jax.Array
    left: jax.Array
    right: jax.Array


@jax.jit
def _segmentation(x: jax.Array, t: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Signs of the jumps ``[n-1]`` and whether neighbours are in one segment ``[n-1]``."""
    n = x.size
    x = x - jnp.mean(x)  # shifts y likewise; keeps the sums small
    one, zero = jnp.ones((), x.dtype), jnp.zeros((), x.dtype)
    empty = jnp.zeros(2 * n, x.dtype)
    kinks = _Kinks(empty, empty, empty, jnp.asarray(n), jnp.asarray(n - 1))

    def forward(
        state: tuple[_Kinks, jax.Array], step: tuple[jax.Array, jax.Array]
    ) -> tuple[tuple[_Kinks, jax.Array], tuple[jax.Array, jax.Array]]:
        k, before = state
        value, limit = step
        # f_k' = b - x_k + clip(f_{k-1}', -before, before)
        low = _from_left(k, one, -value - before, -limit)
        high = _from_right(k, one, before - value, limit, low.at)
        left, right = low.at - 1, high.at + 1
        # Outside [low, high] the next message is constant: -limit and limit.
        put = (
            k.place.at[left].set(low.root).at[right].set(high.root),
            k.slopes.at[left].set(low.slope).at[right].set(-high.slope),
            k.heights.at[left].set(low.height + limit).at[right].set(limit - high.height),
        )
        return (_Kinks(*put, left, right), limit), (low.root, high.root)

    (k, before), (lows, highs) = lax.scan(forward, (kinks, zero), (x[:-1], t))
    last = _from_left(k, one, -x[-1] - before, zero).root

    def backward(
        after: jax.Array, step: tuple[jax.Array, jax.Array]
    ) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
        low, high = step
        value = jnp.where(after > high, high, jnp.where(after < low, low, after))
        return value, (jnp.sign(after - value), after == value)

    _, (signs, joined) = lax.scan(backward, last, (lows, highs), reverse=True)
    return signs, joined & (t > 0)  # without a penalty nothing is joined, equal or not


class _Crossing(NamedTuple):
    """Where f' meets a level: the first kink beyond, the line that meets it, and the point."""

    at: jax.Array
    slope: jax.Array
    height: jax.Array
    root: jax.Array


def _from_left(k: _Kinks, slope: jax.Array, height: jax.Array, level: jax.Array) -> _Crossing:
    """Walk right over kinks while f' stays at or below the level."""

    def below(state: tuple[jax.Array, jax.Array, jax.Array]) -> jax.Array:
        at, a, b = state
        return (at <= k.right) & ~(a * k.place[at] + b > level)

    def step(
        state: tuple[jax.Array, jax.Array, jax.Array],
    ) -> tuple[jax.Array, jax.Array, jax.Array]:
        at, a, b = state
        return at + 1, a + k.slopes[at], b + k.heights[at]

    at, a, b = lax.while_loop(below, step, (k.left, slope, height))
    return _Crossing(at, a, b, (level - b) / a)


def _from_right(
    k: _Kinks, slope: jax.Array, height: jax.Array, level: jax.Array, stop: jax.Array
) -> _Crossing:
    """Walk left over kinks, not beyond ``stop``, while f' stays at or above the level."""

    def above(state: tuple[jax.Array, jax.Array, jax.Array]) -> jax.Array:
        at, a, b = state
        return (at >= stop) & ~(a * k.place[at] + b < level)

    def step(
        state: tuple[jax.Array, jax.Array, jax.Array],
    ) -> tuple[jax.Array, jax.Array, jax.Array]:
        at, a, b = state
        return at - 1, a - k.slopes[at], b - k.heights[at]

    at, a, b = lax.while_loop(above, step, (k.right, slope, height))
    return _Crossing(at, a, b, (level - b) / a)
