r"""The lowest eigenvectors of a symmetric matrix, a few of many, by Lanczos iterations.

The iteration (ARPACK: Lehoucq, Sorensen and Yang, ARPACK Users' Guide, 1998) finds what is on top
of a spectrum. The lowest of A are on top of its inverse, a step of which is a solve with a sparse
factor, and on top of :math:`c - A`, for which products suffice. The first needs tens of steps, the
second hundreds or thousands, as the square root of the condition number.

An iteration from one vector may miss copies of a repeated eigenvalue, of which crystals have many.
So it is run again in what is left, until nothing lower turns up.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from simsens.implicit.sparse_factor import Singular, SparseFactor

SHIFTS = (1e-6, 1e-4, 1e-2, 2.0)  # of the largest eigenvalue; the last makes all positive
ATTEMPTS = 1000  # restarts of an iteration
SAME = 1e-9  # difference, of the largest eigenvalue, below which two are copies

Product = Callable[[np.ndarray], np.ndarray]


class ModesNotFound(RuntimeError):
    """The iteration ended before the modes that were asked for had converged."""


def lowest(product: Product, matrix: Any, known: np.ndarray, top: float, count: int) -> np.ndarray:
    """Orthonormal eigenvectors ``[n, count]`` of the lowest eigenvalues, beyond those known.

    Args:
        product: ``v [n] -> A v``.
        matrix: A in SciPy's sparse form, to be factorised, or ``None`` to go by products alone.
        known: ``[k, n]`` orthonormal rows, eigenvectors of eigenvalue zero.
        top: the largest eigenvalue in size, or a tenth less.
        count: how many.

    Raises:
        ModesNotFound: not converged.

    Example:
        >>> from scipy.sparse import diags_array
        >>> matrix = diags_array(np.array([3.0, 1.0, 1.0, 7.0, 5.0, 9.0, 4.0]))
        >>> found = lowest(lambda v: matrix @ v, matrix, np.zeros((0, 7)), 9.0, 2)
        >>> bool(np.allclose(np.abs(found[[0, 3, 4, 5, 6]]), 0))
        True
    """
    operator = _inverse(matrix, known, top) if matrix is not None else None
    if operator is None:

        def operator(v: np.ndarray) -> np.ndarray:
            return 1.1 * top * v - product(v)

    found = _on_top(operator, known, count)
    value = np.array([v @ product(v) for v in found.T])
    close = max(SAME, 100 * float(np.finfo(known.dtype).eps)) * top
    while len(known) + count < known.shape[1]:
        missed = _on_top(operator, np.vstack([known, found.T]), 1)[:, 0]
        lower, highest = float(missed @ product(missed)), value.argmax()
        if lower >= value[highest] - close:
            break
        found[:, highest], value[highest] = missed, lower
    return found


def _on_top(operator: Product, without: np.ndarray, count: int) -> np.ndarray:
    """Eigenvectors ``[n, count]`` of the largest eigenvalues, orthogonal to these rows.

    The operator is positive there; on the rows it is made zero.
    """
    from scipy.sparse.linalg import ArpackNoConvergence, LinearOperator, eigsh

    n, dtype = without.shape[1], without.dtype

    def project(v: np.ndarray) -> np.ndarray:
        return v - without.T @ (without @ v)

    def apply(v: np.ndarray) -> np.ndarray:
        return project(operator(project(np.ravel(v))))

    random = np.random.default_rng(len(without)).standard_normal(n)
    start = project(np.asarray(random, dtype))
    try:
        found = eigsh(
            LinearOperator((n, n), matvec=apply, dtype=dtype),
            k=count, v0=start, which="LA", ncv=min(n, max(2 * count + 20, 80)),
            maxiter=ATTEMPTS, tol=max(1e-12, 10 * float(np.finfo(dtype).eps)),
        )[1]  # fmt: skip
    except ArpackNoConvergence as failure:
        raise ModesNotFound(
            f"only {len(failure.eigenvalues)} of {count} modes converged in {ATTEMPTS} restarts:"
            " ask for another count, or solver='dense' or 'sparse'"
        ) from failure
    return np.asarray(np.linalg.qr(project(found))[0])


def _inverse(matrix: Any, known: np.ndarray, top: float) -> Product | None:
    """The inverse of the matrix, shifted as little as makes it positive definite.

    The least shift is for eigenvalues that are zero: a factor of rounding errors looks regular.
    """
    kept, double = np.ones(matrix.shape[0], bool), matrix.astype(np.float64)
    for shift in SHIFTS:
        try:
            factor = SparseFactor(double, known, kept, shift * top)
        except Singular:
            continue
        if factor.definite:
            return partial(_solved, factor)
    return None


def _solved(factor: SparseFactor, v: np.ndarray) -> np.ndarray:
    return np.asarray(factor.solve(v[None].astype(np.float64)).value)[0].astype(v.dtype)
