r"""A smooth function on a convex set: a step down the gradient, projected, leads nowhere.

For :math:`\min_{x \in C(\theta)} f(x, \theta)`,

.. math:: T(x, \theta) = \operatorname{proj}_{C}\bigl(x - \eta\,\nabla_1 f(x, \theta),
          \theta\bigr) = x .

It is ``proximal_gradient`` with the indicator function of C in the place of g; the set may depend
on θ. With :math:`P = \partial_1 \operatorname{proj}`, :math:`A = I - P (I - \eta H)`, which is not
symmetric. The solution and its derivative do not depend on the step η > 0. Where a constraint is
about to become active the derivative is one-sided.

Reference: Blondel et al., arXiv 2105.15183, Table 1, "Projected gradient".
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from simsens.implicit.structure import declare
from simsens.optimality.gradient_step import checked_step, descended, gradient_of, same_form


def projected_gradient(
    fun: Callable[..., Any], projection: Callable[..., Any], step: Any = 1.0, has_aux: bool = False
) -> Callable[..., Any]:
    r"""The fixed-point mapping :math:`T = \operatorname{proj}_C(x - \eta\,\nabla_1 f)`.

    Args:
        fun: f, ``fun(x, *args, **kwargs)``, one real number; x is any tree.
        projection: ``projection(x, hyperparams)``, a tree like x; those of ``simsens.projection``.
        step: η, any positive number.
        has_aux: whether ``fun`` returns ``(number, aux)``; T drops ``aux``.

    Returns:
        ``T(x, hyperparams_proj, *args, **kwargs)``, a tree like x.

    Raises:
        ValueError: a step that is not positive; when called: ``fun`` does not return one real
            number, ``projection`` not a tree like x.

    Example:
        >>> import jax.numpy as jnp
        >>> box = lambda x, bounds: jnp.clip(x, bounds[0], bounds[1])
        >>> T = projected_gradient(lambda x, y: 0.5 * jnp.sum((x - y) ** 2), box, step=0.5)
        >>> print(T(jnp.array([1.0, 0.5]), (0.0, 1.0), jnp.array([3.0, 0.5])))  # a solution
        [1.  0.5]
    """
    gradient, step = gradient_of(fun, has_aux), checked_step(step)

    def fixed_point(x: Any, hyperparams_proj: Any, *args: Any, **kwargs: Any) -> Any:
        moved = descended(x, gradient(x, *args, **kwargs), step)
        return same_form(x, projection(moved, hyperparams_proj), "projection")

    return declare(fixed_point)
