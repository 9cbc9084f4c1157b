r"""The transportation polytope and the Birkhoff polytope, Euclidean and Kullback-Leibler.

The plans are the non-negative matrices P [m, n] with row sums a and column sums b. The Euclidean
projection of S and the entropic one have the forms

.. math:: P_{ij} = \max(S_{ij} + \alpha_i + \beta_j, 0), \qquad
          P_{ij} = \exp(S_{ij} + \alpha_i + \beta_j),

with multipliers that make the sums right: the optimum of a concave dual problem (Blondel, Seguy and
Rolet, AISTATS 2018, arXiv 1710.06276). How each is found, and its derivative, is told in
``euclidean_plan`` and ``entropic_plan``.

Only changes of a and b that keep their sums equal make sense. Entries exactly at zero are outside
the support, and a row or column whose marginal is zero stays zero.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from simsens.projection import transport_dual
from simsens.projection.entropic_plan import entropic_plan
from simsens.projection.euclidean_plan import euclidean_plan
from simsens.projection.feasibility import all_finite, demand, parts, poisoned, real


def projection_transport(
    sim_matrix: Any,
    marginals: tuple[Any, Any],
    make_solver: Callable[..., Any] | None = None,
    use_semi_dual: bool = True,
) -> jax.Array:
    r"""The nearest matrix with given row sums a, column sums b and no negative entry.

    .. math:: \arg\min_{P \ge 0} \|P - S\|_2^2 \quad\text{subject to}\quad P 1 = a,\ P^T 1 = b

    Args:
        sim_matrix: S [m, n], minus the cost matrix.
        marginals: ``(marginals_a, marginals_b)``, [m] and [n], of equal sums.
        make_solver: ``make_solver(fun)`` returns an object whose ``run(init, cost_matrix=...,
            marginals_a=..., marginals_b=...)`` minimises the dual function fun, and whose result
            has ``params``, as in JAXopt. What it finds is where our own method starts, which ends
            at rounding whatever it finds. None needs no other solver.
        use_semi_dual: which function ``make_solver`` gets: equation (10) of the source, of alpha
            alone, or equation (7), of (alpha, beta). Without ``make_solver`` there is no
            difference.

    Returns:
        P [m, n]; NaN if traced arguments make no sense, or in 1000 sweeps nothing was found.

    Raises:
        ValueError: negative marginals or unequal sums (beyond the square root of the precision),
            integers, not finite, wrong shapes, a make_solver that makes none.

    Source: Blondel, Seguy and Rolet, AISTATS 2018, arXiv 1710.06276.

    Example:
        >>> S, half = jnp.array([[1.0, 0.5], [0.0, 0.0]]), jnp.array([0.5, 0.5])
        >>> projection_transport(S, (half, half)).round(12).tolist()
        [[0.375, 0.125], [0.125, 0.375]]
    """
    name = "projection_transport"
    return _projected(name, sim_matrix, marginals, make_solver, use_semi_dual)


def _projected(
    name: str, sim_matrix: Any, marginals: Any, make_solver: Any, semi: bool
) -> jax.Array:
    S, a, b, well = _problem(name, sim_matrix, marginals)
    start = transport_dual.start(name, make_solver, semi, False, S, a, b)
    sought = poisoned(S, *well)  # nothing is, where all is NaN
    P, solved = euclidean_plan(sought, a, b, start)
    return poisoned(P, solved, *well)


def kl_projection_transport(
    sim_matrix: Any,
    marginals: tuple[Any, Any],
    make_solver: Callable[..., Any] | None = None,
    use_semi_dual: bool = True,
) -> jax.Array:
    r"""The plan nearest to exp(S) in the Kullback-Leibler sense: entropic transport.

    .. math:: \arg\min_{P > 0} \mathrm{KL}(P, e^S) \quad\text{subject to}\quad
              P 1 = a,\ P^T 1 = b

    Args:
        sim_matrix: S [m, n], minus the cost matrix divided by the temperature.
        marginals: ``(marginals_a, marginals_b)``, [m] and [n], of equal sums.
        make_solver: as in ``projection_transport``.
        use_semi_dual: as in ``projection_transport``.

    Returns:
        P [m, n]; NaN if traced arguments make no sense, or in 1000 sweeps the sums did not come
        out right, or S is beyond 1e11 in float64, where its exponentials mean nothing.

    Raises:
        ValueError: as ``projection_transport``.

    Source: Cuturi, NeurIPS 2013; Blondel, Seguy and Rolet, AISTATS 2018, arXiv 1710.06276.

    Example:
        >>> S, half = jnp.zeros((2, 2)), jnp.array([0.5, 0.5])
        >>> kl_projection_transport(S, (half, half)).round(12).tolist()
        [[0.25, 0.25], [0.25, 0.25]]
    """
    name = "kl_projection_transport"
    return _kl_projected(name, sim_matrix, marginals, make_solver, use_semi_dual)


def _kl_projected(
    name: str, sim_matrix: Any, marginals: Any, make_solver: Any, semi: bool
) -> jax.Array:
    S, a, b, well = _problem(name, sim_matrix, marginals)
    start = transport_dual.start(name, make_solver, semi, True, S, a, b)
    P, solved = entropic_plan(transport_dual.centred(poisoned(S, *well)), a, b, start[0])
    return poisoned(P, solved > 0, *well)


def _ones(name: str, sim_matrix: Any) -> tuple[Any, tuple[Any, Any]]:
    S = real(name, "sim_matrix", sim_matrix, ndim=2)
    if S.shape[0] != S.shape[1]:
        raise ValueError(f"{name} needs a square sim_matrix; found shape {S.shape}; pad it")
    ones = jnp.ones(S.shape[:1], S.dtype)
    return S, (ones, ones)


def projection_birkhoff(
    sim_matrix: Any,
    make_solver: Callable[..., Any] | None = None,
    use_semi_dual: bool = True,
) -> jax.Array:
    r"""The nearest doubly stochastic matrix: all rows and columns sum to one.

    .. math:: \arg\min_{P \ge 0} \|P - S\|_2^2 \quad\text{subject to}\quad P 1 = 1,\ P^T 1 = 1

    Args:
        sim_matrix: S [n, n].
        make_solver: as in ``projection_transport``.
        use_semi_dual: as in ``projection_transport``.

    Returns:
        P [n, n].

    Raises:
        ValueError: not square, integers, not finite (NaN when traced).

    Source: Blondel, Seguy and Rolet, AISTATS 2018, arXiv 1710.06276.

    Example:
        >>> projection_birkhoff(jnp.array([[3.0, 0.0], [0.0, 0.0]])).round(12).tolist()
        [[1.0, 0.0], [0.0, 1.0]]
    """
    S, ones = _ones("projection_birkhoff", sim_matrix)
    return _projected("projection_birkhoff", S, ones, make_solver, use_semi_dual)


def kl_projection_birkhoff(
    sim_matrix: Any,
    make_solver: Callable[..., Any] | None = None,
    use_semi_dual: bool = True,
) -> jax.Array:
    r"""The doubly stochastic matrix nearest to exp(S) in the Kullback-Leibler sense.

    .. math:: \arg\min_{P > 0} \mathrm{KL}(P, e^S) \quad\text{subject to}\quad
              P 1 = 1,\ P^T 1 = 1

    Args:
        sim_matrix: S [n, n].
        make_solver: as in ``projection_transport``.
        use_semi_dual: as in ``projection_transport``.

    Returns:
        P [n, n].

    Raises:
        ValueError: not square, integers, not finite (NaN when traced).

    Source: Sinkhorn and Knopp (1967); Blondel, Seguy and Rolet, AISTATS 2018, arXiv 1710.06276.

    Example:
        >>> kl_projection_birkhoff(jnp.zeros((2, 2))).round(12).tolist()
        [[0.5, 0.5], [0.5, 0.5]]
    """
    S, ones = _ones("kl_projection_birkhoff", sim_matrix)
    return _kl_projected("kl_projection_birkhoff", S, ones, make_solver, use_semi_dual)


def _problem(function: str, sim_matrix: Any, marginals: Any) -> tuple[Any, Any, Any, list[Any]]:
    """S, a, b (brought to the sum of a, which rounding may miss) and whether they make sense."""
    a, b = parts(function, "marginals_a, marginals_b", marginals)
    S = real(function, "sim_matrix", sim_matrix, ndim=2)
    if 0 in S.shape:
        raise ValueError(f"{function} needs a sim_matrix with entries; found {S.shape}; drop it")
    a = real(function, "marginals_a", a, shape=S.shape[:1], dtype=S.dtype)
    b = real(function, "marginals_b", b, shape=S.shape[1:], dtype=S.dtype)
    well = [all_finite((S, a, b))]
    for name, v in (("marginals_a", a), ("marginals_b", b)):
        message = f"{function} needs {name} >= 0; found {{}}; give masses"
        right = demand(lambda v: v >= 0, message, v)
        well.append(right if right is True else jnp.all(right))
    slack = float(jnp.finfo(S.dtype).eps) ** 0.5
    sums = a.sum(), b.sum()
    well.append(
        demand(
            lambda p, q: abs(p - q) <= slack * (p + q),
            f"{function} needs marginals of equal sums; found {{}} and {{}}; scale one of them",
            *sums,
        )
    )
    S, a, b = jnp.asarray(S), jnp.asarray(a), jnp.asarray(b)
    ratio = lax.stop_gradient(a.sum() / jnp.where(b.sum() > 0, b.sum(), 1).astype(b.dtype))
    return S, a, b * jnp.where(b.sum() > 0, ratio, jnp.ones_like(ratio)), well
