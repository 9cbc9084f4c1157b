r"""Linear systems with a symmetric matrix, perhaps singular, solved with evidence.

Solvers take a product ``v -> A v`` and a right-hand side ``b [n]``, never a function to invert
blindly: each returns the *true* relative residual, recomputed at the end. Tolerances are relative
and there is no absolute one, so a right-hand side of 1e-12 is solved as well as one of 1.

A singular A is the rule in mechanics (translations, rattlers). Conjugate gradients started at zero
stay in the range of A when b lies in it, which makes their answer the pseudo-inverse's; components
on known null vectors are projected out. The dense solver drops them by their eigenvalues.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

DENSE_LIMIT = 1500  # unknowns up to which a dense factorisation beats iterating
NULL = 1e-10  # eigenvalues below this fraction of the largest count as zero
SOLVED = 1e-8  # the largest true relative residual that a direct solve may leave

Product = Callable[[Any], Any]


@dataclass(frozen=True)
class LinearSolution:
    """A solution with its evidence; a frozen pytree.

    Attributes:
        value: ``[n]`` the solution.
        residual: true relative residual ``|b - A x| / |b|``, b taken without null components.
        iterations: products spent, 0 for a factorisation.
        converged: whether the tolerance, or the floor that rounding sets, was reached.
    """

    value: Any
    residual: Any
    iterations: Any
    converged: Any


jax.tree_util.register_dataclass(
    LinearSolution, data_fields=["value", "residual", "iterations", "converged"], meta_fields=[]
)


def conjugate_gradient(
    product: Product,
    b: Any,
    *,
    null_space: Any = None,
    tolerance: float = 1e-12,
    max_iterations: int | None = None,
) -> LinearSolution:
    r"""Projected conjugate gradients for a symmetric positive semidefinite A.

    The recurrence's residual drifts from the true one; whenever it claims convergence the true
    residual is formed and the iteration restarted from it, until it holds or no longer falls.

    Args:
        product: ``v -> A v``.
        b: ``[n]`` right-hand side.
        null_space: ``[k, n]`` orthonormal rows to project out, or ``None``.
        tolerance: relative residual aimed at.
        max_iterations: ``20 n`` by default.

    Returns:
        A solution; ``converged`` is false when the budget ran out or a direction of negative
        curvature was met (A is not semidefinite).

    Example:
        >>> s = conjugate_gradient(lambda v: jnp.array([2.0, 4.0]) * v, jnp.array([2.0, 2.0]))
        >>> [round(float(v), 6) for v in s.value], bool(s.converged)
        ([1.0, 0.5], True)
    """
    n = b.shape[0]
    budget = 20 * n + 100 if max_iterations is None else max_iterations
    # Rounding leaves a residual of about eps |A| |x|; |A| is seen as the largest curvature met.
    eps = float(jnp.finfo(b.dtype).eps)
    project = _projector(null_space)
    b = project(b)
    scale = jnp.linalg.norm(b)
    unit = b / jnp.where(scale > 0, scale, 1)

    def iterate(state: Any) -> Any:
        x, r, p, rho, count, top, _ = state
        ap = project(product(p))
        curvature = jnp.vdot(p, ap)
        length = jnp.vdot(p, p)
        indefinite = curvature <= -eps * top * length
        step = jnp.where(curvature > 0, rho / jnp.where(curvature > 0, curvature, 1), 0)
        x, r = x + step * p, r - step * ap
        new = jnp.vdot(r, r)
        p = r + new / jnp.where(rho > 0, rho, 1) * p
        top = jnp.maximum(top, jnp.abs(curvature) / jnp.where(length > 0, length, 1))
        return x, r, p, new, count + 1, top, indefinite | (curvature <= 0)

    def going(state: Any) -> Any:
        _, _, _, rho, count, _, broken = state
        return (jnp.sqrt(rho) > tolerance) & (count < budget) & ~broken

    def restart(state: Any) -> Any:
        x, _, _, count, top, broken, _, last = state
        r = project(unit - product(x))
        rho = jnp.vdot(r, r)
        x, r, _, _, count, top, broken = lax.while_loop(
            going, iterate, (x, r, r, rho, count, top, broken)
        )
        true = jnp.linalg.norm(project(unit - product(x)))
        return x, r, true, count, top, broken, true < 0.5 * last, true

    def unfinished(state: Any) -> Any:
        _, _, true, count, _, broken, falling, _ = state
        return (true > tolerance) & (count < budget) & ~broken & falling

    zero, inf = jnp.zeros_like(unit), jnp.full((), jnp.inf, b.dtype)
    start = (zero, unit, inf, jnp.asarray(0), jnp.zeros((), b.dtype), False, True, inf)
    start = jax.tree.map(jnp.asarray, start)
    x, _, true, count, top, broken, _, _ = lax.while_loop(unfinished, restart, start)
    floor = 100 * eps * top * jnp.linalg.norm(x)
    return LinearSolution(
        x * scale, true, count, ~broken & (true <= jnp.maximum(10 * tolerance, floor))
    )


@dataclass(frozen=True)
class Spectrum:
    """A factorised symmetric matrix; a frozen pytree of NumPy or JAX arrays.

    A concrete matrix stays in NumPy: LAPACK is called directly and nothing needs compiling.

    Attributes:
        eigenvalues: ``[n]`` ascending.
        eigenvectors: ``[n, n]`` in columns.
    """

    eigenvalues: Any
    eigenvectors: Any

    def kept(self) -> Any:
        """Mask of the eigenvalues that are not zero."""
        size = abs(self.eigenvalues)
        return size > null_fraction(size.dtype, len(size)) * size.max()

    def solve(self, b: Any) -> Any:
        """The minimum-norm least-squares solution of ``A x = b``, for ``b [..., n]``."""
        kept, xp = self.kept(), _library(self.eigenvalues)
        inverse = kept / xp.where(kept, self.eigenvalues, 1)
        return (b @ self.eigenvectors * inverse) @ self.eigenvectors.T


jax.tree_util.register_dataclass(
    Spectrum, data_fields=["eigenvalues", "eigenvectors"], meta_fields=[]
)


def null_fraction(dtype: Any, n: int) -> float:
    """The size, relative to the largest, up to which an eigenvalue counts as zero."""
    return max(NULL, 10 * n * float(jnp.finfo(dtype).eps))


def factorise(matrix: Any) -> Spectrum:
    """Eigenvalues and eigenvectors of a symmetric ``[n, n]`` matrix."""
    return Spectrum(*_library(matrix).linalg.eigh((matrix + matrix.T) / 2))


def _library(array: Any) -> Any:
    return np if isinstance(array, np.ndarray) else jnp


def materialise(product: Product, n: int, dtype: Any) -> Any:
    """The matrix ``[n, n]`` of a linear product, column by column."""
    return jax.vmap(product, out_axes=1)(jnp.eye(n, dtype=dtype))


def dense_symmetric(product: Product, b: Any, *, null_space: Any = None) -> LinearSolution:
    """Pseudo-inverse by the eigenvalues of the dense matrix, off the null space; refined once.

    Example:
        >>> s = dense_symmetric(lambda v: jnp.array([2.0, 0.0]) * v, jnp.array([1.0, 5.0]))
        >>> [round(float(v), 6) for v in s.value]
        [0.5, 0.0]
    """
    project = _projector(null_space)

    def projected(v: Any) -> Any:
        return project(product(project(v)))

    spectrum = factorise(materialise(projected, b.shape[0], b.dtype))
    return refined(spectrum, projected, project(b))


def refined(spectrum: Spectrum, product: Product, b: Any) -> LinearSolution:
    """Solve for ``b [..., n]`` with a factorisation, and once more for what the residual holds."""
    xp, kept = _library(b), spectrum.kept()

    def in_range(v: Any) -> Any:
        return (v @ spectrum.eigenvectors * kept) @ spectrum.eigenvectors.T

    b = in_range(b)
    x = spectrum.solve(b)
    x = x + spectrum.solve(b - product(x))
    scale = xp.linalg.norm(b, axis=-1)
    residual = xp.linalg.norm(in_range(b - product(x)), axis=-1) / xp.where(scale > 0, scale, 1)
    return LinearSolution(x, residual, xp.zeros(scale.shape, int), residual < SOLVED)


def symmetric(product: Product, b: Any, *, null_space: Any = None) -> LinearSolution:
    """Dense up to ``DENSE_LIMIT`` unknowns, projected conjugate gradients beyond."""
    if b.shape[0] <= DENSE_LIMIT:
        return dense_symmetric(product, b, null_space=null_space)
    return conjugate_gradient(product, b, null_space=null_space)


def dense(product: Product, b: Any) -> LinearSolution:
    """LU factorisation of a matrix without structure."""
    matrix = materialise(product, b.shape[0], b.dtype)
    x = jnp.linalg.solve(matrix, b)
    scale = jnp.linalg.norm(b)
    residual = jnp.linalg.norm(b - matrix @ x) / jnp.where(scale > 0, scale, 1)
    return LinearSolution(x, residual, jnp.asarray(0), residual < SOLVED)


def differentiable_solve(
    solver: Callable[[Product, Any], LinearSolution], product: Product, b: Any, symmetric: bool
) -> Any:
    """The solution as a differentiable function of the product and b; NaN when it failed.

    One ``lax.custom_linear_solve``: autodiff never walks through the solver, the transposed
    system is solved by the same solver, and derivatives of any order and mode follow.
    """

    def value(operator: Product, rhs: Any) -> Any:
        solution = solver(operator, rhs)
        return jnp.where(solution.converged, solution.value, jnp.nan)

    return lax.custom_linear_solve(
        product, b, solve=value, transpose_solve=value, symmetric=symmetric
    )


def _projector(null_space: Any) -> Callable[[Any], Any]:
    if null_space is None:
        return lambda v: v
    return partial(_remove, null_space)


def _remove(rows: Any, v: Any) -> Any:
    return v - (v @ rows.T) @ rows
