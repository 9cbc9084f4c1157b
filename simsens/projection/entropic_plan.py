r"""The transport plan nearest to exp(S) in the Kullback-Leibler sense, and its derivative.

.. math:: P_{ij} = \exp(S_{ij} + \alpha_i + \beta_j)

Sweeps over the rows and over the columns are Sinkhorn's; Newton's steps between them end it at
rounding. The sums stay right if

.. math:: \dot P = P \circ (\dot S + \dot\alpha 1^T + 1 \dot\beta^T), \qquad
          \begin{pmatrix} D(r) & P \\ P^T & D(c)\end{pmatrix}
          \begin{pmatrix}\dot\alpha \\ \dot\beta\end{pmatrix} =
          \begin{pmatrix}\dot a - (P \circ \dot S) 1 \\
          \dot b - (P \circ \dot S)^T 1\end{pmatrix}

with the sums r = P1 and :math:`c = P^T 1`; :math:`\dot\beta` is eliminated. Of changes of a and b
whose sums differ the derivative keeps the column sums.

    >>> half = jnp.array([0.5, 0.5])
    >>> plan, solved = entropic_plan(jnp.zeros((2, 2)), half, half, jnp.zeros(2))
    >>> plan.round(12).tolist(), bool(solved)
    ([[0.25, 0.25], [0.25, 0.25]], True)
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.scipy.special import logsumexp

from simsens.projection.transport_dual import LENGTHS, SWEEPS, first_part


@jax.custom_jvp
@jax.jit
def entropic_plan(
    S: jax.Array, a: jax.Array, b: jax.Array, start: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """The entropic plan, and 1 or 0 for solved or not."""
    total = jnp.sum(a)
    # Without any mass the plan of any other marginals, times zero.
    a, b = (jnp.where(total > 0, v, jnp.ones_like(v)) for v in (a, b))
    a, b = a / jnp.sum(a), b / jnp.sum(b)
    alpha, beta, solved = _multipliers(S, a, b, start)
    return total * jnp.exp(S + alpha[:, None] + beta), solved.astype(S.dtype)


@entropic_plan.defjvp
def _entropic_plan_jvp(primals: Any, tangents: Any) -> Any:
    S, a, b, start = primals
    dS, da, db, _ = tangents
    P, solved = entropic_plan(S, a, b, start)
    c = P.sum(0)
    c = jnp.where(c > 0, c, jnp.ones_like(c))
    moved = P * dS
    rows, columns = da - moved.sum(1), (db - moved.sum(0)) / c
    dalpha = _eliminated(P, rows - P @ columns)
    dbeta = columns - (P.T @ dalpha) / c
    return (P, solved), (moved + P * (dalpha[:, None] + dbeta), jnp.zeros_like(solved))


def _multipliers(
    whole: jax.Array, a: jax.Array, b: jax.Array, alpha: jax.Array
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Multipliers of the entropic plan for marginals that sum to one; whether they are right."""
    m, n = whole.shape
    inf = jnp.array(jnp.inf, whole.dtype)
    small = 2 * jnp.finfo(whole.dtype).eps * (m + n + 4 * jnp.max(jnp.abs(whole)))

    def logarithm(v: jax.Array) -> jax.Array:
        return jnp.where(v > 0, jnp.log(jnp.where(v > 0, v, jnp.ones_like(v))), -inf)

    def columns(S: jax.Array, alpha: jax.Array) -> jax.Array:
        return logarithm(b) - logsumexp(S + alpha[:, None], axis=0)

    def plan(S: jax.Array, alpha: jax.Array) -> jax.Array:
        return jnp.exp(S + alpha[:, None] + columns(S, alpha))

    def error(S: jax.Array, alpha: jax.Array) -> jax.Array:
        found = jnp.sum(jnp.abs(plan(S, alpha).sum(1) - a))
        return jnp.where(jnp.isnan(found), inf, found)

    def improve(state: Any) -> Any:
        alpha, part, found, count = state
        grown = jnp.where(found <= 1e-3, jnp.minimum(2 * part, 1), part)
        alpha, part = alpha * (grown / part), grown
        S = part * whole
        rows = logarithm(a) - logsumexp(S + columns(S, alpha), axis=1)
        alpha = jnp.where(a > 0, rows, -inf)
        P = plan(S, alpha)
        step = _eliminated(P, a - P.sum(1))
        step = jnp.where(jnp.isfinite(step), step, jnp.zeros_like(step))
        lengths = jnp.asarray(LENGTHS, S.dtype)
        alphas = alpha + lengths[:, None] * step
        errors = jax.vmap(error, (None, 0))(S, alphas)
        best = jnp.argmin(errors)
        return alphas[best], part, errors[best], count + 1

    def unfinished(state: Any) -> jax.Array:
        alpha, part, found, count = state
        sane = ~jnp.any(jnp.isnan(alpha))
        return ~((found <= small) & (part == 1)) & (count < SWEEPS) & sane

    part = first_part(whole, jnp.ones((), whole.dtype))
    beginning = jnp.where(a > 0, alpha * part, -inf), part, inf, jnp.array(0)
    alpha, part, found, _ = lax.while_loop(unfinished, improve, beginning)
    right = (found <= 100 * small) & (part == 1) & (small < 1e-3)
    return alpha, columns(whole, alpha), right


def _eliminated(P: jax.Array, rows: jax.Array) -> jax.Array:
    r"""The alpha of :math:`(D(r) - P D(c)^{-1} P^T)\, \alpha = rows`, with r and c P's sums.

    In units of :math:`\sqrt r` the matrix has the null vector :math:`\sqrt r`; its square is
    added, which does not change the plan.
    """
    r, c = P.sum(1), P.sum(0)
    r, c = jnp.where(r > 0, r, jnp.ones_like(r)), jnp.where(c > 0, c, jnp.ones_like(c))
    root = jnp.sqrt(r)
    scaled = P / root[:, None]
    null = root / jnp.sqrt(r.sum())
    A = jnp.eye(r.shape[0], dtype=P.dtype) - (scaled / c) @ scaled.T + jnp.outer(null, null)
    return jnp.linalg.solve(A, rows / root) / root
