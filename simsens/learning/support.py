r"""The derivative of the lasso and the elastic net, restricted to the support.

Let S be the coefficients that are not zero (and those without an l1 penalty), and :math:`\theta`
their signs. While S and the signs stay, :math:`w_S` is the root of

.. math:: F(w_S) = \tfrac1n X_S^T (X_S w_S - y) + \lambda_S \theta_S + \mu w_S ,

an equation of \|S\| unknowns, and all other coefficients are zero, with their derivatives. So

.. math:: \bigl(\tfrac1n X_S^T X_S + \mu I\bigr)\, \mathrm{d}w_S = -\partial_\theta F .

This is the derivative of the proximal-gradient fixed point of all p coefficients (Blondel et al.,
arXiv 2105.15183, appendix on the lasso; Bertrand et al., JMLR 23, 2022), for the price of the
support: p enters only where X is gathered.

Shapes are static under ``jit``, so S is padded to a fixed number of slots; a padded slot has a
column of zeros and the equation w = 0.
"""

from __future__ import annotations

import functools
from typing import Any

import jax.numpy as jnp
from jax import lax

from simsens.implicit.linear_solve.dense import DENSE_LIMIT
from simsens.implicit.root import held, implicit_root
from simsens.implicit.structure import declare
from simsens.learning.active_set import Found
from simsens.learning.factored_solve import NOT_UNIQUE, Claim, factored_solve, own_policy

EARLY = (
    "the minimum was not reached: the residual is {:.3g}, and {:.3g} was asked for; allow more"
    " iterations, or a larger tol"
)
CROWDED = "{:.0f} coefficients are not zero, and there is room for {:.0f}; raise nonzeros"


def slots(count: int) -> int:
    """How many slots to compile for, so that few programs are: the next power of two.

    Example:
        >>> [slots(count) for count in (0, 1, 9, 64, 65)]
        [1, 1, 16, 64, 128]
    """
    return 1 << max(0, count - 1).bit_length()


def on_support(
    X: Any, y: Any, l1: Any, l2: Any, found: Found, *, size: int, tol: float, on_failure: str
) -> Any:
    r"""The coefficients that a solver found, made differentiable in the data and the penalties.

    Args:
        X: ``[n, p]``.
        y: ``[n]``.
        l1: ``[p]`` :math:`\lambda`.
        l2: :math:`\mu`.
        found: the coefficients with their evidence.
        size: slots for the support.
        tol: the residual that counts as zero.
        on_failure: the policy where the residual is larger, the coefficients are not unique, or
            the slots do not suffice; the derivatives of all coefficients are concerned.

    Example:
        >>> import jax
        >>> X, y = jnp.eye(2), jnp.array([3.0, 0.5])
        >>> found = Found(jnp.array([2.0, 0.0]), 0.0, 1, 0, True)
        >>> def coefficients(l1):
        ...     return on_support(X, y, l1, 0.0, found, size=1, tol=1e-9, on_failure="nan")
        >>> print(jax.jacfwd(coefficients)(jnp.array([0.5, 0.5])))
        [[-2.  0.]
         [ 0.  0.]]
    """
    n, p = X.shape
    w = jnp.asarray(found.w)
    counted = (w != 0) | (held(l1) == 0)
    # Sorting compiles fifteen times sooner than ``jnp.nonzero`` does.
    support = jnp.sort(jnp.where(counted, jnp.arange(p), p))[:size]
    gather = functools.partial(jnp.take, indices=support, mode="fill", fill_value=0)
    columns, padded = gather(X, axis=1), support == p
    push = gather(l1) * gather(jnp.sign(w))

    # Where slots are many because nobody knows better, a matrix of all of them may not fit.
    factor = None
    if size <= max(min(n, p), DENSE_LIMIT):
        still, ridge = held((columns, l2))
        gram = still.T @ still / n + jnp.diag(jnp.where(padded, ridge + 1, ridge))
        factor = jnp.linalg.cholesky(gram)
    count = counted.sum()
    claims = (
        Claim(found.residual <= tol, EARLY, (found.residual, tol)),
        Claim(found.unique, NOT_UNIQUE),
        Claim(count <= size, CROWDED, (count, size)),
    )
    solve = factored_solve(factor, claims, on_failure)
    policy = own_policy(on_failure)
    root = implicit_root(
        stationarity, gather(w), columns, y, push, l2, padded, solve=solve, on_failure=policy
    )
    value = w.at[support].set(root, mode="drop")
    if on_failure != "nan":
        return value
    # Where the derivative on the support is refused, that of the zeros is not known either.
    fine = functools.reduce(jnp.logical_and, (claim.fine for claim in claims))
    return value + jnp.where(fine, 0, root[0] - lax.stop_gradient(root[0]))


def _stationarity(w: Any, columns: Any, y: Any, push: Any, l2: Any, padded: Any) -> Any:
    r"""F on the slots: ``columns [n, m]``, ``push`` :math:`= \lambda_S \theta_S`."""
    pull = (columns @ w - y) @ columns / len(y)
    return pull + push + l2 * w + jnp.where(padded, w, 0)


stationarity = declare(_stationarity, symmetric=True, definite=True)
