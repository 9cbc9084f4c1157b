r"""Soft spheres: finite repulsion between overlapping particles, the model of packings.

.. math:: \phi(r) = \frac{\epsilon}{\alpha} \left(1 - \frac{r}{\sigma}\right)^\alpha
          \quad (r < \sigma), \qquad 0 \quad (r \ge \sigma)

jax-md's convention: :math:`\sigma` is the *sum of the radii*, the distance of first contact;
:math:`\alpha = 2` is the harmonic and 2.5 the Hertzian sphere. Harmonic spheres are C¹: their
stiffness jumps at contact, so a derivative of the minimum holds up to the next contact change.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import jax
import jax.numpy as jnp

from simsens.particles.potentials import mixing
from simsens.particles.potentials.errors import InvalidPotential


@dataclass(frozen=True)
class SoftSphere:
    """Soft spheres with a diameter and a stiffness for each species.

    Args:
        diameter: a number, by species (``sigma_AB`` is the mean of two diameters), or by pair.
        epsilon: energy scale; a number, by species (geometric mean), or by pair.
        alpha: exponent, at least 2. It is part of the law, not a parameter to differentiate by.

    Example:
        >>> disks = SoftSphere(diameter={"A": 1.0, "B": 0.6})
        >>> float(disks.pair_energy(0.5, sigma=1.0, epsilon=1.0))
        0.125
    """

    diameter: Any = 1.0
    epsilon: Any = 1.0
    alpha: float = 2.0

    contact: ClassVar[bool] = True

    def __post_init__(self) -> None:
        diameter = mixing.field("diameter", self.diameter, positive=True)
        object.__setattr__(self, "diameter", diameter)
        object.__setattr__(self, "epsilon", mixing.field("epsilon", self.epsilon, positive=True))
        if not isinstance(self.alpha, (int, float)) or not self.alpha >= 2:
            raise InvalidPotential(
                f"alpha must be at least 2 (a force needs a slope); got {self.alpha}"
            )

    def tables(self, species: Sequence[str]) -> dict[str, Any]:
        """``sigma`` and ``epsilon`` over pairs of species."""
        return {
            "sigma": mixing.table(self.diameter, species, mixing.arithmetic, "diameter"),
            "epsilon": mixing.table(self.epsilon, species, mixing.geometric, "epsilon"),
        }

    def reach(self, tables: dict[str, Any]) -> Any:
        """The distance of contact."""
        return tables["sigma"]

    def pair_energy(self, r: Any, sigma: Any, epsilon: Any) -> Any:
        """Energy of a pair at distance ``r``."""
        # One division serves the value and its derivative by r.
        overlap = 1 - r * (1 / sigma)
        # Both branches of a `where` are differentiated: the power must see a positive number.
        safe = jnp.where(overlap > 0, overlap, 1.0)
        power = safe**2 if self.alpha == 2 else safe**self.alpha
        return jnp.where(overlap > 0, epsilon / self.alpha * power, 0.0)


jax.tree_util.register_dataclass(
    SoftSphere, data_fields=["diameter", "epsilon"], meta_fields=["alpha"]
)
