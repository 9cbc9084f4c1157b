"""Any tree of numbers as one real vector, and back.

A complex number becomes two real ones, so that a mapping of complex numbers needs to be neither
holomorphic nor treated apart: its linearisation is a real matrix. Leaves that are not of
floating-point or complex type (counters, flags, keys) are no unknowns: they are left out of the
vector and put back as they were.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

Unravel = Callable[[Any], Any]


def is_unknown(leaf: Any) -> bool:
    """Whether a leaf holds real or complex numbers."""
    return is_array(leaf) and jnp.issubdtype(getattr(leaf, "dtype", float), jnp.inexact)


def is_array(leaf: Any) -> bool:
    """Whether a leaf is an array or a floating-point number, and not a text, a key or a flag."""
    if isinstance(leaf, (bool, int, str, bytes)) or leaf is None:
        return False
    return isinstance(leaf, (float, complex, np.ndarray, np.inexact, jax.Array))


def ravel(tree: Any) -> tuple[Any, Unravel]:
    """The unknowns of a tree as a real vector ``[n]``, and the function that puts them back.

    Precisions are promoted to the widest; ``unravel`` restores each leaf's own.

    Example:
        >>> vector, unravel = ravel({"a": jnp.array([1.0, 2.0]), "b": jnp.array(3.0 - 4.0j)})
        >>> [float(v) for v in vector]
        [1.0, 2.0, 3.0, -4.0]
        >>> complex(unravel(2 * vector)["b"])
        (6-8j)
    """
    leaves, treedef = jax.tree.flatten(tree)
    unknown = [is_unknown(leaf) for leaf in leaves]
    arrays = [jnp.asarray(leaf) for leaf, here in zip(leaves, unknown) if here]
    kinds = [jnp.finfo(a.dtype).dtype for a in arrays]  # of a complex number: that of its parts
    dtype = max(kinds, key=lambda kind: (kind.itemsize, str(kind)), default=jnp.dtype(float))
    parts = [_as_real(a).astype(dtype) for a in arrays]
    vector = jnp.concatenate(parts) if parts else jnp.zeros((0,), dtype)
    if len(parts) == 1:
        vector = parts[0]
    shapes = [(a.shape, a.dtype) for a in arrays]
    kept = [None if here else leaf for leaf, here in zip(leaves, unknown)]

    def unravel(v: Any) -> Any:
        restored, begin = [], 0
        numbers = iter(shapes)
        for leaf, here in zip(kept, unknown):
            if not here:
                restored.append(leaf)
                continue
            shape, kind = next(numbers)
            size = int(np.prod(shape)) * (2 if jnp.issubdtype(kind, jnp.complexfloating) else 1)
            restored.append(_from_real(lax.slice_in_dim(v, begin, begin + size), shape, kind))
            begin += size
        return jax.tree.unflatten(treedef, restored)

    return vector, unravel


def _as_real(array: Any) -> Any:
    if not jnp.issubdtype(array.dtype, jnp.complexfloating):
        return array.reshape(-1)
    return jnp.stack([array.real, array.imag], axis=-1).reshape(-1)


def _from_real(vector: Any, shape: tuple[int, ...], dtype: Any) -> Any:
    if not jnp.issubdtype(dtype, jnp.complexfloating):
        return vector.astype(dtype).reshape(shape)
    pairs = vector.reshape(*shape, 2).astype(jnp.finfo(dtype).dtype)
    return lax.complex(pairs[..., 0], pairs[..., 1])
