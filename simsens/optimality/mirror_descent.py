r"""Projected gradient in the geometry of a convex function φ instead of the Euclidean one.

.. math:: \hat x = \nabla\varphi(x), \qquad
          y = \hat x - \eta\, \nabla_1 f(x, \theta), \qquad
          T(x, \theta) = \operatorname{proj}^\varphi_C(y, \theta) = x,

where the Bregman projection takes a dual point,
:math:`\operatorname{proj}^\varphi_C(y) = \arg\min_{z \in C} D_\varphi(z, \nabla\varphi^*(y))`.
With :math:`\varphi(x) = \langle x, \log x - 1\rangle` the divergence is that of Kullback and
Leibler, the projection on the simplex is the softmax, and T is the multiplicative update

.. math:: T(x, \theta) = \frac{t}{Z}\; x \circ e^{-\eta\, g}, \qquad
          Z = \textstyle\sum_i x_i e^{-\eta\, g_i}, \quad g = \nabla_1 f(x, \theta),

with t the total of x. Written so, no logarithm is taken: a coordinate that is zero stays zero and
has a finite derivative, :math:`e^{-\eta (g_i - \bar g)} < 1` at a solution, where the logarithmic
form has none. But a zero stays zero also where it should not: a fixed point is a solution only if
no coordinate that is zero has a smaller gradient than the others.

A is not symmetric: on the simplex :math:`A = \tfrac1t x 1^T + \eta\, S H` with
:math:`S = \operatorname{diag}(x) - \tfrac1t x x^T`.

Reference: Blondel et al., arXiv 2105.15183, Table 1, "Mirror descent".
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from simsens.implicit.structure import declare
from simsens.optimality.gradient_step import checked_step, descended, gradient_of, same_form


def mirror_descent(
    fun: Callable[..., Any],
    mirror_map: Callable[[Any], Any],
    bregman_projection: Callable[..., Any],
    step: Any = 1.0,
    has_aux: bool = False,
) -> Callable[..., Any]:
    r"""The mapping :math:`T = \operatorname{proj}^\varphi_C(\nabla\varphi(x) - \eta\,\nabla_1 f)`.

    Args:
        fun: f, ``fun(x, *args, **kwargs)``, one real number; x is any tree.
        mirror_map: the gradient of φ, ``mirror_map(x)``, a tree like x.
        bregman_projection: ``bregman_projection(y, hyperparams)`` of the dual point y, a tree like
            x.
        step: η, any positive number; the solution does not depend on it.
        has_aux: whether ``fun`` returns ``(number, aux)``; T drops ``aux``.

    Returns:
        ``T(x, hyperparams_proj, *args, **kwargs)``, a tree like x.

    Raises:
        ValueError: a step that is not positive; when called: ``fun`` does not return one real
            number, ``mirror_map`` or ``bregman_projection`` not a tree like x.

    Example:
        >>> softmax = lambda y, hyperparams: jax.nn.softmax(y)
        >>> T = mirror_descent(lambda x, c: jnp.vdot(x, c), jnp.log, softmax)
        >>> print(T(jnp.array([0.5, 0.5]), None, jnp.array([1.0, 1.0])))
        [0.5 0.5]
    """
    gradient, step = gradient_of(fun, has_aux), checked_step(step)

    def fixed_point(x: Any, hyperparams_proj: Any, *args: Any, **kwargs: Any) -> Any:
        dual = same_form(x, mirror_map(x), "mirror_map")
        moved = descended(dual, gradient(x, *args, **kwargs), step)
        return same_form(x, bregman_projection(moved, hyperparams_proj), "bregman_projection")

    return declare(fixed_point)


def mirror_descent_kl(
    fun: Callable[..., Any], step: Any = 1.0, has_aux: bool = False
) -> Callable[..., Any]:
    r"""The multiplicative mapping :math:`T = t\, x \circ e^{-\eta\nabla_1 f} / Z` on simplices.

    Every row of x (along the last axis of every leaf) is a point of its own simplex.

    Args:
        fun: f, ``fun(x, *args, **kwargs)``, one real number; x is any tree of arrays ``[..., n]``.
        step: η, any positive number; the solution does not depend on it.
        has_aux: whether ``fun`` returns ``(number, aux)``; T drops ``aux``.

    Returns:
        ``T(x, total, *args, **kwargs)``, a tree like x whose rows sum to ``total`` (1 if None; a
        number, or an array that fits the rows with their last axis kept). The signature is that of
        ``projected_gradient`` with the simplex, which may take its place. A row that is zero has
        no image: NaN.

    Raises:
        ValueError: a step that is not positive; when called: ``fun`` does not return one real
            number, x holds a number without a last axis.

    Example:
        >>> T = mirror_descent_kl(lambda x, c: jnp.vdot(x, c))
        >>> print(T(jnp.array([0.5, 0.5, 0.0]), None, jnp.array([1.0, 1.0, 2.0])))
        [0.5 0.5 0. ]
    """
    gradient, step = gradient_of(fun, has_aux), checked_step(step)

    def fixed_point(x: Any, hyperparams_proj: Any, *args: Any, **kwargs: Any) -> Any:
        total = 1.0 if hyperparams_proj is None else hyperparams_proj
        slope = gradient(x, *args, **kwargs)
        return jax.tree.map(lambda leaf, g: _multiplied(leaf, g, step, total), x, slope)

    return declare(fixed_point)


def _multiplied(x: Any, gradient: Any, step: Any, total: Any) -> Any:
    if jnp.ndim(x) == 0:
        raise ValueError(
            "a simplex needs an array of shape [..., n], found a number; give x a last axis"
        )
    exponent = -jnp.asarray(step).astype(x.dtype) * gradient
    # Any constant taken from a row's exponents cancels in Z. The largest among the coordinates
    # that are not zero keeps Z between its x and 1; the others may exceed it, but multiply zero.
    largest = jnp.max(exponent, axis=-1, keepdims=True, where=x > 0, initial=-jnp.inf)
    ceiling = 0.5 * math.log(jnp.finfo(x.dtype).max)
    factor = jnp.exp(jnp.minimum(exponent - lax.stop_gradient(largest), ceiling))
    weight = x * factor
    return jnp.asarray(total).astype(x.dtype) * weight / weight.sum(axis=-1, keepdims=True)
