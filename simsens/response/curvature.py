"""The curvature of the energy at a point: factorised once, asked often.

``Curvature`` answers what the Newton steps, the sensitivities and their certificates need: solve
for many right-hand sides, and tell the zero, the negative and the smallest positive eigenvalues.
Small systems are factorised densely. Large ones are solved by projected conjugate gradients, and
their smallest eigenvalue comes from a Lanczos iteration, which may fail and then says so.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from simsens.implicit import linear_solve
from simsens.implicit.linear_solve import LinearSolution
from simsens.particles import system as systems
from simsens.particles.neighbors import NeighborList
from simsens.particles.system import System
from simsens.response import hessian

SOLVERS = ("auto", "dense", "cg")


class Curvature:
    """The masked Hessian of a system at its positions.

    Args:
        system: at the point.
        neighbors: valid there.
        mobile: ``[particle]`` mask; the others have zero rows and columns.
        solver: ``"dense"``, ``"cg"``, or by size with ``"auto"``.
    """

    def __init__(
        self, system: System, neighbors: NeighborList | None, mobile: Any, solver: str = "auto"
    ) -> None:
        if solver not in SOLVERS:
            raise ValueError(f"unknown solver {solver!r}; known are {', '.join(SOLVERS)}")
        self.system, self.neighbors, self.mobile = system, neighbors, np.asarray(mobile)
        self.size = system.structure.number * system.structure.dimension
        by_size = "dense" if self.size <= linear_solve.DENSE_LIMIT else "cg"
        self.method = by_size if solver == "auto" else solver

    @cached_property
    def _prepared(self) -> tuple[Any, ...]:
        if self.method == "cg":
            return _rigid(self.system, self.neighbors, self.mobile)
        found = _assemble(self.system, self.neighbors, self.mobile)
        force, modes, matrix = (np.asarray(array) for array in found)
        # At a point that is not quite a minimum a free rotation costs about the residual force; it
        # is taken out exactly, so that it is neither inverted nor counted as a curvature.
        matrix = matrix - modes.T @ (modes @ matrix)
        matrix = matrix - (matrix @ modes.T) @ modes
        return force, modes, linear_solve.factorise(matrix), matrix

    @property
    def newton_step(self) -> np.ndarray:
        """Displacement ``[n]`` to where the force vanishes if the curvature does not change."""
        return np.asarray(self.solve(np.asarray(self._prepared[0])[None]).value)[0]

    @property
    def rigid_modes(self) -> Any:
        """Orthonormal rows ``[mode, n]``: rigid motions that cost nothing, or rows of zeros."""
        return self._prepared[1]

    @property
    def expected_zero_modes(self) -> int:
        """Rigid motions, and every degree of freedom of the particles left out."""
        rigid = int(np.any(np.asarray(self.rigid_modes) != 0, axis=1).sum())
        return rigid + int((~self.mobile).sum()) * self.system.structure.dimension

    def solve(self, rhs: Any) -> LinearSolution:
        """Solve for the rows of ``rhs [m, n]``, with one true residual each."""
        if self.method == "dense":
            _, modes, spectrum, matrix = self._prepared
            rhs = np.asarray(rhs)
            rhs = rhs - (rhs @ modes.T) @ modes
            return linear_solve.refined(spectrum, lambda v: v @ matrix, rhs)
        return _solve_cg(self.system, self.neighbors, self.mobile, self.rigid_modes, rhs)

    @cached_property
    def eigenvalues(self) -> tuple[np.ndarray, bool]:
        """What is known of the spectrum without rigid modes, ascending, and whether it is sure.

        The dense spectrum is whole. The iterative one holds the smallest few and the largest.
        """
        if self.method == "dense":
            values = np.asarray(self._prepared[2].eigenvalues)
            return values, bool(np.isfinite(values).all())
        return _lanczos(self.system, self.neighbors, self.mobile, *self._prepared[1:])

    @property
    def largest(self) -> float:
        """The largest eigenvalue in size."""
        return float(np.abs(self.eigenvalues[0]).max(initial=0.0))

    @property
    def threshold(self) -> float:
        """Below this size an eigenvalue counts as zero."""
        dtype = np.asarray(self.system.structure.position).dtype
        return linear_solve.null_fraction(dtype, self.size) * self.largest

    @property
    def negative_modes(self) -> int:
        """Directions in which the energy falls: the point is a saddle (or not yet a minimum)."""
        return int((self.eigenvalues[0] < -self.threshold).sum())

    @property
    def zero_modes(self) -> int:
        """Zero eigenvalues, rigid motions and left-out particles included."""
        values = self.eigenvalues[0]
        flat = int((np.abs(values) <= self.threshold).sum())
        if self.method == "dense":
            return flat
        return flat + self.expected_zero_modes

    @property
    def smallest(self) -> float:
        """The smallest eigenvalue in size that is not zero; zero when there is none."""
        values = np.abs(self.eigenvalues[0])
        values = values[values > self.threshold]
        return float(values.min(initial=np.inf)) if len(values) else 0.0


@jax.jit
def _assemble(system: System, neighbors: Any, mobile: Any) -> tuple[Any, Any, Any]:
    matrix = hessian.dense(system, neighbors, mobile)
    top = jnp.max(jnp.sum(jnp.abs(matrix), axis=1))
    modes = hessian.rigid_modes(system.structure, mobile)
    modes = hessian.confirmed(modes, lambda v: matrix @ v, top)
    return _force(system, neighbors, mobile), modes, matrix


def _apply(system: System, neighbors: Any, mobile: Any) -> Any:
    shape = jnp.shape(system.structure.position)
    return lambda v: hessian.product(system, neighbors, mobile, v.reshape(shape)).reshape(-1)


@jax.jit
def _rigid(system: System, neighbors: Any, mobile: Any) -> tuple[Any, Any, Any]:
    top = hessian.largest_curvature(system, neighbors, mobile)
    modes = hessian.rigid_modes(system.structure, mobile)
    modes = hessian.confirmed(modes, _apply(system, neighbors, mobile), top)
    return _force(system, neighbors, mobile), modes, top


def _force(system: System, neighbors: Any, mobile: Any) -> Any:
    return (jnp.asarray(mobile)[:, None] * systems.force(system, neighbors)).reshape(-1)


@jax.jit
def _solve_cg(system: System, neighbors: Any, mobile: Any, modes: Any, rhs: Any) -> LinearSolution:
    apply = _apply(system, neighbors, mobile)
    return jax.lax.map(
        lambda b: linear_solve.conjugate_gradient(apply, b, null_space=modes, tolerance=1e-14), rhs
    )


@jax.jit
def _product(system: System, neighbors: Any, mobile: Any, modes: Any, top: Any, v: Any) -> Any:
    """The Hessian with everything known to be flat lifted to the top of the spectrum."""
    still = jnp.repeat(~jnp.asarray(mobile), system.structure.dimension)
    flat = modes.T @ (modes @ v)
    image = _apply(system, neighbors, mobile)(v - flat)
    image = image - modes.T @ (modes @ image)
    return image + top * flat + top * jnp.where(still, v, 0)


def _lanczos(
    system: System, neighbors: Any, mobile: Any, modes: Any, top: Any
) -> tuple[np.ndarray, bool]:
    from scipy.sparse.linalg import ArpackNoConvergence, LinearOperator, eigsh

    n = modes.shape[1]

    def matvec(v: np.ndarray) -> np.ndarray:
        return np.asarray(_product(system, neighbors, mobile, modes, top, v.reshape(-1)))

    operator = LinearOperator((n, n), matvec=matvec, dtype=float)
    start = np.random.default_rng(0).standard_normal(n)
    try:
        found = eigsh(
            operator, k=4, which="SA", v0=start, tol=1e-4, ncv=60, maxiter=200,
            return_eigenvectors=False,
        )  # fmt: skip
        sure = True
    except ArpackNoConvergence as failure:
        found, sure = failure.eigenvalues, False
    return np.append(np.sort(found), float(top)), sure and len(found) > 0
