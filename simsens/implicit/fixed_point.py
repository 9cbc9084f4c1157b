r"""The derivative of a fixed point: it is a root.

:math:`x = T(x, \theta)` is a root of :math:`F = x - T`, whose matrix is
:math:`A = I - \partial_1 T`.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import jax

from simsens.implicit.linear_solve.solution import Solve
from simsens.implicit.ravel import is_unknown
from simsens.implicit.root import custom_root, implicit_root
from simsens.implicit.structure import declare, declared


def custom_fixed_point(
    fixed_point_fun: Callable[..., Any],
    has_aux: bool = False,
    solve: Solve | None = None,
    reference_signature: Any = None,
    **options: Any,
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    r"""Decorate ``solver(init, *args)`` with the derivative of the fixed point that it finds.

    A root of :math:`F = x - T(x, \theta)`; arguments as ``custom_root``, with ``T(x, *args)``
    in the place of F. What T declares is taken for :math:`I - \partial_1 T`.

    Example:
        >>> @custom_fixed_point(lambda x, theta: 0.5 * x + theta)
        ... def solver(init, theta):
        ...     return 2 * theta
        >>> float(jax.grad(solver, argnums=1)(None, 3.0))
        2.0
    """
    aux = options.get("optimality_has_aux", False)
    function = displacement(fixed_point_fun, aux)
    return custom_root(function, has_aux, solve, reference_signature, **options)


def implicit_fixed_point(
    fixed_point_fun: Callable[..., Any], x: Any, *args: Any, **options: Any
) -> Any:
    r"""A known fixed point ``x = T(x, *args)``, made differentiable in ``args``.

    Options as ``implicit_root``.

    Example:
        >>> point = lambda t: implicit_fixed_point(lambda x, t: 0.5 * x + t, 2 * t, t)
        >>> float(jax.grad(point)(3.0))
        2.0
    """
    function = displacement(fixed_point_fun, options.get("has_aux", False))
    return implicit_root(function, x, *args, **options)


def displacement(fixed_point_fun: Callable[..., Any], has_aux: bool = False) -> Callable[..., Any]:
    r""":math:`F = x - T`, whose root is the fixed point, declaring what T declares.

    Raises:
        ValueError: when called: T returns another tree than x.
    """

    @functools.wraps(fixed_point_fun)
    def function(x: Any, *args: Any, **kwargs: Any) -> Any:
        image = fixed_point_fun(x, *args, **kwargs)
        image, aux = image if has_aux else (image, None)
        wanted, returned = str(jax.tree.structure(x)), str(jax.tree.structure(image))
        if wanted != returned:
            raise ValueError(
                f"a fixed-point function must return a tree like x, {wanted}; it returned"
                f" {returned}"
            )
        moved = jax.tree.map(lambda a, b: a - b if is_unknown(a) else a, x, image)
        return (moved, aux) if has_aux else moved

    known = declared(fixed_point_fun)
    return declare(function, symmetric=known.symmetric, definite=known.definite)
