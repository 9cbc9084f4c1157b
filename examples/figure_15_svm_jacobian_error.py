"""Figure 15: on an SVM, the error of the Jacobian against the error of the solution.

Projected gradient is stopped after t steps at a dual point x_t (`svm_experiment.py`). The implicit
Jacobian d x / d lambda is taken there; the unrolled one is that of the t steps. Both are compared
with the Jacobian at the solution, for several numbers of features. What is compared is the
derivative of the training scores, K (Y - x) / theta, since x itself need not be unique.

The dual is a quadratic programme: once the iterate has found which classes hold each sample, the
implicit derivative is exact, however far the iterate still is.

By default 100 samples; `--full` takes 700 and more sizes.

Blondel et al., Efficient and modular implicit differentiation, arXiv 2105.15183, figure 15.

    python examples/figure_15_svm_jacobian_error.py [-o figure_15.png] [--full]
"""

import argparse
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.figure import Figure
from svm_experiment import START, classification

from simsens import plots
from simsens.learning import multiclass_kernel_svm

UNROLL = "unrolled"


def program(**options):
    """``(lambda, K, Y) -> (scores, their derivative)``, compiled; scores are K (Y - x) / theta."""

    def scores(lam, K, Y):
        theta = jnp.exp(lam)
        return K @ (Y - multiclass_kernel_svm(K, Y, theta, **options).value) / theta

    return jax.jit(lambda lam, K, Y: jax.jvp(lambda lam: scores(lam, K, Y), (lam,), (1.0,)))


def errors(data, times, programs):
    """Rows of t, error of the scores, error of the implicit and of the unrolled derivative."""
    (exact, slope), *found = (run(START, data.K, data.Y) for run in programs)
    rows = []
    for t, (value, implicit), (_, unrolled) in zip(times, found[::2], found[1::2]):
        off = ((value, exact), (implicit, slope), (unrolled, slope))
        rows.append((t, *(float(jnp.linalg.norm(a - b)) for a, b in off)))
    return np.array(rows), float(jnp.linalg.norm(slope))


def main(output: Path, full: bool) -> None:
    """Measure at every size, print, draw, and write the numbers beside the figure."""
    sizes, train = ((100, 1000, 10_000), 700) if full else ((50, 500, 5000), 100)
    times = (10, 20, 50, 100, 200, 500, 1000, 2000) if full else (10, 25, 60, 150, 400)
    programs = [program(tol=1e-11, maxiter=200_000)]
    for t in times:
        given = {"maxiter": t, "tol": 0}
        programs += [program(**given, on_failure="keep"), program(**given, differentiation=UNROLL)]
    table = []
    for features in sizes:
        rows, norm = errors(classification(features, train, 50), times, programs)
        print(f"p = {features}, |d scores / d lambda| = {norm:.3f}")
        print(f"{'t':>6} {'scores':>10} {'implicit':>10} {'unrolled':>10}")
        for row in rows:
            print(f"{row[0]:6.0f} {row[1]:10.2e} {row[2]:10.2e} {row[3]:10.2e}", flush=True)
        table += [(features, *row) for row in rows]
    table = np.array(table)
    plots.save(figure(table, sizes), output)
    header = "features,t,error,implicit,unrolled"
    np.savetxt(output.with_suffix(".csv"), table, "%.12g", ",", header=header, comments="")


def figure(table: np.ndarray, sizes: tuple[int, ...]) -> Figure:
    """The errors of the derivatives against that of the scores, a panel for each size."""
    picture = Figure((9.6, 3.9), layout="constrained")
    axes = picture.subplots(1, len(sizes), sharey=True)
    for ax, features in zip(axes, sizes):
        own = table[table[:, 0] == features]
        ax.loglog(own[:, 2], np.maximum(own[:, 4], 1e-13), "^-", color=plots.COLOURS[5],
                  lw=1, ms=5, label="unrolled")  # fmt: skip
        ax.loglog(own[:, 2], np.maximum(own[:, 3], 1e-13), "o-", color=plots.COLOURS[4],
                  lw=1, ms=5, label="implicit")  # fmt: skip
        ax.set_title(f"{features} features", loc="left", fontsize=9.5)
        ax.set_xlabel("error of the scores")
        ax.spines[["top", "right"]].set_visible(False)
        ax.tick_params(labelsize=8.5)
        ax.invert_xaxis()
    axes[0].set_ylabel("error of their derivative")
    axes[0].legend(frameon=False, fontsize=8.5)
    return picture


if __name__ == "__main__":
    jax.config.update("jax_enable_x64", True)
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-o", "--output", type=Path, default=Path("figure_15.png"))
    parser.add_argument("--full", action="store_true", help="700 samples")
    given = parser.parse_args()
    main(given.output, given.full)
