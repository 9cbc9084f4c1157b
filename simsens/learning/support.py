r"""The derivative of the lasso and the elastic net, restricted to the support.

Let S be the coefficients that are not zero (and those without an l1 penalty), and :math:`\theta`
their signs. While S and the signs stay, :math:`w_S` is the root of

.. math:: F(w_S) = \tfrac1n X_S^T (X_S w_S - y) + \lambda_S \theta_S + \mu w_S ,

an equation of \|S\| unknowns, and all other coefficients are zero, with their derivatives. So

.. math:: \bigl(\tfrac1n X_S^T X_S + \mu I\bigr)\, \mathrm{d}w_S = -\partial_\theta F .

This is the derivative of the proximal-gradient fixed point of all p coefficients (Blondel et al.,
arXiv 2105.15183, appendix on the lasso; Bertrand et al., JMLR 23, 2022), for the price of the
support: p enters only where X is gathered. The solver has factorised this matrix already, so that
a derivative, its adjoint, and those of second order cost two substitutions each.

Shapes are static under ``jit``, so S is padded to a fixed number of slots; a padded slot has a
column of zeros and the equation w = 0.
"""

from __future__ import annotations

import functools
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import lax

from simsens.implicit.root import implicit_root
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


def padded(found: Found, size: int, dense: bool) -> Found:
    """The support in as many slots as there are; without a factor if that would not be dense.

    Example:
        >>> found = Found(np.array([0.0, 2.0]), 0.0, 1, 0, True, 1, np.array([1]), np.eye(1))
        >>> print(padded(found, 2, True).support)
        [1 2]
    """
    room = min(size, found.count)
    support = np.full(size, len(found.w))
    support[:room] = found.support[:room]
    factor = np.eye(size if dense else 0, dtype=found.w.dtype)
    if dense:
        factor[:room, :room] = found.factor[:room, :room]
    return found._replace(support=support, factor=factor)


def on_support(X: Any, y: Any, l1: Any, l2: Any, found: Found, tol: float, on_failure: str) -> Any:
    r"""The coefficients that a solver found, made differentiable in the data and the penalties.

    Args:
        X: ``[n, p]``.
        y: ``[n]``.
        l1: ``[p]`` :math:`\lambda`.
        l2: :math:`\mu`.
        found: the coefficients with their evidence, ``padded``.
        tol: the residual that counts as zero.
        on_failure: the policy where the residual is larger, the coefficients are not unique, or
            the slots do not suffice; the derivatives of all coefficients are concerned.

    Example:
        >>> import jax
        >>> from simsens.learning.active_set import minimise
        >>> X, y, l1 = np.eye(2), np.array([3.0, 0.5]), np.array([0.5, 0.5])
        >>> found = padded(minimise(X, y, l1, 0.0, 1e-9, 9), size=1, dense=True)
        >>> print(jax.jacfwd(lambda l1: on_support(X, y, l1, 0.0, found, 1e-9, "nan"))(l1))
        [[-2.  0.]
         [ 0.  0.]]
    """
    w, support, size = jnp.asarray(found.w), found.support, len(found.support)
    gather = functools.partial(jnp.take, indices=support, mode="fill", fill_value=0)
    push = gather(l1) * gather(jnp.sign(w))
    factor = found.factor if len(found.factor) else None  # else by conjugate gradients
    claims = (
        Claim(found.residual <= tol, EARLY, (found.residual, tol)),
        Claim(found.unique, NOT_UNIQUE),
        Claim(found.count <= size, CROWDED, (found.count, size)),
    )
    solve = factored_solve(factor, claims, on_failure)
    policy = own_policy(on_failure)
    root = implicit_root(
        stationarity, gather(w), gather(X, axis=1), y, push, l2, support == len(w),
        solve=solve, on_failure=policy,
    )  # fmt: skip
    value = w.at[support].set(root, mode="drop")
    if on_failure != "nan":
        return value
    # Where the derivative on the support is refused, that of the zeros is not known either.
    fine = functools.reduce(jnp.logical_and, (claim.fine for claim in claims))
    return value + jnp.where(fine, 0, root[0] - lax.stop_gradient(root[0]))


def _stationarity(w: Any, columns: Any, y: Any, push: Any, l2: Any, empty: Any) -> Any:
    r"""F on the slots: ``columns [n, m]``, ``push`` :math:`= \lambda_S \theta_S`."""
    pull = (columns @ w - y) @ columns / len(y)
    return jnp.where(empty, w, pull + push + l2 * w)


stationarity = declare(_stationarity, symmetric=True, definite=True)
