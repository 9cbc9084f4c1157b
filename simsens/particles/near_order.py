"""An order of the particles in which those that are near each other in space are near in memory."""

from __future__ import annotations

import numpy as np

from simsens.particles import image_table, space
from simsens.particles.potentials import EnergyFunction, HarmonicBonds
from simsens.particles.structure import Structure
from simsens.particles.system import System

FEW = 1000  # particles, of which all are near in memory
WIDTH = 2.0  # of a strip, in spacings


def near_order(system: System) -> np.ndarray:
    """``[place]`` which particle to put there; few, and those known by their number, stay.

    Energies of one's own and tables of bonds know particles by their number.
    """
    number = system.structure.number
    if number <= FEW or isinstance(system.potential, (EnergyFunction, HarmonicBonds)):
        return np.arange(number)
    return by_strips(system.structure)


def by_strips(structure: Structure) -> np.ndarray:
    """The order strip by strip, and along each strip (two dimensions) or column (three).

    Example:
        >>> line = Structure([[0.0, 3.1], [0.1, 0.2], [0.2, 2.0], [0.0, 1.1]])
        >>> print(by_strips(line))
        [1 3 2 0]
    """
    position, _ = image_table.wrap(structure, np.asarray(structure.position, float))
    strip = np.floor((position - position.min(axis=0)) / (WIDTH * space.spacing(structure)))
    return np.lexsort((position[:, -1], *strip[:, -2::-1].T))
