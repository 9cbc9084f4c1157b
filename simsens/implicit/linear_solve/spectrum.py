"""A symmetric matrix by its eigenvalues, all of which are wanted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from simsens.implicit.linear_solve.dense import null_fraction
from simsens.implicit.linear_solve.solution import LinearSolution, Product, solved


@dataclass(frozen=True)
class Spectrum:
    """A symmetric matrix by its eigenvalues; a frozen pytree of NumPy or JAX arrays.

    A concrete matrix stays in NumPy: LAPACK is called directly and nothing needs compiling.

    Attributes:
        eigenvalues: ``[n]`` ascending.
        eigenvectors: ``[n, n]`` in columns.
    """

    eigenvalues: Any
    eigenvectors: Any

    def kept(self) -> Any:
        """Mask of the eigenvalues that are not zero."""
        size = abs(self.eigenvalues)
        return size > null_fraction(size.dtype, len(size)) * size.max()

    def solve(self, product: Product, b: Any) -> LinearSolution:
        """The minimum-norm solutions for the rows of ``b [..., n]``, refined once.

        Null components of b are left out.
        """
        xp, kept = _library(b), self.kept()
        inverse = kept / xp.where(kept, self.eigenvalues, 1)

        def in_range(v: Any) -> Any:
            return (v @ self.eigenvectors * kept) @ self.eigenvectors.T

        def once(v: Any) -> Any:
            return (v @ self.eigenvectors * inverse) @ self.eigenvectors.T

        b = in_range(b)
        x = once(b)
        x = x + once(b - product(x))
        scale = xp.linalg.norm(b, axis=-1)
        residual = xp.linalg.norm(in_range(b - product(x)), axis=-1) / xp.where(scale > 0, scale, 1)
        return LinearSolution(x, residual, xp.zeros(scale.shape, int), residual < solved(b.dtype))


jax.tree_util.register_dataclass(
    Spectrum, data_fields=["eigenvalues", "eigenvectors"], meta_fields=[]
)


def spectrum(matrix: Any) -> Spectrum:
    """Eigenvalues and eigenvectors of a symmetric ``[n, n]`` matrix."""
    return Spectrum(*_library(matrix).linalg.eigh((matrix + matrix.T) / 2))


def _library(array: Any) -> Any:
    return np if isinstance(array, np.ndarray) else jnp
