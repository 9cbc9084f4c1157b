r"""Sparse Cholesky factorisation by CHOLMOD, where the package ``cvxopt`` is installed.

:math:`A = L L^T` exists for positive definite matrices only, which makes it a test besides. Its
columns are taken in blocks, so that a large factor costs a fifth of SuperLU's time.

Reference: Chen, Davis, Hager and Rajamanickam, ACM Trans. Math. Softw. 35 (2008) 22.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from typing import Any

import numpy as np

Solve = Callable[[np.ndarray], np.ndarray]


def factorise(matrix: Any) -> Solve | None:
    """``rhs [n, m] -> x [n, m]``; ``None`` without the package, or if A is not positive definite.

    Args:
        matrix: ``[n, n]`` SciPy CSC, symmetric, float64.

    Example:
        >>> from scipy.sparse import csc_array
        >>> solve = factorise(csc_array([[2.0, -1.0], [-1.0, 2.0]]))
        >>> solve is None or bool(np.allclose(solve(np.ones((2, 1))), 1.0))
        True
        >>> factorise(csc_array([[1.0, 2.0], [2.0, 1.0]])) is None
        True
    """
    if not installed(matrix):
        return None
    import cvxopt
    from cvxopt import cholmod
    from scipy.sparse import tril

    half = tril(matrix, format="coo")
    given = cvxopt.spmatrix(half.data, half.row, half.col, matrix.shape)
    factor = cholmod.symbolic(given)
    try:
        cholmod.numeric(given, factor)
    except ArithmeticError:
        return None

    def solve(rhs: np.ndarray) -> np.ndarray:
        x = cvxopt.matrix(rhs)
        cholmod.solve(factor, x)
        return np.asarray(x)

    return solve


def installed(matrix: Any) -> bool:
    """Whether there is a Cholesky factorisation for this kind of matrix."""
    return matrix.dtype == np.float64 and importlib.util.find_spec("cvxopt") is not None
