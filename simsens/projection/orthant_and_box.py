r"""Where every coordinate has its own bounds: orthant, box, hypercube, l-infinity ball.

The problem separates, and each coordinate is clipped:

.. math:: \mathrm{proj}(x)_i = \min(\max(x_i, l_i), u_i).

Its derivative is one inside and zero outside; the active bound gets the other one. On a bound
itself (a kink) the bound counts as active, as ``jax.nn.relu`` has it at zero: one element of the
generalised Jacobian, where ``jnp.clip`` gives halves, and quarters for :math:`l = u`.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from simsens.projection.feasibility import (
    demand,
    finite,
    parts,
    poisoned,
    real,
    real_tree,
    same_tree,
    widest,
)


def projection_non_negative(x: Any, hyperparams: Any = None) -> Any:
    r"""The nearest point without negative coordinates, :math:`\max(x, 0)`.

    Args:
        x: pytree of arrays.
        hyperparams: ignored.

    Returns:
        A pytree like x. At :math:`x_i = 0` the derivative is 0.

    Raises:
        ValueError: x is not floating-point or not finite.

    Source: Parikh and Boyd, Proximal Algorithms (2014), 6.2.

    Example:
        >>> projection_non_negative(jnp.array([1.5, -2.0])).tolist()
        [1.5, 0.0]
    """
    del hyperparams
    x = real_tree("projection_non_negative", "x", x)
    return jax.tree.map(lambda v: poisoned(jax.nn.relu(jnp.asarray(v)), finite(v)), x)


def _bound(function: str, name: str, bound: Any, x: Any) -> Any:
    """One bound for each array of x: a number is spread over all of them."""
    if jax.tree_util.all_leaves([bound]):
        bound = jax.tree.map(lambda _: bound, x)
    same_tree(function, name, bound, x)

    def leaf(path: Any, value: Any, like: Any) -> Any:
        called = name + jax.tree_util.keystr(path)
        array = real(function, called, value, dtype=like.dtype, infinite=True)
        try:
            fits = jnp.broadcast_shapes(array.shape, like.shape) == like.shape
        except ValueError:
            fits = False
        if not fits:
            raise ValueError(
                f"{function} needs {called} that broadcasts to shape {like.shape}; "
                f"found {array.shape}; reshape it"
            )
        return array

    return jax.tree_util.tree_map_with_path(leaf, bound, x)


def _clip(function: str, x: Any, lower: Any, upper: Any) -> Any:
    """Clip leaf by leaf, refusing empty boxes."""

    def leaf(x: Any, lower: Any, upper: Any) -> jax.Array:
        needed = f"{function} needs lower <= upper"
        right = demand(
            lambda lo, up: (lo <= up) & (lo < jnp.inf) & (up > -jnp.inf),
            needed + "; found lower = {} and upper = {}; exchange or widen them",
            lower,
            upper,
        )
        x, lower, upper = jnp.asarray(x), jnp.asarray(lower), jnp.asarray(upper)
        inside = jnp.where(x >= upper, upper, x)
        return poisoned(jnp.where(x <= lower, lower, inside), right, finite(x))

    return jax.tree.map(leaf, x, lower, upper)


def projection_box(x: Any, hyperparams: tuple[Any, Any]) -> Any:
    r"""The nearest point between two bounds, :math:`\min(\max(x, l), u)`.

    Args:
        x: pytree of arrays.
        hyperparams: ``(lower, upper)``, each a number or array for all arrays of x, or a pytree
            like x whose arrays broadcast to those of x; infinite where there is no bound.

    Returns:
        A pytree like x. On a bound the derivative goes to the bound.

    Raises:
        ValueError: lower > upper (NaN at those entries when traced), integers, NaN, shapes.

    Source: Parikh and Boyd, Proximal Algorithms (2014), 6.2.4.

    Example:
        >>> projection_box(jnp.array([-1.0, 0.4, 3.0]), (0.0, jnp.array([1.0, 1.0, 2.0]))).tolist()
        [0.0, 0.4, 2.0]
    """
    lower, upper = parts("projection_box", "lower, upper", hyperparams)
    x = real_tree("projection_box", "x", x)
    lower = _bound("projection_box", "lower", lower, x)
    upper = _bound("projection_box", "upper", upper, x)
    return _clip("projection_box", x, lower, upper)


def projection_hypercube(x: Any, unit: Any = 1.0) -> Any:
    r"""The nearest point with all coordinates in [0, unit], :math:`\min(\max(x, 0), unit)`.

    Args:
        x: pytree of arrays.
        unit: the edge; a number, or bounds as in ``projection_box``.

    Returns:
        A pytree like x.

    Raises:
        ValueError: unit < 0 (NaN when traced), integers, NaN, shapes.

    Source: Parikh and Boyd, Proximal Algorithms (2014), 6.2.4.

    Example:
        >>> projection_hypercube(jnp.array([-1.0, 0.4, 3.0])).tolist()
        [0.0, 0.4, 1.0]
    """
    x = real_tree("projection_hypercube", "x", x)
    unit = _bound("projection_hypercube", "unit", unit, x)
    return _clip("projection_hypercube", x, _bound("", "", 0.0, x), unit)


def projection_linf_ball(x: Any, max_value: float = 1.0) -> Any:
    r"""The nearest point with all coordinates at most ``max_value`` in size.

    .. math:: \mathrm{proj}(x)_i = \min(\max(x_i, -r), r)

    Args:
        x: pytree of arrays.
        max_value: the radius r, a number.

    Returns:
        A pytree like x.

    Raises:
        ValueError: r < 0 (NaN when traced), integers, NaN.

    Source: Parikh and Boyd, Proximal Algorithms (2014), 6.5.1.

    Example:
        >>> projection_linf_ball(jnp.array([-3.0, 0.4]), 2.0).tolist()
        [-2.0, 0.4]
    """
    name = "projection_linf_ball"
    x = real_tree(name, "x", x)
    radius = real(name, "max_value", max_value, shape=(), dtype=widest(x))
    needed = f"{name} needs max_value >= 0"
    right = demand(lambda r: r >= 0, needed + "; found {}; give a radius", radius)
    upper = jax.tree.map(lambda v: radius.astype(v.dtype), x)
    clipped = _clip(name, x, jax.tree.map(lambda r: -abs(r), upper), jax.tree.map(abs, upper))
    return jax.tree.map(lambda v: poisoned(v, right), clipped)


def kl_projection_non_negative(x: Any, hyperparams: Any = None) -> Any:
    r"""The Kullback-Leibler (Bregman) projection onto the orthant, :math:`\exp(x)`.

    The mirror map of the entropy takes the dual point x to :math:`\arg\max_{p \ge 0}
    \langle p, x\rangle - \sum_i p_i (\log p_i - 1)`.

    Args:
        x: pytree of arrays, the dual point.
        hyperparams: ignored.

    Returns:
        A pytree like x.

    Raises:
        ValueError: x is not floating-point or not finite.

    Source: Blondel et al., arXiv 2105.15183, appendix on Bregman projections.

    Example:
        >>> kl_projection_non_negative(jnp.array([0.0])).tolist()
        [1.0]
    """
    del hyperparams
    x = real_tree("kl_projection_non_negative", "x", x)
    return jax.tree.map(lambda v: poisoned(jnp.exp(v), finite(v)), x)
