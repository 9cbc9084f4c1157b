r"""Dense solves: factorise the matrix once, solve for many right-hand sides and for the transpose.

A regular matrix is balanced (its rows and columns scaled, so that unknowns in different units do
not look like a singular matrix) and factorised by LU, or by Cholesky when it is
known to be definite. Pivots that nearly vanish mean that it may be singular: only then is its
pseudo-inverse formed, from eigenvalues when it is symmetric and from singular values otherwise,
whose answer is the one of minimum norm; it is refined once, since a pseudo-inverse is less accurate
than factors. What no answer can match is left in the true residual, and told.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.lax.linalg import lu, triangular_solve

from simsens.implicit.linear_solve.solution import (
    LinearSolution,
    Product,
    on_vectors,
    projector,
    ratio,
    solved,
)

DENSE_LIMIT = 1500  # unknowns up to which a dense factorisation beats iterating
NULL = 1e-10  # eigenvalues below this fraction of the largest count as zero
SUSPECT = 1e-9  # pivots below this fraction of the largest ask for a look at the spectrum


def null_fraction(dtype: Any, n: int) -> float:
    """The size, relative to the largest, up to which an eigenvalue counts as zero."""
    return max(NULL, 10 * n * float(jnp.finfo(dtype).eps))


def materialise(product: Product, n: int, dtype: Any) -> Any:
    """The matrix ``[n, n]`` of a linear product, column by column."""
    return jax.vmap(product, out_axes=1)(jnp.eye(n, dtype=dtype))


@dataclass(frozen=True)
class Factorisation:
    """A factorised square matrix; a frozen pytree.

    Attributes:
        matrix: ``[n, n]`` the matrix itself.
        factor: its LU or Cholesky factors, balanced.
        order: ``[n]`` the rows of the matrix in the order of the LU factors.
        left, right: ``[n]`` the scales that balance it.
        inverse: ``[n, n]`` the pseudo-inverse where the matrix is singular, else zeros.
        singular: whether it is.
        cholesky: whether ``factor`` is a Cholesky factor.
    """

    matrix: Any
    factor: Any
    order: Any
    left: Any
    right: Any
    inverse: Any
    singular: Any
    cholesky: bool = False

    def solve(self, b: Any, transposed: bool = False) -> LinearSolution:
        """Solve ``A x = b`` for ``b [n]`` or rows ``[m, n]``.

        Args:
            b: right-hand sides.
            transposed: solve with the transpose instead.
        """
        product = (lambda v: v @ self.matrix) if transposed else (lambda v: v @ self.matrix.T)

        def refine(state: Any) -> Any:
            _, x = state
            return jnp.zeros_like(self.singular), x + self._once(b - product(x), transposed)

        start = (self.singular, self._once(b, transposed))
        x = lax.while_loop(lambda state: state[0], refine, start)[1]
        size = jnp.linalg.norm(b, axis=-1)
        residual = ratio(jnp.linalg.norm(b - product(x), axis=-1), size)
        eps = float(jnp.finfo(self.matrix.dtype).eps)
        reached = eps * jnp.linalg.norm(self.matrix) * jnp.linalg.norm(x, axis=-1)
        floor = jnp.where(self.singular, 0, 10 * ratio(reached, size))
        fine = residual <= jnp.maximum(solved(self.matrix.dtype), floor)
        return LinearSolution(x, residual, jnp.zeros(size.shape, int), fine)

    def _once(self, b: Any, transposed: bool) -> Any:
        before, after = (self.right, self.left) if transposed else (self.left, self.right)
        columns = (b * before).T
        x = self._substituted(columns if columns.ndim == 2 else columns[:, None], transposed)
        x = x.T if columns.ndim == 2 else x[:, 0]
        inverse = self.inverse if transposed else self.inverse.T
        return jnp.where(self.singular, b @ inverse, x * after)

    def _substituted(self, b: Any, transposed: bool) -> Any:
        """Forward and backward substitution for columns ``[n, m]``."""
        lower = functools.partial(triangular_solve, self.factor, left_side=True, lower=True)
        upper = functools.partial(triangular_solve, self.factor, left_side=True)
        if self.cholesky:
            return lower(lower(b), transpose_a=True)
        if not transposed:
            return upper(lower(b[self.order], unit_diagonal=True))
        x = lower(upper(b, transpose_a=True), transpose_a=True, unit_diagonal=True)
        return jnp.zeros_like(x).at[self.order].set(x)


jax.tree_util.register_dataclass(
    Factorisation,
    data_fields=["matrix", "factor", "order", "left", "right", "inverse", "singular"],
    meta_fields=["cholesky"],
)


def factorised(matrix: Any, symmetric: bool = False, definite: bool = False) -> Factorisation:
    """Factorise a square ``[n, n]`` matrix, singular or not.

    Example:
        >>> known = factorised(jnp.array([[0.0, 2.0], [1.0, 0.0]]))
        >>> [float(v) for v in known.solve(jnp.array([2.0, 3.0])).value]
        [3.0, 1.0]
        >>> [float(v) for v in known.solve(jnp.array([2.0, 3.0]), transposed=True).value]
        [1.5, 2.0]
    """
    left, right = _balance(matrix, symmetric)
    balanced = left[:, None] * matrix * right
    if definite:
        factor, order = jnp.linalg.cholesky(balanced), jnp.arange(len(matrix))
        diagonal = jnp.diagonal(factor) ** 2
    else:
        factor, _, order = lu(balanced)
        diagonal = jnp.abs(jnp.diagonal(factor))
    suspect = ~(jnp.min(diagonal) > SUSPECT * jnp.max(diagonal))  # NaN is suspect too
    singular, inverse = when_needed(suspect, lambda: _pseudo_inverse(matrix, symmetric), matrix)
    factor = jnp.where(singular, jnp.eye(len(matrix), dtype=matrix.dtype), factor)
    return Factorisation(matrix, factor, order, left, right, inverse, singular, definite)


def _balance(matrix: Any, symmetric: bool) -> tuple[Any, Any]:
    """Scales that bring the largest entry of every row and column near one (Ruiz)."""
    size = jnp.abs(matrix)

    def halve(_: int, scales: Any) -> Any:
        left, right = scales
        now = left[:, None] * size * right
        rows = left * _inverse_root(jnp.max(now, axis=1))
        return rows, rows if symmetric else right * _inverse_root(jnp.max(now, axis=0))

    one = jnp.ones(len(matrix), matrix.dtype)
    return lax.fori_loop(0, 3, halve, (one, one))


def _inverse_root(size: Any) -> Any:
    usable = (size > 0) & jnp.isfinite(size)
    return jnp.where(usable, lax.rsqrt(jnp.where(usable, size, 1)), 1)


def when_needed(needed: Any, compute: Callable[[], Any], like: Any) -> tuple[Any, Any]:
    """``(needed, compute() or zeros)``, by a loop of one pass or none.

    Under ``vmap`` a condition would always compute; a loop does so only if a member needs it.
    """

    def once(state: Any) -> Any:
        return jnp.zeros_like(needed), compute()

    start = (needed, jnp.zeros_like(like))
    return needed, lax.while_loop(lambda state: state[0], once, start)[1]


def _pseudo_inverse(matrix: Any, symmetric: bool) -> Any:
    if symmetric:
        values, u = jnp.linalg.eigh((matrix + matrix.T) / 2)
        vt = u.T
    else:
        u, values, vt = jnp.linalg.svd(matrix)
    size = jnp.abs(values)
    kept = size > null_fraction(matrix.dtype, len(matrix)) * jnp.max(size)
    return (vt.T * jnp.where(kept, 1 / jnp.where(kept, values, 1), 0)) @ u.T


def _direct(
    product: Product, b: Any, symmetric: bool, definite: bool, null_space: Any = None
) -> LinearSolution:
    project = projector(null_space)
    matrix = materialise(lambda v: project(product(project(v))), len(b), b.dtype)
    if null_space is not None:
        # Lifting the null space to the size of the matrix makes a regular one, whose solution has
        # no null components because the right-hand side has none.
        matrix = matrix + jnp.max(jnp.abs(matrix)) * (null_space.T @ null_space)
    within = project(b)
    found = factorised(matrix, symmetric, definite).solve(within)
    lost = ratio(jnp.linalg.norm(b - within), jnp.linalg.norm(b))
    return replace(found, value=project(found.value), discarded=lost)


@on_vectors
def solve_lu(product: Product, b: Any) -> LinearSolution:
    """Solve by LU factorisation of the materialised matrix; minimum norm when it is singular.

    For any square matrix of up to a few thousand unknowns.

    Example:
        >>> solution = solve_lu(lambda v: jnp.array([[0.0, 2.0], [1.0, 0.0]]) @ v, jnp.ones(2))
        >>> [float(v) for v in solution.value], bool(solution.converged)
        ([1.0, 0.5], True)
    """
    return _direct(product, b, symmetric=False, definite=False)


@on_vectors
def solve_symmetric(product: Product, b: Any, *, null_space: Any = None) -> LinearSolution:
    """As ``solve_lu`` for a symmetric matrix: the pseudo-inverse comes from eigenvalues.

    Args:
        product: ``v -> A v``.
        b: right-hand side.
        null_space: ``[k, n]`` orthonormal rows, or rows of zeros, that are projected out.

    Example:
        >>> flat = solve_symmetric(lambda v: jnp.array([2.0, 0.0]) * v, jnp.array([1.0, 0.0]))
        >>> [float(v) for v in flat.value], bool(flat.converged)
        ([0.5, 0.0], True)
        >>> bool(solve_symmetric(lambda v: jnp.array([2.0, 0.0]) * v, jnp.ones(2)).converged)
        False
    """
    return _direct(product, b, symmetric=True, definite=False, null_space=null_space)


@on_vectors
def solve_cholesky(product: Product, b: Any, *, null_space: Any = None) -> LinearSolution:
    """Solve by Cholesky factorisation; a matrix that is not definite goes by its eigenvalues.

    Example:
        >>> solution = solve_cholesky(lambda v: jnp.array([2.0, 4.0]) * v, jnp.ones(2))
        >>> [round(float(v), 12) for v in solution.value]
        [0.5, 0.25]
    """
    return _direct(product, b, symmetric=True, definite=True, null_space=null_space)


@on_vectors
def solve_lstsq(product: Product, b: Any) -> LinearSolution:
    """The least-squares solution of minimum norm, by singular values, whatever its residual.

    The one solver that accepts a system without solution; how far it is from one stands in the
    residual, and counts in a certificate.

    Example:
        >>> solution = solve_lstsq(lambda v: jnp.array([2.0, 0.0]) * v, jnp.ones(2))
        >>> [round(float(v), 12) for v in solution.value], round(float(solution.residual), 6)
        ([0.5, 0.0], 0.707107)
    """
    matrix = materialise(product, len(b), b.dtype)
    inverse = _pseudo_inverse(matrix, symmetric=False)
    x = inverse @ b
    x = x + inverse @ (b - matrix @ x)
    residual = ratio(jnp.linalg.norm(b - matrix @ x), jnp.linalg.norm(b))
    return LinearSolution(x, residual, jnp.asarray(0), jnp.isfinite(residual))
