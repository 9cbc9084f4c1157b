"""Solve the normal equations of a derivative by one Cholesky factor, and refuse without evidence.

The matrix of a least-squares problem is at hand, as a Gram matrix. Factorised once it serves the
derivative, its adjoint, and both again at second order. Claims (the minimum was reached, there is
only one) are checked where a derivative is asked for, and only there; where one does not hold, the
policy of ``simsens.implicit.failure`` decides.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax.numpy as jnp
from jax.scipy.linalg import cho_solve

from simsens.implicit.failure import enforced
from simsens.implicit.linear_solve.solution import Product, Solve, judged
from simsens.implicit.linear_solve.symmetric import solve_cg
from simsens.implicit.root import NOT_SOLVED

NOT_UNIQUE = (
    "the minimum is not unique, nor is its derivative: the columns of X that count are linearly"
    " dependent; leave some out, or penalise the squares"
)


class Claim(NamedTuple):
    """Something that must hold for a derivative to exist.

    Attributes:
        fine: a flag.
        message: what to say otherwise, with a field in braces for each number.
        numbers: scalars to be told.
    """

    fine: Any
    message: str
    numbers: tuple[Any, ...] = ()


def own_policy(on_failure: str) -> str:
    """The policy to hand to ``implicit_root``, whose own checks say less than the claims.

    Under "raise" it must know, since it then compiles no program of its own, in which JAX would
    wrap the exception.
    """
    return "raise" if on_failure == "raise" else "keep"


def factored_solve(factor: Any, claims: tuple[Claim, ...], on_failure: str) -> Solve:
    """``solve(matvec, b)`` by a lower Cholesky factor, for ``implicit_root``.

    Args:
        factor: ``[m, m]``, or ``None`` for conjugate gradients.
        claims: what must hold.
        on_failure: what to do otherwise.

    Example:
        >>> solve = factored_solve(2 * jnp.eye(1), (Claim(False, "no"),), "nan")
        >>> float(solve(lambda v: 4 * v, jnp.ones(1))[0])
        nan
    """

    def solve(matvec: Product, b: Any) -> Any:
        if factor is None:
            found = solve_cg(matvec, b)
        else:
            found = judged(matvec, b, cho_solve((factor, True), b))
        x, solved = found.value, found.converged
        for claim in claims:
            x = enforced(on_failure, x, claim.fine, claim.message, *claim.numbers)
            solved |= ~jnp.asarray(claim.fine)  # one reason is enough
        return enforced(on_failure, x, solved, NOT_SOLVED, found.residual, found.iterations)

    return solve
