"""The solver that is used when none is named: by what the mapping declares, and by size."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from simsens.implicit.linear_solve.dense import (
    DENSE_LIMIT,
    Factorisation,
    factorised,
    materialise,
    solve_cholesky,
    solve_lu,
    solve_symmetric,
)
from simsens.implicit.linear_solve.general import solve_gmres
from simsens.implicit.linear_solve.solution import LinearSolution, Product
from simsens.implicit.linear_solve.symmetric import solve_cg, solve_minres
from simsens.implicit.ravel import ravel
from simsens.implicit.structure import Declared


def solver_for(size: int, structure: Declared) -> Callable[..., LinearSolution]:
    """The solver for a system of ``size`` unknowns; never the normal equations.

    ============ ============= ============ ==============
    unknowns     definite      symmetric    anything else
    ============ ============= ============ ==============
    up to 1,500  Cholesky      LU           LU
    more         CG            MINRES       GMRES
    ============ ============= ============ ==============

    The factorisations fall back to the pseudo-inverse where the matrix is singular.

    Example:
        >>> solver_for(10**6, Declared(symmetric=True)).__name__
        'solve_minres'
    """
    small = size <= DENSE_LIMIT
    if structure.definite:
        return solve_cholesky if small else solve_cg
    if structure.symmetric:
        return solve_symmetric if small else solve_minres
    return solve_lu if small else solve_gmres


def automatic(structure: Declared) -> Callable[..., LinearSolution]:
    """``solve(matvec, b)`` that calls what ``solver_for`` chooses for the size of b."""
    return partial(_solve, structure)


def kept_factors(
    solve: Any, structure: Declared, product: Product, size: int, dtype: Any
) -> Factorisation | None:
    """The factorised matrix when that is the way to solve, so that it is done once for all.

    Args:
        solve: the solver that was asked for, or ``None``.
        structure: what is known of the matrix.
        product: ``v -> A v`` on vectors.
        size: of the vectors.
        dtype: of the vectors.
    """
    if solve is None:
        if size > DENSE_LIMIT:
            return None
    elif solve is solve_lu:
        structure = Declared()
    elif solve is solve_symmetric:
        structure = Declared(symmetric=True)
    elif solve is solve_cholesky:
        structure = Declared(symmetric=True, definite=True)
    else:
        return None
    matrix = materialise(product, size, dtype)
    return factorised(matrix, structure.symmetric, structure.definite)


def _solve(structure: Declared, matvec: Product, b: Any, **options: Any) -> LinearSolution:
    return solver_for(ravel(b)[0].size, structure)(matvec, b, **options)
