"""JAXopt's two functions: the products of a root's Jacobian with a vector, from either side."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from simsens.implicit.equation import distance, equation_of
from simsens.implicit.failure import enforced
from simsens.implicit.linear_solve.solution import LinearSolution, Solve
from simsens.implicit.prepared import PreparedRoot, prepared
from simsens.implicit.ravel import ravel
from simsens.implicit.root import NOT_A_ROOT, NOT_SOLVED


def root_jvp(
    optimality_fun: Callable[..., Any],
    sol: Any,
    args: tuple[Any, ...],
    tangents: tuple[Any, ...],
    solve: Solve | None = None,
    *,
    on_failure: str = "nan",
    tol: float | None = None,
    **options: Any,
) -> Any:
    r"""The Jacobian-vector product of a root, :math:`J \dot\theta = -A^{-1} B \dot\theta`.

    JAXopt's function.

    Args:
        optimality_fun: F, with ``optimality_fun(sol, *args) == 0``.
        sol: the root, a tree.
        args: tuple of arguments.
        tangents: one for each argument; ``None`` for none.
        solve: as for ``implicit_root``.
        on_failure: as for ``implicit_root``.
        tol: as for ``implicit_root``.
        **options: ``symmetric``, ``definite``, ``has_aux``.

    Raises:
        ValueError: another number of tangents than arguments, or of another shape.
        DerivativeFailed: under ``on_failure="raise"``.

    Example:
        >>> float(root_jvp(lambda x, a: x**2 - a, 3.0, (9.0,), (6.0,)))
        1.0
    """
    root = _prepare(optimality_fun, sol, args, solve, on_failure, tol, options)
    value, solution = root.jvp(tangents)
    return _enforced(root, value, solution)


def root_vjp(
    optimality_fun: Callable[..., Any],
    sol: Any,
    args: tuple[Any, ...],
    cotangent: Any,
    solve: Solve | None = None,
    *,
    on_failure: str = "nan",
    tol: float | None = None,
    **options: Any,
) -> tuple[Any, ...]:
    r"""The vector-Jacobian product of a root: a tuple like ``args``, from one solve.

    JAXopt's function; arguments as ``root_jvp``, with a ``cotangent`` like the root.

    Example:
        >>> float(root_vjp(lambda x, a: x**2 - a, 3.0, (9.0,), 6.0)[0])
        1.0
    """
    root = _prepare(optimality_fun, sol, args, solve, on_failure, tol, options)
    value, solution = root.vjp(cotangent)
    return _enforced(root, value, solution)


def _prepare(
    optimality_fun: Any, x: Any, args: Any, solve: Any, on_failure: str, tol: Any, options: Any
) -> PreparedRoot:
    symmetric, definite = options.pop("symmetric", None), options.pop("definite", None)
    equation = equation_of(
        optimality_fun, options.pop("has_aux", False), solve, symmetric, definite,
        on_failure=on_failure, tol=tol,
    )  # fmt: skip
    if options:
        raise TypeError(f"unknown option {next(iter(options))!r}")
    return prepared(equation, x, tuple(args), {})


def _enforced(root: PreparedRoot, tree: Any, solution: LinearSolution) -> Any:
    linear, policy = root.linear, root.equation.on_failure
    if policy == "keep":
        return tree
    size, near = distance(root.equation, linear.residual, linear.product, ravel(linear.x)[0])
    numbers = (solution.residual, solution.iterations)
    tree = enforced(policy, tree, solution.converged, NOT_SOLVED, *numbers)
    return enforced(policy, tree, near, NOT_A_ROOT, size)
