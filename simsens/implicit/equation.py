"""An optimality function with what is known and asked of it: what every derivative starts from."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp

from simsens.implicit.failure import check_policy
from simsens.implicit.linear_solve.choice import automatic
from simsens.implicit.linear_solve.solution import LinearSolution, Product, Solve, judged, ratio
from simsens.implicit.ravel import ravel
from simsens.implicit.structure import Declared, declared

FAR = 1e-2  # how far, relative to x, the root may seem to be when no tolerance is given


@dataclass(frozen=True)
class Equation:
    r"""F with what is known and asked of it.

    Attributes:
        optimality_fun: ``F(x, *args, **kwargs)``.
        has_aux: whether F returns ``(value, aux)``.
        solve: the linear solver, or ``None``.
        structure: what is known of :math:`\partial_1 F`.
        on_failure: the policy.
        tol: norm of F up to which x counts as a root, or ``None``.
    """

    optimality_fun: Callable[..., Any]
    has_aux: bool = False
    solve: Solve | None = None
    structure: Declared = field(default_factory=Declared)
    on_failure: str = "nan"
    tol: float | None = None

    def residual(self, point: Any, args: Any, kwargs: Any, unravel: Any) -> Any:
        """F at the vector ``point``, as a vector of the same length.

        Raises:
            ValueError: another number of equations than unknowns.
        """
        value = self.optimality_fun(unravel(point), *args, **kwargs)
        image = ravel(value[0] if self.has_aux else value)[0]
        if image.shape != point.shape:
            raise ValueError(
                f"a root needs as many equations as unknowns; x holds {point.size} numbers and"
                f" the optimality function returned {image.size}"
                + ("" if self.has_aux else " (if it returns (value, aux), say so)")
            )
        return image.astype(point.dtype)

    def linear_solve(self, product: Product, b: Any, unravel: Any, transposed: bool) -> Any:
        """Solve for a vector with the chosen solver, which sees trees like x.

        Without ``unravel`` it sees vectors.
        """
        solve = self.solve or automatic(self.structure)
        if transposed and not self.structure.symmetric:
            like = b if unravel is None else unravel(b)
            solve = _with_transposed_preconditioner(solve, like)
        if unravel is None:
            return judged(product, b, solve(product, b))
        tree = unravel(b)

        def matvec(v: Any) -> Any:
            return unravel(product(ravel(v)[0]))

        found = judged(matvec, tree, solve(matvec, tree))
        return LinearSolution(
            ravel(found.value)[0].astype(b.dtype), found.residual, found.iterations,
            found.converged, found.discarded,
        )  # fmt: skip


def _with_transposed_preconditioner(solve: Any, like: Any) -> Any:
    given = getattr(solve, "keywords", {}).get("preconditioner")
    if given is None:
        return solve

    def transposed(r: Any) -> Any:
        return jax.linear_transpose(given, like)(r)[0]

    return functools.partial(
        solve.func, *solve.args, **{**solve.keywords, "preconditioner": transposed}
    )


def distance(equation: Equation, residual: Any, product: Product, point: Any) -> tuple[Any, Any]:
    r"""The norm of F at a point, and whether the point is near enough to a root.

    Without a tolerance the distance to the root is estimated as :math:`|F|^2 / |A F|`, the step
    along F that reduces it most, and must be below one percent of x. That costs one product and
    depends on no unit; it tells a point that was left early, not one that is a little off, whose
    derivative a certificate bounds.
    """
    size = jnp.linalg.norm(residual)
    if equation.tol is not None:
        return size, size <= equation.tol
    turned = jnp.linalg.norm(product(ratio(residual, size)))
    step = jnp.where(size > 0, size / turned, 0)
    eps = float(jnp.finfo(point.dtype).eps)
    return size, step <= FAR * jnp.linalg.norm(point) + eps**0.75


def equation_of(
    optimality_fun: Callable[..., Any],
    has_aux: bool,
    solve: Solve | None,
    symmetric: bool | None,
    definite: bool | None,
    *,
    on_failure: str,
    tol: float | None,
) -> Equation:
    """Check what was asked and put it with what F declares."""
    check_policy(on_failure)
    own = declared(optimality_fun)
    definite = own.definite if definite is None else definite
    symmetric = (own.symmetric if symmetric is None else symmetric) or definite
    structure = Declared(bool(symmetric), bool(definite))
    return Equation(optimality_fun, has_aux, solve, structure, on_failure, tol)
