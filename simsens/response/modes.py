r"""The normal modes of a structure: in which patterns it vibrates, and how stiffly.

Near a minimum the energy is :math:`\tfrac12 u^T H u`. Its orthonormal eigenvectors,

.. math:: H v_m = \lambda_m v_m ,

are motions that do not mix; of unit masses each vibrates with the frequency
:math:`\omega_m = \sqrt{\lambda_m}`. Rigid motions cost nothing and are known beforehand: they are
among the modes as they are, and all others are orthogonal to them.

All modes come from the dense matrix, the lowest few of a large system from iterations
(``lowest_modes``).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from simsens.implicit.linear_solve.dense import null_fraction
from simsens.particles import system as systems
from simsens.particles.neighbors import NeighborList
from simsens.particles.structure import mobile_mask
from simsens.particles.system import System
from simsens.response import cost, hessian, lowest_modes, rattlers, tangents
from simsens.response.curvature import method_for
from simsens.response.equilibrium import Equilibrium
from simsens.response.lowest_modes import Product

LARGEST = 20_000  # unknowns of which all modes are computed: 3 GB a matrix, and hours
FEW = 0.25  # of all modes, up to which they are sought one by one


@dataclass(frozen=True)
class NormalModes:
    """Eigenvalues and eigenvectors of the Hessian, in ascending order.

    Attributes:
        curvature: ``[mode]`` eigenvalues, in energy over length squared.
        mode: ``[particle, dimension, mode]`` orthonormal motions; zero for fixed particles and
            rattlers. The largest component is positive.
        residual: ``[mode]`` what a Hessian product says of each, ``|H v - curvature v|`` over the
            largest curvature.
        zero_modes: how many curvatures are zero, rigid motions included.
        moving: how many particles take part.
        rattlers: indices of the particles that nothing holds; they are left out.
    """

    curvature: np.ndarray
    mode: np.ndarray
    residual: np.ndarray
    zero_modes: int
    moving: int
    rattlers: np.ndarray

    @property
    def participation(self) -> np.ndarray:
        r"""``[mode]`` the share of the moving particles that moves.

        :math:`(\sum_i u_i^2)^2 / (N \sum_i u_i^4)`: one for a translation, 1/N where one moves.
        """
        squared = np.sum(self.mode**2, axis=1)
        return np.sum(squared, axis=0) ** 2 / (self.moving * np.sum(squared**2, axis=0))

    @property
    def frequency(self) -> np.ndarray:
        """``[mode]`` angular frequencies of unit masses; an unstable mode's is given negative."""
        return np.sign(self.curvature) * np.sqrt(np.abs(self.curvature))

    def __str__(self) -> str:
        return (
            f"{len(self.curvature)} modes of {self.moving} particles, curvatures"
            f" {self.curvature.min():.6g} .. {self.curvature.max():.6g}, {self.zero_modes} zero;"
            f" largest residual {self.residual.max():.1e}"
        )


def normal_modes(
    equilibrium: Equilibrium, count: int | None = None, *, solver: str = "auto"
) -> NormalModes:
    """Find how a structure vibrates about its minimum.

    Args:
        equilibrium: from ``relax``. At a saddle, some curvatures are negative.
        count: how many of the lowest modes to find beyond the rigid motions; all when ``None``.
        solver: ``"auto"``, ``"dense"`` (all modes, then the lowest), ``"sparse"`` (by a factor of
            the matrix) or ``"cg"`` (by products alone).

    Returns:
        The modes, rigid motions among them, each with its residual.

    Raises:
        ValueError: all modes of a system that is too large for that, or no sensible ``count``.
        ModesNotFound: the iteration did not converge.

    Example:
        >>> from simsens.particles.potentials import HarmonicBonds
        >>> from simsens.particles.structure import Structure
        >>> from simsens.response.relaxation import relax
        >>> spring = HarmonicBonds([[0, 1]], stiffness=3.0, length=1.0)
        >>> dimer = relax(System(Structure([[0.0, 0.0], [1.0, 0.0]]), spring))
        >>> modes = normal_modes(dimer)  # two translations, a rotation, a stretch of 2 k
        >>> modes.zero_modes, round(float(modes.curvature[-1]), 9)
        (3, 6.0)
    """
    system = equilibrium.system
    listed = systems.list_neighbors(system)
    loose = rattlers.find(system, listed)
    neighbors = rattlers.without(listed, loose)
    mobile = mobile_mask(system.structure) & ~loose
    kept = np.repeat(mobile, system.structure.dimension)
    if not kept.any():
        raise ValueError("no particle is free to move: there are no modes")
    method = _method(system, count, int(kept.sum()), solver)
    rigid, top = (np.asarray(part) for part in _rigid(system, neighbors, mobile))
    rigid = rigid[(rigid != 0).any(axis=1)][:, kept]
    if method == "dense":
        matrix = np.asarray(_dense(system, neighbors, mobile))[np.ix_(kept, kept)]
        found = _all(matrix, rigid)[:, : None if count is None else count]
    else:
        product = _product(system, neighbors, mobile, kept)
        matrix = _sparse(system, neighbors, mobile, kept) if method == "sparse" else None
        found = lowest_modes.lowest(product, matrix, rigid, float(top), int(count or 0))
    modes = np.hstack([rigid.T, found])
    return _told(system, neighbors, mobile, modes, kept, float(top), loose)


def _method(system: System, count: int | None, unknowns: int, solver: str) -> str:
    """Dense, sparse or cg, or a refusal."""
    method = method_for(system, solver)
    if count is not None and (isinstance(count, bool) or count != int(count) or count < 1):
        raise ValueError(f"count must be a whole number of modes, at least one; got {count}")
    few = count is not None and count <= FEW * unknowns
    if solver == "auto" and not few:
        method = "dense"
    if method != "dense":
        if not few:
            raise ValueError(
                f"the {method} solver finds few modes: give a count of at most"
                f" {int(FEW * unknowns)}, or take solver='dense'"
            )
        return method
    needed = cost.predict("dense", unknowns, unknowns**2).memory
    if unknowns > LARGEST or needed > cost.free_memory():
        raise ValueError(
            f"so many modes of {unknowns} unknowns would take {needed / 1e9:.2g} GB and long: give"
            f" a count of at most {int(FEW * unknowns)}"
        )
    return method


def _all(matrix: np.ndarray, rigid: np.ndarray) -> np.ndarray:
    """All modes ``[n, mode]`` but the rigid ones, which are lifted above all others meanwhile."""
    high = 2 * np.abs(matrix).sum(axis=1).max(initial=0) + 1
    matrix = matrix - rigid.T @ (rigid @ matrix)
    matrix = matrix - (matrix @ rigid.T) @ rigid + high * rigid.T @ rigid
    vectors = np.linalg.eigh((matrix + matrix.T) / 2)[1]
    return vectors[:, : len(vectors) - len(rigid)]


def _product(system: System, neighbors: NeighborList | None, mobile: Any, kept: Any) -> Product:
    """The Hessian of the particles that move, ``v [n] -> H v``."""
    if neighbors is not None and jax.default_backend() == "cpu":
        matrix = _sparse(system, neighbors, mobile, kept)
        return lambda v: matrix @ v

    def product(v: np.ndarray) -> np.ndarray:
        whole = np.zeros(len(kept), v.dtype)
        whole[kept] = v
        return np.asarray(_apply(system, neighbors, mobile, whole))[kept]

    return product


def _sparse(system: System, neighbors: Any, mobile: Any, kept: Any) -> Any:
    listed = (np.asarray(neighbors.index), np.asarray(neighbors.mask))
    blocks = np.asarray(hessian.blocks(system, neighbors))
    return hessian.sparse(blocks, *listed, mobile)[kept][:, kept]


def _told(
    system: System, neighbors: Any, mobile: Any, vectors: Any, kept: Any, top: float, loose: Any
) -> NormalModes:
    """Put the modes ``[kept, mode]`` in order, with what products say of them."""
    vectors = vectors * np.sign(vectors[np.abs(vectors).argmax(axis=0), np.arange(len(vectors.T))])
    rows = np.zeros((vectors.shape[1], len(kept)), vectors.dtype)
    rows[:, kept] = vectors.T
    image = np.asarray(_images(system, neighbors, mobile, rows))
    value = np.sum(rows * image, axis=1)
    order = np.argsort(value, kind="stable")
    residual = np.linalg.norm(image - value[:, None] * rows, axis=1)[order]
    rows, value = rows[order], value[order]
    top = max(top, float(np.abs(value).max()))
    flat = np.abs(value) <= null_fraction(value.dtype, len(kept)) * top
    return NormalModes(
        curvature=value,
        mode=np.moveaxis(rows.reshape(len(rows), *system.structure.position.shape), 0, -1),
        residual=residual / top if top else residual,
        zero_modes=int(flat.sum()),
        moving=int(np.sum(mobile)),
        rattlers=np.flatnonzero(loose),
    )


_dense = jax.jit(hessian.dense)


@jax.jit
def _rigid(system: System, neighbors: Any, mobile: Any) -> tuple[Any, Any]:
    """The confirmed rigid motions ``[mode, n]``, and the largest curvature."""
    top = hessian.largest_curvature(system, neighbors, mobile)
    modes = hessian.rigid_modes(system.structure, mobile)
    return hessian.confirmed(modes, hessian.flat_operator(system, neighbors, mobile), top), top


@jax.jit
def _apply(system: System, neighbors: Any, mobile: Any, v: Any) -> Any:
    return hessian.flat_operator(system, neighbors, mobile)(jnp.asarray(v))


@jax.jit
def _images(system: System, neighbors: Any, mobile: Any, rows: Any) -> Any:
    return tangents.per_parameter(hessian.flat_operator(system, neighbors, mobile), rows)
