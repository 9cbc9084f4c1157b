r"""Sparse Cholesky factorisation by CHOLMOD, where the package ``cholespy`` is installed.

:math:`A = L L^T` exists for positive definite matrices only, which makes it a test besides. It is
several times faster than SuperLU for many right-hand sides.

Reference: Chen, Davis, Hager and Rajamanickam, ACM Trans. Math. Softw. 35 (2008) 22.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib.util
import os
import tempfile
import threading
from collections.abc import Callable, Iterator
from typing import IO, Any

import numpy as np

Solve = Callable[[np.ndarray], np.ndarray]

WARNING = b"CHOLMOD warning"
_ASIDE = threading.Lock()


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
    from cholespy import CholeskySolverD, MatrixType

    indices = (part.astype(np.int32) for part in (matrix.indptr, matrix.indices))
    try:
        with _quiet():
            factor = CholeskySolverD(len(matrix.indptr) - 1, *indices, matrix.data, MatrixType.CSC)
    except ValueError:
        return None

    def solve(rhs: np.ndarray) -> np.ndarray:
        rhs = np.ascontiguousarray(rhs)
        x = np.zeros_like(rhs)
        factor.solve(rhs, x)
        return x

    return solve


def installed(matrix: Any) -> bool:
    """Whether there is a Cholesky factorisation for this kind of matrix."""
    return matrix.dtype == np.float64 and importlib.util.find_spec("cholespy") is not None


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """CHOLMOD writes to standard output that a matrix is not definite, which is ours to tell.

    The output is the process's: one thread at a time turns it aside, and what others wrote
    meanwhile is written after all.
    """
    libc = ctypes.CDLL(None) if os.name == "posix" else None
    with _ASIDE, contextlib.ExitStack() as ends:
        try:
            kept = os.dup(1) if libc else None
        except OSError:
            kept = None  # nobody listens
        if libc is None or kept is None:
            yield
            return
        ends.callback(os.close, kept)
        aside = ends.enter_context(_file())
        libc.fflush(None)
        os.dup2(aside.fileno(), 1)
        try:
            yield
        finally:
            libc.fflush(None)
            os.dup2(kept, 1)
            aside.seek(0)
            for line in aside:
                if not line.startswith(WARNING):
                    os.write(1, line)


def _file() -> IO[bytes]:
    """A file of this process alone, in memory where that can be had: the disk may be full."""
    if hasattr(os, "memfd_create"):
        return os.fdopen(os.memfd_create("simsens"), "w+b")
    return tempfile.TemporaryFile()
