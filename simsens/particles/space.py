"""Geometry of the box: fractional coordinates, widths, displacements.

A point is ``x = s @ box`` with fractional coordinates ``s``; the rows of ``box`` are the edges.
The width of the box across edge k is ``h_k = 1 / |column k of box^-1|``. Rounding the fractional
difference gives the nearest image of every pair closer than half the smallest periodic width,
whatever the angles of the box; beyond that several images matter (see ``neighbors``).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import lax

from simsens.particles.structure import Structure


def widths(box: Any) -> Any:
    """Perpendicular widths ``[dimension]`` of the box, in its length unit."""
    return 1.0 / jnp.linalg.norm(jnp.linalg.inv(box), axis=0)


def nearest_image(structure: Structure, difference: Any) -> Any:
    """The whole numbers of edges ``[..., dimension]`` that bring a difference to its nearest image.

    ``difference + nearest_image @ box`` is the shortest of the images when that is below half the
    smallest periodic width; edges that are not periodic get zero.
    """
    if not any(structure.boundary):
        return jnp.zeros_like(difference)
    periodic = np.array(structure.boundary, difference.dtype)
    return -jnp.round(difference @ jnp.linalg.inv(structure.box)) * periodic


def displacement(structure: Structure) -> Callable[..., Any]:
    """jax-md's displacement function of the structure's space: ``(a, b) -> a - b``, nearest image.

    Example:
        >>> from simsens.particles.structure import Structure
        >>> d = displacement(Structure([[0.2, 0.0], [3.9, 0.0]], box=4.0))
        >>> [round(float(c), 6) for c in d(np.array([0.2, 0.0]), np.array([3.9, 0.0]))]
        [0.3, 0.0]
    """

    def between(a: Any, b: Any, **unused: Any) -> Any:
        difference = a - b
        if not any(structure.boundary):
            return difference
        return difference + nearest_image(structure, difference) @ structure.box

    return between


def longest(vectors: Any) -> Any:
    """The length of the longest of ``vectors [particle, dimension]``, not to be differentiated.

    A number that is not negative is the larger, the larger its bits are as a whole number, and NaN
    is the largest: the maximum of whole numbers takes a third of the time.

    Example:
        >>> print(longest(np.array([[3.0, 4.0], [0.0, 1.0]])))
        5.0
    """
    squares = jnp.sum(vectors * vectors, axis=-1)
    whole = np.dtype(f"int{8 * squares.dtype.itemsize}")
    bits = lax.bitcast_convert_type(squares, whole) & np.iinfo(whole).max  # NaN may have a sign
    most = jnp.max(bits, initial=np.array(0, whole))
    return jnp.sqrt(lax.bitcast_convert_type(most, squares.dtype))


def volume(structure: Structure) -> Any:
    """Volume (area in 2-D) of the box.

    Raises:
        ValueError: free space has no volume.
    """
    if structure.box is None:
        raise ValueError("a volume needs a box; this structure lies in free space")
    return jnp.abs(jnp.linalg.det(structure.box))


def spacing(structure: Structure) -> float:
    """A typical distance between particles: ``(V/N)^(1/d)``, or what lies nearest in free space."""
    position = np.asarray(structure.position, float)
    if structure.box is not None and all(structure.boundary):
        return float(
            (np.abs(np.linalg.det(structure.box)) / len(position)) ** (1 / structure.dimension)
        )
    if len(position) < 2:
        return 1.0
    sample = position[:: max(1, len(position) // 200)]
    distance = np.linalg.norm(sample[:, None] - position[None], axis=-1)
    distance[distance == 0] = np.inf
    nearest = distance.min(axis=1)
    return float(np.median(nearest)) if np.isfinite(nearest).all() else 1.0
