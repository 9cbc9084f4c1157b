r"""A minimum over a polyhedron, seen from the face that it lies on: a symmetric linear system.

For :math:`\min_{x \in C} f(x, \theta)` with a fixed polyhedron C, let T be the projected gradient
step :math:`T(x, \theta) = \operatorname{proj}_C(x - \nabla_1 f(x, \theta))`. Near a solution with
strict complementarity (no constraint is active without need) the projection stays on one face of
C, and its Jacobian is the orthogonal projector P onto the directions within that face. The matrix
of the fixed point is then

.. math:: \partial_1 (x - T) = I - P (I - H) = (I - P) + P H,

which is not symmetric, because a solution that left its face would feel H. It does not leave it:
what is asked of x off the face is that it stays, whatever :math:`\theta` does. So the same
displacement is formed at :math:`\bar x + P (x - \bar x)`, with :math:`\bar x` the point itself held
fixed,

.. math:: F(x, \theta) = x - T\bigl(\bar x + P (x - \bar x), \theta\bigr), \qquad
          A = \partial_1 F = (I - P) + P H P, \qquad \partial_2 F = P\, \partial_2 \nabla_1 f .

The value is the displacement of the projected gradient, zero at solutions and nowhere else. The
derivative :math:`-(P H P)^{+} P\, \partial_2 \nabla_1 f` is the same too, and A is symmetric, and
positive semidefinite where f is convex: conjugate gradients solve it, the unknowns that do not move
cost them one iteration. Where P H P is singular on the face the solution is not unique; started at
zero they give the derivative of minimum norm, and everything that is unique (a gradient, the
weights of a machine) has its own.

Reference: Blondel et al., arXiv 2105.15183, Table 1, "Projected gradient"; the form is ours.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
from jax import lax

from simsens.implicit.structure import declare
from simsens.optimality.gradient_step import descended, gradient_of


def on_face(fun: Callable[..., Any], projection: Callable[..., Any]) -> Callable[..., Any]:
    r"""The displacement of the projected gradient, with the symmetric matrix of its face.

    Args:
        fun: f, ``fun(x, *args)``, convex in x, one real number; x is an array.
        projection: ``projection(x, hyperparams)`` onto a polyhedron, which must not depend on what
            is differentiated: a set that moves has more to it than this F tells.

    Returns:
        ``F(x, hyperparams, *args)``, an array like x, declared symmetric and definite.

    Example:
        >>> import jax.numpy as jnp
        >>> from simsens.implicit import implicit_root
        >>> F = on_face(lambda x, y: jnp.sum((x - y) ** 2), lambda x, _: jnp.maximum(x, 0))
        >>> x = lambda y: implicit_root(F, jnp.maximum(y, 0), None, y)
        >>> print(jax.jacrev(x)(jnp.array([2.0, -1.0])))
        [[1. 0.]
         [0. 0.]]
    """
    gradient = gradient_of(fun)

    def optimality(x: Any, hyperparams: Any, *args: Any) -> Any:
        def step(point: Any) -> Any:
            return descended(point, gradient(point, *args), 1.0)

        def projected(y: Any) -> Any:
            return projection(y, hyperparams)

        still = lax.stop_gradient(x)
        within = jax.jvp(projected, (lax.stop_gradient(step(still)),), (x - still,))[1]
        return x - projected(step(still + within))

    return declare(optimality, symmetric=True, definite=True)
