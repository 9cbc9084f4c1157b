r"""Some columns of a matrix, their Gram matrix, and a Cholesky factor that follows a choice.

A factor of :math:`G = L L^T` for the members :math:`(j_1, \dots, j_k)` holds those of all its
beginnings. When the choice changes, the factor stays up to the first member that left, and is
bordered by the others: with :math:`G = \begin{pmatrix} G_{11} & G_{12} \\ G_{21} & G_{22}
\end{pmatrix}`, :math:`L_{21} = (L_{11}^{-1} G_{12})^T` and :math:`L_{22}` is the factor of
:math:`G_{22} - L_{21} L_{21}^T`. A pivot of that is what a column has left beside those before it;
where it nearly vanishes the column depends on them.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from scipy.linalg import lapack

Array = np.ndarray

DEPENDENT = 1e-12  # what a column must have left, as a fraction of its square


@dataclass
class WorkingSet:
    r"""Some columns of X, their Gram matrix :math:`G = X_W^T X_W/n + \mu I`, and a factor.

    Attributes:
        X: ``[n, p]``.
        ridge: :math:`\mu`.
        columns: ``[m]`` which columns.
        rows: ``[m, n]`` these columns, each in one piece of memory.
        gram: ``[m, m]`` :math:`G`.
        order: ``[k]`` the members, as positions in ``columns``, that the factor stands for.
        factor: ``[k, k]`` lower, of ``gram[order][:, order]``.

    Example:
        >>> work = WorkingSet(np.array([[2.0, 0.0, 2.0], [0.0, 2.0, 0.0]]), ridge=0.0)
        >>> work.extend(np.array([0, 1, 2]))
        >>> work.factorise(np.array([1, 0, 2]))  # the last depends on the first two
        2
        >>> print(work.solve(np.array([2.0, 4.0])))
        [1. 2.]
    """

    X: Array
    ridge: float
    columns: Array = field(default_factory=lambda: np.zeros(0, int))
    rows: Array = field(init=False)
    gram: Array = field(default_factory=lambda: np.zeros((0, 0)))
    order: Array = field(default_factory=lambda: np.zeros(0, int))
    factor: Array = field(default_factory=lambda: np.zeros((0, 0), order="F"))

    def __post_init__(self) -> None:
        self.rows = np.zeros((0, len(self.X)))

    def extend(self, columns: Array) -> None:
        """Add columns that are not yet in."""
        if not len(columns):
            return
        rows = np.ascontiguousarray(self.X[:, columns].T)
        cross, own = self.rows @ rows.T / len(self.X), rows @ rows.T / len(self.X)
        own[np.diag_indices(len(columns))] += self.ridge
        self.gram = np.block([[self.gram, cross], [cross.T, own]])
        self.rows = np.concatenate([self.rows, rows])
        self.columns = np.concatenate([self.columns, columns])

    def ordered(self, chosen: Array) -> Array:
        """Positions of the chosen members ``[m]``, those that the factor stands for first."""
        known = self.order[chosen[self.order]]
        others = chosen.copy()
        others[known] = False
        return np.concatenate([known, np.flatnonzero(others)])

    def factorise(self, order: Array) -> int:
        """Factorise the Gram matrix of some members; how many of them are independent.

        The factor then stands for these first ones. What it has in common with the last one is
        reused.
        """
        common = min(len(order), len(self.order))
        differs = np.flatnonzero(order[:common] != self.order[:common])
        i = int(differs[0]) if len(differs) else common
        old, new = order[:i], order[i:]
        corner, info = self._bordered(old, new)
        # Each pivot is the square of what a column has left beside those before it.
        left = np.diagonal(corner) ** 2 > DEPENDENT * np.diagonal(self.gram)[new]
        left[info - 1 if info > 0 else len(new) :] = False
        end = i + (len(new) if left.all() else int(np.argmin(left)))
        self.order = order[:end]
        self.factor = np.asfortranarray(self.factor[:end, :end])
        return end

    def _bordered(self, old: Array, new: Array) -> tuple[Array, int]:
        """The factor for members of which it already stands for the old; its new corner."""
        i = len(old)
        factor = np.zeros((i + len(new),) * 2, order="F")
        factor[:i, :i] = self.factor[:i, :i]
        schur = self.gram[new[:, None], new]
        if i and len(new):
            below, _ = lapack.dtrtrs(factor[:i, :i], self.gram[old[:, None], new], lower=True)
            factor[i:, :i] = below.T
            schur -= below.T @ below
        corner, info = lapack.dpotrf(schur, lower=True) if len(new) else (schur, 0)
        factor[i:, i:] = corner
        self.factor = factor
        return corner, info

    def solve(self, b: Array) -> Array:
        """Solve with the Gram matrix of the members that the factor stands for."""
        if not len(b):
            return b
        return lapack.dpotrs(self.factor, b, lower=True)[0]
