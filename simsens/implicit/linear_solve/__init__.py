"""Linear systems, solved with evidence: every solver returns its true residual and a verdict.

All are called ``solve(matvec, b)`` on trees, as JAXopt's, and return a ``LinearSolution``.
"""

from simsens.implicit.linear_solve.choice import automatic, solver_for
from simsens.implicit.linear_solve.dense import (
    Factorisation,
    factorised,
    solve_cholesky,
    solve_lstsq,
    solve_lu,
    solve_symmetric,
)
from simsens.implicit.linear_solve.foreign import from_lineax
from simsens.implicit.linear_solve.general import solve_bicgstab, solve_gmres, solve_normal_cg
from simsens.implicit.linear_solve.neumann import k_step, one_step, solve_neumann
from simsens.implicit.linear_solve.preconditioner import block_jacobi, diagonal_of, jacobi
from simsens.implicit.linear_solve.solution import LinearSolution
from simsens.implicit.linear_solve.symmetric import solve_block_cg, solve_cg, solve_minres

#: Every solver by name, and what it needs of the matrix: read by the tests and the documentation.
SOLVERS = {
    "solve_lu": (solve_lu, "any"),
    "solve_lstsq": (solve_lstsq, "any"),
    "solve_symmetric": (solve_symmetric, "symmetric"),
    "solve_cholesky": (solve_cholesky, "definite"),
    "solve_cg": (solve_cg, "definite"),
    "solve_minres": (solve_minres, "symmetric"),
    "solve_gmres": (solve_gmres, "any"),
    "solve_bicgstab": (solve_bicgstab, "any"),
    "solve_normal_cg": (solve_normal_cg, "any"),
    "solve_neumann": (solve_neumann, "contraction"),
}

__all__ = [
    "SOLVERS",
    "Factorisation",
    "LinearSolution",
    "automatic",
    "block_jacobi",
    "diagonal_of",
    "factorised",
    "from_lineax",
    "jacobi",
    "k_step",
    "one_step",
    "solve_block_cg",
    "solver_for",
    *SOLVERS,
]
