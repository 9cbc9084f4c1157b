"""What a result file holds, read back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from simsens.implicit.certificate import Certificate
    from simsens.particles.structure import Structure
    from simsens.response.elasticity import ElasticModuli
    from simsens.response.equilibrium import Equilibrium
    from simsens.response.modes import NormalModes
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
        potential: the law, or ``None`` where it was an energy of one's own.
        parameters: the names that derivatives were taken by; empty without derivatives.
        values: ``[parameter]`` where they stand.
        position_derivative: ``[particle, dimension, parameter]``, or ``None``.
        observables: ``name -> (value, [parameter])``.
        rattlers: indices of the particles that nothing holds.
        certificate: the evidence, or ``None``.
        moduli: the elastic moduli, or ``None``.
        modes: the normal modes, or ``None``.
        provenance: how the file came about.
        units: ``"reduced"`` or ``"metal"``.
        status: ``"complete"``, ``"not converged"``, ``"interrupted"``, or ``"running"`` of a run
            that has not ended: then the minimum is its last frame.
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
    potential: Any
    parameters: tuple[str, ...]
    values: np.ndarray
    position_derivative: np.ndarray | None
    observables: dict[str, tuple[float, np.ndarray]]
    rattlers: np.ndarray
    certificate: Certificate | None
    moduli: ElasticModuli | None
    modes: NormalModes | None
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

    @property
    def equilibrium(self) -> Equilibrium:
        """The minimum as it was written, with its potential: to compute on.

        Raises:
            ValueError: the energy was one's own, of which a file keeps only the name.
        """
        return self.with_potential(self.potential)

    def with_potential(self, potential: Any) -> Equilibrium:
        """The minimum as it was written, with a potential that is given.

        Raises:
            ValueError: none is.
        """
        if potential is None:
            raise ValueError(
                "the potential was an energy of one's own, which a file does not hold: give it,"
                " stored.with_potential(EnergyFunction(...))"
            )
        # Here, not above: who reads a structure has no need of what computes.
        from simsens.particles.system import System
        from simsens.response.equilibrium import Equilibrium

        return Equilibrium(
            system=System(self.structure, potential),
            energy=self.energy,
            max_force=self.max_force,
            iterations=self.iterations,
            converged=self.converged,
            criterion=self.criterion,
            fmax=self.fmax,
            optimizer=self.optimizer,
            start=self.start,
            history=self.history,
        )

    def predicted(self, values: Mapping[str, float]) -> Structure:
        """The structure at other parameters to first order; see ``response.prediction.predict``.

        Raises:
            ValueError: the file holds no derivatives.
            UnknownParameter: listing those there are derivatives by.
        """
        from simsens.response.prediction import predict

        if self.sensitivity is None:
            raise ValueError("there are no derivatives to predict by: run with --sensitivity")
        return predict(self.structure, self.sensitivity, values)

    def to_xarray(self) -> Any:
        """Positions, derivatives, observables and evidence as an ``xarray.Dataset``.

        Raises:
            ImportError: xarray is not installed.
        """
        from simsens.io import tables

        return tables.dataset(self)

    def to_dataframe(self, what: str = "particles") -> Any:
        """A table for pandas: ``"particles"``, ``"observables"``, ``"parameters"``, ``"history"``.

        Raises:
            ImportError: pandas is not installed.
            ValueError: no such table.
        """
        from simsens.io import tables

        return tables.frame(self, what)
