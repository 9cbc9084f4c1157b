r"""Cheap approximations of the inverse, which make Krylov methods converge sooner.

A preconditioner is a linear function ``r -> M r`` on trees like the right-hand side. It may depend
on x and theta: solves are differentiated by the theorem, so no derivative passes through it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from simsens.implicit.linear_solve.solution import Product
from simsens.implicit.ravel import ravel

BATCH = 256  # columns of a matrix that are formed at once


def jacobi(diagonal: Any) -> Callable[[Any], Any]:
    """Division by the diagonal of A, given as a tree like the right-hand side.

    Zeros of the diagonal are left alone.

    Example:
        >>> jacobi(jnp.array([2.0, 4.0]))(jnp.array([2.0, 2.0])).tolist()
        [1.0, 0.5]
    """

    def divide(entry: Any, r: Any) -> Any:
        return r / jnp.where(entry == 0, 1, entry)

    return lambda r: jax.tree.map(divide, diagonal, r)


def block_jacobi(blocks: Any) -> Callable[[Any], Any]:
    """Solution with the diagonal blocks ``[..., m, m]`` of A, for right-hand sides ``[..., m]``.

    One block a particle of a structure, for instance. The blocks are factorised once.

    Example:
        >>> blocks = jnp.array([[[2.0, 0.0], [0.0, 4.0]]])
        >>> block_jacobi(blocks)(jnp.array([[2.0, 2.0]])).tolist()
        [[1.0, 0.5]]
    """
    inverse = jax.tree.map(jnp.linalg.inv, blocks)

    def apply(block: Any, r: Any) -> Any:
        return jnp.einsum("...ij,...j->...i", block, r)

    return lambda r: jax.tree.map(apply, inverse, r)


def diagonal_of(matvec: Product, like: Any) -> Any:
    """The diagonal of A as a tree like ``like``, from n products in batches.

    Example:
        >>> diagonal_of(lambda v: jnp.array([[2.0, 1.0], [1.0, 4.0]]) @ v, jnp.ones(2)).tolist()
        [2.0, 4.0]
    """
    vector, unravel = ravel(like)
    n = vector.size

    def entry(k: Any) -> Any:
        unit = jnp.zeros(n, vector.dtype).at[k].set(1)
        return ravel(matvec(unravel(unit)))[0][k]

    return unravel(jax.lax.map(entry, jnp.arange(n), batch_size=min(n, BATCH)))
