r"""The proximity operator of the nuclear norm: soft thresholding of singular values.

The value is plain: with :math:`X = U \operatorname{diag}(\sigma) V^T`,
:math:`Y = U \operatorname{diag}(\max(\sigma - t, 0)) V^T`. The derivative of U and V is not: it
divides by differences of singular values, although Y is differentiable where they coincide. What Y
needs is only that :math:`\sigma > t` and :math:`\sigma \le t` are apart. So the derivative is not
taken through the decomposition, but through an equation for the projector on the part above t.

Let H be the symmetric matrix :math:`\begin{pmatrix} 0 & X \\ X^T & 0 \end{pmatrix}`, whose
eigenvalues are :math:`\pm \sigma` and zeros, and P the projector on its eigenvalues above t. Then

.. math:: (H - t I) P = \frac12 \begin{pmatrix} \cdot & Y \\ Y^T & \cdot \end{pmatrix}.

In the eigenbasis of H at the point in question, split by ``above`` into blocks 1 and 0, P is the
root Z of

.. math:: (H Z - Z H)_{10} = 0, \quad (H Z - Z H)_{01} = 0, \quad
          (Z^2 - Z)_{11} = 0, \quad (Z^2 - Z)_{00} = 0,

whose linearisation at that point is diagonal: the entry (i, j) of a perturbation is multiplied by
:math:`\lambda_i - \lambda_j` between the blocks, by 1 in block 11, by -1 in block 00. None of
these is zero, whatever coincides within a block. ``attach_root`` turns this into derivatives
of every order in both modes, and they are the divided differences of Daleckii and Krein: for
example :math:`2 (\lambda_i - t) / (\lambda_i - \lambda_j)`, in [0, 2] before the factor one half.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from simsens.implicit.attached import attach_root
from simsens.prox.arguments import Arguments


def prox_nuclear_norm(x: Any, hyperparams: Any = None, scaling: Any = 1.0) -> Any:
    r"""Singular value thresholding, the proximity operator of the nuclear norm.

    .. math:: \arg\min_Y \tfrac12 \|X - Y\|_F^2 + s \lambda \sum_i \sigma_i(Y)
        = U \operatorname{diag}(\max(\sigma - s \lambda, 0)) V^T

    Args:
        x: real matrix ``[m, n]`` (for a batch use ``jax.vmap``).
        hyperparams: :math:`\lambda \ge 0`, a number; None is 1.
        scaling: :math:`s \ge 0`, a number.

    Returns:
        A matrix ``[m, n]``; NaN where a traced argument is infeasible.

    Raises:
        ValueError: negative or non-finite arguments, integers for x, no matrix.

    Source: Cai, Candes, Shen, A singular value thresholding algorithm for matrix completion, 2010;
    the derivative as in the module's text. A singular value equal to the threshold counts as
    below it. A derivative works with a matrix of m + n rows.

    Example:
        >>> print(prox_nuclear_norm(jnp.diag(jnp.array([3.0, 0.5])), 1.0).round(3) + 0.0)
        [[2. 0.]
         [0. 0.]]
    """
    given = Arguments("prox_nuclear_norm")
    matrix = given.single(x, 2, "[m, n]")
    weight = given.number("hyperparams", 1.0 if hyperparams is None else hyperparams, matrix)
    scale = given.number("scaling", scaling, matrix)

    def homogeneous(x: jax.Array, w: jax.Array, s: jax.Array) -> jax.Array:
        # Of degree one in (X, t): the unit may be held fixed under differentiation.
        largest = jnp.max(jnp.abs(lax.stop_gradient(x)))
        unit = jnp.where(largest > 0, largest, jnp.ones_like(largest))
        return unit * _threshold(x / unit, s * w / unit)

    return given.apply(homogeneous, [matrix], [weight], [scale])


@jax.custom_jvp
@jax.jit
def _threshold(x: jax.Array, t: jax.Array) -> jax.Array:
    u, sigma, vt = jnp.linalg.svd(x, full_matrices=False)
    shrunk = (u * jnp.where(sigma > t, sigma - t, jnp.zeros_like(sigma))) @ vt
    return jnp.where(t == 0, x, shrunk)


@_threshold.defjvp
def _threshold_jvp(primals: tuple[Any, ...], tangents: tuple[Any, ...]) -> tuple[Any, Any]:
    return jax.jvp(_by_projector, primals, tangents)


@jax.jit
def _by_projector(x: jax.Array, t: jax.Array) -> jax.Array:
    m, n = x.shape
    basis, eigenvalues = _eigenbasis(lax.stop_gradient(x))
    above = eigenvalues > lax.stop_gradient(t)
    # H in its own eigenbasis: exactly diagonal in value, with the derivative of basis^T H basis.
    # Products with it are then exact, entry by entry, however close two eigenvalues are.
    zeros = jnp.zeros((m, m), x.dtype), jnp.zeros((n, n), x.dtype)
    dilated = jnp.block([[zeros[0], x], [x.T, zeros[1]]])
    change = basis.T @ (dilated - lax.stop_gradient(dilated)) @ basis
    h = jnp.diag(eigenvalues) + change
    p = _projector(h, above, eigenvalues)
    part = (eigenvalues - t)[:, None] * p + change @ p  # (H - t) P
    y = 2 * (basis @ part @ basis.T)[:m, m:]
    # Without a penalty Y = X, wherever the singular values are; only the slope in t needs P.
    unpenalised = x - t * 2 * (basis @ p @ basis.T)[:m, m:]
    return jnp.where(t == 0, unpenalised, y)


def _eigenbasis(x: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Eigenvectors (columns) and eigenvalues of [[0, X], [X^T, 0]], from the SVD of X."""
    m, n = x.shape
    r = min(m, n)
    u, sigma, vt = jnp.linalg.svd(x, full_matrices=True)
    left, right = u[:, :r], vt[:r].T
    pairs = jnp.block([[left, left], [right, -right]]) * jnp.sqrt(0.5).astype(x.dtype)
    rest = jnp.zeros((m + n, m + n - 2 * r), x.dtype)
    rest = rest.at[:m, : m - r].set(u[:, r:]).at[m:, m - r :].set(vt[r:].T)
    zeros = jnp.zeros(m + n - 2 * r, x.dtype)
    return jnp.concatenate([pairs, rest], axis=1), jnp.concatenate([sigma, -sigma, zeros])


def _projector(h: jax.Array, above: jax.Array, eigenvalues: jax.Array) -> jax.Array:
    """The projector on the eigenvalues of the (in value diagonal) matrix that are ``above``."""
    across = above[:, None] != above[None, :]
    gaps = eigenvalues[:, None] - eigenvalues[None, :]
    within = jnp.where(above, jnp.ones_like(eigenvalues), -jnp.ones_like(eigenvalues))
    diagonal = jnp.where(across, gaps, within[:, None])

    def residual(z: jax.Array) -> jax.Array:
        return jnp.where(across, h @ z - z @ h, z @ z - z)

    def divide(_: Any, b: jax.Array) -> jax.Array:
        return b / diagonal

    def solve(z: jax.Array, b: jax.Array) -> jax.Array:
        product = jax.linearize(residual, z)[1]
        return lax.custom_linear_solve(product, b, solve=divide, transpose_solve=divide)

    return attach_root(residual, solve, jnp.diag(above.astype(h.dtype)))
