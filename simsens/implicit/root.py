r"""The derivative of a root, however the root was found.

Let :math:`F(x^*(\theta), \theta) = 0`. Differentiating this identity gives the linear system

.. math:: A\, J = B, \qquad A = -\partial_1 F(x^*, \theta), \quad
          B = \partial_2 F(x^*, \theta), \quad J = \partial x^*(\theta)

(the implicit function theorem; Blondel et al., arXiv 2105.15183, section 2.1). ``implicit_root``
takes a point that some solver found and gives it this derivative. The solver is never
differentiated, nor is the linear solver. Everything rests on ``lax.custom_root`` with one
``lax.custom_linear_solve`` in its tangent, hence forward mode, reverse mode, higher orders,
``vmap``, ``jit`` and closures over traced values all work.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.flatten_util import ravel_pytree

from simsens.implicit import linear_solve
from simsens.implicit.linear_solve import LinearSolution, Product

Solver = Callable[[Product, Any], LinearSolution]


def implicit_root(
    optimality_fun: Callable[..., Any],
    x: Any,
    *args: Any,
    solve: Solver | None = None,
    symmetric: bool = False,
) -> Any:
    r"""A known root ``x`` of ``optimality_fun(x, *args) = 0``, made differentiable in ``args``.

    Args:
        optimality_fun: F, returning a pytree like x; it may close over traced values, which then
            get derivatives like ``args``.
        x: the root; what it was computed from gets no derivative through it.
        *args: theta.
        solve: ``(product, b [n]) -> LinearSolution``; dense by default, chosen by ``symmetric``.
        symmetric: whether :math:`\partial_1 F` is symmetric (F is a gradient).

    Returns:
        x itself, with the derivative of the implicit function theorem. Where the linear solve
        fails the derivative is NaN.

    Example:
        >>> root = lambda theta: implicit_root(lambda x, t: x**2 - t, jnp.sqrt(theta), theta)
        >>> float(jax.grad(root)(4.0)), float(jax.grad(jax.grad(root))(4.0))
        (0.25, -0.03125)
    """
    if solve is None:
        solve = linear_solve.symmetric if symmetric else linear_solve.dense
    flat, unravel = ravel_pytree(lax.stop_gradient(x))

    def residual(point: Any) -> Any:
        return ravel_pytree(optimality_fun(unravel(point), *args))[0]

    def tangent_solve(product: Product, b: Any) -> Any:
        return linear_solve.differentiable_solve(solve, product, b, symmetric)

    return unravel(lax.custom_root(residual, flat, lambda _, point: point, tangent_solve))


def custom_root(
    optimality_fun: Callable[..., Any],
    has_aux: bool = False,
    solve: Solver | None = None,
    symmetric: bool = False,
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Decorate ``solver(init, *args)`` with the derivative of the root that it finds.

    Args:
        optimality_fun: ``F(x, *args)``, zero at what the solver returns.
        has_aux: whether the solver returns ``(x, aux)``; ``aux`` gets no derivative.
        solve: see ``implicit_root``.
        symmetric: see ``implicit_root``.

    Returns:
        A decorator. The solver sees values without derivatives, so it may be anything that runs;
        ``init`` gets no derivative.

    Example:
        >>> @custom_root(lambda x, theta: x**3 - theta)
        ... def cube_root(init, theta):
        ...     return theta ** (1 / 3)
        >>> round(float(jax.grad(cube_root, argnums=1)(None, 8.0)), 6)
        0.083333
    """

    def decorate(solver: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(solver)
        def solved(init: Any, *args: Any) -> Any:
            found = solver(lax.stop_gradient(init), *lax.stop_gradient(args))
            x, aux = found if has_aux else (found, None)
            x = jax.tree.map(jnp.asarray, x)
            root = implicit_root(optimality_fun, x, *args, solve=solve, symmetric=symmetric)
            return (root, lax.stop_gradient(aux)) if has_aux else root

        return solved

    return decorate
