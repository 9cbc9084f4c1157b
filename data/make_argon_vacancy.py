"""Write argon_vacancy.extxyz: face-centred cubic argon with one atom missing.

The lattice constant minimises the energy per atom of the perfect crystal, a sum over lattice
vectors of the Lennard-Jones potential that ``simsens`` calls ``LennardJones(sigma=3.405,
epsilon=0.0104, cutoff=8.5, onset=7.5)``. Lengths are in Angstrom, energies in eV. The atom in the
middle of the box is taken away; the others stay on their lattice sites (unrelaxed).

    python data/make_argon_vacancy.py [-o data/argon_vacancy.extxyz]
"""

import argparse
from pathlib import Path

import numpy as np

SIGMA, EPSILON, ONSET, CUTOFF = 3.405, 0.0104, 7.5, 8.5
CELLS = 4
BASIS = np.array([[0, 0, 0], [0, 1, 1], [1, 0, 1], [1, 1, 0]]) / 2


def energy_per_atom(a: float) -> float:
    """Half the sum of the pair energies between one atom and all others, in eV."""
    cells = np.stack(np.meshgrid(*[np.arange(-3, 4)] * 3, indexing="ij"), axis=-1).reshape(-1, 1, 3)
    r = a * np.linalg.norm(cells + BASIS, axis=-1).ravel()
    r = r[(r > 0) & (r < CUTOFF)]
    sixth = (SIGMA / r) ** 6
    switch = (CUTOFF**2 - r**2) ** 2 * (CUTOFF**2 + 2 * r**2 - 3 * ONSET**2)
    switch = np.where(r < ONSET, 1.0, switch / (CUTOFF**2 - ONSET**2) ** 3)
    return float(np.sum(2 * EPSILON * (sixth**2 - sixth) * switch))


def lattice_constant() -> float:
    """The minimum, to the 0.001 Angstrom of the grid it is looked for on."""
    grid = np.round(np.arange(5.0, 5.6, 0.001), 3)
    return float(grid[np.argmin([energy_per_atom(a) for a in grid])])


def text() -> str:
    """The file, in extended XYZ."""
    a = lattice_constant()
    cells = np.stack(np.meshgrid(*[np.arange(CELLS)] * 3, indexing="ij"), axis=-1).reshape(-1, 1, 3)
    site = (cells + BASIS).reshape(-1, 3)
    site = site[~(site == CELLS / 2).all(axis=1)]
    length = f"{CELLS * a:.3f}"
    lattice = f"{length} 0.0 0.0 0.0 {length} 0.0 0.0 0.0 {length}"
    header = f'Lattice="{lattice}" Properties=species:S:1:pos:R:3 pbc="T T T"'
    rows = ["Ar " + " ".join(f"{x:9.4f}" for x in row) for row in a * site]
    return "\n".join([str(len(site)), header, *rows]) + "\n"


if __name__ == "__main__":
    beside = Path(__file__).with_name("argon_vacancy.extxyz")
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-o", "--output", type=Path, default=beside)
    parser.parse_args().output.write_bytes(text().encode())
