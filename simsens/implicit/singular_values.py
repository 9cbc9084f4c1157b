r"""The ends of the spectrum of a linearised root, for its certificate.

Small matrices that were factorised are decomposed whole. Otherwise the smallest singular value is
one over the largest of the inverse, which a Lanczos iteration on :math:`A^{-1} A^{-T}` finds in a
few solves, since it stands apart where it matters; the largest comes from a Lanczos iteration on
:math:`A^T A`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np

from simsens.implicit import compiled
from simsens.implicit.linear_solve.dense import null_fraction
from simsens.implicit.prepared import Linearised, PreparedRoot

WHOLE = 500  # unknowns up to which the whole spectrum is computed
STEPS = 12  # of a Lanczos iteration


@dataclass(frozen=True)
class Singular:
    """What is known of the singular values of A.

    Attributes:
        smallest: the smallest that is not zero.
        largest: the largest.
        vector: ``[n]`` right singular vector of the smallest, or ``None``.
        zero: how many are zero.
        negative: how many eigenvalues are negative, of a symmetric A; 0 where it is not known.
        asymmetry: ``|v A w - w A v| / |A| |v| |w|`` for two random vectors.
        sure: whether the solves behind the numbers converged.
        method: ``"dense"`` or ``"lanczos"``.
    """

    smallest: float
    largest: float
    vector: np.ndarray | None
    zero: int
    negative: int
    asymmetry: float
    sure: bool
    method: str


def singular_values(root: PreparedRoot) -> Singular:
    """Measure the spectrum of A at a prepared root.

    Example:
        >>> from simsens.implicit.prepared import prepare_root
        >>> root = prepare_root(lambda x: jnp.array([1.0, 5.0]) * x, jnp.zeros(2))
        >>> found = singular_values(root)
        >>> round(found.smallest, 6), round(found.largest, 6), found.zero
        (1.0, 5.0, 0)
    """
    linear = root.linear
    n = linear.residual.size
    symmetric = root.equation.structure.symmetric
    v, w = np.random.default_rng(0).standard_normal((2, n)).astype(linear.residual.dtype)
    if linear.factorisation is not None and n <= WHOLE:
        matrix = np.asarray(linear.factorisation.matrix)
        return _whole(matrix, symmetric, _asymmetry(v, w, matrix @ v, matrix @ w))

    def product(u: Any) -> Any:
        return compiled.run(_product, (), linear, jnp.asarray(u))

    def squared(u: Any) -> Any:
        return compiled.run(_squared, (), linear, jnp.asarray(u))

    asymmetry = _asymmetry(v, w, np.asarray(product(v)), np.asarray(product(w)))
    fine = []

    def inverse(u: Any) -> Any:
        once = root.solve(jnp.asarray(u), transposed=not symmetric)
        twice = root.solve(once.value)
        fine.append(bool(once.converged) and bool(twice.converged))
        return np.asarray(twice.value)

    top, _ = _lanczos(squared, v)
    bottom, vector = _lanczos(inverse, w)
    smallest = float(1 / np.sqrt(bottom)) if bottom > 0 else 0.0
    largest = float(np.sqrt(top))
    singular = linear.factorisation is not None and bool(linear.factorisation.singular)
    zero = int(singular or smallest <= null_fraction(v.dtype, n) * largest)
    return Singular(smallest, largest, vector, zero, 0, asymmetry, all(fine), "lanczos")


def _product(functions: tuple[()], linear: Linearised, v: Any) -> Any:
    return linear.product(v)


def _squared(functions: tuple[()], linear: Linearised, v: Any) -> Any:
    return linear.pull(linear.product(v))[0]


def _whole(matrix: np.ndarray, symmetric: bool, asymmetry: float) -> Singular:
    if not np.isfinite(matrix).all():
        return Singular(0.0, np.inf, None, 0, 0, asymmetry, False, "dense")
    if symmetric:
        values, vectors = np.linalg.eigh((matrix + matrix.T) / 2)
    else:
        _, values, rows = np.linalg.svd(matrix)
        vectors = rows.T
    size = np.abs(values)
    threshold = null_fraction(matrix.dtype, len(size)) * size.max()
    kept = np.flatnonzero(size > threshold)
    if len(kept) == 0:
        return Singular(0.0, 0.0, None, len(size), 0, asymmetry, True, "dense")
    least = kept[np.argmin(size[kept])]
    return Singular(
        smallest=float(size[least]),
        largest=float(size.max()),
        vector=vectors[:, least],
        zero=len(size) - len(kept),
        negative=int((values < -threshold).sum()),
        asymmetry=asymmetry,
        sure=True,
        method="dense",
    )


def _asymmetry(v: Any, w: Any, image_v: Any, image_w: Any) -> float:
    scale = np.linalg.norm(image_v) * np.linalg.norm(w) + np.linalg.norm(image_w) * np.linalg.norm(
        v
    )
    return float(abs(w @ image_v - v @ image_w) / scale) if scale > 0 else 0.0


def _lanczos(product: Callable[[Any], Any], start: np.ndarray) -> tuple[float, np.ndarray]:
    """The largest eigenvalue of a symmetric semidefinite product, and its vector."""
    basis = [start / np.linalg.norm(start)]
    images: list[np.ndarray] = []
    best = 0.0
    for _ in range(min(STEPS, len(start))):
        images.append(np.asarray(product(basis[-1])))
        q = np.stack(basis)
        small = q @ np.stack(images).T
        values, vectors = np.linalg.eigh((small + small.T) / 2)
        settled = abs(values[-1] - best) <= 1e-4 * abs(values[-1])
        best = float(values[-1])
        rest = images[-1] - q.T @ (q @ images[-1])
        rest = rest - q.T @ (q @ rest)
        length = np.linalg.norm(rest)
        if settled or length <= 1e-12 * abs(best):
            break
        basis.append(rest / length)
    ritz = np.stack(basis[: len(vectors)]).T @ vectors[:, -1]
    return best, ritz
