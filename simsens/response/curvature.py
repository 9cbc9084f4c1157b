"""The curvature of the energy at a point: factorised once, asked often.

``Curvature`` answers what the Newton steps, the sensitivities and their certificates need: solve
for many right-hand sides, and tell the zero, the negative and the smallest positive eigenvalues.
There are three ways, chosen by size:

* *dense*: all eigenvalues and eigenvectors;
* *sparse*: a sparse factorisation, in two dimensions, where it fills in little;
* *cg*: projected conjugate gradients, and a Lanczos iteration for the smallest eigenvalues, which
  may fail and then says so.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from simsens.implicit.linear_solve import LinearSolution, solve_cg
from simsens.implicit.linear_solve.dense import DENSE_LIMIT, null_fraction
from simsens.implicit.linear_solve.spectrum import spectrum
from simsens.implicit.sparse_factor import Singular, SparseFactor
from simsens.particles import pair
from simsens.particles import system as systems
from simsens.particles.neighbors import NeighborList
from simsens.particles.system import System
from simsens.response import hessian

SOLVERS = ("auto", "dense", "sparse", "cg")
NEWTON_TOLERANCE = 1e-3  # relative residual of a Newton step's linear system
SPARSE_LIMIT = 400_000  # unknowns of a two-dimensional system


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
    flat = system.structure.dimension == 2 and size <= SPARSE_LIMIT
    return "sparse" if of_pairs and flat else "cg"


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
        arguments = (system, neighbors, self.mobile)
        found = (_assemble if self.method == "dense" else _survey)(*arguments)
        self.force, self.rigid_modes = np.asarray(found[0]), np.asarray(found[1])
        if self.method == "dense":
            matrix = np.asarray(found[2])
            top = np.abs(matrix).sum(axis=1).max(initial=0)
            self._factorise(matrix + shift * top * np.diag(self._kept))
            return
        self._top = float(found[2])
        self._shift = shift * self._top
        if self.method == "sparse" and neighbors is not None:
            listed = (np.asarray(neighbors.index), np.asarray(neighbors.mask))
            blocks = np.asarray(_blocks(system, neighbors))
            matrix = hessian.sparse(blocks, *listed, self.mobile)
            try:
                self._factor = SparseFactor(matrix, self.rigid_modes, self._kept, self._shift)
                self._definite = self._factor.definite
            except Singular:  # floppy: only an iteration from zero still has a meaning
                self.method = "cg"

    def _factorise(self, matrix: np.ndarray) -> None:
        # At a point that is not quite a minimum a free rotation costs about the residual force; it
        # is taken out exactly, so that it is neither inverted nor counted as a curvature.
        modes = self.rigid_modes
        matrix = matrix - modes.T @ (modes @ matrix)
        self._matrix = matrix - (matrix @ modes.T) @ modes
        self._spectrum = spectrum(self._matrix)

    def solve(self, rhs: Any) -> LinearSolution:
        """Solve for the rows of ``rhs [m, n]``, with one true residual each."""
        rhs = np.asarray(rhs)
        if self.method == "sparse":
            return self._factor.solve(rhs)
        if self.method == "cg":
            return self._by_cg(rhs, 1e-14)
        rhs = rhs - (rhs @ self.rigid_modes.T) @ self.rigid_modes
        found = self._spectrum.solve(lambda v: v @ self._matrix, rhs)
        # Eigenvectors of a repeated zero mix: what is left out is zero, not zero to rounding.
        return replace(found, value=np.where(self._kept, found.value, 0))

    @cached_property
    def _step(self) -> LinearSolution:
        return self.solve(self.force[None])

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
            found = self._by_cg(rhs, NEWTON_TOLERANCE)
            if not np.all(found.converged):
                return None
        elif not self.convex:
            return None
        else:
            found = self.solve(rhs)
        return np.asarray(found.value).reshape(np.shape(force))

    def _by_cg(self, rhs: np.ndarray, tol: float) -> LinearSolution:
        matrix = (self.system, self.neighbors, self.mobile, self.rigid_modes)
        return _solve_cg(*matrix, rhs, self._shift, tol)

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
            found, sure = _lanczos(
                self.system, self.neighbors, self.mobile, self.rigid_modes, self._top
            )
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
    modes = hessian.confirmed(modes, _flat_operator(system, neighbors, mobile), top)
    return masked_force(system, neighbors, mobile), modes, top


@jax.jit
def _blocks(system: System, neighbors: Any) -> Any:
    position = jnp.asarray(system.structure.position)
    return pair.stiffness(system.potential, system.structure, position, neighbors).blocks()


@jax.jit
def _solve_cg(
    system: System, neighbors: Any, mobile: Any, modes: Any, rhs: Any, shift: Any, tol: Any
) -> LinearSolution:
    apply = _flat_operator(system, neighbors, mobile)

    def shifted(v: Any) -> Any:
        return apply(v) + shift * v

    return jax.lax.map(lambda b: solve_cg(shifted, b, null_space=modes, tol=tol), rhs)


@jax.jit
def _lifted(system: System, neighbors: Any, mobile: Any, modes: Any, top: Any, v: Any) -> Any:
    """The Hessian times v, with everything known to be flat lifted to the top of the spectrum."""
    still = jnp.repeat(~jnp.asarray(mobile), system.structure.dimension)
    flat = modes.T @ (modes @ v)
    image = _flat_operator(system, neighbors, mobile)(v - flat)
    image = image - modes.T @ (modes @ image)
    return image + top * flat + top * jnp.where(still, v, 0)


def _lanczos(
    system: System, neighbors: Any, mobile: Any, modes: Any, top: float
) -> tuple[np.ndarray, bool]:
    from scipy.sparse.linalg import ArpackNoConvergence, LinearOperator, eigsh

    n = modes.shape[1]

    def matvec(v: np.ndarray) -> np.ndarray:
        return np.asarray(_lifted(system, neighbors, mobile, modes, top, v.reshape(-1)))

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
    return np.sort(found), sure and len(found) > 0


@jax.jit
def masked_force(system: System, neighbors: Any, mobile: Any) -> Any:
    """Forces ``[n]`` on the mobile particles."""
    mask = jnp.asarray(mobile)[:, None]
    return jnp.where(mask, systems.force(system, neighbors), 0).reshape(-1)


def _flat_operator(system: System, neighbors: Any, mobile: Any) -> Any:
    shape = jnp.shape(system.structure.position)
    apply = hessian.operator(system, neighbors, mobile)
    return lambda v: apply(v.reshape(shape)).reshape(-1)
