"""A structure: where the particles are, of which species, in which box.

Conventions, those of H5MD and of ASE:

* ``position[i]`` is a Cartesian row vector of ``dimension`` 2 or 3; positions are not wrapped.
* ``box[k]`` is the k-th edge vector, a *row* (jax-md holds columns); ``None`` is free space.
* ``boundary[k]`` says whether the k-th edge is periodic.
* ``species[i]`` is an index into ``species_names``; a name is any string.
* ``fixed[i]`` says that particle i is held in place by whoever relaxes the structure.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import jax
import numpy as np


class InvalidStructure(ValueError):
    """The structure cannot be simulated; the message says what was needed, what was found."""


@dataclass(frozen=True)
class Structure:
    """Particles in space.

    Args:
        position: ``[particle, dimension]`` Cartesian coordinates.
        species: a name per particle (``["A", "B", ...]``), or indices into ``species_names``;
            every particle is of species ``"A"`` when nothing is given.
        box: ``None`` (free space), a length, ``dimension`` lengths, or edge vectors as rows.
        boundary: periodic or not, one bool an edge; periodic wherever there is a box by default.
        fixed: mask of the particles that do not move, or ``None``.
        species_names: the names behind the indices, in the order of first use by default.

    Raises:
        InvalidStructure: shapes that do not fit each other, or a flat box.

    Example:
        >>> from simsens.particles.structure import Structure
        >>> pair = Structure([[0.0, 0.0], [1.1, 0.0]], species=["A", "B"], box=4.0)
        >>> pair.dimension, pair.species_names, pair.boundary
        (2, ('A', 'B'), (True, True))
    """

    position: Any
    species: Any = None
    box: Any = None
    boundary: Any = None
    fixed: Any = None
    species_names: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        # What a person writes (lists, numbers, NumPy arrays) is brought into shape; tracers and JAX
        # arrays pass.
        if isinstance(self.position, (list, tuple, np.ndarray)):
            self._set(position=_coordinates(self.position))
        if self.species is None and hasattr(self.position, "shape"):
            self._set(species=np.zeros(self.position.shape[0], np.int32))
            self._set(species_names=self.species_names or ("A",))
        elif isinstance(self.species, (list, tuple, np.ndarray)):
            index, names = _index_species(self.species, self.species_names)
            self._set(species=index, species_names=names)
        if isinstance(self.box, (int, float, list, tuple, np.ndarray, np.generic)):
            self._set(box=_edges(self.box, self.position.shape[1]))
        if self.boundary is None and hasattr(self.position, "shape"):
            self._set(boundary=(self.box is not None,) * self.position.shape[-1])
        elif isinstance(self.boundary, (bool, np.bool_, str)):
            self._set(boundary=(_periodic(self.boundary),) * self.position.shape[-1])
        elif isinstance(self.boundary, (list, tuple, np.ndarray)):
            self._set(boundary=tuple(_periodic(edge) for edge in self.boundary))
        if isinstance(self.fixed, (list, tuple, np.ndarray)):
            self._set(fixed=_mask(self.fixed, self.position.shape[0]))
        if isinstance(self.position, np.ndarray):
            _check_shapes(self)

    def _set(self, **values: Any) -> None:
        for name, value in values.items():
            object.__setattr__(self, name, value)

    @property
    def dimension(self) -> int:
        """2 or 3."""
        return self.position.shape[-1]

    @property
    def number(self) -> int:
        """How many particles."""
        return self.position.shape[-2]

    def with_position(self, position: Any) -> Structure:
        """The same particles elsewhere."""
        return replace(self, position=position)

    def reordered(self, order: Any) -> Structure:
        """The same particles in another order: ``order [place]`` tells which one stands there."""
        fixed = None if self.fixed is None else self.fixed[order]
        return replace(
            self, position=self.position[order], species=self.species[order], fixed=fixed
        )

    def with_box(self, box: Any) -> Structure:
        """The same particles in another box: a length, lengths, or edge vectors as rows.

        Raises:
            InvalidStructure: there is no box to replace, or the new one does not fit.
        """
        if self.box is None:
            raise InvalidStructure("a structure in free space has no box that could be another")
        return replace(self, box=box)

    def with_fixed(self, fixed: Any) -> Structure:
        """The same structure with these particles (indices or a mask) held in place."""
        mask = None if fixed is None else _mask(np.asarray(fixed), self.number)
        return replace(self, fixed=mask)

    def names(self) -> list[str]:
        """The species name of each particle."""
        return [self.species_names[k] for k in np.asarray(self.species)]


_DATA = ("position", "species", "box", "fixed")
_STATIC = ("boundary", "species_names")


def _flatten(structure: Structure) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
    leaves = ((jax.tree_util.GetAttrKey(k), getattr(structure, k)) for k in _DATA)
    return tuple(leaves), tuple(getattr(structure, k) for k in _STATIC)


def _unflatten(static: Any, leaves: Any) -> Structure:
    # Without the constructor: leaves may be placeholders, or a batch that comes back from a device.
    structure = object.__new__(Structure)
    structure._set(**dict(zip(_DATA, leaves)), **dict(zip(_STATIC, static)))
    return structure


jax.tree_util.register_pytree_with_keys(Structure, _flatten, _unflatten)


def check(structure: Structure) -> None:
    """Refuse what no energy can be computed for.

    Raises:
        InvalidStructure: no particles, coordinates that are not finite, or a box without volume.
    """
    position = np.asarray(structure.position)
    if structure.number == 0:
        raise InvalidStructure("the structure is empty: at least one particle is needed")
    bad = np.flatnonzero(~np.isfinite(position).all(axis=1))
    if len(bad):
        raise InvalidStructure(
            f"coordinates must be finite numbers; particle {bad[0]} is at {position[bad[0]]}"
            f" ({len(bad)} of {structure.number} are not finite)"
        )
    if structure.box is not None:
        box = np.asarray(structure.box)
        if not np.isfinite(box).all() or not _encloses(box):
            raise InvalidStructure(
                f"the box must enclose a volume; its edge vectors are {box.tolist()}"
            )


def mobile_mask(structure: Structure) -> np.ndarray:
    """Mask ``[particle]`` of those not fixed."""
    if structure.fixed is None:
        return np.ones(structure.number, bool)
    return ~np.asarray(structure.fixed)


def _encloses(box: np.ndarray) -> bool:
    length = np.linalg.norm(box, axis=1, keepdims=True)
    return bool((length > 0).all() and abs(np.linalg.det(box / length)) > 1e-9)


def _coordinates(position: Any) -> np.ndarray:
    array = np.asarray(position)
    if array.size == 0:
        raise InvalidStructure("the structure is empty: at least one particle is needed")
    if array.ndim != 2 or array.shape[1] not in (2, 3):
        raise InvalidStructure(
            f"positions must have the shape [particle, 2] or [particle, 3]; got {array.shape}"
        )
    return array.astype(float) if array.dtype.kind != "f" else array


def _index_species(species: Any, names: Sequence[str]) -> tuple[np.ndarray, tuple[str, ...]]:
    array = np.asarray(species)
    if array.dtype.kind in "iu" and (names or not len(array)):
        if array.min(initial=0) < 0 or array.max(initial=0) >= len(names):
            raise InvalidStructure(
                f"species indices must lie in 0..{len(names) - 1} (species_names: {list(names)})"
            )
        return array.astype(np.int32), tuple(names)
    labels = [str(s) for s in array]
    known = tuple(names) or tuple(dict.fromkeys(labels))
    unknown = sorted(set(labels) - set(known))
    if unknown:
        raise InvalidStructure(f"unknown species {unknown}; species_names are {list(known)}")
    place = {name: k for k, name in enumerate(known)}
    return np.array([place[s] for s in labels], np.int32), known


def _edges(box: Any, dimension: int) -> np.ndarray:
    array = np.asarray(box, float)
    if array.ndim == 0:
        array = np.full(dimension, float(array))
    if array.ndim == 1 and array.shape == (dimension,):
        if not (array > 0).all():
            raise InvalidStructure(f"box lengths must be positive; got {array.tolist()}")
        return np.diag(array)
    if (
        array.ndim == 2
        and not (array - np.diag(np.diag(array))).any()
        and (np.diag(array) <= 0).any()
    ):
        raise InvalidStructure(f"box lengths must be positive; got {np.diag(array).tolist()}")
    if array.shape != (dimension, dimension):
        raise InvalidStructure(
            f"the box must be a length, {dimension} lengths or {dimension} edge vectors (rows) for"
            f" positions of dimension {dimension}; got shape {np.shape(box)}"
        )
    return array


def _mask(fixed: Any, number: int) -> np.ndarray:
    array = np.asarray(fixed)
    if array.dtype == bool and array.shape == (number,):
        return array
    if array.size == 0:
        return np.zeros(number, bool)
    if array.dtype.kind not in "iu" or array.min() < -number or array.max() >= number:
        raise InvalidStructure(
            f"fixed must be {number} bools or particle indices below {number}; got {fixed}"
        )
    mask = np.zeros(number, bool)
    mask[array] = True
    return mask


def _periodic(edge: Any) -> bool:
    """Whether an edge is periodic, told by a flag or by one of H5MD's two words."""
    if isinstance(edge, str):
        if edge not in ("periodic", "none"):
            raise InvalidStructure(f"an edge is 'periodic' or 'none', True or False; got {edge!r}")
        return bool(edge == "periodic")
    if isinstance(edge, (bool, np.bool_, int, np.integer)) and edge in (0, 1):
        return bool(edge)
    raise InvalidStructure(f"an edge is 'periodic' or 'none', True or False; got {edge!r}")


def _check_shapes(structure: Structure) -> None:
    number, dimension = structure.position.shape
    if isinstance(structure.species, np.ndarray) and structure.species.shape != (number,):
        raise InvalidStructure(
            f"one species a particle is needed: {number} particles, {structure.species.shape[0]}"
            " species"
        )
    if isinstance(structure.boundary, tuple) and len(structure.boundary) != dimension:
        raise InvalidStructure(
            f"one boundary an edge is needed: dimension {dimension}, got {structure.boundary}"
        )
    if isinstance(structure.boundary, tuple) and any(structure.boundary) and structure.box is None:
        raise InvalidStructure("a periodic boundary needs a box")
