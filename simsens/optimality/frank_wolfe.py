r"""A minimum over the hull of given vertices, by the weights of the vertices.

A Frank-Wolfe solver asks for the vertex that is best along the gradient. That choice is piecewise
constant in θ, so that the solver's own iteration has no useful derivative. In the weights instead,

.. math:: x^* = V^T p^*, \qquad p^* = \arg\min_{p \in \triangle} f(V^T p, \theta),

with one vertex in each row of V, the minimum is the fixed point of the projected gradient on the
probability simplex,

.. math:: T(p, V, \theta) = \operatorname{proj}_\triangle\bigl(p - \eta\, V \nabla_1
          f(V^T p, \theta)\bigr) = p,

and both V and θ have derivatives. After t iterations such a solver has used at most t vertices:
giving only those keeps the linear system small. More of them than it takes to write :math:`x^*` in
one way make it singular; p is then not unique, and the solution :math:`V^T p` still is.

Reference: Blondel et al., arXiv 2105.15183, appendix on Frank-Wolfe.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from simsens.implicit.structure import declare
from simsens.optimality.projected_gradient import projected_gradient
from simsens.projection.simplex import projection_simplex


def frank_wolfe(
    fun: Callable[..., Any], step: Any = 1.0, has_aux: bool = False
) -> Callable[..., Any]:
    r"""The fixed-point mapping :math:`T = \operatorname{proj}_\triangle(p - \eta\, V\nabla_1 f)`.

    Args:
        fun: f, ``fun(x, *args, **kwargs)``, one real number; x is any tree.
        step: η, any positive number; the solution does not depend on it.
        has_aux: whether ``fun`` returns ``(number, aux)``; T drops ``aux``.

    Returns:
        ``T(p, vertices, *args, **kwargs)``, [k], for weights p [k] and ``vertices``, a tree like x
        with one more axis [k, ...] in front; ``in_hull`` makes x of them.

    Raises:
        ValueError: a step that is not positive; when called: ``fun`` does not return one real
            number, another number of weights than of vertices.

    Example:
        >>> T = frank_wolfe(lambda x, y: 0.5 * jnp.sum((x - y) ** 2))
        >>> corners = jnp.array([[1.0, 0.0], [0.0, 1.0]])
        >>> print(T(jnp.array([0.75, 0.25]), corners, jnp.array([1.0, 0.5])))  # the solution
        [0.75 0.25]
    """

    def over_weights(p: Any, vertices: Any, args: Any, kwargs: Any) -> Any:
        return fun(in_hull(p, vertices), *args, **kwargs)

    mapping = projected_gradient(over_weights, projection_simplex, step, has_aux)

    def fixed_point(p: Any, vertices: Any, *args: Any, **kwargs: Any) -> Any:
        return mapping(p, 1.0, vertices, args, kwargs)

    return declare(fixed_point)


def in_hull(p: Any, vertices: Any) -> Any:
    r"""The point :math:`V^T p = \sum_k p_k V_k`, a tree.

    Args:
        p: [k] weights.
        vertices: a tree of arrays [k, ...].

    Raises:
        ValueError: another number of weights than of vertices.

    Example:
        >>> print(in_hull(jnp.array([0.75, 0.25]), jnp.array([[4.0, 0.0], [0.0, 4.0]])))
        [3. 1.]
    """
    for leaf in jax.tree.leaves(vertices):
        if jnp.ndim(p) != 1 or jnp.shape(leaf)[:1] != jnp.shape(p):
            raise ValueError(
                f"every vertex needs one weight, found weights of shape {jnp.shape(p)} for vertices"
                f" of shape {jnp.shape(leaf)}; put the vertices along the first axis"
            )
    return jax.tree.map(lambda leaf: jnp.tensordot(jnp.asarray(p), leaf, axes=1), vertices)
