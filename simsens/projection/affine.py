r"""Hyperplanes, half-spaces and affine sets.

.. math:: \mathrm{proj}(x) = x - A^+ (A x - b)

is the nearest point of :math:`\{A y = b\}`, with the pseudo-inverse :math:`A^+`, so that redundant
rows of A do no harm. The formula is smooth in x, A and b as long as the rank of A stays, and
autodiff of it (with Golub and Pereyra's rule for :math:`A^+`) is the derivative in all orders.
Where rows are redundant only such changes of A and b make sense that keep the system solvable; of
others the derivative follows the least-squares part.

Rows may come in any units: each is divided by its largest entry first.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from simsens.projection.feasibility import (
    all_finite,
    demand,
    known,
    parts,
    poisoned,
    real,
    real_tree,
    real_vector,
    same_tree,
    widest,
)


def _normal(function: str, x: Any, hyperparams: Any) -> tuple[Any, Any, Any, Any, list[Any]]:
    """x, a of the order of one, how far a x exceeds b, |a|^2, and whether all is well."""
    a, b = parts(function, "a, b", hyperparams)
    x = real_tree(function, "x", x)
    same_tree(function, "a", a, x)
    dtype = widest(x)

    def leaf(path: Any, value: Any, like: Any) -> Any:
        called = "a" + jax.tree_util.keystr(path)
        return real(function, called, value, shape=like.shape, dtype=like.dtype)

    a = jax.tree_util.tree_map_with_path(leaf, a, x)
    b = real(function, "b", b, shape=(), dtype=dtype)
    well = [all_finite((x, a, b))]
    leaves = [jnp.asarray(v).astype(dtype) for v in jax.tree.leaves(a)]
    size = jnp.max(jnp.stack([jnp.max(jnp.abs(v), initial=0.0) for v in leaves]))
    message = f"{function} needs a normal a that is not zero; found a = 0; give another one"
    if all(map(known, jax.tree.leaves(a))):
        demand(lambda *vs: sum(abs(v).sum() for v in vs) > 0, message, *jax.tree.leaves(a))
    else:
        well.append(size > 0)
    # The set does not change when a and b are divided by the same number, which is thus held.
    size = lax.stop_gradient(jnp.where(size > 0, size, jnp.ones_like(size)))
    leaves = [v / size for v in leaves]
    points = [jnp.asarray(v).astype(dtype) for v in jax.tree.leaves(x)]
    excess = sum(jnp.vdot(u, v) for u, v in zip(leaves, points)) - b / size
    square = sum(jnp.vdot(v, v) for v in leaves)
    square = jnp.where(jnp.asarray(square) > 0, square, jnp.ones_like(square))
    return x, jax.tree.unflatten(jax.tree.structure(x), leaves), excess, square, well


def _step(x: Any, a: Any, scale: Any, well: list[Any]) -> Any:
    return jax.tree.map(lambda v, n: poisoned(v - (scale * n).astype(v.dtype), *well), x, a)


def projection_hyperplane(x: Any, hyperparams: tuple[Any, Any]) -> Any:
    r"""The nearest point with :math:`a^T y = b`.

    .. math:: y = x - \frac{a^T x - b}{a^T a}\, a

    Args:
        x: pytree of arrays, taken together as one vector.
        hyperparams: ``(a, b)``: a pytree like x, and a number.

    Returns:
        A pytree like x.

    Raises:
        ValueError: a = 0 (NaN when traced), integers, not finite, structures or shapes differ.

    Source: Parikh and Boyd, Proximal Algorithms (2014), 6.2.1.

    Example:
        >>> projection_hyperplane(jnp.array([1.0, 1.0]), (jnp.array([0.0, 2.0]), 3.0)).tolist()
        [1.0, 1.5]
    """
    x, a, excess, square, well = _normal("projection_hyperplane", x, hyperparams)
    return _step(x, a, excess / square, well)


def projection_halfspace(x: Any, hyperparams: tuple[Any, Any]) -> Any:
    r"""The nearest point with :math:`a^T y \le b`.

    .. math:: y = x - \frac{\max(a^T x - b, 0)}{a^T a}\, a

    Args:
        x: pytree of arrays, taken together as one vector.
        hyperparams: ``(a, b)``: a pytree like x, and a number.

    Returns:
        A pytree like x; a point on the boundary counts as inside (derivative: the identity).

    Raises:
        ValueError: a = 0 (NaN when traced), integers, not finite, structures or shapes differ.

    Source: Parikh and Boyd, Proximal Algorithms (2014), 6.2.3.

    Example:
        >>> projection_halfspace(jnp.array([1.0, 1.0]), (jnp.array([0.0, 2.0]), 3.0)).tolist()
        [1.0, 1.0]
    """
    x, a, excess, square, well = _normal("projection_halfspace", x, hyperparams)
    return _step(x, a, jnp.where(excess > 0, excess, jnp.zeros_like(excess)) / square, well)


def rows_of_one(A: jax.Array, b: jax.Array) -> tuple[jax.Array, jax.Array]:
    """The same rows, each divided by its largest entry; rows of zeros stay."""
    size = lax.stop_gradient(jnp.max(jnp.abs(A), axis=1, initial=0.0))
    size = jnp.where(size > 0, size, jnp.ones_like(size))
    return A / size[:, None], b / size


@jax.jit
def onto_rows(x: jax.Array, A: jax.Array, b: jax.Array) -> tuple[jax.Array, jax.Array]:
    """The nearest point of {A y = b} for x [n], A [m, n], b [m], and whether it is one."""
    if A.shape[0] == 0:
        return x, jnp.array(True)
    A, b = rows_of_one(A, b)
    inverse = jnp.linalg.pinv(A)
    y = x - inverse @ (A @ x - b)
    # A second step removes the rounding of the first and has no derivative of its own.
    y = y - lax.stop_gradient(inverse @ (A @ y - b))
    size = jnp.abs(A) @ jnp.abs(y) + jnp.abs(b) + jnp.abs(A) @ jnp.abs(x)
    slack = jnp.sqrt(jnp.finfo(x.dtype).eps).astype(x.dtype)
    return y, jnp.all(jnp.abs(A @ y - b) <= slack * size)


def equations(function: str, names: str, A: Any, b: Any, x: Any) -> tuple[Any, Any]:
    """A [m, n] and b [m] for x [n], checked."""
    first, second = names.split(", ")
    A = real(function, first, A, ndim=2, dtype=x.dtype)
    if A.shape[1] != x.shape[0]:
        raise ValueError(
            f"{function} needs {first} with {x.shape[0]} columns, one for each element of x; "
            f"found shape {A.shape}; transpose or cut it"
        )
    return A, real(function, second, b, shape=A.shape[:1], dtype=x.dtype, infinite=second == "h")


def projection_affine_set(x: Any, hyperparams: tuple[Any, Any]) -> jax.Array:
    r"""The nearest point with :math:`A y = b`.

    .. math:: y = x - A^+ (A x - b)

    Args:
        x: [n].
        hyperparams: ``(A, b)``: [m, n] and [m]; rows may be redundant, and in any units.

    Returns:
        y [n].

    Raises:
        ValueError: A y = b has no solution, by more than the square root of the precision (NaN
            when traced); integers, not finite, wrong shapes.

    Source: Parikh and Boyd, Proximal Algorithms (2014), 6.2.1; Golub and Pereyra (1973).

    Example:
        >>> A, b = jnp.array([[1.0, 1.0], [2.0, 2.0]]), jnp.array([1.0, 2.0])  # twice the same
        >>> projection_affine_set(jnp.array([1.0, 1.0]), (A, b)).round(12).tolist()
        [0.5, 0.5]
    """
    name = "projection_affine_set"
    A, b = parts(name, "A, b", hyperparams)
    x = real_vector(name, "x", x)
    A, b = equations(name, "A, b", A, b, x)
    y, solved = onto_rows(x, A, b)
    message = f"{name} needs equations A y = b that have a solution; found none; check A and b"
    return poisoned(y, demand(lambda s: s, message, solved), all_finite((x, A, b)))
