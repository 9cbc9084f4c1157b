r"""The proximity operator of the largest absolute value.

By Moreau's identity it is :math:`x - \operatorname{proj}_B(x)` with B the l1 ball whose radius is
the weight. That is: the largest magnitudes are cut to a common level :math:`\tau`, so chosen that
what is cut off sums to the weight. The level is computed here and not the difference, because the
difference of two large numbers would not be level.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from simsens.prox.arguments import Arguments


def prox_linf_norm(x: Any, hyperparams: Any = None, scaling: Any = 1.0) -> Any:
    r"""Cut the peaks: the proximity operator of :math:`g(y) = \lambda \max_i |y_i|`.

    .. math:: y_i = \operatorname{sign}(x_i) \min(|x_i|, \tau), \qquad
        \sum_i \max(|x_i| - \tau, 0) = s \lambda

    and y = 0 where :math:`\|x\|_1 \le s \lambda`. With the k entries that are cut,
    :math:`\tau = (\sum_{cut} |x_i| - s \lambda) / k`.

    Args:
        x: real array of any shape (for a batch use ``jax.vmap``).
        hyperparams: :math:`\lambda \ge 0`, a number; None is 1.
        scaling: :math:`s \ge 0`, a number.

    Returns:
        An array like x; NaN where a traced argument is infeasible.

    Raises:
        ValueError: negative or non-finite arguments, integers or a tree for x, arrays for numbers.

    Source: Parikh and Boyd, Proximal algorithms, 2014, section 6.5.2. Where entries tie with the
    level, the derivative is that of cutting the fewest.

    Example:
        >>> print(prox_linf_norm(jnp.array([3.0, -4.0, 1.0]), 3.0))
        [ 2. -2.  1.]
    """
    given = Arguments("prox_linf_norm")
    array = given.single(x, None, "of any shape")
    weight = given.number("hyperparams", 1.0 if hyperparams is None else hyperparams, array)
    scale = given.number("scaling", scaling, array)
    return given.apply(
        lambda u, w, s: _cut(u.reshape(-1), s * w).reshape(u.shape), [array], [weight], [scale]
    )


@jax.jit
def _cut(x: jax.Array, t: jax.Array) -> jax.Array:
    sign = jnp.where(x < 0, -jnp.ones_like(x), jnp.ones_like(x))
    magnitude = sign * x
    order = jnp.argsort(-lax.stop_gradient(magnitude))
    rank = jnp.argsort(order)
    counts = jnp.arange(1, x.size + 1).astype(x.dtype)
    # f(k) = (sum of the k largest - t) / k has its maximum, the level, at the right k.
    levels = (jnp.cumsum(magnitude[order]) - t) / counts
    cut = jnp.argmax(levels)
    level = levels[cut]
    capped = jnp.where(rank <= cut, level, magnitude)
    return jnp.where((level <= 0) & (t > 0), jnp.zeros_like(x), sign * capped)
