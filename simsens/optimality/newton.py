r"""Newton's mapping for a root of G.

.. math:: T(x, \theta) = x - \eta\,[\partial_1 G(x, \theta)]^{-1} G(x, \theta) = x

At a root G vanishes, so that of the derivative of the product only the one of G is left:

.. math:: I - \partial_1 T = \eta\, I, \qquad
          \partial_2 T = -\eta\,[\partial_1 G]^{-1} \partial_2 G .

The derivatives of the matrix (third derivatives, where G is a gradient) multiply that zero: none is
taken. T is written with one Newton step R, which counts as the root that it aims at,

.. math:: T(x, \theta) = (1 - \eta)\,x + \eta\, R, \qquad
          R = x - [\partial_1 G]^{-1} G, \qquad
          \mathrm{d}R = -[\partial_1 G(R, \theta)]^{-1}\,\partial_2 G(R, \theta)\,\mathrm{d}\theta .

Then :math:`I - \partial_1 T = \eta I` holds exactly at every point, its products cost nothing, and
one linear solve is left, that of :math:`\partial_2 T`. At a root, where R = x, the derivatives of
the solution are right to every order. Elsewhere those of T are not: T is for its fixed points.

Reference: Blondel et al., arXiv 2105.15183, Table 1, "Newton".
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from simsens.implicit.attached import attach_root
from simsens.implicit.linear_solve.choice import automatic
from simsens.implicit.linear_solve.solution import judged
from simsens.implicit.ravel import ravel
from simsens.implicit.root import held
from simsens.implicit.structure import declare, declared
from simsens.optimality.gradient_step import checked_step, same_form


def newton(
    G: Callable[..., Any],
    step: Any = 1.0,
    solve: Callable[..., Any] | None = None,
) -> Callable[..., Any]:
    r"""The fixed-point mapping :math:`T = x - \eta\,[\partial_1 G]^{-1} G`.

    Args:
        G: ``G(x, *args, **kwargs)``, a tree like x; what it declares (see ``stationary``) chooses
            the linear solver.
        step: η, any positive number; the derivative of the solution does not depend on it.
        solve: ``solve(matvec, b)`` on vectors ``[n]``, one of ``simsens.implicit.linear_solve``; by
            default chosen by size and structure.

    Returns:
        ``T(x, *args, **kwargs)``, a tree like x, declared definite: :math:`I - \partial_1 T` is
        :math:`\eta I`. T is NaN where the linear system was not solved.

    Raises:
        ValueError: a step that is not positive; when called: G does not return a tree like x.

    Example:
        >>> T = newton(lambda x, theta: x**2 - theta)
        >>> float(T(jnp.array(2.0), 9.0))
        3.25
        >>> float(T(jnp.array(3.0), 9.0))  # the root
        3.0
    """
    step, structure = checked_step(step), declared(G)
    chosen = automatic(structure) if solve is None else solve

    def solution(matvec: Any, b: Any) -> Any:
        found = judged(matvec, b, chosen(matvec, b))
        return jnp.where(found.converged, found.value, jnp.nan)

    def fixed_point(x: Any, *args: Any, **kwargs: Any) -> Any:
        point, unravel = ravel(x)

        def equation(args: Any, kwargs: Any) -> Callable[[Any], Any]:
            def residual(point: Any) -> Any:
                x = unravel(point)
                return ravel(same_form(x, G(x, *args, **kwargs), "G"))[0].astype(point.dtype)

            return residual

        def tangent_solve(point: Any, b: Any) -> Any:
            product = jax.linearize(equation(args, kwargs), point)[1]
            return lax.custom_linear_solve(
                product, b, solution, transpose_solve=solution, symmetric=structure.symmetric
            )

        here = lax.stop_gradient(point)
        value, product = jax.linearize(equation(held(args), held(kwargs)), here)
        aim = attach_root(equation(args, kwargs), tangent_solve, here - solution(product, value))
        return unravel(point - jnp.asarray(step).astype(point.dtype) * (point - aim))

    return declare(fixed_point, symmetric=True, definite=True)
