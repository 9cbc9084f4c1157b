"""Figure 14: the validation loss that an SVM ends at, implicit and unrolled, by number of features.

The experiment of figure 3 (`svm_experiment.py`), run to its end: gradient descent on the logarithm
of the regularisation, whose hypergradient is implicit or goes back through the iterations of the
inner solver. Where the inner problem is solved both are the same number, and so is the end.

By default 100 samples, three sizes and 10 outer iterations; `--full` takes the paper's 700 samples,
sizes and 150 outer iterations, which takes hours, most of them unrolled.

Blondel et al., Efficient and modular implicit differentiation, arXiv 2105.15183, figure 14.

    python examples/figure_14_svm_validation_loss.py [-o figure_14.png] [--full]
"""

import argparse
from pathlib import Path

import jax
import numpy as np
from matplotlib.figure import Figure
from svm_experiment import SIZES, START, classification, inputs, outer_step

from simsens import plots
from simsens.solvers import inverse_power

SOLVER = "projected_gradient"
MODES = ("implicit", "unrolled")


def descend(given, differentiation, outer, inner):
    """The validation loss, lambda, hypergradient and inner residual of each outer iteration."""
    step = outer_step(SOLVER, differentiation=differentiation, tol=0, maxiter=inner)
    schedule, lam, rows = inverse_power(5e-3, after=100), START, []
    for k in range(outer):
        (loss, solution), slope = step(lam, given)
        rows.append([float(loss), float(lam), float(slope), float(solution.residual)])
        lam = lam - float(schedule(k)) * slope
    return np.array(rows)


def main(output: Path, full: bool) -> None:
    """Descend both ways at every size, print, draw, and write the numbers beside the figure."""
    sizes, train, validate = (SIZES, 700, 200) if full else ((100, 300, 1000), 100, 100)
    outer, inner = (150, 2500) if full else (10, 500)
    table = []
    for features in sizes:
        given = inputs(classification(features, train, validate), SOLVER)
        ends = [descend(given, mode, outer, inner) for mode in MODES]
        (first, *_), *_ = ends
        implicit, unrolled = (path[-1] for path in ends)
        apart = abs(ends[0] - ends[1]).max(axis=0)
        table.append((features, first[0], implicit[0], unrolled[0], *apart[1:3], implicit[3]))
        print(
            f"p {features:5d}: loss {first[0]:.4f} -> implicit {implicit[0]:.6f}, unrolled"
            f" {unrolled[0]:.6f}; hypergradients apart by {apart[2]:.1e} at most; inner residual"
            f" {implicit[3]:.0e}",
            flush=True,
        )
    table = np.array(table)
    plots.save(figure(table), output)
    header = "features,start,implicit,unrolled,lambda_apart,hypergradients_apart,residual"
    np.savetxt(output.with_suffix(".csv"), table, "%.12g", ",", header=header, comments="")


def figure(table: np.ndarray) -> Figure:
    """Both losses against the number of features, and by how much they differ."""
    picture = Figure((8.6, 4.0), layout="constrained")
    left, right = picture.subplots(1, 2)
    features, start, implicit, unrolled = table[:, :4].T
    left.plot(features, start, ":", color=plots.GREY, label="at the start")
    left.plot(features, unrolled, "^-", color=plots.COLOURS[5], ms=9, label="unrolled")
    left.plot(features, implicit, "o-", color=plots.COLOURS[4], ms=5, label="implicit")
    left.set(xscale="log", xlabel="number of features", ylabel="validation loss at the end")
    left.legend(frameon=False, fontsize=8.5)
    relative = abs(unrolled - implicit) / implicit
    right.loglog(features, np.maximum(relative, 1e-16), "o-", color=plots.COLOURS[4],
                 label="of the losses, relative")  # fmt: skip
    right.loglog(features, np.maximum(table[:, 5], 1e-16), "s-", color=plots.COLOURS[2],
                 label="of the hypergradients, largest on the way")  # fmt: skip
    right.set(xlabel="number of features", ylabel="difference of implicit and unrolled")
    right.legend(frameon=False, fontsize=8.5)
    for ax in (left, right):
        ax.spines[["top", "right"]].set_visible(False)
        ax.tick_params(labelsize=8.5)
    return picture


if __name__ == "__main__":
    jax.config.update("jax_enable_x64", True)
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-o", "--output", type=Path, default=Path("figure_14.png"))
    parser.add_argument("--full", action="store_true", help="the paper's sizes")
    given = parser.parse_args()
    main(given.output, given.full)
