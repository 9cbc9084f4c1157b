"""The shelf of potentials: the command line, the contract tests and the docs read this table.

A potential is a frozen dataclass whose array fields are its parameters. Pair potentials give
``tables(species)`` (their numbers over pairs), ``reach(tables)`` (their range) and
``pair_energy(r, **numbers)``; forces, stiffnesses and mixed derivatives follow by autodiff.
"""

from simsens.particles.potentials.energy_function import EnergyFunction
from simsens.particles.potentials.harmonic_bonds import HarmonicBonds
from simsens.particles.potentials.lennard_jones import LennardJones
from simsens.particles.potentials.morse import Morse
from simsens.particles.potentials.soft_sphere import SoftSphere

POTENTIALS = {
    "soft-sphere": SoftSphere,
    "lennard-jones": LennardJones,
    "morse": Morse,
    "harmonic-bonds": HarmonicBonds,
}

__all__ = ["POTENTIALS", "EnergyFunction", "HarmonicBonds", "LennardJones", "Morse", "SoftSphere"]
