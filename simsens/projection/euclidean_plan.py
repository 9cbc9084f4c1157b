r"""The transport plan nearest in the Euclidean sense, and its derivative.

.. math:: P_{ij} = \max(S_{ij} + \alpha_i + \beta_j, 0)

The dual is piecewise quadratic: exact sweeps over the rows and over the columns get near, Newton's
steps end it at rounding, once the support of P is found. Let
:math:`M = \begin{pmatrix} D(T1) & T \\ T^T & D(T^T 1)\end{pmatrix}` with T the 0/1 support and
D the diagonal matrix of a vector. The sums stay right if

.. math:: \dot P = T \circ (\dot S + \dot\alpha 1^T + 1 \dot\beta^T), \qquad
          M \begin{pmatrix}\dot\alpha \\ \dot\beta\end{pmatrix} =
          \begin{pmatrix}\dot a - (T \circ \dot S) 1 \\
          \dot b - (T \circ \dot S)^T 1\end{pmatrix}.

M is singular along (1, -1) at least, which does not change P. Of changes of a and b whose sums
differ the derivative follows the least-squares part.

    >>> half = jnp.array([0.5, 0.5])
    >>> S, start = jnp.array([[1.0, 0.5], [0.0, 0.0]]), (jnp.zeros(2), jnp.zeros(2))
    >>> plan, solved = euclidean_plan(S, half, half, start)
    >>> plan.round(12).tolist(), bool(solved)
    ([[0.375, 0.125], [0.125, 0.375]], True)
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from simsens.projection.simplex import threshold
from simsens.projection.transport_dual import LENGTHS, SWEEPS, centred, first_part

DAMPINGS = 0.25 ** np.arange(26)  # added to the eigenvalues of M, integers at most m + n in size
TINY = 30  # times the precision: the eigenvalues of M that are zero


@jax.jit
def euclidean_plan(
    S: jax.Array, a: jax.Array, b: jax.Array, start: tuple[jax.Array, jax.Array]
) -> tuple[jax.Array, jax.Array]:
    """The Euclidean plan, linear in S, a and b as long as the support stays."""
    m = S.shape[0]
    S = centred(S)
    T, solved = _support(*lax.stop_gradient((S, a, b)), start)
    rounding = TINY * jnp.finfo(S.dtype).eps.astype(S.dtype)
    inverse = jnp.linalg.pinv(_matrix(T), rtol=rounding, hermitian=True)

    def add(P: jax.Array) -> jax.Array:
        change = inverse @ jnp.concatenate([a - P.sum(1), b - P.sum(0)])
        return P + T * (change[:m, None] + change[m:])

    P = add(T * S)
    P = P + lax.stop_gradient(add(P) - P)  # against the rounding of the first
    # Below zero by rounding only; kept in the derivative.
    return P - lax.stop_gradient(jnp.minimum(P, 0)), solved


def _support(
    whole: jax.Array, a: jax.Array, b: jax.Array, start: tuple[jax.Array, jax.Array]
) -> tuple[jax.Array, jax.Array]:
    """The 0/1 support of the Euclidean projection; whether it was found."""
    m, n = whole.shape
    eps = jnp.finfo(whole.dtype).eps
    level = jax.vmap(_level)

    def plan(S: jax.Array, alpha: jax.Array, beta: jax.Array) -> jax.Array:
        return jnp.maximum(S + alpha[:, None] + beta, 0)

    def loss(S: jax.Array, alpha: jax.Array, beta: jax.Array) -> jax.Array:
        return (plan(S, alpha, beta) ** 2).sum() / 2 - alpha @ a - beta @ b

    def defect(S: jax.Array, alpha: jax.Array, beta: jax.Array) -> tuple[jax.Array, jax.Array]:
        P = plan(S, alpha, beta)
        return a - P.sum(1), b - P.sum(0)

    def largest(S: jax.Array, alpha: jax.Array, beta: jax.Array) -> jax.Array:
        rows, columns = defect(S, alpha, beta)
        return jnp.maximum(jnp.max(jnp.abs(rows)), jnp.max(jnp.abs(columns)))

    along = (None, 0, 0)

    def improve(state: Any) -> Any:
        (alpha, beta), part, there, count = state
        grown = jnp.where(there, jnp.minimum(2 * part, 1), part)
        beta, part = beta * (grown / part), grown
        S = part * whole
        alpha = level(S + beta, a)
        beta = level((S + alpha[:, None]).T, b)
        T = (plan(S, alpha, beta) > 0).astype(S.dtype)
        # Newton's steps, and Levenberg's: masses that differ between parts of the support which
        # do not touch ask for long steps along the null vectors of M, until the parts touch.
        values, vectors = jnp.linalg.eigh(_matrix(T))
        values = jnp.where(values > TINY * eps * values[-1], values, jnp.zeros_like(values))
        inverse = jnp.where(values > 0, 1 / jnp.where(values > 0, values, 1).astype(S.dtype), 0.0)
        newton = jnp.asarray(LENGTHS, S.dtype)[:, None] * inverse.astype(S.dtype)
        levenberg = 1 / (values + jnp.asarray(DAMPINGS, S.dtype)[:, None])
        weights = jnp.concatenate([newton, levenberg])
        steps = (weights * (vectors.T @ jnp.concatenate(defect(S, alpha, beta)))) @ vectors.T
        alphas, betas = alpha + steps[:, :m], beta + steps[:, m:]
        errors = jax.vmap(largest, along)(S, alphas, betas)
        size = jnp.max(jnp.abs(S)) + jnp.max(jnp.abs(alpha)) + jnp.max(jnp.abs(beta))
        small = (m + n) * eps * (size + jnp.sum(a))
        small = jnp.where(part < 1, jnp.maximum(small, 1e-3 * jnp.sum(a) / max(m, n)), small)
        # The dual decides until its differences drown in rounding: then a point that is right.
        there = jnp.min(errors) <= small
        best = jnp.where(
            there, jnp.argmin(errors), jnp.argmin(jax.vmap(loss, along)(S, alphas, betas))
        )
        return (alphas[best], betas[best]), part, there, count + 1

    def unfinished(state: Any) -> jax.Array:
        (alpha, _), part, there, count = state
        sane = jnp.all(jnp.isfinite(alpha))
        return ~(there & (part == 1)) & (count < SWEEPS) & sane

    part = first_part(whole, jnp.sum(a) / (m + n))
    start = (start[0] * part, start[1] * part)
    beginning = start, part, jnp.array(False), jnp.array(0)
    (alpha, beta), part, there, _ = lax.while_loop(unfinished, improve, beginning)
    return (plan(whole, alpha, beta) > 0).astype(whole.dtype), there & (part == 1)


def _matrix(T: jax.Array) -> jax.Array:
    """M of the module's head."""
    return jnp.block([[jnp.diag(T.sum(1)), T], [T.T, jnp.diag(T.sum(0))]])


def _level(V: jax.Array, total: jax.Array) -> jax.Array:
    """What to add to the vector V so that its positive part sums to ``total``."""
    top = jnp.argmax(V)
    return threshold(V, total)[top] - V[top]
