r"""The Lennard-Jones potential, the model of noble gases.

.. math:: \phi(r) = 4 \epsilon \left[(\sigma/r)^{12} - (\sigma/r)^6\right]

with its minimum :math:`-\epsilon` at :math:`2^{1/6} \sigma`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import jax

from simsens.particles.potentials import cutoff as ends
from simsens.particles.potentials import mixing


@dataclass(frozen=True)
class LennardJones:
    """Lennard-Jones particles, mixed by the Lorentz-Berthelot rules unless given by pair.

    Args:
        sigma: length; a number, by species (mean), or by pair.
        epsilon: depth of the well; a number, by species (geometric mean), or by pair.
        cutoff: a length in the units of the positions, ``None`` for no end (free space only).
        onset: where the smooth end begins, 0.9 of the cutoff by default.
        mode: ``"smooth"``, ``"shift"`` or ``"truncate"`` (see ``cutoff``).

    Example:
        >>> argon = LennardJones(sigma=3.4, epsilon=0.0104, cutoff=8.5)
        >>> round(float(argon.pair_energy(3.4 * 2 ** (1 / 6), sigma=3.4, epsilon=0.0104)), 6)
        -0.0104
    """

    sigma: Any = 1.0
    epsilon: Any = 1.0
    cutoff: float | None = None
    onset: float | None = None
    mode: str = "smooth"

    contact: ClassVar[bool] = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "sigma", mixing.field("sigma", self.sigma, positive=True))
        object.__setattr__(self, "epsilon", mixing.field("epsilon", self.epsilon, positive=True))
        ends.check(self.cutoff, self.onset, self.mode)

    def tables(self, species: Sequence[str]) -> dict[str, Any]:
        """``sigma`` and ``epsilon`` over pairs of species."""
        return {
            "sigma": mixing.table(self.sigma, species, mixing.arithmetic, "sigma"),
            "epsilon": mixing.table(self.epsilon, species, mixing.geometric, "epsilon"),
        }

    def reach(self, tables: dict[str, Any]) -> Any:
        """The cutoff."""
        return ends.reach(self.cutoff)

    def pair_energy(self, r: Any, sigma: Any, epsilon: Any) -> Any:
        """Energy of a pair at distance ``r``."""

        def law(distance: Any) -> Any:
            sixth = (sigma / distance) ** 6
            return 4 * epsilon * (sixth * sixth - sixth)

        return ends.apply(law, r, self.cutoff, self.onset, self.mode)


jax.tree_util.register_dataclass(
    LennardJones, data_fields=["sigma", "epsilon"], meta_fields=["cutoff", "onset", "mode"]
)
