r"""A sparse symmetric matrix, factorised once; its pseudo-inverse and the ends of its spectrum.

With the null space known (k orthonormal rows), k unknowns are *pinned* to zero: those on which the
null vectors are most independent (pivoted QR). The rest of the matrix is regular; its solution is
one solution of the whole system, and without its null components it is the pseudo-inverse's.

The eigenvalues next to zero are the largest of the inverse, which a Lanczos iteration finds in a
few solves. Negative ones cannot hide: as long as pivots are taken from the diagonal, the matrix has
as many negative eigenvalues as the factorisation has negative pivots (Sylvester's law of inertia).
"""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np

from simsens.implicit import cholesky
from simsens.implicit.linear_solve.solution import LinearSolution, solved

POWERS = 16  # steps towards the largest eigenvalue
NEAREST = 4  # eigenvalues next to zero that are asked for
REFINED = 1e-14  # relative residuals above it are refined once


def largest(matrix: Any) -> float:
    """The largest eigenvalue in size of a symmetric sparse matrix, by power steps: never above it.

    Example:
        >>> from scipy.sparse import diags_array
        >>> round(largest(diags_array([1.0, 2.0, -9.0])), 6)
        9.0
    """
    v = np.random.default_rng(0).standard_normal(matrix.shape[0]).astype(matrix.dtype)
    size = np.linalg.norm(v)
    for _ in range(POWERS):
        v = matrix @ (v / (size or 1.0))
        size = np.linalg.norm(v)
    return float(size)


class Singular(ArithmeticError):
    """The matrix has null vectors beyond the known ones."""


class SparseFactor:
    """The factorised matrix.

    Args:
        matrix: ``[n, n]`` SciPy sparse, symmetric.
        null_space: ``[k, n]`` orthonormal rows, or rows of zeros.
        kept: ``[n]`` mask of the unknowns that take part; the others have empty rows and columns.
        shift: added to the diagonal of the unknowns that take part.

    Raises:
        Singular: more null vectors than those given, or nothing that takes part.

    Example:
        >>> from scipy.sparse import csr_array
        >>> spring = csr_array([[2.0, -2.0], [-2.0, 2.0]])
        >>> factor = SparseFactor(spring, np.array([[0.5, 0.5]]) * 2**0.5, np.ones(2, bool))
        >>> [round(float(x), 6) for x in factor.solve(np.array([[1.0, -1.0]])).value[0]]
        [0.25, -0.25]
    """

    def __init__(
        self, matrix: Any, null_space: np.ndarray, kept: np.ndarray, shift: float = 0.0
    ) -> None:
        from scipy.linalg import qr
        from scipy.sparse import diags_array

        lifted = (shift * kept).astype(matrix.dtype)  # or single precision becomes double
        self.matrix = matrix + diags_array(lifted) if shift else matrix
        self.null_space = null_space[(null_space != 0).any(axis=1)]
        self.free = kept.copy()
        if len(self.null_space) and not shift:  # a shifted matrix is regular
            pivots = qr(self.null_space, mode="r", pivoting=True)[1]
            self.free[pivots[: len(self.null_space)]] = False
        if not self.free.any():
            raise Singular("no unknown is left to solve for")
        inner = self.matrix.tocsr()[self.free][:, self.free].tocsc()
        self._inner, self._cholesky = inner, cholesky.factorise(inner)
        if not self._cholesky and not (shift and self._told_by_cholesky):
            _ = self._superlu  # which raises; a shifted matrix is asked whether it is definite

    @property
    def definite(self) -> bool:
        """Whether the matrix is positive definite but for its null space."""
        if self._told_by_cholesky:
            return self._cholesky is not None
        return self.symmetric and self.negative == 0

    @property
    def _told_by_cholesky(self) -> bool:
        return cholesky.installed(self._inner)

    @property
    def symmetric(self) -> bool:
        """Whether the inertia is known: every pivot came from the diagonal."""
        if self._cholesky:
            return True
        return bool(np.array_equal(self._superlu.perm_r, self._superlu.perm_c))

    @property
    def negative(self) -> int:
        """Negative eigenvalues, as many as negative pivots."""
        return 0 if self._cholesky else int((self._superlu.U.diagonal() < 0).sum())

    @cached_property
    def _superlu(self) -> Any:
        from scipy.sparse.linalg import splu

        try:
            return splu(
                self._inner,
                permc_spec="MMD_AT_PLUS_A",
                diag_pivot_thresh=0.0,
                options={"SymmetricMode": True},
            )
        except RuntimeError as error:
            raise Singular("the matrix is singular beyond its known null space") from error

    def _substitute(self, rhs: np.ndarray) -> np.ndarray:
        return (self._cholesky or self._superlu.solve)(rhs)

    def solve(self, rhs: np.ndarray) -> LinearSolution:
        """Solve for the rows of ``rhs [m, n]``, refined where it helps, with true residuals."""
        rhs = self._project(np.asarray(rhs))
        scale = np.linalg.norm(rhs, axis=1)
        scale = np.where(scale > 0, scale, 1)
        x = self._once(rhs)
        left = self._residual(rhs, x)
        poor = np.linalg.norm(left, axis=1) > REFINED * scale
        if poor.any():
            x[poor] += self._once(left[poor])
            left = self._residual(rhs, x)
        size = np.linalg.norm(left, axis=1) / scale
        return LinearSolution(x, size, np.zeros(len(rhs), int), size < solved(rhs.dtype))

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
        x[:, self.free] = self._substitute(rhs[:, self.free].T).T
        return self._project(x)

    def _residual(self, rhs: np.ndarray, x: np.ndarray) -> np.ndarray:
        return self._project(rhs - (self.matrix @ x.T).T)

    def _project(self, v: np.ndarray) -> np.ndarray:
        return v - (v @ self.null_space.T) @ self.null_space
