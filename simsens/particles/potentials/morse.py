r"""The Morse potential: a well of chosen place, depth and width.

.. math:: \phi(r) = \epsilon \left[1 - e^{-\alpha (r - r_0)}\right]^2 - \epsilon

jax-md's convention, with :math:`r_0` called ``sigma`` there and here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import jax
import jax.numpy as jnp

from simsens.particles.potentials import cutoff as ends
from simsens.particles.potentials import mixing


@dataclass(frozen=True)
class Morse:
    """Morse particles.

    Args:
        sigma: distance of the minimum; a number, by species (mean), or by pair.
        epsilon: depth; a number, by species (geometric mean), or by pair.
        alpha: inverse width of the well; a number, by species (mean), or by pair.
        cutoff: a length, ``None`` for no end (free space only).
        onset: where the smooth end begins, 0.9 of the cutoff by default.
        mode: ``"smooth"``, ``"shift"`` or ``"truncate"`` (see ``cutoff``).

    Example:
        >>> float(Morse(sigma=1.2).pair_energy(1.2, sigma=1.2, epsilon=2.0, alpha=5.0))
        -2.0
    """

    sigma: Any = 1.0
    epsilon: Any = 1.0
    alpha: Any = 5.0
    cutoff: float | None = None
    onset: float | None = None
    mode: str = "smooth"

    contact: ClassVar[bool] = False

    def __post_init__(self) -> None:
        for name in ("sigma", "epsilon", "alpha"):
            value = mixing.field(name, getattr(self, name), positive=True)
            object.__setattr__(self, name, value)
        ends.check(self.cutoff, self.onset, self.mode)

    def tables(self, species: Sequence[str]) -> dict[str, Any]:
        """``sigma``, ``epsilon`` and ``alpha`` over pairs of species."""
        return {
            "sigma": mixing.table(self.sigma, species, mixing.arithmetic, "sigma"),
            "epsilon": mixing.table(self.epsilon, species, mixing.geometric, "epsilon"),
            "alpha": mixing.table(self.alpha, species, mixing.arithmetic, "alpha"),
        }

    def reach(self, tables: dict[str, Any]) -> Any:
        """The cutoff."""
        return ends.reach(self.cutoff)

    def pair_energy(self, r: Any, sigma: Any, epsilon: Any, alpha: Any) -> Any:
        """Energy of a pair at distance ``r``."""

        def law(distance: Any) -> Any:
            return epsilon * ((1 - jnp.exp(-alpha * (distance - sigma))) ** 2 - 1)

        return ends.apply(law, r, self.cutoff, self.onset, self.mode)


jax.tree_util.register_dataclass(
    Morse, data_fields=["sigma", "epsilon", "alpha"], meta_fields=["cutoff", "onset", "mode"]
)
