r"""A minimum under equalities and inequalities: the conditions of Karush, Kuhn and Tucker.

For :math:`\min_z f(z, \theta)` under :math:`H(z, \theta) = 0` and :math:`G(z, \theta) \le 0`, with
multipliers ν of the equalities and λ of the inequalities, z is a solution where

.. math::
    \nabla_1 f + (\partial_1 H)^T \nu + (\partial_1 G)^T \lambda &= 0 \\
    H &= 0 \\
    \lambda \ge 0, \quad G \le 0, \quad \lambda_i G_i &= 0 .

**Why by active set.** Table 1 of the paper writes the last line as the product
:math:`\lambda \circ G = 0` (``kkt_complementary``). That mapping is also zero at points that
violate a constraint, its linearisation is not symmetric, and is as ill-conditioned as the smallest
multiplier is small. Slack variables kept as equalities are worse: their derivative lets an inactive
constraint hold the solution. ``kkt`` decides instead which constraints hold the point,

.. math:: i \text{ active} \iff \lambda_i > -G_i,

and takes for each constraint the row, :math:`\max(G_i, -\lambda_i)`,

.. math:: F_i = G_i \text{ (active)}, \qquad F_i = -\lambda_i \text{ (inactive)} .

It is zero exactly where :math:`\lambda_i \ge 0, G_i \le 0, \lambda_i G_i = 0`: a multiplier of
the wrong sign, a violated constraint, a multiplier left on an idle constraint: all show.
Only active multipliers enter the first line (the others are zero, or their rows say so). With L the
Lagrangian, the rows of the active constraints as :math:`\partial G_a`,

.. math:: \partial_1 F = \begin{pmatrix}
    \nabla^2 L & \partial H^T & \partial G_a^T & 0 \\
    \partial H & 0 & 0 & 0 \\
    \partial G_a & 0 & 0 & 0 \\
    0 & 0 & 0 & -1 \end{pmatrix}

is symmetric and indefinite. It is invertible where the gradients of the constraints that hold are
independent and the curvature of L along them is positive.

Where some :math:`\lambda_i = G_i = 0` the solution has one derivative on each side, and this is the
one of letting the constraint go: ``kkt_evidence`` tells the margin.

Reference: Blondel et al., arXiv 2105.15183, Table 1, "KKT"; Nocedal and Wright, Numerical
Optimization, chapter 12.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from simsens.implicit.structure import declare
from simsens.optimality.gradient_step import gradient_of, same_form

Function = Callable[..., Any]


def kkt(
    objective: Function, equality: Function | None = None, inequality: Function | None = None
) -> Callable[..., Any]:
    r"""The root mapping of the conditions, inequalities by active set.

    .. math:: F = \bigl(\nabla_1 f + (\partial_1 H)^T\nu + (\partial_1 G)^T\lambda_{active},\
              H,\ \max(G, -\lambda)\bigr)

    Args:
        objective: f, ``objective(z, params_obj)``, one real number; z is any tree of real numbers.
        equality: H, ``equality(z, params_eq)``, any tree.
        inequality: G, ``inequality(z, params_ineq)``, any tree, wanted ``<= 0``.

    Returns:
        ``F(x, params_obj, params_eq, params_ineq)`` for ``x = (z, nu, lam)``, a tree like x,
        declared symmetric; the order is JAXopt's. ``nu`` is a tree like H, ``lam`` one like G. A
        multiplier that is None leaves its constraint out, together with its parameters.

    Raises:
        ValueError: neither constraint given; when called: x is not a triple, a multiplier has no
            constraint or another shape, parameters are given for a constraint whose multiplier is
            None, ``objective`` does not return one real number.

    Example:
        >>> F = kkt(lambda z, p: 0.5 * jnp.sum((z - p) ** 2), inequality=lambda z, p: z - p)
        >>> x = (jnp.array([1.0, 0.5]), None, jnp.array([2.0, 0.0]))  # z = min(p, 1)
        >>> print(*F(x, jnp.array([3.0, 0.5]), None, 1.0))
        [0. 0.] None [ 0. -0.]
    """
    return declare(_mapping(objective, equality, inequality, _by_active_set), symmetric=True)


def kkt_complementary(
    objective: Function, equality: Function | None = None, inequality: Function | None = None
) -> Callable[..., Any]:
    r"""The conditions as the paper (and JAXopt) write them, with :math:`\lambda \circ G`.

    Arguments, result and errors as for ``kkt``. F is zero at every solution, and at points that
    violate :math:`G \le 0` or :math:`\lambda \ge 0` too; at a solution where no
    :math:`\lambda_i = G_i = 0` it gives the same derivative. Nothing is declared.

    Example:
        >>> F = kkt_complementary(lambda z, p: 0.5 * (z - p) ** 2, inequality=lambda z, p: z - p)
        >>> z, nu, lam = F((1.0, None, 2.0), 3.0, None, 1.0)
        >>> float(z), float(lam)
        (0.0, 0.0)
    """
    return declare(_mapping(objective, equality, inequality, _by_product))


def active(lam: Any, bound: Any) -> Any:
    r"""Which constraints hold the point: :math:`\lambda_i > -G_i`, a tree of flags.

    Args:
        lam: λ, a tree.
        bound: G, a tree like λ.

    Example:
        >>> print(active(jnp.array([2.0, 0.0]), jnp.array([0.0, -1.0])))
        [ True False]
    """
    return jax.tree.map(lambda multiplier, value: multiplier > -value, lam, bound)


def _by_active_set(lam: Any, bound: Any) -> tuple[Any, Any]:
    """The multipliers that enter the Lagrangian, and the rows."""
    holding = active(lam, bound)
    entering = jax.tree.map(lambda a, m: jnp.where(a, m, jnp.zeros_like(m)), holding, lam)
    return entering, jax.tree.map(lambda a, m, g: jnp.where(a, g, -m), holding, lam, bound)


def _by_product(lam: Any, bound: Any) -> tuple[Any, Any]:
    return lam, jax.tree.map(lambda m, g: m * g, lam, bound)


def _mapping(
    objective: Function, equality: Function | None, inequality: Function | None, rows: Function
) -> Callable[..., Any]:
    if equality is None and inequality is None:
        raise ValueError(
            "KKT conditions need an equality or an inequality, found neither; without constraints"
            " use stationary(objective)"
        )
    slope = lagrangian_gradient(objective, equality, inequality)

    def optimality(
        x: Any, params_obj: Any = None, params_eq: Any = None, params_ineq: Any = None
    ) -> Any:
        z, nu, lam = parts(x)
        level = constraint(equality, z, nu, params_eq, "equality")
        bound = constraint(inequality, z, lam, params_ineq, "inequality")
        entering, last = (None, None) if lam is None else rows(lam, bound)
        first = slope((z, nu, entering), params_obj, params_eq, params_ineq)
        # As x is built: a tuple, a named tuple, a list.
        leaves = jax.tree.leaves((first, level, last))
        return jax.tree.unflatten(jax.tree.structure(x), leaves)

    return optimality


def lagrangian_gradient(
    objective: Function, equality: Function | None, inequality: Function | None
) -> Callable[..., Any]:
    r""":math:`\nabla_z\,[f + \langle\nu, H\rangle + \langle\lambda, G\rangle]`, a tree like z.

    Returns:
        ``gradient((z, nu, lam), params_obj, params_eq, params_ineq)``.

    Example:
        >>> gradient = lagrangian_gradient(lambda z, p: z**2, None, lambda z, p: p - z)
        >>> float(gradient((1.0, None, 2.0), None, None, 1.0))
        0.0
    """
    ascent = gradient_of(objective)

    def gradient(x: Any, params_obj: Any, params_eq: Any, params_ineq: Any) -> Any:
        z, nu, lam = x
        total = ascent(z, params_obj)
        for function, multiplier, params in (
            (equality, nu, params_eq), (inequality, lam, params_ineq),
        ):  # fmt: skip
            if multiplier is None or function is None:
                continue
            value, pull = jax.vjp(lambda z, f=function, p=params: f(z, p), z)
            kinds = jax.tree.map(lambda m, v: jnp.asarray(m).astype(v.dtype), multiplier, value)
            total = jax.tree.map(jnp.add, total, pull(kinds)[0])
        return total

    return gradient


def parts(x: Any) -> tuple[Any, Any, Any]:
    """z, ν and λ.

    Raises:
        ValueError: x is not a triple.

    Example:
        >>> parts((1.0, None, 2.0))
        (1.0, None, 2.0)
    """
    if not isinstance(x, (tuple, list)) or len(x) != 3:
        found = f"{len(x)} parts" if isinstance(x, (tuple, list)) else type(x).__name__
        raise ValueError(
            f"the unknowns are x = (z, nu, lam), found {found}; give None for a multiplier that"
            " does not exist"
        )
    return x[0], x[1], x[2]


def constraint(function: Function | None, z: Any, multiplier: Any, params: Any, name: str) -> Any:
    """The value of a constraint, a tree like its multiplier; None without a multiplier.

    Raises:
        ValueError: see ``kkt``.

    Example:
        >>> constraint(lambda z, p: z - p, 3.0, 1.0, 2.0, "inequality")
        1.0
    """
    if multiplier is None:
        if params is not None:
            raise ValueError(
                f"the parameters of the {name} were given but its multiplier is None; give a"
                " multiplier like its value, or None for both"
            )
        return None
    if function is None:
        raise ValueError(
            f"a multiplier of the {name} was given but the {name} is None; give the function, or"
            " None for the multiplier"
        )
    value = function(z, params)
    return same_form(multiplier, value, f"the {name}", "its multiplier")
