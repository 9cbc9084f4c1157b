"""The result of a relaxation: where the particles came to rest, and why it stopped there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from simsens.particles.system import System


@dataclass(frozen=True)
class Equilibrium:
    """A relaxed system with its record.

    Attributes:
        system: the system at the positions reached.
        energy: its potential energy.
        max_force: the largest force on any free particle (Euclidean norm of its vector).
        iterations: steps of the optimiser, Newton steps included.
        converged: whether ``max_force <= fmax`` was reached.
        criterion: what ended the run, in words.
        fmax: what was asked for.
        optimizer: as of ``relax``.
        start: ``[particle, dimension]`` where the particles came from.
        history: ``[record, 3]`` step, energy, largest force, as they were reported.
    """

    system: System
    energy: float
    max_force: float
    iterations: int
    converged: bool
    criterion: str
    fmax: float
    optimizer: str
    start: np.ndarray
    history: np.ndarray

    @property
    def position(self) -> Any:
        """``[particle, dimension]`` where the particles are; not wrapped into the box."""
        return self.system.structure.position

    def __str__(self) -> str:
        state = "converged" if self.converged else "NOT CONVERGED"
        return (
            f"{state}: {self.criterion}\n"
            f"energy {self.energy:.10g}, max force {self.max_force:.3e},"
            f" {self.iterations} steps of {self.optimizer}"
        )


class NotConverged(RuntimeError):
    """The relaxation stopped early. ``equilibrium`` carries the state that was reached."""

    def __init__(self, message: str, equilibrium: Equilibrium) -> None:
        super().__init__(message)
        self.equilibrium = equilibrium
