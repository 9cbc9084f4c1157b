r"""An unconstrained minimum: the gradient vanishes.

.. math:: F(x, \theta) = \nabla_1 f(x, \theta) = 0
          \quad\Longleftrightarrow\quad
          T(x, \theta) = x - \eta\, \nabla_1 f(x, \theta) = x

The linearisation is the Hessian, :math:`A = \partial_1 F = \nabla_1^2 f`, which is symmetric, and
positive semidefinite where f is convex. For the fixed point both sides of the linear system are
multiplied by the step, :math:`A = \eta \nabla_1^2 f` and :math:`B = -\eta\, \partial_2 \nabla_1 f`:
the derivative does not depend on the step, which need not be one that a solver could use.

Reference: Blondel et al., arXiv 2105.15183, Table 1, "Stationary".
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from simsens.implicit.structure import declare
from simsens.optimality.gradient_step import checked_step, descended, gradient_of


def stationary(
    fun: Callable[..., Any], convex: bool = False, has_aux: bool = False
) -> Callable[..., Any]:
    r"""The root mapping :math:`F(x, \theta) = \nabla_1 f(x, \theta)`.

    Args:
        fun: ``fun(x, *args, **kwargs)``, one real number; x is any tree.
        convex: a promise that ``fun`` is convex in x near the solution: the Hessian is then
            declared positive semidefinite and factorised as such.
        has_aux: whether ``fun`` returns ``(number, aux)``; F drops ``aux``.

    Returns:
        ``F(x, *args, **kwargs)``, a tree like x, declared symmetric; its signature is that of
        ``fun``.

    Raises:
        ValueError: when called: ``fun`` does not return one real number.

    Example:
        >>> import jax.numpy as jnp
        >>> F = stationary(lambda x, theta: jnp.sum((x - theta) ** 2))
        >>> print(F(jnp.array([3.0, 1.0]), jnp.array([3.0, 0.0])))
        [0. 2.]
    """
    gradient = gradient_of(fun, has_aux)

    @functools.wraps(fun, updated=())
    def optimality(x: Any, *args: Any, **kwargs: Any) -> Any:
        return gradient(x, *args, **kwargs)

    return declare(optimality, symmetric=True, definite=convex)


def gradient_descent(
    fun: Callable[..., Any], step: Any = 1.0, convex: bool = False, has_aux: bool = False
) -> Callable[..., Any]:
    r"""The fixed-point mapping :math:`T(x, \theta) = x - \eta\, \nabla_1 f(x, \theta)`.

    Args:
        fun: see ``stationary``.
        step: η, any positive number; the derivative of the solution does not depend on it.
        convex: see ``stationary``.
        has_aux: see ``stationary``.

    Returns:
        ``T(x, *args, **kwargs)``, a tree like x, which declares of :math:`I - \partial_1 T` what
        ``stationary`` declares of the Hessian.

    Raises:
        ValueError: a step that is not positive; see ``stationary``.

    Example:
        >>> import jax.numpy as jnp
        >>> T = gradient_descent(lambda x, theta: jnp.sum((x - theta) ** 2), step=0.5)
        >>> print(T(jnp.array([3.0, 1.0]), jnp.array([3.0, 0.0])))
        [3. 0.]
    """
    gradient, step = gradient_of(fun, has_aux), checked_step(step)

    @functools.wraps(fun, updated=())
    def fixed_point(x: Any, *args: Any, **kwargs: Any) -> Any:
        return descended(x, gradient(x, *args, **kwargs), step)

    return declare(fixed_point, symmetric=True, definite=convex)
