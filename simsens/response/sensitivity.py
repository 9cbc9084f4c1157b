"""How the relaxed structure answers to its parameters."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from simsens.implicit.certificate import Certificate


@dataclass(frozen=True)
class Sensitivity:
    """The derivatives of a minimum, with their evidence.

    Attributes:
        parameters: the names of the parameters.
        values: ``[parameter]`` where they stand.
        position: ``[particle, dimension, parameter]`` derivative of the relaxed positions, at
            fixed box, in the gauge of zero mean displacement; zero for fixed particles and
            rattlers.
        observables: ``name -> (value, [parameter])`` what is measured and its total derivative.
        rattlers: indices of the particles that nothing holds.
        certificate: the evidence.
    """

    parameters: tuple[str, ...]
    values: np.ndarray
    position: np.ndarray
    observables: dict[str, tuple[float, np.ndarray]]
    rattlers: np.ndarray
    certificate: Certificate

    def __getitem__(self, name: str) -> Any:
        """The derivative with respect to one parameter, ``[particle, dimension]``."""
        return self.position[..., self.parameters.index(name)]
