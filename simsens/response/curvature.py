"""The curvature of the energy at a point: factorised once, asked often.

``Curvature`` answers what the Newton steps, the sensitivities and their certificates need: solve
for many right-hand sides, and tell the zero, the negative and the smallest positive eigenvalues.
There are three ways, chosen by size, and the choice is told in the log with its predicted cost:

* *dense*: all eigenvalues and eigenvectors;
* *sparse*: a sparse factorisation, in two dimensions, where it fills in little;
* *cg*: by products alone (``krylov``).
"""

from __future__ import annotations

import logging
from dataclasses import replace
from functools import cached_property
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from simsens.implicit.linear_solve import LinearSolution
from simsens.implicit.linear_solve.dense import DENSE_LIMIT, null_fraction
from simsens.implicit.linear_solve.spectrum import Spectrum, spectrum
from simsens.implicit.sparse_factor import Singular, SparseFactor, largest
from simsens.particles import system as systems
from simsens.particles.neighbors import NeighborList
from simsens.particles.system import System
from simsens.response import cost, hessian
from simsens.response.krylov import Krylov

SOLVERS = ("auto", "dense", "sparse", "cg")
CG_TOLERANCE = 1e-12  # relative residual that conjugate gradients aim at
NEWTON_TOLERANCE = 1e-3  # ... where three digits are all that is asked for
SPARSE_LIMIT = 400_000  # unknowns of a two-dimensional system
PLANE_ENTRIES = 14  # of a row of the matrix of a packing of disks
log = logging.getLogger("simsens")


def method_for(system: System, solver: str = "auto") -> str:
    """How the linear systems of this system are solved.

    Raises:
        ValueError: an unknown solver, or a sparse one for an energy that is not of pairs.
    """
    if solver not in SOLVERS:
        raise ValueError(f"unknown solver {solver!r}; known are {', '.join(SOLVERS)}")
    of_pairs = not isinstance(system.potential, systems.EnergyFunction)
    if solver == "sparse" and not of_pairs:
        raise ValueError("the sparse solver needs a pair potential: use auto, dense or cg")
    if solver != "auto":
        return solver
    size = system.structure.number * system.structure.dimension
    if size <= DENSE_LIMIT:
        return "dense"
    flat = of_pairs and system.structure.dimension == 2 and size <= SPARSE_LIMIT
    fits = flat and cost.predict("sparse", size, PLANE_ENTRIES * size).memory < cost.free_memory()
    return "sparse" if fits else "cg"


class Curvature:
    """The masked Hessian of a system at its positions.

    Args:
        system: at the point.
        neighbors: valid there.
        mobile: ``[particle]`` mask; the others have zero rows and columns.
        solver: ``"dense"``, ``"sparse"``, ``"cg"``, or by size with ``"auto"``.
        shift: added to every eigenvalue, as a fraction of the largest.
    """

    def __init__(
        self,
        system: System,
        neighbors: NeighborList | None,
        mobile: Any,
        solver: str = "auto",
        shift: float = 0.0,
    ) -> None:
        self.method = method_for(system, solver)
        self.system, self.neighbors, self.mobile = system, neighbors, np.asarray(mobile)
        dimension = system.structure.dimension
        self._left_out = int((~self.mobile).sum()) * dimension
        self._kept = np.repeat(self.mobile, dimension)
        self._size = system.structure.number * dimension
        self._announce()
        if self.method == "sparse":
            self._assemble_sparse(shift)
            return
        arguments = (system, neighbors, self.mobile)
        found = (_assemble if self.method == "dense" else _survey)(*arguments)
        self.force, self.rigid_modes = np.asarray(found[0]), np.asarray(found[1])
        if self.method == "dense":
            matrix = np.asarray(found[2])
            top = np.abs(matrix).sum(axis=1).max(initial=0)
            self._matrix = self._without_rigid_modes(matrix + shift * top * np.diag(self._kept))
        else:
            self._top = float(found[2])
            self._shift = shift * self._top

    def _assemble_sparse(self, shift: float) -> None:
        """What is asked of products elsewhere is asked of the matrix, which compiles nothing."""
        system, neighbors = self.system, self.neighbors
        assert neighbors is not None  # the sparse solver is for pair potentials
        blocks = np.asarray(hessian.blocks(system, neighbors))
        listed = (np.asarray(neighbors.index), np.asarray(neighbors.mask))
        matrix = hessian.sparse(blocks, *listed, self.mobile)
        self.force = np.asarray(masked_force(system, neighbors, self.mobile))
        self._top = largest(matrix)
        self._shift = shift * self._top
        modes = np.asarray(_rigid_modes(system.structure, self.mobile))
        self.rigid_modes = np.asarray(hessian.without_cost(modes, (matrix @ modes.T).T, self._top))
        try:
            self._factor = SparseFactor(matrix, self.rigid_modes, self._kept, self._shift)
            self._definite = self._factor.definite
        except Singular:  # floppy: only an iteration from zero still has a meaning
            self.method = "cg"

    def _announce(self) -> None:
        """Tell the choice and what it will cost, once it is worth telling."""
        entries = self._size**2
        if self.neighbors is not None:
            pairs = int(np.count_nonzero(np.asarray(self.neighbors.mask)))
            entries = (pairs + len(self.mobile)) * self.system.structure.dimension**2
        log.info(
            "%d unknowns by %s: %s predicted",
            self._size, self.method, cost.predict(self.method, self._size, entries),
        )  # fmt: skip

    def _without_rigid_modes(self, matrix: np.ndarray) -> np.ndarray:
        # At a point that is not quite a minimum a free rotation costs about the residual force; it
        # is taken out exactly, so that it is neither inverted nor counted as a curvature.
        modes = self.rigid_modes
        matrix = matrix - modes.T @ (modes @ matrix)
        return np.asarray(matrix - (matrix @ modes.T) @ modes)

    @cached_property
    def _spectrum(self) -> Spectrum:
        return spectrum(self._matrix)

    @cached_property
    def _definite_matrix(self) -> np.ndarray | None:
        """The dense matrix where it is positive definite; a fifth of the spectrum's price."""
        modes, top = self.rigid_modes, np.abs(self._matrix).sum(axis=1).max(initial=0)
        # What was taken out, and what is left out, is held: no force acts on it.
        held = self._matrix + top * (modes.T @ modes)
        held[np.diag_indices(self._size)] += top * ~self._kept
        try:
            np.linalg.cholesky(held)
        except np.linalg.LinAlgError:
            return None
        return np.asarray(held)

    def solve(self, rhs: Any) -> LinearSolution:
        """Solve for the rows of ``rhs [m, n]``, with one true residual each."""
        rhs = np.asarray(rhs)
        if self.method == "sparse":
            return self._factor.solve(rhs)
        if self.method == "cg":
            return self._krylov.solve(rhs, CG_TOLERANCE)
        rhs = rhs - (rhs @ self.rigid_modes.T) @ self.rigid_modes
        found = self._spectrum.solve(lambda v: v @ self._matrix, rhs)
        # Eigenvectors of a repeated zero mix: what is left out is zero, not zero to rounding.
        return replace(found, value=np.where(self._kept, found.value, 0))

    def estimate(self, rhs: Any) -> np.ndarray:
        """Solutions ``[m, n]`` to three digits at least, where more of them is not needed."""
        if self.method == "cg":
            return np.asarray(self._krylov.solve(np.asarray(rhs), NEWTON_TOLERANCE).value)
        return np.asarray(self.solve(rhs).value)

    @cached_property
    def _step(self) -> LinearSolution:
        # A distance to the minimum: of what it is good for, half of the digits are plenty.
        tol = CG_TOLERANCE**0.5
        return (
            self._krylov.solve(self.force[None], tol)
            if self.method == "cg"
            else self.solve(self.force[None])
        )

    @property
    def newton_step(self) -> np.ndarray:
        """Displacement ``[n]`` to where the force vanishes if the curvature does not change."""
        return np.asarray(self._step.value)[0]

    def step(self, force: Any) -> np.ndarray | None:
        """Displacement ``[particle, dimension]`` that balances this force, as far as H tells.

        ``None`` where the matrix is not positive definite, so that it need not lead downhill.
        Conjugate gradients stop at three digits, which is what a step of Newton's method gains.
        """
        rhs = np.asarray(force).reshape(1, -1)
        if self.method == "cg":
            found = self._krylov.solve(rhs, NEWTON_TOLERANCE)
            value = found.value if np.all(found.converged) else None
        elif self.method == "sparse":
            value = self.solve(rhs).value if self.convex else None
        else:
            # Elimination, not the factor: to solve with that SciPy would be loaded, at the price of
            # a dozen steps of a small system.
            held = self._definite_matrix
            value = None if held is None else np.linalg.solve(held, rhs[0])
        return None if value is None else np.asarray(value).reshape(np.shape(force))

    @cached_property
    def _krylov(self) -> Krylov:
        matrix = (self.system, self.neighbors, self.mobile, self.rigid_modes)
        return Krylov(*matrix, self._top, self._shift)

    @property
    def convex(self) -> bool:
        """Whether no negative curvature was met, as far as the method sees without more work."""
        if self.method == "cg":
            return bool(np.all(self._step.converged))
        if self.method == "sparse":
            return self._definite
        return self.negative_modes == 0

    @property
    def expected_zero_modes(self) -> int:
        """Rigid motions, and every degree of freedom of the particles left out."""
        return int((self.rigid_modes != 0).any(axis=1).sum()) + self._left_out

    @cached_property
    def eigenvalues(self) -> tuple[np.ndarray, bool]:
        """What is known of the spectrum, ascending, and whether it is sure.

        The dense spectrum is whole. The others hold the eigenvalues next to zero (sparse) or the
        lowest (cg), and the largest; rigid motions and particles left out are not among them.
        """
        if self.method == "dense":
            values = np.asarray(self._spectrum.eigenvalues)
            return values, bool(np.isfinite(values).all())
        if self.method == "sparse":
            found, sure = self._factor.near_zero()
        else:
            found, sure = self._krylov.lowest()
        return np.append(found, self._top), sure

    @property
    def largest(self) -> float:
        """The largest eigenvalue in size."""
        return float(np.abs(self.eigenvalues[0]).max(initial=0.0))

    @property
    def threshold(self) -> float:
        """Below this size an eigenvalue counts as zero."""
        dtype = np.asarray(self.system.structure.position).dtype
        return null_fraction(dtype, self._size) * self.largest

    @property
    def negative_modes(self) -> int:
        """Directions in which the energy falls: the point is a saddle (or not yet a minimum)."""
        if self.method == "sparse":
            return self._factor.negative
        return int((self.eigenvalues[0] < -self.threshold).sum())

    @property
    def zero_modes(self) -> int:
        """Zero eigenvalues, rigid motions and left-out particles included."""
        if not self.largest:
            return self._size
        values = self.eigenvalues[0]
        flat = int((np.abs(values) <= self.threshold).sum())
        return flat if self.method == "dense" else flat + self.expected_zero_modes

    @property
    def smallest(self) -> float:
        """The smallest eigenvalue in size that is not zero; zero when there is none."""
        values = np.abs(self.eigenvalues[0])
        values = values[values > self.threshold]
        return float(values.min()) if len(values) else 0.0

    @property
    def condition(self) -> float:
        """Largest over smallest eigenvalue; infinite when nothing holds."""
        return self.largest / self.smallest if self.smallest else np.inf


_rigid_modes = jax.jit(hessian.rigid_modes)


@jax.jit
def _assemble(system: System, neighbors: Any, mobile: Any) -> tuple[Any, Any, Any]:
    matrix = hessian.dense(system, neighbors, mobile)
    top = jnp.max(jnp.sum(jnp.abs(matrix), axis=1))
    modes = hessian.rigid_modes(system.structure, mobile)
    modes = hessian.confirmed(modes, lambda v: matrix @ v, top)
    return masked_force(system, neighbors, mobile), modes, matrix


@jax.jit
def _survey(system: System, neighbors: Any, mobile: Any) -> tuple[Any, Any, Any]:
    top = hessian.largest_curvature(system, neighbors, mobile)
    modes = hessian.rigid_modes(system.structure, mobile)
    modes = hessian.confirmed(modes, hessian.flat_operator(system, neighbors, mobile), top)
    return masked_force(system, neighbors, mobile), modes, top


@jax.jit
def masked_force(system: System, neighbors: Any, mobile: Any) -> Any:
    """Forces ``[n]`` on the mobile particles."""
    mask = jnp.asarray(mobile)[:, None]
    return jnp.where(mask, systems.force(system, neighbors), 0).reshape(-1)
