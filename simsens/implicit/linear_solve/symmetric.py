r"""Krylov methods for symmetric matrices: conjugate gradients, MINRES, block conjugate gradients.

Started at zero they stay in the range of A when b lies in it, so for a singular A their answer is
the pseudo-inverse's. Known null vectors are projected out. The preconditioner, an approximation of
the inverse, must be symmetric and positive definite.

References: Hestenes and Stiefel, J. Res. NBS 49 (1952) 409; Paige and Saunders, SIAM J. Numer.
Anal. 12 (1975) 617; Dubrulle, ETNA 12 (2001) 216 (the block method's stable form).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from simsens.implicit.linear_solve.iterate import Stretch, iterate
from simsens.implicit.linear_solve.solution import (
    LinearSolution,
    Product,
    default_tolerance,
    on_vectors,
    projector,
    ratio,
    rounding_floor,
)

Preconditioner = Callable[[Any], Any]
ASTRAY = 10  # times the least residual so far: more than the ups and downs of a block


@on_vectors
def solve_cg(
    product: Product,
    b: Any,
    *,
    init: Any = None,
    tol: float | None = None,
    maxiter: int | None = None,
    preconditioner: Preconditioner | None = None,
    null_space: Any = None,
) -> LinearSolution:
    r"""Projected conjugate gradients for a symmetric semidefinite A, of either sign.

    Args:
        product: ``v -> A v``.
        b: right-hand side.
        init: start; an earlier solution of a similar system saves iterations.
        tol: relative residual aimed at; 1e-12 in float64 by default.
        maxiter: products to spend; ``20 n + 100`` by default.
        preconditioner: ``r -> M r`` with M close to the inverse of ``|A|``.
        null_space: ``[k, n]`` orthonormal rows to project out.

    Returns:
        A solution; ``converged`` is false when the budget ran out or a curvature of the other
        sign was met (A is not semidefinite).

    Example:
        >>> s = solve_cg(lambda v: jnp.array([2.0, 4.0]) * v, jnp.array([2.0, 2.0]))
        >>> [round(float(v), 6) for v in s.value], bool(s.converged)
        ([1.0, 0.5], True)
    """
    method = _conjugate_gradients(_projected(preconditioner, null_space))
    return iterate(method, product, b, init=init, tol=tol, maxiter=maxiter, null_space=null_space)


def _projected(preconditioner: Preconditioner | None, null_space: Any) -> Preconditioner:
    if preconditioner is None:
        return lambda r: r
    project = projector(null_space)
    return lambda r: project(preconditioner(r))


def _conjugate_gradients(precondition: Preconditioner) -> Any:
    def method(product: Product, r: Any, tolerance: Any, budget: Any) -> Stretch:
        eps = float(jnp.finfo(r.dtype).eps)

        def step(state: Any) -> Any:
            x, r, p, rho, count, sign, top, _ = state
            ap = product(p)
            curvature, length = jnp.vdot(p, ap), jnp.vdot(p, p)
            sign = jnp.where(count == 0, jnp.where(curvature < 0, -1, 1).astype(r.dtype), sign)
            curvature = sign * curvature
            good = curvature > 0
            along = jnp.where(good, rho / jnp.where(good, curvature, 1), 0)
            x, r = x + sign * along * p, r - sign * along * ap
            z = precondition(r)
            new = jnp.vdot(r, z)
            p = z + ratio(new, rho) * p
            top = jnp.maximum(top, ratio(jnp.abs(curvature), length))
            broken = ~good | (curvature <= eps * top * length)
            return x, r, p, new, count + 1, sign, top, broken

        def going(state: Any) -> Any:
            _, r, _, _, count, _, _, broken = state
            return (jnp.linalg.norm(r) > tolerance) & (count < budget) & ~broken

        z = precondition(r)
        zero = jnp.zeros((), r.dtype)
        start = (jnp.zeros_like(r), r, z, jnp.vdot(r, z), 0, zero + 1, zero, False)
        x, _, _, _, count, _, top, broken = lax.while_loop(
            going, step, jax.tree.map(jnp.asarray, start)
        )
        return Stretch(x, count, top, broken)

    return method


@on_vectors
def solve_minres(
    product: Product,
    b: Any,
    *,
    init: Any = None,
    tol: float | None = None,
    maxiter: int | None = None,
    preconditioner: Preconditioner | None = None,
    null_space: Any = None,
) -> LinearSolution:
    r"""MINRES for any symmetric A, indefinite (a KKT matrix, a saddle) or singular.

    Minimises :math:`|b - A x|` over the Krylov space by the Lanczos recurrence and a QR
    factorisation of its tridiagonal matrix. Arguments as ``solve_cg``.

    Example:
        >>> saddle = jnp.array([[2.0, 1.0], [1.0, 0.0]])
        >>> s = solve_minres(lambda v: saddle @ v, jnp.array([3.0, 1.0]))
        >>> [round(float(v), 6) for v in s.value], bool(s.converged)
        ([1.0, 1.0], True)
    """
    method = _minres(_projected(preconditioner, null_space))
    return iterate(method, product, b, init=init, tol=tol, maxiter=maxiter, null_space=null_space)


def _minres(precondition: Preconditioner) -> Any:
    def method(product: Product, r: Any, tolerance: Any, budget: Any) -> Stretch:
        eps = float(jnp.finfo(r.dtype).eps)
        z = precondition(r)
        first = jnp.sqrt(jnp.maximum(jnp.vdot(r, z), 0))

        def step(state: Any) -> Any:
            s = dict(state)
            v = ratio(s["z"], s["beta"])
            image = product(v)
            top = jnp.maximum(s["top"], ratio(jnp.linalg.norm(image), jnp.linalg.norm(v)))
            y = image - ratio(s["beta"], s["beta_old"]) * s["r_old"]
            alpha = jnp.vdot(v, y)
            y = y - ratio(alpha, s["beta"]) * s["r_new"]
            z = precondition(y)
            beta = jnp.sqrt(jnp.maximum(jnp.vdot(y, z), 0))
            # The previous rotation acts on the new column, then a new one makes it triangular.
            delta = s["cos"] * s["delta_bar"] + s["sin"] * alpha
            gamma_bar = s["sin"] * s["delta_bar"] - s["cos"] * alpha
            gamma = jnp.maximum(jnp.hypot(gamma_bar, beta), eps * top)
            cos, sin = gamma_bar / gamma, beta / gamma
            w = (v - s["epsilon"] * s["w_old"] - delta * s["w"]) / gamma
            delta_bar = -s["cos"] * beta
            return {
                "x": s["x"] + cos * s["phi"] * w,
                "z": z,
                "r_old": s["r_new"],
                "r_new": y,
                "w_old": s["w"],
                "w": w,
                "beta_old": s["beta"],
                "beta": beta,
                "epsilon": s["sin"] * beta,
                "delta_bar": delta_bar,
                "cos": cos,
                "sin": sin,
                "phi": sin * s["phi"],
                # |A r| / |r| by the recurrence: it vanishes when only what A cannot reach is left.
                "stuck": jnp.hypot(gamma_bar, delta_bar) <= jnp.maximum(tolerance, eps) * top,
                "count": s["count"] + 1,
                "top": top,
            }

        def going(state: Any) -> Any:
            more = (state["phi"] > tolerance * first) & (state["count"] < budget)
            return more & (state["beta"] > eps * state["top"]) & ~state["stuck"]

        zero, none = jnp.zeros((), r.dtype), jnp.zeros_like(r)
        start = {
            "x": none, "z": z, "r_old": none, "r_new": r, "w_old": none, "w": none,
            "beta_old": zero, "beta": first, "epsilon": zero, "delta_bar": zero,
            "cos": zero - 1, "sin": zero, "phi": first, "stuck": jnp.asarray(False),
            "count": jnp.asarray(0), "top": zero,
        }  # fmt: skip
        end = lax.while_loop(going, step, start)
        return Stretch(end["x"], end["count"], end["top"], jnp.asarray(False))

    return method


def solve_block_cg(
    product: Product,
    b: Any,
    *,
    tol: float | None = None,
    maxiter: int | None = None,
    preconditioner: Preconditioner | None = None,
    null_space: Any = None,
) -> LinearSolution:
    r"""Conjugate gradients for the rows of ``b [m, n]`` together, in one shared Krylov space.

    The right-hand sides learn from each other: the space grows by m directions with every block of
    products, so the number of blocks falls, most of all when a few small eigenvalues delay each
    system alone. The residual block is kept orthonormal (QR), which stands dependent right-hand
    sides and ones that converge early.

    Args:
        product: ``v [n] -> A v``, A symmetric and positive semidefinite.
        b: ``[m, n]`` right-hand sides in rows.
        tol: relative residual aimed at in every row.
        maxiter: blocks of products to spend.
        preconditioner: ``r [n] -> M r``; applied in the symmetric sense.
        null_space: ``[k, n]`` orthonormal rows to project out.

    Returns:
        ``value [m, n]``, ``residual [m]``, the number of blocks, ``converged [m]``.

    Example:
        >>> s = solve_block_cg(lambda v: jnp.array([2.0, 4.0]) * v, jnp.eye(2))
        >>> [[round(float(v), 6) for v in row] for row in s.value]
        [[0.5, 0.0], [0.0, 0.25]]
    """
    n = b.shape[1]
    tolerance = default_tolerance(b.dtype) if tol is None else tol
    budget = 20 * n + 100 if maxiter is None else maxiter
    project = projector(null_space)
    precondition = preconditioner or (lambda r: r)
    within = project(b)
    scale, given = jnp.linalg.norm(within, axis=1), jnp.linalg.norm(b, axis=1)
    unit = within / jnp.where(scale > 0, scale, 1)[:, None]
    multiply = jax.vmap(product, in_axes=1, out_axes=1)
    project_columns = jax.vmap(project, in_axes=1, out_axes=1)
    # What QR makes up for a spent direction may lie in the null space: it is projected out too.
    smooth = jax.vmap(lambda r: project(precondition(r)), in_axes=1, out_axes=1)

    def start(r: Any) -> Any:
        q, c = jnp.linalg.qr(r)
        return q, c, smooth(q)

    def size(c: Any) -> Any:
        return jnp.max(jnp.linalg.norm(c, axis=0))

    def step(state: Any) -> Any:
        x, q, c, s, z_q, count, top, best = state
        image = project_columns(multiply(s))
        inner = s.T @ image
        top = jnp.maximum(top, jnp.max(jnp.linalg.norm(image, axis=0) / _length(s)))
        # Directions that are spent leave an inner matrix without full rank: least squares.
        along = _solve_semidefinite(inner, q.T @ z_q)
        x = x + s @ (along @ c)
        rest = q - image @ along
        q_new, turn = jnp.linalg.qr(rest)
        z_new = smooth(q_new)
        beta = _solve_semidefinite(q.T @ z_q, turn.T @ (q_new.T @ z_new))
        c = turn @ c
        best = jnp.minimum(best, size(c))
        return x, q_new, c, z_new + s @ beta, z_new, count + 1, top, best

    def going(state: Any) -> Any:
        _, _, c, _, _, count, _, best = state
        # Once the space is spent the directions that QR makes up lead astray: start again.
        return (size(c) > tolerance) & (count < budget) & (size(c) <= ASTRAY * best)

    def restart(state: Any) -> Any:
        x, r, true, count, top, _ = state
        q, c, z = start(r)
        begin = (x, q, c, z, z, count, top, size(c))
        x_new, *_, count, top, _ = lax.while_loop(going, step, begin)
        r_new = project_columns(unit.T - multiply(x_new))
        true_new = jnp.linalg.norm(r_new, axis=0)
        better = true_new < true
        falling = jnp.any(true_new < 0.5 * true)
        x, r = jnp.where(better, x_new, x), jnp.where(better, r_new, r)
        return x, r, jnp.where(better, true_new, true), count, top, falling

    def unfinished(state: Any) -> Any:
        _, _, true, count, _, falling = state
        return jnp.any(true > tolerance) & (count < budget) & falling

    r = unit.T
    zero = jnp.zeros((), b.dtype)
    begin = (jnp.zeros_like(r), r, jnp.linalg.norm(r, axis=0), 0, zero, True)
    begin = jax.tree.map(jnp.asarray, begin)
    x, _, true, count, top, _ = lax.while_loop(unfinished, restart, begin)
    floor = rounding_floor(top, jnp.linalg.norm(x, axis=0))
    fine = (true <= jnp.maximum(10 * tolerance, floor)) & jnp.isfinite(given)
    lost = jnp.linalg.norm(b - within, axis=1) / jnp.where(given > 0, given, 1)
    return LinearSolution(x.T * scale[:, None], true, count, fine, lost)


def _length(columns: Any) -> Any:
    size = jnp.linalg.norm(columns, axis=0)
    return jnp.where(size > 0, size, 1)


def _solve_semidefinite(matrix: Any, b: Any) -> Any:
    values, vectors = jnp.linalg.eigh((matrix + matrix.T) / 2)
    kept = values > 1e-14 * jnp.max(jnp.abs(values))
    inverse = jnp.where(kept, 1 / jnp.where(kept, values, 1), 0)
    return vectors @ (inverse[:, None] * (vectors.T @ b))
