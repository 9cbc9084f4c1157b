"""Figure 12: the sensitivities of figure 5, from a dozen lines of jax-md and one of `root_jvp`.

128 soft disks, 64 of diameter theta = 0.6 and 64 of diameter 1, in a periodic square of side L.
jax-md's FIRE finds x*(theta, L), positions in units of L, where the force vanishes:

    F(x, theta, L) = - grad of E(L x, theta) = 0,      E = sum over pairs of 1/2 (1 - r / sigma)^2.

`root_jvp` differentiates them whatever found them, along a tangent of (theta, L). "The small disks
grow" has two meanings, and the tangent says which is meant:

    (1, 0)            L fixed: the disks fill more and more of the square
    (1, dL/dtheta)    L recomputed from theta: they fill 0.98 of it throughout

Their difference, in the middle of the figure, is what the growing square does. The Hessian is
singular, since translations cost nothing, nor does a disk that nothing touches; conjugate gradients
from zero give the solution without such motions, as the pseudo-inverse would.

Both are checked against finite differences of FIRE and against `relax` and `sensitivity`, which
differentiate by the diameters only. That is enough: a square that grows is disks that all shrink,

    L dx*/dL = - theta dx*/dtheta - delta dx*/ddelta,      delta = 1 the other diameter,

because x* stays as it is when all lengths are scaled together.

Blondel et al., Efficient and modular implicit differentiation, arXiv 2105.15183, figure 12 (of
versions 1 and 2).

    python examples/figure_12_molecular_dynamics.py [--seed 0] [-o figure_12.png]
"""

import argparse
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from simsens import packing, plots, relax, root_jvp, sensitivity
from simsens.implicit.linear_solve import solve_cg
from simsens.particles.jax_md_door import open_door

open_door()  # the parts of jax-md without its package initialiser, which takes ten seconds
from jax_md import energy, minimize, space  # noqa: E402

N, THETA, STEP = 128, 0.6, 1e-6
SPECIES = np.repeat([0, 1], N // 2)


# The dozen lines: the energy, the solver, what holds at the solution, and its derivative.
def energy_of(theta, L):
    """The energy as a function of Cartesian positions."""
    sigma = jnp.array([[theta, (theta + 1) / 2], [(theta + 1) / 2, 1.0]])
    return energy.soft_sphere_pair(space.periodic(L)[0], species=SPECIES, sigma=sigma)


@jax.jit
def minimum(start, theta, L):
    """x*, by 2000 steps of FIRE from positions in the unit square."""
    init, step = minimize.fire_descent(energy_of(theta, L), space.periodic(L)[1])
    return lax.fori_loop(0, 2000, lambda _, state: step(state), init(L * start)).position / L


def F(x, theta, L):
    """Minus the gradient of the energy by x: zero at x*."""
    return -jax.grad(lambda x: energy_of(theta, L)(L * x))(x)


@jax.jit
def derivative(x, L, dL):
    """How x* answers when theta grows by one and L by dL, to first order."""
    return root_jvp(F, x, (THETA, L), (1.0, dL), solve=solve_cg)


def side(theta):
    """L: the disks fill 0.98 of the square."""
    return jnp.sqrt(N / 2 * jnp.pi * (theta**2 + 1) / 4 / 0.98)


def by_differences(x, L):
    """Both derivatives from FIRE, started at x* with disks a little smaller and larger."""
    less, more = THETA - STEP, THETA + STEP
    fixed = minimum(x, more, L) - minimum(x, less, L)
    recomputed = minimum(x, more, side(more)) - minimum(x, less, side(less))
    return [(change - jnp.round(change)) / (2 * STEP) for change in (fixed, recomputed)]


def by_diameters(slope, L, dL):
    """Both derivatives from those by the two diameters at fixed L, in Cartesian units."""
    small, others = slope["diameter[B]"] / L, slope["diameter[A]"] / L
    return [small, small - dL / L * (THETA * small + others)]


def apart(a, b):
    """The relative distance of two fields of displacement, up to a translation."""
    off = np.asarray(a) - np.asarray(b)
    return np.linalg.norm(off - off.mean(axis=0)) / np.linalg.norm(a)


def draw(ax: Axes, equilibrium, arrows, scale: float, title: str) -> None:
    """The packing, and where its disks go: arrows of the length |dx*/dtheta| L / scale."""
    plots.packing(equilibrium, ax=ax)
    ax.set_title(title, loc="left", fontsize=10.5)
    L = equilibrium.system.structure.box[0, 0]
    drawn = ax.quiver(
        *(equilibrium.position % L).T, *arrows.T, angles="xy", scale_units="xy", scale=scale / L,
        units="xy", width=0.035, headwidth=4, headlength=4.5, headaxislength=4, minshaft=1.5,
        minlength=0, zorder=4, color=plots.INK,
    )  # fmt: skip
    ax.quiverkey(
        drawn, 0.72, -0.035, 0.5, "dx*/dtheta = 0.5", fontproperties={"size": 8.5}, labelpos="E"
    )


def figure(equilibrium, fixed, recomputed) -> Figure:
    """The two derivatives, and between them what makes one of the other."""
    picture = Figure((12.6, 5.0), layout="constrained")
    left, middle, right = picture.subplots(1, 3)
    lengths = np.linalg.norm([fixed, recomputed - fixed, recomputed], axis=-1)
    scale = np.percentile(lengths, 97) * np.sqrt(N)  # nearly all are shorter than the spacing
    draw(left, equilibrium, fixed, scale, "(1, 0): the small disks grow, L fixed")
    draw(middle, equilibrium, recomputed - fixed, scale, "+ (0, dL/dtheta): the square grows")
    draw(right, equilibrium, recomputed, scale, "= (1, dL/dtheta): L recomputed")
    return picture


def main(seed: int, output: Path) -> None:
    """Differentiate one packing in both meanings, compare, draw, and write the numbers."""
    L, dL = jax.jvp(side, (THETA,), (1.0,))
    x = minimum(jax.random.uniform(jax.random.key(seed), (N, 2)), THETA, L)
    found = [derivative(x, L, 0.0), derivative(x, L, dL)]

    system = packing(diameters={"B": THETA, "A": 1.0}, number=N, fraction=0.98)
    equilibrium = relax(system.with_position(L * x), fmax=1e-10)
    slope = sensitivity(equilibrium, wrt="diameter")
    products, differences = by_diameters(slope, L, dL), by_differences(x, L)
    print(f"L {L:.9f}, dL/dtheta {dL:.9f}")
    print(f"largest force where FIRE ended {equilibrium.history[0, 2]:.1e};", end=" ")
    print(f"relax moves a disk by {np.abs(equilibrium.position - L * x).max():.1e}")
    for k, name in enumerate(("L fixed", "L recomputed")):
        print(f"{name}: |dx*/dtheta|_1 {jnp.abs(found[k]).sum():.6f},", end=" ")
        print(f"relative distance {apart(found[k], products[k]):.1e} from sensitivity,", end=" ")
        print(f"{apart(found[k], differences[k]):.1e} from finite differences")
    print(f"one instead of the other would be wrong by {apart(found[1], found[0]):.2f}")
    print(slope.certificate)

    plots.save(figure(equilibrium, *(np.asarray(field) for field in found)), output)
    diameter = np.where(SPECIES, 1.0, THETA)
    fields = [found[0], products[0], differences[0], found[1], products[1], differences[1]]
    table = np.column_stack([diameter, x, *fields])
    ways = ("root_jvp", "sensitivity", "differences")
    kinds = ("fixed", "recomputed")
    names = [f"d{axis} {kind} {way}" for kind in kinds for way in ways for axis in "xy"]
    header = ",".join(["diameter", "x", "y", *names])
    np.savetxt(output.with_suffix(".csv"), table, "%.15g", ",", header=header, comments="")


if __name__ == "__main__":
    jax.config.update("jax_enable_x64", True)
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=0, help="of the random start")
    parser.add_argument("-o", "--output", type=Path, default=Path("figure_12.png"))
    arguments = parser.parse_args()
    main(arguments.seed, arguments.output)
