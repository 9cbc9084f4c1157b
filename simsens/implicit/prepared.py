r"""A root linearised once and factorised once, for many derivatives in both directions.

    root = prepare_root(F, x, theta)
    value, solution = root.jvp((dtheta,))       # dx = J dtheta
    value, solution = root.vjp(dx)              # (J^T dx,), one solve for all arguments

This is the explicit form of what ``custom_root`` does inside ``jax.jvp`` and ``jax.vjp``: it hands
out the evidence of each linear solve instead of acting on it.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp

from simsens.implicit import compiled
from simsens.implicit.equation import Equation, equation_of
from simsens.implicit.linear_solve.choice import automatic, kept_factors
from simsens.implicit.linear_solve.dense import Factorisation
from simsens.implicit.linear_solve.solution import LinearSolution, Product, Solve
from simsens.implicit.linear_solve.symmetric import solve_block_cg
from simsens.implicit.ravel import is_unknown, ravel
from simsens.implicit.tangents import cotangents, flat_cotangent, flat_tangents, numbers


@dataclass(frozen=True)
class Linearised:
    """F about a point, as linear maps of vectors; a frozen pytree.

    Attributes:
        x, theta: the point and ``(args, kwargs)``, as they were given.
        residual: ``[n]`` F there.
        tangent: ``(dx [n], dtheta [p]) -> A dx + B dtheta``.
        factorisation: of A, or ``None`` where systems are solved by iteration.
    """

    x: Any
    theta: Any
    residual: Any
    tangent: Any
    factorisation: Factorisation | None

    def product(self, v: Any) -> Any:
        """``A v``."""
        return self.tangent(v, jnp.zeros_like(ravel(self.theta)[0]))

    def pull(self, u: Any) -> tuple[Any, Any]:
        """``(A^T u, B^T u)``."""
        shapes = (ravel(self.x)[0], ravel(self.theta)[0])
        return jax.linear_transpose(self.tangent, *shapes)(u)


jax.tree_util.register_dataclass(
    Linearised,
    data_fields=["x", "theta", "residual", "tangent", "factorisation"],
    meta_fields=[],
)


@dataclass(frozen=True)
class PreparedRoot:
    """A linearised root: see ``prepare_root``.

    Attributes:
        equation: F and what was asked of it.
        linear: its linearisation.
    """

    equation: Equation
    linear: Linearised

    def jvp(
        self, tangents: tuple[Any, ...], *, init: Any = None, many: bool = False
    ) -> tuple[Any, LinearSolution]:
        r"""The directional derivative :math:`J\, \dot\theta`.

        Args:
            tangents: one for each argument, of its structure; ``None`` for those without.
            init: start of an iterative solver, a tree like x.
            many: every tangent has a leading axis of m directions, solved together.

        Returns:
            A tree like x (with the leading axis), and the solve that gave it.

        Raises:
            ValueError: another number of tangents than arguments.

        Example:
            >>> root = prepare_root(lambda x, a: x**2 - a, jnp.array(3.0), 9.0)
            >>> value, solution = root.jvp((1.0,))
            >>> round(float(value), 6), bool(solution.converged)
            (0.166667, True)
        """
        direction = self.direction(tangents, many)
        return compiled.run(_jvp, (self.equation, many), self.linear, direction, init)

    def direction(self, tangents: tuple[Any, ...], many: bool = False) -> Any:
        """Tangents of the arguments as a vector ``[p]``, or rows: what ``tangent`` takes.

        Raises:
            ValueError: another number of tangents than arguments, or of another shape.
        """
        args, kwargs = self.linear.theta
        if len(tangents) != len(args):
            raise ValueError(
                f"one tangent is needed for each of the {len(args)} arguments; got {len(tangents)}"
            )
        return flat_tangents((args, kwargs), (tuple(tangents), None), many)

    def vjp(
        self, cotangent: Any, *, init: Any = None, many: bool = False
    ) -> tuple[tuple[Any, ...], LinearSolution]:
        r"""The adjoint :math:`J^T \bar x`: one solve, whatever the number of parameters.

        Args:
            cotangent: a tree like x.
            init: start of an iterative solver: ``solution.value`` of an earlier call.
            many: the cotangent has a leading axis of m, solved together.

        Returns:
            A tuple like the arguments (``None`` for what is no number, ``float0`` zeros for whole
            numbers), and the adjoint solve.

        Example:
            >>> root = prepare_root(lambda x, a, b: a * x - b, jnp.array(2.0), 3.0, 6.0)
            >>> [round(float(v), 6) for v in root.vjp(1.0)[0]]
            [-0.666667, 0.333333]
        """
        flat = flat_cotangent(self.linear.x, cotangent, many)
        pulled, solution = compiled.run(_vjp, (self.equation, many), self.linear, flat, init)
        return self.arguments(pulled, many), solution

    def arguments(self, pulled: Any, many: bool = False) -> tuple[Any, ...]:
        """A vector ``B^T u [p]``, or rows, as cotangents of the arguments."""
        return cotangents(self.linear.theta[0], pulled, many)

    def solve(self, b: Any, transposed: bool = False) -> LinearSolution:
        """Solve ``A x = b``, or with the transpose, for a vector ``b [n]`` or rows ``[m, n]``."""
        return compiled.run(_solve_rows, (self.equation, transposed), self.linear, b)


def prepare_root(
    optimality_fun: Callable[..., Any],
    x: Any,
    *args: Any,
    solve: Solve | None = None,
    symmetric: bool | None = None,
    definite: bool | None = None,
    has_aux: bool = False,
) -> PreparedRoot:
    """Linearise F about a root once, and factorise once where that is the way to solve.

    Args:
        optimality_fun: F, zero at ``(x, *args)``.
        x: the root.
        *args: theta.
        solve: as for ``implicit_root``; ``solve_lu``, ``solve_symmetric``, ``solve_cholesky`` and
            the default for up to 1,500 unknowns keep their factors.
        symmetric: as for ``implicit_root``.
        definite: as for ``implicit_root``.
        has_aux: whether F returns ``(value, aux)``.

    Raises:
        ValueError: F has not as many equations as x unknowns.

    Example:
        >>> root = prepare_root(lambda x, a: x**2 - a, jnp.array([3.0]), jnp.array([9.0]))
        >>> [round(float(root.jvp((jnp.array([t]),))[0][0]), 6) for t in (1.0, 2.0)]
        [0.166667, 0.333333]
    """
    equation = equation_of(
        optimality_fun, has_aux, solve, symmetric, definite, on_failure="keep", tol=None
    )
    return prepared(equation, x, args, {})


def prepared(equation: Equation, x: Any, args: Any, kwargs: Any) -> PreparedRoot:
    """Linearise an equation; compiled once for equations that are the same."""
    x = jax.tree.map(jnp.asarray, x)
    residual, tangent, factorisation = compiled.run(_linearise, (equation,), x, (args, kwargs))
    linear = Linearised(x, (args, kwargs), residual, tangent, factorisation)
    return PreparedRoot(equation, linear)


def _linearise(functions: tuple[Equation], x: Any, theta: Any) -> tuple[Any, Any, Any]:
    (equation,) = functions
    point, unravel = ravel(x)
    flat, unravel_theta = ravel(theta)

    def residual(point: Any, flat: Any) -> Any:
        args, kwargs = unravel_theta(flat)
        return equation.residual(point, args, kwargs, unravel)

    value, tangent = jax.linearize(residual, point, flat)

    def product(v: Any) -> Any:
        return tangent(v, jnp.zeros_like(flat))

    size, dtype = point.size, point.dtype
    return value, tangent, kept_factors(equation.solve, equation.structure, product, size, dtype)


def _solve_rows(functions: tuple[Equation, bool], linear: Linearised, b: Any) -> LinearSolution:
    equation, transposed = functions
    return _solve(equation, linear, b, transposed, None)


def _solve(
    equation: Equation, linear: Linearised, b: Any, transposed: bool, init: Any
) -> LinearSolution:
    """Solve for a vector or for rows, as vectors."""
    if linear.factorisation is not None:
        return linear.factorisation.solve(b, transposed)
    product: Product = (lambda v: linear.pull(v)[0]) if transposed else linear.product
    if b.ndim == 2 and equation.solve is None and equation.structure.definite:
        return solve_block_cg(product, b)
    whole = all(map(is_unknown, jax.tree.leaves(linear.x)))
    unravel = ravel(linear.x)[1] if whole else None
    if init is not None:
        chosen: Any = equation.solve or automatic(equation.structure)
        equation = replace(equation, solve=functools.partial(chosen, init=init))

    def one(b: Any) -> LinearSolution:
        return equation.linear_solve(product, b, unravel, transposed)

    return one(b) if b.ndim == 1 else jax.vmap(one)(b)


def _jvp(functions: Any, linear: Linearised, direction: Any, init: Any) -> Any:
    equation, many = functions

    def change(t: Any) -> Any:
        return -linear.tangent(jnp.zeros_like(linear.residual), t)

    b = jax.vmap(change)(direction) if many else change(direction)
    return _as_tree(linear, _solve(equation, linear, b, False, init), many)


def _vjp(functions: Any, linear: Linearised, cotangent: Any, init: Any) -> Any:
    equation, many = functions
    solution = _solve(equation, linear, -cotangent, True, init)
    pull = lambda u: linear.pull(u)[1]  # noqa: E731
    pulled = jax.vmap(pull)(solution.value) if many else pull(solution.value)
    return pulled, _as_tree(linear, solution, many)[1]


def _as_tree(linear: Linearised, solution: LinearSolution, many: bool) -> Any:
    unravel = ravel(numbers(linear.x))[1]
    value = jax.vmap(unravel)(solution.value) if many else unravel(solution.value)
    return value, replace(solution, value=value)
