"""Solvers of optimistix (https://docs.kidger.site/optimistix), with our verdict and derivative."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from simsens.implicit.fixed_point import displacement
from simsens.optimality.stationary import stationary

PROBLEMS = ("minimise", "root_find", "fixed_point")


@dataclass(frozen=True)
class Optimistix:
    r"""An optimistix solver on ``fun(x, *args)``, by optimistix's own loop and stopping.

    Its tolerances are its own; the verdict here is by the residual that it leaves. It is run again
    and judged, never differentiated.

    Attributes:
        fun: f to minimise, F whose root is sought, or T whose fixed point is, after ``problem``.
        solver: e.g. ``optimistix.BFGS(rtol=1e-10, atol=1e-10)``.
        problem: ``"minimise"``, ``"root_find"`` or ``"fixed_point"``, optimistix's words.

    Raises:
        ValueError: another problem.

    Example:
        >>> import optimistix
        >>> from simsens.solvers import solve
        >>> newton = optimistix.Newton(rtol=1e-10, atol=1e-10)
        >>> root = Optimistix(lambda x, theta: x**3 - theta, newton, "root_find")
        >>> float(solve(root, 1.0, 8.0).value)
        2.0
    """

    fun: Callable[..., Any]
    solver: Any
    problem: str = "minimise"

    def __post_init__(self) -> None:
        if self.problem not in PROBLEMS:
            raise ValueError(
                f"problem must be one of {', '.join(PROBLEMS)}, found {self.problem!r}"
            )

    def optimality(self) -> Callable[..., Any]:
        """The gradient of f, F itself, or :math:`x - T`."""
        if self.problem == "minimise":
            return stationary(self.fun)
        return displacement(self.fun) if self.problem == "fixed_point" else self.fun

    def run(self, init: Any, args: Any, tol: float, maxiter: int) -> tuple[Any, Any]:
        """By optimistix; the tolerance is that of ``solver``."""
        import optimistix

        def fun(x: Any, args: Any) -> Any:
            return self.fun(x, *args)

        found = getattr(optimistix, self.problem)(
            fun, self.solver, init, args, max_steps=maxiter, throw=False
        )
        return found.value, found.stats["num_steps"]
