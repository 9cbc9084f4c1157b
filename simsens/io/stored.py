"""What a result file holds, read back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from simsens.implicit.certificate import Certificate
    from simsens.particles.structure import Structure
    from simsens.response.sensitivity import Sensitivity


@dataclass(frozen=True)
class Stored:
    """A minimum with its record and, where they were computed, its derivatives.

    Attributes:
        structure: the minimum.
        start: ``[particle, dimension]`` where the particles came from.
        energy: potential energy of the minimum.
        max_force: the largest force that is left on a free particle.
        iterations: steps of the optimiser.
        converged: whether ``max_force <= fmax`` was reached.
        criterion: what ended the run, in words.
        fmax: what was asked for.
        optimizer: its name.
        history: ``[record, 3]`` step, energy, largest force.
        theta: every parameter of the potential by name.
        parameters: the names that derivatives were taken by; empty without derivatives.
        values: ``[parameter]`` where they stand.
        position_derivative: ``[particle, dimension, parameter]``, or ``None``.
        observables: ``name -> (value, [parameter])``.
        rattlers: indices of the particles that nothing holds.
        certificate: the evidence, or ``None``.
        provenance: how the file came about.
        units: ``"reduced"`` or ``"metal"``.
        status: ``"complete"`` or ``"not converged"``.
    """

    structure: Structure
    start: np.ndarray
    energy: float
    max_force: float
    iterations: int
    converged: bool
    criterion: str
    fmax: float
    optimizer: str
    history: np.ndarray
    theta: dict[str, float]
    parameters: tuple[str, ...]
    values: np.ndarray
    position_derivative: np.ndarray | None
    observables: dict[str, tuple[float, np.ndarray]]
    rattlers: np.ndarray
    certificate: Certificate | None
    provenance: dict[str, Any]
    units: str
    status: str

    @property
    def sensitivity(self) -> Sensitivity | None:
        """The derivatives as they were written, or ``None``."""
        if self.certificate is None or self.position_derivative is None:
            return None
        # Here, not above: who reads a structure has no need of what computes derivatives.
        from simsens.response.sensitivity import Sensitivity

        return Sensitivity(
            parameters=self.parameters,
            values=self.values,
            position=self.position_derivative,
            observables=self.observables,
            rattlers=self.rattlers,
            certificate=self.certificate,
        )
