"""The Hessian by products alone: conjugate gradients, and Lanczos for the lowest curvature.

Rigid motions are projected out. The diagonal blocks, a particle each, are the preconditioner;
several right-hand sides share one Krylov space. Whether something converged is said by its true
residual.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from simsens.implicit import lanczos
from simsens.implicit.linear_solve import LinearSolution, solve_block_cg, solve_cg
from simsens.implicit.linear_solve.dense import null_fraction
from simsens.particles import system as systems
from simsens.particles.neighbors import NeighborList
from simsens.particles.system import System
from simsens.response import hessian

TOGETHER = 8  # right-hand sides that share one space


class Krylov:
    """The masked Hessian of a system, shifted.

    Args:
        system: at the point.
        neighbors: valid there.
        mobile: ``[particle]`` mask; the others have zero rows and columns.
        modes: ``[mode, n]`` the confirmed rigid modes.
        top: the largest curvature.
        shift: added to every eigenvalue.
    """

    def __init__(
        self,
        system: System,
        neighbors: NeighborList | None,
        mobile: np.ndarray,
        modes: np.ndarray,
        top: float,
        shift: float = 0.0,
    ) -> None:
        if neighbors is not None and np.isfinite(neighbors.skin):
            # Hundreds of products read the rows: they hold nobody out of reach.
            neighbors = systems.list_neighbors(system)
        self.neighbors, self.top, self.shift = neighbors, top, shift
        self._matrix = (system, neighbors, mobile, modes)

    def solve(self, rhs: np.ndarray, tol: float) -> LinearSolution:
        """Solve for the rows of ``rhs [m, n]`` to a relative residual.

        A space that several share can break down, once it is all there is: what was not solved in
        it is then solved by itself.
        """
        if len(rhs) == 1:
            return self._alone(rhs, tol)
        parts = [rhs[k : k + TOGETHER] for k in range(0, len(rhs), TOGETHER)]
        found = [_solve_several(*self._matrix, part, self.shift, tol) for part in parts]
        whole = jax.tree.map(lambda *rows: np.concatenate(rows), *found)
        exhausted = TOGETHER * np.asarray(whole.iterations) >= rhs.shape[1]
        for k in np.flatnonzero(~np.asarray(whole.converged) & exhausted):
            alone = self._alone(rhs[k : k + 1], tol)
            whole = jax.tree.map(partial(_with_row, int(k)), whole, alone)
        return whole

    def _alone(self, rhs: np.ndarray, tol: float) -> LinearSolution:
        return _solve_one(*self._matrix, rhs, self.shift, tol)

    def lowest(self) -> tuple[np.ndarray, bool]:
        """The lowest eigenvalues but for rigid motions, and whether they are sure."""
        modes = self._matrix[3]
        random = np.random.default_rng(0).standard_normal(modes.shape[1])
        start = np.asarray(random, modes.dtype)
        floor = null_fraction(modes.dtype, len(start)) * self.top
        return lanczos.lowest(partial(_lanczos_steps, *self._matrix, self.top), start, floor)


def _with_row(k: int, rows: np.ndarray, row: Any) -> np.ndarray:
    return np.concatenate([rows[:k], np.asarray(row, rows.dtype), rows[k + 1 :]])


def _parts(system: System, neighbors: Any, mobile: Any, shift: Any) -> tuple[Any, Any]:
    """The shifted product and the preconditioner on vectors ``[n]``."""
    shape = jnp.shape(system.structure.position)
    apply = hessian.flat_operator(system, neighbors, mobile)
    smooth = hessian.preconditioner(system, neighbors, mobile)

    def shifted(v: Any) -> Any:
        return apply(v) + shift * v

    flat = smooth and (lambda r: smooth(r.reshape(shape)).reshape(-1))
    return shifted, flat


@jax.jit
def _solve_one(
    system: System, neighbors: Any, mobile: Any, modes: Any, rhs: Any, shift: Any, tol: Any
) -> LinearSolution:
    product, smooth = _parts(system, neighbors, mobile, shift)
    found = solve_cg(product, rhs[0], null_space=modes, tol=tol, preconditioner=smooth)
    return jax.tree.map(lambda number: jnp.asarray(number)[None], found)


@jax.jit
def _solve_several(
    system: System, neighbors: Any, mobile: Any, modes: Any, rhs: Any, shift: Any, tol: Any
) -> LinearSolution:
    product, smooth = _parts(system, neighbors, mobile, shift)
    found = solve_block_cg(product, rhs, null_space=modes, tol=tol, preconditioner=smooth)
    return replace(found, iterations=jnp.broadcast_to(found.iterations, found.residual.shape))


def _lifted(system: System, neighbors: Any, mobile: Any, modes: Any, top: Any, v: Any) -> Any:
    """The Hessian times v, with everything known to be flat lifted to the top of the spectrum."""
    still = jnp.repeat(~jnp.asarray(mobile), system.structure.dimension)
    flat = modes.T @ (modes @ v)
    image = hessian.flat_operator(system, neighbors, mobile)(v - flat)
    image = image - modes.T @ (modes @ image)
    return image + top * flat + top * jnp.where(still, v, 0)


@jax.jit
def _lanczos_steps(
    system: System, neighbors: Any, mobile: Any, modes: Any, top: Any, state: Any
) -> tuple[Any, Any, Any]:
    product = partial(_lifted, system, neighbors, mobile, modes, top)
    return lanczos.steps(product, state, lanczos.CHUNK)
