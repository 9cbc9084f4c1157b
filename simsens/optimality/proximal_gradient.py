r"""A smooth function plus one that has a proximity operator.

For :math:`\min_x f(x, \theta) + g(x, \theta)`, f smooth, g convex,

.. math:: T(x, \theta) = \operatorname{prox}_{\eta g}\bigl(x - \eta\,\nabla_1 f(x, \theta),
          \theta\bigr) = x .

With :math:`P = \partial_1 \operatorname{prox}` and the Hessian H of f,

.. math:: A = I - P\,(I - \eta H), \qquad
          B = \partial_2 \operatorname{prox} - \eta\, P\, \partial_2 \nabla_1 f .

A is not symmetric, except where P commutes with H; nothing is declared. The solution, and hence its
derivative, does not depend on the step η > 0. Where the operator has a kink exactly at the solution
(a coordinate about to leave zero) the derivative is one-sided.

Reference: Blondel et al., arXiv 2105.15183, Table 1, "Proximal gradient".
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from simsens.implicit.structure import declare
from simsens.optimality.gradient_step import checked_step, descended, gradient_of, same_form


def proximal_gradient(
    fun: Callable[..., Any], prox: Callable[..., Any], step: Any = 1.0, has_aux: bool = False
) -> Callable[..., Any]:
    r"""The fixed-point mapping :math:`T = \operatorname{prox}_{\eta g}(x - \eta\,\nabla_1 f)`.

    Args:
        fun: f, ``fun(x, *args, **kwargs)``, one real number; x is any tree.
        prox: ``prox(x, hyperparams, scaling)``, a tree like x; those of ``simsens.prox``.
        step: η, any positive number.
        has_aux: whether ``fun`` returns ``(number, aux)``; T drops ``aux``.

    Returns:
        ``T(x, hyperparams_prox, *args, **kwargs)``, a tree like x.

    Raises:
        ValueError: a step that is not positive; when called: ``fun`` does not return one real
            number, ``prox`` not a tree like x.

    Example:
        >>> import jax.numpy as jnp
        >>> soft = lambda x, weight, scaling: jnp.sign(x) * jnp.maximum(abs(x) - weight*scaling, 0)
        >>> T = proximal_gradient(lambda x, y: 0.5 * jnp.sum((x - y) ** 2), soft, step=0.5)
        >>> print(T(jnp.array([2.0, 0.0]), 1.0, jnp.array([3.0, 0.5])))  # a solution
        [2. 0.]
    """
    gradient, step = gradient_of(fun, has_aux), checked_step(step)

    def fixed_point(x: Any, hyperparams_prox: Any, *args: Any, **kwargs: Any) -> Any:
        moved = descended(x, gradient(x, *args, **kwargs), step)
        return same_form(x, prox(moved, hyperparams_prox, step), "prox")

    return declare(fixed_point)
