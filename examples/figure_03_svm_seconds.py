"""Figure 3: seconds of one outer iteration of an SVM's regularisation, by number of features.

An outer iteration solves the inner problem by a fixed number of iterations, differentiates the
validation loss in lambda, and goes down its gradient (`svm_experiment.py`). Implicitly, the
derivative is one linear system at the solution, and independent of the solver: mirror descent and
block coordinate descent are differentiated by the fixed point of mirror descent and by that of the
projected gradient. Unrolled, it goes back through all iterations, which have to be kept.

The solvers see the data through K = X X^T, formed once, so that hardly anything depends on the
number of features: where the paper's curves rise, these are flat.

By default 200 samples, three sizes, three outer iterations, and 100 epochs of block coordinate
descent. `--full` takes the paper's 700 samples, sizes, 150 outer iterations and 500 epochs: hours.

Blondel et al., Efficient and modular implicit differentiation, arXiv 2105.15183, figure 3.

    python examples/figure_03_svm_seconds.py [-o figure_03.png] [--full]
"""

import argparse
import csv
import time
from pathlib import Path

import jax
import numpy as np
from matplotlib.figure import Figure
from svm_experiment import SETTINGS, SIZES, START, classification, inputs, outer_step

from simsens import plots
from simsens.solvers import inverse_power

OWN = ("projected_gradient", "implicit")
MIRROR = ("mirror_descent", "implicit")
UNROLLED = ("projected_gradient", "unrolled")
LINES = {
    "mirror_descent": (MIRROR, OWN, UNROLLED),
    "projected_gradient": (OWN, UNROLLED),
    "block_coordinate_descent": (MIRROR, OWN, UNROLLED),
}
LABELS = {
    UNROLLED: "unrolled",
    MIRROR: "implicit, mirror descent fixed point",
    OWN: "implicit, projected gradient fixed point",
}
STYLES = {
    UNROLLED: {"color": plots.COLOURS[5], "marker": "^", "ls": "-"},
    MIRROR: {"color": plots.COLOURS[1], "marker": "s", "ls": "-"},
    OWN: {"color": plots.COLOURS[4], "marker": "o", "ls": "-"},
}
HEADER = ("solver", "fixed_point", "differentiation", "features", "seconds", "interval", "loss",
          "gradient", "residual", "scratch_MB")  # fmt: skip
LIMIT = 4e9  # bytes of scratch space that a program may take here


def compiled(solver, line, settings, given):
    """The outer iteration as a program, and the bytes of scratch space that it takes."""
    fixed_point, differentiation = line
    step = outer_step(
        solver, fixed_point=fixed_point, differentiation=differentiation, tol=0, **settings[solver]
    )
    program = step.lower(START, given).compile()
    return program, program.memory_analysis().temp_size_in_bytes


def outer_iterations(program, given, number):
    """Seconds of each, and what the first one found."""
    lam, took, schedule, found = START, [], inverse_power(5e-3, after=100), None
    for k in range(number):
        began = time.perf_counter()
        (loss, solution), slope = jax.block_until_ready(program(lam, given))
        took.append(time.perf_counter() - began)
        found = found or (float(loss), float(slope), float(solution.residual))
        lam = lam - float(schedule(k)) * slope if np.isfinite(slope) else lam
    return np.array(took), found


def measure(sizes, train, settings, number):
    """A row of HEADER for each line and size."""
    rows, programs = [], {}
    for features in sizes:
        data = jax.block_until_ready(classification(features, train))  # not to be timed
        for solver, lines in LINES.items():
            given = inputs(data, solver)
            for line in lines:
                key = (solver, line, given.train.shape)
                if key not in programs:
                    programs[key] = compiled(solver, line, settings, given)
                program, scratch = programs[key]
                row = [solver, *line, features, *[np.nan] * 5, scratch / 1e6]
                if scratch <= LIMIT:
                    took, found = outer_iterations(program, given, number)
                    interval = 1.645 * took.std() / np.sqrt(len(took))  # of 90 %
                    row[4:9] = [took.mean(), interval, *found]
                rows.append(row)
                report(row)
    return rows


def report(row):
    """One line of print."""
    solver, fixed_point, differentiation, features, seconds, _, loss, slope, residual, scratch = row
    name = f"{solver}, {differentiation}"
    name += f" by {fixed_point}" if differentiation == "implicit" else ""
    if np.isnan(seconds):
        print(f"p {features:5d}  {name:55} not run: {scratch / 1e3:.1f} GB of scratch space")
        return
    told = "" if np.isfinite(slope) else "; not differentiable: the inner problem is not solved"
    print(
        f"p {features:5d}  {name:55} {seconds:6.3f} s  loss {loss:.4f}  slope {slope:.4f}"
        f"  residual {residual:.0e}{told}",
        flush=True,
    )


def figure(rows, title):
    """A panel for each solver."""
    picture = Figure((10.2, 4.2), layout="constrained")
    axes = picture.subplots(1, 3, sharey=True)
    for ax, (solver, lines) in zip(axes, LINES.items()):
        for line in lines:
            own = [row for row in rows if row[0] == solver and tuple(row[1:3]) == line]
            features, seconds, interval = (np.array([row[i] for row in own], float)
                                           for i in (3, 4, 5))  # fmt: skip
            ax.errorbar(features, seconds, interval, lw=1.8, ms=5, capsize=2.5, label=LABELS[line],
                        **STYLES[line])  # fmt: skip
        ax.set(xscale="log", yscale="log", xlabel="number of features")
        ax.set_title(solver.replace("_", " "), loc="left", fontsize=9.5)
        ax.tick_params(labelsize=8.5)
        ax.grid(axis="y", color=plots.GREY, alpha=0.25, lw=0.6)
        ax.spines[["top", "right"]].set_visible(False)
    axes[0].set_ylabel("seconds of an outer iteration")
    axes[0].yaxis.set_major_formatter("{x:g}")
    axes[0].yaxis.set_minor_formatter("{x:g}")
    axes[0].tick_params(which="both", labelsize=8.5)
    handles, labels = axes[0].get_legend_handles_labels()
    picture.legend(
        handles, labels, loc="outside lower center", ncols=3, frameon=False, fontsize=8.5
    )
    picture.suptitle(title, fontsize=10, x=0.01, ha="left")
    return picture


def write(rows, path):
    """The table beside the figure."""
    with path.open("w", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([HEADER, *rows])


def main(output: Path, full: bool) -> None:
    """Measure, print, draw, and write the numbers beside the figure."""
    settings, sizes, train, number = SETTINGS, SIZES, 700, 150
    if not full:
        blocks = SETTINGS["block_coordinate_descent"] | {"maxiter": 100}
        settings = SETTINGS | {"block_coordinate_descent": blocks}
        sizes, train, number = (250, 1500, 10000), 200, 3
    rows = measure(sizes, train, settings, number)
    inner, epochs = (settings[k]["maxiter"] for k in ("mirror_descent", "block_coordinate_descent"))
    device = jax.devices()[0].device_kind
    title = f"one outer iteration: {inner} inner ones ({epochs} epochs), {train} samples, {device}"
    plots.save(figure(rows, title), output)
    write(rows, output.with_suffix(".csv"))


if __name__ == "__main__":
    jax.config.update("jax_enable_x64", True)
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-o", "--output", type=Path, default=Path("figure_03.png"))
    parser.add_argument("--full", action="store_true", help="the paper's sizes and iterations")
    arguments = parser.parse_args()
    main(arguments.output, arguments.full)
