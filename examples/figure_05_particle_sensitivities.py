"""Figure 5: how packed particles move when half of them grow.

128 soft disks are packed into a periodic square: 64 of diameter 1 and 64 of diameter theta = 0.6,
which together take up 0.98 of it. From a random start they relax to a minimum x*(theta) of

    E(x, theta) = sum over pairs of 1/2 (1 - r / sigma)^2 where r < sigma,

sigma being the mean of two diameters. At the minimum the force vanishes for every theta, so that

    H dx*/dtheta = - d(grad E)/dtheta,        H the Hessian of E,

a single linear system, whichever way and however long the minimiser took to get there. Its
solution is drawn: where each disk goes, at fixed box, as the small ones grow.

Blondel et al., Efficient and modular implicit differentiation, arXiv 2105.15183, figure 5.

    python examples/figure_05_particle_sensitivities.py [--seed 0] [-o figure_05.png]
"""

import argparse
from pathlib import Path

import jax
import numpy as np

from simsens import packing, plots, relax, sensitivity

PARAMETER = "diameter[B]"


def main(seed: int, output: Path) -> None:
    """Relax one packing, differentiate it, draw it, and write the numbers beside the figure."""
    system = packing(diameters={"B": 0.6, "A": 1.0}, number=128, fraction=0.98, seed=seed)
    equilibrium = relax(system, fmax=1e-10)
    slope = sensitivity(equilibrium, wrt=PARAMETER)

    side = float(np.asarray(system.structure.box)[0, 0])
    size = float(np.abs(slope[PARAMETER]).sum())
    print(f"side of the box  {side:.9f}")
    print(f"energy           {equilibrium.energy:.10f}")
    print(f"|dx*/dtheta|_1   {size:.6f}, or {size / side:.6f} in sides of the box")
    print(slope.certificate)

    plots.save(plots.packing(equilibrium, slope), output)
    diameter = np.where(np.array(system.structure.names()) == "B", 0.6, 1.0)
    table = np.column_stack([diameter, equilibrium.position, slope[PARAMETER]])
    header = f"diameter,x,y,dx/d {PARAMETER},dy/d {PARAMETER}"
    np.savetxt(output.with_suffix(".csv"), table, "%.12g", ",", header=header, comments="")


if __name__ == "__main__":
    jax.config.update("jax_enable_x64", True)
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=0, help="of the random start")
    parser.add_argument("-o", "--output", type=Path, default=Path("figure_05.png"))
    arguments = parser.parse_args()
    main(arguments.seed, arguments.output)
