r"""A sparse symmetric matrix, factorised once; its pseudo-inverse and the ends of its spectrum.

With the null space known (k orthonormal rows), k unknowns are *pinned* to zero: those on which the
null vectors are most independent (pivoted QR). The rest of the matrix is regular; its solution is
one solution of the whole system, and without its null components it is the pseudo-inverse's.

The eigenvalues next to zero are the largest of the inverse, which a Lanczos iteration finds in a
few solves. Negative ones cannot hide: as long as pivots are taken from the diagonal, the matrix has
as many negative eigenvalues as the factorisation has negative pivots (Sylvester's law of inertia).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from simsens.implicit.linear_solve.solution import SOLVED, LinearSolution

NEAREST = 4  # eigenvalues next to zero that are asked for


class Singular(ArithmeticError):
    """The matrix has null vectors beyond the known ones."""


class SparseFactor:
    """The factorised matrix.

    Args:
        matrix: ``[n, n]`` SciPy sparse, symmetric.
        null_space: ``[k, n]`` orthonormal rows, or rows of zeros.
        kept: ``[n]`` mask of the unknowns that take part; the others have empty rows and columns.

    Raises:
        Singular: more null vectors than those given.

    Example:
        >>> from scipy.sparse import csr_array
        >>> spring = csr_array([[2.0, -2.0], [-2.0, 2.0]])
        >>> factor = SparseFactor(spring, np.array([[0.5, 0.5]]) * 2**0.5, np.ones(2, bool))
        >>> [round(float(x), 6) for x in factor.solve(np.array([[1.0, -1.0]])).value[0]]
        [0.25, -0.25]
    """

    def __init__(self, matrix: Any, null_space: np.ndarray, kept: np.ndarray) -> None:
        from scipy.linalg import qr
        from scipy.sparse.linalg import splu

        self.matrix = matrix
        self.null_space = null_space[(null_space != 0).any(axis=1)]
        self.free = kept.copy()
        if len(self.null_space):
            pivots = qr(self.null_space, mode="r", pivoting=True)[1]
            self.free[pivots[: len(self.null_space)]] = False
        inner = matrix[self.free][:, self.free].tocsc()
        try:
            self.factor = splu(
                inner,
                permc_spec="MMD_AT_PLUS_A",
                diag_pivot_thresh=0.0,
                options={"SymmetricMode": True},
            )
        except RuntimeError as error:
            raise Singular("the matrix is singular beyond its known null space") from error
        #: Whether every pivot came from the diagonal, so that their signs are the inertia.
        self.symmetric = bool(np.array_equal(self.factor.perm_r, self.factor.perm_c))
        self.negative = int((self.factor.U.diagonal() < 0).sum())

    def solve(self, rhs: np.ndarray) -> LinearSolution:
        """Solve for the rows of ``rhs [m, n]``, refined once, with true residuals."""
        rhs = self._project(np.asarray(rhs))
        x = self._once(rhs)
        x = x + self._once(self._residual(rhs, x))
        scale = np.linalg.norm(rhs, axis=1)
        size = np.linalg.norm(self._residual(rhs, x), axis=1) / np.where(scale > 0, scale, 1)
        return LinearSolution(x, size, np.zeros(len(rhs), int), size < SOLVED)

    def near_zero(self) -> tuple[np.ndarray, bool]:
        """Eigenvalues of smallest size, ascending, and whether they are sure."""
        from scipy.sparse.linalg import ArpackNoConvergence, LinearOperator, eigsh

        n = len(self.free)
        inverse = LinearOperator(
            (n, n), matvec=lambda b: self._once(self._project(b.reshape(1, n)))[0], dtype=float
        )
        start = np.random.default_rng(0).standard_normal(n)
        try:
            found = eigsh(
                inverse, k=min(NEAREST, n - 1), v0=start, tol=1e-6, return_eigenvectors=False
            )
            sure = self.symmetric
        except ArpackNoConvergence as failure:
            found, sure = failure.eigenvalues, False
        return np.sort(1 / found), sure and len(found) > 0

    def _once(self, rhs: np.ndarray) -> np.ndarray:
        x = np.zeros_like(rhs)
        x[:, self.free] = self.factor.solve(np.ascontiguousarray(rhs[:, self.free].T)).T
        return self._project(x)

    def _residual(self, rhs: np.ndarray, x: np.ndarray) -> np.ndarray:
        return self._project(rhs - (self.matrix @ x.T).T)

    def _project(self, v: np.ndarray) -> np.ndarray:
        return v - (v @ self.null_space.T) @ self.null_space
