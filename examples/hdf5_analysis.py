"""From a result file to a scientific answer: with h5py alone, xarray, MDAnalysis and ASE.

Made beforehand, by the command line or by this script if no file is given,

    simsens relax --sensitivity --traj-every 10

a file holds a packing of 128 disks at rest, the way it came to rest, and the derivative of every
position with respect to the diameter of the small disks. Asked of it, each in a few lines:

    h5py        How far does the packing move when the small disks grow, may that be believed, and
                where is the motion: in a few disks, or in all of them?
    xarray      Do small disks move more than large ones?
    MDAnalysis  How far did the disks travel on their way to rest, and is most of it at the start?
    ASE         How many contacts has a disk, and is that what Maxwell's count asks for?

    python examples/hdf5_analysis.py [packing.h5md]
"""

import argparse
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np


def with_h5py(path):
    """The motion per unit of growth, how many disks share it, and the energy's slope."""
    with h5py.File(path) as file:
        root = file["simsens"]
        trust = dict(root["certificate"].attrs)
        name = root["sensitivity/parameter"].asstr()[0]
        slope = root["sensitivity/dR_dtheta"][:, :, 0]
        reach = root["certificate/one_percent_step"][0]
    if not trust["trusted"]:
        raise SystemExit(f"not to be believed: {trust['reason']}")
    square = (slope**2).sum(axis=1)
    share = square.sum() ** 2 / (len(square) * (square**2).sum())
    print(
        f"h5py        largest |dx/d {name}| = {np.sqrt(square.max()):.3g}, trusted, to one percent"
    )
    print(f"            up to a change of {reach:.1e}; {100 * share:.0f} % of the disks take part")
    return share


def with_xarray(path):
    """The mean motion by species, from labelled arrays."""
    import xarray

    from simsens import io

    dataset = io.load(path).to_xarray()
    assert isinstance(dataset, xarray.Dataset)
    length = np.sqrt((dataset["dR_dtheta"].isel(parameter=0) ** 2).sum("axis"))
    by_species = length.groupby("species").mean()
    told = ", ".join(
        f"{k} {v:.3g}" for k, v in zip(by_species["species"].values, by_species.values)
    )
    print(f"xarray      mean |dx/d theta| by species: {told}")
    return dict(zip(by_species["species"].values.tolist(), by_species.values.tolist()))


def with_mdanalysis(path):
    """Root mean square distance from the end, frame by frame."""
    import MDAnalysis

    with h5py.File(path) as file:
        number = file["particles/trajectory/position/value"].shape[1]
    universe = MDAnalysis.Universe.empty(number, trajectory=True)
    universe.load_new(str(path), convert_units=False)
    way = np.array([frame.positions.astype(float) for frame in universe.trajectory])
    left = np.sqrt(((way - way[-1]) ** 2).sum(axis=2).mean(axis=1))
    half = int(np.argmax(left < left[0] / 2))
    print(f"MDAnalysis  {len(way)} frames; the disks came {left[0]:.3g} on the average, half of it")
    print(f"            in the first {half} frames")
    return left


def with_ase(path):
    """Contacts of a disk that bears load, beside Maxwell's count of 4 in the plane."""
    from ase.neighborlist import neighbor_list

    from simsens import io

    atoms = io.to_ase(io.read(path))
    diameter = np.where(np.array(io.read(path).names()) == "A", 1.0, 0.6)
    first, second, apart = neighbor_list("ijd", atoms, 1.0)
    touching = apart < (diameter[first] + diameter[second]) / 2
    contacts = np.bincount(first[touching], minlength=len(atoms))
    mean = contacts[contacts > 2].mean()  # of three or more: the others are rattlers
    print(f"ASE         {mean:.2f} contacts a disk; Maxwell's count asks for 4")
    return mean


def main():
    """Ask every question of the file; make it first if there is none."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("file", nargs="?", type=Path, default=Path("packing.h5md"))
    path = parser.parse_args().file
    if not path.exists():
        command = ["relax", "--sensitivity", "--traj-every", "10", "--quiet", "-o", str(path)]
        subprocess.run([sys.executable, "-m", "simsens", *command], check=True)
    with_h5py(path)
    for answer in (with_xarray, with_mdanalysis, with_ase):
        try:
            answer(path)
        except ImportError as error:
            print(f"({answer.__name__}: {error})")


if __name__ == "__main__":
    main()
