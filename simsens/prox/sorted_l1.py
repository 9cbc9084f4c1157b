r"""The proximity operator of the sorted l1 norm (SLOPE, ordered weighted l1).

The largest magnitude gets the largest weight. Sorting reduces the problem to isotonic regression:
the magnitudes in falling order, less their weights, are made non-increasing by averaging blocks,
cut at zero, and put back in their places with their signs. The derivative is that of averaging
over the blocks, which are locally constant.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from simsens.projection.isotonic import isotonic_l2_pav
from simsens.prox.arguments import Arguments


def prox_slope(x: Any, weights: Any, scaling: Any = 1.0) -> Any:
    r"""The proximity operator of :math:`g(y) = \sum_i w_i |y|_{(i)}`.

    .. math:: \arg\min_y \tfrac12 \|x - y\|^2 + s \sum_i w_i |y|_{(i)}, \qquad
        |y|_{(1)} \ge |y|_{(2)} \ge \dots

    Args:
        x: real array ``[n]``.
        weights: ``[n]``, non-increasing and non-negative.
        scaling: :math:`s \ge 0`, a number.

    Returns:
        An array ``[n]``; NaN where a traced argument is infeasible.

    Raises:
        ValueError: increasing, negative or non-finite weights, negative scaling, integers for x,
            shapes that do not fit.

    Source: Bogdan, van den Berg, Sabatti, Su, Candes, SLOPE: adaptive variable selection via
    convex optimization, 2015, algorithm 3. Where two magnitudes tie or a block is just zero, the
    derivative is that of the blocks found, and zero for what is cut.

    Example:
        >>> print(prox_slope(jnp.array([4.0, -3.5, 0.5]), jnp.array([2.0, 1.0, 1.0])))
        [ 2.25 -2.25  0.  ]
    """
    given = Arguments("prox_slope")
    array = given.single(x, 1, "[n]")
    weight = given.vector("weights", weights, array, array.shape)
    given.ordered("weights", weight)
    scale = given.number("scaling", scaling, array)
    return given.apply(lambda u, w, s: _sorted_soft(u, s * w), [array], [weight], [scale])


@jax.jit
def _sorted_soft(x: jax.Array, t: jax.Array) -> jax.Array:
    sign = jnp.where(x < 0, -jnp.ones_like(x), jnp.ones_like(x))
    order = jnp.argsort(-jnp.abs(lax.stop_gradient(x)))
    magnitude = (sign * x)[order]
    averaged = isotonic_l2_pav(magnitude - t, increasing=False)
    kept = jnp.where(averaged > 0, averaged, jnp.zeros_like(x))
    # Where neither weight nor magnitude is left the operator is the identity.
    kept = jnp.where((magnitude == 0) & (t == 0), magnitude, kept)
    return sign * kept[jnp.argsort(order)]
