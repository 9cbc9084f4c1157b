r"""The nearest point of a polyhedron :math:`\{A y = b,\ G y \le h\}`.

Once the set W of active inequalities is known, the projection is one onto an affine set,

.. math:: y = \mathrm{proj}_{\{A y = b,\ G_W y = h_W\}}(x),

and as W stays put nearby, the derivative of this formula is that of the projection, in x and all
of A, b, G, h and in every order. Nothing else is differentiated.

W is found by the dual active-set method of Goldfarb and Idnani: start at the nearest point of the
equations, take the most violated inequality, walk along its normal within the active set until it
holds, let go of inequalities whose multiplier would turn negative on the way. It ends after
finitely many steps with the exact set, or with the proof that the polyhedron is empty. An
inequality that holds with equality without pushing (multiplier zero) is not in W.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from simsens.projection.affine import equations, onto_rows, rows_of_one
from simsens.projection.feasibility import (
    all_finite,
    demand,
    known,
    parts,
    poisoned,
    real_vector,
)


class _Walk(NamedTuple):
    """Where the dual method stands."""

    step: jax.Array  # [n] y minus the start
    multiplier: jax.Array  # [m]
    active: jax.Array  # bool [m]
    entering: jax.Array  # the inequality on its way in, or -1
    empty: jax.Array  # whether the polyhedron is proven empty
    done: jax.Array
    moves: jax.Array


def _solve_active(G: jax.Array, active: jax.Array, normal: jax.Array) -> jax.Array:
    """r, the least-squares coefficients of ``normal`` in the active rows of G, zero elsewhere.

    Inactive rows get a unit vector of their own below, so that the matrix has full rank and
    keeps the condition of the active rows, not its square.
    """
    mask = active.astype(G.dtype)
    stacked = jnp.concatenate([(G * mask[:, None]).T, jnp.diag(1 - mask)])
    q, r = jnp.linalg.qr(stacked)
    right = jnp.concatenate([normal, jnp.zeros_like(mask)])
    return jax.scipy.linalg.solve_triangular(r, q.T @ right) * mask


def _active_set(
    G: jax.Array, h: jax.Array, size: jax.Array, most: int
) -> tuple[jax.Array, jax.Array]:
    """The active rows of min |d|^2 s.t. G d <= h, rows of length one or zero; if it has a solution.

    ``size`` [m] is the magnitude of the numbers that h came from, against which rounding counts.
    """
    m, n = G.shape
    eps = jnp.finfo(G.dtype).eps
    slack = 20 * (m + n) * eps * size
    inf = jnp.array(jnp.inf, G.dtype)

    def move(now: _Walk) -> _Walk:
        excess = G @ now.step - h
        over = jnp.where(now.active | (excess <= slack), -inf, excess)
        entering = jnp.where(now.entering < 0, jnp.argmax(over), now.entering)
        done = (now.entering < 0) & jnp.all(over == -inf)

        normal = G[entering]
        r = _solve_active(G, now.active, normal)
        across = normal - G.T @ r
        # Once more, against cancellation: what is left must be orthogonal to the active rows.
        again = _solve_active(G, now.active, across)
        r, across = r + again, across - G.T @ again
        square = across @ across
        free = square > (1e4 * eps) ** 2
        full = jnp.where(free, excess[entering] / jnp.where(free, square, 1), inf)
        full = jnp.maximum(full, 0)
        blocks = now.active & (r > 0)
        ratio = jnp.where(blocks, now.multiplier / jnp.where(blocks, r, 1), inf)
        leaving = jnp.argmin(ratio)
        partial = jnp.maximum(ratio[leaving], 0)
        length = jnp.minimum(full, partial)
        empty = ~jnp.isfinite(length) & ~done  # or not a number

        length = jnp.where(~jnp.isfinite(length) | done, jnp.zeros_like(length), length)
        multiplier = (now.multiplier - length * r).at[entering].add(length)
        enters, leaves = full <= partial, partial < full
        active = jnp.where(enters, now.active.at[entering].set(True), now.active)
        active = jnp.where(leaves, active.at[leaving].set(False), active)
        kept = active | (jnp.arange(m) == entering)
        return _Walk(
            step=now.step - jnp.where(free, length, 0).astype(G.dtype) * across,
            multiplier=jnp.where(kept, multiplier, jnp.zeros_like(multiplier)),
            active=jnp.where(done | empty, now.active, active),
            entering=jnp.where(enters, -1, entering),
            empty=empty,
            done=done | empty,
            moves=now.moves + 1,
        )

    nothing = jnp.zeros(m, bool)
    start = _Walk(
        step=jnp.zeros(n, G.dtype),
        multiplier=jnp.zeros(m, G.dtype),
        active=nothing,
        entering=jnp.array(-1),
        empty=jnp.array(False),
        done=jnp.array(False),
        moves=jnp.array(0),
    )
    end = lax.while_loop(lambda now: ~now.done & (now.moves < most), move, start)
    return end.active, end.done & ~end.empty


@jax.jit
def _onto_polyhedron(
    x: jax.Array, A: jax.Array, b: jax.Array, G: jax.Array, h: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """The projection, and whether there is one."""
    # An infinite h asks for nothing: 0 y <= 1.
    asks = h < jnp.inf
    h = jnp.where(asks, h, jnp.ones_like(h))
    G = jnp.where(asks[:, None], G, jnp.zeros_like(G))
    G, h = rows_of_one(G, h)
    active, solved = _find(*lax.stop_gradient((x, A, b, G, h)))
    mask = active.astype(x.dtype)
    rows = jnp.concatenate([A, mask[:, None] * G])
    y, consistent = onto_rows(x, rows, jnp.concatenate([b, mask * h]))
    return y, solved & consistent


def _find(
    x: jax.Array, A: jax.Array, b: jax.Array, G: jax.Array, h: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """The active inequalities, in the coordinates of the equations' solutions."""
    start, solvable = onto_rows(x, A, b)
    within = G
    if A.shape[0] > 0:
        scaled, _ = rows_of_one(A, b)
        within = G - (G @ jnp.linalg.pinv(scaled)) @ scaled
    distance = h - G @ start
    length = jnp.sqrt(jnp.sum(within**2, axis=1))
    # A row without a part along the equations' solutions either holds or makes the set empty.
    none = length <= 1e3 * jnp.finfo(x.dtype).eps
    length = jnp.where(none, jnp.ones_like(length), length)
    within = jnp.where(none[:, None], jnp.zeros_like(within), within / length[:, None])
    size = (jnp.abs(h) + jnp.abs(G) @ (jnp.abs(start) + jnp.abs(x))) / length
    most = 50 * (G.shape[0] + 1)
    active, solved = _active_set(within, distance / length, size, most)
    return active, solved & solvable


def projection_polyhedron(
    x: Any, hyperparams: tuple[Any, Any, Any, Any], check_feasible: bool = True
) -> jax.Array:
    r"""The nearest point with :math:`A y = b` and :math:`G y \le h`.

    .. math:: \arg\min_y \|x - y\|_2^2 \quad\text{subject to}\quad A y = b,\ G y \le h

    Args:
        x: [n].
        hyperparams: ``(A, b, G, h)``: [p, n], [p], [m, n], [m]; p or m may be zero, rows may be
            redundant, an entry of h infinite.
        check_feasible: whether to raise if the polyhedron is known to be empty; otherwise, and
            under tracing, the result is NaN.

    Returns:
        y [n], to rounding. An inequality that holds with equality but does not push counts as
        inactive.

    Raises:
        ValueError: the polyhedron is empty; integers, not finite, wrong shapes.

    Source: Goldfarb and Idnani, Mathematical Programming 27 (1983).

    Example:
        >>> A, b = jnp.ones((1, 3)), jnp.ones(1)  # sum to one
        >>> x, G, h = jnp.array([0.5, 1.0, -3.0]), -jnp.eye(3), jnp.array([0.0, 0.0, -0.125])
        >>> (projection_polyhedron(x, (A, b, G, h)) + 0).round(12).tolist()
        [0.1875, 0.6875, 0.125]
    """
    name = "projection_polyhedron"
    A, b, G, h = parts(name, "A, b, G, h", hyperparams)
    x = real_vector(name, "x", x)
    A, b = equations(name, "A, b", A, b, x)
    G, h = equations(name, "G, h", G, h, x)
    possible = demand(
        lambda h: h > -jnp.inf, f"{name} needs h > -inf; found {{}}; the polyhedron is empty", h
    )
    possible = possible if possible is True else jnp.all(possible)
    if G.shape[0] == 0:
        y, solved = onto_rows(x, A, b)
    else:
        y, solved = _onto_polyhedron(x, A, b, G, h)
    if check_feasible and known(solved):
        message = f"{name} needs A y = b and G y <= h to have a solution; found none; relax them"
        demand(lambda s: s, message, solved)
    return poisoned(y, solved, possible, all_finite((x, A, b, G)))
