r"""The lowest eigenvalues of a symmetric operator, by Lanczos's recurrence without restarts.

.. math:: A V_k = V_k T_k + \beta_k v_{k+1} e_k^T

T is tridiagonal, its eigenvalues (the Ritz values) approach those of A from within, the ends first;
a Ritz value :math:`\theta` with eigenvector s of T is within :math:`\beta_k |s_k|` of an eigenvalue
of A. The basis is not kept and not orthogonalised again: what rounding adds are copies of values
that have converged, which are counted once here. So an eigenvalue of several vectors counts once
too.

References: Paige, J. Inst. Maths Applics 18 (1976) 341; Cullum and Willoughby, Lanczos Algorithms
for Large Symmetric Eigenvalue Computations, 1985.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import lax

CHUNK = 100  # steps between looks at the Ritz values
MOST = 10_000  # steps
ACCURACY = 1e-2  # bound of a value's error, relative, at which it counts: the error is its square
COPY = 1e-3  # relative distance below which two values are one


def begin(start: Any) -> tuple[Any, Any, Any]:
    """The state before the first step, from a vector ``[n]`` that leans on nothing."""
    start = jnp.asarray(start)
    return jnp.zeros_like(start), start / jnp.linalg.norm(start), jnp.zeros((), start.dtype)


def steps(product: Callable[[Any], Any], state: Any, count: int) -> tuple[Any, Any, Any]:
    """So many steps: the state, and the diagonal and off-diagonal of T that they add, ``[count]``.

    Args:
        product: ``v [n] -> A v``.
        state: from ``begin`` or from here.
        count: of steps.
    """

    def step(state: Any, _: Any) -> Any:
        old, v, beta = state
        image = product(v) - beta * old
        alpha = jnp.vdot(v, image)
        rest = image - alpha * v
        size = jnp.linalg.norm(rest)
        # An exhausted space (beta = 0) goes on with nothing: its values have converged.
        return (v, rest / jnp.where(size > 0, size, 1), size), (alpha, size)

    state, (alpha, beta) = lax.scan(step, state, None, length=count)
    return state, alpha, beta


def lowest(
    advance: Callable[[Any], tuple[Any, Any, Any]], start: Any, floor: float, count: int = 4
) -> tuple[np.ndarray, bool]:
    """The lowest eigenvalues, ascending, and whether the very lowest is sure.

    Args:
        advance: ``state -> (state, alphas, betas)``, from ``steps``.
        start: ``[n]``.
        floor: an eigenvalue of this size counts as zero and need not be known better.
        count: how many are told at most; those that have converged are.

    Example:
        >>> import functools
        >>> diagonal = jnp.linspace(1.0, 50.0, 50)
        >>> advance = functools.partial(steps, lambda v: diagonal * v, count=60)
        >>> values, sure = lowest(advance, np.ones(50), 1e-12)
        >>> round(float(values[0]), 6), sure
        (1.0, True)
    """
    from scipy.linalg import eigh_tridiagonal

    state, alphas, betas = begin(start), np.zeros(0), np.zeros(0)
    while True:
        state, alpha, beta = advance(state)
        alphas, betas = np.append(alphas, np.asarray(alpha)), np.append(betas, np.asarray(beta))
        if not np.isfinite(alphas).all() or not np.isfinite(betas).all():
            return np.zeros(0), False
        used = _used(betas, floor)
        some = (0, min(8 * count, used) - 1)
        values, vectors = eigh_tridiagonal(
            alphas[:used], betas[: used - 1], select="i", select_range=some
        )
        error = betas[used - 1] * np.abs(vectors[-1])
        good = error <= np.maximum(ACCURACY * np.abs(values), floor)
        spent = used < len(alphas) or len(alphas) >= MOST
        if good[0] or spent:
            return _distinct(values[good], floor)[:count], bool(good[0])


def _used(betas: np.ndarray, floor: float) -> int:
    """Steps until the space was exhausted."""
    ended = np.flatnonzero(betas <= 1e-3 * floor)
    return int(ended[0]) + 1 if len(ended) else len(betas)


def _distinct(values: np.ndarray, floor: float) -> np.ndarray:
    """Values without the copies that follow them."""
    gaps = np.diff(values) > np.maximum(COPY * np.abs(values[1:]), 2 * floor)
    return values[np.append(True, gaps)] if len(values) else values
