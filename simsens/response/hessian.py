r"""The Hessian of a system: its products, its dense form, its rigid modes.

The Hessian is symmetric and singular. Particles that do not move (fixed ones, rattlers where asked
for) are masked: their rows and columns are zero. What remains has the *rigid modes* in its null
space: translations when nothing is fixed, and rotations in free space.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from simsens.implicit.linear_solve import block_jacobi
from simsens.particles import pair
from simsens.particles import system as systems
from simsens.particles.neighbors import NeighborList
from simsens.particles.structure import Structure
from simsens.particles.system import System

RIGID = 1e-6  # a rigid motion is a zero mode when its curvature is below this fraction of the top


def operator(system: System, neighbors: NeighborList | None, mobile: Any) -> Callable[[Any], Any]:
    """The masked Hessian as a product ``v [particle, dimension] -> H v``, linearised once.

    Pair potentials store the stiffness of their pairs, so that a product is a gather and a sum; any
    other energy is linearised by JAX.
    """
    mask = mobile[:, None]
    position = jnp.asarray(system.structure.position)
    if neighbors is None:

        def force(x: Any) -> Any:
            return systems.force(system.with_position(x))

        _, tangent = jax.linearize(force, position)
        return lambda v: jnp.where(mask, -tangent(jnp.where(mask, v, 0)), 0)
    product = pair.hessian_product(system.potential, system.structure, position, neighbors)
    return lambda v: jnp.where(mask, product(jnp.where(mask, v, 0)), 0)


def flat_operator(
    system: System, neighbors: NeighborList | None, mobile: Any
) -> Callable[[Any], Any]:
    """``operator`` on vectors ``[n]``."""
    shape = jnp.shape(system.structure.position)
    apply = operator(system, neighbors, mobile)
    return lambda v: apply(v.reshape(shape)).reshape(-1)


def preconditioner(
    system: System, neighbors: NeighborList | None, mobile: Any
) -> Callable[[Any], Any] | None:
    """Solution with the diagonal blocks, a particle at a time, on ``[particle, dimension]``.

    A block that is not positive definite (nothing holds the particle, or not from all sides) is
    replaced by its mean diagonal. Energies that are not of pairs have none.
    """
    if neighbors is None:
        return None
    position = jnp.asarray(system.structure.position)
    own = pair.stiffness(system.potential, system.structure, position, neighbors).diagonal()
    one = jnp.eye(position.shape[1], dtype=own.dtype)
    mean = jnp.trace(own, axis1=1, axis2=2) / position.shape[1]
    definite = jnp.isfinite(jnp.linalg.cholesky(own)).all(axis=(1, 2)) & mobile
    plain = jnp.where(mean > 0, mean, 1)[:, None, None] * one
    return block_jacobi(jnp.where(definite[:, None, None], own, plain))


def dense(system: System, neighbors: NeighborList | None, mobile: Any) -> Any:
    """The masked Hessian ``[n, n]`` with ``n = particles x dimension``."""
    position = jnp.asarray(system.structure.position)
    number, dimension = position.shape
    n = number * dimension
    if neighbors is None:
        matrix = jax.hessian(lambda x: systems.energy(system.with_position(x)))(position)
        matrix = matrix.reshape(n, n)
    else:
        stiffness = pair.stiffness(system.potential, system.structure, position, neighbors)
        blocks = stiffness.blocks()
        rows = jnp.arange(number)
        matrix = jnp.zeros((number, number, dimension, dimension), blocks.dtype)
        matrix = matrix.at[rows[:, None], neighbors.index].add(-blocks)
        matrix = matrix.at[rows, rows].add(blocks.sum(axis=1))
        matrix = matrix.transpose(0, 2, 1, 3).reshape(n, n)
    mask = jnp.repeat(mobile, dimension)
    return jnp.where(mask[:, None] & mask[None], matrix, 0)


@jax.jit
def blocks(system: System, neighbors: NeighborList) -> Any:
    """The stiffness of the pairs, ``[particle, slot, dimension, dimension]``."""
    position = jnp.asarray(system.structure.position)
    return pair.stiffness(system.potential, system.structure, position, neighbors).blocks()


def sparse(blocks: np.ndarray, index: np.ndarray, mask: np.ndarray, mobile: np.ndarray) -> Any:
    """The masked Hessian of a pair potential as a SciPy matrix.

    Args:
        blocks: ``[particle, slot, dimension, dimension]`` the stiffness of the pairs.
        index: ``[particle, slot]`` the neighbours.
        mask: ``[particle, slot]`` whether the slot is filled.
        mobile: ``[particle]`` mask of those that take part.
    """
    from scipy.sparse import csr_array

    number, _, dimension, _ = blocks.shape
    # Pairs that only the skin, or a list of all pairs, knows of would fill the factor with zeros.
    stiff = blocks.any(axis=(2, 3))
    row, slot = np.nonzero(stiff & mask & mobile[:, None] & mobile[index])
    own = np.where(mobile[:, None, None], blocks.sum(axis=1), 0)
    first = np.concatenate([row, np.arange(number)])
    second = np.concatenate([index[row, slot], np.arange(number)])
    entries = np.concatenate([-blocks[row, slot], own])
    axis = np.arange(dimension)
    rows = np.broadcast_to((first[:, None] * dimension + axis)[:, :, None], entries.shape)
    columns = np.broadcast_to((second[:, None] * dimension + axis)[:, None, :], entries.shape)
    size = number * dimension
    flat = (entries.ravel(), (rows.ravel(), columns.ravel()))
    return csr_array(flat, shape=(size, size))


def rigid_modes(structure: Structure, mobile: Any) -> Any:
    """Orthonormal motions ``[mode, n]`` that may cost no energy: translations, free rotations.

    Free space allows all rotations, one periodic edge those about it. Motions that depend on
    others, as the rotation of a line of particles about itself, come out as rows of zeros.
    """
    position = jnp.asarray(structure.position)
    dimension = structure.dimension
    mask = jnp.asarray(mobile, position.dtype)[:, None]
    axes = np.eye(dimension, dtype=position.dtype)
    centre = jnp.sum(mask * position, axis=0) / jnp.maximum(jnp.sum(mask), 1)
    arm = position - centre
    motions = [mask * axes[k] for k in range(dimension)]
    motions += [mask * (arm @ turn.astype(arm.dtype)) for turn in _turns(structure)]
    rows: list[Any] = []
    for motion in motions:  # Gram-Schmidt; a handful of vectors, so its plain form is enough twice
        v = motion.reshape(-1)
        size = jnp.sqrt(jnp.sum(v * v))
        for _ in range(2):
            for row in rows:
                v = v - jnp.dot(row, v) * row
        left = jnp.sqrt(jnp.sum(v * v))
        rows.append(jnp.where(left > 1e-6 * size, v / jnp.where(left > 0, left, 1), 0))
    return jnp.stack(rows)


def _turns(structure: Structure) -> list[Any]:
    """The antisymmetric matrices of the rotations that the boundary allows."""
    dimension, periodic = structure.dimension, np.flatnonzero(structure.boundary)
    axes = np.eye(dimension)
    planes = [
        np.outer(axes[j], axes[k]) - np.outer(axes[k], axes[j])
        for j in range(dimension)
        for k in range(j)
    ]
    if len(periodic) == 0:
        return planes
    if dimension == 3 and len(periodic) == 1:  # a wire
        edge = jnp.asarray(structure.box)[periodic[0]]
        along = edge / jnp.linalg.norm(edge)
        return [along[0] * planes[2] - along[1] * planes[1] + along[2] * planes[0]]
    return []


def confirmed(modes: Any, apply: Any, top: Any) -> Any:
    """The rigid modes that truly cost nothing; others (an outer field, a wall) become zero."""
    return without_cost(modes, jax.vmap(apply)(modes), top)


def without_cost(modes: Any, images: Any, top: Any) -> Any:
    """As ``confirmed``, from the Hessian times the modes."""
    cost = jnp.sqrt(jnp.sum(images**2, axis=1))
    little = max(RIGID, 100 * float(jnp.finfo(modes.dtype).eps))
    return jnp.where((cost <= little * top)[:, None], modes, 0)


def largest_curvature(
    system: System, neighbors: NeighborList | None, mobile: Any, start: Any = None
) -> Any:
    """The largest absolute eigenvalue of the Hessian, as ``largest_eigenvalue`` finds it.

    Args:
        system: where it is measured.
        neighbors: a list that is valid there.
        mobile: ``[particle]`` mask.
        start: from ``scattered``, where it is at hand; many cosines take as long as some products.
    """
    if start is None:
        start = scattered(jnp.asarray(system.structure.position))
    return largest_eigenvalue(operator(system, neighbors, mobile), mobile, start)


def scattered(like: Any) -> Any:
    """A start ``[particle, dimension]`` for power iterations.

    Cosines of incommensurate phases: no crystal's symmetry makes it miss the top mode.
    """
    phase = jnp.arange(like.size, dtype=like.dtype)
    return jnp.cos(phase * 2.399963 + 0.1 * jnp.cos(phase * phase)).reshape(like.shape)


def largest_eigenvalue(apply: Callable[[Any], Any], mobile: Any, start: Any) -> Any:
    """The largest absolute eigenvalue, from 16 power iterations (never above it).

    Args:
        apply: the symmetric matrix as a product, of ``v [particle, dimension]``.
        mobile: ``[particle]`` mask; the others have zero rows and columns.
        start: from ``scattered``.
    """

    def unit(v: Any) -> tuple[Any, Any]:
        size = jnp.linalg.norm(v)
        return v / jnp.where(size > 0, size, 1), size

    first = unit(jnp.where(mobile[:, None], start, 0))[0], jnp.zeros((), start.dtype)
    return jax.lax.fori_loop(0, 16, lambda _, state: unit(apply(state[0])), first)[1]
