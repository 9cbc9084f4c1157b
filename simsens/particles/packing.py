"""The packing of the paper: soft disks at random in a periodic square.

Half of the particles have one diameter and half the other; the box is sized so that their areas
make up the packing fraction. For 128 disks of diameters 1 and 0.6 at 0.98 its side is 8.352016507
(Blondel et al., arXiv 2105.15183, the molecular dynamics experiment, after a notebook of jax-md).
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from simsens.particles.potentials import SoftSphere
from simsens.particles.structure import Structure
from simsens.particles.system import System


def packing(
    diameters: Mapping[str, float] | None = None,
    number: int = 128,
    fraction: float = 0.98,
    seed: int = 0,
    dimension: int = 2,
) -> System:
    """Soft spheres placed at random, as many of each species, in a periodic square or cube.

    Args:
        diameters: by species, ``{"B": 0.6, "A": 1.0}`` by default; the first species comes first.
        number: of particles; what does not divide evenly goes to the last species.
        fraction: volume of the particles over that of the box.
        seed: of the positions, which NumPy's default generator draws uniformly.
        dimension: 2 or 3.

    Raises:
        ValueError: not a number of particles or a fraction that can be.

    Example:
        >>> round(float(packing().structure.box[0, 0]), 9)
        8.352016507
    """
    sizes = {"B": 0.6, "A": 1.0} if diameters is None else dict(diameters)
    if number < len(sizes) or not fraction > 0:
        raise ValueError(
            f"a packing needs at least {len(sizes)} particles and a positive fraction;"
            f" got {number} and {fraction}"
        )
    share = number // len(sizes)
    counts = [share] * (len(sizes) - 1) + [number - share * (len(sizes) - 1)]
    ball = np.pi / 4 if dimension == 2 else np.pi / 6
    volume = sum(n * ball * d**dimension for n, d in zip(counts, sizes.values())) / fraction
    side = float(volume ** (1 / dimension))
    position = np.random.default_rng(seed).uniform(0.0, side, (number, dimension))
    species = [name for name, n in zip(sizes, counts) for _ in range(n)]
    return System(Structure(position, species, box=side), SoftSphere(diameter=sizes))
