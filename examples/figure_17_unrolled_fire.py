"""Figure 17: differentiating the minimiser instead of the minimum.

The disks of figure 5 relax from random starts by FIRE. Where they are after t steps, x_t, is
differentiated with respect to theta, the diameter of the small ones, in two ways:

    unrolled    dx_t / dtheta, through every step that was made (forward mode);
    implicit    - H^+ d(grad E)/dtheta at x_t, as if it were the minimum.

Drawn are the sums of the absolute values of either, in sides of the box, and the largest force.

FIRE (Bitzek et al., Physical Review Letters 97 (2006) 170201) is dynamics under the force f. Its
velocity v is turned towards f, and stopped where it points uphill; its time step dt grows and
shrinks. These are branches and jumps; a derivative through them is that of one path. It moves by

    x <- x + dt v + c dt^2 f,        v <- v + dt/2 (f before + f after).

c = 1/2 is velocity Verlet, and jax-md's FIRE since June 2022. When the paper was written jax-md had
c = 1, and this decides the outcome. A vibration of frequency w is stable under these two lines
while (w dt)^2 < 2 / c, which at c = 1 and FIRE's largest dt most of these packings exceed. So the
old FIRE relaxes slowly, or not within 2000 steps, and unrolled derivatives explode, even late: the
paper's observation. With c = 1/2, and in float64, they do so only on the way. Once a start has
relaxed, the unrolled derivative is that of the minimum and equals the implicit one, except for
rattlers: a disk that nothing touches stays where the path left it.

On the way the implicit one means as little: x_t is no minimum yet. But this can be told from x_t
alone, and the certificate of `sensitivity` tells it; and it takes one linear system, not t steps.

Blondel et al., Efficient and modular implicit differentiation, arXiv 2105.15183, figure 17 (of
versions 1 and 2), which has 40 starts: 10 of these by default, and all with --full.

    python examples/figure_17_unrolled_fire.py [--full] [-o figure_17.png]
"""

import argparse
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from simsens import packing, plots, relax, sensitivity
from simsens.implicit.linear_solve import solve_minres
from simsens.particles import system as systems
from simsens.response import hessian

THETA, DT_MAX = 0.6, 0.4
SYSTEM = packing(diameters={"B": THETA, "A": 1.0}, number=128, fraction=0.98)
N, SIDE = SYSTEM.structure.number, float(SYSTEM.structure.box[0, 0])
SMALL = np.array(SYSTEM.structure.names()) == "B"
VARIANTS = {0.5: "today's FIRE, c = 1/2", 1.0: "FIRE as it was in 2021, c = 1"}
TOLD = (100, 200, 300, 500, 1000, 2000)
STEPS = (10, 14, 20, 30, 50, 70, 100, 140, 200, 300, 500, 700, 1000, 1400, 2000)
QUANTILES = (0, 10, 25, 50, 75, 90, 100)


def force(x, theta):
    """Minus the gradient of the energy, ``[disk, 2]``."""
    diameter = jnp.where(SMALL, theta, 1.0)
    sigma = (diameter[:, None] + diameter) / 2
    apart = x[:, None] - x
    apart = apart - SIDE * jnp.round(apart / SIDE)
    squared = jnp.sum(apart**2, axis=-1)
    touching = (squared < sigma**2) & ~np.eye(N, dtype=bool)
    r = jnp.sqrt(jnp.where(touching, squared, 1.0))
    push = jnp.where(touching, (1 - r / sigma) / (sigma * r), 0.0)
    return jnp.sum(push[..., None] * apart, axis=1)


def fire(theta, c, state):
    """One step of FIRE, with jax-md's settings."""
    x, v, before, dt, alpha, downhill = state
    x = x + dt * v + c * dt**2 * before
    f = force(x, theta)
    v = v + dt / 2 * (before + f)
    power = jnp.vdot(f, v)
    v = v + alpha * (f * jnp.sqrt(jnp.vdot(v, v) / (jnp.vdot(f, f) + 1e-6)) - v)
    downhill = jnp.where(power >= 0, downhill + 1, 0)
    faster = (power > 0) & (downhill > 5)
    dt = jnp.where(power < 0, 0.5 * dt, jnp.where(faster, jnp.minimum(1.1 * dt, DT_MAX), dt))
    alpha = jnp.where(power < 0, 0.1, jnp.where(faster, 0.99 * alpha, alpha))
    return x, jnp.where(power < 0, 0.0, v), f, dt, alpha, downhill


def trajectory(start, theta, c):
    """Positions after each of STEPS, ``[record, disk, 2]``."""

    def go_on(state, count):
        state = lax.fori_loop(0, count, lambda _, state: fire(theta, c, state), state)
        return state, state[0]

    numbers = (jnp.asarray(0.1), jnp.asarray(0.1), jnp.asarray(0))  # dt, alpha, steps downhill
    begin = (start, jnp.zeros_like(start), force(start, theta), *numbers)
    return lax.scan(go_on, begin, np.diff(STEPS, prepend=0))[1]


@jax.jit
def unrolled(starts, c):
    """Positions and their derivatives through the steps, ``[start, record, disk, 2]`` each."""

    def one(start):
        return jax.jvp(lambda theta: trajectory(start, theta, c), (THETA,), (1.0,))

    return jax.vmap(one)(starts)


def hessian_at(x):
    """The matrix of second derivatives of the energy, ``[2 disks, 2 disks]``."""
    at = SYSTEM.with_position(x)
    return hessian.dense(at, systems.list_neighbors(at), np.ones(N, bool))


@jax.jit
def implicit(positions):
    """At each position the implicit derivative, its residual, and the largest force."""

    def one(x):
        matrix = hessian_at(x)
        f, change = jax.jvp(lambda theta: force(x, theta), (THETA,), (1.0,))
        # The Hessian is always singular, and indefinite on the way. MINRES takes both; started at
        # zero it finds the pseudo-inverse's answer.
        solution = solve_minres(lambda v: matrix @ v, change.reshape(-1))
        largest = jnp.max(jnp.linalg.norm(f, axis=-1))
        return solution.value.reshape(x.shape), solution.residual, largest

    return lax.map(one, positions)


def measure(starts, c):
    """Largest force, |implicit|_1, |unrolled|_1, each ``[start, record]``; how all starts ended."""
    x, through = unrolled(starts, c)
    at, residual, largest = implicit(x.reshape(-1, N, 2))
    at = at.reshape(x.shape)
    print(f"{VARIANTS[c]}: largest residual of a linear solve {residual.max():.1e}")
    sizes = [jnp.abs(field).sum(axis=(-2, -1)) / SIDE for field in (at, through)]
    rows = np.stack([largest.reshape(x.shape[:2]), *sizes])
    return rows, (x[:, -1], at[:, -1], through[:, -1])


def report(rows):
    """How the two ways compare: medians, and how often one exceeds the other by far."""
    print(f"{'steps':>7}{'max force':>11}{'implicit':>11}{'unrolled':>11}  unrolled > 10 implicit")
    for t in TOLD:
        largest, implicit, unrolled = rows[:, :, STEPS.index(t)]
        middle = "".join(f"{np.median(v):11.3g}" for v in (largest, implicit, unrolled))
        print(f"{t:7d}{middle}  {(unrolled > 10 * implicit).sum()} of {len(implicit)}")
    print(f"after {STEPS[-1]}" + "".join(f"{q:9d}%" for q in QUANTILES))
    for way, values in zip(("implicit", "unrolled"), rows[1:, :, -1]):
        print(f"{way:>10}" + "".join(f"{v:10.3g}" for v in np.percentile(values, QUANTILES)))
    print(f"largest force {rows[0, :, -1].max():.1e}\n")


def apart(a, b):
    """The relative distance of two fields of displacement, up to a translation."""
    off = np.asarray(a) - np.asarray(b)
    return np.linalg.norm(off - off.mean(axis=0)) / np.linalg.norm(b)


def check(x, implicit, unrolled):
    """Where today's FIRE ended: whether both ways and `sensitivity` agree, and how stiff it is."""
    slope = sensitivity(relax(SYSTEM.with_position(x[0]), fmax=1e-10), wrt="diameter[B]")
    print(f"start 0: implicit is {apart(implicit[0], slope['diameter[B]']):.1e} from sensitivity")
    print(slope.certificate)
    matrices = np.asarray(jax.jit(partial(lax.map, hessian_at))(x))
    held = np.diagonal(matrices, axis1=1, axis2=2).reshape(x.shape)[..., 0] > 0
    off = max(apart(u[h], i[h]) for u, i, h in zip(unrolled, implicit, held))
    print(f"all {len(x)} starts: unrolled is at most {off:.1e} from implicit,", end=" ")
    print(f"rattlers left out: {(~held).sum()}")
    stiffest = DT_MAX**2 * np.linalg.eigvalsh(matrices)[:, -1]
    print(f"(w dt)^2 of the stiffest mode at the largest dt: {stiffest.min():.2f} to", end=" ")
    print(f"{stiffest.max():.2f}, above 2 for {(stiffest > 2).sum()} of {len(x)}")


def draw(upper: Axes, lower: Axes, title: str, rows) -> None:
    """The two norms against the number of steps, a line a start, and beneath them the forces."""
    for values, colour, way in ((rows[2], 5, "unrolled"), (rows[1], 4, "implicit")):
        lines = upper.loglog(STEPS, values.T, color=plots.COLOURS[colour], lw=0.9, alpha=0.75)
        lines[0].set_label(way)
    lower.loglog(STEPS, rows[0].T, color=plots.GREY, lw=0.9, alpha=0.75)
    upper.set_title(title, loc="left", fontsize=10)
    lower.set(xlabel="steps of FIRE", xlim=(STEPS[0], STEPS[-1]))
    for ax in (upper, lower):
        ax.tick_params(labelsize=8.5)
        ax.spines[["top", "right"]].set_visible(False)


def main(full: bool, output: Path) -> None:
    """Measure both variants of FIRE, draw them, and write the numbers beside the figure."""
    keys = jax.random.split(jax.random.key(0), 40)[: 40 if full else 10]
    starts = SIDE * jax.vmap(lambda key: jax.random.uniform(key, (N, 2)))(keys)
    picture = Figure((9.6, 6.0), layout="constrained")
    axes = picture.subplots(2, 2, sharex=True, sharey="row", height_ratios=[2.2, 1])
    table, ended = [], {}
    for column, (c, title) in enumerate(VARIANTS.items()):
        rows, ended[c] = measure(starts, c)
        report(rows)
        draw(*axes[:, column], title, rows)
        for start, records in enumerate(rows.transpose(1, 2, 0)):
            table += [(c, start, t, *found) for t, found in zip(STEPS, records)]
    check(*ended[0.5])
    axes[0, 0].set_ylabel("|dx/dtheta|_1 in sides of the box")
    axes[1, 0].set_ylabel("largest force")
    axes[0, 0].legend(frameon=False, fontsize=9)
    plots.save(picture, output)
    header = "c,start,steps,max force,implicit,unrolled"
    np.savetxt(output.with_suffix(".csv"), table, "%.12g", ",", header=header, comments="")


if __name__ == "__main__":
    jax.config.update("jax_enable_x64", True)
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--full", action="store_true", help="all 40 starts")
    parser.add_argument("-o", "--output", type=Path, default=Path("figure_17.png"))
    arguments = parser.parse_args()
    main(arguments.full, arguments.output)
