r"""Spheres and balls of the l1 and l2 norms (the l-infinity ball is a box).

On the l2 sphere the projection is :math:`r u` with the direction :math:`u = x / \|x\|`, and

.. math:: \dot u = (I - u u^T)\, \dot x / \|x\|, \qquad \dot{\|x\|} = u^T \dot x .

Norms are taken of x divided by its largest entry, so nothing under- or overflows. On the l1 sphere
the absolute values are projected onto the simplex. A ball leaves its inside alone.

At the kinks: on the sphere a point counts as inside its ball (derivative: the identity in x). The
centre has no nearest point on the l2 sphere but all of them: its direction is taken to be along
(1, ..., 1) and not to move with x. On the l1 sphere a coordinate that is zero counts as positive.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree

from simsens.projection.feasibility import (
    all_finite,
    demand,
    poisoned,
    real,
    real_tree,
    real_vector,
    widest,
)
from simsens.projection.simplex import threshold


@jax.custom_jvp
def norm(x: jax.Array) -> jax.Array:
    """The Euclidean norm of x [n], smooth but at zero, where its gradient is a unit vector."""
    largest = jnp.max(jnp.abs(x), initial=0.0)
    scale = jnp.where(largest > 0, largest, jnp.ones_like(largest))
    return largest * jnp.sqrt(jnp.sum((x / scale) ** 2))


@norm.defjvp
def _norm_jvp(primals: Any, tangents: Any) -> Any:
    (x,), (dx,) = primals, tangents
    return norm(x), direction(x) @ dx


@jax.custom_jvp
def direction(x: jax.Array) -> jax.Array:
    """The unit vector x / |x|; at zero (1, ..., 1) / sqrt(n), without derivative."""
    x = jnp.where(norm(x) > 0, x, jnp.ones_like(x))
    return x / norm(x)


@direction.defjvp
def _direction_jvp(primals: Any, tangents: Any) -> Any:
    (x,), (dx,) = primals, tangents
    u, length = direction(x), norm(x)
    zero = length == 0
    length = jnp.where(zero, jnp.ones_like(length), length)
    across = (dx - u * (u @ dx)) / length
    return u, jnp.where(zero, jnp.zeros_like(across), across)


def _flat(function: str, name: str, x: Any, radius: Any) -> tuple[Any, Any, Any, Any]:
    """The point as one vector, the way back, the radius, and whether all is well."""
    x = real_tree(function, "x", x)
    radius = real(function, name, radius, shape=(), dtype=widest(x))
    right = _radius(function, name, radius)
    dtype = radius.dtype
    flat, back = ravel_pytree(jax.tree.map(lambda v: jnp.asarray(v).astype(dtype), x))
    dtypes = jax.tree.map(lambda v: v.dtype, x)

    def unravel(vector: jax.Array) -> Any:
        return jax.tree.map(lambda v, d: v.astype(d), back(vector), dtypes)

    return flat, unravel, jnp.asarray(radius), (right, all_finite(x))


def _radius(function: str, name: str, radius: Any) -> Any:
    message = f"{function} needs {name} >= 0; found {{}}; give a radius"
    return demand(lambda r: (r >= 0) & (r < jnp.inf), message, radius)


def projection_l2_sphere(x: Any, value: float = 1.0) -> Any:
    r"""The nearest point at the distance ``value`` from the origin.

    .. math:: \arg\min_y \|x - y\|_2^2 \quad\text{subject to}\quad \|y\|_2 = r;
              \qquad y = r\, x / \|x\|_2

    Args:
        x: pytree of arrays, taken together as one vector.
        value: the radius r.

    Returns:
        A pytree like x; for x = 0 the point along (1, ..., 1), with derivative 0 in x.

    Raises:
        ValueError: r < 0 (NaN when traced), integers, not finite.

    Source: Parikh and Boyd, Proximal Algorithms (2014), 6.5.1.

    Example:
        >>> y = projection_l2_sphere(jnp.array([3.0, 4.0]), 10.0)
        >>> bool(jnp.allclose(y, jnp.array([6.0, 8.0])))
        True
    """
    flat, unravel, radius, well = _flat("projection_l2_sphere", "value", x, value)
    return unravel(poisoned(radius * direction(flat), *well))


def projection_l2_ball(x: Any, max_value: float = 1.0) -> Any:
    r"""The nearest point at most ``max_value`` from the origin.

    .. math:: \arg\min_y \|x - y\|_2^2 \quad\text{subject to}\quad \|y\|_2 \le r;
              \qquad y = x \min(1, r / \|x\|_2)

    Args:
        x: pytree of arrays, taken together as one vector.
        max_value: the radius r.

    Returns:
        A pytree like x; a point on the sphere counts as inside (derivative: the identity).

    Raises:
        ValueError: r < 0 (NaN when traced), integers, not finite.

    Source: Parikh and Boyd, Proximal Algorithms (2014), 6.5.1.

    Example:
        >>> bool(jnp.allclose(projection_l2_ball(jnp.array([3.0, 4.0])), jnp.array([0.6, 0.8])))
        True
    """
    flat, unravel, radius, well = _flat("projection_l2_ball", "max_value", x, max_value)
    inside = (norm(flat) <= radius) & (radius > 0)
    return unravel(poisoned(jnp.where(inside, flat, radius * direction(flat)), *well))


def _l1_sphere(x: jax.Array, radius: jax.Array) -> jax.Array:
    sign = jnp.where(x < 0, -jnp.ones_like(x), jnp.ones_like(x))
    return sign * threshold(sign * x, radius)


def _l1(function: str, name: str, x: Any, radius: Any) -> tuple[Any, Any, Any]:
    x = real_vector(function, "x", x)
    radius = real(function, name, radius, shape=(), dtype=x.dtype)
    right = _radius(function, name, radius)
    return jnp.asarray(x), jnp.asarray(radius), (right, all_finite(x))


def projection_l1_sphere(x: Any, value: float = 1.0) -> jax.Array:
    r"""The nearest point whose absolute values sum to ``value``.

    .. math:: \arg\min_y \|x - y\|_2^2 \quad\text{subject to}\quad \|y\|_1 = r;
              \qquad y = \mathrm{sign}(x) \circ \mathrm{proj}_{\mathrm{simplex}}(|x|, r)

    Args:
        x: [n].
        value: the radius r.

    Returns:
        y [n]. A zero coordinate counts as positive (inside the sphere both signs are nearest).

    Raises:
        ValueError: r < 0 (NaN when traced), integers, not finite, not a vector.

    Source: Duchi et al., ICML 2008.

    Example:
        >>> projection_l1_sphere(jnp.array([1.0, -2.0])).tolist()
        [0.0, -1.0]
    """
    x, radius, well = _l1("projection_l1_sphere", "value", x, value)
    return poisoned(_l1_sphere(x, radius), *well)


def projection_l1_ball(x: Any, max_value: float = 1.0) -> jax.Array:
    r"""The nearest point whose absolute values sum to at most ``max_value``.

    .. math:: \arg\min_y \|x - y\|_2^2 \quad\text{subject to}\quad \|y\|_1 \le r

    Args:
        x: [n].
        max_value: the radius r.

    Returns:
        y [n]; a point on the sphere counts as inside (derivative: the identity).

    Raises:
        ValueError: r < 0 (NaN when traced), integers, not finite, not a vector.

    Source: Duchi et al., ICML 2008.

    Example:
        >>> projection_l1_ball(jnp.array([0.25, -0.5])).tolist()
        [0.25, -0.5]
    """
    x, radius, well = _l1("projection_l1_ball", "max_value", x, max_value)
    inside = (jnp.sum(jnp.abs(x)) <= radius) & (radius > 0)
    return poisoned(jnp.where(inside, x, _l1_sphere(x, radius)), *well)
