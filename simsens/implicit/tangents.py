"""Tangents and cotangents of trees as vectors, and back.

What is no number (texts, keys, counters, ``None``) has neither.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from simsens.implicit.ravel import is_unknown, ravel


def numbers(tree: Any) -> Any:
    """The tree with ``None`` in the place of what is no unknown."""
    return jax.tree.map(lambda leaf: leaf if is_unknown(leaf) else None, tree)


def flat_tangents(primal: Any, tangent: Any, many: bool) -> Any:
    """Tangents of ``(args, kwargs)`` as a vector; zero where there is none."""
    (args, kwargs), (given, _) = primal, tangent
    filled = tuple(_filled(a, t, many) for a, t in zip(args, given))
    still = jax.tree.map(lambda a: jnp.zeros_like(a) if is_unknown(a) else None, kwargs)
    if not many:
        return ravel((filled, still))[0]
    count = max(len(leaf) for leaf in jax.tree.leaves(filled))
    rows = jax.vmap(lambda f: ravel((f, still))[0], in_axes=0)
    return rows(jax.tree.map(lambda f: jnp.broadcast_to(f, (count, *f.shape[1:])), filled))


def _filled(primal: Any, tangent: Any, many: bool) -> Any:
    leaves, treedef = _flatten(primal)
    if tangent is None:
        given: list[Any] = [None] * len(leaves)
    else:
        given = treedef.flatten_up_to(tangent)
    out: list[Any] = []
    for leaf, t in zip(leaves, given):
        if not is_unknown(leaf):
            out.append(None)
        elif t is None or getattr(t, "dtype", None) == jax.dtypes.float0:
            zero = jnp.zeros_like(leaf)
            out.append(zero[None] if many else zero)
        else:
            shape = np.shape(t)[1:] if many else np.shape(t)
            if shape != np.shape(leaf):
                raise ValueError(
                    f"a tangent must have the shape {np.shape(leaf)} of its argument"
                    f"{' after its leading axis' if many else ''}; got {np.shape(t)}"
                )
            out.append(jnp.asarray(t, dtype=jnp.result_type(leaf)))
    return jax.tree.unflatten(treedef, out)


def flat_cotangent(x: Any, cotangent: Any, many: bool) -> Any:
    """A cotangent of x as a vector; JAX pairs without conjugation, hence ``conj``."""
    leaves, treedef = _flatten(x)
    given = treedef.flatten_up_to(cotangent)
    for leaf, c in zip(leaves, given):
        if is_unknown(leaf) and (np.shape(c)[1:] if many else np.shape(c)) != leaf.shape:
            raise ValueError(
                f"the cotangent must have the shape {leaf.shape} of x"
                f"{' after its leading axis' if many else ''}; got {np.shape(c)}"
            )
    parts = [
        jnp.conj(jnp.asarray(c, dtype=leaf.dtype))
        for leaf, c in zip(leaves, given) if is_unknown(leaf)
    ]  # fmt: skip
    flatten = lambda parts: ravel(parts)[0]  # noqa: E731
    return jax.vmap(flatten)(parts) if many else flatten(parts)


def cotangents(args: tuple[Any, ...], pulled: Any, many: bool) -> tuple[Any, ...]:
    """A vector ``[p]`` (or rows) as cotangents of the arguments, which come first in it."""
    unravel = ravel(tuple(numbers(arg) for arg in args))[1]
    values = (jax.vmap(unravel) if many else unravel)(pulled[..., : _size(args)])
    values = iter(jax.tree.map(jnp.conj, jax.tree.leaves(values)))

    def back(leaf: Any) -> Any:
        if is_unknown(leaf):
            return next(values)
        if isinstance(leaf, (np.ndarray, jax.Array)):
            return np.zeros(leaf.shape, jax.dtypes.float0)
        return None

    return tuple(jax.tree.map(back, arg) for arg in args)


def _flatten(tree: Any) -> tuple[list[Any], Any]:
    return jax.tree.flatten(tree)


def _size(tree: Any) -> int:
    return int(ravel(numbers(tree))[0].size)
