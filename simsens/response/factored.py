r"""The Hessian of a pair potential, factorised when a derivative asks for it.

A small one is assembled from the stiffness of the pairs, which is hundreds of times quicker than
from products with unit vectors, and factorised by Cholesky.

In two dimensions a sparse factor of the Hessian fills in little, and one costs less than the
hundreds of products that conjugate gradients take. It needs NumPy and SciPy, so that under a trace
it is a callback: given the stiffness of the pairs and right-hand sides, it hands back solutions
with their true residuals. A batch of right-hand sides shares one factor.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from simsens.implicit.linear_solve import LinearSolution, factorised
from simsens.implicit.linear_solve.dense import Factorisation, null_fraction, when_needed
from simsens.implicit.linear_solve.solution import projector, solved
from simsens.implicit.sparse_factor import Singular, SparseFactor
from simsens.particles import pair
from simsens.particles.neighbors import NeighborList
from simsens.particles.system import System
from simsens.response import hessian

FLOPPY = 1e-7  # of the largest curvature, lifts modes that nothing holds
RANKS = (4, 2, 2, 1, 2, 0)  # of what makes a matrix, without the axes of a batch
REFINED = 3  # times, after which such a lift is not seen in what is held


def dense_solver(
    system: System, neighbors: NeighborList, mobile: Any, null_space: Any, top: Any
) -> Callable[[Any, Any], LinearSolution]:
    """As ``sparse_solver``, for small systems: by a dense Cholesky factor, under any trace.

    The flat directions (rigid modes, particles that do not move) are lifted to the top of the
    spectrum, where right-hand sides have no components.
    """
    still = jnp.repeat(~mobile, system.structure.dimension)
    matrix = hessian.dense(system, neighbors, mobile)
    matrix = matrix + jnp.diag(jnp.where(still, top, 0)) + top * (null_space.T @ null_space)
    factor = factorised(matrix, symmetric=True, definite=True)
    project = projector(null_space)
    saddle = _falls(factor)

    def solve(_: Any, b: Any) -> LinearSolution:
        rhs = jnp.where(mobile[:, None], b, 0).reshape(-1)
        found = factor.solve(project(rhs))
        value = project(found.value).reshape(b.shape)
        return replace(found, value=value, converged=found.converged & ~saddle)

    return solve


def _falls(factor: Factorisation) -> Any:
    """Whether the energy falls along some direction; asked only where Cholesky met a flat one."""

    def lowest() -> Any:
        values = jnp.linalg.eigvalsh(factor.matrix)
        flat = null_fraction(values.dtype, len(values)) * jnp.max(jnp.abs(values))
        return jnp.min(values) < -flat

    return when_needed(factor.singular, lowest, factor.singular)[1]


def sparse_solver(
    system: System, neighbors: NeighborList, mobile: Any, null_space: Any, top: Any
) -> Callable[[Any, Any], LinearSolution]:
    """``solve(product, b)`` for the masked Hessian of a pair potential; the product is not asked.

    Args:
        system: at its minimum.
        neighbors: the list, valid there.
        mobile: ``[particle]`` mask; what does not move has solution zero.
        null_space: ``[mode, n]`` the confirmed rigid modes.
        top: the largest curvature.
    """
    position = jnp.asarray(system.structure.position)
    stiffness = pair.stiffness(system.potential, system.structure, position, neighbors)
    given = (stiffness.blocks(), neighbors.index, neighbors.mask, mobile, null_space, top)
    shape = jax.ShapeDtypeStruct

    def solve(_: Any, b: Any) -> LinearSolution:
        rhs = jnp.where(mobile[:, None], b, 0).reshape(-1)
        result = (shape(rhs.shape, rhs.dtype), shape((), rhs.dtype), shape((), np.dtype(bool)))
        value, residual, converged = jax.pure_callback(
            _solve_batch, result, rhs, *given, vmap_method="expand_dims"
        )
        iterations = jnp.zeros((), jnp.int32)
        return LinearSolution(value.reshape(b.shape), residual, iterations, converged)

    return solve


def _solve_batch(rhs: Any, *given: Any) -> tuple[np.ndarray, ...]:
    """Right-hand sides ``[..., n]`` of one matrix or of several; leading axes of one are shared."""
    rhs, parts = np.asarray(rhs), [np.asarray(part) for part in given]
    leads = [part.shape[: part.ndim - rank] for part, rank in zip(parts, RANKS)]
    matrices = np.broadcast_shapes(*leads)
    lead = np.broadcast_shapes(rhs.shape[:-1], matrices)
    value = np.empty((*lead, rhs.shape[-1]), rhs.dtype)
    residual, converged = np.empty(lead, rhs.dtype), np.empty(lead, bool)
    wide = np.broadcast_to(rhs, value.shape)
    for at in np.ndindex(*matrices):
        chosen = [
            np.broadcast_to(part, (*matrices, *part.shape[part.ndim - rank :]))[at]
            for part, rank in zip(parts, RANKS)
        ]
        rows = tuple(slice(None) if few == 1 else slice(k, k + 1) for few, k in zip(matrices, at))
        block = wide[rows]
        found = _solve(block.reshape(-1, block.shape[-1]), *chosen)
        value[rows] = np.asarray(found.value).reshape(block.shape)
        residual[rows] = np.asarray(found.residual).reshape(block.shape[:-1])
        converged[rows] = np.asarray(found.converged).reshape(block.shape[:-1])
    return value, residual, converged


def _solve(
    rhs: np.ndarray, blocks: Any, index: Any, mask: Any, mobile: Any, null_space: Any, top: Any
) -> LinearSolution:
    if not (np.isfinite(blocks).all() and np.isfinite(rhs).all()):
        nan = np.full(len(rhs), np.nan)
        return LinearSolution(np.full_like(rhs, np.nan), nan, nan, np.zeros(len(rhs), bool))
    kept = np.repeat(mobile, blocks.shape[-1])
    matrix = hessian.sparse(blocks, index, mask, mobile)
    try:
        factor = SparseFactor(matrix, null_space, kept)
    except Singular:
        return _lifted(matrix, null_space, kept, float(top) * FLOPPY, rhs)
    found = factor.solve(rhs)
    # At a saddle there is an answer too, but to what nobody asked.
    return replace(found, converged=found.converged & (factor.negative == 0))


def _lifted(
    matrix: Any, null_space: np.ndarray, kept: np.ndarray, shift: float, rhs: np.ndarray
) -> LinearSolution:
    """With floppy modes lifted a little; the residual without the lift tells whether b met one."""
    factor = SparseFactor(matrix, null_space, kept, shift)
    found = factor.solve(rhs)
    value = np.asarray(found.value)
    for _ in range(REFINED):
        value = value + np.asarray(factor.solve(rhs - (matrix @ value.T).T).value)
    left = np.linalg.norm(rhs - (matrix @ value.T).T, axis=1)
    scale = np.linalg.norm(rhs, axis=1)
    residual = left / np.where(scale > 0, scale, 1)
    fine = (residual < solved(rhs.dtype)) & (factor.negative == 0)
    return replace(found, value=value, residual=residual, converged=fine)
