r"""A network of springs.

.. math:: E = \sum_b \frac{k_b}{2} (r_b - l_b)^2

Each bond b has its own stiffness and rest length, and so its own sensitivity: ``stiffness[7]``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import jax
import numpy as np

from simsens.particles import neighbors, space
from simsens.particles.potentials.errors import InvalidPotential
from simsens.particles.structure import Structure


class BondTable:
    """The pairs of particles that are bonded: an immutable table that can be a compile-time key."""

    def __init__(self, pairs: Any) -> None:
        """Take ``[bond, 2]`` particle indices."""
        try:
            self.pairs = np.array(pairs, ndmin=2)
        except ValueError as error:
            raise InvalidPotential(f"bonds must be pairs of particle indices: {error}") from error
        if self.pairs.dtype.kind == "f" and (self.pairs == np.rint(self.pairs)).all():
            self.pairs = self.pairs.astype(np.int64)  # whole numbers, as JSON and TOML give them
        if self.pairs.ndim != 2 or self.pairs.shape[1] != 2 or self.pairs.dtype.kind not in "iu":
            raise InvalidPotential(
                f"bonds must be pairs of particle indices, [[0, 1], [1, 2]]; got {pairs!r}"
            )
        if (self.pairs[:, 0] == self.pairs[:, 1]).any() or self.pairs.min() < 0:
            raise InvalidPotential("a bond must join two different particles, counted from 0")
        self.pairs.setflags(write=False)
        self._hash = hash(self.pairs.tobytes())

    def __hash__(self) -> int:
        return self._hash

    def __eq__(self, other: object) -> bool:
        return isinstance(other, BondTable) and np.array_equal(self.pairs, other.pairs)

    def __len__(self) -> int:
        return len(self.pairs)

    def __repr__(self) -> str:
        return f"BondTable({len(self)} bonds)"


@dataclass(frozen=True)
class HarmonicBonds:
    """Springs between given pairs of particles.

    Args:
        bonds: ``[bond, 2]`` particle indices.
        stiffness: spring constant, one for all or ``[bond]``.
        length: rest length, one for all or ``[bond]``.

    Raises:
        InvalidPotential: a bond to itself, or as many numbers as neither one nor the bonds.

    Example:
        >>> chain = HarmonicBonds(bonds=[[0, 1], [1, 2]], stiffness=[1.0, 3.0], length=1.0)
        >>> chain.bonds
        BondTable(2 bonds)
    """

    bonds: Any = ()
    stiffness: Any = 1.0
    length: Any = 1.0

    contact: ClassVar[bool] = False

    def __post_init__(self) -> None:
        if not isinstance(self.bonds, BondTable):
            object.__setattr__(self, "bonds", BondTable(self.bonds))
        for field in ("stiffness", "length"):
            value = getattr(self, field)
            if isinstance(value, (list, tuple, np.ndarray)):
                if np.shape(value) not in ((), (len(self.bonds),)):
                    raise InvalidPotential(
                        f"{field} needs one number or one for each of {len(self.bonds)} bonds;"
                        f" got shape {np.shape(value)}"
                    )
                object.__setattr__(self, field, np.asarray(value, float))

    @classmethod
    def between_close(
        cls, structure: Structure, cutoff: float, stiffness: Any = 1.0, length: Any = None
    ) -> HarmonicBonds:
        """Bond all pairs closer than ``cutoff``; at rest as they stand when no length is given.

        Raises:
            InvalidPotential: no pair is that close.
        """
        near = neighbors.list_pairs(structure, cutoff)
        row, slot = np.nonzero(near.mask & (np.arange(structure.number)[:, None] < near.index))
        pairs = np.stack([row, near.index[row, slot]], axis=1)
        if not len(pairs):
            raise InvalidPotential(f"no two particles are closer than the bond cutoff {cutoff}")
        if len(np.unique(pairs, axis=0)) < len(pairs):
            raise InvalidPotential(
                f"the bond cutoff {cutoff} reaches several images of one particle: use a larger box"
            )
        if length is None:
            position = np.asarray(structure.position)
            difference = position[pairs[:, 1]] - position[pairs[:, 0]]
            if structure.box is not None:
                image = np.asarray(space.nearest_image(structure, difference))
                difference = difference + image @ np.asarray(structure.box)
            length = np.linalg.norm(difference, axis=1)
        return cls(pairs, stiffness, length)

    def tables(self, species: Any) -> dict[str, Any]:
        """``stiffness`` and ``length``, one number or over bonds."""
        return {"stiffness": self.stiffness, "length": self.length}

    def pair_energy(self, r: Any, stiffness: Any, length: Any) -> Any:
        """Energy of a bond of length ``r``."""
        return stiffness / 2 * (r - length) ** 2


jax.tree_util.register_dataclass(
    HarmonicBonds, data_fields=["stiffness", "length"], meta_fields=["bonds"]
)
