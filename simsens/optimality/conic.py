r"""A linear objective over a cone: the residual of the homogeneous self-dual embedding.

For :math:`\min_z c^T z` under :math:`E z + s = d,\ s \in K`, with the dual
:math:`\max_y -d^T y` under :math:`E^T y + c = 0,\ y \in K^*`, the embedding is

.. math:: F(x, \theta) = (\theta\, \Pi + I - \Pi)\, x = 0, \qquad
    \theta = \begin{pmatrix} 0 & E^T & c \\ -E & 0 & d \\ -c^T & -d^T & 0 \end{pmatrix}, \qquad
    x = (u, v, w),

where :math:`\Pi` projects on :math:`R^p \times K^* \times R_+`. By Moreau's decomposition
:math:`v = y - s` with :math:`y = \Pi_{K^*} v`, :math:`s = \Pi_{K^*} v - v` and
:math:`y^T s = 0`. A root with w > 0 holds a solution: :math:`z = u / w`, y and s likewise; one with
w = 0 proves that there is none.

**The root is a ray.** F is homogeneous, :math:`F(t x) = t F(x)` for t > 0, hence
:math:`\partial_1 F\, x = F = 0` at a root: the matrix is singular along the root itself (from the
left along :math:`\Pi x`), and the solution of the linear system not unique. ``conic`` fixes the
scale by w = 1. The first two rows become

.. math:: F_u = E^T \Pi_{K^*} v + c, \qquad F_v = -E u + d + v - \Pi_{K^*} v,

feasibility of the dual and of the primal. The third row, :math:`-c^T u - d^T y`, the duality gap,
follows from them and is left out: :math:`c^T u = -y^T E u = -y^T (d - s) = -d^T y`. With
:math:`D = \partial\Pi_{K^*}(v)`,

.. math:: \partial_1 F = \begin{pmatrix} 0 & E^T D \\ -E & I - D \end{pmatrix},

which is not symmetric. It is invertible where primal and dual solution are unique and strictly
complementary: a vertex of a linear programme on which exactly p constraints hold, for example.
Where an entry of v lies on a kink of the projection (:math:`s_i = y_i = 0`) no derivative exists.

Reference: Blondel et al., arXiv 2105.15183, Table 1, "Conic programming"; Busseti, Moursi, Boyd,
arXiv 1811.02157.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp

from simsens.implicit.structure import declare

Projection = Callable[[Any], Any]


@dataclass(frozen=True)
class ConicSolution:
    """Primal and dual solution; a frozen pytree.

    Attributes:
        z: [p] unknowns.
        s: [m] slack, in K.
        y: [m] dual variable, in the dual cone.
    """

    z: Any
    s: Any
    y: Any


jax.tree_util.register_dataclass(ConicSolution, data_fields=["z", "s", "y"], meta_fields=[])


def conic(projection: Projection) -> Callable[..., Any]:
    r"""The root mapping of the embedding with its scale fixed, w = 1.

    .. math:: F = (E^T \Pi_{K^*} v + c,\ \ d - E u + v - \Pi_{K^*} v)

    Args:
        projection: ``projection(v)``, [m] -> [m], on the *dual* cone K* (the orthant and the
            second-order cone are their own; that of equalities, K = {0}, is everything: the
            identity).

    Returns:
        ``F(x, (c, E, d))`` for ``x = (u, v)``, u [p], v [m], c [p], E [m, p], d [m]: a pair like x.
        ``conic_point`` makes x from a solver's answer, ``conic_solution`` reads it.

    Raises:
        ValueError: when called: shapes that do not fit.

    Example:
        >>> F = conic(lambda v: jnp.maximum(v, 0))  # min -z under z <= 3
        >>> theta = (jnp.array([-1.0]), jnp.array([[1.0]]), jnp.array([3.0]))
        >>> x = conic_point(z=jnp.array([3.0]), s=jnp.array([0.0]), y=jnp.array([1.0]))
        >>> print(*F(x, theta))
        [0.] [0.]
    """

    def optimality(x: Any, theta: Any) -> Any:
        u, v = _checked(x, theta, 2)
        c, E, d = theta
        y = _projected(projection, v)
        return E.T @ y + c, d - E @ u + v - y

    return declare(optimality)


def homogeneous_embedding(projection: Projection) -> Callable[..., Any]:
    r"""The literal mapping :math:`F = ((\theta - I)\Pi + I)\,x` of Table 1, whose root is a ray.

    For checking the root of a solver, also one with w = 0, where there is no solution. Its
    linearisation is singular at every root: to differentiate, take ``conic``.

    Args:
        projection: see ``conic``.

    Returns:
        ``F(x, (c, E, d))`` for ``x = (u, v, w)``, w a number: a triple like x.

    Raises:
        ValueError: when called: shapes that do not fit.

    Example:
        >>> F = homogeneous_embedding(lambda v: jnp.maximum(v, 0))
        >>> theta = (jnp.array([-1.0]), jnp.array([[1.0]]), jnp.array([3.0]))
        >>> print(*F((jnp.array([6.0]), jnp.array([2.0]), jnp.array(2.0)), theta))
        [0.] [0.] 0.0
    """

    def optimality(x: Any, theta: Any) -> Any:
        u, v, w = _checked(x, theta, 3)
        c, E, d = theta
        y, scale = _projected(projection, v), jnp.maximum(w, 0)
        return E.T @ y + c * scale, d * scale - E @ u + v - y, w - scale - c @ u - d @ y

    return declare(optimality)


def conic_solution(projection: Projection, x: Any) -> ConicSolution:
    r"""The solution :math:`z = u/w,\ y = \Pi_{K^*} v / w,\ s = (\Pi_{K^*} v - v)/w` in a root.

    Args:
        projection: see ``conic``.
        x: ``(u, v)``, for which w = 1, or ``(u, v, w)``.

    Returns:
        The solution; NaN where w is not positive, and there is none.

    Raises:
        ValueError: neither a pair nor a triple.

    Example:
        >>> root = (jnp.array([6.0]), jnp.array([-4.0]), 2.0)
        >>> found = conic_solution(lambda v: jnp.maximum(v, 0), root)
        >>> print(found.z, found.s, found.y)
        [3.] [2.] [0.]
    """
    if not isinstance(x, (tuple, list)) or len(x) not in (2, 3):
        raise ValueError("a root of the embedding is (u, v) or (u, v, w); give one of them")
    u, v = jnp.asarray(x[0]), jnp.asarray(x[1])
    y = _projected(projection, v)
    w = jnp.asarray(x[2] if len(x) == 3 else 1.0).astype(u.dtype)
    w = jnp.where(w > 0, w, jnp.nan)
    return ConicSolution(u / w, (y - v) / w, y / w)


def conic_point(z: Any, s: Any, y: Any) -> tuple[Any, Any]:
    """The root ``(u, v) = (z, y - s)`` in a solution, whichever solver found it.

    Args:
        z: [p] unknowns.
        s: [m] slack.
        y: [m] dual variable.

    Raises:
        ValueError: s and y of different shapes.

    Example:
        >>> print(*conic_point(jnp.array([3.0]), jnp.array([2.0]), jnp.array([0.0])))
        [3.] [-2.]
    """
    if jnp.shape(s) != jnp.shape(y):
        raise ValueError(
            f"slack and dual variable have one shape, found {jnp.shape(s)} and {jnp.shape(y)};"
            " give both of the solver that found them"
        )
    return jnp.asarray(z), jnp.asarray(y) - jnp.asarray(s)


def _checked(x: Any, theta: Any, number: int) -> Any:
    names = ("u", "v", "w")[:number]
    wanted = f"x = ({', '.join(names)}) and theta = (c, E, d)"
    for tree, length in ((x, number), (theta, 3)):
        if not isinstance(tree, (tuple, list)) or len(tree) != length:
            raise ValueError(f"the embedding needs {wanted}; give tuples of {number} and 3")
    c, E, d = theta
    shapes = [jnp.shape(part) for part in (*x[:2], c, E, d)]
    m, p = shapes[3] if len(shapes[3]) == 2 else (-1, -1)
    if shapes != [(p,), (m,), (p,), (m, p), (m,)] or (number == 3 and jnp.shape(x[2]) != ()):
        found = ", ".join(f"{n} {s}" for n, s in zip(("u", "v", "c", "E", "d"), shapes))
        raise ValueError(
            "the embedding needs u [p], v [m], w a number, c [p], E [m, p], d [m], found"
            f" {found}; transpose or reshape"
        )
    return x


def _projected(projection: Projection, v: Any) -> Any:
    y = projection(v)
    if jnp.shape(y) != jnp.shape(v):
        raise ValueError(
            f"the projection on the dual cone must keep the shape {jnp.shape(v)}, found"
            f" {jnp.shape(y)}; change projection"
        )
    return y
