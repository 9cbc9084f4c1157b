r"""How well a point satisfies the conditions of ``kkt``, and how far it is from a kink.

The derivative of a constrained minimum exists where each inequality is clearly active or clearly
inactive (strict complementarity). The margin of constraint i,

.. math:: m_i = \max(\lambda_i, -G_i),

is its multiplier where it is active and its distance where it is not. At :math:`m_i = 0` the
constraint just touches: the solution moves one way for a step in θ and another for the opposite
step, and the derivative is one-sided. A margin says something only at a solution; the residuals
beside it tell whether the point is one.

Reference: Nocedal and Wright, Numerical Optimization, definition 12.5.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp

from simsens.optimality.kkt import Function, active, constraint, lagrangian_gradient, parts


@dataclass(frozen=True)
class KKTEvidence:
    """The residuals of a point, each the largest absolute value, and its margin; a frozen pytree.

    Attributes:
        stationarity: of the gradient of the Lagrangian, with all multipliers.
        equality: of H.
        inequality: of the violations of ``G <= 0``.
        multiplier: of the violations of ``lam >= 0``.
        complementarity: of ``lam * G``.
        active: which inequalities hold the point, a tree like ``lam``.
        margin: ``max(lam, -G)`` of each, a tree like ``lam``.
        smallest_margin: the smallest of them, infinite without inequalities.
    """

    stationarity: Any
    equality: Any
    inequality: Any
    multiplier: Any
    complementarity: Any
    active: Any
    margin: Any
    smallest_margin: Any

    @property
    def residual(self) -> Any:
        """The largest of the five residuals: zero exactly at a solution."""
        parts = (
            self.stationarity, self.equality, self.inequality, self.multiplier,
            self.complementarity,
        )  # fmt: skip
        return functools.reduce(jnp.maximum, parts)


jax.tree_util.register_dataclass(
    KKTEvidence,
    data_fields=list(KKTEvidence.__dataclass_fields__),
    meta_fields=[],
)


def kkt_evidence(
    objective: Function, equality: Function | None = None, inequality: Function | None = None
) -> Callable[..., KKTEvidence]:
    """What tells a wrong point, and a degenerate one, from a solution that has a derivative.

    Args:
        objective: see ``kkt``.
        equality: see ``kkt``.
        inequality: see ``kkt``.

    Returns:
        ``evidence(x, params_obj, params_eq, params_ineq)``, a ``KKTEvidence``, for
        ``x = (z, nu, lam)``.

    Raises:
        ValueError: when called: see ``kkt``.

    Example:
        >>> evidence = kkt_evidence(lambda z, p: (z - p) ** 2, inequality=lambda z, p: z)
        >>> found = evidence((0.0, None, 0.0), 0.0)  # the free minimum lies on the constraint
        >>> float(found.residual), float(found.smallest_margin)
        (0.0, 0.0)
    """
    slope = lagrangian_gradient(objective, equality, inequality)

    def evidence(
        x: Any, params_obj: Any = None, params_eq: Any = None, params_ineq: Any = None
    ) -> KKTEvidence:
        z, nu, lam = parts(x)
        level = constraint(equality, z, nu, params_eq, "equality")
        bound = constraint(inequality, z, lam, params_ineq, "inequality")
        first = slope((z, nu, lam), params_obj, params_eq, params_ineq)
        kind = jnp.result_type(*jax.tree.leaves(first))
        margin = jax.tree.map(lambda m, g: jnp.maximum(m, -g), lam, bound)
        return KKTEvidence(
            stationarity=_largest(first, kind),
            equality=_largest(level, kind),
            inequality=_largest(jax.tree.map(lambda g: jnp.maximum(g, 0), bound), kind),
            multiplier=_largest(jax.tree.map(lambda m: jnp.minimum(m, 0), lam), kind),
            complementarity=_largest(jax.tree.map(lambda m, g: m * g, lam, bound), kind),
            active=active(lam, bound),
            margin=margin,
            smallest_margin=_smallest(margin, kind),
        )

    return evidence


def complementarity_margin(inequality: Function, x: Any, params_ineq: Any = None) -> Any:
    r"""The margin :math:`\max(\lambda_i, -G_i)` of each inequality at ``x = (z, nu, lam)``.

    Args:
        inequality: G, ``inequality(z, params_ineq)``.
        x: a solution; its second part is not read.
        params_ineq: the parameters of G.

    Returns:
        A tree like ``lam``; zero means that the derivative is one-sided.

    Raises:
        ValueError: x is not a triple, or ``lam`` not a tree like G.

    Example:
        >>> x = (jnp.array([1.0, 0.5]), None, jnp.array([2.0, 0.0]))
        >>> print(complementarity_margin(lambda z, p: z - p, x, 1.0))
        [2.  0.5]
    """
    z, _, lam = parts(x)
    bound = constraint(inequality, z, lam, params_ineq, "inequality")
    return jax.tree.map(lambda m, g: jnp.maximum(m, -g), lam, bound)


def _largest(tree: Any, kind: Any) -> Any:
    sizes = [jnp.max(jnp.abs(leaf), initial=0).astype(kind) for leaf in jax.tree.leaves(tree)]
    return jnp.max(jnp.stack(sizes)) if sizes else jnp.zeros((), kind)


def _smallest(tree: Any, kind: Any) -> Any:
    sizes = [jnp.min(leaf, initial=jnp.inf).astype(kind) for leaf in jax.tree.leaves(tree)]
    return jnp.min(jnp.stack(sizes)) if sizes else jnp.full((), jnp.inf, kind)
