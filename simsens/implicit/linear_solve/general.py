r"""Krylov methods for matrices without symmetry: GMRES, BiCGSTAB, and the normal equations.

GMRES minimises the residual over the Krylov space and keeps its basis, ``restart`` vectors.
BiCGSTAB keeps eight vectors and promises nothing; it is for systems whose basis does not fit.
The normal equations :math:`A^T A x = A^T b` square the condition number: they are here for who asks
for them, and never chosen.

References: Saad and Schultz, SIAM J. Sci. Stat. Comput. 7 (1986) 856; van der Vorst, ibid. 13
(1992) 631; Hestenes and Stiefel, J. Res. NBS 49 (1952) 409.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from simsens.implicit.linear_solve.iterate import Stretch, iterate
from simsens.implicit.linear_solve.solution import LinearSolution, Product, on_vectors, ratio
from simsens.implicit.linear_solve.symmetric import solve_cg

Preconditioner = Callable[[Any], Any]


def _identity(r: Any) -> Any:
    return r


@on_vectors
def solve_gmres(
    product: Product,
    b: Any,
    *,
    init: Any = None,
    tol: float | None = None,
    maxiter: int | None = None,
    restart: int | None = None,
    preconditioner: Preconditioner | None = None,
) -> LinearSolution:
    r"""Restarted GMRES for any square A.

    Args:
        product: ``v -> A v``.
        b: right-hand side.
        init: start; an earlier solution of a similar system saves iterations.
        tol: relative residual aimed at; 1e-12 in float64 by default.
        maxiter: products to spend; ``20 n + 100`` by default.
        restart: vectors of the basis, kept in memory; by default n up to 200, fewer (down to 20)
            when they would hold more than 2e7 numbers.
        preconditioner: ``r -> M r`` with M close to the inverse of A, applied from the right, so
            that the residual stays the true one.

    Returns:
        A solution; ``converged`` is false when the budget ran out or a restart stagnated.

    Example:
        >>> turn = jnp.array([[0.0, -1.0], [1.0, 0.0]])
        >>> s = solve_gmres(lambda v: turn @ v, jnp.array([1.0, 2.0]))
        >>> [round(float(v), 6) for v in s.value], bool(s.converged)
        ([2.0, -1.0], True)
    """
    if restart is None:
        restart = max(20, min(200, 20_000_000 // b.size))
    method = _gmres(preconditioner or _identity, min(restart, b.size))
    return iterate(method, product, b, init=init, tol=tol, maxiter=maxiter)


def _gmres(precondition: Preconditioner, size: int) -> Any:
    def method(product: Product, r: Any, tolerance: Any, budget: Any) -> Stretch:
        eps = float(jnp.finfo(r.dtype).eps)
        index = jnp.arange(size + 1)

        def step(state: Any) -> Any:
            basis, hessenberg, turns, g, k, top = state
            image = product(precondition(basis[k]))
            # Classical Gram-Schmidt, twice: as orthogonal as rounding allows, in matrix products.
            first = basis @ image
            w = image - first @ basis
            second = basis @ w
            w = w - second @ basis
            length = jnp.linalg.norm(w)
            column = (first + second).at[k + 1].set(length)
            basis = basis.at[k + 1].set(ratio(w, length))

            def turn(i: Any, c: Any) -> Any:
                cos, sin = turns[i]
                upper, lower = c[i], c[i + 1]
                return (
                    c.at[i].set(cos * upper + sin * lower).at[i + 1].set(-sin * upper + cos * lower)
                )

            column = lax.fori_loop(0, k, turn, column)
            norm = jnp.hypot(column[k], column[k + 1])
            cos, sin = ratio(column[k], norm), ratio(column[k + 1], norm)
            cos = jnp.where(norm > 0, cos, 1)
            column = column.at[k].set(norm).at[k + 1].set(0)
            g = g.at[k + 1].set(-sin * g[k]).at[k].set(cos * g[k])
            hessenberg = hessenberg.at[:, k].set(column[:size])
            turns = turns.at[k].set(jnp.stack([cos, sin]))
            top = jnp.maximum(top, jnp.linalg.norm(image))
            return basis, hessenberg, turns, g, k + 1, top

        def going(state: Any) -> Any:
            basis, _, _, g, k, _ = state
            alive = jnp.sum(jnp.abs(basis[k])) > 0  # else the Krylov space is exhausted
            return (jnp.abs(g[k]) > tolerance) & (k < size) & (k < budget) & alive

        dtype = r.dtype
        basis = jnp.zeros((size + 1, r.size), dtype).at[0].set(r)
        # A unit diagonal where no step was made keeps the triangle regular.
        triangle, turns = jnp.eye(size, dtype=dtype), jnp.zeros((size, 2), dtype)
        g = jnp.where(index == 0, 1, 0).astype(dtype)
        start = (basis, triangle, turns, g, jnp.asarray(0), jnp.zeros((), dtype))
        basis, triangle, _, g, k, top = lax.while_loop(going, step, start)
        made = jnp.arange(size) < k
        triangle = jnp.where(made[None] & made[:, None], triangle, jnp.eye(size, dtype=dtype))
        # A direction in which A does nothing (singular A) has no diagonal: leave it out.
        diagonal = jnp.diagonal(triangle)
        dead = jnp.abs(diagonal) <= eps * top
        triangle = triangle + jnp.diag(jnp.where(dead, 1, 0).astype(dtype))
        right = jnp.where(made & ~dead, g[:size], 0)
        y = jax.scipy.linalg.solve_triangular(triangle, right)
        return Stretch(precondition(y @ basis[:size]), k, top, jnp.asarray(False))

    return method


@on_vectors
def solve_bicgstab(
    product: Product,
    b: Any,
    *,
    init: Any = None,
    tol: float | None = None,
    maxiter: int | None = None,
    preconditioner: Preconditioner | None = None,
) -> LinearSolution:
    """BiCGSTAB for any square A, in the memory of eight vectors.

    Where its recurrence breaks down it is started again from the true residual. Arguments as
    ``solve_gmres``.

    Example:
        >>> shear = jnp.array([[2.0, 1.0], [0.0, 1.0]])
        >>> s = solve_bicgstab(lambda v: shear @ v, jnp.array([3.0, 1.0]))
        >>> [round(float(v), 6) for v in s.value], bool(s.converged)
        ([1.0, 1.0], True)
    """
    method = _bicgstab(preconditioner or _identity)
    return iterate(method, product, b, init=init, tol=tol, maxiter=maxiter)


def _bicgstab(precondition: Preconditioner) -> Any:
    def method(product: Product, r: Any, tolerance: Any, budget: Any) -> Stretch:
        eps = float(jnp.finfo(r.dtype).eps)
        # A shadow of its own kind: with r itself, small structured systems break down.
        phase = jnp.arange(r.size, dtype=r.dtype)
        shadow = r + jnp.cos(2.399963 * phase + 1) / jnp.sqrt(jnp.asarray(r.size, r.dtype))

        def step(state: Any) -> Any:
            x, r, p, image, rho, alpha, omega, count, top, _ = state
            rho_new = jnp.vdot(shadow, r)
            beta = ratio_signed(rho_new, rho) * ratio_signed(alpha, omega)
            p = r + beta * (p - omega * image)
            p_hat = precondition(p)
            image = product(p_hat)
            alpha = ratio_signed(rho_new, jnp.vdot(shadow, image))
            half = r - alpha * image
            s_hat = precondition(half)
            t = product(s_hat)
            # Where t is nearly orthogonal to what it should reduce, the minimal step stagnates:
            # a longer one maintains convergence (Sleijpen and van der Vorst, 1995).
            sizes = jnp.linalg.norm(t), jnp.linalg.norm(half)
            cosine = ratio(jnp.vdot(t, half), sizes[0] * sizes[1])
            cosine = jnp.where(cosine < 0, -1, 1) * jnp.maximum(jnp.abs(cosine), 0.7)
            omega = cosine.astype(r.dtype) * ratio(sizes[1], sizes[0])
            x = x + alpha * p_hat + omega * s_hat
            r = half - omega * t
            top = jnp.maximum(top, ratio(jnp.linalg.norm(image), jnp.linalg.norm(p_hat)))
            lost = (jnp.abs(rho_new) <= eps**2) | (omega == 0) | ~jnp.isfinite(jnp.sum(r))
            return x, r, p, image, rho_new, alpha, omega, count + 2, top, lost

        def going(state: Any) -> Any:
            _, r, *_, count, _, lost = state
            return (jnp.linalg.norm(r) > tolerance) & (count < budget) & ~lost

        zero, one, none = jnp.zeros((), r.dtype), jnp.ones((), r.dtype), jnp.zeros_like(r)
        start = (none, r, none, none, one, one, one, 0, zero, False)
        x, *_, count, top, _ = lax.while_loop(going, step, jax.tree.map(jnp.asarray, start))
        return Stretch(jnp.where(jnp.isfinite(x), x, 0), count, top, jnp.asarray(False))

    return method


def ratio_signed(numerator: Any, denominator: Any) -> Any:
    """``numerator / denominator``, zero where the denominator is."""
    there = denominator != 0
    return jnp.where(there, numerator / jnp.where(there, denominator, 1), 0)


def solve_normal_cg(
    matvec: Product, b: Any, ridge: float | None = None, **options: Any
) -> LinearSolution:
    """Conjugate gradients on the normal equations, in the stable form that never multiplies out.

    For any square A, also a singular one (the answer is of minimum norm); slow and inaccurate when
    A is ill-conditioned, because the condition number is squared. JAXopt's default. Options as of
    ``solve_cg`` (but ``null_space``); the preconditioner approximates the inverse of ``A^T A``.

    A ridge is added to ``A^T A``, as in JAXopt. Its answer solves no longer ``A x = b``: the
    residual is then that of ``(A^T A + ridge) x = A^T b``.

    Example:
        >>> shear = jnp.array([[2.0, 1.0], [0.0, 1.0]])
        >>> s = solve_normal_cg(lambda v: shear @ v, jnp.array([3.0, 1.0]))
        >>> [round(float(v), 6) for v in s.value], bool(s.converged)
        ([1.0, 1.0], True)
    """
    if ridge is None:
        return _on_normal_equations(matvec, b, **options)
    transposed = jax.linear_transpose(matvec, b)
    squared = lambda v: transposed(matvec(v))[0]  # noqa: E731
    return solve_cg(squared, transposed(b)[0], ridge=ridge, **options)


@on_vectors
def _on_normal_equations(
    product: Product,
    b: Any,
    *,
    init: Any = None,
    tol: float | None = None,
    maxiter: int | None = None,
    preconditioner: Preconditioner | None = None,
) -> LinearSolution:
    method = _normal(preconditioner or _identity)
    return iterate(method, product, b, init=init, tol=tol, maxiter=maxiter)


def _normal(precondition: Preconditioner) -> Any:
    def method(product: Product, r: Any, tolerance: Any, budget: Any) -> Stretch:
        eps = float(jnp.finfo(r.dtype).eps)
        transposed = jax.linear_transpose(product, r)

        def step(state: Any) -> Any:
            x, r, p, gamma, count, top, _ = state
            image = product(p)
            along = ratio(gamma, jnp.vdot(image, image))
            x, r = x + along * p, r - along * image
            s = transposed(r)[0]
            z = precondition(s)
            new = jnp.vdot(s, z)
            p = z + ratio(new, gamma) * p
            top = jnp.maximum(top, ratio(jnp.linalg.norm(image), jnp.linalg.norm(p)))
            stuck = jnp.linalg.norm(s) <= eps * top * jnp.linalg.norm(r)
            return x, r, p, new, count + 2, top, stuck

        def going(state: Any) -> Any:
            _, r, _, gamma, count, _, stuck = state
            more = (jnp.linalg.norm(r) > tolerance) & (gamma > 0)
            return more & (count < budget) & ~stuck

        s = transposed(r)[0]
        z = precondition(s)
        start = (jnp.zeros_like(r), r, z, jnp.vdot(s, z), 0, jnp.zeros((), r.dtype), False)
        x, *_, count, top, _ = lax.while_loop(going, step, jax.tree.map(jnp.asarray, start))
        return Stretch(x, count, top, jnp.asarray(False))

    return method
